//! What the library asks us while one connection lives, and the channels of that connection.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::keys::PublicKey;
use russh::server::{Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Pty, Sig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::command::{ChannelWriter, CommandStreams, SIGNALS_WAITING_MAX, run, spawn};
use super::inbound::{Inbound, InboundReader, Pushed, TRICKLE_PAUSE, TRICKLE_WINDOW_BYTES, WINDOW_BYTES, inbound};
use super::shown::Shown;
use super::{FORWARDS_PER_CONNECTION_MAX, SESSIONS_PER_CONNECTION_MAX, Server, Shared};
use crate::sever::Sever;
use crate::{ExitStatus, PublicUserKey};

/// How long a forwarded stream may take to be opened. It leads to an address of the node itself.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(10);

/// The kind of extended data that is error output, the only one that the protocol defines.
const STDERR: u32 = 1;

/// One connection.
pub(super) struct ConnectionHandler {
    shared: Arc<Shared>,
    sever: Sever,
    /// Held until the login: strangers have few places.
    stranger: Option<OwnedSemaphorePermit>,
    logged_in: Option<oneshot::Sender<()>>,
    shown: Shown,
    /// Dropped with the connection, which ends all that runs for it.
    channels: Channels,
}

/// The open channels, shared with the tasks that serve them. Never locked across a wait.
#[derive(Clone, Default)]
struct Channels(Arc<Mutex<BTreeMap<ChannelId, Slot>>>);

struct Slot {
    kind: Kind,
    /// Where the client's data goes. None before a command is asked for and after the end of the input.
    inbound: Option<Inbound>,
    signals: Option<mpsc::Sender<String>>,
    /// Dropped with the slot, which kills the command.
    task: Option<AbortOnDrop<()>>,
}

enum Kind {
    /// A session that has not been asked for anything.
    Idle(ChannelWriteHalf<Msg>),
    Session,
    Forward,
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Channels {
    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<ChannelId, Slot>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn forwards(&self) -> usize {
        self.with(|slots| slots.values().filter(|slot| matches!(slot.kind, Kind::Forward)).count())
    }

    fn sessions(&self) -> usize {
        self.with(|slots| slots.len()).saturating_sub(self.forwards())
    }

    /// The slot is dropped outside of the lock, since dropping it ends a task.
    fn remove(&self, id: ChannelId) {
        let slot = self.with(|slots| slots.remove(&id));
        drop(slot);
    }

    fn any_is_behind(&self) -> bool {
        self.with(|slots| slots.values().filter_map(|slot| slot.inbound.as_ref()).any(Inbound::is_behind))
    }
}

impl Drop for ConnectionHandler {
    fn drop(&mut self) {
        // The tasks hold the map too, so it must be emptied, not only let go.
        let slots = self.channels.with(std::mem::take);
        drop(slots);
    }
}

impl ConnectionHandler {
    pub(super) fn new(
        shared: Arc<Shared>,
        sever: Sever,
        stranger: OwnedSemaphorePermit,
        logged_in: oneshot::Sender<()>,
        shown: Shown,
    ) -> Self {
        Self { shared, sever, stranger: Some(stranger), logged_in: Some(logged_in), shown, channels: Channels::default() }
    }

    fn judge(&self, user: &str, key: &PublicKey) -> Auth {
        match PublicUserKey::from_library(key) {
            Ok(key) if self.shared.is_authorized(user, &key) => Auth::Accept,
            _ => Auth::reject(),
        }
    }

    /// Starts what was asked for on an idle session; `None` when it cannot be started.
    fn start(&self, id: ChannelId, command: &[u8], handle: Handle) -> Option<()> {
        let idle = self.channels.with(|slots| match slots.get_mut(&id) {
            Some(slot) => match std::mem::replace(&mut slot.kind, Kind::Session) {
                Kind::Idle(write) => Some(write),
                other => {
                    slot.kind = other;
                    None
                }
            },
            None => None,
        });
        let write = idle?;
        self.shared.counters.commands.fetch_add(1, Ordering::Relaxed);
        let (inbound, stdin) = inbound();
        let (signals, signal_receiver) = mpsc::channel(SIGNALS_WAITING_MAX);
        let streams = CommandStreams {
            stdin: Box::new(stdin),
            stdout: Box::new(ChannelWriter(write.make_writer())),
            stderr: Box::new(ChannelWriter(write.make_writer_ext(Some(STDERR)))),
            signals: signal_receiver,
        };
        let intercepted = match (&self.shared.intercept, std::str::from_utf8(command)) {
            (Some(intercept), Ok(command)) => intercept.intercept(command.strip_prefix("exec ").unwrap_or(command)),
            _ => None,
        };
        let mut running = AbortOnDrop(match intercepted {
            Some(handler) => tokio::spawn(handler(streams)),
            None => tokio::spawn(run(spawn(command, &self.shared).ok()?, streams)),
        });
        let channels = self.channels.clone();
        let task = tokio::spawn(async move {
            // A handler that panics must not leave its client waiting.
            let broken = |_| ExitStatus::Signal { name: "ABRT".to_owned(), message: "the command's handler broke down".to_owned() };
            let exit = (&mut running.0).await.unwrap_or_else(broken);
            report(&handle, id, &write, exit).await;
            channels.remove(id);
        });
        self.channels.with(|slots| {
            // Absent only when the command has ended already.
            if let Some(slot) = slots.get_mut(&id) {
                (slot.inbound, slot.signals, slot.task) = (Some(inbound), Some(signals), Some(AbortOnDrop(task)));
            }
        });
        Some(())
    }

    /// Takes what the client sent. Returns whether the sender must slow down.
    fn take(&self, id: ChannelId, data: &[u8]) -> bool {
        let (pushed, behind) = self.channels.with(|slots| match slots.get(&id).and_then(|slot| slot.inbound.as_ref()) {
            Some(inbound) => (inbound.push(data), inbound.is_behind()),
            None => (Pushed::Taken, false),
        });
        if pushed == Pushed::TooMuch {
            self.sever.cut("the client does not honour its window");
        }
        behind
    }
}

/// Tells the client how a command ended, and closes its channel. When this fails the connection is gone, and nobody is there to be told.
async fn report(handle: &Handle, id: ChannelId, write: &ChannelWriteHalf<Msg>, exit: ExitStatus) {
    match exit {
        ExitStatus::Code(code) => {
            let _ = write.exit_status(code).await;
        }
        ExitStatus::Signal { name, message } => {
            let _ = handle.exit_signal_request(id, Sig::Custom(name), false, message, String::new()).await;
        }
    }
    let _ = write.eof().await;
    let _ = write.close().await;
}

impl Handler for ConnectionHandler {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        self.shared.counters.keys_offered.fetch_add(1, Ordering::Relaxed);
        Ok(self.judge(user, offer.public_key))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(self.judge(user, key.public_key))
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), russh::Error> {
        self.shared.counters.logins.fetch_add(1, Ordering::Relaxed);
        self.stranger = None;
        // The client is told of its login after this, so that what the hook changes holds for whatever the client does next.
        if let (Some(hook), Some(host_key)) = (&self.shared.on_login, self.shown.get()) {
            hook(&Server { shared: Arc::clone(&self.shared) }, host_key);
        }
        if let Some(logged_in) = self.logged_in.take() {
            // Nobody waits for it when the server is just stopping.
            let _ = logged_in.send(());
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.channels.sessions() >= SESSIONS_PER_CONNECTION_MAX {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        // The reading half is let go at once: data comes through `data` below, which never waits.
        let (id, (_, write)) = (channel.id(), channel.split());
        let slot = Slot { kind: Kind::Idle(write), inbound: None, signals: None, task: None };
        self.channels.with(|slots| slots.insert(id, slot));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        let allowed = u16::try_from(port).ok().filter(|port| (self.shared.forward)(host, *port));
        let Some(port) = allowed else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        if self.channels.forwards() >= FORWARDS_PER_CONNECTION_MAX {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let (id, (_, write)) = (channel.id(), channel.split());
        let (inbound, reader) = inbound();
        let (host, channels) = (host.to_owned(), self.channels.clone());
        self.channels.with(|slots| slots.insert(id, Slot { kind: Kind::Forward, inbound: Some(inbound), signals: None, task: None }));
        let task = AbortOnDrop(tokio::spawn(async move {
            match timeout(FORWARD_TIMEOUT, TcpStream::connect((host.as_str(), port))).await {
                Ok(Ok(stream)) => {
                    reply.accept().await;
                    forward(stream, reader, &write).await;
                }
                _ => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
            channels.remove(id);
        }));
        // The task may have ended already; then its slot is gone and the handle is dropped here.
        self.channels.with(|slots| slots.get_mut(&id).map(|slot| slot.task = Some(task)));
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        if self.start(id, command, session.handle()).is_some() { session.channel_success(id) } else { session.channel_failure(id) }
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn subsystem_request(&mut self, id: ChannelId, _name: &str, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _terminal: &str,
        _columns: u32,
        _rows: u32,
        _pixel_width: u32,
        _pixel_height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn env_request(&mut self, id: ChannelId, _name: &str, _value: &str, session: &mut Session) -> Result<(), russh::Error> {
        // The environment is the node's to decide.
        session.channel_failure(id)
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, _session: &mut Session) -> Result<(), russh::Error> {
        let name = match signal {
            Sig::Custom(name) => name,
            known => format!("{known:?}"),
        };
        let signals = self.channels.with(|slots| slots.get(&id).and_then(|slot| slot.signals.clone()));
        if let Some(signals) = signals {
            // A command that has eight signals waiting learns nothing from a ninth.
            let _ = signals.try_send(name);
        }
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), russh::Error> {
        if self.take(id, data) {
            sleep(TRICKLE_PAUSE).await;
        }
        Ok(())
    }

    fn adjust_window(&mut self, _id: ChannelId, _current: u32) -> u32 {
        // The library has one target for all channels, so a command that does not read slows down what is sent to its siblings too. What they send, and
        // their ends and signals, are not touched.
        if self.channels.any_is_behind() { TRICKLE_WINDOW_BYTES } else { WINDOW_BYTES }
    }

    async fn channel_eof(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), russh::Error> {
        self.channels.with(|slots| slots.get_mut(&id).map(|slot| slot.inbound = None));
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), russh::Error> {
        self.channels.remove(id);
        Ok(())
    }
}

/// Carries bytes both ways until both have ended.
async fn forward(stream: TcpStream, mut reader: InboundReader, write: &ChannelWriteHalf<Msg>) {
    // Without it only small messages are slower.
    let _ = stream.set_nodelay(true);
    let (mut source, mut sink) = stream.into_split();
    let outward = async {
        let mut writer = ChannelWriter(write.make_writer());
        // Whichever side broke off, the other hears the end.
        let _ = tokio::io::copy(&mut source, &mut writer).await;
        let _ = write.eof().await;
    };
    let inward = async {
        let copied = tokio::io::copy(&mut reader, &mut sink).await;
        drop(reader);
        let _ = sink.shutdown().await;
        copied
    };
    let _ = tokio::join!(outward, inward);
    let _ = write.close().await;
}
