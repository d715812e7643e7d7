//! Writes the seeds of a target into a folder: `seeds TARGET FOLDER`.

use std::io::{Error, Result};
use std::path::PathBuf;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().and_then(|name| cloudtik_fuzz::target(&name));
    let target = target.ok_or_else(|| Error::other(format!("the targets are {:?}", cloudtik_fuzz::TARGETS)))?;
    let folder = arguments.next().map(PathBuf::from).ok_or_else(|| Error::other("name a folder"))?;
    std::fs::create_dir_all(&folder)?;
    for (name, bytes) in cloudtik_fuzz::seeds::seeds(target)? {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
