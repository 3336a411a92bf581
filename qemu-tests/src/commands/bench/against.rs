// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench --against`: other ways to boot the same kernels.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use qemu_tests::bench::against::{self, EARLY_CONSOLE, Way, WayCost};
use qemu_tests::bench::budget::grouped;
use qemu_tests::bench::svg::{self, Bar, Panel};
use qemu_tests::bench::{host, page};
use qemu_tests::build::read_elf;
use qemu_tests::demo::{Demo, Parts};
use qemu_tests::harness::machine::{Bus, Disk, Machine};
use qemu_tests::paths;
use qemu_tests::scratch::{KERNEL_A, Scratch, variable};
use qemu_tests::setup::debian::assets::Asset;

use super::measure;
use super::results::{keep, keep_image};
use super::workbench::Bench;

/// The number of times that each boot is timed.
const ROUNDS: usize = 9;

/// The first line of the test payload.
const PAYLOAD: &str = "payload: ";
/// The first line of Linux when EDK2 starts it as a program.
const EFI_STUB: &str = "EFI stub: ";

/// The RAM of all guests, in MiB.
const MEMORY: u32 = 256;

/// The size of U-Boot's environment, at the start of the second flash (`CONFIG_ENV_ADDR`,
/// `CONFIG_ENV_SIZE` of qemu_arm64_defconfig).
const U_BOOT_ENV_SIZE: usize = 0x4_0000;
/// The size of QEMU's flash, 64 MiB, in blocks of 512 bytes.
const FLASH_BLOCKS: u64 = (64 << 20) / 512;
/// The addresses at which U-Boot loads kernel and initrd; they overlap neither each other nor
/// U-Boot.
const KERNEL_AT: u64 = 0x4020_0000;
const INITRD_AT: u64 = 0x4600_0000;
/// The address at which QEMU puts the device tree for firmware.
const DTB_AT: u64 = 0x4000_0000;

pub(super) fn main(bench: &Bench, json: bool, draw: bool) -> Result<ExitCode> {
    let demo = Demo::make(&Parts::default())?;
    let ways = [
        loader(bench, &demo)?,
        qemu(bench, &demo)?,
        u_boot(bench, &demo)?,
        edk2(bench, &demo)?,
    ];
    let costs = against::measure(&ways, ROUNDS, bench.folder())?;
    let text = keep("bench-against.json", &costs)?;
    if json {
        println!("{text}");
    } else {
        print!("{}", markdown(&costs));
    }
    if draw {
        let cache = paths::cache();
        let packages = [Asset::UBoot, Asset::Edk2].map(|asset| asset.describe(&cache));
        let packages: Vec<String> = packages.into_iter().flatten().collect();
        let caption = format!("{} {}.", host::describe()?, packages.join(", "));
        let part = format!(
            "![Bars of the figures in the table](images/ways.svg)\n\n{caption}\n\n{}",
            markdown(&costs)
        );
        page::draw(&page::benchmarks(), "ways", &part)?;
        let picture = svg::draw(&format!("Ways to boot. {caption}"), &panels(&costs));
        keep_image("ways.svg", &picture)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn loader(bench: &Bench, demo: &Demo) -> Result<Way> {
    let [linux, _] = measure::guests(bench, demo, MEMORY, EARLY_CONSOLE);
    Ok(Way {
        name: "Little Loader",
        kernel: bench.machine(Bus::Mmio)?.memory_mib(MEMORY),
        first: PAYLOAD,
        is_payload: true,
        kernel_size: payload_size(bench),
        linux,
        size: read_elf(&bench.loader.elf)?.loaded(),
    })
}

/// The lower bound: QEMU puts the kernel into memory before the guest starts.
fn qemu(bench: &Bench, demo: &Demo) -> Result<Way> {
    let [_, linux] = measure::guests(bench, demo, MEMORY, EARLY_CONSOLE);
    let image = bench.folder().join("payload.img");
    Ok(Way {
        name: "QEMU's -kernel",
        kernel: Machine::new(image).memory_mib(MEMORY),
        first: PAYLOAD,
        is_payload: true,
        kernel_size: payload_size(bench),
        linux,
        size: 0,
    })
}

/// U-Boot reads the same kernel from the same blocks of the same disk. For the fastest possible
/// boot, its environment disables the boot delay and the relocation of initrd and device tree.
fn u_boot(bench: &Bench, demo: &Demo) -> Result<Way> {
    let firmware = Asset::UBoot.file("u-boot.bin", &paths::cache());
    let machine = |name: &str, command: &str, arguments: &str, disk: Disk| -> Result<Machine> {
        let flash = bench.folder().join(name);
        Scratch::empty()
            .env_at(0, U_BOOT_ENV_SIZE)
            .blocks(FLASH_BLOCKS)
            .set("bootdelay", "-2")
            .set("bootcmd", command)
            .set("bootargs", arguments)
            .set("fdt_high", "0xffffffffffffffff")
            .set("initrd_high", "0xffffffffffffffff")
            .create(&flash)?;
        let drive = format!("if=pflash,unit=1,format=raw,file={}", flash.display());
        Ok(Machine::with_firmware(&firmware)
            .memory_mib(MEMORY)
            .arguments(["-drive", &drive])
            .disk(disk))
    };
    let read = |to: u64, lba: u64, bytes: u64| {
        format!("virtio read {to:#x} {lba:#x} {:#x}", bytes.div_ceil(512))
    };

    let payload = bench.payload.bytes();
    let command = format!(
        "{}; booti {KERNEL_AT:#x} - {DTB_AT:#x}",
        read(KERNEL_AT, KERNEL_A, payload.len() as u64)
    );
    let disk = qemu_tests::bench::disks::bootable(payload, bench.folder())?;
    let kernel = machine("payload.flash", &command, "test.slot=a", disk)?;

    let setting = |name: &str| -> Result<String> {
        variable(&demo.image, name)?.with_context(|| format!("the demo's disk has no {name}"))
    };
    let size = setting("a.initrd_size")?.parse()?;
    let command = format!(
        "{}; {}; booti {KERNEL_AT:#x} {INITRD_AT:#x}:{size:x} {DTB_AT:#x}",
        read(
            KERNEL_AT,
            setting("a.kernel_lba")?.parse()?,
            file_size(&demo.kernel)?
        ),
        read(INITRD_AT, setting("a.initrd_lba")?.parse()?, size),
    );
    let disk = Disk::new(&demo.image).snapshot();
    let arguments = format!("{} {EARLY_CONSOLE}", setting("a.kernel_args")?);
    let linux = machine("linux.flash", &command, &arguments, disk)?;
    Ok(Way {
        name: "U-Boot",
        kernel,
        first: PAYLOAD,
        is_payload: true,
        kernel_size: payload_size(bench),
        linux,
        size: file_size(&firmware)?,
    })
}

/// EDK2 gets kernel and initrd from QEMU's fw_cfg, its fastest boot method. The payload is not an
/// EFI program, so all figures are for Linux.
fn edk2(bench: &Bench, demo: &Demo) -> Result<Way> {
    let firmware = Asset::Edk2.file("QEMU_EFI.fd", &paths::cache());
    let [_, direct] = measure::guests(bench, demo, MEMORY, EARLY_CONSOLE);
    let linux = direct.arguments(["-bios".into(), firmware.clone().into_os_string()]);
    let initrd = demo.initrd.as_deref().map_or(Ok(0), file_size)?;
    Ok(Way {
        name: "EDK2, by fw_cfg",
        kernel: linux.clone(),
        first: EFI_STUB,
        is_payload: false,
        kernel_size: file_size(&demo.kernel)? + initrd,
        linux,
        size: file_size(&firmware)?,
    })
}

fn payload_size(bench: &Bench) -> u64 {
    // The payload occupies whole pages.
    (bench.payload.bytes().len() as u64).next_multiple_of(4096)
}

fn file_size(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot use {}", path.display()))?;
    Ok(metadata.len())
}

/// A figure of the comparison: its title and how to get it.
type Column = (&'static str, fn(&WayCost) -> Option<u64>);

const COLUMNS: [Column; 7] = [
    ("to the payload's first byte, ms", |cost| cost.payload_ms),
    ("to Linux's first line, ms", |cost| Some(cost.linux_ms)),
    ("to userspace, ms", |cost| Some(cost.userspace_ms)),
    ("MMIO accesses", |cost| Some(cost.accesses)),
    ("RAM touched, KiB", |cost| Some(cost.touched_kib)),
    ("QEMU's peak memory, KiB", |cost| cost.peak_kib),
    ("size, bytes", |cost| Some(cost.size)),
];

fn shown(figure: Option<u64>) -> String {
    figure.map_or_else(|| "–".to_owned(), grouped)
}

fn markdown(costs: &[WayCost]) -> String {
    let mut text = "| |".to_owned();
    for (title, _) in COLUMNS {
        // Writing to a string cannot fail.
        let _ = write!(text, " {title} |");
    }
    text += "\n| --- |";
    text += &" ---: |".repeat(COLUMNS.len());
    for cost in costs {
        let _ = write!(text, "\n| {} |", cost.name);
        for (_, of) in COLUMNS {
            let _ = write!(text, " {} |", shown(of(cost)));
        }
    }
    text + "\n"
}

#[expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]
fn panels(costs: &[WayCost]) -> Vec<Panel> {
    let panel = |(title, of): Column| Panel {
        title: title.to_owned(),
        bars: costs
            .iter()
            .enumerate()
            .map(|(index, cost)| Bar {
                label: cost.name.to_owned(),
                value: of(cost).map(|figure| figure as f64),
                text: shown(of(cost)),
                ours: index == 0,
            })
            .collect(),
        limit: None,
    };
    COLUMNS.into_iter().map(panel).collect()
}
