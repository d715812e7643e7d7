use cloudtik_model::{FileId, SourceMap};

use super::{check_expression, check_template, render};
use crate::{parse_expression, parse_template};

#[test]
fn literals() {
    check_expression("null", "null");
    check_expression("true", "true");
    check_expression("1", "1");
    check_expression("-1.50", "-1.5");
    check_expression("- /* 3 */ 2e-2", "-0.02");
    check_expression("12345678901234567890123456789.000000000000000000001", "12345678901234567890123456789.000000000000000000001");
    check_expression("0.1e1", "1");
    check_expression("\"\"", "\"\"");
    check_expression("  \"a\"  # comment", "\"a\"");
}

#[test]
fn strings_and_their_escapes() {
    check_expression(r#""\n\r\t\"\\\u00e4\U0001F600""#, r#""\n\r\t\"\\ä😀""#);
    check_expression(r#""$${a} %%{b} $a %b $$ $$$${c} 100%""#, r#""${a} %{b} $a %b $$ $$${c} 100%""#);
    check_expression("\"ünï # // /* {[( 'x' <<EOT\"", "\"ünï # // /* {[( 'x' <<EOT\"");
    check_expression(r#""a\\""#, r#""a\\""#);
}

#[test]
fn templates() {
    check_expression(r#""${x}""#, "x");
    check_expression(r#""${"${true}"}""#, "true");
    check_expression(r#""a ${x.y} b""#, r#"<"a " x.y " b">"#);
    check_expression(r#""${a}${b}""#, "<a b>");
    check_expression(r#""${""}${true}""#, r#"<"" true>"#);
    check_expression(r#""a${~ x ~}  b""#, r#"<"a" x "b">"#);
    check_expression(r#""a ${~ x } b ${y ~} ""#, r#"<"a" x " b " y>"#);
    check_expression(r#""${"hello" ~}${" world"}""#, r#"<"hello" " world">"#);
    check_expression(r#""\t${~ x ~}\n.""#, r#"<x ".">"#);
    check_expression("\"a ${ f(\n { x = \"}\" } # }\n) } b\"", r#"<"a " f({"x": "}"}) " b">"#);
    check_expression(r#""%{ if a }x%{ else }y%{ endif }""#, r#"<if a <"x"> <"y">>"#);
    check_expression(r#""%{ if true ~} hello %{~ endif }""#, r#"<if true <"hello"> <>>"#);
    check_expression(r#""%{for k, v in m}${k}=${v};%{endfor}""#, r#"<for k, v in m <k "=" v ";">>"#);
    check_expression(r#""%{ for v in [true] }${v}%{ endfor }""#, "<for v in [true] <v>>");
    check_expression(
        r#""%{ if a }%{ for x in l }${x}%{ if b }!%{ endif }%{ endfor }%{ endif }""#,
        r#"<if a <for x in l <x if b <"!"> <>>> <>>"#,
    );
    check_expression("\"%{/* c */ if /* d */ a }x%{ endif /* e */ }\"", r#"<if a <"x"> <>>"#);
}

#[test]
fn heredocs() {
    check_expression("<<EOT\nEOT", r#""""#);
    check_expression("<<EOT\n  a\n b\n  EOT\n", r#""  a\n b\n""#);
    check_expression("<<EOT\nEOT x\n EOTX\nxEOT\nEOT", r#""EOT x\n EOTX\nxEOT\n""#);
    check_expression("<<EOT\na\\n $${b} \"c\" ${d}\nEOT", "<\"a\\\\n ${b} \\\"c\\\" \" d \"\\n\">");
    check_expression("<<-EOT\n  Foo\n    Bar\n  EOT", r#""Foo\n  Bar\n""#);
    check_expression("<<-EOT\n    Foo\n  ${bar}\n    Baz\n    EOT\n", r#"<"  Foo\n" bar "\n  Baz\n">"#);
    check_expression("<<-EOT\n    Foo\n${bar}\n    Baz\n    EOT\n", r#"<"    Foo\n" bar "\n    Baz\n">"#);
    check_expression("<<-EOT\n  a\n\n \n\t b\n  EOT", r#""a\n\n \nb\n""#);
    check_expression("<<-EOT\n    a ${x} b\n      c\n  EOT", r#"<"a " x " b\n  c\n">"#);
    check_expression("[<<A\na\nA\n, <<B\nb\nB\n]", r#"["a\n", "b\n"]"#);
    check_expression("f(<<A\n${<<B\n${x}!\nB\n}?\nA\n)", r#"f(<<x "!\n"> "?\n">)"#);
    check_expression("{\n  a = <<A\na\nA\n  b = <<A\nb\nA\n}", r#"{"a": "a\n", "b": "b\n"}"#);
}

/// A marker takes white space of its own line only, and the indentation goes first, as if the marker were not there.
#[test]
fn strip_markers_in_heredocs() {
    check_expression(
        "<<-EOT\n    %{ for s in servers ~}\n    server ${s};\n    %{ endfor ~}\n    EOT\n",
        r#"<for s in servers <"server " s ";\n">>"#,
    );
    check_expression("<<EOT\n%{ for s in l ~}\n  ${s}\n%{ endfor ~}\nEOT", r#"<for s in l <"  " s "\n">>"#);
    check_expression("<<EOT\nx\n  ${~ s }\nEOT", r#"<"x\n" s "\n">"#);
}

#[test]
fn bare_templates() {
    check_template("", r#""""#);
    check_template("a \"b\" \\n\n", r#""a \"b\" \\n\n""#);
    check_template("${x}", "x");
    check_template("${x}\n", r#"<x "\n">"#);
    check_template("%{ if a ~}\nyes\n%{ else ~}\nno\n%{ endif ~}\n", r#"<if a <"yes\n"> <"no\n">>"#);
    check_template("a\r\n${x}\r\n", r#"<"a\r\n" x "\r\n">"#);
}

#[test]
fn traversals() {
    check_expression("a.b.c", "a.b.c");
    check_expression("a.b-c[0][\"x\"].d", r#"a.b-c[0]["x"].d"#);
    check_expression("a.0.b.1", "a[0].b[1]");
    check_expression("a[b.c][d[0]]", "a[b.c][d[0]]");
    check_expression("(a.b).c", "a.b.c");
    check_expression("f(x).y[0]", "f(x).y[0]");
    check_expression("[1, 2][0]", "[1, 2][0]");
    check_expression("{ a = 1 }.a", r#"{"a": 1}.a"#);
    check_expression("a[<<X\nk\nX\n]", r#"a["k\n"]"#);
    check_expression("(\n  a\n  .b\n)", "a.b");
}

#[test]
fn splats() {
    check_expression("a.*", "each(a, *)");
    check_expression("a[*]", "each(a, *)");
    check_expression("a.*.b.c", "each(a, *.b.c)");
    check_expression("a.*.b[0]", "each(a, *.b)[0]");
    check_expression("a[*].b[0]", "each(a, *.b[0])");
    check_expression("a[*].b.0.c", "each(a, *.b[0].c)");
    check_expression("a.*.b.0.c", "each(a, *.b[0].c)");
    check_expression("a[*].b[*].c", "each(a, each(*.b, *.c))");
    check_expression("a.*.b[*].c", "each(each(a, *.b), *.c)");
    check_expression("(a[*].b)[0]", "each(a, *.b)[0]");
    check_expression("a.b[*][\"c\"]", r#"each(a.b, *["c"])"#);
}

#[test]
fn operators() {
    check_expression("1 + 2 * 3", "(1 + (2 * 3))");
    check_expression("(1 + 2) * 3", "((1 + 2) * 3)");
    check_expression("a - b - c", "((a - b) - c)");
    check_expression("a / b * c % d", "(((a / b) * c) % d)");
    check_expression("a || b && c == d != e", "(a || (b && ((c == d) != e)))");
    check_expression("a + 1 > b && c <= d || !e", "((((a + 1) > b) && (c <= d)) || (!e))");
    check_expression("!a.b[0] == -c.d", "((!a.b[0]) == (-c.d))");
    check_expression("!!a", "(!(!a))");
    check_expression("- -1", "(--1)");
    check_expression("a -1", "(a - 1)");
    check_expression("a ? b : c ? d : e", "(a ? b : (c ? d : e))");
    check_expression("a == b ? c + 1 : [d]", "((a == b) ? (c + 1) : [d])");
    check_expression("(\n  a\n  ? b\n  : c\n)", "(a ? b : c)");
    check_expression("(\n  a # comment\n  && // another\n  b /* and\none */ )", "(a && b)");
}

#[test]
fn collections_and_calls() {
    check_expression("[]", "[]");
    check_expression("[1, \"a\", [true,],]", r#"[1, "a", [true]]"#);
    check_expression("[\n  1, # one\n  2\n]", "[1, 2]");
    check_expression("{}", "{}");
    check_expression(
        "{ a = 1, \"b c\" : 2, (d) = 3, (e.f) = 4, 5 = 6, true = 7, \"${g}\" = 8 }",
        r#"{"a": 1, "b c": 2, d: 3, e.f: 4, 5: 6, "true": 7, g: 8}"#,
    );
    check_expression("{\n  a = 1\n  # comment\n  b = 2 // comment\n\n  c = [\n    3,\n  ]\n}", r#"{"a": 1, "b": 2, "c": [3]}"#);
    check_expression("{ \"${a}\" = 1, \"${b}\" = 2, \"\\t\" = 3, \"\\n\" = 4 }", r#"{a: 1, b: 2, "\t": 3, "\n": 4}"#);
    check_expression("{ for-each = 1, format = 2 }", r#"{"for-each": 1, "format": 2}"#);
    check_expression("f()", "f()");
    check_expression("max(1, [2, 3]...)", "max(1, [2, 3]...)");
    check_expression("f(\n  a,\n  g(b),\n)", "f(a, g(b))");
}

#[test]
fn for_expressions() {
    check_expression("[for x in l : x.y]", "[for x in l : x.y]");
    check_expression("[for i, x in l : \"${i}-${x}\" if x != null]", r#"[for i, x in l : <i "-" x> if (x != null)]"#);
    check_expression("{ for k, v in m : k => v }", "{for k, v in m : k => v}");
    check_expression("{\n  for x in l : x.a => x.b...\n  if x.c\n}", "{for x in l : x.a => x.b... if x.c}");
    check_expression("[\n  for x in l :\n  # a comment\n  x\n]", "[for x in l : x]");
    check_expression("[for\r\n x in l : x]", "[for x in l : x]");
    check_expression("[format, formatted]", "[format, formatted]");
}

#[test]
fn what_is_no_single_expression_is_refused() {
    let refused = |source: &str| {
        let mut sources = SourceMap::default();
        let file = sources.add("x", source);
        render(&sources, &parse_expression(file, source).unwrap_err())
    };
    assert_eq!(
        refused(""),
        "1:1 \"\" incomplete-expression: an expression is missing\n  help: for no value write null, for no text \"\"\n"
    );
    assert!(refused("a\nb").starts_with("2:1 \"b\" invalid-expression: the expression is complete before `b`\n"));
    assert!(refused("a }").starts_with("1:3 \"}\" invalid-expression: the expression is complete before `}`\n"));
    assert!(refused("\n [1").starts_with("2:2 \"[\" unclosed-bracket: this `[` is never closed\n"));
    check_expression("\n\n{\n  a = 1\n}\n\n", "{\"a\": 1}");
    let errors = parse_template(FileId(0), "a ${ b\nc = ${ d }").unwrap_err();
    assert_eq!(errors.iter().map(|error| error.code).collect::<Vec<_>>(), ["unclosed-interpolation"]);
    let errors = parse_template(FileId(0), "a ${ b\n").unwrap_err();
    assert_eq!(errors.iter().map(|error| error.code).collect::<Vec<_>>(), ["unclosed-interpolation"]);
}

/// Between brackets, and in a sequence, a line break is a blank; `core` is where all functions are.
#[test]
fn line_breaks_that_mean_nothing() {
    for (source, plain) in [
        ("\"${\n  1\n  + 2\n}\"", "1 + 2"),
        ("\"${true\n  ? \"x\"\n  : y}\"", "true ? \"x\" : y"),
        ("\"${ {a = 1}\n  .a }\"", "{a = 1}.a"),
        ("\"${upper\n (\"{\\\"(\") }\"", "upper(\"{\\\"(\")"),
        ("\"%{ if true\n && a }x%{ endif }\"", "\"%{ if true && a }x%{ endif }\""),
        ("(\n  !\n  true)", "!true"),
        ("[a,\n {\n  b = c\n  d = (e\n   * f)\n }]", "[a, { b = c, d = (e * f) }]"),
        ("{for k, v\n in m\n : k\n => v\n if !\n v}", "{for k, v in m : k => v if !v}"),
        ("core::upper(a)", "upper(a)"),
        ("core :: max(1, core::min(2, 3))", "max(1, min(2, 3))"),
        ("\"${ core::\n upper(x.core) }\"", "upper(x.core)"),
    ] {
        let plain = parse_expression(FileId(0), plain).unwrap();
        check_expression(source, &super::show(&plain));
    }
    // In an object each line is an element.
    assert!(parse_expression(FileId(0), "{\n a = 1 +\n 2\n b = 3\n}").is_err());
    assert!(parse_expression(FileId(0), "core::x::upper(a)").is_err());
    // A sign stands before all that is taken of a number.
    check_expression("-1[*]", &super::show(&parse_expression(FileId(0), "-(1[*])").unwrap()));
}
