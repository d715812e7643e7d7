//! A block of the spec as it is after inheritance.

use cloudtik_compiler::spec_text;
use cloudtik_model::{Address, Diagnostic};

use crate::project::moment;
use crate::{Failure, Project};

impl Project {
    /// A workspace, a cluster or a block in one after inheritance, as text of the language: each line with the place that it comes from. Nobody
    /// is asked, and sensitive values are not in it.
    ///
    /// # Errors
    /// The spec's and the state's; the spec has no such block.
    pub fn spec_text(&self, address: &Address) -> Result<String, Failure> {
        let state = self.state_or_none()?;
        let moment = moment()?;
        let (text, sources, found) = spec_text(&self.compile_input(&state.facts, &[], &moment.time), address);
        if found.has_errors() {
            return Err(Failure::error(found, sources));
        }
        text.ok_or_else(|| {
            let title = format!("the spec has no block at `{address}`");
            let help = "name a workspace, a cluster or a block in one: `cluster.c`, `cluster.c[\"key\"]`, `cluster.c.workers.default`";
            Failure::plain(Diagnostic::error("no-such-block", title).help(help))
        })
    }
}
