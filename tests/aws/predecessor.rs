//! The predecessor as its users have it: the Python package `cloudtik`, installed once below the target folder, against the same server.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use cloudtik_aws_testing::environment;

use super::{REGION, World};

/// What is installed.
const REQUIREMENTS: &str = include_str!("predecessor.txt");

/// The program with a home and files of its own.
pub struct Predecessor {
    program: PathBuf,
    home: tempfile::TempDir,
    endpoint: String,
}

impl Predecessor {
    /// `None`: it cannot be installed here, which was said.
    pub fn new(world: &World) -> Option<Self> {
        let python = match environment(Path::new(env!("CARGO_TARGET_TMPDIR")), "predecessor", REQUIREMENTS) {
            Ok(python) => python,
            Err(error) if std::env::var_os("CI").is_some_and(|value| value == "true") => panic!("no predecessor: {error}"),
            Err(error) => {
                // Written as it is: what is printed by a test that passes is not shown.
                let _ = writeln!(io::stderr(), "NOT RUN: the predecessor cannot be installed: {error}");
                return None;
            }
        };
        // The server itself: what the proxy adds is how AWS behaves, and this is about names.
        let endpoint = world.server_url();
        Some(Self { program: python.with_file_name("cloudtik"), home: tempfile::tempdir().unwrap(), endpoint })
    }

    /// Writes the configuration of a workspace that has a public head and an object store.
    fn configuration(&self, name: &str) -> PathBuf {
        let text = format!(
            "workspace_name: {name}\nprovider:\n  type: aws\n  region: {REGION}\n  use_internal_ips: False\n  managed_cloud_storage: True\n  \
             allowed_ssh_sources:\n    - 203.0.113.0/24\n"
        );
        let path = self.home.path().join(format!("{name}.yaml"));
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs a command about a workspace, and gives what it says.
    #[track_caller]
    pub fn workspace(&self, command: &str, arguments: &[&str], name: &str) -> String {
        let output = Command::new(&self.program)
            .args(["workspace", command])
            .args(arguments)
            .arg(self.configuration(name))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("TMPDIR", self.home.path())
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "`cloudtik workspace {command}` of the predecessor: {}\n{said}", output.status);
        said
    }

    /// The state that it sees a workspace in.
    #[track_caller]
    pub fn status(&self, name: &str) -> String {
        let said = self.workspace("status", &[], name);
        let plain: String = said.split("\u{1b}[").map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
        let line = plain.lines().rev().find(|line| line.contains(&format!("Workspace {name}"))).unwrap_or_else(|| panic!("{said}"));
        line.rsplit(": ").next().unwrap_or_default().trim().to_owned()
    }
}
