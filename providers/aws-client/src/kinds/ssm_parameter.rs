//! `aws_ssm_parameter`

use std::collections::BTreeMap;

use aws_sdk_ssm::types::{Parameter, ParameterMetadata, ParameterStringFilter, ParameterTier, ParameterType, ResourceTypeForTagging, Tag};
use cloudtik_aws::{kinds, marks};
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::each::each;
use crate::error::{refused, strange};
use crate::kind::{Kind, Query};
use crate::tags;

/// The attribute with the text, and the name under which one is generated.
const VALUE: &str = "value";

/// Names that one request for values takes, as AWS has it.
const VALUES_MAX: usize = 10;
/// Names that one request for descriptions takes.
const NAMES_MAX: usize = 50;

pub(crate) struct SsmParameter;

impl Kind for SsmParameter {
    const NAME: &'static str = kinds::SSM_PARAMETER;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let name = given.text("name")?;
        let kind = given.maybe_text("type").unwrap_or(ParameterType::String.as_str());
        let generated = request.secrets.get(VALUE).map(|secret| secret.private.as_str());
        let text = given.maybe_text(VALUE).or(generated.filter(|_| kind == ParameterType::SecureString.as_str()));
        let text = text.ok_or_else(|| refused("value", "it has no `value`, and one is generated for type `SecureString` only"))?;
        let send = put(aws, name, given, text).set_tags(Some(written(&tags::of_create(request))?)).overwrite(false).send();
        let made = aws.write("ssm:PutParameter", send).await?;
        let (_, own) = marks::part(tags::of_create(request));
        let arn = aws.arn("ssm", aws.account().await?, &format!("parameter/{}", name.trim_start_matches('/')));
        let said = Said::of(kinds::SSM_PARAMETER)
            .set("name", name)
            .set("type", kind)
            .set(VALUE, value(Some(text), kind))
            .set("description", given.maybe_text("description"))
            .set("tier", made.tier().map_or(ParameterTier::Standard.as_str(), ParameterTier::as_str))
            .set("tags", own)
            .set("arn", arn)
            .set("version", made.version());
        Ok(said.answer(name))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let filters: Vec<ParameterStringFilter> = match query {
            Query::Ids(ids) => {
                let ids: Vec<String> = ids.iter().cloned().collect();
                ids.chunks(NAMES_MAX).map(|some| filter("Name", some)).collect::<Result<_, _>>()?
            }
            Query::Name(name) => vec![filter("Name", &[(*name).to_owned()])?],
            Query::Tag(key, value) => vec![filter(&format!("tag:{key}"), &[tags::encoded(key, value)])?],
        };
        let described = each(filters, |filter| described(aws, filter)).await?.concat();
        let names: Vec<String> = described.iter().filter_map(|parameter| parameter.name.clone()).collect();
        let chunks = names.chunks(VALUES_MAX).map(<[String]>::to_vec);
        let (values, all) = tokio::try_join!(each(chunks, |some| values(aws, some)), each(&names, |name| read_tags(aws, name)))?;
        let values: BTreeMap<String, Parameter> =
            values.into_iter().flatten().filter_map(|parameter| Some((parameter.name.clone()?, parameter))).collect();
        let found = described.iter().zip(all).filter_map(|(described, all)| found(described, values.get(described.name()?)?, all));
        Ok(found.collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let given = Given(&request.attributes);
        if ["type", "value", "description", "tier"].iter().any(|name| request.changed.contains(*name)) {
            // A description that is left out would stay.
            let description = given.maybe_text("description").unwrap_or_default();
            // One that was generated stays.
            let text = given.maybe_text(VALUE).or(Given(&request.before).maybe_text(VALUE));
            let text = text.ok_or_else(|| refused("value", "it has no `value`"))?;
            let send = put(aws, &request.id, given, text).description(description).overwrite(true).send();
            aws.write("ssm:PutParameter", send).await?;
        }
        let Some((set, removed)) = tags::of_update(request) else { return Ok(()) };
        let of = ResourceTypeForTagging::Parameter;
        if !set.is_empty() {
            let send = aws.ssm.add_tags_to_resource().resource_type(of.clone()).resource_id(&request.id).set_tags(Some(written(&set)?));
            aws.write("ssm:AddTagsToResource", send.send()).await?;
        }
        if !removed.is_empty() {
            let names = Some(removed.into_iter().collect());
            let send = aws.ssm.remove_tags_from_resource().resource_type(of).resource_id(&request.id).set_tag_keys(names);
            aws.write("ssm:RemoveTagsFromResource", send.send()).await?;
        }
        Ok(())
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        aws.write("ssm:DeleteParameter", aws.ssm.delete_parameter().name(id).send()).await.map(drop)
    }
}

fn put(aws: &Aws, name: &str, given: Given<'_>, text: &str) -> aws_sdk_ssm::operation::put_parameter::builders::PutParameterFluentBuilder {
    aws.ssm
        .put_parameter()
        .name(name)
        .set_type(given.maybe_text("type").map(ParameterType::from))
        .value(text)
        .set_description(given.owned("description"))
        .set_tier(given.maybe_text("tier").map(ParameterTier::from))
}

/// A value; one that AWS keeps encrypted is as secret here.
fn value(text: Option<&str>, kind: &str) -> Value {
    text.map_or(Value::NULL, Value::from).marked(kind == ParameterType::SecureString.as_str())
}

fn written(tags: &BTreeMap<String, String>) -> Result<Vec<Tag>, CallError> {
    let tag = |(name, value): (&String, &String)| Tag::builder().key(name).value(value).build();
    tags.iter().map(tag).collect::<Result<_, _>>().map_err(|_| strange("ssm:PutParameter", "tag that can be written"))
}

fn filter(key: &str, values: &[String]) -> Result<ParameterStringFilter, CallError> {
    let built = ParameterStringFilter::builder().key(key).option("Equals").set_values(Some(values.to_vec())).build();
    built.map_err(|_| strange("ssm:DescribeParameters", "filter"))
}

async fn described(aws: &Aws, filter: ParameterStringFilter) -> Result<Vec<ParameterMetadata>, CallError> {
    let pages = || {
        let request = aws.ssm.describe_parameters().parameter_filters(filter.clone());
        request.into_paginator().send().collect::<Result<Vec<_>, _>>()
    };
    let pages = aws.read("ssm:DescribeParameters", pages).await?;
    Ok(pages.into_iter().flat_map(|page| page.parameters.unwrap_or_default()).collect())
}

async fn values(aws: &Aws, names: Vec<String>) -> Result<Vec<Parameter>, CallError> {
    let ask = || aws.ssm.get_parameters().set_names(Some(names.clone())).with_decryption(true).send();
    Ok(aws.read("ssm:GetParameters", ask).await?.parameters.unwrap_or_default())
}

async fn read_tags(aws: &Aws, name: &str) -> Result<BTreeMap<String, String>, CallError> {
    let ask = || aws.ssm.list_tags_for_resource().resource_type(ResourceTypeForTagging::Parameter).resource_id(name).send();
    let answer = aws.read("ssm:ListTagsForResource", ask).await;
    match answer {
        Ok(answer) => Ok(answer.tag_list.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect()),
        // It went while it was looked at; its value is not found either.
        Err(error) if error.code == "InvalidResourceId" => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

fn found(described: &ParameterMetadata, parameter: &Parameter, all: BTreeMap<String, String>) -> Option<Found> {
    let (marks, own) = marks::part(all);
    let (name, kind) = (described.name()?, parameter.r#type()?.as_str());
    let object = Said::of(kinds::SSM_PARAMETER)
        .set("name", name)
        .set("type", kind)
        .set(VALUE, value(parameter.value(), kind))
        .set("description", described.description().filter(|text| !text.is_empty()))
        .set("tier", described.tier().map_or(ParameterTier::Standard.as_str(), ParameterTier::as_str))
        .set("tags", own)
        .set("arn", parameter.arn())
        .set("version", parameter.version())
        .answer(name);
    Some(Found { object, tags: marks })
}
