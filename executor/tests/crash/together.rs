//! Creates that are one call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_executor::engine::{AddressStatus, Summary, TokenBucketLimit};
use cloudtik_model::Value;
use cloudtik_sim::{Fault, FaultRates, FaultRule};

use crate::rig::{Crash, Goal, How, Life, Promise, Rig};
use crate::spec::{Spec, address, resource};
use crate::{After, at_every_event, crash_and_recover};

/// So many objects of a block, which may be in these zones.
fn some(objects: u64, zones: &[&str]) -> Spec {
    let zones = Value::list(zones.iter().map(|zone| Value::from(*zone)));
    let make = |n: u64| resource(&format!("sim_token.t[{n}]")).set("name", format!("t-{n}")).set("zones", zones.clone());
    (0..objects).fold(Spec::default(), |spec, n| spec.add(make(n)))
}

/// The same, and nodes, whose calls have a secret.
fn with_nodes(objects: u64, zones: &[&str]) -> Goal {
    let nodes = |spec: Spec, n: u64| spec.add(resource(&format!("sim_instance.n[{n}]")).set("name", format!("n-{n}")));
    Goal::Apply(Arc::new((0..3).fold(some(objects, zones), nodes).done()))
}

fn goal(objects: u64, zones: &[&str]) -> Goal {
    Goal::Apply(Arc::new(some(objects, zones).done()))
}

fn finished(rig: &mut Rig, goal: &Goal) -> Summary {
    match rig.live(goal, None).unwrap() {
        Life::Finished(summary) => *summary,
        other => panic!("{other:?}"),
    }
}

/// The numbers that each call was for, as the marks of what it made say.
fn calls(rig: &Rig) -> BTreeMap<String, BTreeSet<String>> {
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in rig.cloud.world.objects.values() {
        let call = object.tags["cloudtik:op"].rsplit_once('.').map_or(object.tags["cloudtik:op"].clone(), |(call, _)| call.to_owned());
        calls.entry(call).or_default().insert(object.tags["cloudtik:address"].clone());
    }
    calls
}

fn zones(rig: &Rig) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for object in rig.cloud.world.objects.values() {
        *zones.entry(object.attributes.get("zone").and_then(Value::as_str).unwrap().to_owned()).or_default() += 1;
    }
    zones
}

#[test]
fn what_is_alike_and_begins_together_is_one_call() {
    let mut rig = Rig::new(3, FaultRates::CALM);
    rig.wants_commands = true;
    assert!(finished(&mut rig, &goal(10, &["x", "y"])).is_ok());
    // Half of them in each zone, which is another call. A limit of eight at once does not part them.
    let calls = calls(&rig);
    assert_eq!(calls.values().map(BTreeSet::len).collect::<Vec<_>>(), [5, 5], "{calls:?}");
    assert_eq!(zones(&rig), BTreeMap::from([("x".to_owned(), 5), ("y".to_owned(), 5)]));
    for object in rig.cloud.world.objects.values() {
        let number = object.tags["cloudtik:address"].trim_start_matches("sim_token.t[").trim_end_matches(']').to_owned();
        assert_eq!(object.attributes.get("name").and_then(Value::as_str), Some(format!("t-{number}").as_str()));
    }
    // All intents are durable before the first call.
    let appends = rig.log.commands.iter().filter(|command| command.starts_with("Append") && command.contains("Intent"));
    assert_eq!(appends.count(), 1);
    assert!(matches!(rig.live(&goal(10, &["x", "y"]), None).unwrap(), Life::NoChange));
}

/// Whoever makes calls sends one request for those that come together: the rate holds for those, also where they are repeated.
#[test]
fn those_that_are_one_call_have_one_turn() {
    let mut rig = Rig::new(3, FaultRates::CALM);
    rig.limits.rates.insert(("sim".to_owned(), "create".to_owned()), TokenBucketLimit { burst: 1, per_second: 1 });
    (0..12).for_each(|_| rig.cloud.add_rule(FaultRule::next("create", Fault::Throttled)));
    assert!(finished(&mut rig, &goal(12, &["x"])).is_ok());
    let mut requests: BTreeMap<u64, usize> = BTreeMap::new();
    rig.log.call_times.iter().for_each(|at_ms| *requests.entry(*at_ms).or_default() += 1);
    assert_eq!(requests.values().copied().collect::<Vec<_>>(), [6; 4], "two calls, each of them twice: {requests:?}");
    let times: Vec<u64> = requests.into_keys().collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{times:?}");
}

#[test]
fn what_is_not_alike_or_too_much_is_a_call_of_its_own() {
    let mut rig = Rig::new(3, FaultRates::CALM);
    let odd = resource("sim_token.t[20]").set("name", "t-20").set("zones", Value::list(["x".into()])).set("size", 2_u64);
    let named = resource("sim_token.t[\"a\"]").set("name", "t").set("zones", Value::list(["x".into()]));
    let spec = some(7, &["x"]).add(odd).add(named);
    assert!(finished(&mut rig, &Goal::Apply(Arc::new(spec.done()))).is_ok());
    let mut sizes: Vec<usize> = calls(&rig).values().map(BTreeSet::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1, 1, 6], "six are the most that one call makes");
}

#[test]
fn those_without_room_go_on_together() {
    let mut rig = Rig::new(3, FaultRates::CALM);
    rig.cloud.add_rule(FaultRule::next("create", Fault::RoomFor(2)));
    let summary = finished(&mut rig, &goal(6, &["x"]));
    // There is one form only, which those who were in company try once more, alone.
    assert!(summary.is_ok(), "{:?}", summary.addresses);
    assert_eq!(calls(&rig).values().map(BTreeSet::len).max(), Some(2));

    let mut rig = Rig::new(3, FaultRates::CALM);
    // The first ones begin at x and the others at y: of each call there is room for one.
    for first in ["sim_token.t[0]", "sim_token.t[1]"] {
        rig.cloud.add_rule(FaultRule { address: Some(address(first)), ..FaultRule::next("create", Fault::RoomFor(1)) });
    }
    assert!(finished(&mut rig, &goal(8, &["x", "y"])).is_ok());
    let sizes: BTreeSet<usize> = calls(&rig).values().map(BTreeSet::len).collect();
    assert_eq!((sizes, zones(&rig)["x"], zones(&rig)["y"]), (BTreeSet::from([1, 3]), 4, 4));
}

/// An account may have room for some where it has none for all of them.
#[test]
fn without_room_for_all_each_tries_alone() {
    let mut rig = Rig::new(3, FaultRates::CALM);
    rig.cloud.add_rule(FaultRule::next("create", Fault::NoRoom));
    assert!(finished(&mut rig, &goal(4, &["x"])).is_ok());
    assert_eq!(calls(&rig).len(), 4);
    let mut rig = Rig::new(3, FaultRates::CALM);
    (0..20).for_each(|_| rig.cloud.add_rule(FaultRule::next("create", Fault::NoRoom)));
    let summary = finished(&mut rig, &goal(3, &["x", "y"]));
    let error = summary.addresses[&address("sim_token.t[0]")].error.clone().unwrap();
    assert!(error.message.starts_with("there is no room in any of 2 forms (x: no-room; y: no-room)"), "{}", error.message);
    assert_eq!((rig.open_intents(), rig.cloud.world.objects.len()), (0, 0));
}

#[test]
fn a_crash_at_every_event_makes_nothing_twice_and_leaves_nothing() {
    let weathers: [(&str, &[Fault]); 7] = [
        ("fair", &[]),
        ("no room", &[Fault::NoRoom]),
        ("some room", &[Fault::RoomFor(2), Fault::RoomFor(1)]),
        ("lost answers", &[Fault::LostAnswer, Fault::LostAnswer]),
        ("lost requests", &[Fault::LostRequest, Fault::LostRequest, Fault::LostRequest]),
        ("throttled", &[Fault::Throttled, Fault::Throttled]),
        ("a lost answer of a part", &[Fault::RoomFor(2), Fault::LostAnswer]),
    ];
    std::thread::scope(|scope| {
        for (name, faults) in weathers {
            scope.spawn(move || {
                let prepare = |rig: &mut Rig| faults.iter().for_each(|fault| rig.cloud.add_rule(FaultRule::next("create", *fault)));
                let base = Rig::new(2, FaultRates::CALM);
                let crashes = at_every_event(&base, &with_nodes(7, &["x", "y"]), prepare).unwrap_or_else(|what| panic!("{name}: {what}"));
                assert!(crashes > 40, "{name}: {crashes}");
            });
        }
    });
}

/// Two crashes: one while the calls are out, the other one while it is settled what became of them.
#[test]
fn a_crash_of_the_settlement_leaves_nothing_either() {
    let base = Rig::new(2, FaultRates::CALM);
    let goal = with_nodes(4, &["x"]);
    let promise = Promise::new(&mut base.fork(7, FaultRates::CALM), &goal);
    let mut crashes = 0;
    for first in (4..40).step_by(3) {
        for second in 0..14 {
            let mut rig = base.fork(7, FaultRates::CALM);
            rig.cloud.add_rule(FaultRule::next("create", Fault::RoomFor(2)));
            rig.cloud.add_rule(FaultRule { skip: 4, ..FaultRule::next("create", Fault::NoRoom) });
            rig.live(&goal, Some(Crash { at: first, how: How::Unacknowledged })).unwrap();
            let after = crash_and_recover(&mut rig, &promise, &goal, Crash { at: second, how: How::Lost });
            crashes += usize::from(after.unwrap_or_else(|what| panic!("{first}, {second}: {what}")) == After::Crash);
        }
    }
    assert!(crashes > 60, "{crashes}");
}

/// Where it is not known what a call did, and others may still make it, nobody says that nothing comes of it.
#[test]
fn tries_that_come_to_an_end_leave_open_what_others_may_make() {
    let mut rig = Rig::new(3, FaultRates::CALM);
    rig.limits.tries_max = 1;
    rig.cloud.add_rule(FaultRule { address: Some(address("sim_token.t[1]")), ..FaultRule::next("create", Fault::Throttled) });
    let summary = finished(&mut rig, &goal(3, &["x"]));
    assert_eq!(summary.addresses[&address("sim_token.t[1]")].status, AddressStatus::Failed);
    assert_eq!((rig.open_intents(), rig.cloud.world.objects.len()), (1, 3));
    rig.limits.tries_max = 10;
    assert!(matches!(rig.live(&goal(3, &["x"]), None).unwrap(), Life::NoChange));
    assert_eq!((rig.open_intents(), rig.cloud.world.objects.len()), (0, 3));
}

#[test]
fn an_interrupt_at_any_event_makes_nothing_that_nobody_waits_for() {
    let base = Rig::new(2, FaultRates::CALM);
    let goal = with_nodes(7, &["x", "y"]);
    let promise = Promise::new(&mut base.fork(7, FaultRates::CALM), &goal);
    for at in 1..60 {
        let mut rig = base.fork(7, FaultRates::CALM);
        rig.cloud.add_rule(FaultRule::next("create", Fault::RoomFor(2)));
        rig.cloud.add_rule(FaultRule::next("create", Fault::Throttled));
        rig.interrupt_at = Some(at);
        rig.live(&goal, None).unwrap();
        rig.interrupt_at = None;
        for _ in 0..3 {
            rig.live(&goal, None).unwrap();
        }
        promise.check(&mut rig).unwrap_or_else(|what| panic!("event {at}: {what}"));
    }
}

#[test]
fn an_intent_says_its_place() {
    let mut rig = Rig::new(3, FaultRates::CALM);
    rig.wants_commands = true;
    finished(&mut rig, &goal(2, &["x"]));
    let text = rig.log.commands.iter().find(|command| command.contains("Intent")).unwrap();
    assert!(text.contains("numbers: [0, 1], index: 0") && text.contains("numbers: [0, 1], index: 1"), "{text}");
}
