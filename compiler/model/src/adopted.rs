//! A cluster that another state made, or this project's before its state was lost: what must be remembered of it.

use crate::{State, Value};

/// What begins the key of the fact that remembers a cluster. The cluster's mark follows.
const KEY: &str = "adopted.";

/// A cluster that was taken over. Its nodes, its fence and its controller go by the name that it was made with, and keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Names the cluster at its provider.
    pub uid: String,
    /// The epoch that its head launches in. A run that tells it anything is in a later one.
    pub epoch: u64,
    /// The id of its head's instance.
    pub head: String,
    /// The host key of that.
    pub host_key: String,
}

impl Adopted {
    /// The key of its fact; `mark` is `<workspace>/<cluster>`.
    #[must_use]
    pub fn key(mark: &str) -> String {
        format!("{KEY}{mark}")
    }

    /// As a fact.
    #[must_use]
    pub fn to_fact(&self) -> Value {
        Value::object([
            ("uid", Value::from(self.uid.as_str())),
            ("epoch", self.epoch.into()),
            ("head", self.head.as_str().into()),
            ("host_key", self.host_key.as_str().into()),
        ])
    }

    /// Reads a fact, if it is one of these.
    #[must_use]
    pub fn of_fact(key: &str, fact: &Value) -> Option<Self> {
        let text = |name: &str| fact.get(name)?.as_str().map(str::to_owned);
        key.strip_prefix(KEY)?;
        let epoch = fact.get("epoch")?.as_number()?.as_u64()?;
        Some(Self { uid: text("uid")?, epoch, head: text("head")?, host_key: text("host_key")? })
    }
}

impl State {
    /// What names a cluster of this project at its provider; `mark` is `<workspace>/<cluster>`. Only with the lineage are two clusters of one
    /// name in two projects two clusters to a provider that has both.
    #[must_use]
    pub fn cluster_uid(&self, mark: &str) -> String {
        let key = Adopted::key(mark);
        let adopted = self.facts.get(&key).and_then(|fact| Adopted::of_fact(&key, fact));
        adopted.map_or_else(|| format!("{}/{mark}", self.lineage), |adopted| adopted.uid)
    }

    /// The clusters that were taken over.
    pub fn adopted(&self) -> impl Iterator<Item = Adopted> + '_ {
        self.facts.iter().filter_map(|(key, fact)| Adopted::of_fact(key, fact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_was_taken_over_keeps_its_name() {
        let mut state = State::new("mine".to_owned());
        assert_eq!(state.cluster_uid("w/c"), "mine/w/c");
        let adopted = Adopted { uid: "theirs/w/c".to_owned(), epoch: 7, head: "i-1".to_owned(), host_key: "ssh-ed25519 AAAA".to_owned() };
        state.facts.insert(Adopted::key("w/c"), adopted.to_fact());
        state.facts.insert("workspace.w.zones".to_owned(), Value::NULL);
        assert_eq!((state.cluster_uid("w/c"), state.cluster_uid("w/d")), ("theirs/w/c".to_owned(), "mine/w/d".to_owned()));
        assert_eq!(state.adopted().collect::<Vec<_>>(), [adopted]);
    }
}
