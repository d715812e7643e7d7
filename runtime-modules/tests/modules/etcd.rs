//! The scripts of the module `etcd`, run by a shell with programs that stand in for etcd's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cloudtik_model::Input;
use cloudtik_runtime_modules::Expanded;

use crate::support;

fn expanded() -> Expanded {
    support::shipped("etcd", "on = \"workers.g\"\nruntime \"etcd\" {}").expand()
}

/// Stands in for `etcdctl`: `LIST` are the members, `NEXT` those after a change, and the first `REFUSED` changes are refused.
const CONTROL: &str = r#"
fake() {
  shift 2
  case "$*" in
    "member list") printf '%s\n' "$LIST" ;;
    *)
      if [ "$REFUSED" -gt 0 ]; then
        REFUSED=$((REFUSED - 1))
        echo "refused $*"
        return 1
      fi
      echo "did $*"
      LIST=$NEXT
      ;;
  esac
}
"#;

/// Runs `script` or `undo` of the membership of `etcd-4`.
fn run(script: &str, list: &str, next: &str, refused: u32) -> String {
    let expanded = expanded();
    let Some(Input::Value(text)) = expanded.memberships[0].step.inputs.get(script) else { panic!("there is no {script}") };
    let output = Command::new("/bin/sh")
        .args(["-e", "-c", &format!("{CONTROL}\n{}", text.as_str().unwrap())])
        .envs([("ETCD_CONTROL", "fake"), ("ETCD_ENDPOINT", "http://e"), ("ETCD_PEER_PORT", "2380")])
        .envs([("LIST", list), ("NEXT", next), ("REFUSED", &refused.to_string())])
        .envs([("MEMBER_ID", "i-4"), ("MEMBER_SEQUENCE", "4"), ("MEMBER_ADDRESS", "10.0.0.4"), ("MEMBER_NAME", "")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const OTHERS: &str = "aa, started, etcd-1, http://10.0.0.1:2380, http://10.0.0.1:2379, false\n\
                      bb, started, etcd-44, http://10.0.0.44:2380, http://10.0.0.44:2379, false";

fn with(line: &str) -> String {
    format!("{OTHERS}\n{line}")
}

#[test]
fn a_member_joins_once() {
    let add = "member add etcd-4 --peer-urls=http://10.0.0.4:2380";
    assert_eq!(run("script", OTHERS, "", 0), format!("did {add}"));
    assert_eq!(run("script", OTHERS, "", 1), format!("refused {add}\ndid {add}"));
    for state in
        ["cc, unstarted, , http://10.0.0.4:2380, , false", "cc, started, etcd-4, http://10.0.0.4:2380, http://10.0.0.4:2379, false"]
    {
        assert_eq!(run("script", &with(state), "", 0), "etcd-4 is member cc");
    }
    // Whoever was at its address before is gone.
    let former = with("cc, started, etcd-3, http://10.0.0.4:2380, http://10.0.0.4:2379, false");
    assert_eq!(run("script", &former, OTHERS, 0), format!("did member remove cc\ndid {add}"));
}

#[test]
fn a_member_leaves_once() {
    assert_eq!(run("undo", OTHERS, "", 0), "etcd-4 is no member");
    for state in [
        "cc, unstarted, , http://10.0.0.4:2380, , false",
        "cc, started, etcd-4, http://10.0.0.4:2380, http://10.0.0.4:2379, false",
        "cc, started, etcd-4, http://10.0.0.9:2380, http://10.0.0.9:2379, false",
    ] {
        assert_eq!(run("undo", &with(state), "", 0), "did member remove cc");
        assert_eq!(run("undo", &with(state), "", 1), "refused member remove cc\ndid member remove cc");
    }
    // Whoever came to its address later stays.
    let later = with("cc, started, etcd-5, http://10.0.0.4:2380, http://10.0.0.4:2379, false");
    assert_eq!(run("undo", &later, "", 0), "etcd-4 is no member");
}

/// A folder with programs that stand in for etcd's, and a configuration.
fn folder(name: &str, state: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("bin")).unwrap();
    let program = |name: &str, text: &str| {
        let path = root.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    program("etcd", "sed -n '/^initial-cluster: /p' \"$2\"");
    program("etcdctl", "[ \"$1\" = --endpoints=http://10.0.0.2:2379 ] && printf '%s\\n' \"$LIST\"");
    let expanded = expanded();
    let config = expanded.steps.iter().find(|step| step.address.to_string().ends_with(".config")).unwrap();
    let start = expanded.steps.iter().find(|step| step.address.to_string().ends_with(".start")).unwrap();
    let text = support::content(config, &support::facts()).replace("/node/data", root.to_str().unwrap());
    let text = text.replace("127.64.0.2", "10.0.0.1").replace("127.64.0.3", "10.0.0.2").replace("127.64.0.4", "10.0.0.3");
    fs::write(root.join("etcd.yaml"), text.replace("cluster-state: \"new\"", &format!("cluster-state: \"{state}\""))).unwrap();
    fs::write(root.join("start.sh"), support::content(start, &support::facts())).unwrap();
    root
}

/// The members that etcd is started with.
fn started(root: &Path, list: &str) -> String {
    let at = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let output = Command::new("/bin/sh")
        .args([at("start.sh"), at("bin"), at("etcd.yaml"), "2379".to_owned(), at("")])
        .env("LIST", list)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_member_that_joins_starts_with_the_members_that_there_are() {
    let as_configured = "initial-cluster: \"etcd-1=http://10.0.0.1:2380,etcd-2=http://10.0.0.2:2380,etcd-3=http://10.0.0.3:2380\"";
    assert_eq!(started(&folder("etcd-first", "new"), "nobody is asked"), as_configured);
    let list = "bb, started, etcd-2, http://10.0.0.2:2380, http://10.0.0.2:2379, false\n\
                dd, unstarted, , http://10.0.0.9:2380, , false\n\
                aa, unstarted, , http://10.0.0.1:2380, , false";
    let root = folder("etcd-joins", "existing");
    let as_asked = "initial-cluster: \"etcd-2=http://10.0.0.2:2380,member-dd=http://10.0.0.9:2380,etcd-1=http://10.0.0.1:2380\"";
    assert_eq!(started(&root, list), as_asked);
    // From then on etcd knows its members itself.
    fs::create_dir_all(root.join("etcd/member/wal")).unwrap();
    assert_eq!(started(&root, "nobody is asked"), as_configured);
}
