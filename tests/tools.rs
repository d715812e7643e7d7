//! Tools that read plans of Terraform read ours: checkov and terraform-compliance, installed once, find what is wrong with a plan and nothing wrong with
//! another one. And what is printed as JSON is what `docs/schema` says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test reports by failing, and its helpers are tests too"
)]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};

const CHECKOV: &str = include_str!("tools/checkov.txt");
const TERRAFORM_COMPLIANCE: &str = include_str!("tools/terraform-compliance.txt");

/// The rule of checkov that nobody from everywhere reaches SSH.
const SSH_FROM_EVERYWHERE: &str = "CKV_AWS_24";

/// The same for terraform-compliance; and that it finds by its references what the plan does not know yet.
const FEATURES: &str = r#"Feature: Firewalls
  Scenario: Nobody from everywhere reaches SSH
    Given I have aws_vpc_security_group_ingress_rule defined
    When it has cidr_ipv4
    Then it must have cidr_ipv4
    And its value must not match the "0\.0\.0\.0/0" regex

  Scenario: Rules are in a firewall
    Given I have aws_vpc_security_group_ingress_rule defined
    Then it must have security_group_id
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Python of an environment with a tool in it; `None`, said loudly, where it cannot be had.
fn environment(name: &str, requirements: &str) -> Option<PathBuf> {
    match cloudtik_aws_testing::environment(Path::new(env!("CARGO_TARGET_TMPDIR")), name, requirements) {
        Ok(python) => Some(python),
        Err(error) => {
            support::cannot_run(name, &error.to_string());
            None
        }
    }
}

fn cloudtik(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudtik"));
    let output = command.args(arguments).current_dir(folder).env_clear().env("HOME", folder).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The plan of the example, made without a network, saved and shown; with who may reach SSH.
fn plan_of_example(from: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root().join("examples/aws-public-head/main.hcl"), folder.path().join("main.hcl")).unwrap();
    cloudtik(folder.path(), &["plan", "--offline", "--var", &format!("ssh_from=[\"{from}\"]"), "--out", "the.plan"]);
    let plan = folder.path().join("plan.json");
    fs::write(&plan, cloudtik(folder.path(), &["show", "--json", "the.plan"])).unwrap();
    (folder, plan)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn checkov_finds_a_firewall_that_is_open_to_the_world() {
    let Some(python) = environment("checkov", CHECKOV) else { return };
    for (from, is_open) in [("0.0.0.0/0", true), ("203.0.113.7/32", false)] {
        let (folder, plan) = plan_of_example(from);
        let mut checkov = Command::new(python.with_file_name("checkov"));
        checkov.args(["--framework", "terraform_plan", "--compact", "--output", "json", "--skip-download", "--check", SSH_FROM_EVERYWHERE]);
        let output = checkov.arg("--file").arg(&plan).current_dir(folder.path()).env("HOME", folder.path()).output().unwrap();
        let report: Json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        assert_eq!(report["summary"]["parsing_errors"], 0);
        assert!(report["summary"]["passed"].as_u64().unwrap() >= 3, "{report}");
        let failed: Vec<&str> =
            report["results"]["failed_checks"].as_array().unwrap().iter().map(|check| check["resource"].as_str().unwrap()).collect();
        let expected: &[&str] = if is_open { &[r#"workspace.example.ingress_rule.head["ssh:0.0.0.0/0"]"#] } else { &[] };
        assert_eq!(failed, expected);
        assert_eq!(output.status.success(), !is_open);
    }
}

#[test]
fn terraform_compliance_finds_it_too() {
    let Some(python) = environment("terraform-compliance", TERRAFORM_COMPLIANCE) else { return };
    for (from, is_open) in [("0.0.0.0/0", true), ("203.0.113.7/32", false)] {
        let (folder, plan) = plan_of_example(from);
        let features = folder.path().join("features");
        fs::create_dir(&features).unwrap();
        fs::write(features.join("firewalls.feature"), FEATURES).unwrap();
        let mut tool = Command::new(python.with_file_name("terraform-compliance"));
        let output =
            tool.args(["--no-ansi", "--features", "features", "--planfile"]).arg(&plan).current_dir(folder.path()).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.success(), !is_open, "{said}");
        let scenarios = if is_open { "2 scenarios (1 passed, 1 failed)" } else { "2 scenarios (2 passed)" };
        assert!(said.contains(scenarios), "{said}");
    }
}

/// What is wrong with documents, each with the schema that it should be of.
fn complaints(python: &Path, documents: &[(&str, Json)]) -> String {
    let mut command = Command::new(python);
    let command = command.arg(root().join("tests/tools/validate.py")).arg(root().join("docs/schema"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines: String = documents.iter().map(|document| format!("{}\n", json!(document))).collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Every document that golden cases expect, with the name of its schema.
fn documents_of_cases() -> Vec<(&'static str, Json)> {
    let mut documents = Vec::new();
    for case in fs::read_dir(root().join("golden-tests/cases")).unwrap() {
        let expected = fs::read_to_string(case.unwrap().path().join("expected/stdout")).unwrap_or_default();
        for part in expected.split("$ cloudtik ").skip(1) {
            let (command, printed) = part.split_once('\n').unwrap();
            let words: Vec<&str> = command.split(' ').collect();
            if !words.contains(&"-json") {
                continue;
            }
            let schema = match words.as_slice() {
                ["plan", ..] => "plan",
                ["show", "-json"] | ["state", ..] => "state",
                ["show", ..] => "plan",
                ["apply" | "destroy", ..] => "events",
                _ => continue,
            };
            documents.extend(serde_json::Deserializer::from_str(printed).into_iter::<Json>().map(|document| (schema, document.unwrap())));
        }
    }
    documents
}

#[test]
fn what_is_printed_is_what_the_schemas_say() {
    let Some(python) = environment("checkov", CHECKOV) else { return };
    let mut documents = documents_of_cases();
    for schema in ["plan", "state", "events"] {
        assert!(documents.iter().filter(|(of, _)| *of == schema).count() >= 3, "there are few documents of {schema}");
    }
    let (_folder, plan) = plan_of_example("203.0.113.7/32");
    documents.push(("plan", serde_json::from_str(&fs::read_to_string(plan).unwrap()).unwrap()));
    assert_eq!(complaints(&python, &documents), "");

    // A field that nobody described is found wherever it is.
    let mut unknown = Vec::new();
    for (schema, document) in &documents {
        for pointer in [
            "",
            "/cloudtik",
            "/resource_changes/0",
            "/resource_changes/0/change",
            "/resource_changes/0/cloudtik",
            "/planned_values/root_module/resources/0",
            "/configuration/root_module/resources/0",
            "/values/root_module/resources/0",
            "/hook",
            "/hook/resource",
            "/change",
            "/changes",
        ] {
            let mut changed = document.clone();
            if let Some(Json::Object(entries)) = changed.pointer_mut(pointer) {
                entries.insert("nobody_knows_it".to_owned(), json!(1));
                unknown.push((*schema, changed));
            }
        }
    }
    let found = complaints(&python, &unknown);
    for (i, (schema, document)) in unknown.iter().enumerate() {
        assert!(found.contains(&format!("{schema} {}: ", i + 1)), "nothing is said of {document}");
    }
}
