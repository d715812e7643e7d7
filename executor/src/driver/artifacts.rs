//! Artifacts: fetched once by the machine that applies, pinned by checksum, kept by digest.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use cloudtik_model::{Artifact, ArtifactSource, Digest};
use tokio::process::Command;
use tokio::sync::Mutex;

/// How long a download may take. The largest module is below a gigabyte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(900);

/// How much the cache may hold; what was not used for longest goes first. A few times what all modules need.
const CACHE_BYTES_MAX: u64 = 20 * 1024 * 1024 * 1024;

/// Characters of the tool's own words that an error shows.
const SAID_CHARS: usize = 600;

/// Why an artifact is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The tool that fetches could not be started.
    #[error("`{program}` cannot be started to fetch {file}")]
    Tool {
        /// The program.
        program: String,
        /// The artifact.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The tool said no.
    #[error("{file} cannot be fetched: {said}")]
    Fetch {
        /// The artifact.
        file: String,
        /// The tool's words.
        said: String,
    },
    /// It took too long.
    #[error("{file} did not arrive within {} seconds", FETCH_TIMEOUT.as_secs())]
    Timeout {
        /// The artifact.
        file: String,
    },
    /// What came is something else.
    #[error("{file} has digest {actual}, and {expected} is pinned: it is not used")]
    Digest {
        /// The artifact.
        file: String,
        /// What is pinned.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The cache or a file of the project could not be read or written.
    #[error("{doing} `{path}`")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A folder of artifacts by digest. `destroy` leaves it.
pub struct ArtifactCache {
    folder: PathBuf,
    python: String,
    one_at_a_time: Mutex<()>,
}

impl ArtifactCache {
    /// A cache in a folder, which is made on first need.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, python: "python3".to_owned(), one_at_a_time: Mutex::new(()) }
    }

    /// The file of an artifact, fetched if it is not there.
    ///
    /// # Errors
    /// See [`ArtifactError`].
    pub async fn file(&self, artifact: &Artifact, project: &Path) -> Result<PathBuf, ArtifactError> {
        let cached = self.folder.join(artifact.sha256.to_string());
        // Two steps may want the same one; the second finds it.
        let _turn = self.one_at_a_time.lock().await;
        if matches!(digest_of(&cached), Ok(digest) if digest == artifact.sha256) {
            touch(&cached);
            return Ok(cached);
        }
        match &artifact.source {
            ArtifactSource::Wheel { name, version } => self.fetch_wheel(artifact, name, version).await?,
            ArtifactSource::Path(path) => self.keep(artifact, &project.join(path))?,
            ArtifactSource::Bytes(text) => {
                let folder = self.temporary()?;
                let file = folder.path.join("content");
                std::fs::write(&file, text.as_bytes()).map_err(io("writing", &file))?;
                self.keep(artifact, &file)?;
            }
        }
        self.shrink(&cached);
        Ok(cached)
    }

    async fn fetch_wheel(&self, artifact: &Artifact, name: &str, version: &str) -> Result<(), ArtifactError> {
        let folder = self.temporary()?;
        let list = folder.path.join("requirements.txt");
        let line = format!("{name}=={version} --hash=sha256:{}\n", artifact.sha256);
        std::fs::write(&list, line).map_err(io("writing", &list))?;
        let mut command = Command::new(&self.python);
        command
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes"])
            .args(["--only-binary", ":all:", "-r"])
            .arg(&list)
            .arg("-d")
            .arg(&folder.path)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(FETCH_TIMEOUT, command.output())
            .await
            .map_err(|_| ArtifactError::Timeout { file: artifact.file.clone() })?
            .map_err(|source| ArtifactError::Tool { program: self.python.clone(), file: artifact.file.clone(), source })?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let said: String = text.trim().chars().rev().take(SAID_CHARS).collect::<Vec<_>>().into_iter().rev().collect();
            return Err(ArtifactError::Fetch { file: artifact.file.clone(), said });
        }
        self.keep(artifact, &folder.path.join(&artifact.file))
    }

    /// Takes a file into the cache if it is what is pinned.
    fn keep(&self, artifact: &Artifact, file: &Path) -> Result<(), ArtifactError> {
        let actual = digest_of(file).map_err(io("reading", file))?;
        if actual != artifact.sha256 {
            return Err(ArtifactError::Digest { file: artifact.file.clone(), expected: artifact.sha256, actual });
        }
        let temporary = self.temporary()?;
        let copy = temporary.path.join("copy");
        std::fs::copy(file, &copy).map_err(io("copying to", &copy))?;
        let target = self.folder.join(artifact.sha256.to_string());
        std::fs::rename(&copy, &target).map_err(io("renaming to", &target))
    }

    fn temporary(&self) -> Result<Temporary, ArtifactError> {
        let mut bytes = [0_u8; 8];
        let random = getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()));
        random.map_err(io("making a name in", &self.folder))?;
        let path = self.folder.join(format!("tmp.{:016x}", u64::from_ne_bytes(bytes)));
        std::fs::create_dir_all(&path).map_err(io("making", &path))?;
        Ok(Temporary { path })
    }

    /// Removes what was not used for longest until the cache is below its bound. What cannot be removed stays: the bound is no promise.
    fn shrink(&self, keep: &Path) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some((meta.modified().ok()?, meta.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if total <= CACHE_BYTES_MAX {
                break;
            }
            if path != keep && std::fs::remove_file(&path).is_ok() {
                total = total.saturating_sub(bytes);
            }
        }
    }
}

/// A folder that goes with its value.
struct Temporary {
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A folder that stays costs a little room; the next shrink does not count it, and nothing reads it.
        drop(std::fs::remove_dir_all(&self.path));
    }
}

fn io<'p>(doing: &'static str, path: &'p Path) -> impl FnOnce(std::io::Error) -> ArtifactError + use<'p> {
    let path = path.to_path_buf();
    move |source| ArtifactError::Io { doing, path, source }
}

fn digest_of(path: &Path) -> std::io::Result<Digest> {
    use sha2::Digest as _;
    let mut file = std::fs::File::open(path)?;
    let mut hasher = sha2::Sha256::new();
    std::io::copy(&mut file, &mut hasher)?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// Marks a file as used now, for `shrink`. One that cannot be marked is only removed earlier.
fn touch(path: &Path) {
    if let Ok(file) = std::fs::File::options().append(true).open(path) {
        drop(file.set_modified(SystemTime::now()));
    }
}
