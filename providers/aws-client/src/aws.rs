//! The clients, and the one way to send a request.

use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use cloudtik_model::{Value, duration_seconds};
use cloudtik_provider_api::{CallError, ErrorClass};

use crate::error::{Effect, classified};
use crate::limits::Limits;
use crate::looks::Looks;
use crate::session::Session;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one request may take. RunInstances of many takes the longest.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Reads are repeated this often when AWS is busy or does not answer; whoever asked for a read would do the same.
const READ_TRIES: u32 = 6;
/// The first pause between reads that are repeated; each is twice the one before.
const READ_PAUSE: Duration = Duration::from_millis(200);

/// A connection to AWS, as one configuration says.
pub(crate) struct Aws {
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) ssm: aws_sdk_ssm::Client,
    pub(crate) sts: aws_sdk_sts::Client,
    pub(crate) rds: aws_sdk_rds::Client,
    pub(crate) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(crate) cloudformation: aws_sdk_cloudformation::Client,
    pub(crate) quotas: aws_sdk_servicequotas::Client,
    /// The region.
    pub(crate) region: String,
    /// What was learnt.
    pub(crate) session: Session,
    /// What several kinds look at together.
    pub(crate) looks: Arc<Looks>,
    limits: Limits,
}

impl Aws {
    /// As a configuration says, with what the environment says where it does not.
    pub(crate) async fn open(config: &Value, looks: Arc<Looks>) -> Result<Self, CallError> {
        let shared = sdk_config(config).await?;
        let Some(region) = shared.region().map(|region| region.as_ref().to_owned()) else {
            let help = "write `region` in the provider block, or set AWS_REGION";
            return Err(CallError::new(ErrorClass::Permanent, "no-region", "nothing says which region of AWS").help(help));
        };
        // A server that is not AWS has no name for each bucket.
        let s3 = aws_sdk_s3::config::Builder::from(&shared).force_path_style(shared.endpoint_url().is_some()).build();
        let aws = Self {
            ec2: aws_sdk_ec2::Client::new(&shared),
            iam: aws_sdk_iam::Client::new(&shared),
            s3: aws_sdk_s3::Client::from_conf(s3),
            ssm: aws_sdk_ssm::Client::new(&shared),
            sts: aws_sdk_sts::Client::new(&shared),
            rds: aws_sdk_rds::Client::new(&shared),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&shared),
            cloudformation: aws_sdk_cloudformation::Client::new(&shared),
            quotas: aws_sdk_servicequotas::Client::new(&shared),
            region,
            session: Session::default(),
            looks,
            limits: Limits::default(),
        };
        aws.check_account(config).await?;
        Ok(aws)
    }

    /// Refuses an account that the configuration does not allow, before anything else is asked or done in it.
    async fn check_account(&self, config: &Value) -> Result<(), CallError> {
        let allowed: Vec<&str> =
            config.get("allowed_account_ids").and_then(Value::elements).into_iter().flatten().filter_map(Value::as_str).collect();
        if allowed.is_empty() {
            return Ok(());
        }
        let account = self.account().await?;
        if allowed.contains(&account) {
            return Ok(());
        }
        let text = format!("the credentials belong to the account {account}, which `allowed_account_ids` has not");
        let help = format!("use credentials of {}", allowed.join(" or "));
        Err(CallError::new(ErrorClass::Permanent, "aws-account", text).help(help))
    }

    /// The name across all of AWS of what is in this region.
    pub(crate) fn arn(&self, service: &str, account: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{account}:{resource}", partition(&self.region), self.region)
    }

    /// Sends a request that changes something. It is sent once: who asked for the change knows how to repeat it.
    pub(crate) async fn write<T, E>(
        &self,
        action: &'static str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, CallError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.limits.take(action, Effect::Possible).await;
        self.looks.may_have_changed();
        let answer = request.await;
        self.looks.may_have_changed();
        answer.map_err(|error| classified(action, Effect::Possible, &error))
    }

    /// Sends a request as a dry run: it does nothing, and its answer is an error. It is sent once.
    pub(crate) async fn dry<T, E>(
        &self,
        action: &'static str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, CallError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.limits.take(action, Effect::None).await;
        request.await.map_err(|error| classified(action, Effect::None, &error))
    }

    /// Sends a request that only reads, again where that helps.
    pub(crate) async fn read<T, E, F>(&self, action: &'static str, mut request: impl FnMut() -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut pause = READ_PAUSE;
        for _ in 1..READ_TRIES {
            self.limits.take(action, Effect::None).await;
            match request().await.map_err(|error| classified(action, Effect::None, &error)) {
                Err(error) if matches!(error.class, ErrorClass::Throttled | ErrorClass::Transient) => {}
                other => return other,
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
        self.limits.take(action, Effect::None).await;
        request().await.map_err(|error| classified(action, Effect::None, &error))
    }
}

async fn sdk_config(config: &Value) -> Result<SdkConfig, CallError> {
    let text = |name: &str| config.get(name).and_then(Value::as_str).map(str::to_owned);
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(REQUEST_TIMEOUT).build();
    let mut loader: ConfigLoader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        // The engine repeats what may be repeated: an SDK that does so too would hide it from the journal.
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(region) = text("region") {
        loader = loader.region(Region::new(region));
    }
    if let Some(profile) = text("profile") {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = text("endpoint_url") {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(files) = config.get("shared_config_files").and_then(Value::elements) {
        let kind = EnvConfigFileKind::Config;
        let files = files.filter_map(Value::as_str);
        let files = files.fold(EnvConfigFiles::builder(), |files, path| files.with_file(kind, path));
        loader = loader.profile_files(files.build());
    }
    let shared = at_an_endpoint(loader.load().await)?;
    let Some(role) = config.get("assume_role").filter(|role| !role.is_null()) else { return Ok(shared) };
    assume(role, shared).await
}

/// Refuses what is no address of a server: the SDK would panic at the first request. An empty one, as an unset variable of a script leaves it, is
/// none.
fn at_an_endpoint(shared: SdkConfig) -> Result<SdkConfig, CallError> {
    let Some(endpoint) = shared.endpoint_url() else { return Ok(shared) };
    if endpoint.is_empty() {
        let mut without = shared.into_builder();
        without.set_endpoint_url(None);
        return Ok(without.build());
    }
    let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
    if host.is_some_and(|host| !host.is_empty() && !host.starts_with('/') && !host.contains(char::is_whitespace)) {
        return Ok(shared);
    }
    let text = format!("`{endpoint}` is no address of a server");
    let help =
        "write it with its scheme: `https://HOST` or `http://HOST:PORT`, in `endpoint_url` of the provider block or in AWS_ENDPOINT_URL";
    Err(CallError::new(ErrorClass::Permanent, "endpoint", text).help(help))
}

/// What requests travel by.
pub(crate) fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https()
}

/// The same, as another role.
async fn assume(role: &Value, shared: SdkConfig) -> Result<SdkConfig, CallError> {
    let text = |name: &str| role.get(name).and_then(Value::as_str);
    let Some(arn) = text("role_arn") else {
        return Err(CallError::new(ErrorClass::Permanent, "assume-role", "`assume_role` has no `role_arn`"));
    };
    let mut provider =
        aws_config::sts::AssumeRoleProvider::builder(arn).configure(&shared).session_name(text("session_name").unwrap_or("cloudtik"));
    if let Some(id) = text("external_id") {
        provider = provider.external_id(id);
    }
    if let Some(seconds) = text("duration").and_then(duration_seconds) {
        provider = provider.session_length(Duration::from_secs(seconds));
    }
    let credentials = aws_sdk_sts::config::SharedCredentialsProvider::new(provider.build().await);
    Ok(shared.into_builder().credentials_provider(credentials).build())
}

/// The part of AWS that a region lies in.
pub(crate) fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_of_a_server() {
        let with = |endpoint: &str| at_an_endpoint(SdkConfig::builder().endpoint_url(endpoint).build());
        for (given, kept) in [("", None), ("http://127.0.0.1:5000", Some("http://127.0.0.1:5000")), ("https://aws", Some("https://aws"))] {
            assert_eq!(with(given).unwrap().endpoint_url(), kept, "{given}");
        }
        for wrong in ["localhost:4566", "http://", "http:///path", "ftp://host", " ", "http://a b"] {
            assert_eq!(with(wrong).unwrap_err().code, "endpoint", "{wrong}");
        }
    }
}
