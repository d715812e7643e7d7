//! Workspaces as templates of CloudFormation: what native parts would be, as one document.

mod facts;
mod kept;
mod kinds;
mod names;
mod stack;
mod text;
mod writer;

pub(crate) use kept::INSIDE;
pub use kept::{Released, kept_among, released};
pub(crate) use stack::stack;

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::spec::WorkspaceSpec;
use cloudtik_model::{Address, Diagnostic, Diagnostics, Expr, ResourceSpec, Value, ValueKind};
use cloudtik_provider_api::{Lowered, Presence};
use serde_json::{Map, Value as Json, json};

use self::facts::Questions;
use self::names::word;
use self::writer::{Writer, Wrong};
use crate::kinds::{PEERING_OPTIONS, SSM_PARAMETER, aws_schema};

/// The word of `deploy` and of `--emit`.
pub(crate) const CLOUDFORMATION: &str = "cloudformation";

/// What CloudFormation expands a template with that makes a resource for each element of a list.
const EXTENSIONS: &str = "AWS::LanguageExtensions";

/// A template, and what a stack of it is given.
pub(crate) struct Template {
    /// The template.
    pub(crate) json: Json,
    /// The values of its parameters that have no default, by name.
    pub(crate) parameters: BTreeMap<String, Value>,
    /// The outputs that what the workspace exports is read from, by the path of the export, and attributes of what stands beside the stack, by
    /// its name and theirs.
    outputs: BTreeMap<Vec<String>, String>,
}

/// The template of a workspace that was lowered to its native parts. What it cannot say is an error at its place.
pub(crate) fn template(config: &Value, workspace: &WorkspaceSpec, native: &Lowered, found: &mut Diagnostics) -> Template {
    let filled: Vec<ResourceSpec> =
        native.resources.iter().filter(|part| !is_outside(part)).map(|part| with_defaults(config, part)).collect();
    let parts: BTreeMap<Address, &ResourceSpec> = filled.iter().map(|part| (part.address.clone(), part)).collect();
    let questions = Questions::of(config, workspace);
    if !workspace.lifecycle.ignore_changes.is_empty() {
        let Wrong { title, help } = ignores();
        found.push(Diagnostic::error("cloudformation", title).at(workspace.span).of(&workspace.address).help(help));
    }
    let mut writer = Writer { parts: &parts, questions: &questions, parameters: BTreeMap::new() };
    let mut resources = Map::new();
    for part in &filled {
        check(part, workspace, found);
        match kinds::made(&mut writer, part) {
            Ok(made) => {
                for (name, mut resource) in made {
                    complete(&writer, part, &name, &mut resource);
                    if resources.insert(name.clone(), resource).is_some() {
                        let wrong =
                            Wrong::new(format!("two parts of the workspace would be called `{name}`"), "give one of them another name");
                        found.push(at(part, "", wrong));
                    }
                }
            }
            Err((attribute, wrong)) => found.push(at(part, attribute, wrong)),
        }
    }
    let mut outputs = Outputs::default();
    outputs.gather(&mut writer, &native.exports, &mut Vec::new());
    for part in native.resources.iter().filter(|part| is_outside(part)) {
        outputs.gather(&mut writer, &part.attributes, &mut names::steps(&part.address));
    }
    let mut json = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("The workspace {} of cloudtik", cloudtik_provider_api::real_name(&workspace.address, &workspace.fields)),
        "Outputs": outputs.json,
    });
    let parameters = std::mem::take(&mut writer.parameters);
    if let Some(template) = json.as_object_mut() {
        if resources.keys().any(|name| name.starts_with("Fn::")) {
            template.insert("Transform".to_owned(), EXTENSIONS.into());
        }
        if !parameters.is_empty() {
            let all = parameters.values().map(|parameter| (parameter.name.clone(), parameter.definition.clone())).collect();
            template.insert("Parameters".to_owned(), Json::Object(all));
        }
        template.insert("Resources".to_owned(), Json::Object(resources));
    }
    let parameters = parameters.into_values().filter(|parameter| !parameter.value.is_null());
    let parameters = parameters.map(|parameter| (parameter.name, parameter.value)).collect();
    Template { json, parameters, outputs: outputs.names }
}

/// What CloudFormation makes none of: an encrypted parameter, and options of a peering. It stands beside the stack.
fn is_outside(part: &ResourceSpec) -> bool {
    let is_encrypted = || part.attributes.get("type").and_then(Value::as_str) == Some("SecureString");
    match &*part.kind {
        PEERING_OPTIONS => true,
        SSM_PARAMETER => is_encrypted(),
        _ => false,
    }
}

/// A part with the values that its kind has where nobody says anything, and with the tags of the configuration.
fn with_defaults(config: &Value, part: &ResourceSpec) -> ResourceSpec {
    let schema = aws_schema();
    let Some(kind) = schema.kinds.get(&*part.kind) else { return part.clone() };
    let attributes = cloudtik_provider_api::with_default_tags(config, kind, &part.attributes);
    let mut all = attributes.entries().cloned().unwrap_or_default();
    for attribute in &kind.attributes {
        if let Presence::Default(value) = &attribute.presence {
            all.entry(attribute.name.into()).or_insert_with(|| value.clone());
        }
    }
    ResourceSpec { attributes: Value::object(all), ..part.clone() }
}

fn at(part: &ResourceSpec, attribute: &str, wrong: Wrong) -> Diagnostic {
    let span = part.origins.get(attribute).map(|origin| origin.span).filter(|span| !span.is_none()).unwrap_or(part.span);
    Diagnostic::error("cloudformation", wrong.title).at(span).of(&part.address).help(wrong.help)
}

/// What a stack cannot do for a part.
fn check(part: &ResourceSpec, workspace: &WorkspaceSpec, found: &mut Diagnostics) {
    if part.provider != workspace.provider {
        let title = format!("a stack lies in one account and region, and {} belongs to provider `{}`", part.address, part.provider);
        found.push(at(part, "", Wrong::new(title, "write `deploy = \"native\"`")));
    }
    // What the workspace says itself holds for the whole of it, and for a stack too.
    let own = part.lifecycle != workspace.lifecycle;
    if own && !part.lifecycle.ignore_changes.is_empty() {
        found.push(at(part, "", ignores()));
    }
    if own && part.lifecycle.prevent_destroy && on_destroy(part).is_none() {
        let title = "CloudFormation does not refuse to remove a part of a stack";
        let help = "write `prevent_destroy` in the workspace's own `lifecycle`, or write `deploy = \"native\"`";
        found.push(at(part, "", Wrong::new(title, help)));
    }
}

fn ignores() -> Wrong {
    let title = "CloudFormation knows no `ignore_changes`: a stack sets all that its template says";
    Wrong::new(title, "leave it out, or write `deploy = \"native\"`")
}

/// What becomes of what keeps data, when nobody wants it any more.
fn on_destroy(part: &ResourceSpec) -> Option<&str> {
    part.attributes.get("on_destroy").and_then(Value::as_str)
}

/// Adds what holds for all types: what becomes of the object when it is no longer wanted, and what comes before it.
fn complete(writer: &Writer<'_>, part: &ResourceSpec, name: &str, resource: &mut Json) {
    let Some(resource) = resource.as_object_mut() else { return };
    if let Some(on_destroy) = on_destroy(part) {
        let outside = part.depends_on.iter().filter(|address| !writer.parts.contains_key(*address));
        kept::mark(part, on_destroy, &outside.cloned().collect(), resource);
    }
    let mut implied = BTreeSet::new();
    resource.values().for_each(|json| references(json, &mut implied));
    let needed = part.depends_on.iter().filter_map(|address| writer.parts.get(address));
    let needed: BTreeSet<String> = needed.flat_map(|needed| kinds::provides(writer, needed)).collect();
    let more: Vec<Json> = needed.into_iter().filter(|needed| needed != name && !implied.contains(needed)).map(Json::from).collect();
    if !more.is_empty() {
        resource.insert("DependsOn".to_owned(), Json::Array(more));
    }
}

/// The names that a part of a template refers to.
fn references(json: &Json, found: &mut BTreeSet<String>) {
    match json {
        Json::Object(entries) => {
            for (key, value) in entries {
                match (key.as_str(), value) {
                    ("Ref", Json::String(name)) => {
                        found.insert(name.clone());
                    }
                    ("Fn::GetAtt", Json::Array(parts)) => found.extend(parts.first().and_then(Json::as_str).map(str::to_owned)),
                    ("Fn::Sub", Json::String(text)) => substituted(text, found),
                    ("Fn::Sub", Json::Array(parts)) => {
                        parts.first().and_then(Json::as_str).into_iter().for_each(|text| substituted(text, found));
                        parts.iter().skip(1).for_each(|part| references(part, found));
                    }
                    _ => references(value, found),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn substituted(text: &str, found: &mut BTreeSet<String>) {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name));
    found.extend(names.filter_map(|name| name.split('.').next()).map(str::to_owned));
}

/// The outputs: what of the exports only the stack knows.
#[derive(Default)]
struct Outputs {
    json: Map<String, Json>,
    names: BTreeMap<Vec<String>, String>,
}

impl Outputs {
    fn gather(&mut self, writer: &mut Writer<'_>, value: &Value, path: &mut Vec<String>) {
        match value.kind() {
            ValueKind::Deferred(deferred) if is_of(writer, &deferred.expr) && !value.is_sensitive() => {
                let name: String = path.iter().map(|step| word(step)).collect();
                // What cannot be said has been refused where it stands; what is no part of the template cannot be said.
                if let Ok(json) = writer.value(&name, value) {
                    self.json.insert(name.clone(), json!({ "Value": json }));
                    self.names.insert(path.clone(), name);
                }
            }
            ValueKind::Map(entries) | ValueKind::Object(entries) => {
                for (key, entry) in entries.iter() {
                    self.step(writer, entry, path, key);
                }
            }
            ValueKind::List(_) | ValueKind::Set(_) | ValueKind::Tuple(_) => {
                for (index, item) in value.elements().into_iter().flatten().enumerate() {
                    self.step(writer, item, path, &index.to_string());
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, writer: &mut Writer<'_>, value: &Value, path: &mut Vec<String>, step: &str) {
        path.push(step.to_owned());
        self.gather(writer, value, path);
        path.pop();
    }
}

/// Whether an expression needs an object of the stack.
fn is_of(writer: &Writer<'_>, expr: &Expr) -> bool {
    let mut needs = BTreeSet::new();
    expr.addresses(&mut needs);
    needs.iter().any(|address| writer.parts.contains_key(address))
}
