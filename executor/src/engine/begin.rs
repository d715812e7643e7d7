//! The beginning of an operation: its values, its intent, its request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, ConditionKind, Digest, Node, NodeRequest, Object, ResourceSpec, StepSpec, Value, Verb as NodeVerb};
use cloudtik_planner::{Change, Operation, OperationKind, resource_identity, step_identity, step_inputs_preview};
use cloudtik_provider_api::{CLUSTER_TAG, CallError, CreateRequest, Idempotency, KindSchema, SecretKind, UpdateRequest, Verb};

use crate::engine::batch::{COMPANY_WAIT_MS, Wish};
use crate::engine::machine::{Engine, word_of};
use crate::engine::objects::{instance_entry, kind_schema, permanent};
use crate::engine::room::{self, WithoutRoom};
use crate::engine::work::{Doing, Phase, Work};
use crate::engine::{ADDRESS_TAG, Command, LINEAGE_TAG, NodeFacts, OP_TAG, Progress, StepJob, Ticket, values};
use crate::{Intent, OpKind, OpResult, PureEntry, Record};

/// What an operation needs before it can go on.
struct Prepared {
    operation: OpKind,
    doing: Doing,
    /// Made before the intent.
    secrets: Vec<(String, SecretKind)>,
    /// Written before the intent.
    before: Vec<Record>,
}

impl Engine {
    /// Begins an operation whose turn it is.
    pub(crate) fn begin(&mut self, now_ms: u64, id: usize) {
        self.begin_after(now_ms, id, Vec::new());
    }

    /// Begins it where there was no room for what was tried before.
    fn begin_after(&mut self, now_ms: u64, id: usize, without_room: Vec<WithoutRoom>) {
        let Some(operation) = self.operation(id).cloned() else { return };
        if let Some(error) = self.unsettled_error(&operation) {
            return self.failed(id, error);
        }
        if let Some(error) = self.unmet(id, ConditionKind::Precondition) {
            return self.failed(id, error);
        }
        if self.is_record_only(id) {
            return match self.record(now_ms, &operation) {
                Ok(records) => {
                    let tell = Progress::Done { address: operation.address.clone(), word: word_of(&operation), took_ms: 0, id: None };
                    self.write(records, None);
                    self.over(id, (operation.kind != OperationKind::Waypoint).then_some(tell));
                }
                Err(error) => self.failed(id, error),
            };
        }
        let op_id = self.next_op_id();
        match self.prepare(&operation, &op_id, without_room.len()) {
            Ok(prepared) => {
                if without_room.is_empty() {
                    let (address, word) = (operation.address.clone(), word_of(&operation));
                    self.commands.push(Command::Progress(Progress::Began { address, word, expected_ms: operation.expected_ms }));
                }
                self.enter_prepared(now_ms, id, &operation, op_id, prepared, without_room);
            }
            Err(error) => self.failed(id, error),
        }
    }

    /// There is no room for what was tried. It is written down that nothing came of it, and what comes next is an operation of its own, with an
    /// intent of its own: whatever happens after it, only that one call may be repeated.
    pub(crate) fn no_room(&mut self, now_ms: u64, id: usize, error: CallError) {
        let Some(work) = self.works.get_mut(&id) else { return };
        let OpKind::Create { chosen, batch, .. } = &work.intent.operation else { return self.fail(id, error) };
        let in_company = batch.as_ref().is_some_and(|batch| batch.numbers.len() > 1);
        let tried = WithoutRoom { chosen: chosen.clone(), in_company, error: error.clone() };
        let mut without_room = std::mem::take(&mut work.without_room);
        without_room.push(tried);
        let address = work.intent.address.clone();
        let forms = self.alternatives(&address).len();
        if self.interrupted || without_room.len() >= forms.saturating_mul(room::rounds(&without_room)) {
            return self.fail(id, room::nowhere(&without_room, forms, error));
        }
        self.close(id, OpResult::Failed { error: error.clone() });
        self.put_down(id);
        if let Some(word) = self.operation(id).map(word_of) {
            let tries = u32::try_from(without_room.len()).unwrap_or(u32::MAX);
            self.commands.push(Command::Progress(Progress::Retrying { address, word, tries, error, at_ms: now_ms }));
        }
        self.begin_after(now_ms, id, without_room);
    }

    /// What a create at this address may make, in the order in which it is tried.
    fn alternatives(&self, address: &Address) -> Vec<BTreeMap<Arc<str>, Value>> {
        let of =
            || {
                let spec = self.resource_spec(address)?;
                let kind = kind_schema(&self.input.schemas, &spec.provider, &spec.kind)?;
                Ok::<_, CallError>(kind.alternatives(
                    &values::desired(&self.ledger.state, &self.input.moment, kind, &spec.attributes)?,
                    room::number_of(address),
                ))
            };
        of().unwrap_or_default()
    }

    fn enter_prepared(
        &mut self,
        now_ms: u64,
        id: usize,
        operation: &Operation,
        op_id: String,
        prepared: Prepared,
        without_room: Vec<WithoutRoom>,
    ) {
        let intent = self.intent(operation, op_id, prepared.operation);
        let wish = self.wish(&intent, &prepared.doing, &without_room);
        let joins = wish.as_ref().is_some_and(|wish| self.gatherer.takes(wish));
        self.write(prepared.before, None);
        self.enter(
            id,
            Work {
                intent,
                doing: prepared.doing,
                phase: Phase::Company,
                secrets: prepared.secrets,
                counts: !joins,
                tries: 0,
                began_ms: now_ms,
                last_error: None,
                settlement: None,
                without_room,
            },
        );
        match wish {
            Some(wish) => self.gather(now_ms, id, wish),
            None => self.make_secrets(id),
        }
    }

    /// With which others a create may go. One that there was no room for in any company goes alone.
    fn wish(&self, intent: &Intent, doing: &Doing, without_room: &[WithoutRoom]) -> Option<Wish> {
        let Doing::Call(Verb::Create(request)) = doing else { return None };
        let kind = kind_schema(&self.input.schemas, &intent.provider, &intent.kind).ok()?;
        let wish = Wish::of(kind, request, intent)?;
        let alone = without_room.len() >= self.alternatives(&intent.address).len();
        (!alone).then_some(Wish { wait_ms: if without_room.is_empty() { 0 } else { COMPANY_WAIT_MS }, ..wish })
    }

    /// The same of an operation that has not begun.
    pub(crate) fn wish_of(&self, id: usize) -> Option<Wish> {
        let operation = self.operation(id)?;
        let deposes = match operation.kind {
            OperationKind::Create => false,
            OperationKind::CreateReplacement { deposes } => deposes,
            _ => return None,
        };
        let kind = kind_schema(&self.input.schemas, &operation.provider, &operation.object_kind).ok()?;
        kind.together?;
        let prepared = self.prepare_create(operation, "", deposes, 0).ok()?;
        self.wish(&self.intent(operation, String::new(), prepared.operation), &prepared.doing, &[])
    }

    fn intent(&self, operation: &Operation, op_id: String, doing: OpKind) -> Intent {
        let (depends_on, create_before_destroy) = self.edges(operation);
        Intent {
            op_id,
            address: operation.address.clone(),
            kind: Arc::clone(&operation.object_kind),
            provider: operation.provider.clone(),
            operation: doing,
            depends_on,
            create_before_destroy,
        }
    }

    /// What the entry depends on afterwards, and its order of replacement. Of an operation that removes, what the state says stays.
    fn edges(&self, operation: &Operation) -> (BTreeSet<Address>, bool) {
        let change = self.change(&operation.address).filter(|change| change.desired.is_some());
        let entry = self.ledger.state.resources.get(&operation.address);
        match (change, entry) {
            (Some(change), _) => (change.depends_on.clone(), change.create_before_destroy && !change.is_step()),
            (None, Some(entry)) => (entry.depends_on.clone(), entry.create_before_destroy),
            (None, None) => (BTreeSet::new(), false),
        }
    }

    pub(crate) fn current(&self, address: &Address) -> Option<&Object> {
        self.ledger.state.resources.get(address).and_then(|entry| entry.current.as_ref())
    }

    fn planned(&self, address: &Address) -> Result<&Change, CallError> {
        self.change(address).ok_or_else(|| permanent("plan", "the plan does not know this address"))
    }

    fn resource_spec(&self, address: &Address) -> Result<&ResourceSpec, CallError> {
        match &self.planned(address)?.desired {
            Some(Node::Resource(spec)) => Ok(spec),
            _ => Err(permanent("plan", "the plan has no resource at this address")),
        }
    }

    fn prepare(&mut self, operation: &Operation, op_id: &str, tried: usize) -> Result<Prepared, CallError> {
        let address = &operation.address;
        match &operation.kind {
            OperationKind::Create => self.prepare_create(operation, op_id, false, tried),
            OperationKind::CreateReplacement { deposes } => self.prepare_create(operation, op_id, *deposes, tried),
            OperationKind::Update => self.prepare_update(operation, op_id),
            OperationKind::Import => self.prepare_import(operation, op_id),
            OperationKind::Delete { id, deposed } => Ok(Prepared {
                operation: OpKind::Delete { id: id.clone(), deposed: deposed.clone() },
                doing: Doing::Call(Verb::Delete { id: id.clone(), data: self.planned(address)?.with_data }),
                secrets: Vec::new(),
                before: Vec::new(),
            }),
            OperationKind::Run => match &self.planned(address)?.desired {
                Some(Node::Step(spec)) => {
                    let (spec, planned) = (spec.clone(), self.planned(address)?.identity);
                    self.prepare_step(&spec, planned, op_id)
                }
                _ => Err(permanent("plan", "the plan has no step at this address")),
            },
            OperationKind::Undo { instance, action } => self.prepare_undo(operation, instance, action, op_id),
            _ => Err(permanent("plan", "an operation of this kind makes no call")),
        }
    }

    fn prepare_create(&self, operation: &Operation, op_id: &str, deposes: bool, tried: usize) -> Result<Prepared, CallError> {
        let spec = self.resource_spec(&operation.address)?;
        let kind = kind_schema(&self.input.schemas, &spec.provider, &spec.kind)?;
        let attributes = values::desired(&self.ledger.state, &self.input.moment, kind, &spec.attributes)?;
        let given = |name: &str| attributes.get(name).is_some_and(|value| !value.is_null());
        let needed = kind.secrets.iter().filter(|(name, secret)| *secret != SecretKind::Password || !given(name));
        let secrets = needed.map(|(name, secret)| ((*name).to_owned(), *secret)).collect();
        let forms = kind.alternatives(&attributes, room::number_of(&operation.address));
        let place = tried.checked_rem(forms.len()).unwrap_or_default();
        let chosen = forms.into_iter().nth(place).unwrap_or_default();
        let tags = self.marks(spec, op_id);
        // An object that is gone from the provider must not be taken for one that this create replaces.
        let gone = !deposes && self.current(&operation.address).is_some();
        let before = gone.then(|| Record::Observed { address: operation.address.clone(), attributes: None });
        Ok(Prepared {
            operation: OpKind::Create {
                token: op_id.to_owned(),
                tags: tags.clone(),
                attributes: attributes.clone(),
                chosen: chosen.clone(),
                schema_version: kind.version,
                secrets: BTreeMap::new(),
                deposes,
                batch: None,
            },
            doing: Doing::Call(Verb::Create(CreateRequest {
                op_id: op_id.to_owned(),
                token: op_id.to_owned(),
                epoch: self.input.launch_epoch.unwrap_or(self.input.epoch),
                tags,
                attributes: room::with(&attributes, &chosen),
                secrets: BTreeMap::new(),
                batch: None,
            })),
            secrets,
            before: before.into_iter().collect(),
        })
    }

    /// The marks of an object.
    fn marks(&self, spec: &ResourceSpec, op_id: &str) -> BTreeMap<String, String> {
        let lineage = &self.ledger.state.lineage;
        let mut tags = spec.marks.clone();
        if let Some(mark) = tags.get_mut(CLUSTER_TAG) {
            *mark = self.ledger.state.cluster_uid(mark);
        }
        tags.extend(self.input.marks.clone());
        tags.insert(ADDRESS_TAG.to_owned(), spec.address.to_string());
        tags.insert(LINEAGE_TAG.to_owned(), lineage.clone());
        tags.insert(OP_TAG.to_owned(), op_id.to_owned());
        tags
    }

    /// An import is an update that brings our marks: what it answers is the object of the state.
    fn prepare_import(&self, operation: &Operation, op_id: &str) -> Result<Prepared, CallError> {
        let spec = self.resource_spec(&operation.address)?;
        let kind = kind_schema(&self.input.schemas, &spec.provider, &spec.kind)?;
        let attributes = values::desired(&self.ledger.state, &self.input.moment, kind, &spec.attributes)?;
        let planned = self.planned(&operation.address)?;
        let id = planned.id.clone().ok_or_else(|| permanent("plan", "the plan does not say what is imported"))?;
        let (changed, marks) = (changed_names(planned), self.marks(spec, op_id));
        let intent = OpKind::Import { id: id.clone(), changed: changed.clone(), attributes: attributes.clone(), tags: marks.clone() };
        let before = planned.before.clone().unwrap_or(Value::NULL);
        let request = UpdateRequest { id, op_id: op_id.to_owned(), epoch: self.input.epoch, changed, attributes, before, marks };
        Ok(Prepared { operation: intent, doing: Doing::Call(Verb::Update(request)), secrets: Vec::new(), before: Vec::new() })
    }

    fn prepare_update(&self, operation: &Operation, op_id: &str) -> Result<Prepared, CallError> {
        let spec = self.resource_spec(&operation.address)?;
        let kind = kind_schema(&self.input.schemas, &spec.provider, &spec.kind)?;
        let attributes = values::desired(&self.ledger.state, &self.input.moment, kind, &spec.attributes)?;
        let object = self.current(&operation.address).ok_or_else(|| permanent("state", "there is nothing to update"))?;
        let planned = self.planned(&operation.address)?;
        let changed = changed_names(planned);
        // As it was found, where somebody else changed it meanwhile.
        let before = planned.before.clone().unwrap_or_else(|| object.attributes.clone());
        Ok(Prepared {
            operation: OpKind::Update { id: object.id.clone(), changed: changed.clone(), attributes: attributes.clone() },
            doing: Doing::Call(Verb::Update(UpdateRequest {
                id: object.id.clone(),
                op_id: op_id.to_owned(),
                epoch: self.input.epoch,
                changed,
                attributes,
                before,
                marks: BTreeMap::new(),
            })),
            secrets: Vec::new(),
            before: Vec::new(),
        })
    }

    fn prepare_step(&mut self, spec: &StepSpec, planned: Option<Digest>, op_id: &str) -> Result<Prepared, CallError> {
        let spec = values::step(&self.ledger.state, &self.input.moment, spec)?;
        let node = self.ledger.state.resources.get(&spec.node).and_then(|entry| Some((entry, entry.current.as_ref()?)));
        let (entry, object) = node.ok_or_else(|| permanent("no-node", format!("its node `{}` is not there", spec.node)))?;
        let facts =
            NodeFacts { node: object.attributes.get("node").cloned().unwrap_or(Value::NULL), follows: self.follows(&spec, RENDERED) };
        let identity = step_identity(&spec, &spec.inputs, &self.follows(&spec, IDENTITY));
        let identity = identity.ok_or_else(|| permanent("identity", "what it follows is not known"))?;
        if planned.is_some_and(|planned| planned != identity) {
            return Err(permanent("identity", "it is not the step that was planned: what it follows came out different"));
        }
        let rendered = self.input.renderer.render(&spec, &facts)?;
        let job = StepJob {
            ticket: Ticket(0),
            provider: entry.provider.clone(),
            node: spec.node.clone(),
            instance_id: object.id.clone(),
            attributes: object.attributes.clone(),
            public_keys: object.public_keys.clone(),
            host_key: self.host_keys.get(&object.id).cloned(),
            request: request(op_id, &spec.address, identity, NodeVerb::Do, rendered.action.clone()),
            artifacts: rendered.artifacts,
            title: spec.title.clone(),
        };
        Ok(Prepared {
            operation: OpKind::Run {
                instance: object.id.clone(),
                identity,
                action: rendered.action,
                inputs: step_inputs_preview(&spec.inputs),
                undo: rendered.undo,
            },
            doing: Doing::Step(Box::new(job)),
            secrets: Vec::new(),
            before: Vec::new(),
        })
    }

    /// What a step follows, as it is now: by the name of the attribute of a step that says it, and of resources their identity.
    fn follows(&self, spec: &StepSpec, attribute: &str) -> BTreeMap<Address, Digest> {
        let of = |address: &Address| {
            let object = self.current(address)?;
            match object.attributes.get(attribute).and_then(Value::as_str) {
                Some(text) if self.is_step(address) => text.parse().ok(),
                _ => resource_identity(&object.id, &object.desired),
            }
        };
        spec.triggers.iter().filter_map(|address| Some((address.clone(), of(address)?))).collect()
    }

    fn is_step(&self, address: &Address) -> bool {
        self.ledger.state.resources.get(address).is_some_and(|entry| entry.kind.starts_with("step."))
    }

    fn prepare_undo(
        &self,
        operation: &Operation,
        instance: &str,
        action: &cloudtik_model::NodeAction,
        op_id: &str,
    ) -> Result<Prepared, CallError> {
        let (node, entry, object) = instance_entry(&self.ledger.state, instance)
            .ok_or_else(|| permanent("no-node", format!("its node {instance} is not in the state")))?;
        let identity = self.current(&operation.address).and_then(|step| step.attributes.get(IDENTITY)).and_then(Value::as_str);
        let identity = identity.and_then(|text| text.parse().ok()).unwrap_or_else(|| Digest::of(op_id));
        let job = StepJob {
            ticket: Ticket(0),
            provider: entry.provider.clone(),
            node: node.clone(),
            instance_id: instance.to_owned(),
            attributes: object.attributes.clone(),
            public_keys: object.public_keys.clone(),
            host_key: self.host_keys.get(instance).cloned(),
            request: request(op_id, &operation.address, identity, NodeVerb::Undo, action.clone()),
            artifacts: Vec::new(),
            title: format!("undo {}", operation.address),
        };
        Ok(Prepared {
            operation: OpKind::Undo { instance: instance.to_owned(), action: action.clone() },
            doing: Doing::Step(Box::new(job)),
            secrets: Vec::new(),
            before: Vec::new(),
        })
    }

    /// The records of an operation that touches nothing but the state.
    fn record(&mut self, _now_ms: u64, operation: &Operation) -> Result<Vec<Record>, CallError> {
        let address = operation.address.clone();
        let kind = kind_schema(&self.input.schemas, &operation.provider, &operation.object_kind);
        let pure = kind.is_ok_and(|kind| kind.class == Idempotency::Pure);
        Ok(match &operation.kind {
            OperationKind::Waypoint => Vec::new(),
            OperationKind::Forget => vec![Record::Forgotten { address }],
            OperationKind::Rewire => {
                let (depends_on, create_before_destroy) = self.edges(operation);
                vec![Record::Rewired { address, depends_on, create_before_destroy }]
            }
            OperationKind::Observe => {
                let (depends_on, create_before_destroy) = self.edges(operation);
                let observed = self.planned(&address)?.before.clone();
                let observed = observed.map(|attributes| Record::Observed { address: address.clone(), attributes: Some(attributes) });
                observed.into_iter().chain([Record::Rewired { address, depends_on, create_before_destroy }]).collect()
            }
            OperationKind::Delete { id, .. } => {
                // A pure object that was replaced first is not there twice: the new one took its place.
                let there = self.current(&address).is_some_and(|object| object.id == *id);
                there.then_some(Record::Pure { address, entry: None }).into_iter().collect()
            }
            _ if pure => vec![self.pure_record(operation)?],
            OperationKind::Record => self.desired_record(operation)?,
            _ => return Err(permanent("plan", "an operation of this kind does not only concern the state")),
        })
    }

    fn pure_record(&mut self, operation: &Operation) -> Result<Record, CallError> {
        let op_id = self.next_op_id();
        let spec = self.resource_spec(&operation.address)?;
        let kind = kind_schema(&self.input.schemas, &spec.provider, &spec.kind)?;
        let desired = values::desired(&self.ledger.state, &self.input.moment, kind, &spec.attributes)?;
        let kept = match operation.kind {
            OperationKind::Update | OperationKind::Record => self.current(&operation.address),
            _ => None,
        };
        let object = Object {
            id: kept.map_or_else(|| op_id.clone(), |object| object.id.clone()),
            attributes: pure_attributes(kind, &desired),
            desired,
            schema_version: kind.version,
            op_id: kept.map_or(op_id, |object| object.op_id.clone()),
            undo: None,
            public_keys: BTreeMap::new(),
            took_ms: None,
            tainted: false,
        };
        let (depends_on, create_before_destroy) = self.edges(operation);
        let entry = PureEntry { kind: Arc::clone(&spec.kind), provider: spec.provider.clone(), object, depends_on, create_before_destroy };
        Ok(Record::Pure { address: operation.address.clone(), entry: Some(entry) })
    }

    /// What the spec wants goes into the state although the object stays as it is: an update that is over when it begins.
    fn desired_record(&mut self, operation: &Operation) -> Result<Vec<Record>, CallError> {
        let op_id = self.next_op_id();
        let spec = self.resource_spec(&operation.address)?;
        let kind = kind_schema(&self.input.schemas, &spec.provider, &spec.kind)?;
        let desired = values::desired(&self.ledger.state, &self.input.moment, kind, &spec.attributes)?;
        let mut object = self.current(&operation.address).cloned().ok_or_else(|| permanent("state", "there is nothing to change"))?;
        let changed = changed_names(self.planned(&operation.address)?);
        let there = self.planned(&operation.address)?.before.clone().unwrap_or_else(|| object.attributes.clone());
        let mut entries = there.entries().cloned().unwrap_or_default();
        for name in &changed {
            let sensitive = kind.attribute(name).is_some_and(|attribute| attribute.sensitive);
            let value = desired.get(name).cloned().unwrap_or(Value::NULL);
            entries.insert(name.as_str().into(), value.marked(sensitive));
        }
        object.attributes = Value::object(entries);
        object.desired = desired.clone();
        let (depends_on, create_before_destroy) = self.edges(operation);
        let intent = Intent {
            op_id: op_id.clone(),
            address: operation.address.clone(),
            kind: Arc::clone(&operation.object_kind),
            provider: operation.provider.clone(),
            operation: OpKind::Update { id: object.id.clone(), changed, attributes: desired },
            depends_on,
            create_before_destroy,
        };
        Ok(vec![Record::Intent(intent), Record::Outcome { op_id, result: OpResult::Object { object } }])
    }
}

/// The attribute of a step's object that says what it is made of.
const IDENTITY: &str = "identity";
/// The attribute of a step's object that says what exactly was done.
const RENDERED: &str = "rendered";

fn request(op_id: &str, address: &Address, identity: Digest, verb: NodeVerb, action: cloudtik_model::NodeAction) -> NodeRequest {
    NodeRequest { version: NodeRequest::VERSION, run_id: op_id.to_owned(), address: address.to_string(), identity, verb, action }
}

/// The attributes that a change concerns.
fn changed_names(change: &Change) -> BTreeSet<String> {
    change.attributes.iter().filter_map(|change| change.path.split(['.', '[']).next()).map(str::to_owned).collect()
}

/// All attributes of a pure object: what the spec says, and what follows from it.
fn pure_attributes(kind: &KindSchema, desired: &Value) -> Value {
    let mut entries: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    for attribute in &kind.attributes {
        let value = desired.get(attribute.name).cloned().unwrap_or(Value::NULL);
        entries.insert(attribute.name.into(), value.marked(attribute.sensitive));
    }
    for (name, value) in kind.derive.map(|derive| derive(desired)).unwrap_or_default() {
        entries.insert(name.into(), value);
    }
    Value::object(entries)
}
