// SPDX-License-Identifier: MIT OR Apache-2.0

//! Little Loader: boots Linux on QEMU's arm64 `virt` machine, from a disk with two slots.
//!
//! This file is the table of contents of a boot. Reset (`start.rs`) leads to [`start`], the first line of Rust; [`boot`]
//! has every step in the order in which it happens. Each step is a function of the module it names.
//!
//! Functions that must not be inlined have frames of their own: one frame for all would be so large that what lies in it takes
//! longer instructions to reach, and more of them.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod built;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod device_tree;
#[cfg(target_os = "none")]
mod disk;
#[cfg(target_os = "none")]
mod el2;
#[cfg(target_os = "none")]
mod el3;
#[cfg(target_os = "none")]
mod environment;
#[cfg(target_os = "none")]
mod exceptions;
#[cfg(target_os = "none")]
mod fatal;
#[cfg(target_os = "none")]
mod fw_cfg;
#[cfg(target_os = "none")]
mod hal;
#[cfg(target_os = "none")]
mod handoff;
#[cfg(target_os = "none")]
mod load;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod mmu;
#[cfg(target_os = "none")]
mod pci;
#[cfg(target_os = "none")]
mod power;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod virtio_blk;

#[cfg(target_os = "none")]
use little_loader::level;
#[cfg(target_os = "none")]
use little_loader::text::{Decimal, Word};

/// Elsewhere there is nothing to boot; the library beside this file is what host programs use.
#[cfg(not(target_os = "none"))]
fn main() {}

/// The first line of Rust: boots, or says why it cannot and powers off.
#[cfg(target_os = "none")]
extern "C" fn start(dtb: u64, exception_level: u64) -> ! {
    let error = match boot(dtb, exception_level) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    console::fatal(format_args!("{error}"));
    power::off()
}

/// A boot, step by step.
#[cfg(target_os = "none")]
fn boot(dtb: u64, exception_level: u64) -> Result<core::convert::Infallible, fatal::Fatal> {
    // What is this machine?
    power::entered_at(exception_level);
    let mut device_tree = device_tree::find(dtb)?;
    let mut machine = device_tree.read()?;
    console::open(machine.console);
    power::configure(device_tree.power_off(&machine, exception_level));
    start::check_cpu()?;
    mmu::map_ram(&machine.memory.ram);
    console::say!("little-loader {}", env!("CARGO_PKG_VERSION"));
    device_tree.narrate(&machine, exception_level);
    if exception_level == 3 {
        device_tree.prepare_non_secure_state(&machine)?;
    }

    // Which disk, and which slot of it?
    let overrides = fw_cfg::Overrides::read(machine.fw_cfg)?;
    let settings = built::settings(overrides.env_lba)?;
    let (mut disk, mut environment) = environment::find(&machine, &settings)?;
    machine.memory.reserved.add(memory::loader())?;
    let (ready, bootcount) = load::first_bootable_slot(
        &mut disk,
        &mut environment,
        &machine,
        &mut device_tree,
        &overrides,
    )?;

    // Hand over.
    let level = level::of_kernel(exception_level, machine.cpus, built::EL2);
    let dtb = device_tree.tell_the_kernel(&machine, &ready, bootcount);
    drop(disk);
    console::say!(
        "slot {}: entering the kernel at EL{}",
        ready.slot,
        Decimal(level)
    );
    let loaded = [Some(ready.loaded.kernel), ready.loaded.initrd, Some(dtb)];
    let way = handoff::Way::from(exception_level, level);
    handoff::enter(way, ready.loaded.kernel.start, dtb.start, &loaded)
}

/// A panic is a bug in the loader: its place is printed, and the power goes off.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // The message is left out: formatting it would pull in more code than the rest of the loader has.
    if let Some(place) = info.location() {
        console::fatal(format_args!(
            "bug in the loader, please report: panic at {}:{}",
            Word(place.file()),
            Decimal(place.line().into())
        ));
    }
    power::off()
}
