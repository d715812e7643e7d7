//! What a request asks for: service, action and parameters, whatever protocol it speaks.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value as Json;

/// Actions that change nothing begin with one of these.
const READS: [&str; 9] = ["Describe", "Get", "List", "Head", "Search", "Lookup", "Simulate", "Assume", "Validate"];

/// A request to a service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    /// The service, as signatures name it: `ec2`, `iam`, `s3` …
    pub(crate) service: String,
    /// The region that it is signed for.
    pub(crate) region: String,
    /// The key that it is signed with: whose account it is for.
    pub(crate) key: String,
    /// The action: `DescribeVpcs`.
    pub(crate) action: String,
    /// The parameters, flat: `Filter.1.Name`.
    pub(crate) parameters: BTreeMap<String, String>,
    /// The protocol.
    pub(crate) protocol: Protocol,
    /// Method, path with query, headers and body, to send it on.
    pub(crate) http: Http,
}

/// How parameters and answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Parameters in a form, answers in XML.
    #[default]
    Query,
    /// Both in JSON.
    Json,
    /// What is meant lies in the method and the path.
    Rest,
}

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Http {
    /// `GET`, `POST` …
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Headers, in small letters.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Bytes,
}

impl Http {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

impl Call {
    /// Reads a request.
    pub(crate) fn of(http: Http) -> Self {
        let scope = http.header("authorization").and_then(scope).unwrap_or_default();
        let call = Self { service: scope.service, region: scope.region, key: scope.key, http, ..Self::default() };
        if let Some(target) = call.http.header("x-amz-target").map(str::to_owned) {
            return call.json(&target);
        }
        let form = call.http.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if form && call.service != "s3" { call.form() } else { call.rest() }
    }

    fn json(mut self, target: &str) -> Self {
        let (prefix, action) = target.split_once('.').unwrap_or((target, target));
        action.clone_into(&mut self.action);
        self.protocol = Protocol::Json;
        if self.service.is_empty() && prefix == "AmazonSSM" {
            "ssm".clone_into(&mut self.service);
        }
        if let Ok(Json::Object(object)) = serde_json::from_slice(&self.http.body) {
            let text = |value: Json| if let Json::String(text) = value { text } else { value.to_string() };
            self.parameters = object.into_iter().map(|(name, value)| (name, text(value))).collect();
        }
        self
    }

    fn form(mut self) -> Self {
        self.parameters = form_urlencoded::parse(&self.http.body).into_owned().collect();
        self.action = self.parameters.remove("Action").unwrap_or_default();
        if self.service.is_empty() {
            // Nobody signed it: the version of the interface tells them apart.
            self.service = match self.parameters.get("Version").map(String::as_str) {
                Some("2010-05-08") => "iam",
                Some("2011-06-15") => "sts",
                Some("2014-10-31") => "rds",
                Some("2015-12-01") => "elasticloadbalancing",
                Some("2010-05-15") => "cloudformation",
                _ => "ec2",
            }
            .to_owned();
        }
        self
    }

    fn rest(mut self) -> Self {
        let (path, query) = self.http.target.split_once('?').unwrap_or((&self.http.target, ""));
        let mut parameters: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let (bucket, object) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        self.action = object_store_action(&self.http, bucket, object, &parameters);
        if !bucket.is_empty() {
            parameters.insert("Bucket".to_owned(), bucket.to_owned());
        }
        if !object.is_empty() {
            parameters.insert("Key".to_owned(), object.to_owned());
        }
        "s3".clone_into(&mut self.service);
        self.protocol = Protocol::Rest;
        self.parameters = parameters;
        self
    }

    /// Service and action: `ec2:DescribeVpcs`.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.service, self.action)
    }

    /// Whether it is meant to change something.
    pub(crate) fn is_write(&self) -> bool {
        !READS.iter().any(|prefix| self.action.starts_with(prefix))
    }

    /// A parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The values of a list: `VpcId.1`, `VpcId.2` …, also `Names.member.1`, also the one without a number.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let is_of = |key: &str| {
            let rest = key.strip_prefix(name)?;
            let rest = rest.strip_prefix(".member").unwrap_or(rest);
            (rest.is_empty() || rest.strip_prefix('.')?.bytes().all(|byte| byte.is_ascii_digit())).then_some(())
        };
        self.parameters.iter().filter(|(key, _)| is_of(key).is_some()).map(|(_, value)| value.clone()).collect()
    }

    /// The filters of a describe call: names with values.
    pub(crate) fn filters(&self) -> Vec<(String, Vec<String>)> {
        let names = self.parameters.iter().filter_map(|(key, name)| {
            let number = key.strip_prefix("Filter.")?.strip_suffix(".Name")?;
            Some((number, name))
        });
        names.map(|(number, name)| (name.clone(), self.list(&format!("Filter.{number}.Value")))).collect()
    }

    /// The same call with other filters.
    pub(crate) fn with_filters(&self, filters: &[(String, Vec<String>)]) -> Self {
        let mut call = self.clone();
        call.parameters.retain(|key, _| !key.starts_with("Filter."));
        for (i, (name, values)) in filters.iter().enumerate() {
            call.parameters.insert(format!("Filter.{}.Name", i + 1), name.clone());
            for (j, value) in values.iter().enumerate() {
                call.parameters.insert(format!("Filter.{}.Value.{}", i + 1, j + 1), value.clone());
            }
        }
        call
    }

    /// Another query with the same signature.
    pub(crate) fn asking(&self, action: &str, parameters: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut call = Self { action: action.to_owned(), parameters: parameters.iter().map(own).collect(), ..self.clone() };
        if let Some(version) = self.get("Version") {
            call.parameters.insert("Version".to_owned(), version.to_owned());
        }
        call
    }

    /// A query to another service with the same credentials. Its signature is wrong there, which the server does not look at.
    pub(crate) fn asking_of(&self, service: &str, version: &str, action: &str) -> Self {
        let mut call = self.asking(action, &[("Version", version)]);
        call.parameters.insert("Version".to_owned(), version.to_owned());
        for (name, value) in &mut call.http.headers {
            if name.eq_ignore_ascii_case("authorization") {
                *value = value.replace(&format!("/{}/aws4_request", self.service), &format!("/{service}/aws4_request"));
            }
        }
        call.service = service.to_owned();
        call
    }

    /// The body of the parameters as they are now, of a query.
    pub(crate) fn body(&self) -> Bytes {
        if self.protocol != Protocol::Query {
            return self.http.body.clone();
        }
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", &self.action).extend_pairs(&self.parameters);
        Bytes::from(form.finish())
    }
}

#[derive(Default)]
struct Scope {
    key: String,
    region: String,
    service: String,
}

/// What a signature is for: `Credential=KEY/DAY/REGION/SERVICE/aws4_request`.
fn scope(authorization: &str) -> Option<Scope> {
    let credential = authorization.split_once("Credential=")?.1.split([',', ' ']).next()?;
    let mut parts = credential.split('/');
    let (key, _day) = (parts.next()?, parts.next()?);
    let (region, service) = (parts.next()?, parts.next()?);
    Some(Scope { key: key.to_owned(), region: region.to_owned(), service: service.to_owned() })
}

/// Parts of a bucket that have calls of their own, with the names of those.
const PARTS: [(&str, &str); 9] = [
    ("tagging", "BucketTagging"),
    ("encryption", "BucketEncryption"),
    ("versioning", "BucketVersioning"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("policy", "BucketPolicy"),
    ("lifecycle", "BucketLifecycleConfiguration"),
    ("ownershipControls", "BucketOwnershipControls"),
    ("location", "BucketLocation"),
    ("acl", "BucketAcl"),
];

fn object_store_action(http: &Http, bucket: &str, object: &str, query: &BTreeMap<String, String>) -> String {
    let method = http.method.as_str();
    if bucket.is_empty() {
        return "ListBuckets".to_owned();
    }
    if !object.is_empty() {
        return match method {
            "GET" => "GetObject",
            "HEAD" => "HeadObject",
            "DELETE" => "DeleteObject",
            "POST" => "PostObject",
            _ => "PutObject",
        }
        .to_owned();
    }
    if let Some((_, name)) = PARTS.iter().find(|(part, _)| query.contains_key(*part)) {
        let verb = match method {
            "GET" | "HEAD" => "Get",
            "DELETE" => "Delete",
            _ => "Put",
        };
        return format!("{verb}{name}");
    }
    match method {
        "PUT" => "CreateBucket",
        "DELETE" => "DeleteBucket",
        "HEAD" => "HeadBucket",
        "POST" => "DeleteObjects",
        _ if query.contains_key("versions") => "ListObjectVersions",
        _ => "ListObjectsV2",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Http {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Http {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.iter().map(own).collect(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    #[test]
    fn queries_are_read() {
        let signed =
            ("authorization", "AWS4-HMAC-SHA256 Credential=K/20260101/us-west-2/ec2/aws4_request, SignedHeaders=host, Signature=x");
        let body = "Action=DescribeVpcs&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1&Filter.1.Value.2=vpc-2&VpcId.1=a";
        let call = Call::of(http("POST", "/", &[signed, FORM], body));
        assert_eq!((call.name().as_str(), call.region.as_str(), call.key.as_str()), ("ec2:DescribeVpcs", "us-west-2", "K"));
        assert!(!call.is_write());
        assert_eq!(call.filters(), [("vpc-id".to_owned(), vec!["vpc-1".to_owned(), "vpc-2".to_owned()])]);
        assert_eq!(call.list("VpcId"), ["a"]);
        let other = call.with_filters(&[("state".to_owned(), vec!["x".to_owned()])]);
        assert_eq!(other.filters(), [("state".to_owned(), vec!["x".to_owned()])]);
        assert!(String::from_utf8_lossy(&other.body()).starts_with("Action=DescribeVpcs&Filter.1.Name=state"));
    }

    #[test]
    fn json_is_read() {
        let call = Call::of(http("POST", "/", &[("x-amz-target", "AmazonSSM.PutParameter")], r#"{"Name":"/a","Overwrite":true}"#));
        assert_eq!((call.name().as_str(), call.get("Name"), call.get("Overwrite")), ("ssm:PutParameter", Some("/a"), Some("true")));
        assert!(call.is_write());
    }

    #[test]
    fn unsigned_queries_are_known_by_their_version() {
        let call = Call::of(http("POST", "/", &[FORM], "Action=GetRole&Version=2010-05-08&RoleName=r"));
        assert_eq!(call.name(), "iam:GetRole");
    }

    #[test]
    fn paths_are_actions() {
        for (method, target, name) in [
            ("GET", "/", "s3:ListBuckets"),
            ("PUT", "/b", "s3:CreateBucket"),
            ("PUT", "/b?tagging=", "s3:PutBucketTagging"),
            ("GET", "/b?versioning", "s3:GetBucketVersioning"),
            ("DELETE", "/b", "s3:DeleteBucket"),
            ("HEAD", "/b/", "s3:HeadBucket"),
            ("GET", "/b?list-type=2", "s3:ListObjectsV2"),
            ("POST", "/b?delete", "s3:DeleteObjects"),
            ("PUT", "/b/k/l", "s3:PutObject"),
        ] {
            assert_eq!(Call::of(http(method, target, &[], "")).name(), name, "{method} {target}");
        }
        assert_eq!(Call::of(http("PUT", "/b/k/l", &[], "")).get("Key"), Some("k/l"));
    }
}
