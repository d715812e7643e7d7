//! `proxy`, of a workspace and of a cluster: the environment of whatever reaches the world through a proxy.

use std::net::Ipv6Addr;
use std::sync::Arc;

use cloudtik_model::spec::WorkspaceUse;
use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, TemplatePart, Type, Value};
use cloudtik_provider_api::DOMAIN;

use crate::evaluate::Evaluated;

/// What is in a workspace or on the node itself, whatever its network is: this machine, and what tells a machine of a cloud about itself.
const ALWAYS_INSIDE: [&str; 3] = ["localhost", "127.0.0.1", "169.254.169.254"];

/// What is wrong with a `proxy`: it is written into the environment of everything, and into the record of a workspace, so it is no secret.
pub(crate) fn check_proxy(block: &Evaluated, found: &mut Diagnostics) {
    let Some(proxy) = block.only("proxy") else { return };
    for name in ["http", "https"] {
        let field = proxy.field(name);
        let Some(url) = field.value.as_str() else { continue };
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if field.value.is_sensitive() || rest.is_some_and(|rest| rest.split('/').next().is_some_and(|host| host.contains('@'))) {
            let title = format!("`{name}` names who logs in to the proxy, and everybody who works on a node would read it");
            let help = "let the proxy know nodes by their addresses, and write `http://HOST:PORT`";
            found.push(Diagnostic::error("proxy-password", title).at(field.span).help(help));
        } else if !rest.is_some_and(|rest| is_place(rest.strip_suffix('/').unwrap_or(rest))) {
            let title = format!("`{name}` is no address of a proxy");
            found.push(Diagnostic::error("bad-proxy", title).at(field.span).help("write `http://HOST:PORT`"));
        }
    }
}

/// `HOST` or `HOST:PORT`, with the brackets that addresses of IPv6 have in URLs.
fn is_place(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')),
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// The suffix of names of services and nodes in a workspace. A record that was written before there was a choice does not say it.
pub(crate) fn domain(workspace: &WorkspaceUse) -> Value {
    let exports = &workspace.exports;
    match exports.as_deferred() {
        Some(deferred) => Value::deferred(Type::String, deferred.expr.clone().attribute("domain")),
        None => exports.get("domain").cloned().unwrap_or_else(|| DOMAIN.into()),
    }
}

/// The environment that says through which proxy the world is reached; null where there is none. What the cluster says wins, one by one.
pub(crate) fn proxy_environment(cluster: &Evaluated, workspace: &WorkspaceUse) -> Value {
    let around = workspace.exports.get("proxy").cloned().unwrap_or(Value::NULL);
    let own = cluster.only("proxy");
    let said = |name: &str| {
        let own = own.map(|own| own.value(name)).filter(|value| !value.is_null());
        own.or_else(|| around.get(name).cloned()).filter(|value| !value.is_null())
    };
    let proxies = [("http_proxy", said("http")), ("https_proxy", said("https"))];
    let mut all: Vec<(&str, Value)> = proxies.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    if all.is_empty() {
        return Value::NULL;
    }
    let of_network = |name: &str| workspace.exports.get("network").and_then(|network| network.get(name)).filter(|value| !value.is_null());
    // Names that the cloud gives its machines lead to them too.
    let domains = std::iter::once(domain(workspace)).chain(of_network("domain").cloned());
    let written = said("no_proxy");
    let written = written.as_ref().and_then(Value::elements).into_iter().flatten();
    let ranges = ALWAYS_INSIDE.map(Value::from).into_iter().chain(of_network("cidr").cloned());
    let inside = ranges.chain(domains.map(|domain| joined([".".into(), domain].into_iter(), ""))).chain(written.cloned());
    all.push(("no_proxy", joined(inside, ",")));
    // Some programs look at the one, some at the other.
    Value::map(
        all.into_iter().flat_map(|(name, value)| [(Arc::<str>::from(name), value.clone()), (Arc::from(name.to_ascii_uppercase()), value)]),
    )
}

/// Texts with a sign between them, of which some may be known later.
fn joined(items: impl Iterator<Item = Value>, between: &str) -> Value {
    let mut parts: Vec<TemplatePart> = Vec::new();
    let mut text = String::new();
    for (at, item) in items.enumerate() {
        text += if at == 0 { "" } else { between };
        match (item.as_str(), item.as_deferred()) {
            (Some(known), _) => text += known,
            (None, Some(deferred)) => {
                parts.push(TemplatePart::Text(std::mem::take(&mut text).into()));
                parts.push(TemplatePart::Value(deferred.expr.clone()));
            }
            (None, None) => {}
        }
    }
    if parts.is_empty() {
        return text.as_str().into();
    }
    parts.push(TemplatePart::Text(text.into()));
    Value::deferred(Type::String, Expr::from(ExprKind::Template(parts)))
}
