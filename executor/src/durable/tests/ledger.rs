//! What each record makes of the state.

use super::*;
use cloudtik_model::OutputState;
use proptest::prelude::*;

fn ids(ledger: &Ledger, name: &str) -> (Option<String>, Vec<(String, String)>) {
    let Some(slot) = ledger.state.resources.get(&address(name)) else { return (None, Vec::new()) };
    let deposed = slot.deposed.iter().map(|(key, object)| (key.clone(), object.id.clone())).collect();
    (slot.current.as_ref().map(|object| object.id.clone()), deposed)
}

fn depends_on(ledger: &Ledger, name: &str) -> Vec<String> {
    ledger.state.resources[&address(name)].depends_on.iter().map(ToString::to_string).collect()
}

#[test]
fn an_intent_is_open_until_its_outcome() {
    let ledger = folded(vec![intent("o1", "a", &[], create(Value::NULL, false))]);
    assert_eq!((ledger.open.len(), ledger.state.resources.len(), ledger.foldable()), (1, 0, 0));
    for result in [OpResult::Cleared, OpResult::Failed { error: failure() }] {
        let ledger =
            fold(ledger.clone(), &Entry { record: Some(outcome("o1", result)), ..entries(vec![made("o1", "x")])[0].clone() }.at(2));
        assert!(ledger.open.is_empty() && ledger.state.resources.is_empty() && ledger.foldable() == 2);
    }
    let ledger = fold(ledger, &entries(vec![made("o1", "i-1")])[0].clone().at(2));
    assert_eq!(ids(&ledger, "a").0.as_deref(), Some("i-1"));
    // An outcome without an intent says nothing.
    let again = fold(ledger.clone(), &entries(vec![made("o1", "i-2")])[0].clone().at(3));
    assert_eq!(again.state.resources, ledger.state.resources);
}

/// A record at another address: of `sim_token.NAME` what stands for it.
fn called(record: &Record, names: &[(&str, &str)]) -> Record {
    let mut text = serde_json::to_string(record).unwrap();
    for (name, other) in names {
        text = text.replace(&format!("\"{}\"", address(name)), &format!("\"{other}\""));
    }
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_is_renamed_is_what_it_was() {
    let records = |group: &str| -> Vec<Record> {
        let worker = format!("cluster.c.workers.{group}[1]");
        let (one, two) = (format!("{worker}.step.a"), format!("{worker}.step.b"));
        let names = [("w", worker.as_str()), ("a", &one), ("b", &two), ("h", "cluster.c.head.step.a")];
        let records = [
            intent("o1", "w", &[], create(Value::NULL, false)),
            made("o1", "i-1"),
            pure("a", &["w"], Value::NULL),
            pure("h", &["a"], Value::NULL),
            intent("o2", "b", &["a"], run_step("true", Value::NULL)),
        ];
        records.iter().map(|record| called(record, &names)).collect()
    };
    let group = |name: &str| format!("cluster.c.workers.{name}").parse::<Address>().unwrap();
    let rename = Record::Moved { from: group("old"), to: group("new") };
    // The second time there is nothing left to rename.
    let mut renamed = folded([records("old"), vec![rename.clone(), rename.clone()]].concat());
    let fresh = folded(records("new"));
    assert_eq!(renamed.state.resources, fresh.state.resources);
    let open = |ledger: &Ledger| ledger.open.values().map(|open| open.intent.clone()).collect::<Vec<_>>();
    assert_eq!(open(&renamed), open(&fresh));
    assert!(renamed.dependents_are_right());
    // What has the name already keeps it, and so does what would have to take its place.
    let taken = called(&pure("w", &[], Value::NULL), &[("w", "cluster.c.workers.new[1]")]);
    let both = folded([records("old"), vec![taken, rename]].concat());
    let there: Vec<String> = both.state.resources.keys().map(ToString::to_string).collect();
    let names = ["head.step.a", "workers.new[1]", "workers.new[1].step.a", "workers.old[1]"].map(|name| format!("cluster.c.{name}"));
    assert_eq!(there, names);
}

impl Entry {
    fn at(mut self, sequence: u64) -> Self {
        self.sequence = sequence;
        self
    }
}

#[test]
fn a_replacement_made_first_deposes_the_former_until_that_is_gone() {
    let mut records = vec![
        intent("o1", "a", &[], create(Value::NULL, false)),
        made("o1", "i-1"),
        intent("o2", "a", &[], create(Value::NULL, true)),
        made("o2", "i-2"),
    ];
    assert_eq!(ids(&folded(records.clone()), "a"), (Some("i-2".to_owned()), vec![("o1".to_owned(), "i-1".to_owned())]));
    records.push(intent("o3", "a", &[], delete("i-1", Some("o1"))));
    let mut failed = records.clone();
    failed.push(outcome("o3", OpResult::Failed { error: failure() }));
    assert_eq!(ids(&folded(failed), "a").1.len(), 1);
    records.push(outcome("o3", OpResult::Deleted));
    assert_eq!(ids(&folded(records.clone()), "a"), (Some("i-2".to_owned()), Vec::new()));
    records.extend([intent("o4", "a", &[], delete("i-2", None)), outcome("o4", OpResult::Deleted)]);
    assert!(folded(records).state.is_empty());
}

#[test]
fn an_entry_stays_listed_while_a_deposed_object_is_there() {
    let records = vec![
        intent("o1", "a", &[], create(Value::NULL, false)),
        made("o1", "i-1"),
        intent("o2", "a", &[], create(Value::NULL, true)),
        made("o2", "i-2"),
        intent("o3", "a", &[], delete("i-2", None)),
        outcome("o3", OpResult::Deleted),
        Record::Forgotten { address: address("a") },
        Record::Observed { address: address("a"), attributes: None },
    ];
    assert_eq!(ids(&folded(records), "a"), (None, vec![("o1".to_owned(), "i-1".to_owned())]));
}

#[test]
fn the_same_object_found_again_is_not_deposed() {
    let records = vec![
        intent("o1", "a", &[], create(Value::NULL, false)),
        made("o1", "i-1"),
        intent("o2", "a", &[], create(Value::NULL, true)),
        outcome("o2", OpResult::Object { object: object("i-1", "o1") }),
    ];
    assert_eq!(ids(&folded(records), "a"), (Some("i-1".to_owned()), Vec::new()));
}

#[test]
fn an_object_that_is_updated_keeps_its_place_and_one_that_vanished_goes() {
    let update = OpKind::Update { id: "i-1".to_owned(), changed: BTreeSet::from(["size".to_owned()]), attributes: Value::NULL };
    let base = vec![intent("o1", "a", &[], create(Value::NULL, false)), made("o1", "i-1"), intent("o2", "a", &["b"], update)];
    let with = |result| folded([base.clone(), vec![outcome("o2", result)]].concat());
    let changed = Object { attributes: value("size", 4_i64), ..object("i-1", "o1") };
    let ledger = with(OpResult::Object { object: changed.clone() });
    assert_eq!(ledger.state.resources[&address("a")].current.as_ref(), Some(&changed));
    assert_eq!(depends_on(&ledger, "a"), ["sim_token.b"]);
    assert_eq!(ids(&with(OpResult::Failed { error: failure() }), "a").0.as_deref(), Some("i-1"));
    assert!(with(OpResult::Deleted).state.is_empty());
}

#[test]
fn an_address_that_goes_hands_its_dependencies_on() {
    let chain =
        vec![pure("a", &[], Value::NULL), pure("b", &["a"], Value::NULL), pure("c", &["b"], Value::NULL), pure("d", &["c"], Value::NULL)];
    let ledger = folded([chain.clone(), vec![Record::Forgotten { address: address("b") }]].concat());
    assert_eq!(depends_on(&ledger, "c"), ["sim_token.a"]);
    let gone = vec![Record::Forgotten { address: address("b") }, Record::Pure { address: address("c"), entry: None }];
    let ledger = folded([chain, gone].concat());
    assert_eq!(depends_on(&ledger, "d"), ["sim_token.a"]);
}

#[test]
fn a_replacement_that_is_destroyed_first_gets_its_dependents_back() {
    let chain =
        vec![pure("a", &[], Value::NULL), pure("b", &["a"], Value::NULL), pure("c", &["b"], Value::NULL), pure("d", &["b"], Value::NULL)];
    let replaced = [Record::Forgotten { address: address("b") }, pure("d", &["a"], Value::NULL), pure("b", &["a"], Value::NULL)];
    let ledger = folded([chain, replaced.to_vec()].concat());
    assert_eq!(depends_on(&ledger, "c"), ["sim_token.b"]);
    // What said its edges anew in between is believed.
    assert_eq!(depends_on(&ledger, "d"), ["sim_token.a"]);
}

#[test]
fn a_step_that_failed_half_way_is_not_done_and_can_be_undone() {
    let step = intent("o1", "s", &[], run_step("make", value("script", "make")));
    let ledger = folded(vec![step.clone(), outcome("o1", OpResult::StepFailed { error: failure() })]);
    let object = ledger.state.resources[&address("s")].current.clone().unwrap();
    assert!(object.tainted && object.undo.is_some() && object.id == "i-1" && object.attributes.get("identity").is_none());
    let undo = OpKind::Undo { instance: "i-1".to_owned(), action: object.undo.unwrap() };
    let undone = vec![step, outcome("o1", OpResult::StepFailed { error: failure() }), intent("o2", "s", &[], undo)];
    assert!(folded([undone.clone(), vec![outcome("o2", OpResult::Deleted)]].concat()).state.is_empty());
    assert!(!folded([undone, vec![outcome("o2", OpResult::StepFailed { error: failure() })]].concat()).state.is_empty());
}

#[test]
fn a_step_that_was_done_and_fails_when_run_again_keeps_what_it_was() {
    let done = Object { attributes: value("identity", "x"), ..object("i-1", "o1") };
    let records = vec![
        intent("o1", "s", &[], run_step("make", Value::NULL)),
        outcome("o1", OpResult::Object { object: done.clone() }),
        intent("o2", "s", &[], run_step("make more", Value::NULL)),
        outcome("o2", OpResult::StepFailed { error: failure() }),
    ];
    let current = folded(records).state.resources[&address("s")].current.clone().unwrap();
    assert!(current.tainted && current.attributes == done.attributes);
    assert!(matches!(current.undo, Some(NodeAction::Run { script, .. }) if script == "undo make more"));
}

#[test]
fn what_is_known_beside_objects() {
    let facts = |name: &str| Record::Facts {
        facts: BTreeMap::from([(name.to_owned(), Value::from(name))]),
        providers: BTreeMap::from([(ProviderRef::new(name), Value::NULL)]),
    };
    let outputs = |name: &str| Record::Outputs {
        outputs: BTreeMap::from([(name.to_owned(), OutputState { value: Value::from("x"), sensitive: true })]),
    };
    let mut records = vec![facts("sim"), facts("other"), pure("a", &[], Value::NULL), outputs("one"), outputs("two")];
    let ledger = folded(records.clone());
    assert_eq!((ledger.state.facts.len(), ledger.state.providers.len()), (2, 2));
    assert_eq!(ledger.state.outputs.keys().collect::<Vec<_>>(), ["two"]);
    assert!(ledger.state.outputs["two"].value.is_sensitive());
    records.push(Record::Ended { ok: true });
    let ledger = folded(records.clone());
    assert_eq!((ledger.state.facts.len(), ledger.state.providers.keys().collect::<Vec<_>>()), (2, vec![&sim()]));
    records.extend([Record::Forgotten { address: address("a") }, Record::Ended { ok: true }]);
    let ledger = folded(records);
    assert!(ledger.state.facts.is_empty() && ledger.state.providers.is_empty());
}

#[test]
fn what_was_observed_and_rewired() {
    let rewired = Record::Rewired { address: address("a"), depends_on: set(&["b"]), create_before_destroy: true };
    let observed = Record::Observed { address: address("a"), attributes: Some(value("size", 9_i64)) };
    let ledger = folded(vec![rewired.clone(), observed.clone()]);
    assert!(ledger.state.is_empty());
    let ledger = folded(vec![pure("a", &[], Value::NULL), rewired, observed]);
    let slot = &ledger.state.resources[&address("a")];
    assert!(slot.create_before_destroy && slot.depends_on == set(&["b"]));
    assert_eq!(slot.current.as_ref().unwrap().attributes, value("size", 9_i64));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test of time reads the clock")]
fn destroying_many_takes_linear_time() {
    // Each of 20,000 depends on the one before; going through all of them for each would be 400,000,000 looks.
    let name = |i: usize| format!("n{i}");
    let mut records: Vec<Record> = (0..20_000).map(|i| pure(&name(i), &[&name(i.saturating_sub(1))], Value::NULL)).collect();
    records.extend((0..20_000).rev().map(|i| Record::Forgotten { address: address(&name(i)) }));
    let began = std::time::Instant::now();
    assert!(folded(records).state.is_empty());
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

pub(super) fn any_record() -> impl Strategy<Value = Record> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")];
    let op = prop_oneof![Just("o1"), Just("o2"), Just("o3")];
    let id = prop_oneof![Just("i-1"), Just("i-2"), Just("i-3")];
    let edges = prop::collection::vec(name.clone(), 0..3);
    let operation = (id.clone(), any::<bool>(), prop::option::of(op.clone()), 0..5_u8).prop_map(|(id, flag, deposed, which)| match which {
        0 => create(if flag { value("password", secret("hunter2")) } else { Value::NULL }, flag),
        1 => OpKind::Update { id: id.to_owned(), changed: BTreeSet::new(), attributes: Value::NULL },
        2 => delete(id, deposed),
        3 => run_step(id, if flag { secret("hunter2") } else { Value::NULL }),
        _ => OpKind::Undo { instance: id.to_owned(), action: NodeAction::HostKey { authorized_keys: vec!["hunter2".to_owned()] } },
    });
    let result = (id, op.clone(), 0..6_u8).prop_map(|(id, op, which)| match which {
        0 | 1 => OpResult::Object { object: object(id, op) },
        2 => OpResult::Deleted,
        3 => OpResult::Failed { error: failure() },
        4 => OpResult::StepFailed { error: failure() },
        _ => OpResult::Cleared,
    });
    prop_oneof![
        4 => (op.clone(), name.clone(), edges.clone(), operation).prop_map(|(op, name, edges, operation)| intent(op, name, &edges, operation)),
        4 => (op, result).prop_map(|(op, result)| outcome(op, result)),
        2 => (name.clone(), edges.clone(), any::<bool>()).prop_map(|(name, edges, secretly)| pure(name, &edges, if secretly { secret("hunter2") } else { Value::NULL })),
        1 => name.clone().prop_map(|name| Record::Forgotten { address: address(name) }),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Record::Moved { from: address(from), to: address(to) }),
        1 => (name.clone(), edges).prop_map(|(name, edges)| Record::Rewired { address: address(name), depends_on: set(&edges), create_before_destroy: true }),
        1 => (name, any::<bool>()).prop_map(|(name, gone)| Record::Observed { address: address(name), attributes: (!gone).then(|| value("size", 1_i64)) }),
        1 => any::<bool>().prop_map(|ok| Record::Ended { ok }),
    ]
}

proptest! {
    #[test]
    fn folding_twice_is_harmless_and_folding_in_pieces_is_folding(records in prop::collection::vec(any_record(), 0..30), cut in 0..30_usize) {
        let entries = entries(records);
        let once = entries.iter().fold(Ledger::default(), fold);
        let twice = entries.iter().fold(once.clone(), fold);
        prop_assert_eq!(&once, &twice);
        let cut = cut.min(entries.len());
        let first = entries[..cut].iter().fold(Ledger::default(), fold);
        // The second piece overlaps the first, as it does after a crash between writing the state and deleting the journal.
        let pieces = entries[cut / 2..].iter().fold(first, fold);
        prop_assert_eq!(&once, &pieces);
        prop_assert_eq!(serde_json::to_string(&once.state).unwrap(), serde_json::to_string(&pieces.state).unwrap());
    }

    #[test]
    fn no_entry_is_empty_and_no_object_is_there_twice(records in prop::collection::vec(any_record(), 0..40)) {
        let mut ledger = folded(records);
        for (address, slot) in &ledger.state.resources {
            prop_assert!(slot.current.is_some() || !slot.deposed.is_empty(), "{} is empty", address);
            if let Some(current) = &slot.current {
                prop_assert!(current.id.is_empty() || slot.deposed.values().all(|deposed| deposed.id != current.id));
            }
        }
        prop_assert!(ledger.dependents_are_right());
    }
}
