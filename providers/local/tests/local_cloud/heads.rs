//! Heads: what they may do through their own socket, and what not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cloudtik_local::protocol::{
    CreateRequest, ErrorClass, Form, InstanceSpec, Kind, Object, Outcome, ResourceSpec, TagQuery, UpdateRequest,
};
use cloudtik_local::{Client, INSTANCE_KIND, LocalCloud, LocalCloudOptions, LocalError, SOCKET_VARIABLE};
use cloudtik_model::{Address, ProviderRef, Value};
use cloudtik_provider_api::{Answer, Call, Cloud as _, Found, Secret, Verb};
use libtest_mimic::Trial;

use super::stage::{Stage, UP, ask, code_of, free_port, instance_of, run};
use super::test;

pub(super) fn trials(form: Form) -> Vec<Trial> {
    vec![
        test(&format!("{form}_head_launches_up_to_its_maximum"), move || launches(form)),
        test(&format!("{form}_head_sees_its_own_only"), move || sees(form)),
        test(&format!("{form}_head_is_refused_the_rest"), move || refused(form)),
        test(&format!("{form}_head_socket_comes_and_goes"), move || comes_and_goes(form)),
        test(&format!("{form}_head_behind_the_provider"), move || provider(form)),
    ]
}

const CLUSTER: &str = "lineage/w/c";

/// This program on a node: what the node's own environment leads to. One line for each node that is seen.
pub(super) fn look() -> ExitCode {
    run(async {
        let client = Client::new(LocalCloudOptions::from_environment().unwrap());
        for object in client.list(Some(Kind::LocalInstance)).await.unwrap() {
            println!("{}", object.id);
        }
        client.finish().await.unwrap();
    });
    ExitCode::SUCCESS
}

/// A network, a head in it, and the client that the head has.
struct Heading {
    network: Object,
    head: Object,
    client: Client,
}

fn of_cluster(mut request: CreateRequest, cluster: &str, role: &str) -> CreateRequest {
    request.cluster = Some(cluster.to_owned());
    request.tags.extend([("cloudtik:cluster".to_owned(), cluster.to_owned()), ("cloudtik:role".to_owned(), role.to_owned())]);
    request
}

fn instance_request(stage: &Stage, token: &str, network: &str, change: impl FnOnce(&mut InstanceSpec)) -> CreateRequest {
    let mut spec = stage.instance_spec(network);
    change(&mut spec);
    stage.request(token, ResourceSpec::LocalInstance(Box::new(spec)))
}

fn worker(stage: &Stage, token: &str, network: &Object, change: impl FnOnce(&mut InstanceSpec)) -> CreateRequest {
    of_cluster(instance_request(stage, token, &network.id, change), CLUSTER, "worker")
}

/// The socket as this machine sees it.
fn socket_of(head: &Object) -> PathBuf {
    instance_of(head).folder.join("node/run/cloud.sock")
}

fn client_of(stage: &Stage, head: &Object) -> Client {
    let mut options = stage.client.options().clone();
    options.head_socket = Some(socket_of(head));
    // A head has no other place, and nobody whom it could start.
    options.socket = "/nowhere/local.sock".into();
    options.state_dir = "/nowhere/state".into();
    options.command.program = "/nowhere/cloudtik".into();
    Client::new(options)
}

async fn heading(stage: &Stage, max_workers: u64) -> Heading {
    let network = stage.create(stage.network("n")).await;
    let request = instance_request(stage, "head", &network.id, |spec| spec.max_workers = Some(max_workers).filter(|max| *max > 0));
    let head = stage.create(of_cluster(request, CLUSTER, "head")).await;
    Heading { client: client_of(stage, &head), network, head }
}

async fn clear(stage: Stage) {
    stage.another_client().purge(Vec::new()).await.unwrap();
    stage.nothing_is_left().await;
}

fn not_allowed<T: std::fmt::Debug>(result: Result<T, LocalError>) {
    let error = result.unwrap_err();
    assert!(error.to_string().contains("a head may make workers of its own cluster"), "{error}");
    assert_eq!(code_of::<()>(Err(error)), (ErrorClass::Permanent, "not_allowed".to_owned()));
}

fn launches(form: Form) {
    run(async {
        let stage = Stage::new(form);
        let Heading { network, head, client } = heading(&stage, 2).await;
        assert!(client.has_inventory());
        let asked = worker(&stage, "w1", &network, |spec| spec.root = "/somewhere/else".into());
        let first = client.create(asked.clone()).await.unwrap();
        assert_eq!(instance_of(&first).folder, stage.root().join(&first.id), "the root is the head's own");
        assert_eq!(client.create(asked.clone()).await.unwrap().id, first.id, "a token is one worker");

        // Two at once for one place: one of them gets it.
        let (one, two) =
            tokio::join!(client.create(worker(&stage, "w2", &network, |_| {})), client.create(worker(&stage, "w3", &network, |_| {})));
        let second = match (one, two) {
            (Ok(second), late) | (late, Ok(second)) => {
                not_allowed(late);
                second
            }
            neither => panic!("{neither:?}"),
        };
        assert_eq!(client.create(asked).await.unwrap().id, first.id, "a repeat needs no room");

        // The head reaches its workers, and so does this program on the head through what its environment says.
        let mut stream = client.dial(&second.id, instance_of(&second).ssh_port, UP).await.unwrap();
        assert_eq!(ask(&mut stream, "echo $CLOUDTIK_NODE").await, second.id);
        assert_eq!(ask(&mut stream, &format!("echo \"<${SOCKET_VARIABLE}>\"")).await, "<>", "a worker has no socket");
        let path = format!("{}/cloud.sock", instance_of(&head).dirs["run"]);
        assert_eq!(stage.ask(&head, &format!("echo ${SOCKET_VARIABLE}")).await, path);
        let seen = stage.ask(&head, "/proc/$PPID/exe as-head").await;
        let mut all = [head.id.clone(), first.id.clone(), second.id.clone()];
        all.sort();
        assert_eq!(seen, all.join("|"));

        client.delete(&first.id, "op").await.unwrap();
        let third = client.create(worker(&stage, "w4", &network, |_| {})).await.unwrap();

        // A daemon that was killed is started by its owner only; then the socket is there again.
        stage.kill_daemon();
        let refused = worker(&stage, "w5", &network, |_| {});
        let error = loop {
            match client.create(refused.clone()).await.unwrap_err() {
                // It broke while it was being asked.
                LocalError::Broken(_) => {}
                error => break error,
            }
        };
        assert!(matches!(error, LocalError::NoCloud { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Transient);
        stage.client.read(&head.id).await.unwrap();
        not_allowed(client.create(refused).await);
        client.delete(&third.id, "op").await.unwrap();
        let fourth = client.create(worker(&stage, "w6", &network, |_| {})).await.unwrap();

        // What was fenced stays so for a head too.
        client.delete(&fourth.id, "op").await.unwrap();
        stage.client.fence(CLUSTER, 2).await.unwrap();
        let older = worker(&stage, "w7", &network, |_| {});
        assert_eq!(code_of(client.create(older.clone()).await), (ErrorClass::Permanent, "fenced".to_owned()));
        client.create(CreateRequest { epoch: Some(2), ..older }).await.unwrap();
        let allowed: BTreeSet<String> = [1, 2, 3, 4, 6, 7].map(|number| format!("local_instance.w{number}")).into();
        assert!(stage.creates().iter().all(|(address, times)| *times == 1 && (!address.contains(".w") || allowed.contains(address))));

        // A head that is connected keeps nothing alive.
        client.clone().list(None).await.unwrap();
        clear(stage).await;
        drop(client);
    });
}

fn sees(form: Form) {
    run(async {
        let stage = Stage::new(form);
        let Heading { network, head, client } = heading(&stage, 1).await;
        let foreign_network = stage.create(stage.network("n2")).await;
        let bucket = stage.create(stage.bucket("b", "bucket")).await;
        // In the same network, and of another cluster; and the other way round.
        let foreign = stage.create(of_cluster(stage.instance("i", &network.id), "lineage/w/other", "head")).await;
        let own = stage.create(worker(&stage, "w1", &foreign_network, |_| {})).await;
        let ids = |objects: Vec<Object>| objects.into_iter().map(|object| object.id).collect::<BTreeSet<_>>();
        let shown: BTreeSet<String> = [&network, &head, &own].map(|object| object.id.clone()).into();
        assert_eq!(ids(client.list(None).await.unwrap()), shown);
        let all = TagQuery { kind: None, tags: BTreeMap::new(), op_id: None, token: None };
        assert_eq!(ids(client.find_by_tag(all).await.unwrap()), shown);
        let gone = (ErrorClass::Gone, "not_found".to_owned());
        for hidden in [&foreign_network, &bucket, &foreign] {
            assert_eq!(code_of(client.read(&hidden.id).await), gone);
            assert_eq!(code_of(client.delete(&hidden.id, "op").await), gone);
            assert_eq!(code_of(client.metadata(&hidden.id).await), gone);
            let status = BTreeMap::from([("k".to_owned(), Some("v".to_owned()))]);
            assert_eq!(code_of(client.set_metadata(&hidden.id, status).await), gone);
            assert_eq!(code_of(client.dial(&hidden.id, 22, Duration::ZERO).await), gone);
        }
        let token = client.create(worker(&stage, "i", &network, |_| {})).await.unwrap_err();
        assert!(!token.to_string().contains(&foreign.id), "{token}");
        assert_eq!(code_of::<()>(Err(token)), (ErrorClass::Conflict, "token_mismatch".to_owned()));
        assert_eq!(client.read(&network.id).await.unwrap().id, network.id);
        assert_eq!(client.facts().await.unwrap(), stage.client.facts().await.unwrap());
        for node in [&head, &own] {
            let status = BTreeMap::from([("epoch".to_owned(), Some("1".to_owned()))]);
            assert_eq!(client.set_metadata(&node.id, status).await.unwrap().len(), 1);
            assert_eq!(client.metadata(&node.id).await.unwrap()["epoch"], "1");
        }
        clear(stage).await;
    });
}

fn refused(form: Form) {
    run(async {
        let stage = Stage::new(form);
        let Heading { network, head, client } = heading(&stage, 5).await;
        let other_network = stage.create(stage.network("n2")).await;
        not_allowed(client.create(of_cluster(stage.instance("x1", &network.id), "lineage/w/other", "worker")).await);
        not_allowed(client.create(CreateRequest { cluster: None, ..worker(&stage, "x2", &network, |_| {}) }).await);
        let mut two_faced = worker(&stage, "x3", &network, |_| {});
        two_faced.tags.insert("cloudtik:cluster".into(), "lineage/w/other".into());
        not_allowed(client.create(two_faced).await);
        not_allowed(client.create(worker(&stage, "x4", &other_network, |_| {})).await);
        not_allowed(client.create(worker(&stage, "x5", &network, |spec| spec.max_workers = Some(1))).await);
        let port = free_port();
        not_allowed(client.create(worker(&stage, "x6", &network, |spec| spec.publish = BTreeMap::from([(port, 80)]))).await);
        not_allowed(
            client.create(worker(&stage, "x7", &network, |spec| spec.mounts = BTreeMap::from([("/m".into(), "/etc".into())]))).await,
        );
        for request in [stage.network("x8"), stage.bucket("x9", "bucket"), stage.firewall("x10", Some(&network.id))] {
            not_allowed(client.create(of_cluster(request, CLUSTER, "worker")).await);
        }
        not_allowed(client.fence(CLUSTER, 9).await);
        not_allowed(client.purge(Vec::new()).await);
        not_allowed(client.audit(0, 10).await);
        let update = UpdateRequest { id: head.id.clone(), op_id: "op".into(), tags: BTreeMap::new(), spec: head.spec.clone() };
        not_allowed(client.update(update).await);
        not_allowed(client.delete(&head.id, "op").await);
        not_allowed(client.delete(&network.id, "op").await);
        not_allowed(client.metadata(&network.id).await);
        // What was refused is on record.
        let refusals = stage.audit().into_iter().filter(|entry| entry.outcome == Outcome::Refused);
        let verbs: Vec<String> = refusals.filter(|entry| entry.detail.as_deref() == Some("not_allowed")).map(|entry| entry.verb).collect();
        assert_eq!(verbs.iter().filter(|verb| *verb == "create").count(), 10);
        for verb in ["fence", "purge", "audit", "update", "delete", "metadata"] {
            assert!(verbs.iter().any(|present| present == verb), "{verb}");
        }
        clear(stage).await;
    });
}

fn comes_and_goes(form: Form) {
    run(async {
        let stage = Stage::new(form);
        let Heading { network, head, client } = heading(&stage, 0).await;
        assert!(!socket_of(&head).exists());
        assert!(matches!(client.list(None).await.unwrap_err(), LocalError::NoCloud { .. }));
        let change = async |max: u64| {
            let ResourceSpec::LocalInstance(mut spec) = head.spec.clone() else { panic!() };
            spec.max_workers = Some(max);
            let spec = ResourceSpec::LocalInstance(spec);
            let update = UpdateRequest { id: head.id.clone(), op_id: format!("op-{max}"), tags: head.tags.clone(), spec };
            stage.client.update(update).await.unwrap();
        };
        change(1).await;
        // Its environment said so from the beginning.
        let path = stage.ask(&head, &format!("test -S ${SOCKET_VARIABLE} && /proc/$PPID/exe as-head")).await;
        assert_eq!(path, head.id);
        let first = client.create(worker(&stage, "w1", &network, |_| {})).await.unwrap();
        not_allowed(client.create(worker(&stage, "w2", &network, |_| {})).await);
        change(2).await;
        client.create(worker(&stage, "w2", &network, |_| {})).await.unwrap();
        change(0).await;
        assert!(!socket_of(&head).exists());
        assert!(client.list(None).await.is_err());
        change(3).await;
        assert_eq!(client.read(&first.id).await.unwrap().id, first.id);
        // A folder that the node replaced by a link leads the daemon nowhere.
        change(0).await;
        let run = socket_of(&head).parent().unwrap().to_path_buf();
        let aside = stage.folder.path().join("aside");
        std::fs::create_dir(&aside).unwrap();
        std::fs::rename(&run, run.with_file_name("run-before")).unwrap();
        std::os::unix::fs::symlink(&aside, &run).unwrap();
        let ResourceSpec::LocalInstance(mut spec) = head.spec.clone() else { panic!() };
        spec.max_workers = Some(1);
        let spec = ResourceSpec::LocalInstance(spec);
        let update = UpdateRequest { id: head.id.clone(), op_id: "op".into(), tags: head.tags.clone(), spec };
        assert!(stage.client.update(update).await.is_err());
        assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 0);
        clear(stage).await;
    });
}

/// The controller's view: the provider's own calls, over the head's socket.
fn provider(form: Form) {
    run(async {
        let stage = Stage::new(form);
        let Heading { network, head, client } = heading(&stage, 1).await;
        let config = Value::object([("root", Value::from(".cloudtik/local")), ("isolation", form.name().into())]);
        let cloud = LocalCloud::new(client.options().clone(), &config).unwrap();
        let call = async |verb: Verb| {
            let address = Address::of(INSTANCE_KIND, "x");
            cloud.call(Call { provider: ProviderRef::new("local"), address, kind: INSTANCE_KIND.into(), verb, limit: None }).await
        };
        let create = |token: &str| {
            let secret = |private: &str, public: &str| Secret { private: private.to_owned(), public: public.to_owned() };
            Verb::Create(cloudtik_provider_api::CreateRequest {
                op_id: token.to_owned(),
                token: token.to_owned(),
                epoch: 1,
                tags: [("cloudtik:cluster", CLUSTER), ("cloudtik:op", token), ("cloudtik:sequence", "7")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                attributes: Value::object([("name", Value::from("c-g-1")), ("network", network.id.as_str().into())]),
                secrets: [("bootstrap_host_key".to_owned(), secret("a", "b")), ("login".to_owned(), secret("c", "ssh-ed25519 AAAA"))]
                    .into(),
                batch: None,
            })
        };
        let Answer::Object(made) = call(create("op-1")).await else { panic!() };
        assert_eq!(made.attributes.get("node").unwrap().get("sequence"), Some(&7_u64.into()));
        let named = call(Verb::FindByName { name: "c-g-1".into() }).await;
        assert!(matches!(&named, Answer::Found(found) if found.len() == 1), "{named:?}");
        for (id, key) in [(&made.id, "host_key"), (&head.id, "settled")] {
            let status = BTreeMap::from([(key.to_owned(), "yes".to_owned())]);
            assert_eq!(call(Verb::PublishStatus { id: id.clone(), status }).await, Answer::Done);
        }
        let Answer::Found(listed) = call(Verb::List { ids: [made.id.clone(), head.id.clone()].into() }).await else { panic!() };
        let tag = |id: &str, key: &str| listed.iter().find(|found: &&Found| found.object.id == id).unwrap().tags.get(key).cloned();
        assert_eq!(tag(&made.id, "cloudtik:status:host_key").as_deref(), Some("yes"));
        assert_eq!(tag(&head.id, "cloudtik:status:settled").as_deref(), Some("yes"));
        let facts = vec![cloudtik_provider_api::FactQuestion {
            key: "k".into(),
            question: "isolation".into(),
            arguments: Value::object([("isolation", Value::from(form.name()))]),
            pin: true,
        }];
        let Answer::Facts(facts) = call(Verb::Facts(facts)).await else { panic!() };
        assert_eq!(facts["k"].get("form"), Some(&form.name().into()));

        // What ended takes no place from the next worker.
        let pid = client.read(&made.id).await.unwrap().process.unwrap().pid;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        while matches!(call(Verb::Read { id: made.id.clone() }).await, Answer::Read(Some(_))) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let Answer::Object(next) = call(create("op-2")).await else { panic!() };
        assert_ne!(next.id, made.id);
        assert_eq!(call(Verb::Delete { id: next.id.clone(), data: false }).await, Answer::Done);
        // What a head knows and its local cloud does not have any more is gone, wherever that keeps its inventory.
        assert_eq!(call(Verb::Read { id: next.id.clone() }).await, Answer::Read(None));
        assert_eq!(call(Verb::List { ids: [next.id].into() }).await, Answer::Found(Vec::new()));
        cloud.finish().await.unwrap();
        stage.kill_daemon();
        loop {
            match call(create("op-3")).await {
                Answer::Failed(error) if error.code == "broken" => {}
                Answer::Failed(error) => {
                    let class = cloudtik_provider_api::ErrorClass::Transient;
                    assert_eq!((error.class, error.code.as_str(), error.help.is_some()), (class, "no_cloud", true));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        clear(stage).await;
    });
}
