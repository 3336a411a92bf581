// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests of one host and what is expected of them.

use anyhow::{Error, Result, bail, ensure};

use qemu_tests::demo::kvm_host;
use qemu_tests::harness::kvm_host::{Ended, Guest, KvmHost, Status};
use qemu_tests::harness::machine::Machine;
use qemu_tests::harness::report::Report;
use qemu_tests::scratch::Scratch;

use crate::context::Context;

/// The word on the command line that makes the payload try accesses to a device.
pub(crate) const ACCESSES: &str = "payload.accesses=1";

/// The accesses that have a syndrome.
const DECODED: [&str; 2] = ["load", "store"];

/// The accesses that have none.
const UNDECODED: [&str; 6] = [
    "writeback_load",
    "writeback_store",
    "pair_load",
    "pair_store",
    "simd_load",
    "simd_store",
];

type Check<'a> = Box<dyn Fn(&Ended) -> Result<()> + 'a>;

/// The guests of one host, each with its check.
#[derive(Default)]
pub(crate) struct Cases<'a> {
    guests: Vec<Guest>,
    checks: Vec<Check<'a>>,
}

impl<'a> Cases<'a> {
    /// Adds a guest that powers itself off; `check` gets its end.
    pub(crate) fn guest(&mut self, guest: Guest, check: impl Fn(&Ended) -> Result<()> + 'a) {
        self.guests.push(guest);
        self.checks.push(Box::new(check));
    }

    /// Adds a machine that boots the payload by KVM; `check` gets its report.
    pub(crate) fn boots(
        &mut self,
        name: impl Into<String>,
        machine: Machine,
        check: impl Fn(&Report) -> Result<()> + 'a,
    ) {
        self.guest(Guest::new(name, machine), move |ended| {
            check(&report(ended)?)
        });
    }

    /// Runs all guests on `host` and checks their ends; the error has every guest that failed.
    pub(crate) fn run(self, host: &KvmHost, context: &Context) -> Result<()> {
        let ends = host.run(&self.guests, &context.path(""))?;
        let failures: Vec<String> = ends
            .iter()
            .zip(&self.checks)
            .filter_map(|(ended, check)| Some((ended, check(ended).err()?)))
            .map(|(ended, error): (&Ended, Error)| format!("{error:#}\n{ended}"))
            .collect();
        let (failed, all) = (failures.len(), ends.len());
        ensure!(
            failures.is_empty(),
            "{failed} of {all} guests failed:\n{}",
            failures.join("\n\n")
        );
        Ok(())
    }
}

/// Returns a host with a Neoverse N1, whose kernel runs at EL2.
pub(crate) fn host() -> Result<KvmHost> {
    Ok(KvmHost::new(kvm_host::userland(None)?))
}

/// Returns a disk with the payload in both slots, which tries accesses to a device.
pub(crate) fn bootable(context: &Context) -> Result<Scratch> {
    let scratch = context.bootable()?;
    Ok(scratch
        .set("a.kernel_args", format!("test.slot=a {ACCESSES}"))
        .set("b.kernel_args", format!("test.slot=b {ACCESSES}")))
}

/// Returns the report of a guest that powered itself off, and that KVM ran.
pub(crate) fn report(ended: &Ended) -> Result<Report> {
    powered_off(ended)?;
    let report = Report::parse(&ended.serial)?;
    ran_by_kvm(&report)?;
    Ok(report)
}

/// Checks that QEMU ended by itself and without an error.
pub(crate) fn powered_off(ended: &Ended) -> Result<()> {
    ensure!(ended.status == Status::Exited(0), "{}", ended.status);
    Ok(())
}

/// Checks that the payload's accesses ended as they do under KVM.
pub(crate) fn ran_by_kvm(report: &Report) -> Result<()> {
    let expected = DECODED
        .iter()
        .map(|kind| (kind, "done"))
        .chain(UNDECODED.iter().map(|kind| (kind, "aborted")));
    for (kind, outcome) in expected {
        let found = report.get(kind)?;
        if found != outcome {
            bail!("{kind} is {found}, not {outcome}: KVM does not run this guest");
        }
    }
    Ok(())
}
