//! The function that lays what a block says over what it inherits. No source can name it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::Value;

use super::{Fault, Function, Wants, any, nullable};

/// Its name.
pub const INHERIT: &str = "$inherit";

/// What each layer says, the last of which says most.
pub(super) const FUNCTION: Function = Function::shape(INHERIT, &[], any, inherit).and(nullable("layers", Wants::Any));

fn inherit(args: &[Value]) -> Result<Option<Value>, Fault> {
    let mut said = Some(Value::NULL);
    for own in args {
        said = over(said.as_ref(), own);
    }
    Ok(said)
}

/// Two maps are one, in which null takes an entry away; everything else replaces what was there. `None`: nobody knows yet.
fn over(inherited: Option<&Value>, own: &Value) -> Option<Value> {
    if own.is_deferred() {
        return None;
    }
    let Some(entries) = own.entries() else { return Some(own.clone()) };
    let inherited = inherited.filter(|inherited| !inherited.is_deferred())?;
    let Some(base) = inherited.entries() else { return Some(own.clone()) };
    let both = base.iter().chain(entries).map(|(name, value)| (Arc::clone(name), value.clone()));
    let mut all: BTreeMap<Arc<str>, Value> = both.collect();
    all.retain(|name, value| !(value.is_null() && entries.contains_key(name)));
    Some(Value::object(all))
}
