//! What a workspace and a cluster become on the simulated cloud.

use std::sync::Arc;

use cloudtik_model::Value;
use cloudtik_model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik_provider_api::{
    ClusterStart, ExistingStore, Lowered, WorkspaceStart, existing_databases, no_effect, no_effect_of_cloud, no_public_addresses,
};

use crate::kinds::{BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, NETWORK_KIND};

/// What clouds of machines have.
const MACHINE: &[&str] =
    &["instance_type", "instance_types", "market", "max_price", "image", "disk_gib", "disk_type", "zones", "user_data", "gpus", "gpu_type"];

/// `workspace.w.network`, `.firewall`, `.storage.<n>`.
pub(crate) fn workspace(workspace: &WorkspaceSpec) -> Lowered {
    let start = WorkspaceStart::new(workspace, NETWORK_KIND, FIREWALL_KIND);
    let network = start.network.clone().field(&workspace.network.fields, "cidr");
    let mut resources = vec![network.build(), start.firewall.clone().build()];
    let mut storage = Vec::new();
    for (label, part) in &workspace.storage {
        if let Some(there) = ExistingStore::of(part) {
            storage.push((Arc::clone(label), there.export([])));
            continue;
        }
        let (bucket, export) = start.bucket(label, part, BUCKET_KIND);
        resources.push(bucket.build());
        storage.push((Arc::clone(label), export));
    }
    let (database, mut diagnostics) = existing_databases(workspace);
    diagnostics.extend(no_effect_of_cloud(workspace));
    let exports = Value::object(start.exports.into_iter().chain([("storage", Value::object(storage)), ("database", database)]));
    Lowered { resources, exports, gates: start.gates, diagnostics, ..Lowered::default() }
}

/// `cluster.c.head`, `cluster.c.firewall`, and a worker of each group.
pub(crate) fn cluster(cluster: &ClusterSpec, workspace: &WorkspaceUse) -> Lowered {
    let start = ClusterStart::new(cluster, workspace, INSTANCE_KIND, &["cpus", "memory_gib", "tags", "authorized_keys"])
        .in_network_of(workspace)
        .with_firewall(cluster, workspace, FIREWALL_KIND)
        .with_of_head(cluster, "publish");
    let diagnostics = cluster.head.iter().chain(cluster.workers.values()).flat_map(|node| {
        // A spec of another provider must work here: what its machines are like is not simulated.
        no_effect(&node.address, &cluster.provider, &node.fields, MACHINE)
    });
    let of_head = cluster.head.iter().flat_map(|head| no_public_addresses(head, &cluster.provider));
    let diagnostics = diagnostics.chain(of_head).collect();
    let resources = start.firewall.into_iter().chain(start.head).map(cloudtik_provider_api::ResourceBuilder::build).collect();
    let workers = ClusterStart::templates(start.workers);
    Lowered { resources, workers, exports: Value::object(start.exports), diagnostics, ..Lowered::default() }
}
