//! Late values as they are now: members of groups, endpoints of services, secrets. And those that a worker keeps from its first configure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_executor::engine::{NodeFacts, RenderedStep, StepRenderer};
use cloudtik_lang::{LateValues, fill_late, late_names_of, members_value};
use cloudtik_model::{Address, Digest, GroupConfig, HeadConfig, Input, LateName, StepSpec, Value};
use cloudtik_provider_api::{CallError, ErrorClass};

use super::Controller;
use super::facts;
use super::unit::UnitId;

/// Fills the values that frozen steps of a node keep, and renders.
pub(super) struct LateRenderer {
    pub(super) inner: Arc<dyn StepRenderer>,
    pub(super) frozen: LateValues,
}

impl StepRenderer for LateRenderer {
    fn render(&self, spec: &StepSpec, facts: &NodeFacts) -> Result<RenderedStep, CallError> {
        if !spec.frozen {
            return self.inner.render(spec, facts);
        }
        let fill = |value: &Value| {
            fill_late(value, &self.frozen).map_err(|found| {
                let title = found.into_iter().next().map_or_else(String::new, |diagnostic| diagnostic.title);
                CallError::new(ErrorClass::Permanent, "render", format!("{}: {title}", spec.address))
            })
        };
        let mut spec = spec.clone();
        for input in spec.inputs.values_mut() {
            match input {
                Input::Value(value) => *value = fill(value)?,
                Input::Template(template) => template.bindings = fill(&template.bindings)?,
                Input::Artifact(_) => {}
            }
        }
        self.inner.render(&spec, facts)
    }
}

/// The late names of the group and of services that steps follow, and those that steps keep.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    pub(super) live: BTreeSet<LateName>,
    pub(super) frozen: BTreeSet<LateName>,
}

impl Uses {
    pub(super) fn of<'a>(steps: impl Iterator<Item = &'a StepSpec>) -> Self {
        let mut uses = Self::default();
        for step in steps {
            let names = late_names_of(step).into_iter().filter(|name| !matches!(name, LateName::Node(_)));
            for name in names {
                // A secret is no value of a moment.
                let kept = step.frozen && !matches!(name, LateName::Secret(_));
                if kept {
                    uses.frozen.insert(name)
                } else {
                    uses.live.insert(name)
                };
            }
        }
        uses
    }
}

/// What is asked of a configuration again and again, worked out once: of a group, or of the head.
#[derive(Clone, Debug, Default)]
pub(super) struct Outline {
    /// The names whose values its steps follow.
    pub(super) live: BTreeSet<LateName>,
    /// Digest of the template of a group's workers.
    pub(super) template: Option<Digest>,
    /// Digest of the worker alone.
    pub(super) node: Option<Digest>,
}

impl Outline {
    pub(super) fn all(config: &HeadConfig) -> BTreeMap<Option<Arc<str>>, Self> {
        let head = Self { live: Uses::of(config.head_steps.iter()).live, template: None, node: None };
        let group = |group: &GroupConfig| Self {
            live: Uses::of(group.steps.iter().chain(group.memberships.iter().map(|membership| &membership.step))).live,
            template: group.template_digest().ok(),
            node: group.node_digest().ok(),
        };
        config.groups.iter().map(|(label, of)| (Some(Arc::clone(label)), group(of))).chain([(None, head)]).collect()
    }
}

impl Controller {
    /// The values that the steps of a unit follow.
    pub(super) fn live(&self, config: &HeadConfig, id: &UnitId) -> LateValues {
        let Some(outline) = self.outlines.get(&id.group().cloned()) else { return LateValues::default() };
        let values = outline.live.iter().filter_map(|name| Some((name.clone(), self.late_value(config, id, name)?))).collect();
        LateValues { values }
    }

    fn late_value(&self, config: &HeadConfig, id: &UnitId, name: &LateName) -> Option<Value> {
        match name {
            LateName::Node(_) => None,
            LateName::Secret(secret) => self.pushed.as_ref()?.secrets.get(secret).map(|text| Value::from(text.as_str()).marked(true)),
            LateName::ServiceEndpoints(service) => Some(Value::list(self.endpoints(config, service).into_iter().map(Value::from))),
            LateName::GroupMembers => Some(members_value(&self.members(id.group()?))),
            LateName::GroupBootstrap => Some(Value::from(!self.is_formed(id.group()?))),
        }
    }

    /// Who answers for a service: the nodes that have it and are ready. Who served before a controller came back goes on until it was looked at:
    /// else all that follow the service would lose it for a moment.
    pub(super) fn endpoints(&self, config: &HeadConfig, service: &str) -> Vec<String> {
        let Some(service) = config.services.get(service) else { return Vec::new() };
        let mut nodes: Vec<&Value> = Vec::new();
        if service.on_head {
            nodes.extend(self.head.as_ref().and_then(|head| head.object.attributes.get("node")));
        }
        for (id, unit) in &self.units {
            let offers = id.group().is_some_and(|group| service.groups.contains(group));
            if offers && (unit.ready || unit.unseen) && unit.leaving.is_none() && !unit.gone {
                nodes.extend(self.node_of(id));
            }
        }
        let address = |node: &&Value| Some(format!("{}:{}", node.get("address")?.as_str()?, service.port));
        nodes.iter().filter_map(address).collect()
    }

    /// What late names know of the workers that are members of a group, by number.
    pub(super) fn members(&self, group: &Arc<str>) -> BTreeMap<u64, Value> {
        let quorum = self.config().is_some_and(|config| config.groups.get(group).is_some_and(|group| group.quorum));
        let counts = |id: &UnitId| {
            let unit = self.units.get(id);
            let stays = unit.is_some_and(|unit| unit.leaving.is_none() && !unit.gone);
            if quorum && self.is_formed(group) { self.has_joined(id) } else { stays }
        };
        let ids = self.units.keys().filter(|id| id.group() == Some(group) && counts(id));
        ids.filter_map(|id| Some((id.sequence(), self.node_of(id)?.clone()))).collect()
    }

    /// What late names know of a worker, once its instance is there.
    pub(super) fn node_of(&self, id: &UnitId) -> Option<&Value> {
        self.instance_of(id)?.attributes.get("node").filter(|node| !node.is_null())
    }

    pub(super) fn is_formed(&self, group: &str) -> bool {
        facts::is_set(&self.ledger.state, &facts::formed_key(group))
    }

    /// Keeps late values for the first configure of workers whose time it is.
    pub(super) fn freeze(&mut self) {
        let Some(config) = self.config() else { return };
        for (label, group) in &config.groups {
            let uses = Uses::of(group.steps.iter());
            if uses.frozen.is_empty() {
                continue;
            }
            let ids: Vec<UnitId> = self.units.keys().filter(|id| id.group() == Some(label)).cloned().collect();
            let stays = |id: &&UnitId| self.units.get(id).is_some_and(|unit| unit.leaving.is_none() && !unit.gone && !unit.given_up);
            let staying: Vec<UnitId> = ids.iter().filter(stays).cloned().collect();
            let formed = self.is_formed(label);
            if !formed {
                self.freeze_first(&config, label, &staying);
            } else if group.quorum {
                let holder = self.groups.get(label).and_then(|memo| memo.turn.clone());
                let holder = holder.filter(|id| staying.contains(id) && self.frozen_of(id).is_none());
                if let Some(id) = holder {
                    let Some(node) = self.node_of(&id).cloned() else { continue };
                    let mut members = self.members(label);
                    members.insert(id.sequence(), node);
                    self.keep(&config, &id, &uses, &members, false);
                }
            } else {
                let new: Vec<&UnitId> = staying.iter().filter(|id| self.frozen_of(id).is_none() && self.node_of(id).is_some()).collect();
                for id in new {
                    let members = self.members(label);
                    self.keep(&config, id, &uses, &members, false);
                }
            }
        }
    }

    /// A group that has not found together yet: its first members must all know all of them.
    fn freeze_first(&mut self, config: &HeadConfig, label: &Arc<str>, staying: &[UnitId]) {
        let Some(group) = config.groups.get(label) else { return };
        let frozen: Vec<UnitId> = staying.iter().filter(|id| self.frozen_of(id).is_some()).cloned().collect();
        let first = frozen.first().and_then(|id| self.frozen_of(id));
        if let Some(first) = first {
            // Some have started to find together. When most of those that they look for are gone, they never will: they begin anew.
            let known = first.values.get(&LateName::GroupMembers).and_then(Value::elements).map_or(0, |members| members.len());
            if frozen.len() * 2 <= known {
                self.event(
                    cloudtik_model::EventLevel::Warning,
                    None,
                    format!("group {label} lost most of its first members and begins anew"),
                );
                for id in &frozen {
                    if let Some(unit) = self.units.get_mut(id) {
                        unit.given_up = true;
                    }
                }
            }
            return;
        }
        let there: Vec<&UnitId> = staying.iter().filter(|id| self.node_of(id).is_some()).collect();
        let wanted = usize::try_from(group.min.max(1)).unwrap_or(usize::MAX);
        if there.len() < wanted {
            return;
        }
        let uses = Uses::of(group.steps.iter());
        let members: BTreeMap<u64, Value> =
            there.iter().take(wanted).filter_map(|id| Some((id.sequence(), self.node_of(id)?.clone()))).collect();
        let chosen: Vec<UnitId> = there.into_iter().take(wanted).cloned().collect();
        for id in &chosen {
            self.keep(config, id, &uses, &members, true);
            // From now on the others look for it: when it goes, they must be told.
            let Some(worker) = self.units.get(id).map(|unit| unit.address.clone()) else { continue };
            for membership in &group.memberships {
                let own = |address: &Address| cloudtik_lang::worker_address(address, &group.node.address, id.sequence());
                self.enroll(&own(&membership.address), &worker, membership.depends_on.iter().map(own).collect());
            }
        }
    }

    fn keep(&mut self, config: &HeadConfig, id: &UnitId, uses: &Uses, members: &BTreeMap<u64, Value>, bootstrap: bool) {
        let value = |name: &LateName| match name {
            LateName::GroupMembers => Some(members_value(members)),
            LateName::GroupBootstrap => Some(Value::from(bootstrap)),
            other => self.late_value(config, id, other),
        };
        let mut values: BTreeMap<LateName, Value> = uses.frozen.iter().filter_map(|name| Some((name.clone(), value(name)?))).collect();
        // Whether it must join is asked later, whatever its steps use.
        values.insert(LateName::GroupBootstrap, Value::from(bootstrap));
        values.entry(LateName::GroupMembers).or_insert_with(|| members_value(members));
        let Some(address) = self.units.get(id).map(|unit| unit.address.clone()) else { return };
        self.remember([(facts::frozen_key(&address), facts::write_frozen(&LateValues { values }))]);
    }

    pub(super) fn frozen_of(&self, id: &UnitId) -> Option<LateValues> {
        facts::frozen(&self.ledger.state, &self.units.get(id)?.address)
    }

    /// Whether a worker is one of the first members, which need nobody to take them in.
    pub(super) fn is_first(&self, id: &UnitId) -> bool {
        self.frozen_of(id).is_some_and(|late| late.values.get(&LateName::GroupBootstrap).and_then(Value::as_bool) == Some(true))
    }

    pub(super) fn has_joined(&self, id: &UnitId) -> bool {
        let Some(unit) = self.units.get(id) else { return false };
        self.memberships_below(&unit.address).next().is_some()
    }

    /// The memberships of a worker that the state has.
    pub(super) fn memberships_below<'a>(&'a self, worker: &'a Address) -> impl Iterator<Item = &'a Address> {
        let entries = self.ledger.state.resources.range(worker.clone()..).take_while(|(address, _)| address.is_within(worker));
        entries.filter(|(_, entry)| &*entry.kind == super::group_kind::MEMBER_KIND && entry.current.is_some()).map(|(address, _)| address)
    }
}
