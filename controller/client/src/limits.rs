//! Every limit of the client in one place, each with the reason for its number.

use std::time::Duration;

/// How long a head may take until its controller answers. Its daemon was ready a moment ago, or it restarts: seconds.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The first pause between two tries to reach a head: a controller that starts is there within milliseconds. It doubles.
pub(crate) const REACH_PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause between two tries to reach a head.
pub(crate) const REACH_PAUSE_MAX: Duration = Duration::from_secs(2);
/// One request and its reply. The controller answers at once; a push waits for its disk.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// One frame, as a line of JSON. A status has some hundred bytes a node, a configuration the text of its files.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;
/// What is kept of what the far side says of an error: a sentence.
pub(crate) const ERROR_TEXT_BYTES_MAX: usize = 4 << 10;
/// How often a group is looked at while it is awaited: people see it as at once, and the head does not feel it.
pub(crate) const GROUP_POLL_INTERVAL: Duration = Duration::from_millis(300);
/// Added to the time that a worker may take: what the controller itself needs around it.
pub(crate) const GROUP_READY_MARGIN_TIME: Duration = Duration::from_secs(60);
/// A problem that a group has for so long is not mended by itself in the next moment.
pub(crate) const GROUP_PROBLEM_GRACE: Duration = Duration::from_secs(5);
/// A head that does not answer for so long while a group is awaited is lost; a restart of its controller takes seconds.
pub(crate) const HEAD_LOST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the removal of a group may take: members of a quorum leave one after the other, with the grace of their daemons.
pub(crate) const GROUP_REMOVE_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Events that are read at once; more were made in one interval by nobody yet.
pub(crate) const EVENTS_PER_POLL_MAX: u64 = 200;
/// How long a head may take to be asked while its cluster is destroyed: a dead one must not hold up the end.
pub(crate) const DRAIN_REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Workers that are spoken to at once when a new head takes them over.
pub(crate) const ADOPT_PARALLELISM: usize = 16;
/// How long one worker may take to let a new head in. One that does not is replaced by the head.
pub(crate) const ADOPT_TIMEOUT: Duration = Duration::from_secs(20);
/// The path of a Unix socket, without its ending zero.
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 107;
/// How long `controller call` waits for a controller that is starting; its caller tries again.
pub(crate) const SOCKET_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two tries to open the socket.
pub(crate) const SOCKET_PAUSE: Duration = Duration::from_millis(50);
