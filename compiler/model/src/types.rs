//! The types of values, written as in the `type` of a variable.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A type, or a constraint on one: `Any` stands for every type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Every type; the value keeps its own.
    Any,
    /// `bool`
    Bool,
    /// `number`
    Number,
    /// `string`
    String,
    /// `list(T)`
    List(Arc<Type>),
    /// `set(T)`
    Set(Arc<Type>),
    /// `map(T)`
    Map(Arc<Type>),
    /// `tuple([A, B])`
    Tuple(Arc<[Type]>),
    /// `object({ a = A, b = optional(B, default) })`
    Object(Arc<BTreeMap<Arc<str>, ObjectField>>),
}

/// An attribute of an object type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectField {
    /// Its type.
    pub ty: Type,
    /// Whether it may be left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// What it is then; null without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<crate::Value>,
}

impl Type {
    /// `list(of)`
    #[must_use]
    pub fn list(of: Self) -> Self {
        Self::List(Arc::new(of))
    }

    /// `set(of)`
    #[must_use]
    pub fn set(of: Self) -> Self {
        Self::Set(Arc::new(of))
    }

    /// `map(of)`
    #[must_use]
    pub fn map(of: Self) -> Self {
        Self::Map(Arc::new(of))
    }

    /// An object type whose fields are all required.
    pub fn object<N: Into<Arc<str>>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Object(Arc::new(
            fields.into_iter().map(|(name, ty)| (name.into(), ObjectField { ty, optional: false, default: None })).collect(),
        ))
    }

    /// Whether it is a bool, a number or a string.
    #[must_use]
    pub const fn is_primitive(&self) -> bool {
        matches!(self, Self::Bool | Self::Number | Self::String)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Bool => f.write_str("bool"),
            Self::Number => f.write_str("number"),
            Self::String => f.write_str("string"),
            Self::List(of) => write!(f, "list({of})"),
            Self::Set(of) => write!(f, "set({of})"),
            Self::Map(of) => write!(f, "map({of})"),
            Self::Tuple(of) => {
                f.write_str("tuple([")?;
                for (i, ty) in of.iter().enumerate() {
                    write!(f, "{}{ty}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("])")
            }
            Self::Object(fields) => {
                f.write_str("object({")?;
                for (i, (name, field)) in fields.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { " " };
                    if field.optional {
                        write!(f, "{comma}{name} = optional({})", field.ty)?
                    } else {
                        write!(f, "{comma}{name} = {}", field.ty)?
                    }
                }
                f.write_str(if fields.is_empty() { "})" } else { " })" })
            }
        }
    }
}
