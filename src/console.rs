//! Expressions that somebody asks about, worked out with all names of a project and with what its state knows.

use cloudtik_compiler::{Compiled, compile};
use cloudtik_executor::engine::Objects;
use cloudtik_lang::{Context, Impure, resolve};
use cloudtik_model::{Diagnostics, SourceMap, Value};

use crate::project::moment;
use crate::{Failure, Project};

/// What expressions are.
#[derive(Debug)]
pub struct Answers {
    /// The value of each, or what is wrong with it, in their order.
    pub answers: Vec<Result<Value, Diagnostics>>,
    /// The texts that errors show.
    pub sources: SourceMap,
}

impl Project {
    /// Works expressions out. Nobody is asked: what neither the spec nor the state tells is not known. A folder without a spec has no names, and
    /// expressions that need none can be worked out there.
    ///
    /// # Errors
    /// The spec's and the state's; those of an expression stand for its value.
    pub fn evaluate(&self, expressions: &[String]) -> Result<Answers, Failure> {
        let state = self.state_or_none()?;
        let moment = moment()?;
        let (Compiled { answers, .. }, sources, found) = compile(&self.compile_input(&state.facts, expressions, &moment.time));
        if found.iter().any(|diagnostic| diagnostic.is_error() && diagnostic.code != "empty-project") {
            return Err(Failure::error(found, sources));
        }
        let objects = Objects(&state);
        let context = Context::new(&objects).with_impure(Impure::Applied(&moment));
        let answers = answers.into_iter().map(|answer| resolve(&answer?, &context)).collect();
        Ok(Answers { answers, sources })
    }
}
