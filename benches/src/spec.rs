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
