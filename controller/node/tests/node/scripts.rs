//! Commands, waiting, and runs that outlive their connection.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use cloudtik_model::{NodeAction, NodeReply, Readiness, StepOutcome, Verb};
use libtest_mimic::Trial;

use crate::support::{Node, is_alive, is_root, processes_of, request, script, show, trial, wait_for};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("script_output_exit_and_environment", script_output_exit_and_environment),
        trial("script_conditions", script_conditions),
        trial("script_timeout_takes_the_group", script_timeout_takes_the_group),
        trial("script_retries", script_retries),
        trial("a_background_child_does_not_hang_the_step", a_background_child_does_not_hang_the_step),
        trial("a_flood_of_output_is_bounded", a_flood_of_output_is_bounded),
        trial("script_undo", script_undo),
        trial("script_as_another_user", script_as_another_user),
        trial("wait_for_a_port", wait_for_a_port),
        trial("a_lost_connection_attaches_and_runs_once", a_lost_connection_attaches_and_runs_once),
        trial("two_runs_of_one_address_take_turns", two_runs_of_one_address_take_turns),
        trial("wrong_requests_are_refused", wrong_requests_are_refused),
        trial("several_requests_in_one_session", several_requests_in_one_session),
    ]
}

fn with(action: NodeAction, change: impl FnOnce(&mut NodeAction)) -> NodeAction {
    let mut action = action;
    change(&mut action);
    action
}

fn script_output_exit_and_environment() {
    let node = Node::start();
    let action = with(script("echo \"$GREETING $EXTRA $CLOUDTIK_NODE\"; pwd; echo oops >&2; command -v cloudtik"), |action| {
        let NodeAction::Run { env, .. } = action else { return };
        env.insert("EXTRA".to_owned(), "more".to_owned());
    });
    let answer = node.perform("r1", "s", &action).done();
    let expected = format!("hello more {}\n{}\n{}\n", node.instance, show(&node.path("home")), show(&node.path("bin/cloudtik")));
    assert_eq!((answer.out.as_str(), answer.err.as_str()), (expected.as_str(), "oops\n"));
    assert_eq!(node.perform("r1", "s", &action), answer, "a repeat tells the same, output included");
    assert_eq!(node.check("s", &action), StepOutcome::Done);
    let failing = script("echo before; false; echo after");
    let answer = node.perform("r2", "s", &failing);
    assert_eq!(answer.out, "before\n", "sh -e");
    assert_eq!(answer.failed(), (Some(1), "the script ended with exit status 1", false));
    assert_eq!(node.check("s", &failing), StepOutcome::Needed);
    assert_eq!(node.check("s", &action), StepOutcome::Needed, "the former outcome no longer holds");
    let killed = node.perform("r3", "s", &script("kill -9 $$"));
    assert_eq!(killed.failed(), (None, "the script was ended by SIGKILL", false));
    let long = node.perform("r4", "s", &script(&"#".repeat(200_000)));
    assert!(long.failed().1.contains("at most"), "{long:?}");
}

fn script_conditions() {
    let node = Node::start();
    let there = show(&node.root);
    let count = node.path("data/count");
    let counting = script(&format!("echo x >> {}", count.display()));
    let cases = [
        (Some(there), None, None, true),
        (Some("/no/such/path".to_owned()), None, None, false),
        (None, Some("true"), None, true),
        (None, Some("false"), None, false),
        (None, None, Some("true"), false),
        (None, None, Some("exit 3"), true),
    ];
    for (index, (path, not_if, if_so, skips)) in cases.into_iter().enumerate() {
        let action = with(counting.clone(), |action| {
            let NodeAction::Run { creates, unless, only_if, .. } = action else { return };
            *creates = path;
            *unless = not_if.map(str::to_owned);
            *only_if = if_so.map(str::to_owned);
        });
        let answer = node.perform(&format!("r{index}"), "s", &action);
        assert_eq!(answer.outcome, if skips { StepOutcome::Skipped } else { StepOutcome::Done }, "{index}");
    }
    assert_eq!(fs::read_to_string(count).unwrap(), "x\nx\nx\n");
}

fn script_timeout_takes_the_group() {
    let node = Node::start();
    let pid_file = node.path("data/pid");
    let hanging = script(&format!("sleep 300 & echo $! > {}; echo started; yes > /dev/null", pid_file.display()));
    let action = with(hanging, |action| {
        let NodeAction::Run { timeout_secs, .. } = action else { return };
        *timeout_secs = 1;
    });
    let begin = Instant::now();
    let answer = node.perform("r1", "s", &action);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(answer.out, "started\n");
    assert_eq!(answer.failed(), (None, "the script was still running after 1 s and was ended", true));
    let pid = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    wait_for("the end of the group", || !is_alive(pid));
    let deaf = with(script("trap '' TERM; while :; do sleep 0.1; done"), |action| {
        let NodeAction::Run { timeout_secs, .. } = action else { return };
        *timeout_secs = 1;
    });
    assert!(node.perform("r2", "s", &deaf).failed().2);
    wait_for("the end of the deaf one", || processes_of(&node.instance).len() == 1);
}

fn script_retries() {
    let node = Node::start();
    let count = node.path("data/count");
    let text = format!("echo x >> {0}; test $(wc -l < {0}) -ge 3", count.display());
    let retrying = |times| {
        with(script(&text), |action| {
            let NodeAction::Run { retries, .. } = action else { return };
            *retries = times;
        })
    };
    let answer = node.perform("r1", "s", &retrying(1));
    assert_eq!(answer.failed(), (Some(1), "the script ended with exit status 1, after 1 repeats", false));
    assert!(answer.err.contains("once more in 0 s (1 of 1)"));
    node.perform("r2", "s", &retrying(5)).done();
    assert_eq!(fs::read_to_string(count).unwrap().lines().count(), 3, "no repeat after a success");
}

fn a_background_child_does_not_hang_the_step() {
    let node = Node::start();
    let pid_file = node.path("data/pid");
    let text = format!("(while :; do echo tick; sleep 0.05; done) & echo $! > {}; echo ready", pid_file.display());
    let begin = Instant::now();
    let answer = node.perform("r1", "s", &script(&text)).done();
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(answer.out.contains("ready\n"));
    let pid = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(is_alive(pid), "it does not die of printing");
}

fn a_flood_of_output_is_bounded() {
    let node = Node::start();
    let action = script("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last; echo own >&2");
    let answer = node.perform("r1", "s", &action).done();
    assert!(answer.out.ends_with("last\n"));
    let again = node.perform("r1", "s", &action).done();
    assert!(again.out.ends_with("last\n") && again.out.len() <= 64 << 10, "{}", again.out.len());
    let endless = with(script("yes"), |action| {
        let NodeAction::Run { timeout_secs, .. } = action else { return };
        *timeout_secs = 1;
    });
    assert!(node.perform("r2", "s", &endless).failed().2, "printing for ever does not hide the time limit");
}

fn script_undo() {
    let node = Node::start();
    let path = show(&node.path("data/made"));
    let action = with(script(&format!("touch {path}")), |action| {
        let NodeAction::Run { undo, .. } = action else { return };
        *undo = Some(format!("echo undoing; rm {path}"));
    });
    node.perform("r1", "s", &action).done();
    let undone = node.undo("r2", "s", &action).done();
    assert_eq!(undone.out, "undoing\n");
    assert_eq!(node.undo("r2", "s", &action), undone, "not undone twice");
    assert_eq!(node.check("s", &action), StepOutcome::Needed);
    let again = node.undo("r3", "s", &action);
    assert_eq!(again.failed().0, Some(1), "an undo that fails says so");
    node.undo("r4", "s", &script("true")).done();
}

fn script_as_another_user() {
    let node = Node::start();
    let action = with(script("id -un; echo $HOME $USER; pwd"), |action| {
        let NodeAction::Run { user, .. } = action else { return };
        *user = Some("daemon".to_owned());
    });
    let answer = node.perform("r1", "s", &action);
    if is_root() {
        let home = "/usr/sbin";
        assert_eq!(answer.done().out, format!("daemon\n{home} daemon\n{home}\n"));
    } else {
        assert!(answer.failed().1.contains("only root"), "{answer:?}");
    }
    let nobody = with(action, |action| {
        let NodeAction::Run { user, .. } = action else { return };
        *user = Some("no-such-user-here".to_owned());
    });
    assert!(node.perform("r2", "s", &nobody).failed().1.contains("no user"));
}

fn wait_for_a_port() {
    let node = Node::start();
    let waiting = |port| NodeAction::Wait { ready: Readiness::Tcp { host: node.address.clone(), port }, timeout_secs: 1 };
    let listener = TcpListener::bind((node.address.as_str(), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    node.perform("r1", "w", &waiting(port)).done();
    assert_eq!(node.check("w", &waiting(port)), StepOutcome::Done);
    drop(listener);
    let answer = node.perform("r2", "w", &waiting(port));
    let (code, reason, timed_out) = answer.failed();
    assert!(code.is_none() && timed_out && reason.contains("did not answer within 1 s"), "{reason}");
    assert_eq!(node.check("w", &waiting(port)), StepOutcome::Needed);
    node.undo("r3", "w", &waiting(port)).done();
}

fn a_lost_connection_attaches_and_runs_once() {
    let node = Node::start();
    let (count, go) = (node.path("data/count"), node.path("data/go"));
    let text = format!("echo x >> {}; echo one; until test -e {}; do sleep 0.02; done; echo two", count.display(), go.display());
    let wanted = request("r1", "s", Verb::Do, &script(&text));
    let mut first = node.session();
    first.send(&wanted);
    assert!(matches!(first.reply(), Some(NodeReply::Output { .. })));
    first.break_off();
    let mut second = node.session();
    second.send(&wanted);
    assert!(matches!(second.reply(), Some(NodeReply::Output { text, .. }) if text == "one\n"), "the output so far comes again");
    assert_eq!(node.status()["runs"], serde_json::json!(["r1"]));
    let mut third = node.session();
    third.send(&wanted);
    fs::write(go, "").unwrap();
    assert_eq!(second.answer().done().out, "two\n");
    assert_eq!(third.answer().done().out, "one\ntwo\n");
    assert_eq!(node.ask(&wanted).done().out, "one\ntwo\n");
    assert_eq!(fs::read_to_string(count).unwrap(), "x\n", "it ran exactly once");
}

fn two_runs_of_one_address_take_turns() {
    let node = Node::start();
    let text = format!("mkdir {0}; sleep 0.3; rmdir {0}", node.path("data/alone").display());
    let sessions = ["r1", "r2", "r3"].map(|run_id| {
        let mut session = node.session();
        session.send(&request(run_id, "s", Verb::Do, &script(&text)));
        session
    });
    for mut session in sessions {
        session.answer().done();
    }
}

fn wrong_requests_are_refused() {
    let node = Node::start();
    let good = request("r1", "s", Verb::Do, &script("echo fine"));
    node.ask(&good).done();
    let mut session = node.session();
    let mut version = serde_json::to_value(&good).unwrap();
    version["version"] = 9.into();
    version["run_id"] = "r9".into();
    let mut unknown = serde_json::to_value(&good).unwrap();
    unknown["run_id"] = "r8".into();
    unknown["action"]["surprise"] = 1.into();
    let other = request("r1", "s", Verb::Do, &script("echo other"));
    let lines = [
        ("not json".to_owned(), ""),
        (version.to_string(), "r9"),
        (unknown.to_string(), "r8"),
        (serde_json::to_string(&other).unwrap(), "r1"),
        (serde_json::to_string(&request("", "s", Verb::Do, &script(""))).unwrap(), ""),
    ];
    for (line, id) in lines {
        session.send_line(&line);
        match session.reply() {
            Some(NodeReply::Refused { run_id, reason }) => assert_eq!(run_id, id, "{reason}"),
            reply => panic!("{reply:?}"),
        }
    }
    session.send(&good);
    session.answer().done();
    session.send_line(&"x".repeat((8 << 20) + 10));
    assert!(matches!(session.reply(), Some(NodeReply::Refused { reason, .. }) if reason.contains("longer")));
    assert_eq!(session.reply(), None, "after a frame that is too long the session ends");
}

fn several_requests_in_one_session() {
    let node = Node::start();
    let mut session = node.session();
    for round in 0..5 {
        session.send(&request(&format!("r{round}"), &format!("s{round}"), Verb::Do, &script(&format!("echo {round}"))));
    }
    session.close_input();
    for round in 0..5 {
        assert_eq!(session.answer().done().out, format!("{round}\n"));
    }
    assert_eq!(session.reply(), None);
    let status = node.status();
    assert_eq!(status["steps"].as_object().unwrap().len(), 5);
    assert_eq!(status["steps"]["s3"]["outcome"], "done");
    assert_eq!(status["instance_id"], node.instance.as_str());
}
