//! The node's SSH server: its keys, its environment, and the one command that is handled without a process. Or that of the machine, which is none
//! of the agent's business.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use cloudtik_model::NodeBoot;
use cloudtik_ssh::server::{CommandHandler, CommandStreams, Server, ServerConfig};
use cloudtik_ssh::{ExitStatus, PublicUserKey};
use tokio::io::BufReader;
use tokio::net::TcpListener;

use crate::actions::{Door, stored_authorized_keys};
use crate::error::NodeError;
use crate::host_keys::{HostKeys, HostKeysView, ssh};
use crate::layout::Layout;
use crate::session::{Agent, run_session};

/// The command line that a client executes to send steps. Through another wrapper (`timeout`, a shell) it works as well, by a process.
pub const RUN_STEP_COMMAND: &str = "cloudtik node run-step";

/// The server, its host keys, and what the keys of the boot file were.
pub(crate) struct SshDoor {
    server: Server,
    launched_with: Vec<PublicUserKey>,
    host_keys: Arc<HostKeys>,
}

/// The agent, as far as the intercepted command needs it; it is made after the server.
pub(crate) type AgentCell = Arc<OnceLock<Weak<Agent>>>;

impl SshDoor {
    /// Makes the server with the host keys of the phase that the node is in.
    pub(crate) fn new(
        boot: &NodeBoot,
        boot_path: &Path,
        layout: &Layout,
        environment: &BTreeMap<String, String>,
        agent: AgentCell,
    ) -> Result<Self, NodeError> {
        let host_keys = Arc::new(HostKeys::open(boot, boot_path, layout)?);
        let told = Arc::clone(&host_keys);
        let wrong = |line: &str, error| {
            let reason = format!("`{line}` of authorized_keys is not a public key: {error}");
            NodeError::Boot { path: boot_path.to_path_buf(), reason }
        };
        let launched_with: Vec<PublicUserKey> =
            boot.authorized_keys.iter().map(|line| line.parse().map_err(|error| wrong(line, error))).collect::<Result<_, _>>()?;
        let home = PathBuf::from(environment.get("HOME").cloned().unwrap_or_default());
        let directory = if home.is_dir() { home } else { layout.root().to_path_buf() };
        let config = ServerConfig {
            user: Some(boot.ssh_user.clone()),
            environment: environment.clone(),
            // Whoever is logged in can open connections by a command as well.
            forward: Box::new(|_, _| true),
            intercept: Some(Box::new(move |command: &str| intercept(command, &agent))),
            on_login: Some(Box::new(move |server, shown| told.logged_in(server, shown))),
            ..ServerConfig::new(host_keys.shown(), launched_with.clone(), directory)
        };
        let door = Self { server: Server::new(config).map_err(ssh("start"))?, launched_with, host_keys };
        door.let_in(&stored_authorized_keys(layout)?)?;
        Ok(door)
    }

    /// Binds and serves until [`Self::server`] is stopped.
    pub(crate) async fn open(&self, boot: &NodeBoot, boot_path: &Path) -> Result<(), NodeError> {
        let address: IpAddr = boot
            .address
            .parse()
            .map_err(|_| NodeError::Boot { path: boot_path.to_path_buf(), reason: format!("`{}` is not an address", boot.address) })?;
        let place = SocketAddr::new(address, boot.ssh_port);
        let listener =
            TcpListener::bind(place).await.map_err(|source| NodeError::Listen { path: PathBuf::from(place.to_string()), source })?;
        let server = self.server.clone();
        tokio::spawn(async move { server.serve(listener).await });
        Ok(())
    }

    /// A handle of the server.
    pub(crate) fn server(&self) -> Server {
        self.server.clone()
    }
}

impl Door for SshDoor {
    fn host_key(&self) -> Option<String> {
        self.host_keys.own()
    }

    fn make_host_key(&self, run_id: &str) -> Result<String, NodeError> {
        self.host_keys.make_own(&self.server, run_id)
    }

    fn let_in(&self, people: &[String]) -> Result<(), NodeError> {
        let mut keys = self.launched_with.clone();
        for line in people {
            keys.push(line.parse().map_err(ssh("read a public key"))?);
        }
        self.server.set_authorized_keys(keys);
        Ok(())
    }

    fn view(&self) -> HostKeysView {
        self.host_keys.view(&self.server)
    }
}

/// The SSH server of the machine itself, which is OpenSSH's. Whoever makes first contact with it does so over SSH, before there is an agent.
pub(crate) struct MachineDoor;

impl Door for MachineDoor {
    fn host_key(&self) -> Option<String> {
        None
    }

    fn make_host_key(&self, _run_id: &str) -> Result<String, NodeError> {
        Err(NodeError::MachineDoor)
    }

    fn let_in(&self, _people: &[String]) -> Result<(), NodeError> {
        Err(NodeError::MachineDoor)
    }

    fn view(&self) -> HostKeysView {
        HostKeysView::default()
    }
}

/// Handles [`RUN_STEP_COMMAND`] in this process: a node's steps cost no process of their own.
fn intercept(command: &str, agent: &AgentCell) -> Option<CommandHandler> {
    let command = command.trim();
    // Clients put `exec` before a command so that the shell leaves no process of its own.
    if command.strip_prefix("exec ").unwrap_or(command) != RUN_STEP_COMMAND {
        return None;
    }
    let agent = agent.get()?.upgrade()?;
    let handle = move |streams: CommandStreams| -> std::pin::Pin<Box<dyn Future<Output = ExitStatus> + Send>> {
        Box::pin(async move {
            let CommandStreams { stdin, mut stdout, .. } = streams;
            // A client that goes away drops this future; the runs go on in the agent.
            match run_session(&agent, BufReader::new(stdin), &mut stdout).await {
                Ok(()) => ExitStatus::Code(0),
                Err(_) => ExitStatus::Code(1),
            }
        })
    };
    Some(Box::new(handle))
}
