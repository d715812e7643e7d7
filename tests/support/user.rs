//! A user without rights, made for a test and removed after it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::{Gid, Uid};

/// Where user ids begin that no distribution gives away.
const UIDS_FROM: u32 = 52_000;
const UIDS: u32 = 8_000;

/// A user of this machine.
#[derive(Debug)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// The name, where the system knows this user.
    name: Option<String>,
}

impl User {
    /// Makes a user with a home in that folder. Only root can.
    pub fn make(home: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let uid = UIDS_FROM + (std::process::id() + number) % UIDS;
        let name = format!("cloudtik-test-{}-{number}", std::process::id());
        let mut useradd = Command::new("useradd");
        useradd
            .args(["--no-create-home", "--user-group", "--shell", "/bin/sh", "--uid", &uid.to_string(), "--home-dir"])
            .arg(home)
            .arg(&name);
        let made = useradd.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success());
        if !made {
            eprintln!("`useradd` is not there or failed: the user {uid} has no name");
        }
        let gid = if made { nix::unistd::User::from_name(&name).unwrap().map_or(uid, |user| user.gid.as_raw()) } else { uid };
        std::fs::create_dir_all(home).unwrap();
        let user = Self { uid, gid, name: made.then_some(name) };
        user.own(home);
        user
    }

    /// Gives a folder and what is in it to this user.
    pub fn own(&self, path: &Path) {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        nix::unistd::chown(path, Some(uid), Some(gid)).unwrap();
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().flatten().for_each(|entry| self.own(&entry.path()));
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            drop(Command::new("userdel").arg(name).stderr(Stdio::null()).status());
        }
    }
}
