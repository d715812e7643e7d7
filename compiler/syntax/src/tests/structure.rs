use cloudtik_model::{ExprKind, FileId, TemplatePart};

use super::{below, check_errors, check_file, errors_of};
use crate::{decode, parse_file};

#[test]
fn bodies() {
    check_file("", "");
    check_file("# only a comment", "");
    check_file("a = 1\nb = 2", "a = 1\nb = 2\n");
    check_file("a=1 # x\n// y\nb {\n}\n/* z */ c {}\n", "a = 1\nb\nc\n");
    check_file(
        r#"
resource "value" "x" {
  count = 2 /* inline */
  nested {
    deep "l" name { a = "}" }
  }
  tags = {
    a = 1
  }
  nested {}
}
resource "value" "y" {}
"#,
        r#"
resource "value" "x"
  count = 2
  tags = {"a": 1}
  nested
    deep "l" "name"
      a = "}"
  nested
resource "value" "y"
"#,
    );
    check_file("a { # comment\n  b = 1\n}\nc {\n  // d\n}", "a\n  b = 1\nc\n");
    check_file("a \"x\\ty\" {}", "a \"x\\ty\"\n");
    check_file("größe = 1\nа-б_1 {}\n", "größe = 1\nа-б_1\n");
    check_file("a = (1 +\n  2)\nb = f(\n  x\n)\n", "a = (1 + 2)\nb = f(x)\n");
}

#[test]
fn windows_line_ends() {
    check_file(
        "a = 1\r\nb {\r\n  c = [\r\n    1, # x\r\n    2,\r\n  ]\r\n  d = { x = 1\r\n y = 2\r\n }\r\n}\r\n# end\r\n",
        "a = 1\nb\n  c = [1, 2]\n  d = {\"x\": 1, \"y\": 2}\n",
    );
    check_file("a = <<-X\r\n  b ${c}\r\n  X\r\nd = 1\r\n", "a = <\"b \" c \"\\r\\n\">\nd = 1\n");
}

#[test]
fn a_byte_order_mark_is_passed() {
    assert_eq!(&*decode("a.hcl", b"\xef\xbb\xbfa = 1").unwrap(), "a = 1");
    assert_eq!(errors_of("\u{feff}a = 1"), "left: a\n");
}

#[test]
fn what_is_no_text_is_refused() {
    let error = decode("a.hcl", b"a = 1\nb = \"\xff\"").unwrap_err();
    assert_eq!((error.code, error.title.as_str()), ("not-utf8", "`a.hcl` is not UTF-8: byte 11, in line 2, is no text"));
    assert_eq!(error.help.as_deref(), Some("save the file as UTF-8"));
    assert_eq!(decode("a.hcl", b"\xff\xfea\0").unwrap_err().notes, ["the file begins like UTF-16"]);
    let error = decode("a.hcl", &vec![b' '; 16 * 1024 * 1024 + 1]).unwrap_err();
    assert_eq!((error.code, error.title.as_str()), ("file-too-large", "`a.hcl` has 16777217 bytes; at most 16777216 are read"));
    assert!(parse_file(FileId(0), &" ".repeat(16 * 1024 * 1024 + 1)).1.has_errors());
}

#[test]
fn spans_are_of_the_true_bytes() {
    let source = "ä = 1\r\nblock \"label\" x {\r\n  text = <<-EOT\r\n    one ${a.b} two\r\n      ${f(\"${c}\", 1.50)}\r\n  EOT\r\n}\r\n";
    let (body, errors) = parse_file(FileId(0), source);
    assert!(errors.is_empty());
    let block = &body.blocks[0];
    assert_eq!(below(source, block.header), "block \"label\" x");
    assert_eq!(below(source, block.labels[0].span), "\"label\"");
    assert!(below(source, block.body.span).starts_with("\r\n  text") && below(source, block.body.span).ends_with("EOT\r\n"));
    let text = block.body.attribute("text").unwrap();
    assert!(below(source, text.value.span).starts_with("<<-EOT") && below(source, text.value.span).ends_with("EOT"));
    let ExprKind::Template(parts) = &text.value.kind else { panic!("{:?}", text.value) };
    let values: Vec<_> = parts
        .iter()
        .filter_map(|part| match part {
            TemplatePart::Value(expr) => Some(expr),
            _ => None,
        })
        .collect();
    assert_eq!(below(source, values[0].span), "a.b");
    assert_eq!(below(source, values[1].span), "f(\"${c}\", 1.50)");
    let ExprKind::Call { args, .. } = &values[1].kind else { panic!() };
    assert_eq!((below(source, args[0].span), below(source, args[1].span)), ("c", "1.50"));
}

#[test]
fn spans_of_traversals_end_with_the_name() {
    let source = "x = a.b[0].c[*].d";
    let (body, _) = parse_file(FileId(0), source);
    let ExprKind::Splat { of, each } = &body.attributes[0].value.kind else { panic!() };
    assert_eq!((below(source, of.span), below(source, each.span)), ("a.b[0].c", "[*].d"));
    let ExprKind::Attribute { of: index, .. } = &of.kind else { panic!() };
    assert_eq!(below(source, index.span), "a.b[0]");
}

#[test]
fn a_file_goes_on_after_an_error() {
    check_errors(
        "a = 1 +\nb = 2\nc {\n  d = [1 2]\n  e = \"x\n  f = 3\n  g = )\n}\nh {\n  i = 4\n}\n",
        r#"
1:7 "+" incomplete-expression: an operand is missing after `+`
  help: an expression ends with its line; to go on in the next one, put it in parentheses
4:10 "2" missing-comma: a comma is missing before `2`
  help: an element ends with a comma; text stands in double quotes
5:7 "\"x" unclosed-string: this string is never closed
  help: close it with `"`; a quote inside a string is written `\"`, and text of several lines is a heredoc: <<EOT
7:7 ")" stray-bracket: this `)` closes nothing
  help: remove it, or add the `(` that it should close
left: b, h
"#,
    );
}
