//! The spec as it was expanded: `configuration`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use cloudtik_model::{Address, Argument, Expr, ExprKind, ModuleSpec, Node, ProviderConfig, ProviderRef, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::resource::{Index, NamedPlan, ResourceName, block_of, in_module};
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
        map.serialize_entry("root_module", &Root(plan))?;
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
        map.serialize_entry(
            "expressions",
            &Expressions { from: Place { plan: self.plan, module: None }, instances: &|| std::iter::once(&self.config.attributes) },
        )?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Variable {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
}

struct Root<'a>(&'a NamedPlan<'a>);

impl Serialize for Root<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.0;
        let mut map = serializer.serialize_map(None)?;
        let outputs = plan.outputs.iter().filter(|(_, output)| output.after.is_some());
        map.serialize_entry("outputs", &Named(|| outputs.clone().map(|(name, output)| (name, Output { plan, output }))))?;
        map.serialize_entry("resources", &Each(|| blocks(plan, None)))?;
        calls(&mut map, plan, None)?;
        let variables = || plan.variables.iter().map(|(name, value)| (name, Variable { sensitive: value.has_sensitive() }));
        map.serialize_entry("variables", &Named(variables))?;
        map.end()
    }
}

/// The blocks of a module, each told by the first instance of the module that has it.
fn blocks<'a>(plan: &'a NamedPlan<'a>, module: Option<&'a Address>) -> impl Iterator<Item = Block<'a>> {
    let mut told: BTreeSet<Address> = BTreeSet::new();
    let all = in_module(&plan.changes, module_root(module).as_ref());
    let own = all.filter(move |(address, _)| module_of(address).as_ref() == module);
    own.filter_map(move |(address, change)| {
        let block = Block::of(plan, change)?;
        (module.is_none() || told.insert(block_of(address))).then_some(block)
    })
}

/// The outermost module around, below which all instances of one stand.
fn module_root(module: Option<&Address>) -> Option<Address> {
    module.map(|module| module.prefix(1))
}

/// `module_calls` of a module, if it has some.
fn calls<M: SerializeMap>(map: &mut M, plan: &NamedPlan<'_>, module: Option<&Address>) -> Result<(), M::Error> {
    let own = || plan.modules.iter().filter(|(address, _)| address.outer().as_ref() == module);
    if own().next().is_none() {
        return Ok(());
    }
    let calls = || own().filter_map(|(address, spec)| Some((address.segments().last()?.name.to_string(), Call { plan, address, spec })));
    map.serialize_entry("module_calls", &Named(calls))
}

struct Call<'a> {
    plan: &'a NamedPlan<'a>,
    address: &'a Address,
    spec: &'a ModuleSpec,
}

impl Serialize for Call<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("source", &self.spec.source)?;
        let is_meta = |name: &str| matches!(name, "count" | "for_each");
        let all = || self.spec.arguments.iter().map(|(name, argument)| (name, Said(argument)));
        map.serialize_entry("expressions", &Named(|| all().filter(|(name, _)| !is_meta(name))))?;
        for (name, argument) in all().filter(|(name, _)| is_meta(name)) {
            map.serialize_entry(&format!("{name}_expression"), &argument)?;
        }
        map.serialize_entry("module", &Inner(self))?;
        map.end()
    }
}

/// What a call says for a variable.
struct Said<'a>(&'a Argument);

impl Serialize for Said<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self.0 {
            Argument::Constant(value) => map.serialize_entry("constant_value", &Plain(value))?,
            Argument::References(names) => map.serialize_entry("references", names)?,
        }
        map.end()
    }
}

/// An output of a module; what it is made of is not told.
#[derive(Clone, serde::Serialize)]
struct Told {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
    expression: Nothing,
}

#[derive(Clone, serde::Serialize)]
struct Nothing {}

/// What is declared in a module that is called.
struct Inner<'a>(&'a Call<'a>);

impl Serialize for Inner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Call { plan, address, spec } = self.0;
        let mut map = serializer.serialize_map(None)?;
        let outputs = || spec.outputs.iter().map(|(name, sensitive)| (name, Told { sensitive: *sensitive, expression: Nothing {} }));
        map.serialize_entry("outputs", &Named(outputs))?;
        map.serialize_entry("resources", &Each(|| blocks(plan, Some(address))))?;
        calls(&mut map, plan, Some(address))?;
        let variables = || spec.variables.iter().map(|(name, sensitive)| (name, Variable { sensitive: *sensitive }));
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
        map.serialize_entry(
            "expression",
            &Expression { from: &Place { plan: self.plan, module: None }, values: self.output.after.as_ref().into_iter().collect() },
        )?;
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
            Some(Node::Resource(_)) => {
                let from = Place { plan, module: module_of(&address) };
                map.serialize_entry("expressions", &Expressions { from, instances: &|| self.attributes() })?;
            }
        }
        if !first.depends_on.is_empty() {
            let from = Place { plan, module: module_of(&address) };
            let names = || first.depends_on.iter().filter_map(|on| Some(path(&from.name(on)?)));
            map.serialize_entry("depends_on", &Each(names))?;
        }
        map.serialize_entry("cloudtik", &Ours { address: &block_of(&address) })?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Ours<'a> {
    address: &'a Address,
}

/// Where something is told: names are those of its module, and what is in others has none there.
struct Place<'a> {
    plan: &'a NamedPlan<'a>,
    module: Option<Address>,
}

impl<'a> Place<'a> {
    fn name<'n>(&'n self, address: &Address) -> Option<ResourceName<'n>> {
        let plan = self.plan;
        let change = plan.changes.get(address).filter(|_| module_of(address) == self.module);
        change.map(|change| plan.names.name(&change.address, &change.kind))
    }
}

/// The module around an address, whatever its keys are.
fn module_of(address: &Address) -> Option<Address> {
    address.module().map(|module| module.without_keys())
}

/// The expression of each attribute that an instance has.
struct Expressions<'a, F> {
    from: Place<'a>,
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
        serializer.collect_map(attributes.into_iter().map(|(name, values)| (name, Expression { from: &self.from, values })))
    }
}

/// `{"constant_value": …}`, `{"references": […]}`, or nothing where instances differ, what is known of it is sensitive, or nobody is referred to.
struct Expression<'a> {
    from: &'a Place<'a>,
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
            value.for_each_deferred(&mut |deferred| refer(&deferred.expr, None, self.from, &mut references));
        }
        if !references.is_empty() {
            map.serialize_entry("references", &references)?;
        }
        map.end()
    }
}

/// What an expression refers to, from the most exact to the least: `aws_subnet.a[0].id`, `aws_subnet.a[0]`, `aws_subnet.a`.
fn refer(expr: &Expr, attribute: Option<&Arc<str>>, from: &Place<'_>, found: &mut Vec<String>) {
    let mut add = |text: String| {
        if !found.contains(&text) {
            found.push(text);
        }
    };
    match &expr.kind {
        ExprKind::Reference(address) => {
            let Some(name) = from.name(address) else { return };
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
        ExprKind::Attribute { of, name } => refer(of, Some(name), from, found),
        ExprKind::Literal(value) => value.for_each_deferred(&mut |deferred| refer(&deferred.expr, None, from, found)),
        _ => expr.for_each_child(&mut |child| refer(child, None, from, found)),
    }
}

/// `TYPE.NAME`
fn path(name: &ResourceName<'_>) -> String {
    format!("{}.{}", name.kind, name.name)
}
