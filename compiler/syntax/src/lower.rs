//! Expressions: from the text of one to the tree of the model, by way of the parser's tree.
//!
//! The parser sees the text with comments blanked out and each template replaced by a plain string of the same length, so its
//! offsets are ours; templates are built apart, and what stands in their sequences comes back here.

use std::borrow::Cow;
use std::sync::Arc;

use cloudtik_model::{
    BinaryOp, Diagnostic, Diagnostics, Expr, ExprKind, FileId, ForKind, MAX_FILE_BYTES, Number, NumberError, Span, UnaryOp, Value,
};
use hcl_edit::expr::{BinaryOperator, Expression, ForExpr, FuncCall, ObjectKey, Traversal, TraversalOperator, UnaryOperator};

use crate::decode::too_large;
use crate::relax::relaxed;
use crate::scan::{Mask, Scanner, Template};
use crate::token::{literal, slice};
use crate::{MAX_EXPRESSION_DEPTH, message, span};

/// Parses a text that is one expression; see [`crate::parse_expression`].
pub(crate) fn parse_expression(file: FileId, text: &str) -> Result<Expr, Diagnostics> {
    let mut scanner = sized(file, text)?;
    scanner.skip_trivia(true);
    let start = scanner.pos;
    let extent = scanner.expression(0);
    if extent.sound {
        scanner.skip_trivia(true);
        if scanner.pos < text.len() {
            let diagnostic = message::after_expression(&scanner);
            scanner.errors.push(diagnostic);
        }
    }
    finish(scanner, |lowering| lowering.whole(start, extent.end))
}

/// Parses a text that is a template; see [`crate::parse_template`].
pub(crate) fn parse_template(file: FileId, text: &str) -> Result<Expr, Diagnostics> {
    let mut scanner = sized(file, text)?;
    scanner.bare_template();
    finish(scanner, |lowering| {
        let template = lowering.masks.first().and_then(|mask| mask.template.as_ref())?;
        lowering.template(template, 0, lowering.text.len(), 0)
    })
}

fn sized(file: FileId, text: &str) -> Result<Scanner<'_>, Diagnostics> {
    if text.len() as u64 > MAX_FILE_BYTES { Err(too_large("the text", text.len()).into()) } else { Ok(Scanner::new(file, text)) }
}

fn finish<'t>(scanner: Scanner<'t>, lower: impl FnOnce(&mut Lowering<'_>) -> Option<Expr>) -> Result<Expr, Diagnostics> {
    if !scanner.errors.is_empty() {
        return Err(sorted(scanner.errors));
    }
    let mut lowering = Lowering::new(&scanner);
    match lower(&mut lowering) {
        Some(expr) if lowering.errors.is_empty() => Ok(expr),
        _ => Err(sorted(lowering.errors)),
    }
}

fn sorted(errors: Vec<Diagnostic>) -> Diagnostics {
    let mut diagnostics: Diagnostics = errors.into_iter().collect();
    diagnostics.sort();
    diagnostics
}

/// Makes trees of the expressions in a text that was scanned.
pub(crate) struct Lowering<'s> {
    pub(crate) file: FileId,
    pub(crate) text: &'s str,
    masks: &'s [Mask],
    pub(crate) errors: Vec<Diagnostic>,
}

/// What the parser reads: a part of the text, without templates and comments.
pub(crate) struct Masked<'s> {
    pub(crate) text: Cow<'s, str>,
    /// Where it begins in the file.
    pub(crate) start: usize,
}

impl<'s> Lowering<'s> {
    pub(crate) fn new(scanner: &'s Scanner<'_>) -> Self {
        Self { file: scanner.file, text: scanner.text, masks: &scanner.masks, errors: Vec::new() }
    }

    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        span(self.file, start, end)
    }

    /// The value of an attribute, which is in a block on one line or not.
    pub(crate) fn attribute_value(&mut self, start: usize, end: usize, one_line: bool) -> Option<Expr> {
        self.parse(start, end, 0, if one_line { message::Context::OneLineBlock } else { message::Context::Attribute })
    }

    fn whole(&mut self, start: usize, end: usize) -> Option<Expr> {
        self.parse(start, end, 0, message::Context::Alone)
    }

    /// The expression in a sequence of a template.
    pub(crate) fn in_sequence(&mut self, start: usize, end: usize, depth: usize) -> Option<Expr> {
        self.parse(start, end, depth, message::Context::Sequence)
    }

    fn parse(&mut self, start: usize, end: usize, depth: usize, context: message::Context) -> Option<Expr> {
        let masked = self.masked(start, end);
        let trimmed = masked.text.trim();
        let offset = masked.text.len() - masked.text.trim_start().len();
        if trimmed.is_empty() {
            self.errors.push(message::no_expression(self.span(start, end)));
            return None;
        }
        match hcl_edit::parser::parse_expr(trimmed) {
            Ok(parsed) => self.lower(&parsed, masked.start + offset, depth),
            Err(error) => {
                if let Some(relaxed) = relaxed(trimmed, matches!(context, message::Context::Sequence)) {
                    let inner = relaxed.trim();
                    if let Ok(parsed) = hcl_edit::parser::parse_expr(inner) {
                        let blanks = relaxed.len() - relaxed.trim_start().len();
                        return self.lower(&parsed, masked.start + offset + blanks, depth);
                    }
                }
                let masked = Masked { text: Cow::Borrowed(trimmed), start: masked.start + offset };
                let diagnostic = message::translate(self, &masked, &error, context);
                self.errors.push(diagnostic);
                None
            }
        }
    }

    fn masked(&self, start: usize, end: usize) -> Masked<'s> {
        let source = slice(self.text, start, end);
        let first = self.masks.partition_point(|mask| mask.start < start);
        let none = self.masks.get(first).is_none_or(|mask| mask.start >= end);
        if none && !source.contains('\r') {
            return Masked { text: Cow::Borrowed(source), start };
        }
        let mut text = String::with_capacity(source.len());
        let (mut at, mut next, mut number) = (start, first, 0);
        while let Some(mask) = self.masks.get(next).filter(|mask| mask.start < end) {
            push_code(&mut text, slice(self.text, at, mask.start));
            match mask.template {
                Some(_) => push_placeholder(&mut text, mask.end - mask.start, number),
                None => text.extend(std::iter::repeat_n(' ', mask.end - mask.start)),
            }
            number += 1;
            at = mask.end;
            next += self.masks.get(next..).unwrap_or_default().partition_point(|inner| inner.start < at);
        }
        push_code(&mut text, slice(self.text, at, end));
        Masked { text: Cow::Owned(text), start }
    }

    /// The template that was replaced at an offset.
    fn template_at(&self, start: usize) -> Option<(&'s Template, usize)> {
        let at = self.masks.binary_search_by(|mask| mask.start.cmp(&start)).ok()?;
        let mask = self.masks.get(at)?;
        Some((mask.template.as_ref()?, mask.end))
    }

    /// The end of the comment at an offset.
    pub(crate) fn comment_end(&self, start: usize) -> Option<usize> {
        let at = self.masks.binary_search_by(|mask| mask.start.cmp(&start)).ok()?;
        self.masks.get(at).filter(|mask| mask.template.is_none()).map(|mask| mask.end)
    }

    fn place(&self, node: &impl hcl_edit::Span, base: usize) -> (usize, usize) {
        node.span().map_or((base, base), |range| (base + range.start, base + range.end))
    }

    fn too_deep(&mut self, span: Span) {
        if self.errors.iter().any(|error| error.code == "nesting-too-deep") {
            return;
        }
        self.errors.push(
            Diagnostic::error("nesting-too-deep", format!("more than {MAX_EXPRESSION_DEPTH} operations on one another"))
                .at(span)
                .help("give a part of the expression a name in `locals` and refer to it"),
        );
    }

    /// Lowers a node of the parser, whose offsets count from `base`.
    fn lower(&mut self, node: &Expression, base: usize, depth: usize) -> Option<Expr> {
        let (start, end) = self.place(node, base);
        let span = self.span(start, end);
        if depth > MAX_EXPRESSION_DEPTH {
            self.too_deep(span);
            return None;
        }
        let kind = match node {
            Expression::Null(_) => ExprKind::Literal(Value::NULL),
            Expression::Bool(value) => ExprKind::Literal(Value::from(*value.value())),
            Expression::Number(_) => ExprKind::Literal(Value::from(self.number(start, end)?)),
            Expression::String(_) => return self.string(start, end, depth),
            Expression::Variable(name) => ExprKind::Variable(Arc::from(name.as_str())),
            Expression::Array(items) => ExprKind::Tuple(self.all(items.iter(), base, depth)?),
            Expression::Object(object) => ExprKind::Object(self.object(object, base, depth)?),
            Expression::Parenthesis(inner) => return self.lower(inner.inner(), base, depth + 1),
            Expression::Conditional(conditional) => {
                let condition = self.lower(&conditional.cond_expr, base, depth + 1);
                let yes = self.lower(&conditional.true_expr, base, depth + 1);
                let no = self.lower(&conditional.false_expr, base, depth + 1);
                ExprKind::Conditional { condition: Arc::new(condition?), yes: Arc::new(yes?), no: Arc::new(no?) }
            }
            Expression::UnaryOp(unary) => {
                let op = match unary.operator.value() {
                    UnaryOperator::Neg => UnaryOp::Negate,
                    UnaryOperator::Not => UnaryOp::Not,
                };
                ExprKind::Unary { op, of: Arc::new(self.lower(&unary.expr, base, depth + 1)?) }
            }
            Expression::BinaryOp(binary) => {
                let left = self.lower(&binary.lhs_expr, base, depth + 1);
                let right = self.lower(&binary.rhs_expr, base, depth + 1);
                ExprKind::Binary { op: binary_op(*binary.operator.value()), left: Arc::new(left?), right: Arc::new(right?) }
            }
            Expression::FuncCall(call) => {
                let (start, _) = self.place(&call.name.name, base);
                return Some(Expr::new(self.call(call, base, depth)?, self.span(start, end)));
            }
            Expression::Traversal(traversal) => return self.traversal(traversal, base, depth),
            Expression::ForExpr(expr) => self.for_expr(expr, base, depth)?,
            // Both are replaced before the parser sees them.
            Expression::StringTemplate(_) | Expression::HeredocTemplate(_) => return self.string(start, end, depth),
        };
        Some(Expr::new(kind, span))
    }

    /// Lowers all, so that every error is found.
    fn all<'e>(&mut self, nodes: impl Iterator<Item = &'e Expression>, base: usize, depth: usize) -> Option<Vec<Expr>> {
        let lowered: Vec<Option<Expr>> = nodes.map(|node| self.lower(node, base, depth + 1)).collect();
        lowered.into_iter().collect()
    }

    fn string(&mut self, start: usize, end: usize, depth: usize) -> Option<Expr> {
        match self.template_at(start) {
            Some((template, end)) => self.template(template, start, end, depth),
            None => {
                let inner = slice(self.text, start + 1, end.saturating_sub(1));
                Some(Expr::new(ExprKind::Literal(Value::from(literal(inner, true))), self.span(start, end)))
            }
        }
    }

    /// A number, from its digits: the parser's own would lose some of them.
    fn number(&mut self, start: usize, end: usize) -> Option<Number> {
        let source = slice(self.text, start, end);
        let negative = source.starts_with('-');
        let is_digit = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
        let digits = source.rfind(|c: char| !is_digit(c)).map_or(source, |at| slice(source, at + 1, source.len())).trim_start_matches('-');
        match digits.parse::<Number>() {
            Ok(number) => Some(if negative { number.negate() } else { number }),
            Err(error) => {
                let code = if error == NumberError::TooLong { "number-too-long" } else { "invalid-number" };
                self.errors.push(Diagnostic::error(code, error.to_string()).at(self.span(start, end)));
                None
            }
        }
    }

    fn object(&mut self, object: &hcl_edit::expr::Object, base: usize, depth: usize) -> Option<Vec<(Expr, Expr)>> {
        let mut sound = true;
        let mut items = Vec::with_capacity(object.len());
        for (key, value) in object.iter() {
            let key = self.object_key(key, base, depth + 1);
            let value = self.lower(value.expr(), base, depth + 1);
            match (key, value) {
                (Some(key), Some(value)) => items.push((key, value)),
                _ => sound = false,
            }
        }
        sound.then_some(items)
    }

    /// A name as a key is its text; only in parentheses it is a variable.
    fn object_key(&mut self, key: &ObjectKey, base: usize, depth: usize) -> Option<Expr> {
        let (start, end) = self.place(key, base);
        let span = self.span(start, end);
        match key {
            ObjectKey::Ident(name) => Some(Expr::new(ExprKind::Literal(Value::from(name.as_str())), span)),
            ObjectKey::Expression(Expression::Null(_) | Expression::Bool(_)) => {
                Some(Expr::new(ExprKind::Literal(Value::from(slice(self.text, start, end))), span))
            }
            ObjectKey::Expression(Expression::Traversal(_)) => {
                let given = slice(self.text, start, end);
                self.errors.push(
                    Diagnostic::error("ambiguous-key", "a key with a `.` or an index in it is neither a name nor an expression")
                        .at(span)
                        .help(format!("for the value of it write `({given})`, for the text write it in quotes")),
                );
                None
            }
            ObjectKey::Expression(expr) => self.lower(expr, base, depth),
        }
    }

    fn call(&mut self, call: &FuncCall, base: usize, depth: usize) -> Option<ExprKind> {
        // All functions that there are stand in `core` too.
        let is_elsewhere = call.name.is_namespaced() && !matches!(&*call.name.namespace, [only] if only.as_str() == "core");
        if is_elsewhere {
            let start = call.name.namespace.first().map_or(base, |part| self.place(part, base).0);
            let (_, end) = self.place(&call.name.name, base);
            self.errors.push(
                Diagnostic::error("namespaced-function", "functions of providers or modules are not supported")
                    .at(self.span(start, end))
                    .help("call a function by its name alone, without `::`"),
            );
        }
        let args = self.all(call.args.iter(), base, depth)?;
        let expand = call.args.expand_final();
        (!is_elsewhere).then(|| ExprKind::Call { name: Arc::from(call.name.name.as_str()), args, expand })
    }

    fn for_expr(&mut self, expr: &ForExpr, base: usize, depth: usize) -> Option<ExprKind> {
        let collection = self.lower(&expr.intro.collection_expr, base, depth + 1);
        let key = expr.key_expr.as_ref().map(|key| self.lower(key, base, depth + 1));
        let value = self.lower(&expr.value_expr, base, depth + 1);
        let condition = expr.cond.as_ref().map(|condition| self.lower(&condition.expr, base, depth + 1));
        let optional = |lowered: Option<Option<Expr>>| lowered.map_or(Some(None), |expr| expr.map(Some));
        Some(ExprKind::For(Box::new(ForKind {
            key_variable: expr.intro.key_var.as_ref().map(|name| Arc::from(name.as_str())),
            value_variable: Arc::from(expr.intro.value_var.as_str()),
            collection: collection?,
            key: optional(key)?,
            value: value?,
            grouping: expr.grouping,
            condition: optional(condition)?,
        })))
    }

    fn traversal(&mut self, traversal: &Traversal, base: usize, depth: usize) -> Option<Expr> {
        let operators = traversal.operators.len();
        if depth + operators > MAX_EXPRESSION_DEPTH {
            let (start, end) = self.place(&traversal.expr, base);
            self.too_deep(self.span(start, end));
            return None;
        }
        // A sign stands before all that is taken of a number.
        if let Expression::Number(_) = &traversal.expr {
            let (start, end) = self.place(&traversal.expr, base);
            if slice(self.text, start, end).starts_with('-') {
                let number = Expr::new(ExprKind::Literal(self.number(start, end)?.negate().into()), self.span(start + 1, end));
                let of = self.walk_all(traversal, number, base, depth + operators)?;
                let span = Span { start: self.span(start, end).start, ..of.span };
                return Some(Expr::new(ExprKind::Unary { op: UnaryOp::Negate, of: Arc::new(of) }, span));
            }
        }
        let of = self.lower(&traversal.expr, base, depth + operators)?;
        self.walk_all(traversal, of, base, depth + operators)
    }

    fn walk_all(&mut self, traversal: &Traversal, of: Expr, base: usize, depth: usize) -> Option<Expr> {
        let steps: Vec<Option<Step>> = traversal
            .operators
            .iter()
            .map(|operator| {
                let (start, end) = self.place(operator, base);
                Some(Step { kind: self.step(operator.value(), base, depth)?, start, end })
            })
            .collect();
        let steps: Vec<Step> = steps.into_iter().collect::<Option<_>>()?;
        self.walk(of, &steps)
    }

    fn step(&mut self, operator: &TraversalOperator, base: usize, depth: usize) -> Option<StepKind> {
        Some(match operator {
            TraversalOperator::AttrSplat(_) => StepKind::AttributeSplat,
            TraversalOperator::FullSplat(_) => StepKind::FullSplat,
            TraversalOperator::GetAttr(name) => StepKind::Attribute(Arc::from(name.as_str())),
            TraversalOperator::Index(key) => StepKind::Index(self.lower(key, base, depth)?),
            TraversalOperator::LegacyIndex(index) => {
                let (start, end) = self.place(index, base);
                let number = Value::from(*index.value());
                StepKind::LegacyIndex(Expr::new(ExprKind::Literal(number), self.span(start, end)))
            }
        })
    }

    /// Takes the steps one after the other. `[*]` covers all that follow it, `.*` the attributes and old-style indexes.
    fn walk(&mut self, of: Expr, steps: &[Step]) -> Option<Expr> {
        let mut expr = of;
        let mut rest = steps;
        while let Some((step, after)) = rest.split_first() {
            rest = after;
            let whole = Span { end: self.span(step.start, step.end).end, ..expr.span };
            let kind = match &step.kind {
                StepKind::Attribute(name) => ExprKind::Attribute { of: Arc::new(expr), name: Arc::clone(name) },
                StepKind::Index(key) | StepKind::LegacyIndex(key) => ExprKind::Index { of: Arc::new(expr), key: Arc::new(key.clone()) },
                StepKind::AttributeSplat | StepKind::FullSplat => {
                    let covered = match step.kind {
                        StepKind::FullSplat => rest.len(),
                        _ => rest.iter().take_while(|next| matches!(next.kind, StepKind::Attribute(_) | StepKind::LegacyIndex(_))).count(),
                    };
                    let (inner, after) = rest.split_at_checked(covered).unwrap_or((rest, &[]));
                    if let (StepKind::AttributeSplat, Some(Step { kind: StepKind::AttributeSplat, start, end })) =
                        (&step.kind, after.first())
                    {
                        self.nested_splat(*start, *end);
                        return None;
                    }
                    let element = ExprKind::Variable(Arc::from(ExprKind::SPLAT_VARIABLE));
                    let each = self.walk(Expr::new(element, self.span(step.start, step.end)), inner)?;
                    rest = after;
                    let span = expr.span.to(each.span);
                    expr = Expr::new(ExprKind::Splat { of: Arc::new(expr), each: Arc::new(each) }, span);
                    continue;
                }
            };
            expr = Expr::new(kind, whole);
        }
        Some(expr)
    }

    fn nested_splat(&mut self, start: usize, end: usize) {
        self.errors.push(
            Diagnostic::error("nested-splat", "`.*` cannot stand inside what another `.*` covers")
                .at(self.span(start, end))
                .help("use `[*]`, or a `for` expression"),
        );
    }
}

struct Step {
    kind: StepKind,
    start: usize,
    end: usize,
}

enum StepKind {
    Attribute(Arc<str>),
    Index(Expr),
    LegacyIndex(Expr),
    AttributeSplat,
    FullSplat,
}

/// Code as the parser is to see it: a carriage return is a blank like any other.
fn push_code(text: &mut String, code: &str) {
    if code.contains('\r') { text.extend(code.chars().map(|c| if c == '\r' { ' ' } else { c })) } else { text.push_str(code) }
}

/// A string of `length` bytes. The parser refuses equal keys of one object, so each begins with its own number.
fn push_placeholder(text: &mut String, length: usize, mut number: usize) {
    text.push('"');
    for _ in 2..length {
        text.push(char::from_digit(u32::try_from(number % 36).unwrap_or(0), 36).unwrap_or('0'));
        number /= 36;
    }
    if length > 1 {
        text.push('"');
    }
}

fn binary_op(operator: BinaryOperator) -> BinaryOp {
    match operator {
        BinaryOperator::Plus => BinaryOp::Add,
        BinaryOperator::Minus => BinaryOp::Subtract,
        BinaryOperator::Mul => BinaryOp::Multiply,
        BinaryOperator::Div => BinaryOp::Divide,
        BinaryOperator::Mod => BinaryOp::Remainder,
        BinaryOperator::Eq => BinaryOp::Equal,
        BinaryOperator::NotEq => BinaryOp::NotEqual,
        BinaryOperator::Less => BinaryOp::Less,
        BinaryOperator::LessEq => BinaryOp::LessEqual,
        BinaryOperator::Greater => BinaryOp::Greater,
        BinaryOperator::GreaterEq => BinaryOp::GreaterEqual,
        BinaryOperator::And => BinaryOp::And,
        BinaryOperator::Or => BinaryOp::Or,
    }
}
