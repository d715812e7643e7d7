//! The spec files of this repository are written as `cloudtik fmt` writes them; and, where Terraform is on the path, as it does.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cloudtik::{format_files, format_text};

/// Folders with spec files that people read.
const READ_BY_PEOPLE: [&str; 2] = ["examples", "runtime-modules"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn examples_and_modules_are_formatted() {
    for folder in READ_BY_PEOPLE {
        let (files, failure) = format_files(&root().join(folder), true);
        assert!(failure.is_none(), "{failure:?}");
        assert!(!files.is_empty());
        let changed: Vec<PathBuf> = files.into_iter().filter(|file| file.is_changed()).map(|file| file.path).collect();
        assert!(changed.is_empty(), "run: cloudtik fmt --recursive {folder}\n{changed:?}");
    }
}

#[test]
fn terraform_writes_the_same() {
    if terraform("a = 1\n").is_none() {
        println!("NOT CHECKED: there is no `terraform` on the path to compare `fmt` with");
        return;
    }
    let mut compared = 0;
    for folder in ["examples", "runtime-modules", "golden-tests/cases"] {
        let (files, _) = format_files(&root().join(folder), true);
        for file in files {
            for text in [file.before.clone(), without_blanks(&file.before)] {
                // What Terraform cannot parse is ours alone.
                let (Ok(ours), Some(theirs)) = (format_text("x", &text), terraform(&text)) else { continue };
                assert_eq!(ours.trim_end_matches('\n'), theirs.trim_end_matches('\n'), "{}\n{text}", file.path.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared} texts were compared");
}

/// The same with no blank at the beginning of lines and around `=`, where that is not inside of a text.
fn without_blanks(text: &str) -> String {
    let mut in_heredoc = false;
    let mut out = String::new();
    for line in text.lines() {
        in_heredoc |= line.contains("<<");
        let bare = line.trim_start();
        out.push_str(&if in_heredoc { line.to_owned() } else { bare.replacen(" = ", "=", 1) });
        out.push('\n');
    }
    out
}

/// What `terraform fmt` makes of a text; `None` where there is none, or the text has an error for it.
fn terraform(text: &str) -> Option<String> {
    let mut command = Command::new("terraform");
    command.args(["fmt", "-no-color", "-"]).env("TF_CLI_CONFIG_FILE", "/dev/null").env("CHECKPOINT_DISABLE", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    child.stdin.take()?.write_all(text.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
