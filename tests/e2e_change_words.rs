//! Changing an attribute does what its change word says, and no more.
//!
//! The cases are made from the schemas: every block of the language that is in effect, every kind of the simulated cloud, every option of
//! the module `nginx`. A new attribute is a new case; one whose values cannot be made up from its type and its check fails here until it
//! has an entry in [`written`] or a reason in [`left_out`]. The spec that is changed uses everything at once, so that a change that does
//! too much is seen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use cloudtik::model::{Address, ChangeWord, Node, Type};
use cloudtik::planner::{Action, Change, Plan};
use cloudtik::provider_api::{AttributeSchema, Provider as _};
use cloudtik::{Failure, Interrupt, PlanOptions, Project, ProjectOptions, Silent};
use cloudtik_compiler::language;
use cloudtik_compiler::schema::{BlockSchema, Check};

/// The text of an attribute before and after the change; `None`: it is not written.
type Values = (Option<String>, Option<String>);

/// One attribute that is changed.
#[derive(Clone, Debug)]
struct Case {
    /// `workspace.network.cidr`
    path: String,
    word: ChangeWord,
}

/// Why an attribute is no case.
fn left_out(path: &str) -> Option<&'static str> {
    let name = path.rsplit('.').next().unwrap_or(path);
    Some(match (path, name) {
        (_, "count" | "for_each") => "it says how many objects there are, not what one of them is",
        (_, "enabled") => "it says whether a block is there: switching it off is taking the block out",
        (_, "depends_on") => "it says when, not what",
        ("cluster.setup.step.script" | "cluster.head.setup.step.script", _) => "a step has either `run` or `script`; `run` is changed",
        (
            "workspace.network.zones"
            | "workspace.network.nat"
            | "workspace.network.client_vpc"
            | "workspace.network.client_access"
            | "workspace.network.client_provider"
            | "workspace.deploy"
            | "workspace.network.subnets"
            | "workspace.network.endpoints"
            | "workspace.storage.versioning"
            | "workspace.storage.encrypted"
            | "workspace.storage.kms_key_id"
            | "workspace.storage.worker_access",
            _,
        ) => "the simulated cloud has none, and says so",
        (
            "cluster.head.instance_type"
            | "cluster.head.gpus"
            | "cluster.head.gpu_type"
            | "cluster.head.image"
            | "cluster.head.disk_gib"
            | "cluster.head.disk_type"
            | "cluster.head.public_ip"
            | "cluster.head.zones"
            | "cluster.head.user_data",
            _,
        ) => "the simulated cloud has none, and says so",
        (path, _) if path.starts_with("workspace.identity.") || path.starts_with("cluster.head.aws.") => {
            "the simulated cloud has none, and says so"
        }
        ("workspace.storage.existing" | "workspace.storage.access_key" | "workspace.storage.secret_key", _) => {
            "a store that is there takes the place of the one that is made: tested by `another_store_and_other_keys_run_steps`"
        }
        ("cluster.runtime.source", _) => "it is another module, with steps of its own",
        ("cluster.runtime.on", _) | (_, "on") => "without workers there is one place to be",
        ("cluster.runtime.version", _) => "this build has one version of each module: no second one to change to",
        ("cluster.runtime.allow_major_upgrade", _) => "it lets something else change",
        ("provider.sim.root", _) => "another root is another world: what the state knows is not there",
        ("provider.sim.profile", _) => "what goes wrong by chance is not what is tested here",
        ("variable.type" | "variable.nullable" | "variable.default" | "variable.sensitive", _) => "it works through what uses the variable",
        ("workspace.provider" | "resource.provider", _) => "there is one simulated cloud: no second one to move to",
        ("cluster.max_workers", _) => "a cluster without workers has none to cap",
        ("cluster.workspace", _) => "tested by `another_workspace_makes_the_cluster_anew`",
        ("cloudtik.state.path", _) => "another state file is another state",
        ("output.value", _) => "an output is what it shows; it changes nothing that is made",
        (_, "replace_triggered_by" | "condition" | "error_message") => {
            "it is about other values, and tested where it is decided: in the planner"
        }
        _ => return None,
    })
}

/// Values that are more than their type: what stands in the spec before and after.
fn written(path: &str) -> Option<Values> {
    let some = |before: &str, after: &str| Some((Some(before.to_owned()), Some(after.to_owned())));
    let added = |after: &str| Some((None, Some(after.to_owned())));
    match path {
        // What is inherited is what changes something; the name of a template that holds nothing does not.
        "workspace.from" | "cluster.from" => added("template.nothing"),
        "cloudtik.required_version" => some("\">= 0.1\"", "\">= 0.1, < 9.0\""),
        "workspace.network.mode" => some("\"public-head\"", "\"peered\""),
        "workspace.proxy.http" | "workspace.proxy.https" => some("\"http://one:3128\"", "\"http://two:3128\""),
        // The same of the cluster would win.
        "cluster.proxy.http" | "cluster.proxy.https" => added("\"http://own:3128\""),
        "cluster.proxy.no_proxy" => added("[\"own\"]"),
        "workspace.domain" => some("\"cloudtik\"", "\"data.example\""),
        "workspace.firewall.inside" => some("\"all\"", "\"declared\""),
        "workspace.lifecycle.create_before_destroy"
        | "cluster.lifecycle.create_before_destroy"
        | "resource.lifecycle.create_before_destroy" => some("false", "true"),
        _ if path.ends_with(".prevent_destroy") => some("false", "true"),
        _ if path.ends_with(".ignore_changes") => added("[tags]"),
        _ if path.ends_with(".files") => some(r#"{ "conf/FILE" = { content = "one\n" } }"#, r#"{ "conf/FILE" = { content = "two\n" } }"#),
        _ if path.ends_with(".step.phase") => some("\"after_runtimes\"", "\"before_runtimes\""),
        _ if path.ends_with(".step.user") => added("\"root\""),
        // The same keys on the head would win.
        "cluster.tags" | "cluster.env" => some("{ cluster = \"one\" }", "{ cluster = \"two\" }"),
        "cluster.runtime.config" => some("{ server_tokens = \"off\" }", "{ server_tokens = \"on\" }"),
        "cluster.runtime.port" => some("8080", "8081"),
        "cluster.runtime.server_name" => some("\"a.example\"", "\"b.example\""),
        "cluster.runtime.pages" => some("{ \"index.html\" = \"one\\n\" }", "{ \"index.html\" = \"two\\n\" }"),
        "cluster.runtime.proxy" => some("{ \"/api\" = \"http://127.0.0.1:81\" }", "{ \"/api\" = \"http://127.0.0.1:82\" }"),
        "cluster.runtime.root" => some("\"/srv/one\"", "\"/srv/two\""),
        "cluster.runtime.workers" => some("1", "2"),
        "cluster.runtime.keepalive_timeout" => some("\"65s\"", "\"30s\""),
        "cluster.runtime.client_max_body" => some("\"1m\"", "\"2m\""),
        "cluster.runtime.user" => some("\"nobody\"", "\"root\""),
        "cluster.head.ssh.authorized_keys" => some(&keys("one"), &keys("two")),
        "resource.sim_firewall.network" | "resource.sim_instance.network" => some("sim_network.x.id", "sim_network.other.id"),
        "provider.sim.seed" => some("0", "1"),
        _ => None,
    }
}

/// A public key that nobody has the other half of.
fn keys(comment: &str) -> String {
    format!("[\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKs9pE0xzbcE4kEk6sNWP0bCT3nLj6wFNHRBBNcJp2nL {comment}\"]")
}

/// Values from type and check.
fn made_up(name: &str, ty: &Type, check: Check) -> Option<Values> {
    let (before, after) = match (check, ty) {
        (Check::Duration | Check::Limit, _) => ("\"1m\"", "\"2m\""),
        (Check::Cidr, _) => ("\"10.7.0.0/24\"", "\"10.8.0.0/24\""),
        (Check::Cidrs, _) => ("[\"10.0.0.0/8\"]", "[\"192.168.0.0/16\"]"),
        (Check::Ports, _) => ("[\"80\"]", "[\"81-82\"]"),
        (Check::OneOf([before, after, ..]), _) => return Some((Some(format!("\"{before}\"")), Some(format!("\"{after}\"")))),
        (Check::PortMap, _) => ("{ \"8080\" = 8080 }", "{ \"8080\" = 8081 }"),
        (Check::Roles, _) => ("[\"all\"]", "[\"head\"]"),
        (Check::Mode, _) => ("\"0644\"", "\"0600\""),
        (Check::Name(_), _) => return Some((Some(format!("\"{name}-one\"")), Some(format!("\"{name}-two\"")))),
        (_, Type::Bool) => ("false", "true"),
        (_, Type::Number) => ("1", "2"),
        (_, Type::String) => return Some((Some(format!("\"{name} one\"")), Some(format!("\"{name} two\"")))),
        (_, Type::List(of)) if **of == Type::String => return Some((Some(format!("[\"{name} one\"]")), Some(format!("[\"{name} two\"]")))),
        (_, Type::Map(of)) if **of == Type::String => ("{ a = \"one\" }", "{ a = \"two\" }"),
        (_, Type::Map(of)) if **of == Type::Number => ("{ \"8080\" = 8080 }", "{ \"8080\" = 8081 }"),
        (_, Type::Any) => ("\"one\"", "\"two\""),
        _ => return None,
    };
    Some((Some(before.to_owned()), Some(after.to_owned())))
}

/// The spec and its cases, made from the schemas.
#[derive(Default)]
struct Generated {
    cases: Vec<Case>,
    values: BTreeMap<String, Values>,
    blocks: Vec<Block>,
}

/// A block to write: its header, the path of its attributes, what is in it.
struct Block {
    header: String,
    path: String,
    fixed: Vec<String>,
    attributes: Vec<String>,
    blocks: Vec<Block>,
}

impl Generated {
    fn attribute(&mut self, path: String, name: &str, ty: &Type, check: Check, word: ChangeWord) -> Option<String> {
        if left_out(&path).is_some() {
            return None;
        }
        let values = written(&path).or_else(|| made_up(name, ty, check));
        let values = values.unwrap_or_else(|| panic!("`{path}` ({ty:?}) needs an entry in `written` or a reason in `left_out`"));
        self.values.insert(path.clone(), values);
        self.cases.push(Case { path, word });
        Some(name.to_owned())
    }

    /// A block of the language with everything in it.
    fn block(&mut self, schema: &BlockSchema, path: &str, header: &str) -> Block {
        let mut attributes = Vec::new();
        for rule in &schema.attributes {
            let name = rule.schema.name;
            attributes.extend(self.attribute(format!("{path}.{name}"), name, &rule.schema.ty, rule.check, rule.schema.change));
        }
        let mut blocks = Vec::new();
        // What a cluster with workers becomes is its own matter: see the tests of the compiler and of the controller.
        // The simulated cloud makes no databases.
        let left_out = ["precondition", "postcondition", "validation", "workers", "scaling", "discover", "database"];
        for rule in schema.blocks.iter().filter(|rule| !left_out.contains(&rule.schema.name)) {
            let name = rule.schema.name;
            let header = rule.schema.labels.iter().fold(name.to_owned(), |header, _| {
                let label = match (name, path) {
                    ("runtime", _) => "nginx",
                    ("state", _) => "local",
                    // The steps of a cluster and of its head run on the same node.
                    ("step", "cluster.head.setup") => "own",
                    _ => "default",
                };
                format!("{header} \"{label}\"")
            });
            blocks.push(self.block(&rule.schema, &format!("{path}.{name}"), &header));
        }
        Block { header: header.to_owned(), path: path.to_owned(), fixed: Vec::new(), attributes, blocks }
    }

    /// A `resource` of a kind.
    fn resource(&mut self, kind: &'static str, attributes: &[AttributeSchema]) -> Block {
        let path = format!("resource.{kind}");
        let settable = attributes.iter().filter(|attribute| attribute.is_settable());
        let attributes: Vec<String> = settable
            .filter_map(|schema| {
                let name = if schema.name == "name" { format!("{kind}-name").replace('_', "-") } else { schema.name.to_owned() };
                let values = (schema.name == "name").then(|| (Some(format!("\"{name}-one\"")), Some(format!("\"{name}-two\""))));
                let path = format!("{path}.{}", schema.name);
                let found = self.attribute(path.clone(), schema.name, &schema.ty, Check::None, schema.change);
                if let (Some(values), true) = (values, found.is_some()) {
                    self.values.insert(path, values);
                }
                found
            })
            .collect();
        Block { header: format!("resource \"{kind}\" \"x\""), path, fixed: Vec::new(), attributes, blocks: Vec::new() }
    }

    /// Everything.
    fn all() -> Self {
        let mut made = Self::default();
        let top = language::top_level();
        let mut blocks = Vec::new();
        for rule in &top.blocks {
            let name = rule.schema.name;
            match name {
                // What the kinds of a cloud decide comes below, from their schemas; a local is what uses it. What was moved is a group of
                // workers, and tested where there are some: `tests/head_changes.rs`. An import changes nothing of what is there.
                "locals" | "module" | "moved" | "removed" | "import" | "check" | "policy" | "provider" | "resource" | "data" => {}
                "template" => blocks.push(Block::new("template \"nothing\"", name)),
                "variable" => blocks.push(made.block(&rule.schema, name, "variable \"v\"").with("type = string").with("default = \"v\"")),
                "output" => blocks.push(made.block(&rule.schema, name, "output \"o\"").with("value = workspace.w.network.cidr")),
                "workspace" => blocks.push(made.block(&rule.schema, name, "workspace \"w\"")),
                "cluster" => blocks.push(made.cluster(&rule.schema)),
                _ => blocks.push(made.block(&rule.schema, name, name)),
            }
        }
        let sim = cloudtik_sim::SimProvider::new();
        let mut provider = Block::new("provider \"sim\"", "provider.sim");
        for schema in &sim.schema().config {
            provider.attributes.extend(made.attribute(
                format!("provider.sim.{}", schema.name),
                schema.name,
                &schema.ty,
                Check::None,
                schema.change,
            ));
        }
        blocks.push(provider);
        for kind in sim.schema().kinds.values().filter(|kind| kind.in_resource) {
            blocks.push(made.resource(kind.name, &kind.attributes));
        }
        blocks.push(Block::new("resource \"sim_network\" \"other\"", "resource.other").with("name = \"other\""));
        let value = cloudtik::provider_api::ValueProvider::new();
        for kind in value.schema().kinds.values() {
            blocks.push(made.resource(kind.name, &kind.attributes));
        }
        made.blocks = blocks;
        made
    }

    /// A cluster whose runtime has the options of the module as well.
    fn cluster(&mut self, schema: &BlockSchema) -> Block {
        let mut cluster = self.block(schema, "cluster", "cluster \"c\"").with("workspace = workspace.w");
        let (module, problems) = cloudtik_runtime_modules::load_shipped("nginx", &mut cloudtik::model::SourceMap::default()).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        let runtime = cluster.blocks.iter_mut().find(|block| block.path == "cluster.runtime").unwrap();
        for option in module.unwrap().options() {
            let path = format!("cluster.runtime.{}", option.name);
            runtime.attributes.extend(self.attribute(path, &option.name, &option.ty, Check::None, ChangeWord::Steps));
        }
        cluster
    }

    /// The text of the spec, with one attribute as it is after its change.
    fn text(&self, changed: Option<&str>) -> String {
        let mut text = String::new();
        self.blocks.iter().for_each(|block| self.write(block, changed, 0, &mut text));
        text
    }

    fn write(&self, block: &Block, changed: Option<&str>, depth: usize, text: &mut String) {
        let indent = "  ".repeat(depth);
        let _ = writeln!(text, "{indent}{} {{", block.header);
        block.fixed.iter().for_each(|line| writeln!(text, "{indent}  {line}").unwrap());
        for name in &block.attributes {
            let path = format!("{}.{name}", block.path);
            let (before, after) = &self.values[&path];
            if let Some(value) = if changed == Some(path.as_str()) { after } else { before } {
                // Two blocks may not write the same file.
                let value = value.replace("FILE", &block.path.replace('.', "-"));
                let _ = writeln!(text, "{indent}  {name} = {value}");
            }
        }
        block.blocks.iter().for_each(|block| self.write(block, changed, depth + 1, text));
        let _ = writeln!(text, "{indent}}}");
    }
}

impl Block {
    fn new(header: &str, path: &str) -> Self {
        Self { header: header.to_owned(), path: path.to_owned(), fixed: Vec::new(), attributes: Vec::new(), blocks: Vec::new() }
    }

    fn with(mut self, line: &str) -> Self {
        self.fixed.push(line.to_owned());
        self
    }
}

fn project(folder: &Path) -> Project {
    Project::open(ProjectOptions::new(folder))
}

fn plan(folder: &Path) -> Result<Plan, Failure> {
    Ok(project(folder).plan(&PlanOptions::default(), &Silent)?.plan)
}

fn apply(folder: &Path) {
    let project = project(folder);
    let prepared = project.prepare(&PlanOptions::default(), &Silent).unwrap_or_else(|failure| panic!("{failure}"));
    prepared.apply(Arc::new(Silent), &Interrupt::new()).unwrap_or_else(|failure| panic!("{failure}"));
}

/// A copy of a project with its state and its world.
fn copied(base: &Path, spec: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    support::copy_folder(base, folder.path());
    fs::write(folder.path().join("main.hcl"), spec).unwrap();
    folder
}

/// What a plan changes, without what only the state's own copy of the spec takes up.
fn visible(plan: &Plan) -> Vec<&Change> {
    let seen = |change: &&Change| {
        let noted = change.action == Action::Update && change.word == ChangeWord::None;
        change.action != Action::NoOp && !noted
    };
    plan.changes.values().filter(seen).collect()
}

/// Says what is wrong with what the plan does for a change of that word.
fn judge(word: ChangeWord, planned: Result<Plan, Failure>) -> Result<Option<Plan>, String> {
    let plan = match (word, planned) {
        (ChangeWord::Fixed, Err(failure)) => {
            let helps = failure.diagnostics.iter().all(|diagnostic| diagnostic.help.is_some());
            let placed = failure.diagnostics.iter().all(|diagnostic| diagnostic.primary.is_some());
            return if helps && placed { Ok(None) } else { Err(format!("the error has no place or no help: {failure}")) };
        }
        (_, Err(failure)) => return Err(format!("an error: {failure}")),
        (ChangeWord::Fixed, Ok(_)) => return Err("no error".to_owned()),
        (_, Ok(plan)) => plan,
    };
    let visible = visible(&plan);
    let told = || {
        visible
            .iter()
            .map(|change| format!("\n    {} {} ({}): {}", change.action.as_str(), change.address, change.word.as_str(), change.reason))
            .collect::<String>()
    };
    let with = |action: Action| visible.iter().filter(|change| change.action == action).count();
    let right = match word {
        ChangeWord::None => visible.is_empty(),
        ChangeWord::Live => {
            with(Action::Update) >= 1 && visible.iter().all(|change| change.action == Action::Update && change.word == ChangeWord::Live)
        }
        // Where a step is named after what it does, another text is another step.
        ChangeWord::Steps => !visible.is_empty() && visible.iter().all(|change| change.is_step()),
        ChangeWord::Rolling | ChangeWord::Recreate => {
            let replaced: BTreeSet<&Address> = visible
                .iter()
                .filter(|change| change.action == Action::Replace && !change.is_step())
                .map(|change| &change.address)
                .collect();
            let itself = visible.iter().any(|change| {
                replaced.contains(&change.address) && change.word == word && change.attributes.iter().any(|a| a.forces_replacement)
            });
            itself && visible.iter().all(|change| replaced.contains(&change.address) || follows(&plan, change, &replaced))
        }
        ChangeWord::Fixed => false,
    };
    let told = told();
    if right {
        Ok(Some(plan))
    } else {
        Err(format!("a change of word `{}` does this:{}", word.as_str(), if told.is_empty() { " nothing".to_owned() } else { told }))
    }
}

/// Whether a change is there because something that it depends on is made anew.
fn follows(plan: &Plan, change: &Change, replaced: &BTreeSet<&Address>) -> bool {
    let mut next: Vec<&Address> = change.depends_on.iter().collect();
    if let Some(Node::Step(step)) = &change.desired {
        next.push(&step.node);
    }
    let mut seen = BTreeSet::new();
    while let Some(address) = next.pop() {
        if replaced.contains(address) {
            return true;
        }
        if seen.insert(address) {
            next.extend(plan.changes.get(address).into_iter().flat_map(|change| &change.depends_on));
        }
    }
    false
}

#[test]
fn every_attribute_does_what_its_word_says() {
    let generated = Generated::all();
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("main.hcl"), generated.text(None)).unwrap();
    if std::env::var_os("CLOUDTIK_SHOW_SPEC").is_some() {
        println!("{}", generated.text(None));
    }
    apply(base.path());
    let left = plan(base.path()).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(visible(&left).is_empty(), "the spec does not settle");

    let mut problems = String::new();
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &generated.cases {
        let folder = copied(base.path(), &generated.text(Some(&case.path)));
        match judge(case.word, plan(folder.path())) {
            Err(problem) => problems.push_str(&format!("{}: {problem}\n", case.path)),
            Ok(None) => *words.entry(case.word.as_str()).or_default() += 1,
            Ok(Some(_)) => {
                *words.entry(case.word.as_str()).or_default() += 1;
                // What was planned is done, and after it there is nothing left to do.
                apply(folder.path());
                let left = plan(folder.path()).unwrap();
                if left.has_changes() {
                    problems.push_str(&format!(
                        "{}: something is left to do after it was applied: {:?}\n",
                        case.path,
                        visible(&left).iter().map(|change| change.address.to_string()).collect::<Vec<_>>()
                    ));
                }
            }
        }
    }
    println!("{} attributes: {words:?}", generated.cases.len());
    assert!(problems.is_empty(), "\n{problems}");
    for word in ["none", "live", "steps", "rolling", "recreate", "fixed"] {
        assert!(words.contains_key(word), "no attribute has the word `{word}`: {words:?}");
    }
}

#[test]
fn another_workspace_makes_the_cluster_anew() {
    let spec = |of: &str| {
        format!(
            "provider \"sim\" {{}}\nworkspace \"a\" {{}}\nworkspace \"b\" {{}}\ncluster \"c\" {{\n  workspace = workspace.{of}\n  head {{}}\n}}\n"
        )
    };
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("main.hcl"), spec("a")).unwrap();
    apply(base.path());
    fs::write(base.path().join("main.hcl"), spec("b")).unwrap();
    judge(ChangeWord::Recreate, plan(base.path())).unwrap();
}

#[test]
fn another_store_and_other_keys_run_steps() {
    let spec = |uri: &str, key: &str| {
        format!(
            r#"
provider "sim" {{}}

workspace "w" {{
  storage "s" {{
    existing   = "{uri}"
    access_key = "who"
    secret_key = "{key}"
  }}
}}

cluster "c" {{
  workspace = workspace.w
  env       = {{ STORE = workspace.w.storage.s.uri, KEY = workspace.w.storage.s.secret_key }}
  head {{
    setup {{
      before_runtimes = ["true"]
    }}
  }}
}}
"#
        )
    };
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("main.hcl"), spec("s3://one", "first-secret")).unwrap();
    apply(base.path());
    for changed in [spec("s3://two", "first-secret"), spec("s3://one", "second-secret")] {
        fs::write(base.path().join("main.hcl"), changed).unwrap();
        judge(ChangeWord::Steps, plan(base.path())).unwrap();
    }
    let state = fs::read_to_string(base.path().join(".cloudtik/state.json")).unwrap();
    assert!(state.contains("s3://one") && !state.contains("first-secret"), "{state}");
}

/// The spec of the real node; each place that a change goes to is a word in capitals.
const REAL: &str = r#"
provider "local" {}

workspace "w" {
  network {
    mode = "MODE"
  }
  storage "default" {
    name       = "BUCKET"
    on_destroy = "delete"
  }
}

cluster "c" {
  workspace = workspace.w
  head {
    memory_gib = MEMORY
    tags       = { team = "TAG" }
    ssh {
      connect_timeout = "TIMEOUT"
    }
    setup {
      before_runtimes = ["echo TEXT"]
    }
  }
}
"#;

/// One change after the other on a real node: the place, what stands there before and after, the word.
const REAL_CHANGES: &[(&str, &str, &str, ChangeWord)] = &[
    ("TIMEOUT", "15s", "20s", ChangeWord::None),
    ("TAG", "one", "two", ChangeWord::Live),
    ("TEXT", "one", "two", ChangeWord::Steps),
    ("MEMORY", "1", "2", ChangeWord::Rolling),
    ("BUCKET", "words-one", "words-two", ChangeWord::Recreate),
    ("MODE", "public-head", "peered", ChangeWord::Fixed),
];

#[test]
fn on_a_real_node() {
    let stage = support::Stage::new(support::Stage::any_form());
    let node = || stage.expect(0, &["show", "--json"]).stdout;
    let id = |state: &str| -> String {
        let state: serde_json::Value = serde_json::from_str(state).unwrap();
        let text = state.to_string();
        let at = text.find("\"i-").unwrap_or_else(|| panic!("the state names no instance: {text}"));
        text[at + 1..].split('"').next().unwrap().to_owned()
    };
    // What was changed stays changed: the next change stands alone in its plan.
    let spec = |changed: usize| {
        REAL_CHANGES
            .iter()
            .enumerate()
            .fold(REAL.to_owned(), |text, (i, (place, before, after, _))| text.replace(place, if i < changed { after } else { before }))
    };
    stage.spec(&spec(0));
    stage.expect(0, &["apply", "--auto-approve"]);
    for (i, (place, _, _, word)) in REAL_CHANGES.iter().enumerate() {
        let before = id(&node());
        stage.spec(&spec(i + 1));
        if *word == ChangeWord::Fixed {
            stage.fails(1, &["plan"], &["mode"]);
            continue;
        }
        let json = stage.expect(0, &["plan", "--json"]).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let visible: Vec<(&str, &str, bool)> = json["resource_changes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|change| {
                change["change"]["actions"][0] != "no-op"
                    && !(change["change"]["actions"][0] == "update" && change["cloudtik"]["change_word"] == "none")
            })
            .map(|change| {
                (
                    change["address"].as_str().unwrap(),
                    change["cloudtik"]["change_word"].as_str().unwrap(),
                    change["type"].as_str().unwrap().starts_with("step."),
                )
            })
            .collect();
        let (expected, steps_too) = match word {
            ChangeWord::None => (vec![], false),
            ChangeWord::Live => (vec![("cluster.c.head", "live", false)], false),
            ChangeWord::Steps => (vec![("cluster.c.head.setup.before_runtimes[0]", "steps", true)], false),
            ChangeWord::Rolling => (vec![("cluster.c.head", "rolling", false)], true),
            _ => (vec![("workspace.w.storage.default", "recreate", false)], false),
        };
        let own: Vec<_> = visible.iter().copied().filter(|(_, _, is_step)| !(steps_too && *is_step)).collect();
        assert_eq!(own, expected, "{place}: {visible:?}");
        stage.expect(0, &["apply", "--auto-approve"]);
        let again = stage.expect(0, &["plan", "--detailed-exitcode"]);
        assert!(again.stdout.contains("No changes"), "{place}: {}", again.text());
        assert_eq!(before != id(&node()), *word == ChangeWord::Rolling, "{place}: whether the node is another one");
    }
    stage.spec(&spec(REAL_CHANGES.len() - 1));
    stage.expect(0, &["destroy", "--auto-approve"]);
    assert_eq!(stage.left(), Vec::<String>::new());
}
