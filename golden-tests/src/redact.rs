//! What differs from run to run and from machine to machine, replaced by a word. The one place for it.

use std::path::Path;

use regex::Regex;

/// The replacements of one run.
pub struct Redaction {
    root: String,
    rules: Vec<(Regex, &'static str)>,
}

impl Redaction {
    /// For a run below this folder.
    ///
    /// # Errors
    /// A pattern of ours is wrong.
    pub fn new(root: &Path) -> Result<Self, String> {
        let platform = format!(r"\b{}_{}\b", std::env::consts::OS, std::env::consts::ARCH);
        let version = format!(r"\b{}\b", regex::escape(env!("CARGO_PKG_VERSION")));
        let rules = [
            // Ids are random: of runs, lineages, operations, and digests of what holds one.
            (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "[ID]"),
            (r"\b[0-9a-f]{16,}\b", "[ID]"),
            (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "[TIMESTAMP]"),
            (platform.as_str(), "[PLATFORM]"),
            (version.as_str(), "[VERSION]"),
            (r"\b(in|after) \d+(\.\d)?s\b", "$1 [TIME]"),
            (r"\(pid \d+\)", "(pid [PID])"),
        ];
        let compiled = rules.into_iter().map(|(pattern, word)| Ok((Regex::new(pattern)?, word))).collect::<Result<_, regex::Error>>();
        Ok(Self { root: root.display().to_string(), rules: compiled.map_err(|error| error.to_string())? })
    }

    /// The text with its changing parts replaced.
    #[must_use]
    pub fn apply(&self, text: &str) -> String {
        let text = text.replace(&self.root, "[ROOT]");
        self.rules.iter().fold(text, |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_replaced_and_the_rest_is_not() {
        let redaction = Redaction::new(Path::new("/tmp/x1")).unwrap();
        let text = "cannot read /tmp/x1/project/a: 0123456789abcdef; created in 1.2s, still creating (10s), 12 abc 0.1.0 2026-01-02T03:04:05.000006Z";
        assert_eq!(
            redaction.apply(text),
            "cannot read [ROOT]/project/a: [ID]; created in [TIME], still creating (10s), 12 abc [VERSION] [TIMESTAMP]"
        );
    }
}
