//! Templates of CloudFormation as AWS's own linter sees them: each golden one, and the example's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are no test functions to clippy")]

use std::fs;
use std::path::{Path, PathBuf};

use cloudtik_aws_testing::Linter;

/// Where they are, below the package.
const FOLDERS: [&str; 2] = ["../tests/golden/cloudformation", "../../../golden-tests/cases/aws-cloudformation/expected/files"];

fn templates() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = FOLDERS.iter().flat_map(|folder| {
        let found = fs::read_dir(here.join(folder)).expect("the golden templates").map(|entry| entry.unwrap().path());
        let found: Vec<PathBuf> = found.collect();
        assert!(!found.is_empty(), "{folder}");
        found
    });
    all.collect()
}

#[test]
fn the_linter_has_nothing_to_say() {
    let Some(linter) = Linter::install_or_say(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    assert_eq!(linter.complaints(&templates()).unwrap(), "");
}

#[test]
fn the_linter_sees_what_is_wrong() {
    let Some(linter) = Linter::install_or_say(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let text = fs::read_to_string(templates().first().unwrap()).unwrap();
    let wrong = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wrong.json");
    fs::write(&wrong, text.replacen("\"InstanceProfileName\"", "\"NoSuchProperty\"", 1)).unwrap();
    assert!(linter.complaints(&[wrong]).unwrap().contains("NoSuchProperty"));
}
