//! What the command line is to the shell that runs it: a reader that goes away, a disk that is full, a signal.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn cloudtik(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudtik"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

fn project(spec: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.hcl"), spec).unwrap();
    folder
}

/// So many nodes, one after the other: long enough to be interrupted.
const LENGTH: usize = 8;

fn chain() -> String {
    let one = |i: usize| format!("resource \"sim_instance\" \"n{i}\" {{\n  name = \"n-${{sim_instance.n{}.private_ip}}\"\n}}\n", i - 1);
    let rest: String = (1..LENGTH).map(one).collect();
    format!("provider \"sim\" {{}}\nresource \"sim_instance\" \"n0\" {{\n  name = \"n\"\n}}\n{rest}")
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = project("locals {}\n");
    let many: String = (0..3000).map(|i| format!("resource \"value\" \"a{i}\" {{\n  input = {i}\n}}\n")).collect();
    std::fs::write(project.path().join("many.hcl"), many).unwrap();
    let mut child = cloudtik(project.path(), &["plan"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    assert!(!first.is_empty());
}

/// What `controller call` carries is a frame there and a frame back; that nobody listens is told by its exit code.
#[test]
fn frames_are_carried_to_the_controller_of_the_node() {
    use std::io::Write as _;
    let node = tempfile::tempdir().unwrap();
    let call = |arguments: &[&str]| {
        let mut command = cloudtik(node.path(), arguments);
        command.env("CLOUDTIK_NODE_ROOT", node.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"{\"version\":1,\"call\":\"status\"}\n").unwrap();
        child.wait_with_output().unwrap()
    };
    let nobody = call(&["controller", "call"]);
    assert_eq!((nobody.status.code(), nobody.stdout.as_slice()), (Some(75), &b""[..]));
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert!(said.starts_with("cloudtik: no controller answers at "), "{said}");

    std::fs::create_dir(node.path().join("run")).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(node.path().join("run/controller.sock")).unwrap();
    let controller = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        stream.get_mut().write_all(b"\"done\"\n").unwrap();
        line
    });
    let root = node.path().to_str().unwrap();
    let carried = call(&["controller", "call", "--root", root]);
    assert_eq!((carried.status.code(), carried.stdout.as_slice()), (Some(0), &b"\"done\"\n"[..]));
    assert_eq!(controller.join().unwrap(), "{\"version\":1,\"call\":\"status\"}\n");
}

#[test]
fn data_that_cannot_be_written_is_an_error() {
    let project = project("");
    let output = cloudtik(project.path(), &["version"]).stdout(File::options().write(true).open("/dev/full").unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error[output]: cannot write to stdout: No space left on device\n");
}

/// Starts an apply of the chain, and waits until something runs.
fn begun(project: &Path) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = cloudtik(project, &["apply", "-auto-approve"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    wait_for("creating", &mut stderr);
    (child, stderr)
}

fn wait_for(text: &str, stderr: &mut impl BufRead) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended without `{text}`");
    }
}

fn interrupt(child: &Child) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
}

/// Whatever happened before: applying again ends with all of it, and a further time with nothing to do.
fn converges(project: &Path) {
    let output = cloudtik(project, &["apply", "-auto-approve"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let output = cloudtik(project, &["plan", "-detailed-exitcode"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let output = cloudtik(project, &["show", "-json"]).output().unwrap();
    let state: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(state["values"]["root_module"]["resources"].as_array().unwrap().len(), LENGTH);
}

#[test]
fn ctrl_c_once_ends_the_run_in_order() {
    let project = project(&chain());
    let (mut child, mut stderr) = begun(project.path());
    interrupt(&child);
    wait_for("Interrupted: nothing new is begun", &mut stderr);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("Apply interrupted: "), "{rest}");
    converges(project.path());
}

#[test]
fn ctrl_c_twice_ends_at_once_and_nothing_is_lost() {
    let project = project(&chain());
    let (mut child, mut stderr) = begun(project.path());
    interrupt(&child);
    wait_for("Interrupted: nothing new is begun", &mut stderr);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    converges(project.path());
}

#[test]
fn a_folder_that_is_not_there_is_an_error_of_one_line() {
    let project = project("");
    let output = cloudtik(project.path(), &["-chdir=nothing", "plan"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot go into the folder `nothing`: No such file or directory"));
}
