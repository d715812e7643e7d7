//! Expressions: the one tree that the parser makes, the evaluator walks, and plans and steps carry as residue.
//!
//! As parsed, names are [`ExprKind::Variable`]. A *residual* expression is what evaluation leaves of one that needs values nobody
//! knows yet: its leaves are literals, references to addresses and late names only. Spans stand apart: they are not written to disk
//! and do not take part in equality.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Address, Span, Type, Value};

/// An expression and its place.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "ExprKind", into = "ExprKind")]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands; [`Span::NONE`] once read back from disk.
    pub span: Span,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExprKind {
    /// A value.
    Literal(Value),
    /// A name of the scope: `var`, `each`, the variable of a `for`. Never residual but for the variables of an enclosing `for`.
    Variable(Arc<str>),
    /// The attributes of the object at an address. Residual only.
    Reference(Address),
    /// What only a node can fill. Residual only.
    Late(LateName),
    /// The answer to a question that no provider was asked yet, by its key: a plan without a network. Residual only.
    Fact(Arc<str>),
    /// `"…${…}…"`: the parts as one string.
    Template(Vec<TemplatePart>),
    /// `of.name`
    Attribute {
        /// The object.
        of: Arc<Expr>,
        /// The attribute.
        name: Arc<str>,
    },
    /// `of[key]`
    Index {
        /// The collection.
        of: Arc<Expr>,
        /// The key.
        key: Arc<Expr>,
    },
    /// `of[*]…` and `of.*…`: `each` is evaluated with the variable [`ExprKind::SPLAT_VARIABLE`] as the element.
    Splat {
        /// The collection.
        of: Arc<Expr>,
        /// What is taken of each element.
        each: Arc<Expr>,
    },
    /// `!a`, `-a`
    Unary {
        /// The operator.
        op: UnaryOp,
        /// The operand.
        of: Arc<Expr>,
    },
    /// `a + b` and the like; `&&` and `||` do not evaluate the right side when the left decides.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left operand.
        left: Arc<Expr>,
        /// Right operand.
        right: Arc<Expr>,
    },
    /// `condition ? yes : no`; the branch not taken is not evaluated.
    Conditional {
        /// The condition.
        condition: Arc<Expr>,
        /// When true.
        yes: Arc<Expr>,
        /// When false.
        no: Arc<Expr>,
    },
    /// `[a, b]`
    Tuple(Vec<Expr>),
    /// `{ a = b }`; keys in the order written.
    Object(Vec<(Expr, Expr)>),
    /// `[for v in c : e]`, `{for k, v in c : k => e}`
    For(Box<ForKind>),
    /// `name(args…)`
    Call {
        /// The function.
        name: Arc<str>,
        /// The arguments.
        args: Vec<Expr>,
        /// Whether the last one stands for its elements: `f(list...)`.
        expand: bool,
    },
    /// A conversion that waits for its operand. Residual only.
    Convert {
        /// The type.
        to: Type,
        /// The operand.
        of: Arc<Expr>,
    },
}

impl ExprKind {
    /// The variable that stands for the element inside a splat; no identifier of the language can be equal to it.
    pub const SPLAT_VARIABLE: &'static str = "*";
}

/// A `for` expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ForKind {
    /// The variable of the key or index, if there is one.
    pub key_variable: Option<Arc<str>>,
    /// The variable of the element.
    pub value_variable: Arc<str>,
    /// The collection.
    pub collection: Expr,
    /// The key of the result: with one it makes an object, without one a tuple.
    pub key: Option<Expr>,
    /// The element of the result.
    pub value: Expr,
    /// Whether elements of equal keys are gathered in a tuple (`...`).
    pub grouping: bool,
    /// `if`
    pub condition: Option<Expr>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplatePart {
    /// Text as it is.
    Text(Arc<str>),
    /// `${…}`
    Value(Expr),
    /// `%{ if … }…%{ else }…%{ endif }`
    If {
        /// The condition.
        condition: Expr,
        /// When true.
        yes: Vec<TemplatePart>,
        /// When false.
        no: Vec<TemplatePart>,
    },
    /// `%{ for … in … }…%{ endfor }`
    For {
        /// The variable of the key or index, if there is one.
        key_variable: Option<Arc<str>>,
        /// The variable of the element.
        value_variable: Arc<str>,
        /// The collection.
        collection: Expr,
        /// What is repeated.
        body: Vec<TemplatePart>,
    },
}

/// An operator before its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnaryOp {
    /// `!`
    Not,
    /// `-`
    Negate,
}

/// An operator between its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the operators")]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
}

impl BinaryOp {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::And => "&&",
            Self::Or => "||",
        }
    }
}

/// A name that only a node can fill. The list is closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LateName {
    /// `node.<part>`: see [`LateName::NODE_PARTS`].
    Node(Arc<str>),
    /// `group.members`: objects of `id`, `sequence`, `address` and `names`, by sequence.
    GroupMembers,
    /// `group.bootstrap`: whether the node is one of the first members of its group, which find together without anybody to join.
    GroupBootstrap,
    /// `service.<name>.endpoints`
    ServiceEndpoints(Arc<str>),
    /// `secret.<name>`
    Secret(Arc<str>),
}

impl LateName {
    /// What `node` has.
    pub const NODE_PARTS: [&'static str; 8] = ["address", "cores", "dirs", "id", "memory", "names", "sequence", "zone"];

    /// The type of its value. `memory` is in MiB.
    #[must_use]
    pub fn ty(&self) -> Type {
        match self {
            Self::Node(part) => match &**part {
                "cores" | "memory" | "sequence" => Type::Number,
                "dirs" => Type::map(Type::String),
                "names" => Type::list(Type::String),
                _ => Type::String,
            },
            Self::GroupMembers => Type::list(Type::object([
                ("id", Type::String),
                ("sequence", Type::Number),
                ("address", Type::String),
                ("names", Type::list(Type::String)),
            ])),
            Self::GroupBootstrap => Type::Bool,
            Self::ServiceEndpoints(_) => Type::list(Type::String),
            Self::Secret(_) => Type::String,
        }
    }
}

impl fmt::Display for LateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(part) => write!(f, "node.{part}"),
            Self::GroupMembers => f.write_str("group.members"),
            Self::GroupBootstrap => f.write_str("group.bootstrap"),
            Self::ServiceEndpoints(name) => write!(f, "service.{name}.endpoints"),
            Self::Secret(name) => write!(f, "secret.{name}"),
        }
    }
}

impl Expr {
    /// An expression at a place.
    #[must_use]
    pub const fn new(kind: ExprKind, span: Span) -> Self {
        Self { kind, span }
    }

    /// A literal that no source wrote.
    pub fn literal(value: impl Into<Value>) -> Self {
        Self::new(ExprKind::Literal(value.into()), Span::NONE)
    }

    /// `self.name`, at the same place.
    #[must_use]
    pub fn attribute(self, name: impl Into<Arc<str>>) -> Self {
        let span = self.span;
        Self::new(ExprKind::Attribute { of: Arc::new(self), name: name.into() }, span)
    }

    /// Calls `f` with every expression directly below this one.
    pub fn for_each_child<'a>(&'a self, f: &mut dyn FnMut(&'a Expr)) {
        match &self.kind {
            ExprKind::Literal(_) | ExprKind::Variable(_) | ExprKind::Reference(_) | ExprKind::Late(_) | ExprKind::Fact(_) => {}
            ExprKind::Template(parts) => template_children(parts, f),
            ExprKind::Attribute { of, .. } | ExprKind::Unary { of, .. } | ExprKind::Convert { of, .. } => f(of),
            ExprKind::Index { of, key } => [of, key].into_iter().for_each(|e| f(e)),
            ExprKind::Splat { of, each } => [of, each].into_iter().for_each(|e| f(e)),
            ExprKind::Binary { left, right, .. } => [left, right].into_iter().for_each(|e| f(e)),
            ExprKind::Conditional { condition, yes, no } => [condition, yes, no].into_iter().for_each(|e| f(e)),
            ExprKind::Tuple(items) | ExprKind::Call { args: items, .. } => items.iter().for_each(f),
            ExprKind::Object(items) => items.iter().for_each(|(k, v)| {
                f(k);
                f(v);
            }),
            ExprKind::For(kind) => {
                f(&kind.collection);
                kind.key.iter().for_each(&mut *f);
                f(&kind.value);
                kind.condition.iter().for_each(f);
            }
        }
    }

    /// The expression with what `f` makes of each expression directly below it. `f` is told which variables of a loop have a meaning there
    /// that they have not around this expression.
    #[must_use]
    pub fn map_children(&self, f: &mut dyn FnMut(&Self, &[Arc<str>]) -> Self) -> Self {
        let mut each = |of: &Self| f(of, &[]);
        let kind = match &self.kind {
            ExprKind::Literal(_) | ExprKind::Variable(_) | ExprKind::Reference(_) | ExprKind::Late(_) | ExprKind::Fact(_) => {
                self.kind.clone()
            }
            ExprKind::Template(parts) => ExprKind::Template(map_parts(parts, &[], f)),
            ExprKind::Attribute { of, name } => ExprKind::Attribute { of: each(of).into(), name: Arc::clone(name) },
            ExprKind::Index { of, key } => ExprKind::Index { of: each(of).into(), key: each(key).into() },
            ExprKind::Splat { of, each: item } => ExprKind::Splat { of: each(of).into(), each: each(item).into() },
            ExprKind::Unary { op, of } => ExprKind::Unary { op: *op, of: each(of).into() },
            ExprKind::Binary { op, left, right } => ExprKind::Binary { op: *op, left: each(left).into(), right: each(right).into() },
            ExprKind::Conditional { condition, yes, no } => {
                ExprKind::Conditional { condition: each(condition).into(), yes: each(yes).into(), no: each(no).into() }
            }
            ExprKind::Tuple(items) => ExprKind::Tuple(items.iter().map(each).collect()),
            ExprKind::Object(items) => ExprKind::Object(items.iter().map(|(key, value)| (each(key), each(value))).collect()),
            ExprKind::Call { name, args, expand } => {
                ExprKind::Call { name: Arc::clone(name), args: args.iter().map(each).collect(), expand: *expand }
            }
            ExprKind::Convert { to, of } => ExprKind::Convert { to: to.clone(), of: each(of).into() },
            ExprKind::For(of) => {
                let bound: Vec<Arc<str>> = of.key_variable.iter().chain([&of.value_variable]).cloned().collect();
                ExprKind::For(Box::new(ForKind {
                    collection: each(&of.collection),
                    key: of.key.as_ref().map(|key| f(key, &bound)),
                    value: f(&of.value, &bound),
                    condition: of.condition.as_ref().map(|condition| f(condition, &bound)),
                    ..(**of).clone()
                }))
            }
        };
        Self::new(kind, self.span)
    }

    /// Every address that a residual expression refers to.
    pub fn addresses(&self, found: &mut std::collections::BTreeSet<Address>) {
        match &self.kind {
            ExprKind::Reference(address) => {
                found.insert(address.clone());
            }
            ExprKind::Literal(value) => value.addresses(found),
            _ => self.for_each_child(&mut |child| child.addresses(found)),
        }
    }

    /// Every late name in a residual expression.
    pub fn late_names(&self, found: &mut std::collections::BTreeSet<LateName>) {
        match &self.kind {
            ExprKind::Late(name) => {
                found.insert(name.clone());
            }
            ExprKind::Literal(value) => value.late_names(found),
            _ => self.for_each_child(&mut |child| child.late_names(found)),
        }
    }
}

fn template_children<'a>(parts: &'a [TemplatePart], f: &mut dyn FnMut(&'a Expr)) {
    for part in parts {
        match part {
            TemplatePart::Text(_) => {}
            TemplatePart::Value(expr) => f(expr),
            TemplatePart::If { condition, yes, no } => {
                f(condition);
                template_children(yes, f);
                template_children(no, f);
            }
            TemplatePart::For { collection, body, .. } => {
                f(collection);
                template_children(body, f);
            }
        }
    }
}

fn map_parts(parts: &[TemplatePart], bound: &[Arc<str>], f: &mut dyn FnMut(&Expr, &[Arc<str>]) -> Expr) -> Vec<TemplatePart> {
    let part = |part: &TemplatePart| match part {
        TemplatePart::Text(_) => part.clone(),
        TemplatePart::Value(expr) => TemplatePart::Value(f(expr, bound)),
        TemplatePart::If { condition, yes, no } => {
            TemplatePart::If { condition: f(condition, bound), yes: map_parts(yes, bound, f), no: map_parts(no, bound, f) }
        }
        TemplatePart::For { key_variable, value_variable, collection, body } => {
            let inner: Vec<Arc<str>> = bound.iter().chain(key_variable).chain([value_variable]).cloned().collect();
            TemplatePart::For {
                key_variable: key_variable.clone(),
                value_variable: Arc::clone(value_variable),
                collection: f(collection, bound),
                body: map_parts(body, &inner, f),
            }
        }
    };
    parts.iter().map(part).collect()
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Expr {}

impl PartialOrd for Expr {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Expr {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.kind.cmp(&other.kind)
    }
}

impl std::hash::Hash for Expr {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl From<ExprKind> for Expr {
    fn from(kind: ExprKind) -> Self {
        Self { kind, span: Span::NONE }
    }
}

impl From<Expr> for ExprKind {
    fn from(expr: Expr) -> Self {
        expr.kind
    }
}
