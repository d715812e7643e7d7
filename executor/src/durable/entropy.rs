//! Randomness, brought in as a value: keys, nonces, lineages and run ids.

use std::io;

use sha2::{Digest as _, Sha256};

use super::DurableError;

/// A source of random bytes.
pub trait Entropy: Send {
    /// Fills the bytes.
    ///
    /// # Errors
    /// [`DurableError::Entropy`] when the system gives none.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DurableError>;
}

/// 128 random bits as 32 hexadecimal digits: a lineage, a run id.
///
/// # Errors
/// [`DurableError::Entropy`] when the system gives no randomness.
pub fn random_id(entropy: &mut dyn Entropy) -> Result<String, DurableError> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// The system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is where randomness comes in")]
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DurableError> {
        getrandom::fill(bytes).map_err(|error| {
            let source = error.raw_os_error().map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error);
            DurableError::Entropy { source }
        })
    }
}

/// The same bytes for the same seed: for tests and the simulator. Nothing made with it is secret.
#[derive(Clone, Debug)]
pub struct SeededEntropy {
    seed: u64,
    block: u64,
}

impl SeededEntropy {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, block: 0 }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DurableError> {
        for piece in bytes.chunks_mut(32) {
            let block = Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(self.block.to_le_bytes()).finalize();
            self.block = self.block.wrapping_add(1);
            piece.iter_mut().zip(block).for_each(|(byte, random)| *byte = random);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_and_never_the_same_twice_in_a_row() {
        let ids = |seed| {
            let mut entropy = SeededEntropy::new(seed);
            [random_id(&mut entropy).unwrap(), random_id(&mut entropy).unwrap()]
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1)[0], ids(1)[1]);
        assert_ne!(ids(1), ids(2));
        assert_eq!(ids(1)[0].len(), 32);
    }

    #[test]
    fn the_system_gives_different_bytes() {
        assert_ne!(random_id(&mut OsEntropy).unwrap(), random_id(&mut OsEntropy).unwrap());
    }
}
