//! The fence of a cluster: the epoch below which no worker of it may be launched any more.
//!
//! It is kept in a parameter of SSM, which every launch of a worker reads. That costs one request a launch, and outlives every machine. Between
//! that look and the launch a fence may be raised; so at the end of a cluster its launch templates go too, without which AWS itself refuses.

use aws_sdk_ssm::types::ParameterType;
use cloudtik_provider_api::{CLUSTER_TAG, CallError, CreateRequest, ErrorClass, ROLE_TAG, WORKER_ROLE};

use crate::aws::Aws;
use crate::each::there;
use crate::error::strange;
use crate::kinds::remove_launch_templates;

/// Where fences are kept; a cluster's uid follows.
const PATH: &str = "/cloudtik/fence/";

/// Raises the fence of a cluster: from now on older launches are refused. Of a cluster that `ends` nothing is launched any more.
pub(crate) async fn raise(aws: &Aws, cluster: &str, epoch: u64, ends: bool) -> Result<(), CallError> {
    if known(aws, cluster).await?.is_none_or(|known| known < epoch) {
        let request = aws.ssm.put_parameter().name(name(cluster)).value(epoch.to_string()).r#type(ParameterType::String);
        let request = request.description("No worker of an older epoch is launched").overwrite(true);
        aws.write("ssm:PutParameter", request.send()).await?;
    }
    if ends { remove_launch_templates(aws, CLUSTER_TAG, cluster).await } else { Ok(()) }
}

/// Refuses the launch of a worker that is older than the fence of its cluster.
pub(crate) async fn check(aws: &Aws, request: &CreateRequest) -> Result<(), CallError> {
    let is_worker = request.tags.get(ROLE_TAG).is_some_and(|role| role == WORKER_ROLE);
    let Some(cluster) = request.tags.get(CLUSTER_TAG).filter(|_| is_worker) else { return Ok(()) };
    match known(aws, cluster).await? {
        Some(fence) if fence > request.epoch => {
            let text = format!("launches for the cluster {cluster} need epoch {fence}, and this one has {}", request.epoch);
            Err(CallError::new(ErrorClass::Permanent, "fenced", text))
        }
        _ => Ok(()),
    }
}

async fn known(aws: &Aws, cluster: &str) -> Result<Option<u64>, CallError> {
    let name = name(cluster);
    let answer = there(aws.read("ssm:GetParameter", || aws.ssm.get_parameter().name(&name).send()).await)?;
    let Some(parameter) = answer.and_then(|answer| answer.parameter) else { return Ok(None) };
    // What cannot be read may be a fence: nobody may go on as if there were none.
    let epoch = parameter.value().and_then(|text| text.parse().ok());
    epoch.map(Some).ok_or_else(|| strange("ssm:GetParameter", "epoch"))
}

/// A name as SSM takes it: letters, digits and `_.-` between slashes. Other bytes are written as `_` and two hexadecimal digits.
fn name(cluster: &str) -> String {
    let mut name = PATH.to_owned();
    for byte in cluster.bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => name.push(char::from(byte)),
            other => name.push_str(&format!("_{other:02X}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cluster_has_a_name_of_its_own() {
        assert_eq!(name("0a-1/w/c"), "/cloudtik/fence/0a-1/w/c");
        assert_ne!(name("l/w/a b"), name("l/w/a_b"));
        assert!(name("l/w/ü").is_ascii());
    }
}
