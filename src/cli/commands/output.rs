//! `cloudtik output`

use std::collections::BTreeMap;

use cloudtik::Failure;
use cloudtik::lang::{render, to_plain_json};
use cloudtik::model::{Diagnostic, OutputState, ValueKind, did_you_mean};
use cloudtik::planner::TypeJson;
use serde_json::{Map, json};

use super::super::printer::Printer;
use super::super::values::harmless;
use super::super::{Exit, project};
use super::Context;

/// What stands for a sensitive output where all are shown.
const SENSITIVE: &str = "(sensitive value)";

pub(crate) fn run(context: &Context<'_>, name: Option<&str>, as_json: bool, raw: bool) -> Result<Exit, Failure> {
    let printer = context.printer;
    let project = project::open(context.environment, context.given, None, None)?;
    let outputs = project.state()?.map(|state| state.outputs).unwrap_or_default();
    let Some(name) = name else {
        if as_json {
            let all: Map<_, _> = outputs.iter().map(|(name, output)| (name.clone(), output_json(output))).collect();
            printer.json(&all.into());
        } else if outputs.is_empty() {
            printer.say_line("There are no outputs: the spec has none, or nothing was applied yet.");
        } else {
            printer.data(&lines(&outputs));
        }
        return Ok(Exit::Done);
    };
    let output = outputs.get(name).ok_or_else(|| missing(name, &outputs))?;
    if raw {
        printer.data(&raw_text(name, output)?);
    } else if as_json {
        printer.json(&to_plain_json(&output.value).unwrap_or_default());
    } else {
        // Whoever asks for it by name gets it, as in Terraform.
        printer.data_line(&harmless(&render(&output.value.unmarked_deeply())));
    }
    Ok(Exit::Done)
}

/// All outputs under a heading; nothing if there is none.
pub(crate) fn print_all(outputs: &BTreeMap<String, OutputState>, printer: &Printer) {
    if !outputs.is_empty() {
        printer.data(&format!("\nOutputs:\n\n{}", lines(outputs)));
    }
}

fn lines(outputs: &BTreeMap<String, OutputState>) -> String {
    let line = |(name, output): (&String, &OutputState)| {
        let value = if output.sensitive { SENSITIVE.to_owned() } else { harmless(&render(&output.value)) };
        format!("{name} = {value}\n")
    };
    outputs.iter().map(line).collect()
}

/// As in Terraform: with the value, also of a sensitive one. Whoever asks for JSON is a program that was told to.
fn output_json(output: &OutputState) -> serde_json::Value {
    json!({
        "sensitive": output.sensitive || output.value.has_sensitive(),
        "type": TypeJson(output.value.ty()),
        "value": to_plain_json(&output.value),
    })
}

fn raw_text(name: &str, output: &OutputState) -> Result<String, Failure> {
    match output.value.kind() {
        ValueKind::String(text) => Ok(text.to_string()),
        ValueKind::Number(number) => Ok(number.to_string()),
        ValueKind::Bool(truth) => Ok(truth.to_string()),
        _ => {
            let title = format!("`--raw` prints strings, numbers and bools; the output `{name}` is of type {}", output.value.ty());
            Err(Failure::plain(Diagnostic::error("output", title).help("use `--json`")))
        }
    }
}

fn missing(name: &str, outputs: &BTreeMap<String, OutputState>) -> Failure {
    let near = did_you_mean(name, outputs.keys().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
    let there_is = match outputs.len() {
        0 => "there are none: the spec has none, or nothing was applied yet".to_owned(),
        _ => format!("there is {}", outputs.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    };
    Failure::plain(Diagnostic::error("output", format!("there is no output `{name}`")).maybe_help(near).note(there_is))
}
