//! Where a search begins: inputs that are right, made from the golden cases, so that they are those of this version.

use std::path::{Path, PathBuf};

use cloudtik_executor::durable::save_plan;
use cloudtik_model::{Node, Object, State, StateEntry};
use serde_json::Value as Json;

use crate::Target;
use crate::durable::{folder, vault};
use crate::spec::planned;

/// What a record of the journal begins with, and how many bytes there are before its run id.
const MARKER: &[u8] = b"\xc1rec";
const HEADER_BYTES: usize = 58;

/// The seeds of a target, and the cases that are kept in its folder, each with a name.
///
/// # Errors
/// A folder or file cannot be read.
pub fn seeds(target: &Target) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut seeds = Vec::new();
    for path in files(&repository.join("tests/fuzz/corpus").join(target.name))? {
        seeds.push((name_of(&path), std::fs::read(&path)?));
    }
    let specs = specs(&repository.join("golden-tests/cases"))?;
    let plans = || specs.iter().filter_map(|(name, text)| Some((name.clone(), planned(text)?)));
    let fixtures = repository.join("executor/fixtures");
    match target.name {
        "evaluate" => seeds.extend(expressions(&std::fs::read_to_string(repository.join("tests/console/terraform.jsonl"))?)),
        "state" => {
            seeds.push(("fixture".to_owned(), opened(&std::fs::read(fixtures.join("state-v1.json"))?)));
            seeds.extend(plans().filter_map(|(name, (plan, state))| Some((name, serde_json::to_vec(&applied(&plan, state)).ok()?))));
        }
        "journal" => {
            let journal = std::fs::read(fixtures.join("journal-v1.log"))?;
            seeds.push(("records".to_owned(), records(&journal)));
            seeds.push(("segment".to_owned(), journal));
        }
        "plan" => {
            for (name, (plan, _)) in plans() {
                let path = folder().join("seed");
                save_plan(&path, &plan, &mut vault()).map_err(std::io::Error::other)?;
                seeds.push((name, std::fs::read(&path)?));
            }
        }
        _ => {}
    }
    if target.dictionary == "hcl" {
        seeds.extend(specs);
    }
    Ok(seeds)
}

/// The files of a folder and below, by name; none where there is no folder.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop().filter(|folder| folder.is_dir()) {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

fn specs(cases: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let is_spec = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "hcl");
    let named = |path: PathBuf| Ok((name_of(path.strip_prefix(cases).unwrap_or(&path)), std::fs::read(&path)?));
    files(cases)?.into_iter().filter(is_spec).map(named).collect()
}

/// A path as one name.
fn name_of(path: &Path) -> String {
    let mut parts = path.iter().map(|part| part.to_string_lossy());
    if path.is_absolute() { parts.next_back().unwrap_or_default().into_owned() } else { parts.collect::<Vec<_>>().join("-") }
}

/// The expressions of the table of the console, as attributes of some seeds.
fn expressions(table: &str) -> Vec<(String, Vec<u8>)> {
    let text = |line: &str| Some(serde_json::from_str::<Json>(line).ok()?.get("expression")?.as_str()?.to_owned());
    let all: Vec<String> = table.lines().filter_map(text).collect();
    let seed = |some: &[String]| some.iter().enumerate().map(|(i, text)| format!("e{i} = {text}\n")).collect::<String>();
    all.chunks(20).enumerate().map(|(i, some)| (format!("expressions-{i}"), seed(some).into_bytes())).collect()
}

/// The state once a plan is carried out, as far as its values are known before.
fn applied(plan: &cloudtik_planner::Plan, mut state: State) -> State {
    for (address, change) in &plan.changes {
        let Some(Node::Resource(wanted)) = &change.desired else { continue };
        if !wanted.attributes.is_known() {
            continue;
        }
        let object = Object {
            id: format!("id-of-{address}"),
            attributes: wanted.attributes.clone(),
            desired: wanted.attributes.clone(),
            schema_version: 1,
            op_id: "r1.1".to_owned(),
            undo: None,
            public_keys: std::collections::BTreeMap::new(),
            took_ms: Some(10),
            tainted: false,
        };
        let entry = StateEntry {
            kind: wanted.kind.clone(),
            provider: wanted.provider.clone(),
            current: Some(object),
            deposed: std::collections::BTreeMap::new(),
            depends_on: wanted.depends_on.clone(),
            create_before_destroy: false,
        };
        state.resources.insert(address.clone(), entry);
    }
    state.serial = 1;
    state
}

/// A state, and the content of each record of a segment, a line each.
fn records(segment: &[u8]) -> Vec<u8> {
    let mut lines = br#"{"version": 1, "lineage": "0123456789abcdef0123456789abcdef", "serial": 1, "epoch": 1}"#.to_vec();
    let starts = segment.windows(MARKER.len()).enumerate().filter(|(_, window)| *window == MARKER).map(|(at, _)| at);
    for record in starts.filter_map(|at| segment.get(at..)) {
        let number = |at: usize| record.get(at).copied().map_or(0, usize::from);
        let begin = HEADER_BYTES + number(33);
        let length = number(4) | number(5) << 8 | number(6) << 16;
        lines.push(b'\n');
        lines.extend(opened(record.get(begin..begin + length).unwrap_or_default()));
    }
    lines
}

/// A document in one line, with something sensitive in place of what is sealed: nobody has the key of the fixtures here.
fn opened(json: &[u8]) -> Vec<u8> {
    let read = serde_json::from_slice(json).map(|mut json| {
        open(&mut json);
        json
    });
    read.map_or_else(|_| json.to_vec(), |json: Json| json.to_string().into_bytes())
}

fn open(json: &mut Json) {
    match json {
        Json::Object(items) if items.contains_key("$encrypted") => *json = serde_json::json!({ "$sensitive": "x" }),
        Json::Object(items) => items.values_mut().for_each(open),
        Json::Array(items) => items.iter_mut().for_each(open),
        _ => {}
    }
}
