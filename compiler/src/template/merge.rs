//! How bodies become one: what templates say, in their order, and what the block says itself over it.
//!
//! It is done on what is written, before anything is evaluated, so that everything after it sees one ordinary body, whose every part knows
//! its place. Where only a value can tell whether it is a map, an internal function of the evaluator stands between the two expressions.

use std::sync::Arc;

use cloudtik_lang::{INHERIT, ReferenceStep, references};
use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, Type, did_you_mean};
use cloudtik_provider_api::Presence;
use cloudtik_syntax::{Attribute, Block, Body, MAX_EXPRESSION_DEPTH};

use super::{FROM, INHERITED};
use crate::dynamic::DYNAMIC;
use crate::schema::BlockSchema;

/// The most parts of an expression after what it inherits was put into it: far more than anybody writes, and little enough that templates
/// which name `inherited` twice each cannot double it for ever.
pub(crate) const MAX_INHERITED_PARTS: usize = 10_000;

/// The ways to say what machine a node is: whoever says it in one way does not inherit what was said in another.
const MACHINES: [&[&str]; 3] = [&["instance_type"], &["instance_types"], &["cpus", "memory_gib", "gpus", "gpu_type"]];

/// One body of several, the last of which says most.
pub(super) fn merged<'b>(bodies: impl IntoIterator<Item = &'b Body>, schema: &BlockSchema, found: &mut Diagnostics) -> Body {
    let mut merged = Body::default();
    for body in bodies {
        merged = over(merged, body, schema, found);
    }
    merged
}

/// What is inherited, with what is written over it.
fn over(inherited: Body, own: &Body, schema: &BlockSchema, found: &mut Diagnostics) -> Body {
    let resolved = resolved(own, &inherited, schema, found);
    let Body { mut attributes, mut blocks, .. } = inherited;
    attributes.retain(|attribute| !says_otherwise(&attribute.name.name, &resolved));
    for attribute in resolved {
        let same = attributes.iter().position(|other| other.name.name == attribute.name.name);
        let base = same.map(|at| attributes.remove(at));
        // Without it the attribute has its default, as if nobody had ever written it.
        if !is_null(&attribute.value) {
            let merged = base.map_or_else(|| attribute.clone(), |base| attribute_over(&base, &attribute, schema));
            attributes.insert(same.unwrap_or(attributes.len()), merged);
        }
    }
    for block in &own.blocks {
        block_over(&mut blocks, block, schema, found);
    }
    Body { attributes, blocks, span: own.span }
}

fn attribute_over(base: &Attribute, own: &Attribute, schema: &BlockSchema) -> Attribute {
    let rule = schema.attribute(&own.name.name);
    let may_be_map = match rule {
        Some(rule) if rule.reference => false,
        Some(rule) => matches!(rule.schema.ty, Type::Map(_) | Type::Object(_) | Type::Any),
        None => schema.open,
    };
    // What is written as something else is no map, whatever it is worth.
    let is_other = |expr: &Expr| matches!(expr.kind, ExprKind::Tuple(_) | ExprKind::Literal(_) | ExprKind::Template(_));
    if !may_be_map || is_other(&base.value) || is_other(&own.value) {
        return own.clone();
    }
    let mut args = match &base.value.kind {
        ExprKind::Call { name, args, .. } if &**name == INHERIT => args.clone(),
        _ => vec![base.value.clone()],
    };
    args.push(own.value.clone());
    Attribute { value: Expr::new(ExprKind::Call { name: INHERIT.into(), args, expand: false }, own.value.span), ..own.clone() }
}

/// Blocks of one kind with the same labels are one; those that may be repeated without a label are all kept.
fn block_over(blocks: &mut Vec<Block>, own: &Block, schema: &BlockSchema, found: &mut Diagnostics) {
    let rule = schema.block(&own.kind.name).filter(|_| &*own.kind.name != DYNAMIC);
    let nothing = BlockSchema { open: true, ..BlockSchema::default() };
    let inner = rule.map_or(&nothing, |rule| &rule.schema);
    let is_one = rule.is_some_and(|rule| !(rule.many && rule.schema.labels.is_empty())) || rule.is_none() && schema.open;
    let labels = |block: &Block| block.labels.iter().map(|label| Arc::clone(&label.text)).collect::<Vec<_>>();
    let is_same = |other: &Block| other.kind.name == own.kind.name && labels(other) == labels(own);
    let Some(at) = blocks.iter().position(is_same).filter(|_| is_one && &*own.kind.name != DYNAMIC) else {
        // What is made of a collection inherits once it is made.
        let is_made = &*own.kind.name == DYNAMIC;
        let body = if is_made { own.body.clone() } else { over(Body::default(), &own.body, inner, found) };
        blocks.push(Block { body, ..own.clone() });
        return;
    };
    let base = blocks.remove(at);
    if !is_off(own) {
        let body = over(base.body, &own.body, inner, found);
        blocks.insert(at, Block { body, ..own.clone() });
    } else if inner.off_counts {
        blocks.insert(at, own.clone());
    }
}

/// Whether it says `enabled = false`.
fn is_off(block: &Block) -> bool {
    let enabled = block.body.attribute("enabled").map(|attribute| &attribute.value.kind);
    matches!(enabled, Some(ExprKind::Literal(value)) if value.as_bool() == Some(false))
}

fn is_null(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Literal(value) if value.is_null())
}

/// Whether an inherited attribute says what machine a node is, and these say it in another way.
fn says_otherwise(inherited: &str, own: &[Attribute]) -> bool {
    let way = |name: &str| MACHINES.iter().position(|way| way.contains(&name));
    let Some(inherited) = way(inherited) else { return false };
    let own = own.iter().filter(|attribute| !is_null(&attribute.value)).find_map(|attribute| way(&attribute.name.name));
    own.is_some_and(|own| own != inherited)
}

/// The attributes of a body with what they inherit in the place of `inherited.NAME`.
fn resolved(own: &Body, inherited: &Body, schema: &BlockSchema, found: &mut Diagnostics) -> Vec<Attribute> {
    let written = own.attributes.iter().filter(|attribute| !(schema.inherits && &*attribute.name.name == FROM));
    let names = |attribute: &Attribute| references(&attribute.value).iter().any(|reference| &*reference.root == INHERITED);
    let resolved = written.filter_map(|attribute| {
        let rule = schema.attribute(&attribute.name.name);
        let value = if names(attribute) { resolved_value(&attribute.value, inherited, schema, found)? } else { attribute.value.clone() };
        let value = if rule.is_some_and(|rule| rule.reference) { one_list(value) } else { value };
        Some(Attribute { value, ..attribute.clone() })
    });
    resolved.collect()
}

fn resolved_value(expr: &Expr, inherited: &Body, schema: &BlockSchema, found: &mut Diagnostics) -> Option<Expr> {
    let mut left = MAX_INHERITED_PARTS;
    let value = put_in(expr, &|name| inherited_value(name, inherited, schema), &mut left);
    let (parts, levels) = size(&value);
    let most = if left == 0 || parts > MAX_INHERITED_PARTS {
        format!("{MAX_INHERITED_PARTS} parts")
    } else if levels > MAX_EXPRESSION_DEPTH {
        format!("{MAX_EXPRESSION_DEPTH} levels")
    } else {
        return Some(value);
    };
    let title = format!("with what it inherits the expression has more than {most}");
    found.push(Diagnostic::error("inherited-too-large", title).at(expr.span).help("name `inherited` in fewer templates on one another"));
    None
}

/// The expression with what is inherited in its place, up to so many parts: beyond the limit nothing more is put in, and it is an error anyway.
fn put_in(expr: &Expr, value_of: &dyn Fn(&str) -> Option<Expr>, left: &mut usize) -> Expr {
    let Some(value) = inherited_name(expr).and_then(|name| value_of(&name)) else {
        return expr.map_children(&mut |child, hidden| {
            let is_hidden = hidden.iter().any(|name| &**name == INHERITED);
            if is_hidden { child.clone() } else { put_in(child, value_of, left) }
        });
    };
    let parts = size(&value).0;
    let is_within = parts < *left;
    *left = left.saturating_sub(parts);
    if is_within { value } else { Expr::literal(0_u64) }
}

/// What an attribute has before the block says anything: from a template, else its default.
fn inherited_value(name: &str, inherited: &Body, schema: &BlockSchema) -> Option<Expr> {
    if let Some(attribute) = inherited.attribute(name) {
        return Some(attribute.value.clone());
    }
    match schema.attribute(name).map(|rule| &rule.schema.presence) {
        Some(Presence::Default(value)) => Some(Expr::literal(value.clone())),
        _ => None,
    }
}

/// `inherited.NAME`, `inherited["NAME"]`
fn inherited_name(expr: &Expr) -> Option<Arc<str>> {
    let is_root = |of: &Expr| matches!(&of.kind, ExprKind::Variable(root) if &**root == INHERITED);
    match &expr.kind {
        ExprKind::Attribute { of, name } if is_root(of) => Some(Arc::clone(name)),
        ExprKind::Index { of, key } if is_root(of) => match &key.kind {
            ExprKind::Literal(name) => name.as_str().map(Arc::from),
            _ => None,
        },
        _ => None,
    }
}

/// Lists of references are read and not evaluated: `concat` of written ones is written out.
fn one_list(expr: Expr) -> Expr {
    let ExprKind::Call { name, args, expand: false } = &expr.kind else { return expr };
    if &**name != "concat" {
        return expr;
    }
    let mut all = Vec::new();
    for arg in args {
        match one_list(arg.clone()).kind {
            ExprKind::Tuple(items) => all.extend(items),
            _ => return expr,
        }
    }
    Expr::new(ExprKind::Tuple(all), expr.span)
}

/// How many parts an expression has, and how many levels.
fn size(expr: &Expr) -> (usize, usize) {
    let (mut parts, mut levels) = (1_usize, 0_usize);
    expr.for_each_child(&mut |child| {
        let (inner, below) = size(child);
        parts = parts.saturating_add(inner);
        levels = levels.max(below);
    });
    (parts, levels + 1)
}

/// A name behind `inherited` that the block has not.
pub(crate) fn check_inherited(expr: &Expr, schema: &BlockSchema, found: &mut Diagnostics) {
    for reference in references(expr).iter().filter(|reference| &*reference.root == INHERITED) {
        let Some(ReferenceStep::Attribute(name)) = reference.steps.first() else { continue };
        let is_from = schema.inherits && &**name == FROM;
        if schema.open || !is_from && schema.attribute(name).is_some() {
            continue;
        }
        let near = did_you_mean(name, schema.attributes.iter().map(|rule| rule.schema.name));
        let near = near.map(|near| format!("did you mean `{INHERITED}.{near}`?"));
        let diagnostic = Diagnostic::error("unknown-attribute", format!("`{INHERITED}` has no `{name}` here")).at(reference.span);
        found.push(diagnostic.maybe_help(near).note("it has the attributes of the block that it stands in"));
    }
}
