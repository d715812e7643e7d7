//! A workspace as a document that another tool deploys.

use std::collections::BTreeMap;

use cloudtik_model::spec::WorkspaceSpec;
use cloudtik_model::{Address, Diagnostic, Diagnostics, SourceMap, Value};
use cloudtik_provider_api::Facts;

use crate::project::now;
use crate::{Failure, Project};

/// The document.
#[derive(Debug)]
pub struct Emitted {
    /// Its text.
    pub document: String,
    /// What is doubtful.
    pub warnings: Diagnostics,
    /// The files that places are in.
    pub sources: SourceMap,
}

impl Project {
    /// Writes a workspace in a format of its provider. Nobody is asked: what only a provider can tell is left to whoever deploys the document.
    ///
    /// # Errors
    /// The spec's; there is no such workspace; the format cannot say what the workspace is.
    pub fn emit(&self, format: &str, of: Option<&Address>) -> Result<Emitted, Failure> {
        let (compiled, sources, mut warnings) = self.compile_with(&Facts::new(), &now())?;
        let workspace = match chosen(&compiled.workspaces, of, format) {
            Ok(workspace) => workspace,
            Err(wrong) => return Err(Failure::error(Diagnostics::from_iter([wrong]), sources)),
        };
        let config = compiled.graph.providers.get(&workspace.provider).map_or(Value::NULL, |config| config.attributes.clone());
        let provider = self.providers.get(workspace.provider.provider_type());
        let Some((document, found)) = provider.and_then(|provider| provider.emit(format, &config, workspace, &Facts::new())) else {
            let title = format!("provider `{}` writes no workspace as `{format}`", workspace.provider);
            let wrong = Diagnostic::error("emit", title).at(workspace.span).of(&workspace.address);
            return Err(Failure::error(Diagnostics::from_iter([wrong]), sources));
        };
        if found.has_errors() {
            return Err(Failure::error(found, sources));
        }
        // What lowering says of a spec it has said when the spec was compiled.
        warnings.sort();
        Ok(Emitted { document, warnings, sources })
    }
}

fn chosen<'w>(all: &'w BTreeMap<Address, WorkspaceSpec>, of: Option<&Address>, format: &str) -> Result<&'w WorkspaceSpec, Diagnostic> {
    let names = || all.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut workspaces = all.values();
    match (of, workspaces.next(), workspaces.next()) {
        (_, None, _) => Err(Diagnostic::error("emit", format!("`--emit {format}` writes a workspace, and the spec has none"))
            .help("add `workspace \"w\" {}`")),
        (Some(address), ..) => all.get(address).ok_or_else(|| {
            Diagnostic::error("emit", format!("`--workspace {address}`: there is no such workspace"))
                .help(format!("the spec has {}", names()))
        }),
        (None, Some(only), None) => Ok(only),
        (None, Some(first), Some(_)) => {
            Err(Diagnostic::error("emit", format!("`--emit {format}` writes one workspace, and there are {}", names()))
                .help(format!("say which: `--workspace {}`", first.address)))
        }
    }
}
