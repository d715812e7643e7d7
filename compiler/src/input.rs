//! What a compilation starts from, and the values of variables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, SourceMap, SourceSet, Span, Value, did_you_mean};
use cloudtik_provider_api::{Facts, Provider};
use cloudtik_syntax::{Attribute, decode, parse_expression, parse_file};

use crate::load::{VALUES_ENDING, read_text};

/// What a compilation starts from.
pub struct CompileInput<'a> {
    /// The project.
    pub sources: &'a dyn SourceSet,
    /// Values of variables from outside the project.
    pub variables: &'a VariableInputs,
    /// The provider types there are.
    pub providers: &'a Providers,
    /// What providers answered so far.
    pub facts: &'a Facts,
    /// Replaces every provider: `--provider sim`.
    pub provider_override: Option<&'a str>,
    /// Our version, for `required_version`.
    pub tool_version: &'a str,
    /// The time of the plan, as RFC 3339 writes it: what `plantimestamp` gives.
    pub plan_time: &'a str,
    /// Expressions that somebody asks about: each is evaluated with all names of the project.
    pub expressions: &'a [String],
}

/// The provider types by name.
pub type Providers = BTreeMap<&'static str, Arc<dyn Provider>>;

/// Values of variables from outside the project.
#[derive(Clone, Debug, Default)]
pub struct VariableInputs {
    /// From the environment, by variable name: weakest.
    pub environment: BTreeMap<String, String>,
    /// From the command line, in the order given: strongest.
    pub arguments: Vec<VariableArgument>,
    /// Values that are already values: from a saved plan, or from a library user. Stronger than all others.
    pub values: BTreeMap<String, Value>,
    /// Whether a variable without a value and without a default is unknown, of its type, instead of an error.
    pub unset_are_unknown: bool,
    /// Whether values for variables that nobody declares are left out in silence: those for another revision of the spec.
    pub undeclared_are_left_out: bool,
}

/// A value from the command line.
#[derive(Clone, Debug)]
pub enum VariableArgument {
    /// `--var name=text`
    Var {
        /// The variable.
        name: String,
        /// An expression, or the text of a string.
        text: String,
    },
    /// `--var-file path`
    File {
        /// Its path, for messages.
        path: String,
        /// Its content.
        bytes: Arc<[u8]>,
    },
}

/// A value for a variable as it was found.
pub(crate) enum Given {
    /// An expression of a file of values: literals and functions.
    Attribute(Attribute),
    /// Text that is an expression unless the variable is a string.
    Text { name: String, text: String, origin: &'static str },
    /// A value.
    Value(Value),
}

/// The strongest value given for each variable.
pub(crate) fn gather(
    input: &CompileInput<'_>,
    declared: &BTreeSet<Arc<str>>,
    map: &mut SourceMap,
    found: &mut Diagnostics,
) -> BTreeMap<String, Given> {
    let mut given = BTreeMap::new();
    for (name, text) in &input.variables.environment {
        given.insert(name.clone(), Given::Text { name: name.clone(), text: text.clone(), origin: "CLOUDTIK_VAR_" });
    }
    for name in value_files(input.sources) {
        if let Some(text) = read_text(input.sources, &name, found) {
            take_file(&name, text, declared, &mut given, map, found);
        }
    }
    for argument in &input.variables.arguments {
        match argument {
            VariableArgument::Var { name, text } => {
                if !declared.contains(name.as_str()) && !input.variables.undeclared_are_left_out {
                    let near = did_you_mean(name, declared.iter().map(|name| &**name)).map(|near| format!("did you mean `{near}`?"));
                    found.push(
                        Diagnostic::error("undeclared-variable", format!("`--var {name}`: the spec declares no such variable"))
                            .maybe_help(near),
                    );
                }
                given.insert(name.clone(), Given::Text { name: name.clone(), text: text.clone(), origin: "--var " });
            }
            VariableArgument::File { path, bytes } => match decode(path, bytes) {
                Ok(text) => take_file(path, text, declared, &mut given, map, found),
                Err(diagnostic) => found.push(diagnostic),
            },
        }
    }
    for (name, value) in &input.variables.values {
        given.insert(name.clone(), Given::Value(value.clone()));
    }
    given
}

/// `cloudtik.vars.hcl` first, then `*.auto.vars.hcl` by name.
fn value_files(sources: &dyn SourceSet) -> Vec<String> {
    let names = sources.list().unwrap_or_default();
    let main = names.iter().filter(|name| *name == "cloudtik.vars.hcl");
    let auto = names.iter().filter(|name| name.ends_with(&format!(".auto{VALUES_ENDING}")) && !name.starts_with('.'));
    main.chain(auto).cloned().collect()
}

fn take_file(
    path: &str,
    text: Arc<str>,
    declared: &BTreeSet<Arc<str>>,
    given: &mut BTreeMap<String, Given>,
    map: &mut SourceMap,
    found: &mut Diagnostics,
) {
    let file = map.add(path, Arc::clone(&text));
    let (body, diagnostics) = parse_file(file, &text);
    found.extend(diagnostics);
    for block in &body.blocks {
        found.push(Diagnostic::error("block-in-values", "a file of values holds `name = value` only").at(block.header));
    }
    for attribute in body.attributes {
        let name = attribute.name.name.to_string();
        if !declared.contains(name.as_str()) {
            found.push(
                Diagnostic::warning("undeclared-variable", format!("the spec declares no variable `{name}`"))
                    .at(attribute.name.span)
                    .maybe_help(did_you_mean(&name, declared.iter().map(|name| &**name)).map(|near| format!("did you mean `{near}`?"))),
            );
        }
        given.insert(name, Given::Attribute(attribute));
    }
}

/// The expression of a text from the environment or the command line: of a string variable the text itself.
pub(crate) fn text_expression(
    name: &str,
    text: &str,
    origin: &str,
    is_string: bool,
    map: &mut SourceMap,
) -> Result<cloudtik_model::Expr, Diagnostics> {
    if is_string {
        return Ok(cloudtik_model::Expr::new(cloudtik_model::ExprKind::Literal(text.into()), Span::NONE));
    }
    let file = map.add(format!("<{origin}{name}>"), text);
    parse_expression(file, text)
}
