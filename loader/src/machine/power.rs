// SPDX-License-Identifier: MIT OR Apache-2.0

//! Power-off for a boot that cannot continue: QEMU exits, instead of running on with a loader that
//! does nothing.
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

/// The method is not set yet.
const UNKNOWN: u8 = 0;
const HVC: u8 = 1;
const SMC: u8 = 2;
/// A GPIO pin, without PSCI.
const BY_PIN: u8 = 3;

/// The address of the PL061 whose pin 0 powers off QEMU's virt machine with `secure=on` (QEMU,
/// `hw/arm/virt.c`, `VIRT_SECURE_GPIO`).
const SECURE_PL061: usize = 0x090b_0000;

/// The method to power off, one of the constants above.
#[unsafe(link_section = ".data")]
static METHOD: AtomicU8 = AtomicU8::new(UNKNOWN);
/// The address of the PL061 whose pin powers off the machine.
static PL061: AtomicUsize = AtomicUsize::new(SECURE_PL061);
#[unsafe(link_section = ".data")]
static PIN: AtomicU8 = AtomicU8::new(0);

/// The registers of a PL061: 256 addresses of the data register, each of which selects a set of
/// pins, then the direction.
#[repr(C)]
struct Pl061 {
    data: [ReadPureWrite<u32>; 256],
    direction: ReadPureWrite<u32>,
}

/// Sets the usual method for the exception level that the loader was entered at, until the DTB is
/// read: QEMU answers PSCI calls by HVC after an entry at EL1, and by SMC after one at EL2; with
/// EL3 there is a pin.
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

/// The power-off method in the DTB.
#[derive(Debug)]
pub(crate) enum PowerOff {
    /// No usable method.
    Unknown,
    /// A PSCI call.
    Psci(Conduit),
    /// A pin, 0 to 7, of the PL061 with these registers.
    Pin(u8, DeviceMemory),
}

/// Sets the method from the DTB, if it has one.
pub(crate) fn configure(power_off: PowerOff) {
    match power_off {
        PowerOff::Unknown => {}
        PowerOff::Psci(Conduit::Hvc) => METHOD.store(HVC, Ordering::Relaxed),
        PowerOff::Psci(Conduit::Smc) => METHOD.store(SMC, Ordering::Relaxed),
        PowerOff::Pin(pin, registers) => {
            if let Some(mut registers) = registers.registers::<Pl061>() {
                PL061.store(registers.ptr_mut().addr(), Ordering::Relaxed);
                PIN.store(pin, Ordering::Relaxed);
                METHOD.store(BY_PIN, Ordering::Relaxed);
            }
        }
    }
}

/// Powers off, or halts the CPU if that fails.
pub(crate) fn off() -> ! {
    // There is no way left to report a failure here, so the CPU only halts.
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
    let Some(address) = NonNull::new(PL061.load(Ordering::Relaxed) as *mut Pl061) else {
        return;
    };
    let pin = PIN.load(Ordering::Relaxed);
    // SAFETY: `PL061` holds the address from a pointer to mapped registers, stored by `configure`,
    // or its initial value, which is valid on every virt machine with EL3, in memory that the reset
    // code maps. The pointer is dropped before this function returns, and nothing else makes one.
    let mut gpio: UniqueMmioPointer<'_, Pl061> = unsafe { UniqueMmioPointer::new(address) };
    field!(gpio, direction).write(1 << pin);
    if let Some(mut data) = field!(gpio, data).get(1 << pin) {
        data.write(1 << pin);
    }
}

/// Sleeps forever.
pub(crate) fn halt() -> ! {
    loop {
        wfi();
    }
}
