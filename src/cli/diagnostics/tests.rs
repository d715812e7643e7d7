//! Each form of a diagnostic, as it looks.

use cloudtik::model::{Diagnostic, Diagnostics, FileId, SourceMap, Span};

use super::super::printer::Look;
use super::{SHOWN_MAX, chosen, human, to_json};

const PLAIN: Look = Look { terminal: false, color: false, unicode: true, width: 80 };

/// The span of a text in a file.
fn span(sources: &SourceMap, file: FileId, text: &str) -> Span {
    let start = sources.get(file).unwrap().text.find(text).unwrap();
    Span::new(file, u32::try_from(start).unwrap(), u32::try_from(start + text.len()).unwrap())
}

/// A diagnostic that has everything.
fn whole() -> (Diagnostic, SourceMap) {
    let mut sources = SourceMap::default();
    let main = sources.add("main.hcl", "cluster \"c\" {\n  head {\n    cpu = \"zwölf\"\n  }\n}\n");
    let other = sources.add("other.hcl", "locals {\n  x = 1\n}\n");
    let diagnostic = Diagnostic::error("unknown-attribute", "`head` has no attribute `cpu`")
        .at_saying(span(&sources, main, "cpu"), "not known")
        .and_at(span(&sources, main, "head"), "in this block")
        .and_at(span(&sources, other, "x"), "something elsewhere")
        .help("did you mean `cpus`?")
        .note("a fact that has no place and that is so long that it does not fit on one line of eighty")
        .of(&"cluster.c.head".parse().unwrap());
    (diagnostic, sources)
}

#[test]
fn for_people_with_lines() {
    let (diagnostic, sources) = whole();
    let expected = "  × error[unknown-attribute]: `head` has no attribute `cpu`
   ╭─[main.hcl:3:5]
 1 │ cluster \"c\" {
 2 │   head {
   ·   ──┬─
   ·     ╰── in this block
 3 │     cpu = \"zwölf\"
   ·     ─┬─
   ·      ╰── not known
 4 │   }
   ╰────
  help: did you mean `cpus`?
  note: other.hcl:2:3: something elsewhere
  note: a fact that has no place and that is so long that it does not fit on one
        line of eighty
  note: it is about `cluster.c.head`

";
    assert_eq!(human::render(&diagnostic, &sources, PLAIN), expected);
}

#[test]
fn for_people_without_unicode() {
    let (diagnostic, sources) = whole();
    let text = human::render(&diagnostic, &sources, Look { unicode: false, ..PLAIN });
    let expected = "  x error[unknown-attribute]: `head` has no attribute `cpu`
   ,-[main.hcl:3:5]
 1 | cluster \"c\" {
 2 |   head {
   :   ^^|^
   :     `-- in this block
 3 |     cpu = \"zwölf\"
   :     ^|^
   :      `-- not known
 4 |   }
   `----
";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn colour_changes_nothing_but_colour() {
    let (diagnostic, sources) = whole();
    let colored = human::render(&diagnostic, &sources, Look { color: true, ..PLAIN });
    assert!(colored.contains("\u{1b}["));
    let mut plain = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, human::render(&diagnostic, &sources, PLAIN));
}

#[test]
fn without_a_place_and_as_a_warning() {
    let text = human::render(&Diagnostic::warning("later", "this is said early"), &SourceMap::default(), PLAIN);
    assert_eq!(text, "  ⚠ warning[later]: this is said early\n\n");
}

#[test]
fn for_tools() {
    let (diagnostic, sources) = whole();
    let both = Diagnostics::from_iter([diagnostic, Diagnostic::warning("later", "this is said early")]);
    let expected = serde_json::json!({
        "format_version": "1.0",
        "valid": false,
        "error_count": 1,
        "warning_count": 1,
        "diagnostics": [
            {
                "severity": "error",
                "code": "unknown-attribute",
                "summary": "`head` has no attribute `cpu`",
                "detail": "did you mean `cpus`?\na fact that has no place and that is so long that it does not fit on one line of eighty",
                "help": "did you mean `cpus`?",
                "notes": ["a fact that has no place and that is so long that it does not fit on one line of eighty"],
                "address": "cluster.c.head",
                "label": "not known",
                "range": {
                    "filename": "main.hcl",
                    "start": { "line": 3, "column": 5, "byte": 27 },
                    "end": { "line": 3, "column": 8, "byte": 30 },
                },
                "related": [
                    {
                        "message": "in this block",
                        "range": {
                            "filename": "main.hcl",
                            "start": { "line": 2, "column": 3, "byte": 16 },
                            "end": { "line": 2, "column": 7, "byte": 20 },
                        },
                    },
                    {
                        "message": "something elsewhere",
                        "range": {
                            "filename": "other.hcl",
                            "start": { "line": 2, "column": 3, "byte": 11 },
                            "end": { "line": 2, "column": 4, "byte": 12 },
                        },
                    },
                ],
            },
            { "severity": "warning", "code": "later", "summary": "this is said early", "detail": "" },
        ],
    });
    assert_eq!(to_json(&both, &sources), expected);
}

#[test]
fn of_very_many_the_errors_come_first_and_the_rest_is_counted() {
    let warnings = (0..SHOWN_MAX).map(|i| Diagnostic::warning("w", i.to_string()));
    let all: Diagnostics = warnings.chain([Diagnostic::error("e", "last")]).collect();
    let (shown, more) = chosen(&all);
    assert_eq!((shown.len(), more, shown[0].title.as_str()), (SHOWN_MAX, 1, "last"));
}

/// Every label anywhere in every text is drawn: no panic, and the place is said.
#[test]
fn every_place_of_odd_texts_is_shown() {
    let long = format!("a = \"{}\"\nb = 2\n", "ä".repeat(500));
    for text in ["", "\n", "\r\n", "a", "a\r\nb\r\n", "\u{1b}[2Jx\ty\u{9b}1m", "x\ry\n", "日本 = \"🦀\"\nz", "\n\n\n", long.as_str()] {
        let mut sources = SourceMap::default();
        let file = sources.add("odd\u{7}.hcl", text);
        let length = u32::try_from(text.len()).unwrap();
        let step = (length / 40).max(1) as usize;
        for start in (0..=length + 1).step_by(step) {
            for end in (start..=length + 2).step_by(step) {
                let other = Span::new(file, length - start.min(length), length);
                let diagnostic = Diagnostic::error("e", "odd").at_saying(Span::new(file, start, end), "here").and_at(other, "there");
                for unicode in [true, false] {
                    let shown = human::render(&diagnostic, &sources, Look { unicode, ..PLAIN });
                    assert!(shown.contains("odd") && shown.contains("hcl:"), "{text:?} {start}..{end}: {shown}");
                    assert!(!shown.contains(['\u{1b}', '\u{9b}', '\u{7}', '\r']), "{text:?} {start}..{end}: {shown:?}");
                }
            }
        }
    }
}
