//! Expressions that somebody asks about, worked out with all names of a project and with what its state knows.

use std::collections::BTreeMap;

use cloudtik_compiler::{Compiled, compile};
use cloudtik_lang::{Context, Found, Scope, Traversal, Variables, resolve};
use cloudtik_model::{Address, Diagnostics, SourceMap, State, Value};

use crate::{Failure, Project};

/// What expressions are.
#[derive(Debug)]
pub struct Answers {
    /// The value of each, or what is wrong with it, in their order.
    pub answers: Vec<Result<Value, Diagnostics>>,
    /// The texts that errors show.
    pub sources: SourceMap,
}

/// What the objects of a state are to expressions.
struct Objects(BTreeMap<Address, Value>);

impl Objects {
    fn of(state: State) -> Self {
        let of_entry = |(address, entry): (Address, cloudtik_model::StateEntry)| {
            let object = entry.current?;
            let mut attributes = object.attributes.entries().cloned().unwrap_or_default();
            attributes.insert("id".into(), object.id.as_str().into());
            Some((address, Value::object(attributes)))
        };
        Self(state.resources.into_iter().filter_map(of_entry).collect())
    }
}

impl Scope for Objects {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        Variables::none().lookup(traversal)
    }

    fn reference(&self, address: &Address) -> Option<Value> {
        self.0.get(address).cloned()
    }
}

impl Project {
    /// Works expressions out. Nobody is asked: what neither the spec nor the state tells is not known. A folder without a spec has no names, and
    /// expressions that need none can be worked out there.
    ///
    /// # Errors
    /// The spec's and the state's; those of an expression stand for its value.
    pub fn evaluate(&self, expressions: &[String]) -> Result<Answers, Failure> {
        let state = self.state_or_none()?;
        let facts = state.facts.clone();
        let (Compiled { answers, .. }, sources, found) = compile(&self.compile_input(&facts, expressions));
        if found.iter().any(|diagnostic| diagnostic.is_error() && diagnostic.code != "empty-project") {
            return Err(Failure::error(found, sources));
        }
        let objects = Objects::of(state);
        let context = Context::new(&objects);
        let answers = answers.into_iter().map(|answer| resolve(&answer?, &context)).collect();
        Ok(Answers { answers, sources })
    }
}
