//! The environment variables that the command line reads: all of them, in one place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Arguments for every command.
pub(crate) const CLI_ARGS: &str = "CLOUDTIK_CLI_ARGS";
/// `0` or `false`: nobody is asked anything.
const INPUT: &str = "CLOUDTIK_INPUT";
/// Set: hints for people who type commands are left out.
const IN_AUTOMATION: &str = "CLOUDTIK_IN_AUTOMATION";
/// The folder of state, journal and keys.
const DATA_DIR: &str = "CLOUDTIK_DATA_DIR";
/// The beginning of names that give values to variables.
const VAR: &str = "CLOUDTIK_VAR_";
/// Set and not empty: no colour.
const NO_COLOR: &str = "NO_COLOR";

/// What the environment says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// Every `CLOUDTIK_…` variable that is text, by name.
    variables: BTreeMap<String, String>,
    /// Names of `CLOUDTIK_VAR_…` whose value is not text.
    pub(crate) not_text: Vec<String>,
    /// No colour.
    pub(crate) no_color: bool,
    /// The folder of state, journal and keys.
    pub(crate) data_dir: Option<PathBuf>,
}

impl Environment {
    /// That of this process.
    pub(crate) fn read() -> Self {
        Self::of(std::env::vars_os())
    }

    fn of(all: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in all {
            let Some(name) = name.to_str() else { continue };
            if name == NO_COLOR {
                environment.no_color = !value.is_empty();
            } else if name == DATA_DIR {
                environment.data_dir = Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty());
            } else if name.starts_with("CLOUDTIK_") {
                match value.into_string() {
                    Ok(value) => drop(environment.variables.insert(name.to_owned(), value)),
                    Err(_) => environment.not_text.push(name.to_owned()),
                }
            }
        }
        environment.not_text.sort();
        environment
    }

    /// Arguments for every command, and for this one.
    pub(crate) fn arguments(&self, command: &str) -> impl Iterator<Item = (String, &str)> {
        let names = [CLI_ARGS.to_owned(), format!("{CLI_ARGS}_{}", command.replace('-', "_"))];
        names.into_iter().filter_map(|name| self.variables.get(&name).map(|text| (name, text.as_str())))
    }

    /// Whether somebody may be asked.
    pub(crate) fn input(&self) -> bool {
        !self.variables.get(INPUT).is_some_and(|value| matches!(value.as_str(), "0" | "false"))
    }

    /// Whether hints are left out.
    pub(crate) fn in_automation(&self) -> bool {
        self.variables.get(IN_AUTOMATION).is_some_and(|value| !value.is_empty())
    }

    /// Values of variables by the variable's name.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        let named = self.variables.iter().filter_map(|(name, value)| Some((name.strip_prefix(VAR)?, value)));
        named.filter(|(name, _)| !name.is_empty()).map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(all: &[(&str, &str)]) -> Environment {
        Environment::of(all.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn each_variable_says_what_it_says() {
        let read = environment(&[
            ("CLOUDTIK_VAR_size", "3"),
            ("CLOUDTIK_INPUT", "0"),
            ("CLOUDTIK_IN_AUTOMATION", "1"),
            ("CLOUDTIK_CLI_ARGS", "-no-color"),
            ("CLOUDTIK_CLI_ARGS_plan", "-lock=false"),
            ("NO_COLOR", ""),
            ("CLOUDTIK_DATA_DIR", ""),
        ]);
        assert_eq!(read.values(), BTreeMap::from([("size".to_owned(), "3".to_owned())]));
        assert!(!read.input() && read.in_automation() && !read.no_color && read.data_dir.is_none());
        assert_eq!(read.arguments("plan").map(|(_, text)| text).collect::<Vec<_>>(), ["-no-color", "-lock=false"]);
        assert_eq!(read.arguments("apply").count(), 1);
        let unset = environment(&[]);
        assert!(unset.input() && !unset.in_automation());
    }
}
