//! The names that the manifest's expressions use, checked without evaluating: every wrong one is found, also behind a condition.

use cloudtik_lang::{Reference, ReferenceStep, references};
use cloudtik_model::{Diagnostic, Diagnostics, Expr, Key, LateName, did_you_mean};
use cloudtik_syntax::{Block, Body};

use crate::module::Module;
use crate::scope::{GROUP_PARTS, ROOTS, SERVICE_PARTS, unknown_root};

/// Blocks whose attributes are fixed texts; their expressions see no name at all, and evaluating them said so.
const STATIC: [&str; 5] = ["module", "binary", "service", "discover", "secret"];

/// Checks every expression of the manifest.
pub(super) fn check(module: &Module, body: &Body, found: &mut Diagnostics) {
    for block in body.blocks.iter().filter(|block| !STATIC.contains(&&*block.kind.name)) {
        check_block(module, block, has_each(block), found);
    }
}

fn has_each(block: &Block) -> bool {
    block.body.attribute("for_each").is_some()
}

fn check_block(module: &Module, block: &Block, each: bool, found: &mut Diagnostics) {
    for attribute in &block.body.attributes {
        let skipped = &*block.kind.name == "option" || &*attribute.name.name == "protocol";
        let each = each && &*attribute.name.name != "for_each" && &*attribute.name.name != "when";
        if !skipped {
            check_expression(module, &attribute.value, each, &*block.kind.name == "validation", found);
        }
    }
    for inner in &block.body.blocks {
        check_block(module, inner, each, found);
    }
}

fn check_expression(module: &Module, expr: &Expr, each: bool, options_only: bool, found: &mut Diagnostics) {
    for reference in references(expr) {
        let problem = match &*reference.root {
            "each" if each => None,
            root if options_only && root != "option" => {
                Some(Diagnostic::error("unknown-name", "a validation sees `option` and nothing else"))
            }
            root if !ROOTS.contains(&root) => Some(unknown_root(root)),
            "package" if module.binaries.is_empty() => Some(unknown_root("package")),
            _ => missing(module, &reference),
        };
        found.extend(problem.map(|problem| problem.at(reference.span)));
    }
}

/// What is said of a name below a root whose names are known.
fn missing(module: &Module, reference: &Reference) -> Option<Diagnostic> {
    let name = step_name(reference.steps.first())?;
    let names: Vec<&str> = match &*reference.root {
        "group" => GROUP_PARTS.to_vec(),
        "service" => module.discovers.iter().map(|discover| &*discover.name).collect(),
        "secret" => module.secrets.iter().map(|secret| &*secret.name).collect(),
        "option" => module.options.iter().map(|option| &*option.name).collect(),
        "local" => module.locals.keys().map(|name| &**name).collect(),
        "node" => LateName::NODE_PARTS.to_vec(),
        "cluster" => vec!["domain", "name"],
        "module" => vec!["name", "version"],
        _ => return None,
    };
    let root = &reference.root;
    if !names.contains(&name) {
        return Some(unknown(root, name, &names));
    }
    match step_name(reference.steps.get(1)) {
        Some(part) if &**root == "service" && !SERVICE_PARTS.contains(&part) => {
            Some(unknown(&format!("{root}.{name}"), part, &SERVICE_PARTS))
        }
        _ => None,
    }
}

/// `.name` and `["name"]`.
fn step_name(step: Option<&ReferenceStep>) -> Option<&str> {
    match step? {
        ReferenceStep::Attribute(name) | ReferenceStep::Index(Key::Name(name)) => Some(name),
        ReferenceStep::Index(Key::Index(_)) => None,
    }
}

fn unknown(root: &str, name: &str, names: &[&str]) -> Diagnostic {
    let error = Diagnostic::error("unknown-reference", format!("there is no `{root}.{name}`"));
    if let Some(near) = did_you_mean(name, names.iter().copied()) {
        return error.help(format!("did you mean `{root}.{near}`?")).note(format!("`{root}` has {}", names.join(", ")));
    }
    match root {
        "service" => error.help(format!("declare `discover \"{name}\" {{ … }}`")),
        "secret" => error.help(format!("declare `secret \"{name}\" {{}}`")),
        _ => error,
    }
    .note(if names.is_empty() { format!("the module declares no `{root}`") } else { format!("`{root}` has {}", names.join(", ")) })
}
