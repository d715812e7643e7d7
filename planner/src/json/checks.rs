//! What must be true, and whether it is: `checks`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cloudtik_model::Address;
use serde::Serialize;

use super::resource::{Index, NamedPlan, block_of};

/// All conditions of one block.
#[derive(Serialize)]
pub(super) struct Check<'a> {
    address: Whose<'a>,
    status: Status,
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
    status: Status,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem<'a>>,
}

#[derive(Serialize)]
struct Problem<'a> {
    message: &'a str,
}

#[derive(Serialize)]
struct Place<'a> {
    to_display: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_key: Option<Index<'a>>,
}

/// Of several the greatest is that of all: what is false outweighs what is not known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Pass,
    /// It is judged while the plan is carried out.
    Unknown,
    Fail,
}

/// One for each block that has conditions, by what it is called.
pub(super) fn checks<'a>(plan: &'a NamedPlan<'a>) -> Vec<Check<'a>> {
    let open = plan.conditions.iter().map(|condition| (&*condition.of, condition.address.as_ref(), Status::Unknown, None));
    let judged = plan.judged.iter().map(|judged| {
        let problem = judged.problem.as_deref();
        (&*judged.of, judged.address.as_ref(), if problem.is_some() { Status::Fail } else { Status::Pass }, problem)
    });
    let mut blocks: BTreeMap<String, (Whose<'_>, BTreeMap<String, Instance<'_>>)> = BTreeMap::new();
    for (of, address, status, problem) in judged.chain(open) {
        let (whose, place) = whose(plan, of, address);
        let (_, instances) = blocks.entry(whose.to_display.clone()).or_insert_with(|| (whose, BTreeMap::new()));
        let instance =
            instances.entry(place.to_display.clone()).or_insert_with(|| Instance { address: place, status, problems: Vec::new() });
        instance.status = instance.status.max(status);
        instance.problems.extend(problem.map(|message| Problem { message }));
    }
    let all = blocks.into_values().map(|(address, instances)| {
        let status = instances.values().map(|instance| instance.status).max().unwrap_or(Status::Pass);
        Check { address, status, instances: instances.into_values().collect() }
    });
    all.collect()
}

fn whose<'a>(plan: &'a NamedPlan<'a>, of: &'a str, address: Option<&Address>) -> (Whose<'a>, Place<'a>) {
    if let Some(change) = address.and_then(|address| plan.changes.get(address)) {
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
    let (of, module) = match of.rsplit_once("\" in ") {
        Some((of, module)) => (of, module.parse::<Address>().ok()),
        None => (of, None),
    };
    let quoted = |sort: &str| of.strip_prefix(sort).map(|name| name.trim_matches([' ', '"']).to_owned());
    let (kind, mode, ty, name, to_display) = if let Some(name) = quoted("output ") {
        ("output_value", None, None, name.clone(), format!("output.{name}"))
    } else if let Some(name) = quoted("check ") {
        ("check", None, None, name.clone(), format!("check.{name}"))
    } else {
        return block(of);
    };
    let inside = |module: &Address, name: &str| format!("{module}.{name}");
    let around = module.as_ref().map(Address::without_keys);
    let shown = module.as_ref().map_or_else(|| to_display.clone(), |module| inside(module, &to_display));
    let to_display = around.as_ref().map_or_else(|| to_display.clone(), |module| inside(module, &to_display));
    (Whose { kind, mode, ty, name, to_display, module: around }, Place { to_display: shown, module, instance_key: None })
}

/// A block that is several objects, `workspace.w`, `cluster.c`; or the variable of a module.
fn block(of: &str) -> (Whose<'_>, Place<'_>) {
    let address = of.parse::<Address>().ok();
    let module = address.as_ref().and_then(Address::module);
    let own =
        address.as_ref().map_or_else(|| of.to_owned(), |address| Address::new(address.in_module().to_vec()).without_key().to_string());
    let (ty, name) = own.split_once('.').map_or((None, own.as_str()), |(ty, name)| (Some(ty.to_owned()), name));
    let is_variable = ty.as_deref() == Some("var");
    let whose = Whose {
        kind: if is_variable { "var" } else { "resource" },
        mode: (!is_variable).then_some("managed"),
        ty: ty.filter(|_| !is_variable).map(Cow::Owned),
        name: name.to_owned(),
        to_display: address.as_ref().map_or_else(|| of.to_owned(), |address| block_of(address).to_string()),
        module: module.as_ref().map(Address::without_keys),
    };
    (whose, Place { to_display: of.to_owned(), module, instance_key: None })
}
