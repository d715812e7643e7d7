//! The order of operations.

use cloudtik_model::ProviderRef;
use cloudtik_planner::{Costs, Estimate, OperationKind, estimate, execution};
use cloudtik_provider_api::{Deed, Requests};

use crate::world::{World, address, of, thing};

#[test]
fn a_replacement_takes_its_dependents_with_it_through_what_stays() {
    // b stays as it is: only the order goes through it.
    let things = |image: &str| {
        [
            thing("t_thing.a", 1).set("image", image),
            thing("t_thing.b", 2).needs("t_thing.a"),
            thing("t_thing.c", 3).needs("t_thing.b").set("image", image),
        ]
    };
    let mut world = World::with(things("x"));
    world.converge().wants(things("y"));
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_thing.b"), "no-op");
    assert_eq!(
        world.operations(&planned.plan),
        ["delete t_thing.c", "delete t_thing.a", "create t_thing.a", "rewire t_thing.b", "create t_thing.c"]
    );
    let execution = execution(&planned.plan, &world.state).unwrap();
    let passes = execution.operations.iter().filter(|o| o.kind == OperationKind::Waypoint).count();
    assert_eq!(passes, 1, "the order of the deletes goes through a waypoint; on the way up, what depends on a is written down again");
    world.converge();
}

#[test]
fn the_order_of_deletes_goes_through_what_was_removed() {
    let mut world = World::with([
        thing("t_thing.a", 1).set("image", "x"),
        thing("t_thing.b", 2).needs("t_thing.a"),
        thing("t_thing.c", 3).needs("t_thing.b").set("image", "x"),
    ]);
    world.converge().wants([thing("t_thing.a", 1).set("image", "y"), thing("t_thing.c", 3).set("image", "y")]);
    let planned = world.plan().fine();
    let operations = world.operations(&planned.plan);
    let place = |what: &str| operations.iter().position(|o| o == what).unwrap();
    assert!(
        place("delete t_thing.c") < place("delete t_thing.b") && place("delete t_thing.b") < place("delete t_thing.a"),
        "{operations:?}"
    );
    assert!(place("delete t_thing.a") < place("create t_thing.a"));
    world.converge();
}

#[test]
fn a_dependent_lets_go_of_a_thing_before_the_thing_goes() {
    let mut world = World::with([thing("t_thing.a", 1), thing("t_thing.b", 2).set("link", of("t_thing.a", "id"))]);
    world.converge().wants([thing("t_thing.b", 2)]);
    assert_eq!(world.operations(&world.plan().fine().plan), ["update t_thing.b", "delete t_thing.a"]);
    // Unless the update needs something that can only come after: then the wish gives way.
    let things = |image: &str| [thing("t_thing.low", 1).set("image", image), thing("t_thing.mid", 2).needs("t_thing.low")];
    let mut world =
        World::with(things("x").into_iter().chain([thing("t_thing.top", 3).needs("t_thing.mid").set("link", of("t_thing.low", "id"))]));
    world.converge().wants([thing("t_thing.low", 1).set("image", "y"), thing("t_thing.top", 3).set("link", of("t_thing.low", "id"))]);
    assert_eq!(
        world.operations(&world.plan().fine().plan),
        ["delete t_thing.mid", "delete t_thing.low", "create t_thing.low", "update t_thing.top"]
    );
    world.converge();
}

#[test]
fn a_dependent_uses_the_new_object_before_the_old_one_goes() {
    let things =
        |image: &str| [thing("t_thing.a", 1).set("image", image).first(), thing("t_thing.b", 2).set("link", of("t_thing.a", "id"))];
    let mut world = World::with(things("x"));
    world.converge().wants(things("y"));
    assert_eq!(world.operations(&world.plan().fine().plan), ["create t_thing.a", "update t_thing.b", "delete deposed t_thing.a"]);
    // Interrupted after the create: the old one is deposed and still goes last.
    let planned = world.plan().fine();
    world.apply(&planned.plan, 1);
    assert_eq!(world.operations(&world.plan().fine().plan), ["update t_thing.b", "delete deposed t_thing.a"]);
    world.converge();
    assert!(world.state.resources[&address("t_thing.a")].deposed.is_empty());
}

#[test]
fn a_unique_name_is_let_go_of_before_it_is_taken() {
    let named = |at: &str, name: &str| thing(at, 1).set("name", name);
    let mut world = World::with([named("t_named.b", "n")]);
    world.converge().wants([named("t_named.a", "n")]);
    assert_eq!(world.operations(&world.plan().fine().plan), ["delete t_named.b", "create t_named.a"]);
    // Unless the old one can only go later: then the provider has the last word.
    let user = |of_whom: &str| thing("t_thing.user", 2).set("network", of(of_whom, "id")).first();
    let mut world = World::with([named("t_named.b", "n"), user("t_named.b")]);
    world.converge().wants([named("t_named.a", "n"), user("t_named.a")]);
    assert_eq!(
        world.operations(&world.plan().fine().plan),
        ["create t_named.a", "create t_thing.user", "delete deposed t_thing.user", "delete t_named.b"]
    );
}

#[test]
fn the_longest_remaining_chain_is_known() {
    let world = World::with([thing("t_thing.a", 1), thing("t_thing.b", 2).needs("t_thing.a"), thing("t_thing.c", 3)]);
    let execution = execution(&world.plan().fine().plan, &world.state).unwrap();
    let remaining: Vec<(String, u64)> = execution.operations.iter().map(|o| (o.address.to_string(), o.remaining_ms)).collect();
    assert_eq!(remaining, [("t_thing.a".into(), 200), ("t_thing.b".into(), 100), ("t_thing.c".into(), 100)]);
}

#[test]
fn twenty_thousand_values_cost_a_linear_number_of_operations() {
    const COUNT: usize = 20_000;
    let things = |input: i64| {
        (0..COUNT).map(move |i| {
            let value = thing(&format!("value.v[{i}]"), 1).set("input", input);
            if i > 0 { value.needs(&format!("value.v[{}]", i - 1)) } else { value }
        })
    };
    let mut world = World::with(things(1));
    let planned = world.plan().fine();
    let run = execution(&planned.plan, &world.state).unwrap();
    assert_eq!(run.operations.len(), COUNT);
    assert_eq!(run.operations.iter().map(|o| o.after.len()).sum::<usize>(), COUNT - 1);
    world.apply(&planned.plan, usize::MAX);
    // Nothing to do is no operation at all; one change at each end of a chain of no-ops is two, and the waypoints between them.
    assert_eq!(execution(&world.plan().fine().plan, &world.state).unwrap().operations.len(), 0);
    world.graph.nodes.extend(
        [thing("value.v[0]", 1).set("input", 2_i64), thing("value.v[19999]", 1).set("input", 2_i64).needs("value.v[19998]")]
            .map(|thing| (thing.0.address.clone(), cloudtik_model::Node::Resource(thing.0))),
    );
    let run = execution(&world.plan().fine().plan, &world.state).unwrap();
    assert_eq!(run.operations.len(), COUNT);
    assert!(run.operations.iter().map(|o| o.after.len()).sum::<usize>() < 2 * COUNT);
}

#[test]
fn what_adds_up_is_added_to_before_something_of_it_goes() {
    let wall = || thing("t_thing.wall", 1);
    let rule = |name: &str| thing(&format!("t_rule.{name}"), 2).set("link", of("t_thing.wall", "id"));
    let mut world = World::with([wall(), rule("old"), rule("stays")]);
    world.converge().wants([wall(), rule("new").set("ports", 2_u64), rule("stays")]);
    let planned = world.plan().fine();
    let execution = execution(&planned.plan, &world.state).unwrap();
    let place = |name: &str| {
        execution
            .operations
            .iter()
            .find(|operation| operation.address == address(name) && operation.kind != OperationKind::Waypoint)
            .unwrap()
    };
    assert!(place("t_rule.old").after.contains(&place("t_rule.new").id));
    // The same rule under another name goes first: it cannot be there twice.
    let mut world = World::with([wall(), rule("old")]);
    world.converge().wants([wall(), rule("called")]);
    let planned = world.plan().fine();
    assert_eq!(planned.plan.changes[&address("t_rule.called")].waits_for.len(), 1);
    assert_eq!(world.operations(&planned.plan), ["delete t_rule.old", "create t_rule.called"]);
    // Those of another wall, or of another kind, wait for nobody.
    let thing_of = |name: &str| thing(&format!("t_thing.{name}"), 3).set("link", of("t_thing.wall", "id"));
    let mut world = World::with([wall(), thing_of("old")]);
    world.converge().wants([wall(), thing_of("new")]);
    assert_eq!(world.plan().fine().plan.changes[&address("t_thing.old")].makes_way_for.len(), 0);
}

/// So many requests for each call, and one look where there are any. One call makes four of the objects of a block.
struct Counts(u64);

impl Costs for Counts {
    fn requests(&self, _: &ProviderRef, kind: &str, deed: Deed, ms: u64) -> Requests {
        assert_eq!((kind, deed, ms), ("t_thing", Deed::Create, 100));
        Requests { sent: self.0, looks: self.0.min(1) }
    }

    fn together(&self, _: &ProviderRef, _: &str) -> usize {
        4
    }
}

#[test]
fn creates_that_are_one_call_count_as_one() {
    let of = |name: &'static str, count: u32| (0..count).map(move |n| thing(&format!("t_thing.{name}[{n}]"), 1));
    let world = World::with(of("many", 9).chain(of("few", 2)).chain([thing("t_thing.alone", 1)]));
    let execution = execution(&world.plan().fine().plan, &world.state).unwrap();
    // Three calls, one, and one.
    assert_eq!(estimate(&execution, 1, &Counts(2)), Some(Estimate { calls: 15, waiting_calls: 5, ms: 500 }));
}

#[test]
fn a_plan_takes_as_long_as_its_longest_chain_or_as_all_of_it_shared_out() {
    let chain = [thing("t_thing.a", 1), thing("t_thing.b", 2).needs("t_thing.a")];
    let more = (3..=10).map(|line| thing(&format!("t_thing.more{line}"), line));
    let world = World::with(chain.into_iter().chain(more));
    let execution = execution(&world.plan().fine().plan, &world.state).unwrap();
    let of = |parallelism| estimate(&execution, parallelism, &Counts(2));
    assert_eq!(of(10), Some(Estimate { calls: 30, waiting_calls: 10, ms: 200 }));
    assert_eq!(of(2).map(|expected| expected.ms), Some(500));
    assert_eq!(estimate(&execution, 2, &Counts(0)), None);
}
