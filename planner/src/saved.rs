//! Reading a saved plan back.

use crate::{PLAN_VERSION, Plan};

/// Why a text is no plan of ours.
#[derive(Debug, thiserror::Error)]
pub enum LoadPlanError {
    /// It is no JSON, or was cut off.
    #[error("the plan file is damaged: it cannot be read as JSON (line {line}, column {column})")]
    Damaged {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the reader said.
        #[source]
        source: serde_json::Error,
    },
    /// It is JSON, but of something else.
    #[error("the file is no plan: it has no `version`")]
    NotAPlan,
    /// A newer version wrote it.
    #[error("the plan was written by a newer version of cloudtik (plan version {found}{}); this one reads version {PLAN_VERSION}", tool(.tool_version))]
    Newer {
        /// Its version.
        found: u64,
        /// The version of the tool that wrote it.
        tool_version: Option<String>,
    },
    /// An older version wrote it, and plans are not carried over: make it again.
    #[error("the plan was written by an older version of cloudtik (plan version {found}{}); make it again with this one", tool(.tool_version))]
    Older {
        /// Its version.
        found: u64,
        /// The version of the tool that wrote it.
        tool_version: Option<String>,
    },
    /// The version is right and the content is not.
    #[error("the plan file is damaged: its content is not that of a plan of version {PLAN_VERSION}")]
    Content {
        /// What the reader said.
        #[source]
        source: serde_json::Error,
    },
}

fn tool(version: &Option<String>) -> String {
    version.as_ref().map_or_else(String::new, |version| format!(", cloudtik {version}"))
}

/// Reads a saved plan.
///
/// # Errors
/// See [`LoadPlanError`].
pub fn load_plan(text: &str) -> Result<Plan, LoadPlanError> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|source| LoadPlanError::Damaged { line: source.line(), column: source.column(), source })?;
    let Some(found) = json.get("version").and_then(serde_json::Value::as_u64) else { return Err(LoadPlanError::NotAPlan) };
    let tool_version = json.get("tool_version").and_then(serde_json::Value::as_str).map(str::to_owned);
    match found.cmp(&u64::from(PLAN_VERSION)) {
        std::cmp::Ordering::Greater => Err(LoadPlanError::Newer { found, tool_version }),
        std::cmp::Ordering::Less => Err(LoadPlanError::Older { found, tool_version }),
        std::cmp::Ordering::Equal => serde_json::from_value(json).map_err(|source| LoadPlanError::Content { source }),
    }
}
