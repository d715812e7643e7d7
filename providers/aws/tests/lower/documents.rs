//! The IAM documents, as they are read by people: one file each.

use cloudtik_model::Value;
use serde_json::Value as Json;

use crate::support::{attribute, compiled, facts, golden};

const SPEC: &str = "provider \"aws\" {}\nworkspace \"w\" {\n storage \"default\" {}\n storage \"input\" {\n worker_access = \"read\"\n }\n\
                      storage \"secret\" {\n worker_access = \"none\"\n kms_key_id = \"arn:aws:kms:us-west-2:123456789012:key/k\"\n }\n\
                      database \"catalog\" {\n engine = \"postgres\"\n }\n}\n";

fn pretty(document: &Value) -> String {
    let json: Json = serde_json::from_str(document.as_str().unwrap()).unwrap();
    format!("{}\n", serde_json::to_string_pretty(&json).unwrap())
}

#[test]
fn heads_and_workers_may_do_what_the_files_say() {
    let graph = compiled(SPEC, &facts(SPEC));
    for who in ["head", "workers"] {
        let document = attribute(&graph, &format!("workspace.w.iam_role_policy.{who}"), "policy");
        golden(&format!("iam/{who}.json"), &pretty(&document));
    }
    golden("iam/trust.json", &pretty(&attribute(&graph, "workspace.w.iam_role.head", "assume_role_policy")));
}

/// A document is read back as it was written only in this form.
#[test]
fn documents_are_compact_and_in_order() {
    let graph = compiled(SPEC, &facts(SPEC));
    for who in ["head", "workers"] {
        let document = attribute(&graph, &format!("workspace.w.iam_role_policy.{who}"), "policy");
        let text = document.as_str().unwrap();
        let json: std::collections::BTreeMap<String, Json> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
        // What AWS takes of all documents that are written into one role.
        assert!(text.len() < 10_240, "{}", text.len());
    }
}
