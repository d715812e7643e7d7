//! What a workspace and a cluster become.

mod cluster;
mod database;
mod firewall;
mod forms;
mod identity;
mod layout;
mod maker;
mod network;
mod static_address;
mod storage;
mod template;
mod workspace;

pub(crate) use cluster::cluster;
pub(crate) use workspace::{native, workspace};

use cloudtik_model::spec::Fields;
use cloudtik_model::{Address, Diagnostic, Diagnostics, Key, Segment, Span};

/// `of.name[index]`
fn indexed(of: &Address, name: &str, index: usize) -> Address {
    of.push(Segment { name: name.into(), key: Some(Key::Index(index as u64)) })
}

/// `of.name["key"]`
fn keyed(of: &Address, name: &str, key: &str) -> Address {
    of.push(Segment { name: name.into(), key: Some(Key::Name(key.into())) })
}

/// Where a field stands, else what is around it.
fn place(fields: &Fields, name: &str, around: Span) -> Span {
    fields.get(name).map(|field| field.span).filter(|span| !span.is_none()).unwrap_or(around)
}

/// Names of tags that only AWS and cloudtik itself may use.
fn check_tags(fields: &Fields, found: &mut Diagnostics) {
    let Some(field) = fields.get("tags") else { return };
    for name in field.value.entries().into_iter().flat_map(|tags| tags.keys()) {
        let of = if name.starts_with(crate::marks::PREFIX) {
            "cloudtik's own"
        } else if name.to_ascii_lowercase().starts_with("aws:") {
            "those of AWS"
        } else {
            continue;
        };
        let title = format!("the tag `{name}` begins as only {of} do");
        found.push(Diagnostic::error("reserved-tag", title).at(field.span).help("give it another name"));
    }
}
