//! The graph as other programs read it: in the language of Graphviz, in that of Mermaid, and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cloudtik_model::{Address, Graph, Node};
use serde::Serialize;

/// The version of the form of a graph as JSON.
const GRAPH_FORMAT_VERSION: u32 = 1;

/// The graph as DOT: an arrow goes from what needs to what is needed.
#[must_use]
pub fn graph_dot(graph: &Graph) -> String {
    let mut text = String::from("digraph cloudtik {\n  rankdir = \"LR\";\n  node [fontname = \"sans-serif\"];\n");
    for (address, node) in &graph.nodes {
        let shape = if is_step(node) { "ellipse" } else { "box" };
        let label = quote(&format!("{address}\n{}", kind(node)));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {} [shape = \"{shape}\", label = {label}];", quote(&address.to_string()));
    }
    for (address, needed) in edges(graph) {
        let _ = writeln!(text, "  {} -> {};", quote(&address.to_string()), quote(&needed.to_string()));
    }
    text.push_str("}\n");
    text
}

/// The graph as a flowchart of Mermaid, with the same arrows.
#[must_use]
pub fn graph_mermaid(graph: &Graph) -> String {
    let names: BTreeMap<&Address, String> = graph.nodes.keys().enumerate().map(|(index, address)| (address, format!("n{index}"))).collect();
    let name = |address: &Address| names.get(address).map_or("", String::as_str);
    let mut text = String::from("flowchart LR\n");
    for (address, node) in &graph.nodes {
        let (open, close) = if is_step(node) { ("([", "])") } else { ("[", "]") };
        let label = format!("{}<br/>{}", entities(&address.to_string()), entities(&kind(node)));
        let _ = writeln!(text, "  {}{open}\"{label}\"{close}", name(address));
    }
    for (address, needed) in edges(graph).filter(|(_, needed)| names.contains_key(needed)) {
        let _ = writeln!(text, "  {} --> {}", name(address), name(needed));
    }
    text
}

/// The graph as JSON: `nodes`, each with what it directly needs, by address.
#[must_use]
pub fn graph_json(graph: &Graph) -> impl Serialize + '_ {
    let of = |(address, node): (&'_ Address, &'_ Node)| {
        let (provider, title) = match node {
            Node::Resource(spec) => (Some(spec.provider.to_string()), None),
            Node::Step(step) => (None, Some(step.title.clone()).filter(|title| !title.is_empty())),
        };
        let node_type = if is_step(node) { "step" } else { "resource" };
        let depends_on = node.depends_on().iter().map(ToString::to_string).collect();
        NodeJson { address: address.to_string(), node_type, kind: kind(node), provider, title, depends_on }
    };
    GraphJson { version: GRAPH_FORMAT_VERSION, nodes: graph.nodes.iter().map(of).collect() }
}

#[derive(Serialize)]
struct GraphJson {
    version: u32,
    nodes: Vec<NodeJson>,
}

#[derive(Serialize)]
struct NodeJson {
    address: String,
    #[serde(rename = "type")]
    node_type: &'static str,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    depends_on: Vec<String>,
}

const fn is_step(node: &Node) -> bool {
    matches!(node, Node::Step(_))
}

fn kind(node: &Node) -> String {
    match node {
        Node::Resource(spec) => spec.kind.to_string(),
        Node::Step(spec) => format!("step {}", spec.kind.as_str()),
    }
}

fn edges(graph: &Graph) -> impl Iterator<Item = (&Address, &Address)> {
    graph.nodes.iter().flat_map(|(address, node)| node.depends_on().iter().map(move |needed| (address, needed)))
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// The text as it may stand in a label of Mermaid, where entities begin with `#`.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '[' | ']' | ' ' | ':' | '/') {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}
