//! First contact with a machine whose SSH server is OpenSSH's: it makes its own host key, tells the public half, and forgets the one that it was
//! launched with.
//!
//! Nothing but a POSIX shell, OpenSSH's own programs and, for a user that is not root, `sudo` is asked of the machine. No file and nothing secret
//! is sent. Everything may be repeated, from the beginning, whenever it was broken off.

use std::time::Duration;

use super::connection::Connection;
use super::exec::{ExecOptions, ExecOutput, ExitStatus, Stdin};
use crate::{PublicHostKey, PublicUserKey, SshError};

/// Runs a script as root. `$1` the script; the rest is the script's.
const AS_ROOT_SCRIPT: &str = r#"
script=$1
shift
if [ "$(id -u)" = 0 ]; then exec /bin/sh -c "$script" cloudtik "$@"; fi
exec sudo -n -- env SSH_CONNECTION="$SSH_CONNECTION" /bin/sh -c "$script" cloudtik "$@"
"#;

const PEOPLE_SCRIPT: &str = include_str!("people.sh");
const OWN_KEY_SCRIPT: &str = concat!(include_str!("shows.sh"), include_str!("own_key.sh"));
const RETIRE_KEY_SCRIPT: &str = concat!(include_str!("shows.sh"), include_str!("retire_key.sh"));

/// `check` found that something is to be done.
const EXIT_NEEDED: u32 = 10;

/// A machine that just started may be slow; making a key and starting the server again takes a second.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(120);

/// What the scripts print is a line; this bounds what a machine's login says in between.
const OUTPUT_BYTES_MAX: usize = 8 * 1024;

/// The algorithm of the key that the machine makes. That of the launch is another one, so that both can be shown side by side.
const OWN_ALGORITHM: &str = "ssh-ed25519";

/// What the machine does, as an error says it.
const OWN_KEY: &str = "make its own host key";

impl Connection {
    /// Has the machine make its own host key unless it did, lets these people log in as the user of this connection, and gives the public half.
    /// The server goes on showing the key that this connection was shown.
    ///
    /// # Errors
    /// The machine cannot do it, or the connection is lost.
    pub async fn make_own_host_key(&self, people: &[PublicUserKey]) -> Result<PublicHostKey, SshError> {
        let done = self.own_host_key("do", people).await?;
        done.ok_or_else(|| strange(OWN_KEY, "it did not say its public half"))
    }

    /// The public half of the machine's own host key, if it made one and exactly these people were let in.
    ///
    /// # Errors
    /// The machine cannot say it, or the connection is lost.
    pub async fn find_own_host_key(&self, people: &[PublicUserKey]) -> Result<Option<PublicHostKey>, SshError> {
        self.own_host_key("check", people).await
    }

    /// Removes the host key of the launch for good. This connection must have been shown the machine's own key: that is the proof that somebody
    /// has kept it. Does nothing where that key is gone.
    ///
    /// # Errors
    /// The proof is missing, the machine cannot do it, or the connection is lost.
    pub async fn retire_launch_host_key(&self) -> Result<(), SshError> {
        const DOING: &str = "remove the host key of the launch";
        if self.host_key().algorithm_name() != OWN_ALGORITHM {
            return Err(strange(DOING, "this connection was shown no key of the machine's own"));
        }
        let output = self.as_root(RETIRE_KEY_SCRIPT, &[], Stdin::Empty, SCRIPT_TIMEOUT).await?;
        if output.exit.success() { Ok(()) } else { Err(failed(DOING, &output)) }
    }

    /// Runs a POSIX shell script as root; `sudo` makes it so for a user that is not. An exit code other than 0 is an answer.
    ///
    /// # Errors
    /// It could not be run to its end.
    pub async fn as_root(&self, script: &str, arguments: &[&str], stdin: Stdin, timeout: Duration) -> Result<ExecOutput, SshError> {
        let mut argv = vec!["/bin/sh", "-c", AS_ROOT_SCRIPT, "cloudtik", script];
        argv.extend_from_slice(arguments);
        self.exec(&argv, options(stdin, timeout)).await
    }

    async fn own_host_key(&self, verb: &str, people: &[PublicUserKey]) -> Result<Option<PublicHostKey>, SshError> {
        let lines: Vec<String> = people.iter().map(ToString::to_string).collect();
        let argv = ["/bin/sh", "-c", PEOPLE_SCRIPT, "cloudtik", verb, &lines.join("\n")];
        let let_in = self.exec(&argv, options(Stdin::Empty, SCRIPT_TIMEOUT)).await?;
        match let_in.exit {
            ExitStatus::Code(0) => {}
            ExitStatus::Code(EXIT_NEEDED) => return Ok(None),
            _ => return Err(failed("let people in", &let_in)),
        }
        let is_shown = if self.host_key().algorithm_name() == OWN_ALGORITHM { "yes" } else { "no" };
        let output = self.as_root(OWN_KEY_SCRIPT, &[verb, is_shown], Stdin::Empty, SCRIPT_TIMEOUT).await?;
        match output.exit {
            ExitStatus::Code(0) => {
                let text = output.stdout.text();
                let line = text.lines().find(|line| line.starts_with(OWN_ALGORITHM));
                line.ok_or_else(|| strange(OWN_KEY, "it did not say its public half"))?.trim().parse().map(Some)
            }
            ExitStatus::Code(EXIT_NEEDED) => Ok(None),
            _ => Err(failed(OWN_KEY, &output)),
        }
    }
}

fn strange(doing: &'static str, detail: &str) -> SshError {
    SshError::Machine { doing, detail: detail.to_owned() }
}

fn options(stdin: Stdin, timeout: Duration) -> ExecOptions {
    ExecOptions { stdin, stdout_tail_max: OUTPUT_BYTES_MAX, stderr_tail_max: OUTPUT_BYTES_MAX, timeout, remote_timeout: None }
}

fn failed(doing: &'static str, output: &ExecOutput) -> SshError {
    SshError::Machine { doing, detail: output.complaint() }
}
