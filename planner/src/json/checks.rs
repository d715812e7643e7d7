//! What must be true and is judged only while the plan is carried out: `checks`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cloudtik_model::{Address, Condition};
use serde::Serialize;

use super::resource::{Index, NamedPlan, block_of};

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
    ty: Option<Cow<'a, str>>,
    name: String,
    to_display: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<Address>,
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
    module: Option<Address>,
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
        let to_display = block_of(&change.address).to_string();
        let module = change.address.module();
        let around = module.as_ref().map(Address::without_keys);
        let name_of = name.name.into_owned();
        let address =
            Whose { kind: "resource", mode: Some(name.mode), ty: Some(name.kind.into()), name: name_of, to_display, module: around };
        return (address, Place { to_display: change.address.to_string(), module, instance_key: name.index });
    }
    // `check "health"`, and in a module `check "health" in module.m`.
    let (of, module) = match condition.of.rsplit_once("\" in ") {
        Some((of, module)) => (of, module.parse::<Address>().ok()),
        None => (&*condition.of, None),
    };
    let quoted = |sort: &str| of.strip_prefix(sort).map(|name| name.trim_matches([' ', '"']).to_owned());
    let (kind, mode, ty, name, to_display) = if let Some(name) = quoted("output ") {
        ("output_value", None, None, name.clone(), format!("output.{name}"))
    } else if let Some(name) = quoted("check ") {
        ("check", None, None, name.clone(), format!("check.{name}"))
    } else {
        return block(condition);
    };
    let inside = |module: &Address, name: &str| format!("{module}.{name}");
    let around = module.as_ref().map(Address::without_keys);
    let shown = module.as_ref().map_or_else(|| to_display.clone(), |module| inside(module, &to_display));
    let to_display = around.as_ref().map_or_else(|| to_display.clone(), |module| inside(module, &to_display));
    (Whose { kind, mode, ty, name, to_display, module: around }, Place { to_display: shown, module, instance_key: None })
}

/// A block that is several objects, `workspace.w`, `cluster.c`; or the variable of a module.
fn block(condition: &Condition) -> (Whose<'_>, Place<'_>) {
    let address = condition.of.parse::<Address>().ok();
    let module = address.as_ref().and_then(Address::module);
    let own = address
        .as_ref()
        .map_or_else(|| condition.of.clone(), |address| Address::new(address.in_module().to_vec()).without_key().to_string());
    let (ty, name) = own.split_once('.').map_or((None, own.as_str()), |(ty, name)| (Some(ty.to_owned()), name));
    let is_variable = ty.as_deref() == Some("var");
    let whose = Whose {
        kind: if is_variable { "var" } else { "resource" },
        mode: (!is_variable).then_some("managed"),
        ty: ty.filter(|_| !is_variable).map(Cow::Owned),
        name: name.to_owned(),
        to_display: address.as_ref().map_or_else(|| condition.of.clone(), |address| block_of(address).to_string()),
        module: module.as_ref().map(Address::without_keys),
    };
    (whose, Place { to_display: condition.of.clone(), module, instance_key: None })
}
