//! Which declaration needs which, in all modules: the order in which they are evaluated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{Reference, ReferenceStep, references};
use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, MODULE, Span};
use cloudtik_syntax::Attribute;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::declare::{Declaration, Name, PROVIDER, body_attributes, configuration_named, named_by};
use crate::modules::{ModuleId, Modules, PROVIDERS};

/// The attribute that says what must come before.
const DEPENDS_ON: &str = "depends_on";

/// A declaration of a module.
pub(crate) type Declared = (ModuleId, Name);

/// The declarations in an order in which each comes after what it needs. A cycle is said with every place on it, and left out.
pub(crate) fn order(modules: &mut Modules, found: &mut Diagnostics) -> Vec<Declared> {
    let mut needs = Needs::new(modules);
    for (id, module) in modules.iter() {
        for (name, declaration) in &module.declarations.by_name {
            needs.declaration(id, name, declaration);
        }
        let declarations = &module.declarations;
        for block in declarations.imports.iter().chain(&declarations.checks).chain(&declarations.policies) {
            body_attributes(&block.body, &mut |attribute| {
                for reference in references(&attribute.value) {
                    let named = needs.meant(id, &reference, false);
                    needs.referenced.extend(named);
                }
            });
        }
    }
    needs.providers_come_first();
    // Components come out in reverse order of the edges: what is needed last.
    let mut ordered = Vec::new();
    let mut cyclic = Vec::new();
    for component in tarjan_scc(&needs.graph).into_iter().rev() {
        let loops = component.len() > 1 || component.first().is_some_and(|index| needs.places.contains_key(&(*index, *index)));
        let names = component.iter().filter_map(|index| needs.graph.node_weight(*index)).map(|(id, name)| (*id, (*name).clone()));
        if loops {
            found.push(needs.describe_cycle(&component));
            cyclic.extend(names);
        } else {
            ordered.extend(names);
        }
    }
    let mut referenced: BTreeMap<ModuleId, BTreeSet<Name>> = BTreeMap::new();
    for (id, name) in std::mem::take(&mut needs.referenced) {
        referenced.entry(id).or_default().insert(name.clone());
    }
    for (id, names) in referenced {
        if let Some(module) = modules.get_mut(id) {
            module.referenced = Arc::new(names);
        }
    }
    for (id, name) in cyclic {
        if let Some(module) = modules.get_mut(id) {
            module.cyclic.insert(name);
        }
    }
    ordered
}

/// The graph of what needs what.
struct Needs<'m> {
    modules: &'m Modules,
    graph: DiGraph<(ModuleId, &'m Name), ()>,
    indexes: BTreeMap<(ModuleId, &'m Name), NodeIndex>,
    /// Where something says that it needs something.
    places: BTreeMap<(NodeIndex, NodeIndex), Span>,
    referenced: BTreeSet<(ModuleId, &'m Name)>,
}

impl<'m> Needs<'m> {
    fn new(modules: &'m Modules) -> Self {
        let mut graph = DiGraph::new();
        let all = modules.iter().flat_map(|(id, module)| module.declarations.by_name.keys().map(move |name| (id, name)));
        let indexes = all.map(|name| (name, graph.add_node(name))).collect();
        Self { modules, graph, indexes, places: BTreeMap::new(), referenced: BTreeSet::new() }
    }

    fn known(&self, id: ModuleId, name: &Name) -> Option<(ModuleId, &'m Name)> {
        let declarations = &self.modules.get(id)?.declarations;
        declarations.by_name.get_key_value(name).map(|(known, _)| (id, known))
    }

    /// Notes that something needs something else, at a place that says so.
    fn add(&mut self, whose: (ModuleId, &Name), needed: (ModuleId, &Name), place: Span) {
        let (Some(to), Some(from)) = (self.indexes.get(&whose), self.indexes.get(&needed)) else { return };
        if self.places.insert((*to, *from), place).is_none() {
            self.graph.add_edge(*from, *to, ());
        }
    }

    fn declaration(&mut self, id: ModuleId, name: &'m Name, declaration: &'m Declaration) {
        if let Some((parent, call)) = self.modules.call(id) {
            let label = call.labels.first().map(|label| Name::Module(Arc::clone(&label.text)));
            label.into_iter().for_each(|label| self.add((id, name), (parent, &label), call.header));
            // A variable of a module is what the call says, in the names of whoever calls.
            if let Name::Variable(label) = name
                && let Some(argument) = call.body.attributes.iter().find(|attribute| attribute.name.name == *label)
            {
                self.expression((id, name), parent, argument);
            }
        }
        let is_call = matches!(name, Name::Module(_));
        declaration.for_each_attribute(&mut |attribute| match &*attribute.name.name {
            PROVIDERS if is_call => self.handed_providers((id, name), &attribute.value),
            "count" | "for_each" | DEPENDS_ON => self.expression((id, name), id, attribute),
            _ if is_call => {}
            _ => {
                if declaration.names_provider(attribute) {
                    self.configuration((id, name), &attribute.value);
                }
                self.expression((id, name), id, attribute);
            }
        });
    }

    fn handed_providers(&mut self, whose: (ModuleId, &'m Name), providers: &'m Expr) {
        let ExprKind::Object(entries) = &providers.kind else { return };
        entries.iter().for_each(|(_, value)| self.configuration(whose, value));
    }

    fn configuration(&mut self, whose: (ModuleId, &'m Name), named: &'m Expr) {
        let Some(name) = configuration_named(named) else { return };
        // What a module was not handed by name it has from the root.
        for id in BTreeSet::from([whose.0, ModuleId::ROOT]) {
            self.add(whose, (id, &name), named.span);
        }
    }

    /// What an attribute refers to, read in the names of a module.
    fn expression(&mut self, whose: (ModuleId, &'m Name), id: ModuleId, attribute: &'m Attribute) {
        let in_depends_on = &*attribute.name.name == DEPENDS_ON;
        for reference in references(&attribute.value) {
            for needed in self.meant(id, &reference, in_depends_on) {
                self.referenced.insert(needed);
                // A variable's own conditions look at its value, and a runtime may follow others of its own cluster.
                let own = match whose.1 {
                    Name::Variable(_) => true,
                    Name::Cluster(_) => in_depends_on && has_attribute(&reference.steps, "runtime"),
                    _ => false,
                };
                if needed != whose || !own {
                    self.add(whose, needed, reference.span);
                }
            }
        }
    }

    /// What a reference means: a declaration of the same module; of another module the output that it names, else all of them.
    fn meant(&self, id: ModuleId, reference: &Reference, in_depends_on: bool) -> Vec<(ModuleId, &'m Name)> {
        let names = attribute_names(&reference.steps);
        let Some(named) = named_by(&reference.root, &names).and_then(|name| self.known(id, &name)) else { return Vec::new() };
        let mut meant = vec![named];
        if let (MODULE, Name::Module(label)) = (&*reference.root, named.1)
            && let Some(child) = self.modules.child(id, label)
        {
            if in_depends_on {
                meant.extend(self.indexes.keys().filter(|(other, _)| self.modules.is_within(*other, child)));
                return meant;
            }
            let output = reference.steps.iter().skip(1).find_map(|step| match step {
                ReferenceStep::Attribute(name) => Some(Name::Output(Arc::clone(name))),
                ReferenceStep::Index(_) => None,
            });
            match output {
                Some(output) => meant.extend(self.known(child, &output)),
                None => {
                    let own = self.indexes.keys().filter(|(other, name)| *other == child && matches!(name, Name::Output(_)));
                    meant.extend(own);
                }
            }
        }
        meant
    }

    /// What makes things and names no configuration comes after all of them.
    fn providers_come_first(&mut self) {
        let is_maker = |name: &Name| matches!(name, Name::Resource(..) | Name::Data(..) | Name::Workspace(_));
        let chooses = |id: ModuleId, name: &Name| {
            let declaration = self.modules.get(id).and_then(|module| module.declarations.by_name.get(name));
            declaration.is_some_and(|declaration| declaration.attribute(PROVIDER).is_some())
        };
        let makers: Vec<NodeIndex> =
            self.indexes.iter().filter(|((id, name), _)| is_maker(name) && !chooses(*id, name)).map(|(_, index)| *index).collect();
        let providers = self.indexes.iter().filter(|((_, name), _)| matches!(name, Name::Provider(..)));
        for provider in providers.map(|(_, index)| *index).collect::<Vec<_>>() {
            for maker in &makers {
                if !self.places.contains_key(&(provider, *maker)) {
                    self.graph.add_edge(provider, *maker, ());
                }
            }
        }
    }

    /// Walks one cycle of a strongly connected component, from its first name.
    fn describe_cycle(&self, component: &[NodeIndex]) -> Diagnostic {
        let rank = |index: NodeIndex| self.graph.node_weight(index).copied();
        let start = component.iter().copied().min_by_key(|index| rank(*index));
        let mut path: Vec<NodeIndex> = start.into_iter().collect();
        let mut seen: BTreeSet<NodeIndex> = path.iter().copied().collect();
        while let Some(last) = path.last().copied() {
            let next = component.iter().copied().filter(|next| self.places.contains_key(&(last, *next)));
            let Some(next) = next.min_by_key(|next| (seen.contains(next), rank(*next))) else { break };
            let closed = seen.contains(&next);
            path.push(next);
            if closed {
                let from = path.iter().position(|name| *name == next).unwrap_or(0);
                path.drain(..from);
                break;
            }
            seen.insert(next);
        }
        let shown = |index: NodeIndex| rank(index).map_or_else(String::new, |(id, name)| format!("{}{name}", self.modules.prefix(id)));
        let names: Vec<String> = path.iter().map(|index| format!("`{}`", shown(*index))).collect();
        let mut diagnostic = Diagnostic::error("cycle", format!("these need each other: {}", names.join(" needs ")));
        for pair in path.windows(2) {
            if let [from, to] = pair
                && let Some(span) = self.places.get(&(*from, *to))
            {
                let message = format!("`{}` needs `{}`", shown(*from), shown(*to));
                diagnostic =
                    if diagnostic.primary.is_none() { diagnostic.at_saying(*span, message) } else { diagnostic.and_at(*span, message) };
            }
        }
        diagnostic.help("break the circle: give one of them a value that needs none of the others")
    }
}

/// The names behind a reference's root, up to the first index.
pub(crate) fn attribute_names(steps: &[ReferenceStep]) -> Vec<Arc<str>> {
    let names = steps.iter().map_while(|step| match step {
        ReferenceStep::Attribute(name) => Some(Arc::clone(name)),
        ReferenceStep::Index(_) => None,
    });
    names.collect()
}

fn has_attribute(steps: &[ReferenceStep], wanted: &str) -> bool {
    steps.iter().any(|step| matches!(step, ReferenceStep::Attribute(name) if **name == *wanted))
}
