// SPDX-License-Identifier: MIT OR Apache-2.0

//! Time limits of requests. A limit grows with the size of the request, so that a slow disk is not
//! mistaken for one that hangs.

use core::fmt;

use super::requests::LARGEST_REQUEST;
use crate::display::Decimal;
use crate::units::{Bytes, Lba};

/// A time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", Decimal(self.0))
    }
}

/// The seconds that any request may need: the host's disk may be asleep, or busy with other
/// requests.
const BASE: u64 = 30;

/// The lowest rate of reads and writes, in bytes per second.
const TRANSFER_RATE: u64 = 1 << 20;

/// The lowest rate of a flush in bytes per second, and the longest flush in seconds. The whole disk
/// may be dirty if its image has just been copied: the host flushes the whole file.
const FLUSH_RATE: u64 = 16 << 20;
const LONGEST_FLUSH: u64 = 300;

/// The limit for the reset of a device.
pub const RESET: Seconds = Seconds(BASE);

/// Returns the limit for a request to read or write `length` bytes: 30 s, plus 1 s for each whole
/// MiB.
#[must_use]
pub const fn transfer(length: Bytes) -> Seconds {
    Seconds(BASE + length.0 / TRANSFER_RATE)
}

/// Returns the limit for a flush of a disk of `capacity` 512-byte blocks: 30 s, plus 1 s for each
/// 16 MiB or part of it, at most 300 s.
#[must_use]
pub fn flush(capacity: Lba) -> Seconds {
    let whole = capacity.0.div_ceil(FLUSH_RATE / crate::units::BLOCK_SIZE);
    Seconds(BASE.saturating_add(whole).min(LONGEST_FLUSH))
}

// A disk that hangs is noticed within two minutes.
const _: () = assert!(transfer(Bytes(LARGEST_REQUEST as u64)).0 <= 120);

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn a_limit_grows_with_the_transfer() {
        assert_eq!(transfer(Bytes(512)).to_string(), "30 s");
        assert_eq!(transfer(Bytes(128 << 10)), Seconds(30));
        assert_eq!(transfer(Bytes(33 << 20)), Seconds(63));
        assert_eq!(transfer(Bytes((34 << 20) - 1)), Seconds(63));
    }

    #[test]
    fn a_flush_may_be_of_the_whole_disk() {
        assert_eq!(flush(Lba(0)), Seconds(30));
        // 64 MiB.
        assert_eq!(flush(Lba(131_072)), Seconds(34));
        assert_eq!(flush(Lba(131_073)), Seconds(35));
        assert_eq!(flush(Lba(u64::MAX)), Seconds(300));
    }
}
