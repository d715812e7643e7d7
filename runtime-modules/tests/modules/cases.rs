//! Golden cases of the shipped modules: a folder each, `runtime.hcl` in, `expected.txt` out. `UPDATE_GOLDEN=1` writes what came out.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support;

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

#[test]
fn every_case_comes_out_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut wrong = Vec::new();
    let mut count = 0;
    for module in folders(&root) {
        for folder in folders(&module) {
            count += 1;
            let name = module.file_name().unwrap().to_str().unwrap();
            let runtime = fs::read_to_string(folder.join("runtime.hcl")).unwrap();
            let case = support::shipped(name, &runtime);
            assert!(case.found.is_empty(), "{}", case.messages(&case.found));
            let expanded = case.expand();
            let actual = format!("{}{}", support::listing(&expanded, &support::facts()), case.messages(&expanded.diagnostics));
            let expected = folder.join("expected.txt");
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&expected, actual).unwrap();
            } else if fs::read_to_string(&expected).unwrap_or_default() != actual {
                wrong.push(format!("{}:\n{actual}", folder.display()));
            }
        }
    }
    assert!(count >= 5, "only {count} cases were found");
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 accepts these:\n{}", wrong.join("\n"));
}
