//! Random expressions of the language, from a seed: typed, so that most of them have a value, and now and then wrong, so that errors are tried
//! as well. They name nothing: each stands alone.

use crate::support::random::Random;

/// What an expression is to give.
#[derive(Clone, Debug)]
enum Kind {
    Bool,
    Number,
    String,
    List(Box<Kind>),
    Set(Box<Kind>),
    Map(Box<Kind>),
    Tuple(Vec<Kind>),
    Object(Vec<(&'static str, Kind)>),
}

/// Names of attributes and keys.
const NAMES: [&str; 4] = ["a", "b", "key", "x_1"];

/// Texts as they are written: plain ones, ones that are numbers or bools, ones with corners.
const TEXTS: [&str; 18] = [
    "",
    "a",
    "b",
    "hello",
    "Hello World",
    "12",
    "-0.5",
    "true",
    "a,b,c",
    "  spaced ",
    "line\\nbreak",
    "tab\\t",
    "quo\\\"te",
    "$${x}",
    "%%{y}",
    "é",
    "日本語",
    "a/b/../c.tar.gz",
];

const NUMBERS: [&str; 14] =
    ["0", "1", "2", "3", "10", "-1", "-7", "0.5", "2.5", "1e3", "1.5e-3", "255", "123456789012345678901234567890", "0.1"];

/// Makes expressions.
pub(crate) struct Expressions {
    random: Random,
    /// The variables of the loops around.
    locals: Vec<(String, Kind)>,
}

impl Expressions {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, locals: Vec::new() }
    }

    /// The next one.
    pub(crate) fn make(&mut self) -> String {
        let depth = 1 + self.below(4);
        let kind = self.kind(2);
        self.locals.clear();
        self.expression(&kind, depth)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    fn kind(&mut self, depth: u64) -> Kind {
        let collections = if depth == 0 { 0 } else { 5 };
        match self.below(6 + collections) {
            0 => Kind::Bool,
            1 | 2 => Kind::Number,
            3..6 => Kind::String,
            6 => Kind::List(Box::new(self.kind(depth - 1))),
            7 => Kind::Set(Box::new(self.primitive())),
            8 => Kind::Map(Box::new(self.kind(depth - 1))),
            9 => Kind::Tuple((0..self.below(4)).map(|_| self.kind(depth - 1)).collect()),
            _ => {
                let count = usize::try_from(self.below(4)).unwrap();
                Kind::Object(NAMES.iter().take(count).map(|name| (*name, self.kind(depth - 1))).collect())
            }
        }
    }

    fn primitive(&mut self) -> Kind {
        match self.below(4) {
            0 => Kind::Bool,
            1 => Kind::Number,
            _ => Kind::String,
        }
    }

    fn expression(&mut self, kind: &Kind, depth: u64) -> String {
        // Sometimes another sort of value, which is converted or refused.
        if self.one_in(40) {
            let other = self.kind(1);
            return self.expression(&other, depth.saturating_sub(1));
        }
        if self.one_in(60) {
            return "null".to_owned();
        }
        if depth == 0 {
            return self.literal(kind);
        }
        if self.one_in(3)
            && let Some(name) = self.local(kind)
        {
            return name;
        }
        let less = depth - 1;
        match self.below(12) {
            0 => self.conditional(kind, less),
            1 => format!("try({}, {})", self.expression(kind, less), self.expression(kind, less)),
            2 => format!("({})", self.expression(kind, less)),
            3 => self.taken(kind, less),
            4 if self.one_in(4) => format!("coalesce({}, {})", self.expression(kind, less), self.expression(kind, less)),
            4 if self.one_in(4) => format!("nonsensitive({})", self.expression(kind, less)),
            4 if self.one_in(4) => format!("jsondecode(jsonencode({}))", self.expression(kind, less)),
            4 if self.one_in(3) => format!("yamldecode(yamlencode({}))", self.expression(kind, less)),
            _ => match kind {
                Kind::Bool => self.bool(less),
                Kind::Number => self.number(less),
                Kind::String => self.string(less),
                Kind::List(of) => self.list(of, less),
                Kind::Set(of) => self.set(of, less),
                Kind::Map(of) => self.map(of, less),
                Kind::Tuple(items) => {
                    let items: Vec<String> = items.iter().map(|item| self.expression(item, less)).collect();
                    format!("[{}]", items.join(", "))
                }
                Kind::Object(fields) => self.object(fields, less),
            },
        }
    }

    fn local(&mut self, kind: &Kind) -> Option<String> {
        let same = |of: &Kind| std::mem::discriminant(of) == std::mem::discriminant(kind);
        let fitting: Vec<String> = self.locals.iter().filter(|(_, of)| same(of)).map(|(name, _)| name.clone()).collect();
        (!fitting.is_empty()).then(|| fitting[usize::try_from(self.below(fitting.len() as u64)).unwrap()].clone())
    }

    fn literal(&mut self, kind: &Kind) -> String {
        match kind {
            Kind::Bool => self.one_of(&["true", "false"]).to_owned(),
            Kind::Number => self.one_of(&NUMBERS).to_owned(),
            Kind::String => format!("\"{}\"", self.one_of(&TEXTS)),
            Kind::List(of) => format!("tolist({})", self.items(of, 0)),
            Kind::Set(of) => format!("toset({})", self.items(of, 0)),
            Kind::Map(of) => format!("tomap({})", self.entries(of, 0)),
            Kind::Tuple(items) => format!("[{}]", items.iter().map(|item| self.literal(item)).collect::<Vec<_>>().join(", ")),
            Kind::Object(fields) => self.object(fields, 0),
        }
    }

    /// `[a, b]` of one sort.
    fn items(&mut self, of: &Kind, depth: u64) -> String {
        let items: Vec<String> = (0..self.below(4)).map(|_| self.expression(of, depth)).collect();
        format!("[{}]", items.join(", "))
    }

    /// `{ a = b }` of one sort.
    fn entries(&mut self, of: &Kind, depth: u64) -> String {
        let count = usize::try_from(self.below(4)).unwrap();
        let entries: Vec<String> = NAMES.iter().take(count).map(|name| format!("{name} = {}", self.expression(of, depth))).collect();
        format!("{{{}}}", entries.join(", "))
    }

    fn object(&mut self, fields: &[(&'static str, Kind)], depth: u64) -> String {
        let mut entries = Vec::new();
        for (name, kind) in fields {
            let value = self.expression(kind, depth);
            entries.push(match self.below(4) {
                0 => format!("\"{name}\" = {value}"),
                1 => format!("{name} : {value}"),
                2 => format!("(\"{name}\") = {value}"),
                _ => format!("{name} = {value}"),
            });
        }
        format!("{{{}}}", entries.join(", "))
    }

    fn conditional(&mut self, kind: &Kind, depth: u64) -> String {
        let other = if self.one_in(8) { self.kind(1) } else { kind.clone() };
        format!("({} ? {} : {})", self.expression(&Kind::Bool, depth), self.expression(kind, depth), self.expression(&other, depth))
    }

    /// A part of something.
    fn taken(&mut self, kind: &Kind, depth: u64) -> String {
        match self.below(7) {
            0 => format!("{{a = {}, b = {}}}.a", self.expression(kind, depth), self.expression(&Kind::String, 0)),
            1 => format!("{{a = {}}}[\"a\"]", self.expression(kind, depth)),
            2 => format!("[{}, {}][{}]", self.expression(kind, depth), self.expression(kind, depth), self.below(3)),
            3 => format!("element([{}, {}], {})", self.expression(kind, depth), self.expression(kind, depth), self.below(4)),
            4 => format!("lookup({}, \"{}\", {})", self.map(kind, depth), self.one_of(&NAMES), self.expression(kind, depth)),
            5 => format!("one([{}])", self.expression(kind, depth)),
            _ => format!("[for v in [{}] : v][0]", self.expression(kind, depth)),
        }
    }

    fn bool(&mut self, depth: u64) -> String {
        let (any, other) = (self.kind(1), self.kind(1));
        match self.below(17) {
            0 => self.literal(&Kind::Bool),
            1 => format!("!{}", self.expression(&Kind::Bool, depth)),
            2 => format!("({} && {})", self.expression(&Kind::Bool, depth), self.expression(&Kind::Bool, depth)),
            3 => format!("({} || {})", self.expression(&Kind::Bool, depth), self.expression(&Kind::Bool, depth)),
            4 => {
                let operator = self.one_of(&["<", "<=", ">", ">="]);
                format!("({} {operator} {})", self.expression(&Kind::Number, depth), self.expression(&Kind::Number, depth))
            }
            5 | 6 => {
                let operator = self.one_of(&["==", "!="]);
                format!("({} {operator} {})", self.expression(&any, depth), self.expression(&any, depth))
            }
            7 => format!("({} == {})", self.expression(&any, depth), self.expression(&other, depth)),
            8 => format!("can({})", self.expression(&any, depth)),
            9 => format!("contains({}, {})", self.list(&any, depth), self.expression(&any, depth)),
            10 => format!("alltrue({})", self.items(&Kind::Bool, depth)),
            11 => format!("anytrue({})", self.items(&Kind::Bool, depth)),
            12 => {
                let function = self.one_of(&["startswith", "endswith", "strcontains"]);
                format!("{function}({}, {})", self.expression(&Kind::String, depth), self.expression(&Kind::String, depth))
            }
            13 => format!("tobool({})", self.expression(&any, depth)),
            14 => format!("issensitive({})", self.expression(&any, depth)),
            15 => format!("({} == null)", self.expression(&any, depth)),
            _ => format!("can(regex(\"^[a-z]+$\", {}))", self.expression(&Kind::String, depth)),
        }
    }

    fn number(&mut self, depth: u64) -> String {
        let any = self.kind(1);
        match self.below(18) {
            0 => self.literal(&Kind::Number),
            1..4 => {
                let operator = self.one_of(&["+", "-", "*", "/", "%"]);
                format!("({} {operator} {})", self.expression(&Kind::Number, depth), self.expression(&Kind::Number, depth))
            }
            4 => format!("-{}", self.expression(&Kind::Number, depth)),
            5 => {
                let function = self.one_of(&["abs", "ceil", "floor", "signum"]);
                format!("{function}({})", self.expression(&Kind::Number, depth))
            }
            6 => {
                let function = self.one_of(&["max", "min"]);
                format!("{function}({}, {})", self.expression(&Kind::Number, depth), self.expression(&Kind::Number, depth))
            }
            7 => format!("length({})", self.expression(&any, depth)),
            8 => format!("tonumber({})", self.expression(&any, depth)),
            9 => format!("sum({})", self.items(&Kind::Number, depth)),
            10 => format!("index({}, {})", self.list(&any, depth), self.expression(&any, depth)),
            11 => format!("parseint({}, {})", self.expression(&Kind::String, depth), self.one_of(&["2", "10", "16", "36"])),
            12 => format!("pow({}, {})", self.expression(&Kind::Number, depth), self.below(5)),
            13 => format!("log({}, {})", self.expression(&Kind::Number, depth), self.one_of(&["2", "10", "3"])),
            14 => format!("max({}...)", self.items(&Kind::Number, depth)),
            15 => format!("length(regexall({}, {}))", self.pattern(), self.expression(&Kind::String, depth)),
            16 => format!("timecmp(\"2017-11-22T0{}:00:00Z\", \"2017-11-22T03:00:00+0{}:00\")", self.below(9), self.below(5)),
            _ => format!("length({})", self.expression(&Kind::String, depth)),
        }
    }

    fn pattern(&mut self) -> String {
        self.one_of(&["\"[a-z]\"", "\"l+\"", "\"(a)(b)?\"", "\"^$\"", "\"\\\\d+\"", "\"(?P<n>[a-z])\"", "\"[\"", "\".\""]).to_owned()
    }

    fn string(&mut self, depth: u64) -> String {
        let any = self.kind(1);
        match self.below(34) {
            0 => self.literal(&Kind::String),
            1..4 => {
                let part = self.primitive();
                format!("\"<${{{}}}${{{}}}>\"", self.expression(&part, depth), self.expression(&Kind::String, depth))
            }
            4 => format!("\"%{{ if {} }}yes%{{ else }}no%{{ endif }}\"", self.expression(&Kind::Bool, depth)),
            5 => {
                let list = self.list(&Kind::String, depth);
                let body = self.within(&[("v", Kind::String)], |this| this.expression(&Kind::String, depth.min(1)));
                format!("\"%{{ for v in {list} }}${{{body}}};%{{ endfor }}\"")
            }
            6 => {
                let function = self.one_of(&["upper", "lower", "title", "trimspace", "chomp", "strrev", "urlencode"]);
                format!("{function}({})", self.expression(&Kind::String, depth))
            }
            7 => {
                let function = self.one_of(&["base64encode", "sha1", "sha256", "sha512", "md5", "base64sha256", "base64sha512"]);
                format!("{function}({})", self.expression(&Kind::String, depth))
            }
            8 => format!("base64decode(base64encode({}))", self.expression(&Kind::String, depth)),
            9 => {
                let function = self.one_of(&["trim", "trimprefix", "trimsuffix"]);
                format!("{function}({}, {})", self.expression(&Kind::String, depth), self.expression(&Kind::String, 0))
            }
            10 => {
                let (offset, length) = (self.one_of(&["0", "1", "-2", "3"]), self.one_of(&["-1", "0", "1", "3"]));
                format!("substr({}, {offset}, {length})", self.expression(&Kind::String, depth))
            }
            11 => {
                let (text, by) = (self.expression(&Kind::String, depth), self.expression(&Kind::String, 0));
                format!("replace({text}, \"{}\", {by})", self.one_of(&["a", "/[a-c]/", "/(l+)/", "", "l", "/^/"]))
            }
            12 => format!("join(\"{}\", {})", self.one_of(&[",", "", "-"]), self.list(&Kind::String, depth)),
            13 => format!("indent({}, {})", self.below(4), self.expression(&Kind::String, depth)),
            14..17 => format!("jsonencode({})", self.expression(&any, depth)),
            17 => format!("yamlencode({})", self.expression(&any, depth)),
            18..21 => self.format(depth),
            21 => format!("tostring({})", self.expression(&any, depth)),
            22 => {
                let part = self.primitive();
                format!("tostring({})", self.expression(&part, depth))
            }
            23 => format!("regex({}, {})", self.pattern(), self.expression(&Kind::String, depth)),
            24 => {
                let function = self.one_of(&["basename", "dirname"]);
                format!("{function}({})", self.expression(&Kind::String, depth))
            }
            25 => {
                let (bits, number) = (self.below(9), self.below(9));
                format!("cidrsubnet(\"10.{}.0.0/16\", {bits}, {number})", self.below(200))
            }
            26 => format!("cidrhost(\"10.1.2.0/2{}\", {})", self.below(10), self.one_of(&["0", "1", "-1", "5", "300"])),
            27 => format!("cidrnetmask(\"172.16.0.0/{}\")", self.below(33)),
            28 => {
                let form = self.one_of(&["YYYY-MM-DD", "EEE, DD MMM YY", "h:mm aa", "HH 'o''clock' ZZZZ", "D/M hh:mm:ss Z", "bad"]);
                format!("formatdate(\"{form}\", \"2018-0{}-02T{}3:12:01+02:00\")", 1 + self.below(9), self.below(3))
            }
            29 => format!("timeadd(\"2017-11-22T00:00:00Z\", \"{}\")", self.one_of(&["10m", "-1h", "1.5h", "36h", "x", "0", "1h2m3s"])),
            30 => format!("uuidv5(\"{}\", {})", self.one_of(&["dns", "url", "oid", "x500", "bad"]), self.expression(&Kind::String, depth)),
            31 => format!(
                "textdecodebase64(textencodebase64({}, \"{1}\"), \"{1}\")",
                self.expression(&Kind::String, depth),
                self.one_of(&["UTF-8", "UTF-16LE", "ISO-8859-1", "UTF-16", "windows-1252"])
            ),
            32 => format!("coalesce({}, {}, \"z\")", self.expression(&Kind::String, depth), self.expression(&Kind::String, depth)),
            _ => format!("ephemeralasnull({})", self.expression(&Kind::String, depth)),
        }
    }

    fn format(&mut self, depth: u64) -> String {
        let verb = self.one_of(&[
            "%s", "%d", "%v", "%q", "%t", "%f", "%.2f", "%5d", "%-5s|", "%05d", "%x", "%X", "%b", "%o", "%e", "%g", "%#v", "%+d", "%s%%",
            "%5.1f", "%10q", "%.3s", "%[1]s",
        ]);
        let kind = match verb.trim_end_matches(['|', '%']).chars().last() {
            Some('d' | 'f' | 'x' | 'X' | 'b' | 'o' | 'e' | 'g') => Kind::Number,
            Some('t') => Kind::Bool,
            Some('v') => self.kind(1),
            _ => Kind::String,
        };
        format!("format(\"{verb}\", {})", self.expression(&kind, depth))
    }

    fn within<T>(&mut self, names: &[(&str, Kind)], make: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.locals.len();
        self.locals.extend(names.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())));
        let made = make(self);
        self.locals.truncate(before);
        made
    }

    /// A list, or a tuple of one sort, which will do for one.
    fn list(&mut self, of: &Kind, depth: u64) -> String {
        if depth == 0 {
            return if self.one_in(2) { self.items(of, 0) } else { format!("tolist({})", self.items(of, 0)) };
        }
        let less = depth - 1;
        let list = Kind::List(Box::new(of.clone()));
        match self.below(26) {
            0..4 => format!("tolist({})", self.items(of, less)),
            4..6 => self.items(of, less),
            6 => format!("concat({}, {})", self.list(of, less), self.list(of, less)),
            7 => format!("reverse({})", self.list(of, less)),
            8 => format!("distinct({})", self.list(of, less)),
            9 => format!("slice({}, 0, {})", self.list(of, less), self.below(3)),
            10 => format!("flatten([{}, [{}]])", self.list(of, less), self.list(of, less)),
            11 => format!("tolist({})", self.set(of, less)),
            12 => format!("values({})", self.map(of, less)),
            13 => format!("coalescelist({}, {})", self.list(of, less), self.list(of, less)),
            14 => {
                let (source, condition) = (self.list(of, less), self.one_in(3));
                self.within(&[("v", of.clone()), ("i", Kind::Number)], |this| {
                    let value = this.expression(of, less);
                    let test = if condition { format!(" if {}", this.expression(&Kind::Bool, less)) } else { String::new() };
                    format!("[for i, v in {source} : {value}{test}]")
                })
            }
            15 => {
                let source = self.map(of, less);
                self.within(&[("k", Kind::String), ("v", of.clone())], |this| {
                    format!("[for k, v in {source} : {}]", this.expression(of, less))
                })
            }
            16 => format!("[{{a = {}}}, {{a = {}}}][*].a", self.expression(of, less), self.expression(of, less)),
            17 => format!("{}[*]", self.list(of, less)),
            18 => format!("{}[*]", self.expression(of, less)),
            19 => format!("chunklist({}, {})[0]", self.list(of, less), self.below(3)),
            20 => format!("matchkeys({}, {}, {})", self.list(of, less), self.list(&Kind::String, less), self.list(&Kind::String, less)),
            21 => format!("element([{}], 0)", self.list(of, less)),
            22 => format!("({} ? {} : [])", self.expression(&Kind::Bool, less), self.list(of, less)),
            23 => format!("setproduct({}, {})[0]", self.list(of, less), self.list(of, less)),
            _ => match of {
                Kind::String => self.strings(less),
                Kind::Number if self.one_in(2) => format!("range({}, {})", self.below(4), self.below(9)),
                _ => self.expression(&list, less),
            },
        }
    }

    fn strings(&mut self, depth: u64) -> String {
        match self.below(9) {
            0 => format!("split(\"{}\", {})", self.one_of(&[",", "", "a"]), self.expression(&Kind::String, depth)),
            1 => format!("sort({})", self.list(&Kind::String, depth)),
            2 => format!("compact({})", self.list(&Kind::String, depth)),
            3 => {
                let of = self.kind(1);
                format!("keys({})", self.map(&of, depth))
            }
            4 => format!("formatlist(\"%s-%v\", {}, {})", self.list(&Kind::String, depth), self.list(&Kind::String, depth)),
            5 => format!("formatlist(\"<%s>\", {})", self.list(&Kind::String, depth)),
            6 => format!("regexall({}, {})", self.pattern(), self.expression(&Kind::String, depth)),
            7 => format!("cidrsubnets(\"10.0.0.0/{}\", {}, {})", 8 + self.below(8), 1 + self.below(8), 1 + self.below(8)),
            _ => format!("csvdecode(\"a,b\\n1,{}\\n\")[*].a", self.below(9)),
        }
    }

    fn set(&mut self, of: &Kind, depth: u64) -> String {
        if depth == 0 {
            return format!("toset({})", self.items(of, 0));
        }
        let less = depth - 1;
        match self.below(6) {
            0..3 => format!("toset({})", self.list(of, less)),
            3 => format!("setunion({}, {})", self.set(of, less), self.list(of, less)),
            4 => format!("setintersection({}, {})", self.set(of, less), self.set(of, less)),
            _ => format!("setsubtract({}, {})", self.set(of, less), self.set(of, less)),
        }
    }

    /// A map, or an object of one sort, which will do for one.
    fn map(&mut self, of: &Kind, depth: u64) -> String {
        if depth == 0 {
            return if self.one_in(2) { self.entries(of, 0) } else { format!("tomap({})", self.entries(of, 0)) };
        }
        let less = depth - 1;
        match self.below(10) {
            0..3 => format!("tomap({})", self.entries(of, less)),
            3 => self.entries(of, less),
            4 => format!("merge({}, {})", self.map(of, less), self.map(of, less)),
            5 => format!("zipmap({}, {})", self.list(&Kind::String, less), self.list(of, less)),
            6 => {
                let source = self.list(of, less);
                self.within(&[("v", of.clone()), ("i", Kind::Number)], |this| {
                    format!("{{for i, v in {source} : \"k${{i}}\" => {}}}", this.expression(of, less))
                })
            }
            7 => {
                let source = self.map(of, less);
                self.within(&[("k", Kind::String), ("v", of.clone())], |this| {
                    format!("{{for k, v in {source} : upper(k) => {}}}", this.expression(of, less))
                })
            }
            8 => format!("{{for v in {} : \"g\" => v...}}", self.list(of, less)),
            _ => format!("transpose({{a = {}}})", self.list(&Kind::String, less)),
        }
    }
}
