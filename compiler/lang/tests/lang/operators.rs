//! Literals, operators, conditionals, collections, loops, templates.

use crate::{check, eval};

#[test]
fn arithmetic_and_comparison() {
    check(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("\"5\" + 1", "6"),
        ("0.1 + 0.2", "0.3"),
        ("7 / 2", "3.5"),
        ("-7 % 3", "-1"),
        ("1 / 0", "error: division by zero"),
        ("5 % 0", "error: division by zero"),
        ("1 - \"x\"", "error: the right operand of `-`: a number is required, but this is the string \"x\""),
        ("nothing + 1", "error: the left operand of `+` is null"),
        ("true + 1", "error: the left operand of `+`: a number is required, but this is a bool"),
        (
            "[] + {}",
            "error: the left operand of `+`: a number is required, but this is a tuple\nerror: the right operand of `+`: a number is required, but this is an object",
        ),
        ("2 < 10 && \"2\" < 10", "true"),
        ("1 >= 1 && 1 <= 1 && !(1 > 1)", "true"),
        ("-(-3)", "3"),
        ("!\"true\"", "false"),
    ]);
}

#[test]
fn equality_does_not_convert() {
    check(&[
        ("1 == \"1\"", "false"),
        ("1 != \"1\"", "true"),
        ("1.0 == 1", "true"),
        ("nothing == null", "true"),
        ("[1, 2] == [1, 2]", "true"),
        ("{a = 1} == {a = 2}", "false"),
        ("secret == \"x\"", "(sensitive)"),
        ("[secret] == [\"x\"]", "(sensitive)"),
    ]);
}

#[test]
fn the_side_that_does_not_matter_is_not_evaluated() {
    check(&[
        ("false && 1 / 0 > 0", "false"),
        ("true || nope", "true"),
        ("true && 1 / 0 > 0", "error: division by zero"),
        ("true ? 1 : 1 / 0", "1"),
        ("false ? nope.x : \"y\"", "\"y\""),
        ("nothing && true", "error: the left operand of `&&` is null"),
    ]);
}

#[test]
fn the_results_of_a_conditional_get_one_type() {
    check(&[
        ("true ? 1 : \"a\"", "\"1\""),
        ("true ? null : 1", "null"),
        ("false ? null : 1", "1"),
        ("true ? [1] : []", "[1]"),
        ("true ? [1, 2] : [\"a\", \"b\"]", "tuple[\"1\", \"2\"]"),
        ("true ? {a = 1} : {b = \"x\"}", "map{\"a\": \"1\"}"),
        ("true ? 1 : [2]", "error: the two results of the conditional have different types: `number` and `tuple([number])`"),
        ("true ? 1 : true", "error: the two results of the conditional have different types: `number` and `bool`"),
        ("secret == \"x\" ? 1 : 2", "(sensitive)"),
        ("nothing ? 1 : 2", "error: the condition is null"),
    ]);
}

#[test]
fn collections_and_what_is_taken_of_them() {
    check(&[
        ("[1, \"a\", true]", "tuple[1, \"a\", true]"),
        ("{a = 1, \"b c\" = 2, (\"d\") = 3}", "{\"a\": 1, \"b c\": 2, \"d\": 3}"),
        ("{a = 1}.a", "1"),
        ("object.name", "\"web\""),
        ("object[\"port\"]", "80"),
        ("object.tags[1]", "\"b\""),
        ("list[\"0\"]", "\"a\""),
        ("list[2]", "error: index 2 is out of range: the list has 2 elements"),
        ("[][0]", "error: index 0 is out of range: the tuple is empty"),
        ("list[-1]", "error: index -1 is out of range: the list has 2 elements"),
        ("list[0.5]", "error: index 0.5 is not a whole number"),
        ("list.name", "error: a list has no attribute `name`; its elements may"),
        ("object.prot", "error: there is no attribute `prot`"),
        ("map[\"z\"]", "error: there is no element \"z\""),
        ("set[0]", "error: the elements of a set have no index"),
        ("nothing.x", "error: `.x` is asked of null"),
        ("\"abc\".x", "error: a string has no attributes"),
        ("secrets[0]", "(sensitive)"),
        ("list[secret_number - 7]", "(sensitive)"),
        ("secrets[9]", "error: index 9 is out of range: the list has 2 elements"),
        ("[1 / 0, nope]", "error: division by zero\nerror: there is no name `nope` here"),
    ]);
}

#[test]
fn splats() {
    check(&[
        ("objects[*].name", "tuple[\"web\", \"web\"]"),
        ("objects.*.port", "tuple[80, 80]"),
        ("object[*].name", "tuple[\"web\"]"),
        ("nothing[*].name", "tuple[]"),
        ("list[*]", "[\"a\", \"b\"]"),
        ("objects[*].tags[0]", "tuple[\"a\", \"a\"]"),
        ("[objects, objects][*][*].name", "tuple[tuple[\"web\", \"web\"], tuple[\"web\", \"web\"]]"),
        ("secrets[*]", "(sensitive)"),
    ]);
}

#[test]
fn loops() {
    check(&[
        ("[for v in list : upper(v)]", "tuple[\"A\", \"B\"]"),
        ("[for i, v in list : \"${i}${v}\"]", "tuple[\"0a\", \"1b\"]"),
        ("[for k, v in map : \"${k}${v}\" if v > 1]", "tuple[\"y2\"]"),
        ("[for v in set : v]", "tuple[\"a\", \"b\"]"),
        ("{for v in list : v => upper(v)}", "{\"a\": \"A\", \"b\": \"B\"}"),
        ("{for v in [\"a\", \"a\"] : v => 1}", "error: two elements have the key \"a\""),
        ("{for i, v in [\"a\", \"b\", \"a\"] : v => i...}", "{\"a\": tuple[0, 2], \"b\": tuple[1]}"),
        ("[for v in list : [for v in [1] : v]]", "tuple[tuple[1], tuple[1]]"),
        ("[for v in nothing : v]", "error: the collection of a `for` is null"),
        ("[for v in 5 : v]", "error: a `for` goes over lists, sets, maps and objects, but this is a number"),
        ("[for v in list : v if nothing]", "error: the condition is null\nerror: the condition is null"),
        ("{for v in list : nothing => v}", "error: the key is null\nerror: the key is null"),
        ("[for v in secrets : 1]", "(sensitive)"),
        ("[for v in list : v if secret == \"x\"]", "(sensitive)"),
        ("{for v in list : \"${v}${secret}\" => v}", "(sensitive)"),
    ]);
}

#[test]
fn templates() {
    check(&[
        ("\"a${1 + 1}b${true}\"", "\"a2btrue\""),
        ("\"${list}\"", "[\"a\", \"b\"]"),
        ("\"x${list}\"", "error: a part of the text: a string is required, but this is a list"),
        ("\"x${nothing}\"", "error: a part of the text is null"),
        ("\"%{ if true }yes%{ else }no%{ endif }\"", "\"yes\""),
        ("\"%{ for i, v in list }${i}=${v};%{ endfor }\"", "\"0=a;1=b;\""),
        ("\"p=${secret}\"", "(sensitive)"),
        ("\"%{ if secret == \"\" }x%{ endif }\"", "(sensitive)"),
        ("\"$${x} %%{y}\"", "\"${x} %{y}\""),
        ("<<-EOT\n  a\n    b ${1}\n  EOT\n", "\"a\\n  b 1\\n\""),
    ]);
}

#[test]
fn several_errors_of_one_expression_are_found_at_once() {
    let errors = eval("[1 / 0, upper(1, 2), object.prot, nope]").unwrap_err();
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(errors.iter().all(|error| error.primary.is_some()));
}

#[test]
fn what_is_there_is_not_null_whatever_of_it_is_open() {
    assert_eq!(eval("{ a = later } == null"), eval("false"));
    assert_eq!(eval("null != [later]"), eval("true"));
    assert!(!eval("later == null").unwrap().is_known());
}
