//! The tour shows the whole language at its top level: each block, and each of its own attributes and blocks.

use std::collections::BTreeSet;

use cloudtik_compiler::language;
use cloudtik_compiler::schema::BlockSchema;

use crate::tree;

/// Blocks that are shown by what is most of them, not whole: they have chapters of their own.
const SHOWN_IN_PART: &[&str] = &["workspace", "cluster", "data", "template", "cloudtik", "import"];

#[test]
fn the_tour_has_every_block_and_every_meta_argument() {
    let texts = tree::texts();
    let tour: String = texts
        .iter()
        .filter(|(path, _)| path.starts_with("examples/tour/") && path.ends_with(".hcl"))
        .map(|(_, text)| format!("{text}\n"))
        .collect();
    let words: BTreeSet<&str> = tour.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(first_word).collect();
    let top = language::top_level();
    assert!(top.blocks.len() > 12, "{}", top.blocks.len());
    let mut missing = BTreeSet::new();
    for nested in &top.blocks {
        let schema = &nested.schema;
        need(schema.name, schema.name, &words, &mut missing);
        if !SHOWN_IN_PART.contains(&schema.name) {
            below(schema, schema.name, &words, &mut missing);
        }
    }
    assert!(missing.is_empty(), "examples/tour does not show {missing:#?}");
}

/// The word that a line begins with: the name of a block or of an attribute.
fn first_word(line: &str) -> Option<&str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').find(|word| !word.is_empty())
}

fn below(schema: &BlockSchema, path: &str, words: &BTreeSet<&str>, missing: &mut BTreeSet<String>) {
    for rule in &schema.attributes {
        need(rule.schema.name, &format!("{path}.{}", rule.schema.name), words, missing);
    }
    for nested in &schema.blocks {
        let path = format!("{path}.{}", nested.schema.name);
        need(nested.schema.name, &path, words, missing);
        below(&nested.schema, &path, words, missing);
    }
}

fn need(word: &str, path: &str, words: &BTreeSet<&str>, missing: &mut BTreeSet<String>) {
    if !words.contains(word) {
        missing.insert(path.to_owned());
    }
}
