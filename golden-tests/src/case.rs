//! One case: its files, its commands, and what is expected of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::redact::Redaction;
use crate::run::Place;

/// A folder of the cases.
#[derive(Clone, Debug)]
pub struct Case {
    folder: PathBuf,
}

impl Case {
    /// Every case of a folder, by name.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn all(folder: &Path) -> Result<Vec<Self>, String> {
        let failed = |error: std::io::Error| format!("`{}` cannot be read: {error}", folder.display());
        let mut cases = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let folder = entry.map_err(failed)?.path();
            if folder.is_dir() {
                cases.push(Self { folder });
            }
        }
        cases.sort_by(|a, b| a.folder.cmp(&b.folder));
        Ok(cases)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Runs it, and compares what came of it with what is expected; or writes that down.
    ///
    /// # Errors
    /// A sentence, or the difference.
    pub fn check(&self, binary: &Path, update: bool) -> Result<(), String> {
        let found = self.run(binary)?;
        if update { self.write(&found) } else { self.compare(&found) }
    }

    /// Every file of `expected/` as it should be, by its path there.
    fn run(&self, binary: &Path) -> Result<BTreeMap<String, String>, String> {
        let commands = fs::read_to_string(self.folder.join("cmd")).map_err(|error| format!("`cmd` cannot be read: {error}"))?;
        let lines: Vec<&str> = commands.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let place = Place::with(&self.folder.join("in"))?;
        let redaction = Redaction::new(place.root())?;
        let (mut stdout, mut stderr, mut exit) = (String::new(), String::new(), String::new());
        let many = lines.iter().filter(|line| line.contains("cloudtik")).count() > 1;
        for line in &lines {
            // What runs at once ends in any order: such a command says so, and the lines of its stderr are sorted.
            let (command, sorted) = line.strip_prefix("sorted ").map_or((*line, false), |command| (command, true));
            // A long line of JSON says so too, and is written as people read it.
            let (command, indented) = command.strip_prefix("indented ").map_or((command, false), |command| (command, true));
            let Some(ran) = place.line(command, binary)? else { continue };
            for (all, text, sorted, indented) in [(&mut stdout, &ran.stdout, false, indented), (&mut stderr, &ran.stderr, sorted, false)] {
                let mut text = if indented && !text.is_empty() { indent(text)? } else { text.clone() };
                text = redaction.apply(&text);
                if sorted {
                    let mut lines: Vec<&str> = text.lines().collect();
                    lines.sort_unstable();
                    text = lines.into_iter().flat_map(|line| [line, "\n"]).collect();
                }
                if many && !text.is_empty() {
                    let _ = writeln!(all, "$ {command}");
                }
                all.push_str(&text);
                if many && !text.is_empty() && !text.ends_with('\n') {
                    all.push_str("(no end of line)\n");
                }
            }
            let _ = writeln!(exit, "{}", ran.exit);
        }
        let mut found = BTreeMap::from([("stdout".to_owned(), stdout), ("stderr".to_owned(), stderr), ("exit".to_owned(), exit)]);
        found.retain(|_, text| !text.is_empty());
        for path in self.expected_files()?.into_iter().filter_map(|path| path.strip_prefix("files/").map(str::to_owned)) {
            let bytes = fs::read(place.project().join(&path)).map_err(|error| format!("the run left no file `{path}`: {error}"))?;
            found.insert(format!("files/{path}"), redaction.apply(&String::from_utf8_lossy(&bytes)));
        }
        Ok(found)
    }

    fn compare(&self, found: &BTreeMap<String, String>) -> Result<(), String> {
        let mut problems = String::new();
        let expected = self.expected_files()?;
        for path in expected.iter().filter(|path| !found.contains_key(*path)) {
            let _ = writeln!(problems, "nothing gives the expected file `{path}`: it was empty, or it has the wrong name");
        }
        for (path, text) in found {
            let expected = fs::read_to_string(self.expected(path)).unwrap_or_default();
            if expected != *text {
                let diff = TextDiff::from_lines(expected.as_str(), text.as_str());
                let _ = writeln!(
                    problems,
                    "{}",
                    diff.unified_diff().context_radius(3).header(&format!("expected/{path}"), &format!("found/{path}"))
                );
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(format!("{problems}UPDATE_GOLDEN=1 takes what was found as expected")) }
    }

    fn write(&self, found: &BTreeMap<String, String>) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("`expected` cannot be written: {error}");
        for path in self.expected_files()?.iter().filter(|path| !found.contains_key(*path)) {
            fs::remove_file(self.expected(path)).map_err(failed)?;
        }
        for (path, text) in found {
            let path = self.expected(path);
            fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| fs::write(&path, text)).map_err(failed)?;
        }
        Ok(())
    }

    fn expected(&self, path: &str) -> PathBuf {
        self.folder.join("expected").join(path)
    }

    /// The paths below `expected/`.
    fn expected_files(&self) -> Result<Vec<String>, String> {
        fn below(folder: &Path, prefix: &str, found: &mut Vec<String>) -> std::io::Result<()> {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if entry.file_type()?.is_dir() { below(&entry.path(), &format!("{path}/"), found)? } else { found.push(path) }
            }
            Ok(())
        }
        let folder = self.folder.join("expected");
        let mut found = Vec::new();
        if folder.is_dir() {
            below(&folder, "", &mut found).map_err(|error| format!("`expected` cannot be read: {error}"))?;
        }
        found.sort();
        Ok(found)
    }
}

/// Each line of JSON with a line for each of its parts.
fn indent(text: &str) -> Result<String, String> {
    let part = |line: &str| serde_json::from_str::<serde_json::Value>(line).map(|json| format!("{json:#}\n"));
    text.lines().map(part).collect::<Result<_, _>>().map_err(|error| format!("a line that should be JSON is none: {error}"))
}
