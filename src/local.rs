//! The local cloud as a person sees it: what is there, and removing what a deleted project left.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cloudtik_local::protocol::Object;
use cloudtik_local::{Client, LocalCloudOptions, LocalError, forget_inventory, inventory_name, is_inventory_name};
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

/// The inventory of the local cloud of this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalInventory {
    /// Its name, which is in the id of each of its objects. `None`: nothing was ever made.
    pub name: Option<String>,
    /// The folder that it lies in.
    pub folder: PathBuf,
}

/// Which inventory the local cloud of this user has.
///
/// # Errors
/// It cannot be found out.
pub fn local_inventory() -> Result<LocalInventory, Failure> {
    let options = options()?;
    let name = inventory_name(&options).map_err(|error| failed(format!("the name of the inventory cannot be read: {error}")))?;
    Ok(LocalInventory { name, folder: options.state_dir })
}

/// Says that another inventory is lost with all that it had: its objects count as gone from now on.
///
/// # Errors
/// It is no name of an inventory, it is the name of this one, or it cannot be written down.
pub fn forget_local_inventory(name: &str) -> Result<(), Failure> {
    let usage = |title: String, help: &str| Err(Failure::plain(Diagnostic::error("usage", title).help(help)));
    if !is_inventory_name(name) {
        return usage(format!("`{name}` is not the name of an inventory"), "it is eight digits, as the error says that names it");
    }
    let options = options()?;
    if local_inventory()?.name.as_deref() == Some(name) {
        return usage(format!("the inventory `{name}` is the one here"), "`cloudtik local purge` removes what it has");
    }
    forget_inventory(&options, name).map_err(|error| failed(format!("that the inventory is lost cannot be written down: {error}")))
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
    let options = options()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(format!("the asynchronous runtime cannot be started: {error}")).of(FailureKind::Fault))?;
    let objects = runtime.block_on(question(Client::new(options))).map_err(|error| failed(error.to_string()))?;
    Ok(objects.into_iter().map(shown).collect())
}

fn options() -> Result<LocalCloudOptions, Failure> {
    LocalCloudOptions::from_environment().map_err(|error| failed(error.to_string()))
}

fn failed(title: String) -> Failure {
    Failure::plain(Diagnostic::error("local-cloud", title))
}

fn shown(object: Object) -> LocalObject {
    LocalObject { id: object.id, kind: object.kind.to_string(), address: object.address, tags: object.tags }
}
