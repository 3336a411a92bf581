// SPDX-License-Identifier: MIT OR Apache-2.0

//! Block numbers, byte lengths and physical addresses, as types that cannot be mistaken for each
//! other.

use core::fmt;

use crate::display::{Decimal, Hex};

/// The size in bytes of a block, the unit in which disks are addressed (virtio 1.2, section 5.2.2:
/// 512-byte sectors).
pub const BLOCK_SIZE: u64 = 512;

/// A block number on the disk, counted in blocks of 512 bytes from the start of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lba(pub u64);

impl Lba {
    /// The first block after `length` from this block on, or `None` past the end of the number
    /// range.
    #[must_use]
    pub fn after(self, length: Bytes) -> Option<Self> {
        self.0.checked_add(length.blocks()).map(Self)
    }
}

impl fmt::Display for Lba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decimal(self.0).fmt(f)
    }
}

/// A length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

impl Bytes {
    /// How many blocks of 512 bytes hold this many bytes, the last one perhaps in part.
    #[must_use]
    pub fn blocks(self) -> u64 {
        self.0.div_ceil(BLOCK_SIZE)
    }

    /// The length rounded up to whole blocks, or `None` past the end of the number range.
    #[must_use]
    pub fn whole_blocks(self) -> Option<Self> {
        self.0.checked_next_multiple_of(BLOCK_SIZE).map(Self)
    }
}

/// Shown in KiB below 1 MiB, else in MiB with one digit; odd lengths below 10 KiB in bytes.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: u64 = 1 << 10;
        const MIB: u64 = 1 << 20;
        if self.0 >= MIB {
            write!(
                f,
                "{}.{} MiB",
                Decimal(self.0 / MIB),
                Decimal(self.0 % MIB * 10 / MIB)
            )
        } else if self.0 >= 10 * KIB || (self.0 > 0 && self.0.is_multiple_of(KIB)) {
            write!(f, "{} KiB", Decimal(self.0 / KIB))
        } else {
            write!(f, "{} bytes", Decimal(self.0))
        }
    }
}

/// A count of anything, or an exact number of bytes, shown in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Count(pub u64);

impl From<u32> for Count {
    fn from(count: u32) -> Self {
        Self(count.into())
    }
}

impl From<usize> for Count {
    fn from(count: usize) -> Self {
        Self(count as u64)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decimal(self.0).fmt(f)
    }
}

/// A physical address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub u64);

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(self.0, 1).fmt(f)
    }
}

/// A range of physical memory, the end not included: never wraps around the end of the address
/// space, and never ends before it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    start: Addr,
    end: Addr,
}

impl Region {
    /// The region of `length` bytes from `start`, or `None` when it would reach past the address
    /// space.
    #[must_use]
    pub const fn new(start: Addr, length: Bytes) -> Option<Self> {
        match start.0.checked_add(length.0) {
            Some(end) => Some(Self {
                start,
                end: Addr(end),
            }),
            None => None,
        }
    }

    /// The region from `start` up to `end`, or `None` when `end` is below `start`.
    #[must_use]
    pub const fn between(start: Addr, end: Addr) -> Option<Self> {
        if start.0 <= end.0 {
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// The first `length` bytes of the region; the whole region where it is shorter.
    #[must_use]
    pub fn prefix(self, length: Bytes) -> Self {
        let end = Addr(self.start.0.saturating_add(length.0)).min(self.end);
        Self { end, ..self }
    }

    /// The smallest region that holds both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// The first address.
    #[must_use]
    pub const fn start(self) -> Addr {
        self.start
    }

    /// The first address after the region.
    #[must_use]
    pub const fn end(self) -> Addr {
        self.end
    }

    /// How many bytes the region holds.
    #[must_use]
    pub fn length(self) -> Bytes {
        Bytes(self.end.0 - self.start.0)
    }

    /// Whether the two have a byte in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether every byte of `other` lies in this region.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn lengths_are_shown_in_the_unit_that_fits() {
        assert_eq!(Bytes(0).to_string(), "0 bytes");
        assert_eq!(Bytes(513).to_string(), "513 bytes");
        assert_eq!(Bytes(8192).to_string(), "8 KiB");
        assert_eq!(Bytes(131_072).to_string(), "128 KiB");
        assert_eq!(Bytes(33 * 1024 * 1024 + 512 * 1024).to_string(), "33.5 MiB");
    }

    #[test]
    fn blocks_round_up() {
        assert_eq!(Bytes(1).blocks(), 1);
        assert_eq!(Bytes(1024).blocks(), 2);
        assert_eq!(Bytes(u64::MAX).whole_blocks(), None);
        assert_eq!(Lba(u64::MAX).after(Bytes(1)), None);
    }

    #[test]
    fn regions_that_touch_do_not_overlap() {
        let low = Region::new(Addr(0), Bytes(16)).unwrap();
        let high = Region::new(Addr(16), Bytes(16)).unwrap();
        assert!(!low.overlaps(high));
        assert!(low.overlaps(Region::new(Addr(15), Bytes(1)).unwrap()));
        assert_eq!(Region::new(Addr(u64::MAX), Bytes(2)), None);
        assert_eq!(Region::between(Addr(2), Addr(1)), None);
        assert_eq!(low.hull(high), Region::new(Addr(0), Bytes(32)).unwrap());
        assert_eq!(
            low.prefix(Bytes(4)),
            Region::new(Addr(0), Bytes(4)).unwrap()
        );
        assert_eq!(low.prefix(Bytes(17)), low);
    }
}
