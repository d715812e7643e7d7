//! `files`: what is copied to nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_lang::{Context, Files as _, Variables, evaluate};
use cloudtik_model::{
    Artifact, ArtifactSource, Diagnostic, Diagnostics, Digest, Expr, ExprKind, Input, Key, LateName, Segment, Span, StepKind, StepSpec,
    TemplatePart, Type, Value, did_you_mean,
};
use cloudtik_provider_api::Capability;
use cloudtik_syntax::parse_template;

use crate::check::check_value;
use crate::cluster::NodeContext;
use crate::expand::Expansion;
use crate::load::unreadable;
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
        let Some(files) = field.value.entries() else {
            found.push(Diagnostic::error("wrong-type", format!("`files` is a map by remote path, and {} was given", field.value.describe())).at(field.span));
            continue;
        };
        for (path, value) in files {
            if let Some(entry) = read_entry(context, path, value, field.span, found) {
                entries.insert(Arc::clone(path), entry);
            }
        }
    }
    entries.values().flat_map(|entry| entry_steps(expansion, context, entry, found)).collect()
}

fn read_entry(context: &NodeContext<'_>, path: &Arc<str>, value: &Value, span: Span, found: &mut Diagnostics) -> Option<Entry> {
    let mut wrong = |message: String, help: &str| {
        found.push(Diagnostic::error("bad-file", format!("`files[\"{path}\"]`: {message}")).at(span).help(help));
        None
    };
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
    if path.is_empty() || path.split('/').any(|part| part == "..") || path.ends_with('/') && value.as_str().is_none() {
        return wrong("it is not the path of a file".to_owned(), "write an absolute path, or one relative to the node's home");
    }
    if path.starts_with('/') && context.capabilities.is_some_and(|all| !all.contains(&Capability::OwnRoot)) {
        return wrong(
            "the nodes of this provider have no root of their own, so nothing can be written outside their folders".to_owned(),
            "write a path that is relative to the node's home: `\"www/index.html\"`",
        );
    }
    if let Some(source) = value.as_str() {
        entry.source = Some(source.to_owned());
        return Some(entry);
    }
    let Some(attributes) = value.entries() else {
        return wrong(format!("it is {}", value.describe()), "write a local path, or `{ content = … }`");
    };
    for (name, value) in attributes {
        let text = || value.as_str().map(str::to_owned);
        match &**name {
            _ if value.is_null() => {}
            "source" => entry.source = text(),
            "content" => entry.content = Some(value.clone()),
            "mode" => entry.mode = value.clone(),
            "owner" => entry.owner = value.clone(),
            "template" => entry.template = Some(value.clone()).filter(|value| value.entries().is_some_and(|entries| !entries.is_empty())),
            "exclude" => entry.exclude = value.elements().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            "on" => {
                let roles: Vec<String> = match value.elements() {
                    Some(items) => items.filter_map(|item| item.as_str().map(str::to_owned)).collect(),
                    None => text().into_iter().collect(),
                };
                if let Err(problem) = check_value(&Value::list(roles.iter().map(|role| role.as_str().into())), Check::Roles) {
                    return wrong(format!("`on`: {}", problem.message), &problem.help.unwrap_or_default());
                }
                if !context.is_on(&roles) {
                    return None;
                }
            }
            "watch" if value.as_bool() == Some(false) => {}
            "watch" => {
                found.push(crate::schema::not_in_effect("watch", span));
                return None;
            }
            other => {
                let near = did_you_mean(other, ENTRY_ATTRIBUTES).map_or_else(|| format!("it has {}", ENTRY_ATTRIBUTES.join(", ")), |near| format!("did you mean `{near}`?"));
                return wrong(format!("there is no `{other}`"), &near);
            }
        }
    }
    if let Err(problem) = check_value(&entry.mode, Check::Mode) {
        return wrong(format!("`mode`: {}", problem.message), &problem.help.unwrap_or_default());
    }
    if entry.source.is_some() == entry.content.is_some() {
        return wrong("it needs `source` or `content`, and not both".to_owned(), "write `{ content = \"…\" }` or `{ source = \"files/x\" }`");
    }
    Some(entry)
}

/// The steps of one entry: one, or for a folder one for each file below it.
fn entry_steps(expansion: &Expansion<'_>, context: &NodeContext<'_>, entry: &Entry, found: &mut Diagnostics) -> Vec<StepSpec> {
    if let Some(content) = &entry.content {
        return file_step(context, entry, &entry.path, Content::Text(content.clone())).into_iter().collect();
    }
    let source = entry.source.as_deref().unwrap_or_default();
    let below = match expansion.reads.sources.list_below(source) {
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
        (None, Some(_)) => Err(Diagnostic::error("not-text", format!("`{path}` is a template and must be UTF-8 text below {MAX_INLINE_BYTES} bytes")).at(entry.span)),
    }
}

fn render(expansion: &Expansion<'_>, entry: &Entry, path: &str, text: &str, variables: &Value) -> Result<Value, Diagnostic> {
    let file = expansion.reads.add_source(path, text.into());
    let first = |diagnostics: Diagnostics| diagnostics.into_iter().next().unwrap_or_else(|| Diagnostic::error("bad-template", path).at(entry.span));
    let template = parse_template(file, text).map_err(first)?;
    let names = variables.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone()));
    let scope = Variables::new(names);
    evaluate(&template, &Context::new(&scope).with_files(expansion.reads)).map_err(first)
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
