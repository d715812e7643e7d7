//! Making objects and taking them out of the world again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cloudtik_provider_api::{HEAD_ROLE, ROLE_TAG};
use ipnet::Ipv4Net;

use super::addresses::{gateway_of, parse, plan_network, plan_node};
use super::binaries::Copy;
use super::forwards::{Forwards, Reserved};
use super::inventory::{Change, Inventory, complain, now};
use super::links;
use super::node::{self, HOST_KEY_SECRET, Node, dirs_of};
use super::service::{Cloud, address_of, entry_of, may_create};
use crate::failure::{conflict, io_failure, permanent, system_failure};
use crate::files;
use crate::protocol::{
    Attributes, BucketAttributes, BucketSpec, CloudError, CreateRequest, Facts, FirewallAttributes, Form, InstanceAttributes, InstanceSpec,
    Kind, NetworkAttributes, NetworkSpec, Object, ObjectState, Outcome, ResourceSpec, RunState, Secret,
};

/// Random bytes of an id: sixteen digits behind the name of the inventory, as EC2 has.
const ID_BYTES: usize = 8;

/// Port of the SSH server where low ports are for root only.
const PLAIN_SSH_PORT: u16 = 2222;

/// Port of the SSH server of a node with an own network.
const NAMESPACES_SSH_PORT: u16 = 22;

/// What an instance needs before its place is planned.
struct Provisions {
    facts: Facts,
    binary: Copy,
    reserved: Vec<Reserved>,
}

impl Cloud {
    /// Makes an object: on record first, then in the world, then on record as ready. A failure in between takes it out of both again.
    /// `head`: the node that asks, when it is one.
    pub(super) fn make(&self, request: &CreateRequest, head: Option<&str>) -> Result<Object, CloudError> {
        let id = new_id(request.spec.kind(), &self.name)?;
        let mut provisions = match &request.spec {
            ResourceSpec::LocalInstance(spec) => Some(self.provide(spec)?),
            _ => None,
        };
        let mut object = self.put_on_record(&id, request, provisions.as_ref(), head)?;
        self.crash.pass();
        if let Err(error) = self.build(&mut object, request, provisions.as_mut()) {
            self.undo(&object);
            return Err(error);
        }
        object.state = ObjectState::Ready;
        self.crash.pass();
        let ready = self.lock().change(Change::Put(Box::new(object.clone())), Some(entry_of("create", &object, Outcome::Done)));
        if let Err(error) = ready {
            self.undo(&object);
            return Err(error);
        }
        self.end(&id);
        self.crash.pass();
        Ok(object)
    }

    /// Plans the addresses and writes the object down, in one step: nobody else gets the same.
    fn put_on_record(
        &self,
        id: &str,
        request: &CreateRequest,
        provisions: Option<&Provisions>,
        head: Option<&str>,
    ) -> Result<Object, CloudError> {
        let mut inventory = self.lock();
        may_create(&inventory, request, head)?;
        let attributes = self.plan(&inventory, id, &request.spec, provisions)?;
        let object = Object {
            id: id.to_owned(),
            kind: request.spec.kind(),
            state: ObjectState::Creating,
            token: request.token.clone(),
            op_id: request.op_id.clone(),
            address: request.address.clone(),
            cluster: request.cluster.clone(),
            tags: request.tags.clone(),
            spec: request.spec.clone(),
            secret_digests: secret_digests(&request.secrets),
            attributes,
            metadata: BTreeMap::new(),
            process: None,
            created: now(),
        };
        self.crash.pass();
        let written = inventory.change(Change::Put(Box::new(object.clone())), Some(entry_of("create", &object, Outcome::Begun)));
        if let Err(error) = written {
            self.claims.drop_of(id);
            return Err(error);
        }
        inventory.busy.insert(id.to_owned());
        Ok(object)
    }

    fn undo(&self, object: &Object) {
        let undone = Object { state: ObjectState::Creating, ..object.clone() };
        if let Err(error) = self.finish_removal(&undone) {
            complain(&format!("{} could not be undone and is tried again at the next start: {error}", object.id));
        }
    }

    fn provide(&self, spec: &InstanceSpec) -> Result<Provisions, CloudError> {
        let facts = self.facts()?;
        if spec.form == Form::Namespaces && !facts.namespaces.possible {
            let reason = facts.namespaces.reason.unwrap_or_default();
            return Err(permanent("form_not_possible", format!("the namespaces form is not possible on this machine: {reason}")));
        }
        let reserved = Forwards::reserve(&spec.publish)?;
        Ok(Provisions { facts, binary: self.binaries.current()?, reserved })
    }

    fn plan(
        &self,
        inventory: &Inventory,
        id: &str,
        spec: &ResourceSpec,
        provisions: Option<&Provisions>,
    ) -> Result<Attributes, CloudError> {
        match (spec, provisions) {
            (ResourceSpec::LocalNetwork(spec), _) => self.plan_network(inventory, id, spec).map(Attributes::LocalNetwork),
            (ResourceSpec::LocalFirewall(spec), _) => {
                if let Some(network) = &spec.network {
                    network_of(inventory, network)?;
                }
                let (name, network, rules) = (spec.name.clone(), spec.network.clone(), spec.rules.clone());
                Ok(Attributes::LocalFirewall(FirewallAttributes { name, network, rules, enforced: false }))
            }
            (ResourceSpec::LocalBucket(spec), _) => plan_bucket(spec).map(Attributes::LocalBucket),
            (ResourceSpec::LocalInstance(spec), Some(provisions)) => {
                plan_instance(inventory, id, spec, provisions).map(|attributes| Attributes::LocalInstance(Box::new(attributes)))
            }
            (ResourceSpec::LocalInstance(_), None) => Err(permanent("internal", "an instance was planned without its provisions")),
        }
    }

    fn plan_network(&self, inventory: &Inventory, id: &str, spec: &NetworkSpec) -> Result<NetworkAttributes, CloudError> {
        let taken: Vec<Ipv4Net> = inventory
            .objects()
            .values()
            .filter_map(|object| match &object.attributes {
                Attributes::LocalNetwork(network) => network.cidr.parse().ok(),
                _ => None,
            })
            .collect();
        let cidr = plan_network(id, spec.form, spec.cidr.as_deref(), &taken, &self.claims)?;
        Ok(NetworkAttributes {
            name: spec.name.clone(),
            form: spec.form,
            cidr: cidr.to_string(),
            gateway: gateway_of(cidr).to_string(),
            bridge: (spec.form == Form::Namespaces).then(|| links::bridge_of(id)),
            // Known once there is an address to listen at.
            proxy: None,
        })
    }

    fn build(&self, object: &mut Object, request: &CreateRequest, provisions: Option<&mut Provisions>) -> Result<(), CloudError> {
        match (&mut object.attributes, provisions) {
            (Attributes::LocalNetwork(network), _) if network.form == Form::Namespaces => {
                let cidr = parse(&network.cidr)?;
                links::make_bridge(&object.id, cidr)?;
                network.proxy = Some(self.proxies.open(&object.id, cidr)?.to_string());
                Ok(())
            }
            (Attributes::LocalBucket(bucket), _) => build_bucket(&object.spec, bucket),
            (Attributes::LocalInstance(attributes), Some(provisions)) => {
                let attributes = attributes.clone();
                self.build_instance(object, &attributes, request, provisions)
            }
            _ => Ok(()),
        }
    }

    fn build_instance(
        &self,
        object: &mut Object,
        attributes: &InstanceAttributes,
        request: &CreateRequest,
        provisions: &mut Provisions,
    ) -> Result<(), CloudError> {
        let ResourceSpec::LocalInstance(spec) = &request.spec else { return Ok(()) };
        let host_key = request.secrets.get(HOST_KEY_SECRET).ok_or_else(|| permanent("bad_request", "the bootstrap host key is missing"))?;
        let launching = {
            let is_head = request.tags.get(ROLE_TAG).is_some_and(|role| role == HEAD_ROLE);
            let outside = network_of(&self.lock(), &spec.network)?.clone();
            let node = Node { id: &object.id, spec, attributes, binary: &provisions.binary, host_key, is_head, network: &outside };
            node.write_files(&self.options)?;
            self.heads.follow(object)?;
            node.prepare(&self.options)?
        };
        object.process = Some(launching.process.clone());
        self.crash.pass();
        self.lock().change(Change::Put(Box::new(object.clone())), None)?;
        self.crash.pass();
        if attributes.form == Form::Namespaces {
            let cidr = self.cidr_of(&spec.network)?;
            links::connect_node(&object.id, &spec.network, launching.process.pid, address_of(attributes)?, cidr)?;
        }
        launching.go()?;
        self.forwards.open(&object.id, address_of(attributes)?, std::mem::take(&mut provisions.reserved));
        Ok(())
    }

    fn cidr_of(&self, network: &str) -> Result<Ipv4Net, CloudError> {
        parse(&network_of(&self.lock(), network)?.cidr)
    }

    /// Takes an object out of the world. Works from any point that making or removing it may have come to.
    pub(super) fn remove_from_world(&self, object: &Object) -> Result<(), CloudError> {
        match &object.attributes {
            Attributes::LocalNetwork(network) => {
                if network.form == Form::Namespaces {
                    self.proxies.close(&object.id);
                    links::remove_bridge(&object.id)?;
                }
                self.claims.drop_of(&object.id);
                Ok(())
            }
            Attributes::LocalFirewall(_) => Ok(()),
            Attributes::LocalBucket(bucket) => remove_bucket(&object.spec, &bucket.path),
            Attributes::LocalInstance(attributes) => {
                self.heads.close(&object.id);
                self.forwards.close(&object.id);
                node::stop(&object.id, object.process.as_ref(), attributes, self.options.stop_grace)?;
                if attributes.form == Form::Namespaces {
                    links::disconnect_node(&object.id)?;
                }
                let root = root_of(&object.spec).unwrap_or(&attributes.folder);
                node::remove_files(&attributes.folder, root)
            }
        }
    }

    /// Brings the world and the inventory together after a start: what was half made is undone, what was half removed is finished, networks,
    /// published ports and sockets of what runs are opened again.
    pub(crate) fn recover(&self) {
        let objects: Vec<Object> = self.lock().objects().values().cloned().collect();
        for object in &objects {
            let recovered = match (&object.state, &object.attributes) {
                (ObjectState::Creating | ObjectState::Deleting, _) => {
                    self.lock().busy.insert(object.id.clone());
                    self.finish_removal(object)
                }
                (ObjectState::Ready, Attributes::LocalNetwork(network)) => self.recover_network(object, network),
                (ObjectState::Ready, Attributes::LocalInstance(attributes)) => self.recover_forwards(object, attributes),
                (ObjectState::Ready, _) => Ok(()),
            };
            if let Err(error) = recovered {
                complain(&format!("{} could not be recovered: {error}", object.id));
            }
        }
        // Heads may ask as soon as there is a socket: last.
        for object in objects.iter().filter(|object| object.state == ObjectState::Ready) {
            if let Err(error) = self.heads.follow(object) {
                complain(&format!("the socket of {} could not be recovered: {error}", object.id));
            }
        }
    }

    fn recover_network(&self, object: &Object, network: &NetworkAttributes) -> Result<(), CloudError> {
        let cidr = parse(&network.cidr)?;
        if network.form == Form::Plain {
            return self.claims.take(&object.id, cidr);
        }
        links::make_bridge(&object.id, cidr)?;
        if let Some(address) = network.proxy.as_ref().and_then(|proxy| proxy.parse().ok()) {
            self.proxies.open_again(&object.id, cidr, address);
            return Ok(());
        }
        // A network of before there were proxies: nodes that are made from now on have it.
        let proxy = Some(self.proxies.open(&object.id, cidr)?.to_string());
        let attributes = Attributes::LocalNetwork(NetworkAttributes { proxy, ..network.clone() });
        self.lock().change(Change::Put(Box::new(Object { attributes, ..object.clone() })), None)
    }

    fn recover_forwards(&self, object: &Object, attributes: &InstanceAttributes) -> Result<(), CloudError> {
        if let ResourceSpec::LocalInstance(spec) = &object.spec {
            self.forwards.open_again(&object.id, address_of(attributes)?, &spec.publish);
        }
        Ok(())
    }

    /// Copies the running binary before it is needed, and removes copies that nobody runs.
    pub(crate) fn prepare_binary(&self) {
        let used: Vec<String> = {
            let inventory = self.lock();
            let digest = |object: &Object| match &object.attributes {
                Attributes::LocalInstance(attributes) => Some(attributes.binary.clone()),
                _ => None,
            };
            inventory.objects().values().filter_map(digest).collect()
        };
        let done = self.binaries.current().map_err(|error| error.to_string()).and_then(|copy| {
            let kept: Vec<String> = used.into_iter().chain([copy.digest]).collect();
            self.binaries.clean(&kept).map_err(|error| error.to_string())
        });
        if let Err(error) = done {
            complain(&format!("the copies of the program could not be put in order: {error}"));
        }
    }
}

/// Digests of secrets, as the inventory keeps them.
pub(super) fn secret_digests(secrets: &BTreeMap<String, Secret>) -> BTreeMap<String, String> {
    secrets.iter().map(|(name, secret)| (name.clone(), files::digest_of_text(secret.reveal()))).collect()
}

/// Processors and memory in MiB: those asked for, or the machine's.
pub(super) fn size_of(spec: &InstanceSpec, facts: &Facts) -> Result<(serde_json::Number, u64), CloudError> {
    let positive = |what: &str, number: &serde_json::Number| {
        let value = number.to_string().parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
        value.ok_or_else(|| permanent("bad_size", format!("`{what}` is {number}; it must be above zero")))
    };
    if let Some(cpus) = &spec.cpus {
        positive("cpus", cpus)?;
    }
    let memory_mib = match &spec.memory_gib {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is positive, and such a cast saturates")]
        Some(memory) => (positive("memory_gib", memory)? * 1024.0).round() as u64,
        None => facts.memory_mib,
    };
    Ok((spec.cpus.clone().unwrap_or_else(|| facts.cpus.into()), memory_mib))
}

fn plan_instance(inventory: &Inventory, id: &str, spec: &InstanceSpec, provisions: &Provisions) -> Result<InstanceAttributes, CloudError> {
    let network = network_of(inventory, &spec.network)?;
    if network.form != spec.form {
        let message = format!("the instance has the form {} and its network {} the form {}", spec.form, spec.network, network.form);
        return Err(permanent("form_differs", message));
    }
    let ssh_port = spec.ssh_port.unwrap_or(match spec.form {
        Form::Plain => PLAIN_SSH_PORT,
        Form::Namespaces => NAMESPACES_SSH_PORT,
    });
    let taken: Vec<_> = inventory
        .objects()
        .values()
        .filter_map(|object| match &object.attributes {
            Attributes::LocalInstance(attributes) => attributes.address.parse().ok(),
            _ => None,
        })
        .collect();
    let address = plan_node(parse(&network.cidr)?, spec.form, ssh_port, &taken)?;
    let (cores, memory_mib) = size_of(spec, &provisions.facts)?;
    let folder = spec.root.join(id);
    Ok(InstanceAttributes {
        name: spec.name.clone(),
        names: vec![spec.name.clone(), id.to_owned()],
        network: spec.network.clone(),
        form: spec.form,
        address: address.to_string(),
        ssh_port,
        ssh_user: match (&spec.ssh_user, spec.form) {
            (Some(user), _) => user.clone(),
            (None, Form::Namespaces) => "root".to_owned(),
            (None, Form::Plain) => own_name()?,
        },
        dirs: dirs_of(spec.form, &folder),
        folder,
        cores,
        memory_mib,
        own_pid_namespace: spec.form == Form::Namespaces || provisions.facts.plain_pid_namespace.possible,
        binary: provisions.binary.digest.clone(),
        run_state: RunState::Stopped,
        published: Vec::new(),
    })
}

fn network_of<'a>(inventory: &'a Inventory, id: &str) -> Result<&'a NetworkAttributes, CloudError> {
    match inventory.objects().get(id) {
        Some(Object { attributes: Attributes::LocalNetwork(network), state: ObjectState::Ready, .. }) => Ok(network),
        Some(object) if object.kind == Kind::LocalNetwork => {
            Err(conflict("network_not_ready", format!("the network {id} is being made or removed")))
        }
        _ => Err(permanent("no_network", format!("the local cloud has no network `{id}`"))),
    }
}

fn plan_bucket(spec: &BucketSpec) -> Result<BucketAttributes, CloudError> {
    let path = spec.root.join("buckets").join(&spec.name);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_failure("look for", &path, &error)),
        Ok(_) => return Err(conflict("exists", format!("there is something at {} already", path.display()))),
    }
    let text = path.to_str().ok_or_else(|| permanent("bad_path", format!("{} is not UTF-8", path.display())))?;
    Ok(BucketAttributes { name: spec.name.clone(), uri: format!("file://{text}"), path })
}

fn build_bucket(spec: &ResourceSpec, bucket: &BucketAttributes) -> Result<(), CloudError> {
    if let Some(root) = root_of(spec) {
        node::make_project_root(root)?;
    }
    files::make_private_folder(&bucket.path)
        .and_then(|()| files::sync_folder_of(&bucket.path))
        .map_err(|error| io_failure("make", &bucket.path, &error))
}

fn remove_bucket(spec: &ResourceSpec, path: &Path) -> Result<(), CloudError> {
    files::remove_tree(path).map_err(|error| io_failure("remove", path, &error))?;
    let Some(root) = root_of(spec) else { return Ok(()) };
    let buckets: PathBuf = root.join("buckets");
    match fs::remove_dir(&buckets) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::DirectoryNotEmpty) => {}
        Err(error) => return Err(io_failure("remove", &buckets, &error)),
    }
    node::remove_project_root(root)
}

fn root_of(spec: &ResourceSpec) -> Option<&Path> {
    match spec {
        ResourceSpec::LocalBucket(bucket) => Some(&bucket.root),
        ResourceSpec::LocalInstance(instance) => Some(&instance.root),
        ResourceSpec::LocalNetwork(_) | ResourceSpec::LocalFirewall(_) => None,
    }
}

fn own_name() -> Result<String, CloudError> {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid).map_err(|errno| system_failure("read the user's name", &errno.into()))?;
    Ok(user.map_or_else(|| format!("user{uid}"), |user| user.name))
}

fn new_id(kind: Kind, inventory: &str) -> Result<String, CloudError> {
    let mut random = [0_u8; ID_BYTES];
    getrandom::fill(&mut random).map_err(|error| permanent("no_randomness", format!("the system gives no random bytes: {error}")))?;
    Ok(format!("{}{inventory}-{}", kind.id_prefix(), files::hex(&random)))
}
