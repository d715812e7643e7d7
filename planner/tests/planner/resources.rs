//! What happens to resources.

use cloudtik_model::{Address, ChangeWord, FileId, Node, Object, Span, Value};
use cloudtik_planner::{Action, Mode, Observation, OperationKind, Settled, execution};

use crate::world::{World, address, of, text, thing, value};

fn a() -> crate::world::Thing {
    thing("t_thing.a", 1).set("name", "n")
}

/// What a plan says of `t_thing.a` and which attributes change, after it was made as `before` and is wanted as `after`.
fn changed(before: crate::world::Thing, after: crate::world::Thing) -> (String, Vec<String>) {
    let mut world = World::with([before]);
    world.converge().wants([after]);
    let planned = world.plan().fine();
    let result = (planned.says("t_thing.a"), planned.attributes("t_thing.a"));
    world.converge();
    result
}

#[test]
fn the_word_of_an_attribute_decides() {
    let cases: [(&str, Value, Value, &str, &str); 4] = [
        ("size", 1_i64.into(), 2_i64.into(), "update, live: size changed", "size: Some(1) -> Some(2)"),
        ("image", "x".into(), "y".into(), "replace, rolling: image changed", "image: Some(\"x\") -> Some(\"y\")"),
        ("cidr", "x".into(), "y".into(), "replace, recreate: cidr changed", "cidr: Some(\"x\") -> Some(\"y\")"),
        ("note", "x".into(), "y".into(), "update: note changed", "note: Some(\"x\") -> Some(\"y\")"),
    ];
    for (name, before, after, says, attribute) in cases {
        assert_eq!(changed(a().set(name, before), a().set(name, after)), (says.to_owned(), vec![attribute.to_owned()]));
    }
    // The strongest word wins, and the spec's own word goes before the kind's.
    assert_eq!(
        changed(a().set("size", 1_i64).set("cidr", "x"), a().set("size", 2_i64).set("cidr", "y")).0,
        "replace, recreate: cidr changed"
    );
    let rolling = |size: i64| a().set("size", size).word("size", ChangeWord::Rolling);
    assert_eq!(changed(rolling(1), rolling(2)).0, "replace, rolling: size changed");
}

#[test]
fn what_a_change_of_does_nothing_is_written_down_and_no_more() {
    let mut world = World::with([a().set("note", "x")]);
    world.converge().wants([a().set("note", "y")]);
    let planned = world.plan().fine();
    assert!(!planned.plan.has_changes());
    assert_eq!(world.operations(&planned.plan), ["record t_thing.a"]);
    // The world may have its own opinion of it.
    world.drifts("t_thing.a", "note", Value::NULL);
    assert_eq!(planned.says("t_thing.a"), "update: note changed");
    assert_eq!(world.plan().fine().change("t_thing.a").drift, []);
}

#[test]
fn what_is_not_in_the_spec_goes_to_nothing_or_the_default_or_stays_pinned() {
    assert_eq!(changed(a().set("size", 1_i64), a()), ("update, live: size changed".into(), vec!["size: Some(1) -> None".into()]));
    assert_eq!(changed(a().set("size", 1_i64), a().set("size", Value::NULL)).1, ["size: Some(1) -> None"]);
    assert_eq!(changed(a().set("count", 5_i64), a()).1, ["count: Some(5) -> Some(1)"]);
    assert_eq!(changed(a(), a().set("count", 1_i64)).0, "no-op");
    assert_eq!(changed(a().set("cidr", "x"), a()).0, "no-op");
    assert_eq!(changed(a(), a().set("cidr", "x")).0, "replace, recreate: cidr changed");
}

#[test]
fn differences_are_found_inside_with_exact_paths() {
    let tags = |owner: &str| a().set("tags", Value::map([("owner", Value::from(owner)), ("x y", "1".into())]));
    assert_eq!(changed(tags("ana"), tags("bo")).1, ["tags.owner: Some(\"ana\") -> Some(\"bo\")"]);
    let rules = |port: &str| a().set("rules", Value::map([("u i", value([("ports", text(&[port]))]))]));
    assert_eq!(changed(rules("80"), rules("81")).1, ["rules[\"u i\"].ports[0]: Some(\"80\") -> Some(\"81\")"]);
    // A list written as a tuple, and an object where a map is, are the same.
    let tuple = Value::tuple(["80".into()]);
    assert_eq!(changed(a().set("ports", text(&["80"])), a().set("ports", tuple)).0, "no-op");
    let object = value([("owner", "ana".into()), ("gone", Value::NULL), ("x y", "1".into())]);
    assert_eq!(changed(tags("ana"), a().set("tags", object)).0, "no-op");
}

#[test]
fn secrets_stay_secret_wherever_the_mark_comes_from() {
    let shown = |before, after| changed(before, after).1;
    let hidden = ["password: Some((sensitive)) -> Some((sensitive))"];
    assert_eq!(shown(a().set("password", "p"), a().set("password", "q")), hidden);
    let secret = |text: &str| a().set("tags", Value::map([("k", Value::from(text).marked(true))]));
    assert_eq!(shown(secret("p"), secret("q")), ["tags.k: Some((sensitive)) -> Some((sensitive))"]);
    // What a read finds of it is as secret as what was written.
    let mut world = World::with([secret("p")]);
    world.converge();
    world.drifts("t_thing.a", "tags", Value::map([("k", Value::from("other"))]));
    let planned = world.plan().fine();
    assert_eq!(planned.attributes("t_thing.a"), ["tags.k: Some((sensitive)) -> Some((sensitive))"]);
    assert!(!format!("{:?}", planned.plan).contains("other"));
    assert!(!planned.text().contains("other"));
    assert!(!crate::output::to_json(&planned.plan).to_string().contains("other"));
}

#[test]
fn what_is_fixed_is_refused_at_its_place_with_a_way_out() {
    let mut world = World::with([a().set("mode", "x")]);
    world.converge().wants([a().set("mode", "y")]);
    let planned = world.plan();
    assert_eq!(planned.errors(), ["`mode` of `t_thing.a` changes, but it is fixed once `t_thing.a` exists"]);
    let diagnostic = planned.diagnostics.iter().next().unwrap();
    assert_eq!(diagnostic.primary.as_ref().unwrap().span.start, 12);
    assert!(diagnostic.help.as_ref().unwrap().contains("--replace 't_thing.a'"));
    world.replace.insert(address("t_thing.a"));
    assert_eq!(world.plan().fine().says("t_thing.a"), "replace, recreate: asked for by --replace");
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is() {
    let disk = |size: i64| a().set("disk", size);
    let mut world = World::with([disk(50)]);
    world.converge().wants([disk(60)]);
    world.converge().wants([disk(20)]);
    let planned = world.plan();
    assert_eq!(planned.errors(), ["`disk` of `t_thing.a` cannot change from 60 to 20"]);
    let error = planned.diagnostics.iter().next().unwrap();
    assert_eq!((error.primary.as_ref().unwrap().span.start, error.help.as_deref()), (12, Some("keep it")));
    world.wants([disk(20).set("image", "x")]);
    assert_eq!(world.plan().fine().says("t_thing.a"), "replace, rolling: image changed", "a new one has any size");
}

#[test]
fn a_create_that_cannot_be_is_said_at_its_place() {
    let rule = |line| thing("t_rule.a", line).set("image", "x");
    let mut world = World::with([rule(1).set("cidr", "y")]);
    let planned = world.plan();
    assert_eq!(planned.errors(), ["`t_rule.a`: `image` and `cidr` do not go together"]);
    assert_eq!(planned.diagnostics.iter().next().unwrap().primary.as_ref().unwrap().span.start, 12);
    world.wants([rule(1)]);
    world.converge();
    world.wants([rule(1).set("cidr", "y")]);
    assert_eq!(world.plan().errors().len(), 1, "it would be made anew so");
}

#[test]
fn what_is_unknown_follows_the_word_of_the_attribute() {
    let b = |image: &str| thing("t_thing.b", 2).set("image", image);
    for (name, says) in [("link", "update, live: link known after apply"), ("network", "replace, recreate: network known after apply")] {
        let mut world = World::with([a().set(name, of("t_thing.b", "id")), b("x")]);
        world.converge().wants([a().set(name, of("t_thing.b", "id")), b("y")]);
        assert_eq!(world.plan().fine().says("t_thing.a"), says);
        world.converge();
    }
    let mut world = World::with([a().set("mode", of("t_thing.b", "id")), b("x")]);
    world.converge().wants([a().set("mode", of("t_thing.b", "id")), b("y")]);
    assert!(world.plan().errors()[0].contains("may change (known after apply)"));
}

#[test]
fn an_update_in_place_keeps_what_does_not_depend_on_it() {
    let b = |name: &str| thing("t_thing.b", 2).set("name", name);
    let cases = [
        // Computed attributes stay; derived ones and given ones follow without asking anybody.
        ("id", "no-op", vec![]),
        ("address", "no-op", vec![]),
        ("label", "update, live: link changed", vec!["link: Some(\"label of x\") -> Some(\"label of y\")"]),
        ("name", "update, live: link changed", vec!["link: Some(\"x\") -> Some(\"y\")"]),
    ];
    for (attribute, says, attributes) in cases {
        let mut world = World::with([a().set("link", of("t_thing.b", attribute)), b("x")]);
        world.converge().wants([a().set("link", of("t_thing.b", attribute)), b("y")]);
        let planned = world.plan().fine();
        assert_eq!(
            (planned.says("t_thing.a").as_str(), planned.attributes("t_thing.a")),
            (says, attributes.into_iter().map(String::from).collect())
        );
        world.converge();
    }
}

#[test]
fn a_new_object_gives_what_is_known_of_it() {
    let world = World::with([
        thing("t_thing.b", 2).set("name", "x"),
        a().set("link", of("t_thing.b", "label")).set("network", of("t_thing.b", "id")).set("image", of("t_thing.b", "image")),
    ]);
    let planned = world.plan().fine();
    let Some(Node::Resource(spec)) = &planned.change("t_thing.a").desired else { panic!() };
    assert_eq!(spec.attributes.get("link"), Some(&"label of x".into()));
    assert!(spec.attributes.get("image").unwrap().is_null());
    assert!(spec.attributes.get("network").unwrap().is_deferred());
    let computed: Vec<&str> = planned.change("t_thing.b").computed.iter().map(|name| &**name).collect();
    assert_eq!(computed, ["address", "cidr", "id"]);
}

#[test]
fn values_pass_through_the_kind_value() {
    let pair = |input: i64| [thing("value.x", 1).set("input", input), thing("value.y", 2).set("input", of("value.x", "output"))];
    let mut world = World::with(pair(1));
    world.converge().wants(pair(2));
    let planned = world.plan().fine();
    assert_eq!(planned.attributes("value.y"), ["input: Some(1) -> Some(2)"]);
    world.converge().wants([thing("value.x", 1).set("input", 2_i64).set("triggers_replace", 1_i64), pair(2)[1].0.clone().into()]);
    assert_eq!(world.plan().fine().says("value.x"), "replace, recreate: triggers_replace changed");
    assert_eq!(world.plan().fine().says("value.y"), "no-op");
    world.converge();
}

impl From<cloudtik_model::ResourceSpec> for crate::world::Thing {
    fn from(spec: cloudtik_model::ResourceSpec) -> Self {
        Self(spec)
    }
}

#[test]
fn a_value_of_the_wrong_type_that_was_not_known_before_is_an_error_at_its_place() {
    let mut world = World::with([thing("t_thing.b", 2).set("name", "many"), a()]);
    world.converge().wants([thing("t_thing.b", 2).set("name", "many"), a().set("size", of("t_thing.b", "name"))]);
    let planned = world.plan();
    assert_eq!(planned.errors().len(), 1);
    let diagnostic = planned.diagnostics.iter().next().unwrap();
    assert_eq!((diagnostic.code, diagnostic.primary.as_ref().unwrap().span.start), ("wrong-type", 12));
    world.wants([thing("t_thing.b", 2).set("name", "7"), a().set("size", of("t_thing.b", "name"))]);
    assert_eq!(world.plan().fine().attributes("t_thing.a"), ["size: None -> Some(7)"]);
}

#[test]
fn drift_is_shown_and_what_is_wanted_is_compared_with_what_is_there() {
    let mut world = World::with([a().set("size", 1_i64)]);
    world.converge();
    world.drifts("t_thing.a", "size", 5_i64);
    let planned = world.plan().fine();
    assert_eq!(planned.attributes("t_thing.a"), ["size: Some(5) -> Some(1)"]);
    assert_eq!(planned.change("t_thing.a").drift.iter().map(|d| d.path.as_str()).collect::<Vec<_>>(), ["size"]);
    // The spec was changed to what is there: nothing to do but to write it down.
    world.wants([a().set("size", 5_i64)]);
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_thing.a"), "no-op");
    assert!(!planned.plan.has_changes());
    assert_eq!(world.operations(&planned.plan), ["observe t_thing.a"]);
    world.converge();
    // What nobody sets has drifted only for the record.
    world.drifts("t_thing.a", "address", "elsewhere");
    assert_eq!(world.operations(&world.plan().fine().plan), ["observe t_thing.a"]);
    world.converge();
}

#[test]
fn what_is_gone_is_made_again_or_forgotten() {
    let mut world = World::with([a(), thing("t_thing.b", 2).set("link", of("t_thing.a", "id"))]);
    world.converge();
    world.gone("t_thing.a");
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_thing.a"), "create: gone from the provider");
    assert_eq!(planned.says("t_thing.b"), "update, live: link known after apply");
    world.wants([]);
    assert_eq!(world.plan().fine().says("t_thing.a"), "forget: gone from the provider");
    assert_eq!(world.plan().fine().says("t_thing.b"), "delete: not in the spec any more");
    world.converge();
    assert!(world.state.resources.is_empty());
}

#[test]
fn what_is_tainted_is_made_anew() {
    let mut world = World::with([a()]);
    world.converge();
    world.state.resources.get_mut(&address("t_thing.a")).unwrap().current.as_mut().unwrap().tainted = true;
    assert_eq!(world.plan().fine().says("t_thing.a"), "replace, recreate: something failed after it was made");
    world.converge();
}

#[test]
fn a_deposed_object_is_deleted_until_it_is_gone() {
    let mut world = World::with([a()]);
    world.converge();
    let entry = world.state.resources.get_mut(&address("t_thing.a")).unwrap();
    let old = Object { id: "i-old".into(), op_id: "op-old".into(), ..entry.current.clone().unwrap() };
    entry.deposed.insert("op-old".into(), old.clone());
    let planned = world.plan().fine();
    assert_eq!((planned.says("t_thing.a").as_str(), planned.change("t_thing.a").deposed.len()), ("no-op", 1));
    assert_eq!((planned.plan.has_changes(), planned.plan.counts().delete), (true, 1));
    assert_eq!(world.operations(&planned.plan), ["delete deposed t_thing.a"]);
    // One that is all that is left, in the spec and out of it.
    let entry = world.state.resources.get_mut(&address("t_thing.a")).unwrap();
    entry.current = None;
    assert_eq!(world.operations(&world.plan().fine().plan), ["create t_thing.a", "delete deposed t_thing.a"]);
    world.wants([]);
    assert_eq!(world.operations(&world.plan().fine().plan), ["delete deposed t_thing.a"]);
    world.converge();
    assert!(world.state.resources.is_empty());
}

#[test]
fn changes_that_the_lifecycle_ignores_are_neither_shown_nor_sent() {
    let tags = |owner: &str, size: i64| {
        a().set("size", size).set("tags", Value::map([("owner", Value::from(owner)), ("keep", "1".into())])).ignore("tags[\"owner\"]")
    };
    let mut world = World::with([tags("ana", 1)]);
    world.converge().wants([tags("bo", 2)]);
    let planned = world.plan().fine();
    assert_eq!(planned.attributes("t_thing.a"), ["size: Some(1) -> Some(2)"]);
    let Some(Node::Resource(spec)) = &planned.change("t_thing.a").desired else { panic!() };
    assert_eq!(spec.attributes.get("tags").unwrap().get("owner"), Some(&"ana".into()));
    world.converge();
    assert_eq!(changed(a().set("size", 1_i64), a().set("size", 2_i64).set("image", "x").ignore("*")).0, "no-op");
    assert_eq!(changed(a().set("size", 1_i64), a().set("size", 2_i64).set("note", "x").ignore("size")).0, "update: note changed");
}

#[test]
fn what_must_not_be_destroyed_stops_every_plan_that_would() {
    let mut world = World::with([a().set("image", "x").keep()]);
    world.converge().wants([a().set("image", "y").keep()]);
    let planned = world.plan();
    assert_eq!(planned.errors(), ["`t_thing.a` must not be destroyed, but this plan would: a replacement: image changed"]);
    assert_eq!(planned.diagnostics.iter().next().unwrap().primary.as_ref().unwrap().span.start, 10);
    assert_eq!(
        world.plan_for(Mode::Destroy).errors(),
        ["`t_thing.a` must not be destroyed, but this plan would: everything is to be destroyed"]
    );
}

/// `a` is data and stands on `b`, which stands on `c`; `d` stands on `b` too, and nothing stands on it.
fn data() -> World {
    let on = |name: &str, line: u32, other: &str| thing(name, line).set("link", of(other, "id"));
    let c = thing("t_thing.c", 3).set("image", "x");
    let mut world = World::with([on("t_thing.a", 1, "t_thing.b"), on("t_thing.b", 2, "t_thing.c"), c, on("t_thing.d", 4, "t_thing.b")]);
    world.converge();
    world.keep = [address("t_thing.a")].into();
    world
}

#[test]
fn data_that_is_kept_keeps_what_it_stands_on_and_nothing_else() {
    let mut world = data();
    let planned = world.plan_for(Mode::Destroy).fine();
    assert_eq!(planned.says("t_thing.a"), "no-op: kept: it says `on_destroy = \"keep\"`");
    assert_eq!(planned.says("t_thing.b"), "no-op: kept: `t_thing.a` stands on it");
    assert_eq!(planned.says("t_thing.c"), "no-op: kept: `t_thing.a` stands on it");
    assert_eq!(world.operations(&planned.plan), ["delete t_thing.d"]);
    world.apply(&planned.plan, usize::MAX);
    assert_eq!(world.plan_for(Mode::Destroy).fine().text(), "No changes. There is nothing to destroy.\n");
    let again = world.plan().fine();
    assert_eq!(world.operations(&again.plan), ["create t_thing.d"], "it is taken up as it was");

    world.keep.clear();
    let planned = world.plan_for(Mode::Destroy).fine();
    assert!(planned.change("t_thing.a").with_data);
    world.apply(&planned.plan, usize::MAX);
    assert!(world.state.resources.is_empty());
}

#[test]
fn data_that_leaves_the_spec_is_kept_with_what_it_stands_on() {
    let mut world = data();
    world.wants([thing("t_thing.c", 3).set("image", "x")]);
    let planned = world.plan().fine();
    assert_eq!(world.operations(&planned.plan), ["delete t_thing.d"]);
    world.wants([thing("t_thing.c", 3).set("image", "y")]);
    let title = "`t_thing.c` is what `t_thing.a` stands on, which is kept, but this plan would make it anew: image changed";
    assert_eq!(world.plan().errors(), [title]);
}

/// A stack with data inside that needs `t_thing.key`, and a user of the stack.
fn with_stack() -> World {
    let parts = || Value::map([("t_data.x", Value::from("t_thing.key")), ("network", "none of its own".into())]);
    let mut world = World::with([
        thing("t_thing.key", 1),
        thing("t_stack.s", 2).set("parts", parts()).needs("t_thing.key"),
        thing("t_thing.user", 3).needs("t_stack.s"),
    ]);
    world.converge();
    world.keep = [address("t_data.x")].into();
    world
}

#[test]
fn what_has_kept_data_inside_stays_with_nothing_else() {
    let mut world = with_stack();
    let planned = world.plan_for(Mode::Destroy).fine();
    assert_eq!(planned.says("t_stack.s"), "update, live: kept: `t_data.x` is in it");
    assert_eq!(planned.says("t_thing.key"), "no-op: kept: `t_data.x` stands on it");
    assert_eq!(world.operations(&planned.plan), ["delete t_thing.user", "update t_stack.s"], "who uses it goes first");
    world.apply(&planned.plan, usize::MAX);
    assert_eq!(world.plan_for(Mode::Destroy).fine().text(), "No changes. There is nothing to destroy.\n");
    let again = world.plan().fine();
    assert_eq!(world.operations(&again.plan), ["update t_stack.s", "create t_thing.user"]);

    // Given up, it goes with all that is left.
    world.keep.clear();
    let planned = world.plan_for(Mode::Destroy).fine();
    assert!(planned.change("t_stack.s").with_data);
    world.apply(&planned.plan, usize::MAX);
    assert!(world.state.resources.is_empty());
}

#[test]
fn what_must_not_be_destroyed_is_not_reduced_either() {
    let mut world = with_stack();
    world.wants([thing("t_stack.s", 2).keep()]);
    let says = ["`t_stack.s` must not be destroyed, but this plan would: everything is to be destroyed"];
    assert_eq!(world.plan_for(Mode::Destroy).errors(), says);
}

#[test]
fn what_must_not_be_destroyed_is_not_given_up_inside() {
    let mut world = with_stack();
    let mut stack = thing("t_stack.s", 2).set("parts", Value::map([("t_data.x", Value::from("t_thing.key"))]));
    stack.0.lifecycle.prevent_inside = [(address("t_data.x"), Span::new(FileId(0), 21, 22))].into();
    world.wants([stack, thing("t_thing.key", 1)]);
    world.plan_for(Mode::Destroy).fine();
    world.keep.clear();
    let planned = world.plan_for(Mode::Destroy);
    assert_eq!(planned.errors(), ["`t_data.x` must not be destroyed, but this plan would: its data is given up"]);
    assert_eq!(planned.diagnostics.iter().next().unwrap().primary.as_ref().unwrap().span.start, 21);
    world.replace = [address("t_stack.s")].into();
    assert_eq!(world.plan().errors(), ["`t_data.x` must not be destroyed, but this plan would: its data is given up"]);
}

#[test]
fn kept_data_that_leaves_the_spec_stays_in_what_it_is_in() {
    let mut world = with_stack();
    world.wants([thing("t_stack.s", 2).set("parts", Value::map([("network", Value::from("other"))]))]);
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_thing.key"), "no-op: kept: `t_data.x` stands on it");
    world.apply(&planned.plan, usize::MAX);
    let parts = world.state.resources[&address("t_stack.s")].current.as_ref().unwrap().attributes.get("parts").unwrap().clone();
    assert_eq!(parts.entries().unwrap().keys().map(|name| &**name).collect::<Vec<_>>(), ["network", "t_data.x"]);
    world.replace = [address("t_stack.s")].into();
    let title = "`t_stack.s` has `t_data.x` in it, which is kept, but this plan would make it anew: asked for by --replace";
    assert_eq!(world.plan().errors(), [title]);
}

#[test]
fn data_that_is_gone_keeps_nothing() {
    let mut world = data();
    world.observed.insert(address("t_thing.a"), Observation::Gone);
    let planned = world.plan_for(Mode::Destroy).fine();
    assert_eq!(world.operations(&planned.plan), ["forget t_thing.a", "delete t_thing.d", "delete t_thing.b", "delete t_thing.c"]);
}

#[test]
fn data_that_is_kept_is_not_made_anew() {
    let mut world = World::with([a().set("image", "x")]);
    world.converge().wants([a().set("image", "y")]);
    world.keep = [address("t_thing.a")].into();
    let planned = world.plan();
    assert_eq!(planned.errors(), ["`t_thing.a` is kept, but this plan would make it anew: image changed"]);
    let help = planned.diagnostics.iter().next().unwrap().help.clone().unwrap();
    assert!(help.contains("--delete-data 't_thing.a'"), "{help}");
    world.keep.clear();
    assert!(world.plan().fine().change("t_thing.a").with_data);
    // What was never finished is made anew, and takes nothing with it.
    world.keep = [address("t_thing.a")].into();
    world.state.resources.values_mut().for_each(|entry| entry.current.iter_mut().for_each(|object| object.tainted = true));
    assert!(!world.plan().fine().change("t_thing.a").with_data);
}

#[test]
fn a_trigger_replaces_what_names_it() {
    let b = |size: i64, image: &str| thing("t_thing.b", 2).set("size", size).set("image", image);
    for (size, image) in [(2, "x"), (1, "y")] {
        let mut world = World::with([a().triggered_by("t_thing.b"), b(1, "x")]);
        world.converge().wants([a().triggered_by("t_thing.b"), b(size, image)]);
        assert_eq!(world.plan().fine().says("t_thing.a"), "replace, recreate: `t_thing.b` changes (replace_triggered_by)");
        world.converge();
    }
    // A block without key stands for its instances; a creation triggers nothing.
    let mut world = World::with([a().triggered_by("t_thing.c")]);
    world.converge().wants([a().triggered_by("t_thing.c"), thing("t_thing.c[0]", 3)]);
    assert_eq!(world.plan().fine().says("t_thing.a"), "no-op");
    world.converge().wants([a().triggered_by("t_thing.c"), thing("t_thing.c[0]", 3).set("size", 1_i64)]);
    assert_eq!(world.plan().fine().says("t_thing.a"), "replace, recreate: `t_thing.c[0]` changes (replace_triggered_by)");
}

#[test]
fn making_first_goes_along_to_what_is_depended_on() {
    let things = |image: &str| {
        [
            thing("t_thing.top", 1).set("network", of("t_thing.mid", "id")).first(),
            thing("t_thing.mid", 2).set("network", of("t_thing.low", "id")),
            thing("t_thing.low", 3).set("image", image),
        ]
    };
    let mut world = World::with(things("x"));
    world.converge().wants(things("y"));
    let planned = world.plan().fine();
    assert_eq!(
        planned.says("t_thing.low"),
        "replace, rolling: image changed; made before the old one goes, because `t_thing.top` asks for it"
    );
    assert_eq!(
        world.operations(&planned.plan),
        [
            "create t_thing.low",
            "create t_thing.mid",
            "create t_thing.top",
            "delete deposed t_thing.top",
            "delete deposed t_thing.mid",
            "delete deposed t_thing.low"
        ]
    );
    world.converge();
}

#[test]
fn a_unique_name_cannot_be_needed_twice() {
    let named = |name: &str, image: &str| thing("t_named.a", 1).set("name", name).set("image", image);
    let mut world = World::with([named("n", "x").first()]);
    world.converge().wants([named("n", "y").first()]);
    let planned = world.plan();
    assert_eq!(planned.errors(), ["`t_named.a` cannot be made before the old one goes: the name \"n\" would be taken twice"]);
    assert!(planned.diagnostics.iter().next().unwrap().help.as_ref().unwrap().contains("change `name`"));
    world.wants([named("m", "y").first()]);
    world.converge();
    // The wish of another one is named.
    let top = thing("t_thing.top", 2).set("network", of("t_named.a", "id")).first();
    world.wants([named("m", "z"), top]);
    assert!(world.plan().errors()[0].contains("as `t_thing.top` asks of all it depends on"), "{:?}", world.plan().errors());
}

#[test]
fn two_of_one_name_are_an_error_with_both_places() {
    let world = World::with([
        thing("t_named.a", 1).set("name", "n"),
        thing("t_named.b", 2).set("name", "n"),
        thing("t_thing.c", 3).set("name", "n"),
    ]);
    let planned = world.plan();
    assert_eq!(planned.errors(), ["`t_named.a` and `t_named.b` are both named \"n\""]);
    let diagnostic = planned.diagnostics.iter().next().unwrap();
    assert_eq!((diagnostic.primary.as_ref().unwrap().span.start, diagnostic.labels[0].span.start), (21, 11));
}

#[test]
fn a_dependency_alone_is_only_written_down() {
    let mut world = World::with([a(), thing("t_thing.b", 2)]);
    world.converge().wants([a().needs("t_thing.b"), thing("t_thing.b", 2)]);
    let planned = world.plan().fine();
    assert_eq!((planned.says("t_thing.a").as_str(), planned.plan.has_changes()), ("no-op", false));
    assert_eq!(world.operations(&planned.plan), ["rewire t_thing.a"]);
    world.converge();
    assert_eq!(world.state.resources[&address("t_thing.a")].depends_on, [address("t_thing.b")].into());
}

#[test]
fn another_provider_makes_it_anew() {
    let mut world = World::with([a()]);
    world.converge();
    let mut moved = a();
    moved.0.provider = cloudtik_model::ProviderRef::new("t.west");
    world.wants([moved]);
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_thing.a"), "replace, recreate: its provider changes from `t` to `t.west`");
    let operations = cloudtik_planner::execution(&planned.plan, &world.state).unwrap().operations;
    assert_eq!(operations.iter().map(|o| o.provider.as_str()).collect::<Vec<_>>(), ["t", "t.west"]);
    world.converge();
    let mut first = a().first();
    first.0.provider = cloudtik_model::ProviderRef::new("t");
    world.wants([first]);
    assert!(world.plan().errors()[0].contains("cannot be made before the old one goes"));
}

#[test]
fn what_settlement_took_in_is_an_adoption() {
    let mut world = World::with([a()]);
    world.converge();
    world.settled.push(Settled { op_id: "op".into(), address: address("t_thing.a"), adopted: true, text: "found by its tag".into() });
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_thing.a"), "adopt: found by its tag");
    assert_eq!(world.operations(&planned.plan), Vec::<String>::new());
}

#[test]
fn a_cycle_is_an_error_and_not_a_hang() {
    let world = World::with([
        a().needs("t_thing.b"),
        thing("t_thing.b", 2).needs("t_thing.a"),
        thing("t_thing.c", 3).needs("t_thing.a"),
        thing("t_thing.d", 4).needs("t_thing.d"),
    ]);
    let planned = world.plan();
    assert_eq!(planned.errors(), ["these depend on each other: `t_thing.a`, `t_thing.b`", "these depend on each other: `t_thing.d`"]);
    let missing = World::with([a().needs("t_thing.nowhere")]);
    assert_eq!(missing.plan().errors(), ["`t_thing.a` depends on `t_thing.nowhere`, which is not in the graph"]);
}

#[test]
fn a_kind_that_nobody_has_is_an_error() {
    let world = World::with([thing("t_other.x", 1)]);
    assert_eq!(world.plan().errors(), ["the provider `t` has no kind `t_other`"]);
}

#[test]
fn destroying_takes_everything_in_the_reverse_order() {
    let mut world = World::with([
        a(),
        thing("t_thing.b", 2).set("link", of("t_thing.a", "id")),
        thing("t_thing.c", 3).set("link", of("t_thing.b", "id")),
    ]);
    world.output("o", of("t_thing.c", "id"), false);
    world.converge();
    let planned = world.plan_for(Mode::Destroy).fine();
    assert_eq!(world.operations(&planned.plan), ["delete t_thing.c", "delete t_thing.b", "delete t_thing.a"]);
    assert!(planned.plan.changes.values().all(|change| change.action == Action::Delete));
    assert_eq!(planned.plan.outputs["o"].after, None);
    world.destroy();
    assert!(world.state.outputs.is_empty());
    assert_eq!(world.plan_for(Mode::Destroy).fine().text(), "No changes. There is nothing to destroy.\n");
}

#[test]
fn results_change_with_what_they_are_made_of() {
    let mut world = World::with([a().set("size", 1_i64)]);
    world.output("id", of("t_thing.a", "id"), false);
    world.output("gone", "x".into(), false);
    assert!(!world.plan().fine().plan.outputs["id"].after.as_ref().unwrap().is_known());
    world.converge();
    assert!(!world.plan().fine().plan.outputs["id"].changed);
    world.graph.outputs.remove("gone");
    world.output("id", of("t_thing.a", "size"), false);
    let plan = world.plan().fine().plan;
    assert_eq!((plan.outputs["id"].after.clone(), plan.outputs["gone"].after.clone()), (Some(1_i64.into()), None));
    assert!(plan.has_changes());
    world.converge();
}

#[test]
fn a_plan_survives_being_saved() {
    let mut world = World::with([a().set("size", 1_i64)]);
    world.converge().wants([
        a().set("size", 2_i64),
        thing("t_thing.b", 2).set("link", of("t_thing.a", "id")).set("network", of("t_thing.c", "id")),
        thing("t_thing.c", 3),
    ]);
    let plan = world.plan().fine().plan;
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<cloudtik_planner::Plan>(&text).unwrap(), plan);
    assert_eq!(plan.schema_versions, [("t".to_owned(), 7)].into());
}

#[test]
fn the_lint_finds_what_is_wrong_with_a_plan() {
    let mut world = World::with([a(), thing("t_thing.b", 2).set("link", of("t_thing.a", "id"))]);
    world.converge().wants([a(), thing("t_thing.b", 2).set("link", of("t_thing.a", "id"))]);
    let good = world.plan().fine().plan;
    let lint = |change: &dyn Fn(&mut cloudtik_planner::Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        cloudtik_planner::lint(&plan, &world.state)
    };
    assert_eq!(lint(&|_| {}), Vec::<String>::new());
    assert_eq!(lint(&|plan| plan.serial += 1), ["the plan was made from another state"]);
    let remove: Address = address("t_thing.a");
    assert_eq!(
        lint(&|plan| {
            plan.changes.remove(&remove);
        }),
        ["`t_thing.b`: it depends on `t_thing.a`, which will not be there", "`t_thing.a` is in the state and not in the plan"]
    );
    assert_eq!(lint(&|plan| plan.changes.get_mut(&remove).unwrap().action = Action::Run)[0], "`t_thing.a`: only a step runs");
    assert_eq!(
        lint(&|plan| plan.changes.get_mut(&remove).unwrap().action = Action::Delete)[0],
        "`t_thing.a`: it is to delete, but the spec wants something"
    );
    let cyclic = lint(&|plan| {
        plan.changes.get_mut(&remove).unwrap().depends_on.insert(address("t_thing.b"));
    });
    assert_eq!(cyclic, ["these wait for each other, so the plan has no order: t_thing.a, t_thing.b"]);
}

#[test]
fn what_is_let_go_of_is_not_deleted_whatever_a_replacement_left() {
    let mut world = World::with([a()]);
    world.converge();
    let (at, entry) = world.state.resources.iter_mut().next().unwrap();
    let old = entry.current.clone().unwrap();
    entry.deposed.insert("o9".to_owned(), old);
    let at = at.clone();
    world.wants([]);
    world.graph.released.insert(at);
    let planned = world.plan().fine();
    let change = planned.change("t_thing.a");
    assert_eq!((change.action, change.id.as_deref(), change.deposed.len()), (Action::Forget, None, 0));
    let operations = execution(&planned.plan, &world.state).unwrap().operations;
    assert!(operations.iter().all(|operation| operation.kind == OperationKind::Forget), "{operations:?}");
}
