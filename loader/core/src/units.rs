// SPDX-License-Identifier: MIT OR Apache-2.0

//! Block numbers, byte lengths and physical addresses as distinct types.

use core::fmt;

use crate::display::{Decimal, Hex};

/// The size in bytes of a block, the unit in which disks are addressed (virtio 1.2, section 5.2.2:
/// 512-byte sectors).
pub const BLOCK_SIZE: u64 = 512;

/// A block number on the disk, counted in blocks of 512 bytes from the start of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lba(pub u64);

impl Lba {
    /// Returns the first block after the `length` bytes that start at this block, or `None` on
    /// overflow.
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
    /// Returns the number of 512-byte blocks that hold this many bytes, rounded up.
    #[must_use]
    pub fn blocks(self) -> u64 {
        self.0.div_ceil(BLOCK_SIZE)
    }

    /// Returns the length rounded up to whole blocks, or `None` on overflow.
    #[must_use]
    pub fn whole_blocks(self) -> Option<Self> {
        self.0.checked_next_multiple_of(BLOCK_SIZE).map(Self)
    }
}

/// Shows MiB with one decimal place from 1 MiB on, and KiB below; below 10 KiB, lengths that are
/// not whole KiB are shown in bytes.
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

/// A count, or an exact number of bytes, shown in decimal.
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

/// A range of physical memory, excluding its end. It never wraps around the end of the address
/// space, and its end is never below its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    start: Addr,
    end: Addr,
}

impl Region {
    /// Returns the region of `length` bytes from `start`, or `None` if it would wrap around.
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

    /// Returns the region from `start` up to `end`, or `None` if `end` is below `start`.
    #[must_use]
    pub const fn between(start: Addr, end: Addr) -> Option<Self> {
        if start.0 <= end.0 {
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// Returns the first `length` bytes of the region, or all of it if it is shorter.
    #[must_use]
    pub fn prefix(self, length: Bytes) -> Self {
        let end = Addr(self.start.0.saturating_add(length.0)).min(self.end);
        Self { end, ..self }
    }

    /// Returns the smallest region that contains both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// Returns the first address.
    #[must_use]
    pub const fn start(self) -> Addr {
        self.start
    }

    /// Returns the first address after the region.
    #[must_use]
    pub const fn end(self) -> Addr {
        self.end
    }

    /// Returns the size of the region in bytes.
    #[must_use]
    pub fn length(self) -> Bytes {
        Bytes(self.end.0 - self.start.0)
    }

    /// Whether the two regions have a byte in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether every byte of `other` is in this region.
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
