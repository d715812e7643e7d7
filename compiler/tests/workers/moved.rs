//! Groups that are renamed.

use crate::world::{address, compiled, config, errors, resource};

fn spec(groups: &str, moved: &str) -> String {
    format!("cluster \"c\" {{\n  workspace = workspace.w\n  head {{}}\n{groups}}}\n{moved}\n")
}

#[test]
fn a_renamed_group_is_what_it_was() {
    let group = |label: &str| format!("  workers \"{label}\" {{ min = 2 }}\n");
    let before = compiled(&spec(&group("old"), ""));
    let after = compiled(&spec(&group("new"), "moved {\n  from = cluster.c.workers.old\n  to   = cluster.c.workers.new\n}"));
    assert_eq!(after.graph.moved, [(address("cluster.c.workers.new"), address("cluster.c.workers.old"))].into());
    assert_eq!(config(&after).groups["new"].moved_from.as_deref(), Some("old"));
    // Without the block it is a group like any other.
    let plain = compiled(&spec(&group("new"), ""));
    assert!(plain.graph.moved.is_empty() && config(&plain).groups["new"].moved_from.is_none());
    // What the workers are made of says nothing of their group.
    let (old, new) = (resource(&before.graph, "cluster.c.workers.old"), resource(&after.graph, "cluster.c.workers.new"));
    let differing: Vec<&str> = old.attributes.entries().unwrap().keys().map(|name| &**name).collect();
    let differing: Vec<&str> = differing.into_iter().filter(|name| old.attributes.get(name) != new.attributes.get(name)).collect();
    assert_eq!(differing, ["group", "template"]);
}

#[test]
fn nothing_else_is_renamed() {
    let groups = "  workers \"a\" {}\n  workers \"b\" {}\n";
    let moved = |from: &str, to: &str| format!("moved {{\n  from = {from}\n  to   = {to}\n}}");
    let other = |title: &str, line: u32| {
        format!("{line} moved-kind: {title}\n  help: write `from = cluster.c.workers.old` and `to = cluster.c.workers.new`")
    };
    let of = |from: &str, to: &str, expected: &str| errors(&spec(groups, &moved(from, to)), expected);
    of("value.x", "cluster.c.workers.a", &other("`value.x` is no group of workers", 10));
    of("cluster.c.workers.z", "cluster.c.workers", &other("`cluster.c.workers` is no group of workers", 11));
    of("cluster.c.workers.z", "cluster.c.workers.a[1]", &other("`cluster.c.workers.a[1]` is no group of workers", 11));
    of(
        "cluster.d.workers.a",
        "cluster.c.workers.a",
        &other("`cluster.d.workers.a` and `cluster.c.workers.a` are groups of two clusters", 11),
    );
    of(
        "cluster.c.workers.b",
        "cluster.c.workers.a",
        "
10 moved-exists: `cluster.c.workers.b` is still in the spec, so it was not renamed
  help: take the `workers` block of that name out, or this `moved`
",
    );
    of(
        "cluster.c.workers.z",
        "cluster.c.workers.y",
        "
11 unknown-reference: there is no group of workers at `cluster.c.workers.y`
  help: `to` is the name of now: add the `workers` block, or take this `moved` out
",
    );
    let help = "a group is renamed from one name to another: write the name that it had when it was last applied, and the one of now";
    let twice = |line: u32, name: &str| format!("{line} moved-twice: `cluster.c.workers.{name}` is named by `moved` twice\n  help: {help}");
    of("cluster.c.workers.a", "cluster.c.workers.a", &twice(11, "a"));
    let first = moved("cluster.c.workers.y", "cluster.c.workers.a");
    let chain = format!("{first}\n{}", moved("cluster.c.workers.x", "cluster.c.workers.y"));
    errors(&spec(groups, &chain), &twice(15, "y"));
}
