//! What is there already and is taken over.

use cloudtik_model::{StateEntry, Value};
use cloudtik_planner::Action;

use crate::output::to_json;
use crate::world::{Thing, World, address, of, thing};

/// What stands at an address after it was made as the thing says, as somebody else may have made it: it has not been written by us.
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn made(thing: Thing) -> StateEntry {
    let at = thing.0.address.clone();
    let mut world = World::with([thing]);
    world.converge();
    let mut entry = world.state.resources.remove(&at).unwrap();
    let object = entry.current.as_mut().unwrap();
    (object.desired, object.op_id) = (Value::NULL, String::new());
    entry
}

fn network() -> Thing {
    thing("t_thing.network", 1).set("name", "n").set("cidr", "10.0.0.0/16").set("note", "ours")
}

fn node() -> Thing {
    thing("t_node.node", 2).set("network", of("t_thing.network", "id")).set("size", 4_i64)
}

/// The network is there, as somebody made it; the node is not.
fn world(there: Thing) -> World {
    let mut world = World::with([network(), node()]);
    world.strangers.insert(address("t_thing.network"), made(there));
    world
}

#[test]
fn what_is_there_is_imported_and_what_needs_it_knows_its_id() {
    let mut world = world(network());
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_thing.network"), "import: i-1");
    assert_eq!(world.operations(&planned.plan), ["import t_thing.network", "create t_node.node"]);
    assert!(planned.text().contains("network = \"i-1\""), "{}", planned.text());
    assert!(planned.text().contains("1 to create, 0 to change, 0 to replace, 0 to delete, 0 steps to run, 1 to import"));
    let json = to_json(&planned.plan);
    let change = json["resource_changes"].as_array().unwrap().iter().find(|change| change["address"] == "t_thing.network").unwrap();
    assert_eq!((change["change"]["importing"]["id"].as_str(), &change["change"]["actions"][0]), (Some("i-1"), &"no-op".into()));
    world.converge();
    assert_eq!(world.state.resources[&address("t_thing.network")].current.as_ref().unwrap().id, "i-1");
}

#[test]
fn what_differs_is_changed_in_place_with_the_import() {
    let mut world = world(network().set("name", "theirs").set("note", "theirs"));
    let planned = world.plan().fine();
    assert_eq!(planned.says("t_thing.network"), "import, live: i-1; name and note changed");
    let name = "name: Some(\"theirs\") -> Some(\"n\")";
    let note = "note: Some(\"theirs\") -> Some(\"ours\")";
    assert_eq!(planned.attributes("t_thing.network"), [name, note]);
    assert_eq!((planned.plan.counts().import, planned.plan.counts().update), (1, 1));
    world.converge();
}

#[test]
fn an_import_never_destroys() {
    let mut world = world(network().set("cidr", "10.9.0.0/16"));
    let planned = world.plan();
    let why = "`t_thing.network` cannot be imported as i-1: it would be made anew, because cidr changed";
    assert_eq!(planned.errors(), [why]);
    let problem = planned.diagnostics.iter().next().unwrap();
    assert_eq!(problem.notes, ["`cidr` is \"10.9.0.0/16\", and the spec says \"10.0.0.0/16\""]);
    assert!(problem.primary.is_some());
    // Not even where somebody asks for it.
    let mut asked = World::with([network()]);
    asked.strangers = std::mem::take(&mut world.strangers);
    asked.replace.insert(address("t_thing.network"));
    assert!(!asked.plan().errors().is_empty());
    assert_eq!(asked.plan().change("t_thing.network").action, Action::Replace);
}
