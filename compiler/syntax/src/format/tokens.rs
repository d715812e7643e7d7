//! The text of a file as tokens: everything but blanks, in the order of the source.

use std::ops::Range;

use crate::token::{byte, identifier_end, line_end, slice};

/// What a token is, as far as blanks around it depend on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Newline,
    /// `# …` or `// …` to the end of its line, or `/* … */`.
    Comment,
    Name,
    /// The name `in`, which a list may follow.
    In,
    Number,
    /// Brackets, braces and parentheses; and `${`, `%{` with the brace that closes them.
    Open(Bracket),
    Close(Bracket),
    /// The quotes around a string.
    OpenQuote,
    CloseQuote,
    /// `<<X` with the end of its line.
    OpenHeredoc,
    /// The line with the marker, with the blanks behind it and without its end.
    CloseHeredoc,
    /// What stands in a string or a heredoc outside of sequences.
    Text,
    Equal,
    Comma,
    Dot,
    Colon,
    /// `::`
    Namespace,
    /// `...`
    Ellipsis,
    Minus,
    Bang,
    Star,
    /// Any other operator.
    Operator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bracket {
    Round,
    Square,
    Brace,
    Sequence,
}

/// A token, and how many blanks stand before it.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
    pub(super) blanks: usize,
}

/// What is open where the next token begins.
enum Open {
    Bracket(Bracket),
    Quoted,
    Heredoc(Range<usize>),
}

/// The tokens of a text that parses.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { text, at: 0, open: Vec::new(), tokens: Vec::new() };
    while reader.at < text.len() {
        match reader.open.last() {
            Some(Open::Quoted) => reader.in_quotes(),
            Some(Open::Heredoc(marker)) => {
                let marker = marker.clone();
                reader.in_heredoc(&marker);
            }
            _ => reader.in_code(),
        }
    }
    reader.tokens
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    open: Vec<Open>,
    tokens: Vec<Token>,
}

impl Reader<'_> {
    /// Takes the next bytes as a token; an end beyond the text, or in the middle of a character, takes as much as there is.
    fn take(&mut self, kind: Kind, end: usize) {
        let mut end = end.clamp(self.at + 1, self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        self.tokens.push(Token { kind, span: self.at..end, blanks: 0 });
        self.at = end;
    }

    fn rest(&self) -> &str {
        slice(self.text, self.at, self.text.len())
    }

    fn in_code(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.bytes().next() else { return };
        let starts = |what: &str| rest.starts_with(what);
        match first {
            b' ' | b'\t' => self.at += 1,
            b'\n' => self.take(Kind::Newline, self.at + 1),
            b'\r' if starts("\r\n") => self.take(Kind::Newline, self.at + 2),
            b'\r' => self.at += 1,
            b'#' => self.take_line_comment(),
            b'/' if starts("//") => self.take_line_comment(),
            b'/' if starts("/*") => {
                let length = rest.find("*/").map_or(rest.len(), |end| end + 2);
                self.take(Kind::Comment, self.at + length);
            }
            b'"' => {
                self.take(Kind::OpenQuote, self.at + 1);
                self.open.push(Open::Quoted);
            }
            b'<' if starts("<<") => self.take_heredoc(),
            b'(' => self.take_open(Bracket::Round),
            b'[' => self.take_open(Bracket::Square),
            b'{' => self.take_open(Bracket::Brace),
            b')' => self.take_close(Bracket::Round, 1),
            b']' => self.take_close(Bracket::Square, 1),
            b'}' => self.take_close(Bracket::Brace, 1),
            b'~' if starts("~}") => self.take_close(Bracket::Sequence, 2),
            b'0'..=b'9' => self.take(Kind::Number, self.number_end()),
            _ => {
                let name = identifier_end(self.text, self.at);
                if name > self.at {
                    let kind = if slice(self.text, self.at, name) == "in" { Kind::In } else { Kind::Name };
                    self.take(kind, name);
                } else {
                    let (kind, length) = operator(rest);
                    self.take(kind, self.at + length);
                }
            }
        }
    }

    fn take_line_comment(&mut self) {
        let end = line_end(self.text, self.at);
        let end = if byte(self.text, end.wrapping_sub(1)) == Some(b'\r') { end - 1 } else { end };
        self.take(Kind::Comment, end);
    }

    fn take_open(&mut self, bracket: Bracket) {
        self.take(Kind::Open(bracket), self.at + 1);
        self.open.push(Open::Bracket(bracket));
    }

    /// A brace closes a sequence where one is open.
    fn take_close(&mut self, bracket: Bracket, length: usize) {
        let bracket = match self.open.pop() {
            Some(Open::Bracket(Bracket::Sequence)) => Bracket::Sequence,
            _ => bracket,
        };
        self.take(Kind::Close(bracket), self.at + length);
    }

    fn take_heredoc(&mut self) {
        let start = self.at + if self.rest().starts_with("<<-") { 3 } else { 2 };
        let marker = start..identifier_end(self.text, start);
        self.take(Kind::OpenHeredoc, line_end(self.text, start) + 1);
        self.open.push(Open::Heredoc(marker));
    }

    /// Digits with a point and an exponent. A point that no digit follows is one of an access.
    fn number_end(&self) -> usize {
        let digits = |mut at: usize| {
            while byte(self.text, at).is_some_and(|byte| byte.is_ascii_digit()) {
                at += 1;
            }
            at
        };
        let mut end = digits(self.at);
        if byte(self.text, end) == Some(b'.') && digits(end + 1) > end + 1 {
            end = digits(end + 1);
        }
        if matches!(byte(self.text, end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(byte(self.text, end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent > end + 1 + sign {
                end = exponent;
            }
        }
        end
    }

    /// Text up to the next sequence or the end of the string, or that.
    fn in_quotes(&mut self) {
        let mut length = 0;
        let rest = self.rest();
        while let Some(next) = rest.as_bytes().get(length) {
            match next {
                b'\\' => length += 2,
                b'"' => break,
                b'$' | b'%' => match sequence(slice(rest, length, rest.len())) {
                    Some(_) => break,
                    None => length += escaped_sign(slice(rest, length, rest.len())),
                },
                _ => length += 1,
            }
        }
        if length > 0 {
            return self.take(Kind::Text, self.at + length);
        }
        if rest.starts_with('"') {
            self.open.pop();
            return self.take(Kind::CloseQuote, self.at + 1);
        }
        self.take_sequence();
    }

    fn take_sequence(&mut self) {
        let length = sequence(self.rest()).unwrap_or(1);
        self.take(Kind::Open(Bracket::Sequence), self.at + length);
        self.open.push(Open::Bracket(Bracket::Sequence));
    }

    /// A line of a heredoc, up to the next sequence in it.
    fn in_heredoc(&mut self, marker: &Range<usize>) {
        let begins_line = self.at == 0 || byte(self.text, self.at - 1) == Some(b'\n');
        let end = line_end(self.text, self.at);
        let line = slice(self.text, self.at, end);
        if begins_line && line.trim() == slice(self.text, marker.start, marker.end) {
            self.open.pop();
            let length = line.trim_end_matches('\r').len();
            return self.take(Kind::CloseHeredoc, self.at + length);
        }
        let mut length = 0;
        while let Some(at) = slice(line, length, line.len()).find(['$', '%']) {
            let rest = slice(line, length + at, line.len());
            if sequence(rest).is_some() {
                return if length + at > 0 { self.take(Kind::Text, self.at + length + at) } else { self.take_sequence() };
            }
            length += at + escaped_sign(rest);
        }
        self.take(Kind::Text, end + 1);
    }
}

/// The length of the opening of a sequence at the beginning of a text.
fn sequence(text: &str) -> Option<usize> {
    let opens = text.starts_with("${") || text.starts_with("%{");
    opens.then(|| if text.get(2..).is_some_and(|rest| rest.starts_with('~')) { 3 } else { 2 })
}

/// How many bytes a sign takes that opens no sequence: with `$${` the brace goes along.
fn escaped_sign(text: &str) -> usize {
    if text.starts_with("$${") || text.starts_with("%%{") { 3 } else { 1 }
}

fn operator(text: &str) -> (Kind, usize) {
    const LONG: [(&str, Kind); 9] = [
        ("...", Kind::Ellipsis),
        ("::", Kind::Namespace),
        ("=>", Kind::Operator),
        ("==", Kind::Operator),
        ("!=", Kind::Operator),
        ("<=", Kind::Operator),
        (">=", Kind::Operator),
        ("&&", Kind::Operator),
        ("||", Kind::Operator),
    ];
    if let Some((word, kind)) = LONG.iter().find(|(word, _)| text.starts_with(word)) {
        return (*kind, word.len());
    }
    let kind = match text.bytes().next() {
        Some(b'=') => Kind::Equal,
        Some(b',') => Kind::Comma,
        Some(b'.') => Kind::Dot,
        Some(b':') => Kind::Colon,
        Some(b'-') => Kind::Minus,
        Some(b'!') => Kind::Bang,
        Some(b'*') => Kind::Star,
        _ => Kind::Operator,
    };
    (kind, 1)
}
