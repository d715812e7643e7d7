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
        Self::start_with(folder, arguments, &[])
    }

    fn start_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Option<Self> {
        let OpenptyResult { master, slave } = pseudo_terminal()?;
        let side = |slave: &OwnedFd| Stdio::from(slave.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloudtik"));
        command.args(arguments).current_dir(folder).env_clear().env("TERM", "xterm").env("LANG", "C.UTF-8").env("HOME", folder);
        command.envs(variables.iter().copied());
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

const QUESTIONS: &str = r#"
variable "size" {
  type        = number
  description = "How many."
}
variable "password" {
  type      = string
  sensitive = true
}
variable "region" { default = "here" }
resource "value" "a" { input = { size = var.size, password = var.password, region = var.region } }
output "size" { value = var.size }
output "password" {
  value     = var.password
  sensitive = true
}
"#;

#[test]
fn values_that_are_missing_are_asked_for_and_secrets_are_not_shown() {
    let folder = project(QUESTIONS);
    for (command, end) in
        [("plan", "Plan: 1 to create"), ("apply", "Apply complete! 1 created"), ("destroy", "Destroy complete! 1 deleted")]
    {
        let Some(mut session) = Session::start(folder.path(), &[command]) else { return };
        // By name, and without the one that has a default.
        session.wait_for("var.password\r\n");
        session.wait_for("Enter a value: ");
        // The last letter was wrong, and is two bytes long.
        session.say("Sesamé\u{7f}e!\n");
        session.wait_for("var.size\r\n  How many.\r\n");
        session.say("42\n");
        if command != "plan" {
            session.wait_for("Only 'yes' is accepted.");
            session.say("yes\n");
        }
        let (code, screen) = session.end();
        assert!(code == 0 && screen.contains(end), "{screen}");
        assert!(screen.contains("42") && !screen.contains("Sesam") && !screen.contains("var.region"), "{screen}");
        if command == "apply" {
            let given = |name: &str| run(folder.path(), &["output", "-raw", name, "-var", "size=1", "-var", "password=x"]);
            assert_eq!((given("size"), given("password")), ((0, "42".to_owned()), (0, "Sesame!".to_owned())));
        }
    }
}

#[test]
fn nobody_is_asked_who_must_not_be_and_an_end_of_input_is_no_answer() {
    let folder = project("variable \"size\" { type = number }\noutput \"size\" { value = var.size }\n");
    // The arguments, and a variable that forbids to ask.
    let cases = [
        ("plan -input=false", ""),
        ("plan", "CLOUDTIK_INPUT=0"),
        ("plan", "CLOUDTIK_IN_AUTOMATION=1"),
        ("output", ""),
        ("apply -json -auto-approve", ""),
        ("destroy -json -auto-approve", ""),
    ];
    for (arguments, variable) in cases {
        let words: Vec<&str> = arguments.split(' ').collect();
        let variables: Vec<(&str, &str)> = variable.split_once('=').into_iter().collect();
        let Some(session) = Session::start_with(folder.path(), &words, &variables) else { return };
        let (code, screen) = session.end();
        assert!(!screen.contains("Enter a value"), "{arguments} {variable}: {screen}");
        assert_eq!(code == 1, screen.contains("variable `size` has no value"), "{screen}");
    }
    let Some(mut session) = Session::start(folder.path(), &["plan"]) else { return };
    session.wait_for("Enter a value: ");
    session.say("\u{4}");
    let (code, screen) = session.end();
    assert!(code == 1 && screen.contains("variable `size` has no value"), "{screen}");
    let (code, text) = run(folder.path(), &["plan"]);
    assert!(code == 1 && text.contains("variable `size` has no value") && !text.contains("Enter a value"), "{text}");
}

#[test]
fn an_interrupted_secret_leaves_a_terminal_that_shows_what_is_typed() {
    let folder = project("variable \"key\" { sensitive = true }\noutput \"key\" {\n  value = var.key\n  sensitive = true\n}\n");
    let Some(mut session) = Session::start(folder.path(), &["plan"]) else { return };
    let flags = |session: &Session| nix::sys::termios::tcgetattr(&session.keyboard).unwrap().local_flags;
    let before = flags(&session);
    session.wait_for("Enter a value: ");
    assert_ne!(flags(&session), before, "who sees the question could be seen typing the answer");
    session.say("hal\u{3}");
    let status = session.child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2), "{status}");
    assert_eq!(flags(&session), before);
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
