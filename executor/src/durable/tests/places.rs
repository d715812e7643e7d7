//! Real files: rights, full disks, read-only file systems, and the data folder.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{Uid, geteuid, setfsuid};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn entropy() -> Box<dyn Entropy> {
    Box::new(SeededEntropy::new(5))
}

fn open(folder: &DataDir) -> Result<SessionStore, DurableError> {
    SessionStore::open(folder, StateLock::acquire(folder, &Holder::this_process("apply", "12:00"))?, entropy())
}

/// Every file below a folder, with its mode.
fn files(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.push((entry.file_name().into_string().unwrap() + "/", mode(&path)));
            found.extend(files(&path));
        } else {
            found.push((entry.file_name().into_string().unwrap(), mode(&path)));
        }
    }
    found.sort();
    found
}

#[test]
fn everything_is_its_owners_alone() {
    let project = tempfile::tempdir().unwrap();
    let folder = DataDir::new(project.path(), None);
    let mut session = open(&folder).unwrap();
    session.begin_run("r1").unwrap();
    session.append(vec![pure("a", &[], secret("x")), intent("o1", "b", &[], create(Value::NULL, false))]).unwrap();
    assert_eq!(mode(folder.root()), 0o700);
    for (name, mode) in files(folder.root()) {
        assert_eq!(mode, if name.ends_with('/') { 0o700 } else { 0o600 }, "{name}");
    }
    session.append(vec![outcome("o1", OpResult::Cleared)]).unwrap();
    session.commit().unwrap();
    let names: Vec<String> = files(folder.root()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [".gitignore", "keys/", "lock", "state.json", "state.json.1.bak", "state.key"]);
    assert!(fs::read_to_string(folder.root().join(".gitignore")).unwrap().ends_with("\n*\n"));
}

#[test]
fn the_folder_is_made_closed_or_refused() {
    let project = tempfile::tempdir().unwrap();
    let folder = DataDir::new(project.path(), None);
    folder.create().unwrap();
    fs::set_permissions(folder.root(), fs::Permissions::from_mode(0o755)).unwrap();
    folder.create().unwrap();
    assert_eq!(mode(folder.root()), 0o700);

    let named = DataDir::new(project.path(), Some(Path::new("data")));
    assert_eq!(named.state(), project.path().join("data/state.json"));
    fs::create_dir(named.root()).unwrap();
    fs::set_permissions(named.root(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(named.root().join("thesis.tex"), "x").unwrap();
    let error = named.create().unwrap_err();
    assert!(matches!(error, DurableError::ForeignFolder { .. }) && error.to_diagnostic().help.is_some());
    assert_eq!((mode(named.root()), fs::read_dir(named.root()).unwrap().count()), (0o755, 1));

    let elsewhere = DataDir::new(project.path(), Some(Path::new("/elsewhere")));
    assert_eq!(elsewhere.root(), Path::new("/elsewhere"));
    let file = DataDir::new(project.path(), Some(Path::new("data/thesis.tex")));
    assert!(matches!(file.create(), Err(DurableError::Io { doing: "read" | "make", .. })));
}

#[test]
fn a_snapshot_needs_no_lock_and_changes_nothing() {
    let project = tempfile::tempdir().unwrap();
    let folder = DataDir::new(project.path(), None);
    let snapshot = SessionStore::snapshot(&folder, entropy()).unwrap();
    assert!(snapshot.ledger.state.is_empty() && !folder.root().exists());
    let mut session = open(&folder).unwrap();
    session.begin_run("r1").unwrap();
    session.append(vec![pure("a", &[], secret("x")), intent("o1", "b", &[], create(Value::NULL, false))]).unwrap();
    let before = files(folder.root());
    let snapshot = SessionStore::snapshot(&folder, entropy()).unwrap();
    assert_eq!(&snapshot.ledger, session.ledger());
    assert_eq!(files(folder.root()), before);
    assert!(matches!(open(&folder), Err(DurableError::Held { .. })));
    session.append(vec![outcome("o1", OpResult::Cleared)]).unwrap();
    session.commit().unwrap();
    assert_eq!(&SessionStore::snapshot(&folder, entropy()).unwrap().ledger, session.ledger());
    drop(session);
    open(&folder).unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what several do at once is what is tested")]
fn snapshots_beside_a_run_see_all_of_a_moment() {
    let project = tempfile::tempdir().unwrap();
    let folder = DataDir::new(project.path(), None);
    let mut session = open(&folder).unwrap();
    session.begin_run("r1").unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while last < 40 {
                let snapshot = SessionStore::snapshot(&folder, entropy()).unwrap();
                let state = &snapshot.ledger.state;
                let count = state.resources.len() as u64;
                assert!(count >= last && state.folded.as_ref().is_none_or(|folded| folded.sequence == count), "{state:?}");
                last = count;
            }
        });
        for i in 0..40 {
            session.append(vec![pure(&format!("v{i}"), &[], Value::NULL)]).unwrap();
            if i % 3 == 0 {
                session.commit().unwrap();
            }
        }
        reader.join().unwrap();
    });
}

/// A small file system of its own; taken away when dropped.
struct Mounted<'p>(&'p Path);

impl<'p> Mounted<'p> {
    /// `None` where this process may not mount.
    fn new(path: &'p Path, options: &str) -> Option<Self> {
        let mounted = mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options));
        mounted.is_ok().then_some(Self(path))
    }

    fn make_read_only(&self) {
        mount(None::<&str>, self.0, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None::<&str>).unwrap();
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        umount2(self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

/// On a machine that lets nobody mount, the disk of memory in `stores` and `crash` is what tests full disks.
#[test]
fn a_full_disk_is_one_clear_error_and_nothing_is_lost() {
    let place = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::new(place.path(), "size=256k,mode=0700") else { return };
    let folder = DataDir::new(place.path(), None);
    let mut session = open(&folder).unwrap();
    session.begin_run("r1").unwrap();
    session.append(vec![pure("a", &[], value("n", 1_i64))]).unwrap();
    session.commit().unwrap();
    let long = |name: &str| pure(name, &[], value("text", "x".repeat(40_000)));
    let mut appended = 0;
    let error = loop {
        match session.append(vec![long(&format!("b{appended}"))]) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
        assert!(appended < 100);
    };
    let diagnostic = error.to_diagnostic();
    assert!(
        matches!(&error, DurableError::Io { path, source, .. } if path.starts_with(place.path()) && source.kind() == io::ErrorKind::StorageFull)
    );
    assert!(diagnostic.help.unwrap().contains("the disk is full"));
    // The state does not fit either; the journal still has everything.
    let error = session.commit().unwrap_err();
    assert!(matches!(&error, DurableError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull), "{error:?}");
    // What is small still fits: an outcome gets through where it can.
    session.append(vec![pure("small", &[], Value::NULL)]).unwrap();
    drop(session);
    let session = open(&folder).unwrap();
    assert_eq!((session.state().resources.len(), session.torn()), (appended + 2, None));
    drop(session);
    mounted.make_read_only();
    let snapshot = SessionStore::snapshot(&folder, entropy()).unwrap();
    assert_eq!(snapshot.ledger.state.resources.len(), appended + 2);
    let error = open(&folder).unwrap_err();
    assert!(matches!(&error, DurableError::Io { path, .. } if *path == folder.lock()), "{error:?}");
    assert!(error.to_diagnostic().help.unwrap().contains("read-only"));
}

/// Runs something with the rights of nobody: as root by giving up root's in this thread, which ends with it.
#[expect(clippy::disallowed_methods, reason = "rights belong to a thread")]
fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if geteuid().is_root() {
                setfsuid(Uid::from_raw(65_534));
            }
            act()
        });
        thread.join().unwrap()
    })
}

#[test]
fn no_permission_is_one_clear_error() {
    let project = tempfile::tempdir().unwrap();
    let folder = DataDir::new(project.path(), None);
    let mut session = open(&folder).unwrap();
    session.begin_run("r1").unwrap();
    session.append(vec![pure("a", &[], Value::NULL)]).unwrap();
    drop(session);
    let before = files(folder.root());
    if geteuid().is_root() {
        // Of another user: nothing can be read.
        fs::set_permissions(project.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = as_nobody(|| open(&folder).unwrap_err());
        assert!(
            matches!(&error, DurableError::Io { path, source, .. } if path.starts_with(folder.root()) && source.kind() == io::ErrorKind::PermissionDenied)
        );
        assert!(error.to_diagnostic().help.unwrap().contains(folder.root().to_str().unwrap()));
        assert!(as_nobody(|| SessionStore::snapshot(&folder, entropy()).map(drop)).is_err());
    }
    // A project that cannot be written to.
    let other = DataDir::new(&project.path().join("closed"), None);
    fs::create_dir(other.root().parent().unwrap()).unwrap();
    fs::set_permissions(other.root().parent().unwrap(), fs::Permissions::from_mode(0o555)).unwrap();
    let error = as_nobody(|| open(&other).unwrap_err());
    assert!(matches!(&error, DurableError::Io { doing: "make", path, .. } if path == other.root()), "{error:?}");
    assert_eq!(files(folder.root()), before);
    assert_eq!(open(&folder).unwrap().state().resources.len(), 1);
}
