// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;
use std::path::PathBuf;

use little_loader_core::env::block::EnvError;
use little_loader_core::env::place::EnvPlaceError;
use little_loader_core::units::{Bytes, Lba};

use super::size_hint::{OtherSize, suffix};
use crate::image::ImageError;
use crate::variables::VariablesError;

/// Why an environment cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// The size is 4 GiB or more.
    #[error("the environment's size is {} bytes; it must be below 4 GiB", .0.0)]
    TooLarge(Bytes),
    /// The place is invalid: copies that overlap, or a size that is not a multiple of 512.
    #[error(transparent)]
    Place(#[from] EnvPlaceError),
    /// The image cannot be opened.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The file ends before the end of the environment.
    #[error(
        "{} is too short for the environment of {} bytes at block {lba} (--lba, --size, --redundant-lba){}",
        .path.display(), .size.0, suffix(.hint.as_ref())
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// The first block of the copy that is missing or truncated.
        lba: Lba,
        /// The size of a copy.
        size: Bytes,
        /// The size and layout that the CRC fits, if any.
        hint: Option<OtherSize>,
    },
    /// The file cannot be read or written.
    #[error("{action} {} at byte {offset}: {error}", .path.display())]
    File {
        /// The failed operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The offset in bytes.
        offset: u64,
        /// The system's error.
        error: io::Error,
    },
    /// The single copy is invalid.
    #[error(
        "the environment at block {lba} has a {error}: is it there? (--lba, --size, --redundant-lba){}",
        suffix(.hint.as_ref())
    )]
    Bad {
        /// Its first block.
        lba: Lba,
        /// The error of the block.
        error: EnvError,
        /// The size and layout that the CRC fits, if any.
        hint: Option<OtherSize>,
    },
    /// Both copies are invalid.
    #[error("both copies of the environment are invalid: block {} has a {}, block {} has a {}{}", .first.0, .first.1, .second.0, .second.1, suffix(.hint.as_ref()))]
    BothBad {
        /// The first block of the first copy, and its error.
        first: (Lba, EnvError),
        /// The first block of the second copy, and its error.
        second: (Lba, EnvError),
        /// The size and layout that the CRC of either copy fits, if any.
        hint: Option<OtherSize>,
    },
    /// The variables do not fit.
    #[error(transparent)]
    Variables(#[from] VariablesError),
}
