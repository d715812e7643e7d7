//! The record of a workspace: what clusters of other projects know of it.

use std::sync::Arc;

use cloudtik_model::{Expr, ExprKind, Number, Type, Value};

/// The version of the records that are written, and the only one that is read.
const RECORD_VERSION: u64 = 1;

/// The attribute of the object that keeps a record.
pub const RECORD_VALUE: &str = "value";

/// The text of a record, as it will be once everything that a workspace exports is known. Secrets are left out.
#[must_use]
pub fn record(exports: &Value) -> Value {
    let content = Value::object([("version", Value::from(RECORD_VERSION)), ("exports", without_secrets(exports))]);
    let call = ExprKind::Call { name: "jsonencode".into(), args: vec![Expr::literal(content)], expand: false };
    Value::deferred(Type::String, call.into())
}

/// What a record, decoded, says that its workspace exports.
///
/// # Errors
/// It is of another version, or no record; in words.
pub fn exports_of(record: &Value) -> Result<&Value, String> {
    match (record.get("version").and_then(Value::as_number).and_then(Number::as_u64), record.get("exports")) {
        (Some(RECORD_VERSION), Some(exports)) => Ok(exports),
        (Some(version), _) => Err(format!("the record has version {version}, and this tool reads {RECORD_VERSION}: use a newer one")),
        _ => Err("what is kept under the name of the record is no record of a workspace".to_owned()),
    }
}

fn without_secrets(value: &Value) -> Value {
    let Some(entries) = value.entries() else { return value.clone() };
    let open = entries.iter().filter(|(_, value)| !value.is_sensitive());
    Value::object(open.map(|(name, value)| (Arc::clone(name), without_secrets(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        let password = Value::from("p").marked(true);
        let exports = Value::object([
            ("name", Value::from("w")),
            ("database", Value::object([("port", Value::from(1_u64)), ("password", password)])),
        ]);
        let open = without_secrets(&exports);
        assert_eq!(open.get("database").and_then(Value::entries).map(std::collections::BTreeMap::len), Some(1));
        assert!(!open.has_sensitive());
    }

    #[test]
    fn only_this_version_is_read() {
        let of = |version: u64| Value::object([("version", Value::from(version)), ("exports", "e".into())]);
        assert_eq!(exports_of(&of(1)), Ok(&"e".into()));
        assert!(exports_of(&of(2)).unwrap_err().contains("version 2"));
        assert!(exports_of(&Value::NULL).unwrap_err().contains("no record"));
    }
}
