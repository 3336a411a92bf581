// SPDX-License-Identifier: MIT OR Apache-2.0

//! Building the loader and the test payload for bare metal.

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
use crate::toolchain::{self, StandardLibrary, TARGET, Toolchain, ToolchainError};

/// Why no bare-metal binary could be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// cargo could not be run, or said no (its own messages went to stderr).
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The toolchain could not be examined.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// Neither form of the standard library is there.
    #[error("rustc {0} has no standard library for {TARGET}; `cargo qemu setup` installs it")]
    NoStandardLibrary(String),
    /// cargo ended well but named no executable.
    #[error("cargo built {0} without naming an executable for it")]
    NoExecutable(String),
    /// The ELF is not what it has to be.
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
    /// As shipped.
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

/// Every opt-level that rustc has; the loader must boot with each.
pub const OPT_LEVELS: [&str; 6] = ["0", "1", "2", "3", "s", "z"];

/// How to build the loader. `None` leaves a setting to the profile, the caller's environment or the
/// default.
#[derive(Clone, Debug, Default)]
pub struct LoaderBuild {
    /// The cargo profile.
    pub profile: Profile,
    /// One of [`OPT_LEVELS`], instead of the profile's.
    pub opt_level: Option<String>,
    /// Where the environment starts, in blocks of 512 bytes.
    pub env_lba: Option<u64>,
    /// The size of one copy of the environment, in bytes.
    pub env_size: Option<u64>,
    /// Where the second copy starts, in blocks of 512 bytes.
    pub env_redundant_lba: Option<u64>,
    /// The level for the kernel after an entry at EL2: `auto`, `keep` or `drop`.
    pub el2: Option<String>,
    /// Narrate every step.
    pub trace: bool,
    /// Tell beside the code which lines it comes from.
    pub lines: bool,
}

/// A built loader in both forms.
#[derive(Clone, Debug)]
pub struct Loader {
    /// For `-kernel`, loaded where it is linked.
    pub elf: PathBuf,
    /// For `-kernel`, as a raw arm64 Image.
    pub flat: PathBuf,
}

/// Builds the loader and leaves it as `<stem>.elf` and `<stem>.bin`.
///
/// # Errors
/// Every [`BuildError`].
pub fn loader(build: &LoaderBuild, stem: &Path) -> Result<Loader, BuildError> {
    let mut command = bare_metal("build")?;
    command.args(["--package", "little-loader", "--bin", "little-loader"]);
    command.args(["--profile", &build.profile.to_string()]);
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    for (name, value) in [
        ("LITTLE_LOADER_ENV_LBA", number(build.env_lba)),
        ("LITTLE_LOADER_ENV_SIZE", number(build.env_size)),
        (
            "LITTLE_LOADER_ENV_REDUNDANT_LBA",
            number(build.env_redundant_lba),
        ),
        ("LITTLE_LOADER_EL2", build.el2.clone()),
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

/// Builds the test payload and leaves it as the raw arm64 Image `path`.
///
/// # Errors
/// Every [`BuildError`] but a wrong place of the ELF.
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

/// `cargo <subcommand>` for [`TARGET`] with whatever its standard library needs; packages and
/// profile are up to the caller.
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
        // Stable cargo and rustc take `-Z` options only with this variable. The mem feature is what
        // the prebuilt library of bare-metal targets has: memcpy and its kin, which
        // otherwise come from a C library.
        command.env("RUSTC_BOOTSTRAP", "1");
        command.args([
            "-Zbuild-std=core",
            "-Zbuild-std-features=compiler-builtins-mem",
        ]);
        // The library of one's own compiler is nothing to report about future compilers.
        command.args(["--config", "future-incompat-report.frequency='never'"]);
    }
    Ok(command)
}

/// A setting for cargo: the places that a panic names are those within a crate and within the
/// standard library. So the loader is the same whoever builds it, and the names take no more of it
/// than they must.
fn paths_without_this_machine(toolchain: &Toolchain) -> String {
    let mut folders = vec![(toolchain.source_folder().join("library"), "library")];
    for registry in toolchain::registries() {
        folders.push((registry, ""));
    }
    let flags: Vec<_> = folders
        .iter()
        .map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()))
        .collect();
    // JSON's lists of texts are TOML's too.
    format!("target.{TARGET}.rustflags={}", json!(flags))
}

fn opt_level_variable(profile: Profile) -> &'static str {
    match profile {
        Profile::Dev => "CARGO_PROFILE_DEV_OPT_LEVEL",
        Profile::Release => "CARGO_PROFILE_RELEASE_OPT_LEVEL",
    }
}

/// The part of cargo's messages that names what was built.
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

/// Runs a `cargo build` and finds the executable `name` in its messages; people see the usual ones
/// on stderr.
fn executable(command: &mut Command, name: &str) -> Result<PathBuf, BuildError> {
    command.arg("--message-format=json-render-diagnostics");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    // No time limit: cargo shows what it does, and waits for other cargos as long as it takes.
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
