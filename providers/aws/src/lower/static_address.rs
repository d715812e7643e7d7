//! `public_ip = "static"`: a head whose public address outlives it.

use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, NodeSpec, WorkspaceUse};
use cloudtik_model::{Address, Diagnostic, Diagnostics, Expr, ExprKind, ResourceSpec, TemplatePart, Type, Value};
use cloudtik_provider_api::{CLUSTER_TAG, ResourceBuilder, WORKSPACE_TAG, reference};

use super::maker::{id_of, with_tags};
use super::place;
use crate::names::{CLUSTER_NAME_TAG, WORKSPACE_NAME_TAG};
use crate::network_spec::Mode;
use crate::{kinds, names};

/// `cluster.c.eip`, and `cluster.c.eip_association`, which gives it to the head.
pub(super) struct StaticAddress<'a> {
    cluster: &'a ClusterSpec,
    head: &'a NodeSpec,
    workspace: &'a WorkspaceUse,
    /// The cluster's name in the world.
    name: &'a str,
    address: Address,
    /// Until it is there, the head has an address that it loses.
    pub(super) association: Address,
}

impl<'a> StaticAddress<'a> {
    /// The address that the spec asks for, where there can be one. Of a workspace that nobody has looked at yet it is not known whether there can.
    pub(super) fn of(
        cluster: &'a ClusterSpec,
        head: &'a NodeSpec,
        workspace: &'a WorkspaceUse,
        name: &'a str,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        head.fields.get("public_ip").filter(|field| field.value.as_str() == Some("static"))?;
        let mode = workspace.exports.get("mode").and_then(Value::as_str);
        if let Some(mode) = mode.filter(|mode| *mode != Mode::PublicHead.word()) {
            let title = format!("in mode `{mode}` heads have no public address, so none of them can be static");
            let at = place(&head.fields, "public_ip", head.span);
            let help = "leave out `public_ip`, or write `mode = \"public-head\"` in `network` of the workspace";
            found.push(Diagnostic::error("aws-public-ip", title).at(at).of(&head.address).help(help));
            return None;
        }
        if cluster.lifecycle.create_before_destroy {
            let title =
                "an address that stays cannot be at the former head and at the new one, and `create_before_destroy` has both at once";
            let at = place(&head.fields, "public_ip", head.span);
            let help = "take `create_before_destroy` out of the cluster, or write `public_ip = \"auto\"`";
            found.push(Diagnostic::error("aws-public-ip", title).at(at).of(&head.address).help(help));
            return None;
        }
        let (address, association) = (cluster.address.child("eip"), cluster.address.child("eip_association"));
        Some(Self { cluster, head, workspace, name, address, association })
    }

    /// Both, with the lifecycle of the cluster: that of the head is about the machine.
    pub(super) fn resources(&self) -> [ResourceSpec; 2] {
        let span = place(&self.head.fields, "public_ip", self.head.span);
        let start = |address: &Address, kind: &'static str| {
            ResourceBuilder::new(address.clone(), kind, self.cluster.provider.clone(), span)
                .lifecycle(&self.cluster.lifecycle, &self.cluster.lifecycle)
                .depends_on(&self.cluster.depends_on)
                .mark(WORKSPACE_TAG, &*self.workspace.name)
                .mark(CLUSTER_TAG, format!("{}/{}", self.workspace.name, self.name))
        };
        let own = [
            ("Name", Value::from(names::head_address(self.name))),
            (CLUSTER_NAME_TAG, self.name.into()),
            (WORKSPACE_NAME_TAG, Value::from(Arc::clone(&self.workspace.name))),
        ];
        let written = self.cluster.fields.get("tags").map_or(Value::NULL, |field| field.value.clone());
        let address = start(&self.address, kinds::EIP)
            .set("domain", "vpc")
            .set("tags", with_tags(&written, own))
            .origin("tags", &self.cluster.fields);
        let association = start(&self.association, kinds::EIP_ASSOCIATION)
            .set("allocation_id", reference(&self.address, "allocation_id", Type::String))
            .set("instance_id", id_of(&self.head.address));
        [address.build(), association.build()]
    }

    /// References to the head see the address that stays, which is known before the head.
    pub(super) fn tell(&self, exports: &mut [(&'static str, Value)], user: &Value) {
        let address = reference(&self.address, "public_ip", Type::String);
        let Some((_, head)) = exports.iter_mut().find(|(name, _)| *name == "head") else { return };
        let own = [("ssh_command", ssh_command(user, &address)), ("public_ip", address)];
        let own = own.map(|(name, value)| (Arc::from(name), value));
        let entries = head.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone()));
        *head = Value::object(entries.chain(own));
    }
}

fn ssh_command(user: &Value, address: &Value) -> Value {
    let part = |value: &Value| match (value.as_str(), value.as_deferred()) {
        (Some(text), _) => TemplatePart::Text(text.into()),
        (None, Some(deferred)) => TemplatePart::Value(deferred.expr.clone()),
        (None, None) => TemplatePart::Text("".into()),
    };
    let text = |text: &str| TemplatePart::Text(text.into());
    let parts = vec![text("ssh "), part(user), text("@"), part(address)];
    Value::deferred(Type::String, Expr::from(ExprKind::Template(parts)))
}
