//! What every kind of node tells of itself once it is there, whatever the cloud is.

use cloudtik_model::Type;

use crate::AttributeSchema;

/// The computed attributes `ssh`, which is how steps are run ([`Instance`](crate::Instance) reads it), and `node`, which late names are
/// filled with.
#[must_use]
pub fn node_attributes() -> [AttributeSchema; 2] {
    let ssh = Type::object([
        ("user", Type::String),
        ("port", Type::Number),
        ("run_step", Type::list(Type::String)),
        ("artifacts", Type::String),
        ("bring_to", Type::String),
    ]);
    let node = Type::object([
        ("id", Type::String),
        ("sequence", Type::Number),
        ("address", Type::String),
        ("names", Type::list(Type::String)),
        ("dirs", Type::map(Type::String)),
        ("cores", Type::Number),
        ("memory", Type::Number),
        ("zone", Type::String),
    ]);
    [
        AttributeSchema::computed("ssh", ssh, "How steps are run."),
        AttributeSchema::computed("node", node, "What late names are filled with."),
    ]
}
