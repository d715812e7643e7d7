//! Values and expressions as a template has them.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::{Address, Expr, ExprKind, ResourceSpec, TemplatePart, Type, Value, ValueKind};
use serde_json::{Map, Value as Json};

use super::facts::{Parameter, Questions};
use super::kinds;
use super::names::{logical, word};
use super::text::{self, Piece, Written};
use crate::text::Places;

/// What a template cannot say, in words.
pub(super) struct Wrong {
    pub(super) title: String,
    pub(super) help: String,
}

impl Wrong {
    pub(super) fn new(title: impl Into<String>, help: &str) -> Self {
        Self { title: title.into(), help: help.to_owned() }
    }
}

/// Writes the values of a workspace's parts, and gathers the parameters that they need.
pub(super) struct Writer<'a> {
    pub(super) parts: &'a BTreeMap<Address, &'a ResourceSpec>,
    pub(super) questions: &'a Questions,
    pub(super) parameters: BTreeMap<String, Parameter>,
}

impl Writer<'_> {
    /// A value, for a property called `name`: what is not part of the workspace and not known becomes a parameter of that name.
    pub(super) fn value(&mut self, name: &str, value: &Value) -> Result<Json, Wrong> {
        if value.is_sensitive() {
            let written = self.given(name, value, true);
            return Ok(self.json(written));
        }
        Ok(match value.kind() {
            ValueKind::Null(_) => Json::Null,
            ValueKind::Bool(truth) => Json::Bool(*truth),
            ValueKind::Number(number) => serde_json::from_str(&number.to_string())
                .map_err(|_| Wrong::new(format!("{number} is no number of JSON"), "write another"))?,
            ValueKind::String(text) => Json::String(text.to_string()),
            ValueKind::Map(entries) | ValueKind::Object(entries) => {
                let mut all = Map::new();
                for (key, entry) in entries.iter().filter(|(_, entry)| !entry.is_null()) {
                    all.insert(key.to_string(), self.value(&format!("{name}{}", word(key)), entry)?);
                }
                Json::Object(all)
            }
            ValueKind::List(_) | ValueKind::Set(_) | ValueKind::Tuple(_) => {
                let items = value.elements().into_iter().flatten().enumerate();
                Json::Array(items.map(|(index, item)| self.value(&format!("{name}{index}"), item)).collect::<Result<_, _>>()?)
            }
            ValueKind::Deferred(deferred) => {
                let written = self.expression(name, &deferred.expr)?;
                self.json(written)
            }
        })
    }

    /// A text, as the template has it.
    pub(super) fn json(&mut self, written: Written) -> Json {
        self.parameters.extend(written.parameters.into_iter().map(|parameter| (parameter.name.clone(), parameter)));
        text::json(&written.pieces)
    }

    /// A JSON text as the object that it is.
    pub(super) fn document(&mut self, name: &str, value: &Value) -> Result<Json, Wrong> {
        let mut places = Places::default();
        let text = match value.as_deferred().map(|deferred| &deferred.expr.kind) {
            Some(ExprKind::Template(parts)) => {
                parts.iter().map(|part| part_text(part, &mut places)).collect::<Option<String>>().ok_or_else(|| unsaid(name))?
            }
            _ => places.text(value),
        };
        let json = serde_json::from_str(&text).map_err(|error| Wrong::new(format!("it is no JSON: {error}"), "write a JSON document"))?;
        self.filled(name, json, &places)
    }

    fn filled(&mut self, name: &str, json: Json, places: &Places) -> Result<Json, Wrong> {
        Ok(match json {
            Json::String(text) => self.value(name, &places.fill(&text))?,
            Json::Array(items) => Json::Array(items.into_iter().map(|item| self.filled(name, item, places)).collect::<Result<_, _>>()?),
            Json::Object(entries) => {
                let filled = entries.into_iter().map(|(key, entry)| Ok((key, self.filled(name, entry, places)?)));
                Json::Object(filled.collect::<Result<_, Wrong>>()?)
            }
            other => other,
        })
    }

    fn expression(&mut self, name: &str, expr: &Expr) -> Result<Written, Wrong> {
        if let Some(written) = self.questions.written(expr) {
            return Ok(written);
        }
        let mut needs = BTreeSet::new();
        expr.addresses(&mut needs);
        if !needs.is_empty() && !needs.iter().any(|address| self.parts.contains_key(address)) && !has_fact(expr) {
            return Ok(self.given(name, &Value::deferred(Type::String, expr.clone()), false));
        }
        match &expr.kind {
            ExprKind::Literal(value) if value.as_str().is_some() => {
                Ok(Written::piece(Piece::Text(value.as_str().unwrap_or_default().to_owned())))
            }
            ExprKind::Literal(value) if value.is_sensitive() => Ok(self.given(name, value, true)),
            ExprKind::Convert { of, .. } => self.expression(name, of),
            ExprKind::Attribute { of, name: attribute } => match &of.kind {
                ExprKind::Reference(address) => self.reference(address, attribute),
                _ => Err(unsaid(name)),
            },
            ExprKind::Template(parts) => {
                let mut all = Written::default();
                for (index, part) in parts.iter().enumerate() {
                    match part {
                        TemplatePart::Text(text) => all.pieces.push(Piece::Text(text.to_string())),
                        TemplatePart::Value(expr) => all.extend(self.expression(&format!("{name}{index}"), expr)?),
                        TemplatePart::If { .. } | TemplatePart::For { .. } => return Err(unsaid(name)),
                    }
                }
                Ok(all)
            }
            ExprKind::Call { name: function, args, .. } if &**function == "jsonencode" => match args.as_slice() {
                [Expr { kind: ExprKind::Literal(value), .. }] => self.encoded(name, value),
                _ => Err(unsaid(name)),
            },
            _ => Err(unsaid(name)),
        }
    }

    /// A text that is given to the stack: one parameter, wherever it occurs.
    fn given(&self, name: &str, value: &Value, secret: bool) -> Written {
        let new = Parameter::text(name, value.clone(), secret);
        let same = self.parameters.values().find(|known| known.value == new.value && known.definition == new.definition);
        Written::parameter(same.cloned().unwrap_or(new))
    }

    /// The JSON text of a value, as `jsonencode` writes it.
    fn encoded(&mut self, name: &str, value: &Value) -> Result<Written, Wrong> {
        let mut places = Places::default();
        let json = plain(value, &mut places).ok_or_else(|| unsaid(name))?;
        let escaped = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026")];
        let text = escaped.iter().fold(json.to_string(), |text, (sign, escape)| text.replace(*sign, escape));
        match places.fill(&text).as_deferred() {
            Some(deferred) => self.expression(name, &deferred.expr),
            None => Ok(Written::piece(Piece::Text(text))),
        }
    }

    fn reference(&self, address: &Address, attribute: &str) -> Result<Written, Wrong> {
        let unknown = || Wrong::new(format!("CloudFormation does not tell `{address}.{attribute}`"), "use another attribute");
        let part = self.parts.get(address).ok_or_else(unknown)?;
        kinds::attribute(self, part, attribute).ok_or_else(unknown)
    }

    /// The part that a reference to an attribute leads to.
    pub(super) fn referred(&self, value: Option<&Value>) -> Option<&Address> {
        let ExprKind::Attribute { of, .. } = &value?.as_deferred()?.expr.kind else { return None };
        let ExprKind::Reference(address) = &of.kind else { return None };
        self.parts.get_key_value(address).map(|(address, _)| address)
    }
}

impl Parameter {
    /// A text that whoever deploys the template gives.
    pub(super) fn text(name: &str, value: Value, secret: bool) -> Self {
        let mut definition = Map::from_iter([("Type".to_owned(), Json::from("String"))]);
        if secret {
            definition.insert("NoEcho".to_owned(), true.into());
        }
        Self { name: name.to_owned(), definition: Json::Object(definition), value }
    }
}

fn has_fact(expr: &Expr) -> bool {
    let mut found = matches!(expr.kind, ExprKind::Fact(_));
    expr.for_each_child(&mut |child| found |= has_fact(child));
    found
}

fn part_text(part: &TemplatePart, places: &mut Places) -> Option<String> {
    match part {
        TemplatePart::Text(text) => Some(text.to_string()),
        TemplatePart::Value(expr) => Some(places.text(&Value::deferred(Type::String, expr.clone()))),
        TemplatePart::If { .. } | TemplatePart::For { .. } => None,
    }
}

/// A value as JSON, with a mark in the place of each text that comes later.
fn plain(value: &Value, places: &mut Places) -> Option<Json> {
    Some(match value.kind() {
        ValueKind::Null(_) => Json::Null,
        ValueKind::Bool(truth) => Json::Bool(*truth),
        ValueKind::Number(number) => serde_json::from_str(&number.to_string()).ok()?,
        ValueKind::String(text) => Json::String(text.to_string()),
        ValueKind::Deferred(deferred) if matches!(deferred.ty, Type::String | Type::Any) => Json::String(places.text(value)),
        ValueKind::Deferred(_) => return None,
        ValueKind::Map(entries) | ValueKind::Object(entries) => {
            let entries = entries.iter().map(|(key, entry)| Some((key.to_string(), plain(entry, places)?)));
            Json::Object(entries.collect::<Option<_>>()?)
        }
        ValueKind::List(_) | ValueKind::Set(_) | ValueKind::Tuple(_) => {
            Json::Array(value.elements()?.map(|item| plain(item, places)).collect::<Option<_>>()?)
        }
    })
}

fn unsaid(name: &str) -> Wrong {
    Wrong::new(
        format!("CloudFormation has no way to say the value of `{name}`"),
        "write a value that is known when the plan is made, or one attribute of something else as it is",
    )
}

/// The logical name of a part.
pub(super) fn name(part: &ResourceSpec) -> String {
    logical(&part.address)
}
