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
    "ec2:DescribeIamInstanceProfileAssociations",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeTags",
];

/// What makes workers: only from a launch template of their workspace.
pub const LAUNCH: &[&str] = &["ec2:RunInstances"];

/// What is done to nodes that are there.
pub const KEEP: &[&str] = &["ec2:CreateTags", "ec2:DeleteTags", "ec2:TerminateInstances"];

/// What gives nodes other firewalls and another identity.
pub const CHANGE: &[&str] = &["ec2:ModifyInstanceAttribute", "ec2:ReplaceIamInstanceProfileAssociation"];

/// What workers may look at.
pub const WORKER_LOOK: &[&str] = &["ec2:DescribeInstances", "ec2:DescribeTags"];

/// Of an object store as a whole.
pub const BUCKET: &[&str] = &["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"];
/// The same of one of which only a folder is meant: AWS limits nothing but the list of objects to that.
const FIND: &[&str] = &["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"];
const LIST: &[&str] = &["s3:ListBucket"];
/// Of its objects, to read.
pub const READ: &[&str] = &["s3:GetObject"];
/// Of its objects, to read and to write.
pub const READ_WRITE: &[&str] =
    &["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"];

/// Of a key that encrypts objects.
pub const KEY: &[&str] = &["kms:Decrypt", "kms:GenerateDataKey"];

/// What reads parameters: the record of the workspace, who may launch, and passwords of databases. What is encrypted by the key of SSM needs no more.
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
    /// What the names of the objects in it begin with that are meant; all of them where it is empty.
    pub(crate) prefix: String,
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

/// What a worker works with.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkerNeeds {
    /// The object stores.
    pub(crate) stores: Vec<Store>,
    /// The names of the parameters with the passwords of databases.
    pub(crate) passwords: Vec<String>,
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
    let changed = ["instance/*", "security-group/*"].map(|kind| writer.ec2(kind));
    statements.push(allow("ChangeNodes", CHANGE, &changed, Some(&own)));
    if let Some(role) = &needs.worker_role {
        let role = writer.role(role);
        let to_machines = json!({ "StringEquals": { "iam:PassedToService": "ec2.amazonaws.com" } });
        statements.push(allow("PassWorkerIdentity", PASS, &[role], Some(&to_machines)));
    }
    let records = [format!("/cloudtik/{}/*", place.workspace), "/cloudtik/fence/*".to_owned()].map(|name| writer.parameter(&name));
    statements.push(allow("ReadRecords", RECORD, &records, None));
    statements.extend(writer.stores(&needs.stores, |_| "read-write".to_owned()));
    document(statements, &writer.places)
}

/// What workers may do.
pub(crate) fn worker(place: &Place, needs: &WorkerNeeds) -> Value {
    let mut writer = Writer::new(place);
    let mut statements = vec![allow("Look", WORKER_LOOK, &["*".to_owned()], None)];
    statements.extend(writer.stores(&needs.stores, |store| store.worker_access.clone()));
    if !needs.passwords.is_empty() {
        let passwords: Vec<String> = needs.passwords.iter().map(|name| writer.parameter(name)).collect();
        statements.push(allow("ReadPasswordsOfDatabases", RECORD, &passwords, None));
    }
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

    fn parameter(&mut self, name: &str) -> String {
        self.arn("ssm", &self.place.account, &format!("parameter{name}"))
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
        let mut by_access: BTreeMap<String, Vec<(String, &str)>> = BTreeMap::new();
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
            by_access.entry(access).or_default().push((bucket, &*store.prefix));
        }
        let mut statements = list_stores(by_access.values().flatten());
        for (access, buckets) in by_access {
            let objects: Vec<String> = buckets.iter().map(|(bucket, prefix)| objects(bucket, prefix)).collect();
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

/// What lists objects: of a store of which only a folder is meant, those in it.
fn list_stores<'s>(stores: impl Iterator<Item = &'s (String, &'s str)>) -> Vec<Json> {
    let (whole, folders): (Vec<_>, Vec<_>) = stores.partition(|(_, prefix)| prefix.is_empty());
    let buckets = |stores: &[&(String, &str)]| stores.iter().map(|(bucket, _)| bucket.clone()).collect::<Vec<_>>();
    let mut statements = Vec::new();
    if !whole.is_empty() {
        statements.push(allow("ListStores", BUCKET, &buckets(&whole), None));
    }
    if !folders.is_empty() {
        statements.push(allow("FindStores", FIND, &buckets(&folders), None));
    }
    statements.extend(folders.iter().enumerate().map(|(index, (bucket, prefix))| {
        let inside = json!({ "StringLike": { "s3:prefix": [prefix, format!("{prefix}/*")] } });
        allow(&format!("ListFolder{index}"), LIST, std::slice::from_ref(bucket), Some(&inside))
    }));
    statements
}

fn objects(bucket: &str, prefix: &str) -> String {
    if prefix.is_empty() { format!("{bucket}/*") } else { format!("{bucket}/{prefix}/*") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn place() -> Place {
        Place { partition: "aws".into(), region: "us-west-2".into(), account: "123456789012".into(), workspace: "w".into() }
    }

    fn store(name: &str, access: &str, key: Option<&str>) -> Store {
        Store { name: name.into(), prefix: String::new(), key: key.map(Value::from), worker_access: access.to_owned() }
    }

    fn stores() -> Vec<Store> {
        let key = "arn:aws:kms:us-west-2:123456789012:key/k";
        vec![store("a", "read-write", Some(key)), store("b", "read", None), store("c", "none", None)]
    }

    fn of_worker(passwords: &[&str]) -> WorkerNeeds {
        WorkerNeeds { stores: stores(), passwords: passwords.iter().map(|name| (*name).to_owned()).collect() }
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
        assert_eq!(actions(&head), listed(&[LOOK, LAUNCH, KEEP, CHANGE, BUCKET, READ_WRITE, KEY, RECORD, PASS]));
        assert_eq!(
            actions(&worker(&place(), &of_worker(&["/cloudtik/w/database/d/password"]))),
            listed(&[WORKER_LOOK, BUCKET, READ, READ_WRITE, KEY, RECORD])
        );
        assert!(head.as_str().unwrap().contains("arn:aws:iam::123456789012:role/cloudtik-w-worker-role"), "{head:?}");
    }

    #[test]
    fn of_a_folder_nothing_else_is_seen() {
        let folder = Store { prefix: "a/b".to_owned(), ..store("shared", "read", None) };
        let document = worker(&place(), &WorkerNeeds { stores: vec![folder, store("own", "read", None)], passwords: vec![] });
        let json: Json = serde_json::from_str(document.as_str().unwrap()).unwrap();
        let statement =
            |sid: &str| json["Statement"].as_array().unwrap().iter().find(|statement| statement["Sid"] == sid).cloned().unwrap();
        assert_eq!(statement("ListStores")["Resource"], json!(["arn:aws:s3:::own"]));
        assert_eq!(statement("FindStores")["Resource"], json!(["arn:aws:s3:::shared"]));
        let listed = statement("ListFolder0");
        assert_eq!((&listed["Action"], &listed["Resource"]), (&json!(["s3:ListBucket"]), &json!(["arn:aws:s3:::shared"])));
        assert_eq!(listed["Condition"], json!({ "StringLike": { "s3:prefix": ["a/b", "a/b/*"] } }));
        assert_eq!(statement("ReadStores")["Resource"], json!(["arn:aws:s3:::shared/a/b/*", "arn:aws:s3:::own/*"]));
    }

    #[test]
    fn keys_are_named_in_three_ways() {
        let named = |key| {
            worker(&place(), &WorkerNeeds { stores: vec![store("a", "read", Some(key))], passwords: vec![] }).as_str().unwrap().to_owned()
        };
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
