//! `data`: what this project does not own, looked up. A look-up is a question to the provider; its answer is all objects that match, and that
//! it is exactly one is held here, where the block stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{from_json_text, impure_calls};
use cloudtik_model::spec::WorkspaceUse;
use cloudtik_model::{Address, ChangeWord, Diagnostic, Diagnostics, ProviderRef, Type, Value};
use cloudtik_provider_api::{
    AttributeSchema, DATA_QUESTION, FactQuestion, Facts, Idempotency, KindSchema, Presence, RECORD_VALUE, exports_of, fact,
};
use cloudtik_syntax::Block;

use crate::declare::Name;
use crate::evaluate::{Evaluated, unknown_at_plan_time};
use crate::expand::Expansion;
use crate::language::data_meta;
use crate::providers::Chosen;
use crate::schema::{AttributeRule, BlockSchema, check_body};
use crate::scope::Instance;

/// The kind of `data` that is a workspace of another project.
const WORKSPACE: &str = "workspace";

/// Of the attributes that `data` looks for: it matches when these are among the object's.
const TAGS: &str = "tags";

/// Expands a `data` block.
pub(crate) fn expand_data(expansion: &mut Expansion<'_>, name: &Name, kind: &Arc<str>, label: &Arc<str>, block: &Block) {
    let Some(looked) = Looked::of(expansion, kind, block) else { return };
    let mut found = Diagnostics::new();
    check_body(&block.body, &looked.block, &format!("data `{kind}`"), block.header, &mut found);
    let failed = found.has_errors();
    expansion.found.extend(found);
    if failed {
        return;
    }
    let Some(instances) = expansion.instances(block) else { return };
    let mut values = Vec::new();
    for instance in &instances.list {
        let base = expansion.address("data", kind).child(Arc::clone(label));
        let address = base.with_key(instance.key.clone());
        let used = expansion.used_provider(&looked.chosen, instance);
        let value = used.and_then(|used| looked.instance(expansion, &used.provider, block, instance, &address));
        if let Some(value) = value {
            values.push((instance.key.clone(), value));
        }
    }
    if values.len() == instances.list.len() {
        expansion.world.values.insert(name.clone(), instances.value(values));
        expansion.world.instances.insert(name.clone(), instances.shape);
    }
}

/// What a `data` block looks for.
struct Looked<'b> {
    chosen: Chosen<'b>,
    kind: KindSchema,
    block: BlockSchema,
    /// Whether it is the record of a workspace that is looked for.
    is_workspace: bool,
}

impl<'b> Looked<'b> {
    fn of(expansion: &mut Expansion<'_>, kind: &Arc<str>, block: &'b Block) -> Option<Self> {
        if &**kind == WORKSPACE {
            return Self::workspace(expansion, block);
        }
        let (schema, own) = expansion.kind_of_data(kind, block)?;
        let chosen = expansion.choose_provider(block, own)?;
        let known = chosen.definition.schema().kinds.get(&**kind).filter(|kind| kind.class != Idempotency::Pure).cloned();
        let Some(known) = known else {
            let title = format!("provider `{}` has nothing of kind `{kind}` to look up", chosen.definition.name());
            expansion.found.push(Diagnostic::error("unknown-kind", title).at(block.header));
            return None;
        };
        let optional = |schema: &AttributeSchema| AttributeSchema { presence: Presence::Optional, ..schema.clone() };
        let settable = schema.attributes.iter().filter(|attribute| attribute.is_settable() && !attribute.sensitive);
        let attributes = settable.map(|attribute| AttributeRule::new(optional(attribute))).chain(data_meta()).collect();
        let block = BlockSchema { name: "data", attributes, later: &["depends_on", "most_recent"], ..BlockSchema::default() };
        Some(Self { chosen, kind: known, block, is_workspace: false })
    }

    fn workspace(expansion: &mut Expansion<'_>, block: &'b Block) -> Option<Self> {
        let chosen = expansion.choose_for_workspace(block)?;
        let definition = &chosen.definition;
        let kept = definition.record("").and_then(|(kind, _)| definition.schema().kinds.get(kind).cloned());
        let Some(kind) = kept else {
            let title = format!("provider `{}` keeps no records of workspaces in this version", definition.name());
            let help = "declare the cluster in the project of its workspace";
            expansion.found.push(Diagnostic::error("no-record", title).at(block.header).help(help));
            return None;
        };
        let name = AttributeSchema::required("name", Type::String, ChangeWord::None, "The workspace's real name.");
        let meta = data_meta().into_iter().filter(|rule| rule.schema.name != "id");
        let attributes = std::iter::once(AttributeRule::new(name)).chain(meta).collect();
        let block = BlockSchema { name: "data", attributes, later: &["state", "depends_on"], ..BlockSchema::default() };
        Some(Self { chosen, kind, block, is_workspace: true })
    }

    /// What references to one instance see.
    fn instance(
        &self,
        expansion: &mut Expansion<'_>,
        provider: &ProviderRef,
        block: &Block,
        instance: &Instance,
        address: &Address,
    ) -> Option<Value> {
        let mut found = Diagnostics::new();
        let evaluated = expansion.evaluator(instance).block(block, &self.block, &mut found);
        let failed = found.has_errors();
        expansion.found.extend(found);
        if failed {
            return None;
        }
        let wanted = self.wanted(expansion, block, &evaluated)?;
        let ty = if self.is_workspace { Type::Any } else { type_of(&self.kind) };
        let unknown = || fact(&Facts::new(), &address.to_string(), ty.clone());
        // What waits for an answer itself is asked for once there is one.
        let Some(wanted) = wanted else {
            return Some(self.seen(expansion, provider, address, &evaluated, unknown()));
        };
        let key = address.to_string();
        let value = match expansion.input.facts.get(&key) {
            Some(answer) => self.answered(expansion, provider, block, &evaluated, answer)?,
            None => {
                let arguments = Value::object([("kind", Value::from(self.kind.name)), ("match", wanted)]);
                let question = FactQuestion { key, question: DATA_QUESTION.to_owned(), arguments, pin: false };
                expansion.questions.entry(provider.clone()).or_default().push(question);
                unknown()
            }
        };
        Some(self.seen(expansion, provider, address, &evaluated, value))
    }

    /// The attributes that the object must have, once all of them are known.
    fn wanted(&self, expansion: &mut Expansion<'_>, block: &Block, evaluated: &Evaluated) -> Option<Option<Value>> {
        let mut wanted: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        let mut waits = false;
        for (name, field) in evaluated.fields.iter().filter(|(_, field)| !field.value.is_null()) {
            if !field.value.is_known() {
                let mut addresses = BTreeSet::new();
                field.value.addresses(&mut addresses);
                if !addresses.is_empty() || !impure_calls(&field.value).is_empty() {
                    expansion.found.push(unknown_at_plan_time(name, &field.value, field.span));
                    return None;
                }
                waits = true;
            }
            wanted.insert(Arc::clone(name), field.value.clone());
        }
        if self.is_workspace {
            let name = evaluated.text("name").unwrap_or_default();
            let record = self.chosen.definition.record(name).map(|(_, name)| name)?;
            wanted = BTreeMap::from([(Arc::from(self.kind.unique_name?), Value::from(record))]);
        } else if !waits && !self.can_look_for(&wanted) {
            let unique = self.kind.unique_name.filter(|_| self.kind.class == Idempotency::UniqueName);
            let help = unique.map_or("write `id` or `tags`".to_owned(), |unique| format!("write `id`, `{unique}` or `tags`"));
            let title = format!("nothing says which `{}` is meant", self.kind.name);
            expansion.found.push(Diagnostic::error("nothing-to-look-for", title).at(block.header).help(help));
            return None;
        }
        Some((!waits).then(|| Value::object(wanted)))
    }

    fn can_look_for(&self, wanted: &BTreeMap<Arc<str>, Value>) -> bool {
        let has_tag = wanted.get(TAGS).and_then(Value::entries).is_some_and(|tags| !tags.is_empty());
        let unique = self.kind.unique_name.filter(|_| self.kind.class == Idempotency::UniqueName);
        has_tag || wanted.contains_key("id") || unique.is_some_and(|unique| wanted.contains_key(unique))
    }

    /// The one object of an answer.
    fn answered(
        &self,
        expansion: &mut Expansion<'_>,
        provider: &ProviderRef,
        block: &Block,
        evaluated: &Evaluated,
        answer: &Value,
    ) -> Option<Value> {
        let objects: Vec<&Value> = answer.elements().into_iter().flatten().collect();
        let problem = match objects.as_slice() {
            [one] if self.is_workspace => match exports(one) {
                Ok(exports) => return Some(exports),
                Err(problem) => Diagnostic::error("bad-record", problem).at(block.header),
            },
            [one] => return Some((*one).clone()),
            [] if self.is_workspace => {
                let name = evaluated.text("name").unwrap_or_default();
                let title = format!("provider `{provider}` keeps no record of a workspace `{name}`");
                let help = "apply the project of the workspace first; the record is the last thing that it makes";
                Diagnostic::error("no-record", title).at(evaluated.field("name").span).help(help)
            }
            [] => Diagnostic::error("nothing-found", format!("there is no `{}` like this", self.kind.name)).at(block.header),
            many => {
                let ids: Vec<&str> = many.iter().filter_map(|object| object.get("id")?.as_str()).collect();
                Diagnostic::error("several-found", format!("{} of kind `{}` are like this: {}", many.len(), self.kind.name, ids.join(", ")))
                    .at(block.header)
                    .help("say more, or name one by its `id`")
            }
        };
        expansion.found.push(problem);
        None
    }

    /// What references see; a workspace can be used by clusters.
    fn seen(&self, expansion: &mut Expansion<'_>, provider: &ProviderRef, address: &Address, evaluated: &Evaluated, value: Value) -> Value {
        if self.is_workspace {
            let used = WorkspaceUse {
                address: address.clone(),
                name: evaluated.text("name").unwrap_or_default().into(),
                provider: provider.clone(),
                exports: value.clone(),
                gates: BTreeSet::new(),
            };
            expansion.recorded.insert(address.clone(), used);
        }
        value
    }
}

fn type_of(kind: &KindSchema) -> Type {
    let attributes = kind.attributes.iter().map(|attribute| (attribute.name, attribute.ty.clone()));
    Type::object(std::iter::once(("id", Type::String)).chain(attributes))
}

/// What a record says that its workspace exports.
fn exports(object: &Value) -> Result<Value, String> {
    let text = object.get(RECORD_VALUE).and_then(Value::as_str).unwrap_or_default();
    let record = from_json_text(text).map_err(|error| format!("the record cannot be read: {error}"))?;
    exports_of(&record).cloned()
}
