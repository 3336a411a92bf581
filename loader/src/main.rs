// SPDX-License-Identifier: MIT OR Apache-2.0

//! Little Loader: boots Linux on QEMU's arm64 `virt` machine, from a disk with two slots.
//!
//! This file is the table of contents of a boot. Reset ([`cpu::reset`]) leads to [`start`], the
//! first line of Rust; [`boot()`] lists the steps in order. Each step is a function of the module
//! named in its call.
//!
//! `#[inline(never)]` on a step keeps stack frames small: in one big frame most locals would be out
//! of reach of short load and store offsets.

#![no_std]
#![no_main]

mod boot;
mod cpu;
mod disk;
mod machine;

use core::convert::Infallible;
use core::mem;

use little_loader_core::display::Word;
use little_loader_core::kernel::entry_level::{self, ExceptionLevel};
use little_loader_core::tree::edit::ChosenProperties;
use little_loader_core::units::Count;

use crate::boot::fatal::Fatal;
use crate::boot::{build_settings, find_environment, load_slot};
use crate::cpu::{handoff, mmu, reset};
use crate::machine::memory::{DtbAddress, Ram};
use crate::machine::{console, device_tree, fw_cfg, power};

/// The first line of Rust: boots, or reports why it cannot and powers off.
extern "C" fn start(dtb: DtbAddress, exception_level: u64) -> ! {
    let entered = ExceptionLevel::from_current_el(exception_level);
    let error = match boot(dtb, entered) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    console::fatal(format_args!("{error}"));
    power::off()
}

/// Boots, step by step.
fn boot(dtb: DtbAddress, entered: ExceptionLevel) -> Result<Infallible, Fatal> {
    // Identify the machine.
    power::entered_at(entered);
    let mut device_tree = device_tree::find(dtb)?;
    let mut machine = device_tree.read()?;
    console::open(machine.console.and_then(mmu::map_device));
    power::configure(device_tree.power_off(&machine, entered));
    reset::check_cpu()?;
    let mut ram = Ram::new(mem::take(&mut machine.memory))?;
    let overrides = fw_cfg::Overrides::read(machine.fw_cfg.and_then(mmu::map_device))?;
    console::set_quiet(overrides.quiet.unwrap_or(build_settings::QUIET));
    console::say!("little-loader {}", env!("CARGO_PKG_VERSION"));
    overrides.announce();
    device_tree.narrate(&machine, &ram, entered);
    if entered == ExceptionLevel::El3 {
        device_tree.prepare_non_secure_state(&machine)?;
    }

    // Choose the disk and the slot, and load it.
    let settings = build_settings::settings(overrides.env_lba)?;
    let (mut disk, mut environment) = find_environment::find(&machine, &settings)?;
    let ready = load_slot::first_bootable_slot(
        &mut disk,
        &mut environment,
        &machine,
        &mut device_tree,
        &mut ram,
        &overrides,
    )?;

    // Hand over.
    let level = entry_level::of_kernel(entered, machine.cpus, build_settings::EL2);
    let chosen = ChosenProperties {
        command_line: ready.loaded.command_line(),
        initrd: ready.loaded.initrd(),
        slot: ready.slot,
        reason: ready.reason,
        bootcount: ready.bootcount,
    };
    let dtb = device_tree.tell_the_kernel(&machine, &chosen);
    drop(disk);
    console::say!("kernel at {level}");
    let entry = handoff::KernelEntry::new(entered, level);
    handoff::enter(entry, &ready.loaded, &dtb)
}

/// A panic is a bug in the loader: prints its place and powers off.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // Without the message: formatting it takes more code than the rest of the loader.
    if let Some(place) = info.location() {
        console::fatal(format_args!(
            "bug in the loader, please report: panic at {}:{}",
            Word(place.file()),
            Count::from(place.line())
        ));
    }
    power::off()
}
