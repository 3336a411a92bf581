// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::Read;

use super::error::ApplyError;
use crate::archive::read::Archive;

/// The data of a resource: that of its entry, or what a delta makes of it.
pub(super) trait ResourceData {
    /// Reads until `out` is full or the data ends, and returns the number of bytes.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ApplyError>;
}

impl<R: Read> ResourceData for Archive<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ApplyError> {
        Ok(Archive::read(self, out)?)
    }
}
