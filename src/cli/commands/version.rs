//! `cloudtik version`. It reads nothing and starts nothing.

use serde_json::json;

use super::{Context, Exit};

pub(crate) fn run(context: &Context<'_>, as_json: bool) -> Exit {
    let platform = format!("{}_{}", std::env::consts::OS, std::env::consts::ARCH);
    if as_json {
        context.printer.json(&json!({ "version": cloudtik::VERSION, "platform": platform }));
    } else {
        context.printer.data_line(&format!("cloudtik {}\non {platform}", cloudtik::VERSION));
    }
    Exit::Done
}
