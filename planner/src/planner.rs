//! The walk: every address of the graph in dependency order, then what only the state has, then the results.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{Context, Found, Scope, Traversal, Variables, resolve};
use cloudtik_model::{
    Address, ChangeWord, Condition, Diagnostics, Judged, Node, Object, ProviderConfig, ProviderRef, Span, StateEntry, Timeouts, Value,
    Verdict, judge,
};
use cloudtik_provider_api::{Inside, KindSchema};

use crate::diff::{is_settled, same};
use crate::order::{create_before_destroy, topological};
use crate::{Action, Change, Mode, Observation, OutputChange, PLAN_VERSION, Plan, PlanInput};

/// The plan for this input, and what is wrong. With an error the plan is there to be shown, not to be applied.
#[must_use]
pub fn plan(input: PlanInput<'_>) -> (Plan, Diagnostics) {
    let mut planner = Planner::new(&input, false);
    if input.mode == Mode::Refresh {
        planner.refreshed();
    } else {
        planner.removals();
    }
    planner.wait_for_names();
    planner.add_before_removing();
    planner.adoptions();
    planner.imports();
    let outputs = planner.outputs();
    let conditions = planner.conditions();
    planner.finish(outputs, conditions)
}

/// The attributes that objects will have, as far as something refers to them.
#[derive(Default)]
pub(crate) struct Known {
    objects: BTreeMap<Address, Value>,
}

impl Scope for Known {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        Variables::none().lookup(traversal)
    }

    fn reference(&self, address: &Address) -> Option<Value> {
        self.objects.get(address).cloned()
    }
}

/// A name that must be unique: provider, kind, name.
pub(crate) type NameKey = (ProviderRef, Arc<str>, Value);

/// A plan in the making.
pub(crate) struct Planner<'i, 'a> {
    pub(crate) input: &'i PlanInput<'a>,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) changes: BTreeMap<Address, Change>,
    known: Known,
    /// The addresses that some deferred value refers to: only of these is it worked out what they will be.
    referenced: BTreeSet<Address>,
    /// Who asks that a replacement of an address is made before the old object goes.
    pub(crate) asked: BTreeMap<&'a Address, &'a Address>,
    pub(crate) names: BTreeMap<NameKey, (&'a Address, Span)>,
    /// What stays although nothing wants it: data that says so of itself, and all that it stands on; by address, whose data it is.
    pub(crate) kept: BTreeMap<&'a Address, Address>,
    /// The addresses that the plan is about; `None`: all.
    taken: Option<BTreeSet<Address>>,
    /// Whether what it makes counts as made: see [`crate::as_if_made`].
    pub(crate) takes_for_made: bool,
}

/// Data that stays although nothing wants it cannot be without what it depends on: a database not without its network.
fn kept<'a>(input: &PlanInput<'a>) -> BTreeMap<&'a Address, Address> {
    let is_gone = |address: &Address| matches!(input.observed.get(address), Some(Observation::Gone));
    let goes = |address: &Address| input.mode == Mode::Destroy || !input.graph.nodes.contains_key(address);
    let stays = |address: &Address| input.keep.contains(address) && goes(address) && !is_gone(address);
    let mut kept = BTreeMap::new();
    for (address, entry) in input.state.resources.iter().filter(|(address, _)| !is_gone(address)) {
        let inside = kept_inside(input, address, entry);
        let (data, mut open): (&Address, Vec<&Address>) = match inside.keys().next() {
            // What is inside stands on its own things: those that the rest needs may go with the rest.
            Some(first) => {
                if goes(address) {
                    kept.insert(address, first.clone());
                }
                let needed = inside.values().flatten();
                (first, needed.filter_map(|needed| Some(input.state.resources.get_key_value(needed)?.0)).collect())
            }
            None if stays(address) => (address, vec![address]),
            None => continue,
        };
        while let Some(address) = open.pop() {
            let Some((address, entry)) = input.state.resources.get_key_value(address) else { continue };
            // What keeps itself is kept for its own sake.
            let whose = if input.keep.contains(address) { address } else { data };
            if !kept.contains_key(address) {
                kept.insert(address, whose.clone());
                open.extend(&entry.depends_on);
            }
        }
    }
    kept
}

/// What is to be kept inside of an object, with what that needs outside of it.
pub(crate) fn kept_inside(input: &PlanInput<'_>, address: &Address, entry: &StateEntry) -> BTreeMap<Address, BTreeSet<Address>> {
    let mut kept = data_inside(input, address, entry);
    kept.retain(|address, _| input.keep.contains(address));
    kept
}

/// What says inside of an object that it is kept, whether it was given up or not.
pub(crate) fn data_inside(input: &PlanInput<'_>, address: &Address, entry: &StateEntry) -> BTreeMap<Address, BTreeSet<Address>> {
    let kind = (input.schemas)(entry.provider.provider_type()).and_then(|schema| schema.kinds.get(&*entry.kind));
    let (Some(inside), Some(object)) = (kind.and_then(|kind| kind.inside), &entry.current) else { return BTreeMap::new() };
    (inside.kept)(with_inside(input, address, object, inside))
}

/// The attributes of an object that tell what it has inside: as they were found, else as the state has them.
pub(crate) fn with_inside<'o>(input: &'o PlanInput<'_>, address: &Address, object: &'o Object, inside: Inside) -> &'o Value {
    match input.observed.get(address) {
        Some(Observation::Present(found)) if !(inside.kept)(&found.attributes).is_empty() => &found.attributes,
        _ => &object.attributes,
    }
}

impl<'i, 'a> Planner<'i, 'a> {
    /// A planner that has gone through the graph, each address after those that it needs.
    pub(crate) fn new(input: &'i PlanInput<'a>, takes_for_made: bool) -> Self {
        let mut diagnostics = Diagnostics::new();
        let order = topological(input.graph, &mut diagnostics);
        let mut planner = Self {
            input,
            diagnostics,
            changes: BTreeMap::new(),
            known: Known::default(),
            referenced: BTreeSet::new(),
            asked: create_before_destroy(&order),
            names: BTreeMap::new(),
            kept: kept(input),
            taken: (!input.selection.is_whole()).then(|| input.selection.addresses(input.graph, input.state, input.mode)),
            takes_for_made,
        };
        if input.mode == Mode::Normal {
            planner.find_references(&order);
            for (address, node) in &order {
                match node {
                    _ if !planner.takes(address) => planner.stays_as_it_is(address),
                    Node::Resource(spec) => planner.resource(spec),
                    Node::Step(spec) => planner.step(spec),
                }
            }
        }
        planner
    }

    /// What an object will be, of one that something may refer to.
    pub(crate) fn object(&self, address: &Address) -> Option<&Value> {
        self.known.objects.get(address)
    }

    fn find_references(&mut self, order: &[(&'a Address, &'a Node)]) {
        for (_, node) in order {
            match node {
                Node::Resource(spec) => spec.attributes.addresses(&mut self.referenced),
                Node::Step(spec) => {
                    spec.inputs.values().filter_map(crate::step::deferred_part).for_each(|value| value.addresses(&mut self.referenced))
                }
            }
        }
        self.input.graph.outputs.values().for_each(|output| output.value.addresses(&mut self.referenced));
        self.input.graph.conditions.iter().for_each(|condition| condition.condition.addresses(&mut self.referenced));
    }

    /// Whether the plan is about that address.
    pub(crate) fn takes(&self, address: &Address) -> bool {
        self.taken.as_ref().is_none_or(|taken| taken.contains(address))
    }

    /// Says of what the plan is not about that it will be what it was.
    fn stays_as_it_is(&mut self, address: &Address) {
        let object = self.input.state.resources.get(address).and_then(|entry| entry.current.as_ref());
        if let Some(object) = object.filter(|_| self.is_referenced(address)) {
            let mut attributes = object.attributes.entries().cloned().unwrap_or_default();
            crate::made::insert_id(&mut attributes, &object.id);
            self.will_be(address, Value::object(attributes));
        }
    }

    /// The kind of a resource.
    pub(crate) fn kind(&self, provider: &ProviderRef, kind: &str) -> Option<&'a KindSchema> {
        (self.input.schemas)(provider.provider_type())?.kinds.get(kind)
    }

    /// Whether something refers to the attributes at this address.
    pub(crate) fn is_referenced(&self, address: &Address) -> bool {
        self.takes_for_made || self.referenced.contains(address)
    }

    /// Says what the object at an address will be.
    pub(crate) fn will_be(&mut self, address: &Address, attributes: Value) {
        self.known.objects.insert(address.clone(), attributes);
    }

    /// The value with everything filled in that is known of other objects. An error is reported at `address`, and the value stays as it is.
    pub(crate) fn resolved(&mut self, value: &Value, address: Option<&Address>, span: Span) -> Value {
        if value.is_known() {
            return value.clone();
        }
        match resolve(value, &Context::new(&self.known)) {
            Ok(value) => value,
            Err(errors) => {
                self.diagnostics.extend(errors.into_iter().map(|error| {
                    let error = error.at(span);
                    if let Some(address) = address { error.of(address) } else { error }
                }));
                value.clone()
            }
        }
    }

    pub(crate) fn locate(&self, span: Span) -> Option<String> {
        if span.is_none() { None } else { (self.input.locate)(span) }
    }

    /// Whether `--replace` names the address.
    pub(crate) fn is_replace_asked(&self, address: &Address) -> bool {
        self.input
            .replace
            .iter()
            .any(|asked| asked == address || asked.segments().len() == address.segments().len() && address.is_within(asked))
    }

    /// The first of the addresses in `replace_triggered_by` whose object changes.
    pub(crate) fn trigger(&self, node: &'a Node) -> Option<&Address> {
        let changes = |change: &Change| matches!(change.action, Action::Update | Action::Replace | Action::Run) && !change.is_record();
        node.lifecycle()
            .replace_triggered_by
            .iter()
            .find_map(|prefix| crate::order::within(&self.changes, prefix).find(|(_, change)| changes(change)).map(|(address, _)| address))
    }

    /// A block that was renamed keeps the name of its object: the old one must let go of it first.
    fn wait_for_names(&mut self) {
        let mut held: BTreeMap<NameKey, Address> = BTreeMap::new();
        for change in self.changes.values().filter(|change| matches!(change.action, Action::Delete | Action::Replace)) {
            let entry = self.input.state.resources.get(&change.address);
            let name = entry.and_then(|entry| {
                let attribute = self.kind(&entry.provider, &entry.kind)?.unique_name?;
                let name = entry.current.as_ref()?.attributes.get(attribute)?.clone();
                Some((entry.provider.clone(), Arc::clone(&entry.kind), name))
            });
            held.extend(name.map(|name| (name, change.address.clone())));
        }
        for (name, (address, _)) in if held.is_empty() { BTreeMap::new() } else { std::mem::take(&mut self.names) } {
            if let (Some(holder), Some(change)) = (held.get(&name).filter(|holder| *holder != address), self.changes.get_mut(address))
                && matches!(change.action, Action::Create | Action::Replace)
            {
                change.waits_for.insert(holder.clone());
            }
        }
    }

    /// What only adds up is added to before something of it goes: beside each other are those that depend on the same thing.
    fn add_before_removing(&mut self) {
        let is_additive = |change: &&Change| self.kind(&change.provider, &change.kind).is_some_and(|kind| !kind.additive.is_empty());
        let mut made: BTreeMap<(ProviderRef, Arc<str>, Address), BTreeSet<Address>> = BTreeMap::new();
        for change in self.changes.values().filter(|change| change.action == Action::Create).filter(is_additive) {
            for on in &change.depends_on {
                made.entry((change.provider.clone(), Arc::clone(&change.kind), on.clone())).or_default().insert(change.address.clone());
            }
        }
        if made.is_empty() {
            return;
        }
        let mut pairs: Vec<(Address, Address)> = Vec::new();
        for change in self.changes.values().filter(|change| change.action == Action::Delete) {
            let beside =
                change.depends_on.iter().filter_map(|on| made.get(&(change.provider.clone(), Arc::clone(&change.kind), on.clone())));
            pairs.extend(beside.flatten().map(|made| (change.address.clone(), made.clone())));
        }
        for (goes, comes) in pairs {
            // What is the same under another name cannot be there twice.
            if self.is_the_same(&goes, &comes) {
                self.changes.entry(comes).and_modify(|change| change.waits_for.extend([goes]));
            } else {
                self.changes.entry(goes).and_modify(|change| change.makes_way_for.extend([comes]));
            }
        }
    }

    /// Whether an object that goes and one that comes are the same thing under two names.
    fn is_the_same(&self, goes: &Address, comes: &Address) -> bool {
        let object = self.input.state.resources.get(goes).and_then(|entry| entry.current.as_ref());
        let (Some(object), Some(change)) = (object, self.changes.get(comes)) else { return false };
        let (Some(kind), Some(Node::Resource(spec))) = (self.kind(&change.provider, &change.kind), &change.desired) else { return false };
        let Ok(asked) = resolve(&spec.attributes, &Context::new(&self.known)) else { return false };
        kind.additive.iter().all(|name| {
            let (is, asked) = (object.attributes.get(name), asked.get(name));
            let (is, asked) = (is.filter(|value| !value.is_null()), asked.filter(|value| !value.is_null()));
            is.zip(asked).map_or(is.is_none() && asked.is_none(), |(is, asked)| same(is, asked))
        })
    }

    /// What settlement took in and what needs nothing more is an adoption.
    fn adoptions(&mut self) {
        for settled in self.input.settled.iter().filter(|settled| settled.adopted) {
            if let Some(change) = self.changes.get_mut(&settled.address)
                && change.action == Action::NoOp
            {
                change.action = Action::Adopt;
                change.reason.clone_from(&settled.text);
            }
        }
    }

    /// What is taken over is imported, and changed in place where the spec wants it otherwise. An import never destroys.
    fn imports(&mut self) {
        let input = self.input;
        for (address, span) in input.imports {
            let object = input.state.resources.get(address).and_then(|entry| entry.current.as_ref());
            let (Some(object), Some(change)) = (object, self.changes.get_mut(address)) else { continue };
            if change.action == Action::Replace {
                self.diagnostics.push(crate::import::replaces(change, &object.id, *span));
            } else {
                crate::import::take_over(change, object);
            }
        }
    }

    /// Judges what must be true, with what is known of all objects; what cannot be judged yet is judged when the plan is carried out.
    fn conditions(&mut self) -> (Vec<Condition>, Vec<Judged>) {
        let (mut open, mut judged) = (Vec::new(), Vec::new());
        if self.input.mode != Mode::Normal {
            return (open, judged);
        }
        for condition in &self.input.graph.conditions {
            if !self.takes_all(&condition.condition) || condition.address.as_ref().is_some_and(|address| !self.takes(address)) {
                continue;
            }
            let context = Context::new(&self.known);
            let verdict = resolve(&condition.condition, &context).map(|value| {
                let message = resolve(&condition.message, &context).unwrap_or_else(|_| condition.message.clone());
                judge(&value, &message)
            });
            let problem = match verdict {
                Ok(Verdict::Unknown) => {
                    open.push(condition.clone());
                    continue;
                }
                Ok(Verdict::Holds) => None,
                Ok(Verdict::Fails(text)) => Some(text),
                // What cannot be worked out does not hold.
                Err(errors) => Some(errors.iter().map(|error| error.title.clone()).collect::<Vec<_>>().join("; ")),
            };
            self.diagnostics.extend(problem.as_ref().map(|text| condition.unmet(text)));
            judged.push(Judged { of: condition.of.clone(), address: condition.address.clone(), problem });
        }
        (open, judged)
    }

    /// Whether the plan is about all that stands at an address and below.
    fn takes_within(&self, prefix: &Address) -> bool {
        let nodes = crate::order::within(&self.input.graph.nodes, prefix);
        self.taken.is_none() || nodes.into_iter().all(|(address, _)| self.takes(address))
    }

    /// Whether the plan is about all that a value refers to.
    fn takes_all(&self, value: &Value) -> bool {
        let Some(taken) = &self.taken else { return true };
        let mut addresses = BTreeSet::new();
        value.addresses(&mut addresses);
        addresses.is_subset(taken)
    }

    pub(crate) fn outputs(&mut self) -> BTreeMap<String, OutputChange> {
        let state = &self.input.state.outputs;
        let mut outputs = BTreeMap::new();
        if self.input.mode != Mode::Destroy {
            for (name, spec) in &self.input.graph.outputs {
                if !self.takes_all(&spec.value) || !spec.needs.iter().all(|needed| self.takes_within(needed)) {
                    continue;
                }
                let after = self.resolved(&spec.value, None, Span::NONE);
                let before = state.get(name);
                if self.input.mode == Mode::Refresh && !after.is_known() {
                    // It looks at what is not there: nothing is made of it now.
                    outputs.extend(before.map(|before| (name.clone(), OutputChange::none(before))));
                    continue;
                }
                let sensitive = spec.sensitive || after.has_sensitive();
                let changed =
                    !is_settled(&after) || before.is_none_or(|before| before.sensitive != sensitive || !same(&before.value, &after));
                let before = before.map(|before| before.value.clone().marked(sensitive));
                outputs.insert(name.clone(), OutputChange { before, after: Some(after.marked(sensitive)), sensitive, changed });
            }
        }
        // Part of a destroy takes no results away.
        let gone = state.iter().filter(|_| self.taken.is_none());
        for (name, output) in gone.filter(|(name, _)| self.input.mode == Mode::Destroy || !self.input.graph.outputs.contains_key(*name)) {
            let before = Some(output.value.clone().marked(output.sensitive));
            outputs.insert(name.clone(), OutputChange { before, after: None, sensitive: output.sensitive, changed: true });
        }
        outputs
    }

    fn finish(self, outputs: BTreeMap<String, OutputChange>, (conditions, judged): (Vec<Condition>, Vec<Judged>)) -> (Plan, Diagnostics) {
        let input = self.input;
        let mut providers: BTreeMap<ProviderRef, ProviderConfig> = BTreeMap::new();
        let used = |provider: &ProviderRef| self.changes.values().any(|change| change.provider == *provider);
        for (provider, attributes) in input.state.providers.iter().filter(|(provider, _)| input.mode != Mode::Normal || used(provider)) {
            providers.insert(provider.clone(), ProviderConfig { attributes: attributes.clone(), span: Span::NONE });
        }
        for (provider, config) in &input.graph.providers {
            providers.insert(provider.clone(), ProviderConfig { attributes: config.attributes.clone(), span: Span::NONE });
        }
        let types: BTreeSet<&str> =
            providers.keys().chain(self.changes.values().map(|change| &change.provider)).map(ProviderRef::provider_type).collect();
        let schema_versions = types.iter().filter_map(|ty| Some(((*ty).to_owned(), (input.schemas)(ty)?.version))).collect();
        let plan = Plan {
            version: PLAN_VERSION,
            tool_version: input.tool_version.clone(),
            destroy: input.mode == Mode::Destroy,
            refresh_only: input.mode == Mode::Refresh,
            offline: input.offline,
            lineage: input.state.lineage.clone(),
            serial: input.state.serial,
            folded: input.state.folded.clone(),
            schema_versions,
            providers,
            facts: input.facts.clone(),
            pinned: input.pinned.clone(),
            changes: self.changes,
            outputs,
            settled: input.settled.clone(),
            notes: input.notes.clone(),
            sources: BTreeMap::new(),
            variables: BTreeMap::new(),
            moved: BTreeMap::new(),
            moved_order: Vec::new(),
            partial: !input.selection.is_whole(),
            time: None,
            conditions,
            modules: self.input.graph.modules.clone(),
            judged,
            expected: None,
            compared_with: None,
        };
        let mut diagnostics = self.diagnostics;
        diagnostics.sort();
        (plan, diagnostics)
    }
}

/// A change of nothing yet.
pub(crate) fn blank(address: &Address, kind: Arc<str>, provider: &ProviderRef) -> Change {
    Change {
        address: address.clone(),
        kind,
        provider: provider.clone(),
        action: Action::NoOp,
        word: ChangeWord::None,
        reason: String::new(),
        source: None,
        attributes: Vec::new(),
        desired: None,
        id: None,
        depends_on: BTreeSet::new(),
        create_before_destroy: false,
        deposed: BTreeSet::new(),
        expected_ms: 0,
        identity: None,
        drift: Vec::new(),
        before: None,
        recorded: None,
        schema_version: 0,
        computed: BTreeSet::new(),
        hidden: BTreeSet::new(),
        brief: BTreeSet::new(),
        delete_ms: 0,
        waits_for: BTreeSet::new(),
        makes_way_for: BTreeSet::new(),
        with_data: false,
        timeouts: Timeouts::default(),
    }
}
