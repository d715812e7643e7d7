//! The files of a spec as they are written: which attribute stands at a place, and what the expression of a name is.

use std::collections::BTreeMap;

use cloudtik_model::{Expr, FileId, SourceMap, Span};
use cloudtik_syntax::{Attribute, Block, Body, parse_file};

/// The file of values that is weaker than all others.
const MAIN_VALUES: &str = "cloudtik.vars.hcl";

/// What a name stands for, and where.
pub(crate) struct Named {
    /// Its expression.
    pub(crate) expr: Expr,
    /// `main.hcl:3:5`
    pub(crate) place: String,
}

/// The files of a spec, parsed.
pub(crate) struct SpecSource {
    map: SourceMap,
    files: BTreeMap<String, (FileId, Body)>,
}

impl SpecSource {
    /// The files that places are in.
    pub(crate) fn of(sources: &SourceMap) -> Self {
        let mut map = SourceMap::default();
        let mut files = BTreeMap::new();
        for (_, file) in sources.iter().filter(|(_, file)| file.path.ends_with(".hcl")) {
            let id = map.add(file.path.clone(), std::sync::Arc::clone(&file.text));
            files.insert(file.path.clone(), (id, parse_file(id, &file.text).0));
        }
        Self { map, files }
    }

    /// One file of values.
    pub(crate) fn of_file(path: &str, text: &str) -> Self {
        let mut map = SourceMap::default();
        let id = map.add(path, text);
        Self { map, files: BTreeMap::from([(path.to_owned(), (id, parse_file(id, text).0))]) }
    }

    /// Where a file of values gives a variable its value; of several, the strongest.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let (main, others): (Vec<_>, Vec<_>) = self.files.iter().partition(|(path, _)| *path == MAIN_VALUES);
        let is_spec = |path: &str| path.ends_with(".hcl") && !path.ends_with(".vars.hcl");
        let files = others.into_iter().rev().chain(main).filter(|(path, _)| self.files.len() == 1 || !is_spec(path));
        let attribute = files.into_iter().find_map(|(_, (_, body))| body.attribute(name))?;
        self.map.describe(attribute.name.span)
    }

    /// The innermost attribute at a place such as `main.hcl:3:5`: its name, its expression and where that begins.
    pub(crate) fn attribute_at(&self, place: &str) -> Option<(String, Expr, String)> {
        let (body, offset) = self.find(place)?;
        let attribute = attribute_at(body, offset)?;
        Some((attribute.name.name.to_string(), attribute.value.clone(), self.map.describe(attribute.name.span)?))
    }

    /// An attribute of the block that begins at a place.
    pub(crate) fn attribute_of_block(&self, place: &str, name: &str) -> Option<(Expr, String)> {
        let (body, offset) = self.find(place)?;
        let attribute = block_at(body, offset)?.body.attribute(name)?;
        Some((attribute.value.clone(), self.map.describe(attribute.name.span)?))
    }

    /// The attributes of the block at a place that may make what stands at a path: those whose names are like a word of it, else those that
    /// are made of something else.
    pub(crate) fn likely(&self, place: &str, path: &str) -> Vec<(String, Expr, String)> {
        let Some(block) = self.find(place).and_then(|(body, offset)| block_at(body, offset)) else { return Vec::new() };
        let mut all = Vec::new();
        within(&block.body, &mut all);
        let words: Vec<&str> = path.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.len() > 2).collect();
        let is_like = |name: &str| words.iter().any(|word| word.starts_with(name) || name.starts_with(word));
        let alike: Vec<&Attribute> = all.iter().copied().filter(|attribute| is_like(&attribute.name.name)).collect();
        let made = |attribute: &&Attribute| !cloudtik_lang::references(&attribute.value).is_empty();
        let chosen = if alike.is_empty() { all.into_iter().filter(made).collect() } else { alike };
        let named = |attribute: &Attribute| {
            Some((attribute.name.name.to_string(), attribute.value.clone(), self.map.describe(attribute.name.span)?))
        };
        chosen.into_iter().filter_map(named).collect()
    }

    /// Where a block of that kind and those labels is declared.
    pub(crate) fn block(&self, kind: &str, labels: &[&str]) -> Option<String> {
        let is_it = |block: &&Block| &*block.kind.name == kind && block.labels.iter().map(|label| &*label.text).eq(labels.iter().copied());
        let block = self.files.values().flat_map(|(_, body)| &body.blocks).find(is_it)?;
        self.map.describe(block.header)
    }

    /// What a local value is.
    pub(crate) fn local(&self, name: &str) -> Option<Named> {
        let blocks = self.files.values().flat_map(|(_, body)| &body.blocks).filter(|block| &*block.kind.name == "locals");
        let attribute = blocks.filter_map(|block| block.body.attribute(name)).next()?;
        Some(Named { expr: attribute.value.clone(), place: self.map.describe(attribute.name.span)? })
    }

    /// An expression as it is written, on one line.
    pub(crate) fn shown(&self, expr: &Expr, chars: usize) -> String {
        let text = self.map.text(expr.span).unwrap_or_default();
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(chars) {
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
            None => line,
        }
    }

    /// The file of a place, and the byte in it.
    fn find(&self, place: &str) -> Option<(&Body, u32)> {
        let (rest, column) = place.rsplit_once(':')?;
        let (path, line) = rest.rsplit_once(':')?;
        let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
        let (id, body) = self.files.get(path)?;
        let text = &self.map.get(*id)?.text;
        let start: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
        let inside: usize = text.get(start..)?.chars().take(column.checked_sub(1)?).map(char::len_utf8).sum();
        Some((body, u32::try_from(start + inside).ok()?))
    }
}

fn within<'a>(body: &'a Body, found: &mut Vec<&'a Attribute>) {
    found.extend(&body.attributes);
    body.blocks.iter().for_each(|block| within(&block.body, found));
}

fn has(span: Span, offset: u32) -> bool {
    (span.start..span.end).contains(&offset)
}

fn attribute_at(body: &Body, offset: u32) -> Option<&Attribute> {
    let own = body.attributes.iter().find(|attribute| has(attribute.span, offset));
    own.or_else(|| body.blocks.iter().find(|block| has(block.span, offset)).and_then(|block| attribute_at(&block.body, offset)))
}

fn block_at(body: &Body, offset: u32) -> Option<&Block> {
    let block = body.blocks.iter().find(|block| has(block.span, offset))?;
    if has(block.header, offset) { Some(block) } else { block_at(&block.body, offset).or(Some(block)) }
}
