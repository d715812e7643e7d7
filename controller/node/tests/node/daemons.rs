//! The supervisor.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use cloudtik_model::{DaemonSpec, NodeAction, Readiness, StepOutcome};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Node, daemon, is_alive, show, trial, wait_for};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("daemon_do_check_undo_repeat", daemon_do_check_undo_repeat),
        trial("a_port_in_use_shows_the_daemons_words", a_port_in_use_shows_the_daemons_words),
        trial("a_daemon_that_ignores_a_taken_port_fails", a_daemon_that_ignores_a_taken_port_fails),
        trial("a_daemon_that_ends_early_fails_with_its_log", a_daemon_that_ends_early_fails_with_its_log),
        trial("a_daemon_that_is_never_ready_times_out", a_daemon_that_is_never_ready_times_out),
        trial("reload_versus_restart", reload_versus_restart),
        trial("restarts_and_their_budget", restarts_and_their_budget),
        trial("daemon_log_rotation", daemon_log_rotation),
        trial("stop_takes_the_group_after_the_grace", stop_takes_the_group_after_the_grace),
        trial("a_renamed_step_keeps_its_daemon", a_renamed_step_keeps_its_daemon),
        trial("wrong_specs_fail", wrong_specs_fail),
    ]
}

fn pid_of(node: &Node, name: &str) -> Option<i32> {
    node.status()["daemons"][name]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
}

fn state_of(node: &Node, name: &str) -> String {
    node.status()["daemons"][name]["state"].as_str().unwrap_or_default().to_owned()
}

/// A server on the node's address, ready when it answers.
pub(crate) fn server(node: &Node, name: &str, port: u16) -> DaemonSpec {
    let program = std::env::current_exe().unwrap().display().to_string();
    let ready = Readiness::Http { host: node.address.clone(), port, path: "/".to_owned() };
    DaemonSpec { ready: Some(ready), ..daemon(name, &[&program, "test-daemon", &format!("{}:{port}", node.address)]) }
}

fn daemon_do_check_undo_repeat() {
    let node = Node::start();
    let action = NodeAction::Daemon(server(&node, "web", 20080));
    assert_eq!(node.check("d", &action), StepOutcome::Needed);
    let first = node.perform("r1", "d", &action).done();
    let pid = pid_of(&node, "web").unwrap();
    assert_eq!(node.check("d", &action), StepOutcome::Done);
    assert_eq!(node.perform("r1", "d", &action), first);
    node.perform("r2", "d", &action).skipped();
    assert_eq!(pid_of(&node, "web"), Some(pid), "nothing was restarted");
    let mut changed = server(&node, "web", 20080);
    changed.env.insert("A".to_owned(), "b".to_owned());
    let changed = NodeAction::Daemon(changed);
    assert_eq!(node.check("d", &changed), StepOutcome::Needed);
    node.perform("r3", "d", &changed).done();
    assert!(!is_alive(pid), "a changed spec restarts");
    assert!(node.text("logs/web.log").contains("serving"));
    node.undo("r4", "d", &changed).done();
    node.undo("r5", "d", &changed).done();
    assert!(TcpStream::connect((node.address.as_str(), 20080)).is_err());
    assert_eq!(node.check("d", &changed), StepOutcome::Needed);
    assert_eq!(fs::read_dir(node.path("daemons")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(node.path("run/daemons")).unwrap().count(), 0);
}

fn a_port_in_use_shows_the_daemons_words() {
    let node = Node::start();
    let taken = std::net::TcpListener::bind((node.address.as_str(), 20080)).unwrap();
    let answer = node.perform("r1", "d", &NodeAction::Daemon(server(&node, "web", 20080)));
    let (code, reason, timed_out) = answer.failed();
    assert_eq!((code, timed_out), (Some(98), false));
    assert!(reason.contains("test-daemon: cannot bind") && reason.contains("in use"), "{reason}");
    assert_eq!(state_of(&node, "web"), "failed");
    drop(taken);
    node.perform("r2", "d", &NodeAction::Daemon(server(&node, "web", 20080))).done();
}

fn a_daemon_that_ignores_a_taken_port_fails() {
    let node = Node::start();
    let _taken = std::net::TcpListener::bind((node.address.as_str(), 20080)).unwrap();
    let ready = Readiness::Tcp { host: node.address.clone(), port: 20080 };
    let spec = DaemonSpec { ready: Some(ready), ready_timeout_secs: 1, ..daemon("d", &["sleep", "300"]) };
    let answer = node.perform("r1", "d", &NodeAction::Daemon(spec));
    assert!(answer.failed().1.contains("another process answered"), "{answer:?}");
    assert_eq!(pid_of(&node, "d"), None);
}

fn a_daemon_that_ends_early_fails_with_its_log() {
    let node = Node::start();
    let spec = daemon("d", &["/bin/sh", "-c", "echo some words; echo the reason >&2; exit 7"]);
    let answer = node.perform("r1", "d", &NodeAction::Daemon(spec));
    let (code, reason, timed_out) = answer.failed();
    assert_eq!((code, timed_out), (Some(7), false));
    assert!(reason.starts_with("the daemon `d` ended with exit status 7 before it was ready"), "{reason}");
    assert!(reason.ends_with("some words\nthe reason"), "{reason}");
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(node.status()["daemons"]["d"]["restarts"], 0, "a step that failed is not retried behind its back");
}

fn a_daemon_that_is_never_ready_times_out() {
    let node = Node::start();
    let ready = Readiness::Tcp { host: node.address.clone(), port: 20081 };
    let spec = DaemonSpec { ready: Some(ready), ready_timeout_secs: 1, ..daemon("d", &["sleep", "300"]) };
    let begin = Instant::now();
    let answer = node.perform("r1", "d", &NodeAction::Daemon(spec.clone()));
    assert!(begin.elapsed() < Duration::from_secs(4));
    let (_, reason, timed_out) = answer.failed();
    assert!(timed_out && reason.contains("did not answer within 1 s"), "{reason}");
    assert_eq!(state_of(&node, "d"), "not_ready");
    node.undo("r2", "d", &NodeAction::Daemon(spec)).done();
    assert_eq!(node.status()["daemons"], serde_json::json!({}));
}

fn reload_versus_restart() {
    let node = Node::start();
    let hups = show(&node.path("data/hups"));
    // A signal that comes before the trap would end the shell.
    let up = show(&node.path("data/up"));
    let text = format!("trap 'echo hup >> {hups}' HUP; echo up > {up}; while :; do sleep 0.05; done");
    let spec = |generation: &str, signal: Option<&str>| {
        NodeAction::Daemon(DaemonSpec {
            generation: generation.to_owned(),
            reload_signal: signal.map(str::to_owned),
            ..daemon("d", &["/bin/sh", "-c", &text])
        })
    };
    node.perform("r1", "d", &spec("1", Some("HUP"))).done();
    let pid = pid_of(&node, "d").unwrap();
    wait_for("the trap", || node.path("data/up").exists());
    node.perform("r2", "d", &spec("2", Some("HUP"))).done();
    assert_eq!(pid_of(&node, "d"), Some(pid));
    wait_for("the signal", || node.text("data/hups") == "hup\n");
    assert_eq!(node.check("d", &spec("2", Some("HUP"))), StepOutcome::Done);
    assert_eq!(node.check("d", &spec("1", Some("HUP"))), StepOutcome::Needed);
    node.perform("r3", "d", &spec("2", None)).done();
    let second = pid_of(&node, "d").unwrap();
    assert_ne!(second, pid, "more than the generation changed");
    node.perform("r4", "d", &spec("3", None)).done();
    assert_ne!(pid_of(&node, "d"), Some(second), "without a signal, a generation restarts");
    node.perform("r5", "d", &spec("3", Some("USR1"))).done();
    let answer = node.perform("r6", "d", &spec("4", Some("USR1")));
    assert!(answer.failed().1.contains("asked to read its configuration again"), "{answer:?}");
    wait_for("the restart of a daemon that died of its reload", || state_of(&node, "d") == "ready");
    assert_eq!(node.text("data/hups"), "hup\n");
}

fn restarts_and_their_budget() {
    let node = Node::start();
    let spec = DaemonSpec { restarts_max: 2, ..server(&node, "web", 20080) };
    node.perform("r1", "d", &NodeAction::Daemon(spec.clone())).done();
    for round in 1..=3 {
        let pid = pid_of(&node, "web").unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        if round <= 2 {
            wait_for("the restart", || pid_of(&node, "web").is_some_and(|new| new != pid) && state_of(&node, "web") == "ready");
        } else {
            wait_for("the end of the budget", || state_of(&node, "web") == "failed");
        }
    }
    let status = node.status();
    assert_eq!(status["daemons"]["web"]["restarts"], 2);
    assert_eq!(status["daemons"]["web"]["last_exit"], "was ended by SIGKILL");
    assert_eq!(node.check("d", &NodeAction::Daemon(spec.clone())), StepOutcome::Needed);
    node.perform("r2", "d", &NodeAction::Daemon(spec)).done();
    assert_eq!(state_of(&node, "web"), "ready", "a step starts it again with a new budget");
}

fn daemon_log_rotation() {
    let node = Node::start();
    let text = "i=0; while [ $i -lt 2000 ]; do echo \"line $i of the log\"; i=$((i+1)); done; sleep 300";
    let spec = DaemonSpec { log_bytes_max: 8192, ..daemon("d", &["/bin/sh", "-c", text]) };
    node.perform("r1", "d", &NodeAction::Daemon(spec)).done();
    wait_for("the last line", || node.text("logs/d.log").ends_with("line 1999 of the log\n"));
    let sizes = ["logs/d.log", "logs/d.log.1"].map(|path| fs::metadata(node.path(path)).unwrap().len());
    assert!(sizes.iter().all(|size| *size > 0 && *size <= 8192), "{sizes:?}");
    assert_eq!(fs::read_dir(node.path("logs")).unwrap().count(), 2);
}

fn stop_takes_the_group_after_the_grace() {
    let node = Node::start();
    let pid_file = node.path("data/pid");
    let text = format!("trap '' TERM; sleep 300 & echo $! > {}; while :; do sleep 0.05; done", pid_file.display());
    let action = NodeAction::Daemon(DaemonSpec { stop_grace_secs: 1, ..daemon("d", &["/bin/sh", "-c", &text]) });
    node.perform("r1", "d", &action).done();
    let child: i32 = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    let begin = Instant::now();
    node.undo("r2", "d", &action).done();
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&begin.elapsed()));
    wait_for("the end of the group", || !is_alive(child));
}

fn a_renamed_step_keeps_its_daemon() {
    let node = Node::start();
    let action = NodeAction::Daemon(daemon("d", &["sleep", "300"]));
    node.perform("r1", "old", &action).done();
    let pid = pid_of(&node, "d").unwrap();
    node.perform("r2", "new", &action).skipped();
    node.undo("r3", "old", &action).done();
    assert_eq!(pid_of(&node, "d"), Some(pid));
    node.undo("r4", "new", &action).done();
    wait_for("its end", || !is_alive(pid));
}

fn wrong_specs_fail() {
    let node = Node::start();
    let good = daemon("d", &["sleep", "300"]);
    let cases = [
        (DaemonSpec { name: "../d".to_owned(), ..good.clone() }, "cannot name a daemon"),
        (DaemonSpec { argv: Vec::new(), ..good.clone() }, "no program"),
        (DaemonSpec { argv: vec!["no-such-program".to_owned()], ..good.clone() }, "cannot start `no-such-program`"),
        (DaemonSpec { stop_signal: "LATER".to_owned(), ..good.clone() }, "not the name of a signal"),
        (DaemonSpec { reload_signal: Some("x".to_owned()), ..good.clone() }, "not the name of a signal"),
        (DaemonSpec { user: Some("no-such-user-here".to_owned()), ..good.clone() }, "no user"),
        (DaemonSpec { cwd: Some("/no/such/folder".to_owned()), ..good }, "cannot start"),
    ];
    for (index, (spec, expected)) in cases.into_iter().enumerate() {
        let answer = node.perform(&format!("r{index}"), "d", &NodeAction::Daemon(spec));
        assert!(answer.failed().1.contains(expected), "{answer:?}");
    }
}
