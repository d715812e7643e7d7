//! Runs the commands of a case in a place of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// No case needs as long; one that hangs must not hang the others.
const TIME_MAX: Duration = Duration::from_secs(60);

/// A place of its own: a project, a home.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// What came of a command.
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) exit: String,
}

impl Place {
    /// With a copy of these files.
    pub(crate) fn with(files: &Path) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("golden").tempdir().map_err(|error| error.to_string())?;
        let place = Self { folder };
        for name in ["home", "tmp", "run", "project"] {
            fs::create_dir(place.root().join(name)).map_err(|error| error.to_string())?;
        }
        if files.is_dir() {
            copy(files, &place.project())?;
        }
        Ok(place)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    /// Runs one line. `None`: it was one of the harness's own.
    pub(crate) fn line(&self, line: &str, binary: &Path) -> Result<Option<Ran>, String> {
        let words = words(line)?;
        let assignments = words.iter().take_while(|word| word.split_once('=').is_some_and(|(name, _)| is_variable(name))).count();
        let (assigned, command) = words.split_at(assignments);
        let file = |name: &str| self.project().join(name);
        let told = |result: std::io::Result<()>| result.map(|()| None).map_err(|error| format!("`{line}`: {error}"));
        match command {
            [program, arguments @ ..] if program == "cloudtik" => self.program(binary, assigned, arguments).map(Some),
            [program, from, to] if program == "cp" => told(fs::copy(file(from), file(to)).map(drop)),
            [program, name] if program == "rm" => told(fs::remove_file(file(name))),
            [program, name, bytes] if program == "fill" => {
                let bytes: usize = bytes.parse().map_err(|_| format!("`{line}`: `{bytes}` is no number"))?;
                told(fs::write(file(name), vec![b'#'; bytes]))
            }
            [program, name, levels] if program == "nest" => {
                let levels: usize = levels.parse().map_err(|_| format!("`{line}`: `{levels}` is no number"))?;
                told(fs::write(file(name), format!("locals {{\n  deep = {}{}\n}}\n", "[".repeat(levels), "]".repeat(levels))))
            }
            _ => Err(format!("`{line}` is no command that a case may have")),
        }
    }

    fn program(&self, binary: &Path, assigned: &[String], arguments: &[String]) -> Result<Ran, String> {
        let failed = |error: std::io::Error| format!("the program cannot be run: {error}");
        let root = self.root();
        let (out, err) = (root.join("stdout"), root.join("stderr"));
        let mut command = Command::new(binary);
        command.args(arguments).current_dir(self.project()).env_clear().stdin(Stdio::null());
        command.stdout(File::create(&out).map_err(failed)?).stderr(File::create(&err).map_err(failed)?);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", root.join("home")).env("TMPDIR", root.join("tmp"));
        command.env("LANG", "C.UTF-8").env("XDG_RUNTIME_DIR", root.join("run"));
        for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"] {
            command.env(name, root.join("home").join(name.to_ascii_lowercase()));
        }
        command.envs(assigned.iter().filter_map(|assignment| assignment.split_once('=')));
        let mut child = command.spawn().map_err(failed)?;
        let until = Instant::now() + TIME_MAX;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if Instant::now() > until {
                child.kill().and_then(|()| child.wait().map(drop)).map_err(failed)?;
                return Err(format!("`cloudtik {}` did not end within {TIME_MAX:?}", arguments.join(" ")));
            }
            std::thread::sleep(Duration::from_millis(3));
        };
        let text = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(failed);
        Ok(Ran { stdout: text(&out)?, stderr: text(&err)?, exit: exit(status) })
    }
}

fn exit(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| code.to_string())
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) && name.starts_with(|c: char| c.is_ascii_uppercase())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("`{}` cannot be copied: {error}", from.display());
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            fs::create_dir(&target).map_err(failed)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).map_err(failed)?;
        }
    }
    Ok(())
}

/// The words of a line: at blanks, with single quotes.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quoted { Err(format!("`{line}`: a quotation is not closed")) } else { Ok(words) }
}
