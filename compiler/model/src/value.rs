//! Values of the language. Collections are shared, not copied; what is known of the inside is kept beside it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::{Address, Expr, ExprKind, LateName, Number, Type};

/// A value, with the mark that says it is sensitive. The mark takes no part in equality.
#[derive(Clone)]
pub struct Value {
    kind: ValueKind,
    sensitive: bool,
    inside: Inside,
}

/// What is known of a value without walking it.
#[derive(Clone, Copy, Default)]
struct Inside {
    depth: u8,
    deferred: bool,
    sensitive: bool,
}

/// What a value is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueKind {
    /// `true`, `false`
    Bool(bool),
    /// A decimal.
    Number(Number),
    /// Text.
    String(Arc<str>),
    /// Elements of one type in order.
    List(Arc<[Value]>),
    /// Different elements of one type, sorted.
    Set(Arc<BTreeSet<Value>>),
    /// Elements of any types in order.
    Tuple(Arc<[Value]>),
    /// Elements of one type by name.
    Map(Arc<BTreeMap<Arc<str>, Value>>),
    /// Elements of any types by name.
    Object(Arc<BTreeMap<Arc<str>, Value>>),
    /// `null`, and the type that it was converted to. It comes after what is there.
    Null(NullType),
    /// Not known yet: what is left to evaluate, and the type it will have.
    Deferred(Arc<Deferred>),
}

/// The type of a `null` that was converted, which shows where it is shown; as a value one `null` is like another.
#[derive(Clone, Debug, Default)]
pub enum NullType {
    /// It has none of its own.
    #[default]
    Any,
    /// `bool`
    Bool,
    /// `number`
    Number,
    /// `string`
    String,
    /// Any other.
    Other(Arc<Type>),
}

impl PartialEq for NullType {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for NullType {}

impl PartialOrd for NullType {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NullType {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl Hash for NullType {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A value that nobody knows yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deferred {
    /// The type it will have; [`Type::Any`] when that is not known either.
    pub ty: Type,
    /// A residual expression.
    pub expr: Expr,
}

/// The deepest nesting of collections a value may have: JSON readers stop at 128 levels, and one level of ours may be two of theirs.
/// Values that are deeper are refused where they are made ([`Value::is_too_deep`]).
pub const MAX_DEPTH: u8 = 50;

impl Value {
    /// `null`
    pub const NULL: Self = Self::leaf(ValueKind::Null(NullType::Any));

    /// `null` of a type.
    #[must_use]
    pub fn null_of(ty: &Type) -> Self {
        Self::leaf(ValueKind::Null(match ty {
            Type::Any => NullType::Any,
            Type::Bool => NullType::Bool,
            Type::Number => NullType::Number,
            Type::String => NullType::String,
            other => NullType::Other(Arc::new(other.clone())),
        }))
    }

    const fn leaf(kind: ValueKind) -> Self {
        Self { kind, sensitive: false, inside: Inside { depth: 0, deferred: false, sensitive: false } }
    }

    fn collection<'a>(items: impl Iterator<Item = &'a Self>) -> Inside {
        let mut inside = items.fold(Inside::default(), |inside, item| Inside {
            depth: inside.depth.max(item.inside.depth),
            deferred: inside.deferred || item.inside.deferred,
            sensitive: inside.sensitive || item.sensitive || item.inside.sensitive,
        });
        inside.depth = inside.depth.saturating_add(1);
        inside
    }

    /// Elements of one type in order. That they are of one type is the caller's care.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        let items: Arc<[Self]> = items.into_iter().collect();
        Self { inside: Self::collection(items.iter()), kind: ValueKind::List(items), sensitive: false }
    }

    /// Different elements of one type. That they are of one type is the caller's care.
    pub fn set(items: impl IntoIterator<Item = Self>) -> Self {
        let items: BTreeSet<Self> = items.into_iter().collect();
        Self { inside: Self::collection(items.iter()), kind: ValueKind::Set(Arc::new(items)), sensitive: false }
    }

    /// Elements of any types in order.
    pub fn tuple(items: impl IntoIterator<Item = Self>) -> Self {
        let items: Arc<[Self]> = items.into_iter().collect();
        Self { inside: Self::collection(items.iter()), kind: ValueKind::Tuple(items), sensitive: false }
    }

    /// Elements of one type by name. That they are of one type is the caller's care.
    pub fn map<N: Into<Arc<str>>>(items: impl IntoIterator<Item = (N, Self)>) -> Self {
        let items: BTreeMap<Arc<str>, Self> = items.into_iter().map(|(name, item)| (name.into(), item)).collect();
        Self { inside: Self::collection(items.values()), kind: ValueKind::Map(Arc::new(items)), sensitive: false }
    }

    /// Elements of any types by name.
    pub fn object<N: Into<Arc<str>>>(items: impl IntoIterator<Item = (N, Self)>) -> Self {
        let items: BTreeMap<Arc<str>, Self> = items.into_iter().map(|(name, item)| (name.into(), item)).collect();
        Self { inside: Self::collection(items.values()), kind: ValueKind::Object(Arc::new(items)), sensitive: false }
    }

    /// A value that a residual expression will give. One that is a literal already is that literal.
    pub fn deferred(ty: Type, expr: Expr) -> Self {
        if let ExprKind::Literal(value) = expr.kind {
            return value;
        }
        let inside = Inside { depth: 0, deferred: true, sensitive: false };
        Self { kind: ValueKind::Deferred(Arc::new(Deferred { ty, expr })), sensitive: false, inside }
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> &ValueKind {
        &self.kind
    }

    /// Whether the value itself carries the mark.
    #[must_use]
    pub const fn is_sensitive(&self) -> bool {
        self.sensitive
    }

    /// Whether the value or something inside it carries the mark.
    #[must_use]
    pub const fn has_sensitive(&self) -> bool {
        self.sensitive || self.inside.sensitive
    }

    /// Whether nothing in it is deferred.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        !self.inside.deferred
    }

    /// Whether the value itself is deferred; its parts may be when it is not.
    #[must_use]
    pub const fn is_deferred(&self) -> bool {
        matches!(self.kind, ValueKind::Deferred(_))
    }

    /// Whether it is nested deeper than [`MAX_DEPTH`].
    #[must_use]
    pub const fn is_too_deep(&self) -> bool {
        self.inside.depth > MAX_DEPTH
    }

    /// Whether it is `null`.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.kind, ValueKind::Null(_))
    }

    /// The same value with the mark, or with the mark it has already.
    #[must_use]
    pub const fn marked(mut self, sensitive: bool) -> Self {
        self.sensitive = self.sensitive || sensitive;
        self
    }

    /// The same value without the mark of its own; parts keep theirs.
    #[must_use]
    pub const fn unmarked(mut self) -> Self {
        self.sensitive = false;
        self
    }

    /// The same value with no mark anywhere.
    #[must_use]
    pub fn unmarked_deeply(&self) -> Self {
        if !self.has_sensitive() {
            return self.clone();
        }
        let named = |items: &BTreeMap<Arc<str>, Self>| items.iter().map(|(k, v)| (Arc::clone(k), v.unmarked_deeply())).collect::<Vec<_>>();
        match &self.kind {
            ValueKind::List(items) => Self::list(items.iter().map(Self::unmarked_deeply)),
            ValueKind::Set(items) => Self::set(items.iter().map(Self::unmarked_deeply)),
            ValueKind::Tuple(items) => Self::tuple(items.iter().map(Self::unmarked_deeply)),
            ValueKind::Map(items) => Self::map(named(items)),
            ValueKind::Object(items) => Self::object(named(items)),
            _ => self.clone().unmarked(),
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let ValueKind::String(text) = &self.kind { Some(text) } else { None }
    }

    /// The truth of a bool.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        if let ValueKind::Bool(truth) = &self.kind { Some(*truth) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn as_number(&self) -> Option<&Number> {
        if let ValueKind::Number(number) = &self.kind { Some(number) } else { None }
    }

    /// The elements of a list, set or tuple, in order.
    #[must_use]
    pub fn elements(&self) -> Option<Box<dyn ExactSizeIterator<Item = &Self> + '_>> {
        match &self.kind {
            ValueKind::List(items) | ValueKind::Tuple(items) => Some(Box::new(items.iter())),
            ValueKind::Set(items) => Some(Box::new(items.iter())),
            _ => None,
        }
    }

    /// The elements of a map or object, by name.
    #[must_use]
    pub fn entries(&self) -> Option<&BTreeMap<Arc<str>, Self>> {
        match &self.kind {
            ValueKind::Map(items) | ValueKind::Object(items) => Some(items),
            _ => None,
        }
    }

    /// The element of that name in a map or object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entries()?.get(name)
    }

    /// What is left to evaluate, of a value that is deferred itself.
    #[must_use]
    pub fn as_deferred(&self) -> Option<&Deferred> {
        if let ValueKind::Deferred(deferred) = &self.kind { Some(deferred) } else { None }
    }

    /// The expression that stands for this value: its own residue, or a literal.
    #[must_use]
    pub fn to_expr(&self) -> Expr {
        match &self.kind {
            ValueKind::Deferred(deferred) if !self.sensitive => deferred.expr.clone(),
            _ => Expr::new(ExprKind::Literal(self.clone()), crate::Span::NONE),
        }
    }

    /// The type of the value. `null` has every type unless it was converted to one; the type of an empty list says nothing of its elements.
    #[must_use]
    pub fn ty(&self) -> Type {
        let first = |item: Option<&Self>| Arc::new(item.map_or(Type::Any, Self::ty));
        match &self.kind {
            ValueKind::Null(NullType::Any) => Type::Any,
            ValueKind::Null(NullType::Bool) => Type::Bool,
            ValueKind::Null(NullType::Number) => Type::Number,
            ValueKind::Null(NullType::String) => Type::String,
            ValueKind::Null(NullType::Other(ty)) => (**ty).clone(),
            ValueKind::Bool(_) => Type::Bool,
            ValueKind::Number(_) => Type::Number,
            ValueKind::String(_) => Type::String,
            ValueKind::List(items) => Type::List(first(items.first())),
            ValueKind::Set(items) => Type::Set(first(items.first())),
            ValueKind::Tuple(items) => Type::Tuple(items.iter().map(Self::ty).collect()),
            ValueKind::Map(items) => Type::Map(first(items.values().next())),
            ValueKind::Object(items) => Type::object(items.iter().map(|(name, item)| (Arc::clone(name), item.ty()))),
            ValueKind::Deferred(deferred) => deferred.ty.clone(),
        }
    }

    /// A word for the sort of value, for messages.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            ValueKind::Null(_) => "null",
            ValueKind::Bool(_) => "a bool",
            ValueKind::Number(_) => "a number",
            ValueKind::String(_) => "a string",
            ValueKind::List(_) => "a list",
            ValueKind::Set(_) => "a set",
            ValueKind::Tuple(_) => "a tuple",
            ValueKind::Map(_) => "a map",
            ValueKind::Object(_) => "an object",
            ValueKind::Deferred(_) => "a value that is not known yet",
        }
    }

    /// Every address that something deferred in it refers to.
    pub fn addresses(&self, found: &mut BTreeSet<Address>) {
        self.for_each_deferred(&mut |deferred| deferred.expr.addresses(found));
    }

    /// Every late name that something deferred in it needs.
    pub fn late_names(&self, found: &mut BTreeSet<LateName>) {
        self.for_each_deferred(&mut |deferred| deferred.expr.late_names(found));
    }

    /// Calls `f` with everything deferred in it.
    pub fn for_each_deferred(&self, f: &mut dyn FnMut(&Deferred)) {
        if self.is_known() {
            return;
        }
        match &self.kind {
            ValueKind::Deferred(deferred) => f(deferred),
            ValueKind::Map(items) | ValueKind::Object(items) => items.values().for_each(|item| item.for_each_deferred(f)),
            _ => self.elements().into_iter().flatten().for_each(|item| item.for_each_deferred(f)),
        }
    }

    /// A copy in which everything deferred is what `f` makes of it. Marks stay; what is known is shared, not copied.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn try_map_deferred<E>(&self, f: &mut dyn FnMut(&Deferred) -> Result<Self, E>) -> Result<Self, E> {
        if self.is_known() {
            return Ok(self.clone());
        }
        let many = |items: &mut dyn Iterator<Item = &Self>, f: &mut dyn FnMut(&Deferred) -> Result<Self, E>| {
            items.map(|item| item.try_map_deferred(f)).collect::<Result<Vec<_>, E>>()
        };
        let named = |items: &BTreeMap<Arc<str>, Self>, f: &mut dyn FnMut(&Deferred) -> Result<Self, E>| {
            items.iter().map(|(name, item)| Ok((Arc::clone(name), item.try_map_deferred(f)?))).collect::<Result<Vec<_>, E>>()
        };
        let mapped = match &self.kind {
            ValueKind::Deferred(deferred) => f(deferred)?,
            ValueKind::List(items) => Self::list(many(&mut items.iter(), f)?),
            ValueKind::Tuple(items) => Self::tuple(many(&mut items.iter(), f)?),
            ValueKind::Set(items) => Self::set(many(&mut items.iter(), f)?),
            ValueKind::Map(items) => Self::map(named(items, f)?),
            ValueKind::Object(items) => Self::object(named(items, f)?),
            _ => self.clone(),
        };
        Ok(mapped.marked(self.sensitive))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.kind.cmp(&other.kind)
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

/// For logs and failed tests: a sensitive value never shows its content.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sensitive {
            return f.write_str("(sensitive)");
        }
        match &self.kind {
            ValueKind::Null(_) => f.write_str("null"),
            ValueKind::Bool(truth) => write!(f, "{truth}"),
            ValueKind::Number(number) => write!(f, "{number}"),
            ValueKind::String(text) => write!(f, "{text:?}"),
            ValueKind::List(items) => f.debug_list().entries(items.iter()).finish(),
            ValueKind::Set(items) => f.debug_set().entries(items.iter()).finish(),
            ValueKind::Tuple(items) => {
                f.write_str("tuple")?;
                f.debug_list().entries(items.iter()).finish()
            }
            ValueKind::Map(items) => {
                f.write_str("map")?;
                f.debug_map().entries(items.iter()).finish()
            }
            ValueKind::Object(items) => f.debug_map().entries(items.iter()).finish(),
            ValueKind::Deferred(deferred) => write!(f, "<{}: {:?}>", deferred.ty, deferred.expr),
        }
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::leaf(ValueKind::Bool(truth))
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self::leaf(ValueKind::Number(number))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Number::from(number).into()
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Number::from(number).into()
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Number::from(number).into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::leaf(ValueKind::String(text.into()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::leaf(ValueKind::String(text.into()))
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::leaf(ValueKind::String(text))
    }
}
