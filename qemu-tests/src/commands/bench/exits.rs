// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench --exits`, and the exits among the figures.

use std::collections::BTreeSet;
use std::env;
use std::process::ExitCode;

use anyhow::Result;

use qemu_tests::bench::budget::{Amount, Row};
use qemu_tests::bench::exits::{Exits, exits};
use qemu_tests::harness::machine::{Bus, Machine};

use super::results::keep;
use super::workbench::Bench;

/// The environment variable with the path of the C loader's ELF.
const C_LOADER: &str = "C_LOADER";

/// The limits of the exits from reset to the payload's first line.
const BY_MMIO: u64 = 120;
const BY_PCI: u64 = 220;

/// The boots: the names of the table's columns.
const MMIO: &str = "MMIO";
const PCI: &str = "PCI";
const DIRECT: &str = "-kernel Image";
const C: &str = "C loader";

/// Boots by the loader with the disk by MMIO and by PCI, by QEMU itself, and by the C loader if
/// its ELF is given.
fn measured(bench: &Bench) -> Result<Vec<(&'static str, Exits)>> {
    let payload = bench.folder().join("payload.img");
    let mut machines = vec![
        (MMIO, bench.machine(Bus::Mmio)?),
        (PCI, bench.machine(Bus::Pci)?),
        (DIRECT, Machine::new(payload)),
    ];
    if let Some(elf) = env::var_os(C_LOADER) {
        // It knows the first transport alone, with its modern registers.
        let disk = bench.disk(Bus::MmioAt(0))?;
        machines.push((C, Machine::new(elf).modern_transports().disk(disk)));
    }
    let counted = exits(&machines, bench.folder())?;
    Ok(machines
        .iter()
        .map(|(name, _)| *name)
        .zip(counted)
        .collect())
}

/// Returns the totals as figures.
pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let measured = measured(bench)?;
    let total = |name: &str| {
        let found = measured.iter().find(|(boot, _)| *boot == name);
        found.map(|(_, exits)| exits.total())
    };
    let c = total(C).map(Amount::Count);
    let mut rows = Vec::new();
    for (boot, what, limit) in [
        (MMIO, "exits to KVM, disk by MMIO", BY_MMIO),
        (PCI, "exits to KVM, disk by PCI", BY_PCI),
    ] {
        if let Some(total) = total(boot) {
            let row = Row::at_most(what, total, limit)
                .how("traced by the kernel of an emulated host, until the payload's first line");
            rows.push(match c {
                Some(c) if boot == MMIO => row.c_loader(c, c),
                _ => row,
            });
        }
    }
    Ok(rows)
}

/// Prints the exits by kind.
pub(super) fn main(bench: &Bench, json: bool) -> Result<ExitCode> {
    let measured = measured(bench)?;
    let text = keep("exits.json", &measured)?;
    if json {
        println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", table(&measured));
    Ok(ExitCode::SUCCESS)
}

fn table(measured: &[(&str, Exits)]) -> String {
    let kinds: BTreeSet<&String> = measured
        .iter()
        .flat_map(|(_, exits)| exits.kinds.keys())
        .collect();
    let row = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>16}")).collect();
        format!("{name:<26}{cells}\n")
    };
    let cells = |of: &dyn Fn(&Exits) -> u64| {
        let counts = measured.iter().map(|(_, exits)| of(exits).to_string());
        counts.collect::<Vec<_>>()
    };
    let names = measured.iter().map(|(name, _)| (*name).to_owned());
    let mut text = row("exits to KVM", names.collect());
    for kind in kinds {
        let count = |exits: &Exits| exits.kinds.get(kind).copied().unwrap_or_default();
        text += &row(kind, cells(&count));
    }
    text + &row("all", cells(&Exits::total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_kind_of_every_boot() {
        let exits = |kinds: &[(&str, u64)]| Exits {
            kinds: kinds
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect(),
        };
        let measured = [
            (MMIO, exits(&[("fw_cfg", 2), ("virtio transports", 30)])),
            (DIRECT, exits(&[("hypercalls", 1)])),
        ];
        let expected = "\
exits to KVM                          MMIO   -kernel Image
fw_cfg                                   2               0
hypercalls                               0               1
virtio transports                       30               0
all                                     32               1
";
        assert_eq!(table(&measured), expected);
    }
}
