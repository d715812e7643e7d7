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

/// What a stack cannot have: parts in another region or account.
fn is_for_stacks(name: &str) -> bool {
    name != "peered-elsewhere"
}

#[test]
fn what_is_not_for_stacks_is_refused() {
    let (_, workspace) = MODES.iter().find(|(mode, _)| *mode == "peered-elsewhere").unwrap();
    let source = workspace.replacen("workspace \"w\" {\n", "workspace \"w\" {\n deploy = \"cloudformation\"\n", 1);
    let (_, map, found) = run(&source, &facts(&source));
    let said = describe(&map, &found);
    assert!(said.contains("a stack lies in one account and region"), "{said}");
}

#[test]
fn what_a_template_has_of_each_mode() {
    for (name, workspace) in MODES.iter().copied().filter(|(name, _)| is_for_stacks(name)) {
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
    for (name, workspace) in MODES.iter().filter(|(name, _)| *name != "identities" && is_for_stacks(name)) {
        let (text, _) = emitted(workspace, &facts(workspace));
        let source = with_stack(workspace);
        let graph = compiled(&source, &facts(&source));
        let body = attribute(&graph, "workspace.w.stack", "template_body");
        let (emitted, deployed): (Json, Json) =
            (serde_json::from_str(&text).unwrap(), serde_json::from_str(&ids(body.as_str().unwrap())).unwrap());
        assert!(emitted == deployed, "{name}");
        let parameters = attribute(&graph, "workspace.w.stack", "parameters");
        let secret = parameters.entries().unwrap().values().filter(|value| value.is_sensitive()).count();
        assert_eq!((parameters.entries().unwrap().len(), secret), if *name == "databases" { (2, 2) } else { (0, 0) }, "{name}");
    }
}

/// CloudFormation makes no encrypted parameter: the passwords stand beside the stack, and it is given those of its databases.
#[test]
fn passwords_are_beside_a_stack() {
    let (_, workspace) = MODES.iter().find(|(mode, _)| *mode == "databases").unwrap();
    let source = with_stack(workspace);
    let graph = compiled(&source, &facts(&source));
    let nodes: Vec<String> = graph.nodes.keys().map(ToString::to_string).collect();
    let passwords = ["catalog", "default", "theirs"].map(|label| format!("workspace.w.database_password.{label}"));
    assert_eq!(nodes, passwords.into_iter().chain(["workspace.w.stack".to_owned()]).collect::<Vec<_>>());
    let body = attribute(&graph, "workspace.w.stack", "template_body").as_str().unwrap().to_owned();
    assert!(!body.contains("s3cret"), "{body}");
    let template: Json = serde_json::from_str(&body).unwrap();
    let policies = |name: &str| {
        let resource = &template["Resources"][name];
        [&resource["DeletionPolicy"], &resource["Metadata"]["cloudtik"]["Goes"]].map(|word| word.as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(
        (policies("DatabaseDefault"), policies("DatabaseCatalog")),
        (["RetainExceptOnCreate", "Snapshot"].map(str::to_owned), ["Delete", "Delete"].map(str::to_owned))
    );
    assert_eq!(template["Parameters"]["DatabaseDefaultMasterUserPassword"], serde_json::json!({ "Type": "String", "NoEcho": true }));
}

/// CloudFormation has no options of a peering: they stand beside the stack, which tells the connection.
#[test]
fn options_of_a_peering_are_beside_a_stack() {
    let (_, workspace) = MODES.iter().find(|(mode, _)| *mode == "peered").unwrap();
    let source = with_stack(workspace);
    let graph = compiled(&source, &facts(&source));
    let nodes: Vec<String> = graph.nodes.keys().map(ToString::to_string).collect();
    let options = "workspace.w.vpc_peering_connection_options";
    assert_eq!(nodes, ["workspace.w.stack", options]);
    let connection = attribute(&graph, options, "vpc_peering_connection_id");
    let mut needs = std::collections::BTreeSet::new();
    connection.addresses(&mut needs);
    assert_eq!(needs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["workspace.w.stack"]);
    let body = attribute(&graph, "workspace.w.stack", "template_body");
    let template: Json = serde_json::from_str(body.as_str().unwrap()).unwrap();
    let told = &template["Outputs"]["VpcPeeringConnectionOptionsVpcPeeringConnectionId"];
    assert_eq!(*told, serde_json::json!({ "Value": { "Ref": "VpcPeeringConnection" } }));
}

#[track_caller]
fn refuses(workspace: &str, expected: &str) {
    let source = with_stack(workspace);
    let (_, map, found) = run(&source, &facts(&source));
    assert_eq!(describe(&map, &found).trim(), expected, "{source}");
}

/// What a template cannot say is said, where it stands.
#[test]
fn what_cloudformation_cannot_do_is_refused() {
    let sees = "CloudFormation knows no `ignore_changes`: a stack sets all that its template says";
    refuses("workspace \"w\" {\n lifecycle {\n ignore_changes = [tags]\n }\n}\n", &format!("1 error cloudformation: {sees}"));
    refuses(
        "workspace \"w\" {\n storage \"s\" {\n lifecycle {\n ignore_changes = [tags]\n }\n }\n}\n",
        &format!("3 error cloudformation: {sees}"),
    );
    refuses(
        "workspace \"w\" {\n firewall {\n egress \"dns\" {\n ports = [\"53\"]\n to = [\"10.0.0.0/8\"]\n }\n }\n}\n",
        "1 error cloudformation: the parameter `VpcEndpointS3PrefixList` of the stack is known once workspace.w.vpc_endpoint.s3 is there, \
         which the stack itself makes",
    );
}

/// What stands outside of the workspace comes in by a parameter, and secrets do not show.
#[test]
fn what_is_not_of_the_workspace_is_a_parameter() {
    let key = "resource \"value\" \"key\" {\n input = \"arn:aws:kms:us-west-2:123456789012:key/k\"\n}\n";
    let source = with_stack("workspace \"w\" {\n tags = { of = resource.value.key.id }\n storage \"s\" {}\n}\n") + key;
    let graph = compiled(&source, &facts(&source));
    let body: Json = serde_json::from_str(attribute(&graph, "workspace.w.stack", "template_body").as_str().unwrap()).unwrap();
    assert_eq!(body["Parameters"]["NetworkTagOf"], serde_json::json!({ "Type": "String" }), "{:#}", body["Parameters"]);
    let parameters = attribute(&graph, "workspace.w.stack", "parameters");
    assert_eq!(parameters.entries().map(std::collections::BTreeMap::len), Some(1), "the same value is given once");
    assert!(parameters.get("NetworkTagOf").is_some_and(cloudtik_model::Value::is_deferred));
}
