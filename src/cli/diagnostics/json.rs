//! Diagnostics for tools: the form of `validate --json`, which follows Terraform's.

use cloudtik::model::{Diagnostic, Diagnostics, Label, Severity, SourceMap};
use serde_json::{Map, Value as Json, json};

/// Version of the form; the second number grows with additions.
const FORMAT_VERSION: &str = "1.0";

/// `{ format_version, valid, error_count, warning_count, diagnostics }`
pub(crate) fn to_json(diagnostics: &Diagnostics, sources: &SourceMap) -> Json {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    json!({
        "format_version": FORMAT_VERSION,
        "valid": errors == 0,
        "error_count": errors,
        "warning_count": diagnostics.len() - errors,
        "diagnostics": diagnostics.iter().map(|diagnostic| one(diagnostic, sources)).collect::<Vec<_>>(),
    })
}

/// `detail` is what Terraform's readers look for: the help and the notes as one text.
pub(crate) fn one(diagnostic: &Diagnostic, sources: &SourceMap) -> Json {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let detail: Vec<&str> = diagnostic.help.iter().chain(&diagnostic.notes).map(String::as_str).collect();
    let mut json = Map::from_iter([
        ("severity".to_owned(), severity.into()),
        ("code".to_owned(), diagnostic.code.into()),
        ("summary".to_owned(), diagnostic.title.clone().into()),
        ("detail".to_owned(), detail.join("\n").into()),
    ]);
    if let Some(help) = &diagnostic.help {
        json.insert("help".to_owned(), help.clone().into());
    }
    if !diagnostic.notes.is_empty() {
        json.insert("notes".to_owned(), diagnostic.notes.clone().into());
    }
    if let Some(address) = &diagnostic.address {
        json.insert("address".to_owned(), address.to_string().into());
    }
    if let Some(primary) = &diagnostic.primary
        && let Some(range) = range(primary, sources)
    {
        json.insert("range".to_owned(), range);
        if !primary.message.is_empty() {
            json.insert("label".to_owned(), primary.message.clone().into());
        }
    }
    let related: Vec<Json> =
        diagnostic.labels.iter().filter_map(|label| Some(json!({ "message": label.message, "range": range(label, sources)? }))).collect();
    if !related.is_empty() {
        json.insert("related".to_owned(), related.into());
    }
    Json::Object(json)
}

/// Lines and columns count from 1, columns in characters; bytes count from 0, from the beginning of the file.
fn range(label: &Label, sources: &SourceMap) -> Option<Json> {
    let file = sources.get(label.span.file)?;
    let place = |offset: u32| {
        let (line, column) = file.position(offset);
        json!({ "line": line, "column": column, "byte": offset })
    };
    Some(json!({ "filename": file.path, "start": place(label.span.start), "end": place(label.span.end) }))
}
