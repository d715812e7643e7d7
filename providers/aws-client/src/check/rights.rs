//! Rights that the credentials do not have: found out by asking EC2 for the real thing as a dry run, once for each action.
//!
//! Only what can be asked for as it will be is asked: what stands in a network that is not there yet cannot be, and other services know no dry
//! runs.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{DomainType, InstanceType, ResourceType, Tag, TagSpecification};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, Concern, Intended};

use super::{error, made, text};
use crate::attributes::Given;
use crate::aws::Aws;

/// What a dry run is answered with that would have worked.
const ALLOWED: &str = "DryRunOperation";
/// What one is answered with that the credentials have no right for.
const REFUSED: &str = "UnauthorizedOperation";

/// The actions that would be refused.
pub(super) async fn missing(aws: &Aws, intended: &[Intended]) -> Result<Vec<Concern>, CallError> {
    let first = |kind| made(intended, kind).next();
    let (network, gateway, address) = (first(kinds::VPC), first(kinds::INTERNET_GATEWAY), first(kinds::EIP));
    let machine = made(intended, kinds::INSTANCE).find(|machine| is_known(machine));
    if [network, gateway, address, machine].iter().all(Option::is_none) || !has_dry_runs(aws).await {
        return Ok(Vec::new());
    }
    let (network, gateway, address, machine) = tokio::join!(
        maybe(network, |of| async move {
            let request = aws.ec2.create_vpc().dry_run(true).set_cidr_block(text(of, "cidr_block").map(str::to_owned));
            aws.dry("ec2:CreateVpc", request.tag_specifications(tags(of, ResourceType::Vpc)).send()).await
        }),
        maybe(gateway, |of| async move {
            let request = aws.ec2.create_internet_gateway().dry_run(true).tag_specifications(tags(of, ResourceType::InternetGateway));
            aws.dry("ec2:CreateInternetGateway", request.send()).await
        }),
        maybe(address, |of| async move {
            let request = aws.ec2.allocate_address().dry_run(true).domain(DomainType::Vpc);
            aws.dry("ec2:AllocateAddress", request.tag_specifications(tags(of, ResourceType::ElasticIp)).send()).await
        }),
        maybe(machine, |of| async move {
            let given = Given(&of.attributes);
            let request = aws.ec2.run_instances().dry_run(true).min_count(1).max_count(1);
            let request =
                request.set_image_id(given.owned("ami")).set_instance_type(given.maybe_text("instance_type").map(InstanceType::from));
            let request =
                request.set_subnet_id(given.owned("subnet_id")).set_security_group_ids(Some(given.texts("vpc_security_group_ids")));
            aws.dry("ec2:RunInstances", request.tag_specifications(tags(of, ResourceType::Instance)).send()).await
        }),
    );
    Ok([network, gateway, address, machine].into_iter().flatten().filter_map(|(of, error)| concern(of, error)).collect())
}

/// What a dry run for an object is answered with, where there is such an object.
async fn maybe<'a, T, F>(of: Option<&'a Intended>, ask: impl FnOnce(&'a Intended) -> F) -> Option<(&'a Intended, CallError)>
where
    F: Future<Output = Result<T, CallError>>,
{
    let of = of?;
    ask(of).await.err().map(|error| (of, error))
}

/// Whether a machine can be asked for as it will be.
fn is_known(machine: &Intended) -> bool {
    let known = |name: &str| machine.attributes.get(name).is_none_or(|value| value.is_known());
    ["ami", "instance_type", "subnet_id", "vpc_security_group_ids"].iter().all(|name| known(name))
}

/// A server that is not AWS may know no dry runs, and do what it is asked: one that only reads goes before those that would make something.
async fn has_dry_runs(aws: &Aws) -> bool {
    let answer = aws.dry("ec2:DescribeAccountAttributes", aws.ec2.describe_account_attributes().dry_run(true).send()).await;
    answer.is_err_and(|error| [ALLOWED, REFUSED].contains(&&*error.code))
}

/// The tags of the spec: rights may depend on them.
fn tags(of: &Intended, kind: ResourceType) -> TagSpecification {
    let given: BTreeMap<String, String> = Given(&of.attributes).map("tags");
    let tags = given.iter().map(|(name, value)| Tag::builder().key(name).value(value).build()).collect();
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
}

/// What a refusal means. Any other answer says nothing of rights, and is said again when it is meant.
fn concern(of: &Intended, refusal: CallError) -> Option<Concern> {
    if refusal.code != REFUSED {
        return None;
    }
    let action = refusal.message.split(": ").next().unwrap_or_default().to_owned();
    let title = format!("the credentials have no right to `{action}`, which `{}` needs", of.address);
    let mut concern = error(of, "no-right", title, format!("allow `{action}` to whoever runs this, or use other credentials"));
    concern.diagnostic = concern.diagnostic.note(refusal.message);
    Some(concern)
}

#[cfg(test)]
mod tests {
    use cloudtik_provider_api::ErrorClass;

    use super::*;
    use crate::check::tests::intended;

    #[test]
    fn only_a_refusal_is_a_concern() {
        let of = intended("workspace.w.network", kinds::VPC, []);
        let says = |code: &str| {
            let error = CallError::new(ErrorClass::Permanent, code, format!("ec2:CreateVpc: {code}: You are not authorized"));
            concern(&of, error).map(|concern| concern.diagnostic.title)
        };
        assert_eq!(says(REFUSED).unwrap(), "the credentials have no right to `ec2:CreateVpc`, which `workspace.w.network` needs");
        assert_eq!((says(ALLOWED), says("InvalidParameterValue")), (None, None));
    }
}
