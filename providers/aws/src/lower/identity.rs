//! The identities of heads and of workers, with their rights.

use cloudtik_model::spec::Field;
use cloudtik_model::{Address, Diagnostic, Diagnostics, Type, Value};
use cloudtik_provider_api::reference;

use super::keyed;
use super::layout::Layout;
use super::maker::Maker;
use crate::kinds;
use crate::names;
use crate::policies::{self, HeadNeeds, Place, Store, WorkerNeeds};
use crate::text::joined;

/// Whose identity it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Who {
    /// The attribute of the spec, and the part of addresses.
    pub(super) part: &'static str,
    /// In names, as the predecessor wrote it.
    name: &'static str,
    /// The attribute with rights that are added.
    policies: &'static str,
}

/// Of heads.
pub(super) const HEAD: Who = Who { part: "head", name: "head", policies: "head_policies" };
/// Of workers.
pub(super) const WORKERS: Who = Who { part: "workers", name: "worker", policies: "worker_policies" };

fn field<'m>(maker: &Maker<'m>, name: &str) -> Option<&'m Field> {
    maker.workspace.identity.fields.get(name).filter(|field| !field.value.is_null())
}

/// The name of the instance profile: as the spec has it, or of that which is made.
pub(super) fn profile(maker: &Maker<'_>, who: Who) -> Value {
    let given = field(maker, who.part).map(|field| field.value.clone());
    given.unwrap_or_else(|| reference(&maker.at("iam_instance_profile").child(who.part), "name", Type::String))
}

/// Puts in what is made.
pub(super) fn identities(maker: &mut Maker<'_>, layout: &Layout, stores: Vec<Store>, passwords: Vec<String>, found: &mut Diagnostics) {
    let place = Place {
        partition: layout.account.partition.clone(),
        region: layout.account.region.clone(),
        account: layout.account.account.clone(),
        workspace: maker.name.to_string(),
    };
    for who in [HEAD, WORKERS] {
        unused(maker, who, found);
    }
    check_pass(maker, found);
    if field(maker, WORKERS.part).is_none() {
        identity(maker, WORKERS, policies::worker(&place, &WorkerNeeds { stores: stores.clone(), passwords }));
    }
    if field(maker, HEAD.part).is_none() {
        let made = field(maker, WORKERS.part).is_none();
        let path = field(maker, "path").map_or_else(|| Value::from("/"), |field| field.value.clone());
        let role = joined([path, names::role(&maker.name, WORKERS.name).into()]);
        let subnets = layout.spec.given.iter().flat_map(|given| given.private.iter().chain(&given.public).cloned()).collect();
        let needs = HeadNeeds { worker_role: made.then_some(role), subnets, stores };
        identity(maker, HEAD, policies::head(&place, &needs));
    }
}

/// What is written for an identity that is not made.
fn unused(maker: &Maker<'_>, who: Who, found: &mut Diagnostics) {
    let added = field(maker, who.policies).filter(|field| !field.span.is_none());
    if let (Some(given), Some(added)) = (field(maker, who.part), added) {
        let title = format!("`{}` has no effect beside `{}`: rights are added to what is made only", who.policies, who.part);
        found.push(Diagnostic::warning("no-effect", title).at(added.span).and_at(given.span, "this identity is there already"));
    }
}

/// Which role an instance profile carries that somebody else made, only AWS knows, and a head may pass on no other than it was given.
fn check_pass(maker: &Maker<'_>, found: &mut Diagnostics) {
    let added = field(maker, HEAD.policies).and_then(|field| field.value.elements()).is_some_and(|all| all.len() > 0);
    if let (Some(given), None, false) = (field(maker, WORKERS.part), field(maker, HEAD.part), added) {
        let title = "the identity of heads that is made here may not launch workers with an identity that is not";
        let help =
            "add a policy to `head_policies` that allows `iam:PassRole` on the role of the workers, or name the identity of heads too";
        found.push(Diagnostic::warning("aws-pass-role", title).at(given.span).of(&maker.workspace.address).help(help));
    }
}

fn identity(maker: &mut Maker<'_>, who: Who, document: Value) {
    let part = &maker.workspace.identity;
    let at = |name: &str| maker.at(name).child(who.part);
    let (role_address, role_name) = (at("iam_role"), names::role(&maker.name, who.name));
    let of_role = reference(&role_address, "name", Type::String);
    let role = maker
        .tagged(&role_address, kinds::IAM_ROLE, part, &[])
        .set("name", role_name)
        .set("assume_role_policy", policies::trust())
        .set("description", format!("What a {} of the workspace {} may do", who.name, maker.name))
        .field(&part.fields, "path")
        .field(&part.fields, "permissions_boundary");
    let policy = maker
        .plain(&at("iam_role_policy"), kinds::IAM_ROLE_POLICY, part)
        .set("name", names::policy(&maker.name, who.name))
        .set("role", of_role.clone())
        .set("policy", document);
    let profile = maker
        .tagged(&at("iam_instance_profile"), kinds::IAM_INSTANCE_PROFILE, part, &[])
        .set("name", names::profile(&maker.name, who.name))
        .set("role", of_role.clone())
        .field(&part.fields, "path");
    let added: Vec<(Address, Value)> = field(maker, who.policies)
        .and_then(|field| field.value.elements())
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, policy)| {
            let key = policy.as_str().map_or_else(|| index.to_string(), str::to_owned);
            (keyed(&maker.at("iam_role_policy_attachment"), who.part, &key), policy.clone())
        })
        .collect();
    for made in [role, policy, profile] {
        maker.push(made);
    }
    for (address, policy) in added {
        let attachment = maker
            .plain(&address, kinds::IAM_ROLE_POLICY_ATTACHMENT, part)
            .set("role", of_role.clone())
            .set("policy_arn", policy)
            .origin("policy_arn", &part.fields);
        maker.push(attachment);
    }
}
