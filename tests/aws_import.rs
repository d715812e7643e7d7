//! What is there already on AWS and is taken over, against a server that behaves as AWS does: by an id, a whole workspace whose state was lost,
//! and a workspace that the predecessor made, which in turn recognises ours.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod aws;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aws::specs::Mode;
use aws::{APPLY, DESTROY, World, planned};
use cloudtik_aws_testing::{Config, Predecessor};

/// Those of a plan that do something else.
fn others<'p>(planned: &'p BTreeMap<String, String>, word: &str) -> Vec<(&'p str, &'p str)> {
    planned.iter().filter(|(_, is)| *is != word).map(|(address, is)| (address.as_str(), is.as_str())).collect()
}

fn add_to_spec(world: &World, more: &str) -> String {
    let path = world.stage.project().join("main.hcl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n{more}")).unwrap();
    text
}

/// The state is lost; the spec is still there.
fn a_lost_workspace_comes_back(mode: Mode) {
    let Some(world) = World::new(Config::quick()) else { return };
    mode.prepare(&world);
    let before = world.snapshot();
    world.expect(0, &APPLY);
    let whole = world.came(&before);
    let instance = world.id("aws_instance.extra");
    let network = (mode != Mode::Shared).then(|| world.id("workspace.w.network"));
    fs::remove_dir_all(world.stage.data()).unwrap();

    let without = add_to_spec(
        &world,
        &format!("import {{\n  to = workspace.w\n  id = \"w\"\n}}\n\nimport {{\n  to = aws_instance.extra\n  id = \"{instance}\"\n}}\n"),
    );
    let plan = planned(&world);
    assert_eq!(others(&plan, "import"), [], "{mode:?}");
    world.expect(0, &APPLY);
    assert_eq!(world.came(&before), whole, "{mode:?}: something came or went with the import");
    assert_eq!(world.id("aws_instance.extra"), instance);
    if let Some(network) = network {
        assert_eq!(world.id("workspace.w.network"), network);
    }
    world.is_settled();
    // What was found is that of the workspace from then on, also when the blocks are gone.
    world.stage.spec(&without);
    world.is_settled();
    world.expect(0, &DESTROY);
    world.is_as(&before, &format!("{mode:?} was destroyed after it was imported"));
}

#[test]
fn a_lost_workspace_with_a_public_head_comes_back() {
    a_lost_workspace_comes_back(Mode::PublicHead);
}

#[test]
fn a_lost_peered_workspace_comes_back() {
    a_lost_workspace_comes_back(Mode::Peered);
}

#[test]
fn a_lost_workspace_in_a_shared_network_comes_back() {
    a_lost_workspace_comes_back(Mode::Shared);
}

/// An import that is killed imports again; what is there is never made twice.
#[test]
fn a_killed_import_goes_on() {
    let Some(world) = World::new(Config::quick()) else { return };
    Mode::PublicHead.prepare(&world);
    let before = world.snapshot();
    world.expect(0, &APPLY);
    let whole = world.came(&before);
    let instance = world.id("aws_instance.extra");
    fs::remove_dir_all(world.stage.data()).unwrap();
    add_to_spec(
        &world,
        &format!("import {{\n  to = workspace.w\n  id = \"w\"\n}}\nimport {{\n  to = aws_instance.extra\n  id = \"{instance}\"\n}}\n"),
    );
    for calls in [1, 5, 9] {
        world.killed_after(&APPLY, calls);
        assert_eq!(world.came(&before), whole, "killed after {calls} calls");
    }
    world.expect(0, &APPLY);
    assert_eq!(world.came(&before), whole);
    world.is_settled();
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed after imports that were killed");
}

/// One resource, by its id.
#[test]
fn a_resource_is_taken_over_by_its_id() {
    let Some(world) = World::new(Config::quick()) else { return };
    let before = world.snapshot();
    let network = world.server.ec2("CreateVpc", &[("CidrBlock", "10.77.0.0/16")]).unwrap().texts("vpcId").remove(0);
    let spec = |range: &str, id: &str| {
        format!(
            "provider \"aws\" {{}}\n\nresource \"aws_vpc\" \"main\" {{\n  cidr_block = \"{range}\"\n  tags = {{ team = \"data\" }}\n}}\n\n\
             import {{\n  to = aws_vpc.main\n  id = \"{id}\"\n}}\n"
        )
    };
    world.stage.spec(&spec("10.77.0.0/16", "vpc-0123456789abcdef0"));
    world.stage.fails(1, &["plan"], &["import-nothing", "there is no `aws_vpc` with the id `vpc-0123456789abcdef0`", "main.hcl:10"]);
    world.stage.spec(&spec("10.78.0.0/16", &network));
    world.stage.fails(1, &["plan"], &["import-replaces", "`cidr_block` is \"10.77.0.0/16\", and the spec says \"10.78.0.0/16\""]);
    world.stage.spec(&spec("10.77.0.0/16", &network));
    assert_eq!(planned(&world), BTreeMap::from([("aws_vpc.main".to_owned(), "import, update".to_owned())]));
    world.expect(0, &APPLY);
    assert_eq!(world.id("aws_vpc.main"), network);
    world.is_settled();
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

/// A cluster is found by its name in its workspace, and what nobody knows of it is said.
#[test]
fn a_cluster_that_cannot_be_spoken_to_is_refused() {
    let Some(world) = World::new(Config::quick()) else { return };
    let image = world.server.ec2("DescribeImages", &[]).unwrap().texts("imageId").remove(0);
    let launch = |tags: &[(&str, &str)]| {
        let mut parameters =
            vec![("ImageId".to_owned(), image.clone()), ("TagSpecification.1.ResourceType".to_owned(), "instance".to_owned())];
        parameters.extend(["MinCount", "MaxCount"].map(|name| (name.to_owned(), "1".to_owned())));
        for (number, (key, value)) in tags.iter().enumerate() {
            let tag = format!("TagSpecification.1.Tag.{}", number + 1);
            parameters.extend([(format!("{tag}.Key"), (*key).to_owned()), (format!("{tag}.Value"), (*value).to_owned())]);
        }
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        world.server.ec2("RunInstances", &parameters).unwrap().texts("instanceId").remove(0)
    };
    let spec = |more: &str| {
        world.stage.spec(&format!(
            "provider \"aws\" {{}}\n\nworkspace \"w\" {{}}\n\ncluster \"etl\" {{\n  workspace = workspace.w\n  name = \"c\"\n  head {{\n    image = \"{image}\"\n  \
             }}\n}}\n\nimport {{\n  to = cluster.etl\n  id = \"c\"\n{more}}}\n"
        ));
    };
    spec("");
    world.stage.fails(1, &["plan"], &["import-nothing", "no head of a cluster `w/c`", "main.hcl:15"]);
    let theirs = launch(&[("cloudtik-cluster-name", "c"), ("cloudtik-node-kind", "head")]);
    world.stage.fails(1, &["plan"], &["import-predecessor", &theirs, "`cloudtik stop`"]);
    let head = [("cloudtik:cluster", "former/w/c"), ("cloudtik:role", "head"), ("cloudtik-cluster-name", "c")];
    let ours = launch(&head);
    launch(&[("cloudtik:cluster", "former/v/c"), ("cloudtik:role", "head")]);
    world.stage.fails(1, &["plan"], &["import-keys", "nobody knows the host key of the head of `cluster.etl`", &ours]);
    spec("  host_key = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\"\n");
    world.stage.fails(
        1,
        &["plan"],
        &["import-keys", "no key is here that logs in to the head of `cluster.etl`", "cluster.etl.ed25519.pub"],
    );
    launch(&head);
    world.stage.fails(1, &["plan"], &["several-found", "2 heads are of a cluster `w/c`", &ours]);
}

/// At the server itself: what the proxy adds is how AWS behaves, and this is about names.
fn predecessor(world: &World) -> Option<Predecessor> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    Predecessor::new_or_say(folder, &world.stage.root().join("predecessor"), &world.server_url())
}

/// The predecessor counts what it finds by name, and says that ours is whole.
#[test]
fn the_predecessor_recognises_our_workspace() {
    let Some(world) = World::new(Config::quick()) else { return };
    let Some(predecessor) = predecessor(&world) else { return };
    Mode::PublicHead.prepare(&world);
    assert_eq!(predecessor.status("w").unwrap(), "NOT EXIST");
    world.expect(0, &APPLY);
    assert_eq!(predecessor.status("w").unwrap(), "COMPLETED");
    world.expect(0, &DESTROY);
    assert_eq!(predecessor.status("w").unwrap(), "NOT EXIST");
}

/// A workspace of the predecessor is taken over as it is; what it has not is added, and nothing is made anew.
#[test]
fn a_workspace_of_the_predecessor_is_taken_over() {
    let Some(world) = World::new(Config::quick()) else { return };
    let Some(predecessor) = predecessor(&world) else { return };
    let before = world.snapshot();
    predecessor.workspace("create", &["-y"], "w").unwrap();
    assert_eq!(predecessor.status("w").unwrap(), "COMPLETED");
    world.stage.spec(
        "provider \"aws\" {}\n\nimport {\n  to = workspace.w\n  id = \"w\"\n}\n\nworkspace \"w\" {\n  firewall {\n    ssh_from = \
         [\"203.0.113.0/24\"]\n  }\n  storage \"default\" {\n    on_destroy = \"delete\"\n  }\n}\n",
    );
    let plan = planned(&world);
    let of = |word: &str| plan.iter().filter(|(_, is)| *is == word).map(|(address, _)| address.as_str()).collect::<Vec<_>>();
    assert_eq!(of("create"), ADDED, "{plan:?}");
    assert_eq!(plan.len(), of("create").len() + of("import").len() + of("import, update").len(), "{plan:?}");
    let (shown, _) = world.expect(0, &["plan"]);
    for left in ["tcp 22 in from 10.0.0.0/16", "tcp 22 in from 203.0.113.0/24", "arn:aws:iam::aws:policy/IAMFullAccess"] {
        assert!(shown.text().contains(left), "what stays is said: {left}: {}", shown.text());
    }
    world.expect(0, &APPLY);
    world.is_settled();
    assert_eq!(predecessor.status("w").unwrap(), "COMPLETED");
    world.expect(0, &DESTROY);
    world.is_as(&before, "the workspace of the predecessor was destroyed");
}

/// What the predecessor does not make: the firewall of heads, the other public subnet, rights of the least that is needed, the record.
const ADDED: [&str; 8] = [
    "workspace.w.egress_rule.head[\"all\"]",
    "workspace.w.firewall.head",
    "workspace.w.iam_role_policy.head",
    "workspace.w.iam_role_policy.workers",
    "workspace.w.ingress_rule.head[\"ssh:203.0.113.0/24\"]",
    "workspace.w.record",
    "workspace.w.route_table_association.public[1]",
    "workspace.w.subnet.public[1]",
];
