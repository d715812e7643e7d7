//! The root of a node in the namespaces form: an overlay over the machine's root, with what is private or belongs to the machine masked.
//!
//! It is not a wall against a hostile node: who is root in it may reach the machine. It keeps well-meant software of several nodes from
//! treading on each other's and the machine's files.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chdir, pivot_root, sethostname};

use super::child::detach_mounts;
use super::{LaunchError, RootPlan};
use crate::files::make_folder;

/// Where the machine's root is while the node's is being furnished.
const OLD_ROOT: &str = "/.cloudtik-machine";

/// Most of the machine's own file systems (a separate `/usr` or `/var`) that get an overlay of their own. Servers have fewer than ten.
const MACHINE_MOUNTS_MAX: usize = 32;

/// File systems that hold what is installed. All others (of the kernel, in memory, of containers) are not shown to nodes.
const DISK_FILE_SYSTEMS: [&str; 8] = ["ext4", "ext3", "xfs", "btrfs", "zfs", "f2fs", "overlay", "nfs4"];

/// Folders of every machine that nodes have an own one of, or none.
const NEVER_SHOWN: [&str; 9] = ["/proc", "/sys", "/dev", "/run", "/tmp", "/home", "/root", "/mnt", "/media"];

/// Makes the root and moves into it.
pub(super) fn enter(plan: &RootPlan, program: &Path) -> Result<(), LaunchError> {
    detach_mounts()?;
    let machine_mounts = machine_mounts()?;
    let root = plan.folder.join("rootfs");
    mount_overlays(&plan.folder, &root, &machine_mounts)?;
    pivot(&root)?;
    furnish(plan, program)?;
    leave_machine()?;
    write_names(plan)?;
    sethostname(&plan.host_name).map_err(LaunchError::errno("set the host name"))
}

/// Mounts the overlay of the machine's root and one for each file system below it. Returns what is worth knowing about it.
pub(super) fn mount_overlays(folder: &Path, root: &Path, machine_mounts: &[PathBuf]) -> Result<Option<String>, LaunchError> {
    let overlay = folder.join("overlay");
    make_folder(&overlay, 0o700).map_err(LaunchError::system("make the overlay's folder"))?;
    make_folder(root, 0o755).map_err(LaunchError::system("make the root's folder"))?;
    let on_disk = overlay_at(&overlay, "root", Path::new("/"), root);
    let note = match on_disk {
        Ok(()) => None,
        Err(error) => {
            // A root that is an overlay itself, as in a container, cannot keep the changes: memory can.
            mount_new(&overlay, "tmpfs", MsFlags::empty(), "mode=0700")?;
            overlay_at(&overlay, "root", Path::new("/"), root)?;
            Some(format!("changes of nodes to the machine's files are kept in memory, not on disk ({error})"))
        }
    };
    for (number, point) in machine_mounts.iter().enumerate() {
        let target = below(root, point);
        if target.is_dir() {
            overlay_at(&overlay, &format!("mount-{number}"), point, &target)?;
        }
    }
    Ok(note)
}

/// Relative names for the upper folders: the options of a mount are one text in which commas and colons of a path would have a meaning.
fn overlay_at(overlay: &Path, name: &str, lower: &Path, target: &Path) -> Result<(), LaunchError> {
    for part in ["upper", "work", "lower"] {
        let path = overlay.join(name).join(part);
        fs::create_dir_all(&path).map_err(LaunchError::system(format!("make {}", path.display())))?;
    }
    let failed = |what: &str| format!("{what} the overlay over {}", lower.display());
    // The rights of the upper folder are those of the whole.
    let rights = fs::metadata(lower).map(|metadata| metadata.permissions());
    let set = rights.and_then(|rights| fs::set_permissions(overlay.join(name).join("upper"), rights));
    set.map_err(LaunchError::system(failed("set the rights of")))?;
    let same_lower = overlay.join(name).join("lower");
    if lower != Path::new("/") {
        bind(lower, &same_lower, false)?;
    }
    chdir(&overlay.join(name)).map_err(LaunchError::errno(failed("go to")))?;
    let lower_option = if lower == Path::new("/") { "/" } else { "lower" };
    let options = format!("lowerdir={lower_option},upperdir=upper,workdir=work");
    mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str())).map_err(LaunchError::errno(failed("mount")))
}

fn pivot(root: &Path) -> Result<(), LaunchError> {
    let old = below(root, Path::new(OLD_ROOT));
    make_folder(&old, 0o700).map_err(LaunchError::system("make the folder of the old root"))?;
    pivot_root(root, &old).map_err(LaunchError::errno("change the root"))?;
    chdir("/").map_err(LaunchError::errno("go to the new root"))
}

fn furnish(plan: &RootPlan, program: &Path) -> Result<(), LaunchError> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount_new(Path::new("/proc"), "proc", quiet | MsFlags::MS_NOEXEC, "")?;
    mount_new(Path::new("/sys"), "sysfs", quiet | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY, "")?;
    make_devices()?;
    mount_new(Path::new("/run"), "tmpfs", quiet, "mode=0755")?;
    make_folder(Path::new("/run/lock"), 0o1777).map_err(LaunchError::system("make /run/lock"))?;
    let node = on_machine(&plan.folder.join("node"));
    bind(&node.join("tmp"), Path::new("/tmp"), false)?;
    bind(&node.join("home"), Path::new("/root"), false)?;
    let mut masks = plan.masks.clone();
    masks.extend(["/home", "/var/tmp"].map(PathBuf::from));
    masks.sort();
    for mask in masks.iter().filter(|mask| mask.is_dir() && !is_shown(mask)) {
        let options = if mask == Path::new("/var/tmp") { "mode=1777" } else { "mode=0755" };
        mount_new(mask, "tmpfs", quiet, options)?;
    }
    make_folder(&plan.node_root, 0o755).map_err(LaunchError::system("make the node's folder"))?;
    bind(&node, &plan.node_root, false)?;
    bind(&on_machine(&plan.binary), program, true)?;
    for (path, target) in &plan.links {
        let failed = || format!("make the link {}", path.display());
        make_folder(path.parent().unwrap_or(path), 0o755).map_err(LaunchError::system(failed()))?;
        symlink(target, path).map_err(LaunchError::system(failed()))?;
    }
    for (path, folder) in &plan.mounts {
        make_folder(path, 0o755).map_err(LaunchError::system(format!("make {}", path.display())))?;
        bind(&on_machine(folder), path, false)?;
    }
    Ok(())
}

/// What is mounted already must not be hidden by a mask: `/tmp` and `/root` are the node's own by now.
fn is_shown(path: &Path) -> bool {
    ["/tmp", "/root", "/run", "/proc", "/sys", "/dev"].iter().any(|own| path.starts_with(own))
}

fn leave_machine() -> Result<(), LaunchError> {
    umount2(OLD_ROOT, MntFlags::MNT_DETACH).map_err(LaunchError::errno("leave the machine's root"))?;
    fs::remove_dir(OLD_ROOT).map_err(LaunchError::system("remove the folder of the old root"))
}

fn write_names(plan: &RootPlan) -> Result<(), LaunchError> {
    let hosts = format!("127.0.0.1 localhost\n::1 localhost\n{} {}\n", plan.address, plan.names.join(" "));
    for (path, content) in [("/etc/hosts", hosts), ("/etc/hostname", format!("{}\n", plan.host_name))] {
        // A link could lead to a folder that is masked; the node gets a file of its own.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(LaunchError::system(format!("replace {path}"))(error)),
            _ => fs::write(path, content).map_err(LaunchError::system(format!("write {path}")))?,
        }
    }
    Ok(())
}

fn make_devices() -> Result<(), LaunchError> {
    let dev = Path::new("/dev");
    mount_new(dev, "tmpfs", MsFlags::MS_NOSUID, "mode=0755")?;
    for (name, major, minor) in [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)] {
        let path = dev.join(name);
        let failed = || format!("make {}", path.display());
        mknod(&path, SFlag::S_IFCHR, Mode::empty(), makedev(major, minor)).map_err(LaunchError::errno(failed()))?;
        // The process's umask does not count here.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).map_err(LaunchError::system(failed()))?;
    }
    for (name, target) in
        [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"), ("ptmx", "pts/ptmx"), ("core", "/proc/kcore")]
    {
        symlink(target, dev.join(name)).map_err(LaunchError::system(format!("make /dev/{name}")))?;
    }
    for (name, kind, options) in [("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"), ("shm", "tmpfs", "mode=1777")] {
        let path = dev.join(name);
        make_folder(&path, 0o755).map_err(LaunchError::system(format!("make {}", path.display())))?;
        mount_new(&path, kind, MsFlags::MS_NOSUID | MsFlags::MS_NODEV, options)?;
    }
    Ok(())
}

fn mount_new(path: &Path, kind: &str, flags: MsFlags, options: &str) -> Result<(), LaunchError> {
    if !path.is_dir() {
        make_folder(path, 0o755).map_err(LaunchError::system(format!("make {}", path.display())))?;
    }
    mount(Some(kind), path, Some(kind), flags, Some(options)).map_err(LaunchError::errno(format!("mount {}", path.display())))
}

fn bind(source: &Path, target: &Path, read_only: bool) -> Result<(), LaunchError> {
    let failed = || format!("show {} at {}", source.display(), target.display());
    let none = None::<&str>;
    mount(Some(source), target, none, MsFlags::MS_BIND, none).map_err(LaunchError::errno(failed()))?;
    if read_only {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
        mount(none, target, none, flags, none).map_err(LaunchError::errno(failed()))?;
    }
    Ok(())
}

/// An absolute path as it is below another root.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.components().filter(|part| matches!(part, Component::Normal(_))).collect::<PathBuf>())
}

fn on_machine(path: &Path) -> PathBuf {
    below(Path::new(OLD_ROOT), path)
}

/// The machine's file systems below its root that hold installed things, outermost first.
fn machine_mounts() -> Result<Vec<PathBuf>, LaunchError> {
    let text = fs::read_to_string("/proc/self/mountinfo").map_err(LaunchError::system("read /proc/self/mountinfo"))?;
    Ok(machine_mounts_in(&text))
}

fn machine_mounts_in(text: &str) -> Vec<PathBuf> {
    let mut points: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let point = unescape(before.split(' ').nth(4)?);
            let kind = after.split(' ').next()?;
            let shown = point != "/" && !NEVER_SHOWN.iter().any(|hidden| Path::new(&point).starts_with(hidden));
            (shown && DISK_FILE_SYSTEMS.contains(&kind)).then(|| PathBuf::from(point))
        })
        .collect();
    points.sort();
    points.dedup();
    points.truncate(MACHINE_MOUNTS_MAX);
    points
}

/// The kernel writes blanks, tabs, line ends and backslashes of a path as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_disks_below_the_root_are_shown() {
        let text = "\
21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 8:2 / /usr rw,relatime shared:1 - xfs /dev/sda2 rw
23 21 8:3 / /var/lib/my\\040data rw - ext4 /dev/sda3 rw
24 21 0:5 / /proc rw - proc proc rw
25 21 0:6 / /run/user rw - ext4 /dev/sda4 rw
26 21 0:7 / /opt/memory rw - tmpfs tmpfs rw
27 21 8:5 / /home rw - ext4 /dev/sda5 rw
a line that is cut
";
        assert_eq!(machine_mounts_in(text), [PathBuf::from("/usr"), PathBuf::from("/var/lib/my data")]);
    }

    #[test]
    fn a_path_goes_below_another_root() {
        assert_eq!(below(Path::new("/new"), Path::new("/var/lib")), PathBuf::from("/new/var/lib"));
        assert_eq!(below(Path::new("/new"), Path::new("/")), PathBuf::from("/new/"));
    }
}
