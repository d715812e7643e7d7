//! The files of the project, as a reader of the repository sees them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are made by running things.
const MADE: &[&str] = &["target", ".git", ".cloudtik", "node_modules"];

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file by its path below the workspace.
pub(crate) fn texts() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk(&root(), &mut found);
    assert!(found.len() > 100, "the project was not found: {} files", found.len());
    found
}

fn walk(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            if !MADE.contains(&entry.file_name().to_string_lossy().as_ref()) {
                walk(&path, found);
            }
        } else if kind.is_file() && entry.file_name() != ".git" {
            // In a second work tree `.git` is a file. What is no text is no prose. A file may also go while somebody else works in the folder.
            if let Ok(text) = fs::read_to_string(&path) {
                found.insert(path.strip_prefix(root()).unwrap().display().to_string(), text);
            }
        }
    }
}

/// Rust sources without the code of their tests, by path.
pub(crate) fn sources() -> BTreeMap<String, String> {
    let is_source =
        |path: &str| path.ends_with(".rs") && path.contains("src/") && !path.contains("/tests/") && !path.ends_with("/tests.rs");
    texts().into_iter().filter(|(path, _)| is_source(path)).map(|(path, text)| (path, without_tests(&text))).collect()
}

/// Up to the module of tests at the end.
fn without_tests(text: &str) -> String {
    let end = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(all(test"].iter().filter_map(|mark| text.find(mark)).min();
    text.get(..end.unwrap_or(text.len())).unwrap().to_owned()
}

/// A generated file must be what the code says; `UPDATE_GOLDEN=1` writes it.
pub(crate) fn assert_fresh(path: &str, expected: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, expected).unwrap();
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    if found != expected {
        let place = found
            .lines()
            .zip(expected.lines())
            .position(|(a, b)| a != b)
            .unwrap_or_else(|| found.lines().count().min(expected.lines().count()));
        let line = |text: &str| text.lines().nth(place).unwrap_or("(the end)").to_owned();
        panic!(
            "{path} is not what the code says, from line {}:\n  it has  {}\n  it needs {}\nwrite it anew: UPDATE_GOLDEN=1 cargo test -p cloudtik --test docs",
            place + 1,
            line(&found),
            line(expected)
        );
    }
}
