//! Types of machines that a zone, or the region, does not have.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, LocationType};
use cloudtik_model::Diagnostic;
use cloudtik_provider_api::{CallError, Concern};

use super::error;
use super::machines::Machine;
use crate::aws::Aws;

/// Where types are offered: the zones by type.
pub(super) type Offers = BTreeMap<String, BTreeSet<String>>;

/// Where types of machines are offered.
pub(super) async fn offers(aws: &Aws, types: &BTreeSet<String>) -> Result<Offers, CallError> {
    if types.is_empty() {
        return Ok(Offers::new());
    }
    let filter = Filter::builder().name("instance-type").set_values(Some(types.iter().cloned().collect())).build();
    let pages = || {
        let request = aws.ec2.describe_instance_type_offerings().location_type(LocationType::AvailabilityZone).filters(filter.clone());
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    let mut offers = Offers::new();
    for offer in aws.read("ec2:DescribeInstanceTypeOfferings", pages).await? {
        if let (Some(name), Some(zone)) = (offer.instance_type(), offer.location()) {
            offers.entry(name.as_str().to_owned()).or_default().insert(zone.to_owned());
        }
    }
    Ok(offers)
}

/// Types that are not offered where a machine shall stand.
pub(super) fn not_offered(region: &str, machine: &Machine<'_>, offers: &Offers) -> Vec<Concern> {
    let is_there = |name: &&String| {
        let zones = offers.get(*name);
        zones.is_some_and(|zones| machine.zones.is_empty() || machine.zones.iter().any(|zone| zones.contains(*zone)))
    };
    let has_one = machine.types.iter().any(|name| is_there(&name));
    let missing = machine.types.iter().filter(|name| !is_there(name));
    missing.map(|name| concern(region, machine, name, offers.get(name), has_one)).collect()
}

/// A type that the region does not have is a slip. One that only the zones do not have is never tried with success: no harm, where another is.
fn concern(region: &str, machine: &Machine<'_>, name: &str, zones: Option<&BTreeSet<String>>, has_one: bool) -> Concern {
    let attribute = machine.attribute;
    let Some(zones) = zones else {
        let title = format!("there are no machines of type `{name}` in region {region}");
        let help = if attribute == "instance_types" { "write another type, or take it out" } else { "write another `instance_type`" };
        return error(machine.of, "type-not-offered", title, help).in_attribute(attribute);
    };
    let wanted = machine.zones.iter().copied().collect::<Vec<_>>().join(", ");
    let (word, others) = (if machine.zones.len() > 1 { "zones" } else { "zone" }, zones.iter().map(String::as_str).collect::<Vec<_>>());
    let title = format!("there are no machines of type `{name}` in {word} {wanted}, where `{}` shall stand", machine.of.address);
    let help = format!("write another `{attribute}`, or a zone that has it: {}", others.join(", "));
    if has_one {
        let warning = Diagnostic::warning("type-not-offered", title).help(help);
        return Concern::new(warning, &machine.of.address).in_attribute(attribute);
    }
    error(machine.of, "type-not-offered", title, help).in_attribute(attribute)
}

#[cfg(test)]
mod tests {
    use cloudtik_aws::kinds;
    use cloudtik_model::Severity;

    use super::*;
    use crate::check::tests::intended;

    #[test]
    fn what_a_zone_does_not_have_is_an_error() {
        let of = intended("cluster.c.head", kinds::INSTANCE, []);
        let offers = |names: &[(&str, &str)]| -> Offers {
            names.iter().map(|(name, zone)| ((*name).to_owned(), BTreeSet::from([(*zone).to_owned()]))).collect()
        };
        let says = |types: &[&str], zones: &[&'static str], offers: &Offers| -> Vec<(Severity, String)> {
            let types = types.iter().map(|name| (*name).to_owned()).collect();
            let machine = Machine { of: &of, attribute: "instance_type", types, zones: zones.iter().copied().collect(), image: None };
            let found = not_offered("r", &machine, offers).into_iter();
            found.map(|concern| (concern.diagnostic.severity, concern.diagnostic.title)).collect()
        };
        let one = offers(&[("m9.large", "z1")]);
        assert_eq!(says(&["m9.large"], &["z1"], &one), []);
        assert_eq!(says(&["m9.large"], &[], &one), [], "nobody knows where it shall stand");
        assert_eq!(says(&["m9.large"], &["z1", "z2"], &one), [], "the other zone has it");
        let [(Severity::Error, text)] = &says(&["m9.large"], &["z2"], &one)[..] else { panic!("no error") };
        assert!(text.contains("in zone z2"), "{text}");
        let [(Severity::Error, text)] = &says(&["m9.large", "m8.large"], &["z1"], &one)[..] else { panic!("no error") };
        assert!(text.contains("`m8.large` in region r"), "{text}");
        let two = offers(&[("m9.large", "z1"), ("m8.large", "z3")]);
        let [(Severity::Warning, text)] = &says(&["m9.large", "m8.large"], &["z1", "z2"], &two)[..] else { panic!("no warning") };
        assert!(text.contains("`m8.large` in zones z1, z2"), "{text}");
        assert_eq!(says(&["m9.large", "m8.large"], &["z2"], &two).iter().filter(|(severity, _)| *severity == Severity::Error).count(), 2);
    }
}
