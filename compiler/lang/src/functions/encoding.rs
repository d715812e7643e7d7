//! Text as bytes, JSON, YAML, CSV, parts of URLs, and back.

use std::collections::BTreeSet;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloudtik_model::Value;
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use super::{Fault, Function, Outcome, Wants, a_string, any, arg, nullable, parameter, text};
use crate::json::{count_json_values, from_plain_json, to_json_text};
use crate::limits::{MAX_ELEMENTS, MAX_STRING_BYTES};
use crate::yaml::{from_yaml, to_yaml};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("base64decode", &[parameter("string", Wants::String)], a_string, base64decode).doc("The text of bytes in base 64."),
    Function::known("base64encode", &[parameter("string", Wants::String)], a_string, base64encode)
        .doc("The bytes of the string in base 64."),
    Function::known("base64gzip", &[parameter("string", Wants::String)], a_string, base64gzip)
        .doc("The string, compressed by gzip, in base 64."),
    Function::known("csvdecode", &[parameter("csv", Wants::String)], any, csvdecode)
        .doc("The lines of a text with comma-separated values as objects; the first line names them."),
    Function::known("jsondecode", &[parameter("json", Wants::String)], any, jsondecode).doc("The value of a JSON text."),
    Function::known("jsonencode", &[nullable("value", Wants::Any)], a_string, jsonencode)
        .doc("The value as JSON: names sorted, numbers with all their digits, `<`, `>` and `&` escaped."),
    Function::known(
        "textdecodebase64",
        &[parameter("string", Wants::String), parameter("encoding", Wants::String)],
        a_string,
        textdecodebase64,
    )
    .doc("The text of bytes in base 64 that are in an encoding, such as UTF-16LE."),
    Function::known(
        "textencodebase64",
        &[parameter("string", Wants::String), parameter("encoding", Wants::String)],
        a_string,
        textencodebase64,
    )
    .doc("The text in an encoding, such as UTF-16LE, in base 64."),
    Function::known("urlencode", &[parameter("string", Wants::String)], a_string, urlencode)
        .doc("The string as a part of the query of a URL."),
    Function::known("yamldecode", &[parameter("yaml", Wants::String)], any, yamldecode).doc("The value of a YAML document."),
    Function::known("yamlencode", &[nullable("value", Wants::Any)], a_string, |args| Ok(to_yaml(arg(args, 0)).into()))
        .doc("The value as a YAML document."),
];

fn base64encode(args: &[Value]) -> Outcome {
    let text = text(args, 0);
    if text.len() > MAX_STRING_BYTES / 4 * 3 {
        return Err(Fault::at(0, format!("the result would have more than {MAX_STRING_BYTES} bytes")));
    }
    Ok(STANDARD.encode(text).into())
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

fn base64_bytes(args: &[Value]) -> Result<Vec<u8>, Fault> {
    // Line breaks in it are left out, as Go does.
    let digits: String = text(args, 0).chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(digits).map_err(|error| Fault::at(0, format!("it is not base 64: {error}")))
}

fn base64decode(args: &[Value]) -> Outcome {
    let text = String::from_utf8(base64_bytes(args)?);
    text.map(Value::from).map_err(|_| Fault::at(0, "the bytes are no UTF-8 text"))
}

fn base64gzip(args: &[Value]) -> Outcome {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let bytes = gzip.write_all(text(args, 0).as_bytes()).and_then(|()| gzip.finish());
    bytes.map(|bytes| STANDARD.encode(bytes).into()).map_err(|error| Fault::new(error.to_string()))
}

fn csvdecode(args: &[Value]) -> Outcome {
    let failed = |error: csv::Error| Fault::at(0, format!("not CSV: {error}"));
    let mut reader = csv::Reader::from_reader(text(args, 0).as_bytes());
    let names = reader.headers().map_err(failed)?.clone();
    if names.is_empty() {
        return Err(Fault::at(0, "the line with the names is missing"));
    }
    let mut seen = BTreeSet::new();
    if let Some((i, name)) = names.iter().enumerate().find(|(_, name)| !seen.insert(*name)) {
        return Err(Fault::at(0, format!("column {} has the name {name:?} of another one", i + 1)));
    }
    let mut lines = Vec::new();
    for line in reader.records() {
        let line = line.map_err(failed)?;
        if (lines.len() + 1).saturating_mul(names.len()) > MAX_ELEMENTS {
            return Err(Fault::at(0, format!("it has more than {MAX_ELEMENTS} values")));
        }
        lines.push(Value::object(names.iter().zip(line.iter()).map(|(name, value)| (name, Value::from(value)))));
    }
    Ok(Value::list(lines))
}

/// What is no letter, digit or one of `-_.~` is written as its bytes, a space as `+`.
fn urlencode(args: &[Value]) -> Outcome {
    let mut out = String::new();
    for byte in text(args, 0).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    Ok(out.into())
}

/// How text is written as bytes. What browsers do not write, or take for something else, is told apart.
enum Form {
    Ascii,
    Latin1,
    /// Units of two bytes, and whether the high one is first.
    Utf16(bool),
    /// The same, with a mark before them that says which one is first; it is the high one where there is no mark.
    MarkedUtf16,
    Other(&'static Encoding),
}

fn form(args: &[Value]) -> Result<Form, Fault> {
    let name = text(args, 1);
    let is = |names: &[&str]| names.iter().any(|own| own.eq_ignore_ascii_case(name));
    if is(&["US-ASCII", "ASCII"]) {
        return Ok(Form::Ascii);
    }
    if is(&["ISO-8859-1", "ISO_8859-1", "latin1", "l1"]) {
        return Ok(Form::Latin1);
    }
    match Encoding::for_label_no_replacement(name.as_bytes()) {
        _ if is(&["UTF-16"]) => Ok(Form::MarkedUtf16),
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => Ok(Form::Utf16(encoding == UTF_16BE)),
        Some(encoding) => Ok(Form::Other(encoding)),
        None => Err(Fault::at(1, format!("{name:?} is no encoding that is known, such as UTF-8, UTF-16LE or windows-1252"))),
    }
}

fn textencodebase64(args: &[Value]) -> Outcome {
    let (string, name) = (text(args, 0), text(args, 1));
    let unwritable = |c: char| Fault::at(0, format!("{name} has no {c:?}"));
    let below = |bound: u32| {
        let byte = |c: char| u8::try_from(u32::from(c)).ok().filter(|_| u32::from(c) < bound).ok_or_else(|| unwritable(c));
        string.chars().map(byte).collect::<Result<Vec<u8>, Fault>>()
    };
    let bytes = match form(args)? {
        Form::Ascii => below(0x80)?,
        Form::Latin1 => below(0x100)?,
        Form::Utf16(big) => utf16_bytes(string, big),
        Form::MarkedUtf16 => [HIGH_FIRST.to_vec(), utf16_bytes(string, true)].concat(),
        Form::Other(encoding) => {
            let (bytes, _, lossy) = encoding.encode(string);
            if lossy {
                let culprit = string.chars().find(|c| encoding.encode(c.encode_utf8(&mut [0; 4])).2);
                return Err(unwritable(culprit.unwrap_or_default()));
            }
            bytes.into_owned()
        }
    };
    Ok(STANDARD.encode(bytes).into())
}

fn textdecodebase64(args: &[Value]) -> Outcome {
    let bytes = base64_bytes(args)?;
    let wrong = || Fault::at(0, format!("the bytes are no text in {}", text(args, 1)));
    let decoded = match form(args)? {
        Form::Ascii if !bytes.is_ascii() => return Err(wrong()),
        Form::Ascii | Form::Latin1 => bytes.into_iter().map(char::from).collect(),
        Form::Utf16(big) => utf16_text(&bytes, big).ok_or_else(wrong)?,
        Form::MarkedUtf16 => match (bytes.strip_prefix(&HIGH_FIRST), bytes.strip_prefix(&LOW_FIRST)) {
            (_, Some(rest)) => utf16_text(rest, false),
            (rest, None) => utf16_text(rest.unwrap_or(&bytes), true),
        }
        .ok_or_else(wrong)?,
        Form::Other(encoding) => encoding.decode_without_bom_handling_and_without_replacement(&bytes).ok_or_else(wrong)?.into_owned(),
    };
    Ok(decoded.into())
}

/// The marks before units of two bytes.
const HIGH_FIRST: [u8; 2] = [0xfe, 0xff];
const LOW_FIRST: [u8; 2] = [0xff, 0xfe];

fn utf16_bytes(text: &str, high_first: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if high_first { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

fn utf16_text(bytes: &[u8], high_first: bool) -> Option<String> {
    let units = bytes.chunks(2).map(|pair| {
        let pair = <[u8; 2]>::try_from(pair).ok()?;
        Some(if high_first { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    });
    String::from_utf16(&units.collect::<Option<Vec<u16>>>()?).ok()
}
