//! The journal stores and the state stores, each held to the same promises.

use super::super::disk::Disk;
use super::*;

fn frame(sequence: u64, epoch: u64) -> Frame {
    Frame { sequence, epoch, run: format!("r{epoch}"), kind: FrameKind::Other, payload: format!("{{\"n\": {sequence}}}").into_bytes() }
}

fn file_journal(disk: &MemoryDisk) -> FileJournal {
    FileJournal::new(Arc::new(disk.clone()), PathBuf::from("/p/.cloudtik/journal"))
}

/// Two holders of the same journal, of files and of memory.
fn two_holders() -> [[Box<dyn JournalStore>; 2]; 2] {
    let disk = MemoryDisk::default();
    let memory = MemoryJournal::default();
    [[Box::new(file_journal(&disk)), Box::new(file_journal(&disk))], [Box::new(memory.clone()), Box::new(memory)]]
}

fn sequences(journal: &mut dyn JournalStore, after: u64) -> Vec<(u64, FrameKind)> {
    journal.read_all(after).unwrap().frames.iter().map(|frame| (frame.sequence, frame.kind)).collect()
}

#[test]
fn what_is_appended_is_read_by_another_holder() {
    for [mut one, mut two] in two_holders() {
        assert_eq!(one.read_all(0).unwrap(), JournalRead::default());
        assert_eq!(one.seal(1, 1, "r1").unwrap(), 1);
        one.append(&[frame(1, 1), frame(2, 1)]).unwrap();
        one.append(&[frame(3, 1)]).unwrap();
        assert_eq!(two.read_all(1).unwrap().frames, [frame(2, 1), frame(3, 1)]);
        assert_eq!(two.read_all(0).unwrap().epoch, 1);
        assert!(matches!(two.append(&[frame(4, 1)]), Err(DurableError::NotBegun)));
    }
}

#[test]
fn an_append_takes_the_next_number_and_no_other() {
    for [mut one, _] in two_holders() {
        one.seal(1, 1, "r1").unwrap();
        for wrong in [vec![frame(2, 1)], vec![frame(1, 1), frame(3, 1)], vec![frame(1, 2)]] {
            assert!(matches!(one.append(&wrong), Err(DurableError::Conflict { .. })), "{wrong:?}");
        }
        one.append(&[frame(1, 1)]).unwrap();
        assert!(matches!(one.append(&[frame(1, 1)]), Err(DurableError::Conflict { .. })));
        one.append(&[frame(2, 1)]).unwrap();
    }
}

#[test]
fn a_new_holder_ends_the_old_one() {
    for [mut old, mut new] in two_holders() {
        old.seal(1, 1, "r1").unwrap();
        old.append(&[frame(1, 1)]).unwrap();
        assert_eq!(new.seal(2, 2, "r2").unwrap(), 3);
        let error = old.append(&[frame(2, 1)]).unwrap_err();
        assert!(error.is_fenced(), "{error}");
        new.append(&[frame(3, 2)]).unwrap();
        assert!(old.append(&[frame(2, 1)]).unwrap_err().is_fenced());
        assert!(matches!(old.seal(2, 4, "r3"), Err(DurableError::Sealed { .. })));
        assert_eq!(sequences(&mut *new, 0), [(1, FrameKind::Other), (2, FrameKind::Seal), (3, FrameKind::Other)]);
    }
}

#[test]
fn a_holder_that_wrote_nothing_yet_is_ended_too() {
    for [mut old, mut new] in two_holders() {
        old.seal(1, 1, "r1").unwrap();
        assert_eq!(new.seal(2, 1, "r2").unwrap(), 1);
        new.append(&[frame(1, 2)]).unwrap();
        assert!(old.append(&[frame(1, 1)]).unwrap_err().is_fenced());
        new.append(&[frame(2, 2)]).unwrap();
    }
}

#[test]
fn what_is_folded_is_deleted_and_the_rest_stays() {
    for [mut one, mut two] in two_holders() {
        one.seal(1, 1, "r1").unwrap();
        one.append(&[frame(1, 1), frame(2, 1)]).unwrap();
        one.delete_segments(1).unwrap();
        assert_eq!(sequences(&mut *two, 1), [(2, FrameKind::Other)]);
        one.delete_segments(2).unwrap();
        assert_eq!(two.read_all(2).unwrap().frames, []);
        one.append(&[frame(3, 1)]).unwrap();
        assert_eq!(sequences(&mut *two, 2), [(3, FrameKind::Other)]);
        assert!(matches!(two.read_all(1), Err(DurableError::JournalGap { expected: 2, found: 3, .. })));
    }
}

#[test]
fn a_journal_that_grows_goes_on_in_new_segments_which_go_one_by_one() {
    let disk = MemoryDisk::default();
    let mut journal = file_journal(&disk).with_segments_of(1_500);
    journal.seal(1, 1, "r1").unwrap();
    let long = |sequence| Frame { payload: vec![b' '; 900], ..frame(sequence, 1) };
    (1..=5).for_each(|sequence| journal.append(&[long(sequence)]).unwrap());
    let names = || disk.list(&PathBuf::from("/p/.cloudtik/journal")).unwrap();
    assert_eq!(names(), ["000001-000000000001.log", "000001-000000000003.log", "000001-000000000005.log"]);
    assert_eq!(file_journal(&disk).read_all(0).unwrap().frames.len(), 5);
    journal.delete_segments(3).unwrap();
    assert_eq!(names().len(), 2);
    assert_eq!(file_journal(&disk).read_all(3).unwrap().frames.len(), 2);
    // A crash may keep an earlier segment that was to go, and lose a later one.
    let first = disk.content(&PathBuf::from("/p/.cloudtik/journal/000001-000000000003.log")).unwrap();
    journal.delete_segments(4).unwrap();
    disk.put(&PathBuf::from("/p/.cloudtik/journal/000001-000000000001.log"), first[..19].to_vec());
    assert_eq!(file_journal(&disk).read_all(4).unwrap().frames.len(), 1);
}

#[test]
fn one_group_commit_is_one_fsync() {
    let disk = MemoryDisk::default();
    let mut journal = file_journal(&disk);
    journal.seal(1, 1, "r1").unwrap();
    journal.append(&[frame(1, 1)]).unwrap();
    // A segment's first commit makes the name of the segment durable too.
    assert_eq!(journal.fsyncs(), 2);
    let many: Vec<Frame> = (2..=1001).map(|sequence| frame(sequence, 1)).collect();
    journal.append(&many).unwrap();
    assert_eq!(journal.fsyncs(), 3);
}

#[test]
fn a_full_disk_leaves_the_journal_as_it_was() {
    let disk = MemoryDisk::default();
    let mut journal = file_journal(&disk);
    journal.seal(1, 1, "r1").unwrap();
    for (before, sequence) in [(0, 1), (1, 2)] {
        disk.set_full(true);
        let error = journal.append(&[frame(sequence, 1)]).unwrap_err();
        assert!(error.to_diagnostic().help.unwrap().contains("the disk is full"), "{error}");
        disk.set_full(false);
        let read = file_journal(&disk).read_all(0).unwrap();
        assert_eq!((read.frames.len(), read.torn), (before, None));
        journal.append(&[frame(sequence, 1)]).unwrap();
    }
    assert_eq!(sequences(&mut file_journal(&disk), 0).len(), 2);
}

#[test]
fn a_damaged_journal_names_file_and_offset() {
    let disk = MemoryDisk::default();
    let mut journal = file_journal(&disk);
    journal.seal(1, 1, "r1").unwrap();
    journal.append(&[frame(1, 1)]).unwrap();
    journal.append(&[frame(2, 1)]).unwrap();
    let path = PathBuf::from("/p/.cloudtik/journal/000001-000000000001.log");
    let good = disk.content(&path).unwrap();
    let mut bad = good.clone();
    bad[40] ^= 1;
    disk.put(&path, bad);
    let error = file_journal(&disk).read_all(0).unwrap_err();
    assert!(matches!(&error, DurableError::JournalDamaged { path: at, offset: 19, .. } if *at == path), "{error}");

    let mut newer = good.clone();
    newer[17] = b'7';
    disk.put(&path, newer);
    let error = file_journal(&disk).read_all(0).unwrap_err();
    assert!(matches!(error, DurableError::JournalNewer { .. }) && error.to_diagnostic().help.unwrap().contains("upgrade"));

    for cut in 0..good.len() {
        disk.put(&path, good[..cut].to_vec());
        let read = file_journal(&disk).read_all(0).unwrap();
        assert_eq!(read.frames.len(), usize::from(cut >= 19 + (good.len() - 19) / 2), "cut at {cut}");
        // The next holder drops the torn end, and goes on with the next number.
        let mut next = file_journal(&disk);
        let free = next.seal(2, read.frames.len() as u64 + 1, "r2").unwrap();
        next.append(&[frame(free, 2)]).unwrap();
        let all = file_journal(&disk).read_all(0).unwrap();
        assert_eq!((all.frames.last().unwrap().sequence, all.torn), (free, None), "cut at {cut}");
        next.delete_segments(free).unwrap();
    }
}

#[test]
fn a_journal_in_memory_loses_and_tears_what_it_is_told_to() {
    for (fault, arrives) in
        [(AppendFault::Lost, 0), (AppendFault::Torn(50), 0), (AppendFault::Torn(usize::MAX), 1), (AppendFault::Unacknowledged, 2)]
    {
        let journal = MemoryJournal::default();
        let mut holder = journal.clone();
        holder.seal(1, 1, "r1").unwrap();
        holder.append(&[frame(1, 1)]).unwrap();
        journal.inject(fault);
        holder.append(&[frame(2, 1), frame(3, 1)]).unwrap_err();
        assert!(matches!(holder.append(&[frame(2, 1)]), Err(DurableError::JournalBroken { .. })));
        let read = journal.clone().read_all(1).unwrap();
        assert_eq!(read.frames.len(), arrives, "{fault:?}");
        assert_eq!(read.torn.is_some(), matches!(fault, AppendFault::Torn(_)), "{fault:?}");
        let mut next = journal.clone();
        let free = next.seal(2, 2 + arrives as u64, "r2").unwrap();
        next.append(&[frame(free, 2)]).unwrap();
        assert_eq!(journal.clone().read_all(0).unwrap().torn, None);
    }
}

fn two_states() -> [[Box<dyn StateStore>; 2]; 2] {
    let disk = MemoryDisk::default();
    let file = || Box::new(FileState::new(Arc::new(disk.clone()), PathBuf::from("/p/.cloudtik/state.json")));
    let memory = MemoryState::default();
    [[file(), file()], [Box::new(memory.clone()), Box::new(memory)]]
}

#[test]
fn a_state_is_replaced_by_whoever_saw_the_last_one() {
    for [mut one, mut two] in two_states() {
        assert_eq!(one.load().unwrap(), None);
        one.save(None, b"first").unwrap();
        assert!(matches!(two.save(None, b"other"), Err(DurableError::StateMoved { .. })));
        assert_eq!(two.load().unwrap().unwrap(), b"first");
        one.save(Some(1), b"second").unwrap();
        assert!(two.has_moved().unwrap() && !one.has_moved().unwrap());
        assert!(matches!(two.save(Some(1), b"other"), Err(DurableError::StateMoved { .. })));
        assert_eq!(two.load().unwrap().unwrap(), b"second");
        assert_eq!((two.backups().unwrap(), two.backup(1).unwrap().unwrap()), (vec![1], b"first".to_vec()));
    }
}

#[test]
fn the_last_ten_predecessors_are_kept() {
    for [mut one, mut two] in two_states() {
        for serial in 1..=15_u64 {
            one.save((serial > 1).then(|| serial - 1), format!("state {serial}").as_bytes()).unwrap();
        }
        assert_eq!(two.backups().unwrap(), (5..=14).rev().collect::<Vec<_>>());
        assert_eq!(two.backup(14).unwrap().unwrap(), b"state 14");
        assert_eq!(two.load().unwrap().unwrap(), b"state 15");
    }
}

#[test]
fn a_full_disk_leaves_the_state_as_it_was() {
    let disk = MemoryDisk::default();
    let path = PathBuf::from("/p/.cloudtik/state.json");
    let mut state = FileState::new(Arc::new(disk.clone()), path.clone());
    state.save(None, b"first").unwrap();
    disk.set_full(true);
    assert!(matches!(state.save(Some(1), b"second"), Err(DurableError::Io { .. })));
    disk.set_full(false);
    assert_eq!(disk.content(&path).unwrap(), b"first");
    assert_eq!(disk.list(path.parent().unwrap()).unwrap(), ["state.json"]);
    state.save(Some(1), b"second").unwrap();
}

#[test]
fn what_a_crash_left_half_written_is_removed_by_the_next_save() {
    let disk = MemoryDisk::default();
    let path = PathBuf::from("/p/.cloudtik/state.json");
    disk.put(&path.with_file_name("state.json.4711.tmp"), b"half".to_vec());
    FileState::new(Arc::new(disk.clone()), path.clone()).save(None, b"first").unwrap();
    assert_eq!(disk.list(path.parent().unwrap()).unwrap(), ["state.json"]);
}
