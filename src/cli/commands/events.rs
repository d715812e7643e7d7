//! `cloudtik events`

use cloudtik::Failure;
use cloudtik::model::{ControllerEvent, EventLevel};
use serde_json::json;

use super::super::values::{harmless, utc};
use super::super::{Exit, project};
use super::Context;

pub(crate) fn run(context: &Context<'_>, cluster: Option<&str>, after: u64, limit: u64, as_json: bool) -> Result<Exit, Failure> {
    let events = project::open(context.environment, context.given, None, None)?.cluster_events(cluster, after, limit)?;
    if as_json {
        context.printer.json(&json!({ "format_version": "1.0", "events": events }));
        return Ok(Exit::Done);
    }
    if events.is_empty() {
        context.printer.say_line("Nothing happened.");
    }
    for event in &events {
        context.printer.data_line(&line(event));
    }
    Ok(Exit::Done)
}

/// `12  2026-01-02 03:04:05  cluster.c.workers.etcd[1]: ready`
fn line(event: &ControllerEvent) -> String {
    let level = match event.level {
        EventLevel::Info => "",
        EventLevel::Warning => "warning: ",
        EventLevel::Error => "error: ",
    };
    let address = event.address.as_ref().map_or_else(String::new, |address| format!("{address}: "));
    harmless(&format!("{:>5}  {}  {level}{address}{}", event.sequence, utc(event.time), event.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let address = Some("cluster.c.workers.etcd[1]".to_owned());
        let event = ControllerEvent { sequence: 12, time: 1_767_323_045, level: EventLevel::Warning, address, text: "gone".to_owned() };
        assert_eq!(line(&event), "   12  2026-01-02 03:04:05  warning: cluster.c.workers.etcd[1]: gone");
        let bare = ControllerEvent { address: None, level: EventLevel::Info, text: "a\u{1b}[2J".to_owned(), ..event };
        assert_eq!(line(&bare), "   12  2026-01-02 03:04:05  a\u{fffd}[2J");
    }
}
