//! `option` blocks.

use std::sync::Arc;

use cloudtik_lang::{Variables, parse_type};
use cloudtik_model::{Diagnostic, Diagnostics};
use cloudtik_syntax::Block;

use super::reader;
use crate::evaluate::expression;
use crate::module::{Module, OptionSchema, Validation};
use crate::schema::Kind;

/// Attributes and blocks that every `runtime` has; an option of such a name could not be written.
const RESERVED: [&str; 12] = [
    "allow_major_upgrade",
    "binary",
    "config",
    "depends_on",
    "discover",
    "dynamic",
    "enabled",
    "env",
    "on",
    "service",
    "source",
    "version",
];

/// Adds an option to the module.
pub(super) fn read(block: &Block, module: &mut Module, found: &mut Diagnostics) {
    let Some(label) = block.labels.first() else { return };
    let name = Arc::clone(&label.text);
    if RESERVED.contains(&&*name) {
        let title = format!("an option cannot be called `{name}`: every runtime has that");
        found.push(Diagnostic::error("reserved-name", title).at(label.span).note(format!("taken are {}", RESERVED.join(", "))));
        return;
    }
    if !is_name(&name) {
        found.push(Diagnostic::error("bad-name", format!("`{name}` is no name: letters, digits and `_` make one")).at(label.span));
        return;
    }
    let none = Variables::none();
    let Some(reader) = reader(block, &none) else { return };
    let Some(ty) = block.body.attribute("type") else { return };
    let ty = match parse_type(&ty.value) {
        Ok(ty) => ty,
        Err(diagnostics) => return found.extend(diagnostics),
    };
    let sensitive = reader.known("sensitive", found).and_then(|value| value.as_bool()).unwrap_or(false);
    let doc = reader.text("description", found).flatten().unwrap_or_default();
    let default = block.body.attribute("default");
    let value = match default {
        Some(attribute) => match expression(&attribute.value, "default", Kind::Free, &none, found) {
            Some(value) => match cloudtik_lang::convert(&value, &ty) {
                Ok(value) => Some(value.marked(sensitive)),
                Err(fault) => {
                    let title = format!("the default of `{name}` is no {ty}: {fault}");
                    found.push(Diagnostic::error("wrong-type", title).at(attribute.value.span).maybe_help(fault.help));
                    return;
                }
            },
            None => return,
        },
        None => None,
    };
    for validation in &block.body.blocks {
        let expr = |name: &str| validation.body.attribute(name).map(|attribute| attribute.value.clone());
        if let (Some(condition), Some(message)) = (expr("condition"), expr("error_message")) {
            module.validations.push(Validation { option: Arc::clone(&name), condition, message });
        }
    }
    module.options.push(OptionSchema { name, ty, required: default.is_none(), default: value, sensitive, doc });
}

/// Whether it is a name that expressions can write after a dot.
pub(super) fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
