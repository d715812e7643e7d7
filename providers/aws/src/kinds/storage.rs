//! What keeps data under a name: object stores, parameters, stacks of resources.

use std::collections::BTreeSet;
use std::sync::Arc;

use cloudtik_model::{ChangeWord, Type, Value};
use cloudtik_provider_api::{AttributeSchema, KindSchema, Need, SecretKind, Shown, When};
use serde_json::Value as Json;

use crate::cloudformation::INSIDE;

use super::{arn, block, fixed, flag, given, live, named, names, seconds, tags, word};

/// The names of the outputs of a stack.
fn outputs(stack: &Value) -> Vec<(&'static str, BTreeSet<Arc<str>>)> {
    let template = stack.get("template_body").and_then(Value::as_str).and_then(|text| serde_json::from_str::<Json>(text).ok());
    let Some(template) = template else { return Vec::new() };
    let names = template.get("Outputs").and_then(Json::as_object).into_iter().flatten();
    vec![("outputs", names.map(|(name, _)| Arc::from(name.as_str())).collect())]
}

pub(super) fn kinds() -> Vec<KindSchema> {
    let in_place = ChangeWord::Live;
    let encryption = [("sse_algorithm", Type::String), ("kms_master_key_id", Type::String)];
    vec![
        KindSchema {
            attributes: vec![
                fixed("bucket", "Its name; unique among all accounts."),
                block("versioning", [("enabled", Type::Bool)], in_place, "Whether older versions of objects are kept.").or_computed(),
                block("server_side_encryption_configuration", encryption, in_place, "How objects are encrypted: `AES256` or `aws:kms`.")
                    .or_computed(),
                flag("block_public_access", true, in_place, "Whether nothing in it can be made public."),
                word("on_destroy", "keep", ChangeWord::None, "`keep` or `delete`; `delete` empties it first."),
                tags(),
                arn(),
                given("region", "Its region."),
                given("uri", "What programs name it by: `s3://NAME`."),
            ],
            expected: seconds(3, 1, 3),
            ..named(names::S3_BUCKET, "bucket", "An object store.")
        },
        KindSchema {
            attributes: vec![
                fixed("name", "Its name: `/a/path`."),
                word("type", "String", in_place, "`String`, `StringList` or `SecureString`."),
                live("value", "Its value; without one, of type `SecureString`, 32 letters and digits that are generated once.")
                    .or_computed()
                    .shown(Shown::Changes),
                live("description", "What it is."),
                word("tier", "Standard", in_place, "`Standard` or `Advanced`."),
                tags(),
                arn(),
                AttributeSchema::computed("version", Type::Number, "How often it was written."),
            ],
            secrets: &[("value", SecretKind::Password)],
            needs: &[Need::With(When { attribute: "type", values: &["String", "StringList"] }, "value")],
            ..named(names::SSM_PARAMETER, "name", "A value under a name.")
        },
        KindSchema {
            attributes: vec![
                fixed("name", "Its name."),
                AttributeSchema::required("template_body", Type::String, in_place, "The template.").shown(Shown::Changes),
                AttributeSchema::optional("parameters", Type::map(Type::String), in_place, "Values of the template's parameters."),
                AttributeSchema::optional(
                    "capabilities",
                    Type::set(Type::String),
                    in_place,
                    "What the template may do: `CAPABILITY_NAMED_IAM`.",
                ),
                tags(),
                AttributeSchema::computed("outputs", Type::map(Type::String), "The template's outputs."),
            ],
            expected: seconds(180, 120, 120),
            names: Some(outputs),
            inside: Some(INSIDE),
            ..named(names::CLOUDFORMATION_STACK, "name", "Resources that are made from a template.")
        },
    ]
}
