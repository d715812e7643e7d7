//! What a kind is: four functions, and what comes of a call by them.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::types::Filter;
use cloudtik_provider_api::{Answer, CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest, Verb};

use tokio::time::{Instant, sleep};

use crate::attributes::{agrees, as_asked};
use crate::aws::Aws;
use crate::tags;

/// Values that one filter of EC2 takes.
const FILTER_VALUES_MAX: usize = 200;

/// Which objects of a kind are looked for.
pub(crate) enum Query<'a> {
    /// Those with these ids; ones that are gone are left out.
    Ids(&'a BTreeSet<String>),
    /// Those that carry a tag. The value is as it was before it was encoded.
    Tag(&'a str, &'a str),
    /// The one with this name. Only kinds with a unique name are asked so.
    Name(&'a str),
}

impl Query<'_> {
    /// As filters of a describe call of EC2, each of which is a call of its own: by ids, with the filter's name for them, or by tag.
    /// Ids go into a filter and not into the list of ids, where one that is gone is an error.
    pub(crate) fn filters(&self, id_filter: &str, name_filter: &str) -> Vec<Filter> {
        let of = |name: &str, values: &[String]| Filter::builder().name(name).set_values(Some(values.to_vec())).build();
        match self {
            Self::Ids(ids) => {
                let ids: Vec<String> = ids.iter().cloned().collect();
                ids.chunks(FILTER_VALUES_MAX).map(|some| of(id_filter, some)).collect()
            }
            Self::Tag(key, value) => vec![tags::filter(key, value)],
            Self::Name(name) => vec![of(name_filter, &[(*name).to_owned()])],
        }
    }

    /// Whether an object with these marks, id and name is looked for: for services that find nothing by tag.
    pub(crate) fn matches(&self, found: &Found, name: &str) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&found.object.id),
            Self::Tag(key, value) => found.tags.get(*key).is_some_and(|is| is == value),
            Self::Name(wanted) => *wanted == name,
        }
    }
}

/// A kind of object: how it is made, found, changed and removed. Everything that AWS does in its own time is waited for.
pub(crate) trait Kind {
    /// Its name in the schema.
    const NAME: &'static str;

    /// Makes one, with all its tags at once, and waits until it can be used.
    fn create(aws: &Aws, request: &CreateRequest) -> impl Future<Output = Result<ObjectAnswer, CallError>> + Send;

    /// Those that are looked for, as they are now: in as few calls as there can be. One that is on its way out is not there.
    fn find(aws: &Aws, query: &Query<'_>) -> impl Future<Output = Result<Vec<Found>, CallError>> + Send;

    /// Makes the attributes that changed what they shall be. Made twice it does no harm.
    fn update(aws: &Aws, request: &UpdateRequest) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Removes one, and waits until nothing that it depends on is held by it.
    fn delete(aws: &Aws, id: &str) -> impl Future<Output = Result<(), CallError>> + Send;

    /// The same, with the data that it holds and whatever protects it.
    fn delete_with_data(aws: &Aws, id: &str) -> impl Future<Output = Result<(), CallError>> + Send {
        Self::delete(aws, id)
    }

    /// Finishes what a create began that was interrupted: waits until the object can be used, and does the parts of the create that come after
    /// its first request. Of an object that was found by the tag of its create, or by its name; that one may be of another create, so the object
    /// may only be waited for where names are unique.
    fn complete(aws: &Aws, found: Found) -> impl Future<Output = Result<Found, CallError>> + Send {
        let _ = aws;
        async { Ok(found) }
    }
}

/// How long a read may tell what was before an update. AWS makes no promise; a second or two is what is seen.
const AGREES_LIMIT: Duration = Duration::from_secs(10);
/// Between such reads.
const AGREES_PAUSE: Duration = Duration::from_millis(500);

/// The tag that is looked for to find out what became of a create.
const OP_TAG: &str = "cloudtik:op";

/// Makes a call by a kind's functions.
pub(crate) async fn answer<K: Kind>(aws: &Aws, verb: &Verb) -> Answer {
    match answered::<K>(aws, verb).await {
        Ok(answer) => answer,
        Err(error) => Answer::Failed(error),
    }
}

async fn answered<K: Kind>(aws: &Aws, verb: &Verb) -> Result<Answer, CallError> {
    Ok(match verb {
        Verb::Create(request) => {
            let made = K::create(aws, request).await.map_err(of_create)?;
            Answer::Object(as_asked(K::NAME, made, &request.attributes))
        }
        Verb::Read { id } => Answer::Read(one::<K>(aws, id).await?.map(|found| found.object)),
        Verb::Update(request) => {
            K::update(aws, request).await?;
            Answer::Object(updated::<K>(aws, request).await?)
        }
        Verb::Delete { id, data } => {
            if *data {
                K::delete_with_data(aws, id).await?
            } else {
                K::delete(aws, id).await?
            }
            Answer::Done
        }
        Verb::FindByTag { key, value } => Answer::Found(found_by_tag::<K>(aws, key, value).await?),
        Verb::FindByName { name } => Answer::Found(completed::<K>(aws, K::find(aws, &Query::Name(name)).await?).await?),
        Verb::List { ids } => Answer::Found(K::find(aws, &Query::Ids(ids)).await?),
        Verb::Facts(_) | Verb::Fence { .. } | Verb::PublishStatus { .. } => {
            return Err(CallError::new(ErrorClass::Permanent, "verb", format!("{} has no {}", K::NAME, verb.as_str())));
        }
    })
}

async fn found_by_tag<K: Kind>(aws: &Aws, key: &str, value: &str) -> Result<Vec<Found>, CallError> {
    let found = K::find(aws, &Query::Tag(key, value)).await?;
    if key == OP_TAG { completed::<K>(aws, found).await } else { Ok(found) }
}

/// Objects that a create of ours made, complete; others as they are.
async fn completed<K: Kind>(aws: &Aws, mut all: Vec<Found>) -> Result<Vec<Found>, CallError> {
    for found in all.iter_mut().filter(|found| found.tags.contains_key(OP_TAG)) {
        *found = K::complete(aws, found.clone()).await?;
    }
    Ok(all)
}

/// An object after an update, once AWS tells what was written; as it tells it, when that takes too long.
async fn updated<K: Kind>(aws: &Aws, request: &UpdateRequest) -> Result<ObjectAnswer, CallError> {
    let end = Instant::now() + AGREES_LIMIT;
    loop {
        let found = one::<K>(aws, &request.id).await?.ok_or_else(|| gone(&request.id))?;
        let told = as_asked(K::NAME, found.object, &request.attributes);
        let is_so = |name: &String| match (request.attributes.get(name).filter(|asked| !asked.is_null()), told.attributes.get(name)) {
            (Some(asked), Some(told)) => agrees(asked, told),
            _ => true,
        };
        if request.changed.iter().all(is_so) || Instant::now() > end {
            return Ok(told);
        }
        sleep(AGREES_PAUSE).await;
    }
}

/// The one with an id.
pub(crate) async fn one<K: Kind>(aws: &Aws, id: &str) -> Result<Option<Found>, CallError> {
    let ids = BTreeSet::from([id.to_owned()]);
    Ok(K::find(aws, &Query::Ids(&ids)).await?.pop())
}

/// What a delete answers when there is nothing.
pub(crate) fn gone(id: &str) -> CallError {
    CallError::new(ErrorClass::Gone, "gone", format!("{id} is not there"))
}

/// In a create what is not found is something that it needs: it was just made, and not every part of AWS knows yet.
fn of_create(mut error: CallError) -> CallError {
    if error.class == ErrorClass::Gone {
        error.class = ErrorClass::Transient;
    }
    error
}
