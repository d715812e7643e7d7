//! Keys in their OpenSSH forms: private keys as PEM text, public keys as one line.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{EcdsaKeypair, Ed25519Keypair, KeypairData};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use serde::{Deserialize, Serialize};

use crate::SshError;

/// A key file longer than this is no key: the longest that we speak (ECDSA P-521) is below 1 KiB.
const KEY_TEXT_BYTES_MAX: usize = 16 * 1024;

/// A fresh key pair in text. The private half is a secret: keep it in a file of mode 0600 or in an envelope, never in state.
#[derive(Clone)]
pub struct KeyPairText {
    /// The private half, OpenSSH PEM.
    pub private_openssh: String,
    /// The public half, one line.
    pub public_openssh: String,
}

impl fmt::Debug for KeyPairText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeyPairText").field("public_openssh", &self.public_openssh).finish_non_exhaustive()
    }
}

/// Makes an ed25519 key pair from the system's randomness.
pub fn generate_ed25519() -> Result<KeyPairText, SshError> {
    KeyPairText::of(&PrivateKey::generate()?)
}

/// Makes an ECDSA key pair on the curve P-256 from the system's randomness: for a host key that stands beside an ed25519 one, since a server has one
/// key of each algorithm and a client pins by offering only the algorithm it knows.
pub fn generate_ecdsa_p256() -> Result<KeyPairText, SshError> {
    KeyPairText::of(&PrivateKey::generate_ecdsa_p256()?)
}

impl KeyPairText {
    fn of(key: &PrivateKey) -> Result<Self, SshError> {
        Ok(Self { private_openssh: key.to_openssh()?, public_openssh: key.public_line()? })
    }
}

/// A private key, of a user or of a host.
#[derive(Clone)]
pub struct PrivateKey {
    key: Arc<russh::keys::PrivateKey>,
}

impl PrivateKey {
    /// Makes an ed25519 key from the system's randomness.
    pub fn generate() -> Result<Self, SshError> {
        let mut seed = [0_u8; 32];
        getrandom::fill(&mut seed).map_err(|error| SshError::Random { reason: error.to_string() })?;
        Self::from_pair(KeypairData::from(Ed25519Keypair::from_seed(&seed)))
    }

    /// Makes an ECDSA key on the curve P-256 from the system's randomness.
    pub fn generate_ecdsa_p256() -> Result<Self, SshError> {
        // The curve's arithmetic is the library's, and so is the generator that it draws from; that one cannot report a system without randomness, so the
        // system is asked first.
        getrandom::fill(&mut [0_u8; 32]).map_err(|error| SshError::Random { reason: error.to_string() })?;
        let pair = EcdsaKeypair::random(&mut russh::keys::key::safe_rng(), EcdsaCurve::NistP256)
            .map_err(|error| SshError::KeyMake { reason: error.to_string() })?;
        Self::from_pair(KeypairData::from(pair))
    }

    fn from_pair(pair: KeypairData) -> Result<Self, SshError> {
        let key = russh::keys::PrivateKey::new(pair, "").map_err(|error| SshError::KeyMake { reason: error.to_string() })?;
        Ok(Self { key: Arc::new(key) })
    }

    /// Reads a key from its OpenSSH PEM text.
    pub fn from_openssh(text: impl AsRef<[u8]>) -> Result<Self, SshError> {
        const EXPECTED: &str = "a private key in OpenSSH format";
        let text = text.as_ref();
        if text.len() > KEY_TEXT_BYTES_MAX {
            return Err(SshError::KeyParse { expected: EXPECTED, reason: format!("it is longer than {KEY_TEXT_BYTES_MAX} bytes") });
        }
        let key = russh::keys::PrivateKey::from_openssh(text)
            .map_err(|error| SshError::KeyParse { expected: EXPECTED, reason: error.to_string() })?;
        if key.is_encrypted() {
            return Err(SshError::KeyParse {
                expected: EXPECTED,
                reason: "it is locked with a passphrase; give an unlocked key".to_owned(),
            });
        }
        supported(&key.algorithm())?;
        Ok(Self { key: Arc::new(key) })
    }

    /// Reads a key from a file.
    pub fn from_file(path: &Path) -> Result<Self, SshError> {
        let text = std::fs::read(path).map_err(|source| SshError::KeyFile { path: path.to_owned(), source: Arc::new(source) })?;
        Self::from_openssh(text)
    }

    /// The key as OpenSSH PEM text: a secret.
    pub fn to_openssh(&self) -> Result<String, SshError> {
        let text = self.key.to_openssh(LineEnding::LF).map_err(|error| SshError::KeyMake { reason: error.to_string() })?;
        Ok(text.to_string())
    }

    /// The public half as one line.
    pub fn public_line(&self) -> Result<String, SshError> {
        Ok(canonical(self.key.public_key())?.1)
    }

    /// The public half, as a host shows it.
    pub fn public_host_key(&self) -> Result<PublicHostKey, SshError> {
        self.public_line()?.parse()
    }

    /// The public half, as a server lets it in.
    pub fn public_user_key(&self) -> Result<PublicUserKey, SshError> {
        self.public_line()?.parse()
    }

    /// `SHA256:...`, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    pub(crate) fn shared(&self) -> Arc<russh::keys::PrivateKey> {
        Arc::clone(&self.key)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PrivateKey({})", self.fingerprint())
    }
}

macro_rules! public_key {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        ///
        /// Its text is the one-line OpenSSH form without the comment, which is no part of a key: two keys are equal when the key is.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            line: Arc<str>,
            fingerprint: Arc<str>,
        }

        impl $name {
            /// `SHA256:...`, as `ssh-keygen -l` prints it.
            #[must_use]
            pub fn fingerprint(&self) -> &str {
                &self.fingerprint
            }

            pub(crate) fn from_library(key: &russh::keys::PublicKey) -> Result<Self, SshError> {
                let (fingerprint, line) = canonical(key)?;
                Ok(Self { line: line.into(), fingerprint: fingerprint.into() })
            }
        }

        impl FromStr for $name {
            type Err = SshError;

            fn from_str(text: &str) -> Result<Self, SshError> {
                Self::from_library(&parse_public(text)?)
            }
        }

        impl TryFrom<String> for $name {
            type Error = SshError;

            fn try_from(text: String) -> Result<Self, SshError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(key: $name) -> Self {
                key.line.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.line)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.fingerprint)
            }
        }
    };
}

public_key! {
    /// The public key of a host: what a connection is pinned to.
    PublicHostKey
}

public_key! {
    /// The public key of a user: what a server lets in.
    PublicUserKey
}

impl PublicHostKey {
    /// The SSH name of its algorithm: `ssh-ed25519`, `ecdsa-sha2-nistp256`.
    #[must_use]
    pub fn algorithm_name(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// The algorithm, which is what a client offers to accept during the handshake.
    pub(crate) fn algorithm(&self) -> Result<Algorithm, SshError> {
        Ok(parse_public(&self.line)?.algorithm())
    }
}

fn parse_public(text: &str) -> Result<russh::keys::PublicKey, SshError> {
    const EXPECTED: &str = "a public key in the one-line OpenSSH form";
    let text = text.trim();
    if text.len() > KEY_TEXT_BYTES_MAX {
        return Err(SshError::KeyParse { expected: EXPECTED, reason: format!("it is longer than {KEY_TEXT_BYTES_MAX} bytes") });
    }
    if text.contains(['\n', '\r']) {
        return Err(SshError::KeyParse { expected: EXPECTED, reason: "it has more than one line".to_owned() });
    }
    let key =
        russh::keys::PublicKey::from_openssh(text).map_err(|error| SshError::KeyParse { expected: EXPECTED, reason: error.to_string() })?;
    supported(&key.algorithm())?;
    Ok(key)
}

/// Fingerprint and line of a key, its comment left out.
fn canonical(key: &russh::keys::PublicKey) -> Result<(String, String), SshError> {
    let bare = russh::keys::PublicKey::new(key.key_data().clone(), "");
    let line = bare.to_openssh().map_err(|error| SshError::KeyMake { reason: error.to_string() })?;
    Ok((bare.fingerprint(HashAlg::Sha256).to_string(), line.trim_end().to_owned()))
}

/// RSA and DSA are compiled out on purpose (the RSA implementation has a known timing leak), security keys need a touch.
fn supported(algorithm: &Algorithm) -> Result<(), SshError> {
    match algorithm {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(()),
        other => Err(SshError::KeyUnsupported { algorithm: other.as_str().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_pair_reads_back_and_its_debug_form_has_no_secret() {
        for (generate, name) in
            [(generate_ed25519 as fn() -> Result<_, SshError>, "ssh-ed25519"), (generate_ecdsa_p256, "ecdsa-sha2-nistp256")]
        {
            let pair: KeyPairText = generate().unwrap();
            let key = PrivateKey::from_openssh(&pair.private_openssh).unwrap();
            assert_eq!(key.public_line().unwrap(), pair.public_openssh);
            assert!(pair.public_openssh.starts_with(&format!("{name} AAAA")));
            assert_eq!(key.public_host_key().unwrap().algorithm_name(), name);
            let secret = pair.private_openssh.lines().nth(2).unwrap();
            assert!(!format!("{pair:?} {key:?}").contains(secret));
            assert_ne!(generate().unwrap().public_openssh, pair.public_openssh);
        }
    }

    #[test]
    fn public_keys_print_what_they_parse_and_ignore_comments() {
        let line = generate_ed25519().unwrap().public_openssh;
        let key: PublicHostKey = line.parse().unwrap();
        assert_eq!(key.to_string(), line);
        assert_eq!(format!("  {line} someone@somewhere\n").parse::<PublicHostKey>().unwrap(), key);
        assert!(key.fingerprint().starts_with("SHA256:"));
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, format!("\"{line}\""));
        assert_eq!(serde_json::from_str::<PublicHostKey>(&json).unwrap(), key);
    }

    #[test]
    fn what_is_no_key_is_refused_without_a_panic() {
        let line = generate_ed25519().unwrap().public_openssh;
        let long = "x".repeat(KEY_TEXT_BYTES_MAX + 1);
        for text in ["", " ", "ssh-ed25519", "ssh-ed25519 AAAA", "rsa", "\u{0}", &format!("{line}\n{line}"), long.as_str()] {
            assert!(matches!(text.parse::<PublicHostKey>(), Err(SshError::KeyParse { .. })), "{text:?}");
            assert!(matches!(PrivateKey::from_openssh(text), Err(SshError::KeyParse { .. })), "{text:?}");
        }
    }

    #[test]
    fn an_rsa_key_is_refused_by_name() {
        // A real one, 2048 bits, whose private half was thrown away.
        let rsa = concat!(
            "ssh-rsa ",
            "AAAAB3NzaC1yc2EAAAADAQABAAABAQCzT4Q4Qp8gCNKD+5tSnC4fRcL+A8qVNEGSE1FLTOkjBhS4aXnGUn5AsG1nO7qZJa3kz2Fh",
            "FCmO5NJEja+8c1wv9M5HDDZGjJHzAie1NN0URA1sf5/ycaMXb0M7XCoDy0c8I77iwDoRJ4hJRW6bacFN5XocISj/QBhwdinvf6n9",
            "oi1rxi72jrdxSyAyQ9wW46TSGRFg44ViERLpqhzW7INOyZ3Vh8XwLnDF+ObJLkmq3aA1+hwiHeFOubbHKUTQTVJiVw9W2xICNCGh",
            "/xV7nLJkt8ibDcmNOJBXYycWU2xpjvZEE3vHosVpkPRjDYT2ocJMnVP24gEwIad6oqEN/DcT",
        );
        let error = rsa.parse::<PublicHostKey>().unwrap_err();
        assert!(matches!(&error, SshError::KeyUnsupported { algorithm } if algorithm == "ssh-rsa"), "{error}");
    }
}
