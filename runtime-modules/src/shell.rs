//! Words of a shell.

/// One word of `/bin/sh` that stands for this text, whatever is in it. A text that no word can stand for, because it holds a zero
/// byte, gives `None`.
#[must_use]
pub fn quote(text: &str) -> Option<String> {
    if text.contains('\0') {
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '%' | '+' | ':' | ',' | '.' | '/' | '-');
    if !text.is_empty() && text.chars().all(plain) {
        return Some(text.to_owned());
    }
    Some(format!("'{}'", text.replace('\'', "'\\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_stay_and_others_are_quoted() {
        assert_eq!(quote("nginx.conf").unwrap(), "nginx.conf");
        assert_eq!(quote("").unwrap(), "''");
        assert_eq!(quote("it's $HOME").unwrap(), r"'it'\''s $HOME'");
        assert_eq!(quote("a=b").unwrap(), "'a=b'");
        assert_eq!(quote("~").unwrap(), "'~'");
        assert_eq!(quote("a\0b"), None);
    }
}
