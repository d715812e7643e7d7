//! Another revision of a project: a folder, or a commit of the git repository that the project lies in.
//!
//! Of a commit, the `git` program writes the files into a temporary folder, which goes with the value. The repository, its index and its
//! working tree stay as they are.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cloudtik_model::Diagnostic;
use tempfile::TempDir;

use crate::Failure;

/// How many characters of a commit's name are shown: as many as git shows of one in a large repository.
const COMMIT_SHOWN: usize = 12;

/// How a spec names what lies outside of its folder.
const OUTSIDE: &str = "../";

/// Another revision of a project.
pub(crate) struct Revision {
    /// The folder that is the project in it. It need not be there: a revision from before the project.
    pub(crate) folder: PathBuf,
    /// What plans call it.
    pub(crate) title: String,
    _files: Option<TempDir>,
}

impl Revision {
    /// What a name means for the project in a folder: a folder where there is one of that name, else a commit.
    pub(crate) fn find(project: &Path, name: &str) -> Result<Self, Failure> {
        let folder = Path::new(name);
        if folder.is_dir() {
            return Ok(Self { folder: folder.to_owned(), title: format!("the spec in `{name}`"), _files: None });
        }
        Self::of_commit(&Git { folder: project, index: None }, name)
    }

    fn of_commit(git: &Git<'_>, name: &str) -> Result<Self, Failure> {
        let inside = git.run(&["rev-parse", "--show-toplevel", "--show-prefix"], name)?;
        let lines = inside.ok().ok_or_else(|| no_repository(git.folder, name, &inside))?;
        let (top, below) = lines.split_once('\n').unwrap_or((&lines, ""));
        let (top, below) = (Path::new(top), below.trim_end_matches('\n'));
        let found = git.run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")], name)?;
        let commit = found.ok().ok_or_else(|| unknown(name))?;
        let commit = commit.trim();
        let short: String = commit.chars().take(COMMIT_SHOWN).collect();
        let title = if commit.starts_with(name) { format!("commit `{short}`") } else { format!("`{name}` (commit {short})") };

        let files = tempfile::tempdir().map_err(|error| failed(name, &format!("no temporary folder can be made: {error}")))?;
        let (index, tree) = (files.path().join("index"), files.path().join("tree"));
        let prefix = format!("--prefix={}/", tree.display());
        let write = ["checkout-index", "--all", "--force", "--quiet", prefix.as_str()];
        let project = Git { index: Some(&index), ..*git };
        project.must(&["read-tree", commit], name)?;
        // In the project's folder, git writes what lies below it. A project that uses what lies beside it needs the whole.
        project.must(&write, name)?;
        let folder = tree.join(below);
        if looks_outside(&folder) {
            Git { folder: top, ..project }.must(&write, name)?;
        }
        Ok(Self { folder, title, _files: Some(files) })
    }
}

/// Whether a spec may name something outside of its folder.
fn looks_outside(folder: &Path) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut specs = files.filter(|path| path.extension() == Some(OsStr::new("hcl")));
    specs.any(|path| std::fs::read(path).is_ok_and(|text| text.windows(OUTSIDE.len()).any(|part| part == OUTSIDE.as_bytes())))
}

/// The `git` program in a folder.
#[derive(Clone, Copy)]
struct Git<'a> {
    folder: &'a Path,
    /// An index of our own in place of the repository's.
    index: Option<&'a Path>,
}

/// What git said.
struct Said(Output);

impl Said {
    /// What it printed, if all went well.
    fn ok(&self) -> Option<String> {
        self.0.status.success().then(|| String::from_utf8_lossy(&self.0.stdout).into_owned())
    }

    /// The last line of what it complained of.
    fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.0.stderr);
        text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim_start_matches("fatal: ").to_owned()
    }
}

impl Git<'_> {
    fn run(&self, arguments: &[&str], name: &str) -> Result<Said, Failure> {
        let mut command = Command::new("git");
        // Reading a revision runs nothing that somebody put into the repository.
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-C"]).arg(self.folder).args(arguments);
        command.env("GIT_OPTIONAL_LOCKS", "0").stdin(Stdio::null());
        if let Some(index) = self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        command.output().map(Said).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::plain(
                Diagnostic::error("no-git", format!("`--base {name}`: the program `git` is needed to read it, and is not on the path"))
                    .help("install git; or name a folder that holds the other revision: `--base DIR`"),
            ),
            _ => failed(name, &format!("`git` cannot be run: {error}")),
        })
    }

    fn must(&self, arguments: &[&str], name: &str) -> Result<(), Failure> {
        let said = self.run(arguments, name)?;
        if said.0.status.success() { Ok(()) } else { Err(failed(name, &said.complaint())) }
    }
}

fn no_repository(folder: &Path, name: &str, said: &Said) -> Failure {
    let title = format!("`--base {name}`: `{}` is in no git repository, and there is no folder `{name}`", folder.display());
    let help = "name a folder that holds the other revision, or work in the clone of a repository";
    Failure::plain(Diagnostic::error("no-repository", title).help(help).note(format!("git says: {}", said.complaint())))
}

fn unknown(name: &str) -> Failure {
    let title = format!("`--base {name}`: the repository has no such revision, and there is no folder `{name}`");
    let help = match name.split_once('/') {
        Some((remote @ ("origin" | "upstream"), branch)) => {
            format!("fetch it first: `git fetch {remote} {branch}`; in a workflow, `fetch-depth: 0` of the checkout gets all branches")
        }
        _ => format!("`git branch --all` and `git tag` list what there is; one of a remote is `origin/{name}`"),
    };
    Failure::plain(Diagnostic::error("unknown-revision", title).help(help))
}

fn failed(name: &str, why: &str) -> Failure {
    Failure::plain(Diagnostic::error("revision", format!("`--base {name}` cannot be read: {why}")))
}
