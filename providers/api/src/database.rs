//! What references see of the databases of a workspace, and those that are there already, which every provider can use.

use std::sync::Arc;

use cloudtik_model::spec::{Part, WorkspaceSpec};
use cloudtik_model::{Diagnostic, Diagnostics, Type, Value};

use crate::lowering::written;

/// What a `database` says of one that is made, and what does nothing beside `existing`.
const OF_MADE: &[&str] = &[
    "version",
    "instance_type",
    "disk_gib",
    "disk_type",
    "high_availability",
    "username",
    "password",
    "port",
    "database",
    "backup",
    "deletion_protection",
    "final_snapshot",
    "on_destroy",
];

/// What references see of a database.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// `postgres` or `mysql`.
    pub engine: Value,
    /// Its host name.
    pub address: Value,
    /// Its port.
    pub port: Value,
    /// Who may do everything in it.
    pub username: Value,
    /// That user's password.
    pub password: Value,
    /// Where those who are not told the password read it with rights of their own; null where that is nowhere.
    pub secret_ref: Value,
}

impl Database {
    /// One that is there already, as the block says.
    #[must_use]
    pub fn existing(part: &Part) -> Option<Self> {
        let existing = &part.fields.get("existing").filter(|field| !field.value.is_null())?.value;
        let field = |name: &str, ty: Type| match existing.as_deferred() {
            None => existing.get(name).cloned().unwrap_or(Value::NULL),
            Some(deferred) => Value::deferred(ty, deferred.expr.clone().attribute(name)),
        };
        let port = field("port", Type::Number);
        Some(Self {
            engine: engine(part).into(),
            address: field("address", Type::String),
            port: if port.is_null() { engine_port(engine(part)).into() } else { port },
            username: field("username", Type::String),
            password: field("password", Type::String),
            secret_ref: Value::NULL,
        })
    }

    /// The same with the place of the password.
    #[must_use]
    pub fn with_secret(self, secret_ref: Value) -> Self {
        Self { secret_ref, ..self }
    }

    /// As references see it. The password is marked, so that it is never shown, and not in the record of the workspace.
    #[must_use]
    pub fn export(self) -> Value {
        Value::object([
            ("engine", self.engine),
            ("address", self.address),
            ("port", self.port),
            ("username", self.username),
            ("password", self.password.marked(true)),
            ("secret_ref", self.secret_ref),
        ])
    }
}

/// The engine of a database, which a spec must say.
#[must_use]
pub fn engine(part: &Part) -> &str {
    part.fields.get("engine").and_then(|field| field.value.as_str()).unwrap_or_default()
}

/// Where an engine listens that is told nothing else.
#[must_use]
pub fn engine_port(engine: &str) -> u64 {
    if engine == "mysql" { 3_306 } else { 5_432 }
}

/// What a block says beside `existing` that does nothing there.
#[must_use]
pub fn no_effect_beside_existing(part: &Part) -> Diagnostics {
    let of = |name: &str| format!("`{name}` has no effect beside `existing`: that database is never changed");
    written(&part.fields, OF_MADE).map(|(name, field)| Diagnostic::warning("no-effect", of(name)).at(field.span)).collect()
}

/// The databases of a workspace of a provider that makes none: what references see of those that are there; any other is an error.
#[must_use]
pub fn existing_databases(workspace: &WorkspaceSpec) -> (Value, Diagnostics) {
    let mut found = Diagnostics::new();
    let mut exports: Vec<(Arc<str>, Value)> = Vec::new();
    for (label, part) in &workspace.database {
        let Some(database) = Database::existing(part) else {
            let title = format!("provider `{}` makes no databases", workspace.provider);
            let help = "use one that is there: `existing = { address = \"…\", username = \"…\", password = … }`";
            found.push(Diagnostic::error("no-database", title).at(part.span).of(&workspace.address).help(help));
            continue;
        };
        found.extend(no_effect_beside_existing(part));
        exports.push((Arc::clone(label), database.export()));
    }
    (Value::object(exports), found)
}

#[cfg(test)]
mod tests {
    use cloudtik_model::spec::Field;
    use cloudtik_model::{FileId, Span};

    use super::*;

    fn part(fields: &[(&str, Value)]) -> Part {
        let field = |(at, (name, value)): (usize, &(&str, Value))| {
            let at = u32::try_from(at).unwrap();
            (Arc::from(*name), Field::new(value.clone(), Span::new(FileId(0), at, at + 1)))
        };
        Part { fields: fields.iter().enumerate().map(field).collect(), ..Part::default() }
    }

    #[test]
    fn a_database_that_is_there_is_seen_as_it_is_written() {
        let there = Value::object([("address", Value::from("db.example")), ("username", "u".into()), ("password", "p".into())]);
        let written = part(&[("engine", "mysql".into()), ("existing", there), ("disk_gib", 60_u64.into())]);
        let export = Database::existing(&written).unwrap().export();
        assert_eq!(export.get("port"), Some(&3_306_u64.into()));
        assert!(export.get("password").unwrap().is_sensitive() && !export.get("address").unwrap().is_sensitive());
        let said: Vec<String> = no_effect_beside_existing(&written).iter().map(|one| one.title.clone()).collect();
        assert_eq!(said, ["`disk_gib` has no effect beside `existing`: that database is never changed"]);
        assert_eq!(Database::existing(&part(&[("engine", "mysql".into())])), None);
    }
}
