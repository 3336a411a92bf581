// SPDX-License-Identifier: MIT OR Apache-2.0

//! The payload boots on all kinds of machines, and finds the state that Linux requires.

use anyhow::{Context as _, Result, ensure};

use qemu_tests::harness::machine::{Bus, Disk, Machine};
use qemu_tests::harness::payload::pattern;
use qemu_tests::harness::report::Report;
use qemu_tests::scratch::KERNEL_A;

use crate::context::{Context, console_text, machine, report};
use crate::levels;
use crate::{Scenario, Test, named};

/// The first block of the initrd.
const INITRD: u64 = 100_000;

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 20] = [
        ("boots_by_elf", |context| {
            boots(context, |machine| machine).map(drop)
        }),
        ("boots_by_flat_binary", flat_binary),
        ("boots_a_dev_build", |context| {
            boots_with(context, &machine(&context.artifacts.dev_loader())).map(drop)
        }),
        ("boots_a_trace_build", trace_build),
        ("slot_b_when_it_is_active", slot_b),
        ("modern_transport", |context| {
            boots(context, Machine::modern_transports).map(drop)
        }),
        ("first_transport_legacy", |context| {
            first_transport(context, |machine| machine)
        }),
        ("first_transport_modern", |context| {
            first_transport(context, Machine::modern_transports)
        }),
        ("disk_on_pci", |context| on_pci(context, "highmem=on")),
        ("disk_on_pci_without_high_memory", |context| {
            on_pci(context, "highmem=off")
        }),
        ("behind_a_disk_without_environment", second_disk),
        ("memory_from_64_mib_to_8_gib", memory),
        ("cpus_of_all_kinds", cpus),
        ("several_cpus", |context| {
            let report = boots(context, |machine| machine.cpus(4))?;
            ensure!(report.number("cpus")? == 4, "{report:?}");
            Ok(())
        }),
        (
            "long_kernel_and_initrd_arrive_whole",
            long_kernel_and_initrd,
        ),
        ("entered_at_el2_with_one_cpu_goes_to_el1", |context| {
            levels::entered(context, &["virtualization=on"], 1, 1, report)
        }),
        ("entered_at_el2_with_several_cpus_stays_there", |context| {
            levels::entered(context, &["virtualization=on"], 4, 2, report)
        }),
        ("append_is_joined_behind_kernel_args", append),
        ("boots_again_after_a_reset", reset),
        ("console_is_short", console),
    ];
    named("payload", tests)
}

/// Tests of all combinations of CPU, transport and memory size.
pub(crate) fn long_tests() -> Vec<Test> {
    vec![("payload::every_combination".to_owned(), every_combination)]
}

/// Boots from slot a with the loader as shipped, on a machine changed by `change`.
fn boots(context: &Context, change: impl FnOnce(Machine) -> Machine) -> Result<Report> {
    boots_with(context, &change(context.machine()))
}

/// Boots from slot a on `machine`, which has no disk yet.
fn boots_with(context: &Context, machine: &Machine) -> Result<Report> {
    let disk = context.disk(&context.bootable()?)?;
    let report = report(&machine.clone().disk(disk))?;
    ensure!(
        report.get("bootargs")?.starts_with("test.slot=a"),
        "not slot a: {report:?}"
    );
    ensure!(report.number("el")? == 1, "{report:?}");
    Ok(report)
}

fn flat_binary(context: &Context) -> Result<()> {
    boots_with(context, &machine(&context.artifacts.flat_loader())).map(drop)
}

fn trace_build(context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    let mut running = machine(&context.artifacts.trace_loader())
        .disk(disk)
        .start()?;
    for step in ["trace: ", "command line: test.slot=a", "payload: done"] {
        running.expect(step)?;
    }
    running.wait_for_exit()?;
    Ok(())
}

fn slot_b(context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?.set("nerves_fw_active", "b"))?;
    let report = report(&context.machine().disk(disk))?;
    ensure!(report.get("bootargs")? == "test.slot=b", "{report:?}");
    Ok(())
}

fn first_transport(context: &Context, change: fn(Machine) -> Machine) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?.bus(Bus::MmioAt(0));
    let report = report(&change(context.machine()).disk(disk))?;
    ensure!(report.get("bootargs")? == "test.slot=a", "{report:?}");
    Ok(())
}

fn second_disk(context: &Context) -> Result<()> {
    let other = context.path("other.img");
    context.bootable()?.without_env().create(&other)?;
    let disk = context.disk(&context.bootable()?)?;
    let mut running = context
        .machine()
        .disk(Disk::new(other))
        .disk(disk)
        .start()?;
    running.expect("passed over ")?;
    running.expect("payload: done")?;
    running.wait_for_exit()?;
    Ok(())
}

fn memory(context: &Context) -> Result<()> {
    for mib in [64, 65, 128, 1024, 3072, 4096, 8192] {
        let report = boots(context, |machine| machine.memory_mib(mib))
            .with_context(|| format!("{mib} MiB"))?;
        ensure!(
            report.number("ram")? == u64::from(mib) << 20,
            "{mib} MiB: {report:?}"
        );
    }
    Ok(())
}

/// QEMU's models of common CPUs, from the oldest 64-bit core to all features that QEMU can emulate.
pub(crate) const CPUS: [&str; 6] = [
    "cortex-a53",
    "cortex-a57",
    "cortex-a72",
    "cortex-a76",
    "neoverse-n1",
    "max",
];

fn cpus(context: &Context) -> Result<()> {
    for cpu in CPUS {
        boots(context, |machine| machine.cpu(cpu)).with_context(|| cpu.to_owned())?;
    }
    Ok(())
}

/// Lengths that are not multiples of a block, so that the last block is used in part.
fn long_kernel_and_initrd(context: &Context) -> Result<()> {
    let length = (12 << 20) + 123;
    let initrd = pattern((5 << 20) + 77);
    let payload = context.payload()?.append(length);
    let scratch = context
        .bootable()?
        .write(KERNEL_A, payload.bytes())
        .set("a.initrd_lba", INITRD)
        .set("a.initrd_size", initrd.len())
        .write(INITRD, &initrd);
    let disk = context.disk(&scratch)?;
    for mib in [64, 512] {
        let report = report(&context.machine().memory_mib(mib).disk(disk.clone()))?;
        ensure!(report.number("appended")? == length as u64, "{report:?}");
        let appended = pattern(length);
        for (name, bytes) in [("appended_crc", &appended), ("initrd_crc", &initrd)] {
            let right = crc32fast::hash(bytes);
            ensure!(
                report.number(name)? == u64::from(right),
                "{name} is not {right:#010x}: {report:?}"
            );
        }
    }
    Ok(())
}

fn append(context: &Context) -> Result<()> {
    let report = boots(context, |machine| machine.append("from=qemu quiet"))?;
    ensure!(
        report.get("bootargs")? == "test.slot=a from=qemu quiet",
        "{report:?}"
    );
    Ok(())
}

fn reset(context: &Context) -> Result<()> {
    let scratch = context
        .bootable()?
        .set("a.kernel_args", "test.slot=a payload.end=reset");
    let disk = context.disk(&scratch)?;
    for loader in [context.artifacts.loader(), context.artifacts.flat_loader()] {
        let mut running = machine(&loader).disk(disk.clone()).start()?;
        for _boot in 0..3 {
            running.expect("little-loader ")?;
            running.expect("payload: done")?;
        }
        let serial = running.serial();
        Report::parse(&serial).with_context(|| running.log().to_string())?;
    }
    Ok(())
}

fn console(context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    let serial = console_text(&context.machine().disk(disk))?;
    let said = serial.split("payload: ").next().unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let expected =
        format!("little-loader {version}\r\nslot a: active, mmio@a003e00\r\nkernel at EL1\r\n");
    ensure!(said == expected, "{said:?} is not {expected:?}");
    Ok(())
}

fn every_combination(context: &Context) -> Result<()> {
    for cpu in CPUS {
        for bus in [Bus::Mmio, Bus::MmioAt(0), Bus::MmioAt(17)] {
            for modern in [false, true] {
                for mib in [64, 256, 2048, 8192] {
                    let disk = context.disk(&context.bootable()?)?.bus(bus);
                    let machine = context.machine().cpu(cpu).memory_mib(mib).disk(disk);
                    let machine = if modern {
                        machine.modern_transports()
                    } else {
                        machine
                    };
                    report(&machine)
                        .with_context(|| format!("{cpu}, {bus:?}, modern {modern}, {mib} MiB"))?;
                }
            }
        }
    }
    Ok(())
}

/// Disks on PCI, whose registers the loader has to place itself. The configuration space is above
/// or below 4 GiB.
fn on_pci(context: &Context, highmem: &str) -> Result<()> {
    let image = context.path("disk.img");
    context.bootable()?.create(&image)?;
    let empty = context.path("empty.img");
    context.bootable()?.without_env().create(&empty)?;
    let machine = context
        .machine()
        .machine_option(highmem)
        .disk(Disk::new(&empty).bus(Bus::Pci))
        .disk(Disk::new(&image).bus(Bus::Pci));
    let serial = console_text(&machine)?;
    Report::parse(&serial)?;
    ensure!(
        serial.contains("passed over pci@00:01.0: environment at block 16: bad CRC")
            && serial.contains("slot a: active, pci@00:02.0"),
        "{serial}"
    );
    Ok(())
}
