//! What speaks to the controller on a head: the provider of the kinds `head_controller` and `worker_group`, the frames over SSH, commands on
//! nodes, and the end of a cluster.
//!
//! It is not the controller: it decides nothing about workers, launches none, and keeps nothing on disk. Everything that it asks may be asked
//! again. It knows no provider of nodes and no engine: what it needs of them it has through [`Reach`].

mod carry;
mod cloud;
mod group;
mod head;
mod id;
mod limits;
mod link;
mod provider;
mod reach;
mod shell;
mod stream;
mod target;
mod teardown;

pub use carry::{CarryError, NO_CONTROLLER, NODE_ROOT_VARIABLE, SOCKET_FOLDER, SOCKET_NAME, controller_call_main, controller_node_root};
pub use id::ControllerId;
pub use link::{Link, UNREACHABLE};
pub use provider::ControllerProvider;
pub use reach::{LoginKey, Reach};
pub use shell::{Ended, Printed, run_on};
pub use target::HeadTarget;
pub use teardown::{Teardown, TeardownCommand, TeardownEvent, TeardownInput};
