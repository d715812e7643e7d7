//! Letting go of the data in a stack. CloudFormation goes by the policies of the template that is there, and removes no object store that is not
//! empty: so the policies are changed first, and what is in the stores goes.

use aws_sdk_cloudformation::types::{ChangeSetType, Parameter, Stack, TemplateStage};
use cloudtik_aws::{Released, released};
use cloudtik_provider_api::{CallError, ErrorClass};

use super::change_set::{Wanted, executed, made};
use super::trouble::is_stuck;
use super::{read, settled};
use crate::aws::Aws;
use crate::error::strange;
use crate::kinds::db_instance::unprotected;
use crate::kinds::s3_bucket::empty;

/// The template that a stack is made of.
pub(super) async fn template_of(aws: &Aws, id: &str) -> Result<Option<String>, CallError> {
    let ask = || aws.cloudformation.get_template().stack_name(id).template_stage(TemplateStage::Original).send();
    Ok(aws.read("cloudformation:GetTemplate", ask).await?.template_body)
}

/// Lets go of the data that a stack has and the wanted template has not; without one, of all of it.
pub(super) async fn release(aws: &Aws, stack: &Stack, wanted: Option<&str>, operation: &str) -> Result<(), CallError> {
    let id = stack.stack_id().ok_or_else(|| strange("cloudformation:DescribeStacks", "id"))?;
    let there = template_of(aws, id).await?.unwrap_or_default();
    let Released { template, stores, databases } = released(&there, wanted);
    if is_stuck(stack) {
        // No stack in that state can be changed, only what is in it.
        for database in databases {
            if let Some(name) = called(aws, id, &database).await? {
                unprotected(aws, &name).await.or_else(if_there)?;
            }
        }
    } else if let Some(template) = template {
        // What a stack was given it does not tell, but it knows.
        let as_before = |parameter: &Parameter| {
            Parameter::builder().set_parameter_key(parameter.parameter_key.clone()).use_previous_value(true).build()
        };
        let wanted = Wanted {
            template,
            parameters: stack.parameters().iter().map(as_before).collect(),
            capabilities: stack.capabilities().to_vec(),
            tags: read(stack.tags()),
        };
        let operation = format!("{operation} release");
        if let Some(set) = made(aws, id, wanted, ChangeSetType::Update, &operation).await? {
            executed(aws, &set, &operation).await?;
            settled(aws, id, "cloudformation:ExecuteChangeSet").await?;
        }
    }
    for store in stores {
        if let Some(name) = called(aws, id, &store).await? {
            empty(aws, &name).await.or_else(if_there)?;
        }
    }
    Ok(())
}

/// What a resource of a stack is called outside of it. `None`: it was not made.
async fn called(aws: &Aws, id: &str, name: &str) -> Result<Option<String>, CallError> {
    let ask = || aws.cloudformation.describe_stack_resource().stack_name(id).logical_resource_id(name).send();
    match aws.read("cloudformation:DescribeStackResource", ask).await {
        Ok(answer) => {
            let called = answer.stack_resource_detail.and_then(|detail| detail.physical_resource_id);
            Ok(called.filter(|called| !called.is_empty()))
        }
        Err(error) if error.message.contains("does not exist") => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is gone is let go of.
fn if_there(error: CallError) -> Result<(), CallError> {
    if error.class == ErrorClass::Gone { Ok(()) } else { Err(error) }
}
