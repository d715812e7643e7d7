//! Saved plans: the JSON of a [`Plan`], sensitive values in envelopes, for its owner only.

use std::path::Path;

use cloudtik_planner::{PLAN_VERSION, Plan};
use serde::Deserialize as _;
use serde_json::Value as Json;

use super::disk::{Disk, OsDisk, replace};
use super::envelope::{self, SealContext};
use super::state_store::{offset_of, problem_of};
use super::{DurableError, Vault};

/// The longest plan that is read. It holds the project's sources and about three times its state.
pub const PLAN_BYTES_MAX: u64 = 4 * super::state_store::STATE_BYTES_MAX;

/// Saves a plan, in place of what has that name.
///
/// # Errors
/// The key cannot be read or made; what the system says.
pub fn save_plan(path: &Path, plan: &Plan, vault: &mut Vault) -> Result<(), DurableError> {
    let failed = |source| DurableError::Encode { what: "the plan", source };
    let mut json = serde_json::to_value(plan).map_err(failed)?;
    let mut places = Vec::new();
    plain_places(&json, &mut String::new(), &mut places);
    let context = SealContext { lineage: &plan.lineage, usage: "plan" };
    for place in places {
        vault.seal_node(&mut json, &place, context)?;
    }
    vault.seal_json(&mut json, context)?;
    let bytes = serde_json::to_vec(&json).map_err(failed)?;
    replace(&OsDisk::default(), path, &bytes).map_err(DurableError::io("write", path))
}

/// Loads a plan.
///
/// # Errors
/// It cannot be read, is of another version, or its sensitive values do not open with the key of this project.
pub fn load_plan(path: &Path, vault: &mut Vault) -> Result<Plan, DurableError> {
    let read = OsDisk::default().read(path, PLAN_BYTES_MAX).map_err(DurableError::io("read", path))?;
    let bytes = read.ok_or_else(|| DurableError::io("read", path)(std::io::ErrorKind::NotFound.into()))?;
    if bytes.len() as u64 > PLAN_BYTES_MAX {
        return Err(DurableError::TooLong { path: path.to_owned(), limit: PLAN_BYTES_MAX });
    }
    let damaged = |error: &serde_json::Error| DurableError::PlanDamaged {
        path: path.to_owned(),
        offset: offset_of(&bytes, error),
        problem: problem_of(error),
    };
    let mut json: Json = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
    let found = json.get("version").and_then(Json::as_u64).unwrap_or_default();
    if found != u64::from(PLAN_VERSION) {
        return Err(DurableError::PlanVersion { path: path.to_owned(), found, known: PLAN_VERSION });
    }
    if envelope::may_have_envelope(&bytes) {
        let lineage = json.get("lineage").and_then(Json::as_str).unwrap_or_default().to_owned();
        vault.open_json(&mut json, SealContext { lineage: &lineage, usage: "plan" })?;
    }
    Plan::deserialize(json).map_err(|error| damaged(&error))
}

/// Where rendered text of templates stands whose bindings are sensitive: it has no marks of its own.
pub(super) fn plain_places(json: &Json, place: &mut String, found: &mut Vec<String>) {
    let length = place.len();
    let mut inside = |name: &str, item: &Json| {
        place.push('/');
        place.push_str(&name.replace('~', "~0").replace('/', "~1"));
        plain_places(item, place, found);
        place.truncate(length);
    };
    match json {
        Json::Object(items) => {
            items.iter().for_each(|(name, item)| inside(name, item));
            if items.get("bindings").is_some_and(envelope::has_sensitive) && items.contains_key("preview") {
                found.push(format!("{place}/preview"));
            }
        }
        Json::Array(items) => items.iter().enumerate().for_each(|(i, item)| inside(&i.to_string(), item)),
        _ => {}
    }
}
