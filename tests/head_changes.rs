//! Changes of clusters whose head a plan needs, on the simulator: groups that are renamed, and heads that do not answer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are no test functions to clippy")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloudtik::model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik::model::{Address, ControllerReply, ControllerRequest, NodeReply, NodeRequest, ProviderRef, Value};
use cloudtik::planner::Action;
use cloudtik::provider_api::{
    Answer, BoxFuture, Call, CallError, Capabilities, Cloud, Connection, DialTarget, ErrorClass, Facts, Lowered, Provider, ProviderSchema,
    ValueProvider,
};
use cloudtik::{Failure, Interrupt, PlanOptions, Planned, Project, ProjectOptions, Providers, Silent};

/// The simulated provider, with heads that may fall silent.
struct Mutable(cloudtik_sim::SimProvider, Arc<AtomicBool>);

struct MutableCloud(Arc<dyn Cloud>, Arc<AtomicBool>);

impl Provider for Mutable {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn schema(&self) -> &ProviderSchema {
        self.0.schema()
    }

    fn capabilities(&self, provider: &ProviderRef, config: &Value, facts: &Facts) -> Option<Capabilities> {
        self.0.capabilities(provider, config, facts)
    }

    fn lower_workspace(&self, config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
        self.0.lower_workspace(config, workspace, facts)
    }

    fn lower_cluster(&self, config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceUse, facts: &Facts) -> Lowered {
        self.0.lower_cluster(config, cluster, workspace, facts)
    }

    fn connect(&self, config: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        Ok(Arc::new(MutableCloud(self.0.connect(config)?, Arc::clone(&self.1))))
    }
}

impl Cloud for MutableCloud {
    fn call(&self, call: Call) -> BoxFuture<'_, Answer> {
        self.0.call(call)
    }

    fn dial(&self, target: DialTarget) -> BoxFuture<'_, Result<Connection, CallError>> {
        self.0.dial(target)
    }

    fn run_step<'a>(&'a self, instance: &'a str, request: &'a NodeRequest) -> Option<BoxFuture<'a, Result<NodeReply, CallError>>> {
        self.0.run_step(instance, request)
    }

    fn controller<'a>(
        &'a self,
        instance: &'a str,
        request: &'a ControllerRequest,
    ) -> Option<BoxFuture<'a, Result<ControllerReply, CallError>>> {
        if self.1.load(Ordering::SeqCst) {
            let silence = CallError::new(ErrorClass::Permanent, "head-unreachable", "nobody answers");
            return Some(Box::pin(std::future::ready(Err(silence))));
        }
        self.0.controller(instance, request)
    }
}

/// A project on the simulator.
struct Stage {
    folder: tempfile::TempDir,
    silent: Arc<AtomicBool>,
}

impl Stage {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), silent: Arc::default() }
    }

    fn project(&self) -> Project {
        let value: Arc<dyn Provider> = Arc::new(ValueProvider::new());
        let sim: Arc<dyn Provider> = Arc::new(Mutable(cloudtik_sim::SimProvider::new(), Arc::clone(&self.silent)));
        let providers: Providers = [("value", value), ("sim", sim)].into_iter().collect();
        Project::with_providers(ProjectOptions::new(self.folder.path()), providers)
    }

    /// Two clusters, the first one with these blocks.
    fn write(&self, blocks: &str, more: &str) {
        let cluster = |name: &str, blocks: &str| format!("cluster \"{name}\" {{\n  workspace = workspace.w\n  head {{}}\n{blocks}\n}}\n");
        let other = cluster("other", "workers \"g\" {}");
        let text = format!("provider \"sim\" {{}}\nworkspace \"w\" {{}}\n{}{other}{more}", cluster("c", blocks));
        std::fs::write(self.folder.path().join("main.hcl"), text).unwrap();
    }

    fn plan(&self, options: &PlanOptions) -> Planned {
        self.project().plan(options, &Silent).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    /// Applies, and says what was done.
    fn apply(&self, options: &PlanOptions) -> Result<usize, Box<Failure>> {
        let project = self.project();
        let prepared = project.prepare(options, &Silent).map_err(Box::new)?;
        let applied = prepared.apply(Arc::new(Silent), &Interrupt::new()).map_err(Box::new)?;
        Ok(applied.summary.addresses.len())
    }

    /// What was written down, whatever of it is folded into the state.
    fn journal_and_state(&self) -> String {
        let data = self.folder.path().join(".cloudtik");
        let journals = std::fs::read_dir(data.join("journal")).into_iter().flatten().map(|entry| entry.unwrap().path());
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        journals.map(|path| read(&path)).collect::<String>() + &read(&data.join("state.json"))
    }
}

fn actions(planned: &Planned) -> Vec<(String, Action)> {
    let changes = planned.plan.changes.iter().filter(|(_, change)| change.has_effect());
    changes.map(|(address, change)| (address.to_string(), change.action)).collect()
}

#[test]
fn a_renamed_group_is_changed_and_not_made_anew() {
    let stage = Stage::new();
    stage.write("workers \"old\" { min = 2 }", "");
    stage.apply(&PlanOptions::default()).unwrap();
    stage.write("workers \"new\" { min = 2 }", "moved {\n  from = cluster.c.workers.old\n  to   = cluster.c.workers.new\n}\n");
    let planned = stage.plan(&PlanOptions::default());
    let changed = ["cluster.c.head_controller", "cluster.c.workers.new"].map(|at| (at.to_owned(), Action::Update));
    assert_eq!(actions(&planned), changed);
    let new: Address = "cluster.c.workers.new".parse().unwrap();
    let names: Vec<&str> = planned.plan.changes[&new].attributes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(names, ["group", "template"]);
    assert!(planned.plan.notes.contains(&"cluster.c.workers.old is now cluster.c.workers.new".to_owned()), "{:?}", planned.plan.notes);
    // A plan writes nothing, and a saved one is applied as it is.
    assert!(!stage.journal_and_state().contains("workers.new"));
    let (project, file) = (stage.project(), stage.folder.path().join("plan"));
    planned.save(&project, &file).unwrap();
    let prepared = project.prepare_saved(&file, &PlanOptions::default(), &Silent).unwrap();
    prepared.apply(Arc::new(Silent), &Interrupt::new()).unwrap();
    let state = project.state().unwrap().unwrap();
    let groups: Vec<(String, String)> = state
        .resources
        .iter()
        .filter(|(_, entry)| &*entry.kind == "worker_group")
        .map(|(address, entry)| (address.to_string(), entry.current.as_ref().unwrap().id.clone()))
        .collect();
    assert_eq!(groups.len(), 2);
    assert!(groups[0].0 == "cluster.c.workers.new" && groups[0].1.ends_with("/new"), "{groups:?}");
    // The block may stay as long as anybody likes, and may go.
    assert_eq!(actions(&stage.plan(&PlanOptions::default())), []);
    stage.write("workers \"new\" { min = 2 }", "");
    assert_eq!(actions(&stage.plan(&PlanOptions::default())), [("cluster.c.head_controller".to_owned(), Action::Update)]);
    stage.apply(&PlanOptions::default()).unwrap();
    stage.apply(&PlanOptions { destroy: true, ..PlanOptions::default() }).unwrap();
}

#[test]
fn a_head_that_does_not_answer_is_said_before_anything_is_done() {
    let stage = Stage::new();
    stage.write("workers \"g\" {}", "");
    stage.apply(&PlanOptions::default()).unwrap();
    stage.silent.store(true, Ordering::SeqCst);
    // Whoever needs no head asks none.
    let notes = |planned: &Planned| planned.plan.notes.iter().filter(|note| note.contains("what it published last")).count();
    assert_eq!(notes(&stage.plan(&PlanOptions::default())), 0);
    assert_eq!(stage.apply(&PlanOptions::default()).unwrap(), 0);
    let elsewhere = "resource \"sim_token\" \"a\" { name = \"a\" }\n";
    stage.write("workers \"g\" {}", elsewhere);
    assert_eq!(stage.apply(&PlanOptions::default()).unwrap(), 1);
    // A change of the group, of the head's controller or of a step of the head needs it.
    for blocks in
        ["workers \"g\" { min = 2 }", "workers \"g\" {}\nworkers \"h\" {}", "workers \"g\" {}\nfiles = { \"a\" = { content = \"x\" } }"]
    {
        stage.write(blocks, "");
        let before = stage.journal_and_state();
        assert_eq!(notes(&stage.plan(&PlanOptions::default())), 1, "{blocks}");
        let failure = stage.apply(&PlanOptions::default()).unwrap_err();
        let errors: Vec<_> = failure.diagnostics.iter().collect();
        let [error] = errors.as_slice() else { panic!("{errors:?}") };
        assert!(error.code == "head-unreachable" && error.title.starts_with("the head of cluster.c is there"), "{error:?}");
        assert!(error.help.as_ref().unwrap().contains("--replace cluster.c.head"), "{error:?}");
        assert_eq!(stage.journal_and_state(), before, "nothing was begun");
    }
    // The other cluster, and the end of both, need nobody.
    let replace = PlanOptions { replace: ["cluster.c.head".parse().unwrap()].into(), ..PlanOptions::default() };
    assert_eq!(notes(&stage.plan(&replace)), 0);
    stage.apply(&PlanOptions { destroy: true, ..PlanOptions::default() }).unwrap();
}
