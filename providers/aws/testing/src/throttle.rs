//! Rates: a bucket of tokens for each action, region and account, as AWS publishes them for EC2. Of services that publish none, those that
//! are observed.

use std::collections::BTreeMap;

use crate::answer::Refusal;
use crate::call::Call;
use crate::config::{Config, Rate};

const fn rate(capacity: f64, per_second: f64) -> Rate {
    Rate { capacity, per_second }
}

/// Reads of EC2.
const READ: Rate = rate(100.0, 20.0);
/// Reads of EC2 without filter, ids and page size.
const READ_ALL: Rate = rate(50.0, 10.0);
/// Writes of EC2.
const WRITE: Rate = rate(50.0, 5.0);

/// Actions with a rate of their own.
const OWN: &[(&str, Rate)] = &[
    ("ec2:RunInstances", rate(5.0, 2.0)),
    ("ec2:StartInstances", rate(5.0, 2.0)),
    ("ec2:TerminateInstances", rate(100.0, 5.0)),
    ("ec2:AssociateIamInstanceProfile", rate(100.0, 5.0)),
    ("ec2:AttachVolume", rate(100.0, 5.0)),
    ("ec2:DetachVolume", rate(100.0, 5.0)),
    ("ec2:CreateVolume", rate(100.0, 5.0)),
    ("ec2:DeleteVolume", rate(100.0, 5.0)),
    ("ec2:CreateTags", rate(100.0, 10.0)),
    ("ec2:DeleteTags", rate(100.0, 10.0)),
    ("ec2:CreateVpcEndpoint", rate(4.0, 0.3)),
    ("ec2:ModifyVpcEndpoint", rate(4.0, 0.3)),
    ("ec2:DeleteVpcEndpoints", rate(4.0, 0.3)),
    ("ssm:PutParameter", rate(3.0, 3.0)),
    ("ssm:GetParameter", rate(40.0, 40.0)),
];

/// A service's rate, for all its actions.
const SERVICES: &[(&str, Rate)] = &[
    ("iam", rate(60.0, 15.0)),
    ("rds", rate(40.0, 10.0)),
    ("elasticloadbalancing", rate(40.0, 10.0)),
    ("cloudformation", rate(40.0, 10.0)),
    ("ssm", rate(40.0, 10.0)),
    ("sts", rate(600.0, 600.0)),
];

/// The rate of a call. `None`: as many as one likes.
fn rate_of(config: &Config, call: &Call) -> Option<Rate> {
    let name = call.name();
    if let Some(rate) = config.rates.get(&name) {
        return Some(*rate);
    }
    if !config.throttling {
        return None;
    }
    if let Some((_, rate)) = OWN.iter().find(|(own, _)| *own == name) {
        return Some(*rate);
    }
    if call.service == "ec2" {
        let narrowed = call.parameters.keys().any(|key| key != "Version");
        return Some(if call.is_write() {
            WRITE
        } else if narrowed {
            READ
        } else {
            READ_ALL
        });
    }
    SERVICES.iter().find(|(service, _)| *service == call.service).map(|(_, rate)| *rate)
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: u64,
}

/// The buckets.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    buckets: BTreeMap<String, Bucket>,
}

impl Throttle {
    /// Takes a token for a call; refuses it when there is none.
    pub(crate) fn take(&mut self, config: &Config, now: u64, call: &Call) -> Result<(), Refusal> {
        let Some(rate) = rate_of(config, call) else { return Ok(()) };
        let name = [call.key.as_str(), &call.region, &call.name()].join("\n");
        let bucket = self.buckets.entry(name).or_insert(Bucket { tokens: rate.capacity, at: now });
        let passed = std::time::Duration::from_millis(now.saturating_sub(bucket.at)).as_secs_f64();
        bucket.tokens = passed.mul_add(rate.per_second, bucket.tokens).min(rate.capacity);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(refusal(call));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

fn refusal(call: &Call) -> Refusal {
    match call.service.as_str() {
        "ec2" => Refusal::new("RequestLimitExceeded", "Request limit exceeded.").status(503),
        "ssm" => Refusal::new("ThrottlingException", "Rate exceeded"),
        "s3" => Refusal::new("SlowDown", "Please reduce your request rate.").status(503),
        _ => Refusal::new("Throttling", "Rate exceeded"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(service: &str, action: &str) -> Call {
        Call { service: service.to_owned(), ..Call::default() }.asking(action, &[])
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let config = Config { throttling: true, ..Config::default() };
        let (mut throttle, launch) = (Throttle::default(), call("ec2", "RunInstances"));
        let taken = (0..10).filter(|_| throttle.take(&config, 0, &launch).is_ok()).count();
        assert_eq!(taken, 5);
        assert_eq!(throttle.take(&config, 499, &launch).unwrap_err().code, "RequestLimitExceeded");
        assert!(throttle.take(&config, 500, &launch).is_ok());
        assert!(throttle.take(&config, 500, &call("ec2", "CreateVpc")).is_ok());
        assert!(throttle.take(&Config::default(), 500, &launch).is_ok());
    }

    proptest! {
        #[test]
        fn no_more_than_the_rate_passes(pauses in proptest::collection::vec(0_u64..300, 1..200)) {
            let config = Config { throttling: true, ..Config::default() };
            let (mut throttle, launch) = (Throttle::default(), call("ec2", "RunInstances"));
            let (mut now, mut passed) = (0, 0_u32);
            for pause in pauses {
                now += pause;
                passed += u32::from(throttle.take(&config, now, &launch).is_ok());
            }
            let most = std::time::Duration::from_millis(now).as_secs_f64().mul_add(2.0, 5.0);
            prop_assert!(f64::from(passed) <= most + 1e-6);
        }
    }
}
