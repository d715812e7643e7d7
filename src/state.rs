//! What is done to the state by itself: entries are renamed or let go of, the whole is read and replaced, and it is moved to another place.
//! No provider is asked, and nothing in the world changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cloudtik_compiler::{Compiled, compile};
use cloudtik_executor::driver::login_key_file;
use cloudtik_executor::durable::{DataDir, Ledger, NamedPlace, OsEntropy, SessionStore, Vault};
use cloudtik_model::{Address, Diagnostic, State, did_you_mean};
use cloudtik_provider_api::{Facts, HEAD_CONTROLLER_KIND};

use crate::project::{durable, now};
use crate::{Failure, Project};

/// Blocks whose parts the spec names as a whole.
const BLOCKS: [&str; 2] = ["workspace", "cluster"];

/// How the state is edited.
#[derive(Clone, Debug, Default)]
pub struct StateEdit {
    /// Nothing is written.
    pub dry_run: bool,
    /// The state as it was is written to this file too; it stays beside the state in any case.
    pub backup: Option<PathBuf>,
}

/// What became of a state that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is the project's from now on.
    Written,
    /// It was the project's already.
    Same,
}

/// What became of a state whose place the spec says anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// It lies where the spec says, which is here.
    Stays(String),
    /// It was moved.
    Moved {
        /// Where it lay.
        from: String,
        /// Where it lies.
        to: String,
    },
}

impl Project {
    /// Calls what the state has at one address by another one, with everything below it, and gives the pairs of names. The objects stay as they
    /// are: the spec must name them so too.
    ///
    /// # Errors
    /// Nothing is there, something is at the other address, they cannot be of one thing; the state's; the lock is held.
    pub fn move_in_state(&self, from: &Address, to: &Address, edit: &StateEdit) -> Result<Vec<(Address, Address)>, Failure> {
        let mut moved = Vec::new();
        self.edit(edit, |ledger, vault| {
            moved = moves(&ledger.state, from, to)?;
            if !edit.dry_run {
                let of_clusters = moved.iter().map(|(before, after)| (before.block(), after.block()));
                let clusters: BTreeSet<_> = of_clusters.filter(|(before, _)| is_cluster(before)).collect();
                clusters.iter().try_for_each(|(before, after)| rename_login_key(vault, before, after))?;
            }
            ledger.rename(from, to);
            rename_facts(&mut ledger.state, from, to);
            Ok(())
        })?;
        Ok(moved)
    }

    /// Lets go of what the state has at these addresses and below them, and gives the addresses. The objects stay as they are, and nobody knows
    /// them any more.
    ///
    /// # Errors
    /// There is nothing at one of them; the state's; the lock is held.
    pub fn remove_from_state(&self, addresses: &[Address], edit: &StateEdit) -> Result<Vec<Address>, Failure> {
        let mut removed = Vec::new();
        self.edit(edit, |ledger, _| {
            for address in addresses {
                removed.extend(within(&ledger.state, address)?);
            }
            removed.sort();
            removed.dedup();
            removed.iter().for_each(|address| ledger.forget(address));
            Ok(())
        })?;
        Ok(removed)
    }

    /// The state as it lies in its store. What is sensitive is sealed, and only the project's key opens it. `None`: there is none yet.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn pull_state(&self) -> Result<Option<Vec<u8>>, Failure> {
        SessionStore::pull(&self.data_of_spec()?, Box::new(OsEntropy)).map_err(|error| durable(&error))
    }

    /// Puts a state in the place of the project's, which stays as its predecessor. `name` is where it comes from, for messages.
    ///
    /// # Errors
    /// It is no state; without `force` also: it is of another lineage, or older; the lock is held.
    pub fn push_state(&self, name: &Path, bytes: &[u8], force: bool) -> Result<Pushed, Failure> {
        let mut store = self.lock_of_spec("state push")?;
        // Of another lineage nothing that is sealed opens, and that would be said instead.
        let said = serde_json::from_slice::<Said>(bytes).ok().filter(|_| !force && !store.state().lineage.is_empty());
        if let Some(said) = said {
            check_successor(store.state(), &said)?;
        }
        let pushed = store.read_state(name, bytes).map_err(|error| durable(&error))?;
        check_pushed(&pushed)?;
        if *store.state() == pushed {
            return Ok(Pushed::Same);
        }
        if !force && store.state().serial == pushed.serial {
            let title = format!("the project's state has the serial {} too, and is another one", pushed.serial);
            let help = "raise `serial` by one where the file was edited on purpose; `--force` takes it all the same";
            return Err(Failure::plain(Diagnostic::error("state-push", title).help(help)));
        }
        store.replace(pushed).map_err(|error| durable(&error))?;
        Ok(Pushed::Written)
    }

    /// Moves the state to where the spec says, from where it was used before.
    ///
    /// # Errors
    /// Something else is there; operations are open; a lock is held.
    pub fn migrate_state(&self) -> Result<Migrated, Failure> {
        let compiled = self.compiled_for_state()?;
        let to = self.data(&compiled);
        let remember = || to.create().and_then(|()| to.remember_place(place(&compiled)));
        let shown = |data: &DataDir| shown(&self.folder, &data.state());
        let Some(from) = self.former_place(&compiled)? else {
            remember().map_err(|error| durable(&error))?;
            return Ok(Migrated::Stays(shown(&to)));
        };
        let mut before = self.lock(&from, "state migrate")?;
        let mut after = self.lock(&to, "state migrate")?;
        let (state, there) = (before.state().clone(), after.state());
        if !there.lineage.is_empty() && (there.lineage != state.lineage || there.serial > state.serial) {
            let title = format!(
                "`{}` holds a state already, {}",
                shown(&to),
                if there.lineage == state.lineage { "a newer one" } else { "of something else" }
            );
            let help = format!("move it away, or the one of `{}`: whichever stays is the project's", shown(&from));
            return Err(Failure::plain(Diagnostic::error("state-exists", title).help(help)));
        }
        before.commit().map_err(|error| durable(&error))?;
        let state = before.state().clone();
        if !before.open_intents().is_empty() {
            let title = "operations of an interrupted run are open, and the state cannot be moved away from under them";
            let help = "write the `state` block as it was, run `cloudtik apply`, and move the state then";
            return Err(Failure::plain(Diagnostic::error("state-unsettled", title).help(help)));
        }
        let keys = |data: &DataDir| Vault::of(data, Box::new(OsEntropy));
        keys(&to).take_all(&keys(&from)).map_err(|error| durable(&error))?;
        let moved = after.replace(state).and_then(|()| remember()).and_then(|()| from.leave_for(&to));
        moved.map_err(|error| durable(&error))?;
        Ok(Migrated::Moved { from: shown(&from), to: shown(&to) })
    }

    /// An edit of the state, under the lock. Where nothing is to be written none is taken.
    fn edit(&self, edit: &StateEdit, change: impl FnOnce(&mut Ledger, &mut Vault) -> Result<(), Failure>) -> Result<(), Failure> {
        if edit.dry_run {
            let data = self.data_of_spec()?;
            let mut snapshot = SessionStore::snapshot(&data, Box::new(OsEntropy)).map_err(|error| durable(&error))?;
            return change(&mut snapshot.ledger, &mut snapshot.vault);
        }
        let mut store = self.lock_of_spec("state")?;
        if !store.open_intents().is_empty() {
            let open = store.open_intents().len();
            return Err(durable(&cloudtik_executor::durable::DurableError::Unsettled { open }));
        }
        let mut ledger = store.ledger().clone();
        change(&mut ledger, store.vault())?;
        if let Some(file) = &edit.backup {
            self.write_backup(file)?;
        }
        store.replace(ledger.state).map_err(|error| durable(&error))
    }

    fn write_backup(&self, file: &Path) -> Result<(), Failure> {
        let bytes = self.pull_state()?.unwrap_or_default();
        let failed = |error: std::io::Error| {
            let title = format!("the state as it was cannot be written to `{}`: {error}", file.display());
            Failure::plain(Diagnostic::error("file", title).help("nothing was changed: name another file"))
        };
        std::fs::write(file, bytes).map_err(failed)
    }

    /// The state where the spec says, locked; where that is, is remembered as by an apply.
    fn lock_of_spec(&self, command: &str) -> Result<SessionStore, Failure> {
        let compiled = self.compiled_for_state()?;
        self.check_place(&compiled)?;
        let data = self.data(&compiled);
        let store = self.lock(&data, command)?;
        data.remember_place(place(&compiled)).map_err(|error| durable(&error))?;
        Ok(store)
    }

    /// Where the state of this environment lies, if that is not where the spec says. The place that the spec named last counts in any case; those
    /// before it only as long as nothing is at the one of now: other environments may have been moved already.
    fn former_place(&self, compiled: &Compiled) -> Result<Option<DataDir>, Failure> {
        let here = self.data(compiled);
        let recorded = here.last_places().map_err(|error| durable(&error))?;
        let is_recorded = !recorded.is_empty();
        let places = if is_recorded { recorded } else { vec![None] };
        let written = |place: &Option<NamedPlace>| place.as_ref().map(|place| place.written.clone());
        let has_state = |data: &DataDir| data.has_state().map_err(|error| durable(&error));
        for (age, place) in places.into_iter().enumerate().filter(|(_, place)| written(place) != compiled.state_written) {
            let counts = is_recorded && age == 0;
            if !counts && has_state(&here)? {
                continue;
            }
            let former = self.data_at(place);
            if !is_same_place(&former, &here) && has_state(&former)? {
                return Ok(Some(former));
            }
        }
        Ok(None)
    }

    /// What a path that was written once means with the variables of now; what it meant the last time, where those are gone.
    fn data_at(&self, place: Option<NamedPlace>) -> DataDir {
        let Some(NamedPlace { written, path }) = place else { return self.data(&Compiled::default()) };
        let expressions = [written];
        let (compiled, ..) = compile(&self.compile_input(&Facts::new(), &expressions, &now()));
        let means = compiled.answers.into_iter().next().and_then(Result::ok).and_then(|path| path.as_str().map(str::to_owned));
        self.data(&Compiled { state_path: Some(means.unwrap_or(path)), ..Compiled::default() })
    }

    /// Refuses to go on where the state lies elsewhere than the spec says: what it has would be forgotten.
    pub(crate) fn check_place(&self, compiled: &Compiled) -> Result<(), Failure> {
        let Some(former) = self.former_place(compiled)? else { return Ok(()) };
        let (from, to) = (shown(&self.folder, &former.state()), shown(&self.folder, &self.data(compiled).state()));
        let title = format!("the spec says that the state lies in `{to}`, and it lies in `{from}`");
        let help = "run `cloudtik state migrate` to move it there, or write the `state` block as it was";
        Err(Failure::plain(Diagnostic::error("state-elsewhere", title).help(help)))
    }
}

/// What the spec says, to be remembered.
pub(crate) fn place(compiled: &Compiled) -> Option<NamedPlace> {
    let (written, path) = (compiled.state_written.clone()?, compiled.state_path.clone()?);
    Some(NamedPlace { written, path })
}

fn is_same_place(one: &DataDir, other: &DataDir) -> bool {
    let place = |data: &DataDir| std::fs::canonicalize(data.state()).unwrap_or_else(|_| data.state());
    place(one) == place(other)
}

/// A path as somebody in the project's folder would write it.
fn shown(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// The addresses that a state has at and below one.
fn within(state: &State, prefix: &Address) -> Result<Vec<Address>, Failure> {
    let found: Vec<Address> = state.resources.keys().filter(|address| address.is_within(prefix)).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let known: Vec<String> = state.resources.keys().map(ToString::to_string).collect();
    let near = did_you_mean(&prefix.to_string(), known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
    let error = Diagnostic::error("unknown-address", format!("the state has nothing at `{prefix}`"));
    Err(Failure::plain(error.help(near.unwrap_or_else(|| "`cloudtik state list` shows what it has".to_owned()))))
}

/// What an address can be of, as far as something else may be called by it: two are of one thing when these are alike.
#[derive(PartialEq, Eq)]
enum Shape {
    Module,
    Block(String),
    Resource(String),
}

impl Shape {
    fn of(address: &Address) -> Option<Self> {
        match address.in_module() {
            [] => Some(Self::Module),
            [first, _] if BLOCKS.contains(&&*first.name) => Some(Self::Block(first.name.to_string())),
            [first, _] => Some(Self::Resource(first.name.to_string())),
            _ => None,
        }
    }
}

/// The names before and after.
fn moves(state: &State, from: &Address, to: &Address) -> Result<Vec<(Address, Address)>, Failure> {
    let refuse = |code, title: String, help: &str| Err(Failure::plain(Diagnostic::error(code, title).help(help)));
    let found = within(state, from)?;
    let (shape, other) = (Shape::of(from), Shape::of(to));
    if shape.is_none() || other.is_none() {
        let part = if shape.is_none() { from } else { to };
        let title = format!("`{part}` is a part of something, and is called after it");
        return refuse("state-address", title, "name a resource, or the whole: `workspace.w`, `cluster.c`, `module.m`");
    }
    if shape != other {
        return refuse(
            "state-address",
            format!("`{from}` and `{to}` are of two kinds"),
            "what is there stays what it is: only its name changes",
        );
    }
    let is_cluster = shape == Some(Shape::Block("cluster".to_owned()));
    let controller = found.iter().any(|address| state.resources.get(address).is_some_and(|entry| &*entry.kind == HEAD_CONTROLLER_KIND));
    if controller && (is_cluster || shape == Some(Shape::Module)) {
        let title = format!("the head of `{from}` knows its workers by that name, and cannot be told another one");
        return refuse("state-address", title, "leave the label as it is: `name` says what the cluster is called in the world");
    }
    let moved: Vec<(Address, Address)> = found.iter().filter_map(|address| Some((address.clone(), address.moved(from, to)?))).collect();
    if let Some((_, taken)) = moved.iter().find(|(_, after)| state.resources.contains_key(after)) {
        let title = format!("`{from}` cannot be called `{to}`: the state has something at `{taken}` already");
        return refuse("state-taken", title, "move that one first, or let go of it: `cloudtik state rm`");
    }
    if moved.is_empty() {
        return refuse("state-address", format!("`{from}` cannot be called `{to}`"), "write the address with the key that it has");
    }
    Ok(moved)
}

/// Facts of a block are kept under its address.
fn rename_facts(state: &mut State, from: &Address, to: &Address) {
    let (before, after) = (format!("{from}."), format!("{to}."));
    let renamed = std::mem::take(&mut state.facts).into_iter().map(|(key, fact)| match key.strip_prefix(&before) {
        Some(rest) => (format!("{after}{rest}"), fact),
        None => (key, fact),
    });
    state.facts = renamed.collect();
}

/// The key that logs in to a cluster's nodes is kept under its address. The former name stays until nobody needs it.
fn is_cluster(address: &Address) -> bool {
    address.in_module().first().is_some_and(|segment| &*segment.name == "cluster")
}

fn rename_login_key(vault: &mut Vault, from: &Address, to: &Address) -> Result<(), Failure> {
    let (before, after) = (login_key_file(from), login_key_file(to));
    // The public half is first: whoever finds the private one needs it.
    for ending in [".pub", ""] {
        let read = vault.read_secret(&format!("{before}{ending}")).map_err(|error| durable(&error))?;
        if let Some(bytes) = read {
            vault.put_secret(&format!("{after}{ending}"), &bytes, "").map_err(|error| durable(&error))?;
        }
    }
    Ok(())
}

/// What a state says of itself, whatever else is in it.
#[derive(serde::Deserialize)]
struct Said {
    lineage: String,
    serial: u64,
}

/// The greatest serial, epoch or sequence that is taken from a file: more than a project will ever count to, and exact in every JSON.
const COUNTER_MAX: u64 = 1 << 53;

/// Whether a project can go on from a state: with `--force` too.
fn check_pushed(pushed: &State) -> Result<(), Failure> {
    let refuse = |title: String, help: &str| Err(Failure::plain(Diagnostic::error("state-push", title).help(help)));
    if pushed.lineage.is_empty() {
        return refuse("it has no lineage, by which a state is known".to_owned(), "take `lineage` from `cloudtik state pull`");
    }
    let sequence = pushed.folded.as_ref().map_or(0, |folded| folded.sequence);
    for (name, counter) in [("serial", pushed.serial), ("epoch", pushed.epoch), ("sequence", sequence)] {
        if counter > COUNTER_MAX {
            return refuse(
                format!("its {name} is {counter}, and at most {COUNTER_MAX} is counted to"),
                "write the one of `cloudtik state pull`",
            );
        }
    }
    Ok(())
}

/// Whether a state may take the place of another one.
fn check_successor(state: &State, pushed: &Said) -> Result<(), Failure> {
    let refuse = |title: String, help: &str| Err(Failure::plain(Diagnostic::error("state-push", title).help(help)));
    if pushed.lineage != state.lineage {
        let title = format!(
            "it is of lineage `{}`, and the project's state of `{}`: they have nothing to do with each other",
            pushed.lineage, state.lineage
        );
        return refuse(title, "look whether this is the right project; `--force` takes it all the same");
    }
    if pushed.serial < state.serial {
        let title = format!("its serial is {}, and the project's state has {}: it is older", pushed.serial, state.serial);
        return refuse(title, "make the change in what `cloudtik state pull` gives now; `--force` goes back to it all the same");
    }
    Ok(())
}
