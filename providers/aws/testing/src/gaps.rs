//! What the server leaves out and can be done here without a lie.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::answer::{Answer, Refusal};
use crate::call::{Call, Http};
use crate::config::Config;
use crate::upstream;
use crate::xml::Element;

/// The answer to a call that is only tried: the server would do it.
pub(crate) fn rehearsal(call: &Call) -> Option<Refusal> {
    let is_one = call.service == "ec2" && call.get("DryRun") == Some("true");
    is_one.then(|| Refusal::new("DryRunOperation", "Request would have succeeded, but DryRun flag is set.").status(412))
}

/// Versions of engines of databases, with the major one of each. RDS offers more, of these as well.
const ENGINE_VERSIONS: [(&str, &str, &str); 5] = [
    ("postgres", "16", "16.9"),
    ("postgres", "17", "17.4"),
    ("postgres", "17", "17.5"),
    ("mysql", "8.0", "8.0.42"),
    ("mysql", "8.4", "8.4.5"),
];

/// The answer to a question that the server does not know.
pub(crate) fn answered(call: &Call) -> Option<Answer> {
    if call.name() != "rds:DescribeDBEngineVersions" {
        return None;
    }
    let versions = ENGINE_VERSIONS.iter().filter(|(engine, ..)| call.get("Engine").is_none_or(|asked| asked == *engine));
    let version = |(engine, major, version): &(&str, &str, &str)| {
        let parts = [("Engine", *engine), ("MajorEngineVersion", major), ("EngineVersion", version), ("Status", "available")];
        Element::with("DBEngineVersion", parts.map(|(name, text)| Element::text(name, text)).to_vec())
    };
    let all = Element::with("DBEngineVersions", versions.map(version).collect());
    let result = Element::with("DescribeDBEngineVersionsResult", vec![all]);
    Some(Answer::xml(200, &Element::with("DescribeDBEngineVersionsResponse", vec![result])))
}

/// The call with what AWS adds to it by itself. Of machines AWS launches the most that there is room for, the server the least that is asked for.
pub(crate) fn completed(call: &Call, room: Option<u64>) -> Call {
    let mut call = call.clone();
    if call.name() == "ec2:RunInstances"
        && let Some(most) = call.get("MaxCount").and_then(|most| most.parse::<u64>().ok())
    {
        call.parameters.insert("MinCount".to_owned(), room.map_or(most, |room| most.min(room)).to_string());
    }
    if call.name() == "ec2:CreateVpcEndpoint" {
        call.parameters.entry("VpcEndpointType".to_owned()).or_insert_with(|| "Gateway".to_owned());
    }
    call
}

/// The request for a list of objects with the size of page that the switches want.
pub(crate) fn small_pages(config: &Config, call: &Call) -> Http {
    let mut http = call.http.clone();
    if let Some(size) = config.pages.size_max.filter(|_| config.pages.on && is_list_of_objects(call)) {
        let (path, query) = http.target.split_once('?').unwrap_or((&http.target, ""));
        let others = query.split('&').filter(|part| !part.starts_with("max-keys=") && !part.is_empty());
        let parts: Vec<String> = others.map(str::to_owned).chain([format!("max-keys={size}")]).collect();
        http.target = format!("{path}?{}", parts.join("&"));
    }
    http
}

fn is_list_of_objects(call: &Call) -> bool {
    matches!(call.name().as_str(), "s3:ListObjectsV2" | "s3:ListObjectVersions")
}

/// Does what a call asked for and the server passed over: the tags of a new bucket.
pub(crate) async fn fill(server: SocketAddr, call: &Call, answer: &Answer) -> io::Result<()> {
    let Some(tagging) = tags_of_bucket(call).filter(|_| answer.is_success()) else { return Ok(()) };
    let mut http = call.http.clone();
    let path = http.target.split('?').next().unwrap_or_default();
    http.target = format!("{path}?tagging");
    http.headers.retain(|(name, _)| !name.starts_with("x-amz-content") && !name.starts_with("x-amz-checksum") && name != "content-md5");
    let tagged = upstream::send(server, &http, Bytes::from(tagging.document())).await?;
    if tagged.is_success() { Ok(()) } else { Err(io::Error::other(format!("the tags of a new bucket: {}", tagged.status))) }
}

fn tags_of_bucket(call: &Call) -> Option<Element> {
    if call.name() != "s3:CreateBucket" {
        return None;
    }
    let document = Element::parse(std::str::from_utf8(&call.http.body).ok()?)?;
    let tags = document.child("Tags").filter(|tags| !tags.children.is_empty())?;
    Some(Element::with("Tagging", vec![Element::with("TagSet", tags.children.clone())]))
}

/// An answer about databases with those that the server has forgotten.
pub(crate) fn remembered(answer: &Answer, forgotten: Vec<Element>) -> Answer {
    let document = answer.document().filter(|_| answer.is_success());
    let mut document = document.unwrap_or_else(|| {
        let result = Element::with("DescribeDBInstancesResult", vec![Element::text("DBInstances", "")]);
        Element::with("DescribeDBInstancesResponse", vec![result])
    });
    if let Some(set) = document.find_mut("DBInstances") {
        set.children.extend(forgotten);
    }
    Answer::xml(200, &document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pages;

    fn call(method: &str, target: &str, body: &str) -> Call {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Call::of(Http { method: method.to_owned(), target: target.to_owned(), body, ..Http::default() })
    }

    #[test]
    fn tags_of_a_new_bucket_are_found() {
        let body = "<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>";
        let tagging = tags_of_bucket(&call("PUT", "/b", body)).unwrap();
        assert_eq!(tagging.texts("Key"), ["a"]);
        assert!(tags_of_bucket(&call("PUT", "/b", "")).is_none());
        assert!(tags_of_bucket(&call("PUT", "/b?tagging", body)).is_none());
    }

    #[test]
    fn pages_of_objects_are_small() {
        let config = Config { pages: Pages { on: true, size_max: Some(2) }, ..Config::default() };
        let http = small_pages(&config, &call("GET", "/b?list-type=2&max-keys=1000", ""));
        assert_eq!(http.target, "/b?list-type=2&max-keys=2");
        assert_eq!(small_pages(&Config::default(), &call("GET", "/b?list-type=2", "")).target, "/b?list-type=2");
    }

    #[test]
    fn nothing_is_done_when_it_is_only_tried() {
        let ec2 = Call { service: "ec2".to_owned(), ..Call::default() };
        assert_eq!(rehearsal(&ec2.asking("CreateVpc", &[("DryRun", "true")])).unwrap().status, 412);
        assert!(rehearsal(&ec2.asking("DescribeVpcs", &[("DryRun", "true")])).is_some());
        assert_eq!(rehearsal(&ec2.asking("CreateVpc", &[])), None);
    }
}
