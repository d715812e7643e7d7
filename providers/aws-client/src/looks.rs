//! Looks at the world that several kinds share. Routes, tables of routes and associations are parts of one answer of AWS, as are the rules of
//! both directions: when all of them are looked at together, whoever comes first asks for all.
//!
//! What was seen serves those who look at the same time, and never across a request that may have changed something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_ec2::types::{RouteTable, SecurityGroupRule};
use cloudtik_provider_api::CallError;
use tokio::time::Instant;

/// How long what was seen serves others: those who look together ask within moments, and one more request later costs little.
const SERVES: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Default)]
pub(crate) struct Looks {
    tables: Look<RouteTable>,
    rules: Look<SecurityGroupRule>,
    /// How many requests that may have changed something began or ended.
    writes: AtomicU64,
}

impl Looks {
    /// These tables will be looked at, in this moment, by several kinds.
    pub(crate) fn announce_tables(&self, ids: BTreeSet<String>) {
        self.tables.announce(ids);
    }

    /// The same of rules.
    pub(crate) fn announce_rules(&self, ids: BTreeSet<String>) {
        self.rules.announce(ids);
    }

    /// A request that may change something begins, or ended.
    pub(crate) fn may_have_changed(&self) {
        self.writes.fetch_add(1, Ordering::SeqCst);
    }

    /// The tables with these ids, and what else was seen with them; `ask` asks for those that were not.
    pub(crate) async fn tables(
        &self,
        ids: &BTreeSet<String>,
        ask: impl AsyncFnOnce(BTreeSet<String>) -> Result<Vec<RouteTable>, CallError>,
    ) -> Result<Vec<RouteTable>, CallError> {
        self.tables.at(ids, &self.writes, RouteTable::route_table_id, ask).await
    }

    /// The same of rules.
    pub(crate) async fn rules(
        &self,
        ids: &BTreeSet<String>,
        ask: impl AsyncFnOnce(BTreeSet<String>) -> Result<Vec<SecurityGroupRule>, CallError>,
    ) -> Result<Vec<SecurityGroupRule>, CallError> {
        self.rules.at(ids, &self.writes, SecurityGroupRule::security_group_rule_id, ask).await
    }
}

/// The looks at one sort of thing.
struct Look<T> {
    announced: Mutex<BTreeSet<String>>,
    /// Whoever asks holds it until there is an answer: the others wait for that.
    seen: tokio::sync::Mutex<Option<Seen<T>>>,
}

/// What was seen, and when.
struct Seen<T> {
    at: Instant,
    writes: u64,
    asked: BTreeSet<String>,
    items: BTreeMap<String, T>,
}

impl<T> Seen<T> {
    fn serves(&self, writes: u64, now: Instant) -> bool {
        self.writes == writes && now.saturating_duration_since(self.at) < SERVES
    }
}

impl<T> Default for Look<T> {
    fn default() -> Self {
        Self { announced: Mutex::default(), seen: tokio::sync::Mutex::default() }
    }
}

impl<T: Clone> Look<T> {
    fn announce(&self, ids: BTreeSet<String>) {
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = ids;
    }

    fn take_announced(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.announced.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn at(
        &self,
        ids: &BTreeSet<String>,
        writes: &AtomicU64,
        id_of: fn(&T) -> Option<&str>,
        ask: impl AsyncFnOnce(BTreeSet<String>) -> Result<Vec<T>, CallError>,
    ) -> Result<Vec<T>, CallError> {
        let mut place = self.seen.lock().await;
        let now = writes.load(Ordering::SeqCst);
        let fresh = place.take().filter(|seen| seen.serves(now, Instant::now()));
        let mut seen = fresh.unwrap_or_else(|| Seen { at: Instant::now(), writes: now, asked: BTreeSet::new(), items: BTreeMap::new() });
        let wanted: BTreeSet<String> = self.take_announced().union(ids).filter(|id| !seen.asked.contains(*id)).cloned().collect();
        if !wanted.is_empty() {
            seen.asked.extend(wanted.iter().cloned());
            seen.items.extend(ask(wanted).await?.into_iter().filter_map(|item| Some((id_of(&item)?.to_owned(), item))));
        }
        let items = seen.items.values().cloned().collect();
        *place = Some(seen);
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    /// Looks, and gives what was asked for it, if anything was.
    async fn look(looks: &Looks, wanted: &[&str]) -> (Vec<String>, Option<BTreeSet<String>>) {
        let mut asked = None;
        let ask = async |ids: BTreeSet<String>| {
            let tables = ids.iter().filter(|id| *id != "gone").map(|id| RouteTable::builder().route_table_id(id).build()).collect();
            asked = Some(ids);
            Ok(tables)
        };
        let seen = looks.tables(&ids(wanted), ask).await.unwrap();
        (seen.into_iter().filter_map(|table| table.route_table_id).collect(), asked)
    }

    #[tokio::test]
    async fn whoever_comes_first_asks_for_all() {
        let looks = Looks::default();
        looks.announce_tables(ids(&["a", "b", "gone"]));
        // One that does not know which, another one that does.
        assert_eq!(look(&looks, &[]).await, (vec!["a".to_owned(), "b".to_owned()], Some(ids(&["a", "b", "gone"]))));
        assert_eq!(look(&looks, &["a", "gone"]).await.1, None);
        assert_eq!(look(&looks, &["b", "c"]).await.1, Some(ids(&["c"])));
    }

    #[tokio::test]
    async fn nothing_serves_after_a_change() {
        let looks = Looks::default();
        assert!(look(&looks, &["a"]).await.1.is_some());
        assert!(look(&looks, &["a"]).await.1.is_none());
        looks.may_have_changed();
        assert!(look(&looks, &["a"]).await.1.is_some());
    }

    #[test]
    fn nothing_serves_for_long() {
        let at = Instant::now();
        let seen: Seen<RouteTable> = Seen { at, writes: 3, asked: BTreeSet::new(), items: BTreeMap::new() };
        assert!(seen.serves(3, at + SERVES / 2));
        assert!(!seen.serves(3, at + SERVES) && !seen.serves(4, at));
    }

    #[tokio::test]
    async fn what_failed_was_not_seen() {
        let looks = Looks::default();
        let refused = looks.tables(&ids(&["a"]), async |_| Err(crate::error::refused("no", "no"))).await;
        assert!(refused.is_err());
        assert_eq!(look(&looks, &["a"]).await.1, Some(ids(&["a"])));
    }
}
