//! The local cloud behind the provider traits: the suite that every provider passes, and what is this one's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cloudtik_conformance::{Sample, Subject};
use cloudtik_local::protocol::{Form, Outcome};
use cloudtik_local::{BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, LocalCloud, LocalProvider, NETWORK_KIND};
use cloudtik_model::{Address, ProviderRef, Value};
use cloudtik_provider_api::{
    Answer, Call, CallError, Cloud, Connection, CreateRequest, DialTarget, ErrorClass, FactQuestion, Found, Instance, ObjectAnswer,
    Provider, ProviderSchema, Secret, UpdateRequest, Verb,
};
use libtest_mimic::Trial;

use super::stage::{Stage, ask, free_port, run};
use super::{test, users};

pub(super) fn trials(form: Form) -> Vec<Trial> {
    vec![
        test(&format!("{form}_provider_passes_the_suite"), move || conformance(form)),
        test(&format!("{form}_provider_a_cluster"), move || cluster(form)),
        test(&format!("{form}_provider_a_node_that_ended_is_gone"), move || ended(form)),
        test(&format!("{form}_provider_looking_starts_nothing"), move || looking(form)),
        test(&format!("{form}_provider_another_inventory"), move || another_inventory(form)),
        test(&format!("{form}_provider_what_is_refused"), move || refused(form)),
    ]
}

/// A stage and the provider's cloud on it.
struct Adapter {
    stage: Stage,
    cloud: LocalCloud,
}

impl Adapter {
    fn new(form: Form) -> Self {
        let stage = Stage::new(form);
        let config = Value::object([("root", Value::from(stage.root().to_str().unwrap())), ("isolation", form.name().into())]);
        Self { cloud: LocalCloud::new(stage.client.options().clone(), &config).unwrap(), stage }
    }

    async fn call(&self, kind: &str, verb: Verb) -> Answer {
        let call = Call { provider: ProviderRef::new("local"), address: Address::of(kind, "x"), kind: kind.into(), verb, limit: None };
        self.cloud.call(call).await
    }

    async fn create(&self, kind: &str, request: CreateRequest) -> ObjectAnswer {
        match self.call(kind, Verb::Create(request)).await {
            Answer::Object(object) => object,
            other => panic!("{other:?}"),
        }
    }

    async fn read(&self, kind: &str, id: &str) -> Option<ObjectAnswer> {
        match self.call(kind, Verb::Read { id: id.to_owned() }).await {
            Answer::Read(object) => object,
            other => panic!("{other:?}"),
        }
    }

    async fn list(&self, kind: &str, ids: &[&str]) -> Vec<Found> {
        match self.call(kind, Verb::List { ids: ids.iter().map(|id| (*id).to_owned()).collect() }).await {
            Answer::Found(found) => found,
            other => panic!("{other:?}"),
        }
    }

    async fn delete(&self, kind: &str, id: &str) {
        assert_eq!(self.call(kind, Verb::Delete { id: id.to_owned(), data: false }).await, Answer::Done);
    }

    async fn network(&self) -> ObjectAnswer {
        let attributes = [("name", Value::from("w")), ("form", self.stage.form.name().into()), ("mode", "public-head".into())];
        self.create(NETWORK_KIND, request("network", &attributes)).await
    }

    /// Ends as a command does, and looks for what is left.
    async fn nothing_is_left(self) {
        // The daemon waits for both.
        let (ended, let_go) = tokio::join!(self.stage.client.clone().finish(), self.cloud.finish());
        ended.unwrap();
        let_go.unwrap();
        drop(self.cloud);
        self.stage.nothing_is_left().await;
    }
}

fn request(token: &str, attributes: &[(&'static str, Value)]) -> CreateRequest {
    let tags = [
        ("cloudtik:address", format!("x.{}", token.trim_end_matches(char::is_numeric))),
        ("cloudtik:lineage", "l".to_owned()),
        ("cloudtik:op", token.to_owned()),
        ("cloudtik:cluster", "w/c".to_owned()),
    ];
    CreateRequest {
        op_id: token.to_owned(),
        token: token.to_owned(),
        epoch: 3,
        tags: tags.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
        attributes: Value::object(attributes.iter().cloned()),
        secrets: secrets(),
        batch: None,
    }
}

fn secrets() -> BTreeMap<String, Secret> {
    let secret = |private: &str, public: &str| Secret { private: private.to_owned(), public: public.to_owned() };
    [
        ("bootstrap_host_key".to_owned(), secret("the private half", "a host key")),
        ("login".to_owned(), secret("never sent", "ssh-ed25519 AAAA me\n")),
    ]
    .into_iter()
    .collect()
}

fn failed(answer: Answer) -> CallError {
    match answer {
        Answer::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

fn cluster(form: Form) {
    run(async {
        let adapter = Adapter::new(form);
        let network = adapter.network().await;
        assert_eq!(network.attributes.get("form"), Some(&form.name().into()));
        let port = free_port();
        let node_port = if form == Form::Plain { 2222_u64 } else { 22 };
        let publish = |port: u16| Value::map([(port.to_string(), Value::from(node_port))]);
        let asked = [("name", Value::from("c-head")), ("network", network.id.as_str().into()), ("publish", publish(port))];
        let asked: Vec<_> = asked.into_iter().chain([("cpus", "0.5".parse::<cloudtik_model::Number>().unwrap().into())]).collect();
        let made = adapter.create(INSTANCE_KIND, request("head", &asked)).await;
        assert_eq!(adapter.create(INSTANCE_KIND, request("head", &asked)).await, made, "a token is one object");
        let of = |name: &str| made.attributes.get(name).unwrap().clone();
        let ssh = Instance::of(&made.attributes).unwrap();
        assert_eq!((u64::from(ssh.port), ssh.run_step), (node_port, ["cloudtik", "node", "run-step"].map(str::to_owned).to_vec()));
        assert_eq!(of("private_ip"), *of("node").get("address").unwrap());
        assert_eq!((of("public_ip"), of("hostname"), of("form")), (Value::NULL, "c-head".into(), form.name().into()));
        assert_eq!(of("published"), Value::list([Value::from(format!("127.0.0.1:{port}"))]));
        assert_eq!(*of("node").get("cores").unwrap(), of("cpus"));
        assert_eq!(of("node").get("sequence"), Some(&1_u64.into()));
        assert!(of("ssh_command").as_str().unwrap().ends_with(&format!("{}@{}", ssh.user, of("private_ip").as_str().unwrap())));

        // What was made for whom is on record, and the login key's public half alone went to the node.
        let entry = adapter.stage.audit().into_iter().find(|entry| entry.id.as_deref() == Some(&made.id)).unwrap();
        assert_eq!((entry.cluster.as_deref(), entry.op_id.as_deref()), (Some("w/c"), Some("head")));
        let boot = std::fs::read_to_string(adapter.stage.root().join(&made.id).join("node/boot.json")).unwrap();
        assert!(boot.contains("ssh-ed25519 AAAA me") && !boot.contains("never sent"), "{boot}");

        let target = DialTarget { instance: made.id.clone(), port: ssh.port };
        let mut tries = 0;
        let connection = loop {
            match adapter.cloud.dial(target.clone()).await {
                Ok(Connection::Unix(stream)) => break stream,
                Ok(other) => panic!("{other:?}"),
                Err(error) => assert_eq!(error.class, ErrorClass::Transient, "{error}"),
            }
            tries += 1;
            assert!(tries < 20);
        };
        let mut stream = tokio::net::UnixStream::from_std(connection).unwrap();
        assert_eq!(ask(&mut stream, "echo $CLOUDTIK_NODE").await, made.id);
        let error = adapter.cloud.dial(DialTarget { instance: made.id.clone(), port: 9 }).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Transient, "unreachable"));

        let other = free_port();
        let update = UpdateRequest {
            epoch: 1,
            id: made.id.clone(),
            op_id: "update".into(),
            changed: BTreeSet::from(["publish".to_owned()]),
            attributes: Value::object(asked.iter().filter(|(name, _)| *name != "publish").cloned().chain([("publish", publish(other))])),
            before: made.attributes.clone(),
            marks: std::collections::BTreeMap::new(),
        };
        let Answer::Object(updated) = adapter.call(INSTANCE_KIND, Verb::Update(update)).await else { panic!() };
        assert_eq!(updated.attributes.get("published"), Some(&Value::list([Value::from(format!("127.0.0.1:{other}"))])));
        let found = adapter.list(INSTANCE_KIND, &[&made.id, "i-none"]).await;
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].object, found[0].tags["cloudtik:op"].as_str()), (&updated, "head"));

        // Status replaces what was there.
        for (key, left) in [("epoch", 1), ("ready", 1)] {
            let status = BTreeMap::from([(key.to_owned(), "1".to_owned())]);
            assert_eq!(adapter.call(INSTANCE_KIND, Verb::PublishStatus { id: made.id.clone(), status }).await, Answer::Done);
            assert_eq!(adapter.stage.client.metadata(&made.id).await.unwrap().len(), left);
        }
        // It comes back where marks do, and is no attribute: nothing has drifted.
        let found = adapter.list(INSTANCE_KIND, &[&made.id]).await;
        assert_eq!((found[0].tags["cloudtik:status:ready"].as_str(), &found[0].object), ("1", &updated));
        assert!(!found[0].tags.contains_key("cloudtik:status:epoch"));
        let by_tag = Verb::FindByTag { key: "cloudtik:op".into(), value: "head".into() };
        assert_eq!(adapter.call(INSTANCE_KIND, by_tag).await, Answer::Found(found));
        drop(stream);
        adapter.delete(INSTANCE_KIND, &made.id).await;
        adapter.delete(NETWORK_KIND, &network.id).await;
        adapter.nothing_is_left().await;
    });
}

fn ended(form: Form) {
    run(async {
        let adapter = Adapter::new(form);
        let network = adapter.network().await;
        let asked = [("name", Value::from("c-head")), ("network", network.id.as_str().into())];
        let first = adapter.create(INSTANCE_KIND, request("head1", &asked)).await;
        let pid = adapter.stage.client.read(&first.id).await.unwrap().process.unwrap().pid;
        kill(pid);
        for _ in 0..200 {
            if adapter.read(INSTANCE_KIND, &first.id).await.is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(adapter.read(INSTANCE_KIND, &first.id).await, None);
        assert_eq!(adapter.list(INSTANCE_KIND, &[&first.id]).await, []);
        let error = adapter.cloud.dial(DialTarget { instance: first.id.clone(), port: 22 }).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Permanent, "stopped"));
        let gone = UpdateRequest {
            epoch: 1,
            id: first.id.clone(),
            op_id: "update".into(),
            changed: BTreeSet::new(),
            attributes: Value::object(asked.clone()),
            before: Value::NULL,
            marks: std::collections::BTreeMap::new(),
        };
        assert_eq!(failed(adapter.call(INSTANCE_KIND, Verb::Update(gone)).await).class, ErrorClass::Gone);
        assert!(adapter.stage.root().join(&first.id).exists(), "looking changed something");

        // Another address leaves it alone; its own clears it first, on record.
        let other = adapter.create(INSTANCE_KIND, request("other1", &asked)).await;
        assert!(adapter.stage.root().join(&first.id).exists());
        let second = adapter.create(INSTANCE_KIND, request("head2", &asked)).await;
        assert!(second.id != first.id && !adapter.stage.root().join(&first.id).exists());
        let deleted =
            adapter.stage.audit().into_iter().find(|entry| entry.verb == "delete" && entry.id.as_deref() == Some(&first.id)).unwrap();
        assert_eq!((deleted.op_id.as_deref(), deleted.outcome), (Some("head2"), Outcome::Done));
        assert!(adapter.read(INSTANCE_KIND, &other.id).await.is_some());

        // What is left of a node that nobody asks for again goes with its network.
        kill(adapter.stage.client.read(&other.id).await.unwrap().process.unwrap().pid);
        adapter.delete(INSTANCE_KIND, &second.id).await;
        for _ in 0..200 {
            if adapter.read(INSTANCE_KIND, &other.id).await.is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        adapter.delete(NETWORK_KIND, &network.id).await;
        adapter.nothing_is_left().await;
    });
}

fn kill(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

fn looking(form: Form) {
    run(async {
        let adapter = Adapter::new(form);
        assert_eq!(adapter.list(INSTANCE_KIND, &["i-none"]).await, []);
        assert_eq!(adapter.read(NETWORK_KIND, "net-none").await, None);
        let by_tag = Verb::FindByTag { key: "cloudtik:op".into(), value: "x".into() };
        assert_eq!(adapter.call(BUCKET_KIND, by_tag).await, Answer::Found(Vec::new()));
        assert_eq!(failed(adapter.call(BUCKET_KIND, Verb::Delete { id: "b-none".into(), data: false }).await).class, ErrorClass::Gone);
        assert!(!adapter.stage.client.options().state_dir.exists(), "something was started");
        let question = |isolation: &str| FactQuestion {
            key: "k".into(),
            question: "isolation".into(),
            arguments: Value::object([("isolation", Value::from(isolation))]),
            pin: true,
        };
        let Answer::Facts(facts) = adapter.call("facts", Verb::Facts(vec![question("auto")])).await else { panic!() };
        // Root that comes here can do namespaces; anybody else gets the other form.
        let expected = if nix::unistd::geteuid().is_root() { Form::Namespaces } else { Form::Plain };
        assert_eq!(facts["k"].get("form"), Some(&expected.name().into()));
        let answer = adapter.call("facts", Verb::Facts(vec![question("namespaces")])).await;
        if form == Form::Plain {
            let error = failed(answer);
            assert_eq!((error.class, error.code.as_str()), (ErrorClass::Permanent, "namespaces_not_possible"));
            assert!(error.message.contains("root") && error.help.unwrap().contains("plain"));
        }
        let options = adapter.stage.client.options();
        assert!(!options.socket.exists() && !adapter.stage.client.has_inventory(), "the daemon was started");
        let left: Vec<_> = std::fs::read_dir(&options.state_dir).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

fn another_inventory(form: Form) {
    run(async {
        let made = Adapter::new(form);
        let network = made.network().await;
        let name = cloudtik_local::inventory_name(made.stage.client.options()).unwrap().unwrap();
        let other = Adapter::new(form);
        // Before the other one has an inventory of its own, and after.
        for own in [false, true] {
            let own = if own { Some(other.network().await) } else { None };
            let ids: Vec<&str> = own.iter().map(|own| own.id.as_str()).chain([network.id.as_str()]).collect();
            let update = UpdateRequest {
                epoch: 1,
                id: network.id.clone(),
                op_id: "update".into(),
                changed: BTreeSet::new(),
                attributes: network.attributes.clone(),
                before: Value::NULL,
                marks: std::collections::BTreeMap::new(),
            };
            for verb in [
                Verb::List { ids: ids.iter().map(|id| (*id).to_owned()).collect() },
                Verb::Read { id: network.id.clone() },
                Verb::Update(update),
                Verb::Delete { id: network.id.clone(), data: false },
                Verb::PublishStatus { id: network.id.clone(), status: BTreeMap::new() },
            ] {
                let said = verb.as_str();
                let error = failed(other.call(NETWORK_KIND, verb).await);
                assert_eq!((error.class, error.code.as_str()), (ErrorClass::Conflict, "other_inventory"), "{said}");
                let help = error.help.unwrap();
                assert!(error.message.contains(&name) && help.contains("XDG_STATE_HOME") && help.contains(&name), "{said}: {help}");
            }
            let error = other.cloud.dial(DialTarget { instance: network.id.clone(), port: 22 }).await.unwrap_err();
            assert_eq!(error.code, "other_inventory");
            // What a state of before has says nothing of an inventory.
            assert_eq!(other.read(NETWORK_KIND, "net-0123456789abcdef").await, None);
            if let Some(own) = own {
                assert_eq!(other.list(NETWORK_KIND, &[&own.id]).await.len(), 1);
                other.delete(NETWORK_KIND, &own.id).await;
                assert_eq!(other.list(NETWORK_KIND, &[&own.id]).await, [], "what was here and was deleted is gone");
            }
        }
        assert!(made.read(NETWORK_KIND, &network.id).await.is_some());
        made.delete(NETWORK_KIND, &network.id).await;
        made.nothing_is_left().await;
        // Somebody says that it is lost.
        cloudtik_local::forget_inventory(other.stage.client.options(), &name).unwrap();
        assert_eq!(other.list(NETWORK_KIND, &[&network.id]).await, []);
        assert_eq!(failed(other.call(NETWORK_KIND, Verb::Delete { id: network.id, data: false }).await).class, ErrorClass::Gone);
        std::fs::remove_file(other.stage.client.options().state_dir.join("lost")).unwrap();
        other.nothing_is_left().await;
    });
}

fn refused(form: Form) {
    run(async {
        let adapter = Adapter::new(form);
        let create = async |kind: &'static str, attributes: &[(&'static str, Value)]| {
            let error = failed(adapter.call(kind, Verb::Create(request("t", attributes))).await);
            (error.class, error.code)
        };
        let permanent = |code: &str| (ErrorClass::Permanent, code.to_owned());
        let name = ("name", Value::from("a"));
        assert_eq!(create(NETWORK_KIND, &[name.clone(), ("mode", "peered".into())]).await, permanent("bad_mode"));
        assert_eq!(create(NETWORK_KIND, &[name.clone(), ("form", "round".into())]).await, permanent("bad_form"));
        assert_eq!(create(NETWORK_KIND, &[("name", "A b".into())]).await, permanent("bad_name"));
        assert_eq!(create(BUCKET_KIND, &[name.clone(), ("on_destroy", "burn".into())]).await, permanent("bad_on_destroy"));
        let reserved = Value::map([("cloudtik:op", Value::from("mine"))]);
        assert_eq!(create(BUCKET_KIND, &[name.clone(), ("tags", reserved)]).await, permanent("reserved_tag"));
        assert_eq!(create(INSTANCE_KIND, &[name.clone(), ("network", "net-none".into())]).await, permanent("no_network"));
        assert_eq!(create("local_cat", std::slice::from_ref(&name)).await, permanent("bad_kind"));

        // A port that somebody has is an error that says what to do, and nothing is left of it.
        let network = adapter.network().await;
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let publish = Value::map([(port.to_string(), Value::from(80_u64))]);
        let asked = [name.clone(), ("network", network.id.as_str().into()), ("publish", publish)];
        let error = failed(adapter.call(INSTANCE_KIND, Verb::Create(request("head", &asked))).await);
        assert_eq!((error.code.as_str(), error.message.contains(&port.to_string())), ("port_in_use", true), "{error:?}");
        assert!(error.help.unwrap().contains("`publish`"));
        drop(taken);
        let fence = Verb::Fence { cluster: "w/c".into(), epoch: 4, ends: false };
        assert_eq!(adapter.call(INSTANCE_KIND, fence).await, Answer::Done);
        assert_eq!(create(BUCKET_KIND, std::slice::from_ref(&name)).await, permanent("fenced"));
        assert_eq!(adapter.stage.client.list(None).await.unwrap().len(), 1);
        adapter.delete(NETWORK_KIND, &network.id).await;
        adapter.nothing_is_left().await;
    });
}

/// The provider as the suite sees it.
struct Local {
    adapter: Adapter,
    runtime: tokio::runtime::Runtime,
    schema: ProviderSchema,
    network: String,
    ports: Vec<u16>,
}

impl Subject for Local {
    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    fn provider(&self) -> ProviderRef {
        ProviderRef::new("local")
    }

    fn samples(&mut self) -> Vec<Sample> {
        let tags = |value: &'static str| Value::map([("tag", Value::from(value))]);
        let rule = |port: u64| Value::tuple([Value::object([("ports", Value::list([Value::from(port)])), ("ratio", "0.10".into())])]);
        let network = Value::from(self.network.as_str());
        let publish = Value::map(self.ports.iter().map(|port| (port.to_string(), Value::from(8080_u64))));
        let form = ("form", Value::from(self.adapter.stage.form.name()));
        let sample = |kind: &str, attributes: &[(&'static str, Value)], updates: &[(&str, Value)]| Sample {
            kind: kind.to_owned(),
            attributes: Value::object([("name", Value::from("name")), ("tags", tags("a"))].into_iter().chain(attributes.iter().cloned())),
            updates: updates
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .chain([("tags".to_owned(), tags("b"))])
                .collect(),
            secrets: secrets(),
        };
        let memory = ("memory_gib", "0.25".parse::<cloudtik_model::Number>().unwrap().into());
        vec![
            sample(NETWORK_KIND, &[form, ("mode", "public-head".into())], &[]),
            sample(FIREWALL_KIND, &[("network", network.clone()), ("rules", rule(80))], &[("rules", rule(443))]),
            sample(BUCKET_KIND, &[("on_destroy", "delete".into())], &[]),
            sample(INSTANCE_KIND, &[("network", network), memory], &[("publish", publish), ("max_workers", 2_u64.into())]),
        ]
        .into_iter()
        .filter(|sample| self.schema.kinds.contains_key(sample.kind.as_str()))
        .collect()
    }

    fn call(&mut self, call: Call) -> Answer {
        self.runtime.block_on(self.adapter.cloud.call(call))
    }

    fn crash(&mut self) {
        self.adapter.stage.kill_daemon_if_there();
    }

    fn wait(&mut self, milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    fn unique(&mut self, sample: &Sample, number: u64) -> Sample {
        let mut attributes = sample.attributes.entries().cloned().unwrap();
        attributes.insert("name".into(), format!("name-{number}").into());
        Sample { attributes: Value::object(attributes), ..sample.clone() }
    }

    fn times_made(&mut self, op_id: &str) -> Option<usize> {
        let made = |entry: &cloudtik_local::protocol::AuditEntry| {
            entry.verb == "create" && entry.outcome == Outcome::Done && entry.op_id.as_deref() == Some(op_id)
        };
        Some(self.adapter.stage.audit().iter().filter(|entry| made(entry)).count())
    }
}

fn conformance(form: Form) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let adapter = Adapter::new(form);
    let network = runtime.block_on(adapter.network()).id;
    let mut schema = LocalProvider::new().schema().clone();
    // Root's run does each kind once: instances in the form that is root's, and what is the same in both as the other user.
    match form {
        Form::Namespaces => schema.kinds.retain(|name, _| *name == INSTANCE_KIND),
        Form::Plain if std::env::var_os(users::AGAIN).is_some() => schema.kinds.retain(|name, _| *name != INSTANCE_KIND),
        Form::Plain => {}
    }
    let kinds = schema.kinds.len();
    let mut local = Local { adapter, runtime, schema, network, ports: vec![free_port(), free_port()] };
    let report = cloudtik_conformance::run(&mut local);
    assert_eq!(report.failures(), "");
    assert_eq!(report.passed.len(), kinds * 9 * 2);
    let Local { adapter, runtime, network, .. } = local;
    runtime.block_on(async {
        adapter.delete(NETWORK_KIND, &network).await;
        adapter.nothing_is_left().await;
    });
}
