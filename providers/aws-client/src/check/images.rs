//! Images that are not there, and images that do not run on the types of machines that they are meant for.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Image, InstanceTypeInfo};
use cloudtik_aws::kinds;
use cloudtik_provider_api::Concern;

use super::error;
use super::machines::Machine;

/// What is wrong with the image of a machine.
pub(super) fn unfit(
    region: &str,
    machine: &Machine<'_>,
    images: &BTreeMap<String, Image>,
    types: &BTreeMap<String, InstanceTypeInfo>,
) -> Vec<Concern> {
    let Some(id) = machine.image else { return Vec::new() };
    let Some(image) = images.get(id) else {
        let title = format!("there is no image `{id}` in region {region} that these credentials may use");
        let attribute = if &*machine.of.kind == kinds::LAUNCH_TEMPLATE { "image_id" } else { "ami" };
        return vec![error(machine.of, "no-image", title, "write the id of another image").in_attribute(attribute)];
    };
    let Some(wanted) = image.architecture() else { return Vec::new() };
    let of_type = |name: &String| {
        let supported = types.get(name)?.processor_info()?.supported_architectures();
        let has = || supported.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(" or ");
        let fits = supported.is_empty() || supported.iter().any(|one| one.as_str() == wanted.as_str());
        (!fits).then(|| concern(machine, id, wanted.as_str(), name, &has()))
    };
    machine.types.iter().filter_map(of_type).collect()
}

fn concern(machine: &Machine<'_>, image: &str, wanted: &str, name: &str, has: &str) -> Concern {
    let title = format!("the image `{image}` is for processors of the architecture {wanted}, and machines of type `{name}` have {has}");
    let help = format!("write an image for {has}, or a type of machine with such a processor");
    error(machine.of, "other-architecture", title, help).in_attribute(machine.attribute)
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{ArchitectureType, ArchitectureValues, ProcessorInfo};

    use super::*;
    use crate::check::tests::intended;

    #[test]
    fn an_image_is_for_one_architecture() {
        let of = intended("cluster.c.head", kinds::INSTANCE, []);
        let info = |architecture: ArchitectureType| {
            let processor = ProcessorInfo::builder().supported_architectures(architecture).build();
            InstanceTypeInfo::builder().processor_info(processor).build()
        };
        let types: BTreeMap<String, InstanceTypeInfo> =
            [("m5.large".to_owned(), info(ArchitectureType::X8664)), ("m7g.large".to_owned(), info(ArchitectureType::Arm64))].into();
        let image = Image::builder().image_id("ami-1").architecture(ArchitectureValues::Arm64).build();
        let images: BTreeMap<String, Image> = [("ami-1".to_owned(), image)].into();
        let says = |name: &str, image| {
            let machine =
                Machine { of: &of, attribute: "instance_type", types: vec![name.to_owned()], zones: [].into(), image: Some(image) };
            unfit("r", &machine, &images, &types).pop().map(|concern| (concern.diagnostic.title, concern.attribute))
        };
        assert_eq!(says("m7g.large", "ami-1"), None);
        let (title, attribute) = says("m5.large", "ami-1").unwrap();
        assert!(title.contains("architecture arm64, and machines of type `m5.large` have x86_64"), "{title}");
        assert_eq!(attribute, Some("instance_type"));
        assert_eq!(says("m9.large", "ami-1"), None, "nobody knows what it has");
        assert_eq!(says("m5.large", "ami-2").unwrap().1, Some("ami"));
    }
}
