//! `aws_cloudformation_stack`

mod change_set;
mod release;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_cloudformation::types::{ChangeSetType, Stack, StackStatus, Tag};
use cloudtik_aws::{kept_among, kinds, marks};
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, TIMED_OUT, UpdateRequest};

use self::change_set::{NO_CHANGE_SET, Wanted, executed, lines, made, makes_anew, maybe_anew, removed};
use self::release::{release, template_of};
use self::trouble::{failure, is_busy, is_stuck};
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

/// What is being done to a stack, in messages.
const CREATES: &str = "cloudformation:CreateChangeSet";

pub(crate) struct CloudformationStack;

impl Kind for CloudformationStack {
    const NAME: &'static str = kinds::CLOUDFORMATION_STACK;

    /// A stack that fails goes again, so that its name is free and nothing is left; its events stay.
    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let name = given.text("name")?;
        if let Some(stack) = one(aws, name).await?.filter(is_there) {
            if is_stuck(&stack) {
                return Err(failure(aws, &stack, CREATES, ErrorClass::Conflict).await);
            }
            let text = format!("{CREATES}: there is a stack `{name}` already, and it is {}", status_text(stack.stack_status()));
            return Err(CallError::new(ErrorClass::Conflict, "AlreadyExistsException", text));
        }
        let set = match made(aws, name, Wanted::of(given, tags::of_create(request))?, ChangeSetType::Create, &request.op_id).await {
            Ok(set) => set.ok_or_else(|| strange(CREATES, "changes"))?,
            Err(error) if error.code == NO_CHANGE_SET => {
                // The stack that it was asked of is there, and empty.
                aws.write("cloudformation:DeleteStack", aws.cloudformation.delete_stack().stack_name(name).send()).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        executed(aws, &set, &request.op_id).await?;
        settled(aws, &set.stack, "cloudformation:ExecuteChangeSet").await.map(|found| found.object)
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let stacks: Vec<Stack> = match query {
            Query::Ids(ids) => each(ids.iter(), |id| one(aws, id)).await?.into_iter().flatten().collect(),
            Query::Name(name) => one(aws, name).await?.into_iter().collect(),
            Query::Tag(..) => all(aws).await?,
        };
        let there = stacks.into_iter().filter(is_there);
        let there = there.filter(|stack| match query {
            Query::Tag(key, value) => {
                stack.tags().iter().any(|tag| tag.key() == Some(*key) && tag.value() == Some(&*tags::encoded(key, value)))
            }
            _ => true,
        });
        each(there, |stack| said(aws, stack)).await
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let stack = quiet(aws, &request.id).await?.ok_or_else(|| gone(&request.id))?;
        if is_stuck(&stack) {
            return Err(failure(aws, &stack, CREATES, ErrorClass::Conflict).await);
        }
        // Tags are written all at once.
        let mut all: BTreeMap<String, String> = read(stack.tags());
        if let Some((set, removed)) = tags::of_update(request) {
            all.retain(|name, _| !removed.contains(name));
            all.extend(set);
        }
        let wanted = Wanted::of(Given(&request.attributes), all)?;
        release(aws, &stack, Some(&wanted.template), &request.op_id).await?;
        let Some(set) = made(aws, &request.id, wanted, ChangeSetType::Update, &request.op_id).await? else { return Ok(()) };
        executed(aws, &set, &request.op_id).await?;
        settled(aws, &request.id, "cloudformation:ExecuteChangeSet").await.map(drop)
    }

    /// What has a policy by which it is retained stays, without an owner.
    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let action = "cloudformation:DeleteStack";
        // Of a stack that is not there AWS says that it was deleted.
        quiet(aws, id).await?.ok_or_else(|| gone(id))?;
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

    async fn delete_with_data(aws: &Aws, id: &str) -> Result<(), CallError> {
        let stack = quiet(aws, id).await?.ok_or_else(|| gone(id))?;
        release(aws, &stack, None, &now("removal of", id)).await?;
        Self::delete(aws, id).await
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        settled(aws, &found.object.id, "cloudformation:ExecuteChangeSet").await
    }
}

/// What is done now and never again: a token of before would stand for a change set that is gone.
fn now(what: &str, id: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{what} {id} at {now}")
}

/// The answer to what an update does: lines, whether something is made anew, and what is kept and is made anew or may be.
fn told(lines: Vec<String>, anew: bool, kept: BTreeSet<String>) -> Value {
    let texts = |texts: Vec<String>| Value::list(texts.into_iter().map(Value::from));
    Value::object([("notes", texts(lines)), ("anew", anew.into()), ("kept", texts(kept.into_iter().collect()))])
}

/// What an update would do inside a stack: lines for whoever reads the plan, and whether something is made anew. The change set that says so
/// is removed again.
pub(crate) async fn preview(aws: &Aws, arguments: Given<'_>) -> Result<Value, CallError> {
    let answer = |lines: Vec<String>, anew: bool| Ok(told(lines, anew, BTreeSet::new()));
    let id = arguments.text("id")?;
    let Some(stack) = one(aws, id).await?.filter(is_there) else { return answer(Vec::new(), false) };
    if is_stuck(&stack) {
        let error = failure(aws, &stack, "it is stuck", ErrorClass::Conflict).await;
        return answer(std::iter::once(error.message).chain(error.help).collect(), false);
    }
    if is_busy(&stack) {
        let status = status_text(stack.stack_status());
        return answer(vec![format!("it is {status}: somebody is changing it, and an apply waits for that")], false);
    }
    let (marks, _) = marks::part(read(stack.tags()));
    let marks = marks.into_iter().map(|(name, value)| (name, marks::encode(&value)));
    let all: BTreeMap<String, String> = arguments.map("tags").into_iter().chain(marks).collect();
    let wanted = Wanted::of(arguments, all)?;
    let template = wanted.template.clone();
    let set = made(aws, id, wanted, ChangeSetType::Update, &now("preview of", id)).await?;
    let Some(set) = set else { return answer(Vec::new(), false) };
    removed(aws, &set.id).await?;
    Ok(told(lines(&set.changes), makes_anew(&set.changes), kept_among(&template, maybe_anew(&set.changes))))
}

fn read(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

/// A stack once nobody changes it, be it another user or a run of ours that ended before AWS did. `None`: it is not there.
async fn quiet(aws: &Aws, id: &str) -> Result<Option<Stack>, CallError> {
    let ask = || async {
        match one(aws, id).await? {
            Some(stack) if is_busy(&stack) => Ok(Seen::NotYet(status_text(stack.stack_status()))),
            stack => Ok(Seen::Done(stack)),
        }
    };
    let stack = with_place(aws, id, wait::until(id, SETTLES_WITHIN, ask).await).await?;
    Ok(stack.filter(|stack| stack.stack_status() != Some(&StackStatus::DeleteComplete)))
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

/// One of which there is nothing but a change set is not there yet.
fn is_there(stack: &Stack) -> bool {
    let going = [StackStatus::DeleteInProgress, StackStatus::DeleteComplete, StackStatus::ReviewInProgress];
    stack.stack_status().is_some_and(|status| !going.contains(status))
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
            _ if is_stuck(&stack) => Err(failure(aws, &stack, action, ErrorClass::Unknown).await),
            status => Ok(Seen::NotYet(status_text(status))),
        }
    };
    with_place(aws, id, wait::until(id, SETTLES_WITHIN, ask).await).await
}

/// The error of a wait that ended, with the resources that AWS is at.
async fn with_place<T>(aws: &Aws, id: &str, waited: Result<T, CallError>) -> Result<T, CallError> {
    let mut error = match waited {
        Err(error) if ["wait", TIMED_OUT].contains(&&*error.code) => error,
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

/// What is in a stack that is stuck is not what any template says: a plan that sees another one says why. What it keeps is seen in it.
fn unlike(template: &str) -> String {
    format!("{template}\n")
}

async fn said(aws: &Aws, stack: Stack) -> Result<Found, CallError> {
    let id = stack.stack_id().ok_or_else(|| strange("cloudformation:DescribeStacks", "id"))?;
    let template = template_of(aws, id).await?;
    let (marks, own) = marks::part(read(stack.tags()));
    let capabilities: BTreeSet<String> = stack.capabilities().iter().map(|word| word.as_str().to_owned()).collect();
    let outputs = stack.outputs().iter().filter_map(|output| Some((output.output_key.clone()?, output.output_value.clone()?)));
    let object = Said::of(kinds::CLOUDFORMATION_STACK)
        // AWS answers those that the template has by itself too, and secret ones as stars.
        .untold(&["parameters"])
        .set("name", stack.stack_name())
        .set("template_body", template.map(|template| if is_stuck(&stack) { unlike(&template) } else { template }))
        .set("capabilities", capabilities)
        .set("tags", own)
        .set("outputs", outputs.collect::<BTreeMap<_, _>>())
        .answer(id);
    Ok(Found { object, tags: marks })
}
