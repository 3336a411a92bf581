// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

/// Why the destination cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The system reports an error.
    #[error("{action} byte {offset}: {error}")]
    Io {
        /// The operation.
        action: &'static str,
        /// The offset in bytes.
        offset: u64,
        /// The system's error.
        error: io::Error,
    },
    /// Data that was read back differs from the data written.
    #[error(
        "writing at byte {offset}: the data that was read back differs from the data that was written; the disk or its connection is faulty"
    )]
    Verify {
        /// The first byte that differs.
        offset: u64,
    },
    /// The destination is too small.
    #[error(
        "bytes {start} to {end} are beyond the end of the destination, which has {length} bytes"
    )]
    BeyondEnd {
        /// The first byte.
        start: u64,
        /// The end.
        end: u64,
        /// The destination's size in bytes.
        length: u64,
    },
    /// The range ends beyond 8 EiB, the limit of file sizes.
    #[error("{length} bytes at byte {offset} end beyond 8 EiB")]
    TooFar {
        /// The first byte.
        offset: u64,
        /// The length in bytes.
        length: u64,
    },
}
