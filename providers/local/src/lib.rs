//! The local cloud: a small cloud on one machine, for learning, testing and development.
//!
//! One daemon per user and machine (`cloudtik local-cloud`) keeps an inventory of networks, firewalls, buckets and instances and is the
//! only writer of it; [`Client`] starts it on demand and talks to it over a Unix socket. An instance is a process tree that starts at
//! `cloudtik node`, in one of two [forms](protocol::Form): `plain` for any user, `namespaces` for root.
//!
//! This package does not know what runs on a node, and nothing here plans or decides: it makes, reads and removes what it is told to.

mod audit;
mod client;
mod daemon;
mod entry;
mod failure;
mod files;
mod identity;
mod launch;
mod options;
mod process;
pub mod protocol;
mod provider;

pub use client::{Client, DialedStream, LocalError};
pub use entry::{EntryError, daemon_main, launch_main, local_cloud_main};
pub use identity::{forget_inventory, inventory_name, is_name as is_inventory_name};
pub use launch::probe::probe_facts;
pub use options::{CRASH_VARIABLE, DaemonCommand, LocalCloudOptions, NODE_VARIABLE, OptionsError, SOCKET_VARIABLE};
pub use provider::{BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, LOCAL_PROVIDER, LocalCloud, LocalProvider, NETWORK_KIND};
