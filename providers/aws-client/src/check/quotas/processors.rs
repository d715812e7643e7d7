//! Processors of running machines. AWS counts those of related families together, and apart for each market.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, Instance, InstanceLifecycleType, InstanceTypeInfo, Reservation};
use cloudtik_aws::kinds;
use cloudtik_model::{Diagnostic, Severity};
use cloudtik_provider_api::{CLUSTER_TAG, CallError, Check, Concern, Intended};

use super::{Quota, Use, going, help, limit, title};
use crate::attributes::Given;
use crate::aws::Aws;
use crate::check::machines::Machine;

/// Whether a machine is of the spot market.
type IsSpot = bool;

const SPOT: &str = "spot";

/// The mark with the address that a machine was made for.
const ADDRESS_TAG: &str = "cloudtik:address";

/// Families that are counted together, with the code of their quota at the usual price and on the spot market, as AWS's console lists them. AWS
/// publishes no call that tells which family counts where; one that is not here is not counted.
const FAMILIES: [(&[&str], &str, Option<&str>, &str); 10] = [
    (&["a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"], "L-1216C47A", Some("L-34B43A08"), "standard families"),
    (&["f"], "L-74FC7D96", Some("L-88CF9481"), "family F"),
    (&["g", "gr", "vt"], "L-DB2E81BA", Some("L-3819A6DF"), "families G and VT"),
    (&["p"], "L-417A185B", Some("L-7212CCBC"), "family P"),
    (&["x"], "L-7295265B", Some("L-E3A00192"), "family X"),
    (&["inf"], "L-1945791B", Some("L-B5D1601B"), "family Inf"),
    (&["trn"], "L-2C3B7624", Some("L-6B0D517C"), "family Trn"),
    (&["dl"], "L-6E869C2A", Some("L-85EED4F7"), "family DL"),
    (&["u"], "L-43DA4232", None, "high-memory families"),
    (&["hpc"], "L-F7808C92", None, "family HPC"),
];

/// Machines whose processors are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pool {
    code: &'static str,
    is_spot: IsSpot,
    what: &'static str,
}

impl Pool {
    /// That of a type.
    fn of(instance_type: &str, is_spot: IsSpot) -> Option<Self> {
        let letters: String = instance_type.chars().take_while(char::is_ascii_alphabetic).collect();
        let (_, usual, spot, what) = FAMILIES.iter().find(|(families, ..)| families.contains(&letters.as_str()))?;
        let code = if is_spot { (*spot)? } else { *usual };
        Some(Self { code, is_spot, what })
    }

    const fn quota(self) -> Quota {
        Quota { service: "ec2", code: self.code, what: if self.is_spot { "processors of spot machines" } else { "processors of machines" } }
    }
}

/// What a machine of the plan, or each worker of a group, may take: so many processors of one of these.
struct Demand<'a> {
    of: &'a Intended,
    pools: BTreeMap<Pool, u64>,
}

/// More processors than may run: an error for those that come, a warning for those that may come.
pub(super) async fn passed(aws: &Aws, check: &Check, machines: &[Machine<'_>]) -> Result<Vec<Concern>, CallError> {
    // What is counted are machines: a template makes none by itself.
    let made: Vec<&Machine<'_>> = machines.iter().filter(|machine| &*machine.of.kind == kinds::INSTANCE).collect();
    if made.is_empty() {
        return Ok(Vec::new());
    }
    let there = running(aws, check).await?;
    let types = made.iter().flat_map(|machine| machine.types.iter()).chain(there.iter().map(|(name, _)| name));
    let types = aws.machine_types(types.cloned().collect()).await?;
    let cores = |name: &str| types.get(name).and_then(cores);
    let demands: Vec<Demand<'_>> = made.iter().filter_map(|machine| demand(machine, &cores)).collect();
    let mut uses = BTreeMap::new();
    for pool in demands.iter().flat_map(|demand| demand.pools.keys().copied()).collect::<BTreeSet<Pool>>() {
        let there = there.iter().filter(|(name, is_spot)| Pool::of(name, *is_spot) == Some(pool)).filter_map(|(name, _)| cores(name)).sum();
        if let Some(limit) = limit(aws, pool.quota()).await? {
            uses.insert(pool, Use { limit, there, new: 0 });
        }
    }
    Ok(judged(&demands, &uses, &aws.region))
}

/// Type and market of the machines that run, but for those that this plan removes.
async fn running(aws: &Aws, check: &Check) -> Result<Vec<(String, IsSpot)>, CallError> {
    let states = Filter::builder().name("instance-state-name").values("pending").values("running").build();
    let pages = || {
        let request = aws.ec2.describe_instances().filters(states.clone());
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    let all = aws.read("ec2:DescribeInstances", pages).await?;
    let going = Going::of(check);
    let stay = all.iter().flat_map(Reservation::instances).filter(|one| !going.has(one));
    let said = |one: &Instance| {
        let is_spot = one.instance_lifecycle() == Some(&InstanceLifecycleType::Spot);
        Some((one.instance_type()?.as_str().to_owned(), is_spot))
    };
    Ok(stay.filter_map(said).collect())
}

/// What goes before others come.
struct Going<'a> {
    lineage: &'a str,
    ids: BTreeSet<&'a str>,
    /// Beginnings of the addresses of workers.
    workers: Vec<String>,
}

impl<'a> Going<'a> {
    fn of(check: &'a Check) -> Self {
        let going = || going(&check.intended, kinds::INSTANCE);
        let ids = going().filter_map(|one| one.id.as_deref()).collect();
        Self { lineage: &check.lineage, ids, workers: going().map(|one| format!("{}[", one.address)).collect() }
    }

    /// Workers are known to the head of their cluster only. Their marks say whose they are: the uid of a cluster begins with the lineage.
    fn has(&self, instance: &Instance) -> bool {
        let mark = |key: &str| instance.tags().iter().find(|tag| tag.key() == Some(key)).and_then(aws_sdk_ec2::types::Tag::value);
        let is_worker = || {
            let lineage = mark(CLUSTER_TAG).and_then(|uid| uid.split('/').next());
            let address = mark(ADDRESS_TAG).unwrap_or_default();
            lineage == Some(self.lineage) && self.workers.iter().any(|of| address.starts_with(of))
        };
        instance.instance_id().is_some_and(|id| self.ids.contains(id)) || is_worker()
    }
}

fn cores(info: &InstanceTypeInfo) -> Option<u64> {
    info.v_cpu_info().and_then(|cpus| u64::try_from(cpus.default_v_cpus()?).ok())
}

/// What one machine takes, by the quota that it counts for; of several types the smallest. `None`: of one that nobody counts or knows.
fn demand<'a>(machine: &Machine<'a>, cores: &dyn Fn(&str) -> Option<u64>) -> Option<Demand<'a>> {
    let given = Given(&machine.of.attributes);
    let markets = given.texts("markets");
    let options = given.block("instance_market_options");
    let one = given.maybe_text("market").or_else(|| options?.maybe_text("market_type"));
    let markets: Vec<IsSpot> =
        if markets.is_empty() { vec![one == Some(SPOT)] } else { markets.iter().map(|market| market == SPOT).collect() };
    let mut pools: BTreeMap<Pool, u64> = BTreeMap::new();
    for is_spot in markets {
        for name in &machine.types {
            let (pool, cores) = (Pool::of(name, is_spot)?, cores(name)?);
            let least = pools.entry(pool).or_insert(cores);
            *least = cores.min(*least);
        }
    }
    Some(Demand { of: machine.of, pools })
}

/// What does not fit. A machine that may count for several quotas is no concern while one of them has room.
fn judged(demands: &[Demand<'_>], uses: &BTreeMap<Pool, Use>, region: &str) -> Vec<Concern> {
    let mut found = Vec::new();
    let place = format!("region {region}");
    for (least, severity) in [(true, Severity::Error), (false, Severity::Warning)] {
        let count = |of: &Intended| if least { *of.count.start() } else { *of.count.end() };
        let mut uses = uses.clone();
        for demand in demands.iter().filter(|demand| count(demand.of) > 0) {
            let with = |pool: &Pool, cores: &u64| {
                uses.get(pool).map(|used| Use { new: used.new.saturating_add(cores.saturating_mul(count(demand.of))), ..*used })
            };
            let full: Vec<(Pool, Use)> = demand.pools.iter().filter_map(|(pool, cores)| Some((*pool, with(pool, cores)?))).collect();
            let is_full = full.len() == demand.pools.len() && full.iter().all(|(_, used)| used.is_too_much());
            let Some((pool, used)) = full.first().copied().filter(|_| is_full) else {
                // Only what must count for one quota is known to take room there.
                if let [(pool, used)] = full[..] {
                    uses.insert(pool, used);
                }
                continue;
            };
            let is_said = found.iter().any(|concern: &Concern| concern.diagnostic.address.as_ref() == Some(&demand.of.address));
            if !is_said {
                found.push(concern(demand.of, severity, pool, &place, used));
            }
        }
    }
    found
}

fn concern(of: &Intended, severity: Severity, pool: Pool, place: &str, used: Use) -> Concern {
    let quota = pool.quota();
    let title = title(quota, &format!("{place} ({})", pool.what), used);
    let attribute = match (of.count.end(), severity) {
        (1, _) => "instance_type",
        (_, Severity::Error) => "min",
        _ => "max",
    };
    let diagnostic = match severity {
        Severity::Error => Diagnostic::error("quota", title),
        Severity::Warning => Diagnostic::warning("quota", title),
    };
    Concern::new(diagnostic.help(help(quota, used, "stop some, write fewer or smaller machines")), &of.address).in_attribute(attribute)
}

#[cfg(test)]
mod tests {
    use cloudtik_model::Value;

    use super::*;
    use crate::check::machines::machines;
    use crate::check::tests::intended;

    fn standard(is_spot: IsSpot) -> Pool {
        Pool::of("m5.large", is_spot).unwrap()
    }

    #[test]
    fn families_are_counted_together() {
        let code = |name: &str, is_spot| Pool::of(name, is_spot).map(|pool| pool.code);
        for (name, usual, spot) in [
            ("m5.xlarge", Some("L-1216C47A"), Some("L-34B43A08")),
            ("im4gn.large", Some("L-1216C47A"), Some("L-34B43A08")),
            ("g4dn.xlarge", Some("L-DB2E81BA"), Some("L-3819A6DF")),
            ("p4de.24xlarge", Some("L-417A185B"), Some("L-7212CCBC")),
            ("inf2.xlarge", Some("L-1945791B"), Some("L-B5D1601B")),
            ("u-6tb1.metal", Some("L-43DA4232"), None),
            ("mac2.metal", None, None),
        ] {
            assert_eq!((code(name, false), code(name, true)), (usual, spot), "{name}");
        }
    }

    #[test]
    fn a_machine_takes_what_its_smallest_type_has() {
        let types = Value::list(["m5.xlarge", "m5.large"].map(Value::from));
        let markets = Value::list(["spot", "on-demand"].map(Value::from));
        let of = intended("cluster.c.workers.g", kinds::INSTANCE, [("instance_types", types), ("markets", markets)]);
        let all = [of];
        let machines = machines(&all);
        let cores = |name: &str| Some(if name == "m5.large" { 2 } else { 4 });
        assert_eq!(demand(&machines[0], &cores).unwrap().pools, [(standard(false), 2), (standard(true), 2)].into());
    }

    #[test]
    fn what_goes_before_others_come_does_not_run_then() {
        let tag = |key: &str, value: &str| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build();
        let machine = |id: &str, cluster: &str, address: &str| {
            let tags = vec![tag(CLUSTER_TAG, cluster), tag(ADDRESS_TAG, address)];
            Instance::builder().instance_id(id).set_tags(Some(tags)).build()
        };
        let anew = |id: &str, goes_first, address: &str| {
            let new = intended(address, kinds::INSTANCE, []);
            Intended { id: Some(id.to_owned()), goes_first, ..new }
        };
        let check = Check {
            lineage: "l".to_owned(),
            intended: vec![
                anew("i-1", true, "aws_instance.first"),
                anew("i-2", false, "aws_instance.last"),
                anew("g", true, "cluster.c.workers.anew"),
                intended("cluster.c.workers.more", kinds::INSTANCE, []),
            ],
        };
        let going = Going::of(&check);
        for (id, cluster, address, goes) in [
            ("i-1", "", "aws_instance.first", true),
            ("i-2", "", "aws_instance.last", false),
            ("i-3", "l/w/c", "cluster.c.workers.anew[*]", true),
            ("i-4", "l/w/c", "cluster.c.workers.anew[7]", true),
            ("i-5", "other/w/c", "cluster.c.workers.anew[7]", false),
            ("i-6", "l/w/c", "cluster.c.workers.more[7]", false),
        ] {
            assert_eq!(going.has(&machine(id, cluster, address)), goes, "{id}");
        }
    }

    #[test]
    fn what_comes_is_an_error_and_what_may_come_a_warning() {
        let group = |min, max, address: &str| Intended { count: min..=max, ..intended(address, kinds::INSTANCE, []) };
        let (one, two) = (group(3, 3, "cluster.c.workers.a"), group(2, 10, "cluster.c.workers.b"));
        let says = |limit: u64, spot: Option<u64>| -> Vec<(Severity, Option<&'static str>, String)> {
            let mut uses = BTreeMap::from([(standard(false), Use { limit, there: 4, new: 0 })]);
            uses.extend(spot.map(|limit| (standard(true), Use { limit, there: 0, new: 0 })));
            let pools: BTreeMap<Pool, u64> = uses.keys().map(|pool| (*pool, 2)).collect();
            let demands = [&one, &two].map(|of| Demand { of, pools: pools.clone() });
            let found = judged(&demands, &uses, "r").into_iter();
            found.map(|concern| (concern.diagnostic.severity, concern.attribute, concern.diagnostic.title)).collect()
        };
        assert_eq!(says(30, None), []);
        let [(Severity::Warning, Some("max"), text)] = &says(14, None)[..] else { panic!("no warning: {:?}", says(14, None)) };
        assert!(text.contains("may have 14 processors of machines in region r (standard families); it has 4, and 26 would come"), "{text}");
        let [(Severity::Error, Some("min"), text)] = &says(13, None)[..] else { panic!("no error: {:?}", says(13, None)) };
        assert!(text.contains("10 would come"), "{text}");
        assert_eq!(says(13, Some(100)), [], "the other market has room");
    }
}
