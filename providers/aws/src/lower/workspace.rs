//! A workspace: its network, firewall, object stores, identities, and the record of all of it.

use cloudtik_model::spec::{Part, WorkspaceSpec};
use cloudtik_model::{Diagnostics, Type, Value};
use cloudtik_provider_api::{Facts, Lowered, reference};

use super::check_tags;
use super::identity::{HEAD, WORKERS, identities, profile};
use super::indexed;
use super::layout::Layout;
use super::maker::{Maker, id_of};
use super::network::{firewall, network};
use super::storage::stores;
use crate::kinds;
use crate::names;
use crate::text::jsonencode;

/// Of what is written into records.
const RECORD_VERSION: u64 = 1;

/// `workspace.w` and all below it.
pub(crate) fn workspace(config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
    let mut found = Diagnostics::new();
    check_tags(&workspace.fields, &mut found);
    let layout = Layout::of(config, workspace, facts, &mut found);
    let mut maker = Maker::new(workspace);
    network(&mut maker, &layout);
    firewall(&mut maker, &layout, &mut found);
    let (storage, needed) = stores(&mut maker, &layout, &mut found);
    identities(&mut maker, &layout, needed, &mut found);
    let shared = exports(&maker, &layout, storage);
    record(&mut maker, &shared);
    let own = shared.into_iter().chain([("id", layout.network.clone())]);
    let exports = Value::object(own);
    Lowered { resources: maker.finish(), exports, diagnostics: found, ..Lowered::default() }
}

/// What references to the workspace see, and others read in its record.
fn exports(maker: &Maker<'_>, layout: &Layout, storage: Value) -> Vec<(&'static str, Value)> {
    let nat = if layout.makes_subnets() { layout.spec.nat.count(layout.zones.len()) } else { 0 };
    let nat = (0..nat).map(|slot| reference(&indexed(&maker.workspace.address, "eip", slot), "public_ip", Type::String));
    let network = Value::object([
        ("id", layout.network.clone()),
        ("cidr", layout.cidr.clone()),
        ("zones", Value::list(layout.zones.iter().cloned())),
        ("public_subnet_ids", Value::list(layout.public.iter().cloned())),
        ("private_subnet_ids", Value::list(layout.private.iter().cloned())),
        ("nat_addresses", Value::list(nat)),
    ]);
    vec![
        ("name", Value::from(std::sync::Arc::clone(&maker.name))),
        ("region", layout.account.region.clone()),
        ("mode", layout.spec.mode.word().into()),
        ("network", network),
        ("firewall", Value::object([("id", id_of(&maker.at("firewall")))])),
        ("identity", Value::object([HEAD, WORKERS].map(|who| (who.part, profile(maker, who))))),
        ("storage", storage),
    ]
}

fn record(maker: &mut Maker<'_>, exports: &[(&'static str, Value)]) {
    let versioned = [("version", Value::from(RECORD_VERSION))].into_iter().chain(exports.iter().cloned());
    let part = Part { span: maker.workspace.span, ..Part::default() };
    let record = maker
        .tagged(&maker.at("record"), kinds::SSM_PARAMETER, &part, &[])
        .set("name", names::record(&maker.name))
        .set("type", "String")
        .set("value", jsonencode(&Value::object(versioned)))
        .set("description", format!("What the workspace {} is made of", maker.name));
    maker.push(record);
}
