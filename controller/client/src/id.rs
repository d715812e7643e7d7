//! Ids of the two kinds: `<uid>#<epoch>` of a controller, and `/<group>` behind it.

use cloudtik_provider_api::{CallError, ErrorClass};

/// A controller, as the state names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControllerId {
    /// Names the cluster at its provider.
    pub uid: String,
    /// The epoch in which workers are launched.
    pub epoch: u64,
}

impl std::fmt::Display for ControllerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.uid, self.epoch)
    }
}

impl ControllerId {
    /// Reads `<uid>#<epoch>`.
    ///
    /// # Errors
    /// It is no such id.
    pub fn parse(text: &str) -> Result<Self, CallError> {
        let parsed = text.rsplit_once('#').and_then(|(uid, epoch)| Some(Self { uid: uid.to_owned(), epoch: epoch.parse().ok()? }));
        parsed.filter(|id| !id.uid.is_empty()).ok_or_else(|| wrong(text))
    }

    /// Reads `<uid>#<epoch>/<group>`.
    ///
    /// # Errors
    /// It is no such id.
    pub fn parse_group(text: &str) -> Result<(Self, String), CallError> {
        let (controller, group) = text.rsplit_once('/').ok_or_else(|| wrong(text))?;
        if group.is_empty() { Err(wrong(text)) } else { Ok((Self::parse(controller)?, group.to_owned())) }
    }

    /// The id of one of its groups.
    #[must_use]
    pub fn group(&self, group: &str) -> String {
        format!("{self}/{group}")
    }
}

fn wrong(text: &str) -> CallError {
    CallError::new(ErrorClass::Permanent, "id", format!("`{text}` is not the id of a controller or of a group"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = ControllerId { uid: "l/w/c".to_owned(), epoch: 7 };
        assert_eq!(id.to_string(), "l/w/c#7");
        assert_eq!(ControllerId::parse("l/w/c#7"), Ok(id.clone()));
        assert_eq!(ControllerId::parse_group(&id.group("etcd")), Ok((id, "etcd".to_owned())));
        for wrong in ["", "l/w/c", "#7", "l/w/c#x", "l/w/c#7/"] {
            assert!(ControllerId::parse(wrong).is_err() && ControllerId::parse_group(wrong).is_err(), "{wrong}");
        }
        assert!(ControllerId::parse("l/w/c#7/etcd").is_err());
    }
}
