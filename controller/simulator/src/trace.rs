//! Events and commands as lines: what tells one life from another, without the values that follow from the rest.

use std::fmt::Write as _;

use cloudtik_executor::engine::{Command, Event, StepAnswer};
use cloudtik_executor::{OpResult, Record};
use cloudtik_provider_api::{Answer, Verb};

// Writing into a string does not fail, so what comes of it is dropped.

pub(crate) fn event(line: &mut String, event: &Event) {
    let _ = match event {
        Event::Start => write!(line, "start"),
        Event::Appended { batch } => write!(line, "appended {batch}"),
        Event::AppendFailed { batch, error } => write!(line, "append {batch} failed: {error}"),
        Event::Answer { ticket, answer } => write!(line, "answer {ticket} ").and_then(|()| self::answer(line, answer)),
        Event::StepDone { ticket, answer: StepAnswer::Failed(error) } => {
            write!(line, "step {ticket} failed: {} {}", error.code, error.message)
        }
        Event::StepDone { ticket, answer: StepAnswer::Ended { outcome, rendered, attributes } } => {
            write!(line, "step {ticket} {outcome:?} {rendered} {attributes:?}")
        }
        Event::Seated { ticket, .. } => write!(line, "seated {ticket}"),
        Event::SecretsReady { ticket, secrets } => write!(line, "secrets {ticket} {}", secrets.is_ok()),
        Event::TimerFired { timer } => write!(line, "timer {}", timer.0),
        Event::Interrupt => write!(line, "interrupt"),
    };
}

fn answer(line: &mut String, answer: &Answer) -> std::fmt::Result {
    match answer {
        Answer::Object(object) => write!(line, "object {}", object.id),
        Answer::Read(object) => write!(line, "read {:?}", object.as_ref().map(|object| &object.id)),
        Answer::Found(found) => found.iter().try_for_each(|found| write!(line, "{} {:?} ", found.object.id, found.tags)),
        Answer::Failed(error) => write!(line, "failed: {} {}", error.code, error.message),
        Answer::Done => write!(line, "done"),
        Answer::Facts(facts) => write!(line, "{} facts", facts.len()),
    }
}

pub(crate) fn command(line: &mut String, command: &Command) {
    let _ = match command {
        Command::Append { batch, records } => {
            write!(line, "append {batch}").and_then(|()| records.iter().try_for_each(|record| self::record(line, record)))
        }
        Command::Call { ticket, call } => {
            write!(line, "call {ticket} {} {} ", call.verb.as_str(), call.address).and_then(|()| match &call.verb {
                Verb::Create(request) => write!(line, "{} {:?}", request.op_id, request.tags),
                Verb::Delete { id, .. } | Verb::Read { id } => write!(line, "{id}"),
                Verb::PublishStatus { id, status } => write!(line, "{id} {status:?}"),
                Verb::List { ids } => write!(line, "{ids:?}"),
                _ => Ok(()),
            })
        }
        Command::Gather { ticket, .. } => write!(line, "gather {ticket}"),
        Command::MakeSecrets { ticket, op_id, .. } => write!(line, "make secrets {ticket} {op_id}"),
        Command::LoadSecrets { ticket, .. } => write!(line, "load secrets {ticket}"),
        Command::RunStep(job) | Command::CheckStep(job) => {
            let request = &job.request;
            write!(
                line,
                "{:?} {} {} on {} {} {}",
                request.verb, job.ticket, request.address, job.instance_id, request.run_id, request.identity
            )
        }
        Command::Timer { timer, at_ms } => write!(line, "timer {} at {at_ms}", timer.0),
        Command::Fold => write!(line, "fold"),
        Command::Progress(_) => write!(line, "progress"),
        Command::Finish(summary) => write!(line, "finish {:?}", summary.aborted),
        Command::Settled(report) => write!(line, "settled {}", report.unsettled.len()),
    };
}

fn record(line: &mut String, record: &Record) -> std::fmt::Result {
    match record {
        Record::Intent(intent) => write!(line, "; intent {} {} {}", intent.op_id, intent.address, intent.depends_on.len()),
        Record::Outcome { op_id, result } => match result {
            OpResult::Object { object } => write!(line, "; {op_id} is {}", object.id),
            OpResult::Failed { error } | OpResult::StepFailed { error } => write!(line, "; {op_id} failed: {}", error.message),
            OpResult::Deleted => write!(line, "; {op_id} deleted"),
            OpResult::Cleared => write!(line, "; {op_id} cleared"),
        },
        Record::Facts { facts, .. } => write!(line, "; facts {:?}", facts.keys()),
        Record::Moved { from, to } => write!(line, "; moved {from} {to}"),
        Record::Forgotten { address } => write!(line, "; forgotten {address}"),
        Record::Observed { address, attributes } => write!(line, "; observed {address} {}", attributes.is_some()),
        Record::Pure { address, .. } => write!(line, "; pure {address}"),
        Record::Rewired { address, depends_on, .. } => write!(line, "; rewired {address} {}", depends_on.len()),
        Record::Started { .. } => write!(line, "; started"),
        Record::Ended { ok } => write!(line, "; ended {ok}"),
        Record::Outputs { .. } => write!(line, "; outputs"),
    }
}
