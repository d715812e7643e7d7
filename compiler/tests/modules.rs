//! Modules: what they are handed, what they hand out, what they are called, and what is wrong with them.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends with a panic, its helpers too; clippy knows tests by their attribute"
)]

use std::sync::Arc;

use cloudtik_compiler::{CompileInput, Compiled, Providers, VariableInputs, compile, compile_with_changes};
use cloudtik_model::{Diagnostics, MemorySources, Node, SourceMap, Value};
use cloudtik_provider_api::{Facts, VALUE_KIND, ValueProvider};

fn run_with(files: &[(&str, &str)], changes: Option<&[Value]>) -> (Compiled, SourceMap, Diagnostics) {
    let sources = MemorySources::new(files.iter().copied());
    let mut providers = Providers::new();
    providers.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    let (variables, facts) = (VariableInputs::default(), Facts::new());
    let input = CompileInput {
        sources: &sources,
        variables: &variables,
        providers: &providers,
        facts: &facts,
        provider_override: None,
        tool_version: "0.1.0",
        expressions: &[],
        plan_time: "2025-01-31T12:00:00Z",
    };
    match changes {
        Some(changes) => compile_with_changes(&input, changes),
        None => compile(&input),
    }
}

#[track_caller]
fn compiled(files: &[(&str, &str)]) -> Compiled {
    let (compiled, map, found) = run_with(files, None);
    assert!(found.is_empty(), "{}", describe(&map, &found));
    compiled
}

fn describe(map: &SourceMap, found: &Diagnostics) -> String {
    let mut text = String::new();
    for diagnostic in found {
        let place = diagnostic.primary.as_ref().and_then(|label| map.describe(label.span)).unwrap_or_else(|| "-".to_owned());
        text.push_str(&format!("{place} {}: {}\n", diagnostic.code, diagnostic.title));
        for note in &diagnostic.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
        if let Some(help) = &diagnostic.help {
            text.push_str(&format!("  help: {help}\n"));
        }
    }
    text
}

#[track_caller]
fn errors(files: &[(&str, &str)], expected: &str) {
    let (_, map, found) = run_with(files, None);
    assert_eq!(describe(&map, &found).trim(), expected.trim());
}

#[track_caller]
fn graph(files: &[(&str, &str)], expected: &str) {
    let compiled = compiled(files);
    let mut text = String::new();
    for (address, node) in &compiled.graph.nodes {
        let Node::Resource(spec) = node else { continue };
        text.push_str(&format!("{address} {:?}", spec.attributes.get("input").cloned().unwrap_or_default()));
        if !spec.depends_on.is_empty() {
            text.push_str(&format!(" after {:?}", spec.depends_on));
        }
        text.push('\n');
    }
    for (name, output) in &compiled.graph.outputs {
        text.push_str(&format!("{name} = {:?}\n", output.value));
    }
    assert_eq!(text.trim(), expected.trim());
}

const LEAF: &str = r#"
variable "text" { type = string }
resource "value" "kept" { input = var.text }
resource "value" "other" { input = "other" }
output "text" { value = "<${var.text}>" }
output "kept" { value = value.kept.input }
output "other" { value = value.other.input }
"#;

#[test]
fn instances_have_worlds_of_their_own_and_edges_follow_what_is_used() {
    let main = r#"
resource "value" "seed" { input = "s" }
module "leaf" {
  source   = "./leaf"
  for_each = { a = "x", b = "y" }
  text     = "${each.key}${each.value}${value.seed.input}"
}
module "one" {
  source = "./leaf"
  text   = module.leaf["b"].other
}
resource "value" "after" { input = module.leaf["a"].text }
resource "value" "uses_other" { input = module.leaf["a"].other }
output "all" { value = { for key, leaf in module.leaf : key => leaf.text } }
output "splat" { value = values(module.leaf)[*].kept }
output "one" { value = module.one }
"#;
    graph(
        &[("main.hcl", main), ("leaf/main.hcl", LEAF)],
        r#"
module.leaf["a"].value.kept "axs" after {value.seed}
module.leaf["a"].value.other "other"
module.leaf["b"].value.kept "bys" after {value.seed}
module.leaf["b"].value.other "other"
module.one.value.kept "other" after {module.leaf["b"].value.other}
module.one.value.other "other"
value.after "<axs>" after {value.seed}
value.seed "s"
value.uses_other "other" after {module.leaf["a"].value.other}
all = {"a": "<axs>", "b": "<bys>"}
one = {"kept": "other", "other": "other", "text": "<other>"}
splat = tuple["axs", "bys"]
"#,
    );
}

#[test]
fn two_modules_may_need_outputs_of_each_other() {
    let main = r#"
module "a" {
  source = "./leaf"
  text   = module.b.other
}
module "b" {
  source = "./leaf"
  text   = module.a.text
}
output "o" { value = module.b.text }
"#;
    let compiled = compiled(&[("main.hcl", main), ("leaf/main.hcl", LEAF)]);
    assert_eq!(compiled.graph.outputs["o"].value.as_str(), Some("<<other>>"));
}

#[test]
fn depends_on_is_of_all_that_is_inside() {
    let main = r#"
resource "value" "first" { input = 1 }
module "m" {
  source     = "./m"
  depends_on = [value.first]
}
resource "value" "last" {
  depends_on = [module.m]
  input      = 2
}
"#;
    let inner = r#"
module "deep" {
  source = "../leaf"
  text   = "t"
}
output "o" {
  value      = "known"
  depends_on = [module.deep]
}
"#;
    let uses = "resource \"value\" \"uses\" { input = module.m.o }";
    graph(
        &[("main.hcl", main), ("uses.hcl", uses), ("m/main.hcl", inner), ("leaf/main.hcl", LEAF)],
        r#"
module.m.module.deep.value.kept "t" after {value.first}
module.m.module.deep.value.other "other" after {value.first}
value.first 1
value.last 2 after {module.m.module.deep.value.kept, module.m.module.deep.value.other}
value.uses "known" after {module.m.module.deep.value.kept, module.m.module.deep.value.other}
"#,
    );
}

#[test]
fn variables_are_converted_checked_and_marked() {
    let inner = r#"
variable "size" {
  type = number
  validation {
    condition     = var.size > 1
    error_message = "size ${var.size} is too small"
  }
}
variable "maybe" {
  nullable = false
  default  = "d"
}
variable "secret" { sensitive = true }
output "size" { value = var.size }
output "maybe" { value = var.maybe }
output "secret" { value = "${var.secret}!" }
"#;
    let main = r#"
module "m" {
  source = "./m"
  size   = "3"
  maybe  = null
  secret = "s"
}
output "size" { value = module.m.size }
output "maybe" { value = module.m.maybe }
output "secret" {
  value     = module.m.secret
  sensitive = true
}
"#;
    let compiled = compiled(&[("main.hcl", main), ("m/main.hcl", inner)]);
    let output = |name: &str| &compiled.graph.outputs[name].value;
    assert_eq!((output("size").as_number().and_then(|n| n.as_u64()), output("maybe").as_str()), (Some(3), Some("d")));
    assert!(output("secret").is_sensitive());
    errors(
        &[("main.hcl", &main.replace("\"3\"", "1").replace("sensitive = true", "")), ("m/main.hcl", inner)],
        r#"
main.hcl:11:15 sensitive-output: the value of output `secret` is sensitive
  help: add `sensitive = true` to the output
m/main.hcl:5:21 condition-failed: size 1 is too small
  note: in module.m
"#,
    );
}

#[test]
fn what_is_known_later_is_checked_later() {
    let inner = r#"
variable "id" {
  type = string
  validation {
    condition     = var.id != ""
    error_message = "empty"
  }
}
resource "value" "v" { input = var.id }
"#;
    let main = r#"
resource "value" "a" { input = 1 }
module "m" {
  source = "./m"
  id     = value.a.id
}
"#;
    let compiled = compiled(&[("main.hcl", main), ("m/main.hcl", inner)]);
    let of: Vec<&str> = compiled.graph.conditions.iter().map(|condition| condition.of.as_str()).collect();
    assert_eq!(of, ["module.m.var.id"]);
}

#[test]
fn calls_are_held_against_the_module() {
    let main = r#"
module "m" {
  source = "./leaf"
  txet   = "t"
}
module "gone" {
  source = "./lief"
  text   = "t"
}
module "far" { source = "hashicorp/consul/aws" }
module "out" { source = "../x" }
module "made" { source = "./${var.x}" }
module "none" {}
module "block" {
  source = "./leaf"
  text   = "t"
  text {}
}
output "a" { value = module.m.text }
output "b" { value = module.block.txet }
output "c" { value = module.blok }
"#;
    errors(
        &[("main.hcl", main), ("leaf/main.hcl", LEAF)],
        r#"
main.hcl:2:1 missing-variable: module `m` needs a value for its variable `text`
  help: add `text = …` to the block, or a `default` to the variable
main.hcl:4:3 unknown-attribute: module `m` has no variable `txet`
  help: did you mean `text`?
main.hcl:7:12 module-source: there is no folder `lief` in the project
main.hcl:10:25 module-source: `hashicorp/consul/aws` is no folder of this project, and modules come from nowhere else
  help: copy the module into the project, and write its folder with `./` or `../` before it
main.hcl:11:25 module-source: `../x` lies outside the project
  help: keep modules below the project's folder, so that a saved plan has all of them
main.hcl:12:26 module-source: `source` is written, not computed
  help: write a folder in quotes: `"./modules/net"`
main.hcl:13:1 missing-attribute: a module needs `source`
  help: add `source = "./FOLDER"`
main.hcl:17:3 unknown-block: a call of a module has no blocks, and `text` is one
  help: write `text = …`
main.hcl:21:29 unknown-reference: there is no module `blok`
  help: did you mean `module.block`?
"#,
    );
}

#[test]
fn a_module_has_neither_settings_nor_providers_nor_imports_nor_itself() {
    let inner = r#"
cloudtik {}
provider "sim" {}
import {
  to = value.v
  id = "x"
}
module "again" { source = "../b" }
"#;
    errors(
        &[
            ("main.hcl", "module \"m\" { source = \"./a\" }"),
            ("a/main.hcl", inner),
            ("b/main.hcl", "module \"back\" { source = \"../a\" }"),
        ],
        r#"
a/main.hcl:2:1 not-in-module: a module has no `cloudtik` block
  help: settings are of the whole project: move the block into the root
a/main.hcl:3:1 not-in-module: a module has no `provider` block
  help: configure providers in the root, and hand them in where the module is called: `providers = { aws = aws.west }`
a/main.hcl:4:1 not-in-module: a module has no `import` block
  help: move the block into the root, and write the modules before the address: `to = module.m.aws_vpc.main`
b/main.hcl:1:26 module-cycle: module `back` would be inside of itself: `a` calls `b` calls `a`
  help: call another folder
"#,
    );
}

#[test]
fn values_that_go_round_in_a_circle_name_the_modules() {
    let main = r#"
module "a" {
  source = "./leaf"
  text   = module.a.text
}
"#;
    errors(
        &[("main.hcl", main), ("leaf/main.hcl", LEAF)],
        r#"
main.hcl:4:12 cycle: these need each other: `module.a.var.text` needs `module.a.output "text"` needs `module.a.var.text`
  help: break the circle: give one of them a value that needs none of the others
"#,
    );
}

#[test]
fn of_a_module_nothing_but_its_outputs_is_seen() {
    let main = r#"
module "m" {
  source = "./leaf"
  text   = "t"
}
resource "value" "a" { input = module.m.value.kept.input }
resource "value" "b" {
  depends_on = [module.m.value.kept]
  input      = 1
}
"#;
    errors(
        &[("main.hcl", main), ("leaf/main.hcl", LEAF)],
        r#"
main.hcl:6:41 unknown-reference: module `m` has no output `value`
  note: of a module its outputs are seen, and nothing else
  help: add it to the module: `output "value" { value = … }`
main.hcl:8:17 unknown-reference: `module.m.value.kept` is inside of a module
  help: name the module as a whole; of what is in it nobody knows but itself
"#,
    );
}

#[test]
fn what_is_renamed_goes_into_modules_and_out_of_them() {
    let main = r#"
module "new" {
  source   = "./leaf"
  for_each = toset(["k"])
  text     = "t"
}
moved {
  from = value.was
  to   = module.new["k"].value.kept
}
moved {
  from = module.old
  to   = module.new["k"]
}
removed {
  from = module.gone
  lifecycle { destroy = false }
}
"#;
    let inner = format!("{LEAF}\nmoved {{\n  from = value.older\n  to = value.other\n}}\n");
    let compiled = compiled(&[("main.hcl", main), ("leaf/main.hcl", &inner)]);
    let moved: Vec<String> = compiled.graph.moved.iter().map(|(from, to)| format!("{from} -> {to}")).collect();
    assert_eq!(
        moved,
        [
            "module.new[\"k\"].value.older -> module.new[\"k\"].value.other",
            "module.old -> module.new[\"k\"]",
            "value.was -> module.new[\"k\"].value.kept",
        ]
    );
    assert_eq!(compiled.graph.released.iter().map(ToString::to_string).collect::<Vec<_>>(), ["module.gone"]);
}

#[test]
fn a_policy_in_a_module_looks_at_what_is_in_it() {
    let inner = r#"
policy "none" {
  condition     = false
  error_message = each.key
}
check "seen" {
  assert {
    condition     = false
    error_message = "of ${path.module}"
  }
}
"#;
    let change = |address: &str| Value::object([("address", Value::from(address))]);
    let changes = [change("value.v"), change("module.m.value.v"), change("module.n.value.v")];
    let (compiled, map, found) = run_with(&[("main.hcl", "module \"m\" { source = \"./m\" }"), ("m/main.hcl", inner)], Some(&changes));
    assert_eq!(
        describe(&map, &found),
        "m/main.hcl:3:19 policy-denies: policy \"none\" in module.m of module.m.value.v: module.m.value.v\n"
    );
    assert!(compiled.has_policies);
    assert_eq!(compiled.graph.conditions[0].of, "check \"seen\" in module.m");
}
