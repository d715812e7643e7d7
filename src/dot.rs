//! The graph in the language of Graphviz.

use std::fmt::Write as _;

use cloudtik_model::{Graph, Node};

/// The graph as DOT: an arrow goes from what needs to what is needed.
#[must_use]
pub fn graph_dot(graph: &Graph) -> String {
    let mut text = String::from("digraph cloudtik {\n  rankdir = \"LR\";\n  node [fontname = \"sans-serif\"];\n");
    for (address, node) in &graph.nodes {
        let (shape, kind) = match node {
            Node::Resource(spec) => ("box", spec.kind.to_string()),
            Node::Step(spec) => ("ellipse", format!("step {}", spec.kind.as_str())),
        };
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "  {} [shape = \"{shape}\", label = {}];", quote(&address.to_string()), quote(&format!("{address}\n{kind}")));
    }
    for (address, node) in &graph.nodes {
        for needed in node.depends_on() {
            let _ = writeln!(text, "  {} -> {};", quote(&address.to_string()), quote(&needed.to_string()));
        }
    }
    text.push_str("}\n");
    text
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
