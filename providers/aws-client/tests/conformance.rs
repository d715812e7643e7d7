//! The suite that every provider passes, on kinds of each class; and creates whose requests are answered by nobody, one after the other: what
//! was begun is found, is completed, and is there once.

#![allow(clippy::panic, clippy::unwrap_used, clippy::print_stderr, clippy::indexing_slicing, reason = "a test ends with a panic")]

#[path = "services/stage.rs"]
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_aws::{aws_schema, kinds};
use cloudtik_aws_testing::{Config, Effect, Fault, Proxy};
use cloudtik_conformance::{Report, Sample, Subject, run};
use cloudtik_model::{ChangeWord, ProviderRef, Value};
use cloudtik_provider_api::{
    Answer, Call, CreateRequest, Found, Idempotency, ObjectAnswer, Presence, ProviderSchema, ROLE_TAG, UpdateRequest, Verb, WORKER_ROLE,
};

use stage::{Stage, found, made};

const IMAGE: &str = "ami-12c6146b";
const TRUST: &str =
    r#"{"Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"}}],"Version":"2012-10-17"}"#;
const RIGHTS: &str = r#"{"Statement":[{"Action":"s3:GetObject","Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"}"#;
const OTHER_RIGHTS: &str = r#"{"Statement":[{"Action":"s3:PutObject","Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"}"#;
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKqKb1eTFWrpFXzcDfNNAKRzjRgDKjBe9sJTBAKqrXhR someone";

/// What is made of an op id: the mark that a create is found by.
const OP_TAG: &str = "cloudtik:op";

/// What must be different in each object, by kind.
const UNIQUE: &[(&str, &str)] = &[
    (kinds::IAM_ROLE, "name"),
    (kinds::IAM_INSTANCE_PROFILE, "name"),
    (kinds::KEY_PAIR, "key_name"),
    (kinds::S3_BUCKET, "bucket"),
    (kinds::SSM_PARAMETER, "name"),
    (kinds::SECURITY_GROUP, "name"),
    (kinds::IAM_ROLE_POLICY, "name"),
];

/// Ranges of addresses are different in these: where they begin.
const RANGES: &[(&str, &str, &str)] = &[
    (kinds::SUBNET, "cidr_block", "10.0"),
    (kinds::INGRESS_RULE, "cidr_ipv4", "10.0"),
    (kinds::EGRESS_RULE, "cidr_ipv4", "10.0"),
    (kinds::ROUTE, "destination_cidr_block", "192.168"),
];

struct Aws {
    schema: ProviderSchema,
    stage: Stage,
    proxy: Proxy,
    /// The network that everything lies in.
    vpc: Value,
    samples: Vec<Sample>,
    /// In the names of all that a test makes: others make the same in the same account.
    test: &'static str,
    /// What is known of objects, as a state knows it: what looks do not tell again.
    known: BTreeMap<String, Value>,
}

impl Aws {
    fn open(test: &'static str) -> Option<Self> {
        let (stage, proxy) = Stage::behind_proxy(Config { tokens: true, ..Config::default() })?;
        let vpc = text(&stage.create(kinds::VPC, &Value::object([("cidr_block", text("10.0.0.0/16"))])).id);
        let samples = samples(&stage, &vpc, test);
        let mut schema = aws_schema();
        let tried: BTreeSet<String> = samples.iter().map(|sample| sample.kind.clone()).collect();
        schema.kinds.retain(|name, _| tried.contains(*name));
        // The server forgets the firewalls of a machine that is changed: tests/network.rs changes one.
        let machine = schema.kinds.get_mut(kinds::INSTANCE).unwrap();
        for attribute in machine.attributes.iter_mut().filter(|attribute| attribute.change == ChangeWord::Live && attribute.name != "tags")
        {
            attribute.change = ChangeWord::Recreate;
        }
        Some(Self { schema, stage, proxy, vpc, samples, test, known: BTreeMap::new() })
    }

    fn subnet(&self, number: u64) -> String {
        let range = format!("10.0.{}.{}/28", 192 + number / 16 % 16, number % 16 * 16);
        let parts = [("vpc_id", self.vpc.clone()), ("cidr_block", text(&range)), ("availability_zone", text("us-west-2a"))];
        self.stage.create(kinds::SUBNET, &Value::object(parts)).id
    }

    /// An object with what is known of it and was not told.
    fn whole(&mut self, object: ObjectAnswer) -> ObjectAnswer {
        let mut all = self.known.get(&object.id).and_then(Value::entries).cloned().unwrap_or_default();
        all.extend(object.attributes.entries().cloned().unwrap_or_default());
        let attributes = Value::object(all);
        self.known.insert(object.id.clone(), attributes.clone());
        ObjectAnswer { attributes, ..object }
    }
}

impl Aws {
    /// What is not as it was asked for is what a plan would change in place, and is so then.
    fn mend(&mut self, kind: &str, request: &CreateRequest, object: &ObjectAnswer) {
        let asked = request.attributes.entries().unwrap();
        let is_other = |name: &str, asked: &Value| {
            let told = object.attributes.get(name);
            !asked.is_null() && told.is_some_and(|told| !agrees(asked, told))
        };
        let changed: BTreeSet<String> =
            asked.iter().filter(|(name, asked)| is_other(name, asked)).map(|(name, _)| name.to_string()).collect();
        if changed.is_empty() {
            return;
        }
        let is_live = |name: &String| self.schema.kinds[kind].attribute(name).is_some_and(|attribute| attribute.change == ChangeWord::Live);
        assert!(changed.iter().all(is_live), "{kind}: {changed:?} of {object:?}");
        let update = UpdateRequest {
            id: object.id.clone(),
            op_id: "mended".to_owned(),
            epoch: 1,
            changed,
            attributes: request.attributes.clone(),
            before: object.attributes.clone(),
            marks: BTreeMap::new(),
        };
        let mended = made(self.stage.call(kind, Verb::Update(update)));
        assert!(agrees(&request.attributes, &mended.attributes), "{kind}: {:?} is {mended:?}", request.attributes);
    }
}

impl Subject for Aws {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    fn provider(&self) -> ProviderRef {
        ProviderRef::new("aws")
    }

    fn samples(&mut self) -> Vec<Sample> {
        self.samples.clone()
    }

    fn call(&mut self, mut call: Call) -> Answer {
        if let Verb::Create(request) = &mut call.verb
            && &*call.kind == kinds::INSTANCE
        {
            // Of machines only workers are fenced.
            request.tags.insert(ROLE_TAG.to_owned(), WORKER_ROLE.to_owned());
        }
        match self.stage.call(&call.kind, call.verb) {
            Answer::Object(object) => Answer::Object(self.whole(object)),
            Answer::Read(Some(object)) => Answer::Read(Some(self.whole(object))),
            Answer::Found(all) => Answer::Found(all.into_iter().map(|found| Found { object: self.whole(found.object), ..found }).collect()),
            other => other,
        }
    }

    /// AWS does not crash; who speaks to it does.
    fn crash(&mut self) {
        self.stage.reconnect();
    }

    /// What was made here shows at once, so there is nothing to wait for.
    fn wait(&mut self, _: u64) {}

    fn unique(&mut self, sample: &Sample, number: u64) -> Sample {
        let mut all = sample.attributes.entries().cloned().unwrap();
        if let Some((_, name)) = UNIQUE.iter().find(|(kind, _)| *kind == sample.kind) {
            all.insert((*name).into(), format!("cloudtik-{}-{number}", self.test).into());
        }
        if let Some((_, name, begin)) = RANGES.iter().find(|(kind, ..)| *kind == sample.kind) {
            all.insert((*name).into(), format!("{begin}.{}.{}/28", number / 16 % 192, number % 16 * 16).into());
        }
        if sample.kind == kinds::ROUTE_TABLE_ASSOCIATION {
            // A subnet has one table.
            all.insert("subnet_id".into(), self.subnet(number).into());
        }
        if sample.kind == kinds::EIP_ASSOCIATION {
            let address = self.stage.create(kinds::EIP, &Value::object([("domain", text("vpc"))])).id;
            all.insert("allocation_id".into(), text(&address));
        }
        Sample { attributes: Value::object(all), ..sample.clone() }
    }

    fn times_made(&mut self, _: &str) -> Option<usize> {
        None
    }

    fn is_marked(&self, kind: &str) -> bool {
        self.schema.kinds[kind].attribute("tags").is_some()
    }

    fn counters(&self, kind: &str) -> &'static [&'static str] {
        if kind == kinds::SSM_PARAMETER { &["version"] } else { &[] }
    }

    fn is_fenced(&self, kind: &str) -> bool {
        kind == kinds::INSTANCE
    }
}

fn text(text: &str) -> Value {
    text.into()
}

fn tags(value: &str) -> Value {
    Value::map([("a", text(value))])
}

/// The attributes of an object, with the defaults of its kind as a plan fills them in.
fn sample(kind: &str, attributes: &[(&'static str, Value)], updates: &[(&'static str, Value)]) -> Sample {
    let schema = aws_schema();
    let defaults = schema.kinds[kind].attributes.iter().filter_map(|attribute| match &attribute.presence {
        Presence::Default(value) => Some((attribute.name, value.clone())),
        _ => None,
    });
    let is_tagged = schema.kinds[kind].attribute("tags").is_some();
    let tags = is_tagged.then(|| ("tags", tags("2")));
    Sample {
        kind: kind.to_owned(),
        attributes: Value::object(defaults.chain(attributes.iter().cloned())),
        updates: updates.iter().cloned().chain(tags).map(|(name, value)| (name.to_owned(), value)).collect(),
        secrets: BTreeMap::new(),
    }
}

/// One of each kind, in a place that is made for them.
fn samples(stage: &Stage, vpc: &Value, test: &str) -> Vec<Sample> {
    let made = |kind: &str, parts: &[(&'static str, Value)]| text(&stage.create(kind, &Value::object(parts.iter().cloned())).id);
    let other = made(kinds::VPC, &[("cidr_block", text("172.16.0.0/16"))]);
    let gateway = made(kinds::INTERNET_GATEWAY, &[("vpc_id", vpc.clone())]);
    let tables = [0, 1].map(|_| made(kinds::ROUTE_TABLE, &[("vpc_id", vpc.clone())]));
    let zone = ("availability_zone", text("us-west-2a"));
    let machines = made(kinds::SUBNET, &[("vpc_id", vpc.clone()), ("cidr_block", text("10.0.208.0/20")), zone.clone()]);
    let group = |name: &str| made(kinds::SECURITY_GROUP, &[("name", text(name)), ("description", text("d")), ("vpc_id", vpc.clone())]);
    let firewall = group("first");
    let named = |name: &str| text(&format!("{test}-{name}"));
    let roles = ["one", "two"].map(|name| made(kinds::IAM_ROLE, &[("name", named(name)), ("assume_role_policy", text(TRUST))]));
    let profiles = [0, 1].map(|at: usize| {
        made(kinds::IAM_INSTANCE_PROFILE, &[("name", named(["profile-1", "profile-2"][at])), ("role", roles[at].clone())])
    });
    let rule =
        [("security_group_id", firewall.clone()), ("ip_protocol", text("tcp")), ("from_port", 22_u64.into()), ("to_port", 22_u64.into())];
    let in_place = [("description", text("other"))];
    let head = [("ami", text(IMAGE)), ("instance_type", text("t3.large")), ("user", text("ubuntu")), ("subnet_id", machines.clone())];
    let head = made(kinds::INSTANCE, &head);
    vec![
        sample(
            kinds::VPC,
            &[("cidr_block", text("10.9.0.0/16"))],
            &[("enable_dns_hostnames", true.into()), ("enable_dns_support", true.into())],
        ),
        sample(
            kinds::SUBNET,
            &[("vpc_id", vpc.clone()), ("cidr_block", text("")), zone.clone()],
            &[("map_public_ip_on_launch", true.into())],
        ),
        sample(kinds::INTERNET_GATEWAY, &[], &[("vpc_id", other)]),
        sample(kinds::EIP, &[("domain", text("vpc"))], &[]),
        sample(kinds::EIP_ASSOCIATION, &[("instance_id", head)], &[]),
        sample(kinds::SECURITY_GROUP, &[("description", text("d")), ("vpc_id", vpc.clone())], &[]),
        sample(kinds::INGRESS_RULE, &rule, &in_place),
        sample(kinds::EGRESS_RULE, &rule, &in_place),
        sample(kinds::ROUTE_TABLE, &[("vpc_id", vpc.clone())], &[]),
        sample(
            kinds::INSTANCE,
            &[
                ("ami", text(IMAGE)),
                ("instance_type", text("t3.large")),
                ("user", text("ubuntu")),
                ("subnet_id", machines),
                ("vpc_security_group_ids", Value::set([firewall.clone()])),
                ("iam_instance_profile", profiles[0].clone()),
            ],
            &[],
        ),
        sample(kinds::KEY_PAIR, &[("public_key", text(KEY))], &[]),
        sample(
            kinds::S3_BUCKET,
            &[],
            &[
                ("versioning", Value::list([Value::object([("enabled", Value::from(true))])])),
                (
                    "server_side_encryption_configuration",
                    Value::list([Value::object([("kms_master_key_id", Value::NULL), ("sse_algorithm", text("aws:kms"))])]),
                ),
                ("block_public_access", false.into()),
            ],
        ),
        sample(
            kinds::SSM_PARAMETER,
            &[("value", text("v"))],
            &[("type", text("StringList")), ("value", text("w")), ("description", text("d")), ("tier", text("Advanced"))],
        ),
        sample(
            kinds::IAM_ROLE,
            &[("assume_role_policy", text(TRUST))],
            &[
                ("assume_role_policy", text(&TRUST.replace("ec2.", "lambda."))),
                ("description", text("d")),
                ("max_session_duration", 7_200_u64.into()),
                ("permissions_boundary", text("arn:aws:iam::aws:policy/ReadOnlyAccess")),
            ],
        ),
        sample(kinds::IAM_INSTANCE_PROFILE, &[("role", roles[0].clone())], &[("role", roles[1].clone())]),
        sample(kinds::IAM_ROLE_POLICY, &[("role", roles[0].clone()), ("policy", text(RIGHTS))], &[("policy", text(OTHER_RIGHTS))]),
        sample(
            kinds::ROUTE,
            &[("route_table_id", tables[0].clone()), ("gateway_id", gateway.clone())],
            &[("gateway_id", gateway), ("nat_gateway_id", Value::NULL), ("vpc_peering_connection_id", Value::NULL)],
        ),
        sample(kinds::ROUTE_TABLE_ASSOCIATION, &[("route_table_id", tables[0].clone())], &[("route_table_id", tables[1].clone())]),
    ]
}

#[test]
fn kinds_of_every_class_keep_their_promises() {
    let Some(mut aws) = Aws::open("suite") else { return };
    let report: Report = run(&mut aws);
    assert!(report.failed.is_empty(), "{}", report.failures());
    let classes: BTreeSet<_> = aws.schema.kinds.values().map(|kind| kind.class).collect();
    assert_eq!(classes.len(), 4, "one class has no sample: {classes:?}");
}

/// A create, as the suite makes it.
fn request(aws: &mut Aws, sample: &Sample, number: u64) -> CreateRequest {
    let sample = aws.unique(sample, number);
    let op_id = format!("lost-{number}");
    let tags = BTreeMap::from([(OP_TAG.to_owned(), op_id.clone()), ("cloudtik:lineage".to_owned(), "lost".to_owned())]);
    CreateRequest { token: op_id.clone(), op_id, epoch: 1, tags, attributes: sample.attributes, secrets: BTreeMap::new(), batch: None }
}

/// What a settlement finds of a create, by its kind's class.
fn settled(aws: &mut Aws, kind: &str, request: &CreateRequest) -> Vec<ObjectAnswer> {
    let schema = aws.schema.kinds[kind].clone();
    let verb = match schema.class {
        Idempotency::Token | Idempotency::Natural => Verb::Create(request.clone()),
        Idempotency::UniqueName => {
            let name = schema.unique_name.and_then(|name| request.attributes.get(name)?.as_str().map(str::to_owned));
            Verb::FindByName { name: name.unwrap() }
        }
        _ => Verb::FindByTag { key: OP_TAG.to_owned(), value: request.op_id.clone() },
    };
    match aws.stage.call(kind, verb) {
        Answer::Object(object) => vec![object],
        other => found(other).into_iter().map(|found| found.object).collect(),
    }
}

fn agrees(asked: &Value, told: &Value) -> bool {
    if let (Some(asked), Some(told)) = (asked.entries(), told.entries()) {
        return asked.iter().all(|(name, asked)| told.get(name).is_none_or(|told| asked.is_null() || agrees(asked, told)));
    }
    if let (Some(asked), Some(told)) = (asked.elements(), told.elements()) {
        return asked.len() == told.len() && asked.zip(told).all(|(asked, told)| agrees(asked, told));
    }
    asked == told
}

/// A create of several requests that is cut off after each of them: the answer is lost, and so is all that the connection knew.
#[test]
fn creates_that_are_cut_off_are_completed() {
    let Some(mut aws) = Aws::open("cut-off") else { return };
    let mut number = 0;
    for sample in aws.samples.clone() {
        let mut cut = 0;
        loop {
            number += 1;
            cut += 1;
            let request = request(&mut aws, &sample, number);
            let lost = Fault {
                action: "*".to_owned(),
                nth: Some(cut),
                probability: None,
                writes_only: true,
                parameters: BTreeMap::new(),
                effect: Effect::LoseAnswer,
            };
            aws.proxy.configure(|config| config.faults = vec![lost]);
            aws.proxy.reset();
            let answer = aws.stage.call(&sample.kind, Verb::Create(request.clone()));
            let is_cut = aws.proxy.requests().iter().any(|request| request.lost);
            aws.proxy.configure(|config| config.faults.clear());
            aws.stage.reconnect();
            let mut there = settled(&mut aws, &sample.kind, &request);
            let object = there.pop().unwrap_or_else(|| panic!("{}: cut off after {cut}, it is not found: {answer:?}", sample.kind));
            assert_eq!(there, [], "{}: cut off after {cut}, there are two", sample.kind);
            aws.mend(&sample.kind, &request, &object);
            aws.stage.delete(&sample.kind, &object.id);
            if !is_cut {
                break;
            }
        }
        assert!(cut > 1, "{}: nothing was cut off", sample.kind);
    }
}
