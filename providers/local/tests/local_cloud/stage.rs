//! One local cloud of its own in a temporary folder, what the tests ask it, and the look for what it left.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use cloudtik_local::protocol::{
    Attributes, AuditEntry, BucketSpec, CreateRequest, ErrorClass, FirewallSpec, Form, InstanceAttributes, InstanceSpec, NetworkSpec,
    Object, Outcome, ResourceSpec, Secret,
};
use cloudtik_local::{Client, DaemonCommand, LocalCloudOptions, LocalError, probe_facts};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

/// How long a stand-in may take to listen.
pub(super) const UP: Duration = Duration::from_secs(20);

/// Where all tests of a run keep the copy of this program.
pub(super) static CACHE: OnceLock<PathBuf> = OnceLock::new();

pub(super) struct Stage {
    pub(super) folder: tempfile::TempDir,
    pub(super) client: Client,
    pub(super) form: Form,
}

pub(super) fn options_below(folder: &Path) -> LocalCloudOptions {
    let command = DaemonCommand { program: std::env::current_exe().unwrap(), arguments: vec!["local-cloud".into()] };
    let mut options = LocalCloudOptions::below(folder, command);
    options.cache_dir = CACHE.get().unwrap().clone();
    options.stop_grace = Duration::from_secs(2);
    options.idle_grace = Duration::from_millis(50);
    options
}

pub(super) fn namespaces_possible() -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let options = options_below(folder.path());
    std::fs::create_dir(&options.state_dir).unwrap();
    let facts = probe_facts(&options).unwrap();
    if facts.namespaces.possible { Ok(()) } else { Err(facts.namespaces.reason.unwrap_or_default()) }
}

pub(super) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

pub(super) fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work);
}

/// A free port, as far as one can know.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Stage {
    pub(super) fn new(form: Form) -> Self {
        Self::with(form, |_| {})
    }

    pub(super) fn with(form: Form, change: impl FnOnce(&mut LocalCloudOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options_below(folder.path());
        change(&mut options);
        Self { client: Client::new(options), form, folder }
    }

    /// The provider's root of the project, which does not exist yet.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("project/.cloudtik/local")
    }

    pub(super) fn another_client(&self) -> Client {
        Client::new(self.client.options().clone())
    }

    pub(super) fn request(&self, token: &str, spec: ResourceSpec) -> CreateRequest {
        CreateRequest {
            token: token.into(),
            op_id: format!("op-{token}"),
            address: format!("{}.{token}", spec.kind()),
            cluster: Some("cluster-1".into()),
            epoch: Some(1),
            tags: BTreeMap::from([("cloudtik:op".into(), token.into())]),
            secrets: match &spec {
                ResourceSpec::LocalInstance(_) => BTreeMap::from([("bootstrap_host_key".into(), Secret::new("the private half".into()))]),
                _ => BTreeMap::new(),
            },
            spec,
        }
    }

    pub(super) fn network(&self, token: &str) -> CreateRequest {
        self.request(token, ResourceSpec::LocalNetwork(NetworkSpec { name: "net".into(), form: self.form, cidr: None }))
    }

    pub(super) fn firewall(&self, token: &str, network: Option<&str>) -> CreateRequest {
        let rules = vec![serde_json::json!({"port": 80, "from": "0.0.0.0/0"})];
        self.request(token, ResourceSpec::LocalFirewall(FirewallSpec { name: "fw".into(), network: network.map(str::to_owned), rules }))
    }

    pub(super) fn bucket(&self, token: &str, name: &str) -> CreateRequest {
        self.request(token, ResourceSpec::LocalBucket(BucketSpec { name: name.into(), root: self.root() }))
    }

    pub(super) fn instance(&self, token: &str, network: &str) -> CreateRequest {
        self.request(token, ResourceSpec::LocalInstance(Box::new(self.instance_spec(network))))
    }

    pub(super) fn instance_spec(&self, network: &str) -> InstanceSpec {
        InstanceSpec {
            name: "head".into(),
            network: network.into(),
            form: self.form,
            root: self.root(),
            cpus: None,
            memory_gib: None,
            ssh_port: None,
            ssh_user: None,
            authorized_keys: vec!["ssh-ed25519 AAAA test".into()],
            publish: BTreeMap::new(),
            max_workers: None,
            mounts: BTreeMap::new(),
            env: BTreeMap::new(),
        }
    }

    pub(super) async fn create(&self, request: CreateRequest) -> Object {
        self.client.create(request).await.unwrap()
    }

    /// What a node answers to a shell command, through the daemon.
    pub(super) async fn ask(&self, node: &Object, command: &str) -> String {
        let port = instance_of(node).ssh_port;
        let mut stream = self.client.dial(&node.id, port, UP).await.unwrap();
        ask(&mut stream, command).await
    }

    pub(super) fn kill_daemon(&self) {
        assert!(self.kill_daemon_if_there(), "no daemon runs");
    }

    /// Whether there was one.
    pub(super) fn kill_daemon_if_there(&self) -> bool {
        let pids = processes_with(&self.client.options().state_dir.to_string_lossy(), "cmdline");
        let daemons: Vec<i32> = pids.into_iter().filter(|pid| read_proc(*pid, "cmdline").contains("--state-dir")).collect();
        assert!(daemons.len() <= 1, "one daemon per state folder");
        let Some(daemon) = daemons.first() else { return false };
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*daemon), nix::sys::signal::Signal::SIGKILL).unwrap();
        true
    }

    pub(super) fn audit(&self) -> Vec<AuditEntry> {
        let text = std::fs::read_to_string(self.client.options().state_dir.join("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Every create that took effect, by address: the judge of "one create per address and incarnation".
    pub(super) fn creates(&self) -> BTreeMap<String, usize> {
        let mut creates = BTreeMap::new();
        for entry in self.audit().into_iter().filter(|entry| entry.verb == "create" && entry.outcome == Outcome::Done) {
            *creates.entry(entry.address.unwrap()).or_insert(0) += 1;
        }
        creates
    }

    /// Ends the client and looks for everything that could have been left.
    pub(super) async fn nothing_is_left(self) {
        let options = self.client.options().clone();
        self.client.clone().finish().await.unwrap();
        // Also what was begun and undone is in the audit log.
        let ids: BTreeSet<String> = self.audit().into_iter().filter_map(|entry| entry.id).collect();
        let interfaces = interfaces();
        for id in &ids {
            let left = processes_with(&format!("CLOUDTIK_NODE={id}"), "environ");
            assert!(left.is_empty(), "processes of {id} are left: {left:?}");
            let digits = &id.rsplit('-').next().unwrap()[..8];
            assert!(!interfaces.iter().any(|name| name.ends_with(digits)), "an interface of {id} is left: {interfaces:?}");
        }
        let base = self.folder.path().to_string_lossy().into_owned();
        let left = processes_with(&base, "cmdline");
        let left: Vec<String> = left.into_iter().map(|pid| read_proc(pid, "cmdline").replace('\0', " ")).collect();
        assert!(left.is_empty(), "processes are left: {left:?}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.lines().any(|line| line.contains(&base)), "a mount is left:\n{mounts}");
        assert!(!options.socket.exists() && !options.socket.parent().unwrap().exists(), "the socket is left");
        assert!(!self.folder.path().join("project/.cloudtik/local").exists(), "the project's root is left");
        let kept: BTreeSet<String> =
            std::fs::read_dir(&options.state_dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let allowed = ["audit.jsonl", "daemon.log", "inventory.log", "lock", "name", "died-as-told"].map(str::to_owned);
        assert!(kept.iter().all(|name| allowed.contains(name)), "more than the logs is left: {kept:?}");
    }
}

/// A test that failed must not leave its nodes to the machine.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let client = self.another_client();
            let purged = std::thread::spawn(move || {
                run(async move {
                    if let Err(error) = client.purge(Vec::new()).await {
                        eprintln!("what a failed test made could not be removed: {error}");
                    }
                });
            });
            drop(purged.join());
        }
    }
}

pub(super) fn instance_of(object: &Object) -> &InstanceAttributes {
    match &object.attributes {
        Attributes::LocalInstance(attributes) => attributes,
        other => panic!("not an instance: {other:?}"),
    }
}

pub(super) async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), command: &str) -> String {
    stream.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

pub(super) fn code_of<T: std::fmt::Debug>(result: Result<T, LocalError>) -> (ErrorClass, String) {
    match result.unwrap_err() {
        LocalError::Cloud(error) => (error.class, error.code),
        other => panic!("not an error of the cloud: {other}"),
    }
}

fn interfaces() -> BTreeSet<String> {
    std::fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn processes_with(text: &str, file: &str) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap();
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own && read_proc(*pid, file).contains(text)).collect()
}

fn read_proc(pid: i32, file: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default()).into_owned()
}
