//! What IAM and RDS tell of their own limits.

use std::collections::BTreeMap;

use aws_sdk_iam::types::SummaryKeyType;
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, Concern, Intended};

use super::{Quota, Use, count, going, over};
use crate::aws::Aws;
use crate::check::made;

/// Kinds of IAM, with what the summary of an account calls how many there are, and how many there may be.
const IDENTITIES: [(&str, Quota, SummaryKeyType, SummaryKeyType); 3] = [
    (kinds::IAM_ROLE, iam("L-FE177D64", "roles"), SummaryKeyType::Roles, SummaryKeyType::RolesQuota),
    (
        kinds::IAM_INSTANCE_PROFILE,
        iam("L-6E65F664", "instance profiles"),
        SummaryKeyType::InstanceProfiles,
        SummaryKeyType::InstanceProfilesQuota,
    ),
    (kinds::IAM_POLICY, iam("L-E95E4862", "policies"), SummaryKeyType::Policies, SummaryKeyType::PoliciesQuota),
];

/// Kinds of RDS, with the name of their quota.
const DATABASES: [(&str, Quota, &str); 2] = [
    (kinds::DB_INSTANCE, rds("L-7B6409FD", "databases"), "DBInstances"),
    (kinds::DB_SUBNET_GROUP, rds("L-48C6BF61", "groups of subnets for databases"), "DBSubnetGroups"),
];

const fn iam(code: &'static str, what: &'static str) -> Quota {
    Quota { service: "iam", code, what }
}

const fn rds(code: &'static str, what: &'static str) -> Quota {
    Quota { service: "rds", code, what }
}

pub(super) async fn identities(aws: &Aws, intended: &[Intended]) -> Result<Vec<Concern>, CallError> {
    if IDENTITIES.iter().all(|(kind, ..)| made(intended, kind).next().is_none()) {
        return Ok(Vec::new());
    }
    let answer = aws.read("iam:GetAccountSummary", || aws.iam.get_account_summary().send()).await?;
    let number = |key: &SummaryKeyType| answer.summary_map()?.get(key).and_then(|number| u64::try_from(*number).ok());
    let passed = IDENTITIES.iter().filter_map(|(kind, quota, there, limit)| {
        let (limit, there) = (number(limit)?, number(there)?);
        passed(intended, kind, *quota, "all regions", limit, there)
    });
    Ok(passed.collect())
}

pub(super) async fn databases(aws: &Aws, intended: &[Intended]) -> Result<Vec<Concern>, CallError> {
    if DATABASES.iter().all(|(kind, ..)| made(intended, kind).next().is_none()) {
        return Ok(Vec::new());
    }
    let answer = aws.read("rds:DescribeAccountAttributes", || aws.rds.describe_account_attributes().send()).await?;
    let known: BTreeMap<&str, (u64, u64)> = answer
        .account_quotas()
        .iter()
        .filter_map(|quota| Some((quota.account_quota_name()?, (number(quota.max())?, number(quota.used())?))))
        .collect();
    let region = format!("region {}", aws.region);
    let passed = DATABASES.iter().filter_map(|(kind, quota, name)| {
        let (limit, there) = *known.get(name)?;
        passed(intended, kind, *quota, &region, limit, there)
    });
    Ok(passed.collect())
}

fn number(number: Option<i64>) -> Option<u64> {
    u64::try_from(number?).ok()
}

fn passed(intended: &[Intended], kind: &str, quota: Quota, place: &str, limit: u64, there: u64) -> Option<Concern> {
    let first = made(intended, kind).next()?;
    let there = there.saturating_sub(count(going(intended, kind)));
    let used = Use { limit, there, new: count(made(intended, kind)) };
    used.is_too_much().then(|| over(first, quota, place, used, "remove some"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::intended;

    #[test]
    fn what_is_made_anew_takes_the_place_of_what_goes() {
        let new = intended("workspace.w.iam_role.head", kinds::IAM_ROLE, []);
        let anew = Intended { id: Some("r".to_owned()), ..new.clone() };
        let says = |of: &Intended| passed(std::slice::from_ref(of), kinds::IAM_ROLE, IDENTITIES[0].1, "all regions", 1000, 1000);
        assert_eq!(says(&anew), None);
        let said = says(&new).unwrap().diagnostic;
        assert_eq!(said.title, "the account may have 1000 roles in all regions; it has 1000, and 1 would come");
        assert!(said.help.iter().any(|help| help.contains("--quota-code L-FE177D64 --desired-value 1001")), "{said:?}");
    }
}
