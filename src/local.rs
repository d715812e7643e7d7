//! The local cloud as a person sees it: what is there, and removing what a deleted project left.

use std::collections::BTreeMap;

use cloudtik_local::protocol::Object;
use cloudtik_local::{Client, LocalCloudOptions, LocalError};
use cloudtik_model::Diagnostic;

use crate::{Failure, FailureKind};

/// A thing of the local cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalObject {
    /// Its id.
    pub id: String,
    /// Its kind: `local_instance`.
    pub kind: String,
    /// The address in the spec that it was made for.
    pub address: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Everything that the local cloud of this user has. Where nothing was ever made, nothing is started to hear it.
///
/// # Errors
/// The local cloud does not answer.
pub fn local_objects() -> Result<Vec<LocalObject>, Failure> {
    ask(|client| async move {
        if !client.has_inventory() {
            return Ok(Vec::new());
        }
        let objects = client.list(None).await;
        client.finish().await?;
        objects
    })
}

/// Removes things of the local cloud, whatever project made them, and gives what was removed.
///
/// # Errors
/// The local cloud does not answer, or one of them cannot be removed.
pub fn purge_local_objects(ids: Vec<String>) -> Result<Vec<LocalObject>, Failure> {
    // An empty list would mean everything to the local cloud; here it means nothing.
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    ask(|client| async move {
        let removed = client.purge(ids).await;
        client.finish().await?;
        removed
    })
}

fn ask<F, R>(question: F) -> Result<Vec<LocalObject>, Failure>
where
    F: FnOnce(Client) -> R,
    R: Future<Output = Result<Vec<Object>, LocalError>>,
{
    let failed = |title: String| Failure::plain(Diagnostic::error("local-cloud", title));
    let options = LocalCloudOptions::from_environment().map_err(|error| failed(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(format!("the asynchronous runtime cannot be started: {error}")).of(FailureKind::Fault))?;
    let objects = runtime.block_on(question(Client::new(options))).map_err(|error| failed(error.to_string()))?;
    Ok(objects.into_iter().map(shown).collect())
}

fn shown(object: Object) -> LocalObject {
    LocalObject { id: object.id, kind: object.kind.to_string(), address: object.address, tags: object.tags }
}
