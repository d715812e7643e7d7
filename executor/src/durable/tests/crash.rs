//! A crash in every operation on the disk, and what of it is there afterwards.

use super::super::disk_memory::Leaves;
use super::*;

const ALL: [Leaves; 4] = [Leaves::Nothing, Leaves::Half, Leaves::OperationOnly, Leaves::Everything];

/// What was given to the journal, and how much of that it acknowledged.
#[derive(Default)]
struct Told {
    records: Vec<Record>,
    acknowledged: usize,
}

impl Told {
    fn append(&mut self, session: &mut SessionStore, records: Vec<Record>) -> Result<(), DurableError> {
        self.records.extend(records.clone());
        session.append(records)?;
        self.acknowledged = self.records.len();
        Ok(())
    }

    /// Whether the ledger is what these records make, up to one that was acknowledged or was on its way.
    fn explains(&self, ledger: &Ledger) -> bool {
        (self.acknowledged..=self.records.len()).any(|upto| {
            let model = folded(self.records[..upto].to_vec());
            let open = |ledger: &Ledger| ledger.open.values().map(|open| open.intent.clone()).collect::<Vec<_>>();
            model.state.resources == ledger.state.resources && open(&model) == open(ledger)
        })
    }
}

fn started() -> Record {
    Record::Started { version: 1, command: "apply".to_owned(), tool_version: "0.1.0".to_owned() }
}

/// A run that settles what is open, with commits when nothing is open, when something is, and when only what is open is left.
fn run(disk: &MemoryDisk, run: &str, told: &mut Told) -> Result<(), DurableError> {
    let mut session = on_disk(disk)?;
    session.begin_run(run)?;
    let settled: Vec<Record> = session.ledger().open.keys().map(|op_id| outcome(op_id, OpResult::Cleared)).collect();
    told.append(&mut session, settled)?;
    let op = |n: u32| format!("{run}-{n}");
    let hidden = || create(value("password", secret("hunter2")), false);
    told.append(&mut session, vec![started(), pure("a", &[], value("n", 1_i64)), pure("b", &["a"], secret("hunter2"))])?;
    told.append(&mut session, vec![intent(&op(1), "x", &["b"], hidden())])?;
    told.append(&mut session, vec![made(&op(1), &format!("{run}-i"))])?;
    session.commit()?;
    told.append(&mut session, vec![pure("c", &["x"], Value::NULL), intent(&op(2), "y", &["c"], hidden()), pure("d", &["c"], Value::NULL)])?;
    session.commit()?;
    told.append(&mut session, vec![Record::Forgotten { address: address("a") }])?;
    session.commit()?;
    told.append(&mut session, vec![outcome(&op(2), OpResult::Cleared), pure("a", &[], Value::NULL)])?;
    session.commit()?;
    told.append(&mut session, vec![Record::Ended { ok: true }])?;
    session.commit()
}

/// Opens the project after a crash, holds it to what it must know, and works on.
fn recover(disk: &MemoryDisk, told: &mut Told, what: &str) {
    disk.restart();
    let session = on_disk(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(told.explains(session.ledger()), "{what}: {:?} is not explained by {:?}", session.ledger(), told.records);
    // What is there now is what counts; what was on its way is there or is not.
    let upto = (told.acknowledged..=told.records.len()).find(|upto| {
        let told = Told { records: told.records[..*upto].to_vec(), acknowledged: *upto };
        told.explains(session.ledger())
    });
    told.records.truncate(upto.unwrap());
    told.acknowledged = told.records.len();
}

fn operations_of_a_run() -> u64 {
    let disk = MemoryDisk::default();
    run(&disk, "r1", &mut Told::default()).unwrap();
    disk.operations()
}

#[test]
fn nothing_acknowledged_is_lost_wherever_it_crashes() {
    let operations = operations_of_a_run();
    assert!(operations > 20, "{operations}");
    for leaves in ALL {
        for at in 1..=operations {
            let what = format!("crash in operation {at}, which leaves {leaves:?}");
            let (disk, mut told) = (MemoryDisk::default(), Told::default());
            disk.crash_in(at, leaves);
            assert!(run(&disk, "r1", &mut told).is_err(), "{what}");
            recover(&disk, &mut told, &what);
            run(&disk, "r2", &mut told).unwrap_or_else(|error| panic!("{what}, then: {error}"));
            recover(&disk, &mut told, &what);
        }
    }
}

#[test]
fn nothing_is_lost_when_it_crashes_while_it_recovers() {
    for (first, leaves) in (1..=operations_of_a_run()).zip(ALL.into_iter().cycle()) {
        for second in (1..=12).filter(|second| (first + second) % 3 == 0) {
            let what = format!("crashes in operation {first} and, {second} later, again, which leave {leaves:?}");
            let (disk, mut told) = (MemoryDisk::default(), Told::default());
            disk.crash_in(first, leaves);
            run(&disk, "r1", &mut told).unwrap_err();
            recover(&disk, &mut told, &what);
            disk.crash_in(second, leaves);
            assert!(run(&disk, "r2", &mut told).is_err(), "{what}");
            recover(&disk, &mut told, &what);
            run(&disk, "r3", &mut told).unwrap_or_else(|error| panic!("{what}, then: {error}"));
            recover(&disk, &mut told, &what);
        }
    }
}

#[test]
fn no_file_but_the_keys_holds_a_secret_at_any_time() {
    for at in 1..=operations_of_a_run() {
        let disk = MemoryDisk::default();
        disk.crash_in(at, Leaves::Everything);
        run(&disk, "r1", &mut Told::default()).unwrap_err();
        assert!(!disk.has_ever_held(b"hunter2"), "after operation {at}");
    }
}
