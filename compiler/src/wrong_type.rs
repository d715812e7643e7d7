//! What is said of a value of another type than its attribute has, and what to type instead.

use cloudtik_lang::ConvertError;
use cloudtik_model::{Diagnostic, Span, Type, Value, ValueKind};

use crate::evaluate::article;

/// The error for a value that does not become what the attribute is.
pub(crate) fn wrong_type(name: &str, ty: &Type, value: &Value, error: &ConvertError, span: Span) -> Diagnostic {
    Diagnostic::error("wrong-type", format!("`{name}` is {} and {} was given", article(ty), value.describe()))
        .at(span)
        .note(error.to_string())
        .maybe_help(instead(ty, value).map(|text| format!("write `{text}`")))
}

/// What was meant, where the value tells. Nothing of a sensitive value is shown.
fn instead(ty: &Type, value: &Value) -> Option<String> {
    if !value.is_known() || value.has_sensitive() {
        return None;
    }
    let text = value.as_str();
    match ty {
        Type::List(of) | Type::Set(of) => match value.kind() {
            ValueKind::String(_) | ValueKind::Number(_) | ValueKind::Bool(_) => Some(format!("[{}]", scalar(of, value)?)),
            ValueKind::Object(_) | ValueKind::Map(_) => Some("[…]".to_owned()),
            _ => None,
        },
        Type::Map(_) => value.elements().is_some().then(|| "{ NAME = … }".to_owned()),
        Type::Number => {
            let digits: String = text?.chars().take_while(char::is_ascii_digit).collect();
            (!digits.is_empty()).then_some(digits)
        }
        Type::Bool => match text?.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "1" => Some("true".to_owned()),
            "no" | "off" | "n" | "0" => Some("false".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// A text, a number or a truth as an element of that type is written.
fn scalar(of: &Type, value: &Value) -> Option<String> {
    match (of, value.kind()) {
        (Type::String | Type::Any, ValueKind::String(text)) => Some(format!("\"{text}\"")),
        (Type::String, ValueKind::Number(number)) => Some(format!("\"{number}\"")),
        (Type::Number | Type::Any, ValueKind::Number(number)) => Some(number.to_string()),
        (Type::Bool | Type::Any, ValueKind::Bool(truth)) => Some(truth.to_string()),
        _ => None,
    }
    .filter(|text| !text.contains('\n'))
}
