//! Every limit of a node in one place, each with the reason for its number.

use std::time::Duration;

/// One frame, as a line of JSON. The largest frame carries the text of a file; longer content travels as an artifact.
pub(crate) const FRAME_BYTES_MAX: usize = 8 << 20;
/// Connections to the control socket at once. One apply needs one; a few people and a few broken connections fit beside it.
pub(crate) const SESSIONS_MAX: usize = 64;
/// A run id is an op id of the journal, far below this; it becomes part of file names.
pub(crate) const RUN_ID_BYTES_MAX: usize = 160;
/// An address of a step; the longest that a spec makes is a few hundred bytes.
pub(crate) const ADDRESS_BYTES_MAX: usize = 1024;
/// Runs whose end is kept on disk. A settlement asks for runs of the last apply, and no node has this many steps.
pub(crate) const RUNS_REMEMBERED_MAX: usize = 2_000;
/// Ended runs above the limit are removed in one go when this many have piled up, so that not every run lists the folder.
pub(crate) const RUNS_PRUNE_EVERY: usize = 100;
/// Output of a running step kept in memory for whoever attaches.
pub(crate) const OUTPUT_KEPT_BYTES_MAX: usize = 1 << 20;
/// Output kept on disk with the end of a run: enough for the last words of a script.
pub(crate) const OUTPUT_RECORDED_BYTES_MAX: usize = 64 << 10;
/// One piece of output; small enough to show progress, large enough not to flood the connection.
pub(crate) const OUTPUT_PIECE_BYTES_MAX: usize = 16 << 10;
/// Our own small records: markers, runs, entries of daemons, keys. A run record holds escaped output, which can grow sixfold.
pub(crate) const RECORD_BYTES_MAX: u64 = 16 << 20;
/// A script travels as one argument of the shell, and the kernel takes 128 KiB for one argument.
pub(crate) const SCRIPT_BYTES_MAX: usize = 120 << 10;
/// How long output is awaited once the shell has ended; a background child may hold the pipe for ever.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Between TERM and KILL for a script that passed its time.
pub(crate) const SCRIPT_KILL_GRACE: Duration = Duration::from_secs(2);
/// A connection made to see whether something is ready.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at a readiness: start-up times are seen to a tenth of a second, at no cost worth a word.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// The status line of an HTTP answer.
pub(crate) const PROBE_BYTES_MAX: usize = 4 << 10;
/// A daemon without readiness counts as up when it lived this long: a wrong option or a missing library shows within it.
pub(crate) const SETTLE_TIME: Duration = Duration::from_millis(500);
/// When something answered at the readiness before the daemon was started: how long the daemon gets to say so itself. nginx tries a
/// taken port for 2.5 seconds.
pub(crate) const FOREIGN_ANSWER_TIME: Duration = Duration::from_secs(5);
/// First wait before a restart; it doubles with every restart of the window.
pub(crate) const RESTART_WAIT_FIRST: Duration = Duration::from_millis(200);
/// Longest wait before a restart.
pub(crate) const RESTART_WAIT_MAX: Duration = Duration::from_secs(30);
/// Daemons of one node; a thread for the log of each.
pub(crate) const DAEMONS_MAX: usize = 128;
/// Restarts remembered for the budget of one daemon.
pub(crate) const RESTARTS_REMEMBERED_MAX: usize = 1_000;
/// The last bytes of a daemon's log that a failure shows.
pub(crate) const LOG_TAIL_BYTES_MAX: usize = 4 << 10;
/// The last lines of a daemon's log that a failure shows.
pub(crate) const LOG_TAIL_LINES_MAX: usize = 12;
/// No log is rotated below this size: a smaller one would turn over within one message.
pub(crate) const LOG_BYTES_MIN: u64 = 4 << 10;
/// Files of one package; the largest we know has some tens of thousands.
pub(crate) const PACKAGE_ENTRIES_MAX: usize = 200_000;
/// Unpacked size of one package.
pub(crate) const PACKAGE_BYTES_MAX: u64 = 8 << 30;
/// Packages of fewer files are flushed file by file; above, the whole file system is flushed once.
pub(crate) const PACKAGE_FSYNC_FILES_MAX: usize = 64;
/// Between two looks for zombies, and the age at which one that is not ours is reaped: whoever waits for its own child has done so.
pub(crate) const REAP_INTERVAL: Duration = Duration::from_secs(1);
/// How long the last sweep through all descendants goes on when the node ends.
pub(crate) const SWEEP_TIMEOUT: Duration = Duration::from_secs(5);
/// The path of a Unix socket, without its ending zero.
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 107;
/// How long a client of the control socket waits for an agent that is starting.
pub(crate) const AGENT_START_TIMEOUT: Duration = Duration::from_secs(5);
/// A boot file; it names keys and folders.
pub(crate) const BOOT_BYTES_MAX: u64 = 1 << 20;
