//! Objects that are written as blocks: `root_block_device { size = 8 }` for `root_block_device = [{ size = 8 }]`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::convert;
use cloudtik_model::spec::Field;
use cloudtik_model::{Address, Diagnostic, Diagnostics, ObjectField, Span, Type, Value, did_you_mean};
use cloudtik_provider_api::AttributeSchema;
use cloudtik_syntax::{Block, Body};

use crate::dynamic::{DYNAMIC, Dynamic};
use crate::evaluate::Evaluator;
use crate::expand::attribute;
use crate::schema::{BlockSchema, NestedRule};
use crate::wrong_type::wrong_type;

type Parts = BTreeMap<Arc<str>, ObjectField>;

/// The parts of an object, and whether there may be many of it.
fn parts(ty: &Type) -> Option<(&Parts, bool)> {
    match ty {
        Type::Object(parts) => Some((parts, false)),
        Type::List(of) | Type::Set(of) => match &**of {
            Type::Object(parts) => Some((parts, true)),
            _ => None,
        },
        _ => None,
    }
}

/// The rule of an attribute that may be written as blocks too; what may stand in them, its type says.
pub(crate) fn block_rule(schema: &AttributeSchema) -> Option<NestedRule> {
    let (_, many) = parts(&schema.ty)?;
    let object = Some(schema.ty.clone());
    Some(NestedRule { schema: BlockSchema { name: schema.name, open: true, object, ..BlockSchema::default() }, many })
}

/// The value of an attribute that is written as blocks, if it is.
pub(crate) fn blocks_value(
    evaluator: &Evaluator<'_>,
    schema: &AttributeSchema,
    block: &Block,
    needs: &mut BTreeSet<Address>,
    found: &mut Diagnostics,
) -> Option<Field> {
    let written: Vec<&Block> = block.body.blocks.iter().filter(|inner| *inner.kind.name == *schema.name).collect();
    let first = written.first()?;
    parts(&schema.ty)?;
    if let Some(other) = attribute(block, schema.name) {
        let title = format!("`{}` is written as an attribute and as a block", schema.name);
        found.push(Diagnostic::error("duplicate-block", title).at(first.header).and_at(other.name.span, "the other one"));
        return None;
    }
    let mut said = Diagnostics::new();
    written.iter().for_each(|block| check_parts(&block.body, schema.name, &schema.ty, &mut said));
    if said.has_errors() {
        return None;
    }
    let errors = found.len();
    let value = written_value(evaluator, schema.name, &schema.ty, &written, needs, found);
    if found.len() > errors {
        return None;
    }
    match convert(&value, &schema.ty) {
        Ok(value) => Some(Field::new(value.marked(schema.sensitive), first.header)),
        Err(error) => {
            found.push(wrong_type(schema.name, &schema.ty, &value, &error, first.header));
            None
        }
    }
}

fn written_value(
    evaluator: &Evaluator<'_>,
    name: &str,
    ty: &Type,
    blocks: &[&Block],
    needs: &mut BTreeSet<Address>,
    found: &mut Diagnostics,
) -> Value {
    let Some((parts, many)) = parts(ty) else { return Value::NULL };
    let mut values: Vec<Value> = blocks.iter().map(|block| object(evaluator, parts, block, needs, found)).collect();
    match (many, blocks) {
        (true, _) => Value::tuple(values),
        (false, [first, second, ..]) => {
            let title = format!("there is at most one `{name}`");
            found
                .push(Diagnostic::error("duplicate-block", title).at_saying(second.header, "the second").and_at(first.header, "the first"));
            Value::NULL
        }
        (false, _) => values.pop().unwrap_or(Value::NULL),
    }
}

fn object(evaluator: &Evaluator<'_>, parts: &Parts, block: &Block, needs: &mut BTreeSet<Address>, found: &mut Diagnostics) -> Value {
    let mut entries: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    for attribute in &block.body.attributes {
        let Some(part) = parts.get(&attribute.name.name) else { continue };
        let evaluated = evaluator.expression(&attribute.value, false).and_then(|(value, referred)| {
            needs.extend(referred);
            convert(&value, &part.ty)
                .map_err(|error| wrong_type(&attribute.name.name, &part.ty, &value, &error, attribute.value.span).into())
        });
        match evaluated {
            Ok(value) => {
                entries.insert(Arc::clone(&attribute.name.name), value);
            }
            Err(errors) => found.extend(errors),
        }
    }
    let mut inner: BTreeMap<&Arc<str>, Vec<&Block>> = BTreeMap::new();
    for block in &block.body.blocks {
        inner.entry(&block.kind.name).or_default().push(block);
    }
    for (name, blocks) in inner {
        let Some(part) = parts.get(name) else { continue };
        if let (true, Some(first)) = (entries.contains_key(name), blocks.first()) {
            let title = format!("`{name}` is written as an attribute and as a block");
            found.push(Diagnostic::error("duplicate-block", title).at(first.header));
            continue;
        }
        entries.insert(Arc::clone(name), written_value(evaluator, name, &part.ty, &blocks, needs, found));
    }
    Value::object(entries)
}

/// Says everything that is wrong with the names in the block of an object.
pub(crate) fn check_parts(body: &Body, name: &str, ty: &Type, found: &mut Diagnostics) {
    let Some((parts, _)) = parts(ty) else { return };
    let unknown = |what: &str, code: &'static str, written: &str, span: Span| {
        let near = did_you_mean(written, parts.keys().map(|part| &**part)).map(|near| format!("did you mean `{near}`?"));
        Diagnostic::error(code, format!("`{name}` has no {what} `{written}`")).at(span).maybe_help(near)
    };
    for written in body.attributes.iter().map(|attribute| &attribute.name).filter(|written| !parts.contains_key(&written.name)) {
        found.push(unknown("attribute", "unknown-attribute", &written.name, written.span));
    }
    for block in &body.blocks {
        let made = if &*block.kind.name == DYNAMIC { Dynamic::read(block, found) } else { None };
        let (written, span, inside) = match &made {
            Some(dynamic) => (&*dynamic.label.text, dynamic.label.span, &dynamic.content.body),
            None if &*block.kind.name == DYNAMIC => continue,
            None => (&*block.kind.name, block.kind.span, &block.body),
        };
        match parts.get(written).filter(|part| self::parts(&part.ty).is_some()) {
            Some(part) => check_parts(inside, written, &part.ty, found),
            None => found.push(unknown("block", "unknown-block", written, span)),
        }
    }
}
