//! Conditions: what a spec says must be true, judged as soon as all that they look at is known.

use serde::{Deserialize, Serialize};

use crate::{Address, Diagnostic, Span, Value};

/// What must be true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Which sort it is.
    pub kind: ConditionKind,
    /// Whose it is, as the spec calls it: `aws_vpc.main`, `output "o"`, `check "health"`.
    pub of: String,
    /// The object that it is about, if it is about one: it is judged before that is made, or after. All others are judged at the end.
    pub address: Option<Address>,
    /// A bool, which may be deferred.
    pub condition: Value,
    /// What is said when it is false: a string, which may be deferred.
    pub message: Value,
    /// `main.hcl:12:5`
    pub place: Option<String>,
    /// Where the condition stands; places do not travel in a plan.
    #[serde(skip, default = "no_span")]
    pub span: Span,
}

impl Condition {
    /// What is said when it does not hold: of an assertion a warning, of all others an error.
    #[must_use]
    pub fn unmet(&self, text: &str) -> Diagnostic {
        let what = format!("this {} of {}", self.kind.as_str(), self.of);
        let diagnostic = match self.kind {
            ConditionKind::Assertion => {
                Diagnostic::warning("check-failed", format!("{}: {text}", self.of)).at_saying(self.span, "this is false")
            }
            ConditionKind::Precondition | ConditionKind::Postcondition => {
                Diagnostic::error("condition-failed", text).at_saying(self.span, format!("{what} is false"))
            }
        };
        match &self.place {
            Some(place) if self.span.is_none() => diagnostic.note(format!("{what}, at {place}, is false")),
            _ => diagnostic,
        }
    }
}

const fn no_span() -> Span {
    Span::NONE
}

/// Sorts of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// Before something is made.
    Precondition,
    /// Of what was made.
    Postcondition,
    /// Of a `check`: whatever comes of it, nothing is stopped.
    Assertion,
}

impl ConditionKind {
    /// Its name in the language; of an assertion, that of the block around it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Precondition => "precondition",
            Self::Postcondition => "postcondition",
            Self::Assertion => "assert",
        }
    }
}

/// A condition that was judged by a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Whose it is, as [`Condition::of`].
    pub of: String,
    /// The object that it is about, if it is about one.
    pub address: Option<Address>,
    /// What is said where it does not hold.
    pub problem: Option<String>,
}

/// What came of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is true.
    Holds,
    /// It is not, with what is to be said.
    Fails(String),
    /// It looks at something that is not known.
    Unknown,
}

/// What came of a condition whose values were filled in as far as they are known. What is neither true nor false does not hold.
#[must_use]
pub fn judge(condition: &Value, message: &Value) -> Verdict {
    let text = match (condition.as_bool(), message.as_str()) {
        (Some(true), _) => return Verdict::Holds,
        (None, _) if condition.is_deferred() => return Verdict::Unknown,
        (None, _) => format!("it is {}, and not true or false", condition.describe()),
        (Some(false), _) if message.has_sensitive() => "its message is sensitive".to_owned(),
        (Some(false), Some(text)) => text.to_owned(),
        (Some(false), None) if message.is_deferred() => "its message is not known".to_owned(),
        (Some(false), None) => "its message is no string".to_owned(),
    };
    Verdict::Fails(text)
}
