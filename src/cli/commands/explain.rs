//! `cloudtik explain`: what a code of an error means.

use cloudtik::Failure;
use cloudtik::model::{Diagnostic, did_you_mean};

use super::super::Exit;
use super::Context;

pub(crate) fn run(context: &Context<'_>, code: &str) -> Result<Exit, Failure> {
    // Whoever copies a code from a message may take what is around it.
    let code = code.trim_start_matches("error").trim_start_matches("warning").trim_matches(['[', ']', '`', ':']);
    let Some(text) = cloudtik::explain_code(code) else {
        let near = did_you_mean(code, cloudtik::explained_codes());
        let help = near.map_or_else(
            || "a code stands in brackets in front of the message: `error[unknown-attribute]: …`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(Failure::plain(Diagnostic::error("unknown-code", format!("nothing has the code `{code}`")).help(help)));
    };
    context.printer.data(&text);
    Ok(Exit::Done)
}
