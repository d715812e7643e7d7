//! Values on one line, of bounded length.

use cloudtik_lang::render_line;
use cloudtik_model::Value;

/// The longest value in a sentence: longer ones push the sentence out of sight.
const MAX_SHORT_CHARS: usize = 60;

/// A value inside a sentence.
pub(crate) fn short(value: &Value) -> String {
    bounded(&render_line(value), MAX_SHORT_CHARS)
}

/// At most `max` characters of a text; what is left out is marked.
pub(crate) fn bounded(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
