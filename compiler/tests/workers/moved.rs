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
    assert_eq!(after.graph.moved, [(address("cluster.c.workers.old"), address("cluster.c.workers.new"))].into());
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
        format!(
            "{line} moved-kind: {title}\n  help: write `from = aws_vpc.old` and `to = aws_vpc.new`, or `from = cluster.c.workers.old` and `to = cluster.c.workers.new`"
        )
    };
    let of = |from: &str, to: &str, expected: &str| errors(&spec(groups, &moved(from, to)), expected);
    of("value.x", "cluster.c.workers.a", &other("`value.x` and `cluster.c.workers.a` are of two kinds", 11));
    of(
        "cluster.c.workers.z",
        "cluster.c.workers",
        &other("`cluster.c.workers` is neither a resource, nor a group of workers, nor a module", 11),
    );
    of(
        "cluster.c.workers.z",
        "cluster.c.workers.a[1]",
        &other("`cluster.c.workers.a[1]` is neither a resource, nor a group of workers, nor a module", 11),
    );
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
    let help = "one that is renamed has one name of now: write the name that it had when it was last applied, and the one of now";
    let twice = |line: u32, name: &str| format!("{line} moved-twice: `cluster.c.workers.{name}` is named by `moved` twice\n  help: {help}");
    of("cluster.c.workers.a", "cluster.c.workers.a", &twice(11, "a"));
    let first = moved("cluster.c.workers.y", "cluster.c.workers.a");
    let chain = format!("{first}\n{}", moved("cluster.c.workers.x", "cluster.c.workers.y"));
    errors(&spec(groups, &chain), &twice(15, "y"));
}

#[test]
fn a_resource_is_renamed_with_its_keys() {
    let moved = |from: &str, to: &str| format!("moved {{\n  from = {from}\n  to   = {to}\n}}\n");
    let many = "resource \"value\" \"many\" { for_each = toset([\"a\"]) }\nresource \"value\" \"one\" {}\n";
    let of = |moves: &[(&str, &str)]| {
        let blocks: String = moves.iter().map(|(from, to)| moved(from, to)).collect();
        let graph = compiled(&format!("{many}{blocks}")).graph;
        graph.moved.iter().map(|(from, to)| format!("{from} > {to}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(of(&[("value.old", "value.many")]), "value.old > value.many");
    assert_eq!(of(&[("value.many", "value.many[\"a\"]")]), "value.many > value.many[\"a\"]");
    assert_eq!(of(&[("value.one[0]", "value.one")]), "value.one[0] > value.one");
    assert_eq!(of(&[("value.x", "value.y"), ("resource.value.y", "value.one")]), "value.x > value.one, value.y > value.one");
    let wrong = |moves: &[(&str, &str)], expected: &str| {
        let blocks: String = moves.iter().map(|(from, to)| moved(from, to)).collect();
        errors(&format!("{many}{blocks}"), expected);
    };
    wrong(
        &[("value.many", "value.one")],
        "6 moved-exists: `value.many` is still in the spec, so it was not renamed\n  help: take the block of that name out, or this `moved`",
    );
    wrong(
        &[("value.x", "value.y")],
        "7 unknown-reference: there is nothing at `value.y`\n  help: `to` is the name of now: add the block, or take this `moved` out",
    );
    let circle = |line: u32, name: &str| {
        format!(
            "{line} moved-twice: `value.{name}` would be called `value.{name}` again\n  help: these `moved` go round in a circle: take one of them out\n"
        )
    };
    wrong(&[("value.x", "value.y"), ("value.y", "value.x")], &format!("{}{}", circle(6, "x"), circle(10, "y")));
    let help = "one that is renamed has one name of now: write the name that it had when it was last applied, and the one of now";
    wrong(
        &[("value.x", "value.one"), ("value.x[0]", "value.many[\"a\"]")],
        &format!("10 moved-twice: `value.x[0]` is named by `moved` twice\n  help: {help}"),
    );
}

#[test]
fn what_is_removed_is_not_in_the_spec() {
    let removed = |inside: &str| format!("resource \"value\" \"one\" {{}}\nremoved {{\n{inside}\n}}\n");
    let released = |inside: &str| compiled(&removed(inside)).graph.released;
    assert!(released("from = value.gone").is_empty());
    assert!(released("from = value.gone\nlifecycle { destroy = true }").is_empty());
    assert_eq!(released("from = cluster.c\nlifecycle { destroy = false }"), [address("cluster.c")].into());
    errors(
        &removed("from = value.one.input\nlifecycle { destroy = false }"),
        "5 removed-kind: `value.one.input` is nothing that a plan makes\n  help: name a resource, `aws_vpc.main`, or a whole block or a part of it: `cluster.c`, `workspace.w.storage.logs`",
    );
    errors(
        &removed("from = value.one\nlifecycle { destroy = false }"),
        "5 removed-exists: `value.one` is still in the spec\n  help: take the block out, or this `removed`",
    );
}

#[test]
fn a_name_may_be_of_none_now_or_let_go_of() {
    let none = "resource \"value\" \"many\" { count = 0 }\nmoved {\n  from = value.old\n  to   = value.many[0]\n}\n";
    assert_eq!(compiled(none).graph.moved, [(address("value.old"), address("value.many[0]"))].into());
    let left = "moved {\n  from = value.old\n  to   = value.left\n}\nremoved {\n  from = value.left\n  lifecycle { destroy = false }\n}\n";
    let graph = compiled(left).graph;
    assert_eq!((graph.moved, graph.released), ([(address("value.old"), address("value.left"))].into(), [address("value.left")].into()));
}
