//! What is known of a value before it is there: enough to say whether a name can be found below it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use cloudtik_model::{Type, Value, ValueKind};

/// The shape of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// Nothing is known; every name may be there.
    Any,
    /// Null; below it nothing is read, since a condition stands before.
    Null,
    /// A bool, a number, a text: nothing is below.
    Leaf,
    /// So many elements, where that is known, of these shapes.
    List(Option<usize>, BTreeSet<Shape>),
    /// Exactly these names.
    Fields(Arc<BTreeMap<Arc<str>, Shape>>),
    /// Any name, each of this shape.
    Map(Arc<Shape>),
}

impl Shape {
    pub(super) fn of(value: &Value) -> Self {
        match value.kind() {
            ValueKind::Null(_) => Self::Null,
            ValueKind::Bool(_) | ValueKind::Number(_) | ValueKind::String(_) => Self::Leaf,
            ValueKind::Deferred(deferred) => Self::of_type(&deferred.ty),
            ValueKind::Map(items) | ValueKind::Object(items) => {
                Self::Fields(Arc::new(items.iter().map(|(name, item)| (Arc::clone(name), Self::of(item))).collect()))
            }
            ValueKind::List(items) | ValueKind::Tuple(items) => Self::List(Some(items.len()), items.iter().map(Self::of).collect()),
            ValueKind::Set(items) => Self::List(Some(items.len()), items.iter().map(Self::of).collect()),
        }
    }

    fn of_type(ty: &Type) -> Self {
        match ty {
            Type::Any => Self::Any,
            Type::Bool | Type::Number | Type::String => Self::Leaf,
            Type::List(of) | Type::Set(of) => Self::List(None, [Self::of_type(of)].into()),
            Type::Map(of) => Self::Map(Arc::new(Self::of_type(of))),
            Type::Tuple(types) => Self::List(Some(types.len()), types.iter().map(Self::of_type).collect()),
            Type::Object(fields) => {
                Self::Fields(Arc::new(fields.iter().map(|(name, field)| (Arc::clone(name), Self::of_type(&field.ty))).collect()))
            }
        }
    }

    /// What stands below a name.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        match self {
            Self::Any | Self::Null => Some(Self::Any),
            Self::Leaf => None,
            Self::Fields(fields) => fields.get(name).cloned(),
            Self::Map(of) => Some((**of).clone()),
            Self::List(len, of) => {
                let index: usize = name.parse().ok()?;
                len.is_none_or(|len| index < len).then(|| one(of))
            }
        }
    }

    /// The shapes that the elements of a loop over it have. `None`: nothing to loop over.
    pub(super) fn elements(&self) -> Option<Vec<Self>> {
        let all = |shapes: BTreeSet<Self>| if shapes.is_empty() { vec![Self::Any] } else { shapes.into_iter().collect() };
        match self {
            Self::Any | Self::Null => Some(vec![Self::Any]),
            Self::Leaf => None,
            Self::List(_, of) => Some(all(of.clone())),
            Self::Map(of) => Some(vec![(**of).clone()]),
            Self::Fields(fields) => Some(all(fields.values().cloned().collect())),
        }
    }

    /// Whether a loop over it has keys; `None`: not known.
    pub(super) const fn is_keyed(&self) -> Option<bool> {
        match self {
            Self::Any | Self::Null => None,
            Self::Fields(_) | Self::Map(_) => Some(true),
            Self::Leaf | Self::List(..) => Some(false),
        }
    }

    /// Whether it certainly has no text of its own.
    pub(super) const fn is_collection(&self) -> bool {
        matches!(self, Self::List(..) | Self::Fields(_) | Self::Map(_))
    }

    /// The names below it, for "did you mean".
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        if let Self::Fields(fields) = self { fields.keys().cloned().collect() } else { Vec::new() }
    }
}

/// The shape that all of them have, if it is one.
fn one(shapes: &BTreeSet<Shape>) -> Shape {
    let mut shapes = shapes.iter();
    match (shapes.next(), shapes.next()) {
        (Some(only), None) => only.clone(),
        _ => Shape::Any,
    }
}
