//! Runs of state machines, as a project makes them: settlement first, then the engine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cloudtik_executor::driver::{ArtifactCache, Clouds, DriveError, Driven, DriverInput, DriverObserver, Durable, NodeTimeouts, drive};
use cloudtik_executor::engine::{Progress, Step};
use cloudtik_model::{Address, Diagnostic};

use crate::{Event, Failure, FailureKind, Interrupt, Observer};

/// What a run needs beside its machine.
pub(crate) struct Run<'a> {
    pub(crate) durable: &'a mut dyn Durable,
    pub(crate) clouds: Arc<Clouds>,
    pub(crate) folder: PathBuf,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) interrupt: Interrupt,
    pub(crate) timeouts: BTreeMap<Address, NodeTimeouts>,
}

/// Shows a run to an observer.
struct Watching {
    observer: Arc<dyn Observer>,
    interrupt: Interrupt,
}

impl DriverObserver for Watching {
    fn progress(&self, progress: &Progress) {
        self.observer.event(&Event::Progress(progress.clone()));
    }

    fn output(&self, address: &Address, stderr: bool, text: &str) {
        self.observer.event(&Event::Output { address: address.clone(), stderr, text: text.to_owned() });
    }

    fn interrupted(&self) -> bool {
        self.interrupt.is_requested()
    }
}

/// Drives a machine to its end.
pub(crate) fn run(machine: &mut dyn Step, run: Run<'_>) -> Result<Driven, Failure> {
    let timeouts = run.timeouts;
    let input = DriverInput {
        durable: run.durable,
        clouds: run.clouds,
        cache: ArtifactCache::new(artifact_folder()),
        project: run.folder,
        observer: Arc::new(Watching { observer: run.observer, interrupt: run.interrupt }),
        timeouts: Arc::new(move |node| timeouts.get(node).copied()),
        own: None,
    };
    drive(machine, input).map_err(|error| {
        let mut diagnostic = Diagnostic::error("driver", error.to_string());
        if let DriveError::Runtime(source) = &error {
            diagnostic = diagnostic.note(source.to_string());
        }
        Failure::plain(diagnostic).of(FailureKind::Fault)
    })
}

/// Where artifacts are kept: `$XDG_CACHE_HOME/cloudtik/artifacts`, else below the home, else below the folder for temporary files.
fn artifact_folder() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("cloudtik/artifacts")
}
