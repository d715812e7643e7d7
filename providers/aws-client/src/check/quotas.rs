//! What an account may have, as far as EC2 itself tells it: public addresses that stay.

use aws_sdk_ec2::types::AccountAttributeName;
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, Concern};

use super::{error, made};
use crate::aws::Aws;

/// The attribute of an account that says how many addresses it may have in a region.
const ADDRESSES_MAX: &str = "vpc-max-elastic-ips";

/// More than the account may have.
pub(super) async fn passed(aws: &Aws, intended: &[cloudtik_provider_api::Intended]) -> Result<Vec<Concern>, CallError> {
    let new = made(intended, kinds::EIP).count();
    let Some(first) = made(intended, kinds::EIP).next() else { return Ok(Vec::new()) };
    let name = AccountAttributeName::from(ADDRESSES_MAX);
    let (limit, there) = tokio::try_join!(
        aws.read("ec2:DescribeAccountAttributes", || aws.ec2.describe_account_attributes().attribute_names(name.clone()).send()),
        aws.read("ec2:DescribeAddresses", || aws.ec2.describe_addresses().send()),
    )?;
    let attribute = limit.account_attributes().iter().find(|attribute| attribute.attribute_name() == Some(ADDRESSES_MAX));
    let limit = attribute.and_then(|attribute| attribute.attribute_values().first()?.attribute_value()?.parse::<usize>().ok());
    let there = there.addresses().len();
    // What is made anew goes only later, so it counts twice for a while.
    let Some(limit) = limit.filter(|limit| there + new > *limit) else { return Ok(Vec::new()) };
    let title = format!("the account may have {limit} public addresses in region {}; it has {there}, and {new} would come", aws.region);
    let help = "release some, ask AWS for a higher quota (`L-0263D0A3` of service `ec2`), or write `nat = \"single\"` in `network`";
    Ok(vec![error(first, "quota", title, help)])
}
