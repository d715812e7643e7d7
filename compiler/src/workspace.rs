//! Workspaces: typed specs, lowered by their provider.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::spec::{ClientProvider, FirewallSpec, Part, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{Address, ConditionKind, Diagnostic, Diagnostics, Lifecycle, ProviderRef, Value};
use cloudtik_provider_api::{Lowered, Provider};
use cloudtik_syntax::Block;

use crate::check::{check_value, like_a_name};
use crate::declare::{CLIENT_PROVIDER, Name, named_by};
use crate::dynamic::Unrolled;
use crate::evaluate::{Evaluated, Whose};
use crate::expand::{Expansion, attribute, attribute_of_lifecycle, located, merged_lifecycle};
use crate::language::NAME_CHARS_MAX;
use crate::providers::Used;
use crate::proxy::check_proxy;
use crate::schema::Check;
use crate::scope::Instance;
use crate::storage::check_stores;
use crate::template::Inherited;

/// The workspaces that were expanded, with what clusters use of them.
pub(crate) type Workspaces = BTreeMap<Address, (WorkspaceSpec, WorkspaceUse)>;

/// Expands a `workspace` block: its instances are lowered and go into the graph.
pub(crate) fn expand_workspace(expansion: &mut Expansion<'_>, name: &Name, block: &Block) {
    let Name::Workspace(label) = name else { return };
    let schema = expansion.top("workspace");
    let Some(inherited) = Inherited::of(expansion, block, &schema) else { return };
    let block = &*inherited.block;
    let Some(chosen) = expansion.choose_for_workspace(block) else { return };
    let Some(instances) = expansion.instances(block) else { return };
    let mut values = Vec::new();
    for instance in &instances.list {
        let address = expansion.address("workspace", label).with_key(instance.key.clone());
        let Some(used) = expansion.used_provider(&chosen, instance) else { continue };
        let mut found = Diagnostics::new();
        let Unrolled { block, instance } = inherited.unrolled(expansion, instance, &schema, &mut found);
        let (block, instance) = (&*block, &*instance);
        expansion.write_spec(&address, block, instance, &schema);
        let client = client_provider(expansion, block, instance, &used);
        let evaluator = expansion.evaluator(instance);
        let mut evaluated = evaluator.block(block, &schema, &mut found);
        let conditions = evaluator.conditions(&block.body, &of_block(ConditionKind::Precondition, &address), &mut found);
        conditions.iter().for_each(|condition| condition.condition.addresses(&mut evaluated.needs));
        check_proxy(&evaluated, &mut found);
        check_stores(&evaluated, &mut found);
        let wanted = attribute(block, "depends_on").map(|attribute| located(&evaluator, &attribute.value, &mut found)).unwrap_or_default();
        let real_name = found.take(real_name(&evaluated, label, instance));
        let failed = found.has_errors();
        expansion.found.extend(found);
        let Some(real_name) = real_name.filter(|_| !failed) else { continue };
        let place = evaluated.fields.get("name").map_or(evaluated.span, |field| field.span);
        expansion.claim_name(format!("workspace `{real_name}` of provider `{}`", used.provider), place);
        let import = expansion.whole.get(&address.without_keys()).copied();
        let spec = WorkspaceSpec { client, import, ..workspace_spec(&address, &used.provider, &evaluated, real_name) };
        let lowered = chosen.definition.lower_workspace(&used.config, &spec, expansion.input.facts);
        let shared = lowered.workspace(&spec);
        if let Some(there) = &lowered.there {
            expansion.there.insert(address.clone(), there.clone());
        }
        let exports = take_lowered(expansion, &address, block, lowered, &evaluated, &wanted);
        expansion.graph.conditions.extend(conditions);
        postconditions(expansion, block, instance, (&address, &exports));
        values.push((instance.key.clone(), exports));
        expansion.workspaces.insert(address, (spec, shared));
    }
    if values.len() == instances.list.len() {
        expansion.world.values.insert(name.clone(), instances.value(values));
        expansion.world.instances.insert(name.clone(), instances.shape);
    }
}

/// The configuration through which the client's side of a network is made.
fn client_provider(expansion: &mut Expansion<'_>, block: &Block, instance: &Instance, own: &Used) -> Option<ClientProvider> {
    let network = block.body.blocks.iter().find(|inner| &*inner.kind.name == "network")?;
    let named = &attribute(network, CLIENT_PROVIDER)?.value;
    let client = expansion.named_configuration(named, instance)?;
    if client.provider.provider_type() != own.provider.provider_type() {
        let title = format!(
            "the network of the client is reached through `{}`, and the workspace is made through `{}`",
            client.provider, own.provider
        );
        let help = format!("name a configuration of provider `{}`", own.provider.provider_type());
        expansion.found.push(Diagnostic::error("wrong-provider", title).at(named.span).help(help));
        return None;
    }
    Some(ClientProvider { provider: client.provider, config: client.config, span: named.span })
}

/// Puts what a provider made of a spec into the graph; gives what references to the block see.
pub(crate) fn take_lowered(
    expansion: &mut Expansion<'_>,
    address: &Address,
    block: &Block,
    lowered: Lowered,
    evaluated: &Evaluated,
    wanted: &[(Address, cloudtik_model::Span)],
) -> Value {
    expansion.found.extend(lowered.diagnostics);
    let needs = evaluated.all_needs();
    let mut unused = evaluated.lifecycle.ignore_changes.clone();
    for resource in lowered.resources {
        let mut resource = expansion.with_default_tags(resource);
        resource.depends_on.extend(needs.iter().cloned());
        resource.attributes.addresses(&mut resource.depends_on);
        let outer =
            Lifecycle { ignore_changes: ignored_of(expansion, address, &resource, evaluated, &mut unused), ..evaluated.lifecycle.clone() };
        // Where a part says nothing, the provider gave it the block's as it is written.
        resource.lifecycle.ignore_changes =
            resource.lifecycle.ignore_changes.difference(&evaluated.lifecycle.ignore_changes).cloned().collect();
        if let Some(path) = resource.lifecycle.ignore_changes.iter().find(|path| !has_attribute(expansion, &resource, path)) {
            let title = format!("`ignore_changes`: {} has no attribute `{path}`", resource.address);
            expansion.found.push(Diagnostic::error("unknown-attribute", title).at(resource.span));
        }
        resource.lifecycle = merged_lifecycle(&outer, &resource.lifecycle);
        if !wanted.is_empty() {
            expansion.wanted.insert(resource.address.clone(), wanted.to_vec());
        }
        expansion.graph.nodes.insert(resource.address.clone(), cloudtik_model::Node::Resource(resource));
    }
    expansion.named.extend(evaluated.triggers.iter().map(|(address, span)| (*span, address.clone())));
    for path in unused {
        let place = block.body.blocks.iter().find_map(|inner| attribute_of_lifecycle(inner, "ignore_changes")).unwrap_or(block.header);
        expansion.found.push(
            Diagnostic::error("unknown-attribute", format!("`ignore_changes`: nothing that {address} makes has an attribute `{path}`"))
                .at(place)
                .help("name an attribute such as `tags`, or one of a part: `head.tags`"),
        );
    }
    lowered.exports
}

/// The paths of a block's `ignore_changes` that are about one resource of it: `head.tags` is `tags` of the head and of nothing else.
fn ignored_of(
    expansion: &Expansion<'_>,
    address: &Address,
    resource: &cloudtik_model::ResourceSpec,
    evaluated: &Evaluated,
    unused: &mut BTreeSet<String>,
) -> BTreeSet<String> {
    let below = resource.address.to_string().strip_prefix(&address.to_string()).map(|rest| format!("{}.", rest.trim_start_matches('.')));
    let mut own = BTreeSet::new();
    for path in &evaluated.lifecycle.ignore_changes {
        let inner = below.as_deref().and_then(|below| path.strip_prefix(below)).unwrap_or(path);
        if has_attribute(expansion, resource, inner) {
            unused.remove(path);
            own.insert(inner.to_owned());
        }
    }
    own
}

/// Whether a path of `ignore_changes` begins with an attribute of the resource's kind.
fn has_attribute(expansion: &Expansion<'_>, resource: &cloudtik_model::ResourceSpec, path: &str) -> bool {
    let name = path.split(['.', '[']).next().unwrap_or(path);
    let provider = expansion.input.providers.get(resource.provider.provider_type());
    let kind = provider.and_then(|provider| provider.schema().kinds.get(&*resource.kind));
    name == "*" || kind.is_some_and(|kind| kind.attribute(name).is_some())
}

/// Whose the conditions of a block are: of none of the objects that it makes. A precondition holds before the first of them is made, if it
/// can be judged by then; all else is judged at the end.
pub(crate) fn of_block(kind: ConditionKind, address: &Address) -> Whose<'_> {
    Whose { kind, of: address.to_string(), address: (kind == ConditionKind::Precondition).then_some(address) }
}

/// The postconditions of a block; `self` is what references to it see.
pub(crate) fn postconditions(expansion: &mut Expansion<'_>, block: &Block, instance: &Instance, (address, exports): (&Address, &Value)) {
    let this = Instance { this: Some(exports.clone()), ..instance.clone() };
    let mut found = Diagnostics::new();
    let conditions = expansion.evaluator(&this).conditions(&block.body, &of_block(ConditionKind::Postcondition, address), &mut found);
    expansion.graph.conditions.extend(conditions);
    expansion.found.extend(found);
}

/// The name in the world: what the block says, else its label, with the key of the instance behind it. A name that was written was
/// checked where it stands.
pub(crate) fn real_name(evaluated: &Evaluated, label: &str, instance: &Instance) -> Result<String, Diagnostic> {
    let name = match (evaluated.text("name"), &instance.key) {
        (Some(name), _) => return Ok(name.to_owned()),
        (None, None) => label.to_owned(),
        (None, Some(cloudtik_model::Key::Index(index))) => format!("{label}-{index}"),
        (None, Some(cloudtik_model::Key::Name(key))) => format!("{label}-{key}"),
    };
    // Of a label that is no name it has been said where it is declared; the provider is told one that it need not say it again of.
    let said = check_value(&label.into(), Check::Name(usize::MAX)).is_err();
    match check_value(&name.as_str().into(), Check::Name(NAME_CHARS_MAX)) {
        Ok(()) => Ok(name),
        Err(_) if said => Ok(like_a_name(&name).unwrap_or(name)),
        Err(problem) => Err(Diagnostic::error("bad-name", format!("its real name would be `{name}`, and that is no name"))
            .at(evaluated.span)
            .maybe_help(problem.help)
            .note("without `name` it is made of the label and the key; `name` says another")),
    }
}

/// A reference below `data` that is no workspace. Of a block with errors it has been said.
fn refuse_data(expansion: &mut Expansion<'_>, address: &Address, span: cloudtik_model::Span) {
    let names: Vec<Arc<str>> = address.in_module().iter().skip(1).map(|segment| Arc::clone(&segment.name)).collect();
    if named_by(address.root(), &names).zip(expansion.around(address)).is_some_and(|(name, world)| world.failed.contains(&name)) {
        return;
    }
    let title = format!("`{address}` is not a workspace");
    expansion
        .found
        .push(Diagnostic::error("unknown-reference", title).at(span).help("declare it: `data \"workspace\" \"w\" { name = … }`"));
}

fn part(block: &Evaluated) -> Part {
    Part { span: block.span, fields: block.fields.clone(), lifecycle: block.lifecycle.clone() }
}

/// The blocks of a name in another one, by label.
fn parts(parent: &Evaluated, name: &str) -> BTreeMap<Arc<str>, Part> {
    parent.all(name).iter().map(|block| (Arc::clone(&block.label), part(block))).collect()
}

/// A block `firewall`, of a workspace or of a cluster.
pub(crate) fn firewall_spec(block: &Evaluated) -> FirewallSpec {
    FirewallSpec { own: part(block), ingress: parts(block, "ingress"), egress: parts(block, "egress") }
}

fn workspace_spec(address: &Address, provider: &ProviderRef, evaluated: &Evaluated, name: String) -> WorkspaceSpec {
    let own = |name: &str| evaluated.only(name).map_or_else(|| Part { span: evaluated.span, ..Part::default() }, part);
    let firewall = evaluated.only("firewall").map(firewall_spec);
    let mut fields = evaluated.fields.clone();
    let span = fields.get("name").map_or(evaluated.span, |field| field.span);
    fields.insert("name".into(), cloudtik_model::spec::Field::new(name.into(), span));
    WorkspaceSpec {
        address: address.clone(),
        span: evaluated.span,
        provider: provider.clone(),
        client: None,
        fields,
        network: own("network"),
        firewall: firewall.unwrap_or_else(|| FirewallSpec { own: own("firewall"), ..FirewallSpec::default() }),
        identity: own("identity"),
        proxy: own("proxy"),
        storage: parts(evaluated, "storage"),
        database: parts(evaluated, "database"),
        depends_on: BTreeSet::new(),
        lifecycle: evaluated.lifecycle.clone(),
        import: None,
    }
}

/// The workspace that a cluster names.
pub(crate) fn workspace_of(expansion: &mut Expansion<'_>, block: &Block, instance: &Instance) -> Option<(WorkspaceUse, Arc<dyn Provider>)> {
    let attribute = attribute(block, "workspace")?;
    let mut found = Diagnostics::new();
    let address = expansion.referred(&attribute.value, instance, &mut found);
    expansion.found.extend(found);
    let address = address?;
    let known = expansion.workspaces.get(&address).map(|(_, used)| used).or_else(|| expansion.recorded.get(&address)).cloned();
    if let Some(used) = known {
        let definition = Arc::clone(expansion.input.providers.get(used.provider.provider_type())?);
        return Some((used, definition));
    }
    if address.root() == "data" {
        refuse_data(expansion, &address, attribute.value.span);
        return None;
    }
    let declared = address.in_module().get(1).map(|segment| Name::Workspace(Arc::clone(&segment.name)));
    let declared = declared.as_ref().zip(expansion.around(&address));
    let expanded = declared.is_some_and(|(name, world)| world.instances.contains_key(name));
    if declared.is_some_and(|(name, world)| world.failed.contains(name)) {
        return None;
    }
    let help = if expanded {
        "name one of its instances: `workspace.w[\"key\"]`".to_owned()
    } else {
        let names = expansion.workspaces.keys().map(ToString::to_string).collect::<Vec<_>>();
        cloudtik_model::did_you_mean(&address.to_string(), names.iter().map(String::as_str))
            .map_or_else(|| "write `workspace = workspace.NAME`".to_owned(), |near| format!("did you mean `{near}`?"))
    };
    expansion
        .found
        .push(Diagnostic::error("unknown-reference", format!("`{address}` is not a workspace")).at(attribute.value.span).help(help));
    None
}
