// SPDX-License-Identifier: MIT OR Apache-2.0

//! The exits of a boot from its guest to KVM, counted by the kernel of an emulated host.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::BenchError;
use crate::demo::kvm_host;
use crate::harness::kvm_host::{Ended, Guest, KvmHost};
use crate::harness::machine::Machine;

/// The first thing the payload prints.
const PAYLOAD: &[u8] = b"payload: ";

/// The data register of the PL011 (QEMU, `hw/arm/virt.c`, `VIRT_UART`).
const UART_DATA: u64 = 0x0900_0000;

/// The devices of QEMU's machine: name, first and last address (`hw/arm/virt.c`). The ECAM is the
/// one above RAM or the one below.
const DEVICES: [(&str, u64, u64); 8] = [
    ("GIC", 0x0800_0000, 0x08ff_ffff),
    ("console, other registers", 0x0900_0000, 0x0900_0fff),
    ("fw_cfg", 0x0902_0000, 0x0902_0fff),
    ("virtio transports", 0x0a00_0000, 0x0a00_3fff),
    ("PCI devices", 0x1000_0000, 0x3eff_ffff),
    ("PCI configuration", 0x3f00_0000, 0x3fff_ffff),
    ("PCI configuration", 0x40_1000_0000, 0x40_1fff_ffff),
    ("PCI devices", 0x80_0000_0000, 0xff_ffff_ffff),
];

/// The exits until the payload's first line: how many of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exits {
    /// By kind: a device, or the class of a trap. Interrupts of the host are not among them.
    pub kinds: BTreeMap<String, u64>,
}

impl Exits {
    /// Returns the number of all exits.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds.values().sum()
    }

    fn add(&mut self, kind: &str) {
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
    }
}

/// Boots each of `machines` once under KVM, on one host, and counts its exits until the payload's
/// first line; `folder` is for files of the host.
///
/// # Errors
/// When the host does not run, or a machine does not boot the payload.
pub fn exits(machines: &[(&str, Machine)], folder: &Path) -> Result<Vec<Exits>, BenchError> {
    let host = KvmHost::new(kvm_host::userland(None)?);
    let guests: Vec<Guest> = machines
        .iter()
        .map(|(name, machine)| Guest::new(*name, machine.clone()).traced())
        .collect();
    let ends = host.run(&guests, folder)?;
    let count = |ended: &Ended| {
        count(&ended.trace).ok_or_else(|| BenchError::Guest(Box::new(ended.clone())))
    };
    ends.iter().map(count).collect()
}

/// Counts the exits in the kernel's trace; `None` if the payload's text is not in it.
///
/// Each exit is a line such as `… kvm_exit: TRAP: HSR_EC: 0x0024 (DABT_LOW), PC: …`; if it is an
/// access to a device, a line `… kvm_mmio: mmio write len 4 gpa 0x9000000 val 0x6c` follows, with
/// `unsatisfied-read` for a read, whose value comes with a later line.
fn count(trace: &str) -> Option<Exits> {
    let mut exits = Exits::default();
    let mut printed = Vec::new();
    let mut trap: Option<&str> = None;
    for line in trace.lines() {
        if let Some((_, exit)) = line.split_once(" kvm_exit: ") {
            if let Some(class) = trap.take() {
                exits.add(class);
            }
            trap = exit.strip_prefix("TRAP: ").and_then(class);
        } else if let Some((_, access)) = line.split_once(" kvm_mmio: mmio ") {
            let (direction, rest) = access.split_once(' ')?;
            if direction == "read" {
                continue;
            }
            trap = None;
            let address = number(rest, "gpa")?;
            if direction != "write" || address != UART_DATA {
                exits.add(device(address));
                continue;
            }
            printed.push(u8::try_from(number(rest, "val")? & 0xff).ok()?);
            exits.add(CHARACTERS);
            if printed.ends_with(PAYLOAD) {
                let characters = exits.kinds.get_mut(CHARACTERS)?;
                *characters -= PAYLOAD.len() as u64;
                exits.kinds.retain(|_, count| *count > 0);
                return Some(exits);
            }
        }
    }
    None
}

/// The kind of a byte written to the console.
const CHARACTERS: &str = "console, characters";

/// Returns the kind of an exit that is not an access to a device: the name in `HSR_EC: 0x0018
/// (SYS64), PC: …`.
fn class(trap: &str) -> Option<&str> {
    let (_, rest) = trap.split_once('(')?;
    let (class, _) = rest.split_once(')')?;
    Some(match class {
        "DABT_LOW" | "IABT_LOW" => "memory not yet mapped",
        "SYS64" => "system registers",
        "HVC64" => "hypercalls",
        other => other,
    })
}

fn device(address: u64) -> &'static str {
    let found = DEVICES
        .iter()
        .find(|(_, first, last)| (*first..=*last).contains(&address));
    found.map_or("other devices", |(name, _, _)| name)
}

/// Returns the number after the word `name`, in hexadecimal with `0x`.
fn number(text: &str, name: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == name)?;
    u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAP: &str =
        " qemu-system-aar-135     [000] .....    25.41: kvm_exit: TRAP: HSR_EC: 0x00";

    fn trap(class: &str) -> String {
        format!("{TRAP}{class}, PC: 0x0000000040100000\n")
    }

    fn mmio(text: &str) -> String {
        let prefix = " qemu-system-aar-135     [000] .....    25.43: kvm_mmio: mmio";
        let leave = " qemu-system-aar-135     [000] .....    25.43: kvm_userspace_exit: reason KVM_EXIT_MMIO (6)";
        format!("{}{prefix} {text}\n{leave}\n", trap("24 (DABT_LOW)"))
    }

    fn print(text: &str) -> String {
        text.bytes()
            .map(|byte| mmio(&format!("write len 4 gpa 0x9000000 val {byte:#x}")))
            .collect()
    }

    #[test]
    fn exits_are_counted_by_kind_until_the_payload_prints() {
        let irq = " qemu-system-aar-135     [000] .....    25.42: kvm_exit: IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: 0x1\n";
        let trace = [
            "# tracer: nop\n".to_owned(),
            trap("20 (IABT_LOW)"),
            trap("18 (SYS64)"),
            irq.to_owned(),
            mmio("write len 4 gpa 0x9000024 val 0xd"),
            mmio("unsatisfied-read len 4 gpa 0xa003e00 val 0x0"),
            "x [000] .....    25.43: kvm_mmio: mmio read len 4 gpa 0xa003e00 val 0x74726976\n"
                .to_owned(),
            mmio("write len 8 gpa 0x9020010 val 0x2035154000000000"),
            trap("24 (DABT_LOW)"),
            print("hi\n"),
            mmio("unsatisfied-read len 4 gpa 0x4010008000 val 0x0"),
            print("payload: done"),
            mmio("write len 4 gpa 0xa003e70 val 0x0"),
        ]
        .concat();
        let exits = count(&trace).unwrap();
        let kinds: Vec<(&str, u64)> = exits
            .kinds
            .iter()
            .map(|(kind, count)| (kind.as_str(), *count))
            .collect();
        assert_eq!(
            kinds,
            [
                ("PCI configuration", 1),
                ("console, characters", 3),
                ("console, other registers", 1),
                ("fw_cfg", 1),
                ("memory not yet mapped", 2),
                ("system registers", 1),
                ("virtio transports", 1),
            ]
        );
        assert_eq!(exits.total(), 10);
        assert_eq!(count(&print("no kernel")), None);
    }
}
