//! Keys, key files and key pairs.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

fn project() -> (tempfile::TempDir, DataDir) {
    let project = tempfile::tempdir().unwrap();
    let folder = DataDir::new(project.path(), None);
    (project, folder)
}

fn vault(folder: &DataDir, seed: u64) -> Vault {
    Vault::of(folder, Box::new(SeededEntropy::new(seed)))
}

const CONTEXT: SealContext<'static> = SealContext { lineage: "l", usage: "state" };

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_key_is_made_on_first_need_and_stays() {
    let (_project, folder) = project();
    let mut plain = json!({"a": [1]});
    vault(&folder, 1).seal_json(&mut plain, CONTEXT).unwrap();
    assert!(!folder.root().exists() && plain == json!({"a": [1]}));

    let document = json!({"a": {"$sensitive": "hunter2"}});
    let mut sealed = document.clone();
    vault(&folder, 1).seal_json(&mut sealed, CONTEXT).unwrap();
    let key = folder.keys().join(STATE_KEY);
    assert_eq!((mode(&key), mode(&folder.keys()), mode(folder.root()), std::fs::metadata(&key).unwrap().len()), (0o600, 0o700, 0o700, 32));
    let mut again = document.clone();
    let mut second = vault(&folder, 2);
    second.seal_json(&mut again, CONTEXT).unwrap();
    assert_ne!(again, sealed);
    for mut json in [sealed, again] {
        second.open_json(&mut json, CONTEXT).unwrap();
        assert_eq!(json, document);
    }
    assert_eq!(std::fs::read_dir(folder.keys()).unwrap().count(), 1);
}

#[test]
fn a_key_that_is_missing_other_or_damaged_is_named() {
    let (_project, folder) = project();
    let mut sealed = json!({"a": {"$sensitive": "hunter2"}});
    vault(&folder, 1).seal_json(&mut sealed, CONTEXT).unwrap();
    let key = folder.keys().join(STATE_KEY);
    let opened = |what: &str| {
        let error = vault(&folder, 3).open_json(&mut sealed.clone(), CONTEXT).unwrap_err();
        let diagnostic = error.to_diagnostic();
        assert!(diagnostic.title.contains(key.to_str().unwrap()) && diagnostic.help.is_some(), "{what}: {}", diagnostic.title);
        error
    };
    std::fs::write(&key, b"short").unwrap();
    assert!(matches!(opened("damaged"), DurableError::KeyDamaged { bytes: 5, .. }));
    std::fs::write(&key, [9; 32]).unwrap();
    assert!(matches!(opened("other"), DurableError::KeyDiffers { key_id, found, .. } if key_id != found && key_id.len() == 16));
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(opened("missing"), DurableError::KeyMissing { .. }));
    // Nothing was made in its place.
    assert!(!key.exists());
}

fn vaults() -> (tempfile::TempDir, [Vault; 2]) {
    let (project, folder) = project();
    let memory = Vault::new(Box::new(MemoryKeys::default()), Box::new(SeededEntropy::new(1)));
    (project, [vault(&folder, 1), memory])
}

#[test]
fn a_secret_is_kept_by_its_digest() {
    let (_project, vaults) = vaults();
    for mut vault in vaults {
        let reference = vault.put_secret("o1.host_key", b"private", "public").unwrap();
        assert_eq!((reference.file.as_str(), reference.public.as_str()), ("o1.host_key", "public"));
        assert_eq!(vault.get_secret(&reference).unwrap(), b"private");
        assert_eq!(vault.put_secret("o1.host_key", b"private", "public").unwrap(), reference);
        assert!(matches!(vault.put_secret("o1.host_key", b"other", "public"), Err(DurableError::SecretTaken { .. })));
        assert_eq!(vault.secrets().unwrap(), ["o1.host_key"]);
        let other = crate::SecretRef { digest: Digest::of("other"), ..reference.clone() };
        assert!(vault.get_secret(&other).unwrap_err().needs_settlement());
        vault.remove_secret("o1.host_key").unwrap();
        vault.remove_secret("o1.host_key").unwrap();
        let error = vault.get_secret(&reference).unwrap_err();
        assert!(matches!(error, DurableError::SecretMissing { .. }) && error.needs_settlement());
    }
}

#[test]
fn a_name_leads_nowhere_else() {
    let (_project, vaults) = vaults();
    for mut vault in vaults {
        for name in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", ".hidden", "state.key", "x.tmp", "\u{e9}", &"x".repeat(201)] {
            assert!(matches!(vault.put_secret(name, b"x", ""), Err(DurableError::SecretName { .. })), "{name}");
            let reference = crate::SecretRef { file: name.to_owned(), digest: Digest::of("x"), public: String::new() };
            assert!(vault.get_secret(&reference).is_err() && vault.remove_secret(name).is_err(), "{name}");
        }
    }
}

#[test]
fn a_key_pair_is_made_once() {
    let (_project, vaults) = vaults();
    for mut vault in vaults {
        let failed = vault.key_pair("etl", || Err::<KeyPair, _>("no randomness")).unwrap_err();
        assert_eq!(failed.to_string(), "cannot make the key `etl`: no randomness");
        let pair = KeyPair { private: "private".to_owned(), public: "ssh-ed25519 AAAA".to_owned() };
        let made = vault.key_pair("etl", || Ok::<_, String>(pair.clone())).unwrap();
        let found = vault.key_pair("etl", || Err::<KeyPair, _>("not again")).unwrap();
        assert!(made == pair && found == pair);
        assert_eq!(format!("{found:?}"), "KeyPair(ssh-ed25519 AAAA)");
        // A crash between the halves: the public one alone is made anew with the other.
        vault.remove_secret("etl.ed25519").unwrap();
        let other = KeyPair { private: "p2".to_owned(), public: "k2".to_owned() };
        assert_eq!(vault.key_pair("etl", || Ok::<_, String>(other.clone())).unwrap(), other);
        vault.remove_secret("etl.ed25519.pub").unwrap();
        assert!(matches!(vault.key_pair("etl", || Ok::<_, String>(pair)), Err(DurableError::SecretMissing { .. })));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what several do at once is what is tested")]
fn whoever_makes_the_key_first_all_have_the_same() {
    for round in 0..10 {
        let (_project, folder) = project();
        folder.create().unwrap();
        let barrier = std::sync::Barrier::new(4);
        let sealed: Vec<serde_json::Value> = std::thread::scope(|scope| {
            let one = |seed| {
                let (folder, barrier) = (&folder, &barrier);
                scope.spawn(move || {
                    let mut json = json!({"a": {"$sensitive": "hunter2"}});
                    let mut vault = vault(folder, seed);
                    barrier.wait();
                    vault.seal_json(&mut json, CONTEXT).unwrap();
                    json
                })
            };
            let threads: Vec<_> = (0..4).map(|i| one(round * 4 + i)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for mut json in sealed {
            vault(&folder, 99).open_json(&mut json, CONTEXT).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.keys()).unwrap().count(), 1);
    }
}
