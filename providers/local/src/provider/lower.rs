//! What a workspace and a cluster become on this machine, and what of a spec it cannot do.

use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, Field, Fields, NodeSpec, WorkspaceSpec};
use cloudtik_model::{Diagnostic, Diagnostics, Number, ProviderRef, Span, Value};
use cloudtik_provider_api::{ClusterStart, Facts, Lowered, WORKSPACE_TAG, WorkspaceStart};

use super::form::{form_of, known};
use super::kinds::{BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, MODE, NETWORK_KIND};
use super::request::MARK_PREFIX;
use crate::daemon::addresses::check_asked;
use crate::daemon::check::label;
use crate::protocol::Form;

/// `workspace.w.network`, `.firewall`, `.storage.<n>`.
pub(super) fn workspace(config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
    let mut found = Diagnostics::new();
    let start = WorkspaceStart::new(workspace, NETWORK_KIND, FIREWALL_KIND);
    check_name(&start.name, place(&workspace.fields, "name", workspace.span), &mut found);
    check_tags(&workspace.fields, &mut found);
    let mode = check_mode(workspace, &mut found);
    let form = form_of(&workspace.provider, config, facts);
    let mut network = start.network.clone();
    if let Some(form) = form {
        network = network.set("form", form.name());
    }
    if takes_cidr(form, workspace, &mut found) {
        network = network.field(&workspace.network.fields, "cidr");
    }
    let mut resources = vec![network.build(), start.firewall.clone().build()];
    let mut storage = Vec::new();
    for (label, part) in &workspace.storage {
        let (bucket, export) = start.bucket(label, part, BUCKET_KIND);
        if let Some(name) = export.get("name").and_then(Value::as_str) {
            check_name(name, place(&part.fields, "name", part.span), &mut found);
        }
        resources.push(bucket.field(&part.fields, "on_destroy").build());
        storage.push((Arc::clone(label), export));
    }
    let own = [("region", "local".into()), ("mode", mode), ("storage", Value::object(storage))];
    Lowered { resources, exports: Value::object(start.exports.into_iter().chain(own)), diagnostics: found, ..Lowered::default() }
}

/// `cluster.c.head`.
pub(super) fn cluster(config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
    let mut found = Diagnostics::new();
    let start = ClusterStart::new(cluster, workspace, INSTANCE_KIND);
    let mut resources = Vec::new();
    if let (Some(head), Some(instance)) = (&cluster.head, start.head) {
        check_name(&start.head_name, place(&cluster.fields, "name", cluster.span), &mut found);
        check_tags(&head.fields, &mut found);
        for exceeded in exceeded(&cluster.provider, config, &[head], facts) {
            found.push(exceeded.diagnostic());
        }
        let instance = instance.mark(WORKSPACE_TAG, &*start.workspace_name);
        let fields = ["cpus", "memory_gib", "publish", "tags"];
        resources.push(fields.into_iter().fold(instance, |instance, field| instance.field(&head.fields, field)).build());
    }
    Lowered { resources, exports: Value::object(start.exports), diagnostics: found, ..Lowered::default() }
}

/// What the heads of all clusters ask for together. What one of them asks for alone is [`cluster`]'s error.
pub(super) fn check_together(provider: &ProviderRef, config: &Value, clusters: &[&ClusterSpec], facts: &Facts) -> Diagnostics {
    let heads: Vec<&NodeSpec> = clusters.iter().filter_map(|cluster| cluster.head.as_ref()).collect();
    let alone =
        |name: &str| heads.iter().any(|head| exceeded(provider, config, &[head], facts).iter().any(|exceeded| exceeded.name == name));
    exceeded(provider, config, &heads, facts).iter().filter(|exceeded| !alone(exceeded.name)).map(Exceeded::diagnostic).collect()
}

/// A limit that nodes go beyond.
struct Exceeded<'a> {
    name: &'static str,
    asked: Number,
    limit: Number,
    /// Whether the provider block says so, or the machine.
    written: bool,
    /// Those that ask for something.
    heads: Vec<(&'a NodeSpec, Span)>,
}

impl Exceeded<'_> {
    fn diagnostic(&self) -> Diagnostic {
        let Self { name, asked, limit, .. } = self;
        let whose = if self.written { format!("`{name}` of the provider block allows") } else { "this machine has".to_owned() };
        let (who, verb) = match self.heads.as_slice() {
            [(head, _)] => (format!("`{}`", head.address), "asks"),
            heads => (format!("{} nodes", heads.len()), "ask"),
        };
        let help =
            format!("ask for less, leave `{name}` out of a node, which then counts nothing, or write `{name}` in the provider block");
        let diagnostic = Diagnostic::error("local-limit", format!("{who} {verb} for `{name}` = {asked}, and {whose} {limit}")).help(help);
        let mut places = self.heads.iter().rev();
        let Some((head, span)) = places.next() else { return diagnostic };
        places.fold(diagnostic.at(*span).of(&head.address), |diagnostic, (_, span)| diagnostic.and_at(*span, "this counts too"))
    }
}

/// The limits that these nodes go beyond together. What nobody knows yet is no limit.
fn exceeded<'a>(provider: &ProviderRef, config: &Value, heads: &[&'a NodeSpec], facts: &Facts) -> Vec<Exceeded<'a>> {
    let machine = known(provider, config, facts);
    let machine = machine.map_or((None, None), |known| (known.cpus, known.memory_gib));
    let limits = [("cpus", machine.0), ("memory_gib", machine.1)].into_iter().filter_map(|(name, machine)| {
        let written = config.get(name).and_then(Value::as_number).cloned();
        Some((name, written.is_some(), written.or(machine)?))
    });
    limits
        .filter_map(|(name, written, limit)| {
            let asking = heads.iter().filter_map(|head| Some((*head, head.fields.get(name)?)));
            let asking: Vec<_> = asking.filter_map(|(head, field)| Some((head, field.span, field.value.as_number()?))).collect();
            let sum = asking.iter().try_fold(Number::ZERO, |sum, (.., number)| sum.add(number)).ok()?;
            let heads = asking.iter().map(|(head, span, _)| (*head, if span.is_none() { head.span } else { *span })).collect();
            (sum > limit).then_some(Exceeded { name, asked: sum, limit, written, heads })
        })
        .collect()
}

/// The mode of the network; one that is not possible here is an error.
fn check_mode(workspace: &WorkspaceSpec, found: &mut Diagnostics) -> Value {
    let fields = &workspace.network.fields;
    let mode = fields.get("mode").map(|field| field.value.clone()).filter(|mode| !mode.is_null()).unwrap_or_else(|| MODE.into());
    if let Some(other) = mode.as_str().filter(|mode| *mode != MODE) {
        let why = match other {
            "peered" => "this machine has no other network to peer with",
            "shared" => "this machine has no network that is made elsewhere",
            _ => "there is no such mode",
        };
        let diagnostic =
            Diagnostic::error("local-network-mode", format!("provider `{}` has no networks of mode `{other}`: {why}", workspace.provider))
                .at(place(fields, "mode", workspace.network.span))
                .help(format!("write `mode = \"{MODE}\"` or leave it out"))
                .of(&workspace.address);
        found.push(diagnostic);
    }
    mode
}

/// Whether the network gets the addresses that the spec writes. In the plain form they cannot be had, and the same spec must work elsewhere.
fn takes_cidr(form: Option<Form>, workspace: &WorkspaceSpec, found: &mut Diagnostics) -> bool {
    let Some(Field { value, span }) = workspace.network.fields.get("cidr").filter(|field| !field.value.is_null()) else { return false };
    match form {
        Some(Form::Plain) => {
            let title = "`cidr` is not used: nodes of the form plain have addresses of this machine's loopback";
            found.push(Diagnostic::warning("local-cidr", title).at(*span).of(&workspace.address));
            false
        }
        Some(Form::Namespaces) => {
            if let Some(Err(error)) = value.as_str().map(|cidr| check_asked(cidr, Form::Namespaces)) {
                found.push(Diagnostic::error("local-cidr", error.message).at(*span).help("leave it out to get one").of(&workspace.address));
            }
            true
        }
        None => true,
    }
}

fn check_name(name: &str, span: Span, found: &mut Diagnostics) {
    if let Err(error) = label("name", name) {
        found.push(Diagnostic::error("local-name", error.message).at(span).help("write another `name`"));
    }
}

fn check_tags(fields: &Fields, found: &mut Diagnostics) {
    let Some(field) = fields.get("tags") else { return };
    for name in field.value.entries().into_iter().flat_map(|tags| tags.keys()).filter(|name| name.starts_with(MARK_PREFIX)) {
        let title = format!("the tag `{name}` begins with `{MARK_PREFIX}`, as only cloudtik's own do");
        found.push(Diagnostic::error("reserved-tag", title).at(field.span).help("give it another name"));
    }
}

/// Where a field stands, else what is around it.
fn place(fields: &Fields, name: &str, around: Span) -> Span {
    fields.get(name).map(|field| field.span).filter(|span| !span.is_none()).unwrap_or(around)
}
