// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long a disk may take for an answer. A limit grows with what is asked for, so that a slow
//! disk is not taken for one that does not answer.

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

/// What any request may take: a disk of the host that sleeps, or that is busy with others.
const BASE: u64 = 30;

/// The least bytes per second of a disk that reads or writes.
const TRANSFER_RATE: u64 = 1 << 20;

/// The least bytes per second of a disk that flushes, and the longest flush. All of the disk may
/// wait to be written, where an image was copied just before: the host flushes the whole file.
const FLUSH_RATE: u64 = 16 << 20;
const LONGEST_FLUSH: u64 = 300;

/// The limit for the reset of a device.
pub const RESET: Seconds = Seconds(BASE);

/// The limit for a request to read or write `length` bytes: 30 s, and one more for each
/// whole MiB.
#[must_use]
pub const fn transfer(length: Bytes) -> Seconds {
    Seconds(BASE + length.0 / TRANSFER_RATE)
}

/// The limit for a flush of a disk of `capacity` blocks of 512 bytes: 30 s, and one more for each
/// 16 MiB, at most 300 s.
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
