//! Types of machines that a zone, or the region, does not have.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, LocationType};
use cloudtik_aws::kinds;
use cloudtik_model::{Address, Value};
use cloudtik_provider_api::{CallError, Concern, Intended};

use super::{error, made, text};
use crate::aws::Aws;

/// Where types are offered: the zones by type.
type Offers = BTreeMap<String, BTreeSet<String>>;

/// Machines of types that are not offered where they shall stand.
pub(super) async fn not_offered(aws: &Aws, intended: &[Intended]) -> Result<Vec<Concern>, CallError> {
    let machines: Vec<(&Intended, &str)> =
        made(intended, kinds::INSTANCE).filter_map(|machine| Some((machine, text(machine, "instance_type")?))).collect();
    if machines.is_empty() {
        return Ok(Vec::new());
    }
    let types: BTreeSet<String> = machines.iter().map(|(_, name)| (*name).to_owned()).collect();
    let filter = Filter::builder().name("instance-type").set_values(Some(types.into_iter().collect())).build();
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
    Ok(machines.iter().filter_map(|(machine, name)| concern(&aws.region, machine, name, zone(machine, intended), &offers)).collect())
}

fn concern(region: &str, machine: &Intended, name: &str, zone: Option<&str>, offers: &Offers) -> Option<Concern> {
    let Some(zones) = offers.get(name) else {
        let title = format!("there are no machines of type `{name}` in region {region}");
        return Some(error(machine, "type-not-offered", title, "write another `instance_type`").in_attribute("instance_type"));
    };
    let zone = zone.filter(|zone| !zones.contains(*zone))?;
    let title = format!("there are no machines of type `{name}` in zone {zone}, where `{}` shall stand", machine.address);
    let others = zones.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let help = format!("write another `instance_type`, or a zone that has it: {others}");
    Some(error(machine, "type-not-offered", title, help).in_attribute("instance_type"))
}

/// The zone that a machine shall stand in, as far as the plan knows it: its own, or that of its subnet.
fn zone<'a>(machine: &'a Intended, intended: &'a [Intended]) -> Option<&'a str> {
    text(machine, "availability_zone").or_else(|| {
        let subnet = machine.attributes.get("subnet_id")?;
        let is_it = |one: &&Intended| &*one.kind == kinds::SUBNET && is_of(subnet, one);
        text(intended.iter().find(is_it)?, "availability_zone")
    })
}

/// Whether a value is the id of an object, or refers to it.
fn is_of(id: &Value, object: &Intended) -> bool {
    if let Some(id) = id.as_str() {
        return object.id.as_deref() == Some(id);
    }
    let mut named: BTreeSet<Address> = BTreeSet::new();
    id.addresses(&mut named);
    named.len() == 1 && named.contains(&object.address)
}

#[cfg(test)]
mod tests {
    use cloudtik_provider_api::Deed;

    use super::*;

    fn machine() -> Intended {
        let attributes = Value::object([("instance_type", Value::from("m9.large")), ("subnet_id", "subnet-1".into())]);
        let address = "cluster.c.head".parse().unwrap();
        Intended { address, kind: kinds::INSTANCE.into(), deed: Some(Deed::Create), id: None, attributes }
    }

    #[test]
    fn a_machine_stands_in_the_zone_of_its_subnet() {
        let subnet = |id: &str, zone: &'static str| Intended {
            address: "workspace.w.subnet.public[0]".parse().unwrap(),
            kind: kinds::SUBNET.into(),
            deed: None,
            id: Some(id.to_owned()),
            attributes: Value::object([("availability_zone", Value::from(zone))]),
        };
        let all = [subnet("subnet-2", "z2"), subnet("subnet-1", "z1")];
        assert_eq!(zone(&machine(), &all), Some("z1"));
    }

    #[test]
    fn what_a_zone_does_not_have_is_an_error() {
        let offers = Offers::from([("m9.large".to_owned(), BTreeSet::from(["z1".to_owned()]))]);
        let says = |zone, offers| concern("r", &machine(), "m9.large", zone, offers).map(|concern| concern.diagnostic.title);
        assert_eq!(says(Some("z1"), &offers), None);
        assert_eq!(says(None, &offers), None);
        assert!(says(Some("z2"), &offers).unwrap().contains("in zone z2"));
        assert!(says(None, &Offers::new()).unwrap().contains("in region r"));
    }
}
