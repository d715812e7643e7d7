//! Workers that carry our tags and that nobody here knows: made by a controller whose store is lost. They are taken in before anything is made.
//!
//! An instance becomes an entry as if it had just been made. Its steps become open intents, and settlement asks the node's markers whether they
//! were done: what was is taken in, what was not runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_executor::engine::NodeFacts;
use cloudtik_executor::{Intent, OpKind, OpResult, Record};
use cloudtik_lang::{Context, Filling, Found as Looked, Scope, Traversal, fill_late, instantiate, resolve};
use cloudtik_model::{Address, Diagnostic, Diagnostics, Digest, EventLevel, HeadConfig, Input, Object, StepSpec, Value};
use cloudtik_planner::{step_identity, step_inputs_preview};
use cloudtik_provider_api::{Found, SEQUENCE_TAG, STATUS_PREFIX, Verb};

use super::group_kind::{MEMBER_KIND, member_id, member_resource};
use super::rename::group_of;
use super::unit::{Unit, UnitId};
use super::{Controller, Route, facts, worker_of};

/// The tag of the create that made an object.
const OP_TAG: &str = cloudtik_executor::engine::OP_TAG;

/// The tag of the address that an object was made with.
const ADDRESS_TAG: &str = cloudtik_executor::engine::ADDRESS_TAG;

impl Controller {
    /// Looks at a worker that the provider has.
    pub(super) fn consider(&mut self, config: &Arc<HeadConfig>, found: Found) {
        let id = &found.object.id;
        let known = self
            .ledger
            .state
            .resources
            .values()
            .any(|entry| entry.current.iter().chain(entry.deposed.values()).any(|object| object.id == *id));
        // One that is being made right now is known by its create.
        let coming = found.tags.get(OP_TAG).is_some_and(|op_id| self.ledger.open.contains_key(op_id));
        if known || coming || self.deleted.contains_key(id) {
            return;
        }
        let group = group_of(&found.tags);
        let label = config.groups.iter().find(|(label, of)| ***label == *group || of.moved_from.as_deref() == Some(group));
        let sequence = found.tags.get(SEQUENCE_TAG).and_then(|text| text.parse::<u64>().ok());
        let unit = label.zip(sequence).map(|((label, _), sequence)| UnitId::Worker { group: Arc::clone(label), sequence });
        let has_host_key = found.tags.contains_key(&format!("{STATUS_PREFIX}host_key"));
        let taken = unit.as_ref().is_some_and(|unit| self.units.contains_key(unit));
        match unit {
            Some(unit) if has_host_key && !taken => self.adopt(config, &unit, &found),
            unit => {
                // It cannot be reached, or belongs to nothing: it is removed, and another one is made, under another number.
                if let Some(number) = unit.as_ref().map(|unit| self.next_after(unit)) {
                    self.remember([number]);
                }
                let text = format!("{id} is a worker that nobody knows; it is removed");
                self.event(EventLevel::Warning, None, text);
                *self.strangers.entry(Arc::from(group)).or_default() += 1;
                self.ask(config, Route::Nobody, config.cluster.clone(), Verb::Delete { id: id.clone(), data: false });
            }
        }
    }

    /// The fact that the number of a worker, and all before it, are used.
    fn next_after(&self, id: &UnitId) -> (String, Value) {
        let next = facts::next_key(id.group().map_or("", |label| label));
        let highest = facts::number(&self.ledger.state, &next).unwrap_or(1).max(id.sequence().saturating_add(1));
        (next, Value::from(highest))
    }

    fn adopt(&mut self, config: &HeadConfig, id: &UnitId, found: &Found) {
        let address = worker_of(&config.cluster, id);
        let op_id = found.tags.get(OP_TAG).cloned().unwrap_or_else(|| format!("{}-adopt-{}", self.run_id, found.object.id));
        let Some(group) = id.group().and_then(|label| config.groups.get(label)) else { return };
        let schema_version = self
            .schemas
            .get(config.provider.provider_type())
            .and_then(|schema| schema.kinds.get(&*group.node.kind))
            .map_or(0, |kind| kind.version);
        let object = Object {
            id: found.object.id.clone(),
            attributes: found.object.attributes.clone(),
            desired: found.object.attributes.clone(),
            schema_version,
            op_id: op_id.clone(),
            undo: None,
            public_keys: BTreeMap::new(),
            took_ms: None,
            tainted: false,
        };
        let create = OpKind::Create {
            token: op_id.clone(),
            tags: found.tags.iter().filter(|(name, _)| !name.starts_with(STATUS_PREFIX)).map(|(k, v)| (k.clone(), v.clone())).collect(),
            attributes: Value::object::<&str>([]),
            chosen: BTreeMap::new(),
            schema_version,
            secrets: BTreeMap::new(),
            deposes: false,
            batch: None,
        };
        let intent = Intent {
            op_id: op_id.clone(),
            address: address.clone(),
            kind: Arc::clone(&group.node.kind),
            provider: config.provider.clone(),
            operation: create,
            depends_on: std::collections::BTreeSet::new(),
            create_before_destroy: false,
        };
        self.units.insert(id.clone(), Unit { adopted: true, ..Unit::new(address.clone()) });
        self.write(vec![Record::Intent(intent), Record::Outcome { op_id, result: OpResult::Object { object } }], None);
        let mut remembered = vec![self.next_after(id)];
        if let Some(born) = found.tags.get(ADDRESS_TAG).filter(|born| **born != address.to_string()) {
            remembered.push((facts::born_key(&address), Value::from(born.as_str())));
        }
        let frozen = found.tags.get(&format!("{STATUS_PREFIX}frozen")).and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(frozen) = frozen.filter(|value| facts::read_frozen(value).is_some()) {
            remembered.push((facts::frozen_key(&address), frozen));
            remembered.push((facts::formed_key(id.group().map_or("", |label| label)), Value::from(true)));
        }
        self.remember(remembered);
        let text = format!("{} is taken in", found.object.id);
        self.event(EventLevel::Info, Some(&address.to_string()), text);
        self.adopt_steps(config, id, &address, found);
    }

    fn adopt_steps(&mut self, config: &HeadConfig, id: &UnitId, worker: &Address, found: &Found) {
        let (Some(group), Some(pushed)) = (id.group().and_then(|label| config.groups.get(label)), self.pushed.clone()) else { return };
        let frozen = self.frozen_of(id).unwrap_or_default();
        let names = frozen.values.keys().cloned().collect();
        let live = self.live(config, id);
        let filling = Filling { references: &pushed.references, live: &live, frozen: &names };
        let Ok(fragment) = instantiate(group, id.sequence(), filling) else { return };
        if !frozen.values.is_empty() {
            for membership in &fragment.memberships {
                self.enroll(&member_resource(membership, worker).address.clone(), worker, membership.depends_on.clone());
            }
        }
        let host_key_step = self.host_key_step(id);
        let host_key = found.tags.get(&format!("{STATUS_PREFIX}host_key")).cloned().unwrap_or_default();
        let mut done: BTreeMap<Address, (Digest, Digest)> = BTreeMap::new();
        let mut records = Vec::new();
        for (number, step) in fragment.steps.iter().enumerate() {
            let Some(made) = self.marker_intent(worker, found, step, &frozen, &done) else { continue };
            let (identity, rendered, kind) = made;
            done.insert(step.address.clone(), (identity, Digest::of_json(&serde_json::to_value(&rendered.action).unwrap_or_default())));
            let op_id = format!("{}-adopt-{}-{number}", self.run_id, found.object.id);
            let operation = OpKind::Run {
                instance: found.object.id.clone(),
                identity,
                action: rendered.action.clone(),
                inputs: step_inputs_preview(&step.inputs),
                undo: rendered.undo.clone(),
            };
            records.push(Record::Intent(Intent {
                op_id: op_id.clone(),
                address: step.address.clone(),
                kind,
                provider: config.provider.clone(),
                operation,
                depends_on: step.depends_on.iter().cloned().chain([worker.clone()]).collect(),
                create_before_destroy: false,
            }));
            if Some(&step.address) == host_key_step.as_ref() {
                // Who may log in was said by whoever let us in; the key is what the node published.
                let attributes = [
                    ("host_key", Value::from(host_key.as_str())),
                    ("identity", Value::from(identity.to_string())),
                    ("inputs", step_inputs_preview(&step.inputs)),
                    ("rendered", Value::from(identity.to_string())),
                ];
                let object = Object {
                    id: found.object.id.clone(),
                    attributes: Value::object(attributes),
                    desired: Value::NULL,
                    schema_version: 0,
                    op_id: op_id.clone(),
                    undo: None,
                    public_keys: BTreeMap::new(),
                    took_ms: None,
                    tainted: false,
                };
                records.push(Record::Outcome { op_id, result: OpResult::Object { object } });
            }
        }
        self.write(records, None);
    }

    /// A step as it would be done now: what its marker must say.
    fn marker_intent(
        &self,
        worker: &Address,
        found: &Found,
        step: &StepSpec,
        frozen: &cloudtik_lang::LateValues,
        done: &BTreeMap<Address, (Digest, Digest)>,
    ) -> Option<(Digest, cloudtik_executor::engine::RenderedStep, Arc<str>)> {
        let scope = OwnInstance { worker, found };
        let mut step = step.clone();
        for input in step.inputs.values_mut() {
            match input {
                Input::Value(value) => *value = resolve(value, &Context::new(&scope)).ok()?,
                Input::Template(template) => template.bindings = resolve(&template.bindings, &Context::new(&scope)).ok()?,
                Input::Artifact(_) => {}
            }
        }
        let identities: BTreeMap<Address, Digest> = step.triggers.iter().filter_map(|t| Some((t.clone(), done.get(t)?.0))).collect();
        let follows: BTreeMap<Address, Digest> = step.triggers.iter().filter_map(|t| Some((t.clone(), done.get(t)?.1))).collect();
        let identity = step_identity(&step, &step.inputs, &identities)?;
        let mut filled = step.clone();
        if step.frozen {
            for input in filled.inputs.values_mut() {
                match input {
                    Input::Value(value) => *value = fill_late(value, frozen).ok()?,
                    Input::Template(template) => template.bindings = fill_late(&template.bindings, frozen).ok()?,
                    Input::Artifact(_) => {}
                }
            }
        }
        let node = found.object.attributes.get("node").cloned().unwrap_or(Value::NULL);
        let rendered = self.renderer.render(&filled, &NodeFacts { node, follows }).ok()?;
        let kind = format!("step.{}", step.kind.as_str());
        Some((identity, rendered, kind.into()))
    }

    /// Writes down that a worker is a member: of the first ones, and of those that are taken in, nobody else does.
    pub(super) fn enroll(&mut self, membership: &Address, worker: &Address, mut depends_on: std::collections::BTreeSet<Address>) {
        if self.ledger.state.resources.contains_key(membership) {
            return;
        }
        let Some(instance) = self.ledger.state.resources.get(worker).and_then(|entry| entry.current.as_ref()) else { return };
        let node = instance.attributes.get("node").cloned().unwrap_or(Value::NULL);
        let attributes = Value::object([("instance", Value::from(instance.id.as_str())), ("node", node)]);
        self.next_hook += 1;
        let op_id = format!("{}-member{}", self.run_id, self.next_hook);
        depends_on.insert(worker.clone());
        let object = Object {
            id: member_id(&attributes),
            attributes: attributes.clone(),
            desired: attributes.clone(),
            schema_version: 1,
            op_id: op_id.clone(),
            undo: None,
            public_keys: BTreeMap::new(),
            took_ms: None,
            tainted: false,
        };
        let operation = OpKind::Create {
            token: op_id.clone(),
            tags: BTreeMap::new(),
            attributes,
            chosen: BTreeMap::new(),
            schema_version: 1,
            secrets: BTreeMap::new(),
            deposes: false,
            batch: None,
        };
        let intent = Intent {
            op_id: op_id.clone(),
            address: membership.clone(),
            kind: MEMBER_KIND.into(),
            provider: cloudtik_model::ProviderRef::new(super::group_kind::GROUP_PROVIDER),
            operation,
            depends_on,
            create_before_destroy: false,
        };
        self.write(vec![Record::Intent(intent), Record::Outcome { op_id, result: OpResult::Object { object } }], None);
    }
}

/// The attributes of the instance itself, for references of its own steps.
struct OwnInstance<'a> {
    worker: &'a Address,
    found: &'a Found,
}

impl Scope for OwnInstance<'_> {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Looked, Diagnostics> {
        Err(Diagnostic::error("unknown-name", format!("there is no name `{}` here", traversal.root)).into())
    }

    fn reference(&self, address: &Address) -> Option<Value> {
        if address != self.worker {
            return None;
        }
        let mut attributes = self.found.object.attributes.entries().cloned().unwrap_or_default();
        attributes.insert("id".into(), self.found.object.id.as_str().into());
        Some(Value::object(attributes))
    }
}
