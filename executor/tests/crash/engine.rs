//! What the engine and settlement do, case by case.

use std::sync::Arc;

use cloudtik_executor::durable::{AppendFault, KeyFiles as _};
use cloudtik_executor::engine::{AddressStatus, LINEAGE_TAG, Limits, SettleMode, Summary};
use cloudtik_model::{Graph, ProviderRef, StepKind, Value};
use cloudtik_planner::Action;
use cloudtik_provider_api::{Answer, CLUSTER_TAG, Call, ErrorClass, Verb};
use cloudtik_sim::{EffectKind, Fault, FaultRates, FaultRule};

use crate::rig::{Crash, Goal, How, Life, Rig};
use crate::spec::{Spec, address, reference, resource};

fn rig() -> Rig {
    let mut rig = Rig::new(3, FaultRates::CALM);
    rig.wants_commands = true;
    rig
}

fn goal(graph: Graph) -> Goal {
    Goal::Apply(Arc::new(graph))
}

fn finished(rig: &mut Rig, goal: &Goal) -> Summary {
    match rig.live(goal, None).unwrap() {
        Life::Finished(summary) => *summary,
        other => panic!("{other:?}"),
    }
}

fn status(summary: &Summary, text: &str) -> AddressStatus {
    summary.addresses[&address(text)].status
}

/// A chain of three and one that stands alone.
fn chain() -> Graph {
    Spec::default()
        .add(resource("sim_token.a").set("name", "a"))
        .add(resource("sim_token.b").set("name", "b").set("ref", reference("sim_token.a", "id")))
        .add(resource("sim_token.c").set("name", "c").set("ref", reference("sim_token.b", "id")))
        .add(resource("sim_token.alone").set("name", "alone"))
        .output("c", reference("sim_token.c", "address"))
        .done()
}

#[test]
fn a_thousand_pure_objects_are_a_few_appends() {
    let graph = (0..1000).fold(Spec::default(), |spec, number: u64| {
        let make = resource(&format!("value.v{number}")).set("input", number);
        spec.add(if number.is_multiple_of(10) {
            make
        } else {
            make.set("triggers_replace", reference(&format!("value.v{}", number - 1), "id"))
        })
    });
    let mut rig = rig();
    let summary = finished(&mut rig, &goal(graph.done()));
    assert!(summary.is_ok());
    assert_eq!(summary.counts.created, 1000);
    assert!(rig.log.appends <= 3, "{}", rig.log.appends);
    assert!(rig.log.calls.is_empty());
}

/// Objects of a cluster are fenced by its uid, which no cluster of another project has.
#[test]
fn a_cluster_is_marked_with_its_lineage_and_launched_in_an_epoch_of_its_own() {
    let mut rig = rig();
    let of_cluster = |name: &str| resource(&format!("sim_token.{name}")).set("name", name).mark(CLUSTER_TAG, "w/c");
    finished(&mut rig, &goal(Spec::default().add(of_cluster("a")).done()));
    let tags_of = |rig: &Rig, text: &str| rig.cloud.world.objects_of(&address(text)).next().unwrap().tags.clone();
    let first = tags_of(&rig, "sim_token.a");
    let uid = format!("{}/w/c", first[LINEAGE_TAG]);
    assert_eq!(first[CLUSTER_TAG], uid);

    let fence = Verb::Fence { cluster: uid.clone(), epoch: 70, ends: false };
    rig.cloud.submit(
        0,
        &Call { provider: ProviderRef::new("sim"), address: address("cluster.c"), kind: "fence".into(), verb: fence, limit: None },
    );
    let both = goal(Spec::default().add(of_cluster("a")).add(of_cluster("b")).done());
    let summary = finished(&mut rig, &both);
    assert_eq!(summary.addresses[&address("sim_token.b")].error.as_ref().unwrap().code, "fenced");

    // The repeat is as the first: in the run itself, and in the next one.
    rig.launch_epoch = Some(70);
    rig.cloud.add_rule(FaultRule::next("create", Fault::LostRequest));
    assert!(finished(&mut rig, &both).is_ok());
    rig.limits.tries_max = 1;
    rig.cloud.add_rule(FaultRule::next("create", Fault::LostRequest));
    let marked = of_cluster("d").mark("team", "theirs");
    let all = goal(Spec::default().add(of_cluster("a")).add(of_cluster("b")).add(marked).done());
    rig.marks = [(CLUSTER_TAG.to_owned(), uid.clone()), ("team".to_owned(), "ours".to_owned())].into_iter().collect();
    finished(&mut rig, &all);
    assert_eq!(rig.open_intents(), 1);
    rig.limits = Limits::default();
    rig.live(&all, None).unwrap();
    assert_eq!(rig.open_intents(), 0);
    let tags = tags_of(&rig, "sim_token.d");
    assert_eq!((tags[CLUSTER_TAG].as_str(), tags["team"].as_str()), (uid.as_str(), "ours"), "the run's own marks win, as they are");
}

#[test]
fn a_failure_fails_its_dependents_and_nothing_else() {
    let mut rig = rig();
    let goal = goal(chain());
    rig.cloud.add_rule(FaultRule { address: Some(address("sim_token.b")), ..FaultRule::next("create", Fault::Permanent) });
    let summary = finished(&mut rig, &goal);
    assert_eq!(status(&summary, "sim_token.a"), AddressStatus::Done);
    assert_eq!(status(&summary, "sim_token.alone"), AddressStatus::Done);
    assert_eq!(status(&summary, "sim_token.b"), AddressStatus::Failed);
    assert_eq!(summary.addresses[&address("sim_token.c")].because, Some(address("sim_token.b")));
    assert_eq!((summary.counts.created, summary.counts.failed, summary.counts.skipped), (2, 1, 1));
    assert!(summary.outputs.is_empty() && summary.changed && !summary.is_ok());
    let summary = finished(&mut rig, &goal);
    assert!(summary.is_ok());
    assert_eq!(summary.outputs["c"].value.as_str().map(|text| text.ends_with(".sim")), Some(true));
}

fn in_zones(zones: &[&str]) -> Goal {
    let zones = Value::list(zones.iter().map(|zone| Value::from(*zone)));
    goal(Spec::default().add(resource("sim_token.a[4]").set("name", "a").set("zones", zones)).done())
}

fn zones_of(rig: &Rig) -> Vec<String> {
    let zone = |object: &cloudtik_sim::SimObject| object.attributes.get("zone").and_then(Value::as_str).map(str::to_owned);
    rig.cloud.world.objects.values().filter_map(zone).collect()
}

#[test]
fn where_there_is_no_room_the_next_form_is_tried() {
    let mut rig = rig();
    rig.cloud.add_rule(FaultRule::next("create", Fault::NoRoom));
    assert!(finished(&mut rig, &in_zones(&["x", "y", "z"])).is_ok());
    // The fourth begins at the second.
    assert_eq!(zones_of(&rig), ["z"]);
    assert!(matches!(rig.live(&in_zones(&["x", "y", "z"]), None).unwrap(), Life::NoChange));

    // What is there stays as long as it is one of those that would do.
    let (plan, _) = rig.plan_now(&in_zones(&["z", "w"]));
    assert_eq!(plan.changes[&address("sim_token.a[4]")].action, Action::Update);
    let calls = |rig: &Rig| rig.log.calls.len();
    assert!(finished(&mut rig, &in_zones(&["z", "w"])).is_ok());
    assert_eq!((zones_of(&rig), calls(&rig)), (vec!["z".to_owned()], 0));
    let (plan, _) = rig.plan_now(&in_zones(&["x", "w"]));
    assert_eq!(plan.changes[&address("sim_token.a[4]")].action, Action::Replace);
}

#[test]
fn without_room_anywhere_each_form_is_named() {
    let mut rig = rig();
    (0..3).for_each(|_| rig.cloud.add_rule(FaultRule::next("create", Fault::NoRoom)));
    let summary = finished(&mut rig, &in_zones(&["x", "y", "z"]));
    let error = summary.addresses[&address("sim_token.a[4]")].error.clone().unwrap();
    assert_eq!(error.class, ErrorClass::NoRoom);
    assert_eq!(error.message, "there is no room in any of 3 forms (y: no-room; z: no-room; x: no-room); the last answer: there is no room");
    assert_eq!((rig.open_intents(), rig.cloud.world.objects.len()), (0, 0));
    assert!(finished(&mut rig, &in_zones(&["x", "y", "z"])).is_ok());
    assert_eq!(zones_of(&rig), ["y"]);
}

/// The answer of the second form is lost: it is that call alone which is made again, though the first would have room by now.
#[test]
fn a_repeat_is_of_the_form_that_was_tried() {
    for fault in [Fault::LostAnswer, Fault::LostRequest] {
        let mut rig = rig();
        rig.cloud.add_rule(FaultRule::next("create", Fault::NoRoom));
        rig.cloud.add_rule(FaultRule { skip: 1, ..FaultRule::next("create", fault) });
        assert!(finished(&mut rig, &in_zones(&["x", "y", "z"])).is_ok());
        assert_eq!(zones_of(&rig), ["z"], "{fault:?}");
    }
}

#[test]
fn what_had_no_effect_is_tried_again_as_it_was() {
    for fault in [Fault::Throttled, Fault::Transient] {
        let mut rig = rig();
        for skip in 0..3 {
            let rule = FaultRule { address: Some(address("sim_token.a")), skip, ..FaultRule::next("create", fault) };
            rig.cloud.add_rule(FaultRule { skip: 0, ..rule });
        }
        let summary = finished(&mut rig, &goal(chain()));
        assert!(summary.is_ok());
        let tries = rig.log.calls.iter().filter(|(verb, of)| *verb == "create" && of == "sim_token.a").count();
        assert_eq!(tries, 4);
        assert_eq!(rig.cloud.world.audit.iter().filter(|effect| effect.kind == EffectKind::Created).count(), 4);
    }
}

#[test]
fn tries_come_to_an_end() {
    let mut rig = rig();
    rig.limits.tries_max = 3;
    for _ in 0..3 {
        rig.cloud.add_rule(FaultRule { address: Some(address("sim_token.a")), ..FaultRule::next("create", Fault::Transient) });
    }
    let summary = finished(&mut rig, &goal(chain()));
    assert_eq!(summary.addresses[&address("sim_token.a")].error.as_ref().unwrap().class, ErrorClass::Transient);
    assert_eq!(rig.open_intents(), 0);
}

#[test]
fn an_answer_that_never_comes_leaves_the_intent_open_for_the_next_run() {
    let mut rig = rig();
    let graph = goal(Spec::default().add(resource("sim_tagged.a").set("name", "a")).done());
    rig.limits.tries_max = 2;
    rig.limits.settle_tries_max = 1;
    rig.cloud.add_rule(FaultRule::next("create", Fault::LostAnswer));
    rig.cloud.add_rule(FaultRule::next("find_by_tag", Fault::Transient));
    let summary = finished(&mut rig, &graph);
    assert_eq!(status(&summary, "sim_tagged.a"), AddressStatus::Failed);
    assert_eq!(rig.open_intents(), 1);
    // The next run adopts what was made.
    assert!(matches!(rig.live(&graph, None).unwrap(), Life::NoChange));
    assert_eq!(rig.cloud.world.objects.len(), 1);
    assert_eq!(rig.open_intents(), 0);
}

#[test]
fn an_answer_that_is_not_what_was_asked_is_an_error_and_the_object_is_made_anew() {
    let mut rig = rig();
    let graph = goal(Spec::default().add(resource("sim_token.a").set("name", "a").set("size", 3_u64)).done());
    rig.tamper = Some(|answer| {
        if let Answer::Object(object) = answer {
            let mut entries = object.attributes.entries().cloned().unwrap();
            entries.insert("size".into(), 4_u64.into());
            object.attributes = Value::object(entries);
        }
    });
    let summary = finished(&mut rig, &graph);
    let error = summary.addresses[&address("sim_token.a")].error.clone().unwrap();
    assert_eq!(error.message, "the provider gave 4 for `size` where the plan said 3");
    assert_eq!(error.class, ErrorClass::Permanent);
    rig.tamper = None;
    let (plan, _) = rig.plan_now(&graph);
    assert_eq!(plan.changes[&address("sim_token.a")].action, Action::Replace);
    assert!(finished(&mut rig, &graph).is_ok());
    assert_eq!(rig.cloud.world.objects.len(), 1);
}

#[test]
fn without_the_journal_no_call_is_made() {
    let mut rig = rig();
    rig.backend.journal.inject(AppendFault::Lost);
    let summary = finished(&mut rig, &goal(chain()));
    assert!(summary.aborted.is_some() && !summary.is_ok());
    assert!(rig.log.calls.is_empty());
    assert!(rig.cloud.world.objects.is_empty());
}

#[test]
fn limits_hold() {
    let graph = || goal((0..60).fold(Spec::default(), |spec, n| spec.add(resource(&format!("sim_token.r{n}")).set("name", "x"))).done());
    let mut rig = rig();
    assert!(finished(&mut rig, &graph()).is_ok());
    assert_eq!(rig.log.most["sim_token"], 8);
    let mut rig = Rig::new(3, FaultRates::CALM);
    rig.limits.parallelism = 3;
    assert!(finished(&mut rig, &graph()).is_ok());
    assert_eq!(rig.log.most["all"], 3);
    let mut rig = Rig::new(3, FaultRates::CALM);
    let slow = cloudtik_executor::engine::TokenBucketLimit { burst: 10, per_second: 10 };
    rig.limits.rates.insert(("sim".to_owned(), "create".to_owned()), slow);
    let began_ms = rig.now_ms;
    assert!(finished(&mut rig, &graph()).is_ok());
    assert!((5_000..7_000).contains(&(rig.now_ms - began_ms)), "60 calls, 10 at once and 10 a second, took {}", rig.now_ms - began_ms);
}

#[test]
fn the_longest_chain_goes_first() {
    let mut rig = rig();
    rig.limits.parallelism = 1;
    finished(&mut rig, &goal(chain()));
    let order: Vec<&str> = rig.log.calls.iter().map(|(_, of)| of.as_str()).collect();
    assert_eq!(order, ["sim_token.a", "sim_token.b", "sim_token.alone", "sim_token.c"]);
}

#[test]
fn the_same_events_give_the_same_commands() {
    let log = || {
        let mut rig = Rig::new(5, FaultRates::STORMY);
        rig.wants_commands = true;
        rig.live(&goal(crate::spec::before()), None).unwrap();
        rig.log.commands
    };
    assert_eq!(log(), log());
}

fn node(script: &str) -> Goal {
    let spec = Spec::default().add(resource("sim_instance.n").set("name", "n"));
    let spec = spec.step("sim_instance.n.host_key", "sim_instance.n", StepKind::HostKey, &[], &[]);
    let run = [("script", Value::from(script)), ("undo", "stop".into())];
    goal(spec.step("sim_instance.n.start", "sim_instance.n", StepKind::Run, &run, &["sim_instance.n.host_key"]).done())
}

#[test]
fn a_step_knows_its_node_and_its_host_key() {
    let mut rig = rig();
    assert!(finished(&mut rig, &node("start")).is_ok());
    let steps: Vec<&String> = rig.log.commands.iter().filter(|command| command.starts_with("RunStep")).collect();
    assert!(steps[0].contains("host_key: None") && steps[0].contains("public run1-1 host_key"), "{}", steps[0]);
    assert!(steps[1].contains("host_key: Some(\"ssh-ed25519 sim-"), "{}", steps[1]);
    assert!(!rig.log.commands.iter().any(|command| command.contains("private run1-1")));
    assert!(rig.plan_now(&node("start")).1 == 0);
}

#[test]
fn a_step_that_fails_is_not_done_and_runs_again() {
    let mut rig = rig();
    let summary = finished(&mut rig, &node("exit 3"));
    assert_eq!(summary.addresses[&address("sim_instance.n.start")].error.as_ref().unwrap().code, "step-failed");
    let summary = finished(&mut rig, &node("start"));
    assert!(summary.is_ok());
    assert_eq!(summary.counts.run, 1);
    // Taken out of the spec it is undone.
    let summary = finished(&mut rig, &goal(Spec::default().add(resource("sim_instance.n").set("name", "n")).done()));
    assert_eq!((summary.is_ok(), summary.counts.undone), (true, 1));
}

/// A world whose first run crashed when the create of one object was out.
fn crashed(kind: &str, how: How) -> (Rig, Goal) {
    let mut rig = rig();
    let goal = goal(Spec::default().add(resource(&format!("{kind}.a")).set("name", "a")).done());
    for at in 0.. {
        if rig.cloud.world.objects.len() == 1 {
            break;
        }
        rig = Rig::new(3, FaultRates::CALM);
        assert!(matches!(rig.live(&goal, Some(Crash { at, how })).unwrap(), Life::Crashed { .. }));
    }
    assert_eq!(rig.open_intents(), 1);
    (rig, goal)
}

#[test]
fn a_plan_settles_by_looking_only() {
    for kind in ["sim_token", "sim_tagged", "sim_named", "sim_natural", "sim_instance"] {
        let (mut rig, _) = crashed(kind, How::Lost);
        let (report, log) = rig.settle(SettleMode::Plan);
        assert!(report.settled[0].adopted, "{kind}: {report:?}");
        assert!(log.calls.iter().all(|(verb, _)| verb.starts_with("find")), "{kind}: {:?}", log.calls);
        assert_eq!((log.appends, report.started, rig.open_intents()), (0, false, 1), "{kind}");
        // Nothing there: the note says so.
        rig.cloud.world.objects.clear();
        let (report, _) = rig.settle(SettleMode::Plan);
        assert!(!report.settled[0].adopted && report.unsettled.is_empty(), "{kind}: {report:?}");
        assert!(report.settled[0].text.contains("an interrupted run left it open"));
    }
}

#[test]
fn a_repeat_whose_secret_is_gone_is_no_repeat() {
    let (mut rig, goal) = crashed("sim_instance", How::Lost);
    rig.backend.keys.remove("run1-1-host_key").unwrap();
    let (report, log) = rig.settle(SettleMode::Apply);
    assert!(report.settled[0].adopted && report.started);
    assert_eq!(log.calls, [("find_by_tag", "sim_instance.a".to_owned())]);
    assert!(matches!(rig.live(&goal, None).unwrap(), Life::NoChange));
}

#[test]
fn a_name_in_other_hands_is_said_to_be() {
    let (mut rig, goal) = crashed("sim_named", How::Lost);
    let object = rig.cloud.world.objects.values_mut().next().unwrap();
    object.tags.clear();
    let (report, _) = rig.settle(SettleMode::Apply);
    assert!(report.settled[0].text.contains("is taken by an object that is not of this project"), "{report:?}");
    let summary = finished(&mut rig, &goal);
    assert_eq!(summary.addresses[&address("sim_named.a")].error.as_ref().unwrap().class, ErrorClass::Conflict);
}
