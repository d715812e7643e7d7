//! What is said of text that does not fit the grammar: what is wrong, where, and what to type instead.
//!
//! The parser says little more than where it stopped. What stands there, and what it stands in, tells what was probably meant.

use cloudtik_model::{Diagnostic, Number, NumberError, Span};

use crate::lower::{Lowering, Masked};
use crate::scan::{Scanner, stray, too_deep};
use crate::token::{after_blanks, byte, identifier_end, line_end, slice};
use crate::{Ident, Label, MAX_EXPRESSION_DEPTH};

/// What an expression stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Attribute,
    OneLineBlock,
    Alone,
    Sequence,
}

const LINE_END: &str = "an expression ends with its line; to go on in the next one, put it in parentheses";
const COMPARE: &str = "to compare write `==`";

/// Text in a body that begins neither an attribute nor a block.
pub(crate) fn not_a_statement(scanner: &Scanner<'_>) -> Diagnostic {
    let (text, start) = (scanner.text, scanner.pos);
    let end = token_end(text, start);
    let token = slice(text, start, end);
    let span = scanner.span(start, end);
    let unexpected = || Diagnostic::error("invalid-statement", format!("{} begins no attribute and no block", shown(token))).at(span);
    match token.chars().next() {
        Some(bracket @ (')' | ']')) => stray(span, u8::try_from(bracket).unwrap_or(b')')),
        Some('"') if after_blanks_is(text, end, &["=", ":"]) => {
            Diagnostic::error("invalid-statement", "the name of an attribute has no quotes")
                .at(span)
                .help(format!("write {} = …", token.trim_matches('"')))
        }
        Some('=') => unexpected().help("write name = value"),
        Some('?' | ':' | '+' | '-' | '*' | '/' | '%' | '&' | '|' | '<' | '>' | '!' | '.') => unexpected().help(LINE_END),
        Some(',' | ';') => unexpected().help("attributes and blocks are divided by the end of the line alone"),
        Some('0'..='9') => unexpected().help("a name begins with a letter or `_`"),
        _ => unexpected().help("write name = value, or kind \"label\" {"),
    }
}

/// An attribute whose line ends after the `=`.
/// With it the offset of a value that stands in a line below.
pub(crate) fn no_value(scanner: &Scanner<'_>, name: &Ident) -> (Diagnostic, Option<usize>) {
    let below = after_lines(scanner.text, scanner.pos);
    let value_below = matches!(byte(scanner.text, below), Some(b'"' | b'[' | b'{' | b'(' | b'<')).then_some(below);
    let help = match value_below {
        Some(_) => "the value begins in the line of the `=`".to_owned(),
        None => format!("write {} = value; for no value write null", name.name),
    };
    (Diagnostic::error("missing-value", format!("`{}` has no value", name.name)).at(name.span).help(help), value_below)
}

/// A name, and perhaps labels, that go on with neither `=` nor `{`.
pub(crate) fn no_brace(scanner: &Scanner<'_>, kind: &Ident, labels: &[Label], header_end: usize, brace_below: Option<usize>) -> Diagnostic {
    let (text, start) = (scanner.text, scanner.pos);
    let rest = slice(text, start, text.len());
    if let Some(brace) = brace_below {
        return Diagnostic::error("misplaced-brace", "the `{` of a block stands in the line of its name")
            .at(scanner.span(brace, brace + 1))
            .and_at(kind.span, "this is the name")
            .help(format!("write {} {{", slice(text, kind.span.start as usize, header_end)));
    }
    let end = if rest.is_empty() || rest.starts_with(['\n', '#']) { start } else { token_end(text, start) };
    let here = scanner.span(start, end);
    let header = scanner.span(kind.span.start as usize, header_end);
    let name = &kind.name;
    let line = slice(text, start, line_end(text, start)).trim_end();
    let error = |title: String, span: Span| Diagnostic::error("missing-equals", title).at(span);
    match rest.chars().next() {
        Some(':') => {
            error(format!("`{name}` is followed by `:`"), here).help(format!("write {name} = {}", line.trim_start_matches([':', '=', ' '])))
        }
        Some('=') if rest.starts_with("==") || rest.starts_with("=>") => {
            error(format!("`{name}` is followed by `{}`", slice(rest, 0, 2)), here).help(format!("write {name} = value"))
        }
        Some('=') => {
            error("an attribute has no labels".to_owned(), header).help(format!("write {name} = {}", line.trim_start_matches(['=', ' '])))
        }
        Some('.' | '[') if labels.is_empty() => {
            let whole = scanner.span(kind.span.start as usize, start + line.find('=').unwrap_or(1));
            error("the name of an attribute is one word".to_owned(), whole)
                .help(format!("to set a part of a value, write {name} = {{ … }}"))
        }
        None | Some('\n' | '#') => match labels {
            [] => error(format!("`{name}` is followed by nothing"), kind.span)
                .help(format!("write {name} = value for an attribute, or {name} {{ for a block")),
            [value] => error(format!("an `=` is missing after `{name}`"), header)
                .help(format!("write {name} = {}", quoted(slice(text, value.span.start as usize, value.span.end as usize)))),
            _ => Diagnostic::error("missing-brace", "a `{` is missing after the labels of this block")
                .at(header)
                .help(format!("write {} {{", slice(text, kind.span.start as usize, header_end))),
        },
        Some(_) if labels.is_empty() => error(format!("an `=` is missing after `{name}`"), here).help(format!("write {name} = {line}")),
        Some(_) => Diagnostic::error("invalid-label", format!("{} is no label", shown(slice(text, start, end))))
            .at(here)
            .help("a label is a name, or text in double quotes"),
    }
}

/// Something after an attribute or a block in the same line.
pub(crate) fn no_line_end(scanner: &Scanner<'_>) -> Diagnostic {
    let (text, start) = (scanner.text, scanner.pos);
    let end = token_end(text, start);
    let span = scanner.span(start, end);
    match byte(text, start) {
        Some(b'}') => Diagnostic::error("missing-newline", "the `}` of a block of several lines stands in a line of its own")
            .at(span)
            .help("end the line before it"),
        _ => Diagnostic::error("missing-newline", format!("the line should end before {}", shown(slice(text, start, end))))
            .at(span)
            .help("begin a new line here"),
    }
}

/// Text after the expression that should be all.
pub(crate) fn after_expression(scanner: &Scanner<'_>) -> Diagnostic {
    let (start, end) = (scanner.pos, token_end(scanner.text, scanner.pos));
    let token = slice(scanner.text, start, end);
    Diagnostic::error("invalid-expression", format!("the expression is complete before {}", shown(token)))
        .at(scanner.span(start, end))
        .help(LINE_END)
}

/// Nothing where an expression should be.
pub(crate) fn no_expression(span: Span) -> Diagnostic {
    Diagnostic::error("incomplete-expression", "an expression is missing").at(span).help("for no value write null, for no text \"\"")
}

/// What the parser found, in our words.
pub(crate) fn translate(lowering: &Lowering<'_>, masked: &Masked<'_>, error: &hcl_edit::parser::Error, context: Context) -> Diagnostic {
    let text: &str = &masked.text;
    let message = error.message();
    let mut offset = if stopped_at_end(text, error) { text.len() } else { error.location().offset().min(text.len()) };
    if message.contains("object value assignment") {
        // The parser has passed what it found instead.
        offset = slice(text, 0, offset).char_indices().next_back().map_or(0, |(at, _)| at);
    }
    let found = Found::new(lowering, masked, offset, context);
    if message.contains("nesting depth") {
        return too_deep(found.span());
    }
    if message.contains("chained binary operators") {
        return Diagnostic::error("nesting-too-deep", format!("more than {MAX_EXPRESSION_DEPTH} operators in one chain"))
            .at_saying(found.span(), "this is one too many")
            .help("give a part of the expression a name in `locals`, or use a function such as `sum`, `join` or `anytrue`");
    }
    if let Some(diagnostic) = found.number() {
        return diagnostic;
    }
    if message.contains("redefined object key") {
        return found.duplicate_key();
    }
    found
        .entry(message)
        .or_else(|| found.incomplete(message))
        .or_else(|| found.other_language())
        .or_else(|| found.next_attribute())
        .or_else(|| found.between_elements(message))
        .or_else(|| found.grammar(message))
        .unwrap_or_else(|| found.unexpected())
}

/// Whether the parser stopped behind the last byte; its offset never says so, its column does.
fn stopped_at_end(text: &str, error: &hcl_edit::parser::Error) -> bool {
    let offset = error.location().offset();
    let line = slice(text, 0, offset).rfind('\n').map_or(0, |feed| feed + 1);
    let next = text.get(offset..).and_then(|rest| rest.chars().next()).map_or(offset, |c| offset + c.len_utf8());
    next == text.len() && error.location().column() > slice(text, line, next).chars().count()
}

/// Where the parser stopped.
struct Found<'f, 's> {
    lowering: &'f Lowering<'s>,
    text: &'f str,
    base: usize,
    context: Context,
    /// The first token that does not fit; empty at the end.
    start: usize,
    end: usize,
    /// The innermost bracket around it.
    bracket: Option<(usize, u8)>,
}

impl<'f, 's> Found<'f, 's> {
    fn new(lowering: &'f Lowering<'s>, masked: &'f Masked<'_>, offset: usize, context: Context) -> Self {
        let text: &str = &masked.text;
        let rest = text.get(offset..).unwrap_or_default();
        let start = offset + (rest.len() - rest.trim_start().len());
        let end = token_end(text, start);
        Self { lowering, text, base: masked.start, context, start, end, bracket: bracket_around(text, start) }
    }

    fn token(&self) -> &'f str {
        slice(self.text, self.start, self.end)
    }

    /// The token as the file has it: a template is a plain string for the parser.
    fn source(&self) -> &'s str {
        slice(self.lowering.text, self.base + self.start, self.base + self.end)
    }

    fn rest(&self) -> &'f str {
        slice(self.text, self.start, self.text.len())
    }

    fn before(&self) -> &'f str {
        slice(self.text, 0, self.start).trim_end()
    }

    /// The place of the token; at the end, of the last token before it.
    fn span(&self) -> Span {
        if self.start < self.end {
            return self.lowering.span(self.base + self.start, self.base + self.end);
        }
        let end = self.before().len();
        let length = self.before().chars().next_back().map_or(0, char::len_utf8);
        self.lowering.span(self.base + end - length, self.base + end)
    }

    fn error(&self, code: &'static str, title: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, title).at(self.span())
    }

    fn unexpected(&self) -> Diagnostic {
        self.error("invalid-expression", format!("{} does not fit here", shown(self.source())))
    }

    fn begins_term(&self) -> bool {
        self.token().starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '"' | '[' | '{' | '(' | '!'))
    }

    /// What the parser is sure of.
    fn entry(&self, message: &str) -> Option<Diagnostic> {
        if message.contains("object value assignment") && self.token() != "=" {
            let title = format!("an `=` is missing before {}", shown(self.source()));
            return Some(self.error("missing-equals", title).help("an entry of an object is name = value"));
        }
        if message.contains("expected digit") {
            return Some(self.error("invalid-number", "an exponent has digits").help("write 1e3"));
        }
        None
    }

    /// The expression ends where an operand should follow.
    fn incomplete(&self, message: &str) -> Option<Diagnostic> {
        let operators = |text: &str| text.chars().all(|c| "+-*/%&|<>=!?:.".contains(c));
        let rest = self.rest().trim();
        if !operators(rest) {
            return None;
        }
        let operator = if rest.is_empty() { self.before() } else { rest };
        let operator = slice(operator, operator.trim_end_matches(|c| "+-*/%&|<>=!?:.".contains(c)).len(), operator.len());
        let help = match self.context {
            Context::Attribute | Context::OneLineBlock if self.bracket.is_none() => LINE_END,
            _ => "an operand is missing",
        };
        if message.contains("expected `:`") {
            return Some(self.error("incomplete-expression", "this `?` has no `:`").help("write condition ? value : other"));
        }
        let title = match operator {
            "" => "the expression is not complete".to_owned(),
            "." => "a name is missing after `.`".to_owned(),
            "%" => {
                let help = "a percentage is text: `\"10%\"`; the rest of a division has two operands: `a % b`";
                return Some(self.error("incomplete-expression", "an operand is missing after `%`").help(help));
            }
            "..." => return Some(self.error("invalid-expression", "`...` stands after the last argument of a call only")),
            operator => format!("an operand is missing after `{operator}`"),
        };
        Some(self.error("incomplete-expression", title).help(help))
    }

    /// A number that the parser cannot hold.
    fn number(&self) -> Option<Diagnostic> {
        let part = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
        let start = slice(self.text, 0, self.start).trim_end_matches(part).len();
        let rest = slice(self.text, start, self.text.len());
        let number = slice(rest, 0, rest.find(|c| !part(c)).unwrap_or(rest.len()));
        match number.parse::<Number>() {
            Err(error @ NumberError::TooLong) => Some(
                Diagnostic::error("number-too-long", error.to_string())
                    .at(self.lowering.span(self.base + start, self.base + start + number.len())),
            ),
            _ => None,
        }
    }

    /// Words and signs of other languages.
    fn other_language(&self) -> Option<Diagnostic> {
        let previous = self.before().rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        let glued = self.before().len() == self.start;
        let help = match (self.token(), previous) {
            ("and", _) => "write `&&`".to_owned(),
            ("or", _) => "write `||`".to_owned(),
            (_, "not") => "write `!`".to_owned(),
            ("if" | "then" | "else" | "unless", _) | (_, "if") => "write condition ? value : other".to_owned(),
            (_, "for") => "a `for` stands in brackets: [for x in list : x], {for k, v in map : k => v}".to_owned(),
            (";", _) => "expressions are divided by the end of the line alone".to_owned(),
            ("'" | "`", _) => "text stands in double quotes".to_owned(),
            ("\u{201c}" | "\u{201d}" | "\u{201e}" | "\u{2018}" | "\u{2019}", _) => {
                "text stands in straight double quotes: \"…\"".to_owned()
            }
            (">", _) if self.before().ends_with('=') => "an entry of an object is name = value; `=>` stands in a `for`".to_owned(),
            (">", _) if self.before().ends_with('<') => "write `!=`".to_owned(),
            ("=", _) if self.before().ends_with("==") => "write `==`".to_owned(),
            _ if self.before().ends_with('&') && !self.before().ends_with("&&") => "write `&&`".to_owned(),
            _ if self.before().ends_with('|') && !self.before().ends_with("||") => "write `||`".to_owned(),
            ("$", _) if self.rest().starts_with("${") => "`${…}` stands in quotes only; here write the expression itself".to_owned(),
            ("$" | "@", _) => "names have no sign before them: var.name, local.name".to_owned(),
            ("%", _) if self.rest().starts_with("%{") => "`%{…}` stands in quotes or in a heredoc only".to_owned(),
            (".", _) if self.rest().chars().nth(1).is_some_and(|c| c.is_ascii_digit()) && (!glued || self.before().is_empty()) => {
                format!("write 0{}", self.rest())
            }
            ("+", _) if self.before().is_empty() => "write the number without `+`".to_owned(),
            (unit, number) if glued && number.starts_with(|c: char| c.is_ascii_digit()) && unit.starts_with(char::is_alphabetic) => {
                format!("a number has no unit and no other base; as text write \"{number}{unit}\"")
            }
            (group, number) if glued && number.starts_with(|c: char| c.is_ascii_digit()) && group.starts_with('_') => {
                "write a number as digits alone".to_owned()
            }
            _ => return None,
        };
        Some(self.unexpected().help(help))
    }

    /// Another attribute or entry in the same line.
    fn next_attribute(&self) -> Option<Diagnostic> {
        let name_end = identifier_end(self.text, self.start);
        let single = |at: usize| slice(self.text, at, at + 1) == "=" && !matches!(byte(self.text, at + 1), Some(b'=' | b'>'));
        let entry = name_end > self.start && single(after_blanks(self.text, name_end));
        match (self.bracket, entry) {
            (None, true) if self.context == Context::OneLineBlock => Some(
                self.error("one-line-block", "a block on one line holds one attribute")
                    .help("write each on a line of its own, between the braces"),
            ),
            (None, true) => Some(
                self.error("missing-newline", format!("the line should end before `{}`", self.token()))
                    .help("write each attribute on a line of its own"),
            ),
            (Some((_, b'{')), true) => Some(
                self.error("missing-comma", format!("a comma or a new line is missing before `{}`", self.token()))
                    .help(format!("write , {}", self.token())),
            ),
            (Some((_, b'[')), _) if single(self.start) => {
                Some(self.error("invalid-expression", "a list has no names").help("for names and values write { name = value }"))
            }
            (Some((_, b'(')), _) if single(self.start) => Some(
                self.error("invalid-expression", "`=` does not fit here").help(format!("arguments are told by their order; {COMPARE}")),
            ),
            (None, _) if single(self.start) => Some(self.error("invalid-expression", "`=` does not fit here").help(COMPARE)),
            _ => None,
        }
    }

    /// A comma too few or too many.
    fn between_elements(&self, message: &str) -> Option<Diagnostic> {
        let token = self.token();
        match self.bracket {
            None if token == "," && self.context == Context::OneLineBlock => Some(
                self.error("one-line-block", "a block on one line holds one attribute")
                    .help("write each on a line of its own, between the braces"),
            ),
            None if token == "," => Some(self.unexpected().help("remove the comma; a list stands in brackets: [a, b]")),
            Some(_) if token == "," && self.before().ends_with("...") => {
                Some(self.error("invalid-expression", "no argument follows one with `...`").help("move it to the end"))
            }
            Some(_) if token == "," => Some(
                self.error("invalid-expression", "nothing stands before this comma").help("remove the comma, or write what is missing"),
            ),
            Some((at, b'[')) if message.contains("expected `]`") && self.begins_term() => Some(if is_index(self.text, at) {
                self.error("invalid-expression", format!("the index is complete before {}", shown(self.source())))
                    .help("an index is one expression")
            } else {
                self.missing_comma("an element")
            }),
            Some((at, b'(')) if message.contains("expected `)`") && self.begins_term() && is_index(self.text, at) => {
                Some(self.missing_comma("an argument"))
            }
            Some((_, b'{')) if message.contains("object item") && self.begins_term() => Some(self.missing_comma("an entry")),
            _ => None,
        }
    }

    fn missing_comma(&self, what: &str) -> Diagnostic {
        self.error("missing-comma", format!("a comma is missing before {}", shown(self.source())))
            .help(format!("{what} ends with a comma; text stands in double quotes"))
    }

    /// What the parser expected.
    fn grammar(&self, message: &str) -> Option<Diagnostic> {
        let expected = |what: &str| message.contains(&format!("expected `{what}`"));
        let shown = shown(self.source());
        let diagnostic = self.unexpected();
        Some(if expected("=>") {
            diagnostic.help("in braces write {for k, v in map : k => v}; for a list use square brackets")
        } else if expected("in") {
            diagnostic.help("write [for x in list : x], [for k, v in map : v]")
        } else if expected(":") && self.before().contains("for") && self.bracket.is_some_and(|(_, b)| b != b'(') {
            diagnostic.help("a `:` is missing: write [for x in list : x]")
        } else if expected(":") {
            diagnostic.help("a `:` is missing: write condition ? value : other")
        } else if message.contains("traversal operator") {
            diagnostic.help("after a `.` comes a name; an index stands in square brackets")
        } else if matches!(self.token(), ")" | "]" | "}") || expected("(") {
            self.error("incomplete-expression", format!("an expression is missing before {shown}"))
        } else if self.bracket.is_none() && self.begins_term() && !self.before().is_empty() {
            let help = if self.context == Context::Sequence {
                "for a literal `${` write `$${`"
            } else {
                "text stands in double quotes; two expressions need an operator between them"
            };
            self.error("invalid-expression", format!("the expression is complete before {shown}")).help(help)
        } else if self.context == Context::Sequence {
            diagnostic.help("for a literal `${` write `$${`")
        } else {
            return None;
        })
    }

    /// Two equal keys of one object.
    fn duplicate_key(&self) -> Diagnostic {
        let key_end = |at: usize| {
            let rest = slice(self.text, at, self.text.len());
            at + slice(rest, 0, rest.find(['=', ':']).unwrap_or(0)).trim_end().len()
        };
        let end = key_end(self.start);
        let key = slice(self.text, self.start, end);
        let span = self.lowering.span(self.base + self.start, self.base + end);
        let diagnostic = Diagnostic::error("duplicate-key", format!("this object has the key `{key}` twice"))
            .at_saying(span, "again here")
            .help("keep one of them");
        let open = self.bracket.map_or(0, |(at, _)| at + 1);
        let mut entries = entries(self.text, open, self.start);
        match entries.find(|at| slice(self.text, *at, key_end(*at)) == key) {
            Some(first) => diagnostic.and_at(self.lowering.span(self.base + first, self.base + first + key.len()), "first here"),
            None => diagnostic,
        }
    }
}

/// Where the entries of an object begin, from `start` up to `end`.
fn entries(text: &str, start: usize, end: usize) -> impl Iterator<Item = usize> + '_ {
    let mut starts = vec![start];
    let mut depth = 0_usize;
    walk_code(text, start, end, |at, next| match next {
        b'(' | b'[' | b'{' => depth += 1,
        b')' | b']' | b'}' => depth = depth.saturating_sub(1),
        b',' | b'\n' if depth == 0 => starts.push(at + 1),
        _ => {}
    });
    starts.into_iter().map(move |at| {
        let rest = slice(text, at, end);
        at + rest.len() - rest.trim_start().len()
    })
}

/// The innermost bracket that is open at an offset.
fn bracket_around(text: &str, end: usize) -> Option<(usize, u8)> {
    let mut open = Vec::new();
    walk_code(text, 0, end, |at, next| match next {
        b'(' | b'[' | b'{' => open.push((at, next)),
        b')' | b']' | b'}' => drop(open.pop()),
        _ => {}
    });
    open.pop()
}

/// Calls `f` with every byte outside of strings.
fn walk_code(text: &str, start: usize, end: usize, mut f: impl FnMut(usize, u8)) {
    let mut at = start;
    let mut in_string = false;
    while at < end {
        match byte(text, at) {
            Some(b'\\') if in_string => at += 1,
            Some(b'"') => in_string = !in_string,
            Some(next) if !in_string => f(at, next),
            Some(_) => {}
            None => return,
        }
        at += 1;
    }
}

/// Whether a bracket belongs to the expression before it: an index, or the arguments of a call.
fn is_index(text: &str, at: usize) -> bool {
    slice(text, 0, at).trim_end().ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '"'))
}

/// The end of the token at an offset.
pub(crate) fn token_end(text: &str, start: usize) -> usize {
    let rest = slice(text, start, text.len());
    let name = identifier_end(text, start);
    if name > start {
        return name;
    }
    let Some(first) = rest.chars().next() else { return start };
    if first.is_ascii_digit() {
        let number = |c: char| !(c.is_ascii_digit() || c == '.');
        return start + rest.find(number).unwrap_or(rest.len());
    }
    if first == '"' {
        let mut end = start + 1;
        while let Some(next) = byte(text, end).filter(|next| *next != b'\n') {
            end += if next == b'\\' { 2 } else { 1 };
            if next == b'"' {
                break;
            }
        }
        return if text.is_char_boundary(end) { end } else { start + 1 };
    }
    let known = ["...", "==", "!=", "<=", ">=", "&&", "||", "=>", "<<", "::"];
    start + known.iter().find(|sign| rest.starts_with(**sign)).map_or(first.len_utf8(), |sign| sign.len())
}

/// A token in a message; characters that cannot be seen by their number.
fn shown(token: &str) -> String {
    match token.chars().next() {
        None => "the end".to_owned(),
        Some(c) if c.is_control() || (c.is_whitespace() && c != ' ') || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}') => {
            format!("the character U+{:04X}", u32::from(c))
        }
        Some('\u{201c}' | '\u{201d}' | '\u{201e}') => format!("the typographic quote `{token}`"),
        Some(_) if token.contains('\n') || token.len() > 60 => "this".to_owned(),
        Some(_) => format!("`{token}`"),
    }
}

fn quoted(text: &str) -> String {
    if text.starts_with('"') || matches!(text, "true" | "false" | "null") { text.to_owned() } else { format!("\"{text}\"") }
}

fn after_blanks_is(text: &str, at: usize, wanted: &[&str]) -> bool {
    let at = after_blanks(text, at);
    wanted.contains(&slice(text, at, at + 1))
}

fn after_lines(text: &str, at: usize) -> usize {
    let rest = slice(text, at, text.len());
    at + rest.len() - rest.trim_start().len()
}
