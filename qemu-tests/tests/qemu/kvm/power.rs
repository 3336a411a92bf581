// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reboots from inside, resets at random moments, and updates that are kept or reverted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use imagegen::slots;

use qemu_tests::harness::kvm_host::Guest;
use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::harness::payload::pattern;
use qemu_tests::harness::report::{DONE, Report};
use qemu_tests::scratch::Scratch;

use super::cases::{ACCESSES, Cases, bootable, host, powered_off, ran_by_kvm, report};
use crate::Scenario;
use crate::context::{Context, change_variables};
use crate::slots::{holds, told};

pub(crate) const TESTS: &[(&str, Scenario)] = &[
    ("updates_and_reboots", updates),
    ("thirty_resets_at_random_moments", resets),
];

/// A disk with slot b active, on its `count`th trial.
fn on_trial(context: &Context, count: u32) -> Result<Scratch> {
    Ok(bootable(context)?
        .set("upgrade_available", 1)
        .set("bootcount", count)
        .set("nerves_fw_active", "b"))
}

fn image(context: &Context, name: &str, scratch: &Scratch) -> Result<PathBuf> {
    let path = context.path(name);
    scratch.create(&path)?;
    Ok(path)
}

/// Boots `image` and checks that the loader tells the kernel `wanted`.
fn tells(cases: &mut Cases<'_>, context: &Context, image: &Path, wanted: &'static str) {
    let machine = context.machine().disk(Disk::new(image));
    cases.boots(wanted, machine, move |report| {
        let told = told(report)?;
        ensure!(told == wanted, "{told:?} is not {wanted:?}");
        Ok(())
    });
}

fn updates(context: &Context) -> Result<()> {
    let reset = format!("test.slot=b payload.end=reset {ACCESSES}");
    let three = on_trial(context, 0)?
        .set("bootlimit", 3)
        .set("b.kernel_args", reset);
    let three = image(context, "three", &three)?;
    let tried = image(context, "tried", &on_trial(context, 0)?)?;
    let reverted = image(context, "reverted", &on_trial(context, 0)?)?;
    let validated = image(context, "validated", &on_trial(context, 1)?)?;
    change_variables(&validated, |variables| {
        slots::validate(variables);
        Ok(())
    })?;

    let mut cases = Cases::default();
    let machine = context.machine().disk(Disk::new(&three));
    cases.guest(Guest::new("three reboots from inside", machine), |ended| {
        let told = told(&report(ended)?)?;
        ensure!(told == "a reverted 3", "{told}");
        // Each boot that reached the payload, not only the last one, ran under KVM.
        let reports: Vec<&str> = ended.serial.split_inclusive(DONE).collect();
        ensure!(reports.len() >= 4, "{} boots", reports.len());
        for report in &reports[..4] {
            ran_by_kvm(&Report::parse(report)?)?;
        }
        Ok(())
    });
    tells(&mut cases, context, &tried, "b trial 1");
    tells(&mut cases, context, &reverted, "b trial 1");
    tells(&mut cases, context, &reverted, "a reverted 1");
    tells(&mut cases, context, &reverted, "a active 0");
    tells(&mut cases, context, &validated, "b active 0");
    cases.run(&host()?, context)?;
    holds(&three, ["a", "0", "0"])?;
    holds(&tried, ["b", "1", "1"])?;
    holds(&reverted, ["a", "0", "0"])?;
    holds(&validated, ["b", "0", "0"])
}

/// The first text of the payload, which ends a boot.
const ENTERED: &str = "payload: counter";

/// The moments, in thousandths of the length of a boot: from its start to a little after its end.
fn moments() -> Vec<u32> {
    let random = pattern(60);
    let numbers = random.chunks(2);
    numbers
        .map(|bytes| u32::from(bytes[0]) << 8 | u32::from(bytes[1]))
        .map(|number| number * 1100 / 65536)
        .collect()
}

/// The trial is counted, and reverted after the third, while resets cut boots off.
fn resets(context: &Context) -> Result<()> {
    let args = |slot: &str| format!("test.slot={slot} payload.end=wait {ACCESSES}");
    let scratch = on_trial(context, 0)?
        .set("bootlimit", 3)
        .set("a.kernel_args", args("a"))
        .set("b.kernel_args", args("b"));
    let image = image(context, "disk.img", &scratch)?;
    let machine: Machine = context.machine().disk(Disk::new(&image));
    let guest = Guest::new("resets", machine)
        .time_limit(Duration::from_secs(900))
        .resets(ENTERED, &moments())
        .monitor("system_reset")
        .expect("little-loader")
        .expect(DONE)
        .monitor("quit");
    let mut cases = Cases::default();
    cases.guest(guest, |ended| {
        powered_off(ended)?;
        // The boots before the last one may be cut off anywhere.
        let last = ended
            .serial
            .rsplit("little-loader")
            .next()
            .unwrap_or_default();
        let report = Report::parse(last)?;
        ran_by_kvm(&report)?;
        ensure!(report.get("slot")? == "a", "{report:?}");
        // Two boots are measured, and the last one is complete.
        let whole = ended.serial.matches(ENTERED).count();
        ensure!(
            (3..3 + 30).contains(&whole),
            "{whole} boots were not cut off"
        );
        Ok(())
    });
    cases.run(&host()?, context)?;
    holds(&image, ["a", "0", "0"])
}
