//! Databases.

use cloudtik_model::{ChangeWord, Type, Value};
use cloudtik_provider_api::{AttributeSchema, KindSchema, Need, When};

use super::{arn, choice, fixed, flag, given, ids, named, names, seconds, tags, word};

pub(super) fn kinds() -> Vec<KindSchema> {
    vec![
        KindSchema {
            attributes: vec![
                fixed("name", "Its name."),
                AttributeSchema::required("subnet_ids", Type::set(Type::String), ChangeWord::Live, "Subnets, in two zones at least."),
                word("description", "Managed by cloudtik", ChangeWord::Live, "What it is for."),
                tags(),
                arn(),
                choice("vpc_id", "Its network: that of its subnets.").or_computed(),
            ],
            ..named(names::DB_SUBNET_GROUP, "name", "Where a database may lie.")
        },
        KindSchema {
            attributes: instance(),
            expected: seconds(420, 300, 240),
            needs: &[Need::With(When { attribute: "storage_type", values: &["io1", "io2"] }, "iops")],
            ..named(names::DB_INSTANCE, "identifier", "A database.")
        },
    ]
}

fn smaller(before: &Value, after: &Value) -> Option<String> {
    let size = |of: &Value| of.get("allocated_storage").and_then(Value::as_number).cloned();
    let (before, after) = (size(before)?, size(after)?);
    (after < before).then(|| format!("write {before} or more: a disk of a database only grows"))
}

/// What a major version is: of PostgreSQL the first number, of MySQL the first two.
fn major(engine: &str, version: &str) -> String {
    let numbers = if engine == "postgres" { 1 } else { 2 };
    version.split('.').take(numbers).collect::<Vec<_>>().join(".")
}

fn another_major(before: &Value, after: &Value) -> Option<String> {
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let (engine, id) = (text(before, "engine")?, text(before, "identifier")?);
    let (from, to) = (text(before, "engine_version")?, text(after, "engine_version")?);
    let old = major(&engine, &from);
    (old != major(&engine, &to)).then(|| {
        format!(
            "write `{old}`, or raise it by hand, since nothing takes that back: `aws rds modify-db-instance --db-instance-identifier {id} \
             --engine-version {to} --allow-major-version-upgrade --apply-immediately`; once it is done, `{to}` is no change any more"
        )
    })
}

fn instance() -> Vec<AttributeSchema> {
    let (again, in_place, note) = (ChangeWord::Recreate, ChangeWord::Live, ChangeWord::None);
    vec![
        fixed("identifier", "Its name."),
        fixed("engine", "`postgres` or `mysql`."),
        AttributeSchema::optional(
            "engine_version",
            Type::String,
            in_place,
            "Its version: what it leaves open is AWS's to choose and to raise.",
        )
        .or_computed()
        .refusing(another_major),
        AttributeSchema::required("instance_class", Type::String, in_place, "The type of machine."),
        AttributeSchema::required("allocated_storage", Type::Number, in_place, "GiB; it only grows.").refusing(smaller),
        word("storage_type", "gp3", in_place, "`gp3`, `io2` …"),
        AttributeSchema::optional("iops", Type::Number, in_place, "Operations a second.").or_computed(),
        flag("storage_encrypted", true, again, "Whether it is encrypted."),
        flag("multi_az", false, in_place, "Whether a second one stands by in another zone."),
        choice("db_name", "A first database."),
        choice("username", "Who may do everything.").or_computed(),
        AttributeSchema::optional("password", Type::String, in_place, "That user's password.").sensitive(),
        AttributeSchema::optional("port", Type::Number, in_place, "Its port.").or_computed(),
        choice("db_subnet_group_name", "Where it may lie.").or_computed(),
        ids("vpc_security_group_ids", in_place, "Firewalls.").or_computed(),
        flag("publicly_accessible", false, in_place, "Whether it has a public address."),
        AttributeSchema::with_default("backup_retention_period", Type::Number, 7_u64, in_place, "Days for which back-ups are kept."),
        flag("deletion_protection", true, in_place, "Whether AWS refuses its delete."),
        flag("skip_final_snapshot", false, note, "Whether it goes without a last snapshot."),
        AttributeSchema::optional("final_snapshot_identifier", Type::String, note, "Name of the last snapshot."),
        word("on_destroy", "keep", note, "`keep` or `delete`."),
        tags(),
        arn(),
        given("address", "Its host name."),
        given("endpoint", "Its host name and port."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(engine: &str, version: &str, disk: u64) -> Value {
        Value::object([
            ("engine", Value::from(engine)),
            ("identifier", "d".into()),
            ("engine_version", version.into()),
            ("allocated_storage", disk.into()),
        ])
    }

    #[test]
    fn only_minor_versions_change_in_place() {
        let refused = |engine: &str, from: &str, to: &str| another_major(&of(engine, from, 1), &of(engine, to, 1));
        for (engine, from, to) in
            [("postgres", "16.3", "16.4"), ("postgres", "16.3", "16"), ("mysql", "8.0.35", "8.0.36"), ("mysql", "8.0", "8.0.36")]
        {
            assert_eq!(refused(engine, from, to), None, "{engine} {from} {to}");
        }
        let help = refused("postgres", "16.3", "17").unwrap();
        assert!(help.starts_with("write `16`, or") && help.contains("--engine-version 17 --allow-major-version-upgrade"), "{help}");
        assert!(refused("mysql", "8.0.35", "8.4").is_some());
    }

    #[test]
    fn disks_only_grow() {
        let refused = |from: u64, to: u64| smaller(&of("mysql", "8.4", from), &of("mysql", "8.4", to));
        assert_eq!((refused(50, 50), refused(50, 60)), (None, None));
        assert_eq!(refused(60, 50).unwrap(), "write 60 or more: a disk of a database only grows");
    }
}
