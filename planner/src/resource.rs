//! What happens to one resource: what the spec wants against the object that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::convert;
use cloudtik_model::{Address, ChangeWord, Diagnostic, Expr, ExprKind, Node, Object, ResourceSpec, Span, StateEntry, Type, Value};
use cloudtik_provider_api::{AttributeSchema, KindSchema, Presence, Shown};

use crate::diff::{differences, with_marks_of, with_part_of, with_what_is_left_out};
use crate::names::{attribute_of, enumerate, parse};
use crate::plan::{ASKED_FOR, GONE, NOT_THERE, TRIGGERED, UNFINISHED};
use crate::planner::{Planner, blank, kept_inside, with_inside};
use crate::step::has_unknown;
use crate::{Action, AttributeChange, Change, Observation};

/// What is there at an address.
enum There<'s> {
    Nothing,
    Gone,
    Object(Box<Present<'s>>),
}

/// An object that is there.
pub(crate) struct Present<'s> {
    entry: &'s StateEntry,
    object: &'s Object,
    /// All attributes as they are now.
    attributes: Value,
    drift: Vec<AttributeChange>,
}

impl<'s> Present<'s> {
    /// One with these attributes, which nobody else changed.
    pub(crate) const fn of(entry: &'s StateEntry, object: &'s Object, attributes: Value) -> Self {
        Self { entry, object, attributes, drift: Vec::new() }
    }
}

/// What is to be done with an object that is there.
struct Decision {
    action: Action,
    word: ChangeWord,
    reason: String,
    attributes: Vec<AttributeChange>,
}

impl<'a> Planner<'_, 'a> {
    /// Plans one resource.
    pub(crate) fn resource(&mut self, spec: &'a ResourceSpec) {
        let Some(kind) = self.kind(&spec.provider, &spec.kind) else {
            let title = format!("the provider `{}` has no kind `{}`", spec.provider, spec.kind);
            return self.diagnostics.push(Diagnostic::error("unknown-kind", title).at(spec.span).of(&spec.address));
        };
        let there = self.there(&spec.address, kind);
        let mut desired = with_secrets(self.desired(spec, kind), kind);
        if let There::Object(present) = &there {
            desired = without_ignored(desired, spec, kind, &present.attributes);
        }
        let inside = self.input.state.resources.get(&spec.address).map(|entry| kept_inside(self.input, &spec.address, entry));
        let inside = inside.unwrap_or_default();
        if let (Some(kind), There::Object(present), false) = (kind.inside, &there, inside.is_empty()) {
            // What left the spec stays in what it is in.
            let found = with_inside(self.input, &spec.address, present.object, kind);
            let found = with_marks_of(found, &present.object.attributes);
            desired = (kind.with_kept)(&found, Some(&desired), &inside.keys().cloned().collect());
        }
        let mut depends_on = spec.depends_on.clone();
        depends_on.extend(inside.values().flatten().filter(|needed| self.input.state.resources.contains_key(*needed)).cloned());
        self.check_name(spec, kind, &desired);

        let mut change = blank(&spec.address, Arc::clone(&spec.kind), &spec.provider);
        change.source = self.locate(spec.span);
        change.depends_on.clone_from(&depends_on);
        let shown =
            |when: Shown| kind.attributes.iter().filter(move |attribute| attribute.shown == when).map(|attribute| attribute.name.into());
        change.hidden = shown(Shown::Never).collect();
        change.brief = shown(Shown::Changes).collect();
        change.create_before_destroy = self.asked.contains_key(&spec.address);
        change.expected_ms = kind.expected.create_ms;
        change.schema_version = kind.version;
        change.timeouts = spec.lifecycle.timeouts;
        if let Some(entry) = self.input.state.resources.get(&spec.address) {
            change.deposed = entry.deposed.keys().cloned().collect();
            change.delete_ms = kind.expected.delete_ms;
            change.with_data = !self.input.keep.contains(&spec.address) && inside.is_empty();
        }
        match there {
            There::Nothing => {
                change.action = Action::Create;
                NOT_THERE.clone_into(&mut change.reason);
            }
            There::Gone => {
                change.action = Action::Create;
                GONE.clone_into(&mut change.reason);
                let object = self.input.state.resources.get(&spec.address).and_then(|entry| entry.current.as_ref());
                change.recorded = object.map(|object| with_secrets(object.attributes.clone(), kind));
            }
            There::Object(present) => self.present(spec, kind, &desired, *present, &mut change),
        }
        if matches!(change.action, Action::Create | Action::Replace) {
            self.check_needs(spec, kind, &desired);
        }
        self.say_what_will_be(kind, &desired, &mut change);
        change.desired = Some(Node::Resource(ResourceSpec {
            address: spec.address.clone(),
            kind: Arc::clone(&spec.kind),
            provider: spec.provider.clone(),
            attributes: desired,
            depends_on,
            lifecycle: spec.lifecycle.clone(),
            marks: spec.marks.clone(),
            // Places do not travel in a plan: `source` has them as text.
            span: Span::NONE,
            origins: BTreeMap::new(),
        }));
        self.changes.insert(spec.address.clone(), change);
    }

    fn there(&mut self, address: &Address, kind: &KindSchema) -> There<'a> {
        let Some(entry) = self.input.state.resources.get(address) else { return There::Nothing };
        let Some(object) = &entry.current else { return There::Nothing };
        if object.schema_version > kind.version {
            let title = format!(
                "`{address}` was written by a newer version: its kind has version {}, this one knows {}",
                object.schema_version, kind.version
            );
            self.diagnostics.push(
                Diagnostic::error("newer-kind", title).of(address).help("use the version of cloudtik that wrote the state, or a newer one"),
            );
        }
        let (attributes, drift) = match self.input.observed.get(address) {
            Some(Observation::Gone) => return There::Gone,
            Some(Observation::Present(answer)) => {
                let found = with_secrets(with_marks_of(&answer.attributes, &object.attributes), kind);
                let drift = drift(kind, &object.attributes, &found);
                (found, drift)
            }
            None => (with_secrets(object.attributes.clone(), kind), Vec::new()),
        };
        There::Object(Box::new(Present { entry, object, attributes, drift }))
    }

    /// What the spec wants, with what is known of other objects, and with the defaults of the kind.
    fn desired(&mut self, spec: &ResourceSpec, kind: &KindSchema) -> Value {
        let mut resolved = self.resolved(&spec.attributes, Some(&spec.address), spec.span);
        let defaults = kind.attributes.iter().filter_map(|attribute| match &attribute.presence {
            Presence::Default(default) if resolved.get(attribute.name).is_none_or(Value::is_null) => {
                Some((attribute.name, default.clone()))
            }
            _ => None,
        });
        let defaults: Vec<(&str, Value)> = defaults.collect();
        if spec.attributes.is_known() && defaults.is_empty() {
            return resolved;
        }
        let mut entries = resolved.entries().cloned().unwrap_or_default();
        for (name, value) in defaults {
            entries.insert(name.into(), value);
        }
        for attribute in &kind.attributes {
            let Some(value) = entries.get(attribute.name) else { continue };
            // What was known when the spec was compiled has its type already.
            if spec.attributes.get(attribute.name).is_some_and(|value| !value.is_known()) && !value.is_deferred() {
                match convert(value, &attribute.ty) {
                    Ok(value) => {
                        entries.insert(attribute.name.into(), value);
                    }
                    Err(fault) => {
                        let place = spec.origins.get(attribute.name).map_or(spec.span, |origin| origin.span);
                        let diagnostic =
                            Diagnostic::error("wrong-type", format!("`{}`: {fault}", attribute.name)).maybe_help(fault.help.clone());
                        self.diagnostics.push(diagnostic.at(place).of(&spec.address));
                    }
                }
            }
        }
        resolved = Value::object(entries).marked(resolved.is_sensitive());
        resolved
    }

    fn check_name(&mut self, spec: &'a ResourceSpec, kind: &KindSchema, desired: &Value) {
        let Some(attribute) = kind.unique_name else { return };
        let Some(name) = desired.get(attribute).filter(|name| !name.is_null() && name.is_known()) else { return };
        let span = spec.origins.get(attribute).map_or(spec.span, |origin| origin.span);
        let key = (spec.provider.clone(), Arc::clone(&spec.kind), name.clone());
        let shown = crate::text::short(name);
        let second = (&spec.address, span);
        if let Some(first) = self.names.insert(key, second) {
            let (first, second) = if first.0 < second.0 { (first, second) } else { (second, first) };
            self.diagnostics.push(crate::order::same_name(&spec.kind, attribute, &shown, (first, second)));
        }
    }

    fn present(&mut self, spec: &'a ResourceSpec, kind: &KindSchema, desired: &Value, present: Present<'_>, change: &mut Change) {
        let decision = self.decide(spec, kind, desired, &present);
        change.action = decision.action;
        change.word = decision.word;
        change.reason = decision.reason;
        change.attributes = decision.attributes;
        change.id = Some(present.object.id.clone());
        change.expected_ms = match change.action {
            Action::NoOp => 0,
            Action::Update => kind.expected.update_ms,
            _ => present.object.took_ms.unwrap_or(kind.expected.create_ms),
        };
        if change.action == Action::Replace {
            self.check_destroy(spec, &present, change);
            self.check_order(spec, kind, desired, &present, change);
            if let Some(by) = self.asked.get(&spec.address).filter(|by| **by != &spec.address && change.create_before_destroy) {
                change.reason = format!("{}; made before the old one goes, because `{by}` asks for it", change.reason);
            }
        }
        change.before = Some(present.attributes);
        change.recorded = (!present.drift.is_empty()).then(|| with_secrets(present.object.attributes.clone(), kind));
        change.drift = present.drift;
    }

    fn decide(&mut self, spec: &'a ResourceSpec, kind: &KindSchema, desired: &Value, present: &Present<'_>) -> Decision {
        let anew = self.made_anew(spec, present);
        if present.entry.kind != spec.kind || present.entry.provider != spec.provider {
            return Decision {
                action: Action::Replace,
                word: ChangeWord::Recreate,
                reason: anew.unwrap_or_default(),
                attributes: Vec::new(),
            };
        }
        let attributes = self.attribute_changes(spec, kind, desired, present);
        if let Some(reason) = anew {
            let word = attributes.iter().map(|change| change.word).filter(|word| word.replaces()).max().unwrap_or(ChangeWord::Recreate);
            return Decision { action: Action::Replace, word, reason, attributes };
        }
        for fixed in attributes.iter().filter(|change| change.word == ChangeWord::Fixed) {
            self.refuse_fixed(spec, fixed);
        }
        if !attributes.iter().any(|change| change.forces_replacement) {
            self.refuse_impossible(spec, kind, (&present.attributes, desired), &attributes);
        }
        let word = attributes.iter().map(|change| change.word).max().unwrap_or(ChangeWord::None);
        let (action, reason) = if attributes.is_empty() {
            (Action::NoOp, String::new())
        } else if attributes.iter().any(|change| change.forces_replacement) {
            (Action::Replace, changed(attributes.iter().filter(|change| change.forces_replacement)))
        } else {
            (Action::Update, changed(attributes.iter()))
        };
        Decision { action, word, reason, attributes }
    }

    /// Why it is made anew whatever its attributes say.
    fn made_anew(&self, spec: &'a ResourceSpec, present: &Present<'_>) -> Option<String> {
        let entry = present.entry;
        if entry.provider != spec.provider {
            return Some(format!("its provider changes from `{}` to `{}`", entry.provider, spec.provider));
        }
        if entry.kind != spec.kind {
            return Some(format!("its kind changes from `{}` to `{}`", entry.kind, spec.kind));
        }
        if self.is_replace_asked(&spec.address) {
            return Some(ASKED_FOR.to_owned());
        }
        if present.object.tainted {
            return Some(UNFINISHED.to_owned());
        }
        let node = self.input.graph.nodes.get(&spec.address)?;
        self.trigger(node).map(|by| format!("`{by}` {TRIGGERED}"))
    }

    pub(crate) fn attribute_changes(
        &self,
        spec: &ResourceSpec,
        kind: &KindSchema,
        desired: &Value,
        present: &Present<'_>,
    ) -> Vec<AttributeChange> {
        let mut changes = Vec::new();
        let mut found = Vec::new();
        for attribute in kind.attributes.iter().filter(|attribute| attribute.is_settable() && attribute.shown != Shown::Never) {
            let wanted = desired.get(attribute.name).filter(|value| !value.is_null());
            if wanted.is_none() && attribute.presence == Presence::OptionalComputed {
                continue;
            }
            let origin = spec.origins.get(attribute.name);
            let word = origin.and_then(|origin| origin.change).unwrap_or(attribute.change);
            // What is there already is one of the values that would do, whatever else would.
            let word = if wanted.is_some_and(|wanted| kind.is_among(attribute.name, wanted, &present.attributes)) {
                ChangeWord::None
            } else {
                word
            };
            // Of what does nothing to the world, the world knows nothing: the state is asked.
            let before = match word {
                ChangeWord::None => present.object.desired.get(attribute.name).or_else(|| present.object.attributes.get(attribute.name)),
                _ => present.attributes.get(attribute.name),
            };
            let mark = |value: &Value| value.clone().marked(attribute.sensitive);
            if before == wanted && wanted.is_none_or(Value::is_known) {
                continue;
            }
            let wanted = wanted.map(|wanted| match before.filter(|_| attribute.presence == Presence::OptionalComputed) {
                Some(before) => with_what_is_left_out(wanted, before),
                None => wanted.clone(),
            });
            differences(attribute.name, before.map(mark).as_ref(), wanted.as_ref().map(mark).as_ref(), &mut found);
            changes.extend(found.drain(..).map(|difference| AttributeChange {
                path: difference.path,
                before: difference.before,
                after: difference.after,
                forces_replacement: word.replaces() && !kind.rolls,
                word,
                source: self.locate(origin.map_or(Span::NONE, |origin| origin.span)),
            }));
        }
        changes
    }

    fn refuse_fixed(&mut self, spec: &ResourceSpec, fixed: &AttributeChange) {
        let address = &spec.address;
        let may = if fixed.after.as_ref().is_some_and(|after| !after.is_known()) {
            "may change (known after apply), but"
        } else {
            "changes, but"
        };
        let title = format!("`{}` of `{address}` {may} it is fixed once `{address}` exists", fixed.path);
        let span = spec.origins.get(attribute_of(&fixed.path)).map_or(spec.span, |origin| origin.span);
        let help = format!(
            "put the old value back; or make it anew with `--replace '{address}'`, which destroys what is there; or write a new block beside it"
        );
        self.diagnostics.push(Diagnostic::error("fixed-attribute", title).at(span).at(spec.span).help(help).of(address));
    }

    /// Changes in place that the provider would refuse when half of the plan is done.
    fn refuse_impossible(
        &mut self,
        spec: &ResourceSpec,
        kind: &KindSchema,
        (before, after): (&Value, &Value),
        changes: &[AttributeChange],
    ) {
        let names: BTreeSet<&str> = changes.iter().map(|change| attribute_of(&change.path)).collect();
        for attribute in names.into_iter().filter_map(|name| kind.attribute(name)) {
            let Some(help) = attribute.refuses.and_then(|refuses| refuses(before, after)) else { continue };
            let shown = |value: &Value| value.get(attribute.name).map_or_else(|| "nothing".to_owned(), crate::text::short);
            let title = format!("`{}` of `{}` cannot change from {} to {}", attribute.name, spec.address, shown(before), shown(after));
            let span = spec.origins.get(attribute.name).map_or(spec.span, |origin| origin.span);
            self.diagnostics.push(Diagnostic::error("impossible-change", title).at(span).at(spec.span).help(help).of(&spec.address));
        }
    }

    /// A create that the provider would refuse.
    fn check_needs(&mut self, spec: &ResourceSpec, kind: &KindSchema, desired: &Value) {
        for unmet in kind.needs.iter().filter_map(|need| need.check(desired).err()) {
            let title = format!("`{}`: {}", spec.address, unmet.diagnostic.title);
            let span = spec.origins.get(unmet.attribute).map_or(spec.span, |origin| origin.span);
            self.diagnostics.push(Diagnostic { title, ..unmet.diagnostic }.at(span).at(spec.span).of(&spec.address));
        }
    }

    fn check_destroy(&mut self, spec: &ResourceSpec, present: &Present<'_>, change: &Change) {
        let address = &spec.address;
        if spec.lifecycle.prevent_destroy {
            self.diagnostics.push(prevented(address, spec.span, &format!("a replacement: {}", change.reason)));
        }
        self.check_prevented_inside(spec, present.entry);
        // One that was never finished holds nothing; where it does, it does not go: its data is not deleted with it.
        let keeps = self.input.keep.contains(address) && !present.object.tainted;
        let inside = kept_inside(self.input, address, present.entry);
        let inside = inside.keys().next().filter(|_| !present.object.tainted);
        let data = if keeps { Some(address) } else { inside.or_else(|| self.kept.get(address)) };
        let Some(data) = data else { return };
        let what = match data {
            data if data == address => "is kept".to_owned(),
            data if inside.is_some() => format!("has `{data}` in it, which is kept"),
            data => format!("is what `{data}` stands on, which is kept"),
        };
        let title = format!("`{address}` {what}, but this plan would make it anew: {}", change.reason);
        let help = format!("take back what makes it anew, or give the data up: `--delete-data '{data}'`");
        self.diagnostics.push(Diagnostic::error("kept-data", title).at(spec.span).help(help).of(address));
    }

    /// A replacement that is made first needs everything that must be unique twice.
    fn check_order(&mut self, spec: &ResourceSpec, kind: &KindSchema, desired: &Value, present: &Present<'_>, change: &Change) {
        if !change.create_before_destroy {
            return;
        }
        let address = &spec.address;
        let by = self.asked.get(address).copied().unwrap_or(address);
        let who = if by == address { String::new() } else { format!(", as `{by}` asks of all it depends on") };
        if present.entry.kind != spec.kind || present.entry.provider != spec.provider {
            let title = format!("`{address}` cannot be made before the old one goes{who}: {}", change.reason);
            let help = format!("take `create_before_destroy` out of `{by}` for this change");
            return self.diagnostics.push(Diagnostic::error("create-before-destroy", title).at(spec.span).help(help).of(address));
        }
        let Some(attribute) = kind.unique_name else { return };
        let (before, after) = (present.attributes.get(attribute), desired.get(attribute));
        if let (Some(before), Some(after)) = (before, after)
            && before == after
        {
            let span = spec.origins.get(attribute).map_or(spec.span, |origin| origin.span);
            let title = format!(
                "`{address}` cannot be made before the old one goes{who}: the name {} would be taken twice",
                crate::text::short(after)
            );
            let help = format!("change `{attribute}` with it, or take `create_before_destroy` out of `{by}`");
            self.diagnostics.push(Diagnostic::error("name-needed-twice", title).at(span).help(help).of(address));
        }
    }

    /// Works out what the object will be: which attributes only the provider can tell, and, where something refers to them, all values.
    fn say_what_will_be(&mut self, kind: &KindSchema, desired: &Value, change: &mut Change) {
        let fresh = matches!(change.action, Action::Create | Action::Replace);
        let same = matches!(change.action, Action::NoOp);
        let derived = if same { Vec::new() } else { kind.derive.map(|derive| derive(desired)).unwrap_or_default() };
        let is_derived = |name: &str| derived.iter().any(|(derived, _)| *derived == name);
        let unknown = |attribute: &&AttributeSchema| {
            let given = desired.get(attribute.name).is_some_and(|value| !value.is_null());
            match is_derived(attribute.name) {
                true => has_unknown(desired),
                false => fresh && attribute.is_computed() && !given,
            }
        };
        change.computed = kind.attributes.iter().filter(unknown).map(|attribute| Arc::from(attribute.name)).collect();
        if fresh {
            change.computed.insert("id".into());
        }
        if !self.is_referenced(&change.address) {
            return;
        }
        let there = if fresh { None } else { self.attributes_there(change) };
        let mut entries: BTreeMap<Arc<str>, Value> = there.as_ref().and_then(Value::entries).cloned().unwrap_or_default();
        for attribute in &kind.attributes {
            let given = desired.get(attribute.name).filter(|value| !value.is_null());
            match given {
                Some(value) => entries.insert(attribute.name.into(), value.clone().marked(attribute.sensitive)),
                None if fresh || attribute.presence == Presence::Optional => entries.insert(attribute.name.into(), Value::NULL),
                None => None,
            };
            entries.entry(attribute.name.into()).or_insert(Value::NULL);
        }
        for (name, value) in derived {
            entries.insert(name.into(), value);
        }
        for name in &change.computed {
            let attribute = kind.attribute(name);
            let reference = self.object_at(&change.address).attribute(Arc::clone(name));
            let ty = attribute.map_or(Type::String, |attribute| attribute.ty.clone());
            entries.insert(Arc::clone(name), Value::deferred(ty, reference).marked(attribute.is_some_and(|attribute| attribute.sensitive)));
        }
        let named = if fresh || same { Vec::new() } else { kind.names.map(|names| names(desired)).unwrap_or_default() };
        for (name, names) in named {
            let all = with_names(&self.object_at(&change.address), name, &names, entries.get(name));
            entries.insert(name.into(), all);
        }
        if let (false, Some(id)) = (fresh, &change.id) {
            crate::made::insert_id(&mut entries, id);
        }
        self.will_be(&change.address, Value::object(entries));
    }

    /// What stands for an object of which only its provider can tell something: of one that this plan makes, its answer is awaited.
    fn object_at(&self, address: &Address) -> Expr {
        if self.takes_for_made { crate::made::answer_of(address) } else { ExprKind::Reference(address.clone()).into() }
    }

    fn attributes_there(&self, change: &Change) -> Option<Value> {
        if let Some(before) = &change.before {
            return Some(before.clone());
        }
        Some(self.input.state.resources.get(&change.address)?.current.as_ref()?.attributes.clone())
    }
}

/// A computed map once it has these names: what is there stays, what is new only the provider can tell.
fn with_names(object: &Expr, attribute: &str, names: &BTreeSet<Arc<str>>, there: Option<&Value>) -> Value {
    let entry = |name: &Arc<str>| {
        let new = || object.clone().attribute(attribute).attribute(Arc::clone(name));
        there.and_then(|there| there.get(name)).cloned().unwrap_or_else(|| Value::deferred(Type::String, new()))
    };
    Value::map(names.iter().map(|name| (Arc::clone(name), entry(name))).collect::<Vec<_>>())
}

/// `tags.owner, cidr and 2 more changed`, by attribute.
pub(crate) fn changed<'c>(changes: impl Iterator<Item = &'c AttributeChange>) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut all_unknown = true;
    for change in changes {
        let name = attribute_of(&change.path);
        if names.last() != Some(&name) {
            names.push(name);
        }
        all_unknown &= change.after.as_ref().is_some_and(has_unknown);
    }
    if all_unknown { format!("{} known after apply", enumerate(&names)) } else { format!("{} changed", enumerate(&names)) }
}

/// The error of a plan that would destroy what must not be.
pub(crate) fn prevented(address: &Address, span: Span, what: &str) -> Diagnostic {
    Diagnostic::error("prevent-destroy", format!("`{address}` must not be destroyed, but this plan would: {what}"))
        .at(span)
        .help("take back what destroys it, or take `prevent_destroy` out of its `lifecycle`")
        .of(address)
}

/// What changed since the state was written, of all that a provider can tell.
pub(crate) fn drift(kind: &KindSchema, recorded: &Value, found: &Value) -> Vec<AttributeChange> {
    let mut changes = Vec::new();
    let mut differing = Vec::new();
    for attribute in kind.attributes.iter().filter(|attribute| !attribute.is_settable() || attribute.change != ChangeWord::None) {
        let (before, after) = (recorded.get(attribute.name), found.get(attribute.name));
        if before == after {
            continue;
        }
        let mark = |value: &Value| value.clone().marked(attribute.sensitive);
        differences(attribute.name, before.map(mark).as_ref(), after.map(mark).as_ref(), &mut differing);
        changes.extend(differing.drain(..).map(|difference| AttributeChange {
            path: difference.path,
            before: difference.before,
            after: difference.after,
            forces_replacement: false,
            word: attribute.change,
            source: None,
        }));
    }
    changes
}

/// The attributes with the mark on those that are sensitive whatever the spec says.
pub(crate) fn with_secrets(attributes: Value, kind: &KindSchema) -> Value {
    let unmarked = |attribute: &&AttributeSchema| {
        attribute.sensitive && attributes.get(attribute.name).is_some_and(|value| !value.is_null() && !value.is_sensitive())
    };
    let secret: Vec<&str> = kind.attributes.iter().filter(unmarked).map(|attribute| attribute.name).collect();
    let Some(entries) = attributes.entries().filter(|_| !secret.is_empty()) else { return attributes };
    let marked = entries.iter().map(|(name, value)| (Arc::clone(name), value.clone().marked(secret.contains(&&**name))));
    Value::object(marked).marked(attributes.is_sensitive())
}

/// What the spec wants, with what is there where its lifecycle says that changes are not looked at.
fn without_ignored(desired: Value, spec: &ResourceSpec, kind: &KindSchema, there: &Value) -> Value {
    let ignored: &BTreeSet<String> = &spec.lifecycle.ignore_changes;
    if ignored.is_empty() {
        return desired;
    }
    let given = |attribute: &&AttributeSchema| attribute.presence != Presence::OptionalComputed || desired.get(attribute.name).is_some();
    let settable = kind.attributes.iter().filter(|attribute| attribute.is_settable()).filter(given).map(|attribute| attribute.name);
    let paths: Vec<String> = if ignored.contains("*") { settable.map(str::to_owned).collect() } else { ignored.iter().cloned().collect() };
    paths.iter().filter_map(|path| parse(path)).fold(desired, |desired, path| with_part_of(&desired, Some(there), &path).unwrap_or(desired))
}
