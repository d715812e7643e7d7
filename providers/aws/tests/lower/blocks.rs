//! What Terraform writes as blocks may be written so, and be made by `dynamic`.

use cloudtik_provider_api::Facts;

use crate::support::{attribute, compiled, describe, facts, run};

fn instance(inside: &str) -> String {
    format!("resource \"aws_instance\" \"i\" {{\n ami = \"ami-1\"\n instance_type = \"m5.large\"\n{inside}\n}}\n")
}

#[track_caller]
fn says(source: &str, expected: &str) {
    let (_, map, found) = run(source, &Facts::new());
    assert_eq!(describe(&map, &found).trim(), expected, "{source}");
}

#[test]
fn a_block_is_an_object_of_a_list() {
    let value = |source: &str, at: &str, name: &str| attribute(&compiled(source, &Facts::new()), at, name);
    let list = value(&instance("root_block_device = [{ volume_size = 8 }]"), "aws_instance.i", "root_block_device");
    let block = value(&instance("root_block_device {\n volume_size = 4 + 4\n}"), "aws_instance.i", "root_block_device");
    assert_eq!(list, block);
    let made = "dynamic \"root_block_device\" {\n for_each = { size = 8 }\n iterator = disk\n content {\n volume_size = disk.value\n }\n}";
    assert_eq!(list, value(&instance(made), "aws_instance.i", "root_block_device"));
}

#[test]
fn what_a_block_refers_to_comes_before() {
    let source = format!("resource \"value\" \"v\" {{ input = 8 }}\n{}", instance("root_block_device {\n volume_size = value.v.input\n}"));
    let graph = compiled(&source, &Facts::new());
    let depends_on = &crate::support::resource(&graph, "aws_instance.i").depends_on;
    assert!(depends_on.contains(&"value.v".parse::<cloudtik_model::Address>().unwrap()), "{depends_on:?}");
}

#[test]
fn rules_of_a_firewall_are_made_too() {
    let workspace = |inside: &str| format!("workspace \"w\" {{\n firewall {{\n{inside}\n }}\n}}\n");
    let made = workspace(
        "dynamic \"ingress\" {\n for_each = { web = 80, api = 8080 }\n labels = [ingress.key]\n content {\n ports = [tostring(ingress.value)]\n from = [\"10.0.0.0/8\"]\n }\n}",
    );
    let written = workspace(
        "ingress \"web\" {\n ports = [\"80\"]\n from = [\"10.0.0.0/8\"]\n}\ningress \"api\" {\n ports = [\"8080\"]\n from = [\"10.0.0.0/8\"]\n}",
    );
    let rules = |source: &str| crate::support::addresses(&compiled(source, &facts(source)));
    assert_eq!(rules(&made), rules(&written));
    assert!(rules(&made).contains("api:10.0.0.0/8:8080"), "{}", rules(&made));
}

#[test]
fn wrong_blocks_are_errors() {
    says(
        &instance("root_block_device {\n volume_sise = 8\n}"),
        "5 error unknown-attribute: `root_block_device` has no attribute `volume_sise`",
    );
    says(&instance("root_block_device {\n disk {}\n}"), "5 error unknown-block: `root_block_device` has no block `disk`");
    says(
        &instance("dynamic \"root_block_device\" {\n for_each = []\n content {\n volume_sise = 8\n }\n}"),
        "7 error unknown-attribute: `root_block_device` has no attribute `volume_sise`",
    );
    says(&instance("root_block_device \"a\" {}"), "4 error too-many-labels: `root_block_device` takes no label");
    says(
        &instance("root_block_device {}\nroot_block_device = []"),
        "4 error duplicate-block: `root_block_device` is written as an attribute and as a block",
    );
    says(&instance("ami {}"), "4 error block-for-attribute: `ami` is an attribute, not a block");
    says(
        &instance("root_block_device {\n volume_size = \"big\"\n}"),
        "5 error wrong-type: `volume_size` is a number and a string was given",
    );
}
