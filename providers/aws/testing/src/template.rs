//! Launches from a template: the server takes the image of it and little else, AWS everything that the call does not say itself.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use crate::answer::Refusal;
use crate::call::Call;
use crate::upstream;
use crate::xml::Element;

/// The parts of a template that a launch takes, as answers and as calls name them. An interface that a call names takes the place of the
/// template's, and without one the server has its own.
const PARTS: [(&str, &str); 6] = [
    ("imageId", "ImageId"),
    ("instanceType", "InstanceType"),
    ("keyName", "KeyName"),
    ("iamInstanceProfile", "IamInstanceProfile"),
    ("metadataOptions", "MetadataOptions"),
    ("blockDeviceMappingSet", "BlockDeviceMapping"),
];

/// The call with what its template says and it does not; refused where there is no such template.
pub(crate) async fn completed(server: SocketAddr, call: &Call) -> io::Result<Result<Call, Refusal>> {
    let template = call.get("LaunchTemplate.LaunchTemplateId").filter(|_| call.name() == "ec2:RunInstances");
    let Some(template) = template else { return Ok(Ok(call.clone())) };
    let version = call.get("LaunchTemplate.Version").unwrap_or("$Default");
    let asked = call.asking("DescribeLaunchTemplateVersions", &[("LaunchTemplateId", template), ("LaunchTemplateVersion.1", version)]);
    let answer = upstream::send(server, &asked.http, asked.body()).await?;
    let document = answer.document().filter(|_| answer.is_success());
    let data = document.as_ref().and_then(|document| document.at(&["launchTemplateVersionSet", "item", "launchTemplateData"]));
    let missing = || {
        Refusal::new(
            "InvalidLaunchTemplateId.NotFound",
            format!("The specified launch template, with template ID {template}, does not exist."),
        )
    };
    Ok(data.map(|data| with(call, data)).ok_or_else(missing))
}

fn with(call: &Call, data: &Element) -> Call {
    let mut call = call.clone();
    for (answered, asked) in PARTS {
        let is_said = call.parameters.keys().any(|name| name == asked || name.starts_with(&format!("{asked}.")));
        if let Some(part) = data.child(answered).filter(|_| !is_said) {
            write(part, asked, &mut call.parameters);
        }
    }
    call
}

/// An answer as parameters: names begin with a capital, and the items of a set are numbered.
fn write(part: &Element, name: &str, to: &mut BTreeMap<String, String>) {
    if part.children.is_empty() {
        if !part.text.is_empty() {
            to.insert(name.to_owned(), part.text.clone());
        }
        return;
    }
    let items = part.children.iter().filter(|child| child.name == "item");
    items.zip(1..).for_each(|(item, number)| write(item, &format!("{name}.{number}"), to));
    for child in part.children.iter().filter(|child| child.name != "item") {
        let mut letters = child.name.chars();
        let capital: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        write(child, &format!("{name}.{capital}"), to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_takes_what_it_does_not_say() {
        let data = "<d><imageId>ami-1</imageId><instanceType>m5.large</instanceType><iamInstanceProfile><name>p</name></iamInstanceProfile>\
                    <blockDeviceMappingSet><item><deviceName>/dev/sda1</deviceName><ebs><volumeSize>30</volumeSize></ebs></item>\
                    </blockDeviceMappingSet></d>";
        let call = Call { service: "ec2".to_owned(), ..Call::default() }.asking("RunInstances", &[("InstanceType", "m5.xlarge")]);
        let parameters = with(&call, &Element::parse(data).unwrap()).parameters;
        let of = |name: &str| parameters.get(name).map(String::as_str);
        assert_eq!((of("ImageId"), of("InstanceType"), of("IamInstanceProfile.Name")), (Some("ami-1"), Some("m5.xlarge"), Some("p")));
        assert_eq!((of("BlockDeviceMapping.1.DeviceName"), of("BlockDeviceMapping.1.Ebs.VolumeSize")), (Some("/dev/sda1"), Some("30")));
    }
}
