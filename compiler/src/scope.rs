//! The names of a spec, as the evaluator asks for them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{Found, Scope, Step, Traversal};
use cloudtik_model::{
    Address, Diagnostic, Diagnostics, Expr, ExprKind, Key, LateName, MODULE, ProviderRef, Segment, Span, Value, did_you_mean,
};

use crate::declare::Name;
use crate::module::{Called, Caller};
use crate::modules::ModuleId;
use crate::template::{INHERITED, Templates};

/// What has been evaluated so far of one module: of the root, or of one instance of another one.
#[derive(Default)]
pub(crate) struct World {
    /// Which module it is.
    pub(crate) id: ModuleId,
    /// Its address; none for the root.
    pub(crate) module: Option<Address>,
    /// What `path.module` shows of it; empty for the root.
    pub(crate) folder: Arc<str>,
    /// Who calls it; nobody calls the root.
    pub(crate) caller: Option<Caller>,
    /// The modules that it calls itself.
    pub(crate) calls: BTreeMap<Arc<str>, Called>,
    /// The configurations that it was handed.
    pub(crate) passed: Arc<BTreeMap<Name, ProviderRef>>,
    /// Its names that something refers to.
    pub(crate) referenced: Arc<BTreeSet<Name>>,
    pub(crate) values: BTreeMap<Name, Value>,
    /// Its templates, each with those that it is made from.
    pub(crate) templates: Templates,
    /// What variables and local values were made of.
    pub(crate) needs: BTreeMap<Name, Arc<BTreeSet<Address>>>,
    /// The addresses of the instances of blocks that make something.
    pub(crate) instances: BTreeMap<Name, Instances>,
    /// Every declared name, for "did you mean".
    pub(crate) declared: Arc<BTreeSet<Name>>,
    /// Names whose evaluation failed: what needs them is left out without a second error.
    pub(crate) failed: BTreeSet<Name>,
    /// What `path.root` and `path.cwd` show.
    pub(crate) root: Arc<str>,
    /// How many unknown names were compared with all that are declared.
    pub(crate) searches: Cell<usize>,
}

/// The code of an error that only follows from another one: it stops what needs the value, and is not shown.
pub(crate) const SAID_BEFORE: &str = "said-before";

/// So many unknown names are compared with every declared one: nobody reads more suggestions, and ten thousand unknown names in a spec of
/// ten thousand would take minutes.
const MAX_SEARCHES: usize = 100;

impl World {
    /// The declared name that is nearest to one that is not.
    fn nearest(&self, name: &Name) -> Option<String> {
        let searches = self.searches.get();
        if searches >= MAX_SEARCHES {
            return None;
        }
        self.searches.set(searches + 1);
        let all: Vec<String> = self.declared.iter().map(ToString::to_string).collect();
        did_you_mean(&name.to_string(), all.iter().map(String::as_str)).map(str::to_owned)
    }

    /// What is said of a name that nothing declares.
    pub(crate) fn unknown(&self, name: &Name, span: Span) -> Diagnostic {
        let near = self.nearest(name);
        let what = match name {
            Name::Variable(label) => format!("there is no variable `{label}`"),
            Name::Local(label) => format!("there is no local value `{label}`"),
            Name::Workspace(label) => format!("there is no workspace `{label}`"),
            Name::Cluster(label) => format!("there is no cluster `{label}`"),
            Name::Template(label) => format!("there is no template `{label}`"),
            Name::Module(label) => format!("there is no module `{label}`"),
            Name::Data(kind, label) => format!("there is no data `{kind}` `{label}`"),
            _ => format!("there is no resource `{name}`"),
        };
        let help = near.map_or_else(|| declare_hint(name), |near| format!("did you mean `{near}`?"));
        Diagnostic::error("unknown-reference", what).at(span).help(help)
    }
}

/// What expansion made of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Instances {
    /// Neither `count` nor `for_each`.
    One,
    /// `count`
    Count(u64),
    /// `for_each`: its keys.
    Keys(BTreeSet<Arc<str>>),
}

/// The instance that is evaluated: what `each`, `count` and `self` are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instance {
    pub(crate) key: Option<Key>,
    pub(crate) each_value: Option<Value>,
    pub(crate) this: Option<Value>,
    /// What the expression that made the instances refers to: each of them needs it. Shared by all.
    pub(crate) needs: Arc<BTreeSet<Address>>,
}

/// The scope of one block or attribute.
pub(crate) struct BlockScope<'a> {
    pub(crate) world: &'a World,
    pub(crate) instance: &'a Instance,
    /// Whether late names may stand here.
    pub(crate) late: bool,
    /// What was referred to.
    referred: RefCell<BTreeSet<Referred>>,
    /// What outputs of modules that were referred to are made of.
    pub(crate) handed: RefCell<BTreeSet<Address>>,
}

/// What a reference means: a block, one of its instances where the key was written, the head of it where that is named.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Referred {
    name: Name,
    key: Option<Key>,
    head: bool,
}

impl<'a> BlockScope<'a> {
    pub(crate) const fn new(world: &'a World, instance: &'a Instance, late: bool) -> Self {
        Self { world, instance, late, referred: RefCell::new(BTreeSet::new()), handed: RefCell::new(BTreeSet::new()) }
    }

    /// What was referred to: single resources where the key was written, all instances where not. Worked out when somebody asks: a
    /// block may have a hundred thousand instances, and an expression may name it as often.
    pub(crate) fn needs(self) -> BTreeSet<Address> {
        let mut needs = self.handed.into_inner();
        for Referred { name, key, head } in self.referred.into_inner() {
            if let Some(needed) = self.world.needs.get(&name) {
                needs.extend(needed.iter().cloned());
            }
            let Some((base, instances)) = base_address(&name).zip(self.world.instances.get(&name)) else { continue };
            let base = base.inside(self.world.module.as_ref());
            let needed = |key: Option<Key>| {
                let block = base.with_key(key);
                if head { block.child("head") } else { block }
            };
            match (instances, key) {
                (Instances::One, _) => needs.extend([needed(None)]),
                (_, Some(key)) => needs.extend([needed(Some(key))]),
                (Instances::Count(count), None) => needs.extend((0..*count).map(|i| needed(Some(Key::Index(i))))),
                (Instances::Keys(keys), None) => needs.extend(keys.iter().map(|key| needed(Some(Key::Name(Arc::clone(key)))))),
            }
        }
        needs
    }

    fn named(&self, traversal: &Traversal<'_>, skip: usize, make: impl FnOnce(Arc<str>) -> Name) -> Result<Found, Diagnostics> {
        let Some(Step::Attribute(name, span)) = traversal.steps.get(skip) else {
            return Err(Diagnostic::error("incomplete-reference", format!("`{}` needs a name behind it", traversal.root))
                .at(traversal.span)
                .into());
        };
        let name = make(Arc::clone(name));
        if let Some(value) = self.world.values.get(&name) {
            self.note(&name, traversal.steps.get(skip + 1..).unwrap_or_default());
            return Ok(Found { value: value.clone(), used: skip + 1 });
        }
        if self.world.failed.contains(&name) {
            return Err(Diagnostic::error(SAID_BEFORE, format!("`{name}` has errors")).at(*span).into());
        }
        Err(self.world.unknown(&name, *span).into())
    }

    /// Notes what a reference needs, for the edges of the graph: resources; heads where one is named; of other references to workspaces
    /// and clusters everything that they make.
    fn note(&self, name: &Name, steps: &[Step]) {
        let Some(instances) = self.world.instances.get(name) else {
            if self.world.needs.contains_key(name) {
                self.referred.borrow_mut().insert(Referred { name: name.clone(), key: None, head: false });
            }
            return;
        };
        let (key, rest) = match (instances, steps.split_first()) {
            (Instances::One, _) | (_, None) => (None, steps),
            (_, Some((Step::Index(value, _), rest))) => (value_key(value), rest),
            (_, Some(_)) => (None, steps),
        };
        let head = matches!((name, rest.first()), (Name::Cluster(_), Some(Step::Attribute(part, _))) if &**part == "head");
        self.referred.borrow_mut().insert(Referred { name: name.clone(), key, head });
    }

    fn late_name(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        let step = |i: usize| match traversal.steps.get(i) {
            Some(Step::Attribute(name, span)) => Some((Arc::clone(name), *span)),
            _ => None,
        };
        let (late, used) = match (traversal.root, step(0), step(1)) {
            ("node", Some((part, span)), _) => {
                if !LateName::NODE_PARTS.contains(&&*part) {
                    let near = did_you_mean(&part, LateName::NODE_PARTS).map(|near| format!("did you mean `node.{near}`?"));
                    return Err(Diagnostic::error("unknown-late-name", format!("`node` has no `{part}`"))
                        .at(span)
                        .maybe_help(near)
                        .note(format!("it has {}", LateName::NODE_PARTS.join(", ")))
                        .into());
                }
                (LateName::Node(part), 1)
            }
            ("group", ..) | ("service", ..) | ("secret", ..) => {
                return Err(crate::schema::not_in_effect(traversal.root, traversal.span).into());
            }
            (root, ..) => {
                return Err(Diagnostic::error("incomplete-reference", format!("`{root}` needs a name behind it"))
                    .at(traversal.span)
                    .into());
            }
        };
        if !self.late {
            return Err(Diagnostic::error("late-name-here", format!("`{late}` is known to the node only, and cannot stand here"))
                .at(traversal.span)
                .help("late names may stand in `env`, in the content of `files`, in `setup` texts, and in options and `config` of runtimes")
                .into());
        }
        let ty = late.ty();
        Ok(Found { value: Value::deferred(ty, Expr::new(ExprKind::Late(late), traversal.span)), used })
    }

    fn instance_name(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        let name = match traversal.steps.first() {
            Some(Step::Attribute(name, _)) => &**name,
            _ => "",
        };
        let missing = |attribute: &str| {
            Err(Diagnostic::error(
                "no-instance",
                format!("`{}.{name}` has no meaning here: the block has no `{attribute}`", traversal.root),
            )
            .at(traversal.span)
            .help(format!("add `{attribute} = …` to the block"))
            .into())
        };
        let value = match (traversal.root, name, &self.instance.key) {
            ("each", "key", Some(Key::Name(key))) => Value::from(Arc::clone(key)),
            ("each", "value", Some(Key::Name(_))) => self.instance.each_value.clone().unwrap_or(Value::NULL),
            ("count", "index", Some(Key::Index(index))) => Value::from(*index),
            ("each", "key" | "value", _) => return missing("for_each"),
            ("count", "index", _) => return missing("count"),
            ("each", ..) => {
                return Err(Diagnostic::error("unknown-attribute", "`each` has `key` and `value`").at(traversal.span).into());
            }
            _ => return Err(Diagnostic::error("unknown-attribute", "`count` has `index`").at(traversal.span).into()),
        };
        Ok(Found { value, used: 1 })
    }

    fn path(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        match traversal.steps.first() {
            Some(Step::Attribute(name, _)) if **name == *MODULE && !self.world.folder.is_empty() => {
                Ok(Found { value: Value::from(Arc::clone(&self.world.folder)), used: 1 })
            }
            Some(Step::Attribute(name, _)) if matches!(&**name, "root" | "module" | "cwd") => {
                Ok(Found { value: Value::from(Arc::clone(&self.world.root)), used: 1 })
            }
            _ => Err(Diagnostic::error("unknown-attribute", "`path` has `root`, `module` and `cwd`").at(traversal.span).into()),
        }
    }
}

/// The address of a block that makes something, without a key.
fn base_address(name: &Name) -> Option<Address> {
    match name {
        Name::Resource(kind, label) => Some(Address::of(Arc::clone(kind), Arc::clone(label))),
        Name::Workspace(label) => Some(Address::of("workspace", Arc::clone(label))),
        Name::Cluster(label) => Some(Address::of("cluster", Arc::clone(label))),
        _ => None,
    }
}

fn declare_hint(name: &Name) -> String {
    match name {
        Name::Variable(label) => format!("declare it: `variable \"{label}\" {{}}`"),
        Name::Local(label) => format!("declare it: `locals {{ {label} = … }}`"),
        Name::Workspace(label) => format!("declare it: `workspace \"{label}\" {{ … }}`"),
        Name::Cluster(label) => format!("declare it: `cluster \"{label}\" {{ … }}`"),
        Name::Resource(kind, label) => format!("declare it: `resource \"{kind}\" \"{label}\" {{ … }}`"),
        Name::Template(label) => format!("declare it: `template \"{label}\" {{ … }}`"),
        Name::Data(kind, label) => format!("declare it: `data \"{kind}\" \"{label}\" {{ … }}`"),
        Name::Module(label) => format!("declare it: `module \"{label}\" {{ source = \"./FOLDER\" }}`"),
        Name::Output(_) | Name::Provider(..) => String::from("nothing can refer to it"),
    }
}

/// `inherited` where there is nothing behind it.
fn nothing_inherited(traversal: &Traversal<'_>) -> Diagnostic {
    let Some(Step::Attribute(name, _)) = traversal.steps.first() else {
        return Diagnostic::error("nothing-inherited", format!("`{INHERITED}` stands for what one attribute inherits"))
            .at(traversal.span)
            .help(format!("write `{INHERITED}.NAME`"));
    };
    Diagnostic::error("nothing-inherited", format!("nothing is inherited for `{name}`"))
        .at(traversal.span)
        .help(format!("name a template with it in `from`, or say what it is without: `try({INHERITED}.{name}, …)`"))
}

/// The key that an index expression means.
pub(crate) fn value_key(value: &Value) -> Option<Key> {
    match (value.as_str(), value.as_number().and_then(cloudtik_model::Number::as_u64)) {
        (Some(name), _) => Some(Key::Name(name.into())),
        (_, Some(index)) => Some(Key::Index(index)),
        _ => None,
    }
}

impl Scope for BlockScope<'_> {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        match traversal.root {
            "var" => self.named(traversal, 0, Name::Variable),
            "local" => self.named(traversal, 0, Name::Local),
            "workspace" => self.named(traversal, 0, Name::Workspace),
            "cluster" => self.named(traversal, 0, Name::Cluster),
            "path" => self.path(traversal),
            "each" | "count" => self.instance_name(traversal),
            "node" | "group" | "service" | "secret" => self.late_name(traversal),
            "self" => match &self.instance.this {
                Some(this) => Ok(Found { value: this.clone(), used: 0 }),
                None => Err(Diagnostic::error("no-self", "`self` has a meaning only in `postcondition`").at(traversal.span).into()),
            },
            "data" => match traversal.steps.first() {
                Some(Step::Attribute(kind, _)) => {
                    let kind = Arc::clone(kind);
                    self.named(traversal, 1, |name| Name::Data(kind, name))
                }
                _ => Err(Diagnostic::error("incomplete-reference", "`data` needs a kind and a name behind it").at(traversal.span).into()),
            },
            MODULE => self.module(traversal),
            INHERITED => Err(nothing_inherited(traversal).into()),
            "template" => Err(Diagnostic::error("template-here", "a template is inherited, and is no value")
                .at(traversal.span)
                .help("write `from = template.NAME` in a workspace or a cluster")
                .into()),
            "terraform" => Err(Diagnostic::error("no-terraform", "there is no `terraform` object")
                .at(traversal.span)
                .help("environments are files of values (`--var-file`) and a state each")
                .into()),
            "resource" => match traversal.steps.first() {
                Some(Step::Attribute(kind, _)) => {
                    let kind = Arc::clone(kind);
                    self.named(traversal, 1, |name| Name::Resource(kind, name))
                }
                _ => {
                    Err(Diagnostic::error("incomplete-reference", "`resource` needs a kind and a name behind it").at(traversal.span).into())
                }
            },
            kind if traversal.steps.len() > 1 || self.is_kind(kind) => {
                let kind: Arc<str> = kind.into();
                self.named(traversal, 0, |name| Name::Resource(kind, name))
            }
            root => {
                let late: &[&str] = if self.late { &["node"] } else { &[] };
                let roots = ["var", "local", "workspace", "cluster", MODULE, "path", "each", "count", "self"]
                    .into_iter()
                    .chain(late.iter().copied());
                let as_variable = Name::Variable(root.into());
                let help = if self.world.declared.contains(&as_variable) {
                    format!("write `var.{root}`")
                } else if self.world.declared.contains(&Name::Local(root.into())) {
                    format!("write `local.{root}`")
                } else if let Some(near) = did_you_mean(root, roots) {
                    format!("did you mean `{near}`?")
                } else {
                    format!("a string is written in quotes: `\"{root}\"`")
                };
                Err(Diagnostic::error("unknown-name", format!("there is no name `{root}` here")).at(traversal.root_span).help(help).into())
            }
        }
    }
}

impl BlockScope<'_> {
    fn is_kind(&self, kind: &str) -> bool {
        // Names are sorted, those of one kind together.
        let first = Name::Resource(kind.into(), Arc::from(""));
        self.world.declared.range(first..).next().is_some_and(|name| matches!(name, Name::Resource(other, _) if **other == *kind))
    }
}

/// An address from a reference that is written and not evaluated: `workspace.w`, `value.x["a"]`, `cluster.c[each.key]`.
pub(crate) fn static_address(expr: &Expr, evaluate_key: &mut dyn FnMut(&Expr) -> Option<Value>) -> Option<Address> {
    fn walk(expr: &Expr, segments: &mut Vec<Segment>, evaluate_key: &mut dyn FnMut(&Expr) -> Option<Value>) -> Option<()> {
        match &expr.kind {
            ExprKind::Variable(name) => segments.push(Segment::new(Arc::clone(name))),
            ExprKind::Attribute { of, name } => {
                walk(of, segments, evaluate_key)?;
                segments.push(Segment::new(Arc::clone(name)));
            }
            ExprKind::Index { of, key } => {
                walk(of, segments, evaluate_key)?;
                let key = value_key(&evaluate_key(key)?)?;
                let last = segments.last_mut()?;
                if last.key.is_some() {
                    return None;
                }
                last.key = Some(key);
            }
            _ => return None,
        }
        Some(())
    }
    let mut segments = Vec::new();
    walk(expr, &mut segments, evaluate_key)?;
    if segments.first().is_some_and(|first| &*first.name == "resource" && first.key.is_none()) {
        segments.remove(0);
    }
    (!segments.is_empty()).then(|| Address::new(segments))
}
