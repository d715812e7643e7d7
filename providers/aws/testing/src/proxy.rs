//! The proxy: an HTTP/1.1 server on a thread of its own.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::answer::Answer;
use crate::call::{Call, Http};
use crate::config::Config;
use crate::control;
use crate::record::{Request, counts};
use crate::state::{Client, Held, Hold, Lost, Presence, Shared};

/// A proxy that runs. It ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts one in front of a server, on a free port.
    ///
    /// # Errors
    ///
    /// When there is no port or no thread.
    pub fn start(server: SocketAddr, config: Config) -> io::Result<Self> {
        Self::listen(([127, 0, 0, 1], 0).into(), server, config)
    }

    /// Starts one at an address.
    ///
    /// # Errors
    ///
    /// When the address is taken, or there is no thread.
    pub fn listen(at: SocketAddr, server: SocketAddr, config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(server, config));
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("aws-proxy".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, serving) => {}
                    _ = ended => {}
                }
            });
        })?;
        Ok(Self { address, shared, end: Some(end), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client is given as its endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes switches.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        let state = &mut *self.shared.state();
        let faults = state.config.faults.clone();
        change(&mut state.config);
        if faults != state.config.faults {
            state.faults.reset();
        }
    }

    /// All requests since the beginning, or since they were forgotten.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.all.clone()
    }

    /// How often each action was asked for.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        counts(&self.shared.state().requests.all)
    }

    /// How many calls changed something.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.shared.state().requests.all.iter().filter(|request| request.is_committed_write()).count()
    }

    /// Forgets the requests, and how often faults were looked at.
    pub fn reset(&self) {
        let mut state = self.shared.state();
        state.requests.reset();
        state.faults.reset();
    }

    /// Stops everything after so many more calls that changed something, before the answer of the last of them goes out.
    pub fn hold_after(&self, calls: u64) {
        self.shared.state().hold = Hold { after: Some(calls.max(1)), at: None };
    }

    /// Whether everything stands still, and where.
    #[must_use]
    pub fn held(&self) -> Held {
        self.shared.held()
    }

    /// Lets everything go on, and stops nothing any more.
    pub fn release(&self) {
        self.shared.release();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told where it happened.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        // A connection that could not be taken is its client's to repeat.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&shared)));
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
    // An error is a connection that ended, which is what some of them are meant to do.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(request: HttpRequest<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Lost> {
    let http = read(request).await?;
    if http.target.starts_with(control::PREFIX) {
        return response(control::answer(&shared, &http));
    }
    let client = Client::default();
    let _presence = Presence(client.clone());
    // What a client began goes on when it is gone, as it would at AWS.
    let answer = tokio::spawn(shared.answer(Call::of(http), client)).await;
    response(answer.map_err(|_| Lost)??)
}

async fn read(request: HttpRequest<Incoming>) -> Result<Http, Lost> {
    let (head, body) = request.into_parts();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Http {
        method: head.method.to_string(),
        target: head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        headers: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: body.collect().await.map_err(|_| Lost)?.to_bytes(),
    })
}

fn response(answer: Answer) -> Result<Response<Full<Bytes>>, Lost> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(answer.body)).map_err(|_| Lost)
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection ends here")
    }
}

impl std::error::Error for Lost {}
