// SPDX-License-Identifier: MIT OR Apache-2.0

//! BLAKE2b with 256 bits (RFC 7693), the hash of resources.

use blake2b_simd::{Params, State};

/// The size of a hash in bytes.
const SIZE: usize = 32;

/// Hashes data that comes in pieces.
pub(crate) struct Hasher(State);

impl Default for Hasher {
    fn default() -> Self {
        Self(Params::new().hash_length(SIZE).to_state())
    }
}

impl Hasher {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Returns the hash of all pieces so far.
    pub(crate) fn finalize(&self) -> [u8; SIZE] {
        let mut hash = [0; SIZE];
        hash.copy_from_slice(self.0.finalize().as_bytes());
        hash
    }
}

#[cfg(test)]
/// Returns the hash of data.
pub(crate) fn hash(data: &[u8]) -> [u8; SIZE] {
    let mut hasher = Hasher::new();
    hasher.update(data);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use blake2::{Blake2b256, Digest};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn another_implementation_yields_the_same(
            data in prop::collection::vec(any::<u8>(), 0..1000),
            cut in any::<prop::sample::Index>(),
        ) {
            let expected: [u8; SIZE] = Blake2b256::digest(&data).into();
            prop_assert_eq!(hash(&data), expected);
            let (start, end) = data.split_at(cut.index(data.len() + 1));
            let mut hasher = Hasher::new();
            hasher.update(start);
            hasher.update(end);
            prop_assert_eq!(hasher.finalize(), expected);
        }
    }
}
