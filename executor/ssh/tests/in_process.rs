//! The client against our own server, both in this process, over TCP on the loopback.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test reports by failing, and its helpers are tests too"
)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloudtik_ssh::{
    CommandHandler, CommandStreams, ConnectOptions, Connection, ExecOptions, ExitStatus, HostKeyPolicy, Pool, PrivateKey, PublicHostKey,
    SshError, Stdin, UploadOptions, UploadSource,
};
use support::{Breaking, Counting, Fixture, eventually, is_disconnected, noise, options, process_runs, sh, stdout_of, with_stdin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const MEBIBYTE: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn exec_gives_exit_and_separate_outputs() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    let output = connection.exec(&sh("echo out; echo err >&2; exit 3"), ExecOptions::default()).await.unwrap();
    assert_eq!(output.exit, ExitStatus::Code(3));
    assert_eq!((output.stdout.text().as_str(), output.stderr.text().as_str()), ("out\n", "err\n"));

    let awkward = "it's \"$HOME\" `x` \\ * \n é";
    let output = connection.exec(&["printf", "%s", awkward], ExecOptions::default()).await.unwrap();
    assert_eq!(output.stdout.text(), awkward);

    let output = connection.exec(&["cat"], with_stdin("from here")).await.unwrap();
    assert_eq!(output.stdout.text(), "from here");
    assert_eq!(fixture.server.counts().connections, 1);
    assert_eq!(*connection.host_key(), fixture.host_key());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_see_only_the_environment_and_folder_they_are_given() {
    let fixture = Fixture::with(|config| {
        config.environment.insert("CLOUDTIK_NODE".to_owned(), "n-1".to_owned());
    })
    .await;
    let connection = fixture.connect().await;
    let seen = stdout_of(&connection, "pwd -P; env | grep -v '^PWD=\\|^SHLVL=\\|^_=\\|^PATH=\\|^OLDPWD='").await;
    let folder = fixture.directory.path().canonicalize().unwrap();
    assert_eq!(seen, format!("{}\nCLOUDTIK_NODE=n-1\n", folder.display()));
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_bounded_and_their_end_is_kept() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    let options = ExecOptions { stdout_tail_max: 7, stderr_tail_max: 0, ..ExecOptions::default() };
    let output = connection.exec(&sh("seq 100000; echo lost >&2"), options).await.unwrap();
    assert_eq!(output.stdout.text(), "100000\n");
    assert_eq!((output.stdout.total, output.stdout.is_cut()), (588_895, true));
    assert_eq!((output.stderr.bytes.len(), output.stderr.total), (0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_command_and_its_death_is_reported() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    let script = "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.02; done";
    let mut stream = connection.exec_stream(&sh(script), None).await.unwrap();
    let mut stdout = stream.stdout.take().unwrap();
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).await.unwrap();
    stream.signal("TERM").await.unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "caught\n");
    assert_eq!(stream.wait().await.unwrap(), ExitStatus::Code(7));

    let stream = connection.exec_stream(&["sleep", "60"], None).await.unwrap();
    stream.signal("KILL").await.unwrap();
    assert_eq!(stream.wait().await.unwrap(), ExitStatus::Signal { name: "KILL".to_owned(), message: String::new() });
}

#[tokio::test(flavor = "multi_thread")]
async fn large_data_goes_both_ways_at_once() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    let data = noise(10 * MEBIBYTE + 17);
    let options = ExecOptions { stdout_tail_max: 2 * data.len(), ..with_stdin(data.clone()) };
    let output = connection.exec(&["cat"], options).await.unwrap();
    assert!(output.stdout.bytes == data, "{} of {} bytes came back", output.stdout.total, data.len());
    let options = ExecOptions { stderr_tail_max: 2 * data.len(), ..with_stdin(data.clone()) };
    let output = connection.exec(&sh("cat >&2"), options).await.unwrap();
    assert!(output.stderr.bytes == data, "{} of {} bytes came back", output.stderr.total, data.len());
}

/// `cat` stops reading while nobody reads its output: the worst case for a server that must not wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_reads_late_gets_everything() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    let data = noise(24 * MEBIBYTE);
    let mut stream = connection.exec_stream(&["cat"], None).await.unwrap();
    let (mut stdin, mut stdout) = (stream.stdin.take().unwrap(), stream.stdout.take().unwrap());
    let sent = data.clone();
    let writer = tokio::spawn(async move { stdin.write_all(&sent).await });
    tokio::time::sleep(Duration::from_millis(700)).await;
    let mut back = Vec::new();
    stdout.read_to_end(&mut back).await.unwrap();
    writer.await.unwrap().unwrap();
    assert!(back == data);
    assert!(stream.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_does_not_read_holds_up_nobody() {
    let fixture = Fixture::start().await;
    let written = Arc::new(AtomicU64::new(0));
    let stream = Counting { inner: fixture.dial().await, written: Arc::clone(&written) };
    let connection = Connection::open(stream, &fixture.options()).await.unwrap();
    let mut stuck = connection.exec_stream(&["sleep", "60"], None).await.unwrap();
    let mut stdin = stuck.stdin.take().unwrap();
    let writer = tokio::spawn(async move { stdin.write_all(&noise(32 * MEBIBYTE)).await });
    eventually("the server has enough", || written.load(Ordering::Relaxed) > 5 * MEBIBYTE as u64).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let taken = written.load(Ordering::Relaxed);
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(stdout_of(&connection, "echo here").await, "here\n");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let more = written.load(Ordering::Relaxed) - taken;
    assert!(taken < 10 * MEBIBYTE as u64 && more < 200_000, "the server took {taken} bytes, then {more}, for a command that reads nothing");
    assert!(!writer.is_finished());
    stuck.signal("KILL").await.unwrap();
    assert!(matches!(stuck.wait().await.unwrap(), ExitStatus::Signal { .. }));
    writer.await.unwrap().unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_may_end_without_reading_and_leave_something_behind() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    let output = connection.exec(&["true"], with_stdin(noise(8 * MEBIBYTE))).await.unwrap();
    assert!(output.exit.success());
    let start = Instant::now();
    let left = stdout_of(&connection, "sleep 30 & echo $!").await;
    assert!(start.elapsed() < Duration::from_secs(10), "the end of the command waited for what it left behind");
    assert!(process_runs(left.trim()), "what a command leaves running stays");
    stdout_of(&connection, &format!("kill {}", left.trim())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_host_key_is_refused_before_anything_is_sent() {
    let fixture = Fixture::start().await;
    let expected = PrivateKey::generate().unwrap().public_host_key().unwrap();
    let written = Arc::new(AtomicU64::new(0));
    let stream = Counting { inner: fixture.dial().await, written: Arc::clone(&written) };
    let error = Connection::open(stream, &options(&fixture.user_key, expected.clone())).await.unwrap_err();
    match &error {
        SshError::HostKeyMismatch { expected: pinned, offered } => {
            assert_eq!(*pinned, [expected.fingerprint()]);
            assert_eq!(offered, fixture.host_key().fingerprint());
        }
        other => panic!("{other}"),
    }
    assert!(!error.command_may_have_run());
    assert!(error.to_string().contains("no login was tried"), "{error}");
    let after_refusal = written.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(written.load(Ordering::Relaxed), after_refusal);
    let counts = fixture.server.counts();
    assert_eq!((counts.connections, counts.keys_offered, counts.logins, counts.commands), (1, 0, 0, 0));

    let nobody = ConnectOptions::new("someone", vec![fixture.user_key.clone()], HostKeyPolicy::Pinned(vec![]));
    let error = Connection::open(fixture.dial().await, &nobody).await.unwrap_err();
    assert!(matches!(error, SshError::NoPinnedHostKeys));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_key_of_the_pinned_kind_is_refused_too() {
    let fixture = Fixture::start().await;
    let ecdsa = concat!(
        "ecdsa-sha2-nistp256 ",
        "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBLZoWbXboS1Y01bdcd70opEJkiUE",
        "9s/8rzAcvGyTP6/y8uJo4kFFkRM0WRWGXNBmHeA+VZhKcq5ns4bdCsvFBYg="
    );
    let ecdsa = ecdsa.parse().unwrap();
    let error = Connection::open(fixture.dial().await, &options(&fixture.user_key, ecdsa)).await.unwrap_err();
    assert!(matches!(&error, SshError::HostKeyMismatch { offered, .. } if offered.contains("ssh-ed25519")), "{error}");
    assert_eq!(fixture.server.counts().keys_offered, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_key_is_refused_and_a_second_one_is_tried() {
    let fixture = Fixture::with(|config| config.user = Some("someone".to_owned())).await;
    let stranger = PrivateKey::generate().unwrap();
    let error = Connection::open(fixture.dial().await, &options(&stranger, fixture.host_key())).await.unwrap_err();
    assert!(matches!(&error, SshError::AuthRefused { tried, .. } if *tried == [stranger.fingerprint()]), "{error}");

    let mut both = fixture.options();
    both.keys.insert(0, stranger.clone());
    let connection = Connection::open(fixture.dial().await, &both).await.unwrap();
    assert_eq!(stdout_of(&connection, "echo in").await, "in\n");

    let mut wrong_name = fixture.options();
    wrong_name.user = "somebody-else".to_owned();
    let error = Connection::open(fixture.dial().await, &wrong_name).await.unwrap_err();
    assert!(matches!(error, SshError::AuthRefused { .. }), "{error}");

    fixture.server.set_authorized_keys(vec![stranger.public_user_key().unwrap()]);
    let error = Connection::open(fixture.dial().await, &fixture.options()).await.unwrap_err();
    assert!(matches!(error, SshError::AuthRefused { .. }), "{error}");
    Connection::open(fixture.dial().await, &options(&stranger, fixture.host_key())).await.unwrap();
    assert_eq!(stdout_of(&connection, "echo still in").await, "still in\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_key_is_seen_by_new_connections_only() {
    let fixture = Fixture::start().await;
    let before = fixture.options();
    let old = fixture.connect().await;
    fixture.change_host_key();
    let error = Connection::open(fixture.dial().await, &before).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyMismatch { .. }), "{error}");
    let new = fixture.connect().await;
    assert_eq!(stdout_of(&new, "echo new").await, "new\n");
    assert_eq!(stdout_of(&old, "echo old").await, "old\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_sees_the_host_key_it_is_pinned_to_and_the_hook_knows_which() {
    let (first, second) = (PrivateKey::generate_ecdsa_p256().unwrap(), PrivateKey::generate().unwrap());
    let logins = Arc::new(Mutex::new(Vec::new()));
    let fixture = Fixture::with(|config| {
        let logins = Arc::clone(&logins);
        config.host_keys = vec![first.clone()];
        config.on_login = Some(Box::new(move |_, host_key| logins.lock().unwrap().push(host_key.clone())));
    })
    .await;
    let (old_pin, new_pin) = (first.public_host_key().unwrap(), second.public_host_key().unwrap());
    let open = async |pin: &PublicHostKey| Connection::open(fixture.dial().await, &options(&fixture.user_key, pin.clone())).await;
    let earliest = open(&old_pin).await.unwrap();
    assert!(matches!(open(&new_pin).await, Err(SshError::HostKeyMismatch { .. })));

    fixture.server.set_host_keys(&[second.clone(), first.clone()]).unwrap();
    assert_eq!(fixture.server.host_keys(), [new_pin.clone(), old_pin.clone()]);
    for pin in [&old_pin, &new_pin, &old_pin] {
        assert_eq!(open(pin).await.unwrap().host_key(), pin);
    }
    // Another key of an algorithm that the host has is still a wrong one.
    for foreign in [PrivateKey::generate().unwrap(), PrivateKey::generate_ecdsa_p256().unwrap()] {
        let error = open(&foreign.public_host_key().unwrap()).await.unwrap_err();
        assert!(matches!(error, SshError::HostKeyMismatch { .. }), "{error}");
    }
    let stranger = PrivateKey::generate().unwrap();
    Connection::open(fixture.dial().await, &options(&stranger, new_pin.clone())).await.unwrap_err();
    assert_eq!(*logins.lock().unwrap(), [&old_pin, &old_pin, &new_pin, &old_pin].map(Clone::clone), "only logins are told");

    assert!(matches!(fixture.server.set_host_keys(&[]), Err(SshError::NoHostKeys)));
    let alike = fixture.server.set_host_keys(&[second.clone(), stranger]);
    assert!(matches!(&alike, Err(SshError::HostKeysAlike { algorithm }) if algorithm == "ssh-ed25519"), "{alike:?}");
    assert_eq!(fixture.server.host_keys().len(), 2, "a refused change changes nothing");
    assert_eq!(stdout_of(&earliest, "echo still here").await, "still here\n");
}

/// The hook is done before the client hears of its login: no client is ever ahead of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_may_retire_a_host_key_and_is_waited_for() {
    let (first, second) = (PrivateKey::generate_ecdsa_p256().unwrap(), PrivateKey::generate().unwrap());
    let (old_pin, new_pin) = (first.public_host_key().unwrap(), second.public_host_key().unwrap());
    let fixture = Fixture::with(|config| {
        config.host_keys = vec![first, second.clone()];
        let new_pin = new_pin.clone();
        config.on_login = Some(Box::new(move |server, host_key| {
            if *host_key == new_pin {
                std::thread::sleep(Duration::from_millis(200));
                server.set_host_keys(std::slice::from_ref(&second)).unwrap();
            }
        }));
    })
    .await;
    let open = async |pin: &PublicHostKey| Connection::open(fixture.dial().await, &options(&fixture.user_key, pin.clone())).await;
    let old = open(&old_pin).await.unwrap();
    open(&old_pin).await.unwrap();
    let new = open(&new_pin).await.unwrap();
    let before = fixture.server.counts().keys_offered;
    let error = open(&old_pin).await.unwrap_err();
    assert!(matches!(&error, SshError::HostKeyMismatch { offered, .. } if offered.contains("ssh-ed25519")), "{error}");
    assert_eq!(fixture.server.counts().keys_offered, before, "no login was tried");
    assert_eq!(stdout_of(&new, "echo new").await, "new\n");
    assert_eq!(stdout_of(&old, "echo old").await, "old\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_or_foreign_peer_ends_the_handshake() {
    let fixture = Fixture::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut silent = fixture.options();
    silent.connect_timeout = Duration::from_millis(200);
    let error = Connection::open(support::dial(address).await, &silent).await.unwrap_err();
    assert!(matches!(error, SshError::ConnectTimeout { .. }), "{error}");
    assert!(listener.accept().await.is_ok());

    let (near, mut far) = tokio::io::duplex(1024);
    tokio::spawn(async move {
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = Connection::open(near, &fixture.options()).await.unwrap_err();
    assert!(matches!(error, SshError::Handshake { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_whole_private_and_not_repeated() {
    let fixture = Fixture::start().await;
    let written = Arc::new(AtomicU64::new(0));
    let stream = Counting { inner: fixture.dial().await, written: Arc::clone(&written) };
    let connection = Connection::open(stream, &fixture.options()).await.unwrap();
    let data = noise(3 * MEBIBYTE + 5);
    let path = fixture.path("deep/er/it's a file");
    let options = UploadOptions { mode: 0o640, make_parents: true, ..UploadOptions::default() };

    let first = connection.upload(UploadSource::Bytes(data.clone()), path.to_str().unwrap(), &options).await.unwrap();
    assert!(first.sent);
    assert!(std::fs::read(&path).unwrap() == data);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);

    let (sent_before, modified) = (written.load(Ordering::Relaxed), std::fs::metadata(&path).unwrap().modified().unwrap());
    let other_mode = UploadOptions { mode: 0o600, ..options.clone() };
    let again = connection.upload(UploadSource::Bytes(data.clone()), path.to_str().unwrap(), &other_mode).await.unwrap();
    assert_eq!((again.sent, again.sha256), (false, first.sha256));
    assert!(written.load(Ordering::Relaxed) - sent_before < 4096, "the content was sent again");
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!((metadata.modified().unwrap(), metadata.permissions().mode() & 0o7777), (modified, 0o600));

    let local = fixture.path("local");
    std::fs::write(&local, b"other content").unwrap();
    let changed = connection.upload(UploadSource::File(local), path.to_str().unwrap(), &options).await.unwrap();
    assert!(changed.sent);
    assert_eq!(std::fs::read(&path).unwrap(), b"other content");
    // Relative to the folder of the session, with a name that looks like an option.
    connection.upload(UploadSource::Bytes(b"x".to_vec()), "-rf", &options).await.unwrap();
    assert_eq!(std::fs::read(fixture.path("-rf")).unwrap(), b"x");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a temporary file stayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_be_stored_says_why() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    let upload = async |path: &str| connection.upload(UploadSource::Bytes(b"x".to_vec()), path, &UploadOptions::default()).await;
    let folder = fixture.directory.path().to_str().unwrap();
    let error = upload(folder).await.unwrap_err();
    assert!(matches!(&error, SshError::UploadRemote { detail, .. } if detail.contains("is a directory")), "{error}");
    let error = upload(&format!("{folder}/no/such/folder")).await.unwrap_err();
    assert!(matches!(error, SshError::UploadRemote { .. }), "{error}");
    assert!(matches!(upload("").await.unwrap_err(), SshError::UploadRemote { .. }));
    let missing = UploadSource::File(fixture.path("missing"));
    let error = connection.upload(missing, &format!("{folder}/x"), &UploadOptions::default()).await.unwrap_err();
    assert!(matches!(error, SshError::UploadRead { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_leaves_the_old_file_and_no_other() {
    let fixture = Fixture::start().await;
    let path = fixture.path("config");
    std::fs::write(&path, b"old").unwrap();
    for left in [20_000, MEBIBYTE, 2 * MEBIBYTE] {
        let stream = Breaking { inner: fixture.dial().await, left };
        let connection = Connection::open(stream, &fixture.options()).await.unwrap();
        let options = UploadOptions::default();
        let error = connection.upload(UploadSource::Bytes(noise(4 * MEBIBYTE)), path.to_str().unwrap(), &options).await.unwrap_err();
        assert!(is_disconnected(&error) && error.command_may_have_run(), "{error}");
        assert!(!connection.is_alive());
        eventually("the temporary file is removed", || std::fs::read_dir(fixture.directory.path()).unwrap().count() == 1).await;
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }
    let connection = fixture.connect().await;
    connection.upload(UploadSource::Bytes(b"new".to_vec()), path.to_str().unwrap(), &UploadOptions::default()).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_commands_share_one_connection_within_its_limit() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    // Each command counts those that run beside it, itself included.
    let script = "mkdir -p run && touch run/$1 && ls run | wc -l && sleep 0.15 && rm run/$1";
    let commands: Vec<_> = (0..30)
        .map(|number| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let number = number.to_string();
                connection.exec(&["sh", "-c", script, "sh", &number], ExecOptions::default()).await.unwrap()
            })
        })
        .collect();
    let mut most = 0;
    for command in commands {
        let output = command.await.unwrap();
        assert!(output.exit.success(), "{output:?}");
        most = most.max(output.stdout.text().trim().parse::<usize>().unwrap());
    }
    assert!((2..=8).contains(&most), "{most} ran at once");
    assert_eq!((fixture.server.counts().connections, fixture.server.counts().commands), (1, 30));
    assert_eq!(connection.sessions_limit(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_discards_the_connection_and_ends_the_command() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    let sibling = tokio::spawn({
        let connection = connection.clone();
        async move { connection.exec(&["sleep", "60"], ExecOptions::default()).await }
    });
    let options = ExecOptions { timeout: Duration::from_secs(2), ..ExecOptions::default() };
    let error = connection.exec(&sh("echo $$ > pid; sleep 60 & echo $! >> pid; wait"), options).await.unwrap_err();
    assert!(matches!(error, SshError::Timeout { discarded: true, .. }), "{error}");
    assert!(!connection.is_alive());
    let error = sibling.await.unwrap().unwrap_err();
    assert!(is_disconnected(&error) && error.to_string().contains("did not end in time"), "{error}");
    assert!(is_disconnected(&connection.exec(&["true"], ExecOptions::default()).await.unwrap_err()));

    let ids = std::fs::read_to_string(fixture.path("pid")).unwrap();
    assert_eq!(ids.lines().count(), 2);
    for id in ids.lines() {
        eventually("the process group has ended", || !process_runs(id)).await;
    }
    assert_eq!(stdout_of(&fixture.connect().await, "echo later").await, "later\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_slot_discards_nothing_and_a_remote_limit_keeps_the_connection() {
    let fixture = Fixture::start().await;
    let mut one = fixture.options();
    one.sessions_max = 1;
    let connection = Connection::open(fixture.dial().await, &one).await.unwrap();
    let running = tokio::spawn({
        let connection = connection.clone();
        let limited = ExecOptions { remote_timeout: Some(Duration::from_secs(2)), ..ExecOptions::default() };
        async move { connection.exec(&["sleep", "60"], limited).await }
    });
    eventually("the command runs", || fixture.server.counts().commands == 1).await;
    let impatient = ExecOptions { timeout: Duration::from_millis(100), ..ExecOptions::default() };
    let error = connection.exec(&["true"], impatient).await.unwrap_err();
    assert!(matches!(error, SshError::Timeout { discarded: false, .. }), "{error}");
    assert!(!error.command_may_have_run());
    assert_eq!(running.await.unwrap().unwrap().exit, ExitStatus::Code(cloudtik_ssh::client::REMOTE_TIMEOUT_CODE));
    assert_eq!(stdout_of(&connection, "echo alive").await, "alive\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_command_is_ended_and_gives_its_slot_back() {
    let fixture = Fixture::start().await;
    let mut one = fixture.options();
    one.sessions_max = 1;
    let connection = Connection::open(fixture.dial().await, &one).await.unwrap();
    for _ in 0..3 {
        drop(connection.exec_stream(&["sleep", "60"], None).await.unwrap());
    }
    assert_eq!(stdout_of(&connection, "echo alive").await, "alive\n");

    // One that does not end costs the connection, but never a slot in silence.
    let mut stubborn = connection.exec_stream(&sh("trap '' TERM; echo ready; sleep 60"), None).await.unwrap();
    let mut ready = [0; 6];
    stubborn.stdout.as_mut().unwrap().read_exact(&mut ready).await.unwrap();
    drop(stubborn);
    let error = connection.exec(&["true"], ExecOptions::default()).await.unwrap_err();
    assert!(is_disconnected(&error) && error.to_string().contains("abandoned"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stdin_that_fails_here_is_reported() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    struct Failing;
    impl tokio::io::AsyncRead for Failing {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::Error::other("disk on fire")))
        }
    }
    let options = ExecOptions { stdin: Stdin::Stream(Box::new(Failing)), ..ExecOptions::default() };
    let error = connection.exec(&["cat"], options).await.unwrap_err();
    assert!(matches!(error, SshError::StdinRead { .. }), "{error}");
    assert!(connection.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_forwarded_where_the_policy_allows() {
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let echo_port = echo.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = echo.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut source, mut sink) = stream.split();
                let _ = tokio::io::copy(&mut source, &mut sink).await;
            });
        }
    });
    let fixture = Fixture::with(move |config| config.forward = Box::new(move |host, port| host == "127.0.0.1" && port == echo_port)).await;
    let connection = fixture.connect().await;
    for port in [22, echo_port.wrapping_add(1)] {
        let error = connection.direct_tcpip("127.0.0.1", port).await.unwrap_err();
        assert!(matches!(error, SshError::ChannelRefused { .. }), "{error}");
    }
    let stream = connection.direct_tcpip("127.0.0.1", echo_port).await.unwrap();
    // The stream alone keeps the connection alive.
    drop(connection);
    let data = noise(10 * MEBIBYTE);
    let (mut source, mut sink) = tokio::io::split(stream);
    let sent = data.clone();
    let writer = tokio::spawn(async move {
        sink.write_all(&sent).await.unwrap();
        sink.shutdown().await.unwrap();
        sink
    });
    let mut back = Vec::new();
    source.read_to_end(&mut back).await.unwrap();
    assert!(back == data, "{} bytes came back", back.len());
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_reached_through_the_head() {
    let worker = Fixture::start().await;
    let head = Fixture::with(|config| config.forward = Box::new(|host, _| host == "127.0.0.1")).await;
    let jump = head.connect().await.direct_tcpip("127.0.0.1", worker.address.port()).await.unwrap();
    let connection = Connection::open(jump, &worker.options()).await.unwrap();
    let data = noise(10 * MEBIBYTE);
    let options = ExecOptions { stdout_tail_max: data.len(), ..with_stdin(data.clone()) };
    let output = connection.exec(&["cat"], options).await.unwrap();
    assert!(output.stdout.bytes == data);
    assert_eq!(head.server.counts().commands, 0);

    let jump = head.connect().await.direct_tcpip("127.0.0.1", worker.address.port()).await.unwrap();
    let error = Connection::open(jump, &head.options()).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyMismatch { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedding_program_may_handle_commands_itself() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&dropped);
    let fixture = Fixture::with(move |config| {
        config.intercept = Some(Box::new(move |command: &str| {
            let seen = Arc::clone(&seen);
            let verb = command.strip_prefix("node ")?.to_owned();
            let handler: CommandHandler = Box::new(move |streams| Box::pin(node(streams, verb, seen)));
            Some(handler)
        }));
    })
    .await;
    let connection = fixture.connect().await;
    let output = connection.exec(&["node", "upper"], with_stdin("text")).await.unwrap();
    assert_eq!((output.exit, output.stdout.text().as_str(), output.stderr.text().as_str()), (ExitStatus::Code(9), "TEXT", "read 4"));
    assert_eq!(stdout_of(&connection, "echo shell").await, "shell\n");

    let broken = connection.exec(&["node", "panic"], ExecOptions::default()).await.unwrap();
    assert!(matches!(&broken.exit, ExitStatus::Signal { message, .. } if message.contains("broke down")), "{broken:?}");

    let hanging = connection.exec_stream(&["node", "hang"], None).await.unwrap();
    hanging.signal("USR1").await.unwrap();
    assert_eq!(hanging.wait().await.unwrap(), ExitStatus::Code(1));

    let _hanging = connection.exec_stream(&["node", "hang"], None).await.unwrap();
    let before = dropped.load(Ordering::SeqCst);
    connection.discard("test");
    eventually("the handler is dropped", || dropped.load(Ordering::SeqCst) == before + 1).await;
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

async fn node(mut streams: CommandStreams, verb: String, dropped: Arc<AtomicUsize>) -> ExitStatus {
    let _count = CountDrop(dropped);
    assert_ne!(verb, "panic", "a handler that breaks down");
    if verb == "hang" {
        return match streams.signals.recv().await.as_deref() {
            Some("USR1") => ExitStatus::Code(1),
            other => panic!("{other:?}"),
        };
    }
    let mut text = String::new();
    streams.stdin.read_to_string(&mut text).await.unwrap();
    streams.stdout.write_all(text.to_uppercase().as_bytes()).await.unwrap();
    streams.stdout.write_all(b"").await.unwrap();
    streams.stderr.write_all(format!("read {}", text.len()).as_bytes()).await.unwrap();
    ExitStatus::Code(9)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_opens_one_connection_for_all_who_ask_at_once() {
    let fixture = Arc::new(Fixture::start().await);
    let pool = Pool::new();
    let users: Vec<_> = (0..16)
        .map(|_| {
            let (pool, fixture) = (pool.clone(), Arc::clone(&fixture));
            tokio::spawn(async move {
                let connection = pool.connection("i-1", &fixture.options(), || async { Ok(fixture.dial().await) }).await.unwrap();
                stdout_of(&connection, "echo shared").await
            })
        })
        .collect();
    for user in users {
        assert_eq!(user.await.unwrap(), "shared\n");
    }
    assert_eq!((pool.handshakes(), fixture.server.counts().connections), (1, 1));

    let get = async || pool.connection("i-1", &fixture.options(), || async { Ok(fixture.dial().await) }).await.unwrap();
    get().await.discard("it broke");
    assert_eq!(stdout_of(&get().await, "echo again").await, "again\n");
    assert_eq!(pool.handshakes(), 2);

    // The host's key is rotated: the living connection is for the old pin only.
    fixture.change_host_key();
    assert_eq!(*get().await.host_key(), fixture.host_key());
    assert_eq!(pool.handshakes(), 3);
    pool.forget("i-1").await;
    let last = get().await;
    assert_eq!(pool.handshakes(), 4);
    pool.close().await;
    assert!(!last.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_waited_for_a_failed_handshake_share_its_error() {
    let fixture = Arc::new(Fixture::start().await);
    let pool = Pool::new();
    let wrong = options(&fixture.user_key, PrivateKey::generate().unwrap().public_host_key().unwrap());
    let users: Vec<_> = (0..8)
        .map(|_| {
            let (pool, fixture, wrong) = (pool.clone(), Arc::clone(&fixture), wrong.clone());
            tokio::spawn(async move {
                let slow = || async {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok(fixture.dial().await)
                };
                pool.connection("i-1", &wrong, slow).await.unwrap_err()
            })
        })
        .collect();
    for user in users {
        assert!(matches!(user.await.unwrap(), SshError::HostKeyMismatch { .. }));
    }
    assert_eq!(pool.handshakes(), 1);
    let unreachable = || async { Err::<tokio::net::TcpStream, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)) };
    let error = pool.connection("i-1", &fixture.options(), unreachable).await.unwrap_err();
    assert!(matches!(&error, SshError::Dial { host, .. } if host == "i-1"), "{error}");
    // A later question is a new one.
    pool.connection("i-1", &fixture.options(), || async { Ok(fixture.dial().await) }).await.unwrap();
    assert_eq!(pool.handshakes(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_fill_only_their_own_places() {
    let fixture = Fixture::start().await;
    let inside = fixture.connect().await;
    let mut strangers = Vec::new();
    for _ in 0..cloudtik_ssh::server::UNAUTHENTICATED_CONNECTIONS_MAX {
        strangers.push(fixture.dial().await);
    }
    eventually("the strangers are taken", || fixture.server.counts().connections as usize == strangers.len() + 1).await;
    let error = Connection::open(fixture.dial().await, &fixture.options()).await.unwrap_err();
    assert!(matches!(error, SshError::Handshake { .. }), "{error}");
    assert_eq!(stdout_of(&inside, "echo inside").await, "inside\n");
    drop(strangers.pop());
    let mut connected = None;
    for _ in 0..100 {
        connected = Connection::open(fixture.dial().await, &fixture.options()).await.ok();
        if connected.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(connected.is_some(), "a place that became free was not given away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_cuts_its_connections_and_ends_their_commands() {
    let fixture = Fixture::start().await;
    let connection = fixture.connect().await;
    let mut stream = connection.exec_stream(&sh("echo $$; sleep 60"), None).await.unwrap();
    let mut id = [0; 16];
    let length = stream.stdout.as_mut().unwrap().read(&mut id).await.unwrap();
    let id = std::str::from_utf8(&id[..length]).unwrap().trim().to_owned();
    fixture.server.stop();
    assert!(is_disconnected(&stream.wait().await.unwrap_err()));
    eventually("the command has ended", || !process_runs(&id)).await;
    assert!(
        tokio::net::TcpStream::connect(fixture.address).await.is_err() || {
            // The listener closes a moment later.
            tokio::time::sleep(Duration::from_millis(200)).await;
            tokio::net::TcpStream::connect(fixture.address).await.is_err()
        }
    );
}
