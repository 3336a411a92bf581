// SPDX-License-Identifier: MIT OR Apache-2.0

//! The DTB in memory: the loader finds, packs and checks it once, reads it, moves it if necessary,
//! and edits it for the kernel.

use aarch64_cpu::registers::{Readable, SCTLR_EL1};
use little_loader_core::kernel::entry_level::ExceptionLevel;
use little_loader_core::tree::edit::{self, ChosenProperties};
use little_loader_core::tree::error::DtbError;
use little_loader_core::tree::fdt::Fdt;
use little_loader_core::tree::format::HEADER_SIZE;
use little_loader_core::tree::gic::Gic;
use little_loader_core::tree::header::{self, pack};
use little_loader_core::tree::machine::Machine;
use little_loader_core::tree::power_pin::GpioPowerOff;
use little_loader_core::units::{Addr, Bytes, Count, Region};

use crate::cpu::mmu;
use crate::machine::console::{trace, warning};
use crate::machine::gic;
use crate::machine::memory::{self, DtbAddress, DtbMemory, Ram};
use crate::machine::power::PowerOff;

/// The start of RAM on QEMU's virt machine; QEMU puts the DTB there if the loader is an ELF (QEMU,
/// `hw/arm/virt.c`, `VIRT_MEM`).
const RAM_BASE: Addr = Addr(0x4000_0000);

/// The DTB that QEMU handed over, packed.
pub(crate) struct DeviceTree {
    /// Its memory, with room to grow after `settle`.
    memory: DtbMemory,
    /// Its length in bytes.
    length: usize,
}

/// The DTB as passed to the kernel. Only [`DeviceTree::tell_the_kernel`] constructs one.
pub(crate) struct KernelDtb(Region);

impl KernelDtb {
    /// Returns the addresses of the DTB.
    pub(crate) fn region(&self) -> Region {
        self.0
    }
}

/// Finds the DTB: at the address that QEMU passed, or at the start of RAM if it passed none.
///
/// # Errors
///
/// When there is no DTB, or it is corrupt.
pub(crate) fn find(passed: DtbAddress) -> Result<DeviceTree, DtbError> {
    let (header, most) = (Bytes(HEADER_SIZE as u64), Bytes(header::MAX_SIZE));
    let mut memory = DtbMemory::at(passed, RAM_BASE, header, most).ok_or(DtbError::NotRam)?;
    let at = memory.region().start();
    let header = memory.bytes().first_chunk();
    let size = header::total_size(header.ok_or(DtbError::NotRam)?, at)?;
    if !memory.resize(Bytes(size as u64)) {
        let size = size.into();
        return Err(DtbError::Size { at, size });
    }
    let length = pack(memory.bytes_mut()).len();
    Fdt::new(&memory.bytes()[..length])?;
    Ok(DeviceTree { memory, length })
}

impl DeviceTree {
    /// Reads the properties of the machine from the DTB.
    pub(crate) fn read(&self) -> Result<Machine, DtbError> {
        Machine::read(self.fdt())
    }

    fn bytes(&self) -> &[u8] {
        &self.memory.bytes()[..self.length]
    }

    /// Returns the value of QEMU's `-append`.
    pub(crate) fn append(&self, machine: &Machine) -> &[u8] {
        &self.bytes()[machine.bootargs.clone()]
    }

    /// Prints the properties of the machine in a build with trace, and nothing otherwise.
    pub(crate) fn narrate(&self, machine: &Machine, ram: &Ram, entered: ExceptionLevel) {
        trace!("trace: entered at {entered}, DTB at {}", self.region());
        for ram in ram.map().ram.as_slice() {
            trace!("trace: RAM {ram}, {}", ram.length());
        }
        for reserved in ram.map().reserved.as_slice() {
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

    /// Returns the method to power off: PSCI, or a GPIO pin if there is no PSCI. After an entry at
    /// EL3 no higher level implements PSCI.
    pub(crate) fn power_off(&self, machine: &Machine, entered: ExceptionLevel) -> PowerOff {
        match machine.psci.filter(|_| entered < ExceptionLevel::El3) {
            Some(conduit) => PowerOff::Psci(conduit),
            None => GpioPowerOff::find(self.fdt())
                .and_then(|gpio| Some(PowerOff::Pin(gpio.pin, mmu::map_device(gpio.registers)?)))
                .unwrap_or(PowerOff::Unknown),
        }
    }

    /// After an entry at EL3: warns of what the kernel lacks, and assigns the interrupts to it.
    pub(crate) fn prepare_non_secure_state(&self, machine: &Machine) -> Result<(), DtbError> {
        warning(format_args!(
            "entered at EL3 (secure=on): the kernel gets 1 CPU of {} and no PSCI to power off or reset; the flat binary has all of it",
            Count::from(machine.cpus)
        ));
        if let Some(gic) = Gic::find(self.fdt())? {
            gic::give_interrupts_away(&gic);
        }
        Ok(())
    }

    /// Returns the addresses of the DTB, without the room to grow.
    pub(crate) fn region(&self) -> Region {
        self.memory.region().prefix(Bytes(self.length as u64))
    }

    /// Returns the memory of the DTB, with the room to grow.
    pub(crate) fn memory(&self) -> &DtbMemory {
        &self.memory
    }

    /// Makes the region chosen for the DTB, with room for the edit, its memory: moves the DTB there
    /// unless it already starts there. Returns whether that was possible.
    pub(crate) fn settle(&mut self, place: Region, ram: &mut Ram) -> bool {
        trace!("trace: DTB at {place}");
        ram.give_dtb(&mut self.memory, place)
    }

    /// Writes the properties for the kernel into the DTB.
    pub(crate) fn tell_the_kernel(
        mut self,
        machine: &Machine,
        properties: &ChosenProperties<'_>,
    ) -> KernelDtb {
        let size = edit::write_chosen(self.memory.bytes_mut(), machine.chosen, properties);
        let region = self.memory.region().prefix(Bytes(size as u64));
        trace!("trace: DTB of {size} bytes at {}", region.start());
        KernelDtb(region)
    }

    fn fdt(&self) -> Fdt<'_> {
        // `find` has checked it, and it has not changed since.
        Fdt::checked_before(self.bytes())
    }
}
