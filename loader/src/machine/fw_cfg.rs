// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's fw_cfg device, read through its DMA interface: a request is one register access, while
//! the data register would need one for every eight bytes.
//!
//! Source: QEMU, `docs/specs/fw_cfg.rst`.

use aarch64_cpu::asm::barrier;
use little_loader_core::overrides::{self, ENTRY_SIZE, File, Files, MAX_VALUE, OverrideError};
use little_loader_core::slots::slot::Slot;
use little_loader_core::units::{Count, Lba};
use safe_mmio::fields::{ReadPure, ReadPureWrite, WriteOnly};
use safe_mmio::{UniqueMmioPointer, field, field_shared};

use crate::cpu::mmu::DeviceMemory;
use crate::machine::console::say;

/// The key of the file directory.
const DIRECTORY: u16 = 0x19;
/// The maximum number of files in the directory that are searched; QEMU itself has about ten.
const MAX_FILES: usize = 64;
/// "QEMU CFG" in the DMA address register: the device supports DMA.
const DMA_SIGNATURE: u64 = 0x5145_4d55_2043_4647;
/// Control bits of a request.
const ERROR: u32 = 1 << 0;
const READ: u32 = 1 << 1;
const SELECT: u32 = 1 << 3;

/// The registers. All are big-endian.
#[repr(C)]
struct FwCfgRegisters {
    data: ReadPure<u64>,
    selector: WriteOnly<u16>,
    unused: [u16; 3],
    /// Reads as the DMA signature; a write starts a request.
    dma: ReadPureWrite<u64>,
}

/// A request, in the layout that the device reads from memory.
#[repr(C, align(16))]
struct DmaAccess {
    control: u32,
    length: u32,
    address: u64,
}

/// The overrides on QEMU's command line.
#[derive(Default)]
pub(crate) struct Overrides {
    /// The slot to boot.
    pub(crate) slot: Option<Slot>,
    /// The environment's first block.
    pub(crate) env_lba: Option<Lba>,
    /// Whether to print only warnings and errors.
    pub(crate) quiet: Option<bool>,
    append: Option<Value>,
}

/// The value of an override.
struct Value {
    bytes: [u8; MAX_VALUE],
    length: usize,
}

impl Default for Value {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_VALUE],
            length: 0,
        }
    }
}

impl Value {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Overrides {
    /// Reads the overrides from the device with these registers, if the machine has one.
    ///
    /// # Errors
    ///
    /// When an override has an unknown name or an invalid value.
    #[inline(never)]
    pub(crate) fn read(registers: Option<DeviceMemory>) -> Result<Self, OverrideError> {
        let mut all = Self::default();
        let Some(mut device) = registers.and_then(Device::open) else {
            return Ok(all);
        };
        let mut directory = [0; 4 + MAX_FILES * ENTRY_SIZE];
        if !device.read(DIRECTORY, &mut directory) {
            return Ok(all);
        }
        let files = Files::find(&directory)?;
        if let Some(file) = files.slot {
            all.slot = Some(overrides::slot(device.value(file).as_bytes())?);
        }
        if let Some(file) = files.env_lba {
            all.env_lba = Some(overrides::env_lba(device.value(file).as_bytes())?);
        }
        if let Some(file) = files.quiet {
            all.quiet = Some(overrides::quiet(device.value(file).as_bytes())?);
        }
        if let Some(file) = files.append {
            let mut value = device.value(file);
            value.length = overrides::append(value.as_bytes())?.len();
            all.append = Some(value);
        }
        Ok(all)
    }

    /// Prints the overrides.
    pub(crate) fn announce(&self) {
        if let Some(slot) = self.slot {
            say!("override: slot {slot}");
        }
        if let Some(lba) = self.env_lba {
            say!("override: environment at block {lba}");
        }
        if let Some(append) = &self.append {
            say!("override: append {} bytes", Count::from(append.length));
        }
    }

    /// Returns the text to add to the kernel's command line.
    pub(crate) fn append(&self) -> &[u8] {
        self.append.as_ref().map_or(&[], Value::as_bytes)
    }
}

/// The device, which supports DMA.
struct Device(UniqueMmioPointer<'static, FwCfgRegisters>);

impl Device {
    /// Returns the device, `None` if it does not support DMA.
    fn open(registers: DeviceMemory) -> Option<Self> {
        let registers = registers.registers::<FwCfgRegisters>()?;
        let signature = field_shared!(registers, dma).read();
        (u64::from_be(signature) == DMA_SIGNATURE).then_some(Self(registers))
    }

    /// Reads an item from its start; bytes past its end are zeroes. Returns whether the device
    /// reported success.
    fn read(&mut self, selector: u16, bytes: &mut [u8]) -> bool {
        let mut request = DmaAccess {
            control: (u32::from(selector) << 16 | SELECT | READ).to_be(),
            length: (bytes.len() as u32).to_be(),
            address: (bytes.as_mut_ptr() as u64).to_be(),
        };
        let address = &raw mut request;
        barrier::dsb(barrier::SY);
        // QEMU has completed the request when the write returns.
        field!(self.0, dma).write((address as u64).to_be());
        barrier::dsb(barrier::SY);
        // SAFETY: `address` points to the local request; volatile, since the device has changed it.
        #[expect(clippy::disallowed_methods, reason = "RAM, not a register")]
        let control = unsafe { core::ptr::read_volatile(&raw const (*address).control) };
        u32::from_be(control) & ERROR == 0
    }

    fn value(&mut self, file: File) -> Value {
        let mut value = Value {
            length: (file.size as usize).min(MAX_VALUE),
            ..Value::default()
        };
        let length = value.length;
        if !self.read(file.selector, &mut value.bytes[..length]) {
            value.length = 0;
        }
        value
    }
}
