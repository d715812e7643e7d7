//! What a worker may be, where AWS has no room for all of it: types of machine, and markets.

use cloudtik_model::spec::NodeSpec;
use cloudtik_model::{Diagnostic, Diagnostics, Value};
use cloudtik_provider_api::ResourceBuilder;

use super::cluster::renamed;
use super::place;
use crate::image::{INSTANCE_TYPE, architecture};
use crate::machine_type::ASKED;

const SPOT: &str = "spot";
const ON_DEMAND: &str = "on-demand";

fn given<'n>(node: &'n NodeSpec, name: &str) -> Option<&'n Value> {
    node.fields.get(name).map(|field| &field.value).filter(|value| !value.is_null())
}

/// The type of a node that has one only, with the attribute that says it; `chosen` is asked where the spec says what it must have.
pub(super) fn instance_type(node: &NodeSpec, chosen: impl FnOnce() -> Value) -> (Value, &'static str) {
    match (given(node, "instance_type"), ASKED.iter().find(|name| given(node, name).is_some())) {
        (Some(named), _) => (named.clone(), "instance_type"),
        (None, Some(asked)) => (chosen(), asked),
        (None, None) => (INSTANCE_TYPE.into(), "instance_type"),
    }
}

/// A worker with all that it may be.
pub(super) fn forms(node: &NodeSpec, worker: ResourceBuilder, chosen: impl FnOnce() -> Value) -> ResourceBuilder {
    let (types, name) = match given(node, "instance_types") {
        Some(types) => (types.clone(), "instance_types"),
        None => {
            let (one, name) = instance_type(node, chosen);
            (Value::list([one]), name)
        }
    };
    let markets: &[&str] = match given(node, "market").and_then(Value::as_str) {
        Some(SPOT) => &[SPOT],
        Some("spot-then-on-demand") => &[SPOT, ON_DEMAND],
        _ => &[ON_DEMAND],
    };
    worker
        .set("instance_types", types)
        .origin("instance_types", &renamed(&node.fields, name, "instance_types"))
        .set("markets", Value::list(markets.iter().map(|market| Value::from(*market))))
        .origin("markets", &renamed(&node.fields, "market", "markets"))
        .field(&node.fields, "max_price")
}

/// All types run one image, and a price is of the spot market.
pub(super) fn check(node: &NodeSpec, found: &mut Diagnostics) {
    let at = |name: &str| place(&node.fields, name, node.span);
    if let Some(types) = given(node, "instance_types").and_then(Value::elements) {
        let types: Vec<&str> = types.filter_map(Value::as_str).collect();
        let other = types.split_first().and_then(|(first, rest)| {
            let other = rest.iter().find(|other| architecture(Some(other)) != architecture(Some(first)))?;
            Some((*first, *other))
        });
        if let Some((first, other)) = other {
            let (one, two) = (architecture(Some(first)), architecture(Some(other)));
            let title = format!("`{first}` has a processor of the architecture {one}, and `{other}` of {two}: no image runs on both");
            let help = "write types of one architecture, and the others in a group of their own";
            found.push(Diagnostic::error("aws-machine", title).at(at("instance_types")).of(&node.address).help(help));
        }
        if given(node, "instance_types").and_then(Value::elements).is_some_and(|types| types.len() == 0) {
            found.push(Diagnostic::error("aws-machine", "`instance_types` is empty").at(at("instance_types")).of(&node.address));
        }
    }
    let spot = given(node, "market").and_then(Value::as_str).is_some_and(|market| market != ON_DEMAND);
    if given(node, "max_price").is_some() && !spot {
        let title = "`max_price` has no effect: it is of the spot market";
        let help = "write `market = \"spot\"` or `\"spot-then-on-demand\"`";
        found.push(Diagnostic::warning("no-effect", title).at(at("max_price")).of(&node.address).help(help));
    }
}
