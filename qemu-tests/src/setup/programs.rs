// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host's programs, and their installation with the system's apt.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use thiserror::Error;

use super::announce::announce;
use super::purpose::Purpose;
use crate::harness::emulator;
use crate::harness::process::{self, ProcessError};
use crate::toolchain::{TARGET, Toolchain};

/// The time limit for an installation by apt: QEMU is some 40 MB with its dependencies.
const INSTALL: Duration = Duration::from_secs(1800);

/// A program and where it comes from.
#[derive(Debug)]
pub struct Program {
    /// The program's file name.
    pub name: &'static str,
    /// The Debian package.
    pub package: &'static str,
    /// The Homebrew formula, if there is one.
    pub brew: Option<&'static str>,
}

const QEMU: Program = Program {
    name: emulator::PROGRAM,
    package: "qemu-system-arm",
    brew: Some("qemu"),
};

/// Independent programs with which the tests check the project's output and create fixtures.
const JUDGES: &[Program] = &[
    Program {
        name: "dtc",
        package: "device-tree-compiler",
        brew: Some("dtc"),
    },
    Program {
        name: "mksquashfs",
        package: "squashfs-tools",
        brew: Some("squashfs"),
    },
    Program {
        name: "mkenvimage",
        package: "u-boot-tools",
        brew: Some("u-boot-tools"),
    },
    Program {
        name: "fw_printenv",
        package: "libubootenv-tool",
        brew: None,
    },
    Program {
        name: "fdisk",
        package: "fdisk",
        brew: None,
    },
    Program {
        name: "mkfs.fat",
        package: "dosfstools",
        brew: Some("dosfstools"),
    },
    Program {
        name: "mdir",
        package: "mtools",
        brew: Some("mtools"),
    },
    Program {
        name: "sgdisk",
        package: "gdisk",
        brew: Some("gptfdisk"),
    },
    Program {
        name: "openssl",
        package: "openssl",
        brew: Some("openssl"),
    },
    Program {
        name: "zip",
        package: "zip",
        brew: Some("zip"),
    },
    Program {
        name: "unzip",
        package: "unzip",
        brew: Some("unzip"),
    },
    Program {
        name: "qemu-img",
        package: "qemu-utils",
        brew: Some("qemu"),
    },
    Program {
        name: "xdelta3",
        package: "xdelta3",
        brew: Some("xdelta"),
    },
];

/// A cluster of Slurm, for tests of fleets on it. Debian's packages start a munge service, which those
/// who only run the usual tests did not ask for.
const SLURM: &[Program] = &[
    Program {
        name: "munged",
        package: "munge",
        brew: None,
    },
    Program {
        name: "slurmctld",
        package: "slurmctld",
        brew: None,
    },
    Program {
        name: "slurmd",
        package: "slurmd",
        brew: None,
    },
    Program {
        name: "sbatch",
        package: "slurm-client",
        brew: None,
    },
];

/// `llvm-size`, `llvm-nm` and `llvm-objdump` are in one package, so one of them represents all.
const LLVM: Program = Program {
    name: "llvm-size",
    package: "llvm",
    brew: Some("llvm"),
};

/// The reason that programs are still missing.
#[derive(Debug, Error)]
pub enum ProgramsError {
    /// The environment variable `QEMU` does not name an executable program.
    #[error("the environment variable QEMU is {0:?}, which is not an executable program")]
    BadQemu(String),
    /// No apt is available to install them.
    #[error("missing: {missing}. There is no apt-get here to install them; {hint}")]
    NoApt {
        /// The programs.
        missing: String,
        /// How to get them with other package managers.
        hint: String,
    },
    /// apt could not install them.
    #[error("cannot install {packages}; install them by hand and try again")]
    Apt {
        /// The packages.
        packages: String,
        /// The cause, with apt's output.
        source: ProcessError,
    },
    /// apt succeeded, but a program is still missing.
    #[error("{0} is still missing after its package was installed")]
    NotFound(&'static str),
}

/// Returns the programs that `purpose` needs.
#[must_use]
pub fn needed(purpose: Purpose) -> Vec<&'static Program> {
    match purpose {
        Purpose::Build => Vec::new(),
        Purpose::BootOwn
        | Purpose::Boot
        | Purpose::Erlang
        | Purpose::KvmHost
        | Purpose::Compare => vec![&QEMU],
        Purpose::Test => std::iter::once(&QEMU).chain(JUDGES).collect(),
        // Elsewhere the tests with Slurm are listed as ignored.
        Purpose::TestAll if cfg!(target_os = "linux") => {
            std::iter::once(&QEMU).chain(JUDGES).chain(SLURM).collect()
        }
        Purpose::TestAll => needed(Purpose::Test),
        Purpose::Inspect => vec![&LLVM],
        Purpose::Everything => std::iter::once(&QEMU)
            .chain(JUDGES)
            .chain([&LLVM])
            .collect(),
    }
}

/// Finds an LLVM tool such as `llvm-size`: in the toolchain (rustup's llvm-tools), else on the
/// `PATH`.
#[must_use]
pub fn llvm(name: &str, toolchain: &Toolchain) -> Option<PathBuf> {
    Some(toolchain.program_folder().join(name))
        .filter(|path| path.is_file())
        .or_else(|| process::find(name))
}

impl Program {
    /// Returns the program's path, or `None` if it is not installed.
    #[must_use]
    pub fn find(&self, toolchain: &Toolchain) -> Option<PathBuf> {
        match self.name {
            name if name == QEMU.name => process::find(&emulator::program().to_string_lossy()),
            name if name == LLVM.name => llvm(name, toolchain),
            name => process::find(name).or_else(|| daemon(name)),
        }
    }
}

/// Finds a daemon, which is not on the `PATH` of every user.
fn daemon(name: &str) -> Option<PathBuf> {
    Some(Path::new("/usr/sbin").join(name)).filter(|path| path.is_file())
}

/// Installs the packages of `programs` with the system's apt.
///
/// # Errors
/// Every [`ProgramsError`].
pub fn install(programs: &[&Program], toolchain: &Toolchain) -> Result<(), ProgramsError> {
    if programs.iter().any(|program| program.name == QEMU.name)
        && let Some(chosen) = env::var_os("QEMU").filter(|name| !name.is_empty())
    {
        return Err(ProgramsError::BadQemu(
            chosen.to_string_lossy().into_owned(),
        ));
    }
    if process::find("apt-get").is_none() {
        let names: Vec<&str> = programs.iter().map(|program| program.name).collect();
        return Err(ProgramsError::NoApt {
            missing: names.join(", "),
            hint: hint(programs),
        });
    }
    let packages: Vec<&str> = programs.iter().map(|program| program.package).collect();
    let install = [
        &["install", "--yes", "--no-install-recommends"],
        packages.as_slice(),
    ]
    .concat();
    let failed = |source| ProgramsError::Apt {
        packages: packages.join(" "),
        source,
    };
    // A fresh machine has no package lists, and old lists name files that no longer exist: both
    // need an update.
    let updated = !packages.iter().all(|package| is_listed(package));
    if updated {
        apt_get(&["update"]).map_err(failed)?;
    }
    match apt_get(&install) {
        Err(_) if !updated => {
            apt_get(&["update"]).map_err(failed)?;
            apt_get(&install).map_err(failed)?;
        }
        result => result.map_err(failed)?,
    }
    match programs
        .iter()
        .find(|program| program.find(toolchain).is_none())
    {
        Some(program) => Err(ProgramsError::NotFound(program.name)),
        None => Ok(()),
    }
}

fn is_listed(package: &str) -> bool {
    process::capture(
        Command::new("apt-cache").args(["show", package]),
        Duration::from_secs(60),
    )
    .is_ok()
}

pub(super) fn apt_get(arguments: &[&str]) -> Result<(), ProcessError> {
    let mut command = if is_root() {
        Command::new("apt-get")
    } else {
        Command::new("sudo")
    };
    if !is_root() {
        command.arg("apt-get");
    }
    // Another apt may be running, such as that of unattended upgrades.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=600"]);
    command.args(arguments);
    announce(&process::shell_line(&command));
    command.env("DEBIAN_FRONTEND", "noninteractive");
    process::run(&mut command, INSTALL)
}

fn is_root() -> bool {
    process::capture(Command::new("id").arg("-u"), Duration::from_secs(10))
        .is_ok_and(|id| id.trim() == "0")
}

fn hint(programs: &[&Program]) -> String {
    let formulas: Vec<&str> = programs.iter().filter_map(|program| program.brew).collect();
    let others: Vec<&str> = programs
        .iter()
        .filter(|program| program.brew.is_none())
        .map(|program| program.name)
        .collect();
    let mut hint = String::from("with Homebrew: ");
    hint += &if formulas.is_empty() {
        "none of them".to_owned()
    } else {
        format!("`brew install {}`", formulas.join(" "))
    };
    if !others.is_empty() {
        hint += &format!("; {} is on Linux only", others.join(", "));
    }
    hint + &format!("; and for the loader: `rustup target add {TARGET}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_formulas_and_what_homebrew_has_not() {
        let hint = hint(&[&QEMU, &JUDGES[1], &JUDGES[3]]);
        assert_eq!(
            hint,
            "with Homebrew: `brew install qemu squashfs`; fw_printenv is on Linux only; and for the loader: \
             `rustup target add aarch64-unknown-none-softfloat`"
        );
    }
}
