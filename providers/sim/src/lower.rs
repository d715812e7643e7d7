//! What a workspace and a cluster become on the simulated cloud.

use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, NodeSpec, WorkspaceSpec};
use cloudtik_model::{ResourceSpec, Type, Value};
use cloudtik_provider_api::{
    CLUSTER_TAG, HEAD_ROLE, Lowered, ROLE_TAG, ResourceBuilder, firewall_rules, real_name, reference, worker_name,
};

use crate::kinds::{BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, NETWORK_KIND};

/// Marks what belongs to a workspace.
const WORKSPACE_TAG: &str = "cloudtik:workspace";

/// `workspace.w.network`, `.firewall`, `.storage.<n>`.
pub(crate) fn workspace(workspace: &WorkspaceSpec) -> Lowered {
    let name = real_name(&workspace.address, &workspace.fields);
    let network_address = workspace.address.child("network");
    let firewall_address = workspace.address.child("firewall");
    let network = ResourceBuilder::part(network_address.clone(), NETWORK_KIND, workspace, &workspace.network)
        .mark(WORKSPACE_TAG, &*name)
        .set("name", Arc::clone(&name))
        .field(&workspace.network.fields, "mode")
        .field(&workspace.network.fields, "cidr")
        .field(&workspace.fields, "tags");
    let firewall = ResourceBuilder::part(firewall_address.clone(), FIREWALL_KIND, workspace, &workspace.firewall)
        .mark(WORKSPACE_TAG, &*name)
        .set("name", Arc::clone(&name))
        .set("network", reference(&network_address, "id", Type::String))
        .set("rules", firewall_rules(workspace))
        .field(&workspace.fields, "tags");
    let mut resources = vec![network.build(), firewall.build()];
    let mut storage = Vec::new();
    for (label, part) in &workspace.storage {
        let address = workspace.address.child("storage").child(Arc::clone(label));
        let bucket_name = part.fields.get("name").map(|field| field.value.clone()).filter(|value| !value.is_null());
        let bucket_name = bucket_name.unwrap_or_else(|| format!("cloudtik-{name}-{label}").into());
        let bucket = ResourceBuilder::part(address.clone(), BUCKET_KIND, workspace, part)
            .mark(WORKSPACE_TAG, &*name)
            .set("name", bucket_name.clone())
            .origin("name", &part.fields)
            .field(&workspace.fields, "tags");
        resources.push(bucket.build());
        storage.push((Arc::clone(label), Value::object([("name", bucket_name), ("uri", reference(&address, "uri", Type::String))])));
    }
    let of_network = |attribute| reference(&network_address, attribute, Type::String);
    let exports = Value::object([
        ("name", Value::from(name)),
        ("id", of_network("id")),
        ("network", Value::object([("id", of_network("id")), ("cidr", of_network("cidr"))])),
        ("firewall", Value::object([("id", reference(&firewall_address, "id", Type::String))])),
        ("storage", Value::object(storage)),
    ]);
    Lowered { resources, exports, ..Lowered::default() }
}

/// `cluster.c.head`, and a worker of each group.
pub(crate) fn cluster(cluster: &ClusterSpec, workspace: &WorkspaceSpec) -> Lowered {
    let name = real_name(&cluster.address, &cluster.fields);
    let workspace_name = real_name(&workspace.address, &workspace.fields);
    let id = format!("{workspace_name}/{name}");
    let mut exports =
        vec![("name", Value::from(Arc::clone(&name))), ("id", id.as_str().into()), ("workspace", Arc::clone(&workspace_name).into())];
    let mut resources = Vec::new();
    if let Some(head) = &cluster.head {
        let mut instance = instance(cluster, head, workspace)
            .mark(CLUSTER_TAG, id)
            .mark(ROLE_TAG, HEAD_ROLE)
            .set("name", format!("{name}-head"))
            .field(&head.fields, "publish");
        if cluster.workers_max > 0 {
            instance = instance.set("max_workers", cluster.workers_max);
        }
        resources.push(instance.build());
        let parts = ["id", "private_ip", "public_ip", "hostname", "ssh_command"];
        exports.push(("head", Value::object(parts.map(|part| (part, reference(&head.address, part, Type::String))))));
    }
    let worker = |(group, node): (&Arc<str>, &NodeSpec)| -> (Arc<str>, ResourceSpec) {
        let worker = instance(cluster, node, workspace).mark(WORKSPACE_TAG, &*workspace_name).set("name", worker_name(&name, group));
        (Arc::clone(group), worker.build())
    };
    let workers = cluster.workers.iter().map(worker).collect();
    Lowered { resources, workers, exports: Value::object(exports), ..Lowered::default() }
}

/// What the head and the workers have in common.
fn instance(cluster: &ClusterSpec, node: &NodeSpec, workspace: &WorkspaceSpec) -> ResourceBuilder {
    let instance = ResourceBuilder::new(node.address.clone(), INSTANCE_KIND, cluster.provider.clone(), node.span)
        .lifecycle(&node.lifecycle, &cluster.lifecycle)
        .depends_on(&cluster.depends_on)
        .depends_on([&workspace.address.child("firewall")])
        .set("network", reference(&workspace.address.child("network"), "id", Type::String));
    let fields = ["cpus", "memory_gib", "tags", "authorized_keys"];
    fields.into_iter().fold(instance, |instance, field| instance.field(&node.fields, field))
}
