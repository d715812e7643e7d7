//! The language from outside: text in, values or messages out.
#![cfg(test)]

mod conversions;
mod files;
mod functions;
mod impure;
mod limits;
mod messages;
mod operators;
mod properties;
mod residues;
mod rsa;
mod shown;
mod suite;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_lang::{Context, Files, Found, Scope, Traversal, Variables, evaluate, resolve};
use cloudtik_model::{Address, Diagnostics, Expr, ExprKind, FileId, LateName, MemorySources, ReadError, SourceMap, SourceSet, Type, Value};

pub(crate) fn parse(text: &str) -> Expr {
    cloudtik_syntax::parse_expression(FileId(0), text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

/// The scope of tests: names with values, and what references and late names are worth once they are known.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) names: BTreeMap<&'static str, Value>,
    pub(crate) references: BTreeMap<String, Value>,
    pub(crate) late: BTreeMap<LateName, Value>,
}

impl Scope for World {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        Variables::new(self.names.iter().map(|(name, value)| (*name, value.clone()))).lookup(traversal)
    }

    fn reference(&self, address: &Address) -> Option<Value> {
        self.references.get(&address.to_string()).cloned()
    }

    fn late(&self, name: &LateName) -> Option<Value> {
        self.late.get(name).cloned()
    }
}

/// Files of a test.
pub(crate) struct TestFiles {
    sources: MemorySources,
    pub(crate) map: RefCell<SourceMap>,
    pub(crate) reads: RefCell<Vec<String>>,
}

impl TestFiles {
    pub(crate) fn new<const N: usize>(files: [(&str, &str); N]) -> Self {
        Self { sources: MemorySources::new(files), map: RefCell::default(), reads: RefCell::default() }
    }
}

impl Files for TestFiles {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        self.reads.borrow_mut().push(path.to_owned());
        self.sources.read(path)
    }

    fn list_below(&self, path: &str, depth: Option<usize>) -> Result<Vec<String>, ReadError> {
        self.sources.list_below(path, depth)?.ok_or_else(|| ReadError::NotFound(path.to_owned()))
    }

    fn absolute(&self, path: &str) -> Option<String> {
        Some(format!("/project/{path}"))
    }

    fn home(&self) -> Option<String> {
        Some("/home/somebody".to_owned())
    }

    fn add_source(&self, path: &str, text: Arc<str>) -> FileId {
        self.map.borrow_mut().add(path, text)
    }
}

pub(crate) fn deferred(ty: Type, address: &str) -> Value {
    Value::deferred(ty, ExprKind::Reference(address.parse().unwrap()).into())
}

pub(crate) fn late(part: &str) -> Value {
    let name = LateName::Node(part.into());
    Value::deferred(name.ty(), ExprKind::Late(name).into())
}

/// The names that all tables may use.
pub(crate) fn world() -> World {
    let list = Value::list(["a".into(), "b".into()]);
    let object = Value::object([("name", "web".into()), ("port", Value::from(80_i64)), ("tags", list.clone())]);
    let names = BTreeMap::from([
        ("list", list),
        ("object", object.clone()),
        ("map", Value::map([("x", Value::from(1_i64)), ("y", Value::from(2_i64))])),
        ("set", Value::set(["b".into(), "a".into()])),
        ("objects", Value::tuple([object.clone(), object])),
        ("nothing", Value::NULL),
        ("secret", Value::from("pw").marked(true)),
        ("secret_number", Value::from(7_i64).marked(true)),
        ("secrets", Value::list(["u".into(), "v".into()]).marked(true)),
        ("later", deferred(Type::String, "sim.a.id")),
        ("later_number", deferred(Type::Number, "sim.a.size")),
        ("later_bool", deferred(Type::Bool, "sim.a.ok")),
        ("later_list", deferred(Type::list(Type::String), "sim.a.list")),
        ("later_any", deferred(Type::Any, "sim.a.any")),
        ("later_object", deferred(Type::object([("ip", Type::String), ("port", Type::Number)]), "sim.a.object")),
        ("later_secret", deferred(Type::String, "sim.a.secret").marked(true)),
        ("address", late("address")),
    ]);
    World { names, ..World::default() }
}

pub(crate) fn eval_in(text: &str, world: &World) -> Result<Value, Diagnostics> {
    evaluate(&parse(text), &Context::new(world))
}

pub(crate) fn eval(text: &str) -> Result<Value, Diagnostics> {
    eval_in(text, &world())
}

/// A value as tests show it, or the messages.
pub(crate) fn show(result: &Result<Value, Diagnostics>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(errors) => errors.iter().map(|error| format!("error: {}", error.title)).collect::<Vec<_>>().join("\n"),
    }
}

/// Every expression gives what stands beside it.
#[track_caller]
pub(crate) fn check(table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(text, expected)| {
            let got = show(&eval(text));
            (got != *expected).then(|| format!("{text}\n  gave     {got}\n  expected {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What a deferred value is worth once everything is known.
pub(crate) fn resolve_in(value: &Value, world: &World) -> Result<Value, Diagnostics> {
    resolve(value, &Context::new(world))
}
