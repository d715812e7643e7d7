//! Whether the heads answer that a plan needs, asked before its first operation: one that lives and cannot be spoken to would let half of a plan
//! be done.

use std::sync::Arc;
use std::time::Duration;

use cloudtik_controller_client::HeadTarget;
use cloudtik_executor::driver::Clouds;
use cloudtik_model::{Address, Diagnostic, Diagnostics, SourceMap, State};
use cloudtik_planner::{Action, Change, Plan};
use cloudtik_provider_api::{CallError, HEAD_CONTROLLER_KIND};

use crate::around::Around;
use crate::clusters::{block_on, head_of, link};
use crate::{Failure, FailureKind};

/// How long a head may take to answer: a controller that was killed is back within seconds, and a head that is busy needs some more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A head that a plan needs.
struct Needed {
    cluster: Address,
    /// Whether its controller is spoken to, or only its node.
    by_controller: bool,
}

/// One that does not answer.
pub(crate) struct SilentHead {
    needed: Needed,
    error: CallError,
}

impl SilentHead {
    /// What apply needs to go on without it.
    fn replace(&self) -> String {
        format!("`cloudtik apply --replace {}.head`", self.needed.cluster)
    }

    /// What a plan says of it.
    pub(crate) fn note(&self) -> String {
        let known = if self.needed.by_controller { "what is known of its workers is what it published last, and " } else { "" };
        format!("{}: {known}apply needs `--replace {}.head`", self.error.message, self.needed.cluster)
    }
}

/// Fails if a head that a plan needs does not answer.
pub(crate) fn heads_answer(plan: &Plan, state: &State, clouds: &Arc<Clouds>, around: &Arc<Around>) -> Result<(), Failure> {
    let mut diagnostics = Diagnostics::new();
    for silent in silent_heads(plan, state, clouds, around)? {
        let title = format!("the head of {} is there and does not answer, so nothing was begun", silent.needed.cluster);
        let workers = if silent.needed.by_controller { "; its workers stay" } else { "" };
        let help = format!("{} makes the head anew{workers}", silent.replace());
        diagnostics.push(Diagnostic::error("head-unreachable", title).note(silent.error.message).help(help));
    }
    if diagnostics.is_empty() {
        return Ok(());
    }
    Err(Failure { kind: FailureKind::Error, diagnostics, sources: SourceMap::default(), summary: None })
}

/// The heads that a plan needs and that do not answer, by cluster. A plan that needs none asks nobody.
pub(crate) fn silent_heads(plan: &Plan, state: &State, clouds: &Arc<Clouds>, around: &Arc<Around>) -> Result<Vec<SilentHead>, Failure> {
    let heads: Vec<(Needed, HeadTarget)> =
        needed(plan, state).into_iter().filter_map(|needed| head_of(state, &needed.cluster).ok().map(|head| (needed, head))).collect();
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    let link = Arc::new(link(clouds, Arc::clone(around)));
    let mut silent: Vec<SilentHead> = block_on(async {
        let mut asked = tokio::task::JoinSet::new();
        for (needed, head) in heads {
            let link = Arc::clone(&link);
            asked.spawn(async move {
                let answer = match needed.by_controller {
                    true => link.status(&head, ANSWER_TIMEOUT).await.map(drop),
                    false => link.greet(&head, ANSWER_TIMEOUT).await,
                };
                answer.err().map(|error| SilentHead { needed, error })
            });
        }
        let silent = asked.join_all().await.into_iter().flatten().collect();
        link.close().await;
        silent
    })?;
    silent.sort_by(|a, b| a.needed.cluster.cmp(&b.needed.cluster));
    Ok(silent)
}

/// The clusters whose head a plan needs: its controller, where something of it, of its groups or of the head changes; or the node alone, where
/// something runs on it. Neither goes or is made anew: a dead head must not keep a cluster from being destroyed. A head of which something changes
/// that it stands on is not needed before: the plan may be what opens the way to it.
fn needed(plan: &Plan, state: &State) -> Vec<Needed> {
    let is_there = |address: &Address| state.resources.get(address).is_some_and(|entry| entry.current.is_some());
    let stays = |address: &Address| {
        plan.changes.get(address).is_some_and(|change| matches!(change.action, Action::NoOp | Action::Update | Action::Adopt))
    };
    let has_effect = |address: &Address| plan.changes.get(address).is_some_and(Change::has_effect);
    let needed = |head: &Change| {
        let cluster = head.address.block();
        if head.address != cluster.child("head") || !stays(&head.address) || head.depends_on.iter().any(has_effect) {
            return None;
        }
        let controller = cluster.child(HEAD_CONTROLLER_KIND);
        // Where it is started by this very plan, it need not answer before.
        let starts = has_effect(&head.address.child("controller").child("daemon"));
        let by_controller = is_there(&controller) && !starts;
        let told = [head.address.clone(), controller.clone(), cluster.child("workers")];
        let concerned = plan.changes.values().filter(|change| change.has_effect());
        let is_concerned = if by_controller {
            stays(&controller) && concerned.into_iter().any(|change| told.iter().any(|part| change.address.is_within(part)))
        } else {
            concerned.into_iter().any(|change| change.is_step() && change.address.is_within(&head.address))
        };
        is_concerned.then_some(Needed { cluster, by_controller })
    };
    plan.changes.values().filter_map(needed).collect()
}
