//! `bcrypt`: the form `$2a$`, as OpenBSD defines it.

use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;
use blowfish::Blowfish;

use crate::limits::MAX_BCRYPT_COST;

/// What is taken where nobody says a cost, or one below the least.
const DEFAULT_COST: u32 = 10;
const LEAST_COST: i64 = 4;

/// More than these bytes would have no effect.
const MAX_TEXT_BYTES: usize = 72;

/// What is enciphered, and how often.
const MAGIC: &[u8; 24] = b"OrpheanBeholderScryDoubt";
const ROUNDS: usize = 64;

/// The last byte of the result is left out.
const RESULT_BYTES: usize = 23;

const DIGITS: GeneralPurpose = GeneralPurpose::new(&BCRYPT, NO_PAD);

/// The hash of a text, with the cost and the salt in it; or what is wrong.
pub(crate) fn hashed(text: &str, cost: Option<i64>, salt: [u8; 16]) -> Result<String, String> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("the text has more than {MAX_TEXT_BYTES} bytes, which have no effect"));
    }
    let cost = match cost {
        Some(cost) if cost >= LEAST_COST => u32::try_from(cost).ok().filter(|cost| *cost <= MAX_BCRYPT_COST),
        _ => Some(DEFAULT_COST),
    };
    let cost = cost.ok_or_else(|| format!("the cost is {MAX_BCRYPT_COST} at most"))?;
    let hash = hash(text, cost, salt);
    let hash = hash.get(..RESULT_BYTES).unwrap_or_default();
    Ok(format!("$2a${cost:02}${}{}", DIGITS.encode(salt), DIGITS.encode(hash)))
}

fn hash(text: &str, cost: u32, salt: [u8; 16]) -> Vec<u8> {
    let key = [text.as_bytes(), &[0]].concat();
    let mut cipher: Blowfish = Blowfish::bc_init_state();
    cipher.salted_expand_key(&salt, &key);
    for _ in 0..1_u32 << cost {
        cipher.bc_expand_key(&key);
        cipher.bc_expand_key(&salt);
    }
    let mut out = Vec::with_capacity(MAGIC.len());
    for block in MAGIC.chunks_exact(8) {
        let half = |half: &[u8]| half.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let (left, right) = block.split_at(4);
        let mut block = [half(left), half(right)];
        for _ in 0..ROUNDS {
            block = cipher.bc_encrypt(block);
        }
        out.extend(block.into_iter().flat_map(u32::to_be_bytes));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the C library gives for this salt.
    #[test]
    fn it_is_the_bcrypt_of_others() {
        let salt: [u8; 16] = DIGITS.decode("abcdefghijklmnopqrstuu").unwrap().try_into().unwrap();
        assert_eq!(hashed("U*U", Some(5), salt).unwrap(), "$2a$05$abcdefghijklmnopqrstuuMpLhh66NJUQMuZ6FwRQX0sqAEKeWcKW");
    }

    #[test]
    fn the_cost_has_bounds() {
        assert!(hashed("x", Some(3), [0; 16]).unwrap().starts_with("$2a$10$"));
        assert!(hashed("x", Some(31), [0; 16]).is_err());
        assert!(hashed(&"x".repeat(73), None, [0; 16]).is_err());
    }
}
