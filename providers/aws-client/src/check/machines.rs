//! The machines of a plan: what each may be, where it may stand, and what it is made from.

use std::collections::BTreeSet;

use cloudtik_aws::kinds;
use cloudtik_model::{Address, Value};
use cloudtik_provider_api::{Deed, Intended};

use super::text;
use crate::attributes::Given;

/// An instance, the workers of a group, or a template that says a type.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) of: &'a Intended,
    /// The attribute that has its types.
    pub(super) attribute: &'static str,
    /// The types that would do, in the order of the spec.
    pub(super) types: Vec<String>,
    /// The zones that it may stand in; empty: nobody knows yet, or it is no matter.
    pub(super) zones: BTreeSet<&'a str>,
    /// The image that it is made from, where that is known.
    pub(super) image: Option<&'a str>,
}

/// The machines that are made, or may be made from what is written now.
pub(super) fn machines(intended: &[Intended]) -> Vec<Machine<'_>> {
    let is_launched = |one: &&Intended| match &*one.kind {
        kinds::INSTANCE => one.is_made(),
        kinds::LAUNCH_TEMPLATE => matches!(one.deed, Some(Deed::Create | Deed::Update)),
        _ => false,
    };
    intended.iter().filter(is_launched).filter_map(|of| machine(of, intended)).collect()
}

fn machine<'a>(of: &'a Intended, intended: &'a [Intended]) -> Option<Machine<'a>> {
    let given = Given(&of.attributes);
    let several = given.texts("instance_types");
    let (attribute, types) = match text(of, "instance_type") {
        _ if !several.is_empty() => ("instance_types", several),
        Some(one) => ("instance_type", vec![one.to_owned()]),
        None => return None,
    };
    Some(Machine { of, attribute, types, zones: zones(of, intended), image: image(of, intended) })
}

/// What it is made from says it, or it does itself.
fn image<'a>(of: &'a Intended, intended: &'a [Intended]) -> Option<&'a str> {
    let own = text(of, if &*of.kind == kinds::LAUNCH_TEMPLATE { "image_id" } else { "ami" });
    own.or_else(|| {
        let id = of.attributes.get("launch_template")?.elements()?.next()?.get("id")?;
        text(intended.iter().find(|one| &*one.kind == kinds::LAUNCH_TEMPLATE && is_of(id, one))?, "image_id")
    })
}

/// The zones that a machine may stand in, as far as the plan knows all of them: its own, or those of its subnets.
pub(super) fn zones<'a>(of: &'a Intended, intended: &'a [Intended]) -> BTreeSet<&'a str> {
    if let Some(zone) = text(of, "availability_zone") {
        return [zone].into();
    }
    let several = of.attributes.get("subnet_ids").and_then(Value::elements);
    let subnets: Vec<&Value> = match several {
        Some(subnets) => subnets.collect(),
        None => of.attributes.get("subnet_id").into_iter().collect(),
    };
    let zone = |subnet: &&Value| {
        let is_it = |one: &&Intended| &*one.kind == kinds::SUBNET && is_of(subnet, one);
        text(intended.iter().find(is_it)?, "availability_zone")
    };
    subnets.iter().map(zone).collect::<Option<_>>().unwrap_or_default()
}

/// Whether a value is the id of an object, or refers to it.
pub(super) fn is_of(id: &Value, object: &Intended) -> bool {
    match id.as_str() {
        Some(id) => object.id.as_deref() == Some(id),
        None => address(id).is_some_and(|address| address == object.address),
    }
}

/// The one address that a value refers to.
pub(super) fn address(value: &Value) -> Option<Address> {
    let mut named = BTreeSet::new();
    value.addresses(&mut named);
    named.pop_first().filter(|_| named.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::intended;

    fn subnet(id: &str, zone: &str) -> Intended {
        let made = intended("workspace.w.subnet.public[0]", kinds::SUBNET, [("availability_zone", Value::from(zone))]);
        Intended { id: Some(id.to_owned()), deed: None, ..made }
    }

    #[test]
    fn a_machine_stands_in_the_zones_of_its_subnets() {
        let all = [subnet("subnet-2", "z2"), subnet("subnet-1", "z1")];
        let of = |name: &str, value: Value| intended("cluster.c.head", kinds::INSTANCE, [(name, value)]);
        assert_eq!(zones(&of("subnet_id", "subnet-1".into()), &all), ["z1"].into());
        let both = Value::list(["subnet-1", "subnet-2"].map(Value::from));
        assert_eq!(zones(&of("subnet_ids", both), &all), ["z1", "z2"].into());
        let strange = Value::list(["subnet-1", "subnet-3"].map(Value::from));
        assert!(zones(&of("subnet_ids", strange), &all).is_empty(), "one that is not known may lie anywhere");
    }

    #[test]
    fn a_worker_has_the_image_of_its_template() {
        let template = intended("cluster.c.launch_template[\"g\"]", kinds::LAUNCH_TEMPLATE, [("image_id", Value::from("ami-1"))]);
        let template = Intended { id: Some("lt-1".to_owned()), ..template };
        let from = Value::list([Value::object([("id", Value::from("lt-1"))])]);
        let types = Value::list(["m5.large", "m5a.large"].map(Value::from));
        let worker = intended("cluster.c.workers.g", kinds::INSTANCE, [("launch_template", from), ("instance_types", types)]);
        let all = [template, worker];
        let found = machines(&all);
        let [machine] = &found[..] else { panic!("{found:?}") };
        assert_eq!((machine.image, machine.attribute, machine.types.len()), (Some("ami-1"), "instance_types", 2));
    }
}
