// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's kernel, booted to a shell from the demo disk.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use imagegen::env_file::{DEFAULT_PLACE, EnvFile};
use imagegen::slots;
use little_loader_core::slots::slot::Slot;

use qemu_tests::demo::{Demo, Parts};
use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::harness::running::Running;

use crate::context::{Context, change_variables};
use crate::{Scenario, Test, named};

/// The prompt of the guest's shell.
const PROMPT: &str = "/ # ";

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 7] = [
        ("shell_on_slot_a_and_again_after_a_reboot", shell),
        ("four_cpus", |context| {
            cpus(context, 4, "EL1", |machine| machine)
        }),
        ("one_cpu_from_el2", |context| {
            cpus(context, 1, "EL1", |machine| {
                machine.machine_option("virtualization=on")
            })
        }),
        ("four_cpus_at_el2", |context| {
            cpus(context, 4, "EL2", |machine| {
                machine.machine_option("virtualization=on")
            })
        }),
        ("panicking_update_goes_back", panics),
        ("hung_update_goes_back_by_a_watchdog", hangs),
        ("network", network),
    ];
    named("linux", tests)
}

fn image(context: &Context) -> Result<PathBuf> {
    Ok(Demo::make_at(&Parts::default(), &context.path("demo"))?.image)
}

fn machine(context: &Context, image: &PathBuf) -> Machine {
    context
        .machine()
        .memory_mib(256)
        .append("quiet")
        .disk(Disk::new(image))
}

fn shell(context: &Context) -> Result<()> {
    let mut guest = machine(context, &image(context)?).start()?;
    for boot in 0..2 {
        guest.expect("slot a: active")?;
        guest.expect("booted from slot a (active) by Little Loader.")?;
        guest.expect(PROMPT)?;
        guest.type_line("grep ' / ' /proc/mounts; cat /proc/cmdline")?;
        guest.expect(" / squashfs ro")?;
        guest.expect("panic=5 quiet")?;
        guest.expect(PROMPT)?;
        guest.type_line(if boot == 0 { "reboot" } else { "poweroff" })?;
    }
    let serial = guest.wait_for_exit()?.serial;
    ensure!(serial.matches("kernel at EL1").count() == 2, "{serial}");
    Ok(())
}

/// All CPUs start, at the same exception level.
fn cpus(context: &Context, count: u8, level: &str, change: fn(Machine) -> Machine) -> Result<()> {
    let image = image(context)?;
    let mut guest = change(machine(context, &image)).cpus(count).start()?;
    guest.expect(PROMPT)?;
    guest.type_line("echo CPUs: $(grep -c ^processor /proc/cpuinfo); dmesg | grep 'started at'")?;
    guest.expect(&format!("CPUs: {count}"))?;
    guest.expect(&format!("All CPU(s) started at {level}"))?;
    guest.expect(PROMPT)?;
    guest.type_line("echo odd: $(dmesg | grep -c 'inconsistent modes'); poweroff")?;
    guest.expect("odd: 0")?;
    guest.wait_for_exit()?;
    Ok(())
}

/// The kernel of the new slot finds no root file system and panics; the previous slot boots again
/// without intervention.
fn panics(context: &Context) -> Result<()> {
    let image = image(context)?;
    change_variables(&image, |variables| {
        slots::activate(variables, Slot::B, true)?;
        variables.unset("b.initrd_lba");
        variables.unset("b.initrd_size");
        variables.set("b.kernel_args", "console=ttyAMA0 root=/dev/vda2 panic=1");
        Ok(())
    })?;
    let mut guest = machine(context, &image).start()?;
    guest.expect("slot b: trial")?;
    guest.expect("Kernel panic")?;
    reverts(guest, &image)
}

/// The system of the new slot starts a watchdog; then every process except init and the shell is
/// stopped, so that none resets the watchdog's timer.
fn hangs(context: &Context) -> Result<()> {
    let image = image(context)?;
    change_variables(&image, |variables| {
        Ok(slots::activate(variables, Slot::B, true)?)
    })?;
    let mut guest = machine(context, &image)
        .arguments(["-device", "i6300esb", "-action", "watchdog=reset"])
        .start()?;
    guest.expect("booted from slot b (trial) by Little Loader.")?;
    guest.expect(PROMPT)?;
    guest.type_line("modprobe i6300esb; watchdog -T 6 -t 1 /dev/watchdog")?;
    guest.expect(PROMPT)?;
    // The watchdog program opens the device only after it has gone to the background.
    guest.type_line(
        "cd /sys/class/watchdog/watchdog0; until grep -w active state; do sleep 1; done",
    )?;
    guest.expect("\nactive")?;
    guest.type_line("echo watched by $(cat identity); kill -STOP -1")?;
    guest.expect("watched by i6300ESB timer")?;
    reverts(guest, &image)
}

/// Slot a boots, and the disk has it as active and validated.
fn reverts(mut guest: Running, image: &Path) -> Result<()> {
    guest.expect("slot a: reverted")?;
    guest.expect("booted from slot a (reverted) by Little Loader.")?;
    guest.expect(PROMPT)?;
    guest.type_line("poweroff")?;
    guest.wait_for_exit()?;
    let variables = EnvFile::open(image, DEFAULT_PLACE, false)?.variables();
    for (name, value) in [
        ("nerves_fw_active", "a"),
        ("upgrade_available", "0"),
        ("bootcount", "0"),
    ] {
        ensure!(variables.get(name) == Some(value.as_bytes()), "{name}");
    }
    Ok(())
}

/// In QEMU's user-mode network the guest is 10.0.2.15 and QEMU 10.0.2.2.
fn network(context: &Context) -> Result<()> {
    let image = image(context)?;
    let mut guest = machine(context, &image).network().start()?;
    guest.expect("network: 10.0.2.15/24")?;
    guest.expect(PROMPT)?;
    guest.type_line("ping -c 1 10.0.2.2; poweroff")?;
    guest.expect("1 packets received")?;
    guest.wait_for_exit()?;
    Ok(())
}
