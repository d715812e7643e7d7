//! Large specs: whatever there is many of takes its share and no more.

use super::{Counts, Folder, GROWTH_MAX, blocks, plan};

/// Bytes that the plan of 10,000 values in ten layers may hold at its most.
const LAYERS_HELD_MAX: i64 = 150_000_000;

/// Ten layers, each of which refers to the one below, instance by instance.
fn layers(count: usize) -> String {
    let each = count / 10;
    let first =
        format!("resource \"value\" \"l0\" {{\n  for_each = toset([for i in range({each}) : \"r${{i}}\"])\n  input = each.key\n}}\n");
    let above = |layer: usize| {
        let below = layer - 1;
        format!("resource \"value\" \"l{layer}\" {{\n  for_each = resource.value.l{below}\n  input = \"${{each.value.id}}/{layer}\"\n}}\n")
    };
    (1..10).map(above).fold(first, |text, layer| text + &layer)
}

/// The same with a block for each value.
fn layers_of_blocks(count: usize) -> String {
    let block = |i: usize| match i.checked_sub(count / 10) {
        Some(below) => format!("resource \"value\" \"r{i}\" {{\n  input = \"${{resource.value.r{below}.id}}/{i}\"\n}}\n"),
        None => format!("resource \"value\" \"r{i}\" {{\n  input = \"{i}\"\n}}\n"),
    };
    (0..count).map(block).collect()
}

/// Every instance has a condition that names all instances of a block.
fn conditions(count: usize) -> String {
    format!(
        "resource \"value\" \"all\" {{\n  count = {count}\n  input = count.index\n}}\n\
         resource \"value\" \"r\" {{\n  count = {count}\n  lifecycle {{\n    precondition {{\n\
         \x20     condition = length(resource.value.all) > count.index\n      error_message = \"no\"\n    }}\n  }}\n}}\n"
    )
}

/// A policy that looks at all instances of a block for each change.
fn policy(count: usize) -> String {
    format!(
        "resource \"value\" \"all\" {{\n  count = {count}\n  input = count.index\n}}\n\
         policy \"p\" {{\n  condition = length(resource.value.all) > 0\n  error_message = \"no\"\n}}\n"
    )
}

fn counts(spec: &str) -> Counts {
    let folder = Folder::new(spec);
    let (counts, changes) = plan(&folder.project());
    assert!(changes);
    counts
}

/// Allocations for each, of these numbers: none takes more than those of the smallest.
#[track_caller]
fn linear(spec: fn(usize) -> String, sizes: &[usize]) {
    let each = |count: &usize| counts(&spec(*count)).allocations as f64 / *count as f64;
    let all: Vec<f64> = sizes.iter().map(each).collect();
    let least = all.first().copied().unwrap_or_default();
    assert!(all.iter().all(|each| *each <= least * GROWTH_MAX), "allocations for each of {sizes:?}: {all:?}");
}

#[test]
fn ten_thousand_values_take_four_times_what_a_quarter_of_them_takes() {
    linear(blocks, &[2_500, 10_000]);
}

#[test]
fn ten_layers_take_what_they_hold() {
    for spec in [layers, layers_of_blocks] {
        linear(spec, &[1_000, 4_000]);
    }
    let held = counts(&layers(10_000)).held_max;
    assert!(held < LAYERS_HELD_MAX, "{held} bytes");
}

#[test]
fn whoever_names_all_instances_notes_them_once() {
    linear(conditions, &[1_000, 4_000]);
    linear(policy, &[1_000, 4_000]);
}
