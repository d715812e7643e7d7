//! Files of the project, templates, and paths.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloudtik_model::{Diagnostic, Diagnostics, Expr, ReadError, Span, Type, Value};

use super::call::call_later;
use super::hash::Sum;
use super::{Function, Parameter, Special, Wants, a_bool, a_string, arg, find, parameter, text};
use crate::evaluate::{Eval, Evaluator, Locals, checked, error};
use crate::limits::{BYTES_PER_STEP, MAX_STRING_BYTES, MAX_TEMPLATE_DEPTH};
use crate::scope::{Files, Variables};

const PATH: Parameter = parameter("path", Wants::String);

/// What is told of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Its text.
    Text,
    /// Its bytes in base 64.
    Base64,
    /// A digest of it in hexadecimal digits.
    Hex(Sum),
    /// A digest of it in base 64.
    HexBase64(Sum),
}

const fn of_file(name: &'static str, told: Told) -> Function {
    Function { result: a_string, ..Function::special(name, &[PATH], Special::File(told)) }
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function { result: a_string, ..Function::special("abspath", &[PATH], Special::Absolute) }.doc("The path from the root of the machine."),
    Function::known("basename", &[PATH], a_string, |args| Ok(basename(text(args, 0)).into())).doc("The last part of the path."),
    Function::known("dirname", &[PATH], a_string, |args| Ok(dirname(text(args, 0)).into())).doc("The path without its last part."),
    of_file("file", Told::Text).doc("The content of a file of the project."),
    of_file("filebase64", Told::Base64).doc("The bytes of a file in base 64."),
    of_file("filebase64sha256", Told::HexBase64(Sum::Sha256)).doc("The SHA-256 of a file in base 64."),
    of_file("filebase64sha512", Told::HexBase64(Sum::Sha512)).doc("The SHA-512 of a file in base 64."),
    Function { result: a_bool, ..Function::special("fileexists", &[PATH], Special::FileExists) }.doc("Whether the project has that file."),
    of_file("filemd5", Told::Hex(Sum::Md5)).doc("The MD5 of a file in hexadecimal digits."),
    Function { result: file_names, ..Function::special("fileset", &[PATH, parameter("pattern", Wants::String)], Special::FileSet) }
        .doc("The files below a folder whose paths there match a pattern: `*`, `**`, `?`, `{a,b}`."),
    of_file("filesha1", Told::Hex(Sum::Sha1)).doc("The SHA-1 of a file in hexadecimal digits."),
    of_file("filesha256", Told::Hex(Sum::Sha256)).doc("The SHA-256 of a file in hexadecimal digits."),
    of_file("filesha512", Told::Hex(Sum::Sha512)).doc("The SHA-512 of a file in hexadecimal digits."),
    Function { result: a_string, ..Function::special("pathexpand", &[PATH], Special::Home) }
        .doc("The path with the home of the user in place of `~` at its beginning."),
    Function::special("templatefile", &[PATH, parameter("vars", Wants::Any)], Special::TemplateFile)
        .doc("The template in a file of the project, rendered with these names."),
    Function::special("templatestring", &[parameter("template", Wants::String), parameter("vars", Wants::Any)], Special::TemplateString)
        .doc("The template, rendered with these names."),
];

fn file_names(_: &[Value]) -> Type {
    Type::set(Type::String)
}

impl Evaluator<'_> {
    fn files(&self, place: Span) -> Eval<&dyn Files> {
        self.session.files.map_or_else(|| error("call-failed", "files cannot be read here", place), Ok)
    }

    fn read_bytes(&self, path: &str, place: Span) -> Eval<Arc<[u8]>> {
        self.files(place)?.read(path).map_err(|fault| unreadable(&fault, place))
    }

    fn read(&self, path: &str, place: Span) -> Eval<Arc<str>> {
        let bytes = self.read_bytes(path, place)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.into()),
            Err(fault) => error("unreadable-file", format!("`{path}` is not UTF-8 text: byte {} is wrong", fault.valid_up_to()), place),
        }
    }

    /// Functions that look at the disk in another way than to read one file.
    pub(super) fn on_disk(
        &self,
        (special, function): (Special, &Function),
        args: &[Value],
        values: &[(Value, Span)],
        span: Span,
    ) -> Eval<Value> {
        if self.session.is_speculative() {
            return Ok(call_later(function, values, ((function.result)(args), false), span, false));
        }
        let (path, place) = (path(args, values, span)?, place(values, 0, span));
        let files = self.files(place)?;
        match special {
            Special::Absolute => match files.absolute(path) {
                Some(absolute) => Ok(absolute.into()),
                None => error("call-failed", "the project has no place on this machine", place),
            },
            Special::Home if path == "~" || path.starts_with("~/") => match files.home() {
                Some(home) => Ok(format!("{home}{}", path.get(1..).unwrap_or_default()).into()),
                None => error("call-failed", "nothing says where the home of the user is", place),
            },
            Special::FileExists => match files.read(path) {
                Ok(_) => Ok(true.into()),
                Err(ReadError::TooLarge { .. }) => Ok(true.into()),
                Err(ReadError::NotFound(_)) => Ok(false.into()),
                Err(fault) => Err(unreadable(&fault, place)),
            },
            Special::FileSet if arg(args, 1).is_sensitive() => {
                error("sensitive-path", "the pattern of files must not be sensitive", values.get(1).map_or(span, |(_, place)| *place))
            }
            Special::FileSet => self.file_set(files, path, (text(args, 1), values.get(1).map_or(span, |(_, place)| *place)), place),
            _ => Ok(path.into()),
        }
    }

    fn file_set(&self, files: &dyn Files, folder: &str, (pattern, pattern_place): (&str, Span), place: Span) -> Eval<Value> {
        let glob = globset::GlobBuilder::new(pattern).literal_separator(true).build().map_err(|fault| {
            Diagnostics::from(Diagnostic::error("call-failed", format!("no pattern of files: {}", fault.kind())).at(pattern_place))
        })?;
        let matcher = glob.compile_matcher();
        let clean = clean(folder);
        let below = files.list_below(&clean, depth_of(pattern)).map_err(|fault| unreadable(&fault, place))?;
        self.session.charge(below.len() as u64, place)?;
        let prefix = if clean == "." { String::new() } else { format!("{clean}/") };
        let names = below.iter().filter_map(|path| path.strip_prefix("./").unwrap_or(path).strip_prefix(&prefix));
        let found = Value::set(names.filter(|name| matcher.is_match(name)).map(Value::from));
        self.session.charge_value(&found, place)?;
        Ok(found)
    }

    /// Stands for the content of a file where only its type counts.
    fn unread(&self, name: &str, values: &[(Value, Span)], span: Span) -> Option<Value> {
        let function = find(name).filter(|_| self.session.is_speculative())?;
        Some(call_later(function, values, (Type::String, false), span, false))
    }

    pub(super) fn file(&self, (told, function): (Told, &Function), args: &[Value], values: &[(Value, Span)], span: Span) -> Eval<Value> {
        if let Some(unread) = self.unread(function.name, values, span) {
            return Ok(unread);
        }
        let (path, place) = (path(args, values, span)?, place(values, 0, span));
        let of_bytes = |write: &dyn Fn(&[u8]) -> String| {
            let bytes = self.read_bytes(path, place)?;
            self.session.charge((bytes.len() / BYTES_PER_STEP) as u64, span)?;
            Ok::<Value, Diagnostics>(write(&bytes).into())
        };
        let value: Value = match told {
            Told::Text => self.read(path, place)?.into(),
            Told::Base64 => of_bytes(&|bytes| STANDARD.encode(bytes))?,
            Told::Hex(sum) => of_bytes(&|bytes| sum.hex(bytes))?,
            Told::HexBase64(sum) => of_bytes(&|bytes| sum.base64(bytes))?,
        };
        if value.as_str().is_some_and(|text| text.len() > MAX_STRING_BYTES) {
            return error("limit", format!("the text has more than {MAX_STRING_BYTES} bytes"), span);
        }
        self.session.charge_value(&value, span)?;
        Ok(value)
    }

    pub(super) fn template_file(&self, args: &[Value], values: &[(Value, Span)], span: Span, locals: Locals<'_>) -> Eval<Value> {
        if let Some(unread) = self.unread("templatefile", values, span) {
            return Ok(unread);
        }
        let template = self.parsed(path(args, values, span)?, place(values, 0, span))?;
        self.rendered(&template, args, values, span, locals)
    }

    pub(super) fn template_string(&self, args: &[Value], values: &[(Value, Span)], span: Span, locals: Locals<'_>) -> Eval<Value> {
        // Its lines are no lines of a file: what is wrong in it is said where it is rendered.
        let place = place(values, 0, span);
        let is_sensitive = arg(args, 0).is_sensitive();
        let wrong = |errors: Diagnostics| {
            let hidden = || {
                Diagnostic::error("call-failed", "`templatestring`: the template is wrong; it is sensitive and not shown").at(place).into()
            };
            if is_sensitive { hidden() } else { moved(errors, place) }
        };
        let template = cloudtik_syntax::parse_template(place.file, text(args, 0)).map_err(wrong)?;
        let rendered = self.rendered(&template, args, values, span, locals).map_err(wrong)?;
        Ok(rendered.marked(is_sensitive))
    }

    /// The names of the template are those given and no others.
    fn rendered(&self, template: &Expr, args: &[Value], values: &[(Value, Span)], span: Span, locals: Locals<'_>) -> Eval<Value> {
        let vars = arg(args, 1);
        let Some(entries) = vars.entries() else {
            let title = format!("the names for a template are an object or a map, but this is {}", vars.describe());
            return error("wrong-argument", title, place(values, 1, span));
        };
        if self.template_depth >= MAX_TEMPLATE_DEPTH {
            return error("limit", format!("a template stands in more than {MAX_TEMPLATE_DEPTH} templates"), span);
        }
        let names = Variables::new(entries.iter().map(|(name, item)| (Arc::clone(name), item.clone().marked(vars.is_sensitive()))));
        let inner = Evaluator { session: self.session, scope: &names, template_depth: self.template_depth + 1 };
        // Its own variables are not seen in the template, but the residual loops around it count.
        let fresh = locals.without_variables();
        let value = inner.eval(template, fresh).map_err(|errors| called_from(errors, span))?;
        checked(value.marked(vars.is_sensitive()), span)
    }

    fn parsed(&self, path: &str, place: Span) -> Eval<Arc<Expr>> {
        if let Some(parsed) = self.session.templates.borrow().get(path) {
            return Ok(Arc::clone(parsed));
        }
        let content = self.read(path, place)?;
        let Some(files) = self.session.files else { return error("call-failed", "files cannot be read here", place) };
        let id = files.add_source(path, Arc::clone(&content));
        let parsed = Arc::new(cloudtik_syntax::parse_template(id, &content).map_err(|errors| called_from(errors, place))?);
        self.session.templates.borrow_mut().insert(path.into(), Arc::clone(&parsed));
        Ok(parsed)
    }
}

fn unreadable(fault: &ReadError, place: Span) -> Diagnostics {
    Diagnostic::error("unreadable-file", fault.to_string()).at(place).help(fault.help()).into()
}

/// Errors with nothing but what they say, at another place.
fn moved(errors: Diagnostics, place: Span) -> Diagnostics {
    errors.into_iter().map(|error| Diagnostic::error(error.code, error.title).at(place)).collect()
}

/// How many folders deep a pattern may match; `None`: any.
fn depth_of(pattern: &str) -> Option<usize> {
    (!pattern.contains("**")).then(|| pattern.matches('/').count())
}

/// The path without what says nothing: `.`, a name before `..`, slashes that follow another one.
#[must_use]
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last().copied()) {
            ("" | ".", _) => {}
            ("..", None) if rooted => {}
            ("..", Some(last)) if last != ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

fn basename(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit('/').next() {
        Some(last) if !last.is_empty() => last,
        _ if path.is_empty() => ".",
        _ => "/",
    }
}

fn dirname(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| path.get(..=slash).unwrap_or_default()))
}

/// The first argument. Which files are read is recorded, and messages name them.
fn path<'a>(args: &'a [Value], values: &[(Value, Span)], span: Span) -> Eval<&'a str> {
    if arg(args, 0).is_sensitive() {
        return error("sensitive-path", "the path of a file must not be sensitive", place(values, 0, span));
    }
    Ok(text(args, 0))
}

fn place(values: &[(Value, Span)], index: usize, span: Span) -> Span {
    values.get(index).map_or(span, |(_, place)| *place)
}

/// Errors of a template stand in its own lines; they also say who reads it.
fn called_from(errors: Diagnostics, span: Span) -> Diagnostics {
    errors.into_iter().map(|error| error.and_at(span, "the template is read here")).collect()
}
