//! Values as people see them.

use cloudtik_lang::{expression_text, from_plain_json, preview, references, render, render_line, to_plain_json};

use crate::{eval, parse};

#[test]
fn values_are_rendered() {
    let value =
        eval("{name = \"a\\n\\\"$${x}\", n = [1, 2.5, null], empty = {}, none = [], p = secret, ip = address, id = later, \"a b\" = true}")
            .unwrap();
    let expected = "\
{
  \"a b\" = true
  empty = {}
  id    = (known after apply)
  ip    = <node.address>
  n     = [
    1,
    2.5,
    null,
  ]
  name  = \"a\\n\\\"$${x}\"
  none  = []
  p     = (sensitive value)
}";
    assert_eq!(render(&value), expected);
    assert_eq!(render_line(&eval("{a = [1, {b = secrets}]}").unwrap()), "{a = [1, {b = (sensitive value)}]}");
}

#[test]
fn previews_show_what_is_known_around_what_is_not() {
    for (text, expected) in [
        ("\"ip ${address} id ${later} p ${secret}\"", "(sensitive)"),
        ("\"ip ${address} id ${later}\"", "\"ip <node.address> id <sim.a.id>\""),
        ("\"ip ${upper(address)} ${later_object.ip}\"", "\"ip <upper(node.address)> <sim.a.object.ip>\""),
        ("\"%{ if later_bool }a ${later}%{ else }b%{ endif }!\"", "\"<if sim.a.ok>a <sim.a.id><else>b<endif>!\""),
        ("\"%{ for v in later_list }${v},%{ endfor }\"", "\"<for v in sim.a.list><v>,<endfor>\""),
        ("[later, 1]", "tuple[\"<sim.a.id>\", 1]"),
        ("[for k, v in later_any : \"x${k}\" if v == 1]", "\"<[for k, v in sim.a.any : \\\"x${k}\\\" if v == 1]>\""),
        ("later_any[*].x[0]", "\"<sim.a.any[*].x[0]>\""),
        ("later_bool ? 1 + later_number : -later_number", "\"<sim.a.ok ? (1 + sim.a.size) : -sim.a.size>\""),
        ("later_secret", "(sensitive)"),
        ("nonsensitive(\"${later_secret}\")", "\"<nonsensitive((sensitive value))>\""),
    ] {
        assert_eq!(format!("{:?}", preview(&eval(text).unwrap())), expected, "{text}");
    }
    let long = format!("max({})", vec!["later_number"; 120].join(", "));
    let shown = format!("{:?}", preview(&eval(&long).unwrap()));
    assert!(shown.len() < 500 && shown.contains('…'), "{shown}");
}

#[test]
fn plain_json_has_no_marks_and_nothing_unknown() {
    let json = to_plain_json(&eval("{a = [secret, 1.50], b = set}").unwrap()).unwrap();
    assert_eq!(json.to_string(), "{\"a\":[\"pw\",1.5],\"b\":[\"a\",\"b\"]}");
    assert_eq!(format!("{:?}", from_plain_json(json).unwrap()), "{\"a\": tuple[\"pw\", 1.5], \"b\": tuple[\"a\", \"b\"]}");
    assert!(to_plain_json(&eval("[later]").unwrap()).is_none());
}

#[test]
fn references_are_read_off() {
    let found = |text: &str| -> Vec<String> {
        let expr = parse(text);
        references(&expr)
            .iter()
            .map(|r| {
                let steps: String = r
                    .steps
                    .iter()
                    .map(|step| match step {
                        cloudtik_lang::ReferenceStep::Attribute(name) => format!(".{name}"),
                        cloudtik_lang::ReferenceStep::Index(key) => key.to_string(),
                    })
                    .collect();
                format!("{}{steps} {}", r.root, &text[r.span.start as usize..r.span.end as usize])
            })
            .collect()
    };
    assert_eq!(found("a.b[0].c[\"k\"]"), ["a.b[0].c[\"k\"] a.b[0].c[\"k\"]"]);
    assert_eq!(found("a.b[x.y].c"), ["a.b a.b", "x.y x.y"]);
    assert_eq!(found("[for v in a.l : v.x + b.y if v.z == c]"), ["a.l a.l", "b.y b.y", "c c"]);
    assert_eq!(found("a.l[*].x"), ["a.l a.l"]);
    assert_eq!(found("\"${a.x}%{ for k, v in b }${k}${v}${c}%{ endfor }\""), ["a.x a.x", "b b", "c c"]);
    assert_eq!(found("f(a, {k = b.c, (d) = 1})"), ["a a", "b.c b.c", "d d"]);
    assert_eq!(found("(x ? a : b).c"), ["x x", "a a", "b b"]);
}

#[test]
fn expressions_are_shown_as_written() {
    for text in ["a.b[0]", "max(1, [a, b]...)", "{for k, v in m : k => v... if v}", "!(a && b)", "a ? b : c"] {
        assert_eq!(expression_text(&parse(text)), text);
    }
}
