//! Evaluates blocks against their schemas: values of the right types, checked, with their places and what they refer to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{convert, evaluate, impure_calls};
use cloudtik_model::spec::{Field, Fields};
use cloudtik_model::{
    Address, Condition, ConditionKind, Diagnostic, Diagnostics, Expr, ExprKind, Lifecycle, Span, Timeouts, Type, Value, ValueKind, Verdict,
    duration_seconds, judge,
};
use cloudtik_provider_api::Presence;
use cloudtik_syntax::{Attribute, Block, Body};

use crate::check::{Problem, check_value};
use crate::expand::{attribute, located};
use crate::load::Reads;
use crate::schema::{AttributeRule, BlockSchema};
use crate::scope::{BlockScope, Instance, World, static_address, value_key};
use crate::wrong_type::wrong_type;

/// What the evaluation of blocks has at hand.
pub(crate) struct Evaluator<'a> {
    pub(crate) world: &'a World,
    pub(crate) reads: &'a Reads<'a>,
    pub(crate) instance: &'a Instance,
}

/// An evaluated block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evaluated {
    /// Where its header stands.
    pub(crate) span: Span,
    /// The label, if it has one.
    pub(crate) label: Arc<str>,
    /// Attributes that are written, and defaults.
    pub(crate) fields: Fields,
    /// Blocks inside it, by name; disabled ones are left out.
    pub(crate) blocks: BTreeMap<&'static str, Vec<Evaluated>>,
    /// Resources that its expressions refer to.
    pub(crate) needs: BTreeSet<Address>,
    /// The block's `lifecycle`.
    pub(crate) lifecycle: Lifecycle,
    /// What its `replace_triggered_by` names, with the place of each.
    pub(crate) triggers: Vec<(Address, Span)>,
}

impl Evaluated {
    /// The value of an attribute; null when it is neither written nor has a default.
    pub(crate) fn value(&self, name: &str) -> Value {
        self.fields.get(name).map_or(Value::NULL, |field| field.value.clone())
    }

    /// The field of an attribute; empty when it is neither written nor has a default.
    pub(crate) fn field(&self, name: &str) -> Field {
        self.fields.get(name).cloned().unwrap_or_default()
    }

    /// The text of an attribute that is a known string.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.value.as_str()
    }

    /// The strings of an attribute that is a known list of them.
    pub(crate) fn strings(&self, name: &str) -> Vec<String> {
        let value = self.value(name);
        value.elements().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// The only block of that name.
    pub(crate) fn only(&self, name: &str) -> Option<&Self> {
        self.blocks.get(name)?.first()
    }

    /// All blocks of that name.
    pub(crate) fn all(&self, name: &str) -> &[Self] {
        self.blocks.get(name).map_or(&[], Vec::as_slice)
    }

    /// What this block and all inside it refer to.
    pub(crate) fn all_needs(&self) -> BTreeSet<Address> {
        let mut needs = self.needs.clone();
        self.blocks.values().flatten().for_each(|block| needs.extend(block.all_needs()));
        needs
    }
}

impl Evaluator<'_> {
    /// An expression of any type, with what it refers to.
    pub(crate) fn expression(&self, expr: &Expr, late: bool) -> Result<(Value, BTreeSet<Address>), Diagnostics> {
        let scope = BlockScope::new(self.world, self.instance, late);
        let value = self.evaluated(expr, &scope)?;
        Ok((value, scope.needs()))
    }

    /// An expression that orders nothing.
    pub(crate) fn value_of(&self, expr: &Expr) -> Result<Value, Diagnostics> {
        self.evaluated(expr, &BlockScope::new(self.world, self.instance, false))
    }

    fn evaluated(&self, expr: &Expr, scope: &BlockScope<'_>) -> Result<Value, Diagnostics> {
        let value = evaluate(expr, &self.reads.context(scope))?;
        if value.is_too_deep() {
            let limit = cloudtik_model::MAX_DEPTH;
            return Err(Diagnostic::error("too-deep", format!("the value is nested deeper than {limit} levels")).at(expr.span).into());
        }
        Ok(value)
    }

    /// An attribute by its rule.
    pub(crate) fn attribute(
        &self,
        attribute: &Attribute,
        rule: &AttributeRule,
        needs: &mut BTreeSet<Address>,
        found: &mut Diagnostics,
    ) -> Option<Field> {
        let name = &attribute.name.name;
        let span = attribute.value.span;
        let (value, referred) = match self.expression(&attribute.value, rule.late) {
            Ok(evaluated) => evaluated,
            Err(diagnostics) => {
                found.extend(diagnostics);
                return None;
            }
        };
        needs.extend(referred);
        if rule.schema.presence == Presence::Required && rule.schema.ty != Type::Any && value.is_null() {
            found.push(Diagnostic::error("null-value", format!("`{name}` must not be null")).at(span));
            return None;
        }
        let value = match convert(&value, &rule.schema.ty) {
            Ok(value) => with_secrets(value, rule.secrets).marked(rule.schema.sensitive),
            Err(error) => {
                found.push(wrong_type(name, &rule.schema.ty, &value, &error, span));
                return None;
            }
        };
        if let Some(place) = null_inside(&value, &rule.schema.ty) {
            let title = format!("`{name}{place}` must not be null");
            found.push(
                Diagnostic::error("null-value", title)
                    .at(span)
                    .help("leave it out: `[for x in … : x if x != null]`, `{ for k, v in … : k => v if v != null }`"),
            );
            return None;
        }
        if rule.known && !value.is_known() {
            found.push(unknown_at_plan_time(name, &value, span));
            return None;
        }
        if let Err(problem) = check_value(&value, rule.check) {
            // What is wrong names the value, and so may the help.
            let hidden = || Problem { message: "the value does not fit; it is sensitive and not shown".to_owned(), help: None };
            let problem = if value.has_sensitive() { hidden() } else { problem };
            found.push(Diagnostic::error("bad-value", format!("`{name}`: {}", problem.message)).at(span).maybe_help(problem.help));
            return None;
        }
        let value = match (&rule.schema.presence, value.is_null()) {
            (Presence::Default(default), true) => default.clone(),
            _ => value,
        };
        Some(Field::new(value, span))
    }

    /// A block by its schema. Attributes that are open, references, or what made the instances are left to the caller.
    pub(crate) fn block(&self, block: &Block, schema: &BlockSchema, found: &mut Diagnostics) -> Evaluated {
        let label = block.labels.last().map_or_else(|| Arc::from(""), |label| Arc::clone(&label.text));
        let mut evaluated = Evaluated { span: block.header, label, ..self.body(&block.body, schema, found) };
        evaluated.needs.extend(self.instance.needs.iter().cloned());
        evaluated
    }

    fn body(&self, body: &Body, schema: &BlockSchema, found: &mut Diagnostics) -> Evaluated {
        let mut evaluated = Evaluated::default();
        for attribute in &body.attributes {
            let Some(rule) = schema.attribute(&attribute.name.name).filter(|rule| !rule.reference && !rule.expands) else { continue };
            let field = self.attribute(attribute, rule, &mut evaluated.needs, found);
            evaluated.fields.extend(field.map(|field| (Arc::from(rule.schema.name), field)));
        }
        for rule in &schema.attributes {
            if let Presence::Default(default) = &rule.schema.presence
                && !body.attributes.iter().any(|attribute| &*attribute.name.name == rule.schema.name)
            {
                evaluated.fields.insert(rule.schema.name.into(), Field::new(default.clone(), Span::NONE));
            }
        }
        for block in &body.blocks {
            let Some(rule) = schema.block(&block.kind.name) else { continue };
            if rule.schema.name == "lifecycle" {
                evaluated.triggers =
                    attribute(block, "replace_triggered_by").map(|list| located(self, &list.value, found)).unwrap_or_default();
                evaluated.lifecycle = self.lifecycle(block, &rule.schema, found);
                evaluated.lifecycle.replace_triggered_by = evaluated.triggers.iter().map(|(address, _)| address.clone()).collect();
                continue;
            }
            if matches!(rule.schema.name, "precondition" | "postcondition" | "validation") {
                continue;
            }
            let inner = self.block(block, &rule.schema, found);
            if inner.value("enabled").as_bool() != Some(false) || rule.schema.off_counts {
                evaluated.blocks.entry(rule.schema.name).or_default().push(inner);
            }
        }
        evaluated.lifecycle.timeouts = evaluated.only("timeouts").map(timeouts).unwrap_or_default();
        evaluated
    }

    fn lifecycle(&self, block: &Block, schema: &BlockSchema, found: &mut Diagnostics) -> Lifecycle {
        let fields = Evaluated { fields: self.plain_fields(&block.body, schema, found), ..Evaluated::default() };
        let flag = |name: &str| fields.value(name).as_bool().unwrap_or(false);
        let mut lifecycle = Lifecycle {
            create_before_destroy: flag("create_before_destroy"),
            prevent_destroy: flag("prevent_destroy"),
            ..Lifecycle::default()
        };
        if let Some(paths) = attribute(block, "ignore_changes") {
            lifecycle.ignore_changes = ignore_paths(&paths.value, found);
        }
        lifecycle
    }

    fn plain_fields(&self, body: &Body, schema: &BlockSchema, found: &mut Diagnostics) -> Fields {
        let mut needs = BTreeSet::new();
        let rules = body.attributes.iter().filter_map(|a| Some((a, schema.attribute(&a.name.name).filter(|rule| !rule.reference)?)));
        rules.filter_map(|(a, rule)| Some((Arc::from(rule.schema.name), self.attribute(a, rule, &mut needs, found)?))).collect()
    }

    /// The conditions of one sort in a body, but for those that hold already. Whoever plans judges them: a destroy asks for none.
    pub(crate) fn conditions(&self, body: &Body, whose: &Whose<'_>, found: &mut Diagnostics) -> Vec<Condition> {
        let name = whose.kind.as_str();
        let lifecycles = body.blocks.iter().filter(|block| &*block.kind.name == "lifecycle").map(|block| &block.body);
        let mut conditions = Vec::new();
        for block in std::iter::once(body).chain(lifecycles).flat_map(|body| &body.blocks).filter(|block| &*block.kind.name == name) {
            let (Some(condition), Some(message)) = (attribute(block, "condition"), attribute(block, "error_message")) else { continue };
            match self.condition(&condition.value, &message.value, whose) {
                Ok(condition) => conditions.push(condition),
                Err(diagnostics) => found.extend(diagnostics),
            }
        }
        conditions
    }

    /// Judges the `validation` blocks of a variable. What is not known of a variable of the root will never be; that of a module may be
    /// judged later, and is given back.
    pub(crate) fn validations(&self, body: &Body, of: &str, found: &mut Diagnostics) -> Vec<Condition> {
        let mut open = Vec::new();
        for block in body.blocks.iter().filter(|block| &*block.kind.name == "validation") {
            let (Some(condition), Some(message)) = (attribute(block, "condition"), attribute(block, "error_message")) else { continue };
            let whose = Whose { kind: ConditionKind::Precondition, of: of.to_owned(), address: None };
            match self.condition(&condition.value, &message.value, &whose) {
                Ok(condition) => match judge(&condition.condition, &condition.message) {
                    Verdict::Holds => {}
                    Verdict::Fails(text) => found.push(false_condition(text, "validation", condition.span)),
                    // A variable that nobody gives a value holds whatever is asked of it.
                    Verdict::Unknown if unset_variable(&condition.condition).is_some() => {}
                    Verdict::Unknown if self.world.caller.is_some() => open.push(condition),
                    Verdict::Unknown => found.push(unknown_at_plan_time("condition", &condition.condition, condition.span)),
                },
                Err(diagnostics) => found.extend(diagnostics),
            }
        }
        open
    }

    pub(crate) fn condition(&self, condition: &Expr, message: &Expr, whose: &Whose<'_>) -> Result<Condition, Diagnostics> {
        let value = self.value_of(condition)?;
        let value = match convert(&value, &Type::Bool) {
            Ok(value) if !value.is_null() => value,
            _ => {
                let title = format!("the condition is {}, not a bool", value.describe());
                return Err(Diagnostic::error("wrong-type", title).at(condition.span).into());
            }
        };
        // A message may say what only makes sense where the condition is false.
        let message = if value.as_bool() == Some(true) { Value::NULL } else { self.value_of(message)? };
        let place = if value.as_bool() == Some(true) { None } else { self.reads.map.borrow().describe(condition.span) };
        let Whose { kind, of, address } = whose.clone();
        Ok(Condition { kind, of, address: address.cloned(), condition: value, message, place, span: condition.span })
    }

    /// The address that a reference means; whether there is something at it is looked at when everything is expanded.
    pub(crate) fn address(&self, expr: &Expr, found: &mut Diagnostics) -> Option<Address> {
        let mut failed = false;
        let mut key = |expr: &Expr| match self.value_of(expr) {
            Ok(value) if value_key(&value).is_some() => Some(value),
            Ok(_) => None,
            Err(diagnostics) => {
                found.extend(diagnostics);
                failed = true;
                None
            }
        };
        let Some(address) = static_address(expr, &mut key) else {
            if !failed {
                found.push(
                    Diagnostic::error("not-a-reference", "this is not a reference to a block")
                        .at(expr.span)
                        .help("write it as `workspace.w` or `value.x[\"key\"]`, without quotes"),
                );
            }
            return None;
        };
        Some(address.inside(self.world.module.as_ref()))
    }
}

/// Whose conditions are looked at.
#[derive(Clone)]
pub(crate) struct Whose<'a> {
    pub(crate) kind: ConditionKind,
    /// As the spec calls it.
    pub(crate) of: String,
    /// The object, where it is one.
    pub(crate) address: Option<&'a Address>,
}

fn false_condition(text: String, name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("condition-failed", text).at_saying(span, format!("this {name} is false"))
}

/// What is said of a value that must be known when the plan is made.
pub(crate) fn unknown_at_plan_time(name: &str, value: &Value, span: Span) -> Diagnostic {
    let mut addresses = BTreeSet::new();
    value.addresses(&mut addresses);
    let mut late = BTreeSet::new();
    value.late_names(&mut late);
    let calls = impure_calls(value);
    let from = addresses.iter().map(|a| format!("`{a}`")).chain(late.iter().map(|l| format!("`{l}`")));
    let from: Vec<String> = from.chain(calls.iter().map(|call| format!("`{call}()`"))).collect();
    if let (true, Some(variable)) = (from.is_empty(), unset_variable(value)) {
        let title = format!("`{name}` must be known when the plan is made, and depends on `{variable}`, which has no value");
        let help = format!("give it one: `--{}=…`", variable.replacen('.', " ", 1));
        return Diagnostic::error("unknown-at-plan", title).at(span).help(help);
    }
    if from.is_empty() {
        // What waits for an answer only: expansion comes before the questions.
        return Diagnostic::error(
            "unknown-at-plan",
            format!("`{name}` must be known before any provider is asked, and waits for what `data` finds"),
        )
        .at(span)
        .help("use a value that the spec itself gives: a variable, a local value, or an attribute that the block sets");
    }
    Diagnostic::error("unknown-at-plan", format!("`{name}` must be known when the plan is made, and depends on {}", from.join(", ")))
        .at(span)
        .help("use a value that the spec itself gives: a variable, a local value, or an attribute that the block sets")
}

/// A variable that a value waits for because it was given none: `var.size`.
fn unset_variable(value: &Value) -> Option<Arc<str>> {
    fn within(expr: &Expr) -> Option<Arc<str>> {
        if let ExprKind::Fact(key) = &expr.kind {
            return Some(Arc::clone(key)).filter(|key| key.starts_with("var."));
        }
        let mut found = None;
        expr.for_each_child(&mut |child| found = found.take().or_else(|| within(child)));
        found
    }
    let mut found = None;
    value.for_each_deferred(&mut |deferred| found = found.take().or_else(|| within(&deferred.expr)));
    found
}

/// Where a null stands in a list or map whose elements are single values: nothing that reads one has a use for it.
fn null_inside(value: &Value, ty: &Type) -> Option<String> {
    match ty {
        Type::List(of) | Type::Set(of) if **of != Type::Any => value.elements()?.position(Value::is_null).map(|index| format!("[{index}]")),
        Type::Map(of) if **of != Type::Any => {
            value.entries()?.iter().find(|(_, value)| value.is_null()).map(|(name, _)| format!("[\"{name}\"]"))
        }
        _ => None,
    }
}

/// A `timeouts` block.
fn timeouts(block: &Evaluated) -> Timeouts {
    let seconds = |name: &str| block.text(name).and_then(duration_seconds);
    Timeouts { create_secs: seconds("create"), update_secs: seconds("update"), delete_secs: seconds("delete") }
}

/// A collection that is sensitive as a whole has sensitive elements: whoever takes it apart takes the mark along.
pub(crate) fn marked_inside(value: &Value) -> Value {
    if !value.is_sensitive() {
        return value.clone();
    }
    let mark = |value: &Value| value.clone().marked(true);
    let inside = match value.kind() {
        ValueKind::List(items) => Value::list(items.iter().map(mark)),
        ValueKind::Tuple(items) => Value::tuple(items.iter().map(mark)),
        ValueKind::Map(items) => Value::map(items.iter().map(|(name, value)| (Arc::clone(name), mark(value)))),
        ValueKind::Object(items) => Value::object(items.iter().map(|(name, value)| (Arc::clone(name), mark(value)))),
        _ => return value.clone(),
    };
    inside.marked(true)
}

/// An object with these entries marked.
fn with_secrets(value: Value, secrets: &[&str]) -> Value {
    let Some(entries) = value.entries().filter(|_| !secrets.is_empty()) else { return value };
    let marked = |(name, entry): (&Arc<str>, &Value)| (Arc::clone(name), entry.clone().marked(secrets.contains(&&**name)));
    Value::object(entries.iter().map(marked)).marked(value.is_sensitive())
}

/// `a string`, `a list(string)`
pub(crate) fn article(ty: &Type) -> String {
    let text = ty.to_string();
    let an = text.starts_with(['a', 'o']);
    format!("{} {text}", if an { "an" } else { "a" })
}

/// Paths of `ignore_changes`: `[tags, tags.owner, ingress["ui"]]` or `all`.
fn ignore_paths(expr: &Expr, found: &mut Diagnostics) -> BTreeSet<String> {
    if matches!(&expr.kind, ExprKind::Variable(name) if &**name == "all") {
        return ["*".to_owned()].into();
    }
    let ExprKind::Tuple(items) = &expr.kind else {
        found.push(
            Diagnostic::error("not-paths", "`ignore_changes` is a list of attributes, or `all`").at(expr.span).help("write `[tags, size]`"),
        );
        return BTreeSet::new();
    };
    let mut literal = |expr: &Expr| match &expr.kind {
        ExprKind::Literal(value) => Some(value.clone()),
        _ => None,
    };
    items
        .iter()
        .filter_map(|item| {
            let path = static_address(item, &mut literal);
            if path.is_none() {
                found.push(Diagnostic::error("not-a-path", "this is not the path of an attribute").at(item.span));
            }
            path.map(|path| path.to_string())
        })
        .collect()
}
