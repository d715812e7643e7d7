//! Whether something answers: one look, and waiting until it does.

use std::time::Duration;

use cloudtik_model::Readiness;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::limits::{PROBE_BYTES_MAX, PROBE_INTERVAL, PROBE_TIMEOUT};

/// Waits for ever until it answers; `last` keeps what the last look said.
pub(crate) async fn wait_until_ready(ready: &Readiness, mut last: impl FnMut(String)) {
    loop {
        match probe(ready).await {
            Ok(()) => return,
            Err(reason) => last(reason),
        }
        sleep(PROBE_INTERVAL).await;
    }
}

/// Waits at most this long; a failure says what the last look said.
pub(crate) async fn wait_at_most(ready: &Readiness, limit: Duration) -> Result<(), String> {
    let mut reason = String::new();
    let answer = timeout(limit, wait_until_ready(ready, |text| reason = text)).await;
    answer.map_err(|_| format!("{} did not answer within {} s: {reason}", target(ready), limit.as_secs()))
}

/// One look.
pub(crate) async fn probe(ready: &Readiness) -> Result<(), String> {
    timeout(PROBE_TIMEOUT, look(ready)).await.unwrap_or_else(|_| Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())))
}

/// What is looked at, for people.
pub(crate) fn target(ready: &Readiness) -> String {
    match ready {
        Readiness::Tcp { host, port } => format!("{host}:{port}"),
        Readiness::Http { host, port, path } => format!("http://{host}:{port}{path}"),
    }
}

async fn look(ready: &Readiness) -> Result<(), String> {
    let (Readiness::Tcp { host, port } | Readiness::Http { host, port, .. }) = ready;
    let mut stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| error.to_string())?;
    let Readiness::Http { path, .. } = ready else { return Ok(()) };
    if path.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(format!("the path `{path}` holds a space or a control character"));
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: cloudtik\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let mut part = stream.take(PROBE_BYTES_MAX as u64);
    while !answer.contains(&b'\n') {
        if part.read_buf(&mut answer).await.map_err(|error| error.to_string())? == 0 {
            break;
        }
    }
    match status_of(&answer) {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("it answered with status {status}")),
        None => Err("it answered with something else than HTTP".to_owned()),
    }
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let mut words = line.split(' ');
    words.next()?.strip_prefix("HTTP/1.")?;
    let status = words.next()?;
    (status.len() == 3).then(|| status.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read() {
        assert_eq!(status_of(b"HTTP/1.1 204 No Content\r\nA: b\r\n"), Some(204));
        assert_eq!(status_of(b"HTTP/1.0 500\n"), Some(500));
        assert_eq!(status_of(b"HTTP/2 200\n"), None);
        assert_eq!(status_of(b"SSH-2.0-x\r\n"), None);
        assert_eq!(status_of(b""), None);
    }

    #[tokio::test]
    async fn pages_and_ports_are_told_apart() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = "127.0.0.1".to_owned();
        let server = tokio::spawn(async move {
            for status in ["503 Busy", "302 Elsewhere"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 512];
                let count = stream.read(&mut request).await.unwrap();
                assert!(String::from_utf8_lossy(&request[..count]).starts_with("GET /health HTTP/1.1\r\n"));
                stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
            }
            listener
        });
        let http = Readiness::Http { host: host.clone(), port, path: "/health".to_owned() };
        assert_eq!(probe(&http).await, Err("it answered with status 503".to_owned()));
        assert_eq!(probe(&http).await, Ok(()));
        let tcp = Readiness::Tcp { host, port };
        let listener = server.await.unwrap();
        assert_eq!(probe(&tcp).await, Ok(()));
        drop(listener);
        assert!(wait_at_most(&tcp, Duration::from_millis(250)).await.unwrap_err().contains("did not answer"));
    }
}
