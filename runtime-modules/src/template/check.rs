//! The check of names: every name of a template must be there, also behind conditions that are false today.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Value, did_you_mean};
use handlebars::template::{BlockParam, DecoratorTemplate, HelperTemplate, Parameter, TemplateElement};

use super::parse::{Parsed, Place};
use super::path::{Base, Path};
use super::shape::Shape;
use super::walk::{self, Node, Partials};
use super::{Fault, MAX_STEPS};

/// The most faults of one template that are reported.
const MAX_FAULTS: usize = 50;

/// What a template uses of its bindings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// All of them.
    everything: bool,
    /// By name: what of it, or `None` for all of it.
    names: BTreeMap<String, Option<BTreeSet<String>>>,
}

impl Used {
    fn note(&mut self, segments: &[String]) {
        match segments {
            [] => self.everything = true,
            [root] => {
                self.names.insert(root.clone(), None);
            }
            [root, field, ..] => {
                if let Some(fields) = self.names.entry(root.clone()).or_insert_with(|| Some(BTreeSet::new())) {
                    fields.insert(field.clone());
                }
            }
        }
    }

    /// The bindings without what the template does not use, so that a step changes only with what it shows.
    pub(crate) fn prune(&self, bindings: &Value) -> Value {
        let Some(entries) = bindings.entries().filter(|_| !self.everything) else { return bindings.clone() };
        let used = entries.iter().filter_map(|(name, value)| Some((Arc::clone(name), prune_fields(value, self.names.get(&**name)?))));
        Value::object(used.collect::<Vec<_>>()).marked(bindings.is_sensitive())
    }
}

fn prune_fields(value: &Value, fields: &Option<BTreeSet<String>>) -> Value {
    let (Some(fields), Some(entries)) = (fields, value.entries()) else { return value.clone() };
    let kept = entries.iter().filter(|(name, _)| fields.contains(&***name)).map(|(name, item)| (Arc::clone(name), item.clone()));
    Value::object(kept.collect::<Vec<_>>()).marked(value.is_sensitive())
}

/// Every name that a template uses and that is not in the bindings, every helper that there is not; and what it does use.
pub(crate) fn check(parsed: &Parsed, bindings: Option<&Value>) -> (Used, Vec<Fault>) {
    let root = Frame {
        context: bindings.map_or(Shape::Any, Shape::of),
        is_root: true,
        data: Data::None,
        variables: BTreeMap::new(),
        is_partial: false,
    };
    let mut checker = Checker {
        parsed,
        frames: vec![root],
        faults: Vec::new(),
        used: Used::default(),
        steps: 0,
        partials: Partials::new(),
        active: Vec::new(),
    };
    match Partials::of(parsed) {
        Ok(partials) => checker.partials = partials,
        Err(fault) => checker.faults.push(fault),
    }
    checker.template(&parsed.root, Place(0));
    checker.faults.sort_by_key(|fault| (fault.start, fault.end));
    checker.faults.dedup();
    checker.faults.truncate(MAX_FAULTS);
    (checker.used, checker.faults)
}

/// What a loop gives beside its element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    None,
    Loop { keyed: Option<bool> },
}

struct Frame {
    context: Shape,
    /// Whether the context is the bindings themselves.
    is_root: bool,
    data: Data,
    variables: BTreeMap<String, Shape>,
    /// Variables of blocks outside are not seen from here.
    is_partial: bool,
}

struct Checker<'t> {
    parsed: &'t Parsed,
    frames: Vec<Frame>,
    faults: Vec<Fault>,
    used: Used,
    steps: u64,
    partials: Partials<'t>,
    active: Vec<String>,
}

impl<'t> Checker<'t> {
    fn fault(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS * 4 {
            self.faults.push(fault);
        }
    }

    fn template(&mut self, template: &'t handlebars::Template, around: Place) {
        for (index, element) in template.elements.iter().enumerate() {
            let place = self.parsed.place(&template.mapping, index, around);
            self.steps += 1;
            if self.steps > MAX_STEPS {
                if self.steps == MAX_STEPS + 1 {
                    self.fault(self.parsed.fault(place, "", format!("the check of the template takes more than {MAX_STEPS} steps")));
                }
                return;
            }
            let is_definition = matches!(element, TemplateElement::DecoratorBlock(_));
            if is_definition && !std::ptr::eq(template, &raw const self.parsed.root) {
                self.fault(self.parsed.fault(place, "", "a partial is defined at the top level of a template, not inside a block"));
                continue;
            }
            match walk::node(self.parsed, element, place) {
                Ok(Node::Text(_) | Node::Nothing) => {}
                Ok(Node::Output(call)) => self.output(call, place),
                Ok(Node::Block(name, block)) => self.block(name, block, place),
                Ok(Node::Partial(partial)) => self.partial(partial, place),
                Err(fault) => self.fault(fault),
            }
        }
    }

    fn output(&mut self, call: &'t HelperTemplate, place: Place) {
        let Some(shape) = self.call(call, place) else { return };
        if shape.is_collection() {
            let word = call.name.as_name().unwrap_or_default();
            let fault = self.parsed.fault(place, word, format!("`{word}` is a collection, which has no text of its own"));
            self.fault(fault.help("print it with `json` or `join`, or go through it with `each`"));
        }
    }

    /// The shape of what a tag or a part of it in parentheses gives. `None` after an error.
    fn call(&mut self, call: &'t HelperTemplate, place: Place) -> Option<Shape> {
        match walk::helper_of(self.parsed, call, place) {
            Ok(None) => self.parameter(&call.name, place),
            Ok(Some(helper)) => {
                let shapes: Vec<Option<Shape>> = call.params.iter().map(|parameter| self.parameter(parameter, place)).collect();
                match helper.name {
                    "lookup" => self.lookup(call, shapes.into_iter().next().flatten()?, place),
                    "required" => shapes.into_iter().next().flatten(),
                    _ => Some(Shape::Leaf),
                }
            }
            Err(fault) => {
                self.fault(fault);
                None
            }
        }
    }

    fn lookup(&mut self, call: &'t HelperTemplate, collection: Shape, place: Place) -> Option<Shape> {
        let Some(Parameter::Literal(serde_json::Value::String(key))) = call.params.get(1) else { return Some(Shape::Any) };
        let found = collection.get(key);
        if found.is_none() {
            let fault = self.parsed.fault(place, "lookup", format!("there is no `{key}` in what `lookup` looks into"));
            self.fault(near(fault, key, &collection));
        }
        found
    }

    fn parameter(&mut self, parameter: &'t Parameter, place: Place) -> Option<Shape> {
        match parameter {
            Parameter::Literal(_) => Some(Shape::Leaf),
            Parameter::Subexpression(_) => match walk::inner(parameter) {
                Some(call) => self.call(call, place),
                None => Some(Shape::Any),
            },
            Parameter::Name(_) | Parameter::Path(_) => self.path(parameter.as_name().unwrap_or_default(), place),
            _ => Some(Shape::Any),
        }
    }

    /// The shape of what a name stands for.
    fn path(&mut self, raw: &str, place: Place) -> Option<Shape> {
        let path = Path::read(raw);
        let missing = |fault: Fault| Err(fault);
        let result = match path.base {
            Base::Data(up) => self.data(raw, &path, up, place),
            Base::Root => self.below(0, raw, &path.segments, place),
            Base::Context { up: 0, plain: true } => {
                match path.segments.split_first().and_then(|(name, rest)| Some((self.variable(name)?, rest))) {
                    Some((shape, rest)) => self.descend(shape, raw, rest, place),
                    None => self.below(self.frames.len() - 1, raw, &path.segments, place),
                }
            }
            Base::Context { up, .. } => match (self.frames.len() - 1).checked_sub(up) {
                Some(frame) => self.below(frame, raw, &path.segments, place),
                None => missing(self.parsed.fault(place, raw, format!("`{raw}` leads out of the template"))),
            },
        };
        match result {
            Ok(shape) => Some(shape),
            Err(fault) => {
                self.fault(fault);
                None
            }
        }
    }

    fn variable(&self, name: &str) -> Option<Shape> {
        for frame in self.frames.iter().rev() {
            if let Some(shape) = frame.variables.get(name) {
                return Some(shape.clone());
            }
            if frame.is_partial {
                return None;
            }
        }
        None
    }

    fn data(&self, raw: &str, path: &Path, up: usize, place: Place) -> Result<Shape, Fault> {
        let name = path.segments.first().map_or("", |name| &**name);
        let loops: Vec<Option<bool>> =
            self.frames.iter().rev().filter_map(|frame| if let Data::Loop { keyed } = frame.data { Some(keyed) } else { None }).collect();
        let fault = |message: String| Err(self.parsed.fault(place, raw, message));
        if !matches!(name, "index" | "key" | "first" | "last") || path.segments.len() != 1 {
            return fault(format!("there is no `{raw}`"))
                .map_err(|fault: Fault| fault.help("there are `@index`, `@key`, `@first`, `@last` and `@root`"));
        }
        match loops.get(up) {
            None => fault(format!("`{raw}` has a meaning only in `each`")),
            Some(Some(false)) if name == "key" => fault(format!("`{raw}`: the elements of a list have no keys; use `@index`")),
            Some(_) => Ok(Shape::Leaf),
        }
    }

    fn below(&mut self, frame: usize, raw: &str, segments: &[String], place: Place) -> Result<Shape, Fault> {
        let Some(Frame { context, is_root, .. }) = self.frames.get(frame) else { return Ok(Shape::Any) };
        let (context, is_root) = (context.clone(), *is_root);
        let result = self.descend(context, raw, segments, place);
        if is_root && result.is_ok() {
            self.used.note(segments);
        }
        result.map_err(|fault| if is_root || fault.help.is_some() { fault } else { self.hint_outer(fault, segments) })
    }

    /// A name that is not in the element of a block may be meant from the outside.
    fn hint_outer(&self, fault: Fault, segments: &[String]) -> Fault {
        let outer = self.frames.first().zip(segments.first()).and_then(|(root, name)| root.context.get(name));
        match outer {
            Some(_) => fault.help(format!("inside a block write `@root.{}`", segments.join("."))),
            None => fault,
        }
    }

    fn descend(&self, mut shape: Shape, raw: &str, segments: &[String], place: Place) -> Result<Shape, Fault> {
        for (index, name) in segments.iter().enumerate() {
            let Some(next) = shape.get(name) else {
                let message = match segments.get(..index).filter(|before| !before.is_empty()) {
                    Some(before) if shape == Shape::Leaf => format!("there is nothing below `{}`", before.join(".")),
                    Some(before) => format!("there is no `{name}` in `{}`", before.join(".")),
                    None => format!("there is no `{name}` here"),
                };
                return Err(near(self.parsed.fault(place, raw, message), name, &shape));
            };
            shape = next;
        }
        Ok(shape)
    }

    fn block(&mut self, name: &str, block: &'t HelperTemplate, place: Place) {
        let subject = walk::subject(self.parsed, name, block, place);
        let shape = match subject {
            Ok(parameter) => self.parameter(parameter, place),
            Err(fault) => {
                self.fault(fault);
                None
            }
        };
        if let Some(body) = &block.template {
            match name {
                "each" => self.each(block, body, shape, place),
                "with" => {
                    let context = shape.unwrap_or(Shape::Any);
                    let variables = variables(block, &context, false);
                    self.inside(Frame { context, is_root: false, data: Data::None, variables, is_partial: false }, body, place);
                }
                _ => self.template(body, place),
            }
        }
        if let Some(other) = &block.inverse {
            self.template(other, place);
        }
    }

    fn each(&mut self, block: &'t HelperTemplate, body: &'t handlebars::Template, shape: Option<Shape>, place: Place) {
        // After an error in the name, the body is checked for its other names.
        let shape = shape.unwrap_or(Shape::Any);
        let Some(elements) = shape.elements() else {
            let word = block.params.first().and_then(Parameter::as_name).unwrap_or("each").to_owned();
            let fault = self.parsed.fault(place, &word, format!("`each` goes through a list or a map, and `{word}` is neither"));
            return self.fault(fault);
        };
        let keyed = shape.is_keyed();
        for context in elements {
            let variables = variables(block, &context, true);
            self.inside(Frame { context, is_root: false, data: Data::Loop { keyed }, variables, is_partial: false }, body, place);
        }
    }

    fn inside(&mut self, frame: Frame, body: &'t handlebars::Template, place: Place) {
        self.frames.push(frame);
        self.template(body, place);
        self.frames.pop();
    }

    fn partial(&mut self, partial: &'t DecoratorTemplate, place: Place) {
        let (name, body) = match self.partials.find(self.parsed, partial, place) {
            Ok(found) => found,
            Err(fault) => return self.fault(fault),
        };
        let current = self.frames.last().map_or(Shape::Any, |frame| frame.context.clone());
        let context = match partial.params.first() {
            Some(parameter) => self.parameter(parameter, place).unwrap_or(Shape::Any),
            None => current,
        };
        let is_root = partial.params.is_empty() && self.frames.last().is_some_and(|frame| frame.is_root);
        let mut variables = BTreeMap::new();
        for (name, parameter) in walk::sorted(&partial.hash) {
            variables.insert(name.clone(), self.parameter(parameter, place).unwrap_or(Shape::Any));
        }
        if self.active.iter().any(|active| active == name) {
            let fault = self.parsed.fault(place, name, format!("the partial `{name}` includes itself"));
            return self.fault(fault);
        }
        self.active.push(name.to_owned());
        let data = self.frames.last().map_or(Data::None, |frame| frame.data);
        self.inside(Frame { context, is_root, data, variables, is_partial: true }, body, place);
        self.active.pop();
    }
}

/// The variables that a block names: `as |value key|`.
fn variables(block: &HelperTemplate, context: &Shape, with_key: bool) -> BTreeMap<String, Shape> {
    let name = |parameter: &Parameter| parameter.as_name().unwrap_or_default().to_owned();
    match &block.block_param {
        Some(BlockParam::Single(value)) => [(name(value), context.clone())].into(),
        Some(BlockParam::Pair((value, key))) if with_key => [(name(value), context.clone()), (name(key), Shape::Leaf)].into(),
        Some(BlockParam::Pair((value, _))) => [(name(value), context.clone())].into(),
        _ => BTreeMap::new(),
    }
}

fn near(fault: Fault, name: &str, shape: &Shape) -> Fault {
    let names = shape.names();
    match did_you_mean(name, names.iter().map(|name| &**name)) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault,
    }
}
