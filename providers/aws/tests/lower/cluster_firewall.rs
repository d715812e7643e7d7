//! The firewall of a cluster: who is behind which, what each lets in, and what is refused.

use std::collections::BTreeSet;

use cloudtik_model::{Graph, Node, ResourceSpec, Value};
use cloudtik_provider_api::Facts;

use crate::check_attributes;
use crate::support::{addresses, attribute, compiled, describe, facts, golden, resource, run, templates};

/// A rule for each kind of nodes, in both directions, in a workspace that lets out what it says.
const EVERYTHING: &str = r#"workspace "w" {
  firewall {
    egress "dns" {
      ports    = ["53"]
      to       = ["10.0.0.2/32"]
      protocol = "udp"
    }
  }
}
cluster "c" {
  workspace = workspace.w
  tags      = { team = "etl" }
  firewall {
    ssh_from = ["203.0.113.7/32"]
    ingress "ui" {
      ports = ["8080"]
      from  = ["10.0.0.0/8"]
    }
    ingress "data" {
      ports = ["9000-9010"]
      from  = ["10.0.0.0/8"]
      to    = "workers"
    }
    ingress "any" {
      ports = ["7000"]
      from  = ["10.0.0.0/8"]
      to    = "all"
    }
    egress "web" {
      ports = ["443"]
      to    = ["0.0.0.0/0"]
    }
    egress "mail" {
      ports = ["25"]
      to    = ["10.9.0.0/16"]
      from  = "workers"
    }
  }
  head {}
  workers "g" {}
}
"#;

/// The addresses that a value refers to.
fn named(value: &Value) -> Vec<String> {
    let mut addresses = BTreeSet::new();
    value.addresses(&mut addresses);
    addresses.iter().map(ToString::to_string).collect()
}

fn firewalls(node: &ResourceSpec) -> Vec<String> {
    named(node.attributes.get("vpc_security_group_ids").unwrap())
}

fn says(source: &str) -> String {
    let (_, map, found) = run(source, &facts(source));
    describe(&map, &found).trim().to_owned()
}

#[test]
fn what_is_made_of_the_firewall_of_a_cluster() {
    let graph = compiled(EVERYTHING, &facts(EVERYTHING));
    golden("addresses/cluster-firewall", &addresses(&graph));
    assert_eq!(compiled(EVERYTHING, &Facts::new()).nodes.keys().collect::<Vec<_>>(), graph.nodes.keys().collect::<Vec<_>>());
    let schema = cloudtik_aws::aws_schema();
    for resource in of_firewall(&graph) {
        check_attributes("cluster-firewall", resource, &schema.kinds[&*resource.kind]);
        // By this mark the head may launch workers behind them.
        assert_eq!(resource.marks.get("cloudtik:workspace").map(String::as_str), Some("w"), "{}", resource.address);
    }
}

/// The firewalls of the cluster and their rules.
fn of_firewall(graph: &Graph) -> Vec<&ResourceSpec> {
    let resources = graph.nodes.values().filter_map(|node| match node {
        Node::Resource(resource) => Some(resource),
        Node::Step(_) => None,
    });
    let of_firewall: Vec<_> = resources.filter(|of| of.address.root() == "cluster" && of.kind.contains("security_group")).collect();
    assert_eq!(of_firewall.len(), 9);
    of_firewall
}

#[test]
fn each_rule_is_for_the_nodes_that_it_names() {
    let graph = compiled(EVERYTHING, &facts(EVERYTHING));
    for (rule, firewall) in [
        ("ingress_rule.head[\"ssh:203.0.113.7/32\"]", "firewall.head"),
        ("ingress_rule.head[\"ui:10.0.0.0/8:8080\"]", "firewall.head"),
        ("ingress_rule.workers[\"data:10.0.0.0/8:9000-9010\"]", "firewall.workers"),
        ("ingress_rule[\"any:10.0.0.0/8:7000\"]", "firewall"),
        ("egress_rule[\"web:0.0.0.0/0:443\"]", "firewall"),
        ("egress_rule.workers[\"mail:10.9.0.0/16:25\"]", "firewall.workers"),
    ] {
        let of = attribute(&graph, &format!("cluster.c.{rule}"), "security_group_id");
        assert_eq!(named(&of), [format!("cluster.c.{firewall}")], "{rule}");
    }
    let names = ["firewall", "firewall.head", "firewall.workers"].map(|part| attribute(&graph, &format!("cluster.c.{part}"), "name"));
    assert_eq!(names, ["cloudtik-w.c", "cloudtik-w.c/head", "cloudtik-w.c/workers"].map(Value::from));
    assert_eq!(attribute(&graph, "cluster.c.firewall", "tags").get("team"), Some(&"etl".into()));
    let head = resource(&graph, "cluster.c.head");
    assert_eq!(firewalls(head), ["cluster.c.firewall", "cluster.c.firewall.head", "workspace.w.firewall", "workspace.w.firewall.head"]);
    let worker = &templates(EVERYTHING, &facts(EVERYTHING))[0];
    let of_workers = ["cluster.c.firewall", "cluster.c.firewall.workers", "workspace.w.firewall"];
    assert_eq!(firewalls(worker), of_workers);
    let interfaces = attribute(&graph, "cluster.c.launch_template[\"g\"]", "network_interfaces");
    assert_eq!(named(&interfaces), of_workers);
}

/// Nobody is to be shut out of a node that has come, and who follows a rule that goes stops first.
#[test]
fn rules_are_there_before_nodes() {
    let graph = compiled(EVERYTHING, &facts(EVERYTHING));
    for node in ["cluster.c.head", "cluster.c.head_controller", "cluster.c.workers.g"] {
        let needed = &resource(&graph, node).depends_on;
        let missing: Vec<_> = of_firewall(&graph).into_iter().filter(|rule| !needed.contains(&rule.address)).collect();
        assert!(missing.is_empty(), "{node}: {:?}", missing.iter().map(|rule| rule.address.to_string()).collect::<Vec<_>>());
    }
}

/// Between nodes of the workspace only that is open which runtimes declare, on the nodes that they run on, and SSH of heads.
#[test]
fn what_runtimes_listen_on_is_open_between_nodes_where_nothing_else_is() {
    let runtimes = " runtime \"nginx\" {\n on = [\"head\", \"workers\"]\n port = 8080\n }\n runtime \"etcd\" {}\n";
    let declared = |inside: &str| {
        let workspace = format!("workspace \"w\" {{\n firewall {{\n inside = \"{inside}\"\n ssh_from = [\"203.0.113.7/32\"]\n }}\n}}\n");
        format!("{workspace}cluster \"c\" {{\n workspace = workspace.w\n{runtimes} head {{}}\n workers \"g\" {{\n min = 3\n }}\n}}\n")
    };
    let graph = compiled(&declared("declared"), &facts(&declared("declared")));
    let of = |at: &str, name: &str| attribute(&graph, at, name);
    for (rule, firewall, port) in [
        ("ingress_rule[\"runtime:tcp:8080\"]", "firewall", 8080_u64),
        ("ingress_rule.workers[\"runtime:tcp:2379\"]", "firewall.workers", 2379),
        ("ingress_rule.workers[\"runtime:tcp:2380\"]", "firewall.workers", 2380),
    ] {
        let at = format!("cluster.c.{rule}");
        assert_eq!(named(&of(&at, "security_group_id")), [format!("cluster.c.{firewall}")]);
        assert_eq!(named(&of(&at, "referenced_security_group_id")), ["workspace.w.firewall"]);
        assert_eq!((of(&at, "from_port"), of(&at, "to_port")), (port.into(), port.into()));
    }
    let rules = |prefix: &str| graph.nodes.keys().filter(|address| address.to_string().starts_with(prefix)).count();
    assert_eq!((rules("cluster.c.ingress_rule"), rules("workspace.w.ingress_rule")), (3, 2));
    let ssh = "workspace.w.ingress_rule[\"ssh-of-heads\"]";
    assert_eq!(named(&of(ssh, "security_group_id")), ["workspace.w.firewall"]);
    assert_eq!(named(&of(ssh, "referenced_security_group_id")), ["workspace.w.firewall.head"]);
    assert_eq!((of(ssh, "from_port"), of(ssh, "ip_protocol")), (22_u64.into(), "tcp".into()));
    assert_eq!(firewalls(resource(&graph, "cluster.c.head")).len(), 4);
    let record = |source: &str| format!("{:?}", attribute(&compiled(source, &facts(source)), "workspace.w.record", "value"));
    assert!(record(&declared("declared")).contains("declared") && !record(&declared("all")).contains("declared"));

    let all = compiled(&declared("all"), &facts(&declared("all")));
    assert_eq!(named(&attribute(&all, "workspace.w.ingress_rule[\"inside\"]", "referenced_security_group_id")), ["workspace.w.firewall"]);
    assert!(!all.nodes.keys().any(|address| address.to_string().starts_with("cluster.c.firewall")));
}

#[test]
fn a_cluster_without_the_block_has_none() {
    let source = "workspace \"w\" {}\ncluster \"c\" {\n workspace = workspace.w\n head {}\n}\n";
    let graph = compiled(source, &facts(source));
    assert!(!graph.nodes.keys().any(|address| address.to_string().starts_with("cluster.c.firewall")));
    assert_eq!(firewalls(resource(&graph, "cluster.c.head")), ["workspace.w.firewall", "workspace.w.firewall.head"]);
}

/// A cluster with this firewall, on the fourth line.
fn with(firewall: &str) -> String {
    format!("workspace \"w\" {{}}\ncluster \"c\" {{\n workspace = workspace.w\n firewall {{\n{firewall}\n }}\n head {{}}\n}}\n")
}

#[test]
fn the_cluster_may_be_the_one_that_lets_ssh_in() {
    assert_eq!(says(&with(" ssh_from = [\"203.0.113.7/32\"]")), "");
    assert_eq!(says(&with(" ingress \"x\" {\n ports = [\"1-1024\"]\n from = [\"10.0.0.0/8\"]\n }")), "");
    let shut = "warning aws-no-ssh: no rule lets anybody reach SSH of `cluster.c.head`, so nothing can be set up on it";
    let to_workers = with(" ingress \"x\" {\n ports = [\"22\"]\n from = [\"10.0.0.0/8\"]\n to = \"workers\"\n }");
    assert_eq!(says(&to_workers), format!("11 {shut}"));
    assert_eq!(says(&with("")), format!("7 {shut}"));
}

#[test]
fn what_closes_nothing_is_refused() {
    let closes = " ssh_from = [\"203.0.113.7/32\"]\n egress \"web\" {\n ports = [\"443\"]\n to = [\"0.0.0.0/0\"]\n }";
    assert_eq!(
        says(&with(closes)),
        "6 error aws-firewall: `egress` of a cluster closes nothing here: its nodes are behind the firewall of the workspace too, which lets everything out"
    );
    assert_eq!(says(EVERYTHING), "");
    let again = " ssh_from = [\"10.0.0.0/8\"]\n ingress \"again\" {\n ports = [\"22\"]\n from = [\"10.0.0.0/8\"]\n }";
    assert_eq!(says(&with(again)), "5 error aws-same-rule: the rules `again:10.0.0.0/8:22` and `ssh:10.0.0.0/8` let the same in");
    let inside = says(&with(" inside = \"all\""));
    assert!(inside.starts_with("5 error unknown-attribute") && inside.contains("inside"), "{inside}");
}
