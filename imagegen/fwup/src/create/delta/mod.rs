// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes a delta archive from two full ones: the new archive, in which resources are replaced by
//! their deltas to those of the old one. `meta.conf` and its signature stay byte for byte the same,
//! so the lengths and hashes in it are those of the results, and the UUID is that of the new
//! archive.

mod archive;
mod error;
mod replaceable;
mod resource_reader;

pub use archive::{DeltaArchive, DeltaOutcome, DeltaResource, write_delta_archive};
pub use error::DeltaArchiveError;
pub use replaceable::FullTask;
