//! The specs that are measured: the same for both programs but for the name of the kind.

/// One block for each resource. The text is long enough to be a value and not a token.
pub(crate) fn blocks(kind: &str, count: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        text.push_str(&format!("resource \"{kind}\" \"r{i}\" {{\n  input = \"the value of block {i}\"\n}}\n"));
    }
    text
}

/// The same resources by one block.
pub(crate) fn for_each(kind: &str, count: usize) -> String {
    format!(
        "resource \"{kind}\" \"r\" {{\n  for_each = toset([for i in range({count}) : \"r${{i}}\"])\n  input    = \"the value of block ${{each.key}}\"\n}}\n"
    )
}

/// Ten layers, each of which refers to the one below, instance by instance.
pub(crate) fn layers(kind: &str, count: usize) -> String {
    let each = count / 10;
    let mut text =
        format!("resource \"{kind}\" \"l0\" {{\n  for_each = toset([for i in range({each}) : \"r${{i}}\"])\n  input    = each.key\n}}\n");
    for layer in 1..10 {
        let below = layer - 1;
        text.push_str(&format!(
            "resource \"{kind}\" \"l{layer}\" {{\n  for_each = resource.{kind}.l{below}\n  input    = \"${{each.value.id}}/{layer}\"\n}}\n"
        ));
    }
    text
}
