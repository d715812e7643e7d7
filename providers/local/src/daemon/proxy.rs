//! The way out of nodes that have a network of their own: an HTTP proxy at this machine's address in each of their networks, and only there.
//!
//! It does `CONNECT`, and `GET`, `HEAD` and `POST` of whole URLs, which is what package managers use. What it connects to, this machine
//! connects to, its own loopback addresses too. Neither forwarding nor the firewall of the machine is touched.

mod head;
mod upstream;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpListener as StdListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::Ipv4Net;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::addresses::gateway_of;
use super::inventory::complain;
use crate::failure::system_failure;
use crate::options::ProxyVariables;
use crate::protocol::CloudError;
use head::{Asked, Forward, Refusal, Target, end_of_head, parse, refusal};
use upstream::{Upstream, Upstreams};

/// The port that proxies usually have. Where the machine has something at it, the system chooses another.
const PORT: u16 = 3128;

/// Most connections at once through the proxy of one network. A package manager opens some ten on each node.
const CONNECTIONS_MAX: usize = 256;

/// The longest head of a request or of another proxy's answer: servers refuse longer ones than 8 to 32 KiB.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long a client may take for the head of its request. It has it ready.
const HEAD_WAIT: Duration = Duration::from_secs(30);

/// How long a connection to a server may take, the look for its address included: as long as package managers wait.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// How long a connection may be without a byte in either direction: longer than a server needs to make up an answer.
const IDLE_WAIT: Duration = Duration::from_secs(300);

/// How long a client that was answered may go on sending, so that the answer is not lost with the connection.
const LINGER_WAIT: Duration = Duration::from_secs(2);

/// Pieces in which bytes are passed on.
const PIECE_BYTES: usize = 16 * 1024;

/// Pause after a failed accept, and between two attempts to listen again after a restart.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The proxies, by network.
#[derive(Debug)]
pub(crate) struct Proxies {
    runtime: Handle,
    upstreams: Arc<Upstreams>,
    by_network: Mutex<BTreeMap<String, Listening>>,
}

/// A proxy that listens. Its connections end with it.
#[derive(Debug)]
struct Listening(AbortHandle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Proxies {
    /// None listens yet. What this machine's own way out is, the variables say.
    pub(crate) fn new(runtime: Handle, variables: &ProxyVariables) -> Self {
        let (upstreams, problems) = Upstreams::of(variables);
        for problem in problems {
            complain(&problem);
        }
        Self { runtime, upstreams: Arc::new(upstreams), by_network: Mutex::new(BTreeMap::new()) }
    }

    /// Listens in a network, and says where.
    pub(crate) fn open(&self, network: &str, cidr: Ipv4Net) -> Result<SocketAddrV4, CloudError> {
        let gateway = gateway_of(cidr);
        let listener = bind(SocketAddrV4::new(gateway, PORT)).or_else(|_| bind(SocketAddrV4::new(gateway, 0)));
        let failed = |error: io::Error| system_failure(&format!("listen for the nodes at {gateway}"), &error);
        let listener = listener.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let address = SocketAddrV4::new(gateway, port);
        self.start(network, cidr, address, Some(listener));
        Ok(address)
    }

    /// Listens where it did before a restart of the daemon, and goes on trying while the port is in use: nodes know it.
    pub(crate) fn open_again(&self, network: &str, cidr: Ipv4Net, address: SocketAddrV4) {
        self.start(network, cidr, address, bind(address).ok());
    }

    /// Ends the proxy of a network and its connections.
    pub(crate) fn close(&self, network: &str) {
        self.by_network.lock().unwrap_or_else(PoisonError::into_inner).remove(network);
    }

    fn start(&self, network: &str, cidr: Ipv4Net, address: SocketAddrV4, listener: Option<StdListener>) {
        let task = self.runtime.spawn(listen(cidr, address, listener, Arc::clone(&self.upstreams))).abort_handle();
        self.by_network.lock().unwrap_or_else(PoisonError::into_inner).insert(network.to_owned(), Listening(task));
    }
}

/// What nodes of a network have in their environment: where the proxy is, and what needs none.
pub(crate) fn variables(proxy: &str, cidr: &str, own: &str) -> Vec<(String, String)> {
    let url = format!("http://{proxy}");
    // Not everybody reads a range, so that the node's own address stands for itself.
    let near = format!("127.0.0.1,localhost,{cidr},{own}");
    let proxies = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map(|name| (name.to_owned(), url.clone()));
    proxies.into_iter().chain(["no_proxy", "NO_PROXY"].map(|name| (name.to_owned(), near.clone()))).collect()
}

fn bind(address: SocketAddrV4) -> io::Result<StdListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn listen(cidr: Ipv4Net, address: SocketAddrV4, listener: Option<StdListener>, upstreams: Arc<Upstreams>) {
    let mut waiting = listener;
    let listener = loop {
        let bound = waiting.take().map_or_else(|| bind(address), Ok).and_then(TcpListener::from_std);
        match bound {
            Ok(listener) => break listener,
            Err(_) => sleep(RETRY_PAUSE).await,
        }
    };
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            // The machine takes packets for this address from wherever they come; the proxy is for the nodes of its network.
            Ok((_, peer)) if !is_in(cidr, peer.ip()) => {}
            Ok((client, _)) => {
                let upstreams = Arc::clone(&upstreams);
                connections.spawn(async move {
                    serve(client, &upstreams).await;
                    drop(permit);
                });
            }
            Err(_) => sleep(RETRY_PAUSE).await,
        }
    }
}

fn is_in(cidr: Ipv4Net, peer: IpAddr) -> bool {
    matches!(peer, IpAddr::V4(peer) if cidr.contains::<&Ipv4Addr>(&peer))
}

/// One connection: one request.
async fn serve(mut client: TcpStream, upstreams: &Upstreams) {
    let asked = match timeout(HEAD_WAIT, read_head(&mut client)).await {
        Ok(Ok((head, rest))) => parse(&head).map(|asked| (asked, rest)),
        Ok(Err(Some(refused))) => Err(refused),
        // It left without a word.
        Ok(Err(None)) => return,
        Err(_) => Err(refusal("408 Request Timeout", "the request did not come to its end")),
    };
    let done = match asked {
        Ok((Asked::Tunnel(target), rest)) => tunnel(&mut client, &target, &rest, upstreams).await,
        Ok((Asked::Forward(forward), rest)) => pass_on(&mut client, &forward, &rest, upstreams).await,
        Err(refused) => Err(refused),
    };
    if let Err(refused) = done {
        // A client that is gone hears nothing.
        let _ = client.write_all(&answer(&refused)).await;
    }
    linger(client).await;
}

fn answer(refused: &Refusal) -> Vec<u8> {
    let text = format!("cloudtik: {}\n", refused.text);
    let head = format!("HTTP/1.1 {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n", refused.status, text.len());
    format!("{head}Connection: close\r\n\r\n{text}").into_bytes()
}

/// The head, and what came behind it. An error without a refusal is an end.
async fn read_head(stream: &mut TcpStream) -> Result<(Vec<u8>, Vec<u8>), Option<Refusal>> {
    let mut bytes = Vec::new();
    let mut piece = vec![0_u8; PIECE_BYTES];
    loop {
        let count = stream.read(&mut piece).await.map_err(|_| None)?;
        if count == 0 {
            return Err(None);
        }
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
        let end = end_of_head(&bytes);
        if end.unwrap_or(bytes.len()) > HEAD_BYTES_MAX {
            let text = format!("the head is longer than {HEAD_BYTES_MAX} bytes");
            return Err(Some(refusal("431 Request Header Fields Too Large", text)));
        }
        if let Some(end) = end {
            let rest = bytes.split_off(end);
            return Ok((bytes, rest));
        }
    }
}

/// A stream of bytes to a server.
async fn tunnel(client: &mut TcpStream, target: &Target, rest: &[u8], upstreams: &Upstreams) -> Result<(), Refusal> {
    let (mut server, first) = match upstreams.of_target(target, true) {
        None => (connect(target).await?, Vec::new()),
        Some(upstream) => tunnel_through(upstream, target).await?,
    };
    // From here on the client has its answer, and an error is an end.
    let mut said = b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec();
    said.extend_from_slice(&first);
    if client.write_all(&said).await.is_err() || server.write_all(rest).await.is_err() {
        return Ok(());
    }
    let activity = Activity::new();
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let both = async {
        tokio::join!(
            pump(&mut client_read, &mut server_write, u64::MAX, &activity),
            pump(&mut server_read, &mut client_write, u64::MAX, &activity)
        )
    };
    tokio::select! {
        _ = both => {}
        () = activity.ceases() => {}
    }
    Ok(())
}

/// A stream of bytes to a server, that another proxy opens; and what came with its answer.
async fn tunnel_through(upstream: &Upstream, target: &Target) -> Result<(TcpStream, Vec<u8>), Refusal> {
    let mut stream = connect(&upstream.target).await?;
    let authority = target.authority();
    let authorization = upstream.authorization.as_ref().map(|text| format!("Proxy-Authorization: {text}\r\n")).unwrap_or_default();
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{authorization}\r\n");
    let failed = |text: &str| refusal("502 Bad Gateway", format!("the proxy {}: {text}", upstream.target.authority()));
    stream.write_all(request.as_bytes()).await.map_err(|error| failed(&error.to_string()))?;
    let head = timeout(CONNECT_WAIT, read_head(&mut stream)).await.map_err(|_| failed("no answer"))?;
    let (head, first) = head.map_err(|refused| failed(&refused.map_or_else(|| "it ended".to_owned(), |refused| refused.text)))?;
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default()).into_owned();
    if line.starts_with("HTTP/1.") && line.split(' ').nth(1).is_some_and(|status| status.len() == 3 && status.starts_with('2')) {
        Ok((stream, first))
    } else {
        Err(failed(&format!("it says `{}`", line.chars().filter(|c| !c.is_control()).collect::<String>())))
    }
}

/// A request to a server, and its answer.
async fn pass_on(client: &mut TcpStream, forward: &Forward, rest: &[u8], upstreams: &Upstreams) -> Result<(), Refusal> {
    let upstream = upstreams.of_target(&forward.target, false);
    let mut server = connect(upstream.map_or(&forward.target, |upstream| &upstream.target)).await?;
    let head = upstream.map_or_else(|| forward.for_server(), |upstream| forward.for_proxy(upstream.authorization.as_deref()));
    let lost = |error: io::Error| refusal("502 Bad Gateway", format!("{}: {error}", forward.target.authority()));
    server.write_all(&head).await.map_err(lost)?;
    // What comes behind the body is another request, which would be this server's only by mistake.
    let here = usize::try_from(forward.body_bytes).unwrap_or(usize::MAX).min(rest.len());
    server.write_all(rest.get(..here).unwrap_or_default()).await.map_err(lost)?;
    let left = forward.body_bytes.saturating_sub(here as u64);
    let activity = Activity::new();
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let body = async {
        // A body that does not come to its end is the server's to complain of.
        let _ = move_bytes(&mut client_read, &mut server_write, left, &activity).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = body => {}
        () = pump(&mut server_read, &mut client_write, u64::MAX, &activity) => {}
        () = activity.ceases() => {}
    }
    Ok(())
}

async fn connect(target: &Target) -> Result<TcpStream, Refusal> {
    let failed = |text: String| refusal("502 Bad Gateway", format!("{} cannot be reached: {text}", target.authority()));
    let attempt = async {
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        Ok::<_, io::Error>(stream)
    };
    match timeout(CONNECT_WAIT, attempt).await {
        Ok(connected) => connected.map_err(|error| failed(error.to_string())),
        Err(_) => {
            Err(refusal("504 Gateway Timeout", format!("{} did not answer within {} seconds", target.authority(), CONNECT_WAIT.as_secs())))
        }
    }
}

/// When a byte was passed on last.
struct Activity {
    began: Instant,
    last_ms: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { began: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn note(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }

    /// Returns when nothing was passed on for too long.
    async fn ceases(&self) {
        loop {
            let quiet = self.began.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)));
            match IDLE_WAIT.checked_sub(quiet).filter(|left| !left.is_zero()) {
                Some(left) => sleep(left).await,
                None => return,
            }
        }
    }
}

/// Passes bytes on until there are no more, and then the end. What breaks off ends too.
async fn pump(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), bytes: u64, activity: &Activity) {
    let _ = move_bytes(from, to, bytes, activity).await;
    let _ = to.shutdown().await;
}

async fn move_bytes(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    bytes: u64,
    activity: &Activity,
) -> io::Result<()> {
    let mut left = bytes;
    let mut piece = vec![0_u8; PIECE_BYTES];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let count = from.read(piece.get_mut(..most).unwrap_or_default()).await?;
        if count == 0 {
            return Ok(());
        }
        activity.note();
        to.write_all(piece.get(..count).unwrap_or_default()).await?;
        activity.note();
        left = left.saturating_sub(count as u64);
    }
    Ok(())
}

/// Ends a connection so that what was written last arrives: one that is closed while its client still sends loses it.
async fn linger(mut client: TcpStream) {
    if client.shutdown().await.is_err() {
        return;
    }
    let mut piece = vec![0_u8; PIECE_BYTES];
    let drained = async { while client.read(&mut piece).await.is_ok_and(|count| count > 0) {} };
    let _ = timeout(LINGER_WAIT, drained).await;
}

#[cfg(test)]
mod tests;
