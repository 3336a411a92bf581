// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads a slot: checks its kernel, places it and its initrd, and reads both straight to their places.

use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, Readable};
use little_loader::chosen::{ChosenError, CommandLine};
use little_loader::env::Env;
use little_loader::image::{ImageError, ImageHeader, PROBE_SIZE};
use little_loader::placement::{KernelNeeds, Memory, PlacementError, place};
use little_loader::slot::{
    Extent, ExtentError, Reason, Slot, SlotContents, SlotError, SlotVariables, Variables, choose,
};
use little_loader::units::{Addr, BLOCK_SIZE, Bytes, Lba, Region};
use thiserror::Error;

use crate::console::{fatal, say, trace, warning};
use crate::disk::{Disk, DiskError};
use crate::fatal::Fatal;
use crate::memory;

/// Why a slot cannot be booted.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Variables(#[from] SlotError<'static>),
    #[error(transparent)]
    Extent(#[from] ExtentError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("kernel_lba {lba}: {error}")]
    Image { lba: Lba, error: ImageError },
    #[error("kernel_lba {lba}: the kernel is big-endian; only little-endian ones can be booted")]
    BigEndian { lba: Lba },
    #[error(
        "kernel_lba {lba}: the kernel uses pages of {kib} KiB, which this CPU does not offer: use another -cpu or kernel"
    )]
    PageSize { lba: Lba, kib: u32 },
    #[error("{0}; raise -m")]
    Placement(#[from] PlacementError),
    #[error(transparent)]
    CommandLine(#[from] ChosenError),
}

/// A slot in memory, ready to be entered.
pub(crate) struct Loaded {
    /// The kernel's memory.
    pub(crate) kernel: Region,
    /// The part of it that was read from the disk.
    pub(crate) file: Region,
    /// Where the kernel stood on the disk.
    pub(crate) kernel_lba: Lba,
    /// The initrd's bytes.
    pub(crate) initrd: Option<Region>,
    /// What the kernel is told.
    pub(crate) command_line: CommandLine,
}

/// Loads the first slot that can be booted: the active one, else the other one.
///
/// # Errors
///
/// When neither can be booted; the reason of each is printed.
pub(crate) fn first_bootable_slot(
    disk: &mut Disk,
    memory: &Memory,
    env: &Env<'static>,
    append: &str,
) -> Result<(Slot, Loaded), Fatal> {
    let variables = Variables::gather(env);
    let choice = choose(&variables);
    if let Some(oddity) = choice.oddity {
        warning(format_args!("{oddity}"));
    }
    let first_error = match load(disk, memory, variables.of(choice.first), append) {
        Ok(loaded) => {
            loaded.announce(choice.first, choice.reason);
            return Ok((choice.first, loaded));
        }
        Err(error) => error,
    };
    let other = choice.first.other();
    match load(disk, memory, variables.of(other), append) {
        Ok(loaded) => {
            warning(format_args!("slot {}: {first_error}", choice.first));
            loaded.announce(other, Reason::Fallback);
            Ok((other, loaded))
        }
        Err(error) => {
            fatal(format_args!("slot {}: {first_error}", choice.first));
            fatal(format_args!("slot {other}: {error}"));
            Err(Fatal::NoSlot)
        }
    }
}

impl Loaded {
    fn announce(&self, slot: Slot, reason: Reason) {
        say!("slot {slot}: {reason}");
        say!(
            "kernel: {} at {} from block {}",
            self.file.length(),
            self.kernel.start,
            self.kernel_lba
        );
        say!("command line: {} bytes", self.command_line.as_bytes().len());
        trace!(
            "trace: command line: {}",
            self.command_line.as_bytes().escape_ascii()
        );
    }
}

/// Loads a slot; `append` is what QEMU adds to its command line.
pub(crate) fn load(
    disk: &mut Disk,
    memory: &Memory,
    variables: &SlotVariables<'static>,
    append: &str,
) -> Result<Loaded, LoadError> {
    let contents = SlotContents::read(variables)?;
    let command_line = CommandLine::join(contents.kernel_args, append.as_bytes())?;
    let header = probe(disk, contents.kernel_lba)?;
    let length = header.bytes_to_read().map_err(|error| LoadError::Image {
        lba: contents.kernel_lba,
        error,
    })?;
    let kernel_extent = Extent {
        lba: contents.kernel_lba,
        length,
    }
    .check("kernel", disk.capacity)?;
    if let Some(initrd) = contents.initrd {
        initrd.check("initrd", disk.capacity)?;
    }
    let needs = KernelNeeds {
        text_offset: header.text_offset,
        image_size: header.image_size,
        bytes_to_read: length,
    };
    let placement = place(memory, &needs, contents.initrd.map(|initrd| initrd.length))?;
    trace!("trace: the kernel's memory will be {}", placement.kernel);
    let file = read_to(disk, kernel_extent, placement.kernel)?;
    let initrd = match contents.initrd.zip(placement.initrd) {
        Some((extent, place)) => Some(read_to(disk, extent, place)?),
        None => None,
    };
    Ok(Loaded {
        kernel: placement.kernel,
        file,
        kernel_lba: contents.kernel_lba,
        initrd,
        command_line,
    })
}

/// Reads the header of the kernel and checks that this CPU can run it.
fn probe(disk: &mut Disk, lba: Lba) -> Result<ImageHeader, LoadError> {
    let one_block = Extent {
        lba,
        length: Bytes(BLOCK_SIZE),
    };
    one_block.check("kernel", disk.capacity)?;
    let mut bytes = [0; PROBE_SIZE];
    // A small kernel may end with the disk.
    let on_disk = Bytes((disk.capacity.0 - lba.0).saturating_mul(BLOCK_SIZE));
    let bytes = &mut bytes[..PROBE_SIZE.min(on_disk.0 as usize)];
    disk.read(lba, bytes)?;
    let header = ImageHeader::parse(bytes).map_err(|error| LoadError::Image { lba, error })?;
    trace!(
        "trace: Image at block {lba}: text_offset {:#x}, image_size {}, flags: pages of {} KiB, anywhere: {}",
        header.text_offset.0,
        header.image_size,
        header.page_size.kib().unwrap_or_default(),
        header.anywhere
    );
    if header.big_endian {
        return Err(LoadError::BigEndian { lba });
    }
    if !header.page_size.is_offered_by(ID_AA64MMFR0_EL1.get()) {
        let kib = header.page_size.kib().unwrap_or_default();
        return Err(LoadError::PageSize { lba, kib });
    }
    Ok(header)
}

/// Reads an extent to the start of the region placed for it; returns where its bytes are.
fn read_to(disk: &mut Disk, extent: Extent, place: Region) -> Result<Region, DiskError> {
    let blocks = Region {
        start: place.start,
        end: Addr(place.start.0 + extent.length.blocks() * BLOCK_SIZE),
    };
    trace!("trace: reading block {} to {blocks}", extent.lba);
    // SAFETY: the placement lies in RAM, which is mapped, and holds whole blocks; it overlaps neither the loader nor the
    // DTB nor what was placed before.
    let bytes = unsafe { memory::bytes(blocks) };
    disk.read(extent.lba, bytes)?;
    Ok(Region {
        start: place.start,
        end: Addr(place.start.0 + extent.length.0),
    })
}
