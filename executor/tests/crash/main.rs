//! The engine crashes at every event of a plan of about 50 resources of all classes, with lost answers and torn writes, and each time the
//! next runs bring the world to what was planned: nothing twice, nothing orphaned, nothing left to do. Two engines that break their promise
//! are caught.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test ends with a panic, its helpers too"
)]

#[path = "engine.rs"]
mod engine;
#[path = "rig.rs"]
mod rig;
#[path = "spec.rs"]
mod spec;
#[path = "together.rs"]
mod together;

use std::sync::Arc;

use cloudtik_executor::engine::{AddressStatus, Broken};
use cloudtik_sim::{Fault, FaultRates, FaultRule, Random};

use rig::{Crash, Goal, How, Life, Promise, Rig};

/// Runs that may follow a crash before it must be over.
const LIVES_MAX: usize = 4;

/// A world in which `before` was applied.
fn settled_world() -> Rig {
    let mut rig = Rig::new(1, FaultRates::CALM);
    let life = rig.live(&Goal::Apply(Arc::new(spec::before())), None).unwrap();
    let Life::Finished(summary) = life else { panic!("{life:?}") };
    assert!(
        summary.is_ok(),
        "{:#?}",
        summary.addresses.iter().filter(|(_, result)| result.status != AddressStatus::Done).collect::<Vec<_>>()
    );
    rig
}

/// What became of a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Crash,
    /// It would have been the same as another.
    Same,
    /// It came too late.
    NoCrash,
}

/// Crashes once, and lives on until there is nothing left to do.
fn crash_and_recover(rig: &mut Rig, promise: &Promise, goal: &Goal, crash: Crash) -> Result<After, String> {
    let first = rig.live(goal, Some(crash))?;
    let after = match first {
        // Without something that was being written these are no different from the first.
        Life::Crashed { writing: false } if matches!(crash.how, How::Torn | How::Unacknowledged) => return Ok(After::Same),
        Life::Crashed { .. } => After::Crash,
        Life::Finished(_) | Life::NoChange => After::NoCrash,
    };
    let mut ok = matches!(&first, Life::Finished(summary) if summary.is_ok());
    for _ in 0..LIVES_MAX {
        if ok {
            break;
        }
        ok = match rig.live(goal, None)? {
            Life::Finished(summary) => summary.is_ok(),
            Life::NoChange => true,
            Life::Crashed { .. } => return Err("it crashed by itself".to_owned()),
        };
    }
    if !ok {
        return Err("it does not come to an end".to_owned());
    }
    promise.check(rig).map(|()| after)
}

/// Crashes at every event of a goal. Returns the number of crashes.
fn at_every_event(base: &Rig, goal: &Goal, prepare: impl Fn(&mut Rig)) -> Result<usize, String> {
    let promise = Promise::new(&mut base.fork(7, FaultRates::CALM), goal);
    let mut crashes = 0;
    for how in How::ALL {
        for at in 0.. {
            let mut rig = base.fork(7, FaultRates::CALM);
            prepare(&mut rig);
            match crash_and_recover(&mut rig, &promise, goal, Crash { at, how }) {
                Ok(After::Crash) => crashes += 1,
                Ok(After::Same) => {}
                Ok(After::NoCrash) => break,
                Err(what) => return Err(format!("crash after event {at}, {how:?}: {what}")),
            }
        }
    }
    Ok(crashes)
}

fn goals() -> [(&'static str, Rig, Goal); 3] {
    let change = Goal::Apply(Arc::new(spec::after()));
    [
        ("create", Rig::new(2, FaultRates::CALM), Goal::Apply(Arc::new(spec::before()))),
        ("change", settled_world(), change),
        ("destroy", settled_world(), Goal::Destroy),
    ]
}

#[test]
fn a_crash_at_every_event_converges() {
    let (plan, _) = settled_world().plan_now(&Goal::Apply(Arc::new(spec::after())));
    assert!(plan.changes.len() >= 50, "{}", plan.changes.len());
    let crashes: usize = std::thread::scope(|scope| {
        let runs = goals().map(|(name, base, goal)| {
            scope.spawn(move || {
                let crashes = at_every_event(&base, &goal, |_| {}).unwrap_or_else(|what| panic!("{name}: {what}"));
                println!("{name}: {crashes} crash points");
                crashes
            })
        });
        runs.map(|run| run.join().unwrap()).into_iter().sum()
    });
    println!("{crashes} crash points in all");
    assert!(crashes > 700, "{crashes}");
}

/// After a crash the first form may have room that it had not before: what was made in another one is not made twice.
#[test]
fn a_crash_between_two_forms_converges() {
    let zones = || cloudtik_model::Value::list(["x", "y", "z"].map(cloudtik_model::Value::from));
    let all = (0..3)
        .fold(spec::Spec::default(), |all, n| all.add(spec::resource(&format!("sim_token.t[{n}]")).set("name", "t").set("zones", zones())));
    let goal = Goal::Apply(Arc::new(all.done()));
    let no_room = |rig: &mut Rig| (0..4).for_each(|_| rig.cloud.add_rule(FaultRule::next("create", Fault::NoRoom)));
    let crashes = at_every_event(&Rig::new(2, FaultRates::CALM), &goal, no_room).unwrap_or_else(|what| panic!("{what}"));
    assert!(crashes > 40, "{crashes}");
}

#[test]
fn every_answer_and_every_request_may_be_lost() {
    let base = settled_world();
    let goal = Goal::Apply(Arc::new(spec::after()));
    let promise = Promise::new(&mut base.fork(7, FaultRates::CALM), &goal);
    let verbs = ["create", "update", "delete", "run_step"];
    for (verb, fault) in verbs.into_iter().flat_map(|verb| [(verb, Fault::LostAnswer), (verb, Fault::LostRequest)]) {
        let mut calls = 0;
        for skip in 0.. {
            let mut rig = base.fork(7, FaultRates::CALM);
            rig.cloud.add_rule(FaultRule { skip, ..FaultRule::next(verb, fault) });
            let life = rig.live(&goal, None).unwrap();
            if !rig.cloud.is_script_done() {
                break;
            }
            calls += 1;
            let Life::Finished(summary) = life else { panic!("{life:?}") };
            assert!(summary.is_ok(), "{verb} {fault:?} {skip}: {:?}", summary.addresses.values().find(|result| result.error.is_some()));
            promise.check(&mut rig).unwrap_or_else(|what| panic!("{verb} {fault:?} {skip}: {what}"));
        }
        assert!(calls > 3, "{verb}: {calls}");
    }
}

#[test]
fn bad_weather_and_several_crashes() {
    let base = settled_world();
    let seed = std::env::var("CLOUDTIK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seed.map_or(1..31, |seed| seed..seed + 1) {
        let mut random = Random::new(seed);
        let mut rig = base.fork(seed, FaultRates::STORMY);
        let goal = if random.chance(700) { Goal::Apply(Arc::new(spec::after())) } else { Goal::Destroy };
        let promise = Promise::new(&mut rig, &goal);
        let mut crashes = 0;
        for _ in 0..4 {
            let how = How::ALL[usize::try_from(random.below(4)).unwrap()];
            let at = usize::try_from(random.below(150)).unwrap();
            rig.interrupt_at = random.chance(200).then_some(at / 2);
            let life = rig.live(&goal, Some(Crash { at, how })).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
            crashes += usize::from(matches!(life, Life::Crashed { .. }));
        }
        rig.interrupt_at = None;
        let mut last = Life::NoChange;
        for _ in 0..LIVES_MAX {
            last = rig.live(&goal, None).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        }
        if let Life::Finished(summary) = &last {
            let errors: Vec<_> = summary.addresses.iter().filter(|(_, result)| result.error.is_some()).collect();
            panic!("seed {seed}: it does not come to an end after {crashes} crashes: {errors:#?}");
        }
        promise.check(&mut rig).unwrap_or_else(|what| panic!("seed {seed}, {crashes} crashes: {what}"));
    }
}

#[test]
fn an_interrupt_at_any_event_loses_nothing() {
    let base = settled_world();
    let goal = Goal::Apply(Arc::new(spec::after()));
    let promise = Promise::new(&mut base.fork(7, FaultRates::CALM), &goal);
    for at in (1..).step_by(3) {
        let mut rig = base.fork(7, FaultRates::CALM);
        rig.interrupt_at = Some(at);
        let Life::Finished(summary) = rig.live(&goal, None).unwrap() else { panic!("event {at}") };
        assert_eq!(rig.open_intents(), 0, "event {at}: what ran was not brought to its end");
        if !summary.interrupted {
            assert!(at > 50);
            return;
        }
        rig.interrupt_at = None;
        rig.live(&goal, None).unwrap();
        promise.check(&mut rig).unwrap_or_else(|what| panic!("event {at}: {what}"));
    }
}

#[test]
fn an_engine_without_intents_is_caught() {
    let base = Rig::new(2, FaultRates::CALM);
    let goal = Goal::Apply(Arc::new(spec::before()));
    let caught = at_every_event(&base, &goal, |rig| rig.broken = Broken::SkipIntent).unwrap_err();
    println!("{caught}");
}

#[test]
fn an_engine_that_writes_outcomes_before_calls_is_caught() {
    let base = settled_world();
    let caught = at_every_event(&base, &Goal::Destroy, |rig| rig.broken = Broken::OutcomeBeforeCall).unwrap_err();
    println!("{caught}");
}
