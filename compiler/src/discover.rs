//! Which services of a cluster meet what its modules look for. That is decided here: what is left to the head are the endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, LateName, Type, Value, did_you_mean};
use cloudtik_runtime_modules::DiscoverSchema;

use crate::evaluate::Evaluated;
use crate::runtime::Runtime;

/// The endpoints of what each runtime looks for, by runtime and dependency.
pub(crate) type Discovered = BTreeMap<Arc<str>, BTreeMap<Arc<str>, Value>>;

/// What the cluster offers.
struct Offer {
    name: Arc<str>,
    service_type: String,
    runtime: Arc<str>,
}

/// Looks up the dependencies of the runtimes that run somewhere among the services of those that do.
pub(crate) fn discover(runtimes: &[&Runtime<'_>], has_workers: bool, found: &mut Diagnostics) -> Discovered {
    let services = |runtime: &Runtime<'_>| {
        let offer = |schema: &cloudtik_runtime_modules::ServiceSchema| Offer {
            name: Arc::clone(&schema.name),
            service_type: schema.service_type.clone(),
            runtime: Arc::clone(&runtime.block.label),
        };
        runtime.module.services().iter().map(offer).collect::<Vec<_>>()
    };
    let offers: Vec<Offer> = runtimes.iter().flat_map(|runtime| services(runtime)).collect();
    let mut all = Discovered::new();
    for runtime in runtimes {
        for written in runtime.block.all("discover") {
            check_written(runtime, written, &offers, found);
        }
        let mut values = BTreeMap::new();
        for schema in runtime.module.discovers() {
            let written = runtime.block.all("discover").iter().find(|block| block.label == schema.name);
            let value = endpoints(runtime, schema, written, &offers, has_workers, found);
            values.insert(Arc::clone(&schema.name), value.unwrap_or_else(|| Value::list([])));
        }
        all.insert(Arc::clone(&runtime.block.label), values);
    }
    all
}

/// What is wrong with a `discover` block whatever the cluster offers.
fn check_written(runtime: &Runtime<'_>, written: &Evaluated, offers: &[Offer], found: &mut Diagnostics) {
    let known: Vec<&str> = runtime.module.discovers().iter().map(|schema| &*schema.name).collect();
    if !known.contains(&&*written.label) {
        let near = did_you_mean(&written.label, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let note = if known.is_empty() { "it looks for nothing".to_owned() } else { format!("it looks for {}", known.join(", ")) };
        let title = format!("runtime `{}` looks for no `{}`", runtime.block.label, written.label);
        found.push(Diagnostic::error("unknown-discover", title).at(written.span).maybe_help(near).note(note));
    }
    let choosing = ["services", "types", "runtimes"].into_iter().find(|name| !written.value(name).is_null());
    if let (false, Some(name)) = (written.value("value").is_null(), choosing) {
        let title = format!("`value` says the endpoints, so there is nothing to choose: leave out `{name}`");
        found.push(
            Diagnostic::error("value-and-choice", title)
                .at(written.field(name).span)
                .and_at(written.field("value").span, "the endpoints are written here"),
        );
    }
    for (name, what) in [("services", "service"), ("runtimes", "runtime")] {
        let there: BTreeSet<&str> = offers.iter().map(|offer| if name == "services" { &*offer.name } else { &*offer.runtime }).collect();
        for wanted in written.strings(name).iter().filter(|wanted| !there.contains(wanted.as_str())) {
            let near = did_you_mean(wanted, there.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let title = match what {
                "service" => format!("nothing in the cluster offers a service `{wanted}`"),
                _ => format!("no runtime `{wanted}` of the cluster offers a service"),
            };
            found.push(Diagnostic::error("unknown-service", title).at(written.field(name).span).maybe_help(near));
        }
    }
}

/// The endpoints for one dependency. `None` after an error.
fn endpoints(
    runtime: &Runtime<'_>,
    schema: &DiscoverSchema,
    written: Option<&Evaluated>,
    offers: &[Offer],
    has_workers: bool,
    found: &mut Diagnostics,
) -> Option<Value> {
    let place = written.map_or(runtime.block.span, |block| block.span);
    let what = format!("runtime `{}` needs a service for its `{}`", runtime.block.label, schema.name);
    if written.is_some_and(|block| block.value("enabled").as_bool() == Some(false)) {
        if !schema.optional {
            let title = format!("{what}, so that it cannot be turned off");
            found.push(Diagnostic::error("no-service", title).at(place).and_at(schema.span, "declared here"));
        }
        return None;
    }
    if let Some(value) = written.map(|block| block.value("value")).filter(|value| !value.is_null()) {
        return Some(value);
    }
    // What the spec writes stands for what the module says, attribute by attribute.
    let chosen = |name: &str, default: &[String]| match written {
        Some(block) if !block.value(name).is_null() => block.strings(name),
        _ => default.to_vec(),
    };
    let [services, types, of] =
        [("services", &schema.services), ("types", &schema.types), ("runtimes", &schema.runtimes)].map(|(name, all)| chosen(name, all));
    let says_something = !(services.is_empty() && types.is_empty() && of.is_empty());
    let fits = |list: &[String], own: &str| list.is_empty() || list.iter().any(|name| name == own);
    let matching: BTreeSet<&Arc<str>> = offers
        .iter()
        .filter(|offer| says_something && offer.runtime != runtime.block.label)
        .filter(|offer| fits(&services, &offer.name) && fits(&types, &offer.service_type) && fits(&of, &offer.runtime))
        .map(|offer| &offer.name)
        .collect();
    if matching.is_empty() {
        if schema.optional {
            return None;
        }
        let there: Vec<String> = offers.iter().map(|offer| format!("`{}` ({})", offer.name, offer.service_type)).collect();
        let note = if there.is_empty() { "it offers none".to_owned() } else { format!("it offers {}", there.join(", ")) };
        let title = format!("{what}, and nothing in the cluster fits");
        let help = format!("add a runtime that offers one, or write `discover \"{}\" {{ value = [\"address:port\"] }}`", schema.name);
        found.push(Diagnostic::error("no-service", title).at(place).and_at(schema.span, "declared here").help(help).note(note));
        return None;
    }
    if !has_workers {
        let title = format!("{what} while it runs, which only a cluster with workers can tell it");
        let help = format!("add `workers \"NAME\" {{}}`, or write `discover \"{}\" {{ value = [\"address:port\"] }}`", schema.name);
        found.push(Diagnostic::error("needs-workers", title).at(place).and_at(schema.span, "declared here").help(help));
        return None;
    }
    Some(late(&matching))
}

/// The endpoints of these services as one list.
fn late(names: &BTreeSet<&Arc<str>>) -> Value {
    let ty = Type::list(Type::String);
    let mut each: Vec<Expr> = names.iter().map(|name| ExprKind::Late(LateName::ServiceEndpoints(Arc::clone(name))).into()).collect();
    let expr = match (each.len(), each.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            each.extend(last);
            let all = ExprKind::Call { name: "concat".into(), args: each, expand: false };
            ExprKind::Convert { to: ty.clone(), of: Arc::new(all.into()) }.into()
        }
    };
    Value::deferred(ty, expr)
}
