// SPDX-License-Identifier: MIT OR Apache-2.0

//! What must fail under KVM does: loaders in which one access to a device has no syndrome. Under
//! emulation each of them boots.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use qemu_tests::harness::gdb::Access;
use qemu_tests::harness::kvm_host::{Ended, Guest};
use qemu_tests::harness::machine::{Accelerator, Bus, Machine};
use qemu_tests::harness::report::Report;

use super::cases::{Cases, bootable, host, powered_off, ran_by_kvm};
use super::mutant;
use crate::Scenario;
use crate::context::{Context, console_text, machine};

pub(crate) const TESTS: &[(&str, Scenario)] = &[("mutated_loaders_are_caught", mutated)];

/// An access of the loader to a device.
struct Site {
    name: &'static str,
    access: Access,
    address: u64,
    bus: Bus,
    /// Whether the loader cannot print without it.
    is_console: bool,
}

const SITES: [Site; 7] = [
    Site {
        name: "a character of the console",
        access: Access::Write,
        address: 0x0900_0000,
        bus: Bus::Mmio,
        is_console: true,
    },
    Site {
        name: "the flags of the console",
        access: Access::Read,
        address: 0x0900_0018,
        bus: Bus::Mmio,
        is_console: true,
    },
    Site {
        name: "a read of a transport",
        access: Access::Read,
        address: 0x0a00_3e00,
        bus: Bus::Mmio,
        is_console: false,
    },
    Site {
        name: "a write to a transport's status",
        access: Access::Write,
        address: 0x0a00_3e70,
        bus: Bus::Mmio,
        is_console: false,
    },
    Site {
        name: "the notification of a queue",
        access: Access::Write,
        address: 0x0a00_3e50,
        bus: Bus::Mmio,
        is_console: false,
    },
    Site {
        name: "a read of PCI configuration space",
        access: Access::Read,
        address: 0x40_1000_8000,
        bus: Bus::Pci,
        is_console: false,
    },
    Site {
        name: "a write to PCI configuration space",
        access: Access::Write,
        address: 0x40_1000_8004,
        bus: Bus::Pci,
        is_console: false,
    },
];

/// Each mutant differs in one instruction, which does the same except that it writes its base
/// register back, unchanged. So emulation boots it, and KVM must not.
fn mutated(context: &Context) -> Result<()> {
    let disk = context.disk(&bootable(context)?)?;
    let mut cases = Cases::default();
    let on = |loader: &Path, bus| machine(loader).disk(disk.clone().bus(bus));
    for (index, site) in SITES.iter().enumerate() {
        let original = on(&context.artifacts.loader(), site.bus);
        let (mutant, address) = make(context, index, site, &original).context(site.name)?;
        let machine = on(&mutant, site.bus);
        let emulated = console_text(&machine.clone().accelerator(Accelerator::Tcg))?;
        Report::parse(&emulated).context(site.name)?;
        cases.guest(Guest::new(site.name, machine), move |ended| {
            caught(ended, site, address)
        });
    }
    // The same machines with the loader as it is.
    for bus in [Bus::Mmio, Bus::Pci] {
        let original = on(&context.artifacts.loader(), bus);
        cases.boots(format!("not mutated, {bus:?}"), original, |_| Ok(()));
    }
    let emulated = on(&context.artifacts.loader(), Bus::Mmio).accelerator(Accelerator::Tcg);
    cases.guest(Guest::as_given("emulated", emulated), not_by_kvm);
    cases.run(&host()?, context)
}

/// KVM aborts the access. The loader reports that and powers off; without its console it can only
/// power off.
fn caught(ended: &Ended, site: &Site, address: u64) -> Result<()> {
    powered_off(ended)?;
    let serial = &ended.serial;
    ensure!(!serial.contains("payload: "), "KVM decodes the access");
    if site.is_console {
        ensure!(serial.is_empty(), "the console still works");
        return Ok(());
    }
    let text = format!("fatal: synchronous exception at EL1, data abort, at {address:#x}: ");
    ensure!(serial.contains(&text), "no {text:?}");
    Ok(())
}

/// Makes the mutant of an access that the loader makes on `machine`; returns it and the address of
/// the changed instruction.
fn make(context: &Context, index: usize, site: &Site, machine: &Machine) -> Result<(PathBuf, u64)> {
    let loader = context.artifacts.loader();
    let socket = context.path(&format!("gdb{index}"));
    let watched = site.address..site.address + 4;
    let addresses = mutant::find_access(machine, &socket, site.access, watched)?;
    for address in addresses {
        if let Some(changed) = with_writeback(mutant::read(&loader, address)?, site.access) {
            let mutant = context.path(&format!("mutant{index}.elf"));
            mutant::write(&loader, &mutant, address, changed)?;
            return Ok((mutant, address));
        }
    }
    bail!("no plain access without an offset at {addresses:#x?}")
}

/// Returns a load or store of one register without an offset in its post-indexed form, with an
/// index of 0 (Arm ARM, C4.1, "Load/store register (unsigned immediate)" and "(immediate
/// post-indexed)"); `None` for other instructions.
fn with_writeback(word: u32, access: Access) -> Option<u32> {
    let plain = match access {
        Access::Read => 0x3940_0000,
        Access::Write => 0x3900_0000,
    };
    let (base, target) = (word >> 5 & 31, word & 31);
    // With the same register twice, the instruction is unpredictable.
    let is_plain = word & 0x3fff_fc00 == plain && base != target;
    is_plain.then_some(word & !(1 << 24) | 1 << 10)
}

/// An emulated guest of the same host performs every access, and so is not taken for one of KVM.
fn not_by_kvm(ended: &Ended) -> Result<()> {
    powered_off(ended)?;
    let report = Report::parse(&ended.serial)?;
    let error = ran_by_kvm(&report).err();
    let text = error.context("it is taken for a guest of KVM")?.to_string();
    ensure!(
        text.starts_with("writeback_load is done, not aborted"),
        "{text}"
    );
    Ok(())
}
