//! Values as text for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use cloudtik_model::{Expr, ExprKind, TemplatePart, Value, ValueKind};

use crate::text::{expression_text, is_identifier};

/// What stands for a sensitive value.
pub(crate) const SENSITIVE: &str = "(sensitive value)";

/// What stands for a value that is not known before apply.
pub(crate) const UNKNOWN: &str = "(known after apply)";

/// The value as it could be written in a spec, on as many lines as it needs. A sensitive value is not shown, a late name is shown as
/// `<node.address>`, what only a provider can tell as `<workspace.w.zones>`, and what else is not known says so.
#[must_use]
pub fn render(value: &Value) -> String {
    let mut out = String::new();
    write_lines(value, &mut out, 0);
    out
}

/// The same on one line.
#[must_use]
pub fn render_line(value: &Value) -> String {
    let mut out = String::new();
    write_line(value, &mut out, usize::MAX);
    out
}

/// The value with every deferred part replaced by what can be shown of it: text is rendered with `<node.address>` and
/// `<kind.name.attribute>` where something is missing.
#[must_use]
pub fn preview(value: &Value) -> Value {
    let shown = value.try_map_deferred(&mut |deferred| Ok::<_, std::convert::Infallible>(preview_expr(&deferred.expr)));
    match shown {
        Ok(shown) => shown,
        Err(never) => match never {},
    }
}

fn preview_expr(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Literal(value) => preview(value),
        ExprKind::Convert { of, .. } => preview_expr(of),
        ExprKind::Template(parts) => {
            let mut out = String::new();
            let mut sensitive = false;
            preview_parts(parts, &mut out, &mut sensitive);
            Value::from(out).marked(sensitive)
        }
        _ => Value::from(format!("<{}>", expression_text(expr))),
    }
}

fn preview_parts(parts: &[TemplatePart], out: &mut String, sensitive: &mut bool) {
    for part in parts {
        match part {
            TemplatePart::Text(text) => out.push_str(text),
            TemplatePart::Value(expr) => {
                let shown = preview_expr(expr);
                *sensitive = *sensitive || shown.has_sensitive();
                match (shown.as_str(), shown.is_sensitive()) {
                    (_, true) => out.push_str(SENSITIVE),
                    (Some(text), false) => out.push_str(text),
                    (None, false) => write_line(&shown, out, usize::MAX),
                }
            }
            TemplatePart::If { condition, yes, no } => {
                let _ = write!(out, "<if {}>", expression_text(condition));
                preview_parts(yes, out, sensitive);
                if !no.is_empty() {
                    out.push_str("<else>");
                    preview_parts(no, out, sensitive);
                }
                out.push_str("<endif>");
            }
            TemplatePart::For { value_variable, collection, body, .. } => {
                let name = value_variable.split('#').next().unwrap_or_default();
                let _ = write!(out, "<for {name} in {}>", expression_text(collection));
                preview_parts(body, out, sensitive);
                out.push_str("<endfor>");
            }
        }
    }
}

/// Whether an expression waits for answers of a provider, and for nothing else.
fn waits_for_facts(expr: &Expr) -> bool {
    fn facts(expr: &Expr) -> bool {
        let mut found = matches!(expr.kind, ExprKind::Fact(_));
        expr.for_each_child(&mut |child| found = found || facts(child));
        found
    }
    let (mut addresses, mut late) = (BTreeSet::new(), BTreeSet::new());
    expr.addresses(&mut addresses);
    expr.late_names(&mut late);
    addresses.is_empty() && late.is_empty() && facts(expr)
}

/// What needs no lines of its own. `None`: a collection.
fn write_leaf(value: &Value, out: &mut String) -> bool {
    if value.is_sensitive() {
        out.push_str(SENSITIVE);
        return true;
    }
    match value.kind() {
        ValueKind::Null(_) => out.push_str("null"),
        ValueKind::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        ValueKind::Number(number) => {
            let _ = write!(out, "{number}");
        }
        ValueKind::String(text) => write_quoted(text, out),
        ValueKind::Deferred(deferred) => match &deferred.expr.kind {
            ExprKind::Late(name) => {
                let _ = write!(out, "<{name}>");
            }
            // A plan that asks nobody says whose answer it waits for.
            _ if waits_for_facts(&deferred.expr) => match preview_expr(&deferred.expr).as_str() {
                Some(text) if matches!(deferred.expr.kind, ExprKind::Template(_)) => write_quoted(text, out),
                Some(text) => out.push_str(text),
                None => out.push_str(UNKNOWN),
            },
            _ => out.push_str(UNKNOWN),
        },
        _ => return false,
    }
    true
}

fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // `${` would be read as an interpolation.
            '{' if before == '$' || before == '%' => {
                out.push(before);
                out.push('{');
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
        before = c;
    }
    out.push('"');
}

fn write_name(name: &str, out: &mut String) {
    if is_identifier(name) { out.push_str(name) } else { write_quoted(name, out) }
}

/// One line, ended early once it is longer than `limit`.
pub(crate) fn write_line(value: &Value, out: &mut String, limit: usize) {
    if write_leaf(value, out) {
        return;
    }
    let mut first = true;
    let mut comma = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.push_str(", ");
        }
    };
    if let Some(entries) = value.entries() {
        out.push('{');
        for (name, item) in entries {
            if out.len() > limit {
                break;
            }
            comma(out);
            write_name(name, out);
            out.push_str(" = ");
            write_line(item, out, limit);
        }
        out.push('}');
        return;
    }
    out.push('[');
    for item in value.elements().into_iter().flatten() {
        if out.len() > limit {
            break;
        }
        comma(out);
        write_line(item, out, limit);
    }
    out.push(']');
}

fn write_lines(value: &Value, out: &mut String, indent: usize) {
    if write_leaf(value, out) {
        return;
    }
    let margin = "  ".repeat(indent + 1);
    if let Some(entries) = value.entries() {
        let named: Vec<(String, &Value)> = entries.iter().map(|(name, item)| (shown_name(name), item)).collect();
        let width = named.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        out.push('{');
        for (name, item) in &named {
            let _ = write!(out, "\n{margin}{name:width$} = ");
            write_lines(item, out, indent + 1);
        }
        close(out, named.is_empty(), indent, '}');
        return;
    }
    out.push('[');
    let mut empty = true;
    for item in value.elements().into_iter().flatten() {
        empty = false;
        let _ = write!(out, "\n{margin}");
        write_lines(item, out, indent + 1);
        out.push(',');
    }
    close(out, empty, indent, ']');
}

fn shown_name(name: &Arc<str>) -> String {
    let mut shown = String::new();
    write_name(name, &mut shown);
    shown
}

fn close(out: &mut String, empty: bool, indent: usize, bracket: char) {
    if !empty {
        let _ = write!(out, "\n{}", "  ".repeat(indent));
    }
    out.push(bracket);
}
