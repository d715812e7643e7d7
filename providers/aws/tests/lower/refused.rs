//! What a plan refuses, or says a word about, at its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::Value;
use cloudtik_provider_api::Facts;

use crate::support::{answer, attribute, compiled, describe, facts, run};

/// The parts of an answer.
type Entries = BTreeMap<Arc<str>, Value>;

#[track_caller]
fn says(source: &str, facts: &Facts, expected: &str) {
    let (_, map, found) = run(source, facts);
    assert_eq!(describe(&map, &found).trim(), expected.trim(), "{source}");
}

/// In a workspace: the line that is looked at is the third.
#[track_caller]
fn network(attributes: &str, expected: &str) {
    let source = format!("workspace \"w\" {{\n network {{\n{attributes}\n }}\n}}\n");
    says(&source, &facts(&source), expected);
}

#[test]
fn a_network_must_have_a_size_of_aws() {
    network("cidr = \"10.0.0.0/8\"", "3 error aws-cidr: AWS has no networks of the size /8");
    network("cidr = \"10.0.0.0/29\"", "3 error aws-cidr: AWS has no networks of the size /29");
    network("cidr = \"fd00::/64\"", "3 error aws-cidr: a network of AWS begins with a range of IPv4");
    network("cidr = \"10.0.0.0/27\"", "3 error aws-cidr: 10.0.0.0/27 has no room for the subnets of 2 zones, only for those of 1");
    network("cidr = \"10.0.0.0/24\"", "");
}

#[test]
fn zones_must_be_there() {
    network("zones = 4", "3 error aws-zones: the region has 3 zones, and `zones` asks for 4");
    network(
        "zones = 9",
        "3 error aws-network: no region has so many zones\n3 error aws-zones: the region has 3 zones, and `zones` asks for 8",
    );
    network("zones = [\"eu-west-1a\"]", "3 error aws-zones: `eu-west-1a` is no zone of the region us-west-2");
    network("zones = [\"us-west-2a\", \"us-west-2a\"]", "3 error bad-value: `zones`: `us-west-2a` is there twice");
    network("zones = \"two\"", "3 error bad-value: `zones`: it is neither a number of zones nor a list of them");
}

#[test]
fn modes_have_attributes_of_their_own() {
    network(
        "mode = \"shared\"\ncidr = \"10.0.0.0/16\"",
        "4 error aws-network: mode `shared` uses a network that is there, whose range cannot be chosen",
    );
    network("subnets = { public = [], private = [\"subnet-1\"] }", "3 error aws-network: only mode `shared` uses subnets that are there");
    network(
        "mode = \"shared\"\nsubnets = { public = [], private = [] }",
        "4 error aws-network: there is no private subnet to put nodes into",
    );
    network("client_vpc = \"vpc-1\"", "3 warning no-effect: `client_vpc` has no effect in mode `public-head`");
    network(
        "mode = \"shared\"\nsubnets = { public = [], private = [\"subnet-1\"] }\nnat = \"none\"",
        "5 warning no-effect: `nat` has no effect with subnets that are given",
    );
    network("endpoints = [\"S3\"]", "3 error aws-network: `S3` is not the name of a service");
}

#[test]
fn the_network_of_the_client_must_be_one_that_can_be_used() {
    let with = |source: &str, change: &dyn Fn(&mut Entries)| -> Facts {
        let (compiled, ..) = run(source, &Facts::new());
        let questions = compiled.questions.values().flatten();
        questions
            .map(|question| {
                let answer = answer(question);
                let mut entries = answer.entries().cloned().unwrap_or_default();
                if matches!(question.question.as_str(), "client" | "network") {
                    change(&mut entries);
                    return (question.key.clone(), Value::object(entries));
                }
                (question.key.clone(), answer)
            })
            .collect()
    };
    let set = |name: &'static str, value: Value| move |entries: &mut Entries| drop(entries.insert(name.into(), value.clone()));
    let peered = "workspace \"w\" {\n network {\n mode = \"peered\"\n }\n}\n";
    says(
        peered,
        &with(peered, &set("region", "us-east-1".into())),
        "2 error aws-client: the network of the client, vpc-client, is in region us-east-1, and the workspace in us-west-2",
    );
    says(
        peered,
        &with(peered, &set("vpc_id", Value::NULL)),
        "2 error aws-client: mode `peered` needs the network of the client, and none was found",
    );
    let shared = "workspace \"w\" {\n network {\n mode = \"shared\"\n client_vpc = \"vpc-shared\"\n }\n}\n";
    says(
        shared,
        &with(shared, &set("internet_gateway_id", Value::NULL)),
        "4 error aws-network: vpc-shared has no internet gateway, which public subnets lead to",
    );
    says(
        shared,
        &with(shared, &set("cidr_blocks", Value::list(["172.31.0.0/20".into()]))),
        "2 error aws-cidr: the shared network has no room for 4 more subnets",
    );
    says(
        shared,
        &with(shared, &set("cidr_blocks", Value::list(["172.31.0.0/16".into(), "10.200.0.0/16".into()]))),
        "4 warning aws-client-ranges: vpc-shared has 2 ranges, and rules and routes are made for the first of them",
    );
}

/// Options that AWS would refuse are not turned on; they follow the network of the client.
#[test]
fn names_lead_to_private_addresses_where_the_network_of_the_client_has_names() {
    let peered = "workspace \"w\" {\n network {\n mode = \"peered\"\n client_vpc = \"vpc-client\"\n }\n}\n";
    let with = |names: bool| -> Facts {
        let mut all = facts(peered);
        all.insert("workspace.w.client_names.vpc-client".to_owned(), Value::object([("names", names.into())]));
        all
    };
    let sides = |facts: &Facts| {
        let graph = compiled(peered, facts);
        let side = |name| attribute(&graph, "workspace.w.vpc_peering_connection_options", name).elements().unwrap().next().cloned();
        ["accepter", "requester"].map(|name| side(name).unwrap().get("allow_remote_vpc_dns_resolution").cloned().unwrap())
    };
    assert_eq!(sides(&with(true)), [true, true].map(Value::from));
    assert_eq!(sides(&with(false)), [false, false].map(Value::from));
    says(peered, &with(true), "");
    says(
        peered,
        &with(false),
        "4 warning aws-client-names: vpc-client has no DNS hostnames or no DNS resolution: names of the other network lead to public \
         addresses on both sides",
    );
}

#[track_caller]
fn cluster(nodes: &str, expected: &str) {
    let source = format!(
        "workspace \"w\" {{\n firewall {{\n ssh_from = [\"203.0.113.7/32\"]\n }}\n}}\ncluster \"c\" {{\n workspace = workspace.w\n{nodes}\n}}\n"
    );
    says(&source, &facts(&source), expected);
}

#[test]
fn nodes_are_machines_of_aws() {
    cluster("head {\ncpus = 4\nmemory_gib = 16\ngpus = 1\n}", "");
    cluster(
        "head {\ncpus = 4\ninstance_type = \"m5.large\"\n}",
        "9 error aws-machine: `cpus` has a type of machine chosen, and `instance_type` names one",
    );
    cluster("head {\nimage = \"ubuntu\"\n}", "9 error aws-image: `ubuntu` is no image of AWS");
    cluster("head {\nimage = { owner = \"x\" }\n}", "9 error bad-value: `image`: it names no image");
    cluster("head {\nzones = [\"us-west-2c\"]\n}", "9 error aws-zones: the workspace has no subnet in us-west-2c");
    cluster("head {\nzones = [\"us-west-2b\"]\n}", "");
    cluster("head {\npublic_ip = \"static\"\n}", "");
    cluster(
        "head {\npublic_ip = \"static\"\n}\nlifecycle { create_before_destroy = true }",
        "9 error aws-public-ip: an address that stays cannot be at the former head and at the new one, and `create_before_destroy` has both at once",
    );
    cluster("head {\ntags = { \"aws:x\" = \"y\" }\n}", "9 error reserved-tag: the tag `aws:x` begins as only those of AWS do");
    cluster(
        "head {}\nworkers \"g\" {\ninstance_types = [\"m5.large\", \"m7g.large\"]\n}",
        "10 error aws-machine: `m5.large` has a processor of the architecture x86_64, and `m7g.large` of arm64: no image runs on both",
    );
    cluster("head {}\nworkers \"g\" {\ninstance_types = []\n}", "10 error aws-machine: `instance_types` is empty");
    cluster("head {}\nworkers \"g\" {\nmax_price = 0.1\n}", "10 warning no-effect: `max_price` has no effect: it is of the spot market");
    cluster(
        "head {}\nworkers \"g\" {\ninstance_type = \"m5.large\"\ninstance_types = [\"m5a.large\"]\n}",
        "10 error one-or-many: a group has `instance_type` or `instance_types`, not both",
    );
}

#[test]
fn an_address_that_stays_is_one_of_public_heads() {
    let source = |network: &str| {
        format!(
            "workspace \"w\" {{\n network {{\n{network}\n }}\n}}\ncluster \"c\" {{\n workspace = workspace.w\n head {{\n  public_ip = \"static\"\n }}\n}}\n"
        )
    };
    for (network, mode) in
        [("mode = \"peered\"\nclient_vpc = \"vpc-client\"", "peered"), ("mode = \"shared\"\nclient_vpc = \"vpc-shared\"", "shared")]
    {
        let source = source(network);
        let expected = format!("10 error aws-public-ip: in mode `{mode}` heads have no public address, so none of them can be static");
        says(&source, &facts(&source), &expected);
        says(&source, &Facts::new(), &expected);
    }
}

#[test]
fn what_nobody_could_reach_is_said() {
    let source = "workspace \"w\" {}\ncluster \"c\" {\n workspace = workspace.w\n head {}\n}\n";
    says(
        source,
        &facts(source),
        "4 warning aws-no-ssh: no rule lets anybody reach SSH of `cluster.c.head`, so nothing can be set up on it",
    );
    let source = "workspace \"w\" {\n network {\n nat = \"none\"\n }\n firewall {\n ssh_from = [\"203.0.113.7/32\"]\n }\n}\ncluster \"c\" {\n workspace = workspace.w\n head {}\n workers \"g\" {}\n}\n";
    says(
        source,
        &facts(source),
        "9 warning aws-no-egress: `cluster.c.workers.g` cannot reach the internet: the network of the workspace has `nat = \"none\"`",
    );
}

#[test]
fn names_fit_what_aws_takes() {
    let source = "workspace \"a-workspace-with-a-long-name\" {\n storage \"with-a-label-that-is-long-too\" {}\n}\n";
    says(
        source,
        &facts(source),
        "2 error aws-bucket-name: `cloudtik-a-workspace-with-a-long-name-us-west-2-with-a-label-that-is-long-too` is no name of a bucket: it has 77 characters",
    );
    let source = "workspace \"w\" {\n tags = { \"cloudtik:x\" = \"y\" }\n}\n";
    says(source, &facts(source), "2 error reserved-tag: the tag `cloudtik:x` begins as only cloudtik's own do");
}

#[test]
fn rules_and_identities() {
    let source = "workspace \"w\" {\n identity {\n workers = \"theirs\"\n worker_policies = [\"arn\"]\n }\n}\n";
    says(
        source,
        &facts(source),
        "3 warning aws-pass-role: the identity of heads that is made here may not launch workers with an identity that is not\n\
         4 warning no-effect: `worker_policies` has no effect beside `workers`: rights are added to what is made only",
    );
}

#[test]
fn rules_for_workers_alone_there_are_none() {
    let source =
        "workspace \"w\" {\n firewall {\n ingress \"x\" {\n ports = [\"80\"]\n from = [\"10.0.0.0/8\"]\n to = \"workers\"\n }\n }\n}\n";
    let said = "6 warning aws-firewall: `to = \"workers\"` holds for heads too: in the firewall of a workspace they have every rule that workers have";
    says(source, &facts(source), said);
}

#[test]
fn configurations_are_checked() {
    let source = "provider \"aws\" {\n assume_role {\n role = \"x\"\n }\n}\nworkspace \"w\" {}\n";
    says(source, &Facts::new(), "3 error unknown-attribute: `assume_role` has no attribute `role`");
    let source = "provider \"aws\" {\n assume_role {}\n}\nworkspace \"w\" {}\n";
    says(source, &Facts::new(), "1 error aws-config: `assume_role` needs the role: `role_arn`");
    let source = "provider \"aws\" {\n assume_role {\n role_arn = \"arn\"\n duration = \"1d\"\n }\n}\nworkspace \"w\" {}\n";
    says(source, &Facts::new(), "1 error aws-config: `duration`: a session of a role cannot last `1d`");
}

#[test]
fn the_client_is_reached_through_a_configuration_that_is_for_it() {
    let of = |provider: &str, more: &str, mode: &str| {
        format!(
            "provider \"aws\" {{}}\nprovider \"aws\" {{\n alias = \"x\"\n{more}}}\nworkspace \"w\" {{\n provider = aws\n network {{\n mode = \"{mode}\"\n{provider} client_vpc = \"vpc-client\"\n }}\n}}\n"
        )
    };
    let elsewhere = |source: &str| {
        let mut all = facts(source);
        for (_, answer) in all.iter_mut().filter(|(key, _)| key.contains(".client")) {
            let entries = answer.entries().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
            *answer = Value::object(entries.chain([("account".into(), Value::from("210987654321"))]));
        }
        all
    };
    let source = of("", "", "peered");
    says(
        &source,
        &elsewhere(&source),
        "9 error aws-client: the network of the client, vpc-client, is in account 210987654321, and the workspace in 123456789012",
    );
    let source = of(" client_provider = aws.x\n", " default_tags = { a = \"b\" }\n", "peered");
    says(&source, &elsewhere(&source), "");
    says(
        &source,
        &facts(&source),
        "10 error aws-client: `client_provider` leads to the region and account of the workspace, and has other `default_tags`: \
         both ends of the connection have one set of tags there",
    );
    // Whose the workspace's credentials are is asked anew by every plan, and not known before.
    let mut pinned = facts(&source);
    pinned.retain(|key, _| !key.ends_with(".account"));
    says(&source, &pinned, "");
    let source = of(" client_provider = aws.x\n", "", "public-head");
    says(
        &source,
        &facts(&source),
        "9 warning no-effect: `client_provider` has no effect in mode `public-head`\n\
         10 warning no-effect: `client_vpc` has no effect in mode `public-head`",
    );
}

/// In a database of a workspace in a network: the line that is looked at is the fourth.
#[track_caller]
fn database(network: &str, attributes: &str, expected: &str) {
    let source = format!("workspace \"w\" {{\n network {{ {network} }}\n database \"d\" {{\n{attributes}\n }}\n}}\n");
    says(&source, &facts(&source), expected);
}

#[test]
fn databases_must_be_possible() {
    let engine = "engine = \"postgres\"";
    database("", engine, "");
    database(
        "zones = 1",
        engine,
        "3 error aws-database-zones: a database needs private subnets in 2 zones, and the workspace has one zone",
    );
    let given = "\nmode = \"shared\"\nsubnets = { public = [], private = [\"subnet-1\"] }\n";
    database(
        given,
        engine,
        "6 error aws-database-zones: a database needs private subnets in 2 zones, and the workspace has one private subnet",
    );
    database(
        "",
        "backup = \"36d\"\nengine = \"mysql\"",
        "4 error aws-database-backup: AWS keeps back-ups for 35 days at most, and not for 36",
    );
    database("", "backup = \"12h\"\nengine = \"mysql\"", "4 error bad-value: `backup`: `12h` is no number of days");
    for password in ["short", "with space", "with/slash", "with@at-sign"] {
        let attributes = format!("password = \"{password}\"\nengine = \"mysql\"");
        database("", &attributes, "4 error aws-database-password: AWS takes no such password");
    }
    database("", "engine = \"oracle\"", "4 error bad-value: `engine`: `oracle` is none of its words");
    database("", "", "3 error missing-attribute: `database` needs `engine`");
    let existing = "existing = { address = \"a\", username = \"u\", password = \"s3cret-s3cret\" }\nengine = \"mysql\"\ndisk_gib = 60";
    database("zones = 1", existing, "6 warning no-effect: `disk_gib` has no effect beside `existing`: that database is never changed");
    let source = format!("workspace \"w\" {{\n database \"a-label-that-is-far-too-long-for-a-name-of-a-database\" {{ {engine} }}\n}}\n");
    says(
        &source,
        &facts(&source),
        "2 error aws-database-name: `cloudtik-w-db-a-label-that-is-far-too-long-for-a-name-of-a-database` is no name of a database",
    );
}
