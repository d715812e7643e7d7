//! What of a plan would not go well: asked before anything is made, in requests that change nothing. One for each name that is taken anew, one
//! for each right, and a few for everything else.

mod images;
mod machines;
mod names;
mod quotas;
mod reach;
mod rights;
mod types;

use std::collections::BTreeSet;
use std::time::Duration;

use cloudtik_model::{Diagnostic, Value};
use cloudtik_provider_api::{BoxFuture, CallError, Check, Checked, Concern, Intended};

use crate::aws::Aws;
use machines::Machine;

/// How long all of it may take. Whoever waits for a plan waits for this too, and what is not found out now is found out later.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// All concerns, and the questions that got no answer.
pub(crate) async fn check(aws: &Aws, check: &Check) -> Checked {
    let machines = machines::machines(&check.intended);
    let mut all = Checked::default();
    // Each is a future of its own on the heap: one of all of them would not fit a stack.
    let names: BoxFuture<'_, _> = Box::pin(in_time("names that are taken", names::taken(aws, check)));
    let launches: BoxFuture<'_, _> = Box::pin(in_time("types of machines", launches(aws, &machines)));
    let rights: BoxFuture<'_, _> = Box::pin(in_time("rights", rights::missing(aws, &check.intended)));
    let quotas: BoxFuture<'_, _> = Box::pin(quotas::passed(aws, check, &machines));
    let reach: BoxFuture<'_, _> = Box::pin(in_time("who reaches heads", reach::closed(aws, &check.intended)));
    let (names, launches, rights, quotas, reach) = tokio::join!(names, launches, rights, quotas, reach);
    for answer in [names, launches, rights, reach].into_iter().chain(quotas) {
        match answer {
            Ok(concerns) => all.concerns.extend(concerns),
            Err(text) => all.unanswered.push(text),
        }
    }
    all
}

async fn in_time(what: &str, asked: impl Future<Output = Result<Vec<Concern>, CallError>>) -> Result<Vec<Concern>, String> {
    match tokio::time::timeout(ANSWERS_WITHIN, asked).await {
        Ok(answer) => answer.map_err(|error| format!("{what}: {}", error.message)),
        Err(_) => Err(format!("{what}: AWS did not answer within {} s", ANSWERS_WITHIN.as_secs())),
    }
}

/// Machines of types that are not there, and of images that do not run on them.
async fn launches(aws: &Aws, machines: &[Machine<'_>]) -> Result<Vec<Concern>, CallError> {
    let images: BTreeSet<String> = machines.iter().filter_map(|machine| machine.image.map(str::to_owned)).collect();
    let types: BTreeSet<String> = machines.iter().flat_map(|machine| machine.types.iter().cloned()).collect();
    let (offers, images, types) =
        tokio::try_join!(Box::pin(types::offers(aws, &types)), Box::pin(aws.images(images)), Box::pin(aws.machine_types(types.clone())))?;
    let found = machines.iter().flat_map(|machine| {
        let not_offered = types::not_offered(&aws.region, machine, &offers);
        not_offered.into_iter().chain(images::unfit(&aws.region, machine, &images, &types))
    });
    Ok(found.collect())
}

/// An error about an object.
fn error(of: &Intended, code: &'static str, title: String, help: impl Into<String>) -> Concern {
    Concern::new(Diagnostic::error(code, title).help(help), &of.address)
}

/// The objects of a kind that are made.
fn made<'a>(intended: &'a [Intended], kind: &'a str) -> impl Iterator<Item = &'a Intended> {
    intended.iter().filter(move |one| one.is_made() && &*one.kind == kind)
}

/// An attribute that is a text and known.
fn text<'a>(of: &'a Intended, name: &str) -> Option<&'a str> {
    of.attributes.get(name).and_then(Value::as_str)
}

#[cfg(test)]
pub(crate) mod tests {
    use cloudtik_provider_api::Deed;

    use super::*;

    /// Something that is made.
    pub(crate) fn intended<const N: usize>(address: &str, kind: &str, attributes: [(&str, Value); N]) -> Intended {
        let (address, attributes) = (address.parse().unwrap(), Value::object(attributes));
        Intended { address, kind: kind.into(), deed: Some(Deed::Create), id: None, goes_first: true, attributes, count: 1..=1 }
    }
}
