//! Stacks that are stuck: why, and what helps.

use aws_sdk_cloudformation::types::{ResourceStatus, Stack, StackEvent, StackStatus};
use cloudtik_aws::marks;
use cloudtik_provider_api::{CallError, ErrorClass};

use super::{read, status_text};
use crate::aws::Aws;

/// Failed resources that an error names: the first few are the cause, the rest were only stopped.
const REASONS_MAX: usize = 10;

/// The mark that says where in the spec an object stands.
const ADDRESS_MARK: &str = "cloudtik:address";

/// Whether nothing can be done with a stack but to help it.
pub(super) fn is_stuck(stack: &Stack) -> bool {
    matches!(
        stack.stack_status(),
        Some(
            StackStatus::CreateFailed
                | StackStatus::RollbackComplete
                | StackStatus::RollbackFailed
                | StackStatus::UpdateFailed
                | StackStatus::UpdateRollbackFailed
                | StackStatus::DeleteFailed
        )
    )
}

/// Whether AWS is at it.
pub(super) fn is_busy(stack: &Stack) -> bool {
    let review = stack.stack_status() == Some(&StackStatus::ReviewInProgress);
    !review && stack.stack_status().is_some_and(|status| status.as_str().ends_with("_IN_PROGRESS"))
}

/// What to type, by the state of a stack.
fn help(stack: &Stack) -> Option<String> {
    let name = stack.stack_name().unwrap_or_default();
    let (of, _) = marks::part(read(stack.tags()));
    let address = of.get(ADDRESS_MARK).map_or("ADDRESS", String::as_str);
    Some(match stack.stack_status()? {
        StackStatus::CreateFailed | StackStatus::RollbackComplete | StackStatus::RollbackFailed => {
            format!("AWS updates no stack whose create failed. Mend the cause, then make it anew: `cloudtik apply --replace {address}`")
        }
        StackStatus::UpdateRollbackFailed => format!(
            "mend the cause, type `aws cloudformation continue-update-rollback --stack-name {name}`, and once that is done `cloudtik apply`"
        ),
        StackStatus::UpdateFailed => {
            format!("type `aws cloudformation rollback-stack --stack-name {name}`, mend the cause, then `cloudtik apply`")
        }
        StackStatus::DeleteFailed => {
            "mend the cause, such as an object store that is not empty, then type `cloudtik destroy` again".to_owned()
        }
        StackStatus::UpdateRollbackComplete => "AWS has put back what was there before. Mend the cause, then `cloudtik apply`".to_owned(),
        StackStatus::DeleteComplete => "nothing is left of it. Mend the cause, then `cloudtik apply`".to_owned(),
        _ => return None,
    })
}

/// The error of a stack that failed, with the resources that failed and why, and with what helps.
pub(super) async fn failure(aws: &Aws, stack: &Stack, action: &str, class: ErrorClass) -> CallError {
    let (id, name) = (stack.stack_id().unwrap_or_default(), stack.stack_name().unwrap_or_default());
    let status = status_text(stack.stack_status());
    let pages = || aws.cloudformation.describe_stack_events().stack_name(id).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let why = match aws.read("cloudformation:DescribeStackEvents", pages).await {
        Ok(events) => reasons(&events, stack.stack_status()).join("; "),
        Err(error) => format!("its events cannot be read: {}", error.message),
    };
    let why = if why.is_empty() { stack.stack_status_reason().unwrap_or("AWS gave no reason").to_owned() } else { why };
    let error = CallError::new(class, status.clone(), format!("{action}: the stack `{name}` is {status}: {why}"));
    match help(stack) {
        Some(help) => error.help(help),
        None => error,
    }
}

/// Why resources failed in the last attempt, the first one first. What was only stopped because another failed is left out.
fn reasons(events: &[StackEvent], status: Option<&StackStatus>) -> Vec<String> {
    let deletes = status == Some(&StackStatus::DeleteFailed);
    let is_start = |event: &&StackEvent| {
        let of_stack = event.physical_resource_id() == event.stack_id();
        of_stack
            && match event.resource_status() {
                Some(ResourceStatus::CreateInProgress | ResourceStatus::UpdateInProgress) => true,
                // A stack whose create fails is deleted in the same attempt.
                Some(ResourceStatus::DeleteInProgress) => deletes,
                _ => false,
            }
    };
    let mut found: Vec<String> = Vec::new();
    // The newest comes first.
    for event in events.iter().take_while(|event| !is_start(event)) {
        let reason = event.resource_status_reason().unwrap_or_default();
        let failed = event.resource_status().is_some_and(|status| status.as_str().ends_with("_FAILED"));
        if failed && !reason.contains("cancelled") && event.physical_resource_id() != event.stack_id() {
            let name = event.logical_resource_id().unwrap_or_default();
            found.push(format!("`{name}` ({}): {reason}", event.resource_type().unwrap_or_default()));
        }
    }
    found.reverse();
    found.truncate(REASONS_MAX);
    found
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::Tag;

    use super::*;

    fn event(name: &str, status: ResourceStatus, reason: &str) -> StackEvent {
        let id = if name == "stack" { "arn" } else { name };
        let event = StackEvent::builder().stack_id("arn").physical_resource_id(id).logical_resource_id(name).resource_type("AWS::X::Y");
        event.resource_status(status).resource_status_reason(reason).event_id("e").build()
    }

    #[test]
    fn the_first_failure_of_the_last_attempt_comes_first() {
        let events = [
            event("stack", ResourceStatus::RollbackComplete, ""),
            event("c", ResourceStatus::CreateFailed, "Resource creation cancelled"),
            event("b", ResourceStatus::CreateFailed, "no room"),
            event("a", ResourceStatus::CreateFailed, "no right"),
            event("stack", ResourceStatus::CreateInProgress, "User Initiated"),
            event("z", ResourceStatus::UpdateFailed, "of an earlier attempt"),
        ];
        let expected = ["`a` (AWS::X::Y): no right", "`b` (AWS::X::Y): no room"];
        assert_eq!(reasons(&events, Some(&StackStatus::RollbackComplete)), expected);
    }

    #[test]
    fn a_delete_is_an_attempt_of_its_own_unless_it_ends_a_create() {
        let events = [
            event("b", ResourceStatus::DeleteFailed, "not empty"),
            event("stack", ResourceStatus::DeleteInProgress, "User Initiated"),
            event("a", ResourceStatus::CreateFailed, "no right"),
        ];
        assert_eq!(reasons(&events, Some(&StackStatus::DeleteFailed)), ["`b` (AWS::X::Y): not empty"]);
        assert_eq!(reasons(&events, Some(&StackStatus::DeleteComplete)).first().unwrap(), "`a` (AWS::X::Y): no right");
    }

    #[test]
    fn what_helps_names_the_stack_or_its_address() {
        let stack = |status: StackStatus| {
            let tag = Tag::builder().key(ADDRESS_MARK).value("workspace.w.stack").build();
            Stack::builder().stack_name("s").stack_status(status).tags(tag).build()
        };
        for (status, says) in [
            (StackStatus::RollbackComplete, "cloudtik apply --replace workspace.w.stack"),
            (StackStatus::UpdateRollbackFailed, "continue-update-rollback --stack-name s"),
            (StackStatus::UpdateFailed, "rollback-stack --stack-name s"),
            (StackStatus::DeleteFailed, "cloudtik destroy"),
            (StackStatus::UpdateRollbackComplete, "cloudtik apply"),
        ] {
            assert!(help(&stack(status.clone())).unwrap().contains(says), "{status:?}");
        }
        assert!(is_stuck(&stack(StackStatus::DeleteFailed)) && !is_stuck(&stack(StackStatus::UpdateRollbackComplete)));
        assert!(is_busy(&stack(StackStatus::UpdateInProgress)) && !is_busy(&stack(StackStatus::ReviewInProgress)));
    }
}
