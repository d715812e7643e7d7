//! What a module declares, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, MODULE, Span, Value};
use cloudtik_syntax::{Attribute, Block, Body};

use crate::check::like_a_name;
use crate::scope::static_address;

/// The name of a declaration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    Variable(Arc<str>),
    Local(Arc<str>),
    /// A type, and the alias of one that has it.
    Provider(Arc<str>, Option<Arc<str>>),
    Resource(Arc<str>, Arc<str>),
    Data(Arc<str>, Arc<str>),
    Workspace(Arc<str>),
    Cluster(Arc<str>),
    Output(Arc<str>),
    Template(Arc<str>),
    /// The call of a module.
    Module(Arc<str>),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "var.{name}"),
            Self::Local(name) => write!(f, "local.{name}"),
            Self::Provider(name, None) => write!(f, "provider \"{name}\""),
            Self::Provider(name, Some(alias)) => write!(f, "{name}.{alias}"),
            Self::Resource(kind, name) => write!(f, "{kind}.{name}"),
            Self::Data(kind, name) => write!(f, "data.{kind}.{name}"),
            Self::Workspace(name) => write!(f, "workspace.{name}"),
            Self::Cluster(name) => write!(f, "cluster.{name}"),
            Self::Output(name) => write!(f, "output \"{name}\""),
            Self::Template(name) => write!(f, "template.{name}"),
            Self::Module(name) => write!(f, "module.{name}"),
        }
    }
}

/// The attribute of a `provider` block that makes it a second configuration of its type.
pub(crate) const ALIAS: &str = "alias";

/// The attribute that names a configuration.
pub(crate) const PROVIDER: &str = "provider";

/// The attribute of a workspace's `network` that does.
pub(crate) const CLIENT_PROVIDER: &str = "client_provider";

/// A declaration and where it stands.
pub(crate) enum Declaration {
    Block(Block),
    Local(Attribute),
}

impl Declaration {
    pub(crate) fn header(&self) -> Span {
        match self {
            Self::Block(block) => block.header,
            Self::Local(attribute) => attribute.name.span,
        }
    }

    /// An attribute of the block itself.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        match self {
            Self::Block(block) => block.body.attributes.iter().find(|attribute| &*attribute.name.name == name),
            Self::Local(_) => None,
        }
    }

    /// Whether an attribute in it says through which configuration something is made.
    pub(crate) fn names_provider(&self, attribute: &Attribute) -> bool {
        match &*attribute.name.name {
            CLIENT_PROVIDER => true,
            PROVIDER => self.attribute(PROVIDER).is_some_and(|own| own.name.span == attribute.name.span),
            _ => false,
        }
    }

    pub(crate) fn for_each_attribute<'a>(&'a self, f: &mut dyn FnMut(&'a Attribute)) {
        match self {
            Self::Block(block) => body_attributes(&block.body, f),
            Self::Local(attribute) => f(attribute),
        }
    }
}

pub(crate) fn body_attributes<'a>(body: &'a Body, f: &mut dyn FnMut(&'a Attribute)) {
    body.attributes.iter().for_each(&mut *f);
    body.blocks.iter().for_each(|block| body_attributes(&block.body, f));
}

/// What a module declares.
#[derive(Default)]
pub(crate) struct Declarations {
    pub(crate) by_name: BTreeMap<Name, Declaration>,
    /// The `cloudtik` block.
    pub(crate) settings: Option<Block>,
    /// The `moved` blocks.
    pub(crate) moved: Vec<Block>,
    /// The `removed` blocks.
    pub(crate) removed: Vec<Block>,
    /// The `import` blocks.
    pub(crate) imports: Vec<Block>,
    /// The `check` blocks.
    pub(crate) checks: Vec<Block>,
    /// The `policy` blocks.
    pub(crate) policies: Vec<Block>,
}

impl Declarations {
    /// The labels of the variables.
    pub(crate) fn variables(&self) -> BTreeSet<Arc<str>> {
        let label = |name: &Name| match name {
            Name::Variable(label) => Some(Arc::clone(label)),
            _ => None,
        };
        self.by_name.keys().filter_map(label).collect()
    }
}

/// Sorts the top-level blocks by what they declare; duplicates are said.
pub(crate) fn declare(body: Body, found: &mut Diagnostics) -> Declarations {
    let mut declarations = Declarations::default();
    for block in body.blocks {
        let label = |i: usize| block.labels.get(i).map(|label| Arc::clone(&label.text));
        let name = match (&*block.kind.name, label(0), label(1)) {
            ("cloudtik", ..) => {
                declarations.settings.get_or_insert(block);
                continue;
            }
            ("moved", ..) => {
                declarations.moved.push(block);
                continue;
            }
            ("removed", ..) => {
                declarations.removed.push(block);
                continue;
            }
            ("import", ..) => {
                declarations.imports.push(block);
                continue;
            }
            ("check", ..) => {
                add_named(&mut declarations.checks, block, found);
                continue;
            }
            ("policy", ..) => {
                add_named(&mut declarations.policies, block, found);
                continue;
            }
            ("locals", ..) => {
                for attribute in block.body.attributes {
                    let name = Name::Local(Arc::clone(&attribute.name.name));
                    add(&mut declarations, name, Declaration::Local(attribute), found);
                }
                continue;
            }
            ("variable", Some(name), _) => Name::Variable(name),
            ("provider", Some(name), _) => match alias(&block, found) {
                Ok(alias) => Name::Provider(name, alias),
                Err(()) => continue,
            },
            ("output", Some(name), _) => Name::Output(name),
            ("workspace", Some(name), _) => Name::Workspace(name),
            ("cluster", Some(name), _) => Name::Cluster(name),
            ("template", Some(name), _) => Name::Template(name),
            ("module", Some(name), _) => Name::Module(name),
            ("resource", Some(kind), Some(name)) => Name::Resource(kind, name),
            ("data", Some(kind), Some(name)) => Name::Data(kind, name),
            _ => continue,
        };
        add(&mut declarations, name, Declaration::Block(block), found);
    }
    declarations
}

fn add(declarations: &mut Declarations, name: Name, declaration: Declaration, found: &mut Diagnostics) {
    check_name(&name, &declaration, found);
    if let Some(first) = declarations.by_name.get(&name) {
        found.push(declared_twice(&name.to_string(), declaration.header(), first.header()));
        return;
    }
    declarations.by_name.insert(name, declaration);
}

/// Adds a block that nothing refers to, and that has a name all the same.
fn add_named(blocks: &mut Vec<Block>, block: Block, found: &mut Diagnostics) {
    let name = |block: &Block| block.labels.first().map(|label| Arc::clone(&label.text));
    let Some(own) = name(&block) else { return };
    match blocks.iter().find(|other| name(other).as_ref() == Some(&own)) {
        Some(first) => found.push(declared_twice(&format!("{} \"{own}\"", block.kind.name), block.header, first.header)),
        None => blocks.push(block),
    }
}

fn declared_twice(name: &str, second: Span, first: Span) -> Diagnostic {
    Diagnostic::error("duplicate-name", format!("`{name}` is declared twice"))
        .at_saying(second, "the second")
        .and_at(first, "the first")
        .help("give one of them another name, or leave it out")
}

/// Roots of references that no kind of resource may be called.
pub(crate) const RESERVED_KINDS: [&str; 19] = [
    "cloudtik",
    "variable",
    "local",
    "var",
    "each",
    "count",
    "self",
    "path",
    "workspace",
    "cluster",
    "resource",
    "node",
    "group",
    "service",
    "secret",
    "module",
    "data",
    "template",
    "inherited",
];

fn check_name(name: &Name, declaration: &Declaration, found: &mut Diagnostics) {
    let Declaration::Block(block) = declaration else { return };
    let (labels, dashes): (Vec<&Arc<str>>, bool) = match name {
        Name::Workspace(label) | Name::Cluster(label) => (vec![label], true),
        Name::Variable(label) | Name::Output(label) | Name::Module(label) | Name::Template(label) | Name::Provider(label, _) => {
            (vec![label], false)
        }
        Name::Resource(kind, label) | Name::Data(kind, label) => (vec![kind, label], false),
        Name::Local(_) => return,
    };
    for (label, place) in labels.into_iter().zip(&block.labels) {
        check_label(label, dashes, place.span, found);
    }
    if let (Name::Resource(kind, _), Some(place)) = (name, block.labels.first())
        && RESERVED_KINDS.contains(&&**kind)
    {
        found
            .push(Diagnostic::error("reserved-kind", format!("`{kind}` is a word of the language, not a kind of resource")).at(place.span));
    }
}

fn check_label(label: &str, dashes: bool, place: Span, found: &mut Diagnostics) {
    let mut chars = label.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_lowercase() || (!dashes && (c.is_alphabetic() || c == '_')));
    let fits =
        first && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (!dashes && (c.is_alphanumeric() || c == '_')));
    if !fits {
        let rule = if dashes {
            let near = like_a_name(label).map_or_else(String::new, |near| format!(": write `\"{near}\"`"));
            format!("a lower-case letter, then lower-case letters, digits and `-`{near}")
        } else {
            "a letter, then letters, digits, `_` and `-`".to_owned()
        };
        found.push(Diagnostic::error("bad-name", format!("`{label}` is not a name")).at(place).help(format!("a name is {rule}")));
    }
}

/// The alias of a `provider` block. It is part of the name that other blocks write, so it is written and not computed.
fn alias(block: &Block, found: &mut Diagnostics) -> Result<Option<Arc<str>>, ()> {
    let Some(attribute) = block.body.attributes.iter().find(|attribute| &*attribute.name.name == ALIAS) else { return Ok(None) };
    match &attribute.value.kind {
        ExprKind::Literal(value) if value.as_str().is_some() => {
            let alias = value.as_str().unwrap_or_default();
            check_label(alias, false, attribute.value.span, found);
            Ok(Some(alias.into()))
        }
        _ => {
            let diagnostic = Diagnostic::error("bad-alias", "`alias` is written, not computed").at(attribute.value.span);
            found.push(diagnostic.help("write a name in quotes: `alias = \"west\"`; `for_each` beside it makes one for each key"));
            Err(())
        }
    }
}

/// The `provider` block that `provider = …` names: `aws`, `aws.west`, `aws.west[each.key]`, each also with `provider.` before it.
pub(crate) fn configuration_named(expr: &Expr) -> Option<Name> {
    let address = static_address(expr, &mut |_| Some(Value::from("")))?;
    let names: Vec<Arc<str>> = address.segments().iter().map(|segment| Arc::clone(&segment.name)).collect();
    let names = names.strip_prefix(&[Arc::from(PROVIDER)]).unwrap_or(&names);
    match names {
        [provider_type] => Some(Name::Provider(Arc::clone(provider_type), None)),
        [provider_type, alias] => Some(Name::Provider(Arc::clone(provider_type), Some(Arc::clone(alias)))),
        _ => None,
    }
}

/// The declaration that a reference means, if its root is one of those that name declarations.
pub(crate) fn named_by(root: &str, steps: &[Arc<str>]) -> Option<Name> {
    let (root, steps) = if root == "resource" { (&**steps.first()?, steps.get(1..)?) } else { (root, steps) };
    let first = Arc::clone(steps.first()?);
    Some(match root {
        "var" => Name::Variable(first),
        "local" => Name::Local(first),
        "workspace" => Name::Workspace(first),
        "cluster" => Name::Cluster(first),
        "template" => Name::Template(first),
        MODULE => Name::Module(first),
        "data" => Name::Data(first, Arc::clone(steps.get(1)?)),
        kind => Name::Resource(kind.into(), first),
    })
}
