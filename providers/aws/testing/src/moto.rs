//! The API server of the tests: installed once below the target folder, started for one test, ended with it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::client::Endpoint;

/// What is installed.
const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// What is started.
const LAUNCHER: &str = concat!(include_str!("../stacks.py"), include_str!("../launcher.py"));

/// The region that tests use if they do not care.
pub const REGION: &str = "us-west-2";

/// A server that runs. It ends when this is dropped, and also when this process ends in another way.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    address: SocketAddr,
}

impl Moto {
    /// Starts one. What it needs is installed below the folder; tests that run side by side share that.
    ///
    /// # Errors
    ///
    /// When there is no Python, no package index, or the server does not start.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let python = moto_environment(folder)?;
        let mut child = Command::new(python)
            .args(["-c", LAUNCHER])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        match port_of(&mut child) {
            Ok(port) => Ok(Self { child, address: ([127, 0, 0, 1], port).into() }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Starts one, or says loudly that a test does not run.
    ///
    /// # Panics
    ///
    /// Where `CI` is `true`: there it must run.
    #[must_use]
    pub fn start_or_say(folder: &Path) -> Option<Self> {
        there_or_say(Self::start(folder), "no server to test against")
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of it, in the usual region.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.address, REGION)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// What a test needs, or a loud word that it does not run.
#[expect(clippy::panic, reason = "it speaks to whoever runs the tests")]
pub(crate) fn there_or_say<T>(needed: io::Result<T>, without: &str) -> Option<T> {
    match needed {
        Ok(there) => Some(there),
        Err(error) if std::env::var_os("CI").is_some_and(|value| value == "true") => panic!("{without}: {error}"),
        Err(error) => {
            // Written as it is: what is printed by a test that passes is not shown.
            let _ = writeln!(io::stderr(), "NOT RUN: {without}: {error}");
            None
        }
    }
}

fn end(child: &mut Child) {
    // One that ended by itself is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}

/// It says its port when it listens.
fn port_of(child: &mut Child) -> io::Result<u16> {
    let output = child.stdout.take().ok_or_else(|| io::Error::other("the server has no output"))?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    line.trim().parse().map_err(|_| io::Error::other(format!("the server did not start: `{}`", line.trim())))
}

/// The Python of the environment that the server and the linter of templates are in.
pub(crate) fn moto_environment(folder: &Path) -> io::Result<PathBuf> {
    environment(folder, "moto", REQUIREMENTS)
}

/// The Python of an environment with everything in it that is required: packages by exact version, a line each. It is installed once below the
/// folder, and tests that run side by side share it.
///
/// # Errors
///
/// When there is no Python or no package index.
pub fn environment(folder: &Path, name: &str, requirements: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let lock = File::create(folder.join(format!("{name}.lock")))?;
    lock.lock()?;
    let environment = folder.join(name);
    let (python, done) = (environment.join("bin/python"), environment.join("requirements.txt"));
    if fs::read_to_string(&done).is_ok_and(|installed| installed == requirements) {
        return Ok(python);
    }
    if environment.exists() {
        fs::remove_dir_all(&environment)?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let wanted = environment.join("wanted.txt");
    fs::write(&wanted, requirements)?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted))?;
    // Last: what is there is whole.
    fs::rename(wanted, done)?;
    Ok(python)
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{command:?}: {}: {text}", output.status)))
}
