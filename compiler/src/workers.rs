//! Groups of workers as the spec has them, and what a cluster says about all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, Number, Span, Value, did_you_mean, duration_seconds};
use cloudtik_syntax::Block;

use crate::evaluate::{Evaluated, Evaluator};
use crate::expand::MAX_INSTANCES;

/// Seconds that a new worker may take where the spec does not say: as `ssh.ready_timeout`.
const READY_TIMEOUT_SECS: u64 = 900;

/// A `workers` block, checked.
pub(crate) struct Group<'e> {
    pub(crate) label: Arc<str>,
    pub(crate) block: &'e Evaluated,
    pub(crate) min: u64,
    pub(crate) max: u64,
    /// The runtimes that it names; all of them without.
    pub(crate) runtimes: Option<BTreeSet<String>>,
    pub(crate) ready_timeout_secs: u64,
}

/// The groups of a cluster, in the order of their labels.
pub(crate) fn read_groups<'e>(cluster: &'e Evaluated, found: &mut Diagnostics) -> Vec<Group<'e>> {
    let labels: BTreeSet<&str> = cluster.all("runtime").iter().map(|runtime| &*runtime.label).collect();
    let mut groups: Vec<Group<'e>> = cluster.all("workers").iter().map(|block| read_group(block, &labels, found)).collect();
    groups.sort_by(|a, b| a.label.cmp(&b.label));
    if let (Some(first), true) = (cluster.all("workers").first(), cluster.only("head").is_none()) {
        found.push(
            Diagnostic::error("no-head", "a cluster with workers has a head, which makes them and keeps them")
                .at(first.span)
                .help("add `head {}` to the cluster"),
        );
    }
    check_together(cluster, &groups, found);
    groups
}

fn read_group<'e>(block: &'e Evaluated, labels: &BTreeSet<&str>, found: &mut Diagnostics) -> Group<'e> {
    let number = |name: &str| block.value(name).as_number().and_then(Number::as_u64);
    let min = number("min").unwrap_or(1);
    let max = number("max").unwrap_or(min);
    if min > max {
        let (min_place, max_place) = (block.field("min").span, block.field("max").span);
        let place = if min_place.is_none() { max_place } else { min_place };
        let mut error = Diagnostic::error("min-above-max", format!("`min` is {min} and `max` is {max}: a group has never more than `max`"))
            .at(place)
            .help(format!("write `max = {min}` or more, or `min = {max}` or less"));
        if place != max_place {
            error = error.and_at(max_place, "`max` is written here");
        }
        found.push(error);
    }
    if max > MAX_INSTANCES {
        let place = if block.value("max").is_null() { block.field("min").span } else { block.field("max").span };
        found.push(Diagnostic::error("too-many-instances", format!("a group has at most {MAX_INSTANCES} workers")).at(place));
    }
    let listed = block.field("runtimes");
    let names = block.strings("runtimes");
    for name in names.iter().filter(|name| !labels.contains(name.as_str())) {
        let near = did_you_mean(name, labels.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        found.push(
            Diagnostic::error("unknown-runtime", format!("`runtimes`: the cluster has no runtime `{name}`"))
                .at(listed.span)
                .maybe_help(near),
        );
    }
    let ready = block.only("ssh").and_then(|ssh| ssh.text("ready_timeout")).and_then(duration_seconds);
    Group {
        label: Arc::clone(&block.label),
        block,
        min,
        max,
        runtimes: (!listed.value.is_null()).then(|| names.into_iter().collect()),
        ready_timeout_secs: ready.unwrap_or(READY_TIMEOUT_SECS),
    }
}

/// What is said of all groups, and of groups that are not there.
fn check_together(cluster: &Evaluated, groups: &[Group<'_>], found: &mut Diagnostics) {
    let cap = cluster.field("max_workers");
    let least = groups.iter().fold(0_u64, |sum, group| sum.saturating_add(group.min));
    if groups.is_empty() {
        let written: [(&str, Option<Span>); 2] = [
            ("max_workers", Some(cap.span).filter(|_| !cap.value.is_null())),
            ("scaling", cluster.only("scaling").map(|scaling| scaling.span)),
        ];
        for (name, span) in written {
            let Some(span) = span else { continue };
            found.push(
                Diagnostic::error("no-workers", format!("the cluster has no workers, so this `{name}` would have no effect"))
                    .at(span)
                    .help("add `workers \"NAME\" {}` to the cluster"),
            );
        }
    } else if let Some(most) = cap.value.as_number().and_then(Number::as_u64).filter(|most| *most < least) {
        let title = format!("`max_workers` is {most}, and `min` of all groups is {least} together");
        found.push(Diagnostic::error("min-above-max", title).at(cap.span).help(format!("write `max_workers = {least}` or more")));
    }
}

/// The most workers that there may be at once.
pub(crate) fn workers_max(cluster: &Evaluated, groups: &[Group<'_>]) -> u64 {
    let sum = groups.iter().fold(0_u64, |sum, group| sum.saturating_add(group.max));
    cluster.value("max_workers").as_number().and_then(Number::as_u64).map_or(sum, |most| most.min(sum))
}

/// A block that is carried as it is: an object of its attributes, and of its blocks by name and label.
pub(crate) fn block_value(evaluator: &Evaluator<'_>, block: &Block, found: &mut Diagnostics) -> Value {
    let mut entries: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    for attribute in &block.body.attributes {
        match evaluator.expression(&attribute.value, false) {
            Ok((value, _)) => {
                entries.insert(Arc::clone(&attribute.name.name), value);
            }
            Err(errors) => found.extend(errors),
        }
    }
    let mut labelled: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Value>> = BTreeMap::new();
    for inner in &block.body.blocks {
        let (name, value) = (Arc::clone(&inner.kind.name), block_value(evaluator, inner, found));
        match inner.labels.first() {
            Some(label) => {
                labelled.entry(name).or_default().insert(Arc::clone(&label.text), value);
            }
            None => {
                entries.insert(name, value);
            }
        }
    }
    entries.extend(labelled.into_iter().map(|(name, all)| (name, Value::object(all))));
    Value::object(entries)
}
