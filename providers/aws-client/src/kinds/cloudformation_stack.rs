//! `aws_cloudformation_stack`

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudformation::types::{Capability, OnFailure, Parameter, ResourceStatus, Stack, StackEvent, StackStatus, Tag, TemplateStage};
use cloudtik_aws::{kinds, marks};
use cloudtik_model::Digest;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::made::unfinished;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::each::each;
use crate::error::strange;
use crate::kind::{Kind, Query, gone};
use crate::tags;
use crate::wait::{self, Seen};

/// How long a stack may take. A database in it takes half an hour, a cluster of machines an hour.
const SETTLES_WITHIN: Duration = Duration::from_secs(7_200);

/// Failed resources that an error names: the first few are the cause, the rest were only stopped.
const REASONS_MAX: usize = 10;

pub(crate) struct CloudformationStack;

impl Kind for CloudformationStack {
    const NAME: &'static str = kinds::CLOUDFORMATION_STACK;

    /// A stack that fails goes again, so that its name is free and nothing is left; its events stay.
    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let action = "cloudformation:CreateStack";
        let given = Given(&request.attributes);
        let send = aws
            .cloudformation
            .create_stack()
            .set_stack_name(given.owned("name"))
            .set_template_body(given.owned("template_body"))
            .set_parameters(Some(parameters(given)))
            .set_capabilities(capabilities(given))
            .set_tags(Some(written(&tags::of_create(request))))
            .client_request_token(token(&request.op_id))
            .on_failure(OnFailure::Delete)
            .send();
        let made = aws.write(action, send).await?;
        let id = made.stack_id().ok_or_else(|| strange(action, "id"))?;
        settled(aws, id, action).await.map(|found| found.object)
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let stacks: Vec<Stack> = match query {
            Query::Ids(ids) => each(ids.iter(), |id| one(aws, id)).await?.into_iter().flatten().collect(),
            Query::Name(name) => one(aws, name).await?.into_iter().collect(),
            Query::Tag(..) => all(aws).await?,
        };
        let there = stacks.into_iter().filter(|stack| !is_going(stack));
        let there = there.filter(|stack| match query {
            Query::Tag(key, value) => {
                stack.tags().iter().any(|tag| tag.key() == Some(*key) && tag.value() == Some(&*tags::encoded(key, value)))
            }
            _ => true,
        });
        each(there, |stack| said(aws, stack)).await
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let action = "cloudformation:UpdateStack";
        let given = Given(&request.attributes);
        let stack = one(aws, &request.id).await?.filter(|stack| !is_going(stack)).ok_or_else(|| gone(&request.id))?;
        // Tags are written all at once.
        let mut all: BTreeMap<String, String> = read(stack.tags());
        if let Some((set, removed)) = tags::of_update(request) {
            all.retain(|name, _| !removed.contains(name));
            all.extend(set);
        }
        let send = aws
            .cloudformation
            .update_stack()
            .stack_name(&request.id)
            .set_template_body(given.owned("template_body"))
            .set_parameters(Some(parameters(given)))
            .set_capabilities(capabilities(given))
            .set_tags(Some(written(&all)))
            .client_request_token(token(&request.op_id))
            .send();
        match aws.write(action, send).await {
            Err(error) if error.message.contains("No updates are to be performed") => return Ok(()),
            other => other.map(drop)?,
        }
        settled(aws, &request.id, action).await.map(drop)
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let action = "cloudformation:DeleteStack";
        // Of a stack that is not there AWS says that it was deleted.
        one(aws, id).await?.filter(|stack| stack.stack_status() != Some(&StackStatus::DeleteComplete)).ok_or_else(|| gone(id))?;
        aws.write(action, aws.cloudformation.delete_stack().stack_name(id).send()).await?;
        let ask = || async {
            let Some(stack) = one(aws, id).await? else { return Ok(Seen::Done(())) };
            match stack.stack_status() {
                Some(StackStatus::DeleteComplete) => Ok(Seen::Done(())),
                Some(StackStatus::DeleteFailed) => Err(failure(aws, &stack, action, ErrorClass::Conflict).await),
                status => Ok(Seen::NotYet(status_text(status))),
            }
        };
        with_place(aws, id, wait::until(id, SETTLES_WITHIN, ask).await).await
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        settled(aws, &found.object.id, "cloudformation:CreateStack").await
    }
}

fn parameters(given: Given<'_>) -> Vec<Parameter> {
    let parameter = |(name, value)| Parameter::builder().parameter_key(name).parameter_value(value).build();
    given.map("parameters").into_iter().map(parameter).collect()
}

fn capabilities(given: Given<'_>) -> Option<Vec<Capability>> {
    let words = given.texts("capabilities");
    (!words.is_empty()).then(|| words.iter().map(|word| Capability::from(word.as_str())).collect())
}

fn written(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(name, value)| Tag::builder().key(name).value(value).build()).collect()
}

fn read(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

/// A token as CloudFormation takes it: letters, digits and hyphens.
fn token(op_id: &str) -> String {
    Digest::of(op_id).to_string()
}

/// A stack by its id or its name. AWS has no code of its own for one that is not there.
async fn one(aws: &Aws, id: &str) -> Result<Option<Stack>, CallError> {
    let ask = || aws.cloudformation.describe_stacks().stack_name(id).send();
    match aws.read("cloudformation:DescribeStacks", ask).await {
        Ok(answer) => Ok(answer.stacks.and_then(|stacks| stacks.into_iter().next())),
        Err(error) if error.message.contains("does not exist") => Ok(None),
        Err(error) => Err(error),
    }
}

async fn all(aws: &Aws) -> Result<Vec<Stack>, CallError> {
    let pages = || aws.cloudformation.describe_stacks().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    aws.read("cloudformation:DescribeStacks", pages).await
}

fn is_going(stack: &Stack) -> bool {
    matches!(stack.stack_status(), Some(StackStatus::DeleteInProgress | StackStatus::DeleteComplete))
}

fn status_text(status: Option<&StackStatus>) -> String {
    status.map_or("not to be seen", StackStatus::as_str).to_owned()
}

/// Waits until a stack is as it shall be, or as it was before.
async fn settled(aws: &Aws, id: &str, action: &'static str) -> Result<Found, CallError> {
    let ask = || async {
        let Some(stack) = one(aws, id).await.map_err(unfinished)? else { return Ok(Seen::NotYet("not to be seen".to_owned())) };
        match stack.stack_status() {
            Some(StackStatus::CreateComplete | StackStatus::UpdateComplete | StackStatus::ImportComplete) => {
                said(aws, stack).await.map(Seen::Done).map_err(unfinished)
            }
            Some(StackStatus::DeleteComplete | StackStatus::UpdateRollbackComplete) => {
                Err(failure(aws, &stack, action, ErrorClass::Permanent).await)
            }
            Some(
                StackStatus::CreateFailed
                | StackStatus::RollbackComplete
                | StackStatus::RollbackFailed
                | StackStatus::UpdateFailed
                | StackStatus::UpdateRollbackFailed
                | StackStatus::DeleteFailed,
            ) => Err(failure(aws, &stack, action, ErrorClass::Unknown).await),
            status => Ok(Seen::NotYet(status_text(status))),
        }
    };
    with_place(aws, id, wait::until(id, SETTLES_WITHIN, ask).await).await
}

/// The error of a stack that failed, with the resources that failed and why.
async fn failure(aws: &Aws, stack: &Stack, action: &str, class: ErrorClass) -> CallError {
    let (id, name) = (stack.stack_id().unwrap_or_default(), stack.stack_name().unwrap_or_default());
    let status = status_text(stack.stack_status());
    let pages = || aws.cloudformation.describe_stack_events().stack_name(id).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let why = match aws.read("cloudformation:DescribeStackEvents", pages).await {
        Ok(events) => reasons(&events).join("; "),
        Err(error) => format!("its events cannot be read: {}", error.message),
    };
    let why = if why.is_empty() { stack.stack_status_reason().unwrap_or("AWS gave no reason").to_owned() } else { why };
    CallError::new(class, status.clone(), format!("{action}: the stack `{name}` is {status}: {why}"))
}

/// Why resources failed in the last attempt, the first one first. What was only stopped because another failed is left out.
fn reasons(events: &[StackEvent]) -> Vec<String> {
    let is_start = |event: &&StackEvent| {
        let of_stack = event.physical_resource_id() == event.stack_id();
        let begins = [ResourceStatus::CreateInProgress, ResourceStatus::UpdateInProgress];
        of_stack && event.resource_status().is_some_and(|status| begins.contains(status))
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

/// The error of a wait that ended, with the resources that AWS is at.
async fn with_place<T>(aws: &Aws, id: &str, waited: Result<T, CallError>) -> Result<T, CallError> {
    let mut error = match waited {
        Err(error) if error.code == "wait" => error,
        other => return other,
    };
    let ask = || aws.cloudformation.describe_stack_resources().stack_name(id).send();
    let answer = aws.read("cloudformation:DescribeStackResources", ask).await?;
    let stuck = answer
        .stack_resources()
        .iter()
        .filter(|resource| resource.resource_status().is_some_and(|status| status.as_str().ends_with("_IN_PROGRESS")));
    let names: Vec<String> = stuck.filter_map(|resource| resource.logical_resource_id.clone()).map(|name| format!("`{name}`")).collect();
    if !names.is_empty() {
        error.message = format!("{}: it is at {}", error.message, names.join(", "));
    }
    Err(error)
}

async fn said(aws: &Aws, stack: Stack) -> Result<Found, CallError> {
    let id = stack.stack_id().ok_or_else(|| strange("cloudformation:DescribeStacks", "id"))?;
    let ask = || aws.cloudformation.get_template().stack_name(id).template_stage(TemplateStage::Original).send();
    let template = aws.read("cloudformation:GetTemplate", ask).await?;
    let (marks, own) = marks::part(read(stack.tags()));
    let capabilities: BTreeSet<String> = stack.capabilities().iter().map(|word| word.as_str().to_owned()).collect();
    let outputs = stack.outputs().iter().filter_map(|output| Some((output.output_key.clone()?, output.output_value.clone()?)));
    let object = Said::of(kinds::CLOUDFORMATION_STACK)
        // AWS answers those that the template has by itself too, and secret ones as stars.
        .untold(&["parameters"])
        .set("name", stack.stack_name())
        .set("template_body", template.template_body())
        .set("capabilities", capabilities)
        .set("tags", own)
        .set("outputs", outputs.collect::<BTreeMap<_, _>>())
        .answer(id);
    Ok(Found { object, tags: marks })
}

#[cfg(test)]
mod tests {
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
        assert_eq!(reasons(&events), ["`a` (AWS::X::Y): no right", "`b` (AWS::X::Y): no room"]);
    }
}
