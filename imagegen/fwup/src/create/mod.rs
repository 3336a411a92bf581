// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes an archive from a configuration and the files that it names.

mod delta;
mod pack;
mod source;
mod write_archive;

pub use delta::{
    DeltaArchive, DeltaArchiveError, DeltaOutcome, DeltaResource, FullTask, write_delta_archive,
};
pub use pack::{PackError, pack};
pub use source::{SourceError, has_holes};
pub use write_archive::{CreateError, Created, Packing, creation_date, write_archive};
