//! A workspace that is deployed as a stack: one resource, whose template is the workspace.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::spec::{Part, WorkspaceSpec};
use cloudtik_model::{Address, Diagnostic, Diagnostics, Expr, ExprKind, ResourceSpec, Span, Type, Value, ValueKind};
use cloudtik_provider_api::{Lowered, ResourceBuilder, WORKSPACE_TAG, real_name, reference};

use super::names::steps;
use super::{Template, is_outside, on_destroy, template};
use crate::kinds;

/// The part of the workspace.
const STACK: &str = "stack";

/// What a template may do that makes identities with names.
const NAMED_IDENTITIES: &str = "CAPABILITY_NAMED_IAM";

/// Bytes of a template that is sent with the call.
const TEMPLATE_BYTES_MAX: usize = 51_200;

/// The stack in place of the native parts, with what CloudFormation does not make beside it: passwords, which it is given, and
/// options of its peering. What references to the workspace see comes from its outputs.
pub(crate) fn stack(config: &Value, workspace: &WorkspaceSpec, mut native: Lowered) -> Lowered {
    let mut found = std::mem::take(&mut native.diagnostics);
    let made = template(config, workspace, &native, &mut found);
    let address = workspace.address.child(STACK);
    let body = made.json.to_string();
    check_size(&body, workspace, &mut found);
    check_parameters(&made, &native, workspace, &mut found);
    let name = real_name(&workspace.address, &workspace.fields);
    let part = Part { span: workspace.span, ..Part::default() };
    let stack = ResourceBuilder::part(address.clone(), kinds::CLOUDFORMATION_STACK, workspace, &part)
        .mark(WORKSPACE_TAG, &*name)
        .set("name", format!("cloudtik-{name}"))
        .set("template_body", body)
        .set("parameters", Value::map(made.parameters.clone()))
        .set("capabilities", Value::set([Value::from(NAMED_IDENTITIES)]))
        .field(&workspace.fields, "tags");
    let mut stack = stack.build();
    stack.lifecycle.prevent_inside = prevented(&native, workspace);
    let exports = exported(&native.exports, &made, &address, &mut Vec::new());
    let beside = native
        .resources
        .into_iter()
        .filter(is_outside)
        .map(|part| ResourceSpec { attributes: exported(&part.attributes, &made, &address, &mut steps(&part.address)), ..part });
    let resources = beside.chain([stack]).collect();
    Lowered { resources, exports, gates: BTreeSet::from([address]), diagnostics: found, ..Lowered::default() }
}

/// The parts with data that must not be destroyed, where the workspace does not say so of all of it.
fn prevented(native: &Lowered, workspace: &WorkspaceSpec) -> BTreeMap<Address, Span> {
    let own = native.resources.iter().filter(|part| part.lifecycle.prevent_destroy && !workspace.lifecycle.prevent_destroy);
    own.filter(|part| on_destroy(part).is_some()).map(|part| (part.address.clone(), part.span)).collect()
}

fn check_size(body: &str, workspace: &WorkspaceSpec, found: &mut Diagnostics) {
    if body.len() > TEMPLATE_BYTES_MAX {
        let title = format!("the template has {} bytes, and CloudFormation takes {TEMPLATE_BYTES_MAX}", body.len());
        let help = "use fewer zones or rules, or write `deploy = \"native\"`";
        found.push(Diagnostic::error("cloudformation", title).at(workspace.span).of(&workspace.address).help(help));
    }
}

/// A parameter that only an object of the stack itself could fill.
fn check_parameters(made: &Template, native: &Lowered, workspace: &WorkspaceSpec, found: &mut Diagnostics) {
    let own: BTreeSet<&Address> = native.resources.iter().filter(|part| !is_outside(part)).map(|part| &part.address).collect();
    for (name, value) in &made.parameters {
        let mut needs = BTreeSet::new();
        value.addresses(&mut needs);
        if let Some(needed) = needs.iter().find(|address| own.contains(address)) {
            let title = format!("the parameter `{name}` of the stack is known once {needed} is there, which the stack itself makes");
            let help =
                "with `egress` write `endpoints = []`, or `deploy = \"native\"`: CloudFormation does not tell the addresses of an endpoint";
            found.push(Diagnostic::error("cloudformation", title).at(workspace.span).of(&workspace.address).help(help));
        }
    }
}

/// The exports, with an output of the stack in the place of what only its objects know.
fn exported(value: &Value, made: &Template, stack: &Address, path: &mut Vec<String>) -> Value {
    if let Some(name) = made.outputs.get(path.as_slice()) {
        return output(stack, name, value.ty());
    }
    let mut step = |step: String, value: &Value| {
        path.push(step);
        let exported = exported(value, made, stack, path);
        path.pop();
        exported
    };
    match value.kind() {
        ValueKind::Map(entries) => {
            Value::map(entries.iter().map(|(key, entry)| (key.clone(), step(key.to_string(), entry))).collect::<Vec<_>>())
        }
        ValueKind::Object(entries) => {
            Value::object(entries.iter().map(|(key, entry)| (key.clone(), step(key.to_string(), entry))).collect::<Vec<_>>())
        }
        ValueKind::List(items) => {
            Value::list(items.iter().enumerate().map(|(index, item)| step(index.to_string(), item)).collect::<Vec<_>>())
        }
        ValueKind::Tuple(items) => {
            Value::tuple(items.iter().enumerate().map(|(index, item)| step(index.to_string(), item)).collect::<Vec<_>>())
        }
        _ => value.clone(),
    }
    .marked(value.is_sensitive())
}

/// An output is a text; what it stands for may be of another type.
fn output(stack: &Address, name: &str, ty: Type) -> Value {
    let outputs = reference(stack, "outputs", Type::map(Type::String)).to_expr().attribute(name);
    if matches!(ty, Type::String | Type::Any) {
        return Value::deferred(Type::String, outputs);
    }
    let expr: Expr = ExprKind::Convert { to: ty.clone(), of: std::sync::Arc::new(outputs) }.into();
    Value::deferred(ty, expr)
}
