//! Which inventory an object is in. Each inventory has a name that is made once and kept for ever, beside it and in the id of every object
//! that it ever had. So whoever looks for an object knows whether it is gone, or in the inventory of another user, machine or folder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::files;
use crate::options::LocalCloudOptions;

/// Random bytes of the name: eight digits, short enough to be read aloud. A machine has a handful of inventories.
const NAME_BYTES: usize = 4;

/// The name of this inventory; `None` before its first object.
///
/// # Errors
/// The file cannot be read.
pub fn inventory_name(options: &LocalCloudOptions) -> io::Result<Option<String>> {
    Ok(words(&options.name_path())?.into_iter().next())
}

/// The name of this inventory, made if there is none yet. For its only writer.
pub(crate) fn name_or_make(options: &LocalCloudOptions) -> io::Result<String> {
    if let Some(name) = inventory_name(options)? {
        return Ok(name);
    }
    let mut random = [0_u8; NAME_BYTES];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let name = files::hex(&random);
    files::write_durable(&options.name_path(), format!("{name}\n").as_bytes(), 0o600)?;
    Ok(name)
}

/// The inventory that an object's id names: `net-INVENTORY-…`. Ids of before there were names have none.
pub(crate) fn inventory_of(id: &str) -> Option<&str> {
    let mut parts = id.split('-').skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(_), None) if is_name(name) => Some(name),
        _ => None,
    }
}

/// Whether a text is what names of inventories are.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() == NAME_BYTES * 2 && text.chars().all(|c| c.is_ascii_digit() || matches!(c, 'a'..='f'))
}

/// Inventories that somebody said are lost, with all that they had: their objects count as gone.
pub(crate) fn lost_inventories(options: &LocalCloudOptions) -> io::Result<BTreeSet<String>> {
    words(&options.lost_path())
}

/// Says that an inventory is lost.
///
/// # Errors
/// The file cannot be written.
pub fn forget_inventory(options: &LocalCloudOptions, name: &str) -> io::Result<()> {
    files::make_private_folder(&options.state_dir)?;
    let mut lost = lost_inventories(options)?;
    lost.insert(name.to_owned());
    let text: String = lost.iter().map(|name| format!("{name}\n")).collect();
    files::write_durable(&options.lost_path(), text.as_bytes(), 0o600)
}

fn words(path: &Path) -> io::Result<BTreeSet<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.split_whitespace().filter(|word| is_name(word)).map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::DaemonCommand;

    #[test]
    fn a_name_is_made_once_and_is_in_ids() {
        let folder = tempfile::tempdir().unwrap();
        let options = LocalCloudOptions::below(folder.path(), DaemonCommand { program: "/bin/true".into(), arguments: Vec::new() });
        assert_eq!(inventory_name(&options).unwrap(), None);
        files::make_private_folder(&options.state_dir).unwrap();
        let name = name_or_make(&options).unwrap();
        assert!(is_name(&name), "{name}");
        assert_eq!((name_or_make(&options).unwrap(), inventory_name(&options).unwrap()), (name.clone(), Some(name.clone())));
        assert_eq!(inventory_of(&format!("i-{name}-0123456789abcdef")), Some(&*name));
        for id in ["i-0123456789abcdef", "i-none", "", "net-", "i-0123456x-0123", "i-01234567-0-1"] {
            assert_eq!(inventory_of(id), None, "{id}");
        }
    }

    #[test]
    fn what_is_lost_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let options = LocalCloudOptions::below(folder.path(), DaemonCommand { program: "/bin/true".into(), arguments: Vec::new() });
        for name in ["00000001", "00000002", "00000001"] {
            forget_inventory(&options, name).unwrap();
        }
        assert_eq!(lost_inventories(&options).unwrap().into_iter().collect::<Vec<_>>(), ["00000001", "00000002"]);
    }
}
