//! What goes wrong, and when.

use crate::call::Call;
use crate::chance::fraction;
use crate::config::{Config, Effect, Fault};

/// How often each rule was looked at.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    seen: Vec<u64>,
}

impl Faults {
    /// What goes wrong with a call, if anything does.
    pub(crate) fn of(&mut self, config: &Config, call: &Call) -> Option<Effect> {
        self.seen.resize(config.faults.len(), 0);
        let mut effect = None;
        for (rule, (fault, seen)) in config.faults.iter().zip(&mut self.seen).enumerate() {
            if !fits(fault, call) {
                continue;
            }
            *seen += 1;
            let is_due = fault.nth.is_none_or(|nth| nth == *seen);
            let by_chance = |probability| fraction(config.seed, &format!("{rule} {}", call.name()), *seen) < probability;
            if effect.is_none() && is_due && fault.probability.is_none_or(by_chance) {
                effect = Some(fault.effect.clone());
            }
        }
        effect
    }

    /// Counts from the beginning.
    pub(crate) fn reset(&mut self) {
        self.seen.clear();
    }
}

fn fits(fault: &Fault, call: &Call) -> bool {
    let name = call.name();
    let is_it = fault.action.strip_suffix('*').map_or_else(|| name == fault.action, |prefix| name.starts_with(prefix));
    let says = |(name, value): (&String, &String)| call.get(name) == Some(value);
    is_it && (!fault.writes_only || call.is_write()) && fault.parameters.iter().all(says)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn fault(action: &str, nth: Option<u64>, probability: Option<f64>) -> Fault {
        Fault { action: action.to_owned(), nth, probability, writes_only: false, parameters: BTreeMap::new(), effect: Effect::LoseAnswer }
    }

    fn effects(rule: Fault, calls: usize) -> Vec<usize> {
        let config = Config { faults: vec![rule], seed: 3, ..Config::default() };
        let call = Call { service: "ec2".to_owned(), ..Call::default() }.asking("CreateVpc", &[]);
        let mut faults = Faults::default();
        (1..=calls).filter(|_| faults.of(&config, &call).is_some()).collect()
    }

    #[test]
    fn rules_fit() {
        assert_eq!(effects(fault("ec2:CreateVpc", Some(2), None), 4), [2]);
        assert_eq!(effects(fault("ec2:*", None, None), 3), [1, 2, 3]);
        assert_eq!(effects(fault("iam:*", None, None), 3), Vec::<usize>::new());
        let by_chance = effects(fault("*", None, Some(0.3)), 1000).len();
        assert!((240..360).contains(&by_chance), "{by_chance}");
        assert_eq!(effects(fault("*", None, Some(0.3)), 50), effects(fault("*", None, Some(0.3)), 50));
    }

    #[test]
    fn only_some_parameters_can_be_meant() {
        let rule = Fault { parameters: BTreeMap::from([("InstanceType".to_owned(), "m5.large".to_owned())]), ..fault("*", None, None) };
        let config = Config { faults: vec![rule], ..Config::default() };
        let launch = |of| Call { service: "ec2".to_owned(), ..Call::default() }.asking("RunInstances", &[("InstanceType", of)]);
        assert_eq!(Faults::default().of(&config, &launch("m5.large")), Some(Effect::LoseAnswer));
        assert_eq!(Faults::default().of(&config, &launch("m5.xlarge")), None);
    }

    #[test]
    fn reads_can_be_spared() {
        let rule = Fault { writes_only: true, ..fault("*", None, None) };
        let config = Config { faults: vec![rule], ..Config::default() };
        let read = Call { service: "ec2".to_owned(), ..Call::default() }.asking("DescribeVpcs", &[]);
        assert_eq!(Faults::default().of(&config, &read), None);
    }
}
