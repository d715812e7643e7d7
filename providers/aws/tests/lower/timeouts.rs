//! `timeouts`: they hold for everything below the block.

use cloudtik_model::{Address, Graph, Node, Timeouts};

use crate::support::{compiled, describe, facts, run, templates};

const SPEC: &str = "workspace \"w\" {\n timeouts {\n create = \"45m\"\n delete = \"1h30m\"\n }\n storage \"s\" {\n lifecycle {\n prevent_destroy = true\n }\n }\n}\n\
    cluster \"c\" {\n workspace = workspace.w\n timeouts {\n create = \"20m\"\n }\n head {}\n workers \"g\" {\n lifecycle {\n prevent_destroy = true\n }\n }\n}\n\
    resource \"aws_vpc\" \"own\" {\n cidr_block = \"10.9.0.0/16\"\n timeouts {\n update = \"90s\"\n }\n}\n";

fn below(graph: &Graph, block: &str) -> Vec<(Address, Timeouts)> {
    let block: Address = block.parse().unwrap();
    let resources = graph.nodes.iter().filter(|(address, _)| address.is_within(&block));
    let resources = resources.filter_map(|(address, node)| match node {
        Node::Resource(spec) => Some((address.clone(), spec.lifecycle.timeouts)),
        Node::Step(_) => None,
    });
    resources.collect()
}

#[test]
fn they_hold_for_everything_below_the_block() {
    let graph = compiled(SPEC, &facts(SPEC));
    let of_cluster = Timeouts { create_secs: Some(1_200), ..Timeouts::default() };
    for (block, least, expected) in [
        ("workspace.w", 20, Timeouts { create_secs: Some(2_700), delete_secs: Some(5_400), ..Timeouts::default() }),
        ("cluster.c", 4, of_cluster),
        ("aws_vpc.own", 1, Timeouts { update_secs: Some(90), ..Timeouts::default() }),
    ] {
        let found = below(&graph, block);
        assert!(found.len() >= least, "{found:?}");
        found.iter().for_each(|(address, timeouts)| assert_eq!(*timeouts, expected, "{address}"));
    }
    assert_eq!(templates(SPEC, &facts(SPEC)).iter().map(|worker| worker.lifecycle.timeouts).collect::<Vec<_>>(), [of_cluster]);
}

#[test]
fn they_are_durations() {
    for (written, expected) in [
        ("create = \"0s\"", "3 error bad-value: `create`: `0s` is no time that something may take"),
        ("delete = \"soon\"", "3 error bad-value: `delete`: `soon` is no time that something may take"),
        ("read = \"1m\"", "3 error unknown-attribute: `timeouts` has no attribute `read`"),
    ] {
        let source = format!("workspace \"w\" {{\n timeouts {{\n{written}\n }}\n}}\n");
        let (_, map, found) = run(&source, &facts(&source));
        assert_eq!(describe(&map, &found).trim(), expected);
    }
}
