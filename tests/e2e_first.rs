//! `examples/first` from end to end, in both forms of the local cloud: made, served, left alone, changed, taken apart, removed without a
//! trace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use support::stage::{Form, Stage, free_port, get};

#[test]
fn as_root_in_namespaces() {
    if support::is_root() {
        first(Form::Namespaces);
    } else {
        support::cannot_run("`examples/first` in namespaces", "it needs root");
    }
}

#[test]
fn as_a_user_without_rights() {
    first(Form::Plain);
}

fn example() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/first")
}

/// The spec without its `runtime` block.
fn without_runtime(spec: &str) -> String {
    let (before, rest) = spec.split_once("  runtime \"nginx\" {").unwrap();
    let (_, after) = rest.split_once("\n  }\n").unwrap();
    format!("{before}{after}")
}

/// The verbs of the audit log after an entry.
fn verbs_after(stage: &Stage, entries: usize) -> Vec<String> {
    stage.audit().iter().skip(entries).map(|entry| entry["verb"].as_str().unwrap().to_owned()).collect()
}

fn first(form: Form) {
    let stage = Stage::new(form);
    let spec = fs::read_to_string(example().join("main.hcl")).unwrap();
    stage.spec(&spec);
    let port = format!("port={}", free_port());
    let apply = ["apply", "--auto-approve", "--var", &port];

    // It is made, and serves.
    let ran = stage.expect(0, &apply);
    println!("{form:?}: apply took {:.1} s", ran.took.as_secs_f64());
    let word = if form == Form::Namespaces { "namespaces" } else { "plain" };
    assert!(ran.stdout.contains(&format!("form {word}")), "the plan does not name the form: {}", ran.text());
    let url = stage.expect(0, &["output", "--raw", "page"]).stdout;
    let page = get(&url).unwrap();
    assert!(page.contains("<h1>Hello from cloudtik</h1>"), "{page}");

    // It is left alone.
    let entries = stage.audit().len();
    assert!(stage.audited("dial") > 0, "the audit log has no dial of the first apply");
    let ran = stage.expect(0, &apply);
    assert!(ran.stdout.contains("No changes"), "{}", ran.text());
    assert_eq!(verbs_after(&stage, entries), Vec::<String>::new());
    stage.expect(0, &["plan", "--detailed-exitcode", "--var", &port]);

    // Another text of the page is one step.
    let greeting = ["--var", &port, "--var", "greeting=Good morning"];
    let plan = stage.expect(0, &[&["plan"][..], &greeting].concat()).stdout;
    for line in ["- <title>Hello from cloudtik</title>", "+ <title>Good morning</title>", "+ <h1>Good morning</h1>", "1 step to run"] {
        assert!(plan.contains(line), "`{line}` is not in the plan:\n{plan}");
    }
    let json = stage.expect(0, &[&["plan", "--json"][..], &greeting].concat()).stdout;
    let json: Json = serde_json::from_str(&json).unwrap();
    let changes = json["resource_changes"].as_array().unwrap();
    let changed: Vec<&Json> = changes.iter().filter(|change| change["change"]["actions"][0] != "no-op").collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!((&changed[0]["change"]["actions"][0], &changed[0]["cloudtik"]["action"]), (&"update".into(), &"run".into()));
    let ran = stage.expect(0, &[&["apply", "--auto-approve"][..], &greeting].concat());
    assert_eq!(ran.stderr.matches("running…").count(), 1, "{}", ran.text());
    assert!(get(&url).unwrap().contains("<h1>Good morning</h1>"));

    // A runtime that is taken out of the spec is stopped and removed.
    let is_nginx = || stage.processes().iter().filter(|process| process.is("nginx", &[])).count();
    assert!(is_nginx() > 0, "nginx is not among the processes: {:?}", stage.processes());
    let installed =
        || support::files_below(&stage.data().join("local")).into_iter().filter(|path| path.contains("nginx")).collect::<Vec<_>>();
    assert!(!installed().is_empty());
    stage.spec(&without_runtime(&spec));
    stage.expect(0, &apply);
    assert_eq!(is_nginx(), 0, "{:?}", stage.processes());
    assert_eq!(get(&url), None);
    // What it logged stays until the node goes, and so does the mark of a step that has nothing to undo.
    let stays = |path: &String| path.contains("/log") || path.contains("/node/steps/");
    assert_eq!(installed().into_iter().filter(|path| !stays(path)).collect::<Vec<_>>(), Vec::<String>::new());
    stage.spec(&spec);
    stage.expect(0, &apply);
    assert!(get(&url).is_some());

    // Nothing is left.
    stage.expect(0, &["destroy", "--auto-approve", "--var", &port]);
    stage.nothing_is_left();
}
