//! What every `lower` needs: resources built attribute by attribute, with their dependencies and places kept as they come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, Field, Fields, FirewallSpec, NodeSpec, Part, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{
    Address, Diagnostic, Diagnostics, Expr, ExprKind, LateName, Lifecycle, Origin, ProviderRef, ResourceSpec, Span, TemplatePart, Type,
    Value,
};

use crate::Facts;
use crate::tags::{CLUSTER_TAG, HEAD_ROLE, ROLE_TAG, WORKSPACE_TAG};

/// A resource in the making. What an attribute refers to becomes a dependency, and where the spec wrote it becomes its origin.
#[derive(Clone, Debug)]
pub struct ResourceBuilder {
    spec: ResourceSpec,
    attributes: BTreeMap<Arc<str>, Value>,
}

impl ResourceBuilder {
    /// A resource without attributes.
    pub fn new(address: Address, kind: impl Into<Arc<str>>, provider: ProviderRef, span: Span) -> Self {
        let spec = ResourceSpec {
            address,
            kind: kind.into(),
            provider,
            attributes: Value::NULL,
            depends_on: BTreeSet::new(),
            lifecycle: Lifecycle::default(),
            marks: BTreeMap::new(),
            span,
            origins: BTreeMap::new(),
        };
        Self { spec, attributes: BTreeMap::new() }
    }

    /// A part of a workspace: at the part's place, with the part's lifecycle; where the spec says neither, with the workspace's.
    #[must_use]
    pub fn part(address: Address, kind: &'static str, workspace: &WorkspaceSpec, part: &Part) -> Self {
        let span = if part.span.is_none() { workspace.span } else { part.span };
        Self::new(address, kind, workspace.provider.clone(), span)
            .lifecycle(&part.lifecycle, &workspace.lifecycle)
            .depends_on(&workspace.depends_on)
    }

    /// Made through another configuration.
    #[must_use]
    pub fn through(mut self, provider: &ProviderRef) -> Self {
        self.spec.provider = provider.clone();
        self
    }

    /// With its own lifecycle, or with that of the block around it where it says nothing.
    #[must_use]
    pub fn lifecycle(mut self, own: &Lifecycle, around: &Lifecycle) -> Self {
        let said = if *own == Lifecycle::default() { around } else { own };
        // How long things may take is said of the block alone.
        self.spec.lifecycle = Lifecycle { timeouts: around.timeouts, ..said.clone() };
        self
    }

    /// With what must exist before.
    #[must_use]
    pub fn depends_on<'a>(mut self, addresses: impl IntoIterator<Item = &'a Address>) -> Self {
        self.spec.depends_on.extend(addresses.into_iter().cloned());
        self
    }

    /// With a tag that every object of it carries.
    #[must_use]
    pub fn mark(mut self, name: &str, value: impl Into<String>) -> Self {
        self.spec.marks.insert(name.to_owned(), value.into());
        self
    }

    /// With an attribute.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        value.addresses(&mut self.spec.depends_on);
        self.attributes.insert(name.into(), value);
        self
    }

    /// With the attribute as the spec has it, if it has it.
    #[must_use]
    pub fn field(self, fields: &Fields, name: &str) -> Self {
        match fields.get(name) {
            Some(field) if !field.value.is_null() => self.set(name, field.value.clone()).origin(name, fields),
            _ => self,
        }
    }

    /// With the place of an attribute: where the spec has it, if it has it.
    #[must_use]
    pub fn origin(self, name: &str, fields: &Fields) -> Self {
        self.origin_of(name, fields, name)
    }

    /// The same of an attribute that the spec has under another name.
    #[must_use]
    pub fn origin_of(mut self, name: &str, fields: &Fields, written: &str) -> Self {
        if let Some(field) = fields.get(written) {
            self.spec.origins.insert(name.into(), Origin { span: field.span, change: None });
        }
        self
    }

    /// The resource.
    #[must_use]
    pub fn build(self) -> ResourceSpec {
        ResourceSpec { attributes: Value::object(self.attributes), ..self.spec }
    }
}

/// What will be known of an object once it is there.
#[must_use]
pub fn reference(address: &Address, attribute: &str, ty: Type) -> Value {
    Value::deferred(ty, Expr::from(ExprKind::Reference(address.clone())).attribute(attribute))
}

/// The answer to a question of a plan, or what stands for it as long as nobody was asked.
#[must_use]
pub fn fact(facts: &Facts, key: &str, ty: Type) -> Value {
    facts.get(key).cloned().unwrap_or_else(|| {
        let of = Arc::new(Expr::from(ExprKind::Fact(key.into())));
        Value::deferred(ty.clone(), ExprKind::Convert { to: ty, of }.into())
    })
}

/// The name in the world: the attribute `name`, else the block's label.
#[must_use]
pub fn real_name(address: &Address, fields: &Fields) -> Arc<str> {
    let written = fields.get("name").and_then(|field| field.value.as_str());
    let label = || address.segments().last().map(|label| Arc::clone(&label.name));
    written.map(Arc::from).or_else(label).unwrap_or_default()
}

/// The attribute of a node that is its host name, for every provider of nodes.
pub const NODE_NAME: &str = "name";

/// The host name of the workers of a group: known but for the number that each gets.
#[must_use]
pub fn worker_name(cluster: &str, group: &str) -> Value {
    let number = Expr::from(ExprKind::Late(LateName::Node("sequence".into())));
    let parts = vec![TemplatePart::Text(format!("{cluster}-{group}-").into()), TemplatePart::Value(number)];
    Value::deferred(Type::String, Expr::from(ExprKind::Template(parts)))
}

/// Those of some fields that the spec writes: a default stands nowhere.
pub fn written<'f>(fields: &'f Fields, names: &'f [&'f str]) -> impl Iterator<Item = (&'f str, &'f Field)> {
    let field = |name: &&'f str| fields.get(*name).map(|field| (*name, field));
    names.iter().filter_map(field).filter(|(_, field)| !field.span.is_none() && !field.value.is_null())
}

/// What is said of fields that the spec writes and that do nothing with its provider: the same spec must work with another one.
#[must_use]
pub fn no_effect(of: &Address, provider: &ProviderRef, fields: &Fields, names: &[&str]) -> Diagnostics {
    written(fields, names).map(|(name, field)| no_effect_at(of, provider, name, field.span)).collect()
}

/// The same of a block.
#[must_use]
pub fn no_effect_at(of: &Address, provider: &ProviderRef, name: &str, span: Span) -> Diagnostic {
    Diagnostic::warning("no-effect", format!("`{name}` has no effect with provider `{provider}`")).at(span).of(of)
}

/// What is said of `public_ip` of a head where nodes have no addresses in the world. One that shall stay is refused: somebody counts on it.
#[must_use]
pub fn no_public_addresses(head: &NodeSpec, provider: &ProviderRef) -> Diagnostics {
    let asked = head.fields.get("public_ip").filter(|field| field.value.as_str() == Some("static"));
    let Some(field) = asked else { return no_effect(&head.address, provider, &head.fields, &["public_ip"]) };
    let title = format!("provider `{provider}` has no public addresses, so none of them can be static");
    let diagnostic = Diagnostic::error("no-static-address", title).at(field.span).of(&head.address);
    [diagnostic.help("leave out `public_ip`: nodes are reached without it")].into_iter().collect()
}

/// The attributes of a workspace's blocks that only clouds with networks, accounts and data centres of their own have a use for.
#[must_use]
pub fn no_effect_of_cloud(workspace: &WorkspaceSpec) -> Diagnostics {
    const NETWORK: &[&str] = &["zones", "nat", "client_vpc", "client_access", "subnets", "endpoints"];
    const STORAGE: &[&str] = &["versioning", "encrypted", "kms_key_id", "worker_access"];
    const IDENTITY: &[&str] = &["head", "workers", "permissions_boundary", "path", "head_policies", "worker_policies"];
    let (of, provider) = (&workspace.address, &workspace.provider);
    let mut found = no_effect(of, provider, &workspace.network.fields, NETWORK);
    found.extend(workspace.client.iter().map(|client| no_effect_at(of, provider, "client_provider", client.span)));
    found.extend(no_effect(of, provider, &workspace.identity.fields, IDENTITY));
    let stack = workspace.fields.get("deploy").filter(|field| field.value.as_str() != Some("native"));
    found.extend(stack.map(|field| no_effect_at(of, provider, "deploy", field.span)));
    workspace.storage.values().for_each(|part| found.extend(no_effect(of, provider, &part.fields, STORAGE)));
    found
}

/// The rules of a firewall as one value, for clouds that record them as they are written.
#[must_use]
pub fn firewall_rules(firewall: &FirewallSpec) -> Value {
    let general = ["ssh_from", "inside"].into_iter().filter_map(|name| {
        let value = firewall.own.fields.get(name).map(|field| field.value.clone()).filter(|value| !value.is_null())?;
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
    let rules = general.chain(labelled("in", &firewall.ingress)).chain(labelled("out", &firewall.egress));
    Value::tuple(rules.collect::<Vec<_>>())
}

/// The suffix of names of services and nodes in workspaces that say no `domain`.
pub const DOMAIN: &str = "cloudtik";

/// What clusters see of a workspace as its spec says it, whatever the cloud is, also those of other projects: its `domain`, and its `proxy`
/// where it has one.
#[must_use]
pub fn spec_exports(workspace: &WorkspaceSpec) -> Vec<(&'static str, Value)> {
    let domain = workspace.fields.get("domain").map(|field| field.value.clone()).filter(|domain| !domain.is_null());
    let said = workspace.proxy.fields.iter().filter(|(_, field)| !field.value.is_null());
    let said: BTreeMap<Arc<str>, Value> = said.map(|(name, field)| (Arc::clone(name), field.value.clone())).collect();
    let proxy = (!said.is_empty()).then(|| ("proxy", Value::object(said)));
    std::iter::once(("domain", domain.unwrap_or_else(|| DOMAIN.into()))).chain(proxy).collect()
}

/// What the resources of a workspace begin with, whatever the cloud is: each provider adds what only it has.
#[derive(Clone, Debug)]
pub struct WorkspaceStart<'a> {
    /// The name in the world.
    pub name: Arc<str>,
    /// `workspace.w.network` with its name, mode and tags.
    pub network: ResourceBuilder,
    /// `workspace.w.firewall` with its name, network, rules and tags.
    pub firewall: ResourceBuilder,
    /// What references to the workspace see of these two.
    pub exports: Vec<(&'static str, Value)>,
    /// The rules are there before the first node that they are for.
    pub gates: BTreeSet<Address>,
    workspace: &'a WorkspaceSpec,
}

impl<'a> WorkspaceStart<'a> {
    /// With these kinds.
    #[must_use]
    pub fn new(workspace: &'a WorkspaceSpec, network_kind: &'static str, firewall_kind: &'static str) -> Self {
        let name = real_name(&workspace.address, &workspace.fields);
        let (network_address, firewall_address) = (workspace.address.child("network"), workspace.address.child("firewall"));
        let of_network = |attribute| reference(&network_address, attribute, Type::String);
        let exports = vec![
            ("name", Value::from(Arc::clone(&name))),
            ("id", of_network("id")),
            ("network", Value::object([("id", of_network("id")), ("cidr", of_network("cidr"))])),
            ("firewall", Value::object([("id", reference(&firewall_address, "id", Type::String))])),
        ];
        let exports = exports.into_iter().chain(spec_exports(workspace)).collect();
        let part = |address: &Address, kind: &'static str, part: &Part| {
            ResourceBuilder::part(address.clone(), kind, workspace, part)
                .mark(WORKSPACE_TAG, &*name)
                .set("name", Arc::clone(&name))
                .field(&workspace.fields, "tags")
        };
        let network = part(&network_address, network_kind, &workspace.network).field(&workspace.network.fields, "mode");
        let firewall = part(&firewall_address, firewall_kind, &workspace.firewall.own)
            .set("network", of_network("id"))
            .set("rules", firewall_rules(&workspace.firewall));
        Self { network, firewall, exports, gates: BTreeSet::from([firewall_address]), workspace, name }
    }

    /// `workspace.w.storage.LABEL` with its name and tags, and what references see of it.
    #[must_use]
    pub fn bucket(&self, label: &Arc<str>, part: &Part, kind: &'static str) -> (ResourceBuilder, Value) {
        let address = self.workspace.address.child("storage").child(Arc::clone(label));
        let written = part.fields.get("name").map(|field| field.value.clone()).filter(|value| !value.is_null());
        let name = written.unwrap_or_else(|| format!("cloudtik-{}-{label}", self.name).into());
        let export = Value::object([("name", name.clone()), ("uri", reference(&address, "uri", Type::String))]);
        let bucket = ResourceBuilder::part(address, kind, self.workspace, part)
            .mark(WORKSPACE_TAG, &*self.name)
            .set("name", name)
            .origin("name", &part.fields)
            .field(&self.workspace.fields, "tags");
        (bucket, export)
    }
}

/// What the resources of a cluster begin with.
#[derive(Clone, Debug)]
pub struct ClusterStart {
    /// The cluster's name in the world.
    pub name: Arc<str>,
    /// The head's host name.
    pub head_name: String,
    /// `cluster.c.head`; what it takes of the spec beside what all nodes take is the provider's to say.
    pub head: Option<ResourceBuilder>,
    /// What a worker of each group is made of, by label.
    pub workers: BTreeMap<Arc<str>, ResourceBuilder>,
    /// `cluster.c.firewall`, for clouds that have one for all nodes of a cluster.
    pub firewall: Option<ResourceBuilder>,
    /// What references to the cluster see.
    pub exports: Vec<(&'static str, Value)>,
}

impl ClusterStart {
    /// With nodes of this kind, which take these attributes of the spec.
    #[must_use]
    pub fn new(cluster: &ClusterSpec, workspace: &WorkspaceUse, kind: &'static str, fields: &[&str]) -> Self {
        let name = real_name(&cluster.address, &cluster.fields);
        let (id, head_name) = (format!("{}/{name}", workspace.name), format!("{name}-head"));
        let mut exports =
            vec![("name", Value::from(Arc::clone(&name))), ("id", id.as_str().into()), ("workspace", Arc::clone(&workspace.name).into())];
        let node = |node: &NodeSpec| {
            let start = ResourceBuilder::new(node.address.clone(), kind, cluster.provider.clone(), node.span)
                .lifecycle(&node.lifecycle, &cluster.lifecycle)
                .depends_on(&cluster.depends_on)
                .depends_on(&workspace.gates)
                .mark(WORKSPACE_TAG, &*workspace.name);
            fields.iter().fold(start, |start, field| start.field(&node.fields, field))
        };
        let head = cluster.head.as_ref().map(|head| {
            let parts = ["id", "private_ip", "public_ip", "hostname", "ssh_command"];
            exports.push(("head", Value::object(parts.map(|part| (part, reference(&head.address, part, Type::String))))));
            let start = node(head).mark(CLUSTER_TAG, &*id).mark(ROLE_TAG, HEAD_ROLE).set("name", &*head_name);
            if cluster.workers_max > 0 { start.set("max_workers", cluster.workers_max) } else { start }
        });
        // The mark of the cluster is the controller's to give: it knows the whole of it.
        let worker = |(group, spec): (&Arc<str>, &NodeSpec)| (Arc::clone(group), node(spec).set(NODE_NAME, worker_name(&name, group)));
        let workers = cluster.workers.iter().map(worker).collect();
        Self { name, head_name, head, workers, firewall: None, exports }
    }

    /// The same with nodes that name the workspace's network in an attribute of their own.
    #[must_use]
    pub fn in_network_of(mut self, workspace: &WorkspaceUse) -> Self {
        let Some(id) = workspace.exports.get("network").and_then(|network| network.get("id")).cloned() else { return self };
        self.head = self.head.map(|head| head.set("network", id.clone()));
        self.workers = self.workers.into_iter().map(|(group, worker)| (group, worker.set("network", id.clone()))).collect();
        self
    }

    /// The same with `cluster.c.firewall`, where the spec has one: it is there before the first node.
    #[must_use]
    pub fn with_firewall(mut self, cluster: &ClusterSpec, workspace: &WorkspaceUse, kind: &'static str) -> Self {
        let Some(firewall) = &cluster.firewall else { return self };
        let address = cluster.address.child("firewall");
        let built = ResourceBuilder::new(address.clone(), kind, cluster.provider.clone(), firewall.own.span)
            .lifecycle(&Lifecycle::default(), &cluster.lifecycle)
            .depends_on(&cluster.depends_on)
            .mark(WORKSPACE_TAG, &*workspace.name)
            .mark(CLUSTER_TAG, format!("{}/{}", workspace.name, self.name))
            .set("name", format!("{}-{}", workspace.name, self.name))
            .set("rules", firewall_rules(firewall))
            .field(&cluster.fields, "tags");
        let network = workspace.exports.get("network").and_then(|network| network.get("id")).cloned();
        self.firewall = Some(match network {
            Some(network) => built.set("network", network),
            None => built,
        });
        self.after(std::iter::once(&address))
    }

    /// The same with nodes that come after these.
    #[must_use]
    pub fn after<'a>(mut self, gates: impl Iterator<Item = &'a Address> + Clone) -> Self {
        self.head = self.head.map(|head| head.depends_on(gates.clone()));
        self.workers = self.workers.into_iter().map(|(group, worker)| (group, worker.depends_on(gates.clone()))).collect();
        self
    }

    /// The same with an attribute of the spec that only heads take.
    #[must_use]
    pub fn with_of_head(mut self, cluster: &ClusterSpec, name: &str) -> Self {
        if let (Some(head), Some(spec)) = (self.head.take(), &cluster.head) {
            self.head = Some(head.field(&spec.fields, name));
        }
        self
    }

    /// The workers as templates.
    #[must_use]
    pub fn templates(workers: BTreeMap<Arc<str>, ResourceBuilder>) -> BTreeMap<Arc<str>, ResourceSpec> {
        workers.into_iter().map(|(group, worker)| (group, worker.build())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudtik_model::FileId;
    use cloudtik_model::spec::Field;

    #[test]
    fn what_an_attribute_refers_to_must_exist_before() {
        let (network, gate) = (Address::of("sim_network", "n"), Address::of("sim_firewall", "f"));
        let span = Span::new(FileId(0), 3, 5);
        let fields: Fields = [("cpus".into(), Field::new(2_u64.into(), span)), ("note".into(), Field::default())].into_iter().collect();
        let made = ResourceBuilder::new(Address::of("sim_instance", "i"), "sim_instance", ProviderRef::new("sim"), Span::NONE)
            .set("network", reference(&network, "id", Type::String))
            .field(&fields, "cpus")
            .field(&fields, "note")
            .field(&fields, "absent")
            .depends_on([&gate])
            .mark("cloudtik:cluster", "w/c")
            .build();
        assert_eq!(made.depends_on, [network, gate].into_iter().collect());
        assert_eq!(made.attributes.get("cpus"), Some(&2_u64.into()));
        assert_eq!(made.attributes.entries().unwrap().len(), 2);
        assert_eq!(made.origins["cpus"].span, span);
        assert_eq!(made.marks["cloudtik:cluster"], "w/c");
    }

    #[test]
    fn a_lifecycle_of_its_own_wins() {
        let around = Lifecycle { prevent_destroy: true, ..Lifecycle::default() };
        let own = Lifecycle { create_before_destroy: true, ..Lifecycle::default() };
        let made = || ResourceBuilder::new(Address::of("k", "n"), "k", ProviderRef::new("sim"), Span::NONE);
        assert_eq!(made().lifecycle(&own, &around).build().lifecycle, own);
        assert_eq!(made().lifecycle(&Lifecycle::default(), &around).build().lifecycle, around);
    }

    #[test]
    fn a_name_is_the_attribute_or_the_label() {
        let address = Address::of("workspace", "w");
        assert_eq!(&*real_name(&address, &Fields::new()), "w");
        let fields: Fields = [("name".into(), Field::new("real".into(), Span::NONE))].into_iter().collect();
        assert_eq!(&*real_name(&address, &fields), "real");
    }
}
