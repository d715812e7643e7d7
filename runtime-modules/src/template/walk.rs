//! What the check and the rendering have in common: the parts of the language that there are, and the refusal of all others.

use std::collections::BTreeMap;

use cloudtik_model::did_you_mean;
use handlebars::template::{DecoratorTemplate, HelperTemplate, Parameter, TemplateElement};

use super::Fault;
use super::helpers::{self, BLOCKS, HELPERS, Helper};
use super::parse::{Parsed, Place};

/// An element of a template.
pub(super) enum Node<'t> {
    Text(&'t str),
    /// `{{name}}`, `{{helper argument}}`
    Output(&'t HelperTemplate),
    /// `{{#if …}}` and the like.
    Block(&'static str, &'t HelperTemplate),
    /// `{{> name}}`
    Partial(&'t DecoratorTemplate),
    /// A comment; a partial where it is defined.
    Nothing,
}

/// What an element is.
pub(super) fn node<'t>(parsed: &Parsed, element: &'t TemplateElement, place: Place) -> Result<Node<'t>, Fault> {
    match element {
        TemplateElement::RawString(text) => Ok(Node::Text(text)),
        TemplateElement::Comment(_) => Ok(Node::Nothing),
        TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => Ok(Node::Output(call)),
        TemplateElement::HelperBlock(block) => {
            let name = block.name.as_name().unwrap_or_default();
            match BLOCKS.iter().find(|known| **known == name) {
                Some(known) => Ok(Node::Block(known, block)),
                None => Err(unknown(parsed, place, name, "block", &BLOCKS)),
            }
        }
        TemplateElement::PartialExpression(partial) => Ok(Node::Partial(partial)),
        TemplateElement::DecoratorBlock(_) => Ok(Node::Nothing),
        _ => Err(parsed
            .fault(place, "", "decorators and blocks of partials are not known here")
            .help("a partial is defined with `{{#*inline \"name\"}}…{{/inline}}` and used with `{{> name}}`")),
    }
}

fn unknown(parsed: &Parsed, place: Place, name: &str, what: &str, all: &[&str]) -> Fault {
    let fault = parsed.fault(place, name, format!("there is no {what} `{name}`"));
    match did_you_mean(name, all.iter().copied()) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault.help(format!("there are {}", all.join(", "))),
    }
}

/// The helper that a tag calls; `None` for a plain name.
pub(super) fn helper_of(parsed: &Parsed, call: &HelperTemplate, place: Place) -> Result<Option<&'static Helper>, Fault> {
    if call.params.is_empty() && call.hash.is_empty() {
        let name = call.name.as_name().unwrap_or_default();
        return match helpers::find(name) {
            Some(helper) => Err(parsed.fault(place, name, format!("`{name}` needs an argument")).help(format!("write `{}`", helper.usage))),
            None => Ok(None),
        };
    }
    let name = call.name.as_name().unwrap_or_default();
    let Some(helper) = helpers::find(name) else {
        let names: Vec<&str> = HELPERS.iter().map(|helper| helper.name).collect();
        return Err(unknown(parsed, place, name, "helper", &names));
    };
    let (least, most) = helper.arguments;
    if !(least..=most).contains(&call.params.len()) || !call.hash.is_empty() {
        let message = format!("`{name}` is called with the wrong number of arguments");
        return Err(parsed.fault(place, name, message).help(format!("write `{}`", helper.usage)));
    }
    Ok(Some(helper))
}

/// What stands in parentheses.
pub(super) fn inner(parameter: &Parameter) -> Option<&HelperTemplate> {
    let Parameter::Subexpression(inner) = parameter else { return None };
    match inner.as_element() {
        TemplateElement::Expression(call) => Some(call),
        _ => None,
    }
}

/// What a block is about: its one argument.
pub(super) fn subject<'t>(parsed: &Parsed, name: &str, block: &'t HelperTemplate, place: Place) -> Result<&'t Parameter, Fault> {
    match block.params.as_slice() {
        [subject] if block.hash.is_empty() => Ok(subject),
        _ => Err(parsed
            .fault(place, name, format!("`{name}` takes one argument"))
            .help(format!("write `{{{{#{name} value}}}}…{{{{/{name}}}}}`"))),
    }
}

/// Named arguments in an order that is always the same.
pub(super) fn sorted<'t>(hash: impl IntoIterator<Item = (&'t String, &'t Parameter)>) -> BTreeMap<&'t String, &'t Parameter> {
    hash.into_iter().collect()
}

/// The partials that a template defines.
pub(super) struct Partials<'t>(BTreeMap<&'t str, &'t handlebars::Template>);

impl<'t> Partials<'t> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Those of a template. They stand at its top level, so that what is used does not depend on what was rendered before.
    pub(super) fn of(parsed: &'t Parsed) -> Result<Self, Fault> {
        let mut found = Self::new();
        for (index, element) in parsed.root.elements.iter().enumerate() {
            let TemplateElement::DecoratorBlock(block) = element else { continue };
            let place = parsed.place(&parsed.root.mapping, index, Place(0));
            let name = match (block.name.as_name(), block.params.as_slice(), &block.template) {
                (Some("inline"), [Parameter::Literal(serde_json::Value::String(name))], Some(body)) => {
                    if found.0.insert(name, body).is_some() { Err(format!("there are two partials `{name}`")) } else { Ok(()) }
                }
                (Some("inline"), ..) => Err("a partial is defined with its name in quotes".to_owned()),
                (name, ..) => Err(format!("there is no decorator `{}`", name.unwrap_or_default())),
            };
            name.map_err(|message| parsed.fault(place, "", message).help("write `{{#*inline \"name\"}}…{{/inline}}`"))?;
        }
        Ok(found)
    }

    /// The partial that a tag asks for.
    pub(super) fn find(
        &self,
        parsed: &Parsed,
        tag: &'t DecoratorTemplate,
        place: Place,
    ) -> Result<(&'t str, &'t handlebars::Template), Fault> {
        let Some(name) = tag.name.as_name() else {
            return Err(parsed.fault(place, "", "the name of a partial is written as it is"));
        };
        if tag.params.len() > 1 {
            return Err(parsed.fault(place, name, "a partial takes one argument, what it is about, and named ones"));
        }
        match self.0.get(name) {
            Some(body) => Ok((name, body)),
            None => {
                let fault = parsed.fault(place, name, format!("there is no partial `{name}`"));
                let near = did_you_mean(name, self.0.keys().copied());
                Err(fault.help(near.map_or_else(
                    || format!("define it at the top: `{{{{#*inline \"{name}\"}}}}…{{{{/inline}}}}`"),
                    |near| format!("did you mean `{near}`?"),
                )))
            }
        }
    }
}
