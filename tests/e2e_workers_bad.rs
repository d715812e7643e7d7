//! What goes wrong with workers and their head: each gets one clear error or event and a bounded number of tries, nothing is lost, and a
//! spec that is put right works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};
use support::Ran;
use support::quickstart::{APPLY, Quickstart, WORKERS};
use support::stage::{Stage, failed};

/// A cluster of a head and workers that do nothing but their steps.
fn plain(group: &str) -> String {
    format!(
        "provider \"local\" {{}}\nworkspace \"demo\" {{}}\ncluster \"quickstart\" {{\n  workspace = workspace.demo\n  head {{}}\n  \
         workers \"store\" {{\n{group}  }}\n}}\n"
    )
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime-modules").join(name)
}

#[test]
fn specs_that_cannot_be() {
    let cluster = Quickstart::new(Stage::any_form());
    let refused = |spec: &str, says: &[&str]| {
        cluster.stage.spec(spec);
        cluster.stage.fails(1, &APPLY, says);
    };
    refused(&cluster.spec_with("    max = 5\n", "    max = 2\n"), &["error[min-above-max]", "`min` is 3 and `max` is 2", "main.hcl"]);
    let lost = plain("  min = 3\n").replace("\n}\n", "\n  runtime \"etcd\" {\n    on = [\"workers.stor\"]\n  }\n}\n");
    refused(&lost, &["error[unknown-group]", "no group `stor`", "did you mean `workers.store`?"]);
    let module = cluster.stage.project().join("etcd");
    support::copy_folder(&shipped("etcd"), &module);
    let text = fs::read_to_string(module.join("module.hcl")).unwrap();
    fs::write(module.join("module.hcl"), text.replacen("roles       = [\"workers\"]", "roles       = [\"workers\"]\n  quorum_min  = 3", 1))
        .unwrap();
    let own = cluster.spec_with("  runtime \"etcd\" {}\n", "  runtime \"etcd\" { source = \"./etcd\" }\n");
    refused(
        &own.replacen("default     = 3\n", "default     = 1\n", 1),
        &["error[no-quorum]", "runtime `etcd` needs 3 members for its quorum", "keeps up 1"],
    );
    assert_eq!(cluster.stage.audit().len(), 0, "something was made");
    cluster.stage.spec(&own);
    assert!(cluster.stage.expect(0, &["plan"]).stdout.contains("5 to create"));
}

/// A worker that cannot be set up: the apply says why and ends, the head tries a few more and then waits for somebody.
#[test]
fn a_worker_that_never_comes_up() {
    let cluster = Quickstart::new(Stage::any_form());
    let step = |run: &str| {
        format!(
            "    min = 2\n    max = 3\n    setup {{\n      step \"s\" {{\n        phase = \"before_runtimes\"\n        run = \"{run}\"\n        retries = 0\n      }}\n    }}\n"
        )
    };
    cluster.stage.spec(&plain(&step("echo this is why >&2; exit 7")));
    let ran = cluster.stage.fails(3, &APPLY, &[WORKERS, "exit status 7", "this is why", "cloudtik events"]);
    assert!(ran.took < Duration::from_secs(60), "{:?}", ran.took);
    // The head goes on: some tries, some workers, then it waits.
    support::wait_until("the end of its tries", Duration::from_secs(120), || {
        let problem = cluster.status().unwrap()["groups"]["store"]["problem"].as_str().unwrap_or_default().to_owned();
        problem.contains("workers in a row could not be set up")
    });
    let told = cluster.events(0);
    assert_eq!(told.iter().filter(|event| event.level == "error").count(), 1, "{told:#?}");
    let launched = cluster.made().keys().filter(|address| address.starts_with(WORKERS)).count();
    std::thread::sleep(Duration::from_secs(5));
    let later = cluster.made().keys().filter(|address| address.starts_with(WORKERS)).count();
    assert!(later == launched && launched <= 6, "{launched} workers were made, and then {later}");
    // Applied again, it fails with the same reason; nothing was changed, or the exit code were 3.
    cluster.stage.fails(1, &APPLY, &[WORKERS, "exit status 7"]);

    cluster.stage.spec(&plain(&step("true")));
    cluster.stage.expect(0, &APPLY);
    cluster.settled(2);
    assert_eq!(cluster.twice(), Vec::<String>::new());
    cluster.destroy();
}

#[test]
fn a_join_hook_that_fails_for_ever() {
    let mut cluster = Quickstart::new(Stage::any_form());
    let module = cluster.stage.project().join("etcd");
    support::copy_folder(&shipped("etcd"), &module);
    let whole = fs::read_to_string(module.join("module.hcl")).unwrap();
    let (before, rest) = whole.split_once("  join = <<-EOT\n").unwrap();
    let (_, after) = rest.split_once("  EOT\n").unwrap();
    let broken = format!("{before}  join = \"echo nobody is taken in today >&2; exit 1\"\n{after}");
    fs::write(module.join("module.hcl"), &broken).unwrap();
    cluster.spec = cluster.spec_with("  runtime \"etcd\" {}\n", "  runtime \"etcd\" { source = \"./etcd\" }\n");
    cluster.stage.spec(&cluster.spec);
    // The first members find together by themselves.
    cluster.stage.expect(0, &APPLY);
    cluster.settled(3);
    let before = cluster.workers();
    let (address, worker) = before.iter().next().unwrap();
    assert_eq!(cluster.etcdctl(address, worker, "put before all").code(), Some(0));

    let more = ["apply", "--auto-approve", "--var", "workers=4"];
    let ran = cluster.stage.fails(3, &more, &[WORKERS, "nobody is taken in today"]);
    assert!(ran.took < Duration::from_secs(120), "{:?}", ran.took);
    assert_eq!(cluster.members(), (3, true));
    let ready: Vec<String> = cluster.workers().into_values().filter(|worker| worker.state == "ready").map(|worker| worker.id).collect();
    let mut first: Vec<String> = before.values().map(|worker| worker.id.clone()).collect();
    first.sort();
    let mut now = ready;
    now.sort();
    assert_eq!(now, first, "those who were well are not touched");

    fs::write(module.join("module.hcl"), &whole).unwrap();
    cluster.stage.expect(0, &more);
    cluster.settled(4);
    cluster.is_well(4, Some(("before", "all")));
    assert_eq!(cluster.twice(), Vec::<String>::new());
    cluster.destroy();
}

/// Runs a script on the head.
fn on_head(cluster: &Quickstart, script: &str) -> Ran {
    cluster.stage.run(&["exec", "--", "sh", "-c", script])
}

/// Says something to the controller, as the command line does, and gives its answer.
#[track_caller]
fn call(cluster: &Quickstart, version: u64, call: &Json) -> Json {
    let frame = json!({ "version": version, "call": call }).to_string();
    assert!(!frame.contains('\''));
    let script = format!("printf '%s\\n' '{frame}' | \"$CLOUDTIK_NODE_ROOT\"/bin/cloudtik controller call --root \"$CLOUDTIK_NODE_ROOT\"");
    let ran = on_head(cluster, &script);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.text()))
}

/// A configuration to push, with its digest.
fn push(cluster: &Quickstart, uid: &str, epoch: u64, config: &Json) -> Json {
    let text = config.to_string();
    let digest = on_head(cluster, &format!("printf '%s' '{text}' | sha256sum")).stdout;
    let digest = digest.split_whitespace().next().unwrap();
    json!({ "push": { "uid": uid, "epoch": epoch, "follows": null, "config": config, "digest": digest, "references": {}, "secrets": {},
                      "operator_keys": [] } })
}

#[track_caller]
fn is_refused(answer: &Json, code: &str, says: &str) {
    let message = answer["refused"]["message"].as_str().unwrap_or_default();
    assert!(answer["refused"]["code"] == code && message.contains(says), "`{code}`, `{says}`: {answer}");
}

#[test]
fn what_a_head_refuses_and_two_heads() {
    let cluster = Quickstart::new(Stage::any_form());
    cluster.stage.spec(&plain("    min = 1\n    max = 2\n"));
    cluster.stage.expect(0, &APPLY);
    let status = cluster.settled(1);
    let (uid, epoch) = (status["uid"].as_str().unwrap().to_owned(), status["epoch"].as_u64().unwrap());

    // A configuration of a newer version, frames of one, another cluster's, an older epoch's.
    let newer = json!({ "version": 2, "something": "new" });
    is_refused(
        &call(&cluster, 1, &push(&cluster, &uid, epoch, &newer)),
        "config-version",
        "has version 2, and this program reads version 1",
    );
    is_refused(&call(&cluster, 2, &json!("status")), "version", "speaks version 1 of these frames, not 2");
    let valid = json!({ "cluster": "cluster.quickstart", "groups": {}, "head_steps": [], "name": "quickstart", "provider": "local",
                        "provider_config": {}, "scaling": null, "services": {}, "version": 1 });
    is_refused(&call(&cluster, 1, &push(&cluster, "of/some/body", epoch, &valid)), "other-cluster", &uid);
    is_refused(&call(&cluster, 1, &push(&cluster, &uid, epoch - 1, &valid)), "fenced", "older epoch");
    let after = cluster.settled(1);
    assert_eq!((&after["generation"], &after["digest"]), (&status["generation"], &status["digest"]));

    // Another head took over: whatever the one before would make is refused, which is said and changes nothing.
    fence(&cluster, &uid, epoch + 1);
    let (made, event) = (cluster.made(), cluster.last_event());
    let worker = cluster.workers().into_values().next().unwrap();
    cluster.first_process(&worker.id).kill();
    let mut said = Vec::new();
    support::wait_until("a word of the fence", Duration::from_secs(60), || {
        said = cluster.events(event);
        said.iter().any(|event| event.level != "info" && event.text.contains("fence"))
    });
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(cluster.made(), made, "a head that was replaced made something");
    let tries = cluster.stage.audit().iter().filter(|entry| entry["verb"] == "create" && entry["outcome"] != "done").count();
    assert!(tries < 30, "it tries without an end: {said:#?}");
    let status = cluster.status().unwrap();
    assert!(status["settled"] == false && status.to_string().contains("fence"), "{status}");
    println!("{:?}", said.iter().filter(|event| event.level != "info").map(|event| &event.text).collect::<Vec<_>>());
    cluster.destroy();
}

/// What a new head does first: the local cloud refuses what an older epoch creates.
fn fence(cluster: &Quickstart, uid: &str, epoch: u64) {
    let mut cloud = UnixStream::connect(cluster.stage.root().join("run/cloudtik/local.sock")).unwrap();
    let mut say = |frame: &Json| {
        let bytes = frame.to_string().into_bytes();
        cloud.write_all(&u32::try_from(bytes.len()).unwrap().to_be_bytes()).unwrap();
        cloud.write_all(&bytes).unwrap();
        let mut length = [0; 4];
        cloud.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        cloud.read_exact(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    };
    say(&json!({ "protocol": 1, "software": "a test" }));
    assert_eq!(say(&json!({ "fence": { "cluster": uid, "epoch": epoch } })), "\"done\"");
}

#[test]
fn a_head_whose_disk_is_full() {
    if !support::is_root() {
        return support::cannot_run("a head whose disk is full", "a small tmpfs needs root");
    }
    let cluster = Quickstart::new(Stage::any_form());
    let spec = |min: u64| plain(&format!("    min = {min}\n    max = 3\n"));
    cluster.stage.spec(&spec(1));
    cluster.stage.expect(0, &APPLY);
    cluster.settled(1);
    // The controller's store moves to a small disk, which then is full.
    let store = "cd \"$CLOUDTIK_NODE_ROOT\"/data/controller/store";
    let move_it = "cd \"$CLOUDTIK_NODE_ROOT\"/data/controller && cp -a store /tmp/s && mount -t tmpfs -o size=400k,mode=0700 tmpfs store && \
                   cp -a /tmp/s/. store/";
    let moved = on_head(&cluster, move_it);
    assert_eq!(moved.code(), Some(0), "{}", moved.text());
    let controller = cluster.controller().unwrap();
    controller.kill();
    cluster.controller_after(controller.pid);
    cluster.settled(1);
    on_head(&cluster, &format!("{store} && dd if=/dev/zero of=filler bs=1k"));

    // It cannot take another configuration.
    cluster.stage.spec(&spec(2));
    let ran = cluster.stage.run(&APPLY);
    // Nothing was changed, or the exit code were 3.
    failed(&ran, 1, &["cluster.quickstart.head_controller", "No space left on device", "free some space"]);
    // It cannot make another worker, and says why.
    let worker = cluster.workers().into_values().next().unwrap();
    cluster.first_process(&worker.id).kill();
    support::wait_until("a word of the disk", Duration::from_secs(60), || {
        let status = cluster.status().map(|status| status.to_string()).unwrap_or_default();
        status.contains("No space left on device")
    });
    // As soon as there is room it goes on.
    on_head(&cluster, &format!("{store} && rm filler"));
    cluster.settled_within(1, Duration::from_secs(90));
    cluster.stage.expect(0, &APPLY);
    cluster.settled(2);
    assert_eq!(cluster.twice(), Vec::<String>::new());
    cluster.destroy();
}
