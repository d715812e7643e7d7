//! `aws_db_instance`

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_rds::types::DbInstance as Answered;
use cloudtik_aws::{kinds, marks};
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::made::unfinished;
use super::rds;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::each::{each, there};
use crate::kind::{Kind, Query, gone};
use crate::tags;
use crate::wait::{self, Seen};

/// How long a database may take until it can be used. Ten minutes are usual, and twice that with a second one in another zone.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(3_600);

/// How long a change may take: another type of machine restarts it, and a larger disk is filled first.
const CHANGED_WITHIN: Duration = Duration::from_secs(3_600);

/// How long one may take to go: the last snapshot takes as long as the disk is large.
const GONE_WITHIN: Duration = Duration::from_secs(7_200);

/// Who may do everything where nothing is said.
const USERNAME: &str = "cloudtik";

/// What only cloudtik knows of a database is kept as marks: a delete has nothing but its id.
const SKIP_SNAPSHOT_TAG: &str = "cloudtik:skip_final_snapshot";
const SNAPSHOT_TAG: &str = "cloudtik:final_snapshot_identifier";
const ON_DESTROY_TAG: &str = "cloudtik:on_destroy";
/// The version as the spec writes it: `16`, where RDS answers `16.4`.
const VERSION_TAG: &str = "cloudtik:engine_version";

/// The attributes that are kept so.
const KEPT: [(&str, &str); 4] = [
    ("skip_final_snapshot", SKIP_SNAPSHOT_TAG),
    ("final_snapshot_identifier", SNAPSHOT_TAG),
    ("on_destroy", ON_DESTROY_TAG),
    ("engine_version", VERSION_TAG),
];

/// States of a database from which it comes to be used by itself.
const ON_ITS_WAY: [&str; 15] = [
    "creating",
    "backing-up",
    "modifying",
    "rebooting",
    "starting",
    "upgrading",
    "maintenance",
    "renaming",
    "resetting-master-credentials",
    "storage-optimization",
    "configuring-enhanced-monitoring",
    "configuring-iam-database-auth",
    "configuring-log-exports",
    "converting-to-vpc",
    "moving-to-vpc",
];

pub(crate) struct DbInstance;

impl Kind for DbInstance {
    const NAME: &'static str = kinds::DB_INSTANCE;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let name = given.text("identifier")?;
        let mut all = tags::of_create(request);
        all.extend(kept(given));
        let password = given.owned("password");
        let groups = Some(given.texts("vpc_security_group_ids")).filter(|groups| !groups.is_empty());
        let send = aws
            .rds
            .create_db_instance()
            .db_instance_identifier(name)
            .set_engine(given.owned("engine"))
            .set_engine_version(given.owned("engine_version"))
            .set_db_instance_class(given.owned("instance_class"))
            .set_allocated_storage(given.int("allocated_storage"))
            .set_storage_type(given.owned("storage_type"))
            .set_iops(given.int("iops"))
            .set_storage_encrypted(given.flag("storage_encrypted"))
            .set_multi_az(given.flag("multi_az"))
            .set_db_name(given.owned("db_name"))
            .master_username(given.maybe_text("username").unwrap_or(USERNAME))
            // Without one AWS makes it, and keeps it as a secret.
            .set_manage_master_user_password(password.is_none().then_some(true))
            .set_master_user_password(password)
            .set_port(given.int("port"))
            .set_db_subnet_group_name(given.owned("db_subnet_group_name"))
            .set_vpc_security_group_ids(groups)
            .set_publicly_accessible(given.flag("publicly_accessible"))
            .set_backup_retention_period(given.int("backup_retention_period"))
            .set_deletion_protection(given.flag("deletion_protection"))
            .copy_tags_to_snapshot(true)
            .set_tags(Some(rds::written(&all)))
            .send();
        aws.write("rds:CreateDBInstance", send).await?;
        available(aws, name, AVAILABLE_WITHIN).await.map(|found| found.object).map_err(unfinished)
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let databases: Vec<Answered> = match query {
            Query::Ids(ids) => each(ids.iter(), |name| one(aws, name)).await?.into_iter().flatten().collect(),
            Query::Name(name) => one(aws, name).await?.into_iter().collect(),
            Query::Tag(..) => all(aws).await?,
        };
        let found = databases.iter().filter(|database| database.db_instance_status() != Some("deleting")).map(said);
        Ok(found.filter(|found| query.matches(found, &found.object.id)).collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let given = Given(&request.attributes);
        let changed = |name: &str| request.changed.contains(name);
        let own = if KEPT.iter().any(|(name, _)| changed(name)) { kept(given) } else { BTreeMap::new() };
        rds::retag(aws, Given(&request.before).text("arn")?, request, own).await?;
        // It has that version already, and only says it shorter or longer.
        let is_same = Given(&request.before).maybe_text("engine_version").zip(given.maybe_text("engine_version"));
        let is_same = is_same.is_some_and(|(is, asked)| version_said(is, Some(asked)) == asked);
        let is_said = |name: &str| name == "tags" || is_only_kept(name) || name == "engine_version" && is_same;
        if request.changed.iter().all(|name| is_said(name)) {
            return Ok(());
        }
        let text = |name: &'static str| given.owned(name).filter(|_| changed(name));
        let number = |name: &'static str| given.int(name).filter(|_| changed(name));
        let flag = |name: &'static str| given.flag(name).filter(|_| changed(name));
        let groups = Some(given.texts("vpc_security_group_ids")).filter(|_| changed("vpc_security_group_ids"));
        // A type that is paid by them is only changed together with them.
        let iops = given.int("iops").filter(|_| changed("iops") || changed("storage_type"));
        let send = aws
            .rds
            .modify_db_instance()
            .db_instance_identifier(&request.id)
            // Otherwise changes wait for the night in which the database is maintained.
            .apply_immediately(true)
            .set_engine_version(text("engine_version").filter(|_| !is_same))
            .set_db_instance_class(text("instance_class"))
            .set_allocated_storage(number("allocated_storage"))
            .set_storage_type(text("storage_type"))
            .set_iops(iops)
            .set_multi_az(flag("multi_az"))
            .set_master_user_password(text("password"))
            .set_db_port_number(number("port"))
            .set_vpc_security_group_ids(groups)
            .set_publicly_accessible(flag("publicly_accessible"))
            .set_backup_retention_period(number("backup_retention_period"))
            .set_deletion_protection(flag("deletion_protection"));
        aws.write("rds:ModifyDBInstance", send.send()).await?;
        available(aws, &request.id, CHANGED_WITHIN).await.map(drop)
    }

    /// Its marks say whether it leaves a last snapshot.
    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let database = one(aws, id).await?.ok_or_else(|| gone(id))?;
        if database.db_instance_status() != Some("deleting") {
            let (marks, _) = rds::parted(database.tag_list());
            let skip = marks.get(SKIP_SNAPSHOT_TAG).is_some_and(|word| word == "true");
            let named = marks.get(SNAPSHOT_TAG).filter(|name| !name.is_empty());
            let snapshot = (!skip).then(|| named.cloned().unwrap_or_else(|| snapshot_name(&database)));
            let send = aws.rds.delete_db_instance().db_instance_identifier(id).skip_final_snapshot(skip);
            let sent = aws.write("rds:DeleteDBInstance", send.set_final_db_snapshot_identifier(snapshot).send()).await;
            sent.map_err(|error| with_help(error, &database))?;
        }
        let ask = || async {
            let database = one(aws, id).await?;
            Ok(database.map_or(Seen::Done(()), |database| Seen::NotYet(status(&database).to_owned())))
        };
        wait::until(id, GONE_WITHIN, ask).await
    }

    /// What protects it is for all others.
    async fn delete_with_data(aws: &Aws, id: &str) -> Result<(), CallError> {
        unprotected(aws, id).await?;
        Self::delete(aws, id).await
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        available(aws, &found.object.id, AVAILABLE_WITHIN).await
    }
}

/// Takes the protection off, where there is one.
pub(crate) async fn unprotected(aws: &Aws, id: &str) -> Result<(), CallError> {
    let database = one(aws, id).await?.ok_or_else(|| gone(id))?;
    if database.deletion_protection() != Some(true) || database.db_instance_status() == Some("deleting") {
        return Ok(());
    }
    let send = aws.rds.modify_db_instance().db_instance_identifier(id).deletion_protection(false).apply_immediately(true);
    aws.write("rds:ModifyDBInstance", send.send()).await?;
    let ask = || async {
        let is_off = one(aws, id).await?.is_none_or(|database| database.deletion_protection() != Some(true));
        Ok(if is_off { Seen::Done(()) } else { Seen::NotYet("protected".to_owned()) })
    };
    wait::until(id, CHANGED_WITHIN, ask).await?;
    available(aws, id, CHANGED_WITHIN).await.map(drop)
}

/// Whether nothing but a mark says it.
fn is_only_kept(name: &str) -> bool {
    KEPT.iter().any(|(kept, tag)| *kept == name && *tag != VERSION_TAG)
}

/// What is kept as marks, encoded. A value that is not given is an empty mark, so that an update takes it back.
fn kept(given: Given<'_>) -> BTreeMap<String, String> {
    let text = |name: &str| given.flag(name).map(|flag| flag.to_string()).or_else(|| given.owned(name)).unwrap_or_default();
    KEPT.iter().map(|(name, tag)| ((*tag).to_owned(), marks::encode(&text(name)))).collect()
}

/// A name that no snapshot of an earlier database of this name has.
fn snapshot_name(database: &Answered) -> String {
    let name = database.db_instance_identifier().unwrap_or_default();
    let own = database.dbi_resource_id().unwrap_or_default().trim_start_matches("db-").to_ascii_lowercase();
    format!("{name}-final-{own}").trim_end_matches('-').to_owned()
}

fn with_help(error: CallError, database: &Answered) -> CallError {
    if database.deletion_protection() == Some(true) {
        return error.help("give its data up with `--delete-data`, or write `deletion_protection = false` and apply before");
    }
    if error.code.starts_with("DBSnapshotAlreadyExists") {
        return error.help("write another `final_snapshot_identifier` and apply, then destroy");
    }
    error
}

async fn one(aws: &Aws, name: &str) -> Result<Option<Answered>, CallError> {
    let ask = || aws.rds.describe_db_instances().db_instance_identifier(name).send();
    let answer = there(aws.read("rds:DescribeDBInstances", ask).await)?;
    Ok(answer.and_then(|answer| answer.db_instances?.into_iter().next()))
}

async fn all(aws: &Aws) -> Result<Vec<Answered>, CallError> {
    let pages = || aws.rds.describe_db_instances().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    aws.read("rds:DescribeDBInstances", pages).await
}

/// Waits until a database can be used and no change is on its way.
async fn available(aws: &Aws, name: &str, limit: Duration) -> Result<Found, CallError> {
    let ask = || async {
        let Some(database) = one(aws, name).await? else { return Ok(Seen::NotYet("not to be seen".to_owned())) };
        let status = status(&database);
        if status == "available" && has_nothing_pending(&database) {
            return Ok(Seen::Done(said(&database)));
        }
        if status == "available" || ON_ITS_WAY.contains(&status) {
            return Ok(Seen::NotYet(status.to_owned()));
        }
        let text = format!("rds:DescribeDBInstances: {name} is `{status}`");
        Err(CallError::new(ErrorClass::Permanent, status, text).help("look at the events of the database in the console of RDS"))
    };
    wait::until(name, limit, ask).await
}

fn status(database: &Answered) -> &str {
    database.db_instance_status().unwrap_or("creating")
}

fn has_nothing_pending(database: &Answered) -> bool {
    database.pending_modified_values().is_none_or(|pending| {
        pending.db_instance_class().is_none()
            && pending.allocated_storage().is_none()
            && pending.master_user_password().is_none()
            && pending.port().is_none()
            && pending.backup_retention_period().is_none()
            && pending.multi_az().is_none()
            && pending.engine_version().is_none()
            && pending.storage_type().is_none()
            && pending.iops().is_none()
    })
}

fn said(database: &Answered) -> Found {
    let (marks, own) = rds::parted(database.tag_list());
    let mark = |name: &str| marks.get(name).map(String::as_str).filter(|word| !word.is_empty());
    let groups: BTreeSet<String> = database.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id.clone()).collect();
    let endpoint = database.endpoint();
    let (address, port) = (endpoint.and_then(|at| at.address()), endpoint.and_then(|at| at.port()));
    let object = Said::of(kinds::DB_INSTANCE)
        .untold(&["password"])
        .set("identifier", database.db_instance_identifier())
        .set("engine", database.engine())
        .set("engine_version", database.engine_version().map(|version| version_said(version, mark(VERSION_TAG))))
        .set("instance_class", database.db_instance_class())
        .set("allocated_storage", database.allocated_storage())
        .set("storage_type", database.storage_type())
        .set("iops", database.iops())
        .set("storage_encrypted", database.storage_encrypted().unwrap_or_default())
        .set("multi_az", database.multi_az().unwrap_or_default())
        .set("db_name", database.db_name().filter(|name| !name.is_empty()))
        .set("username", database.master_username())
        .set("port", port)
        .set("db_subnet_group_name", database.db_subnet_group().and_then(|group| group.db_subnet_group_name()))
        .set("vpc_security_group_ids", groups)
        .set("publicly_accessible", database.publicly_accessible().unwrap_or_default())
        .set("backup_retention_period", database.backup_retention_period())
        .set("deletion_protection", database.deletion_protection().unwrap_or_default())
        .set("skip_final_snapshot", mark(SKIP_SNAPSHOT_TAG) == Some("true"))
        .set("final_snapshot_identifier", mark(SNAPSHOT_TAG))
        .set("on_destroy", mark(ON_DESTROY_TAG).unwrap_or("keep"))
        .set("tags", own)
        .set("arn", database.db_instance_arn())
        .set("address", address)
        .set("endpoint", address.zip(port).map(|(address, port)| format!("{address}:{port}")))
        .answer(database.db_instance_identifier().unwrap_or_default());
    Found { object, tags: marks }
}

/// The version, as short as the spec has it: what it leaves open is AWS's to choose, and to raise.
fn version_said<'a>(version: &'a str, written: Option<&'a str>) -> &'a str {
    let is_same = |written: &&str| version.strip_prefix(*written).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    written.filter(is_same).unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use cloudtik_model::Value;

    use super::*;

    #[test]
    fn versions_are_as_short_as_they_are_written() {
        assert_eq!(version_said("16.4", Some("16")), "16");
        assert_eq!(version_said("16.4", Some("16.4")), "16.4");
        assert_eq!(version_said("16.4", Some("1")), "16.4");
        assert_eq!(version_said("16.4", None), "16.4");
    }

    #[test]
    fn a_delete_knows_what_the_spec_said() {
        let attributes = Value::object([("skip_final_snapshot", Value::from(true)), ("on_destroy", "delete".into())]);
        let kept = kept(Given(&attributes));
        assert_eq!((&*kept[SKIP_SNAPSHOT_TAG], &*kept[ON_DESTROY_TAG], &*kept[SNAPSHOT_TAG]), ("true", "delete", ""));
        let database = Answered::builder().db_instance_identifier("d").dbi_resource_id("db-ABC").build();
        assert_eq!(snapshot_name(&database), "d-final-abc");
    }
}
