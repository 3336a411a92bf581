// SPDX-License-Identifier: MIT OR Apache-2.0

//! The errors that stop the boot.

use little_loader_core::overrides::OverrideError;
use little_loader_core::settings::SettingsError;
use little_loader_core::tree::error::DtbError;
use little_loader_core::tree::memory_map::TooManyRegions;
use little_loader_core::units::{Count, Lba};
use thiserror::Error;

use crate::disk::DiskName;

/// An error that stops the boot, by the stage that failed. Each message says what was found and
/// what to change.
#[derive(Debug, Error)]
pub(crate) enum Fatal {
    #[error(
        "{0}. QEMU gives one to `-M virt`; a file given by -dtb must be valid and below about 500 KiB"
    )]
    DeviceTree(#[from] DtbError),
    #[error("this CPU has no CRC32 instructions: use -cpu cortex-a53 or a newer one")]
    NoCrc32,
    #[error("built-in settings: {0}")]
    Settings(#[from] SettingsError),
    #[error("-fw_cfg: {0}")]
    Override(#[from] OverrideError),
    #[error(
        "no block device: add -drive if=none,id=disk,format=raw,file=IMAGE -device virtio-blk-device,drive=disk"
    )]
    NoDisk,
    #[error(
        "none of {disks} block devices has a valid environment: make one with imagegen disk, or set where it is with imagegen loader --set env-lba=N"
    )]
    NoEnvironment { disks: Count },
    #[error(
        "no slot can be booted by the environment at block {lba} of {disk}: write a kernel to one of them, and its number to <slot>.kernel_lba"
    )]
    NoSlot { lba: Lba, disk: DiskName },
    #[error(transparent)]
    Memory(#[from] TooManyRegions),
}
