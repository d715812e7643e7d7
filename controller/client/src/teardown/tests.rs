//! The machine against a small world with a clock of its own.

use std::collections::BTreeMap;

use cloudtik_model::{ControllerStatus, NodeState, NodeStatus, Value};
use cloudtik_provider_api::{Found, HEAD_ROLE, ObjectAnswer};

use super::*;

const UID: &str = "l/w/c";

/// A cloud in which instances appear late and deletes may be refused.
#[derive(Default)]
struct World {
    /// When each instance becomes visible.
    workers: BTreeMap<String, u64>,
    /// How many deletes of each are still refused.
    refusals: BTreeMap<String, u32>,
    /// How many times the fence does not answer.
    fence_failures: u32,
    fences: Vec<u64>,
    deletes: Vec<String>,
    searches: u32,
    /// Whether the head answers; it drains its workers when it does.
    head: bool,
    drained: bool,
    /// Whether a drain changes nothing.
    stuck: bool,
    warnings: Vec<String>,
}

impl World {
    fn call(&mut self, now_ms: u64, call: &Call) -> Answer {
        match &call.verb {
            Verb::Fence { epoch, ends, .. } if self.fence_failures == 0 => {
                assert!(ends, "the cluster is at its end");
                self.fences.push(*epoch);
                Answer::Done
            }
            Verb::Fence { .. } => {
                self.fence_failures -= 1;
                Answer::Failed(CallError::new(ErrorClass::Throttled, "slow-down", "too many calls"))
            }
            Verb::FindByTag { key, value } => {
                assert_eq!((key.as_str(), value.as_str()), (CLUSTER_TAG, UID));
                self.searches += 1;
                let found = |id: &str, role: &str| Found {
                    object: ObjectAnswer { id: id.to_owned(), attributes: Value::object::<&str>([]) },
                    tags: BTreeMap::from([(ROLE_TAG.to_owned(), role.to_owned())]),
                };
                let visible = self.workers.iter().filter(|(_, at)| **at <= now_ms);
                Answer::Found(visible.map(|(id, _)| found(id, WORKER_ROLE)).chain([found("i-head", HEAD_ROLE)]).collect())
            }
            Verb::Delete { id } => {
                self.deletes.push(id.clone());
                if let Some(left) = self.refusals.get_mut(id).filter(|left| **left > 0) {
                    *left -= 1;
                    return Answer::Failed(CallError::new(ErrorClass::Conflict, "in-use", "it is in use"));
                }
                match self.workers.remove(id) {
                    Some(_) => Answer::Done,
                    None => Answer::Failed(CallError::new(ErrorClass::Gone, "gone", "it is gone")),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, call: &ControllerCall) -> Result<ControllerReply, CallError> {
        if !self.head {
            return Err(CallError::new(ErrorClass::Permanent, "head-unreachable", "nobody answers"));
        }
        if *call == ControllerCall::Drain {
            self.drained = true;
            return Ok(ControllerReply::Done);
        }
        let mut status = ControllerStatus::default();
        if self.stuck {
            let node = |group: &str| NodeStatus {
                group: group.to_owned(),
                id: String::new(),
                address: String::new(),
                state: NodeState::Leaving,
                host_key: None,
                ssh_user: String::new(),
                ssh_port: 0,
                steps_done: 0,
                steps: 0,
                running: Vec::new(),
                problem: None,
            };
            status.nodes.insert("cluster.c.workers.g[1]".to_owned(), node("g"));
            status.nodes.insert("cluster.c.head".to_owned(), node(""));
        }
        Ok(ControllerReply::Status(Box::new(status)))
    }

    /// Drives the machine to its end; says how it ended and when.
    fn run(&mut self, change: impl FnOnce(&mut TeardownInput)) -> (Result<(), CallError>, u64) {
        let mut input = TeardownInput {
            provider: ProviderRef::new("p"),
            kind: "p_instance".into(),
            address: "cluster.c.head_controller".parse().unwrap(),
            uid: UID.to_owned(),
            fence_epoch: 8,
            visibility_ms: 0,
            reads: 1,
            drain: true,
        };
        change(&mut input);
        let mut machine = Teardown::new(input);
        let (mut now_ms, mut timers) = (0, BTreeMap::new());
        let mut commands: VecDeque<TeardownCommand> = machine.step(now_ms, TeardownEvent::Start).into();
        for _ in 0..100_000 {
            let event = match commands.pop_front() {
                Some(TeardownCommand::Call { ticket, call }) => Some(TeardownEvent::Answer { ticket, answer: self.call(now_ms, &call) }),
                Some(TeardownCommand::Ask { ticket, call }) => Some(TeardownEvent::Reply { ticket, reply: self.ask(&call) }),
                Some(TeardownCommand::Timer { timer, at_ms }) => {
                    timers.insert((at_ms, timer), ());
                    None
                }
                Some(TeardownCommand::Warn(text)) => {
                    self.warnings.push(text);
                    None
                }
                Some(TeardownCommand::Finish(result)) => return (result, now_ms),
                None => {
                    let ((at_ms, timer), ()) = timers.pop_first().expect("it waits for something");
                    now_ms = at_ms;
                    Some(TeardownEvent::Timer { timer })
                }
            };
            commands.extend(event.map(|event| machine.step(now_ms, event)).unwrap_or_default());
        }
        panic!("it does not end");
    }

    fn with(workers: &[(&str, u64)]) -> Self {
        let workers = workers.iter().map(|(id, at)| ((*id).to_owned(), *at)).collect();
        Self { workers, head: true, ..Self::default() }
    }
}

#[test]
fn a_head_that_answers_drains_and_the_rest_is_deleted_by_tag() {
    let mut world = World::with(&[("i-1", 0), ("i-2", 0)]);
    assert_eq!(world.run(|_| {}).0, Ok(()));
    assert!(world.workers.is_empty() && world.drained && world.warnings.is_empty());
    assert_eq!(world.fences, [8]);
    assert!(!world.deletes.contains(&"i-head".to_owned()), "the head goes by its own delete");
}

#[test]
fn a_dead_head_changes_only_the_draining() {
    let mut world = World { head: false, ..World::with(&[("i-1", 0)]) };
    assert_eq!(world.run(|_| {}).0, Ok(()));
    assert!(world.workers.is_empty());
    assert_eq!(world.warnings.len(), 1, "{:?}", world.warnings);
    let mut nobody = World::with(&[("i-1", 0)]);
    assert_eq!(nobody.run(|input| input.drain = false).0, Ok(()));
    assert!(nobody.workers.is_empty() && !nobody.drained && nobody.warnings.is_empty());
}

#[test]
fn a_head_that_does_not_get_on_with_draining_is_not_awaited_for_ever() {
    let mut world = World { stuck: true, ..World::with(&[("i-1", 0)]) };
    let (result, ended_ms) = world.run(|_| {});
    assert_eq!(result, Ok(()));
    assert!((DRAIN_TIME_MS_MAX..DRAIN_TIME_MS_MAX + 10_000).contains(&ended_ms), "{ended_ms}");
    assert!(world.workers.is_empty() && world.warnings.len() == 1);
}

#[test]
fn what_appears_late_is_deleted_too() {
    let mut world = World::with(&[("i-1", 0), ("i-late", 9_000)]);
    let (result, ended_ms) = world.run(|input| (input.visibility_ms, input.reads) = (10_000, 3));
    assert_eq!(result, Ok(()));
    assert!(world.workers.is_empty(), "{:?}", world.workers);
    assert!(ended_ms >= 10_000, "{ended_ms}");
    // Without a late one the window has to pass all the same.
    let mut early = World::with(&[]);
    assert!(early.run(|input| (input.visibility_ms, input.reads) = (10_000, 3)).1 >= 10_000);
    assert!(early.searches >= 3);
}

#[test]
fn a_refused_delete_is_tried_again_and_not_for_ever() {
    let mut world = World { refusals: BTreeMap::from([("i-1".to_owned(), 3)]), ..World::with(&[("i-1", 0), ("i-2", 0)]) };
    assert_eq!(world.run(|_| {}).0, Ok(()));
    assert!(world.workers.is_empty());
    let mut never = World { refusals: BTreeMap::from([("i-1".to_owned(), u32::MAX)]), ..World::with(&[("i-1", 0), ("i-2", 0)]) };
    let error = never.run(|_| {}).0.unwrap_err();
    assert_eq!((error.class, error.message.as_str()), (ErrorClass::Permanent, "i-1 cannot be deleted: it is in use"));
    assert!(!never.workers.contains_key("i-2"));
}

#[test]
fn nothing_is_deleted_before_the_fence_is_up() {
    let mut world = World { fence_failures: 3, ..World::with(&[("i-1", 0)]) };
    assert_eq!(world.run(|_| {}).0, Ok(()));
    assert_eq!(world.fences, [8]);
    let mut never = World { fence_failures: u32::MAX, ..World::with(&[("i-1", 0)]) };
    assert_eq!(never.run(|_| {}).0.unwrap_err().code, "slow-down");
    assert!(never.deletes.is_empty());
}

#[test]
fn many_workers_are_not_deleted_all_at_once() {
    let workers: Vec<String> = (0..100).map(|number| format!("i-{number}")).collect();
    let workers: Vec<(&str, u64)> = workers.iter().map(|id| (id.as_str(), 0)).collect();
    let mut machine = Teardown::new(TeardownInput {
        provider: ProviderRef::new("p"),
        kind: "p_instance".into(),
        address: "cluster.c.head_controller".parse().unwrap(),
        uid: UID.to_owned(),
        fence_epoch: 8,
        visibility_ms: 0,
        reads: 1,
        drain: false,
    });
    let mut world = World::with(&workers);
    let mut commands = machine.step(0, TeardownEvent::Start);
    for _ in 0..2 {
        let Some(TeardownCommand::Call { ticket, call }) = commands.first() else { panic!("{commands:?}") };
        let answer = world.call(0, call);
        commands = machine.step(0, TeardownEvent::Answer { ticket: *ticket, answer });
    }
    assert_eq!(commands.len(), DELETES_PARALLELISM_MAX);
    assert_eq!(world.run(|_| {}).0, Ok(()));
    assert!(world.workers.is_empty());
}
