//! A block after inheritance, as text of the language: every line with the place that it comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use cloudtik_lang::{INHERIT, expression_text, render_line};
use cloudtik_model::{Address, Diagnostics, Expr, ExprKind, Segment, Span, Value, ValueKind};
use cloudtik_provider_api::Presence;
use cloudtik_syntax::{Attribute, Block, format, parse_expression};

use crate::dynamic::has_dynamic;
use crate::evaluate::Evaluator;
use crate::expand::Expansion;
use crate::runtime::sensitive_options;
use crate::schema::{AttributeRule, BlockSchema};
use crate::scope::Instance;

/// Characters of a list on one line.
const LIST_CHARS_MAX: usize = 80;

/// What stands for a value that is not shown.
const SENSITIVE: &str = "\"(sensitive value)\"";

/// The block that is asked for, and what was found of it.
pub(crate) struct SpecOf {
    pub(crate) address: Address,
    texts: Vec<String>,
}

impl SpecOf {
    pub(crate) const fn new(address: Address) -> Self {
        Self { address, texts: Vec::new() }
    }

    /// All that was found, laid out as `cloudtik fmt` does.
    pub(crate) fn text(self) -> Option<String> {
        let text = self.texts.join("\n");
        (!text.is_empty()).then(|| format(Span::NONE.file, &text).unwrap_or(text))
    }
}

impl Expansion<'_> {
    /// Writes an instance of a block down, or the part of it that is asked for.
    pub(crate) fn write_spec(&mut self, address: &Address, block: &Block, instance: &Instance, schema: &BlockSchema) {
        let Some(wanted) = self.spec_of.as_ref().map(|spec| spec.address.clone()) else { return };
        let part = if address.is_within(&wanted) {
            Some((block, schema))
        } else if wanted.is_within(address) {
            part_at(block, schema, wanted.segments().get(address.segments().len()..).unwrap_or_default())
        } else {
            None
        };
        let Some((block, schema)) = part.filter(|(block, _)| !has_dynamic(&block.body)) else { return };
        let mut writer = Writer { expansion: self, evaluator: self.evaluator(instance), instance, out: String::new() };
        if address.key().is_some() {
            let _ = writeln!(writer.out, "# {address}");
        }
        writer.block(block, schema);
        let text = writer.out;
        if let Some(spec) = &mut self.spec_of {
            spec.texts.push(text);
        }
    }
}

/// The block inside another one that the rest of an address names: `workers.default`, `network`, `database["catalog"]`.
fn part_at<'b>(block: &'b Block, schema: &'b BlockSchema, rest: &[Segment]) -> Option<(&'b Block, &'b BlockSchema)> {
    let Some((kind, rest)) = rest.split_first() else { return Some((block, schema)) };
    let rule = schema.block(&kind.name)?;
    let (label, rest) = match (&kind.key, rule.schema.labels.is_empty()) {
        (None, true) => (None, rest),
        (Some(cloudtik_model::Key::Name(key)), false) => (Some(key), rest),
        (None, false) => rest.split_first().map(|(label, rest)| (Some(&label.name), rest))?,
        _ => return None,
    };
    let is_meant = |inner: &&Block| inner.kind.name == kind.name && inner.labels.first().map(|own| &own.text) == label;
    part_at(block.body.blocks.iter().find(is_meant)?, &rule.schema, rest)
}

struct Writer<'e> {
    expansion: &'e Expansion<'e>,
    evaluator: Evaluator<'e>,
    instance: &'e Instance,
    out: String,
}

impl Writer<'_> {
    fn block(&mut self, block: &Block, schema: &BlockSchema) {
        let labels: String = block.labels.iter().map(|label| format!("{} ", render_line(&Value::from(Arc::clone(&label.text))))).collect();
        let origin = self.origin(block.header);
        let _ = writeln!(self.out, "{} {labels}{{ # {origin}", block.kind.name);
        let hidden = if schema.name == "runtime" { sensitive_options(self.expansion, block, self.instance) } else { BTreeSet::new() };
        for attribute in &block.body.attributes {
            self.attribute(attribute, schema.attribute(&attribute.name.name), hidden.contains(&attribute.name.name));
        }
        for rule in &schema.attributes {
            if let (Presence::Default(value), None) = (&rule.schema.presence, block.body.attribute(rule.schema.name)) {
                self.lines(rule.schema.name, value, &|_| Span::NONE);
            }
        }
        let nothing = BlockSchema { open: true, ..BlockSchema::default() };
        for inner in &block.body.blocks {
            self.out.push('\n');
            self.block(inner, schema.block(&inner.kind.name).map_or(&nothing, |rule| &rule.schema));
        }
        self.out.push_str("}\n");
    }

    fn attribute(&mut self, attribute: &Attribute, rule: Option<&AttributeRule>, is_hidden: bool) {
        let name = &attribute.name.name;
        match self.value(attribute, rule).map(|value| value.marked(is_hidden)) {
            Some(value) => {
                let layers = layers(&attribute.value);
                let values: Vec<Option<Value>> =
                    layers.iter().map(|layer| self.evaluator.expression(layer, true).ok().map(|(value, _)| value)).collect();
                let place = |key: Option<&str>| match key {
                    Some(key) => entry_place(&layers, &values, key),
                    None => attribute.value.span,
                };
                self.lines(name, &value, &place);
            }
            None => {
                let text = as_expression(expression_text(&attribute.value));
                let origin = self.origin(attribute.value.span);
                let _ = writeln!(self.out, "{name} = {text} # {origin}");
            }
        }
    }

    /// What an attribute is worth; `None`: it is read and not evaluated, or has no value.
    fn value(&self, attribute: &Attribute, rule: Option<&AttributeRule>) -> Option<Value> {
        match rule {
            Some(rule) if rule.reference || rule.expands => None,
            Some(rule) => {
                let field = self.evaluator.attribute(attribute, rule, &mut BTreeSet::new(), &mut Diagnostics::new());
                field.map(|field| field.value)
            }
            None => self.evaluator.expression(&attribute.value, true).ok().map(|(value, _)| value),
        }
    }

    /// `name = value`: each entry of a map, and each element of a long list, on a line of its own.
    fn lines(&mut self, name: &str, value: &Value, place: &dyn Fn(Option<&str>) -> Span) {
        let origin = self.origin(place(None));
        let whole = text(value);
        let is_shown = !value.is_sensitive();
        if let Some(entries) = value.entries().filter(|entries| is_shown && !entries.is_empty()) {
            let _ = writeln!(self.out, "{name} = {{ # {origin}");
            for (key, entry) in entries {
                let (key_text, origin) = (key_text(key), self.origin(place(Some(key))));
                let _ = writeln!(self.out, "{key_text} = {} # {origin}", text(entry));
            }
            self.out.push_str("}\n");
        } else if let Some(items) = value.elements().filter(|_| is_shown && whole.chars().count() > LIST_CHARS_MAX) {
            let _ = writeln!(self.out, "{name} = [ # {origin}");
            for item in items {
                let _ = writeln!(self.out, "{}, # {origin}", text(item));
            }
            self.out.push_str("]\n");
        } else {
            let _ = writeln!(self.out, "{name} = {whole} # {origin}");
        }
    }

    /// `main.hcl:12`, `template standard`, `default`
    fn origin(&self, place: Span) -> String {
        if place.is_none() {
            return "default".to_owned();
        }
        if let Some(name) = self.expansion.shipped.name_at(place) {
            return format!("template {name}");
        }
        let map = self.expansion.reads.map.borrow();
        map.get(place.file).map_or_else(String::new, |file| format!("{}:{}", file.path, file.position(place.start).0))
    }
}

/// The expressions that were laid over each other.
fn layers(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        ExprKind::Call { name, args, .. } if &**name == INHERIT => args.iter().collect(),
        _ => vec![expr],
    }
}

/// Where an entry of a map comes from: the last layer that has it.
fn entry_place(layers: &[&Expr], values: &[Option<Value>], key: &str) -> Span {
    let has = |value: &Option<Value>| value.as_ref().and_then(Value::entries).is_some_and(|entries| entries.contains_key(key));
    let Some((layer, _)) = layers.iter().zip(values).rev().find(|(_, value)| has(value)) else { return Span::NONE };
    let written = match &layer.kind {
        ExprKind::Object(items) => {
            items.iter().find(|(name, _)| matches!(&name.kind, ExprKind::Literal(name) if name.as_str() == Some(key)))
        }
        _ => None,
    };
    written.map_or(layer.span, |(name, _)| name.span)
}

/// A value as an expression on one line.
fn text(value: &Value) -> String {
    if value.is_sensitive() {
        return SENSITIVE.to_owned();
    }
    match value.kind() {
        ValueKind::Deferred(deferred) => as_expression(expression_text(&deferred.expr)),
        ValueKind::List(_) | ValueKind::Set(_) | ValueKind::Tuple(_) => {
            let items: Vec<String> = value.elements().into_iter().flatten().map(text).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Map(_) | ValueKind::Object(_) => {
            let entries: BTreeMap<_, _> = value.entries().into_iter().flatten().collect();
            let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("{} = {}", key_text(key), text(value))).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        _ => render_line(value),
    }
}

fn key_text(key: &Arc<str>) -> String {
    let is_name = |c: char| c == '_' || c == '-' || c.is_alphanumeric();
    let is_plain = key.starts_with(|c: char| c == '_' || c.is_alphabetic()) && key.chars().all(is_name);
    if is_plain { key.to_string() } else { render_line(&Value::from(Arc::clone(key))) }
}

/// What is shown of an expression that is too long or that no source could write is a text.
fn as_expression(text: String) -> String {
    if parse_expression(Span::NONE.file, &text).is_ok() { text } else { render_line(&Value::from(text)) }
}
