//! The pure half: what specs become, and what is said of them.

use std::collections::BTreeMap;

use cloudtik_model::spec::{ClusterSpec, Field, Fields, FirewallSpec, NodeSpec, Part, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{
    Address, ChangeWord, Diagnostics, FileId, LateName, Lifecycle, Number, ProviderConfig, ProviderRef, ResourceSpec, Severity, Span, Value,
};
use cloudtik_provider_api::{Capability, Facts, Lowered, Presence, Provider, SecretKind};

use super::*;

const NETWORK_AT: Span = Span::new(FileId(0), 10, 20);
const CIDR_AT: Span = Span::new(FileId(0), 30, 40);
const HEAD_AT: Span = Span::new(FileId(0), 50, 60);

fn fields(items: &[(&'static str, Value)], span: Span) -> Fields {
    items.iter().map(|(name, value)| ((*name).into(), Field::new(value.clone(), span))).collect()
}

/// What clusters use of it.
fn used(network: &[(&'static str, Value)]) -> WorkspaceUse {
    let spec = workspace(network);
    LocalProvider::new().lower_workspace(&config(&[]), &spec, &facts("plain", false)).workspace(&spec)
}

fn workspace(network: &[(&'static str, Value)]) -> WorkspaceSpec {
    let part = |items: &[(&'static str, Value)], span| Part { span, fields: fields(items, span), lifecycle: Lifecycle::default() };
    let span = Span::new(FileId(0), 1, 2);
    WorkspaceSpec {
        address: Address::of("workspace", "w"),
        span,
        provider: ProviderRef::new("local"),
        client: None,
        fields: fields(&[("tags", Value::map([("team", Value::from("x"))]))], span),
        network: part(network, NETWORK_AT),
        firewall: FirewallSpec {
            own: part(&[("ssh_from", Value::list([Value::from("10.0.0.0/8")]))], Span::NONE),
            ingress: [("web".into(), part(&[("ports", Value::list([Value::from("80")]))], Span::NONE))].into_iter().collect(),
            egress: BTreeMap::new(),
        },
        identity: Part::default(),
        proxy: Part::default(),
        storage: [("default".into(), part(&[("on_destroy", "delete".into())], Span::NONE))].into_iter().collect(),
        database: BTreeMap::new(),
        depends_on: [Address::of("value", "v")].into_iter().collect(),
        lifecycle: Lifecycle::default(),
        import: None,
    }
}

fn cluster(name: &'static str, head: &[(&'static str, Value)]) -> ClusterSpec {
    let address = Address::of("cluster", name);
    let head = NodeSpec {
        address: address.child("head"),
        span: HEAD_AT,
        fields: fields(head, HEAD_AT),
        ports: std::collections::BTreeSet::new(),
        own: BTreeMap::new(),
        lifecycle: Lifecycle::default(),
    };
    ClusterSpec {
        address,
        span: HEAD_AT,
        provider: ProviderRef::new("local"),
        workspace: Address::of("workspace", "w"),
        fields: Fields::new(),
        firewall: None,
        workers: BTreeMap::new(),
        workers_max: 0,
        head: Some(head),
        depends_on: std::collections::BTreeSet::new(),
        lifecycle: Lifecycle::default(),
    }
}

fn config(items: &[(&'static str, Value)]) -> Value {
    Value::object(items.iter().cloned())
}

/// The answer of a machine of 4 processors and 8 GiB.
fn facts(form: &str, root: bool) -> Facts {
    let answer = Value::object([
        ("form", Value::from(form)),
        ("reason", "because".into()),
        ("root", root.into()),
        ("cpus", 4_u64.into()),
        ("memory_gib", 8_u64.into()),
    ]);
    [("local.isolation".to_owned(), answer)].into_iter().collect()
}

fn lower(network: &[(&'static str, Value)], facts: &Facts) -> Lowered {
    LocalProvider::new().lower_workspace(&config(&[]), &workspace(network), facts)
}

fn lower_head(config: &Value, head: &[(&'static str, Value)], facts: &Facts) -> Lowered {
    LocalProvider::new().lower_cluster(config, &cluster("c", head), &used(&[]), facts)
}

fn resource<'a>(lowered: &'a Lowered, address: &str) -> &'a ResourceSpec {
    lowered.resources.iter().find(|resource| resource.address.to_string() == address).unwrap()
}

fn only(found: &Diagnostics) -> &Diagnostic {
    assert_eq!(found.len(), 1, "{found:?}");
    found.iter().next().unwrap()
}

#[test]
fn a_workspace_becomes_a_network_a_firewall_and_buckets() {
    let lowered = lower(&[("mode", "public-head".into())], &facts("plain", false));
    assert!(lowered.diagnostics.is_empty(), "{:?}", lowered.diagnostics);
    let network = resource(&lowered, "workspace.w.network");
    assert_eq!((network.kind.as_ref(), network.marks["cloudtik:workspace"].as_str(), network.span), (NETWORK_KIND, "w", NETWORK_AT));
    assert_eq!(network.attributes.get("name"), Some(&"w".into()));
    assert_eq!(network.attributes.get("form"), Some(&"plain".into()));
    assert_eq!(network.attributes.get("mode"), Some(&"public-head".into()));
    assert!(network.depends_on.contains(&Address::of("value", "v")));
    let firewall = resource(&lowered, "workspace.w.firewall");
    assert_eq!(firewall.attributes.get("rules").unwrap().elements().unwrap().len(), 2);
    assert!(firewall.depends_on.contains(&network.address));
    let bucket = resource(&lowered, "workspace.w.storage.default");
    assert_eq!(bucket.attributes.get("name"), Some(&"cloudtik-w-default".into()));
    assert_eq!(bucket.attributes.get("on_destroy"), Some(&"delete".into()));
    for resource in &lowered.resources {
        assert_eq!(resource.attributes.get("tags").unwrap().get("team"), Some(&"x".into()), "{}", resource.address);
        let schema = local_kind(&resource.kind);
        let unknown = resource.attributes.entries().unwrap().keys().find(|name| schema.attribute(name).is_none_or(|a| !a.is_settable()));
        assert_eq!(unknown, None, "{}", resource.address);
    }
    assert_eq!(lowered.exports.get("region"), Some(&"local".into()));
    assert_eq!(lowered.exports.get("mode"), Some(&"public-head".into()));
    for path in [["network", "cidr"], ["firewall", "id"], ["storage", "default"]] {
        assert!(!lowered.exports.get(path[0]).unwrap().get(path[1]).unwrap().is_known(), "{path:?}");
    }
}

fn local_kind(name: &str) -> cloudtik_provider_api::KindSchema {
    LocalProvider::new().schema().kinds[name].clone()
}

#[test]
fn a_cluster_has_a_firewall_where_the_spec_does() {
    let spec = ClusterSpec { firewall: Some(workspace(&[]).firewall), ..with_workers("g", &[], &[]) };
    let lowered = LocalProvider::new().lower_cluster(&config(&[]), &spec, &used(&[]), &facts("plain", false));
    assert!(lowered.diagnostics.is_empty(), "{:?}", lowered.diagnostics);
    let firewall = resource(&lowered, "cluster.c.firewall");
    assert_eq!((firewall.kind.as_ref(), firewall.attributes.get("name")), (FIREWALL_KIND, Some(&"w-c".into())));
    assert_eq!(firewall.attributes.get("rules").unwrap().elements().unwrap().len(), 2);
    assert!(resource(&lowered, "cluster.c.head").depends_on.contains(&firewall.address));
    assert!(lowered.workers["g"].depends_on.contains(&firewall.address));
}

#[test]
fn a_head_becomes_an_instance() {
    let publish = Value::map([("8080", Value::from(80_u64))]);
    let lowered = lower_head(&config(&[]), &[("cpus", 4_u64.into()), ("publish", publish.clone())], &facts("plain", false));
    assert!(lowered.diagnostics.is_empty(), "{:?}", lowered.diagnostics);
    let head = resource(&lowered, "cluster.c.head");
    assert_eq!((head.marks["cloudtik:cluster"].as_str(), head.marks["cloudtik:workspace"].as_str()), ("w/c", "w"));
    assert_eq!(head.attributes.get("name"), Some(&"c-head".into()));
    assert_eq!((head.attributes.get("publish"), head.attributes.get("max_workers")), (Some(&publish), None));
    assert_eq!(head.marks["cloudtik:role"], "head");
    assert_eq!(head.origins["cpus"].span, HEAD_AT);
    let workspace = Address::of("workspace", "w");
    assert!(head.depends_on.contains(&workspace.child("network")) && head.depends_on.contains(&workspace.child("firewall")));
    assert_eq!(lowered.exports.get("id"), Some(&"w/c".into()));
    assert!(!lowered.exports.get("head").unwrap().get("ssh_command").unwrap().is_known());
}

fn with_workers(label: &'static str, head: &[(&'static str, Value)], workers: &[(&'static str, Value)]) -> ClusterSpec {
    let mut spec = cluster("c", head);
    let address = spec.address.child("workers").child(label);
    let node = NodeSpec {
        address,
        span: CIDR_AT,
        fields: fields(workers, CIDR_AT),
        ports: std::collections::BTreeSet::new(),
        own: BTreeMap::new(),
        lifecycle: Lifecycle::default(),
    };
    spec.workers = [(label.into(), node)].into_iter().collect();
    spec.workers_max = 3;
    spec
}

#[test]
fn a_group_becomes_a_worker_whose_name_knows_all_but_its_number() {
    let provider = LocalProvider::new();
    let tags = Value::map([("team", Value::from("x"))]);
    let publish = Value::map([("8080", Value::from(80_u64))]);
    let asked = [("cpus", Value::from(1_u64)), ("tags", tags.clone()), ("publish", publish), ("max", 3_u64.into())];
    let lowered = provider.lower_cluster(&config(&[]), &with_workers("g", &[], &asked), &used(&[]), &facts("plain", false));
    assert!(lowered.diagnostics.is_empty(), "{:?}", lowered.diagnostics);
    assert_eq!(resource(&lowered, "cluster.c.head").attributes.get("max_workers"), Some(&3_u64.into()));
    assert_eq!(lowered.workers.len(), 1);
    let worker = &lowered.workers["g"];
    assert_eq!((worker.address.to_string().as_str(), &*worker.kind, worker.span), ("cluster.c.workers.g", INSTANCE_KIND, CIDR_AT));
    assert_eq!(worker.marks, [("cloudtik:workspace".to_owned(), "w".to_owned())].into_iter().collect());
    let names: Vec<&str> = worker.attributes.entries().unwrap().keys().map(|name| &**name).collect();
    assert_eq!(names, ["cpus", "name", "network", "tags"]);
    assert_eq!(worker.attributes.get("tags"), Some(&tags));
    let name = worker.attributes.get("name").unwrap();
    let mut late = std::collections::BTreeSet::new();
    name.late_names(&mut late);
    assert_eq!(late, [LateName::Node("sequence".into())].into_iter().collect());
    assert!(format!("{name:?}").contains("c-g-"), "{name:?}");
    assert!(worker.depends_on.contains(&Address::of("workspace", "w").child("network")));
    assert_eq!(worker.origins["cpus"].span, CIDR_AT);
}

#[test]
fn a_proxy_that_nodes_cannot_reach_is_said() {
    let mut spec = with_workers("g", &[], &[]);
    spec.fields.extend(fields(&[("proxy", Value::map([("http_proxy", Value::from("http://p.example:3128"))]))], CIDR_AT));
    let lower =
        |spec: &ClusterSpec, form| LocalProvider::new().lower_cluster(&config(&[]), spec, &used(&[]), &facts(form, true)).diagnostics;
    let found = lower(&spec, "namespaces");
    assert_eq!((only(&found).code, only(&found).primary.as_ref().unwrap().span, only(&found).is_error()), ("local-proxy", CIDR_AT, false));
    assert!(lower(&spec, "plain").is_empty(), "it uses the network of the machine");
    spec.fields.remove("proxy");
    assert!(lower(&spec, "namespaces").is_empty());
}

#[test]
fn names_of_workers_are_checked_with_their_number() {
    let lower = |label: &'static str, workers: &[(&'static str, Value)]| {
        LocalProvider::new().lower_cluster(&config(&[]), &with_workers(label, &[], workers), &used(&[]), &facts("plain", false))
    };
    // 63 bytes are a host name, of which `c-`, `-` and six digits are not the label's.
    const FITS: &str = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffff";
    const LONG: &str = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeefffff";
    assert!(lower(FITS, &[]).diagnostics.is_empty());
    for bad in [LONG, "a_b"] {
        let lowered = lower(bad, &[]);
        assert_eq!((only(&lowered.diagnostics).code, only(&lowered.diagnostics).primary.as_ref().unwrap().span), ("local-name", CIDR_AT));
    }
    let reserved = Value::map([("cloudtik:op", Value::from("x"))]);
    assert_eq!(only(&lower("g", &[("tags", reserved)]).diagnostics).code, "reserved-tag");
}

#[test]
fn workers_count_as_often_as_there_may_be() {
    let provider = LocalProvider::new();
    let (plain, none) = (facts("plain", false), config(&[]));
    let spec = |head: u64, each: u64, max: &[(&'static str, Value)]| {
        let workers: Vec<_> = max.iter().cloned().chain([("cpus", each.into())]).collect();
        with_workers("g", &[("cpus", head.into())], &workers)
    };
    let together = |spec: &ClusterSpec| provider.check_together(&ProviderRef::new("local"), &none, &[spec], &plain);
    let alone = |spec: &ClusterSpec| provider.lower_cluster(&none, spec, &used(&[]), &plain).diagnostics;
    let three = [("max", Value::from(3_u64))];
    let fits = spec(1, 1, &three);
    assert!(together(&fits).is_empty() && alone(&fits).is_empty());
    let both = spec(2, 1, &three);
    assert!(alone(&both).is_empty());
    assert!(only(&together(&both)).title.contains("4 nodes ask for `cpus` = 5"), "{}", only(&together(&both)).title);
    let group = spec(1, 2, &three);
    assert!(only(&alone(&group)).title.contains("3 nodes of `cluster.c.workers.g` ask for `cpus` = 6"), "{:?}", alone(&group));
    assert!(together(&group).is_empty(), "that is the error of one group");
    let unknown = spec(4, 4, &[]);
    assert!(together(&unknown).is_empty() && alone(&unknown).is_empty(), "nobody says how many");
}

#[test]
fn modes_that_are_not_possible_are_errors_at_their_place() {
    for mode in ["peered", "shared"] {
        let lowered = lower(&[("mode", mode.into())], &facts("plain", false));
        let error = only(&lowered.diagnostics);
        assert!(error.is_error() && error.title.contains(mode), "{error:?}");
        assert_eq!(error.primary.as_ref().unwrap().span, NETWORK_AT);
        assert!(error.help.as_ref().unwrap().contains("public-head"));
    }
}

#[test]
fn addresses_that_a_form_cannot_have_are_said() {
    let with_cidr = |cidr: &str, facts: &Facts| {
        let mut spec = workspace(&[]);
        spec.network.fields = fields(&[("cidr", cidr.into())], CIDR_AT);
        LocalProvider::new().lower_workspace(&config(&[]), &spec, facts)
    };
    let plain = with_cidr("10.1.0.0/16", &facts("plain", false));
    let warning = only(&plain.diagnostics);
    assert_eq!((warning.severity, warning.primary.as_ref().unwrap().span), (Severity::Warning, CIDR_AT));
    assert_eq!(resource(&plain, "workspace.w.network").attributes.get("cidr"), None);
    let namespaces = with_cidr("10.1.0.0/16", &facts("namespaces", true));
    assert!(namespaces.diagnostics.is_empty());
    assert_eq!(resource(&namespaces, "workspace.w.network").attributes.get("cidr"), Some(&"10.1.0.0/16".into()));
    let wide = with_cidr("10.0.0.0/8", &facts("namespaces", true));
    assert!(only(&wide.diagnostics).is_error());
    assert_eq!(only(&wide.diagnostics).primary.as_ref().unwrap().span, CIDR_AT);
}

#[test]
fn without_an_answer_the_addresses_are_the_same_and_the_form_is_open() {
    let addresses = |lowered: &Lowered| lowered.resources.iter().map(|resource| resource.address.clone()).collect::<Vec<_>>();
    let (unknown, known) = (lower(&[], &Facts::new()), lower(&[], &facts("plain", false)));
    assert_eq!(addresses(&unknown), addresses(&known));
    assert_eq!(resource(&unknown, "workspace.w.network").attributes.get("form"), None);
    let provider = LocalProvider::new();
    let plain = config(&[("isolation", "plain".into())]);
    let lowered = provider.lower_workspace(&plain, &workspace(&[]), &Facts::new());
    assert_eq!(resource(&lowered, "workspace.w.network").attributes.get("form"), Some(&"plain".into()));
}

#[test]
fn names_and_tags_are_checked_before_anything_is_made() {
    let provider = LocalProvider::new();
    let mut spec = workspace(&[]);
    spec.fields = fields(&[("name", "Not_A_Name".into()), ("tags", Value::map([("cloudtik:op", Value::from("x"))]))], CIDR_AT);
    let lowered = provider.lower_workspace(&config(&[]), &spec, &facts("plain", false));
    let codes: Vec<&str> = lowered.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    // The bucket's name is made from the workspace's.
    assert_eq!(codes, ["local-name", "reserved-tag", "local-name"]);
    let mut long = cluster("c", &[]);
    long.fields = fields(&[("name", "x".repeat(60).into())], CIDR_AT);
    let lowered = provider.lower_cluster(&config(&[]), &long, &used(&[]), &facts("plain", false));
    assert_eq!(only(&lowered.diagnostics).primary.as_ref().unwrap().span, CIDR_AT);
}

#[test]
fn nodes_may_not_ask_for_more_than_there_is() {
    let (plain, none) = (facts("plain", false), config(&[]));
    let half: Number = "0.5".parse().unwrap();
    assert!(lower_head(&none, &[("memory_gib", 8_u64.into()), ("cpus", 4_u64.into())], &plain).diagnostics.is_empty());
    assert!(lower_head(&none, &[("cpus", 400_u64.into())], &Facts::new()).diagnostics.is_empty(), "what nobody knows is no limit");
    let lowered = lower_head(&none, &[("cpus", 5_u64.into())], &plain);
    let error = only(&lowered.diagnostics);
    assert!(error.title.contains("`cpus` = 5, and this machine has 4"), "{}", error.title);
    assert_eq!(error.primary.as_ref().unwrap().span, HEAD_AT);
    let written = config(&[("memory_gib", half.into())]);
    let lowered = lower_head(&written, &[("memory_gib", 1_u64.into())], &plain);
    assert!(only(&lowered.diagnostics).title.contains("allows 0.5"));

    let provider = LocalProvider::new();
    let together = |cpus: [u64; 2]| {
        let (one, two) = (cluster("a", &[("cpus", cpus[0].into())]), cluster("b", &[("cpus", cpus[1].into())]));
        provider.check_together(&ProviderRef::new("local"), &none, &[&one, &two], &plain)
    };
    assert!(together([2, 2]).is_empty());
    assert!(together([5, 2]).is_empty(), "that is the error of one cluster");
    let found = together([2, 3]);
    assert!(only(&found).title.contains("2 nodes ask for `cpus` = 5"), "{}", only(&found).title);
    assert_eq!(only(&found).labels.len(), 1);
}

#[test]
fn the_question_is_asked_where_there_is_a_workspace() {
    let provider = LocalProvider::new();
    let local = ProviderRef::new("local");
    let asked = |isolation: &str, workspaces: &[&WorkspaceSpec]| {
        provider.facts_needed(&local, &config(&[("isolation", isolation.into())]), workspaces, &[])
    };
    assert!(asked("auto", &[]).is_empty());
    let spec = workspace(&[]);
    let question = asked("auto", &[&spec]).remove(0);
    assert_eq!((question.key.as_str(), question.question.as_str(), question.pin), ("local.isolation", "isolation", true));
    assert_eq!(question.arguments.get("isolation"), Some(&"auto".into()));
    assert_ne!(asked("plain", &[&spec])[0].key, question.key, "another word is another question");
}

#[test]
fn capabilities_follow_the_form() {
    let provider = LocalProvider::new();
    let capabilities = |facts: &Facts| provider.capabilities(&ProviderRef::new("local"), &config(&[]), facts);
    assert_eq!(capabilities(&Facts::new()), None);
    let plain = capabilities(&facts("plain", false)).unwrap();
    let namespaces = capabilities(&facts("namespaces", true)).unwrap();
    assert!(![Capability::OwnRoot, Capability::LowPorts, Capability::Packages].iter().any(|capability| plain.contains(capability)));
    assert!([Capability::OwnRoot, Capability::LowPorts, Capability::Egress].iter().all(|capability| namespaces.contains(capability)));
    assert!(![Capability::Init, Capability::Packages].iter().any(|capability| namespaces.contains(capability)));
}

#[test]
fn notes_say_what_is_chosen_and_what_is_not_enforced() {
    let provider = LocalProvider::new();
    let local = ProviderRef::new("local");
    let notes = provider.notes(&local, &config(&[]), &facts("plain", false));
    assert_eq!(notes[0], "local: form plain (because)");
    assert!(notes[1].contains("the firewall is recorded and not enforced") && notes.len() == 2);
    let notes = provider.notes(&local, &config(&[]), &facts("plain", true));
    assert!(notes[1].contains("warning") && notes[1].contains("run as root"), "{notes:?}");
    assert_eq!(provider.notes(&local, &config(&[]), &Facts::new()).len(), 1);
}

#[test]
fn a_provider_block_is_checked() {
    let check = |items: &[(&'static str, Value)]| {
        LocalProvider::new().check_config(&ProviderConfig { attributes: config(items), span: NETWORK_AT })
    };
    assert!(check(&[("isolation", "namespaces".into()), ("cpus", 1_u64.into())]).is_empty());
    let found = check(&[("isolation", "plan".into())]);
    assert_eq!(only(&found).help.as_deref(), Some("did you mean `plain`?"));
    assert_eq!(only(&found).primary.as_ref().unwrap().span, NETWORK_AT);
    assert_eq!(check(&[("root", " ".into()), ("cpus", 0_u64.into()), ("memory_gib", (-1_i64).into())]).len(), 3);
}

#[test]
fn the_schema_is_sound_and_has_the_words_of_the_language() {
    let provider = LocalProvider::new();
    assert_eq!(cloudtik_conformance::check_schema(provider.schema()), Vec::<String>::new());
    let word = |kind: &str, name: &str| local_kind(kind).attribute(name).unwrap().change;
    assert_eq!(word(INSTANCE_KIND, "publish"), ChangeWord::Live);
    assert_eq!(word(INSTANCE_KIND, "cpus"), ChangeWord::Rolling);
    assert_eq!(word(NETWORK_KIND, "mode"), ChangeWord::Fixed);
    assert_eq!(word(BUCKET_KIND, "on_destroy"), ChangeWord::None);
    assert_eq!(word(FIREWALL_KIND, "rules"), ChangeWord::Live);
    let instance = local_kind(INSTANCE_KIND);
    assert_eq!(instance.secrets, [("bootstrap_host_key", SecretKind::SshHostKey), ("login", SecretKind::LoginKey)]);
    let required = instance.attributes.iter().filter(|attribute| attribute.presence == Presence::Required);
    assert_eq!(required.map(|attribute| attribute.name).collect::<Vec<_>>(), ["name", "network"]);
    let derived = instance.derive.unwrap()(&config(&[("publish", Value::map([("8080", Value::from(80_u64)), ("443", 443_u64.into())]))]));
    let places = Value::list(["127.0.0.1:443", "127.0.0.1:8080"].map(Value::from));
    assert_eq!(derived, [("published", places)]);
}
