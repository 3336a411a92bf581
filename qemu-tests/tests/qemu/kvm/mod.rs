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
mod fatal;
mod hosts;
mod linux;
mod mutant;
mod power;

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

/// Tests on hosts of every kind.
pub(crate) fn long_tests() -> Vec<Test> {
    named(&[hosts::LONG_TESTS])
}

fn named(tests: &[&[(&str, Scenario)]]) -> Vec<Test> {
    let tests = tests.iter().copied().flatten();
    tests
        .map(|(name, test)| (format!("kvm::{name}"), *test))
        .collect()
}
