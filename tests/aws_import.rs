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
use aws::{APPLY, DESTROY, World};
use cloudtik_aws_testing::{Config, Predecessor};
use serde_json::Value as Json;

/// What a plan does: by address `create`, `import`, `import, update`, and whatever else it should not do.
fn planned(world: &World) -> BTreeMap<String, String> {
    let (ran, _) = world.expect(0, &["plan", "--json"]);
    let json: Json = serde_json::from_str(&ran.stdout).unwrap();
    let word = |change: &Json| {
        let action = change["change"]["actions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap()).collect::<Vec<_>>();
        match (change["change"]["importing"].is_null(), action.join(" and ").as_str()) {
            (true, action) => action.to_owned(),
            (false, "no-op") => "import".to_owned(),
            (false, action) => format!("import, {action}"),
        }
    };
    let changes = json["resource_changes"].as_array().unwrap().iter();
    changes.map(|change| (change["address"].as_str().unwrap().to_owned(), word(change))).filter(|(_, word)| word != "no-op").collect()
}

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
