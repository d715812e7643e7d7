//! From what a unit should be to a plan and an engine, and what their ends mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_executor::durable::Ledger;
use cloudtik_executor::engine::{
    Broken, Engine, EngineInput, Event, Limits, SettleMode, Settlement, SettlementInput, SettlementReport, Summary, broken_batches, started,
};
use cloudtik_executor::{OpResult, Record};
use cloudtik_lang::{Filling, Fragment, LateValues, Moment, instantiate, instantiate_head};
use cloudtik_model::{
    Address, EventLevel, Graph, HeadConfig, Lifecycle, Node, Object, ProviderConfig, ResourceSpec, Span, State, StateEntry, Value,
};
use cloudtik_planner::{Action, Execution, Mode, Observation, Plan, PlanInput, Selection, execution, lint, plan};
use cloudtik_provider_api::{CLUSTER_TAG, ErrorClass, GROUP_TAG, NODE_NAME, ROLE_TAG, SEQUENCE_TAG, TEMPLATE_TAG, WORKER_ROLE};

use super::Controller;
use super::group_kind::{GROUP_PROVIDER, member_resource};
use super::late::LateRenderer;
use super::unit::{Basis, Unit, UnitId, Work};
use crate::limits;

/// A plan of a unit with what it was made from.
struct UnitPlan {
    plan: Plan,
    execution: Execution,
    state: State,
    /// The unit has everything that it will have with the values of now.
    waits: bool,
}

impl Controller {
    /// Starts what is to be done for a unit, if there is something.
    pub(super) fn advance_unit(&mut self, now_ms: u64, id: &UnitId) {
        let Some(config) = self.config() else { return };
        let idle = self.units.get(id).is_some_and(|unit| unit.is_idle() && unit.retry_at_ms <= now_ms);
        if !idle || self.stopping {
            return;
        }
        if self.has_open_intents(id) {
            return self.settle_unit(now_ms, id);
        }
        let basis = self.basis(&config, id);
        let turn = self.has_turn(id);
        let known = |unit: &Unit| unit.checked.as_ref() == Some(&basis) || !turn && unit.waits_for_turn.as_ref() == Some(&basis);
        if self.units.get(id).is_some_and(known) {
            return;
        }
        // Nothing is planned that cannot begin.
        if self.is_crowded(id) {
            return;
        }
        let made = match self.plan_unit(&config, id, &basis.live) {
            Ok(made) => made,
            Err(problem) => return self.unit_failed(now_ms, id, &problem, true),
        };
        let node = self.units.get(id).map(|unit| unit.address.clone());
        let outdated = node.is_some_and(|node| made.plan.changes.get(&node).is_some_and(|change| change.action == Action::Replace));
        let leaving = basis.leaving;
        if let Some(unit) = self.units.get_mut(id) {
            unit.unseen = false;
            unit.outdated = outdated && !leaving;
            unit.waits = made.waits;
            unit.wants_turn = false;
            unit.waits_for_turn = None;
        }
        // One from an earlier template stays as it is until its turn to be replaced comes.
        if made.execution.operations.is_empty() || (outdated && !leaving) {
            // It does its work as before, when it did any.
            let joined = self.is_quorum(id) && self.has_joined(id);
            let known = self.units.get(id).is_some_and(|unit| unit.was_ready || unit.adopted);
            let serves = outdated && (joined || known || !made.waits && is_established(&made));
            return self.nothing_to_do(id, basis, made.waits || outdated && !serves);
        }
        let member = !leaving && self.has_joined(id) && id.group().is_some_and(|group| self.is_formed(group));
        if member && self.is_quorum(id) && !turn {
            // One on which everything was done once goes on with its work as it is, also when this controller has just begun.
            let serves = is_established(&made);
            if let Some(unit) = self.units.get_mut(id) {
                unit.wants_turn = true;
                unit.waits_for_turn = Some(basis);
                unit.was_ready |= serves;
                unit.ready |= serves && !unit.gone;
            }
            self.dirty = true;
            return;
        }
        let wanted = basis.but_for_changes();
        if self.units.get(id).is_some_and(|unit| unit.done.as_ref() == Some(&wanted)) {
            return self.unit_repeats(now_ms, id, &made);
        }
        if let Some(unit) = self.units.get_mut(id) {
            unit.wanted = Some(wanted);
        }
        self.run_unit(now_ms, id, made);
    }

    fn nothing_to_do(&mut self, id: &UnitId, basis: Basis, waits: bool) {
        let there = self.instance_of(id).is_some() || *id == UnitId::Head;
        let Some(unit) = self.units.get_mut(id) else { return };
        unit.checked = Some(basis);
        let was = unit.ready;
        unit.ready = there && !waits && unit.leaving.is_none() && !unit.gone;
        let now_ready = unit.ready;
        if now_ready {
            unit.was_ready = true;
            unit.problem = None;
        }
        (unit.done, unit.repeats) = (None, 0);
        if now_ready && !was {
            let (address, served) = (unit.address.to_string(), super::facts::served_key(&unit.address));
            if *id != UnitId::Head {
                self.remember([(served, Value::from(true))]);
            }
            if let Some(group) = id.group().cloned() {
                let memo = self.memo(&group);
                memo.given_up = 0;
                memo.problem = None;
                if !self.is_formed(&group) {
                    self.remember([(super::facts::formed_key(&group), Value::from(true))]);
                }
            }
            self.event(EventLevel::Info, Some(&address), "ready".to_owned());
            // Others follow who is ready: until they were looked at again, nobody may be told that all is done.
            self.dirty = true;
        }
        let empty = self.units.get(id).is_some_and(|unit| unit.leaving.is_some()) && !self.has_entries(id);
        if empty {
            let removed = self.units.remove(id);
            if let Some(unit) = removed {
                let address = unit.address.to_string();
                for key in [super::facts::born_key, super::facts::frozen_key, super::facts::served_key] {
                    self.withdraw(key(&unit.address));
                }
                self.event(EventLevel::Info, Some(&address), "removed".to_owned());
            }
        }
    }

    pub(super) fn basis(&self, config: &HeadConfig, id: &UnitId) -> Basis {
        let unit = self.units.get(id);
        Basis {
            generation: self.pushed.as_ref().map_or(0, |pushed| pushed.generation),
            live: Arc::new(self.live(config, id)),
            frozen: self.frozen_of(id).is_some(),
            leaving: unit.is_some_and(|unit| unit.leaving.is_some()),
            gone: unit.is_some_and(|unit| unit.gone),
            changes: unit.map_or(0, |unit| unit.changes),
        }
    }

    fn fragment(&mut self, config: &HeadConfig, id: &UnitId, live: &LateValues) -> Result<Fragment, String> {
        let Some(pushed) = self.pushed.clone() else { return Err("there is no configuration".to_owned()) };
        let frozen = self.frozen_of(id).unwrap_or_default();
        let names: BTreeSet<_> = frozen.values.keys().cloned().collect();
        let filling = Filling { references: &pushed.references, live, frozen: &names };
        let made = match id {
            UnitId::Head => instantiate_head(&config.head_steps, filling),
            UnitId::Worker { group, sequence } => match config.groups.get(group) {
                Some(group) => instantiate(group, *sequence, filling),
                None => return Ok(Fragment::default()),
            },
        };
        let mut fragment =
            made.map_err(|found| found.into_iter().next().map_or_else(|| "it cannot be made".to_owned(), |diagnostic| diagnostic.title))?;
        let key = self.host_key_step(id);
        for step in fragment.steps.iter_mut().filter(|step| Some(&step.address) == key.as_ref()) {
            // Whoever applied may log in to every worker too.
            let input = step.inputs.entry("authorized_keys".to_owned()).or_insert_with(|| cloudtik_model::Input::Value(Value::list([])));
            if let cloudtik_model::Input::Value(value) = input {
                let keys: Vec<Value> = value.elements().into_iter().flatten().cloned().collect();
                let own = pushed.push.operator_keys.iter().map(|key| Value::from(key.trim())).filter(|key| !keys.contains(key));
                *value = Value::list(keys.iter().cloned().chain(own).collect::<Vec<_>>());
            }
        }
        Ok(fragment)
    }

    /// The step of the first contact of a worker.
    pub(super) fn host_key_step(&self, id: &UnitId) -> Option<Address> {
        let unit = self.units.get(id).filter(|_| *id != UnitId::Head)?;
        Some(unit.address.child("step").child("host_key"))
    }

    fn plan_unit(&mut self, config: &HeadConfig, id: &UnitId, live: &LateValues) -> Result<UnitPlan, String> {
        let (leaving, gone) = self.units.get(id).map_or((false, false), |unit| (unit.leaving.is_some(), unit.gone));
        let mut graph = Graph::default();
        let mut waits = false;
        let mut state = self.state_of(id);
        if !leaving {
            let fragment = self.fragment(config, id, live)?;
            waits = !fragment.waiting.is_empty();
            let steps = fragment.steps.len() + fragment.waiting.len();
            if let Some(unit) = self.units.get_mut(id) {
                unit.steps = u64::try_from(steps).unwrap_or(u64::MAX);
            }
            let node = match fragment.node {
                Some(mut node) => {
                    node.marks.extend(self.worker_marks(id));
                    // It keeps the name that it was made with, whatever its group is called by now.
                    node.lifecycle.ignore_changes.insert(NODE_NAME.to_owned());
                    Some(node)
                }
                None => self.head_resource(config),
            };
            if let (UnitId::Head, Some(node)) = (id, &node)
                && let Some(entry) = self.head_entry(config)
            {
                state.resources.insert(node.address.clone(), entry);
            }
            let address = self.units.get(id).map(|unit| unit.address.clone());
            let members = address.iter().flat_map(|address| fragment.memberships.iter().map(move |m| member_resource(m, address)));
            let resources: Vec<ResourceSpec> = node.into_iter().chain(members).collect();
            graph.nodes.extend(resources.into_iter().map(|spec| (spec.address.clone(), Node::Resource(spec))));
            graph.nodes.extend(fragment.steps.into_iter().map(|step| (step.address.clone(), Node::Step(step))));
            let provider = ProviderConfig { attributes: config.provider_config.clone(), span: Span::NONE };
            graph.providers.insert(config.provider.clone(), provider);
        }
        let mut observed = BTreeMap::new();
        if gone && let Some(unit) = self.units.get(id) {
            observed.insert(unit.address.clone(), Observation::Gone);
        }
        let schemas = Arc::clone(&self.schemas);
        let (plan, diagnostics) = plan(PlanInput {
            graph: &graph,
            state: &state,
            observed: &observed,
            imports: &BTreeMap::new(),
            schemas: &|name| schemas.get(name),
            facts: BTreeMap::new(),
            pinned: BTreeSet::new(),
            mode: if leaving { Mode::Destroy } else { Mode::Normal },
            replace: BTreeSet::new(),
            keep: BTreeSet::new(),
            selection: Selection::default(),
            settled: Vec::new(),
            notes: Vec::new(),
            tool_version: self.tool_version.clone(),
            offline: false,
            locate: &|_| None,
        });
        if let Some(error) = diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
            return Err(error.title.clone());
        }
        if let Some(fault) = lint(&plan, &state).into_iter().next() {
            return Err(format!("a fault of the planner: {fault}"));
        }
        let execution = execution(&plan, &state).map_err(|error| error.to_string())?;
        Ok(UnitPlan { plan, execution, state, waits })
    }

    /// Tags by which a worker is found when nobody remembers it.
    pub(super) fn worker_marks(&self, id: &UnitId) -> BTreeMap<String, String> {
        let UnitId::Worker { group, sequence } = id else { return BTreeMap::new() };
        let template = self.outlines.get(&Some(Arc::clone(group))).and_then(|outline| outline.node).map(|digest| digest.short());
        BTreeMap::from([
            (ROLE_TAG.to_owned(), WORKER_ROLE.to_owned()),
            (GROUP_TAG.to_owned(), group.to_string()),
            (SEQUENCE_TAG.to_owned(), sequence.to_string()),
            (TEMPLATE_TAG.to_owned(), template.unwrap_or_default()),
        ])
    }

    /// The head as a resource that is as it should be: it is the command line's, and only its steps are looked at here.
    fn head_resource(&self, config: &HeadConfig) -> Option<ResourceSpec> {
        let head = self.head.as_ref()?;
        let kind = self.schemas.get(config.provider.provider_type())?.kinds.get(&*self.node_kind(config)?)?;
        let given = kind.attributes.iter().filter(|attribute| attribute.is_settable());
        let given =
            given.filter_map(|attribute| Some((Arc::<str>::from(attribute.name), head.object.attributes.get(attribute.name)?.clone())));
        Some(ResourceSpec {
            address: config.cluster.child("head"),
            kind: kind.name.into(),
            provider: config.provider.clone(),
            attributes: Value::object(given.filter(|(_, value)| !value.is_null())),
            depends_on: BTreeSet::new(),
            lifecycle: Lifecycle::default(),
            marks: BTreeMap::new(),
            span: Span::NONE,
            origins: BTreeMap::new(),
        })
    }

    fn head_entry(&self, config: &HeadConfig) -> Option<StateEntry> {
        let head = self.head.as_ref()?;
        let object = Object {
            id: head.object.id.clone(),
            attributes: head.object.attributes.clone(),
            desired: head.object.attributes.clone(),
            schema_version: 0,
            op_id: String::new(),
            undo: None,
            public_keys: BTreeMap::new(),
            took_ms: None,
            tainted: false,
        };
        Some(StateEntry {
            kind: self.node_kind(config)?,
            provider: config.provider.clone(),
            current: Some(object),
            deposed: BTreeMap::new(),
            depends_on: BTreeSet::new(),
            create_before_destroy: false,
        })
    }

    /// The kind of nodes: that of any worker; all of a cluster are made by one provider.
    pub(super) fn node_kind(&self, config: &HeadConfig) -> Option<Arc<str>> {
        config.groups.values().next().map(|group| Arc::clone(&group.node.kind))
    }

    /// The part of the state that is a unit's.
    fn state_of(&self, id: &UnitId) -> State {
        let state = &self.ledger.state;
        let resources = self.units.get(id).map(|unit| {
            let below = state.resources.range(unit.address.clone()..).take_while(|(address, _)| address.is_within(&unit.address));
            below.map(|(address, entry)| (address.clone(), entry.clone())).collect::<BTreeMap<_, _>>()
        });
        State {
            version: state.version,
            lineage: state.lineage.clone(),
            serial: state.serial,
            epoch: state.epoch,
            folded: state.folded.clone(),
            resources: resources.unwrap_or_default(),
            facts: BTreeMap::new(),
            outputs: BTreeMap::new(),
            providers: state.providers.clone(),
        }
    }

    fn has_entries(&self, id: &UnitId) -> bool {
        let Some(unit) = self.units.get(id) else { return false };
        self.ledger.state.resources.range(unit.address.clone()..).next().is_some_and(|(address, _)| address.is_within(&unit.address))
    }

    pub(super) fn has_open_intents(&self, id: &UnitId) -> bool {
        let Some(unit) = self.units.get(id) else { return false };
        self.ledger.open.values().any(|open| open.intent.address.is_within(&unit.address))
    }

    fn run_unit(&mut self, now_ms: u64, id: &UnitId, made: UnitPlan) {
        let Some(pushed) = self.pushed.clone() else { return };
        let marks = BTreeMap::from([(CLUSTER_TAG.to_owned(), pushed.push.uid.clone())]);
        let frozen = self.frozen_of(id).unwrap_or_default();
        self.next_run += 1;
        let engine = Engine::new(EngineInput {
            plan: made.plan,
            execution: made.execution,
            ledger: Ledger::new(made.state),
            unsettled: Vec::new(),
            schemas: Arc::clone(&self.schemas),
            limits: self.unit_limits(),
            run_id: format!("{}.{}", self.run_id, self.next_run),
            moment: Moment::default(),
            epoch: self.epoch,
            launch_epoch: Some(pushed.push.epoch),
            command: "controller".to_owned(),
            tool_version: self.tool_version.clone(),
            started: true,
            marks,
            gathers_elsewhere: true,
            renderer: Arc::new(LateRenderer { inner: Arc::clone(&self.renderer), frozen }),
            broken: Broken::No,
        });
        if let Some(unit) = self.units.get_mut(id) {
            unit.work = Work::Running(Box::new(engine));
            unit.machine = self.next_run;
            unit.ready = false;
        }
        self.feed(now_ms, id, Event::Start);
    }

    fn settle_unit(&mut self, now_ms: u64, id: &UnitId) {
        let Some((address, gone)) = self.units.get(id).map(|unit| (unit.address.clone(), unit.gone)) else { return };
        if gone {
            // What ran on an instance that is gone went with it.
            let steps =
                self.ledger.open.values().filter(|open| open.intent.address.is_within(&address) && open.intent.kind.starts_with("step."));
            let op_ids: Vec<String> = steps.map(|open| open.intent.op_id.clone()).collect();
            if !op_ids.is_empty() {
                let cleared = op_ids.into_iter().map(|op_id| Record::Outcome { op_id, result: OpResult::Cleared });
                self.write(cleared.collect(), None);
                self.dirty = true;
                return;
            }
        }
        let mut open: Vec<_> = self.ledger.open.values().filter(|open| open.intent.address.is_within(&address)).collect();
        open.sort_by_key(|open| open.sequence);
        let open = open.into_iter().map(|open| open.intent.clone()).collect();
        self.next_run += 1;
        let mut state = self.state_of(id);
        if *id == UnitId::Head
            && let Some(config) = self.config()
            && let Some(entry) = self.head_entry(&config)
        {
            state.resources.insert(address, entry);
        }
        let settlement = Settlement::new(SettlementInput {
            state,
            open,
            schemas: Arc::clone(&self.schemas),
            limits: self.unit_limits(),
            run_id: format!("{}.{}", self.run_id, self.next_run),
            epoch: self.epoch,
            launch_epoch: self.pushed.as_ref().map(|pushed| pushed.push.epoch),
            broken: broken_batches(self.ledger.open.values().map(|open| &open.intent)),
            mode: SettleMode::Apply,
            started: started("controller", &self.tool_version),
        });
        if let Some(unit) = self.units.get_mut(id) {
            unit.work = Work::Settling(Box::new(settlement));
            unit.machine = self.next_run;
        }
        self.feed(now_ms, id, Event::Start);
    }

    fn unit_limits(&self) -> Limits {
        Limits {
            parallelism: limits::OPERATIONS_PER_UNIT,
            tries_max: limits::TRIES_MAX,
            settle_tries_max: limits::TRIES_MAX,
            ..Limits::default()
        }
    }

    /// The end of a unit's engine.
    pub(super) fn unit_finished(&mut self, now_ms: u64, id: &UnitId, summary: &Summary) {
        self.unit_idle(id);
        if let Some(reason) = &summary.aborted {
            self.abort(reason);
            return;
        }
        let failed = summary.addresses.iter().find_map(|(address, result)| Some((address, result.error.as_ref()?)));
        match failed {
            Some((address, error)) => {
                let problem = format!("{address}: {}", error.message);
                // Another one in its place would find no more room.
                self.unit_failed(now_ms, id, &problem, error.class != ErrorClass::NoRoom);
            }
            None => {
                if let Some(unit) = self.units.get_mut(id) {
                    unit.failures = 0;
                    unit.done = unit.wanted.take();
                }
            }
        }
    }

    /// The end of a unit's settlement.
    pub(super) fn unit_settled(&mut self, now_ms: u64, id: &UnitId, report: &SettlementReport) {
        self.unit_idle(id);
        if let Some(reason) = &report.aborted {
            self.abort(reason);
            return;
        }
        if let Some((intent, error)) = report.unsettled.first() {
            let problem = format!("{}: {}", intent.address, error.message);
            self.unit_failed(now_ms, id, &problem, true);
        }
    }

    fn unit_idle(&mut self, id: &UnitId) {
        let machine = self.owner(id).machine;
        self.hooks.retain(|hook| hook.unit != *id);
        if let Some(unit) = self.units.get_mut(id) {
            unit.work = Work::Idle;
            unit.running.clear();
            unit.checked = None;
            unit.changes += 1;
        }
        self.at_work.remove(id);
        self.send_steps();
        self.leave_company(machine);
        self.dirty = true;
    }

    /// Everything was done, and for the same reasons there is something to do: a cloud that does not keep what it is told, a step that undoes
    /// another one. It is done again, with pauses that grow: without them it would be done for ever as fast as it can be.
    fn unit_repeats(&mut self, now_ms: u64, id: &UnitId, made: &UnitPlan) {
        let what = made.plan.changes.values().find(|change| change.has_effect()).map(|change| change.address.to_string());
        let Some(unit) = self.units.get_mut(id) else { return };
        unit.done = None;
        unit.repeats += 1;
        unit.retry_at_ms = now_ms.saturating_add(pause(unit.repeats));
        let problem = format!("{} was done, and is to be done again", what.unwrap_or_else(|| unit.address.to_string()));
        unit.problem = Some(problem.clone());
        let (repeats, address) = (unit.repeats, unit.address.to_string());
        self.event(EventLevel::Warning, Some(&address), format!("{problem} (time {repeats})"));
        self.dirty = true;
    }

    /// A run of a unit failed: again after a pause, and after some failures in a row a worker is given up, where that may help.
    fn unit_failed(&mut self, now_ms: u64, id: &UnitId, problem: &str, may_give_up: bool) {
        let Some(unit) = self.units.get_mut(id) else { return };
        unit.failures += 1;
        unit.ready = false;
        unit.retry_at_ms = now_ms.saturating_add(pause(unit.failures));
        unit.problem = Some(problem.to_owned());
        let (failures, address) = (unit.failures, unit.address.to_string());
        let hopeless = may_give_up && failures >= limits::SETUP_TRIES_MAX && !unit.was_ready && unit.leaving.is_none() && !unit.gone;
        self.event(EventLevel::Warning, Some(&address), format!("{problem} (try {failures})"));
        let Some(group) = id.group().cloned().filter(|_| hopeless) else { return };
        let given_up = self.groups.get(&group).map_or(0, |memo| memo.given_up);
        if given_up >= limits::GIVEN_UP_MAX {
            return;
        }
        if let Some(unit) = self.units.get_mut(id) {
            unit.given_up = true;
        }
        let memo = self.memo(&group);
        memo.given_up += 1;
        if memo.given_up >= limits::GIVEN_UP_MAX {
            memo.pause_until_ms = now_ms.saturating_add(limits::GROUP_PAUSE_MS);
            memo.problem = Some(format!("{} workers in a row could not be set up; the last one: {problem}", memo.given_up));
            let text = memo.problem.clone().unwrap_or_default();
            self.event(EventLevel::Error, Some(&group), text);
        }
        self.dirty = true;
    }

    pub(super) fn is_quorum(&self, id: &UnitId) -> bool {
        let Some(group) = id.group() else { return false };
        self.config().is_some_and(|config| config.groups.get(group).is_some_and(|group| group.quorum))
    }

    pub(super) fn instance_of(&self, id: &UnitId) -> Option<&Object> {
        let unit = self.units.get(id)?;
        self.ledger.state.resources.get(&unit.address)?.current.as_ref()
    }
}

/// How long after so many failures in a row the next try is.
fn pause(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1);
    limits::RETRY_FIRST_MS.saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(limits::RETRY_MAX_MS)
}

/// Whether everything that a plan would do was done before, in another form.
fn is_established(made: &UnitPlan) -> bool {
    let done = |address: &Address| {
        let object = made.state.resources.get(address).and_then(|entry| entry.current.as_ref());
        object.is_some_and(|object| !object.tainted)
    };
    made.plan.changes.values().filter(|change| change.has_effect()).all(|change| done(&change.address))
}

/// Whether a provider is the internal one.
pub(super) fn is_internal(provider: &cloudtik_model::ProviderRef) -> bool {
    provider.provider_type() == GROUP_PROVIDER
}
