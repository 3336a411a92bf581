// SPDX-License-Identifier: MIT OR Apache-2.0

//! Power-off, when the boot cannot go on: QEMU ends, instead of running on with a loader that does
//! nothing.
//!
//! Source: Arm PSCI (DEN 0022), section 5.9 (SYSTEM_OFF); for machines without PSCI, Linux,
//! `Documentation/devicetree/bindings/power/reset/gpio-poweroff.yaml` and the Arm PrimeCell GPIO
//! (PL061) manual (DDI 0190).

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use aarch64_cpu::asm::wfi;
use aarch64_cpu::registers::{CurrentEL, Readable};
use little_loader_core::kernel::entry_level::ExceptionLevel;
use little_loader_core::tree::psci::Conduit;
use safe_mmio::fields::ReadPureWrite;
use safe_mmio::{UniqueMmioPointer, field};
use smccc::{Hvc, Smc, psci};

use crate::cpu::mmu::DeviceMemory;

/// Nobody has said yet.
const UNKNOWN: u8 = 0;
const HVC: u8 = 1;
const SMC: u8 = 2;
/// Not by PSCI.
const BY_PIN: u8 = 3;

/// Where QEMU's virt machine with `secure=on` has the PL061 whose pin 0 ends it (QEMU,
/// `hw/arm/virt.c`, `VIRT_SECURE_GPIO`).
const SECURE_PL061: usize = 0x090b_0000;

/// How to power off.
#[unsafe(link_section = ".data")]
static METHOD: AtomicU8 = AtomicU8::new(UNKNOWN);
/// The PL061 whose pin ends the machine.
static PL061: AtomicUsize = AtomicUsize::new(SECURE_PL061);
#[unsafe(link_section = ".data")]
static PIN: AtomicU8 = AtomicU8::new(0);

/// The registers of a PL061: the data register 256 times, the address choosing the pins, then the
/// direction.
#[repr(C)]
struct Registers {
    data: [ReadPureWrite<u32>; 256],
    direction: ReadPureWrite<u32>,
}

/// Takes what is usual for the exception level that the loader was entered at, until the DTB says
/// more: QEMU answers HVC where the loader is the first at EL1, and SMC where it was given EL2;
/// with EL3 there is a pin.
pub(crate) fn entered_at(entered: ExceptionLevel) {
    METHOD.store(usual_at(entered), Ordering::Relaxed);
}

fn usual_at(level: ExceptionLevel) -> u8 {
    match level {
        ExceptionLevel::El1 => HVC,
        ExceptionLevel::El2 => SMC,
        ExceptionLevel::El3 => BY_PIN,
    }
}

/// What the DTB says about power-off.
#[derive(Debug)]
pub(crate) enum PowerOff {
    /// Nothing.
    Unknown,
    /// A PSCI call.
    Psci(Conduit),
    /// A pin, by its number from 0 to 7, of the PL061 with these registers.
    Pin(u8, DeviceMemory),
}

/// Remembers what the DTB says.
pub(crate) fn configure(power_off: PowerOff) {
    match power_off {
        PowerOff::Unknown => {}
        PowerOff::Psci(Conduit::Hvc) => METHOD.store(HVC, Ordering::Relaxed),
        PowerOff::Psci(Conduit::Smc) => METHOD.store(SMC, Ordering::Relaxed),
        PowerOff::Pin(pin, registers) => {
            if let Some(mut registers) = registers.registers::<Registers>() {
                PL061.store(registers.ptr_mut().addr(), Ordering::Relaxed);
                PIN.store(pin, Ordering::Relaxed);
                METHOD.store(BY_PIN, Ordering::Relaxed);
            }
        }
    }
}

/// Powers off.
pub(crate) fn off() -> ! {
    // What can fail here has nobody left to report to; halting is all that remains.
    let method = match METHOD.load(Ordering::Relaxed) {
        UNKNOWN => usual_at(ExceptionLevel::from_current_el(
            CurrentEL.read(CurrentEL::EL),
        )),
        known => known,
    };
    let _ = match method {
        HVC => psci::system_off::<Hvc>(),
        SMC => psci::system_off::<Smc>(),
        _ => {
            gpio_off();
            Ok(())
        }
    };
    halt()
}

/// Drives the power-off pin.
fn gpio_off() {
    let Some(address) = NonNull::new(PL061.load(Ordering::Relaxed) as *mut Registers) else {
        return;
    };
    let pin = PIN.load(Ordering::Relaxed);
    // SAFETY: `PL061` holds what `configure` took out of a pointer to mapped registers, or what it
    // started with, which every virt machine with EL3 has, in memory that the reset code maps. The
    // pointer is dropped before this function returns, and nothing else makes one.
    let mut gpio: UniqueMmioPointer<'_, Registers> = unsafe { UniqueMmioPointer::new(address) };
    field!(gpio, direction).write(1 << pin);
    if let Some(mut data) = field!(gpio, data).get(1 << pin) {
        data.write(1 << pin);
    }
}

/// Sleeps for ever.
pub(crate) fn halt() -> ! {
    loop {
        wfi();
    }
}
