//! The modules of a project as they are written: the root, and the folders that it calls. The root is a module too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, Diagnostic, Diagnostics, ExprKind, MODULE, SourceMap, SourceSet, Span};
use cloudtik_syntax::Block;

use crate::declare::{Declaration, Declarations, Name, declare, named_by};
use crate::expand::attribute;
use crate::load::{Loaded, load};
use crate::schema::{BlockSchema, check_body};

/// How many calls a project may have with all that is in them: modules that call others twice double with each level.
const MAX_CALLS: usize = 1_000;

/// The attribute of a call that says in which folder the module is.
pub(crate) const SOURCE: &str = "source";

/// The attribute of a call that says which configurations a module has.
pub(crate) const PROVIDERS: &str = "providers";

/// A module as the spec calls it, whatever `count` or `for_each` make of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ModuleId(usize);

impl ModuleId {
    pub(crate) const ROOT: Self = Self(0);
}

/// A folder of the spec at one place of the tree of calls.
pub(crate) struct Module {
    /// The module that calls it, and the label of the call; none of the root.
    pub(crate) called: Option<(ModuleId, Arc<str>)>,
    /// Its folder below the project; empty for the root.
    pub(crate) folder: Arc<str>,
    pub(crate) declarations: Arc<Declarations>,
    /// Those that it calls itself, by label. One that could not be read is not here.
    pub(crate) calls: BTreeMap<Arc<str>, ModuleId>,
    /// Its names that something refers to.
    pub(crate) referenced: Arc<BTreeSet<Name>>,
    /// Its names that are part of a cycle.
    pub(crate) cyclic: BTreeSet<Name>,
}

/// All modules of a project.
pub(crate) struct Modules {
    /// What the root declares.
    root: Arc<Declarations>,
    /// All of them, the root first.
    list: Vec<Module>,
    /// The files by path, as they were compiled.
    pub(crate) texts: BTreeMap<String, Arc<str>>,
}

impl Modules {
    /// Reads the root and every folder that is called from there.
    pub(crate) fn read(sources: &dyn SourceSet, map: &mut SourceMap, found: &mut Diagnostics) -> Self {
        let mut reader = Reader { sources, map, found, top: crate::language::top_level(), folders: BTreeMap::new() };
        let mut texts = BTreeMap::new();
        let folder: Arc<str> = Arc::from("");
        let root = reader.folder(&folder, None, &mut texts).unwrap_or_default();
        let mut modules = Self { root: Arc::clone(&root), list: Vec::new(), texts };
        modules.add(None, folder, root);
        let mut next = 0;
        while next < modules.list.len() {
            modules.read_calls(ModuleId(next), &mut reader);
            next += 1;
        }
        modules
    }

    fn add(&mut self, called: Option<(ModuleId, Arc<str>)>, folder: Arc<str>, declarations: Arc<Declarations>) -> ModuleId {
        let id = ModuleId(self.list.len());
        let (calls, referenced, cyclic) = Default::default();
        self.list.push(Module { called, folder, declarations, calls, referenced, cyclic });
        id
    }

    fn read_calls(&mut self, id: ModuleId, reader: &mut Reader<'_>) {
        let Some(module) = self.list.get(id.0) else { return };
        let (folder, declarations) = (Arc::clone(&module.folder), Arc::clone(&module.declarations));
        for (label, block) in calls(&declarations) {
            let Some((source, place)) = reader.source(&folder, block) else { continue };
            if self.list.len() > MAX_CALLS {
                let title = format!("the project calls more than {MAX_CALLS} modules");
                reader.found.push(Diagnostic::error("too-many-modules", title).at(place).help("use `for_each` for modules that are alike"));
                return;
            }
            if let Some(circle) = self.circle(id, &source) {
                let title = format!("module `{label}` would be inside of itself: {circle}");
                reader.found.push(Diagnostic::error("module-cycle", title).at(place).help("call another folder"));
                continue;
            }
            let Some(declarations) = reader.folder(&source, Some(place), &mut self.texts) else { continue };
            let child = self.add(Some((id, Arc::clone(label))), source, declarations);
            if let Some(module) = self.list.get_mut(id.0) {
                module.calls.insert(Arc::clone(label), child);
            }
        }
    }

    /// The chain of folders from one around a module, or its own, back to the same.
    fn circle(&self, id: ModuleId, source: &str) -> Option<String> {
        let shown = |folder: &str| if folder.is_empty() { "the root".to_owned() } else { format!("`{folder}`") };
        let mut chain = vec![shown(source)];
        let mut around = Some(id);
        while let Some(module) = around.and_then(|id| self.list.get(id.0)) {
            chain.push(shown(&module.folder));
            if *module.folder == *source {
                chain.reverse();
                return Some(chain.join(" calls "));
            }
            around = module.called.as_ref().map(|(parent, _)| *parent);
        }
        None
    }

    /// What the root declares.
    pub(crate) fn root(&self) -> &Declarations {
        &self.root
    }

    pub(crate) fn get(&self, id: ModuleId) -> Option<&Module> {
        self.list.get(id.0)
    }

    pub(crate) fn get_mut(&mut self, id: ModuleId) -> Option<&mut Module> {
        self.list.get_mut(id.0)
    }

    /// All of them, each after the one that calls it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ModuleId, &Module)> {
        self.list.iter().enumerate().map(|(index, module)| (ModuleId(index), module))
    }

    pub(crate) fn child(&self, id: ModuleId, label: &str) -> Option<ModuleId> {
        self.get(id)?.calls.get(label).copied()
    }

    /// The block that calls a module, with the module that it stands in.
    pub(crate) fn call(&self, id: ModuleId) -> Option<(ModuleId, &Block)> {
        let (parent, label) = self.get(id)?.called.as_ref()?;
        match self.get(*parent)?.declarations.by_name.get(&Name::Module(Arc::clone(label)))? {
            Declaration::Block(block) => Some((*parent, block)),
            Declaration::Local(_) => None,
        }
    }

    /// Whether a module is another one or inside of it.
    pub(crate) fn is_within(&self, id: ModuleId, outer: ModuleId) -> bool {
        let mut around = Some(id);
        while let Some(id) = around {
            if id == outer {
                return true;
            }
            around = self.get(id).and_then(|module| module.called.as_ref()).map(|(parent, _)| *parent);
        }
        false
    }

    /// What a module is called from outside, without keys: `module.a.module.b.`.
    pub(crate) fn prefix(&self, id: ModuleId) -> String {
        match self.get(id).and_then(|module| module.called.as_ref()) {
            Some((parent, label)) => format!("{}{MODULE}.{label}.", self.prefix(*parent)),
            None => String::new(),
        }
    }

    /// Whether something is declared at an address, however many instances there are of it and of the modules around.
    pub(crate) fn is_declared(&self, address: &Address) -> bool {
        let mut id = ModuleId::ROOT;
        for label in address.modules() {
            let Some(child) = self.child(id, &label.name) else { return false };
            id = child;
        }
        let names: Vec<Arc<str>> = address.in_module().iter().skip(1).map(|segment| Arc::clone(&segment.name)).collect();
        let declared = |name: &Name| self.get(id).is_some_and(|module| module.declarations.by_name.contains_key(name));
        address.is_module() || named_by(address.root(), &names).is_some_and(|name| declared(&name))
    }
}

/// The calls of a module, by label.
fn calls(declarations: &Declarations) -> impl Iterator<Item = (&Arc<str>, &Block)> {
    declarations.by_name.iter().filter_map(|(name, declaration)| match (name, declaration) {
        (Name::Module(label), Declaration::Block(block)) => Some((label, block)),
        _ => None,
    })
}

/// Reads folders, each once.
struct Reader<'r> {
    sources: &'r dyn SourceSet,
    map: &'r mut SourceMap,
    found: &'r mut Diagnostics,
    top: BlockSchema,
    folders: BTreeMap<Arc<str>, Option<Arc<Declarations>>>,
}

impl Reader<'_> {
    /// What a folder declares. `None`: it cannot be read, which was said.
    fn folder(&mut self, folder: &Arc<str>, called_at: Option<Span>, texts: &mut BTreeMap<String, Arc<str>>) -> Option<Arc<Declarations>> {
        if let Some(known) = self.folders.get(folder) {
            return known.clone();
        }
        let Loaded { mut body, texts: own } = load(self.sources, folder, called_at, self.map, self.found);
        let read = called_at.is_none() || !own.is_empty();
        texts.extend(own);
        if called_at.is_some() {
            body.blocks.retain(|block| !refused(block, self.found));
        }
        check_body(&body, &self.top, if called_at.is_none() { "a project" } else { "a module" }, Span::NONE, self.found);
        let declarations = read.then(|| Arc::new(declare(body, self.found)));
        self.folders.insert(Arc::clone(folder), declarations.clone());
        declarations
    }

    /// The folder that a call names, below the project.
    fn source(&mut self, folder: &str, block: &Block) -> Option<(Arc<str>, Span)> {
        let Some(source) = attribute(block, SOURCE) else {
            let help = "add `source = \"./FOLDER\"`";
            self.found.push(Diagnostic::error("missing-attribute", "a module needs `source`").at(block.header).help(help));
            return None;
        };
        let place = source.value.span;
        let wrong = |title: String| Diagnostic::error("module-source", title).at(place);
        let path = match &source.value.kind {
            ExprKind::Literal(value) if value.as_str().is_some() => value.as_str().unwrap_or_default(),
            _ => {
                self.found
                    .push(wrong("`source` is written, not computed".to_owned()).help("write a folder in quotes: `\"./modules/net\"`"));
                return None;
            }
        };
        if !["./", "../"].iter().any(|start| path.starts_with(start)) && !matches!(path, "." | "..") {
            let error = wrong(format!("`{path}` is no folder of this project, and modules come from nowhere else"));
            self.found.push(error.help("copy the module into the project, and write its folder with `./` or `../` before it"));
            return None;
        }
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if part != ".." {
                parts.push(part);
            } else if parts.pop().is_none() {
                let error = wrong(format!("`{path}` lies outside the project"));
                self.found.push(error.help("keep modules below the project's folder, so that a saved plan has all of them"));
                return None;
            }
        }
        Some((parts.join("/").into(), place))
    }
}

/// Whether a block may not stand in a module; it is said.
fn refused(block: &Block, found: &mut Diagnostics) -> bool {
    let help = match &*block.kind.name {
        "cloudtik" => "settings are of the whole project: move the block into the root",
        "provider" => "configure providers in the root, and hand them in where the module is called: `providers = { aws = aws.west }`",
        "import" => "move the block into the root, and write the modules before the address: `to = module.m.aws_vpc.main`",
        _ => return false,
    };
    let title = format!("a module has no `{}` block", block.kind.name);
    found.push(Diagnostic::error("not-in-module", title).at(block.header).help(help));
    true
}
