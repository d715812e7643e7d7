//! What specs become on AWS: compiled from text, with answers as AWS gives them, or without any.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests are no test functions to clippy")]

mod blocks;
mod cluster_firewall;
mod documents;
mod proxy;
mod refused;
mod storage;
mod support;
mod templates;
mod timeouts;

use std::collections::BTreeSet;

use cloudtik_compiler::Imported;
use cloudtik_lang::convert;
use cloudtik_model::{Address, Node, ResourceSpec, Value};
use cloudtik_provider_api::{Facts, Presence};
use support::{CLUSTER, addresses, attribute, compiled, facts, golden, resource, run};

/// A spec for each way that a network lies.
const MODES: &[(&str, &str)] = &[
    ("public-head", "workspace \"w\" {\n storage \"default\" {}\n firewall {\n ssh_from = [\"203.0.113.7/32\"]\n }\n}\n"),
    ("public-head-per-zone", "workspace \"w\" {\n network {\n zones = 3\n nat = \"per-zone\"\n endpoints = [\"s3\", \"ecr.api\"]\n }\n}\n"),
    ("public-head-no-nat", "workspace \"w\" {\n network {\n nat = \"none\"\n cidr = \"10.9.0.0/20\"\n }\n}\n"),
    ("peered", "workspace \"w\" {\n network {\n mode = \"peered\"\n client_vpc = \"vpc-client\"\n }\n}\n"),
    ("shared", "workspace \"w\" {\n network {\n mode = \"shared\"\n client_vpc = \"vpc-shared\"\n }\n}\n"),
    (
        "shared-given",
        "workspace \"w\" {\n network {\n mode = \"shared\"\n subnets = { public = [], private = [\"subnet-1\", \"subnet-2\"] }\n }\n}\n",
    ),
    (
        "databases",
        "workspace \"w\" {\n database \"default\" {\n engine = \"postgres\"\n }\n database \"catalog\" {\n engine = \"mysql\"\n version = \"8.0\"\n password = \"s3cret-s3cret\"\n backup = \"14d\"\n on_destroy = \"delete\"\n final_snapshot = false\n }\n database \"theirs\" {\n engine = \"mysql\"\n existing = { address = \"db.example\", username = \"u\", password = \"s3cret-s3cret\" }\n }\n}\n",
    ),
    (
        "identities",
        "workspace \"w\" {\n identity {\n head = \"theirs\"\n worker_policies = [\"arn:aws:iam::aws:policy/ReadOnlyAccess\"]\n path = \"/team/\"\n }\n firewall {\n egress \"dns\" {\n ports = [\"53\"]\n to = [\"10.0.0.0/8\"]\n protocol = \"udp\"\n }\n }\n}\n",
    ),
    ("peered-elsewhere", PEERED_ELSEWHERE),
    (
        "declared",
        "workspace \"w\" {\n network {\n endpoints = [\"s3\", \"ecr.api\"]\n }\n firewall {\n inside = \"declared\"\n ssh_from = [\"203.0.113.7/32\"]\n }\n}\n",
    ),
];

/// The network of the client is reached through a configuration of its own.
const PEERED_ELSEWHERE: &str = r#"provider "aws" {
  region = "us-west-2"
}
provider "aws" {
  alias        = "client"
  region       = "eu-west-1"
  profile      = "theirs"
  default_tags = { side = "client" }
}
workspace "w" {
  provider = aws
  network {
    mode            = "peered"
    client_vpc      = "vpc-client"
    client_provider = aws.client
  }
}
"#;

fn spec(workspace: &str) -> String {
    format!("{workspace}{CLUSTER}")
}

#[test]
fn what_is_made_of_each_mode() {
    for (name, workspace) in MODES {
        let graph = compiled(&spec(workspace), &facts(&spec(workspace)));
        golden(&format!("addresses/{name}"), &addresses(&graph));
    }
}

/// Whoever plans without AWS sees the same objects.
#[test]
fn no_address_contains_an_answer() {
    for (name, workspace) in MODES {
        let spec = spec(workspace);
        let (offline, online) = (compiled(&spec, &Facts::new()), compiled(&spec, &facts(&spec)));
        assert_eq!(offline.nodes.keys().collect::<Vec<_>>(), online.nodes.keys().collect::<Vec<_>>(), "{name}");
    }
}

/// What is known has the type of the schema from the beginning, because nobody converts it later; and nothing required is left out.
#[test]
fn attributes_are_as_the_schema_has_them() {
    let schema = cloudtik_aws::aws_schema();
    for (name, workspace) in MODES {
        let spec = spec(workspace);
        for facts in [Facts::new(), facts(&spec)] {
            let graph = compiled(&spec, &facts);
            let templates = support::templates(&spec, &facts);
            let resources = graph.nodes.values().filter_map(|node| match node {
                Node::Resource(resource) => Some(resource.clone()),
                Node::Step(_) => None,
            });
            for resource in
                resources.chain(templates).filter(|resource| &*resource.kind != "head_controller" && &*resource.kind != "worker_group")
            {
                check_attributes(name, &resource, &schema.kinds[&*resource.kind]);
            }
        }
    }
}

fn check_attributes(mode: &str, resource: &ResourceSpec, kind: &cloudtik_provider_api::KindSchema) {
    let at = format!("{mode}: {} ({})", resource.address, resource.kind);
    for (name, value) in resource.attributes.entries().unwrap() {
        let attribute = kind.attribute(name).unwrap_or_else(|| panic!("{at} has no attribute `{name}`"));
        assert!(attribute.is_settable(), "{at}: `{name}` cannot be set");
        if value.is_known() {
            let converted = convert(value, &attribute.ty).unwrap_or_else(|error| panic!("{at}: `{name}`: {error}"));
            assert_eq!(format!("{converted:?}"), format!("{value:?}"), "{at}: `{name}`");
        }
    }
    for attribute in kind.attributes.iter().filter(|attribute| attribute.presence == Presence::Required) {
        assert!(resource.attributes.get(attribute.name).is_some_and(|value| !value.is_null()), "{at} lacks `{}`", attribute.name);
    }
}

#[test]
fn everything_of_a_workspace_carries_its_name() {
    for (name, workspace) in MODES {
        let graph = compiled(&spec(workspace), &Facts::new());
        for node in graph.nodes.values() {
            let Node::Resource(resource) = node else { continue };
            if resource.address.root() == "workspace" || &*resource.kind == "aws_instance" {
                assert_eq!(resource.marks.get("cloudtik:workspace").map(String::as_str), Some("w"), "{name}: {}", resource.address);
            }
        }
    }
}

#[test]
fn a_network_of_ones_own_is_where_nothing_is() {
    let spec = spec(MODES[0].1);
    let graph = compiled(&spec, &facts(&spec));
    // The account has 10.0.0.0/16.
    assert_eq!(attribute(&graph, "workspace.w.network", "cidr_block"), "10.1.0.0/16".into());
    assert_eq!(attribute(&graph, "workspace.w.subnet.public[1]", "cidr_block"), "10.1.16.0/20".into());
    assert_eq!(attribute(&graph, "workspace.w.subnet.private[0]", "cidr_block"), "10.1.128.0/20".into());
    assert_eq!(attribute(&graph, "workspace.w.subnet.private[1]", "availability_zone"), "us-west-2b".into());
    assert_eq!(attribute(&graph, "workspace.w.storage.default", "bucket"), "cloudtik-w-us-west-2-default".into());
    assert_eq!(attribute(&graph, "cluster.c.head", "ami"), "ami-0123456789abcdef0".into());
    assert_eq!(attribute(&graph, "cluster.c.head", "associate_public_ip_address"), true.into());
}

#[test]
fn a_peered_network_keeps_clear_of_where_the_client_leads_to() {
    let spec = spec(MODES[3].1);
    let graph = compiled(&spec, &facts(&spec));
    // Beside 10.0.0.0/16: the client is 10.1.0.0/16 and has a route to 10.2.0.0/15.
    assert_eq!(attribute(&graph, "workspace.w.network", "cidr_block"), "10.4.0.0/16".into());
    assert_eq!(attribute(&graph, "workspace.w.route.peering_private[0]", "destination_cidr_block"), "10.1.0.0/16".into());
    assert_eq!(attribute(&graph, "workspace.w.peering_routes", "route_table_ids"), Value::set(["rtb-1".into(), "rtb-2".into()]));
    assert_eq!(attribute(&graph, "workspace.w.ingress_rule[\"client\"]", "cidr_ipv4"), "10.1.0.0/16".into());
    assert_eq!(attribute(&graph, "cluster.c.head", "associate_public_ip_address"), false.into());
}

#[test]
fn a_shared_network_is_left_as_it_is() {
    let spec = spec(MODES[4].1);
    let graph = compiled(&spec, &facts(&spec));
    assert_eq!(attribute(&graph, "workspace.w.subnet.public[0]", "cidr_block"), "172.31.16.0/24".into());
    assert_eq!(attribute(&graph, "workspace.w.route.public", "gateway_id"), "igw-shared".into());
    let kinds: BTreeSet<&str> =
        graph.nodes.values().filter_map(|node| if let Node::Resource(r) = node { Some(&*r.kind) } else { None }).collect();
    assert!(!kinds.contains("aws_vpc") && !kinds.contains("aws_internet_gateway"), "{kinds:?}");
}

/// What is shared stands in the template, what there may be no room for in the worker.
#[test]
fn workers_are_launched_from_a_template_in_any_form_that_there_is_room_for() {
    let group = "workers \"g\" {\n instance_types = [\"m5.large\", \"m5a.large\"]\n market = \"spot-then-on-demand\"\n max_price = 0.2\n disk_gib = 50\n}";
    let spec = spec(MODES[1].1).replace("workers \"g\" {}", group);
    let graph = compiled(&spec, &facts(&spec));
    let texts = |items: &[&str]| Value::list(items.iter().map(|item| Value::from(*item)));
    let worker = support::templates(&spec, &facts(&spec)).remove(0).attributes;
    let of = |name: &str| worker.get(name).cloned().unwrap_or(Value::NULL);
    assert_eq!(of("instance_types"), texts(&["m5.large", "m5a.large"]));
    assert_eq!(of("markets"), texts(&["spot", "on-demand"]));
    assert_eq!(of("subnet_ids").elements().map(|ids| ids.len()), Some(3));
    assert!(["instance_type", "subnet_id", "market"].iter().all(|name| of(name).is_null()), "{worker:?}");

    let template = |name: &str| attribute(&graph, "cluster.c.launch_template[\"g\"]", name);
    assert_eq!(template("name"), "cloudtik-w.c.g".into());
    assert_eq!((template("image_id"), template("instance_type")), (of("ami"), Value::NULL));
    let disk = template("block_device_mappings").elements().unwrap().next().cloned().unwrap();
    assert_eq!((disk.get("device_name"), disk.get("volume_size")), (Some(&"/dev/sda1".into()), Some(&50_u64.into())));
    let marks = &support::resource(&graph, "cluster.c.launch_template[\"g\"]").marks;
    assert_eq!((marks["cloudtik:workspace"].as_str(), marks["cloudtik:cluster"].as_str()), ("w", "w/c"));
}

/// Another zone leaves the subnets of the others where they are.
#[test]
fn another_zone_is_only_added() {
    for mode in ["", "mode = \"shared\"\nclient_vpc = \"vpc-shared\"\n"] {
        let of = |zones: usize| spec(&format!("workspace \"w\" {{\n network {{\n {mode}zones = {zones}\n }}\n}}\n"));
        let (two, three) = (compiled(&of(2), &facts(&of(2))), compiled(&of(3), &facts(&of(3))));
        for (address, node) in &two.nodes {
            let (Node::Resource(before), Some(Node::Resource(after))) = (node, three.nodes.get(address)) else { continue };
            if &*before.kind == "aws_subnet" {
                assert_eq!(before.attributes, after.attributes, "{address}");
            }
        }
        assert!(three.nodes.len() > two.nodes.len());
    }
}

/// Another region or client is another question: the answer that was kept for the first one is not used for the second.
#[test]
fn an_answer_is_kept_for_what_it_depends_on() {
    let keys = |provider: &str, client: &str| {
        let spec = format!(
            "provider \"aws\" {{ {provider} }}\nworkspace \"w\" {{\n network {{\n mode = \"peered\"\n {client}\n }}\n}}\n{CLUSTER}"
        );
        run(&spec, &Facts::new()).0.questions.into_values().flatten().map(|question| question.key).collect::<Vec<_>>()
    };
    let mut plain = keys("", "");
    plain.sort();
    assert_eq!(
        plain,
        [
            "aws.account",
            "cluster.c.head.image",
            "cluster.c.workers.g.image",
            "workspace.w.client",
            "workspace.w.client_names",
            "workspace.w.vpcs",
            "workspace.w.zones",
        ]
    );
    let elsewhere = keys("region = \"eu-west-1\"", "client_vpc = \"vpc-1\"");
    assert!(elsewhere.contains(&"workspace.w.client.eu-west-1.vpc-1".to_owned()), "{elsewhere:?}");
    assert!(elsewhere.contains(&"workspace.w.zones.eu-west-1".to_owned()), "{elsewhere:?}");
}

#[test]
fn a_type_that_is_chosen_is_asked_for_once_the_image_is_known() {
    let spec =
        "workspace \"w\" {}\ncluster \"c\" {\n workspace = workspace.w\n head {\n cpus = 4\n memory_gib = 7.5\n image = \"ami-1\"\n }\n}\n";
    let questions: Vec<_> = run(spec, &Facts::new()).0.questions.into_values().flatten().collect();
    let question = questions.iter().find(|question| question.question == "machine_type").unwrap();
    assert_eq!((question.key.as_str(), question.pin), ("cluster.c.head.machine_type.4/7.5///ami-1", true));
    let image = question.arguments.get("image").and_then(|image| image.get("id")).cloned();
    assert_eq!((question.arguments.get("architecture"), image), (Some(&Value::NULL), Some("ami-1".into())));
    let head = |facts: &Facts| support::resource(&compiled(spec, facts), "cluster.c.head").clone();
    let chosen = head(&facts(spec));
    assert_eq!(chosen.attributes.get("instance_type"), Some(&"m5a.xlarge".into()));
    assert!(!chosen.origins["instance_type"].span.is_none());
    assert!(head(&Facts::new()).attributes.get("instance_type").is_some_and(Value::is_deferred), "nobody was asked");
}

#[test]
fn tags_of_the_configuration_are_on_everything_that_has_tags() {
    let spec = "provider \"aws\" { default_tags = { team = \"x\", Name = \"never\" } }\nworkspace \"w\" { tags = { team = \"y\" } }\n\
                resource \"aws_eip\" \"e\" {}\nresource \"aws_eip\" \"f\" { tags = { team = \"z\" } }\n";
    let graph = compiled(spec, &Facts::new());
    let tag = |address: &str, name: &str| attribute(&graph, address, "tags").get(name).cloned().unwrap();
    assert_eq!(tag("workspace.w.network", "team"), "y".into());
    assert_eq!(tag("workspace.w.network", "Name"), "cloudtik-w-vpc".into());
    assert_eq!(tag("aws_eip.e", "team"), "x".into());
    assert_eq!(tag("aws_eip.f", "team"), "z".into());
}

#[test]
fn the_role_of_a_configuration_may_be_a_block() {
    let block =
        compiled("provider \"aws\" {\n assume_role {\n role_arn = \"arn:aws:iam::1:role/r\"\n }\n}\nworkspace \"w\" {}\n", &Facts::new());
    let role = block.providers.values().find_map(|config| config.attributes.get("assume_role")).unwrap();
    assert_eq!(role.get("role_arn"), Some(&"arn:aws:iam::1:role/r".into()));
    assert_eq!(role.get("duration"), Some(&Value::NULL));
}

#[test]
fn the_schema_keeps_what_schemas_promise() {
    assert_eq!(cloudtik_conformance::check_schema(&cloudtik_aws::aws_schema()), Vec::<String>::new());
}

#[test]
fn the_side_of_the_client_is_made_through_its_configuration() {
    let (asked, ..) = run(PEERED_ELSEWHERE, &Facts::new());
    let questions: Vec<String> = asked
        .questions
        .iter()
        .flat_map(|(provider, questions)| questions.iter().map(move |question| format!("{provider}: {}", question.key)))
        .collect();
    let expected = [
        "aws: aws.account",
        "aws: workspace.w.zones.us-west-2",
        "aws: workspace.w.vpcs.us-west-2",
        "aws.client: workspace.w.client.client.eu-west-1.vpc-client",
        "aws.client: workspace.w.client_names.client.eu-west-1.vpc-client",
    ];
    assert_eq!(questions, expected);
    let graph = compiled(PEERED_ELSEWHERE, &facts(PEERED_ELSEWHERE));
    let theirs = graph.nodes.values().filter_map(|node| match node {
        Node::Resource(resource) if resource.provider.as_str() == "aws.client" => Some(resource.address.to_string()),
        _ => None,
    });
    assert_eq!(
        theirs.collect::<Vec<_>>(),
        ["workspace.w.peering_routes", "workspace.w.vpc_peering_connection", "workspace.w.vpc_peering_connection_options.requester",]
    );
    let connection = |name| attribute(&graph, "workspace.w.vpc_peering_connection", name);
    assert_eq!(connection("peer_region"), "us-west-2".into());
    assert_eq!(connection("peer_owner_id"), "123456789012".into());
    assert_eq!(connection("tags").get("side"), Some(&"client".into()));
    assert_eq!(attribute(&graph, "workspace.w.vpc_peering_connection_accepter", "tags").get("side"), None);
}

/// Two regions have other images and zones, and what was found in one is never used in the other.
#[test]
fn answers_are_kept_for_each_configuration() {
    let through = |provider: &str| {
        let configurations = "provider \"aws\" {}\nprovider \"aws\" {\n alias = \"west\"\n}\n";
        let (compiled, ..) = run(&format!("{configurations}workspace \"w\" {{\n provider = {provider}\n}}\n{CLUSTER}"), &Facts::new());
        compiled.questions.into_values().flatten().filter(|question| question.pin).map(|question| question.key).collect::<BTreeSet<_>>()
    };
    let (own, west) = (through("aws"), through("aws.west"));
    assert!(own.contains("workspace.w.zones") && west.contains("workspace.w.zones.west"), "{own:?} {west:?}");
    assert_eq!(own.intersection(&west).count(), 0);
    assert_eq!(own.len(), west.len());
}

/// Whoever runs cloudtik has a profile, and may have to be another role; a head is who it is.
#[test]
fn a_head_is_not_told_whose_credentials_are_used_here() {
    let provider = "provider \"aws\" {\n region = \"us-west-2\"\n profile = \"mine\"\n assume_role {\n role_arn = \"arn\"\n }\n}\n";
    let (compiled, ..) = run(&format!("{provider}workspace \"w\" {{}}\n{CLUSTER}"), &Facts::new());
    let config = compiled.head_configs.values().next().unwrap().provider_config.clone();
    assert_eq!(config, Value::object([("region", Value::from("us-west-2"))]));
}

#[test]
fn a_database_is_what_its_block_says() {
    let source = MODES.iter().find(|(name, _)| *name == "databases").map(|(_, source)| *source).unwrap();
    let graph = compiled(source, &facts(source));
    let of = |label: &str, name: &str| attribute(&graph, &format!("workspace.w.database.{label}"), name);
    assert_eq!((of("default", "identifier"), of("catalog", "identifier")), ("cloudtik-w-db".into(), "cloudtik-w-db-catalog".into()));
    assert_eq!((of("default", "engine_version"), of("catalog", "engine_version")), ("17".into(), "8.0".into()));
    assert_eq!((of("default", "port"), of("catalog", "port")), (5_432_u64.into(), 3_306_u64.into()));
    assert_eq!((of("default", "backup_retention_period"), of("catalog", "backup_retention_period")), (7_u64.into(), 14_u64.into()));
    assert_eq!((of("default", "skip_final_snapshot"), of("catalog", "skip_final_snapshot")), (false.into(), true.into()));
    assert_eq!((of("default", "on_destroy"), of("catalog", "on_destroy")), ("keep".into(), "delete".into()));
    assert_eq!((of("default", "storage_encrypted"), of("default", "publicly_accessible")), (true.into(), false.into()));
    let password = |label: &str| attribute(&graph, &format!("workspace.w.database_password.{label}"), "value");
    assert_eq!(password("default"), Value::NULL, "it is generated");
    assert!(password("catalog").is_sensitive() && password("theirs").is_sensitive());
    assert!(of("default", "password").is_sensitive() && of("default", "password").is_deferred());
    let late = compiled(source, &Facts::new());
    assert!(attribute(&late, "workspace.w.database.default", "engine_version").is_deferred());
}

/// What is secret is in no record.
#[test]
fn clusters_of_other_projects_are_told_where_a_password_is() {
    let source = MODES.iter().find(|(name, _)| *name == "databases").map(|(_, source)| *source).unwrap();
    let record = attribute(&compiled(source, &facts(source)), "workspace.w.record", "value");
    let text = format!("{record:?}");
    assert!(!record.has_sensitive() && !text.contains("s3cret-s3cret"), "{text}");
    for place in ["ssm:/cloudtik/w/database/default/password", "ssm:/cloudtik/w/database/theirs/password", "db.example"] {
        assert!(text.contains(place), "{place}: {text}");
    }
}

/// What is for heads is let in and out on heads alone: they are behind a second firewall.
#[test]
fn heads_have_a_firewall_of_their_own() {
    let rule = |label: &str, rest: &str| format!(" {label} {{\n ports = [\"80\"]\n{rest}\n }}\n");
    let rules = [
        rule("ingress \"ui\"", " from = [\"10.0.0.0/8\"]"),
        rule("ingress \"any\"", " from = [\"10.0.0.0/8\"]\n to = \"all\""),
        rule("egress \"out\"", " to = [\"10.0.0.0/8\"]\n from = \"head\""),
        rule("egress \"both\"", " to = [\"10.0.0.0/8\"]"),
    ];
    let source = spec(&format!("workspace \"w\" {{\n firewall {{\n ssh_from = [\"203.0.113.7/32\"]\n{} }}\n}}\n", rules.concat()));
    let graph = compiled(&source, &facts(&source));
    let named = |value: &Value| {
        let mut addresses = BTreeSet::new();
        value.addresses(&mut addresses);
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let of_all = ["ingress_rule[\"inside\"]", "ingress_rule[\"any:10.0.0.0/8:80\"]", "egress_rule[\"both:10.0.0.0/8:80\"]"];
    let of_heads =
        ["ingress_rule.head[\"ui:10.0.0.0/8:80\"]", "ingress_rule.head[\"ssh:203.0.113.7/32\"]", "egress_rule.head[\"out:10.0.0.0/8:80\"]"];
    for (rules, firewall) in [(of_all, "workspace.w.firewall"), (of_heads, "workspace.w.firewall.head")] {
        for rule in rules {
            assert_eq!(named(&attribute(&graph, &format!("workspace.w.{rule}"), "security_group_id")), [firewall], "{rule}");
        }
    }
    let head = attribute(&graph, "cluster.c.head", "vpc_security_group_ids");
    assert_eq!(named(&head), ["workspace.w.firewall", "workspace.w.firewall.head"]);
    let worker = &support::templates(&source, &facts(&source))[0];
    assert_eq!(named(worker.attributes.get("vpc_security_group_ids").unwrap()), ["workspace.w.firewall"]);
}

/// A workspace has several firewalls: each is taken over as what it is called, and says of itself what it said.
#[test]
fn firewalls_are_taken_over_by_their_names() {
    let source = "import {\n to = workspace.w\n id = \"w\"\n}\nworkspace \"w\" {\n database \"default\" {\n engine = \"postgres\"\n }\n}\n";
    let (compiled, ..) = run(source, &facts(source));
    let imported =
        |part: &str| compiled.imports.get(&format!("workspace.w.{part}").parse::<Address>().unwrap()).map(|import| &import.object);
    let id = |id: &str| Imported::Id(id.to_owned());
    assert_eq!(imported("firewall"), Some(&id("sg-all")));
    assert_eq!(imported("firewall.head"), Some(&id("sg-heads")));
    assert_eq!(imported("database_firewall.default"), None);
    let description = |part: &str| attribute(&compiled.graph, &format!("workspace.w.{part}"), "description");
    assert_eq!(["firewall", "firewall.head"].map(description), ["of all", "of heads"].map(Value::from));
}

/// The address is there before the head, and nobody speaks to the head before it has it.
#[test]
fn an_address_that_stays_is_had_before_anybody_speaks_to_the_head() {
    let spec = "workspace \"w\" {\n firewall {\n ssh_from = [\"203.0.113.7/32\"]\n }\n}\ncluster \"c\" {\n workspace = workspace.w\n tags = { team = \"x\" }\n head {\n public_ip = \"static\"\n setup {\n before_runtimes = [\"true\"]\n }\n }\n workers \"g\" {}\n}\noutput \"ssh\" { value = cluster.c.head.ssh_command }\noutput \"ip\" { value = cluster.c.head.public_ip }\n";
    let known = facts(spec);
    let graph = compiled(spec, &known);
    golden("addresses/public-head-static", &addresses(&graph));
    let (address, association): (Address, Address) = ("cluster.c.eip".parse().unwrap(), "cluster.c.eip_association".parse().unwrap());
    assert!(resource(&graph, "cluster.c.eip").depends_on.is_empty());
    assert_eq!(resource(&graph, "cluster.c.eip").marks["cloudtik:cluster"], "w/c");
    let tags = attribute(&graph, "cluster.c.eip", "tags");
    assert_eq!((tags.get("team"), tags.get("Name")), (Some(&"x".into()), Some(&"cloudtik-c-head-address".into())));
    assert_eq!(attribute(&graph, "cluster.c.head", "associate_public_ip_address"), true.into());
    let mut steps = 0;
    for node in graph.nodes.values() {
        if let Node::Step(step) = node {
            assert!(step.depends_on.contains(&association), "{}", step.address);
            steps += 1;
        }
    }
    assert!(steps >= 3, "{steps}");
    assert!(resource(&graph, "cluster.c.head_controller").depends_on.contains(&association));
    // What references see does not wait for the head.
    for (name, shown) in [("ip", "cluster.c.eip.public_ip"), ("ssh", "ssh ubuntu@${cluster.c.eip.public_ip}")] {
        let value = &graph.outputs[name].value;
        let mut needed = BTreeSet::new();
        value.addresses(&mut needed);
        assert_eq!(needed, [address.clone()].into(), "{shown}");
    }
    // The other way about there is neither.
    let without = compiled(&spec.replace("public_ip = \"static\"", ""), &known);
    assert!(!without.nodes.contains_key(&address) && !without.nodes.contains_key(&association));
}
