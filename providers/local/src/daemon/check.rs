//! What a request must be before anything is done for it.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::node::HOST_KEY_SECRET;
use crate::failure::permanent;
use crate::options::{NODE_VARIABLE, SOCKET_VARIABLE};
use crate::protocol::{
    BucketSpec, CloudError, CreateRequest, Form, InstanceSpec, METADATA_BYTES_MAX, ResourceSpec, TAG_BYTES_MAX, TAGS_MAX,
};

/// Longest token, operation id, address and the like. An address of four names of 63 letters with keys stays below half of it.
const TEXT_BYTES_MAX: usize = 1024;

/// Longest host name: a label of DNS.
const NAME_BYTES_MAX: usize = 63;

pub(crate) fn create(request: &CreateRequest) -> Result<(), CloudError> {
    for (what, text) in [("token", &request.token), ("op_id", &request.op_id), ("address", &request.address)] {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return Err(permanent("bad_request", format!("a create needs a `{what}` of at most {TEXT_BYTES_MAX} bytes")));
        }
    }
    tags(&request.tags)?;
    spec(&request.spec)?;
    if let ResourceSpec::LocalInstance(_) = &request.spec
        && !request.secrets.contains_key(HOST_KEY_SECRET)
    {
        return Err(permanent("bad_request", format!("a create of an instance needs the secret `{HOST_KEY_SECRET}`")));
    }
    Ok(())
}

pub(crate) fn tags(tags: &BTreeMap<String, String>) -> Result<(), CloudError> {
    if tags.len() > TAGS_MAX {
        return Err(permanent("too_many_tags", format!("{} tags are more than the {TAGS_MAX} that are allowed", tags.len())));
    }
    match tags.iter().find(|(key, value)| key.is_empty() || key.len().saturating_add(value.len()) > TAG_BYTES_MAX) {
        Some((key, _)) => Err(permanent("bad_tag", format!("the tag `{key}` has no name, or more than {TAG_BYTES_MAX} bytes"))),
        None => Ok(()),
    }
}

pub(crate) fn spec(spec: &ResourceSpec) -> Result<(), CloudError> {
    match spec {
        ResourceSpec::LocalNetwork(network) => label("name", &network.name),
        ResourceSpec::LocalFirewall(firewall) => label("name", &firewall.name),
        ResourceSpec::LocalBucket(bucket) => self::bucket(bucket),
        ResourceSpec::LocalInstance(instance) => self::instance(instance),
    }
}

pub(crate) fn metadata(values: &BTreeMap<String, String>) -> Result<(), CloudError> {
    let size: usize = values.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum();
    if size > METADATA_BYTES_MAX {
        return Err(permanent("metadata_too_long", format!("{size} bytes of status values are more than {METADATA_BYTES_MAX}")));
    }
    Ok(())
}

fn bucket(bucket: &BucketSpec) -> Result<(), CloudError> {
    label("name", &bucket.name)?;
    absolute("root", &bucket.root)
}

fn instance(instance: &InstanceSpec) -> Result<(), CloudError> {
    label("name", &instance.name)?;
    absolute("root", &instance.root)?;
    if instance.ssh_port == Some(0) || instance.publish.iter().any(|(host, node)| *host == 0 || *node == 0) {
        return Err(permanent("bad_port", "0 is not a port"));
    }
    if let Some(user) = &instance.ssh_user {
        let bad = user.is_empty() || user.len() > 32 || user.bytes().any(|byte| !byte.is_ascii_alphanumeric() && !b"._-".contains(&byte));
        if bad {
            return Err(permanent("bad_user", format!("`{user}` is not a login name")));
        }
    }
    if let Some(key) = instance.authorized_keys.iter().find(|key| key.contains(['\n', '\r', '\0'])) {
        let first = key.lines().next().unwrap_or_default();
        return Err(permanent("bad_key", format!("the public key `{first}` is more than one line")));
    }
    for (name, value) in &instance.env {
        if name.is_empty()
            || name.contains(['=', '\0'])
            || value.contains('\0')
            || [NODE_VARIABLE, SOCKET_VARIABLE].contains(&name.as_str())
        {
            return Err(permanent("bad_env", format!("`{name}` cannot be set in a node's environment")));
        }
    }
    mounts(instance)
}

fn mounts(instance: &InstanceSpec) -> Result<(), CloudError> {
    for (path, folder) in &instance.mounts {
        if instance.form == Form::Plain {
            let message = format!("`{path}` cannot be mounted: nodes of the plain form have no root of their own");
            return Err(permanent("needs_own_root", message));
        }
        absolute("mounts", Path::new(path))?;
        absolute("mounts", folder)?;
        if !folder.is_dir() {
            return Err(permanent("no_such_folder", format!("`{}`, to be mounted at `{path}`, is not a folder", folder.display())));
        }
    }
    Ok(())
}

/// A label of DNS: it becomes a host name or the name of a folder.
pub(crate) fn label(what: &str, text: &str) -> Result<(), CloudError> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(good) || text.starts_with('-') || text.ends_with('-') {
        let message = format!("`{what}` is `{text}`; it has at most {NAME_BYTES_MAX} lower case letters, digits and inner hyphens");
        return Err(permanent("bad_name", message));
    }
    Ok(())
}

fn absolute(what: &str, path: &Path) -> Result<(), CloudError> {
    let normal = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    if !path.is_absolute() || !normal || path.components().count() < 2 || path.to_str().is_none_or(|text| text.contains('\0')) {
        let message = format!("`{what}` is `{}`; it needs an absolute path without `..`, in UTF-8", path.display());
        return Err(permanent("bad_path", message));
    }
    Ok(())
}

/// Refuses an update of what cannot change in place, by its name.
pub(crate) fn changes_in_place(old: &ResourceSpec, new: &ResourceSpec) -> Result<(), CloudError> {
    let kept = match (old, new.clone()) {
        (ResourceSpec::LocalFirewall(old), ResourceSpec::LocalFirewall(mut new)) => {
            new.rules.clone_from(&old.rules);
            ResourceSpec::LocalFirewall(new)
        }
        (ResourceSpec::LocalInstance(old), ResourceSpec::LocalInstance(mut new)) => {
            new.publish.clone_from(&old.publish);
            new.max_workers = old.max_workers;
            new.cpus.clone_from(&old.cpus);
            new.memory_gib.clone_from(&old.memory_gib);
            ResourceSpec::LocalInstance(new)
        }
        (_, new) => new,
    };
    if &kept == old {
        return Ok(());
    }
    let differing = differing_attributes(old, &kept).join("`, `");
    Err(permanent("immutable", format!("`{differing}` of a {} cannot change in place", old.kind())))
}

fn differing_attributes(old: &ResourceSpec, new: &ResourceSpec) -> Vec<String> {
    if old.kind() != new.kind() {
        return vec!["kind".to_owned()];
    }
    let attributes = |spec: &ResourceSpec| {
        let value = serde_json::to_value(spec).unwrap_or_default();
        value.get(spec.kind().name()).and_then(|inner| inner.as_object().cloned()).unwrap_or_default()
    };
    let (old, new) = (attributes(old), attributes(new));
    old.keys().filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{FirewallSpec, NetworkSpec};

    #[test]
    fn names_paths_and_tags_are_checked() {
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", &"a".repeat(64)] {
            assert!(label("name", bad).is_err(), "{bad}");
        }
        label("name", "head-0").unwrap();
        for bad in ["", "/", "a", "/a/../b"] {
            assert!(absolute("root", Path::new(bad)).is_err(), "{bad}");
        }
        absolute("root", Path::new("/a/b")).unwrap();
        let many = (0..=TAGS_MAX).map(|number| (format!("t{number}"), String::new())).collect();
        assert!(tags(&many).is_err());
    }

    #[test]
    fn an_update_names_what_cannot_change() {
        let network = |name: &str| ResourceSpec::LocalNetwork(NetworkSpec { name: name.into(), form: Form::Plain, cidr: None });
        changes_in_place(&network("a"), &network("a")).unwrap();
        assert!(changes_in_place(&network("a"), &network("b")).unwrap_err().message.contains("`name`"));
        let firewall =
            |rules: usize| ResourceSpec::LocalFirewall(FirewallSpec { name: "a".into(), network: None, rules: vec![1.into(); rules] });
        changes_in_place(&firewall(1), &firewall(2)).unwrap();
        assert!(changes_in_place(&firewall(1), &network("a")).unwrap_err().message.contains("`kind`"));
    }
}
