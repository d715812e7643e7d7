//! What is wrong with groups, roles and dependencies, each at its place.

use cloudtik_model::MemorySources;

use crate::world::{KV2, START, compile_sources, compiled, config, describe, errors, of};

#[test]
fn dependencies_that_nothing_meets_are_errors() {
    let source = |cluster: &str| format!("cluster \"c\" {{\n  workspace = workspace.w\n  head {{}}\n{cluster}\n}}\n");
    errors(
        &source("  workers \"a\" {}\n  runtime \"web\" { source = \"web\" }"),
        "
7 no-service: runtime `web` needs a service for its `backend`, and nothing in the cluster fits
  help: add a runtime that offers one, or write `discover \"backend\" { value = [\"address:port\"] }`
",
    );
    let kv = "  workers \"a\" {}\n  runtime \"kv2\" { source = \"kv2\" }\n  runtime \"web\" {\n    source = \"web\"\n";
    errors(
        &source(&format!("{kv}    discover \"backend\" {{ services = [\"kv1\"] }}\n    discover \"mor\" {{}}\n  }}")),
        "
10 no-service: runtime `web` needs a service for its `backend`, and nothing in the cluster fits
  help: add a runtime that offers one, or write `discover \"backend\" { value = [\"address:port\"] }`
10 unknown-service: nothing in the cluster offers a service `kv1`
  help: did you mean `kv2`?
11 unknown-discover: runtime `web` looks for no `mor`
  help: did you mean `more`?
",
    );
    errors(
        &source(&format!("{kv}    discover \"backend\" {{\n      value = [\"a:1\"]\n      types = [\"store\"]\n    }}\n  }}")),
        "12 value-and-choice: `value` says the endpoints, so there is nothing to choose: leave out `types`",
    );
    errors(
        &source(&format!("{kv}    discover \"backend\" {{ labels = {{ a = \"b\" }} }}\n  }}")),
        "10 not-in-effect: `labels` is not in effect in this version",
    );
    errors(
        &source(&format!("{kv}    discover \"backend\" {{ enabled = false }}\n    discover \"more\" {{ enabled = false }}\n  }}")),
        "10 no-service: runtime `web` needs a service for its `backend`, so that it cannot be turned off",
    );
    errors(
        &source("  runtime \"kv2\" {\n    source = \"kv2\"\n    on     = [\"head\"]\n  }\n  runtime \"web\" { source = \"web\" }"),
        "
10 needs-workers: runtime `web` needs a service for its `backend` while it runs, which only a cluster with workers can tell it
  help: add `workers \"NAME\" {}`, or write `discover \"backend\" { value = [\"address:port\"] }`
",
    );
}

#[test]
fn groups_are_checked_at_their_places() {
    errors(
        r#"
cluster "c" {
  workspace = workspace.w
  workers "a" {
    min = 3
    max = 2
  }
}
cluster "d" {
  workspace   = workspace.w
  max_workers = 4
  head {}
  workers "a" { min = 2 }
  workers "b" { min = 3 }
}
cluster "e" {
  workspace   = workspace.w
  max_workers = 4
  head {}
  scaling {}
}
cluster "f" {
  workspace = workspace.w
  head {}
  workers "a" { runtimes = ["kv3"] }
  runtime "kv2" { source = "kv2" }
}
cluster "g" {
  workspace = workspace.w
  head {}
  workers "a" {
    min   = -1
    after = ["b"]
    ssh { connect_timeout = "1s" }
    lifecycle { ignore_changes = [tags] }
  }
}
"#,
        "
6 no-head: a cluster with workers has a head, which makes them and keeps them
  help: add `head {}` to the cluster
7 min-above-max: `min` is 3 and `max` is 2: a group has never more than `max`
  help: write `max = 3` or more, or `min = 2` or less
13 min-above-max: `max_workers` is 4, and `min` of all groups is 5 together
  help: write `max_workers = 5` or more
20 no-workers: the cluster has no workers, so this `max_workers` would have no effect
  help: add `workers \"NAME\" {}` to the cluster
22 no-workers: the cluster has no workers, so this `scaling` would have no effect
  help: add `workers \"NAME\" {}` to the cluster
27 unknown-runtime: `runtimes`: the cluster has no runtime `kv3`
  help: did you mean `kv2`?
34 bad-value: `min`: it is not a whole number in range
  help: write a whole number, 0 or more
35 not-in-effect: `after` is not in effect in this version
36 not-in-effect: `connect_timeout` is not in effect in this version
37 not-in-effect: `ignore_changes` is not in effect in this version
",
    );
}

#[test]
fn roles_name_groups_that_are_there() {
    errors(
        r#"
cluster "c" {
  workspace = workspace.w
  files     = { "x" = { content = "x", on = ["workers.two"] } }
  head {
    setup {
      step "s" {
        phase = "on_start"
        run   = "true"
        on    = ["workers.on"]
      }
    }
  }
  workers "one" {}
  workers "tow" {}
  runtime "kv2" {
    source = "kv2"
    on     = ["head", "workers.on"]
  }
}
"#,
        "
6 bad-file: `files[\"x\"]`: `workers.two`: the cluster has no group `two`
  help: did you mean `workers.tow`?
12 unknown-group: `workers.on`: the cluster has no group `on`
  help: did you mean `workers.one`?
20 unknown-group: `workers.on`: the cluster has no group `on`
  help: did you mean `workers.one`?
",
    );
    let compiled = compiled(
        r#"
cluster "c" {
  workspace = workspace.w
  files     = { "x" = { content = "x", on = ["workers.one"] } }
  head {}
  workers "one" {}
  workers "two" {
    setup {
      step "s" {
        phase = "on_start"
        run   = "true"
        on    = ["workers"]
      }
    }
  }
}
"#,
    );
    let groups = &config(&compiled).groups;
    assert_eq!(of("cluster.c.workers.one", &groups["one"].steps), ["step.host_key", "file[\"x\"]"]);
    assert_eq!(of("cluster.c.workers.two", &groups["two"].steps), ["step.host_key", "step.s"]);
}

#[test]
fn a_quorum_has_its_members() {
    errors(
        r#"
cluster "c" {
  workspace = workspace.w
  head {}
  workers "a" { min = 2 }
  workers "b" { min = 3 }
  runtime "three" { source = "three" }
}
cluster "d" {
  workspace = workspace.w
  head {}
  workers "a" { min = 0 }
  runtime "kv" { source = "kv" }
}
cluster "e" {
  workspace = workspace.w
  head {}
  workers "a" {}
  runtime "kv" {
    source = "kv"
    on     = ["all"]
  }
}
cluster "f" {
  workspace = workspace.w
  head {}
  runtime "kv" { source = "kv" }
}
"#,
        "
7 no-quorum: runtime `three` needs 3 members for its quorum, and cluster.c.workers.a keeps up 2
  help: write `min = 3` or more, or leave the runtime out of the group's `runtimes`
14 no-quorum: runtime `kv` needs 1 members for its quorum, and cluster.d.workers.a keeps up 0
  help: write `min = 1` or more, or leave the runtime out of the group's `runtimes`
23 no-members: runtime `kv` forms a quorum of workers, and cannot run on the head
  help: write `on = [\"workers\"]`
29 no-nodes: runtime `kv` runs on no node: it belongs on workers
  help: say where with `on`, or add what it runs on to the cluster
",
    );
}

#[test]
fn two_runtimes_do_not_offer_one_service() {
    let other = KV2.replace("module \"kv2\"", "module \"plain\"");
    let source = format!(
        "{START}{}",
        "cluster \"c\" {\n  workspace = workspace.w\n  head {}\n  workers \"a\" {}\n  runtime \"kv2\" { source = \"kv2\" }\n  runtime \"plain\" { source = \"plain\" }\n}\n"
    );
    let files = [("main.hcl", source.as_str()), ("kv2/module.hcl", KV2), ("plain/module.hcl", &other)];
    let (_, map, found) = compile_sources(&MemorySources::new(files));
    let expected =
        "8 duplicate-service: two runtimes offer a service `kv2`: `kv2` and `plain`\n  help: leave one of them out of the cluster\n";
    assert_eq!(describe(&map, &found), expected);
}

#[test]
fn a_group_that_names_its_runtimes_has_those() {
    let source = |on: &str| {
        format!(
            "cluster \"c\" {{\n  workspace = workspace.w\n  head {{}}\n  workers \"a\" {{ runtimes = [\"plain\"] }}\n  workers \"b\" {{ runtimes = [] }}\n  \
             runtime \"plain\" {{\n    source = \"plain\"\n    {on}\n  }}\n}}\n"
        )
    };
    let compiled = compiled(&source(""));
    let groups = &config(&compiled).groups;
    assert_eq!(of("cluster.c.workers.a", &groups["a"].steps), ["step.host_key", "runtime.plain.go"]);
    assert_eq!(of("cluster.c.workers.b", &groups["b"].steps), ["step.host_key"]);
    errors(
        &source("on = [\"head\"]"),
        "
10 elsewhere: runtime `plain` is named by cluster.c.workers.a and says that it runs elsewhere
  help: add `\"workers.a\"` to its `on`
",
    );
}
