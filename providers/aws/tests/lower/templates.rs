//! Templates of CloudFormation, one file for each workspace: as they are emitted without asking anybody, and with the answers of AWS.

use cloudtik_aws::AwsProvider;
use cloudtik_model::Diagnostics;
use cloudtik_provider_api::{Facts, Provider as _};
use serde_json::Value as Json;

use crate::MODES;
use crate::support::{attribute, compiled, describe, facts, golden, run};

/// A workspace as a template, with what is said of it.
fn emitted(source: &str, facts: &Facts) -> (String, String) {
    let (compiled, map, found) = run(source, facts);
    assert!(!found.has_errors(), "{}", describe(&map, &found));
    let workspace = compiled.workspaces.values().next().unwrap();
    let config = &compiled.graph.providers[&workspace.provider].attributes;
    let (text, found): (String, Diagnostics) = AwsProvider::new(None).emit("cloudformation", config, workspace, facts).unwrap();
    (ids(&text), describe(&map, &found))
}

/// With ids as AWS gives them: those of the other tests can be read, and the linter knows that they are none.
fn ids(text: &str) -> String {
    [("vpc-shared", "vpc-0123456789abcdef0"), ("vpc-client", "vpc-0fedcba9876543210")]
        .iter()
        .fold(text.to_owned(), |text, (ours, theirs)| text.replace(ours, theirs))
}

#[test]
fn what_a_template_has_of_each_mode() {
    for (name, workspace) in MODES {
        for (known, file) in
            [(facts(workspace), format!("cloudformation/{name}.json")), (Facts::new(), format!("cloudformation/{name}-offline.json"))]
        {
            let (text, said) = emitted(workspace, &known);
            assert_eq!(said, "", "{file}");
            golden(&file, &text);
        }
    }
}

fn with_stack(workspace: &str) -> String {
    workspace.replacen("{\n", "{\n deploy = \"cloudformation\"\n", 1)
}

/// A stack is made of the template that is emitted with the same answers.
#[test]
fn a_stack_has_the_template_that_is_emitted() {
    for (name, workspace) in MODES.iter().filter(|(name, _)| *name != "identities") {
        let (text, _) = emitted(workspace, &facts(workspace));
        let source = with_stack(workspace);
        let graph = compiled(&source, &facts(&source));
        let body = attribute(&graph, "workspace.w.stack", "template_body");
        let (emitted, deployed): (Json, Json) =
            (serde_json::from_str(&text).unwrap(), serde_json::from_str(&ids(body.as_str().unwrap())).unwrap());
        assert!(emitted == deployed, "{name}");
        assert!(attribute(&graph, "workspace.w.stack", "parameters").entries().is_some_and(std::collections::BTreeMap::is_empty), "{name}");
    }
}
