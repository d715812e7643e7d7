//! The templates that providers ship: HCL that is part of the program.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Address, Diagnostic, Diagnostics, ExprKind, ProviderRef, Span, Value};
use cloudtik_syntax::{Block, Body, parse_file};

use super::{FROM, unknown_shipped};
use crate::declare::Name;
use crate::expand::Expansion;
use crate::scope::{Instance, static_address};

/// The templates of the providers that were asked for, by provider and name.
#[derive(Default)]
pub(crate) struct Shipped {
    by_provider: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<Block>>>,
}

impl Shipped {
    /// Whether a place is in one of them.
    pub(crate) fn has(&self, place: Span) -> bool {
        self.name_at(place).is_some()
    }

    /// The name of the one that a place is in.
    pub(crate) fn name_at(&self, place: Span) -> Option<&Arc<str>> {
        let is_in = |block: &Block| block.span.file == place.file && (block.span.start..block.span.end).contains(&place.start);
        self.by_provider.values().flatten().find(|(_, template)| is_in(template)).map(|(name, _)| name)
    }
}

/// What a name means to a block: the templates that it is made from, then itself. `None`: what is wrong has been said.
pub(super) fn layers(expansion: &mut Expansion<'_>, name: &Arc<str>, place: Span, of: &str, body: &Body) -> Option<Vec<Arc<Block>>> {
    if of != "cluster" {
        let title = format!("`{name}`: shipped templates are of clusters");
        let help = "write a `template` with what workspaces inherit";
        expansion.found.push(Diagnostic::error("unknown-template", title).at(place).help(help));
        return None;
    }
    let (named, name) = match name.split_once('/') {
        Some((first, rest)) if expansion.input.providers.contains_key(first) => {
            (Some(Arc::from(expansion.replaced(&ProviderRef::new(first)).provider_type())), Arc::from(rest))
        }
        _ => (None, Arc::clone(name)),
    };
    let own = match provider_of(expansion, body) {
        Of::Provider(provider) => provider,
        // A cluster without a workspace is refused; without one of its instances it has none itself.
        Of::Nothing => return Some(Vec::new()),
        Of::Unknown => {
            let Some(named) = &named else {
                let title = format!("whose `{name}` is meant cannot be told: `workspace` is worked out for each instance");
                let help = format!("say which: `\"PROVIDER/{name}\"`");
                expansion.found.push(Diagnostic::error("unknown-template", title).at(place).help(help));
                return None;
            };
            Arc::clone(named)
        }
    };
    let named = named.unwrap_or_else(|| Arc::clone(&own));
    if named != own {
        let title = format!("`{named}/{name}` is for provider `{named}`, and the cluster's workspace is made through `{own}`");
        let help = format!("write `\"{name}\"`, which takes the workspace's provider");
        expansion.found.push(Diagnostic::error("wrong-provider", title).at(place).help(help));
        return None;
    }
    let known = templates_of(expansion, &own);
    let mut layers = Vec::new();
    let mut next = Some(Arc::clone(&name));
    while let Some(wanted) = next {
        let Some(template) = known.get(&wanted).filter(|template| !layers.contains(*template)) else {
            let all: Vec<&str> = known.keys().map(|name| &**name).collect();
            let is_own = expansion.world.declared.contains(&Name::Template(Arc::clone(&name)));
            expansion.found.push(unknown_shipped(&wanted, place, &own, &all, is_own));
            return None;
        };
        next = template.body.attribute(FROM).and_then(|from| match &from.value.kind {
            ExprKind::Literal(name) => name.as_str().map(Arc::from),
            _ => None,
        });
        layers.push(Arc::clone(template));
    }
    layers.reverse();
    Some(layers)
}

/// What the workspace of a cluster is made through.
enum Of {
    /// The type of its provider; all instances of a block have the same.
    Provider(Arc<str>),
    /// None is written, or what is written makes none.
    Nothing,
    /// It cannot be told for all instances of the cluster at once.
    Unknown,
}

fn provider_of(expansion: &Expansion<'_>, body: &Body) -> Of {
    let Some(workspace) = body.attribute("workspace") else { return Of::Nothing };
    // What is wrong with the reference is said where it is followed for each instance.
    let address = expansion.referred(&workspace.value, &Instance::default(), &mut Diagnostics::new());
    let used = address.and_then(|address| {
        let declared = expansion.workspaces.get(&address).map(|(spec, _)| &spec.provider);
        declared.or_else(|| expansion.recorded.get(&address).map(|used| &used.provider))
    });
    if let Some(provider) = used {
        return Of::Provider(provider.provider_type().into());
    }
    // With a key that is each instance's own: any instance of the block in the same module will do.
    let Some(written) = static_address(&workspace.value, &mut |_| Some(Value::from(""))) else { return Of::Unknown };
    let plain = |address: &Address| address.in_module().iter().map(|segment| Arc::clone(&segment.name)).collect::<Vec<_>>();
    let (module, wanted) = (expansion.world.module.as_ref(), plain(&written));
    let declared = expansion.workspaces.iter().map(|(address, (spec, _))| (address, &spec.provider));
    let recorded = expansion.recorded.iter().map(|(address, used)| (address, &used.provider));
    let found = declared.chain(recorded).find(|(address, _)| address.module().as_ref() == module && plain(address) == wanted);
    match found {
        Some((_, provider)) => Of::Provider(provider.provider_type().into()),
        None if matches!(written.root(), "workspace" | "data") || expansion.found.has_errors() => Of::Nothing,
        None => Of::Unknown,
    }
}

/// The templates of a provider by name; read when the first is asked for.
fn templates_of(expansion: &mut Expansion<'_>, provider: &Arc<str>) -> BTreeMap<Arc<str>, Arc<Block>> {
    if let Some(known) = expansion.shipped.by_provider.get(provider) {
        return known.clone();
    }
    let named = |block: Block| Some((Arc::clone(&block.labels.first()?.text), Arc::new(block)));
    let mut known = BTreeMap::new();
    for text in expansion.input.providers.get(&**provider).into_iter().flat_map(|provider| provider.templates()) {
        let file = expansion.reads.map.borrow_mut().add(format!("<templates of {provider}>"), *text);
        let (body, diagnostics) = parse_file(file, text);
        expansion.found.extend(diagnostics);
        known.extend(body.blocks.into_iter().filter_map(named));
    }
    expansion.shipped.by_provider.insert(Arc::clone(provider), known.clone());
    known
}
