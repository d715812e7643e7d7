//! What goes wrong on a real machine: each gets one clear error and the right exit code, and what comes after it works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use support::stage::{Form, Stage, failed, free_port};

/// A cluster whose head does nothing but its steps.
fn with_steps(steps: &str) -> String {
    format!(
        "provider \"local\" {{}}\nworkspace \"w\" {{\n  storage \"default\" {{ on_destroy = \"delete\" }}\n}}\n\
         cluster \"c\" {{\n  workspace = workspace.w\n  head {{}}\n  setup {{\n{steps}  }}\n}}\n"
    )
}

fn step(name: &str, run: &str, more: &str) -> String {
    format!("    step \"{name}\" {{\n      phase = \"before_runtimes\"\n      run = \"{run}\"\n      retries = 0\n{more}    }}\n")
}

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const DESTROY: [&str; 2] = ["destroy", "--auto-approve"];

/// Waits until a command says something.
fn until_said(stage: &Stage, running: &mut support::Running, text: &str) {
    let ended = |running: &mut support::Running| running.has_ended();
    support::wait_until(&format!("`{text}`"), Duration::from_secs(60), || {
        let said = running.stderr().contains(text);
        assert!(said || !ended(running), "it ended without `{text}`: {}\n{:?}", running.stderr(), stage.processes());
        said
    });
}

/// After everything: what the spec wants is there, and goes without a trace.
fn gets_well(stage: &Stage) {
    stage.expect(0, &APPLY);
    let again = stage.expect(0, &APPLY);
    assert!(again.stdout.contains("No changes"), "{}", again.text());
    stage.expect(0, &DESTROY);
    assert_eq!(stage.left(), Vec::<String>::new(), "destroy left this on the machine");
}

#[test]
fn a_second_apply_while_one_runs() {
    let stage = Stage::new(Stage::any_form());
    stage.spec(&with_steps(&step("slow", "sleep 3", "")));
    let mut first = stage.start(&APPLY);
    until_said(&stage, &mut first, "step.slow: running");
    let held = format!("process {}", first.pid());
    stage.fails(4, &APPLY, &["`apply`", &held]);
    stage.fails(4, &DESTROY, &["`apply`", &held]);
    // Looking is allowed.
    stage.expect(0, &["plan"]);
    let first = first.wait();
    assert_eq!(first.code(), Some(0), "{}", first.text());
    gets_well(&stage);
}

#[test]
fn a_step_that_fails() {
    let stage = Stage::new(Stage::any_form());
    stage.spec(&with_steps(&step("broken", "echo this is why >&2; exit 7", "")));
    stage.fails(3, &APPLY, &["cluster.c.head.step.broken", "7", "this is why"]);
    // Only what failed is left to do.
    let plan = stage.expect(0, &["plan"]).stdout;
    assert!(plan.contains("0 to create") && plan.contains("1 step to run"), "{plan}");
    stage.spec(&with_steps(&step("broken", "true", "")));
    gets_well(&stage);
}

#[test]
fn a_step_that_hangs() {
    let stage = Stage::new(Stage::any_form());
    stage.spec(&with_steps(&step("hangs", "sleep 987", "      timeout = \"2s\"\n")));
    let ran = stage.fails(3, &APPLY, &["cluster.c.head.step.hangs", "still running after 2 s"]);
    assert!(ran.took < Duration::from_secs(30), "{:?}", ran.took);
    let sleeps = stage.processes().iter().filter(|process| process.is("sleep", &["987"])).count();
    assert_eq!(sleeps, 0, "what hung still runs");
    stage.spec(&with_steps(&step("hangs", "true", "")));
    gets_well(&stage);
}

#[test]
fn a_node_that_dies_during_setup() {
    for form in Stage::forms() {
        let stage = Stage::new(form);
        stage.spec(&with_steps(&step("slow", "sleep 60", "")));
        let mut running = stage.start(&APPLY);
        until_said(&stage, &mut running, "step.slow: running");
        std::thread::sleep(Duration::from_millis(300));
        let processes = stage.processes();
        let first: Vec<_> = processes.iter().filter(|process| process.is("cloudtik", &["node", "--boot"])).collect();
        assert!(!first.is_empty(), "{processes:?}");
        first.iter().for_each(|process| process.kill());
        let ran = running.wait();
        failed(&ran, 3, &["cluster.c.head"]);
        assert!(ran.took < Duration::from_secs(60), "{:?}", ran.took);
        stage.spec(&with_steps(&step("slow", "true", "")));
        gets_well(&stage);
    }
}

#[test]
fn a_port_in_use() {
    let stage = Stage::new(Stage::any_form());
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let spec = "provider \"local\" {}\nworkspace \"w\" {}\ncluster \"c\" {\n  workspace = workspace.w\n  head {\n    local {\n      publish = { \"PORT\" = 8080 }\n    }\n  }\n}\n";
    stage.spec(&spec.replace("PORT", &port.to_string()));
    stage.fails(3, &APPLY, &["cluster.c.head", &port.to_string(), "in use"]);
    drop(taken);
    gets_well(&stage);
}

#[test]
fn ctrl_c_once() {
    let stage = Stage::new(Stage::any_form());
    stage.spec(&with_steps(&(step("first", "sleep 2", "") + &step("second", "true", ""))));
    let mut running = stage.start(&APPLY);
    until_said(&stage, &mut running, "step.first: running");
    running.signal(Signal::SIGINT);
    let ran = running.wait();
    failed(&ran, 130, &["step.first: done"]);
    assert!(!ran.stderr.contains("step.second: running"), "{}", ran.text());
    let plan = stage.expect(0, &["plan"]).stdout;
    assert!(plan.contains("1 step to run") && plan.contains("step.second"), "{plan}");
    gets_well(&stage);
}

#[test]
fn ctrl_c_twice() {
    let stage = Stage::new(Stage::any_form());
    stage.spec(&with_steps(&step("first", "sleep 8", "")));
    let mut running = stage.start(&APPLY);
    until_said(&stage, &mut running, "step.first: running");
    running.signal(Signal::SIGINT);
    until_said(&stage, &mut running, "Ctrl-C once more");
    running.signal(Signal::SIGINT);
    let ran = running.wait();
    assert_eq!(ran.code(), Some(130), "{}", ran.text());
    assert!(ran.took < Duration::from_secs(7), "it waited for the step: {:?}", ran.took);
    gets_well(&stage);
}

#[test]
fn no_permission() {
    if !support::is_root() {
        return support::cannot_run("a folder of somebody else", "it needs root, who can be somebody else");
    }
    let stage = Stage::new(Form::Plain);
    stage.spec("resource \"value\" \"a\" { input = 1 }\n");
    let project = stage.project();
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // The folder is root's: nothing can be written.
    nix::unistd::chown(&project, Some(0.into()), Some(0.into())).unwrap();
    mode(&project, 0o755);
    stage.fails(1, &APPLY, &[".cloudtik", "ermission denied"]);
    assert_eq!(support::files_below(&project), ["main.hcl"]);
    // The spec is root's: it cannot be read.
    nix::unistd::chown(&project.join("main.hcl"), Some(0.into()), Some(0.into())).unwrap();
    mode(&project.join("main.hcl"), 0o600);
    stage.fails(1, &["validate"], &["main.hcl", "ermission denied"]);
    // The state is root's.
    stage.user().unwrap().own(&project);
    stage.expect(0, &APPLY);
    let state = stage.data().join("state.json");
    nix::unistd::chown(&state, Some(0.into()), Some(0.into())).unwrap();
    stage.fails(1, &["plan"], &["state.json", "ermission denied"]);
    stage.user().unwrap().own(&project);
    gets_well(&stage);
}

/// A small disk of its own, taken away with its value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(folder: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs"]).arg(&folder).status();
        assert!(mounted.is_ok_and(|status| status.success()), "no tmpfs can be mounted at {}", folder.display());
        Self(folder)
    }

    fn resize(&self, size: &str) {
        let resized = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.0).status();
        assert!(resized.is_ok_and(|status| status.success()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

/// How many objects the text says that were created.
fn created(text: &str) -> usize {
    let (before, _) = text.split_once(" created").unwrap_or_else(|| panic!("nothing is said of what was created: {text}"));
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_full_disk() {
    if !support::is_root() {
        return support::cannot_run("a full disk", "a small tmpfs needs root");
    }
    // What is only written down, and what is made by a call: one after the other, so that the journal is written again and again.
    for (kind, attribute, follows) in
        [("value", "input", "triggers_replace = value.v{}.id"), ("sim_token", "note", "ref = sim_token.v{}.id")]
    {
        let mut stage = Stage::new(Form::Namespaces);
        let disk = SmallDisk::at(stage.root().join("disk"), "256k");
        stage.set("CLOUDTIK_DATA_DIR", &stage.root().join("disk/data").display().to_string());
        let text = "x".repeat(20_000);
        let one = |i: usize| {
            let after = if i == 0 { String::new() } else { follows.replace("{}", &(i - 1).to_string()) };
            format!("resource \"{kind}\" \"v{i}\" {{\n  {attribute} = \"{text}\"\n  {after}\n}}\n")
        };
        stage.spec(&("provider \"sim\" {}\n".to_owned() + &(0..40).map(one).collect::<String>()));
        let ran = stage.run(&APPLY);
        let incomplete = ran.stderr.split_once("Apply incomplete: ").unwrap_or_else(|| panic!("{}", ran.text())).1;
        let first = created(incomplete);
        assert!(first < 40, "the disk was not full: {}", ran.text());
        failed(&ran, if first == 0 { 1 } else { 3 }, &["No space left on device"]);
        // What was written down can be read, and nothing of it is lost.
        stage.expect(0, &["plan"]);
        disk.resize("16m");
        let ran = stage.expect(0, &APPLY);
        let complete = ran.stdout.split_once("Apply complete! ").unwrap().1;
        let adopted = ran.stdout.matches("adopt").count();
        assert!(first + created(complete) == 40 || adopted > 0, "{first} were created at first: {}", ran.text());
        let again = stage.expect(0, &APPLY);
        assert!(again.stdout.contains("No changes"), "{}", again.text());

        // Full before anything happens.
        let filler = stage.root().join("disk/filler");
        let full = fs::write(&filler, vec![0_u8; 32 << 20]);
        assert!(full.is_err(), "the disk is not full");
        stage.spec("provider \"sim\" {}\nresource \"value\" \"other\" { input = 1 }\n");
        stage.fails(1, &APPLY, &["No space left on device"]);
        fs::remove_file(filler).unwrap();
        stage.expect(0, &APPLY);
        stage.expect(0, &DESTROY);
        drop(disk);
        assert_eq!(stage.left(), Vec::<String>::new());
    }
}

/// A project with a state, on the simulated cloud.
fn with_state() -> Stage {
    let stage = Stage::new(Stage::any_form());
    stage.spec(
        "provider \"sim\" {}\nresource \"sim_token\" \"a\" { name = \"a\" }\nresource \"value\" \"b\" { input = sim_token.a.address }\n",
    );
    stage.expect(0, &APPLY);
    stage
}

#[test]
fn a_truncated_state() {
    let stage = with_state();
    let state = stage.data().join("state.json");
    let whole = fs::read(&state).unwrap();
    fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    stage.fails(1, &["plan"], &["state.json", ".bak"]);
    stage.fails(1, &APPLY, &["state.json", ".bak"]);
    assert_eq!(fs::read(&state).unwrap(), &whole[..whole.len() / 2], "it was not to be touched");
    fs::write(&state, &whole).unwrap();
    gets_well(&stage);
}

#[test]
fn a_state_from_a_newer_version() {
    let stage = with_state();
    let state = stage.data().join("state.json");
    let whole = fs::read_to_string(&state).unwrap();
    let newer = whole.replacen("\"version\":1", "\"version\":99", 1).replacen("\"version\": 1", "\"version\": 99", 1);
    assert_ne!(whole, newer);
    fs::write(&state, newer).unwrap();
    stage.fails(1, &["plan"], &["99", "newer"]);
    stage.fails(1, &DESTROY, &["99", "newer"]);
    fs::write(&state, whole).unwrap();
    gets_well(&stage);
}

#[test]
fn a_truncated_journal() {
    let stage = Stage::new(Stage::any_form());
    let one = |i: usize| format!("resource \"sim_token\" \"t{i}\" {{\n  name = \"t{i}\"\n}}\n");
    stage.spec(&("provider \"sim\" {}\n".to_owned() + &(0..6).map(one).collect::<String>()));
    let killed = stage.start_with(&APPLY, &[("CLOUDTIK_DIE_AFTER_RECORDS", "9")]).wait();
    assert_eq!(killed.code(), None, "{}", killed.text());
    let segments = || -> Vec<PathBuf> {
        let files = support::files_below(&stage.data());
        files.iter().filter(|path| path.starts_with("journal")).map(|path| stage.data().join(path)).collect()
    };
    let last = segments().pop().unwrap_or_else(|| panic!("no journal: {:?}", support::files_below(&stage.data())));
    let whole = fs::read(&last).unwrap();

    // A byte of the first record: it is said where, and nothing is guessed.
    let mut damaged = whole.clone();
    damaged[60] ^= 0xff;
    fs::write(&last, &damaged).unwrap();
    stage.fails(1, &["plan"], &["journal"]);
    stage.fails(1, &APPLY, &["journal"]);
    assert_eq!(fs::read(&last).unwrap(), damaged, "it was not to be touched");

    // The end is missing: that is what a crash leaves, and the run goes on from the record before.
    fs::write(&last, &whole[..whole.len() - 5]).unwrap();
    stage.expect(0, &["plan"]);
    gets_well(&stage);
}

#[test]
fn what_another_inventory_has_is_not_forgotten() {
    let mut stage = Stage::new(Stage::any_form());
    stage.spec("provider \"local\" {}\nresource \"local_network\" \"a\" {\n  name = \"a\"\n}\n");
    stage.expect(0, &APPLY);
    let listed = stage.expect(0, &["local", "list"]);
    let (state, other) = (stage.root().join("state"), stage.root().join("run/state"));
    let name = fs::read_to_string(state.join("cloudtik/local/name")).unwrap().trim().to_owned();
    assert!(
        listed.stdout.contains(&format!("net-{name}-")) && listed.stderr.contains(&format!("Inventory {name}, in ")),
        "{}",
        listed.text()
    );
    stage.set("XDG_STATE_HOME", other.to_str().unwrap());
    let says = ["net-", "is in the inventory", &name, "XDG_STATE_HOME", &format!("local forget {name}")];
    stage.fails(1, &["plan"], &says);
    stage.fails(1, &["plan", "--destroy"], &says);
    stage.fails(1, &DESTROY, &says);
    // Without a look before, the delete itself finds out.
    stage.fails(1, &["destroy", "--auto-approve", "--refresh=false"], &says);
    stage.set("XDG_STATE_HOME", state.to_str().unwrap());
    assert!(stage.expect(0, &["plan"]).stdout.contains("No changes"));
    // Somebody who says that it is lost is believed, and only there.
    stage.fails(1, &["local", "forget", &name], &["is the one here"]);
    stage.set("XDG_STATE_HOME", other.to_str().unwrap());
    stage.fails(1, &["local", "forget", "all"], &["is not the name of an inventory"]);
    stage.expect(0, &["local", "forget", &name]);
    assert!(stage.expect(0, &["plan"]).stdout.contains("Plan: 1 to create"));
    stage.set("XDG_STATE_HOME", state.to_str().unwrap());
    gets_well(&stage);
}

/// The look for what is left must see what is the test's, and nothing of what goes on beside it.
#[test]
fn what_others_have_on_the_machine_is_not_ours() {
    let stage = Stage::new(Stage::any_form());
    stage.spec("provider \"local\" {}\nresource \"local_network\" \"a\" {\n  name = \"a\"\n}\n");
    let others = tempfile::Builder::new().prefix("other-").tempdir().unwrap();
    let _port = TcpListener::bind("127.0.0.1:0").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(others.path().join("local.sock")).unwrap();
    let mut sleeper = Command::new("sleep");
    sleeper.arg("600").current_dir(others.path()).env("CLOUDTIK_NODE", "i-of-somebody-else");
    if support::is_root() {
        // As the node of another local cloud: with a network of its own.
        let enter = || nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).map_err(std::io::Error::from);
        #[expect(unsafe_code, reason = "what is between fork and exec has no safe form")]
        // SAFETY: it is one system call, and touches nothing of the parent.
        unsafe {
            std::os::unix::process::CommandExt::pre_exec(&mut sleeper, enter);
        }
    }
    let mut sleeper = sleeper.spawn().unwrap();
    assert_eq!(stage.there(), Vec::<String>::new());

    stage.expect(0, &APPLY);
    let there = stage.there();
    let has = |what: &str| there.iter().any(|thing| thing.contains(what));
    assert!(has("local-cloud --state-dir") && has("listening socket: ") && has("run/cloudtik/local.sock"), "{there:?}");
    assert!(!support::is_root() || has("interface: ctb-"), "{there:?}");
    assert!(!has("other-") && !has("sleep"), "{there:?}");
    let mut ours = Command::new("sleep").arg("600").current_dir(stage.project()).spawn().unwrap();
    // The arguments of a process that was started are there to read only a moment after its start.
    support::wait_until("who works in its folder is the test's", Duration::from_secs(10), || {
        stage.there().iter().any(|thing| thing.contains("sleep"))
    });
    for child in [&mut ours, &mut sleeper] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    gets_well(&stage);
}
