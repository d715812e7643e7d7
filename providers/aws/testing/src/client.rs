//! A small client of the services: for tests that look at an account, or change something in it behind the back of what they test.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value as Json;

use crate::xml::Element;

/// No answer takes longer.
const TIME_MAX: Duration = Duration::from_secs(120);

/// A server, a region and an account.
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: SocketAddr,
    region: String,
    key: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Said {
    /// The document, if the call was made; else an error with what was said instead.
    ///
    /// # Errors
    ///
    /// When the call was refused, or the answer is no document.
    pub fn document(&self) -> io::Result<Element> {
        let document = Element::parse(&self.body).filter(|_| self.status < 300);
        document.ok_or_else(|| io::Error::other(format!("{}: {}", self.status, self.body)))
    }

    /// The error code, if the call was refused.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        let answer = crate::answer::Answer::new(self.status, "", self.body.clone());
        answer.code()
    }
}

/// The version of each service's interface.
const VERSIONS: &[(&str, &str)] = &[
    ("ec2", "2016-11-15"),
    ("iam", "2010-05-08"),
    ("sts", "2011-06-15"),
    ("rds", "2014-10-31"),
    ("elasticloadbalancing", "2015-12-01"),
    ("cloudformation", "2010-05-15"),
];

impl Endpoint {
    /// A server, seen by the usual account.
    #[must_use]
    pub fn new(address: SocketAddr, region: &str) -> Self {
        Self { address, region: region.to_owned(), key: "test".to_owned() }
    }

    /// The same in another region.
    #[must_use]
    pub fn region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// The same seen by the account of another key.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// The region.
    #[must_use]
    pub fn region_name(&self) -> &str {
        &self.region
    }

    /// Makes a call of a query service, and gives what was said.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub fn say(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> io::Result<Said> {
        let version = VERSIONS.iter().find(|(name, _)| *name == service).map_or("", |(_, version)| *version);
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", version).extend_pairs(parameters);
        self.send(service, "POST", "/", &[("content-type", "application/x-www-form-urlencoded")], form.finish().as_bytes())
    }

    /// Makes a call of a query service that is to go well.
    ///
    /// # Errors
    ///
    /// When nobody answers, or it is refused.
    pub fn query(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> io::Result<Element> {
        let said = self.say(service, action, parameters)?.document();
        said.map_err(|error| io::Error::other(format!("{service}:{action}: {error}")))
    }

    /// Makes a call of EC2 that is to go well.
    ///
    /// # Errors
    ///
    /// As [`Self::query`].
    pub fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> io::Result<Element> {
        self.query("ec2", action, parameters)
    }

    /// Makes a call of a service that speaks JSON: `AmazonSSM.GetParameter`.
    ///
    /// # Errors
    ///
    /// When nobody answers, or it is refused.
    pub fn json(&self, service: &str, target: &str, body: &Json) -> io::Result<Json> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let said = self.send(service, "POST", "/", &headers, body.to_string().as_bytes())?;
        let refused = || io::Error::other(format!("{target}: {}: {}", said.status, said.body));
        if said.status < 300 { serde_json::from_str(&said.body).map_err(|_| refused()) } else { Err(refused()) }
    }

    /// Makes a call of the object store.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub fn store(&self, method: &str, path: &str, body: &str) -> io::Result<Said> {
        self.send("s3", method, path, &[], body.as_bytes())
    }

    /// Makes a call without a service: to the controls of a proxy.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub fn control(&self, method: &str, path: &str, body: &str) -> io::Result<Said> {
        self.send("", method, path, &[], body.as_bytes())
    }

    fn send(&self, service: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Said> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(TIME_MAX))?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        if !service.is_empty() {
            let scope = format!("{}/20260101/{}/{service}/aws4_request", self.key, self.region);
            head += &format!("authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        said(&String::from_utf8_lossy(&answer))
    }
}

fn said(answer: &str) -> io::Result<Said> {
    let no_answer = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended without an answer");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(no_answer)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(no_answer)?;
    let is_chunked = head.lines().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    if is_chunked { Err(io::Error::other("an answer in chunks is not read")) } else { Ok(Said { status, body: body.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        assert_eq!(said("HTTP/1.1 404 NOT FOUND\r\na: b\r\n\r\nx\r\n\r\ny").unwrap(), Said { status: 404, body: "x\r\n\r\ny".to_owned() });
        assert_eq!(said("").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
