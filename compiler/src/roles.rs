//! Roles: on which nodes of a cluster something belongs.

use std::collections::BTreeSet;
use std::sync::Arc;

use cloudtik_model::{Diagnostic, Span, did_you_mean};

/// What is wrong with a list of roles.
pub(crate) struct RoleProblem {
    code: &'static str,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl RoleProblem {
    pub(crate) fn at(self, span: Span) -> Diagnostic {
        Diagnostic::error(self.code, self.message).at(span).help(self.help)
    }
}

/// What is wrong with roles that name workers: a group that is not there, or nothing but workers in a cluster that has none, so that it
/// would run nowhere.
pub(crate) fn check_roles(roles: &[String], groups: &BTreeSet<Arc<str>>) -> Option<RoleProblem> {
    if groups.is_empty() {
        let workers = |role: &String| role == "workers" || role.starts_with("workers.");
        let refused =
            roles.iter().find(|role| role.starts_with("workers.")).or_else(|| roles.first().filter(|_| roles.iter().all(workers)))?;
        return Some(RoleProblem {
            code: "no-workers",
            message: format!("`on = [\"{refused}\"]`: the cluster has no workers"),
            help: "add `workers \"NAME\" {}` to the cluster, or write `\"head\"` or `\"all\"`".to_owned(),
        });
    }
    let group = roles.iter().filter_map(|role| role.strip_prefix("workers.")).find(|group| !groups.contains(*group))?;
    let all: Vec<String> = groups.iter().map(|group| format!("`workers.{group}`")).collect();
    let help = did_you_mean(group, groups.iter().map(|group| &**group))
        .map_or_else(|| format!("the cluster has {}", all.join(", ")), |near| format!("did you mean `workers.{near}`?"));
    Some(RoleProblem { code: "unknown-group", message: format!("`workers.{group}`: the cluster has no group `{group}`"), help })
}

/// Whether a list of roles names a node of this role.
pub(crate) fn names_role(roles: &[String], own: &str) -> bool {
    roles.iter().any(|role| role == "all" || role == own || own.strip_prefix(role.as_str()).is_some_and(|rest| rest.starts_with('.')))
}
