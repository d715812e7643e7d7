//! What goes wrong at the end of a command and fails nothing is told: nothing is dropped in silence.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are no test functions to clippy")]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use cloudtik::model::Value;
use cloudtik::model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik::provider_api::{
    Answer, BoxFuture, Call, CallError, Capabilities, Cloud, Connection, DialTarget, ErrorClass, Facts, Lowered, Provider, ProviderSchema,
    ValueProvider,
};
use cloudtik::{Event, Interrupt, Observer, PlanOptions, Project, ProjectOptions, Providers};

/// The simulated provider, with a cloud that cannot be let go of.
struct Clinging(cloudtik_sim::SimProvider);

struct ClingingCloud(Arc<dyn Cloud>);

impl Provider for Clinging {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn schema(&self) -> &ProviderSchema {
        self.0.schema()
    }

    fn capabilities(&self, provider: &cloudtik::model::ProviderRef, config: &Value, facts: &Facts) -> Option<Capabilities> {
        self.0.capabilities(provider, config, facts)
    }

    fn lower_workspace(&self, config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
        self.0.lower_workspace(config, workspace, facts)
    }

    fn lower_cluster(&self, config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceUse, facts: &Facts) -> Lowered {
        self.0.lower_cluster(config, cluster, workspace, facts)
    }

    fn connect(&self, config: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        Ok(Arc::new(ClingingCloud(self.0.connect(config)?)))
    }
}

impl Cloud for ClingingCloud {
    fn call(&self, call: Call) -> BoxFuture<'_, Answer> {
        self.0.call(call)
    }

    fn dial(&self, target: DialTarget) -> BoxFuture<'_, Result<Connection, CallError>> {
        self.0.dial(target)
    }

    fn finish(&self) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(std::future::ready(Err(CallError::new(ErrorClass::Transient, "held", "somebody holds it"))))
    }
}

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn event(&self, event: &Event) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

#[test]
fn what_could_not_be_put_in_order_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.hcl"), "resource \"sim_token\" \"a\" {\n  name = \"a\"\n}\n").unwrap();
    // A folder cannot be removed as the file that a key is.
    std::fs::create_dir_all(folder.path().join(".cloudtik/keys/op-1.bootstrap_host_key/x")).unwrap();
    std::fs::set_permissions(folder.path().join(".cloudtik"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let value: Arc<dyn Provider> = Arc::new(ValueProvider::new());
    let clinging: Arc<dyn Provider> = Arc::new(Clinging(cloudtik_sim::SimProvider::new()));
    let providers: Providers = [("value", value), ("sim", clinging)].into_iter().collect();
    let project = Project::with_providers(ProjectOptions::new(folder.path()), providers);
    let warnings = Arc::new(Warnings::default());
    let observer: Arc<dyn Observer> = Arc::clone(&warnings) as Arc<dyn Observer>;
    let applied = project.prepare(&PlanOptions::default(), &*observer).unwrap().apply(observer, &Interrupt::new()).unwrap();
    assert_eq!(applied.summary.counts.created, 1, "it fails nothing");
    let told = warnings.0.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("`sim`") && told[0].contains("somebody holds it"), "{told:?}");
    assert!(
        told[1].contains("`op-1.bootstrap_host_key`") && told[1].contains("could not be removed") && told[1].contains("directory"),
        "{told:?}"
    );
}
