//! `proxy`: what steps and services see of it, and clusters of other projects.

use cloudtik_model::{Address, Graph, Input, Node, Value};
use cloudtik_provider_api::Facts;

use crate::support::{answer, attribute, compiled, describe, facts, run, templates};

/// A workspace with a proxy, and a cluster with this in it.
fn spec(cluster: &str) -> String {
    format!(
        "workspace \"w\" {{\n firewall {{\n ssh_from = [\"203.0.113.7/32\"]\n }}\n network {{\n cidr = \"10.9.0.0/16\"\n }}\n proxy {{\n http = \"http://p.example:3128\"\n https = \"http://q.example:3128\"\n no_proxy = [\"mirror.example\"]\n }}\n}}\n\
         cluster \"c\" {{\n workspace = workspace.w\n{cluster}\n}}\n"
    )
}

const SETUP: &str = "head {}\nsetup {\n before_runtimes = [\"true\"]\n}\nworkers \"g\" {}\n";

#[track_caller]
fn environment(graph: &Graph, step: &str) -> Vec<(String, String)> {
    let address: Address = step.parse().unwrap();
    let Some(Node::Step(step)) = graph.nodes.get(&address) else { panic!("{address} is no step") };
    let Some(Input::Value(env)) = step.inputs.get("env") else { return Vec::new() };
    env.entries().unwrap().iter().map(|(name, value)| (name.to_string(), value.as_str().unwrap().to_owned())).collect()
}

fn of(parts: &[(&str, &str)]) -> Vec<(String, String)> {
    parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const INSIDE: &str = "localhost,127.0.0.1,169.254.169.254,10.9.0.0/16,.cloudtik,.us-west-2.compute.internal";

#[test]
fn steps_and_the_controller_see_the_proxy() {
    let source = spec(SETUP);
    let graph = compiled(&source, &facts(&source));
    let no_proxy = format!("{INSIDE},mirror.example");
    let expected = of(&[
        ("HTTPS_PROXY", "http://q.example:3128"),
        ("HTTP_PROXY", "http://p.example:3128"),
        ("NO_PROXY", &no_proxy),
        ("http_proxy", "http://p.example:3128"),
        ("https_proxy", "http://q.example:3128"),
        ("no_proxy", &no_proxy),
    ]);
    for step in ["cluster.c.head.setup.before_runtimes[0]", "cluster.c.head.controller.daemon"] {
        assert_eq!(environment(&graph, step), expected, "{step}");
    }
    let (compiled, ..) = run(&source, &facts(&source));
    let config = compiled.head_configs.into_values().next().unwrap();
    assert!(format!("{:?}", config.groups["g"].steps).contains("http://p.example:3128"));
    assert_eq!(templates(&source, &facts(&source)).len(), 1);
}

#[test]
fn the_cluster_wins_one_by_one_and_env_over_both() {
    let more = "proxy {\n http = \"http://own.example:1\"\n no_proxy = []\n}\nenv = { HTTPS_PROXY = \"http://env.example:1\" }\n";
    let source = spec(&format!("{SETUP}{more}"));
    let graph = compiled(&source, &facts(&source));
    let expected = of(&[
        ("HTTPS_PROXY", "http://env.example:1"),
        ("HTTP_PROXY", "http://own.example:1"),
        ("NO_PROXY", INSIDE),
        ("http_proxy", "http://own.example:1"),
        ("https_proxy", "http://q.example:3128"),
        ("no_proxy", INSIDE),
    ]);
    assert_eq!(environment(&graph, "cluster.c.head.setup.before_runtimes[0]"), expected);
}

#[test]
fn without_a_proxy_there_is_no_environment() {
    let source = spec(SETUP).replace("http = \"http://p.example:3128\"\n https = \"http://q.example:3128\"", "");
    let graph = compiled(&source, &facts(&source));
    assert_eq!(environment(&graph, "cluster.c.head.setup.before_runtimes[0]"), []);
}

/// What another project reads in the record is what it sees.
#[test]
fn clusters_of_other_projects_see_it() {
    let own = spec(SETUP);
    let shown = format!("{:?}", attribute(&compiled(&own, &facts(&own)), "workspace.w.record", "value"));
    assert!(shown.contains("http://p.example:3128") && shown.contains("mirror.example"), "{shown}");

    let source = format!("data \"workspace\" \"w\" {{\n name = \"w\"\n}}\ncluster \"c\" {{\n workspace = data.workspace.w\n{SETUP}}}\n");
    let record = r#"{"version":1,"exports":{"name":"w","mode":"public-head","network":{"cidr":"10.9.0.0/16","public_subnet_ids":["subnet-1"],"private_subnet_ids":["subnet-2"]},"proxy":{"http":"http://p.example:3128"}}}"#;
    let kept = Value::list([Value::object([("value", Value::from(record))])]);
    let (asked, ..) = run(&source, &Facts::new());
    let questions = asked.questions.values().flatten();
    let facts: Facts = questions
        .map(|question| {
            let answer = if question.question == "data" { kept.clone() } else { answer(question) };
            (question.key.clone(), answer)
        })
        .collect();
    let graph = compiled(&source, &facts);
    let seen = environment(&graph, "cluster.c.head.setup.before_runtimes[0]");
    // This record is older than the names in it.
    let inside = INSIDE.trim_end_matches(",.us-west-2.compute.internal");
    assert_eq!(
        seen,
        of(&[("HTTP_PROXY", "http://p.example:3128"), ("NO_PROXY", inside), ("http_proxy", "http://p.example:3128"), ("no_proxy", inside)])
    );
}

#[test]
fn names_of_the_workspace_end_as_it_says() {
    let of = |domain: &str| {
        let source = spec(SETUP).replacen("workspace \"w\" {\n", &format!("workspace \"w\" {{\n domain = \"{domain}\"\n"), 1);
        let output = "output \"o\" {\n value = workspace.w.domain\n}\n";
        (format!("{source}{output}"), domain.to_owned())
    };
    let (source, domain) = of("data.example");
    let graph = compiled(&source, &facts(&source));
    let seen = environment(&graph, "cluster.c.head.setup.before_runtimes[0]");
    let (_, inside) = seen.iter().find(|(name, _)| name == "no_proxy").unwrap();
    assert_eq!(*inside, format!("{},mirror.example", INSIDE.replace(".cloudtik", ".data.example")));
    assert_eq!(graph.outputs["o"].value.as_str(), Some(&*domain));
    let record = format!("{:?}", attribute(&graph, "workspace.w.record", "value"));
    assert!(record.contains("data.example"), "{record}");

    for wrong in [".example", "example.", "Example", "a..b", "-a.b", ""] {
        let (source, _) = of(wrong);
        let (_, map, found) = run(&source, &facts(&source));
        assert_eq!(describe(&map, &found).trim(), format!("2 error bad-value: `domain`: `{wrong}` is no suffix of names in DNS"));
    }
}

#[test]
fn a_proxy_is_no_secret() {
    let says = |url: &str, expected: &str| {
        let source = format!("workspace \"w\" {{\n proxy {{\n http = {url}\n }}\n}}\n");
        let (_, map, found) = run(&source, &Facts::new());
        assert_eq!(describe(&map, &found).trim(), expected);
    };
    let secret = "3 error proxy-password: `http` names who logs in to the proxy, and everybody who works on a node would read it";
    says("\"http://me:secret@p.example:3128\"", secret);
    says("\"http://me@p.example\"", secret);
    says("sensitive(\"http://p.example\")", secret);
    says("\"p.example:3128\"", "3 error bad-proxy: `http` is no address of a proxy");
    says("\"http://\"", "3 error bad-proxy: `http` is no address of a proxy");
    says("\"http://p.example:3128/\"", "");
    says("\"http://[fd00::1]:3128\"", "");
    for wrong in [
        "http://p.example:port",
        "http://p.example:0",
        "http://p.example:3128/path",
        "http://p_example",
        "http://[p.example]",
        "socks5://p.example",
    ] {
        says(&format!("\"{wrong}\""), "3 error bad-proxy: `http` is no address of a proxy");
    }
}
