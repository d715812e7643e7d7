//! What a module becomes: sources by capability, commands, edges, and what changes with what.

use std::collections::BTreeMap;

use cloudtik_model::{Address, DaemonSpec, Input, Key, NodeAction, StepKind, StepSpec, Value};
use cloudtik_runtime_modules::{Expanded, shell_quote};
use proptest::prelude::*;

use crate::support;

const HEADER: &str = "module \"m\" {\n  version = \"1.2\"\n  roles = [\"head\"]\n}\n";

fn expand(manifest: &str, spec: &str) -> (support::Case, Expanded) {
    expand_with(manifest, &[], spec)
}

fn expand_with(manifest: &str, files: &[(&str, &str)], spec: &str) -> (support::Case, Expanded) {
    let manifest = format!("{HEADER}{manifest}");
    let mut all = vec![("module.hcl", manifest.as_str())];
    all.extend(files);
    let case = support::case(&all, spec);
    let expanded = case.expand();
    (case, expanded)
}

#[track_caller]
fn check_error(manifest: &str, spec: &str, says: &str) {
    let (case, expanded) = expand(manifest, spec);
    let messages = case.messages(&expanded.diagnostics);
    assert!(expanded.diagnostics.has_errors() && expanded.steps.is_empty(), "{messages}");
    assert!(messages.contains(says) && messages.contains("main.hcl:"), "should say: {says}\n{messages}");
}

#[track_caller]
fn steps(manifest: &str, spec: &str) -> Vec<StepSpec> {
    let (case, expanded) = expand(manifest, spec);
    assert!(expanded.diagnostics.is_empty(), "{}", case.messages(&expanded.diagnostics));
    expanded.steps
}

fn value(step: &StepSpec, name: &str) -> Value {
    match step.inputs.get(name) {
        Some(Input::Value(value)) => support::on_node(value, &support::facts()),
        None => Value::NULL,
        Some(other) => panic!("{name} is {other:?}"),
    }
}

fn text(step: &StepSpec, name: &str) -> String {
    value(step, name).as_str().unwrap_or_default().to_owned()
}

fn short(addresses: &std::collections::BTreeSet<Address>) -> Vec<String> {
    addresses
        .iter()
        .map(|address| address.to_string().trim_start_matches("cluster.c.head.").trim_start_matches("runtime.m.").to_owned())
        .collect()
}

const BINARIES: &str = r#"
binary "distribution" {
  package  = "m"
  requires = ["packages", "own_root"]
}
binary "wheel" {
  wheel       = "m-wheel"
  version     = "1.2.3"
  file        = "m.whl"
  sha256      = "35cde7509d8d3cb5c7db804b25524a6561749d73d84056dad38eb93450fe8ef8"
  executables = ["bin/m"]
  requires    = ["egress"]
}
binary "archive" {
  path    = "downloads/m.tar.gz"
  sha256  = "0000000000000000000000000000000000000000000000000000000000000000"
}
daemon "m" { argv = ["${package.dir}/bin/m", package.name] }
"#;

#[test]
fn the_first_binary_that_fits_is_taken() {
    let artifact = |spec: &str| {
        let steps = steps(BINARIES, spec);
        let Some(Input::Artifact(artifact)) = steps[0].inputs.get("artifact") else { panic!("no artifact") };
        let argv = value(&steps[1], "argv");
        (
            artifact.file.clone(),
            text(&steps[0], "into"),
            argv.elements().unwrap().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>(),
        )
    };
    let wheel = "/node/packages/m-1.2.3-35cde7509d8d".to_owned();
    assert_eq!(
        artifact("capabilities = [\"egress\", \"packages\"]"),
        ("m.whl".into(), wheel.clone(), vec![format!("{wheel}/bin/m"), "wheel".into()])
    );
    let archive = "/node/packages/m-1.2-000000000000".to_owned();
    assert_eq!(
        artifact("capabilities = [\"packages\"]"),
        ("m.tar.gz".into(), archive.clone(), vec![format!("{archive}/bin/m"), "archive".into()])
    );
    let spec = "capabilities = [\"packages\", \"own_root\"]\nruntime \"m\" {}";
    check_error(BINARIES, spec, "packages of the distribution are not in effect in this version");
}

#[test]
fn no_binary_that_fits_is_an_error_with_both_places() {
    let manifest = BINARIES.split("binary \"archive\"").next().unwrap();
    let spec = "capabilities = [\"init\"]\nruntime \"m\" {}";
    let (case, expanded) = expand(manifest, spec);
    let messages = case.messages(&expanded.diagnostics);
    assert_eq!(
        messages,
        "main.hcl:2:1: no binary of runtime `m` fits these nodes [no-binary]\n  m/module.hcl:6:1: `distribution` needs packages, own_root\n  \
         m/module.hcl:10:1: `wheel` needs egress\n  note: the nodes can do: init\n"
    );
}

#[test]
fn without_an_answer_the_first_binary_is_planned_and_said() {
    let manifest = BINARIES.split("binary \"wheel\"").nth(1).map(|rest| format!("binary \"wheel\"{rest}")).unwrap();
    let (_, expanded) = expand(&manifest, "runtime \"m\" {}");
    assert!(expanded.diagnostics.is_empty());
    assert_eq!(expanded.notes, ["what the nodes can do is not known; `m` is planned with its binary `wheel`, which needs egress"]);
}

#[test]
fn a_daemon_can_need_what_the_node_has_not() {
    let manifest = "daemon \"d\" {\n  argv = [\"x\"]\n  requires = [\"low_ports\"]\n}";
    check_error(manifest, "capabilities = []\nruntime \"m\" {}", "`d` needs low_ports");
    assert_eq!(steps(manifest, "capabilities = [\"low_ports\"]").len(), 1);
}

#[test]
fn a_module_knows_its_cluster_and_what_names_end_with() {
    let made = steps("run \"r\" {\n  run = [\"echo\", \"${cluster.name}.${cluster.domain}\"]\n}", "");
    assert_eq!(text(&made[0], "script"), "exec echo c.cloudtik");
}

#[test]
fn words_are_quoted_and_late_ones_travel_in_the_environment() {
    let made = steps(
        "run \"r\" {\n  run = [\"echo\", \"it's\", node.address, \"$HOME\", \"a-${node.id}\"]\n  undo = [\"rm\", node.id]\n  unless = \"test -e x\"\n  env = { A = node.zone }\n}",
        "",
    );
    let Some(Input::Value(script)) = made[0].inputs.get("script") else { panic!() };
    assert!(script.is_known());
    assert_eq!(script.as_str().unwrap(), r#"exec echo 'it'\''s' "$CLOUDTIK_ARG_1" '$HOME' "$CLOUDTIK_ARG_2""#);
    assert_eq!(text(&made[0], "undo"), r#"exec rm "$CLOUDTIK_ARG_3""#);
    assert_eq!(text(&made[0], "unless"), "test -e x");
    let Some(Input::Value(env)) = made[0].inputs.get("env") else { panic!() };
    let shown: BTreeMap<&str, Value> =
        env.entries().unwrap().iter().map(|(name, value)| (&**name, cloudtik_lang::preview(value))).collect();
    assert_eq!(shown["CLOUDTIK_ARG_1"], Value::from("<node.address>"));
    assert_eq!(shown["CLOUDTIK_ARG_2"], Value::from("a-<node.id>"));
    assert_eq!(shown["A"], Value::from("<node.zone>"));
    check_error("run \"r\" { run = \"echo ${node.address}\" }", "runtime \"m\" {}", "nothing quotes them");
    check_error("run \"r\" { run = [] }", "runtime \"m\" {}", "at least one");
    check_error("run \"r\" { run = [null] }", "runtime \"m\" {}", "word 1 of `run` is null");
    check_error("run \"r\" { run = 5 }", "runtime \"m\" {}", "list of words or a script");
}

/// What a script does with its late words, done by a shell.
#[test]
fn a_late_word_is_never_a_command() {
    let made = steps("run \"r\" { run = [\"printf\", \"%s|\", node.address, node.id] }", "");
    let hostile = ["$(exit 3)`exit 4`'\"; exit 5", " *\n$HOME"];
    let output = std::process::Command::new("/bin/sh")
        .args(["-e", "-c", &text(&made[0], "script")])
        .env("CLOUDTIK_ARG_1", hostile[0])
        .env("CLOUDTIK_ARG_2", hostile[1])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}|{}|", hostile[0], hostile[1]));
}

const WHOLE: &str = r#"
binary "b" {
  path   = "m.tar.gz"
  sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
}
option "port" {
  type    = number
  default = 1
}
option "other" {
  type    = number
  default = 2
}
file "a" {
  path     = "/a"
  template = "a.hbs"
}
file "b" {
  path     = "/b"
  template = "b.hbs"
}
run "first" { run = ["one"] }
run "second" {
  run     = ["two"]
  follows = ["b"]
}
validate "check" {
  run     = ["check"]
  follows = ["a"]
}
daemon "server" {
  argv    = ["serve"]
  follows = ["a", "check"]
  ready {
    tcp { port = option.port }
  }
}
health {
  http { port = option.port }
}
port "main" { port = option.port }
"#;

#[test]
fn each_step_comes_after_what_it_needs() {
    let (_, expanded) = expand_with(WHOLE, &[("templates/a.hbs", "a"), ("templates/b.hbs", "b")], "");
    let order: Vec<String> = expanded
        .steps
        .iter()
        .map(|step| format!("{} < {}", step.address.segments().last().unwrap().name, short(&step.depends_on).join(" ")))
        .collect();
    assert_eq!(
        order,
        [
            "package < step.host_key",
            "a < package",
            "b < package",
            "first < package",
            "second < b first package",
            "check < a first package second",
            "server < a b check first package second",
            "health < server",
        ]
    );
    let triggers: BTreeMap<String, Vec<String>> =
        expanded.steps.iter().map(|step| (step.address.segments().last().unwrap().name.to_string(), short(&step.triggers))).collect();
    assert_eq!((triggers["second"].as_slice(), triggers["check"].as_slice()), (["b".to_owned()].as_slice(), ["a".to_owned()].as_slice()));
    assert_eq!(
        (triggers["server"].join(" "), triggers["health"].join(" "), triggers["first"].len()),
        ("a check".to_owned(), "server".to_owned(), 0)
    );
}

/// What makes the identity of each step: all of its inputs but the preview.
fn identities(files: &[(&str, &str)], spec: &str) -> BTreeMap<String, String> {
    let (case, expanded) = expand_with(WHOLE, files, spec);
    assert!(!expanded.steps.is_empty(), "{}", case.messages(&expanded.diagnostics));
    let identity = |input: &Input| match input {
        Input::Template(template) => format!("{:?} {:?}", template.text, template.bindings),
        other => format!("{other:?}"),
    };
    expanded
        .steps
        .iter()
        .map(|step| {
            (
                short(&[step.address.clone()].into()).remove(0),
                step.inputs.iter().map(|(name, input)| format!("{name}={}", identity(input))).collect(),
            )
        })
        .collect()
}

#[test]
fn a_changed_line_or_option_changes_only_what_it_feeds() {
    let changed = |files: &[(&str, &str)], spec: &str| -> Vec<String> {
        let before = identities(&[("templates/a.hbs", "a {{option.other}}"), ("templates/b.hbs", "b")], "");
        let after = identities(files, spec);
        assert!(before.keys().eq(after.keys()));
        before.iter().filter(|(name, identity)| after[*name] != **identity).map(|(name, _)| name.clone()).collect()
    };
    let a = ("templates/a.hbs", "a {{option.other}}");
    let b = ("templates/b.hbs", "b");
    assert_eq!(changed(&[a, b], ""), Vec::<String>::new());
    assert_eq!(changed(&[a, ("templates/b.hbs", "b2")], ""), ["b"]);
    assert_eq!(changed(&[("templates/a.hbs", "a {{option.other}}!"), b], ""), ["a"]);
    assert_eq!(changed(&[a, b], "runtime \"m\" { other = 3 }"), ["a"]);
    assert_eq!(changed(&[a, b], "runtime \"m\" { port = 3 }"), ["health", "server"]);
}

#[test]
fn inputs_are_what_the_node_takes() {
    let (_, expanded) = expand_with(WHOLE, &[("templates/a.hbs", "a"), ("templates/b.hbs", "b")], "runtime \"m\" { env = { A = \"1\" } }");
    for step in &expanded.steps {
        let mut action = serde_json::Map::from_iter([("kind".to_owned(), step.kind.as_str().into())]);
        for (name, input) in &step.inputs {
            let json = match input {
                Input::Value(value) => cloudtik_lang::to_plain_json(&support::on_node(value, &support::facts())).unwrap(),
                Input::Template(template) => support::rendered(template, &support::facts()).into(),
                Input::Artifact(artifact) => {
                    action.insert("file".to_owned(), artifact.file.as_str().into());
                    artifact.sha256.to_string().into()
                }
            };
            action.insert(name.clone(), json);
        }
        let read: NodeAction = serde_json::from_value(action.into()).unwrap_or_else(|error| panic!("{}: {error}", step.address));
        if let NodeAction::Daemon(DaemonSpec { name, env, ready, .. }) = read {
            assert_eq!((name.as_str(), env["A"].as_str(), ready.is_some()), ("m-server", "1", true));
        }
    }
}

#[test]
fn for_each_and_when_decide_what_there_is() {
    let manifest = "option \"pages\" {\n  type = map(string)\n  default = {}\n}\noption \"wanted\" {\n  type = bool\n  default = true\n}\nfile \"p\" {\n  for_each = option.pages\n  path = \"${node.dirs.data}/${each.key}\"\n  content = \"${each.key}=${each.value}\"\n  when = option.wanted\n}";
    let made = steps(manifest, "runtime \"m\" { pages = { b = \"2\", \"x/a\" = node.id } }");
    let keys: Vec<Option<&Key>> = made.iter().map(|step| step.address.key()).collect();
    assert_eq!(keys, [Some(&Key::Name("b".into())), Some(&Key::Name("x/a".into()))]);
    assert_eq!((text(&made[1], "path"), text(&made[1], "content")), ("/node/data/x/a".to_owned(), "x/a=i-1".to_owned()));
    assert!(steps(manifest, "runtime \"m\" {\n  wanted = false\n  pages = { a = \"1\" }\n}").is_empty());
    check_error(manifest, "runtime \"m\" { pages = { \"../../etc/passwd\" = \"x\" } }", "has a `..` in it");
    check_error(manifest, "runtime \"m\" { pages = { \"\" = \"x\" } }", "is no path of a file");
    check_error(
        "file \"p\" {\n  for_each = node.names\n  path = \"/a\"\n  content = \"\"\n}",
        "runtime \"m\" {}",
        "must be known when the plan is made",
    );
    check_error("file \"p\" {\n  for_each = [\"a\"]\n  path = \"/a\"\n  content = \"\"\n}", "runtime \"m\" {}", "takes a map or a set");
    check_error("file \"p\" {\n  path = \"etc/x\"\n  content = \"\"\n}", "runtime \"m\" {}", "is not absolute");
    check_error("file \"p\" {\n  path = \"/etc/x\"\n  content = \"\"\n}", "capabilities = []\nruntime \"m\" {}", "no root of their own");
}

#[test]
fn plain_files_and_own_bindings() {
    let manifest = "file \"s\" {\n  source = \"x.txt\"\n  path = \"/s\"\n  mode = \"0600\"\n  owner = \"root\"\n}\nfile \"t\" {\n  template = \"t.hbs\"\n  path = \"/t\"\n  bindings = { who = node.id, n = 1 }\n}";
    let (case, expanded) = expand_with(manifest, &[("files/x.txt", "as {{it}} is"), ("templates/t.hbs", "{{who}} {{n}}")], "");
    assert!(expanded.diagnostics.is_empty(), "{}", case.messages(&expanded.diagnostics));
    let facts = support::facts();
    assert_eq!(expanded.steps.iter().map(|step| support::content(step, &facts)).collect::<Vec<_>>(), ["as {{it}} is", "i-1 1"]);
    assert_eq!(
        (text(&expanded.steps[0], "mode"), text(&expanded.steps[0], "owner"), text(&expanded.steps[1], "mode")),
        ("0600".into(), "root".into(), "0644".into())
    );
    let (case, expanded) = expand_with(manifest, &[("files/x.txt", ""), ("templates/t.hbs", "{{option.x}}")], "runtime \"m\" {}");
    assert!(case.messages(&expanded.diagnostics).contains("there is no `option` here"));
}

#[test]
fn locals_say_their_errors_once() {
    check_error("locals {\n  a = local.b\n  b = local.a\n}", "runtime \"m\" {}", "a local needs itself: local.a → local.b → local.a");
    let (case, expanded) =
        expand("locals {\n  a = 1 / 0\n  b = local.a\n}\nfile \"f\" {\n  path = \"/f\"\n  content = local.b\n}", "runtime \"m\" {}");
    assert_eq!(expanded.diagnostics.len(), 1, "{}", case.messages(&expanded.diagnostics));
    let mut long = String::from("locals {\n  a0 = 1\n");
    (1..2_000).for_each(|i| long.push_str(&format!("  a{i} = local.a{}\n", i - 1)));
    check_error(&format!("{long}}}"), "runtime \"m\" {}", "need one another in a row");
}

#[test]
fn exports_are_for_others() {
    let (_, expanded) = expand("port \"a\" { port = 80 }\nport \"b\" { port = 81 }", "");
    let exports = expanded.exports;
    assert_eq!(exports.get("version").unwrap(), &Value::from("1.2"));
    assert_eq!(exports.get("ports").unwrap(), &Value::map([("a", Value::from(80_u64)), ("b", Value::from(81_u64))]));
    let endpoints = cloudtik_lang::preview(exports.get("endpoints").unwrap());
    assert_eq!(endpoints, Value::list(["<cluster.c.head.node.address>:80".into(), "<cluster.c.head.node.address>:81".into()]));
    let mut late = std::collections::BTreeSet::new();
    exports.late_names(&mut late);
    assert!(late.is_empty(), "a late name means something else on another node");
    check_error("port \"a\" { port = node.cores }", "runtime \"m\" {}", "must be known when the plan is made");
}

#[test]
fn a_late_option_is_not_checked_and_that_is_said() {
    let manifest = "option \"n\" {\n  type = number\n  default = 1\n  validation {\n    condition = option.n > 0\n    error_message = \"it is ${option.n}\"\n  }\n}";
    let (_, expanded) = expand(manifest, "runtime \"m\" { n = node.cores }");
    assert_eq!(expanded.notes, ["option `n` of runtime `m` is known to the node only, so it is not checked here"]);
    check_error(manifest, "runtime \"m\" { n = 0 }", "main.hcl:1:1: `n` of runtime `m`: it is 0");
}

#[test]
fn kinds_of_steps_are_said() {
    let (_, expanded) = expand_with(WHOLE, &[("templates/a.hbs", "a"), ("templates/b.hbs", "b")], "");
    let titles: Vec<(StepKind, &str)> = expanded.steps.iter().map(|step| (step.kind, step.title.as_str())).collect();
    assert_eq!(
        titles,
        [
            (StepKind::Package, "unpack m 1.2"),
            (StepKind::File, "write /a"),
            (StepKind::File, "write /b"),
            (StepKind::Run, "run first of m"),
            (StepKind::Run, "run second of m"),
            (StepKind::Run, "check check of m"),
            (StepKind::Daemon, "start m-server"),
            (StepKind::Wait, "wait for m"),
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A real shell reads back exactly what went in.
    #[test]
    fn a_shell_reads_back_what_was_quoted(words in prop::collection::vec("[^\0]{0,24}", 1..5)) {
        let line: Vec<String> = words.iter().map(|word| shell_quote(word).unwrap()).collect();
        let script = format!("printf '%s\\0' {}", line.join(" "));
        let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        let read: Vec<String> = String::from_utf8(output.stdout).unwrap().split_terminator('\0').map(str::to_owned).collect();
        prop_assert_eq!(read, words);
    }
}
