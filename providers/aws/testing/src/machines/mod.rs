//! Machines for the instances of an account: each instance that the server says runs becomes a machine on this host, with a network, mounts and
//! processes of its own, that does at its first boot what its user data says and has OpenSSH's server on port 22. One that the server says is gone goes.
//!
//! Machines reach each other and this host by the addresses that the server gave them, and nothing else. Needs root.

mod cloud_init;
mod metadata;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;

use crate::client::Endpoint;
use crate::xml::Element;
use cloud_init::FirstBoot;
pub use metadata::InstanceMetadata;
use metadata::{Identity, Metadata};

/// Becomes a machine.
const MACHINE: &str = include_str!("machine.sh");

/// Between two looks at the instances.
const LOOK: Duration = Duration::from_millis(100);

/// How long a process may take to be in namespaces of its own.
const UNSHARED_WITHIN: Duration = Duration::from_secs(10);

/// What is needed on this host, beside root.
const NEEDS: [&str; 5] = ["/usr/sbin/sshd", "unshare", "nsenter", "ip", "sudo"];

/// The machines. All go when this is dropped.
pub struct Machines {
    network: Network,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    folder: PathBuf,
    server: Endpoint,
    image: String,
    machines: Mutex<BTreeMap<String, Machine>>,
    /// What went wrong with an instance. It is not tried again.
    failures: Mutex<BTreeMap<String, String>>,
    end: AtomicBool,
}

/// A network for all of them: a bridge, of which this host has the first address.
#[derive(Clone, Debug)]
struct Network {
    bridge: String,
    second: u8,
}

struct Machine {
    child: Child,
    /// What it is told of itself now.
    identity: Arc<Mutex<Identity>>,
    public: Option<String>,
    gone: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<String>>>,
    telling: Option<JoinHandle<()>>,
}

/// An instance, as the server says.
struct Instance {
    identity: Identity,
    public: Option<String>,
    runs: bool,
}

impl Machines {
    /// Starts to make machines, in a folder that is there, from an image: a shell script that has run on each of them before its first boot. `None`: it cannot be done here, which is said; where `CI=true` it is a failure.
    ///
    /// # Panics
    ///
    /// Where `CI=true`, and it cannot be done here.
    #[must_use]
    #[expect(clippy::panic, reason = "it stands in for the test, which must not pass")]
    pub fn start_or_say(folder: &Path, server: Endpoint, image: &str) -> Option<Self> {
        match Self::start(folder, server, image) {
            Ok(machines) => Some(machines),
            Err(error) if std::env::var_os("CI").is_some_and(|value| value == "true") => panic!("no machines for instances: {error}"),
            Err(error) => {
                // Written as it is: what is printed by a test that passes is not shown.
                let _ = writeln!(io::stderr(), "NOT RUN: no machines for instances: {error}");
                None
            }
        }
    }

    fn start(folder: &Path, server: Endpoint, image: &str) -> io::Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Err(io::Error::other("that needs root"));
        }
        for need in NEEDS {
            let found = Command::new("sh").args(["-c", "command -v \"$1\" > /dev/null", "sh", need]).status()?;
            if !found.success() {
                return Err(io::Error::other(format!("`{need}` is missing")));
            }
        }
        let network = Network::make()?;
        let shared = Arc::new(Shared {
            folder: folder.to_path_buf(),
            server,
            image: image.to_owned(),
            machines: Mutex::default(),
            failures: Mutex::default(),
            end: AtomicBool::new(false),
        });
        let (watching, at) = (Arc::clone(&shared), network.clone());
        let thread = std::thread::Builder::new().name("machines".to_owned()).spawn(move || watching.watch(&at))?;
        Ok(Self { network, shared, thread: Some(thread) })
    }

    /// The range of addresses that the network of the instances must have.
    #[must_use]
    pub fn cidr(&self) -> String {
        format!("10.{}.0.0/16", self.network.second)
    }

    /// The address of this host in that network.
    #[must_use]
    pub const fn host(&self) -> Ipv4Addr {
        self.network.host()
    }

    /// The ids of the instances that are machines now.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<String> {
        self.shared.machines().keys().cloned().collect()
    }

    /// Runs a shell script on a machine, as root.
    ///
    /// # Errors
    ///
    /// When there is no such machine.
    pub fn run(&self, id: &str, script: &str) -> io::Result<Output> {
        let root = self.shared.folder.join(id).join("disk/root");
        let inside = self.shared.inside(id)?;
        let words = ["--target", &inside, "--mount", "--net", "--pid", "--uts", "--ipc", "--", "chroot"];
        Command::new("nsenter").args(words).arg(root).args(["/bin/sh", "-c", script]).stdin(Stdio::null()).output()
    }

    /// What a machine asked to be told about itself, and was.
    #[must_use]
    pub fn asked(&self, id: &str) -> Vec<String> {
        let machines = self.shared.machines();
        machines.get(id).map(|machine| locked(&machine.asked).clone()).unwrap_or_default()
    }

    /// Everything that machines said on their consoles, and what went wrong.
    #[must_use]
    pub fn consoles(&self) -> String {
        let mut text: String = locked(&self.shared.failures).iter().map(|(id, why)| format!("{id}: {why}\n")).collect();
        for folder in fs::read_dir(&self.shared.folder).into_iter().flatten().flatten() {
            let said = fs::read_to_string(folder.path().join("console")).unwrap_or_default();
            text += &format!("--- {}\n{said}", folder.file_name().to_string_lossy());
        }
        text
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told where it happened.
            let _ = thread.join();
        }
        let machines = std::mem::take(&mut *self.shared.machines());
        machines.into_values().for_each(Machine::end);
        self.network.remove();
    }
}

impl Shared {
    fn machines(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        locked(&self.machines)
    }

    fn watch(&self, network: &Network) {
        while !self.end.load(Ordering::SeqCst) {
            // A server that is about to end says nothing.
            if let Ok(instances) = self.instances() {
                self.follow(network, instances);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn follow(&self, network: &Network, instances: Vec<Instance>) {
        let running: BTreeSet<&str> = instances.iter().filter(|found| found.runs).map(|found| found.identity.id.as_str()).collect();
        let gone: Vec<String> = self.machines().keys().filter(|id| !running.contains(id.as_str())).cloned().collect();
        for id in gone {
            let machine = self.machines().remove(&id);
            machine.into_iter().for_each(|machine| {
                network.forget(machine.public.as_deref());
                machine.end();
            });
        }
        for instance in instances.iter().filter(|instance| instance.runs) {
            let id = &instance.identity.id;
            if let Some(machine) = self.machines().get_mut(id) {
                // A profile may come later than the machine, and another address.
                *locked(&machine.identity) = instance.identity.clone();
                if machine.public != instance.public {
                    let moved = network.readdress(machine.child.id(), machine.public.as_deref(), instance.public.as_deref());
                    moved.err().into_iter().for_each(|error| drop(locked(&self.failures).insert(id.clone(), error.to_string())));
                    machine.public.clone_from(&instance.public);
                }
                continue;
            }
            if locked(&self.failures).contains_key(id) {
                continue;
            }
            match self.boot(network, instance) {
                Ok(machine) => drop(self.machines().insert(id.clone(), machine)),
                Err(error) => drop(locked(&self.failures).insert(id.clone(), error.to_string())),
            }
        }
    }

    fn instances(&self) -> io::Result<Vec<Instance>> {
        let answer = self.server.ec2("DescribeInstances", &[])?;
        let reservations = answer.child("reservationSet").into_iter().flat_map(|set| &set.children);
        let items = reservations.filter_map(|reservation| reservation.child("instancesSet")).flat_map(|set| &set.children);
        Ok(items.map(|item| Instance::of(item, self.server.region_name())).collect())
    }

    fn user_data(&self, id: &str) -> io::Result<String> {
        let answer = self.server.ec2("DescribeInstanceAttribute", &[("InstanceId", id), ("Attribute", "userData")])?;
        let text = answer.get(&["userData", "value"]).to_owned();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).map_err(io::Error::other)?;
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    /// Makes a machine of an instance.
    fn boot(&self, network: &Network, instance: &Instance) -> io::Result<Machine> {
        network.lead(instance.public.as_deref())?;
        let identity = &instance.identity;
        let folder = self.folder.join(&identity.id);
        fs::create_dir_all(folder.join("disk"))?;
        let first_boot = folder.join("first-boot");
        fs::create_dir_all(&first_boot)?;
        let boot = FirstBoot::read(&self.user_data(&identity.id)?)?;
        fs::write(first_boot.join("image.sh"), &self.image)?;
        fs::write(first_boot.join("config.sh"), &boot.config)?;
        for (i, script) in boot.scripts.iter().enumerate() {
            fs::write(first_boot.join(format!("script-{i}")), script)?;
        }
        let console = File::create(folder.join("console"))?;
        let child = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private"])
            .args(["/bin/bash", "-c", MACHINE, "machine"])
            .arg(&folder)
            .arg(format!("ip-{}", identity.address.replace('.', "-")))
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(console.try_clone()?)
            .stderr(console)
            .spawn()?;
        let identity = Arc::new(Mutex::new(identity.clone()));
        let (asked, gone) = (Arc::default(), Arc::default());
        let mut machine = Machine { child, identity, public: instance.public.clone(), gone, asked, telling: None };
        match machine.connect(network, instance) {
            Ok(()) => Ok(machine),
            Err(error) => {
                machine.end();
                Err(error)
            }
        }
    }

    /// The process that is the first one of a machine, as this host numbers it.
    fn inside(&self, id: &str) -> io::Result<String> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no machine {id}"));
        let outside = self.machines().get(id).map(|machine| machine.child.id()).ok_or_else(missing)?;
        let children = fs::read_to_string(format!("/proc/{outside}/task/{outside}/children"))?;
        children.split_whitespace().next().map(str::to_owned).ok_or_else(missing)
    }
}

fn await_own_network(pid: u32) -> io::Result<()> {
    let here = fs::read_link("/proc/self/ns/net")?;
    let until = Instant::now() + UNSHARED_WITHIN;
    while fs::read_link(format!("/proc/{pid}/ns/net"))? == here {
        if Instant::now() > until {
            return Err(io::Error::other("it has no network of its own"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn enter_network(pid: u32) -> io::Result<()> {
    let network = File::open(format!("/proc/{pid}/ns/net"))?;
    nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

impl Machine {
    /// Gives it its network and its metadata, and lets it go on.
    fn connect(&mut self, network: &Network, instance: &Instance) -> io::Result<()> {
        let pid = self.child.id();
        await_own_network(pid)?;
        network.join(pid, instance)?;
        let (identity, asked, gone) = (Arc::clone(&self.identity), Arc::clone(&self.asked), Arc::clone(&self.gone));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let telling = std::thread::Builder::new().name("metadata".to_owned()).spawn(move || {
            // A socket stays in the network that it was made in; this thread is in no other one from here on.
            let listening = enter_network(pid).and_then(|()| Metadata::listen((metadata::ADDRESS, metadata::PORT), identity, asked));
            match listening {
                Ok(metadata) => {
                    drop(ready.send(Ok(())));
                    metadata.serve(&gone);
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        self.telling = Some(telling);
        is_ready.recv().map_err(io::Error::other)??;
        match &mut self.child.stdin {
            Some(input) => input.write_all(b"\n"),
            None => Err(io::Error::other("it has no standard input")),
        }
    }

    fn end(mut self) {
        self.gone.store(true, Ordering::SeqCst);
        // The first process inside goes with it, and with that all others. One that ended by itself is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(telling) = self.telling.take() {
            let _ = telling.join();
        }
    }
}

impl Instance {
    fn of(item: &Element, region: &str) -> Self {
        let text = |path: &[&str]| item.get(path).to_owned();
        let profile = text(&["iamInstanceProfile", "arn"]);
        let public = Some(text(&["ipAddress"])).filter(|address| !address.is_empty());
        let identity = Identity {
            id: text(&["instanceId"]),
            region: region.to_owned(),
            zone: text(&["placement", "availabilityZone"]),
            address: text(&["privateIpAddress"]),
            vpc: text(&["vpcId"]),
            public: public.clone(),
            profile: profile.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned),
        };
        Self { identity, public, runs: item.get(&["instanceState", "name"]) == "running" }
    }
}

impl Network {
    /// A range that nothing on this host has.
    fn make() -> io::Result<Self> {
        let routes = ip(&["-o", "-4", "route"])?;
        let free = (128..200_u8).find(|second| !routes.contains(&format!("10.{second}.")));
        let second = free.ok_or_else(|| io::Error::other("no range of addresses is free"))?;
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::SeqCst);
        let network = Self { bridge: format!("ctm{}.{number}", std::process::id()), second };
        ip(&["link", "add", &network.bridge, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{}/16", network.host()), "dev", &network.bridge])?;
        ip(&["link", "set", &network.bridge, "up"])?;
        Ok(network)
    }

    const fn host(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.second, 0, 1)
    }

    /// Gives the process a network card with the addresses of its instance.
    fn join(&self, pid: u32, instance: &Instance) -> io::Result<()> {
        let (card, pid) = (format!("ctm-{pid}"), pid.to_string());
        ip(&["link", "add", &card, "type", "veth", "peer", "name", "eth0", "netns", &pid])?;
        ip(&["link", "set", &card, "master", &self.bridge, "up"])?;
        let inside = |words: &[&str]| run(Command::new("nsenter").args(["--target", &pid, "--net", "--", "ip"]).args(words));
        inside(&["link", "set", "lo", "up"])?;
        inside(&["addr", "add", &format!("{}/32", metadata::ADDRESS), "dev", "lo"])?;
        inside(&["addr", "add", &format!("{}/16", instance.identity.address), "dev", "eth0"])?;
        inside(&["link", "set", "eth0", "up"])?;
        if let Some(public) = &instance.public {
            inside(&["addr", "add", &format!("{public}/32"), "dev", "eth0"])?;
        }
        Ok(())
    }

    /// Takes one public address from a machine and gives it another. Whoever speaks to the old one is answered by nobody any more.
    fn readdress(&self, pid: u32, before: Option<&str>, after: Option<&str>) -> io::Result<()> {
        let pid = pid.to_string();
        let inside = |words: &[&str]| run(Command::new("nsenter").args(["--target", &pid, "--net", "--", "ip"]).args(words));
        self.forget(before);
        if let Some(before) = before {
            inside(&["addr", "del", &format!("{before}/32"), "dev", "eth0"])?;
        }
        self.lead(after)?;
        after.map_or(Ok(()), |after| inside(&["addr", "add", &format!("{after}/32"), "dev", "eth0"]).map(drop))
    }

    /// Leads to a public address, before anybody looks for it elsewhere.
    fn lead(&self, public: Option<&str>) -> io::Result<()> {
        public.map_or(Ok(()), |public| ip(&["route", "replace", &format!("{public}/32"), "dev", &self.bridge]).map(drop))
    }

    fn forget(&self, public: Option<&str>) {
        if let Some(public) = public {
            // It goes with the bridge at the latest.
            drop(ip(&["route", "del", &format!("{public}/32"), "dev", &self.bridge]));
        }
    }

    fn remove(&self) {
        if let Err(error) = ip(&["link", "del", &self.bridge]) {
            let _ = writeln!(io::stderr(), "the bridge {} is left behind: {error}", self.bridge);
        }
    }
}

fn ip(words: &[&str]) -> io::Result<String> {
    run(Command::new("ip").args(words))
}

fn run(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
