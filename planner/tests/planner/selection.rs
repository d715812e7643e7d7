//! Parts of a plan.

use std::collections::BTreeSet;

use cloudtik_model::Address;
use cloudtik_planner::{Mode, Selection};

use crate::world::{World, address, thing};

fn addresses(list: &[&str]) -> BTreeSet<Address> {
    list.iter().map(|text| address(text)).collect()
}

/// `b` needs `a`, `c` needs `b`; `x` and `y` are in the state only, and `y` stood on `x` and on `a`.
fn taken(targets: &[&str], excludes: &[&str], mode: Mode) -> String {
    let (a, b) = (|| thing("value.a", 1), || thing("value.b", 2).needs("value.a"));
    let mut world = World::with([a(), b(), thing("value.x", 4), thing("value.y", 5).needs("value.x").needs("value.a")]);
    world.converge().wants([a(), b(), thing("value.c", 3).needs("value.b")]);
    let selection = Selection { targets: addresses(targets), excludes: addresses(excludes) };
    let taken = selection.addresses(&world.graph, &world.state, mode);
    taken.iter().map(|address| address.to_string().replace("value.", "")).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_made_takes_what_it_needs() {
    let normal = |targets: &[&str], excludes: &[&str]| taken(targets, excludes, Mode::Normal);
    assert_eq!(normal(&[], &[]), "a b c x y");
    assert_eq!(normal(&["value.b"], &[]), "a b");
    assert_eq!(normal(&["value.a"], &[]), "a");
    assert_eq!(normal(&[], &["value.b"]), "a x y");
    assert_eq!(normal(&["value.c"], &["value.b"]), "a");
}

#[test]
fn what_goes_takes_what_stands_on_it() {
    let normal = |targets: &[&str], excludes: &[&str]| taken(targets, excludes, Mode::Normal);
    assert_eq!(normal(&["value.x"], &[]), "x y");
    assert_eq!(normal(&["value.y"], &[]), "y");
    assert_eq!(normal(&[], &["value.y"]), "a b c");
    let destroy = |targets: &[&str], excludes: &[&str]| taken(targets, excludes, Mode::Destroy);
    assert_eq!(destroy(&["value.a"], &[]), "a b y");
    assert_eq!(destroy(&[], &["value.b"]), "x y");
    assert_eq!(destroy(&["value.b"], &["value.a"]), "b");
}

#[test]
fn whole_blocks_are_complete() {
    let is_complete =
        |targets: &[&str], excludes: &[&str]| Selection { targets: addresses(targets), excludes: addresses(excludes) }.is_complete();
    assert!(is_complete(&["workspace.w", "cluster.c[\"a\"]"], &[]));
    assert!(!is_complete(&["value.a"], &[]) && !is_complete(&["cluster.c.head"], &[]));
    assert!(!is_complete(&["workspace.w"], &["value.a"]));
}
