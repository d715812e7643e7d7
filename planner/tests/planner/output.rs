//! The plan as text and as JSON.

use cloudtik_model::{StepKind, Value};
use cloudtik_planner::{Estimate, Plan, PlanJson, RenderOptions, Settled, render_text};
use serde_json::{Value as Json, json};

use crate::world::{World, address, late, of, step, text, thing};

fn big() -> World {
    let mut world = World::with([
        thing("t_node.head", 1).set("name", "head").set("image", "x"),
        thing("t_thing.a", 2)
            .set("size", 1_i64)
            .set("tags", Value::map([("owner", Value::from("ana"))]))
            .set("password", "p")
            .set("note", "n"),
        thing("t_thing.b", 3).set("cidr", "10.0.0.0/16"),
        thing("t_thing.old", 4),
    ]);
    let lines: String = (1..=12).map(|i| format!("line {i}\n")).collect();
    world.and_steps([
        step("t_node.head.config", "t_node.head", StepKind::File).set("path", "/etc/x").set("content", lines.as_str()),
        step("t_node.head.gone", "t_node.head", StepKind::File).set("path", "/etc/y"),
    ]);
    world.output("address", of("t_thing.a", "address"), false);
    world.output("token", of("t_thing.a", "password"), true);
    world.output("gone", "x".into(), false);
    world.converge();
    world.wants([
        thing("t_node.head", 1).set("name", "head").set("image", "x"),
        thing("t_thing.a", 2)
            .set("size", 2_i64)
            .set("tags", Value::map([("owner", Value::from("bo")), ("team", "x y".into())]))
            .set("password", "q")
            .set("note", "m"),
        thing("t_thing.b", 3).set("cidr", "10.1.0.0/16").first(),
        thing("t_thing.new", 5).set("network", of("t_thing.b", "id")).set("ports", text(&["80", "443"])).set("password", "z"),
    ]);
    let mut config = step("t_node.head.config", "t_node.head", StepKind::File)
        .set("path", "/etc/x")
        .set("content", lines.replace("line 6", "line six").as_str());
    config.0.title = "write /etc/x".into();
    world.and_steps([config, step("t_node.head.new", "t_node.head", StepKind::File).set("path", "/etc/z").set("content", late("address"))]);
    world.graph.outputs.remove("gone");
    world.output("address", of("t_thing.b", "address"), false);
    world.output("token", of("t_thing.a", "password"), true);
    world.drifts("t_thing.a", "size", 7_i64);
    world.settled.push(Settled {
        op_id: "op-9".into(),
        address: address("t_thing.c"),
        adopted: false,
        text: "its create had no effect".into(),
    });
    world.notes.push("the firewall is recorded and not enforced".into());
    world
}

#[test]
fn a_plan_reads_like_this() {
    let world = big();
    let planned = world.plan().fine();
    let expected = r#"Left open by an interrupted run:
  t_thing.c: clear: its create had no effect

Changed outside since the last apply:
  t_thing.a
      ~ size = 1 -> 7

  t_node.head.config: write /etc/x  (main.hcl:900:1)
  > run: content changed
      ~ content:  (main.hcl:900:1)
          @@ line 3 @@
            line 3
            line 4
            line 5
          - line 6
          + line six
            line 7
            line 8
            line 9

  t_node.head.gone
  - undo: not in the spec any more

  t_node.head.new  (main.hcl:900:1)
  > run: never ran

  t_thing.a  (main.hcl:20:1)
  ~ update, live: size, tags and 2 more changed
      ~ size = 7 -> 2  (main.hcl:21:1)
      ~ tags.owner = "ana" -> "bo"  (main.hcl:22:1)
      + tags.team = "x y"  (main.hcl:22:1)
      ~ note = "n" -> "m"  (main.hcl:24:1)
      ~ password = (sensitive value) -> (sensitive value)  (main.hcl:23:1)

  t_thing.b  (main.hcl:30:1)
  +/- replace, recreate: cidr changed
      ~ cidr = "10.0.0.0/16" -> "10.1.0.0/16"  (forces replacement, main.hcl:31:1)

  t_thing.new  (main.hcl:50:1)
  + create
      + count    = 1
      + network  = (known after apply)
      + password = (sensitive value)
      + ports    = ["80", "443"]

  t_thing.old
  - delete: not in the spec any more

Results:
  ~ address = "address-i-4" -> (known after apply)
  - gone = "x"
  ~ token = (sensitive value) -> (sensitive value)

Notes:
  - the firewall is recorded and not enforced

Plan: 1 to create, 1 to change, 1 to replace, 1 to delete, 2 steps to run, 1 step to undo.
"#;
    assert_eq!(planned.text(), expected);
    let colored = render_text(&planned.plan, &RenderOptions { color: true, ..RenderOptions::default() });
    let mut plain = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(plain + rest, expected, "colour changes nothing but the colour");
    let verbose = render_text(&planned.plan, &RenderOptions { verbose: true, ..RenderOptions::default() });
    assert!(verbose.contains("  - delete: not in the spec any more\n      - address = \"address-i-6\"\n"), "{verbose}");
    assert!(verbose.contains("      + content = \"<node.address>\"\n      + path    = \"/etc/z\"\n"), "{verbose}");
}

/// Of what is made, that much is enough to know how much there is; of what changes, everything is shown but what is shown elsewhere.
#[test]
fn what_follows_from_the_rest_is_shown_when_it_changes() {
    let parts = |last: &str| Value::map([("a", Value::from("1")), ("b", last.into())]);
    let brief = |last: &str| thing("t_brief.x", 1).set("name", "x").set("parts", parts(last)).set("digest", last).set("document", last);
    let mut world = World::with([brief("2")]);
    let made = world.plan().fine();
    let expected =
        "  t_brief.x  (main.hcl:10:1)\n  + create\n      + count = 1\n      + name  = \"x\"\n        parts: 2 (with --verbose)\n\n";
    assert!(made.text().starts_with(expected), "{}", made.text());
    let verbose = render_text(&made.plan, &RenderOptions { verbose: true, ..RenderOptions::default() });
    assert!(verbose.contains("+ parts  = {") && verbose.contains("+ digest = \"2\"") && !verbose.contains("document"), "{verbose}");
    world.converge();
    world.wants([brief("3")]);
    let changed = world.plan().fine().text();
    assert!(changed.contains("~ parts.b = \"2\" -> \"3\"") && changed.contains("~ digest = \"2\" -> \"3\""), "{changed}");
    assert!(!changed.contains("document") && !changed.contains("--verbose"), "{changed}");
}

#[test]
fn a_plan_of_nothing_says_so() {
    let mut world = World::with([thing("t_thing.a", 1)]);
    world.converge();
    assert_eq!(world.plan().text(), "No changes. What exists is what the spec wants.\n");
    world.drifts("t_thing.a", "address", "elsewhere");
    assert!(
        world
            .plan()
            .text()
            .ends_with("No changes. What changed outside is nothing that the spec asks for; apply writes it into the state.\n")
    );
    world.observed.clear();
    world.output("x", 1_i64.into(), false);
    assert_eq!(world.plan().text(), "Results:\n  + x = 1\n\nPlan: nothing to do but 1 result to write down.\n");
    world.graph.outputs.clear();
    world.gone("t_thing.a");
    assert!(world.plan().text().starts_with("Changed outside since the last apply:\n  - t_thing.a is gone\n\n"));
    world.offline = true;
    assert!(world.plan().text().starts_with("Made offline: "));
}

#[test]
fn long_values_are_cut_and_long_texts_bounded() {
    let long = "x".repeat(500);
    let lines: String = (0..2_000).map(|i| format!("{i}\n")).collect();
    let world = World::with([
        thing("t_thing.a", 1).set("name", long.as_str()).set("link", lines.as_str()),
        thing("t_thing.b", 2).set("name", "a\u{1b}[31m\nb"),
    ]);
    let planned = world.plan().fine();
    let shown = planned.text();
    assert!(shown.contains("        … 1940 more lines\n") && shown.lines().count() < 100, "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 130), "{shown}");
    assert!(!shown.contains('\u{1b}'), "what a value holds never reaches the terminal as a command");
    let verbose = render_text(&planned.plan, &RenderOptions { verbose: true, ..RenderOptions::default() });
    assert!(verbose.contains(&long));
}

/// The whole of what is streamed.
pub(crate) fn to_json(plan: &Plan) -> Json {
    serde_json::to_value(PlanJson(plan)).unwrap()
}

/// The element of an array that is about an address.
fn at(of: &Json, address: &str) -> Json {
    of.as_array().unwrap().iter().find(|element| element["address"] == address).unwrap_or(&Json::Null).clone()
}

#[test]
fn the_plan_as_json_is_shaped_as_in_terraform() {
    let json = to_json(&big().plan().fine().plan);
    assert_eq!((&json["format_version"], &json["complete"], &json["errored"]), (&json!("1.2"), &json!(true), &json!(false)));
    let change = |address: &str| at(&json["resource_changes"], address);
    let a = change("t_thing.a");
    assert_eq!((&a["mode"], &a["type"], &a["name"], &a["index"]), (&json!("managed"), &json!("t_thing"), &json!("a"), &Json::Null));
    assert_eq!(
        (&a["provider_name"], &a["cloudtik"]["change_word"], &a["cloudtik"]["source"]),
        (&json!("t"), &json!("live"), &json!("main.hcl:20:1"))
    );
    assert_eq!(a["change"]["actions"], json!(["update"]));
    assert_eq!((&a["change"]["before"]["size"], &a["change"]["after"]["size"]), (&json!(7), &json!(2)));
    assert_eq!((&a["change"]["before"]["id"], &a["change"]["after"]["id"]), (&json!("i-4"), &json!("i-4")));
    assert_eq!((&a["change"]["after"]["password"], &a["change"]["after_sensitive"]), (&Json::Null, &json!({ "password": true })));
    assert_eq!(a["change"]["after"]["address"], "address-i-4");
    let drift = at(&json["resource_drift"], "t_thing.a");
    assert_eq!((&drift["change"]["before"]["size"], &drift["change"]["after"]["size"]), (&json!(1), &json!(7)));
    assert_eq!(drift["change"]["actions"], json!(["update"]));
    let b = change("t_thing.b");
    assert_eq!((&b["change"]["actions"], &b["change"]["replace_paths"]), (&json!(["create", "delete"]), &json!([["cidr"]])));
    assert_eq!(b["action_reason"], "replace_because_cannot_update");
    let new = change("t_thing.new");
    assert_eq!((&new["change"]["before"], &new["change"]["before_sensitive"]), (&Json::Null, &json!(false)));
    assert_eq!(new["change"]["after"].get("network"), None);
    assert_eq!(new["change"]["after_unknown"], json!({ "address": true, "cidr": true, "id": true, "label": true, "network": true }));
    let old = change("t_thing.old");
    assert_eq!(
        (&old["change"]["after"], &old["change"]["after_unknown"], &old["action_reason"]),
        (&Json::Null, &json!({}), &json!("delete_because_no_resource_config"))
    );
    let steps = ["config", "new", "gone"].map(|name| change(&format!("t_node.head.{name}")));
    assert_eq!(steps.each_ref().map(|step| &step["change"]["actions"]), [&json!(["update"]), &json!(["create"]), &json!(["delete"])]);
    assert_eq!(steps.each_ref().map(|step| &step["cloudtik"]["action"]), ["run", "run", "undo"]);
    assert_eq!(steps[1]["name"], "t_node_head_new");
    let head = change("t_node.head");
    assert_eq!((&head["change"]["actions"], &head["change"]["before"]), (&json!(["no-op"]), &head["change"]["after"]));
    assert_eq!(head["change"]["after"]["image"], "x");
    assert_eq!(json["output_changes"]["address"]["after_unknown"], true);
    assert_eq!(
        (&json["output_changes"]["token"]["after"], &json["output_changes"]["token"]["after_sensitive"]),
        (&Json::Null, &json!(true))
    );
    assert_eq!(json["cloudtik"]["summary"]["replace"], 1);
}

#[test]
fn values_of_a_plan_are_there_before_and_after() {
    let json = to_json(&big().plan().fine().plan);
    let planned = |address: &str| at(&json["planned_values"]["root_module"]["resources"], address);
    let prior = |address: &str| at(&json["prior_state"]["values"]["root_module"]["resources"], address);
    assert_eq!((planned("t_thing.old"), prior("t_thing.new")), (Json::Null, Json::Null));
    assert_eq!((&prior("t_thing.a")["values"]["size"], &planned("t_thing.a")["values"]["size"]), (&json!(7), &json!(2)));
    assert_eq!(planned("t_thing.new")["sensitive_values"], json!({ "password": true }));
    assert_eq!(prior("t_thing.a")["values"]["id"], "i-4");
    let blocks = &json["configuration"]["root_module"]["resources"];
    let new = at(blocks, "t_thing.new");
    assert_eq!(new["expressions"]["network"], json!({ "references": ["t_thing.b.id", "t_thing.b"] }));
    assert_eq!(new["expressions"]["ports"], json!({ "constant_value": ["80", "443"] }));
    assert_eq!((&new["expressions"]["password"], &new["depends_on"]), (&json!({}), &json!(["t_thing.b"])));
    let text = serde_json::to_string(&PlanJson(&big().plan().fine().plan)).unwrap();
    for secret in ["\"p\"", "\"q\"", "\"z\""] {
        assert!(!text.contains(secret), "{secret}");
    }
}

/// Tools know a resource by its type and its name: the instances of a block share them, and no two blocks do.
#[test]
fn instances_share_a_block_and_paths_become_words() {
    let instance = |at: &str, size: i64| thing(at, 1).set("size", size).set("note", "n");
    let mut world = World::with([
        instance("t_thing.a[0]", 1),
        instance("t_thing.a[1]", 2),
        instance("t_thing.a[1].t_thing[\"k\"]", 3),
        thing("t_thing.c", 2).set("network", of("t_thing.a[1]", "id")),
    ]);
    world.output("id", of("t_thing.a[0]", "id"), false);
    let json = to_json(&world.plan().fine().plan);
    let planned = |address: &str| at(&json["planned_values"]["root_module"]["resources"], address);
    assert_eq!((&planned("t_thing.a[1]")["name"], &planned("t_thing.a[1]")["index"]), (&json!("a"), &json!(1)));
    let inner = planned("t_thing.a[1].t_thing[\"k\"]");
    assert_eq!((&inner["name"], &inner["index"]), (&json!("t_thing_a_1_t_thing"), &json!("k")));
    let blocks = &json["configuration"]["root_module"]["resources"];
    assert_eq!(blocks.as_array().unwrap().len(), 3);
    assert_eq!(at(blocks, "t_thing.a")["expressions"]["size"], json!({}), "its instances differ");
    assert_eq!(at(blocks, "t_thing.a")["expressions"]["note"], json!({ "constant_value": "n" }));
    let references = json!({ "references": ["t_thing.a[1].id", "t_thing.a[1]", "t_thing.a"] });
    assert_eq!(at(blocks, "t_thing.c")["expressions"]["network"], references);
    assert_eq!(json["configuration"]["root_module"]["outputs"]["id"]["expression"]["references"][0], "t_thing.a[0].id");
}

#[test]
fn what_is_gone_is_drift_and_what_fails_or_is_asked_for_has_its_reason() {
    let mut world = World::with(["a", "b", "c"].map(|name| thing(&format!("t_thing.{name}"), 1).set("size", 1_i64)));
    world.converge();
    world.gone("t_thing.a");
    world.replace.insert(address("t_thing.b"));
    world.state.resources.get_mut(&address("t_thing.c")).unwrap().current.as_mut().unwrap().tainted = true;
    let json = to_json(&world.plan().fine().plan);
    let gone = at(&json["resource_drift"], "t_thing.a");
    assert_eq!(
        (&gone["change"]["actions"], &gone["change"]["before"]["size"], &gone["change"]["after"]),
        (&json!(["delete"]), &json!(1), &Json::Null)
    );
    assert_eq!(json["resource_drift"].as_array().unwrap().len(), 1);
    let reason = |address: &str| at(&json["resource_changes"], address)["action_reason"].clone();
    assert_eq!(
        ["t_thing.a", "t_thing.b", "t_thing.c"].map(reason),
        [Json::Null, json!("replace_by_request"), json!("replace_because_tainted")]
    );
}

#[test]
fn the_text_of_many_changes_is_made_in_one_go() {
    let mut world = World::with((0..1_000).map(|i| thing(&format!("value.v[{i}]"), 1).set("input", i64::from(i))));
    let text = world.plan().fine().text();
    assert_eq!(text.lines().count(), 4_001);
    assert!(text.ends_with("Plan: 1000 to create, 0 to change, 0 to replace, 0 to delete, 0 steps to run.\n"));
    world.converge();
}

#[test]
fn a_plan_says_what_it_takes_where_that_is_known() {
    let mut planned = big().plan().fine();
    assert_eq!(to_json(&planned.plan)["cloudtik"].get("expected"), None);
    planned.plan.expected = Some(Estimate { calls: 95, waiting_calls: 40, ms: 154_000 });
    assert_eq!(planned.text().lines().last(), Some("This takes about 95 calls and 2 min 40 s."));
    assert_eq!(to_json(&planned.plan)["cloudtik"]["expected"], json!({ "calls": 95, "waiting_calls": 40, "ms": 154_000 }));
}
