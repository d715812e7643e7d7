use cloudtik_model::FileId;
use proptest::prelude::*;

use super::{check_body_spans, check_spans, errors_of, show_body};
use crate::{Body, decode, format, parse_expression, parse_file, parse_template};

/// Sources that are right, each with something of its own.
const CORPUS: [&str; 26] = [
    "",
    "\n\n# comment\n// comment\n/* comment */\n",
    "a = 1\n",
    "a=1\nb=\"two\"\nc = true\nd = null\ne = -3.5e2",
    "workspace \"dev\" {\n  provider = local\n  tags = { team = \"data\", \"cost center\" = 7 }\n  network {\n\
     \x20\x20\x20\x20cidr = \"10.0.0.0/16\"\n  }\n}\n",
    "cluster \"etl\" {\n  head {\n    cpus       = 2\n    memory_gib = 4\n    runtime \"nginx\" {\n\
     \x20\x20\x20\x20\x20\x20port = 8080 + var.offset\n    }\n  }\n}\n",
    "locals {\n  a = [for i, x in var.list : \"${i}:${x.name}\" if x.on]\n  b = { for k, v in var.map : upper(k) => v... }\n}\n",
    "output \"o\" {\n  value = var.a ? local.b[0].c : try(resource.x.y[*].id, [])\n}\n",
    "text = <<EOT\nhello ${name}\n  %{ for x in xs ~}\n  - ${x}\n  %{ endfor ~}\nEOT\n",
    "a {\n  text = <<-EOT\n    one\n      two ${f(\"${x}\")}\n\n    EOT\n  other = 1\n}\n",
    "files = {\n  \"/etc/a\" = <<A\na\nA\n  \"/etc/b\" = <<-B\n    b\n    B\n}\n",
    "x = f(g(1, 2), [3, 4]...)\ny = [\n  1,\n  # two\n  2,\n]\n",
    "a = \"quote \\\" brace } dollar $ percent % $${x} %%{y} \\\\\"\n",
    "a = !x && (y || z) == (1 + 2 * -3 >= 4 % 5 / 6)\n",
    "a = x.0.y.*.z\nb = x.y[\"k\"][0]\nc = x[*].y[*].z\n",
    "a \"b\" c \"d\" {\n}\ne {}\nf { g = 1 }\n",
    "größe = \"ünïcödé 日本 😀\"\n名前 = größe\n",
    "a = 1\r\nb {\r\n  c = [\r\n    1,\r\n  ]\r\n  d = <<X\r\ny\r\nX\r\n}\r\n",
    "a = \"${ { b = \"}\" }.b }\"\nc = \"${[for x in [\"${y}\"] : x][0]}\"\n",
    "a = \"%{ if x }${y}%{ else }%{ for z in w }${z}%{ endfor }%{ endif }\"\n",
    "a = \"x${~ y ~}z\"\nb = \"%{~ if x ~} y %{~ endif ~}\"\n",
    "a = (\n  b\n  ? c\n  : d\n)\n",
    "a = {\n  (b) = 1\n  \"${c}\" : 2,\n  3 = 4\n  for_each = 5\n}\n",
    "variable \"v\" {\n  type        = list(object({ a = string, b = optional(number, 1) }))\n\
     \x20\x20description = \"text\" # trailing\n  default     = []\n}\n",
    "a = <<A\n${<<B\n${<<C\n${x}\nC\n}\nB\n}\nA\n",
    "resource \"value\" \"x\" {\n  for_each = toset([\"a\", \"b\"])\n  lifecycle {\n    create_before_destroy = true\n\
     \x20\x20}\n  depends_on = [resource.value.y]\n}\n",
];

/// What an edit puts in: whatever may open, close or divide.
const SNIPPETS: [&str; 40] = [
    "\"",
    "${",
    "%{",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    "<<E\n",
    "<<-E\n",
    "\nE\n",
    "\n",
    "\r\n",
    "#",
    "//",
    "/*",
    "*/",
    "=",
    "==",
    "=>",
    ",",
    ".",
    "*",
    "[*]",
    "~",
    "\\",
    "'",
    "!",
    "-",
    "?",
    ":",
    "...",
    "::",
    " ",
    "if",
    "for ",
    "%{ endif }",
    "ä",
    "\u{feff}",
];

fn check_total(source: &str) {
    let (body, errors) = parse_file(FileId(0), source);
    check_body_spans(source, &body);
    if errors.is_empty() {
        check_formatted(source, &body);
    }
    for error in &errors {
        for span in error.primary.iter().chain(&error.labels).map(|label| label.span) {
            assert!(
                source.get(span.start as usize..span.end as usize).is_some(),
                "{error:?} points outside of the text or into a character"
            );
        }
        assert!(error.primary.is_some(), "{error:?}");
    }
    if let Ok(expr) = parse_expression(FileId(0), source) {
        check_spans(source, &expr);
    }
    if let Ok(expr) = parse_template(FileId(0), source) {
        check_spans(source, &expr);
    }
}

/// Formatted, a source means what it meant, and is not formatted any further.
fn check_formatted(source: &str, body: &Body) {
    let formatted = format(FileId(0), source).unwrap();
    let (again, errors) = parse_file(FileId(0), &formatted);
    assert!(errors.is_empty(), "{source:?} became {formatted:?}\n{}", errors_of(&formatted));
    assert_eq!(show_body(&again, ""), show_body(body, ""), "{source:?} became {formatted:?}");
    assert_eq!(format(FileId(0), &formatted).unwrap(), formatted, "{source:?}");
}

fn at_boundary(source: &str, at: usize) -> usize {
    let mut at = at % (source.len() + 1);
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[test]
fn the_corpus_is_right() {
    for source in CORPUS {
        let (body, errors) = parse_file(FileId(0), source);
        assert!(errors.is_empty(), "{source}\n{}", errors_of(source));
        check_total(source);
        // Line ends are no matter but in text.
        if !source.contains("<<") && !source.contains('\r') {
            let (again, errors) = parse_file(FileId(0), &source.replace('\n', "\r\n"));
            assert!(errors.is_empty(), "{source}");
            assert_eq!(show_body(&again, ""), show_body(&body, ""));
        }
    }
}

/// Every prefix of every source is read without a panic, and is either right or has an error.
#[test]
fn prefixes_of_the_corpus_are_survived() {
    for source in CORPUS {
        for end in (0..source.len()).filter(|end| source.is_char_boundary(*end)) {
            check_total(&source[..end]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(source in any::<String>()) {
        check_total(&source);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(text) = decode("x", &bytes) {
            check_total(&text);
        }
    }

    #[test]
    fn any_tokens_are_survived(tokens in proptest::collection::vec(0..SNIPPETS.len() + 3, 0..60)) {
        let words = ["a", "1", "a = "];
        let text = |token: usize| SNIPPETS.get(token).copied().unwrap_or_else(|| words[token - SNIPPETS.len()]);
        let source: String = tokens.into_iter().map(text).collect();
        check_total(&source);
    }

    #[test]
    fn edits_of_right_sources_are_survived(
        source in 0..CORPUS.len(),
        edits in proptest::collection::vec((any::<usize>(), 0..SNIPPETS.len(), 0..3_usize), 1..6),
    ) {
        let mut text = CORPUS[source].to_owned();
        for (at, snippet, remove) in edits {
            let start = at_boundary(&text, at);
            let end = at_boundary(&text, start + remove).max(start);
            text.replace_range(start..end, SNIPPETS[snippet]);
        }
        check_total(&text);
    }

    /// An error in one item leaves every other item as it is.
    #[test]
    fn other_items_are_returned(before in 0..8_usize, after in 0..8_usize, broken in 0..6_usize) {
        let wrong =
            ["x = [1 2]\n", "x = \"a\n", "x \"y\" {\n  z = 1 +\n  w = )\n}\n", "x = f(\n", "x \"y\" {\n  z = {\n", "x = \"${ a\"\n"];
        let broken = wrong[broken];
        let items = |range: std::ops::Range<usize>| -> String { range.map(|n| format!("r \"n{n}\" {{\n  v = {n}\n}}\n")).collect() };
        let source = items(0..before) + broken + &items(before..before + after);
        let (body, errors) = parse_file(FileId(0), &source);
        prop_assert!(errors.has_errors());
        let names: Vec<String> = body.blocks.iter().map(|block| block.labels[0].text.to_string()).collect();
        let expected: Vec<String> = (0..before + after).map(|n| format!("n{n}")).collect();
        prop_assert_eq!(names, expected, "{}", errors_of(&source));
    }
}
