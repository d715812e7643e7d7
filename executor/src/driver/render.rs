//! From a step of the plan to what a node is told: late values filled in, templates rendered, numbers and words read.

use std::collections::BTreeMap;

use cloudtik_lang::{Context, Found, Scope, Traversal, resolve};
use cloudtik_model::{
    Artifact, DaemonSpec, Diagnostic, Diagnostics, Digest, Input, LateName, NodeAction, Readiness, StepKind, StepSpec, Value,
};
use cloudtik_provider_api::{CallError, ErrorClass};

use crate::engine::{NodeFacts, RenderedStep, StepRenderer};

/// Daemons that say nothing of it: seconds until ready, restarts in a window, seconds to stop, bytes of a log.
const READY_TIMEOUT_SECS: u64 = 60;
const RESTARTS_MAX: u64 = 3;
const RESTART_WINDOW_SECS: u64 = 600;
const STOP_GRACE_SECS: u64 = 10;
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Commands that say nothing of it.
const RUN_TIMEOUT_SECS: u64 = 600;
const WAIT_TIMEOUT_SECS: u64 = 60;

/// The renderer of every plan; templates are Handlebars.
pub struct HandlebarsRenderer;

impl StepRenderer for HandlebarsRenderer {
    fn render(&self, spec: &StepSpec, facts: &NodeFacts) -> Result<RenderedStep, CallError> {
        let inputs = Inputs::fill(spec, facts)?;
        let action = inputs.action(spec.kind, facts)?;
        let undo = match &action {
            NodeAction::HostKey { .. } | NodeAction::Wait { .. } => None,
            NodeAction::Run { undo: None, .. } => None,
            other => Some(other.clone()),
        };
        Ok(RenderedStep { action, undo, artifacts: inputs.artifacts.into_values().collect() })
    }
}

/// The late names of one node.
struct NodeScope<'a>(&'a Value);

impl Scope for NodeScope<'_> {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        Err(Diagnostic::error("unknown-name", format!("`{}` is not known on the node", traversal.root)).into())
    }

    fn late(&self, name: &LateName) -> Option<Value> {
        match name {
            LateName::Node(part) => self.0.get(part).cloned(),
            LateName::GroupMembers | LateName::GroupBootstrap | LateName::ServiceEndpoints(_) | LateName::Secret(_) => None,
        }
    }
}

/// The inputs of a step, concrete.
struct Inputs<'a> {
    spec: &'a StepSpec,
    values: BTreeMap<&'a str, Value>,
    artifacts: BTreeMap<&'a str, Artifact>,
}

impl<'a> Inputs<'a> {
    fn fill(spec: &'a StepSpec, facts: &NodeFacts) -> Result<Self, CallError> {
        let scope = NodeScope(&facts.node);
        let context = Context::new(&scope);
        let mut inputs = Self { spec, values: BTreeMap::new(), artifacts: BTreeMap::new() };
        let known = |name: &str, value: &Value| {
            let value = resolve(value, &context).map_err(|diagnostics| wrong(spec, name, &first_title(diagnostics)))?;
            if value.is_known() { Ok(value) } else { Err(wrong(spec, name, "it is not known on this node")) }
        };
        for (name, input) in &spec.inputs {
            match input {
                Input::Value(value) => {
                    inputs.values.insert(name, known(name, value)?);
                }
                Input::Template(template) => {
                    let bindings = known(name, &template.bindings)?;
                    let sensitive = bindings.has_sensitive();
                    let text =
                        cloudtik_runtime_modules::render(template, &bindings).map_err(|error| wrong(spec, name, &error.to_string()))?;
                    inputs.values.insert(name, Value::from(text).marked(sensitive));
                }
                Input::Artifact(artifact) => {
                    inputs.artifacts.insert(name, artifact.clone());
                }
            }
        }
        Ok(inputs)
    }

    fn action(&self, kind: StepKind, facts: &NodeFacts) -> Result<NodeAction, CallError> {
        Ok(match kind {
            StepKind::HostKey => NodeAction::HostKey { authorized_keys: self.strings("authorized_keys")? },
            StepKind::File => NodeAction::File {
                path: self.text("path")?,
                mode: self.optional_text("mode")?.unwrap_or_else(|| "0644".to_owned()),
                owner: self.optional_text("owner")?,
                content: self.optional_text("content")?,
                artifact: self.artifacts.get("artifact").map(|artifact| artifact.sha256),
            },
            StepKind::Package => {
                let artifact = self.artifacts.get("artifact").ok_or_else(|| wrong(self.spec, "artifact", "it is missing"))?;
                NodeAction::Package {
                    into: self.text("into")?,
                    file: artifact.file.clone(),
                    artifact: artifact.sha256,
                    executables: self.strings("executables")?,
                }
            }
            StepKind::Daemon => NodeAction::Daemon(self.daemon(facts)?),
            StepKind::Wait => NodeAction::Wait {
                ready: self.readiness("ready")?.ok_or_else(|| wrong(self.spec, "ready", "it is missing"))?,
                timeout_secs: self.number("timeout_secs", WAIT_TIMEOUT_SECS)?,
            },
            StepKind::Run => NodeAction::Run {
                script: self.text("script")?,
                undo: self.optional_text("undo")?,
                creates: self.optional_text("creates")?,
                unless: self.optional_text("unless")?,
                only_if: self.optional_text("only_if")?,
                env: self.texts("env")?,
                user: self.optional_text("user")?,
                timeout_secs: self.number("timeout_secs", RUN_TIMEOUT_SECS)?,
                retries: u32::try_from(self.number("retries", 0)?).unwrap_or(u32::MAX),
                retry_wait_secs: self.number("retry_wait_secs", 0)?,
            },
        })
    }

    fn daemon(&self, facts: &NodeFacts) -> Result<DaemonSpec, CallError> {
        let follows: Vec<String> =
            facts.follows.iter().map(|(address, digest)| format!("{} {digest}", address.seen_from(&self.spec.node))).collect();
        Ok(DaemonSpec {
            name: self.text("name")?,
            argv: self.strings("argv")?,
            cwd: self.optional_text("cwd")?,
            env: self.texts("env")?,
            user: self.optional_text("user")?,
            ready: self.readiness("ready")?,
            ready_timeout_secs: self.number("ready_timeout_secs", READY_TIMEOUT_SECS)?,
            restarts_max: u32::try_from(self.number("restarts_max", RESTARTS_MAX)?).unwrap_or(u32::MAX),
            restart_window_secs: self.number("restart_window_secs", RESTART_WINDOW_SECS)?,
            stop_signal: self.optional_text("stop_signal")?.unwrap_or_else(|| "TERM".to_owned()),
            stop_grace_secs: self.number("stop_grace_secs", STOP_GRACE_SECS)?,
            log_bytes_max: self.number("log_bytes_max", LOG_BYTES_MAX)?,
            generation: if follows.is_empty() { String::new() } else { Digest::of(follows.join("\n")).to_string() },
            reload_signal: self.optional_text("reload_signal")?,
        })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    fn optional_text(&self, name: &str) -> Result<Option<String>, CallError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value
            .as_str()
            .map(|text| Some(text.to_owned()))
            .ok_or_else(|| wrong(self.spec, name, &format!("it is {}, not a string", value.describe())))
    }

    fn text(&self, name: &str) -> Result<String, CallError> {
        self.optional_text(name)?.ok_or_else(|| wrong(self.spec, name, "it is missing"))
    }

    fn number(&self, name: &str, default: u64) -> Result<u64, CallError> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value
            .as_number()
            .and_then(cloudtik_model::Number::as_u64)
            .ok_or_else(|| wrong(self.spec, name, &format!("it is {}, not a whole number from 0", value.describe())))
    }

    fn strings(&self, name: &str) -> Result<Vec<String>, CallError> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let items = value.elements().and_then(|items| items.map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
        items.ok_or_else(|| wrong(self.spec, name, "it is not a list of strings"))
    }

    fn texts(&self, name: &str) -> Result<BTreeMap<String, String>, CallError> {
        let Some(value) = self.get(name) else { return Ok(BTreeMap::new()) };
        let entries = value.entries().and_then(|entries| {
            entries.iter().map(|(key, value)| Some((key.to_string(), value.as_str()?.to_owned()))).collect::<Option<_>>()
        });
        entries.ok_or_else(|| wrong(self.spec, name, "it is not a map of strings"))
    }

    fn readiness(&self, name: &str) -> Result<Option<Readiness>, CallError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let read = |value: &Value, http: bool| {
            let host = value.get("host")?.as_str()?.to_owned();
            let port = u16::try_from(value.get("port")?.as_number()?.as_u64()?).ok()?;
            Some(if http {
                Readiness::Http { host, port, path: value.get("path").and_then(Value::as_str).unwrap_or("/").to_owned() }
            } else {
                Readiness::Tcp { host, port }
            })
        };
        let readiness = match (value.get("http"), value.get("tcp")) {
            (Some(http), _) if !http.is_null() => read(http, true),
            (_, Some(tcp)) => read(tcp, false),
            _ => None,
        };
        readiness
            .map(Some)
            .ok_or_else(|| wrong(self.spec, name, "it is not `{ http = { host, port, path } }` or `{ tcp = { host, port } }`"))
    }
}

fn first_title(diagnostics: Diagnostics) -> String {
    diagnostics.into_iter().next().map_or_else(|| "it cannot be evaluated".to_owned(), |diagnostic| diagnostic.title)
}

fn wrong(spec: &StepSpec, name: &str, problem: &str) -> CallError {
    CallError::new(ErrorClass::Permanent, "render", format!("`{name}` of {}: {problem}", spec.address))
}

#[cfg(test)]
mod tests {
    use cloudtik_model::{Address, Input, Lifecycle, Span};

    use super::*;

    fn daemon(node: &str) -> NodeAction {
        let node: Address = node.parse().unwrap();
        let config = node.child("config");
        let inputs = [("name", Value::from("etcd")), ("argv", Value::list([Value::from("etcd")]))];
        let spec = StepSpec {
            address: node.child("etcd"),
            node,
            kind: StepKind::Daemon,
            inputs: inputs.into_iter().map(|(name, value)| (name.to_owned(), Input::Value(value))).collect(),
            triggers: [config.clone()].into(),
            frozen: false,
            depends_on: [config.clone()].into(),
            title: String::new(),
            lifecycle: Lifecycle::default(),
            span: Span::NONE,
        };
        let facts = NodeFacts { node: Value::NULL, follows: [(config, Digest::of("x"))].into() };
        HandlebarsRenderer.render(&spec, &facts).unwrap().action
    }

    #[test]
    fn what_a_node_is_told_does_not_depend_on_what_it_is_called() {
        assert_eq!(daemon("cluster.c.workers.old[1]"), daemon("cluster.c.workers.new[1]"));
        let NodeAction::Daemon(spec) = daemon("cluster.c.head") else { panic!() };
        assert!(!spec.generation.is_empty());
    }
}
