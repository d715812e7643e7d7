//! What a stack keeps when nothing wants it any more: the resources that hold data and say so, and all that they refer to. The stack stays, with
//! a template of nothing else, so that they have an owner, and the next apply is an update of it.
//!
//! A resource that holds data says in its metadata where it stands in the spec, and what becomes of it. Whoever removes the stack by hand leaves it
//! all the same: its policy is to be retained, until it is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, ResourceSpec, Value};
use cloudtik_provider_api::Inside;
use serde_json::{Map, Value as Json, json};

use super::references;
use crate::kinds;

/// How stacks keep what is in them.
pub(crate) const INSIDE: Inside = Inside { kept, with_kept };

/// Where our own words stand in the metadata of a resource.
const OURS: &str = "cloudtik";
const ADDRESS: &str = "Address";
/// `keep`, or `delete`.
const ON_DESTROY: &str = "OnDestroy";
/// The policy by which it goes.
const GOES: &str = "Goes";
/// Addresses outside of the stack that it needs.
const NEEDS: &str = "Needs";
/// It was given up.
const RELEASED: &str = "Released";

const KEEP: &str = "keep";
/// What becomes of a resource when it goes, and of the old one when it is made anew.
const POLICIES: [&str; 2] = ["DeletionPolicy", "UpdateReplacePolicy"];
/// A create that fails leaves nothing: there are no data yet.
const RETAINED: [&str; 2] = ["RetainExceptOnCreate", "Retain"];

/// The types of object stores and of databases.
const BUCKET: &str = "AWS::S3::Bucket";
const DATABASE: &str = "AWS::RDS::DBInstance";

/// Says of the resource of a part with data what becomes of it. CloudFormation changes a policy only together with something else of the
/// resource: here that is the metadata.
pub(super) fn mark(part: &ResourceSpec, on_destroy: &str, needs: &BTreeSet<Address>, resource: &mut Map<String, Json>) {
    let is_true = |name: &str| part.attributes.get(name).and_then(Value::as_bool) == Some(true);
    let goes = if &*part.kind == kinds::DB_INSTANCE && !is_true("skip_final_snapshot") { "Snapshot" } else { "Delete" };
    let keeps = on_destroy == KEEP || part.lifecycle.prevent_destroy;
    let word = if keeps { KEEP } else { on_destroy };
    let mut ours = json!({ ADDRESS: part.address.to_string(), ON_DESTROY: word, GOES: goes });
    if let (Some(ours), false) = (ours.as_object_mut(), needs.is_empty()) {
        ours.insert(NEEDS.to_owned(), needs.iter().map(ToString::to_string).collect());
    }
    resource.insert("Metadata".to_owned(), json!({ OURS: ours }));
    set_policies(resource, if keeps { RETAINED } else { [goes, goes] });
}

fn set_policies(resource: &mut Map<String, Json>, policies: [&str; 2]) {
    resource.extend(POLICIES.into_iter().zip(policies).map(|(name, policy)| (name.to_owned(), policy.into())));
}

/// What a resource says of its data.
fn said(resource: &Json) -> Option<&Map<String, Json>> {
    resource.get("Metadata")?.get(OURS)?.as_object()
}

fn word<'a>(said: &'a Map<String, Json>, name: &str) -> Option<&'a str> {
    said.get(name)?.as_str()
}

fn address_of(resource: &Json) -> Option<Address> {
    word(said(resource)?, ADDRESS)?.parse().ok()
}

fn is_kept(resource: &Json) -> bool {
    said(resource).is_some_and(|said| word(said, ON_DESTROY) == Some(KEEP))
}

fn parsed(template: &str) -> Map<String, Json> {
    match serde_json::from_str(template) {
        Ok(Json::Object(template)) => template,
        // What is no template of ours keeps nothing.
        _ => Map::new(),
    }
}

/// The template of a stack.
fn template(stack: &Value) -> Map<String, Json> {
    parsed(stack.get("template_body").and_then(Value::as_str).unwrap_or_default())
}

fn part<'a>(template: &'a Map<String, Json>, name: &str) -> impl Iterator<Item = (&'a String, &'a Json)> + use<'a> {
    template.get(name).and_then(Json::as_object).into_iter().flatten()
}

fn part_mut<'a>(template: &'a mut Map<String, Json>, name: &str) -> Option<&'a mut Map<String, Json>> {
    template.entry(name).or_insert_with(|| Json::Object(Map::new())).as_object_mut()
}

fn kept(stack: &Value) -> BTreeMap<Address, BTreeSet<Address>> {
    let template = template(stack);
    let needs = |resource: &Json| {
        let needs = said(resource).and_then(|said| said.get(NEEDS)?.as_array());
        needs.into_iter().flatten().filter_map(|address| address.as_str()?.parse().ok()).collect()
    };
    let kept = part(&template, "Resources").filter(|(_, resource)| is_kept(resource));
    kept.filter_map(|(_, resource)| Some((address_of(resource)?, needs(resource)))).collect()
}

/// The addresses of these resources of a template that hold data and are kept.
#[must_use]
pub fn kept_among<'n>(template: &str, names: impl Iterator<Item = &'n str>) -> BTreeSet<String> {
    let template = parsed(template);
    let resources: BTreeMap<&String, &Json> = part(&template, "Resources").collect();
    let kept = names.filter_map(|name| resources.get(&name.to_owned()).copied()).filter(|resource| is_kept(resource));
    kept.filter_map(address_of).map(|address| address.to_string()).collect()
}

fn with_kept(before: &Value, after: Option<&Value>, keep: &BTreeSet<Address>) -> Value {
    let old = template(before);
    let mut new = match after {
        Some(after) => template(after),
        None => {
            old.iter().filter(|(name, _)| !["Resources", "Parameters", "Outputs", "Transform"].contains(&&***name)).map(owned).collect()
        }
    };
    let stays = added(&old, &new, keep);
    if let (Some(after), true) = (after, stays.is_empty()) {
        return after.clone();
    }
    let mut needed = BTreeSet::new();
    stays.values().for_each(|resource| references(resource, &mut needed));
    let parameters: Map<String, Json> = part(&old, "Parameters").filter(|(name, _)| needed.contains(*name)).map(owned).collect();
    let names: Vec<String> = parameters.keys().cloned().collect();
    if !parameters.is_empty()
        && let Some(all) = part_mut(&mut new, "Parameters")
    {
        all.extend(parameters);
    }
    if let Some(all) = part_mut(&mut new, "Resources") {
        all.extend(stays);
    }
    let given = |stack: Option<&Value>| stack.and_then(|stack| stack.get("parameters")?.entries().cloned()).unwrap_or_default();
    let former = given(Some(before)).into_iter().filter(|(name, _)| names.iter().any(|wanted| **wanted == **name));
    let values: Vec<(Arc<str>, Value)> = former.chain(given(after)).collect();
    let settable = ["name", "capabilities", "tags"].into_iter().map(Arc::<str>::from);
    let base = after.unwrap_or(before);
    let others = settable.filter_map(|name| Some((Arc::clone(&name), base.get(&name)?.clone())));
    let own = [("template_body", Value::from(Json::Object(new).to_string())), ("parameters", Value::map(values))];
    Value::object(others.chain(own.map(|(name, value)| (Arc::from(name), value))))
}

fn owned((name, json): (&String, &Json)) -> (String, Json) {
    (name.clone(), json.clone())
}

/// The resources that are kept, with all that they refer to, as far as the new template has them not.
fn added(old: &Map<String, Json>, new: &Map<String, Json>, keep: &BTreeSet<Address>) -> Map<String, Json> {
    let there: BTreeMap<&String, &Json> = part(old, "Resources").collect();
    let wanted: BTreeSet<&String> = part(new, "Resources").map(|(name, _)| name).collect();
    let is_asked = |resource: &Json| is_kept(resource) && address_of(resource).is_some_and(|address| keep.contains(&address));
    let mut open: Vec<String> = there.iter().filter(|(_, resource)| is_asked(resource)).map(|(name, _)| (*name).clone()).collect();
    let mut stays = Map::new();
    while let Some(name) = open.pop() {
        let Some(resource) = there.get(&name).filter(|_| !wanted.contains(&name) && !stays.contains_key(&name)) else { continue };
        let mut needed = BTreeSet::new();
        references(resource, &mut needed);
        let before = resource.get("DependsOn").and_then(Json::as_array).into_iter().flatten();
        open.extend(needed.into_iter().chain(before.filter_map(|name| name.as_str().map(str::to_owned))));
        stays.insert(name, retained((*resource).clone()));
    }
    stays
}

/// A resource that was given up once, and is kept after all.
fn retained(mut resource: Json) -> Json {
    if is_kept(&resource)
        && let Some(all) = resource.as_object_mut()
    {
        set_policies(all, RETAINED);
        if let Some(said) = all.get_mut("Metadata").and_then(|metadata| metadata.get_mut(OURS)?.as_object_mut()) {
            said.remove(RELEASED);
        }
    }
    resource
}

/// What lets go of the data of a stack.
#[derive(Debug, PartialEq, Eq)]
pub struct Released {
    /// The template by which CloudFormation removes it, where that is another one than is there.
    pub template: Option<String>,
    /// The names of object stores in the template: each must be empty.
    pub stores: BTreeSet<String>,
    /// The names of databases in it: none may be protected.
    pub databases: BTreeSet<String>,
}

/// What lets go of the data that a template has and the wanted one has not; without a wanted one, of all of it.
#[must_use]
pub fn released(there: &str, wanted: Option<&str>) -> Released {
    let wanted: BTreeSet<String> =
        wanted.map(parsed).iter().flat_map(|wanted| part(wanted, "Resources")).map(|(name, _)| name.clone()).collect();
    let mut template = parsed(there);
    let (mut stores, mut databases, mut is_other) = (BTreeSet::new(), BTreeSet::new(), false);
    let resources = template.get_mut("Resources").and_then(Json::as_object_mut).into_iter().flatten();
    for (name, resource) in resources.filter(|(name, resource)| !wanted.contains(*name) && said(resource).is_some()) {
        is_other |= release(resource);
        match resource.get("Type").and_then(Json::as_str) {
            Some(BUCKET) => stores.insert(name.clone()),
            Some(DATABASE) => databases.insert(name.clone()),
            _ => false,
        };
    }
    Released { template: is_other.then(|| Json::Object(template).to_string()), stores, databases }
}

/// Whether that is another resource than before.
fn release(resource: &mut Json) -> bool {
    let Some(goes) = said(resource).and_then(|said| word(said, GOES)).map(str::to_owned) else { return false };
    let Some(all) = resource.as_object_mut() else { return false };
    let protection = all.get_mut("Properties").and_then(|properties| properties.get_mut("DeletionProtection"));
    let is_protected = protection.is_some_and(|is_on| std::mem::replace(is_on, false.into()) == Json::Bool(true));
    let is_retained = POLICIES.iter().any(|policy| all.get(*policy).and_then(Json::as_str) != Some(&*goes));
    if !is_protected && !is_retained {
        return false;
    }
    set_policies(all, [&goes, &goes]);
    if let Some(said) = all.get_mut("Metadata").and_then(|metadata| metadata.get_mut(OURS)?.as_object_mut()) {
        said.insert(RELEASED.to_owned(), true.into());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database on a subnet in a network, an object store, and a role.
    fn stack() -> Value {
        let data =
            |address: &str, goes: &str| json!({ OURS: { ADDRESS: address, ON_DESTROY: KEEP, GOES: goes, NEEDS: ["workspace.w.key"] } });
        let template = json!({
            "Description": "d",
            "Parameters": { "Password": { "Type": "String", "NoEcho": true }, "Other": { "Type": "String" } },
            "Resources": {
                "Database": {
                    "Type": "AWS::RDS::DBInstance",
                    "Properties": { "MasterUserPassword": { "Ref": "Password" }, "Group": { "Ref": "Group" }, "DeletionProtection": true },
                    "Metadata": data("workspace.w.database.d", "Snapshot"),
                    "DeletionPolicy": RETAINED[0],
                    "UpdateReplacePolicy": RETAINED[1],
                },
                "Group": { "Properties": { "SubnetIds": [{ "Fn::GetAtt": ["Subnet", "Id"] }] } },
                "Subnet": { "Properties": { "Name": { "Fn::Sub": "${Network}-x" } }, "DependsOn": ["Door"] },
                "Door": { "Type": "T" },
                "Network": { "Type": "T" },
                "Store": { "Type": BUCKET, "Metadata": data("workspace.w.storage.s", "Delete"), "DeletionPolicy": RETAINED[0], "UpdateReplacePolicy": RETAINED[1] },
                "Role": { "Properties": { "Of": { "Ref": "Other" } } },
            },
            "Outputs": { "Id": { "Value": { "Ref": "Role" } } },
        });
        let parameters = [("Password", Value::from("secret").marked(true)), ("Other", "o".into())];
        Value::object([
            ("name", Value::from("s")),
            ("template_body", template.to_string().into()),
            ("parameters", Value::map(parameters)),
            ("outputs", Value::map([("Id", Value::from("r"))])),
        ])
    }

    fn keep(addresses: &[&str]) -> BTreeSet<Address> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn names(stack: &Value, what: &str) -> Vec<String> {
        part(&template(stack), what).map(|(name, _)| name.clone()).collect()
    }

    #[test]
    fn what_is_kept_says_so() {
        let found: Vec<String> = kept(&stack()).into_keys().map(|address| address.to_string()).collect();
        assert_eq!(found, ["workspace.w.database.d", "workspace.w.storage.s"]);
        assert!(kept(&stack()).into_values().all(|needs| needs == keep(&["workspace.w.key"])));
    }

    #[test]
    fn what_is_kept_stays_with_all_that_it_refers_to_and_nothing_else() {
        let left = with_kept(&stack(), None, &keep(&["workspace.w.database.d"]));
        assert_eq!(names(&left, "Resources"), ["Database", "Door", "Group", "Network", "Subnet"]);
        assert_eq!((names(&left, "Parameters"), names(&left, "Outputs")), (vec!["Password".to_owned()], Vec::new()));
        let given = left.get("parameters").and_then(Value::entries).unwrap();
        assert_eq!(given.keys().map(|name| &**name).collect::<Vec<_>>(), ["Password"]);
        assert!(given.values().all(Value::is_sensitive) && left.get("outputs").is_none());
        assert_eq!(with_kept(&left, None, &keep(&["workspace.w.database.d"])), left, "it is the same the next time");
    }

    #[test]
    fn what_left_the_spec_stays_beside_what_is_wanted() {
        let wanted = Value::object([
            ("name", Value::from("s")),
            ("template_body", json!({ "Resources": { "Network": { "Type": "New" } }, "Outputs": {} }).to_string().into()),
            ("parameters", Value::map::<&str>([])),
        ]);
        assert_eq!(with_kept(&stack(), Some(&wanted), &BTreeSet::new()), wanted);
        let both = with_kept(&stack(), Some(&wanted), &keep(&["workspace.w.storage.s", "workspace.w.database.d"]));
        assert_eq!(names(&both, "Resources"), ["Database", "Door", "Group", "Network", "Store", "Subnet"]);
        assert_eq!(template(&both)["Resources"]["Network"]["Type"], "New");
    }

    #[test]
    fn what_is_given_up_can_go() {
        let there = stack().get("template_body").unwrap().as_str().unwrap().to_owned();
        let all = released(&there, None);
        let template = parsed(all.template.as_ref().unwrap());
        let database = &template["Resources"]["Database"];
        assert_eq!((&database["DeletionPolicy"], &database["Properties"]["DeletionProtection"]), (&json!("Snapshot"), &json!(false)));
        assert_eq!(
            (&template["Resources"]["Store"]["DeletionPolicy"], all.stores),
            (&json!("Delete"), BTreeSet::from(["Store".to_owned()]))
        );
        assert_eq!(released(all.template.as_ref().unwrap(), None).template, None, "once is enough");
        assert_eq!(released(&there, Some(&there)), Released { template: None, stores: BTreeSet::new(), databases: BTreeSet::new() });

        // Whoever changes their mind finds it kept again.
        let body = Value::object([("template_body", Value::from(&**all.template.as_ref().unwrap()))]);
        let again = with_kept(&body, None, &keep(&["workspace.w.storage.s"]));
        assert_eq!(super::template(&again)["Resources"]["Store"]["DeletionPolicy"], RETAINED[0]);
    }
}
