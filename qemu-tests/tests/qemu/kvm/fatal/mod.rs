// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors that stop the boot: the loader says why, and powers off by PSCI.
//!
//! These are all fatal errors that a guest of KVM can reach: each variant of the loader's `Fatal`,
//! each reason why a disk is passed over or a slot fails, an exception and a panic. The short tests
//! have each stage and each way to end, the long one the other reasons.
//!
//! What neither QEMU's command line nor the disk can cause, a mutated loader does: the panic, the
//! exception, invalid settings, device trees that QEMU never passes on, and a CPU without CRC32,
//! since QEMU emulates none and KVM passes the host's features on. A further exception during the
//! report of one is among the mutants of `controls.rs`.
//!
//! No guest reaches these:
//!
//! | error | reason |
//! | --- | --- |
//! | `SetUpError`, `DiskError::Transport`, `RequestError::Unsupported` and `Confused`, `BarError::Size` and `Capabilities`, a reset that does not end | QEMU's devices do none of this |
//! | `LimitsError::SizeMax` | only a server of vhost-user disks can ask for it |
//! | `BarError::Window` | only disks get addresses, of 16 KiB in at least 700 MiB |
//! | `ImageError::TooShort` | a disk has whole blocks, which are larger than a header |
//! | `EnvError::TooSmall` | the settings do not allow it |
//! | `LoadError::Unmapped` | the guest would have to use all of the first TiB |
//! | errors at EL2 and EL3 | a guest starts at EL1 |

mod disks;
mod machines;
mod slots;
mod trees;

use anyhow::{Result, ensure};

use qemu_tests::harness::kvm_host::{Ended, Guest, KvmHost};
use qemu_tests::harness::machine::Machine;

use super::cases::{Cases, host, powered_off};
use super::hosts::without_vhe;
use crate::Scenario;
use crate::context::Context;

pub(crate) const TESTS: &[(&str, Scenario)] = &[
    ("fatal_errors_of_the_machine_power_off", of_the_machine),
    (
        "fatal_errors_of_disks_and_slots_power_off",
        of_disks_and_slots,
    ),
];

pub(crate) const LONG_TESTS: &[(&str, Scenario)] =
    &[("every_other_fatal_error_powers_off", others)];

fn of_the_machine(context: &Context) -> Result<()> {
    let mut cases = Cases::default();
    machines::add(&mut cases, context)?;
    trees::add(&mut cases, context)?;
    cases.run(&host()?, context)
}

fn of_disks_and_slots(context: &Context) -> Result<()> {
    let mut cases = Cases::default();
    disks::add(&mut cases, context)?;
    slots::add(&mut cases, context)?;
    cases.run(&with_fast_waits()?, context)
}

fn others(context: &Context) -> Result<()> {
    let mut cases = Cases::default();
    machines::add_others(&mut cases, context)?;
    trees::add_others(&mut cases, context)?;
    disks::add_others(&mut cases, context)?;
    slots::add_others(&mut cases, context)?;
    cases.run(&with_fast_waits()?, context)
}

/// Returns a host with a Cortex-A72, which does not offer pages of 16 KiB. An instruction takes
/// 32 ns of its time, so that a guest's wait of 30 s is a billion instructions.
fn with_fast_waits() -> Result<KvmHost> {
    Ok(without_vhe(3)?.instruction_time(5))
}

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
