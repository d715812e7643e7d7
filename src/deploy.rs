//! How a workspace is deployed stays as it is: what is there was made by calls of our own, or it belongs to a stack.

use cloudtik_aws::kinds::CLOUDFORMATION_STACK;
use cloudtik_compiler::Compiled;
use cloudtik_model::{Address, Diagnostic, Diagnostics, Node, State};

/// Fails if a workspace is deployed in another way than the spec says.
///
/// # Errors
/// Each such workspace, at its attribute.
pub(crate) fn stays_deployed(compiled: &Compiled, state: &State) -> Result<(), Diagnostics> {
    let mut found = Diagnostics::new();
    for (workspace, spec) in &compiled.workspaces {
        let wanted = way(compiled.graph.nodes.iter().filter_map(|(address, node)| match node {
            Node::Resource(resource) if address.is_within(workspace) => Some(&*resource.kind),
            _ => None,
        }));
        let there = way(state.resources.iter().filter(|(address, _)| address.is_within(workspace)).map(|(_, entry)| &*entry.kind));
        if let (Some(wanted), Some(there)) = (wanted, there)
            && wanted != there
        {
            found.push(refused(workspace, there, wanted).at(spec.fields.get("deploy").map_or(spec.span, |field| field.span)).at(spec.span));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// The word of `deploy` for parts of these kinds. `None`: there are none.
fn way<'k>(mut kinds: impl Iterator<Item = &'k str>) -> Option<&'static str> {
    let first = kinds.next()?;
    let is_stack = first == CLOUDFORMATION_STACK || kinds.any(|kind| kind == CLOUDFORMATION_STACK);
    Some(if is_stack { "cloudformation" } else { "native" })
}

fn refused(workspace: &Address, there: &str, wanted: &str) -> Diagnostic {
    let title = format!("`deploy` of `{workspace}` changes from `{there}` to `{wanted}`, but it is fixed once `{workspace}` exists");
    let help = format!("put `deploy = \"{there}\"` back; or destroy the workspace first; or write a new workspace beside it");
    Diagnostic::error("fixed-attribute", title).help(help).of(workspace)
}
