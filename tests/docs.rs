//! The documentation is part of the build: links lead somewhere, generated pages say what the code says, lists are complete, and nothing names
//! the place where it was written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test reports by failing, and its helpers are tests too"
)]

#[path = "docs/errors.rs"]
mod errors;
#[path = "docs/limits.rs"]
mod limits;
#[path = "docs/reference.rs"]
mod reference;
#[path = "docs/tour.rs"]
mod tour;
#[path = "docs/tree.rs"]
mod tree;

use std::collections::{BTreeMap, BTreeSet};

#[test]
fn generated_pages_are_fresh() {
    tree::assert_fresh("docs/guide/reference.md", &reference::blocks());
    tree::assert_fresh("docs/guide/kinds.md", &reference::kinds());
    tree::assert_fresh("docs/guide/functions.md", &reference::functions());
    tree::assert_fresh("docs/guide/runtimes.md", &reference::runtimes());
    tree::assert_fresh("docs/limits.md", &limits::render());
}

/// What stands between code fences is no prose.
fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    text.match_indices("](").filter_map(|(at, _)| text.get(at + 2..)?.split_once(')').map(|(target, _)| target)).collect()
}

/// The anchors that a forge gives to headings: lower case, blanks as `-`, other signs left out.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase());
    headings
        .map(|line| {
            line.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn links_of_pages_lead_somewhere() {
    let texts = tree::texts();
    let pages: BTreeMap<&String, String> =
        texts.iter().filter(|(path, _)| path.ends_with(".md")).map(|(path, text)| (path, prose(text))).collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in &pages {
        let folder = tree::root().join(path.as_str()).parent().unwrap().to_path_buf();
        for link in links(text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            seen += 1;
            let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
            let file = if target.is_empty() { tree::root().join(path.as_str()) } else { folder.join(target) };
            if !file.exists() {
                wrong.push(format!("{path}: {link}: there is no such file"));
            } else if let Some(anchor) = anchor
                && !anchors(&prose(&std::fs::read_to_string(&file).unwrap())).contains(anchor)
            {
                wrong.push(format!("{path}: {link}: there is no such heading"));
            }
        }
    }
    assert!(seen > 20, "only {seen} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let texts = tree::texts();
    let mut due = vec!["README.md".to_owned()];
    let mut reached = BTreeSet::new();
    while let Some(path) = due.pop() {
        let Some(text) = texts.get(&path).filter(|_| reached.insert(path.clone())) else { continue };
        for link in links(&prose(text)).into_iter().filter(|link| !link.contains("://")) {
            let target = link.split('#').next().unwrap();
            let mut parts: Vec<&str> = path.split('/').collect();
            parts.pop();
            for part in target.split('/') {
                match part {
                    ".." => drop(parts.pop()),
                    "." | "" => {}
                    part => parts.push(part),
                }
            }
            due.push(parts.join("/"));
        }
    }
    let lost: Vec<&String> =
        texts.keys().filter(|path| path.starts_with("docs/") && path.ends_with(".md") && !reached.contains(*path)).collect();
    assert!(lost.is_empty(), "no link leads to {lost:?}");
}

#[test]
fn every_file_of_a_package_says_what_it_is() {
    let silent: Vec<String> = tree::sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "files without a module doc: {silent:#?}");
    let manifest = tree::texts().remove("Cargo.toml").unwrap();
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    for member in members.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| !member.is_empty()) {
        let source = tree::root().join(member).join("src");
        assert!(
            source.join("lib.rs").exists() || source.join("main.rs").exists(),
            "{member} has no root file whose doc says what the package is"
        );
    }
}

/// Every package is described in the architecture.
#[test]
fn the_architecture_names_every_package() {
    let texts = tree::texts();
    let page = &texts["docs/ARCHITECTURE.md"];
    let manifest = &texts["Cargo.toml"];
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    for member in members.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| !member.is_empty() && *member != ".") {
        assert!(page.contains(&format!("`{member}`")), "docs/ARCHITECTURE.md does not say what `{member}` is");
    }
}

/// Names of variables that the language of the page and the sources must agree on: ours, and those of others that we read.
const OTHERS: &[&str] = &[
    "NO_COLOR",
    "HOME",
    "TERM",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "UPDATE_GOLDEN",
    "CI",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// The words of a text that are names of our variables. A name ends before the part that a user chooses.
fn variables(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let starts = text.match_indices("CLOUDTIK_").filter(|(at, _)| !text.get(..*at).unwrap().ends_with(is_name));
    let names = starts.filter_map(|(at, _)| text.get(at..)?.split(|c| !is_name(c)).next());
    names.map(|name| name.trim_end_matches('_').to_owned()).filter(|name| name != "CLOUDTIK").collect()
}

#[test]
fn the_list_of_environment_variables_is_complete() {
    let texts = tree::texts();
    let page = &texts["docs/guide/environment.md"];
    let counts = |path: &str| {
        let code = path.ends_with(".rs") || path.ends_with(".hbs") || path.ends_with(".hcl") || path == "test" || path.starts_with(".ci/");
        code && path != "tests/docs.rs"
    };
    let mut read: BTreeMap<String, String> = BTreeMap::new();
    for (path, text) in texts.iter().filter(|(path, _)| counts(path)) {
        read.extend(variables(text).into_iter().map(|name| (name, path.clone())));
        let quoted = OTHERS.iter().filter(|name| path.ends_with(".rs") && text.contains(&format!("\"{name}\"")));
        read.extend(quoted.map(|name| ((*name).to_owned(), path.clone())));
    }
    let listed: BTreeSet<String> =
        variables(page).into_iter().chain(OTHERS.iter().filter(|name| page.contains(**name)).map(|name| (*name).to_owned())).collect();
    let missing: Vec<_> = read.iter().filter(|(name, _)| !listed.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/guide/environment.md does not name {missing:#?}");
    let stale: Vec<_> = listed.iter().filter(|name| !read.contains_key(*name)).collect();
    assert!(stale.is_empty(), "docs/guide/environment.md names {stale:?}, which nothing reads");
}

/// The codes that an error can have: what follows the constructors of diagnostics, and the tables of codes.
fn codes() -> BTreeMap<String, String> {
    const MADE_BY: &[&str] = &["Diagnostic::error(", "Diagnostic::warning("];
    let mut found = BTreeMap::new();
    for (path, text) in tree::sources() {
        for made_by in MADE_BY {
            for (at, _) in text.match_indices(made_by) {
                let rest = text.get(at + made_by.len()..).unwrap().trim_start();
                if let Some((code, _)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                    found.insert(code.to_owned(), path.clone());
                }
            }
        }
        if path == "executor/src/durable/error.rs" {
            let table = text.split_once("const fn code(").unwrap().1.split_once("/// What to do").unwrap().0;
            found.extend(table.split("=> \"").skip(1).map(|rest| (rest.split('"').next().unwrap().to_owned(), path.clone())));
        }
    }
    found
}

#[test]
fn every_error_is_in_the_troubleshooting() {
    let texts = tree::texts();
    let page = &texts["docs/guide/troubleshooting.md"];
    let codes = codes();
    assert!(codes.len() > 100 && codes.contains_key("lock-held") && codes.contains_key("unknown-attribute"), "{}", codes.len());
    let missing: Vec<_> = codes.iter().filter(|(code, _)| !page.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "docs/guide/troubleshooting.md does not say what to do about {missing:#?}");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.trim_start_matches('[').strip_prefix('`')?.split_once('`'));
    let rows: Vec<&str> = rows.map(|(code, _)| code).collect();
    assert!(rows.contains(&"lock-held") && rows.contains(&"storage"), "{rows:?}");
    let stale: Vec<&str> = rows.into_iter().filter(|row| row.contains('-') && !row.contains(' ') && !codes.contains_key(*row)).collect();
    let stale: Vec<&str> =
        stale.into_iter().filter(|row| !tree::sources().values().any(|text| text.contains(&format!("\"{row}\"")))).collect();
    assert!(stale.is_empty(), "docs/guide/troubleshooting.md explains errors that nothing says: {stale:?}");
}

#[test]
fn the_exit_codes_of_the_guide_are_those_of_the_program() {
    let texts = tree::texts();
    let table = texts["src/cli/exit.rs"].split_once("pub(crate) const fn code(").unwrap().1.split_once("}\n    }").unwrap().0.to_owned();
    let page = &texts["docs/guide/commands.md"];
    let codes: Vec<&str> = table
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> "))
        .map(|(_, code)| code.trim_end_matches(','))
        .collect();
    assert!(codes.len() >= 7, "{codes:?}");
    for code in codes {
        assert!(page.contains(&format!("| {code} |")), "docs/guide/commands.md does not explain exit code {code}");
    }
}

/// The commands that `--help` lists, as the golden case of it has them.
#[test]
fn every_command_is_in_the_guide() {
    let texts = tree::texts();
    let help = &texts["golden-tests/cases/help/expected/stdout"];
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let lines = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let commands: Vec<&str> = lines.filter_map(|line| line.split(' ').next()).filter(|command| *command != "help").collect();
    assert!(commands.len() >= 10 && commands.contains(&"apply"), "{commands:?}");
    let page = &texts["docs/guide/commands.md"];
    let missing: Vec<&&str> = commands.iter().filter(|command| !page.contains(&format!("| `{command}`"))).collect();
    assert!(missing.is_empty(), "docs/guide/commands.md does not say what {missing:?} do");
}

#[test]
fn nothing_names_the_place_where_it_was_written() {
    // In pieces, so that this file does not name them.
    let words = [["/wo", "rk/"], ["/ro", "ot/"], ["/tmp/te", "am"]].map(|parts| parts.concat());
    let mut wrong = Vec::new();
    for (path, text) in tree::texts() {
        for (number, line) in text.lines().enumerate() {
            // `/root` is also the home of a machine's owner, which is not a place of ours.
            let named = words.iter().find(|word| {
                line.match_indices(word.as_str())
                    .any(|(at, _)| !line.get(..at).unwrap().ends_with(|c: char| c.is_alphanumeric() || c == '.'))
            });
            if let Some(word) = named {
                wrong.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
