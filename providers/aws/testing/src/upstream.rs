//! The server behind the proxy: a request of its own connection for each, which on one machine costs nothing.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::answer::Answer;
use crate::call::Http;

/// Headers that are about a connection, and not about what is said.
const OF_CONNECTION: [&str; 5] = ["connection", "content-length", "transfer-encoding", "expect", "keep-alive"];

/// Sends a request with a body.
pub(crate) async fn send(server: SocketAddr, http: &Http, body: Bytes) -> io::Result<Answer> {
    let stream = TcpStream::connect(server).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with its only request; what goes wrong is told there.
    tokio::spawn(connection);
    let mut request = Request::builder().method(http.method.as_str()).uri(&http.target);
    for (name, value) in http.headers.iter().filter(|(name, _)| !OF_CONNECTION.contains(&name.as_str())) {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body)).map_err(io::Error::other)?;
    let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    // The length of what a HEAD is about is an answer by itself.
    let counts = |name: &str| !OF_CONNECTION.contains(&name) || (http.method == "HEAD" && name == "content-length");
    let headers = head.headers.iter().filter(|(name, _)| counts(name.as_str()));
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body,
    })
}
