//! Which blocks and attributes a manifest has, and the check of a body against that.

use cloudtik_model::{Diagnostic, Diagnostics, Span, Type, did_you_mean};
use cloudtik_syntax::{Block, Body};

/// A block of the manifest.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    pub(crate) labelled: bool,
    pub(crate) attributes: &'static [Rule],
    pub(crate) blocks: &'static [&'static Schema],
    /// Whether any name may stand in it: `locals`.
    pub(crate) open: bool,
    /// Whether several of it, with labels of their own, may stand in one body.
    pub(crate) many: bool,
}

/// An attribute of a block.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Bool,
    /// A whole number from zero.
    Count,
    /// Of TCP: 1 to 65535.
    Port,
    Texts,
    TextMap,
    /// `"90s"`, `"1h30m"`
    Duration,
    /// `0644`
    Mode,
    /// Read or evaluated by whoever asks for it.
    Free,
}

impl Kind {
    pub(crate) fn ty(self) -> Type {
        match self {
            Self::Text | Self::Duration | Self::Mode => Type::String,
            Self::Bool => Type::Bool,
            Self::Count | Self::Port => Type::Number,
            Self::Texts => Type::list(Type::String),
            Self::TextMap => Type::map(Type::String),
            Self::Free => Type::Any,
        }
    }
}

const fn must(name: &'static str, kind: Kind) -> Rule {
    Rule { name, kind, required: true }
}

const fn may(name: &'static str, kind: Kind) -> Rule {
    Rule { name, kind, required: false }
}

const fn block(name: &'static str, labelled: bool, attributes: &'static [Rule], blocks: &'static [&'static Schema]) -> Schema {
    Schema { name, labelled, attributes, blocks, open: false, many: labelled }
}

static HTTP: Schema = block("http", false, &[may("host", Kind::Text), must("port", Kind::Port), may("path", Kind::Text)], &[]);
static TCP: Schema = block("tcp", false, &[may("host", Kind::Text), must("port", Kind::Port)], &[]);
static READY: Schema = block("ready", false, &[], &[&HTTP, &TCP]);
static HEALTH: Schema = block("health", false, &[may("interval", Kind::Duration), may("timeout", Kind::Duration)], &[&HTTP, &TCP]);
static VALIDATION: Schema =
    Schema { many: true, ..block("validation", false, &[must("condition", Kind::Free), must("error_message", Kind::Free)], &[]) };
static MODULE: Schema = block(
    "module",
    true,
    &[must("version", Kind::Text), may("description", Kind::Text), must("roles", Kind::Texts), may("quorum_min", Kind::Count)],
    &[],
);
static OPTION: Schema = block(
    "option",
    true,
    &[must("type", Kind::Free), may("default", Kind::Free), may("description", Kind::Text), may("sensitive", Kind::Bool)],
    &[&VALIDATION],
);
static LOCALS: Schema = Schema { open: true, many: true, ..block("locals", false, &[], &[]) };
static BINARY: Schema = block(
    "binary",
    true,
    &[
        may("wheel", Kind::Text),
        may("path", Kind::Text),
        may("package", Kind::Text),
        may("version", Kind::Text),
        may("file", Kind::Text),
        may("sha256", Kind::Text),
        may("executables", Kind::Texts),
        may("requires", Kind::Texts),
    ],
    &[],
);
static FILE: Schema = block(
    "file",
    true,
    &[
        may("template", Kind::Text),
        may("source", Kind::Text),
        may("content", Kind::Text),
        may("bindings", Kind::Free),
        must("path", Kind::Text),
        may("mode", Kind::Mode),
        may("owner", Kind::Text),
        may("for_each", Kind::Free),
        may("frozen", Kind::Bool),
        may("when", Kind::Bool),
    ],
    &[],
);
static VALIDATE: Schema = block(
    "validate",
    true,
    &[
        must("run", Kind::Free),
        may("follows", Kind::Texts),
        may("env", Kind::TextMap),
        may("user", Kind::Text),
        may("timeout", Kind::Duration),
        may("when", Kind::Bool),
    ],
    &[],
);
static RUN: Schema = block(
    "run",
    true,
    &[
        must("run", Kind::Free),
        may("undo", Kind::Free),
        may("creates", Kind::Text),
        may("unless", Kind::Free),
        may("only_if", Kind::Free),
        may("follows", Kind::Texts),
        may("env", Kind::TextMap),
        may("user", Kind::Text),
        may("timeout", Kind::Duration),
        may("retries", Kind::Count),
        may("retry_wait", Kind::Duration),
        may("when", Kind::Bool),
    ],
    &[],
);
static DAEMON: Schema = block(
    "daemon",
    true,
    &[
        must("argv", Kind::Texts),
        may("env", Kind::TextMap),
        may("cwd", Kind::Text),
        may("user", Kind::Text),
        may("ready_timeout", Kind::Duration),
        may("restarts_max", Kind::Count),
        may("restart_window", Kind::Duration),
        may("stop_signal", Kind::Text),
        may("stop_grace", Kind::Duration),
        may("reload_signal", Kind::Text),
        may("log_bytes_max", Kind::Count),
        may("follows", Kind::Texts),
        may("requires", Kind::Texts),
        may("when", Kind::Bool),
    ],
    &[&READY],
);
static PORT: Schema = block("port", true, &[must("port", Kind::Port), may("protocol", Kind::Text)], &[]);
static SERVICE: Schema = block(
    "service",
    true,
    &[may("type", Kind::Text), must("port", Kind::Text), may("protocol", Kind::Text), may("labels", Kind::TextMap)],
    &[],
);
static DISCOVER: Schema = block(
    "discover",
    true,
    &[
        may("services", Kind::Texts),
        may("types", Kind::Texts),
        may("runtimes", Kind::Texts),
        may("optional", Kind::Bool),
        may("description", Kind::Text),
    ],
    &[],
);
static SECRET: Schema = block("secret", true, &[may("length", Kind::Count), may("description", Kind::Text)], &[]);
static MEMBERSHIP: Schema = block(
    "membership",
    false,
    &[must("join", Kind::Free), must("leave", Kind::Free), may("env", Kind::TextMap), may("timeout", Kind::Duration)],
    &[],
);

/// A whole manifest.
pub(crate) static MANIFEST: Schema = Schema {
    blocks: &[
        &MODULE,
        &OPTION,
        &LOCALS,
        &BINARY,
        &FILE,
        &VALIDATE,
        &RUN,
        &DAEMON,
        &HEALTH,
        &PORT,
        &SERVICE,
        &DISCOVER,
        &SECRET,
        &MEMBERSHIP,
    ],
    ..block("manifest", false, &[], &[])
};

impl Schema {
    pub(crate) fn rule(&self, name: &str) -> Option<&'static Rule> {
        self.attributes.iter().find(|rule| rule.name == name)
    }

    pub(crate) fn block(&self, name: &str) -> Option<&'static Schema> {
        self.blocks.iter().find(|schema| schema.name == name).copied()
    }

    fn suggestion(&self, name: &str) -> Option<String> {
        let names = self.attributes.iter().map(|rule| rule.name).chain(self.blocks.iter().map(|schema| schema.name));
        did_you_mean(name, names).map(|near| format!("did you mean `{near}`?"))
    }
}

/// Says everything that is wrong with the names of a body.
pub(crate) fn check_body(body: &Body, schema: &Schema, header: Span, found: &mut Diagnostics) {
    let what = if std::ptr::eq(schema, &raw const MANIFEST) { "the manifest of a module".to_owned() } else { format!("`{}`", schema.name) };
    for attribute in body.attributes.iter().filter(|_| !schema.open) {
        let name = &*attribute.name.name;
        if schema.rule(name).is_some() {
            continue;
        }
        found.push(if schema.block(name).is_some() {
            Diagnostic::error("attribute-for-block", format!("`{name}` is a block, not an attribute"))
                .at(attribute.name.span)
                .help(format!("write `{name} {{ … }}` without `=`"))
        } else {
            Diagnostic::error("unknown-attribute", format!("{what} has no attribute `{name}`"))
                .at(attribute.name.span)
                .maybe_help(schema.suggestion(name))
        });
    }
    for rule in schema.attributes.iter().filter(|rule| rule.required && body.attribute(rule.name).is_none()) {
        let title = format!("{what} needs `{}`", rule.name);
        found.push(Diagnostic::error("missing-attribute", title).at(header).help(format!("add `{} = …`", rule.name)));
    }
    for (i, block) in body.blocks.iter().enumerate() {
        check_block(block, body.blocks.get(..i).unwrap_or_default(), schema, &what, found);
    }
}

fn check_block(block: &Block, earlier: &[Block], schema: &Schema, what: &str, found: &mut Diagnostics) {
    let name = &*block.kind.name;
    let Some(rule) = schema.block(name) else {
        found.push(if schema.rule(name).is_some() {
            Diagnostic::error("block-for-attribute", format!("`{name}` is an attribute, not a block"))
                .at(block.kind.span)
                .help(format!("write `{name} = …`"))
        } else {
            Diagnostic::error("unknown-block", format!("{what} has no block `{name}`"))
                .at(block.kind.span)
                .maybe_help(schema.suggestion(name))
        });
        return;
    };
    let wanted = usize::from(rule.labelled);
    if let Some(extra) = block.labels.get(wanted) {
        let takes = if rule.labelled { "one label" } else { "no label" };
        found.push(Diagnostic::error("too-many-labels", format!("`{name}` takes {takes}")).at(extra.span));
    } else if block.labels.len() < wanted {
        let help = format!("write `{name} \"NAME\" {{ … }}`");
        found.push(Diagnostic::error("missing-label", format!("`{name}` needs its name")).at(block.header).help(help));
    } else if let Some(first) = earlier.iter().find(|other| is_same(other, block, rule)) {
        let label = block.labels.first().map_or_else(String::new, |label| format!(" \"{}\"", label.text));
        let title = format!("there are two blocks `{name}{label}`");
        found.push(Diagnostic::error("duplicate-block", title).at_saying(block.header, "the second").and_at(first.header, "the first"));
    }
    check_body(&block.body, rule, block.header, found);
}

fn is_same(other: &Block, block: &Block, rule: &Schema) -> bool {
    let label = |block: &Block| block.labels.first().map(|label| label.text.clone());
    other.kind.name == block.kind.name && if rule.many { rule.labelled && label(other) == label(block) } else { true }
}
