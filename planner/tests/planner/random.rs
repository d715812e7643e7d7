//! Random graphs over random states: what was planned and done leaves nothing to do, in whatever order graphs follow each other and
//! wherever a run is interrupted.

use cloudtik_model::{StepKind, Value};
use cloudtik_planner::{Mode, OperationKind, Plan, execution};
use proptest::prelude::*;

use crate::world::{Step, Thing, World, address, of, step, thing, value};

/// How many addresses a graph may have.
const THINGS: usize = 7;

/// One address of a graph.
#[derive(Clone, Debug)]
struct Spec {
    there: bool,
    size: Option<i64>,
    image: u8,
    first: bool,
    /// Which of those before it, in the order of the graph, it depends on, and how: 0 not at all, 1 by name only, 2 to 4 by an attribute.
    uses: Vec<u8>,
    /// 0: no step; the text of its step.
    step: u8,
    undo: bool,
}

/// A graph: an order of the addresses and what each is. Edges go backwards in the order, so that two graphs may have them both ways.
type Wanted = (Vec<usize>, Vec<Spec>);

fn spec() -> impl Strategy<Value = Spec> {
    let uses = prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => 1_u8..5], THINGS);
    let parts = (prop::bool::weighted(0.8), prop::option::of(0_i64..3), 0_u8..2, prop::bool::weighted(0.15), uses, 0_u8..3, any::<bool>());
    parts.prop_map(|(there, size, image, first, uses, step, undo)| Spec { there, size, image, first, uses, step, undo })
}

fn wanted() -> impl Strategy<Value = Wanted> {
    (Just((0..THINGS).collect::<Vec<_>>()).prop_shuffle(), prop::collection::vec(spec(), THINGS))
}

/// A graph and what became of it: other specs for some addresses, so that much stays as it was.
type Version = (Wanted, Option<usize>, Option<usize>);

/// See [`Version`]: the graph; after how many operations the run is interrupted; which object is gone from the provider before it.
fn history() -> impl Strategy<Value = Vec<Version>> {
    let changes = prop::collection::vec((0..THINGS, spec()), 0..3);
    let versions = prop::collection::vec(
        (changes, prop::option::weighted(0.4, 0_usize..20), prop::option::weighted(0.2, wanted()), prop::option::weighted(0.3, 0..THINGS)),
        1..5,
    );
    (wanted(), versions).prop_map(|(mut now, versions)| {
        let mut all = Vec::new();
        for (changes, interrupted, other, gone) in versions {
            if let Some(other) = other {
                now = other;
            }
            for (i, spec) in changes {
                now.1[i] = spec;
            }
            all.push((now.clone(), interrupted, gone));
        }
        all
    })
}

fn build((order, specs): &Wanted, world: &mut World) {
    let mut things: Vec<Thing> = Vec::new();
    let mut steps: Vec<Step> = Vec::new();
    let there: Vec<usize> = order.iter().copied().filter(|i| specs[*i].there).collect();
    for (place, i) in there.iter().enumerate() {
        let spec = &specs[*i];
        let at = format!("t_node.n{i}");
        let mut made =
            thing(&at, u32::try_from(*i).unwrap() + 1).set("name", format!("n{i}")).set("image", format!("image {}", spec.image));
        if let Some(size) = spec.size {
            made = made.set("size", size);
        }
        if spec.first {
            made = made.first();
        }
        let mut links: Vec<(String, Value)> = Vec::new();
        for (before, how) in there.iter().take(place).zip(&spec.uses) {
            let other = format!("t_node.n{before}");
            match how {
                0 => {}
                1 => made = made.needs(&other),
                2 => made = made.set("network", of(&other, "id")),
                3 => made = made.set("link", of(&other, "address")),
                _ => links.push((format!("of{before}"), of(&other, "label"))),
            }
        }
        if !links.is_empty() {
            made = made.set("tags", Value::map(links));
        }
        if spec.step > 0 {
            let inputs = value([("script", format!("echo {}", spec.step).into())]);
            let mut run =
                step(&format!("{at}.run"), &at, StepKind::Run).template("script", "{{ script }}", inputs, &format!("echo {}", spec.step));
            if spec.undo {
                run = run.set("undo", "echo bye");
            }
            let file = step(&format!("{at}.file"), &at, StepKind::File).set("path", "/etc/x").set("content", of(&at, "address"));
            steps.extend([run.follows(&format!("{at}.file")), file]);
        }
        things.push(made);
    }
    world.wants(things).and_steps(steps);
}

/// What must hold of every order, whatever the plan.
fn check_order(world: &World, plan: &Plan) {
    let operations = execution(plan, &world.state).unwrap().operations;
    let mut going: std::collections::BTreeMap<&cloudtik_model::Address, usize> = Default::default();
    for operation in &operations {
        assert!(operation.after.iter().all(|before| *before < operation.id));
        if matches!(operation.kind, OperationKind::Delete { .. } | OperationKind::Undo { .. }) {
            going.insert(&operation.address, operation.id);
        }
    }
    let reaches = reachable(&operations);
    for (address, id) in &going {
        for dependency in &world.state.resources[*address].depends_on {
            if let Some(later) = going.get(dependency) {
                assert!(reaches(*id, *later), "{dependency} must go after {address}");
            }
        }
    }
    for operation in
        operations.iter().filter(|o| matches!(o.kind, OperationKind::Create | OperationKind::CreateReplacement { .. } | OperationKind::Run))
    {
        for other in operations.iter().filter(|o| o.id != operation.id && plan.changes[&operation.address].depends_on.contains(&o.address))
        {
            if matches!(
                other.kind,
                OperationKind::Create | OperationKind::CreateReplacement { .. } | OperationKind::Update | OperationKind::Run
            ) {
                assert!(reaches(other.id, operation.id), "{} must be there before {}", other.address, operation.address);
            }
        }
    }
}

fn reachable(operations: &[cloudtik_planner::Operation]) -> impl Fn(usize, usize) -> bool {
    let mut before: Vec<std::collections::BTreeSet<usize>> = Vec::new();
    for operation in operations {
        let mut all = operation.after.clone();
        for id in &operation.after {
            all.extend(before[*id].iter().copied());
        }
        before.push(all);
    }
    move |first, second| before[second].contains(&first)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_converges(graphs in history()) {
        let mut world = World::new();
        for (graph, interrupted, gone) in &graphs {
            build(graph, &mut world);
            if let Some(gone) = gone.map(|i| format!("t_node.n{i}"))
                && world.state.resources.get(&address(&gone)).is_some_and(|entry| entry.current.is_some())
            {
                world.gone(&gone);
            }
            let planned = world.plan().fine();
            check_order(&world, &planned.plan);
            match interrupted {
                Some(operations) => world.apply(&planned.plan, *operations),
                None => {
                    world.converge();
                }
            }
        }
        let planned = world.plan().fine();
        check_order(&world, &planned.plan);
        world.converge();
        let planned = world.plan_for(Mode::Destroy).fine();
        check_order(&world, &planned.plan);
        world.destroy();
    }

    #[test]
    fn plans_and_their_text_are_the_same_each_time(graph in wanted(), next in wanted()) {
        let mut world = World::new();
        build(&graph, &mut world);
        world.converge();
        build(&next, &mut world);
        let (one, two) = (world.plan(), world.plan());
        prop_assert_eq!(one.text(), two.text());
        let saved = serde_json::to_string(&one.plan).unwrap();
        prop_assert_eq!(&saved, &serde_json::to_string(&two.plan).unwrap());
        prop_assert_eq!(serde_json::from_str::<cloudtik_planner::Plan>(&saved).unwrap(), one.plan);
    }
}
