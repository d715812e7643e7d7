//! Object stores of a workspace or a cluster that are there already, which every provider can use.

use cloudtik_model::Value;
use cloudtik_model::spec::Part;

/// A store that is there: it is used, and never changed or deleted.
#[derive(Clone, Copy, Debug)]
pub struct ExistingStore<'p> {
    /// Where it is, as the block says: `s3://BUCKET/PREFIX`.
    pub uri: &'p str,
    part: &'p Part,
}

impl<'p> ExistingStore<'p> {
    /// That of a block, if it names one.
    #[must_use]
    pub fn of(part: &'p Part) -> Option<Self> {
        let uri = part.fields.get("existing")?.value.as_str()?;
        Some(Self { uri, part })
    }

    /// What kind of store it is: `s3` of `s3://BUCKET/PREFIX`.
    #[must_use]
    pub fn scheme(&self) -> &'p str {
        self.uri.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// Its name among stores of its kind: `BUCKET` of `s3://BUCKET/PREFIX`; of a folder, the folder.
    #[must_use]
    pub fn name(&self) -> &'p str {
        let rest = self.rest();
        match rest.split_once('/') {
            Some(("", _)) => rest,
            Some((name, _)) => name,
            None => rest,
        }
    }

    /// What all names in it begin with: `PREFIX` of `s3://BUCKET/PREFIX`; nothing where the whole store is meant.
    #[must_use]
    pub fn prefix(&self) -> &'p str {
        self.rest().strip_prefix(self.name()).unwrap_or_default().trim_matches('/')
    }

    fn rest(&self) -> &'p str {
        self.uri.split_once("://").map_or(self.uri, |(_, rest)| rest)
    }

    /// Whether nodes show keys to it, and not their identity.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.key("access_key").is_some()
    }

    fn key(&self, name: &str) -> Option<Value> {
        let value = &self.part.fields.get(name)?.value;
        (!value.is_null()).then(|| value.clone().marked(true))
    }

    /// As references see it, with what only the provider knows. Its keys are marked, so that they are never shown, and not in the record of the
    /// workspace; they are there where the spec says them.
    #[must_use]
    pub fn export(&self, known: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        let own = [("name", Value::from(self.name())), ("uri", self.uri.into())];
        let keys = ["access_key", "secret_key"].into_iter().filter_map(|name| Some((name, self.key(name)?)));
        Value::object(own.into_iter().chain(known).chain(keys))
    }
}

#[cfg(test)]
mod tests {
    use cloudtik_model::Span;
    use cloudtik_model::spec::Field;

    use super::*;

    fn part(fields: &[(&str, &str)]) -> Part {
        let field = |(name, value): &(&str, &str)| ((*name).into(), Field::new((*value).into(), Span::NONE));
        Part { fields: fields.iter().map(field).collect(), ..Part::default() }
    }

    #[test]
    fn a_uri_has_a_name_and_what_names_in_it_begin_with() {
        for (uri, scheme, name, prefix) in [
            ("s3://logs", "s3", "logs", ""),
            ("s3://logs/", "s3", "logs", ""),
            ("s3://logs/a/b/", "s3", "logs", "a/b"),
            ("file:///srv/store", "file", "/srv/store", ""),
        ] {
            let part = part(&[("existing", uri)]);
            let store = ExistingStore::of(&part).unwrap();
            assert_eq!((store.scheme(), store.name(), store.prefix()), (scheme, name, prefix), "{uri}");
        }
        assert!(ExistingStore::of(&part(&[("name", "made")])).is_none());
    }

    #[test]
    fn keys_are_hidden() {
        let with_keys = part(&[("existing", "s3://logs"), ("access_key", "a"), ("secret_key", "s")]);
        let export = ExistingStore::of(&with_keys).unwrap().export([("region", "eu-west-1".into())]);
        assert_eq!(export.get("region"), Some(&"eu-west-1".into()));
        assert!(["access_key", "secret_key"].iter().all(|name| export.get(name).unwrap().is_sensitive()));
        assert!(!["name", "uri"].iter().any(|name| export.get(name).unwrap().is_sensitive()));
        let without = part(&[("existing", "s3://logs")]);
        assert!(ExistingStore::of(&without).unwrap().export([]).get("access_key").is_none());
    }
}
