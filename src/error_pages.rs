//! What is to be said of a code beyond its message: the pages of `docs/errors`, and the tables of the guide.

/// The pages, by code, sorted.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/error_pages.rs"));

/// The page of the guide that has all codes in tables.
const TABLES: &str = include_str!("../docs/guide/troubleshooting.md");

/// The codes that have a page of their own.
pub fn error_pages() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGES.iter().copied()
}

/// What is known of a code: its page, else what the tables say of it, in Markdown.
#[must_use]
pub fn explain_code(code: &str) -> Option<String> {
    let page = PAGES.iter().find(|(known, _)| *known == code);
    page.map(|(_, page)| (*page).to_owned()).or_else(|| {
        let (_, cells) = rows().find(|(codes, _)| codes.contains(&code))?;
        Some(format!("# `{code}`\n\n{}\n", cells.join("\n\n")))
    })
}

/// Every code that something is known of.
#[must_use]
pub fn explained_codes() -> Vec<&'static str> {
    let mut all: Vec<&str> = PAGES.iter().map(|(code, _)| *code).chain(rows().flat_map(|(codes, _)| codes)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The rows of the tables: the codes of the first cell, and the other cells.
fn rows() -> impl Iterator<Item = (Vec<&'static str>, Vec<&'static str>)> {
    TABLES.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
        let codes: Vec<&str> = cells.next()?.split('`').skip(1).step_by(2).collect();
        let is_code = |code: &&str| {
            code.starts_with(|c: char| c.is_ascii_lowercase())
                && code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        (!codes.is_empty() && codes.iter().all(is_code)).then(|| (codes, cells.collect()))
    })
}
