//! From the arguments as they were typed to the arguments as they are read: one dash or two, defaults from the environment, and an honest
//! word for what is not in effect.

use std::ffi::OsString;

use clap::{ArgAction, Command, CommandFactory as _};

use super::arguments::Syntax;
use super::environment::Environment;
use super::usage::{self, Answer};

/// The arguments, ready to be parsed; the first is the program.
#[derive(Debug)]
pub(crate) struct Words(pub(crate) Vec<OsString>);

impl Words {
    /// Reads them. Every long flag may have one dash; what `CLOUDTIK_CLI_ARGS` and `CLOUDTIK_CLI_ARGS_<command>` say comes before what was
    /// typed, so that what was typed wins.
    pub(crate) fn read(arguments: Vec<OsString>, environment: &Environment) -> Result<Self, Answer> {
        let tree = Syntax::command();
        let mut typed = arguments.into_iter();
        let mut words = vec![typed.next().unwrap_or_else(|| "cloudtik".into())];
        let command = loop {
            let Some(word) = typed.next() else { return Ok(Self(words)) };
            let Some(flag) = word.to_str().and_then(two_dashes) else { break word };
            words.push(flag.clone().into());
            if flag == "-C" || flag == "--chdir" {
                words.extend(typed.next());
            }
        };
        let command = command.to_string_lossy().into_owned();
        usage::check_command(&command, &tree)?;
        words.push(command.clone().into());
        let known = Flags::of(&tree, &command);
        let mut given: Vec<OsString> = Vec::new();
        for (variable, text) in environment.arguments(&command) {
            given.extend(split(text).map_err(|problem| usage::wrong(format!("`{variable}`: {problem}")))?.into_iter().map(OsString::from));
        }
        given.extend(typed);
        if let Some(own) = tree.find_subcommand(&command)
            && let Some(action) = given.first().and_then(|word| word.to_str()).filter(|word| !word.starts_with('-'))
        {
            usage::check_action(&command, action, own)?;
        }
        known.normalize(given, &mut words)?;
        Ok(Self(words))
    }
}

/// Whether the arguments, which may be wrong, want what happens as events: then what is wrong with them is one too.
pub(crate) fn want_events(arguments: &[OsString], environment: &Environment) -> bool {
    let mut typed = arguments.iter().skip(1).filter_map(|word| word.to_str());
    let command = loop {
        match typed.next() {
            Some("-C" | "-chdir" | "--chdir") => drop(typed.next()),
            Some(word) if word.starts_with('-') => {}
            Some(word) => break word,
            None => return false,
        }
    };
    let is_json = |word: &str| matches!(two_dashes(word).as_deref(), Some("--json" | "--json=true"));
    let mut of_environment = environment.arguments(command).flat_map(|(_, text)| text.split_whitespace());
    matches!(command, "apply" | "destroy") && (typed.take_while(|word| *word != "--").any(is_json) || of_environment.any(is_json))
}

/// The flags of a command.
struct Flags<'a> {
    command: &'a str,
    /// Those that are there or not there.
    switches: Vec<String>,
    /// Those whose value may be the next argument.
    with_value: Vec<String>,
}

impl<'a> Flags<'a> {
    fn of(tree: &Command, command: &'a str) -> Self {
        // Of a command that is several, the flags of all of them: one name is one flag.
        let own = || tree.find_subcommand(command).into_iter();
        let below = own().flat_map(Command::get_subcommands).flat_map(Command::get_arguments);
        let own = own().flat_map(Command::get_arguments).chain(below);
        let (mut switches, mut with_value) = (Vec::new(), vec!["-C".to_owned()]);
        for argument in tree.get_arguments().chain(own) {
            let Some(long) = argument.get_long() else { continue };
            match argument.get_action() {
                ArgAction::SetTrue => switches.push(format!("--{long}")),
                ArgAction::Set | ArgAction::Append if !argument.is_require_equals_set() => with_value.push(format!("--{long}")),
                _ => {}
            }
        }
        Self { command, switches, with_value }
    }

    fn normalize(&self, given: Vec<OsString>, words: &mut Vec<OsString>) -> Result<(), Answer> {
        let mut given = given.into_iter();
        while let Some(word) = given.next() {
            if word == "--" {
                words.push(word);
                words.extend(given);
                return Ok(());
            }
            let Some(flag) = word.to_str().and_then(two_dashes) else {
                words.push(word);
                continue;
            };
            let (name, value) = flag.split_once('=').map_or((flag.as_str(), None), |(name, value)| (name, Some(value)));
            let is_switch = self.switches.iter().any(|switch| switch == name);
            let has_value = self.with_value.iter().any(|with_value| with_value == name);
            if !is_switch && !has_value {
                usage::check_flag(self.command, name)?;
            }
            match value {
                Some(value) if is_switch => {
                    if usage::truth(value).map_err(|problem| usage::wrong(format!("`{flag}`: {problem}")))? {
                        words.push(name.into());
                    }
                }
                _ => words.push(flag.clone().into()),
            }
            if has_value && value.is_none() {
                words.extend(given.next());
            }
        }
        Ok(())
    }
}

/// The flag with two dashes, if the word is a flag. `-C` and flags of one letter stay.
fn two_dashes(word: &str) -> Option<String> {
    let name = word.strip_prefix('-').filter(|name| !name.is_empty())?;
    let stays = name.starts_with('-') || name.starts_with('C') || name.chars().count() == 1;
    Some(if stays { word.to_owned() } else { format!("-{word}") })
}

/// Splits as a shell does: at blanks, with quotes and backslashes.
fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), c) if c != '\'' => word.get_or_insert_default().push(c),
            (Some(open), c) if c == open => quote = None,
            (_, '\\') => word.get_or_insert_default().push(chars.next().ok_or("it ends with a backslash")?),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quotation is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<String> {
        let words = Words::read(line.split(' ').map(OsString::from).collect(), &Environment::default()).unwrap();
        words.0.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn long_flags_may_have_one_dash() {
        assert_eq!(
            read("cloudtik -chdir=a plan -out=b -var -x=1 -no-color"),
            ["cloudtik", "--chdir=a", "plan", "--out=b", "--var", "-x=1", "--no-color"]
        );
        assert_eq!(read("cloudtik -C a plan -h"), ["cloudtik", "-C", "a", "plan", "-h"]);
        assert_eq!(read("cloudtik output -- -json"), ["cloudtik", "output", "--", "-json"]);
    }

    #[test]
    fn switches_take_true_and_false() {
        assert_eq!(read("cloudtik plan -json=true -destroy=false -lock=false"), ["cloudtik", "plan", "--json", "--lock=false"]);
    }

    #[test]
    fn the_environment_comes_before_what_was_typed() {
        assert_eq!(split(r#"a 'b c' "d \" e" f\ g ''"#).unwrap(), ["a", "b c", "d \" e", "f g", ""]);
        assert!(split("'a").is_err() && split("a\\").is_err());
    }
}
