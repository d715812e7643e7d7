//! Compiles specs, answers their questions, and compares with files below `tests/golden`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use cloudtik_aws::AwsProvider;
use cloudtik_compiler::{CompileInput, Compiled, Providers, VariableInputs, compile};
use cloudtik_model::{Address, Diagnostics, Graph, MemorySources, Node, ResourceSpec, SourceMap, Value};
use cloudtik_provider_api::{CONTROLLER_PROVIDER, FactQuestion, Facts, VALUE_KIND, ValueProvider};

/// A cluster with a head and a group of workers.
pub(crate) const CLUSTER: &str = "cluster \"c\" {\n workspace = workspace.w\n head {}\n workers \"g\" {}\n}\n";

pub(crate) fn run(source: &str, facts: &Facts) -> (Compiled, SourceMap, Diagnostics) {
    let source = if source.contains("provider \"aws\"") { source.to_owned() } else { format!("{source}provider \"aws\" {{}}\n") };
    let sources = MemorySources::new([("main.hcl", source.as_str())]);
    let mut providers = Providers::new();
    providers.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    providers.insert("aws", Arc::new(AwsProvider::new(None)));
    providers.insert(CONTROLLER_PROVIDER, Arc::new(cloudtik_controller_client::ControllerProvider::new()));
    let variables = VariableInputs::default();
    compile(&CompileInput {
        sources: &sources,
        variables: &variables,
        providers: &providers,
        facts,
        provider_override: None,
        tool_version: "0.1.0",
        plan_time: "2025-01-31T12:00:00Z",
        expressions: &[],
    })
}

/// One line for each diagnostic: line, severity, code, title.
pub(crate) fn describe(map: &SourceMap, found: &Diagnostics) -> String {
    let mut out = String::new();
    for diagnostic in found.iter() {
        let place = diagnostic.primary.as_ref().and_then(|label| map.describe(label.span)).unwrap_or_else(|| "-".to_owned());
        let line = place.split(':').nth(1).unwrap_or("-").to_owned();
        let severity = if diagnostic.is_error() { "error" } else { "warning" };
        writeln!(out, "{line} {severity} {}: {}", diagnostic.code, diagnostic.title).unwrap();
    }
    out
}

#[track_caller]
pub(crate) fn compiled(source: &str, facts: &Facts) -> Graph {
    let (compiled, map, found) = run(source, facts);
    assert!(!found.has_errors(), "{source}\n{}", describe(&map, &found));
    compiled.graph
}

/// What workers are made of.
pub(crate) fn templates(source: &str, facts: &Facts) -> Vec<ResourceSpec> {
    let (compiled, ..) = run(source, facts);
    compiled.head_configs.into_values().flat_map(|config| config.groups.into_values().map(|group| group.node)).collect()
}

fn strings(items: &[&str]) -> Value {
    Value::list(items.iter().map(|item| Value::from(*item)))
}

/// The client's network is where its configuration is for.
fn client(question: &FactQuestion) -> Value {
    let region = if question.key.contains("eu-west-1") { "eu-west-1" } else { "us-west-2" };
    Value::object([
        ("vpc_id", "vpc-client".into()),
        ("account", "123456789012".into()),
        ("region", region.into()),
        ("cidr_blocks", strings(&["10.1.0.0/16"])),
        ("route_table_ids", strings(&["rtb-1", "rtb-2"])),
        ("destinations", strings(&["10.2.0.0/15"])),
    ])
}

fn network() -> Value {
    let subnet = [("id", Value::from("subnet-1")), ("cidr_block", "172.31.0.0/20".into()), ("zone", "us-west-2a".into())];
    Value::object([
        ("vpc_id", "vpc-shared".into()),
        ("cidr_blocks", strings(&["172.31.0.0/16"])),
        ("subnets", Value::list([Value::object(subnet)])),
        ("internet_gateway_id", "igw-shared".into()),
    ])
}

/// What is there of a workspace: its firewalls.
fn firewalls() -> Value {
    let firewall = |(id, name, description): (&str, &str, &str)| {
        Value::object([("id", Value::from(id)), ("name", name.into()), ("description", description.into())])
    };
    let firewalls = [("sg-all", "cloudtik-w", "of all"), ("sg-heads", "cloudtik-w/head", "of heads")];
    Value::object([("firewalls", Value::list(firewalls.map(firewall)))])
}

/// What AWS answers.
pub(crate) fn answer(question: &FactQuestion) -> Value {
    match question.question.as_str() {
        "account" => Value::object([
            ("account", Value::from("123456789012")),
            ("region", "us-west-2".into()),
            ("partition", "aws".into()),
            ("arn", "arn:aws:iam::123456789012:user/u".into()),
        ]),
        "zones" => strings(&["us-west-2a", "us-west-2b", "us-west-2c"]),
        "vpcs" => Value::list([Value::object([("id", Value::from("vpc-0")), ("cidr_blocks", strings(&["10.0.0.0/16"]))])]),
        "client" => client(question),
        "client_names" => Value::object([("names", true.into())]),
        "network" => network(),
        "workspace" => firewalls(),
        "database_version" => if question.arguments.get("engine") == Some(&"mysql".into()) { "8.4" } else { "17" }.into(),
        "store_region" => "eu-central-1".into(),
        "machine_type" => "m5a.xlarge".into(),
        "image" => Value::object([
            ("id", Value::from("ami-0123456789abcdef0")),
            ("name", "ubuntu".into()),
            ("user", "ubuntu".into()),
            ("root_device_name", "/dev/sda1".into()),
            ("architecture", "x86_64".into()),
        ]),
        other => panic!("nobody answers `{other}`"),
    }
}

/// The answers to all questions of a spec.
pub(crate) fn facts(source: &str) -> Facts {
    let (compiled, ..) = run(source, &Facts::new());
    compiled.questions.values().flatten().map(|question| (question.key.clone(), answer(question))).collect()
}

pub(crate) fn resource<'g>(graph: &'g Graph, address: &str) -> &'g ResourceSpec {
    let address: Address = address.parse().unwrap();
    match graph.nodes.get(&address) {
        Some(Node::Resource(resource)) => resource,
        _ => panic!("there is no {address} in {:?}", graph.nodes.keys().collect::<Vec<_>>()),
    }
}

pub(crate) fn attribute(graph: &Graph, address: &str, name: &str) -> Value {
    resource(graph, address).attributes.get(name).cloned().unwrap_or(Value::NULL)
}

/// Every resource of a provider, and what controllers make of clusters, with its kind and what it comes after.
pub(crate) fn addresses(graph: &Graph) -> String {
    let mut out = String::new();
    let own = |address: &Address| address.root() == "workspace" || address.segments().len() == 3 && address.root() == "cluster";
    let resources: BTreeMap<&Address, &ResourceSpec> = graph
        .nodes
        .iter()
        .filter_map(|(address, node)| if let Node::Resource(resource) = node { Some((address, resource)) } else { None })
        .filter(|(address, resource)| own(address) || resource.kind.starts_with("aws_"))
        .collect();
    for (address, resource) in resources {
        writeln!(out, "{address}  {}", resource.kind).unwrap();
        for needed in &resource.depends_on {
            writeln!(out, "    after {needed}").unwrap();
        }
    }
    out
}

/// Compares with a file, or writes it with `UPDATE_GOLDEN=1`.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "what is expected stands in files, which the package itself does not read")]
pub(crate) fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{} is not what is expected; UPDATE_GOLDEN=1 writes it:\n{text}", path.display());
}
