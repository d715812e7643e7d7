//! The plan as text and as JSON.

use cloudtik_model::{StepKind, Value};
use cloudtik_planner::{Estimate, RenderOptions, Settled, render_text, to_json};

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

#[test]
fn the_plan_as_json_is_shaped_as_in_terraform() {
    let world = big();
    let json = to_json(&world.plan().fine().plan);
    assert_eq!(json["format_version"], "1.1");
    let at = |name: &str| json["resource_changes"].as_array().unwrap().iter().find(|c| c["address"] == name).unwrap().clone();
    let a = at("t_thing.a");
    assert_eq!((a["type"].as_str(), a["word"].as_str(), a["source"].as_str()), (Some("t_thing"), Some("live"), Some("main.hcl:20:1")));
    assert_eq!(a["change"]["actions"], serde_json::json!(["update"]));
    assert_eq!((&a["change"]["before"]["size"], &a["change"]["after"]["size"]), (&serde_json::json!(7), &serde_json::json!(2)));
    assert_eq!(
        (&a["change"]["after"]["password"], &a["change"]["sensitive"]),
        (&serde_json::Value::Null, &serde_json::json!(["password"]))
    );
    assert_eq!(a["change"]["after"]["address"], "address-i-4");
    assert_eq!(a["drift"], serde_json::json!(["size"]));
    let b = at("t_thing.b");
    assert_eq!((&b["change"]["actions"], &b["replace_paths"]), (&serde_json::json!(["create", "delete"]), &serde_json::json!(["cidr"])));
    let new = at("t_thing.new");
    assert_eq!(new["change"]["before"], serde_json::Value::Null);
    assert_eq!(new["change"]["after"]["network"], serde_json::Value::Null);
    assert_eq!(
        new["change"]["after_unknown"],
        serde_json::json!({ "address": true, "cidr": true, "id": true, "label": true, "network": true })
    );
    assert_eq!(at("t_node.head.config")["change"]["actions"], serde_json::json!(["run"]));
    assert_eq!(at("t_node.head")["change"]["actions"], serde_json::json!(["no-op"]));
    assert_eq!(json["output_changes"]["address"]["after_unknown"], true);
    assert_eq!(json["output_changes"]["token"]["after"], serde_json::Value::Null);
    assert_eq!(json["summary"]["replace"], 1);
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
    assert_eq!(to_json(&planned.plan).get("expected"), None);
    planned.plan.expected = Some(Estimate { calls: 95, waiting_calls: 40, ms: 154_000 });
    assert_eq!(planned.text().lines().last(), Some("This takes about 95 calls and 2 min 40 s."));
    assert_eq!(to_json(&planned.plan)["expected"], serde_json::json!({ "calls": 95, "waiting_calls": 40, "ms": 154_000 }));
}
