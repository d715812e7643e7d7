//! `cloudtik local list`, `cloudtik local purge`

use cloudtik::model::Diagnostic;
use cloudtik::{Failure, LocalObject, forget_local_inventory, local_inventory, local_objects, purge_local_objects};
use serde_json::json;

use super::super::Exit;
use super::Context;

pub(crate) fn list(context: &Context<'_>, as_json: bool) -> Result<Exit, Failure> {
    let objects = local_objects()?;
    if objects.is_empty() && !as_json {
        context.printer.say_line("The local cloud has nothing.");
    } else {
        print(context, &objects, as_json)?;
    }
    let inventory = local_inventory()?;
    if let Some(name) = inventory.name.filter(|_| !as_json) {
        context.printer.say_line(&format!("Inventory {name}, in {}", inventory.folder.display()));
    }
    Ok(Exit::Done)
}

/// Takes inventories that are somewhere else for lost.
pub(crate) fn forget(context: &Context<'_>, names: &[String]) -> Result<Exit, Failure> {
    if names.is_empty() {
        let error = Diagnostic::error("usage", "`local forget` needs the name of an inventory");
        return Err(Failure::plain(error.help("the error that says what is in another inventory has its name")));
    }
    for name in names {
        forget_local_inventory(name)?;
        context.printer.say_line(&format!("What the inventory {name} had counts as gone."));
    }
    Ok(Exit::Done)
}

/// Removes what is named, or all. That it was meant is said by the ids, or by `--auto-approve`.
pub(crate) fn purge(context: &Context<'_>, ids: &[String], all: bool, approved: bool, as_json: bool) -> Result<Exit, Failure> {
    if ids.is_empty() && !all {
        let error = Diagnostic::error("usage", "`local purge` needs the ids of what to remove, or `--all`");
        return Err(Failure::plain(error.help("`cloudtik local list` shows the ids")));
    }
    if all && !approved {
        let error = Diagnostic::error("approval", "`local purge --all` removes what every project of yours made on this machine");
        return Err(Failure::plain(error.help("pass `--auto-approve` to do it, or name ids: `cloudtik local list` shows them")));
    }
    let wanted = if all { local_objects()?.into_iter().map(|object| object.id).collect() } else { ids.to_vec() };
    let removed = purge_local_objects(wanted)?;
    print(context, &removed, as_json)?;
    if !as_json {
        context.printer.say_line(&format!("{} removed.", removed.len()));
    }
    Ok(Exit::Done)
}

/// One line each: id, kind, address; and the cluster, where there is one.
fn print(context: &Context<'_>, objects: &[LocalObject], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let all: Vec<_> = objects
            .iter()
            .map(|object| json!({ "id": object.id, "kind": object.kind, "address": object.address, "tags": object.tags }))
            .collect();
        let inventory = local_inventory()?;
        let inventory = json!({ "name": inventory.name, "folder": inventory.folder.display().to_string() });
        context.printer.json(&json!({ "format_version": "1.1", "inventory": inventory, "objects": all }));
        return Ok(());
    }
    let width = |of: fn(&LocalObject) -> &str| objects.iter().map(|object| of(object).len()).max().unwrap_or(0);
    let (ids, kinds) = (width(|object| &object.id), width(|object| &object.kind));
    for object in objects {
        let cluster = object.tags.get("cloudtik:cluster").map_or_else(String::new, |cluster| format!("  ({cluster})"));
        context.printer.data_line(&format!("{:ids$}  {:kinds$}  {}{cluster}", object.id, object.kind, object.address));
    }
    Ok(())
}
