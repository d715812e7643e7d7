//! `jsonencode`, `jsondecode`, `yamldecode`, `base64encode`, `sha256`.

use base64::Engine as _;
use cloudtik_model::{Digest, Value};

use super::{Fault, Function, Outcome, Wants, a_string, any, arg, nullable, parameter, text};
use crate::json::{count_json_values, from_plain_json, to_json_text};
use crate::limits::{MAX_ELEMENTS, MAX_STRING_BYTES};
use crate::yaml::from_yaml;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("base64encode", &[parameter("string", Wants::String)], a_string, base64encode)
        .doc("The bytes of the string in base 64."),
    Function::known("jsondecode", &[parameter("json", Wants::String)], any, jsondecode).doc("The value of a JSON text."),
    Function::known("jsonencode", &[nullable("value", Wants::Any)], a_string, jsonencode)
        .doc("The value as JSON: names sorted, numbers exact, `<`, `>` and `&` escaped."),
    Function::known("sha256", &[parameter("string", Wants::String)], a_string, |args| {
        Ok(Digest::of(text(args, 0).as_bytes()).to_string().into())
    })
    .doc("The SHA-256 of the string in hexadecimal digits."),
    Function::known("yamldecode", &[parameter("yaml", Wants::String)], any, yamldecode).doc("The value of a YAML document."),
];

fn base64encode(args: &[Value]) -> Outcome {
    let text = text(args, 0);
    if text.len() > MAX_STRING_BYTES / 4 * 3 {
        return Err(Fault::at(0, format!("the result would have more than {MAX_STRING_BYTES} bytes")));
    }
    Ok(base64::engine::general_purpose::STANDARD.encode(text).into())
}

fn jsonencode(args: &[Value]) -> Outcome {
    to_json_text(arg(args, 0)).map(Value::from).ok_or_else(|| Fault::at(0, "it is not known"))
}

fn jsondecode(args: &[Value]) -> Outcome {
    let text = text(args, 0);
    if count_json_values(text) > MAX_ELEMENTS {
        return Err(Fault::at(0, format!("the text has more than {MAX_ELEMENTS} values")));
    }
    let json = serde_json::from_str(text).map_err(|error| Fault::at(0, format!("not JSON: {error}")))?;
    from_plain_json(json).map_err(|error| Fault::at(0, error.to_string()))
}

fn yamldecode(args: &[Value]) -> Outcome {
    from_yaml(text(args, 0)).map_err(|message| Fault::at(0, format!("not YAML: {message}")))
}
