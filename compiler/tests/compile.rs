//! From text to a graph, and from wrong text to errors at their place.

use std::sync::Arc;

use cloudtik_compiler::{CompileInput, Providers, VariableArgument, VariableInputs, compile};
use cloudtik_model::{Diagnostics, Graph, MemorySources, Node, SourceMap};
use cloudtik_provider_api::{Facts, VALUE_KIND, ValueProvider};

fn run(files: &[(&str, &str)], variables: &VariableInputs) -> (Graph, SourceMap, Diagnostics) {
    let sources = MemorySources::new(files.iter().copied());
    let mut providers = Providers::new();
    providers.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    let input = CompileInput {
        sources: &sources,
        variables,
        providers: &providers,
        facts: &Facts::new(),
        provider_override: None,
        tool_version: "0.1.0",
        plan_time: "2025-01-31T12:00:00Z",
        expressions: &[],
    };
    let (compiled, map, found) = compile(&input);
    (compiled.graph, map, found)
}

/// One line for each diagnostic: place, code, title, help.
fn describe(map: &SourceMap, found: &Diagnostics) -> String {
    let mut text = String::new();
    for diagnostic in found {
        let place = diagnostic.primary.as_ref().and_then(|label| map.describe(label.span)).unwrap_or_else(|| "-".to_owned());
        text.push_str(&format!("{place} {}: {}\n", diagnostic.code, diagnostic.title));
        if let Some(help) = &diagnostic.help {
            text.push_str(&format!("  help: {help}\n"));
        }
    }
    text
}

#[track_caller]
fn errors(source: &str, expected: &str) {
    let (_, map, found) = run(&[("main.hcl", source)], &VariableInputs::default());
    assert_eq!(describe(&map, &found).trim(), expected.trim());
}

/// The resources with their attributes and what they depend on, then the outputs.
#[track_caller]
fn graph(source: &str, expected: &str) {
    let (graph, map, found) = run(&[("main.hcl", source)], &VariableInputs::default());
    assert!(found.is_empty(), "{}", describe(&map, &found));
    assert_eq!(show(&graph).trim(), expected.trim());
}

fn show(graph: &Graph) -> String {
    let mut text = String::new();
    for (address, node) in &graph.nodes {
        let Node::Resource(spec) = node else { continue };
        text.push_str(&format!("{address} {:?}", spec.attributes));
        if !spec.depends_on.is_empty() {
            text.push_str(&format!(" after {:?}", spec.depends_on));
        }
        text.push('\n');
    }
    for (name, output) in &graph.outputs {
        text.push_str(&format!("{name} = {:?}\n", output.value));
    }
    text
}

#[test]
fn blocks_become_addresses_and_references_become_edges() {
    graph(
        r#"
        variable "n" { default = 2 }
        locals { double = var.n * 2 }
        resource "value" "a" { input = local.double }
        resource "value" "b" { input = "${value.a.output}-${value.a.id}" }
        output "o" { value = value.b.input }
        "#,
        r#"
value.a {"input": 4}
value.b {"input": <string: Template([Text("4-"), Value(Attribute { of: Reference(value.a), name: "id" })])>} after {value.a}
o = <string: Template([Text("4-"), Value(Attribute { of: Reference(value.a), name: "id" })])>
"#,
    );
}

#[test]
fn count_and_for_each_expand_once() {
    graph(
        r#"
        resource "value" "c" {
          count = 2
          input = count.index
        }
        resource "value" "f" {
          for_each = { a = 1, b = 2 }
          input    = "${each.key}${each.value}"
        }
        resource "value" "s" {
          for_each = toset(["x"])
          input    = value.f["a"].output
        }
        output "all" { value = value.c[*].output }
        "#,
        r#"
value.c[0] {"input": 0}
value.c[1] {"input": 1}
value.f["a"] {"input": "a1"}
value.f["b"] {"input": "b2"}
value.s["x"] {"input": "a1"} after {value.f["a"]}
all = tuple[0, 1]
"#,
    );
}

#[test]
fn what_the_instances_come_from_is_needed_by_each() {
    graph(
        r#"
        resource "value" "a" { input = 2 }
        resource "value" "n" {
          count = value.a.output
          input = count.index
        }
        "#,
        r#"
value.a {"input": 2}
value.n[0] {"input": 0} after {value.a}
value.n[1] {"input": 1} after {value.a}
"#,
    );
}

#[test]
fn the_instances_of_one_block_are_those_of_another() {
    graph(
        r#"
        resource "value" "a" {
          for_each = toset(["x", "y"])
          input    = each.key
        }
        resource "value" "b" {
          for_each = value.a
          input    = each.value.id
        }
        resource "value" "c" {
          for_each = resource.value.b
          input    = each.key
        }
        "#,
        r#"
value.a["x"] {"input": "x"}
value.a["y"] {"input": "y"}
value.b["x"] {"input": <string: Attribute { of: Reference(value.a["x"]), name: "id" }>} after {value.a["x"]}
value.b["y"] {"input": <string: Attribute { of: Reference(value.a["y"]), name: "id" }>} after {value.a["y"]}
value.c["x"] {"input": "x"} after {value.b["x"]}
value.c["y"] {"input": "y"} after {value.b["y"]}
"#,
    );
}

#[test]
fn depends_on_covers_every_instance() {
    graph(
        r#"
        resource "value" "a" { count = 2 }
        resource "value" "b" { depends_on = [value.a] }
        "#,
        "
value.a[0] {}
value.a[1] {}
value.b {} after {value.a[0], value.a[1]}
",
    );
}

#[test]
fn several_errors_are_said_in_one_run() {
    errors(
        r#"
resource "value" "a" {
  imput = 1
}
resource "value" "b" {
  input = value.c.output
}
resource "valeu" "d" {}
output "o" {
  value = 1 / 0
}
workspce "w" {}
"#,
        "
main.hcl:3:3 unknown-attribute: `value` has no attribute `imput`
  help: did you mean `input`?
main.hcl:6:17 unknown-reference: there is no resource `value.c`
  help: did you mean `value.a`?
main.hcl:8:10 unknown-kind: there is no kind of resource `valeu`
  help: did you mean `value`?
main.hcl:10:15 division-by-zero: division by zero
main.hcl:12:1 unknown-block: a project has no block `workspce`
  help: did you mean `workspace`?
",
    );
}

#[test]
fn a_cycle_is_shown_with_every_place_on_it() {
    let source = "
resource \"value\" \"a\" { input = value.b.id }
resource \"value\" \"b\" { input = value.a.id }
output \"o\" { value = value.a.id }
";
    errors(
        source,
        "
main.hcl:2:32 cycle: these need each other: `value.a` needs `value.b` needs `value.a`
  help: break the circle: give one of them a value that needs none of the others
",
    );
}

#[test]
fn what_is_not_in_effect_is_refused() {
    errors(
        "cloudtik {\n  encryption {}\n  state \"s3\" {}\n}\nresource \"aws_vpc\" \"v\" {}\nresource \"value\" \"x\" {}",
        "
main.hcl:2:3 not-in-effect: `encryption` is not in effect in this version
main.hcl:3:9 not-in-effect: `state \"s3\"` is not in effect in this version
main.hcl:5:10 unknown-kind: there is no kind of resource `aws_vpc`
",
    );
}

#[test]
fn duplicates_name_both_places() {
    let (_, map, found) =
        run(&[("a.hcl", "variable \"x\" { default = 1 }\n"), ("b.hcl", "variable \"x\" { default = 2 }\n")], &VariableInputs::default());
    assert_eq!(
        describe(&map, &found),
        "b.hcl:1:1 duplicate-name: `var.x` is declared twice\n  help: give one of them another name, or leave it out\n"
    );
    let other = found.iter().next().and_then(|diagnostic| diagnostic.labels.first()).and_then(|label| map.describe(label.span));
    assert_eq!(other.as_deref(), Some("a.hcl:1:1"));
}

#[test]
fn variables_are_strongest_last() {
    let files = [
        (
            "main.hcl",
            "variable \"a\" {}\nvariable \"b\" { type = list(string) }\nvariable \"c\" { type = string }\noutput \"o\" { value = [var.a, var.b, var.c] }",
        ),
        ("cloudtik.vars.hcl", "a = 1\nb = [\"file\"]\nc = \"file\""),
        ("x.auto.vars.hcl", "b = [\"auto\"]"),
    ];
    let variables = VariableInputs {
        environment: [("a".to_owned(), "7".to_owned()), ("other".to_owned(), "ignored".to_owned())].into(),
        arguments: vec![VariableArgument::Var { name: "c".to_owned(), text: "1 + 1".to_owned() }],
        ..VariableInputs::default()
    };
    let (graph, map, found) = run(&files, &variables);
    assert!(found.is_empty(), "{}", describe(&map, &found));
    assert_eq!(format!("{:?}", graph.outputs["o"].value), "tuple[1, [\"auto\"], \"1 + 1\"]");
}

#[test]
fn variables_are_checked() {
    errors(
        r#"
variable "a" {}
variable "b" {
  type    = number
  default = "x"
}
variable "c" {
  default = 1
  validation {
    condition     = var.c > 1
    error_message = "c must be above 1, not ${var.c}"
  }
}
"#,
        "
main.hcl:2:1 missing-variable: variable `a` has no value
  help: give it one: `--var a=…`, a line in `cloudtik.vars.hcl`, `CLOUDTIK_VAR_a`, or a `default`
main.hcl:5:13 wrong-type: variable `b` is a number, and what is given is a string
main.hcl:10:21 condition-failed: c must be above 1, not 1
",
    );
}

#[test]
fn for_each_must_be_known_and_a_map_or_a_set() {
    errors(
        r#"
resource "value" "a" {}
resource "value" "b" {
  for_each = toset([value.a.id])
}
resource "value" "c" {
  for_each = ["x"]
}
resource "value" "d" {
  count = -1
}
"#,
        "
main.hcl:4:14 unknown-at-plan: `for_each` must be known when the plan is made, and depends on `value.a`
  help: use a value that the spec itself gives: a variable, a local value, or an attribute that the block sets
main.hcl:7:14 bad-for-each: `for_each` is a map or a set of strings, and a tuple was given
  help: write `toset([…])` around it
main.hcl:10:11 bad-count: `count` must be a whole number, 0 or more
",
    );
}

#[test]
fn sensitive_values_stay_marked() {
    errors(
        "variable \"s\" {\n  default = \"x\"\n  sensitive = true\n}\noutput \"o\" { value = \"a${var.s}\" }",
        "
main.hcl:5:22 sensitive-output: the value of output `o` is sensitive
  help: add `sensitive = true` to the output
",
    );
}

#[test]
fn an_empty_project_says_what_to_do() {
    let (_, map, found) = run(&[("notes.txt", "hello")], &VariableInputs::default());
    assert_eq!(
        describe(&map, &found),
        "- empty-project: there is no `.hcl` file in this folder\n  help: run `cloudtik init` for a starter project, or name the folder with `-C DIR`\n"
    );
}

#[test]
fn late_names_have_their_places() {
    errors(
        "resource \"value\" \"a\" { input = node.address }",
        "
main.hcl:1:32 late-name-here: `node.address` is known to the node only, and cannot stand here
  help: late names may stand in `env`, in the content of `files`, in `setup` texts, and in options and `config` of runtimes
",
    );
}

#[test]
fn files_are_read_below_the_project_and_recorded() {
    let files = [("main.hcl", "resource \"value\" \"a\" { input = file(\"data/x.txt\") }"), ("data/x.txt", "content")];
    let (graph, map, found) = run(&files, &VariableInputs::default());
    assert!(found.is_empty(), "{}", describe(&map, &found));
    assert_eq!(show(&graph), "value.a {\"input\": \"content\"}\n");
}

#[test]
fn twenty_thousand_blocks_compile_without_quadratic_work() {
    let source: String = (0..20_000).map(|i| format!("resource \"value\" \"r{i}\" {{ input = \"v{i}\" }}\n")).collect();
    let (graph, _, found) = run(&[("main.hcl", &source)], &VariableInputs::default());
    assert!(found.is_empty());
    assert_eq!(graph.nodes.len(), 20_000);
}
