//! How a worker becomes a member of what a runtime forms: scripts that another member runs.

use cloudtik_model::{Diagnostic, MembershipConfig, Segment, StepKind};

use super::steps::{Made, environment, new_step, put, put_env};
use super::{ExpandRequest, Expansion, argv};
use crate::load::reader;
use crate::scope::ModuleScope;

/// Seconds that joining and leaving may take, where the manifest does not say.
const MEMBERSHIP_TIMEOUT_SECS: u64 = 60;

/// The name of the membership below the runtime.
const MEMBER: &str = "member";

/// The membership of a module that has one. It comes after everything that is done on the worker before its daemons.
pub(super) fn make(expansion: &mut Expansion<'_>, scope: &ModuleScope<'_>, made: &Made) -> Option<MembershipConfig> {
    let module = expansion.request.module;
    let block = module.membership.as_ref()?;
    let read = reader(block, scope)?;
    let mut env = environment(expansion, &read)?;
    let mut step = new_step(expansion, Segment::new(MEMBER), StepKind::Run, format!("join {}", module.name()));
    for (name, input) in [("join", "script"), ("leave", "undo")] {
        let command = read.value(name, &mut expansion.found)?;
        match argv::script(&command, name, read.span(name), &mut env) {
            Ok(script) => put(&mut step, input, script),
            Err(diagnostic) => {
                expansion.found.push(diagnostic);
                return None;
            }
        }
    }
    put(&mut step, "timeout_secs", read.seconds("timeout", MEMBERSHIP_TIMEOUT_SECS, &mut expansion.found)?);
    // What cannot join now is asked again by whoever asks, on another member.
    put(&mut step, "retries", 0_u64);
    put(&mut step, "retry_wait_secs", 0_u64);
    put_env(&mut step, env);
    step.depends_on = made.steps.iter().map(|step| step.address.clone()).chain(made.base.iter().cloned()).collect();
    Some(MembershipConfig { address: step.address.clone(), depends_on: step.depends_on.clone(), step })
}

/// What is said of a module with a membership on a head; there is nothing to be said beside that.
pub(super) fn refused(request: &ExpandRequest<'_>) -> Option<Diagnostic> {
    let block = request.module.membership.as_ref().filter(|_| !request.is_worker)?;
    let title = format!("runtime `{}` joins its members to each other, and the head is in no group", request.module.name());
    let error = Diagnostic::error("no-group", title).at(request.span).and_at(block.header, "its members join here");
    Some(error.help("write `on = [\"workers\"]`").of(request.address))
}
