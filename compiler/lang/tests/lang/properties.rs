//! Properties that hold for every expression: generated ones, of all forms, with parts that fail.

use cloudtik_lang::{Context, evaluate};
use cloudtik_model::{Diagnostics, FileId, Type, Value};
use proptest::prelude::*;

use crate::{World, deferred, resolve_in};

/// Makes expression text from bytes, so that a failing case shrinks to a short one.
struct Maker<'b> {
    bytes: std::slice::Iter<'b, u8>,
    /// Whether `try` and `can` are used. What is taken of a collection is known although its other elements are not, so a failure in
    /// one of those is not seen; where failures are caught, elements are such that cannot fail later.
    catching: bool,
    /// Whether a conditional may choose between collections. Whether `[…]` becomes a list there depends on the other branch; while the
    /// type of that is not known, it stays a tuple.
    mixing: bool,
}

impl Maker<'_> {
    fn pick(&mut self, n: u8) -> u8 {
        self.bytes.next().map_or(0, |byte| byte % n)
    }

    /// A part that may be dropped.
    fn number_part(&mut self, depth: u8) -> String {
        if self.catching { self.number(0) } else { self.number(depth) }
    }

    fn string_part(&mut self, depth: u8) -> String {
        if self.catching { self.string(0) } else { self.string(depth) }
    }

    fn number(&mut self, depth: u8) -> String {
        if depth == 0 {
            return ["1", "0", "n", "2.5", "-3"][self.pick(5) as usize].to_owned();
        }
        let d = depth - 1;
        match self.pick(15) {
            0 => "n".to_owned(),
            1 => format!("({} + {})", self.number(d), self.number(d)),
            2 => format!("({} / {})", self.number(d), self.number(d)),
            3 => format!("({} ? {} : {})", self.bool(d), self.number(d), self.number(d)),
            4 => format!("length({})", self.list(d)),
            5 => format!("max({}, {})", self.number(d), self.number(d)),
            6 if self.catching => format!("try({}, {})", self.number(d), self.number(d)),
            7 => format!("tonumber({})", self.string(d)),
            8 => format!("-{}", self.number(d)),
            9 => format!("m[{}]", self.string(d)),
            10 => "o.a".to_owned(),
            11 => format!("lookup(m, {}, {})", self.string(d), self.number_part(d)),
            12 => format!("({} * {})", self.number(d), self.number(d)),
            13 => format!("{{a = {}, b = {}}}.a", self.number_part(d), self.string_part(d)),
            _ => format!("[{}, {}][{}]", self.number_part(d), self.number_part(d), self.number(d)),
        }
    }

    fn string(&mut self, depth: u8) -> String {
        if depth == 0 {
            return ["\"x\"", "s", "\"\"", "v", "\"k\"", "o.b"][self.pick(6) as usize].to_owned();
        }
        let d = depth - 1;
        match self.pick(15) {
            0 => "s".to_owned(),
            1 => format!("\"a${{{}}}b${{{}}}\"", self.string(d), self.number(d)),
            2 => format!("upper({})", self.string(d)),
            3 => format!("join(\",\", {})", self.list(d)),
            4 => format!("({} ? {} : {})", self.bool(d), self.string(d), self.string(d)),
            5 => format!("{}[{}]", self.list(d), self.number(d)),
            6 if self.catching => format!("try({}, {}, {})", self.string(d), self.string(d), self.string(d)),
            7 => format!("\"%{{ if {} }}y%{{ else }}${{{}}}%{{ endif }}z\"", self.bool(d), self.string(d)),
            8 => format!("\"%{{ for v in {} }}${{{}}};%{{ endfor }}\"", self.list(d), self.string(d)),
            9 => format!("coalesce({}, {})", self.string_part(d), self.string_part(d)),
            10 => format!("jsonencode({})", self.any(d)),
            11 => format!("format(\"%s-%v\", {}, {})", self.string(d), self.number(d)),
            12 => format!("element({}, {})", self.list(d), self.number(d)),
            13 => format!("{}.k", self.object(d)),
            _ => format!("replace({}, \"x\", {})", self.string(d), self.string(d)),
        }
    }

    fn bool(&mut self, depth: u8) -> String {
        if depth == 0 {
            return ["true", "t", "false"][self.pick(3) as usize].to_owned();
        }
        let d = depth - 1;
        match self.pick(9) {
            0 => "t".to_owned(),
            1 => format!("({} < {})", self.number(d), self.number(d)),
            2 => format!("({} == {})", self.string(d), self.string(d)),
            3 => format!("!{}", self.bool(d)),
            4 => format!("({} && {})", self.bool(d), self.bool(d)),
            5 => format!("({} || {})", self.bool(d), self.bool(d)),
            6 => format!("contains({}, {})", self.list(d), self.string(d)),
            7 if self.catching => format!("can({})", self.any(d)),
            _ => format!("({} != {})", self.number(d), self.number(d)),
        }
    }

    fn list(&mut self, depth: u8) -> String {
        if depth == 0 {
            return ["l", "[]", "[\"p\", \"q\"]", "[s]"][self.pick(4) as usize].to_owned();
        }
        let d = depth - 1;
        match self.pick(13) {
            0 => "l".to_owned(),
            1 => format!("[{}, {}]", self.string_part(d), self.string_part(d)),
            2 => format!("[for v in {} : {} if {}]", self.list(d), self.string_part(d), self.bool(d)),
            3 => format!("concat({}, {})", self.list(d), self.list(d)),
            4 if self.mixing => format!("({} ? {} : {})", self.bool(d), self.list(d), self.list(d)),
            5 => format!("split(\",\", {})", self.string(d)),
            6 => "keys(m)".to_owned(),
            7 => format!("sort({})", self.list(d)),
            8 => format!("distinct({})", self.list(d)),
            9 => format!("tolist({})", self.list(d)),
            10 => format!("{}[*]", self.list(d)),
            11 => format!("flatten([{}, {}])", self.list(d), self.list(d)),
            _ => format!("[for i, v in {} : \"${{i}}${{{}}}\"]", self.list(d), self.string_part(d)),
        }
    }

    fn object(&mut self, depth: u8) -> String {
        let d = depth.saturating_sub(1);
        match self.pick(5) {
            0 => format!("{{k = {}, ({}) = {}}}", self.string_part(d), self.string_part(d), self.string_part(d)),
            1 => format!("{{for v in {} : v => {}...}}", self.list(d), self.string_part(d)),
            2 => format!("{{for v in distinct({}) : v => {}}}", self.list(d), self.string_part(d)),
            3 => format!("merge({{k = {}}}, {{z = {}}})", self.string_part(d), self.string_part(d)),
            _ => format!("{{k = {}}}", self.string_part(d)),
        }
    }

    fn any(&mut self, depth: u8) -> String {
        match self.pick(5) {
            0 => self.number(depth),
            1 => self.string(depth),
            2 => self.bool(depth),
            3 => self.list(depth),
            _ if depth > 0 => self.object(depth),
            _ => "o".to_owned(),
        }
    }
}

const NAMES: [&str; 6] = ["n", "s", "t", "l", "m", "o"];

fn made(bytes: &[u8], catching: bool, mixing: bool) -> String {
    let mut maker = Maker { bytes: bytes.iter(), catching, mixing };
    let depth = 1 + maker.pick(4);
    maker.any(depth)
}

fn value(name: &str, variant: u8) -> Value {
    let odd = variant % 2 == 1;
    match name {
        "n" => Value::from(if odd { 2_i64 } else { 0 }),
        "s" => if odd { "k" } else { "x,y" }.into(),
        "t" => odd.into(),
        "l" => Value::list(if odd { vec!["b".into(), "a".into(), "b".into()] } else { vec!["5".into()] }),
        "m" => Value::map(if odd { vec![("k", Value::from(5_i64))] } else { vec![("x", Value::from(1_i64)), ("y", Value::from(2_i64))] }),
        _ => Value::object([("a", Value::from(i64::from(variant))), ("b", if odd { "k" } else { "q" }.into())]),
    }
}

fn world_of(entries: impl IntoIterator<Item = (&'static str, Value)>) -> World {
    World { names: entries.into_iter().collect(), ..World::default() }
}

fn run(text: &str, world: &World) -> Result<Value, Diagnostics> {
    let expr = cloudtik_syntax::parse_expression(FileId(0), text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    evaluate(&expr, &Context::new(world))
}

/// What the references are worth; those whose bit is not set stay unknown.
fn answers(variant: u8, bits: u8) -> World {
    let known = NAMES.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1);
    World { references: known.map(|(_, name)| (format!("sim.x.{name}"), value(name, variant))).collect(), ..World::default() }
}

fn on_disk(value: &Value) -> Value {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// Lists and tuples, maps and objects alike.
fn plain(value: &Value) -> String {
    cloudtik_lang::to_json_text(value).unwrap_or_else(|| format!("{value:?}"))
}

/// Enough for a few seconds; `PROPTEST_CASES` asks for more.
#[expect(clippy::disallowed_methods, reason = "how long a test searches is said by whoever runs it")]
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { default } else { ProptestConfig { cases: 800, ..default } }
}

proptest! {
    #![proptest_config(config())]

    /// Known at once, or deferred, written to disk, and known in two goes: the same value. What fails at once fails later too, unless
    /// it was in a part that nobody asked for.
    #[test]
    fn a_residue_gives_what_direct_evaluation_gives(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        variant in 0..4_u8,
        open in any::<u8>(),
        typed in any::<bool>(),
        first in any::<u8>(),
        catching in any::<bool>(),
    ) {
        let text = made(&bytes, catching, !typed && !catching);
        let direct = run(&text, &world_of(NAMES.map(|name| (name, value(name, variant)))));
        let partly = world_of(NAMES.iter().enumerate().map(|(i, name)| {
            let value = value(name, variant);
            let ty = if typed { value.ty() } else { Type::Any };
            (*name, if open >> i & 1 == 1 { deferred(ty, &format!("sim.x.{name}")) } else { value })
        }));
        let residue = run(&text, &partly);
        let later = residue
            .and_then(|residue| resolve_in(&on_disk(&residue), &answers(variant, first)))
            .and_then(|residue| resolve_in(&on_disk(&residue), &answers(variant, 0xff)));
        match (&direct, &later) {
            (Ok(direct), Ok(later)) if typed => prop_assert_eq!(format!("{:?}", later), format!("{:?}", direct), "{}", text),
            (Ok(direct), Ok(later)) => prop_assert_eq!(plain(later), plain(direct), "{}", text),
            (Err(_), Err(_)) => {}
            (Err(_), Ok(_)) if !catching => {}
            _ => prop_assert!(false, "{}\ndirect {:?}\nlater {:?}", text, direct, later),
        }
    }

    /// Where a sensitive value makes a difference, the mark is on the result. And no message holds it.
    #[test]
    fn what_depends_on_a_sensitive_value_is_marked(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        variant in 0..4_u8,
        which in 0..6_usize,
        open in any::<u8>(),
    ) {
        let text = made(&bytes, false, true);
        let secret = NAMES[which];
        let with = |secret_variant: u8| {
            world_of(NAMES.iter().enumerate().map(|(i, name)| {
                let own = if *name == secret { value(name, secret_variant).marked(true) } else { value(name, variant) };
                let is_open = *name != secret && open >> i & 1 == 1;
                (*name, if is_open { deferred(own.ty(), &format!("sim.x.{name}")) } else { own })
            }))
        };
        let resolved = |world: World| run(&text, &world).and_then(|residue| resolve_in(&on_disk(&residue), &answers(variant, 0xff)));
        if let (Ok(a), Ok(b)) = (resolved(with(variant)), resolved(with(variant + 1)))
            && a != b
        {
            prop_assert!(a.has_sensitive() && b.has_sensitive(), "{text} of {secret}: {:?} {:?}", a, b);
        }
    }

    /// Neither a message nor what people see shows a sensitive value.
    #[test]
    fn sensitive_values_are_not_shown(bytes in prop::collection::vec(any::<u8>(), 0..80), open in any::<u8>()) {
        let text = made(&bytes, true, true);
        let secret = |name: &str| match name {
            "s" => "hunter2".into(),
            "l" => Value::list(["hunter2".into()]),
            "m" => Value::map([("hunter2", Value::from(1_i64))]),
            "o" => Value::object([("a", Value::from(1_i64)), ("b", "hunter2".into()), ("hunter2", Value::NULL)]),
            name => value(name, 1),
        };
        let world = world_of(NAMES.iter().enumerate().map(|(i, name)| {
            let ty = secret(name).ty();
            let later = matches!(*name, "n" | "t") && open >> i & 1 == 1;
            (*name, if later { deferred(ty, &format!("sim.x.{name}")) } else { secret(name).marked(true) })
        }));
        let shown = match run(&text, &world) {
            Ok(value) => format!("{} {:?}", cloudtik_lang::render(&value), cloudtik_lang::preview(&value)),
            Err(errors) => format!("{errors:?}"),
        };
        prop_assert!(!shown.contains("hunter2"), "{}\n{}", text, shown);
    }

    /// Any sequence of tokens ends in a value or in messages.
    #[test]
    fn nothing_panics(tokens in prop::collection::vec(0..TOKENS.len(), 0..24)) {
        let text: Vec<&str> = tokens.iter().map(|i| TOKENS[*i]).collect();
        for text in [text.concat(), text.join(" ")] {
            if let Ok(expr) = cloudtik_syntax::parse_expression(FileId(0), &text) {
                let value = evaluate(&expr, &Context::new(&crate::world()));
                let _ = cloudtik_lang::references(&expr);
                let _ = cloudtik_lang::parse_type(&expr);
                let _ = cloudtik_lang::expression_text(&expr);
                if let Ok(value) = value {
                    let _ = (cloudtik_lang::render(&value), cloudtik_lang::preview(&value), on_disk(&value));
                }
            }
        }
    }

    /// Any arguments to any function end in a value or in messages.
    #[test]
    fn no_function_panics(which in 0..60_usize, args in prop::collection::vec(0..ARGUMENTS.len(), 0..5), expand in any::<bool>()) {
        let names: Vec<&str> = cloudtik_lang::function_names().collect();
        let name = names[which % names.len()];
        let args: Vec<&str> = args.iter().map(|i| ARGUMENTS[*i]).collect();
        let dots = if expand && !args.is_empty() { "..." } else { "" };
        let result = run(&format!("{name}({}{dots})", args.join(", ")), &crate::world());
        if let Err(errors) = result {
            prop_assert!(errors.iter().all(|error| error.primary.is_some()), "{:?}", errors);
        }
    }

    #[test]
    fn any_json_and_yaml_is_read_or_refused(text in "([\\[\\]{}:,&*!|>\"' \n-]|a|1|0x|\\.5|e9|<<: |&x |\\*x|true|~|é){0,20}") {
        let world = world_of([("t", Value::from(text))]);
        for decode in ["jsondecode(t)", "yamldecode(t)"] {
            if let Ok(value) = run(decode, &world) {
                let again = run("jsondecode(jsonencode(t))", &world_of([("t", value.clone())]));
                prop_assert_eq!(again.unwrap(), value);
            }
        }
    }

    #[test]
    fn format_takes_anything(text in "(%[-+ #0]?[0-9]{0,3}(\\.[0-9]{0,2})?(\\[[0-9]\\])?[a-zA-Z%]?| |é){0,6}", n in any::<i64>()) {
        let world = world_of([("f", Value::from(text)), ("n", Value::from(n))]);
        let _ = run("format(f, n, \"é\", 1.5, true, null)", &world);
        let _ = run("format(f, n)", &world);
    }
}

const TOKENS: [&str; 48] = [
    "1",
    "0",
    "-",
    "+",
    "*",
    "/",
    "%",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "[*]",
    ".*",
    ".",
    ",",
    "=",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "||",
    "!",
    "?",
    ":",
    "\"a\"",
    "\"${",
    "}\"",
    "%{ if ",
    "%{ endif }",
    "for v in ",
    "for k, v in ",
    " => ",
    " if ",
    "...",
    "list",
    "map",
    "object",
    "later",
    "later_any",
    "secret",
    "null",
    "upper(",
    "try(",
    "length(",
    "v",
];

const ARGUMENTS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "2.5",
    "1e30",
    "\"\"",
    "\"a\"",
    "\"10.0.0.0/8\"",
    "\"%s\"",
    "\"/(/\"",
    "null",
    "true",
    "[]",
    "list",
    "map",
    "set",
    "object",
    "secret",
    "later",
    "later_any",
    "later_list",
    "[later, 1]",
];
