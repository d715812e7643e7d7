//! Nodes: made, reached, killed around, removed.

use std::collections::BTreeMap;
use std::time::Duration;

use cloudtik_local::protocol::{Attributes, ErrorClass, Form, NetworkSpec, Object, Outcome, ResourceSpec, RunState, UpdateRequest};
use libtest_mimic::Trial;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::stage::{Stage, UP, ask, code_of, free_port, instance_of, run};
use super::{crash, test, users};

pub(super) fn trials(form: Form) -> Vec<Trial> {
    let mut trials = vec![
        test(&format!("{form}_one_node"), move || one_node(form)),
        test(&format!("{form}_the_daemon_is_killed_and_goes_on"), move || daemon_killed(form)),
        test(&format!("{form}_published_ports"), move || published(form)),
        test(&format!("{form}_a_node_that_dies"), move || dying(form)),
        test(&format!("{form}_two_nodes_reach_each_other"), move || two_nodes(form)),
    ];
    // Crash points are the same whatever holds a node's processes together: once per form is enough.
    if std::env::var_os(users::WITHOUT_USER_NAMESPACES).is_none() {
        trials.push(test(&format!("{form}_crash_at_every_point"), move || crash::every_point(form)));
    }
    if form == Form::Namespaces {
        trials.push(test("namespaces_the_root_of_a_node", own_root));
        trials.push(test("namespaces_the_way_out", way_out));
    }
    trials
}

async fn node_in_network(stage: &Stage) -> (Object, Object) {
    let network = stage.create(stage.network("n")).await;
    let node = stage.create(stage.instance("i", &network.id)).await;
    (network, node)
}

async fn delete(stage: &Stage, objects: &[&Object]) {
    for object in objects {
        stage.client.delete(&object.id, "op-delete").await.unwrap();
    }
}

pub(super) fn one_node(form: Form) {
    run(async {
        let stage = Stage::new(form);
        let facts = stage.client.facts().await.unwrap();
        if std::env::var_os(users::AGAIN).is_some() {
            let expected = std::env::var_os(users::WITHOUT_USER_NAMESPACES).is_none();
            assert_eq!(facts.plain_pid_namespace.possible, expected, "{facts:?}");
        }
        let (network, node) = node_in_network(&stage).await;
        let attributes = instance_of(&node);
        let name = cloudtik_local::inventory_name(stage.client.options()).unwrap().unwrap();
        assert!(node.id.len() == 27 && node.id.starts_with(&format!("i-{name}-")), "{}", node.id);
        assert_eq!(attributes.run_state, RunState::Running);
        assert_eq!(attributes.ssh_port, if form == Form::Plain { 2222 } else { 22 });
        assert_eq!((attributes.memory_mib, attributes.cores.to_string()), (facts.memory_mib, facts.cpus.to_string()));
        for name in ["root", "home", "conf", "data", "logs", "run", "packages", "artifacts", "tmp"] {
            assert!(attributes.dirs.contains_key(name), "{name}");
        }
        assert_eq!(stage.ask(&node, "echo $CLOUDTIK_NODE $FAIL").await, node.id);
        assert_eq!(stage.ask(&node, "cat $(dirname $HOME)/nothing 2>/dev/null; ls /proc/self/exe").await, "/proc/self/exe");
        if attributes.own_pid_namespace {
            assert_eq!(stage.ask(&node, "tr '\\0' ' ' </proc/1/cmdline").await.split(' ').nth(1), Some("node"));
        }
        let own = facts.root || attributes.own_pid_namespace;
        assert!(own || form == Form::Plain);
        let keys = attributes.folder.join("node/keys/bootstrap_host_key");
        assert_eq!(std::fs::read_to_string(keys).unwrap(), "the private half");
        let inventory = std::fs::read(stage.client.options().state_dir.join("inventory.log")).unwrap();
        assert!(!String::from_utf8_lossy(&inventory).contains("the private half"), "a secret is in the inventory");
        assert_eq!(stage.client.read(&node.id).await.unwrap(), node);
        assert_eq!(code_of(stage.client.delete(&network.id, "op").await), (ErrorClass::Conflict, "in_use".into()));
        delete(&stage, &[&node, &network]).await;
        assert_eq!(code_of(stage.client.delete(&node.id, "op").await).0, ErrorClass::Gone);
        assert_eq!(code_of(stage.client.read(&node.id).await).0, ErrorClass::Gone);
        let dials = stage.audit().iter().filter(|entry| entry.verb == "dial").count();
        assert!(dials >= 2, "{dials} dials in the audit log");
        stage.nothing_is_left().await;
    });
}

fn daemon_killed(form: Form) {
    run(async {
        let stage = Stage::new(form);
        let network = stage.create(stage.network("n")).await;
        let port = free_port();
        let mut spec = stage.instance_spec(&network.id);
        spec.publish.insert(port, if form == Form::Plain { 2222 } else { 22 });
        let request = stage.request("i", ResourceSpec::LocalInstance(Box::new(spec)));
        let node = stage.create(request.clone()).await;
        stage.ask(&node, "echo up").await;
        let mut open = stage.client.dial(&node.id, instance_of(&node).ssh_port, UP).await.unwrap();
        stage.kill_daemon();
        assert_eq!(open.read(&mut [0]).await.unwrap_or(0), 0, "a stream through a killed daemon ends");
        // The same call is answered with the same node by the next daemon, which found it running.
        let again = stage.client.create(request).await.unwrap();
        assert_eq!((&again.id, &again.process), (&node.id, &node.process));
        assert_eq!(instance_of(&again).run_state, RunState::Running);
        assert_eq!(stage.ask(&node, "echo still").await, "still");
        let mut stream = connect(port).await;
        assert_eq!(ask(&mut stream, "echo through").await, "through");
        stage.kill_daemon();
        delete(&stage, &[&node, &network]).await;
        assert_eq!(stage.creates(), BTreeMap::from([("local_instance.i".into(), 1), ("local_network.n".into(), 1)]));
        stage.nothing_is_left().await;
    });
}

async fn connect(port: u16) -> TcpStream {
    for _ in 0..200 {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody listens at the published port {port}");
}

fn published(form: Form) {
    run(async {
        let stage = Stage::new(form);
        let network = stage.create(stage.network("n")).await;
        let ssh_port = if form == Form::Plain { 2222 } else { 22 };
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken_port = taken.local_addr().unwrap().port();
        let spec_with = |publish: BTreeMap<u16, u16>| {
            let mut spec = stage.instance_spec(&network.id);
            spec.publish = publish;
            ResourceSpec::LocalInstance(Box::new(spec))
        };
        let refused = stage.client.create(stage.request("i", spec_with(BTreeMap::from([(taken_port, ssh_port)])))).await.unwrap_err();
        assert!(refused.to_string().contains(&taken_port.to_string()), "{refused}");
        assert_eq!(code_of::<()>(Err(refused)), (ErrorClass::Conflict, "port_in_use".into()));
        assert!(!stage.root().exists(), "something was made before the port was known to be in use");
        drop(taken);
        let node = stage.create(stage.request("i", spec_with(BTreeMap::from([(taken_port, ssh_port)])))).await;
        assert_eq!(instance_of(&node).published[0].address, format!("127.0.0.1:{taken_port}"));
        stage.ask(&node, "echo up").await;
        assert_eq!(ask(&mut connect(taken_port).await, "echo $CLOUDTIK_NODE").await, node.id);
        let other = free_port();
        let spec = spec_with(BTreeMap::from([(other, ssh_port)]));
        let update = UpdateRequest { id: node.id.clone(), op_id: "op-u".into(), tags: BTreeMap::from([("a".into(), "b".into())]), spec };
        let changed = stage.client.update(update.clone()).await.unwrap();
        assert_eq!(changed.tags, update.tags);
        assert_eq!(instance_of(&changed).published.iter().map(|port| port.host_port).collect::<Vec<_>>(), [other]);
        assert_eq!(ask(&mut connect(other).await, "echo moved").await, "moved");
        let mut spec = stage.instance_spec(&network.id);
        spec.name = "other".into();
        let wrong = UpdateRequest { spec: ResourceSpec::LocalInstance(Box::new(spec)), ..update };
        assert_eq!(code_of(stage.client.update(wrong).await), (ErrorClass::Permanent, "immutable".into()));
        delete(&stage, &[&node, &network]).await;
        for port in [taken_port, other] {
            assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok(), "port {port} is left open");
        }
        stage.nothing_is_left().await;
    });
}

fn dying(form: Form) {
    run(async {
        let stage = Stage::new(form);
        let network = stage.create(stage.network("n")).await;
        let mut spec = stage.instance_spec(&network.id);
        spec.env.insert("FAIL".into(), "1".into());
        let node = stage.create(stage.request("i", ResourceSpec::LocalInstance(Box::new(spec)))).await;
        let (class, code) = code_of(stage.client.dial(&node.id, instance_of(&node).ssh_port, UP).await);
        assert_eq!((class, code.as_str()), (ErrorClass::Permanent, "stopped"));
        assert_eq!(instance_of(&stage.client.read(&node.id).await.unwrap()).run_state, RunState::Stopped);
        let log = std::fs::read_to_string(instance_of(&node).folder.join("node/logs/node.log")).unwrap();
        assert!(log.contains("told to fail"), "{log}");
        // Nobody listens there: a wait that ends.
        let good = stage.create(stage.instance("good", &network.id)).await;
        stage.ask(&good, "echo up").await;
        let (class, code) = code_of(stage.client.dial(&good.id, 9, Duration::from_millis(30)).await);
        assert_eq!((class, code.as_str()), (ErrorClass::Transient, "unreachable"));
        delete(&stage, &[&good, &node, &network]).await;
        stage.nothing_is_left().await;
    });
}

fn two_nodes(form: Form) {
    run(async {
        let stage = Stage::new(form);
        let network = stage.create(stage.network("n")).await;
        let (one, two) = tokio::join!(stage.create(stage.instance("one", &network.id)), stage.create(stage.instance("two", &network.id)));
        assert_ne!(instance_of(&one).address, instance_of(&two).address);
        stage.ask(&two, "echo up").await;
        let (address, port) = (&instance_of(&two).address, instance_of(&two).ssh_port);
        let script = format!("exec 3<>/dev/tcp/{address}/{port}; echo 'echo $CLOUDTIK_NODE' >&3; read -r line <&3; echo $line");
        assert_eq!(stage.ask(&one, &format!("bash -c '{}'", script.replace('\'', "'\\''"))).await, two.id);
        let listed = stage.client.list(None).await.unwrap();
        assert_eq!(listed.len(), 3);
        let purged = stage.another_client().purge(Vec::new()).await.unwrap();
        assert_eq!(purged.len(), 3);
        stage.nothing_is_left().await;
    });
}

/// A node of the namespaces form may change the machine's files without changing them, and does not see what is private.
fn own_root() {
    run(async {
        let stage = Stage::new(Form::Namespaces);
        let shown = stage.folder.path().join("shown");
        std::fs::create_dir(&shown).unwrap();
        std::fs::write(shown.join("file"), "from the machine").unwrap();
        let asked = NetworkSpec { name: "net".into(), form: Form::Namespaces, cidr: Some("10.77.3.0/24".into()) };
        let network = stage.create(stage.request("n", ResourceSpec::LocalNetwork(asked))).await;
        let mut spec = stage.instance_spec(&network.id);
        spec.mounts.insert("/data/shown".into(), shown.clone());
        let node = stage.create(stage.request("i", ResourceSpec::LocalInstance(Box::new(spec)))).await;
        assert_eq!(instance_of(&node).address, "10.77.3.10");
        let ask = async |command: &str| stage.ask(&node, command).await;
        assert_eq!(ask("hostname; cat /etc/hostname").await, "head|head");
        assert_eq!(ask("grep -c head /etc/hosts").await, "1");
        assert_eq!(ask("cat /data/shown/file").await, "from the machine");
        let probe = format!("cloudtik-test-{}", std::process::id());
        assert_eq!(ask(&format!("echo x >/etc/{probe} && echo x >/usr/{probe} && cat /etc/{probe} /usr/{probe}")).await, "x|x");
        assert!(!std::path::Path::new(&format!("/etc/{probe}")).exists(), "a node changed the machine");
        let private = stage.folder.path().display();
        assert_eq!(ask(&format!("ls {private}/project {private}/state 2>/dev/null | wc -l")).await, "0");
        assert_eq!(ask("ls -A /home; ls -A /root; ls -A /tmp").await, "");
        assert_eq!(ask("ls /sys/class/net | tr '\\n' ' '").await.trim(), "eth0 lo");
        assert_eq!(ask("echo x >/tmp/x && echo x >/dev/null && head -c 4 /dev/urandom | wc -c").await, "4");
        assert!(ask("ls /proc | grep -c '^[0-9]'").await.parse::<u32>().unwrap() < 20);
        assert_eq!(ask("ls -d /.cloudtik-machine 2>/dev/null | wc -l").await, "0");
        assert!(stage.audit().iter().any(|entry| entry.verb == "create" && entry.outcome == Outcome::Begun));
        delete(&stage, &[&node, &network]).await;
        assert!(shown.join("file").exists(), "what was mounted into a node was removed with it");
        stage.nothing_is_left().await;
    });
}

/// Answers every request with its first line, on a loopback address of this machine.
fn http_server() -> u16 {
    use std::io::{BufRead as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = std::io::BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let first = head.next().unwrap_or_default();
            head.take_while(|line| !line.is_empty()).for_each(drop);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{first}\n", first.len() + 1);
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    port
}

/// Whether somebody listens at exactly this address, as the kernel has it.
fn listens(address: &str) -> bool {
    let address: std::net::SocketAddrV4 = address.parse().unwrap();
    let written = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|fields| fields[1] == written && fields[3] == "0A")
}

/// A node has no route out. Its proxy leads there, in both of its ways, also after the daemon was killed; and goes with its network.
fn way_out() {
    run(async {
        let stage = Stage::new(Form::Namespaces);
        let server = http_server();
        let (network, node) = node_in_network(&stage).await;
        let Attributes::LocalNetwork(attributes) = &network.attributes else { panic!("{network:?}") };
        let proxy = attributes.proxy.clone().unwrap();
        assert!(proxy.starts_with(&format!("{}:", attributes.gateway)), "{proxy}");
        let url = format!("http://{proxy}");
        assert_eq!(stage.ask(&node, "echo $http_proxy $https_proxy $HTTP_PROXY $HTTPS_PROXY").await, [url.as_str(); 4].join(" "));
        let near = stage.ask(&node, "echo $no_proxy").await;
        assert!(near.split(',').any(|entry| entry == "127.0.0.1") && near.split(',').any(|entry| entry == attributes.cidr), "{near}");
        let direct = stage.ask(&node, &format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{server}' 2>/dev/null || echo no")).await;
        assert_eq!(direct, "no", "the node reaches this machine's loopback by itself");
        // Without a tool that the machine may not have: the shell alone speaks to the proxy.
        let (gateway, port) = proxy.split_once(':').unwrap();
        let through =
            |request: &str| format!("bash -c 'exec 3<>/dev/tcp/{gateway}/{port}; printf \"{request}\" >&3; cat <&3' | tr -d '\\r'");
        for killed in [false, true] {
            if killed {
                stage.kill_daemon();
                stage.ask(&node, "echo up").await;
            }
            let got = stage.ask(&node, &through(&format!("GET http://127.0.0.1:{server}/page HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"))).await;
            assert!(got.starts_with("HTTP/1.1 200 OK|") && got.ends_with("|GET /page HTTP/1.1"), "{got}");
            let tunnel = format!("CONNECT 127.0.0.1:{server} HTTP/1.1\\r\\n\\r\\nGET /inside HTTP/1.1\\r\\n\\r\\n");
            let got = stage.ask(&node, &through(&tunnel)).await;
            assert!(got.starts_with("HTTP/1.1 200 Connection established||HTTP/1.1 200 OK|"), "{got}");
            assert!(got.ends_with("|GET /inside HTTP/1.1"), "{got}");
        }
        assert!(listens(&proxy));
        let mut asked = stage.instance_spec(&network.id);
        asked.name = "own".into();
        asked.env.insert("http_proxy".into(), "mine".into());
        let own = stage.create(stage.request("own", ResourceSpec::LocalInstance(Box::new(asked)))).await;
        assert_eq!(stage.ask(&own, "echo $http_proxy").await, "mine", "what the user asks for is more");
        delete(&stage, &[&own, &node, &network]).await;
        let gone = || async {
            for _ in 0..100 {
                if !listens(&proxy) {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            false
        };
        assert!(gone().await, "the proxy is left");
        stage.nothing_is_left().await;
    });
}
