//! What a workspace and a cluster become on the simulated cloud.

use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, WorkspaceSpec};
use cloudtik_model::{Type, Value};
use cloudtik_provider_api::{Lowered, ResourceBuilder, firewall_rules, real_name, reference};

use crate::kinds::{BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, NETWORK_KIND};
use crate::world::CLUSTER_TAG;

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

/// `cluster.c.head`.
pub(crate) fn cluster(cluster: &ClusterSpec, workspace: &WorkspaceSpec) -> Lowered {
    let name = real_name(&cluster.address, &cluster.fields);
    let workspace_name = real_name(&workspace.address, &workspace.fields);
    let id = format!("{workspace_name}/{name}");
    let mut exports = vec![("name", Value::from(Arc::clone(&name))), ("id", id.as_str().into()), ("workspace", workspace_name.into())];
    let mut resources = Vec::new();
    if let Some(head) = &cluster.head {
        let instance = ResourceBuilder::new(head.address.clone(), INSTANCE_KIND, cluster.provider.clone(), head.span)
            .lifecycle(&head.lifecycle, &cluster.lifecycle)
            .depends_on(&cluster.depends_on)
            .depends_on([&workspace.address.child("firewall")])
            .mark(CLUSTER_TAG, id)
            .set("name", format!("{name}-head"))
            .set("network", reference(&workspace.address.child("network"), "id", Type::String));
        let fields = ["cpus", "memory_gib", "tags", "publish", "authorized_keys"];
        resources.push(fields.into_iter().fold(instance, |instance, field| instance.field(&head.fields, field)).build());
        let parts = ["id", "private_ip", "public_ip", "hostname", "ssh_command"];
        exports.push(("head", Value::object(parts.map(|part| (part, reference(&head.address, part, Type::String))))));
    }
    Lowered { resources, exports: Value::object(exports), ..Lowered::default() }
}
