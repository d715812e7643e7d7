//! The names that the manifest's expressions use, checked without evaluating: every wrong one is found, also behind a condition.

use cloudtik_lang::{Reference, ReferenceStep, references};
use cloudtik_model::{Diagnostic, Diagnostics, Expr, LateName, did_you_mean};
use cloudtik_syntax::{Block, Body};

use crate::module::Module;
use crate::scope::{ROOTS, unknown_root};

/// Blocks whose attributes are fixed texts; their expressions see no name at all, and evaluating them said so.
const STATIC: [&str; 4] = ["module", "binary", "service", "discover"];

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
    let Some(ReferenceStep::Attribute(name)) = reference.steps.first() else { return None };
    let names: Vec<&str> = match &*reference.root {
        "option" => module.options.iter().map(|option| &*option.name).collect(),
        "local" => module.locals.keys().map(|name| &**name).collect(),
        "node" => LateName::NODE_PARTS.to_vec(),
        "cluster" => vec!["name"],
        "service" => module.discovers.iter().map(|discover| &*discover.name).collect(),
        "module" => vec!["name", "version"],
        _ => return None,
    };
    if names.contains(&&**name) {
        return None;
    }
    let root = &reference.root;
    let near = did_you_mean(name, names.iter().copied()).map(|near| format!("did you mean `{root}.{near}`?"));
    let title = format!("there is no `{root}.{name}`");
    Some(Diagnostic::error("unknown-reference", title).maybe_help(near).note(format!("`{root}` has {}", names.join(", "))))
}
