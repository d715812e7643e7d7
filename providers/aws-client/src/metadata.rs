//! What an instance of AWS knows of itself: the instance metadata, in its second version.

use std::time::Duration;

use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use cloudtik_provider_api::{CallError, ErrorClass};

use crate::aws::http_client;

/// How long the metadata may take: on an instance they answer within milliseconds, anywhere else nobody answers at all.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often they are asked. One answer may be lost when an instance just started.
const TRIES: u32 = 2;

/// What to do where there are none.
const HELP: &str = "write `client_vpc` with the id of the network from which the clusters are used";

/// The network that this machine is in, which must be in the region.
pub(crate) async fn network_of_this_machine(region: &str) -> Result<String, CallError> {
    let client = client();
    let here = get(&client, "placement/region").await?;
    if here != region {
        let text = format!("this machine is in region {here}, and the provider block is for region {region}");
        return Err(CallError::new(ErrorClass::Permanent, "metadata-region", text).help(HELP));
    }
    let mac = get(&client, "mac").await?;
    get(&client, &format!("network/interfaces/macs/{mac}/vpc-id")).await
}

fn client() -> Client {
    let config = ProviderConfig::without_region().with_http_client(http_client());
    let builder = Client::builder().configure(&config).max_attempts(TRIES);
    builder.connect_timeout(TIMEOUT).read_timeout(TIMEOUT).operation_attempt_timeout(TIMEOUT).build()
}

async fn get(client: &Client, path: &str) -> Result<String, CallError> {
    let answer = client.get(format!("/latest/meta-data/{path}")).await;
    answer.map(|text| text.as_ref().trim().to_owned()).map_err(|error| none(path, &error))
}

fn none(path: &str, error: &ImdsError) -> CallError {
    let text = format!("this machine has no instance metadata `{path}`, so its network is not known: {error}");
    CallError::new(ErrorClass::Permanent, "no-metadata", text).help(HELP)
}
