//! The daemon dies at each of its crash points in turn, while a cluster of everything is made and removed.

use std::collections::BTreeMap;
use std::future::Future;

use cloudtik_local::protocol::{CreateRequest, ErrorClass, Form, Object, Outcome};
use cloudtik_local::{Client, LocalError};

use super::stage::{Stage, UP, instance_of, run};

/// Well above what the scenario passes: the last runs must not die at all, which shows that every point was met.
const POINTS_MAX: u64 = 60;

/// Runs at once; each has a local cloud of its own.
const RUNS_AT_ONCE: u64 = 4;

pub(super) fn every_point(form: Form) {
    let mut died = 0;
    for first in (1..=POINTS_MAX).step_by(usize::try_from(RUNS_AT_ONCE).unwrap()) {
        let runs: Vec<_> = (first..first + RUNS_AT_ONCE).map(|point| std::thread::spawn(move || dies_at(form, point))).collect();
        let results: Vec<bool> = runs.into_iter().map(|run| run.join().unwrap()).collect();
        died += results.iter().filter(|died| **died).count();
        if results.contains(&false) {
            // 4 creates of 4 points and 2 more for the launch, a dial, a fence and a status of 2 each, 4 deletes of 4.
            assert_eq!(died, 40, "crash points were met");
            return;
        }
    }
    panic!("the scenario has more than {POINTS_MAX} crash points");
}

/// One run. Returns whether it came to the point.
fn dies_at(form: Form, point: u64) -> bool {
    let mut died = false;
    run(async {
        let stage = Stage::with(form, |options| options.die_after_events = Some(point));
        scenario(&stage).await;
        let addresses = ["local_bucket.b", "local_firewall.f", "local_instance.i", "local_network.n"];
        let one_each: BTreeMap<String, usize> = addresses.map(|address| (address.to_owned(), 1)).into();
        assert_eq!(stage.creates(), one_each, "crash point {point}");
        let sequences: Vec<u64> = stage.audit().iter().map(|entry| entry.sequence).collect();
        assert!(sequences.is_sorted_by(|one, other| one < other), "crash point {point}: {sequences:?}");
        let deleted = stage.audit().iter().filter(|entry| entry.verb == "delete" && entry.outcome == Outcome::Done).count();
        assert_eq!(deleted, 4, "crash point {point}");
        died = stage.client.options().state_dir.join("died-as-told").exists();
        stage.nothing_is_left().await;
    });
    died
}

async fn scenario(stage: &Stage) {
    let client = &stage.client;
    let network = made(stage, stage.network("n")).await;
    let firewall = made(stage, stage.firewall("f", Some(&network.id))).await;
    let bucket = made(stage, stage.bucket("b", "logs")).await;
    let node = made(stage, stage.instance("i", &network.id)).await;
    let port = instance_of(&node).ssh_port;
    retried(|| client.dial(&node.id, port, UP)).await.unwrap();
    let values = BTreeMap::from([("status".to_owned(), Some("ready".to_owned()))]);
    retried(|| client.set_metadata(&node.id, values.clone())).await.unwrap();
    retried(|| client.fence("cluster-1", 2)).await.unwrap();
    for object in [&node, &bucket, &firewall, &network] {
        match retried(|| client.delete(&object.id, "op-delete")).await {
            Ok(()) => {}
            // It was done when the answer was lost.
            Err(error) => assert_eq!(error.class(), ErrorClass::Gone, "{error}"),
        }
    }
}

async fn made(stage: &Stage, request: CreateRequest) -> Object {
    let client: &Client = &stage.client;
    retried(|| client.create(request.clone())).await.unwrap()
}

/// Repeats a call once after its answer was lost, as an engine does after settlement.
async fn retried<T, F: Future<Output = Result<T, LocalError>>>(call: impl Fn() -> F) -> Result<T, LocalError> {
    match call().await {
        Err(LocalError::Broken(_)) => call().await,
        other => other,
    }
}
