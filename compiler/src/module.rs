//! Modules as they are expanded: each instance of one has a world of its own, which hears of those around it through its call, and is heard
//! through its outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{Found, Reference, ReferenceStep, Step, Traversal, references};
use cloudtik_model::{
    Address, Argument, Diagnostic, Diagnostics, Expr, ExprKind, Key, MODULE, ModuleSpec, ProviderRef, Span, Value, did_you_mean,
};
use cloudtik_syntax::{Attribute, Block};

use crate::declare::{Declaration, Declarations, Name, PROVIDER};
use crate::evaluate::{Evaluated, Evaluator};
use crate::expand::{Expansion, MAX_INSTANCES, attribute, located};
use crate::language::call_meta;
use crate::modules::{ModuleId, PROVIDERS, SOURCE};
use crate::moved::read_moves;
use crate::scope::{BlockScope, Instance, Instances, SAID_BEFORE, World, value_key};

/// What another module knows of one that it calls.
#[derive(Clone, Default)]
pub(crate) struct Called {
    shape: Option<Instances>,
    /// The outputs that it declares.
    declared: BTreeSet<Arc<str>>,
    /// Those that have a value, of each instance.
    outputs: BTreeMap<Option<Key>, BTreeMap<Arc<str>, Handed>>,
}

/// A value that goes from one module into another, with what it was made of.
#[derive(Clone)]
pub(crate) struct Handed {
    pub(crate) value: Value,
    pub(crate) needs: Arc<BTreeSet<Address>>,
}

/// Who calls a module, for one instance of it.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The module that the call stands in.
    pub(crate) module: Option<Address>,
    pub(crate) label: Arc<str>,
    /// What `each` and `count` are in the call.
    pub(crate) instance: Instance,
}

impl Expansion<'_> {
    /// Goes on in the world of another module. One that is not there has had errors.
    pub(crate) fn enter(&mut self, module: Option<&Address>) {
        if self.world.module.as_ref() == module {
            return;
        }
        if let Some(next) = self.worlds.remove(&module.cloned()) {
            let last = std::mem::replace(&mut self.world, next);
            self.worlds.insert(last.module.clone(), last);
        }
    }

    /// The world of a module.
    pub(crate) fn world_of(&self, module: Option<&Address>) -> Option<&World> {
        if self.world.module.as_ref() == module { Some(&self.world) } else { self.worlds.get(&module.cloned()) }
    }

    /// Evaluates a declaration in each instance of its module.
    pub(crate) fn evaluate(&mut self, id: ModuleId, name: &Name) {
        let Some(module) = self.modules.get(id) else { return };
        let Some(declaration) = module.declarations.by_name.get(name) else { return };
        for instance in self.instances_of(id) {
            self.enter(instance.as_ref());
            let errors = self.found.len();
            self.declaration(name, declaration);
            self.say_where(errors);
        }
    }

    /// Says of errors in which instance of a module they are: the file alone does not tell.
    fn say_where(&mut self, errors: usize) {
        let Some(module) = self.world.module.clone().filter(|_| self.found.len() > errors) else { return };
        let found = std::mem::take(&mut self.found).into_iter().enumerate();
        let said = found.map(|(at, diagnostic)| if at < errors { diagnostic } else { diagnostic.note(format!("in {module}")) });
        self.found = said.collect();
    }

    /// Every instance of every module with what it declares, the root first.
    pub(crate) fn all_instances(&self) -> Vec<(Arc<Declarations>, Option<Address>)> {
        let all = self.modules.iter().flat_map(|(id, module)| {
            let instances = self.instances_of(id).into_iter();
            instances.map(|instance| (Arc::clone(&module.declarations), instance))
        });
        all.collect()
    }

    /// The world in which what an address names is declared.
    pub(crate) fn around(&self, address: &Address) -> Option<&World> {
        let module = address.module();
        let module = if address.is_module() { module.and_then(|module| module.outer()) } else { module };
        self.world_of(module.as_ref())
    }

    /// The instances of a module, by their addresses.
    pub(crate) fn instances_of(&self, id: ModuleId) -> Vec<Option<Address>> {
        if id == ModuleId::ROOT { vec![None] } else { self.expanded.get(&id).cloned().unwrap_or_default() }
    }

    /// The address of a block of this module.
    pub(crate) fn address(&self, kind: impl Into<Arc<str>>, label: &Arc<str>) -> Address {
        Address::of(kind, Arc::clone(label)).inside(self.world.module.as_ref())
    }

    /// What messages call a block of this module that has no address: `check "health"`, `check "health" in module.m`.
    pub(crate) fn called(&self, block: &str, label: &str) -> String {
        let inside = self.world.module.as_ref().map_or_else(String::new, |module| format!(" in {module}"));
        format!("{block} \"{label}\"{inside}")
    }

    /// The call of this module, with the world that it stands in.
    pub(crate) fn caller(&self) -> Option<(&Caller, &Block, &World)> {
        let caller = self.world.caller.as_ref()?;
        let (_, block) = self.modules.call(self.world.id)?;
        Some((caller, block, self.world_of(caller.module.as_ref())?))
    }

    /// What the call of this module says for a variable of it.
    pub(crate) fn argument(&self, label: &str, found: &mut Diagnostics) -> Option<(Handed, Span)> {
        let (caller, block, world) = self.caller()?;
        let argument = attribute(block, label)?;
        match (Evaluator { world, reads: self.reads, instance: &caller.instance }).expression(&argument.value, false) {
            Ok((value, needs)) => Some((Handed { value, needs: Arc::new(needs) }, argument.value.span)),
            Err(diagnostics) => {
                found.extend(diagnostics);
                None
            }
        }
    }

    /// Hands the value of an output to whoever calls this module.
    pub(crate) fn hand_out(&mut self, label: &Arc<str>, output: Handed) {
        let Some(caller) = self.world.caller.clone() else { return };
        let Some(world) = self.worlds.get_mut(&caller.module) else { return };
        if let Some(called) = world.calls.get_mut(&caller.label) {
            called.outputs.entry(caller.instance.key).or_default().insert(Arc::clone(label), output);
        }
    }

    /// The block that a reference means, also where it was handed into a module through a variable, or out of one through an output.
    pub(crate) fn referred(&self, reference: &Expr, instance: &Instance, found: &mut Diagnostics) -> Option<Address> {
        let (mut world, mut instance, mut reference) = (&self.world, instance, reference);
        let none = &Instance::default();
        loop {
            let address = Evaluator { world, reads: self.reads, instance }.address(reference, found)?;
            let local = address.segments().get(world.module.as_ref().map_or(0, |module| module.segments().len())..).unwrap_or_default();
            match (local, &world.caller) {
                ([var, name], Some(caller)) if &*var.name == "var" => {
                    let Some((_, block)) = self.modules.call(world.id) else { return Some(address) };
                    let Some(argument) = attribute(block, &name.name) else { return Some(address) };
                    let Some(outer) = self.world_of(caller.module.as_ref()) else { return Some(address) };
                    (world, instance, reference) = (outer, &caller.instance, &argument.value);
                }
                ([module, _, output], _) if &*module.name == MODULE => {
                    let inner = address.module().and_then(|module| self.world_of(Some(&module)));
                    let Some((inner, value)) = inner.and_then(|inner| Some((inner, self.output_value(inner, &output.name)?))) else {
                        return Some(address);
                    };
                    (world, instance, reference) = (inner, none, value);
                }
                _ => return Some(address),
            }
        }
    }

    fn output_value(&self, world: &World, label: &Arc<str>) -> Option<&Expr> {
        match self.modules.get(world.id)?.declarations.by_name.get(&Name::Output(Arc::clone(label)))? {
            Declaration::Block(block) => Some(&attribute(block, "value")?.value),
            Declaration::Local(_) => None,
        }
    }
}

/// Expands the call of a module: one world for each instance, in which everything is evaluated later.
pub(crate) fn expand_module(expansion: &mut Expansion<'_>, name: &Name, label: &Arc<str>, block: &Block) {
    // Of one that could not be read it has been said.
    let Some(id) = expansion.modules.child(expansion.world.id, label) else { return fail(expansion, name) };
    let Some(module) = expansion.modules.get(id) else { return fail(expansion, name) };
    let mut found = Diagnostics::new();
    check_call(block, label, &module.declarations, &mut found);
    let passed = handed_providers(expansion, block, &mut found);
    let failed = found.has_errors();
    expansion.found.extend(found);
    let Some(instances) = expansion.instances(block).filter(|_| !failed) else { return fail(expansion, name) };
    if expansion.worlds.len() as u64 + instances.list.len() as u64 > MAX_INSTANCES {
        let title = format!("the project has more than {MAX_INSTANCES} instances of modules");
        expansion.found.push(Diagnostic::error("too-many-instances", title).at(block.header));
        return fail(expansion, name);
    }
    let own = module.declarations.by_name.keys().cloned();
    let declared: Arc<BTreeSet<Name>> = Arc::new(own.chain(passed.keys().cloned()).collect());
    let passed = Arc::new(passed);
    let outer = expansion.world.module.clone();
    for instance in &instances.list {
        let mut found = Diagnostics::new();
        let wanted = attribute(block, "depends_on").map(|list| located(&expansion.evaluator(instance), &list.value, &mut found));
        expansion.found.extend(found);
        let address = expansion.address(MODULE, label).with_key(instance.key.clone());
        let needed = instance.needs.iter().map(|address| (address.clone(), block.header));
        let waits: Vec<(Address, Span)> = wanted.unwrap_or_default().into_iter().chain(needed).collect();
        if !waits.is_empty() {
            expansion.waiting.insert(address.clone(), waits);
        }
        let caller = Caller { module: outer.clone(), label: Arc::clone(label), instance: instance.clone() };
        let world = World {
            id,
            module: Some(address.clone()),
            folder: Arc::clone(&module.folder),
            caller: Some(caller),
            declared: Arc::clone(&declared),
            referenced: Arc::clone(&module.referenced),
            failed: module.cyclic.clone(),
            passed: Arc::clone(&passed),
            instances: passed.keys().map(|name| (name.clone(), Instances::One)).collect(),
            root: Arc::clone(&expansion.world.root),
            ..World::default()
        };
        expansion.worlds.insert(Some(address.clone()), world);
        expansion.expanded.entry(id).or_default().push(Some(address.clone()));
        expansion.enter(Some(&address));
        read_moves(expansion, &module.declarations.moved);
        expansion.enter(outer.as_ref());
    }
    let outputs = module.declarations.by_name.keys().filter_map(|name| match name {
        Name::Output(label) => Some(Arc::clone(label)),
        _ => None,
    });
    let written = expansion.address(MODULE, label).without_keys();
    if !expansion.graph.modules.contains_key(&written) {
        let spec = module_spec(expansion, block, &module.declarations);
        expansion.graph.modules.insert(written, spec);
    }
    let called = Called { shape: Some(instances.shape.clone()), declared: outputs.collect(), outputs: BTreeMap::new() };
    expansion.world.calls.insert(Arc::clone(label), called);
    expansion.world.instances.insert(name.clone(), instances.shape);
}

fn fail(expansion: &mut Expansion<'_>, name: &Name) {
    expansion.world.failed.insert(name.clone());
}

/// Whether what a call writes is what its module takes.
fn check_call(block: &Block, label: &str, declarations: &Declarations, found: &mut Diagnostics) {
    let meta: Vec<&str> = call_meta().iter().map(|rule| rule.schema.name).collect();
    let variables = || {
        declarations.by_name.iter().filter_map(|(name, declaration)| match (name, declaration) {
            (Name::Variable(label), Declaration::Block(block)) => Some((label, block)),
            _ => None,
        })
    };
    for attribute in &block.body.attributes {
        let name = &*attribute.name.name;
        if !meta.contains(&name) && variables().all(|(variable, _)| **variable != *name) {
            let near = did_you_mean(name, variables().map(|(variable, _)| &**variable).chain(meta.iter().copied()));
            let help = near
                .map_or_else(|| format!("declare it in the module: `variable \"{name}\" {{}}`"), |near| format!("did you mean `{near}`?"));
            let title = format!("module `{label}` has no variable `{name}`");
            found.push(Diagnostic::error("unknown-attribute", title).at(attribute.name.span).help(help));
        }
    }
    for inner in &block.body.blocks {
        let title = format!("a call of a module has no blocks, and `{}` is one", inner.kind.name);
        found.push(Diagnostic::error("unknown-block", title).at(inner.header).help(format!("write `{} = …`", inner.kind.name)));
    }
    for (variable, declared) in variables() {
        if attribute(block, variable).is_none() && attribute(declared, "default").is_none() {
            let title = format!("module `{label}` needs a value for its variable `{variable}`");
            found.push(
                Diagnostic::error("missing-variable", title)
                    .at(block.header)
                    .and_at(declared.header, "declared here")
                    .help(format!("add `{variable} = …` to the block, or a `default` to the variable")),
            );
        }
    }
}

/// The call of a module, for whoever reads from a plan how its spec is built.
fn module_spec(expansion: &Expansion<'_>, block: &Block, declarations: &Declarations) -> ModuleSpec {
    let none = Instance::default();
    let argument = |attribute: &Attribute| {
        let names: Vec<String> = references(&attribute.value).iter().map(written).collect();
        if !names.is_empty() {
            return Some(Argument::References(names));
        }
        let (value, _) = expansion.evaluator(&none).expression(&attribute.value, false).ok()?;
        (value.is_known() && !value.has_sensitive()).then_some(Argument::Constant(value))
    };
    let own = |attribute: &&Attribute| !matches!(&*attribute.name.name, SOURCE | PROVIDERS | "depends_on");
    let arguments = block.body.attributes.iter().filter(own);
    // What is computed may be true.
    let is_sensitive = |block: &Block| {
        let written = attribute(block, "sensitive").map(|attribute| &attribute.value.kind);
        written.is_some_and(|kind| !matches!(kind, ExprKind::Literal(value) if value.as_bool() == Some(false)))
    };
    let mut spec = ModuleSpec {
        source: attribute(block, SOURCE).map_or_else(String::new, |source| match &source.value.kind {
            ExprKind::Literal(value) => value.as_str().unwrap_or_default().to_owned(),
            _ => String::new(),
        }),
        arguments: arguments.filter_map(|attribute| Some((attribute.name.name.to_string(), argument(attribute)?))).collect(),
        variables: BTreeMap::new(),
        outputs: BTreeMap::new(),
    };
    for (name, declaration) in &declarations.by_name {
        match (name, declaration) {
            (Name::Variable(label), Declaration::Block(block)) => drop(spec.variables.insert(label.to_string(), is_sensitive(block))),
            (Name::Output(label), Declaration::Block(block)) => drop(spec.outputs.insert(label.to_string(), is_sensitive(block))),
            _ => {}
        }
    }
    // What a sensitive variable is, is said nowhere.
    let variables = &spec.variables;
    spec.arguments.retain(|name, argument| matches!(argument, Argument::References(_)) || variables.get(name) != Some(&true));
    spec
}

/// A reference as it is written, up to what has to be computed.
fn written(reference: &Reference) -> String {
    let mut text = reference.root.to_string();
    for step in &reference.steps {
        match step {
            ReferenceStep::Attribute(name) => {
                text.push('.');
                text.push_str(name);
            }
            ReferenceStep::Index(key) => text.push_str(&key.to_string()),
        }
    }
    text
}

/// The configurations that a module has, by what it calls them: those without alias of whoever calls, and what `providers` says.
fn handed_providers(expansion: &mut Expansion<'_>, block: &Block, found: &mut Diagnostics) -> BTreeMap<Name, ProviderRef> {
    let plain = expansion.world.declared.iter().filter_map(|name| match name {
        Name::Provider(label, None) => Some((name.clone(), expansion.configuration_ref(label, None, None))),
        _ => None,
    });
    let mut handed: BTreeMap<Name, ProviderRef> = plain.collect();
    let Some(written) = attribute(block, PROVIDERS) else { return handed };
    let ExprKind::Object(entries) = &written.value.kind else {
        let error = Diagnostic::error("not-a-reference", "`providers` says which configurations the module has").at(written.value.span);
        found.push(error.help("write `providers = { aws = aws.west }`"));
        return handed;
    };
    for (key, value) in entries {
        let Some(name) = inner_name(key) else {
            let error = Diagnostic::error("not-a-reference", "this is not what a module calls a configuration").at(key.span);
            found.push(error.help("write the type, or in quotes the type and an alias: `aws`, `\"aws.west\"`"));
            continue;
        };
        let Name::Provider(inner, _) = &name else { continue };
        let Some(used) = expansion.named_configuration(value, &Instance::default()) else { continue };
        let replaced = expansion.input.provider_override.is_some();
        if !replaced && used.provider.provider_type() != &**inner {
            let title = format!("`{name}` is of provider `{inner}`, and `{}` is not", used.provider);
            found.push(Diagnostic::error("wrong-provider", title).at(value.span));
        }
        handed.insert(name, used.provider);
    }
    handed
}

/// `aws`, `"aws.west"`
fn inner_name(key: &Expr) -> Option<Name> {
    let text = match &key.kind {
        ExprKind::Literal(value) => value.as_str()?,
        _ => return None,
    };
    let text = text.strip_prefix(PROVIDER).and_then(|rest| rest.strip_prefix('.')).unwrap_or(text);
    let (provider_type, alias) = text.split_once('.').map_or((text, None), |(provider_type, alias)| (provider_type, Some(alias)));
    Some(Name::Provider(provider_type.into(), alias.map(Arc::from)))
}

/// References to what modules give.
impl BlockScope<'_> {
    pub(crate) fn module(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        let Some(Step::Attribute(label, span)) = traversal.steps.first() else {
            return Err(Diagnostic::error("incomplete-reference", "`module` needs a name behind it").at(traversal.span).into());
        };
        let name = Name::Module(Arc::clone(label));
        let Some(called) = self.world.calls.get(label) else {
            return Err(if self.world.failed.contains(&name) { said_before(&name, *span) } else { self.world.unknown(&name, *span) }.into());
        };
        match (&called.shape, traversal.steps.get(1), traversal.steps.get(2)) {
            (Some(Instances::One), Some(Step::Attribute(output, span)), _) => {
                Ok(Found { value: self.output_of(label, called, None, output, *span)?, used: 2 })
            }
            (_, Some(Step::Index(key, _)), Some(Step::Attribute(output, span))) if is_instance(called, key) => {
                Ok(Found { value: self.output_of(label, called, value_key(key), output, *span)?, used: 3 })
            }
            _ => Ok(Found { value: self.all_outputs(label, called, *span)?, used: 1 }),
        }
    }

    fn output_of(&self, label: &str, called: &Called, key: Option<Key>, output: &Arc<str>, span: Span) -> Result<Value, Diagnostics> {
        if let Some(handed) = called.outputs.get(&key).and_then(|outputs| outputs.get(output)) {
            self.handed.borrow_mut().extend(handed.needs.iter().cloned());
            return Ok(handed.value.clone());
        }
        if called.declared.contains(output) {
            return Err(said_before(&Name::Output(Arc::clone(output)), span).into());
        }
        let near = did_you_mean(output, called.declared.iter().map(|output| &**output)).map(|near| format!("did you mean `{near}`?"));
        let help = near.unwrap_or_else(|| format!("add it to the module: `output \"{output}\" {{ value = … }}`"));
        let title = format!("module `{label}` has no output `{output}`");
        Err(Diagnostic::error("unknown-reference", title)
            .at(span)
            .help(help)
            .note("of a module its outputs are seen, and nothing else")
            .into())
    }

    /// All that a module gives, of all of its instances.
    fn all_outputs(&self, label: &str, called: &Called, span: Span) -> Result<Value, Diagnostics> {
        let of_instance = |key: Option<Key>| -> Result<Value, Diagnostics> {
            let outputs =
                called.declared.iter().map(|output| Ok((Arc::clone(output), self.output_of(label, called, key.clone(), output, span)?)));
            Ok(Value::object(outputs.collect::<Result<Vec<_>, Diagnostics>>()?))
        };
        match &called.shape {
            None | Some(Instances::One) => of_instance(None),
            Some(Instances::Count(count)) => {
                let all: Result<Vec<_>, _> = (0..*count).map(|index| of_instance(Some(Key::Index(index)))).collect();
                Ok(Value::tuple(all?))
            }
            Some(Instances::Keys(keys)) => {
                let of_key = |key: &Arc<str>| Ok((Arc::clone(key), of_instance(Some(Key::Name(Arc::clone(key))))?));
                Ok(Value::object(keys.iter().map(of_key).collect::<Result<Vec<_>, Diagnostics>>()?))
            }
        }
    }
}

fn is_instance(called: &Called, key: &Value) -> bool {
    match (&called.shape, value_key(key)) {
        (Some(Instances::Count(count)), Some(Key::Index(index))) => index < *count,
        (Some(Instances::Keys(keys)), Some(Key::Name(name))) => keys.contains(&name),
        _ => false,
    }
}

fn said_before(name: &Name, span: Span) -> Diagnostic {
    Diagnostic::error(SAID_BEFORE, format!("`{name}` has errors")).at(span)
}

/// The value of an output as others see it, with what it was made of.
pub(crate) fn handed(evaluated: &Evaluated, sensitive: bool, wanted: &[(Address, Span)]) -> Option<Handed> {
    let field = evaluated.fields.get("value")?;
    let needs = evaluated.all_needs().into_iter().chain(wanted.iter().map(|(address, _)| address.clone())).collect();
    Some(Handed { value: field.value.clone().marked(sensitive), needs: Arc::new(needs) })
}
