// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hosts of other kinds: with and without VHE, with both versions of the GIC, and with a protected
//! hypervisor.

use anyhow::{Result, ensure};

use qemu_tests::harness::kvm_host::KvmHost;
use qemu_tests::harness::machine::Bus;
use qemu_tests::harness::report::Report;

use super::boots;
use super::cases::{Cases, bootable, host};
use crate::Scenario;
use crate::context::Context;

pub(crate) const TESTS: &[(&str, Scenario)] = &[
    ("host_with_vhe", |context| boots(context, &host()?)),
    ("host_with_all_features", |context| {
        boots(context, &all_features()?)
    }),
    ("host_without_vhe_gicv2", |context| {
        boots(context, &without_vhe(2)?)
    }),
    ("host_without_vhe_gicv3", |context| {
        boots(context, &without_vhe(3)?)
    }),
    ("host_with_a_protected_hypervisor", |context| {
        boots(context, &protected()?)
    }),
];

/// Every case of `boots.rs` on each of these hosts.
pub(crate) const LONG_TESTS: &[(&str, Scenario)] = &[
    ("every_machine_on_a_host_with_all_features", |context| {
        boots::all(context, &all_features()?)
    }),
    ("every_machine_on_a_host_without_vhe_gicv2", |context| {
        boots::all(context, &without_vhe(2)?)
    }),
    ("every_machine_on_a_host_without_vhe_gicv3", |context| {
        boots::all(context, &without_vhe(3)?)
    }),
    ("every_machine_on_a_protected_hypervisor", |context| {
        boots::all(context, &protected()?)
    }),
];

fn all_features() -> Result<KvmHost> {
    Ok(host()?.cpu("max,pauth-impdef=on"))
}

/// A Cortex-A72, whose hypervisor at EL2 is apart from the kernel at EL1.
pub(super) fn without_vhe(gic: u8) -> Result<KvmHost> {
    Ok(host()?.cpu("cortex-a72").gic(gic))
}

fn protected() -> Result<KvmHost> {
    Ok(host()?.append("kvm-arm.mode=protected"))
}

/// Disks on MMIO and PCI, and memory that stays as it is.
fn boots(context: &Context, host: &KvmHost) -> Result<()> {
    let disk = context.disk(&bootable(context)?)?;
    let machine = context.machine();
    let watched = machine.clone().memory_mib(64).append("payload.watch=1");
    let mut cases = Cases::default();
    let two = machine.cpus(2).disk(disk.clone());
    cases.boots("MMIO, 2 CPUs", two, |report| {
        ensure!(report.number("cpus")? == 2, "{report:?}");
        at_el1(report)
    });
    for bus in [Bus::Mmio, Bus::Pci] {
        let machine = watched.clone().modern_transports();
        let machine = machine.disk(disk.clone().bus(bus));
        cases.boots(format!("{bus:?}, watched"), machine, |report| {
            let watched = report.number("watched")?;
            ensure!(watched > 60 << 20, "{watched} bytes watched");
            ensure!(report.get("changed_words")? == "0 from 0x0", "{report:?}");
            at_el1(report)
        });
    }
    cases.run(host, context)
}

fn at_el1(report: &Report) -> Result<()> {
    ensure!(report.number("el")? == 1, "{report:?}");
    Ok(())
}
