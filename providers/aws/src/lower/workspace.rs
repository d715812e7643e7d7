//! A workspace: its network, firewall, object stores, databases, identities, and the record of all of it.

use cloudtik_model::spec::{Part, WorkspaceSpec};
use cloudtik_model::{Diagnostics, Type, Value};
use cloudtik_provider_api::{Facts, Lowered, record, reference, spec_exports};

use super::check_tags;
use super::database::databases;
use super::firewall::{firewall, firewall_of};
use super::identity::{HEAD, WORKERS, identities, profile};
use super::indexed;
use super::layout::Layout;
use super::maker::{Maker, id_of};
use super::network::network;
use super::storage::stores;
use crate::cloudformation::{CLOUDFORMATION, stack};
use crate::firewall::{Nodes, Rule, ingress, inside, lets_all_out};
use crate::kinds;
use crate::names;
use crate::network_spec::Nat;
use crate::text::joined;

/// Parts of the workspace without which a node is of no use: they are there before it, and go after it.
const BEFORE: &[&str] = &[
    "ingress_rule",
    "egress_rule",
    "route",
    "route_table_association",
    "peering_routes",
    "vpc_endpoint",
    "iam_role_policy",
    "iam_role_policy_attachment",
];

/// The region whose machines have names of another form, and what these end with.
const FIRST_REGION: &str = "us-east-1";
const OF_FIRST_REGION: &str = "ec2.internal";

/// `workspace.w` as it is deployed: its parts, or a stack of them.
pub(crate) fn workspace(config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
    let native = native(config, workspace, facts);
    let deploy = workspace.fields.get("deploy").and_then(|field| field.value.as_str());
    if deploy == Some(CLOUDFORMATION) { stack(config, workspace, native) } else { native }
}

/// `workspace.w` and all below it.
pub(crate) fn native(config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
    let mut found = Diagnostics::new();
    check_tags(&workspace.fields, &mut found);
    let layout = Layout::of(config, workspace, facts, &mut found);
    let mut maker = Maker::new(workspace);
    network(&mut maker, &layout);
    firewall(&mut maker, &layout, &mut found);
    let (storage, needed) = stores(&mut maker, &layout, config, facts, &mut found);
    let (database, passwords) = databases(&mut maker, &layout, config, facts, &mut found);
    identities(&mut maker, &layout, needed, passwords, &mut found);
    let shared = exports(&maker, &layout, storage, database);
    let exports = Value::object(shared);
    keep_record(&mut maker, &exports);
    let gates = BEFORE.iter().map(|part| maker.at(part)).collect();
    let resources = maker.finish();
    let there = workspace.import.map(|_| layout.whole.as_ref().map(|whole| whole.ids(&resources, &mut found)).unwrap_or_default());
    Lowered { resources, exports, gates, diagnostics: found, there, ..Lowered::default() }
}

/// What references to the workspace see, and others read in its record.
fn exports(maker: &Maker<'_>, layout: &Layout, storage: Value, database: Value) -> Vec<(&'static str, Value)> {
    let nat = if layout.makes_subnets() { layout.spec.nat.count(layout.zones.len()) } else { 0 };
    // With subnets that are given nobody knows, and those who gave them do.
    let egress = !layout.makes_subnets() || layout.spec.nat != Nat::None;
    let nat = (0..nat).map(|slot| reference(&indexed(&maker.workspace.address, "eip", slot), "public_ip", Type::String));
    let network = Value::object([
        ("id", layout.network.clone()),
        ("cidr", layout.cidr.clone()),
        ("zones", Value::list(layout.zones.iter().cloned())),
        ("public_subnet_ids", Value::list(layout.public.iter().cloned())),
        ("private_subnet_ids", Value::list(layout.private.iter().cloned())),
        ("nat_addresses", Value::list(nat)),
        ("egress", egress.into()),
        ("domain", names_end_with(&layout.account.region)),
    ]);
    let firewall = Value::object([
        ("id", id_of(&firewall_of(&maker.workspace.address, Nodes::All))),
        ("head_id", id_of(&firewall_of(&maker.workspace.address, Nodes::Heads))),
        ("admits_ssh", admits_ssh(maker, layout).into()),
        ("inside", inside(maker.workspace).into()),
        ("lets_all_out", lets_all_out(maker.workspace).into()),
    ]);
    let own = vec![
        ("name", Value::from(std::sync::Arc::clone(&maker.name))),
        ("id", layout.network.clone()),
        ("region", layout.account.region.clone()),
        ("mode", layout.spec.mode.word().into()),
        ("network", network),
        ("firewall", firewall),
        ("identity", Value::object([HEAD, WORKERS].map(|who| (who.part, profile(maker, who))))),
        ("storage", storage),
        ("database", database),
    ];
    own.into_iter().chain(spec_exports(maker.workspace)).collect()
}

/// What the names end with that AWS gives the machines of a region.
fn names_end_with(region: &Value) -> Value {
    match region.as_str() {
        Some(FIRST_REGION) => OF_FIRST_REGION.into(),
        _ => joined([region.clone(), ".compute.internal".into()]),
    }
}

fn keep_record(maker: &mut Maker<'_>, exports: &Value) {
    let part = Part { span: maker.workspace.span, ..Part::default() };
    let kept = maker
        .tagged(&maker.at("record"), kinds::SSM_PARAMETER, &part, &[])
        .set("name", names::record(&maker.name))
        .set("type", "String")
        .set("value", record(exports))
        .set("description", format!("What the workspace {} is made of", maker.name));
    maker.push(kept);
}

/// Whether a rule lets somebody outside reach SSH of heads.
fn admits_ssh(maker: &Maker<'_>, layout: &Layout) -> bool {
    let client = layout.client_range().map(|range| (layout.spec.client_access, range));
    ingress(maker.workspace, client, false, &mut Diagnostics::new()).values().any(Rule::admits_ssh)
}
