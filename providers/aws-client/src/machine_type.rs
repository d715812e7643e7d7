//! The types of machines that a node could be of which says what it must have.

use aws_sdk_ec2::types::{InstanceTypeInfo, UsageClassType};
use cloudtik_aws::machine_type::{Offered, Wanted};
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, ErrorClass};

use crate::attributes::Given;
use crate::aws::Aws;
use crate::facts::{architecture, filter};

/// The name of the cheapest type that has what is asked for.
pub(crate) async fn machine_type(aws: &Aws, arguments: Given<'_>) -> Result<Value, CallError> {
    let architecture = match (arguments.owned("architecture"), arguments.0.get("image")) {
        (None, Some(image)) if !image.is_null() => architecture(aws, Given(image)).await?,
        (known, _) => known.unwrap_or_else(|| "x86_64".to_owned()),
    };
    let filters = vec![filter("current-generation", "true"), filter("processor-info.supported-architecture", &architecture)];
    let pages = || {
        let request = aws.ec2.describe_instance_types().set_filters(Some(filters.clone()));
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    let all = aws.read("ec2:DescribeInstanceTypes", pages).await?;
    let offered: Vec<Offered> = all.iter().filter_map(offered).collect();
    let chosen = Wanted::of_arguments(arguments.0).cheapest(&offered);
    chosen.map(|one| one.name.as_str().into()).ok_or_else(|| {
        let said: Vec<String> = ["cpus", "memory_gib", "gpus", "gpu_type"]
            .into_iter()
            .filter_map(|name| Some(format!("{name} = {}", arguments.number(name).or_else(|| arguments.owned(name))?)))
            .collect();
        let text = format!("no type of machine for {architecture} in region {} has {}", aws.region, said.join(", "));
        CallError::new(ErrorClass::Permanent, "no-type", text).help("ask for less, or write `instance_type`")
    })
}

/// A type as it is chosen from; one that nobody can have at the usual price is none.
fn offered(info: &InstanceTypeInfo) -> Option<Offered> {
    let classes = info.supported_usage_classes();
    if !classes.is_empty() && !classes.contains(&UsageClassType::OnDemand) {
        return None;
    }
    let gpus = info.gpu_info().map(|gpus| gpus.gpus()).unwrap_or_default();
    let names = gpus.iter().flat_map(|gpu| {
        let name = gpu.name().unwrap_or_default().to_owned();
        std::iter::repeat_n(name, gpu.count().and_then(|count| usize::try_from(count).ok()).unwrap_or_default())
    });
    Some(Offered {
        name: info.instance_type()?.as_str().to_owned(),
        cpus: info.v_cpu_info().and_then(|cpus| u64::try_from(cpus.default_v_cpus()?).ok())?,
        memory_mib: info.memory_info().and_then(|memory| u64::try_from(memory.size_in_mib()?).ok())?,
        gpus: names.collect(),
        gpu_memory_mib: info.gpu_info().and_then(|gpus| u64::try_from(gpus.total_gpu_memory_in_mib()?).ok()).unwrap_or_default(),
        has_others: info.inference_accelerator_info().is_some()
            || info.fpga_info().is_some()
            || info.neuron_info().is_some()
            || info.media_accelerator_info().is_some(),
        is_special: info.bare_metal() == Some(true) || info.burstable_performance_supported() == Some(true),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{GpuDeviceInfo, GpuInfo, InstanceType, MemoryInfo, VCpuInfo};

    use super::*;

    #[test]
    fn each_gpu_counts() {
        let gpus = GpuInfo::builder().gpus(GpuDeviceInfo::builder().name("T4").count(4).build()).total_gpu_memory_in_mib(65_536).build();
        let info = InstanceTypeInfo::builder()
            .instance_type(InstanceType::from("g4dn.12xlarge"))
            .v_cpu_info(VCpuInfo::builder().default_v_cpus(48).build())
            .memory_info(MemoryInfo::builder().size_in_mib(196_608).build())
            .gpu_info(gpus)
            .supported_usage_classes(UsageClassType::OnDemand);
        let found = offered(&info.clone().build()).unwrap();
        assert_eq!((found.gpus.len(), found.gpu_memory_mib, found.cpus, found.is_special), (4, 65_536, 48, false));
        assert!(offered(&info.clone().burstable_performance_supported(true).build()).unwrap().is_special);
        assert_eq!(offered(&info.set_supported_usage_classes(Some(vec![UsageClassType::Spot])).build()), None);
    }
}
