//! Configurations that were pushed: checked, made complete with the secrets that modules ask for, and durable before they are followed.
//!
//! What came is kept whole in a key file, because it holds secrets; the file's name has the generation, and the one before goes when the
//! next is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloudtik_executor::driver::login_key;
use cloudtik_executor::durable::{DataDir, DurableError, OsEntropy, Vault};
use cloudtik_lang::late_names_of;
use cloudtik_model::{Address, Digest, HeadConfig, HeadConfigError, LateName, PushConfig, StepSpec, Value};
use serde::{Deserialize, Serialize};

use crate::machine::Pushed;

/// What the key files of configurations are called.
const FILE_PREFIX: &str = "pushed.";

/// Bytes of a secret that is generated where nobody says how long it is: 256 bits are beyond guessing.
const SECRET_BYTES: usize = 32;

/// The longest secret that is generated: more than manifests may ask for, so that a damaged configuration asks for no memory.
const SECRET_CHARS_MAX: usize = 4_096;

/// The version of the files.
const VERSION: u32 = 1;

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum PushError {
    #[error("the head follows generation {known}, and this configuration follows {follows}: somebody else applied meanwhile")]
    Generation { known: u64, follows: u64 },
    #[error("this head belongs to {known}, and the configuration is for {uid}")]
    OtherCluster { known: String, uid: String },
    #[error("this head launches in epoch {known}, and the configuration is of the older epoch {epoch}")]
    Epoch { known: u64, epoch: u64 },
    #[error("the configuration does not have the digest that it came with")]
    Digest,
    #[error("the head's program cannot read this configuration: {0}")]
    Config(String, #[source] HeadConfigError),
    #[error("the configuration cannot be kept: {0}")]
    Store(String, #[source] Box<DurableError>),
}

impl PushError {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Generation { .. } => "generation",
            Self::OtherCluster { .. } => "other-cluster",
            Self::Epoch { .. } => "fenced",
            Self::Digest => "digest",
            Self::Config(..) => "config-version",
            Self::Store(..) => "store",
        }
    }
}

/// What a key file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    generation: u64,
    push: PushConfig,
    /// Secrets that modules ask for, by name.
    generated: BTreeMap<String, String>,
}

/// The configurations of a head.
pub(super) struct Pushes {
    vault: Vault,
    latest: Option<Pushed>,
    generated: BTreeMap<String, String>,
    /// Why what was kept cannot be followed.
    unreadable: Option<String>,
    /// The highest generation that there ever was a file of.
    highest: u64,
}

impl Pushes {
    /// Reads the newest one.
    pub(super) fn open(data: &DataDir) -> Result<Self, DurableError> {
        let vault = Vault::of(data, Box::new(OsEntropy));
        let mut pushes = Self { vault, latest: None, generated: BTreeMap::new(), unreadable: None, highest: 0 };
        pushes.highest = pushes.generations()?.last().copied().unwrap_or(0);
        for generation in pushes.generations()?.into_iter().rev() {
            let bytes = pushes.vault.read_secret(&file_name(generation))?;
            let Some(bytes) = bytes else { continue };
            let read = match serde_json::from_slice::<Kept>(&bytes) {
                // One that is cut off was never acknowledged.
                Err(error) if error.is_eof() => continue,
                Err(error) => Err(format!("it is damaged or of a newer version: {error}")),
                Ok(kept) if kept.version != VERSION => Err(format!("its version is {}, and this program reads {VERSION}", kept.version)),
                Ok(kept) => pushes.complete(kept).map_err(|error| error.to_string()),
            };
            match read {
                Ok(pushed) => pushes.latest = Some(pushed),
                Err(problem) => {
                    pushes.unreadable = Some(format!("the configuration {generation} that this head was given cannot be read: {problem}"));
                }
            }
            break;
        }
        Ok(pushes)
    }

    pub(super) const fn latest(&self) -> Option<&Pushed> {
        self.latest.as_ref()
    }

    pub(super) fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// Takes one. The same once more is what it was.
    pub(super) fn take(&mut self, push: PushConfig) -> Result<Pushed, PushError> {
        let bytes = serde_json::to_vec(&push.config).unwrap_or_default();
        if Digest::of(&bytes) != push.digest {
            return Err(PushError::Digest);
        }
        let config = HeadConfig::from_bytes(&bytes).map_err(|error| PushError::Config(error.to_string(), error))?;
        if let Some(latest) = &self.latest {
            if latest.push.uid != push.uid {
                return Err(PushError::OtherCluster { known: latest.push.uid.clone(), uid: push.uid });
            }
            if latest.push.epoch > push.epoch {
                return Err(PushError::Epoch { known: latest.push.epoch, epoch: push.epoch });
            }
            let same = PushConfig { follows: push.follows, ..latest.push.clone() } == push;
            if same {
                return Ok(latest.clone());
            }
            if let Some(follows) = push.follows.filter(|follows| *follows != latest.generation) {
                return Err(PushError::Generation { known: latest.generation, follows });
            }
        }
        let generation = self.highest + 1;
        let store = |error: DurableError| PushError::Store(super::sentence(&error), Box::new(error));
        let mut generated = self.generated.clone();
        for name in secrets_of(&config).into_iter().filter(|name| !push.secrets.contains_key(&**name)) {
            if !generated.contains_key(&*name) {
                let length = config.secrets.get(&name).and_then(|length| usize::try_from(*length).ok());
                let mut bytes = vec![0_u8; length.map_or(SECRET_BYTES, |length| length.min(SECRET_CHARS_MAX))];
                self.vault.entropy().fill(&mut bytes).map_err(store)?;
                let text = URL_SAFE_NO_PAD.encode(bytes);
                // A byte is more than a character says, so there are always enough of them.
                generated.insert(name.to_string(), text.chars().take(length.unwrap_or(usize::MAX)).collect());
            }
        }
        let kept = Kept { version: VERSION, generation, push, generated };
        let bytes = serde_json::to_vec(&kept).unwrap_or_default();
        let pushed = self.complete(kept)?;
        let name = file_name(generation);
        // What an earlier try left half written was never acknowledged.
        self.vault.remove_secret(&name).map_err(store)?;
        self.vault.put_secret(&name, &bytes, "").map_err(store)?;
        (self.highest, self.unreadable) = (generation, None);
        self.latest = Some(pushed.clone());
        // A file that stays costs room and nothing else: the newest counts. The next push tries again.
        for older in self.generations().unwrap_or_default().into_iter().filter(|older| *older < generation) {
            drop(self.vault.remove_secret(&file_name(older)));
        }
        Ok(pushed)
    }

    fn complete(&mut self, kept: Kept) -> Result<Pushed, PushError> {
        let bytes = serde_json::to_vec(&kept.push.config).unwrap_or_default();
        let config = HeadConfig::from_bytes(&bytes).map_err(|error| PushError::Config(error.to_string(), error))?;
        let login_key =
            login_key(&mut self.vault, &config.cluster).map_err(|error| PushError::Store(super::sentence(&error), Box::new(error)))?;
        let entries = kept.push.references.entries().cloned().unwrap_or_default();
        let references = entries.iter().filter_map(|(address, value)| Some((address.parse::<Address>().ok()?, value.clone()))).collect();
        let secrets = kept.generated.iter().chain(&kept.push.secrets).map(|(name, text)| (Arc::from(name.as_str()), text.clone()));
        let secrets = secrets.collect();
        self.generated = kept.generated;
        Ok(Pushed { generation: kept.generation, push: kept.push, config: Arc::new(config), references, secrets, login_key })
    }

    fn generations(&self) -> Result<Vec<u64>, DurableError> {
        let mut found: Vec<u64> = self.vault.secrets()?.iter().filter_map(|name| name.strip_prefix(FILE_PREFIX)?.parse().ok()).collect();
        found.sort_unstable();
        Ok(found)
    }
}

fn file_name(generation: u64) -> String {
    format!("{FILE_PREFIX}{generation}")
}

/// The secrets that a configuration names.
fn secrets_of(config: &HeadConfig) -> BTreeSet<Arc<str>> {
    let of_groups = config.groups.values().flat_map(|group| group.steps.iter().chain(group.memberships.iter().map(|m| &m.step)));
    let steps: Vec<&StepSpec> = config.head_steps.iter().chain(of_groups).collect();
    let mut names: BTreeSet<LateName> = steps.into_iter().flat_map(late_names_of).collect();
    config.groups.values().for_each(|group| Value::late_names(&group.node.attributes, &mut names));
    names.into_iter().filter_map(|name| if let LateName::Secret(name) = name { Some(name) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cloudtik_model::{
        Expr, ExprKind, GroupConfig, HEAD_CONFIG_VERSION, Input, Lifecycle, ProviderRef, ResourceSpec, ServiceConfig, Span, StepKind, Type,
    };

    use super::*;

    /// A configuration whose worker uses these secrets.
    fn push(names: &[&str], lengths: &[(&str, u64)], follows: Option<u64>) -> PushConfig {
        let at: Address = "cluster.c.workers.g".parse().unwrap();
        let late = |name: &str| Value::deferred(Type::String, Expr::from(ExprKind::Late(LateName::Secret(name.into()))));
        let step = StepSpec {
            address: at.child("step").child("secrets"),
            node: at.clone(),
            kind: StepKind::File,
            inputs: names.iter().map(|name| ((*name).to_owned(), Input::Value(late(name)))).collect(),
            triggers: BTreeSet::new(),
            frozen: false,
            depends_on: BTreeSet::new(),
            title: String::new(),
            lifecycle: Lifecycle::default(),
            span: Span::NONE,
        };
        let node = ResourceSpec {
            address: at,
            kind: "sim_instance".into(),
            provider: ProviderRef::new("sim"),
            attributes: Value::object::<&str>([]),
            depends_on: BTreeSet::new(),
            lifecycle: Lifecycle::default(),
            marks: BTreeMap::new(),
            span: Span::NONE,
            origins: BTreeMap::new(),
        };
        let group = GroupConfig {
            min: 1,
            max: 1,
            quorum: false,
            moved_from: None,
            ready_timeout_secs: 1,
            node,
            steps: vec![step],
            memberships: Vec::new(),
        };
        let config = HeadConfig {
            version: HEAD_CONFIG_VERSION,
            cluster: "cluster.c".parse().unwrap(),
            name: "c".to_owned(),
            provider: ProviderRef::new("sim"),
            provider_config: Value::object::<&str>([]),
            groups: BTreeMap::from([("g".into(), group)]),
            head_steps: Vec::new(),
            services: BTreeMap::<_, ServiceConfig>::new(),
            secrets: lengths.iter().map(|(name, length)| ((*name).into(), *length)).collect(),
            scaling: Value::NULL,
        };
        PushConfig {
            uid: "l/w/c".to_owned(),
            epoch: 1,
            follows,
            config: serde_json::to_value(&config).unwrap(),
            digest: config.digest().unwrap(),
            references: Value::object::<&str>([]),
            secrets: BTreeMap::from([("told".to_owned(), "as it came".to_owned())]),
            operator_keys: Vec::new(),
        }
    }

    #[test]
    fn a_secret_is_made_once_and_as_long_as_its_module_says() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path(), Some(Path::new("store")));
        data.create().unwrap();
        let names = ["long", "old", "short", "told"];
        let mut pushes = Pushes::open(&data).unwrap();
        let first = pushes.take(push(&names, &[("long", 255), ("short", 16)], None)).unwrap().secrets;
        let lengths: Vec<usize> = names.iter().map(|name| first[*name].chars().count()).collect();
        // One without a length is that of a configuration from before there were lengths.
        assert_eq!(lengths, [255, 43, 16, 10]);
        // What was made is kept, in a new process and under another length too.
        let mut again = Pushes::open(&data).unwrap();
        let second = again.take(push(&names, &[("long", 20), ("short", 16)], Some(1))).unwrap();
        assert_eq!((second.generation, second.secrets), (2, first));
    }
}
