//! What the command line does on a terminal: it asks, it is in colour, it shows what runs.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::pty::{OpenptyResult, openpty};
use nix::sched::{CloneFlags, unshare};

/// No text of a test needs as long.
const PATIENCE: Duration = Duration::from_secs(30);

const SPEC: &str = "resource \"value\" \"a\" {\n  input = 1\n}\noutput \"a\" {\n  value = value.a.output\n}\n";

/// A program on a terminal.
struct Session {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    reader: std::thread::JoinHandle<()>,
}

impl Session {
    /// `None`: this machine gives no pseudo-terminal, and the test says so.
    fn start(folder: &Path, arguments: &[&str]) -> Option<Self> {
        let OpenptyResult { master, slave } = pseudo_terminal()?;
        let side = |slave: &OwnedFd| Stdio::from(slave.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloudtik"));
        command.args(arguments).current_dir(folder).env_clear().env("TERM", "xterm").env("LANG", "C.UTF-8").env("HOME", folder);
        let child = command.stdin(side(&slave)).stdout(side(&slave)).stderr(side(&slave)).spawn().unwrap();
        drop((slave, command));
        let keyboard = File::from(master);
        let mut from = keyboard.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&screen);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The other end of a terminal that was closed is an error to read from.
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                to.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Some(Self { child, keyboard, screen, reader })
    }

    fn wait_for(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.screen.lock().unwrap().contains(text) {
            assert!(Instant::now() < until, "no `{text}` in:\n{}", self.screen.lock().unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn say(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Its exit code and all that was on the screen.
    fn end(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        self.reader.join().unwrap();
        let screen = self.screen.lock().unwrap().clone();
        (code, screen)
    }
}

/// A pseudo-terminal of this machine; where it has none mounted, and lets us, one of our own.
fn pseudo_terminal() -> Option<OpenptyResult> {
    if let Ok(pair) = openpty(None, None) {
        return Some(pair);
    }
    let none = None::<&str>;
    let own = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
        .and_then(|()| mount(Some("devpts"), "/dev/pts", Some("devpts"), MsFlags::empty(), Some("newinstance,ptmxmode=0666")))
        .and_then(|()| mount(Some("/dev/pts/ptmx"), "/dev/ptmx", none, MsFlags::MS_BIND, none))
        .and_then(|()| openpty(None, None));
    own.inspect_err(|error| eprintln!("SKIPPED: this machine gives no pseudo-terminal ({error})")).ok()
}

fn project(spec: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.hcl"), spec).unwrap();
    folder
}

/// Runs it without a terminal.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cloudtik")).args(arguments).current_dir(folder).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

#[test]
fn only_yes_is_a_yes() {
    let project = project(SPEC);
    for (answer, code, words) in
        [("y\n", 1, "Nothing was changed"), ("\n", 1, "Nothing was changed"), ("yes\n", 0, "Apply complete! 1 created")]
    {
        let Some(mut session) = Session::start(project.path(), &["apply"]) else { return };
        session.wait_for("Only 'yes' is accepted.");
        session.wait_for("Enter a value: ");
        session.say(answer);
        let (ended, screen) = session.end();
        assert_eq!(ended, code, "{screen}");
        assert!(screen.contains(words), "{screen}");
    }
    let Some(mut session) = Session::start(project.path(), &["destroy"]) else { return };
    session.wait_for("There is no undo.");
    session.say("yes\n");
    let (ended, screen) = session.end();
    assert!(ended == 0 && screen.contains("Destroy complete! 1 deleted"), "{screen}");
}

#[test]
fn who_is_asked_holds_the_lock() {
    let project = project(SPEC);
    let Some(mut session) = Session::start(project.path(), &["apply"]) else { return };
    session.wait_for("Enter a value: ");
    let (code, text) = run(project.path(), &["apply", "-auto-approve"]);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("apply"), "it says who holds it: {text}");
    let (code, text) = run(project.path(), &["plan"]);
    assert_eq!(code, 0, "a plan reads a snapshot: {text}");
    session.say("yes\n");
    assert_eq!(session.end().0, 0);
}

#[test]
fn colour_is_for_terminals_and_can_be_refused() {
    let project = project(SPEC);
    let Some(session) = Session::start(project.path(), &["plan"]) else { return };
    let (_, colored) = session.end();
    assert!(colored.contains("\u{1b}[32m"), "{colored:?}");
    let Some(session) = Session::start(project.path(), &["plan", "-no-color"]) else { return };
    let (_, plain) = session.end();
    assert!(!plain.contains("\u{1b}[32m") && plain.contains("Plan: 1 to create"), "{plain:?}");
    assert!(!run(project.path(), &["plan"]).1.contains('\u{1b}'));
}

/// Nodes of the chain.
const LENGTH: u32 = 250;

#[test]
fn what_runs_is_shown_while_it_runs() {
    // One after the other, so that it takes longer than live lines need to come up.
    let one = |i: u32| format!("resource \"sim_instance\" \"n{i}\" {{\n  name = \"n-${{sim_instance.n{}.private_ip}}\"\n}}\n", i - 1);
    let chain: String = (1..LENGTH).map(one).collect();
    let project = project(&format!("provider \"sim\" {{}}\nresource \"sim_instance\" \"n0\" {{\n  name = \"n\"\n}}\n{chain}"));
    let Some(session) = Session::start(project.path(), &["apply", "-auto-approve"]) else { return };
    let (code, screen) = session.end();
    assert_eq!(code, 0, "{screen}");
    let (counts, end) = (format!("/{LENGTH} done, 1 running, 0 failed, "), format!("Apply complete! {LENGTH} created"));
    for text in [&counts, ": creating (0s)", "sim_instance.n0: created in ", &end] {
        assert!(screen.contains(text), "no `{text}` on the screen, which ends with {:?}", screen.get(screen.len().saturating_sub(400)..));
    }
}
