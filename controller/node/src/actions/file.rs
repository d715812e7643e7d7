//! A file with content, mode and owner.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cloudtik_model::{Digest, NodeAction};
use nix::unistd::{Gid, Group, Uid, User, chown, getegid, geteuid};
use sha2::{Digest as _, Sha256};

use super::{Failure, Outcome, Success};
use crate::durable::{beside, sync_parent};
use crate::layout::{Layout, escape};

/// What the file shall be, read from the action.
pub(super) struct Wanted {
    path: PathBuf,
    mode: u32,
    owner: Option<(Uid, Option<Gid>)>,
    content: Content,
}

enum Content {
    Text(String),
    Artifact { digest: Digest, source: PathBuf },
}

impl Wanted {
    pub(super) fn of(layout: &Layout, action: &NodeAction) -> Result<Self, Failure> {
        let NodeAction::File { path, mode, owner, content, artifact } = action else {
            return Err(Failure::new("this is not the action of a file"));
        };
        let content = match (content, artifact) {
            (Some(text), None) => Content::Text(text.clone()),
            (None, Some(digest)) => Content::Artifact { digest: *digest, source: layout.artifact(digest) },
            _ => return Err(Failure::new(format!("the file `{path}` needs either content or an artifact"))),
        };
        let path = absolute(path)?;
        Ok(Self { path, mode: parse_mode(mode)?, owner: owner.as_deref().map(parse_owner).transpose()?, content })
    }

    fn digest(&self) -> Digest {
        match &self.content {
            Content::Text(text) => Digest::of(text),
            Content::Artifact { digest, .. } => *digest,
        }
    }
}

/// Whether the file is what it shall be.
pub(super) fn is_in_place(wanted: &Wanted) -> Result<bool, Failure> {
    let data = match fs::symlink_metadata(&wanted.path) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.kind() == io::ErrorKind::NotADirectory => return Ok(false),
        Err(error) => return Err(Failure::at("read", &wanted.path)(error)),
    };
    let (uid, gid) = wanted.owner.unwrap_or((geteuid(), None));
    let group_fits = gid.is_none_or(|gid| gid.as_raw() == data.gid());
    if !data.is_file() || data.mode() & 0o7777 != wanted.mode || data.uid() != uid.as_raw() || !group_fits {
        return Ok(false);
    }
    let digest = digest_of_file(&wanted.path).map_err(Failure::at("read", &wanted.path))?;
    Ok(digest == wanted.digest())
}

/// Writes it beside its place, flushes it, gives it mode and owner, and renames it.
pub(super) fn perform(wanted: &Wanted, run_id: &str) -> Outcome {
    if is_in_place(wanted)? {
        return Ok(Success::skipped());
    }
    if let Some(parent) = wanted.path.parent() {
        fs::create_dir_all(parent).map_err(Failure::at("make the folder", parent))?;
    }
    if fs::symlink_metadata(&wanted.path).is_ok_and(|data| data.is_dir()) {
        return Err(Failure::new(format!("`{}` is a folder, and a file was to be written there", wanted.path.display())));
    }
    let temporary = beside(&wanted.path, &format!(".tmp.{}", Digest::of(escape(run_id)).short()));
    let written = write_beside(wanted, &temporary).and_then(|()| {
        fs::rename(&temporary, &wanted.path).map_err(Failure::at("write", &wanted.path))?;
        sync_parent(&wanted.path).map_err(Failure::at("flush", &wanted.path))
    });
    if written.is_err() {
        // The failure that counts is the one before.
        let _ = fs::remove_file(&temporary);
    }
    written.map(|()| Success::done())
}

/// Removes the file, and the folders that were made for it if nothing else is in them.
pub(super) fn undo(path: &Path, made_dirs: &[String]) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
        Err(error) => return Err(Failure::at("remove", path)(error)),
    }
    remove_made_dirs(made_dirs);
    Ok(())
}

/// Removes folders from the innermost; one that holds something, or is in use, stays.
pub(super) fn remove_made_dirs(made_dirs: &[String]) {
    let mut dirs: Vec<&String> = made_dirs.iter().collect();
    dirs.sort_by_key(|path| std::cmp::Reverse(path.len()));
    for path in dirs {
        // Staying is right whatever the reason.
        let _ = fs::remove_dir(path);
    }
}

/// The folders above a path that are not there, the outermost first.
pub(super) fn missing_parents(path: &Path) -> Vec<String> {
    let missing = path.ancestors().skip(1).take_while(|parent| !parent.as_os_str().is_empty() && !parent.exists());
    let mut missing: Vec<String> = missing.map(|parent| parent.display().to_string()).collect();
    missing.reverse();
    missing
}

/// A path of a node must be absolute and plain.
pub(super) fn absolute(path: &str) -> Result<PathBuf, Failure> {
    let plain = path.starts_with('/') && !path.contains('\0') && !path.ends_with('/');
    let climbs = path.split('/').any(|part| part == ".." || part == ".");
    if plain && !climbs {
        Ok(PathBuf::from(path))
    } else {
        Err(Failure::new(format!("`{path}` is not an absolute path without `.` and `..`")))
    }
}

/// Digest of a file, read in pieces.
pub(super) fn digest_of_file(path: &Path) -> io::Result<Digest> {
    digest_of(File::open(path)?)
}

fn digest_of(mut from: impl io::Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    io::copy(&mut from, &mut hasher)?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// Copies an artifact, and says so when it is not what its name says.
fn copy_artifact(source: &Path, digest: &Digest, into: &mut File) -> Result<(), Failure> {
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(format!("the artifact {digest} was not uploaded")),
        _ => Failure::at("read", source)(error),
    };
    let mut from = File::open(source).map_err(missing)?;
    let mut copied = Tee { from: &mut from, into };
    let found = digest_of(&mut copied).map_err(Failure::at("copy", source))?;
    if found == *digest {
        Ok(())
    } else {
        Err(Failure::new(format!("the artifact `{}` has the digest {found}: it is damaged", source.display())))
    }
}

/// Writes everything that is read through it.
struct Tee<'a> {
    from: &'a mut File,
    into: &'a mut File,
}

impl io::Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.into.write_all(buffer.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

fn write_beside(wanted: &Wanted, temporary: &Path) -> Result<(), Failure> {
    match fs::remove_file(temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::at("remove", temporary)(error)),
    }
    // Nobody else may read it before it has its mode and owner.
    let open = File::options().write(true).create_new(true).mode(0o600).open(temporary);
    let mut file = open.map_err(Failure::at("write", temporary))?;
    match &wanted.content {
        Content::Text(text) => file.write_all(text.as_bytes()).map_err(Failure::at("write", temporary))?,
        Content::Artifact { digest, source } => copy_artifact(source, digest, &mut file)?,
    }
    if let Some((uid, gid)) = wanted.owner {
        let unchanged = uid == geteuid() && gid.is_none_or(|gid| gid == getegid());
        if !unchanged {
            chown(temporary, Some(uid), gid).map_err(|error| {
                let path = wanted.path.display();
                Failure::new(format!("cannot give `{path}` to user {uid}: {error}; only root can give files away"))
            })?;
        }
    }
    // After the change of owner, which takes away the bits of other identities.
    file.set_permissions(Permissions::from_mode(wanted.mode)).map_err(Failure::at("set the mode of", temporary))?;
    file.sync_all().map_err(Failure::at("flush", temporary))
}

fn parse_mode(text: &str) -> Result<u32, Failure> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = if digits { u32::from_str_radix(text, 8).ok() } else { None };
    mode.ok_or_else(|| Failure::new(format!("`{text}` is not a file mode of three or four octal digits")))
}

fn parse_owner(text: &str) -> Result<(Uid, Option<Gid>), Failure> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let uid = match user.parse() {
        Ok(number) => Uid::from_raw(number),
        Err(_) => {
            let found = User::from_name(user).map_err(|error| Failure::new(format!("cannot look up the user `{user}`: {error}")))?;
            found.ok_or_else(|| Failure::new(format!("there is no user `{user}` on this node")))?.uid
        }
    };
    let gid = match group {
        None => None,
        Some(group) => Some(match group.parse() {
            Ok(number) => Gid::from_raw(number),
            Err(_) => {
                let found =
                    Group::from_name(group).map_err(|error| Failure::new(format!("cannot look up the group `{group}`: {error}")))?;
                found.ok_or_else(|| Failure::new(format!("there is no group `{group}` on this node")))?.gid
            }
        }),
    };
    Ok((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_owners_and_paths_are_strict() {
        assert_eq!(parse_mode("0644"), Ok(0o644));
        assert_eq!(parse_mode("755"), Ok(0o755));
        for wrong in ["", "64", "0888", "00644", "+644", "u=rw"] {
            assert!(parse_mode(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_owner("0:0"), Ok((Uid::from_raw(0), Some(Gid::from_raw(0)))));
        assert_eq!(parse_owner("root").map(|owner| owner.0), Ok(Uid::from_raw(0)));
        assert!(parse_owner("no-such-user-here").is_err());
        assert!(absolute("/a/b").is_ok());
        for wrong in ["", "a", "/a/../b", "/a/./b", "/a/", "/"] {
            assert!(absolute(wrong).is_err(), "{wrong}");
        }
    }
}
