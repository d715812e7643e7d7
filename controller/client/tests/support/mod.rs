//! A head that is none: a real SSH server in this process whose one command answers frames, and a provider that is a list of instances.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cloudtik_controller_client::{ControllerProvider, LoginKey, NO_CONTROLLER, Reach};
use cloudtik_model::{
    Address, ControllerCall, ControllerEvent, ControllerReply, ControllerRequest, ControllerStatus, Digest, EventLevel, GroupStatus,
    NodeAction, NodeReply, NodeRequest, NodeState, NodeStatus, ProviderRef, PushConfig, StepOutcome, Value,
};
use cloudtik_provider_api::{
    Answer, BoxFuture, CLUSTER_TAG, Call, CallError, Cloud, Connection, CreateRequest, DialTarget, ErrorClass, Found, GROUP_TAG,
    HEAD_CONTROLLER_KIND, HEAD_ROLE, ObjectAnswer, Provider, ROLE_TAG, STATUS_PREFIX, UpdateRequest, Verb, WORKER_GROUP_KIND, WORKER_ROLE,
};
use cloudtik_ssh::{CommandHandler, CommandStreams, ExitStatus, KeyPairText, PrivateKey, Server, ServerConfig, generate_ed25519};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

pub(crate) const UID: &str = "lineage/w/c";
pub(crate) const KIND: &str = "fake_instance";
pub(crate) const HEAD_LOGIN_KEY: &str = "ssh-ed25519 AAAA head";

/// What the head and the provider are, and what was done to them.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) instances: BTreeMap<String, Found>,
    pub(crate) places: BTreeMap<String, SocketAddr>,
    pub(crate) fences: Vec<(String, u64)>,
    pub(crate) deletes: Vec<String>,
    pub(crate) pushes: Vec<PushConfig>,
    pub(crate) calls: Vec<ControllerCall>,
    pub(crate) steps: Vec<NodeRequest>,
    pub(crate) status: ControllerStatus,
    pub(crate) events: Vec<ControllerEvent>,
    /// So many replies to pushes are lost after they were taken.
    pub(crate) lose: u32,
    /// So many times nobody listens.
    pub(crate) starting: u32,
    /// Every push is refused with this code.
    pub(crate) refuse: Option<&'static str>,
    /// The head's SSH server does not let anybody in.
    pub(crate) dead: bool,
    pub(crate) dials: u32,
    pub(crate) warnings: Vec<String>,
    pub(crate) seen: Vec<String>,
    pub(crate) known: BTreeMap<Address, Value>,
    pub(crate) no_wait: bool,
    pub(crate) leaves: bool,
    pub(crate) interrupted: bool,
    pub(crate) settles: bool,
}

impl World {
    fn reply(&mut self, request: ControllerRequest) -> ControllerReply {
        self.calls.push(request.call.clone());
        match request.call {
            ControllerCall::Push(push) => self.push(*push),
            ControllerCall::Status => {
                // Whatever is looked at moves on.
                for group in self.status.groups.values_mut().filter(|group| group.ready < group.desired) {
                    group.ready += 1;
                    let sequence = self.events.len() as u64 + 1;
                    let address = Some(format!("cluster.c.workers.etcd[{}]", group.ready));
                    self.events.push(ControllerEvent { sequence, time: 0, level: EventLevel::Info, address, text: "ready".to_owned() });
                }
                self.status.last_event = self.events.len() as u64;
                ControllerReply::Status(Box::new(self.status.clone()))
            }
            ControllerCall::Events { after, .. } => {
                ControllerReply::Events(self.events.iter().filter(|event| event.sequence > after).cloned().collect())
            }
            ControllerCall::RemoveGroup { group } => {
                self.status.nodes.retain(|_, node| node.group != group);
                ControllerReply::Done
            }
            ControllerCall::KeepGroup { .. } => ControllerReply::Done,
            ControllerCall::Drain => {
                self.status.nodes.clear();
                self.instances.retain(|_, found| found.tags[ROLE_TAG] == HEAD_ROLE);
                ControllerReply::Done
            }
        }
    }

    fn push(&mut self, push: PushConfig) -> ControllerReply {
        if let Some(code) = self.refuse {
            return ControllerReply::Refused { code: code.to_owned(), message: "no".to_owned() };
        }
        // The same once more is our own, whose answer was lost.
        let same = self.pushes.last().is_some_and(|last| PushConfig { follows: push.follows, ..last.clone() } == push);
        if same {
            self.pushes.push(push);
            return ControllerReply::Pushed { generation: self.status.generation };
        }
        if push.follows.is_some_and(|follows| follows != self.status.generation) {
            let message = format!("this is generation {}", self.status.generation);
            return ControllerReply::Refused { code: "generation".to_owned(), message };
        }
        self.status.generation += 1;
        self.status.digest = Some(push.digest);
        self.status.login_key = HEAD_LOGIN_KEY.to_owned();
        self.pushes.push(push);
        ControllerReply::Pushed { generation: self.status.generation }
    }

    fn answer(&mut self, call: &Call) -> Answer {
        assert_eq!((call.provider.as_str(), &*call.kind), ("fake", KIND));
        match &call.verb {
            Verb::Fence { cluster, epoch, .. } => {
                self.fences.push((cluster.clone(), *epoch));
                Answer::Done
            }
            Verb::FindByTag { key, value } => {
                Answer::Found(self.instances.values().filter(|found| found.tags.get(key) == Some(value)).cloned().collect())
            }
            Verb::Delete { id, .. } => {
                self.deletes.push(id.clone());
                self.instances.remove(id);
                Answer::Done
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The world and the way into it.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) operator: KeyPairText,
    servers: Arc<Mutex<Vec<Server>>>,
}

impl Fake {
    /// A head that answers, and nothing else.
    pub(crate) async fn new() -> Self {
        let fake = Self {
            world: Arc::new(Mutex::new(World::default())),
            operator: generate_ed25519().unwrap(),
            servers: Arc::new(Mutex::new(Vec::new())),
        };
        fake.add("i-head", HEAD_ROLE).await;
        fake
    }

    pub(crate) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// An instance with a door; gives its host key.
    pub(crate) async fn add(&self, id: &str, role: &str) -> String {
        let host_key = PrivateKey::generate().unwrap();
        let public = host_key.public_line().unwrap();
        let folder = std::env::temp_dir();
        let authorized = vec![self.operator.public_openssh.parse().unwrap()];
        let world = Arc::clone(&self.world);
        let mut config = ServerConfig::new(vec![host_key], authorized, folder);
        config.environment.insert("PATH".to_owned(), std::env::var("PATH").unwrap());
        config.forward = Box::new(|_, _| true);
        config.intercept = Some(Box::new(move |command: &str| intercept(command, &world)));
        let server = Server::new(config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        let serving = server.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        self.servers.lock().unwrap().push(server);
        let mut tags = BTreeMap::from([(CLUSTER_TAG.to_owned(), UID.to_owned()), (ROLE_TAG.to_owned(), role.to_owned())]);
        if role == WORKER_ROLE {
            tags.insert(format!("{STATUS_PREFIX}host_key"), public.clone());
            tags.insert(GROUP_TAG.to_owned(), "etcd".to_owned());
            tags.insert("cloudtik:address".to_owned(), format!("cluster.c.workers.etcd[{}]", id.trim_start_matches("i-")));
        }
        let attributes = Value::object([("ssh", ssh())]);
        let mut world = self.world();
        world.places.insert(id.to_owned(), place);
        world.instances.insert(id.to_owned(), Found { object: ObjectAnswer { id: id.to_owned(), attributes }, tags });
        drop(world);
        public
    }

    pub(crate) fn cloud(&self) -> Arc<dyn Cloud> {
        let provider = ControllerProvider::with_reach(Arc::new(self.clone()));
        provider.connect(&Value::object([("provider", Value::from("fake"))])).unwrap()
    }

    /// The attributes of a controller whose head has this host key.
    pub(crate) fn attributes(&self, host_key: &str, document: &str) -> Value {
        Value::object([
            ("cluster", Value::from("cluster.c")),
            ("kind", Value::from(KIND)),
            ("instance", Value::from("i-head")),
            ("ssh", ssh()),
            ("host_key", Value::from(host_key)),
            ("digest", Value::from(Digest::of(document).to_string())),
            ("document", Value::from(document)),
            ("secrets", Value::map([("token", Value::from("s3cret").marked(true))]).marked(true)),
        ])
    }
}

fn ssh() -> Value {
    let words = ["cloudtik", "node", "run-step"].map(Value::from);
    Value::object([
        ("user", Value::from("someone")),
        ("port", Value::from(22_u64)),
        ("run_step", Value::list(words)),
        ("artifacts", Value::from("/artifacts")),
    ])
}

fn intercept(command: &str, world: &Arc<Mutex<World>>) -> Option<CommandHandler> {
    let command = command.trim().trim_start_matches("exec ").to_owned();
    if !command.starts_with("cloudtik ") {
        return None;
    }
    let world = Arc::clone(world);
    let handle = move |streams: CommandStreams| -> std::pin::Pin<Box<dyn Future<Output = ExitStatus> + Send>> {
        Box::pin(async move {
            let CommandStreams { stdin, mut stdout, mut stderr, .. } = streams;
            let line = BufReader::new(stdin).lines().next_line().await.unwrap().unwrap();
            let reply = match command.as_str() {
                "cloudtik controller call" => {
                    let mut world = world.lock().unwrap();
                    if world.starting > 0 {
                        world.starting -= 1;
                        Err(NO_CONTROLLER)
                    } else {
                        let request: ControllerRequest = serde_json::from_str(&line).unwrap();
                        let is_push = matches!(request.call, ControllerCall::Push(_));
                        let reply = world.reply(request);
                        if is_push && world.lose > 0 {
                            world.lose -= 1;
                            Err(1)
                        } else {
                            Ok(serde_json::to_string(&reply).unwrap())
                        }
                    }
                }
                "cloudtik node run-step" => {
                    let request: NodeRequest = serde_json::from_str(&line).unwrap();
                    let end = NodeReply::End {
                        run_id: request.run_id.clone(),
                        identity: request.identity,
                        rendered: request.identity,
                        outcome: StepOutcome::Done,
                        attributes: BTreeMap::new(),
                    };
                    world.lock().unwrap().steps.push(request);
                    Ok(serde_json::to_string(&end).unwrap())
                }
                other => panic!("{other}"),
            };
            match reply {
                Ok(reply) => {
                    stdout.write_all(format!("{reply}\n").as_bytes()).await.unwrap();
                    ExitStatus::Code(0)
                }
                Err(code) => {
                    stderr.write_all(b"cloudtik: not now\n").await.unwrap();
                    ExitStatus::Code(code)
                }
            }
        })
    };
    Some(Box::new(handle))
}

impl Reach for Fake {
    fn call(&self, call: Call) -> BoxFuture<'_, Answer> {
        let answer = self.world().answer(&call);
        Box::pin(std::future::ready(answer))
    }

    fn dial<'a>(&'a self, _provider: &'a ProviderRef, target: DialTarget) -> BoxFuture<'a, Result<Connection, CallError>> {
        let mut world = self.world();
        world.dials += 1;
        let place = world.places.get(&target.instance).copied();
        let dead = world.dead;
        drop(world);
        Box::pin(async move {
            let refused = |text: &str| CallError::new(ErrorClass::Transient, "dial", text);
            if dead {
                return Err(refused("nobody listens"));
            }
            let stream = std::net::TcpStream::connect(place.ok_or_else(|| refused("there is no such instance"))?);
            let stream = stream.map_err(|error| refused(&error.to_string()))?;
            stream.set_nonblocking(true).unwrap();
            Ok(Connection::Tcp(stream))
        })
    }

    fn simulated<'a>(
        &'a self,
        _provider: &'a ProviderRef,
        _instance: &'a str,
        _request: &'a ControllerRequest,
    ) -> BoxFuture<'a, Option<Result<ControllerReply, CallError>>> {
        Box::pin(std::future::ready(None))
    }

    fn simulated_step<'a>(
        &'a self,
        _provider: &'a ProviderRef,
        _instance: &'a str,
        _request: &'a NodeRequest,
    ) -> BoxFuture<'a, Option<Result<NodeReply, CallError>>> {
        Box::pin(std::future::ready(None))
    }

    fn login_key(&self, cluster: &Address) -> Result<LoginKey, CallError> {
        assert_eq!(cluster.to_string(), "cluster.c");
        let KeyPairText { private_openssh, public_openssh } = self.operator.clone();
        Ok(LoginKey { private: private_openssh, public: public_openssh })
    }

    fn known(&self, address: &Address) -> Option<Value> {
        self.world().known.get(address).cloned()
    }

    fn visibility(&self, _provider: &ProviderRef, _kind: &str) -> (u64, u32) {
        (0, 1)
    }

    fn event(&self, event: &ControllerEvent) {
        let address = event.address.clone().unwrap_or_default();
        self.world().seen.push(format!("{address}: {}", event.text));
    }

    fn warning(&self, text: &str) {
        self.world().warnings.push(text.to_owned());
    }

    fn waits(&self) -> bool {
        !self.world().no_wait
    }

    fn settles(&self) -> bool {
        self.world().settles
    }

    fn leaves(&self, _cluster: &Address) -> bool {
        self.world().leaves
    }

    fn interrupted(&self) -> bool {
        self.world().interrupted
    }
}

pub(crate) fn controller(verb: Verb) -> Call {
    call("cluster.c.head_controller", HEAD_CONTROLLER_KIND, verb)
}

pub(crate) fn group(verb: Verb) -> Call {
    call("cluster.c.workers.etcd", WORKER_GROUP_KIND, verb)
}

fn call(address: &str, kind: &str, verb: Verb) -> Call {
    Call { provider: ProviderRef::new("controller.fake"), address: address.parse().unwrap(), kind: kind.into(), verb, limit: None }
}

pub(crate) fn create(epoch: u64, attributes: Value) -> Verb {
    let tags = BTreeMap::from([(CLUSTER_TAG.to_owned(), UID.to_owned())]);
    let (op_id, token) = ("op".to_owned(), "op".to_owned());
    Verb::Create(CreateRequest { op_id, token, epoch, tags, attributes, secrets: BTreeMap::new(), batch: None })
}

pub(crate) fn update(id: &str, attributes: Value, before: Value) -> Verb {
    Verb::Update(UpdateRequest {
        id: id.to_owned(),
        op_id: "op".to_owned(),
        epoch: 8,
        changed: BTreeSet::new(),
        attributes,
        before,
        marks: BTreeMap::new(),
    })
}

pub(crate) fn group_attributes(min: u64, template: &str) -> Value {
    Value::object([
        ("controller", Value::from(format!("{UID}#7"))),
        ("group", Value::from("etcd")),
        ("min", Value::from(min)),
        ("max", Value::from(5_u64)),
        ("template", Value::from(Digest::of(template).to_string())),
        ("ready_timeout_secs", Value::from(60_u64)),
    ])
}

pub(crate) fn group_status(desired: u64, template: &str) -> GroupStatus {
    GroupStatus { min: desired, max: 5, desired, template: Some(Digest::of(template)), ..GroupStatus::default() }
}

pub(crate) fn node_status(group: &str) -> NodeStatus {
    NodeStatus {
        group: group.to_owned(),
        id: "i-1".to_owned(),
        address: "127.0.0.1".to_owned(),
        state: NodeState::Ready,
        host_key: None,
        ssh_user: "someone".to_owned(),
        ssh_port: 22,
        steps_done: 1,
        steps: 1,
        running: Vec::new(),
        problem: None,
    }
}

/// The keys that a step lets in.
pub(crate) fn keys_of(request: &NodeRequest) -> Vec<String> {
    match &request.action {
        NodeAction::HostKey { authorized_keys } => authorized_keys.clone(),
        other => panic!("{other:?}"),
    }
}
