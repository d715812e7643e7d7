//! What a template says in place of an answer that nobody has yet: what CloudFormation knows itself, or a parameter that whoever deploys it
//! fills in.

use std::collections::BTreeMap;

use cloudtik_model::spec::WorkspaceSpec;
use cloudtik_model::{Expr, ExprKind, Value};
use cloudtik_provider_api::ExistingStore;
use serde_json::{Value as Json, json};

use super::names::word;
use super::text::{Piece, Written};
use crate::facts::{self, account_key, store_region_key, version_key, workspace_key};

/// The subnets that a network is divided into.
const SUBNETS: usize = 16;
/// Of a /16, the bits of addresses that one of them has.
const SUBNET_BITS: usize = 12;

/// The keys of a workspace's questions.
pub(super) struct Questions {
    account: String,
    zones: String,
    networks: String,
    client: String,
    network: String,
    /// Of each database that says no version.
    versions: BTreeMap<String, String>,
    /// Of each object store that is there already, the region.
    regions: BTreeMap<String, String>,
}

/// A parameter: how the template has it, and what it is once it is known.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) definition: Json,
    /// Null where the definition has a default that is right.
    pub(super) value: Value,
}

/// A step from an answer to a part of it.
#[derive(PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

impl Questions {
    pub(super) fn of(config: &Value, workspace: &WorkspaceSpec) -> Self {
        let key = |question| workspace_key(config, workspace, question);
        Self {
            account: account_key(&workspace.provider),
            zones: key(facts::ZONES),
            networks: key(facts::VPCS),
            client: key(facts::CLIENT),
            network: key(facts::NETWORK),
            versions: workspace
                .database
                .iter()
                .map(|(label, part)| (version_key(config, workspace, label, part), format!("Database{}Version", word(label))))
                .collect(),
            regions: workspace
                .storage
                .iter()
                .filter_map(|(label, part)| {
                    let store = ExistingStore::of(part)?;
                    Some((store_region_key(config, workspace, label, store), format!("Storage{}Region", word(label))))
                })
                .collect(),
        }
    }

    /// What stands for a part of an answer. `None`: the expression is no such part.
    pub(super) fn written(&self, expr: &Expr) -> Option<Written> {
        let (key, steps) = path(expr)?;
        let names: Vec<&str> =
            steps.iter().filter_map(|step| if let Step::Name(name) = step { Some(name.as_str()) } else { None }).collect();
        if key == self.account {
            return Some(match names.as_slice() {
                ["account"] => Written::known("AWS::AccountId"),
                ["partition"] => Written::known("AWS::Partition"),
                ["region"] => Written::known("AWS::Region"),
                _ => return None,
            });
        }
        if key == self.zones {
            let [Step::Index(slot)] = steps.as_slice() else { return None };
            return Some(Written::piece(Piece::Other(json!({ "Fn::Select": [slot, { "Fn::GetAZs": "" }] }))));
        }
        let value = Value::deferred(cloudtik_model::Type::String, expr.clone());
        let parameter = |name: &str, ty: &str, doc: &str| {
            let definition = json!({ "Type": ty, "Description": doc });
            Some(Written::parameter(Parameter { name: name.to_owned(), definition, value: value.clone() }))
        };
        let (vpc, text) = ("AWS::EC2::VPC::Id", "String");
        if let Some(name) = self.versions.get(key) {
            return parameter(name, "String", "The version of the engine of a database, such as 17");
        }
        if let Some(name) = self.regions.get(key) {
            return parameter(name, "String", "The region in which an object store lies that is there already");
        }
        if names.is_empty() && (key == self.networks || key == self.client) {
            return Some(Written::parameter(network_range(value)));
        }
        let of_client = key == self.client;
        if !of_client && key != self.network {
            return None;
        }
        match (of_client, names.as_slice()) {
            (true, ["vpc_id"]) => parameter("ClientNetwork", vpc, "The network that is peered with"),
            (true, ["cidr_blocks"]) => parameter("ClientRange", text, "The range of the network that is peered with"),
            (false, ["vpc_id"]) => parameter("SharedNetwork", vpc, "The network that the workspace lies in"),
            (false, ["cidr_blocks"]) => parameter("SharedRange", text, "The range of the network that the workspace lies in"),
            (false, ["internet_gateway_id"]) => parameter("SharedInternetGateway", text, "The internet gateway of that network"),
            _ => None,
        }
    }

    /// The range of a subnet that follows from an answer: a part of our own network, or a range that is free in somebody else's.
    pub(super) fn subnet(&self, range: &Value, name: &str, is_public: bool, slot: usize) -> Option<Written> {
        let (key, steps) = path(&range.as_deferred()?.expr)?;
        if !steps.is_empty() {
            return None;
        }
        if key == self.network {
            let definition = json!({ "Type": "String", "Description": "A range that is free in the network" });
            return Some(Written::parameter(Parameter { name: format!("{name}Range"), definition, value: range.clone() }));
        }
        let index = if is_public { slot } else { SUBNETS / 2 + slot };
        let network = network_range(range.clone());
        let part = json!({ "Fn::Select": [index, { "Fn::Cidr": [{ "Ref": network.name }, SUBNETS, SUBNET_BITS] }] });
        Some(Written { pieces: vec![Piece::Other(part)], parameters: vec![network] })
    }

    /// The tables of the client's network, how many of which there are nobody knows yet.
    pub(super) fn client_tables(&self, tables: &Value) -> Option<Parameter> {
        path(&tables.as_deferred()?.expr).filter(|(key, _)| *key == self.client)?;
        let definition = json!({ "Type": "CommaDelimitedList", "Description": "The route tables of the network that is peered with" });
        let args = vec![Expr::literal(","), tables.to_expr()];
        let joined = ExprKind::Call { name: "join".into(), args, expand: false };
        let value = Value::deferred(cloudtik_model::Type::String, joined.into());
        Some(Parameter { name: "ClientRouteTables".to_owned(), definition, value })
    }
}

/// A zone that is known: a template that has its name in it is of use nowhere else.
pub(super) fn zone(slot: usize, name: &str) -> Written {
    let definition = json!({ "Type": "AWS::EC2::AvailabilityZone::Name", "Default": name, "Description": "A zone of the region" });
    Written::parameter(Parameter { name: format!("Zone{slot}"), definition, value: Value::NULL })
}

fn network_range(value: Value) -> Parameter {
    let definition = json!({
        "Type": "String",
        "Default": "10.0.0.0/16",
        "AllowedPattern": "^[0-9.]+/16$",
        "Description": "The range of the network, a /16",
    });
    Parameter { name: "NetworkRange".to_owned(), definition, value }
}

/// The answer that an expression is a part of, and the way there.
fn path(expr: &Expr) -> Option<(&str, Vec<Step>)> {
    match &expr.kind {
        ExprKind::Fact(key) => Some((key, Vec::new())),
        ExprKind::Convert { of, .. } => path(of),
        ExprKind::Attribute { of, name } => {
            let (key, mut steps) = path(of)?;
            steps.push(Step::Name(name.to_string()));
            Some((key, steps))
        }
        ExprKind::Index { of, key: index } => {
            let ExprKind::Literal(index) = &index.kind else { return None };
            let (key, mut steps) = path(of)?;
            let number = index.as_number().and_then(cloudtik_model::Number::as_u64).and_then(|index| usize::try_from(index).ok());
            steps.push(number.map(Step::Index).or_else(|| index.as_str().map(|name| Step::Name(name.to_owned())))?);
            Some((key, steps))
        }
        _ => None,
    }
}
