//! What the client needs of whoever embeds it: the provider that makes the nodes, the key that logs in, and somebody who listens.

use cloudtik_model::{Address, ControllerEvent, ControllerReply, ControllerRequest, NodeReply, NodeRequest, ProviderRef, Value};
use cloudtik_provider_api::{Answer, BoxFuture, Call, CallError, Connection, DialTarget, Found};

/// A key pair in text. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginKey {
    /// The private half, as OpenSSH writes it.
    pub private: String,
    /// The public half, one line.
    pub public: String,
}

impl std::fmt::Debug for LoginKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LoginKey({})", self.public)
    }
}

/// The world around the client.
pub trait Reach: Send + Sync {
    /// Makes a call at another provider.
    fn call(&self, call: Call) -> BoxFuture<'_, Answer>;

    /// Opens a byte stream to a port of an instance.
    fn dial<'a>(&'a self, provider: &'a ProviderRef, target: DialTarget) -> BoxFuture<'a, Result<Connection, CallError>>;

    /// Speaks to the controller of a head that is simulated; `None` for all others.
    fn simulated<'a>(
        &'a self,
        provider: &'a ProviderRef,
        instance: &'a str,
        request: &'a ControllerRequest,
    ) -> BoxFuture<'a, Option<Result<ControllerReply, CallError>>>;

    /// Executes a step on an instance that is simulated; `None` for all others.
    fn simulated_step<'a>(
        &'a self,
        provider: &'a ProviderRef,
        instance: &'a str,
        request: &'a NodeRequest,
    ) -> BoxFuture<'a, Option<Result<NodeReply, CallError>>>;

    /// The key that logs in to the nodes of a cluster.
    ///
    /// # Errors
    /// It cannot be read or made.
    fn login_key(&self, cluster: &Address) -> Result<LoginKey, CallError>;

    /// The attributes of an object as the state has them.
    fn known(&self, address: &Address) -> Option<Value>;

    /// The head of the cluster with this uid, where the look at the world that is under way saw it already.
    fn head_seen(&self, _uid: &str) -> Option<Found> {
        None
    }

    /// How long a new object of a kind may stay invisible to searches, in milliseconds, and how many searches must then find nothing.
    fn visibility(&self, provider: &ProviderRef, kind: &str) -> (u64, u32);

    /// Something happened on a head while it is awaited.
    fn event(&self, event: &ControllerEvent);

    /// Something that somebody should know and that stops nothing.
    fn warning(&self, text: &str);

    /// Whether groups are awaited; not with `--no-wait`.
    fn waits(&self) -> bool;

    /// Whether what an interrupted run left is only being found out: then a group is looked at once and not awaited. One that is not ready is
    /// awaited by the run that follows, where everybody sees it.
    fn settles(&self) -> bool;

    /// Whether this run removes the cluster, so that a head that does not answer is no reason to stop.
    fn leaves(&self, cluster: &Address) -> bool;

    /// Whether somebody wants the run to end.
    fn interrupted(&self) -> bool;
}
