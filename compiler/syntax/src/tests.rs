//! One helper per feature: `check_expression` and `check_file` compare a compact form of the tree, `check_errors` every message with
//! its places.

mod errors;
mod expressions;
mod format;
mod limits;
mod properties;
mod structure;

use std::fmt::Write as _;

use cloudtik_model::{Diagnostics, Expr, ExprKind, ForKind, SourceMap, Span, TemplatePart, UnaryOp, Value, ValueKind};

use crate::{Body, parse_expression, parse_file, parse_template};

fn check_expression(source: &str, expected: &str) {
    let mut sources = SourceMap::default();
    let file = sources.add("x", source);
    match parse_expression(file, source) {
        Ok(expr) => {
            assert_eq!(show(&expr), expected, "of {source}");
            check_spans(source, &expr);
        }
        Err(errors) => panic!("{source}\n{}", render(&sources, &errors)),
    }
}

fn check_template(source: &str, expected: &str) {
    let mut sources = SourceMap::default();
    let file = sources.add("x", source);
    match parse_template(file, source) {
        Ok(expr) => {
            assert_eq!(show(&expr), expected, "of {source}");
            check_spans(source, &expr);
        }
        Err(errors) => panic!("{source}\n{}", render(&sources, &errors)),
    }
}

fn check_file(source: &str, expected: &str) {
    let mut sources = SourceMap::default();
    let file = sources.add("x", source);
    let (body, errors) = parse_file(file, source);
    assert!(errors.is_empty(), "{source}\n{}", render(&sources, &errors));
    assert_eq!(show_body(&body, ""), expected.trim_start_matches('\n'), "of {source}");
    check_body_spans(source, &body);
}

/// Every message of a file, and a line `left: …` with the names of what is returned all the same.
fn errors_of(source: &str) -> String {
    let mut sources = SourceMap::default();
    let file = sources.add("x", source);
    let (body, errors) = parse_file(file, source);
    check_body_spans(source, &body);
    let mut names: Vec<(u32, &str)> = body.attributes.iter().map(|a| (a.span.start, &*a.name.name)).collect();
    names.extend(body.blocks.iter().map(|b| (b.span.start, b.labels.first().map_or(&*b.kind.name, |label| &*label.text))));
    names.sort_unstable();
    let names: Vec<&str> = names.into_iter().map(|(_, name)| name).collect();
    let left = if names.is_empty() { String::new() } else { format!("left: {}\n", names.join(", ")) };
    render(&sources, &errors) + &left
}

fn check_errors(source: &str, expected: &str) {
    let found = errors_of(source);
    assert_eq!(found, expected.trim_start_matches('\n'), "of\n{source}\n---- found\n{found}----");
}

fn render(sources: &SourceMap, errors: &Diagnostics) -> String {
    let place = |span: Span| {
        let (line, column) = sources.get(span.file).unwrap().position(span.start);
        format!("{line}:{column} {:?}", sources.text(span).unwrap())
    };
    let mut text = String::new();
    for error in errors {
        let primary = error.primary.as_ref().unwrap();
        writeln!(text, "{} {}: {}", place(primary.span), error.code, error.title).unwrap();
        if !primary.message.is_empty() {
            writeln!(text, "  {}", primary.message).unwrap();
        }
        for label in &error.labels {
            writeln!(text, "  {}: {}", place(label.span), label.message).unwrap();
        }
        if let Some(help) = &error.help {
            writeln!(text, "  help: {help}").unwrap();
        }
    }
    text
}

fn show(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Literal(value) => show_value(value),
        ExprKind::Variable(name) => name.to_string(),
        ExprKind::Template(parts) => format!("<{}>", show_parts(parts)),
        ExprKind::Attribute { of, name } => format!("{}.{name}", show(of)),
        ExprKind::Index { of, key } => format!("{}[{}]", show(of), show(key)),
        ExprKind::Splat { of, each } => format!("each({}, {})", show(of), show(each)),
        ExprKind::Unary { op: UnaryOp::Not, of } => format!("(!{})", show(of)),
        ExprKind::Unary { op: UnaryOp::Negate, of } => format!("(-{})", show(of)),
        ExprKind::Binary { op, left, right } => format!("({} {} {})", show(left), op.as_str(), show(right)),
        ExprKind::Conditional { condition, yes, no } => format!("({} ? {} : {})", show(condition), show(yes), show(no)),
        ExprKind::Tuple(items) => format!("[{}]", show_all(items)),
        ExprKind::Object(items) => {
            let items: Vec<String> = items.iter().map(|(key, value)| format!("{}: {}", show(key), show(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
        ExprKind::For(kind) => show_for(kind),
        ExprKind::Call { name, args, expand } => format!("{name}({}{})", show_all(args), if *expand { "..." } else { "" }),
        other => panic!("not made by a parser: {other:?}"),
    }
}

fn show_for(kind: &ForKind) -> String {
    let mut text = String::from("for ");
    if let Some(key) = &kind.key_variable {
        write!(text, "{key}, ").unwrap();
    }
    write!(text, "{} in {} : ", kind.value_variable, show(&kind.collection)).unwrap();
    if let Some(key) = &kind.key {
        write!(text, "{} => ", show(key)).unwrap();
    }
    text += &show(&kind.value);
    if kind.grouping {
        text += "...";
    }
    if let Some(condition) = &kind.condition {
        write!(text, " if {}", show(condition)).unwrap();
    }
    if kind.key.is_some() { format!("{{{text}}}") } else { format!("[{text}]") }
}

fn show_all(items: &[Expr]) -> String {
    items.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn show_parts(parts: &[TemplatePart]) -> String {
    let show_part = |part: &TemplatePart| match part {
        TemplatePart::Text(text) => format!("{text:?}"),
        TemplatePart::Value(expr) => show(expr),
        TemplatePart::If { condition, yes, no } => format!("if {} <{}> <{}>", show(condition), show_parts(yes), show_parts(no)),
        TemplatePart::For { key_variable, value_variable, collection, body } => {
            let key = key_variable.as_ref().map_or_else(String::new, |key| format!("{key}, "));
            format!("for {key}{value_variable} in {} <{}>", show(collection), show_parts(body))
        }
    };
    parts.iter().map(show_part).collect::<Vec<_>>().join(" ")
}

fn show_value(value: &Value) -> String {
    match value.kind() {
        ValueKind::Null(_) => "null".to_owned(),
        ValueKind::Bool(value) => value.to_string(),
        ValueKind::Number(number) => number.to_string(),
        ValueKind::String(text) => format!("{text:?}"),
        _ => panic!("not made by a parser: {value:?}"),
    }
}

fn show_body(body: &Body, indent: &str) -> String {
    let mut text = String::new();
    for attribute in &body.attributes {
        writeln!(text, "{indent}{} = {}", attribute.name.name, show(&attribute.value)).unwrap();
    }
    for block in &body.blocks {
        let labels: String = block.labels.iter().map(|label| format!(" {:?}", label.text)).collect();
        writeln!(text, "{indent}{}{labels}", block.kind.name).unwrap();
        text += &show_body(&block.body, &format!("{indent}  "));
    }
    text
}

fn below(source: &str, span: Span) -> &str {
    source.get(span.start as usize..span.end as usize).unwrap_or_else(|| panic!("{span:?} is no part of the file"))
}

fn check_body_spans(source: &str, body: &Body) {
    for attribute in &body.attributes {
        assert!(
            covers(body.span, attribute.span)
                && covers(attribute.span, attribute.name.span)
                && covers(attribute.span, attribute.value.span)
        );
        assert_eq!(below(source, attribute.name.span), &*attribute.name.name);
        check_spans(source, &attribute.value);
    }
    for block in &body.blocks {
        assert!(covers(body.span, block.span) && covers(block.span, block.header) && covers(block.span, block.body.span));
        assert!(covers(block.header, block.kind.span) && block.labels.iter().all(|label| covers(block.header, label.span)));
        assert_eq!(below(source, block.kind.span), &*block.kind.name);
        assert!(below(source, block.span).ends_with('}'));
        check_body_spans(source, &block.body);
    }
}

fn covers(outer: Span, inner: Span) -> bool {
    outer.file == inner.file && outer.start <= inner.start && inner.start <= inner.end && inner.end <= outer.end
}

/// Spans lie within the file and nest, and what stands below one is what the node says.
fn check_spans(source: &str, expr: &Expr) {
    let text = below(source, expr.span);
    match &expr.kind {
        ExprKind::Variable(name) if &**name != ExprKind::SPLAT_VARIABLE => assert_eq!(text, &**name),
        ExprKind::Variable(_) => {
            assert!(text.starts_with('[') && text.ends_with(']') || text.starts_with('.') && text.ends_with('*'), "{text}")
        }
        ExprKind::Attribute { name, .. } => assert!(text.ends_with(&**name), "{text} should end with {name}"),
        ExprKind::Call { name, .. } => assert!(text.starts_with(&**name) && text.ends_with(')'), "{text}"),
        ExprKind::Tuple(_) => assert!(text.starts_with('[') && text.ends_with(']'), "{text}"),
        ExprKind::Object(_) => assert!(text.starts_with('{') && text.ends_with('}'), "{text}"),
        ExprKind::Literal(value) if value.as_number().is_some() => assert!(text.ends_with(|c: char| c.is_ascii_digit()), "{text}"),
        _ => {}
    }
    expr.for_each_child(&mut |child| {
        assert!(covers(expr.span, child.span), "{:?} is not within {:?} in {source}", child.span, expr.span);
        check_spans(source, child);
    });
}
