//! The names that a manifest can use: what the spec wrote, what the module computes, what only the node knows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_lang::{Context, Found, Scope, Step, Traversal, evaluate};
use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, LateName, Value, did_you_mean};
use cloudtik_syntax::Attribute;

/// The names, without those of a `for_each`.
pub(crate) const ROOTS: [&str; 10] =
    ["capabilities", "cluster", "config", "env", "local", "module", "node", "option", "package", "service"];

/// How many locals may need one another in a row: each is some evaluations deep in the stack.
const MAX_LOCALS_IN_A_ROW: usize = 24;

/// The names of one runtime on one node.
pub(crate) struct ModuleScope<'a> {
    /// Values by root: all of [`ROOTS`] but `local` and `node`; without `package` where nothing is installed.
    pub(crate) values: BTreeMap<&'static str, Value>,
    locals: &'a BTreeMap<Arc<str>, Attribute>,
    computed: RefCell<BTreeMap<Arc<str>, Option<Value>>>,
    active: RefCell<Vec<Arc<str>>>,
    errors: RefCell<Diagnostics>,
}

impl<'a> ModuleScope<'a> {
    pub(crate) fn new(values: BTreeMap<&'static str, Value>, locals: &'a BTreeMap<Arc<str>, Attribute>) -> Self {
        Self { values, locals, computed: RefCell::default(), active: RefCell::default(), errors: RefCell::default() }
    }

    /// Computes every local, and gives their errors. Whoever needs a local that failed gets an empty error.
    pub(crate) fn check_locals(&self) -> Diagnostics {
        for name in self.locals.keys() {
            let _ = self.local(name);
        }
        self.errors.take()
    }

    /// All locals that could be computed.
    fn all_locals(&self) -> Value {
        Value::object(self.locals.keys().filter_map(|name| Some((Arc::clone(name), self.local(name)?))))
    }

    fn local(&self, name: &Arc<str>) -> Option<Value> {
        if let Some(known) = self.computed.borrow().get(name) {
            return known.clone();
        }
        let attribute = self.locals.get(name)?;
        if let Err(diagnostic) = self.enter(name, attribute) {
            self.errors.borrow_mut().push(diagnostic);
            self.computed.borrow_mut().insert(Arc::clone(name), None);
            return None;
        }
        let result = evaluate(&attribute.value, &Context::new(self));
        self.active.borrow_mut().pop();
        let value = match result {
            Ok(value) => Some(value),
            Err(diagnostics) => {
                self.errors.borrow_mut().extend(diagnostics);
                None
            }
        };
        self.computed.borrow_mut().entry(Arc::clone(name)).or_insert(value).clone()
    }

    fn enter(&self, name: &Arc<str>, attribute: &Attribute) -> Result<(), Diagnostic> {
        let mut active = self.active.borrow_mut();
        if let Some(first) = active.iter().position(|other| other == name) {
            let round: Vec<String> = active.iter().skip(first).chain([name]).map(|name| format!("local.{name}")).collect();
            return Err(Diagnostic::error("cycle", format!("a local needs itself: {}", round.join(" → "))).at(attribute.name.span));
        }
        if active.len() >= MAX_LOCALS_IN_A_ROW {
            let title = format!("more than {MAX_LOCALS_IN_A_ROW} locals need one another in a row");
            return Err(Diagnostic::error("limit", title).at(attribute.name.span));
        }
        active.push(Arc::clone(name));
        Ok(())
    }

    /// The value of a whole root, for the bindings of a template.
    pub(crate) fn root(&self, root: &str) -> Option<Value> {
        match root {
            "local" => Some(self.all_locals()),
            "node" => Some(Value::object(LateName::NODE_PARTS.map(|part| (part, late(part))))),
            _ => self.values.get(root).cloned(),
        }
    }
}

/// What only the node knows.
pub(crate) fn late(part: &str) -> Value {
    let name = LateName::Node(part.into());
    Value::deferred(name.ty(), Expr::from(ExprKind::Late(name)))
}

impl Scope for ModuleScope<'_> {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        match (traversal.root, traversal.steps.first()) {
            ("local", Some(Step::Attribute(name, span))) => {
                if !self.locals.contains_key(name) {
                    let near =
                        did_you_mean(name, self.locals.keys().map(|name| &**name)).map(|near| format!("did you mean `local.{near}`?"));
                    return Err(Diagnostic::error("unknown-reference", format!("there is no local `{name}`"))
                        .at(*span)
                        .maybe_help(near)
                        .into());
                }
                self.local(name).map(|value| Found { value, used: 1 }).ok_or_else(Diagnostics::new)
            }
            ("node", Some(Step::Attribute(part, span))) => {
                if LateName::NODE_PARTS.contains(&&**part) {
                    return Ok(Found { value: late(part), used: 1 });
                }
                let near = did_you_mean(part, LateName::NODE_PARTS).map(|near| format!("did you mean `node.{near}`?"));
                Err(Diagnostic::error("unknown-late-name", format!("`node` has no `{part}`"))
                    .at(*span)
                    .maybe_help(near)
                    .note(format!("it has {}", LateName::NODE_PARTS.join(", ")))
                    .into())
            }
            (root, _) => match self.root(root) {
                Some(value) => Ok(Found { value, used: 0 }),
                None => Err(unknown_root(root).at(traversal.root_span).into()),
            },
        }
    }
}

/// What is said of a name that a manifest does not have.
pub(crate) fn unknown_root(root: &str) -> Diagnostic {
    match root {
        "package" => Diagnostic::error("unknown-name", "there is no `package`: the module has no `binary` block"),
        "each" => Diagnostic::error("no-instance", "`each` has a meaning only in a `file` with `for_each`"),
        "var" => Diagnostic::error("unknown-name", "a module has no variables").help("declare an `option`, and write `option.NAME`"),
        "group" | "secret" => Diagnostic::error("not-in-effect", format!("`{root}` is not in effect in this version")),
        _ => {
            let near = did_you_mean(root, ROOTS).map(|near| format!("did you mean `{near}`?"));
            Diagnostic::error("unknown-name", format!("there is no name `{root}` in a module"))
                .maybe_help(near)
                .note(format!("the names here are {}", ROOTS.join(", ")))
        }
    }
}

/// A scope with the element of a `for_each`.
pub(crate) struct EachScope<'a> {
    pub(crate) outer: &'a ModuleScope<'a>,
    pub(crate) key: Value,
    pub(crate) value: Value,
}

impl EachScope<'_> {
    pub(crate) fn each(&self) -> Value {
        Value::object([("key", self.key.clone()), ("value", self.value.clone())])
    }
}

impl Scope for EachScope<'_> {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        if traversal.root == "each" { Ok(Found { value: self.each(), used: 0 }) } else { self.outer.lookup(traversal) }
    }
}
