//! Clusters of other projects in a workspace that goes, or whose parts are made anew: its network would be taken away under them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_executor::engine::LINEAGE_TAG;
use cloudtik_model::{Address, Diagnostic, Diagnostics, ProviderRef, SourceMap, State, Value};
use cloudtik_planner::{Action, Plan};
use cloudtik_provider_api::{Answer, CLUSTER_TAG, Call, Found, Verb, WORKSPACE_TAG};

use crate::world::{World, refused, strange};
use crate::{Failure, FailureKind};

/// Clusters that a message names.
const NAMES_MAX: usize = 10;

/// Fails if a plan takes a workspace away, or makes parts of it anew (or, at these addresses, what is inside of them), while clusters of other projects are in it, in whatever state they are.
pub(crate) fn no_tenants(world: &World<'_>, plan: &Plan, state: &State, anew: &BTreeSet<Address>) -> Result<(), Failure> {
    let mut diagnostics = Diagnostics::new();
    for (workspace, goes) in disturbed(plan, anew) {
        let Some((provider, name)) = workspace_in(world, state, &workspace)? else { continue };
        let clusters = clusters_of_others(world, &workspace, &provider, &name, state)?;
        if clusters.is_empty() {
            continue;
        }
        let what = if goes { "would be destroyed" } else { "has parts that would be made anew" };
        let title = format!("`{workspace}` {what}, and clusters of other projects are in it: {}", shown(&clusters));
        let help = "destroy them in their projects first, or write `--allow-disruption`";
        diagnostics.push(Diagnostic::error("workspace-in-use", title).help(help).of(&workspace));
    }
    if diagnostics.is_empty() {
        return Ok(());
    }
    Err(Failure { kind: FailureKind::Error, diagnostics, sources: SourceMap::default(), summary: None })
}

/// The workspaces that go, or of which something is made anew; and whether they go.
fn disturbed(plan: &Plan, inside: &BTreeSet<Address>) -> BTreeMap<Address, bool> {
    let parts = || plan.changes.values().filter(|change| change.address.root() == "workspace");
    let is_anew = |change: &cloudtik_planner::Change| change.action == Action::Replace || inside.contains(&change.address);
    let removed = |change: &&cloudtik_planner::Change| change.action == Action::Delete || change.is_reduced() || is_anew(change);
    let workspaces: BTreeSet<Address> = parts().filter(removed).map(|change| change.address.block()).collect();
    let of = |workspace: &Address| {
        let own = || parts().filter(|change| change.address.is_within(workspace));
        let goes = own().all(|change| change.desired.is_none() || change.is_reduced());
        let anew = own().any(is_anew);
        (goes || anew).then_some(goes)
    };
    workspaces.iter().filter_map(|workspace| Some((workspace.clone(), of(workspace)?))).collect()
}

/// The provider configuration and the real name of a workspace, which every part of it is marked with.
fn workspace_in(world: &World<'_>, state: &State, workspace: &Address) -> Result<Option<(ProviderRef, String)>, Failure> {
    let parts = state.resources.iter().filter(|(address, _)| address.is_within(workspace));
    let calls = parts.filter_map(|(address, entry)| {
        let id = entry.current.as_ref()?.id.clone();
        let verb = Verb::List { ids: BTreeSet::from([id]) };
        Some(Call { provider: entry.provider.clone(), address: address.clone(), kind: Arc::clone(&entry.kind), verb, limit: None })
    });
    // One after the other: the first part that is there tells.
    for call in calls {
        for (call, answer) in world.all(vec![call])? {
            let found = match answer {
                Answer::Found(found) => found,
                Answer::Failed(error) => return Err(refused(&call, &error)),
                _ => return Err(strange(&call)),
            };
            if let Some(name) = found.first().and_then(|found| found.tags.get(WORKSPACE_TAG)) {
                return Ok(Some((call.provider, name.clone())));
            }
        }
    }
    Ok(None)
}

/// The clusters in a workspace that are not this project's.
fn clusters_of_others(
    world: &World<'_>,
    workspace: &Address,
    provider: &ProviderRef,
    name: &str,
    state: &State,
) -> Result<BTreeSet<String>, Failure> {
    let kinds = world.schemas.get(provider.provider_type()).into_iter().flat_map(|schema| schema.kinds.values());
    let calls = kinds.filter(|kind| kind.is_node).map(|kind| Call {
        provider: provider.clone(),
        address: workspace.clone(),
        kind: Arc::from(kind.name),
        verb: Verb::FindByTag { key: WORKSPACE_TAG.to_owned(), value: name.to_owned() },
        limit: None,
    });
    let mut clusters = BTreeSet::new();
    for (call, answer) in world.all(calls.collect())? {
        match answer {
            Answer::Found(found) => clusters.extend(found.iter().filter(|found| !is_of(found, state)).map(cluster)),
            Answer::Failed(error) => return Err(refused(&call, &error)),
            _ => return Err(strange(&call)),
        }
    }
    Ok(clusters)
}

/// Whether a node is this project's. Workers carry the lineage of who made them, the controller on their head; the uid of their cluster begins
/// with the project's.
fn is_of(found: &Found, state: &State) -> bool {
    let uid = found.tags.get(CLUSTER_TAG);
    if uid.is_some_and(|uid| state.adopted().any(|adopted| adopted.uid == *uid)) {
        return true;
    }
    let of_cluster = uid.and_then(|uid| uid.split('/').next());
    of_cluster.or_else(|| found.tags.get(LINEAGE_TAG).map(String::as_str)).is_some_and(|lineage| lineage == state.lineage)
}

/// What a person knows the cluster of a node by: its name, or the node where it has none.
fn cluster(found: &Found) -> String {
    let of_uid = found.tags.get(CLUSTER_TAG).and_then(|uid| uid.rsplit('/').next());
    let of_name = || found.object.attributes.get("name").and_then(Value::as_str);
    of_uid.or_else(of_name).unwrap_or(&found.object.id).to_owned()
}

fn shown(clusters: &BTreeSet<String>) -> String {
    let mut names: Vec<&str> = clusters.iter().map(String::as_str).take(NAMES_MAX).collect();
    let more = format!("{} more", clusters.len().saturating_sub(NAMES_MAX));
    if clusters.len() > NAMES_MAX {
        names.push(&more);
    }
    names.join(", ")
}
