//! Paths into attributes, as plans print them and specs write them: `tags.owner`, `ingress["ui"].ports[0]`.

use std::fmt::Write as _;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `.name` and `["name"]`, which are the same.
    Name(String),
    /// `[0]`
    Index(usize),
}

/// The path with a name below it.
pub(crate) fn below(path: &str, name: &str) -> String {
    let mut out = String::with_capacity(path.len() + name.len() + 1);
    out.push_str(path);
    if is_identifier(name) {
        if !path.is_empty() {
            out.push('.');
        }
        out.push_str(name);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, "[{name:?}]");
    }
    out
}

/// The path with an index below it.
pub(crate) fn at(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_alphabetic()) && chars.all(|c| c == '_' || c == '-' || c.is_alphanumeric())
}

/// The parts of a path that a spec wrote. `None` when it is no path.
pub(crate) fn parse(path: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix("[\"") {
            let end = inside.find("\"]")?;
            parts.push(Part::Name(inside.get(..end)?.to_owned()));
            rest = inside.get(end + 2..)?;
        } else if let Some(inside) = rest.strip_prefix('[') {
            let end = inside.find(']')?;
            parts.push(Part::Index(inside.get(..end)?.parse().ok()?));
            rest = inside.get(end + 1..)?;
        } else {
            let name = if parts.is_empty() { rest } else { rest.strip_prefix('.')? };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return None;
            }
            parts.push(Part::Name(name.get(..end)?.to_owned()));
            rest = name.get(end..)?;
        }
    }
    (!parts.is_empty()).then_some(parts)
}

/// The first name of a path: the attribute it belongs to.
pub(crate) fn attribute_of(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}

/// `a`, `a and b`, `a, b and 3 more`.
pub(crate) fn enumerate(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, three] => format!("{one}, {two} and {three}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_name_are_one_path() {
        assert_eq!(parse("tags.owner"), parse("tags[\"owner\"]"));
        assert_eq!(parse("a[0].b"), Some(vec![Part::Name("a".into()), Part::Index(0), Part::Name("b".into())]));
        for wrong in ["", ".", "a.", "a[", "a[x]", "a[\"b", "a..b"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn paths_print_as_specs_write_them() {
        assert_eq!(at(&below(&below("ingress", "a b"), "ports"), 0), "ingress[\"a b\"].ports[0]");
        assert_eq!(attribute_of("ingress[\"ui\"].ports[0]"), "ingress");
    }
}
