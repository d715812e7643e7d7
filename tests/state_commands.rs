//! What is done to the state by itself: names change, entries are let go of, the whole goes out and comes back, and it moves to another place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value as Json;
use support::stage::Stage;

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const SETTLED: [&str; 2] = ["plan", "--detailed-exitcode"];

const SECRET: &str = "nobody-may-read-this";

/// Two values, one of them secret, and a token for each of two names.
fn spec(one: &str, tokens: &str) -> String {
    format!(
        "provider \"sim\" {{}}\n\nresource \"value\" \"{one}\" {{\n  input = sensitive(\"{SECRET}\")\n}}\n\nresource \"value\" \"user\" {{\n  \
         input = sensitive(\"${{value.{one}.output}}!\")\n}}\n\nresource \"sim_token\" \"{tokens}\" {{\n  for_each = toset([\"a\", \"b\"])\n  \
         name     = each.key\n}}\n"
    )
}

fn applied(text: &str) -> Stage {
    let stage = Stage::beside_others(Stage::any_form());
    stage.spec(text);
    stage.expect(0, &APPLY);
    stage
}

fn state(stage: &Stage) -> Json {
    serde_json::from_slice(&fs::read(stage.data().join("state.json")).unwrap()).unwrap()
}

/// Runs `state push -` with this as its input.
fn push(stage: &Stage, text: &str, more: &[&str]) -> (Option<i32>, String) {
    let arguments: Vec<&str> = ["state", "push"].into_iter().chain(more.iter().copied()).chain(["-"]).collect();
    let mut child = stage.command(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_is_called_otherwise_stays_what_it_is() {
    let stage = applied(&spec("one", "t"));
    let id = state(&stage)["resources"]["sim_token.t[\"a\"]"]["current"]["id"].clone();
    let said = stage.expect(0, &["state", "mv", "-dry-run", "sim_token.t", "sim_token.u"]).stdout;
    assert_eq!(
        said,
        "Would move \"sim_token.t[\"a\"]\" to \"sim_token.u[\"a\"]\"\nWould move \"sim_token.t[\"b\"]\" to \"sim_token.u[\"b\"]\"\n"
    );
    let serial = state(&stage)["serial"].as_u64().unwrap();
    let said = stage.expect(0, &["state", "mv", "sim_token.t", "sim_token.u", "--backup", "before.json"]).stdout;
    assert!(said.starts_with("Move \"sim_token.t[\"a\"]\"") && said.ends_with("Successfully moved 2 object(s).\n"), "{said}");
    stage.expect(0, &["state", "mv", "value.one", "value.two"]);
    assert_eq!(state(&stage)["serial"], serial + 2, "one serial for each change");
    assert_eq!(state(&stage)["resources"]["sim_token.u[\"a\"]"]["current"]["id"], id);
    assert!(stage.data().join(format!("state.json.{serial}.bak")).exists());
    let backup = fs::read_to_string(stage.project().join("before.json")).unwrap();
    assert!(backup.contains("sim_token.t[") && !backup.contains(SECRET), "{backup}");
    // The secret went to another place, and is read there.
    stage.spec(&spec("two", "u"));
    stage.expect(0, &SETTLED);

    stage.fails(1, &["state", "mv", "value.twe", "value.three"], &["unknown-address", "did you mean `value.two`?"]);
    stage.fails(1, &["state", "mv", "value.two", "value.user"], &["state-taken", "the state has something at `value.user` already"]);
    stage.fails(1, &["state", "mv", "value.two", "sim_token.two"], &["state-address", "are of two kinds"]);
    stage.fails(1, &["state", "mv", "value.two", "value.two.output"], &["state-address", "`value.two.output` is a part of something"]);
    stage.fails(1, &["state", "move", "a.b", "a.c"], &["there is no command `state move`", "cloudtik state --help"]);
    stage.expect(0, &["state", "mv", "sim_token.u[\"a\"]", "sim_token.u[\"c\"]"]);
    assert_eq!(state(&stage)["resources"]["sim_token.u[\"c\"]"]["current"]["id"], id);
}

#[test]
fn what_is_let_go_of_stays_in_the_world() {
    let stage = applied(&spec("one", "t"));
    assert_eq!(
        stage.expect(0, &["state", "rm", "-dry-run", "sim_token.t"]).stdout,
        "Would remove sim_token.t[\"a\"]\nWould remove sim_token.t[\"b\"]\n"
    );
    let said = stage.expect(0, &["state", "rm", "sim_token.t[\"b\"]", "value.one"]).stdout;
    assert_eq!(said, "Removed sim_token.t[\"b\"]\nRemoved value.one\nSuccessfully removed 2 resource instance(s).\n");
    assert_eq!(stage.expect(0, &["state", "list"]).stdout, "sim_token.t[\"a\"]\nvalue.user\n");
    let user = &state(&stage)["resources"]["value.user"];
    assert!(user.get("depends_on").is_none(), "{user}");
    stage.fails(1, &["state", "rm", "value.one"], &["unknown-address", "the state has nothing at `value.one`"]);
    // What is not known is made.
    stage.expect(2, &SETTLED);
}

#[test]
fn the_whole_goes_out_and_comes_back() {
    let stage = applied(&spec("one", "t"));
    let pulled = stage.expect(0, &["state", "pull"]).stdout;
    assert!(!pulled.contains(SECRET) && pulled.contains("$encrypted"), "{pulled}");
    assert_eq!(pulled.trim_end(), fs::read_to_string(stage.data().join("state.json")).unwrap().trim_end());
    let (code, said) = push(&stage, &pulled, &[]);
    assert!(code == Some(0) && said.contains("nothing was written"), "{said}");

    let mut edited: Json = serde_json::from_str(&pulled).unwrap();
    let serial = edited["serial"].as_u64().unwrap();
    edited["resources"].as_object_mut().unwrap().remove("sim_token.t[\"b\"]").unwrap();
    let refused = |json: &Json, says: &str| {
        let (code, said) = push(&stage, &json.to_string(), &[]);
        assert!(code == Some(1) && said.contains("state-push") && said.contains(says), "{said}");
    };
    refused(&edited, "and is another one");
    edited["serial"] = (serial - 1).into();
    refused(&edited, "it is older");
    edited["serial"] = (serial + 5).into();
    let lineage = std::mem::replace(&mut edited["lineage"], "another".into());
    refused(&edited, "to do with each other");
    let (code, said) = push(&stage, &edited.to_string(), &["--force"]);
    assert!(code == Some(1) && said.contains("envelope-damaged"), "what is sealed is sealed for its lineage: {said}");
    // A secret may be written as it is, and is sealed at once.
    let open = edited.pointer_mut("/resources/value.one/current").unwrap();
    for name in ["attributes", "desired"] {
        for value in open[name].as_object_mut().unwrap().values_mut() {
            *value = serde_json::json!({ "$sensitive": SECRET });
        }
    }
    edited["resources"].as_object_mut().unwrap().remove("value.user").unwrap();
    edited["lineage"] = lineage;
    let (code, said) = push(&stage, &edited.to_string(), &[]);
    assert!(code == Some(0) && said.contains("The state was written"), "{said}");
    assert_eq!(state(&stage)["serial"], serial + 5);
    assert!(!state(&stage).to_string().contains(SECRET));
    assert_eq!(stage.expect(0, &["state", "list"]).stdout, "sim_token.t[\"a\"]\nvalue.one\n");
    // By force, back to what it was: the serial goes on all the same.
    let (code, said) = push(&stage, &pulled, &["--force"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(state(&stage)["serial"], serial + 6);
    stage.expect(0, &SETTLED);
    let (code, said) = push(&stage, "{}", &[]);
    assert!(code == Some(1) && said.contains("state-damaged"), "{said}");
}

#[test]
fn under_what_is_open_no_state_is_replaced() {
    let stage = Stage::beside_others(Stage::any_form());
    stage.spec(&spec("one", "t"));
    let killed = stage.start_with(&APPLY, &[("CLOUDTIK_DIE_AFTER_RECORDS", "4")]).wait();
    assert_eq!(killed.code(), None, "{}", killed.text());
    let pulled = stage.expect(0, &["state", "pull"]).stdout;
    let (code, said) = push(&stage, &pulled.replacen("\"epoch\": ", "\"epoch\": 1", 1), &["--force"]);
    assert!(code == Some(1) && said.contains("state-unsettled"), "{said}");
    stage.expect(0, &APPLY);
    stage.expect(0, &["state", "rm", "sim_token.t"]);
}

/// What would leave a project with a state that nothing can go on from is refused, also with `--force`; and where a state was pushed to counts
/// as used, like where one was applied.
#[test]
fn a_pushed_state_can_be_gone_on_from_and_found_again() {
    let stage = applied("resource \"value\" \"x\" {\n  input = 1\n}\n");
    let whole: Json = serde_json::from_str(&stage.expect(0, &["state", "pull"]).stdout).unwrap();
    for (part, wrong, says) in [
        ("/lineage", Json::from(""), "it has no lineage"),
        ("/serial", Json::from(u64::MAX), "its serial is 18446744073709551615"),
        ("/epoch", Json::from(u64::MAX), "its epoch is 18446744073709551615"),
        ("/folded/sequence", Json::from(u64::MAX), "its sequence is 18446744073709551615"),
    ] {
        let mut edited = whole.clone();
        *edited.pointer_mut(part).unwrap_or_else(|| panic!("{part} is not in {whole}")) = wrong;
        let (code, said) = push(&stage, &edited.to_string(), &["--force"]);
        assert!(code == Some(1) && said.contains("state-push") && said.contains(says), "{part}: {said}");
    }
    stage.expect(0, &SETTLED);

    let other = Stage::beside_others(Stage::any_form());
    let at = |path: &str| {
        format!("cloudtik {{\n  state \"local\" {{\n    path = \"{path}\"\n  }}\n}}\nresource \"value\" \"x\" {{\n  input = 1\n}}\n")
    };
    other.spec(&at("a.json"));
    let (code, said) = push(&other, r#"{"version":1,"lineage":"pushed","serial":1,"epoch":1}"#, &[]);
    assert_eq!(code, Some(0), "{said}");
    other.spec(&at("b.json"));
    other.fails(1, &["plan"], &["state-elsewhere", "it lies in `a.json`"]);
}

/// The spec says another place: every command that needs the state stops until it is moved, for each environment.
#[test]
fn a_state_moves_where_the_spec_says() {
    let within = |path: &str| {
        format!(
            "variable \"env\" {{\n  type    = string\n  default = \"dev\"\n}}\ncloudtik {{\n  state \"local\" {{\n    path = {path}\n  }}\n}}\n{}",
            spec("one", "t")
        )
    };
    let stage = applied(&spec("one", "t"));
    let at = |name: &str| stage.project().join(name);
    let whole = state(&stage);
    stage.spec(&within("\"kept/${var.env}.json\""));
    for command in [&["plan"][..], &["show"], &["state", "list"], &APPLY, &["output"], &["state", "rm", "value.one"]] {
        let says = ["state-elsewhere", "the state lies in `kept/dev.json`, and it lies in", "cloudtik state migrate"];
        stage.fails(1, command, &says);
    }
    stage.expect(0, &["validate"]);
    let said = stage.expect(0, &["state", "migrate"]).stderr;
    assert!(said.contains("The state was moved from `.cloudtik/state.json` to `kept/dev.json`."), "{said}");
    let moved: Json = serde_json::from_slice(&fs::read(at("kept/dev.json")).unwrap()).unwrap();
    assert_eq!((&moved["lineage"], &moved["serial"]), (&whole["lineage"], &whole["serial"]));
    assert!(!stage.data().join("state.json").exists());
    stage.expect(0, &SETTLED);
    assert!(stage.expect(0, &["state", "migrate"]).stderr.contains("There is nothing to move"));

    // Another environment has a state of its own, at what the same words mean for it.
    let production = ["-var", "env=production"];
    let with = |words: &[&str]| words.iter().copied().chain(production).map(str::to_owned).collect::<Vec<_>>();
    let run = |code: i32, words: &[&str]| {
        let words = with(words);
        stage.expect(code, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run(0, &APPLY);
    assert!(at("kept/production.json").exists());
    stage.spec(&within("\"${var.env}.json\""));
    stage.expect(0, &["state", "migrate"]);
    stage.expect(0, &SETTLED);
    let said = run(1, &["plan"]).stderr.replace("\n  │ ", "");
    assert!(said.contains("it lies in `kept/production.json`"), "{said}");
    run(0, &["state", "migrate"]);
    run(0, &SETTLED);

    // What was used last is meant, where nobody says which environment.
    stage.expect(0, &APPLY);

    // Something else is there: whose it is nobody can say.
    fs::write(at("taken.json"), r#"{"version":1,"lineage":"another","serial":1,"epoch":1}"#).unwrap();
    stage.spec(&within("\"taken.json\""));
    stage.fails(1, &["state", "migrate"], &["state-exists", "`taken.json` holds a state already, of something else"]);
    fs::remove_file(at("taken.json")).unwrap();
    // And back into the data folder, with every predecessor.
    stage.spec(&spec("one", "t"));
    stage.fails(1, &["plan"], &["state-elsewhere", "`.cloudtik/state.json`, and it lies in `dev.json`"]);
    stage.expect(0, &["state", "migrate"]);
    stage.expect(0, &SETTLED);
    assert_eq!(state(&stage)["lineage"], whole["lineage"]);
    let left = |name: &str| {
        fs::read_dir(stage.project()).unwrap().any(|entry| entry.unwrap().path().file_name().unwrap().to_string_lossy().starts_with(name))
    };
    assert!(!left("dev.json.keys") && !Path::new(&at("dev.json")).exists());
}

/// What changed outside goes into the state, with the results, and nothing else happens.
#[test]
fn what_changed_outside_is_written_down() {
    let text = spec("one", "t") + "\noutput \"a\" {\n  value = sim_token.t[\"a\"].address\n}\n";
    let stage = applied(&text);
    let world = stage.data().join("sim/world.json");
    let id = |key: &str| state(&stage)["resources"][format!("sim_token.t[\"{key}\"]")]["current"]["id"].as_str().unwrap().to_owned();
    let mut objects: Json = serde_json::from_slice(&fs::read(&world).unwrap()).unwrap();
    objects["objects"][id("a")]["attributes"]["address"] = "elsewhere".into();
    objects["objects"].as_object_mut().unwrap().remove(&id("b")).unwrap();
    fs::write(&world, objects.to_string()).unwrap();
    let (before, there) = (state(&stage), objects["objects"].clone());

    let said = stage.expect(2, &["plan", "-refresh-only", "-detailed-exitcode"]).stdout;
    for line in ["~ address = \"token-", "-> \"elsewhere\"", "sim_token.t[\"b\"] is gone", "Nothing in the world changes."] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("create"), "{said}");
    assert_eq!(state(&stage), before, "a plan writes nothing");
    let json: Json = serde_json::from_str(&stage.expect(0, &["plan", "-refresh-only", "-json"]).stdout).unwrap();
    assert_eq!(json["output_changes"]["a"]["after"], "elsewhere");
    assert_eq!(json["resource_drift"].as_array().unwrap().len(), 2);
    stage.fails(1, &["apply", "-refresh-only"], &["approval", "cloudtik plan --refresh-only --out FILE"]);
    stage.fails(1, &["plan", "-refresh-only", "-destroy"], &["`--refresh-only` cannot be used with `--destroy`"]);
    stage.fails(1, &["plan", "-refresh-only", "-refresh=false"], &["give one of the two"]);
    stage.fails(1, &["refresh"], &["cloudtik apply --refresh-only"]);

    stage.expect(0, &["plan", "-refresh-only", "-out", "the.plan"]);
    stage.expect(0, &["apply", "the.plan"]);
    assert_eq!(stage.expect(0, &["output", "-raw", "a"]).stdout, "elsewhere");
    assert_eq!(stage.expect(0, &["state", "list"]).stdout, "sim_token.t[\"a\"]\nvalue.one\nvalue.user\n");
    let now: Json = serde_json::from_slice(&fs::read(&world).unwrap()).unwrap();
    assert_eq!(now["objects"], there, "nothing in the world changed");
    stage.expect(0, &["plan", "-refresh-only", "-detailed-exitcode"]);
    // What the spec wants is another question.
    stage.expect(2, &SETTLED);
}
