//! The formats on disk: the fixtures of version 1, other versions, saved plans, and states of size.

use std::path::Path;

use cloudtik_model::{
    Argument, Condition, ConditionKind, Expr, ExprKind, Folded, Judged, ModuleSpec, OutputState, State, StateEntry, Type,
};
use cloudtik_planner::{Estimate, PLAN_VERSION, Plan, Settled};
use cloudtik_provider_api::Batch;

use super::super::{payload, state_store};
use super::*;

const KEY: [u8; 32] = [7; 32];
const LINEAGE: &str = "0123456789abcdef0123456789abcdef";

fn vault() -> Vault {
    let mut keys = MemoryKeys::default();
    keys.create(STATE_KEY, &KEY).unwrap();
    Vault::new(Box::new(keys), Box::new(SeededEntropy::new(1)))
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A state with everything in it that a state of version 1 can have.
fn state_v1() -> State {
    let undo = NodeAction::File {
        path: "/etc/x".to_owned(),
        mode: "0600".to_owned(),
        owner: None,
        content: Some("hunter2".to_owned()),
        artifact: None,
    };
    let attributes = Value::object([
        ("password", secret("hunter2")),
        ("size", Value::from(3_i64)),
        ("ratio", "0.1".parse::<cloudtik_model::Number>().unwrap().into()),
        ("names", Value::set(["a", "b"].map(Value::from))),
        ("tags", Value::map([("owner", Value::from("us"))])),
        ("list", Value::list([Value::NULL, Value::from(true)])),
    ]);
    let full = Object {
        attributes,
        undo: Some(undo),
        public_keys: BTreeMap::from([("host_key".to_owned(), "ssh-ed25519 AAAA".to_owned())]),
        tainted: true,
        ..object("i-2", "o2")
    };
    let entry = StateEntry {
        kind: "sim_token".into(),
        provider: sim(),
        current: Some(full),
        deposed: BTreeMap::from([("o1".to_owned(), object("i-1", "o1"))]),
        depends_on: set(&["b"]),
        create_before_destroy: true,
    };
    let plain = StateEntry {
        current: Some(object("i-3", "o3")),
        deposed: BTreeMap::new(),
        depends_on: set(&[]),
        create_before_destroy: false,
        ..entry.clone()
    };
    State {
        version: 1,
        lineage: LINEAGE.to_owned(),
        serial: 4,
        epoch: 2,
        folded: Some(Folded { run: "r1".to_owned(), sequence: 6 }),
        resources: BTreeMap::from([(address("a"), entry), ("cluster.c[\"x/~y\"].head".parse().unwrap(), plain)]),
        facts: BTreeMap::from([("local.isolation".to_owned(), Value::from("plain"))]),
        outputs: BTreeMap::from([("password".to_owned(), OutputState { value: secret("hunter2"), sensitive: true })]),
        providers: BTreeMap::from([(sim(), Value::object([("seed", Value::from(1_i64))]))]),
    }
}

/// A journal after that state with every kind of record in it, the last intent open.
fn records_v1() -> Vec<Record> {
    let key = crate::SecretRef { file: "o5.host_key".to_owned(), digest: Digest::of("k"), public: "ssh-ed25519 AAAA".to_owned() };
    let OpKind::Create { token, tags, attributes, chosen, schema_version, .. } = create(value("password", secret("hunter2")), true) else {
        panic!()
    };
    let with_key = OpKind::Create {
        token,
        tags,
        attributes,
        chosen,
        schema_version,
        secrets: BTreeMap::from([("host_key".to_owned(), key)]),
        deposes: true,
        batch: None,
    };
    let OpKind::Run { action, .. } = run_step("echo hunter2", Value::NULL) else { panic!() };
    let update = OpKind::Update { id: "i-2".to_owned(), changed: BTreeSet::from(["size".to_owned()]), attributes: value("size", 4_i64) };
    let rewired = Record::Rewired { address: address("a"), depends_on: set(&["c"]), create_before_destroy: false };
    vec![
        Record::Started { version: 1, command: "apply".to_owned(), tool_version: "0.1.0".to_owned() },
        Record::Facts { facts: BTreeMap::from([("zones".to_owned(), Value::list(["z1"].map(Value::from)))]), providers: BTreeMap::new() },
        intent("o5", "a", &["b"], with_key),
        made("o5", "i-5"),
        intent("o6", "a", &["b"], update),
        outcome("o6", OpResult::Failed { error: failure() }),
        intent("o7", "a", &["b"], delete("i-2", Some("o2"))),
        outcome("o7", OpResult::Deleted),
        intent("o8", "s", &["a"], run_step("echo hunter2", secret("echo hunter2"))),
        outcome("o8", OpResult::StepFailed { error: failure() }),
        intent("o9", "s", &["a"], OpKind::Undo { instance: "i-1".to_owned(), action }),
        outcome("o9", OpResult::Cleared),
        pure("p", &["a"], value("n", secret("hunter2"))),
        rewired,
        Record::Observed { address: address("a"), attributes: Some(value("size", 5_i64)) },
        Record::Forgotten { address: address("q") },
        Record::Outputs { outputs: BTreeMap::from([("n".to_owned(), OutputState { value: Value::from(1_i64), sensitive: false })]) },
        Record::Ended { ok: false },
        intent("o10", "z", &[], create(Value::NULL, false)),
    ]
}

/// Writes the files that a version leaves to all later ones. Never again for a version that was given to anybody.
#[test]
#[ignore = "writes the fixtures of a new version"]
fn write_the_fixtures() {
    let mut vault = vault();
    std::fs::create_dir_all(fixture("")).unwrap();
    std::fs::write(fixture("state-v1.json"), state_store::encode(&state_v1(), &mut vault).unwrap()).unwrap();
    let mut ledger = Ledger::new(state_v1());
    let mut frames = vec![Frame { sequence: 7, epoch: 3, run: "r2".to_owned(), kind: FrameKind::Seal, payload: Vec::new() }];
    for (record, sequence) in records_v1().into_iter().zip(8..) {
        let mut entry = Entry { sequence, epoch: 3, run: "r2".to_owned(), record: None };
        frames.push(payload::encode(&entry, &record, &ledger.state, &mut vault).unwrap());
        entry.record = Some(record);
        ledger.take(&entry);
    }
    let batches = super::super::frame::encode_batch(&frames).unwrap();
    std::fs::write(fixture("journal-v1.log"), [b"cloudtik journal 1\n", batches.as_slice()].concat()).unwrap();
}

#[test]
fn version_1_is_read() {
    let text = std::fs::read(fixture("state-v1.json")).unwrap();
    assert!(!String::from_utf8_lossy(&text).contains("hunter2"));
    let state = state_store::decode(&fixture("state-v1.json"), &text, &mut vault()).unwrap();
    assert_eq!(state, state_v1());
    let password = |state: &State| state.resources[&address("a")].current.as_ref().unwrap().attributes.get("password").cloned().unwrap();
    assert!(password(&state).is_sensitive());

    let journal = std::fs::read(fixture("journal-v1.log")).unwrap();
    assert!(!String::from_utf8_lossy(&journal).contains("hunter2"));
    let disk = MemoryDisk::default();
    disk.put(Path::new("/p/.cloudtik/keys/state.key"), KEY.to_vec());
    disk.put(Path::new("/p/.cloudtik/state.json"), text);
    disk.put(Path::new("/p/.cloudtik/journal/000003-000000000007.log"), journal);
    let session = on_disk(&disk).unwrap();
    let numbered = records_v1().into_iter().zip(8..);
    let model = numbered.fold(Ledger::new(state_v1()), |ledger, (record, sequence)| {
        fold(ledger, &Entry { sequence, epoch: 3, run: "r2".to_owned(), record: Some(record) })
    });
    assert_eq!(session.ledger(), &model);
    assert_eq!((session.epoch(), session.open_intents().len(), session.ledger().sequence()), (3, 1, 26));
}

#[test]
fn every_record_is_written_and_read() {
    let mut vault = vault();
    // What came after the fixture was written; whoever wrote it knows no such record.
    let moved = Record::Moved { from: address("a"), to: address("b") };
    let mut together = create(value("password", secret("hunter2")), false);
    if let OpKind::Create { batch, .. } = &mut together {
        *batch = Some(Batch { id: "o11".to_owned(), numbers: vec![1, 3], index: 1 });
    }
    for record in records_v1().into_iter().chain([moved, intent("o11.1", "t", &[], together)]) {
        let entry = Entry { sequence: 9, epoch: 3, run: "r2".to_owned(), record: Some(record.clone()) };
        let frame = payload::encode(&entry, &record, &state_v1(), &mut vault).unwrap();
        assert!(!String::from_utf8_lossy(&frame.payload).contains("hunter2"), "{record:?}");
        assert_eq!(payload::decode(frame.clone(), LINEAGE, &mut vault, Path::new("j")).unwrap(), entry);
        let moved = Frame { sequence: 10, ..frame.clone() };
        let sealed = String::from_utf8_lossy(&frame.payload).contains("$encrypted\":{");
        assert_eq!(payload::decode(moved, LINEAGE, &mut vault, Path::new("j")).is_err(), sealed, "{record:?}");
    }
}

#[test]
fn other_versions_say_what_they_are() {
    let mut vault = vault();
    let path = Path::new("state.json");
    let mut decoded = |text: &str| state_store::decode(path, text.as_bytes(), &mut vault).unwrap_err();
    for text in [
        "{\"version\": 2, \"lineage\": \"l\", \"serial\": 1, \"epoch\": 0}",
        "{\"version\": 2, \"future\": true}",
        "{\"version\": 2, \"future\": {\"$encrypted\": 1}}",
    ] {
        let error = decoded(text);
        assert!(matches!(error, DurableError::StateNewer { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_diagnostic().help.unwrap().contains("upgrade"));
    }
    for text in ["", "[]", "{\"version\": 0}", "{}", "{\"version\": 1, \"lineage\": 5}", "null", "\u{0}\u{0}\u{0}"] {
        assert!(matches!(decoded(text), DurableError::StateDamaged { .. }), "{text}");
    }
    let error = decoded("{\n  \"version\": 1,\n  \"lineage\": \"l\",\n  \"serial\": x");
    assert!(matches!(error, DurableError::StateDamaged { offset: 48, .. }), "{error}");

    let newer = Frame { sequence: 1, epoch: 1, run: "r".to_owned(), kind: FrameKind::Other, payload: b"{\"version\": 2}".to_vec() };
    assert!(matches!(payload::decode(newer.clone(), "l", &mut vault, path), Err(DurableError::JournalNewer { .. })));
    for payload in [&b"{"[..], b"", b"{\"version\": 1}", b"{\"version\": 1, \"entry\": {\"record\": \"later\"}}", b"\xff"] {
        let frame = Frame { payload: payload.to_vec(), ..newer.clone() };
        assert!(matches!(payload::decode(frame, "l", &mut vault, path), Err(DurableError::JournalDamaged { .. })));
    }
}

#[test]
fn a_state_without_secrets_is_plain_json_for_people() {
    let mut state = state_v1();
    state.resources.remove(&address("a"));
    state.outputs.clear();
    let bytes = state_store::encode(&state, &mut vault()).unwrap();
    assert!(bytes.starts_with(b"{\n  \"version\": 1,\n  \"lineage\": "));
    assert_eq!(serde_json::from_slice::<State>(&bytes).unwrap(), state);
}

#[test]
fn a_long_state_is_written_and_read() {
    let one = state_v1().resources.into_values().last().unwrap();
    let name = |i: usize| address(&format!("n{i}"));
    let resources = (0..500).map(|i| (name(i), StateEntry { depends_on: [name(i / 2)].into(), ..one.clone() })).collect();
    let state = State { resources, outputs: BTreeMap::new(), ..state_v1() };
    for outputs in [BTreeMap::new(), state_v1().outputs] {
        let state = State { outputs, ..state.clone() };
        let bytes = state_store::encode(&state, &mut vault()).unwrap();
        assert_eq!(state_store::decode(Path::new("state.json"), &bytes, &mut vault()).unwrap(), state);
    }
}

fn plan() -> Plan {
    Plan {
        version: PLAN_VERSION,
        tool_version: "0.1.0".to_owned(),
        destroy: false,
        refresh_only: false,
        offline: false,
        lineage: LINEAGE.to_owned(),
        serial: 4,
        folded: Some(Folded { run: "r1".to_owned(), sequence: 6 }),
        schema_versions: BTreeMap::from([("sim".to_owned(), 1)]),
        providers: BTreeMap::new(),
        facts: BTreeMap::from([("f".to_owned(), Value::from("1.50".parse::<cloudtik_model::Number>().unwrap()))]),
        pinned: BTreeSet::from(["f".to_owned()]),
        changes: BTreeMap::new(),
        outputs: BTreeMap::new(),
        settled: vec![Settled { op_id: "o1".to_owned(), address: address("a"), adopted: true, text: "found".to_owned() }],
        notes: vec!["a note".to_owned()],
        sources: BTreeMap::from([("main.hcl".to_owned(), Arc::from("output \"x\" {}"))]),
        variables: BTreeMap::from([("password".to_owned(), secret("hunter2"))]),
        moved: BTreeMap::from([(address("a"), address("b"))]),
        moved_order: vec![address("a")],
        modules: BTreeMap::from([(
            "module.m".parse().unwrap(),
            ModuleSpec {
                source: "./m".to_owned(),
                arguments: BTreeMap::from([("a".to_owned(), Argument::Constant(1_u64.into()))]),
                variables: BTreeMap::from([("a".to_owned(), false)]),
                outputs: BTreeMap::from([("b".to_owned(), true)]),
            },
        )]),
        partial: false,
        time: Some("2025-01-31T12:00:00Z".to_owned()),
        conditions: vec![Condition {
            kind: ConditionKind::Postcondition,
            of: "aws_vpc.main".to_owned(),
            address: Some(address("c")),
            condition: Value::deferred(Type::Bool, Expr::from(ExprKind::Reference(address("c"))).attribute("is_default")),
            message: "it must be".into(),
            place: Some("main.hcl:2:3".to_owned()),
            span: cloudtik_model::Span::NONE,
        }],
        judged: vec![Judged { of: "aws_vpc.main".to_owned(), address: Some(address("c")), problem: None }],
        expected: Some(Estimate { calls: 3, waiting_calls: 1, ms: 500 }),
        compared_with: Some("the spec in `b`".to_owned()),
    }
}

#[test]
fn a_plan_is_saved_for_its_owner_and_loaded_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tf.plan");
    std::fs::write(&path, "what was there before").unwrap();
    save_plan(&path, &plan(), &mut vault()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let loaded = load_plan(&path, &mut vault()).unwrap();
    assert_eq!(loaded, plan());
    assert!(loaded.variables["password"].is_sensitive());

    let other = || Vault::new(Box::new(MemoryKeys::default()), Box::new(SeededEntropy::new(1)));
    assert!(matches!(load_plan(&path, &mut other()), Err(DurableError::KeyMissing { .. })));
    assert!(matches!(load_plan(&folder.path().join("no"), &mut vault()), Err(DurableError::Io { .. })));
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(load_plan(&path, &mut vault()), Err(DurableError::PlanDamaged { .. })));
    std::fs::write(&path, String::from_utf8(bytes).unwrap().replace("\"version\":1", "\"version\":9")).unwrap();
    let error = load_plan(&path, &mut vault()).unwrap_err();
    assert!(matches!(error, DurableError::PlanVersion { found: 9, .. }), "{error}");
}

#[test]
fn text_rendered_from_secrets_is_sealed_in_a_plan() {
    let template = serde_json::json!({"steps": [{"name": "t", "bindings": {"p": {"$sensitive": "x"}}, "preview": "p=x"}, {"bindings": {}, "preview": "q"}]});
    let mut found = Vec::new();
    super::super::plan_file::plain_places(&template, &mut String::new(), &mut found);
    assert_eq!(found, ["/steps/0/preview"]);
}
