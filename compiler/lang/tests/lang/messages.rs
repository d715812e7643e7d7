//! Where messages point, what they propose, and what they never show.

use cloudtik_model::Diagnostics;

use crate::eval;

fn place<'t>(text: &'t str, errors: &Diagnostics) -> &'t str {
    let span = errors.iter().next().unwrap().primary.as_ref().unwrap().span;
    &text[span.start as usize..span.end as usize]
}

#[test]
fn the_smallest_wrong_piece_is_marked() {
    for (text, wrong) in [
        ("1 + 2 / (1 - 1)", "(1 - 1)"),
        ("object.prot", "prot"),
        ("object.tags[7]", "7"),
        ("[1, nope.x.y, 3]", "nope"),
        ("uper(\"a\")", "uper"),
        ("upper(\"a\", \"b\")", "\"b\""),
        ("max(1, \"x\", 3)", "\"x\""),
        ("\"a ${list} b\"", "list"),
        ("map[\"z\"]", "\"z\""),
        ("cidrsubnet(\"10.0.0.0/24\", 2, 9)", "9"),
    ] {
        let errors = eval(text).unwrap_err();
        let marked = place(text, &errors);
        assert!(marked == wrong || format!("({marked})") == wrong, "{text}: {marked}");
    }
}

#[test]
fn near_names_are_proposed() {
    for (text, help) in [
        ("object.prot", "did you mean `port`?"),
        ("objct.port", "did you mean `object`?"),
        ("object[\"prot\"]", "did you mean \"port\"?"),
        ("later_object.prot", "did you mean `port`?"),
        ("objects.name", "write `[0].name` for one element or `[*].name` for all of them"),
    ] {
        let errors = eval(text).unwrap_err();
        assert_eq!(errors.iter().next().unwrap().help.as_deref(), Some(help), "{text}");
    }
    let errors = eval("object.zzzzzz").unwrap_err();
    assert_eq!(errors.iter().next().unwrap().notes, ["it has `name`, `port`, `tags`"]);
}

#[test]
fn sensitive_values_are_in_no_message() {
    for text in [
        "secret + 1",
        "[for v in sensitive([\"pw\"]) : tonumber(v)]",
        "[for k, v in sensitive({ pw = 1 }) : tonumber(k)]",
        "sensitive([\"pw\"])[*].x",
        "max(sensitive([\"pw\"])...)",
        "true ? sensitive({ pw = 1 }) : 5",
        "\"%{ for v in sensitive([\"pw\"]) }${v + 1}%{ endfor }\"",
        "tonumber(secret)",
        "jsondecode(secret)",
        "yamldecode(\"[${secret}\")",
        "cidrhost(secret, 1)",
        "regex(\"(${secret}\", \"a\")",
        "map[secret]",
        "lookup(map, secret)",
        "object[\"x${secret}\"]",
        "format(\"%d\", secret)",
        "secret ? 1 : 2",
        "{for v in list : secret => v}",
        "file(secret)",
        "templatefile(secret, {})",
    ] {
        let errors = eval(text).unwrap_err();
        assert!(!format!("{errors:?}").contains("pw"), "{text}: {errors:?}");
    }
}
