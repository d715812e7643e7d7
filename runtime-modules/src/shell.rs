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
    use proptest::prelude::*;

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

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        /// A real shell reads back exactly what went in.
        #[test]
        fn a_shell_reads_back_what_was_quoted(words in prop::collection::vec("[^\0]{0,24}", 1..5)) {
            let line: Vec<String> = words.iter().map(|word| quote(word).unwrap()).collect();
            let script = format!("printf '%s\\0' {}", line.join(" "));
            let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            let read: Vec<String> = String::from_utf8(output.stdout).unwrap().split_terminator('\0').map(str::to_owned).collect();
            prop_assert_eq!(read, words);
        }
    }
}
