//! What is said of arguments that cannot be read: unknown words, words of the language that are not in effect yet, wrong values.

use std::sync::Arc;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _};
use cloudtik::model::{Diagnostic, SourceMap, did_you_mean};

use super::Exit;
use super::arguments::Syntax;
use super::diagnostics;
use super::printer::Printer;
use super::progress::Stream;

/// Commands of the language that this version does not have.
const LATER_COMMANDS: &[&str] =
    &["attach", "controller", "download", "import", "info", "kill-node", "logs", "scale", "submit", "upload", "verify", "wait"];

/// Flags of the language that this version does not have, by command.
const LATER_FLAGS: &[(&str, &[&str])] = &[
    ("plan", &["base", "data", "refresh-facts", "state", "unset-vars"]),
    ("apply", &["keep-failed", "refresh-facts", "state"]),
    ("destroy", &["state"]),
    ("show", &["record"]),
];

/// Words that people know from elsewhere, and what to type here: Terraform's first, then the predecessor's.
const ELSEWHERE: &[(&str, &str)] = &[
    ("env", "environments are files of values: `cloudtik apply --var-file FILE`"),
    ("force-unlock", "the lock goes with the process that has it: there is nothing to unlock by hand"),
    ("get", "modules need no download: they are folders of the project"),
    ("login", "there is nothing to log in to; providers use the credentials of this machine"),
    ("logout", "there is nothing to log out of; providers use the credentials of this machine"),
    ("metadata", "all functions are in the guide, and `cloudtik console` works them out"),
    ("modules", "modules need no download: they are folders of the project"),
    ("providers", "providers are built in; `cloudtik version` says which version this is"),
    ("push", "use `cloudtik state push`"),
    ("refresh", "use `cloudtik apply --refresh-only`: it shows what changed outside, and writes it into the state"),
    ("taint", "use `cloudtik apply --replace ADDRESS`"),
    (
        "untaint",
        "`--replace ADDRESS` holds for one apply; what an interrupted or failed run left tainted is made anew by the next apply, and that cannot be taken back",
    ),
    (
        "workspace",
        "a workspace is a block of the spec: `cloudtik apply` makes it, `cloudtik destroy` removes it; other environments are files of values, `--var-file FILE`",
    ),
    ("cluster", "use `cloudtik status`, or `cloudtik exec`"),
    ("cluster-dump", "use `cloudtik status --json` and `cloudtik show --json`"),
    ("debug-status", "use `cloudtik status`"),
    ("down", "use `cloudtik destroy --target cluster.NAME`: without the flag the workspaces of the project go too"),
    ("head", "use `cloudtik exec -- COMMAND`: it runs on the head"),
    ("head-ip", "use `cloudtik status`, or an `output` of `cluster.NAME.head.public_ip`"),
    ("health-check", "use `cloudtik status`"),
    ("monitor", "use `cloudtik status`"),
    ("process-status", "use `cloudtik status`"),
    ("rsync-down", "use `cloudtik exec -- cat FILE > FILE`"),
    ("rsync-up", "name them in `files = { … }` and use `cloudtik apply`"),
    ("run", "use `cloudtik exec -- COMMAND`"),
    ("start", "use `cloudtik apply`"),
    ("stop", "use `cloudtik destroy --target cluster.NAME`: without the flag the workspaces of the project go too"),
    ("storage", "it is `storage \"NAME\" {}` in a workspace: `cloudtik apply` makes it"),
    ("database", "it is `database \"NAME\" {}` in a workspace: `cloudtik apply` makes it"),
    ("teardown", "use `cloudtik destroy --target cluster.NAME`: without the flag the workspaces of the project go too"),
    ("up", "use `cloudtik apply`"),
    ("worker-ips", "use `cloudtik status`"),
];

/// What the command line answers without running a command.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Text that was asked for, with colour and without.
    Help {
        /// With colour.
        colored: String,
        /// Without.
        plain: String,
    },
    /// An error.
    Wrong(Box<Diagnostic>),
}

impl Answer {
    /// Shows it; what is wrong as an event, to whoever wants those.
    pub(crate) fn show(self, printer: &Arc<Printer>, as_event: bool) -> Exit {
        match self {
            Self::Help { colored, plain } => {
                printer.data(if printer.data_look().color { &colored } else { &plain });
                Exit::Done
            }
            Self::Wrong(diagnostic) if as_event => {
                Stream::start(printer).diagnostics(&(*diagnostic).into(), &SourceMap::default());
                Exit::Error
            }
            Self::Wrong(diagnostic) => {
                diagnostics::show(&(*diagnostic).into(), &SourceMap::default(), printer);
                Exit::Error
            }
        }
    }
}

/// An error in the arguments.
pub(crate) fn wrong(title: impl Into<String>) -> Answer {
    Answer::Wrong(Box::new(Diagnostic::error("usage", title)))
}

/// The same, with what to type.
pub(crate) fn wrong_with_help(title: impl Into<String>, help: impl Into<String>) -> Answer {
    Answer::Wrong(Box::new(Diagnostic::error("usage", title).help(help)))
}

fn later(what: &str) -> Answer {
    Answer::Wrong(Box::new(Diagnostic::error("not-in-effect", format!("`{what}` is not in effect in this version"))))
}

/// `true` and `false` as Terraform reads them.
pub(crate) fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("`true` or `false` is expected".to_owned()),
    }
}

/// Whether there is such a command.
pub(crate) fn check_command(command: &str, tree: &Command) -> Result<(), Answer> {
    let known = || tree.get_subcommands().filter(|known| !known.is_hide_set()).map(Command::get_name).chain(["help"]);
    if known().any(|known| known == command) {
        return Ok(());
    }
    if LATER_COMMANDS.contains(&command) {
        return Err(later(&format!("cloudtik {command}")));
    }
    let title = format!("there is no command `{command}`");
    if let Some((_, help)) = ELSEWHERE.iter().find(|(word, _)| *word == command) {
        return Err(wrong_with_help(title, *help));
    }
    Err(match did_you_mean(command, known()) {
        Some(near) => wrong_with_help(title, format!("did you mean `cloudtik {near}`?")),
        None => wrong_with_help(title, "`cloudtik --help` lists the commands"),
    })
}

/// Whether a command that is several, such as `state`, has this one.
pub(crate) fn check_action(command: &str, action: &str, tree: &Command) -> Result<(), Answer> {
    let known: Vec<&str> = tree.get_subcommands().map(Command::get_name).chain(["help"]).collect();
    if known.len() == 1 || known.contains(&action) {
        return Ok(());
    }
    let title = format!("there is no command `{command} {action}`");
    Err(match did_you_mean(action, known) {
        Some(near) => wrong_with_help(title, format!("did you mean `cloudtik {command} {near}`?")),
        None => wrong_with_help(title, format!("`cloudtik {command} --help` lists the commands")),
    })
}

/// Whether the language has such a flag, for one that the command does not know.
pub(crate) fn check_flag(command: &str, flag: &str) -> Result<(), Answer> {
    let name = flag.trim_start_matches('-');
    let of_command = LATER_FLAGS.iter().find(|(of, _)| *of == command).map_or(&[][..], |(_, flags)| flags);
    if of_command.contains(&name) { Err(later(&format!("cloudtik {command} --{name}"))) } else { Ok(()) }
}

impl From<clap::Error> for Answer {
    fn from(error: clap::Error) -> Self {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            Some(ContextValue::Strings(texts)) => Some(texts.join("`, `")),
            _ => None,
        };
        // As it is typed: `--lock`, not `--lock[=<BOOL>]`.
        let argument = text(ContextKind::InvalidArg).unwrap_or_default();
        let argument = argument.split([' ', '[', '=']).next().filter(|_| argument.starts_with('-')).unwrap_or(&argument);
        let value = text(ContextKind::InvalidValue).unwrap_or_default();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                let rendered = error.render();
                Self::Help { colored: rendered.ansi().to_string(), plain: rendered.to_string() }
            }
            ErrorKind::UnknownArgument if argument.starts_with('-') => {
                let near = text(ContextKind::SuggestedArg).map(|near| format!("did you mean `{near}`?"));
                let help = near.unwrap_or_else(|| "`--help` after the command lists its flags".to_owned());
                wrong_with_help(format!("there is no flag `{argument}` here"), help)
            }
            ErrorKind::UnknownArgument => wrong(format!("`{argument}` is one argument too many")),
            ErrorKind::InvalidSubcommand => {
                let command = text(ContextKind::InvalidSubcommand).unwrap_or_default();
                check_command(&command, &Syntax::command()).err().unwrap_or_else(|| wrong(format!("there is no command `{command}`")))
            }
            ErrorKind::InvalidValue if value.is_empty() => wrong(format!("`{argument}` needs a value")),
            ErrorKind::InvalidValue => {
                let title = format!("`{value}` is no value for `{argument}`");
                text(ContextKind::ValidValue)
                    .map_or_else(|| wrong(title.clone()), |valid| wrong_with_help(title.clone(), format!("use `{valid}`")))
            }
            ErrorKind::ValueValidation => {
                let why = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
                wrong(format!("`{value}` is no value for `{argument}`{why}"))
            }
            ErrorKind::MissingRequiredArgument => wrong(format!("`{argument}` is missing")),
            ErrorKind::ArgumentConflict => {
                let other = text(ContextKind::PriorArg).unwrap_or_default();
                let other = other.split([' ', '[', '=']).next().unwrap_or_default();
                if other == argument || other.is_empty() {
                    wrong(format!("`{argument}` is given more than once"))
                } else {
                    wrong(format!("`{argument}` cannot be used with `{other}`"))
                }
            }
            ErrorKind::NoEquals => wrong_with_help(format!("`{argument}` needs its value after `=`"), "for example `--lock=false`"),
            _ => wrong(error.render().to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()),
        }
    }
}
