//! Nodes on AWS, from end to end: each instance that the server of the tests launches is a machine of its own on this host, with OpenSSH's server and
//! nothing of ours, and becomes a node over SSH.
//!
//! The moments of kills are random, the seed is printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod aws;
mod support;

use std::process::Command;
use std::time::Duration;

use aws::{APPLY, DESTROY, REGION, World, planned, written};
use cloudtik_aws_testing::{Config, Machines};
use nix::sys::signal::Signal;
use support::quickstart::workers_of;
use support::random::Random;
use support::wait_until;
use tempfile::TempDir;

const HEAD: &str = "cluster.c.head";
const ROOT: &str = "/var/lib/cloudtik/node";

/// What an image is given, so that it looks as if systemd ran there: who asks for the SSH server's restart gets it, and a unit that is enabled is started.
const SYSTEMD: &str = r#"
cat > /usr/local/bin/systemctl << 'END'
#!/bin/sh
echo "$*" >> /var/log/systemctl
case "$*" in
    "restart ssh.service") kill -HUP "$(pgrep -o -x sshd)" ;;
    "enable --quiet --now cloudtik-node.service")
        line=$(sed -n 's/^ExecStart=//p' /etc/systemd/system/cloudtik-node.service)
        pgrep -f "^$line" > /dev/null || setsid $line > /dev/null 2>&1 < /dev/null & ;;
esac
END
chmod 755 /usr/local/bin/systemctl
mkdir -p /run/systemd/system
"#;

/// What an image is given, so that it says to be of another architecture.
const ARM: &str = "printf '#!/bin/sh\\necho aarch64\\n' > /usr/local/bin/uname && chmod 755 /usr/local/bin/uname\n";

/// An account, machines for its instances, and a project.
struct Nodes {
    world: World,
    machines: Machines,
    _folder: TempDir,
}

impl Nodes {
    /// `None`: it cannot be tried here, which was said.
    fn new(image: &str) -> Option<Self> {
        let (world, machines, folder) = World::with_machines(Config::quick(), image)?;
        let nodes = Self { world, machines, _folder: folder };
        nodes.slim();
        Some(nodes)
    }

    /// The program that is sent is the one beside that has the name of the architecture: without what only a debugger reads it is half as large.
    fn slim(&self) {
        let program = self.beside(std::env::consts::ARCH);
        std::fs::copy(self.world.stage.root().join("bin/cloudtik"), &program).unwrap();
        assert!(Command::new("strip").arg(program).status().unwrap().success());
    }

    fn beside(&self, architecture: &str) -> std::path::PathBuf {
        self.world.stage.root().join(format!("bin/cloudtik-{architecture}"))
    }

    /// The image has the user `ubuntu`, who is not root.
    fn image(&self) -> String {
        let filter = [("Filter.1.Name", "name"), ("Filter.1.Value.1", "*ubuntu*")];
        self.world.server.ec2("DescribeImages", &filter).unwrap().texts("imageId").remove(0)
    }

    /// Lets SSH of heads in, from here.
    fn ssh_from(&self) -> String {
        format!("    ssh_from = [\"{}/32\"]\n", self.machines.host())
    }

    /// Writes the spec, with this in the block of the cluster.
    fn spec(&self, cluster: &str) {
        self.spec_behind(&self.ssh_from(), cluster);
    }

    /// The same with this in the firewall of the workspace.
    fn spec_behind(&self, firewall: &str, cluster: &str) {
        let text = format!(
            r#"provider "aws" {{
  region       = "{REGION}"
  endpoint_url = "{}"
}}

workspace "w" {{
  network {{
    cidr = "{}"
  }}
  firewall {{
{firewall}  }}
}}

cluster "c" {{
  workspace = workspace.w
{cluster}}}
"#,
            self.world.proxy.url(),
            self.machines.cidr(),
        );
        self.world.stage.spec(&text);
    }

    /// A head with a file and a command.
    fn head(&self, greeting: &str) {
        let image = self.image();
        self.spec(&format!(
            r#"  head {{
    instance_type = "m5.large"
    image         = "{image}"
    files = {{
      "/etc/greeting" = {{ content = "{greeting} from ${{node.id}}\n" }}
    }}
    setup {{
      before_runtimes = ["id -un > ${{node.dirs.data}}/who"]
    }}
  }}
"#
        ));
    }

    #[track_caller]
    fn apply(&self) {
        let ran = self.world.stage.run(&APPLY);
        assert_eq!(ran.code(), Some(0), "{}\n{}", ran.text(), self.machines.consoles());
        println!("apply took {:.1} s: {}", ran.took.as_secs_f64(), seconds(&ran.stderr));
    }

    /// What a script prints on the head, as root.
    #[track_caller]
    fn on_head(&self, script: &str) -> String {
        let output = self.machines.run(&self.world.id(HEAD), script).unwrap();
        format!("{}{}", String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// The workers that are ready: ids and addresses.
    fn workers(&self) -> Vec<(String, String)> {
        let ran = self.world.stage.run(&["status", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        if json["source"] != "head" {
            println!("the head did not answer: {}", json["why"]);
            return Vec::new();
        }
        let workers = workers_of(&json["status"]);
        workers.into_values().filter(|worker| worker.state == "ready").map(|worker| (worker.id, worker.address)).collect()
    }

    /// Holds that a plan finds nothing to do. What is sent meanwhile may be the head's own: it tells how things stand.
    #[track_caller]
    fn is_settled(&self) {
        self.world.expect(0, &["plan", "--detailed-exitcode"]);
    }

    /// The state is lost, and the keys are not: the cluster is taken over whole. Nothing of it is made anew, and no worker goes.
    #[track_caller]
    fn comes_back(&self, workers: &[(String, String)]) {
        let (stage, head) = (&self.world.stage, self.world.id(HEAD));
        let made = self.world.snapshot();
        for entry in std::fs::read_dir(stage.data()).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_str().unwrap();
            if name.starts_with("state.json") {
                std::fs::remove_file(&entry).unwrap();
            } else if name == "journal" {
                std::fs::remove_dir_all(&entry).unwrap();
            }
        }
        let path = stage.project().join("main.hcl");
        let without = std::fs::read_to_string(&path).unwrap();
        let with = |name: &str| {
            let block = |to: &str, id: &str| format!("\nimport {{\n  to = {to}\n  id = \"{id}\"\n}}\n");
            stage.spec(&format!("{without}{}{}", block("workspace.w", "w"), block("cluster.c", name)));
        };
        with("d");
        stage.fails(1, &["plan"], &["import-name", "`id` is the name of the cluster, and `cluster.c` is called `c`"]);
        with("c");
        let keys = stage.data().join("keys");
        std::fs::rename(&keys, keys.with_extension("away")).unwrap();
        stage.fails(1, &["plan"], &["import-keys", &head, "`cluster.c.ed25519` and `cluster.c.ed25519.pub`"]);
        std::fs::rename(keys.with_extension("away"), &keys).unwrap();

        let plan = planned(&self.world);
        for (address, word) in &plan {
            let is_told = address.contains(".step.")
                || address.contains(".controller.")
                || address.contains("head_controller")
                || address == "cluster.c.workers.web";
            let wanted = if is_told { "create" } else { "import" };
            // What AWS does not tell of an instance is written once more.
            assert!(word == wanted || (address == HEAD && word == "import, update"), "{address}: {plan:?}");
        }
        assert!(plan.contains_key(HEAD) && plan.contains_key("cluster.c.launch_template[\"web\"]"), "{plan:?}");
        self.apply();
        assert_eq!(self.world.id(HEAD), head);
        assert_eq!(self.workers(), workers);
        let mut came = self.world.came(&made);
        came.retain(|_, count| *count != 0);
        assert!(came.is_empty(), "{came:?}");
        self.are_serving();
        self.is_settled();
        stage.spec(&without);
        self.is_settled();
    }

    /// Holds that nginx answers on each of the workers.
    #[track_caller]
    fn are_serving(&self) {
        for (_, address) in self.workers() {
            let said = self.on_head(&format!("curl -s --retry 20 --retry-delay 1 --retry-connrefused http://{address}:8080/"));
            assert_eq!(said, format!("I am {address}\n"));
        }
    }

    /// Holds that the head is a node: its steps were done by its own agent, and nobody is shown the host key of the launch any more.
    #[track_caller]
    fn is_node(&self, greeting: &str) {
        assert_eq!(self.on_head("cat /etc/greeting"), format!("{greeting} from {}\n", self.world.id(HEAD)));
        assert_eq!(self.on_head(&format!("cat {ROOT}/data/who")), "root\n");
        assert_eq!(self.on_head("cd /etc/ssh && ls ssh_host*"), "ssh_host_ed25519_key\nssh_host_ed25519_key.pub\n");
        assert_eq!(self.on_head("ssh-keyscan -t ecdsa 127.0.0.1 2> /dev/null"), "");
        let said = self.world.stage.expect(0, &["exec", "--", "id", "-un"]);
        assert_eq!(said.stdout, "ubuntu\n", "{}", said.text());
    }
}

/// A head and two workers in private subnets, whom only the head reaches, with nginx on them.
#[test]
fn a_cluster_comes_is_mended_and_goes() {
    let Some(nodes) = Nodes::new("") else { return };
    let image = nodes.image();
    nodes.spec(&format!(
        r#"  head {{
    instance_type = "m5.large"
    image         = "{image}"
  }}
  workers "web" {{
    instance_type = "m5.large"
    image         = "{image}"
    min           = 2
    max           = 3
    files = {{
      "/etc/greeting" = {{ content = "hello from ${{node.address}}\n" }}
    }}
  }}
  runtime "nginx" {{
    on    = ["workers"]
    port  = 8080
    pages = {{ "index.html" = "I am ${{node.address}}\n" }}
  }}
"#
    ));
    let before = nodes.world.snapshot();
    nodes.apply();
    let workers = nodes.workers();
    assert_eq!(workers.len(), 2, "{workers:?}");
    let made = nodes.world.snapshot();
    let is_there = |words: &[&str]| made.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(is_there(&["launch-template", "cloudtik-w.c.web"]), "no template");
    for (id, _) in &workers {
        assert!(is_there(&["instance ", id, "cloudtik:group=web", "cloudtik:role=worker"]), "{id} has no marks");
    }
    nodes.are_serving();
    for (id, address) in &workers {
        let greeting = nodes.machines.run(id, "cat /etc/greeting").unwrap().stdout;
        assert_eq!(String::from_utf8(greeting).unwrap(), format!("hello from {address}\n"));
    }
    nodes.is_settled();
    let said = nodes.world.stage.expect(0, &["exec", "--all", "--", "hostname"]);
    for (_, address) in &workers {
        assert!(said.stdout.contains(&format!("ip-{}", address.replace('.', "-"))), "{}", said.text());
    }

    nodes.comes_back(&workers);

    // The head has the rights of its instance, and no others: nothing of the client's is there.
    let head = nodes.world.id(HEAD);
    let asked = nodes.machines.asked(&head);
    assert!(asked.iter().any(|path| path.starts_with("/latest/meta-data/iam/security-credentials/cloudtik-w-head")), "{asked:?}");
    let environments = "pgrep -f /bin/cloudtik | while read pid; do tr '\\0' '\\n' < /proc/$pid/environ; done | grep '^AWS_[AEPRS]'";
    assert_eq!(nodes.on_head(&format!("{environments}; grep -rl AWS_ {ROOT}/boot.json {ROOT}/daemons {ROOT}/data")), "");

    // A worker is lost.
    let (lost, _) = workers[0].clone();
    nodes.world.client.ec2("TerminateInstances", &[("InstanceId.1", &lost)]).unwrap();
    wait_until("the worker is replaced", Duration::from_secs(90), || {
        let workers = nodes.workers();
        workers.len() == 2 && workers.iter().all(|(id, _)| *id != lost)
    });
    nodes.are_serving();
    nodes.is_settled();

    // The fence outlives every machine: it is what an older head would have to pass.
    nodes.world.expect(0, &DESTROY);
    let left: Vec<String> = nodes.world.snapshot().difference(&before).cloned().collect();
    assert!(matches!(left.as_slice(), [fence] if fence.starts_with("us-west-2 parameter /cloudtik/fence/")), "{left:?}");
    wait_until("the machines go", Duration::from_secs(5), || nodes.machines.ids().is_empty());
}

/// The firewall of a cluster comes to nodes that are there, is mended, and leaves them as they are.
#[test]
fn a_cluster_gets_a_firewall_of_its_own_and_loses_it() {
    let Some(nodes) = Nodes::new("") else { return };
    let image = nodes.image();
    let cluster = |firewall: &str| {
        format!(
            r#"{firewall}  head {{
    instance_type = "m5.large"
    image         = "{image}"
  }}
  workers "web" {{
    instance_type = "m5.large"
    image         = "{image}"
  }}
"#
        )
    };
    let firewall = |to: &str| {
        let data =
            format!("    ingress \"data\" {{\n      ports = [\"9000\"]\n      from  = [\"10.0.0.0/8\"]\n      to    = \"{to}\"\n    }}\n");
        cluster(&format!("  firewall {{\n{}{data}  }}\n", nodes.ssh_from()))
    };
    let before = nodes.world.snapshot();
    nodes.spec(&cluster(""));
    nodes.apply();
    let (head, worker) = (nodes.world.id(HEAD), nodes.workers().remove(0).0);
    let are_behind = |of_head: &[&str], of_worker: &[&str]| {
        let names = |id: &str| nodes.world.groups_of(id);
        assert_eq!(
            (names(&head), names(&worker)),
            (of_head.iter().map(ToString::to_string).collect(), of_worker.iter().map(ToString::to_string).collect())
        );
    };
    are_behind(&["cloudtik-w", "cloudtik-w/head"], &["cloudtik-w"]);
    let without = nodes.world.snapshot();

    // The way in moves from the workspace to the cluster.
    nodes.spec_behind("", &firewall("workers"));
    nodes.apply();
    are_behind(
        &["cloudtik-w", "cloudtik-w.c", "cloudtik-w.c/head", "cloudtik-w/head"],
        &["cloudtik-w", "cloudtik-w.c", "cloudtik-w.c/workers"],
    );
    nodes.is_settled();
    let rule = "cluster.c.ingress_rule.workers[\"data:10.0.0.0/8:9000\"]";
    let revoked = [("GroupId", nodes.world.id("cluster.c.firewall.workers")), ("SecurityGroupRuleId.1", nodes.world.id(rule))];
    let revoked: Vec<(&str, &str)> = revoked.iter().map(|(name, value)| (*name, value.as_str())).collect();
    nodes.world.client.ec2("RevokeSecurityGroupIngress", &revoked).unwrap();
    assert_eq!(nodes.world.planned(), [rule.to_owned()].into());
    nodes.apply();
    nodes.is_settled();

    // A rule that is for other nodes is there before it goes, and no node changes for that.
    nodes.spec_behind("", &firewall("all"));
    let (_, calls) = nodes.world.expect(0, &APPLY);
    let of_rules: Vec<String> = written(&calls).into_iter().filter(|call| !call.ends_with("Tags")).collect();
    assert_eq!(of_rules, ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]);
    nodes.is_settled();

    nodes.spec(&cluster(""));
    nodes.apply();
    are_behind(&["cloudtik-w", "cloudtik-w/head"], &["cloudtik-w"]);
    nodes.is_settled();
    let came = nodes.world.came(&without);
    assert!(!came.contains_key("security-group") && came.get("security-group-rule").is_none_or(|count| *count == 0), "{came:?}");

    nodes.spec_behind("", &firewall("workers"));
    nodes.apply();
    assert_eq!((nodes.world.id(HEAD), nodes.workers().remove(0).0), (head.clone(), worker.clone()));
    nodes.world.expect(0, &DESTROY);
    let left: Vec<String> = nodes.world.snapshot().difference(&before).cloned().collect();
    assert!(matches!(left.as_slice(), [fence] if fence.starts_with("us-west-2 parameter /cloudtik/fence/")), "{left:?}");
}

/// Nodes that run open to each other only what their runtimes declare, and everything again: what comes is there before what goes.
#[test]
fn what_is_open_between_nodes_changes_under_them() {
    let Some(nodes) = Nodes::new("") else { return };
    let image = nodes.image();
    let cluster = format!(
        r#"  head {{
    instance_type = "m5.large"
    image         = "{image}"
  }}
  workers "web" {{
    instance_type = "m5.large"
    image         = "{image}"
  }}
  runtime "nginx" {{
    on    = ["workers"]
    port  = 8080
    pages = {{ "index.html" = "I am ${{node.address}}\n" }}
  }}
"#
    );
    let before = nodes.world.snapshot();
    let with = |inside: &str| nodes.spec_behind(&format!("{}    inside = \"{inside}\"\n", nodes.ssh_from()), &cluster);
    with("all");
    nodes.apply();
    let ids = || (nodes.world.id(HEAD), nodes.workers().remove(0).0);
    let there = ids();
    let inside = nodes.world.id("workspace.w.ingress_rule[\"inside\"]");
    let groups = |id: &str| nodes.world.groups_of(id).into_iter().collect::<Vec<_>>();
    assert_eq!(groups(&there.1), ["cloudtik-w"]);

    with("declared");
    let (_, calls) = nodes.world.expect(0, &APPLY);
    let place = |is: &dyn Fn(&cloudtik_aws_testing::Request) -> bool| calls.iter().rposition(is).unwrap();
    let gone = place(&|call| call.parameters.values().any(|value| *value == inside) && call.action == "ec2:RevokeSecurityGroupIngress");
    let changed =
        |id: &str| place(&|call| call.action == "ec2:ModifyInstanceAttribute" && call.parameters.values().any(|value| value == id));
    let opened = place(&|call| call.action == "ec2:AuthorizeSecurityGroupIngress");
    assert!([changed(&there.0), changed(&there.1), opened].iter().all(|before| *before < gone), "{:?}", written(&calls));
    nodes.is_settled();
    assert_eq!(groups(&there.1), ["cloudtik-w", "cloudtik-w.c", "cloudtik-w.c/workers"]);
    let rule = "cluster.c.ingress_rule.workers[\"runtime:tcp:8080\"]";
    let revoked = [("GroupId", nodes.world.id("cluster.c.firewall.workers")), ("SecurityGroupRuleId.1", nodes.world.id(rule))];
    let revoked: Vec<(&str, &str)> = revoked.iter().map(|(name, value)| (*name, value.as_str())).collect();
    nodes.world.client.ec2("RevokeSecurityGroupIngress", &revoked).unwrap();
    assert_eq!(nodes.world.planned(), [rule.to_owned()].into());
    nodes.apply();
    nodes.is_settled();

    with("all");
    let (_, calls) = nodes.world.expect(0, &APPLY);
    let first = |action: &str| calls.iter().position(|call| call.action == action).unwrap();
    assert!(first("ec2:AuthorizeSecurityGroupIngress") < first("ec2:ModifyInstanceAttribute"), "{:?}", written(&calls));
    assert!(first("ec2:AuthorizeSecurityGroupIngress") < first("ec2:RevokeSecurityGroupIngress"), "{:?}", written(&calls));
    nodes.is_settled();
    assert_eq!((ids(), groups(&there.1)), (there.clone(), vec!["cloudtik-w".to_owned()]));

    with("declared");
    nodes.apply();
    nodes.world.expect(0, &DESTROY);
    let left: Vec<String> = nodes.world.snapshot().difference(&before).cloned().collect();
    assert!(matches!(left.as_slice(), [fence] if fence.starts_with("us-west-2 parameter /cloudtik/fence/")), "{left:?}");
}

/// What took a second or more.
fn seconds(said: &str) -> String {
    let slow =
        |line: &&str| line.ends_with('s') && (line.contains(" done in ") || line.contains(" created in ")) && !line.contains(" in 0.");
    said.lines().filter(slow).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_machine_becomes_a_node() {
    let Some(nodes) = Nodes::new("") else { return };
    nodes.head("hello");
    let before = nodes.world.snapshot();
    nodes.apply();
    nodes.is_node("hello");
    nodes.is_settled();
    let ours = nodes.on_head("find /etc /home /opt /root /run /srv /tmp /usr /var -name '*cloudtik*' -prune");
    assert_eq!(ours, "/run/cloudtik\n/var/lib/cloudtik\n", "all that is ours is in one folder, but for what a boot clears");

    // Where nothing starts the agent again, whoever has the next step does. What it has to do is sent once.
    let program = nodes.on_head(&format!("stat -c %i {ROOT}/bin/cloudtik"));
    nodes.on_head("pkill -KILL -f '/bin/cloudtik node --boot'");
    nodes.head("again");
    nodes.apply();
    nodes.is_node("again");
    assert_eq!(nodes.on_head(&format!("stat -c %i {ROOT}/bin/cloudtik")), program, "it was sent twice");

    // Somebody else answers there.
    nodes.on_head("cd /etc/ssh && rm ssh_host* && ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key && kill -HUP $(pgrep -o -x sshd)");
    nodes.head("never");
    let nothing_begun = "the head of cluster.c is there and does not answer, so nothing was begun";
    nodes.world.stage.fails(1, &APPLY, &[nothing_begun, "the host key is not the expected one", "nothing was sent and no login was tried"]);
    // Nobody answers there any more.
    nodes.on_head("pkill -STOP -x sshd");
    let silent = nodes.world.stage.fails(1, &APPLY, &[nothing_begun]);
    assert!(silent.took < Duration::from_secs(30), "{:?}", silent.took);
    assert_eq!(nodes.on_head("cut -d' ' -f1 /etc/greeting"), "again\n");

    nodes.world.expect(0, &DESTROY);
    nodes.world.is_as(&before, "destroyed");
    wait_until("the machine goes", Duration::from_secs(5), || nodes.machines.ids().is_empty());
}

/// A head whose address stays: nobody speaks to it before it has it, the next head has it too, and it comes and goes with the head staying.
#[test]
fn an_address_outlives_its_head() {
    let Some(nodes) = Nodes::new("") else { return };
    let image = nodes.image();
    let spec = |public_ip: &str, greeting: &str| {
        nodes.spec(&format!(
            r#"  head {{
    instance_type = "m5.large"
    image         = "{image}"
    public_ip     = "{public_ip}"
    files = {{
      "/etc/greeting" = {{ content = "{greeting} from ${{node.id}}\n" }}
    }}
    setup {{
      before_runtimes = ["id -un > ${{node.dirs.data}}/who"]
    }}
  }}
}}
output "head" {{
  value = [cluster.c.head.public_ip, cluster.c.head.ssh_command]
"#
        ));
    };
    let before = nodes.world.snapshot();
    let address = || nodes.world.server.ec2("DescribeInstances", &[]).unwrap().texts("ipAddress").last().cloned().unwrap();
    let told = || {
        serde_json::from_str::<serde_json::Value>(&nodes.world.expect(0, &["output", "--json"]).0.stdout).unwrap()["head"]["value"].clone()
    };
    spec("static", "hello");
    nodes.apply();
    nodes.is_node("hello");
    nodes.is_settled();
    let (head, static_address) = (nodes.world.id(HEAD), address());
    assert_eq!(told(), serde_json::json!([static_address, format!("ssh ubuntu@{static_address}")]));
    let made = nodes.world.snapshot();
    assert!(made.iter().any(|line| line.contains("cloudtik-c-head-address") && line.contains(&head)), "{made:?}");

    let replace = [&APPLY[..], &["--replace", HEAD]].concat();
    let ran = nodes.world.stage.run(&replace);
    assert_eq!(ran.code(), Some(0), "{}\n{}", ran.text(), nodes.machines.consoles());
    assert_ne!(nodes.world.id(HEAD), head);
    nodes.is_node("hello");
    nodes.is_settled();

    // A head that is lost takes its association with it.
    nodes.world.client.ec2("TerminateInstances", &[("InstanceId.1", &nodes.world.id(HEAD))]).unwrap();
    nodes.apply();
    nodes.is_node("hello");
    nodes.is_settled();
    assert_eq!(told()[0], static_address.as_str());

    // Without it the same head has another one, and with it again one that stays, while its steps change.
    let head = nodes.world.id(HEAD);
    spec("auto", "hello");
    nodes.apply();
    nodes.is_node("hello");
    assert_ne!(address(), static_address);
    // Which one AWS gave it, the next look tells.
    nodes.apply();
    nodes.is_settled();
    assert_eq!((nodes.world.id(HEAD), told()[0] == address().as_str()), (head.clone(), true));
    spec("static", "again");
    nodes.apply();
    nodes.is_node("again");
    nodes.is_settled();
    assert_eq!((nodes.world.id(HEAD), told()[0] == address().as_str()), (head, true));

    nodes.world.expect(0, &DESTROY);
    nodes.world.is_as(&before, "destroyed");
}

#[test]
fn where_there_is_systemd_it_keeps_the_agent() {
    let Some(nodes) = Nodes::new(&[SYSTEMD, ARM].concat()) else { return };
    nodes.head("hello");
    nodes.world.stage.fails(3, &APPLY, &["is a machine of the architecture aarch64", "bin/cloudtik-aarch64"]);
    std::fs::rename(nodes.beside(std::env::consts::ARCH), nodes.beside("aarch64")).unwrap();
    nodes.apply();
    nodes.is_node("hello");
    let unit = nodes.on_head("cat /etc/systemd/system/cloudtik-node.service");
    for line in [&format!("ExecStart={ROOT}/bin/cloudtik node --boot {ROOT}/boot.json"), "Restart=always", "WantedBy=multi-user.target"] {
        assert!(unit.lines().any(|found| found == line), "`{line}` is not in {unit}");
    }
    let asked = nodes.on_head("cat /var/log/systemctl");
    for line in ["restart ssh.service", "daemon-reload", "enable --quiet --now cloudtik-node.service"] {
        assert!(asked.lines().any(|found| found == line), "`{line}` is not in {asked}");
    }
    nodes.world.expect(0, &DESTROY);
}

/// Whoever applies is killed at any moment and comes again.
#[test]
fn kills_lose_no_machine() {
    let mut random = Random::from_environment();
    let Some(nodes) = Nodes::new("") else { return };
    nodes.head("hello");
    nodes.apply();
    let replace = [&APPLY[..], &["--replace", HEAD]].concat();
    for i in 0..4 {
        let after = Duration::from_millis(400 + random.below(3_000));
        println!("kill {i} after {after:?}");
        let running = nodes.world.stage.start(&replace);
        std::thread::sleep(after);
        running.signal(Signal::SIGKILL);
        running.wait();
        nodes.apply();
        nodes.is_node("hello");
        nodes.is_settled();
    }
    nodes.world.expect(0, &DESTROY);
}
