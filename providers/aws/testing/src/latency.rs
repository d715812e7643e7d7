//! How long calls take, as it is observed at AWS from a machine in the region.

use std::time::Duration;

use crate::call::Call;
use crate::chance::fraction;
use crate::config::Config;

/// Least and most milliseconds.
type Range = (u64, u64);

/// Actions that take longer than most.
const OWN: &[(&str, Range)] = &[
    ("ec2:RunInstances", (1_200, 2_500)),
    ("ec2:TerminateInstances", (400, 900)),
    ("ec2:CreateVpc", (400, 900)),
    ("ec2:DescribeInstances", (150, 400)),
    ("ec2:DescribeImages", (300, 1_200)),
    ("rds:CreateDBInstance", (1_500, 3_000)),
    ("elasticloadbalancing:CreateLoadBalancer", (800, 1_600)),
    ("cloudformation:CreateStack", (400, 900)),
    ("s3:CreateBucket", (300, 900)),
];

/// Of a service: reads, then writes.
const SERVICES: &[(&str, Range, Range)] = &[
    ("ec2", (150, 250), (300, 700)),
    ("iam", (100, 200), (150, 300)),
    ("sts", (40, 120), (40, 120)),
    ("s3", (20, 80), (40, 150)),
    ("ssm", (30, 90), (60, 150)),
    ("rds", (200, 500), (500, 1_200)),
    ("elasticloadbalancing", (100, 300), (300, 800)),
    ("cloudformation", (100, 300), (200, 600)),
];

/// Of a service that has no line.
const OTHER: Range = (50, 200);

/// How long a call takes.
pub(crate) fn of(config: &Config, call: &Call, number: u64) -> Duration {
    let name = call.name();
    if let Some((least, most)) = config.latency.actions.get(&name) {
        return between(config.seed, &name, number, (*least, *most));
    }
    if config.latency.scale <= 0.0 {
        return Duration::ZERO;
    }
    let own = OWN.iter().find(|(own, _)| *own == name).map(|(_, range)| *range);
    let of_service = || SERVICES.iter().find(|(service, ..)| *service == call.service);
    let range = own.or_else(|| of_service().map(|(_, reads, writes)| if call.is_write() { *writes } else { *reads })).unwrap_or(OTHER);
    between(config.seed, &name, number, range).mul_f64(config.latency.scale)
}

fn between(seed: u64, name: &str, number: u64, (least, most): Range) -> Duration {
    let spread = Duration::from_millis(most.saturating_sub(least));
    Duration::from_millis(least) + spread.mul_f64(fraction(seed, name, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Latency;

    #[test]
    fn it_is_in_its_range() {
        let call = Call { service: "ec2".to_owned(), ..Call::default() }.asking("CreateSubnet", &[]);
        assert_eq!(of(&Config::default(), &call, 1), Duration::ZERO);
        let config = Config { latency: Latency { scale: 1.0, ..Latency::default() }, ..Config::default() };
        for number in 0..100 {
            let took = of(&config, &call, number).as_millis();
            assert!((300..=700).contains(&took), "{took}");
        }
        let actions = [("ec2:CreateSubnet".to_owned(), (5, 5))].into();
        let config = Config { latency: Latency { scale: 0.0, actions }, ..Config::default() };
        assert_eq!(of(&config, &call, 1), Duration::from_millis(5));
    }
}
