//! What costs time, held by counts: they are the same on a busy machine. Times are for `cloudtik-benches`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed; clippy knows tests by their attribute, not their helpers")]

mod counter;
mod large;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cloudtik::model::Value;
use cloudtik::model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik::planner::PlanJson;
use cloudtik::provider_api::{
    Answer, BoxFuture, Call, CallError, Capabilities, Cloud, Connection, DialTarget, Facts, Lowered, Provider, ProviderSchema, VALUE_KIND,
    ValueProvider,
};
use cloudtik::{Interrupt, PlanOptions, Project, ProjectOptions, Providers, Silent};
use cloudtik_sim::SimProvider;
use counter::{Counts, counted};

/// Allocations of compile and plan for a block of one attribute: it is read, checked, evaluated, and copied into the plan once. They were
/// 59 when this was written; a quarter more is room for a new field, not for a schema that is cloned.
const PER_BLOCK_MAX: u64 = 75;
/// The same for an instance of `for_each`, which is not read again: they were 38.
const PER_INSTANCE_MAX: u64 = 48;
/// The same for a block that is in the state and does not change: the state is read too. They were 92.
const PER_UNCHANGED_MAX: u64 = 115;
/// What the whole of an apply may wait for the disk: the first state, one group of records, the last state, their folders, the lock.
const FSYNCS_OF_AN_APPLY_MAX: u64 = 12;
/// Bytes that may be held at once while a plan is written as JSON, however long it is: those of one resource.
const JSON_HELD_MAX: i64 = 16 * 1024;
/// How much more the allocations for each of four times as many may be: maps grow in steps.
const GROWTH_MAX: f64 = 1.05;

fn blocks(count: usize) -> String {
    (0..count).map(|i| format!("resource \"value\" \"r{i}\" {{\n  input = \"the value of block {i}\"\n}}\n")).collect()
}

/// Every element takes the whole of a list of its own length: quadratic, if it were evaluated, copied or compared for each.
fn for_each(count: usize) -> String {
    format!(
        "locals {{\n  all = [for i in range({count}) : \"r${{i}}\"]\n}}\n\
         resource \"value\" \"r\" {{\n  for_each = toset([for name in local.all : name])\n  input = local.all\n}}\n"
    )
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(spec: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("main.hcl"), spec).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn project(&self) -> Project {
        Project::open(ProjectOptions::new(self.path()))
    }
}

fn plan(project: &Project) -> (Counts, bool) {
    counted(|| project.plan(&PlanOptions::default(), &Silent).unwrap().has_changes())
}

fn apply(project: &Project, options: &PlanOptions) -> (Counts, usize) {
    counted(|| {
        let applied = project.prepare(options, &Silent).unwrap().apply(Arc::new(Silent), &Interrupt::new()).unwrap();
        let counts = applied.summary.counts;
        counts.created + counts.deleted
    })
}

fn destroy() -> PlanOptions {
    PlanOptions { destroy: true, ..PlanOptions::default() }
}

/// Plans 1,000 and 4,000 and holds what one more costs.
#[track_caller]
fn linear(spec: fn(usize) -> String, each_max: u64) {
    let each = |count: usize| {
        let folder = Folder::new(&spec(count));
        let (counts, changes) = plan(&folder.project());
        assert!(changes);
        counts.allocations as f64 / count as f64
    };
    let (few, many) = (each(1_000), each(4_000));
    assert!(few <= each_max as f64, "{few} allocations each");
    assert!(many <= few * GROWTH_MAX, "{few} allocations each of 1,000, {many} each of 4,000");
}

#[test]
fn a_plan_allocates_the_same_for_every_block() {
    linear(blocks, PER_BLOCK_MAX);
}

/// Were the expression of `for_each` evaluated for every element, or the value copied, this would be quadratic.
#[test]
fn for_each_is_evaluated_once_and_its_values_are_shared() {
    linear(for_each, PER_INSTANCE_MAX);
}

#[test]
fn what_is_shared_takes_no_more_room_for_being_used_often() {
    let bytes = |items: usize| {
        let list = format!("locals {{\n  all = [for i in range({items}) : \"item number ${{i}}\"]\n}}\n");
        let spec = format!("{list}resource \"value\" \"r\" {{\n  count = 500\n  input = local.all\n}}\n");
        let folder = Folder::new(&spec);
        plan(&folder.project()).0.bytes
    };
    let (short, long) = (bytes(10), bytes(5_000));
    // 500 copies of 5,000 elements of 40 bytes would be 100 MB.
    assert!(long - short < 10_000_000, "{short} bytes with 10 elements, {long} with 5,000");
}

/// A tree of the whole would take several times what is written.
#[test]
fn a_plan_is_written_as_json_without_ever_being_one_tree() {
    for count in [1_000, 4_000] {
        let folder = Folder::new(&blocks(count));
        let planned = folder.project().plan(&PlanOptions::default(), &Silent).unwrap();
        let (counts, written) = counted(|| {
            let mut written = Written(0);
            serde_json::to_writer(&mut written, &PlanJson(&planned.plan)).unwrap();
            written.0
        });
        assert!(written > 500 * count, "{written} bytes of {count} blocks");
        assert!(counts.held_max < JSON_HELD_MAX, "{} bytes were held at once for {count} blocks", counts.held_max);
    }
}

/// Counts what is written.
struct Written(usize);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_plan_without_changes_allocates_the_same_for_every_block() {
    let each = |count: usize| {
        let folder = Folder::new(&blocks(count));
        let project = folder.project();
        assert_eq!(apply(&project, &PlanOptions::default()).1, count);
        let (counts, changes) = plan(&project);
        assert!(!changes);
        counts.allocations as f64 / count as f64
    };
    let (few, many) = (each(1_000), each(4_000));
    assert!(few <= PER_UNCHANGED_MAX as f64, "{few} allocations each");
    assert!(many <= few * GROWTH_MAX, "{few} allocations each of 1,000, {many} each of 4,000");
}

#[test]
fn an_apply_waits_for_the_disk_a_few_times_whatever_it_makes() {
    let fsyncs = |count: usize| {
        let folder = Folder::new(&blocks(count));
        let project = folder.project();
        let (applied, created) = apply(&project, &PlanOptions::default());
        assert_eq!(created, count);
        let (planned, _) = plan(&project);
        let (destroyed, deleted) = apply(&project, &destroy());
        assert_eq!((deleted, planned.fsyncs), (count, 0));
        (applied.fsyncs, destroyed.fsyncs)
    };
    let (applied, destroyed) = fsyncs(1_000);
    assert!((1..=FSYNCS_OF_AN_APPLY_MAX).contains(&applied), "{applied} of an apply");
    assert!((1..=FSYNCS_OF_AN_APPLY_MAX).contains(&destroyed), "{destroyed} of a destroy");
    assert_eq!(fsyncs(10), (applied, destroyed));
}

#[test]
fn values_start_no_thread() {
    let folder = Folder::new(&blocks(100));
    let project = folder.project();
    let (applied, _) = apply(&project, &PlanOptions::default());
    let (planned, _) = plan(&project);
    let (destroyed, _) = apply(&project, &destroy());
    assert_eq!((applied.threads, planned.threads, destroyed.threads), (0, 0, 0));
}

/// What was asked of a provider, and how often a connection was made.
#[derive(Default)]
struct Asked {
    calls: Mutex<Vec<String>>,
    connections: AtomicU64,
}

/// A provider that writes down what it is asked.
struct Watched<P> {
    inner: P,
    asked: Arc<Asked>,
}

struct WatchedCloud {
    inner: Arc<dyn Cloud>,
    asked: Arc<Asked>,
}

impl<P: Provider> Provider for Watched<P> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn schema(&self) -> &ProviderSchema {
        self.inner.schema()
    }

    fn capabilities(&self, provider: &cloudtik::model::ProviderRef, config: &Value, facts: &Facts) -> Option<Capabilities> {
        self.inner.capabilities(provider, config, facts)
    }

    fn lower_workspace(&self, config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
        self.inner.lower_workspace(config, workspace, facts)
    }

    fn lower_cluster(&self, config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceUse, facts: &Facts) -> Lowered {
        self.inner.lower_cluster(config, cluster, workspace, facts)
    }

    fn connect(&self, config: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        self.asked.connections.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(WatchedCloud { inner: self.inner.connect(config)?, asked: Arc::clone(&self.asked) }))
    }
}

impl Cloud for WatchedCloud {
    fn call(&self, call: Call) -> BoxFuture<'_, Answer> {
        self.asked.calls.lock().unwrap().push(format!("{} {}", call.verb.as_str(), call.kind));
        self.inner.call(call)
    }

    fn dial(&self, target: DialTarget) -> BoxFuture<'_, Result<Connection, CallError>> {
        self.asked.calls.lock().unwrap().push("dial".to_owned());
        self.inner.dial(target)
    }

    fn finish(&self) -> BoxFuture<'_, Result<(), CallError>> {
        self.inner.finish()
    }
}

/// A project whose providers write down what they are asked.
fn watched(folder: &Folder) -> (Project, Arc<Asked>) {
    let asked = Arc::new(Asked::default());
    let mut providers = Providers::new();
    providers.insert(VALUE_KIND, Arc::new(Watched { inner: ValueProvider::new(), asked: Arc::clone(&asked) }));
    providers.insert("sim", Arc::new(Watched { inner: SimProvider::new(), asked: Arc::clone(&asked) }));
    (Project::with_providers(ProjectOptions::new(folder.path()), providers), asked)
}

#[test]
fn values_ask_no_provider() {
    let folder = Folder::new(&blocks(20));
    let (project, asked) = watched(&folder);
    apply(&project, &PlanOptions::default());
    plan(&project);
    apply(&project, &destroy());
    assert_eq!((asked.calls.lock().unwrap().len(), asked.connections.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn a_plan_without_changes_lists_each_kind_once() {
    let spec = "provider \"sim\" {}\n\
        resource \"sim_token\" \"t\" {\n  count = 30\n  name = \"t${count.index}\"\n}\n\
        resource \"sim_named\" \"n\" {\n  count = 20\n  name = \"n${count.index}\"\n}\n";
    let folder = Folder::new(spec);
    let (project, asked) = watched(&folder);
    let (applied, created) = apply(&project, &PlanOptions::default());
    // The other side of `values_start_no_thread`: here there are calls, so there is a runtime.
    assert_eq!((created, applied.threads > 0), (50, true));
    asked.calls.lock().unwrap().clear();
    let (_, changes) = plan(&project);
    let mut calls = asked.calls.lock().unwrap().clone();
    calls.sort();
    assert_eq!((changes, calls), (false, vec!["list sim_named".to_owned(), "list sim_token".to_owned()]));
}
