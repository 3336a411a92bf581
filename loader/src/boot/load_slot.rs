// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads a slot: checks its kernel, chooses the addresses of kernel and initrd, and reads both
//! directly to them.

use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, Readable};
use little_loader_core::disk::extent::Extent;
use little_loader_core::display::Word;
use little_loader_core::env::block::Env;
use little_loader_core::env::place::EnvCopy;
use little_loader_core::env::writer::{RecordError, Storage};
use little_loader_core::kernel::command_line::CommandLine;
use little_loader_core::kernel::image::PROBE_SIZE;
use little_loader_core::slots::check::{
    CheckError, CheckedSlot, QemuInitrd, SlotCheck, Surroundings,
};
use little_loader_core::slots::policy::{Attempt, decide, forced};
use little_loader_core::slots::run_plan::{Failures, Ready, Slots, first_bootable};
use little_loader_core::slots::slot::{Reason, Slot};
use little_loader_core::slots::variables::Variables;
use little_loader_core::tree::machine::Machine;
use little_loader_core::units::{BLOCK_SIZE, Bytes, Region};
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
    Check(#[from] CheckError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the place for it at {0} is beyond 1 TiB, where the loader maps no RAM: lower -m")]
    Unmapped(Region),
}

/// The kernel and initrd of a slot, checked, in memory and ready to be entered. Only this module
/// constructs one.
pub(crate) struct Loaded {
    kernel: Region,
    initrd: Option<Region>,
    command_line: CommandLine,
}

/// Loads the first bootable slot in the order of the slot policy.
///
/// # Errors
///
/// When no slot can be booted; the reason for each is printed.
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
        qemu_initrd: machine.initrd.into(),
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
    let ready = ready.ok_or_else(|| Fatal::NoSlot {
        lba: environment.lba(),
        disk: environment.disk,
    })?;
    say!(
        "slot {}: {}, {}",
        ready.slot,
        ready.reason,
        environment.disk
    );
    ready.loaded.narrate();
    Ok(ready)
}

impl Loaded {
    /// Returns the kernel's memory, from its first instruction to the end of the bytes read from
    /// the disk.
    pub(crate) fn kernel(&self) -> Region {
        self.kernel
    }

    /// Returns the initrd's memory, `None` if the slot has no initrd.
    pub(crate) fn initrd(&self) -> Option<Region> {
        self.initrd
    }

    /// Returns the kernel's command line.
    pub(crate) fn command_line(&self) -> &CommandLine {
        &self.command_line
    }

    /// Prints the kernel's memory and command line in a build with trace, and nothing otherwise.
    fn narrate(&self) {
        let kernel = self.kernel;
        trace!("trace: kernel: {} at {}", kernel.length(), kernel.start());
        trace!(
            "trace: command line: {}",
            self.command_line.as_bytes().escape_ascii()
        );
    }
}

/// The slots of a disk, with everything needed to load them.
struct SlotsOnDisk<'a> {
    storage: EnvironmentOnDisk<'a>,
    machine: &'a Machine,
    device_tree: &'a mut DeviceTree,
    ram: &'a mut Ram,
    /// The `append` override, added to the command line.
    more_append: &'a [u8],
    qemu_initrd: QemuInitrd,
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
    type Checked = CheckedSlot;
    type Loaded = Loaded;
    type SlotError = LoadError;

    #[inline(never)]
    fn check(&mut self, env: &Env<'_>, slot: Slot) -> Result<CheckedSlot, LoadError> {
        let surroundings = Surroundings {
            capacity: self.storage.disk.capacity,
            memory: self.ram.map(),
            dtb: self.device_tree.region(),
            id_aa64mmfr0_el1: ID_AA64MMFR0_EL1.get(),
            qemu_initrd: self.qemu_initrd,
            append: [self.device_tree.append(self.machine), self.more_append],
        };
        let check = SlotCheck::new(Variables::gather(env).of(slot), surroundings)?;
        let Extent { lba, length } = check.header();
        let mut bytes = [0; PROBE_SIZE];
        let bytes = &mut bytes[..length.0 as usize];
        self.storage.disk.read(lba, bytes)?;
        let checked = check.finish(bytes, |header| {
            trace!(
                "trace: Image at block {lba}: text_offset {:#x}, image_size {}, flags: pages of {} KiB, anywhere: {}",
                header.text_offset.0,
                header.image_size,
                header.page_size.kib().unwrap_or_default(),
                header.anywhere
            );
        })?;
        trace!(
            "trace: the kernel's memory will be {}",
            checked.placement.kernel
        );
        Ok(checked)
    }

    #[inline(never)]
    fn load(&mut self, checked: CheckedSlot) -> Result<Loaded, LoadError> {
        let places = checked.placement;
        self.qemu_initrd = self.qemu_initrd.after_loading(&places);
        if !self.device_tree.settle(places.dtb, self.ram) {
            return Err(LoadError::Unmapped(places.dtb));
        }
        let kernel = self.read_to(checked.kernel, places.kernel)?;
        let initrd = match checked.initrd.zip(places.initrd) {
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
            (Reason::Trial, true) => ("trial cannot be counted", "booting it anyway"),
            _ => ("revert cannot be recorded", "booting it anyway"),
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
    /// Reads an extent to the start of the region chosen for it; returns the region of its bytes.
    fn read_to(&mut self, extent: Extent, place: Region) -> Result<Region, LoadError> {
        let blocks = place.prefix(Bytes(extent.length.blocks() * BLOCK_SIZE));
        trace!("trace: reading block {} to {blocks}", extent.lba);
        let bytes = self.ram.bytes(blocks, self.device_tree.memory());
        let bytes = bytes.ok_or(LoadError::Unmapped(blocks))?;
        self.storage.disk.read(extent.lba, bytes)?;
        Ok(place.prefix(extent.length))
    }
}
