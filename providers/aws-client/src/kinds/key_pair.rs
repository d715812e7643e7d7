//! `aws_key_pair`

use std::collections::BTreeMap;

use aws_sdk_ec2::types::ResourceType;
use aws_smithy_types::Blob;
use cloudtik_aws::{kinds, marks};
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::kind::{Kind, Query, gone};
use crate::tags;

pub(crate) struct KeyPair;

impl Kind for KeyPair {
    const NAME: &'static str = kinds::KEY_PAIR;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let name = given.text("key_name")?;
        let send = aws
            .ec2
            .import_key_pair()
            .key_name(name)
            .public_key_material(Blob::new(given.text("public_key")?))
            .tag_specifications(tags::specification(ResourceType::KeyPair, request))
            .send();
        let made = aws.write("ec2:ImportKeyPair", send).await?;
        let (_, own) = marks::part(tags::of_create(request));
        Ok(said(aws.account().await?, aws, name, made.key_pair_id(), made.key_fingerprint(), own))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let mut found = Vec::new();
        for filter in query.filters("key-name", "key-name") {
            let answer = aws.read("ec2:DescribeKeyPairs", || aws.ec2.describe_key_pairs().filters(filter.clone()).send()).await?;
            for pair in answer.key_pairs() {
                let (marks, own) = tags::of_ec2(pair.tags());
                let name = pair.key_name().unwrap_or_default();
                let object = said(aws.account().await?, aws, name, pair.key_pair_id(), pair.key_fingerprint(), own);
                found.push(Found { object, tags: marks });
            }
        }
        Ok(found)
    }

    /// Tags are those of its id; its name is what everything else knows it by.
    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let id = Given(&request.before).text("key_pair_id")?;
        tags::update_ec2_of(aws, id, request).await
    }

    /// AWS says no error where there is nothing, and no id either.
    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let answer = aws.write("ec2:DeleteKeyPair", aws.ec2.delete_key_pair().key_name(id).send()).await?;
        answer.key_pair_id().map(drop).ok_or_else(|| gone(id))
    }
}

fn said(account: &str, aws: &Aws, name: &str, id: Option<&str>, fingerprint: Option<&str>, own: BTreeMap<String, String>) -> ObjectAnswer {
    Said::of(kinds::KEY_PAIR)
        // AWS writes it with another comment.
        .untold(&["public_key"])
        .set("key_name", name)
        .set("tags", own)
        .set("arn", aws.arn("ec2", account, &format!("key-pair/{name}")))
        .set("key_pair_id", id)
        .set("fingerprint", fingerprint)
        .answer(name)
}
