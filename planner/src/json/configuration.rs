//! The spec as it was expanded: `configuration`.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use cloudtik_model::{Address, Expr, ExprKind, Node, ProviderConfig, ProviderRef, Value};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::resource::{Index, NamedPlan, ResourceName};
use super::value::{Each, Named, Plain};
use crate::{Change, OutputChange};

/// `{ "provider_config": …, "root_module": … }`
pub(super) struct Configuration<'a>(pub(super) &'a NamedPlan<'a>);

impl Serialize for Configuration<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.0;
        let mut map = serializer.serialize_map(None)?;
        let providers = || plan.providers.iter().map(|(name, config)| (name.as_str(), Provider { plan, name, config }));
        map.serialize_entry("provider_config", &Named(providers))?;
        map.serialize_entry("root_module", &Module(plan))?;
        map.end()
    }
}

struct Provider<'a> {
    plan: &'a NamedPlan<'a>,
    name: &'a ProviderRef,
    config: &'a ProviderConfig,
}

impl Serialize for Provider<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.name.provider_type())?;
        if let Some(alias) = self.name.alias() {
            map.serialize_entry("alias", alias)?;
        }
        map.serialize_entry("expressions", &Expressions { plan: self.plan, instances: &|| std::iter::once(&self.config.attributes) })?;
        map.end()
    }
}

struct Module<'a>(&'a NamedPlan<'a>);

impl Serialize for Module<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Variable {
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            sensitive: bool,
        }
        let plan = self.0;
        let mut map = serializer.serialize_map(None)?;
        let outputs = plan.outputs.iter().filter(|(_, output)| output.after.is_some());
        map.serialize_entry("outputs", &Named(|| outputs.clone().map(|(name, output)| (name, Output { plan, output }))))?;
        map.serialize_entry("resources", &Each(|| plan.changes.values().filter_map(|change| Block::of(plan, change))))?;
        let variables = || plan.variables.iter().map(|(name, value)| (name, Variable { sensitive: value.has_sensitive() }));
        map.serialize_entry("variables", &Named(variables))?;
        map.end()
    }
}

struct Output<'a> {
    plan: &'a NamedPlan<'a>,
    output: &'a OutputChange,
}

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.output.sensitive {
            map.serialize_entry("sensitive", &true)?;
        }
        map.serialize_entry("expression", &Expression { plan: self.plan, values: self.output.after.as_ref().into_iter().collect() })?;
        map.end()
    }
}

/// A block with all of its instances, told by the first of them.
struct Block<'a> {
    plan: &'a NamedPlan<'a>,
    first: &'a Change,
}

impl<'a> Block<'a> {
    /// `None` when the spec does not want it, or when another instance tells it.
    fn of(plan: &'a NamedPlan<'a>, change: &'a Change) -> Option<Self> {
        let block = Self { plan, first: change };
        block.instances().next().filter(|first| first.address == change.address).map(|_| block)
    }

    fn instances(&self) -> impl Iterator<Item = &'a Change> + use<'a> {
        let block = self.first.address.without_key();
        let length = block.segments().len();
        let alone = self.first.address.key().is_none();
        let from = self.plan.changes.range((Bound::Included(block.clone()), Bound::Unbounded));
        let own = from.take_while(move |(address, _)| address.is_within(&block)).map(|(_, change)| change);
        own.take(if alone { 1 } else { usize::MAX })
            .filter(move |change| change.desired.is_some() && change.address.segments().len() == length)
    }

    fn attributes(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.instances().filter_map(|change| match &change.desired {
            Some(Node::Resource(spec)) => Some(&spec.attributes),
            _ => None,
        })
    }
}

impl Serialize for Block<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { plan, first } = self;
        let address = first.address.without_key();
        let name = plan.names.name(&address, &first.kind);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("address", &path(&name))?;
        name.write(&mut map)?;
        map.serialize_entry("provider_config_key", first.provider.as_str())?;
        map.serialize_entry("schema_version", &first.schema_version)?;
        match &first.desired {
            // What a step is given is no attribute of its node, and says little to whoever looks for resources.
            Some(Node::Step(_)) | None => map.serialize_entry("expressions", &BTreeMap::<String, ()>::new())?,
            Some(Node::Resource(_)) => map.serialize_entry("expressions", &Expressions { plan, instances: &|| self.attributes() })?,
        }
        if !first.depends_on.is_empty() {
            let names = || first.depends_on.iter().filter_map(|on| Some(path(&name_of(plan, on)?)));
            map.serialize_entry("depends_on", &Each(names))?;
        }
        map.serialize_entry("cloudtik", &Ours { address: &address })?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Ours<'a> {
    address: &'a Address,
}

/// The expression of each attribute that an instance has.
struct Expressions<'a, F> {
    plan: &'a NamedPlan<'a>,
    instances: &'a F,
}

impl<'a, F: Fn() -> I, I: Iterator<Item = &'a Value>> Serialize for Expressions<'a, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut attributes: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for (name, value) in (self.instances)().filter_map(Value::entries).flatten().filter(|(_, value)| !value.is_null()) {
            let values = attributes.entry(name).or_default();
            // Instances that agree are told once.
            if values.last().is_none_or(|last| *last != value) {
                values.push(value);
            }
        }
        serializer.collect_map(attributes.into_iter().map(|(name, values)| (name, Expression { plan: self.plan, values })))
    }
}

/// `{"constant_value": …}`, `{"references": […]}`, or nothing where instances differ, what is known of it is sensitive, or nobody is referred to.
struct Expression<'a> {
    plan: &'a NamedPlan<'a>,
    values: Vec<&'a Value>,
}

impl Serialize for Expression<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let [value] = self.values.as_slice()
            && value.is_known()
            && !value.has_sensitive()
        {
            map.serialize_entry("constant_value", &Plain(value))?;
        }
        let mut references = Vec::new();
        for value in &self.values {
            value.for_each_deferred(&mut |deferred| refer(&deferred.expr, None, self.plan, &mut references));
        }
        if !references.is_empty() {
            map.serialize_entry("references", &references)?;
        }
        map.end()
    }
}

/// What an expression refers to, from the most exact to the least: `aws_subnet.a[0].id`, `aws_subnet.a[0]`, `aws_subnet.a`.
fn refer(expr: &Expr, attribute: Option<&Arc<str>>, plan: &NamedPlan<'_>, found: &mut Vec<String>) {
    let mut add = |text: String| {
        if !found.contains(&text) {
            found.push(text);
        }
    };
    match &expr.kind {
        ExprKind::Reference(address) => {
            let Some(name) = name_of(plan, address) else { return };
            let block = path(&name);
            let instance = match &name.index {
                Some(Index::Number(index)) => format!("{block}[{index}]"),
                Some(Index::Name(key)) => format!("{block}[{key:?}]"),
                None => block.clone(),
            };
            if let Some(attribute) = attribute {
                add(format!("{instance}.{attribute}"));
            }
            add(instance);
            add(block);
        }
        ExprKind::Attribute { of, name } => refer(of, Some(name), plan, found),
        ExprKind::Literal(value) => value.for_each_deferred(&mut |deferred| refer(&deferred.expr, None, plan, found)),
        _ => expr.for_each_child(&mut |child| refer(child, None, plan, found)),
    }
}

fn name_of<'a>(plan: &'a NamedPlan<'a>, address: &'a Address) -> Option<ResourceName<'a>> {
    plan.changes.get(address).map(|change| plan.names.name(address, &change.kind))
}

/// `TYPE.NAME`
fn path(name: &ResourceName<'_>) -> String {
    format!("{}.{}", name.kind, name.name)
}
