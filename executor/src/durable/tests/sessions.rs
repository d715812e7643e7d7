//! A run's hold on everything, over every store.

use super::super::disk::Disk;
use super::ledger::any_record;
use super::*;
use proptest::prelude::*;

fn state_path() -> PathBuf {
    PathBuf::from("/p/.cloudtik/state.json")
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    let mut names = disk.list(&PathBuf::from("/p/.cloudtik")).unwrap();
    names.extend(disk.list(&PathBuf::from("/p/.cloudtik/journal")).unwrap());
    names
}

#[test]
fn a_run_from_nothing_to_nothing() {
    let disk = MemoryDisk::default();
    let mut session = on_disk(&disk).unwrap();
    assert!(session.state().lineage.is_empty() && session.state().is_empty() && session.torn().is_none());
    assert!(matches!(session.append(vec![pure("a", &[], Value::NULL)]), Err(DurableError::NotBegun)));
    session.commit().unwrap();
    assert_eq!(names(&disk), Vec::<String>::new());

    assert_eq!(session.begin_run("r1").unwrap(), 1);
    let lineage = session.state().lineage.clone();
    assert_eq!((lineage.len(), session.state().serial), (32, 1));
    assert_eq!(session.append(vec![pure("a", &[], Value::NULL), pure("b", &["a"], Value::NULL)]).unwrap(), 2);
    session.commit().unwrap();
    assert_eq!(names(&disk), ["state.json", "state.json.1.bak"]);

    let mut session = on_disk(&disk).unwrap();
    assert_eq!((&session.state().lineage, session.state().serial, session.state().epoch, session.ledger().sequence()), (&lineage, 2, 1, 2));
    assert_eq!(session.begin_run("r2").unwrap(), 2);
    session.append(["b", "a"].map(|name| Record::Pure { address: address(name), entry: None }).to_vec()).unwrap();
    session.append(vec![Record::Ended { ok: true }]).unwrap();
    session.commit().unwrap();
    session.commit().unwrap();
    let session = on_disk(&disk).unwrap();
    assert!(session.state().is_empty() && session.state().serial == 3 && session.state().folded.as_ref().unwrap().run == "r2");
    assert_eq!(names(&disk), ["state.json", "state.json.1.bak", "state.json.2.bak"]);
}

/// Whatever the other state says of itself, nothing that counts goes back.
#[test]
fn a_state_takes_the_place_of_another() {
    let disk = MemoryDisk::default();
    let mut session = on_disk(&disk).unwrap();
    session.begin_run("r1").unwrap();
    session.append(vec![pure("a", &[], Value::NULL), pure("b", &["a"], secret("s"))]).unwrap();
    let older = State { serial: 1, epoch: 0, folded: None, ..session.state().clone() };
    session.replace(older).unwrap();
    let (serial, lineage) = (session.state().serial, session.state().lineage.clone());
    drop(session);

    let mut session = on_disk(&disk).unwrap();
    assert_eq!((serial, session.state().serial, session.state().epoch, session.ledger().sequence()), (3, 3, 1, 2));
    assert_eq!(session.state().resources.len(), 2);
    // It may come from elsewhere, and be further.
    let further = State { serial: 9, lineage: "another".to_owned(), ..session.state().clone() };
    session.replace(further).unwrap();
    assert_eq!((session.state().serial, session.state().lineage == lineage), (9, false));
    assert_eq!(session.begin_run("r2").unwrap(), 2);
    session.append(vec![intent("o1", "x", &[], create(Value::NULL, false))]).unwrap();
    let state = session.state().clone();
    assert!(matches!(session.replace(state), Err(DurableError::Unsettled { open: 1 })));
    assert_eq!(on_disk(&disk).unwrap().state().serial, 9);
}

#[test]
fn an_open_intent_survives_commits_and_is_found_by_the_next_run() {
    let backend = MemoryBackend::default();
    let mut session = in_memory(&backend).unwrap();
    session.begin_run("r1").unwrap();
    session.append(vec![pure("a", &[], Value::NULL), intent("o1", "x", &["a"], create(Value::NULL, false))]).unwrap();
    session.append(vec![pure("b", &["a"], Value::NULL)]).unwrap();
    session.commit().unwrap();
    let before = session.ledger().clone();
    drop(session);

    let mut session = in_memory(&backend).unwrap();
    assert_eq!(session.ledger(), &before);
    assert_eq!(session.open_intents().iter().map(|open| (open.sequence, open.run.as_str())).collect::<Vec<_>>(), [(2, "r1")]);
    assert_eq!(session.begin_run("r2").unwrap(), 2);
    session.append(vec![made("o1", "i-1")]).unwrap();
    assert!(session.open_intents().is_empty());
    session.commit().unwrap();
    assert_eq!(backend.journal.bytes(), 0);
    assert_eq!(in_memory(&backend).unwrap().state().resources.len(), 3);
}

#[test]
fn a_second_run_fences_the_first() {
    let backend = MemoryBackend::default();
    let mut first = in_memory(&backend).unwrap();
    first.begin_run("r1").unwrap();
    first.append(vec![intent("o1", "x", &[], create(Value::NULL, false))]).unwrap();
    let mut second = in_memory(&backend).unwrap();
    second.begin_run("r2").unwrap();
    let error = first.append(vec![intent("o2", "y", &[], create(Value::NULL, false))]).unwrap_err();
    assert!(error.is_fenced(), "{error}");
    second.append(vec![outcome("o1", OpResult::Cleared), pure("a", &[], Value::NULL)]).unwrap();
    second.commit().unwrap();
    assert!(first.commit().is_ok_and(|()| true) || first.commit().unwrap_err().is_fenced());
    assert_eq!(in_memory(&backend).unwrap().state().resources.len(), 1);
}

#[test]
fn a_state_that_somebody_else_changed_is_not_overwritten() {
    let disk = MemoryDisk::default();
    let mut session = on_disk(&disk).unwrap();
    session.begin_run("r1").unwrap();
    session.append(vec![pure("a", &[], Value::NULL)]).unwrap();
    let other = disk.content(&state_path()).unwrap();
    disk.put(&state_path(), other.clone());
    assert!(matches!(session.commit(), Err(DurableError::StateMoved { .. })));
    assert_eq!(disk.content(&state_path()).unwrap(), other);
    assert_eq!(on_disk(&disk).unwrap().state().resources.len(), 1);
}

#[test]
fn a_state_that_cannot_be_read_names_the_newest_one_that_can() {
    let disk = MemoryDisk::default();
    let mut session = on_disk(&disk).unwrap();
    for i in 1..4_i64 {
        session.begin_run(&format!("r{i}")).unwrap();
        session.append(vec![pure("a", &[], value("n", i))]).unwrap();
        session.commit().unwrap();
    }
    let good = disk.content(&state_path()).unwrap();
    disk.put(&state_path().with_file_name("state.json.3.bak"), b"{".to_vec());
    for cut in (0..good.len() - 1).step_by(7) {
        disk.put(&state_path(), good[..cut].to_vec());
        let error = on_disk(&disk).unwrap_err();
        let DurableError::StateDamaged { offset, backup, .. } = &error else { panic!("{error}") };
        assert_eq!((*offset, backup.clone()), (cut as u64, Some(state_path().with_file_name("state.json.2.bak"))));
        assert!(error.to_diagnostic().help.unwrap().contains("cp /p/.cloudtik/state.json.2.bak /p/.cloudtik/state.json"));
    }
}

#[test]
fn a_state_that_is_gone_is_an_error_while_something_says_that_there_was_one() {
    let disk = MemoryDisk::default();
    let mut session = on_disk(&disk).unwrap();
    session.begin_run("r1").unwrap();
    session.append(vec![pure("a", &[], Value::NULL)]).unwrap();
    let good = disk.content(&state_path()).unwrap();
    disk.remove(&state_path()).unwrap();
    assert!(matches!(on_disk(&disk), Err(DurableError::StateMissing { backup: None, .. })));
    disk.put(&state_path(), good.clone());
    // The disk of memory gives it another stamp, as `cp` would.
    let mut session = on_disk(&disk).unwrap();
    session.begin_run("r2").unwrap();
    session.append(vec![pure("b", &[], Value::NULL)]).unwrap();
    session.commit().unwrap();
    disk.remove(&state_path()).unwrap();
    let error = on_disk(&disk).unwrap_err();
    assert!(matches!(&error, DurableError::StateMissing { backup: Some(_), .. }), "{error}");
}

#[test]
fn an_older_state_under_a_newer_journal_is_a_gap() {
    let disk = MemoryDisk::default();
    let mut session = on_disk(&disk).unwrap();
    session.begin_run("r1").unwrap();
    let old = disk.content(&state_path()).unwrap();
    session.append(vec![pure("a", &[], Value::NULL)]).unwrap();
    session.commit().unwrap();
    session.append(vec![pure("b", &[], Value::NULL)]).unwrap();
    disk.put(&state_path(), old);
    assert!(matches!(on_disk(&disk), Err(DurableError::JournalGap { expected: 1, found: 2, .. })));
}

#[test]
fn a_torn_end_is_dropped_and_told() {
    let backend = MemoryBackend::default();
    let mut session = in_memory(&backend).unwrap();
    session.begin_run("r1").unwrap();
    session.append(vec![pure("a", &[], Value::NULL)]).unwrap();
    backend.journal.inject(AppendFault::Torn(100));
    session.append(vec![pure("b", &[], Value::NULL)]).unwrap_err();
    let mut session = in_memory(&backend).unwrap();
    assert_eq!(session.torn().unwrap().bytes, 100);
    assert_eq!(session.state().resources.len(), 1);
    session.begin_run("r2").unwrap();
    session.append(vec![pure("c", &[], Value::NULL)]).unwrap();
    assert!(in_memory(&backend).unwrap().torn().is_none());
}

#[test]
fn what_a_thousand_values_cost() {
    let disk = MemoryDisk::default();
    let mut session = on_disk(&disk).unwrap();
    session.begin_run("r1").unwrap();
    let begun = session.fsyncs();
    session.append((0..1000_i64).map(|i| pure(&format!("v{i}"), &[], value("n", i))).collect()).unwrap();
    session.commit().unwrap();
    // The segment and its name; the state and its name.
    assert_eq!(session.fsyncs() - begun, 4);
    // A new project also has the first state and its name.
    assert_eq!(begun, 2);
}

#[test]
fn what_a_node_is_told_is_sealed_with_the_secrets_in_it() {
    let (disk, mut keys) = (MemoryDisk::default(), 0);
    let mut session = on_disk(&disk).unwrap();
    session.begin_run("r1").unwrap();
    let step = run_step("echo hunter2", value("script", secret("echo hunter2")));
    let OpKind::Run { undo: Some(undo), .. } = step.clone() else { panic!() };
    let done = Object { attributes: value("inputs", secret("echo hunter2")), undo: Some(undo.clone()), ..object("i-1", "o1") };
    session.append(vec![intent("o1", "s", &[], step)]).unwrap();
    session.append(vec![outcome("o1", OpResult::Object { object: done.clone() })]).unwrap();
    session.commit().unwrap();
    let undoing = OpKind::Undo { instance: "i-1".to_owned(), action: undo.clone() };
    session.append(vec![intent("o2", "s", &[], undoing.clone()), pure("a", &[], Value::NULL)]).unwrap();
    session.append(vec![pure("b", &[], secret("hunter2"))]).unwrap();
    let outputs = BTreeMap::from([("password".to_owned(), cloudtik_model::OutputState { value: "hunter2".into(), sensitive: true })]);
    session.append(vec![Record::Outputs { outputs }]).unwrap();
    assert!(!disk.has_ever_held(b"hunter2"));
    keys += disk.list(&PathBuf::from("/p/.cloudtik/keys")).unwrap().len();
    assert_eq!(keys, 1);
    let session = on_disk(&disk).unwrap();
    assert_eq!(session.state().resources[&address("s")].current, Some(done));
    assert!(session.state().resources[&address("b")].current.as_ref().unwrap().attributes.is_sensitive());
    assert_eq!(session.open_intents()[0].intent.operation, undoing);
    assert_eq!(session.state().outputs["password"].value.as_str(), Some("hunter2"));
}

#[derive(Clone, Debug)]
enum Act {
    Append(Vec<Record>),
    Commit,
    Reopen,
    Fault(AppendFault),
    SaveFault(SaveFault),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop::collection::vec(any_record(), 1..4).prop_map(Act::Append),
        2 => Just(Act::Commit),
        2 => Just(Act::Reopen),
        1 => prop_oneof![Just(AppendFault::Lost), (0..900_usize).prop_map(AppendFault::Torn), Just(AppendFault::Unacknowledged)].prop_map(Act::Fault),
        1 => prop_oneof![Just(SaveFault::Lost), Just(SaveFault::Unacknowledged)].prop_map(Act::SaveFault),
    ]
}

/// A session that goes on after every fault as a new run would.
fn begun(open: &dyn Fn() -> SessionStore, run: &mut u32) -> SessionStore {
    for _ in 0..3 {
        let mut session = open();
        *run += 1;
        // A fault that is waiting may hit the seal, or the first state.
        if session.begin_run(&format!("r{run}")).is_ok() {
            return session;
        }
    }
    panic!("each fault hits once");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_loaded_is_what_was_in_memory(acts in prop::collection::vec(any_act(), 0..14)) {
        let backend = MemoryBackend::default();
        let disk = MemoryDisk::default();
        let memory = || in_memory(&backend).unwrap();
        let files = || on_disk(&disk).unwrap();
        let opens: [&dyn Fn() -> SessionStore; 2] = [&memory, &files];
        for open in opens {
            let mut run = 0;
            let mut session = begun(open, &mut run);
            for act in &acts {
                let result = match act {
                    Act::Append(records) => session.append(records.clone()).map(drop),
                    Act::Commit => session.commit(),
                    Act::Reopen => Err(DurableError::NotBegun),
                    Act::Fault(fault) => { backend.journal.inject(*fault); Ok(()) }
                    Act::SaveFault(fault) => { backend.state.inject(*fault); Ok(()) }
                };
                if result.is_ok() {
                    let loaded = open();
                    prop_assert_eq!(loaded.ledger(), session.ledger());
                } else {
                    session = begun(open, &mut run);
                }
            }
        }
    }
}
