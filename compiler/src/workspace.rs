//! Workspaces: typed specs, lowered by their provider.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::spec::{Part, WorkspaceSpec};
use cloudtik_model::{Address, Diagnostic, Diagnostics, ProviderRef, Value};
use cloudtik_provider_api::{Lowered, Provider, VALUE_KIND};
use cloudtik_syntax::Block;

use crate::declare::Name;
use crate::evaluate::Evaluated;
use crate::expand::{Expansion, attribute, located, merged_lifecycle};
use crate::schema::not_in_effect;
use crate::scope::Instance;

/// The workspaces that were expanded, with their provider.
pub(crate) type Workspaces = BTreeMap<Address, (WorkspaceSpec, ProviderRef)>;

/// Expands a `workspace` block: its instances are lowered and go into the graph.
pub(crate) fn expand_workspace(expansion: &mut Expansion<'_>, name: &Name, block: &Block) {
    let Name::Workspace(label) = name else { return };
    let Some(provider_type) = provider_of(expansion, block) else { return };
    let Some((provider, definition, config)) = expansion.use_provider(&provider_type) else { return };
    let Some(instances) = expansion.instances(block) else { return };
    let schema = expansion.top("workspace");
    let mut values = Vec::new();
    for instance in &instances.list {
        let address = Address::of("workspace", Arc::clone(label)).with_key(instance.key.clone());
        let mut found = Diagnostics::new();
        let evaluator = expansion.evaluator(instance);
        let evaluated = evaluator.block(block, &schema, &mut found);
        evaluator.conditions(&block.body, "precondition", &mut found);
        evaluator.conditions(&block.body, "postcondition", &mut found);
        let wanted = attribute(block, "depends_on").map(|attribute| located(&evaluator, &attribute.value, &mut found)).unwrap_or_default();
        let spec = workspace_spec(&address, &provider, &evaluated, real_name(&evaluated, label, instance));
        let failed = found.has_errors();
        expansion.found.extend(found);
        if failed {
            continue;
        }
        let lowered = definition.lower_workspace(&config, &spec, expansion.input.facts);
        let exports = take_lowered(expansion, lowered, &evaluated, &wanted);
        values.push((instance.key.clone(), exports));
        expansion.workspaces.insert(address, (spec, provider.clone()));
    }
    if values.len() == instances.list.len() {
        expansion.world.values.insert(name.clone(), instances.value(values));
        expansion.world.instances.insert(name.clone(), instances.shape);
    }
}

/// Puts what a provider made of a spec into the graph; gives what references to the block see.
pub(crate) fn take_lowered(
    expansion: &mut Expansion<'_>,
    lowered: Lowered,
    evaluated: &Evaluated,
    wanted: &[(Address, cloudtik_model::Span)],
) -> Value {
    expansion.found.extend(lowered.diagnostics);
    let needs = evaluated.all_needs();
    for mut resource in lowered.resources {
        resource.depends_on.extend(needs.iter().cloned());
        resource.attributes.addresses(&mut resource.depends_on);
        resource.lifecycle = merged_lifecycle(&evaluated.lifecycle, &resource.lifecycle);
        if !wanted.is_empty() {
            expansion.wanted.insert(resource.address.clone(), wanted.to_vec());
        }
        expansion.graph.nodes.insert(resource.address.clone(), cloudtik_model::Node::Resource(resource));
    }
    lowered.exports
}

/// The name in the world: what the block says, else its label, with the key of the instance behind it.
pub(crate) fn real_name(evaluated: &Evaluated, label: &str, instance: &Instance) -> String {
    match (evaluated.text("name"), &instance.key) {
        (Some(name), _) => name.to_owned(),
        (None, None) => label.to_owned(),
        (None, Some(cloudtik_model::Key::Index(index))) => format!("{label}-{index}"),
        (None, Some(cloudtik_model::Key::Name(key))) => format!("{label}-{key}"),
    }
}

/// The provider that a workspace names, or the only one there is.
fn provider_of(expansion: &mut Expansion<'_>, block: &Block) -> Option<Arc<str>> {
    if attribute(block, "provider").is_some() {
        return expansion.named_provider(block);
    }
    if let Some(other) = expansion.input.provider_override {
        return Some(other.into());
    }
    let declared: Vec<Arc<str>> = expansion.world.declared.iter().filter_map(|name| match name {
        Name::Provider(label) => Some(Arc::clone(label)),
        _ => None,
    }).collect();
    match declared.as_slice() {
        [only] => Some(Arc::clone(only)),
        [] => {
            let known: Vec<String> =
                expansion.input.providers.keys().filter(|name| **name != VALUE_KIND).map(|name| format!("`provider \"{name}\" {{}}`")).collect();
            expansion.found.push(
                Diagnostic::error("no-provider", "no provider is configured for this workspace")
                    .at(block.header)
                    .help(format!("add {}", known.join(" or "))),
            );
            None
        }
        _ => {
            expansion.found.push(
                Diagnostic::error("which-provider", "more than one provider is configured").at(block.header).help(format!("say which: `provider = {}`", declared.first().map_or("local", |name| name))),
            );
            None
        }
    }
}

fn workspace_spec(address: &Address, provider: &ProviderRef, evaluated: &Evaluated, name: String) -> WorkspaceSpec {
    let part = |block: Option<&Evaluated>| {
        block.map_or_else(
            || Part { span: evaluated.span, ..Part::default() },
            |block| Part { span: block.span, fields: block.fields.clone(), lifecycle: block.lifecycle.clone() },
        )
    };
    let named = |parent: Option<&Evaluated>, name: &str| -> BTreeMap<Arc<str>, Part> {
        parent.into_iter().flat_map(|parent| parent.all(name)).map(|block| (Arc::clone(&block.label), part(Some(block)))).collect()
    };
    let firewall = evaluated.only("firewall");
    let mut fields = evaluated.fields.clone();
    let span = fields.get("name").map_or(evaluated.span, |field| field.span);
    fields.insert("name".into(), cloudtik_model::spec::Field::new(name.into(), span));
    WorkspaceSpec {
        address: address.clone(),
        span: evaluated.span,
        provider: provider.clone(),
        fields,
        network: part(evaluated.only("network")),
        firewall: part(firewall),
        ingress: named(firewall, "ingress"),
        egress: named(firewall, "egress"),
        storage: named(Some(evaluated), "storage"),
        depends_on: std::collections::BTreeSet::new(),
        lifecycle: evaluated.lifecycle.clone(),
    }
}

/// The workspace that a cluster names.
pub(crate) fn workspace_of(expansion: &mut Expansion<'_>, block: &Block, instance: &Instance) -> Option<(WorkspaceSpec, ProviderRef, Arc<dyn Provider>)> {
    let attribute = attribute(block, "workspace")?;
    let mut found = Diagnostics::new();
    let address = expansion.evaluator(instance).address(&attribute.value, &mut found);
    expansion.found.extend(found);
    let address = address?;
    if address.root() == "data" {
        expansion.found.push(not_in_effect("data", attribute.value.span));
        return None;
    }
    if let Some((spec, provider)) = expansion.workspaces.get(&address).cloned() {
        let definition = Arc::clone(expansion.input.providers.get(provider.provider_type())?);
        return Some((spec, provider, definition));
    }
    let declared = address.segments().get(1).map(|segment| Name::Workspace(Arc::clone(&segment.name)));
    let expanded = declared.as_ref().is_some_and(|name| expansion.world.instances.contains_key(name));
    if declared.as_ref().is_some_and(|name| expansion.world.failed.contains(name)) {
        return None;
    }
    let help = if expanded {
        "name one of its instances: `workspace.w[\"key\"]`".to_owned()
    } else {
        let names = expansion.workspaces.keys().map(ToString::to_string).collect::<Vec<_>>();
        cloudtik_model::did_you_mean(&address.to_string(), names.iter().map(String::as_str))
            .map_or_else(|| "write `workspace = workspace.NAME`".to_owned(), |near| format!("did you mean `{near}`?"))
    };
    expansion.found.push(Diagnostic::error("unknown-reference", format!("`{address}` is not a workspace")).at(attribute.value.span).help(help));
    None
}
