// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu test`.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use qemu_tests::artifacts::{self, Artifacts};
use qemu_tests::harness::machine::Accelerator;
use qemu_tests::setup::debian::kernels::DebianKernel;
use qemu_tests::setup::{self, Purpose};
use qemu_tests::toolchain;

use super::lint;

/// The seconds that the fuzz tests run each body; if not set, they run a fixed number of cases.
const FUZZ_SECONDS: &str = "LITTLE_LOADER_FUZZ_SECONDS";
const SECONDS_PER_BODY: &str = "30";

/// The numbers of guests that a test of the fleet's supervisor starts; if not set, 200.
const FLEET_GUESTS: &str = "LITTLE_LOADER_FLEET_GUESTS";
const FLEET_GUESTS_OF_ALL: &str = "1000,5000";

/// The image and the loader of real guests in the tests of a fleet on Slurm.
const FLEET_IMAGE: &str = "LITTLE_LOADER_FLEET_IMAGE";
const FLEET_LOADER: &str = "LITTLE_LOADER_FLEET_LOADER";

/// Run the host tests, then the QEMU tests
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run only tests whose name contains this
    filter: Option<String>,
    /// Run the slow tests as well, and each fuzz body for 30 s
    #[arg(long)]
    all: bool,
    /// Run the machines by the hypervisor of this host, kvm or hvf, which must be an arm64 one. Tests
    /// of what only emulation offers, such as EL2 and EL3, are named and not run
    #[arg(long, value_enum)]
    accel: Option<Hypervisor>,
    /// Test the kernels of Debian's other suites as well; each downloads about 80 MB
    #[arg(long)]
    all_kernels: bool,
}

/// A hypervisor for the machines of tests.
#[derive(Clone, Copy, ValueEnum)]
enum Hypervisor {
    Kvm,
    Hvf,
}

impl Hypervisor {
    /// Returns the accelerator, if this host has it.
    fn accelerator(self) -> Result<Accelerator> {
        let (accelerator, needed) = match self {
            Self::Kvm => (
                Accelerator::Kvm,
                "arm64 Linux, and /dev/kvm that you may open",
            ),
            Self::Hvf => (Accelerator::Hvf, "a Mac with an Apple processor"),
        };
        let here = Accelerator::of_host();
        ensure!(
            here == accelerator,
            "--accel {accelerator} needs {needed}; `cargo qemu test kvm` tests KVM on any machine"
        );
        Ok(accelerator)
    }
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let accelerator = arguments.accel.map(Hypervisor::accelerator).transpose()?;
    setup::ensure(if arguments.all {
        Purpose::TestAll
    } else {
        Purpose::Test
    })?;
    if arguments.all_kernels {
        get_kernels(arguments.filter.as_deref().unwrap_or_default());
    }
    let mut host = toolchain::cargo();
    host.args(["test", "--locked"]).args(&arguments.filter);
    if arguments.all {
        host.env(FUZZ_SECONDS, SECONDS_PER_BODY);
        host.env(FLEET_GUESTS, FLEET_GUESTS_OF_ALL);
    }
    let host_passed = passes(&mut host)?;

    // clippy.toml bans volatile accesses to registers.
    let lint_passed = arguments.filter.is_some() || passes(&mut lint::on_bare_metal()?)?;

    let artifacts = Artifacts::build()?;
    if arguments.all {
        artifacts.build_for_slow_tests()?;
    }
    let mut qemu = toolchain::cargo();
    qemu.args([
        "test",
        "--locked",
        "--package",
        "qemu-tests",
        "--test",
        "qemu",
    ]);
    if let Some(filter) = &arguments.filter {
        qemu.args(["--", filter]);
    }
    qemu.env(artifacts::VARIABLE, artifacts.folder());
    if arguments.all {
        qemu.env(artifacts::ALL, "1");
    }
    if let Some(accelerator) = accelerator {
        qemu.env(artifacts::ACCELERATOR, accelerator.to_string());
    }
    if arguments.all_kernels {
        qemu.env(artifacts::ALL_KERNELS, "1");
    }
    // All of them run even if the first fails, to show everything that a change breaks.
    let qemu_passed = passes(&mut qemu)?;
    let slurm_passed = !arguments.all || passes(&mut on_slurm(&artifacts, arguments))?;
    let results = [
        ("host tests", host_passed),
        ("bare-metal lints", lint_passed),
        ("QEMU tests", qemu_passed),
        ("tests of a fleet on Slurm", slurm_passed),
    ];
    for (what, _) in results.iter().filter(|(_, passed)| !passed) {
        eprintln!("error: the {what} failed");
    }
    Ok(if results.iter().all(|(_, passed)| *passed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns the command that runs the tests of a fleet on Slurm, those with real guests included.
fn on_slurm(artifacts: &Artifacts, arguments: &Arguments) -> Command {
    let mut slurm = toolchain::cargo();
    slurm.args(["test", "--locked", "--package", "fleet", "--test", "slurm"]);
    if let Some(filter) = &arguments.filter {
        slurm.args(["--", filter]);
    }
    slurm.env(FLEET_IMAGE, artifacts.erlang());
    slurm.env(FLEET_LOADER, artifacts.loader());
    slurm
}

/// Downloads the kernels whose tests match `filter`. Reports a kernel that is not available here;
/// its test fails later.
fn get_kernels(filter: &str) {
    let mut kernels = DebianKernel::of_all_suites();
    kernels.retain(|kernel| kernel.test_name().contains(filter));
    for (kernel, error) in setup::ensure_kernels(&kernels) {
        let error = anyhow::Error::from(error);
        eprintln!("error: kernel {}: {error:#}", kernel.id());
    }
}

fn passes(command: &mut Command) -> Result<bool> {
    Ok(command.status().context("cannot start cargo")?.success())
}
