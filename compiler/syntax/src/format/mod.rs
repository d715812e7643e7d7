//! The formatter: how a file is written that everybody reads alike. It gives what `terraform fmt` gives, byte for byte.
//!
//! It moves blanks, and nothing else changes but three ways of writing that mean the same: see [`rewrite`]. Comments and ends of lines stay.

use cloudtik_model::{Diagnostics, FileId};

mod blanks;
mod layout;
mod rewrite;
mod tokens;

/// A file as it should be written.
///
/// # Errors
/// The file does not parse: all that is wrong with it.
pub fn format(file: FileId, text: &str) -> Result<String, Diagnostics> {
    let (body, found) = crate::parse_file(file, text);
    if found.has_errors() {
        return Err(found);
    }
    Ok(laid_out(rewrite::rewrite(text, &body).trim_start_matches('\u{feff}')))
}

fn laid_out(text: &str) -> String {
    let mut tokens = tokens::tokens(text);
    layout::lay_out(text, &mut tokens);
    let mut out = String::with_capacity(text.len());
    for token in &tokens {
        out.extend(std::iter::repeat_n(' ', token.blanks));
        out.push_str(text.get(token.span.clone()).unwrap_or_default());
    }
    // Blanks at the end of a file that ends without a line feed.
    out.push_str(text.get(tokens.last().map_or(text.len(), |last| last.span.end)..).unwrap_or_default());
    out
}
