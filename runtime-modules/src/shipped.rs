//! The modules that are part of the binary.

use cloudtik_model::{Diagnostics, MemorySources, SourceMap, Span};

use crate::load::load_folder;
use crate::module::Module;

/// Name, and its files by their path below the module's folder.
const SHIPPED: &[(&str, &[(&str, &str)])] = &[
    (
        "etcd",
        &[
            ("module.hcl", include_str!("../etcd/module.hcl")),
            ("templates/etcd.yaml.hbs", include_str!("../etcd/templates/etcd.yaml.hbs")),
            ("files/start.sh", include_str!("../etcd/files/start.sh")),
        ],
    ),
    (
        "nginx",
        &[
            ("module.hcl", include_str!("../nginx/module.hcl")),
            ("templates/nginx.conf.hbs", include_str!("../nginx/templates/nginx.conf.hbs")),
        ],
    ),
];

/// The folder that messages show for a shipped module.
const FOLDER: &str = "runtime-modules";

/// The names of the modules that are part of the binary, sorted.
pub fn shipped_names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// A module that is part of the binary. `None`: there is none of that name.
pub fn load_shipped(name: &str, map: &mut SourceMap) -> Option<(Option<Module>, Diagnostics)> {
    let (_, files) = SHIPPED.iter().find(|(shipped, _)| *shipped == name)?;
    let folder = format!("{FOLDER}/{name}");
    let sources = MemorySources::new(files.iter().map(|(path, text)| (format!("{folder}/{path}"), text)));
    Some(load_folder(name, &sources, &folder, Span::NONE, map))
}
