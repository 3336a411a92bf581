// SPDX-License-Identifier: MIT OR Apache-2.0

//! A tiny kernel for tests: it checks from inside what Linux requires of a boot loader
//! (`Documentation/arch/arm64/booting.rst`), reports each point as a line `payload: NAME=VALUE ok`
//! or `payload: NAME=VALUE FAIL (what was expected)`, and ends with `payload: done`.
//!
//! Words on the command line select more:
//!
//! | word | effect |
//! | --- | --- |
//! | `payload.watch=1` | fills all free memory, waits, and checks that it has not changed; `tamper`: changes a word itself |
//! | `payload.unaligned=1` | reports whether an unaligned load faults |
//! | `payload.accesses=1` | reports which kinds of instructions can access a device |
//! | `payload.end=off` | the action at the end: power-off (the default), `reset` or `wait` |

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod accesses;
#[cfg(target_os = "none")]
mod alignment;
#[cfg(target_os = "none")]
mod checks;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod faults;
#[cfg(target_os = "none")]
mod pci;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod watch;

/// On the host there is nothing to test.
#[cfg(not(target_os = "none"))]
fn main() {}

/// The first line of Rust.
#[cfg(target_os = "none")]
extern "C" fn start(entry: &start::Entry) -> ! {
    let end = checks::report(entry);
    console::say!("payload: done");
    match end {
        checks::End::Off(conduit) => checks::call(conduit, smccc::psci::PSCI_SYSTEM_OFF),
        checks::End::Reset(conduit) => checks::call(conduit, smccc::psci::PSCI_SYSTEM_RESET),
        checks::End::Wait => {}
    }
    loop {
        aarch64_cpu::asm::wfi();
    }
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    console::say!("payload: panic FAIL {info}");
    loop {
        aarch64_cpu::asm::wfi();
    }
}
