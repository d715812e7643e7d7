//! Stands in for `cloudtik node`: it listens at the SSH port, runs each line that comes in as a shell command and answers with its output.
//! It starts a process that leaves its session, as a careless daemon does, and ends at TERM.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, ExitCode, Stdio};

use cloudtik_model::NodeBoot;
use nix::sys::signal::{SigSet, Signal};

pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    assert_eq!(arguments[0], "--boot");
    let boot: NodeBoot = serde_json::from_slice(&std::fs::read(&arguments[1]).unwrap()).unwrap();
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.thread_block().unwrap();
    if boot.env.contains_key("FAIL") {
        eprintln!("told to fail");
        return ExitCode::FAILURE;
    }
    // The shell ends at once and leaves the other behind.
    let mut stray = Command::new("/bin/sh");
    let stray = stray.args(["-c", "setsid sleep 1000 &"]).stdin(Stdio::null()).status().unwrap();
    let listener = TcpListener::bind((boot.address.as_str(), boot.ssh_port)).unwrap();
    println!("listening; the stray was started: {stray}");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                    let output = Command::new("/bin/sh").arg("-c").arg(line.unwrap()).output().unwrap();
                    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                    if writeln!(stream, "{}", text.trim().replace('\n', "|")).is_err() {
                        return;
                    }
                }
            });
        }
    });
    signals.wait().unwrap();
    ExitCode::SUCCESS
}
