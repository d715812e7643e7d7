//! What is left when something is not known.

use cloudtik_model::{LateName, Type, Value};

use crate::{World, check, eval, resolve_in, show};

#[test]
fn what_is_known_is_known() {
    check(&[
        ("length([later, \"x\"])", "2"),
        ("{a = later_any, b = 1}.b", "1"),
        ("{a = later}.a", "<string: Reference(sim.a.id)>"),
        ("[later, 1][1]", "1"),
        ("keys({a = later})", "tuple[\"a\"]"),
        ("concat([later], [1])[1]", "1"),
        ("merge({a = later}, {b = 1}).b", "1"),
        ("[for v in [later, \"x\"] : \"<${v}>\"][1]", "\"<x>\""),
        ("try(5, later)", "5"),
        ("can(5)", "true"),
        ("coalesce(\"x\", later)", "\"x\""),
        ("false && later_bool", "false"),
        ("true || later_bool", "true"),
        ("lookup({a = 1, b = later}, \"a\", 0)", "1"),
        ("element([1, later], 0)", "1"),
        ("zipmap([\"a\"], [later]).a", "<string: Reference(sim.a.id)>"),
        ("flatten([[later], 1])[1]", "1"),
        ("tolist([later, \"x\"])[1]", "\"x\""),
        ("[{a = later, b = 2}][*].b", "tuple[2]"),
        ("true ? \"a\" : later", "\"a\""),
        ("true ? 1 : later_any", "1"),
    ]);
}

#[test]
fn what_is_not_known_is_as_small_as_it_can_be() {
    check(&[
        ("later_number + (1 + 2)", "<number: Binary { op: Add, left: Reference(sim.a.size), right: Literal(3) }>"),
        ("later_bool && false", "<bool: Binary { op: And, left: Reference(sim.a.ok), right: Literal(false) }>"),
        ("\"a${1}${later}${2}b\"", "<string: Template([Text(\"a1\"), Value(Reference(sim.a.id)), Text(\"2b\")])>"),
        ("\"a${\"b${later}c\"}d\"", "<string: Template([Text(\"ab\"), Value(Reference(sim.a.id)), Text(\"cd\")])>"),
        ("later_object.port", "<number: Attribute { of: Reference(sim.a.object), name: \"port\" }>"),
        ("later_list[0]", "<string: Index { of: Reference(sim.a.list), key: Literal(0) }>"),
        ("later_bool ? 1 : 2", "<number: Conditional { condition: Reference(sim.a.ok), yes: Literal(1), no: Literal(2) }>"),
        (
            "later_bool ? 1 : 2 / 0",
            "<number: Conditional { condition: Reference(sim.a.ok), yes: Literal(1), no: Call { name: \"$fail\", args: [Literal(\"division by zero\")], expand: false } }>",
        ),
        ("later_bool ? 1 / 0 : nope", "error: division by zero\nerror: there is no name `nope` here"),
        ("upper(later)", "<string: Call { name: \"upper\", args: [Reference(sim.a.id)], expand: false }>"),
        (
            "max(1, [2, later_number]...)",
            "<number: Call { name: \"max\", args: [Literal(1), Literal(2), Reference(sim.a.size)], expand: false }>",
        ),
        ("max(later_any...)", "<any: Call { name: \"max\", args: [Reference(sim.a.any)], expand: true }>"),
        (
            "[for v in later_list : v if 1 == 1]",
            "<any: For(ForKind { key_variable: None, value_variable: \"v#0\", collection: Reference(sim.a.list), key: None, value: Variable(\"v#0\"), grouping: false, condition: Some(Literal(true)) })>",
        ),
        (
            "try(1 / 0, later_any.x, nope, 5, 6)",
            "<any: Call { name: \"try\", args: [Attribute { of: Reference(sim.a.any), name: \"x\" }, Literal(5)], expand: false }>",
        ),
        ("later_any[*].id", "<any: Splat { of: Reference(sim.a.any), each: Attribute { of: Variable(\"*\"), name: \"id\" } }>"),
    ]);
}

#[test]
fn what_certainly_fails_fails_now() {
    check(&[
        ("later_list + 1", "error: the left operand of `+`: a number is required, but this will be a list of strings"),
        ("later_object.nope", "error: there is no attribute `nope`"),
        ("later.x", "error: a value of type `string` has no attribute `x`"),
        ("[for v in later : v]", "error: a `for` goes over lists, sets, maps and objects, but this will be a string"),
        ("upper(later_list)", "error: the argument `string` of `upper`: a string is required, but this will be a list of strings"),
        ("later_number + 1 / 0", "error: division by zero"),
    ]);
}

#[test]
fn marks_stay_with_what_is_not_known() {
    for text in [
        "later_secret",
        "\"x${later_secret}\"",
        "upper(later_secret)",
        "later_secret == \"x\"",
        "later_secret == \"x\" ? 1 : 2",
        "later_bool ? secret : \"x\"",
        "later_list[secret_number]",
        "[for v in later_list : secret]",
        "[for v in later_list : v if secret == \"x\"]",
        "try(later_any.x, secret)",
        "max(later_number, secret_number)",
        "{(later_secret) = 1}",
        "toset([later_secret])",
        "-secret_number + later_number",
        "later_bool && secret == \"x\"",
        "later_any[*][secret_number]",
    ] {
        let value = eval(text).unwrap();
        assert!(value.is_sensitive(), "{text}: {value:?}");
        let text = serde_json::to_string(&value).unwrap();
        let back: Value = serde_json::from_str(&text).unwrap();
        assert!(back.is_sensitive());
    }
}

fn known() -> World {
    let references = [
        ("sim.a.id", "i-1".into()),
        ("sim.a.size", Value::from(3_i64)),
        ("sim.a.ok", true.into()),
        ("sim.a.list", Value::list(["p".into(), "q".into()])),
        ("sim.a.any", Value::tuple([Value::object([("id", "x".into())]), Value::object([("id", "y".into())])])),
        ("sim.a.object", Value::object([("ip", "10.0.0.1".into()), ("port", Value::from(80_i64))])),
        ("sim.a.secret", "hidden".into()),
    ];
    World {
        references: references.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        late: [(LateName::Node("address".into()), Value::from("10.0.0.9"))].into(),
        ..World::default()
    }
}

#[test]
fn residues_give_what_direct_evaluation_gives() {
    for (text, expected) in [
        ("later_number + 1", "4"),
        ("\"${later}:${later_object.port}\"", "\"i-1:80\""),
        ("\"${later_number}${\"\"}\"", "\"3\""),
        ("later_bool ? later : nope", "\"i-1\""),
        ("[for i, v in later_list : \"${i}${v}${later}\"]", "tuple[\"0pi-1\", \"1qi-1\"]"),
        ("[for v in later_list : [for v in later_list : v]]", "tuple[tuple[\"p\", \"q\"], tuple[\"p\", \"q\"]]"),
        ("[for v in later_list : [for w in later_list : \"${v}${w}\"]]", "tuple[tuple[\"pp\", \"pq\"], tuple[\"qp\", \"qq\"]]"),
        (
            "{for v in later_any : v.id => [for v in later_list : v]...}",
            "{\"x\": tuple[tuple[\"p\", \"q\"]], \"y\": tuple[tuple[\"p\", \"q\"]]}",
        ),
        ("later_any[*].id", "tuple[\"x\", \"y\"]"),
        ("max(1, [2, later_number]...)", "3"),
        ("concat(later_list, [\"z\"])", "tuple[\"p\", \"q\", \"z\"]"),
        ("toset([later, \"i-1\"])", "{\"i-1\"}"),
        ("try(later_any[5], later_any[0].id)", "\"x\""),
        ("can(later_object.port)", "true"),
        ("later_secret", "(sensitive)"),
        ("\"${address}!\"", "\"10.0.0.9!\""),
        ("{(later) = later_number}", "{\"i-1\": 3}"),
        ("jsonencode([later, 1])", "\"[\\\"i-1\\\",1]\""),
        ("later_bool ? 1 / 0 : 2", "error: division by zero"),
    ] {
        let residue = eval(text).unwrap();
        assert!(!residue.is_known(), "{text}");
        let text_on_disk = serde_json::to_string(&residue).unwrap();
        let back: Value = serde_json::from_str(&text_on_disk).unwrap();
        assert_eq!(show(&resolve_in(&back, &known())), expected, "{text}");
    }
}

/// A second loop inside the body of a first: after the first is known, the second is still open and must keep its own variable.
#[test]
fn nested_open_loops_keep_their_variables_apart() {
    let residue = eval("[for v in later_any : [for w in later_list : \"${v.id}${w}\"]]").unwrap();
    let mut half = known();
    half.references.remove("sim.a.list");
    let open = resolve_in(&residue, &half).unwrap();
    assert!(!open.is_known());
    assert_eq!(show(&resolve_in(&open, &known())), "tuple[tuple[\"xp\", \"xq\"], tuple[\"yp\", \"yq\"]]");
}

#[test]
fn what_stays_unknown_keeps_its_type() {
    let residue = eval("[later_object.port, 1]").unwrap();
    let again = resolve_in(&residue, &World::default()).unwrap();
    assert_eq!(again, residue);
    assert_eq!(again.ty(), Type::Tuple([Type::Number, Type::Number].into()));
}
