//! The commands and their flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use cloudtik::model::Address;

use super::compare::CompareFlags;
use super::printer::Printer;
use super::usage::{Answer, truth, wrong, wrong_with_help};
use super::values::duration;
use super::words::Words;

/// What was typed.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// The folder to work in.
    pub(crate) chdir: Option<PathBuf>,
    /// The command.
    pub(crate) command: Command,
    /// `--var` and `--var-file`, in the order given.
    pub(crate) given: Vec<Given>,
}

/// A value from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// `--var name=text`
    Var(String, String),
    /// `--var-file path`
    File(PathBuf),
}

impl Arguments {
    /// Parses them.
    pub(crate) fn parse(words: Words, printer: &Printer) -> Result<Self, Answer> {
        let width = printer.data_look().width;
        let mut tree = Syntax::command().term_width(width.min(HELP_WIDTH_MAX));
        let matches = tree.try_get_matches_from_mut(words.0)?;
        let parsed = Syntax::from_arg_matches(&matches)?;
        let mut innermost = &matches;
        while let Some((_, inner)) = innermost.subcommand() {
            innermost = inner;
        }
        let given = in_order(innermost);
        let command = match parsed.command {
            Some(command) => command,
            None if parsed.version => Command::Version { json: false },
            None => {
                let help = tree.render_help();
                return Err(Answer::Help { colored: help.ansi().to_string(), plain: help.to_string() });
            }
        };
        let arguments = Self { chdir: parsed.chdir, command, given };
        arguments.check()?;
        Ok(arguments)
    }

    /// What the syntax alone does not hold.
    fn check(&self) -> Result<(), Answer> {
        if matches!(&self.command, Command::Exec { words, .. } if words.is_empty()) {
            return Err(wrong_with_help("`exec` needs a command", "write it after `--`: `cloudtik exec -- uptime`"));
        }
        if let Command::Exec { node: Some(_), all: true, .. } = self.command {
            return Err(wrong("`--node` names one node, and `--all` means every one: give one of the two"));
        }
        if matches!(self.command, Command::Output { name: None, raw: true, .. }) {
            return Err(wrong("`--raw` prints one output: name it"));
        }
        if let Command::Apply { json: true, auto_approve: false, file: None, .. }
        | Command::Destroy { json: true, auto_approve: false, .. } = self.command
        {
            return Err(wrong_with_help("with `--json` nobody is asked for a yes", "pass `--auto-approve`, or apply a saved plan"));
        }
        if let Command::Plan { compare, offline, .. } = &self.command {
            compare.check(*offline)?;
        }
        if let Command::Plan { refresh_only: true, plan, .. } | Command::Apply { refresh_only: true, plan, .. } = &self.command
            && !plan.refresh
        {
            return Err(wrong("`--refresh-only` looks at what exists, and `--refresh=false` does not: give one of the two"));
        }
        let (file, decided) = match &self.command {
            Command::Show { file: Some(file), .. } => (file, vec![(!self.given.is_empty(), "--var")]),
            Command::Apply { file: Some(file), plan, destroy, refresh_only, delete_data, .. } => {
                let mut decided = decided(&self.given, plan, *destroy, delete_data);
                decided.push((*refresh_only, "--refresh-only"));
                (file, decided)
            }
            _ => return Ok(()),
        };
        match decided.iter().find(|(given, _)| *given) {
            Some((_, flag)) => {
                Err(wrong(format!("`{flag}` was decided when the plan `{}` was made and cannot be given again", file.display())))
            }
            None => Ok(()),
        }
    }
}

/// Events that are shown when nobody says how many: about a screen.
const EVENTS_SHOWN: u64 = 50;
/// The flags that say what a saved plan has decided, and whether each was given.
fn decided(given: &[Given], plan: &PlanFlags, destroy: bool, delete_data: &DeleteDataFlags) -> Vec<(bool, &'static str)> {
    vec![
        (!given.is_empty(), "--var"),
        (plan.provider.provider.is_some(), "--provider"),
        (destroy, "--destroy"),
        (!plan.replace.is_empty(), "--replace"),
        (!plan.target.is_empty() || !plan.target_file.is_empty(), "--target"),
        (!plan.exclude.is_empty() || !plan.exclude_file.is_empty(), "--exclude"),
        (!plan.refresh, "--refresh"),
        (!plan.checks, "--checks"),
        (!delete_data.is_empty(), "--delete-data"),
    ]
}

/// Longer lines of help are hard to read.
const HELP_WIDTH_MAX: usize = 100;

fn in_order(matches: &ArgMatches) -> Vec<Given> {
    let has = |id: &str| matches.ids().any(|known| known.as_str() == id);
    let mut given: Vec<(usize, Given)> = Vec::new();
    if has("vars") {
        let values = matches.get_many::<Assignment>("vars").into_iter().flatten().cloned();
        given.extend(
            matches.indices_of("vars").into_iter().flatten().zip(values.map(|assignment| Given::Var(assignment.name, assignment.text))),
        );
    }
    if has("var_files") {
        let values = matches.get_many::<PathBuf>("var_files").into_iter().flatten().cloned();
        given.extend(matches.indices_of("var_files").into_iter().flatten().zip(values.map(Given::File)));
    }
    given.sort_by_key(|(index, _)| *index);
    given.into_iter().map(|(_, given)| given).collect()
}

/// Makes clusters from a spec: compiles it, shows what would change, and changes it.
#[derive(Debug, Parser)]
#[command(name = "cloudtik", disable_version_flag = true, after_help = AFTER_HELP, subcommand_value_name = "COMMAND")]
pub(crate) struct Syntax {
    /// Work in this folder
    #[arg(short = 'C', long, value_name = "DIR", global = true)]
    chdir: Option<PathBuf>,
    /// Use no colour
    #[arg(long, global = true)]
    no_color: bool,
    /// Show the version
    #[arg(long, short = 'V')]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "Every long flag may also be written with one dash. `cloudtik COMMAND --help` says more about a command.";

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a starter project into an empty folder; elsewhere, check that the project can be worked with
    Init {
        /// Start from this example
        #[arg(long, value_name = "EXAMPLE")]
        from: Option<String>,
        #[command(flatten)]
        provider: ProviderFlags,
    },
    /// Check the spec; nobody is asked anything
    Validate {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        provider: ProviderFlags,
    },
    /// Write spec files as everybody writes them: blanks, columns and line beginnings
    Fmt {
        /// Files and folders; the current folder without any, `-` for standard input
        #[arg(value_name = "TARGET")]
        targets: Vec<PathBuf>,
        /// Change nothing: exit with 2 if something would change
        #[arg(long)]
        check: bool,
        /// Show what changes
        #[arg(long)]
        diff: bool,
        /// Also the folders below
        #[arg(long)]
        recursive: bool,
        /// Write the files; `--write=false` leaves them alone
        #[arg(long, value_name = "BOOL", default_value_t = true, hide_default_value = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set, value_parser = truth)]
        write: bool,
        /// Name the files that change; `--list=false` does not
        #[arg(long, value_name = "BOOL", default_value_t = true, hide_default_value = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set, value_parser = truth)]
        list: bool,
    },
    /// Work out expressions, one a line, with the names of the project
    Console {
        #[command(flatten)]
        provider: ProviderFlags,
    },
    /// Print the graph of resources and steps
    Graph {
        /// The form
        #[arg(long, value_enum, default_value_t = GraphFormat::Dot, value_name = "FORMAT")]
        format: GraphFormat,
        #[command(flatten)]
        provider: ProviderFlags,
    },
    /// Print what the spec compiles to, as JSON
    Compile {
        /// Print a document that another tool deploys instead
        #[arg(long, value_enum, value_name = "FORMAT")]
        emit: Option<EmitFormat>,
        /// Of which workspace, where there is more than one
        #[arg(long, value_name = "ADDRESS", requires = "emit")]
        workspace: Option<Address>,
        /// Write it to this file
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        provider: ProviderFlags,
    },
    /// Show what would change; nothing is changed
    Plan {
        /// Save the plan to this file, for `cloudtik apply FILE`
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Plan to destroy everything
        #[arg(long)]
        destroy: bool,
        /// Write what changed outside into the state, and change nothing else
        #[arg(long, conflicts_with_all = ["destroy", "replace", "which", "base", "state"])]
        refresh_only: bool,
        /// Ask no provider: what only a provider can tell is not known
        #[arg(long, conflicts_with = "refresh_only")]
        offline: bool,
        /// Exit with 2 if there is something to change
        #[arg(long)]
        detailed_exitcode: bool,
        /// Print the plan as JSON
        #[arg(long)]
        json: bool,
        /// Write the plan to this file as Markdown, for the comment of a pull request
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// Print why something happens at this address, back to the lines of the spec, instead of the plan
        #[arg(long, value_name = "ADDRESS", value_parser = address, conflicts_with = "json")]
        explain: Option<Address>,
        #[command(flatten)]
        compare: CompareFlags,
        #[command(flatten)]
        delete_data: DeleteDataFlags,
        #[command(flatten)]
        plan: PlanFlags,
    },
    /// Make what the spec wants
    Apply {
        /// A plan that `cloudtik plan --out FILE` saved; it is applied without asking
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Do not ask before
        #[arg(long)]
        auto_approve: bool,
        /// Destroy everything
        #[arg(long)]
        destroy: bool,
        /// Write what changed outside into the state, and change nothing else
        #[arg(long, conflicts_with_all = ["destroy", "replace", "which"])]
        refresh_only: bool,
        /// Do not wait for workers: end when the heads have the new configuration
        #[arg(long)]
        no_wait: bool,
        /// Print what happens as JSON, one event a line; nobody is asked
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        delete_data: DeleteDataFlags,
        #[command(flatten)]
        plan: PlanFlags,
    },
    /// Destroy everything that this project made
    Destroy {
        /// Do not ask before
        #[arg(long)]
        auto_approve: bool,
        /// Print what happens as JSON, one event a line; nobody is asked
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        delete_data: DeleteDataFlags,
        #[command(flatten)]
        plan: PlanFlags,
    },
    /// Show the state, a saved plan, or a block of the spec
    Show {
        /// A plan that `cloudtik plan --out FILE` saved
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
        /// Print this block of the spec with what it inherits, each line with its origin
        #[arg(long, value_name = "ADDRESS", value_parser = address, conflicts_with_all = ["file", "json"])]
        spec: Option<Address>,
        #[command(flatten)]
        variables: VariableFlags,
    },
    /// Look at the state, or change what it says; nothing in the world changes
    State {
        #[command(subcommand)]
        action: StateAction,
    },
    /// Show the outputs of the last apply
    Output {
        /// The output to show; all without it
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Print it as JSON
        #[arg(long, conflicts_with = "raw")]
        json: bool,
        /// Print the text of the output as it is, without quotes and without the end of a line
        #[arg(long)]
        raw: bool,
        #[command(flatten)]
        variables: VariableFlags,
    },
    /// Show how things stand with a cluster: its groups, nodes and services
    Status {
        /// The cluster; may be left out where the project has one
        #[arg(value_name = "CLUSTER")]
        cluster: Option<String>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what happened in a cluster, oldest first
    Events {
        /// The cluster; may be left out where the project has one
        #[arg(value_name = "CLUSTER")]
        cluster: Option<String>,
        /// Only what came after the event of this number
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = whole)]
        after: u64,
        /// At most so many, the newest
        #[arg(long, value_name = "N", default_value_t = EVENTS_SHOWN, value_parser = whole)]
        limit: u64,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a command on the head of a cluster, or on other nodes of it; it ends with the command's exit code
    Exec {
        /// The cluster; may be left out where the project has one
        #[arg(value_name = "CLUSTER")]
        cluster: Option<String>,
        /// Where: `head`, the end of an address such as `etcd[1]`, a sequence number, or an id
        #[arg(long, value_name = "NODE")]
        node: Option<String>,
        /// On the head and on every worker; each line begins with the node's name
        #[arg(long)]
        all: bool,
        /// Print one JSON document for each node
        #[arg(long)]
        json: bool,
        /// Program and arguments, after `--`
        #[arg(value_name = "CMD", last = true)]
        words: Vec<String>,
    },
    /// List what the local cloud of this machine has, or remove what a deleted project left there
    Local {
        /// What to do
        #[arg(value_enum, value_name = "ACTION")]
        action: LocalAction,
        /// What to remove: ids as `list` shows them; what to forget: the name of an inventory
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// Remove everything, whatever project made it
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Do not ask before
        #[arg(long)]
        auto_approve: bool,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what the code of an error or a warning means, with an example and what to write instead
    Explain {
        /// The code, as it stands in brackets in front of the message
        #[arg(value_name = "CODE")]
        code: String,
    },
    /// Show the version
    Version {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What to do with the local cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LocalAction {
    /// Show what is there.
    List,
    /// Remove it.
    Purge,
    /// Take an inventory that is somewhere else for lost: its objects count as gone.
    Forget,
}

/// What to do with the state.
#[derive(Debug, Subcommand)]
pub(crate) enum StateAction {
    /// List the addresses that it has
    List {
        /// Where; everything below an address is meant with it
        #[arg(value_name = "ADDRESS", value_parser = address)]
        addresses: Vec<Address>,
        #[command(flatten)]
        variables: VariableFlags,
    },
    /// Show what exists at some addresses
    Show {
        /// Where; everything below an address is meant with it
        #[arg(value_name = "ADDRESS", value_parser = address, required = true)]
        addresses: Vec<Address>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        variables: VariableFlags,
    },
    /// Call what is at one address by another one
    Mv {
        /// A resource, `workspace.w`, `cluster.c` or `module.m`
        #[arg(value_name = "SOURCE", value_parser = address)]
        from: Address,
        /// What it is called in the spec now
        #[arg(value_name = "DESTINATION", value_parser = address)]
        to: Address,
        #[command(flatten)]
        edit: EditFlags,
    },
    /// Let go of what is at some addresses: it stays, and cloudtik forgets it
    Rm {
        /// Where; everything below an address is meant with it
        #[arg(value_name = "ADDRESS", value_parser = address, required = true)]
        addresses: Vec<Address>,
        #[command(flatten)]
        edit: EditFlags,
    },
    /// Print it as it lies in its store, sensitive values sealed
    Pull {
        #[command(flatten)]
        variables: VariableFlags,
    },
    /// Put a file in its place
    Push {
        /// What `pull` printed; `-` for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Also one of another lineage, or an older one
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        lock: LockFlags,
        #[command(flatten)]
        variables: VariableFlags,
    },
    /// Move it to where the spec says now
    Migrate {
        #[command(flatten)]
        lock: LockFlags,
        #[command(flatten)]
        variables: VariableFlags,
    },
}

/// How the state is edited.
#[derive(Clone, Debug, Args)]
pub(crate) struct EditFlags {
    /// Change nothing: say what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write the state as it was to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) backup: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) lock: LockFlags,
    #[command(flatten)]
    variables: VariableFlags,
}

/// How a graph is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
    /// For tools.
    Json,
}

/// What a workspace can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EmitFormat {
    /// A template of AWS CloudFormation.
    Cloudformation,
}

impl EmitFormat {
    /// As providers know it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Cloudformation => "cloudformation",
        }
    }
}

/// Where values come from.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct VariableFlags {
    /// Give a variable a value; may be repeated, later wins
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = assignment)]
    vars: Vec<Assignment>,
    /// Read values of variables from this file; may be repeated
    #[arg(long = "var-file", value_name = "FILE")]
    var_files: Vec<PathBuf>,
}

/// Where values and things come from.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ProviderFlags {
    #[command(flatten)]
    variables: VariableFlags,
    /// Use this provider instead of every provider of the spec, for example `sim`
    #[arg(long, value_name = "TYPE")]
    pub(crate) provider: Option<String>,
}

/// What a plan is made of, and how it is carried out.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlanFlags {
    /// Whether to look at what exists before comparing
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true, hide_default_value = true, action = clap::ArgAction::Set, value_parser = truth)]
    pub(crate) refresh: bool,
    /// Whether to ask the providers, before anything is made, what would not go well
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true, hide_default_value = true, action = clap::ArgAction::Set, value_parser = truth)]
    pub(crate) checks: bool,
    /// Make this object anew; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) replace: Vec<Address>,
    /// Plan for this and what it cannot be without; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) target: Vec<Address>,
    /// The same for each address in this file, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) target_file: Vec<PathBuf>,
    /// Leave this out, and what cannot be without it; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) exclude: Vec<Address>,
    /// The same for each address in this file, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) exclude_file: Vec<PathBuf>,
    /// Destroy workspaces, or make parts of them anew, although clusters of other projects are in them
    #[arg(long)]
    pub(crate) allow_disruption: bool,
    /// Operations that run at once
    #[arg(long, value_name = "N", value_parser = parallelism)]
    pub(crate) parallelism: Option<usize>,
    #[command(flatten)]
    pub(crate) lock: LockFlags,
    /// Whether somebody may be asked
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true, hide_default_value = true, action = clap::ArgAction::Set, value_parser = truth)]
    pub(crate) input: bool,
    /// Show more: long values whole, inputs of new steps, what steps print
    #[arg(long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) provider: ProviderFlags,
}

/// How the lock of the state is held.
#[derive(Clone, Debug, Args)]
pub(crate) struct LockFlags {
    /// Whether to hold the lock of the state
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true, hide_default_value = true, action = clap::ArgAction::Set, value_parser = truth)]
    pub(crate) lock: bool,
    /// How long to wait for the lock, for example `10s`
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s", hide_default_value = true)]
    pub(crate) lock_timeout: Duration,
}

/// Which kept data goes.
#[derive(Clone, Debug, Args)]
pub(crate) struct DeleteDataFlags {
    /// With a destroy: delete data that says `on_destroy = "keep"`: an address, or `all`; may be repeated
    #[arg(long = "delete-data", value_name = "ADDRESS", value_parser = data_address)]
    which: Vec<DataAddress>,
}

impl DeleteDataFlags {
    /// Whether none is named.
    pub(crate) const fn is_empty(&self) -> bool {
        self.which.is_empty()
    }

    /// As the facade takes it.
    pub(crate) fn to_options(&self) -> cloudtik::DeleteData {
        if self.which.is_empty() {
            return cloudtik::DeleteData::None;
        }
        let named: Option<_> =
            self.which.iter().map(|which| if let DataAddress::Of(address) = which { Some(address.clone()) } else { None }).collect();
        named.map_or(cloudtik::DeleteData::All, cloudtik::DeleteData::Of)
    }
}

#[derive(Clone, Debug)]
enum DataAddress {
    All,
    Of(Address),
}

/// `NAME=VALUE`
#[derive(Clone, Debug)]
struct Assignment {
    name: String,
    text: String,
}

fn assignment(text: &str) -> Result<Assignment, String> {
    match text.split_once('=') {
        Some((name, text)) if !name.trim().is_empty() => Ok(Assignment { name: name.trim().to_owned(), text: text.to_owned() }),
        _ => Err("NAME=VALUE is expected".to_owned()),
    }
}

fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|error: cloudtik::model::AddressError| error.to_string())
}

fn data_address(text: &str) -> Result<DataAddress, String> {
    if text == "all" { Ok(DataAddress::All) } else { address(text).map(DataAddress::Of) }
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a whole number is expected".to_owned())
}

fn parallelism(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a whole number above 0 is expected".to_owned())
}
