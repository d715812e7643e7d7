//! Configurations of providers: what `provider` blocks say, and through which of them a block is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, Key, ProviderConfig, ProviderRef, Span, Value, did_you_mean};
use cloudtik_provider_api::{CONTROLLER_PROVIDER, Presence, Provider, VALUE_KIND};
use cloudtik_syntax::Block;

use crate::declare::{ALIAS, Name, PROVIDER, configuration_named};
use crate::dynamic::{Unrolled, unrolled};
use crate::evaluate::unknown_at_plan_time;
use crate::expand::{Expansion, attribute};
use crate::language::provider_meta;
use crate::object_block::{block_rule, blocks_value};
use crate::schema::{AttributeRule, BlockSchema, check_body, not_in_effect};
use crate::scope::{Instance, Instances};

/// A configuration, for what is made through it.
#[derive(Clone)]
pub(crate) struct Used {
    pub(crate) provider: ProviderRef,
    pub(crate) definition: Arc<dyn Provider>,
    pub(crate) config: Value,
}

/// Through which configuration the instances of a block are made.
pub(crate) struct Chosen<'b> {
    /// The provider of its type, which is the same for all instances.
    pub(crate) definition: Arc<dyn Provider>,
    configuration: Configuration<'b>,
}

enum Configuration<'b> {
    /// One for all instances.
    One(Used),
    /// `aws.west[each.key]`: each instance says which.
    OfInstance(&'b Expr),
}

impl From<Used> for Chosen<'_> {
    fn from(used: Used) -> Self {
        Self { definition: Arc::clone(&used.definition), configuration: Configuration::One(used) }
    }
}

/// Whether a spec configures providers of this type: others are part of every spec that needs them.
pub(crate) fn is_for_specs(provider_type: &str) -> bool {
    provider_type != VALUE_KIND && provider_type != CONTROLLER_PROVIDER
}

/// Expands a `provider` block: one configuration, or with `for_each` one for each key.
pub(crate) fn expand_provider(expansion: &mut Expansion<'_>, name: &Name, block: &Block) {
    let Name::Provider(label, alias) = name else { return };
    let place = block.labels.first().map_or(block.header, |label| label.span);
    let Some(definition) = expansion.definition(label, place) else { return };
    let schema = block_schema(&*definition);
    let mut found = Diagnostics::new();
    check_body(&block.body, &schema, &format!("provider `{label}`"), block.header, &mut found);
    if let (Some(for_each), None) = (attribute(block, "for_each"), alias) {
        let title = "`for_each` makes a configuration for each key, and needs `alias` for their names";
        let help = format!("add `alias = \"each\"`; they are `{label}.each[\"key\"]` then");
        expansion.found.push(Diagnostic::error("no-alias", title).at(for_each.name.span).help(help));
        return;
    }
    expansion.found.extend(found);
    let Some(instances) = expansion.instances(block) else { return };
    for instance in &instances.list {
        let errors = expansion.found.len();
        let config = expansion.configuration(&*definition, &schema, block, instance);
        let provider = match alias {
            None => ProviderRef::new(Arc::clone(label)),
            Some(alias) => ProviderRef::aliased(label, alias, instance.key.clone()),
        };
        expansion.providers.insert(provider, config);
        // What is wrong with one of them is most often wrong with all.
        if expansion.found.iter().skip(errors).any(Diagnostic::is_error) {
            break;
        }
    }
    expansion.world.instances.insert(name.clone(), instances.shape);
}

fn block_schema(definition: &dyn Provider) -> BlockSchema {
    let config = &definition.schema().config;
    let attributes = config.iter().map(|schema| AttributeRule::new(schema.clone()).known());
    BlockSchema {
        name: "provider",
        labels: &["type"],
        attributes: provider_meta().into_iter().chain(attributes).collect(),
        blocks: config.iter().filter_map(block_rule).collect(),
        ..BlockSchema::default()
    }
}

/// The configuration of a type that the spec does not write.
fn unwritten(definition: &dyn Provider) -> ProviderConfig {
    let defaults = definition.schema().config.iter().filter_map(|schema| match &schema.presence {
        Presence::Default(value) => Some((schema.name, value.clone())),
        _ => None,
    });
    ProviderConfig { attributes: Value::object(defaults), span: Span::NONE }
}

/// What is evaluated of a `provider` block.
impl Expansion<'_> {
    fn configuration(&mut self, definition: &dyn Provider, schema: &BlockSchema, block: &Block, instance: &Instance) -> ProviderConfig {
        let mut found = Diagnostics::new();
        let Unrolled { block, instance } = unrolled(self, block, instance, schema, &mut found);
        let evaluator = self.evaluator(&instance);
        let evaluated = evaluator.block(&block, schema, &mut found);
        let written = evaluated.fields.iter().filter(|(name, _)| &***name != ALIAS);
        let mut attributes: BTreeMap<Arc<str>, Value> = written.map(|(name, field)| (Arc::clone(name), field.value.clone())).collect();
        for schema in &definition.schema().config {
            let Some(field) = blocks_value(&evaluator, schema, &block, &mut BTreeSet::new(), &mut found) else { continue };
            if field.value.is_known() {
                attributes.insert(Arc::from(schema.name), field.value);
            } else {
                found.push(unknown_at_plan_time(schema.name, &field.value, field.span));
            }
        }
        let config = ProviderConfig { attributes: Value::object(attributes), span: block.header };
        found.extend(definition.check_config(&config));
        self.found.extend(found);
        config
    }
}

/// Which configuration a block is made through.
impl Expansion<'_> {
    /// That which a resource or a `data` names, else the one of its type without alias.
    pub(crate) fn choose_provider<'b>(&mut self, block: &'b Block, own: &str) -> Option<Chosen<'b>> {
        match attribute(block, PROVIDER) {
            Some(named) => self.choose_named(&named.value),
            None => self.default_configuration(own, block.header).map(Chosen::from),
        }
    }

    /// That which a workspace names, else the only one there is, else the one without alias where all are of one type.
    pub(crate) fn choose_for_workspace<'b>(&mut self, block: &'b Block) -> Option<Chosen<'b>> {
        if let Some(named) = attribute(block, PROVIDER) {
            return self.choose_named(&named.value);
        }
        if let Some(other) = self.input.provider_override {
            return self.use_provider(&ProviderRef::new(other)).map(Chosen::from);
        }
        let declared: Vec<Name> = self.declared_configurations().cloned().collect();
        let types: BTreeSet<&Arc<str>> = declared.iter().filter_map(provider_type).collect();
        match (declared.as_slice(), types.first()) {
            (_, None) => {
                let known = self.input.providers.keys().filter(|name| is_for_specs(name));
                let known: Vec<String> = known.map(|name| format!("`provider \"{name}\" {{}}`")).collect();
                let help = match self.world.caller {
                    Some(_) => "hand one in where the module is called: `providers = { aws = aws.west }`".to_owned(),
                    None => format!("add {}", known.join(" or ")),
                };
                self.found
                    .push(Diagnostic::error("no-provider", "no provider is configured for this workspace").at(block.header).help(help));
                None
            }
            ([only @ Name::Provider(label, Some(alias))], _) => match self.world.instances.get(only) {
                Some(Instances::One) => self.use_provider(&self.configuration_ref(label, Some(alias), None)).map(Chosen::from),
                Some(shape) => {
                    let one = one_of(only, shape);
                    self.which_provider(format!("`{only}` is one configuration for each key"), &one, block.header);
                    None
                }
                None => None,
            },
            (all, Some(label)) if types.len() == 1 && all.contains(&Name::Provider(Arc::clone(label), None)) => {
                self.default_configuration(label, block.header).map(Chosen::from)
            }
            (all, _) => {
                let first = all.first().map_or_else(String::new, |first| self.written(first));
                self.which_provider("more than one provider is configured".to_owned(), &first, block.header);
                None
            }
        }
    }

    fn which_provider(&mut self, title: String, one: &str, place: Span) {
        let help = format!("say which: `provider = {one}`");
        self.found.push(Diagnostic::error("which-provider", title).at(place).help(help));
    }

    /// A declared configuration as other blocks write it.
    fn written(&self, name: &Name) -> String {
        self.world.instances.get(name).map_or_else(|| plain(name), |shape| one_of(name, shape))
    }

    fn choose_named<'b>(&mut self, named: &'b Expr) -> Option<Chosen<'b>> {
        if !matches!(named.kind, ExprKind::Index { .. }) {
            return self.named_configuration(named, &Instance::default()).map(Chosen::from);
        }
        let Some(Name::Provider(label, _)) = configuration_named(named) else {
            self.found.push(not_a_configuration(named.span));
            return None;
        };
        self.definition(&label, named.span)?;
        let provider = self.replaced(&ProviderRef::new(label));
        let definition = Arc::clone(self.input.providers.get(provider.provider_type())?);
        Some(Chosen { definition, configuration: Configuration::OfInstance(named) })
    }

    /// The configuration that one instance of a block is made through.
    pub(crate) fn used_provider(&mut self, chosen: &Chosen<'_>, instance: &Instance) -> Option<Used> {
        match &chosen.configuration {
            Configuration::One(used) => Some(used.clone()),
            Configuration::OfInstance(named) => self.named_configuration(named, instance),
        }
    }

    /// The configuration that an expression names: `aws`, `aws.west`, `aws.west["key"]`.
    pub(crate) fn named_configuration(&mut self, named: &Expr, instance: &Instance) -> Option<Used> {
        let Some(name) = configuration_named(named) else {
            self.found.push(not_a_configuration(named.span));
            return None;
        };
        let Name::Provider(label, alias) = &name else { return None };
        self.definition(label, named.span)?;
        let mut found = Diagnostics::new();
        let address = self.evaluator(instance).address(named, &mut found);
        self.found.extend(found);
        let key = address?.key().cloned();
        let Some(alias) = alias else {
            if key.is_some() {
                let help = format!("write `{label}`, or `{label}.ALIAS[\"key\"]`");
                self.found.push(Diagnostic::error("unknown-provider", format!("`{label}` has no keys")).at(named.span).help(help));
                return None;
            }
            return self.default_configuration(label, named.span);
        };
        if !self.world.declared.contains(&name) {
            self.found.push(self.unknown_alias(&name, named.span));
            return None;
        }
        let shape = self.world.instances.get(&name).filter(|_| !self.world.failed.contains(&name))?;
        if let Some(wrong) = wrong_key(&name, shape, key.as_ref()) {
            self.found.push(wrong.at(named.span));
            return None;
        }
        self.use_provider(&self.configuration_ref(label, Some(alias), key))
    }

    /// The configuration that this module calls so: as it is written in the root, or what the module was handed.
    pub(crate) fn configuration_ref(&self, label: &str, alias: Option<&str>, key: Option<Key>) -> ProviderRef {
        let name = Name::Provider(label.into(), alias.map(Arc::from));
        match (self.world.passed.get(&name), alias) {
            (Some(passed), _) => passed.clone(),
            (None, Some(alias)) => ProviderRef::aliased(label, alias, key),
            (None, None) => ProviderRef::new(label),
        }
    }

    /// The configuration of a type without alias. It need not be written, but where others of the type are, it is most likely forgotten.
    fn default_configuration(&mut self, label: &str, place: Span) -> Option<Used> {
        let provider = self.configuration_ref(label, None, None);
        let is_of_type = |name: &&Name| provider_type(name).is_some_and(|ty| **ty == *label);
        // Names are in order, and those with an alias follow the one without: not every name of a large project is looked at.
        let plain_name = Name::Provider(label.into(), None);
        let declared = &self.world.declared;
        if declared.contains(&plain_name) {
            // Of one that has errors it has been said.
            return if self.providers.contains_key(&provider) { self.use_provider(&provider) } else { None };
        }
        if let Some(other) = declared.range(&plain_name..).next().filter(is_of_type) {
            let help = format!("name one: `provider = {}`; or write a `provider \"{label}\"` without `alias`", self.written(other));
            let title = format!("every configuration of provider `{label}` has an alias, and nothing says which is meant");
            self.found.push(Diagnostic::error("no-default-provider", title).at(place).help(help));
            return None;
        }
        // A module is handed configurations without alias by themselves, others by name.
        if self.world.caller.is_some()
            && let Some(other) = self.modules.root().by_name.range(&plain_name..).map(|(name, _)| name).next().filter(is_of_type)
        {
            let title = format!("every configuration of provider `{label}` has an alias, and the module is handed none");
            let help = format!("say which where the module is called: `providers = {{ {label} = {} }}`", plain(other));
            self.found.push(Diagnostic::error("no-default-provider", title).at(place).help(help));
            return None;
        }
        self.use_provider(&provider)
    }

    /// A configuration, or what `--provider` puts in its place; it is entered with the defaults of its type if the spec does not write it.
    pub(crate) fn use_provider(&mut self, wanted: &ProviderRef) -> Option<Used> {
        let provider = self.replaced(wanted);
        let definition = Arc::clone(self.input.providers.get(provider.provider_type())?);
        // Another type may be configured without the aliases of the one that it replaces.
        let written = self.providers.get(&provider).or_else(|| self.providers.get(&ProviderRef::new(provider.provider_type())));
        let config = written.cloned().unwrap_or_else(|| unwritten(&*definition));
        self.providers.entry(provider.clone()).or_insert_with(|| config.clone());
        self.graph.providers.entry(provider.clone()).or_insert_with(|| config.clone());
        Some(Used { provider, definition, config: config.attributes })
    }

    /// `--provider` replaces every type by one; aliases stay, because what is made through two of them is apart.
    pub(crate) fn replaced(&self, wanted: &ProviderRef) -> ProviderRef {
        match self.input.provider_override {
            Some(other) if wanted.provider_type() != VALUE_KIND => wanted.of_type(other),
            _ => wanted.clone(),
        }
    }

    /// The provider of a type; that there is none is said.
    fn definition(&mut self, label: &str, place: Span) -> Option<Arc<dyn Provider>> {
        let known = self.input.providers.get(label).filter(|_| label != CONTROLLER_PROVIDER).map(Arc::clone);
        if known.is_none() {
            let all: Vec<&str> = self.input.providers.keys().copied().filter(|name| is_for_specs(name)).collect();
            self.found.push(if label == "onprem" {
                not_in_effect(&format!("provider \"{label}\""), place)
            } else {
                Diagnostic::error("unknown-provider", format!("there is no provider `{label}`"))
                    .at(place)
                    .maybe_help(did_you_mean(label, all.iter().copied()).map(|near| format!("did you mean `{near}`?")))
                    .note(format!("this version has {}", all.join(", ")))
            });
        }
        known
    }

    /// The configurations that the module has, without a look at everything else that it declares.
    fn declared_configurations(&self) -> impl Iterator<Item = &Name> {
        let first = Name::Provider("".into(), None);
        self.world.declared.range(first..).take_while(|name| matches!(name, Name::Provider(..)))
    }

    fn unknown_alias(&self, name: &Name, place: Span) -> Diagnostic {
        let all: Vec<String> = self.declared_configurations().map(plain).collect();
        let near = did_you_mean(&plain(name), all.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        let declare = || match name {
            Name::Provider(label, Some(alias)) => format!("declare it: `provider \"{label}\" {{ alias = \"{alias}\" … }}`"),
            _ => String::new(),
        };
        let title = format!("no configuration is called `{name}`");
        Diagnostic::error("unknown-provider", title).at(place).help(near.unwrap_or_else(declare))
    }
}

fn provider_type(name: &Name) -> Option<&Arc<str>> {
    match name {
        Name::Provider(label, _) => Some(label),
        _ => None,
    }
}

/// A configuration as other blocks name it.
fn plain(name: &Name) -> String {
    match name {
        Name::Provider(label, None) => label.to_string(),
        other => other.to_string(),
    }
}

/// The same of one that has keys, with one of them.
fn one_of(name: &Name, shape: &Instances) -> String {
    match shape {
        Instances::Keys(keys) => {
            let key = keys.first().map_or_else(|| Arc::from("key"), Arc::clone);
            format!("{}{}", plain(name), Key::Name(key))
        }
        Instances::One | Instances::Count(_) => plain(name),
    }
}

/// What is wrong with the key behind an alias.
fn wrong_key(name: &Name, shape: &Instances, key: Option<&Key>) -> Option<Diagnostic> {
    let unknown = |title: String| Diagnostic::error("unknown-provider", title);
    match (shape, key) {
        (Instances::Keys(keys), Some(Key::Name(key))) if keys.contains(key) => None,
        (Instances::Keys(keys), Some(Key::Name(key))) => {
            let near = did_you_mean(key, keys.iter().map(|key| &**key)).map(|near| format!("did you mean `{name}[\"{near}\"]`?"));
            let all: Vec<&str> = keys.iter().map(|key| &**key).collect();
            Some(unknown(format!("`{name}` has no configuration for `{key}`")).maybe_help(near).note(format!("it has {}", all.join(", "))))
        }
        (Instances::Keys(_), _) => {
            Some(unknown(format!("`{name}` is one configuration for each key")).help(format!("name one: `{}`", one_of(name, shape))))
        }
        (Instances::One | Instances::Count(_), Some(_)) => Some(unknown(format!("`{name}` has no keys")).help(format!("write `{name}`"))),
        (Instances::One | Instances::Count(_), None) => None,
    }
}

fn not_a_configuration(place: Span) -> Diagnostic {
    Diagnostic::error("not-a-reference", "a provider is named without quotes").at(place).help("write `provider = local`")
}
