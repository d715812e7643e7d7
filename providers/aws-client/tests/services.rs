//! The kinds beside networks, against a server that answers like AWS: each is made, found, changed and removed.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test ends with a panic, its helpers too"
)]

#[path = "services/stage.rs"]
mod stage;

use std::collections::BTreeMap;

use cloudtik_aws::kinds;
use cloudtik_aws_testing::{Config, Effect, Fault};
use cloudtik_model::Value;
use cloudtik_provider_api::{
    Answer, CLUSTER_TAG, Connection, DialTarget, ErrorClass, ObjectAnswer, ROLE_TAG, STATUS_PREFIX, Secret, UpdateRequest, Verb,
    WORKER_ROLE,
};

use stage::{Stage, failed, made};

const TRUST: &str =
    r#"{"Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"}}],"Version":"2012-10-17"}"#;
const RIGHTS: &str = r#"{"Statement":[{"Action":"s3:GetObject","Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"}"#;
const OTHER_RIGHTS: &str = r#"{"Statement":[{"Action":"s3:PutObject","Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"}"#;

/// An image that the server has.
const IMAGE: &str = "ami-12c6146b";

fn object<const N: usize>(parts: [(&'static str, Value); N]) -> Value {
    Value::object(parts)
}

fn text(text: &str) -> Value {
    text.into()
}

fn tags(parts: &[(&str, &str)]) -> Value {
    Value::map(parts.iter().map(|(name, value)| (*name, Value::from(*value))))
}

fn set(items: &[&str]) -> Value {
    Value::set(items.iter().map(|item| Value::from(*item)))
}

fn block(parts: Value) -> Value {
    Value::list([parts])
}

fn attribute(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no `{name}`: {value:?}")).to_owned()
}

/// With other attributes than those that are given.
fn with<const N: usize>(value: &Value, parts: [(&'static str, Value); N]) -> Value {
    let mut all = value.entries().cloned().unwrap();
    all.extend(parts.map(|(name, part)| (name.into(), part)));
    Value::object(all)
}

#[test]
fn roles() {
    let Some(stage) = Stage::open() else { return };
    let role = object([
        ("name", text("role-1")),
        ("assume_role_policy", text(TRUST)),
        ("description", text("what")),
        ("tags", tags(&[("a", "1"), ("b", "2")])),
    ]);
    let changes = object([
        ("description", text("else")),
        ("max_session_duration", 7_200_u64.into()),
        ("tags", tags(&[("b", "3"), ("c", "4")])),
        ("permissions_boundary", text("arn:aws:iam::aws:policy/ReadOnlyAccess")),
    ]);
    stage.live(kinds::IAM_ROLE, &role, &changes);
    let spaced = TRUST.replace(':', ": ");
    let role = object([("name", text("role-2")), ("assume_role_policy", text(&spaced))]);
    assert_eq!(attribute(&stage.create(kinds::IAM_ROLE, &role).attributes, "assume_role_policy"), spaced);
}

#[test]
fn rights_of_roles() {
    let Some(stage) = Stage::open() else { return };
    let role = |name: &str| stage.create(kinds::IAM_ROLE, &object([("name", text(name)), ("assume_role_policy", text(TRUST))])).id;
    let (first, second) = (role("role-3"), role("role-4"));
    let inline = object([("role", text(&first)), ("name", text("p")), ("policy", text(RIGHTS))]);
    stage.live(kinds::IAM_ROLE_POLICY, &inline, &object([("policy", text(OTHER_RIGHTS))]));
    let policy = object([("name", text("policy-1")), ("policy", text(RIGHTS)), ("description", text("d")), ("tags", tags(&[("a", "1")]))]);
    stage.live(kinds::IAM_POLICY, &policy, &object([("policy", text(OTHER_RIGHTS)), ("tags", Value::NULL)]));
    let made = stage.create(kinds::IAM_POLICY, &object([("name", text("policy-2")), ("policy", text(RIGHTS))]));
    let attachment = object([("role", text(&first)), ("policy_arn", text(&made.id))]);
    stage.live(kinds::IAM_ROLE_POLICY_ATTACHMENT, &attachment, &object([]));
    // Rights with names of their own are taken from a role that goes; those that would go with it are not.
    let third = role("role-of-others");
    let aws = object([("role", text(&third)), ("policy_arn", text("arn:aws:iam::aws:policy/ReadOnlyAccess"))]);
    stage.create(kinds::IAM_ROLE_POLICY_ATTACHMENT, &aws);
    let kept = stage.create(kinds::IAM_ROLE_POLICY, &object([("role", text(&third)), ("name", text("by-hand")), ("policy", text(RIGHTS))]));
    let error = failed(stage.call(kinds::IAM_ROLE, Verb::Delete { id: third.clone(), data: false }));
    assert!(error.class == ErrorClass::Conflict && error.message.contains("by-hand"), "{error}");
    stage.delete(kinds::IAM_ROLE_POLICY, &kept.id);
    stage.delete(kinds::IAM_ROLE, &third);
    let profile = object([("name", text("profile-1")), ("role", text(&first)), ("tags", tags(&[("a", "1")]))]);
    stage.live(kinds::IAM_INSTANCE_PROFILE, &profile, &object([("role", text(&second)), ("tags", tags(&[("a", "2")]))]));
    let gone = failed(stage.call(kinds::IAM_ROLE, Verb::Delete { id: "nobody".to_owned(), data: false }));
    assert_eq!(gone.class, ErrorClass::Gone);
}

#[test]
fn policies_of_many_versions() {
    let Some(stage) = Stage::open() else { return };
    let policy = object([("name", text("policy-3")), ("policy", text(RIGHTS))]);
    let object = stage.create(kinds::IAM_POLICY, &policy);
    for i in 0..7 {
        let document = RIGHTS.replace("s3:GetObject", &format!("s3:Get{i}"));
        let attributes = with(&policy, [("policy", text(&document))]);
        let update = UpdateRequest {
            id: object.id.clone(),
            op_id: format!("u{i}"),
            epoch: 1,
            changed: ["policy".to_owned()].into(),
            attributes,
            before: object.attributes.clone(),
            marks: std::collections::BTreeMap::new(),
        };
        let answer = made(stage.call(kinds::IAM_POLICY, Verb::Update(update)));
        assert_eq!(attribute(&answer.attributes, "policy"), document);
    }
    stage.delete(kinds::IAM_POLICY, &object.id);
}

#[test]
fn buckets() {
    let Some(stage) = Stage::open() else { return };
    let bucket = object([
        ("bucket", text("cloudtik-bucket-1")),
        ("versioning", block(object([("enabled", true.into())]))),
        ("server_side_encryption_configuration", block(object([("sse_algorithm", text("AES256"))]))),
        ("tags", tags(&[("a", "1"), ("b", "2")])),
    ]);
    let changes = object([
        ("versioning", block(object([("enabled", false.into())]))),
        ("block_public_access", false.into()),
        ("on_destroy", text("delete")),
        ("tags", tags(&[("b", "3")])),
    ]);
    stage.live(kinds::S3_BUCKET, &bucket, &changes);
    stage.live(kinds::S3_BUCKET, &object([("bucket", text("cloudtik-bucket-2"))]), &object([]));
    // The first region has no name as a place, and takes a second create of one's own bucket.
    let first = Stage::in_region("us-east-1").unwrap();
    first.live(kinds::S3_BUCKET, &object([("bucket", text("cloudtik-bucket-4"))]), &object([]));
}

#[test]
fn a_bucket_goes_with_its_objects_only_where_they_are_given_up() {
    let Some(stage) = Stage::open() else { return };
    let bucket = object([("bucket", text("cloudtik-bucket-3")), ("versioning", block(object([("enabled", true.into())])))]);
    let object_ = stage.create(kinds::S3_BUCKET, &bucket);
    for _ in 0..2 {
        put(stage.port(), "/cloudtik-bucket-3/k");
    }
    let error = failed(stage.call(kinds::S3_BUCKET, Verb::Delete { id: object_.id.clone(), data: false }));
    assert!(error.class == ErrorClass::Conflict && error.help.is_some(), "{error}");
    stage.delete_with_data(kinds::S3_BUCKET, &object_.id);
}

/// Writes an object as any program would.
fn put(port: u16, path: &str) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = "Host: s3.us-west-2.amazonaws.com\r\nConnection: close\r\nContent-Length: 1\r\n";
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=x/20250101/us-west-2/s3/aws4_request, SignedHeaders=host, Signature=0\r\n";
    write!(stream, "PUT {path} HTTP/1.1\r\n{head}{signed}\r\nx").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn parameters() {
    let Some(stage) = Stage::open() else { return };
    let parameter =
        object([("name", text("/cloudtik/w/workspace")), ("value", text("{}")), ("description", text("d")), ("tags", tags(&[("a", "1")]))]);
    let changes = object([("value", text("{\"b\":1}")), ("description", text("e")), ("tags", tags(&[("c", "2")]))]);
    stage.live(kinds::SSM_PARAMETER, &parameter, &changes);
    let secret = object([("name", text("plain")), ("type", text("SecureString")), ("value", text("s3cret"))]);
    let object = stage.create(kinds::SSM_PARAMETER, &secret);
    assert!(object.attributes.get("value").unwrap().is_sensitive());
    assert!(stage.list(kinds::SSM_PARAMETER, &["plain"])[0].object.attributes.get("value").unwrap().is_sensitive());
    stage.delete(kinds::SSM_PARAMETER, "plain");
}

fn machine() -> Value {
    object([("ami", text(IMAGE)), ("instance_type", text("t3.large")), ("user", text("ubuntu"))])
}

#[test]
fn machines() {
    let Some(stage) = Stage::open() else { return };
    let role = stage.create(kinds::IAM_ROLE, &object([("name", text("role-5")), ("assume_role_policy", text(TRUST))])).id;
    for name in ["profile-2", "profile-3"] {
        stage.create(kinds::IAM_INSTANCE_PROFILE, &object([("name", text(name)), ("role", text(&role))]));
    }
    let wanted = with(
        &machine(),
        [
            ("name", text("head")),
            ("iam_instance_profile", text("profile-2")),
            ("user_data", text("#!/bin/sh\ntrue\n")),
            ("max_workers", 3_u64.into()),
            ("root_block_device", block(object([("volume_size", 20_u64.into())]))),
            ("tags", tags(&[("Name", "head"), ("a", "1")])),
        ],
    );
    let changes = object([
        ("iam_instance_profile", text("profile-3")),
        ("source_dest_check", false.into()),
        ("instance_initiated_shutdown_behavior", text("terminate")),
        ("metadata_options", block(object([("http_tokens", text("optional"))]))),
        ("tags", tags(&[("Name", "head"), ("b", "2")])),
    ]);
    stage.live(kinds::INSTANCE, &wanted, &changes);
    let made = stage.create(
        kinds::INSTANCE,
        &with(
            &machine(),
            [("user", Value::NULL), ("associate_public_ip_address", true.into()), ("iam_instance_profile", text("profile-2"))],
        ),
    );
    let node = made.attributes.get("node").unwrap();
    assert_eq!((node.get("cores"), node.get("memory")), (Some(&2_i64.into()), Some(&8_192_i64.into())));
    assert_eq!(
        made.attributes.get("metadata_options").unwrap().elements().unwrap().next().unwrap().get("http_tokens"),
        Some(&text("required"))
    );
    stage.delete(kinds::INSTANCE, &made.id);
    let gone = failed(stage.call(kinds::INSTANCE, Verb::Delete { id: "i-00000000000000000".to_owned(), data: false }));
    assert_eq!(gone.class, ErrorClass::Gone);
}

#[test]
fn machines_are_dialled_and_tell_a_status() {
    let Some(stage) = Stage::open() else { return };
    let id = stage.create(kinds::INSTANCE, &machine()).id;
    let publish = |status: &[(&str, &str)]| {
        let status = status.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(stage.call(kinds::INSTANCE, Verb::PublishStatus { id: id.clone(), status }), Answer::Done);
        let marks = stage.list(kinds::INSTANCE, &[&id])[0].tags.clone();
        marks
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(STATUS_PREFIX)?.to_owned(), value)))
            .collect::<BTreeMap<_, _>>()
    };
    let first = [("epoch", "1"), ("group.a", "1/2/t [x]")];
    assert_eq!(publish(&first), first.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let long = "a b=[c] ".repeat(100);
    assert_eq!(publish(&[("epoch", "2"), ("frozen", &long)]).get("frozen"), Some(&long));
    assert_eq!(publish(&[("epoch", "2")]), [("epoch".to_owned(), "2".to_owned())].into());
    let other = Stage::open().unwrap();
    let status = [("digest".to_owned(), "d".to_owned())].into();
    assert_eq!(other.call(kinds::INSTANCE, Verb::PublishStatus { id: id.clone(), status }), Answer::Done);
    let marks = stage.list(kinds::INSTANCE, &[&id])[0].tags.clone();
    assert_eq!(marks.keys().filter(|name| name.starts_with(STATUS_PREFIX)).collect::<Vec<_>>(), [&format!("{STATUS_PREFIX}digest")]);
    // The server gives addresses that nobody has.
    let dialled = stage.wait(stage.cloud().dial(DialTarget { instance: "i-00000000000000000".to_owned(), port: stage.port() }));
    assert_eq!(dialled.map(|_: Connection| ()).unwrap_err().class, ErrorClass::Gone);
}

#[test]
fn fences() {
    let Some(stage) = Stage::open() else { return };
    let worker = |epoch: u64, cluster: &str| {
        let mut request = stage.request(kinds::INSTANCE, &machine());
        request.epoch = epoch;
        request.tags.insert(CLUSTER_TAG.to_owned(), cluster.to_owned());
        request.tags.insert(ROLE_TAG.to_owned(), WORKER_ROLE.to_owned());
        stage.call(kinds::INSTANCE, Verb::Create(request))
    };
    made(worker(6, "l/w/c[0]"));
    let fence = |epoch: u64| stage.call(kinds::INSTANCE, Verb::Fence { cluster: "l/w/c[0]".to_owned(), epoch, ends: false });
    assert_eq!((fence(7), fence(3)), (Answer::Done, Answer::Done));
    let error = failed(worker(6, "l/w/c[0]"));
    assert_eq!((error.class, &*error.code), (ErrorClass::Permanent, "fenced"));
    made(worker(7, "l/w/c[0]"));
    made(worker(1, "l/w/d"));
}

/// A launch that looked at the fence a moment before it was raised is refused by AWS itself.
#[test]
fn at_its_end_a_cluster_has_nothing_to_launch_from() {
    let Some((stage, _proxy)) = Stage::behind_proxy(Config::strict()) else { return };
    let template = |cluster: &str| {
        let name = format!("fenced-{}", cluster.replace('/', "-"));
        let mut request = stage.request(kinds::LAUNCH_TEMPLATE, &object([("name", text(&name)), ("image_id", text(IMAGE))]));
        request.tags.insert(CLUSTER_TAG.to_owned(), cluster.to_owned());
        made(stage.call(kinds::LAUNCH_TEMPLATE, Verb::Create(request))).id
    };
    let (ours, other) = (template("l/w/ends"), template("l/w/stays"));
    let worker = || {
        let mut attributes = machine().entries().cloned().unwrap();
        attributes.insert("launch_template".into(), Value::list([object([("id", text(&ours))])]));
        let mut request = stage.request(kinds::INSTANCE, &Value::object(attributes));
        request.epoch = 9;
        request.tags.insert(CLUSTER_TAG.to_owned(), "l/w/ends".to_owned());
        request.tags.insert(ROLE_TAG.to_owned(), WORKER_ROLE.to_owned());
        stage.call(kinds::INSTANCE, Verb::Create(request))
    };
    let fence = |ends: bool| stage.call(kinds::INSTANCE, Verb::Fence { cluster: "l/w/ends".to_owned(), epoch: 7, ends });
    assert_eq!(fence(false), Answer::Done);
    made(worker());
    assert_eq!((fence(true), fence(true)), (Answer::Done, Answer::Done));
    assert_eq!(failed(worker()).code, "InvalidLaunchTemplateId.NotFound");
    let left: Vec<String> = stage.list(kinds::LAUNCH_TEMPLATE, &[&ours, &other]).into_iter().map(|found| found.object.id).collect();
    assert_eq!(left, [other]);
}

/// Who launches many machines does not ask again for what there is no room for.
#[test]
fn what_aws_has_no_room_for_is_asked_for_once() {
    let Some((stage, proxy)) = Stage::behind_proxy(Config::strict()) else { return };
    let effect = Effect::Refuse { status: 500, code: "InsufficientInstanceCapacity".to_owned(), message: "none".to_owned() };
    let parameters = [("InstanceType".to_owned(), "t3.large".to_owned())].into();
    let fault = Fault { action: "ec2:RunInstances".to_owned(), nth: None, probability: None, writes_only: false, parameters, effect };
    proxy.configure(|config| config.faults = vec![fault]);
    let create = |attributes: &Value| stage.call(kinds::INSTANCE, Verb::Create(stage.request(kinds::INSTANCE, attributes)));
    for _ in 0..3 {
        let error = failed(create(&machine()));
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::NoRoom, "InsufficientInstanceCapacity"));
    }
    assert_eq!(proxy.counts()["ec2:RunInstances"], 1);
    let other = with(&machine(), [("instance_type", text("t3a.large")), ("market", text("spot")), ("max_price", 1_u64.into())]);
    let made = made(create(&other));
    assert_eq!(
        (attribute(&made.attributes, "instance_type"), attribute(&made.attributes, "market")),
        ("t3a.large".to_owned(), "spot".to_owned())
    );
}

#[test]
fn disks_and_keys() {
    let Some(stage) = Stage::open() else { return };
    let machine = stage.create(kinds::INSTANCE, &machine());
    let zone = attribute(&machine.attributes, "availability_zone");
    let disk = object([("availability_zone", text(&zone)), ("size", 10_u64.into()), ("tags", tags(&[("a", "1")]))]);
    stage.live(kinds::EBS_VOLUME, &disk, &object([("size", 20_u64.into()), ("tags", tags(&[("a", "2")]))]));
    let disk = stage.create(kinds::EBS_VOLUME, &disk).id;
    let attachment = object([("device_name", text("/dev/sdf")), ("volume_id", text(&disk)), ("instance_id", text(&machine.id))]);
    stage.live(kinds::VOLUME_ATTACHMENT, &attachment, &object([]));
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKqKb1eTFWrpFXzcDfNNAKRzjRgDKjBe9sJTBAKqrXhR someone";
    let key = object([("key_name", text("key-1")), ("public_key", text(key)), ("tags", tags(&[("a", "1")]))]);
    stage.live(kinds::KEY_PAIR, &key, &object([("tags", tags(&[("b", "2")]))]));
}

#[test]
fn launch_templates() {
    let Some(stage) = Stage::open() else { return };
    let disk = object([("device_name", text("/dev/sda1")), ("volume_size", 30_u64.into()), ("volume_type", text("gp3"))]);
    let interface = object([("associate_public_ip_address", false.into()), ("security_groups", set(&["sg-1", "sg-2"]))]);
    let template = object([
        ("name", text("template-1")),
        ("image_id", text(IMAGE)),
        ("instance_type", text("t3.large")),
        ("iam_instance_profile", text("p")),
        ("user_data", text("IyEvYmluL3NoCg==")),
        ("network_interfaces", Value::list([interface])),
        ("block_device_mappings", Value::list([disk])),
        ("tags", tags(&[("a", "1")])),
    ]);
    stage.live(kinds::LAUNCH_TEMPLATE, &template, &object([("instance_type", text("t3.xlarge")), ("tags", Value::NULL)]));
}

#[test]
fn databases() {
    let Some(stage) = Stage::open() else { return };
    let subnets = subnets(&stage);
    let both = set(&[&subnets[0], &subnets[1]]);
    let group = object([("name", text("group-1")), ("subnet_ids", both), ("tags", tags(&[("a", "1")]))]);
    stage.live(kinds::DB_SUBNET_GROUP, &group, &object([("description", text("d")), ("tags", tags(&[("a", "2")]))]));
    stage.create(kinds::DB_SUBNET_GROUP, &with(&group, [("name", text("group-2"))]));
    let database = object([
        ("identifier", text("database-1")),
        ("engine", text("postgres")),
        ("engine_version", text("16")),
        ("instance_class", text("db.t3.medium")),
        ("allocated_storage", 20_u64.into()),
        ("username", text("cloudtik")),
        ("password", Value::from("s3cret-s3cret").marked(true)),
        ("port", 5_432_u64.into()),
        ("db_subnet_group_name", text("group-2")),
        ("deletion_protection", false.into()),
        ("skip_final_snapshot", true.into()),
        ("tags", tags(&[("a", "1")])),
    ]);
    let changes = object([
        ("allocated_storage", 40_u64.into()),
        ("password", Value::from("an0ther-s3cret").marked(true)),
        ("on_destroy", text("delete")),
        ("tags", tags(&[("b", "1")])),
    ]);
    stage.live(kinds::DB_INSTANCE, &database, &changes);

    let protected = with(&database, [("identifier", text("database-2")), ("deletion_protection", true.into())]);
    let protected = stage.create(kinds::DB_INSTANCE, &protected);
    let error = failed(stage.call(kinds::DB_INSTANCE, Verb::Delete { id: protected.id.clone(), data: false }));
    assert!(error.help.as_ref().is_some_and(|help| help.contains("--delete-data")), "{error:?}");
    stage.delete_with_data(kinds::DB_INSTANCE, &protected.id);
}

/// What is generated for a parameter that is encrypted stays what it is, and is marked.
#[test]
fn generated_values() {
    let Some(stage) = Stage::open() else { return };
    let secret = object([("name", text("/test/password")), ("type", text("SecureString"))]);
    let mut request = stage.request(kinds::SSM_PARAMETER, &secret);
    let password = Secret { private: "gener4ted".to_owned(), public: String::new() };
    request.secrets = [("value".to_owned(), password)].into();
    let made_ = made(stage.call(kinds::SSM_PARAMETER, Verb::Create(request.clone())));
    let is_kept = |object: &ObjectAnswer| {
        let value = object.attributes.get("value").unwrap();
        assert!(value.as_str() == Some("gener4ted") && value.is_sensitive(), "{value:?}");
    };
    is_kept(&made_);
    is_kept(&stage.list(kinds::SSM_PARAMETER, &[&made_.id])[0].object);
    let update = UpdateRequest {
        id: made_.id.clone(),
        op_id: "u".into(),
        epoch: 1,
        changed: ["description".to_owned()].into(),
        attributes: with(&secret, [("description", text("d"))]),
        before: made_.attributes.clone(),
        marks: BTreeMap::new(),
    };
    is_kept(&made(stage.call(kinds::SSM_PARAMETER, Verb::Update(update))));
    request.attributes = with(&request.attributes, [("name", text("/test/open")), ("type", text("String"))]);
    let error = failed(stage.call(kinds::SSM_PARAMETER, Verb::Create(request)));
    assert!(error.message.contains("one is generated for type `SecureString` only"), "{error}");
}

/// Two subnets that the server has, in two zones.
fn subnets(stage: &Stage) -> Vec<String> {
    let of = |zone: &str| stage.create(kinds::INSTANCE, &with(&machine(), [("availability_zone", text(zone))]));
    ["us-west-2a", "us-west-2b"].map(|zone| attribute(&of(zone).attributes, "subnet_id")).to_vec()
}

#[test]
fn load_balancers() {
    let Some(stage) = Stage::open() else { return };
    let subnets = subnets(&stage);
    let both = set(&[&subnets[0], &subnets[1]]);
    let balancer = object([("name", text("lb-1")), ("subnets", both), ("internal", true.into()), ("tags", tags(&[("a", "1")]))]);
    let changes = object([("enable_deletion_protection", false.into()), ("tags", tags(&[("b", "1")]))]);
    stage.live(kinds::LB, &balancer, &changes);
    let balancer = stage.create(kinds::LB, &with(&balancer, [("name", text("lb-2"))]));
    let group = object([
        ("name", text("targets-1")),
        ("port", 80_u64.into()),
        ("protocol", text("HTTP")),
        ("vpc_id", text(&attribute(&balancer.attributes, "vpc_id"))),
        ("health_check", block(object([("path", text("/health"))]))),
        ("tags", tags(&[("a", "1")])),
    ]);
    let changes = object([("health_check", block(object([("path", text("/well")), ("interval", 10_u64.into())])))]);
    stage.live(kinds::LB_TARGET_GROUP, &group, &changes);
    let group = |name: &str| stage.create(kinds::LB_TARGET_GROUP, &with(&group, [("name", text(name))])).id;
    let (first, second) = (group("targets-2"), group("targets-3"));
    let action = |target: &str| block(object([("type", text("forward")), ("target_group_arn", text(target))]));
    let listener = object([
        ("load_balancer_arn", text(&balancer.id)),
        ("port", 80_u64.into()),
        ("protocol", text("HTTP")),
        ("default_action", action(&first)),
        ("tags", tags(&[("a", "1")])),
    ]);
    stage.live(kinds::LB_LISTENER, &listener, &object([("default_action", action(&second)), ("tags", tags(&[("b", "1")]))]));
}

#[test]
fn stacks() {
    let Some(stage) = Stage::open() else { return };
    let template = |name: &str| {
        format!(
            r#"{{"Parameters":{{"P":{{"Type":"String","Default":"x"}}}},"Resources":{{"Q":{{"Type":"AWS::SQS::Queue","Properties":{{"QueueName":"{name}"}}}}}},"Outputs":{{"O":{{"Value":"v"}}}}}}"#
        )
    };
    let stack = object([
        ("name", text("stack-1")),
        ("template_body", text(&template("q1"))),
        ("parameters", tags(&[("P", "y")])),
        ("tags", tags(&[("a", "1")])),
    ]);
    let changes = object([("template_body", text(&template("q2"))), ("tags", tags(&[("b", "1")]))]);
    stage.live(kinds::CLOUDFORMATION_STACK, &stack, &changes);
}
