//! Reads that lag behind writes: what was just made is not shown yet.

use std::collections::BTreeMap;

use crate::answer::Refusal;
use crate::call::Call;
use crate::config::Config;
use crate::listing::listing_of;
use crate::xml::Element;

/// What calls that make something begin with.
const MAKES: [&str; 5] = ["Create", "Run", "Allocate", "Authorize", "Request"];

/// When things were made.
#[derive(Debug, Default)]
pub(crate) struct Births {
    objects: BTreeMap<String, u64>,
    /// Of identities: `role/NAME`, `profile/NAME`, and `launch/NAME` for a profile that instances shall carry.
    identities: BTreeMap<String, u64>,
}

impl Births {
    /// Takes note of a call that was made.
    pub(crate) fn note(&mut self, now: u64, call: &Call, answer: Option<&Element>) {
        if call.service == "iam" {
            let (role, profile) = (call.get("RoleName"), call.get("InstanceProfileName"));
            let born = match (call.action.as_str(), role, profile) {
                ("CreateRole", Some(role), _) => vec![format!("role/{role}")],
                ("CreateInstanceProfile", _, Some(profile)) => vec![format!("profile/{profile}"), format!("launch/{profile}")],
                ("AddRoleToInstanceProfile", _, Some(profile)) => vec![format!("launch/{profile}")],
                _ => Vec::new(),
            };
            self.identities.extend(born.into_iter().map(|name| (name, now)));
        }
        if call.service != "ec2" || !MAKES.iter().any(|make| call.action.starts_with(make)) {
            return;
        }
        let Some(answer) = answer else { return };
        answer.each(&mut |element| {
            let is_new = is_id(&element.text) && !call.parameters.values().any(|value| *value == element.text);
            if is_new {
                self.objects.entry(element.text.clone()).or_insert(now);
            }
        });
    }

    fn is_hidden(&self, config: &Config, now: u64, id: &str) -> bool {
        self.objects.get(id).is_some_and(|born| now < born + config.lag_ms)
    }

    /// The answer to a call about something that is not known yet.
    pub(crate) fn refusal(&self, config: &Config, now: u64, call: &Call) -> Option<Refusal> {
        let is_young = |name: &str, lag: u64| self.identities.get(name).is_some_and(|born| now < born + lag);
        match call.name().as_str() {
            "iam:GetRole" => {
                let name = call.get("RoleName")?;
                is_young(&format!("role/{name}"), config.lag_ms).then(|| unknown("role", name))
            }
            "iam:GetInstanceProfile" => {
                let name = call.get("InstanceProfileName")?;
                is_young(&format!("profile/{name}"), config.lag_ms).then(|| unknown("instance profile", name))
            }
            "ec2:RunInstances" | "ec2:AssociateIamInstanceProfile" => {
                let arn = call.get("IamInstanceProfile.Arn").and_then(|arn| arn.rsplit('/').next());
                let name = call.get("IamInstanceProfile.Name").or(arn)?;
                let text = format!("Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name");
                is_young(&format!("launch/{name}"), config.identity_lag_ms).then(|| Refusal::new("InvalidParameterValue", text))
            }
            _ => {
                let listing = listing_of(call)?;
                let id = listing.asked(call).into_iter().find(|id| self.is_hidden(config, now, id))?;
                Some(listing.missing(&id))
            }
        }
    }

    /// Leaves out of a list what is not known yet.
    pub(crate) fn hide(&self, config: &Config, now: u64, call: &Call, document: &mut Element) {
        if let Some(listing) = listing_of(call).filter(|_| config.lag_ms > 0) {
            listing.leave_out(document, |id| self.is_hidden(config, now, id));
        }
    }
}

fn unknown(what: &str, name: &str) -> Refusal {
    Refusal::new("NoSuchEntity", format!("The {what} with name {name} cannot be found.")).status(404)
}

/// Whether it looks like the id of an object: `vpc-0123456789abcdef0`.
fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(kind, digits)| {
        (1..=10).contains(&kind.len())
            && kind.bytes().all(|byte| byte.is_ascii_lowercase())
            && digits.len() >= 8
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ec2(action: &str, parameters: &[(&str, &str)]) -> Call {
        Call { service: "ec2".to_owned(), ..Call::default() }.asking(action, parameters)
    }

    fn answer(root: &str, set: &str, ids: &[&str]) -> Element {
        let item = |id: &&str| Element::with("item", vec![Element::text("subnetId", *id), Element::text("vpcId", "vpc-00000001")]);
        Element::with(root, vec![Element::with(set, ids.iter().map(item).collect())])
    }

    #[test]
    fn a_subnet_shows_after_a_while() {
        let config = Config { lag_ms: 100, ..Config::default() };
        let mut births = Births::default();
        let made = answer("CreateSubnetResponse", "subnet", &["subnet-0000000a"]);
        births.note(10, &ec2("CreateSubnet", &[("VpcId", "vpc-00000001")]), Some(&made));
        let by_id = ec2("DescribeSubnets", &[("SubnetId.1", "subnet-0000000a")]);
        assert_eq!(births.refusal(&config, 109, &by_id).unwrap().code, "InvalidSubnetID.NotFound");
        assert_eq!(births.refusal(&config, 110, &by_id), None);
        assert_eq!(births.refusal(&config, 50, &ec2("DescribeVpcs", &[("VpcId.1", "vpc-00000001")])), None);
        let shown = |now| {
            let mut all = answer("DescribeSubnetsResponse", "subnetSet", &["subnet-0000000a", "subnet-0000000b"]);
            births.hide(&config, now, &ec2("DescribeSubnets", &[]), &mut all);
            all.texts("subnetId").len()
        };
        assert_eq!((shown(109), shown(110)), (1, 2));
    }

    #[test]
    fn identities_are_known_later() {
        let config = Config { lag_ms: 10, identity_lag_ms: 100, ..Config::default() };
        let mut births = Births::default();
        let iam = |action, parameters: &[(&str, &str)]| Call { service: "iam".to_owned(), ..Call::default() }.asking(action, parameters);
        births.note(0, &iam("CreateInstanceProfile", &[("InstanceProfileName", "p")]), None);
        births.note(50, &iam("AddRoleToInstanceProfile", &[("InstanceProfileName", "p"), ("RoleName", "r")]), None);
        let read = iam("GetInstanceProfile", &[("InstanceProfileName", "p")]);
        assert_eq!(births.refusal(&config, 9, &read).unwrap().code, "NoSuchEntity");
        assert_eq!(births.refusal(&config, 10, &read), None);
        let launch = ec2("RunInstances", &[("IamInstanceProfile.Name", "p")]);
        assert_eq!(births.refusal(&config, 149, &launch).unwrap().code, "InvalidParameterValue");
        assert_eq!(births.refusal(&config, 150, &launch), None);
    }

    #[test]
    fn ids_are_told_from_other_texts() {
        for (text, is) in [("vpc-0123456789abcdef0", true), ("us-west-2", false), ("i-fdf7a69bd39242961", true), ("request-id", false)] {
            assert_eq!(is_id(text), is, "{text}");
        }
    }
}
