//! What heads and workers may do, as IAM documents: the least that is needed, in their own workspace.
//!
//! A document is compact JSON whose names are sorted, which is the form that it is read back in.

use std::collections::BTreeMap;

use cloudtik_model::Value;
use cloudtik_provider_api::WORKSPACE_TAG;
use serde_json::{Map, Value as Json, json};

use crate::text::Places;

/// Looks that cannot be limited to objects: AWS has no such limit for them.
pub const LOOK: &[&str] = &[
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeTags",
    "ec2:DescribeVolumes",
];

/// What makes workers: only from a launch template of their workspace.
pub const LAUNCH: &[&str] = &["ec2:RunInstances"];

/// What is done to nodes that are there.
pub const KEEP: &[&str] = &["ec2:CreateTags", "ec2:DeleteTags", "ec2:TerminateInstances"];

/// What workers may look at.
pub const WORKER_LOOK: &[&str] = &["ec2:DescribeInstances", "ec2:DescribeTags"];

/// Of an object store as a whole.
pub const BUCKET: &[&str] = &["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"];
/// Of its objects, to read.
pub const READ: &[&str] = &["s3:GetObject"];
/// Of its objects, to read and to write.
pub const READ_WRITE: &[&str] =
    &["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"];

/// Of a key that encrypts objects.
pub const KEY: &[&str] = &["kms:Decrypt", "kms:GenerateDataKey"];

/// What reads the record of the workspace and who may launch.
pub const RECORD: &[&str] = &["ssm:GetParameter"];

/// What lets workers be launched with their identity.
pub const PASS: &[&str] = &["iam:PassRole"];

/// Where something is; parts may come later.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `aws`
    pub(crate) partition: Value,
    /// The region.
    pub(crate) region: Value,
    /// The account.
    pub(crate) account: Value,
    /// The workspace's name.
    pub(crate) workspace: String,
}

/// An object store, and what one may do with it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// Its name.
    pub(crate) name: Value,
    /// The key that encrypts it: its ARN, its id, or `alias/NAME`.
    pub(crate) key: Option<Value>,
    /// What workers may do: `none`, `read` or `read-write`.
    pub(crate) worker_access: String,
}

/// What a head works with.
#[derive(Clone, Debug)]
pub(crate) struct HeadNeeds {
    /// Name and path of the role of workers; none where it was made by somebody else.
    pub(crate) worker_role: Option<Value>,
    /// Subnets that were made by somebody else and carry no tag of the workspace.
    pub(crate) subnets: Vec<Value>,
    /// The object stores.
    pub(crate) stores: Vec<Store>,
}

/// Who may take a role: machines.
pub(crate) fn trust() -> Value {
    let statement = json!({ "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole" });
    document(vec![statement], &Places::default())
}

/// What heads may do.
pub(crate) fn head(place: &Place, needs: &HeadNeeds) -> Value {
    let mut writer = Writer::new(place);
    let own = resource_tag(&place.workspace);
    let asked = json!({ format!("aws:RequestTag/{WORKSPACE_TAG}"): place.workspace });
    let mut statements = vec![allow("Look", LOOK, &["*".to_owned()], None)];
    let made = ["instance/*", "volume/*", "network-interface/*", "spot-instances-request/*"].map(|kind| writer.ec2(kind));
    let templates = writer.ec2("launch-template/*");
    let launched = json!({ "StringEquals": asked, "ArnLike": { "ec2:LaunchTemplate": templates } });
    statements.push(allow("LaunchTagged", LAUNCH, &made, Some(&launched)));
    let [subnets, firewalls] = ["subnet/*", "security-group/*"].map(|kind| writer.ec2(kind));
    statements.push(allow("LaunchIntoWorkspace", LAUNCH, &[templates, subnets, firewalls], Some(&own)));
    // Of what a template names nothing else may be put in its place.
    let as_it_says = json!({ "Bool": { "ec2:IsLaunchTemplateResource": "true" } });
    let mut of = vec![writer.ec2("key-pair/*")];
    of.extend(["image/*", "snapshot/*"].map(|kind| writer.arn("ec2", &Value::from(""), kind)));
    statements.push(allow("LaunchFrom", LAUNCH, &of, Some(&as_it_says)));
    let mut beside = vec![writer.ec2("placement-group/*")];
    beside.extend(needs.subnets.iter().map(|subnet| writer.ec2_of("subnet", subnet)));
    statements.push(allow("LaunchBeside", LAUNCH, &beside, None));
    let while_launching = json!({ "StringEquals": { "ec2:CreateAction": "RunInstances" } });
    statements.push(allow("TagWhileLaunching", &["ec2:CreateTags"], &made, Some(&while_launching)));
    let nodes = ["instance/*", "volume/*"].map(|kind| writer.ec2(kind));
    statements.push(allow("KeepNodes", KEEP, &nodes, Some(&own)));
    if let Some(role) = &needs.worker_role {
        let role = writer.role(role);
        let to_machines = json!({ "StringEquals": { "iam:PassedToService": "ec2.amazonaws.com" } });
        statements.push(allow("PassWorkerIdentity", PASS, &[role], Some(&to_machines)));
    }
    let records = [format!("parameter/cloudtik/{}/*", place.workspace), "parameter/cloudtik/fence/*".to_owned()];
    let region = place.region.clone();
    let records = records.map(|path| {
        let account = writer.places.text(&place.account);
        writer.arn_in("ssm", &region, &account, &path)
    });
    statements.push(allow("ReadRecords", RECORD, &records, None));
    statements.extend(writer.stores(&needs.stores, |_| "read-write".to_owned()));
    document(statements, &writer.places)
}

/// What workers may do.
pub(crate) fn worker(place: &Place, stores: &[Store]) -> Value {
    let mut writer = Writer::new(place);
    let mut statements = vec![allow("Look", WORKER_LOOK, &["*".to_owned()], None)];
    statements.extend(writer.stores(stores, |store| store.worker_access.clone()));
    document(statements, &writer.places)
}

fn resource_tag(workspace: &str) -> Json {
    json!({ "StringEquals": { format!("aws:ResourceTag/{WORKSPACE_TAG}"): workspace } })
}

fn allow(sid: &str, actions: &[&str], resources: &[String], condition: Option<&Json>) -> Json {
    let mut statement = json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources });
    if let (Some(condition), Some(entries)) = (condition, statement.as_object_mut()) {
        entries.insert("Condition".to_owned(), condition.clone());
    }
    statement
}

fn document(statements: Vec<Json>, places: &Places) -> Value {
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    places.fill(&sorted(&document).to_string())
}

/// The same with the names of objects in order, whatever order the library keeps.
fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(entries) => {
            let ordered: BTreeMap<&String, &Json> = entries.iter().collect();
            Json::Object(ordered.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Writes names of objects, with marks in the place of what comes later.
struct Writer<'a> {
    place: &'a Place,
    places: Places,
}

impl<'a> Writer<'a> {
    fn new(place: &'a Place) -> Self {
        Self { place, places: Places::default() }
    }

    fn arn_in(&mut self, service: &str, region: &Value, account: &str, what: &str) -> String {
        let (partition, region) = (self.places.text(&self.place.partition), self.places.text(region));
        format!("arn:{partition}:{service}:{region}:{account}:{what}")
    }

    /// Of the region, and of this account or that.
    fn arn(&mut self, service: &str, account: &Value, what: &str) -> String {
        let account = self.places.text(account);
        self.arn_in(service, &self.place.region, &account, what)
    }

    fn ec2(&mut self, what: &str) -> String {
        self.arn("ec2", &self.place.account, what)
    }

    fn ec2_of(&mut self, kind: &str, id: &Value) -> String {
        let id = self.places.text(id);
        self.ec2(&format!("{kind}/{id}"))
    }

    fn role(&mut self, path_and_name: &Value) -> String {
        let role = self.places.text(path_and_name);
        let account = self.places.text(&self.place.account);
        self.arn_in("iam", &"".into(), &account, &format!("role{role}"))
    }

    /// A key is written as its ARN, or as its id alone.
    fn key(&mut self, key: &Value) -> String {
        match key.as_str().filter(|key| !key.starts_with("arn:")) {
            Some(id) => self.arn("kms", &self.place.account, &format!("key/{id}")),
            None => self.places.text(key),
        }
    }

    fn stores(&mut self, stores: &[Store], access: impl Fn(&Store) -> String) -> Vec<Json> {
        let mut by_access: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut keys, mut aliases) = (Vec::new(), Vec::new());
        for store in stores {
            let access = access(store);
            if access == "none" {
                continue;
            }
            let name = self.places.text(&store.name);
            let bucket = self.arn_in("s3", &"".into(), "", &name);
            if let Some(key) = &store.key {
                match key.as_str().filter(|key| key.starts_with("alias/")) {
                    Some(alias) => aliases.push(alias.to_owned()),
                    None => keys.push(self.key(key)),
                }
            }
            by_access.entry(access).or_default().push(bucket);
        }
        let all: Vec<String> = by_access.values().flatten().cloned().collect();
        let mut statements = Vec::new();
        if !all.is_empty() {
            statements.push(allow("ListStores", BUCKET, &all, None));
        }
        for (access, buckets) in by_access {
            let objects: Vec<String> = buckets.iter().map(|bucket| format!("{bucket}/*")).collect();
            let (sid, actions) = if access == "read" { ("ReadStores", READ) } else { ("UseStores", READ_WRITE) };
            statements.push(allow(sid, actions, &objects, None));
        }
        if !keys.is_empty() {
            statements.push(allow("UseKeys", KEY, &keys, None));
        }
        if !aliases.is_empty() {
            let called = json!({ "ForAnyValue:StringEquals": { "kms:ResourceAliases": aliases } });
            let any = self.arn("kms", &self.place.account, "key/*");
            statements.push(allow("UseKeysByAlias", KEY, &[any], Some(&called)));
        }
        statements
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn place() -> Place {
        Place { partition: "aws".into(), region: "us-west-2".into(), account: "123456789012".into(), workspace: "w".into() }
    }

    fn store(name: &str, access: &str, key: Option<&str>) -> Store {
        Store { name: name.into(), key: key.map(Value::from), worker_access: access.to_owned() }
    }

    fn stores() -> Vec<Store> {
        let key = "arn:aws:kms:us-west-2:123456789012:key/k";
        vec![store("a", "read-write", Some(key)), store("b", "read", None), store("c", "none", None)]
    }

    fn actions(document: &Value) -> BTreeSet<String> {
        let json: Json = serde_json::from_str(document.as_str().unwrap()).unwrap();
        let statements = json["Statement"].as_array().unwrap().clone();
        statements.iter().flat_map(|s| s["Action"].as_array().unwrap().clone()).map(|a| a.as_str().unwrap().to_owned()).collect()
    }

    fn listed(lists: &[&[&str]]) -> BTreeSet<String> {
        lists.iter().copied().flatten().map(|action| (*action).to_owned()).collect()
    }

    #[test]
    fn nobody_may_do_more_than_is_listed() {
        let needs = HeadNeeds { worker_role: Some("/cloudtik-w-worker-role".into()), subnets: vec!["subnet-1".into()], stores: stores() };
        let head = head(&place(), &needs);
        assert_eq!(actions(&head), listed(&[LOOK, LAUNCH, KEEP, BUCKET, READ_WRITE, KEY, RECORD, PASS]));
        assert_eq!(actions(&worker(&place(), &stores())), listed(&[WORKER_LOOK, BUCKET, READ, READ_WRITE, KEY]));
        assert!(head.as_str().unwrap().contains("arn:aws:iam::123456789012:role/cloudtik-w-worker-role"), "{head:?}");
    }

    #[test]
    fn keys_are_named_in_three_ways() {
        let named = |key| worker(&place(), &[store("a", "read", Some(key))]).as_str().unwrap().to_owned();
        let whole = "arn:aws:kms:us-west-2:123456789012:key/k";
        assert!(named(whole).contains(whole) && named("k").contains(whole));
        assert!(named("alias/mine").contains(r#""kms:ResourceAliases":["alias/mine"]"#));
    }

    /// A statement on everything only looks; all that changes something names objects or a tag of the workspace.
    #[test]
    fn only_looks_are_unlimited() {
        let needs = HeadNeeds { worker_role: None, subnets: vec![], stores: stores() };
        let json: Json = serde_json::from_str(head(&place(), &needs).as_str().unwrap()).unwrap();
        for statement in json["Statement"].as_array().unwrap() {
            let everything = statement["Resource"].as_array().unwrap().iter().any(|resource| resource == "*");
            assert_eq!(everything, statement["Sid"] == "Look", "{statement}");
            let wild = statement["Action"].as_array().unwrap().iter().any(|action| action.as_str().unwrap().contains('*'));
            assert!(!wild, "{statement}");
        }
    }

    #[test]
    fn documents_are_compact_and_sorted() {
        let trust = trust();
        assert_eq!(
            trust.as_str().unwrap(),
            r#"{"Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"}}],"Version":"2012-10-17"}"#
        );
    }
}
