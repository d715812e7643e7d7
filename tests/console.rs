//! `cloudtik console` shows what `terraform console` shows: a table of expressions that Terraform 1.11 was asked, and where Terraform is on the
//! path, the same ones asked of it now. And functions that give something else each time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use support::stage::Stage;

/// What Terraform 1.11 said of each expression; `null` is an error.
const TABLE: &str = include_str!("console/terraform.jsonl");

/// Where we differ, and why: what stands here must differ, so that nothing is forgotten.
const DIFFERENCES: [(&str, &str); 11] = [
    ("1/0", "dividing by zero is an error, there is no infinity"),
    ("can(1/0)", "dividing by zero is an error"),
    ("try(1/0,\"x\")", "dividing by zero is an error"),
    ("log(0,2)", "there is no infinity"),
    ("pow(0,-1)", "there is no infinity"),
    ("tostring(null)", "null has no type of its own"),
    ("true ? null : 1", "null has no type of its own"),
    ("format(\"%v\",null)", "null is shown; there it is not known"),
    ("base64gzip(\"hello\")", "another compressor: what it is decompressed to is the same"),
    ("textencodebase64(\"a\",\"UTF-16\")", "the order of bytes must be said"),
    ("templatestring(\"a\",{})", "a template may also be written as it is"),
];

fn table() -> BTreeMap<String, Option<String>> {
    let row = |line: &str| {
        let row: Json = serde_json::from_str(line).unwrap();
        (row["expression"].as_str().unwrap().to_owned(), row["shown"].as_str().map(str::to_owned))
    };
    TABLE.lines().map(row).collect()
}

/// What a program says of one expression.
fn asked(mut command: Command, expression: &str) -> Option<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{expression}").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// Commands of Terraform in a folder, if it is the version that the tables are of.
fn terraform(folder: &Path) -> Option<impl Fn(&[&str]) -> Command> {
    let terraform = move |arguments: &[&str]| {
        let mut command = Command::new("terraform");
        command.args(arguments).current_dir(folder).env("TF_CLI_CONFIG_FILE", "/dev/null").env("CHECKPOINT_DISABLE", "1");
        command
    };
    let version = terraform(&["version"]).output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if version.starts_with("Terraform v1.11.") {
        return Some(terraform);
    }
    eprintln!("NOT RUN: there is no Terraform 1.11 on the path, so nobody is asked what it shows");
    None
}

/// What this table says is of 1.11.
#[test]
fn the_table_is_terraforms() {
    let folder = tempfile::tempdir().unwrap();
    let Some(terraform) = terraform(folder.path()) else { return };
    let differs = |(expression, shown): &(String, Option<String>)| asked(terraform(&["console"]), expression) != *shown;
    let wrong: Vec<_> = table().into_iter().filter(differs).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Variables, locals, what was made, what is not made yet; one that is wrong keeps nobody else from an answer.
#[test]
fn it_knows_the_names_of_the_project() {
    let stage = Stage::beside_others(Stage::any_form());
    let made = "variable \"name\" {\n  default = \"web\"\n}\n\nlocals {\n  names = [var.name, \"db\"]\n}\n\nresource \"value\" \"made\" {\n  input = \
                var.name\n}\n";
    stage.spec(made);
    stage.expect(0, &["apply", "--auto-approve"]);
    stage.spec(&format!("{made}\nresource \"value\" \"later\" {{\n  input = 1\n}}\n"));
    for (expression, shown) in [
        ("join(\"-\", local.names)", Some("\"web-db\"")),
        ("value.made.output", Some("\"web\"")),
        ("value.later.id", Some("(known after apply)")),
        ("local.nams", None),
    ] {
        assert_eq!(asked(stage.command(&["console"]), expression).as_deref(), shown, "{expression}");
    }
    assert_eq!(asked(stage.command(&["console", "-var", "name=x"]), "var.name").as_deref(), Some("\"x\""));
}

#[test]
fn it_shows_what_terraform_shows() {
    let stage = Stage::beside_others(Stage::any_form());
    std::fs::create_dir_all(stage.project()).unwrap();
    let mut wrong = Vec::new();
    for (expression, shown) in table() {
        let ours = asked(stage.command(&["console"]), &expression);
        let may_differ = DIFFERENCES.iter().any(|(differs, _)| *differs == expression);
        if (ours == shown) == may_differ {
            wrong.push(format!("{expression}\n  ours:   {ours:?}\n  theirs: {shown:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), table().len(), wrong.join("\n"));
}

/// `timestamp`, `uuid` and `bcrypt` are filled once when a plan is applied, conditions judge what they give, and an apply of a saved plan shows
/// the time that the plan was made at.
#[test]
fn what_no_spec_determines_is_filled_at_apply() {
    let stage = Stage::beside_others(Stage::any_form());
    stage.spec(
        r#"
locals {
  id = uuid()
}

resource "value" "made" {
  input = local.id
  lifecycle {
    precondition {
      condition     = timecmp(timestamp(), plantimestamp()) >= 0
      error_message = "the clock goes back"
    }
    postcondition {
      condition     = self.output == local.id
      error_message = "another one"
    }
  }
}

resource "value" "kept" {
  input = uuid()
  lifecycle {
    ignore_changes = [input]
  }
}

output "id" {
  value = local.id
}

output "made" {
  value = value.made.output
}

output "kept" {
  value = value.kept.output
}

output "planned" {
  value = plantimestamp()
}

output "hash" {
  value = [for key in [1, 2] : bcrypt(local.id, 4)]
}
"#,
    );
    let offline = stage.expect(0, &["plan", "--offline"]);
    assert!(offline.stdout.contains("+ input = (known after apply)"), "{}", offline.text());
    stage.expect(0, &["plan", "--out", "first.plan"]);
    let plan: Json = serde_json::from_str(&stage.expect(0, &["show", "--json", "first.plan"]).stdout).unwrap();
    assert_eq!(plan["resource_changes"][1]["change"]["after_unknown"]["input"], Json::Bool(true));
    // The second of the plan has passed.
    std::thread::sleep(std::time::Duration::from_millis(1_000));
    stage.expect(0, &["apply", "first.plan"]);
    let outputs = || serde_json::from_str::<Json>(&stage.expect(0, &["output", "--json"]).stdout).unwrap();
    let first = outputs();
    assert_eq!(first["id"]["value"], first["made"]["value"]);
    assert_eq!(first["planned"]["value"], plan["timestamp"]);
    assert_ne!(first["hash"]["value"][0], first["hash"]["value"][1]);
    // Another apply is another moment.
    stage.expect(2, &["plan", "--detailed-exitcode"]);
    stage.expect(0, &["apply", "--auto-approve"]);
    let second = outputs();
    assert_eq!(second["id"]["value"], second["made"]["value"]);
    assert_ne!(second["id"]["value"], first["id"]["value"]);
    assert_eq!(second["kept"]["value"], first["kept"]["value"]);
    // Nobody can plan for as many things as only apply tells.
    stage.spec("resource \"value\" \"made\" {\n  count = length(uuid())\n}\n");
    let refused = stage.expect(1, &["plan"]);
    assert!(refused.stderr.contains("depends on `uuid()`"), "{}", refused.text());
}
