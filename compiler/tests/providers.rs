//! Configurations of providers: aliases, `for_each`, which of them a block is made through, and what is said when that is none.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends with a panic, its helpers too; clippy knows tests by their attribute"
)]

use std::sync::{Arc, LazyLock};

use cloudtik_compiler::{CompileInput, Compiled, Providers, VariableInputs, compile};
use cloudtik_lang::render_line;
use cloudtik_model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{ChangeWord, Diagnostics, MemorySources, Node, SourceMap, Type, Value};
use cloudtik_provider_api::{
    AttributeSchema, CallError, Cloud, ErrorClass, Expected, FactQuestion, Facts, Idempotency, KindSchema, Lowered, Provider,
    ProviderSchema, ResourceBuilder, VALUE_KIND, ValueProvider, Visibility,
};

/// A cloud with regions.
struct Toy(&'static str);

static SCHEMA: LazyLock<ProviderSchema> = LazyLock::new(|| {
    let text = |name| AttributeSchema::optional(name, Type::String, ChangeWord::Recreate, "");
    let tags = |name| AttributeSchema::optional(name, Type::map(Type::String), ChangeWord::Live, "");
    let thing = KindSchema {
        name: "toy_thing",
        version: 1,
        class: Idempotency::Natural,
        attributes: vec![text("name"), tags("tags")],
        expected: Expected { create_ms: 1, update_ms: 1, delete_ms: 1 },
        is_node: false,
        secrets: &[],
        unique_name: Some("name"),
        concurrency_max: 1,
        derive: None,
        choices: &[],
        together: None,
        names: None,
        inside: None,
        shows: Visibility::AT_ONCE,
        additive: &[],
        needs: &[],
        rolls: false,
        in_resource: true,
        doc: "",
    };
    let role = AttributeSchema::optional("role", Type::object([("name", Type::String)]), ChangeWord::None, "");
    ProviderSchema { version: 1, config: vec![text("region"), tags("default_tags"), role], kinds: [("toy_thing", thing)].into() }
});

static NO_KINDS: LazyLock<ProviderSchema> = LazyLock::new(|| ProviderSchema { kinds: [].into(), ..SCHEMA.clone() });

impl Provider for Toy {
    fn name(&self) -> &'static str {
        self.0
    }

    fn schema(&self) -> &ProviderSchema {
        if self.0 == "toy" { &SCHEMA } else { &NO_KINDS }
    }

    fn facts_needed(
        &self,
        provider: &cloudtik_model::ProviderRef,
        _: &Value,
        workspaces: &[&WorkspaceSpec],
        clusters: &[&ClusterSpec],
    ) -> Vec<FactQuestion> {
        let names = workspaces.iter().map(|workspace| &workspace.address).chain(clusters.iter().map(|cluster| &cluster.address));
        let all: Vec<String> = names.map(ToString::to_string).collect();
        let question = |key| FactQuestion { key, question: "who".to_owned(), arguments: Value::NULL, pin: true };
        (!all.is_empty()).then(|| question(format!("{provider}: {}", all.join(" ")))).into_iter().collect()
    }

    fn lower_workspace(&self, config: &Value, workspace: &WorkspaceSpec, _: &Facts) -> Lowered {
        let region = config.get("region").cloned().unwrap_or(Value::NULL);
        let thing = ResourceBuilder::part(workspace.address.child("thing"), "toy_thing", workspace, &workspace.network).set("name", region);
        Lowered { resources: vec![thing.build()], ..Lowered::default() }
    }

    fn lower_cluster(&self, _: &Value, cluster: &ClusterSpec, _: &WorkspaceUse, _: &Facts) -> Lowered {
        let head = ResourceBuilder::new(cluster.address.child("head"), "toy_thing", cluster.provider.clone(), cluster.span);
        Lowered { resources: vec![head.build()], ..Lowered::default() }
    }

    fn record(&self, workspace: &str) -> Option<(&'static str, String)> {
        Some(("toy_thing", workspace.to_owned()))
    }

    fn connect(&self, _: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        Err(CallError::new(ErrorClass::Permanent, "toy", "nothing is ever made of it"))
    }
}

fn run(source: &str, replaced_by: Option<&str>) -> (Compiled, SourceMap, Diagnostics) {
    let sources = MemorySources::new([("main.hcl", source)]);
    let mut providers = Providers::new();
    providers.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    providers.insert("toy", Arc::new(Toy("toy")));
    providers.insert("other", Arc::new(Toy("other")));
    compile(&CompileInput {
        sources: &sources,
        variables: &VariableInputs::default(),
        providers: &providers,
        facts: &Facts::new(),
        provider_override: replaced_by,
        tool_version: "0.1.0",
        plan_time: "2025-01-31T12:00:00Z",
        expressions: &[],
    })
}

/// One line for each diagnostic: line, code, title, help.
fn describe(map: &SourceMap, found: &Diagnostics) -> String {
    let line = |diagnostic: &cloudtik_model::Diagnostic| {
        let place = diagnostic.primary.as_ref().and_then(|label| map.describe(label.span)).unwrap_or_else(|| "-".to_owned());
        let place = place.split(':').nth(1).unwrap_or("-").to_owned();
        let help = diagnostic.help.iter().map(|help| format!(" ({help})")).collect::<String>();
        format!("{place} {}: {}{help}\n", diagnostic.code, diagnostic.title)
    };
    found.iter().map(line).collect()
}

/// Every resource with its configuration and attributes, then the configurations, then the questions.
#[track_caller]
fn becomes(source: &str, expected: &str) {
    assert_eq!(shown(source, None).trim(), expected.trim(), "{source}");
}

#[track_caller]
fn shown(source: &str, replaced_by: Option<&str>) -> String {
    let (compiled, map, found) = run(source, replaced_by);
    assert!(!found.has_errors(), "{source}\n{}", describe(&map, &found));
    let mut out = String::new();
    for (address, node) in &compiled.graph.nodes {
        let Node::Resource(spec) = node else { continue };
        out.push_str(&format!("{address} through {} {}\n", spec.provider, render_line(&spec.attributes)));
    }
    for (provider, config) in &compiled.graph.providers {
        out.push_str(&format!("{provider} {}\n", render_line(&config.attributes)));
    }
    for (provider, questions) in &compiled.questions {
        out.extend(questions.iter().map(|question| format!("{provider} is asked {}\n", question.key)));
    }
    out
}

#[track_caller]
fn errors(source: &str, expected: &str) {
    let (_, map, found) = run(source, None);
    assert_eq!(describe(&map, &found).trim(), expected.trim(), "{source}");
}

const TWO: &str = r#"provider "toy" {
  region = "east"
}
provider "toy" {
  alias        = "west"
  region       = "west"
  default_tags = { team = "w" }
}
"#;

#[test]
fn each_block_is_made_through_its_configuration() {
    let source = format!(
        r#"{TWO}
workspace "here" {{}}
workspace "there" {{
  provider = toy.west
}}
cluster "c" {{
  workspace = workspace.there
}}
resource "toy_thing" "here" {{
  name = "a"
}}
resource "toy_thing" "there" {{
  provider = provider.toy.west
  name     = "a"
  tags     = {{ own = "x" }}
}}
"#
    );
    becomes(
        &source,
        r#"
cluster.c.head through toy.west {tags = {team = "w"}}
toy_thing.here through toy {name = "a"}
toy_thing.there through toy.west {name = "a", tags = {own = "x", team = "w"}}
workspace.here.thing through toy {name = "east"}
workspace.there.thing through toy.west {name = "west", tags = {team = "w"}}
toy {region = "east"}
toy.west {default_tags = {team = "w"}, region = "west"}
toy is asked toy: workspace.here
toy.west is asked toy.west: workspace.there cluster.c
"#,
    );
}

#[test]
fn a_configuration_for_each_key() {
    becomes(
        r#"
variable "regions" {
  default = { a = "east", b = "west" }
}
provider "toy" {
  alias    = "each"
  for_each = var.regions
  region   = each.value
  role {
    name = each.key
  }
}
workspace "w" {
  for_each = var.regions
  provider = toy.each[each.key]
}
data "workspace" "d" {
  for_each = var.regions
  provider = toy.each[each.key]
  name     = "d"
}
resource "toy_thing" "t" {
  provider = toy.each["b"]
}
"#,
        r#"
toy_thing.t through toy.each["b"] {}
workspace.w["a"].thing through toy.each["a"] {name = "east"}
workspace.w["b"].thing through toy.each["b"] {name = "west"}
toy.each["a"] {region = "east", role = {name = "a"}}
toy.each["b"] {region = "west", role = {name = "b"}}
toy.each["a"] is asked data.workspace.d["a"]
toy.each["a"] is asked toy.each["a"]: workspace.w["a"]
toy.each["b"] is asked data.workspace.d["b"]
toy.each["b"] is asked toy.each["b"]: workspace.w["b"]
"#,
    );
}

#[test]
fn a_workspace_without_provider() {
    let one = |text: &str| format!("provider \"toy\" {{\n alias = \"west\"\n{text}}}\nworkspace \"w\" {{}}\n");
    becomes(
        &one(" region = \"x\"\n"),
        "workspace.w.thing through toy.west {name = \"x\"}\ntoy.west {region = \"x\"}\ntoy.west is asked toy.west: workspace.w",
    );
    let said = "6 which-provider: more than one provider is configured (say which: `provider = other`)";
    errors("provider \"toy\" {}\nprovider \"other\" {}\n\n\n\nworkspace \"w\" {}\n", said);
    let said = "7 which-provider: more than one provider is configured (say which: `provider = toy.east`)";
    errors("provider \"toy\" {\n alias = \"east\"\n}\nprovider \"toy\" {\n alias = \"west\"\n}\nworkspace \"w\" {}\n", said);
    let said = "5 which-provider: `toy.west` is one configuration for each key (say which: `provider = toy.west[\"a\"]`)";
    errors(&one(" for_each = toset([\"a\"])\n"), said);
}

/// What is made through two regions of one cloud stays apart in the cloud that is put in its place.
#[test]
fn aliases_outlive_a_replacement() {
    let source = format!("{TWO}workspace \"a\" {{\n name = \"w\"\n}}\nworkspace \"b\" {{\n name = \"w\"\n provider = toy.west\n}}\n");
    let expected = "workspace.a.thing through other {name = null}\nworkspace.b.thing through other.west {name = null}\n\
                    other {}\nother.west {}\nother is asked other: workspace.a\nother.west is asked other.west: workspace.b\n";
    assert_eq!(shown(&source, Some("other")), expected);
}

#[test]
fn a_configuration_may_be_made_of_what_another_one_makes() {
    let source = r#"
provider "toy" {}
resource "toy_thing" "t" {
  name = "x"
}
provider "toy" {
  alias  = "of"
  region = toy_thing.t.name
}
workspace "w" {
  provider = toy.of
}
"#;
    errors(
        &source.replace("region = toy_thing.t.name", "region = workspace.w.name"),
        "8 cycle: these need each other: `toy.of` needs `workspace.w` needs `toy.of` (break the circle: give one of them a value that needs none of the others)",
    );
    let (_, map, found) = run(&source.replace("\"t\" {", "\"t\" {\n  provider = toy"), None);
    assert!(!found.has_errors(), "{}", describe(&map, &found));
}

#[test]
fn what_names_no_configuration() {
    let through = |named: &str| format!("{TWO}resource \"toy_thing\" \"t\" {{\n provider = {named}\n}}\n");
    errors(&through("toy.wst"), "10 unknown-provider: no configuration is called `toy.wst` (did you mean `toy.west`?)");
    errors(
        &through("toy.other_one"),
        "10 unknown-provider: no configuration is called `toy.other_one` (declare it: `provider \"toy\" { alias = \"other_one\" … }`)",
    );
    errors(&through("tooy.west"), "10 unknown-provider: there is no provider `tooy` (did you mean `toy`?)");
    errors(&through("toy.west[\"a\"]"), "10 unknown-provider: `toy.west` has no keys (write `toy.west`)");
    errors(&through("toy[\"a\"]"), "10 unknown-provider: `toy` has no keys (write `toy`, or `toy.ALIAS[\"key\"]`)");
    errors(&through("\"toy.west\""), "10 not-a-reference: a provider is named without quotes (write `provider = local`)");
    errors(&through("controller.toy"), "10 unknown-provider: there is no provider `controller`");
    let keyed = |named: &str| {
        let one = "provider \"toy\" {\n alias = \"each\"\n for_each = toset([\"east\", \"west\"])\n region = each.key\n}\n";
        format!("{one}resource \"toy_thing\" \"t\" {{\n provider = {named}\n}}\n")
    };
    errors(&keyed("toy.each"), "7 unknown-provider: `toy.each` is one configuration for each key (name one: `toy.each[\"east\"]`)");
    errors(
        &keyed("toy.each[\"wst\"]"),
        "7 unknown-provider: `toy.each` has no configuration for `wst` (did you mean `toy.each[\"west\"]`?)",
    );
    errors(&keyed("toy.each[0]"), "7 unknown-provider: `toy.each` is one configuration for each key (name one: `toy.each[\"east\"]`)");
}

#[test]
fn what_is_no_configuration() {
    errors(
        &format!("{TWO}provider \"toy\" {{\n alias = \"west\"\n}}\n"),
        "9 duplicate-name: `toy.west` is declared twice (give one of them another name, or leave it out)",
    );
    errors(
        "provider \"toy\" {}\nprovider \"toy\" {}\n",
        "2 duplicate-name: `provider \"toy\"` is declared twice (give one of them another name, or leave it out)",
    );
    errors(
        "variable \"x\" {\n default = \"y\"\n}\nprovider \"toy\" {\n alias = var.x\n}\n",
        "5 bad-alias: `alias` is written, not computed (write a name in quotes: `alias = \"west\"`; `for_each` beside it makes one for each key)",
    );
    errors(
        "provider \"toy\" {\n alias = \"a b\"\n}\n",
        "2 bad-name: `a b` is not a name (a name is a letter, then letters, digits, `_` and `-`)",
    );
    errors(
        "provider \"toy\" {\n for_each = toset([\"a\"])\n}\n",
        "2 no-alias: `for_each` makes a configuration for each key, and needs `alias` for their names (add `alias = \"each\"`; they are `toy.each[\"key\"]` then)",
    );
    errors("provider \"toy\" {\n count = 2\n}\n", "2 unknown-attribute: provider `toy` has no attribute `count`");
    errors(
        "provider \"toy\" {\n alias = \"west\"\n}\nresource \"toy_thing\" \"t\" {}\n",
        "4 no-default-provider: every configuration of provider `toy` has an alias, and nothing says which is meant \
         (name one: `provider = toy.west`; or write a `provider \"toy\"` without `alias`)",
    );
    // What has errors itself is said once.
    errors(
        "provider \"toy\" {\n alias = \"west\"\n regin = \"x\"\n}\nresource \"toy_thing\" \"t\" {\n provider = toy.west\n}\n",
        "3 unknown-attribute: provider `toy` has no attribute `regin` (did you mean `region`?)",
    );
}

#[test]
fn the_client_of_a_network_is_asked_through_its_own_configuration() {
    let source = format!("{TWO}workspace \"w\" {{\n network {{\n client_provider = toy.west\n }}\n}}\n");
    becomes(
        &source,
        "workspace.w.thing through toy {name = \"east\"}\ntoy {region = \"east\"}\n\
         toy.west {default_tags = {team = \"w\"}, region = \"west\"}\n\
         toy is asked toy: workspace.w\ntoy.west is asked toy.west: workspace.w",
    );
    let source =
        format!("{TWO}provider \"other\" {{}}\nworkspace \"w\" {{\n provider = toy\n network {{\n client_provider = other\n }}\n}}\n");
    errors(
        &source,
        "13 wrong-provider: the network of the client is reached through `other`, and the workspace is made through `toy` \
         (name a configuration of provider `toy`)",
    );
}
