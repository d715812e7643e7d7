//! Machines that are launched by one request.
//!
//! Each is asked for by a call of its own, and all of these calls ask for the same machines: whichever comes first sends the request, and the
//! others take theirs from its answer. AWS numbers the machines of a launch, so its marks are the same for all of them: they say the numbers of
//! all, and which of these is whose follows from that. No second request is needed to tell them apart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_ec2::types::Reservation;
use cloudtik_model::Value;
use cloudtik_provider_api::{
    Batch, CallError, CreateRequest, ErrorClass, SEQUENCE_TAG, numbers_of, numbers_text, with_number, without_number,
};
use tokio::time::Instant;

use super::room::Form;
use super::{NAME_TAG, describe_all, launch};
use crate::attributes::Given;
use crate::aws::Aws;
use crate::error::refused;
use crate::fence;

/// The mark with the numbers of all machines of a launch, in the order of the launch.
const NUMBERS_TAG: &str = "cloudtik:numbers";
/// The mark of the create.
const OP_TAG: &str = "cloudtik:op";
/// The mark with the address that a machine was made for.
const ADDRESS_TAG: &str = "cloudtik:address";

/// The attribute with a machine's name, which has its number in it.
const NAME: &str = "name";

/// What AWS says where it has no room, and does not say where it has room for some.
const NO_ROOM: &str = "InsufficientInstanceCapacity";

/// How long it is remembered what came of a request. Whoever repeats it later asks AWS, which remembers longer.
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);

/// What came of requests that launch several machines, by their tokens.
#[derive(Default)]
pub(crate) struct Launches(Mutex<BTreeMap<String, (Instant, Arc<Launch>)>>);

impl Launches {
    fn of(&self, token: &str, now: Instant) -> Arc<Launch> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (until, _)| *until > now);
        let (_, launch) = all.entry(token.to_owned()).or_insert_with(|| (now + REMEMBERED_FOR, Arc::default()));
        Arc::clone(launch)
    }
}

/// The machines of a request, by their index.
type Machines = BTreeMap<usize, String>;

/// One request.
#[derive(Default)]
pub(crate) struct Launch {
    /// Whoever sends it holds this until there is an answer: the others wait for that.
    made: tokio::sync::Mutex<Option<Result<Machines, CallError>>>,
    sent: AtomicU64,
    /// The last look at its machines, and when that began.
    seen: tokio::sync::Mutex<Option<(Instant, Vec<Reservation>)>>,
}

impl Launch {
    /// What comes of it. It is sent again only where the last answer says that nothing happened, or does not say what.
    async fn once<F>(&self, send: impl FnOnce() -> F) -> Result<Machines, CallError>
    where
        F: Future<Output = Result<Machines, CallError>>,
    {
        let seen = self.sent.load(Ordering::SeqCst);
        let mut made = self.made.lock().await;
        let is_new = self.sent.load(Ordering::SeqCst) != seen;
        if let Some(known) = made.as_ref().filter(|known| is_new || is_final(known)) {
            return known.clone();
        }
        let answer = send().await;
        *made = Some(answer.clone());
        self.sent.fetch_add(1, Ordering::SeqCst);
        answer
    }

    /// Its machines as they are: whoever asks while another one looks sees what that one sees.
    pub(super) async fn look(&self, aws: &Aws) -> Result<Vec<Reservation>, CallError> {
        let asked = Instant::now();
        let mut seen = self.seen.lock().await;
        if let Some((_, reservations)) = seen.as_ref().filter(|(at, _)| *at >= asked) {
            return Ok(reservations.clone());
        }
        let ids: Vec<String> = match &*self.made.lock().await {
            Some(Ok(machines)) => machines.values().cloned().collect(),
            _ => Vec::new(),
        };
        let began = Instant::now();
        let reservations = describe_all(aws, &ids).await?;
        *seen = Some((began, reservations.clone()));
        Ok(reservations)
    }
}

fn is_final(answer: &Result<Machines, CallError>) -> bool {
    answer.as_ref().map_or_else(|error| matches!(error.class, ErrorClass::NoRoom | ErrorClass::Permanent | ErrorClass::Conflict), |_| true)
}

/// Launches the machines of a request, and gives the id of the one that a call is for.
pub(super) async fn machine(aws: &Aws, request: &CreateRequest, batch: &Batch) -> Result<(String, Arc<Launch>), CallError> {
    let launch = aws.session.launches.of(&batch.id, Instant::now());
    let common = common(request, batch)?;
    let send = || async {
        fence::check(aws, &common).await?;
        launch::launch(aws, &common, batch.numbers.len()).await
    };
    let machines = launch.once(send).await?;
    let Some(id) = machines.get(&batch.index).cloned() else {
        let text = format!("ec2:RunInstances: {NO_ROOM}: there was room for {} of {} machines", machines.len(), batch.numbers.len());
        let error = CallError::new(ErrorClass::NoRoom, NO_ROOM, text);
        return Err(aws.session.rooms.told(Instant::now(), &Form::of(Given(&request.attributes)), error, 1));
    };
    Ok((id, launch))
}

/// What all calls for the machines of one request have in common, which is that request.
fn common(request: &CreateRequest, batch: &Batch) -> Result<CreateRequest, CallError> {
    let number = batch.number();
    let without =
        |text: &str| without_number(text, number).ok_or_else(|| refused("numbers", format!("`{text}` cannot be said for several")));
    let mut tags = request.tags.clone();
    for name in [ADDRESS_TAG, SEQUENCE_TAG] {
        if let Some(value) = tags.get_mut(name) {
            *value = without(value)?;
        }
    }
    tags.insert(OP_TAG.to_owned(), batch.id.clone());
    tags.insert(NUMBERS_TAG.to_owned(), numbers_text(&batch.numbers));
    let mut attributes = request.attributes.entries().cloned().unwrap_or_default();
    if let Some(name) = attributes.get_mut(NAME)
        && let Some(text) = name.as_str()
    {
        *name = Value::from(without(text)?);
    }
    Ok(CreateRequest { op_id: batch.id.clone(), tags, attributes: Value::object(attributes), ..request.clone() })
}

/// The marks of one machine of a launch, from those that all of them have.
pub(super) fn own_marks(mut marks: BTreeMap<String, String>, index: Option<i32>) -> BTreeMap<String, String> {
    let Some(numbers) = marks.remove(NUMBERS_TAG).and_then(|text| numbers_of(&text)) else { return marks };
    let index = index.and_then(|index| usize::try_from(index).ok());
    let Some((index, number)) = index.and_then(|index| Some((index, *numbers.get(index)?))) else { return marks };
    // One that was taken over by another project since has marks of its own.
    let is_common = |text: &String| with_number(text, number) != *text;
    if marks.get(ADDRESS_TAG).is_some_and(is_common)
        && let Some(op) = marks.get_mut(OP_TAG)
    {
        *op = Batch::op_id(op, index);
    }
    for name in [ADDRESS_TAG, SEQUENCE_TAG, NAME_TAG] {
        if let Some(value) = marks.get_mut(name) {
            *value = with_number(value, number);
        }
    }
    marks
}

/// The values that a mark may have as AWS has it, where a machine's own is this one.
pub(super) fn values_of(key: &str, value: &str) -> Vec<String> {
    let common = match key {
        OP_TAG => Batch::of_op_id(value).map(|(id, _)| id.to_owned()),
        ADDRESS_TAG => last_number(value).and_then(|number| without_number(value, number)),
        _ => None,
    };
    std::iter::once(value.to_owned()).chain(common).collect()
}

fn last_number(address: &str) -> Option<u64> {
    address.strip_suffix(']')?.rsplit_once('[')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use cloudtik_provider_api::NODE_NAME;

    use super::*;

    fn member(index: usize) -> (CreateRequest, Batch) {
        let batch = Batch { id: "r.b1".to_owned(), numbers: vec![3, 5, 7], index };
        let (number, op_id) = (batch.number(), Batch::op_id(&batch.id, index));
        let tags = [
            (ADDRESS_TAG, format!("cluster.c.workers.g[{number}]")),
            (SEQUENCE_TAG, number.to_string()),
            (OP_TAG, op_id.clone()),
            ("cloudtik:role", "worker".to_owned()),
        ];
        let request = CreateRequest {
            op_id,
            token: batch.id.clone(),
            epoch: 1,
            tags: tags.map(|(name, value)| (name.to_owned(), value)).into(),
            attributes: Value::object([(NAME, Value::from(format!("c-g-{number}"))), ("ami", "ami-1".into())]),
            secrets: BTreeMap::new(),
            batch: None,
        };
        (request, batch)
    }

    #[test]
    fn every_one_asks_for_the_same() {
        let schema = cloudtik_aws::aws_schema();
        assert_eq!(schema.kinds[cloudtik_aws::kinds::INSTANCE].together.unwrap().numbered, [NAME]);
        assert_eq!(NAME, NODE_NAME);
        let asked = |index| {
            let (request, batch) = member(index);
            common(&request, &batch).unwrap()
        };
        assert_eq!(asked(0), asked(1));
        assert_eq!(asked(0), asked(2));
        assert_eq!(asked(0).tags[NUMBERS_TAG], "3-7/2");
    }

    #[test]
    fn whose_a_machine_is_follows_from_its_place_in_the_launch() {
        let (request, batch) = member(1);
        let mut marks = common(&request, &batch).unwrap().tags;
        marks.insert(NAME_TAG.to_owned(), "c-g-*".to_owned());
        let mut own = request.tags.clone();
        own.insert(NAME_TAG.to_owned(), "c-g-5".to_owned());
        assert_eq!(own_marks(marks.clone(), Some(1)), own);
        for strange in [None, Some(3), Some(-1)] {
            assert!(!own_marks(marks.clone(), strange).contains_key(NUMBERS_TAG), "{strange:?}");
        }
        // Taken over by another project.
        marks.extend([(ADDRESS_TAG, "aws_instance.mine"), (OP_TAG, "other-1")].map(|(name, value)| (name.to_owned(), value.to_owned())));
        let taken = own_marks(marks, Some(1));
        assert_eq!((taken[ADDRESS_TAG].as_str(), taken[OP_TAG].as_str()), ("aws_instance.mine", "other-1"));
        // Launched alone.
        assert_eq!(own_marks(request.tags.clone(), Some(0)), request.tags);
    }

    #[test]
    fn a_search_for_one_finds_its_launch() {
        assert_eq!(values_of(OP_TAG, "r.b1.2"), ["r.b1.2", "r.b1"]);
        assert_eq!(values_of(OP_TAG, "run-7"), ["run-7"]);
        assert_eq!(values_of(ADDRESS_TAG, "aws_instance.w[7]"), ["aws_instance.w[7]", "aws_instance.w[*]"]);
        assert_eq!(values_of(ADDRESS_TAG, "cluster.c.head"), ["cluster.c.head"]);
        assert_eq!(values_of(SEQUENCE_TAG, "7"), ["7"]);
    }

    /// Asks several times at once, where each request is answered this. Gives the answers, and how many requests there were.
    async fn ask(launch: &Launch, times: usize, answer: Result<Machines, CallError>) -> (Vec<Result<Machines, CallError>>, usize) {
        let sent = AtomicUsize::new(0);
        let send = || async {
            sent.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            answer.clone()
        };
        let mut answers = Vec::new();
        let (first, second) = tokio::join!(launch.once(send), launch.once(send));
        answers.extend([first, second]);
        for _ in 2..times {
            answers.push(launch.once(send).await);
        }
        (answers, sent.into_inner())
    }

    #[tokio::test]
    async fn those_that_come_together_send_one_request() {
        let error = |class| Err(CallError::new(class, "code", "text"));
        let made: Machines = [(0, "i-1".to_owned())].into();
        for last in [Ok(made.clone()), error(ErrorClass::NoRoom), error(ErrorClass::Permanent)] {
            let launch = Launch::default();
            // Nothing happened: the next ones ask again, once.
            assert_eq!(ask(&launch, 2, error(ErrorClass::Throttled)).await, (vec![error(ErrorClass::Throttled); 2], 1));
            assert_eq!(ask(&launch, 2, error(ErrorClass::Unknown)).await, (vec![error(ErrorClass::Unknown); 2], 1));
            assert_eq!(ask(&launch, 4, last.clone()).await, (vec![last.clone(); 4], 1));
            assert_eq!(ask(&launch, 3, error(ErrorClass::Unknown)).await, (vec![last; 3], 0));
        }
    }

    #[tokio::test]
    async fn what_was_broken_off_is_sent_again() {
        let launch = Launch::default();
        let never = launch.once(std::future::pending);
        assert!(tokio::time::timeout(Duration::from_millis(10), never).await.is_err());
        assert_eq!(ask(&launch, 2, Ok(Machines::new())).await.1, 1);
    }
}
