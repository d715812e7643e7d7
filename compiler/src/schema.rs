//! Schemas of blocks, and the check of a body against one: names, labels, how often, what is not in effect.

use std::collections::BTreeMap;

use cloudtik_model::{ChangeWord, Diagnostic, Diagnostics, Span, Type, did_you_mean};
use cloudtik_provider_api::{AttributeSchema, Presence};
use cloudtik_syntax::{Block, Body};

use crate::check::check_value;
use crate::dynamic::{DYNAMIC, Dynamic};
use crate::object_block::check_parts;
use crate::template::{FROM, check_inherited};

/// Characters of the label of a nested block: as long as one part of a host name, which some of them become.
const LABEL_CHARS_MAX: usize = 63;

/// The name of the schema of a whole project.
pub(crate) const TOP_LEVEL: &str = "project";

/// A block of the language.
#[derive(Clone, Debug, Default)]
pub struct BlockSchema {
    /// Its name.
    pub name: &'static str,
    /// What its labels are: `["name"]`.
    pub labels: &'static [&'static str],
    /// Its attributes.
    pub attributes: Vec<AttributeRule>,
    /// The blocks inside it.
    pub blocks: Vec<NestedRule>,
    /// Attributes and blocks that the language has and this version does not.
    pub later: &'static [&'static str],
    /// Whether any attribute may stand in it: `locals`, a resource whose kind decides, a runtime whose module decides.
    pub open: bool,
    /// The type of the object that it writes, if it is an attribute that may be written as blocks.
    pub object: Option<Type>,
    /// Whether the blocks in it are written: no `dynamic` makes them.
    pub written: bool,
    /// Whether `from` names templates that it inherits from.
    pub inherits: bool,
    /// Whether one that is off says something all the same.
    pub off_counts: bool,
}

/// How often a nested block may stand in its parent.
#[derive(Clone, Debug)]
pub struct NestedRule {
    /// The block.
    pub schema: BlockSchema,
    /// Whether more than one may stand there; blocks with labels are told apart by them.
    pub many: bool,
}

/// An attribute of a block, and what must be true of its value beyond the type.
#[derive(Clone, Debug)]
pub struct AttributeRule {
    /// Name, type, default, change word.
    pub schema: AttributeSchema,
    /// What else must be true.
    pub check: Check,
    /// Whether late names may stand in it.
    pub late: bool,
    /// Whether its value must be known at plan time.
    pub known: bool,
    /// Whether it is a reference, or a list of them, that is read and not evaluated.
    pub reference: bool,
    /// Whether it says which instances there are: it is evaluated once for the block, and not for each of them.
    pub expands: bool,
    /// Entries of its value that are sensitive, where the whole is not.
    pub secrets: &'static [&'static str],
}

/// What must be true of a value beyond its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing.
    None,
    /// `"90s"`, `"1h30m"`
    Duration,
    /// The same, and more than nothing.
    Limit,
    /// `"7d"`
    Days,
    /// `"10.0.0.0/16"`
    Cidr,
    /// Every element is a range of addresses.
    Cidrs,
    /// Every element is `"80"` or `"8080-8090"`.
    Ports,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// `[a-z][a-z0-9-]*`, at most so many characters.
    Name(usize),
    /// A suffix of names in DNS, without a dot at either end.
    Domain,
    /// A whole number of at least this.
    IntFrom(i64),
    /// A number above zero.
    Positive,
    /// An octal file mode.
    Mode,
    /// Every key and every value is a port.
    PortMap,
    /// Every element is `head`, `workers`, `workers.<group>` or `all`.
    Roles,
    /// Every element is one public key, as `authorized_keys` has it.
    PublicKeys,
    /// A whole number of 1 or more, or a list of names.
    Zones,
    /// A text, or `{ owner, name, arch }`.
    Image,
}

impl AttributeRule {
    /// A rule with no more than the schema says.
    #[must_use]
    pub const fn new(schema: AttributeSchema) -> Self {
        Self { schema, check: Check::None, late: false, known: false, reference: false, expands: false, secrets: &[] }
    }

    /// An optional attribute.
    #[must_use]
    pub const fn optional(name: &'static str, ty: Type, change: ChangeWord, doc: &'static str) -> Self {
        Self::new(AttributeSchema::optional(name, ty, change, doc))
    }

    /// With a check of its value.
    #[must_use]
    pub const fn check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    /// Late names may stand in it.
    #[must_use]
    pub const fn late(mut self) -> Self {
        self.late = true;
        self
    }

    /// It must be known at plan time.
    #[must_use]
    pub const fn known(mut self) -> Self {
        self.known = true;
        self
    }

    /// These entries of it are sensitive.
    #[must_use]
    pub const fn secrets(mut self, secrets: &'static [&'static str]) -> Self {
        self.secrets = secrets;
        self
    }

    /// It says which instances there are.
    #[must_use]
    pub const fn expands(mut self) -> Self {
        self.expands = true;
        self
    }

    /// It is a reference.
    #[must_use]
    pub const fn reference(mut self) -> Self {
        self.reference = true;
        self
    }
}

impl BlockSchema {
    /// The rule of that attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&AttributeRule> {
        self.attributes.iter().find(|rule| rule.schema.name == name)
    }

    /// The rule of that nested block.
    #[must_use]
    pub fn block(&self, name: &str) -> Option<&NestedRule> {
        self.blocks.iter().find(|rule| rule.schema.name == name)
    }

    /// What is said of a block that it has not.
    pub(crate) fn unknown_block(&self, name: &str, span: Span, what: &str) -> Diagnostic {
        if self.attribute(name).is_some() {
            Diagnostic::error("block-for-attribute", format!("`{name}` is an attribute, not a block"))
                .at(span)
                .help(format!("write `{name} = …`"))
        } else if self.later.contains(&name) {
            not_in_effect(name, span)
        } else {
            let elsewhere = (self.name == TOP_LEVEL).then(|| terraform_block(name)).flatten();
            Diagnostic::error("unknown-block", format!("{what} has no block `{name}`"))
                .at(span)
                .maybe_help(elsewhere.map(str::to_owned).or_else(|| suggestion(name, self)))
        }
    }
}

/// How much of a block a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// What it says beside what it inherits, or others inherit of it: what is required may stand elsewhere.
    Part,
}

/// Says everything that is wrong with the names of a body; values are checked when they are evaluated.
pub(crate) fn check_body(body: &Body, schema: &BlockSchema, what: &str, header: Span, found: &mut Diagnostics) {
    check_extent(body, schema, Extent::Whole, what, header, found);
}

/// The same of a body that may be a part.
pub(crate) fn check_extent(body: &Body, schema: &BlockSchema, extent: Extent, what: &str, header: Span, found: &mut Diagnostics) {
    for attribute in &body.attributes {
        let name = &*attribute.name.name;
        if extent == Extent::Part {
            check_inherited(&attribute.value, schema, found);
        }
        if schema.open || schema.attribute(name).is_some() {
            continue;
        }
        found.push(if let Some(block) = schema.block(name) {
            Diagnostic::error("attribute-for-block", format!("`{name}` is a block, not an attribute"))
                .at(attribute.name.span)
                .help(format!("write `{name} {}{{ … }}` without `=`", label_hint(&block.schema)))
        } else if schema.later.contains(&name) {
            not_in_effect(name, attribute.name.span)
        } else if schema.name == TOP_LEVEL {
            Diagnostic::error("attribute-at-top", format!("`{name}` stands outside of every block"))
                .at(attribute.name.span)
                .help(format!("write `locals {{ {name} = … }}` and use it as `local.{name}`"))
        } else {
            Diagnostic::error("unknown-attribute", format!("{what} has no attribute `{name}`"))
                .at(attribute.name.span)
                .maybe_help(suggestion(name, schema))
        });
    }
    for rule in &schema.attributes {
        let name = rule.schema.name;
        let is_written = body.attributes.iter().any(|a| &*a.name.name == name) || body.blocks.iter().any(|block| makes(block) == name);
        if extent == Extent::Whole && rule.schema.presence == Presence::Required && !is_written {
            found.push(
                Diagnostic::error("missing-attribute", format!("{what} needs `{}`", rule.schema.name))
                    .at(header)
                    .help(format!("add `{} = …` ({})", rule.schema.name, rule.schema.ty)),
            );
        }
    }
    let mut seen = BTreeMap::new();
    for block in &body.blocks {
        check_nested(block, schema, extent, what, &mut seen, found);
    }
}

/// Where the first block of a kind and labels stands.
type Seen<'b> = BTreeMap<(&'b str, Vec<&'b str>), Span>;

/// The block that is written, or that a `dynamic` makes.
fn makes(block: &Block) -> &str {
    let label = block.labels.first().filter(|_| &*block.kind.name == DYNAMIC);
    label.map_or(&block.kind.name, |label| &label.text)
}

fn check_nested<'b>(block: &'b Block, schema: &BlockSchema, extent: Extent, what: &str, seen: &mut Seen<'b>, found: &mut Diagnostics) {
    let name = &*block.kind.name;
    if name == DYNAMIC && schema.name != TOP_LEVEL && !schema.written {
        return Dynamic::check(block, schema, extent, what, found);
    }
    let Some(rule) = schema.block(name) else {
        found.push(schema.unknown_block(name, block.kind.span, what));
        return;
    };
    if !check_labels(block, &rule.schema, found) {
        return;
    }
    if schema.name != TOP_LEVEL && !check_block_names(block, found) {
        return;
    }
    // Blocks at the top level are declarations, whose names are checked across files where they are declared.
    let unique = !rule.many || !rule.schema.labels.is_empty() && schema.name != TOP_LEVEL;
    if unique && let Some(first) = seen.insert((name, block.labels.iter().map(|label| &*label.text).collect()), block.header) {
        let label = block.labels.first().map_or_else(String::new, |label| format!(" \"{}\"", label.text));
        let title = if rule.many { format!("there are two blocks `{name}{label}`") } else { format!("{what} has at most one `{name}`") };
        found.push(Diagnostic::error("duplicate-block", title).at_saying(block.header, "the second").and_at(first, "the first"));
    }
    // Of a block whose attributes follow from its label the whole body is checked where that is looked up.
    if let Some(ty) = &rule.schema.object {
        check_parts(&block.body, name, ty, found);
    } else if !rule.schema.open || rule.schema.labels.is_empty() {
        let inherits = rule.schema.inherits && block.body.attribute(FROM).is_some();
        let extent = if inherits { Extent::Part } else { extent };
        check_extent(&block.body, &rule.schema, extent, &format!("`{name}`"), block.header, found);
    }
}

/// Whether a block has the labels that its schema asks for; says so when not.
pub(crate) fn check_labels(block: &Block, schema: &BlockSchema, found: &mut Diagnostics) -> bool {
    let name = &block.kind.name;
    let wanted = schema.labels;
    if let Some(extra) = block.labels.get(wanted.len()) {
        let takes = match wanted.len() {
            0 => "no label".to_owned(),
            1 => "one label".to_owned(),
            n => format!("{n} labels"),
        };
        let kept: String = block.labels.iter().take(wanted.len()).map(|label| format!("\"{}\" ", label.text)).collect();
        let help = format!("write `{name} {kept}{{ … }}`");
        found.push(Diagnostic::error("too-many-labels", format!("`{name}` takes {takes}")).at(extra.span).help(help));
        return false;
    }
    if let Some(missing) = wanted.get(block.labels.len()) {
        found.push(
            Diagnostic::error("missing-label", format!("`{name}` needs its {missing}"))
                .at(block.header)
                .help(format!("write `{name} {}{{ … }}`", label_hint(schema))),
        );
        return false;
    }
    true
}

/// Whether the labels of a nested block are names: they become part of addresses.
fn check_block_names(block: &Block, found: &mut Diagnostics) -> bool {
    let errors = found.len();
    for label in &block.labels {
        if let Err(problem) = check_value(&(&*label.text).into(), Check::Name(LABEL_CHARS_MAX)) {
            found.push(Diagnostic::error("bad-name", problem.message).at(label.span).maybe_help(problem.help));
        }
    }
    found.len() == errors
}

fn label_hint(schema: &BlockSchema) -> String {
    schema.labels.iter().map(|label| format!("\"{}\" ", label.to_uppercase())).collect()
}

/// What the error says of a part of the language that this version does not have.
pub(crate) fn not_in_effect(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("not-in-effect", format!("`{name}` is not in effect in this version"))
        .at(span)
        .note("the language has it; this version would ignore it, so it is refused")
}

/// What is written instead of a block of Terraform's that a project has not.
fn terraform_block(name: &str) -> Option<&'static str> {
    match name {
        "terraform" => Some("`cloudtik { … }` has `required_version` and `state`; providers are part of the program"),
        "backend" => Some("where the state is kept is said by `state \"local\" { … }` in `cloudtik { … }`"),
        "required_providers" => Some("leave it out: providers are part of the program"),
        "ephemeral" => Some("`ephemeral = true` stands in a `variable` or an `output`"),
        _ => None,
    }
}

fn suggestion(name: &str, schema: &BlockSchema) -> Option<String> {
    let attributes = schema.attributes.iter().map(|rule| rule.schema.name);
    let blocks = schema.blocks.iter().map(|rule| rule.schema.name);
    did_you_mean(name, attributes.chain(blocks)).map(|near| format!("did you mean `{near}`?"))
}
