//! Digests of text, and names made of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloudtik_model::Value;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

use super::{Fault, Function, Outcome, Parameter, Special, Wants, a_string, parameter, text};
use crate::impure::ImpureFunction;

const STRING: &[Parameter] = &[parameter("string", Wants::String)];

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("base64sha256", STRING, a_string, |args| Ok(Sum::Sha256.base64(bytes(args)).into()))
        .doc("The SHA-256 of the string in base 64."),
    Function::known("base64sha512", STRING, a_string, |args| Ok(Sum::Sha512.base64(bytes(args)).into()))
        .doc("The SHA-512 of the string in base 64."),
    Function::known("md5", STRING, a_string, |args| Ok(Sum::Md5.hex(bytes(args)).into()))
        .doc("The MD5 of the string in hexadecimal digits."),
    Function::known("sha1", STRING, a_string, |args| Ok(Sum::Sha1.hex(bytes(args)).into()))
        .doc("The SHA-1 of the string in hexadecimal digits."),
    Function::known("sha256", STRING, a_string, |args| Ok(Sum::Sha256.hex(bytes(args)).into()))
        .doc("The SHA-256 of the string in hexadecimal digits."),
    Function::known("sha512", STRING, a_string, |args| Ok(Sum::Sha512.hex(bytes(args)).into()))
        .doc("The SHA-512 of the string in hexadecimal digits."),
    Function::known("uuidv5", &[parameter("namespace", Wants::String), parameter("name", Wants::String)], a_string, uuidv5)
        .doc("The UUID of a name in a namespace: `dns`, `url`, `oid`, `x500` or a UUID."),
    Function {
        result: a_string,
        ..Function::special(
            "bcrypt",
            &[parameter("string", Wants::String), parameter("cost", Wants::Number)],
            Special::Impure(ImpureFunction::Bcrypt),
        )
        .needs(1)
    }
    .doc("The hash of a password, with a salt that is drawn when the plan is applied."),
    Function { result: a_string, ..Function::special("uuid", &[], Special::Impure(ImpureFunction::Uuid)) }
        .doc("A random UUID, drawn when the plan is applied."),
];

fn bytes(args: &[Value]) -> &[u8] {
    text(args, 0).as_bytes()
}

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Sum {
    fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => Md5::digest(bytes).to_vec(),
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    pub(super) fn hex(self, bytes: &[u8]) -> String {
        hex(&self.of(bytes))
    }

    pub(super) fn base64(self, bytes: &[u8]) -> String {
        STANDARD.encode(self.of(bytes))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The namespaces that have names, as RFC 4122 lists them; they differ in one byte.
const NAMESPACES: [(&str, u8); 4] = [("dns", 0x10), ("url", 0x11), ("oid", 0x12), ("x500", 0x14)];

const fn namespace(differs: u8) -> [u8; 16] {
    [0x6b, 0xa7, 0xb8, differs, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8]
}

fn uuidv5(args: &[Value]) -> Outcome {
    let shown = text(args, 0);
    let named = NAMESPACES.iter().find(|(name, _)| *name == shown).map(|(_, differs)| namespace(*differs).to_vec());
    let namespace = named.or_else(|| uuid_bytes(shown)).ok_or_else(|| {
        let names = NAMESPACES.map(|(name, _)| name).join(", ");
        Fault::at(0, format!("{shown:?} is none of {names}, and no UUID"))
    })?;
    Ok(uuid_text(&Sum::Sha1.of(&[&namespace, text(args, 1).as_bytes()].concat()), 5).into())
}

/// The UUID of the first 16 bytes.
pub(crate) fn uuid_text(bytes: &[u8], version: u8) -> String {
    let mut bytes: Vec<u8> = bytes.iter().take(16).copied().collect();
    // The version, and the variant.
    for (place, keep, set) in [(6, 0x0f, version << 4), (8, 0x3f, 0x80)] {
        if let Some(byte) = bytes.get_mut(place) {
            *byte = (*byte & keep) | set;
        }
    }
    let digits = hex(&bytes);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

fn uuid_bytes(shown: &str) -> Option<Vec<u8>> {
    let groups: Vec<usize> = shown.split('-').map(str::len).collect();
    if groups != [8, 4, 4, 4, 12] || !shown.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return None;
    }
    let digits = shown.replace('-', "");
    (0..32).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}
