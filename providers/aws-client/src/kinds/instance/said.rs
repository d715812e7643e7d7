//! A machine as attributes.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    HttpTokensState, Instance, InstanceLifecycleType, InstanceMetadataEndpointState, InstanceStateName, InstanceType, Reservation, Tenancy,
};
use cloudtik_aws::kinds;
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, Found, SEQUENCE_TAG};

use super::room::{ON_DEMAND, SPOT};
use super::together::own_marks;
use super::{NAME_TAG, UNTOLD, USER_TAG, kept};
use crate::attributes::{IntoValue, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::session::Machine;
use crate::{status, tags};

/// Where a node keeps what cloudtik brings to it. The same place as on nodes of other clouds that have a root of their own.
const NODE_ROOT: &str = "/var/lib/cloudtik/node";

/// Folders below it, by the names that specs use.
const FOLDERS: [&str; 5] = ["conf", "data", "logs", "packages", "artifacts"];

/// What executes a step there: the program that was brought, which finds its agent by the folder in its environment.
const RUN_STEP: [&str; 5] = ["env", "CLOUDTIK_NODE_ROOT=/var/lib/cloudtik/node", "/var/lib/cloudtik/node/bin/cloudtik", "node", "run-step"];

/// What makes another user root, without ever asking for a password.
const AS_ROOT: [&str; 2] = ["sudo", "-n"];

/// The port of every image's SSH server.
const SSH_PORT: i64 = 22;

/// The head of a cluster is its first node. A worker has the number that its mark says.
const HEAD_SEQUENCE: i64 = 1;

/// Who logs in to a machine that does not say it: one that was launched by hand.
const ROOT: &str = "root";

/// All machines of an answer.
pub(super) async fn all(aws: &Aws, reservations: &[Reservation]) -> Result<Vec<Found>, CallError> {
    let instances = || reservations.iter().flat_map(|some| some.instances().iter().map(move |instance| (some.owner_id(), instance)));
    let unmarked = instances().map(|(_, instance)| instance).filter(|instance| marked(instance).is_none());
    let types: BTreeSet<String> = unmarked.filter_map(|instance| Some(instance.instance_type()?.as_str().to_owned())).collect();
    let machines = if types.is_empty() { BTreeMap::new() } else { aws.machines(types).await? };
    instances().map(|(owner, instance)| one(aws, owner, instance, &machines)).collect()
}

fn one(aws: &Aws, owner: Option<&str>, instance: &Instance, machines: &BTreeMap<String, Machine>) -> Result<Found, CallError> {
    let id = instance.instance_id().ok_or_else(|| strange("ec2:DescribeInstances", "id"))?;
    let (marks, own) = tags::of_ec2(instance.tags());
    let marks = own_marks(marks, instance.ami_launch_index());
    let user = marks.get(USER_TAG).map_or(ROOT, String::as_str);
    let private = text(instance.private_ip_address());
    let public = text(instance.public_ip_address());
    aws.session.set_address(id, public.or(private));
    let of_type = || instance.instance_type().and_then(|name| machines.get(name.as_str())).copied();
    let machine = marked(instance).or_else(of_type).unwrap_or_default();
    let sequence = marks.get(SEQUENCE_TAG).and_then(|number| number.parse().ok()).unwrap_or(HEAD_SEQUENCE);
    let zone = instance.placement().and_then(|placement| placement.availability_zone());
    let groups: BTreeSet<String> = instance.security_groups().iter().filter_map(|group| group.group_id.clone()).collect();
    let said = Said::of(kinds::INSTANCE).untold(UNTOLD);
    let said = kept::told(&marks).into_iter().fold(said, |said, (name, value)| said.set(name, value));
    // A machine that does not run has given its public address back, and gets another one when it starts.
    let runs = instance.state().and_then(|state| state.name()) == Some(&InstanceStateName::Running);
    let said = if runs { said.set("associate_public_ip_address", public.is_some()) } else { said };
    let object = said
        .set("name", marks.get(NAME_TAG).map(String::as_str))
        .set("ami", instance.image_id())
        .set("instance_type", instance.instance_type().map(InstanceType::as_str))
        .set("market", if instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot) { SPOT } else { ON_DEMAND })
        .set("subnet_id", text(instance.subnet_id()))
        .set("availability_zone", zone)
        .set("vpc_security_group_ids", groups)
        .set("iam_instance_profile", profile(instance))
        .set("key_name", text(instance.key_name()))
        .set("metadata_options", metadata(instance))
        .set("placement_group", instance.placement().and_then(|placement| text(placement.group_name())))
        .set("tenancy", instance.placement().and_then(|placement| placement.tenancy()).unwrap_or(&Tenancy::Default).as_str())
        .set("ebs_optimized", instance.ebs_optimized())
        .set("source_dest_check", instance.source_dest_check().unwrap_or(true))
        .set("user", user)
        .set("tags", own)
        .set("arn", owner.map(|owner| aws.arn("ec2", owner, &format!("instance/{id}"))))
        .set("private_ip", private)
        .set("public_ip", public)
        .set("private_dns", text(instance.private_dns_name()))
        .set("hostname", hostname(instance))
        .set("ssh_command", public.or(private).map(|address| format!("ssh {user}@{address}")))
        .set("ssh", ssh(user))
        .set("node", node(instance, id, user, sequence, machine))
        .answer(id);
    Ok(Found { object, tags: status::joined(marks) })
}

/// What a machine has, where its mark says it.
fn marked(instance: &Instance) -> Option<Machine> {
    kept::machine(&tags::of_ec2(instance.tags()).0, instance.instance_type()?.as_str())
}

/// AWS writes nothing where something is missing.
fn text(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn profile(instance: &Instance) -> Option<&str> {
    instance.iam_instance_profile()?.arn()?.rsplit('/').next()
}

/// The first part of its name inside.
fn hostname(instance: &Instance) -> Option<&str> {
    text(instance.private_dns_name())?.split('.').next()
}

fn metadata(instance: &Instance) -> Option<Value> {
    let options = instance.metadata_options()?;
    let parts = [
        ("http_endpoint", options.http_endpoint().map(InstanceMetadataEndpointState::as_str).into_value()),
        ("http_tokens", options.http_tokens().map(HttpTokensState::as_str).into_value()),
        ("http_put_response_hop_limit", options.http_put_response_hop_limit().into_value()),
    ];
    Some(Value::list([Value::object(parts)]))
}

/// The folders of a node: the same names on every cloud.
fn folders(user: &str) -> BTreeMap<String, String> {
    let home = if user == ROOT { "/root".to_owned() } else { format!("/home/{user}") };
    let own = FOLDERS.map(|name| (name.to_owned(), format!("{NODE_ROOT}/{name}")));
    let others = [("root", NODE_ROOT), ("run", "/run/cloudtik"), ("tmp", "/tmp")];
    let others = others.map(|(name, path)| (name.to_owned(), path.to_owned()));
    own.into_iter().chain(others).chain([("home".to_owned(), home)]).collect()
}

fn ssh(user: &str) -> Value {
    let as_root = AS_ROOT.iter().filter(|_| user != ROOT);
    Value::object([
        ("user", user.into()),
        ("port", SSH_PORT.into_value()),
        ("run_step", Value::list(as_root.chain(&RUN_STEP).map(|word| Value::from(*word)))),
        ("artifacts", format!("{NODE_ROOT}/artifacts").into_value()),
        ("bring_to", NODE_ROOT.into()),
    ])
}

fn node(instance: &Instance, id: &str, user: &str, sequence: i64, machine: Machine) -> Value {
    let names = [hostname(instance), text(instance.private_dns_name())];
    let zone = instance.placement().and_then(|placement| placement.availability_zone());
    Value::object([
        ("id", id.into()),
        ("sequence", sequence.into_value()),
        ("address", text(instance.private_ip_address()).into_value()),
        ("names", Value::list(names.into_iter().flatten().map(Value::from))),
        ("dirs", folders(user).into_value()),
        ("cores", machine.cores.into_value()),
        ("memory", machine.memory.into_value()),
        ("zone", zone.into_value()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_the_same_folders_on_every_cloud() {
        let dirs = folders("ubuntu");
        assert_eq!(dirs["home"], "/home/ubuntu");
        assert_eq!(folders("root")["home"], "/root");
        assert_eq!(dirs.keys().collect::<Vec<_>>(), ["artifacts", "conf", "data", "home", "logs", "packages", "root", "run", "tmp"]);
    }

    #[test]
    fn the_program_is_where_it_is_brought_to() {
        let words = |user: &str| -> Vec<String> {
            let ssh = ssh(user);
            let words = ssh.get("run_step").and_then(Value::elements).unwrap();
            words.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let root = words("root");
        assert_eq!(root[1], format!("CLOUDTIK_NODE_ROOT={NODE_ROOT}"));
        assert_eq!(root[2], format!("{NODE_ROOT}/bin/cloudtik"));
        assert_eq!(words("ubuntu"), [&["sudo".to_owned(), "-n".to_owned()][..], &root].concat());
    }

    #[test]
    fn a_machine_has_names_that_others_reach_it_by() {
        let instance = Instance::builder().private_dns_name("ip-10-0-0-5.ec2.internal").private_ip_address("10.0.0.5").build();
        let node = node(&instance, "i-1", "ubuntu", 7, Machine { cores: 4, memory: 16_384 });
        let names: Vec<&str> = node.get("names").and_then(Value::elements).unwrap().filter_map(Value::as_str).collect();
        assert_eq!(names, ["ip-10-0-0-5", "ip-10-0-0-5.ec2.internal"]);
        assert_eq!(node.get("sequence"), Some(&Value::from(7_i64)));
    }
}
