//! The two kinds against a head that is a real SSH server, and a provider that is a list.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test reports by failing, and its helpers are tests too"
)]

mod support;

use cloudtik_controller_client::{HeadTarget, Link, Printed, run_on};
use cloudtik_model::{ControllerCall, Digest, ProviderRef, Value};
use cloudtik_provider_api::{Answer, CallError, ErrorClass, ObjectAnswer, STATUS_PREFIX, Verb, WORKER_ROLE};
use std::sync::{Arc, Mutex};
use support::{Fake, HEAD_LOGIN_KEY, UID, controller, create, group, group_attributes, group_status, keys_of, node_status, update};

fn object(answer: Answer) -> ObjectAnswer {
    match answer {
        Answer::Object(object) => object,
        other => panic!("{other:?}"),
    }
}

fn error(answer: Answer) -> CallError {
    match answer {
        Answer::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

fn found(answer: Answer) -> Vec<(String, Value)> {
    match answer {
        Answer::Found(found) => found.into_iter().map(|found| (found.object.id, found.object.attributes)).collect(),
        other => panic!("{other:?}"),
    }
}

/// A head whose host key is known.
async fn head() -> (Fake, Value) {
    let fake = Fake::new().await;
    let host_key = fake.add("i-head", "head").await;
    let attributes = fake.attributes(&host_key, r#"{"version":1}"#);
    (fake, attributes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_fences_pushes_and_is_found_again() {
    let (fake, attributes) = head().await;
    let cloud = fake.cloud();
    fake.world().starting = 2;
    let made = object(cloud.call(controller(create(7, attributes.clone()))).await);
    assert_eq!((made.id.as_str(), &made.attributes), (format!("{UID}#7").as_str(), &attributes));
    {
        let world = fake.world();
        assert_eq!(world.fences, [(UID.to_owned(), 7)]);
        let push = &world.pushes[0];
        assert_eq!((push.uid.as_str(), push.epoch, push.follows), (UID, 7, None));
        assert_eq!(push.config, serde_json::json!({ "version": 1 }));
        assert_eq!(push.digest, Digest::of(r#"{"version":1}"#));
        assert_eq!(push.secrets["token"], "s3cret");
        assert_eq!(push.operator_keys.concat(), fake.operator.public_openssh);
        assert_eq!(world.dials, 1, "one connection a head");
    }
    let list = || Verb::List { ids: [made.id.clone()].into() };
    assert_eq!(found(cloud.call(controller(list())).await), [(made.id.clone(), Value::object::<&str>([]))]);
    let digest = "ab".repeat(32);
    fake.world().instances.get_mut("i-head").unwrap().tags.insert(format!("{STATUS_PREFIX}digest"), digest.clone());
    let seen = found(cloud.call(controller(list())).await);
    assert_eq!(seen, [(made.id.clone(), Value::object([("digest", Value::from(digest.as_str()))]))]);
    fake.world().instances.clear();
    assert_eq!(found(cloud.call(controller(list())).await), []);
    let read = cloud.call(controller(Verb::Read { id: made.id.clone() })).await;
    assert_eq!(read, Answer::Read(None));
}

/// The uid is of another lineage than the project: the cluster was taken over, and its head is told the next configuration.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_was_taken_over_goes_on() {
    let (fake, attributes) = head().await;
    fake.add("i-1", WORKER_ROLE).await;
    fake.world().status.generation = 3;
    let Verb::Create(mut request) = create(9, attributes) else { panic!() };
    request.tags.insert("cloudtik:lineage".to_owned(), "mine".to_owned());
    let made = object(fake.cloud().call(controller(Verb::Create(request))).await);
    assert_eq!(made.id, format!("{UID}#9"));
    let world = fake.world();
    assert_eq!(world.fences, [(UID.to_owned(), 9)]);
    assert_eq!(world.pushes.iter().map(|push| push.follows).collect::<Vec<_>>(), [Some(3)]);
    let step = "cluster.c.head.step.host_key";
    assert!(world.pushes[0].references.get(step).is_some_and(|shown| shown.get("host_key").is_some()), "its controller publishes it");
    assert_eq!(world.steps.len(), 0, "its workers let it in already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_is_not_forgotten_while_its_workers_live() {
    let (fake, _) = head().await;
    fake.add("i-1", WORKER_ROLE).await;
    fake.world().instances.remove("i-head");
    let id = format!("{UID}#7");
    let list = Verb::List { ids: [id.clone()].into() };
    assert_eq!(found(fake.cloud().call(controller(list)).await).len(), 1);
    let groups = Verb::List { ids: [format!("{id}/etcd")].into() };
    assert_eq!(found(fake.cloud().call(group(groups)).await), [], "nobody keeps the group any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_follows_the_generation_that_it_saw() {
    let (fake, attributes) = head().await;
    let cloud = fake.cloud();
    fake.world().lose = 1;
    let made = object(cloud.call(controller(create(7, attributes.clone()))).await);
    assert_eq!(fake.world().pushes.len(), 2, "a create is pushed again when its answer is lost");
    fake.world().pushes.remove(0);
    fake.world().status.generation = 1;
    object(cloud.call(controller(update(&made.id, attributes.clone(), attributes.clone()))).await);
    {
        let world = fake.world();
        assert_eq!(world.pushes[1].follows, Some(1));
        assert_eq!(world.fences.len(), 1, "the same head needs no fence");
    }
    // The answer is lost after the push was taken: it is asked again, and the head knows it again.
    (fake.world().lose, fake.world().status.generation) = (1, 9);
    object(cloud.call(controller(update(&made.id, attributes.clone(), attributes.clone()))).await);
    let world = fake.world();
    assert_eq!(world.pushes[2..].iter().map(|push| push.follows).collect::<Vec<_>>(), [Some(9), Some(9)]);
    assert_eq!(world.status.generation, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_helps() {
    let (fake, attributes) = head().await;
    for (code, class, says) in [
        ("config-version", ErrorClass::Permanent, "runs an older cloudtik"),
        ("fenced", ErrorClass::Conflict, "no longer the one that launches"),
        ("store", ErrorClass::Permanent, "cannot write"),
        ("generation", ErrorClass::Conflict, "somebody else changes"),
        ("whatever", ErrorClass::Permanent, "refuses"),
    ] {
        fake.world().refuse = Some(code);
        let error = error(fake.cloud().call(controller(create(7, attributes.clone()))).await);
        assert_eq!((error.code.as_str(), error.class), (code, class));
        assert!(error.message.contains(says), "{error}");
        if code == "config-version" {
            assert_eq!(error.help.unwrap(), "`cloudtik apply --replace cluster.c.head` makes the head anew; its workers stay");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_head_is_let_in_by_the_workers_of_the_old_one() {
    let (fake, attributes) = head().await;
    fake.add("i-1", WORKER_ROLE).await;
    fake.add("i-2", WORKER_ROLE).await;
    fake.world().places.remove("i-2");
    let made = object(fake.cloud().call(controller(create(8, attributes.clone()))).await);
    {
        let world = fake.world();
        assert_eq!(world.steps.len(), 1);
        assert_eq!(world.steps[0].address, "cluster.c.workers.etcd[1].step.host_key");
        assert_eq!(keys_of(&world.steps[0]), [HEAD_LOGIN_KEY.to_owned(), fake.operator.public_openssh.clone()]);
        assert_eq!(world.warnings.len(), 1);
        assert!(world.warnings[0].starts_with("cluster.c.workers.etcd[2] (i-2) does not let the new head in"), "{:?}", world.warnings);
    }
    // Another instance is a new head too, by an update.
    let entries = attributes.entries().unwrap().clone();
    let before = Value::object(entries.into_iter().chain([("instance".into(), Value::from("i-old"))]));
    object(fake.cloud().call(controller(update(&made.id, attributes, before))).await);
    let world = fake.world();
    assert_eq!((world.steps.len(), world.fences.len(), world.pushes[1].follows), (2, 2, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_awaited_and_what_happens_is_shown() {
    let (fake, attributes) = head().await;
    let cloud = fake.cloud();
    object(cloud.call(controller(create(7, attributes))).await);
    fake.world().status.groups.insert("etcd".to_owned(), group_status(3, "t"));
    let made = object(cloud.call(group(create(7, group_attributes(3, "t")))).await);
    assert_eq!(made.id, format!("{UID}#7/etcd"));
    let world = fake.world();
    assert_eq!(world.status.groups["etcd"].ready, 3);
    assert_eq!(world.seen, [1, 2, 3].map(|number| format!("cluster.c.workers.etcd[{number}]: ready")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_with_no_wait_or_after_an_interrupt() {
    let (fake, attributes) = head().await;
    let cloud = fake.cloud();
    object(cloud.call(controller(create(7, attributes))).await);
    fake.world().no_wait = true;
    object(cloud.call(group(create(7, group_attributes(3, "t")))).await);
    assert!(!fake.world().calls.contains(&ControllerCall::Status));
    (fake.world().no_wait, fake.world().interrupted) = (false, true);
    let error = error(cloud.call(group(create(7, group_attributes(3, "t")))).await);
    assert_eq!(error.code, "group-not-ready");
    assert!(error.message.contains("interrupted"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settlement_looks_once_and_does_not_wait() {
    let (fake, attributes) = head().await;
    let cloud = fake.cloud();
    object(cloud.call(controller(create(7, attributes))).await);
    fake.world().status.groups.insert("etcd".to_owned(), group_status(2, "t"));
    fake.world().settles = true;
    let error = error(cloud.call(group(create(7, group_attributes(2, "t")))).await);
    assert_eq!((error.code.as_str(), error.class), ("group-not-ready", ErrorClass::Permanent));
    object(cloud.call(group(create(7, group_attributes(2, "t")))).await);
    assert_eq!(fake.world().calls.iter().filter(|call| **call == ControllerCall::Status).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_problem_that_stays_ends_the_wait() {
    let (fake, attributes) = head().await;
    let cloud = fake.cloud();
    object(cloud.call(controller(create(7, attributes))).await);
    let mut status = group_status(0, "t");
    status.problem = Some("the cloud has no such machine".to_owned());
    fake.world().status.groups.insert("etcd".to_owned(), status);
    let error = error(cloud.call(group(create(7, group_attributes(3, "t")))).await);
    assert_eq!(error.message, "cluster.c.workers.etcd: the cloud has no such machine");
    assert!(error.help.unwrap().contains("cloudtik events cluster.c"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_removed_by_its_head() {
    let (fake, attributes) = head().await;
    let id = format!("{UID}#7/etcd");
    let delete = || group(Verb::Delete { id: id.clone(), data: false });
    fake.world().known.insert("cluster.c.head_controller".parse().unwrap(), attributes);
    fake.world().status.nodes.insert("cluster.c.workers.etcd[1]".to_owned(), node_status("etcd"));
    assert_eq!(fake.cloud().call(delete()).await, Answer::Done);
    assert!(fake.world().status.nodes.is_empty());
    // While the cluster goes, a dead head is no reason to stop.
    (fake.world().dead, fake.world().leaves) = (true, true);
    assert_eq!(fake.cloud().call(delete()).await, Answer::Done);
    assert_eq!(fake.world().warnings.len(), 1);
    fake.world().instances.clear();
    assert_eq!(error(fake.cloud().call(delete()).await).class, ErrorClass::Gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_ends_with_its_head_or_without() {
    for dead in [false, true] {
        let (fake, attributes) = head().await;
        fake.add("i-1", WORKER_ROLE).await;
        fake.world().known.insert("cluster.c.head_controller".parse().unwrap(), attributes);
        fake.world().dead = dead;
        let delete = controller(Verb::Delete { id: format!("{UID}#7"), data: false });
        assert_eq!(fake.cloud().call(delete).await, Answer::Done);
        let world = fake.world();
        assert_eq!(world.fences, [(UID.to_owned(), 8)]);
        assert_eq!(world.instances.keys().collect::<Vec<_>>(), ["i-head"]);
        assert_eq!(world.calls.contains(&ControllerCall::Drain), !dead);
        assert_eq!((world.deletes.len(), world.warnings.len()), if dead { (1, 1) } else { (0, 0) });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_on_the_head_and_through_it() {
    let (fake, attributes) = head().await;
    let worker_key = fake.add("i-1", WORKER_ROLE).await;
    let target = HeadTarget::of("cluster.c".parse().unwrap(), ProviderRef::new("fake"), &attributes).unwrap();
    let link = Link::new(Arc::new(fake.clone()));
    let printed = Mutex::new(Vec::new());
    let taking = |piece: Printed| printed.lock().unwrap().push((piece.stderr, String::from_utf8(piece.bytes).unwrap()));
    let words = ["sh", "-c", "echo out; exit 3"].map(str::to_owned);
    let connection = link.connection(&target).await.unwrap();
    assert_eq!(run_on(&connection, &words, &taking).await.unwrap().exit_code(), 3);
    assert_eq!(*printed.lock().unwrap(), [(false, "out\n".to_owned())]);

    let port = fake.world().places["i-1"].port();
    let through = link.through(&target, ("127.0.0.1", port), "someone", &worker_key).await.unwrap();
    let words = ["sh", "-c", "kill -9 $$"].map(str::to_owned);
    assert_eq!(run_on(&through, &words, &taking).await.unwrap().exit_code(), 137);
    let wrong = link.through(&target, ("127.0.0.1", port), "someone", &target.host_key).await.unwrap_err();
    assert_eq!(wrong.code, "worker-unreachable");
}
