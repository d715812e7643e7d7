//! The client: one connection a host, and what can be done over it.

mod connection;
mod exec;
mod forward;
mod openssh;
mod pool;
mod slots;
mod upload;

pub use connection::{
    AUTH_TIMEOUT, CONNECT_TIMEOUT, ConnectOptions, Connection, HostKeyPolicy, KEEPALIVE_INTERVAL, KEEPALIVES_UNANSWERED_MAX, SESSIONS_MAX,
    dial_tcp,
};
pub use exec::{
    ABANDONED_COMMAND_GRACE, Captured, EXEC_TIMEOUT, ExecOptions, ExecOutput, ExecStream, ExitStatus, OUTPUT_TAIL_BYTES_MAX,
    REMOTE_KILL_GRACE_SECS, REMOTE_TIMEOUT_CODE, Stdin,
};
pub use forward::{FORWARDS_MAX, ForwardStream};
pub use pool::{Pool, SESSIONS_PER_CONNECTION_MAX};
pub use upload::{UploadOptions, UploadSource, Uploaded};
