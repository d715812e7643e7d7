//! The kind `worker_group`: what the head does is awaited, and a group that leaves the spec is removed by the head.

use std::sync::Arc;

use cloudtik_model::{Address, ControllerCall, ControllerReply, ControllerStatus, Digest, NodeState, Value};
use cloudtik_provider_api::{CallError, ErrorClass};
use tokio::time::{Instant, sleep};

use crate::cloud::Inner;
use crate::limits::{
    DRAIN_REACH_TIMEOUT, EVENTS_PER_POLL_MAX, GROUP_POLL_INTERVAL, GROUP_PROBLEM_GRACE, GROUP_READY_MARGIN_TIME, GROUP_REMOVE_TIMEOUT,
    HEAD_LOST_TIMEOUT, START_TIMEOUT,
};
use crate::link::{UNREACHABLE, unexpected};
use crate::{ControllerId, HeadTarget};

/// What a group shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) group: String,
    pub(crate) min: u64,
    pub(crate) max: u64,
    pub(crate) template: Option<Digest>,
    pub(crate) ready_timeout_secs: u64,
}

impl Wanted {
    pub(crate) fn of(attributes: &Value) -> Result<Self, CallError> {
        let missing = |name: &str| CallError::new(ErrorClass::Permanent, "attributes", format!("a group has no `{name}`"));
        let text = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| missing(name));
        let number = |name: &str| {
            attributes.get(name).and_then(Value::as_number).and_then(cloudtik_model::Number::as_u64).ok_or_else(|| missing(name))
        };
        Ok(Self {
            group: text("group")?,
            min: number("min")?,
            max: number("max")?,
            template: text("template")?.parse().ok(),
            ready_timeout_secs: number("ready_timeout_secs")?,
        })
    }
}

/// How far a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is as it shall be.
    Ready,
    /// Not yet. As long as the numbers change, it gets on.
    Waiting {
        /// What changes while it gets on.
        numbers: Vec<u64>,
        /// Why it does not get on, if somebody knows.
        problem: Option<String>,
    },
}

/// Compares what a status says with what a group shall be.
pub(crate) fn judge(status: &ControllerStatus, wanted: &Wanted) -> Judgement {
    let group = status.groups.get(&wanted.group);
    let nodes = || status.nodes.values().filter(|node| node.group == wanted.group);
    let as_asked = group.filter(|group| {
        group.template == wanted.template
            && (group.min, group.max) == (wanted.min, wanted.max)
            && group.ready >= wanted.min
            && group.outdated == 0
            // Those that are too many are gone.
            && nodes().all(|node| !matches!(node.state, NodeState::Leaving | NodeState::Gone))
            && u64::try_from(nodes().count()).is_ok_and(|count| count <= group.desired)
    });
    // What the controller does on the head follows the workers: a cluster answers through it.
    let head = || status.nodes.values().filter(|node| node.group.is_empty() && node.state != NodeState::Ready);
    if as_asked.is_some() && head().next().is_none() {
        return Judgement::Ready;
    }
    let mut numbers = group.map(|group| vec![group.desired, group.ready, group.outdated, u64::from(group.formed)]).unwrap_or_default();
    numbers.extend(nodes().chain(head()).flat_map(|node| [node.state as u64, node.steps_done]));
    let of_head = || head().find_map(|node| node.problem.clone()).filter(|_| as_asked.is_some());
    let problem = group.and_then(|group| group.problem.clone()).or_else(|| status.problem.clone()).or_else(of_head);
    Judgement::Waiting { numbers, problem }
}

impl Inner {
    /// Whether the group is as asked now.
    pub(crate) async fn look_at_group(&self, head: &HeadTarget, address: &Address, wanted: &Wanted) -> Result<(), CallError> {
        match judge(&self.link.status(head, DRAIN_REACH_TIMEOUT).await?, wanted) {
            Judgement::Ready => Ok(()),
            Judgement::Waiting { .. } => Err(not_ready(head, address, "it is not ready yet")),
        }
    }

    /// Waits until the group is as asked, and the head with it. It gets as long as a worker may take, again with everything that moves.
    pub(crate) async fn await_group(&self, head: &HeadTarget, address: &Address, wanted: &Wanted) -> Result<(), CallError> {
        let limit = std::time::Duration::from_secs(wanted.ready_timeout_secs) + GROUP_READY_MARGIN_TIME;
        let mut moved = Instant::now();
        let mut numbers = Vec::new();
        let mut troubled: Option<Instant> = None;
        let mut last = String::from("nothing was heard of it");
        loop {
            let status = self.link.status(head, HEAD_LOST_TIMEOUT).await?;
            for at in [address, &head.cluster.child("head")] {
                last = self.tell_events(head, at, &status).await.unwrap_or(last);
            }
            let (now, problem) = match judge(&status, wanted) {
                Judgement::Ready => return Ok(()),
                Judgement::Waiting { numbers: now, problem } => (now, problem),
            };
            if now != numbers {
                (numbers, moved) = (now, Instant::now());
            }
            troubled = problem.as_ref().map(|_| troubled.unwrap_or_else(Instant::now));
            if let (Some(since), Some(problem)) = (troubled, problem)
                && since.elapsed() >= GROUP_PROBLEM_GRACE
            {
                return Err(not_ready(head, address, &problem));
            }
            if moved.elapsed() >= limit {
                let text = format!("nothing moved for {} seconds; the last word was: {last}", limit.as_secs());
                return Err(not_ready(head, address, &text));
            }
            if self.reach.interrupted() {
                return Err(not_ready(head, address, "interrupted; the head goes on by itself"));
            }
            sleep(GROUP_POLL_INTERVAL).await;
        }
    }

    /// Shows what happened at an address since somebody looked. Gives the last of it.
    async fn tell_events(&self, head: &HeadTarget, address: &Address, status: &ControllerStatus) -> Option<String> {
        let after = self.heard(&head.cluster, address, status.last_event)?;
        let events = self.link.events(head, after, EVENTS_PER_POLL_MAX, HEAD_LOST_TIMEOUT).await.ok()?;
        let is_here =
            |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok()).is_some_and(|at: Address| at.is_within(address));
        let mut last = None;
        // What came since the status was told is shown with the next one.
        for event in events.iter().filter(|event| event.sequence <= status.last_event && is_here(&event.address)) {
            self.reach.event(event);
            last = Some(event.text.clone());
        }
        last
    }

    /// Takes back that a group was asked to go.
    pub(crate) async fn keep_group(&self, head: &HeadTarget, group: &str) -> Result<(), CallError> {
        match self.link.ask(head, ControllerCall::KeepGroup { group: group.to_owned() }, START_TIMEOUT).await? {
            ControllerReply::Done => Ok(()),
            other => Err(unexpected(head, other)),
        }
    }

    /// Has the head remove a group, and waits until none of its workers is left.
    pub(crate) async fn remove_group(&self, id: &str, address: &Address) -> Result<(), CallError> {
        let (controller, group) = ControllerId::parse_group(id)?;
        if self.find_head(address, &controller.uid, None).await?.is_none() {
            return Err(CallError::new(ErrorClass::Gone, "gone", format!("the head of {} is gone", controller.uid)));
        }
        let Some(head) = self.head_of(address) else {
            let text = format!("nobody knows how to log in to the head of {}", controller.uid);
            return Err(CallError::new(ErrorClass::Permanent, UNREACHABLE, text));
        };
        let leaves = self.reach.leaves(&head.cluster);
        let patience = if leaves { DRAIN_REACH_TIMEOUT } else { START_TIMEOUT };
        match self.link.ask(&head, ControllerCall::RemoveGroup { group: group.clone() }, patience).await {
            Ok(ControllerReply::Done) => {}
            Ok(other) if leaves => {
                self.reach.warning(&format!("{address}: {}; its workers go with the cluster", unexpected(&head, other).message));
                return Ok(());
            }
            Ok(other) => return Err(unexpected(&head, other)),
            // Without its controller the cluster has no workers: they are deleted by tag when it goes.
            Err(error) if leaves => {
                self.reach.warning(&format!("{address}: {}; its workers go with the cluster", error.message));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let end = Instant::now() + GROUP_REMOVE_TIMEOUT;
        loop {
            let status = match self.link.status(&head, HEAD_LOST_TIMEOUT).await {
                Err(_) if leaves => return Ok(()),
                other => other?,
            };
            self.tell_events(&head, address, &status).await;
            let left = status.nodes.values().filter(|node| node.group == group).count();
            if left == 0 {
                return Ok(());
            }
            if Instant::now() >= end || self.reach.interrupted() {
                let text = format!("{left} workers of {address} are still there; the head goes on removing them");
                return Err(CallError::new(ErrorClass::Permanent, "group-not-removed", text).help("run it again to wait for them"));
            }
            sleep(GROUP_POLL_INTERVAL).await;
        }
    }
}

fn not_ready(head: &HeadTarget, address: &Address, why: &str) -> CallError {
    let help = format!("`cloudtik events {}` shows what happened; the head goes on trying, and the next apply waits for it", head.cluster);
    CallError::new(ErrorClass::Permanent, "group-not-ready", format!("{address}: {why}")).help(help)
}

/// The addresses of a cluster and of its controller, from that of anything in it.
pub(crate) fn controller_address(address: &Address) -> Address {
    address.block().child(Arc::from("head_controller"))
}

#[cfg(test)]
mod tests {
    use cloudtik_model::{GroupStatus, NodeStatus};

    use super::*;

    #[test]
    fn a_group_is_ready_when_everything_is_as_asked() {
        let template = Digest::of("t");
        let wanted = Wanted { group: "g".to_owned(), min: 2, max: 4, template: Some(template), ready_timeout_secs: 9 };
        let of_two =
            || GroupStatus { min: 2, max: 4, desired: 2, ready: 2, template: Some(template), formed: true, ..GroupStatus::default() };
        let good = of_two();
        let judged = |group: GroupStatus| {
            let status = ControllerStatus { groups: [("g".to_owned(), group)].into(), ..ControllerStatus::default() };
            judge(&status, &wanted)
        };
        assert_eq!(judged(good.clone()), Judgement::Ready);
        for other in [
            GroupStatus { ready: 1, ..good.clone() },
            GroupStatus { outdated: 1, ..good.clone() },
            GroupStatus { max: 5, ..good.clone() },
            GroupStatus { min: 1, ..good.clone() },
            GroupStatus { template: Some(Digest::of("other")), ..good.clone() },
            GroupStatus { template: None, ..good },
        ] {
            assert!(matches!(judged(other), Judgement::Waiting { problem: None, .. }));
        }
        let with_head = |state: NodeState, problem: Option<&str>| {
            let head = NodeStatus {
                group: String::new(),
                id: "i".to_owned(),
                address: String::new(),
                state,
                host_key: None,
                ssh_user: String::new(),
                ssh_port: 0,
                steps_done: 1,
                steps: 2,
                running: Vec::new(),
                problem: problem.map(str::to_owned),
            };
            let status = ControllerStatus {
                groups: [("g".to_owned(), of_two())].into(),
                nodes: [("cluster.c.head".to_owned(), head)].into(),
                ..ControllerStatus::default()
            };
            judge(&status, &wanted)
        };
        assert_eq!(with_head(NodeState::Ready, None), Judgement::Ready);
        assert!(matches!(with_head(NodeState::SettingUp, None), Judgement::Waiting { problem: None, .. }));
        let failing = with_head(NodeState::Failing, Some("a port is taken"));
        assert!(matches!(failing, Judgement::Waiting { problem: Some(text), .. } if text == "a port is taken"));
        let broken = ControllerStatus { problem: Some("its disk is full".to_owned()), ..ControllerStatus::default() };
        assert_eq!(judge(&broken, &wanted), Judgement::Waiting { numbers: vec![], problem: Some("its disk is full".to_owned()) });
    }
}
