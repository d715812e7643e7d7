//! What this machine can do, found out by doing it.

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::unistd::geteuid;

use super::{Isolation, LaunchError, Report, child, fork_and, report, rootfs, separate};
use crate::failure::{io_failure, system_failure};
use crate::files;
use crate::options::LocalCloudOptions;
use crate::protocol::{CloudError, Facts, FormFact};

/// Most bytes of a probe's answer: one line.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// How many probes this process has begun.
static PROBES: AtomicU64 = AtomicU64::new(0);

/// Finds out what this machine can do. Starts short-lived helpers, and leaves nothing behind.
///
/// # Errors
/// When the helpers cannot be started or the machine's memory cannot be read.
pub fn probe_facts(options: &LocalCloudOptions) -> Result<Facts, CloudError> {
    let root = geteuid().is_root();
    let namespaces = if root {
        probe(options, "namespaces")?
    } else {
        FormFact { possible: false, reason: Some("the namespaces form needs root".to_owned()) }
    };
    Ok(Facts { namespaces, plain_pid_namespace: probe(options, "plain")?, cpus: cpus(), memory_mib: memory_mib()?, root })
}

/// The helper's half: does it, in a child that ends.
pub(super) fn run(form: &str, scratch: &Path, output: &OwnedFd) -> Result<(), LaunchError> {
    let isolation = match form {
        "plain" => Isolation::Processes,
        "namespaces" => Isolation::Everything,
        _ => return Err(LaunchError::Usage(format!("`{form}` is not a form"))),
    };
    separate(isolation)?;
    fork_and(output, || {
        let note = if isolation == Isolation::Processes { child::own_proc().map(|()| None) } else { try_root(scratch) }?;
        report(output, &Report { note: Some(note.unwrap_or_default()), ..Report::default() });
        Ok(())
    })
}

fn try_root(scratch: &Path) -> Result<Option<String>, LaunchError> {
    child::detach_mounts()?;
    let root = scratch.join("rootfs");
    let note = rootfs::mount_overlays(scratch, &root, &[])?;
    let file = root.join("cloudtik-probe");
    fs::write(&file, "x").map_err(LaunchError::system("write into the overlay"))?;
    Ok(note)
}

fn probe(options: &LocalCloudOptions, form: &str) -> Result<FormFact, CloudError> {
    // Two probes of one process may run at once, and each removes its folder at its end.
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let scratch = options.state_dir.join(format!("probe-{form}-{}-{number}", std::process::id()));
    files::make_private_folder(&scratch).map_err(|error| io_failure("make", &scratch, &error))?;
    let answer = ask_helper(options, form, &scratch);
    files::remove_tree(&scratch).map_err(|error| io_failure("remove", &scratch, &error))?;
    Ok(fact_of(&answer?))
}

fn ask_helper(options: &LocalCloudOptions, form: &str, scratch: &Path) -> Result<Vec<Report>, CloudError> {
    let failed = |error: &std::io::Error| system_failure("probe this machine's namespaces", error);
    let mut command = Command::new(&options.command.program);
    command.args(&options.command.arguments).args(["launch", "--probe", form]).arg(scratch);
    let mut helper = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(|error| failed(&error))?;
    let mut text = String::new();
    if let Some(output) = helper.stdout.take() {
        // Ends when the forked child has ended too: it holds the same output.
        output.take(ANSWER_BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(&error))?;
    }
    helper.wait().map_err(|error| failed(&error))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn fact_of(reports: &[Report]) -> FormFact {
    if let Some(problem) = reports.iter().find_map(|report| report.problem.clone()) {
        return FormFact { possible: false, reason: Some(problem) };
    }
    match reports.iter().find_map(|report| report.note.clone()) {
        Some(note) => FormFact { possible: true, reason: Some(note).filter(|note| !note.is_empty()) },
        None => FormFact { possible: false, reason: Some("the probe ended without an answer".to_owned()) },
    }
}

fn cpus() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| u64::try_from(count.get()).unwrap_or(u64::MAX))
}

fn memory_mib() -> Result<u64, CloudError> {
    let path = Path::new("/proc/meminfo");
    let text = fs::read_to_string(path).map_err(|error| io_failure("read", path, &error))?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib / 1024).ok_or_else(|| io_failure("understand", path, &std::io::ErrorKind::InvalidData.into()))
}
