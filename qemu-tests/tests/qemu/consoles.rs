// SPDX-License-Identifier: MIT OR Apache-2.0

//! The console that the device tree names, and the state in which the kernel finds it.

use anyhow::{Result, ensure};

use qemu_tests::demo::{Demo, Parts};
use qemu_tests::harness::machine::Disk;
use qemu_tests::harness::report::Report;

use crate::context::{Context, change_variables, console_text};
use crate::{Scenario, Test, named};

/// The property by which QEMU's device tree names the console.
const STDOUT: &str = "stdout-path = \"/pl011@9000000\";";

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 6] = [
        ("silent_where_the_pl011_is_disabled", |context| {
            let disabled = "pl011@9000000 { status = \"disabled\";";
            silent(context, "pl011@9000000 {", disabled)
        }),
        ("silent_where_stdout_path_names_another_device", |context| {
            silent(context, STDOUT, "stdout-path = \"/pl031@9010000\";")
        }),
        ("silent_where_stdout_path_names_nothing", |context| {
            silent(context, STDOUT, "stdout-path = \"/pl011@7000000\";")
        }),
        ("silent_without_stdout_path", |context| {
            silent(context, STDOUT, "")
        }),
        ("set_up_as_by_a_firmware", set_up),
        ("earlycon_and_the_baud_rate", earlycon),
    ];
    named("consoles", tests)
}

/// The loader boots without printing anything; the payload still prints to the PL011.
fn silent(context: &Context, old: &str, new: &str) -> Result<()> {
    let tree = context.tree()?.replace(old, new)?;
    let machine = context
        .machine()
        .dtb(tree.write(&context.path("silent.dtb"), 0)?)
        .disk(context.disk(&context.bootable()?)?);
    let serial = console_text(&machine)?;
    let report = Report::parse(&serial)?;
    ensure!(report.get("bootargs")? == "test.slot=a", "{report:?}");
    ensure!(serial.starts_with("payload: "), "{serial}");
    Ok(())
}

/// The payload reports the registers of the PL011 that the device tree names.
fn set_up(context: &Context) -> Result<()> {
    let machine = context.machine().disk(context.disk(&context.bootable()?)?);
    let report = crate::context::report(&machine)?;
    ensure!(report.get("uart_control")? == "0x301", "{report:?}");
    ensure!(report.get("uart_line")? == "0x70", "{report:?}");
    report.get("baud")?;
    Ok(())
}

/// Linux prints from its first line on, and keeps the baud rate that the loader set.
fn earlycon(context: &Context) -> Result<()> {
    let image = Demo::make_at(&Parts::default(), &context.path("demo"))?.image;
    change_variables(&image, |variables| {
        let old = variables.get("a.kernel_args").unwrap_or_default().to_vec();
        let args = format!("{} earlycon", String::from_utf8_lossy(&old));
        variables.set("a.kernel_args", &args);
        Ok(())
    })?;
    let mut guest = context
        .machine()
        .memory_mib(256)
        .disk(Disk::new(&image))
        .start()?;
    guest.expect("kernel at EL1")?;
    guest.expect("Booting Linux on physical CPU")?;
    guest.expect("earlycon: pl11 at MMIO 0x0000000009000000")?;
    guest.expect("bootconsole [pl11")?;
    guest.expect("console [ttyAMA0] enabled")?;
    guest.expect("/ # ")?;
    guest.type_line("stty; poweroff")?;
    guest.expect("speed 115200 baud")?;
    guest.wait_for_exit()?;
    Ok(())
}
