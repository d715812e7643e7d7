//! Attributes that are kept as marks, because AWS does not tell them again.

use std::collections::BTreeMap;

use cloudtik_aws::marks;
use cloudtik_model::Value;

use super::KEPT;
use crate::attributes::Given;
use crate::session::Machine;
use crate::tags;

/// The mark with what the type of a machine has, so that nobody has to ask: `m5.large 2 8192`.
pub(super) const MACHINE_TAG: &str = "cloudtik:machine";

/// The marks, encoded. What is too long for one is not kept, and not told again.
pub(super) fn marks_of(given: Given<'_>) -> BTreeMap<String, String> {
    let mark = |name: &&str| {
        let value = given.0.get(name).filter(|value| !value.is_null())?;
        let text = marks::encode(&value.unmarked_deeply().to_json().to_string());
        (text.len() <= tags::VALUE_CHARS_MAX).then(|| (mark_of(name), text))
    };
    KEPT.iter().filter_map(mark).collect()
}

/// What the marks say.
pub(super) fn told(marks: &BTreeMap<String, String>) -> Vec<(&'static str, Value)> {
    let value = |name: &&'static str| {
        let json = serde_json::from_str(marks.get(&mark_of(name))?).ok()?;
        Some((*name, Value::from_json(json).ok()?))
    };
    KEPT.iter().filter_map(value).collect()
}

/// What the mark says of a machine of a type.
pub(super) fn machine_mark(instance_type: &str, machine: Machine) -> String {
    marks::encode(&format!("{instance_type} {} {}", machine.cores, machine.memory))
}

/// What a machine has, by its mark. One that has another type since does not have it any more.
pub(super) fn machine(marks: &BTreeMap<String, String>, instance_type: &str) -> Option<Machine> {
    let mut words = marks.get(MACHINE_TAG)?.split(' ');
    let is_of_type = words.next() == Some(instance_type);
    let (cores, memory) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    is_of_type.then_some(Machine { cores, memory })
}

fn mark_of(name: &str) -> String {
    format!("{}{name}", marks::PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_what_its_type_had_as_long_as_it_has_that_type() {
        let marked = machine_mark("m5.large", Machine { cores: 2, memory: 8_192 });
        let marks: BTreeMap<String, String> = [(MACHINE_TAG.to_owned(), marks::decode(&marked))].into();
        assert_eq!(machine(&marks, "m5.large"), Some(Machine { cores: 2, memory: 8_192 }));
        assert_eq!(machine(&marks, "m5.xlarge"), None);
        assert_eq!(machine(&BTreeMap::new(), "m5.large"), None);
    }

    #[test]
    fn what_is_kept_comes_back() {
        let disk = Value::object([
            ("volume_size", Value::from(100_u64)),
            ("volume_type", "gp3".into()),
            ("iops", 3_000_u64.into()),
            ("throughput", 125_u64.into()),
            ("encrypted", true.into()),
        ]);
        let all = Value::object([
            ("root_block_device", Value::list([disk])),
            ("instance_initiated_shutdown_behavior", "stop".into()),
            ("instance_market_options", Value::NULL),
            ("ami", "ami-1".into()),
        ]);
        let marks = marks_of(Given(&all));
        let decoded = marks.into_iter().map(|(name, value)| (name, marks::decode(&value))).collect();
        let told: BTreeMap<&str, Value> = told(&decoded).into_iter().collect();
        assert_eq!(told.keys().copied().collect::<Vec<_>>(), ["instance_initiated_shutdown_behavior", "root_block_device"]);
        assert_eq!(Some(&told["root_block_device"]), all.get("root_block_device"));
    }
}
