//! Everything that needs no node: tokens, tags, fences, status, buckets, firewalls, errors, and the daemon's own life.

use std::collections::BTreeMap;

use cloudtik_local::protocol::{
    Attributes, ErrorClass, FirewallSpec, Form, Hello, Kind, Outcome, ResourceSpec, TagQuery, UpdateRequest, read_frame, write_frame,
};
use cloudtik_local::{Client, LocalError};
use libtest_mimic::Trial;

use super::stage::{Stage, code_of, run};
use super::test;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        test("a_token_is_one_object", tokens),
        test("objects_are_found_by_their_tags", tags),
        test("a_fence_stops_older_creates", fences),
        test("buckets_are_folders", buckets),
        test("firewalls_are_recorded", firewalls),
        test("status_values_are_bounded", metadata),
        test("clients_that_start_at_once_have_one_daemon", many_clients),
        test("bad_frames_are_answered", bad_frames),
        test("a_folder_that_cannot_be_written_is_named", no_permission),
        test("another_version_is_refused", another_version),
        test("a_socket_folder_that_is_open_to_others_is_refused", open_folder),
    ]
}

fn tokens() {
    run(async {
        let stage = Stage::new(Form::Plain);
        let made = stage.create(stage.firewall("f", None)).await;
        assert_eq!(stage.create(stage.firewall("f", None)).await, made);
        let mut other = stage.firewall("f", None);
        other.address = "local_firewall.other".into();
        assert_eq!(code_of(stage.client.create(other).await), (ErrorClass::Conflict, "token_mismatch".into()));
        stage.client.delete(&made.id, "op").await.unwrap();
        assert_eq!(code_of(stage.client.create(stage.firewall("f", None)).await), (ErrorClass::Conflict, "token_spent".into()));
        let mut again = stage.firewall("f2", None);
        again.address = "local_firewall.f".into();
        let second = stage.create(again).await;
        assert_ne!(second.id, made.id);
        let (one, two) = tokio::join!(stage.client.create(stage.bucket("b", "logs")), stage.client.create(stage.bucket("b", "logs")));
        let bucket = one.unwrap();
        assert_eq!(bucket.id, two.unwrap().id);
        let outcomes: Vec<Outcome> = stage.audit().iter().filter(|entry| entry.verb == "create").map(|entry| entry.outcome).collect();
        use Outcome::{Begun, Done, Refused, Repeated};
        assert_eq!(outcomes, [Begun, Done, Repeated, Refused, Refused, Begun, Done, Begun, Done, Repeated]);
        for id in [&second.id, &bucket.id] {
            stage.client.delete(id, "op").await.unwrap();
        }
        stage.nothing_is_left().await;
    });
}

fn tags() {
    run(async {
        let stage = Stage::new(Form::Plain);
        let one = stage.create(stage.firewall("one", None)).await;
        let two = stage.create(stage.firewall("two", None)).await;
        let query = |tags: &[(&str, &str)], op_id: Option<&str>| TagQuery {
            kind: Some(Kind::LocalFirewall),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            op_id: op_id.map(str::to_owned),
            token: None,
        };
        let found =
            async |query: TagQuery| stage.client.find_by_tag(query).await.unwrap().into_iter().map(|object| object.id).collect::<Vec<_>>();
        assert_eq!(found(query(&[("cloudtik:op", "one")], None)).await, std::slice::from_ref(&one.id));
        assert_eq!(found(query(&[], Some("op-two"))).await, std::slice::from_ref(&two.id));
        assert!(found(query(&[("cloudtik:op", "one"), ("other", "")], None)).await.is_empty());
        assert!(found(TagQuery { kind: Some(Kind::LocalBucket), ..query(&[], None) }).await.is_empty());
        let mut request = stage.firewall("three", None);
        request.tags = (0..51).map(|number| (format!("t{number}"), String::new())).collect();
        assert_eq!(code_of(stage.client.create(request).await), (ErrorClass::Permanent, "too_many_tags".into()));
        stage.client.purge(vec![one.id, two.id]).await.unwrap();
        stage.nothing_is_left().await;
    });
}

fn fences() {
    run(async {
        let stage = Stage::new(Form::Plain);
        stage.client.fence("cluster-1", 2).await.unwrap();
        stage.client.fence("cluster-1", 1).await.unwrap();
        assert_eq!(code_of(stage.client.create(stage.firewall("f", None)).await), (ErrorClass::Permanent, "fenced".into()));
        let mut request = stage.firewall("f", None);
        request.epoch = None;
        assert_eq!(code_of(stage.client.create(request.clone()).await).1, "fenced");
        request.epoch = Some(2);
        let made = stage.create(request).await;
        let mut other = stage.firewall("g", None);
        other.cluster = Some("cluster-2".into());
        let other = stage.create(other).await;
        stage.client.purge(vec![made.id, other.id]).await.unwrap();
        stage.nothing_is_left().await;
    });
}

fn buckets() {
    run(async {
        let stage = Stage::new(Form::Plain);
        let bucket = stage.create(stage.bucket("b", "logs")).await;
        let Attributes::LocalBucket(attributes) = &bucket.attributes else { panic!() };
        assert_eq!(attributes.path, stage.root().join("buckets/logs"));
        std::fs::write(attributes.path.join("object"), "x").unwrap();
        assert_eq!(code_of(stage.client.create(stage.bucket("c", "logs")).await), (ErrorClass::Conflict, "exists".into()));
        let mut bad = stage.bucket("c", "../logs");
        assert_eq!(code_of(stage.client.create(bad.clone()).await).1, "bad_name");
        bad.spec = stage.bucket("c", "logs").spec;
        let ResourceSpec::LocalBucket(spec) = &mut bad.spec else { panic!() };
        spec.root = "relative".into();
        assert_eq!(code_of(stage.client.create(bad).await).1, "bad_path");
        stage.client.delete(&bucket.id, "op").await.unwrap();
        stage.nothing_is_left().await;
    });
}

fn firewalls() {
    run(async {
        let stage = Stage::new(Form::Plain);
        let made = stage.create(stage.firewall("f", None)).await;
        let Attributes::LocalFirewall(attributes) = &made.attributes else { panic!() };
        assert!(!attributes.enforced && attributes.rules.len() == 1);
        let rules = vec![serde_json::json!({"port": 443}), serde_json::json!({"ratio": 0.1})];
        let spec = ResourceSpec::LocalFirewall(FirewallSpec { name: "fw".into(), network: None, rules: rules.clone() });
        let update = UpdateRequest { id: made.id.clone(), op_id: "op-u".into(), tags: BTreeMap::new(), spec };
        let changed = stage.client.update(update).await.unwrap();
        let Attributes::LocalFirewall(attributes) = &changed.attributes else { panic!() };
        assert_eq!(attributes.rules, rules);
        stage.kill_daemon();
        assert_eq!(stage.client.read(&made.id).await.unwrap(), changed);
        assert_eq!(code_of(stage.client.create(stage.firewall("g", Some("net-none"))).await).1, "no_network");
        assert_eq!(code_of(stage.client.dial(&made.id, 80, std::time::Duration::ZERO).await).1, "not_an_instance");
        stage.client.delete(&made.id, "op").await.unwrap();
        stage.nothing_is_left().await;
    });
}

fn metadata() {
    run(async {
        let stage = Stage::new(Form::Plain);
        let made = stage.create(stage.firewall("f", None)).await;
        let set = |key: &str, value: Option<&str>| BTreeMap::from([(key.to_owned(), value.map(str::to_owned))]);
        stage.client.set_metadata(&made.id, set("epoch", Some("1"))).await.unwrap();
        stage.client.set_metadata(&made.id, set("ready", Some("3"))).await.unwrap();
        let long = "x".repeat(64 * 1024);
        assert_eq!(code_of(stage.client.set_metadata(&made.id, set("long", Some(&long))).await).1, "metadata_too_long");
        stage.kill_daemon();
        stage.client.set_metadata(&made.id, set("epoch", None)).await.unwrap();
        assert_eq!(stage.client.metadata(&made.id).await.unwrap(), BTreeMap::from([("ready".to_owned(), "3".to_owned())]));
        stage.client.delete(&made.id, "op").await.unwrap();
        stage.nothing_is_left().await;
    });
}

fn many_clients() {
    run(async {
        let stage = Stage::new(Form::Plain);
        let mut tasks = Vec::new();
        for number in 0..8 {
            let (client, request) = (stage.another_client(), stage.firewall(&format!("f{number}"), None));
            tasks.push(tokio::spawn(async move { client.create(request).await.unwrap().id }));
        }
        let mut ids = Vec::new();
        for task in tasks {
            ids.push(task.await.unwrap());
        }
        assert_eq!(stage.client.list(Some(Kind::LocalFirewall)).await.unwrap().len(), 8);
        assert_eq!(stage.client.audit(0, 100).await.unwrap(), stage.audit());
        stage.client.purge(ids).await.unwrap();
        stage.nothing_is_left().await;
    });
}

fn bad_frames() {
    run(async {
        let stage = Stage::new(Form::Plain);
        stage.client.list(None).await.unwrap();
        let mut stream = tokio::net::UnixStream::connect(&stage.client.options().socket).await.unwrap();
        write_frame(&mut stream, &Hello::current()).await.unwrap();
        let _: Hello = read_frame(&mut stream).await.unwrap();
        write_frame(&mut stream, &serde_json::json!({"explode": {}})).await.unwrap();
        let answer: serde_json::Value = read_frame(&mut stream).await.unwrap();
        assert_eq!(answer["error"]["code"], "bad_request");
        drop(stream);
        let mut old = tokio::net::UnixStream::connect(&stage.client.options().socket).await.unwrap();
        write_frame(&mut old, &Hello { protocol: 999, ..Hello::current() }).await.unwrap();
        let hello: Hello = read_frame(&mut old).await.unwrap();
        assert_eq!(hello, Hello::current());
        assert!(read_frame::<serde_json::Value>(&mut old).await.is_err(), "another protocol is not served");
        drop(old);
        stage.nothing_is_left().await;
    });
}

fn no_permission() {
    run(async {
        let stage = Stage::with(Form::Plain, |options| options.state_dir = "/proc/cloudtik".into());
        let error = stage.client.list(None).await.unwrap_err();
        assert!(error.to_string().contains("/proc/cloudtik"), "{error}");
        assert_eq!(error.class(), ErrorClass::Permanent);
        let stage = Stage::new(Form::Plain);
        let mut request = stage.bucket("b", "logs");
        let ResourceSpec::LocalBucket(spec) = &mut request.spec else { panic!() };
        spec.root = "/proc/cloudtik".into();
        let error = stage.client.create(request.clone()).await.unwrap_err();
        assert!(error.to_string().contains("/proc/cloudtik"), "{error}");
        assert!(stage.client.list(None).await.unwrap().is_empty(), "a create that failed is left in the inventory");
        // The token was not used up by the failure.
        request.spec = stage.bucket("b", "logs").spec;
        let bucket = stage.create(request).await;
        stage.client.delete(&bucket.id, "op").await.unwrap();
        stage.nothing_is_left().await;
    });
}

fn another_version() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let options = super::stage::options_below(folder.path());
        std::fs::create_dir_all(options.socket.parent().unwrap()).unwrap();
        let listener = tokio::net::UnixListener::bind(&options.socket).unwrap();
        let future = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _: Hello = read_frame(&mut stream).await.unwrap();
            write_frame(&mut stream, &Hello { protocol: 2, software: "9.9.9".into() }).await.unwrap();
        };
        let (answer, ()) = tokio::join!(async { Client::new(options).list(None).await }, future);
        match answer {
            Err(LocalError::Version { theirs, protocol }) => assert_eq!((theirs.as_str(), protocol), ("9.9.9", 2)),
            other => panic!("{other:?}"),
        }
    });
}

fn open_folder() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let options = super::stage::options_below(folder.path());
        let run_dir = options.socket.parent().unwrap();
        std::fs::create_dir(run_dir).unwrap();
        std::fs::set_permissions(run_dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let error = Client::new(options.clone()).list(None).await.unwrap_err().to_string();
        assert!(error.contains(run_dir.to_str().unwrap()) && error.contains("open to others"), "{error}");
    });
}

/// A state folder and a project on a small file system that is full.
pub(super) fn full_disk() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let folder = tempfile::tempdir().unwrap();
    mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some("size=256k")).unwrap();
    let unmounted = std::panic::catch_unwind(|| {
        run(async {
            let stage = Stage::with(Form::Plain, |options| options.state_dir = folder.path().join("state"));
            let kept = stage.create(stage.firewall("kept", None)).await;
            let filler = folder.path().join("filler");
            std::fs::write(&filler, vec![1; 4 * 1024 * 1024]).unwrap_err();
            let mut request = stage.firewall("f", None);
            // More than what is left of the page that the log ends in.
            request.tags.insert("long".into(), "x".repeat(1000));
            for number in 0..8 {
                request.tags.insert(format!("long{number}"), "x".repeat(1000));
            }
            let error = stage.client.create(request.clone()).await.unwrap_err();
            assert!(error.to_string().contains("inventory.log") && error.to_string().contains("full"), "{error}");
            assert_eq!(code_of::<()>(Err(error)), (ErrorClass::Permanent, "disk_full".into()));
            assert_eq!(stage.client.list(None).await.unwrap(), std::slice::from_ref(&kept));
            std::fs::remove_file(&filler).unwrap();
            let made = stage.create(request).await;
            stage.kill_daemon();
            assert_eq!(stage.client.list(None).await.unwrap().len(), 2);
            stage.client.purge(vec![kept.id, made.id]).await.unwrap();
            stage.nothing_is_left().await;
        });
    });
    umount2(folder.path(), MntFlags::MNT_DETACH).unwrap();
    if let Err(panic) = unmounted {
        std::panic::resume_unwind(panic);
    }
}
