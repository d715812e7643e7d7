//! Unpacking zip, wheel and tar below an empty folder. Nothing is written outside of it, whatever the archive says:
//! names that climb or are absolute are refused, links are made last and may not lead out, devices are refused.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::limits::{PACKAGE_BYTES_MAX, PACKAGE_ENTRIES_MAX};

/// A path inside of a tar or zip is no longer than this in anything that we unpack; links are as long as a path can be.
const LINK_BYTES_MAX: u64 = 4096;

/// Unpacks an archive by the ending of its name; answers the files that were written.
pub(super) fn unpack(source: &Path, name: &str, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let file = File::open(source).map_err(Failure::at("read", source))?;
    let mut out = Unpacker { folder, files: Vec::new(), links: BTreeMap::new(), entries: 0, bytes_left: PACKAGE_BYTES_MAX };
    let lower = name.to_ascii_lowercase();
    let result = if lower.ends_with(".whl") || lower.ends_with(".zip") {
        unpack_zip(file, &mut out)
    } else if lower.ends_with(".tar.gz") || lower.ends_with(".tgz") {
        unpack_tar(flate2::read::MultiGzDecoder::new(BufReader::new(file)), &mut out)
    } else if lower.ends_with(".tar") {
        unpack_tar(BufReader::new(file), &mut out)
    } else {
        Err("its name ends in none of .whl, .zip, .tar, .tar.gz, .tgz".to_owned())
    };
    result.and_then(|()| out.make_links()).map_err(|reason| Failure::new(format!("cannot unpack `{name}`: {reason}")))?;
    Ok(out.files)
}

/// The path of an entry, relative and without `.` and `..`.
pub(super) fn safe_path(name: &[u8]) -> Result<PathBuf, String> {
    let text = std::str::from_utf8(name).map_err(|_| format!("the name `{}` is not UTF-8", String::from_utf8_lossy(name)))?;
    let mut path = PathBuf::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(format!("the name `{text}` climbs out of the folder")),
            part if part.contains(['\0', '\\']) => return Err(format!("the name `{text}` holds a character that no path may hold")),
            part => path.push(part),
        }
    }
    if text.starts_with('/') {
        return Err(format!("the name `{text}` is absolute"));
    }
    Ok(path)
}

/// Whether a link at this path may have this target: first up at most to the folder, then down.
fn is_safe_target(path: &Path, target: &str) -> bool {
    let depth = path.components().count().saturating_sub(1);
    let parts: Vec<&str> = target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let up = parts.iter().take_while(|part| **part == "..").count();
    !target.is_empty()
        && !target.starts_with('/')
        && !target.contains('\0')
        && up <= depth
        && !parts.iter().skip(up).any(|part| *part == "..")
}

struct Unpacker<'a> {
    folder: &'a Path,
    files: Vec<PathBuf>,
    /// Made last, so that nothing is ever written through one.
    links: BTreeMap<PathBuf, String>,
    entries: usize,
    bytes_left: u64,
}

impl Unpacker<'_> {
    fn count(&mut self) -> Result<(), String> {
        self.entries += 1;
        if self.entries > PACKAGE_ENTRIES_MAX { Err(format!("it has more than {PACKAGE_ENTRIES_MAX} entries")) } else { Ok(()) }
    }

    fn dir(&mut self, path: &Path) -> Result<(), String> {
        let full = self.folder.join(path);
        fs::create_dir_all(&full).map_err(|error| format!("cannot make the folder `{}`: {error}", path.display()))
    }

    fn file(&mut self, path: &Path, mode: u32, content: &mut dyn Read) -> Result<(), String> {
        self.make_parent(path)?;
        let full = self.place(path)?;
        let wrong = |error: io::Error| format!("cannot write `{}`: {error}", path.display());
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&full).map_err(wrong)?;
        let written = io::copy(&mut content.take(self.bytes_left.saturating_add(1)), &mut file).map_err(wrong)?;
        self.bytes_left =
            self.bytes_left.checked_sub(written).ok_or_else(|| format!("it unpacks to more than {PACKAGE_BYTES_MAX} bytes"))?;
        // Never set-user-id: what an archive says about other identities is nothing to us.
        file.set_permissions(fs::Permissions::from_mode(mode & 0o777)).map_err(wrong)?;
        self.files.push(full);
        Ok(())
    }

    fn link(&mut self, path: PathBuf, target: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(target).into_owned();
        if path.as_os_str().is_empty() || !is_safe_target(&path, &text) {
            return Err(format!("the link `{}` leads to `{text}`, outside of the folder", path.display()));
        }
        self.links.insert(path, text);
        Ok(())
    }

    /// A second name of a file that was unpacked before.
    fn hard_link(&mut self, path: &Path, target: &Path) -> Result<(), String> {
        self.make_parent(path)?;
        let (from, to) = (self.folder.join(target), self.place(path)?);
        fs::hard_link(from, to).map_err(|error| format!("cannot make the link `{}` to `{}`: {error}", path.display(), target.display()))
    }

    fn make_parent(&mut self, path: &Path) -> Result<(), String> {
        path.parent().map_or(Ok(()), |parent| self.dir(parent))
    }

    /// Where an entry goes. A later entry of the same name replaces the earlier one, as in every tar.
    fn place(&mut self, path: &Path) -> Result<PathBuf, String> {
        if path.as_os_str().is_empty() {
            return Err("an entry has an empty name".to_owned());
        }
        self.links.remove(path);
        let full = self.folder.join(path);
        match fs::remove_file(&full) {
            Ok(()) => Ok(full),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(full),
            Err(error) => Err(format!("cannot write `{}`: {error}", path.display())),
        }
    }

    fn make_links(&mut self) -> Result<(), String> {
        for (path, target) in std::mem::take(&mut self.links) {
            // The parent may be a link that was made just now: then the new one would not be where it was judged.
            let through_link = path.ancestors().skip(1).any(|parent| self.folder.join(parent).is_symlink());
            if through_link && path.components().count() > 1 {
                return Err(format!("the link `{}` lies below another link", path.display()));
            }
            self.make_parent(&path)?;
            let full = self.folder.join(&path);
            symlink(&target, &full).map_err(|error| format!("cannot make the link `{}`: {error}", path.display()))?;
        }
        Ok(())
    }
}

fn unpack_zip(file: File, out: &mut Unpacker<'_>) -> Result<(), String> {
    const KIND: u32 = 0o170_000;
    const LINK: u32 = 0o120_000;
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    for index in 0..archive.len() {
        out.count()?;
        let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
        let path = safe_path(entry.name_raw())?;
        let mode = entry.unix_mode().filter(|mode| *mode & 0o777 != 0);
        if entry.is_dir() {
            out.dir(&path)?;
        } else if mode.is_some_and(|mode| mode & KIND == LINK) {
            let mut target = Vec::new();
            entry.by_ref().take(LINK_BYTES_MAX).read_to_end(&mut target).map_err(|error| error.to_string())?;
            out.link(path, &target)?;
        } else {
            out.file(&path, mode.unwrap_or(0o644), &mut entry)?;
        }
    }
    Ok(())
}

fn unpack_tar(reader: impl Read, out: &mut Unpacker<'_>) -> Result<(), String> {
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(|error| error.to_string())? {
        out.count()?;
        let mut entry = entry.map_err(|error| error.to_string())?;
        let path = safe_path(&entry.path_bytes())?;
        let kind = entry.header().entry_type();
        let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
        match kind {
            tar::EntryType::Directory => out.dir(&path)?,
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                let mode = entry.header().mode().map_err(|error| error.to_string())?;
                out.file(&path, mode, &mut entry)?;
            }
            tar::EntryType::Symlink => out.link(path, &link.unwrap_or_default())?,
            tar::EntryType::Link => out.hard_link(&path, &safe_path(&link.unwrap_or_default())?)?,
            tar::EntryType::XGlobalHeader => {}
            other => return Err(format!("the entry `{}` is of the kind {other:?}, which is not unpacked", path.display())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn tar_of(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, kind, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o4755);
            if kind.is_file() {
                header.set_size(text.len() as u64);
            } else {
                header.set_size(0);
                header.as_mut_bytes()[157..157 + text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_cksum();
            bytes.extend_from_slice(header.as_bytes());
            if kind.is_file() {
                bytes.extend_from_slice(text.as_bytes());
                bytes.resize(bytes.len().next_multiple_of(512), 0);
            }
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    fn unpacked(name: &str, bytes: &[u8]) -> (tempfile::TempDir, Result<Vec<PathBuf>, Failure>) {
        let outer = tempfile::tempdir().unwrap();
        let source = outer.path().join("archive");
        fs::write(&source, bytes).unwrap();
        let folder = outer.path().join("in");
        fs::create_dir(&folder).unwrap();
        let result = unpack(&source, name, &folder);
        (outer, result)
    }

    #[test]
    fn a_tar_with_links_and_modes() {
        use tar::EntryType::{Directory, Link, Regular, Symlink};
        let bytes = tar_of(&[
            ("a", Directory, ""),
            ("a/b/run", Regular, "first"),
            ("a/b/run", Regular, "second"),
            ("a/again", Link, "a/b/run"),
            ("a/soft", Symlink, "b/run"),
            ("a/b/up", Symlink, "../again"),
        ]);
        let (outer, result) = unpacked("x.tar", &bytes);
        result.unwrap();
        let at = |path: &str| outer.path().join("in").join(path);
        for path in ["a/b/run", "a/again", "a/soft", "a/b/up"] {
            assert_eq!(fs::read_to_string(at(path)).unwrap(), "second", "{path}");
        }
        assert_eq!(fs::metadata(at("a/b/run")).unwrap().permissions().mode() & 0o7777, 0o755, "no set-user-id");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&bytes).unwrap();
        let (outer, result) = unpacked("x.TAR.GZ", &packed.finish().unwrap());
        result.unwrap();
        assert!(outer.path().join("in/a/soft").is_symlink());
    }

    #[test]
    fn what_leads_out_is_refused() {
        use tar::EntryType::{Char, Link, Regular, Symlink};
        let cases: &[&[(&str, tar::EntryType, &str)]] = &[
            &[("../x", Regular, "x")],
            &[("/x", Regular, "x")],
            &[("a/../../x", Regular, "x")],
            &[("l", Symlink, "../x")],
            &[("l", Symlink, "/etc")],
            &[("a/l", Symlink, "../../x")],
            &[("a/l", Symlink, "b/../..")],
            &[("l", Link, "../archive")],
            &[("l", Link, "/etc/passwd")],
            &[("d", Symlink, "."), ("d/d", Symlink, "..")],
            &[("dev", Char, "")],
        ];
        for case in cases {
            let (outer, result) = unpacked("x.tar", &tar_of(case));
            assert!(result.is_err(), "{case:?}");
            assert!(!outer.path().join("x").exists());
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        use tar::EntryType::{Regular, Symlink};
        let (outer, result) = unpacked("x.tar", &tar_of(&[("d", Symlink, "e"), ("d/x", Regular, "x")]));
        assert!(result.is_err());
        assert!(!outer.path().join("in/e").exists());
    }

    #[test]
    fn zips_are_judged_like_tars() {
        let make = |name: &str, mode: Option<u32>, link: Option<&str>| {
            let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
            let options = zip::write::SimpleFileOptions::default();
            let options = mode.map_or(options, |mode| options.unix_permissions(mode));
            match link {
                Some(target) => writer.add_symlink(name, target, options).unwrap(),
                None => {
                    writer.start_file(name, options).unwrap();
                    writer.write_all(b"x").unwrap();
                }
            }
            writer.finish().unwrap().into_inner()
        };
        let (outer, result) = unpacked("x.whl", &make("p/run", Some(0o755), None));
        assert_eq!(result.unwrap(), [outer.path().join("in/p/run")]);
        assert_eq!(fs::metadata(outer.path().join("in/p/run")).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(unpacked("x.zip", &make("../x", None, None)).1.is_err());
        assert!(unpacked("x.zip", &make("l", None, Some("/etc"))).1.is_err());
        assert!(unpacked("x.zip", &make("l", None, Some("m"))).1.is_ok());
        assert!(unpacked("x.rar", &make("l", None, None)).1.is_err());
        assert!(unpacked("x.zip", b"not a zip").1.is_err());
    }

    proptest! {
        #[test]
        fn a_safe_path_stays_inside(name in "[a./\\\\]{0,12}") {
            if let Ok(path) = safe_path(name.as_bytes()) {
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }

        #[test]
        fn broken_archives_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            for name in ["x.zip", "x.tar.gz"] {
                prop_assert!(unpacked(name, &bytes).1.is_err());
            }
            // Not every run of bytes is a wrong tar; it must only not panic.
            let _ = unpacked("x.tar", &bytes);
        }
    }
}
