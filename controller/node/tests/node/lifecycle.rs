//! Starts and ends of the agent itself.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use cloudtik_model::{DaemonSpec, NodeAction, StepOutcome, Verb};
use libtest_mimic::Trial;

use crate::daemons::server;
use crate::support::{Node, daemon, is_alive, is_root, processes_of, request, script, show, trial, wait_for};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_killed_agent_brings_its_daemons_back", a_killed_agent_brings_its_daemons_back),
        trial("a_killed_agent_does_a_run_again", a_killed_agent_does_a_run_again),
        trial("a_killed_agent_knows_what_was_complete", a_killed_agent_knows_what_was_complete),
        trial("term_stops_in_reverse_order_and_leaves_nothing", term_stops_in_reverse_order_and_leaves_nothing),
        trial("term_in_a_run_leaves_it_to_be_done_again", term_in_a_run_leaves_it_to_be_done_again),
        trial("a_second_agent_is_refused", a_second_agent_is_refused),
        trial("a_wrong_boot_file_is_an_error", a_wrong_boot_file_is_an_error),
        trial("a_long_socket_path_works", a_long_socket_path_works),
        trial("orphans_are_reaped", orphans_are_reaped),
        trial("pid_1_reaps_and_ends_everything", pid_1_reaps_and_ends_everything).with_ignored_flag(!is_root()),
    ]
}

fn a_killed_agent_brings_its_daemons_back() {
    let mut node = Node::start();
    let web = NodeAction::Daemon(server(&node, "web", 20080));
    // Like nginx, it is not to be recognised by its environment.
    let hidden = NodeAction::Daemon(daemon("hidden", &["env", "-i", "/bin/sh", "-c", "while :; do sleep 0.05; done"]));
    node.perform("r1", "a", &web).done();
    node.perform("r2", "b", &hidden).done();
    let pids = ["web", "hidden"].map(|name| i32::try_from(node.status()["daemons"][name]["pid"].as_i64().unwrap()).unwrap());
    node.kill();
    assert!(is_alive(pids[1]));
    node.launch();
    for pid in pids {
        wait_for("the end of the old one", || !is_alive(pid));
    }
    for name in ["web", "hidden"] {
        wait_for("its return", || node.status()["daemons"][name]["state"] == "ready");
    }
    assert_eq!(node.check("a", &web), StepOutcome::Done);
    node.perform("r3", "a", &web).skipped();
    assert!(TcpStream::connect((node.address.as_str(), 20080)).is_ok());
}

fn a_killed_agent_does_a_run_again() {
    let mut node = Node::start();
    let (count, go) = (node.path("data/count"), node.path("data/go"));
    let text = format!("echo $$ >> {}; until test -e {}; do sleep 0.02; done; echo end", count.display(), go.display());
    let wanted = request("r1", "s", Verb::Do, &script(&text));
    let mut session = node.session();
    session.send(&wanted);
    wait_for("the first start", || node.text("data/count").lines().count() == 1);
    let first: i32 = node.text("data/count").trim().parse().unwrap();
    node.kill();
    assert_eq!(session.reply(), None, "no end");
    assert!(is_alive(first));
    node.launch();
    assert!(!is_alive(first), "the old script is not left beside the new one");
    let mut session = node.session();
    session.send(&wanted);
    wait_for("the second start", || node.text("data/count").lines().count() == 2);
    fs::write(go, "").unwrap();
    assert_eq!(session.answer().done().out, "end\n");
    assert_eq!(node.ask(&wanted).done().out, "end\n");
    assert_eq!(node.text("data/count").lines().count(), 2);
}

/// The agent is killed after the marker and before the end of the run is recorded.
fn a_killed_agent_knows_what_was_complete() {
    let mut node = Node::start();
    let action = script(&format!("echo x >> {}", show(&node.path("data/count"))));
    node.perform("r1", "s", &action).done();
    node.kill();
    let record = node.path("runs/r1.json");
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    value["end"] = serde_json::Value::Null;
    fs::write(&record, value.to_string()).unwrap();
    node.launch();
    node.perform("r1", "s", &action).done();
    assert_eq!(node.text("data/count"), "x\n", "the marker says that the effect was complete");
    node.perform("r2", "s", &action).done();
    assert_eq!(node.text("data/count"), "x\nx\n");
}

fn term_stops_in_reverse_order_and_leaves_nothing() {
    let mut node = Node::start();
    let order = show(&node.path("data/order"));
    for name in ["one", "two", "three"] {
        // A signal that comes before the trap would end the shell without a word.
        let up = show(&node.path(&format!("data/up-{name}")));
        let text = format!("trap 'echo {name} >> {order}; exit 0' QUIT; echo up > {up}; while :; do sleep 0.02; done");
        let spec = DaemonSpec { stop_signal: "QUIT".to_owned(), ..daemon(name, &["/bin/sh", "-c", &text]) };
        node.perform(name, name, &NodeAction::Daemon(spec)).done();
    }
    wait_for("the traps", || ["one", "two", "three"].iter().all(|name| node.path(&format!("data/up-{name}")).exists()));
    node.perform("bg", "bg", &script("setsid env -i sleep 300 > /dev/null 2>&1 & echo $! > $HOME/pid")).done();
    let left: i32 = node.text("home/pid").trim().parse().unwrap();
    assert!(is_alive(left));
    node.stop();
    assert_eq!(node.text("data/order"), "three\ntwo\none\n");
    assert!(!is_alive(left), "even what hid itself");
    assert_eq!(processes_of(&node.instance), Vec::<i32>::new());
    assert!(!node.path("run/agent.sock").exists());
    node.launch();
    wait_for("their return", || {
        let status = node.status();
        ["one", "two", "three"].iter().all(|name| status["daemons"][name]["state"] == "ready")
    });
}

fn term_in_a_run_leaves_it_to_be_done_again() {
    let mut node = Node::start();
    let text = format!("echo x >> {0}; test $(wc -l < {0}) -gt 1 || sleep 300", show(&node.path("data/count")));
    let wanted = request("r1", "s", Verb::Do, &script(&text));
    let mut session = node.session();
    session.send(&wanted);
    wait_for("the start", || node.text("data/count") == "x\n");
    node.stop();
    assert_eq!(session.reply(), None);
    node.launch();
    node.ask(&wanted).done();
    assert_eq!(node.text("data/count"), "x\nx\n");
}

fn a_second_agent_is_refused() {
    let node = Node::start();
    let output = node.command().output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("another node agent"));
    node.perform("r1", "s", &script("true")).done();
}

fn a_wrong_boot_file_is_an_error() {
    let node = Node::prepare("n");
    let good: serde_json::Value = serde_json::from_slice(&fs::read(&node.boot).unwrap()).unwrap();
    // It would hide the node's own key, or be hidden by it.
    let same_algorithm = node.folder.path().join("ed25519");
    fs::write(&same_algorithm, &node.operator.private_openssh).unwrap();
    let cases = [
        ("version", serde_json::json!(2), "reads version 1"),
        ("surprise", serde_json::json!(1), "unknown field"),
        ("root", serde_json::json!("relative"), "absolute"),
        ("address", serde_json::json!("nowhere"), "not an address"),
        ("authorized_keys", serde_json::json!(["nonsense"]), "not a public key"),
        ("bootstrap_host_key", serde_json::json!("/no/such/key"), "host key of the launch"),
        ("bootstrap_host_key", serde_json::json!(show(&same_algorithm)), "must be of another one: ecdsa"),
    ];
    for (name, value, expected) in cases {
        let mut boot = good.clone();
        boot[name] = value;
        fs::write(&node.boot, boot.to_string()).unwrap();
        let output = node.command().output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(expected), "{name}: {message}");
    }
}

fn a_long_socket_path_works() {
    let mut node = Node::prepare(&"long".repeat(40));
    node.launch();
    assert!(node.path("run/agent.sock").as_os_str().len() > 107);
    node.perform("r1", "s", &script("echo fine")).done();
    node.stop();
}

fn zombies_of(parent: i32) -> usize {
    let stats = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let is_zombie = |stat: &String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(&format!("Z {parent} ")));
    stats.filter(is_zombie).count()
}

fn orphans_are_reaped() {
    let node = Node::start();
    let text = "for i in 1 2 3 4 5; do (sleep 0.2 &) ; done";
    node.perform("r1", "s", &script(text)).done();
    let agent = node.agent_pid();
    wait_for("the zombies", || zombies_of(agent) == 5);
    wait_for("their end", || zombies_of(agent) == 0);
    // Meanwhile nobody's own child was taken away.
    for round in 0..20 {
        node.perform(&format!("x{round}"), "s", &script("(sleep 0.01 &); true")).done();
    }
}

fn pid_1_reaps_and_ends_everything() {
    let mut node = Node::prepare("n").wrapped(&["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]);
    node.launch();
    node.perform("r1", "s", &script("(sleep 0.2 &); cat /proc/1/comm > $HOME/name; setsid sleep 300 > /dev/null 2>&1 &")).done();
    assert_eq!(node.status()["pid"], 1);
    node.perform("r2", "web", &NodeAction::Daemon(server(&node, "web", 20080))).done();
    let zombies = script("! grep -l '^[0-9]* (sleep) Z' /proc/[0-9]*/stat");
    std::thread::sleep(Duration::from_millis(400));
    wait_for("the reaping", || {
        let id = format!("z{:?}", std::time::Instant::now());
        node.perform(&id, "z", &zombies).outcome == StepOutcome::Done
    });
    let inner = *processes_of(&node.instance).iter().max().unwrap();
    let children: i32 = fs::read_to_string(format!("/proc/{0}/task/{0}/children", node.agent_pid())).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(children), nix::sys::signal::Signal::SIGTERM).unwrap();
    wait_for("the end of all", || !is_alive(inner) && processes_of(&node.instance).is_empty());
}
