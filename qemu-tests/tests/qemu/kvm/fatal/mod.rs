// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors that stop the boot: the loader says why, and powers off by PSCI.

mod disks;
mod machines;
mod slots;
mod trees;

use anyhow::{Result, ensure};

use qemu_tests::harness::kvm_host::{Ended, Guest};
use qemu_tests::harness::machine::Machine;

use super::cases::{Cases, powered_off};
use crate::Scenario;

pub(crate) const TESTS: &[(&str, Scenario)] = &[
    ("fatal_errors_of_machines_power_off", machines::test),
    ("fatal_errors_of_device_trees_power_off", trees::test),
    ("fatal_errors_of_disks_power_off", disks::test),
    ("fatal_errors_of_slots_power_off", slots::test),
];

/// Adds a guest that must report a fatal error with `text` in it, and end.
fn fatal(cases: &mut Cases<'_>, name: &'static str, machine: Machine, text: &'static str) {
    cases.guest(Guest::new(name, machine), move |ended| stopped(ended, text));
}

/// Like [`fatal`], with all of the line after its prefix.
fn fatal_line(cases: &mut Cases<'_>, name: &'static str, machine: Machine, text: &'static str) {
    cases.guest(Guest::new(name, machine), move |ended| {
        stopped(ended, text)?;
        let line = format!("little-loader: fatal: {text}");
        ensure!(ended.serial.lines().any(|said| said == line), "no {line:?}");
        Ok(())
    });
}

fn stopped(ended: &Ended, text: &str) -> Result<()> {
    powered_off(ended)?;
    let mut lines = ended.serial.lines();
    let said = lines.any(|line| line.starts_with("little-loader: fatal: ") && line.contains(text));
    ensure!(said, "no fatal error with {text:?}");
    ensure!(
        !ended.serial.contains("payload: "),
        "the payload was entered"
    );
    Ok(())
}
