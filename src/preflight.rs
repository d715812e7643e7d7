//! Whether the heads answer that a plan needs, asked before its first operation: one that lives and cannot be spoken to would let half of a plan
//! be done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloudtik_controller_client::HeadTarget;
use cloudtik_executor::driver::Clouds;
use cloudtik_model::{Address, Diagnostic, Diagnostics, SourceMap, State};
use cloudtik_planner::{Action, Plan};
use cloudtik_provider_api::{CallError, HEAD_CONTROLLER_KIND};

use crate::around::Around;
use crate::clusters::{block_on, head_of, link};
use crate::{Failure, FailureKind};

/// How long a head may take to answer: a controller that was killed is back within seconds, and a head that is busy needs some more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Fails if a head that a plan needs does not answer.
pub(crate) fn heads_answer(plan: &Plan, state: &State, clouds: &Arc<Clouds>, around: &Arc<Around>) -> Result<(), Failure> {
    let silent = silent_heads(plan, state, clouds, around)?;
    let mut diagnostics = Diagnostics::new();
    for (cluster, error) in &silent {
        let title = format!("the head of {cluster} is there and does not answer, so nothing was begun");
        let help = format!("`cloudtik apply --replace {cluster}.head` makes the head anew; its workers stay");
        diagnostics.push(Diagnostic::error("head-unreachable", title).note(error.message.clone()).help(help));
    }
    if diagnostics.is_empty() {
        return Ok(());
    }
    Err(Failure { kind: FailureKind::Error, diagnostics, sources: SourceMap::default(), summary: None })
}

/// The clusters whose heads a plan needs and that do not answer, with what was heard of them. A plan that needs none asks nobody.
pub(crate) fn silent_heads(
    plan: &Plan,
    state: &State,
    clouds: &Arc<Clouds>,
    around: &Arc<Around>,
) -> Result<BTreeMap<Address, CallError>, Failure> {
    let heads: Vec<HeadTarget> = needed(plan, state).into_iter().filter_map(|cluster| head_of(state, &cluster).ok()).collect();
    if heads.is_empty() {
        return Ok(BTreeMap::new());
    }
    let link = Arc::new(link(clouds, Arc::clone(around)));
    block_on(async {
        let mut asked = tokio::task::JoinSet::new();
        for head in heads {
            let link = Arc::clone(&link);
            asked.spawn(async move { link.status(&head, ANSWER_TIMEOUT).await.err().map(|error| (head.cluster, error)) });
        }
        let silent = asked.join_all().await.into_iter().flatten().collect();
        link.close().await;
        silent
    })
}

/// The clusters whose controller a plan needs: something of it, of its groups or of its head changes, and neither goes or is made anew. A dead
/// head must not keep a cluster from being destroyed.
fn needed(plan: &Plan, state: &State) -> Vec<Address> {
    let controllers = state.resources.iter().filter(|(_, entry)| &*entry.kind == HEAD_CONTROLLER_KIND && entry.current.is_some());
    let is_needed = |cluster: &Address| {
        let (head, controller) = (cluster.child("head"), cluster.child(HEAD_CONTROLLER_KIND));
        let stays = |address: &Address| {
            plan.changes.get(address).is_some_and(|change| matches!(change.action, Action::NoOp | Action::Update | Action::Adopt))
        };
        // Where it is started by this very plan, it need not answer before.
        let starts = plan.changes.get(&head.child("controller").child("daemon")).is_some_and(|change| change.has_effect());
        let told = [&head, &controller, &cluster.child("workers")];
        let concerned =
            || plan.changes.values().any(|change| change.has_effect() && told.iter().any(|part| change.address.is_within(part)));
        stays(&head) && stays(&controller) && !starts && concerned()
    };
    controllers.map(|(address, _)| address.prefix(2)).filter(is_needed).collect()
}
