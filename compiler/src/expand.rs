//! Evaluates declarations in order and expands blocks to instances: `count` and `for_each` become concrete addresses here, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{Context, Variables, convert, evaluate, impure_calls, parse_type};
use cloudtik_model::spec::WorkspaceUse;
use cloudtik_model::{
    Address, ConditionKind, Diagnostic, Diagnostics, Expr, ExprKind, Graph, HeadConfig, Key, Lifecycle, Node, Origin, OutputSpec,
    ProviderConfig, ProviderRef, ResourceSpec, Span, Type, Value, did_you_mean,
};
use cloudtik_provider_api::{FactQuestion, Facts, KindSchema, fact, with_default_tags};
use cloudtik_syntax::{Attribute, Block};

use crate::cluster::expand_cluster;
use crate::compile::NodeTimeouts;
use crate::data::expand_data;
use crate::declare::{Declaration, Name};
use crate::dynamic::{Unrolled, unrolled};
use crate::evaluate::{Evaluated, Evaluator, Whose, article, unknown_at_plan_time};
use crate::import::whole_workspaces;
use crate::input::{CompileInput, Given, text_expression};
use crate::language::{resource_meta, top_level};
use crate::load::Reads;
use crate::module::{expand_module, handed};
use crate::modules::{ModuleId, Modules};
use crate::moved::Moves;
use crate::object_block::{block_rule, blocks_value};
use crate::providers::expand_provider;
use crate::schema::{AttributeRule, BlockSchema, check_body};
use crate::scope::{Instance, Instances, World, static_address};
use crate::spec_text::SpecOf;
use crate::template::{FROM, Layer, Shipped, declare_template, say_who_inherits};
use crate::workspace::{Workspaces, expand_workspace};

/// The largest number of instances of one block: ten times the largest cluster that is measured.
pub(crate) const MAX_INSTANCES: u64 = 100_000;

/// After this many failing instances of one block the others are not looked at: they fail for the same reason.
const MAX_FAILING_INSTANCES: usize = 5;

/// A compilation under way.
pub(crate) struct Expansion<'a> {
    pub(crate) input: &'a CompileInput<'a>,
    pub(crate) reads: &'a Reads<'a>,
    /// The module that is evaluated now.
    pub(crate) world: World,
    /// All others, by their addresses.
    pub(crate) worlds: BTreeMap<Option<Address>, World>,
    pub(crate) modules: &'a Modules,
    /// The instances of each module but the root.
    pub(crate) expanded: BTreeMap<ModuleId, Vec<Option<Address>>>,
    /// What everything in a module waits for, with the place that says so.
    pub(crate) waiting: BTreeMap<Address, Vec<(Address, Span)>>,
    /// The schemas of top-level blocks, by name.
    language: BTreeMap<&'static str, Arc<BlockSchema>>,
    pub(crate) given: BTreeMap<String, Given>,
    pub(crate) providers: BTreeMap<ProviderRef, ProviderConfig>,
    pub(crate) workspaces: Workspaces,
    /// Workspaces of other projects, as their records say.
    pub(crate) recorded: BTreeMap<Address, WorkspaceUse>,
    /// What `data` blocks ask, and nobody has answered yet.
    pub(crate) questions: BTreeMap<ProviderRef, Vec<FactQuestion>>,
    pub(crate) clusters: Vec<(cloudtik_model::spec::ClusterSpec, ProviderRef)>,
    pub(crate) graph: Graph,
    /// `depends_on` as written, with its place: checked and spread over nodes at the end.
    pub(crate) wanted: BTreeMap<Address, Vec<(Address, Span)>>,
    /// What else must be there, because `depends_on` of an output or `replace_triggered_by` names it.
    pub(crate) named: BTreeMap<Span, Address>,
    pub(crate) variables: BTreeMap<String, Value>,
    pub(crate) notes: Vec<String>,
    pub(crate) timeouts: BTreeMap<Address, NodeTimeouts>,
    /// What groups of workers were called.
    pub(crate) moves: Moves,
    /// Workspaces that are taken over whole, by address without keys, with the place that says so.
    pub(crate) whole: BTreeMap<Address, Span>,
    /// The ids that their parts have, where the provider knows them.
    pub(crate) there: BTreeMap<Address, BTreeMap<Address, String>>,
    /// What the controllers on heads are told, by cluster.
    pub(crate) head_configs: BTreeMap<Address, HeadConfig>,
    /// The templates of providers.
    pub(crate) shipped: Shipped,
    /// The block that is to be written down.
    pub(crate) spec_of: Option<SpecOf>,
    /// Real names in the world, with the place of the first that has each.
    names: BTreeMap<String, Span>,
    pub(crate) found: Diagnostics,
    kinds: BTreeMap<Arc<str>, Arc<Kind>>,
}

/// A kind as a block sees it.
struct Kind {
    schema: KindSchema,
    block: BlockSchema,
    provider: &'static str,
}

impl<'a> Expansion<'a> {
    pub(crate) fn new(input: &'a CompileInput<'a>, reads: &'a Reads<'a>, given: BTreeMap<String, Given>, modules: &'a Modules) -> Self {
        let root = modules.get(ModuleId::ROOT);
        let declared = root.map(|root| Arc::new(root.declarations.by_name.keys().cloned().collect())).unwrap_or_default();
        let world = World {
            declared,
            referenced: root.map(|root| Arc::clone(&root.referenced)).unwrap_or_default(),
            // What is part of a cycle has been said; what needs it is left out without a second error.
            failed: root.map(|root| root.cyclic.clone()).unwrap_or_default(),
            root: input.sources.root().into(),
            ..World::default()
        };
        Self {
            input,
            reads,
            world,
            worlds: BTreeMap::new(),
            modules,
            expanded: BTreeMap::new(),
            waiting: BTreeMap::new(),
            language: top_level().blocks.into_iter().map(|rule| (rule.schema.name, Arc::new(rule.schema))).collect(),
            given,
            providers: BTreeMap::new(),
            workspaces: Workspaces::default(),
            recorded: BTreeMap::new(),
            questions: BTreeMap::new(),
            clusters: Vec::new(),
            graph: Graph::default(),
            wanted: BTreeMap::new(),
            named: BTreeMap::new(),
            variables: BTreeMap::new(),
            notes: Vec::new(),
            timeouts: BTreeMap::new(),
            moves: Moves::default(),
            whole: root.map(|root| whole_workspaces(&root.declarations.imports)).unwrap_or_default(),
            there: BTreeMap::new(),
            head_configs: BTreeMap::new(),
            shipped: Shipped::default(),
            spec_of: None,
            names: BTreeMap::new(),
            found: Diagnostics::new(),
            kinds: BTreeMap::new(),
        }
    }

    /// Evaluates one declaration; everything it needs was evaluated before.
    pub(crate) fn declaration(&mut self, name: &Name, declaration: &Declaration) {
        let errors = self.found.len();
        match (name, declaration) {
            (Name::Variable(label), Declaration::Block(block)) => self.variable(name, label, block),
            (Name::Local(_), Declaration::Local(attribute)) => self.local(name, attribute),
            (Name::Provider(..), Declaration::Block(block)) => expand_provider(self, name, block),
            (Name::Resource(kind, label), Declaration::Block(block)) => self.resource(name, kind, label, block),
            (Name::Data(kind, label), Declaration::Block(block)) => expand_data(self, name, kind, label, block),
            (Name::Workspace(_), Declaration::Block(block)) => expand_workspace(self, name, block),
            (Name::Cluster(_), Declaration::Block(block)) => expand_cluster(self, name, block),
            (Name::Output(label), Declaration::Block(block)) => self.output(label, block),
            (Name::Template(_), Declaration::Block(block)) => declare_template(self, block),
            (Name::Module(label), Declaration::Block(block)) => return expand_module(self, name, label, block),
            _ => {}
        }
        let failed = self.found.iter().skip(errors).any(Diagnostic::is_error);
        let is_value = !matches!(name, Name::Output(_) | Name::Provider(..) | Name::Template(_));
        if failed || is_value && !self.world.values.contains_key(name) {
            self.world.failed.insert(name.clone());
        }
        if let (Name::Workspace(_) | Name::Cluster(_), Some(from)) = (name, declaration.attribute(FROM)) {
            say_who_inherits(self, errors, name, from);
        }
    }

    /// Whether a place is in a template.
    pub(crate) fn is_in_template(&self, place: Span) -> bool {
        let is_in = |block: &Block| block.span.file == place.file && (block.span.start..block.span.end).contains(&place.start);
        let own = self.world.templates.values().filter_map(|layers| match layers.last() {
            Some(Layer::Own(block)) => Some(block),
            _ => None,
        });
        self.shipped.has(place) || own.into_iter().any(|block| is_in(block))
    }

    /// Takes a real name. Two blocks of one name would be one thing in the world, of which each run makes something else.
    pub(crate) fn claim_name(&mut self, what: String, place: Span) {
        let Some(other) = self.names.get(&what).copied() else {
            self.names.insert(what, place);
            return;
        };
        if place == other {
            let title = format!("more than one would be {what}");
            let help = "the block is there more than once: make its `name` of what differs, such as a variable of its module";
            self.found.push(Diagnostic::error("duplicate-name", title).at(place).help(help));
            return;
        }
        self.found.push(
            Diagnostic::error("duplicate-name", format!("there are two of {what}"))
                .at_saying(place.max(other), "the second")
                .and_at(place.min(other), "the first")
                .help("give one of them another `name`"),
        );
    }

    /// An evaluator of one instance.
    pub(crate) const fn evaluator<'e>(&'e self, instance: &'e Instance) -> Evaluator<'e> {
        Evaluator { world: &self.world, reads: self.reads, instance }
    }

    /// The schema of a top-level block.
    pub(crate) fn top(&self, name: &str) -> Arc<BlockSchema> {
        self.language.get(name).map(Arc::clone).unwrap_or_default()
    }

    fn variable(&mut self, name: &Name, label: &Arc<str>, block: &Block) {
        let schema = self.top("variable");
        let instance = Instance::default();
        let mut found = Diagnostics::new();
        let fields = self.evaluator(&instance).block(block, &schema, &mut found);
        let ty = match attribute(block, "type").map(|attribute| parse_type(&attribute.value)) {
            Some(Ok(ty)) => ty,
            Some(Err(diagnostics)) => {
                found.extend(diagnostics);
                self.found.extend(found);
                return;
            }
            None => Type::Any,
        };
        let errors = found.len();
        let value = match &self.world.caller {
            Some(_) => self.argument_or_default(name, label, &fields, &mut found),
            None => self.variable_value(label, block, &ty, &fields, &mut found),
        };
        let hidden = self.world.caller.is_none()
            && fields.value("sensitive").as_bool() == Some(true)
            && matches!(self.given.get(&**label), Some(Given::Text { .. }));
        if hidden && found.len() > errors {
            // Excerpts and messages would show the text, which is a secret.
            found = found.into_iter().take(errors).collect();
            let title =
                format!("the text that is given for variable `{label}` is no expression of type {ty}; it is sensitive and not shown");
            found
                .push(Diagnostic::error("bad-text", title).at(block.header).help("strings inside of lists and maps are written in quotes"));
        }
        self.found.extend(found);
        let Some((value, span)) = value else { return };
        let sensitive = fields.value("sensitive").as_bool().unwrap_or(false);
        // What is never null has its default where null is given.
        let nullable = fields.value("nullable").as_bool() != Some(false);
        let (value, span) = match fields.fields.get("default") {
            Some(default) if value.is_null() && !nullable => (default.value.clone(), default.span),
            _ => (value, span),
        };
        // The mark comes first: an error must not tell what is sensitive.
        let value = value.marked(sensitive);
        let value = match convert(&value, &ty) {
            Ok(value) => value.marked(sensitive),
            Err(error) => {
                let title = format!("variable `{label}` is {}, and what is given is {}", article(&ty), value.describe());
                self.found
                    .push(Diagnostic::error("wrong-type", title).at(span).and_at(block.header, "declared here").note(error.to_string()));
                return;
            }
        };
        if value.is_null() && !nullable {
            self.found.push(
                Diagnostic::error("null-value", format!("variable `{label}` must not be null"))
                    .at(span)
                    .and_at(block.header, "declared here"),
            );
            return;
        }
        if self.world.caller.is_none() {
            self.variables.insert(label.to_string(), value.clone());
        }
        self.world.values.insert(name.clone(), value);
        let mut found = Diagnostics::new();
        let of = self.address("var", label).to_string();
        let open = self.evaluator(&instance).validations(&block.body, &of, &mut found);
        self.graph.conditions.extend(open);
        self.found.extend(found);
    }

    /// What the call of this module says for a variable, else its default. That there is neither was said at the call.
    fn argument_or_default(&mut self, name: &Name, label: &str, fields: &Evaluated, found: &mut Diagnostics) -> Option<(Value, Span)> {
        let errors = found.len();
        if let Some((argument, span)) = self.argument(label, found) {
            self.world.needs.insert(name.clone(), argument.needs);
            return Some((argument.value, span));
        }
        let default = fields.fields.get("default").filter(|_| found.len() == errors)?;
        Some((default.value.clone(), default.span))
    }

    fn variable_value(
        &self,
        label: &Arc<str>,
        block: &Block,
        ty: &Type,
        fields: &Evaluated,
        found: &mut Diagnostics,
    ) -> Option<(Value, Span)> {
        let none = Variables::none();
        let context = Context::new(&none).with_files(self.reads);
        let (expr, span) = match self.given.get(&**label) {
            Some(Given::Value(value)) => return Some((value.clone(), Span::NONE)),
            Some(Given::Attribute(attribute)) => (attribute.value.clone(), attribute.value.span),
            Some(Given::Text { text, .. }) if matches!(ty, Type::Number | Type::Bool) => return Some((text.trim().into(), Span::NONE)),
            Some(Given::Text { name, text, origin }) => {
                match text_expression(name, text, origin, *ty == Type::String, &mut self.reads.map.borrow_mut()) {
                    Ok(expr) => {
                        let span = expr.span;
                        (expr, span)
                    }
                    // Text that is no expression is a string, as in `--var region=us-west-2`.
                    Err(_) if *ty == Type::Any => (Expr::literal(text.as_str()), Span::NONE),
                    Err(diagnostics) => {
                        found.extend(diagnostics);
                        return None;
                    }
                }
            }
            None => {
                if let Some(field) = fields.fields.get("default") {
                    return Some((field.value.clone(), field.span));
                }
                if attribute(block, "default").is_none() {
                    if self.input.variables.unset_are_unknown {
                        return Some((fact(&Facts::new(), &format!("var.{label}"), ty.clone()), Span::NONE));
                    }
                    found.push(Diagnostic::error("missing-variable", format!("variable `{label}` has no value")).at(block.header).help(
                        format!("give it one: `--var {label}=…`, a line in `cloudtik.vars.hcl`, `CLOUDTIK_VAR_{label}`, or a `default`"),
                    ));
                }
                return None;
            }
        };
        match evaluate(&expr, &context) {
            Ok(value) => Some((value, span)),
            Err(_) if *ty == Type::Any && matches!(self.given.get(&**label), Some(Given::Text { .. })) => {
                let Some(Given::Text { text, .. }) = self.given.get(&**label) else { return None };
                Some((text.as_str().into(), Span::NONE))
            }
            Err(diagnostics) => {
                found.extend(diagnostics);
                None
            }
        }
    }

    fn local(&mut self, name: &Name, attribute: &Attribute) {
        let instance = Instance::default();
        match self.evaluator(&instance).expression(&attribute.value, false) {
            Ok((value, needs)) => {
                self.world.values.insert(name.clone(), value);
                if !needs.is_empty() {
                    self.world.needs.insert(name.clone(), Arc::new(needs));
                }
            }
            Err(diagnostics) => self.found.extend(diagnostics),
        }
    }

    /// The attributes with the tags of the configuration that the object is made through.
    pub(crate) fn default_tags(&self, provider: &ProviderRef, kind: &KindSchema, attributes: &Value) -> Value {
        self.providers.get(provider).map_or_else(|| attributes.clone(), |config| with_default_tags(&config.attributes, kind, attributes))
    }

    /// The same of what a provider made of a workspace or a cluster.
    pub(crate) fn with_default_tags(&self, mut resource: ResourceSpec) -> ResourceSpec {
        let provider = self.input.providers.get(resource.provider.provider_type());
        if let Some(kind) = provider.and_then(|provider| provider.schema().kinds.get(&*resource.kind)) {
            resource.attributes = self.default_tags(&resource.provider, kind, &resource.attributes);
        }
        resource
    }

    fn kind(&mut self, kind: &Arc<str>, block: &Block) -> Option<Arc<Kind>> {
        // A word of the language was refused where the block was declared.
        if crate::declare::RESERVED_KINDS.contains(&&**kind) {
            return None;
        }
        if let Some(known) = self.kinds.get(kind) {
            return Some(Arc::clone(known));
        }
        let providers = self.input.providers.iter();
        let Some((provider, schema)) = providers
            .filter_map(|(name, provider)| Some((*name, provider.schema().kinds.get(&**kind)?.clone())))
            .find(|(_, schema)| schema.in_resource)
        else {
            self.found.push(self.unknown_kind(kind, block));
            return None;
        };
        let mut attributes: Vec<AttributeRule> = schema
            .attributes
            .iter()
            .filter(|attribute| attribute.is_settable())
            .map(|attribute| AttributeRule::new(attribute.clone()))
            .collect();
        attributes.extend(resource_meta());
        let resource = self.top("resource");
        let objects = schema.attributes.iter().filter(|attribute| attribute.is_settable()).filter_map(block_rule);
        let blocks = resource.blocks.iter().cloned().chain(objects).collect();
        let rule = BlockSchema { name: schema.name, attributes, blocks, later: resource.later, ..BlockSchema::default() };
        let known = Arc::new(Kind { schema, block: rule, provider });
        self.kinds.insert(Arc::clone(kind), Arc::clone(&known));
        Some(known)
    }

    /// The schema of a kind that `data` looks up, and the provider that has it.
    pub(crate) fn kind_of_data(&mut self, kind: &Arc<str>, block: &Block) -> Option<(KindSchema, &'static str)> {
        self.kind(kind, block).map(|kind| (kind.schema.clone(), kind.provider))
    }

    fn unknown_kind(&self, kind: &str, block: &Block) -> Diagnostic {
        let span = block.labels.first().map_or(block.header, |label| label.span);
        let kinds: Vec<&str> = self
            .input
            .providers
            .values()
            .flat_map(|provider| provider.schema().kinds.values().filter(|kind| kind.in_resource).map(|kind| kind.name))
            .collect();
        let unknown = Diagnostic::error("unknown-kind", format!("there is no kind of resource `{kind}`")).at(span);
        match did_you_mean(kind, kinds.iter().copied()) {
            Some(near) => unknown.help(format!("did you mean `{near}`?")),
            None => unknown.note(format!("this version has {}", kinds.join(", "))),
        }
    }

    fn resource(&mut self, name: &Name, kind_name: &Arc<str>, label: &Arc<str>, block: &Block) {
        let Some(kind) = self.kind(kind_name, block) else { return };
        let mut found = Diagnostics::new();
        check_body(&block.body, &kind.block, &format!("`{kind_name}`"), block.header, &mut found);
        if found.has_errors() {
            self.found.extend(found);
            return;
        }
        let Some(chosen) = self.choose_provider(block, kind.provider) else { return };
        if !chosen.definition.schema().kinds.contains_key(&**kind_name) {
            let title = format!("provider `{}` has no kind `{kind_name}`", chosen.definition.name());
            self.found.push(Diagnostic::error("unknown-kind", title).at(block.header));
            return;
        }
        let Some(instances) = self.instances(block) else { return };
        let base = self.address(Arc::clone(kind_name), label);
        // An expression that stands outside of the spec may name any of them.
        let needs_value = self.world.referenced.contains(name) || !self.input.expressions.is_empty();
        let mut values = Vec::with_capacity(if needs_value { instances.list.len() } else { 0 });
        let mut failing = 0;
        for instance in &instances.list {
            let address = base.with_key(instance.key.clone());
            let used = self.used_provider(&chosen, instance);
            match used.and_then(|used| self.resource_instance(&kind, &used.provider, block, instance, &address)) {
                Some(value) if needs_value => values.push((instance.key.clone(), value)),
                Some(_) => {}
                None => failing += 1,
            }
            if failing >= MAX_FAILING_INSTANCES {
                break;
            }
        }
        if failing == 0 {
            self.world.values.insert(name.clone(), instances.value(values));
            self.world.instances.insert(name.clone(), instances.shape);
        }
    }

    /// One instance: its spec goes into the graph, its value is what references see.
    fn resource_instance(
        &mut self,
        kind: &Kind,
        provider: &ProviderRef,
        block: &Block,
        instance: &Instance,
        address: &Address,
    ) -> Option<Value> {
        let mut found = Diagnostics::new();
        let Unrolled { block, instance } = unrolled(self, block, instance, &kind.block, &mut found);
        let evaluator = self.evaluator(&instance);
        let mut evaluated = evaluator.block(&block, &kind.block, &mut found);
        for schema in kind.schema.attributes.iter().filter(|schema| kind.block.block(schema.name).is_some()) {
            let field = blocks_value(&evaluator, schema, &block, &mut evaluated.needs, &mut found);
            evaluated.fields.extend(field.map(|field| (Arc::from(schema.name), field)));
        }
        let fields = || evaluated.fields.iter().filter(|(_, field)| !field.value.is_null());
        let attributes = Value::object(fields().map(|(name, field)| (Arc::clone(name), field.value.clone())));
        let attributes = self.default_tags(provider, &kind.schema, &attributes);
        let wanted = match attribute(&block, "depends_on") {
            Some(attribute) => located(&evaluator, &attribute.value, &mut found),
            None => Vec::new(),
        };
        for path in &evaluated.lifecycle.ignore_changes {
            let name = path.split(['.', '[']).next().unwrap_or(path);
            if name != "*" && kind.schema.attribute(name).is_none() {
                let near = did_you_mean(name, kind.schema.attributes.iter().map(|attribute| attribute.name));
                let title = format!("`ignore_changes`: `{}` has no attribute `{name}`", kind.schema.name);
                let place =
                    block.body.blocks.iter().find_map(|inner| attribute_of_lifecycle(inner, "ignore_changes")).unwrap_or(block.header);
                found.push(
                    Diagnostic::error("unknown-attribute", title).at(place).maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
                );
            }
        }
        let value = object_value(&kind.schema, address, &attributes);
        let whose = |kind| Whose { kind, of: address.to_string(), address: Some(address) };
        let mut conditions = evaluator.conditions(&block.body, &whose(ConditionKind::Precondition), &mut found);
        let this = Instance { this: Some(value.clone()), ..(*instance).clone() };
        conditions.extend(self.evaluator(&this).conditions(&block.body, &whose(ConditionKind::Postcondition), &mut found));
        let failed = found.has_errors();
        let origins = fields().map(|(name, field)| (Arc::clone(name), Origin { span: field.span, change: None })).collect();
        let mut depends_on = evaluated.all_needs();
        attributes.addresses(&mut depends_on);
        conditions.iter().for_each(|condition| condition.condition.addresses(&mut depends_on));
        depends_on.remove(address);
        let spec = ResourceSpec {
            address: address.clone(),
            kind: kind.schema.name.into(),
            provider: provider.clone(),
            attributes,
            depends_on,
            lifecycle: evaluated.lifecycle,
            marks: BTreeMap::new(),
            span: block.header,
            origins,
        };
        self.found.extend(found);
        if failed {
            return None;
        }
        self.graph.conditions.extend(conditions);
        self.named.extend(evaluated.triggers.into_iter().map(|(address, span)| (span, address)));
        if !wanted.is_empty() {
            self.wanted.insert(address.clone(), wanted);
        }
        self.graph.nodes.insert(address.clone(), Node::Resource(spec));
        Some(value)
    }

    fn output(&mut self, label: &Arc<str>, block: &Block) {
        let schema = self.top("output");
        let instance = Instance::default();
        let mut found = Diagnostics::new();
        let evaluator = self.evaluator(&instance);
        let evaluated = evaluator.block(block, &schema, &mut found);
        let whose = Whose { kind: ConditionKind::Precondition, of: self.called("output", label), address: None };
        let conditions = evaluator.conditions(&block.body, &whose, &mut found);
        // Results are written down when everything is done: there is nothing to order, only references to check.
        let wanted = attribute(block, "depends_on").map(|attribute| located(&evaluator, &attribute.value, &mut found)).unwrap_or_default();
        self.named.extend(wanted.iter().map(|(address, span)| (*span, address.clone())));
        let sensitive = evaluated.value("sensitive").as_bool().unwrap_or(false);
        self.graph.conditions.extend(conditions);
        if self.world.caller.is_some() {
            if let Some(output) = handed(&evaluated, sensitive, &wanted) {
                self.hand_out(label, output);
            }
            self.found.extend(found);
            return;
        }
        if let Some(field) = evaluated.fields.get("value") {
            if field.value.has_sensitive() && !sensitive {
                found.push(
                    Diagnostic::error("sensitive-output", format!("the value of output `{label}` is sensitive"))
                        .at(field.span)
                        .help("add `sensitive = true` to the output"),
                );
            }
            let description = evaluated.text("description").map(str::to_owned);
            let output = OutputSpec { value: field.value.clone(), sensitive, description, needs: evaluated.all_needs() };
            self.graph.outputs.insert(label.to_string(), output);
        }
        self.found.extend(found);
    }

    /// Judges what `check` blocks say; what cannot be judged yet is judged when everything is done.
    pub(crate) fn check(&mut self, block: &Block) {
        let Some(label) = block.labels.first() else { return };
        let instance = Instance::default();
        let mut found = Diagnostics::new();
        let whose = Whose { kind: ConditionKind::Assertion, of: self.called("check", &label.text), address: None };
        let conditions = self.evaluator(&instance).conditions(&block.body, &whose, &mut found);
        self.graph.conditions.extend(conditions);
        self.found.extend(found);
    }

    /// The instances of a block by its `count` or `for_each`.
    pub(crate) fn instances(&mut self, block: &Block) -> Option<ExpandedInstances> {
        let (count, for_each) = (attribute(block, "count"), attribute(block, "for_each"));
        if let (Some(count), Some(for_each)) = (count, for_each) {
            self.found.push(
                Diagnostic::error("count-and-for-each", "a block has `count` or `for_each`, not both")
                    .at(for_each.name.span)
                    .and_at(count.name.span, "the other one")
                    .help("leave one of them out; of a map or a set `for_each` makes one for each key"),
            );
            return None;
        }
        let none = Instance::default();
        let evaluated = match count.or(for_each) {
            None => return Some(ExpandedInstances { shape: Instances::One, list: vec![none] }),
            Some(attribute) => self.evaluator(&none).expression(&attribute.value, false).map(|(value, needs)| (value, needs, attribute)),
        };
        let expanded = evaluated.and_then(|(value, needs, attribute)| {
            let span = attribute.value.span;
            let name = &attribute.name.name;
            if value.is_sensitive() {
                return Err(Diagnostic::error("sensitive-expansion", format!("`{name}` must not be sensitive: addresses are shown"))
                    .at(span)
                    .into());
            }
            let mut instances = if count.is_some() { by_count(&value, span) } else { by_keys(&value, span) }?;
            let (needs, chained) = (Arc::new(needs), for_each.and_then(|attribute| self.chained(&attribute.value)));
            for instance in &mut instances.list {
                instance.needs = match &chained {
                    Some(block) => Arc::new(BTreeSet::from([block.with_key(instance.key.clone())])),
                    None => Arc::clone(&needs),
                };
            }
            Ok(instances)
        });
        expanded.map_err(|diagnostics: Diagnostics| self.found.extend(diagnostics)).ok()
    }
}

impl Expansion<'_> {
    /// The block whose instances a `for_each` goes over, where it names that and nothing else: then each instance needs the one of its key,
    /// and not all of them.
    fn chained(&self, for_each: &Expr) -> Option<Address> {
        let block = static_address(for_each, &mut |_| None)?;
        let [kind, label] = block.segments() else { return None };
        let name = Name::Resource(Arc::clone(&kind.name), Arc::clone(&label.name));
        matches!(self.world.instances.get(&name), Some(Instances::Keys(_))).then(|| block.inside(self.world.module.as_ref()))
    }
}

/// The instances of a block.
pub(crate) struct ExpandedInstances {
    pub(crate) shape: Instances,
    pub(crate) list: Vec<Instance>,
}

impl ExpandedInstances {
    /// What references to the block see, made of what they see of each instance.
    pub(crate) fn value(&self, values: Vec<(Option<Key>, Value)>) -> Value {
        match self.shape {
            Instances::One => values.into_iter().next().map_or(Value::NULL, |(_, value)| value),
            Instances::Count(_) => Value::tuple(values.into_iter().map(|(_, value)| value)),
            Instances::Keys(_) => Value::object(values.into_iter().filter_map(|(key, value)| match key {
                Some(Key::Name(name)) => Some((name, value)),
                _ => None,
            })),
        }
    }
}

fn by_count(value: &Value, span: Span) -> Result<ExpandedInstances, Diagnostic> {
    if value.is_deferred() {
        return Err(unknown_at_plan_time("count", value, span));
    }
    let number = convert(value, &Type::Number).ok().and_then(|value| value.as_number().and_then(cloudtik_model::Number::as_u64));
    match number {
        Some(count) if count <= MAX_INSTANCES => Ok(ExpandedInstances {
            shape: Instances::Count(count),
            list: (0..count).map(|index| Instance { key: Some(Key::Index(index)), ..Instance::default() }).collect(),
        }),
        Some(count) => {
            Err(Diagnostic::error("too-many-instances", format!("`count` is {count}; at most {MAX_INSTANCES} are made of one block"))
                .at(span))
        }
        None => Err(Diagnostic::error("bad-count", "`count` must be a whole number, 0 or more").at(span)),
    }
}

fn by_keys(value: &Value, span: Span) -> Result<ExpandedInstances, Diagnostic> {
    // The values of a map may come later: addresses are made of its keys.
    if value.is_deferred() {
        return Err(unknown_at_plan_time("for_each", value, span));
    }
    let instance = |key: Arc<str>, value: Value| Instance { key: Some(Key::Name(key)), each_value: Some(value), ..Instance::default() };
    let list: Vec<Instance> = if let Some(entries) = value.entries() {
        entries.iter().map(|(key, value)| instance(Arc::clone(key), value.clone())).collect()
    } else if matches!(value.kind(), cloudtik_model::ValueKind::Set(_)) {
        let mut list = Vec::new();
        for item in value.elements().into_iter().flatten() {
            match item.as_str() {
                Some(key) => list.push(instance(key.into(), item.clone())),
                None if item.is_deferred() => return Err(unknown_at_plan_time("for_each", item, span)),
                None => {
                    return Err(
                        Diagnostic::error("bad-for-each", format!("the set holds {}, and must hold strings", item.describe())).at(span)
                    );
                }
            }
        }
        list
    } else {
        let hint = if value.elements().is_some() { Some("write `toset([…])` around it") } else { None };
        return Err(Diagnostic::error(
            "bad-for-each",
            format!("`for_each` is a map or a set of strings, and {} was given", value.describe()),
        )
        .at(span)
        .maybe_help(hint.map(str::to_owned)));
    };
    if list.len() as u64 > MAX_INSTANCES {
        return Err(Diagnostic::error(
            "too-many-instances",
            format!("`for_each` has {} elements; at most {MAX_INSTANCES} are made", list.len()),
        )
        .at(span));
    }
    let keys = list.iter().filter_map(|instance| match &instance.key {
        Some(Key::Name(name)) => Some(Arc::clone(name)),
        _ => None,
    });
    Ok(ExpandedInstances { shape: Instances::Keys(keys.collect()), list })
}

/// An attribute of a block as written.
pub(crate) fn attribute<'b>(block: &'b Block, name: &str) -> Option<&'b Attribute> {
    block.body.attributes.iter().find(|attribute| &*attribute.name.name == name)
}

/// The place of an attribute's value in a `lifecycle` block.
pub(crate) fn attribute_of_lifecycle(block: &Block, name: &str) -> Option<Span> {
    (&*block.kind.name == "lifecycle").then(|| attribute(block, name).map(|attribute| attribute.value.span)).flatten()
}

/// The addresses of a list of references, as `depends_on` has them, with the place of each.
pub(crate) fn located(evaluator: &Evaluator<'_>, list: &Expr, found: &mut Diagnostics) -> Vec<(Address, Span)> {
    match &list.kind {
        ExprKind::Tuple(items) => {
            let mut all = Vec::new();
            for item in items {
                let Some(address) = evaluator.address(item, found) else { continue };
                if !address.is_module() && address.module() != evaluator.world.module {
                    let title = format!("`{address}` is inside of a module");
                    let help = "name the module as a whole; of what is in it nobody knows but itself";
                    found.push(Diagnostic::error("unknown-reference", title).at(item.span).help(help));
                    continue;
                }
                all.push((address, item.span));
            }
            all
        }
        _ => {
            found.push(
                Diagnostic::error("not-references", "a list of references is expected")
                    .at(list.span)
                    .help("write `[value.x, workspace.w]`"),
            );
            Vec::new()
        }
    }
}

/// What references to a resource see: what the spec sets, what follows from it, and the rest as references to what will be.
pub(crate) fn object_value(kind: &KindSchema, address: &Address, attributes: &Value) -> Value {
    let reference = |name: &str, ty: Type| Value::deferred(ty, Expr::from(ExprKind::Reference(address.clone())).attribute(name));
    let derived = kind.derive.map(|derive| derive(attributes)).unwrap_or_default();
    let mut all: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    all.insert("id".into(), reference("id", Type::String));
    for schema in &kind.attributes {
        let set = attributes.get(schema.name).filter(|value| !value.is_null()).cloned();
        let value =
            set.or_else(|| derived.iter().find(|(name, _)| *name == schema.name).map(|(_, value)| value.clone())).unwrap_or_else(|| {
                if schema.is_computed() { reference(schema.name, schema.ty.clone()).marked(schema.sensitive) } else { Value::NULL }
            });
        // What is filled at apply may be left as it was there: the object says what it has become.
        let is_filled_later = !impure_calls(&value).is_empty();
        let referred = || reference(schema.name, schema.ty.clone()).marked(schema.sensitive || value.has_sensitive());
        all.insert(schema.name.into(), if is_filled_later { referred() } else { value });
    }
    Value::object(all)
}

/// A lifecycle and an origin are the same for every part of a block that has none of its own.
pub(crate) fn merged_lifecycle(outer: &Lifecycle, inner: &Lifecycle) -> Lifecycle {
    let mut merged = outer.clone();
    merged.prevent_destroy |= inner.prevent_destroy;
    merged.ignore_changes.extend(inner.ignore_changes.iter().cloned());
    merged.prevent_inside.clone_from(&inner.prevent_inside);
    merged
}
