//! What runs on every node: the supervisor of its daemons, the runner of its steps, its SSH server. On a local node it is PID 1.
//!
//! One process, the *agent*, owns everything; it is [`node_main`]. Steps come as frames over SSH, by the command [`RUN_STEP_COMMAND`], or
//! over the control socket of the node's folder, to which [`run_step_main`] carries them. A run belongs to the agent and not to the
//! connection that asked for it: whoever comes back with its id gets its end.
//!
//! It is not an engine: it decides nothing, retries nothing that a request does not say, and knows no plan, state or provider. Whether a
//! step must run is decided where the state is; the markers here only tell what was done.
//!
//! On disk, below the node's folder: `steps/` the markers, `runs/` the records of runs, `daemons/` the entries of daemons, `keys/` the
//! host key that the node made and the people's keys, `run/` the socket, the lock and the processes of daemons, `bin/` this program.

mod actions;
mod agent;
mod control;
mod daemon;
mod door;
mod durable;
mod error;
mod frames;
mod host_keys;
mod layout;
mod leftovers;
mod limits;
mod logs;
mod marker;
mod proc;
mod process;
mod readiness;
mod reaper;
mod runs;
mod session;
mod supervisor;

pub use agent::node_main;
pub use control::{node_root, run_step_main, status_main};
pub use door::RUN_STEP_COMMAND;
pub use error::NodeError;
pub use layout::{NODE_ROOT_VARIABLE, NODE_VARIABLE};
