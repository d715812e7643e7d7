//! Names as templates write them: `option.port`, `../name`, `@root.option.port`, `@index`, `this`.

/// A name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) base: Base,
    /// What is taken of it.
    pub(super) segments: Vec<String>,
}

/// Where a name begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// What the block is about, so many blocks further out. `plain`: written without `this` or `../`, so it may be a block's variable.
    Context { up: usize, plain: bool },
    /// `@index` and the like, so many blocks further out.
    Data(usize),
    /// `@root`
    Root,
}

impl Path {
    /// From what the grammar of Handlebars took for a path.
    pub(super) fn read(raw: &str) -> Self {
        let mut rest = raw;
        let mut plain = true;
        if let Some(after) = rest.strip_prefix("./").or_else(|| rest.strip_prefix("this.")).or_else(|| rest.strip_prefix("this/")) {
            rest = after;
            plain = false;
        }
        if let Some(after) = rest.strip_prefix("@root").filter(|after| after.is_empty() || after.starts_with(['.', '/'])) {
            return Self { base: Base::Root, segments: segments(after.trim_start_matches(['.', '/'])) };
        }
        let data = rest.strip_prefix('@');
        rest = data.unwrap_or(rest);
        let mut up = 0;
        while let Some(after) = rest.strip_prefix("../").or_else(|| rest.strip_prefix("...")) {
            up += 1;
            plain = false;
            rest = after;
        }
        let base = if data.is_some() { Base::Data(up) } else { Base::Context { up, plain } };
        Self { base, segments: segments(rest) }
    }
}

/// `a.[b c]/d` as its parts; `this` among them says nothing.
fn segments(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.trim_start_matches(['.', '/']);
        let end = if let Some(inside) = rest.strip_prefix('[') {
            let end = inside.find(']').unwrap_or(inside.len());
            found.push(inside.get(..end).unwrap_or_default().to_owned());
            end + 2
        } else {
            let end = rest.find(['.', '/']).unwrap_or(rest.len());
            let name = rest.get(..end).unwrap_or_default();
            if !name.is_empty() && name != "this" {
                found.push(name.to_owned());
            }
            end
        };
        rest = rest.get(end..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let read = |raw: &str| {
            let path = Path::read(raw);
            (path.base, path.segments.join("|"))
        };
        assert_eq!(read("option.port"), (Base::Context { up: 0, plain: true }, "option|port".into()));
        assert_eq!(read("this"), (Base::Context { up: 0, plain: true }, String::new()));
        assert_eq!(read("this.a"), (Base::Context { up: 0, plain: false }, "a".into()));
        assert_eq!(read("./a/b"), (Base::Context { up: 0, plain: false }, "a|b".into()));
        assert_eq!(read("../../a"), (Base::Context { up: 2, plain: false }, "a".into()));
        assert_eq!(read("@root.a"), (Base::Root, "a".into()));
        assert_eq!(read("@root"), (Base::Root, String::new()));
        assert_eq!(read("@rooted"), (Base::Data(0), "rooted".into()));
        assert_eq!(read("@../index"), (Base::Data(1), "index".into()));
        assert_eq!(read("a.[b. c].d"), (Base::Context { up: 0, plain: true }, "a|b. c|d".into()));
    }
}
