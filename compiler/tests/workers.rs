//! Clusters with workers: what the head is told, what stands for it in the graph, and what is refused. The provider is one of our own.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends with a panic, its helpers too; clippy knows tests by their attribute"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use cloudtik_compiler::{CompileInput, Compiled, Providers, VariableInputs, compile};
use cloudtik_lang::{Filling, LateValues, instantiate, instantiate_head, late_names_of};
use cloudtik_model::spec::{ClusterSpec, NodeSpec, WorkspaceSpec};
use cloudtik_model::{
    Address, ChangeWord, Diagnostics, Graph, HeadConfig, Input, LateName, MemorySources, Node, ProviderRef, ReadError, ResourceSpec,
    SourceMap, SourceSet, StepKind, StepSpec, Type, Value,
};
use cloudtik_provider_api::{
    AttributeSchema, CallError, Capabilities, Cloud, ErrorClass, Expected, Facts, Idempotency, KindSchema, Lowered, Provider,
    ProviderSchema, ResourceBuilder, VALUE_KIND, ValueProvider, reference,
};

/// A cloud with a network for each workspace and an instance for each node.
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
        rolls: false,
        in_resource: false,
        doc: "",
    };
    let text = |name| AttributeSchema::optional(name, Type::String, ChangeWord::Recreate, "");
    let network = kind("toy_network", vec![text("name")]);
    let instance = kind("toy_instance", vec![text("network"), AttributeSchema::computed("private_ip", Type::String, "")]);
    ProviderSchema { version: 1, config: Vec::new(), kinds: [("toy_network", network), ("toy_instance", instance)].into() }
});

fn instance(node: &NodeSpec, cluster: &ClusterSpec, network: &Address) -> ResourceSpec {
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

    fn capabilities(&self, _: &ProviderRef, _: &Value, _: &Facts) -> Option<Capabilities> {
        None
    }

    fn lower_workspace(&self, _: &Value, workspace: &WorkspaceSpec, _: &Facts) -> Lowered {
        let network = ResourceBuilder::part(workspace.address.child("network"), "toy_network", workspace, &workspace.network);
        Lowered { resources: vec![network.build()], exports: Value::object::<&str>([]), ..Lowered::default() }
    }

    fn lower_cluster(&self, _: &Value, cluster: &ClusterSpec, workspace: &WorkspaceSpec, _: &Facts) -> Lowered {
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
const KV: &str = r#"
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
const KV2: &str = r#"
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
const WEB: &str = r#"
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
const PLAIN: &str = r#"
module "plain" {
  version     = "1"
  description = "d"
  roles       = ["head"]
}
run "go" { run = "true" }
"#;

/// Needs three members.
const THREE: &str = r#"
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

const START: &str = "provider \"toy\" {}\nworkspace \"w\" {}\n";

/// The same files in another folder.
struct At(MemorySources, &'static str);

impl SourceSet for At {
    fn list(&self) -> Result<Vec<String>, ReadError> {
        self.0.list()
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        self.0.read(path)
    }

    fn list_below(&self, path: &str) -> Result<Option<Vec<String>>, ReadError> {
        self.0.list_below(path)
    }

    fn root(&self) -> &str {
        self.1
    }
}

fn run(source: &str) -> (Compiled, SourceMap, Diagnostics) {
    run_at(source, ".")
}

fn run_at(source: &str, folder: &'static str) -> (Compiled, SourceMap, Diagnostics) {
    let source = format!("{START}{source}");
    let big = vec![b'x'; 300 * 1024];
    let mut files: Vec<(&str, &[u8])> =
        vec![("main.hcl", source.as_bytes()), ("big.bin", &big), ("kv/templates/kv.hbs", b"{{id}} {{password}}\n")];
    let modules = [("kv", KV), ("kv2", KV2), ("web", WEB), ("plain", PLAIN), ("three", THREE)];
    let paths = modules.map(|(name, text)| (format!("{name}/module.hcl"), text));
    files.extend(paths.iter().map(|(path, text)| (path.as_str(), text.as_bytes())));
    let sources = At(MemorySources::new(files), folder);
    let mut providers = Providers::new();
    providers.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    providers.insert("toy", Arc::new(Toy));
    compile(&CompileInput {
        sources: &sources,
        variables: &VariableInputs::default(),
        providers: &providers,
        facts: &Facts::new(),
        provider_override: None,
        tool_version: "0.1.0",
    })
}

/// One line for each diagnostic: line, code, title; then its help.
fn describe(map: &SourceMap, found: &Diagnostics) -> String {
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
fn errors(source: &str, expected: &str) {
    let (_, map, found) = run(source);
    assert_eq!(describe(&map, &found).trim(), expected.trim());
}

#[track_caller]
fn compiled(source: &str) -> Compiled {
    let (compiled, map, found) = run(source);
    assert!(found.is_empty(), "{}", describe(&map, &found));
    compiled
}

fn config(compiled: &Compiled) -> &HeadConfig {
    &compiled.head_configs[&address("cluster.c")]
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn resource<'g>(graph: &'g Graph, at: &str) -> &'g ResourceSpec {
    match graph.nodes.get(&address(at)) {
        Some(Node::Resource(spec)) => spec,
        other => panic!("{at}: {other:?}"),
    }
}

fn attribute<'g>(graph: &'g Graph, at: &str, name: &str) -> &'g Value {
    resource(graph, at).attributes.get(name).unwrap_or_else(|| panic!("{at} has no {name}"))
}

fn of(node: &str, steps: &[StepSpec]) -> Vec<String> {
    let prefix = format!("{node}.");
    steps.iter().map(|step| step.address.to_string().strip_prefix(&prefix).unwrap().to_owned()).collect()
}

const CLUSTER: &str = r#"
resource "value" "peer" { input = "x" }
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
    depends_on = [value.peer]
  }
  runtime "web" { source = "web" }
  runtime "plain" { source = "plain" }
}
"#;

#[test]
fn a_cluster_with_workers_has_a_controller_and_groups() {
    let compiled = compiled(CLUSTER);
    let graph = &compiled.graph;
    let below: Vec<String> = graph.nodes.keys().map(ToString::to_string).filter(|at| at.starts_with("cluster.c")).collect();
    assert_eq!(
        below,
        [
            "cluster.c.head",
            "cluster.c.head.controller.artifact[\"big.bin\"]",
            "cluster.c.head.controller.daemon",
            "cluster.c.head.runtime.plain.go",
            "cluster.c.head.step.host_key",
            "cluster.c.head_controller",
            "cluster.c.workers.a",
            "cluster.c.workers.b",
        ]
    );
    for at in &below {
        assert_eq!(address(at).to_string(), *at);
    }
    let config = config(&compiled);
    assert_eq!((config.name.as_str(), config.provider.as_str()), ("c", "toy"));
    let a = &config.groups["a"];
    assert_eq!((a.min, a.max, a.quorum, a.ready_timeout_secs), (3, 5, true, 300));
    let steps = ["step.host_key", "file[\"big\"]", "file[\"note\"]", "runtime.kv.config", "runtime.kv.kv", "runtime.kv2.start"];
    assert_eq!(of("cluster.c.workers.a", &a.steps), steps);
    assert_eq!(a.memberships[0].address.to_string(), "cluster.c.workers.a.runtime.kv.member");
    let b = &config.groups["b"];
    assert_eq!((b.min, b.max, b.quorum, b.ready_timeout_secs), (1, 1, false, 900));
    assert_eq!(of("cluster.c.workers.b", &b.steps), ["step.host_key", "setup.before_runtimes[0]", "runtime.kv2.start"]);
    assert!(a.steps.iter().all(|step| step.node == a.node.address));
    assert_eq!(a.node.attributes.get("cpus"), Some(&2_u64.into()));
    // Each step stands after those that it depends on.
    for group in config.groups.values() {
        for (at, step) in group.steps.iter().enumerate() {
            let later: BTreeSet<&Address> = group.steps[at..].iter().map(|step| &step.address).collect();
            assert!(step.depends_on.iter().all(|needed| !later.contains(needed)), "{}", step.address);
        }
    }
}

#[test]
fn what_stands_for_the_controller_says_what_it_is_told() {
    let compiled = compiled(CLUSTER);
    let (graph, config) = (&compiled.graph, config(&compiled));
    let at = "cluster.c.head_controller";
    let controller = resource(graph, at);
    assert_eq!((&*controller.kind, controller.provider.as_str()), ("head_controller", "controller.toy"));
    assert_eq!(graph.providers[&ProviderRef::new("controller.toy")].attributes.get("provider"), Some(&"toy".into()));
    assert_eq!(controller.marks["cloudtik:cluster"], "w/c");
    assert_eq!(attribute(graph, at, "cluster").as_str(), Some("cluster.c"));
    assert_eq!(attribute(graph, at, "kind").as_str(), Some("toy_instance"));
    let refers = |name: &str| format!("{:?}", attribute(graph, at, name));
    assert_eq!(refers("instance"), "<string: Attribute { of: Reference(cluster.c.head), name: \"id\" }>");
    assert_eq!(refers("ssh"), "<any: Attribute { of: Reference(cluster.c.head), name: \"ssh\" }>");
    assert_eq!(refers("host_key"), "<string: Attribute { of: Reference(cluster.c.head.step.host_key), name: \"host_key\" }>");
    let document = attribute(graph, at, "document").as_str().unwrap();
    let read = HeadConfig::from_bytes(document.as_bytes()).unwrap();
    assert_eq!((read.digest().unwrap(), read.to_bytes().unwrap()), (config.digest().unwrap(), document.as_bytes().to_vec()));
    assert_eq!(attribute(graph, at, "digest").as_str().unwrap(), config.digest().unwrap().to_string());
    let shown = attribute(graph, at, "steps").get("runtime.web.config").unwrap().get("content").unwrap();
    assert!(shown.as_str().unwrap().contains("service.kv.endpoints"), "{shown:?}");
    assert_eq!(attribute(graph, at, "services").get("kv").unwrap().get("groups"), Some(&Value::list([Value::from("a")])));
    // Everything of the head's comes before it.
    let nodes: BTreeSet<&Address> = graph.nodes.keys().collect();
    let head: BTreeSet<&Address> = nodes.iter().copied().filter(|node| node.is_within(&address("cluster.c.head"))).collect();
    assert!(head.iter().all(|step| controller.depends_on.contains(*step)), "{:?}", controller.depends_on);
    assert!(controller.depends_on.contains(&address("value.peer")) && controller.depends_on.contains(&address("workspace.w.network")));
    assert!(controller.depends_on.iter().all(|needed| nodes.contains(needed)), "{:?}", controller.depends_on);

    let group = resource(graph, "cluster.c.workers.a");
    assert_eq!((&*group.kind, group.provider.as_str()), ("worker_group", "controller.toy"));
    assert_eq!(group.depends_on, [address(at)].into());
    let value = |name: &str| attribute(graph, "cluster.c.workers.a", name);
    assert_eq!((value("min"), value("max"), value("ready_timeout_secs")), (&3_u64.into(), &5_u64.into(), &300_u64.into()));
    assert_eq!(value("template").as_str().unwrap(), config.groups["a"].template_digest().unwrap().to_string());
    assert_eq!(value("node").get("network").unwrap().as_str(), Some("<workspace.w.network.id>"));
    assert!(value("node").is_known() && value("steps").is_known());
    assert_eq!(value("steps").get("runtime.kv.kv").unwrap().get("name").unwrap().as_str(), Some("kv"));
    let origin = |name: &str| group.origins[name].span;
    assert!(origin("min") != origin("max") && !origin("node").is_none() && origin("steps") == group.span);
}

#[test]
fn the_steps_that_bring_up_the_controller_come_after_the_first_contact() {
    let compiled = compiled(CLUSTER);
    let step = |at: &str| match &compiled.graph.nodes[&address(at)] {
        Node::Step(step) => step,
        other => panic!("{other:?}"),
    };
    let daemon = step("cluster.c.head.controller.daemon");
    assert_eq!(daemon.kind, StepKind::Daemon);
    let input = |step: &StepSpec, name: &str| match &step.inputs[name] {
        Input::Value(value) => cloudtik_lang::preview(value),
        other => panic!("{other:?}"),
    };
    let argv =
        Value::list(["<cluster.c.head.ssh.run_step[0]>", "controller", "run", "--root", "<node.dirs.data>/controller"].map(Value::from));
    assert_eq!(input(daemon, "argv"), argv);
    let file = step("cluster.c.head.controller.artifact[\"big.bin\"]");
    let Input::Artifact(artifact) = &file.inputs["artifact"] else { panic!("no artifact") };
    assert_eq!(input(file, "path").as_str().unwrap(), format!("<node.dirs.data>/controller/artifacts/{}", artifact.sha256));
    for step in [daemon, file] {
        assert_eq!(step.depends_on, [address("cluster.c.head"), address("cluster.c.head.step.host_key")].into());
    }
}

#[test]
fn the_same_spec_gives_the_same_bytes() {
    let bytes = |source: &str| config(&compiled(source)).to_bytes().unwrap();
    assert_eq!(bytes(CLUSTER), bytes(CLUSTER));
    assert_eq!(bytes(CLUSTER), config(&run_at(CLUSTER, "/somewhere/else").0).to_bytes().unwrap());
    // What stands elsewhere in the project does not matter, nor where in it the block stands.
    assert_eq!(bytes(CLUSTER), bytes(&format!("\n\nresource \"value\" \"other\" {{}}\n{CLUSTER}")));
    let other = CLUSTER.replace("max   = 5", "max   = 6");
    assert_ne!(bytes(CLUSTER), bytes(&other));
    let template = |source: &str| config(&compiled(source)).groups["a"].template_digest().unwrap();
    assert_eq!(template(CLUSTER), template(&other));
}

#[test]
fn secrets_travel_beside_the_configuration() {
    let compiled = compiled(CLUSTER);
    let document = String::from_utf8(config(&compiled).to_bytes().unwrap()).unwrap();
    assert!(!document.contains("hunter2") && !document.contains("$sensitive"), "{document}");
    let secrets = attribute(&compiled.graph, "cluster.c.head_controller", "secrets");
    let texts: BTreeMap<&str, &str> = secrets.entries().unwrap().iter().map(|(name, value)| (&**name, value.as_str().unwrap())).collect();
    assert_eq!(texts["cluster.c.workers.a.runtime.kv.kv/env.TOKEN"], "hunter2-token");
    assert_eq!(texts["cluster.c.workers.a.runtime.kv.config/content.password"], "hunter2-option");
    assert_eq!(texts["cluster.c.workers.a.tags.owner"], "hunter2-tag");
    assert_eq!(texts["cluster.c.workers.b.setup.before_runtimes[0]/script"], "echo hunter2-command");
    assert!(texts.values().any(|text| text.contains("hunter2-note")));
    assert!(secrets.entries().unwrap().values().all(Value::is_sensitive));
    for group in ["a", "b"] {
        let shown = format!("{:?}", resource(&compiled.graph, &format!("cluster.c.workers.{group}")).attributes);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn what_was_taken_out_is_there_again_when_a_worker_is_made() {
    let compiled = compiled(
        r#"
cluster "c" {
  workspace = workspace.w
  head {}
  workers "a" {
    tags = sensitive({ a = "hunter2", b = "c" })
    setup {
      step "s" {
        phase = "on_start"
        run   = "echo ${sensitive("hunter2")} ${node.id} ${sensitive(7)}"
        env   = { N = sensitive("a-${node.zone}") }
      }
    }
  }
}
"#,
    );
    let config = config(&compiled);
    assert!(!String::from_utf8(config.to_bytes().unwrap()).unwrap().contains("hunter2"));
    let secrets = attribute(&compiled.graph, "cluster.c.head_controller", "secrets");
    let values = secrets.entries().unwrap().iter().map(|(name, value)| (LateName::Secret(Arc::clone(name)), value.clone())).collect();
    let network = Value::object([("id", Value::from("net-1"))]);
    let filling =
        Filling { references: &[(address("workspace.w.network"), network)].into(), live: &LateValues { values }, frozen: &BTreeSet::new() };
    let made = instantiate(&config.groups["a"], 7, filling).unwrap();
    let node = made.node.unwrap();
    assert_eq!(node.address.to_string(), "cluster.c.workers.a[7]");
    let tags = Value::map([("a", Value::from("hunter2")), ("b", "c".into())]);
    assert_eq!((node.attributes.get("tags"), node.attributes.get("network")), (Some(&tags), Some(&"net-1".into())));
    assert!(node.attributes.get("tags").unwrap().has_sensitive());
    let step = made.steps.iter().find(|step| step.address.to_string().ends_with("step.s")).unwrap();
    let Input::Value(script) = &step.inputs["script"] else { panic!("no script") };
    assert_eq!(cloudtik_lang::preview(script), "echo hunter2 <node.id> 7".into());
    assert!(script.is_sensitive() && made.waiting.is_empty());
}

#[test]
fn what_the_configuration_refers_to_travels_beside_it() {
    let compiled = compiled(CLUSTER);
    let references = attribute(&compiled.graph, "cluster.c.head_controller", "references");
    let names: Vec<String> = references
        .entries()
        .unwrap()
        .iter()
        .map(|(address, object)| format!("{address}: {:?}", object.entries().unwrap().keys().collect::<Vec<_>>()))
        .collect();
    assert_eq!(names, ["value.peer: [\"id\"]", "workspace.w.network: [\"id\"]"]);
    let id = references.get("value.peer").unwrap().get("id").unwrap();
    assert_eq!(format!("{id:?}"), "<any: Attribute { of: Reference(value.peer), name: \"id\" }>");
}

#[test]
fn the_controller_does_what_follows_workers_and_the_command_line_all_else() {
    let compiled = compiled(
        r#"
cluster "c" {
  workspace = workspace.w
  head {
    setup {
      before_runtimes = ["echo a"]
      on_start        = ["echo b"]
    }
  }
  workers "a" {}
  runtime "kv2" { source = "kv2" }
  runtime "web" { source = "web" }
  runtime "plain" {
    source     = "plain"
    depends_on = [runtime.web]
  }
  runtime "nginx" {}
}
"#,
    );
    let config = config(&compiled);
    let told = ["runtime.web.config", "runtime.web.web", "runtime.plain.go", "setup.on_start[0]"];
    assert_eq!(of("cluster.c.head", &config.head_steps), told);
    let own: Vec<String> = compiled.graph.nodes.keys().map(ToString::to_string).filter(|at| at.starts_with("cluster.c.head.")).collect();
    assert!(own.iter().all(|at| told.iter().all(|told| !at.ends_with(told))), "{own:?}");
    assert!(own.contains(&"cluster.c.head.setup.before_runtimes[0]".to_owned()));
    assert!(own.contains(&"cluster.c.head.runtime.nginx.config".to_owned()));
    for node in compiled.graph.nodes.values() {
        if let Node::Step(step) = node {
            assert!(late_names_of(step).iter().all(|name| matches!(name, LateName::Node(_))), "{}", step.address);
            assert!(step.depends_on.iter().all(|needed| compiled.graph.nodes.contains_key(needed)), "{}", step.address);
        }
    }
    let endpoints = Value::list([Value::from("10.0.0.1:2380")]);
    let values = [(LateName::ServiceEndpoints("kv2".into()), endpoints)].into();
    let nothing = BTreeMap::new();
    let filling = Filling { references: &nothing, live: &LateValues { values }, frozen: &BTreeSet::new() };
    let made = instantiate_head(&config.head_steps, filling).unwrap();
    assert!(made.waiting.is_empty(), "{:?}", made.waiting);
    assert_eq!(made.steps[0].inputs["content"], Input::Value("10.0.0.1:2380".into()));
}

#[test]
fn a_dependency_is_met_by_what_fits() {
    let source = |discover: &str| {
        let discover = if discover.is_empty() { String::new() } else { format!("discover \"backend\" {{ {discover} }}") };
        format!(
            "cluster \"c\" {{\n  workspace = workspace.w\n  head {{}}\n  workers \"a\" {{}}\n  runtime \"kv\" {{ source = \"kv\" }}\n  \
             runtime \"kv2\" {{ source = \"kv2\" }}\n  runtime \"web\" {{\n    source = \"web\"\n    {discover}\n  }}\n}}\n"
        )
    };
    let names = |discover: &str| {
        let compiled = compiled(&source(discover));
        let names = config(&compiled).head_steps.first().map(late_names_of).unwrap_or_default();
        names.into_iter().filter(|name| !matches!(name, LateName::Node(_))).map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(""), ["service.kv.endpoints", "service.kv2.endpoints"]);
    assert_eq!(names("services = [\"kv2\"]"), ["service.kv2.endpoints"]);
    assert_eq!(names("runtimes = [\"kv\"]"), ["service.kv.endpoints"]);
    // Fixed endpoints are known: nothing is left to the controller.
    assert!(names("value = [\"10.0.0.1:1\"]").is_empty());

    let compiled = compiled(&source(""));
    let values = ["kv", "kv2"].map(|name| (LateName::ServiceEndpoints(name.into()), Value::list([Value::from(format!("{name}:1"))])));
    let nothing = BTreeMap::new();
    let filling = Filling { references: &nothing, live: &LateValues { values: values.into() }, frozen: &BTreeSet::new() };
    let made = instantiate_head(&config(&compiled).head_steps, filling).unwrap();
    assert_eq!(made.steps[0].inputs["content"], Input::Value("kv:1,kv2:1".into()));
}

#[test]
fn dependencies_that_nothing_meets_are_errors() {
    let source = |cluster: &str| format!("cluster \"c\" {{\n  workspace = workspace.w\n  head {{}}\n{cluster}\n}}\n");
    errors(
        &source("  workers \"a\" {}\n  runtime \"web\" { source = \"web\" }"),
        "
7 no-service: runtime `web` needs a service for its `backend`, and nothing in the cluster fits
  help: add a runtime that offers one, or write `discover \"backend\" { value = [\"address:port\"] }`
",
    );
    let kv = "  workers \"a\" {}\n  runtime \"kv2\" { source = \"kv2\" }\n  runtime \"web\" {\n    source = \"web\"\n";
    errors(
        &source(&format!("{kv}    discover \"backend\" {{ services = [\"kv1\"] }}\n    discover \"mor\" {{}}\n  }}")),
        "
10 no-service: runtime `web` needs a service for its `backend`, and nothing in the cluster fits
  help: add a runtime that offers one, or write `discover \"backend\" { value = [\"address:port\"] }`
10 unknown-service: nothing in the cluster offers a service `kv1`
  help: did you mean `kv2`?
11 unknown-discover: runtime `web` looks for no `mor`
  help: did you mean `more`?
",
    );
    errors(
        &source(&format!("{kv}    discover \"backend\" {{\n      value = [\"a:1\"]\n      types = [\"store\"]\n    }}\n  }}")),
        "12 value-and-choice: `value` says the endpoints, so there is nothing to choose: leave out `types`",
    );
    errors(
        &source(&format!("{kv}    discover \"backend\" {{ labels = {{ a = \"b\" }} }}\n  }}")),
        "10 not-in-effect: `labels` is not in effect in this version",
    );
    errors(
        &source(&format!("{kv}    discover \"backend\" {{ enabled = false }}\n    discover \"more\" {{ enabled = false }}\n  }}")),
        "10 no-service: runtime `web` needs a service for its `backend`, so that it cannot be turned off",
    );
    errors(
        &source("  runtime \"kv2\" {\n    source = \"kv2\"\n    on     = [\"head\"]\n  }\n  runtime \"web\" { source = \"web\" }"),
        "
10 needs-workers: runtime `web` needs a service for its `backend` while it runs, which only a cluster with workers can tell it
  help: add `workers \"NAME\" {}`, or write `discover \"backend\" { value = [\"address:port\"] }`
",
    );
}

#[test]
fn groups_are_checked_at_their_places() {
    errors(
        r#"
cluster "c" {
  workspace = workspace.w
  workers "a" {
    min = 3
    max = 2
  }
}
cluster "d" {
  workspace   = workspace.w
  max_workers = 4
  head {}
  workers "a" { min = 2 }
  workers "b" { min = 3 }
}
cluster "e" {
  workspace   = workspace.w
  max_workers = 4
  head {}
  scaling {}
}
cluster "f" {
  workspace = workspace.w
  head {}
  workers "a" { runtimes = ["kv3"] }
  runtime "kv2" { source = "kv2" }
}
cluster "g" {
  workspace = workspace.w
  head {}
  workers "a" {
    min   = -1
    after = ["b"]
    ssh { connect_timeout = "1s" }
    lifecycle { ignore_changes = [tags] }
  }
}
"#,
        "
6 no-head: a cluster with workers has a head, which makes them and keeps them
  help: add `head {}` to the cluster
7 min-above-max: `min` is 3 and `max` is 2: a group has never more than `max`
  help: write `max = 3` or more, or `min = 2` or less
13 min-above-max: `max_workers` is 4, and `min` of all groups is 5 together
  help: write `max_workers = 5` or more
20 no-workers: the cluster has no workers, so this `max_workers` would have no effect
  help: add `workers \"NAME\" {}` to the cluster
22 no-workers: the cluster has no workers, so this `scaling` would have no effect
  help: add `workers \"NAME\" {}` to the cluster
27 unknown-runtime: `runtimes`: the cluster has no runtime `kv3`
  help: did you mean `kv2`?
34 bad-value: `min`: it is not a whole number in range
  help: write a whole number, 0 or more
35 not-in-effect: `after` is not in effect in this version
36 not-in-effect: `connect_timeout` is not in effect in this version
37 not-in-effect: `ignore_changes` is not in effect in this version
",
    );
}

#[test]
fn roles_name_groups_that_are_there() {
    errors(
        r#"
cluster "c" {
  workspace = workspace.w
  files     = { "x" = { content = "x", on = ["workers.two"] } }
  head {
    setup {
      step "s" {
        phase = "on_start"
        run   = "true"
        on    = ["workers.on"]
      }
    }
  }
  workers "one" {}
  workers "tow" {}
  runtime "kv2" {
    source = "kv2"
    on     = ["head", "workers.on"]
  }
}
"#,
        "
6 bad-file: `files[\"x\"]`: `workers.two`: the cluster has no group `two`
  help: did you mean `workers.tow`?
12 unknown-group: `workers.on`: the cluster has no group `on`
  help: did you mean `workers.one`?
20 unknown-group: `workers.on`: the cluster has no group `on`
  help: did you mean `workers.one`?
",
    );
    let compiled = compiled(
        r#"
cluster "c" {
  workspace = workspace.w
  files     = { "x" = { content = "x", on = ["workers.one"] } }
  head {}
  workers "one" {}
  workers "two" {
    setup {
      step "s" {
        phase = "on_start"
        run   = "true"
        on    = ["workers"]
      }
    }
  }
}
"#,
    );
    let groups = &config(&compiled).groups;
    assert_eq!(of("cluster.c.workers.one", &groups["one"].steps), ["step.host_key", "file[\"x\"]"]);
    assert_eq!(of("cluster.c.workers.two", &groups["two"].steps), ["step.host_key", "step.s"]);
}

#[test]
fn a_quorum_has_its_members() {
    errors(
        r#"
cluster "c" {
  workspace = workspace.w
  head {}
  workers "a" { min = 2 }
  workers "b" { min = 3 }
  runtime "three" { source = "three" }
}
cluster "d" {
  workspace = workspace.w
  head {}
  workers "a" { min = 0 }
  runtime "kv" { source = "kv" }
}
cluster "e" {
  workspace = workspace.w
  head {}
  workers "a" {}
  runtime "kv" {
    source = "kv"
    on     = ["all"]
  }
}
cluster "f" {
  workspace = workspace.w
  head {}
  runtime "kv" { source = "kv" }
}
"#,
        "
7 no-quorum: runtime `three` needs 3 members for its quorum, and cluster.c.workers.a keeps up 2
  help: write `min = 3` or more, or leave the runtime out of the group's `runtimes`
14 no-quorum: runtime `kv` needs 1 members for its quorum, and cluster.d.workers.a keeps up 0
  help: write `min = 1` or more, or leave the runtime out of the group's `runtimes`
23 no-members: runtime `kv` forms a quorum of workers, and cannot run on the head
  help: write `on = [\"workers\"]`
29 no-nodes: runtime `kv` runs on no node: it belongs on workers
  help: say where with `on`, or add what it runs on to the cluster
",
    );
}

#[test]
fn two_runtimes_do_not_offer_one_service() {
    let other = KV2.replace("module \"kv2\"", "module \"plain\"");
    let source = format!(
        "{START}{}",
        "cluster \"c\" {\n  workspace = workspace.w\n  head {}\n  workers \"a\" {}\n  runtime \"kv2\" { source = \"kv2\" }\n  runtime \"plain\" { source = \"plain\" }\n}\n"
    );
    let sources = MemorySources::new([("main.hcl", source.as_str()), ("kv2/module.hcl", KV2), ("plain/module.hcl", &other)]);
    let mut providers = Providers::new();
    providers.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    providers.insert("toy", Arc::new(Toy));
    let (_, map, found) = compile(&CompileInput {
        sources: &sources,
        variables: &VariableInputs::default(),
        providers: &providers,
        facts: &Facts::new(),
        provider_override: None,
        tool_version: "0.1.0",
    });
    let expected =
        "8 duplicate-service: two runtimes offer a service `kv2`: `kv2` and `plain`\n  help: leave one of them out of the cluster\n";
    assert_eq!(describe(&map, &found), expected);
}

#[test]
fn a_group_that_names_its_runtimes_has_those() {
    let source = |on: &str| {
        format!(
            "cluster \"c\" {{\n  workspace = workspace.w\n  head {{}}\n  workers \"a\" {{ runtimes = [\"plain\"] }}\n  workers \"b\" {{ runtimes = [] }}\n  \
             runtime \"plain\" {{\n    source = \"plain\"\n    {on}\n  }}\n}}\n"
        )
    };
    let compiled = compiled(&source(""));
    let groups = &config(&compiled).groups;
    assert_eq!(of("cluster.c.workers.a", &groups["a"].steps), ["step.host_key", "runtime.plain.go"]);
    assert_eq!(of("cluster.c.workers.b", &groups["b"].steps), ["step.host_key"]);
    errors(
        &source("on = [\"head\"]"),
        "
10 elsewhere: runtime `plain` is named by cluster.c.workers.a and says that it runs elsewhere
  help: add `\"workers.a\"` to its `on`
",
    );
}

#[test]
fn scaling_is_carried_and_said_to_have_no_effect() {
    let compiled = compiled(
        r#"
cluster "c" {
  workspace   = workspace.w
  max_workers = 7
  head {}
  workers "a" { max = 9 }
  scaling {
    idle_timeout = "5m"
    load "cpu" { above = 0.8 }
    yarn {}
  }
}
"#,
    );
    let cpu = Value::object([("cpu", Value::object([("above", Value::from("0.8".parse::<cloudtik_model::Number>().unwrap()))]))]);
    let scaling = Value::object([("idle_timeout", Value::from("5m")), ("load", cpu), ("yarn", Value::object::<&str>([]))]);
    assert_eq!(config(&compiled).scaling, scaling);
    assert_eq!(attribute(&compiled.graph, "cluster.c.head_controller", "scaling"), &scaling);
    assert_eq!(compiled.notes, ["`scaling` of cluster.c is carried and not in effect in this version"]);
    assert_eq!(attribute(&compiled.graph, "cluster.c.head", "max_workers"), &7_u64.into());
}

#[test]
fn groups_and_their_runtimes_are_exported() {
    let compiled = compiled(
        r#"
cluster "c" {
  workspace = workspace.w
  head {}
  workers "a" { max = 2 }
  runtime "kv2" { source = "kv2" }
}
output "o" { value = [cluster.c.workers.a.min, cluster.c.workers.a.max, cluster.c.runtime.kv2.ports.client] }
"#,
    );
    assert_eq!(format!("{:?}", compiled.graph.outputs["o"].value), "tuple[1, 2, 2380]");
    let (_, map, found) = run(
        "cluster \"c\" {\n  workspace = workspace.w\n  head {}\n  workers \"a\" {}\n  runtime \"kv2\" { source = \"kv2\" }\n}\noutput \"o\" { value = cluster.c.runtime.kv2.endpoints }",
    );
    assert!(found.has_errors(), "{}", describe(&map, &found));
}

#[test]
fn a_cluster_without_workers_has_no_controller() {
    let compiled = compiled("cluster \"c\" {\n  workspace = workspace.w\n  head {}\n  runtime \"plain\" { source = \"plain\" }\n}");
    assert!(compiled.head_configs.is_empty());
    assert!(compiled.graph.nodes.keys().all(|at| !at.to_string().contains("controller")));
    assert_eq!(compiled.graph.providers.len(), 1);
}
