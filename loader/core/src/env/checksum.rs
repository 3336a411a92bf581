// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CRC-32 of the environment (polynomial 0x04c11db7, reflected, as in IEEE 802.3 and zlib), and
//! the effect of changing a few bytes on it.
//!
//! CRC-32 is linear: for data of equal length, `crc(a ^ d) = crc(a) ^ e(d)`, where the effect `e`
//! depends on the changed bits and their distance from the end. Effects of changes at different
//! offsets combine by XOR, so many combinations of changes can be tried after one pass over the
//! block.

use crc32fast::Hasher;

/// Computes the CRC-32 of `data`. Not inlined: otherwise the compiler would have to prove for each
/// inlined copy that the 16 KiB of tables for CPUs without CRC instructions are not needed.
#[inline(never)]
pub(crate) fn checksum(data: &[u8]) -> u32 {
    #[cfg(test)]
    work::count(data.len());
    crc32fast::hash(data)
}

/// Returns the effect on the checksum of replacing `old` with `new`, which has the same length and
/// ends `after` bytes before the end of the data.
pub(crate) fn effect(old: &[u8], new: &[u8], after: usize) -> u32 {
    debug_assert_eq!(old.len(), new.len());
    joined(checksum(old) ^ checksum(new), 0, after)
}

/// Returns the checksum of two concatenated parts from their checksums `first` and `rest`, where
/// the second part has `length` bytes: `first` multiplied by x^(8 * length) modulo the polynomial,
/// plus `rest`.
#[inline(never)]
pub(crate) fn joined(first: u32, rest: u32, length: usize) -> u32 {
    let mut crc = Hasher::new_with_initial(first);
    crc.combine(&Hasher::new_with_initial_len(rest, length as u64));
    crc.finalize()
}

/// Counts the bytes that pass through [`checksum`] in this thread.
#[cfg(test)]
pub(crate) mod work {
    extern crate std;

    use std::cell::Cell;

    std::thread_local! {
        static BYTES: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    /// Returns the number of bytes that `run` reads to compute checksums.
    pub(crate) fn bytes_read(run: impl FnOnce()) -> usize {
        let before = BYTES.get();
        run();
        BYTES.get() - before
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn effects_add_up_to_the_checksum_of_the_changed_data(
            data in proptest::collection::vec(any::<u8>(), 1..2000),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), proptest::collection::vec(any::<u8>(), 0..30)), 0..6),
        ) {
            let mut changed = data.clone();
            let mut crc = checksum(&data);
            for (at, new) in changes {
                let at = at.index(changed.len());
                let new: Vec<u8> = new.into_iter().take(changed.len() - at).collect();
                let after = changed.len() - at - new.len();
                crc ^= effect(&changed[at..at + new.len()], &new, after);
                changed[at..at + new.len()].copy_from_slice(&new);
            }
            prop_assert_eq!(crc, checksum(&changed));
        }
    }

    /// Uses the size of the largest environment, 512 KiB.
    #[test]
    fn the_effect_of_a_distant_change_is_exact() {
        let mut data = std::vec![0xff; 512 << 10];
        let before = checksum(&data);
        data[0] = b'a';
        assert_eq!(
            before ^ effect(&[0xff], b"a", data.len() - 1),
            checksum(&data)
        );
    }
}
