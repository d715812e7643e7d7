//! Change sets: what AWS would do to a stack, and what then is done.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    Capability, Change, ChangeAction, ChangeSetStatus, ChangeSetType, OnStackFailure, Parameter, Replacement, ResourceChange, Tag,
};
use cloudtik_model::Digest;
use cloudtik_provider_api::{CallError, ErrorClass};

use crate::attributes::Given;
use crate::aws::Aws;
use crate::error::strange;
use crate::wait::{self, Seen};

/// How long AWS may think about a change set. It takes it seconds; with hundreds of resources a minute or two.
const THINKS_WITHIN: Duration = Duration::from_secs(600);

/// Characters of a digest in the name of a change set.
const NAME_CHARS: usize = 32;

/// The code of the error of a change set that AWS does not make.
pub(super) const NO_CHANGE_SET: &str = "change-set";

/// A change set that is there.
pub(super) struct ChangeSet {
    /// Its id.
    pub(super) id: String,
    /// The id of its stack.
    pub(super) stack: String,
    /// What it would do.
    pub(super) changes: Vec<Change>,
}

/// What a stack shall be.
pub(super) struct Wanted {
    pub(super) template: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) capabilities: Vec<Capability>,
    /// Encoded, with the marks.
    pub(super) tags: BTreeMap<String, String>,
}

impl Wanted {
    /// As the attributes say.
    pub(super) fn of(given: Given<'_>, tags: BTreeMap<String, String>) -> Result<Self, CallError> {
        let parameter = |(name, value)| Parameter::builder().parameter_key(name).parameter_value(value).build();
        Ok(Self {
            template: given.text("template_body")?.to_owned(),
            parameters: given.map("parameters").into_iter().map(parameter).collect(),
            capabilities: given.texts("capabilities").iter().map(|word| Capability::from(word.as_str())).collect(),
            tags,
        })
    }
}

/// Makes a change set of a stack, and waits until AWS knows what it would do. `None`: nothing. The same operation gets the same one again.
pub(super) async fn made(
    aws: &Aws,
    stack: &str,
    wanted: Wanted,
    kind: ChangeSetType,
    operation: &str,
) -> Result<Option<ChangeSet>, CallError> {
    let action = "cloudformation:CreateChangeSet";
    let creates = kind == ChangeSetType::Create;
    let token = Digest::of(operation).to_string();
    let name = format!("cloudtik-{}", token.chars().take(NAME_CHARS).collect::<String>());
    let start = aws.cloudformation.create_change_set();
    let start = if creates { start.on_stack_failure(OnStackFailure::Delete) } else { start };
    let send = start
        .stack_name(stack)
        .change_set_name(&name)
        .change_set_type(kind)
        .template_body(wanted.template)
        .set_parameters(Some(wanted.parameters))
        .set_capabilities((!wanted.capabilities.is_empty()).then_some(wanted.capabilities))
        .set_tags(Some(written(&wanted.tags)))
        // What a former stack left behind when somebody removed it, such as an object store, is taken up again.
        .import_existing_resources(true)
        .client_token(&token)
        .send();
    match aws.write(action, send).await {
        // An answer to the same operation was lost.
        Err(error) if error.code == "AlreadyExistsException" => {}
        other => other.map(drop)?,
    }
    ready(aws, stack, &name).await
}

async fn ready(aws: &Aws, stack: &str, name: &str) -> Result<Option<ChangeSet>, CallError> {
    let ask = || async {
        let said = described(aws, stack, name, None).await?;
        match said.status() {
            Some(ChangeSetStatus::CreateComplete) => Ok(Seen::Done(said)),
            Some(ChangeSetStatus::Failed) => Ok(Seen::Done(said)),
            status => Ok(Seen::NotYet(status.map_or("not to be seen", ChangeSetStatus::as_str).to_owned())),
        }
    };
    let mut said = wait::until(name, THINKS_WITHIN, ask).await?;
    let (Some(id), Some(of)) = (said.change_set_id.clone(), said.stack_id.clone()) else {
        return Err(strange("cloudformation:DescribeChangeSet", "id"));
    };
    if said.status() == Some(&ChangeSetStatus::Failed) {
        let reason = said.status_reason().unwrap_or("AWS gave no reason");
        removed(aws, &id).await?;
        if reason.contains("didn't contain changes") || reason.contains("No updates are to be performed") {
            return Ok(None);
        }
        return Err(CallError::new(
            ErrorClass::Permanent,
            NO_CHANGE_SET,
            format!("AWS makes no change set of the stack `{stack}`: {reason}"),
        ));
    }
    let mut changes = said.changes.take().unwrap_or_default();
    while let Some(token) = said.next_token.take() {
        said = described(aws, stack, &id, Some(token)).await?;
        changes.extend(said.changes.take().unwrap_or_default());
    }
    Ok(Some(ChangeSet { id, stack: of, changes }))
}

async fn described(aws: &Aws, stack: &str, name: &str, token: Option<String>) -> Result<DescribeChangeSetOutput, CallError> {
    let ask = || aws.cloudformation.describe_change_set().stack_name(stack).change_set_name(name).set_next_token(token.clone()).send();
    aws.read("cloudformation:DescribeChangeSet", ask).await
}

/// Does what a change set says. Of one that is under way already it is enough to wait.
pub(super) async fn executed(aws: &Aws, set: &ChangeSet, operation: &str) -> Result<(), CallError> {
    let action = "cloudformation:ExecuteChangeSet";
    let token = Digest::of(operation).to_string();
    match aws.write(action, aws.cloudformation.execute_change_set().change_set_name(&set.id).client_request_token(token).send()).await {
        Err(error) if error.code.starts_with("InvalidChangeSetStatus") => Ok(()),
        other => other.map(drop),
    }
}

/// Removes a change set that is not executed.
pub(super) async fn removed(aws: &Aws, id: &str) -> Result<(), CallError> {
    aws.write("cloudformation:DeleteChangeSet", aws.cloudformation.delete_change_set().change_set_name(id).send()).await.map(drop)
}

fn written(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(name, value)| Tag::builder().key(name).value(value).build()).collect()
}

/// What becomes of each resource, one line each.
pub(super) fn lines(changes: &[Change]) -> Vec<String> {
    changes.iter().filter_map(Change::resource_change).map(line).collect()
}

/// Whether some resource is made anew.
pub(super) fn makes_anew(changes: &[Change]) -> bool {
    changes.iter().filter_map(Change::resource_change).any(|change| change.replacement() == Some(&Replacement::True))
}

/// The names of the resources that are made anew, and of those that may be, which AWS knows only once it is at it.
pub(super) fn maybe_anew(changes: &[Change]) -> impl Iterator<Item = &str> {
    let is_one = |change: &&ResourceChange| matches!(change.replacement(), Some(Replacement::True | Replacement::Conditional));
    changes.iter().filter_map(Change::resource_change).filter(is_one).filter_map(ResourceChange::logical_resource_id)
}

fn line(change: &ResourceChange) -> String {
    let what = match (change.action(), change.replacement()) {
        (Some(ChangeAction::Add), _) => "is made",
        (Some(ChangeAction::Remove), _) => "is removed",
        (Some(ChangeAction::Import), _) => "is taken up as it is",
        (Some(ChangeAction::Modify), Some(Replacement::True)) => "is made anew",
        (Some(ChangeAction::Modify), Some(Replacement::Conditional)) => "changes, and may be made anew",
        (Some(ChangeAction::Modify), _) => "changes in place",
        _ => "may change, which is known once the stack is at it",
    };
    format!("`{}` ({}) {what}", change.logical_resource_id().unwrap_or_default(), change.resource_type().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(action: ChangeAction, replacement: Option<Replacement>) -> Change {
        let change = ResourceChange::builder().action(action).set_replacement(replacement);
        Change::builder().resource_change(change.logical_resource_id("N").resource_type("AWS::X::Y").build()).build()
    }

    #[test]
    fn what_becomes_of_a_resource_is_said() {
        for (action, replacement, said, anew) in [
            (ChangeAction::Add, None, "is made", (false, false)),
            (ChangeAction::Remove, None, "is removed", (false, false)),
            (ChangeAction::Modify, Some(Replacement::False), "changes in place", (false, false)),
            (ChangeAction::Modify, Some(Replacement::Conditional), "changes, and may be made anew", (false, true)),
            (ChangeAction::Modify, Some(Replacement::True), "is made anew", (true, true)),
        ] {
            let changes = [change(action, replacement)];
            assert_eq!(lines(&changes), [format!("`N` (AWS::X::Y) {said}")]);
            assert_eq!((makes_anew(&changes), maybe_anew(&changes).next().is_some()), anew);
        }
    }
}
