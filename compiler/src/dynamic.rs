//! `dynamic`: blocks that are made of the elements of a collection.
//!
//! They are made before a block is evaluated, so that nothing behind it knows whether a block was written or made: the name that stands for
//! the element is replaced by its value in a copy of what is written in `content`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, Diagnostic, Diagnostics, Expr, ExprKind, Span, Value, ValueKind};
use cloudtik_syntax::{Attribute, Block, Body, Label};

use crate::evaluate::{Evaluator, marked_inside, unknown_at_plan_time};
use crate::expand::{Expansion, MAX_INSTANCES, attribute};
use crate::object_block::check_parts;
use crate::schema::{BlockSchema, Extent, check_body, check_extent};
use crate::scope::Instance;

/// The block itself.
pub(crate) const DYNAMIC: &str = "dynamic";

/// What cannot be made, because it is read before anything is evaluated.
const WRITTEN: [&str; 5] = ["lifecycle", "precondition", "postcondition", "validation", DYNAMIC];

/// A `dynamic` block as it is written.
pub(crate) struct Dynamic<'b> {
    /// The block that it makes.
    pub(crate) label: &'b Label,
    /// What is written in it.
    pub(crate) content: &'b Block,
    for_each: &'b Attribute,
    /// The name that stands for the element.
    iterator: Arc<str>,
    /// The labels of what is made.
    labels: Option<&'b Attribute>,
}

impl<'b> Dynamic<'b> {
    /// Reads one; says what is wrong with its form.
    pub(crate) fn read(block: &'b Block, found: &mut Diagnostics) -> Option<Self> {
        let errors = found.len();
        for other in block.body.attributes.iter().filter(|other| !matches!(&*other.name.name, "for_each" | "iterator" | "labels")) {
            let title = format!("`dynamic` has no attribute `{}`", other.name.name);
            found.push(
                Diagnostic::error("unknown-attribute", title)
                    .at(other.name.span)
                    .help("it has `for_each`, `iterator` and `labels`; everything else stands in `content { … }`"),
            );
        }
        let mut contents = block.body.blocks.iter().filter(|inner| &*inner.kind.name == "content");
        for other in block.body.blocks.iter().filter(|inner| &*inner.kind.name != "content") {
            let title = format!("`dynamic` has no block `{}`", other.kind.name);
            found.push(Diagnostic::error("unknown-block", title).at(other.kind.span).help("write it in `content { … }`"));
        }
        let content = contents.next();
        if let (Some(first), Some(second)) = (content, contents.next()) {
            let title = "`dynamic` has one `content`";
            found
                .push(Diagnostic::error("duplicate-block", title).at_saying(second.header, "the second").and_at(first.header, "the first"));
        }
        let missing = |what: &str, help: &str| {
            Diagnostic::error("missing-attribute", format!("`dynamic` needs `{what}`")).at(block.header).help(help.to_owned())
        };
        let (label, for_each) = (block.labels.first(), attribute(block, "for_each"));
        match block.labels.get(1) {
            Some(extra) => found.push(
                Diagnostic::error("too-many-labels", "`dynamic` takes one label")
                    .at(extra.span)
                    .help("the labels of what it makes are `labels = […]`"),
            ),
            None if label.is_none() => found.push(
                Diagnostic::error("missing-label", "`dynamic` needs the name of the block that it makes")
                    .at(block.header)
                    .help("write `dynamic \"BLOCK\" { … }`"),
            ),
            None => {}
        }
        if for_each.is_none() {
            found.push(missing("for_each", "add `for_each = …`: a block is made for each element of it"));
        }
        if content.is_none() {
            found.push(missing("content", "add `content { … }`: what stands in each block"));
        }
        let iterator = match attribute(block, "iterator").map(|attribute| &attribute.value) {
            None => label.map(|label| Arc::clone(&label.text)),
            Some(Expr { kind: ExprKind::Variable(name), .. }) => Some(Arc::clone(name)),
            Some(other) => {
                found.push(
                    Diagnostic::error("not-a-name", "`iterator` is a name")
                        .at(other.span)
                        .help("write it without quotes: `iterator = rule`; the element is `rule.value` then"),
                );
                None
            }
        };
        if found.len() > errors {
            return None;
        }
        Some(Self { label: label?, content: content?, for_each: for_each?, iterator: iterator?, labels: attribute(block, "labels") })
    }

    /// Checks it against the block that it stands in.
    pub(crate) fn check(block: &'b Block, schema: &BlockSchema, extent: Extent, what: &str, found: &mut Diagnostics) {
        let Some(dynamic) = Self::read(block, found) else { return };
        let (name, span) = (&*dynamic.label.text, dynamic.label.span);
        if WRITTEN.contains(&name) {
            let title = format!("`{name}` cannot be made by `dynamic`");
            found.push(Diagnostic::error("dynamic-here", title).at(span).help(format!("write `{name} {{ … }}` itself")));
            return;
        }
        let Some(rule) = schema.block(name) else {
            found.push(schema.unknown_block(name, span, what));
            return;
        };
        let (takes, given) = (!rule.schema.labels.is_empty(), dynamic.labels);
        match given {
            None if takes => {
                let title = format!("`{name}` needs a label, and this `dynamic` gives none");
                found.push(
                    Diagnostic::error("missing-label", title).at(block.header).help(format!("add `labels = [{}.key]`", dynamic.iterator)),
                );
            }
            Some(labels) if !takes => {
                found.push(Diagnostic::error("too-many-labels", format!("`{name}` takes no label")).at(labels.name.span));
            }
            _ => {}
        }
        if let Some(ty) = &rule.schema.object {
            check_parts(&dynamic.content.body, name, ty, found);
        } else if !rule.schema.open {
            check_extent(&dynamic.content.body, &rule.schema, extent, &format!("`{name}`"), block.header, found);
        }
    }
}

/// A block without `dynamic`, and the instance that it is evaluated for.
pub(crate) struct Unrolled<'b> {
    pub(crate) block: Cow<'b, Block>,
    pub(crate) instance: Cow<'b, Instance>,
}

/// Makes what the `dynamic` blocks in a block say.
pub(crate) fn unrolled<'b>(
    expansion: &Expansion<'_>,
    block: &'b Block,
    instance: &'b Instance,
    schema: &BlockSchema,
    found: &mut Diagnostics,
) -> Unrolled<'b> {
    if !has_dynamic(&block.body) {
        return Unrolled { block: Cow::Borrowed(block), instance: Cow::Borrowed(instance) };
    }
    let (mut bodies, instance) = unrolled_bodies(expansion, &[&block.body], instance, found);
    let block = Block { body: bodies.pop().unwrap_or_default(), ..block.clone() };
    // Names and repetitions are those of what was made.
    check_body(&block.body, schema, &format!("`{}`", schema.name), block.header, found);
    Unrolled { block: Cow::Owned(block), instance: Cow::Owned(instance) }
}

/// The same of several bodies, which become one block; and the instance that it is evaluated for.
pub(crate) fn unrolled_bodies(
    expansion: &Expansion<'_>,
    bodies: &[&Body],
    instance: &Instance,
    found: &mut Diagnostics,
) -> (Vec<Body>, Instance) {
    let mut unroll = Unroll { evaluator: expansion.evaluator(instance), needs: BTreeSet::new(), found };
    let bodies = bodies.iter().map(|body| unroll.body(body)).collect();
    let mut needs = (*instance.needs).clone();
    needs.extend(unroll.needs);
    (bodies, Instance { needs: Arc::new(needs), ..instance.clone() })
}

/// Whether there is a `dynamic` in it.
pub(crate) fn has_dynamic(body: &Body) -> bool {
    body.blocks.iter().any(|block| &*block.kind.name == DYNAMIC || has_dynamic(&block.body))
}

struct Unroll<'e> {
    evaluator: Evaluator<'e>,
    needs: BTreeSet<Address>,
    found: &'e mut Diagnostics,
}

impl Unroll<'_> {
    fn body(&mut self, body: &Body) -> Body {
        let mut blocks = Vec::with_capacity(body.blocks.len());
        for block in &body.blocks {
            if &*block.kind.name != DYNAMIC {
                blocks.push(Block { body: self.body(&block.body), ..block.clone() });
            } else if let Some(dynamic) = Dynamic::read(block, self.found) {
                match self.made(block, &dynamic) {
                    Ok(made) => blocks.extend(made),
                    Err(diagnostics) => self.found.extend(diagnostics),
                }
            }
        }
        Body { attributes: body.attributes.clone(), blocks, span: body.span }
    }

    fn made(&mut self, block: &Block, dynamic: &Dynamic<'_>) -> Result<Vec<Block>, Diagnostics> {
        let span = dynamic.for_each.value.span;
        let (value, needs) = self.evaluator.expression(&dynamic.for_each.value, false)?;
        self.needs.extend(needs);
        let elements = elements(&marked_inside(&value), span)?;
        let mut made = Vec::with_capacity(elements.len());
        for (key, value) in elements {
            let element = Value::object([("key", key), ("value", value)]);
            let bound = Bound { names: [(Arc::clone(&dynamic.iterator), element)].into() };
            let labels = match dynamic.labels {
                Some(labels) => self.labels(&bound.expr(&labels.value))?,
                None => Vec::new(),
            };
            made.push(Block {
                kind: cloudtik_syntax::Ident { name: Arc::clone(&dynamic.label.text), span: dynamic.label.span },
                labels,
                body: self.body(&bound.body(&dynamic.content.body)),
                span: block.span,
                header: block.header,
            });
        }
        Ok(made)
    }

    fn labels(&self, labels: &Expr) -> Result<Vec<Label>, Diagnostics> {
        let value = self.evaluator.value_of(labels)?;
        let wrong = |title: String| Diagnostics::from(Diagnostic::error("bad-labels", title).at(labels.span));
        if value.has_sensitive() {
            return Err(wrong("`labels` must not be sensitive: addresses are shown".to_owned()));
        }
        if !value.is_known() {
            return Err(unknown_at_plan_time("labels", &value, labels.span).into());
        }
        let Some(items) = value.elements() else {
            return Err(wrong(format!("`labels` is a list of strings, and {} was given", value.describe())));
        };
        let label = |item: &Value| match item.as_str() {
            Some(text) => Ok(Label { text: text.into(), span: labels.span }),
            None => Err(wrong(format!("`labels` holds {}, and must hold strings", item.describe()))),
        };
        items.map(label).collect()
    }
}

/// What there is a block for: keys and values, in the order of the collection.
fn elements(value: &Value, span: Span) -> Result<Vec<(Value, Value)>, Diagnostic> {
    if value.is_deferred() {
        return Err(unknown_at_plan_time("for_each", value, span));
    }
    let wrong = || {
        let title = format!("`for_each` of `dynamic` is a list, a set or a map, and {} was given", value.describe());
        Diagnostic::error("bad-for-each", title).at(span)
    };
    let list: Vec<(Value, Value)> = if let Some(entries) = value.entries() {
        // Names of a map that is sensitive tell as much as its values.
        let secret = value.is_sensitive();
        entries.iter().map(|(key, value)| (Value::from(Arc::clone(key)).marked(secret), value.clone())).collect()
    } else {
        let items = value.elements().ok_or_else(wrong)?;
        match value.kind() {
            ValueKind::Set(_) => items.map(|item| (item.clone(), item.clone())).collect(),
            _ => items.enumerate().map(|(index, item)| (Value::from(index as u64), item.clone())).collect(),
        }
    };
    if list.len() as u64 > MAX_INSTANCES {
        let title = format!("`for_each` has {} elements; at most {MAX_INSTANCES} are made", list.len());
        return Err(Diagnostic::error("too-many-instances", title).at(span));
    }
    Ok(list)
}

/// Names that are replaced by values.
struct Bound {
    names: BTreeMap<Arc<str>, Value>,
}

impl Bound {
    /// Those that variables of a loop do not hide.
    fn without<'n>(&self, hidden: impl IntoIterator<Item = &'n Arc<str>>) -> Self {
        let mut names = self.names.clone();
        hidden.into_iter().for_each(|name| {
            names.remove(name);
        });
        Self { names }
    }

    fn body(&self, body: &Body) -> Body {
        Body {
            attributes: body.attributes.iter().map(|attribute| self.attribute(attribute)).collect(),
            blocks: body.blocks.iter().map(|block| self.block(block)).collect(),
            span: body.span,
        }
    }

    fn attribute(&self, attribute: &Attribute) -> Attribute {
        Attribute { value: self.expr(&attribute.value), ..attribute.clone() }
    }

    fn block(&self, block: &Block) -> Block {
        if &*block.kind.name != DYNAMIC {
            return Block { body: self.body(&block.body), ..block.clone() };
        }
        // Its own name hides ours but in `for_each`, and is itself no expression.
        let named = attribute(block, "iterator").and_then(|attribute| match &attribute.value.kind {
            ExprKind::Variable(name) => Some(name),
            _ => None,
        });
        let inner = self.without(named.or(block.labels.first().map(|label| &label.text)));
        let attributes = block.body.attributes.iter().map(|attribute| match &*attribute.name.name {
            "iterator" => attribute.clone(),
            "for_each" => self.attribute(attribute),
            _ => inner.attribute(attribute),
        });
        let blocks = block.body.blocks.iter().map(|block| inner.block(block));
        Block { body: Body { attributes: attributes.collect(), blocks: blocks.collect(), span: block.body.span }, ..block.clone() }
    }

    fn expr(&self, expr: &Expr) -> Expr {
        match &expr.kind {
            ExprKind::Variable(name) => {
                self.names.get(name).map_or_else(|| expr.clone(), |value| Expr::new(ExprKind::Literal(value.clone()), expr.span))
            }
            _ => expr.map_children(&mut |child, hidden| match hidden {
                [] => self.expr(child),
                hidden => self.without(hidden).expr(child),
            }),
        }
    }
}
