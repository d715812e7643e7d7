//! The pages of errors: every code has one, or is on the list of those that have none yet; and an example gives the code that it is for.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use cloudtik::{Project, ProjectOptions};

use super::{codes, tree};

/// Codes without a page: `cloudtik explain` says of them what the tables of the guide do. A code that is new gets a page, not a line here.
const WITHOUT_PAGE: &str = include_str!("without_page.txt");

/// The codes that a spec gives, with what its compilation says.
fn given(spec: &str) -> BTreeSet<&'static str> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.hcl"), spec).unwrap();
    let found = match Project::open(ProjectOptions::new(folder.path())).compile() {
        Ok(compilation) => compilation.warnings,
        Err(failure) => failure.diagnostics,
    };
    found.iter().map(|diagnostic| diagnostic.code).collect()
}

/// The specs in a page.
fn specs(page: &str) -> Vec<&str> {
    page.split("```hcl\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_code_has_a_page_or_is_known_to_have_none() {
    let pages: BTreeSet<&str> = cloudtik::error_pages().map(|(code, _)| code).collect();
    let without: BTreeSet<&str> = WITHOUT_PAGE.lines().collect();
    let codes = codes();
    let missing: Vec<&String> = codes.keys().filter(|code| !pages.contains(code.as_str()) && !without.contains(code.as_str())).collect();
    assert!(missing.is_empty(), "write docs/errors/CODE.md for {missing:?}");
    let mut stale = without.iter().filter(|code| pages.contains(*code) || !codes.contains_key(**code));
    assert_eq!(stale.next(), None, "this line of tests/docs/without_page.txt has a page, or is no code");
    assert!(WITHOUT_PAGE.lines().is_sorted());
    // Not what a test prints, which nobody sees when it passes.
    let _ = writeln!(
        std::io::stderr(),
        "{} CODES HAVE NO PAGE YET, {} HAVE ONE: {}",
        without.len(),
        pages.len(),
        WITHOUT_PAGE.replace('\n', " ")
    );
    // What has no page is in the tables, which is what `explain` falls back to.
    let silent: Vec<&String> = codes.keys().filter(|code| cloudtik::explain_code(code).is_none()).collect();
    assert!(silent.is_empty(), "`cloudtik explain` has nothing to say of {silent:?}");
}

#[test]
fn every_page_is_of_a_code() {
    let sources = tree::sources();
    for (code, page) in cloudtik::error_pages() {
        let quoted = format!("\"{code}\"");
        assert!(sources.values().any(|text| text.contains(&quoted)), "docs/errors/{code}.md: nothing says `{code}`");
        assert!(page.starts_with(&format!("# `{code}`\n\n")), "docs/errors/{code}.md has another heading");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/errors/{code}.md")).is_file());
    }
}

#[test]
fn examples_give_the_code_and_what_is_written_instead_does_not() {
    let mut seen = 0;
    for (code, page) in cloudtik::error_pages() {
        let mut specs = specs(page).into_iter();
        let Some(example) = specs.next() else { continue };
        seen += 1;
        assert!(given(example).contains(code), "the example of docs/errors/{code}.md gives {:?}", given(example));
        for instead in specs {
            assert!(given(instead).is_empty(), "what docs/errors/{code}.md says to write instead gives {:?}", given(instead));
        }
    }
    assert!(seen > 60, "only {seen} pages have an example");
}
