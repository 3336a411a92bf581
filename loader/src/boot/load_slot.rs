// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads a slot: checks its kernel, places it and its initrd, and reads both straight to their places.

use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, Readable};
use little_loader_core::disk::extent::{Extent, ExtentError};
use little_loader_core::display::{Decimal, Word};
use little_loader_core::env::block::Env;
use little_loader_core::env::place::EnvCopy;
use little_loader_core::env::writer::{RecordError, Storage};
use little_loader_core::kernel::command_line::{CommandLine, CommandLineTooLong};
use little_loader_core::kernel::image::{ImageError, ImageHeader, PROBE_SIZE};
use little_loader_core::kernel::placement::{
    DtbNeeds, InitrdNeeds, KernelNeeds, Placement, PlacementError, place,
};
use little_loader_core::slots::policy::{Attempt, decide, forced};
use little_loader_core::slots::run_plan::{Failures, Ready, Slots, first_bootable};
use little_loader_core::slots::slot::{Reason, Slot};
use little_loader_core::slots::variables::{SlotContents, SlotError, Variables};
use little_loader_core::tree::edit::{self, TreeTooLarge};
use little_loader_core::tree::machine::Machine;
use little_loader_core::units::{BLOCK_SIZE, Bytes, Lba, Region};
use thiserror::Error;

use crate::boot::environment::{Environment, EnvironmentOnDisk};
use crate::boot::fatal::Fatal;
use crate::disk::{Disk, DiskError};
use crate::machine::console::{fatal, say, trace, warning};
use crate::machine::device_tree::DeviceTree;
use crate::machine::fw_cfg::Overrides;
use crate::machine::memory::Ram;

/// Why a slot cannot be booted.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Variables(#[from] SlotError),
    #[error(transparent)]
    Extent(#[from] ExtentError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("kernel_lba {lba}: {error}")]
    Image { lba: Lba, error: ImageError },
    #[error("kernel_lba {lba}: the kernel is big-endian; only little-endian ones can be booted")]
    BigEndian { lba: Lba },
    #[error(
        "kernel_lba {lba}: the kernel uses pages of {} KiB, which this CPU does not offer: use another -cpu or kernel", Decimal(u64::from(*kib))
    )]
    PageSize { lba: Lba, kib: u32 },
    #[error(transparent)]
    Placement(#[from] PlacementError),
    #[error(transparent)]
    CommandLine(#[from] CommandLineTooLong),
    #[error(transparent)]
    Tree(#[from] TreeTooLarge),
    #[error("the place for it at {0} is beyond 1 TiB, where the loader maps no RAM: lower -m")]
    Unmapped(Region),
    #[error(
        "QEMU's initrd at {0} was overwritten while the other slot was loaded: put an initrd on the disk"
    )]
    InitrdLost(Region),
}

/// A slot that was looked at: what to read, and to where.
pub(crate) struct Checked {
    kernel: Extent,
    placement: Placement,
    initrd: Option<Extent>,
    command_line: CommandLine,
}

/// A slot in memory, checked and ready to be entered. Only this module makes one.
pub(crate) struct Loaded {
    kernel: Region,
    initrd: Option<Region>,
    command_line: CommandLine,
}

/// Loads the first slot that can be booted, by the slot policy.
///
/// # Errors
///
/// When none can be booted; the reason of each is printed.
#[inline(never)]
pub(crate) fn first_bootable_slot(
    disk: &mut Disk,
    environment: &mut Environment,
    machine: &Machine,
    device_tree: &mut DeviceTree,
    ram: &mut Ram,
    overrides: &Overrides,
) -> Result<Ready<Loaded>, Fatal> {
    let plan = match overrides.slot {
        Some(slot) => forced(slot),
        None => decide(&Variables::gather(&environment.writer.env())),
    };
    for oddity in &plan.oddities {
        warning(format_args!("{oddity}"));
    }
    let mut slots = SlotsOnDisk {
        storage: EnvironmentOnDisk {
            disk,
            place: environment.place,
        },
        machine,
        device_tree,
        ram,
        more_append: overrides.append(),
        is_initrd_lost: false,
    };
    let mut failures = Failures::default();
    let ready = first_bootable(&plan, &mut environment.writer, &mut slots, &mut failures);
    let report = if ready.is_some() { warning } else { fatal };
    for (slot, error) in &failures {
        report(format_args!("slot {slot}: {error}"));
    }
    if let Some(slot) = plan.barred.filter(|_| ready.is_none()) {
        fatal(format_args!(
            "slot {slot}: must not be booted: {slot}.nerves_fw_platform is not set, and the active slot has it"
        ));
    }
    let ready = ready.ok_or(Fatal::NoSlot)?;
    ready.loaded.announce(ready.slot, ready.reason);
    Ok(ready)
}

impl Loaded {
    /// The kernel, from its first instruction to the end of what was read.
    pub(crate) fn kernel(&self) -> Region {
        self.kernel
    }

    /// The initrd's bytes.
    pub(crate) fn initrd(&self) -> Option<Region> {
        self.initrd
    }

    /// What the kernel is told.
    pub(crate) fn command_line(&self) -> &CommandLine {
        &self.command_line
    }

    fn announce(&self, slot: Slot, reason: Reason) {
        say!("slot {slot}: {reason}");
        say!(
            "kernel: {} at {}",
            self.kernel.length(),
            self.kernel.start()
        );
        say!(
            "command line: {} bytes",
            Decimal(self.command_line.as_bytes().len() as u64)
        );
        trace!(
            "trace: command line: {}",
            self.command_line.as_bytes().escape_ascii()
        );
    }
}

/// The slots of a disk, and what they need to be loaded.
struct SlotsOnDisk<'a> {
    storage: EnvironmentOnDisk<'a>,
    machine: &'a Machine,
    device_tree: &'a mut DeviceTree,
    ram: &'a mut Ram,
    /// What an override adds to the command line.
    more_append: &'a [u8],
    /// Whether a slot with an initrd of its own was loaded over the one that QEMU put into memory.
    is_initrd_lost: bool,
}

impl Storage for SlotsOnDisk<'_> {
    type Error = DiskError;

    fn write(&mut self, copy: EnvCopy, first: usize, bytes: &[u8]) -> Result<(), DiskError> {
        self.storage.write(copy, first, bytes)
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.storage.flush()
    }
}

impl Slots for SlotsOnDisk<'_> {
    type Checked = Checked;
    type Loaded = Loaded;
    type SlotError = LoadError;

    #[inline(never)]
    fn check(&mut self, env: &Env<'_>, slot: Slot) -> Result<Checked, LoadError> {
        let variables = Variables::gather(env);
        let contents = SlotContents::read(variables.of(slot))?;
        let append = self.device_tree.append(self.machine);
        let command_line = CommandLine::join([contents.kernel_args, append, self.more_append])?;
        let lba = contents.kernel_lba;
        let capacity = self.storage.disk.capacity;
        let header = probe(self.storage.disk, lba)?;
        let needs = KernelNeeds::from(&header);
        let length = needs.bytes_to_read;
        let kernel = Extent { lba, length }.check("kernel", capacity)?;
        if let Some(initrd) = contents.initrd {
            initrd.check("initrd", capacity)?;
        }
        let initrd = match (contents.initrd, self.machine.initrd) {
            (Some(own), _) => InitrdNeeds::Bytes(own.length),
            (None, Some(lost)) if self.is_initrd_lost => return Err(LoadError::InitrdLost(lost)),
            (None, Some(in_memory)) => InitrdNeeds::InMemory(in_memory),
            (None, None) => InitrdNeeds::Nothing,
        };
        let now = self.device_tree.region();
        let dtb = DtbNeeds {
            now,
            size: edit::size_after(now.length().0 as usize, &command_line)?,
        };
        let placement = place(self.ram.map(), &needs, initrd, &dtb)?;
        trace!("trace: the kernel's memory will be {}", placement.kernel);
        Ok(Checked {
            kernel,
            placement,
            initrd: contents.initrd,
            command_line,
        })
    }

    #[inline(never)]
    fn load(&mut self, checked: Checked) -> Result<Loaded, LoadError> {
        let places = checked.placement;
        let taken = [Some(places.kernel), places.initrd, Some(places.dtb)];
        self.is_initrd_lost |= self.machine.initrd.is_some_and(|initrd| {
            let mut taken = taken.into_iter().flatten();
            taken.any(|place| place.overlaps(initrd))
        });
        if !self.device_tree.settle(places.dtb, self.ram) {
            return Err(LoadError::Unmapped(places.dtb));
        }
        let kernel = self.read_to(checked.kernel, checked.placement.kernel)?;
        let initrd = match checked.initrd.zip(checked.placement.initrd) {
            Some((extent, place)) => Some(self.read_to(extent, place)?),
            None => None,
        };
        Ok(Loaded {
            kernel,
            initrd,
            command_line: checked.command_line,
        })
    }

    fn unrecorded(&mut self, attempt: &Attempt, error: &RecordError<DiskError>) {
        let (what, then) = match (attempt.reason, attempt.even_unrecorded) {
            (Reason::Trial, false) => ("trial cannot be counted", "trying the other slot"),
            (Reason::Trial, true) => ("trial cannot be counted", "booting it all the same"),
            _ => ("revert cannot be recorded", "booting it all the same"),
        };
        warning(format_args!(
            "slot {}: {}: {error}; {}",
            attempt.slot,
            Word(what),
            Word(then)
        ));
    }
}

impl SlotsOnDisk<'_> {
    /// Reads an extent to the start of the region placed for it; returns where its bytes are.
    fn read_to(&mut self, extent: Extent, place: Region) -> Result<Region, LoadError> {
        let blocks = place.prefix(Bytes(extent.length.blocks() * BLOCK_SIZE));
        trace!("trace: reading block {} to {blocks}", extent.lba);
        let bytes = self.ram.bytes(blocks, self.device_tree.memory());
        let bytes = bytes.ok_or(LoadError::Unmapped(blocks))?;
        self.storage.disk.read(extent.lba, bytes)?;
        Ok(place.prefix(extent.length))
    }
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
