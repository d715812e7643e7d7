//! Expressions as text for people: what stands in a preview where a value is not known. Not a formatter; it is never read back.

use cloudtik_model::{Expr, ExprKind, ForKind, TemplatePart, UnaryOp, Value};

use crate::impure::{ImpureFunction, TURN};
use crate::render::write_line;
use crate::residual::FAIL;

/// The most text that a preview shows of one expression.
const MAX_TEXT_BYTES: usize = 400;

/// The expression as it could have been written, shortened where it is long. Sensitive values are not shown.
#[must_use]
pub fn expression_text(expr: &Expr) -> String {
    let mut text = Text { out: String::new(), full: false };
    text.expr(expr);
    if text.full { format!("{}…", text.out) } else { text.out }
}

/// Whether the name can be written without quotes.
pub(crate) fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_alphabetic()) && chars.all(|c| c == '_' || c == '-' || c.is_alphanumeric())
}

struct Text {
    out: String,
    /// Set once something did not fit; nothing is added after it.
    full: bool,
}

impl Text {
    fn push(&mut self, text: &str) {
        if self.full {
            return;
        }
        let mut room = MAX_TEXT_BYTES.saturating_sub(self.out.len()).min(text.len());
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        self.out.push_str(text.get(..room).unwrap_or_default());
        self.full = room < text.len();
    }

    fn separated<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        for (i, item) in items.iter().enumerate() {
            if self.full {
                return;
            }
            if i > 0 {
                self.push(", ");
            }
            each(self, item);
        }
    }

    fn value(&mut self, value: &Value) {
        match value.as_deferred() {
            Some(deferred) if !value.is_sensitive() => self.expr(&deferred.expr),
            _ => {
                let mut line = String::new();
                write_line(value, &mut line, MAX_TEXT_BYTES);
                self.push(&line);
            }
        }
    }

    /// An operand: in parentheses if it is an operation itself.
    fn operand(&mut self, expr: &Expr) {
        if matches!(expr.kind, ExprKind::Binary { .. } | ExprKind::Conditional { .. }) {
            self.push("(");
            self.expr(expr);
            self.push(")");
        } else {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        if self.full {
            return;
        }
        match &expr.kind {
            ExprKind::Literal(value) => self.value(value),
            ExprKind::Variable(name) => self.push(name.split('#').next().unwrap_or(name)),
            ExprKind::Reference(address) => self.push(&address.to_string()),
            ExprKind::Late(name) => self.push(&name.to_string()),
            ExprKind::Fact(key) => self.push(key),
            ExprKind::Template(parts) => {
                self.push("\"");
                self.parts(parts);
                self.push("\"");
            }
            ExprKind::Attribute { of, name } => {
                self.operand(of);
                self.push(".");
                self.push(name);
            }
            ExprKind::Index { of, key } => {
                self.operand(of);
                self.push("[");
                self.expr(key);
                self.push("]");
            }
            ExprKind::Splat { of, each } => self.splat(of, each),
            ExprKind::Unary { op, of } => {
                self.push(if *op == UnaryOp::Not { "!" } else { "-" });
                self.operand(of);
            }
            ExprKind::Binary { op, left, right } => {
                self.operand(left);
                self.push(&format!(" {} ", op.as_str()));
                self.operand(right);
            }
            ExprKind::Conditional { condition, yes, no } => {
                self.operand(condition);
                self.push(" ? ");
                self.operand(yes);
                self.push(" : ");
                self.operand(no);
            }
            ExprKind::Tuple(items) => {
                self.push("[");
                self.separated(items, Self::expr);
                self.push("]");
            }
            ExprKind::Object(items) => {
                self.push("{");
                self.separated(items, |text, (key, item)| {
                    text.expr(key);
                    text.push(" = ");
                    text.expr(item);
                });
                self.push("}");
            }
            ExprKind::For(kind) => self.for_expression(kind),
            ExprKind::Call { name, .. } if &**name == FAIL => self.push("(an error)"),
            ExprKind::Call { name, args, expand } => {
                // One that waits for apply says first which call it is.
                let waiting = ImpureFunction::waiting(name);
                self.push(waiting.map_or(&**name, |function| function.name()));
                self.push("(");
                self.separated(args.get(usize::from(waiting.is_some())..).unwrap_or_default(), Self::expr);
                self.push(if *expand { "...)" } else { ")" });
            }
            ExprKind::Convert { of, .. } => self.expr(of),
        }
    }

    fn splat(&mut self, of: &Expr, each: &Expr) {
        self.operand(of);
        self.push("[*]");
        let mut steps = Vec::new();
        let mut current = each;
        while let ExprKind::Attribute { of, .. } | ExprKind::Index { of, .. } | ExprKind::Splat { of, .. } = &current.kind {
            steps.push(current);
            current = of;
        }
        for step in steps.into_iter().rev() {
            match &step.kind {
                ExprKind::Attribute { name, .. } => self.push(&format!(".{name}")),
                ExprKind::Index { key, .. } => {
                    self.push("[");
                    self.expr(key);
                    self.push("]");
                }
                _ => self.push("[*]…"),
            }
        }
    }

    fn for_expression(&mut self, kind: &ForKind) {
        let base = |name: &str| name.split('#').next().unwrap_or(name).to_owned();
        let key_variable = kind.key_variable.as_ref().filter(|name| !name.starts_with(TURN));
        let key_variable = key_variable.map_or_else(String::new, |name| format!("{}, ", base(name)));
        let open = if kind.key.is_some() { "{" } else { "[" };
        self.push(&format!("{open}for {key_variable}{} in ", base(&kind.value_variable)));
        self.expr(&kind.collection);
        self.push(" : ");
        if let Some(key) = &kind.key {
            self.expr(key);
            self.push(" => ");
        }
        self.expr(&kind.value);
        if kind.grouping {
            self.push("...");
        }
        if let Some(condition) = &kind.condition {
            self.push(" if ");
            self.expr(condition);
        }
        self.push(if kind.key.is_some() { "}" } else { "]" });
    }

    fn parts(&mut self, parts: &[TemplatePart]) {
        for part in parts {
            if self.full {
                return;
            }
            match part {
                TemplatePart::Text(text) => self.push(text),
                TemplatePart::Value(expr) => {
                    self.push("${");
                    self.expr(expr);
                    self.push("}");
                }
                TemplatePart::If { condition, yes, no } => {
                    self.push("%{ if ");
                    self.expr(condition);
                    self.push(" }");
                    self.parts(yes);
                    if !no.is_empty() {
                        self.push("%{ else }");
                        self.parts(no);
                    }
                    self.push("%{ endif }");
                }
                TemplatePart::For { value_variable, collection, body, .. } => {
                    self.push(&format!("%{{ for {} in ", value_variable.split('#').next().unwrap_or_default()));
                    self.expr(collection);
                    self.push(" }");
                    self.parts(body);
                    self.push("%{ endfor }");
                }
            }
        }
    }
}
