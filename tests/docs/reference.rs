//! The parts of the user's guide that are made from tables of the code: blocks, kinds of providers, functions, runtimes.

use std::fmt::Write as _;

use cloudtik::model::{SourceMap, Value};
use cloudtik_compiler::language;
use cloudtik_compiler::schema::{AttributeRule, BlockSchema, Check};
use cloudtik_provider_api::{AttributeSchema, Idempotency, KindSchema, Presence};
use cloudtik_runtime_modules::{load_shipped, shipped_names};

const MADE: &str = "This page is generated from the tables of the code (`UPDATE_GOLDEN=1 cargo test -p cloudtik --test docs`).";

/// `docs/guide/reference.md`
pub(crate) fn blocks() -> String {
    let top = language::top_level();
    let mut out = format!(
        "# Reference: blocks and attributes\n\n{MADE}\nIt lists what is in effect. What the language has beside it is named at each block: this version\n\
         refuses it with the error `not-in-effect` instead of ignoring it.\n\n{LEGEND}\n## The file\n\nA project is every `*.hcl` file of one folder. At the top \
         level of a file stand blocks only.\n\n{}",
        later(&top)
    );
    for nested in &top.blocks {
        block(&nested.schema, "", nested.many, 2, &mut out);
    }
    out
}

const LEGEND: &str = "\
Columns:

- **type**: as in the `type` of a variable; `reference` is the name of a block, written without quotes.
- **default**: what it is when it is not written; `required` means that there is none.
- **change**: what a change of it does to a running system. `none`: nothing. `live`: in place. `steps`: the steps that depend on it run again.
  `rolling`: the node is made anew. `recreate`: the object is destroyed and created. `fixed`: refused, with an error that says what to do instead.
- *late*: late names such as `node.address` may stand in it. *known*: its value must be known when the plan is made.
";

fn block(schema: &BlockSchema, parent: &str, many: bool, level: usize, out: &mut String) {
    let labels: String = schema.labels.iter().map(|label| format!(" \"{}\"", label.to_uppercase())).collect();
    let path = if parent.is_empty() { schema.name.to_owned() } else { format!("{parent}.{}", schema.name) };
    write!(out, "\n{} `{path}`\n\n", "#".repeat(level)).unwrap();
    let often = if many { "May be repeated." } else { "At most once." };
    writeln!(out, "`{}{labels} {{ … }}`. {often}", schema.name).unwrap();
    if schema.open {
        let what = match schema.name {
            "locals" => "Any name may be defined in it.",
            "provider" => {
                "Its attributes are those of the provider type: see [kinds](kinds.md). Every provider also has the attributes below."
            }
            "resource" => "Its attributes are those of its kind: see [kinds](kinds.md). Every resource also has the attributes below.",
            "data" => {
                "Its attributes are those of its kind, all of them optional: the one object that is so in every way is meant. It is found by its \
                 `id`, by the name that only one can have, or by its `tags`. The kind `workspace` takes the `name` of a workspace of another \
                 project, and gives what `workspace.NAME` exports."
            }
            "template" => "Any attributes and blocks of a workspace, or any of a cluster, and `from`: see [templates](templates.md).",
            "module" => "It also takes the variables of the module: see [modules](modules.md).",
            "runtime" => "It also takes the options of its module: see [runtimes](runtimes.md).",
            "scaling" => "It is carried to the head and not in effect in this version: what stands in it is not looked at.",
            _ if path.starts_with("cluster.scaling.") => "Carried as it is.",
            other => panic!("say what may stand in the open block `{other}`"),
        };
        write!(out, "\n{what}\n").unwrap();
    }
    let mut attributes = schema.attributes.clone();
    if schema.name == "provider" {
        attributes.extend(language::provider_meta());
    }
    if schema.name == "resource" {
        attributes.extend(language::resource_meta());
    }
    if schema.name == "module" {
        attributes.extend(language::call_meta());
    }
    if schema.name == "data" {
        attributes.extend(language::data_meta());
    }
    if !attributes.is_empty() {
        out.push_str("\n| attribute | type | default | change | meaning |\n|---|---|---|---|---|\n");
        attributes.iter().for_each(|rule| attribute(rule, out));
    }
    let below = later(schema);
    if !below.is_empty() {
        write!(out, "\n{below}").unwrap();
    }
    for nested in &schema.blocks {
        block(&nested.schema, &path, nested.many, (level + 1).min(5), out);
    }
}

fn later(schema: &BlockSchema) -> String {
    if schema.later.is_empty() {
        return String::new();
    }
    let names: Vec<String> = schema.later.iter().map(|name| format!("`{name}`")).collect();
    format!("Not in effect in this version: {}.\n", names.join(", "))
}

fn attribute(rule: &AttributeRule, out: &mut String) {
    let schema = &rule.schema;
    let ty = if rule.reference { "reference".to_owned() } else { format!("`{}`", schema.ty) };
    let mut notes = String::new();
    if let Some(check) = check(rule.check) {
        write!(notes, " {check}").unwrap();
    }
    if rule.late {
        notes.push_str(" *late*");
    }
    if rule.known {
        notes.push_str(" *known*");
    }
    writeln!(
        out,
        "| `{}` | {ty} | {} | {} | {}{notes} |",
        schema.name,
        default(&schema.presence),
        schema.change.as_str(),
        cell(schema.doc)
    )
    .unwrap();
}

fn default(presence: &Presence) -> String {
    match presence {
        Presence::Required => "required".to_owned(),
        Presence::Optional => "–".to_owned(),
        Presence::Default(value) => format!("`{}`", cell(&cloudtik::lang::render_line(value))),
        Presence::OptionalComputed => "chosen once, then kept".to_owned(),
        Presence::Computed => "given by the provider".to_owned(),
    }
}

fn check(check: Check) -> Option<String> {
    Some(match check {
        Check::None => return None,
        Check::Duration => "A duration: `90s`, `1h30m`.".to_owned(),
        Check::Cidr => "A range of addresses: `10.0.0.0/16`.".to_owned(),
        Check::Cidrs => "Each is a range of addresses: `10.0.0.0/8`.".to_owned(),
        Check::Ports => "Each is a port or a range of ports.".to_owned(),
        Check::OneOf(words) => format!("One of {}.", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
        Check::Name(max) => format!("Lower-case letters, digits and `-`, a letter first; at most {max} characters."),
        Check::IntFrom(least) => format!("A whole number, {least} or more."),
        Check::Positive => "Above 0.".to_owned(),
        Check::Mode => "An octal mode: `0644`.".to_owned(),
        Check::PortMap => "Keys and values are ports.".to_owned(),
        Check::Roles => "Each is `head`, `workers`, `workers.GROUP` or `all`.".to_owned(),
        Check::Zones => "A whole number, 1 or more, or a list of names.".to_owned(),
        Check::Image => "A text, or an object of `owner`, `name` and `arch`.".to_owned(),
        Check::Days => "A number of days, such as `\"7d\"`.".to_owned(),
        Check::Limit => "A duration above zero, such as `\"30m\"`.".to_owned(),
        Check::Domain => "A suffix of names in DNS, such as `\"data.example\"`.".to_owned(),
        Check::PublicKeys => "Each is one public key, as `authorized_keys` has it.".to_owned(),
    })
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// `docs/guide/kinds.md`
pub(crate) fn kinds() -> String {
    let mut out = format!(
        "# Reference: providers and their kinds\n\n{MADE}\n\nEvery kind also has `id`, given by the provider. The columns are those of the [reference](reference.md).\n"
    );
    for (name, schema) in cloudtik::provider_schemas() {
        write!(out, "\n## provider `{name}`\n\n").unwrap();
        if schema.config.is_empty() {
            out.push_str("It has no configuration.\n");
        } else {
            table(&schema.config, &mut out);
        }
        schema.kinds.values().for_each(|schema| kind(schema, &mut out));
    }
    out
}

fn kind(schema: &KindSchema, out: &mut String) {
    let usage = if schema.in_resource {
        format!("As a resource: `resource \"{}\" \"NAME\" {{ … }}`.", schema.name)
    } else {
        "Made by workspaces and clusters only.".to_owned()
    };
    let repeat = match schema.class {
        Idempotency::Token => "repeating the identical call with its token".to_owned(),
        Idempotency::TagAtCreate { visibility_ms, reads } => {
            format!("looking for the mark of the create, until {visibility_ms} ms have passed and {reads} searches found nothing")
        }
        Idempotency::UniqueName => "looking for its name, and for our mark on what has it".to_owned(),
        Idempotency::Natural => "doing it again, confirmed by a read".to_owned(),
        Idempotency::Pure => "nothing: it has no effect outside the state".to_owned(),
    };
    write!(out, "\n### `{}`\n\n{} {usage} A create whose end is not known is settled by {repeat}.\n\n", schema.name, schema.doc).unwrap();
    table(&schema.attributes, out);
    if !schema.needs.is_empty() {
        let needs: Vec<String> = schema.needs.iter().map(ToString::to_string).collect();
        writeln!(out, "\nFor a create: {}", needs.join(" ")).unwrap();
    }
}

fn table(attributes: &[AttributeSchema], out: &mut String) {
    out.push_str("| attribute | type | default | change | meaning |\n|---|---|---|---|---|\n");
    for schema in attributes {
        let sensitive = if schema.sensitive { " *sensitive*" } else { "" };
        let change = if schema.is_settable() { schema.change.as_str() } else { "–" };
        writeln!(
            out,
            "| `{}` | `{}` | {} | {change} | {}{sensitive} |",
            schema.name,
            schema.ty,
            default(&schema.presence),
            cell(schema.doc)
        )
        .unwrap();
    }
}

/// `docs/guide/functions.md`
pub(crate) fn functions() -> String {
    let mut out = format!(
        "# Reference: functions\n\n{MADE}\n\nThey are named and behave as in Terraform. `name?` may be left out, `name...` may be repeated. A call whose arguments are not\n\
         known yet is kept and made when they are. A result that was computed from a sensitive value is sensitive.\n\n| call | gives |\n|---|---|\n"
    );
    for function in cloudtik::lang::functions() {
        writeln!(out, "| `{}` | {} |", cell(&function.signature), cell(function.doc)).unwrap();
    }
    out
}

/// `docs/guide/runtimes.md`
pub(crate) fn runtimes() -> String {
    let mut out = format!(
        "# Reference: runtimes\n\n{MADE}\n\nA `runtime \"NAME\" {{ … }}` block of a cluster takes the attributes of the [reference](reference.md#clusterruntime) and the options of\n\
         its module. How to write a module of your own is in [modules](../modules.md).\n"
    );
    for name in shipped_names() {
        let (module, diagnostics) = load_shipped(name, &mut SourceMap::default()).unwrap();
        assert!(!diagnostics.has_errors(), "module {name} has errors");
        let module = module.unwrap();
        let roles: Vec<String> = module.roles().iter().map(|role| format!("`{role}`")).collect();
        write!(out, "\n## `{name}`\n\n{}. Version {}. It runs on: {}.\n\n", module.description(), module.version(), roles.join(", "))
            .unwrap();
        out.push_str("| option | type | default | meaning |\n|---|---|---|---|\n");
        for option in module.options() {
            let default = match &option.default {
                _ if option.required => "required".to_owned(),
                None => "–".to_owned(),
                Some(value) if value.is_null() => "–".to_owned(),
                Some(value) => format!("`{}`", cell(&cloudtik::lang::render_line(value))),
            };
            let sensitive = if option.sensitive { " *sensitive*" } else { "" };
            writeln!(out, "| `{}` | `{}` | {default} | {}{sensitive} |", option.name, option.ty, cell(&option.doc)).unwrap();
        }
        let ports: Vec<String> = module.ports().iter().map(|port| format!("`{}` ({})", port.name, port.protocol)).collect();
        if !ports.is_empty() {
            let endpoints = if module.roles().iter().any(|role| role == "head") { "`.ports`, `.endpoints`" } else { "`.ports`" };
            write!(out, "\nPorts: {}. `cluster.C.runtime.{name}` exports {endpoints} and `.version`.\n", ports.join(", ")).unwrap();
        }
        for service in module.services() {
            writeln!(out, "\nIt offers the service `{}` of type `{}` ({}).", service.name, service.service_type, service.protocol).unwrap();
        }
        for discover in module.discovers() {
            let optional = if discover.optional { ", which may be missing" } else { "" };
            writeln!(out, "\nIt discovers `{}`{optional}: {}.", discover.name, discover.doc).unwrap();
        }
        if module.has_membership() {
            out.push_str("\nIts workers keep a quorum: they come and go one at a time.\n");
        }
    }
    out
}

/// Keeps the import honest: a value prints as a spec would write it.
#[test]
fn defaults_print_as_they_are_written() {
    assert_eq!(default(&Presence::Default(Value::from("a|b"))), "`\"a\\|b\"`");
    assert_eq!(default(&Presence::Default(Value::list([]))), "`[]`");
}
