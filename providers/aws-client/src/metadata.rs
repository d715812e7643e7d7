//! What an instance of AWS knows of itself: the instance metadata, in its second version.

use std::net::Ipv4Addr;
use std::time::Duration;

use aws_config::imds::client::error::ImdsError;
use aws_config::imds::client::{Builder, Client};
use aws_config::provider_config::ProviderConfig;
use cloudtik_provider_api::{CallError, ErrorClass};

use crate::aws::http_client;
use crate::error::chain;

/// How long the metadata may take: on an instance they answer within milliseconds, anywhere else nobody answers at all.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long one question may take in all, with the token that it needs.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often they are asked. One answer may be lost when an instance just started.
const TRIES: u32 = 2;

/// With `true` nobody asks for the metadata.
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// What to do where there are none.
const HELP: &str = "write `client_vpc` with the id of the network from which the clusters are used";

/// The network that this machine is in, which must be in the region.
pub(crate) async fn network_of_this_machine(region: &str) -> Result<String, CallError> {
    if is_disabled() {
        let text = format!("{DISABLED} says that this machine has no instance metadata, so its network is not known");
        return Err(CallError::new(ErrorClass::Permanent, "no-metadata", text).help(HELP));
    }
    network_by(&builder().build(), region).await
}

/// Where an instance stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its network.
    pub(crate) network: String,
    /// Its address there.
    pub(crate) private: Ipv4Addr,
    /// The one by which it is known outside.
    pub(crate) public: Option<Ipv4Addr>,
}

/// Where this machine stands, if it is an instance.
pub(crate) async fn this_machine() -> Option<Standing> {
    if is_disabled() { None } else { standing_by(&builder().build()).await }
}

async fn standing_by(client: &Client) -> Option<Standing> {
    // Where nobody answers the first question, no other is asked.
    let mac = get(client, "mac").await.ok()?;
    let network = get(client, &format!("network/interfaces/macs/{mac}/vpc-id")).await.ok()?;
    let private = get(client, "local-ipv4").await.ok()?.parse().ok()?;
    let public = get(client, "public-ipv4").await.ok().and_then(|address| address.parse().ok());
    Some(Standing { network, private, public })
}

fn is_disabled() -> bool {
    std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true"))
}

async fn network_by(client: &Client, region: &str) -> Result<String, CallError> {
    let here = get(client, "placement/region").await?;
    if here != region {
        let text = format!("this machine is in region {here}, and the provider block is for region {region}");
        return Err(CallError::new(ErrorClass::Permanent, "metadata-region", text).help(HELP));
    }
    let mac = get(client, "mac").await?;
    get(client, &format!("network/interfaces/macs/{mac}/vpc-id")).await
}

fn builder() -> Builder {
    let config = ProviderConfig::without_region().with_http_client(http_client());
    let builder = Client::builder().configure(&config).max_attempts(TRIES);
    builder.connect_timeout(TIMEOUT).read_timeout(TIMEOUT).operation_attempt_timeout(TIMEOUT).operation_timeout(WHOLE_TIMEOUT)
}

async fn get(client: &Client, path: &str) -> Result<String, CallError> {
    let answer = client.get(format!("/latest/meta-data/{path}")).await;
    answer.map(|text| text.as_ref().trim().to_owned()).map_err(|error| none(path, &error))
}

fn none(path: &str, error: &ImdsError) -> CallError {
    let text = format!("this machine has no instance metadata `{path}`, so its network is not known: {}", chain(error));
    CallError::new(ErrorClass::Permanent, "no-metadata", text).help(HELP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// What answers like the metadata of an instance; the address.
    fn instance() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                let request = String::from_utf8(request).unwrap();
                let body = match request.split(' ').nth(1).unwrap() {
                    "/latest/api/token" => "token",
                    "/latest/meta-data/local-ipv4" => "10.0.0.7",
                    "/latest/meta-data/placement/region" => "us-west-2",
                    "/latest/meta-data/mac" => "0a:1b",
                    "/latest/meta-data/network/interfaces/macs/0a:1b/vpc-id" => "vpc-1\n",
                    // It has no public address.
                    "/latest/meta-data/public-ipv4" => "",
                    other => panic!("{other}"),
                };
                let (length, status) = (body.len(), if body.is_empty() { "404 Not Found" } else { "200 OK" });
                let head = format!("HTTP/1.1 {status}\r\nx-aws-ec2-metadata-token-ttl-seconds: 60\r\ncontent-length: {length}\r\n");
                stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).unwrap();
            }
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn an_instance_knows_its_network() {
        let client = builder().endpoint(instance()).unwrap().build();
        assert_eq!(network_by(&client, "us-west-2").await.unwrap(), "vpc-1");
        let here = Standing { network: "vpc-1".to_owned(), private: Ipv4Addr::new(10, 0, 0, 7), public: None };
        assert_eq!(standing_by(&client).await, Some(here));
        let error = network_by(&client, "eu-west-1").await.unwrap_err();
        assert!(error.message.contains("us-west-2") && error.message.contains("eu-west-1"), "{error:?}");
    }

    #[tokio::test]
    async fn another_machine_does_not() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = builder().endpoint(format!("http://{closed}")).unwrap().build();
        let error = network_by(&client, "us-west-2").await.unwrap_err();
        assert_eq!(&*error.code, "no-metadata");
        assert_eq!(standing_by(&client).await, None);
        assert!(error.help.unwrap().contains("client_vpc"));
    }
}
