//! What must be true and is judged only while the plan is carried out: `checks`.

use std::collections::BTreeMap;

use cloudtik_model::{Address, Condition};
use serde::Serialize;

use super::resource::{Index, NamedPlan};

/// All conditions of one block.
#[derive(Serialize)]
pub(super) struct Check<'a> {
    address: Whose<'a>,
    status: &'static str,
    instances: Vec<Instance<'a>>,
}

/// The block.
#[derive(Serialize)]
struct Whose<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    ty: Option<&'a str>,
    name: String,
    to_display: String,
}

#[derive(Serialize)]
struct Instance<'a> {
    address: Place<'a>,
    status: &'static str,
}

#[derive(Serialize, PartialEq)]
struct Place<'a> {
    to_display: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_key: Option<Index<'a>>,
}

/// Not judged yet: what was judged and holds is not in a plan, and what does not hold is a diagnostic.
const UNKNOWN: &str = "unknown";

/// One for each block whose conditions are open, by what it is called.
pub(super) fn checks<'a>(plan: &'a NamedPlan<'a>) -> Vec<Check<'a>> {
    let mut blocks: BTreeMap<String, Check<'_>> = BTreeMap::new();
    for condition in &plan.conditions {
        let (address, place) = whose(plan, condition);
        let check = blocks.entry(address.to_display.clone()).or_insert_with(|| Check { address, status: UNKNOWN, instances: Vec::new() });
        if check.instances.iter().all(|known| known.address != place) {
            check.instances.push(Instance { address: place, status: UNKNOWN });
        }
    }
    blocks.into_values().collect()
}

fn whose<'a>(plan: &'a NamedPlan<'a>, condition: &'a Condition) -> (Whose<'a>, Place<'a>) {
    if let Some(change) = condition.address.as_ref().and_then(|address| plan.changes.get(address)) {
        let name = plan.names.name(&change.address, &change.kind);
        let to_display = change.address.without_key().to_string();
        let address = Whose { kind: "resource", mode: Some(name.mode), ty: Some(name.kind), name: name.name.into_owned(), to_display };
        return (address, Place { to_display: change.address.to_string(), instance_key: name.index });
    }
    let quoted = |sort: &str| condition.of.strip_prefix(sort).map(|name| name.trim_matches([' ', '"']).to_owned());
    let (kind, mode, ty, name, to_display) = if let Some(name) = quoted("output ") {
        ("output_value", None, None, name.clone(), format!("output.{name}"))
    } else if let Some(name) = quoted("check ") {
        ("check", None, None, name.clone(), format!("check.{name}"))
    } else {
        // A block that is several objects: `workspace.w`, `cluster.c`.
        let block = condition.of.parse().map_or_else(|_| condition.of.clone(), |address: Address| address.without_key().to_string());
        let ty = condition.of.split_once('.').map(|(ty, _)| ty);
        let name = block.split_once('.').map_or(&*block, |(_, name)| name).to_owned();
        ("resource", Some("managed"), ty, name, block)
    };
    let instance = if kind == "resource" { condition.of.clone() } else { to_display.clone() };
    let place = Place { to_display: instance, instance_key: None };
    (Whose { kind, mode, ty, name, to_display }, place)
}
