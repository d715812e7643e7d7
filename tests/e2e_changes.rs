//! Changes of a running `examples/quickstart`: each does what it says, on the nodes that it concerns, and touches nothing else. The quorum
//! grows, shrinks and is replaced while somebody writes to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use support::quickstart::{APPLY, Quickstart, Told, WORKERS, base64, put_request};
use support::stage::{Stage, get, post};

/// How long a try of a write may take: nginx may have sent it to a member that is on its way out.
const TRY_MAX: Duration = Duration::from_secs(1);

/// No write may fail for longer.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// The quorum may be without a leader for some elections, each of about a second.
const FEW_MAX: Duration = Duration::from_secs(4);

#[test]
fn of_one_node_touch_no_other() {
    let mut cluster = Quickstart::new(Stage::any_form());
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime-modules/nginx");
    support::copy_folder(&shipped, &cluster.stage.project().join("nginx"));
    cluster.spec = cluster.spec_with("  runtime \"nginx\" {\n", "  runtime \"nginx\" {\n    source = \"./nginx\"\n");
    cluster.stage.spec(&cluster.spec);
    cluster.stage.expect(0, &APPLY);
    cluster.settled(3);

    a_line_of_a_template(&cluster);
    a_group(&mut cluster);
    a_file_of_the_head(&mut cluster);
    a_runtime_of_the_head(&mut cluster);
    a_runtime_goes(&mut cluster);
    assert_eq!(cluster.twice(), Vec::<String>::new());
    cluster.destroy();
}

#[test]
fn of_the_quorum_lose_nothing() {
    let mut cluster = Quickstart::new(Stage::any_form());
    // The change of `cpus` is to work on a machine of any size.
    change(&mut cluster, "provider \"local\" {}", "provider \"local\" { cpus = 16 }");
    cluster.stage.expect(0, &APPLY);
    cluster.settled(3);
    more_and_fewer(&cluster);
    rolling(&cluster);
    assert_eq!(cluster.twice(), Vec::<String>::new());
    cluster.destroy();
}

/// Everything that a step leaves on a worker, with its time; and the worker's processes.
fn traces(cluster: &Quickstart, group: &str) -> BTreeMap<String, String> {
    let look = "cd \"$CLOUDTIK_NODE_ROOT\" && find steps conf packages bin -printf '%p %T@ %s\\n' | sort && cat /proc/[0-9]*/stat 2>/dev/null | cut -d' ' -f1,2,22";
    let workers = cluster.workers();
    let mut traces = BTreeMap::new();
    for (address, worker) in workers.iter().filter(|(address, _)| address.contains(group)) {
        let node = address.rsplit('.').next().unwrap();
        let ran = cluster.stage.expect(0, &["exec", "--node", node, "--", "sh", "-c", look]);
        // What looks is not counted, nor what others do on a machine without namespaces.
        let namespaces = cluster.stage.form == support::stage::Form::Namespaces;
        let lines = ran.stdout.lines().filter(|line| {
            let process = line.starts_with(|c: char| c.is_ascii_digit());
            !process || namespaces && ["(cloudtik)", "(etcd)"].iter().any(|name| line.contains(name))
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        assert!(text.contains("steps/") && text.contains("etcd.yaml"), "{}", ran.text());
        traces.insert(format!("{address} {}", worker.id), text);
    }
    traces
}

/// Applies, and holds that only these addresses are told of, and no worker was touched that there was. Gives what was told.
#[track_caller]
fn concerns_only(cluster: &Quickstart, workers: usize, addresses: &[&str]) -> Vec<Told> {
    let (before, event, made) = (traces(cluster, WORKERS), cluster.last_event(), cluster.made());
    let ran = cluster.stage.expect(0, &APPLY);
    cluster.settled(workers);
    let told = cluster.events(event);
    let concerned = |told: &Told| {
        let configured = told.address.is_empty() && told.text.starts_with("configuration ");
        configured || addresses.iter().any(|address| told.address == *address || below(address, &told.address))
    };
    let others: Vec<&Told> = told.iter().filter(|told| !concerned(told)).collect();
    assert!(others.is_empty(), "these were touched too: {others:#?}\n{}", ran.text());
    assert_eq!(traces(cluster, WORKERS), before);
    let mut now = cluster.made();
    now.retain(|address, _| !addresses.iter().any(|other| below(other, address)));
    assert_eq!(now, made, "an instance was made");
    told
}

/// Whether an address begins as a pattern with `*` at its end does.
fn below(pattern: &str, address: &str) -> bool {
    pattern.strip_suffix('*').is_some_and(|prefix| address.starts_with(prefix))
}

const HEAD: &str = "cluster.quickstart.head";
const CONFIG: &str = "cluster.quickstart.head.runtime.nginx.config";
const SYNTAX: &str = "cluster.quickstart.head.runtime.nginx.syntax";
const DAEMON: &str = "cluster.quickstart.head.runtime.nginx.nginx";

fn changed(cluster: &Quickstart) -> Vec<String> {
    let json: Json = serde_json::from_str(&cluster.stage.expect(0, &["plan", "--json"]).stdout).unwrap();
    let changes = json["resource_changes"].as_array().unwrap();
    let changed = changes.iter().filter(|change| change["change"]["actions"][0] != "no-op");
    changed.map(|change| change["address"].as_str().unwrap().to_owned()).collect()
}

fn nginx_pid(cluster: &Quickstart) -> Option<i32> {
    let processes = cluster.stage.processes();
    processes.iter().find(|process| process.command.iter().any(|word| word.starts_with("nginx: master"))).map(|process| process.pid)
}

fn a_line_of_a_template(cluster: &Quickstart) {
    let template = cluster.stage.project().join("nginx/templates/nginx.conf.hbs");
    let text = fs::read_to_string(&template).unwrap();
    let other = text.replacen("server_tokens off;", "server_tokens build;", 1);
    assert_ne!(text, other);
    fs::write(&template, other).unwrap();
    let plan = cluster.stage.expect(0, &["plan"]).stdout;
    for line in ["-     server_tokens off;", "+     server_tokens build;"] {
        assert!(plan.lines().any(|shown| shown.trim().ends_with(line) || shown.trim() == line), "`{line}` is not in the plan:\n{plan}");
    }
    assert_eq!(changed(cluster), ["cluster.quickstart.head_controller"], "{plan}");
    let pid = nginx_pid(cluster).expect("nginx runs");
    let told = concerns_only(cluster, 3, &[CONFIG, SYNTAX, DAEMON, HEAD]);
    let count = |address: &str| told.iter().filter(|told| told.address == address && told.text.starts_with("done")).count();
    assert_eq!((count(CONFIG), count(SYNTAX), count(DAEMON)), (1, 1, 1), "{told:?}");
    assert_eq!(nginx_pid(cluster), Some(pid), "nginx was to be reloaded, not restarted");
    let answer = get(&format!("{}/nowhere", cluster.url)).unwrap();
    assert!(answer.contains("Server: nginx/"), "the new configuration is not in use: {answer}");
    assert!(cluster.stage.expect(0, &APPLY).stdout.contains("No changes"));
}

fn change(cluster: &mut Quickstart, from: &str, to: &str) {
    cluster.spec = cluster.spec_with(from, to);
    cluster.stage.spec(&cluster.spec);
}

fn a_group(cluster: &mut Quickstart) {
    change(
        cluster,
        "  runtime \"etcd\" {}\n",
        "  workers \"more\" {\n    min      = 1\n    max      = 1\n    runtimes = []\n  }\n\n  runtime \"etcd\" {}\n",
    );
    concerns_only(cluster, 4, &["cluster.quickstart.workers.more*", HEAD]);
}

fn a_file_of_the_head(cluster: &mut Quickstart) {
    change(cluster, "  head {\n", "  files = { \"note\" = { content = \"a note\\n\", on = [\"head\"] } }\n\n  head {\n");
    // The steps that the controller does on the head come after it.
    assert_eq!(changed(cluster), ["cluster.quickstart.head.file[\"note\"]", "cluster.quickstart.head_controller"]);
    concerns_only(cluster, 4, &[]);
    assert_eq!(cluster.stage.expect(0, &["exec", "--", "sh", "-c", "cat ~/note"]).stdout, "a note\n");
}

fn a_runtime_of_the_head(cluster: &mut Quickstart) {
    let module = cluster.stage.project().join("motto");
    fs::create_dir(&module).unwrap();
    let text = "module \"motto\" {\n  version = \"1.0.0\"\n  roles   = [\"head\"]\n}\n\nfile \"motto\" {\n  path    = \"${node.dirs.conf}/motto\"\n  content = \"well begun\\n\"\n}\n";
    fs::write(module.join("module.hcl"), text).unwrap();
    change(cluster, "  runtime \"etcd\" {}\n", "  runtime \"motto\" { source = \"./motto\" }\n\n  runtime \"etcd\" {}\n");
    concerns_only(cluster, 4, &["cluster.quickstart.head.runtime.motto*", HEAD]);
    assert_eq!(cluster.stage.expect(0, &["exec", "--", "sh", "-c", "cat \"$CLOUDTIK_NODE_ROOT\"/conf/motto"]).stdout, "well begun\n");
}

fn a_runtime_goes(cluster: &mut Quickstart) {
    let find = ["exec", "--", "sh", "-c", "cd \"$CLOUDTIK_NODE_ROOT\" && find conf packages data -path '*nginx*'"];
    assert!(cluster.stage.expect(0, &find).stdout.contains("nginx.conf"));
    let (before, rest) = cluster.spec.split_once("  runtime \"nginx\" {").unwrap();
    let (_, after) = rest.split_once("\n  }\n}").unwrap();
    cluster.spec = format!("{before}}}{after}");
    cluster.stage.spec(&cluster.spec);
    concerns_only(cluster, 4, &["cluster.quickstart.head.runtime.nginx*", HEAD]);
    assert_eq!(nginx_pid(cluster), None);
    assert_eq!(get(&format!("{}/health", cluster.url)), None);
    let left = cluster.stage.expect(0, &find).stdout;
    assert_eq!(left, "", "files of nginx are left");
}

/// Somebody who writes keys, one after the other, each until it is acknowledged.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Vec<String>, Duration)>,
}

impl Writer {
    /// Writes keys that begin with that at one of etcd's gateways.
    fn start(url: &str, prefix: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (until, url, prefix) = (Arc::clone(&stop), format!("{url}/v3/kv/put"), prefix.to_owned());
        let thread = std::thread::spawn(move || {
            let (mut written, mut longest) = (Vec::new(), Duration::ZERO);
            while !until.load(Ordering::SeqCst) {
                let key = format!("{prefix}{:06}", written.len());
                let began = Instant::now();
                // Forever would hang the test; what took as long has failed it anyway.
                while post(&url, &put_request(&key, &key), TRY_MAX).is_none() && began.elapsed() < 10 * WRITE_MAX {
                    std::thread::sleep(Duration::from_millis(50));
                }
                longest = longest.max(began.elapsed());
                written.push(key);
                std::thread::sleep(Duration::from_millis(10));
            }
            (written, longest)
        });
        Self { stop, thread }
    }

    /// Holds that no write took too long, and that every key that was acknowledged is there.
    #[track_caller]
    fn check(self, cluster: &Quickstart, prefix: &str) {
        self.stop.store(true, Ordering::SeqCst);
        let (written, longest) = self.thread.join().unwrap();
        println!("{prefix}: {} keys, the slowest in {:.2} s", written.len(), longest.as_secs_f64());
        assert!(written.len() > 50, "only {} keys were written", written.len());
        assert!(longest < WRITE_MAX, "a write took {longest:?}");
        // What comes after `/` is `0`.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let range = json!({ "key": base64(prefix), "range_end": base64(&end), "keys_only": true });
        let found = post(&format!("{}/v3/kv/range", cluster.url), &range, Duration::from_secs(10)).unwrap();
        let found: BTreeSet<String> =
            found["kvs"].as_array().unwrap().iter().map(|pair| pair["key"].as_str().unwrap().to_owned()).collect();
        let lost: Vec<&String> = written.iter().filter(|key| !found.contains(&base64(key))).collect();
        assert!(lost.is_empty(), "these keys were acknowledged and are not there: {lost:?}");
    }
}

/// Holds that members came and went one at a time.
#[track_caller]
fn one_at_a_time(told: &[Told], joined: usize, left: usize) {
    let mut under_way: Option<&str> = None;
    let (mut joins, mut leaves) = (0, 0);
    for event in told.iter().filter(|event| event.address.ends_with(".runtime.etcd.member")) {
        let begins = ["join: ", "leave: "].iter().any(|word| event.text.starts_with(word));
        if begins {
            assert_eq!(under_way, None, "two at once: {event:?} in {told:#?}");
            under_way = Some(&event.address);
        } else {
            assert_eq!(under_way.take(), Some(event.address.as_str()), "{event:?} in {told:#?}");
            joins += usize::from(event.text.starts_with("made"));
            leaves += usize::from(event.text.starts_with("removed"));
        }
    }
    assert_eq!((joins, leaves), (joined, left), "{told:#?}");
}

fn more_and_fewer(cluster: &Quickstart) {
    let before = cluster.workers();
    let stays = &before[&format!("{WORKERS}[1]")];
    let writer = Writer::start(&format!("http://{}:2379", stays.address), "grow/");
    let event = cluster.last_event();
    cluster.stage.expect(0, &["apply", "--auto-approve", "--var", "workers=5"]);
    cluster.settled(5);
    one_at_a_time(&cluster.events(event), 2, 0);
    cluster.is_well(5, None);

    let event = cluster.last_event();
    cluster.stage.expect(0, &APPLY);
    cluster.settled(3);
    one_at_a_time(&cluster.events(event), 0, 2);
    cluster.is_well(3, None);
    writer.check(cluster, "grow/");
    assert_eq!(cluster.workers(), before, "those who were there first stay");
}

/// Looks all the time how many members are well, and gives the longest time in which they were fewer than two.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Duration, usize)>,
}

impl Watcher {
    fn start(cluster: &Quickstart) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let mut known: BTreeSet<String> = cluster.workers().values().map(|worker| format!("http://{}:2379", worker.address)).collect();
        let thread = std::thread::spawn(move || {
            let (mut longest, mut since, mut looks) = (Duration::ZERO, Instant::now(), 0);
            while !until.load(Ordering::SeqCst) {
                let limit = Duration::from_secs(1);
                let listed = known.iter().find_map(|url| post(&format!("{url}/v3/cluster/member/list"), &json!({}), limit));
                if let Some(members) = listed.as_ref().and_then(|list| list["members"].as_array()) {
                    let urls = members.iter().filter_map(|member| member["clientURLs"][0].as_str());
                    known = urls.map(str::to_owned).collect();
                }
                let well = known.iter().filter(|url| get(&format!("{url}/health")).is_some_and(|text| text.contains("\"true\""))).count();
                if well >= 2 {
                    since = Instant::now();
                }
                longest = longest.max(since.elapsed());
                looks += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            (longest, looks)
        });
        Self { stop, thread }
    }

    fn end(self) -> (Duration, usize) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn rolling(cluster: &Quickstart) {
    let before = cluster.workers();
    let (address, worker) = before.iter().next().unwrap();
    assert_eq!(cluster.etcdctl(address, worker, "put rolled over").code(), Some(0));
    cluster.stage.spec(&cluster.spec_with("    max = 5\n", "    max = 5\n    cpus = 1\n"));
    let plan = cluster.stage.expect(0, &["plan"]).stdout;
    assert!(plan.contains("cpus"), "{plan}");
    let event = cluster.last_event();
    let writer = Writer::start(&cluster.url, "roll/");
    let watcher = Watcher::start(cluster);
    let ran = cluster.stage.expect(0, &APPLY);
    println!("a rolling change took {:.1} s", ran.took.as_secs_f64());
    cluster.settled_within(3, Duration::from_secs(120));
    let (few, looks) = watcher.end();
    println!("fewer than two were well for at most {:.2} s, of {looks} looks", few.as_secs_f64());
    assert!(looks > 20 && few < FEW_MAX, "fewer than two members were well for {few:?}");

    let told = cluster.events(event);
    one_at_a_time(&told, 3, 3);
    // One is let go only when the one before is replaced.
    let mut missing = 0;
    for event in &told {
        let of_worker = event.address.ends_with(']');
        if of_worker && event.text.starts_with("removing") {
            missing += 1;
        } else if of_worker && event.text == "ready" {
            missing -= 1;
        }
        assert!((0..=1).contains(&missing), "the health gate was passed at {event:?}: {told:#?}");
    }
    let now = cluster.workers();
    assert!(now.len() == 3 && now.keys().all(|address| !before.contains_key(address)), "{now:?}");
    cluster.is_well(3, Some(("rolled", "over")));
    writer.check(cluster, "roll/");
    let status = cluster.status().unwrap();
    assert_eq!(status["groups"]["store"]["outdated"], 0, "{status}");
}
