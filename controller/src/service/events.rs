//! Events on disk, so that they outlive the process. Losing the last ones costs nothing but a line to read.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cloudtik_model::ControllerEvent;

use crate::limits::EVENTS_MAX;

/// The file is begun anew above this size, with the events that are kept.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A line that is longer is none of ours.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The events, and the file that has them.
pub(super) struct EventFile {
    path: PathBuf,
    known: VecDeque<ControllerEvent>,
}

impl EventFile {
    /// Reads what is there. What cannot be read is left out: events are for people.
    pub(super) fn open(path: &Path) -> Self {
        let mut known = VecDeque::new();
        if let Ok(file) = File::open(path) {
            let lines = BufReader::new(file).lines().map_while(Result::ok).filter(|line| line.len() <= LINE_BYTES_MAX);
            for event in lines.filter_map(|line| serde_json::from_str::<ControllerEvent>(&line).ok()) {
                known.push_back(event);
                if known.len() > EVENTS_MAX {
                    known.pop_front();
                }
            }
        }
        Self { path: path.to_path_buf(), known }
    }

    pub(super) const fn known(&self) -> &VecDeque<ControllerEvent> {
        &self.known
    }

    /// The sequence of the newest one.
    pub(super) fn last(&self) -> u64 {
        self.known.back().map_or(0, |event| event.sequence)
    }

    /// Writes those that are new. A disk that is full keeps them in memory, where whoever asks sees them.
    pub(super) fn take<'e>(&mut self, events: impl IntoIterator<Item = &'e ControllerEvent>) {
        let last = self.last();
        let new: Vec<&ControllerEvent> = events.into_iter().filter(|event| event.sequence > last).collect();
        if new.is_empty() {
            return;
        }
        let begin_anew = std::fs::metadata(&self.path).is_ok_and(|meta| meta.len() > FILE_BYTES_MAX);
        self.known.extend(new.iter().map(|event| (*event).clone()));
        while self.known.len() > EVENTS_MAX {
            self.known.pop_front();
        }
        let text = |events: &mut dyn Iterator<Item = &ControllerEvent>| {
            events.filter_map(|event| serde_json::to_string(event).ok()).fold(String::new(), |text, line| text + &line + "\n")
        };
        let (text, truncate) = if begin_anew { (text(&mut self.known.iter()), true) } else { (text(&mut new.into_iter()), false) };
        let file = OpenOptions::new().create(true).append(!truncate).write(true).truncate(truncate).mode(0o600).open(&self.path);
        if let Ok(mut file) = file {
            // What a full disk does not take is still in memory.
            drop(file.write_all(text.as_bytes()));
        }
    }
}
