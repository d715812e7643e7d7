//! What a workspace and a cluster become on the simulated cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, Fields, Part, WorkspaceSpec};
use cloudtik_model::{Address, Expr, ExprKind, Lifecycle, Origin, ResourceSpec, Span, Type, Value};
use cloudtik_provider_api::Lowered;

use crate::kinds::{BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, NETWORK_KIND};
use crate::world::CLUSTER_TAG;

/// `workspace.w.network`, `.firewall`, `.storage.<n>`.
pub(crate) fn workspace(workspace: &WorkspaceSpec) -> Lowered {
    let name = name_of(&workspace.address, &workspace.fields);
    let network_address = workspace.address.child("network");
    let firewall_address = workspace.address.child("firewall");
    let made = |address: &Address, kind: &str, part: &Part| Made {
        address: address.clone(),
        kind: kind.into(),
        provider: workspace.provider.clone(),
        span: if part.span.is_none() { workspace.span } else { part.span },
        lifecycle: if part.lifecycle == Lifecycle::default() { workspace.lifecycle.clone() } else { part.lifecycle.clone() },
        depends_on: workspace.depends_on.clone(),
        marks: [("cloudtik:workspace".to_owned(), text(&name))].into_iter().collect(),
        attributes: Vec::new(),
        origins: BTreeMap::new(),
    };
    let network = made(&network_address, NETWORK_KIND, &workspace.network)
        .set("name", name.clone())
        .field(&workspace.network.fields, "cidr")
        .field(&workspace.fields, "tags")
        .done();
    let firewall = made(&firewall_address, FIREWALL_KIND, &workspace.firewall)
        .set("name", name.clone())
        .set("network", reference(&network_address, "id"))
        .set("rules", rules(workspace))
        .field(&workspace.fields, "tags")
        .done();
    let mut resources = vec![network, firewall];
    let mut storage = Vec::new();
    for (label, part) in &workspace.storage {
        let address = workspace.address.child("storage").child(Arc::clone(label));
        let bucket_name = part.fields.get("name").map(|field| field.value.clone()).filter(|value| !value.is_null());
        let bucket_name = bucket_name.unwrap_or_else(|| format!("cloudtik-{}-{label}", text(&name)).into());
        let bucket = made(&address, BUCKET_KIND, part).set("name", bucket_name.clone()).field(&workspace.fields, "tags");
        resources.push(bucket.origin("name", &part.fields).done());
        storage.push((Arc::clone(label), Value::object([("name", bucket_name), ("uri", reference(&address, "uri"))])));
    }
    let exports = Value::object([
        ("name", name),
        ("id", reference(&network_address, "id")),
        ("network", Value::object([("id", reference(&network_address, "id")), ("cidr", reference(&network_address, "cidr"))])),
        ("firewall", Value::object([("id", reference(&firewall_address, "id"))])),
        ("storage", Value::object(storage)),
    ]);
    Lowered { resources, exports, ..Lowered::default() }
}

/// `cluster.c.head`.
pub(crate) fn cluster(cluster: &ClusterSpec, workspace: &WorkspaceSpec) -> Lowered {
    let name = name_of(&cluster.address, &cluster.fields);
    let workspace_name = name_of(&workspace.address, &workspace.fields);
    let id: Value = format!("{}/{}", text(&workspace_name), text(&name)).into();
    let mut exports = vec![("name", name.clone()), ("id", id.clone()), ("workspace", workspace_name)];
    let mut resources = Vec::new();
    if let Some(head) = &cluster.head {
        let lifecycle = if head.lifecycle == Lifecycle::default() { cluster.lifecycle.clone() } else { head.lifecycle.clone() };
        let made = Made {
            address: head.address.clone(),
            kind: INSTANCE_KIND.into(),
            provider: cluster.provider.clone(),
            span: head.span,
            lifecycle,
            depends_on: cluster.depends_on.clone(),
            marks: [(CLUSTER_TAG.to_owned(), text(&id))].into_iter().collect(),
            attributes: Vec::new(),
            origins: BTreeMap::new(),
        };
        let mut instance = made
            .set("name", format!("{}-head", text(&name)).into())
            .set("network", reference(&workspace.address.child("network"), "id"))
            .after(workspace.address.child("firewall"));
        for field in ["cpus", "memory_gib", "tags", "publish", "authorized_keys"] {
            instance = instance.field(&head.fields, field);
        }
        resources.push(instance.done());
        let parts = ["id", "private_ip", "public_ip", "hostname", "ssh_command"].map(|part| (part, reference(&head.address, part)));
        exports.push(("head", Value::object(parts)));
    }
    Lowered { resources, exports: Value::object(exports), ..Lowered::default() }
}

/// The rules of the firewall, as the cloud records them.
fn rules(workspace: &WorkspaceSpec) -> Value {
    let inside = ["ssh_from", "inside"].into_iter().filter_map(|name| {
        let value = workspace.firewall.fields.get(name).map(|field| field.value.clone()).filter(|value| !value.is_null())?;
        Some(Value::object([("name", Value::from(name)), ("value", value)]))
    });
    let labelled = |direction: &'static str, parts: &BTreeMap<Arc<str>, Part>| {
        let rule = |(label, part): (&Arc<str>, &Part)| {
            let own = [(Arc::from("name"), Value::from(Arc::clone(label))), (Arc::from("direction"), Value::from(direction))];
            let fields = part.fields.iter().filter(|(_, field)| !field.value.is_null());
            Value::object(own.into_iter().chain(fields.map(|(name, field)| (Arc::clone(name), field.value.clone()))))
        };
        parts.iter().map(rule).collect::<Vec<_>>()
    };
    let rules = inside.chain(labelled("in", &workspace.ingress)).chain(labelled("out", &workspace.egress));
    Value::tuple(rules.collect::<Vec<_>>())
}

/// A resource in the making.
struct Made {
    address: Address,
    kind: Arc<str>,
    provider: cloudtik_model::ProviderRef,
    span: Span,
    lifecycle: Lifecycle,
    depends_on: BTreeSet<Address>,
    marks: BTreeMap<String, String>,
    attributes: Vec<(Arc<str>, Value)>,
    origins: BTreeMap<Arc<str>, Origin>,
}

impl Made {
    fn set(mut self, name: &str, value: Value) -> Self {
        value.addresses(&mut self.depends_on);
        self.attributes.push((name.into(), value));
        self
    }

    /// The attribute as the spec has it, if it has it.
    fn field(self, fields: &Fields, name: &str) -> Self {
        match fields.get(name) {
            Some(field) if !field.value.is_null() => self.set(name, field.value.clone()).origin(name, fields),
            _ => self,
        }
    }

    fn origin(mut self, name: &str, fields: &Fields) -> Self {
        if let Some(field) = fields.get(name) {
            self.origins.insert(name.into(), Origin { span: field.span, change: None });
        }
        self
    }

    fn after(mut self, address: Address) -> Self {
        self.depends_on.insert(address);
        self
    }

    fn done(self) -> ResourceSpec {
        ResourceSpec {
            address: self.address,
            kind: self.kind,
            provider: self.provider,
            attributes: Value::object(self.attributes),
            depends_on: self.depends_on,
            lifecycle: self.lifecycle,
            marks: self.marks,
            span: self.span,
            origins: self.origins,
        }
    }
}

/// The real name: the attribute, else the block's label.
fn name_of(address: &Address, fields: &Fields) -> Value {
    let written = fields.get("name").map(|field| field.value.clone()).filter(|value| !value.is_null());
    written.unwrap_or_else(|| address.segments().last().map_or(Value::NULL, |label| Value::from(Arc::clone(&label.name))))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn reference(address: &Address, attribute: &str) -> Value {
    Value::deferred(Type::String, Expr::from(ExprKind::Reference(address.clone())).attribute(attribute))
}
