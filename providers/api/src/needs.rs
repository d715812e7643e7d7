//! What attributes of a kind need of each other, so that its create is not refused when half of a plan is done.

use std::fmt;

use cloudtik_model::{Diagnostic, Value};

/// What attributes need of each other. What comes later counts as given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// One of these, and no other of them.
    ExactlyOne(&'static [&'static str]),
    /// One of these at least.
    OneOf(&'static [&'static str]),
    /// Not two of these.
    NotBoth(&'static str, &'static str),
    /// An attribute, where something else holds.
    With(When, &'static str),
    /// Not an attribute, where something else holds.
    Without(When, &'static str),
}

/// Where an attribute has one of some values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// The attribute.
    pub attribute: &'static str,
    /// The values.
    pub values: &'static [&'static str],
}

/// A need that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The attribute whose place in the spec is meant.
    pub attribute: &'static str,
    /// What is wrong, and what to type, without place and address.
    pub diagnostic: Diagnostic,
}

impl Need {
    /// Whether these attributes meet it.
    ///
    /// # Errors
    ///
    /// What is missing, or too much.
    pub fn check(self, attributes: &Value) -> Result<(), Unmet> {
        let is_given = |name: &str| attributes.get(name).is_some_and(is_something);
        let unmet = |attribute, title: String, help: String| {
            Err(Unmet { attribute, diagnostic: Diagnostic::error("unmet-need", title).help(help) })
        };
        match self {
            Self::ExactlyOne(names) | Self::OneOf(names) => {
                let mut given = names.iter().copied().filter(|name| is_given(name));
                match (given.next(), given.next()) {
                    (None, _) => {
                        let first = names.first().copied().unwrap_or_default();
                        unmet(first, format!("none of {} is given", listed(names, "and")), format!("write {}", listed(names, "or")))
                    }
                    (Some(one), Some(other)) if matches!(self, Self::ExactlyOne(_)) => two(one, other),
                    _ => Ok(()),
                }
            }
            Self::NotBoth(one, other) if is_given(one) && is_given(other) => two(one, other),
            Self::With(when, name) if !is_given(name) => match when.holds(attributes) {
                Some(value) => unmet(
                    when.attribute,
                    format!("`{} = \"{value}\"` needs `{name}`", when.attribute),
                    format!("write `{name} = …`, or another `{}`", when.attribute),
                ),
                None => Ok(()),
            },
            Self::Without(when, name) if is_given(name) => match when.holds(attributes) {
                Some(value) => unmet(
                    name,
                    format!("`{name}` does not go with `{} = \"{value}\"`", when.attribute),
                    format!("take `{name}` out, or write another `{}`", when.attribute),
                ),
                None => Ok(()),
            },
            Self::NotBoth(..) | Self::With(..) | Self::Without(..) => Ok(()),
        }
    }
}

fn two(one: &'static str, other: &'static str) -> Result<(), Unmet> {
    let title = format!("`{one}` and `{other}` do not go together");
    let help = "take one of them out, or write a block for each";
    Err(Unmet { attribute: other, diagnostic: Diagnostic::error("unmet-need", title).help(help) })
}

impl When {
    fn holds(self, attributes: &Value) -> Option<&'static str> {
        let value = attributes.get(self.attribute)?.as_str()?;
        self.values.iter().copied().find(|one| *one == value)
    }
}

/// Whether a value says something: an empty list does not.
fn is_something(value: &Value) -> bool {
    !value.is_null() && value.elements().is_none_or(|elements| elements.len() > 0)
}

fn listed(names: &[&str], word: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {word} {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// As the reference says it.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = |When { attribute, values }: &When| format!("`{attribute}` is {}", listed(values, "or"));
        match self {
            Self::ExactlyOne(names) => write!(f, "Exactly one of {} is given.", listed(names, "and")),
            Self::OneOf(names) => write!(f, "One of {} is given.", listed(names, "and")),
            Self::NotBoth(one, other) => write!(f, "`{one}` and `{other}` do not go together."),
            Self::With(of, name) => write!(f, "Where {}, `{name}` is given.", when(of)),
            Self::Without(of, name) => write!(f, "Where {}, `{name}` is not.", when(of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudtik_model::{Expr, Type};

    use super::*;

    const SECURE: When = When { attribute: "type", values: &["a", "b"] };

    fn says(need: Need, given: &[(&str, Value)]) -> Option<(&'static str, String)> {
        need.check(&Value::object(given.iter().cloned())).err().map(|unmet| (unmet.attribute, unmet.diagnostic.title))
    }

    #[test]
    fn needs_are_met_or_said() {
        let (yes, later) = (Value::from("x"), Value::deferred(Type::String, Expr::literal("x")));
        let one = Need::ExactlyOne(&["p", "q", "r"]);
        assert_eq!(says(one, &[]).unwrap(), ("p", "none of `p`, `q` and `r` is given".to_owned()));
        assert_eq!(says(one, &[("p", Value::NULL), ("q", later.clone())]), None);
        assert_eq!(says(one, &[("p", yes.clone()), ("r", later.clone())]).unwrap().0, "r");
        assert_eq!(says(Need::OneOf(&["p", "q"]), &[("p", yes.clone()), ("q", yes.clone())]), None);
        assert_eq!(says(Need::NotBoth("p", "q"), &[("p", yes.clone()), ("q", Value::list([]))]), None);
        assert!(says(Need::NotBoth("p", "q"), &[("p", yes.clone()), ("q", yes.clone())]).is_some());
        let with = Need::With(SECURE, "v");
        assert_eq!(says(with, &[("type", "a".into())]).unwrap(), ("type", "`type = \"a\"` needs `v`".to_owned()));
        assert_eq!(says(with, &[("type", "a".into()), ("v", later)]), None);
        assert_eq!(says(with, &[("type", "c".into())]), None);
        assert_eq!(says(Need::Without(SECURE, "v"), &[("type", "b".into()), ("v", yes)]).unwrap().0, "v");
    }

    #[test]
    fn needs_read_as_sentences() {
        let texts = [Need::ExactlyOne(&["p", "q"]), Need::With(SECURE, "v"), Need::NotBoth("p", "q")].map(|need| need.to_string());
        assert_eq!(
            texts,
            ["Exactly one of `p` and `q` is given.", "Where `type` is `a` or `b`, `v` is given.", "`p` and `q` do not go together."]
        );
    }
}
