//! What runtimes have to do with each other: groups, services, secrets, memberships.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_lang::{Filling, Fragment, LateValues, fill_late, instantiate, instantiate_head, late_names_of, members_value};
use cloudtik_model::{
    Address, GroupConfig, Input, LateName, Lifecycle, ProviderRef, ResourceSpec, Span, StepKind, StepSpec, Template, Value,
};
use cloudtik_runtime_modules::{Expanded, render};

use crate::support;

const HEADER: &str = "module \"m\" {\n  version = \"1.2\"\n  roles = [\"head\", \"workers\"]\n}\n";
const WORKER: &str = "on = \"workers.g\"\nruntime \"m\" {}";
const HEAD: &str = "runtime \"m\" {}";

fn expand(manifest: &str, template: &str, spec: &str) -> (Expanded, String) {
    let manifest = format!("{HEADER}{manifest}");
    let case = support::case(&[("module.hcl", &manifest), ("templates/t.hbs", template)], spec);
    let expanded = case.expand();
    let messages = case.messages(&expanded.diagnostics);
    (expanded, messages)
}

#[track_caller]
fn made(manifest: &str, template: &str, spec: &str) -> Expanded {
    let (expanded, messages) = expand(manifest, template, spec);
    assert!(messages.is_empty(), "{messages}");
    expanded
}

fn names(step: &StepSpec) -> Vec<String> {
    late_names_of(step).iter().map(ToString::to_string).collect()
}

fn input(step: &StepSpec, name: &str) -> Value {
    let Some(Input::Value(value)) = step.inputs.get(name) else { return Value::NULL };
    value.clone()
}

const FILE: &str = "file \"f\" {\n  path = \"/f\"\n  template = \"t.hbs\"\n}\n";

#[test]
fn a_file_can_use_late_names_of_the_cluster() {
    let manifest = format!("{FILE}discover \"store\" {{}}\nsecret \"token\" {{}}");
    let template = "{{#each group.members}}{{sequence}} {{/each}}{{#if group.bootstrap}}new{{/if}} {{join service.store.endpoints \",\"}} \
                    {{secret.token}}";
    let spec = "on = \"workers.g\"\ndiscovered = { store = service.etcd.endpoints }\nruntime \"m\" {}";
    let expanded = made(&manifest, template, spec);
    let step = &expanded.steps[0];
    assert_eq!(names(step), ["group.members", "group.bootstrap", "service.etcd.endpoints", "secret.m.token"]);
    assert_eq!(support::content(step, &support::facts()), "1 2 3 new 127.64.0.2:1,127.64.0.3:1 secret of m.token");
    let Some(Input::Template(template)) = step.inputs.get("content") else { panic!() };
    assert!(template.preview.contains("<service.etcd.endpoints"), "{}", template.preview);
    assert!(template.bindings.has_sensitive() && !template.preview.contains("secret.m.token"), "{}", template.preview);
    assert_eq!(
        (step.address.to_string().as_str(), step.node.to_string().as_str()),
        ("cluster.c.workers.g.runtime.m.f", "cluster.c.workers.g")
    );
}

#[test]
fn frozen_is_said_by_the_file() {
    let frozen = |line: &str, spec: &str| {
        let manifest = format!("file \"f\" {{\n  path = \"/f\"\n  content = node.id\n  {line}\n}}");
        made(&manifest, "", spec).steps[0].frozen
    };
    assert!(frozen("frozen = true", WORKER) && frozen("frozen = module.version == \"1.2\"", HEAD));
    assert!(!frozen("frozen = false", WORKER) && !frozen("", WORKER));
    let manifest = "file \"f\" {\n  path = \"/f\"\n  content = \"\"\n  frozen = group.bootstrap\n}";
    let (_, messages) = expand(manifest, "", WORKER);
    assert!(messages.starts_with("m/module.hcl:8:12: `frozen` must be known when the plan is made"), "{messages}");
}

#[test]
fn the_head_is_in_no_group() {
    let check = |manifest: &str, template: &str, place: &str| {
        let (expanded, messages) = expand(manifest, template, HEAD);
        assert!(expanded.steps.is_empty() && messages.starts_with(&format!("{place}: the head is in no group")), "{place}\n{messages}");
        assert!(messages.contains("main.hcl:1:1: for this runtime"), "{messages}");
        assert!(expand(manifest, template, WORKER).1.is_empty());
    };
    check(FILE, "x\n{{#if group.bootstrap}}new{{/if}}", "m/templates/t.hbs:2:7");
    check(FILE, "{{#each group.members}}{{id}}{{/each}}", "m/templates/t.hbs:1:9");
    check("file \"f\" {\n  path = \"/f\"\n  content = group.members[0].id\n}", "", "m/module.hcl:7:13");
    check("locals { x = group.members }", "", "m/module.hcl:5:14");
    // A branch that is not taken is not evaluated.
    assert!(expand("locals { x = true ? 1 : length(group.members) }", "", HEAD).1.is_empty());
}

#[test]
fn a_service_that_is_needed_must_be_there() {
    let manifest = format!("{FILE}discover \"store\" {{\n  services = [\"etcd\", \"consul\"]\n  types = [\"kv\"]\n}}");
    let template = "{{join service.store.endpoints \",\"}}";
    let (expanded, messages) = expand(&manifest, template, HEAD);
    assert!(expanded.steps.is_empty());
    assert_eq!(
        messages,
        "main.hcl:1:1: runtime `m` needs `store`, and nothing in the cluster offers it [no-service]\n  m/module.hcl:9:1: needed here\n  \
         help: add a runtime that offers it, or choose another service with `discover \"store\" { … }`\n  \
         note: it takes services etcd, consul\n  note: it takes types kv\n"
    );
    let optional = manifest.replace("types", "optional = true\n  types");
    let expanded = made(&optional, template, HEAD);
    assert_eq!(support::content(&expanded.steps[0], &support::facts()), "");
    let known = made(&manifest, template, "discovered = { store = [\"a:1\", \"b:2\"] }\nruntime \"m\" {}");
    assert_eq!(support::content(&known.steps[0], &support::facts()), "a:1,b:2");
}

const MEMBERSHIP: &str = r#"
binary "b" {
  path   = "m.tar.gz"
  sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
}
file "f" {
  path    = "/f"
  content = "x"
}
run "r" { run = ["prepare"] }
validate "v" { run = ["check"] }
daemon "d" { argv = ["serve"] }
port "main" { port = 7 }
service "m" {
  type     = "kv"
  port     = "main"
  protocol = "http"
  labels   = { a = "b" }
}
membership {
  join  = ["take", "in", node.address]
  leave = "let go \"$WHO\""
  env   = { WHO = node.id }
}
"#;

fn short(addresses: &BTreeSet<Address>) -> Vec<String> {
    addresses.iter().map(|address| address.segments().last().unwrap().name.to_string()).collect()
}

#[test]
fn a_worker_joins_before_its_daemons_start() {
    let expanded = made(MEMBERSHIP, "", "on = \"workers.g\"\nruntime \"m\" { env = { A = \"1\" } }");
    let [membership] = expanded.memberships.as_slice() else { panic!("{:?}", expanded.memberships) };
    assert_eq!(membership.address.to_string(), "cluster.c.workers.g.runtime.m.member");
    assert_eq!(short(&membership.depends_on), ["f", "package", "r", "v"]);
    let step = &membership.step;
    assert_eq!((step.kind, &step.address, step.node.to_string().as_str()), (StepKind::Run, &membership.address, "cluster.c.workers.g"));
    assert_eq!(input(step, "script").as_str().unwrap(), "exec take in \"$CLOUDTIK_ARG_1\"");
    assert_eq!(input(step, "undo").as_str().unwrap(), "let go \"$WHO\"");
    assert_eq!(
        (input(step, "timeout_secs"), input(step, "retries"), input(step, "retry_wait_secs")),
        (60_u64.into(), 0_u64.into(), 0_u64.into())
    );
    let env = support::on_node(&input(step, "env"), &support::facts());
    let env: Vec<(String, String)> =
        env.entries().unwrap().iter().map(|(name, value)| (name.to_string(), value.as_str().unwrap().to_owned())).collect();
    let expected = [("A", "1"), ("CLOUDTIK_ARG_1", "127.64.0.2"), ("WHO", "i-1")];
    assert_eq!(env, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let waits = |name: &str| {
        let step = expanded.steps.iter().find(|step| &*step.address.segments().last().unwrap().name == name).unwrap();
        step.depends_on.contains(&membership.address)
    };
    assert!(waits("d") && !waits("v") && !waits("r") && !waits("f"));
    assert_eq!(late_names_of(step), BTreeSet::from([LateName::Node("address".into()), LateName::Node("id".into())]));
}

#[test]
fn a_membership_is_for_workers_and_its_values_are_quoted() {
    let (expanded, messages) = expand(MEMBERSHIP, "", HEAD);
    assert!(expanded.steps.is_empty() && expanded.memberships.is_empty());
    assert!(messages.starts_with("main.hcl:1:1: runtime `m` joins its members to each other, and the head is in no group"), "{messages}");
    let late = MEMBERSHIP.replace("[\"take\", \"in\", node.address]", "\"take in ${node.address}\"");
    let (expanded, messages) = expand(&late, "", WORKER);
    assert!(messages.contains("`join` is a script with values that only the node knows"), "{messages}");
    assert!(expanded.memberships.is_empty());
}

#[test]
fn what_workers_offer_has_a_port_and_no_endpoints() {
    let expanded = made(MEMBERSHIP, "", WORKER);
    let [(name, service)] = expanded.services.as_slice() else { panic!("{:?}", expanded.services) };
    assert_eq!((&**name, &*service.runtime, service.service_type.as_str(), service.protocol.as_str()), ("m", "m", "kv", "http"));
    assert_eq!((service.port, service.on_head, service.groups.len(), service.labels["a"].as_str()), (7, false, 0, "b"));
    assert!(expanded.exports.get("endpoints").is_none() && expanded.exports.get("ports").is_some());
    let head = made("port \"main\" { port = 7 }\nservice \"s\" { port = \"main\" }", "", HEAD);
    assert!(head.exports.get("endpoints").is_some());
    assert_eq!((head.services[0].1.service_type.as_str(), head.services[0].1.port), ("s", 7));
}

/// A group whose workers have this runtime.
fn group(expanded: &Expanded) -> GroupConfig {
    let node = ResourceSpec {
        address: "cluster.c.workers.g".parse().unwrap(),
        kind: "instance".into(),
        provider: ProviderRef::new("local"),
        attributes: Value::object::<&str>([]),
        depends_on: BTreeSet::new(),
        lifecycle: Lifecycle::default(),
        marks: BTreeMap::new(),
        span: Span::NONE,
        origins: BTreeMap::new(),
    };
    GroupConfig {
        min: 3,
        max: 3,
        quorum: true,
        moved_from: None,
        ready_timeout_secs: 60,
        node,
        steps: expanded.steps.clone(),
        memberships: expanded.memberships.clone(),
    }
}

fn steps(fragment: &Fragment) -> Vec<String> {
    fragment.steps.iter().map(|step| step.address.to_string().replace("cluster.c.workers.g[7].runtime.etcd.", "")).collect()
}

fn template(step: &StepSpec) -> &Template {
    let Some(Input::Template(template)) = step.inputs.get("content") else { panic!("{} has no template", step.address) };
    template
}

#[test]
fn a_worker_of_etcd_waits_for_its_group_and_keeps_what_it_was_told() {
    let group = group(&support::shipped("etcd", "on = \"workers.g\"\nruntime \"etcd\" {}").expand());
    let (references, live) = (BTreeMap::new(), LateValues::default());
    let worker = |frozen: &BTreeSet<LateName>| instantiate(&group, 7, Filling { references: &references, live: &live, frozen }).unwrap();
    let early = worker(&BTreeSet::new());
    assert_eq!((steps(&early), early.memberships.len()), (vec!["package".to_owned(), "start".to_owned()], 0));
    let later = worker(&BTreeSet::from([LateName::GroupMembers, LateName::GroupBootstrap]));
    assert_eq!(steps(&later), ["package", "config", "start", "etcd", "health"]);
    assert_eq!(later.memberships[0].address.to_string(), "cluster.c.workers.g[7].runtime.etcd.member");
    let config = template(&later.steps[1]);
    let member = |address: &str| Value::object([("id", Value::from("i")), ("address", address.into()), ("names", Value::list([]))]);
    let members = members_value(&BTreeMap::from([(2, member("10.0.0.2")), (7, member("10.0.0.7"))]));
    let kept = LateValues { values: BTreeMap::from([(LateName::GroupMembers, members), (LateName::GroupBootstrap, false.into())]) };
    let bindings = support::on_node(&fill_late(&config.bindings, &kept).unwrap(), &support::facts());
    let text = render(config, &bindings).unwrap();
    assert!(text.contains("name: \"etcd-7\"\n") && text.contains("initial-cluster-state: \"existing\"\n"), "{text}");
    assert!(text.contains("initial-cluster: \"etcd-2=http://10.0.0.2:2380,etcd-7=http://10.0.0.7:2380\"\n"), "{text}");
}

#[test]
fn the_upstream_of_nginx_follows_the_service() {
    let spec = "discovered = { backend = service.etcd.endpoints }\nruntime \"nginx\" { proxy = { \"/\" = \"backend\" } }";
    let expanded = support::shipped("nginx", spec).expand();
    let (references, frozen) = (BTreeMap::new(), BTreeSet::new());
    let head = |endpoints: Option<&[&str]>| {
        let value = endpoints.map(|all| Value::list(all.iter().map(|endpoint| Value::from(*endpoint))));
        let live = LateValues { values: value.map(|value| (LateName::ServiceEndpoints("etcd".into()), value)).into_iter().collect() };
        instantiate_head(&expanded.steps, Filling { references: &references, live: &live, frozen: &frozen }).unwrap()
    };
    let waiting: Vec<String> = short(&head(None).waiting);
    assert_eq!(waiting, ["config", "nginx", "syntax"]);
    let text = |endpoints: &[&str]| {
        let fragment = head(Some(endpoints));
        let step = fragment.steps.iter().find(|step| step.kind == StepKind::File).unwrap();
        support::rendered(template(step), &support::facts())
    };
    let two = text(&["10.0.0.2:2379", "10.0.0.3:2379"]);
    assert!(two.contains("server 10.0.0.2:2379 ") && two.contains("server 10.0.0.3:2379 ") && two.contains("proxy_pass http://backend;"));
    let none = text(&[]);
    assert!(!none.contains("upstream backend") && none.contains("return 503;"), "{none}");
}
