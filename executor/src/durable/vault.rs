//! The keys folder: the data key of sensitive values, and files that hold one secret each.
//!
//! Everything is durable before it is used: a key before something is encrypted with it, a secret before the intent that names it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cloudtik_model::Digest;
use serde_json::Value as Json;

use super::disk::{self, Disk, OsDisk, temporary_beside};
use super::envelope::{self, DataKey, KEY_BYTES, SealContext};
use super::{DataDir, DurableError, Entropy};
use crate::SecretRef;

/// Name of the file with the data key.
pub const STATE_KEY: &str = "state.key";

/// Longest name of a key file: with the ending of a temporary file it stays below the 255 bytes of file systems.
pub const SECRET_NAME_BYTES_MAX: usize = 200;

/// Longest content of a key file: a private key has some hundred bytes; a head's configuration, which is kept whole because it holds secrets,
/// has the text of every template and file of the spec.
pub const SECRET_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where key files lie. Names are checked by the vault.
pub trait KeyFiles: Send {
    /// Where the file of that name is, for messages.
    fn path(&self, name: &str) -> PathBuf;
    /// Its content.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, DurableError>;
    /// Makes it, durably. False: there is one of that name already, which stays.
    ///
    /// # Errors
    /// What the system says.
    fn create(&mut self, name: &str, bytes: &[u8]) -> Result<bool, DurableError>;
    /// Removes it. One that is gone is fine.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&mut self, name: &str) -> Result<(), DurableError>;
    /// The names, sorted.
    ///
    /// # Errors
    /// What the system says.
    fn names(&self) -> Result<Vec<String>, DurableError>;
}

/// A pair as its maker gives it: text of any form, a line for the public half.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The secret half.
    pub private: String,
    /// The half that everybody may know.
    pub public: String,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public)
    }
}

/// Seals and opens sensitive values, and keeps secrets.
pub struct Vault {
    files: Box<dyn KeyFiles>,
    entropy: Box<dyn Entropy>,
    key: Option<DataKey>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.files.path("").display())
    }
}

impl Vault {
    /// Over these files.
    #[must_use]
    pub fn new(files: Box<dyn KeyFiles>, entropy: Box<dyn Entropy>) -> Self {
        Self { files, entropy, key: None }
    }

    /// That of a project, whose data folder need not be there yet.
    #[must_use]
    pub fn of(folder: &DataDir, entropy: Box<dyn Entropy>) -> Self {
        Self::new(Box::new(FolderKeys { disk: Arc::new(OsDisk::default()), folder: folder.clone() }), entropy)
    }

    /// The randomness it was given.
    pub fn entropy(&mut self) -> &mut dyn Entropy {
        &mut *self.entropy
    }

    /// Puts every `{"$sensitive": …}` of a document into an envelope. The key is made on first need.
    ///
    /// # Errors
    /// The key cannot be read or made.
    pub fn seal_json(&mut self, json: &mut Json, context: SealContext<'_>) -> Result<(), DurableError> {
        if envelope::has_sensitive(json) {
            self.sealing_key()?;
        }
        let Some(key) = &self.key else { return Ok(()) };
        key.seal(json, context, &mut *self.entropy)
    }

    /// Puts the node at a JSON pointer into an envelope, whatever it is. No node there: nothing happens.
    ///
    /// # Errors
    /// The key cannot be read or made.
    pub fn seal_node(&mut self, json: &mut Json, pointer: &str, context: SealContext<'_>) -> Result<(), DurableError> {
        let Some(node) = json.pointer_mut(pointer).filter(|node| !node.is_null()) else { return Ok(()) };
        self.sealing_key()?;
        if let Some(key) = &self.key {
            *node = key.seal_node(node, context, pointer, &mut *self.entropy)?;
        }
        Ok(())
    }

    /// Takes everything in a document out of its envelope.
    ///
    /// # Errors
    /// The key is missing, is another one or damaged; an envelope was changed or moved.
    pub fn open_json(&mut self, json: &mut Json, context: SealContext<'_>) -> Result<(), DurableError> {
        let (files, known) = (&*self.files, &mut self.key);
        let mut loaded = known.take();
        if loaded.is_none() && envelope::has_envelope(json) {
            loaded = load_key(files)?;
        }
        let result = envelope::open(json, context, &mut |key_id| match &loaded {
            Some(key) if key.id() == key_id => Ok(key),
            Some(key) => {
                Err(DurableError::KeyDiffers { path: files.path(STATE_KEY), key_id: key_id.to_owned(), found: key.id().to_owned() })
            }
            None => Err(DurableError::KeyMissing { path: files.path(STATE_KEY), key_id: key_id.to_owned() }),
        });
        *known = loaded;
        result
    }

    /// Keeps a secret in a file of that name, durably: call it before the intent that holds the reference. The same content again is fine.
    ///
    /// # Errors
    /// [`DurableError::SecretTaken`] when the name has another content.
    pub fn put_secret(&mut self, name: &str, private: &[u8], public: &str) -> Result<SecretRef, DurableError> {
        check_name(name)?;
        let digest = Digest::of(private);
        if !self.files.create(name, private)? && self.files.read(name)?.map(Digest::of) != Some(digest) {
            return Err(DurableError::SecretTaken { path: self.files.path(name) });
        }
        Ok(SecretRef { file: name.to_owned(), digest, public: public.to_owned() })
    }

    /// A secret by its reference.
    ///
    /// # Errors
    /// Missing, or not the one of the reference: the operation that needs it goes to settlement.
    pub fn get_secret(&self, reference: &SecretRef) -> Result<Vec<u8>, DurableError> {
        check_name(&reference.file)?;
        let path = || self.files.path(&reference.file);
        let bytes = self.files.read(&reference.file)?.ok_or_else(|| DurableError::SecretMissing { path: path() })?;
        if Digest::of(&bytes) == reference.digest { Ok(bytes) } else { Err(DurableError::SecretDiffers { path: path() }) }
    }

    /// What is in the file of a secret; `None`: there is no such file.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_secret(&self, name: &str) -> Result<Option<Vec<u8>>, DurableError> {
        check_name(name)?;
        self.files.read(name)
    }

    /// Removes the file of a secret. One that is gone is fine.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_secret(&mut self, name: &str) -> Result<(), DurableError> {
        check_name(name)?;
        self.files.remove(name)
    }

    /// Takes what another vault keeps, its data key too, to go on with a state that is moved here. What is here already stays.
    ///
    /// # Errors
    /// [`DurableError::SecretTaken`] when something of the same name is another one; what the system says.
    pub fn take_all(&mut self, other: &Self) -> Result<(), DurableError> {
        for name in other.files.names()? {
            let (own, Some(bytes)) = (name == STATE_KEY || check_name(&name).is_ok(), other.files.read(&name)?) else { continue };
            if own && !self.files.create(&name, &bytes)? && self.files.read(&name)?.as_ref() != Some(&bytes) {
                return Err(DurableError::SecretTaken { path: self.files.path(&name) });
            }
        }
        self.key = None;
        Ok(())
    }

    /// Where the file of a secret is, for messages.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }

    /// The names of the secrets and key pairs, sorted; the data key is none of them.
    ///
    /// # Errors
    /// What the system says.
    pub fn secrets(&self) -> Result<Vec<String>, DurableError> {
        Ok(self.files.names()?.into_iter().filter(|name| check_name(name).is_ok()).collect())
    }

    /// The SSH key pair of that name, made by `make` on first need: `<name>.ed25519` and `<name>.ed25519.pub`.
    ///
    /// # Errors
    /// What the maker or the system says.
    pub fn key_pair<E: fmt::Display>(&mut self, name: &str, make: impl FnOnce() -> Result<KeyPair, E>) -> Result<KeyPair, DurableError> {
        let (private_name, public_name) = (format!("{name}.ed25519"), format!("{name}.ed25519.pub"));
        check_name(&public_name)?;
        if let Some(private) = self.files.read(&private_name)? {
            let public = self.files.read(&public_name)?;
            let public = public.ok_or_else(|| DurableError::SecretMissing { path: self.files.path(&public_name) })?;
            let text =
                |bytes, name: &str| String::from_utf8(bytes).map_err(|_| DurableError::SecretDiffers { path: self.files.path(name) });
            return Ok(KeyPair { private: text(private, &private_name)?, public: text(public, &public_name)? });
        }
        let pair = make().map_err(|problem| DurableError::KeyGeneration { name: name.to_owned(), problem: problem.to_string() })?;
        // The private half is last: where it is, the other one is too. A public half without it is from a crash in between.
        self.files.remove(&public_name)?;
        self.files.create(&public_name, pair.public.as_bytes())?;
        if !self.files.create(&private_name, pair.private.as_bytes())? {
            return Err(DurableError::SecretTaken { path: self.files.path(&private_name) });
        }
        Ok(pair)
    }

    /// Makes sure that there is a key to encrypt with.
    fn sealing_key(&mut self) -> Result<(), DurableError> {
        if self.key.is_none() {
            self.key = load_key(&*self.files)?;
        }
        if self.key.is_none() {
            let mut bytes = [0; KEY_BYTES];
            self.entropy.fill(&mut bytes)?;
            // Another process may be the first: then its key is the key.
            self.key = if self.files.create(STATE_KEY, &bytes)? { Some(DataKey::new(&bytes)) } else { load_key(&*self.files)? };
        }
        Ok(())
    }
}

fn load_key(files: &dyn KeyFiles) -> Result<Option<DataKey>, DurableError> {
    let Some(bytes) = files.read(STATE_KEY)? else { return Ok(None) };
    let length = bytes.len() as u64;
    let key: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| DurableError::KeyDamaged {
        path: files.path(STATE_KEY),
        bytes: length,
        expected: KEY_BYTES as u64,
    })?;
    Ok(Some(DataKey::new(&key)))
}

/// A name may come from a journal that somebody edited: it must not lead out of the folder, nor to the data key.
fn check_name(name: &str) -> Result<(), DurableError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let temporary = Path::new(name).extension().is_some_and(|ending| ending == "tmp");
    if name.is_empty()
        || name.len() > SECRET_NAME_BYTES_MAX
        || name.starts_with('.')
        || name == STATE_KEY
        || temporary
        || !name.chars().all(fits)
    {
        return Err(DurableError::SecretName { name: name.chars().take(SECRET_NAME_BYTES_MAX).collect() });
    }
    Ok(())
}

/// Key files in the data folder.
#[derive(Debug)]
pub(crate) struct FolderKeys {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: DataDir,
}

impl FolderKeys {
    /// Two processes may make the same key at once; only a link finds out who was first. Where a file system has no links the lock has to
    /// do.
    fn name_unless_taken(&self, temporary: &Path, path: &Path) -> io::Result<bool> {
        match self.disk.link(temporary, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) if disk::has_no_links(&error) => self.disk.rename(temporary, path).map(|()| true),
            Err(error) => Err(error),
        }
    }
}

impl KeyFiles for FolderKeys {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.keys().join(name)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, DurableError> {
        let path = self.path(name);
        let bytes = self.disk.read(&path, SECRET_BYTES_MAX).map_err(DurableError::io("read", &path))?;
        match bytes {
            Some(bytes) if bytes.len() as u64 > SECRET_BYTES_MAX => Err(DurableError::TooLong { path, limit: SECRET_BYTES_MAX }),
            other => Ok(other),
        }
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> Result<bool, DurableError> {
        let path = self.path(name);
        if self.disk.stamp(&path).map_err(DurableError::io("read", &path))?.is_some() {
            return Ok(false);
        }
        self.folder.create_on(&*self.disk)?;
        let folder = self.folder.keys();
        self.disk.make_folder(&folder).map_err(DurableError::io("make", &folder))?;
        let temporary = temporary_beside(&path);
        let written = self.disk.write(&temporary, bytes, false).and_then(|()| self.name_unless_taken(&temporary, &path));
        let removed = self.disk.remove(&temporary);
        let made = written.map_err(DurableError::io("write", &path))?;
        removed.and_then(|()| self.disk.sync_folder(&folder)).map_err(DurableError::io("write", &path))?;
        Ok(made)
    }

    fn remove(&mut self, name: &str) -> Result<(), DurableError> {
        let path = self.path(name);
        self.disk.remove(&path).map_err(DurableError::io("remove", &path))
    }

    fn names(&self) -> Result<Vec<String>, DurableError> {
        let folder = self.folder.keys();
        self.disk.list(&folder).map_err(DurableError::io("read", &folder))
    }
}

/// Key files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryKeys(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl MemoryKeys {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyFiles for MemoryKeys {
    fn path(&self, name: &str) -> PathBuf {
        Path::new("(keys in memory)").join(name)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, DurableError> {
        Ok(self.with(|files| files.get(name).cloned()))
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> Result<bool, DurableError> {
        Ok(self.with(|files| {
            let free = !files.contains_key(name);
            files.entry(name.to_owned()).or_insert_with(|| bytes.to_vec());
            free
        }))
    }

    fn remove(&mut self, name: &str) -> Result<(), DurableError> {
        self.with(|files| drop(files.remove(name)));
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, DurableError> {
        Ok(self.with(|files| files.keys().cloned().collect()))
    }
}
