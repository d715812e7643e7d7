//! Databases.

use cloudtik_model::{ChangeWord, Type};
use cloudtik_provider_api::{AttributeSchema, KindSchema};

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
                given("vpc_id", "Its network."),
            ],
            ..named(names::DB_SUBNET_GROUP, "name", "Where a database may lie.")
        },
        KindSchema { attributes: instance(), expected: seconds(420, 300, 240), ..named(names::DB_INSTANCE, "identifier", "A database.") },
    ]
}

fn instance() -> Vec<AttributeSchema> {
    let (again, in_place, note) = (ChangeWord::Recreate, ChangeWord::Live, ChangeWord::None);
    vec![
        fixed("identifier", "Its name."),
        fixed("engine", "`postgres` or `mysql`."),
        AttributeSchema::optional("engine_version", Type::String, in_place, "Its version.").or_computed(),
        AttributeSchema::required("instance_class", Type::String, in_place, "The type of machine."),
        AttributeSchema::required("allocated_storage", Type::Number, in_place, "GiB; it only grows."),
        word("storage_type", "gp3", in_place, "`gp3`, `io1` …"),
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
