//! The smallest pieces of text: identifiers, escapes, what a line looks like. Pure functions of a text and an offset.

/// The byte at an offset.
pub(crate) fn byte(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at).copied()
}

/// A part of a text; empty when the offsets are no boundaries of characters.
pub(crate) fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

/// Where the identifier that begins at an offset ends; the offset itself when none does.
pub(crate) fn identifier_end(text: &str, start: usize) -> usize {
    let mut end = start;
    let mut ascii = true;
    while let Some(next) = byte(text, end) {
        if next.is_ascii_alphanumeric() || next == b'_' || next == b'-' || !next.is_ascii() {
            ascii &= next.is_ascii();
            end += 1;
        } else {
            break;
        }
    }
    if !ascii {
        let run = slice(text, start, end);
        end = start + run.char_indices().find(|(_, c)| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).map_or(run.len(), |(at, _)| at);
        if hcl_edit::Ident::try_new(slice(text, start, end)).is_err() {
            return start;
        }
    }
    if byte(text, start).is_some_and(|first| first.is_ascii_digit() || first == b'-') { start } else { end }
}

/// The first offset at or after `at` that holds neither a blank nor a tab nor a carriage return.
pub(crate) fn after_blanks(text: &str, mut at: usize) -> usize {
    while matches!(byte(text, at), Some(b' ' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the line that an offset stands in: the offset of its line feed, or of the end.
pub(crate) fn line_end(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

/// The start of the line that an offset stands in.
pub(crate) fn line_start(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    before.iter().rposition(|byte| *byte == b'\n').map_or(0, |feed| feed + 1)
}

/// How a line begins that may be a statement of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement {
    /// `name =`
    Attribute,
    /// `kind {`, `kind "label" {`
    Block {
        /// Whether it has a label in quotes.
        quoted_label: bool,
    },
}

/// Whether what stands at an offset, the first of its line, looks like an attribute or a block.
pub(crate) fn statement_at(text: &str, start: usize) -> Option<Statement> {
    let mut at = identifier_end(text, start);
    if at == start || matches!(slice(text, start, at), "in" | "if" | "for" | "else") {
        return None;
    }
    let mut quoted_label = false;
    at = after_blanks(text, at);
    if byte(text, at) == Some(b'=') {
        return (!matches!(byte(text, at + 1), Some(b'=' | b'>'))).then_some(Statement::Attribute);
    }
    loop {
        match byte(text, at)? {
            b'{' => return Some(Statement::Block { quoted_label }),
            b'"' => {
                let rest = slice(text, at + 1, line_end(text, at));
                at += 2 + rest.find('"')?;
                quoted_label = true;
            }
            _ => {
                let end = identifier_end(text, at);
                if end == at {
                    return None;
                }
                at = end;
            }
        }
        at = after_blanks(text, at);
    }
}

/// How many bytes the escape at an offset (of the backslash) has; an error is how many look like a wrong one.
pub(crate) fn escape_length(text: &str, at: usize) -> Result<usize, usize> {
    let hexadecimal = |digits: usize| {
        let code = text.get(at + 2..at + 2 + digits).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32) {
            Some(_) => Ok(2 + digits),
            None => {
                let given = text.bytes().skip(at + 2).take(digits).take_while(u8::is_ascii_hexdigit).count();
                Err(2 + given)
            }
        }
    };
    match text.get(at + 1..).and_then(|rest| rest.chars().next()) {
        Some('n' | 'r' | 't' | '"' | '\\') => Ok(2),
        Some('u') => hexadecimal(4),
        Some('U') => hexadecimal(8),
        Some('\n') | None => Err(1),
        Some(other) => Err(1 + other.len_utf8()),
    }
}

/// The text that a literal part of a template stands for: `$${` and `%%{` lose a sign, and in quotes escapes are resolved.
/// The scan has refused what is no escape.
pub(crate) fn literal(source: &str, quoted: bool) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find(['\\', '$', '%']) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let length = if from.starts_with("$${") || from.starts_with("%%{") {
            text.push_str(slice(from, 1, 3));
            3
        } else if quoted && from.starts_with('\\') {
            let length = escape_length(from, 0).unwrap_or(1);
            text.extend(escaped(slice(from, 0, length)));
            length
        } else {
            text.push_str(slice(from, 0, 1));
            1
        };
        rest = slice(from, length, from.len());
    }
    text.push_str(rest);
    text
}

fn escaped(escape: &str) -> Option<char> {
    match escape.chars().nth(1)? {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'u' | 'U' => char::from_u32(u32::from_str_radix(slice(escape, 2, escape.len()), 16).ok()?),
        other => Some(other),
    }
}
