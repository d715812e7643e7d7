//! The one package that knows SSH.
//!
//! It has two halves. The [client] opens one connection a host over any byte stream, runs commands on it, sends files and forwards streams. The
//! [server] is the small SSH server that the nodes of the local cloud run. Keys, host-key pins and shell quoting are shared by both.
//!
//! It is not an engine: it knows nothing of providers, plans or steps, it retries nothing by itself (but the opening of a channel that the server
//! was momentarily out of), and it keeps nothing on disk. It never trusts a host key that the caller did not name: there is no "accept any" and no
//! "accept new".
//!
//! No type of the library underneath is public here, so that replacing it touches this package alone.

pub mod client;
mod error;
mod keys;
mod quote;
pub mod server;
mod sever;

pub use client::{
    Captured, ConnectOptions, Connection, ExecOptions, ExecOutput, ExecStream, ExitStatus, ForwardStream, HostKeyPolicy, Pool, Stdin,
    UploadOptions, UploadSource, Uploaded, dial_tcp,
};
pub use error::SshError;
pub use keys::{KeyPairText, PrivateKey, PublicHostKey, PublicUserKey, generate_ecdsa_p256, generate_ed25519};
pub use quote::{shell_join, shell_quote};
pub use server::{CommandHandler, CommandStreams, Intercept, LoginHook, Server, ServerConfig, ServerCounts};
