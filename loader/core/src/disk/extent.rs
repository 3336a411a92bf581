// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs of blocks, checked against the size of the disk.

use thiserror::Error;

use crate::display::Word;
use crate::units::{Bytes, Count, Lba};

/// A run of blocks on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first block.
    pub lba: Lba,
    /// The length in bytes, not necessarily whole blocks.
    pub length: Bytes,
}

impl Extent {
    /// Checks that the extent is on a disk of `capacity` blocks. `what` names it in the error.
    ///
    /// # Errors
    ///
    /// When it reaches past the end of the disk.
    pub fn check(self, what: &'static str, capacity: Lba) -> Result<Self, ExtentError> {
        if self
            .lba
            .after(self.length)
            .is_some_and(|end| end <= capacity)
        {
            Ok(self)
        } else {
            Err(ExtentError {
                what,
                extent: self,
                capacity,
            })
        }
    }
}

/// An extent that ends beyond the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the {} at block {} with {} blocks ends beyond the disk, which has {capacity} blocks",
    Word(what), .extent.lba, Count(.extent.length.blocks())
)]
pub struct ExtentError {
    /// The name of the data to read or write.
    pub what: &'static str,
    /// The extent of the data.
    pub extent: Extent,
    /// The size of the disk in blocks.
    pub capacity: Lba,
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn an_extent_ends_on_the_disk_or_not() {
        let extent = Extent {
            lba: Lba(90),
            length: Bytes(10 * 512),
        };
        assert_eq!(extent.check("kernel", Lba(100)), Ok(extent));
        let error = extent.check("kernel", Lba(99)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel at block 90 with 10 blocks ends beyond the disk, which has 99 blocks"
        );
        let far = Extent {
            lba: Lba(u64::MAX),
            length: Bytes(512),
        };
        assert!(far.check("kernel", Lba(u64::MAX)).is_err());
    }
}
