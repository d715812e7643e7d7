//! What must not stand in the configuration of a head: the bytes of secrets, which become late names, and what is only known when others are
//! made, which is looked up by address. Both are collected, to travel beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{impure_calls, to_json_text};
use cloudtik_model::{Address, Diagnostic, Expr, ExprKind, Input, LateName, Span, StepSpec, TemplatePart, Type, Value, ValueKind};
use cloudtik_runtime_modules::preview_with;

/// What is taken out of a configuration.
pub(crate) struct Aside {
    /// The cluster's groups: their members are known to the head alone.
    groups: Address,
    /// The secrets by name.
    secrets: BTreeMap<String, String>,
    /// What is referred to: whole objects without attributes, and whether the value is sensitive.
    references: BTreeMap<Address, BTreeMap<Arc<str>, bool>>,
    /// Functions that are called when a plan is carried out, which a head does not do.
    impure: BTreeSet<&'static str>,
}

impl Aside {
    pub(crate) fn new(cluster: &Address) -> Self {
        Self { groups: cluster.child("workers"), secrets: BTreeMap::new(), references: BTreeMap::new(), impure: BTreeSet::new() }
    }

    /// What is wrong with a function that only a plan that is carried out can call.
    pub(crate) fn check_impure(&self, span: Span) -> Result<(), Diagnostic> {
        let Some(name) = self.impure.first() else { return Ok(()) };
        let title = format!("`{name}()` cannot stand in what the head makes workers of: it makes them whenever it has to");
        Err(Diagnostic::error("impure-call", title)
            .at(span)
            .help(format!("name the value once and refer to it: `resource \"value\" \"x\" {{ input = {name}(…) }}`, `value.x.output`")))
    }

    /// The secrets by name, each marked.
    pub(crate) fn secrets(&self) -> Value {
        Value::map(self.secrets.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str()).marked(true))))
    }

    /// The objects that are referred to by address, as far as somebody refers to them.
    pub(crate) fn references(&self) -> Value {
        let object = |(address, attributes): (&Address, &BTreeMap<Arc<str>, bool>)| {
            let whole = || Expr::from(ExprKind::Reference(address.clone()));
            let value = if attributes.contains_key("") {
                Value::deferred(Type::Any, whole()).marked(attributes.values().any(|sensitive| *sensitive))
            } else {
                let part = |(name, sensitive): (&Arc<str>, &bool)| {
                    (Arc::clone(name), Value::deferred(Type::Any, whole().attribute(Arc::clone(name))).marked(*sensitive))
                };
                Value::object(attributes.iter().map(part))
            };
            (address.to_string(), value)
        };
        Value::object(self.references.iter().map(object))
    }

    /// The step as the configuration has it.
    pub(crate) fn step(&mut self, step: &StepSpec) -> Result<StepSpec, Diagnostic> {
        let mut step = step.clone();
        for (name, input) in &mut step.inputs {
            let path = format!("{}/{name}", step.address);
            match input {
                Input::Value(value) => *value = self.value(value, &path, false),
                Input::Template(template) => {
                    let bindings = self.value(&template.bindings, &path, false);
                    // The text that people are shown was made with what is secret.
                    if template.bindings.has_sensitive() || bindings != template.bindings {
                        let preview = preview_with(template, &bindings);
                        template.preview = preview.map_err(|fault| Diagnostic::error("template", fault.to_string()).at(step.span))?.into();
                    }
                    template.bindings = bindings;
                }
                Input::Artifact(_) => {}
            }
        }
        Ok(step)
    }

    /// The value without secrets. `hidden`: something around it is sensitive, and so all of it.
    pub(crate) fn value(&mut self, value: &Value, path: &str, hidden: bool) -> Value {
        if value.is_known() && !value.has_sensitive() && !hidden {
            return value.clone();
        }
        let hidden = hidden || value.is_sensitive();
        if hidden && value.is_known() {
            return self.secret(value, path);
        }
        let mut each = |items: &mut dyn Iterator<Item = &Value>| -> Vec<Value> {
            items.enumerate().map(|(index, item)| self.value(item, &format!("{path}[{index}]"), hidden)).collect()
        };
        match value.kind() {
            ValueKind::List(items) => Value::list(each(&mut items.iter())),
            ValueKind::Tuple(items) => Value::tuple(each(&mut items.iter())),
            ValueKind::Set(items) => Value::set(each(&mut items.iter())),
            ValueKind::Map(items) => Value::map(self.named(items, path, hidden)),
            ValueKind::Object(items) => Value::object(self.named(items, path, hidden)),
            ValueKind::Deferred(deferred) => {
                self.impure.extend(impure_calls(value));
                let expr = Exprs { aside: self, path, hidden, made: 0 }.expr(&deferred.expr);
                Value::deferred(deferred.ty.clone(), expr)
            }
            _ => value.clone(),
        }
    }

    fn named(&mut self, items: &BTreeMap<Arc<str>, Value>, path: &str, hidden: bool) -> Vec<(Arc<str>, Value)> {
        items.iter().map(|(name, item)| (Arc::clone(name), self.value(item, &format!("{path}.{name}"), hidden))).collect()
    }

    /// The late name that stands for a known value. What is no text becomes one, and is read back as what it was.
    fn secret(&mut self, value: &Value, path: &str) -> Value {
        let plain = value.unmarked_deeply();
        let nothing = |count: Option<usize>| count == Some(0);
        if plain.is_null() || nothing(plain.elements().map(|items| items.len())) || nothing(plain.entries().map(BTreeMap::len)) {
            return plain;
        }
        let ty = plain.ty();
        let (text, is_text) = match plain.kind() {
            ValueKind::String(text) => (text.to_string(), true),
            ValueKind::Number(number) => (number.to_string(), false),
            ValueKind::Bool(truth) => (truth.to_string(), false),
            _ => (to_json_text(&plain).unwrap_or_default(), false),
        };
        let late = Expr::from(ExprKind::Late(LateName::Secret(self.name(path, text).into())));
        if is_text {
            return Value::deferred(Type::String, late);
        }
        let read = match plain.kind() {
            ValueKind::Number(_) | ValueKind::Bool(_) => late,
            _ => ExprKind::Call { name: "jsondecode".into(), args: vec![late], expand: false }.into(),
        };
        Value::deferred(ty.clone(), ExprKind::Convert { to: ty, of: Arc::new(read) }.into())
    }

    /// A name that nothing else has.
    fn name(&mut self, path: &str, text: String) -> String {
        let mut name = path.to_owned();
        let mut others = 1_u32;
        while self.secrets.get(&name).is_some_and(|other| *other != text) {
            others = others.saturating_add(1);
            name = format!("{path}#{others}");
        }
        self.secrets.insert(name.clone(), text);
        name
    }

    fn refer(&mut self, address: &Address, attribute: &str, sensitive: bool) {
        if !address.is_within(&self.groups) {
            let known = self.references.entry(address.clone()).or_default().entry(attribute.into()).or_default();
            *known = *known || sensitive;
        }
    }
}

/// The residual expression of one value.
struct Exprs<'a> {
    aside: &'a mut Aside,
    path: &'a str,
    hidden: bool,
    /// Parts of it that became secrets.
    made: usize,
}

impl Exprs<'_> {
    fn part_path(&mut self) -> String {
        self.made += 1;
        format!("{}({})", self.path, self.made)
    }

    fn expr(&mut self, expr: &Expr) -> Expr {
        match &expr.kind {
            ExprKind::Literal(value) if value.is_known() && !value.has_sensitive() && !self.hidden => expr.clone(),
            ExprKind::Literal(value) => {
                let path = self.part_path();
                self.aside.value(value, &path, self.hidden).to_expr()
            }
            ExprKind::Reference(address) => {
                self.aside.refer(address, "", self.hidden);
                expr.clone()
            }
            ExprKind::Attribute { of, name } => {
                let ExprKind::Reference(address) = &of.kind else { return self.below(expr) };
                self.aside.refer(address, name, self.hidden);
                expr.clone()
            }
            // What is known and secret was joined with the text around it.
            ExprKind::Template(parts) if self.hidden => self.below(&Expr::new(ExprKind::Template(texts_as_values(parts)), expr.span)),
            _ => self.below(expr),
        }
    }

    fn below(&mut self, expr: &Expr) -> Expr {
        expr.map_children(&mut |child, _| self.expr(child))
    }
}

/// A template whose texts are values too.
fn texts_as_values(parts: &[TemplatePart]) -> Vec<TemplatePart> {
    let part = |part: &TemplatePart| match part {
        TemplatePart::Text(text) if !text.is_empty() => TemplatePart::Value(Expr::literal(Arc::clone(text))),
        TemplatePart::Text(_) | TemplatePart::Value(_) => part.clone(),
        TemplatePart::If { condition, yes, no } => {
            TemplatePart::If { condition: condition.clone(), yes: texts_as_values(yes), no: texts_as_values(no) }
        }
        TemplatePart::For { key_variable, value_variable, collection, body } => TemplatePart::For {
            key_variable: key_variable.clone(),
            value_variable: Arc::clone(value_variable),
            collection: collection.clone(),
            body: texts_as_values(body),
        },
    };
    parts.iter().map(part).collect()
}
