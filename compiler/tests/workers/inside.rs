//! Workspaces and clusters in modules.

use cloudtik_model::{Diagnostics, MemorySources, Node, SourceMap};

use crate::world::compile_sources;

/// One line for each diagnostic: place, code, title; then its notes and its help.
fn describe(map: &SourceMap, found: &Diagnostics) -> String {
    let mut text = String::new();
    for diagnostic in found {
        let place = diagnostic.primary.as_ref().and_then(|label| map.describe(label.span)).unwrap_or_default();
        text.push_str(&format!("{place} {}: {}\n", diagnostic.code, diagnostic.title));
        diagnostic.notes.iter().for_each(|note| text.push_str(&format!("  note: {note}\n")));
        diagnostic.help.iter().for_each(|help| text.push_str(&format!("  help: {help}\n")));
    }
    text
}

#[track_caller]
fn errors(files: &[(&str, &str)], expected: &str) {
    let (_, map, found) = compile_sources(&MemorySources::new(files.iter().copied()));
    assert_eq!(describe(&map, &found).trim(), expected.trim());
}

#[test]
fn workspaces_go_into_modules_and_out_of_them_and_configurations_go_with_them() {
    let main = r#"
provider "toy" { alias = "west" }
module "net" {
  source    = "./net"
  providers = { toy = toy.west }
}
module "etl" {
  source    = "./etl"
  for_each  = toset(["a", "b"])
  workspace = module.net.workspace
  name      = each.key
}
"#;
    let net = "workspace \"w\" {}\noutput \"workspace\" { value = workspace.w }";
    let etl = r#"
variable "workspace" {}
variable "name" {}
cluster "c" {
  name      = "c-${var.name}"
  workspace = var.workspace
  head {}
}
"#;
    let files = [("main.hcl", main), ("net/main.hcl", net), ("etl/main.hcl", etl)];
    let (compiled, map, found) = compile_sources(&MemorySources::new(files));
    assert!(found.is_empty(), "{}", describe(&map, &found));
    let nodes: Vec<String> = compiled
        .graph
        .nodes
        .iter()
        .map(|(address, node)| match node {
            Node::Resource(spec) => format!("{address} {}", spec.provider),
            Node::Step(_) => address.to_string(),
        })
        .collect();
    assert_eq!(
        nodes,
        [
            "module.etl[\"a\"].cluster.c.head toy.west",
            "module.etl[\"a\"].cluster.c.head.step.host_key",
            "module.etl[\"b\"].cluster.c.head toy.west",
            "module.etl[\"b\"].cluster.c.head.step.host_key",
            "module.net.workspace.w.network toy.west",
        ]
    );
    errors(
        &[
            ("main.hcl", &main.replace("  providers = { toy = toy.west }\n", "").replace("each.key", "\"x\"")),
            ("net/main.hcl", net),
            ("etl/main.hcl", etl),
        ],
        r#"
net/main.hcl:1:1 no-provider: no provider is configured for this workspace
  note: in module.net
  help: hand one in where the module is called: `providers = { aws = aws.west }`
"#,
    );
    errors(
        &[("main.hcl", &main.replace("each.key", "\"x\"")), ("net/main.hcl", net), ("etl/main.hcl", etl)],
        r#"
etl/main.hcl:5:15 duplicate-name: more than one would be cluster `c-x` of module.net.workspace.w
  note: in module.etl["b"]
  help: the block is there more than once: make its `name` of what differs, such as a variable of its module
"#,
    );
}

#[test]
fn a_module_that_holds_a_workspace_keeps_its_name() {
    let net = "provider \"toy\" {}\nmodule \"n\" { source = \"./net\" }\nmoved {\n  from = module.m\n  to = module.n\n}";
    errors(
        &[("main.hcl", net), ("net/main.hcl", "workspace \"w\" {}")],
        r#"
main.hcl:4:10 moved-kind: `module.m` cannot become `module.n`: `module.n.workspace.w` is in it, whose parts carry their address
  help: keep the name of a module that holds workspaces or clusters; its resources may be moved one by one
"#,
    );
}
