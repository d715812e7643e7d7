//! Templates: what a workspace or a cluster takes in with `from`.
//!
//! A template is a body that others lay their own over. Each block with `from` has a list of layers: the templates that it names, each after
//! those that it names itself, every one once. [`Inherited`] makes one ordinary body of them, in which everything keeps the place where it is
//! written; names in it mean what they mean in the block that inherits.

mod merge;
mod shipped;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_lang::references;
use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, Span, Value, did_you_mean};
use cloudtik_syntax::{Attribute, Block, Body};

use crate::declare::{Name, named_by};
use crate::dynamic::{DYNAMIC, Unrolled, has_dynamic, unrolled, unrolled_bodies};
use crate::evaluate::unknown_at_plan_time;
use crate::expand::Expansion;
use crate::language::template_body;
use crate::schema::{BlockSchema, Extent, check_body, check_extent};
use crate::scope::Instance;

pub(crate) use merge::check_inherited;
pub(crate) use shipped::Shipped;

/// The attribute that names templates.
pub(crate) const FROM: &str = "from";

/// What stands for the inherited values in the expressions of a block.
pub(crate) const INHERITED: &str = "inherited";

/// The root of references to templates.
const TEMPLATE: &str = "template";

/// The most templates that a block inherits from: nobody follows more, and the layers of all blocks are held at once.
pub(crate) const MAX_TEMPLATES: usize = 32;

/// What a block inherits from.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    /// A template of the project.
    Own(Arc<Block>),
    /// The name of one that a provider ships, and where it is named.
    Shipped(Arc<str>, Span),
}

impl Layer {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Own(one), Self::Own(other)) => one.header == other.header,
            (Self::Shipped(one, _), Self::Shipped(other, _)) => one == other,
            _ => false,
        }
    }
}

/// The templates that were declared: the layers of each, itself last.
pub(crate) type Templates = BTreeMap<Arc<str>, Vec<Layer>>;

/// Checks a `template` block and makes it known.
pub(crate) fn declare_template(expansion: &mut Expansion<'_>, block: &Block) {
    let Some(label) = block.labels.first() else { return };
    let mut found = Diagnostics::new();
    check_extent(&block.body, &template_body(), Extent::Part, "`template`", block.header, &mut found);
    check_words(expansion, block, &mut found);
    check_names(expansion, &block.body, &mut found);
    expansion.found.extend(found);
    let (mut layers, true) = layers_of(expansion, block) else { return };
    layers.push(Layer::Own(Arc::new(block.clone())));
    expansion.world.templates.insert(Arc::clone(&label.text), layers);
}

/// A template is a body of a workspace or of a cluster, not a bit of both: nobody could inherit all of it.
fn check_words(expansion: &Expansion<'_>, block: &Block, found: &mut Diagnostics) {
    let attributes = block.body.attributes.iter().map(|attribute| (&*attribute.name.name, attribute.name.span));
    let blocks = block.body.blocks.iter().map(|inner| match inner.labels.first() {
        Some(label) if &*inner.kind.name == DYNAMIC => (&*label.text, label.span),
        _ => (&*inner.kind.name, inner.kind.span),
    });
    let words: Vec<(&str, Span)> = attributes.chain(blocks).collect();
    let only_of = |this: &str, other: &str| {
        let (this, other) = (expansion.top(this), expansion.top(other));
        let has = |schema: &BlockSchema, word: &str| schema.attribute(word).is_some() || schema.block(word).is_some();
        words.iter().find(|(word, _)| has(&this, word) && !has(&other, word)).copied()
    };
    if let (Some((first, place)), Some((second, other))) = (only_of("workspace", "cluster"), only_of("cluster", "workspace")) {
        let title = format!("`{first}` is of a workspace and `{second}` of a cluster");
        found.push(
            Diagnostic::error("mixed-template", title)
                .at(place.max(other))
                .and_at(place.min(other), "the other one")
                .help("write two templates: one for workspaces and one for clusters"),
        );
    }
}

/// Names that nothing declares. What is inherited by nobody is not evaluated, and must be sound all the same.
fn check_names(expansion: &Expansion<'_>, body: &Body, found: &mut Diagnostics) {
    for attribute in body.attributes.iter().filter(|attribute| &*attribute.name.name != FROM) {
        for reference in references(&attribute.value) {
            let names = crate::order::attribute_names(&reference.steps);
            let Some(name) = named_by(&reference.root, &names) else { continue };
            let is_checked = matches!(
                name,
                Name::Variable(_) | Name::Local(_) | Name::Workspace(_) | Name::Cluster(_) | Name::Data(..) | Name::Template(_)
            );
            if is_checked && !expansion.world.declared.contains(&name) {
                found.push(expansion.world.unknown(&name, reference.span));
            }
        }
    }
    body.blocks.iter().for_each(|block| check_names(expansion, &block.body, found));
}

/// The layers below a block, as its `from` names them, and whether these are all: what is wrong with the others has been said.
fn layers_of(expansion: &mut Expansion<'_>, block: &Block) -> (Vec<Layer>, bool) {
    let Some(from) = block.body.attribute(FROM) else { return (Vec::new(), true) };
    let items = match &from.value.kind {
        ExprKind::Tuple(items) => items.iter().collect(),
        _ => vec![&from.value],
    };
    let mut layers: Vec<Layer> = Vec::new();
    let mut is_sound = true;
    for item in items {
        let Some(named) = layers_named(expansion, item) else {
            is_sound = false;
            continue;
        };
        for of_one in named {
            let Some(itself) = of_one.last() else { continue };
            if layers.iter().any(|layer| layer.is(itself)) {
                let help = "name each template once, and what others are made from before them or not at all";
                let title = "this template is inherited already, by what stands before it";
                expansion.found.push(Diagnostic::error("inherited-twice", title).at(item.span).help(help));
                is_sound = false;
            }
            for layer in of_one {
                if !layers.iter().any(|known| known.is(&layer)) {
                    layers.push(layer);
                }
            }
        }
    }
    if layers.len() > MAX_TEMPLATES {
        let title = format!("it inherits from {} templates; at most {MAX_TEMPLATES} are taken", layers.len());
        expansion.found.push(Diagnostic::error("too-many-templates", title).at(from.span));
        is_sound = false;
    }
    (layers, is_sound)
}

/// The layers of each template that an element of `from` names.
fn layers_named(expansion: &mut Expansion<'_>, item: &Expr) -> Option<Vec<Vec<Layer>>> {
    if let ExprKind::Attribute { of, name } = &item.kind
        && matches!(&of.kind, ExprKind::Variable(root) if &**root == TEMPLATE)
    {
        return own_layers(expansion, name, item.span).map(|layers| vec![layers]);
    }
    let varies = references(item).into_iter().find(|reference| matches!(&*reference.root, "each" | "count" | INHERITED));
    if let Some(varies) = varies {
        let title = format!("`{FROM}` is the same for all instances, and `{}` is not known in it", varies.root);
        let help = "write one block for each template";
        expansion.found.push(Diagnostic::error("from-varies", title).at(varies.span).help(help));
        return None;
    }
    let value = match expansion.evaluator(&Instance::default()).expression(item, false) {
        Ok((value, _)) => value,
        Err(diagnostics) => {
            expansion.found.extend(diagnostics);
            return None;
        }
    };
    match shipped_names(&value, item.span) {
        Ok(names) => Some(names.into_iter().map(|name| vec![Layer::Shipped(name, item.span)]).collect()),
        Err(diagnostic) => {
            expansion.found.push(diagnostic);
            None
        }
    }
}

fn own_layers(expansion: &mut Expansion<'_>, label: &Arc<str>, span: Span) -> Option<Vec<Layer>> {
    let name = Name::Template(Arc::clone(label));
    let known = expansion.world.templates.get(label).filter(|_| !expansion.world.failed.contains(&name));
    if known.is_none() && !expansion.world.declared.contains(&name) {
        let unknown = expansion.world.unknown(&name, span);
        expansion.found.push(unknown);
    } else if known.is_none() {
        // What is wrong with it has been said, and what inherits from it is left out.
        expansion.found.push(Diagnostic::error(crate::scope::SAID_BEFORE, format!("`{name}` has errors")).at(span));
    }
    known.cloned()
}

/// The names that a value gives: a text, a list of texts, or null for none.
fn shipped_names(value: &Value, span: Span) -> Result<Vec<Arc<str>>, Diagnostic> {
    if value.has_sensitive() {
        return Err(Diagnostic::error("bad-from", format!("`{FROM}` must not be sensitive: names of templates are shown")).at(span));
    }
    if !value.is_known() {
        return Err(unknown_at_plan_time(FROM, value, span));
    }
    let wrong = |value: &Value| {
        let title = format!("`{FROM}` names templates, and {} was given", value.describe());
        Diagnostic::error("bad-from", title).at(span).help("write `template.NAME`, or the name of a shipped one: `\"standard\"`")
    };
    let text = |value: &Value| value.as_str().map(Arc::from).ok_or_else(|| wrong(value));
    match value.elements() {
        Some(items) => items.map(text).collect(),
        None if value.is_null() => Ok(Vec::new()),
        None => text(value).map(|name| vec![name]),
    }
}

/// A block with what it inherits.
pub(crate) struct Inherited<'b> {
    /// All of it as one block; what `dynamic` makes stands in it as it is written.
    pub(crate) block: Cow<'b, Block>,
    /// The bodies that it is made of, where what is made of collections must be made first.
    bodies: Vec<Cow<'b, Body>>,
}

impl<'b> Inherited<'b> {
    /// Of a workspace or a cluster. `None`: what is wrong has been said.
    pub(crate) fn of(expansion: &mut Expansion<'_>, block: &'b Block, schema: &BlockSchema) -> Option<Self> {
        let (layers, mut is_sound) = layers_of(expansion, block);
        if block.body.attribute(FROM).is_none() {
            return Some(Self { block: Cow::Borrowed(block), bodies: Vec::new() });
        }
        // Whose templates are meant may itself be inherited, but not from a shipped one.
        let own = layers.iter().filter_map(|layer| match layer {
            Layer::Own(template) => Some(&template.body),
            Layer::Shipped(..) => None,
        });
        let without_shipped = merge::merged(own.chain([&block.body]), schema, &mut Diagnostics::new());
        let mut bodies: Vec<Cow<'b, Body>> = Vec::new();
        for layer in &layers {
            match layer {
                Layer::Own(template) => bodies.push(Cow::Owned(template.body.clone())),
                Layer::Shipped(name, place) => {
                    let named = shipped::layers(expansion, name, *place, schema.name, &without_shipped);
                    is_sound &= named.is_some();
                    bodies.extend(named.into_iter().flatten().map(|template| Cow::Owned(template.body.clone())));
                }
            }
        }
        if !is_sound {
            return None;
        }
        bodies.push(Cow::Borrowed(&block.body));
        let mut found = Diagnostics::new();
        let body = merge::merged(bodies.iter().map(|body| &**body), schema, &mut found);
        let block = Block { body, ..block.clone() };
        let is_made_first = bodies.iter().any(|body| has_dynamic(body));
        if is_made_first {
            // Names and repetitions are looked at once the blocks are made.
            return Some(Self { block: Cow::Owned(block), bodies }).filter(|_| !report(expansion, found));
        }
        check_body(&block.body, schema, &format!("`{}`", schema.name), block.header, &mut found);
        let failed = report(expansion, found);
        Some(Self { block: Cow::Owned(block), bodies: Vec::new() }).filter(|_| !failed)
    }

    /// The block for one instance: what `dynamic` makes is made, in each layer for itself.
    pub(crate) fn unrolled<'s>(
        &'s self,
        expansion: &Expansion<'_>,
        instance: &'s Instance,
        schema: &BlockSchema,
        found: &mut Diagnostics,
    ) -> Unrolled<'s> {
        if self.bodies.is_empty() {
            return unrolled(expansion, &self.block, instance, schema, found);
        }
        let written: Vec<&Body> = self.bodies.iter().map(|body| &**body).collect();
        let (bodies, instance) = unrolled_bodies(expansion, &written, instance, found);
        let body = merge::merged(&bodies, schema, found);
        let block = Block { body, ..(*self.block).clone() };
        check_body(&block.body, schema, &format!("`{}`", schema.name), block.header, found);
        Unrolled { block: Cow::Owned(block), instance: Cow::Owned(instance) }
    }
}

fn report(expansion: &mut Expansion<'_>, found: Diagnostics) -> bool {
    let failed = found.has_errors();
    expansion.found.extend(found);
    failed
}

/// Says of everything that was found in a template where it is inherited, and says it once: the fault is the template's.
pub(crate) fn say_who_inherits(expansion: &mut Expansion<'_>, errors: usize, name: &Name, from: &Attribute) {
    if expansion.found.len() == errors {
        return;
    }
    let mut all = std::mem::take(&mut expansion.found).into_iter();
    let mut found: Diagnostics = all.by_ref().take(errors).collect();
    let place = |diagnostic: &Diagnostic| diagnostic.primary.as_ref().map(|label| label.span);
    for diagnostic in all {
        let span = place(&diagnostic).filter(|span| expansion.is_in_template(*span));
        if span.is_none() {
            found.push(diagnostic);
            continue;
        }
        let is_same = |other: &Diagnostic| place(other) == span && other.code == diagnostic.code && other.title == diagnostic.title;
        if !found.iter().any(is_same) {
            found.push(diagnostic.and_at(from.span, format!("`{name}` inherits it")));
        }
    }
    expansion.found = found;
}

/// What is said of a shipped template that there is not.
fn unknown_shipped(name: &str, place: Span, provider: &str, known: &[&str], is_own: bool) -> Diagnostic {
    let title = format!("provider `{provider}` ships no template `{name}`");
    let near = did_you_mean(name, known.iter().copied()).map(|near| format!("did you mean `\"{near}\"`?"));
    let help = if is_own { Some(format!("the project has one: write `{TEMPLATE}.{name}`, without quotes")) } else { near };
    let note = if known.is_empty() { "it ships none".to_owned() } else { format!("it ships {}", known.join(", ")) };
    Diagnostic::error("unknown-template", title).at(place).maybe_help(help).note(note)
}
