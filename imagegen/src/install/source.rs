// SPDX-License-Identifier: MIT OR Apache-2.0

//! The slot of the new image.

use fwup::destination::Storage;
use little_loader_core::kernel::image::{ImageHeader, PROBE_SIZE};
use little_loader_core::slots::slot::Slot;

use super::copy::read;
use super::error::InstallError;
use super::places::{partition, root_number, slot_contents};
use crate::env_file::EnvFile;
use crate::image::Image;
use crate::layout::Blocks;
use crate::rootfs;
use crate::size::Size;
use crate::variables::Variables;

/// A slot of the new image.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) slot: Slot,
    pub(super) kernel: Blocks,
    /// The blocks of the initrd, and its size in bytes.
    pub(super) initrd: Option<(Blocks, u64)>,
    pub(super) rootfs: Option<Blocks>,
    /// All variables of the image.
    pub(super) variables: Variables,
}

impl Source {
    /// Finds the parts of a slot, by default of the active one.
    pub(super) fn find(file: &mut EnvFile, slot: Option<Slot>) -> Result<Self, InstallError> {
        let variables = file.variables();
        let image = file.image();
        let active = variables.get("nerves_fw_active");
        let slot = slot
            .or_else(|| active.and_then(Slot::from_value))
            .ok_or_else(|| InstallError::NoActive(image.path().to_owned()))?;
        let contents = slot_contents(image, &variables, slot)?;
        let check = |image: &Image, what, blocks: Blocks| match blocks.end() * 512 > image.length()
        {
            false => Ok(blocks),
            true => Err(InstallError::Truncated {
                what,
                path: image.path().to_owned(),
                slot,
                blocks,
            }),
        };
        let kernel = kernel(image, slot, contents.kernel_lba)?;
        let kernel = check(image, "the kernel", kernel)?;
        let initrd = match contents.initrd {
            None => None,
            Some((start, length)) => {
                let count = Size(length).blocks();
                let blocks = check(image, "the initrd", Blocks { start, count })?;
                Some((blocks, length))
            }
        };
        let number = root_number(&contents.args, slot);
        let rootfs = match partition(image, number)? {
            None => None,
            Some(blocks) => {
                let blocks = check(image, "the root file system", blocks)?;
                file_system(image, blocks)?
            }
        };
        if rootfs.is_none() && contents.names_root {
            return Err(InstallError::NoPartition {
                path: image.path().to_owned(),
                slot,
                number,
            });
        }
        Ok(Self {
            slot,
            kernel,
            initrd,
            rootfs,
            variables,
        })
    }
}

/// Returns the blocks of a kernel's Image.
pub(super) fn kernel(image: &mut Image, slot: Slot, lba: u64) -> Result<Blocks, InstallError> {
    let mut probe = [0; PROBE_SIZE];
    read(image, lba.saturating_mul(512), &mut probe)?;
    let header = ImageHeader::parse(&probe).map_err(|error| InstallError::Kernel {
        path: image.path().to_owned(),
        slot,
        lba,
        error,
    })?;
    Ok(Blocks {
        start: lba,
        count: header.bytes_to_read().blocks(),
    })
}

/// Returns the used blocks of a partition: those of a squashfs, or all. `None` if it starts with
/// zeroes only, like a partition that was never written.
fn file_system(image: &mut Image, partition: Blocks) -> Result<Option<Blocks>, InstallError> {
    let mut start = [0; 4096];
    let length = start.len().min(partition.bytes() as usize);
    read(image, partition.start * 512, &mut start[..length])?;
    if start.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let mut count = partition.count;
    if start.starts_with(rootfs::MAGIC)
        && let Some(used) = start[40..].first_chunk()
    {
        // `bytes_used` of the superblock (Linux, fs/squashfs/squashfs_fs.h).
        count = count.min(Size(u64::from_le_bytes(*used)).blocks());
    }
    Ok(Some(Blocks {
        start: partition.start,
        count,
    }))
}
