//! `rsadecrypt`: RSA with the padding of PKCS #1 v1.5, as clouds encrypt the first password of a machine.
//!
//! It is worked out by whoever holds both the key and the text, for nobody else; how long it takes tells nobody anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloudtik_model::Value;
use num_bigint::BigUint;

use super::{Fault, Function, Outcome, Wants, a_string, parameter, text};

pub(super) const FUNCTIONS: &[Function] = &[Function::known(
    "rsadecrypt",
    &[parameter("ciphertext", Wants::String), parameter("privatekey", Wants::String)],
    a_string,
    rsadecrypt,
)
.doc("The text that was encrypted for an RSA key: base 64, and the private key as PEM.")];

/// The largest key, in bytes: 16 384 bits, with which one call takes a second.
const MAX_KEY_BYTES: usize = 2_048;

/// The least bytes of padding.
const LEAST_PADDING: usize = 8;

/// What is needed of a private key.
struct Key {
    modulus: BigUint,
    exponent: BigUint,
}

fn rsadecrypt(args: &[Value]) -> Outcome {
    let cipher = STANDARD.decode(text(args, 0)).map_err(|_| Fault::at(0, "it is not base 64"))?;
    let key = private_key(text(args, 1)).map_err(|problem| Fault::at(1, problem))?;
    let plain = decrypted(&key, &cipher).ok_or_else(|| Fault::at(0, "it was not encrypted for this key"))?;
    String::from_utf8(plain).map(Value::from).map_err(|_| Fault::at(0, "what was encrypted is no UTF-8 text"))
}

fn decrypted(key: &Key, cipher: &[u8]) -> Option<Vec<u8>> {
    let number = BigUint::from_bytes_be(cipher);
    let length = usize::try_from(key.modulus.bits().div_ceil(8)).ok()?;
    if number >= key.modulus || cipher.len() != length {
        return None;
    }
    // Leading zeros are not part of a number: two bytes of a block are 0 and 2, and the first one is left out.
    let block = number.modpow(&key.exponent, &key.modulus).to_bytes_be();
    let padded = block.strip_prefix(&[2]).filter(|padded| padded.len() + 2 == length)?;
    let end = padded.iter().position(|byte| *byte == 0).filter(|end| *end >= LEAST_PADDING)?;
    padded.get(end + 1..).map(<[u8]>::to_vec)
}

fn private_key(pem: &str) -> Result<Key, &'static str> {
    let (label, bytes) = unwrapped(pem).ok_or("it is no private key as PEM")?;
    let key = match label {
        "RSA PRIVATE KEY" => of_pkcs1(&bytes),
        "PRIVATE KEY" => of_pkcs8(&bytes),
        "OPENSSH PRIVATE KEY" => of_openssh(&bytes),
        _ => return Err("it is no RSA private key that is not encrypted"),
    };
    let key = key.ok_or("it is no RSA private key that is not encrypted")?;
    let bits = key.modulus.bits();
    if bits == 0 || bits.div_ceil(8) > MAX_KEY_BYTES as u64 { Err("an RSA key has 16384 bits at most") } else { Ok(key) }
}

/// The label and the bytes of the first part of a PEM text.
fn unwrapped(pem: &str) -> Option<(&str, Vec<u8>)> {
    let (label, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let digits: String = body.split_whitespace().collect();
    Some((label, STANDARD.decode(digits).ok()?))
}

/// Version, modulus, public exponent, private exponent; what follows only makes it faster.
fn of_pkcs1(bytes: &[u8]) -> Option<Key> {
    let mut parts = Der(Der(bytes).next(SEQUENCE)?);
    parts.next(INTEGER)?;
    let modulus = parts.number()?;
    parts.number()?;
    Some(Key { modulus, exponent: parts.number()? })
}

/// The same as the text of a part behind the name of the algorithm.
fn of_pkcs8(bytes: &[u8]) -> Option<Key> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let mut parts = Der(Der(bytes).next(SEQUENCE)?);
    parts.next(INTEGER)?;
    let mut algorithm = Der(parts.next(SEQUENCE)?);
    if algorithm.next(OBJECT_IDENTIFIER)? != RSA {
        return None;
    }
    of_pkcs1(parts.next(OCTETS)?)
}

/// Cipher, derivation and its options, how many keys, the public one, and the private ones: two checks, the algorithm, then the numbers.
fn of_openssh(bytes: &[u8]) -> Option<Key> {
    let mut parts = Ssh(bytes.strip_prefix(b"openssh-key-v1\0")?);
    if parts.next()? != b"none" {
        return None;
    }
    parts.next()?;
    parts.next()?;
    parts.take(4)?;
    parts.next()?;
    let mut key = Ssh(parts.next()?);
    key.take(8)?;
    if key.next()? != b"ssh-rsa" {
        return None;
    }
    let modulus = BigUint::from_bytes_be(key.next()?);
    key.next()?;
    Some(Key { modulus, exponent: BigUint::from_bytes_be(key.next()?) })
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// Parts in DER, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next part, if it is of that sort.
    fn next(&mut self, sort: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            short @ 0..=0x7f => (usize::from(*short), rest),
            long => {
                let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (*found == sort).then_some(content)
    }

    fn number(&mut self) -> Option<BigUint> {
        self.next(INTEGER).map(BigUint::from_bytes_be)
    }
}

/// Parts as SSH writes them: each behind its length in four bytes.
struct Ssh<'a>(&'a [u8]);

impl<'a> Ssh<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(length).ok()?)
    }
}
