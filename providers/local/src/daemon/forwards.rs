//! Published ports: a listener on this machine's loopback address per port, and a pipe to the node per connection.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use crate::failure::{conflict, permanent, system_failure};
use crate::protocol::{CloudError, PublishedPort};

/// Most connections at once through one published port. A browser opens some ten; a load test is better done inside the network.
const CONNECTIONS_MAX: usize = 512;

/// Pause after a failed accept, and between two attempts to listen again after a restart.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A port that was taken before the object that will have it is made.
#[derive(Debug)]
pub(crate) struct Reserved {
    host_port: u16,
    node_port: u16,
    listener: StdListener,
}

/// All published ports.
#[derive(Debug)]
pub(crate) struct Forwards {
    runtime: Handle,
    by_instance: Mutex<BTreeMap<String, BTreeMap<u16, Forward>>>,
}

#[derive(Debug)]
struct Forward {
    node_port: u16,
    problem: Arc<Mutex<Option<String>>>,
    task: AbortHandle,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forwards {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { runtime, by_instance: Mutex::new(BTreeMap::new()) }
    }

    /// Takes ports, or says which one is in use.
    pub(crate) fn reserve(publish: &BTreeMap<u16, u16>) -> Result<Vec<Reserved>, CloudError> {
        publish.iter().map(|(host_port, node_port)| reserve_one(*host_port, *node_port)).collect()
    }

    /// Begins to forward reserved ports of an instance.
    pub(crate) fn open(&self, instance: &str, address: Ipv4Addr, reserved: Vec<Reserved>) {
        for Reserved { host_port, node_port, listener } in reserved {
            self.start(instance, address, host_port, node_port, Some(listener));
        }
    }

    /// Begins to forward after a restart of the daemon, and goes on trying while a port is in use.
    pub(crate) fn open_again(&self, instance: &str, address: Ipv4Addr, publish: &BTreeMap<u16, u16>) {
        for (host_port, node_port) in publish {
            let listener = bind(*host_port).ok();
            self.start(instance, address, *host_port, *node_port, listener);
        }
    }

    /// The ports of `publish` that an instance does not have yet, or has for another port of the node: the latter are given up.
    pub(crate) fn reserve_missing(&self, instance: &str, publish: &BTreeMap<u16, u16>) -> Result<Vec<Reserved>, CloudError> {
        let present: BTreeMap<u16, u16> = {
            let all = self.by_instance.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(instance)
                .map(|forwards| forwards.iter().map(|(port, forward)| (*port, forward.node_port)).collect())
                .unwrap_or_default()
        };
        let missing = publish.iter().filter(|(host_port, _)| !present.contains_key(host_port));
        missing.map(|(host_port, node_port)| reserve_one(*host_port, *node_port)).collect()
    }

    /// Makes the forwards of an instance exactly `publish`, with what [`Self::reserve_missing`] took.
    pub(crate) fn change(&self, instance: &str, address: Ipv4Addr, publish: &BTreeMap<u16, u16>, reserved: Vec<Reserved>) {
        let moved: Vec<(u16, u16)> = {
            let mut all = self.by_instance.lock().unwrap_or_else(PoisonError::into_inner);
            let forwards = all.entry(instance.to_owned()).or_default();
            forwards.retain(|host_port, _| publish.contains_key(host_port));
            let differs = |(port, forward): (&u16, &Forward)| {
                publish.get(port).copied().filter(|node_port| *node_port != forward.node_port).map(|node_port| (*port, node_port))
            };
            forwards.iter().filter_map(differs).collect()
        };
        for (host_port, node_port) in moved {
            self.start(instance, address, host_port, node_port, None);
        }
        self.open(instance, address, reserved);
    }

    /// Stops the forwards of an instance and their connections.
    pub(crate) fn close(&self, instance: &str) {
        self.by_instance.lock().unwrap_or_else(PoisonError::into_inner).remove(instance);
    }

    /// What is published for an instance at this moment.
    pub(crate) fn published(&self, instance: &str) -> Vec<PublishedPort> {
        let all = self.by_instance.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(forwards) = all.get(instance) else { return Vec::new() };
        let port = |(host_port, forward): (&u16, &Forward)| PublishedPort {
            address: address_of(*host_port).to_string(),
            host_port: *host_port,
            node_port: forward.node_port,
            problem: forward.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        forwards.iter().map(port).collect()
    }

    fn start(&self, instance: &str, address: Ipv4Addr, host_port: u16, node_port: u16, listener: Option<StdListener>) {
        let problem = Arc::new(Mutex::new(None));
        let target = SocketAddrV4::new(address, node_port);
        let task = self.runtime.spawn(forward(host_port, target, listener, Arc::clone(&problem))).abort_handle();
        let mut all = self.by_instance.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(instance.to_owned()).or_default().insert(host_port, Forward { node_port, problem, task });
    }
}

async fn forward(host_port: u16, target: SocketAddrV4, listener: Option<StdListener>, problem: Arc<Mutex<Option<String>>>) {
    let listener = match listener.and_then(|listener| TcpListener::from_std(listener).ok()) {
        Some(listener) => listener,
        None => listen_when_free(host_port, &problem).await,
    };
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Ends with this task, and with it every connection: nothing of a removed instance goes on.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((mut outer, _)) => {
                connections.spawn(async move {
                    // A node that does not listen closes the connection, as a closed port behind any forwarder does.
                    if let Ok(mut inner) = TcpStream::connect(target).await {
                        drop(copy_bidirectional(&mut outer, &mut inner).await);
                    }
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
        }
    }
}

async fn listen_when_free(host_port: u16, problem: &Mutex<Option<String>>) -> TcpListener {
    loop {
        match bind(host_port).and_then(TcpListener::from_std) {
            Ok(listener) => {
                *problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return listener;
            }
            Err(error) => *problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string()),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn reserve_one(host_port: u16, node_port: u16) -> Result<Reserved, CloudError> {
    let listener = bind(host_port).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            conflict("port_in_use", format!("port {host_port} of this machine, to be published, is in use by another program"))
        }
        io::ErrorKind::PermissionDenied => {
            permanent("port_not_allowed", format!("port {host_port} of this machine cannot be published by this user: take one above 1023"))
        }
        _ => system_failure(&format!("publish port {host_port}"), &error),
    })?;
    Ok(Reserved { host_port, node_port, listener })
}

fn bind(host_port: u16) -> io::Result<StdListener> {
    let listener = StdListener::bind(address_of(host_port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

const fn address_of(host_port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, host_port)
}
