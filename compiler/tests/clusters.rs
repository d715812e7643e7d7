//! Workspaces and clusters: what becomes an edge, what is refused, what stays secret. The provider is one of our own, so that nothing here
//! depends on how a real one lowers.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends with a panic, its helpers too; clippy knows tests by their attribute"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use cloudtik_compiler::{CompileInput, Compiled, Providers, VariableArgument, VariableInputs, compile};
use cloudtik_model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{
    Address, ChangeWord, Diagnostics, Graph, Input, MemorySources, Node, ProviderRef, SourceMap, StepSpec, Type, Value, Verdict, judge,
};
use cloudtik_provider_api::{
    AttributeSchema, CallError, Capabilities, Cloud, ErrorClass, Expected, Facts, Idempotency, KindSchema, Lowered, Provider,
    ProviderSchema, ResourceBuilder, VALUE_KIND, ValueProvider, Visibility, real_name, reference,
};

/// A cloud with a network for each workspace and an instance for each head.
struct Toy;

static SCHEMA: LazyLock<ProviderSchema> = LazyLock::new(|| {
    let kind = |name, attributes| KindSchema {
        name,
        version: 1,
        class: Idempotency::Natural,
        attributes,
        expected: Expected { create_ms: 1, update_ms: 1, delete_ms: 1 },
        is_node: name == "toy_instance",
        secrets: &[],
        unique_name: None,
        concurrency_max: 1,
        derive: None,
        choices: &[],
        together: None,
        names: None,
        inside: None,
        additive: &[],
        shows: Visibility::AT_ONCE,
        needs: &[],
        rolls: false,
        in_resource: false,
        doc: "",
    };
    let text = |name| AttributeSchema::optional(name, Type::String, ChangeWord::Recreate, "");
    let tags = || AttributeSchema::optional("tags", Type::map(Type::String), ChangeWord::Live, "");
    let network = kind("toy_network", vec![text("name"), tags()]);
    let instance = kind("toy_instance", vec![text("name"), tags(), AttributeSchema::computed("private_ip", Type::String, "")]);
    ProviderSchema { version: 1, config: Vec::new(), kinds: [("toy_network", network), ("toy_instance", instance)].into() }
});

impl Provider for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn schema(&self) -> &ProviderSchema {
        &SCHEMA
    }

    fn capabilities(&self, _: &ProviderRef, _: &Value, _: &Facts) -> Option<Capabilities> {
        None
    }

    fn lower_workspace(&self, _: &Value, workspace: &WorkspaceSpec, _: &Facts) -> Lowered {
        let name = real_name(&workspace.address, &workspace.fields);
        let network = ResourceBuilder::part(workspace.address.child("network"), "toy_network", workspace, &workspace.network)
            .set("name", Arc::clone(&name))
            .field(&workspace.fields, "tags");
        Lowered { resources: vec![network.build()], exports: Value::object([("name", Value::from(name))]), ..Lowered::default() }
    }

    fn lower_cluster(&self, _: &Value, cluster: &ClusterSpec, workspace: &WorkspaceUse, _: &Facts) -> Lowered {
        let name = real_name(&cluster.address, &cluster.fields);
        let mut exports = vec![("name", Value::from(Arc::clone(&name)))];
        let mut resources = Vec::new();
        if let Some(head) = &cluster.head {
            let instance = ResourceBuilder::new(head.address.clone(), "toy_instance", cluster.provider.clone(), head.span)
                .lifecycle(&head.lifecycle, &cluster.lifecycle)
                .depends_on([&workspace.address.child("network")])
                .set("name", name)
                .field(&head.fields, "tags");
            resources.push(instance.build());
            exports.push(("head", Value::object([("private_ip", reference(&head.address, "private_ip", Type::String))])));
        }
        Lowered { resources, exports: Value::object(exports), ..Lowered::default() }
    }

    fn connect(&self, _: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        Err(CallError::new(ErrorClass::Permanent, "toy", "nothing is ever made of it"))
    }
}

fn run(files: &[(&str, &str)], variables: &VariableInputs) -> (Compiled, SourceMap, Diagnostics) {
    let sources = MemorySources::new(files.iter().copied());
    let mut providers = Providers::new();
    providers.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    providers.insert("toy", Arc::new(Toy));
    compile(&CompileInput {
        sources: &sources,
        variables,
        providers: &providers,
        facts: &Facts::new(),
        provider_override: None,
        tool_version: "0.1.0",
        plan_time: "2025-01-31T12:00:00Z",
        expressions: &[],
    })
}

/// One line for each diagnostic: line, code, title.
fn describe(map: &SourceMap, found: &Diagnostics) -> String {
    let line = |diagnostic: &cloudtik_model::Diagnostic| {
        let place = diagnostic.primary.as_ref().and_then(|label| map.describe(label.span)).unwrap_or_else(|| "-".to_owned());
        let place = place.split(':').nth(1).unwrap_or("-").to_owned();
        format!("{place} {}: {}\n", diagnostic.code, diagnostic.title)
    };
    found.iter().map(line).collect()
}

const START: &str = "provider \"toy\" {}\nworkspace \"w\" {}\n";

#[track_caller]
fn errors(source: &str, expected: &str) {
    let source = format!("{START}{source}");
    let (_, map, found) = run(&[("main.hcl", &source), ("x.txt", "v=${a}")], &VariableInputs::default());
    assert_eq!(describe(&map, &found).trim(), expected.trim());
}

#[track_caller]
fn graph(source: &str) -> Graph {
    let source = format!("{START}{source}");
    let (compiled, map, found) = run(&[("main.hcl", &source), ("x.txt", "v=${a}")], &VariableInputs::default());
    assert!(found.is_empty(), "{}", describe(&map, &found));
    compiled.graph
}

fn step<'g>(graph: &'g Graph, address: &str) -> &'g StepSpec {
    match graph.nodes.get(&address.parse::<Address>().unwrap()) {
        Some(Node::Step(step)) => step,
        other => panic!("{address}: {other:?}"),
    }
}

fn needs(graph: &Graph, address: &str) -> BTreeSet<String> {
    let node = &graph.nodes[&address.parse::<Address>().unwrap()];
    let depends_on = match node {
        Node::Resource(spec) => &spec.depends_on,
        Node::Step(spec) => &spec.depends_on,
    };
    depends_on.iter().map(ToString::to_string).collect()
}

#[test]
fn what_an_expression_refers_to_comes_before_everything_that_it_is_part_of() {
    let graph = graph(
        r#"
resource "value" "page" { input = "x" }
resource "value" "known" { input = workspace.w.name }
resource "value" "ready" { input = cluster.a.name }
cluster "a" {
  workspace = workspace.w
  head {}
}
cluster "b" {
  workspace = workspace.w
  env       = { PEER = cluster.a.head.private_ip }
  head {}
  runtime "nginx" {
    pages = { "index.html" = value.page.id }
  }
}
"#,
    );
    assert_eq!(needs(&graph, "value.known"), ["workspace.w.network".to_owned()].into());
    assert_eq!(needs(&graph, "value.ready"), ["cluster.a.head".to_owned(), "cluster.a.head.step.host_key".to_owned()].into());
    // Of a head that is named its own steps are not waited for.
    assert!(needs(&graph, "cluster.b.head").contains("cluster.a.head"));
    assert!(!needs(&graph, "cluster.b.head").contains("cluster.a.head.step.host_key"));
    for step in ["runtime.nginx.nginx", "runtime.nginx.page[\"index.html\"]"] {
        let needs = needs(&graph, &format!("cluster.b.head.{step}"));
        assert!(needs.contains("value.page") && needs.contains("cluster.a.head"), "{step}: {needs:?}");
    }
    let nodes: BTreeSet<String> = graph.nodes.keys().map(ToString::to_string).collect();
    for address in &nodes {
        assert!(needs(&graph, address).is_subset(&nodes), "{address} needs what is no node");
    }
}

#[test]
fn a_runtime_waits_for_others_of_its_cluster_and_for_other_clusters() {
    let module =
        "module \"NAME\" {\n  version = \"1\"\n  description = \"d\"\n  roles = [\"head\"]\n}\nrun \"go\" {\n  run = \"true\"\n}\n";
    let (one, two) = (module.replace("NAME", "one"), module.replace("NAME", "two"));
    let source = format!(
        "{START}{}",
        r#"
cluster "a" {
  workspace = workspace.w
  head {}
}
cluster "b" {
  workspace = workspace.w
  head {}
  runtime "one" {
    source     = "one"
    depends_on = [cluster.b.runtime.two, cluster.a]
  }
  runtime "two" { source = "two" }
}
"#
    );
    let files = [("main.hcl", source.as_str()), ("one/module.hcl", one.as_str()), ("two/module.hcl", two.as_str())];
    let (compiled, map, found) = run(&files, &VariableInputs::default());
    assert!(found.is_empty(), "{}", describe(&map, &found));
    let needs = needs(&compiled.graph, "cluster.b.head.runtime.one.go");
    assert!(needs.contains("cluster.b.head.runtime.two.go") && needs.contains("cluster.a.head.step.host_key"), "{needs:?}");
    errors(
        "cluster \"c\" {\n  workspace = workspace.w\n  head {}\n  runtime \"nginx\" { depends_on = [runtime.nginy, cluster.zz, \"x\"] }\n}",
        "
6 unknown-reference: the cluster has no runtime `nginy`
6 unknown-reference: there is nothing at `cluster.zz`
6 not-a-reference: this is not a reference to a block
",
    );
}

#[test]
fn files_are_wrong_at_their_own_type() {
    errors(
        r#"
cluster "c" {
  workspace = workspace.w
  head {}
  files = {
    "a" = { content = "x", mode = 644 }
    "b" = { content = "x", on = [1] }
    "c" = { content = "x", template = { a = 1 } }
    "d" = { source = node.id }
    "e" = { content = "x", mode = node.id }
    "f" = { content = { a = 1 } }
    "g" = { source = "x.txt", exclude = "y" }
    "./h" = { content = "x" }
    "i" = { content = "x", on = ["workers"] }
    "j" = { source = "x.txt", template = "x" }
    "k" = { content = "x", ownr = "me" }
  }
}
"#,
        r#"
7 bad-file: `files["./h"]`: it is not the path of a file
7 bad-file: `files["a"]`: `mode` is a number, not a string
7 bad-file: `files["b"]`: each element of `on` is a number, not a string
7 bad-file: `files["c"]`: `template` and `exclude` are about a `source`
7 bad-file: `files["d"]`: `source` must be known when the plan is made
7 bad-file: `files["e"]`: `mode` must be known when the plan is made
7 bad-file: `files["f"]`: `content` is an object, not a string
7 bad-file: `files["g"]`: `exclude` is a string, not a list of strings
7 bad-file: `files["i"]`: `on = ["workers"]`: the cluster has no workers
7 bad-file: `files["j"]`: `template` is a string, not a map of names and values
7 bad-file: `files["k"]`: there is no `ownr`
"#,
    );
}

#[test]
fn two_entries_for_one_remote_path_are_an_error() {
    let source = format!(
        "{START}{}",
        "cluster \"c\" {\n  workspace = workspace.w\n  head {}\n  files = {\n    \"www\" = \"site\"\n    \"www/a\" = { content = \"x\" }\n  }\n}"
    );
    let (_, map, found) = run(&[("main.hcl", &source), ("site/a", "a"), ("site/b", "b")], &VariableInputs::default());
    let expected = "6 duplicate-file: `files[\"www/a\"]`: something else is copied to cluster.c.head.file[\"www/a\"]\n";
    assert_eq!(describe(&map, &found), expected);
}

#[test]
fn what_is_taken_out_of_something_sensitive_is_sensitive() {
    let graph = graph(
        r#"
cluster "c" {
  workspace = workspace.w
  files     = { "a" = sensitive({ content = "secret-a" }) }
  head {
    files = sensitive({ "b" = { source = "x.txt", template = { a = "secret-b" } } })
    setup {
      before_runtimes = sensitive(["echo secret-c"])
    }
  }
}
"#,
    );
    for (address, input) in [("file[\"a\"]", "content"), ("file[\"b\"]", "content"), ("setup.before_runtimes[0]", "script")] {
        let step = step(&graph, &format!("cluster.c.head.{address}"));
        let Input::Value(value) = &step.inputs[input] else { panic!("{address}") };
        assert!(value.has_sensitive(), "{address}");
        assert!(!step.title.contains("secret-"), "{address}: {}", step.title);
    }
}

#[test]
fn errors_about_sensitive_values_do_not_tell_them() {
    let variables = VariableInputs {
        arguments: [("words", "hunter2"), ("number", "\"hunter2\""), ("map", "{hunter2=")]
            .map(|(name, text)| VariableArgument::Var { name: name.to_owned(), text: text.to_owned() })
            .into(),
        ..VariableInputs::default()
    };
    let source = format!(
        "{START}{}",
        r#"
variable "words" {
  type      = string
  sensitive = true
}
variable "number" {
  type      = number
  sensitive = true
}
variable "map" {
  type      = map(string)
  sensitive = true
}
workspace "x" {
  network {
    mode = var.words
    cidr = var.words
  }
}
cluster "c" {
  workspace = workspace.w
  head {
    ssh { connect_timeout = var.words }
  }
}
"#
    );
    let (_, map, found) = run(&[("main.hcl", &source)], &variables);
    assert_eq!(found.len(), 5, "{}", describe(&map, &found));
    let said = format!("{found:?}");
    assert!(!said.contains("hunter2"), "{said}");
    // Nor is anything of an argument shown around a place in it.
    assert!(!describe(&map, &found).contains("<--var"));
}

#[test]
fn names_become_real_ones_and_are_checked_as_such() {
    errors(
        r#"
workspace "k" { for_each = toset(["A B"]) }
workspace "a-label-that-is-longer-than-a-real-name" {}
workspace "same" { name = "w" }
workspace "Bad" {}
cluster "c" {
  workspace = workspace.w
}
cluster "d" {
  workspace = workspace.w
  name      = "c"
}
cluster "e" {
  workspace = workspace.w
  head {
    setup {
      step "host_key" {
        phase = "on_start"
        run   = "true"
      }
    }
  }
}
"#,
        "
4 bad-name: its real name would be `k-A B`, and that is no name
5 bad-name: its real name would be `a-label-that-is-longer-than-a-real-name`, and that is no name
6 duplicate-name: there are two of workspace `w` of provider `toy`
7 bad-name: `Bad` is not a name
13 duplicate-name: there are two of cluster `c` of workspace.w
19 bad-name: `host_key` is not a name
",
    );
}

#[test]
fn what_would_have_no_effect_is_refused() {
    errors(
        r#"
cluster "c" {
  workspace = workspace.w
  env       = { A = null }
  head {
    ssh { authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me\ncommand"] }
    setup {
      before_runtimes = ["true", null]
    }
  }
}
cluster "d" {
  workspace = workspace.w
  files     = { "x" = "x.txt" }
  lifecycle { ignore_changes = [tgas] }
}
cluster "e" {
  workspace = workspace.w
  head {
    lifecycle { ignore_changes = [head.tags] }
    setup {
      step "s" {
        phase = "on_start"
        run   = "true"
        on    = ["workers"]
      }
    }
  }
  runtime "nginx" { on = ["workers"] }
}
"#,
        r#"
6 null-value: `env["A"]` must not be null
8 bad-value: `authorized_keys`: it holds what is no public key
10 null-value: `before_runtimes[1]` must not be null
16 no-nodes: the cluster has no head, so there is no node for this `files`
17 unknown-attribute: `ignore_changes`: nothing that cluster.d makes has an attribute `tgas`
21 unknown-attribute: `ignore_changes`: cluster.e.head has no attribute `head.tags`
27 no-workers: `on = ["workers"]`: the cluster has no workers
31 no-workers: `on = ["workers"]`: the cluster has no workers
"#,
    );
}

#[test]
fn ignored_changes_of_a_cluster_reach_the_part_that_they_name() {
    let graph = graph("cluster \"c\" {\n  workspace = workspace.w\n  head {}\n  lifecycle { ignore_changes = [head.tags] }\n}");
    let Node::Resource(head) = &graph.nodes[&"cluster.c.head".parse::<Address>().unwrap()] else { panic!("no resource") };
    assert_eq!(head.lifecycle.ignore_changes, ["tags".to_owned()].into());
}

#[test]
fn what_refers_to_a_runtime_with_errors_is_not_wrong_too() {
    errors(
        r#"
cluster "c" {
  workspace = workspace.w
  head {}
  runtime "nginx" { port = "eighty" }
}
output "o" { value = cluster.c.runtime.nginx.endpoints }
"#,
        "7 wrong-type: `port` is a number and a string was given",
    );
}

#[test]
fn postconditions_see_what_was_made() {
    let graph = graph(
        r#"
workspace "x" {
  lifecycle {
    postcondition {
      condition     = self.name == "y"
      error_message = "it is called ${self.name}"
    }
    postcondition {
      condition     = self.name == "x"
      error_message = "it holds"
    }
  }
}
"#,
    );
    // Whoever plans judges it: a destroy asks for none.
    let judged = graph.conditions.iter().map(|condition| {
        assert_eq!(condition.of, "workspace.x");
        judge(&condition.condition, &condition.message)
    });
    assert_eq!(judged.collect::<Vec<_>>(), [Verdict::Fails("it is called x".to_owned()), Verdict::Holds]);
}

#[test]
fn a_state_whose_path_cannot_be_known_is_no_other_state() {
    let source = "variable \"env\" {}\ncloudtik {\n  state \"local\" { path = \"${var.env}/state.json\" }\n}\n";
    let (compiled, _, found) = run(&[("main.hcl", source)], &VariableInputs::default());
    assert!(found.has_errors() && compiled.state_failed);
    assert_eq!(compiled.state_path, None);
    let values = BTreeMap::from([("env".to_owned(), Value::from("dev"))]);
    let (compiled, _, found) = run(&[("main.hcl", source)], &VariableInputs { values, ..VariableInputs::default() });
    assert!(found.is_empty() && !compiled.state_failed);
    assert_eq!(compiled.state_path.as_deref(), Some("dev/state.json"));
}
