// SPDX-License-Identifier: MIT OR Apache-2.0

//! Power-off, when the boot cannot go on: QEMU ends, instead of running on with a loader that does nothing.
//!
//! Source: Arm PSCI (DEN 0022), section 5.9 (SYSTEM_OFF); for machines without PSCI, Linux,
//! `Documentation/devicetree/bindings/power/reset/gpio-poweroff.yaml` and the Arm PrimeCell GPIO (PL061) manual (DDI 0190).

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use aarch64_cpu::asm::wfi;
use aarch64_cpu::registers::{CurrentEL, Readable};
use little_loader::dtb::{Conduit, GpioPowerOff};
use safe_mmio::fields::ReadPureWrite;
use safe_mmio::{UniqueMmioPointer, field};
use smccc::{Hvc, Smc, psci};

const UNKNOWN: u8 = 0;
const HVC: u8 = 1;
const SMC: u8 = 2;

/// How to call PSCI, once the DTB has been read.
static CONDUIT: AtomicU8 = AtomicU8::new(UNKNOWN);
/// The PL061 whose pin ends the machine; 0 when there is none.
static PL061: AtomicUsize = AtomicUsize::new(0);
static PIN: AtomicU8 = AtomicU8::new(0);

/// The registers of a PL061: the data register 256 times, the address choosing the pins, then the direction.
#[repr(C)]
struct Registers {
    data: [ReadPureWrite<u32>; 256],
    direction: ReadPureWrite<u32>,
}

/// What the DTB says about power-off.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PowerOff {
    /// Nothing.
    Unknown,
    /// A PSCI call.
    Psci(Conduit),
    /// A pin.
    Gpio(GpioPowerOff),
}

/// Remembers what the DTB says.
pub(crate) fn configure(power_off: PowerOff) {
    match power_off {
        PowerOff::Unknown => {}
        PowerOff::Psci(Conduit::Hvc) => CONDUIT.store(HVC, Ordering::Relaxed),
        PowerOff::Psci(Conduit::Smc) => CONDUIT.store(SMC, Ordering::Relaxed),
        PowerOff::Gpio(gpio) => {
            PL061.store(gpio.registers.start.0 as usize, Ordering::Relaxed);
            PIN.store(gpio.pin, Ordering::Relaxed);
        }
    }
}

/// Powers off. Where the DTB did not say how, by what is usual at this exception level.
pub(crate) fn off() -> ! {
    let exception_level = CurrentEL.read(CurrentEL::EL);
    // What can fail here has nobody left to report to; halting is all that remains.
    let _ = match CONDUIT.load(Ordering::Relaxed) {
        HVC => psci::system_off::<Hvc>(),
        SMC => psci::system_off::<Smc>(),
        _ if gpio_off() => Ok(()),
        _ if exception_level == 1 => psci::system_off::<Hvc>(),
        _ if exception_level == 2 => psci::system_off::<Smc>(),
        _ => Ok(()),
    };
    halt()
}

/// Drives the power-off pin, if there is one.
fn gpio_off() -> bool {
    let Some(address) = NonNull::new(PL061.load(Ordering::Relaxed) as *mut Registers) else {
        return false;
    };
    let pin = PIN.load(Ordering::Relaxed);
    // SAFETY: the address is the register window of a PL061, from the DTB, and nothing else uses it.
    let mut gpio: UniqueMmioPointer<'_, Registers> = unsafe { UniqueMmioPointer::new(address) };
    field!(gpio, direction).write(1 << pin);
    if let Some(mut data) = field!(gpio, data).get(1 << pin) {
        data.write(1 << pin);
    }
    true
}

/// Sleeps for ever.
pub(crate) fn halt() -> ! {
    loop {
        wfi();
    }
}
