//! What a plan for AWS says before anything is made: what it will take, and what would not go well.

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

use aws::specs::{self, Mode};
use aws::{APPLY, BESIDE, DESTROY, REGION, World, table, written};
use cloudtik_aws_testing::{Config, Effect, Fault, InstanceMetadata, Request};
use serde_json::Value as Json;

/// By how much the number of calls that a plan tells may be wrong.
const PERCENT_OFF_MAX: u64 = 15;

/// The calls that check the first plan of a workspace in the mode `public-head` with a machine: six names, four dry runs, three for type and
/// image of the machine, and nine for what there may be of everything.
const CHECK_CALLS_MAX: usize = 22;

/// The quota of processors of usual machines.
const PROCESSORS: &str = "L-1216C47A";

/// Nothing takes its time here, so that the calls that only wait are left out.
#[test]
fn a_plan_says_how_many_calls_it_takes() {
    let Some(world) = World::new(Config::strict()) else { return };
    Mode::PublicHead.prepare(&world);
    let (ran, _) = world.expect(0, &["plan"]);
    let last = ran.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("This takes about ") && last.contains(" calls and 2 min"), "{last}");
    let told = told(&world, &["plan", "--json", "--out", "made.plan"]);
    assert_near(told, &world.expect(0, &["apply", "made.plan"]).1, "create");
    let (ran, _) = world.expect(0, &["plan"]);
    assert!(!ran.stdout.contains("This takes"), "{}", ran.stdout);
    let looked = world.is_settled().len();
    let told = self::told(&world, &["plan", "--destroy", "--json"]);
    let (_, calls) = world.expect(0, &DESTROY);
    // What a plan asks comes before what it does.
    assert_near(told, calls.get(looked..).unwrap_or_default(), "destroy");
}

/// Machines of one block are one launch.
#[test]
fn a_plan_says_how_many_calls_many_machines_take() {
    let Some(world) = World::new(Config::strict()) else { return };
    Mode::PublicHead.prepare_with(&world, "native", 40);
    let told = told(&world, &["plan", "--json", "--out", "made.plan"]);
    assert_near(told, &world.expect(0, &["apply", "made.plan"]).1, "many machines");
}

/// The calls that a plan tells, without those that wait.
fn told(world: &World, arguments: &[&str]) -> u64 {
    let (ran, _) = world.expect(0, arguments);
    let plan: Json = serde_json::from_str(&ran.stdout).unwrap();
    let expected = &plan["cloudtik"]["expected"];
    expected["calls"].as_u64().unwrap() - expected["waiting_calls"].as_u64().unwrap()
}

#[track_caller]
fn assert_near(told: u64, made: &[Request], what: &str) {
    let count = made.len() as u64;
    println!("{what}: {told} calls were told, {count} were made");
    assert!(told.abs_diff(count) * 100 <= count * PERCENT_OFF_MAX, "{what}: {told} calls were told\n{}", table("made", made));
}

/// Each thing that would not go well, at the line that it is about; nothing is made.
#[test]
fn what_would_not_go_well_is_said_before_anything_is_made() {
    let Some(world) = World::new(Config::strict()) else { return };
    Mode::PublicHead.prepare(&world);
    let trust = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let role = [("RoleName", "cloudtik-w-head-role"), ("AssumeRolePolicyDocument", trust)];
    world.server.query("iam", "CreateRole", &role).unwrap();
    let place = "<CreateBucketConfiguration><LocationConstraint>us-west-2</LocationConstraint></CreateBucketConfiguration>";
    assert_eq!(world.server.store("PUT", "/cloudtik-w-us-west-2-default", place).unwrap().status, 200);
    for _ in 0..5 {
        world.server.ec2("AllocateAddress", &[("Domain", "vpc")]).unwrap();
    }
    let spec = world.stage.project().join("main.hcl");
    let text = std::fs::read_to_string(&spec).unwrap().replace("m5.large", "m9.nothing");
    world.stage.spec(&text);
    refuses(&world, "ec2:CreateVpc");
    let before = world.snapshot();
    let all = [
        "the name `cloudtik-w-head-role` of `workspace.w.iam_role.head` is taken: it was not made by cloudtik",
        "the name `cloudtik-w-us-west-2-default` of `workspace.w.storage.default` is taken",
        "the account may have 5 public addresses in region us-west-2; it has 5, and 1 would come",
        "there are no machines of type `m9.nothing` in region us-west-2",
        "the credentials have no right to `ec2:CreateVpc`, which `workspace.w.network` needs",
        "main.hcl:17",
    ];
    for command in [&["plan"][..], &APPLY] {
        let (ran, _) = world.expect(1, command);
        let said = unwrapped(&ran.stderr);
        let missing: Vec<_> = all.iter().filter(|text| !said.contains(**text)).collect();
        assert!(missing.is_empty(), "{command:?}: no {missing:?} in {}", ran.stderr);
        assert!(said.find(all[0]) < said.find(all[3]), "not in the order of the source: {}", ran.stderr);
    }
    world.is_as(&before, "a plan was refused");
    world.expect(0, &["plan", "--offline"]);
    let (ran, _) = world.expect(0, &["plan", "--checks=false"]);
    assert!(ran.stdout.contains("This takes"), "{}", ran.text());
}

/// Questions without an answer are notes. A plan that makes nothing asks none, and one without trouble says nothing.
#[test]
fn a_check_that_nobody_answers_is_a_note() {
    let Some(world) = World::new(Config::strict()) else { return };
    Mode::PublicHead.prepare(&world);
    let (ran, calls) = world.expect(0, &["plan"]);
    println!("{}", table("plan", &calls));
    let (_, unchecked) = world.expect(0, &["plan", "--checks=false"]);
    let checks = calls.len() - unchecked.len();
    assert!(checks <= CHECK_CALLS_MAX, "{checks} calls to check\n{}", table("plan", &calls));
    assert_eq!(written(&calls), Vec::<String>::new(), "a plan made something");
    assert!(ran.stderr.is_empty() && !ran.stdout.contains("not checked"), "{}", ran.text());
    let effect = refusal("UnauthorizedOperation", "You are not authorized to perform this operation.");
    for (what, action) in
        [("types of machines", "ec2:DescribeInstanceTypeOfferings"), ("quotas of processors", "servicequotas:GetServiceQuota")]
    {
        world.proxy.configure(|config| config.faults = vec![fault(action, effect.clone())]);
        let (ran, _) = world.expect(0, &["plan"]);
        let note = format!("aws: not checked: {what}: {action}: UnauthorizedOperation");
        assert!(unwrapped(&ran.stdout).contains(&note), "{}", ran.text());
    }
}

/// What the account may have, what it has, and what would come.
#[test]
fn what_an_account_may_not_have_is_said_before_anything_is_made() {
    let Some(world) = World::new(Config::strict()) else { return };
    Mode::PublicHead.prepare_with(&world, "native", 5);
    // One network is there from the beginning.
    for number in 1..5 {
        world.server.ec2("CreateVpc", &[("CidrBlock", &format!("10.{number}.0.0/16"))]).unwrap();
    }
    for _ in 0..5 {
        world.server.ec2("CreateInternetGateway", &[]).unwrap();
    }
    let sources: Vec<String> = (0..70).map(|number| format!("\"203.0.{number}.0/24\"")).collect();
    world.change("\"203.0.113.0/24\"", &sources.join(", "));
    world.proxy.configure(|config| config.quotas = [(PROCESSORS.to_owned(), 8)].into());
    let (ran, calls) = world.expect(1, &["plan"]);
    assert_eq!(written(&calls), Vec::<String>::new(), "a plan made something");
    let said = unwrapped(&ran.stderr);
    for part in [
        "the account may have 5 networks in region us-west-2; it has 5, and 1 would come",
        "--service-code vpc --quota-code L-F678F1CE --desired-value 6",
        "the account may have 5 internet gateways in region us-west-2; it has 5, and 1 would come",
        "the account may have 60 rules of one direction in one firewall; it has 0, and 7",
        "the account may have 8 processors of machines in region us-west-2 (standard families); it has 0, and 10 would come",
        "main.hcl:18:28",
    ] {
        assert!(said.contains(part), "no {part} in {}", ran.stderr);
    }
    let more = [(PROCESSORS, 10), ("L-F678F1CE", 6), ("L-A4707A72", 6), ("L-0EA8095F", 100)];
    world.proxy.configure(|config| config.quotas = more.map(|(code, limit)| (code.to_owned(), limit)).into());
    world.expect(0, &["plan"]);
}

/// Of a cluster: types that nobody has, images for other processors, more workers than may run.
#[test]
fn workers_that_could_not_be_are_said_before_anything_is_made() {
    let Some(world) = World::new(Config::strict()) else { return };
    Mode::PublicHead.prepare(&world);
    let spec = world.stage.project().join("main.hcl");
    let text = std::fs::read_to_string(&spec).unwrap();
    let image = text.split("ami                    = \"").nth(1).unwrap().split('"').next().unwrap();
    let cluster = format!(
        r#"
cluster "c" {{
  workspace = workspace.w
  head {{
    instance_type = "m6g.large"
    image         = "{image}"
  }}
  workers "some" {{
    min            = 2
    max            = 20
    instance_types = ["m5.large", "m9.nothing"]
    image          = "{image}"
  }}
}}
"#
    );
    world.stage.spec(&format!("{text}{cluster}"));
    world.proxy.configure(|config| config.quotas = [(PROCESSORS.to_owned(), 8)].into());
    let (ran, _) = world.expect(1, &["plan"]);
    let said = unwrapped(&ran.stderr);
    for part in [
        "is for processors of the architecture x86_64, and machines of type `m6g.large` have arm64",
        "main.hcl:25:21",
        "there are no machines of type `m9.nothing` in region us-west-2",
        "main.hcl:31:22",
    ] {
        assert!(said.contains(part), "no {part} in {}", ran.stderr);
    }
    world.change(", \"m9.nothing\"", "");
    world.change("m6g.large", "m5.large");
    let (ran, _) = world.expect(0, &["plan"]);
    let said = unwrapped(&ran.stderr);
    assert!(said.contains("warning[quota]") && said.contains("and 44 would come") && said.contains("main.hcl:30:22"), "{}", ran.text());
    world.change("min            = 2", "min            = 3");
    let (ran, _) = world.expect(1, &["plan"]);
    let said = unwrapped(&ran.stderr);
    assert!(said.contains("error[quota]") && said.contains("and 10 would come") && said.contains("main.hcl:29:22"), "{}", ran.text());
}

/// Steps reach a head over SSH. Where nobody is let in, or not whoever applies, nothing is begun.
#[test]
fn a_head_that_cannot_be_reached_is_said_before_anything_is_made() {
    let Some(mut world) = World::new(Config::strict()) else { return };
    let ssh_from = |range: &str| format!("    ssh_from = [\"{range}\"]\n");
    let before = world.snapshot();
    world.stage.spec(&specs::with_head(&world, "", ""));
    let said = refused(&world, &APPLY);
    assert!(said.contains("nobody is let in at SSH of `cluster.c.head`") && said.contains("ssh_from = [\"YOUR ADDRESS/32\"]"), "{said}");

    // An instance knows which address the world sees.
    let _here = stands(&mut world, "vpc-1", "10.9.0.7", Some("203.0.113.9"));
    let said = refused(&world, &APPLY);
    assert!(said.contains("ssh_from = [\"203.0.113.9/32\"]"), "{said}");
    world.stage.spec(&specs::with_head(&world, "", &ssh_from("198.51.100.0/24")));
    let said = refused(&world, &APPLY);
    for part in ["203.0.113.9 is not let in at SSH", "let in is 198.51.100.0/24", "main.hcl:7:16", "add \"203.0.113.9/32\" to `ssh_from`"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    world.is_as(&before, "refused");
    world.stage.spec(&specs::with_head(&world, "", &ssh_from("203.0.113.0/24")));
    assert_eq!(world.expect(0, &["plan"]).0.stderr, "");
}

/// A head with a private address only is reached from the network that it stands in, or that is peered with it.
#[test]
fn a_private_head_is_reached_from_its_network() {
    let Some(mut world) = World::new(Config::strict()) else { return };
    let network = specs::client_network(&world.server);
    for mode in ["shared", "peered"] {
        let place = format!("    mode       = \"{mode}\"\n    client_vpc = \"{network}\"\n");
        world.stage.spec(&specs::with_head(&world, &place, ""));
        world.stage.set("AWS_EC2_METADATA_DISABLED", "true");
        let said = unwrapped(&world.expect(0, &["plan"]).0.stderr);
        assert!(said.contains("head-unreachable") && said.contains("`cluster.c.head`"), "{mode}: another machine: {said}");
        let here = stands(&mut world, &network, "172.20.0.7", None);
        assert_eq!(world.expect(0, &["plan"]).0.stderr, "", "{mode}");
        drop(here);
        let here = stands(&mut world, "vpc-1", "192.0.2.7", None);
        let said = refused(&world, &["plan"]);
        assert!(said.contains("192.0.2.7 is not let in at SSH"), "{mode}: {said}");
        world.stage.spec(&specs::with_head(&world, &place, "    ssh_from = [\"192.0.2.0/24\"]\n"));
        let said = unwrapped(&world.expect(0, &["plan"]).0.stderr);
        assert!(said.contains("has a private address only, and this machine is in vpc-1"), "{mode}: {said}");
        assert!(said.contains(&format!("apply from an instance in {network}")), "{mode}: {said}");
        drop(here);
    }
}

/// What firewalls of other projects let in is asked of AWS.
#[test]
fn a_head_in_the_workspace_of_another_project_is_reached_as_that_says() {
    let Some(mut world) = World::new(Config::strict()) else { return };
    Mode::PublicHead.prepare(&world);
    world.expect(0, &APPLY);
    let folder = world.stage.project().join(BESIDE);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("main.hcl"), specs::tenant(&world)).unwrap();
    let here = stands(&mut world, "vpc-1", "10.9.0.7", Some("198.51.100.9"));
    let ran = world.beside(&["plan"]);
    let said = unwrapped(&ran.stderr);
    assert!(ran.code() == Some(1) && said.contains("198.51.100.9 is not let in at SSH"), "{}", ran.text());
    // The cluster itself may let somebody in.
    let with = |range: &str| {
        std::fs::write(folder.join("main.hcl"), specs::tenant_with_firewall(&world, &format!("    ssh_from = [\"{range}\"]\n"))).unwrap();
        world.beside(&["plan"])
    };
    let ran = with("198.51.100.0/24");
    assert_eq!((ran.code(), ran.stderr.as_str()), (Some(0), ""), "{}", ran.text());
    let ran = with("192.0.2.0/24");
    let said = unwrapped(&ran.stderr);
    assert!(ran.code() == Some(1) && said.contains("let in is 192.0.2.0/24, 203.0.113.0/24"), "{}", ran.text());
    std::fs::write(folder.join("main.hcl"), specs::tenant(&world)).unwrap();
    drop(here);
    let _here = stands(&mut world, "vpc-1", "10.9.0.7", Some("203.0.113.9"));
    let ran = world.beside(&["plan"]);
    assert_eq!((ran.code(), ran.stderr.as_str()), (Some(0), ""), "{}", ran.text());
    world.expect(0, &DESTROY);
}

/// Makes of this machine an instance.
fn stands(world: &mut World, network: &str, private: &str, public: Option<&str>) -> InstanceMetadata {
    let public = public.map(|address| address.parse().unwrap());
    let metadata = InstanceMetadata::start(REGION, network, private.parse().unwrap(), public).unwrap();
    world.stage.set("AWS_EC2_METADATA_DISABLED", "false");
    world.stage.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url());
    metadata
}

/// What a command says that begins nothing.
#[track_caller]
fn refused(world: &World, command: &[&str]) -> String {
    let (ran, calls) = world.expect(1, command);
    assert_eq!(written(&calls), Vec::<String>::new(), "{}", ran.text());
    unwrapped(&ran.stderr)
}

/// Address, source line, action, code and request.
#[test]
fn an_error_says_where_and_what() {
    let Some(world) = World::new(Config::strict()) else { return };
    Mode::PublicHead.prepare(&world);
    let effect = refusal("SubnetLimitExceeded", "The maximum number of subnets has been reached.");
    world.proxy.configure(|config| config.faults = vec![fault("ec2:CreateSubnet", effect)]);
    let (ran, _) = world.expect(3, &APPLY);
    let said = unwrapped(&ran.stderr);
    for part in ["workspace.w.subnet.private[0]", "main.hcl:4:3", "ec2:CreateSubnet", "SubnetLimitExceeded", "request as proxy"] {
        assert!(said.contains(part), "no {part} in {}", ran.stderr);
    }
    world.proxy.configure(|config| config.faults.clear());
    world.expect(0, &DESTROY);
}

fn fault(action: &str, effect: Effect) -> Fault {
    Fault { action: action.to_owned(), nth: None, probability: None, writes_only: false, parameters: BTreeMap::new(), effect }
}

fn refusal(code: &str, message: &str) -> Effect {
    Effect::Refuse { status: 403, code: code.to_owned(), message: message.to_owned() }
}

fn refuses(world: &World, action: &str) {
    let effect = refusal("UnauthorizedOperation", "You are not authorized to perform this operation.");
    world.proxy.configure(|config| config.faults = vec![fault(action, effect)]);
}

/// What people read, without the breaks and the marks of its lines.
fn unwrapped(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !["│", "|"].contains(word));
    words.collect::<Vec<_>>().join(" ")
}

/// What a node must have instead of a type: the cheapest is found out, for the processor of the image.
#[test]
fn a_type_of_machine_is_chosen_by_what_it_must_have() {
    let Some(world) = World::new(Config::strict()) else { return };
    let image = |architecture: &str| {
        let filter = [("Filter.1.Name", "architecture"), ("Filter.1.Value.1", architecture)];
        world.server.ec2("DescribeImages", &filter).unwrap().texts("imageId").remove(0)
    };
    let (intel, arm) = (image("x86_64"), image("arm64"));
    world.stage.spec(&format!(
        r#"provider "aws" {{}}

workspace "w" {{
  firewall {{
    ssh_from = ["203.0.113.0/24"]
  }}
}}

cluster "c" {{
  workspace = workspace.w
  head {{
    cpus       = 4
    memory_gib = 16
    image      = "{intel}"
  }}
  workers "gpu" {{
    gpus     = 1
    gpu_type = "t4"
    image    = "{intel}"
  }}
  workers "arm" {{
    memory_gib = 30
    image      = "{arm}"
  }}
}}
"#
    ));
    let (ran, calls) = world.expect(0, &["plan", "--checks=false", "--verbose"]);
    for name in ["m5a.xlarge", "g4dn.xlarge", "x2gd.large"] {
        assert!(ran.stdout.contains(&format!("\"{name}\"")), "no {name} in {}", ran.stdout);
    }
    println!("{}", table("plan", &calls));
    world.change("gpus     = 1", "gpus     = 1000");
    let (ran, _) = world.expect(1, &["plan"]);
    let said = unwrapped(&ran.text());
    assert!(said.contains("no type of machine for x86_64 in region us-west-2 has gpus = 1000, gpu_type = t4"), "{}", ran.text());
    let (ran, _) = world.expect(0, &["plan", "--offline"]);
    assert!(ran.stdout.contains("machine_type"), "{}", ran.stdout);
}
