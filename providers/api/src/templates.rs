//! Templates of clusters that are the same for every provider without types of machines: they say what a machine has.

/// By size: `small`, `medium`, `standard`, `large`, `very-large`, each also with more memory.
pub const TEMPLATES_BY_SIZE: &str = include_str!("templates/sizes.hcl");

/// With GPUs: `gpu/MODEL/SIZE`.
pub const TEMPLATES_WITH_GPUS: &str = include_str!("templates/gpu.hcl");
