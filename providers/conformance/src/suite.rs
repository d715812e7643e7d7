//! The suite itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cloudtik_model::{Address, ChangeWord, ProviderRef, Value};
use cloudtik_provider_api::{
    Answer, Call, CreateRequest, ErrorClass, Found, Idempotency, KindSchema, ObjectAnswer, ProviderSchema, Secret, UpdateRequest, Verb,
};

use crate::check_schema;

/// An object to try a kind with.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The kind.
    pub kind: String,
    /// What is asked for. An attribute that must be unique is given another value for each object by [`Subject::unique`].
    pub attributes: Value,
    /// For each attribute that changes in place, another value of it.
    pub updates: Vec<(String, Value)>,
    /// Secrets that a create needs.
    pub secrets: BTreeMap<String, Secret>,
}

/// A provider with all that the suite does to it.
pub trait Subject {
    /// Its schema.
    fn schema(&self) -> &ProviderSchema;
    /// The configuration that calls name.
    fn provider(&self) -> ProviderRef;
    /// Objects to try, at least one of each kind that the subject can make.
    fn samples(&mut self) -> Vec<Sample>;
    /// Makes a call and waits for its answer.
    fn call(&mut self, call: Call) -> Answer;
    /// Kills what can be killed of the other side, and of the connection to it, without a warning.
    fn crash(&mut self);
    /// Lets time pass.
    fn wait(&mut self, milliseconds: u64);
    /// The sample with another value for whatever no two objects may share.
    fn unique(&mut self, sample: &Sample, number: u64) -> Sample;
    /// Whether objects of a kind carry marks; those without are found by what they are alone.
    fn is_marked(&self, _kind: &str) -> bool {
        true
    }
    /// Whether a fence keeps older epochs from making objects of a kind.
    fn is_fenced(&self, _kind: &str) -> bool {
        true
    }
    /// Attributes that count what was done to an object of a kind: an update of others changes them.
    fn counters(&self, _kind: &str) -> &'static [&'static str] {
        &[]
    }
    /// How many objects were ever really made for an op id, as far as the other side's own books say; `None` where it keeps none.
    fn times_made(&mut self, op_id: &str) -> Option<usize>;
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub kind: String,
    /// What was tried.
    pub case: &'static str,
    /// Whether the other side crashed after every request.
    pub crashing: bool,
    /// What came of it.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let crashing = if self.crashing { ", crashing after each request" } else { "" };
        write!(f, "{}: {}{crashing}: {}", self.kind, self.case, self.what)
    }
}

/// What came of a run of the suite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Kind, case and whether it crashed after every request, of all that was as it must be.
    pub passed: Vec<(String, &'static str, bool)>,
    /// The rest.
    pub failed: Vec<Failure>,
}

impl Report {
    /// The failures as text, one line each.
    #[must_use]
    pub fn failures(&self) -> String {
        self.failed.iter().map(|failure| format!("{failure}\n")).collect()
    }
}

type Case = fn(&mut Bench<'_>) -> Result<(), String>;

const CASES: [(&str, Case); 9] = [
    ("a create gives what was asked for, and a read the same", create_and_read),
    ("a create whose answer was lost is settled to one object", lost_answer),
    ("a create that never arrived is settled to none", lost_request),
    ("an object is found by its tag alone", found_by_tag),
    ("an update in place changes what it names", update),
    ("a deleted object is gone, and a second delete says so", delete),
    ("what is not there is gone for every call", gone),
    ("a bulk read leaves out what is gone", list),
    ("a fence keeps older epochs from creating", fence),
];

/// Runs all cases on all samples, once as it is and once with a crash after every request.
pub fn run(subject: &mut dyn Subject) -> Report {
    let mut report = Report::default();
    for what in check_schema(subject.schema()) {
        report.failed.push(Failure { kind: "schema".to_owned(), case: "schema", crashing: false, what });
    }
    let samples = subject.samples();
    let tried: BTreeSet<&str> = samples.iter().map(|sample| sample.kind.as_str()).collect();
    for kind in subject.schema().kinds.values().filter(|kind| kind.class != Idempotency::Pure && !tried.contains(kind.name)) {
        let what = "there is no sample of it".to_owned();
        report.failed.push(Failure { kind: kind.name.to_owned(), case: "samples", crashing: false, what });
    }
    let mut number = 0;
    for crashing in [false, true] {
        for sample in &samples {
            for (name, case) in CASES {
                let Some(kind) = subject.schema().kinds.get(sample.kind.as_str()).cloned() else { continue };
                let mut bench = Bench { subject: &mut *subject, sample, kind, crashing, number: &mut number, made: Vec::new() };
                let result = case(&mut bench);
                let result = result.and_then(|()| bench.clean_up());
                match result {
                    Ok(()) => report.passed.push((sample.kind.clone(), name, crashing)),
                    Err(what) => report.failed.push(Failure { kind: sample.kind.clone(), case: name, crashing, what }),
                }
            }
        }
    }
    report
}

/// The tag with the op id.
const OP_TAG: &str = "cloudtik:op";

/// One case at work.
struct Bench<'a> {
    subject: &'a mut dyn Subject,
    sample: &'a Sample,
    kind: KindSchema,
    crashing: bool,
    number: &'a mut u64,
    made: Vec<String>,
}

impl Bench<'_> {
    fn call(&mut self, verb: Verb) -> Answer {
        let call = Call { provider: self.subject.provider(), address: self.address(), kind: self.kind.name.into(), verb, limit: None };
        let answer = self.subject.call(call);
        if self.crashing {
            self.subject.crash();
        }
        answer
    }

    fn address(&self) -> Address {
        Address::of(self.kind.name, "conformance")
    }

    /// A create that nobody made before.
    fn request(&mut self) -> CreateRequest {
        *self.number += 1;
        let number = *self.number;
        let sample = self.subject.unique(self.sample, number);
        let op_id = format!("conformance-{number}");
        let tags = [
            ("cloudtik:address".to_owned(), self.address().to_string()),
            ("cloudtik:lineage".to_owned(), "conformance".to_owned()),
            ("cloudtik:cluster".to_owned(), format!("conformance-{number}")),
            (OP_TAG.to_owned(), op_id.clone()),
        ];
        CreateRequest {
            token: op_id.clone(),
            op_id,
            epoch: 5,
            tags: tags.into_iter().collect(),
            attributes: sample.attributes,
            secrets: sample.secrets,
            batch: None,
        }
    }

    fn create(&mut self, request: CreateRequest) -> Result<ObjectAnswer, String> {
        match self.call(Verb::Create(request)) {
            Answer::Object(object) => {
                self.made.push(object.id.clone());
                Ok(object)
            }
            other => Err(format!("a create answered {other:?}")),
        }
    }

    fn read(&mut self, id: &str) -> Result<Option<ObjectAnswer>, String> {
        match self.call(Verb::Read { id: id.to_owned() }) {
            Answer::Read(object) => Ok(object),
            other => Err(format!("a read answered {other:?}")),
        }
    }

    fn find(&mut self, verb: Verb) -> Result<Vec<Found>, String> {
        match self.call(verb) {
            Answer::Found(found) => Ok(found),
            other => Err(format!("a search answered {other:?}")),
        }
    }

    fn by_tag(&mut self, op_id: &str) -> Result<Vec<Found>, String> {
        self.find(Verb::FindByTag { key: OP_TAG.to_owned(), value: op_id.to_owned() })
    }

    /// Finds out what became of a create as its class says: the object, if there is one.
    fn settle(&mut self, request: &CreateRequest, may_repeat: bool) -> Result<Option<ObjectAnswer>, String> {
        match self.kind.class {
            Idempotency::Token | Idempotency::Natural if may_repeat => self.create(request.clone()).map(Some),
            Idempotency::UniqueName => {
                let name = self.kind.unique_name.and_then(|name| request.attributes.get(name)).and_then(Value::as_str);
                let name = name.ok_or("the sample has no name")?.to_owned();
                let found = self.find(Verb::FindByName { name })?;
                match found.as_slice() {
                    [] => Ok(None),
                    [one] if one.tags.get(OP_TAG) == Some(&request.op_id) => Ok(Some(one.object.clone())),
                    other => Err(format!("a search by name found {other:?}")),
                }
            }
            _ => self.look(&request.op_id),
        }
    }

    /// Looks by op id until found, or until the window has passed and enough searches found nothing.
    fn look(&mut self, op_id: &str) -> Result<Option<ObjectAnswer>, String> {
        let (visibility_ms, reads) = match self.kind.class {
            Idempotency::TagAtCreate { visibility_ms, reads } => (visibility_ms, reads),
            _ => (0, 1),
        };
        for read in 0..=reads {
            let mut found = self.by_tag(op_id)?;
            match (found.pop(), found.pop()) {
                (Some(one), None) => return Ok(Some(one.object)),
                (Some(one), Some(two)) => return Err(format!("{} and {} carry one op id", one.object.id, two.object.id)),
                (None, _) if read < reads => self.subject.wait(visibility_ms.div_ceil(u64::from(reads))),
                (None, _) => {}
            }
        }
        Ok(None)
    }

    fn once(&mut self, op_id: &str) -> Result<(), String> {
        match self.subject.times_made(op_id) {
            Some(1) | None => Ok(()),
            Some(times) => Err(format!("it was made {times} times")),
        }
    }

    /// Removes what the case made.
    fn clean_up(&mut self) -> Result<(), String> {
        for id in std::mem::take(&mut self.made) {
            match self.call(Verb::Delete { id, data: false }) {
                Answer::Done => {}
                Answer::Failed(error) if error.class == ErrorClass::Gone => {}
                other => return Err(format!("a delete answered {other:?}")),
            }
        }
        Ok(())
    }
}

fn create_and_read(bench: &mut Bench<'_>) -> Result<(), String> {
    let request = bench.request();
    let made = bench.create(request.clone())?;
    agree(&request.attributes, &made.attributes)?;
    for attribute in &bench.kind.attributes {
        match made.attributes.get(attribute.name) {
            None => return Err(format!("`{}` is not in the answer", attribute.name)),
            Some(value) if attribute.sensitive && !value.is_null() && !value.is_sensitive() => {
                return Err(format!("`{}` is not marked as sensitive", attribute.name));
            }
            Some(_) => {}
        }
    }
    let read = bench.read(&made.id)?.ok_or("what was made is not there")?;
    if read != made {
        return Err(format!("the create answered {made:?} and the read {read:?}"));
    }
    bench.once(&request.op_id)
}

fn lost_answer(bench: &mut Bench<'_>) -> Result<(), String> {
    let request = bench.request();
    let made = bench.create(request.clone())?;
    // The answer is thrown away here: from now on only the request is known.
    bench.subject.crash();
    let settled = bench.settle(&request, true)?.ok_or("it was made and is not found")?;
    if settled.id != made.id {
        return Err(format!("it is {} and settlement found {}", made.id, settled.id));
    }
    if bench.kind.class == Idempotency::UniqueName {
        match bench.call(Verb::Create(CreateRequest { op_id: "another".to_owned(), token: "another".to_owned(), ..request.clone() })) {
            Answer::Failed(error) if error.class == ErrorClass::Conflict => {}
            other => return Err(format!("a second create of the name answered {other:?}")),
        }
    }
    bench.once(&request.op_id)
}

fn lost_request(bench: &mut Bench<'_>) -> Result<(), String> {
    let request = bench.request();
    match bench.settle(&request, false)? {
        None => Ok(()),
        Some(object) => Err(format!("it was never asked for, and is {}", object.id)),
    }
}

fn found_by_tag(bench: &mut Bench<'_>) -> Result<(), String> {
    if !bench.subject.is_marked(bench.kind.name) {
        return Ok(());
    }
    let (one, two) = (bench.request(), bench.request());
    let made = bench.create(one.clone())?;
    bench.create(two)?;
    let found = bench.look(&one.op_id)?.ok_or("it is not found by its op id")?;
    if found.id == made.id { Ok(()) } else { Err(format!("it is {} and the search found {}", made.id, found.id)) }
}

fn update(bench: &mut Bench<'_>) -> Result<(), String> {
    let live = |name: &str| bench.kind.attribute(name).is_some_and(|attribute| attribute.change == ChangeWord::Live);
    if let Some((name, _)) = bench.sample.updates.iter().find(|(name, _)| !live(name)) {
        return Err(format!("`{name}` does not change in place, so the sample is wrong"));
    }
    let missing = bench.kind.attributes.iter().find(|attribute| {
        attribute.change == ChangeWord::Live
            && attribute.is_settable()
            && !bench.sample.updates.iter().any(|(name, _)| name == attribute.name)
    });
    if let Some(attribute) = missing {
        return Err(format!("the sample has no other value of `{}`", attribute.name));
    }
    let request = bench.request();
    let mut now = bench.create(request.clone())?;
    let mut wanted = request.attributes.entries().cloned().unwrap_or_default();
    for (number, (name, value)) in bench.sample.updates.clone().into_iter().enumerate() {
        wanted.insert(name.as_str().into(), value);
        let update = UpdateRequest {
            epoch: 1,
            id: now.id.clone(),
            op_id: format!("{}-update-{number}", request.op_id),
            changed: [name.clone()].into_iter().collect(),
            attributes: Value::object(wanted.clone()),
            before: now.attributes.clone(),
            marks: BTreeMap::new(),
        };
        // Made twice, as after a lost answer.
        for _ in 0..2 {
            match bench.call(Verb::Update(update.clone())) {
                Answer::Object(object) if object.id == now.id => agree(&update.attributes, &object.attributes)?,
                other => return Err(format!("an update of `{name}` answered {other:?}")),
            }
        }
        let after = bench.read(&now.id)?.ok_or("the object went with an update")?;
        agree(&update.attributes, &after.attributes)?;
        // What follows from what is given has to follow it.
        let derived = bench.kind.derive.map(|derive| derive(&after.attributes)).unwrap_or_default();
        if let Some((other, value)) = derived.iter().find(|(other, value)| after.attributes.get(other) != Some(value)) {
            return Err(format!("after the update of `{name}`, `{other}` is not {value:?}"));
        }
        let counters = bench.subject.counters(bench.kind.name);
        let is_derived = |other: &str| counters.contains(&other) || derived.iter().any(|(derived, _)| *derived == other);
        let others = bench.kind.attributes.iter().map(|attribute| attribute.name).filter(|other| **other != name && !is_derived(other));
        for other in others {
            if now.attributes.get(other) != after.attributes.get(other) {
                return Err(format!("the update of `{name}` changed `{other}`"));
            }
        }
        now = after;
    }
    Ok(())
}

fn delete(bench: &mut Bench<'_>) -> Result<(), String> {
    let request = bench.request();
    let made = bench.create(request.clone())?;
    match bench.call(Verb::Delete { id: made.id.clone(), data: false }) {
        Answer::Done => {}
        other => return Err(format!("a delete answered {other:?}")),
    }
    if bench.read(&made.id)?.is_some() {
        return Err("it is still there after its delete".to_owned());
    }
    if !bench.by_tag(&request.op_id)?.is_empty() {
        return Err("it is still found after its delete".to_owned());
    }
    match bench.call(Verb::Delete { id: made.id, data: false }) {
        Answer::Failed(error) if error.class == ErrorClass::Gone => Ok(()),
        other => Err(format!("a second delete answered {other:?}")),
    }
}

fn gone(bench: &mut Bench<'_>) -> Result<(), String> {
    let request = bench.request();
    let made = bench.create(request.clone())?;
    bench.call(Verb::Delete { id: made.id.clone(), data: false });
    let update = UpdateRequest {
        epoch: 1,
        id: made.id.clone(),
        op_id: format!("{}-update", request.op_id),
        changed: BTreeSet::new(),
        attributes: request.attributes,
        before: made.attributes,
        marks: BTreeMap::new(),
    };
    match bench.call(Verb::Update(update)) {
        Answer::Failed(error) if error.class == ErrorClass::Gone => Ok(()),
        other => Err(format!("an update of what is gone answered {other:?}")),
    }
}

fn list(bench: &mut Bench<'_>) -> Result<(), String> {
    let (one, two) = (bench.request(), bench.request());
    let (one, two) = (bench.create(one)?, bench.create(two)?);
    bench.call(Verb::Delete { id: one.id.clone(), data: false });
    let found = bench.find(Verb::List { ids: [one.id, two.id.clone()].into_iter().collect() })?;
    match found.as_slice() {
        [found] if found.object == two => Ok(()),
        other => Err(format!("of one object that is there and one that is gone the answer is {other:?}")),
    }
}

fn fence(bench: &mut Bench<'_>) -> Result<(), String> {
    if !bench.subject.is_fenced(bench.kind.name) {
        return Ok(());
    }
    let request = bench.request();
    let cluster = request.tags.get("cloudtik:cluster").cloned().unwrap_or_default();
    match bench.call(Verb::Fence { cluster, epoch: 6, ends: false }) {
        Answer::Done => {}
        other => return Err(format!("a fence answered {other:?}")),
    }
    match bench.call(Verb::Create(request.clone())) {
        Answer::Failed(error) if error.class == ErrorClass::Permanent => {}
        other => return Err(format!("a create of an older epoch answered {other:?}")),
    }
    bench.create(CreateRequest { epoch: 6, ..request }).map(drop)
}

/// Whether an answer says what was asked, and at most adds to it.
fn agree(asked: &Value, answered: &Value) -> Result<(), String> {
    let same = |asked: &Value, answered: &Value| match (asked.elements(), answered.elements()) {
        (Some(asked), Some(answered)) => asked.len() == answered.len() && asked.zip(answered).all(|(asked, answered)| asked == answered),
        _ => asked == answered,
    };
    for (name, asked) in asked.entries().into_iter().flatten().filter(|(_, asked)| !asked.is_null()) {
        match answered.get(name) {
            Some(answered) if same(asked, answered) => {}
            other => return Err(format!("`{name}` was to be {asked:?} and is {other:?}")),
        }
    }
    Ok(())
}
