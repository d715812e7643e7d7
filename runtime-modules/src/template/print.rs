//! Rendering: the walk over the tree with values.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;

use cloudtik_lang::{expression_text, from_plain_json};
use cloudtik_model::{Expr, ExprKind, Type, Value};
use handlebars::template::{BlockParam, DecoratorTemplate, HelperTemplate, Parameter};

use super::helpers::{self, child, is_opaque, is_true, shown, text_of};
use super::parse::{Parsed, Place};
use super::path::{Base, Path};
use super::walk::{self, Node, Partials};
use super::{Fault, MAX_NESTING, MAX_OUTPUT_BYTES, MAX_STEPS};

/// What the text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The node: everything must be known.
    Final,
    /// People: what is not known or not to be shown is said in its place.
    Preview,
}

/// The text of a template.
pub(super) fn print(parsed: &Parsed, bindings: &Value, mode: Mode) -> Result<String, Fault> {
    let root = Frame { context: bindings.clone(), data: None, variables: BTreeMap::new(), is_partial: false };
    let mut printer = Printer { parsed, mode, frames: vec![root], out: String::new(), steps: 0, partials: Partials::of(parsed)?, depth: 0 };
    printer.template(&parsed.root, Place(0))?;
    Ok(printer.out)
}

/// What a loop gives beside its element.
#[derive(Clone)]
struct Data {
    index: Value,
    key: Option<Value>,
    first: Value,
    last: Value,
}

struct Frame {
    context: Value,
    data: Option<Data>,
    variables: BTreeMap<String, Value>,
    is_partial: bool,
}

struct Printer<'t> {
    parsed: &'t Parsed,
    mode: Mode,
    frames: Vec<Frame>,
    out: String,
    steps: u64,
    partials: Partials<'t>,
    depth: usize,
}

impl<'t> Printer<'t> {
    fn write(&mut self, text: &str, place: Place) -> Result<(), Fault> {
        self.out.push_str(text);
        if self.out.len() > MAX_OUTPUT_BYTES {
            return Err(self.parsed.fault(place, "", format!("the text is longer than {MAX_OUTPUT_BYTES} bytes")));
        }
        Ok(())
    }

    fn template(&mut self, template: &'t handlebars::Template, around: Place) -> Result<(), Fault> {
        for (index, element) in template.elements.iter().enumerate() {
            let place = self.parsed.place(&template.mapping, index, around);
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(self.parsed.fault(place, "", format!("the template takes more than {MAX_STEPS} steps")));
            }
            match walk::node(self.parsed, element, place)? {
                Node::Text(text) => self.write(text, place)?,
                Node::Nothing => {}
                Node::Output(call) => self.output(call, place)?,
                Node::Block(name, block) => self.block(name, block, place)?,
                Node::Partial(partial) => self.partial(partial, place)?,
            }
        }
        Ok(())
    }

    fn output(&mut self, call: &'t HelperTemplate, place: Place) -> Result<(), Fault> {
        let value = self.call(call, place)?;
        let text = text_of(&shown(&value, self.mode)).map_err(|problem| {
            let word = call.name.as_name().unwrap_or_default();
            self.parsed.fault(place, word, format!("`{word}` cannot be printed: {problem}"))
        })?;
        self.write(&text, place)
    }

    fn call(&mut self, call: &'t HelperTemplate, place: Place) -> Result<Value, Fault> {
        let Some(helper) = walk::helper_of(self.parsed, call, place)? else { return self.parameter(&call.name, place) };
        let arguments = call.params.iter().map(|parameter| self.parameter(parameter, place)).collect::<Result<Vec<_>, _>>()?;
        helpers::call(helper, &arguments, self.mode)
            .map_err(|problem| self.parsed.fault(place, helper.name, format!("`{}`: {problem}", helper.name)))
    }

    fn parameter(&mut self, parameter: &'t Parameter, place: Place) -> Result<Value, Fault> {
        match parameter {
            Parameter::Literal(json) => literal(json).ok_or_else(|| self.parsed.fault(place, "", "this number is too large or too exact")),
            Parameter::Subexpression(_) => match walk::inner(parameter) {
                Some(call) => self.call(call, place),
                None => Err(self.parsed.fault(place, "", "this cannot stand in parentheses")),
            },
            _ => self.path(parameter.as_name().unwrap_or_default(), place),
        }
    }

    fn path(&self, raw: &str, place: Place) -> Result<Value, Fault> {
        let path = Path::read(raw);
        let missing = |name: &str| self.parsed.fault(place, raw, format!("`{raw}`: there is no `{name}`"));
        let context = |index: usize| self.frames.get(index).map(|frame| frame.context.clone()).ok_or_else(|| missing(raw));
        let last = self.frames.len().saturating_sub(1);
        let mut segments = path.segments.as_slice();
        let mut value = match path.base {
            Base::Root => context(0)?,
            Base::Data(up) => {
                let name = segments.first().map_or("", |name| &**name);
                let data = self.frames.iter().rev().filter_map(|frame| frame.data.as_ref()).nth(up).ok_or_else(|| missing(name))?;
                segments = segments.get(1..).unwrap_or_default();
                match name {
                    "index" => data.index.clone(),
                    "key" => data.key.clone().ok_or_else(|| missing(name))?,
                    "first" => data.first.clone(),
                    "last" => data.last.clone(),
                    _ => return Err(missing(name)),
                }
            }
            Base::Context { up: 0, plain: true } => {
                match segments.split_first().and_then(|(name, rest)| Some((self.variable(name)?, rest))) {
                    Some((value, rest)) => {
                        segments = rest;
                        value
                    }
                    None => context(last)?,
                }
            }
            Base::Context { up, .. } => context(last.checked_sub(up).ok_or_else(|| missing(raw))?)?,
        };
        for name in segments {
            value = child(&value, name).ok_or_else(|| missing(name))?;
        }
        if self.mode == Mode::Final && !value.is_known() {
            return Err(self.parsed.fault(place, raw, format!("`{raw}` is not known")));
        }
        Ok(value)
    }

    fn variable(&self, name: &str) -> Option<Value> {
        for frame in self.frames.iter().rev() {
            if let Some(value) = frame.variables.get(name) {
                return Some(value.clone());
            }
            if frame.is_partial {
                return None;
            }
        }
        None
    }

    fn block(&mut self, name: &'static str, block: &'t HelperTemplate, place: Place) -> Result<(), Fault> {
        let parameter = walk::subject(self.parsed, name, block, place)?;
        let subject = self.parameter(parameter, place)?;
        let (body, other) = (block.template.as_ref(), block.inverse.as_ref());
        let hidden = is_opaque(&subject, self.mode);
        match name {
            "if" | "unless" if hidden => {
                self.write(&format!("<{name} {}>", condition_text(&subject)), place)?;
                self.maybe(body, place)?;
                if other.is_some() {
                    self.write("<else>", place)?;
                    self.maybe(other, place)?;
                }
                self.write(&format!("<end{name}>"), place)
            }
            "if" | "unless" => self.maybe(if is_true(&subject) == (name == "if") { body } else { other }, place),
            "each" if hidden => self.each_hidden(block, &subject, place),
            "each" => self.each(block, &subject, place),
            _ if is_true(&subject) || hidden => {
                let variables = variables(block, &subject, None);
                self.inside(Frame { context: subject, data: None, variables, is_partial: false }, body, place)
            }
            _ => self.otherwise(name, block, place),
        }
    }

    fn maybe(&mut self, template: Option<&'t handlebars::Template>, place: Place) -> Result<(), Fault> {
        template.map_or(Ok(()), |template| self.template(template, place))
    }

    /// What a block about nothing prints; without an `else`, nothing must have been foreseen.
    fn otherwise(&mut self, name: &str, block: &'t HelperTemplate, place: Place) -> Result<(), Fault> {
        if block.inverse.is_some() {
            return self.maybe(block.inverse.as_ref(), place);
        }
        let word = block.params.first().and_then(Parameter::as_name).unwrap_or(name).to_owned();
        let fault = self.parsed.fault(place, &word, format!("`{word}` is null or empty, and this `{name}` has no `else`"));
        Err(fault.help(format!("add `{{{{else}}}}`, or put `{{{{#if {word}}}}}` around it")))
    }

    fn inside(&mut self, frame: Frame, body: Option<&'t handlebars::Template>, place: Place) -> Result<(), Fault> {
        self.frames.push(frame);
        let result = self.maybe(body, place);
        self.frames.pop();
        result
    }

    fn each(&mut self, block: &'t HelperTemplate, subject: &Value, place: Place) -> Result<(), Fault> {
        let items: Vec<(Option<Value>, Value)> = if let Some(entries) = subject.entries() {
            entries.iter().map(|(key, item)| (Some(Value::from(Arc::clone(key))), item.clone())).collect()
        } else if let Some(elements) = subject.elements() {
            elements.map(|item| (None, item.clone())).collect()
        } else if subject.is_null() {
            return self.otherwise("each", block, place);
        } else {
            let word = block.params.first().and_then(Parameter::as_name).unwrap_or("each");
            let message = format!("`each` goes through a list or a map, and `{word}` is {}", subject.describe());
            return Err(self.parsed.fault(place, word, message));
        };
        if items.is_empty() {
            return self.maybe(block.inverse.as_ref(), place);
        }
        let count = items.len();
        for (index, (key, item)) in items.into_iter().enumerate() {
            let name = key.clone().unwrap_or_else(|| index.into());
            let variables = variables(block, &item, Some(name));
            let data = Data { index: index.into(), key, first: (index == 0).into(), last: (index + 1 == count).into() };
            self.inside(Frame { context: item, data: Some(data), variables, is_partial: false }, block.template.as_ref(), place)?;
        }
        Ok(())
    }

    /// A loop through what is not known yet: its body once, for an element that stands for all.
    fn each_hidden(&mut self, block: &'t HelperTemplate, subject: &Value, place: Place) -> Result<(), Fault> {
        let data = |name: &str| Value::deferred(Type::Any, Expr::from(ExprKind::Variable(name.into())));
        let of = Arc::new(subject.to_expr());
        let each = Arc::new(Expr::from(ExprKind::Variable(ExprKind::SPLAT_VARIABLE.into())));
        let element = Value::deferred(Type::Any, Expr::from(ExprKind::Splat { of, each })).marked(subject.is_sensitive());
        self.write(&format!("<each {}>", condition_text(subject)), place)?;
        let variables = variables(block, &element, Some(data("@key")));
        let beside = Data { index: data("@index"), key: Some(data("@key")), first: data("@first"), last: data("@last") };
        self.inside(Frame { context: element, data: Some(beside), variables, is_partial: false }, block.template.as_ref(), place)?;
        self.write("<endeach>", place)
    }

    fn partial(&mut self, partial: &'t DecoratorTemplate, place: Place) -> Result<(), Fault> {
        let (name, body) = self.partials.find(self.parsed, partial, place)?;
        if self.depth >= MAX_NESTING {
            return Err(self.parsed.fault(place, name, format!("partials include one another more than {MAX_NESTING} times")));
        }
        let context = match partial.params.first() {
            Some(parameter) => self.parameter(parameter, place)?,
            None => self.frames.last().map_or(Value::NULL, |frame| frame.context.clone()),
        };
        let mut variables = BTreeMap::new();
        for (name, parameter) in walk::sorted(&partial.hash) {
            variables.insert(name.clone(), self.parameter(parameter, place)?);
        }
        let data = self.frames.last().and_then(|frame| frame.data.clone());
        let start = self.out.len();
        self.depth += 1;
        self.inside(Frame { context, data, variables, is_partial: true }, Some(body), place)?;
        self.depth -= 1;
        // A partial that stands alone on its line is as far to the right as its tag.
        if let Some(margin) = partial.indent.as_deref().filter(|margin| !margin.is_empty()) {
            let printed = self.out.split_off(start);
            let moved: String = printed.split_inclusive('\n').map(|line| format!("{margin}{line}")).collect();
            self.write(&moved, place)?;
        }
        Ok(())
    }
}

fn condition_text(value: &Value) -> String {
    match value.as_deferred() {
        Some(deferred) if !value.is_sensitive() => expression_text(&deferred.expr),
        _ => helpers::SENSITIVE.to_owned(),
    }
}

fn variables(block: &HelperTemplate, item: &Value, key: Option<Value>) -> BTreeMap<String, Value> {
    let name = |parameter: &Parameter| parameter.as_name().unwrap_or_default().to_owned();
    match (&block.block_param, key) {
        (Some(BlockParam::Single(value)), _) | (Some(BlockParam::Pair((value, _))), None) => [(name(value), item.clone())].into(),
        (Some(BlockParam::Pair((value, key_name))), Some(key)) => [(name(value), item.clone()), (name(key_name), key)].into(),
        _ => BTreeMap::new(),
    }
}

/// A literal of the template. Numbers keep every digit that was written.
fn literal(json: &serde_json::Value) -> Option<Value> {
    match json {
        serde_json::Value::Number(number) => Some(cloudtik_model::Number::from_str(&number.to_string()).ok()?.into()),
        other => from_plain_json(other.clone()).ok(),
    }
}
