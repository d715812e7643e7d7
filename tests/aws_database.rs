//! Databases of workspaces on AWS, from end to end, against a server that behaves as AWS does: one is made behind a firewall of its own, its
//! password is in no file, it is kept with all that it stands on, is taken up again as it was, and goes when it is given up.

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

use aws::{APPLY, BESIDE, DESTROY, ELSEWHERE, REGION, World, written};
use cloudtik_aws_testing::{Account, Config, Effect, Fault};
use serde_json::json;
use support::random::Random;

/// Rounds of a kill of an apply and one of a destroy, where nobody says another number.
const KILLS: u64 = 3;

const KEEP: [&str; 2] = ["destroy", "--auto-approve"];
const DATABASE: &str = "workspace.w.database.catalog";
const PASSWORD: &str = "/cloudtik/w/database/catalog/password";

/// A workspace with a database, of which this is said, and with an object store.
fn spec(database: &str) -> String {
    format!(
        r#"provider "aws" {{}}

workspace "w" {{
  storage "default" {{}}
  database "catalog" {{
    engine = "postgres"
{database}
  }}
}}
"#
    )
}

fn world(database: &str) -> Option<World> {
    let world = World::new(Config::quick())?;
    world.stage.spec(&spec(database));
    Some(world)
}

/// What RDS says of the database.
fn said(world: &World, name: &str) -> String {
    let found = world.server.query("rds", "DescribeDBInstances", &[("DBInstanceIdentifier", "cloudtik-w-db-catalog")]).unwrap();
    found.find(name).map(|element| element.text.clone()).unwrap_or_default()
}

fn password(world: &World) -> String {
    let asked = json!({ "Name": PASSWORD, "WithDecryption": true });
    let found = world.server.json("ssm", "AmazonSSM.GetParameter", &asked).unwrap();
    found["Parameter"]["Value"].as_str().unwrap().to_owned()
}

/// The files below a folder that hold a text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(text) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_database_comes_is_kept_is_taken_up_again_and_goes() {
    let Some(world) = world("") else { return };
    let before = world.snapshot();
    world.expect(0, &["plan", "--out", "saved.plan"]);
    world.expect(0, &["apply", "saved.plan"]);
    world.is_settled();
    for (name, value) in [
        ("PubliclyAccessible", "false"),
        ("StorageEncrypted", "true"),
        ("DeletionProtection", "true"),
        ("EngineVersion", "17"),
        ("DBInstanceClass", "db.t3.xlarge"),
        ("AllocatedStorage", "50"),
        ("MasterUsername", "cloudtik"),
    ] {
        assert_eq!(said(&world, name), value, "{name}");
    }
    let password_of_before = password(&world);
    assert_eq!(password_of_before.len(), 32, "{password_of_before}");
    assert_eq!(files_with(&world.stage.project(), &password_of_before), Vec::<String>::new(), "the password is on disk in plain");
    let whole = world.came(&before);

    // It is kept, and so is what it stands on: nothing less, and nothing else.
    let store = format!("/{}/object", world.id("workspace.w.storage.default"));
    assert_eq!(world.client.store("PUT", &store, "content").unwrap().status, 200);
    let (ran, _) = world.expect(0, &KEEP);
    let says = [
        "workspace.w.database.catalog says `on_destroy = \"keep\"`",
        "`destroy --delete-data 'workspace.w.database.catalog'` removes it",
        "what it stands on stays with it: workspace.w.database_firewall.catalog, workspace.w.database_password.catalog, \
         workspace.w.db_subnet_group, workspace.w.network, workspace.w.subnet.private[0], workspace.w.subnet.private[1]",
    ];
    says.iter().for_each(|says| assert!(ran.text().contains(says), "no `{says}` in {}", ran.text()));
    let kept = world.came(&before);
    let sorts: Vec<(&str, i64)> = kept.iter().map(|(sort, count)| (sort.as_str(), *count)).collect();
    let is_kept = |sort: &str| sorts.iter().find(|(name, _)| *name == sort).map_or(0, |(_, count)| *count);
    assert_eq!((is_kept("database"), is_kept("database-subnets"), is_kept("subnet"), is_kept("parameter")), (1, 1, 2, 1), "{sorts:?}");
    assert_eq!((is_kept("nat-gateway"), is_kept("role"), is_kept("internet-gateway")), (0, 0, 0), "{sorts:?}");
    let (ran, calls) = world.expect(0, &KEEP);
    assert!(ran.text().contains("There is nothing to destroy"), "{}", ran.text());
    assert_eq!(written(&calls), Vec::<String>::new());

    // It is taken up again, as it was.
    let (_, calls) = world.expect(0, &APPLY);
    let touched: Vec<String> = written(&calls).into_iter().filter(|action| action.starts_with("rds:")).collect();
    assert_eq!(touched, Vec::<String>::new());
    world.is_settled();
    assert_eq!(
        (world.came(&before), password(&world)),
        (
            {
                let mut whole = whole;
                whole.insert("object".to_owned(), 1);
                whole
            },
            password_of_before
        )
    );

    // Given up, it goes, leaves a last snapshot, and nothing holds its network any more; the objects stay.
    world.expect(0, &["destroy", "--auto-approve", "--delete-data", DATABASE]);
    let snapshots = world.server.query("rds", "DescribeDBSnapshots", &[]).unwrap().texts("DBSnapshotIdentifier");
    assert!(snapshots.len() == 1 && snapshots[0].starts_with("cloudtik-w-db-catalog-final-"), "{snapshots:?}");
    let left = Account::difference(&before, &world.snapshot());
    assert!(!left.is_empty() && left.iter().all(|line| line.contains(" bucket ") || line.contains(" object ")), "{left:?}");
    world.expect(0, &DESTROY);
    world.is_as(&before, "everything was given up");
}

/// The same in a stack: what is kept stays alone in it.
#[test]
fn a_database_in_a_stack_is_kept_is_taken_up_again_and_goes() {
    let Some(world) = World::new(Config::quick()) else { return };
    let in_stack = |database: &str| spec(database).replacen("workspace \"w\" {\n", "workspace \"w\" {\n  deploy = \"cloudformation\"\n", 1);
    world.stage.spec(&in_stack(""));
    let before = world.snapshot();
    world.expect(0, &["plan", "--out", "saved.plan"]);
    let (ran, calls) = world.expect(0, &["apply", "saved.plan"]);
    world.is_settled();
    let password_of_before = password(&world);
    assert_eq!(files_with(&world.stage.project(), &password_of_before), Vec::<String>::new(), "the password is on disk in plain");
    assert!(!ran.text().contains(&password_of_before));
    assert!(calls.iter().all(|call| !call.parameters.get("TemplateBody").is_some_and(|body| body.contains(&password_of_before))));
    for (name, value) in [("DeletionProtection", "true"), ("EngineVersion", "17"), ("PubliclyAccessible", "false")] {
        assert_eq!(said(&world, name), value, "{name}");
    }
    let whole = world.came(&before);

    // It is kept with what it stands on, in the stack.
    let (ran, _) = world.expect(0, &KEEP);
    let says = [
        "workspace.w.database.catalog says `on_destroy = \"keep\"`: it stays with what it stands on, alone in workspace.w.stack",
        "what it stands on stays with it: workspace.w.database_password.catalog",
        "`Record` (AWS::SSM::Parameter) is removed",
    ];
    says.iter().for_each(|says| assert!(ran.text().contains(says), "no `{says}` in {}", ran.text()));
    let kept = world.came(&before);
    let is_kept = |sort: &str| kept.get(sort).copied().unwrap_or_default();
    assert_eq!((is_kept("database"), is_kept("database-subnets"), is_kept("subnet"), is_kept("parameter")), (1, 1, 2, 1), "{kept:?}");
    assert_eq!((is_kept("nat-gateway"), is_kept("role"), is_kept("internet-gateway"), is_kept("stack")), (0, 0, 0, 1), "{kept:?}");
    let (ran, calls) = world.expect(0, &KEEP);
    assert!(ran.text().contains("There is nothing to destroy"), "{}", ran.text());
    assert_eq!(written(&calls), Vec::<String>::new());

    // It is taken up again, as it was, and changes in place.
    world.expect(0, &APPLY);
    world.is_settled();
    assert_eq!((world.came(&before), password(&world)), (whole.clone(), password_of_before));
    world.stage.spec(&in_stack("    disk_gib = 60\n    password = \"an0ther-password\""));
    world.expect(0, &APPLY);
    assert_eq!((said(&world, "AllocatedStorage"), password(&world)), ("60".to_owned(), "an0ther-password".to_owned()));
    world.is_settled();
    assert_eq!(world.came(&before), whole);
    world.stage.spec(&in_stack("    disk_gib = 60\n    username = \"other\""));
    world.stage.fails(
        1,
        &["plan"],
        &["kept-data", "`workspace.w.database.catalog` is kept, but this plan would make it anew in `workspace.w.stack`"],
    );

    // Given up, it goes and leaves a last snapshot; the store stays alone in the stack.
    world.stage.spec(&in_stack("    disk_gib = 60"));
    let (ran, _) = world.expect(0, &["destroy", "--auto-approve", "--delete-data", DATABASE]);
    assert!(ran.text().contains("workspace.w.database.catalog in workspace.w.stack was given up"), "{}", ran.text());
    let snapshots = world.server.query("rds", "DescribeDBSnapshots", &[]).unwrap().texts("DBSnapshotIdentifier");
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    let left = Account::difference(&before, &world.snapshot());
    assert!(!left.is_empty() && left.iter().all(|line| line.contains(" bucket ") || line.contains(" stack ")), "{left:?}");
    world.expect(0, &DESTROY);
    world.is_as(&before, "everything was given up");
}

#[test]
fn a_database_changes_in_place_where_it_can() {
    let Some(world) = world("    on_destroy = \"delete\"\n    final_snapshot = false\n") else { return };
    let before = world.snapshot();
    world.expect(0, &APPLY);
    let whole = world.came(&before);
    let more = |more: &str| world.stage.spec(&spec(&format!("    on_destroy = \"delete\"\n    final_snapshot = false\n{more}\n")));

    more("    disk_gib = 60\n    backup = \"14d\"\n    password = \"an0ther-password\"");
    let (_, calls) = world.expect(0, &APPLY);
    assert_eq!(written(&calls), ["ssm:PutParameter", "rds:ModifyDBInstance"]);
    assert_eq!((said(&world, "AllocatedStorage"), said(&world, "BackupRetentionPeriod")), ("60".to_owned(), "14".to_owned()));
    assert_eq!(password(&world), "an0ther-password");
    world.is_settled();

    more("    backup = \"14d\"\n    password = \"an0ther-password\"");
    world.stage.fails(1, &["plan"], &["impossible-change", "main.hcl", "cannot change from 60 to 50", "write 60 or more"]);
    more("    disk_gib = 60\n    backup = \"14d\"\n    version = \"16\"");
    world.stage.fails(1, &["plan"], &["impossible-change", "cannot change from \"17\" to \"16\"", "--allow-major-version-upgrade"]);

    // Without one that is written the password stays what it was.
    more("    disk_gib = 60\n    backup = \"14d\"");
    world.expect(0, &APPLY);
    assert_eq!(password(&world), "an0ther-password");
    world.is_settled();

    let name = ("DBInstanceIdentifier", "cloudtik-w-db-catalog");
    world.client.query("rds", "ModifyDBInstance", &[name, ("DeletionProtection", "false"), ("ApplyImmediately", "true")]).unwrap();
    let group = world.id("workspace.w.database_firewall.catalog");
    let rule = world.id("workspace.w.database_rule.catalog");
    world.client.ec2("RevokeSecurityGroupIngress", &[("GroupId", &group), ("SecurityGroupRuleId.1", &rule)]).unwrap();
    let planned = world.planned();
    assert_eq!(planned.into_iter().collect::<Vec<_>>(), [DATABASE, "workspace.w.database_rule.catalog"]);
    world.expect(0, &APPLY);
    world.is_settled();
    assert_eq!(world.came(&before), whole, "something came or went");
    world.expect(0, &KEEP);
    left_is_the_store(&world);
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

#[track_caller]
fn left_is_the_store(world: &World) {
    let state = fs::read_to_string(world.stage.data().join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["resources"].as_object().unwrap().keys().collect::<Vec<_>>(), ["workspace.w.storage.default"]);
}

/// What would make it anew would lose what is in it.
#[test]
fn a_database_that_is_kept_is_not_made_anew() {
    let Some(world) = world("") else { return };
    world.expect(0, &APPLY);
    let other_name = spec("    username = \"other\"");
    world.stage.spec(&other_name);
    let says = ["kept-data", "is kept, but this plan would make it anew: username changed", "--delete-data 'workspace.w.database.catalog'"];
    world.stage.fails(1, &["plan"], &says);
    // In another network it is another database.
    world.stage.spec(&spec("  }\n  network {\n    cidr = \"10.77.0.0/16\""));
    world.stage.fails(1, &["plan"], &["kept-data", "`workspace.w.database.catalog` is kept, but this plan would make it anew"]);
    world.stage.spec(&spec("    lifecycle {\n      prevent_destroy = true\n    }"));
    world.stage.fails(1, &DESTROY, &["prevent-destroy", DATABASE]);
    world.stage.spec(&other_name.replace("engine =", "final_snapshot = false\n    engine ="));
    world.expect(0, &["apply", "--auto-approve", "--delete-data", DATABASE]);
    assert_eq!(said(&world, "MasterUsername"), "other");
    world.is_settled();
    world.expect(0, &DESTROY);
}

/// Stores that are there: one that identities use, in another region, and one that takes keys.
const STORES: &str = r#"
  }
  storage "there" {
    existing = "s3://company-data/etl"
  }
  storage "partner" {
    existing   = "s3://partner-data"
    access_key = "who-we-are"
    secret_key = "what-proves-it""#;

/// Clusters of other projects are told where the password is, and read it with rights of their own; and where stores are that nobody here made.
#[test]
fn another_project_knows_what_is_used() {
    let Some(world) = world(&format!("    on_destroy = \"delete\"\n    final_snapshot = false\n{STORES}")) else { return };
    world.stage.fails(1, &APPLY, &["is no bucket `"]);
    for (bucket, region) in [("company-data", ELSEWHERE), ("partner-data", REGION)] {
        let place = format!("<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>");
        assert_eq!(world.server.region(region).store("PUT", &format!("/{bucket}"), &place).unwrap().status, 200);
    }
    let before = world.snapshot();
    world.expect(0, &APPLY);
    world.is_settled();
    let folder = world.stage.project().join(BESIDE);
    fs::create_dir_all(&folder).unwrap();
    let text = "provider \"aws\" {}\n\ndata \"workspace\" \"shared\" {\n  name = \"w\"\n}\n\noutput \"database\" {\n  value = [data.workspace.shared.database.catalog, data.workspace.shared.storage]\n}\n";
    fs::write(folder.join("main.hcl"), text).unwrap();
    let ran = world.beside(&APPLY);
    assert_eq!(ran.code(), Some(0), "{}", ran.text());
    let ran = world.beside(&["output", "--json"]);
    let region = format!("\"region\":\"{ELSEWHERE}\"");
    for says in ["ssm:/cloudtik/w/database/catalog/password", "\"port\":5432", "rds.amazonaws.com", "s3://company-data/etl", &region] {
        assert!(ran.stdout.replace(": ", ":").contains(says), "no {says} in {}", ran.text());
    }
    assert_eq!(files_with(&folder, &password(&world)), Vec::<String>::new());
    let keys = ["who-we-are", "what-proves-it"].map(|key| files_with(&world.stage.data(), key));
    assert_eq!(keys, [Vec::<String>::new(), Vec::new()], "the keys are on disk in plain");
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

/// Nothing is made twice and nothing is left, whatever is lost or killed.
#[test]
fn kills_and_lost_answers_do_no_harm() {
    let mut random = Random::from_environment();
    let Some(world) = world("    on_destroy = \"delete\"\n    final_snapshot = false\n") else { return };
    let before = world.snapshot();
    let (_, calls) = world.expect(0, &APPLY);
    let makes = written(&calls);
    let whole = world.came(&before);
    let (_, calls) = world.expect(0, &DESTROY);
    let removes = written(&calls).len() as u64;
    world.is_as(&before, "destroyed");

    // Where the password and the database are made, and some moments besides.
    let own = |action: &str| makes.iter().position(|made| made == action).map(|at| at as u64 + 1).unwrap();
    let chosen = [own("ssm:PutParameter"), own("rds:CreateDBInstance")];
    let others = (0..kills()).map(|_| 1 + random.below(makes.len() as u64));
    for at in chosen.into_iter().chain(others.collect::<Vec<_>>()) {
        let (was_killed, first) = world.killed_after(&APPLY, at);
        assert!(was_killed || first.code() == Some(0), "kill at {at}: it failed before: {}", first.text());
        world.expect(0, &APPLY);
        assert_eq!(world.came(&before), whole, "kill of an apply at {at} of {}", makes.len());
        world.is_settled();
        let at = 1 + random.below(removes);
        let (was_killed, first) = world.killed_after(&DESTROY, at);
        assert!(was_killed || first.code() == Some(0), "kill at {at}: it failed before: {}", first.text());
        world.expect(0, &DESTROY);
        world.is_as(&before, &format!("kill of a destroy at {at} of {removes}"));
    }

    let lost = |action: &str| Fault {
        action: action.to_owned(),
        nth: Some(1),
        probability: None,
        writes_only: true,
        parameters: BTreeMap::new(),
        effect: Effect::LoseAnswer,
    };
    let faults = ["rds:CreateDBInstance", "rds:CreateDBSubnetGroup", "ssm:PutParameter", "rds:ModifyDBInstance", "rds:DeleteDBInstance"];
    world.proxy.configure(|config| config.faults = faults.map(lost).into());
    world.expect(0, &APPLY);
    assert_eq!(world.came(&before), whole, "what came with lost answers is not what comes without");
    world.is_settled();
    world.stage.run(&DESTROY);
    world.proxy.configure(|config| config.faults.clear());
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed with lost answers");
}

fn kills() -> u64 {
    std::env::var("CLOUDTIK_AWS_KILLS").ok().map_or(KILLS, |text| text.parse().expect("CLOUDTIK_AWS_KILLS is a number"))
}
