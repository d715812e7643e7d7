//! What happens to steps.

use cloudtik_model::{StepKind, Value};
use cloudtik_planner::{Mode, step_identity};

use crate::world::{Step, Thing, World, address, late, of, step, thing, value};

fn node(image: &str) -> Thing {
    thing("t_node.head", 1).set("image", image).set("name", "head")
}

fn config(line: &str) -> Step {
    let text = format!("listen {{{{ port }}}}\n{line}\n");
    step("t_node.head.config", "t_node.head", StepKind::File).set("path", "/etc/nginx.conf").set("mode", "0644").template(
        "content",
        &text,
        value([("port", 80_i64.into()), ("address", late("address"))]),
        &format!("listen 80\n{line}\n"),
    )
}

fn daemon() -> Step {
    step("t_node.head.daemon", "t_node.head", StepKind::Daemon)
        .set("name", "nginx")
        .needs("t_node.head.config")
        .follows("t_node.head.config")
}

fn command(script: &str) -> Step {
    step("t_node.head.stop", "t_node.head", StepKind::Run).set("script", "true").set("undo", script)
}

fn world() -> World {
    let mut world = World::with([node("x")]);
    world.and_steps([config("a"), daemon(), command("echo bye")]).converge();
    world
}

#[test]
fn a_step_that_is_done_is_left_alone() {
    let world = world();
    let planned = world.plan().fine();
    for name in ["config", "daemon", "stop"] {
        assert_eq!(planned.says(&format!("t_node.head.{name}")), "no-op");
    }
    assert!(!planned.plan.has_changes());
}

#[test]
fn a_changed_line_runs_the_steps_it_feeds_and_no_other() {
    let mut world = world();
    world.wants([node("x")]).and_steps([config("b"), daemon(), command("echo bye")]);
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_node.head.config"), "run, steps: content changed");
    assert_eq!(planned.attributes("t_node.head.config"), ["content: Some(\"listen 80\\na\\n\") -> Some(\"listen 80\\nb\\n\")"]);
    assert_eq!(planned.says("t_node.head.daemon"), "run, steps: nginx.conf (which it follows) changed");
    assert_eq!(planned.says("t_node.head.stop"), "no-op");
    assert_eq!(world.operations(&planned.plan), ["run t_node.head.config", "run t_node.head.daemon"]);
    world.converge();
}

#[test]
fn a_step_runs_first_after_its_node() {
    let mut world = World::with([node("x")]);
    world.and_steps([config("a"), daemon()]);
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_node.head.config"), "run: never ran");
    assert_eq!(world.operations(&planned.plan), ["create t_node.head", "run t_node.head.config", "run t_node.head.daemon"]);
    // All is known before the node is there: late values are no hindrance.
    assert!(planned.change("t_node.head.config").identity.is_some());
}

#[test]
fn steps_of_a_node_that_is_made_anew_run_again_and_its_services_are_stopped_before() {
    let mut world = world();
    world.wants([node("y")]).and_steps([config("a"), daemon(), command("echo bye")]);
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_node.head.config"), "run: its node is made anew");
    assert_eq!(planned.says("t_node.head.stop"), "replace: its node is made anew");
    assert_eq!(
        world.operations(&planned.plan),
        [
            "undo t_node.head.stop",
            "delete t_node.head",
            "create t_node.head",
            "run t_node.head.config",
            "run t_node.head.daemon",
            "run t_node.head.stop"
        ]
    );
    world.converge();
}

#[test]
fn a_node_that_is_made_first_is_stopped_last() {
    let mut world = World::with([node("x").first()]);
    world.and_steps([config("a"), command("echo bye")]).converge();
    world.wants([node("y").first()]).and_steps([config("a"), command("echo bye")]);
    assert_eq!(
        world.operations(&world.plan().fine().plan),
        ["create t_node.head", "run t_node.head.config", "run t_node.head.stop", "undo t_node.head.stop", "delete deposed t_node.head"]
    );
    // Interrupted when only the new node is there: its services on the old one are still stopped before that goes.
    let planned = world.plan().fine();
    world.apply(&planned.plan, 1);
    assert_eq!(
        world.operations(&world.plan().fine().plan),
        ["run t_node.head.config", "run t_node.head.stop", "undo t_node.head.stop", "delete deposed t_node.head"]
    );
    world.converge();
    assert!(world.state.resources.contains_key(&address("t_node.head.stop")));
}

#[test]
fn a_node_that_is_gone_stops_nothing() {
    let mut world = world();
    world.gone("t_node.head");
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_node.head.stop"), "run: its node is made anew");
    world.wants([]);
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_node.head.stop"), "forget: its node is gone");
    assert_eq!(planned.plan.counts().forget, 1);
    world.converge();
    assert!(world.state.resources.is_empty());
}

#[test]
fn a_step_that_leaves_the_spec_is_undone_before_the_others_run() {
    let mut world = world();
    let new = step("t_node.head.a_new", "t_node.head", StepKind::Daemon).set("name", "caddy");
    world.wants([node("x")]).and_steps([daemon_alone(), new]);
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_node.head.config"), "delete: not in the spec any more");
    let operations = world.operations(&planned.plan);
    assert_eq!(operations, ["undo t_node.head.config", "undo t_node.head.stop", "run t_node.head.a_new", "run t_node.head.daemon"]);
    world.converge();
}

fn daemon_alone() -> Step {
    step("t_node.head.daemon", "t_node.head", StepKind::Daemon).set("name", "nginx")
}

#[test]
fn steps_of_a_node_that_goes_are_forgotten_but_for_their_last_words() {
    let mut world = world();
    let planned = world.plan_for(Mode::Destroy).fine();
    assert_eq!(planned.says("t_node.head.config"), "forget: its node goes");
    assert_eq!(planned.says("t_node.head.stop"), "delete: its node goes");
    assert_eq!(
        world.operations(&planned.plan),
        ["undo t_node.head.stop", "delete t_node.head", "forget t_node.head.config", "forget t_node.head.daemon"]
    );
    assert_eq!(planned.text().lines().last(), Some("Destroy: 1 to delete, 1 step to undo."));
    world.destroy();
}

#[test]
fn a_file_that_moves_is_taken_away_where_it_was() {
    let mut world = world();
    let moved = config("a").set("path", "/etc/other.conf");
    world.wants([node("x")]).and_steps([moved, daemon(), command("echo bye")]);
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_node.head.config"), "replace, steps: path changed");
    assert_eq!(world.operations(&planned.plan), ["undo t_node.head.config", "run t_node.head.config", "run t_node.head.daemon"]);
    world.converge();
}

#[test]
fn what_is_not_known_yet_may_turn_out_the_same() {
    let disk = |image: &str| thing("t_thing.disk", 2).set("image", image);
    let mount = |from: &str| step("t_node.head.mount", "t_node.head", StepKind::Run).set("script", of(from, "id"));
    let mut world = World::with([node("x"), disk("x")]);
    world.and_steps([mount("t_thing.disk")]).converge();
    world.wants([node("x"), disk("y")]).and_steps([mount("t_thing.disk")]);
    let planned = world.plan().fine();
    assert_eq!(planned.change("t_node.head.mount").identity, None);
    assert_eq!(planned.says("t_node.head.mount"), "run, steps: script changed");
    assert!(planned.text().contains("(known after apply)"), "{}", planned.text());
    assert_eq!(world.operations(&planned.plan), ["delete t_thing.disk", "create t_thing.disk", "run t_node.head.mount"]);
    world.converge();
}

#[test]
fn what_is_filled_in_later_gives_the_identity_that_the_next_plan_expects() {
    // A text of a part that is known after apply and of one that only the node knows.
    let text = Value::deferred(
        cloudtik_model::Type::String,
        cloudtik_model::ExprKind::Template(vec![
            cloudtik_model::TemplatePart::Text("disk ".into()),
            cloudtik_model::TemplatePart::Value(of("t_thing.disk", "id").to_expr()),
            cloudtik_model::TemplatePart::Text(" at ".into()),
            cloudtik_model::TemplatePart::Value(late("address").to_expr()),
        ])
        .into(),
    );
    let mut world = World::with([node("x"), thing("t_thing.disk", 2)]);
    world.and_steps([step("t_node.head.run", "t_node.head", StepKind::Run).set("script", text)]);
    assert_eq!(world.plan().fine().change("t_node.head.run").identity, None);
    world.converge();
    let inputs = world.state.resources[&address("t_node.head.run")].current.as_ref().unwrap().attributes.get("inputs").unwrap().clone();
    assert_eq!(inputs.get("script").and_then(Value::as_str), Some("disk i-2 at <node.address>"));
}

#[test]
fn a_step_whose_last_run_failed_runs_again() {
    let mut world = world();
    world.state.resources.get_mut(&address("t_node.head.daemon")).unwrap().current.as_mut().unwrap().tainted = true;
    assert_eq!(world.plan().fine().says("t_node.head.daemon"), "run, steps: its last run failed");
    world.replace.insert(address("t_node.head.config"));
    assert_eq!(world.plan().fine().says("t_node.head.config"), "run, steps: asked for by --replace");
}

#[test]
fn what_the_lifecycle_ignores_does_not_run() {
    let mut world = world();
    let mut changed = config("b");
    changed.0.lifecycle.ignore_changes.insert("content".to_owned());
    world.wants([node("x")]).and_steps([changed, daemon(), command("echo bye")]);
    let planned = world.plan().fine();
    assert_eq!((planned.says("t_node.head.config").as_str(), planned.says("t_node.head.daemon").as_str()), ("no-op", "no-op"));
}

#[test]
fn an_identity_is_of_what_is_done_and_not_of_how_it_is_written() {
    let identity = |step: &Step| step_identity(&step.0, &step.0.inputs, &Default::default());
    let base = config("a");
    let mut renamed = config("a");
    let cloudtik_model::Input::Template(template) = renamed.0.inputs.get_mut("content").unwrap() else { panic!() };
    template.name = "elsewhere.hbs".into();
    template.bindings = template.bindings.clone().marked(true);
    assert_eq!(identity(&base), identity(&renamed));
    assert_ne!(identity(&base), identity(&config("b")));
    assert_ne!(identity(&base), identity(&config("a").set("mode", "0600")));
    assert_ne!(identity(&config("a").set("owner", late("address"))), identity(&config("a").set("owner", late("id"))));
    assert_eq!(identity(&config("a").set("owner", of("t_thing.x", "id"))), None);
    assert_eq!(identity(&daemon()), None, "what it follows has no identity");
}

#[test]
fn what_a_step_told_is_known_as_long_as_it_does_not_run_again() {
    let watcher = || thing("t_thing.watcher", 50).set("link", of("t_node.head.config", "identity"));
    let mut world = World::with([node("x"), watcher()]);
    world.and_steps([config("a")]).converge();
    assert_eq!(world.plan().fine().says("t_thing.watcher"), "no-op");
    world.wants([node("x"), watcher()]).and_steps([config("b")]);
    let planned = world.plan().fine();
    assert!(planned.says("t_thing.watcher").starts_with("update"), "{}", planned.says("t_thing.watcher"));
    world.converge();
}
