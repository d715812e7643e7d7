//! What of a plan would not go well: asked before anything is made, in requests that change nothing. One for each name that is taken anew, one
//! for each right, and one or two for everything else.

mod names;
mod quotas;
mod rights;
mod types;

use std::time::Duration;

use cloudtik_model::{Diagnostic, Value};
use cloudtik_provider_api::{BoxFuture, CallError, Check, Checked, Concern, Intended};

use crate::aws::Aws;

/// How long all of it may take. Whoever waits for a plan waits for this too, and what is not found out now is found out later.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// All concerns, and the questions that got no answer.
pub(crate) async fn check(aws: &Aws, check: &Check) -> Checked {
    // Each is a future of its own on the heap: one of all of them would not fit a stack.
    let names: BoxFuture<'_, _> = Box::pin(in_time("names that are taken", names::taken(aws, check)));
    let types: BoxFuture<'_, _> = Box::pin(in_time("types of machines", types::not_offered(aws, &check.intended)));
    let rights: BoxFuture<'_, _> = Box::pin(in_time("rights", rights::missing(aws, &check.intended)));
    let quotas: BoxFuture<'_, _> = Box::pin(in_time("quotas", quotas::passed(aws, &check.intended)));
    let (names, types, rights, quotas) = tokio::join!(names, types, rights, quotas);
    let mut all = Checked::default();
    for answer in [names, types, rights, quotas] {
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
