//! Workspaces that are one stack of CloudFormation, from end to end: what is made is what the native way makes, item by item; a plan says what
//! becomes of what is in the stack; a stack that fails says why; and it is as safe from kills, and as closed to tenants, as the native way.

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

use std::collections::{BTreeMap, BTreeSet};

use aws::alike::alike;
use aws::specs::{self, Mode};
use aws::{APPLY, BESIDE, DESTROY, World, written};
use cloudtik_aws_testing::{Account, Config};

const STACK: &str = "cloudformation";

/// What the way `deploy` makes of a mode with this between nodes and in its workspace, in a form that can be compared; the account is as it
/// was at the end.
fn made(mode: Mode, deploy: &str, inside: &str, more: &str) -> Option<BTreeMap<String, usize>> {
    let world = World::new(Config::quick())?;
    mode.prepare_with(&world, deploy, 1);
    world.change("    ssh_from", &format!("    inside   = \"{inside}\"\n    ssh_from"));
    world.change("  storage \"default\" {\n", &format!("{more}  storage \"default\" {{\n"));
    let before = world.snapshot();
    world.expect(0, &APPLY);
    world.is_settled();
    let came: BTreeSet<String> = Account::difference(&before, &world.snapshot()).into_iter().collect();
    world.expect(0, &DESTROY);
    world.is_as(&before, &format!("{mode:?} was destroyed"));
    Some(alike(&came))
}

/// Holds that both ways make the same of a mode with this between nodes and in its workspace.
fn the_same(mode: Mode, inside: &str, more: &str) {
    let (Some(native), Some(stack)) = (made(mode, "native", inside, more), made(mode, STACK, inside, more)) else { return };
    let only = |one: &BTreeMap<String, usize>, other: &BTreeMap<String, usize>| {
        one.iter()
            .filter(|(line, count)| other.get(*line) != Some(count))
            .map(|(line, count)| format!("{count} {line}"))
            .collect::<Vec<_>>()
    };
    let (only_native, only_stack) = (only(&native, &stack), only(&stack, &native));
    assert!(native.len() > 20, "{native:#?}");
    assert!(only_native.is_empty() && only_stack.is_empty(), "{mode:?}: native {only_native:#?}\nstack {only_stack:#?}");
}

#[test]
fn a_public_workspace_is_the_same_as_a_stack() {
    the_same(Mode::PublicHead, "all", "");
}

#[test]
fn a_peered_workspace_is_the_same_as_a_stack() {
    the_same(Mode::Peered, "declared", "");
}

#[test]
fn a_workspace_in_a_shared_network_is_the_same_as_a_stack() {
    the_same(Mode::Shared, "all", "");
}

#[test]
fn a_workspace_with_a_database_is_the_same_as_a_stack() {
    let said = ["engine = \"postgres\"", "password = \"an0ther-password\"", "on_destroy = \"delete\"", "final_snapshot = false"];
    the_same(Mode::PublicHead, "all", &format!("  database \"catalog\" {{\n    {}\n  }}\n", said.join("\n    ")));
}

/// A stack with its instance, ready to be changed.
fn with_stack() -> Option<(World, BTreeSet<String>)> {
    let world = World::new(Config::quick())?;
    Mode::PublicHead.prepare_with(&world, STACK, 1);
    let before = world.snapshot();
    world.expect(0, &APPLY);
    Some((world, before))
}

#[test]
fn a_plan_says_what_becomes_of_what_is_in_a_stack() {
    let Some((world, before)) = with_stack() else { return };
    world.change("ssh_from = [\"203.0.113.0/24\"]", "ssh_from = [\"198.51.100.0/24\"]");
    let (ran, calls) = world.expect(0, &["plan"]);
    for said in
        ["`IngressRuleHeadSsh19851100024x", "(AWS::EC2::SecurityGroupIngress) is made", "(AWS::EC2::SecurityGroupIngress) is removed"]
    {
        assert!(ran.text().contains(said), "no {said} in {}", ran.text());
    }
    assert_eq!(written(&calls), ["cloudformation:CreateChangeSet", "cloudformation:DeleteChangeSet"], "nothing else may be left of a plan");
    let (_, calls) = world.expect(0, &APPLY);
    assert!(written(&calls).contains(&"cloudformation:ExecuteChangeSet".to_owned()), "{:?}", written(&calls));
    world.is_settled();
    // A third zone is another output, which what uses it sees at once.
    world.change("  network {\n", "  network {\n    zones = 3\n");
    world.change("private_subnet_ids[0]", "private_subnet_ids[2]");
    world.expect(0, &APPLY);
    world.is_settled();
    world.change(&format!("deploy = \"{STACK}\""), "deploy = \"native\"");
    world.stage.fails(1, &["plan"], &["fixed-attribute", "`deploy` of `workspace.w` changes from `cloudformation` to `native`"]);
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

#[test]
fn a_stack_that_fails_says_why() {
    let Some(world) = World::new(Config::quick()) else { return };
    Mode::PublicHead.prepare_with(&world, STACK, 1);
    let before = world.snapshot();
    // A name that somebody else has.
    let role = [("RoleName", "cloudtik-w-head-role"), ("AssumeRolePolicyDocument", "{\"Version\":\"2012-10-17\",\"Statement\":[]}")];
    world.server.query("iam", "CreateRole", &role).unwrap();
    let with_role = world.snapshot();
    let says = ["DELETE_COMPLETE", "`IamRoleHead` (AWS::IAM::Role)", "EntityAlreadyExists", "cloudtik apply"];
    world.stage.fails(1, &APPLY, &says);
    world.is_as(&with_role, "a create that failed leaves nothing");
    world.server.query("iam", "DeleteRole", &role[..1]).unwrap();
    world.expect(0, &APPLY);
    world.is_settled();

    // An update that fails is taken back, and says so: these rights are nowhere.
    let whole = inside(&world);
    let rights = "  identity {\n    head_policies = [\"arn:aws:iam::aws:policy/NoSuchPolicy\"]\n  }\n";
    world.change("  network {\n", &format!("{rights}  network {{\n"));
    world.stage.fails(1, &APPLY, &["UPDATE_ROLLBACK_COMPLETE", "`IamRoleHead` (AWS::IAM::Role)", "NoSuchPolicy", "put back"]);
    Mode::PublicHead.prepare_with(&world, STACK, 1);
    world.is_settled();
    assert_eq!(inside(&world), whole, "an update that failed changes nothing");

    // A network with something of somebody else in it stays, and with it the stack.
    let foreign = [("VpcId", network(&world)), ("CidrBlock", "10.0.240.0/24".to_owned())];
    let foreign = world.server.ec2("CreateSubnet", &foreign.each_ref().map(|(name, value)| (*name, &**value))).unwrap();
    let foreign = foreign.texts("subnetId").remove(0);
    world.stage.fails(3, &DESTROY, &["DELETE_FAILED", "`Network` (AWS::EC2::VPC)", "cloudtik destroy"]);
    let (ran, _) = world.expect(0, &["plan"]);
    assert!(ran.text().contains("DELETE_FAILED"), "a stack that is stuck is not hidden: {}", ran.text());
    world.server.ec2("DeleteSubnet", &[("SubnetId", &foreign)]).unwrap();
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

/// The network of the workspace.
fn network(world: &World) -> String {
    let of = [("Filter.1.Name", "tag:Name"), ("Filter.1.Value.1", "cloudtik-w-vpc")];
    world.server.ec2("DescribeVpcs", &of).unwrap().texts("vpcId").remove(0)
}

const STORE: &str = "workspace.w.storage.default";

/// What `destroy` keeps stays alone in the stack, and the next apply goes on from there.
#[test]
fn a_store_that_is_kept_is_taken_up_again_and_goes_when_it_is_given_up() {
    let Some(world) = World::new(Config::quick()) else { return };
    Mode::PublicHead.prepare_with(&world, STACK, 1);
    world.change("on_destroy = \"delete\"", "on_destroy = \"keep\"");
    let before = world.snapshot();
    world.expect(0, &APPLY);
    let mut whole = world.came(&before);
    for content in ["one", "two"] {
        assert_eq!(world.client.store("PUT", "/cloudtik-w-us-west-2-default/object", content).unwrap().status, 200);
    }
    whole.insert("object".to_owned(), 1);
    let (ran, _) = world.expect(0, &["destroy", "--auto-approve"]);
    let says = [
        "workspace.w.storage.default says `on_destroy = \"keep\"`: it stays with what it stands on, alone in workspace.w.stack",
        "`destroy --delete-data 'workspace.w.storage.default'` removes it",
        "`Network` (AWS::EC2::VPC) is removed",
    ];
    says.iter().for_each(|says| assert!(ran.text().contains(says), "no `{says}` in {}", ran.text()));
    let left: BTreeSet<String> = world.came(&before).into_keys().collect();
    assert_eq!(left, ["bucket", "object", "stack"].map(str::to_owned).into());
    let (ran, calls) = world.expect(0, &["destroy", "--auto-approve"]);
    assert!(ran.text().contains("There is nothing to destroy"), "{}", ran.text());
    assert_eq!(written(&calls), Vec::<String>::new());
    world.expect(0, &APPLY);
    assert_eq!(world.came(&before), whole);
    world.is_settled();

    gives_up_nothing_unknowingly(&world, &before);
    world.expect(0, &APPLY);
    assert_eq!(world.came(&before), whole);

    // Out of the spec it stays where it is, beside all the rest.
    let spec = std::fs::read_to_string(world.stage.project().join("main.hcl")).unwrap();
    world.change("  storage \"default\" {\n    on_destroy = \"keep\"\n  }\n", "");
    world.expect(0, &APPLY);
    assert_eq!(world.came(&before).get("object"), Some(&1));
    world.is_settled();
    world.stage.spec(&spec);
    world.stage.fails(1, &["destroy", "--auto-approve", "--delete-data", "workspace.w.storage.defaul"], &["unknown-address", STORE]);

    // A store of another name would be another one.
    world.change("on_destroy = \"keep\"", "on_destroy = \"keep\"\n    name = \"another-name\"");
    let says = ["kept-data", "`workspace.w.storage.default` is kept, but this plan would make it anew in `workspace.w.stack`"];
    world.stage.fails(1, &["plan"], &says);
    world.stage.spec(&spec);

    let (ran, _) = world.expect(0, &["destroy", "--auto-approve", "--delete-data", STORE]);
    assert!(ran.text().contains("workspace.w.storage.default in workspace.w.stack was given up"), "{}", ran.text());
    world.is_as(&before, "the store was given up");
}

/// A state that is older than the stack gives up nothing that came into it since, also where nobody looks; and what must not be destroyed is
/// given up by nobody.
fn gives_up_nothing_unknowingly(world: &World, before: &BTreeSet<String>) {
    // Each has as many lines as there are things to say of it.
    let buckets = || world.came(before).get("bucket").copied().unwrap_or_default();
    let spec = std::fs::read_to_string(world.stage.project().join("main.hcl")).unwrap();
    let (old, one) = (tempfile::tempdir().unwrap(), buckets());
    support::copy_folder(&world.stage.data(), old.path());
    let later = "  storage \"later\" {\n    lifecycle {\n      prevent_destroy = true\n    }\n  }\n";
    world.change("  storage \"default\" {\n", &format!("{later}  storage \"default\" {{\n"));
    world.expect(0, &APPLY);
    assert_eq!(buckets(), 2 * one);
    let give_up = ["destroy", "--auto-approve", "--delete-data", "workspace.w.storage.later"];
    world.stage.fails(1, &give_up, &["prevent-destroy", "`workspace.w.storage.later` must not be destroyed", "its data is given up"]);

    world.stage.spec(&spec);
    std::fs::remove_dir_all(world.stage.data()).unwrap();
    support::copy_folder(old.path(), &world.stage.data());
    let (ran, _) = world.expect(0, &["destroy", "--auto-approve", "--refresh=false"]);
    assert!(ran.text().contains("workspace.w.storage.later says `on_destroy = \"keep\"`"), "{}", ran.text());
    assert_eq!(buckets(), 2 * one);
    world.expect(0, &give_up);
    assert_eq!(buckets(), one);
}

#[test]
fn kills_do_no_harm() {
    let Some(world) = World::new(Config::quick()) else { return };
    Mode::PublicHead.prepare_with(&world, STACK, 1);
    let before = world.snapshot();
    let (_, calls) = world.expect(0, &APPLY);
    let (whole, creates) = (world.came(&before), written(&calls).len() as u64);
    let (_, calls) = world.expect(0, &DESTROY);
    let removes = written(&calls).len() as u64;
    world.is_as(&before, "destroyed");
    for at in 1..=creates {
        world.killed_after(&APPLY, at);
        world.expect(0, &APPLY);
        assert_eq!(world.came(&before), whole, "kill of an apply at {at} of {creates}");
        world.is_settled();
        world.killed_after(&DESTROY, 1 + at % removes);
        world.expect(0, &DESTROY);
        world.is_as(&before, &format!("kill of a destroy at {}", 1 + at % removes));
    }
}

/// The guard for clusters of other projects sees through the stack: into what its update makes anew, and into its end. They know from its record
/// what is open between nodes.
#[test]
fn clusters_of_other_projects_keep_a_stack() {
    let Some((world, before)) = with_stack() else { return };
    world.change("    ssh_from", "    inside   = \"declared\"\n    ssh_from");
    world.expect(0, &APPLY);
    world.is_settled();
    let folder = world.stage.project().join(BESIDE);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("main.hcl"), specs::tenant(&world)).unwrap();
    let ran = world.beside(&APPLY);
    assert_eq!(ran.code(), Some(3), "the head is made, and nobody answers there: {}", ran.text());
    let groups = ["cloudtik-w", "cloudtik-w.etl", "cloudtik-w.etl/head", "cloudtik-w/head"];
    assert_eq!(world.groups_of(&world.id_beside("cluster.etl.head")), groups.map(str::to_owned).into());
    world.stage.fails(1, &DESTROY, &["workspace-in-use", "`workspace.w` would be destroyed", "etl"]);
    world.change("  network {\n", "  network {\n    cidr = \"10.77.0.0/16\"\n");
    world.stage.fails(1, &["plan"], &["workspace-in-use", "has parts that would be made anew", "etl"]);
    assert_eq!(world.beside(&DESTROY).code(), Some(0));
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

/// Everything in the account but for the stack itself, which remembers what was tried.
fn inside(world: &World) -> BTreeSet<String> {
    world.snapshot().into_iter().filter(|item| !item.starts_with("us-west-2 stack ")).collect()
}
