// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's kernels and its installer, and their reports about the machine.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use imagegen::disk::DiskBuilder;
use imagegen::kernel::Kernel;
use imagegen::layout::{Layout, Sizes};
use imagegen::size::Size;
use little_loader_core::slots::slot::Slot;

use qemu_tests::demo::{Demo, Parts};
use qemu_tests::harness::machine::Disk;
use qemu_tests::paths;
use qemu_tests::setup::debian::assets::Asset;
use qemu_tests::setup::debian::assets::kit::Kit;
use qemu_tests::setup::debian::kernels::{DebianKernel, Flavour};

use crate::Test;
use crate::context::Context;

/// The prompt of the guest's shell.
const PROMPT: &str = "/ # ";

/// Time limit for the installer's first screen: it unpacks 40 MB and has its own boot sequence.
const INSTALLER: Duration = Duration::from_secs(240);

pub(crate) fn tests() -> Vec<Test> {
    vec![("kernels::installer".to_owned(), installer)]
}

/// The kernels that every run boots.
pub(crate) const KERNELS: [DebianKernel; 2] = [DebianKernel::STOCK, DebianKernel::CLOUD];

/// Boots the demo's disk to a shell, with two CPUs.
pub(crate) fn boot(kernel: DebianKernel, context: &Context) -> Result<()> {
    let kit = Kit::find_with(kernel, &paths::cache()).with_context(|| {
        format!(
            "kernel {} is not in the cache; `cargo qemu test --all-kernels` downloads it, or reports why it cannot",
            kernel.id()
        )
    })?;
    let demo = Demo::make_with(&Parts::default(), Some(&kit), &context.path("demo"))?;
    let mut machine = context
        .machine()
        .memory_mib(256)
        .cpus(2)
        .append("quiet")
        .disk(Disk::new(demo.image));
    if kernel.flavour == Flavour::Pages16k {
        // Not every CPU supports pages of 16 KiB.
        machine = machine.cpu("max,pauth-impdef=on");
    }
    let mut guest = machine.start()?;
    guest.expect("kernel at EL1")?;
    guest.expect("booted from slot a (active) by Little Loader.")?;
    guest.expect(PROMPT)?;
    guest.type_line("cat /proc/version; echo CPUs: $(grep -c ^processor /proc/cpuinfo)")?;
    guest.expect(&format!("Linux version {} (", kit.kernel_release()))?;
    guest.expect(&format!("Debian {} (", kit.kernel_version()))?;
    guest.expect("CPUs: 2")?;
    guest.expect(PROMPT)?;
    guest.type_line("echo disks: $(ls /sys/block | grep vd); grep ' / ' /proc/mounts")?;
    guest.expect("disks: vda\r\n/dev/vda1 / squashfs ro")?;
    guest.expect(PROMPT)?;
    guest.type_line("poweroff")?;
    guest.wait_for_exit()?;
    Ok(())
}

/// Boots the network installer's kernel and initrd from a slot until it asks for the language.
fn installer(context: &Context) -> Result<()> {
    let read = |name: &str| {
        let path = Asset::Installer.file(name, &paths::cache());
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let kernel = Kernel::unpack(read("linux")?)?;
    let initrd = read("initrd.gz")?;
    let sizes = Sizes {
        kernel: Size(128 << 20),
        ..Sizes::default()
    };
    let image = context.path("installer.img");
    DiskBuilder::new(Layout::new(&sizes)?)
        .kernel(Slot::A, &kernel.image)
        .kernel_room(Slot::A, kernel.bytes_on_disk())
        .initrd(Slot::A, &initrd)
        .args(Slot::A, "console=ttyAMA0 quiet DEBIAN_FRONTEND=text")
        .write_to(&image, |_, _| {})?;
    let mut guest = context
        .machine()
        .memory_mib(512)
        .disk(Disk::new(image))
        .time_limit(INSTALLER)
        .start()?;
    guest.expect("kernel at EL1")?;
    guest.expect("Select a language")?;
    guest.expect("Choose the language to be used for the installation process.")?;
    guest.expect("English [*]")?;
    guest.expect("Prompt:")?;
    let serial = guest.serial();
    ensure!(!serial.contains("Kernel panic"), "{serial}");
    Ok(())
}
