//! Quoting for POSIX shells. SSH carries a command as one line that the remote login shell parses, so every word we send goes through here; nothing
//! is ever pasted into a command line by hand.

/// One word as a POSIX shell reads it back unchanged.
///
/// Words of harmless characters stay as they are, so that what shows up in logs and process lists is readable.
#[must_use]
pub fn shell_quote(word: &str) -> String {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':' | b',' | b'+' | b'@' | b'%');
    if !word.is_empty() && word.bytes().all(harmless) {
        return word.to_owned();
    }
    // Inside single quotes nothing is special but the single quote, which is closed, escaped and opened again.
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A command line out of its words, each quoted. A first word with `=` in it is quoted too: bare, a shell would take it for an assignment.
#[must_use]
pub fn shell_join<I, S>(words: I) -> String
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    let quoted: Vec<String> = words.into_iter().map(|word| shell_quote(word.as_ref())).collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn harmless_words_stay_readable() {
        assert_eq!(shell_join(["tar", "-C", "/opt/x_1.2", "--strip=1"]), "tar -C /opt/x_1.2 '--strip=1'");
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("it's"), r"'it'\''s'");
        assert_eq!(shell_quote("~root"), "'~root'");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_real_shell_reads_back_what_was_quoted(words in prop::collection::vec("[^\\x00]{0,24}", 1..6)) {
            let line = format!("printf '%s\\0' {}", shell_join(&words));
            let output = std::process::Command::new("/bin/sh").arg("-c").arg(&line).output().unwrap();
            let expected: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
            prop_assert_eq!(output.stdout, expected);
        }
    }
}
