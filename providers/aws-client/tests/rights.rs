//! The rights of heads and workers: exactly what is called. A head lives with its workers, every request is recorded, and the golden document
//! of heads must allow what is in the record, and nothing that is not; what nobody here calls is written down with its reason.

#![allow(clippy::panic, clippy::unwrap_used, clippy::print_stderr, clippy::indexing_slicing, reason = "a test ends with a panic")]

#[path = "services/stage.rs"]
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cloudtik_aws::kinds;
use cloudtik_aws_testing::{Config, Request};
use cloudtik_model::Value;
use cloudtik_provider_api::{Answer, CLUSTER_TAG, ROLE_TAG, UpdateRequest, Verb, WORKER_ROLE, WORKSPACE_TAG};
use serde_json::Value as Json;

use stage::{Stage, found, made};

/// What AWS wants beside the call itself, or what the software on nodes calls.
const CALLED_BY_OTHERS: &[(&str, &str)] = &[
    ("iam:PassRole", "RunInstances and the change of an identity are refused without it"),
    ("kms:Decrypt", "S3 calls it for who reads an encrypted object"),
    ("kms:GenerateDataKey", "S3 calls it for who writes an encrypted object"),
    ("s3:AbortMultipartUpload", "file systems of runtimes write objects in parts"),
    ("s3:DeleteObject", "file systems of runtimes"),
    ("s3:GetBucketLocation", "file systems of runtimes ask where a store is"),
    ("s3:GetObject", "file systems of runtimes"),
    ("s3:ListBucket", "file systems of runtimes"),
    ("s3:ListBucketMultipartUploads", "file systems of runtimes end what was left half written"),
    ("s3:ListMultipartUploadParts", "file systems of runtimes go on with what was left half written"),
    ("s3:PutObject", "file systems of runtimes"),
];

/// What services on workers find each other by, who know the tags of their cluster and nobody else; and where they read the password of a database.
const CALLED_ON_WORKERS: [&str; 3] = ["ec2:DescribeInstances", "ec2:DescribeTags", "ssm:GetParameter"];

const IMAGE: &str = "ami-12c6146b";
const CLUSTER: &str = "l/w/c";
const TRUST: &str =
    r#"{"Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"}}],"Version":"2012-10-17"}"#;

fn text(text: &str) -> Value {
    text.into()
}

fn document(who: &str) -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../aws/tests/golden/iam/{who}.json"));
    let json: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    json["Statement"].as_array().unwrap().clone()
}

fn actions(statements: &[Json]) -> BTreeSet<String> {
    let all = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    all.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// What others call of a document, in its words.
fn by_others(of: &BTreeSet<String>) -> BTreeSet<String> {
    CALLED_BY_OTHERS.iter().map(|(action, _)| (*action).to_owned()).filter(|action| of.contains(action)).collect()
}

/// What the project makes before: everything that a worker is launched into.
struct Place {
    subnet: String,
    groups: [String; 2],
    profiles: [String; 2],
}

fn place(stage: &Stage) -> Place {
    let vpc = stage.create(kinds::VPC, &Value::object([("cidr_block", text("10.0.0.0/16"))])).id;
    let subnet = Value::object([("vpc_id", text(&vpc)), ("cidr_block", text("10.0.0.0/20")), ("availability_zone", text("us-west-2a"))]);
    let group = |name: &str| {
        let group = Value::object([("name", text(name)), ("description", text("d")), ("vpc_id", text(&vpc))]);
        stage.create(kinds::SECURITY_GROUP, &group).id
    };
    let role = Value::object([("name", text("workers-role")), ("assume_role_policy", text(TRUST))]);
    let role = stage.create(kinds::IAM_ROLE, &role).id;
    let profile = |name: &str| {
        let profile = Value::object([("name", text(name)), ("role", text(&role))]);
        stage.create(kinds::IAM_INSTANCE_PROFILE, &profile).id
    };
    Place {
        subnet: stage.create(kinds::SUBNET, &subnet).id,
        groups: [group("first"), group("second")],
        profiles: [profile("workers-1"), profile("workers-2")],
    }
}

/// A worker as lowering makes it.
fn worker(place: &Place, at: usize) -> Value {
    Value::object([
        ("ami", text(IMAGE)),
        ("user", text("ubuntu")),
        ("instance_type", text("t3.large")),
        ("subnet_id", text(&place.subnet)),
        ("associate_public_ip_address", false.into()),
        ("iam_instance_profile", text(&place.profiles[at])),
        ("vpc_security_group_ids", Value::set([text(&place.groups[at])])),
        ("root_block_device", Value::list([Value::object([("volume_size", Value::from(20_u64))])])),
        ("tags", Value::map([("Name", text(["a", "b"][at])), (["one", "two"][at], text("x"))])),
    ])
}

/// The life of a worker as the controller of a head has it: every question and request that it makes of the provider. Gives the worker's id.
fn life(head: &Stage, place: &Place) -> String {
    let by_tag = || found(head.call(kinds::INSTANCE, Verb::FindByTag { key: CLUSTER_TAG.to_owned(), value: CLUSTER.to_owned() }));
    assert_eq!(by_tag(), []);
    let mut request = head.request(kinds::INSTANCE, &worker(place, 0));
    let marks = [(CLUSTER_TAG, CLUSTER), (ROLE_TAG, WORKER_ROLE), (WORKSPACE_TAG, "w")];
    request.tags.extend(marks.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let object = made(head.call(kinds::INSTANCE, Verb::Create(request.clone())));
    let id = object.id.clone();
    assert_eq!(by_tag().len(), 1);
    assert_eq!(head.list(kinds::INSTANCE, &[&id]).len(), 1);
    let update = UpdateRequest {
        id: id.clone(),
        op_id: "update".to_owned(),
        epoch: 5,
        changed: ["iam_instance_profile", "vpc_security_group_ids", "tags"].map(str::to_owned).into(),
        attributes: worker(place, 1),
        before: request.attributes,
        marks: BTreeMap::new(),
    };
    made(head.call(kinds::INSTANCE, Verb::Update(update)));
    for status in [BTreeMap::from([("frozen".to_owned(), "x".to_owned())]), BTreeMap::new()] {
        assert_eq!(head.call(kinds::INSTANCE, Verb::PublishStatus { id: id.clone(), status }), Answer::Done);
    }
    assert_eq!(head.call(kinds::INSTANCE, Verb::Delete { id: id.clone(), data: false }), Answer::Done);
    id
}

#[test]
fn heads_may_do_what_their_controller_calls_and_nothing_else() {
    let Some(project) = Stage::open() else { return };
    let place = place(&project);
    let (head, proxy) = Stage::behind_proxy(Config::default()).unwrap();
    let worker = life(&head, &place);
    let requests = proxy.requests();
    let called: BTreeSet<String> = requests.iter().map(|request| request.action.clone()).collect();
    let allowed = actions(&document("head"));
    let forbidden: Vec<&String> = called.difference(&allowed).collect();
    assert!(forbidden.is_empty(), "the controller calls {forbidden:?}, and the document of heads does not allow it");
    let others = by_others(&allowed);
    let idle: Vec<&String> = allowed.difference(&called).filter(|action| !others.contains(*action)).collect();
    assert!(idle.is_empty(), "the document of heads allows {idle:?}, and nobody calls it");
    conditions_hold(&requests, &worker);
}

#[test]
fn workers_may_do_what_is_called_on_them() {
    let allowed = actions(&document("workers"));
    let called: BTreeSet<String> = by_others(&allowed).into_iter().chain(CALLED_ON_WORKERS.map(str::to_owned)).collect();
    assert_eq!(allowed, called);
}

#[test]
fn what_others_call_is_in_a_document() {
    let allowed: BTreeSet<String> = ["head", "workers"].iter().flat_map(|who| actions(&document(who))).collect();
    let listed: BTreeSet<String> = CALLED_BY_OTHERS.iter().map(|(action, _)| (*action).to_owned()).collect();
    assert_eq!(by_others(&allowed), listed);
}

/// What a document ties to the tag of the workspace has it: everything that a launch makes, and everything that is changed.
fn conditions_hold(requests: &[Request], worker: &str) {
    for request in requests.iter().filter(|request| request.write) {
        if request.action == "ec2:RunInstances" {
            assert_eq!(made_in_workspace(request), ["instance", "network-interface", "volume"].map(str::to_owned).into());
            continue;
        }
        let ids = request.parameters.iter().filter(|(name, _)| name.starts_with("ResourceId") || name.starts_with("InstanceId"));
        assert!(ids.clone().all(|(_, id)| id == worker), "{request:?}");
    }
}

/// The kinds of things that a launch tags with the workspace.
fn made_in_workspace(launch: &Request) -> BTreeSet<String> {
    let parameters = &launch.parameters;
    let of_workspace = parameters.iter().filter(|(name, value)| name.ends_with(".Key") && *value == WORKSPACE_TAG);
    let specification = |name: &str| name.split_once(".Tag.").map(|(before, _)| format!("{before}.ResourceType"));
    of_workspace.filter_map(|(name, _)| parameters.get(&specification(name)?).cloned()).collect()
}
