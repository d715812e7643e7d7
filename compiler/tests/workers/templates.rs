//! `template` and `from`: what a block is once it has what it inherits. The table of merges is a golden case; here are its edges.

use cloudtik_compiler::language::top_level;
use cloudtik_compiler::schema::BlockSchema;

use crate::world::{attribute, compiled, describe, errors, resource, shown};

/// The lines of the block at an address that come from no default, without their places.
#[track_caller]
fn text(source: &str, at: &str) -> String {
    let (text, map, found) = shown(source, at);
    assert!(found.is_empty(), "{}", describe(&map, &found));
    let text = text.unwrap_or_else(|| panic!("there is nothing at {at}"));
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.ends_with("# default") && !line.trim().is_empty());
    let plain = |line: &str| line.split('#').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    lines.map(plain).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn written(source: &str, at: &str, expected: &str) {
    assert_eq!(text(source, at), expected);
}

fn cluster(templates: &str, inside: &str) -> String {
    format!("{templates}\ncluster \"c\" {{\nworkspace = workspace.w\n{inside}\n}}\n")
}

#[test]
fn what_several_are_made_from_is_taken_once() {
    let templates = r#"
template "base" {
  head { cpus = 1 }
}
template "x" {
  from = template.base
  head { cpus = 2 }
}
template "y" {
  from = template.base
  tags = { y = "1" }
}
"#;
    written(&cluster(templates, "from = [template.x, template.y]"), "cluster.c.head", "head {\ncpus = 2\n}");
    let both = cluster(templates, "from = [template.base, template.x]");
    written(&both, "cluster.c.head", "head {\ncpus = 2\n}");
    errors(
        &cluster(templates, "from = [template.x, template.base]"),
        "18 inherited-twice: this template is inherited already, by what stands before it\n  \
         help: name each template once, and what others are made from before them or not at all",
    );
}

#[test]
fn what_is_taken_away_can_be_declared_anew() {
    let templates = r#"
template "a" {
  head {}
  workers "x" {
    cpus = 1
    max  = 9
  }
}
template "b" {
  from = template.a
  workers "x" { enabled = false }
}
template "off" {
  head {}
  workers "x" {
    enabled = false
    cpus    = 7
  }
}
"#;
    written(&cluster(templates, "from = template.b\nworkers \"x\" { cpus = 2 }"), "cluster.c.workers.x", "workers \"x\" {\ncpus = 2\n}");
    let on = cluster(templates, "from = template.off\nworkers \"x\" { enabled = true }");
    written(&on, "cluster.c.workers.x", "workers \"x\" {\nenabled = true\ncpus = 7\n}");
    let (nothing, _, _) = shown(&cluster(templates, "from = template.b"), "cluster.c.workers.x");
    assert_eq!(nothing, None);
    let off = compiled(&cluster(templates, "from = template.off"));
    assert!(off.head_configs.is_empty(), "a group that is off is none");
}

/// Of what a runtime depends on, that it is turned off says something.
#[test]
fn a_dependency_that_is_off_stays_in_the_block() {
    let templates = r#"
template "t" {
  head {}
  runtime "plain" {
    source = "plain"
    discover "x" { types = ["store"] }
  }
}
"#;
    let inside = "from = template.t\nruntime \"plain\" {\ndiscover \"x\" { enabled = false }\n}";
    let (text, ..) = shown(&cluster(templates, inside), "cluster.c.runtime.plain.discover.x");
    assert_eq!(text.unwrap_or_default(), "discover \"x\" {    # main.hcl:16\n  enabled = false # main.hcl:16\n}\n");
}

#[test]
fn the_machine_of_a_node_is_said_in_one_way() {
    let templates = "template \"t\" {\nhead { instance_type = \"x\" }\nworkers \"a\" {\ncpus = 1\nmemory_gib = 2\n}\n}";
    let inside = "from = template.t\nhead { cpus = 4 }\nworkers \"a\" { instance_types = [\"y\"] }";
    written(&cluster(templates, inside), "cluster.c.head", "head {\ncpus = 4\n}");
    written(&cluster(templates, inside), "cluster.c.workers.a", "workers \"a\" {\ninstance_types = [\"y\"]\n}");
    let inside = "from = template.t\nworkers \"a\" {\ncpus = 3\ninstance_type = null\n}";
    written(&cluster(templates, inside), "cluster.c.workers.a", "workers \"a\" {\ncpus = 3\nmemory_gib = 2\n}");
}

/// What is not known when the plan is made is laid over all the same.
#[test]
fn maps_that_come_later_merge_too() {
    let source = r#"
resource "value" "late" { input = { a = "1" } }
template "t" {
  env  = { A = value.late.id, B = "b" }
  tags = { a = "1" }
  head {}
}
cluster "c" {
  workspace = workspace.w
  from      = template.t
  env       = { B = null, C = "c" }
  tags      = { b = value.late.id }
}
"#;
    written(
        source,
        "cluster.c",
        "cluster \"c\" {\nenv = {\nA = value.late.id\nC = \"c\"\n}\ntags = {\na = \"1\"\nb = value.late.id\n}\nworkspace = workspace.w\nhead {\n}\n}",
    );
    let made = compiled(source);
    assert!(resource(&made.graph, "cluster.c.head").depends_on.iter().any(|address| address.to_string() == "value.late"));
}

#[test]
fn a_map_may_be_computed_and_a_mark_stays() {
    let source = r#"
locals { own = { b = "2" } }
template "t" {
  tags = { a = sensitive("hunter2"), c = "3" }
  head {}
}
cluster "c" {
  workspace = workspace.w
  from      = template.t
  tags      = merge(local.own, { c = null })
}
"#;
    let shown = text(source, "cluster.c");
    assert!(shown.contains("a = \"(sensitive value)\"") && shown.contains("b = \"2\"") && !shown.contains("c ="), "{shown}");
    let made = compiled(source);
    assert!(attribute(&made.graph, "cluster.c.head", "tags").get("a").unwrap().is_sensitive());
}

#[test]
fn inherited_values_are_bounded() {
    let double = |n: usize| {
        format!("template \"t{n}\" {{\nfrom = template.t{}\nmax_workers = inherited.max_workers + inherited.max_workers\n}}\n", n - 1)
    };
    let templates: String = std::iter::once("template \"t0\" { max_workers = 1 }\n".to_owned()).chain((1..20).map(double)).collect();
    let (_, map, found) = shown(&cluster(&templates, "from = template.t19\nhead {}"), "cluster.c");
    let said = describe(&map, &found);
    assert!(said.contains("inherited-too-large: with what it inherits the expression has more than 10000 parts"), "{said}");
    let link = |n: usize| format!("template \"t{n}\" {{\nfrom = template.t{}\n}}\n", n - 1);
    let templates: String = std::iter::once("template \"t0\" {}\n".to_owned()).chain((1..40).map(link)).collect();
    let (_, map, found) = shown(&cluster(&templates, "from = template.t39"), "cluster.c");
    let said = describe(&map, &found);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("too-many-templates: it inherits from 33 templates; at most 32 are taken"), "{said}");
}

#[test]
fn names_are_those_of_the_block_that_inherits() {
    let source = r#"
template "t" {
  name = "n-${each.key}"
  head { tags = { each = each.value } }
  dynamic "workers" {
    for_each = [each.value]
    labels   = [workers.value]
    content {}
  }
}
cluster "c" {
  for_each  = { a = "x", b = "y" }
  workspace = workspace.w
  from      = template.t
}
"#;
    written(
        source,
        "cluster.c[\"b\"]",
        "cluster \"c\" {\nname = \"n-b\"\nfor_each = { \"a\" = \"x\", \"b\" = \"y\" }\nworkspace = workspace.w\nhead {\ntags = {\neach = \"y\"\n}\n}\nworkers \"y\" {\n}\n}",
    );
    errors(
        "template \"t\" { name = each.key }\ncluster \"c\" {\nworkspace = workspace.w\nfrom = template.t\n}",
        "3 no-instance: `each.key` has no meaning here: the block has no `for_each`\n  help: add `for_each = …` to the block",
    );
}

/// What makes the instances, and what a workspace is made through, may be inherited too.
#[test]
fn a_workspace_inherits_its_instances() {
    let source = r#"
template "t" {
  for_each = toset(["a", "b"])
  provider = toy
  name     = "w-${each.key}"
  network {}
}
workspace "many" { from = template.t }
cluster "c" {
  workspace = workspace.many["a"]
  from      = "tiny-highmem"
}
"#;
    let made = compiled(source);
    assert_eq!(made.workspaces.len(), 3, "{:?}", made.workspaces.keys());
    let workers = "workers \"default\" {\ncpus = 1\nmemory_gib = 8\n}";
    written(source, "cluster.c.workers.default", workers);
}

/// What a module declares sensitive is not shown, whoever wrote it.
#[test]
fn sensitive_options_are_not_shown() {
    let source =
        "cluster \"c\" {\nworkspace = workspace.w\nhead {}\nruntime \"secretive\" {\nsource = \"secretive\"\npassword = \"hunter2\"\n}\n}";
    let expected = "runtime \"secretive\" {\nsource = \"secretive\"\npassword = \"(sensitive value)\"\n}";
    written(source, "cluster.c.runtime.secretive", expected);
}

/// What `enabled = false` takes away is a block with a label: each of them knows the word.
#[test]
fn every_labelled_block_can_be_turned_off() {
    fn walk(schema: &BlockSchema, path: &str, seen: &mut usize) {
        for rule in &schema.blocks {
            let path = format!("{path}.{}", rule.schema.name);
            if !rule.schema.labels.is_empty() && !path.contains("scaling") {
                assert!(rule.schema.attribute("enabled").is_some(), "`{path}` has no `enabled`");
                *seen += 1;
            }
            walk(&rule.schema, &path, seen);
        }
    }
    let mut seen = 0;
    for name in ["workspace", "cluster"] {
        walk(&top_level().block(name).unwrap().schema, name, &mut seen);
    }
    assert!(seen >= 9, "{seen}");
}
