//! Errors of AWS, by what they mean for whoever made the call.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use cloudtik_provider_api::{CallError, ErrorClass};

/// The status of an answer that is no error.
const OK: u16 = 200;

/// Whether a request that nobody answered may have done something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only reads.
    None,
    /// It may have.
    Possible,
}

/// What the SDK says, as what it means.
pub(crate) fn classified<E>(action: &str, effect: Effect, error: &SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let unanswered = if effect == Effect::None { ErrorClass::Transient } else { ErrorClass::Unknown };
    let mut found = match error {
        SdkError::ServiceError(refused) => {
            let code = refused.err().code().unwrap_or("unknown").to_owned();
            let status = refused.raw().status().as_u16();
            // What has neither a code nor a reason is an answer that the SDK cannot read: its own error says where.
            let text = refused.err().message().map_or_else(|| chain(refused.err()), str::to_owned);
            let class = class_of(&code, status).unwrap_or(unanswered);
            CallError::new(class, code.clone(), format!("{action}: {code}: {text}"))
        }
        SdkError::ConstructionFailure(_) => CallError::new(ErrorClass::Permanent, "request", format!("{action}: {}", chain(error))),
        _ if nothing_was_sent(error) => {
            let code = if names_credentials(error) { "credentials" } else { "no-connection" };
            let class = if code == "credentials" { ErrorClass::Permanent } else { ErrorClass::Transient };
            CallError::new(class, code, format!("{action}: {}", chain(error)))
        }
        _ => CallError::new(unanswered, "no-answer", format!("{action}: {}", chain(error))),
    };
    if found.code == "credentials" {
        found = found.help("give credentials as for the AWS command line: a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    }
    found.request_id = error.request_id().map(str::to_owned);
    found
}

/// An error that AWS gives for one of many, in an answer that is none as a whole.
pub(crate) fn of_code(action: &str, code: &str, text: Option<&str>) -> CallError {
    let class = class_of(code, OK).unwrap_or(ErrorClass::Unknown);
    CallError::new(class, code, format!("{action}: {code}: {}", text.unwrap_or("AWS gave no reason")))
}

/// The class of an error that AWS answered; `None` where it says nothing of the effect.
fn class_of(code: &str, status: u16) -> Option<ErrorClass> {
    let is_one_of = |codes: &[&str]| codes.contains(&code);
    if is_one_of(&["Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown", "RequestThrottled"])
        || status == 429
    {
        return Some(ErrorClass::Throttled);
    }
    // AWS has no room: an error of the server by its number, and yet one that says that nothing was made.
    if code.starts_with("Insufficient") {
        return Some(ErrorClass::NoRoom);
    }
    if status >= 500 {
        return None;
    }
    if is_one_of(&["EntityTemporarilyUnmodifiable", "TooManyUpdates"]) {
        return Some(ErrorClass::Transient);
    }
    let gone = code.ends_with(".NotFound")
        || code.ends_with("NotFoundFault")
        || code.ends_with("NotFoundException")
        || is_one_of(&[
            "NoSuchEntity",
            "NoSuchBucket",
            "NoSuchKey",
            "ParameterNotFound",
            "LoadBalancerNotFound",
            "TargetGroupNotFound",
            "ListenerNotFound",
            "NatGatewayNotFound",
            "DBInstanceNotFound",
            "NotFound",
            "InvalidKeyPair.NotFound",
            "InvalidPlacementGroup.Unknown",
        ]);
    if gone {
        return Some(ErrorClass::Gone);
    }
    let taken = code.contains("AlreadyExists")
        || code.ends_with(".Duplicate")
        || code.contains("InUse")
        || code.starts_with("IncorrectState")
        || is_one_of(&[
            "DependencyViolation",
            "DeleteConflict",
            "BucketNotEmpty",
            "BucketAlreadyOwnedByYou",
            "Resource.AlreadyAssociated",
            "IncorrectInstanceState",
            "InvalidDBSubnetGroupStateFault",
            "OperationNotPermitted",
            "ConcurrentModification",
            "DuplicateListener",
            "DuplicateLoadBalancerName",
            "DuplicateTargetGroupName",
        ]);
    Some(if taken { ErrorClass::Conflict } else { ErrorClass::Permanent })
}

/// Whether the request never left: nobody listens, or there is nothing to sign it with.
fn nothing_was_sent<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: std::error::Error + 'static,
{
    let SdkError::DispatchFailure(_) = error else { return false };
    let refused = sources(error)
        .any(|source| source.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused));
    refused || names_credentials(error)
}

fn names_credentials<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: std::error::Error + 'static,
{
    sources(error).any(|source| {
        let text = source.to_string();
        text.contains("credentials") || text.contains("identity")
    })
}

fn sources<'a>(error: &'a (dyn std::error::Error + 'static)) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// An error with all its causes in one line, each once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for source in sources(error) {
        let text = source.to_string();
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// Something in an answer of AWS that is always there, and is not.
pub(crate) fn strange(action: &str, what: &str) -> CallError {
    CallError::new(ErrorClass::Unknown, "strange-answer", format!("{action}: the answer has no {what}"))
}

/// A request that cannot be made of these attributes.
pub(crate) fn refused(code: &str, message: impl Into<String>) -> CallError {
    CallError::new(ErrorClass::Permanent, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_classes() {
        for (code, status, class) in [
            ("RequestLimitExceeded", 503, Some(ErrorClass::Throttled)),
            ("InternalError", 500, None),
            ("InsufficientInstanceCapacity", 500, Some(ErrorClass::NoRoom)),
            ("SpotMaxPriceTooLow", 400, Some(ErrorClass::Permanent)),
            ("EntityTemporarilyUnmodifiable", 409, Some(ErrorClass::Transient)),
            ("InvalidVpcID.NotFound", 400, Some(ErrorClass::Gone)),
            ("NoSuchEntity", 404, Some(ErrorClass::Gone)),
            ("EntityAlreadyExists", 409, Some(ErrorClass::Conflict)),
            ("DependencyViolation", 400, Some(ErrorClass::Conflict)),
            ("InvalidDBSubnetGroupStateFault", 400, Some(ErrorClass::Conflict)),
            ("InvalidParameterValue", 400, Some(ErrorClass::Permanent)),
            ("UnauthorizedOperation", 403, Some(ErrorClass::Permanent)),
        ] {
            assert_eq!(class_of(code, status), class, "{code}");
        }
    }
}
