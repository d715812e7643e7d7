//! Who may know whom: the list of `docs/ARCHITECTURE.md`, held against the manifests and the sources.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each package of ours may depend on. Nothing else of ours, in any table but `dev-dependencies`.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("syntax", &["model"]),
    ("lang", &["model", "syntax"]),
    ("runtime-modules", &["model", "syntax", "lang"]),
    ("provider-api", &["model"]),
    ("compiler", &["model", "syntax", "lang", "runtime-modules", "provider-api"]),
    ("planner", &["model", "lang", "provider-api"]),
    ("ssh", &["model"]),
    ("executor", &["model", "lang", "runtime-modules", "provider-api", "planner", "ssh"]),
    ("controller", &["model", "lang", "runtime-modules", "provider-api", "planner", "ssh", "executor"]),
    ("controller-simulator", &["model", "lang", "provider-api", "planner", "executor", "controller", "controller-client", "sim"]),
    ("node", &["model", "ssh"]),
    ("controller-client", &["model", "provider-api", "ssh"]),
    ("local", &["model", "provider-api"]),
    ("sim", &["model", "provider-api"]),
    ("aws", &["model", "provider-api"]),
    ("aws-client", &["model", "provider-api", "aws"]),
    ("aws-testing", &[]),
    ("conformance", &["model", "provider-api"]),
    ("fuzz", &["model", "syntax", "lang", "provider-api", "compiler", "planner", "executor", "controller-client", "local", "sim", "aws"]),
    ("golden-tests", &[]),
    ("benches", &["aws-testing"]),
];

/// Crates that only one package may use.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("russh", &["ssh"]),
    ("hcl-edit", &["syntax"]),
    ("handlebars", &["runtime-modules"]),
    ("rtnetlink", &["local"]),
    ("miette", &["cloudtik"]),
    ("clap", &["cloudtik"]),
    ("aws-config", &["aws-client"]),
    ("aws-sdk-cloudformation", &["aws-client"]),
    ("aws-sdk-ec2", &["aws-client"]),
    ("aws-sdk-elasticloadbalancingv2", &["aws-client"]),
    ("aws-sdk-iam", &["aws-client"]),
    ("aws-sdk-rds", &["aws-client"]),
    ("aws-sdk-s3", &["aws-client"]),
    ("aws-sdk-ssm", &["aws-client"]),
    ("aws-sdk-sts", &["aws-client"]),
];

/// Packages that do no IO and start nothing: they may not even know the crates for it.
const PURE: &[&str] = &["model", "syntax", "lang", "runtime-modules", "provider-api", "compiler", "planner", "aws"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The manifests of all members, by package name without `cloudtik-`.
fn manifests() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = text.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let folders: Vec<&str> = members.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| !member.is_empty()).collect();
    assert!(folders.len() > 10, "the members were not read: {folders:?}");
    folders
        .into_iter()
        .map(|folder| {
            let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
            let manifest = manifest.rsplit_once("[package]").unwrap().1.to_owned();
            let name = manifest.split_once("name = \"").unwrap().1.split_once('"').unwrap().0.to_owned();
            (name.trim_start_matches("cloudtik-").to_owned(), manifest)
        })
        .collect()
}

/// The names in the tables that end up in a build; `dev` adds those of tests.
fn dependencies(manifest: &str, dev: bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut counts = false;
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            counts = table == "dependencies"
                || table == "build-dependencies"
                || table.ends_with(".dependencies")
                || (dev && table == "dev-dependencies");
        } else if counts && !line.starts_with('#') {
            let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
            if !name.is_empty() {
                names.insert(name);
            }
        }
    }
    names
}

#[test]
fn packages_know_only_whom_they_may() {
    let manifests = manifests();
    let mut wrong = Vec::new();
    for (name, manifest) in &manifests {
        if name == "cloudtik" {
            continue;
        }
        let Some((_, allowed)) = MAY_KNOW.iter().find(|(known, _)| known == name) else {
            wrong.push(format!("{name} is not in the list"));
            continue;
        };
        for dependency in dependencies(manifest, false) {
            if let Some(ours) = dependency.strip_prefix("cloudtik-")
                && !allowed.contains(&ours)
            {
                wrong.push(format!("{name} may not know {ours}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn some_crates_have_one_home() {
    let mut wrong = Vec::new();
    for (name, manifest) in manifests() {
        let all = dependencies(&manifest, false);
        for (only, homes) in ONLY_IN {
            if all.contains(*only) && !homes.contains(&name.as_str()) {
                wrong.push(format!("{name} uses {only}, which belongs to {homes:?}"));
            }
        }
        if PURE.contains(&name.as_str()) {
            for io in ["tokio", "nix", "libc", "russh", "getrandom"] {
                if all.contains(io) {
                    wrong.push(format!("{name} is pure and uses {io}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_command_line_sees_only_the_facade() {
    let mut files = vec![root().join("src/main.rs")];
    sources(&root().join("src/cli"), &mut files);
    assert!(files.len() > 3);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("cloudtik_"), "{} names a package of ours that is not the facade", file.display());
    }
}

#[test]
fn one_file_renders_with_miette() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let users: Vec<PathBuf> = files.into_iter().filter(|file| fs::read_to_string(file).unwrap().contains("miette::")).collect();
    assert_eq!(users.len(), 1, "{users:?}");
}
