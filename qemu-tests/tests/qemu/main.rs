// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tests that boot machines. `cargo qemu test` builds the loaders and the payload that they
//! need, then runs them.

#![forbid(unsafe_code)]

mod caches;
mod command_lines;
mod consoles;
mod context;
mod device_trees;
mod disks;
mod erlang;
mod errors;
mod firmware;
mod fleet;
mod kernels;
mod kvm;
mod levels;
mod linux;
mod matrix;
mod measuring;
mod memory;
mod optlevels;
mod overlays;
mod overrides;
mod payload;
mod power;
mod slots;
mod static_checks;
mod watch;

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use context::Context;
use qemu_tests::artifacts;
use qemu_tests::bench::BenchError;
use qemu_tests::harness::machine::Accelerator;
use qemu_tests::harness::running::RunError;
use qemu_tests::setup::debian::kernels::DebianKernel;

/// The body of a test.
type Scenario = fn(&Context) -> anyhow::Result<()>;

/// A test: its name and its body.
type Test = (String, Scenario);

/// Returns the tests of a module, with its name before theirs.
fn named<const N: usize>(module: &str, tests: [(&str, Scenario); N]) -> Vec<Test> {
    tests
        .into_iter()
        .map(|(name, test)| (format!("{module}::{name}"), test))
        .collect()
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let Some(folder) = env::var_os(artifacts::VARIABLE) else {
        eprintln!("error: these tests need loaders built for them: run `cargo qemu test`");
        return ExitCode::FAILURE;
    };
    // Each emulated machine uses a whole host CPU, and one that has to wait for a CPU exceeds its
    // time limit.
    arguments.test_threads.get_or_insert(2);
    let mut tests = payload::tests();
    tests.extend(caches::tests());
    tests.extend(erlang::tests());
    tests.extend(fleet::tests());
    tests.extend(errors::tests());
    tests.extend(device_trees::tests());
    tests.extend(disks::tests());
    tests.extend(optlevels::tests());
    tests.extend(slots::tests());
    tests.extend(overlays::tests());
    tests.extend(overrides::tests());
    tests.extend(command_lines::tests());
    tests.extend(levels::tests());
    tests.extend(measuring::tests());
    tests.extend(memory::tests());
    tests.extend(consoles::tests());
    tests.extend(firmware::tests());
    tests.extend(kernels::tests());
    tests.extend(kvm::tests());
    tests.extend(linux::tests());
    tests.extend(power::tests());
    tests.extend(watch::tests());
    tests.extend(static_checks::tests());
    if env::var_os(artifacts::ALL).is_some() {
        tests.extend(payload::long_tests());
        tests.extend(caches::long_tests());
        tests.extend(erlang::long_tests());
        tests.extend(kvm::long_tests());
        tests.extend(fleet::long_tests());
    }
    let rows = match matrix::rows() {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials: Vec<Trial> = tests
        .into_iter()
        .map(|(name, test)| trial(name, &folder, test))
        .collect();
    trials.extend(rows.into_iter().map(|row| {
        let name = row.name();
        trial(name, &folder, move |context| row.boot(context))
    }));
    trials.extend(kvm::with_other_qemus().map(|(name, test)| trial(name, &folder, test)));
    let mut booted = kernels::KERNELS.to_vec();
    if env::var_os(artifacts::ALL_KERNELS).is_some() {
        booted.extend(DebianKernel::of_all_suites());
    }
    trials.extend(booted.into_iter().map(|kernel| {
        let test = move |context: &Context| kernels::boot(kernel, context);
        trial(kernel.test_name(), &folder, test)
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(
    name: String,
    folder: &OsStr,
    test: impl FnOnce(&Context) -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    let folder = PathBuf::from(folder);
    Trial::ignorable_test(name.clone(), move || {
        if let Some((_, reason)) = emulated_cpu(&name) {
            return Ok(Completion::ignored_with(reason));
        }
        let context = Context::new(folder)?;
        match test(&context) {
            Err(error) if only_emulated(&error) => {
                Ok(Completion::ignored_with(format!("{error:#}")))
            }
            ended => ended
                .map(|()| Completion::Completed)
                .map_err(|error| Failed::from(format!("{error:#}"))),
        }
    })
}

/// The tests of what an emulated CPU lacks, or of the emulation itself, with the reason.
const OF_EMULATED_CPUS: [(&str, &str); 2] = [
    (
        "errors::kernel_of_16_kib_pages",
        "the CPU of this host may offer such pages",
    ),
    (
        "static_checks::alignment_with_the_mmu_off",
        "it is about the version of QEMU's emulation",
    ),
];

/// Returns the entry of [`OF_EMULATED_CPUS`] for a test that a hypervisor would run.
fn emulated_cpu(name: &str) -> Option<(&'static str, &'static str)> {
    let mut tests = OF_EMULATED_CPUS.into_iter();
    let listed = tests.find(|(test, _)| *test == name);
    listed.filter(|_| context::accelerator() != Accelerator::Tcg)
}

/// Whether a test ended because its machine exists only under emulation.
fn only_emulated(error: &anyhow::Error) -> bool {
    let is_it = |error: &RunError| matches!(error, RunError::OnlyEmulated { .. });
    error.chain().any(|cause| {
        let of_bench = cause
            .downcast_ref()
            .is_some_and(|error| matches!(error, BenchError::Run(error) if is_it(error)));
        of_bench || cause.downcast_ref().is_some_and(is_it)
    })
}
