//! Short texts that would cost much.

#![expect(clippy::disallowed_methods, reason = "a test of time reads the clock")]

use std::time::Instant;

use cloudtik_lang::{Context, Variables, evaluate};
use cloudtik_model::{BinaryOp, Expr, ExprKind, ForKind, Span, TemplatePart, Type, UnaryOp, Value};

use crate::{deferred, eval, eval_in, parse, show, world};

fn message(text: &str) -> String {
    show(&eval(text))
}

#[test]
fn explosions_end_in_a_message() {
    let started = Instant::now();
    for (text, part) in [
        ("range(1000000000)", "more than 1000000 elements"),
        ("range(0, 1, 1e-300)", "more than 1000000 elements"),
        ("range(0, -1e300, -0.1)", "more than 1000000 elements"),
        ("format(\"%1000000000d\", 1)", "at most 10000"),
        ("format(\"%99999999999999999999d\", 1)", "at most 10000"),
        ("[for a in range(1000000) : [for b in range(1000000) : a]]", "steps"),
        ("[for a in range(100000) : contains(range(100000), a)]", "steps"),
        ("concat([for i in range(60) : range(20000)]...)", "more than 1000000 elements"),
        ("join(join(\"\", [for i in range(10000) : \"0123456789\"]), range(10000))", "bytes"),
        ("replace(join(\"\", range(100000)), \"\", join(\"\", range(10000)))", "bytes"),
        ("replace(join(\"\", range(100000)), \"/./\", join(\"\", range(10000)))", "bytes"),
        ("1e200 * 1e200 * 1e200", "200 digits"),
    ] {
        let got = message(text);
        assert!(got.contains(part), "{text:.80}: {got:.200}");
    }
    assert!(started.elapsed().as_secs() < 60);
}

#[test]
fn doubling_text_is_bounded() {
    let mut world = world();
    world.names.insert("t", Value::from("x".repeat(1024 * 1024)));
    assert!(show(&eval_in("\"${t}${t}${t}${t}${t}${t}${t}${t}${t}${t}${t}${t}${t}${t}${t}${t}${t}\"", &world)).contains("bytes"));
    assert!(show(&eval_in("[for i in range(100000) : \"${t}${i}\"]", &world)).contains("steps"));
}

#[test]
fn a_residue_that_doubles_again_and_again_is_refused() {
    let mut value = deferred(Type::String, "sim.a.id");
    for _ in 0..60 {
        let scope = Variables::new([("x", value.clone())]);
        match evaluate(&parse("\"${x}-${x}\""), &Context::new(&scope)) {
            Ok(next) => value = next,
            Err(errors) => {
                assert!(format!("{errors:?}").contains("too large") || format!("{errors:?}").contains("steps"), "{errors:?}");
                return;
            }
        }
    }
    panic!("60 doublings were accepted");
}

#[test]
fn a_residue_that_is_accepted_can_be_written_and_read() {
    let mut value = deferred(Type::Number, "sim.a.n");
    let mut accepted = 0;
    loop {
        let scope = Variables::new([("x", value.clone())]);
        match evaluate(&parse("[for v in [max(x, 1) + 1] : v][0]"), &Context::new(&scope)) {
            Ok(next) => value = next,
            Err(errors) => {
                assert!(format!("{errors:?}").contains("nested too deeply"), "{errors:?}");
                break;
            }
        }
        let text = serde_json::to_string(&value).unwrap();
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back, value);
        accepted += 1;
    }
    assert!(accepted > 5, "{accepted}");
}

#[test]
fn nesting_is_bounded() {
    assert!(message("jsondecode(join(\"\", [for i in range(200) : \"[\"]))").contains("error"));
    let deep = format!("jsondecode(\"{}{}\")", "[".repeat(60), "]".repeat(60));
    assert_eq!(message(&deep), "error: the value is nested deeper than 50 levels");
    let mut world = world();
    let mut value = Value::from(1_i64);
    for _ in 0..50 {
        value = Value::tuple([value]);
    }
    world.names.insert("deep", value);
    assert_eq!(show(&eval_in("[deep]", &world)), "error: the value is nested deeper than 50 levels");
    assert_eq!(show(&eval_in("{a = deep}", &world)), "error: the value is nested deeper than 50 levels");
}

/// A billion laughs: nine levels of nine aliases each.
#[test]
fn yaml_aliases_do_not_explode() {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        yaml.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let mut world = world();
    world.names.insert("y", Value::from(yaml));
    let started = Instant::now();
    assert!(show(&eval_in("yamldecode(y)", &world)).starts_with("error: "));
    assert!(started.elapsed().as_secs() < 10);
}

/// The deepest expression that the parser gives fits the stack of a test thread, which is a quarter of the main one's.
#[test]
fn the_deepest_expression_fits_the_stack() {
    let nested = |open: &str, inner: &str, close: &str, n: usize| format!("{}{inner}{}", open.repeat(n), close.repeat(n));
    for n in [40, 100, 1000] {
        for text in [
            nested("[", "1", "]", n),
            nested("max(1, ", "1", ")", n),
            nested("\"x${", "1", "}\"", n),
            nested("[for v in [1] : ", "v", "]", n),
            nested("true ? ", "1", " : 2", n),
            nested("-", "1", "", n),
            vec!["1"; n].join(" + "),
        ] {
            if let Ok(expr) = cloudtik_syntax::parse_expression(cloudtik_model::FileId(0), &text) {
                let _ = evaluate(&expr, &Context::new(&world()));
            }
        }
    }
}

/// Trees that no parser made, as they may come from a damaged file: the limit ends them before the stack does.
#[test]
fn deeper_expressions_than_the_parser_gives_are_refused() {
    type Wrap = fn(Expr) -> ExprKind;
    let wraps: [Wrap; 8] = [
        |of| ExprKind::Unary { op: UnaryOp::Negate, of: of.into() },
        |of| ExprKind::Binary { op: BinaryOp::And, left: Expr::literal(true).into(), right: of.into() },
        |of| ExprKind::Conditional { condition: Expr::literal(true).into(), yes: of.into(), no: Expr::literal(1_i64).into() },
        |of| ExprKind::Call { name: "try".into(), args: vec![of], expand: false },
        |of| ExprKind::Call { name: "max".into(), args: vec![of], expand: false },
        |of| ExprKind::Object(vec![(Expr::literal("a"), of)]),
        |of| {
            let (collection, value_variable) = (Expr::literal(Value::tuple([Value::from(1_i64)])), "v".into());
            ExprKind::For(Box::new(ForKind {
                key_variable: None,
                value_variable,
                collection,
                key: None,
                value: of,
                grouping: false,
                condition: None,
            }))
        },
        |of| {
            let (yes, condition) = (vec![TemplatePart::Value(of), TemplatePart::Text("x".into())], Expr::literal(true));
            ExprKind::Template(vec![TemplatePart::If { condition, yes, no: Vec::new() }, TemplatePart::Text("y".into())])
        },
    ];
    for wrap in wraps {
        let deep = (0..400).fold(Expr::literal(1_i64), |inner, _| Expr::new(wrap(inner), Span::NONE));
        let result = evaluate(&deep, &Context::new(&world()));
        assert!(show(&result).starts_with("error: "), "{}", show(&result));
    }
}

/// What is only handed on costs nothing; what is not taken costs little.
#[test]
fn honest_work_is_not_refused() {
    assert_eq!(message("length([for i in range(20000) : element(range(3), i)])"), "20000");
    let mut world = world();
    world.names.insert("l", Value::list((0..20_000_i64).map(Value::from)));
    world.names.insert("m", Value::map((0..20_000_i64).map(|i| (i.to_string(), Value::from(i)))));
    for text in [
        "length([for i in l : element(l, i)])",
        "length([for i in l : l[i]])",
        "length([for i in l : lookup(m, i, 0)])",
        "length([for i in l : length(l)])",
        "length(merge([for i in l : {(\"k${i}\") = i}]...))",
        "length(concat([for i in l : [i]]...))",
        "length(distinct([for i in l : \"x${i}\"]))",
        "length(toset([for i in l : \"x${i}\"]))",
        "length({for i in l : \"x${i}\" => m[i]})",
        "length(zipmap([for i in l : \"x${i}\"], l))",
        "false ? [for i in range(1000000) : [i, i, i, i, i, i, i, i, i, i, i]] : 20000",
    ] {
        assert_eq!(show(&eval_in(text, &world)), "20000", "{text}");
    }
}

/// Twenty thousand attributes of a spec; the time is for a debug build on a busy machine, a hundred times what a release build needs.
#[test]
fn small_expressions_are_cheap() {
    let scope = Variables::new([("var", Value::object([("name", "web".into()), ("size", Value::from(4_i64))]))]);
    let exprs: Vec<Expr> =
        ["\"${var.name}-${var.size}\"", "var.size + 1", "{ name = var.name, tags = [var.name] }", "upper(var.name)"].map(parse).into();
    let started = Instant::now();
    for expr in exprs.iter().cycle().take(20_000) {
        evaluate(expr, &Context::new(&scope)).unwrap();
    }
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}
