//! What is in an account, in a form that is the same for two accounts in which the same was made: ids are replaced by what they stand for.

use std::collections::{BTreeMap, BTreeSet};

/// How often what stands beside an id is taken into what it is called: the longest way from one thing to another that tells them apart.
const ROUNDS: usize = 4;

/// Marks that say which call made something, where in a spec it stands, what is kept with it, and which stack it belongs to.
const MARKS: [&str; 10] = [
    "cloudtik:address",
    "cloudtik:engine_version",
    "cloudtik:final_snapshot_identifier",
    "cloudtik:lineage",
    "cloudtik:on_destroy",
    "cloudtik:op",
    "cloudtik:skip_final_snapshot",
    "aws:cloudformation:logical-id",
    "aws:cloudformation:stack-id",
    "aws:cloudformation:stack-name",
];

/// What is different each time that something is made.
const RANDOM: [&str; 5] = ["InstanceProfileId", "clientToken", "macAddress", "privateIp", "privateIpAddress"];

/// CloudFormation gives these no tags.
const UNTAGGED: [&str; 2] = ["security-group-rule", "instance-profile"];

/// CloudFormation makes no firewall that lets nothing out: this rule stands for none.
const NOTHING: &str = "[ipProtocol=-1 ipRanges([cidrIp=127.0.0.1/32 description=Nothing else goes out])]";
const NOTHING_TEXT: &str = "description=Nothing else goes out";

/// The lines of a difference between two looks at an account, and how often each is there.
pub fn alike(lines: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let is_own = |line: &&String| line.contains(" stack ") || line.contains(" security-group-rule ") && line.contains(NOTHING_TEXT);
    let lines: Vec<String> = lines.iter().filter(|line| !is_own(line)).map(|line| plain(line)).collect();
    let mut names: BTreeMap<String, String> =
        lines.iter().flat_map(|line| ids(line)).map(|id| (id.clone(), kind(&id).to_owned())).collect();
    for _ in 0..ROUNDS {
        let name = |id: &String| {
            let of = lines.iter().filter(|line| ids(line).contains(id));
            let mut of: Vec<String> = of.map(|line| named(line, &names, Some(id))).collect();
            of.sort();
            format!("{}#{}", kind(id), cloudtik::model::Digest::of(of.join("\n")).to_string().split_at(8).0)
        };
        names = names.keys().map(|id| (id.clone(), name(id))).collect();
    }
    let mut counted = BTreeMap::new();
    lines.iter().for_each(|line| *counted.entry(named(line, &names, None)).or_default() += 1);
    counted
}

fn kind(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(kind, _)| kind)
}

/// A line without what differs from one making to the next.
fn plain(line: &str) -> String {
    let untagged = UNTAGGED.iter().any(|kind| line.contains(&format!(" {kind} ")));
    let mut out = line.replace(&format!("ipPermissionsEgress({NOTHING}) "), "");
    for set in ["tagSet(", "TagSet(", "TagList(", "Tags("] {
        let mut from = 0;
        while let Some(start) = out[from..].find(set).map(|at| from + at + set.len()) {
            let end = out[start..].find(')').map_or(out.len(), |at| start + at);
            let kept: Vec<&str> =
                out[start..end].split(", ").filter(|tag| !untagged && !MARKS.iter().any(|mark| tag.starts_with(mark))).collect();
            let kept = kept.join(", ");
            out.replace_range(start..end, &kept);
            from = start + kept.len();
        }
    }
    let out = without_json_marks(&out.replace("tagSet() ", "").replace(" Tags()", ""));
    let words = words(&out);
    let word = |(index, word): (usize, &String)| {
        let is_named = index >= 2 && words[index - 1] == "=" && RANDOM.contains(&words[index - 2].as_str());
        if is_named || is_moment(word) { "*".to_owned() } else { word.clone() }
    };
    words.iter().enumerate().map(word).collect()
}

/// The same of tags that are JSON, which end a line.
fn without_json_marks(line: &str) -> String {
    let Some((before, tags)) = line.split_once(" [{\"Key\"") else { return line.to_owned() };
    let mut tags: Vec<serde_json::Value> = serde_json::from_str(&format!("[{{\"Key\"{tags}")).unwrap();
    tags.retain(|tag| !MARKS.contains(&tag["Key"].as_str().unwrap()));
    format!("{before} {}", serde_json::Value::from(tags))
}

/// Words and what is between them.
fn words(line: &str) -> Vec<String> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
    let mut all: Vec<String> = Vec::new();
    let mut last = None;
    for c in line.chars() {
        if last == Some(true) && inside(c) || last == Some(false) && !inside(c) {
            all.last_mut().unwrap().push(c);
        } else {
            all.push(c.to_string());
        }
        last = Some(inside(c));
    }
    all
}

/// Times, addresses outside, and what IAM calls its objects by.
fn is_moment(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let is_time = word.len() >= 19 && word.starts_with("20") && word.contains('T') && digits >= 14;
    let is_number_of_seconds = word.len() > 12 && word.chars().all(|c| c.is_ascii_digit() || c == '.') && word.starts_with("1");
    let is_name = word.len() >= 20 && (word.starts_with("ARO") || word.starts_with("AIP"));
    is_time || is_number_of_seconds || is_name || word.starts_with("54.214.") || word.starts_with("ip-")
}

fn is_id(word: &str) -> bool {
    let Some((kind, digits)) = word.rsplit_once('-') else { return false };
    let is_kind = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    is_kind && kind != "ami" && digits.len() >= 8 && digits.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

fn ids(line: &str) -> BTreeSet<String> {
    words(line).into_iter().filter(|word| is_id(word)).collect()
}

/// A line with names in the place of ids, as what it says of the thing, sorted: the order of ids means nothing.
fn named(line: &str, names: &BTreeMap<String, String>, this: Option<&String>) -> String {
    let word = |word: String| match names.get(&word) {
        Some(_) if this == Some(&word) => "THIS".to_owned(),
        Some(name) => name.clone(),
        None => word,
    };
    let line: String = words(line).into_iter().map(word).collect();
    let mut said: Vec<&str> = line.split([' ', '(', ')', '[', ']', ',']).filter(|part| !part.is_empty()).collect();
    said.sort_unstable();
    said.join(" ")
}
