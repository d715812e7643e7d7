//! The functions: one table says what each is called, takes, gives and does; one place checks arguments, marks and what is not known.

pub(crate) mod bcrypt;
mod call;
mod collection;
mod conversion;
mod encoding;
mod files;
mod format;
pub(crate) mod hash;
mod inherit;
mod network;
mod numeric;
mod rsa;
mod sequence;
mod sets;
mod string;
mod time;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use files::clean as clean_path;
pub use inherit::INHERIT;
pub use time::utc_text;

use cloudtik_model::{Type, Value, did_you_mean};

use crate::impure::ImpureFunction;

/// What a function says when it fails.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Which argument is to blame.
    argument: Option<usize>,
    message: String,
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self { argument: None, message: message.into() }
    }

    fn at(argument: usize, message: impl Into<String>) -> Self {
        Self { argument: Some(argument), message: message.into() }
    }
}

type Outcome = Result<Value, Fault>;

/// An argument by place and name.
#[derive(Clone, Copy)]
pub(crate) struct Parameter {
    name: &'static str,
    wants: Wants,
    nullable: bool,
}

/// What an argument is converted to before the function sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// As it is.
    Any,
    Number,
    String,
    /// `list(string)`
    Strings,
}

impl Wants {
    fn ty(self) -> Type {
        match self {
            Self::Any => Type::Any,
            Self::Number => Type::Number,
            Self::String => Type::String,
            Self::Strings => Type::list(Type::String),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Number => "number",
            Self::String => "string",
            Self::Strings => "list(string)",
        }
    }
}

/// How a function is called.
enum Body {
    /// With arguments that are known to the last part.
    Known(fn(&[Value]) -> Outcome),
    /// With arguments of which parts may be deferred; `None` when the result cannot be told yet.
    Shape(fn(&[Value]) -> Result<Option<Value>, Fault>),
    /// With expressions, or with more than arguments.
    Special(Special),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    Try,
    Can,
    File(files::Told),
    FileExists,
    FileSet,
    Absolute,
    Home,
    TemplateFile,
    TemplateString,
    Impure(ImpureFunction),
}

/// What a call costs beside the steps of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// The same for every argument: parts are handed on, not copied.
    Constant,
    /// Arguments and result are walked.
    Linear,
}

/// Which marks of the arguments the result gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marks {
    /// Those of the arguments and of what is inside them: the result was computed from it.
    Deep,
    /// Those of the arguments themselves: what is inside them is handed on with its own.
    Shallow,
    /// The function says.
    Own,
}

/// One function.
pub(crate) struct Function {
    name: &'static str,
    doc: &'static str,
    parameters: &'static [Parameter],
    /// How many of the parameters there must be.
    required: usize,
    /// What further arguments are.
    rest: Option<Parameter>,
    /// The type of the result, told from arguments that are not known yet.
    result: fn(&[Value]) -> Type,
    marks: Marks,
    cost: Cost,
    body: Body,
}

/// What is told of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Its name.
    pub name: &'static str,
    /// How it is called: `join(separator: string, lists: list(string)...)`.
    pub signature: String,
    /// What it gives, in one line.
    pub doc: &'static str,
}

/// Every function, by name.
pub fn functions() -> impl Iterator<Item = FunctionInfo> {
    TABLE.values().map(|function| FunctionInfo { name: function.name, signature: function.signature(), doc: function.doc })
}

/// The names of all functions, sorted.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    TABLE.keys().copied()
}

static TABLE: LazyLock<BTreeMap<&'static str, &'static Function>> = LazyLock::new(|| {
    let all = [
        numeric::FUNCTIONS,
        rsa::FUNCTIONS,
        string::FUNCTIONS,
        format::FUNCTIONS,
        collection::FUNCTIONS,
        conversion::FUNCTIONS,
        encoding::FUNCTIONS,
        files::FUNCTIONS,
        hash::FUNCTIONS,
        network::FUNCTIONS,
        sequence::FUNCTIONS,
        sets::FUNCTIONS,
        time::FUNCTIONS,
    ];
    all.into_iter().flatten().map(|function| (function.name, function)).collect()
});

impl Function {
    const fn known(
        name: &'static str,
        parameters: &'static [Parameter],
        result: fn(&[Value]) -> Type,
        body: fn(&[Value]) -> Outcome,
    ) -> Self {
        Self {
            name,
            doc: "",
            parameters,
            required: parameters.len(),
            rest: None,
            result,
            marks: Marks::Deep,
            cost: Cost::Linear,
            body: Body::Known(body),
        }
    }

    const fn shape(
        name: &'static str,
        parameters: &'static [Parameter],
        result: fn(&[Value]) -> Type,
        body: fn(&[Value]) -> Result<Option<Value>, Fault>,
    ) -> Self {
        Self {
            name,
            doc: "",
            parameters,
            required: parameters.len(),
            rest: None,
            result,
            marks: Marks::Shallow,
            cost: Cost::Linear,
            body: Body::Shape(body),
        }
    }

    const fn special(name: &'static str, parameters: &'static [Parameter], body: Special) -> Self {
        let required = parameters.len();
        Self {
            name,
            doc: "",
            parameters,
            required,
            rest: None,
            result: any,
            marks: Marks::Shallow,
            cost: Cost::Linear,
            body: Body::Special(body),
        }
    }

    /// With the line that tells what it gives.
    const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// With any number of further arguments.
    const fn and(mut self, rest: Parameter) -> Self {
        self.rest = Some(rest);
        self
    }

    /// With parameters that may be left out from the end.
    const fn needs(mut self, required: usize) -> Self {
        self.required = required;
        self
    }

    const fn constant(mut self) -> Self {
        self.cost = Cost::Constant;
        self
    }

    const fn marks(mut self, marks: Marks) -> Self {
        self.marks = marks;
        self
    }

    fn parameter(&self, index: usize) -> Option<&Parameter> {
        self.parameters.get(index).or(self.rest.as_ref())
    }

    fn signature(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for (i, parameter) in self.parameters.iter().enumerate() {
            let optional = if i < self.required { "" } else { "?" };
            parts.push(format!("{}{optional}: {}", parameter.name, parameter.wants.as_str()));
        }
        if let Some(rest) = &self.rest {
            parts.push(format!("{}: {}...", rest.name, rest.wants.as_str()));
        }
        format!("{}({})", self.name, parts.join(", "))
    }
}

fn find(name: &str) -> Option<&'static Function> {
    const INTERNAL: &Function = &inherit::FUNCTION;
    TABLE.get(name).copied().or((name == INHERIT).then_some(INTERNAL))
}

/// The function that was meant, or how functions of other systems are done here.
fn suggest(name: &str) -> Option<String> {
    did_you_mean(name, function_names()).map(|near| format!("did you mean `{near}`?"))
}

const fn parameter(name: &'static str, wants: Wants) -> Parameter {
    Parameter { name, wants, nullable: false }
}

const fn nullable(name: &'static str, wants: Wants) -> Parameter {
    Parameter { name, wants, nullable: true }
}

fn any(_: &[Value]) -> Type {
    Type::Any
}

fn a_string(_: &[Value]) -> Type {
    Type::String
}

fn a_number(_: &[Value]) -> Type {
    Type::Number
}

fn a_bool(_: &[Value]) -> Type {
    Type::Bool
}

fn strings(_: &[Value]) -> Type {
    Type::list(Type::String)
}

/// The argument at that place; `null` where none was given.
fn arg(args: &[Value], index: usize) -> &Value {
    static NULL: Value = Value::NULL;
    args.get(index).unwrap_or(&NULL)
}

/// The text of an argument that is a string by the table.
fn text(args: &[Value], index: usize) -> &str {
    arg(args, index).as_str().unwrap_or_default()
}

/// The elements of a list, set or tuple.
fn sequence(args: &[Value], index: usize) -> Result<Vec<Value>, Fault> {
    match arg(args, index).elements() {
        Some(items) => Ok(items.cloned().collect()),
        None => Err(Fault::at(index, format!("a list is required, but this is {}", arg(args, index).describe()))),
    }
}

/// A number that is a whole one of moderate size.
fn whole(args: &[Value], index: usize) -> Result<i64, Fault> {
    let number = arg(args, index).as_number();
    number.and_then(cloudtik_model::Number::as_i64).ok_or_else(|| {
        let shown = number.map_or_else(String::new, ToString::to_string);
        Fault::at(index, format!("a whole number is required, but this is {shown}"))
    })
}
