//! Which form nodes have: what the provider block asks for, and what the machine can do.

use cloudtik_model::{Number, ProviderRef, Value};
use cloudtik_provider_api::{CallError, ErrorClass, FactQuestion, Facts};

use super::LOCAL_PROVIDER;
use crate::protocol::{self, Form};

/// The question that is asked.
pub(super) const QUESTION: &str = "isolation";

/// What the provider block asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    /// Namespaces for root, plain for everybody else.
    Auto,
    Namespaces,
    Plain,
}

impl Isolation {
    pub(super) const WORDS: [&'static str; 3] = ["auto", "namespaces", "plain"];

    /// What a configuration asks for; an error is a word that means nothing.
    pub(super) fn of(config: &Value) -> Result<Self, String> {
        match config.get("isolation").and_then(Value::as_str) {
            None | Some("auto") => Ok(Self::Auto),
            Some("namespaces") => Ok(Self::Namespaces),
            Some("plain") => Ok(Self::Plain),
            Some(other) => Err(other.to_owned()),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Namespaces => "namespaces",
            Self::Plain => "plain",
        }
    }

    /// The form, where it does not depend on the machine.
    const fn form(self) -> Option<Form> {
        match self {
            Self::Auto => None,
            Self::Namespaces => Some(Form::Namespaces),
            Self::Plain => Some(Form::Plain),
        }
    }
}

/// What the answer to the question says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// The form of the nodes.
    pub(super) form: Form,
    /// Why, or what is limited.
    pub(super) reason: Option<String>,
    /// Whether nodes are root's.
    pub(super) root: bool,
    /// Processors of the machine.
    pub(super) cpus: Option<Number>,
    /// Memory of the machine.
    pub(super) memory_gib: Option<Number>,
}

/// What a plan with a workspace must ask.
pub(super) fn question(provider: &ProviderRef, isolation: Isolation) -> FactQuestion {
    FactQuestion {
        key: key_of(provider, isolation),
        question: QUESTION.to_owned(),
        arguments: Value::object([("isolation", Value::from(isolation.word()))]),
        pin: true,
    }
}

/// An answer is pinned under its key, so another word in the provider block needs another key: only so is it asked anew.
fn key_of(provider: &ProviderRef, isolation: Isolation) -> String {
    match isolation {
        Isolation::Auto => format!("{provider}.isolation"),
        explicit => format!("{provider}.isolation.{}", explicit.word()),
    }
}

/// The answer, if there is one.
pub(super) fn known(provider: &ProviderRef, config: &Value, facts: &Facts) -> Option<Known> {
    let isolation = Isolation::of(config).ok()?;
    let answer = facts.get(&key_of(provider, isolation))?;
    let form = match answer.get("form").or(Some(answer))?.as_str()? {
        "namespaces" => Form::Namespaces,
        "plain" => Form::Plain,
        _ => return None,
    };
    let number = |name: &str| answer.get(name).and_then(Value::as_number).cloned();
    Some(Known {
        form,
        reason: answer.get("reason").and_then(Value::as_str).map(str::to_owned),
        root: answer.get("root").and_then(Value::as_bool).unwrap_or(false),
        cpus: number("cpus"),
        memory_gib: number("memory_gib"),
    })
}

/// The form, as far as the configuration and the answers tell.
pub(super) fn form_of(provider: &ProviderRef, config: &Value, facts: &Facts) -> Option<Form> {
    let known = known(provider, config, facts).map(|known| known.form);
    known.or_else(|| Isolation::of(config).ok().and_then(Isolation::form))
}

/// The answer to the question on this machine.
pub(super) fn answer(isolation: Isolation, machine: &protocol::Facts) -> Result<Value, CallError> {
    let (form, reason) = choose(isolation, machine)?;
    Ok(Value::object([
        ("form", Value::from(form.name())),
        ("reason", reason.map_or(Value::NULL, Value::from)),
        ("root", machine.root.into()),
        ("cpus", machine.cpus.into()),
        // A machine of 8 GiB shows a little less than it has.
        ("memory_gib", machine.memory_mib.div_ceil(1024).into()),
    ]))
}

/// The form on this machine, and why.
pub(super) fn choose(isolation: Isolation, machine: &protocol::Facts) -> Result<(Form, Option<String>), CallError> {
    let namespaces = &machine.namespaces;
    let asked = || Some("as `isolation` says".to_owned());
    match isolation {
        Isolation::Plain => Ok((Form::Plain, asked())),
        Isolation::Namespaces | Isolation::Auto if namespaces.possible => {
            let limited = namespaces.reason.clone();
            Ok((Form::Namespaces, limited.or_else(|| if isolation == Isolation::Auto { Some("root".to_owned()) } else { asked() })))
        }
        Isolation::Auto if !machine.root => Ok((Form::Plain, namespaces.reason.clone())),
        Isolation::Namespaces | Isolation::Auto => Err(not_possible(machine)),
    }
}

/// Root's nodes without walls would run commands of a spec as root on the machine itself: that is for the spec to ask for.
fn not_possible(machine: &protocol::Facts) -> CallError {
    let reason = machine.namespaces.reason.as_deref().unwrap_or("the reason is not known");
    let message = format!("this machine cannot keep nodes in namespaces: {reason}");
    let plain = format!("write `isolation = \"plain\"` in `provider \"{LOCAL_PROVIDER}\"`");
    let help = if machine.root {
        format!("{plain}; then nodes run as root on this machine, and nothing keeps them from the rest of it. Or run as another user")
    } else {
        format!("{plain}, or run as root")
    };
    CallError::new(ErrorClass::Permanent, "namespaces_not_possible", message).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::FormFact;

    fn machine(root: bool, possible: bool) -> protocol::Facts {
        let reason = (!possible).then(|| "no way".to_owned());
        let fact = FormFact { possible, reason };
        protocol::Facts { namespaces: fact.clone(), plain_pid_namespace: fact, cpus: 4, memory_mib: 7_900, root }
    }

    fn config(word: &str) -> Value {
        Value::object([("isolation", Value::from(word))])
    }

    #[test]
    fn the_form_follows_the_word_and_the_machine() {
        let form =
            |isolation, root, possible| choose(isolation, &machine(root, possible)).map(|(form, _)| form).map_err(|error| error.code);
        let refused = || Err("namespaces_not_possible".to_owned());
        assert_eq!(form(Isolation::Auto, true, true), Ok(Form::Namespaces));
        assert_eq!(form(Isolation::Auto, false, false), Ok(Form::Plain));
        assert_eq!(form(Isolation::Auto, true, false), refused());
        assert_eq!(form(Isolation::Plain, true, true), Ok(Form::Plain));
        assert_eq!(form(Isolation::Namespaces, true, true), Ok(Form::Namespaces));
        assert_eq!(form(Isolation::Namespaces, false, false), refused());
        let error = choose(Isolation::Namespaces, &machine(false, false)).unwrap_err();
        assert!(error.message.contains("no way") && error.help.unwrap().contains("isolation = \"plain\""));
    }

    #[test]
    fn an_answer_is_read_back_and_belongs_to_one_word() {
        let local = ProviderRef::new("local");
        let asked = question(&local, Isolation::Auto);
        assert_eq!((asked.key.as_str(), asked.pin), ("local.isolation", true));
        let facts: Facts = [(asked.key, answer(Isolation::Auto, &machine(true, true)).unwrap())].into_iter().collect();
        let read = known(&local, &config("auto"), &facts).unwrap();
        assert_eq!((read.form, read.root, read.cpus, read.memory_gib), (Form::Namespaces, true, Some(4_u64.into()), Some(8_u64.into())));
        assert_eq!(known(&local, &config("plain"), &facts), None);
        assert_eq!(form_of(&local, &config("plain"), &facts), Some(Form::Plain));
        assert_eq!(form_of(&local, &config("auto"), &Facts::new()), None);
        let short: Facts = [("local.isolation".to_owned(), Value::from("plain"))].into_iter().collect();
        assert_eq!(form_of(&local, &config("auto"), &short), Some(Form::Plain));
    }
}
