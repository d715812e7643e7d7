//! Databases of a workspace: an instance of RDS in private subnets, behind a firewall of its own that lets the workspace's nodes in. Its password
//! is kept as a parameter of SSM, encrypted: those who may read it there need not be told it.

use std::sync::Arc;

use cloudtik_model::spec::Part;
use cloudtik_model::{Address, Diagnostic, Diagnostics, Type, Value};
use cloudtik_provider_api::{Database, Facts, engine, engine_port, fact, no_effect_beside_existing, reference};

use super::layout::Layout;
use super::maker::{Maker, id_of};
use super::place;
use crate::facts::version_key;
use crate::{kinds, names};

/// Zones that a database must be able to lie in, as AWS has it: another one is where it goes when its own fails.
const ZONES_MIN: usize = 2;

/// Days for which AWS keeps back-ups at most.
const BACKUP_DAYS_MAX: u64 = 35;

/// Characters of the name of a database.
const NAME_CHARS_MAX: usize = 63;

/// Characters of a password: MySQL takes no more.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=41;

/// Puts the databases in; gives what references see of each, and the names of the parameters with their passwords.
pub(super) fn databases(
    maker: &mut Maker<'_>,
    layout: &Layout,
    config: &Value,
    facts: &Facts,
    found: &mut Diagnostics,
) -> (Value, Vec<String>) {
    let (mut exports, mut passwords, mut made) = (Vec::new(), Vec::new(), false);
    for (label, part) in &maker.workspace.database {
        let parameter = names::database_password(&maker.name, label);
        let secret = Value::from(format!("ssm:{parameter}"));
        let database = if let Some(there) = Database::existing(part) {
            found.extend(no_effect_beside_existing(part));
            password(maker, label, part, Some(there.password.clone()));
            there.with_secret(secret)
        } else {
            check(maker, layout, label, part, found);
            if !std::mem::replace(&mut made, true) {
                subnet_group(maker, layout);
            }
            firewall(maker, layout, label, part);
            password(maker, label, part, written(part, "password"));
            let key = version_key(config, maker.workspace, label, part);
            instance(maker, label, part, fact(facts, &key, Type::String));
            let at = |name: &str, ty: Type| reference(&database_at(maker, label), name, ty);
            Database {
                engine: engine(part).into(),
                address: at("address", Type::String),
                port: port(part),
                username: at("username", Type::String),
                password: reference(&password_at(maker, label), "value", Type::String),
                secret_ref: secret,
            }
        };
        exports.push((Arc::clone(label), database.export()));
        passwords.push(parameter);
    }
    (Value::object(exports), passwords)
}

fn database_at(maker: &Maker<'_>, label: &str) -> Address {
    maker.at("database").child(label)
}

fn password_at(maker: &Maker<'_>, label: &str) -> Address {
    maker.at("database_password").child(label)
}

fn firewall_at(maker: &Maker<'_>, label: &str) -> Address {
    maker.at("database_firewall").child(label)
}

fn written(part: &Part, name: &str) -> Option<Value> {
    part.fields.get(name).map(|field| field.value.clone()).filter(|value| !value.is_null())
}

fn port(part: &Part) -> Value {
    written(part, "port").unwrap_or_else(|| engine_port(engine(part)).into())
}

/// One for all databases: where they may lie is the same.
fn subnet_group(maker: &mut Maker<'_>, layout: &Layout) {
    let group = maker
        .tagged(&maker.at("db_subnet_group"), kinds::DB_SUBNET_GROUP, &maker.workspace.network, &[])
        .set("name", names::database_subnets(&maker.name))
        .set("description", format!("Private subnets of the workspace {}", maker.name))
        .set("subnet_ids", Value::set(layout.private.iter().cloned()))
        // It is of one network for ever: in another one it is another group.
        .set("vpc_id", layout.network.clone());
    maker.push(group);
}

fn firewall(maker: &mut Maker<'_>, layout: &Layout, label: &str, part: &Part) {
    let address = firewall_at(maker, label);
    let name = names::database(&maker.name, label);
    let part = Part { span: part.span, ..Part::default() };
    let group = maker
        .tagged(&address, kinds::SECURITY_GROUP, &part, &[("Name", &name)])
        .set("name", &*name)
        .set("description", format!("Database {label} of the workspace {}", maker.name))
        .set("vpc_id", layout.network.clone());
    maker.push(group);
    let port = maker.workspace.database.get(label).map_or(Value::NULL, port);
    let rule = maker
        .tagged(&maker.at("database_rule").child(label), kinds::INGRESS_RULE, &part, &[])
        .set("security_group_id", id_of(&address))
        .set("ip_protocol", "tcp")
        .set("from_port", port.clone())
        .set("to_port", port)
        .set("referenced_security_group_id", id_of(&maker.at("firewall")))
        .set("description", "Nodes of the workspace");
    maker.push(rule);
}

fn password(maker: &mut Maker<'_>, label: &str, part: &Part, password: Option<Value>) {
    let of = Part { span: part.span, ..Part::default() };
    let kept = maker
        .tagged(&password_at(maker, label), kinds::SSM_PARAMETER, &of, &[])
        .set("name", names::database_password(&maker.name, label))
        .set("type", "SecureString")
        .set("description", format!("Password of the database {label} of the workspace {}", maker.name));
    maker.push(match password {
        Some(password) => kept.set("value", password.marked(true)).origin("value", &part.fields),
        None => kept,
    });
}

fn instance(maker: &mut Maker<'_>, label: &str, part: &Part, newest: Value) {
    let fields = &part.fields;
    let given = |name: &str| written(part, name).unwrap_or(Value::NULL);
    let days = given("backup").as_str().and_then(|text| text.strip_suffix('d')?.parse::<u64>().ok());
    let skip = given("final_snapshot").as_bool() == Some(false);
    let rename = [
        ("engine", "engine"),
        ("instance_type", "instance_class"),
        ("disk_gib", "allocated_storage"),
        ("disk_type", "storage_type"),
        ("high_availability", "multi_az"),
        ("username", "username"),
        ("database", "db_name"),
        ("deletion_protection", "deletion_protection"),
        ("on_destroy", "on_destroy"),
    ];
    let start = maker
        .tagged(&database_at(maker, label), kinds::DB_INSTANCE, part, &[])
        .set("identifier", names::database(&maker.name, label))
        .set("engine_version", written(part, "version").unwrap_or(newest))
        .set("port", port(part))
        .set("password", reference(&password_at(maker, label), "value", Type::String).marked(true))
        // Its id is known when it is there: a group that is made anew takes the database along.
        .set("db_subnet_group_name", id_of(&maker.at("db_subnet_group")))
        .set("vpc_security_group_ids", Value::set([id_of(&firewall_at(maker, label))]))
        .set("storage_encrypted", true)
        .set("publicly_accessible", false)
        .set("backup_retention_period", days.map_or(Value::NULL, Value::from))
        .set("skip_final_snapshot", skip);
    let built = rename.into_iter().fold(start, |built, (from, to)| match written(part, from) {
        Some(value) => built.set(to, value).origin_of(to, fields, from),
        None => built,
    });
    let places = [("version", "engine_version"), ("port", "port"), ("password", "password"), ("backup", "backup_retention_period")];
    maker.push(places.into_iter().fold(built, |built, (from, to)| built.origin_of(to, fields, from)));
}

/// What AWS would refuse, some of it when half of the plan is done.
fn check(maker: &Maker<'_>, layout: &Layout, label: &str, part: &Part, found: &mut Diagnostics) {
    let mut wrong = |code: &'static str, at: &str, title: String, help: &str| {
        let place = place(&part.fields, at, part.span);
        found.push(Diagnostic::error(code, title).at(place).of(&database_at(maker, label)).help(help));
    };
    if layout.private.len() < ZONES_MIN {
        let (has, help) = if layout.makes_subnets() {
            ("one zone", "write `zones = 2` in `network`")
        } else {
            ("one private subnet", "name one in another zone: `subnets = { private = [\"subnet-…\", \"subnet-…\"] }`")
        };
        let title = format!("a database needs private subnets in {ZONES_MIN} zones, and the workspace has {has}");
        wrong("aws-database-zones", "", title, help);
    }
    let name = names::database(&maker.name, label);
    if name.len() > NAME_CHARS_MAX || name.contains("--") || name.ends_with('-') {
        let title = format!("`{name}` is no name of a database");
        wrong("aws-database-name", "", title, "give the database or the workspace a shorter name, with single `-` in it");
    }
    let days = written(part, "backup").and_then(|text| text.as_str()?.strip_suffix('d')?.parse::<u64>().ok());
    if let Some(days) = days.filter(|days| *days > BACKUP_DAYS_MAX) {
        let title = format!("AWS keeps back-ups for {BACKUP_DAYS_MAX} days at most, and not for {days}");
        wrong("aws-database-backup", "backup", title, "write fewer days; `0d` keeps none");
    }
    if let Some(password) = written(part, "password").and_then(|password| password.as_str().map(str::to_owned)) {
        let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '@' | '"');
        if !PASSWORD_CHARS.contains(&password.chars().count()) || !password.chars().all(fits) {
            let title = "AWS takes no such password".to_owned();
            let help = "a password has 8 to 41 printable characters without spaces, `/`, `@` and `\"`; without `password` one is generated";
            wrong("aws-database-password", "password", title, help);
        }
    }
}
