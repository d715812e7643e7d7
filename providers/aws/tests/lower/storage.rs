//! Object stores that are there already: used, and never changed or deleted.

use cloudtik_model::{Graph, Value};
use cloudtik_provider_api::Facts;

use crate::support::{attribute, compiled, describe, facts, run};

/// A workspace in which this stands, with an output of a store.
fn spec(more: &str, output: &str) -> String {
    format!("workspace \"w\" {{\n{more}\n}}\noutput \"o\" {{\n sensitive = true\n value = {output}\n}}\n")
}

const SHARED: &str = "storage \"shared\" {\n existing = \"s3://company-data/etl\"\n worker_access = \"read\"\n}\n";
const FOREIGN: &str = "storage \"foreign\" {\n existing = \"s3://partner\"\n access_key = \"AKIA-ONE\"\n secret_key = \"tell-nobody\"\n}\n";

fn output(graph: &Graph) -> Value {
    graph.outputs["o"].value.clone()
}

fn text(graph: &Graph, address: &str, name: &str) -> String {
    format!("{:?}", attribute(graph, address, name))
}

#[test]
fn it_is_used_and_not_made() {
    let source = spec(&format!("{SHARED}{FOREIGN}"), "workspace.w.storage.shared");
    let graph = compiled(&source, &facts(&source));
    assert!(!graph.nodes.keys().any(|address| address.to_string().starts_with("workspace.w.storage")));
    let export = output(&graph);
    for (name, value) in [("name", "company-data"), ("uri", "s3://company-data/etl"), ("region", "eu-central-1")] {
        assert_eq!(export.get(name).and_then(Value::as_str), Some(value), "{name}");
    }
    let record = text(&graph, "workspace.w.record", "value");
    assert!(record.contains("s3://company-data/etl") && record.contains("s3://partner"), "{record}");
    assert!(!record.contains("AKIA-ONE") && !record.contains("tell-nobody"), "{record}");
    // Heads read and write; workers as it says. Where nodes show keys their identities have no rights.
    let (head, workers) =
        (text(&graph, "workspace.w.iam_role_policy.head", "policy"), text(&graph, "workspace.w.iam_role_policy.workers", "policy"));
    for policy in [&head, &workers] {
        assert!(policy.contains("arn:aws:s3:::company-data/etl/*") && !policy.contains("partner"), "{policy}");
    }
    assert!(head.contains("s3:PutObject") && !workers.contains("s3:PutObject"));
}

#[test]
fn what_nodes_show_is_seen_by_nobody() {
    let source = spec(FOREIGN, "workspace.w.storage.foreign");
    let graph = compiled(&source, &facts(&source));
    let export = output(&graph);
    assert!(["access_key", "secret_key"].iter().all(|name| export.get(name).unwrap().is_sensitive()), "{export:?}");
    let open = source.replace(" sensitive = true\n", "");
    let (_, map, found) = run(&open, &facts(&open));
    assert_eq!(describe(&map, &found).trim(), "10 error sensitive-output: the value of output `o` is sensitive");
}

#[test]
fn a_stack_has_none_and_knows_it() {
    let deployed = format!("deploy = \"cloudformation\"\n{SHARED}{FOREIGN}");
    let source = spec(&deployed, "workspace.w.storage.shared.region");
    let graph = compiled(&source, &facts(&source));
    let template = text(&graph, "workspace.w.stack", "template_body");
    assert!(template.contains("company-data") && !template.contains("AWS::S3::Bucket") && !template.contains("AKIA-ONE"), "{template}");
    assert_eq!(output(&graph).as_str(), Some("eu-central-1"));
    // Where nobody is asked the region is a parameter.
    let (compiled, map, found) = run(&source, &Facts::new());
    assert!(!found.has_errors(), "{}", describe(&map, &found));
    assert!(text(&compiled.graph, "workspace.w.stack", "template_body").contains("StorageSharedRegion"));
}

#[track_caller]
fn says(store: &str, expected: &str) {
    let source = format!("workspace \"w\" {{\n storage \"s\" {{\n{store}\n }}\n}}\n");
    let (_, map, found) = run(&source, &facts(&source));
    assert_eq!(describe(&map, &found).trim(), expected, "{store}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let made = |name| {
        format!(
            "4 error existing-storage: `{name}` is about a store that is made, and this one is there already: it is never changed or deleted"
        )
    };
    says("existing = \"s3://bucket\"\nversioning = true", &made("versioning"));
    says("existing = \"s3://bucket\"\nname = \"other\"", &made("name"));
    says("existing = \"s3://bucket\"\non_destroy = \"delete\"", &made("on_destroy"));
    says(
        "existing = \"s3://bucket\"\nlifecycle {\n prevent_destroy = true\n }",
        "2 error existing-storage: a store that is there already is never changed or deleted, so there is nothing for `lifecycle` to say",
    );
    says("existing = \"bucket\"", "3 error storage-uri: `existing` is no URI of a store");
    says("existing = \"s3://\"", "3 error storage-uri: `existing` is no URI of a store");
    says(
        "existing = \"s3://a:b@bucket\"",
        "3 error storage-keys: `existing` names who uses the store, and everybody who works on a node would read it",
    );
    for uri in ["gs://bucket", "s3://Not_A_Bucket", "s3://bucket/*"] {
        says(&format!("existing = \"{uri}\""), &format!("3 error storage-uri: `{uri}` is no object store of AWS, and no folder in one"));
    }
    says("existing = \"s3://bucket\"\naccess_key = \"a\"", "4 error storage-keys: `access_key` is of no use without `secret_key`");
    says(
        "access_key = \"a\"\nsecret_key = \"s\"",
        "3 error storage-keys: keys are for a store that is there already: one that is made knows nodes by their identity",
    );
    says(
        "existing = \"s3://bucket\"\naccess_key = \"a\"\nsecret_key = \"s\"\nworker_access = \"read\"",
        "6 warning no-effect: `worker_access` has no effect beside `access_key`: it is about identities of nodes, which have keys here",
    );
}
