//! Becoming an unprivileged user.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, chdir, chroot, setgid, setgroups, setuid};

/// Set for a run that root started.
pub(super) const AGAIN: &str = "LOCAL_CLOUD_TEST_AGAIN";

/// Says that the run must find no user namespaces.
pub(super) const WITHOUT_USER_NAMESPACES: &str = "LOCAL_CLOUD_TEST_NO_USERNS";

const NOBODY: u32 = 65534;

/// Runs this program again as an unprivileged user. In a changed root the kernel gives no user namespaces.
pub(super) fn run_again_as_user(without_user_namespaces: bool) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = folder.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let root = if without_user_namespaces {
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        root.into_os_string()
    } else {
        OsString::new()
    };
    let mut command = Command::new(&program);
    command.arg("as-user").arg(&root).env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env(AGAIN, "1");
    command.env("TMPDIR", folder.path()).env("HOME", folder.path()).current_dir("/");
    if without_user_namespaces {
        command.env(WITHOUT_USER_NAMESPACES, "1");
    }
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    eprintln!("{text}");
}

pub(super) fn become_user(arguments: &[OsString]) -> ExitCode {
    let root = &arguments[0];
    if !root.is_empty() {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("/"), root.as_os_str(), none, MsFlags::MS_BIND | MsFlags::MS_REC, none).unwrap();
        chroot(root.as_os_str()).unwrap();
        chdir("/").unwrap();
    }
    setgroups(&[]).unwrap();
    setgid(Gid::from_raw(NOBODY)).unwrap();
    setuid(Uid::from_raw(NOBODY)).unwrap();
    let error = Command::new(std::env::current_exe().unwrap()).exec();
    eprintln!("{error}");
    ExitCode::FAILURE
}
