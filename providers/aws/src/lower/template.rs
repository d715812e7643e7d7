//! What the workers of a group are launched from.

use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, WorkspaceUse};
use cloudtik_model::{ResourceSpec, Span, Value};
use cloudtik_provider_api::{CLUSTER_TAG, ResourceBuilder, WORKSPACE_TAG};

use super::keyed;
use super::maker::id_of;
use crate::{kinds, names};

/// `cluster.c.launch_template["g"]`, and a worker that is launched from it. What all of them have in common stands in it, where their head cannot
/// change it; a worker says the same for itself, because that is what it is looked at for.
pub(super) fn template(
    cluster: &ClusterSpec,
    workspace: &WorkspaceUse,
    name: &str,
    group: &Arc<str>,
    worker: ResourceBuilder,
    device: Value,
) -> (ResourceSpec, ResourceBuilder) {
    let address = keyed(&cluster.address, "launch_template", group);
    let worker = worker.set("launch_template", Value::list([Value::object([("id", id_of(&address))])]));
    let made = worker.clone().build();
    let said = |name: &str| made.attributes.get(name).cloned().unwrap_or(Value::NULL);
    let interface =
        [("associate_public_ip_address", said("associate_public_ip_address")), ("security_groups", said("vpc_security_group_ids"))];
    let span = cluster.workers.get(group).map_or(Span::NONE, |node| node.span);
    let template = ResourceBuilder::new(address, kinds::LAUNCH_TEMPLATE, cluster.provider.clone(), span)
        .mark(WORKSPACE_TAG, &*workspace.name)
        .mark(CLUSTER_TAG, format!("{}/{name}", workspace.name))
        .set("name", names::launch_template(&workspace.name, name, group))
        .set("image_id", said("ami"))
        .set("iam_instance_profile", said("iam_instance_profile"))
        .set("network_interfaces", Value::list([Value::object(interface)]))
        .set("metadata_options", said("metadata_options"))
        .set("block_device_mappings", mappings(&said("root_block_device"), device))
        .set("tags", said("tags"));
    let template = if said("key_name").is_null() { template } else { template.set("key_name", said("key_name")) };
    (template.build(), worker)
}

/// The disks of an instance as a template has them.
fn mappings(disks: &Value, device: Value) -> Value {
    let of = |disk: &Value| {
        let parts = disk.entries().into_iter().flatten().map(|(name, part)| (Arc::clone(name), part.clone()));
        Value::object(parts.chain([(Arc::from("device_name"), device.clone())]))
    };
    Value::list(disks.elements().into_iter().flatten().map(of).collect::<Vec<_>>())
}
