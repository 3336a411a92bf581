// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks of every kind, attached in every way that QEMU's command line offers.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use imagegen::loader_elf::LoaderElf;
use imagegen::variables::Variables;
use little_loader_core::env::block::Format;
use little_loader_core::units::{Bytes, Lba};

use qemu_tests::demo::{Demo, Parts};
use qemu_tests::harness::machine::{Bus, Disk, Machine};
use qemu_tests::harness::process;
use qemu_tests::harness::report::Report;
use qemu_tests::scratch::{KERNEL_A, KERNEL_B, variable};

use crate::context::{Context, console_text, fatal, machine, report};
use crate::slots::{told, updated};
use crate::{Scenario, Test, named};

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 18] = [
        ("behind_a_root_port", |context| {
            let place = "pci@01:00.0";
            found_at(context, "highmem=on", Bus::PciRootPort, place)
        }),
        ("behind_a_root_port_without_high_memory", |context| {
            let place = "pci@01:00.0";
            found_at(context, "highmem=off", Bus::PciRootPort, place)
        }),
        ("behind_two_bridges", |context| {
            let place = "pci@02:03.0";
            found_at(context, "highmem=on", Bus::PciBridge, place)
        }),
        ("behind_a_switch", switch),
        ("more_ports_than_buses", out_of_buses),
        ("behind_an_expander_bridge", behind_an_expander),
        ("order_of_many_on_mmio_and_pci", many),
        ("more_on_pci_than_are_kept", too_many),
        ("linux_behind_a_root_port", |context| {
            linux(context, "highmem=on")
        }),
        ("linux_behind_a_root_port_without_high_memory", |context| {
            linux(context, "highmem=off")
        }),
        ("blocks_of_4096_bytes_on_mmio", |context| {
            large_blocks(context, Bus::Mmio)
        }),
        ("blocks_of_4096_bytes_on_pci", |context| {
            large_blocks(context, Bus::PciRootPort)
        }),
        ("kernel_within_a_block_of_4096_bytes", within_a_block),
        ("blocks_that_are_too_large", too_large_blocks),
        ("vhost_user", vhost_user),
        ("flush_without_an_answer", stalled_flush),
        ("second_copy_beyond_the_end", second_copy_beyond_the_end),
        ("env_lba_for_a_pair_is_refused", env_lba_for_a_pair),
    ];
    named("disks", tests)
}

/// Boots from a disk, which the loader must report at `place`.
fn found_at(context: &Context, highmem: &str, bus: Bus, place: &str) -> Result<()> {
    let machine = context.machine().machine_option(highmem);
    let serial = boot(&machine.disk(context.disk(&context.bootable()?)?.bus(bus)))?;
    ensure!(
        serial.contains(&format!("slot a: active, {place}\r\n")),
        "{serial}"
    );
    Ok(())
}

/// Boots from slot a to the end of the payload's report; returns the console's text.
fn boot(machine: &Machine) -> Result<String> {
    let serial = console_text(machine)?;
    let report = Report::parse(&serial).map_err(|error| anyhow::anyhow!("{error}\n{serial}"))?;
    ensure!(
        report.get("bootargs")?.starts_with("test.slot=a"),
        "{serial}"
    );
    Ok(serial)
}

/// A disk behind the second port of a switch. The ports are buses 3 and 4, behind buses 1 and 2.
fn switch(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    context.bootable()?.create(&image)?;
    let drive = format!("if=none,id=disk,format=raw,file={}", image.display());
    let machine = context.machine().arguments(["-drive", &drive]);
    let machine = [
        "pcie-root-port,id=root,chassis=1",
        "x3130-upstream,id=up,bus=root",
        "xio3130-downstream,id=left,bus=up,chassis=2,slot=0",
        "xio3130-downstream,id=right,bus=up,chassis=3,slot=1",
        "virtio-blk-pci,bus=right,drive=disk",
    ]
    .into_iter()
    .fold(machine, |machine, device| {
        machine.arguments(["-device", device])
    });
    let serial = boot(&machine)?;
    ensure!(
        serial.contains("slot a: active, pci@04:00.0\r\n"),
        "{serial}"
    );
    Ok(())
}

/// Without high memory there are 16 buses: a disk behind the 15th port is found, one behind the
/// 16th is not.
fn out_of_buses(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    context.bootable()?.create(&image)?;
    let drive = format!("if=none,id=disk,format=raw,file={}", image.display());
    let behind = |port: u8| {
        let machine = context.machine().machine_option("highmem=off");
        let machine = (1..=16).fold(machine, |machine, port| {
            let device = format!("pcie-root-port,id=port{port},chassis={port}");
            machine.arguments(["-device", &device])
        });
        let disk = format!("virtio-blk-pci,drive=disk,bus=port{port}");
        machine.arguments(["-drive", &drive, "-device", &disk])
    };
    let serial = boot(&behind(15))?;
    ensure!(
        serial.contains("slot a: active, pci@0f:00.0\r\n"),
        "{serial}"
    );
    let mut running = behind(16).start()?;
    running.expect("warning: the buses of 1 PCI bridges were not searched")?;
    let lines = fatal(running)?;
    ensure!(lines[0].starts_with("no block device: add"), "{lines:#?}");
    Ok(())
}

/// The loader does not search the buses of an expander bridge, and says so; it still finds a disk
/// on the first bus.
fn behind_an_expander(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    context.bootable()?.create(&image)?;
    let drive = format!(
        "if=none,id=expanded,format=raw,snapshot=on,file={}",
        image.display()
    );
    let machine = context.machine().arguments(["-drive", &drive]);
    let machine = [
        "pxb-pcie,id=expander,bus_nr=128,bus=pcie.0",
        "pcie-root-port,id=below,bus=expander,chassis=1",
        "virtio-blk-pci,bus=below,drive=expanded",
    ]
    .into_iter()
    .fold(machine, |machine, device| {
        machine.arguments(["-device", device])
    });
    let mut running = machine.start()?;
    running.expect(
        "warning: the buses of 1 PCI expander bridges (pxb-pcie) were not searched, since Linux finds them only \
         with ACPI: attach the disk to the first bus (bus=pcie.0)",
    )?;
    let lines = fatal(running)?;
    ensure!(lines[0].starts_with("no block device: add"), "{lines:#?}");

    let disk = Disk::new(&image).snapshot().bus(Bus::Pci);
    let serial = boot(&machine.disk(disk))?;
    ensure!(!serial.contains("expander"), "{serial}");
    Ok(())
}

/// Seven disks, only the last one with an environment: MMIO comes before PCI, and a disk behind a
/// port has the port's position.
fn many(context: &Context) -> Result<()> {
    let empty = context.path("empty.img");
    context.bootable()?.without_env().create(&empty)?;
    let good = context.disk(&context.bootable()?)?;
    let empty = Disk::new(empty).snapshot();
    let machine = [
        Bus::Pci,
        Bus::PciRootPort,
        Bus::Mmio,
        Bus::Pci,
        Bus::PciBridge,
        Bus::MmioAt(0),
    ]
    .into_iter()
    .fold(context.machine(), |machine, bus| {
        machine.disk(empty.clone().bus(bus))
    });
    let serial = boot(&machine.disk(good.bus(Bus::PciRootPort)))?;
    let places: Vec<_> = serial
        .lines()
        .filter(|line| line.starts_with("passed over ") || line.starts_with("slot a: active"))
        .filter_map(|line| line.split(' ').find(|word| word.contains('@')))
        .map(|word| word.trim_end_matches(':'))
        .collect();
    let expected = [
        "mmio@a003e00",
        "mmio@a000000",
        "pci@00:01.0",
        "pci@01:00.0",
        "pci@00:03.0",
        "pci@03:03.0",
        "pci@04:00.0",
    ];
    ensure!(places == expected, "{places:#?} is not {expected:#?}");
    Ok(())
}

/// 65 disks on PCI, functions of nine devices, none with an environment: the loader lists 32.
fn too_many(context: &Context) -> Result<()> {
    let empty = context.path("empty.img");
    fs::write(&empty, [0; 512])?;
    let mut machine = context.machine();
    for index in 0..65 {
        let drive = format!(
            "if=none,id=many{index},format=raw,snapshot=on,file={}",
            empty.display()
        );
        let (slot, function) = (index / 8 + 1, index % 8);
        let device =
            format!("virtio-blk-pci,drive=many{index},multifunction=on,addr={slot}.{function}");
        machine = machine.arguments(["-drive", &drive, "-device", &device]);
    }
    let lines = fatal(machine.start()?)?;
    ensure!(
        lines[0].starts_with("pci@00:01.0: ") && lines[31].starts_with("pci@00:04.7: "),
        "{lines:#?}"
    );
    ensure!(lines[32] == "and 33 more", "{lines:#?}");
    Ok(())
}

/// Debian's kernel finds its root file system on the disk from which the loader booted.
fn linux(context: &Context, highmem: &str) -> Result<()> {
    let demo = Demo::make_at(&Parts::default(), &context.path("demo"))?;
    let mut guest = context
        .machine()
        .machine_option(highmem)
        .memory_mib(256)
        .append("quiet")
        .disk(Disk::new(demo.image).bus(Bus::PciRootPort))
        .start()?;
    guest.expect("slot a: active, pci@01:00.0\r\n")?;
    guest.expect("booted from slot a (active) by Little Loader.")?;
    guest.expect("/ # ")?;
    guest.type_line("grep ' / ' /proc/mounts; readlink -f /sys/block/vda")?;
    guest.expect(" / squashfs ro")?;
    guest.expect("/0000:01:00.0/")?;
    guest.type_line("poweroff")?;
    guest.wait_for_exit()?;
    Ok(())
}

/// The loader counts a trial on a disk that accepts only whole blocks of 4096 bytes, and changes
/// nothing except the environment.
fn large_blocks(context: &Context, bus: Bus) -> Result<()> {
    let image = context.path("disk.img");
    updated(context)?.create(&image)?;
    let before = fs::read(&image)?;
    let disk = Disk::new(&image).bus(bus).block_size(4096);
    let told = told(&report(&context.machine().disk(disk))?)?;
    ensure!(told == "b trial 1", "{told}");
    ensure!(variable(&image, "bootcount")?.as_deref() == Some("1"));
    let after = fs::read(&image)?;
    let changed = |range: std::ops::Range<usize>| before[range.clone()] != after[range];
    // The checksum and one digit, both in the first sector.
    ensure!(changed(16 * 512..17 * 512) && !changed(0..16 * 512));
    ensure!(
        !changed(17 * 512..before.len()),
        "more than a sector changed"
    );
    Ok(())
}

/// Kernel, initrd and environment start and end within blocks.
fn within_a_block(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    let (kernel_a, kernel_b, initrd_at) = (KERNEL_A + 3, KERNEL_B + 7, 100_001);
    let payload = context.payload()?.append(100_000);
    let initrd = qemu_tests::harness::payload::pattern(70_000);
    let scratch = updated(context)?
        .env_at(1005, 128 << 10)
        .set("a.kernel_lba", kernel_a)
        .set("b.kernel_lba", kernel_b)
        .set("b.initrd_lba", initrd_at)
        .set("b.initrd_size", initrd.len())
        .write(kernel_a, payload.bytes())
        .write(kernel_b, payload.bytes())
        .write(initrd_at, &initrd);
    scratch.create(&image)?;
    let before = fs::read(&image)?;
    let machine = context
        .machine()
        .disk(Disk::new(&image).block_size(4096))
        .arguments(["-fw_cfg", "name=opt/org.little-loader/env-lba,string=1005"]);
    let report = report(&machine)?;
    ensure!(told(&report)? == "b trial 1", "{report:?}");
    let appended = qemu_tests::harness::payload::pattern(100_000);
    for (name, bytes) in [("appended_crc", &appended), ("initrd_crc", &initrd)] {
        let right = u64::from(crc32fast::hash(bytes));
        ensure!(report.number(name)? == right, "{name}: {report:?}");
    }
    let after = fs::read(&image)?;
    let differs: Vec<_> = (0..before.len() / 512)
        .filter(|lba| before[lba * 512..][..512] != after[lba * 512..][..512])
        .collect();
    ensure!(differs == [1005], "{differs:?}");
    Ok(())
}

fn too_large_blocks(context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?.block_size(8192);
    let lines = context.fatal(context.machine().disk(disk))?;
    ensure!(
        lines[0]
            == "mmio@a003e00: its blocks have 8192 bytes; 512, 1024, 2048 and 4096 can be used: set \
                logical_block_size to one of them",
        "{lines:#?}"
    );
    Ok(())
}

/// A disk served by another process, QEMU's `qemu-storage-daemon`, which reports a maximum segment
/// size of 0.
fn vhost_user(context: &Context) -> Result<()> {
    let (image, socket) = (context.path("disk.img"), context.path("socket"));
    context.bootable()?.create(&image)?;
    let blockdev = format!("driver=file,node-name=disk,filename={}", image.display());
    let export = format!(
        "type=vhost-user-blk,id=export,node-name=disk,writable=on,addr.type=unix,addr.path={}",
        socket.display()
    );
    let mut daemon = Command::new("qemu-storage-daemon");
    daemon.args(["--blockdev", &blockdev, "--export", &export]);
    let _daemon = Daemon(process::start(&mut daemon).context("package qemu-system-common")?);
    wait_for(&socket)?;
    let chardev = format!("socket,id=blocks,path={}", socket.display());
    let machine = context
        .machine()
        .machine_option("memory-backend=ram")
        .arguments(["-object", "memory-backend-memfd,id=ram,size=128M,share=on"])
        .arguments(["-chardev", &chardev])
        .arguments(["-device", "vhost-user-blk-pci,chardev=blocks"]);
    let serial = boot(&machine)?;
    ensure!(
        serial.contains("slot a: active, pci@00:01.0\r\n"),
        "{serial}"
    );
    Ok(())
}

/// A process that is killed at the end of the test.
struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a process listens on a socket. The file exists slightly earlier, when connections
/// are still refused.
fn wait_for(socket: &Path) -> Result<()> {
    // A flag in the fourth column of /proc/net/unix (Linux, include/linux/net.h, __SO_ACCEPTCON).
    const LISTENS: &str = "00010000";
    let path = socket.to_str().context("the socket's path is not text")?;
    let started = Instant::now();
    loop {
        let sockets = fs::read_to_string("/proc/net/unix").context("/proc/net/unix")?;
        let is_it =
            |line: &str| line.ends_with(path) && line.split_whitespace().nth(3) == Some(LISTENS);
        if sockets.lines().any(is_it) {
            return Ok(());
        }
        ensure!(
            started.elapsed() < Duration::from_secs(20),
            "no process listens on {path}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// QEMU never completes the flush of a trial's count, and completes the reset only after the flush,
/// so the warning is the last line. The time limit is that of a flush of 64 MiB.
fn stalled_flush(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    updated(context)?.create(&image)?;
    let socket = context.path("monitor");
    let monitor = format!(
        "socket,id=monitor,server=on,wait=on,path={}",
        socket.display()
    );
    let mut running = context
        .machine()
        .disk(Disk::new(format!("blkdebug::{}", image.display())))
        .arguments(["-S", "-icount", "shift=10,sleep=off"])
        .arguments(["-chardev", &monitor, "-mon", "monitor,mode=readline"])
        .start()?;
    wait_for(&socket)?;
    let mut monitor = UnixStream::connect(&socket)?;
    monitor.write_all(b"qemu-io disk0 \"break flush_to_disk held\"\ncont\n")?;
    running.expect(
        "little-loader: warning: the disk has not answered for 34 s and is reset; if nothing follows, the host's \
         storage hangs",
    )?;
    ensure!(!running.serial().contains("slot "), "{}", running.log());
    ensure!(variable(&image, "bootcount")?.as_deref() == Some("1"));
    Ok(())
}

/// Writes the shipped loader, changed to a redundant pair of 64 KiB each with the second copy at
/// block `second`; returns its path.
pub(crate) fn loader_with_pair(context: &Context, second: u64) -> Result<std::path::PathBuf> {
    let mut elf = LoaderElf::parse(fs::read(context.artifacts.loader())?)?;
    let mut settings = elf.settings()?;
    settings.env.size = Bytes(64 << 10);
    settings.env.redundant_lba = Some(Lba(second));
    elf.set_settings(settings)?;
    let path = context.path("pair.elf");
    fs::write(&path, elf.bytes())?;
    Ok(path)
}

/// A trial whose count would be written beyond the end of the disk is not booted, and the disk does
/// not change.
fn second_copy_beyond_the_end(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    let mut variables = Variables::new();
    for (name, value) in [
        ("nerves_fw_active", "b"),
        ("upgrade_available", "1"),
        ("bootcount", "0"),
        ("a.kernel_lba", "2048"),
        ("a.kernel_args", "test.slot=a"),
        ("b.kernel_lba", "65536"),
        ("b.kernel_args", "test.slot=b"),
    ] {
        variables.set(name, value);
    }
    let block = variables.to_block(64 << 10, Format::Redundant, 1)?;
    context
        .bootable()?
        .without_env()
        .write(16, &block)
        .create(&image)?;
    let before = fs::read(&image)?;
    // The disk ends at block 131072, in the middle of the copy.
    let loader = loader_with_pair(context, 131_000)?;
    let serial = boot(&machine(&loader).disk(Disk::new(&image)))?;
    for message in [
        "warning: environment copy at block 131000: the environment at block 131000 with 128 blocks ends beyond the disk, \
         which has 131072 blocks; nothing can be recorded: enlarge the disk",
        "warning: slot b: trial cannot be counted: the environment at block 131000 with 128 blocks ends beyond the disk, \
         which has 131072 blocks; trying the other slot",
    ] {
        ensure!(serial.contains(message), "{message:?} is not in:\n{serial}");
    }
    ensure!(fs::read(&image)? == before, "the disk was written to");
    Ok(())
}

/// An override cannot move one of two copies. The error for an invalid block number names the
/// command line, not the built-in settings.
fn env_lba_for_a_pair(context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    let fw_cfg = |loader: &Path, lba: u64| {
        let file = format!("name=opt/org.little-loader/env-lba,string={lba}");
        let machine = machine(loader).disk(disk.clone());
        context.fatal(machine.arguments(["-fw_cfg", &file]))
    };
    let lines = fw_cfg(&loader_with_pair(context, 144)?, 1000)?;
    ensure!(
        lines
            == [
                "-fw_cfg: opt/org.little-loader/env-lba cannot move an environment with a second copy (at block 144): \
                 leave it out and use imagegen loader --set"
            ],
        "{lines:#?}"
    );
    let lines = fw_cfg(&context.artifacts.loader(), u64::MAX)?;
    ensure!(
        lines
            == [
                "-fw_cfg: opt/org.little-loader/env-lba: the environment at block 18446744073709551615 would end past the \
                 largest block number"
            ],
        "{lines:#?}"
    );
    Ok(())
}
