// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;
use std::path::PathBuf;

use little_loader_core::kernel::image::ImageError;
use little_loader_core::slots::slot::Slot;
use little_loader_core::slots::variables::SlotError;

use crate::env_file::EnvFileError;
use crate::layout::Blocks;
use crate::size::Size;
use crate::slots::SlotsError;

/// Why an update cannot be installed. Nothing is written unless it is an error of reading or
/// writing.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// `nerves_fw_active` is missing or invalid.
    #[error("{} has no active slot: set nerves_fw_active to a or b", .0.display())]
    NoActive(PathBuf),
    /// The slot to write to is the active one.
    #[error("slot {0} is active: an update is installed into the other slot")]
    Active(Slot),
    /// The active slot is on trial, and the other one is its fallback.
    #[error(
        "slot {0} is on trial, and the other slot is its fallback: boot the image to end the trial, or validate or revert it first"
    )]
    OnTrial(Slot),
    /// The variables of a slot are invalid.
    #[error("slot {slot} of {}: {error}", .path.display())]
    Slot {
        /// The image.
        path: PathBuf,
        /// The slot.
        slot: Slot,
        /// The error in its variables.
        error: SlotError,
    },
    /// The new slot, or the slot that stays, has no kernel that can be booted.
    #[error("slot {slot} of {} has an invalid kernel at block {lba}: {error}", .path.display())]
    Kernel {
        /// The image.
        path: PathBuf,
        /// The slot.
        slot: Slot,
        /// The kernel's first block.
        lba: u64,
        /// The error in its header.
        error: ImageError,
    },
    /// A part of the new slot ends beyond the end of the image.
    #[error(
        "{what} of slot {slot} of {} has the blocks {} to {}, but the image ends before that",
        .path.display(), .blocks.start, .blocks.end()
    )]
    Truncated {
        /// The part.
        what: &'static str,
        /// The new image.
        path: PathBuf,
        /// The slot.
        slot: Slot,
        /// The blocks of the part.
        blocks: Blocks,
    },
    /// An image has no partition table, or the root file system has no partition in it.
    #[error(
        "{} has no partition {number} for the root file system of slot {slot} in an MBR",
        .path.display()
    )]
    NoPartition {
        /// The image.
        path: PathBuf,
        /// The slot.
        slot: Slot,
        /// The partition, 1 to 4.
        number: u8,
    },
    /// Both slots have the same root file system.
    #[error(
        "partition {number} is the root file system of both slots: set root= in {slot}.kernel_args"
    )]
    SharedPartition {
        /// The slot that is written.
        slot: Slot,
        /// The partition, 1 to 4.
        number: u8,
    },
    /// A part of the new slot does not fit.
    #[error(
        "{what} needs {} bytes, but slot {slot} of {} has room for {}",
        .length.0, .path.display(), .room.0
    )]
    NoRoom {
        /// The part.
        what: &'static str,
        /// The size that it needs.
        length: Size,
        /// The image.
        path: PathBuf,
        /// The slot.
        slot: Slot,
        /// The space for it.
        room: Size,
    },
    /// The variables of the slot place its kernel into another part of the image.
    #[error("{slot}.kernel_lba is {lba}, which is inside {other}")]
    Inside {
        /// The slot.
        slot: Slot,
        /// The block.
        lba: u64,
        /// The other part.
        other: String,
    },
    /// The slot cannot be activated, or a variable is invalid.
    #[error(transparent)]
    Slots(#[from] SlotsError),
    /// The environment cannot be read or written.
    #[error(transparent)]
    Env(#[from] EnvFileError),
    /// An image cannot be read or written.
    #[error("{action} {} at byte {offset}: {error}", .path.display())]
    File {
        /// The failed operation.
        action: &'static str,
        /// The image.
        path: PathBuf,
        /// The offset in bytes.
        offset: u64,
        /// The system's error.
        error: io::Error,
    },
}
