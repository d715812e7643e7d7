//! `policy`: what a plan must not do. Judged when there is a plan, with each of its changes.

use std::sync::Arc;

use cloudtik_model::{Address, ConditionKind, Diagnostic, Expr, ExprKind, Key, Type, Value, Verdict, judge};
use cloudtik_syntax::Block;

use crate::evaluate::Whose;
use crate::expand::{Expansion, attribute};
use crate::scope::Instance;

/// The code of what a policy warns of.
pub const POLICY_WARNS: &str = "policy-warns";

/// The attribute of a change that says what it is about.
const ADDRESS: &str = "address";

/// Judges the policies of a spec for the changes of its plan.
pub(crate) fn judge_policies(expansion: &mut Expansion<'_>, blocks: &[Block], changes: &[Value]) {
    for block in blocks {
        let Some(instances) = instances(expansion, block, changes) else { continue };
        for instance in &instances {
            judge_one(expansion, block, instance);
        }
    }
}

/// Looks for mistakes in policies while there is no plan: each change of it is not known then.
pub(crate) fn check_policies(expansion: &mut Expansion<'_>, blocks: &[Block]) {
    let change = Value::deferred(Type::Any, Expr::from(ExprKind::Fact(ADDRESS.into())));
    let some = Instance { key: Some(Key::Name(ADDRESS.into())), each_value: Some(change), ..Instance::default() };
    for block in blocks {
        let (Some(condition), Some(message)) = (attribute(block, "condition"), attribute(block, "error_message")) else { continue };
        let all =
            if attribute(block, "for_each").is_some() { expansion.instances(block).map(|of| of.list) } else { Some(vec![some.clone()]) };
        let Some(instance) = all.and_then(|all| all.into_iter().next()) else { continue };
        for expr in [&condition.value, &message.value] {
            let evaluated = expansion.evaluator(&instance).value_of(expr);
            if let Err(diagnostics) = evaluated {
                expansion.found.extend(diagnostics);
            }
        }
    }
}

fn address_of(change: &Value) -> Option<Address> {
    change.get(ADDRESS)?.as_str()?.parse().ok()
}

/// Those that the block asks for, else one for each change; in a module for each of what is in it.
fn instances(expansion: &mut Expansion<'_>, block: &Block, changes: &[Value]) -> Option<Vec<Instance>> {
    if attribute(block, "for_each").is_some() {
        return expansion.instances(block).map(|instances| instances.list);
    }
    let of = |change: &Value| {
        let address: Arc<str> = change.get(ADDRESS).and_then(Value::as_str).unwrap_or_default().into();
        Instance { key: Some(Key::Name(address)), each_value: Some(change.clone()), ..Instance::default() }
    };
    let module = expansion.world.module.as_ref();
    let is_own = |change: &&Value| module.is_none_or(|module| address_of(change).is_some_and(|address| address.is_within(module)));
    Some(changes.iter().filter(is_own).map(of).collect())
}

fn judge_one(expansion: &mut Expansion<'_>, block: &Block, instance: &Instance) {
    let Some(label) = block.labels.first() else { return };
    let (Some(condition), Some(message)) = (attribute(block, "condition"), attribute(block, "error_message")) else { return };
    let schema = expansion.top("policy");
    let evaluator = expansion.evaluator(instance);
    let mut found = cloudtik_model::Diagnostics::new();
    let enforcement = schema.attribute("enforcement").and_then(|rule| {
        let written = attribute(block, "enforcement")?;
        evaluator.attribute(written, rule, &mut std::collections::BTreeSet::new(), &mut found)
    });
    let whose = Whose { kind: ConditionKind::Precondition, of: expansion.called("policy", &label.text), address: None };
    let judged = evaluator.condition(&condition.value, &message.value, &whose);
    let about = match &instance.key {
        Some(Key::Name(key)) => format!(" of {key}"),
        _ => String::new(),
    };
    let (text, why) = match judged.map(|condition| judge(&condition.condition, &condition.message)) {
        Ok(Verdict::Holds) => (None, ""),
        Ok(Verdict::Fails(text)) => (Some(text), "this is false"),
        Ok(Verdict::Unknown) => {
            let text = "it looks at what is known only after apply; look at what the spec says instead";
            (Some(text.to_owned()), "this is not known")
        }
        Err(diagnostics) => {
            let note = format!("in {}{about}", expansion.called("policy", &label.text));
            found.extend(diagnostics.into_iter().map(|diagnostic| diagnostic.note(note.clone())));
            (None, "")
        }
    };
    if let Some(text) = text {
        let title = format!("{}{about}: {text}", expansion.called("policy", &label.text));
        let warns = enforcement.is_some_and(|field| field.value.as_str() == Some("warn"));
        let diagnostic = if warns { Diagnostic::warning(POLICY_WARNS, title) } else { Diagnostic::error("policy-denies", title) };
        let source = instance.each_value.as_ref().and_then(|change| change.get("source")?.as_str().map(str::to_owned));
        let source = source.map(|place| format!("the change comes from {place}"));
        found.push(source.into_iter().fold(diagnostic.at_saying(condition.value.span, why), Diagnostic::note));
    }
    expansion.found.extend(found);
}
