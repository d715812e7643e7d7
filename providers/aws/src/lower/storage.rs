//! Object stores of a workspace.

use std::sync::Arc;

use cloudtik_model::spec::Part;
use cloudtik_model::{Diagnostic, Diagnostics, Type, Value};
use cloudtik_provider_api::{ExistingStore, Facts, fact, reference, written};

use super::layout::Layout;
use super::maker::Maker;
use super::place;
use crate::facts::store_region_key;
use crate::kinds;
use crate::names;
use crate::policies::Store;
use crate::text::joined;

/// Characters of the name of a bucket.
const NAME_CHARS: std::ops::RangeInclusive<usize> = 3..=63;

/// What the URI of a bucket begins with.
const SCHEME: &str = "s3";

/// What a block says of the rights of identities.
const OF_IDENTITIES: &[&str] = &["kms_key_id", "worker_access"];

/// Puts the stores in; gives what references see of each, and what identities must know of it.
pub(super) fn stores(
    maker: &mut Maker<'_>,
    layout: &Layout,
    config: &Value,
    facts: &Facts,
    found: &mut Diagnostics,
) -> (Value, Vec<Store>) {
    let (mut exports, mut stores) = (Vec::new(), Vec::new());
    for (label, part) in &maker.workspace.storage {
        if let Some(there) = ExistingStore::of(part) {
            check_existing(maker, there, label, part, found);
            let region = fact(facts, &store_region_key(config, maker.workspace, label, there), Type::String);
            exports.push((Arc::clone(label), there.export([("region", region)])));
            stores.extend(store_of(there, part));
            continue;
        }
        let name = name(maker, layout, label, part);
        check_name(&name, maker, part, found);
        let address = maker.at("storage").child(Arc::clone(label));
        let written = |field: &str| part.fields.get(field).map(|field| field.value.clone()).filter(|value| !value.is_null());
        if written("encrypted").and_then(|encrypted| encrypted.as_bool()) == Some(false) {
            let at = place(&part.fields, "encrypted", part.span);
            found.push(Diagnostic::warning("no-effect", "`encrypted = false` has no effect: S3 encrypts every object").at(at).of(&address));
        }
        let key = written("kms_key_id");
        let bucket = maker
            .tagged(&address, kinds::S3_BUCKET, part, &[])
            .set("bucket", name.clone())
            .origin("bucket", &part.fields)
            .set("versioning", Value::list([Value::object([("enabled", written("versioning").unwrap_or_else(|| true.into()))])]))
            .set("server_side_encryption_configuration", encryption(key.clone()))
            .set("block_public_access", true)
            .field(&part.fields, "on_destroy");
        maker.push(bucket);
        let region = layout.account.region.clone();
        exports.push((
            Arc::clone(label),
            Value::object([
                ("name", reference(&address, "bucket", Type::String)),
                ("uri", reference(&address, "uri", Type::String)),
                ("region", region),
            ]),
        ));
        let access = written("worker_access").and_then(|access| access.as_str().map(str::to_owned));
        stores.push(Store { name, prefix: String::new(), key, worker_access: access.unwrap_or_else(|| "read-write".to_owned()) });
    }
    (Value::object(exports), stores)
}

/// What identities must know of a store that is there; nothing where nodes have keys to it.
fn store_of(there: ExistingStore<'_>, part: &Part) -> Option<Store> {
    let written = |field: &str| part.fields.get(field).map(|field| field.value.clone()).filter(|value| !value.is_null());
    let worker_access = written("worker_access").and_then(|access| access.as_str().map(str::to_owned));
    (!there.has_keys()).then(|| Store {
        name: there.name().into(),
        prefix: there.prefix().to_owned(),
        key: written("kms_key_id"),
        worker_access: worker_access.unwrap_or_else(|| "read-write".to_owned()),
    })
}

/// What AWS has no such store for, and what has no effect on one.
fn check_existing(maker: &Maker<'_>, there: ExistingStore<'_>, label: &str, part: &Part, found: &mut Diagnostics) {
    let address = maker.at("storage").child(label);
    // What stands for other characters in documents of rights would let in to more.
    if there.scheme() != SCHEME || !is_name(there.name()) || there.prefix().contains(['*', '?', '$']) {
        let title = format!("`{}` is no object store of AWS, and no folder in one", there.uri);
        let at = place(&part.fields, "existing", part.span);
        found.push(Diagnostic::error("storage-uri", title).at(at).of(&address).help("write `s3://BUCKET` or `s3://BUCKET/FOLDER`"));
        return;
    }
    if there.has_keys() {
        let title =
            |name: &str| format!("`{name}` has no effect beside `access_key`: it is about identities of nodes, which have keys here");
        let fields = written(&part.fields, OF_IDENTITIES);
        found.extend(fields.map(|(name, field)| Diagnostic::warning("no-effect", title(name)).at(field.span).of(&address)));
    }
}

fn encryption(key: Option<Value>) -> Value {
    let algorithm = if key.is_some() { "aws:kms" } else { "AES256" };
    let rule = [("sse_algorithm", Value::from(algorithm)), ("kms_master_key_id", key.unwrap_or(Value::NULL))];
    Value::list([Value::object(rule)])
}

/// As written, else with the region in it: names of buckets are those of all accounts and regions.
fn name(maker: &Maker<'_>, layout: &Layout, label: &str, part: &Part) -> Value {
    let written = part.fields.get("name").map(|field| field.value.clone()).filter(|value| !value.is_null());
    written.unwrap_or_else(|| match layout.account.region.as_str() {
        Some(region) => names::bucket(&maker.name, region, label).into(),
        None => joined([format!("cloudtik-{}-", maker.name).into(), layout.account.region.clone(), format!("-{label}").into()]),
    })
}

fn check_name(name: &Value, maker: &Maker<'_>, part: &Part, found: &mut Diagnostics) {
    let Some(text) = name.as_str() else { return };
    if is_name(text) {
        return;
    }
    let title = format!("`{text}` is no name of a bucket: it has {} characters", text.chars().count());
    let help = format!(
        "write a `name` of {} to {} lower-case letters, digits and `-`, or give the workspace a shorter name",
        NAME_CHARS.start(),
        NAME_CHARS.end()
    );
    let at = place(&part.fields, "name", part.span);
    found.push(Diagnostic::error("aws-bucket-name", title).at(at).of(&maker.workspace.address).help(help));
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    NAME_CHARS.contains(&text.chars().count()) && text.chars().all(fits) && ends(text.chars().next()) && ends(text.chars().last())
}
