// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu boot`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use fwup::apply::{Observer, apply_to};
use fwup::language::Definitions;

use qemu_tests::demo::{Demo, Parts, kvm_host};
use qemu_tests::guests::{self, Identity, Kind};
use qemu_tests::harness::kvm_host::{Guest, KvmHost};
use qemu_tests::harness::machine::{Accelerator, Console, Disk, Machine};
use qemu_tests::harness::process;
use qemu_tests::paths;
use qemu_tests::setup::{self, Purpose};

use super::build;

/// Boot Linux on this terminal: build the loader and target/demo.img, and start QEMU with both
#[derive(Args)]
pub(crate) struct Arguments {
    /// Print the QEMU command instead of running it
    #[arg(long)]
    print: bool,
    /// A kernel instead of Debian's: an arm64 Image, raw, compressed, or EFI zboot. It needs
    /// virtio-blk and squashfs built in, or an initrd that has them
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// An initrd instead of the demo's [default with --kernel: none]
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// A root file system instead of the demo's: a squashfs, or a folder to make one from
    #[arg(long, value_name = "PATH")]
    rootfs: Option<PathBuf>,
    /// Your own disk image instead of the demo's
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "initrd", "rootfs"])]
    disk: Option<PathBuf>,
    /// A firmware archive (.fw): its task `complete` recreates the disk, target/fw.img
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "initrd", "rootfs", "disk"])]
    fw: Option<PathBuf>,
    /// A guest of a fleet: it answers on TCP port 4000, which the host has as 127.0.0.1:4000, updates
    /// itself, and keeps its data at /data
    #[arg(long, value_enum, conflicts_with_all = ["kernel", "initrd", "rootfs", "disk", "fw", "kvm_in_tcg", "net"])]
    guest: Option<GuestKind>,
    /// IEx instead of Erlang's shell
    #[arg(long, requires = "guest")]
    elixir: bool,
    /// The port of 127.0.0.1 that leads to the agent of --guest
    #[arg(long, value_name = "PORT", default_value_t = guests::PORT, requires = "guest")]
    agent_port: u16,
    /// Added to the kernel's command line, as QEMU's -append does
    #[arg(long, value_name = "ARGUMENTS")]
    append: Option<String>,
    /// The guest's memory in MiB, or with M or G appended [default: 256, and what it needs with --guest]
    #[arg(long, value_name = "SIZE", value_parser = mebibytes)]
    memory: Option<u32>,
    /// The guest's CPUs
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    smp: u8,
    /// The accelerator; auto uses a hypervisor if there is one
    #[arg(long, value_enum, default_value_t)]
    accel: Accel,
    /// Boot as a guest of a real KVM on any machine: on an arm64 host that QEMU emulates. Its start
    /// takes seconds, and the guest is several times slower than by emulation alone
    #[arg(long, conflicts_with_all = ["accel", "gdb", "net"])]
    kvm_in_tcg: bool,
    /// Wait for a debugger on TCP port 1234 before the first instruction
    #[arg(long)]
    gdb: bool,
    /// Give the guest a network card, connected through the host
    #[arg(long)]
    net: bool,
    #[command(flatten)]
    settings: build::Settings,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Accel {
    #[default]
    Auto,
    Kvm,
    Hvf,
    Tcg,
}

#[derive(Clone, Copy, ValueEnum)]
enum GuestKind {
    /// Erlang
    Erlang,
    /// A shell
    Linux,
}

/// The memory of a guest in MiB, unless another is asked for.
const MEMORY: u32 = 256;

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(kind) = arguments.kind()? {
        return boot_guest(arguments, kind);
    }
    let own = arguments.disk.is_some()
        || arguments.fw.is_some()
        || (arguments.kernel.is_some() && arguments.rootfs.is_some());
    setup::ensure(match (arguments.kvm_in_tcg, own) {
        (true, _) => Purpose::KvmHost,
        (false, true) => Purpose::BootOwn,
        (false, false) => Purpose::Boot,
    })?;
    let loader = build::loader(&arguments.settings)?;
    let disk = match (&arguments.disk, &arguments.fw) {
        (Some(disk), _) => disk.clone(),
        (None, Some(archive)) => firmware(archive)?,
        (None, None) => demo(arguments)?,
    };
    let disk = disk
        .canonicalize()
        .with_context(|| format!("cannot find the disk image {}", disk.display()))?;
    let guest = Machine::new(loader.elf).disk(Disk::new(disk));
    let machine = if arguments.kvm_in_tcg {
        in_emulated_host(arguments, guest)?
    } else {
        machine(arguments, guest, MEMORY)
    };
    run(arguments, &machine, "`poweroff` in the guest")
}

impl Arguments {
    /// Returns the kind of guest that --guest and --elixir ask for.
    fn kind(&self) -> Result<Option<Kind>> {
        Ok(match (self.guest, self.elixir) {
            (None, _) => None,
            (Some(GuestKind::Erlang), false) => Some(Kind::Erlang),
            (Some(GuestKind::Erlang), true) => Some(Kind::Elixir),
            (Some(GuestKind::Linux), false) => Some(Kind::Linux),
            (Some(GuestKind::Linux), true) => bail!("--elixir needs --guest erlang"),
        })
    }
}

/// Boots a guest of a fleet.
fn boot_guest(arguments: &Arguments, kind: Kind) -> Result<ExitCode> {
    setup::ensure(kind.purpose())?;
    let loader = build::loader(&arguments.settings)?;
    let image = guests::usual_image(kind)?;
    let identity = Identity::of(1).context("cannot read /dev/urandom")?;
    let guest =
        guests::machine(&loader.elf, kind, &identity, arguments.agent_port).disk(Disk::new(image));
    let end = match kind {
        Kind::Linux => "`poweroff` in the guest".to_owned(),
        Kind::Erlang => "`os:cmd(\"poweroff\").` in the guest".to_owned(),
        Kind::Elixir => "`:os.cmd('poweroff')` in the guest".to_owned(),
    };
    run(
        arguments,
        &machine(arguments, guest, kind.memory_mib()),
        &end,
    )
}

/// Starts a machine on this terminal, or prints its command.
fn run(arguments: &Arguments, machine: &Machine, end: &str) -> Result<ExitCode> {
    if arguments.print {
        println!("{}", machine.shell_line());
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.gdb {
        eprintln!("waiting for a debugger: gdb target/little-loader.elf -ex 'target remote :1234'");
    }
    eprintln!("booting; leave with {end}, or with Ctrl-A X");
    let status = process::start(&mut machine.command())?
        .wait()
        .context("cannot wait for QEMU")?;
    if !status.success() {
        bail!("QEMU ended with {status}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the demo image, created if it is missing or outdated.
fn demo(arguments: &Arguments) -> Result<PathBuf> {
    let parts = Parts {
        kernel: arguments.kernel.clone(),
        initrd: arguments.initrd.clone(),
        rootfs: arguments.rootfs.clone(),
    };
    Ok(Demo::make(&parts)?.image)
}

/// Applies an archive to a new image, which replaces the old one once it is complete.
fn firmware(archive: &Path) -> Result<PathBuf> {
    let image = paths::target().join("fw.img");
    let file = File::open(archive).with_context(|| format!("cannot open {}", archive.display()))?;
    let folder = paths::target();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let new = tempfile::Builder::new()
        .prefix(".fw-")
        .tempdir_in(&folder)
        .context("cannot make a folder beside the image")?;
    let made = new.path().join("fw.img");
    let environment = &mut Definitions::of_process();
    apply_to(file, &made, "complete", environment, &mut Messages)
        .with_context(|| format!("applying {}", archive.display()))?;
    fs::rename(&made, &image).with_context(|| format!("cannot make {}", image.display()))?;
    Ok(image)
}

/// Prints the messages of a task.
struct Messages;

impl Observer for Messages {
    fn progress(&mut self, _: u64, _: u64) {}

    fn info(&mut self, message: &str) {
        eprintln!("{message}");
    }
}

fn machine(arguments: &Arguments, machine: Machine, memory: u32) -> Machine {
    let accelerator = match arguments.accel {
        Accel::Auto => Accelerator::of_host(),
        Accel::Kvm => Accelerator::Kvm,
        Accel::Hvf => Accelerator::Hvf,
        Accel::Tcg => Accelerator::Tcg,
    };
    let mut machine = machine
        .console(Console::Terminal)
        .accelerator(accelerator)
        .memory_mib(arguments.memory.unwrap_or(memory))
        .cpus(arguments.smp);
    if let Some(append) = &arguments.append {
        machine = machine.append(append);
    }
    if arguments.net {
        machine = machine.network();
    }
    if arguments.gdb {
        machine = machine.arguments(["-s", "-S"]);
    }
    machine
}

/// Returns an emulated arm64 host that runs `guest` by KVM on its console.
fn in_emulated_host(arguments: &Arguments, guest: Machine) -> Result<Machine> {
    let memory = arguments.memory.unwrap_or(MEMORY);
    let mut guest = guest
        .console(Console::Terminal)
        .memory_mib(memory)
        .cpus(arguments.smp);
    if let Some(append) = &arguments.append {
        guest = guest.append(append);
    }
    let folder = paths::target().join("kvm-host");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let host = KvmHost::new(kvm_host::userland(None)?).memory_for(memory);
    Ok(host.interactive(&Guest::new("boot", guest), &folder)?)
}

/// Parses `512`, `512M` or `2G` as MiB.
fn mebibytes(text: &str) -> Result<u32, String> {
    let (digits, factor) = match text.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 1),
        None => text
            .strip_suffix(['G', 'g'])
            .map_or((text, 1), |digits| (digits, 1024)),
    };
    let size = digits
        .parse::<u32>()
        .ok()
        .and_then(|size| size.checked_mul(factor));
    size.filter(|size| *size > 0)
        .ok_or_else(|| "not a size such as 512, 512M or 2G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_memory() {
        assert_eq!(mebibytes("512"), Ok(512));
        assert_eq!(mebibytes("64M"), Ok(64));
        assert_eq!(mebibytes("8G"), Ok(8192));
        for bad in ["", "0", "G", "1.5G", "-1", "9999999G", "64K"] {
            assert!(mebibytes(bad).is_err(), "{bad}");
        }
    }
}
