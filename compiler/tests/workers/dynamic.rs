//! Blocks that `dynamic` makes are those that are written out.

use cloudtik_compiler::Compiled;

use crate::world::{address, compiled, config, errors, resource, run};

fn spec(inside: &str) -> String {
    format!("cluster \"c\" {{\n  workspace = workspace.w\n  head {{}}\n{inside}}}\n")
}

/// Two specs that are the same to the controller and in the graph, but for the places.
#[track_caller]
fn same(made: &str, written: &str) {
    let (made, written) = (compiled(made), compiled(written));
    assert_eq!(without_places(&format!("{:?}", config(&made))), without_places(&format!("{:?}", config(&written))));
    let nodes = |compiled: &Compiled| without_places(&format!("{:?}", compiled.graph.nodes));
    assert_eq!(nodes(&made), nodes(&written));
}

fn without_places(text: &str) -> String {
    let mut parts = text.split("span: ");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| all + part.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ':' | '.')))
}

#[test]
fn a_block_for_each_element() {
    same(
        &spec(
            r#"
  dynamic "workers" {
    for_each = { a = 1, b = 2 }
    labels   = [workers.key]
    content {
      min = workers.value
      max = workers.value + 1
    }
  }
"#,
        ),
        &spec("workers \"a\" {\nmin = 1\nmax = 2\n}\nworkers \"b\" {\nmin = 2\nmax = 3\n}\n"),
    );
}

#[test]
fn inner_names_hide_outer_ones() {
    same(
        &spec(
            r#"
  dynamic "workers" {
    for_each = toset(["a"])
    iterator = each_group
    labels   = ["${each_group.key}-${each_group.value}"]
    content {
      min = length([for each_group in [1, 2] : each_group])
      env = { NAMES = join(",", [for i, name in ["x", each_group.key] : "${i}${name}"]), TEXT = "%{ for each_group in ["p"] }${each_group}%{ endfor }" }
      setup {
        dynamic "step" {
          for_each = [each_group.value, "z"]
          iterator = each_group
          labels   = ["s${each_group.key}"]
          content {
            phase = "before_runtimes"
            run   = "echo ${each_group.value}"
          }
        }
      }
    }
  }
"#,
        ),
        &spec(
            r#"
  workers "a-a" {
    min = 2
    env = { NAMES = "0x,1a", TEXT = "p" }
    setup {
      step "s0" {
        phase = "before_runtimes"
        run   = "echo a"
      }
      step "s1" {
        phase = "before_runtimes"
        run   = "echo z"
      }
    }
  }
"#,
        ),
    );
}

#[test]
fn nothing_is_made_of_nothing() {
    same(
        &spec("workers \"a\" {\nenv = {}\ndynamic \"setup\" {\nfor_each = []\ncontent {}\n}\n}\n"),
        &spec("workers \"a\" {\nenv = {}\n}\n"),
    );
}

#[test]
fn what_the_elements_refer_to_comes_before() {
    let source = format!(
        "resource \"value\" \"x\" {{ input = 3 }}\n{}",
        spec(
            r#"
  dynamic "workers" {
    for_each = value.x.input == 3 ? ["a"] : []
    labels   = [workers.value]
    content {}
  }
"#
        )
    );
    let compiled = compiled(&source);
    let head = resource(&compiled.graph, "cluster.c.head");
    assert!(head.depends_on.contains(&address("value.x")), "{:?}", head.depends_on);
}

#[test]
fn wrong_forms_are_errors() {
    let of = |dynamic: &str, expected: &str| errors(&spec(dynamic), expected);
    of(
        "dynamic \"worker\" {\nfor_each = []\ncontent {}\n}\n",
        "6 unknown-block: `cluster` has no block `worker`\n  help: did you mean `workers`?",
    );
    of(
        "dynamic {\ncontents {}\n}\n",
        "
6 missing-attribute: `dynamic` needs `content`
  help: add `content { … }`: what stands in each block
6 missing-attribute: `dynamic` needs `for_each`
  help: add `for_each = …`: a block is made for each element of it
6 missing-label: `dynamic` needs the name of the block that it makes
  help: write `dynamic \"BLOCK\" { … }`
7 unknown-block: `dynamic` has no block `contents`
  help: write it in `content { … }`
",
    );
    of(
        "dynamic \"workers\" {\nfor_each = [1]\niterator = \"it\"\nmin = 1\ncontent {}\n}\n",
        "
8 not-a-name: `iterator` is a name
  help: write it without quotes: `iterator = rule`; the element is `rule.value` then
9 unknown-attribute: `dynamic` has no attribute `min`
  help: it has `for_each`, `iterator` and `labels`; everything else stands in `content { … }`
",
    );
    of(
        "dynamic \"lifecycle\" {\nfor_each = [1]\ncontent {}\n}\n",
        "6 dynamic-here: `lifecycle` cannot be made by `dynamic`\n  help: write `lifecycle { … }` itself",
    );
    of(
        "dynamic \"workers\" {\nfor_each = [1]\ncontent {}\n}\n",
        "6 missing-label: `workers` needs a label, and this `dynamic` gives none\n  help: add `labels = [workers.key]`\n\
         6 missing-label: `workers` needs its name\n  help: write `workers \"NAME\" { … }`",
    );
    of(
        "dynamic \"workers\" {\nfor_each = [1]\nlabels = [\"a\"]\ncontent { minn = 1 }\n}\n",
        "9 unknown-attribute: `workers` has no attribute `minn`\n  help: did you mean `min`?",
    );
    of(
        "dynamic \"workers\" {\nfor_each = [1, 2]\nlabels = [\"a\"]\ncontent {}\n}\n",
        "6 duplicate-block: there are two blocks `workers \"a\"`",
    );
    of(
        "dynamic \"workers\" {\nfor_each = [1]\nlabels = [\"A\"]\ncontent {}\n}\n",
        "8 bad-name: `A` is not a name\n  help: a name is a lower-case letter, then lower-case letters, digits and `-`: write `\"a\"`",
    );
}

#[test]
fn wrong_elements_are_errors() {
    let of = |for_each: &str, labels: &str, expected: &str| {
        let source = spec(&format!("dynamic \"workers\" {{\nfor_each = {for_each}\nlabels = {labels}\ncontent {{}}\n}}\n"));
        errors(&format!("{source}resource \"value\" \"x\" {{}}\n"), expected);
    };
    of("\"a\"", "[\"a\"]", "7 bad-for-each: `for_each` of `dynamic` is a list, a set or a map, and a string was given");
    of("null", "[\"a\"]", "7 bad-for-each: `for_each` of `dynamic` is a list, a set or a map, and null was given");
    of("[1]", "\"a\"", "8 bad-labels: `labels` is a list of strings, and a string was given");
    of("[1]", "[workers.value]", "8 bad-labels: `labels` holds a number, and must hold strings");
    of("sensitive([\"s3cret\"])", "[workers.value]", "8 bad-labels: `labels` must not be sensitive: addresses are shown");
    let unknown = "must be known when the plan is made, and depends on `value.x`\n  \
                   help: use a value that the spec itself gives: a variable, a local value, or an attribute that the block sets";
    of("[value.x.id]", "[workers.value]", &format!("8 unknown-at-plan: `labels` {unknown}"));
    of("split(\",\", value.x.id)", "[\"a\"]", &format!("7 unknown-at-plan: `for_each` {unknown}"));
}

#[test]
fn keys_of_what_is_secret_are_secret() {
    let dynamic = "dynamic \"workers\" {\nfor_each = sensitive({ s3cret = 1 })\nlabels = [workers.key]\ncontent {}\n}\n";
    errors(&spec(dynamic), "8 bad-labels: `labels` must not be sensitive: addresses are shown");
}

#[test]
fn what_is_read_before_anything_else_is_written() {
    errors(
        "check \"c\" {\ndynamic \"assert\" {\nfor_each = [1]\ncontent {\ncondition = false\nerror_message = \"\"\n}\n}\n}\n",
        "4 unknown-block: `check` has no block `dynamic`",
    );
    errors(
        "cloudtik {\ndynamic \"state\" {\nfor_each = [1]\nlabels = [\"local\"]\ncontent {}\n}\n}\n",
        "4 unknown-block: `cloudtik` has no block `dynamic`",
    );
}

#[test]
fn at_the_top_there_is_none() {
    let (_, _, found) = run("dynamic \"workspace\" {}\n");
    let titles: Vec<&str> = found.iter().map(|diagnostic| diagnostic.title.as_str()).collect();
    assert_eq!(titles, ["a project has no block `dynamic`"]);
}
