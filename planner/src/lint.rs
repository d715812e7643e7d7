//! What must hold of every plan, whoever made it: run after each planner test, and before a plan is applied.

use std::collections::BTreeSet;

use cloudtik_model::{Address, Node, State};

use crate::{Action, Change, OperationKind, Plan, execution};

/// Every sentence says one thing that is wrong with the plan; a good plan gives none.
#[must_use]
pub fn lint(plan: &Plan, state: &State) -> Vec<String> {
    let mut faults = Vec::new();
    if plan.lineage != state.lineage || plan.serial != state.serial {
        faults.push("the plan was made from another state".to_owned());
    }
    for (address, change) in &plan.changes {
        if *address != change.address {
            faults.push(format!("the change at `{address}` says that it is at `{}`", change.address));
        }
        lint_change(plan, state, change, &mut |fault| faults.push(format!("`{address}`: {fault}")));
    }
    for address in state.resources.keys().filter(|address| !plan.changes.contains_key(*address)) {
        faults.push(format!("`{address}` is in the state and not in the plan"));
    }
    lint_execution(plan, state, &mut faults);
    faults
}

fn lint_change(plan: &Plan, state: &State, change: &Change, fault: &mut dyn FnMut(String)) {
    let entry = state.resources.get(&change.address);
    let current = entry.and_then(|entry| entry.current.as_ref());
    let wanted = matches!(
        change.action,
        Action::NoOp | Action::Create | Action::Update | Action::Replace | Action::Run | Action::Adopt | Action::Import
    );
    if wanted != change.desired.is_some() && !change.is_kept() {
        let has = if change.desired.is_some() { "something" } else { "nothing" };
        fault(format!("it is to {}, but the spec wants {has}", change.action.as_str()));
    }
    if matches!(change.action, Action::NoOp | Action::Update | Action::Replace | Action::Adopt) && current.is_none() {
        fault(format!("it is to {}, but nothing is there", change.action.as_str()));
    }
    if change.action == Action::Import && (current.is_some() || change.id.is_none()) {
        fault("it is to be imported, and the state knows it, or the plan does not".to_owned());
    }
    let is_step_node = matches!(change.desired, Some(Node::Step(_)));
    if change.desired.is_some() && is_step_node != change.is_step() {
        fault(format!("what is wanted is no `{}`", change.kind));
    }
    match (change.action, change.is_step()) {
        (Action::Run, false) => fault("only a step runs".to_owned()),
        (Action::Create | Action::Update, true) => fault("a step is run, not made".to_owned()),
        (Action::Create, false) if current.is_some() && change.id.is_some() => fault("it is to be made and is there".to_owned()),
        (Action::NoOp, _) if !change.attributes.is_empty() => fault("nothing is to be done, but attributes change".to_owned()),
        (Action::Update | Action::Import, _) if change.attributes.iter().any(|attribute| attribute.forces_replacement) => {
            fault("an attribute forces a replacement, but it is to be changed in place".to_owned());
        }
        _ => {}
    }
    if change.action != Action::NoOp && change.reason.is_empty() {
        fault("it gives no reason".to_owned());
    }
    if change.desired.is_some() {
        for dependency in
            change.depends_on.iter().filter(|dependency| plan.changes.get(*dependency).is_none_or(|d| d.desired.is_none() && !d.is_kept()))
        {
            fault(format!("it depends on `{dependency}`, which will not be there"));
        }
    }
    if change.create_before_destroy && change.action == Action::Replace && !change.is_step() {
        let first =
            |d: &&Address| plan.changes.get(*d).is_some_and(|d| d.action == Action::Replace && !d.is_step() && !d.create_before_destroy);
        for dependency in change.depends_on.iter().filter(first) {
            fault(format!("it is made before its old object goes, but `{dependency}`, which it depends on, is not"));
        }
    }
}

fn lint_execution(plan: &Plan, state: &State, faults: &mut Vec<String>) {
    let execution = match execution(plan, state) {
        Ok(execution) => execution,
        Err(error) => return faults.push(error.to_string()),
    };
    let mut gone: BTreeSet<&Address> = BTreeSet::new();
    for operation in &execution.operations {
        if operation.after.iter().any(|before| *before >= operation.id) {
            faults.push(format!("an operation of `{}` waits for a later one", operation.address));
        }
        if let OperationKind::Delete { deposed: None, .. } = operation.kind {
            gone.insert(&operation.address);
        }
    }
    // Every delete comes after those of its dependents.
    let mut done: BTreeSet<&Address> = BTreeSet::new();
    for operation in &execution.operations {
        if !matches!(operation.kind, OperationKind::Delete { deposed: None, .. }) {
            continue;
        }
        done.insert(&operation.address);
        let early = |dependency: &&Address| done.contains(*dependency) && gone.contains(*dependency);
        let depends_on = state.resources.get(&operation.address).map(|entry| &entry.depends_on);
        for dependency in depends_on.into_iter().flatten().filter(early) {
            faults.push(format!("`{dependency}` goes before `{}`, which depends on it", operation.address));
        }
    }
}
