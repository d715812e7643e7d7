//! The two kinds that stand for what the controller on a head does: `head_controller` and `worker_group`. The spec has no block for them:
//! they are part of every cluster that has workers.

use std::collections::BTreeMap;

use cloudtik_model::{ChangeWord, Type};

use crate::{AttributeSchema, Expected, Idempotency, KindSchema, ProviderSchema, Shown, Visibility};

/// The provider type of both kinds. A configuration of it is called `controller.<provider>`, after the one that makes the nodes.
pub const CONTROLLER_PROVIDER: &str = "controller";

/// The controller's configuration on a head. Its id is `<uid>#<epoch>`: the cluster's uid, and the epoch in which workers are launched.
pub const HEAD_CONTROLLER_KIND: &str = "head_controller";

/// A group of workers. Its id is that of the controller and `/<group>`.
pub const WORKER_GROUP_KIND: &str = "worker_group";

/// A push and the read back.
const CONTROLLER: Expected = Expected { create_ms: 500, update_ms: 300, delete_ms: 2_000 };

/// A launch, and the steps of a small module.
const GROUP: Expected = Expected { create_ms: 8_000, update_ms: 5_000, delete_ms: 3_000 };

/// What they look like.
#[must_use]
pub fn controller_schema() -> ProviderSchema {
    let (live, steps, recreate, none) = (ChangeWord::Live, ChangeWord::Steps, ChangeWord::Recreate, ChangeWord::None);
    let head_controller = KindSchema {
        attributes: vec![
            AttributeSchema::required("cluster", Type::String, recreate, "Address of the cluster."),
            AttributeSchema::required("kind", Type::String, recreate, "Kind of the head and of the workers at their provider.")
                .shown(Shown::Changes),
            AttributeSchema::required("instance", Type::String, live, "The provider's id of the head.").shown(Shown::Changes),
            AttributeSchema::required("ssh", Type::Any, none, "How to log in to the head.").shown(Shown::Changes),
            AttributeSchema::required("host_key", Type::String, none, "The head's host key.").shown(Shown::Changes),
            AttributeSchema::required("digest", Type::String, live, "Digest of the configuration."),
            AttributeSchema::required("document", Type::String, live, "The configuration as JSON.").shown(Shown::Never),
            AttributeSchema::optional("references", Type::Any, live, "What the configuration refers to, by address.").shown(Shown::Changes),
            AttributeSchema::optional("secrets", Type::map(Type::String), live, "The secrets that the configuration names.")
                .sensitive()
                .shown(Shown::Changes),
            AttributeSchema::optional("steps", Type::Any, steps, "What the controller does on the head.").shown(Shown::Changes),
            AttributeSchema::optional("services", Type::Any, live, "What nodes offer to others.").shown(Shown::Changes),
            AttributeSchema::optional("scaling", Type::Any, live, "The scaling policy; carried and not in effect in this version."),
        ],
        expected: CONTROLLER,
        doc: "What the controller on a head is told.",
        ..kind(HEAD_CONTROLLER_KIND)
    };
    let worker_group = KindSchema {
        attributes: vec![
            AttributeSchema::required("controller", Type::String, none, "Id of the head's controller.").shown(Shown::Changes),
            AttributeSchema::required("group", Type::String, live, "Its label."),
            AttributeSchema::required("min", Type::Number, live, "So many workers are always up."),
            AttributeSchema::required("max", Type::Number, live, "Never more."),
            AttributeSchema::required("node", Type::Any, ChangeWord::Rolling, "What a worker is made of."),
            AttributeSchema::optional("steps", Type::Any, steps, "What is done on each worker.").shown(Shown::Changes),
            AttributeSchema::required("template", Type::String, none, "Digest of what workers are made from and of what is done on them.")
                .shown(Shown::Changes),
            AttributeSchema::required("ready_timeout_secs", Type::Number, none, "How long a new worker may take.").shown(Shown::Changes),
        ],
        expected: GROUP,
        additive: &[],
        shows: Visibility::AT_ONCE,
        rolls: true,
        doc: "A group of workers, kept by the controller of the head.",
        ..kind(WORKER_GROUP_KIND)
    };
    let kinds = [head_controller, worker_group];
    ProviderSchema {
        version: 1,
        config: vec![AttributeSchema::required("provider", Type::String, recreate, "The provider configuration that makes the nodes.")],
        kinds: kinds.into_iter().map(|kind| (kind.name, kind)).collect::<BTreeMap<_, _>>(),
    }
}

/// To push the same configuration again, or to wait once more for the same workers, is harmless.
const fn kind(name: &'static str) -> KindSchema {
    KindSchema {
        name,
        version: 1,
        class: Idempotency::Natural,
        attributes: Vec::new(),
        expected: CONTROLLER,
        is_node: false,
        secrets: &[],
        unique_name: None,
        concurrency_max: u32::MAX,
        derive: None,
        choices: &[],
        together: None,
        names: None,
        inside: None,
        in_resource: false,
        additive: &[],
        shows: Visibility::AT_ONCE,
        needs: &[],
        rolls: false,
        doc: "",
    }
}
