//! A stream to a port of a machine.

use std::time::Duration;

use cloudtik_provider_api::{CallError, Connection, DialTarget, ErrorClass};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::aws::Aws;
use crate::kind::{gone, one};
use crate::kinds::Instance;

/// How long a machine may take to accept. Whoever dials tries again.
const ACCEPTS_WITHIN: Duration = Duration::from_secs(10);

/// Opens a stream to a machine: to its public address if it has one.
pub(crate) async fn dial(aws: &Aws, target: &DialTarget) -> Result<Connection, CallError> {
    let address = match aws.session.address(&target.instance) {
        Some(address) => address,
        None => address(aws, &target.instance).await?,
    };
    let place = format!("{} ({address}, port {})", target.instance, target.port);
    let failed = |error: std::io::Error| CallError::new(ErrorClass::Transient, "dial", format!("{place} cannot be reached: {error}"));
    let late = || CallError::new(ErrorClass::Transient, "dial", format!("{place} did not answer within {} s", ACCEPTS_WITHIN.as_secs()));
    let connected = timeout(ACCEPTS_WITHIN, TcpStream::connect((&*address, target.port))).await;
    let stream = match connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
        Ok(stream) => stream,
        Err(error) => {
            // The machine may be gone, or have another address: the next try looks.
            aws.session.set_address(&target.instance, None);
            return Err(if error.kind() == std::io::ErrorKind::TimedOut { late() } else { failed(error) });
        }
    };
    // It stays in the mode in which reads do not block.
    stream.set_nodelay(true).and_then(|()| stream.into_std()).map(Connection::Tcp).map_err(failed)
}

/// Where a machine is dialled. The look keeps it.
async fn address(aws: &Aws, id: &str) -> Result<String, CallError> {
    one::<Instance>(aws, id).await?.ok_or_else(|| gone(id))?;
    let missing = || CallError::new(ErrorClass::Transient, "dial", format!("{id} has no address yet"));
    aws.session.address(id).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use cloudtik_model::Value;

    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_stream_leads_to_the_address_that_was_learnt() {
        let config = Value::object([("region", Value::from("us-west-2")), ("endpoint_url", "http://127.0.0.1:1".into())]);
        let aws = Aws::open(&config, Arc::default()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = DialTarget { instance: "i-1".to_owned(), port: listener.local_addr().unwrap().port() };
        aws.session.set_address("i-1", Some("127.0.0.1"));
        let Connection::Tcp(stream) = dial(&aws, &target).await.unwrap() else { panic!("no stream over a network") };
        assert_eq!(stream.peer_addr().unwrap().port(), target.port);
        drop(listener);
        let error = dial(&aws, &target).await.unwrap_err();
        assert_eq!((error.class, &*error.code), (ErrorClass::Transient, "dial"));
        assert_eq!(aws.session.address("i-1"), None);
    }
}
