//! A provider and modules of our own, and one cluster of them.

use std::sync::{Arc, LazyLock};

use cloudtik_compiler::{CompileInput, Compiled, Providers, VariableInputs, compile, spec_text};
use cloudtik_model::spec::{ClusterSpec, NodeSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{
    Address, ChangeWord, Diagnostics, Graph, HeadConfig, MemorySources, Node, ProviderRef, ReadError, ResourceSpec, SourceMap, SourceSet,
    StepSpec, Type, Value,
};
use cloudtik_provider_api::{
    AttributeSchema, CallError, Capabilities, Cloud, ErrorClass, Expected, Facts, Idempotency, KindSchema, Lowered, Provider,
    ProviderSchema, ResourceBuilder, VALUE_KIND, ValueProvider, Visibility, reference,
};

/// What it ships.
const SHIPPED: &str = r#"
template "tiny" {
  head {
    cpus = 1
  }
  workers "default" {
    cpus       = 1
    memory_gib = 2
  }
}
template "tiny-highmem" {
  from = "tiny"
  workers "default" {
    memory_gib = 8
  }
}
"#;

/// A cloud with a network for each workspace and an instance for each node.
pub(crate) struct Toy;

pub(crate) static SCHEMA: LazyLock<ProviderSchema> = LazyLock::new(|| {
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
    let network = kind("toy_network", vec![text("name")]);
    let instance = kind("toy_instance", vec![text("network"), AttributeSchema::computed("private_ip", Type::String, "")]);
    ProviderSchema { version: 1, config: Vec::new(), kinds: [("toy_network", network), ("toy_instance", instance)].into() }
});

pub(crate) fn instance(node: &NodeSpec, cluster: &ClusterSpec, network: &Address) -> ResourceSpec {
    ResourceBuilder::new(node.address.clone(), "toy_instance", cluster.provider.clone(), node.span)
        .lifecycle(&node.lifecycle, &cluster.lifecycle)
        .set("network", reference(network, "id", Type::String))
        .field(&node.fields, "cpus")
        .field(&node.fields, "tags")
        .build()
}

impl Provider for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn schema(&self) -> &ProviderSchema {
        &SCHEMA
    }

    fn templates(&self) -> &'static [&'static str] {
        &[SHIPPED]
    }

    fn capabilities(&self, _: &ProviderRef, _: &Value, _: &Facts) -> Option<Capabilities> {
        None
    }

    fn lower_workspace(&self, _: &Value, workspace: &WorkspaceSpec, _: &Facts) -> Lowered {
        let network = ResourceBuilder::part(workspace.address.child("network"), "toy_network", workspace, &workspace.network);
        Lowered { resources: vec![network.build()], exports: Value::object::<&str>([]), ..Lowered::default() }
    }

    fn lower_cluster(&self, _: &Value, cluster: &ClusterSpec, workspace: &WorkspaceUse, _: &Facts) -> Lowered {
        let network = workspace.address.child("network");
        let mut lowered = Lowered::default();
        let mut exports = Vec::new();
        if let Some(head) = &cluster.head {
            let mut made = instance(head, cluster, &network);
            if cluster.workers_max > 0 {
                let mut attributes = made.attributes.entries().unwrap().clone();
                attributes.insert("max_workers".into(), cluster.workers_max.into());
                made.attributes = Value::object(attributes);
            }
            lowered.resources.push(made);
            exports.push(("head", Value::object([("private_ip", reference(&head.address, "private_ip", Type::String))])));
        }
        lowered.workers = cluster.workers.iter().map(|(label, worker)| (Arc::clone(label), instance(worker, cluster, &network))).collect();
        Lowered { exports: Value::object(exports), ..lowered }
    }

    fn connect(&self, _: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        Err(CallError::new(ErrorClass::Permanent, "toy", "nothing is ever made of it"))
    }
}

/// Forms a quorum of workers and offers a store.
pub(crate) const KV: &str = r#"
module "kv" {
  version     = "1"
  description = "d"
  roles       = ["workers"]
}
option "password" {
  type      = string
  default   = "none"
  sensitive = true
}
port "client" { port = 2379 }
service "kv" {
  type = "store"
  port = "client"
}
file "config" {
  path     = "${node.dirs.conf}/kv.conf"
  template = "kv.hbs"
  bindings = { password = option.password, id = node.id }
}
daemon "kv" {
  argv    = ["kv", node.id]
  follows = ["config"]
}
membership {
  join  = "join"
  leave = "leave"
}
"#;

/// Another store, without members.
pub(crate) const KV2: &str = r#"
module "kv2" {
  version     = "1"
  description = "d"
  roles       = ["workers"]
}
port "client" { port = 2380 }
service "kv2" {
  type = "store"
  port = "client"
}
run "start" { run = "true" }
"#;

/// Follows stores from the head.
pub(crate) const WEB: &str = r#"
module "web" {
  version     = "1"
  description = "d"
  roles       = ["head"]
}
discover "backend" { types = ["store"] }
discover "more" {
  types    = ["nothing"]
  optional = true
}
file "config" {
  path    = "${node.dirs.conf}/web.conf"
  content = join(",", concat(service.backend.endpoints, service.more.endpoints))
}
daemon "web" {
  argv    = ["web"]
  follows = ["config"]
}
"#;

/// Does nothing that others see.
pub(crate) const PLAIN: &str = r#"
module "plain" {
  version     = "1"
  description = "d"
  roles       = ["head"]
}
run "go" { run = "true" }
"#;

/// Has an option that is nobody's business.
const SECRETIVE: &str = r#"
module "secretive" {
  version     = "1"
  description = "d"
  roles       = ["head"]
}
option "password" {
  type      = string
  sensitive = true
}
run "go" { run = "echo ${option.password}" }
"#;

/// Needs three members.
pub(crate) const THREE: &str = r#"
module "three" {
  version     = "1"
  description = "d"
  roles       = ["workers"]
  quorum_min  = 3
}
run "go" { run = "true" }
membership {
  join  = "join"
  leave = "leave"
}
"#;

pub(crate) const START: &str = "provider \"toy\" {}\nworkspace \"w\" {}\n";

/// The same files in another folder.
pub(crate) struct At(MemorySources, &'static str);

impl SourceSet for At {
    fn list(&self) -> Result<Vec<String>, ReadError> {
        self.0.list()
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        self.0.read(path)
    }

    fn list_below(&self, path: &str, depth: Option<usize>) -> Result<Option<Vec<String>>, ReadError> {
        self.0.list_below(path, depth)
    }

    fn root(&self) -> &str {
        self.1
    }
}

pub(crate) fn run(source: &str) -> (Compiled, SourceMap, Diagnostics) {
    run_at(source, ".")
}

pub(crate) fn run_at(source: &str, folder: &'static str) -> (Compiled, SourceMap, Diagnostics) {
    let source = format!("{START}{source}");
    let big = vec![b'x'; 300 * 1024];
    let mut files: Vec<(&str, &[u8])> =
        vec![("main.hcl", source.as_bytes()), ("big.bin", &big), ("kv/templates/kv.hbs", b"{{id}} {{password}}\n")];
    let modules = [("kv", KV), ("kv2", KV2), ("web", WEB), ("plain", PLAIN), ("three", THREE)];
    let paths = modules.map(|(name, text)| (format!("{name}/module.hcl"), text));
    files.extend(paths.iter().map(|(path, text)| (path.as_str(), text.as_bytes())));
    compile_sources(&At(MemorySources::new(files), folder))
}

pub(crate) fn compile_sources(sources: &dyn SourceSet) -> (Compiled, SourceMap, Diagnostics) {
    with_input(sources, compile)
}

/// A block of the spec after inheritance.
pub(crate) fn shown(source: &str, at: &str) -> (Option<String>, SourceMap, Diagnostics) {
    let source = format!("{START}{source}");
    let sources = MemorySources::new([("main.hcl", source.as_str()), ("plain/module.hcl", PLAIN), ("secretive/module.hcl", SECRETIVE)]);
    with_input(&sources, |input| spec_text(input, &address(at)))
}

fn with_input<T>(sources: &dyn SourceSet, run: impl FnOnce(&CompileInput<'_>) -> T) -> T {
    let mut providers = Providers::new();
    providers.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    providers.insert("toy", Arc::new(Toy));
    run(&CompileInput {
        sources,
        variables: &VariableInputs::default(),
        providers: &providers,
        facts: &Facts::new(),
        provider_override: None,
        tool_version: "0.1.0",
        plan_time: "2025-01-31T12:00:00Z",
        expressions: &[],
    })
}

/// One line for each diagnostic: line, code, title; then its help.
pub(crate) fn describe(map: &SourceMap, found: &Diagnostics) -> String {
    let mut text = String::new();
    for diagnostic in found {
        let place = diagnostic.primary.as_ref().and_then(|label| map.describe(label.span)).unwrap_or_else(|| "-".to_owned());
        text.push_str(&format!("{} {}: {}\n", place.split(':').nth(1).unwrap_or("-"), diagnostic.code, diagnostic.title));
        if let Some(help) = &diagnostic.help {
            text.push_str(&format!("  help: {help}\n"));
        }
    }
    text
}

#[track_caller]
pub(crate) fn errors(source: &str, expected: &str) {
    let (_, map, found) = run(source);
    assert_eq!(describe(&map, &found).trim(), expected.trim());
}

#[track_caller]
pub(crate) fn compiled(source: &str) -> Compiled {
    let (compiled, map, found) = run(source);
    assert!(found.is_empty(), "{}", describe(&map, &found));
    compiled
}

pub(crate) fn config(compiled: &Compiled) -> &HeadConfig {
    &compiled.head_configs[&address("cluster.c")]
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(crate) fn resource<'g>(graph: &'g Graph, at: &str) -> &'g ResourceSpec {
    match graph.nodes.get(&address(at)) {
        Some(Node::Resource(spec)) => spec,
        other => panic!("{at}: {other:?}"),
    }
}

pub(crate) fn attribute<'g>(graph: &'g Graph, at: &str, name: &str) -> &'g Value {
    resource(graph, at).attributes.get(name).unwrap_or_else(|| panic!("{at} has no {name}"))
}

pub(crate) fn of(node: &str, steps: &[StepSpec]) -> Vec<String> {
    let prefix = format!("{node}.");
    steps.iter().map(|step| step.address.to_string().strip_prefix(&prefix).unwrap().to_owned()).collect()
}

pub(crate) const CLUSTER: &str = r#"
resource "value" "peer" { input = "x" }
resource "value" "gate" {}
cluster "c" {
  workspace = workspace.w
  env       = { PEER = value.peer.id, TOKEN = sensitive("hunter2-token") }
  head {
    setup { after_runtimes = ["echo ${node.id}"] }
  }
  workers "a" {
    min   = 3
    max   = 5
    cpus  = 2
    files = {
      "big"  = { source = "big.bin", on = ["workers"] }
      "note" = { content = "pw=${sensitive("hunter2-note")} at ${node.address}" }
    }
    tags  = { owner = sensitive("hunter2-tag") }
    ssh { ready_timeout = "5m" }
  }
  workers "b" {
    runtimes = ["kv2"]
    setup {
      before_runtimes = sensitive(["echo hunter2-command"])
    }
  }
  runtime "kv" {
    source   = "kv"
    on       = ["workers.a"]
    password = "hunter2-option"
  }
  runtime "kv2" {
    source     = "kv2"
    depends_on = [value.gate]
  }
  runtime "web" { source = "web" }
  runtime "plain" { source = "plain" }
}
"#;
