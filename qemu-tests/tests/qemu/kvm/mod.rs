// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loader under a real KVM, on an emulated host: KVM decodes each access to a device as on
//! hardware, and cannot emulate one without a syndrome.
//!
//! A host takes seconds to start, so each test is one host that runs many guests. Every guest that
//! reaches the payload proves that KVM ran it: the payload tries accesses that emulation performs
//! and KVM must abort.

mod boots;
mod cases;
mod controls;
mod erlang;
mod fatal;
mod hosts;
mod linux;
mod mutant;
mod power;

use anyhow::Result;
use qemu_tests::demo::kvm_host;
use qemu_tests::harness::kvm_host::KvmHost;
use qemu_tests::paths;
use qemu_tests::setup::debian::assets::arm_qemu::ArmQemu;

use crate::context::Context;
use crate::{Scenario, Test};

pub(crate) fn tests() -> Vec<Test> {
    named(&[
        boots::TESTS,
        controls::TESTS,
        fatal::TESTS,
        hosts::TESTS,
        linux::TESTS,
        power::TESTS,
    ])
}

/// Tests on hosts of every kind, of every fatal error, and of guests that take minutes.
pub(crate) fn long_tests() -> Vec<Test> {
    named(&[erlang::LONG_TESTS, fatal::LONG_TESTS, hosts::LONG_TESTS])
}

/// The test of a host with the QEMU of another suite, if the cache has it: its name and its body.
pub(crate) fn with_other_qemus()
-> impl Iterator<Item = (String, impl FnOnce(&Context) -> Result<()> + Send + 'static)> {
    let suites = ArmQemu::suites(&paths::cache()).into_iter();
    suites.map(|suite| {
        let name = format!("kvm::qemu_of_{}", suite.replace('-', "_"));
        let test = move |context: &Context| {
            boots::all(context, &KvmHost::new(kvm_host::userland(Some(suite))?))
        };
        (name, test)
    })
}

fn named(tests: &[&[(&str, Scenario)]]) -> Vec<Test> {
    let tests = tests.iter().copied().flatten();
    tests
        .map(|(name, test)| (format!("kvm::{name}"), *test))
        .collect()
}
