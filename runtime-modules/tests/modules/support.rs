//! What the tests of this package share: a runtime written in the spec's language, expanded without the compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use cloudtik_lang::{Context, Found, Scope, Step, Traversal, convert, evaluate, render as show, resolve};
use cloudtik_model::{
    Address, Diagnostic, Diagnostics, Expr, ExprKind, Input, LateName, MemorySources, SourceMap, Span, StepSpec, Template, Value,
};
use cloudtik_runtime_modules::{ExpandRequest, Expanded, Module, expand, load_folder, load_shipped, render};
use cloudtik_syntax::{Block, Body, parse_file};

/// The late names of a spec, and the facts of one node.
#[derive(Default)]
pub(crate) struct NodeFacts(pub(crate) BTreeMap<Arc<str>, Value>);

impl Scope for NodeFacts {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        match (traversal.root, traversal.steps.first()) {
            ("node", Some(Step::Attribute(part, _))) => {
                let late = LateName::Node(Arc::clone(part));
                Ok(Found { value: Value::deferred(late.ty(), Expr::from(ExprKind::Late(late))), used: 1 })
            }
            ("service", Some(Step::Attribute(name, _))) => {
                let late = LateName::ServiceEndpoints(Arc::clone(name));
                let value = Value::deferred(late.ty(), Expr::from(ExprKind::Late(late)));
                Ok(Found { value: Value::object([("endpoints", value)]), used: 1 })
            }
            _ => Err(Diagnostic::error("unknown-name", "only `node` and `service` can be used in a case").at(traversal.span).into()),
        }
    }

    fn late(&self, name: &LateName) -> Option<Value> {
        match name {
            LateName::Node(part) => self.0.get(part).cloned(),
            LateName::GroupMembers => Some(Value::list([1_u64, 2, 3].map(member))),
            LateName::GroupBootstrap => Some(true.into()),
            LateName::ServiceEndpoints(_) => Some(Value::list(["127.64.0.2:1", "127.64.0.3:1"].map(Value::from))),
            LateName::Secret(name) => Some(format!("secret of {name}").as_str().into()),
        }
    }
}

/// A member of the group of the node.
fn member(sequence: u64) -> Value {
    Value::object([
        ("id", Value::from(format!("i-{sequence}"))),
        ("sequence", sequence.into()),
        ("address", format!("127.64.0.{}", sequence + 1).into()),
        ("names", Value::list([])),
    ])
}

/// A node as the local cloud makes one.
pub(crate) fn facts() -> NodeFacts {
    let dirs =
        ["conf", "data", "logs", "packages", "artifacts", "home", "run", "tmp"].map(|dir| (dir, Value::from(format!("/node/{dir}"))));
    NodeFacts(BTreeMap::from([
        ("address".into(), "127.64.0.2".into()),
        ("cores".into(), 4_u64.into()),
        ("sequence".into(), 1_u64.into()),
        ("memory".into(), 2048_u64.into()),
        ("dirs".into(), Value::map(dirs)),
        ("id".into(), "i-1".into()),
        ("names".into(), Value::list(["a".into(), "b".into()])),
    ]))
}

/// A module and a runtime block of it.
pub(crate) struct Case {
    pub(crate) map: SourceMap,
    pub(crate) module: Option<Module>,
    pub(crate) found: Diagnostics,
    pub(crate) body: Body,
}

/// Loads a module of files below `m/`, and reads a runtime block.
pub(crate) fn case(files: &[(&str, &str)], runtime: &str) -> Case {
    let mut map = SourceMap::default();
    let sources = MemorySources::new(files.iter().map(|(path, text)| (format!("m/{path}"), text)));
    let (module, found) = load_folder("m", &sources, "./m", Span::NONE, &mut map);
    read(module, found, map, runtime)
}

/// The same with a shipped module.
pub(crate) fn shipped(name: &str, runtime: &str) -> Case {
    let mut map = SourceMap::default();
    let (module, found) = load_shipped(name, &mut map).unwrap();
    read(module, found, map, runtime)
}

fn read(module: Option<Module>, found: Diagnostics, mut map: SourceMap, runtime: &str) -> Case {
    let file = map.add("main.hcl", runtime);
    let (body, errors) = parse_file(file, runtime);
    assert!(errors.is_empty(), "{errors:?}");
    Case { map, module, found, body }
}

impl Case {
    fn block(&self) -> Option<&Block> {
        self.body.blocks.iter().find(|block| &*block.kind.name == "runtime")
    }

    fn value(&self, body: &Body, name: &str) -> Value {
        body.attribute(name).map_or(Value::NULL, |attribute| evaluate(&attribute.value, &Context::new(&NodeFacts::default())).unwrap())
    }

    /// The options by the types of the module.
    pub(crate) fn options(&self) -> Value {
        let module = self.module.as_ref().unwrap();
        let empty = Body::default();
        let body = self.block().map_or(&empty, |block| &block.body);
        Value::object(module.options().iter().map(|option| {
            let written = convert(&self.value(body, &option.name), &option.ty).unwrap();
            let value = if written.is_null() { option.default.clone().unwrap_or(Value::NULL) } else { written };
            (Arc::clone(&option.name), value.marked(option.sensitive))
        }))
    }

    /// What `discovered` of the file says: endpoints by name.
    fn discovered(&self) -> BTreeMap<Arc<str>, Value> {
        let all = self.value(&self.body, "discovered");
        all.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone())).collect()
    }

    /// What the module makes of it. `capabilities` of the file; all of them without. `on` is `head`, or `workers.g`.
    pub(crate) fn expand(&self) -> Expanded {
        let empty = Body::default();
        let body = self.block().map_or(&empty, |block| &block.body);
        let listed = self.value(&self.body, "capabilities");
        let names: Option<BTreeSet<String>> =
            listed.elements().map(|names| names.filter_map(|name| name.as_str().map(str::to_owned)).collect());
        let on = self.value(&self.body, "on");
        let place = if on.is_null() { "head" } else { on.as_str().unwrap() };
        let node: Address = format!("cluster.c.{place}").parse().unwrap();
        let discovered = self.discovered();
        let module = self.module.as_ref().unwrap_or_else(|| panic!("{}", self.messages(&self.found)));
        expand(&ExpandRequest {
            module,
            address: &format!("{node}.runtime.{}", module.name()).parse().unwrap(),
            node: &node,
            cluster_name: "c",
            domain: &"cloudtik".into(),
            options: &self.options(),
            config: &self.value(body, "config"),
            env: &self.value(body, "env"),
            version: None,
            capabilities: names.as_ref(),
            is_worker: place != "head",
            discovered: &discovered,
            after: &[node.child("step").child("host_key")].into(),
            span: self.block().map_or(Span::NONE, |block| block.header),
        })
    }

    /// The messages, each with its places.
    pub(crate) fn messages(&self, found: &Diagnostics) -> String {
        let mut out = String::new();
        for diagnostic in found {
            let place = diagnostic.primary.as_ref().and_then(|label| self.map.describe(label.span)).unwrap_or_else(|| "-".into());
            let _ = writeln!(out, "{place}: {} [{}]", diagnostic.title, diagnostic.code);
            for label in &diagnostic.labels {
                let _ = writeln!(out, "  {}: {}", self.map.describe(label.span).unwrap_or_default(), label.message);
            }
            let _ = diagnostic.help.iter().try_for_each(|help| writeln!(out, "  help: {help}"));
            let _ = diagnostic.notes.iter().try_for_each(|note| writeln!(out, "  note: {note}"));
        }
        out
    }
}

/// A value with the facts of a node filled in.
pub(crate) fn on_node(value: &Value, facts: &NodeFacts) -> Value {
    resolve(value, &Context::new(facts)).unwrap()
}

/// A template with the facts of a node filled in.
pub(crate) fn rendered(template: &Template, facts: &NodeFacts) -> String {
    render(template, &on_node(&template.bindings, facts)).unwrap()
}

/// The text that a file step writes.
pub(crate) fn content(step: &StepSpec, facts: &NodeFacts) -> String {
    match &step.inputs["content"] {
        Input::Template(template) => rendered(template, facts),
        Input::Value(value) => on_node(value, facts).as_str().unwrap().to_owned(),
        Input::Artifact(_) => panic!("a file of a module is text"),
    }
}

/// Everything about the steps that a reader wants to compare.
pub(crate) fn listing(expanded: &Expanded, facts: &NodeFacts) -> String {
    let mut out = String::new();
    for step in &expanded.steps {
        let _ = writeln!(out, "== {} ({}): {}", step.address, step.kind.as_str(), step.title);
        for address in &step.depends_on {
            let trigger = if step.triggers.contains(address) { " (follows)" } else { "" };
            let _ = writeln!(out, "after {address}{trigger}");
        }
        let _ = if step.frozen { writeln!(out, "frozen") } else { Ok(()) };
        for (name, input) in &step.inputs {
            match input {
                Input::Value(value) => {
                    let _ = writeln!(out, "{name} = {}", show(&on_node(value, facts)));
                }
                Input::Artifact(artifact) => {
                    let _ = writeln!(out, "{name} = {} {} {:?}", artifact.file, artifact.sha256, artifact.source);
                }
                Input::Template(template) => {
                    let _ = writeln!(out, "{name} uses {}", show(&template.bindings));
                    let _ = writeln!(out, "-- preview of {}\n{}", template.name, template.preview);
                    let _ = writeln!(out, "-- on the node\n{}--", rendered(template, facts));
                }
            }
        }
        out.push('\n');
    }
    for membership in &expanded.memberships {
        let _ = writeln!(out, "== {} ({}): {}", membership.address, membership.step.kind.as_str(), membership.step.title);
        let _ = membership.depends_on.iter().try_for_each(|address| writeln!(out, "after {address}"));
        for (name, input) in &membership.step.inputs {
            match input {
                Input::Value(value) if matches!(name.as_str(), "script" | "undo") => {
                    let _ = writeln!(out, "-- {name}\n{}--", value.as_str().unwrap());
                }
                Input::Value(value) => {
                    let _ = writeln!(out, "{name} = {}", show(&on_node(value, facts)));
                }
                other => panic!("{name} is {other:?}"),
            }
        }
        out.push('\n');
    }
    // Where a runtime has endpoints of its own, they say the same.
    for (name, service) in expanded.services.iter().filter(|_| expanded.exports.get("endpoints").is_none()) {
        let _ = writeln!(out, "service {name}: {} on port {}, {}", service.service_type, service.port, service.protocol);
    }
    let _ = writeln!(out, "exports {}", show(&cloudtik_lang::preview(&expanded.exports)));
    let _ = expanded.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"));
    out
}
