//! What the controller is told, and the resources and steps for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{Filling, LateValues, instantiate, instantiate_head, late_names_of};
use cloudtik_model::{Address, HeadConfig, Input, LateName, Node, ProviderRef, StepKind, StepSpec, Value};

use crate::world::{CLUSTER, address, attribute, compiled, config, describe, errors, of, resource, run, run_at};

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
    for needed in ["value.peer", "value.gate", "workspace.w.network"] {
        assert!(controller.depends_on.contains(&address(needed)), "{needed}");
    }
    assert!(controller.depends_on.iter().all(|needed| nodes.contains(needed)), "{:?}", controller.depends_on);

    let group = resource(graph, "cluster.c.workers.a");
    assert_eq!((&*group.kind, group.provider.as_str()), ("worker_group", "controller.toy"));
    // What its workers stand on goes after they have left it.
    assert_eq!(group.depends_on, [address(at), address("workspace.w.network")].into());
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
    let argv = Value::list(["cloudtik", "controller", "run", "--root", "<node.dirs.data>/controller"].map(Value::from));
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

#[test]
fn who_waits_for_a_step_of_the_controller_waits_for_the_controller() {
    let compiled = compiled(&format!(
        "{CLUSTER}\nresource \"value\" \"after\" {{ depends_on = [cluster.c.head.runtime.web, cluster.c.workers.b.runtime.kv2] }}\n"
    ));
    assert_eq!(resource(&compiled.graph, "value.after").depends_on, [address("cluster.c.head_controller")].into());
    errors(
        &format!("{CLUSTER}\nresource \"value\" \"after\" {{ depends_on = [cluster.c.head.runtime.wbe] }}\n"),
        "
42 unknown-reference: there is nothing at `cluster.c.head.runtime.wbe`
  help: name the whole block, `cluster.c`, or a part that is made, not an attribute
",
    );
}

/// A head makes workers whenever it has to; what an apply fills once can only be referred to.
#[test]
fn workers_are_not_made_of_what_only_an_apply_fills() {
    let (_, _, found) = run(&CLUSTER.replace("at ${node.address}", "at ${uuid()}"));
    let said: Vec<(&str, &str)> = found.iter().map(|error| (error.code, error.title.as_str())).collect();
    assert_eq!(said, [("impure-call", "`uuid()` cannot stand in what the head makes workers of: it makes them whenever it has to")]);
    let kept = "resource \"value\" \"id\" {\n  input = uuid()\n}\n";
    let compiled = compiled(&format!("{}{kept}", CLUSTER.replace("at ${node.address}", "at ${value.id.output}")));
    assert!(format!("{:?}", config(&compiled)).contains("value.id"));
}
