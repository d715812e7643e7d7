//! `examples/quickstart` from end to end, in both forms of the local cloud: made, used on every worker, left alone, a worker and the
//! controller killed, the head lost and made again around its workers, removed without a trace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use support::quickstart::{APPLY, Quickstart, WORKERS, base64, put_request, workers_of};
use support::stage::{Form, post};

#[test]
fn as_root_in_namespaces() {
    if support::is_root() {
        quickstart(Form::Namespaces);
    } else {
        support::cannot_run("`examples/quickstart` in namespaces", "it needs root");
    }
}

#[test]
fn as_a_user_without_rights() {
    quickstart(Form::Plain);
}

fn quickstart(form: Form) {
    let cluster = Quickstart::new(form);
    let ran = cluster.stage.expect(0, &APPLY);
    println!("{form:?}: apply took {:.1} s", ran.took.as_secs_f64());
    assert_eq!(cluster.stage.expect(0, &["output", "--raw", "store"]).stdout.trim(), cluster.url);
    it_answers(&cluster);
    it_is_left_alone(&cluster);
    it_tells_how_it_stands(&cluster);
    a_worker_dies(&cluster);
    the_controller_dies(&cluster);
    the_head_is_lost(&cluster);
    assert_eq!(cluster.twice(), Vec::<String>::new());
    cluster.destroy();
}

/// etcd takes and gives on every worker, and through nginx.
fn it_answers(cluster: &Quickstart) {
    cluster.settled(3);
    let workers = cluster.workers();
    assert_eq!(workers.len(), 3, "{workers:?}");
    for (address, worker) in &workers {
        let put = cluster.etcdctl(address, worker, &format!("put by-{} here", worker.id));
        assert_eq!((put.code(), put.stdout.trim()), (Some(0), "OK"), "{address}: {}", put.text());
    }
    for (address, worker) in &workers {
        for other in workers.values() {
            let got = cluster.etcdctl(address, worker, &format!("get by-{} --print-value-only", other.id));
            assert_eq!(got.stdout.trim(), "here", "{address}: {}", got.text());
        }
    }
    let limit = Duration::from_secs(10);
    assert!(post(&format!("{}/v3/kv/put", cluster.url), &put_request("before", "it all"), limit).is_some());
    let range = serde_json::json!({ "key": base64("before") });
    let got = post(&format!("{}/v3/kv/range", cluster.url), &range, limit).unwrap();
    assert_eq!(got["kvs"][0]["value"], base64("it all"), "{got}");
    well(cluster);
}

#[track_caller]
fn well(cluster: &Quickstart) {
    cluster.is_well(3, Some(("before", "it all")));
}

fn it_is_left_alone(cluster: &Quickstart) {
    cluster.settled(3);
    // The controller may still publish what it did last.
    std::thread::sleep(Duration::from_secs(1));
    let entries = cluster.stage.audit().len();
    let ran = cluster.stage.expect(0, &APPLY);
    assert!(ran.stdout.contains("No changes"), "{}", ran.text());
    let new: Vec<Json> = cluster.stage.audit().split_off(entries);
    assert!(new.is_empty(), "an apply without changes called the cloud: {new:?}");
    cluster.stage.expect(0, &["plan", "--detailed-exitcode"]);
}

fn it_tells_how_it_stands(cluster: &Quickstart) {
    let shown = cluster.stage.expect(0, &["status"]).stdout;
    for text in ["cluster.quickstart: settled", &format!("{WORKERS}[1]"), "etcd", "nginx"] {
        assert!(shown.contains(text), "`{text}` is not in the status:\n{shown}");
    }
    let status = cluster.status().unwrap();
    let group = &status["groups"]["store"];
    assert_eq!((&group["min"], &group["desired"], &group["ready"]), (&3.into(), &3.into(), &3.into()), "{status}");
    let mut endpoints: Vec<String> = cluster.workers().values().map(|worker| format!("{}:2379", worker.address)).collect();
    let mut found: Vec<String> =
        status["services"]["etcd"].as_array().unwrap().iter().map(|endpoint| endpoint.as_str().unwrap().to_owned()).collect();
    endpoints.sort();
    found.sort();
    assert_eq!(found, endpoints);

    let events = cluster.events(0);
    assert!(events.windows(2).all(|pair| pair[0].sequence < pair[1].sequence), "{events:?}");
    for n in 1..=3 {
        let address = format!("{WORKERS}[{n}]");
        assert!(events.iter().any(|event| event.address == address && event.text == "ready"), "{address}: {events:?}");
    }
    assert!(events.iter().all(|event| event.level == "info"), "something went wrong: {events:?}");

    let ran = cluster.stage.expect(0, &["exec", "--all", "--", "sh", "-c", "echo I am $CLOUDTIK_NODE"]);
    let mut ids: BTreeMap<String, String> = cluster.workers().into_iter().map(|(address, worker)| (address, worker.id)).collect();
    ids.insert("cluster.quickstart.head".to_owned(), cluster.head());
    assert_eq!(ran.stdout.lines().count(), 4, "{}", ran.text());
    for (address, id) in &ids {
        assert!(ran.stdout.contains(&format!("{address}: I am {id}\n")), "{address}: {}", ran.text());
    }
    let ran = cluster.stage.expect(0, &["exec", "--all", "--json", "--", "true"]);
    let nodes: Vec<Json> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(nodes.len() == 4 && nodes.iter().all(|node| node["exit_code"] == 0), "{nodes:?}");
    // The command's exit code is the program's.
    assert_eq!(cluster.stage.run(&["exec", "--node", "store[2]", "--", "sh", "-c", "exit 7"]).code(), Some(7));
}

fn a_worker_dies(cluster: &Quickstart) {
    let before = cluster.workers();
    let (address, victim) = before.iter().next().unwrap();
    let began = Instant::now();
    cluster.first_process(&victim.id).kill();
    support::wait_until("another worker", Duration::from_secs(60), || {
        let Some(status) = cluster.status() else { return false };
        let now = workers_of(&status);
        let others = now.values().filter(|worker| worker.state == "ready" && worker.id != victim.id).count();
        now.len() == 3 && others == 3 && cluster.members() == (3, true)
    });
    println!("{:?}: a worker was replaced in {:.1} s", cluster.stage.form, began.elapsed().as_secs_f64());
    assert!(began.elapsed() < Duration::from_secs(60));
    let now = cluster.workers();
    assert!(!now.contains_key(address), "a number is never used again: {now:?}");
    let stayed = |worker: &&String| before[*worker].id == now[*worker].id;
    assert_eq!(now.keys().filter(|address| before.contains_key(*address)).filter(stayed).count(), 2, "{before:?}\n{now:?}");
    cluster.settled(3);
    well(cluster);
}

fn the_controller_dies(cluster: &Quickstart) {
    let (before, made) = (cluster.workers(), cluster.made());
    let controller = cluster.controller().unwrap();
    controller.kill();
    cluster.controller_after(controller.pid);
    cluster.settled(3);
    assert_eq!(cluster.workers(), before);
    assert_eq!(cluster.made(), made, "a controller that comes back makes nothing");
    assert_eq!(cluster.twice(), Vec::<String>::new());
    well(cluster);
}

fn the_head_is_lost(cluster: &Quickstart) {
    let before = cluster.workers();
    let pids = |workers: &BTreeMap<String, _>| -> Vec<i32> {
        workers.values().map(|worker: &support::quickstart::Worker| cluster.first_process(&worker.id).pid).collect()
    };
    let first = pids(&before);
    let made = cluster.made();
    let head = cluster.head();
    cluster.stage.expect(0, &["local", "purge", &head]);

    let plan = cluster.stage.expect(0, &["plan"]).stdout;
    assert!(plan.contains("cluster.quickstart.head is gone"), "{plan}");
    assert!(plan.contains("cluster.quickstart.head  (main.hcl:27:3)\n  + create"), "{plan}");
    for (address, worker) in &before {
        assert!(plan.contains(&format!("{address} ({}) is adopted by the new head", worker.id)), "{address}: {plan}");
    }
    cluster.stage.expect(0, &APPLY);
    cluster.settled(3);
    assert_ne!(cluster.head(), head);
    let now = cluster.workers();
    let ids = |workers: &BTreeMap<String, support::quickstart::Worker>| -> Vec<(String, String)> {
        workers.iter().map(|(address, worker)| (address.clone(), worker.id.clone())).collect()
    };
    assert_eq!(ids(&now), ids(&before));
    assert_eq!(pids(&now), first, "a worker was started again");
    let mut expected = made;
    expected.get_mut("cluster.quickstart.head").unwrap().push(cluster.head());
    assert_eq!(cluster.made(), expected);
    well(cluster);
}
