//! `storage`: what cannot be meant of a store that is there already, and of one that is made.

use cloudtik_model::{Diagnostic, Diagnostics, Lifecycle};

use crate::evaluate::Evaluated;

/// What a block says of a store that is made.
const OF_MADE: [&str; 4] = ["name", "versioning", "encrypted", "on_destroy"];

/// Who nodes are to a store that does not know them.
const KEYS: [&str; 2] = ["access_key", "secret_key"];

/// Says what is wrong with the stores of a block.
pub(crate) fn check_stores(block: &Evaluated, found: &mut Diagnostics) {
    for store in block.all("storage") {
        let existing = store.field("existing");
        if existing.value.is_null() {
            check_made(store, found);
        } else {
            check_existing(store, found);
        }
        if let [(name, Some(span)), (other, None)] | [(other, None), (name, Some(span))] = KEYS.map(|name| (name, written(store, name))) {
            let title = format!("`{name}` is of no use without `{other}`");
            found.push(Diagnostic::error("storage-keys", title).at(span).help(format!("write `{other}` too, or leave out both")));
        }
    }
}

/// Where a block says something.
fn written(block: &Evaluated, name: &str) -> Option<cloudtik_model::Span> {
    let field = block.fields.get(name)?;
    (!field.span.is_none() && !field.value.is_null()).then_some(field.span)
}

fn check_made(store: &Evaluated, found: &mut Diagnostics) {
    if let Some(span) = KEYS.iter().find_map(|name| written(store, name)) {
        let title = "keys are for a store that is there already: one that is made knows nodes by their identity";
        let help = "leave out `access_key` and `secret_key`, or name the store: `existing = \"s3://NAME\"`";
        found.push(Diagnostic::error("storage-keys", title).at(span).help(help));
    }
}

fn check_existing(store: &Evaluated, found: &mut Diagnostics) {
    let existing = store.field("existing");
    for (name, span) in OF_MADE.iter().filter_map(|name| Some((name, written(store, name)?))) {
        let title = format!("`{name}` is about a store that is made, and this one is there already: it is never changed or deleted");
        let help = format!("leave out `{name}`, or leave out `existing` and a store is made");
        found.push(Diagnostic::error("existing-storage", title).at(span).and_at(existing.span, "the store that is there").help(help));
    }
    if store.lifecycle != Lifecycle::default() {
        let title = "a store that is there already is never changed or deleted, so there is nothing for `lifecycle` to say";
        found.push(Diagnostic::error("existing-storage", title).at(store.span).help("leave out `lifecycle`"));
    }
    let Some(uri) = existing.value.as_str() else { return };
    let help = "write its URI, such as `s3://NAME` or `s3://NAME/FOLDER`";
    let rest = uri.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).map(|(_, rest)| rest);
    let place = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    if existing.value.is_sensitive() || place.is_some_and(|place| place.contains('@')) {
        let title = "`existing` names who uses the store, and everybody who works on a node would read it";
        let help = "write `access_key` and `secret_key` beside it, and the URI without them";
        found.push(Diagnostic::error("storage-keys", title).at(existing.span).help(help));
    } else if rest.is_none_or(|rest| rest.trim_matches('/').is_empty() || rest.contains(|c: char| c.is_whitespace() || c.is_control())) {
        found.push(Diagnostic::error("storage-uri", "`existing` is no URI of a store").at(existing.span).help(help));
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '+')
}
