// SPDX-License-Identifier: MIT OR Apache-2.0

//! The DTB in memory: found, packed, checked once, read, moved where it must be, and edited for the kernel.

use aarch64_cpu::registers::{Readable, SCTLR_EL1};
use little_loader_core::display::Decimal;
use little_loader_core::tree::edit::{self, Told};
use little_loader_core::tree::fdt::{Fdt, HEADER_SIZE};
use little_loader_core::tree::gic::Gic;
use little_loader_core::tree::machine::{self, DtbError, GpioPowerOff, Machine, pack};
use little_loader_core::units::{Addr, Bytes, Region};

use crate::cpu::{el3, mmu};
use crate::machine::console::{trace, warning};
use crate::machine::memory;
use crate::machine::power::PowerOff;

/// Where QEMU's virt machine has its RAM, and with an ELF the DTB (QEMU, `hw/arm/virt.c`, `VIRT_MEM`).
const RAM_BASE: u64 = 0x4000_0000;

/// The DTB that QEMU handed over, packed.
pub(crate) struct DeviceTree {
    bytes: &'static mut [u8],
    /// Where it may grow: the bytes above and what was placed for the edit behind them.
    place: Region,
}

/// Finds the DTB: at the address that QEMU passed, or at the start of RAM where it passed none.
///
/// # Errors
///
/// When there is none, or it is corrupt.
pub(crate) fn find(passed: u64) -> Result<DeviceTree, DtbError> {
    let at = Addr(if passed == 0 { RAM_BASE } else { passed });
    let region = |length: usize| {
        Region::new(at, Bytes(length as u64)).ok_or(DtbError::BadRegion {
            start: at,
            length: length as u64,
        })
    };
    mmu::map(region(machine::MAX_SIZE as usize)?);
    // SAFETY: QEMU passes an address in RAM, which is mapped now; nothing else refers to the DTB.
    let header = unsafe { memory::bytes(region(HEADER_SIZE)?) };
    let header = header
        .first_chunk()
        .ok_or(DtbError::Missing { at, found: 0 })?;
    let size = machine::total_size(header, at)?;
    // SAFETY: as above; the header's borrow has ended.
    let bytes = pack(unsafe { memory::bytes(region(size)?) });
    Fdt::new(bytes)?;
    let place = region(bytes.len())?;
    Ok(DeviceTree { bytes, place })
}

impl DeviceTree {
    /// What the DTB says of the machine.
    pub(crate) fn read(&self) -> Result<Machine, DtbError> {
        Machine::read(self.fdt())
    }

    /// What QEMU's `-append` gave.
    pub(crate) fn append(&self, machine: &Machine) -> &[u8] {
        &self.bytes[machine.bootargs.clone()]
    }

    /// Tells learners what was found; prints nothing in a build without trace.
    pub(crate) fn narrate(&self, machine: &Machine, exception_level: u64) {
        trace!(
            "trace: entered at EL{exception_level}, DTB at {}",
            self.region()
        );
        for ram in machine.memory.ram.as_slice() {
            trace!("trace: RAM {ram}, {}", ram.length());
        }
        for reserved in machine.memory.reserved.as_slice() {
            trace!("trace: reserved {reserved}");
        }
        trace!("trace: loader {}", memory::loader());
        if let Some(console) = machine.console {
            trace!("trace: console PL011 at {console}");
        }
        if let Some(conduit) = machine.psci {
            trace!("trace: PSCI by {conduit:?}");
        }
        trace!(
            "trace: {} virtio-mmio transports",
            machine.transports.as_slice().len()
        );
        trace!(
            "trace: SCTLR_EL1 {:#x}: MMU and caches are on",
            SCTLR_EL1.get()
        );
        trace!(
            "trace: QEMU's -append: \"{}\"",
            self.append(machine).escape_ascii()
        );
    }

    /// How to power off: by PSCI, or where there is none by a pin. Entered at EL3, there is nobody above to answer PSCI.
    pub(crate) fn power_off(&self, machine: &Machine, exception_level: u64) -> PowerOff {
        match machine.psci.filter(|_| exception_level < 3) {
            Some(conduit) => PowerOff::Psci(conduit),
            None => GpioPowerOff::find(self.fdt()).map_or(PowerOff::Unknown, PowerOff::Gpio),
        }
    }

    /// Entered at EL3: says what the kernel will miss, and gives it the interrupts.
    pub(crate) fn prepare_non_secure_state(&self, machine: &Machine) -> Result<(), DtbError> {
        warning(format_args!(
            "entered at EL3 (secure=on): the kernel gets 1 CPU of {} and no PSCI to power off or reset; the flat binary has all of it",
            Decimal(machine.cpus as u64)
        ));
        if let Some(gic) = Gic::find(self.fdt())? {
            el3::give_interrupts_away(&gic);
        }
        Ok(())
    }

    /// Where the DTB lies.
    pub(crate) fn region(&self) -> Region {
        let start = Addr(self.bytes.as_ptr() as u64);
        Region::new(start, Bytes(self.bytes.len() as u64)).unwrap_or_default()
    }

    /// Takes the place that was found for it, with room for the edit: where it lies, or where it is moved to now.
    pub(crate) fn settle(&mut self, place: Region) {
        self.place = place;
        if place.start() == self.region().start() {
            return;
        }
        trace!("trace: DTB moved to {place}");
        // SAFETY: the placement lies in RAM, which is mapped, and overlaps neither the loader nor this tree; kernel and
        // initrd are not there yet.
        let (tree, _) = unsafe { memory::bytes(place) }.split_at_mut(self.bytes.len());
        tree.copy_from_slice(self.bytes);
        self.bytes = tree;
    }

    /// Writes what the kernel is told into the DTB. Returns where it lies.
    pub(crate) fn tell_the_kernel(self, machine: &Machine, told: &Told<'_>) -> Region {
        let place = self.place;
        // SAFETY: what was placed for the DTB is RAM that is mapped, and `self`, the only reference into it, ends here.
        let bytes = unsafe { memory::bytes(place) };
        let size = edit::edit(bytes, machine.chosen, told);
        trace!("trace: DTB of {size} bytes at {}", place.start());
        place.prefix(Bytes(size as u64))
    }

    fn fdt(&self) -> Fdt<'_> {
        // Checked when it was found, and not changed since.
        Fdt::checked_before(self.bytes)
    }
}
