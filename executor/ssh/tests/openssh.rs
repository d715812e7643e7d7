//! The client against the real OpenSSH server.
//!
//! Each test starts a server of its own from a temporary folder, on a free port of the loopback, and kills it by its number at the end, whatever
//! happened. Where there is no `sshd` the suite cannot run: it says so, and fails when `CI` is set.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test reports by failing, and its helpers are tests too"
)]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloudtik_ssh::{
    ConnectOptions, Connection, ExecOptions, ExitStatus, HostKeyPolicy, PrivateKey, PublicHostKey, PublicUserKey, SshError, UploadOptions,
    UploadSource, dial_tcp, generate_ecdsa_p256, generate_ed25519,
};
use support::{Fixture, is_disconnected, noise, process_runs, sh, stdout_of, with_stdin};
use tokio::io::AsyncReadExt;

const SSHD: &str = "/usr/sbin/sshd";

/// Whether the check can run. It says so loudly when it cannot.
fn sshd_is_here() -> bool {
    if Path::new(SSHD).exists() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{SSHD} is missing; CI must install openssh-server");
    eprintln!("NOT CHECKED: {SSHD} is missing, so nothing was tried against OpenSSH. Install openssh-server.");
    false
}

/// A running `sshd`, killed when dropped.
struct Sshd {
    child: Child,
    address: SocketAddr,
    host_key: PublicHostKey,
    user_key: PrivateKey,
    directory: tempfile::TempDir,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    async fn start(max_sessions: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let user_key = PrivateKey::generate().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (host_key_file, authorized, config, log) = (path("host_key"), path("authorized_keys"), path("sshd_config"), path("log"));
        let pair = generate_ed25519().unwrap();
        write_secret(&host_key_file, &pair.private_openssh);
        std::fs::write(&authorized, user_key.public_line().unwrap()).unwrap();
        let port = free_port();
        let text = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\nUseDNS no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\nMaxSessions {max_sessions}\n",
            host_key_file.display(),
            authorized.display(),
        );
        std::fs::write(&config, text).unwrap();
        let mut sshd = Self {
            child: spawn(&config, &log),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            host_key: pair.public_openssh.parse().unwrap(),
            user_key,
            directory,
        };
        sshd.wait_until_it_listens().await;
        sshd
    }

    /// Stops it and starts it again on the same port with another host key.
    async fn restart_with_another_key(&mut self) -> PublicHostKey {
        let before = self.host_key.clone();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let pair = generate_ed25519().unwrap();
        write_secret(&self.directory.path().join("host_key"), &pair.private_openssh);
        self.host_key = pair.public_openssh.parse().unwrap();
        self.child = spawn(&self.directory.path().join("sshd_config"), &self.directory.path().join("log"));
        self.wait_until_it_listens().await;
        before
    }

    async fn wait_until_it_listens(&mut self) {
        let start = Instant::now();
        while dial_tcp(self.address, Duration::from_secs(1)).await.is_err() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("sshd ended at once, {status}: {}", self.log());
            }
            assert!(start.elapsed() < Duration::from_secs(10), "sshd does not listen: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn options(&self) -> ConnectOptions {
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap();
        ConnectOptions::new(user.trim(), vec![self.user_key.clone()], HostKeyPolicy::Pinned(vec![self.host_key.clone()]))
    }

    async fn open(&self, options: &ConnectOptions) -> Result<Connection, SshError> {
        Connection::open(dial_tcp(self.address, Duration::from_secs(5)).await.unwrap(), options).await
    }

    async fn connect(&self) -> Connection {
        self.open(&self.options()).await.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }
}

fn spawn(config: &Path, log: &Path) -> Child {
    // As root it insists on this empty folder, which the package's start script makes.
    let _ = std::fs::create_dir("/run/sshd");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    Command::new(SSHD).args(["-D", "-e", "-f"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// A machine as far as its SSH server goes: in mounts of its own, with the host key of its launch and nobody's but the login key. Needs root.
struct Machine {
    sshd: Sshd,
    launch_key: PublicHostKey,
}

impl Machine {
    /// `None`: it cannot be had here, which was said.
    async fn start() -> Option<Self> {
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        if !sshd_is_here() || !is_root {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "a machine's own mounts need root");
            eprintln!("NOT CHECKED: first contact with OpenSSH needs root, for mounts of the server's own.");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let (user_key, launch, port) = (PrivateKey::generate().unwrap(), generate_ecdsa_p256().unwrap(), free_port());
        write_secret(&directory.path().join("launch"), &launch.private_openssh);
        std::fs::write(directory.path().join("login"), user_key.public_line().unwrap()).unwrap();
        let text = format!("ListenAddress 127.0.0.1\nPort {port}\nPidFile none\nUsePAM no\nPermitRootLogin prohibit-password\n");
        std::fs::write(directory.path().join("sshd_config"), text).unwrap();
        // Only these two folders are the machine's own; its user is root, whose home is one of them.
        let script = "set -e\nfor own in /etc/ssh /root; do mount -t tmpfs -o mode=700 tmpfs $own; done\n\
                      cp launch /etc/ssh/ssh_host_ecdsa_key\ncp sshd_config /etc/ssh\nmkdir -m 700 ~/.ssh\n\
                      cp login ~/.ssh/authorized_keys\nmkdir -p /run/sshd\nexec /usr/sbin/sshd -D -e\n";
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "/bin/sh", "-c", script])
            .current_dir(directory.path())
            .env("HOME", "/root")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let launch_key: PublicHostKey = launch.public_openssh.parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut sshd = Sshd { child, address, host_key: launch_key.clone(), user_key, directory };
        sshd.wait_until_it_listens().await;
        Some(Self { sshd, launch_key })
    }

    /// A connection that is pinned to a key, as whoever has this login key.
    async fn connect(&self, host_key: &PublicHostKey, login: &PrivateKey) -> Result<Connection, SshError> {
        let options = ConnectOptions::new("root", vec![login.clone()], HostKeyPolicy::Pinned(vec![host_key.clone()]));
        self.sshd.open(&options).await
    }
}

#[tokio::test]
async fn a_machine_makes_its_own_host_key_and_forgets_that_of_its_launch() {
    let Some(machine) = Machine::start().await else { return };
    let (login, ana, ben) = (machine.sshd.user_key.clone(), PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let people = |keys: &[&PrivateKey]| -> Vec<PublicUserKey> { keys.iter().map(|key| key.public_user_key().unwrap()).collect() };
    let first = machine.connect(&machine.launch_key, &login).await.unwrap();
    assert_eq!(first.find_own_host_key(&[]).await.unwrap(), None);
    // Whoever comes again gets the same answer, and the connection goes on.
    let own = first.make_own_host_key(&people(&[&ana])).await.unwrap();
    assert_eq!(first.make_own_host_key(&people(&[&ana])).await.unwrap(), own);
    let again = machine.connect(&machine.launch_key, &login).await.unwrap();
    assert_eq!(again.find_own_host_key(&people(&[&ana])).await.unwrap(), Some(own.clone()));
    assert_eq!(again.find_own_host_key(&people(&[&ben])).await.unwrap(), None, "others were let in");
    let refused = again.retire_launch_host_key().await.unwrap_err();
    assert!(refused.to_string().contains("was shown no key of the machine's own"), "{refused}");

    let proof = machine.connect(&own, &ana).await.unwrap();
    proof.retire_launch_host_key().await.unwrap();
    proof.retire_launch_host_key().await.unwrap();
    let error = machine.connect(&machine.launch_key, &login).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyMismatch { .. }), "{error}");

    // The people of one answer are no longer those of the next; who launched it stays.
    assert_eq!(proof.make_own_host_key(&people(&[&ben])).await.unwrap(), own);
    for login in [&login, &ben] {
        machine.connect(&own, login).await.unwrap();
    }
    let error = machine.connect(&own, &ana).await.unwrap_err();
    assert!(matches!(error, SshError::AuthRefused { .. }), "{error}");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Kills a process when dropped: commands on a real server outlive their connection.
struct KillOnDrop(String);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-KILL").arg(&self.0).stderr(Stdio::null()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_large_data() {
    if !sshd_is_here() {
        return;
    }
    let sshd = Sshd::start(10).await;
    let connection = sshd.connect().await;
    let output = connection.exec(&sh("echo out; echo err >&2; exit 3"), ExecOptions::default()).await.unwrap();
    assert_eq!((output.exit, output.stdout.text().as_str(), output.stderr.text().as_str()), (ExitStatus::Code(3), "out\n", "err\n"));
    let awkward = "it's \"$HOME\" `x` \\ * \n é";
    assert_eq!(connection.exec(&["printf", "%s", awkward], ExecOptions::default()).await.unwrap().stdout.text(), awkward);

    let data = noise(10 * 1024 * 1024 + 17);
    let options = ExecOptions { stdout_tail_max: 2 * data.len(), ..with_stdin(data.clone()) };
    let output = connection.exec(&["cat"], options).await.unwrap();
    assert!(output.stdout.bytes == data, "{} of {} bytes came back", output.stdout.total, data.len());

    let output = connection.exec(&sh("kill -TERM $$"), ExecOptions::default()).await.unwrap();
    assert_eq!(output.exit, ExitStatus::Signal { name: "TERM".to_owned(), message: String::new() });
    let limited = ExecOptions { remote_timeout: Some(Duration::from_secs(1)), ..ExecOptions::default() };
    assert_eq!(connection.exec(&["sleep", "20"], limited).await.unwrap().exit, ExitStatus::Code(124));
    connection.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads() {
    if !sshd_is_here() {
        return;
    }
    let sshd = Sshd::start(10).await;
    let connection = sshd.connect().await;
    let path = sshd.directory.path().join("made here/file");
    let (data, options) = (noise(5 * 1024 * 1024), UploadOptions { mode: 0o600, make_parents: true, ..UploadOptions::default() });
    let upload = async |data: &[u8]| connection.upload(UploadSource::Bytes(data.to_vec()), path.to_str().unwrap(), &options).await;
    assert!(upload(&data).await.unwrap().sent);
    assert!(!upload(&data).await.unwrap().sent);
    assert!(std::fs::read(&path).unwrap() == data);

    let stream = support::Breaking { inner: dial_tcp(sshd.address, Duration::from_secs(5)).await.unwrap(), left: 1024 * 1024 };
    let broken = Connection::open(stream, &sshd.options()).await.unwrap();
    let error = broken.upload(UploadSource::Bytes(noise(4 * 1024 * 1024)), path.to_str().unwrap(), &options).await.unwrap_err();
    assert!(is_disconnected(&error), "{error}");
    support::eventually("the temporary file is removed", || std::fs::read_dir(path.parent().unwrap()).unwrap().count() == 1).await;
    assert!(std::fs::read(&path).unwrap() == data);
    assert!(upload(b"new").await.unwrap().sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_commands_than_the_server_allows_wait_for_each_other() {
    if !sshd_is_here() {
        return;
    }
    for (max_sessions, learned) in [(10, 8..=8), (2, 1..=2)] {
        let sshd = Sshd::start(max_sessions).await;
        let connection = sshd.connect().await;
        let commands: Vec<_> = (0..16)
            .map(|number| {
                let connection = connection.clone();
                tokio::spawn(async move { stdout_of(&connection, &format!("sleep 0.05; echo {number}")).await })
            })
            .collect();
        for (number, command) in commands.into_iter().enumerate() {
            assert_eq!(command.await.unwrap(), format!("{number}\n"));
        }
        assert!(learned.contains(&connection.sessions_limit()), "MaxSessions {max_sessions}: {}", connection.sessions_limit());
        assert_eq!(sshd.log().matches("Accepted publickey").count(), 1, "{}", sshd.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_is_an_error_and_not_the_end_of_the_connection() {
    if !sshd_is_here() {
        return;
    }
    let sshd = Sshd::start(1).await;
    let connection = sshd.connect().await;
    let mut running = connection.exec_stream(&sh("echo $$; exec sleep 20"), None).await.unwrap();
    let mut id = [0; 16];
    let length = running.stdout.as_mut().unwrap().read(&mut id).await.unwrap();
    // For root OpenSSH ignores signals from the client, so the command is killed from here.
    let kill = KillOnDrop(std::str::from_utf8(&id[..length]).unwrap().trim().to_owned());
    // Our own slots say that there is room; the server knows better, and the second command waits until the first has ended.
    let second = tokio::spawn({
        let connection = connection.clone();
        async move { stdout_of(&connection, "echo second").await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!second.is_finished());
    drop(kill);
    assert!(matches!(running.wait().await.unwrap(), ExitStatus::Signal { .. }));
    assert_eq!(second.await.unwrap(), "second\n");

    let sshd = Sshd::start(0).await;
    let connection = sshd.connect().await;
    let error = connection.exec(&["true"], ExecOptions::default()).await.unwrap_err();
    assert!(matches!(error, SshError::ChannelRefused { .. }), "{error}");
    assert!(!error.command_may_have_run() && connection.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_commands_cost_their_connection_and_nothing_else() {
    if !sshd_is_here() {
        return;
    }
    let sshd = Sshd::start(2).await;
    // More of them than the server has slots: were one leaked on a shared connection, the third could not start.
    let hang = async |number: usize| {
        let connection = sshd.connect().await;
        let file = sshd.directory.path().join(format!("pid-{number}"));
        let script = format!("echo $$ > {}; exec sleep 60", file.display());
        let options = ExecOptions { timeout: Duration::from_secs(3), ..ExecOptions::default() };
        let error = connection.exec(&sh(&script), options).await.unwrap_err();
        assert!(matches!(error, SshError::Timeout { discarded: true, .. }), "{error}");
        assert!(!connection.is_alive());
        let id = std::fs::read_to_string(file).unwrap().trim().to_owned();
        let kill = KillOnDrop(id.clone());
        // This is why the error says that the command may still be running.
        assert!(process_runs(&id));
        assert!(is_disconnected(&connection.exec(&["true"], ExecOptions::default()).await.unwrap_err()));
        kill
    };
    let _kept = tokio::join!(hang(0), hang(1), hang(2));
    assert_eq!(stdout_of(&sshd.connect().await, "echo later").await, "later\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_key_is_refused_before_the_login() {
    if !sshd_is_here() {
        return;
    }
    let mut sshd = Sshd::start(10).await;
    assert_eq!(stdout_of(&sshd.connect().await, "echo first").await, "first\n");
    let old_options = sshd.options();
    let old_key = sshd.restart_with_another_key().await;
    let log_before = sshd.log().len();
    let error = sshd.open(&old_options).await.unwrap_err();
    match &error {
        SshError::HostKeyMismatch { expected, offered } => {
            assert_eq!(*expected, [old_key.fingerprint()]);
            assert_eq!(offered, sshd.host_key.fingerprint());
        }
        other => panic!("{other}"),
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let said = sshd.log()[log_before..].to_owned();
    assert!(said.contains("[preauth]"), "{said}");
    // A tried login names the user, accepted or not.
    assert!(!said.contains("publickey") && !said.contains(&format!("user {}", old_options.user)), "{said}");
    assert_eq!(stdout_of(&sshd.connect().await, "echo new pin").await, "new pin\n");

    let mut stranger = sshd.options();
    stranger.keys = vec![PrivateKey::generate().unwrap()];
    let error = sshd.open(&stranger).await.unwrap_err();
    assert!(matches!(error, SshError::AuthRefused { .. }), "{error}");
}

/// The other way round: what people have on their machines against the server of a local node.
#[tokio::test(flavor = "multi_thread")]
async fn the_openssh_client_speaks_to_our_server() {
    if !sshd_is_here() {
        return;
    }
    let (old_key, new_key) = (PrivateKey::generate_ecdsa_p256().unwrap(), PrivateKey::generate().unwrap());
    let logins = Arc::new(Mutex::new(Vec::new()));
    let fixture = Fixture::with(|config| {
        let logins = Arc::clone(&logins);
        config.host_keys = vec![old_key.clone()];
        config.on_login = Some(Box::new(move |_, host_key| logins.lock().unwrap().push(host_key.clone())));
    })
    .await;
    let key_file = fixture.path("key");
    write_secret(&key_file, &fixture.user_key.to_openssh().unwrap());
    let kex = std::cell::Cell::new("curve25519-sha256");
    let ssh = async |host_key: &PublicHostKey, command: &[&str]| {
        let (known_hosts, port) = (fixture.path("known_hosts"), fixture.address.port());
        std::fs::write(&known_hosts, format!("[127.0.0.1]:{port} {host_key}\n")).unwrap();
        let mut ssh = tokio::process::Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes", "-i"]).arg(&key_file);
        ssh.arg("-o")
            .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
            .arg("-o")
            .arg(format!("KexAlgorithms={}", kex.get()))
            .args(["-p", &port.to_string(), "someone@127.0.0.1"]);
        ssh.args(command).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap()
    };
    let host_key = fixture.host_key();
    let output = ssh(&host_key, &["cat; echo out; echo err >&2; exit 5"]).await;
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(5), &b"out\n"[..]), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("err\n"));
    // Without a command there would be a terminal's shell, which a node does not have: refused, not left hanging.
    assert!(!ssh(&host_key, &[]).await.status.success());

    // The known_hosts file decides which of two keys is asked for, and each way of exchanging keys is read aright.
    fixture.server.set_host_keys(&[new_key.clone(), old_key]).unwrap();
    let new_host_key = new_key.public_host_key().unwrap();
    for way in ["curve25519-sha256", "diffie-hellman-group-exchange-sha256", "diffie-hellman-group14-sha256"] {
        kex.set(way);
        for pin in [&host_key, &new_host_key] {
            logins.lock().unwrap().clear();
            let output = ssh(pin, &["true"]).await;
            assert!(output.status.success(), "{way} {output:?}");
            assert_eq!(*logins.lock().unwrap(), std::slice::from_ref(pin), "{way}");
        }
    }
    fixture.server.set_host_keys(&[new_key]).unwrap();
    assert!(!ssh(&host_key, &["true"]).await.status.success());
    assert!(ssh(&new_host_key, &["true"]).await.status.success());
}
