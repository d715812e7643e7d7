//! `validate`, `graph`, `compile` and `show --spec`: what can be said of a spec without asking anybody.

use std::path::Path;

use cloudtik::model::Address;
use cloudtik::{Failure, FailureKind};

use super::super::arguments::{EmitFormat, GraphFormat, ProviderFlags};
use super::super::values::{harmless, many};
use super::super::{Exit, diagnostics, project};
use super::{Context, file_error};

pub(crate) fn validate(context: &Context<'_>, as_json: bool, provider: &ProviderFlags) -> Result<Exit, Failure> {
    let compiled = project::open(context.environment, context.given, Some(provider), None).and_then(|project| project.compile());
    let printer = context.printer;
    match compiled {
        Ok(compilation) if as_json => {
            printer.json(&diagnostics::to_json(&compilation.warnings, &compilation.sources));
            Ok(Exit::Done)
        }
        // A fault or a state that cannot be read says nothing of the spec.
        Err(failure) if as_json && failure.kind == FailureKind::Error => {
            printer.json(&diagnostics::to_json(&failure.diagnostics, &failure.sources));
            Ok(Exit::Error)
        }
        Ok(compilation) => {
            diagnostics::show(&compilation.warnings, &compilation.sources, printer);
            let warnings = match compilation.warnings.len() {
                0 => String::new(),
                count => format!(", with {}", many(count, "warning", "warnings")),
            };
            printer.data_line(&format!("Success! The spec is valid{warnings}."));
            Ok(Exit::Done)
        }
        Err(failure) => Err(failure),
    }
}

pub(crate) fn graph(context: &Context<'_>, format: GraphFormat, provider: &ProviderFlags) -> Result<Exit, Failure> {
    let compilation = project::open(context.environment, context.given, Some(provider), None)?.compile()?;
    diagnostics::show(&compilation.warnings, &compilation.sources, context.printer);
    match format {
        GraphFormat::Dot => context.printer.data(&cloudtik::graph_dot(&compilation.graph)),
        GraphFormat::Mermaid => context.printer.data(&cloudtik::graph_mermaid(&compilation.graph)),
        GraphFormat::Json => context.printer.json_line(&cloudtik::graph_json(&compilation.graph)),
    }
    Ok(Exit::Done)
}

/// `cloudtik show --spec ADDRESS`
pub(crate) fn show(context: &Context<'_>, address: &Address) -> Result<Exit, Failure> {
    let text = project::open(context.environment, context.given, None, None)?.spec_text(address)?;
    context.printer.data(&harmless(&text));
    Ok(Exit::Done)
}

/// What of the spec is printed, and where.
pub(crate) struct Compile<'a> {
    /// As a document for another tool.
    pub(crate) emit: Option<EmitFormat>,
    /// Of this workspace.
    pub(crate) workspace: Option<&'a Address>,
    /// Into this file.
    pub(crate) out: Option<&'a Path>,
}

pub(crate) fn compile(context: &Context<'_>, wants: &Compile<'_>, provider: &ProviderFlags) -> Result<Exit, Failure> {
    let project = project::open(context.environment, context.given, Some(provider), None)?;
    let text = match wants.emit {
        Some(format) => {
            let emitted = project.emit(format.word(), wants.workspace)?;
            diagnostics::show(&emitted.warnings, &emitted.sources, context.printer);
            emitted.document
        }
        None => {
            let compilation = project.compile()?;
            diagnostics::show(&compilation.warnings, &compilation.sources, context.printer);
            format!("{:#}\n", compilation.to_json())
        }
    };
    match wants.out {
        Some(file) => std::fs::write(file, text).map_err(|error| file_error("write", file, &error))?,
        None => context.printer.data(&text),
    }
    Ok(Exit::Done)
}
