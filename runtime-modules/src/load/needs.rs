//! What a module needs of its cluster: services that it discovers, secrets that are generated for it, the members that it joins.

use std::sync::Arc;

use cloudtik_lang::Variables;
use cloudtik_model::{Diagnostic, Diagnostics};
use cloudtik_syntax::Block;

use super::options::is_name;
use super::reader;
use crate::module::{DiscoverSchema, SecretSchema};

/// Characters of a secret, where the manifest does not say: more than anybody can guess.
const SECRET_LENGTH: u64 = 32;

/// The shortest secret: with fewer characters it could be found by trying.
const MIN_SECRET_LENGTH: u64 = 16;

/// The longest secret: software cuts longer passwords, or refuses them.
const MAX_SECRET_LENGTH: u64 = 256;

/// The names that `membership` sets itself for its scripts.
pub(crate) const MEMBER_VARIABLES: [&str; 4] = ["MEMBER_ID", "MEMBER_SEQUENCE", "MEMBER_ADDRESS", "MEMBER_NAME"];

/// Reads a `discover`.
pub(super) fn discover(block: &Block, found: &mut Diagnostics) -> Option<DiscoverSchema> {
    let none = Variables::none();
    let reader = reader(block, &none)?;
    Some(DiscoverSchema {
        name: name(block, "discover", found)?,
        services: reader.texts("services", found)?,
        types: reader.texts("types", found)?,
        runtimes: reader.texts("runtimes", found)?,
        optional: reader.known("optional", found)?.as_bool().unwrap_or(false),
        doc: reader.text("description", found)?.unwrap_or_default(),
        span: block.header,
    })
}

/// Reads a `secret`.
pub(super) fn secret(block: &Block, found: &mut Diagnostics) -> Option<SecretSchema> {
    let none = Variables::none();
    let reader = reader(block, &none)?;
    let name = name(block, "secret", found)?;
    let length = reader.count("length", SECRET_LENGTH, found)?;
    if !(MIN_SECRET_LENGTH..=MAX_SECRET_LENGTH).contains(&length) {
        let title = format!("a secret has {MIN_SECRET_LENGTH} to {MAX_SECRET_LENGTH} characters");
        found.push(Diagnostic::error("bad-value", title).at(reader.span("length")));
        return None;
    }
    Some(SecretSchema { name, length, doc: reader.text("description", found)?.unwrap_or_default() })
}

/// Reads a `membership`: its scripts are read for each worker.
pub(super) fn membership(block: &Block, found: &mut Diagnostics) -> Option<Block> {
    if let Some(env) = block.body.attribute("env")
        && let cloudtik_model::ExprKind::Object(items) = &env.value.kind
    {
        for (key, _) in items {
            if let cloudtik_model::ExprKind::Literal(literal) = &key.kind
                && let Some(name) = literal.as_str().filter(|name| MEMBER_VARIABLES.contains(name))
            {
                let title = format!("`{name}` says which member a script is about, and cannot be set");
                found.push(Diagnostic::error("reserved-name", title).at(key.span));
            }
        }
    }
    Some(block.clone())
}

/// The label of a block, as expressions can write it.
fn name(block: &Block, what: &str, found: &mut Diagnostics) -> Option<Arc<str>> {
    let label = block.labels.first()?;
    if is_name(&label.text) {
        return Some(Arc::clone(&label.text));
    }
    let title = format!("`{}` is no name of a `{what}`: letters, digits and `_` make one", label.text);
    found.push(Diagnostic::error("bad-name", title).at(label.span));
    None
}
