//! What an account may have, of which the server knows nothing.

use std::collections::BTreeMap;

use crate::answer::{Answer, Refusal};
use crate::call::Call;
use crate::xml::Element;

/// What an account may have, as AWS publishes it. Of processors of the standard families a new one has fewer, and gets these when it asks.
const USUAL: [(&str, u64); 14] = [
    // Networks of a region, internet gateways of it, NAT gateways of a zone, rules of a firewall.
    ("L-F678F1CE", 5),
    ("L-A4707A72", 5),
    ("L-FE5A380F", 5),
    ("L-0EA8095F", 60),
    // Processors of machines, and of those of the spot market: standard families, then F, G and VT, P, X.
    ("L-1216C47A", 1_152),
    ("L-34B43A08", 1_152),
    ("L-74FC7D96", 0),
    ("L-88CF9481", 0),
    ("L-DB2E81BA", 0),
    ("L-3819A6DF", 0),
    ("L-417A185B", 0),
    ("L-7212CCBC", 0),
    ("L-7295265B", 0),
    (DATABASES, 40),
];

/// Databases of a region.
const DATABASES: &str = "L-7B6409FD";

/// The answer to a question about a quota: what all accounts have, or what this one was given instead.
pub(crate) fn answered(given: &BTreeMap<String, u64>, call: &Call) -> Option<Answer> {
    let code = call.get("QuotaCode").unwrap_or_default();
    let limit = match call.name().as_str() {
        "servicequotas:GetServiceQuota" => given.get(code).copied(),
        "servicequotas:GetAWSDefaultServiceQuota" => usual(code),
        _ => return None,
    };
    let Some(limit) = limit else {
        let refusal = Refusal::new("NoSuchResourceException", "The request failed because the specified service does not exist.");
        return Some(refusal.answer(call));
    };
    let quota = serde_json::json!({ "Quota": { "QuotaCode": code, "ServiceCode": call.get("ServiceCode"), "Value": limit } });
    Some(Answer::new(200, "application/x-amz-json-1.1", quota.to_string()))
}

fn usual(code: &str) -> Option<u64> {
    USUAL.iter().find(|(known, _)| *known == code).map(|(_, limit)| *limit)
}

/// What the service of databases says of its quotas, with so many that are there.
pub(crate) fn of_databases(given: &BTreeMap<String, u64>, there: usize) -> Answer {
    let limit = given.get(DATABASES).copied().or_else(|| usual(DATABASES)).unwrap_or_default();
    let parts = [("AccountQuotaName", "DBInstances".to_owned()), ("Used", there.to_string()), ("Max", limit.to_string())];
    let quota = Element::with("AccountQuota", parts.map(|(name, text)| Element::text(name, text)).to_vec());
    let result = Element::with("DescribeAccountAttributesResult", vec![Element::with("AccountQuotas", vec![quota])]);
    Answer::xml(200, &Element::with("DescribeAccountAttributesResponse", vec![result]))
}
