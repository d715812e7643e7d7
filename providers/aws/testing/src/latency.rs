//! How long calls take, as it is observed at AWS from a machine in the region.

use std::time::Duration;

use crate::call::Call;
use crate::chance::fraction;
use crate::config::{Config, Latency};

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
    let place = if config.latency.steady { 0.5 } else { fraction(config.seed, &name, number) };
    between(range(&config.latency, &name, call.is_write()), place)
}

/// The middle of what a call that changes something takes.
pub(crate) fn of_write(latency: &Latency, action: &str) -> Duration {
    between(range(latency, action, true), 0.5)
}

/// Least and most of an action.
fn range(latency: &Latency, action: &str, is_write: bool) -> (Duration, Duration) {
    let ms = |(least, most): Range| (Duration::from_millis(least), Duration::from_millis(most));
    if let Some(own) = latency.actions.get(action) {
        return ms(*own);
    }
    let own = OWN.iter().find(|(own, _)| *own == action).map(|(_, range)| *range);
    let service = action.split(':').next().unwrap_or_default();
    let of_service = || SERVICES.iter().find(|(own, ..)| *own == service);
    let range = own.or_else(|| of_service().map(|(_, reads, writes)| if is_write { *writes } else { *reads })).unwrap_or(OTHER);
    let (least, most) = ms(range);
    let scale = latency.scale.max(0.0);
    (least.mul_f64(scale), most.mul_f64(scale))
}

fn between((least, most): (Duration, Duration), place: f64) -> Duration {
    least + most.saturating_sub(least).mul_f64(place)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let config = Config { latency: Latency { actions, ..Latency::default() }, ..Config::default() };
        assert_eq!(of(&config, &call, 1), Duration::from_millis(5));
        let steady = Latency { scale: 1.0, steady: true, ..Latency::default() };
        let took = of_write(&steady, "ec2:CreateSubnet");
        assert_eq!((took, of(&Config { latency: steady, ..Config::default() }, &call, 7)), (Duration::from_millis(500), took));
    }
}
