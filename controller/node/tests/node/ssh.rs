//! The way in over SSH: first contact, the rotated host key, people's keys, steps.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use cloudtik_model::{NodeAction, NodeReply, NodeRequest, StepOutcome, Verb};
use cloudtik_node::RUN_STEP_COMMAND;
use cloudtik_ssh::{
    ConnectOptions, Connection, ExecOptions, ExecStream, HostKeyPolicy, PrivateKey, SshError, Stdin, UploadOptions, UploadSource, dial_tcp,
    generate_ed25519,
};
use libtest_mimic::Trial;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::support::{Node, SSH_PORT, request, script, show, trial, wait_for};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("host_key_is_made_once_and_kept", host_key_is_made_once_and_kept),
        trial("a_killed_agent_finds_the_key_that_it_made", a_killed_agent_finds_the_key_that_it_made),
        trial("ssh_first_contact_steps_and_uploads", ssh_first_contact_steps_and_uploads),
        trial("ssh_first_contact_survives_a_lost_answer", ssh_first_contact_survives_a_lost_answer),
        trial("ssh_first_contact_survives_a_killed_node", ssh_first_contact_survives_a_killed_node),
        trial("ssh_bootstrap_key_stays_until_it_can_be_removed", ssh_bootstrap_key_stays_until_it_can_be_removed),
        trial("ssh_first_contact_by_openssh", ssh_first_contact_by_openssh),
        trial("ssh_connection_lost_in_a_run", ssh_connection_lost_in_a_run),
        trial("ssh_people_are_let_in", ssh_people_are_let_in),
    ]
}

fn host_key_action(people: &[&str]) -> NodeAction {
    NodeAction::HostKey { authorized_keys: people.iter().map(|line| (*line).to_owned()).collect() }
}

fn host_key_is_made_once_and_kept() {
    let mut node = Node::start();
    let action = host_key_action(&[]);
    assert_eq!(node.check("k", &action), StepOutcome::Needed);
    let first = node.perform("r1", "k", &action).done();
    let key = first.attributes["host_key"].clone();
    assert!(key.starts_with("ssh-ed25519 AAAA") && key != node.bootstrap.public_openssh);
    assert_eq!(node.perform("r1", "k", &action), first);
    assert!(node.bootstrap_file().exists(), "nobody has shown yet that the new key is known");
    let stored = fs::metadata(node.path("keys/host_key.json")).unwrap();
    assert_eq!(stored.permissions().mode() & 0o7777, 0o600);
    node.stop();
    node.launch();
    assert_eq!(node.perform("r1", "k", &action), first);
    assert_eq!(node.perform("r2", "another", &action).done().attributes, first.attributes, "any run gets the same key");
    node.undo("r3", "k", &action).done();
    let check = node.ask(&request("check", "k", Verb::Check, &action)).done();
    assert_eq!(check.attributes, first.attributes, "a check needs no marker");
    assert_eq!(node.check("k", &host_key_action(&[&node.operator.public_openssh])), StepOutcome::Needed, "other people");
    assert_eq!(node.perform("r4", "k", &action).done().attributes, first.attributes);
    let wrong = node.perform("r5", "k", &host_key_action(&["nonsense"]));
    assert!(wrong.failed().1.contains("not a public key"), "{wrong:?}");
    assert_eq!(node.check("k", &action), StepOutcome::Done, "a refused list changes nothing");
}

/// Killed after the key was kept and before the marker was written.
fn a_killed_agent_finds_the_key_that_it_made() {
    let mut node = Node::start();
    let action = host_key_action(&[]);
    let first = node.perform("r1", "k", &action).done();
    node.kill();
    for file in fs::read_dir(node.path("steps")).unwrap().chain(fs::read_dir(node.path("runs")).unwrap()) {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    node.launch();
    assert_eq!(node.ask(&request("check", "k", Verb::Check, &action)).done().attributes, first.attributes);
    assert_eq!(node.perform("r1", "k", &action), first);
}

/// Runs a client on a runtime of its own.
fn client<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn connect(node: &Node, private_openssh: &str, host_key: &str) -> Result<Connection, SshError> {
    let place = SocketAddr::new(node.address.parse().unwrap(), SSH_PORT);
    let stream = dial_tcp(place, Duration::from_secs(5)).await.unwrap();
    let keys = vec![PrivateKey::from_openssh(private_openssh).unwrap()];
    let options = ConnectOptions::new("cloudtik", keys, HostKeyPolicy::Pinned(vec![host_key.parse().unwrap()]));
    Connection::open(stream, &options).await
}

/// Frames over the one command, up to the end of the last request.
async fn steps(connection: &Connection, argv: &[&str], requests: &[NodeRequest]) -> Vec<NodeReply> {
    let lines: Vec<String> = requests.iter().map(|request| serde_json::to_string(request).unwrap() + "\n").collect();
    let options = ExecOptions { stdin: Stdin::Bytes(lines.concat().into_bytes()), ..ExecOptions::default() };
    let output = connection.exec(argv, options).await.unwrap();
    assert!(output.exit.success(), "{} {}", output.exit, output.stderr.text());
    output.stdout.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn outcomes(replies: &[NodeReply]) -> Vec<StepOutcome> {
    replies.iter().filter_map(|reply| if let NodeReply::End { outcome, .. } = reply { Some(outcome.clone()) } else { None }).collect()
}

fn words() -> Vec<&'static str> {
    RUN_STEP_COMMAND.split(' ').collect()
}

fn ssh_first_contact_steps_and_uploads() {
    let node = Node::start();
    client(async {
        let first = connect(&node, &node.operator.private_openssh, &node.bootstrap.public_openssh).await.unwrap();
        let rotate = request("r1", "k", Verb::Do, &host_key_action(&[]));
        let replies = steps(&first, &words(), std::slice::from_ref(&rotate)).await;
        let [NodeReply::End { attributes, outcome: StepOutcome::Done, .. }] = replies.as_slice() else { panic!("{replies:?}") };
        let host_key = attributes["host_key"].clone();
        assert_eq!(steps(&first, &words(), &[rotate]).await, replies, "the first connection goes on");
        let second = connect(&node, &node.operator.private_openssh, &host_key).await.unwrap();
        assert_retired(&node, &host_key).await;
        assert_eq!(outcomes(&steps(&first, &words(), &[request("r0", "s", Verb::Do, &script("true"))]).await), [StepOutcome::Done]);
        first.close().await;
        let uploaded = second
            .upload(
                UploadSource::Bytes(b"blob".to_vec()),
                &show(&node.path(&format!("artifacts/{}", cloudtik_model::Digest::of("blob")))),
                &UploadOptions::default(),
            )
            .await
            .unwrap();
        assert!(uploaded.sent);
        let file = NodeAction::File {
            path: show(&node.path("data/blob")),
            mode: "0644".to_owned(),
            owner: None,
            content: None,
            artifact: Some(cloudtik_model::Digest::of("blob")),
        };
        let requests = [request("r2", "f", Verb::Do, &file), request("r3", "s", Verb::Do, &script("cat $HOME/../data/blob"))];
        let replies = steps(&second, &words(), &requests).await;
        assert_eq!(outcomes(&replies), [StepOutcome::Done, StepOutcome::Done]);
        assert!(replies.iter().any(|reply| matches!(reply, NodeReply::Output { text, .. } if text == "blob")));
        // Through a wrapper it is a process that finds the agent by its environment.
        let by_process = steps(&second, &["timeout", "20", "cloudtik", "node", "run-step"], &requests).await;
        assert_eq!(by_process, replies);
        let env = second.exec(&["printenv", "CLOUDTIK_NODE"], ExecOptions::default()).await.unwrap();
        assert_eq!(env.stdout.text().trim(), node.instance);
        second.close().await;
    });
}

/// The answer of first contact, over a connection that knows only the bootstrap key.
async fn first_contact(node: &Node, run_id: &str, verb: Verb) -> String {
    let connection = connect(node, &node.operator.private_openssh, &node.bootstrap.public_openssh).await.unwrap();
    assert_eq!(connection.host_key().to_string(), node.bootstrap.public_openssh);
    let replies = steps(&connection, &words(), &[request(run_id, "k", verb, &host_key_action(&[]))]).await;
    let [NodeReply::End { attributes, outcome: StepOutcome::Done, .. }] = replies.as_slice() else { panic!("{replies:?}") };
    connection.close().await;
    attributes["host_key"].clone()
}

/// Only the own key is shown, and who expects the bootstrap key turns away before the login.
async fn assert_retired(node: &Node, own: &str) {
    let old = connect(node, &node.operator.private_openssh, &node.bootstrap.public_openssh).await;
    assert!(matches!(&old, Err(SshError::HostKeyMismatch { offered, .. }) if offered.contains("ssh-ed25519")), "{old:?}");
    assert!(!node.bootstrap_file().exists());
    assert_eq!(node.status()["host_keys"], serde_json::json!({ "shown": [own] }));
}

async fn assert_both_shown(node: &Node, own: &str) {
    assert!(node.bootstrap_file().exists());
    assert_eq!(node.status()["host_keys"], serde_json::json!({ "shown": [own, node.bootstrap.public_openssh] }));
}

/// The client is killed before it has kept the answer, and the next one knows only the bootstrap key.
fn ssh_first_contact_survives_a_lost_answer() {
    let node = Node::start();
    client(async {
        let killed = connect(&node, &node.operator.private_openssh, &node.bootstrap.public_openssh).await.unwrap();
        let mut stream = killed.exec_stream(&words(), None).await.unwrap();
        let line = serde_json::to_string(&request("r1", "k", Verb::Do, &host_key_action(&[]))).unwrap() + "\n";
        stream.stdin.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
        // The client's own thread must go on meanwhile, or nothing is sent.
        let kept = async {
            while !node.path("keys/host_key.json").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(15), kept).await.expect("the node keeps its key");
        killed.discard("the client is killed");

        let own = first_contact(&node, "r2", Verb::Do).await;
        assert_eq!(first_contact(&node, "check", Verb::Check).await, own);
        assert_eq!(first_contact(&node, "r1", Verb::Do).await, own);
        // Somebody who is not let in has proved nothing.
        let stranger = connect(&node, &generate_ed25519().unwrap().private_openssh, &own).await;
        assert!(matches!(stranger, Err(SshError::AuthRefused { .. })), "{stranger:?}");
        assert_both_shown(&node, &own).await;

        connect(&node, &node.operator.private_openssh, &own).await.unwrap().close().await;
        assert_retired(&node, &own).await;
        let later = connect(&node, &node.operator.private_openssh, &own).await.unwrap();
        let replies = steps(&later, &words(), &[request("r3", "k", Verb::Do, &host_key_action(&[]))]).await;
        let [NodeReply::End { attributes, .. }] = replies.as_slice() else { panic!("{replies:?}") };
        assert_eq!(attributes["host_key"], own, "a later repeat changes nothing");
        assert_retired(&node, &own).await;
    });
}

/// The agent is killed in each phase and comes back in it.
fn ssh_first_contact_survives_a_killed_node() {
    let mut node = Node::start();
    let restart = |node: &mut Node| {
        node.kill();
        node.launch();
    };
    restart(&mut node);
    let own = client(first_contact(&node, "r1", Verb::Do));
    restart(&mut node);
    client(async {
        assert_both_shown(&node, &own).await;
        assert_eq!(first_contact(&node, "r2", Verb::Do).await, own);
    });
    restart(&mut node);
    client(async {
        connect(&node, &node.operator.private_openssh, &own).await.unwrap().close().await;
        assert_retired(&node, &own).await;
    });
    restart(&mut node);
    client(async {
        assert_retired(&node, &own).await;
        connect(&node, &node.operator.private_openssh, &own).await.unwrap().close().await;
    });
}

/// What cannot be made durable is not done in memory either, and shows.
fn ssh_bootstrap_key_stays_until_it_can_be_removed() {
    let node = Node::start();
    let own = client(first_contact(&node, "r1", Verb::Do));
    let (file, aside) = (node.bootstrap_file(), node.path("aside"));
    fs::rename(&file, &aside).unwrap();
    fs::create_dir(&file).unwrap();
    client(async {
        connect(&node, &node.operator.private_openssh, &own).await.unwrap().close().await;
        assert_eq!(first_contact(&node, "r2", Verb::Do).await, own);
        let status = node.status();
        assert!(status["host_keys"]["failure"].as_str().unwrap().contains("cannot remove"), "{status}");
        fs::remove_dir(&file).unwrap();
        fs::rename(&aside, &file).unwrap();
        connect(&node, &node.operator.private_openssh, &own).await.unwrap().close().await;
        assert_retired(&node, &own).await;
    });
}

/// The same with the client that people have.
fn ssh_first_contact_by_openssh() {
    if Command::new("ssh").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "`ssh` is missing; CI must install openssh-client");
        eprintln!("NOT CHECKED: `ssh` is missing, so nothing was tried with OpenSSH. Install openssh-client.");
        return;
    }
    let node = Node::start();
    let (key, known_hosts) = (node.folder.path().join("operator"), node.folder.path().join("known_hosts"));
    fs::write(&key, &node.operator.private_openssh).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let ssh = |pin: &str, stdin: &str| {
        fs::write(&known_hosts, format!("[{}]:{SSH_PORT} {pin}\n", node.address)).unwrap();
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", known_hosts.display())).arg("-i").arg(&key);
        command.args(["-p", &SSH_PORT.to_string(), &format!("cloudtik@{}", node.address), RUN_STEP_COMMAND]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A client that refused the host no longer reads, and that shows in its exit.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child.wait_with_output().unwrap()
    };
    let bootstrap = node.bootstrap.public_openssh.clone();
    let contact = |pin: &str, run_id: &str| {
        let line = serde_json::to_string(&request(run_id, "k", Verb::Do, &host_key_action(&[]))).unwrap() + "\n";
        let output = ssh(pin, &line);
        assert!(output.status.success(), "{output:?}");
        let NodeReply::End { attributes, .. } = serde_json::from_slice(&output.stdout).unwrap() else { panic!("{output:?}") };
        attributes["host_key"].clone()
    };
    let own = contact(&bootstrap, "r1");
    assert_eq!(contact(&bootstrap, "r2"), own);
    assert_eq!(contact(&own, "r3"), own);
    let refused = ssh(&bootstrap, "");
    assert!(!refused.status.success(), "{refused:?}");
    client(assert_retired(&node, &own));
}

async fn open_and_send(connection: &Connection, request: &NodeRequest) -> (ExecStream, String) {
    let mut stream = connection.exec_stream(&words(), None).await.unwrap();
    let mut stdin = stream.stdin.take().unwrap();
    stdin.write_all((serde_json::to_string(request).unwrap() + "\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(stream.stdout.take().unwrap());
    stdout.read_line(&mut line).await.unwrap();
    (stream, line)
}

fn ssh_connection_lost_in_a_run() {
    let node = Node::start();
    let (count, go) = (node.path("data/count"), node.path("data/go"));
    let text = format!("echo x >> {}; echo one; until test -e {}; do sleep 0.02; done; echo two", count.display(), go.display());
    let wanted = request("r1", "s", Verb::Do, &script(&text));
    client(async {
        let first = connect(&node, &node.operator.private_openssh, &node.bootstrap.public_openssh).await.unwrap();
        let (_stream, line) = open_and_send(&first, &wanted).await;
        assert!(line.contains("one"), "{line}");
        first.discard("the cable was cut");
        let second = connect(&node, &node.operator.private_openssh, &node.bootstrap.public_openssh).await.unwrap();
        fs::write(go, "").unwrap();
        let replies = steps(&second, &words(), &[wanted]).await;
        assert_eq!(outcomes(&replies), [StepOutcome::Done]);
        second.close().await;
    });
    assert_eq!(fs::read_to_string(count).unwrap(), "x\n", "it ran exactly once");
    wait_for("the end of the first connection", || node.status()["runs"] == serde_json::json!([]));
}

fn ssh_people_are_let_in() {
    let mut node = Node::start();
    let (alice, bob) = (generate_ed25519().unwrap(), generate_ed25519().unwrap());
    client(async {
        let early = connect(&node, &alice.private_openssh, &node.bootstrap.public_openssh).await;
        assert!(early.is_err());
    });
    let answer = node.perform("r1", "k", &host_key_action(&[&alice.public_openssh])).done();
    let host_key = &answer.attributes["host_key"];
    for _ in 0..2 {
        client(async {
            for key in [&alice, &node.operator] {
                connect(&node, &key.private_openssh, host_key).await.unwrap().close().await;
            }
            assert!(connect(&node, &bob.private_openssh, host_key).await.is_err());
        });
        node.stop();
        node.launch();
    }
}
