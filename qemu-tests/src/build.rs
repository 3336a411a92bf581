// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds the loader and the test payload for bare metal, and the programs of the guests.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use imagegen::loader_elf::{ElfError, LoaderElf};
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;

use crate::harness::process::{self, ProcessError};
use crate::output;
use crate::setup::cross::Cross;
use crate::toolchain::{self, LINUX_TARGET, StandardLibrary, TARGET, Toolchain, ToolchainError};

/// The reason that a bare-metal binary could not be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// cargo could not be run, or failed (its messages went to stderr).
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The toolchain could not be examined.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// Neither form of the standard library is installed.
    #[error("rustc {0} has no standard library for {TARGET}; `cargo qemu setup` installs it")]
    NoStandardLibrary(String),
    /// cargo succeeded, but its messages do not contain the executable.
    #[error("cargo built {0} without naming an executable for it")]
    NoExecutable(String),
    /// The ELF is invalid, or linked for another address.
    #[error("{path}")]
    Elf {
        /// The ELF.
        path: PathBuf,
        /// The cause.
        source: ElfError,
    },
    /// A product could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A product could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A cargo profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Debug assertions and overflow checks, opt-level 0.
    Dev,
    /// The shipped form.
    #[default]
    Release,
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Dev => "dev",
            Self::Release => "release",
        })
    }
}

/// All of rustc's opt-levels; the loader must boot with each.
pub const OPT_LEVELS: [&str; 6] = ["0", "1", "2", "3", "s", "z"];

/// The options of a loader build. `None` leaves a setting to the profile, the caller's environment
/// or the default.
#[derive(Clone, Debug, Default)]
pub struct LoaderBuild {
    /// The cargo profile.
    pub profile: Profile,
    /// One of [`OPT_LEVELS`], instead of the profile's.
    pub opt_level: Option<String>,
    /// The start of the environment, in blocks of 512 bytes.
    pub env_lba: Option<u64>,
    /// The size of one copy of the environment, in bytes.
    pub env_size: Option<u64>,
    /// The start of the second copy, in blocks of 512 bytes.
    pub env_redundant_lba: Option<u64>,
    /// The policy for the kernel's exception level after an entry at EL2: `auto`, `keep` or `drop`.
    pub el2: Option<String>,
    /// Whether the loader prints only warnings and errors.
    pub quiet: bool,
    /// Whether the loader prints every step.
    pub trace: bool,
    /// Whether the ELF has line tables.
    pub lines: bool,
}

/// A built loader in both forms.
#[derive(Clone, Debug)]
pub struct Loader {
    /// For `-kernel`, loaded at its link address.
    pub elf: PathBuf,
    /// For `-kernel`, as a raw arm64 Image.
    pub flat: PathBuf,
}

/// Builds the loader and writes it to `<stem>.elf` and `<stem>.bin`.
///
/// # Errors
/// Every [`BuildError`].
pub fn loader(build: &LoaderBuild, stem: &Path) -> Result<Loader, BuildError> {
    let mut command = bare_metal("build")?;
    command.args(["--package", "little-loader", "--bin", "little-loader"]);
    command.args(["--profile", &build.profile.to_string()]);
    if build.profile == Profile::Dev {
        // The workspace optimises it for the host's tests.
        let level = match build.opt_level.as_deref().unwrap_or("0") {
            letter @ ("s" | "z") => format!("'{letter}'"),
            number => number.to_owned(),
        };
        let setting = format!("profile.dev.package.little-loader-core.opt-level={level}");
        command.args(["--config", &setting]);
    }
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    for (name, value) in [
        ("LITTLE_LOADER_ENV_LBA", number(build.env_lba)),
        ("LITTLE_LOADER_ENV_SIZE", number(build.env_size)),
        (
            "LITTLE_LOADER_ENV_REDUNDANT_LBA",
            number(build.env_redundant_lba),
        ),
        ("LITTLE_LOADER_EL2", build.el2.clone()),
        ("LITTLE_LOADER_QUIET", build.quiet.then(|| "1".to_owned())),
        ("LITTLE_LOADER_TRACE", build.trace.then(|| "1".to_owned())),
        (opt_level_variable(build.profile), build.opt_level.clone()),
        (
            "CARGO_PROFILE_RELEASE_DEBUG",
            build.lines.then(|| "line-tables-only".to_owned()),
        ),
    ] {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let built = executable(&mut command, "little-loader")?;
    let bad = |source| BuildError::Elf {
        path: built.clone(),
        source,
    };
    let elf = read_elf(&built)?;
    elf.check_place().map_err(bad)?;
    let loader = Loader {
        elf: stem.with_extension("elf"),
        flat: stem.with_extension("bin"),
    };
    copy(&built, &loader.elf)?;
    write(&loader.flat, &elf.flat().map_err(bad)?)?;
    Ok(loader)
}

/// Builds the test payload and writes it to `path` as a raw arm64 Image.
///
/// # Errors
/// Every [`BuildError`], except a wrong link address of the ELF.
pub fn payload(path: &Path) -> Result<(), BuildError> {
    let mut command = bare_metal("build")?;
    command.args([
        "--package",
        "payload",
        "--bin",
        "payload",
        "--profile",
        "release",
    ]);
    let built = executable(&mut command, "payload")?;
    let flat = read_elf(&built)?.flat().map_err(|source| BuildError::Elf {
        path: built,
        source,
    })?;
    write(path, &flat)
}

/// Builds the guests' helper, a program that needs nothing but Linux, and returns its path.
///
/// # Errors
/// When it cannot be built.
pub fn guest_helper() -> Result<PathBuf, BuildError> {
    let mut command = bare_metal("build")?;
    command.args(["--package", "guest-helper", "--bin", "guest-helper"]);
    command.args(["--profile", "release"]);
    executable(&mut command, "guest-helper")
}

/// Builds imagegen for an arm64 Linux guest, linked statically so that it needs no libraries there,
/// and returns its path.
///
/// # Errors
/// When it cannot be built.
pub fn updater(cross: &Cross) -> Result<PathBuf, BuildError> {
    let mut command = toolchain::cargo();
    command.args(["build", "--locked", "--target", LINUX_TARGET]);
    command.args(["--package", "imagegen", "--bin", "imagegen"]);
    let flags = format!("target.{LINUX_TARGET}.rustflags=['-Ctarget-feature=+crt-static']");
    command.args(["--config", &flags]);
    // The program writes one slot: a short build matters more than speed. In the dev profile it shares
    // the procedural macros with this program.
    for setting in ["opt-level=1", "debug=0", "strip=true", "panic='abort'"] {
        command.args(["--config", &format!("profile.dev.{setting}")]);
    }
    if let Some(compiler) = &cross.compiler {
        command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", compiler);
        command.env("CC_aarch64_unknown_linux_gnu", compiler);
    }
    if cross.library == StandardLibrary::Source {
        command.env("RUSTC_BOOTSTRAP", "1");
        command.arg("-Zbuild-std=std,panic_abort");
        command.args(["--config", "future-incompat-report.frequency='never'"]);
    }
    executable(&mut command, "imagegen")
}

/// Reads a bare-metal ELF.
///
/// # Errors
/// When it cannot be read, or is not a complete ELF.
pub fn read_elf(path: &Path) -> Result<LoaderElf, BuildError> {
    let bytes = fs::read(path).map_err(|source| BuildError::Read {
        path: path.into(),
        source,
    })?;
    LoaderElf::parse(bytes).map_err(|source| BuildError::Elf {
        path: path.into(),
        source,
    })
}

/// Returns `cargo <subcommand>` for [`TARGET`], with the options that its standard library needs;
/// the caller adds packages and profile.
///
/// # Errors
/// When there is no toolchain, or no standard library for the target.
pub fn bare_metal(subcommand: &str) -> Result<Command, BuildError> {
    let toolchain = Toolchain::query()?;
    let library = toolchain
        .standard_library()
        .ok_or_else(|| BuildError::NoStandardLibrary(toolchain.version.clone()))?;
    let mut command = toolchain::cargo();
    command.args([subcommand, "--locked", "--target", TARGET]);
    command.args(["--config", &paths_without_this_machine(&toolchain)]);
    if library == StandardLibrary::Source {
        // Stable cargo and rustc accept `-Z` options only with this variable. The mem feature adds
        // memcpy and similar functions, like the prebuilt library of bare-metal targets; elsewhere
        // a C library has them.
        command.env("RUSTC_BOOTSTRAP", "1");
        command.args([
            "-Zbuild-std=core",
            "-Zbuild-std-features=compiler-builtins-mem",
        ]);
        // Warnings about the compiler's own library in future compilers are of no use here.
        command.args(["--config", "future-incompat-report.frequency='never'"]);
    }
    Ok(command)
}

/// Returns a cargo setting that makes the paths in panic messages relative to a crate or to the
/// standard library. This makes the loader independent of the building machine, and the paths
/// short.
fn paths_without_this_machine(toolchain: &Toolchain) -> String {
    let mut folders = vec![(toolchain.source_folder().join("library"), "library")];
    for registry in toolchain::registries() {
        folders.push((registry, ""));
    }
    let flags: Vec<_> = folders
        .iter()
        .map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()))
        .collect();
    // A JSON array of strings is valid TOML.
    format!("target.{TARGET}.rustflags={}", json!(flags))
}

fn opt_level_variable(profile: Profile) -> &'static str {
    match profile {
        Profile::Dev => "CARGO_PROFILE_DEV_OPT_LEVEL",
        Profile::Release => "CARGO_PROFILE_RELEASE_OPT_LEVEL",
    }
}

/// The fields of cargo's messages that identify an executable.
#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<MessageTarget>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
}

/// Runs a `cargo build` and finds the executable `name` in its JSON messages; the usual messages go
/// to stderr.
fn executable(command: &mut Command, name: &str) -> Result<PathBuf, BuildError> {
    command.arg("--message-format=json-render-diagnostics");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    // There is no time limit: cargo shows its progress, and may have to wait for another cargo's
    // lock.
    let output = process::start(command)?
        .wait_with_output()
        .map_err(|source| ProcessError::Start {
            command: process::shell_line(command),
            source,
        })?;
    if !output.status.success() {
        let (command, status) = (process::shell_line(command), output.status);
        return Err(ProcessError::Failed {
            command,
            status,
            stderr: String::new(),
        }
        .into());
    }
    named_executable(&output.stdout, name).ok_or_else(|| BuildError::NoExecutable(name.to_owned()))
}

fn named_executable(messages: &[u8], name: &str) -> Option<PathBuf> {
    messages
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| {
            message
                .target
                .as_ref()
                .is_some_and(|target| target.name == name)
        })
        .find_map(|message| message.executable)
}

fn copy(from: &Path, to: &Path) -> Result<(), BuildError> {
    let bytes = fs::read(from).map_err(|source| BuildError::Read {
        path: from.into(),
        source,
    })?;
    write(to, &bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    output::write_whole(path, bytes).map_err(|source| BuildError::Write {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_picked_out_of_cargos_messages() {
        let messages =
            br#"{"reason":"compiler-artifact","target":{"name":"little-loader"},"executable":null}
{"reason":"build-script-executed","package_id":"x"}
{"reason":"compiler-artifact","target":{"name":"payload"},"executable":"/t/payload"}
{"reason":"compiler-artifact","target":{"name":"little-loader"},"executable":"/t/little-loader"}
not json
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            named_executable(messages, "little-loader"),
            Some(PathBuf::from("/t/little-loader"))
        );
        assert_eq!(named_executable(messages, "imagegen"), None);
    }
}
