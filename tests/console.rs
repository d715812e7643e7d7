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

#[path = "console/expressions.rs"]
mod expressions;
mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cloudtik_lang::{Context, Variables, console_text, evaluate};
use cloudtik_model::FileId;
use cloudtik_syntax::{format, parse_expression};
use expressions::Expressions;
use serde_json::Value as Json;
use support::random::Random;
use support::stage::Stage;

/// What Terraform 1.11 said of each expression; `null` is an error.
const TABLE: &str = include_str!("console/terraform.jsonl");

/// Where we differ, and why: what stands here must differ, so that nothing is forgotten.
const DIFFERENCES: [(&str, &str); 23] = [
    ("1/0", "dividing by zero is an error, there is no infinity"),
    ("can(1/0)", "dividing by zero is an error"),
    ("try(1/0,\"x\")", "dividing by zero is an error"),
    ("log(0,2)", "there is no infinity"),
    ("pow(0,-1)", "there is no infinity"),
    ("format(\"%v\",null)", "null is shown; there it is not known"),
    ("base64gzip(\"hello\")", "another compressor: what it is decompressed to is the same"),
    ("templatestring(\"a\",{})", "a template may also be written as it is"),
    ("2 % 0", "dividing by zero is an error"),
    ("-(1-1)", "zero has no sign"),
    ("-0.1*0.1", "a product of decimals is a decimal; there the digits of the binary fraction show"),
    ("true || \"b\"", "the right side is not looked at when the left one decides, as in Terraform from 1.12"),
    ("false && null", "the right side is not looked at when the left one decides, as in Terraform from 1.12"),
    ("lookup(transpose({a=[]}),\"key\",[])", "a collection without elements has no type of elements"),
    ("merge(tomap({}),tomap({a=3}))", "a collection without elements has no type of elements"),
    ("tolist(toset([toset([]),toset([true])]))", "sets of collections are in the order of what is in them"),
    ("log(2.5,2)-100000000", "a logarithm is the decimal that is shown"),
    ("pow(123456789012345678901234567890,1)+1", "a power is the decimal that is shown"),
    ("format(\"%g\",-123456789012345678901234567890)", "a number has the digits of a float there"),
    ("format(\"%.2f\",null)", "null is no number; there the result is not known"),
    ("true ? toset([false]) : [\"hello\"]", "a set and a tuple have a type together"),
    ("plantimestamp()", "the console tells it the time as well"),
    ("element([\"a\",\"b\"],-1)", "the index of a tuple may be below zero, too"),
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

/// How many random expressions are tried, where the environment does not say another number.
const RANDOM: u64 = 300;
const RANDOM_VARIABLE: &str = "CLOUDTIK_TEST_EXPRESSIONS";

/// Expressions that are asked at once: Terraform answers one line of a run only.
const BATCH: usize = 50;

/// What stands for an expression that fails.
const FAILS: &str = "  \"FAILS\",";

fn random_expressions() -> Vec<String> {
    let count = std::env::var(RANDOM_VARIABLE).map_or(RANDOM, |text| text.parse().expect("a number of expressions"));
    let mut made = Expressions::new(Random::from_environment());
    (0..count).map(|_| made.make()).collect()
}

/// Each expression stands in a tuple of its own, which `try` hands on as it is.
fn batch(expressions: &[String]) -> String {
    let items: Vec<String> = expressions.iter().map(|expression| format!("try([{expression}], \"FAILS\")")).collect();
    format!("[{}]", items.join(", "))
}

/// The elements of the tuple of a batch, as the console shows them.
fn elements(shown: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut is_open = false;
    let inside = shown.strip_prefix("[\n").and_then(|rest| rest.strip_suffix("\n]")).unwrap_or_default();
    for line in inside.split('\n') {
        match found.last_mut().filter(|_| is_open) {
            Some(last) => {
                *last = format!("{last}\n{line}");
                is_open = line != "  ],";
            }
            None => {
                found.push(line.to_owned());
                is_open = line == "  [";
            }
        }
    }
    found
}

/// What a program says of each of many expressions. A batch that fails as a whole has something in it that cannot even be read: its halves are
/// asked.
fn asked_many(command: &dyn Fn() -> Command, expressions: &[String]) -> Vec<String> {
    if expressions.is_empty() {
        return Vec::new();
    }
    let answers = asked(command(), &batch(expressions)).map(|shown| elements(&shown));
    match answers.filter(|answers| answers.len() == expressions.len()) {
        Some(answers) => answers,
        None if expressions.len() == 1 => vec![FAILS.to_owned()],
        None => {
            let (first, second) = expressions.split_at(expressions.len() / 2);
            [asked_many(command, first), asked_many(command, second)].concat()
        }
    }
}

/// One in so many random expressions may have another answer: each reason has a case among [`DIFFERENCES`].
const DIFFERENT_ONE_IN: usize = 100;

/// So many more may differ by chance where few are asked.
const DIFFERENT_BY_CHANCE: usize = 5;

/// Another version of Terraform may show something else.
#[test]
fn random_expressions_are_what_terraform_says() {
    let folder = tempfile::tempdir().unwrap();
    let Some(terraform) = terraform(folder.path()) else { return };
    let stage = Stage::beside_others(Stage::any_form());
    std::fs::create_dir_all(stage.project()).unwrap();
    let expressions = random_expressions();
    let mut wrong = Vec::new();
    for expressions in expressions.chunks(BATCH) {
        let ours = asked_many(&|| stage.command(&["console"]), expressions);
        let theirs = asked_many(&|| terraform(&["console"]), expressions);
        let both = expressions.iter().zip(ours.iter().zip(&theirs));
        let differ = both.filter(|(_, (ours, theirs))| ours != theirs);
        wrong.extend(differ.map(|(expression, (ours, theirs))| format!("{expression}\n--- ours\n{ours}\n--- theirs\n{theirs}\n")));
    }
    println!("{} of {} differ:\n{}", wrong.len(), expressions.len(), wrong.join("\n"));
    assert!(wrong.len() <= expressions.len() / DIFFERENT_ONE_IN + DIFFERENT_BY_CHANCE, "{} of {} differ", wrong.len(), expressions.len());
}

/// Whatever an expression is: it is worked out twice alike, its formatted text means the same, and what the console shows of its value is that value
/// when it is read as an expression.
#[test]
fn random_expressions_are_sound() {
    let none = Variables::none();
    let worked_out = |text: &str| evaluate(&parse_expression(FileId(0), text).expect(text), &Context::new(&none));
    for text in random_expressions() {
        let first = worked_out(&text);
        assert_eq!(first, worked_out(&text), "{text}");
        let formatted = format(FileId(0), &format!("x = {text}\n")).unwrap();
        let formatted = formatted.strip_prefix("x = ").unwrap();
        assert_eq!(parse_expression(FileId(0), formatted).unwrap(), parse_expression(FileId(0), &text).unwrap(), "{text}");
        let Ok(value) = first else { continue };
        let shown = console_text(&value);
        // A text of several lines inside of something else, one with `${` in it, and a `null` of a collection are shown in a form that means
        // something else.
        if !["<<", "${", "%{", "/*"].iter().any(|form| shown.contains(form)) && !value.has_sensitive() {
            let again = worked_out(&shown).unwrap_or_else(|errors| panic!("{text} is shown as {shown}: {errors:?}"));
            assert_eq!(console_text(&again), shown, "{text}");
        }
    }
}
