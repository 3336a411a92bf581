// SPDX-License-Identifier: MIT OR Apache-2.0

//! The figures and their limits. The C loader's figures are those of little_loader, built by its
//! Makefile, on QEMU 7.2.

use std::env;
use std::path::Path;

use anyhow::Result;
use imagegen::disk::DEFAULT_ARGS;

use qemu_tests::bench::accesses::accesses;
use qemu_tests::bench::budget::{Amount, Row};
use qemu_tests::bench::disks;
use qemu_tests::bench::firmware::{self, Imagegen};
use qemu_tests::bench::instructions::instructions_within;
use qemu_tests::bench::linux::{self, memory_total};
use qemu_tests::bench::touched::touched;
use qemu_tests::bench::versus_fwup;
use qemu_tests::build::read_elf;
use qemu_tests::demo::{Demo, Parts};
use qemu_tests::harness::machine::{Bus, Disk, Machine};

use super::exits;
use super::workbench::Bench;

/// The limit of the ELF's loaded size, in bytes.
const LOADED: u64 = 76 << 10;

/// The limit of the RAM touched outside of DTB and kernel, in KiB.
const TOUCHED: u64 = 260;

/// The limit of instructions from reset to the first of a tiny kernel.
const BOOT_INSTRUCTIONS: u64 = 400_000;

/// The limit of instructions for passing over a disk whose environment cannot be repaired.
const IRREPARABLE: u64 = 1_000_000;

/// The memory that Linux must gain by the packed device tree, compared with a boot without the
/// loader, in kB: of QEMU's 1 MiB, the tree fills two pages.
const GAIN: u64 = 1000;

/// The number of times that each boot of Linux is timed.
const ROUNDS: usize = 15;

/// Measures all figures; `gates_only` omits those that depend on the host.
pub(super) fn rows(bench: &Bench, gates_only: bool) -> Result<Vec<Row>> {
    let mut rows = loader(bench)?;
    rows.extend(exits::rows(bench)?);
    let demo = Demo::make(&Parts::default())?;
    rows.push(memory(bench, &demo)?);
    rows.extend(firmware(bench, &demo, gates_only)?);
    if !gates_only {
        rows.extend(linux(bench, &demo)?);
        rows.extend(versus_fwup(bench, &demo)?);
    }
    Ok(rows)
}

fn loader(bench: &Bench) -> Result<Vec<Row>> {
    let machine = bench.machine(Bus::Mmio)?;
    let boot = instructions_within(&machine, BOOT_INSTRUCTIONS)?;
    let passed_over = Machine::new(&bench.loader.elf)
        .disk(disks::irreparable(bench.folder())?)
        .disk(disks::bootable(bench.payload.bytes(), bench.folder())?);
    let passed_over = instructions_within(&passed_over, boot + IRREPARABLE)?;
    let passed_over = passed_over.saturating_sub(boot);
    let touched = touched(&machine, bench.payload.bytes().len() as u64, bench.folder())?;
    let last = accesses(&machine, bench.folder())?;
    let first = accesses(&bench.machine(Bus::MmioAt(0))?, bench.folder())?;
    let pci = accesses(&bench.machine(Bus::Pci)?, bench.folder())?;
    let size = read_elf(&bench.loader.elf)?.loaded();
    let both = |amount| (Amount::Count(amount), Amount::Count(amount));
    let c = |row: Row, (least, most)| row.c_loader(least, most);
    let c_accesses = (Amount::Count(155), Amount::Count(193));
    Ok(vec![
        c(
            Row::at_most(
                "instructions to a tiny kernel's first",
                boot,
                BOOT_INSTRUCTIONS,
            )
            .how(
                "QEMU's icount at entry; the least of 12 runs or more, seen three times or of 100",
            ),
            both(17_900_000),
        ),
        Row::at_most(
            "more instructions for a disk with a bad environment before it",
            passed_over,
            IRREPARABLE,
        )
        .how("the same; 128 KiB with a wrong CRC that no torn write of the loader explains"),
        c(
            Row::at_most("MMIO accesses, disk on the last transport", last.others, 45)
                .how("QEMU's trace of memory_region_ops, without bytes printed; the least of 3"),
            c_accesses,
        ),
        c(
            Row::at_most(
                "MMIO accesses, disk on the first transport",
                first.others,
                80,
            )
            .how("the same; the C loader looks at one transport only"),
            c_accesses,
        ),
        Row::at_most("MMIO accesses, disk by PCI", pci.others, 140)
            .how("the same; the C loader has no PCI"),
        c(
            Row::at_most("bytes printed", last.printed, 80).how("the same trace"),
            (Amount::Count(129), Amount::Count(177)),
        ),
        Row::at_most(
            "2 MiB blocks touched, other than DTB's and kernel's",
            touched.other_blocks() as u64,
            0,
        )
        .how("RAM in a sparse file on tmpfs: everything that is not a hole when the payload runs"),
        c(
            Row::at_most(
                "RAM touched, other than DTB and kernel",
                touched.other_kib(),
                TOUCHED,
            )
            .unit("KiB")
            .how("the same, less QEMU's 1 MiB for the DTB and the payload's own pages"),
            both(1216 - 1024),
        ),
        c(
            Row::at_most("loaded size of the ELF", size, LOADED)
                .unit("bytes")
                .how("the size of its segments in the file"),
            both(44_400),
        ),
    ])
}

/// Linux's memory out of 110 MiB, started by the loader and by QEMU itself.
///
/// The command line has `cma=0`: Debian's kernel reserves 64 contiguous MiB for devices if it finds
/// them, and too little is left to reach the shell. It finds them after a boot by the loader, which
/// puts everything at the start of RAM; QEMU puts the initrd in the middle.
fn memory(bench: &Bench, demo: &Demo) -> Result<Row> {
    let [loaded, direct] = guests(bench, demo, 110, "cma=0");
    let (loaded, direct) = (memory_total(&loaded)?, memory_total(&direct)?);
    Ok(
        Row::at_least("MemTotal of Debian in 110 MiB", loaded, direct + GAIN)
            .unit("kB")
            .how("its /proc/meminfo; at least 1,000 more than without a loader, which the C loader equals")
            .c_loader(Amount::Count(direct), Amount::Count(direct)),
    )
}

/// Returns machines that start the demo by the loader, and by QEMU itself from the same files.
pub(super) fn guests(bench: &Bench, demo: &Demo, memory_mib: u32, append: &str) -> [Machine; 2] {
    let disk = Disk::new(&demo.image).snapshot();
    let guest = |machine: Machine| machine.memory_mib(memory_mib).disk(disk.clone());
    let loaded = guest(Machine::new(&bench.loader.elf)).append(append);
    let arguments = format!("root=/dev/vda1 {DEFAULT_ARGS} {append}");
    let mut direct = guest(Machine::new(&demo.kernel)).append(&arguments);
    if let Some(initrd) = &demo.initrd {
        direct = direct.initrd(initrd);
    }
    [loaded, direct]
}

#[expect(
    clippy::cast_precision_loss,
    reason = "KiB of a process are far below 2^52"
)]
fn linux(bench: &Bench, demo: &Demo) -> Result<Vec<Row>> {
    let [loaded, direct] = guests(bench, demo, 256, "");
    let [loaded, direct] = linux::boots([&loaded, &direct], ROUNDS)?;
    let time = loaded.time.as_secs_f64() / direct.time.as_secs_f64();
    let mut rows = vec![
        Row::ratio("time to userspace, relative to -kernel Image", time, 1.03)
            .how("Debian in 256 MiB, to the demo's shell; medians of 15, in turn")
            .c_loader(Amount::Ratio(1.0), Amount::Ratio(1.11)),
    ];
    if let (Some(loaded), Some(direct)) = (loaded.peak_kib, direct.peak_kib) {
        let memory = loaded as f64 / direct.max(1) as f64;
        rows.push(
            Row::ratio(
                "QEMU's peak memory, relative to -kernel Image",
                memory,
                0.94,
            )
            .how("VmHWM then, the same runs")
            .c_loader(Amount::Ratio(0.94), Amount::Ratio(0.94)),
        );
    }
    Ok(rows)
}

/// Measures firmware archives. The limits hold for a release build on two cores of an x86-64
/// machine.
fn firmware(bench: &Bench, demo: &Demo, gates_only: bool) -> Result<Vec<Row>> {
    let imagegen = Imagegen::build(!gates_only)?;
    let size = imagegen.archive_size(&demo.kernel, bench.folder())?;
    let mut rows = vec![
        Row::at_most(
            "archive of Debian's kernel",
            size,
            firmware::gzip_size(&demo.kernel)?,
        )
        .unit("bytes")
        .how("the file that imagegen pack makes; at most what gzip -9 makes of the kernel"),
    ];
    if gates_only {
        return Ok(rows);
    }
    let costs = imagegen.measure(&demo.kernel, bench.folder())?;
    let milliseconds =
        |cost: firmware::FwupCost| cost.time.as_millis().try_into().unwrap_or(u64::MAX);
    let time = |what, cost, limit| {
        Row::at_most(what, milliseconds(cost), limit)
            .unit("ms")
            .how("a release build, the least of 5")
            .shown_only()
    };
    let memory = |what, cost: firmware::FwupCost| {
        cost.memory_kib.map(|found| {
            Row::at_most(what, found, 96 << 10)
                .unit("KiB")
                .how("its VmHWM, read each millisecond")
                .shown_only()
        })
    };
    rows.extend([
        time("imagegen pack, that kernel", costs.pack, 1000),
        time("imagegen apply, that archive", costs.apply, 120),
    ]);
    rows.extend(memory("peak memory of imagegen pack", costs.pack));
    rows.extend(memory("peak memory of imagegen apply", costs.apply));
    Ok(rows)
}

/// The limits of the time and of the peak memory of each command, relative to the original fwup.
const VERSUS: [(&str, [&str; 2], [f64; 2]); 8] = [
    (
        "pack",
        ["fwup: pack, time", "fwup: pack, peak memory"],
        [0.25, 2.0],
    ),
    (
        "apply",
        ["fwup: apply, time", "fwup: apply, peak memory"],
        [0.5, 1.0],
    ),
    (
        "upgrade",
        ["fwup: upgrade, time", "fwup: upgrade, peak memory"],
        [0.6, 1.0],
    ),
    (
        "metadata",
        ["fwup: metadata, time", "fwup: metadata, peak memory"],
        [0.6, 1.0],
    ),
    (
        "pack 250 small files",
        [
            "fwup: pack 250 small files, time",
            "fwup: pack 250 small files, peak memory",
        ],
        [1.0, 2.0],
    ),
    (
        "apply 250 small files",
        [
            "fwup: apply 250 small files, time",
            "fwup: apply 250 small files, peak memory",
        ],
        [1.0, 1.0],
    ),
    (
        "write 30 MB to FAT",
        [
            "fwup: write 30 MB to FAT, time",
            "fwup: write 30 MB to FAT, peak memory",
        ],
        [1.0, 1.0],
    ),
    (
        "apply a delta",
        [
            "fwup: apply a delta, time",
            "fwup: apply a delta, peak memory",
        ],
        [1.0, 1.0],
    ),
];

/// Compares our fwup with the original, if the variable says where it is.
fn versus_fwup(bench: &Bench, demo: &Demo) -> Result<Vec<Row>> {
    let Some(original) = env::var_os(versus_fwup::ORIGINAL) else {
        return Ok(Vec::new());
    };
    let (figures, size) = versus_fwup::measure(Path::new(&original), &demo.kernel, bench.folder())?;
    let mut rows = vec![
        Row::ratio("size of an archive, relative to fwup's", size, 1.0)
            .how("a kernel and 30 MB, at the default level of each"),
    ];
    for (what, [time_row, memory_row], [time, memory]) in VERSUS {
        for figure in figures.iter().filter(|figure| figure.what == what) {
            rows.push(
                Row::ratio(time_row, figure.time, time)
                    .how("relative to the original, the least of 5, in turn"),
            );
            rows.extend(figure.memory.map(|found| {
                Row::ratio(memory_row, found, memory)
                    .how("relative to the original, VmHWM read each millisecond")
            }));
        }
    }
    Ok(rows)
}
