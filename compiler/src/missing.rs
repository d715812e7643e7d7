//! Which variables still need a value. Whoever can ask somebody asks for them before the spec is compiled; nothing else of it is evaluated.

use cloudtik_model::{Diagnostics, SourceMap};

use crate::declare::{Declaration, Name};
use crate::evaluate::Evaluator;
use crate::expand::Expansion;
use crate::input::{CompileInput, gather};
use crate::load::Reads;
use crate::modules::Modules;
use crate::scope::Instance;

/// A variable that has no default and was given no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingVariable {
    /// Its name.
    pub name: String,
    /// What it is for, if the spec says so.
    pub description: Option<String>,
    /// Whether its value must not be shown.
    pub sensitive: bool,
}

/// The variables without a value, by name. None where the files have errors: those are to be mended first, and [`compile`](crate::compile)
/// says them.
#[must_use]
pub fn missing_variables(input: &CompileInput<'_>) -> Vec<MissingVariable> {
    let mut map = SourceMap::default();
    let mut found = Diagnostics::new();
    let modules = Modules::read(input.sources, &mut map, &mut found);
    let declarations = modules.root();
    let variables = || {
        declarations.by_name.iter().filter_map(|(name, declaration)| match (name, declaration) {
            (Name::Variable(label), Declaration::Block(block)) => Some((label, block)),
            _ => None,
        })
    };
    let given = gather(input, &declarations.variables(), &mut map, &mut found);
    if found.has_errors() {
        return Vec::new();
    }
    let without = |name: &str| !given.contains_key(name);
    let missing: Vec<_> = variables()
        .filter(|(label, block)| without(label) && block.body.attributes.iter().all(|attribute| &*attribute.name.name != "default"))
        .collect();
    let reads = Reads::new(input, map);
    let expansion = Expansion::new(input, &reads, given, &modules);
    let schema = expansion.top("variable");
    let instance = Instance::default();
    let evaluator = Evaluator { world: &expansion.world, reads: &reads, instance: &instance };
    let described = missing.into_iter().map(|(label, block)| {
        let fields = evaluator.block(block, &schema, &mut found);
        MissingVariable {
            name: label.to_string(),
            description: fields.text("description").map(str::to_owned),
            // What cannot be read as a truth value is an error soon; until then it is safer to show nothing.
            sensitive: fields.fields.get("sensitive").is_some_and(|field| field.value.as_bool() != Some(false)),
        }
    });
    described.collect()
}
