//! What an account may have, what it has, and what a plan would add.
//!
//! EC2, IAM and RDS tell some of their limits by themselves. All others are those of Service Quotas, which is only asked where a plan comes to
//! more than what every account may have.

mod network;
mod processors;
mod services;

use cloudtik_provider_api::{BoxFuture, CallError, Check, Concern, Intended};

use super::machines::Machine;
use super::{error, in_time};
use crate::aws::Aws;

/// What Service Quotas answers of a limit that nobody has changed or set.
const NOT_SET: &str = "NoSuchResourceException";

/// A limit of AWS.
#[derive(Clone, Copy, Debug)]
struct Quota {
    /// The service, as Service Quotas calls it.
    service: &'static str,
    /// The code.
    code: &'static str,
    /// What there may be so many of.
    what: &'static str,
}

/// How much there is and comes of something.
#[derive(Clone, Copy, Debug)]
struct Use {
    limit: u64,
    there: u64,
    new: u64,
}

impl Use {
    const fn is_too_much(self) -> bool {
        self.there.saturating_add(self.new) > self.limit
    }
}

/// More than the account may have; one answer for each of those who are asked.
pub(super) async fn passed(aws: &Aws, check: &Check, machines: &[Machine<'_>]) -> Vec<Result<Vec<Concern>, String>> {
    let intended = &check.intended;
    let addresses: BoxFuture<'_, _> = Box::pin(in_time("quotas of addresses", network::addresses(aws, intended)));
    let network: BoxFuture<'_, _> = Box::pin(in_time("quotas of networks", network::passed(aws, intended)));
    let processors: BoxFuture<'_, _> = Box::pin(in_time("quotas of processors", processors::passed(aws, check, machines)));
    let identities: BoxFuture<'_, _> = Box::pin(in_time("quotas of identities", services::identities(aws, intended)));
    let databases: BoxFuture<'_, _> = Box::pin(in_time("quotas of databases", services::databases(aws, intended)));
    let (addresses, network, processors, identities, databases) = tokio::join!(addresses, network, processors, identities, databases);
    vec![addresses, network, processors, identities, databases]
}

/// What Service Quotas says of a limit: that of the account, or what all accounts have.
async fn limit(aws: &Aws, quota: Quota) -> Result<Option<u64>, CallError> {
    let Quota { service, code, .. } = quota;
    let own = || aws.quotas.get_service_quota().service_code(service).quota_code(code).send();
    let own = match aws.read("servicequotas:GetServiceQuota", own).await {
        Err(error) if error.code == NOT_SET => None,
        answer => Some(answer?),
    };
    if let Some(own) = own.and_then(|answer| answer.quota?.value) {
        return Ok(Some(whole(own)));
    }
    let usual = || aws.quotas.get_aws_default_service_quota().service_code(service).quota_code(code).send();
    match aws.read("servicequotas:GetAWSDefaultServiceQuota", usual).await {
        Err(error) if error.code == NOT_SET => Ok(None),
        answer => Ok(answer?.quota.and_then(|quota| quota.value).map(whole)),
    }
}

/// Limits are whole numbers, written as others.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a limit is neither negative nor larger than a number of things"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

/// How many go in this plan before others of their kind are made.
fn going<'a>(intended: &'a [Intended], kind: &'a str) -> impl Iterator<Item = &'a Intended> {
    intended.iter().filter(move |one| one.is_going() && &*one.kind == kind)
}

/// An error about a limit that is passed.
fn over(of: &Intended, quota: Quota, place: &str, used: Use, instead: &str) -> Concern {
    error(of, "quota", title(quota, place, used), help(quota, used, instead))
}

fn title(quota: Quota, place: &str, Use { limit, there, new }: Use) -> String {
    format!("the account may have {limit} {} in {place}; it has {there}, and {new} would come", quota.what)
}

fn help(quota: Quota, Use { there, new, .. }: Use, instead: &str) -> String {
    let Quota { service, code, .. } = quota;
    let wanted = there + new;
    format!(
        "{instead}, or ask AWS for more: `aws service-quotas request-service-quota-increase --service-code {service} --quota-code {code} --desired-value {wanted}`"
    )
}

fn count(items: impl IntoIterator) -> u64 {
    items.into_iter().fold(0, |count, _| count + 1)
}
