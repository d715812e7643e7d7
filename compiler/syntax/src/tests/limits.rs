use std::fmt::Write as _;

use cloudtik_model::FileId;

use super::{check_expression, errors_of};
use crate::{MAX_ERRORS, MAX_NESTING, MAX_OBJECT_ENTRIES, parse_expression, parse_file, parse_template};

/// Parses in a thread with the stack that a thread has, and gives the codes of the errors with the column of each.
fn codes(source: String) -> Vec<(&'static str, u32)> {
    let parse = move || {
        let (body, errors) = parse_file(FileId(0), &source);
        drop(body);
        errors.iter().map(|error| (error.code, error.primary.as_ref().unwrap().span.start)).collect()
    };
    #[expect(clippy::disallowed_methods, reason = "the stack of a thread is what is tested")]
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(parse).unwrap().join().unwrap()
}

#[test]
fn a_thousand_levels_are_one_error_where_the_limit_is_passed() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{a=", "}"),
        ("f(", ")"),
        ("a[", "]"),
        ("\"${", "}\""),
        ("[for x in y : ", "]"),
        ("{for x in y : x => ", "}"),
    ] {
        for levels in [1_000, 100_000] {
            let source = format!("a = {}1{}\nb = 2\n", open.repeat(levels), close.repeat(levels));
            let passed = source.match_indices(open).nth(MAX_NESTING).unwrap().0;
            let bracket = passed + open.find(['(', '[', '{']).unwrap() - usize::from(open.starts_with('"'));
            assert_eq!(codes(source), [("nesting-too-deep", u32::try_from(bracket).unwrap())], "{open} {levels}");
        }
        let source = format!("a = {}1{}\n", open.repeat(MAX_NESTING), close.repeat(MAX_NESTING));
        assert_eq!(codes(source), [], "{open}");
    }
}

#[test]
fn blocks_are_bounded_too() {
    for levels in [1_000, 100_000] {
        let source = format!("{}{}z = 1\n", "a {\n".repeat(levels), "}\n".repeat(levels));
        let errors = codes(source);
        assert_eq!(errors[0], ("nesting-too-deep", u32::try_from(MAX_NESTING * 4 + 2).unwrap()));
    }
    let source = format!("{}x = {}1{}\n{}", "a {\n".repeat(MAX_NESTING - 2), "[".repeat(2), "]".repeat(2), "}\n".repeat(MAX_NESTING - 2));
    assert_eq!(codes(source), []);
    let source = format!("{}x = {}1{}\n{}", "a {\n".repeat(MAX_NESTING - 2), "[".repeat(3), "]".repeat(3), "}\n".repeat(MAX_NESTING - 2));
    assert_eq!(codes(source)[0].0, "nesting-too-deep");
    let heredocs: String = (0..1_000).map(|level| format!("<<E{level}\n${{")).collect();
    assert_eq!(codes(format!("a = {heredocs}\n"))[0].0, "nesting-too-deep");
}

#[test]
fn chains_are_bounded() {
    for chain in [
        format!("1{}", "+1".repeat(100_000)),
        format!("a{}", " && a".repeat(100_000)),
        format!("{}a", "!".repeat(100_000)),
        format!("{}a", "- ".repeat(100_000)),
        format!("{}1", "a ? b : ".repeat(100_000)),
        format!("a{}", ".b".repeat(100_000)),
        format!("a{}", "[0]".repeat(100_000)),
        format!("a{}", "[*]".repeat(100_000)),
        format!("a{}", ".*.b[0]".repeat(100_000)),
    ] {
        let errors = codes(format!("x = {chain}\ny = 1\n"));
        assert_eq!(errors.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["nesting-too-deep"], "{}", &chain[..20]);
    }
    assert_eq!(codes(format!("x = a{}\n", " + a".repeat(100))), []);
}

/// Each limit alone is kept here; all of them together still make a tree that can be walked.
#[test]
fn limits_hold_together() {
    let chain = format!("{}a{}", "!".repeat(50), ".b".repeat(100));
    let mut source = chain.clone();
    for _ in 0..MAX_NESTING {
        source = format!("{}({source}){}", "-".repeat(10), ".b".repeat(60));
    }
    assert_eq!(codes(format!("x = {source}\n"))[0].0, "nesting-too-deep");
    let mut source = chain;
    for level in 0..MAX_NESTING / 2 {
        source = format!("<<E{level}\n${{ {source}\n}}\nE{level}\n");
    }
    assert_eq!(codes(format!("x = {source}"))[0].0, "nesting-too-deep");
    let directives = format!("{}x{}", "%{ if a }".repeat(1_000), "%{ endif }".repeat(1_000));
    assert_eq!(parse_template(FileId(0), &directives).unwrap_err().iter().next().unwrap().code, "nesting-too-deep");
}

#[test]
fn sizes_are_bounded() {
    let object = |entries: usize| {
        let mut text = String::from("{\n");
        for entry in 0..entries {
            writeln!(text, "  k{entry} = 1 # comment\n").unwrap();
        }
        text + "}"
    };
    assert!(parse_expression(FileId(0), &object(2_000)).is_ok());
    assert_eq!(codes(format!("a = {}\n", object(MAX_OBJECT_ENTRIES + 1))), [("object-too-large", 4)]);
    assert_eq!(codes(format!("a = {}\n", "9".repeat(201)))[0], ("number-too-long", 4));
    assert_eq!(codes(format!("a = {}\n", "9".repeat(1_000)))[0], ("number-too-long", 4));
    assert_eq!(codes("a = 1e999999\n".to_owned())[0], ("number-too-long", 4));
    let number = "9".repeat(200);
    check_expression(&format!("[{number}.0]"), &format!("[{}]", number.parse::<cloudtik_model::Number>().unwrap()));
    let errors = codes(")\n".repeat(1_000));
    assert_eq!((errors.len(), errors[MAX_ERRORS].0), (MAX_ERRORS + 1, "too-many-errors"));
}

/// Work is counted by time only to catch what is quadratic: each of these would take minutes then.
#[test]
fn large_inputs_take_linear_time() {
    let text = "line ${x} %{ if y }z%{ endif }\n".repeat(20_000);
    for source in
        ["\"${a}\", ".repeat(20_000), "{}".repeat(50_000), " ".repeat(500_000) + &"[[]]".repeat(20_000), "/* c */ 1, # d\n".repeat(20_000)]
    {
        let (_, errors) = parse_file(FileId(0), &format!("a = [{source}]\nb = <<E\n{text}E\n"));
        assert!(errors.len() < 3);
    }
    let unclosed = "a \"b\" {\n".repeat(20_000) + &"x = \"${ f(\n".repeat(20_000) + &"y = <<E\n".repeat(20_000);
    assert!(errors_of(&unclosed).contains("nesting-too-deep"));
}
