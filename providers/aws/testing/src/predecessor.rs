//! The predecessor as its users have it: the Python package `cloudtik`, installed once below the target folder, against the same server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::moto::{REGION, environment, there_or_say};

/// What is installed.
const REQUIREMENTS: &str = include_str!("../predecessor.txt");

/// The program with a home and files of its own.
#[derive(Debug)]
pub struct Predecessor {
    program: PathBuf,
    home: PathBuf,
    endpoint: String,
}

impl Predecessor {
    /// The program for a server. What it needs is installed below the folder; its own files are in the home.
    ///
    /// # Errors
    ///
    /// When there is no Python or no package index.
    pub fn new(folder: &Path, home: &Path, endpoint: &str) -> io::Result<Self> {
        let python = environment(folder, "predecessor", REQUIREMENTS)?;
        fs::create_dir_all(home)?;
        Ok(Self { program: python.with_file_name("cloudtik"), home: home.to_owned(), endpoint: endpoint.to_owned() })
    }

    /// The same, or says loudly that a test does not run.
    ///
    /// # Panics
    ///
    /// Where `CI` is `true`: there it must run.
    #[must_use]
    pub fn new_or_say(folder: &Path, home: &Path, endpoint: &str) -> Option<Self> {
        there_or_say(Self::new(folder, home, endpoint), "the predecessor cannot be installed")
    }

    /// Writes the configuration of a workspace that has a public head and an object store.
    fn configuration(&self, name: &str) -> io::Result<PathBuf> {
        let text = format!(
            "workspace_name: {name}\nprovider:\n  type: aws\n  region: {REGION}\n  use_internal_ips: False\n  managed_cloud_storage: True\n  \
             allowed_ssh_sources:\n    - 203.0.113.0/24\n"
        );
        let path = self.home.join(format!("{name}.yaml"));
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Runs a command about a workspace, and gives what it says.
    ///
    /// # Errors
    ///
    /// When it cannot be run, and when it fails.
    pub fn workspace(&self, command: &str, arguments: &[&str], name: &str) -> io::Result<String> {
        let output = Command::new(&self.program)
            .args(["workspace", command])
            .args(arguments)
            .arg(self.configuration(name)?)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("TMPDIR", &self.home)
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("NO_PROXY", "127.0.0.1")
            .output()?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            Ok(said)
        } else {
            Err(io::Error::other(format!("`cloudtik workspace {command}` of the predecessor: {}\n{said}", output.status)))
        }
    }

    /// The state that it sees a workspace in.
    ///
    /// # Errors
    ///
    /// When it cannot be run, and when it says no state.
    pub fn status(&self, name: &str) -> io::Result<String> {
        let said = self.workspace("status", &[], name)?;
        let plain: String = said.split("\u{1b}[").map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
        let line = plain.lines().rev().find(|line| line.contains(&format!("Workspace {name}")));
        let line = line.ok_or_else(|| io::Error::other(format!("the predecessor says nothing of `{name}`: {said}")))?;
        Ok(line.rsplit(": ").next().unwrap_or_default().trim().to_owned())
    }
}
