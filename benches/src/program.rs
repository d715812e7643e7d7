//! A program that is measured: found or built, and run in a folder of its own with an environment that is the same everywhere.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// Where our state lies in a project.
pub(crate) const STATE: &str = ".cloudtik/state.json";

/// How much of what a failed program said is repeated.
const SAID_CHARS_MAX: usize = 2_000;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A file or folder of ours.
    #[error("cannot {doing} `{path}`")]
    File { doing: &'static str, path: PathBuf, source: std::io::Error },
    /// A program that cannot be started.
    #[error("cannot run `{program}`")]
    Start { program: String, source: std::io::Error },
    /// A program that did not do what is measured.
    #[error("`{command}` ended with {code:?}, not {expected}:\n{said}")]
    Ended { command: String, code: Option<i32>, expected: i32, said: String },
    /// The build says of no file that it is the program.
    #[error("the build made no program")]
    NotBuilt,
    /// The state does not hold what it should: what was measured was something else.
    #[error("after `{command}` the state holds {found} resources, not {expected}")]
    Count { command: String, found: usize, expected: usize },
    /// The server that stands for AWS, or what is compared there.
    #[error("what stands for AWS does not run")]
    Server { source: std::io::Error },
    /// The critical path of something else than what was measured.
    #[error("the critical path is not known: {0}")]
    Path(String),
    /// The system does not say how much memory a program held.
    #[error("cannot ask how much memory was held")]
    Memory(#[source] std::io::Error),
    /// The table could not be written.
    #[error("cannot write the table")]
    Output(#[source] std::io::Error),
}

/// A program and the folder that it is run in.
pub(crate) struct Program {
    name: &'static str,
    path: PathBuf,
    folder: PathBuf,
    home: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Program {
    /// The program in a folder that is made, with this spec in it.
    pub(crate) fn new(name: &'static str, path: &Path, folder: &Path, file: &str, spec: &str) -> Result<Self, BenchError> {
        let home = folder.join("home");
        let folder = folder.join("project");
        for made in [&home, &folder] {
            std::fs::create_dir_all(made).map_err(|source| BenchError::File { doing: "make", path: made.clone(), source })?;
        }
        let program = Self { name, path: path.to_owned(), folder, home, environment: Vec::new() };
        program.write(file, spec)?;
        // Without a file of its own Terraform reads the one of the user.
        let config = program.home.join("terraformrc");
        std::fs::write(&config, "").map_err(|source| BenchError::File { doing: "write", path: config, source })?;
        Ok(program)
    }

    /// The same with some words in its environment.
    pub(crate) fn with(mut self, environment: &[(&'static str, &str)]) -> Self {
        self.environment.extend(environment.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self
    }

    /// A file of the project.
    pub(crate) fn read(&self, file: &str) -> Result<Vec<u8>, BenchError> {
        let path = self.folder.join(file);
        std::fs::read(&path).map_err(|source| BenchError::File { doing: "read", path, source })
    }

    fn write(&self, file: &str, text: &str) -> Result<(), BenchError> {
        let path = self.folder.join(file);
        std::fs::write(&path, text).map_err(|source| BenchError::File { doing: "write", path, source })
    }

    /// Runs it and says how long it took, from its start to its end. Another exit code than the expected one is an error.
    pub(crate) fn time(&self, arguments: &[&str], expected: i32) -> Result<Duration, BenchError> {
        let said = self.home.join("said");
        let file = |doing, result: std::io::Result<File>| result.map_err(|source| BenchError::File { doing, path: said.clone(), source });
        let out = file("make", File::create(&said))?;
        let err = file("make", out.try_clone())?;
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let began = Instant::now();
        let status = command.status().map_err(|source| BenchError::Start { program: self.path.display().to_string(), source })?;
        let took = began.elapsed();
        if status.code() == Some(expected) {
            return Ok(took);
        }
        let said = std::fs::read(&said).unwrap_or_default();
        let said: String = String::from_utf8_lossy(&said).chars().take(SAID_CHARS_MAX).collect();
        Err(BenchError::Ended { command: self.shown(arguments), code: status.code(), expected, said })
    }

    /// What it prints.
    pub(crate) fn output(&self, arguments: &[&str]) -> Result<String, BenchError> {
        let output = self.command(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|source| BenchError::Start { program: self.path.display().to_string(), source })?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Holds that the state in a file of the project has so many resources.
    pub(crate) fn check_state(&self, file: &str, expected: usize, after: &str) -> Result<(), BenchError> {
        let state: Json = serde_json::from_slice(&self.read(file)?).unwrap_or_default();
        let found = match state.get("resources") {
            Some(Json::Array(items)) => items.len(),
            Some(Json::Object(items)) => items.len(),
            _ => 0,
        };
        if found == expected { Ok(()) } else { Err(BenchError::Count { command: self.shown(&[after]), found, expected }) }
    }

    /// An empty environment but for what both need: nothing of the user's, nobody is asked, nothing is looked up in a network.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env("XDG_STATE_HOME", self.home.join("state"))
            .env("XDG_RUNTIME_DIR", &self.home)
            .env("NO_COLOR", "1")
            .env("CLOUDTIK_IN_AUTOMATION", "1")
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_CLI_CONFIG_FILE", self.home.join("terraformrc"))
            .env("CHECKPOINT_DISABLE", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn shown(&self, arguments: &[&str]) -> String {
        format!("{} {}", self.name, arguments.join(" "))
    }
}

/// A program of that name on the `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path: OsString = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A folder that goes with the measurement.
pub(crate) fn temporary() -> Result<tempfile::TempDir, BenchError> {
    tempfile::tempdir().map_err(|source| BenchError::File { doing: "make", path: std::env::temp_dir(), source })
}

/// A program by its whole path: it is run in other folders.
pub(crate) fn absolute(binary: PathBuf) -> Result<PathBuf, BenchError> {
    std::path::absolute(&binary).map_err(|source| BenchError::File { doing: "find", path: binary, source })
}

/// Builds our program with some features and says where it is. A smoke run takes the build that tests use.
pub(crate) fn build(release: bool, features: &[&str]) -> Result<PathBuf, BenchError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.args(["build", "--quiet", "-p", "cloudtik", "--bin", "cloudtik", "--message-format=json-render-diagnostics"]);
    if release {
        command.arg("--release");
    }
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let start = |source| BenchError::Start { program: cargo.to_string_lossy().into_owned(), source };
    let output = command.current_dir(folder).stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(start)?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let mut made = lines.lines().filter_map(|line| {
        let message: Json = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    if output.status.success() { made.next_back().ok_or(BenchError::NotBuilt) } else { Err(BenchError::NotBuilt) }
}
