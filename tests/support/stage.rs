//! A place of its own for a test: a project, a home, the folders of the XDG specification, a port, perhaps a user.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::machine::{Own, Process};
use super::user::User;

/// Names a program that was built before; without it, the one that cargo built with the test.
const BINARY: &str = "CLOUDTIK_BIN";

/// No command of a test needs as long; one that hangs must not hang the others.
const TIME_MAX: Duration = Duration::from_secs(180);

/// How long what a command leaves may take to go: the local cloud stays for a moment after its last resource.
const GOING_MAX: Duration = Duration::from_secs(20);

/// In what form the local cloud makes nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As root.
    Namespaces,
    /// As a user without rights.
    Plain,
}

/// A place of its own. What a test leaves there is removed with it, and every process that belongs to it ended.
pub struct Stage {
    pub form: Form,
    folder: tempfile::TempDir,
    user: Option<User>,
    binary: PathBuf,
    environment: Vec<(String, String)>,
    /// Only one test at a time uses the machine: several clusters at once would only wait for each other.
    _turn: File,
}

/// What came of a command.
#[derive(Clone, Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ran {
    /// The exit code; a signal has none.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Both streams, for a message.
    pub fn text(&self) -> String {
        format!("{}\n--- stdout\n{}--- stderr\n{}", self.status, self.stdout, self.stderr)
    }

    /// How many errors it told.
    pub fn errors(&self) -> usize {
        self.stderr.matches("error[").count()
    }
}

/// A command under way.
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    began: Instant,
    line: String,
}

impl Running {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// What it said so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ran {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.began.elapsed() > TIME_MAX {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("`{}` did not end within {TIME_MAX:?}; it said:\n{}", self.line, self.stderr());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Ran { status, stdout: text(&self.out), stderr: text(&self.err), took: self.began.elapsed() }
    }
}

/// What tests that look at the whole machine hold alone.
fn turn() -> File {
    File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("one-at-a-time.lock")).unwrap()
}

impl Stage {
    /// A place for the form. `Plain` has a user of its own when this process is root's, and is this process's user otherwise.
    pub fn new(form: Form) -> Self {
        let turn = turn();
        turn.lock().unwrap();
        Self::with(form, turn)
    }

    /// The same for a test that looks at nothing of this machine but its own folder: such tests run side by side.
    pub fn beside_others(form: Form) -> Self {
        let turn = turn();
        turn.lock_shared().unwrap();
        Self::with(form, turn)
    }

    fn with(form: Form, turn: File) -> Self {
        // The path of a socket may have 107 bytes: the folder's name is short.
        let folder = tempfile::Builder::new().prefix("ct-").tempdir().unwrap();
        let root = folder.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        let user = (form == Form::Plain && super::is_root()).then(|| User::make(&root.join("home")));
        for name in ["home", "state", "cache", "project", "tmp", "bin"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::create_dir(root.join("run")).unwrap();
        fs::set_permissions(root.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        let binary = root.join("bin/cloudtik");
        let built = std::env::var_os(BINARY).map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_cloudtik")), PathBuf::from);
        if fs::hard_link(&built, &binary).is_err() {
            fs::copy(&built, &binary).unwrap();
        }
        let stage = Self { form, folder, user, binary, environment: Vec::new(), _turn: turn };
        stage.take_artifacts();
        stage.give();
        stage
    }

    /// The forms that this process can try.
    pub fn forms() -> Vec<Form> {
        if super::is_root() {
            return vec![Form::Namespaces, Form::Plain];
        }
        super::cannot_run("the namespaces form", "it needs root");
        vec![Form::Plain]
    }

    /// The first form that this process can try.
    pub fn any_form() -> Form {
        if super::is_root() { Form::Namespaces } else { Form::Plain }
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    pub fn data(&self) -> PathBuf {
        self.project().join(".cloudtik")
    }

    /// The user of the test, if it is not this process's.
    pub const fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// From now on, for every command.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Writes the spec.
    pub fn spec(&self, text: &str) {
        fs::write(self.project().join("main.hcl"), text).unwrap();
        self.give();
    }

    /// Gives everything to the user of the test.
    pub fn give(&self) {
        if let Some(user) = &self.user {
            for name in ["home", "state", "cache", "project", "tmp", "run"] {
                user.own(&self.root().join(name));
            }
        }
    }

    /// The program with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let root = self.root();
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(self.project()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", root.join("home")).env("TMPDIR", root.join("tmp"));
        command.env("LANG", "C.UTF-8").env("XDG_RUNTIME_DIR", root.join("run")).env("XDG_STATE_HOME", root.join("state"));
        command.env("XDG_CACHE_HOME", root.join("cache"));
        // How a package index is reached is the machine's business.
        let proxies = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            name.starts_with("PIP_") || name.to_ascii_lowercase().ends_with("_proxy") || name.starts_with("SSL_CERT_")
        });
        command.envs(proxies).envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Starts a command.
    pub fn start(&self, arguments: &[&str]) -> Running {
        self.start_with(arguments, &[])
    }

    /// Starts a command with something in its environment.
    pub fn start_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let folder = tempfile::Builder::new().prefix("out-").tempdir_in(self.root()).unwrap().keep();
        let (out, err) = (folder.join("stdout"), folder.join("stderr"));
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let began = Instant::now();
        let child = command.spawn().unwrap();
        Running { child, out, err, began, line: format!("cloudtik {}", arguments.join(" ")) }
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.start(arguments).wait()
    }

    /// Runs a command that ends as it should.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code(), Some(code), "`cloudtik {}`: {}", arguments.join(" "), ran.text());
        ran
    }

    /// Runs a command that fails with one error, and gives what it said.
    #[track_caller]
    pub fn fails(&self, code: i32, arguments: &[&str], says: &[&str]) -> Ran {
        let ran = self.run(arguments);
        failed(&ran, code, says);
        ran
    }

    /// The audit log of the local cloud, oldest first.
    pub fn audit(&self) -> Vec<Json> {
        let text = fs::read_to_string(self.root().join("state/cloudtik/local/audit.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many entries of the audit log have that verb.
    pub fn audited(&self, verb: &str) -> usize {
        self.audit().iter().filter(|entry| entry["verb"] == verb).count()
    }

    /// The ids of everything that there ever was.
    fn ids(&self) -> BTreeSet<String> {
        self.audit().iter().filter_map(|entry| entry["id"].as_str().map(str::to_owned)).collect()
    }

    fn own<'a>(&'a self, ids: &'a BTreeSet<String>) -> Own<'a> {
        Own { folder: self.root(), ids, uid: self.user.as_ref().map(|user| user.uid) }
    }

    /// The processes that belong here.
    pub fn processes(&self) -> Vec<Process> {
        self.own(&self.ids()).processes()
    }

    /// What of this test is on the machine now.
    pub fn there(&self) -> Vec<String> {
        let mut there = self.own(&self.ids()).things();
        there.extend(self.processes().iter().map(|process| format!("process {}: {}", process.pid, process.command.join(" "))));
        there
    }

    /// What of this test is left on the machine: waits for it to go.
    pub fn left(&self) -> Vec<String> {
        let until = Instant::now() + GOING_MAX;
        loop {
            let left = self.there();
            if left.is_empty() || Instant::now() > until {
                return left;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Holds that a `destroy` left nothing: on the machine, in the state, and below the data folder but what outlives every cluster.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        assert_eq!(self.left(), Vec::<String>::new(), "destroy left this on the machine");
        let allowed = |path: &String| {
            let backup = path.starts_with("state.json.") && path.ends_with(".bak");
            matches!(path.as_str(), "state.json" | "lock" | ".gitignore") || path.starts_with("keys/") || backup
        };
        let files = super::files_below(&self.data());
        assert!(files.iter().all(allowed), "destroy left files: {files:?}");
        let state: Json = serde_json::from_str(&fs::read_to_string(self.data().join("state.json")).unwrap()).unwrap();
        assert_eq!(state["resources"].as_object().map_or(0, serde_json::Map::len), 0, "{state}");
        let folders: Vec<String> = fs::read_dir(self.data())
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(folders, ["keys"]);
    }

    /// The folder below the target folder that keeps what tests fetched.
    fn artifacts() -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("artifacts")
    }

    fn take_artifacts(&self) {
        if Self::artifacts().is_dir() {
            super::copy_folder(&Self::artifacts(), &self.root().join("cache/cloudtik/artifacts"));
        }
    }

    /// Keeps what was fetched for the tests that come.
    fn keep_artifacts(&self) {
        let cache = self.root().join("cache/cloudtik/artifacts");
        for name in super::files_below(&cache).iter().filter(|name| !name.contains('/')) {
            let kept = Self::artifacts().join(name);
            if !kept.exists() {
                fs::create_dir_all(Self::artifacts()).unwrap();
                fs::copy(cache.join(name), kept).unwrap();
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let processes = self.processes();
        if !processes.is_empty() {
            // A test that failed left something: the program knows best how to remove it, and what it does not know of is ended.
            self.environment.retain(|(name, _)| !name.starts_with("CLOUDTIK_"));
            if let Ok(mut child) =
                self.command(&["destroy", "--auto-approve", "--delete-data=all"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
            {
                drop(child.wait());
            }
            self.processes().iter().for_each(Process::kill);
        }
        if !std::thread::panicking() {
            self.keep_artifacts();
        }
    }
}

/// Holds that a command ended with one error of that code, which says all of this.
#[track_caller]
pub fn failed(ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!(ran.code(), Some(code), "{}", ran.text());
    assert_eq!(ran.errors(), 1, "one error is expected: {}", ran.text());
    // Lines are broken where they are shown.
    let said: String = ran.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    for part in says {
        assert!(said.contains(part), "`{part}` is not said: {}", ran.text());
    }
    assert!(!said.contains("panicked"), "{}", ran.text());
}

/// A port of this machine that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Gets a page. `None`: nobody answers.
pub fn get(url: &str) -> Option<String> {
    request(url, "GET", "", Duration::from_secs(10)).filter(|text| text.starts_with("HTTP/1."))
}

/// Posts a document, and gives the answer's if it went well. `None`: nobody answers in time, or not so.
pub fn post(url: &str, body: &Json, limit: Duration) -> Option<Json> {
    let text = request(url, "POST", &body.to_string(), limit)?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| serde_json::from_str(body).ok())?
}

/// The whole answer, also a part of one.
fn request(url: &str, method: &str, body: &str, limit: Duration) -> Option<String> {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect_timeout(&host.parse().unwrap(), limit).ok()?;
    stream.set_read_timeout(Some(limit)).unwrap();
    let length = body.len();
    stream.write_all(format!("{method} /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
