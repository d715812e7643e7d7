//! Types as they are written, and values converted to them.

use cloudtik_lang::{convert, parse_type};

use crate::{eval, parse};

fn read(text: &str) -> String {
    match parse_type(&parse(text)) {
        Ok(ty) => ty.to_string(),
        Err(errors) => {
            errors.iter().map(|e| format!("error: {}{}", e.title, e.help.as_ref().map_or(String::new(), |h| format!(" ({h})")))).collect()
        }
    }
}

#[test]
fn types_are_read() {
    for text in
        ["string", "any", "list(number)", "map(set(bool))", "tuple([string, number])", "object({ a = string, b = optional(list(string)) })"]
    {
        assert_eq!(read(text), text);
    }
    assert_eq!(read("strng"), "error: there is no type `strng` (did you mean `string`?)");
    assert_eq!(read("list"), "error: `list` needs the type of its elements (write `list(string)`)");
    assert_eq!(read("\"string\""), "error: a type is written without quotes (write `string`)");
    assert_eq!(read("optional(string)"), "error: `optional` stands only for an attribute of `object({…})`");
    assert_eq!(read("object({ a = optional(number, \"x\") })"), "error: a number is required, but this is the string \"x\"");
    assert_eq!(read("list(string, number)"), "error: `list` takes one argument (write `list(string)`)");
    assert_eq!(read("5"), "error: this is no type; a type is written as in `list(string)`");
}

fn converted(value: &str, ty: &str) -> String {
    match convert(&eval(value).unwrap(), &parse_type(&parse(ty)).unwrap()) {
        Ok(value) => format!("{value:?}"),
        Err(fault) => format!("error: {fault}{}", fault.help.as_ref().map_or(String::new(), |help| format!(" ({help})"))),
    }
}

#[test]
fn values_are_converted() {
    for (value, ty, expected) in [
        ("5", "string", "\"5\""),
        ("\"5\"", "number", "5"),
        ("null", "list(string)", "null"),
        ("[1, \"a\"]", "list(string)", "[\"1\", \"a\"]"),
        ("[\"b\", \"a\", \"b\"]", "set(string)", "{\"a\", \"b\"}"),
        ("{a = 1}", "map(string)", "map{\"a\": \"1\"}"),
        ("[1, 2]", "list(any)", "[1, 2]"),
        ("[1, \"2\"]", "list(any)", "[\"1\", \"2\"]"),
        ("[1, []]", "list(any)", "error: all elements must have one type, but these have different ones"),
        ("[1, \"x\"]", "tuple([string, string])", "tuple[\"1\", \"x\"]"),
        ("[1]", "tuple([string, string])", "error: a tuple of 2 elements is required, but this one has 1"),
        ("[[1], [\"x\"]]", "list(list(number))", "error: [1][0]: a number is required, but this is the string \"x\""),
        ("{a = {b = []}}", "object({ a = object({ b = string }) })", "error: a.b: a string is required, but this is a tuple"),
        ("{a = 1, extra = 2}", "object({ a = string })", "{\"a\": \"1\"}"),
        ("{}", "object({ a = optional(string), b = optional(number, 5) })", "{\"a\": null, \"b\": 5}"),
        ("{b = null}", "object({ b = optional(number, 5) })", "{\"b\": 5}"),
        ("{nmae = 1}", "object({ name = string })", "error: the attribute `name` is missing (there is a `nmae`; did you mean `name`?)"),
        ("{}", "object({ name = string })", "error: the attribute `name` is missing"),
        ("5", "list(string)", "error: a list of strings is required, but this is a number"),
        ("true", "number", "error: a number is required, but this is a bool"),
        ("\"True\"", "bool", "error: a bool is written in lower case (did you mean `true`?)"),
        ("secret", "number", "error: a number is required, but this sensitive value is none"),
        ("secrets", "list(number)", "error: a list of numbers is required, but this sensitive value is none"),
        ("sensitive(\"5\")", "number", "(sensitive)"),
        ("later", "string", "<string: Reference(sim.a.id)>"),
        ("later", "number", "<number: Convert { to: Number, of: Reference(sim.a.id) }>"),
        ("later", "list(string)", "error: a list of strings is required, but this will be a string"),
        ("[later, 1]", "list(string)", "[<string: Reference(sim.a.id)>, \"1\"]"),
        ("later_bool", "number", "error: a number is required, but this will be a bool"),
    ] {
        assert_eq!(converted(value, ty), expected, "{value} to {ty}");
    }
}
