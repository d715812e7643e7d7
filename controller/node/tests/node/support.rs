//! A node in a temporary folder, and sessions with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cloudtik_model::{DaemonSpec, Digest, NodeAction, NodeBoot, NodeReply, NodeRequest, StepOutcome, Verb};
use cloudtik_ssh::{KeyPairText, generate_ecdsa_p256, generate_ed25519};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) const SSH_PORT: u16 = 20022;

/// The file of the launch's host key, in the node's temporary folder.
const BOOTSTRAP_KEY: &str = "bootstrap_key";

/// A trial of a function that panics when it fails.
pub(crate) fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// Serves empty pages until it is killed; a port in use is an error in its own words.
pub(crate) fn test_daemon(address: &str) -> ExitCode {
    let listener = match std::net::TcpListener::bind(address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("test-daemon: cannot bind {address}: {error}");
            return ExitCode::from(98);
        }
    };
    println!("test-daemon: serving {address}");
    for stream in listener.incoming().flatten() {
        let mut line = String::new();
        let mut reader = BufReader::new(&stream);
        if reader.read_line(&mut line).is_ok() {
            let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    }
    ExitCode::SUCCESS
}

/// An address of this machine that no other test has.
pub(crate) fn own_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let pid = std::process::id();
    format!("127.{}.{}.{}", 100 + (pid >> 8) % 100, pid % 256, NEXT.fetch_add(1, Ordering::SeqCst))
}

pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Processes that carry the node's mark.
pub(crate) fn processes_of(instance: &str) -> Vec<i32> {
    let mark = format!("CLOUDTIK_NODE={instance}");
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let marked = |pid: &i32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    pids.filter(marked).filter(|pid| is_alive(*pid)).collect()
}

pub(crate) struct Node {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) boot: PathBuf,
    pub(crate) instance: String,
    pub(crate) address: String,
    pub(crate) bootstrap: KeyPairText,
    pub(crate) operator: KeyPairText,
    agent: Option<Child>,
    wrapper: Vec<String>,
}

impl Node {
    /// A node that runs.
    pub(crate) fn start() -> Self {
        let mut node = Self::prepare("n");
        node.launch();
        node
    }

    /// A node that does not run yet, in a folder of this name.
    pub(crate) fn prepare(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(name);
        let address = own_address();
        let instance = format!("test-{address}");
        let (bootstrap, operator) = (generate_ecdsa_p256().unwrap(), generate_ed25519().unwrap());
        let key = folder.path().join(BOOTSTRAP_KEY);
        fs::write(&key, &bootstrap.private_openssh).unwrap();
        let dir = |name: &str| (name.to_owned(), root.join(name).display().to_string());
        let boot = NodeBoot {
            version: NodeBoot::VERSION,
            instance_id: instance.clone(),
            address: address.clone(),
            ssh_port: SSH_PORT,
            ssh_user: "cloudtik".to_owned(),
            root: root.display().to_string(),
            dirs: ["home", "conf", "data", "logs", "packages", "artifacts", "tmp"].map(dir).into(),
            bootstrap_host_key: key.display().to_string(),
            authorized_keys: vec![operator.public_openssh.clone()],
            env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            openssh: false,
        };
        let path = folder.path().join("boot.json");
        fs::write(&path, serde_json::to_vec(&boot).unwrap()).unwrap();
        Self { folder, root, boot: path, instance, address, bootstrap, operator, agent: None, wrapper: Vec::new() }
    }

    /// Puts a command before the agent's.
    pub(crate) fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    pub(crate) fn command(&self) -> Command {
        let program = std::env::current_exe().unwrap().display().to_string();
        let mut words = self.wrapper.iter().cloned().chain([program, "node".to_owned(), "--boot".to_owned()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg(&self.boot).env("CLOUDTIK_NODE", &self.instance).stdin(Stdio::null());
        command
    }

    pub(crate) fn launch(&mut self) {
        self.agent = Some(self.command().spawn().unwrap());
        wait_for("the SSH port", || std::net::TcpStream::connect((self.address.as_str(), SSH_PORT)).is_ok());
    }

    pub(crate) fn agent_pid(&self) -> i32 {
        i32::try_from(self.agent.as_ref().unwrap().id()).unwrap()
    }

    /// `kill -9` of the agent alone.
    pub(crate) fn kill(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// TERM, and its end.
    pub(crate) fn stop(&mut self) {
        kill(Pid::from_raw(self.agent_pid()), Signal::SIGTERM).unwrap();
        let status = self.agent.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}");
    }

    pub(crate) fn session(&self) -> Session {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["node", "run-step"])
            .env("CLOUDTIK_NODE_ROOT", &self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Session { child, stdin, stdout }
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        let output =
            Command::new(std::env::current_exe().unwrap()).args(["node", "status"]).env("CLOUDTIK_NODE_ROOT", &self.root).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// One request in a session of its own.
    pub(crate) fn ask(&self, request: &NodeRequest) -> Answer {
        self.session().ask(request)
    }

    pub(crate) fn perform(&self, run_id: &str, address: &str, action: &NodeAction) -> Answer {
        self.ask(&request(run_id, address, Verb::Do, action))
    }

    pub(crate) fn check(&self, address: &str, action: &NodeAction) -> StepOutcome {
        self.ask(&request("check", address, Verb::Check, action)).outcome
    }

    pub(crate) fn undo(&self, run_id: &str, address: &str, action: &NodeAction) -> Answer {
        self.ask(&request(run_id, address, Verb::Undo, action))
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(crate) fn bootstrap_file(&self) -> PathBuf {
        self.folder.path().join(BOOTSTRAP_KEY)
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    pub(crate) fn upload(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write(self.path("artifacts").join(digest.to_string()), bytes).unwrap();
        digest
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for pid in processes_of(&self.instance) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

pub(crate) struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Session {
    pub(crate) fn send(&mut self, request: &NodeRequest) {
        self.send_line(&serde_json::to_string(request).unwrap());
    }

    pub(crate) fn send_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\n")).and_then(|()| stdin.flush()).unwrap();
    }

    pub(crate) fn close_input(&mut self) {
        self.stdin = None;
    }

    /// The next frame; nothing at the end.
    pub(crate) fn reply(&mut self) -> Option<NodeReply> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    pub(crate) fn ask(mut self, request: &NodeRequest) -> Answer {
        self.send(request);
        self.close_input();
        self.answer()
    }

    /// Frames up to the end of a run.
    pub(crate) fn answer(&mut self) -> Answer {
        let (mut out, mut err) = (String::new(), String::new());
        loop {
            match self.reply().expect("an end") {
                NodeReply::Output { stderr, text, .. } => if stderr { &mut err } else { &mut out }.push_str(&text),
                NodeReply::End { identity, rendered, outcome, attributes, .. } => {
                    return Answer { out, err, identity, rendered, outcome, attributes };
                }
                NodeReply::Refused { reason, .. } => panic!("refused: {reason}"),
            }
        }
    }

    /// The connection breaks.
    pub(crate) fn break_off(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) identity: Digest,
    pub(crate) rendered: Digest,
    pub(crate) outcome: StepOutcome,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.outcome, StepOutcome::Done, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn skipped(self) -> Self {
        assert_eq!(self.outcome, StepOutcome::Skipped);
        self
    }

    /// Code, reason, whether it timed out.
    #[track_caller]
    pub(crate) fn failed(&self) -> (Option<i32>, &str, bool) {
        match &self.outcome {
            StepOutcome::Failed { code, reason, timed_out } => (*code, reason, *timed_out),
            other => panic!("{other:?} instead of a failure"),
        }
    }
}

/// A request whose identity follows from its action.
pub(crate) fn request(run_id: &str, address: &str, verb: Verb, action: &NodeAction) -> NodeRequest {
    let identity = Digest::of(serde_json::to_string(action).unwrap());
    NodeRequest {
        version: NodeRequest::VERSION,
        run_id: run_id.to_owned(),
        address: address.to_owned(),
        identity,
        verb,
        action: action.clone(),
    }
}

pub(crate) fn script(text: &str) -> NodeAction {
    NodeAction::Run {
        script: text.to_owned(),
        undo: None,
        creates: None,
        unless: None,
        only_if: None,
        env: BTreeMap::new(),
        user: None,
        timeout_secs: 20,
        retries: 0,
        retry_wait_secs: 0,
    }
}

/// A daemon of these words, without readiness.
pub(crate) fn daemon(name: &str, argv: &[&str]) -> DaemonSpec {
    DaemonSpec {
        name: name.to_owned(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        cwd: None,
        env: BTreeMap::new(),
        user: None,
        ready: None,
        ready_timeout_secs: 5,
        restarts_max: 3,
        restart_window_secs: 60,
        stop_signal: "TERM".to_owned(),
        stop_grace_secs: 2,
        log_bytes_max: 1 << 20,
        generation: String::new(),
        reload_signal: None,
    }
}

pub(crate) fn show(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
