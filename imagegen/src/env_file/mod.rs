// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads the environment inside an image file, changes it in place with as few writes as possible,
//! and repairs it.

mod access;
mod blocks;
mod diagnosis;
mod error;
mod repair;
mod size_hint;

pub use access::EnvFile;
pub use diagnosis::{CopyDiagnosis, Padding, Unreadable};
pub use error::EnvFileError;
pub use repair::{NoRepair, Remedy, Repair};
pub use size_hint::OtherSize;

use little_loader_core::env::place::EnvPlace;
use little_loader_core::units::{Bytes, Lba};

/// The default place of the environment in an image: that of the loader as shipped.
pub const DEFAULT_PLACE: EnvPlace = EnvPlace {
    lba: Lba(16),
    size: Bytes(128 << 10),
    redundant_lba: None,
};
