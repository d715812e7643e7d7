//! Where the program is that the cases run.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

/// Names a binary that was built before; without it, the harness has cargo build one.
const BINARY: &str = "CLOUDTIK_BIN";

/// The folder of the cases.
#[must_use]
pub fn cases_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// The program: the one that `CLOUDTIK_BIN` names, else the one that cargo builds now, in the profile that this harness was built in.
///
/// # Errors
/// It is not there, or cannot be built: a sentence.
pub fn binary() -> Result<PathBuf, String> {
    if let Some(binary) = std::env::var_os(BINARY) {
        let binary = PathBuf::from(binary);
        return if binary.is_file() {
            std::path::absolute(&binary).map_err(|error| format!("{BINARY}: {error}"))
        } else {
            Err(format!("{BINARY} names `{}`, which is no file", binary.display()))
        };
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(env!("CARGO_MANIFEST_DIR")).args([
        "build",
        "--package",
        "cloudtik",
        "--bin",
        "cloudtik",
        "--message-format=json-render-diagnostics",
    ]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let built = build.stderr(std::process::Stdio::inherit()).output().map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !built.status.success() {
        return Err(format!("`cloudtik` cannot be built (see above); {BINARY} may name a binary that was built before"));
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    let executable = messages.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()).find_map(|message| {
        let is_ours = message.pointer("/target/name").and_then(Json::as_str) == Some("cloudtik");
        message.get("executable").and_then(Json::as_str).filter(|_| is_ours).map(PathBuf::from)
    });
    executable.ok_or_else(|| "cargo built `cloudtik` and did not say where it is".to_owned())
}
