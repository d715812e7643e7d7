//! What the parser of expressions does not read and HCL has: line breaks between the brackets of a sequence, of a call, of a list; blanks around the
//! `::` of `core::upper`. Both become blanks, so that every offset stays what it is.

/// The text, which is without templates and comments, as the parser reads it. `None`: nothing is different.
pub(crate) fn relaxed(text: &str, in_sequence: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut relaxed = bytes.to_vec();
    // Whether line breaks mean nothing inside of each bracket that is open.
    let mut open = vec![in_sequence];
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b'(' | b'[' => open.push(true),
            b'{' => open.push(begins_with_for(text.get(at + 1..).unwrap_or_default())),
            b')' | b']' | b'}' if open.len() > 1 => drop(open.pop()),
            b'\n' if open.last() == Some(&true) => blank(&mut relaxed, at, at + 1),
            b'c' => {
                if let Some(end) = namespace_end(text, at) {
                    blank(&mut relaxed, at, end);
                    at = end - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    String::from_utf8(relaxed).ok().filter(|relaxed| relaxed != text)
}

fn blank(bytes: &mut [u8], start: usize, end: usize) {
    if let Some(part) = bytes.get_mut(start..end) {
        part.fill(b' ');
    }
}

/// Where the quote stands that ends a string.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn begins_with_for(inside: &str) -> bool {
    let word = inside.trim_start().strip_prefix("for");
    word.is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

/// The end of `core ::` with the blanks behind it, if it begins there and is no part of a longer name.
fn namespace_end(text: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?.chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')) {
        return None;
    }
    let rest = text.get(at..)?.strip_prefix("core")?.trim_start().strip_prefix("::")?.trim_start();
    Some(text.len() - rest.len())
}
