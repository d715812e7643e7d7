//! `file` and `templatefile`.

use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, Expr, Span, Type, Value};

use super::call::call_later;
use super::{Function, Parameter, Special, Wants, a_string, arg, find, parameter, text};
use crate::evaluate::{Eval, Evaluator, Locals, checked, error};
use crate::limits::MAX_TEMPLATE_DEPTH;
use crate::scope::Variables;

const PATH: Parameter = parameter("path", Wants::String);

pub(super) const FUNCTIONS: &[Function] = &[
    Function { result: a_string, ..Function::special("file", &[PATH], Special::File) }.doc("The content of a file of the project."),
    Function::special("templatefile", &[PATH, parameter("vars", Wants::Any)], Special::TemplateFile)
        .doc("The template in a file of the project, rendered with these names."),
];

impl Evaluator<'_> {
    fn read(&self, path: &str, place: Span) -> Eval<Arc<str>> {
        let Some(files) = self.session.files else { return error("call-failed", "files cannot be read here", place) };
        let bytes =
            files.read(path).map_err(|fault| Diagnostics::from(Diagnostic::error("unreadable-file", fault.to_string()).at(place)))?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.into()),
            Err(fault) => error("unreadable-file", format!("`{path}` is not UTF-8 text: byte {} is wrong", fault.valid_up_to()), place),
        }
    }

    /// Stands for the content of a file where only its type counts.
    fn unread(&self, name: &str, values: &[(Value, Span)], span: Span) -> Option<Value> {
        let function = find(name).filter(|_| self.session.is_speculative())?;
        Some(call_later(function, values, (Type::String, false), span, false))
    }

    pub(super) fn file(&self, args: &[Value], values: &[(Value, Span)], span: Span) -> Eval<Value> {
        if let Some(unread) = self.unread("file", values, span) {
            return Ok(unread);
        }
        let value = Value::from(self.read(path(args, values, span)?, place(values, 0, span))?);
        self.session.charge_value(&value, span)?;
        Ok(value)
    }

    /// The names of the template are those given and no others.
    pub(super) fn template_file(&self, args: &[Value], values: &[(Value, Span)], span: Span, locals: Locals<'_>) -> Eval<Value> {
        if let Some(unread) = self.unread("templatefile", values, span) {
            return Ok(unread);
        }
        let vars = arg(args, 1);
        let Some(entries) = vars.entries() else {
            let title = format!("the names for a template are an object or a map, but this is {}", vars.describe());
            return error("wrong-argument", title, place(values, 1, span));
        };
        if self.template_depth >= MAX_TEMPLATE_DEPTH {
            return error("limit", format!("`templatefile` stands in more than {MAX_TEMPLATE_DEPTH} templates"), span);
        }
        let template = self.parsed(path(args, values, span)?, place(values, 0, span))?;
        let names = Variables::new(entries.iter().map(|(name, item)| (Arc::clone(name), item.clone().marked(vars.is_sensitive()))));
        let inner = Evaluator { session: self.session, scope: &names, template_depth: self.template_depth + 1 };
        // Its own variables are not seen in the template, but the residual loops around it count.
        let fresh = locals.without_variables();
        let value = inner.eval(&template, fresh).map_err(|errors| called_from(errors, span))?;
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
