//! The adapter behind the provider traits: a world in a file, and what workspaces and clusters become.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test ends with a panic, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cloudtik_model::spec::{ClusterSpec, Field, Fields, FirewallSpec, NodeSpec, Part, WorkspaceSpec};
use cloudtik_model::{
    Address, CONTROLLER_VERSION, ControllerCall, ControllerReply, ControllerRequest, Digest, GroupConfig, HEAD_CONFIG_VERSION, HeadConfig,
    Lifecycle, NodeAction, NodeReply, NodeRequest, ProviderConfig, ProviderRef, PushConfig, Span, StepOutcome, Value, Verb as NodeVerb,
};
use cloudtik_provider_api::{Answer, Call, Cloud, CreateRequest, ErrorClass, Facts, Instance, Provider, ResourceBuilder, Secret, Verb};
use cloudtik_sim::{SimProvider, World};

fn now<T>(mut future: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> T {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the simulated cloud answers at once"),
    }
}

fn config(root: &std::path::Path) -> Value {
    Value::object([("root", Value::from(root.to_str().unwrap())), ("profile", "calm".into())])
}

fn create(kind: &str, op_id: &str, attributes: Value) -> Call {
    let request = CreateRequest {
        op_id: op_id.to_owned(),
        token: op_id.to_owned(),
        epoch: 1,
        tags: [("cloudtik:op".to_owned(), op_id.to_owned())].into_iter().collect(),
        attributes,
        secrets: [("host_key".to_owned(), Secret { private: "a".to_owned(), public: "b".to_owned() })].into_iter().collect(),
        batch: None,
    };
    Call { provider: ProviderRef::new("sim"), address: Address::of(kind, "x"), kind: kind.into(), verb: Verb::Create(request), limit: None }
}

#[test]
fn what_one_process_made_another_one_sees() {
    let folder = tempfile::tempdir().unwrap();
    let provider = SimProvider::new();
    let (one, two) = (provider.connect(&config(folder.path())).unwrap(), provider.connect(&config(folder.path())).unwrap());
    let named = |name: &str| Value::object([("name", Value::from(name))]);
    let Answer::Object(made) = now(one.call(create("sim_token", "op-1", named("a")))) else { panic!("no object") };
    let read = |cloud: &Arc<dyn Cloud>, id: &str| {
        let verb = Verb::Read { id: id.to_owned() };
        now(cloud.call(Call {
            provider: ProviderRef::new("sim"),
            address: Address::of("sim_token", "x"),
            kind: "sim_token".into(),
            verb,
            limit: None,
        }))
    };
    assert_eq!(read(&two, &made.id), Answer::Read(Some(made.clone())));
    let Answer::Object(other) = now(two.call(create("sim_token", "op-2", named("b")))) else { panic!("no object") };
    assert_ne!(made.id, other.id);
    assert_eq!(read(&one, &other.id), Answer::Read(Some(other)));
    assert_eq!(now(one.call(create("sim_token", "op-1", named("a")))), Answer::Object(made));
    let world: World = serde_json::from_slice(&std::fs::read(folder.path().join("world.json")).unwrap()).unwrap();
    assert_eq!((world.objects.len(), world.audit.len()), (2, 2));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("world.json");
    std::fs::write(&path, "{").unwrap();
    let cloud = SimProvider::new().connect(&config(folder.path())).unwrap();
    let Answer::Failed(error) = now(cloud.call(create("sim_token", "op-1", Value::object([("name", Value::from("a"))])))) else { panic!() };
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Permanent, "sim-file"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{");
}

#[test]
fn steps_run_on_simulated_nodes_and_leave_markers() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = SimProvider::new().connect(&config(folder.path())).unwrap();
    let attributes = Value::object([("name", Value::from("n")), ("cpus", 3_u64.into())]);
    let Answer::Object(node) = now(cloud.call(create("sim_instance", "op-1", attributes))) else { panic!("no node") };
    assert_eq!(Instance::of(&node.attributes).unwrap().port, 22);
    assert_eq!(node.attributes.get("node").unwrap().get("cores"), Some(&3_u64.into()));
    let mut worker = create("sim_instance", "op-2", Value::object([("name", Value::from("w"))]));
    if let Verb::Create(request) = &mut worker.verb {
        request.tags.insert("cloudtik:sequence".to_owned(), "41".to_owned());
    }
    let Answer::Object(worker) = now(cloud.call(worker)) else { panic!("no worker") };
    assert_eq!(worker.attributes.get("node").unwrap().get("sequence"), Some(&41_u64.into()));
    let request = |run_id: &str, verb: NodeVerb| NodeRequest {
        version: NodeRequest::VERSION,
        run_id: run_id.to_owned(),
        address: "cluster.c.head.host_key".to_owned(),
        identity: Digest::of("one"),
        verb,
        action: NodeAction::HostKey { authorized_keys: Vec::new() },
    };
    let run = |run_id: &str, verb| match now(cloud.run_step(&node.id, &request(run_id, verb)).unwrap()) {
        Ok(NodeReply::End { outcome, attributes, .. }) => (outcome, attributes),
        other => panic!("{other:?}"),
    };
    assert_eq!(run("check-1", NodeVerb::Check).0, StepOutcome::Needed);
    let (outcome, answered) = run("run-1", NodeVerb::Do);
    assert_eq!((outcome, answered.contains_key("host_key")), (StepOutcome::Done, true));
    assert_eq!(run("run-1", NodeVerb::Do).1, answered, "the same run is not done twice");
    assert_eq!(run("check-2", NodeVerb::Check), (StepOutcome::Done, answered));
    run("undo-1", NodeVerb::Undo);
    assert_eq!(run("check-3", NodeVerb::Check).0, StepOutcome::Needed);
    let gone = now(cloud.run_step("instance-99", &request("run-2", NodeVerb::Do)).unwrap()).unwrap_err();
    assert_eq!(gone.class, ErrorClass::Gone);
}

#[test]
fn a_wrong_profile_is_found_at_its_place() {
    let config = |profile: &str| ProviderConfig { attributes: Value::object([("profile", Value::from(profile))]), span: Span::NONE };
    let wrong = SimProvider::new().check_config(&config("windy"));
    assert_eq!(wrong.iter().next().unwrap().code, "sim-profile");
    assert!(SimProvider::new().check_config(&config("stormy")).iter().next().is_none());
}

fn fields(items: &[(&str, Value)]) -> Fields {
    items.iter().map(|(name, value)| (Arc::from(*name), Field::new(value.clone(), Span::NONE))).collect()
}

fn workspace() -> WorkspaceSpec {
    let part = |items: &[(&str, Value)]| Part { fields: fields(items), ..Part::default() };
    WorkspaceSpec {
        address: Address::of("workspace", "w"),
        span: Span::NONE,
        provider: ProviderRef::new("sim"),
        client: None,
        fields: fields(&[("name", "real".into())]),
        network: part(&[("cidr", Value::NULL)]),
        firewall: FirewallSpec {
            own: part(&[("ssh_from", Value::tuple(["10.0.0.0/8".into()]))]),
            ingress: [(Arc::from("ui"), part(&[("ports", Value::tuple(["80".into()]))]))].into_iter().collect(),
            egress: BTreeMap::new(),
        },
        identity: Part::default(),
        proxy: Part::default(),
        storage: [(Arc::from("default"), part(&[]))].into_iter().collect(),
        database: BTreeMap::new(),
        depends_on: BTreeSet::new(),
        lifecycle: Lifecycle::default(),
        import: None,
    }
}

#[test]
fn a_workspace_and_a_cluster_become_resources_of_known_attributes() {
    let provider = SimProvider::new();
    let workspace = workspace();
    let lowered = provider.lower_workspace(&Value::NULL, &workspace, &Facts::new());
    let node = |path: &[&str]| NodeSpec {
        address: path.iter().fold(Address::of("cluster", "c"), |address, part| address.child(*part)),
        span: Span::NONE,
        fields: fields(&[("cpus", 8_u64.into()), ("memory_gib", Value::NULL), ("publish", Value::map([("80", Value::from(80_u64))]))]),
        ports: BTreeSet::new(),
        own: BTreeMap::new(),
        lifecycle: Lifecycle::default(),
    };
    let cluster = ClusterSpec {
        address: Address::of("cluster", "c"),
        span: Span::NONE,
        provider: ProviderRef::new("sim"),
        workspace: workspace.address.clone(),
        fields: Fields::new(),
        firewall: Some(workspace.firewall.clone()),
        workers: [("g".into(), node(&["workers", "g"]))].into_iter().collect(),
        workers_max: 4,
        head: Some(node(&["head"])),
        depends_on: BTreeSet::new(),
        lifecycle: Lifecycle::default(),
    };
    let nodes = provider.lower_cluster(&Value::NULL, &cluster, &lowered.workspace(&workspace), &Facts::new());
    let resources: Vec<_> = lowered.resources.iter().chain(&nodes.resources).collect();
    let addresses: Vec<String> = resources.iter().map(|resource| resource.address.to_string()).collect();
    let of_workspace = ["workspace.w.network", "workspace.w.firewall", "workspace.w.storage.default"];
    assert_eq!(addresses, [&of_workspace[..], &["cluster.c.firewall", "cluster.c.head"]].concat());
    for resource in &resources {
        let kind = &provider.schema().kinds[&*resource.kind];
        for name in resource.attributes.entries().unwrap().keys() {
            assert!(kind.attribute(name).is_some_and(cloudtik_provider_api::AttributeSchema::is_settable), "{}: {name}", resource.address);
        }
        let mut references = BTreeSet::new();
        resource.attributes.addresses(&mut references);
        assert!(references.is_subset(&resource.depends_on), "{}", resource.address);
    }
    let (firewall, head, worker) = (&nodes.resources[0], &nodes.resources[1], &nodes.workers["g"]);
    assert!(head.depends_on.contains(&firewall.address) && worker.depends_on.contains(&firewall.address));
    assert_eq!(firewall.attributes.get("rules"), lowered.resources[1].attributes.get("rules"));
    assert_eq!((head.marks["cloudtik:role"].as_str(), head.attributes.get("max_workers")), ("head", Some(&4_u64.into())));
    assert_eq!(worker.marks, [("cloudtik:workspace".to_owned(), "real".to_owned())].into_iter().collect());
    assert!(!worker.attributes.get("name").unwrap().is_known() && worker.attributes.get("publish").is_none());
    assert_eq!((worker.attributes.get("cpus"), &worker.kind), (Some(&8_u64.into()), &head.kind));
    let text = format!("{:?}", lowered.resources[1].attributes.get("rules").unwrap());
    assert!(text.contains("ssh_from") && text.contains("\"ui\""), "{text}");
    assert_eq!(lowered.resources[2].attributes.get("name").unwrap().as_str(), Some("cloudtik-real-default"));
    let exported = |value: &Value, path: &[&str]| path.iter().try_fold(value.clone(), |value, part| value.get(part).cloned()).is_some();
    for path in [&["name"][..], &["id"], &["network", "cidr"], &["firewall", "id"], &["storage", "default", "uri"]] {
        assert!(exported(&lowered.exports, path), "{path:?}");
    }
    for part in ["id", "private_ip", "public_ip", "hostname", "ssh_command"] {
        assert!(exported(&nodes.exports, &["head", part]), "{part}");
    }
}

fn group(min: u64, name: &str) -> GroupConfig {
    let provider = ProviderRef::new("sim");
    let node = ResourceBuilder::new(Address::of("cluster", "c").child("workers").child("g"), "sim_instance", provider, Span::NONE);
    GroupConfig {
        min,
        max: min + 2,
        quorum: false,
        moved_from: None,
        ready_timeout_secs: 300,
        node: node.set("name", name.to_owned()).build(),
        steps: Vec::new(),
        memberships: Vec::new(),
    }
}

fn push(follows: Option<u64>, epoch: u64, groups: &[(&str, GroupConfig)]) -> PushConfig {
    let config = HeadConfig {
        version: HEAD_CONFIG_VERSION,
        cluster: Address::of("cluster", "c"),
        name: "c".to_owned(),
        provider: ProviderRef::new("sim"),
        provider_config: Value::object::<&str>([]),
        groups: groups.iter().map(|(label, group)| (Arc::from(*label), group.clone())).collect(),
        head_steps: Vec::new(),
        services: BTreeMap::new(),
        secrets: BTreeMap::new(),
        scaling: Value::NULL,
    };
    PushConfig {
        uid: "l/w/c".to_owned(),
        epoch,
        follows,
        config: serde_json::to_value(&config).unwrap(),
        digest: config.digest().unwrap(),
        references: Value::object::<&str>([]),
        secrets: BTreeMap::new(),
        operator_keys: Vec::new(),
    }
}

#[test]
fn a_simulated_head_has_a_controller_that_keeps_what_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // Every frame meets another process: what is known is what the file holds.
    let open = || SimProvider::new().connect(&config(folder.path())).unwrap();
    let cloud = open();
    let Answer::Object(head) = now(cloud.call(create("sim_instance", "op-1", Value::object([("name", Value::from("n"))])))) else {
        panic!()
    };
    let ask =
        |call: ControllerCall| now(open().controller(&head.id, &ControllerRequest { version: CONTROLLER_VERSION, call }).unwrap()).unwrap();
    let pushed = |push: PushConfig| match ask(ControllerCall::Push(Box::new(push))) {
        ControllerReply::Pushed { generation } => Ok(generation),
        ControllerReply::Refused { code, .. } => Err(code),
        other => panic!("{other:?}"),
    };
    let status = || match ask(ControllerCall::Status) {
        ControllerReply::Status(status) => *status,
        other => panic!("{other:?}"),
    };
    let published = || {
        let verb = Verb::List { ids: [head.id.clone()].into() };
        let call = Call {
            provider: ProviderRef::new("sim"),
            address: Address::of("sim_instance", "x"),
            kind: "sim_instance".into(),
            verb,
            limit: None,
        };
        let Answer::Found(found) = now(cloud.call(call)) else { panic!() };
        assert_eq!(found[0].object, head, "a status is no attribute");
        let status =
            found[0].tags.iter().filter_map(|(key, value)| Some((key.strip_prefix("cloudtik:status:")?.to_owned(), value.clone())));
        status.collect::<BTreeMap<_, _>>()
    };
    let none = status();
    assert_eq!((none.generation, none.digest, none.groups.len(), published().len()), (0, None, 0, 0));

    let first = push(None, 3, &[("g", group(2, "one")), ("h", group(1, "one"))]);
    assert_eq!(pushed(first.clone()), Ok(1));
    assert_eq!(pushed(first.clone()), Ok(1), "the same once more is the same generation");
    let shown = status();
    assert_eq!((shown.generation, shown.epoch, shown.digest, shown.settled, shown.uid.as_str()), (1, 3, Some(first.digest), true, "l/w/c"));
    let of_g = &shown.groups["g"];
    let template = group(2, "one").template_digest().unwrap();
    assert_eq!((of_g.min, of_g.max, of_g.desired, of_g.ready, of_g.formed, of_g.template), (2, 4, 2, 2, true, Some(template)));
    let tags = published();
    assert_eq!(tags["group.g"], format!("2/2/{}", template.short()));
    assert_eq!((tags["epoch"].as_str(), tags["generation"].as_str(), tags["settled"].as_str()), ("3", "1", "true"));
    assert_eq!((&tags["digest"], &tags["login_key"], tags.len()), (&first.digest.to_string(), &shown.login_key, 7));

    let second = push(Some(1), 3, &[("g", group(2, "two")), ("h", group(1, "one"))]);
    assert_eq!(pushed(second.clone()), Ok(2));
    assert_eq!(pushed(second.clone()), Ok(2), "also when it says what it follows");
    assert_ne!(status().groups["g"].template, Some(template));
    assert_eq!(pushed(PushConfig { epoch: 4, ..second.clone() }), Err("generation".to_owned()));
    assert_eq!(pushed(PushConfig { digest: Digest::of("x"), follows: None, ..second.clone() }), Err("digest".to_owned()));
    let newer = serde_json::json!({ "version": 99 });
    assert_eq!(pushed(PushConfig { config: newer, follows: None, ..second.clone() }), Err("config-version".to_owned()));
    assert_eq!(status().generation, 2);

    assert_eq!(ask(ControllerCall::Events { after: 0, limit: 10 }), ControllerReply::Events(Vec::new()));
    assert_eq!(ask(ControllerCall::RemoveGroup { group: "h".to_owned() }), ControllerReply::Done);
    assert_eq!(status().groups.keys().collect::<Vec<_>>(), ["g"]);
    assert!(!published().contains_key("group.h"));
    assert_eq!(ask(ControllerCall::Drain), ControllerReply::Done);
    assert!(status().draining && status().groups.is_empty());
    let again = PushConfig { follows: None, ..second };
    assert_eq!((pushed(again.clone()), status().groups.len(), status().draining), (Ok(3), 2, false), "a cluster that is to go may stay");

    let fence = Verb::Fence { cluster: "l/w/c".to_owned(), epoch: 9, ends: false };
    now(cloud.call(Call {
        provider: ProviderRef::new("sim"),
        address: Address::of("x", "x"),
        kind: "fence".into(),
        verb: fence,
        limit: None,
    }));
    assert_eq!(pushed(PushConfig { epoch: 8, ..again }), Err("fenced".to_owned()));
    let old = ControllerRequest { version: CONTROLLER_VERSION + 1, call: ControllerCall::Status };
    assert!(matches!(now(cloud.controller(&head.id, &old).unwrap()), Ok(ControllerReply::Refused { .. })));

    let delete = Verb::Delete { id: head.id.clone(), data: false };
    let call =
        Call { provider: ProviderRef::new("sim"), address: Address::of("x", "x"), kind: "sim_instance".into(), verb: delete, limit: None };
    assert_eq!(now(cloud.call(call)), Answer::Done);
    let gone = ControllerRequest { version: CONTROLLER_VERSION, call: ControllerCall::Status };
    assert_eq!(now(cloud.controller(&head.id, &gone).unwrap()).unwrap_err().class, ErrorClass::Gone);
}

#[test]
fn a_world_of_before_there_were_controllers_is_read() {
    let mut world = serde_json::to_value(World::new()).unwrap();
    world.as_object_mut().unwrap().remove("controllers").unwrap();
    assert_eq!(serde_json::from_value::<World>(world).unwrap(), World::new());
}
