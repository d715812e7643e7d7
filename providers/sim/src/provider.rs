//! The simulated cloud behind the provider traits: for `--provider sim`. The world is a file, so that one process can plan what another
//! applied; who calls holds the lock beside it for as long as the call.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cloudtik_model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{
    Address, ControllerReply, ControllerRequest, Diagnostic, Diagnostics, NodeReply, NodeRequest, ProviderConfig, ProviderRef, Value,
};
use cloudtik_provider_api::{
    Answer, BoxFuture, Call, CallError, Capabilities, Capability, Cloud, Connection, DialTarget, ErrorClass, Facts, HEAD_CONTROLLER_KIND,
    Lowered, Provider, ProviderSchema, SIMULATED, TEMPLATES_BY_SIZE, TEMPLATES_WITH_GPUS,
};

use crate::faults::FaultRates;
use crate::{SimCloud, SimConfig, SimEvent, World, kinds, lower};

/// The type of the provider.
pub const SIM_PROVIDER: &str = "sim";

/// The pure half.
pub struct SimProvider {
    schema: ProviderSchema,
}

impl SimProvider {
    /// The provider.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: kinds::sim_schema() }
    }
}

impl Default for SimProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for SimProvider {
    fn name(&self) -> &'static str {
        SIM_PROVIDER
    }

    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    fn templates(&self) -> &'static [&'static str] {
        &[TEMPLATES_BY_SIZE, TEMPLATES_WITH_GPUS]
    }

    fn check_config(&self, config: &ProviderConfig) -> Diagnostics {
        let mut found = Diagnostics::new();
        if let Err(error) = rates_of(&config.attributes) {
            found.push(Diagnostic::error("sim-profile", error.message).at(config.span).maybe_help(error.help));
        }
        found
    }

    fn capabilities(&self, _provider: &ProviderRef, _config: &Value, _facts: &Facts) -> Option<Capabilities> {
        Some(Capability::ALL.into_iter().collect())
    }

    fn lower_workspace(&self, _config: &Value, workspace: &WorkspaceSpec, _facts: &Facts) -> Lowered {
        lower::workspace(workspace)
    }

    fn lower_cluster(&self, _config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceUse, _facts: &Facts) -> Lowered {
        lower::cluster(cluster, workspace)
    }

    fn notes(&self, provider: &ProviderRef, _config: &Value, _facts: &Facts) -> Vec<String> {
        vec![format!("{provider}: everything is simulated; nothing is made and no step is executed")]
    }

    fn connect(&self, config: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        let seed = config.get("seed").and_then(Value::as_number).and_then(|seed| seed.as_u64()).unwrap_or(0);
        let root = config.get("root").and_then(Value::as_str).unwrap_or(".cloudtik/sim");
        Ok(Arc::new(SimConnection::new(root, seed, rates_of(config)?)))
    }
}

fn rates_of(config: &Value) -> Result<FaultRates, CallError> {
    match config.get("profile").and_then(Value::as_str).unwrap_or("calm") {
        "calm" => Ok(FaultRates::CALM),
        "stormy" => Ok(FaultRates::STORMY),
        other => {
            Err(CallError::new(ErrorClass::Permanent, "sim-profile", format!("there is no profile `{other}`")).help("`calm` or `stormy`"))
        }
    }
}

/// The effectful half: a world in a file.
pub struct SimConnection {
    root: PathBuf,
    seed: u64,
    rates: FaultRates,
    /// The world as it was last read or written, and the file it was then.
    cache: Mutex<Option<(FileId, World)>>,
}

/// Tells one version of the file from another: each is a file of its own that was renamed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl SimConnection {
    /// The world in a folder, which is made with the first call.
    pub fn new(root: impl Into<PathBuf>, seed: u64, rates: FaultRates) -> Self {
        Self { root: root.into(), seed, rates, cache: Mutex::new(None) }
    }

    /// The world as it is, for tests and for whoever wants to look.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn world(&self) -> io::Result<World> {
        let _lock = self.lock()?;
        self.load()
    }

    /// Lets `work` see the world and change it. The change is in the file before this returns.
    fn with_cloud<T>(&self, work: impl FnOnce(&mut SimCloud, u64) -> T) -> io::Result<T> {
        let _lock = self.lock()?;
        let world = self.load()?;
        let now_ms = world.calls.saturating_mul(CALL_MS);
        // Every call has its own seed, so that the same calls have the same weather in whatever process they are made.
        let config = SimConfig { seed: self.seed ^ world.calls.wrapping_mul(0x9e37_79b9), rates: self.rates, ..SimConfig::default() };
        let mut cloud = SimCloud::with_world(config, world);
        let result = work(&mut cloud, now_ms);
        self.save(cloud.world)?;
        Ok(result)
    }

    fn lock(&self) -> io::Result<File> {
        fs::create_dir_all(&self.root)?;
        let lock = File::options().create(true).append(true).open(self.root.join("lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    fn path(&self) -> PathBuf {
        self.root.join("world.json")
    }

    fn file_id(&self) -> io::Result<Option<FileId>> {
        match fs::metadata(self.path()) {
            Ok(data) => Ok(Some(FileId { inode: data.ino(), bytes: data.len(), changed: (data.mtime(), data.mtime_nsec()) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn load(&self) -> io::Result<World> {
        let Some(id) = self.file_id()? else {
            return Ok(World::new());
        };
        let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((_, world)) = cached.filter(|(known, _)| *known == id) {
            return Ok(world);
        }
        let world: World = serde_json::from_slice(&fs::read(self.path())?).map_err(io::Error::other)?;
        if world.version != World::VERSION {
            return Err(io::Error::other(format!("{} has version {}", self.path().display(), world.version)));
        }
        Ok(world)
    }

    fn save(&self, world: World) -> io::Result<()> {
        let temporary = self.root.join("world.json.new");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&world).map_err(io::Error::other)?)?;
        drop(file);
        fs::rename(&temporary, self.path())?;
        if let Some(id) = self.file_id()? {
            *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, world));
        }
        Ok(())
    }
}

/// How far the simulated clock goes with each call: so far that nothing new hides from searches for long.
const CALL_MS: u64 = 1_000;

fn io_error(error: &io::Error) -> CallError {
    CallError::new(ErrorClass::Permanent, "sim-file", format!("the simulated cloud cannot keep its file: {error}"))
}

impl Cloud for SimConnection {
    fn call(&self, call: Call) -> BoxFuture<'_, Answer> {
        let answer = self
            .with_cloud(|cloud, now_ms| cloud.submit(now_ms, &call))
            .map(|events| events.into_iter().find_map(|(_, event)| if let SimEvent::Answer(answer) = event { Some(answer) } else { None }));
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => Answer::Failed(CallError::new(ErrorClass::Unknown, "no-answer", "no answer came")),
            Err(error) => Answer::Failed(io_error(&error)),
        };
        Box::pin(std::future::ready(answer))
    }

    fn dial(&self, target: DialTarget) -> BoxFuture<'_, Result<Connection, CallError>> {
        let text = format!("{} is simulated and has no port {}", target.instance, target.port);
        Box::pin(std::future::ready(Err(CallError::new(ErrorClass::Permanent, SIMULATED, text))))
    }

    fn run_step<'a>(&'a self, instance: &'a str, request: &'a NodeRequest) -> Option<BoxFuture<'a, Result<NodeReply, CallError>>> {
        let address = request.address.parse();
        let reply = address.map_err(|error| CallError::new(ErrorClass::Permanent, "address", format!("{error}"))).and_then(|address| {
            let events = self.with_cloud(|cloud, now_ms| cloud.submit_step(now_ms, instance, &address, request));
            let events = events.map_err(|error| io_error(&error))?;
            let reply = events.into_iter().find_map(|(_, event)| if let SimEvent::Step(reply) = event { Some(reply) } else { None });
            reply.unwrap_or_else(|| Err(CallError::new(ErrorClass::Unknown, "no-answer", "no answer came")))
        });
        Some(Box::pin(std::future::ready(reply)))
    }

    fn controller<'a>(
        &'a self,
        instance: &'a str,
        request: &'a ControllerRequest,
    ) -> Option<BoxFuture<'a, Result<ControllerReply, CallError>>> {
        // Frames are for no address of a spec: rules for one do not meet them.
        let address = Address::of(HEAD_CONTROLLER_KIND, instance);
        let reply = self.with_cloud(|cloud, _| cloud.submit_controller(instance, &address, request));
        Some(Box::pin(std::future::ready(reply.unwrap_or_else(|error| Err(io_error(&error))))))
    }
}
