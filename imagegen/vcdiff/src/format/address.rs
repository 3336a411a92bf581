// SPDX-License-Identifier: MIT OR Apache-2.0

//! The addresses of copies (RFC 3284, section 5.3), with the default sizes of the caches.

use super::bytes::{Bytes, ReadFault, integer_length, push_integer};

/// The mode of an address from the start of the source segment.
const SELF: u8 = 0;
/// The mode of a distance back from the current offset.
const HERE: u8 = 1;
const NEAR_SLOTS: usize = 4;
const FIRST_NEAR: u8 = 2;
const FIRST_SAME: u8 = FIRST_NEAR + NEAR_SLOTS as u8;
const SAME_SLOTS: usize = 3;

/// Why an address was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressFault {
    /// The section ends within it, or its integer is too large.
    Read(ReadFault),
    /// It is not before the current offset. Holds the address, or `None` when it is negative or
    /// exceeds 64 bits.
    NotBefore(Option<u64>),
}

impl From<ReadFault> for AddressFault {
    fn from(fault: ReadFault) -> Self {
        Self::Read(fault)
    }
}

/// The addresses of recent copies, by which the next ones are told in few bytes.
#[derive(Clone, Debug)]
pub(crate) struct AddressCache {
    near: [u64; NEAR_SLOTS],
    oldest: usize,
    same: [u64; SAME_SLOTS * 256],
}

impl AddressCache {
    pub(crate) fn new() -> Self {
        Self {
            near: [0; NEAR_SLOTS],
            oldest: 0,
            same: [0; SAME_SLOTS * 256],
        }
    }

    /// Reads an address that is less than `here`, the offset of the copy's own first byte.
    #[inline]
    pub(crate) fn decode(
        &mut self,
        mode: u8,
        here: u64,
        bytes: &mut Bytes<'_>,
    ) -> Result<u64, AddressFault> {
        let address = match mode {
            SELF => Some(bytes.integer()?),
            HERE => here.checked_sub(bytes.integer()?),
            near if near < FIRST_SAME => {
                self.near[usize::from(near - FIRST_NEAR)].checked_add(bytes.integer()?)
            }
            same => {
                let slot = usize::from(same - FIRST_SAME) * 256 + usize::from(bytes.byte()?);
                Some(self.same[slot])
            }
        };
        match address {
            Some(address) if address < here => {
                self.remember(address);
                Ok(address)
            }
            other => Err(AddressFault::NotBefore(other)),
        }
    }

    /// Appends an address in the mode that takes the fewest bytes, and returns the mode.
    pub(crate) fn encode(&mut self, address: u64, here: u64, out: &mut Vec<u8>) -> u8 {
        let slot = address as usize % self.same.len();
        if self.same[slot] == address {
            out.push((slot % 256) as u8);
            self.remember(address);
            return FIRST_SAME + (slot / 256) as u8;
        }
        let near = self.near.iter().zip(FIRST_NEAR..);
        let near = near.filter_map(|(&near, mode)| Some((address.checked_sub(near)?, mode)));
        let candidates = [(address, SELF), (here - address, HERE)];
        let best = candidates
            .into_iter()
            .chain(near)
            .min_by_key(|(value, _)| integer_length(*value));
        let (value, mode) = best.unwrap_or((address, SELF));
        push_integer(out, value);
        self.remember(address);
        mode
    }

    #[inline]
    fn remember(&mut self, address: u64) {
        self.near[self.oldest] = address;
        self.oldest = (self.oldest + 1) % NEAR_SLOTS;
        let slot = (address % self.same.len() as u64) as usize;
        self.same[slot] = address;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_read_back(
            copies in prop::collection::vec((0_u64..5000, 1_u64..1 << 33), 1..200)
        ) {
            let mut encoder = AddressCache::new();
            let mut decoder = AddressCache::new();
            for (address, distance) in copies {
                let here = address + distance;
                let mut out = Vec::new();
                let mode = encoder.encode(address, here, &mut out);
                let mut bytes = Bytes::new(&out);
                prop_assert_eq!(decoder.decode(mode, here, &mut bytes), Ok(address));
                prop_assert!(bytes.is_empty());
            }
        }
    }

    #[test]
    fn addresses_that_are_not_before_the_copy_are_refused() {
        let decode =
            |mode, bytes: &[u8]| AddressCache::new().decode(mode, 5, &mut Bytes::new(bytes));
        assert_eq!(decode(SELF, &[4]), Ok(4));
        assert_eq!(decode(SELF, &[5]), Err(AddressFault::NotBefore(Some(5))));
        assert_eq!(decode(HERE, &[0]), Err(AddressFault::NotBefore(Some(5))));
        assert_eq!(decode(HERE, &[6]), Err(AddressFault::NotBefore(None)));
        assert_eq!(
            decode(FIRST_NEAR, &[9]),
            Err(AddressFault::NotBefore(Some(9)))
        );
        assert_eq!(decode(FIRST_SAME, &[255]), Ok(0));
        assert_eq!(
            decode(8, &[]),
            Err(AddressFault::Read(ReadFault::Truncated))
        );
    }
}
