//! Syntax, formatter and evaluator.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_lang::{
    Context, Files, Found, Scope, Traversal, Variables, console_text, convert, expression_text, from_json_text, parse_type, references,
    render, render_line, resolve, to_json_text,
};
use cloudtik_model::{Address, Diagnostics, Expr, ExprKind, FileId, LateName, MemorySources, ReadError, SourceSet as _, Span, Type, Value};
use cloudtik_syntax::{Body, decode, parse_expression, parse_file, parse_template};

/// What is read stands in the text where it is said to stand.
pub(crate) fn syntax(bytes: &[u8]) {
    let Ok(text) = decode("fuzzed.hcl", bytes) else { return };
    let (body, found) = parse_file(FileId(0), &text);
    check_places(&text, &found);
    check_body(&text, &body);
    for parsed in [parse_expression(FileId(0), &text), parse_template(FileId(0), &text)] {
        match parsed {
            Ok(expression) => check_expression(&text, &expression),
            Err(found) => check_places(&text, &found),
        }
    }
}

fn check_places(text: &str, found: &Diagnostics) {
    for diagnostic in found {
        for label in diagnostic.primary.iter().chain(&diagnostic.labels) {
            check_span(text, label.span);
        }
    }
}

fn check_span(text: &str, span: Span) {
    assert!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?} is no part of the text");
}

fn check_body(text: &str, body: &Body) {
    check_span(text, body.span);
    for attribute in &body.attributes {
        check_span(text, attribute.span);
        check_expression(text, &attribute.value);
    }
    for block in &body.blocks {
        check_span(text, block.span);
        check_body(text, &block.body);
    }
}

/// Whoever walks an expression gets to its end.
fn check_expression(text: &str, expression: &Expr) {
    check_span(text, expression.span);
    drop((references(expression), expression_text(expression), parse_type(expression)));
}

/// Formatted, a text means what it meant, and is not formatted any further.
pub(crate) fn format(bytes: &[u8]) {
    let Ok(text) = decode("fuzzed.hcl", bytes) else { return };
    let (body, found) = parse_file(FileId(0), &text);
    let Ok(formatted) = cloudtik_syntax::format(FileId(0), &text) else { return };
    if found.has_errors() {
        return;
    }
    let (again, found) = parse_file(FileId(0), &formatted);
    assert!(!found.has_errors(), "formatted it is {formatted:?}, which is wrong: {found:?}");
    assert!(is_same(&body, &again), "formatted it is {formatted:?}, which means something else");
    assert_eq!(cloudtik_syntax::format(FileId(0), &formatted).as_deref(), Ok(&*formatted), "it is formatted further");
}

/// Whether two bodies say the same, wherever they say it.
fn is_same(one: &Body, other: &Body) -> bool {
    says_same(one, other, false)
}

/// The type of a variable is written in today's words: it may be another expression.
fn says_same(one: &Body, other: &Body, of_variable: bool) -> bool {
    let names = |body: &Body| body.attributes.iter().map(|attribute| Arc::clone(&attribute.name.name)).collect::<Vec<_>>();
    let values = |body: &Body| {
        let values = body.attributes.iter().filter(|attribute| !(of_variable && &*attribute.name.name == "type"));
        values.map(|attribute| attribute.value.clone()).collect::<Vec<_>>()
    };
    let headers = |body: &Body| {
        let header = |block: &cloudtik_syntax::Block| {
            (Arc::clone(&block.kind.name), block.labels.iter().map(|label| Arc::clone(&label.text)).collect::<Vec<_>>())
        };
        body.blocks.iter().map(header).collect::<Vec<_>>()
    };
    names(one) == names(other)
        && values(one) == values(other)
        && headers(one) == headers(other)
        && one.blocks.iter().zip(&other.blocks).all(|(one, other)| says_same(&one.body, &other.body, &*one.kind.name == "variable"))
}

/// Evaluates every attribute of a file, each with those before it as names.
pub(crate) fn evaluate(bytes: &[u8]) {
    let Ok(text) = decode("fuzzed.hcl", bytes) else { return };
    drop(from_json_text(&text));
    let (body, _) = parse_file(FileId(0), &text);
    let mut names = Names::new();
    attributes(&body, &mut names);
}

fn attributes(body: &Body, names: &mut Names) {
    for attribute in &body.attributes {
        let files = InMemory::new();
        let context = Context::new(&*names).with_files(&files);
        let Ok(value) = cloudtik_lang::evaluate(&attribute.value, &context) else { continue };
        check_value(&value);
        if !value.is_known() {
            let later = Known(names);
            if let Ok(resolved) = resolve(&value, &Context::new(&later).with_files(&files)) {
                check_value(&resolved);
                assert!(!value.is_sensitive() || resolved.is_sensitive(), "a mark was lost: {value:?} became {resolved:?}");
            }
        }
        names.0.insert(Arc::clone(&attribute.name.name), value);
    }
    body.blocks.iter().for_each(|block| attributes(&block.body, names));
}

/// Whatever shows, keeps or converts a value takes this one.
fn check_value(value: &Value) {
    drop((render(value), render_line(value), console_text(value), to_json_text(value)));
    for to in [Type::String, Type::Number, Type::Bool, Type::list(Type::Any), Type::set(Type::String), Type::map(Type::String)] {
        drop(convert(value, &to));
    }
    let written = serde_json::to_string(value);
    assert!(written.is_ok(), "it is not written: {value:?}");
    let read: Result<Value, _> = written.and_then(|text| serde_json::from_str(&text));
    assert!(read.is_ok_and(|read| read == *value), "it is not read again as it was written: {value:?}");
}

/// Names of every kind of value, known and not; the text adds its own.
struct Names(BTreeMap<Arc<str>, Value>);

impl Names {
    fn new() -> Self {
        let list = Value::list(["a".into(), "b".into()]);
        let object = Value::object([("name", "web".into()), ("port", Value::from(80_i64)), ("tags", list.clone())]);
        let later = |ty: Type, address: &str| match address.parse() {
            Ok(address) => Value::deferred(ty, ExprKind::Reference(address).into()),
            Err(_) => Value::NULL,
        };
        let late = LateName::Node("address".into());
        let names = [
            ("list", list),
            ("map", Value::map([("x", Value::from(1_i64)), ("y", Value::from(2_i64))])),
            ("set", Value::set(["b".into(), "a".into()])),
            ("objects", Value::tuple([object.clone(), object.clone()])),
            ("object", object),
            ("secret", Value::from("pw").marked(true)),
            ("later", later(Type::String, "sim.a.id")),
            ("later_number", later(Type::Number, "sim.a.size")),
            ("later_bool", later(Type::Bool, "sim.a.ok")),
            ("later_list", later(Type::list(Type::String), "sim.a.list")),
            ("later_any", later(Type::Any, "sim.a.any")),
            ("later_secret", later(Type::String, "sim.a.secret").marked(true)),
            ("address", Value::deferred(late.ty(), ExprKind::Late(late).into())),
        ];
        Self(names.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl Scope for Names {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        match self.0.get(traversal.root) {
            Some(value) => Ok(Found { value: value.clone(), used: 0 }),
            None => Variables::none().lookup(traversal),
        }
    }
}

/// The same once more is known.
struct Known<'a>(&'a Names);

impl Scope for Known<'_> {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        self.0.lookup(traversal)
    }

    fn reference(&self, address: &Address) -> Option<Value> {
        Some(match address.to_string().as_str() {
            "sim.a.id" | "sim.a.secret" => "i-1".into(),
            "sim.a.size" => Value::from(3_i64),
            "sim.a.ok" => true.into(),
            "sim.a.list" => Value::list(["p".into(), "q".into()]),
            "sim.a.any" => Value::tuple([Value::object([("id", "x".into())])]),
            _ => return None,
        })
    }

    fn late(&self, _: &LateName) -> Option<Value> {
        Some("10.0.0.9".into())
    }
}

/// A few files to read, templates that read one another among them.
struct InMemory(MemorySources);

impl InMemory {
    fn new() -> Self {
        Self(MemorySources::new([
            ("hello.txt", "hello"),
            ("lines.tmpl", "%{ for x in xs ~}\n- ${x}\n%{ endfor ~}\n"),
            ("again.tmpl", "${templatefile(\"again.tmpl\", {})}"),
            ("data.json", "{\"a\": [1, 2.5, null, \"x\"]}"),
        ]))
    }
}

impl Files for InMemory {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        self.0.read(path)
    }

    fn list_below(&self, path: &str, depth: Option<usize>) -> Result<Vec<String>, ReadError> {
        self.0.list_below(path, depth)?.ok_or_else(|| ReadError::NotFound(path.to_owned()))
    }

    fn absolute(&self, path: &str) -> Option<String> {
        Some(format!("/project/{path}"))
    }

    fn home(&self) -> Option<String> {
        Some("/home/somebody".to_owned())
    }

    fn add_source(&self, _: &str, _: Arc<str>) -> FileId {
        FileId(1)
    }
}
