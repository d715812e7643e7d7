//! What goes back to a client.

use bytes::Bytes;

use crate::call::{Call, Protocol};
use crate::xml::Element;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Headers that matter to clients.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Bytes,
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status.
    pub(crate) status: u16,
    /// The error code of AWS.
    pub(crate) code: String,
    /// What a person reads.
    pub(crate) message: String,
}

impl Refusal {
    /// The usual one: the client did something wrong.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }

    /// With another status.
    pub(crate) const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// In the form that the service of the call answers in, with the id of the request in a header, where clients look for it.
    pub(crate) fn answer(&self, call: &Call) -> Answer {
        let mut answer = self.document(call);
        let header = if call.service == "s3" { "x-amz-request-id" } else { "x-amzn-requestid" };
        answer.headers.push((header.to_owned(), "proxy".to_owned()));
        answer
    }

    fn document(&self, call: &Call) -> Answer {
        if call.protocol == Protocol::Json {
            let json = serde_json::json!({ "__type": self.code, "message": self.message });
            return Answer::new(self.status, "application/x-amz-json-1.1", json.to_string());
        }
        let parts = vec![Element::text("Code", &self.code), Element::text("Message", &self.message)];
        let error = if call.service == "ec2" {
            let error = Element::with("Error", parts);
            Element::with("Response", vec![Element::with("Errors", vec![error]), Element::text("RequestID", "proxy")])
        } else if call.service == "s3" {
            Element::with("Error", parts)
        } else {
            let kind = Element::text("Type", if self.status < 500 { "Sender" } else { "Receiver" });
            let error = Element::with("Error", [vec![kind], parts].concat());
            Element::with("ErrorResponse", vec![error, Element::text("RequestId", "proxy")])
        };
        Answer::xml(self.status, &error)
    }
}

impl Answer {
    /// An answer of some type.
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), content_type.to_owned())], body: body.into() }
    }

    /// A document.
    pub(crate) fn xml(status: u16, document: &Element) -> Self {
        Self::new(status, "text/xml", document.document())
    }

    /// Whether the call did what it was to do.
    pub(crate) const fn is_success(&self) -> bool {
        self.status < 300
    }

    /// The document, if it is one.
    pub(crate) fn document(&self) -> Option<Element> {
        let text = std::str::from_utf8(&self.body).ok()?;
        text.trim_start().starts_with('<').then(|| Element::parse(text)).flatten()
    }

    /// The same answer with another document.
    pub(crate) fn with_document(&self, document: &Element) -> Self {
        Self { body: document.document().into(), ..self.clone() }
    }

    /// The error code, of an answer that is an error.
    pub(crate) fn code(&self) -> Option<String> {
        if self.is_success() {
            return None;
        }
        if let Some(document) = self.document() {
            return document.find("Code").map(|code| code.text.clone());
        }
        let json: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        json.get("__type").and_then(|code| code.as_str()).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_codes() {
        let refusal = Refusal::new("DependencyViolation", "it has <parts>");
        for (service, protocol) in
            [("ec2", Protocol::Query), ("iam", Protocol::Query), ("s3", Protocol::Rest), ("ssm", Protocol::Json), ("rds", Protocol::Query)]
        {
            let call = Call { service: service.to_owned(), protocol, ..Call::default() };
            let answer = refusal.answer(&call);
            assert_eq!((answer.status, answer.code().as_deref()), (400, Some("DependencyViolation")), "{service}");
        }
    }
}
