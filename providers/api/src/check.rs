//! Questions about a plan: what of it would not go well. They change nothing, and are asked before anything is made.

use std::ops::RangeInclusive;
use std::sync::Arc;

use cloudtik_model::{Address, Diagnostic, Value};

use crate::Deed;

/// A plan, as one configuration of a provider is asked about it.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// The lineage of the project's state, which what it made carries as a mark.
    pub lineage: String,
    /// The objects of this configuration, by address.
    pub intended: Vec<Intended>,
}

/// What is to become of an object, as far as it is known before.
#[derive(Clone, Debug)]
pub struct Intended {
    /// Its address; of workers, that of their group.
    pub address: Address,
    /// Its kind.
    pub kind: Arc<str>,
    /// What is done to it; `None`: it stays as it is. What is made anew is made.
    pub deed: Option<Deed>,
    /// The id of the object that is there; of workers that are made anew, that of their group.
    pub id: Option<String>,
    /// Whether what is there goes before it is made anew.
    pub goes_first: bool,
    /// The attributes that the spec sets; what comes later is deferred. Null of what goes.
    pub attributes: Value,
    /// How many of it are made: of workers, as many as come now, and as many as may come.
    pub count: RangeInclusive<u64>,
}

impl Intended {
    /// Whether it is made.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.deed == Some(Deed::Create)
    }

    /// Whether what is there of it goes, for good or before it is made anew.
    #[must_use]
    pub fn is_going(&self) -> bool {
        let goes = match self.deed {
            Some(Deed::Create) => self.goes_first,
            deed => deed == Some(Deed::Delete),
        };
        goes && self.id.is_some()
    }
}

/// What a check found out.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What would not go well.
    pub concerns: Vec<Concern>,
    /// Questions that nobody answered, as sentences: an error of a check is no error of the plan.
    pub unanswered: Vec<String>,
}

/// Something that would not go well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concern {
    /// What, with its address; whoever has the spec adds the place.
    pub diagnostic: Diagnostic,
    /// The attribute that it is about.
    pub attribute: Option<&'static str>,
}

impl Concern {
    /// About an object.
    #[must_use]
    pub fn new(diagnostic: Diagnostic, address: &Address) -> Self {
        Self { diagnostic: diagnostic.of(address), attribute: None }
    }

    /// About an attribute of it.
    #[must_use]
    pub const fn in_attribute(mut self, name: &'static str) -> Self {
        self.attribute = Some(name);
        self
    }
}
