//! Files and packages.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use cloudtik_model::{Digest, NodeAction, StepOutcome};
use libtest_mimic::Trial;

use crate::support::{Node, is_root, show, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("file_do_check_undo_repeat", file_do_check_undo_repeat),
        trial("file_from_artifact", file_from_artifact),
        trial("file_owner", file_owner),
        trial("a_renamed_step_keeps_its_file", a_renamed_step_keeps_its_file),
        trial("package_do_check_undo_replace", package_do_check_undo_replace),
        trial("a_wicked_package_leaves_nothing", a_wicked_package_leaves_nothing),
    ]
}

fn file(path: &str, content: &str, mode: &str) -> NodeAction {
    NodeAction::File { path: path.to_owned(), mode: mode.to_owned(), owner: None, content: Some(content.to_owned()), artifact: None }
}

fn file_do_check_undo_repeat() {
    let node = Node::start();
    let path = node.path("conf/a/b/x.conf");
    let action = file(&show(&path), "one\n", "0640");
    assert_eq!(node.check("f", &action), StepOutcome::Needed);
    let first = node.perform("r1", "f", &action).done();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(node.check("f", &action), StepOutcome::Done);
    fs::write(&path, "changed by hand").unwrap();
    assert_eq!(node.check("f", &action), StepOutcome::Needed);
    assert_eq!(node.perform("r1", "f", &action), first, "a repeated run is answered, not done");
    assert_eq!(fs::read_to_string(&path).unwrap(), "changed by hand");
    node.perform("r2", "f", &action).done();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
    node.perform("r3", "f", &action).skipped();
    let changed = file(&show(&path), "two\n", "0600");
    assert_eq!(node.check("f", &changed), StepOutcome::Needed);
    node.perform("r4", "f", &changed).done();
    assert_eq!(node.check("f", &action), StepOutcome::Needed);
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file stays");
    node.undo("r5", "f", &changed).done();
    node.undo("r6", "f", &changed).done();
    assert!(!node.path("conf/a").exists(), "the folders that were made are gone");
    assert!(node.path("conf").exists());
    assert_eq!(node.check("f", &changed), StepOutcome::Needed);
    assert_eq!(fs::read_dir(node.path("steps")).unwrap().count(), 0);
    for wrong in [file("conf/x", "", "0644"), file(&show(&path), "", "644x"), file(&show(&node.path("conf")), "", "0644")] {
        let answer = node.perform(&format!("{:?}", Digest::of(format!("{wrong:?}"))), "w", &wrong);
        assert!(!answer.failed().2);
    }
}

fn file_from_artifact() {
    let node = Node::start();
    let path = node.path("data/blob");
    let digest = Digest::of(b"blob");
    let action = NodeAction::File { path: show(&path), mode: "0755".to_owned(), owner: None, content: None, artifact: Some(digest) };
    let missing = node.perform("r1", "f", &action);
    assert!(missing.failed().1.contains("was not uploaded"), "{missing:?}");
    fs::write(node.path("artifacts").join(digest.to_string()), b"blub").unwrap();
    let damaged = node.perform("r2", "f", &action);
    assert!(damaged.failed().1.contains("damaged"), "{damaged:?}");
    assert!(!path.exists());
    assert_eq!(fs::read_dir(node.path("data")).unwrap().count(), 0);
    node.upload(b"blob");
    node.perform("r3", "f", &action).done();
    assert_eq!(fs::read(&path).unwrap(), b"blob");
    assert_eq!(node.check("f", &action), StepOutcome::Done);
}

fn file_owner() {
    let node = Node::start();
    let path = node.path("data/owned");
    let mut action = file(&show(&path), "x", "0644");
    let NodeAction::File { owner, .. } = &mut action else { panic!() };
    *owner = Some("12345:54321".to_owned());
    let answer = node.perform("r1", "f", &action);
    if is_root() {
        use std::os::unix::fs::MetadataExt as _;
        answer.done();
        let data = fs::metadata(&path).unwrap();
        assert_eq!((data.uid(), data.gid()), (12345, 54321));
        assert_eq!(node.check("f", &action), StepOutcome::Done);
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
        assert_eq!(node.check("f", &action), StepOutcome::Needed);
    } else {
        assert!(answer.failed().1.contains("only root"), "{answer:?}");
        assert!(!path.exists());
    }
}

fn a_renamed_step_keeps_its_file() {
    let node = Node::start();
    let path = node.path("data/shared");
    let action = file(&show(&path), "x", "0644");
    node.perform("r1", "old", &action).done();
    node.perform("r2", "new", &action).skipped();
    node.undo("r3", "old", &action).done();
    assert!(path.exists(), "the file belongs to the new step");
    node.undo("r4", "new", &action).done();
    assert!(!path.exists());
}

fn wheel(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn package(node: &Node, artifact: Digest, executables: &[&str]) -> NodeAction {
    NodeAction::Package {
        into: show(&node.path("packages/p/1")),
        file: "p-1.whl".to_owned(),
        artifact,
        executables: executables.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn package_do_check_undo_replace() {
    let node = Node::start();
    let first = package(&node, node.upload(&wheel(&[("bin/p", "#!/bin/sh\necho one\n"), ("old", "")])), &["bin/p"]);
    let second = package(&node, node.upload(&wheel(&[("bin/p", "#!/bin/sh\necho two\n")])), &["bin/p"]);
    let wrong = package(&node, node.upload(&wheel(&[("x", "")])), &["bin/p"]);
    let place = node.path("packages/p/1");
    assert_eq!(node.check("p", &first), StepOutcome::Needed);
    node.perform("r1", "p", &first).done();
    assert_eq!(node.check("p", &first), StepOutcome::Done);
    let output = std::process::Command::new(place.join("bin/p")).output().unwrap();
    assert_eq!(output.stdout, b"one\n");
    let failed = node.perform("r2", "p", &wrong);
    assert!(failed.failed().1.contains("no file `bin/p`"), "{failed:?}");
    assert_eq!(node.text("packages/p/1/bin/p"), "#!/bin/sh\necho one\n", "whole or not at all");
    fs::create_dir(node.path("packages/p/1.tmp.killed")).unwrap();
    node.perform("r3", "p", &second).done();
    assert!(!place.join("old").exists() && node.text("packages/p/1/bin/p").contains("two"));
    assert_eq!(fs::read_dir(node.path("packages/p")).unwrap().count(), 1, "nothing lies beside it");
    node.perform("r4", "p", &second).skipped();
    fs::remove_dir_all(&place).unwrap();
    assert_eq!(node.check("p", &second), StepOutcome::Needed);
    node.perform("r5", "p", &second).done();
    node.undo("r6", "p", &second).done();
    assert!(!place.exists());
    node.undo("r7", "p", &second).done();
    fs::create_dir_all(&place).unwrap();
    let not_ours = node.undo("r8", "p", &second);
    assert!(not_ours.failed().1.contains("no package folder"), "{not_ours:?}");
}

fn a_wicked_package_leaves_nothing() {
    let node = Node::start();
    let action = package(&node, node.upload(&wheel(&[("good", "x"), ("../../evil", "x")])), &[]);
    let answer = node.perform("r1", "p", &action);
    assert!(answer.failed().1.contains("climbs out"), "{answer:?}");
    assert!(!node.path("packages/evil").exists());
    assert_eq!(fs::read_dir(node.path("packages/p")).unwrap().count(), 0);
    assert_eq!(node.check("p", &action), StepOutcome::Needed);
}
