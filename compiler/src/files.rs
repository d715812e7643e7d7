//! `files`: what is copied to nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_lang::{Files as _, Variables, convert, evaluate};
use cloudtik_model::{
    Address, Artifact, ArtifactSource, Diagnostic, Diagnostics, Digest, Expr, ExprKind, Input, Key, LateName, Segment, Span, StepKind,
    StepSpec, TemplatePart, Type, Value, did_you_mean,
};
use cloudtik_provider_api::Capability;
use cloudtik_syntax::parse_template;

use crate::check::{Problem, check_value, problem};
use crate::evaluate::marked_inside;
use crate::expand::Expansion;
use crate::load::unreadable;
use crate::node::NodeContext;
use crate::roles::check_roles;
use crate::schema::Check;
use crate::steps::new_step;

/// A file up to this size travels as text in the plan, with a line diff; a larger one by its digest.
const MAX_INLINE_BYTES: usize = 256 * 1024;

/// The attributes of an entry that is an object.
const ENTRY_ATTRIBUTES: [&str; 8] = ["source", "content", "mode", "owner", "on", "template", "exclude", "watch"];

/// One entry of `files`, read.
struct Entry {
    path: Arc<str>,
    source: Option<String>,
    content: Option<Value>,
    mode: Value,
    owner: Value,
    template: Option<Value>,
    exclude: Vec<String>,
    span: Span,
}

/// One step for each file of the cluster and of the node that belongs on the node; the node's entry for a path wins.
pub(crate) fn file_steps(expansion: &Expansion<'_>, context: &NodeContext<'_>, found: &mut Diagnostics) -> Vec<StepSpec> {
    let mut entries: BTreeMap<Arc<str>, Entry> = BTreeMap::new();
    for block in context.blocks {
        let field = block.field("files");
        if field.value.is_null() {
            continue;
        }
        let all = marked_inside(&field.value);
        let Some(files) = all.entries() else {
            found.push(
                Diagnostic::error("wrong-type", format!("`files` is a map by remote path, and {} was given", field.value.describe()))
                    .at(field.span),
            );
            continue;
        };
        for (path, value) in files {
            if let Some(entry) = read_entry(context, path, value, field.span, found) {
                entries.insert(Arc::clone(path), entry);
            }
        }
    }
    let mut steps: BTreeMap<Address, StepSpec> = BTreeMap::new();
    for entry in entries.values() {
        for step in entry_steps(expansion, context, entry, found) {
            if let Some(first) = steps.get(&step.address) {
                found.push(
                    Diagnostic::error(
                        "duplicate-file",
                        format!("`files[\"{}\"]`: something else is copied to {}", entry.path, step.address),
                    )
                    .at(entry.span)
                    .and_at(first.span, "the other one")
                    .help("leave one out: with `exclude` of the folder, or by another path"),
                );
                continue;
            }
            steps.insert(step.address.clone(), step);
        }
    }
    steps.into_values().collect()
}

/// Reads one entry. What is in it is wrong at its own type, not when a node is told of it; late values may stand in its content alone.
fn read_entry(context: &NodeContext<'_>, path: &Arc<str>, value: &Value, span: Span, found: &mut Diagnostics) -> Option<Entry> {
    match parse_entry(context, path, &marked_inside(value), span) {
        Ok(entry) => entry,
        Err(problem) => {
            found
                .push(Diagnostic::error("bad-file", format!("`files[\"{path}\"]`: {}", problem.message)).at(span).maybe_help(problem.help));
            None
        }
    }
}

/// The entry, or `None` when it belongs on other nodes.
fn parse_entry(context: &NodeContext<'_>, path: &Arc<str>, value: &Value, span: Span) -> Result<Option<Entry>, Problem> {
    check_remote_path(context, path, value)?;
    let mut entry = Entry {
        path: Arc::clone(path),
        source: None,
        content: None,
        mode: "0644".into(),
        owner: Value::NULL,
        template: None,
        exclude: Vec::new(),
        span,
    };
    if value.as_deferred().is_some_and(|deferred| deferred.ty == Type::String) || value.as_str().is_some() {
        entry.source = Some(known_text("the local path", value)?);
        return Ok(Some(entry));
    }
    let Some(attributes) = value.entries() else {
        return Err(problem(format!("it is {}", value.describe()), "write a local path, or `{ content = … }`"));
    };
    for (name, value) in attributes.iter().filter(|(_, value)| !value.is_null()) {
        match &**name {
            "source" => entry.source = Some(known_text("`source`", value)?),
            "content" => entry.content = Some(text_value("content", value)?),
            "mode" => entry.mode = Value::from(known_text("`mode`", value)?).marked(value.has_sensitive()),
            "owner" => entry.owner = Value::from(known_text("`owner`", value)?).marked(value.has_sensitive()),
            "template" => {
                entry.template = Some(template_variables(value)?).filter(|value| value.entries().is_some_and(|all| !all.is_empty()))
            }
            "exclude" => entry.exclude = known_texts("exclude", value)?,
            "on" => {
                let roles = known_texts("on", value)?;
                let roles_value = Value::list(roles.iter().map(|role| role.as_str().into()));
                check_value(&roles_value, Check::Roles).map_err(|inner| inner.within("`on`"))?;
                if let Some(wrong) = check_roles(&roles, context.groups) {
                    return Err(problem(wrong.message, wrong.help));
                }
                if !context.is_on(&roles) {
                    return Ok(None);
                }
            }
            "watch" if value.as_bool() == Some(false) => {}
            "watch" => return Err(problem("`watch` is not in effect in this version".to_owned(), "leave it out")),
            other => {
                let near = did_you_mean(other, ENTRY_ATTRIBUTES)
                    .map_or_else(|| format!("it has {}", ENTRY_ATTRIBUTES.join(", ")), |near| format!("did you mean `{near}`?"));
                return Err(problem(format!("there is no `{other}`"), near));
            }
        }
    }
    check_value(&entry.mode, Check::Mode).map_err(|inner| inner.within("`mode`"))?;
    if entry.source.is_some() == entry.content.is_some() {
        let help = "write `{ content = \"…\" }` or `{ source = \"files/x\" }`";
        return Err(problem("it needs `source` or `content`, and not both", help));
    }
    if entry.content.is_some() && (entry.template.is_some() || !entry.exclude.is_empty()) {
        return Err(problem(
            "`template` and `exclude` are about a `source`",
            "what `content` holds is a template already: write `\"${…}\"` in it",
        ));
    }
    Ok(Some(entry))
}

fn check_remote_path(context: &NodeContext<'_>, path: &str, value: &Value) -> Result<(), Problem> {
    let parts: Vec<&str> = path.trim_start_matches('/').trim_end_matches('/').split('/').collect();
    let plain = parts.iter().all(|part| !matches!(*part, "" | "." | "..")) && !path.contains('\0');
    if !plain || path.starts_with("//") || path.ends_with('/') && value.as_str().is_none() {
        let help = "write an absolute path, or one relative to the node's home, without `.`, `..` and empty parts";
        return Err(problem("it is not the path of a file", help));
    }
    if path.starts_with('/') && context.capabilities.is_some_and(|all| !all.contains(&Capability::OwnRoot)) {
        return Err(problem(
            "the nodes of this provider have no root of their own, so nothing can be written outside their folders",
            "write a path that is relative to the node's home: `\"www/index.html\"`",
        ));
    }
    Ok(())
}

/// Text that must be known now: it decides what is copied where.
fn known_text(what: &str, value: &Value) -> Result<String, Problem> {
    if value.is_deferred() {
        return Err(problem(
            format!("{what} must be known when the plan is made"),
            "late names and attributes of what is made may stand in `content`",
        ));
    }
    value.as_str().map(str::to_owned).ok_or_else(|| problem(format!("{what} is {}, not a string", value.describe()), "write it in quotes"))
}

fn known_texts(name: &str, value: &Value) -> Result<Vec<String>, Problem> {
    let list = || problem(format!("`{name}` is {}, not a list of strings", value.describe()), format!("write `{name} = [\"…\"]`"));
    let items = value.elements().ok_or_else(list)?;
    items.map(|item| known_text(&format!("each element of `{name}`"), item)).collect()
}

/// What is to be in the file: a string, or what becomes one.
fn text_value(name: &str, value: &Value) -> Result<Value, Problem> {
    convert(value, &Type::String).map_err(|_| {
        problem(format!("`{name}` is {}, not a string", value.describe()), "`jsonencode(…)` and `yamlencode(…)` make text of values")
    })
}

fn template_variables(value: &Value) -> Result<Value, Problem> {
    match value.entries() {
        Some(_) => Ok(value.clone()),
        None => {
            Err(problem(format!("`template` is {}, not a map of names and values", value.describe()), "write `template = { name = … }`"))
        }
    }
}

/// The steps of one entry: one, or for a folder one for each file below it.
fn entry_steps(expansion: &Expansion<'_>, context: &NodeContext<'_>, entry: &Entry, found: &mut Diagnostics) -> Vec<StepSpec> {
    if let Some(content) = &entry.content {
        return file_step(context, entry, &entry.path, Content::Text(content.clone())).into_iter().collect();
    }
    let source = entry.source.as_deref().unwrap_or_default();
    let below = match expansion.reads.sources.list_below(source, None) {
        Ok(below) => below,
        Err(error) => {
            found.push(unreadable(&error).at(entry.span));
            return Vec::new();
        }
    };
    let Some(below) = below else {
        let content = found.take(source_content(expansion, entry, source));
        return content.and_then(|content| file_step(context, entry, &entry.path, content)).into_iter().collect();
    };
    let prefix = format!("{}/", source.trim_start_matches("./").trim_end_matches('/'));
    let mut steps = Vec::new();
    for file in below {
        let relative = file.strip_prefix(&prefix).unwrap_or(&file);
        if entry.exclude.iter().any(|pattern| matches_pattern(pattern, relative)) {
            continue;
        }
        let remote = format!("{}/{relative}", entry.path.trim_end_matches('/'));
        let content = found.take(source_content(expansion, entry, &file));
        steps.extend(content.and_then(|content| file_step(context, entry, &remote, content)));
    }
    steps
}

enum Content {
    Text(Value),
    Artifact(Artifact),
}

fn source_content(expansion: &Expansion<'_>, entry: &Entry, path: &str) -> Result<Content, Diagnostic> {
    let bytes = expansion.reads.read_at(path, entry.span)?;
    let text = std::str::from_utf8(&bytes).ok().filter(|text| text.len() <= MAX_INLINE_BYTES);
    match (text, &entry.template) {
        (Some(text), None) => Ok(Content::Text(text.into())),
        (Some(text), Some(variables)) => render(expansion, entry, path, text, variables).map(Content::Text),
        (None, None) => {
            let file = path.rsplit('/').next().unwrap_or(path).to_owned();
            Ok(Content::Artifact(Artifact { file, sha256: Digest::of(&bytes), source: ArtifactSource::Path(path.to_owned()) }))
        }
        (None, Some(_)) => {
            Err(Diagnostic::error("not-text", format!("`{path}` is a template and must be UTF-8 text below {MAX_INLINE_BYTES} bytes"))
                .at(entry.span))
        }
    }
}

fn render(expansion: &Expansion<'_>, entry: &Entry, path: &str, text: &str, variables: &Value) -> Result<Value, Diagnostic> {
    let file = expansion.reads.add_source(path, text.into());
    let first =
        |diagnostics: Diagnostics| diagnostics.into_iter().next().unwrap_or_else(|| Diagnostic::error("bad-template", path).at(entry.span));
    let template = parse_template(file, text).map_err(first)?;
    let variables = marked_inside(variables);
    let names = variables.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone()));
    let scope = Variables::new(names);
    evaluate(&template, &expansion.reads.context(&scope)).map_err(first)
}

fn file_step(context: &NodeContext<'_>, entry: &Entry, remote: &str, content: Content) -> Option<StepSpec> {
    let segment = Segment { name: "file".into(), key: Some(Key::Name(remote.into())) };
    let mut step = new_step(context, context.node.push(segment), StepKind::File, format!("write {remote}"));
    step.span = entry.span;
    step.inputs.insert("path".into(), Input::Value(remote_path(remote)));
    step.inputs.insert("mode".into(), Input::Value(entry.mode.clone()));
    if !entry.owner.is_null() {
        step.inputs.insert("owner".into(), Input::Value(entry.owner.clone()));
    }
    match content {
        Content::Text(text) => step.inputs.insert("content".into(), Input::Value(text)),
        Content::Artifact(artifact) => step.inputs.insert("artifact".into(), Input::Artifact(artifact)),
    };
    Some(step)
}

/// An absolute path as it is; another one below the node's home.
fn remote_path(remote: &str) -> Value {
    if remote.starts_with('/') {
        return remote.into();
    }
    let home = Expr::from(ExprKind::Late(LateName::Node("dirs".into()))).attribute("home");
    let text = TemplatePart::Text(format!("/{remote}").into());
    Value::deferred(Type::String, ExprKind::Template(vec![TemplatePart::Value(home), text]).into())
}

/// Whether a path matches a pattern: `*` is any characters but `/`, `**` any at all; a pattern without `/` is matched with the last part.
fn matches_pattern(pattern: &str, path: &str) -> bool {
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', '*', rest @ ..] => (0..=text.len()).any(|i| text.get(i..).is_some_and(|text| matches(rest, text))),
            ['*', rest @ ..] => {
                let end = text.iter().position(|c| *c == '/').unwrap_or(text.len());
                (0..=end).any(|i| text.get(i..).is_some_and(|text| matches(rest, text)))
            }
            [first, rest @ ..] => match text {
                [c, text @ ..] => (c == first || *first == '?' && *c != '/') && matches(rest, text),
                [] => false,
            },
        }
    }
    let subject = if pattern.contains('/') { path } else { path.rsplit('/').next().unwrap_or(path) };
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    matches(&chars(pattern.trim_end_matches('/')), &chars(subject))
        || path.strip_prefix(pattern.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn patterns_match_parts_of_paths() {
        for (pattern, path, expected) in [
            ("*.log", "a/b.log", true),
            ("*.log", "a/b.txt", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/**", "a/b/c", true),
            ("cache", "cache/x", true),
            ("?.txt", "a.txt", true),
        ] {
            assert_eq!(matches_pattern(pattern, path), expected, "{pattern} {path}");
        }
    }
}
