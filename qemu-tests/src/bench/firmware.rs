// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cost of creating a firmware archive of a kernel with imagegen and of applying it: time and
//! peak memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::linux::peak;
use crate::harness::process::{self, ProcessError};
use crate::toolchain;

/// The number of runs of each command; the shortest time is used.
const RUNS: usize = 5;
/// The interval between reads of the process's memory.
const LOOK: Duration = Duration::from_millis(1);
/// The time limit for packing a kernel.
const LIMIT: Duration = Duration::from_secs(600);

/// The reason that a measurement failed.
#[derive(Debug, Error)]
pub enum FirmwareError {
    /// imagegen could not be built or started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A command failed.
    #[error("{command} ended with {status}")]
    Status {
        /// The command.
        command: String,
        /// Its exit status.
        status: std::process::ExitStatus,
    },
    /// A file could not be used.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The cost of one command over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FwupCost {
    /// The time from start to exit: the shortest run.
    pub time: Duration,
    /// The highest peak memory that was read, in KiB; `None` if it was not: the system does not
    /// report it, or every run ended too soon.
    pub memory_kib: Option<u64>,
}

/// The costs of packing a kernel and of applying the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// `imagegen pack`.
    pub pack: FwupCost,
    /// `imagegen apply` to a new image.
    pub apply: FwupCost,
}

/// An imagegen binary to measure.
#[derive(Clone, Debug)]
pub struct Imagegen {
    program: PathBuf,
}

impl Imagegen {
    /// Builds imagegen with the release profile, which users have, or with the dev profile of the
    /// tests.
    ///
    /// # Errors
    /// When the build fails.
    pub fn build(release: bool) -> Result<Self, FirmwareError> {
        let program = toolchain::host_program("imagegen", release)?;
        Ok(Self { program })
    }

    /// Creates an archive of only `kernel` in `folder` and returns its size in bytes.
    ///
    /// # Errors
    /// When the archive cannot be created.
    pub fn archive_size(&self, kernel: &Path, folder: &Path) -> Result<u64, FirmwareError> {
        let mut command = self.pack(kernel, folder)?;
        process::capture(&mut command, LIMIT)?;
        let archive = archive(folder);
        let metadata = fs::metadata(&archive).map_err(failed(&archive))?;
        Ok(metadata.len())
    }

    /// Measures packing `kernel` into an archive in `folder` and applying it to a new image there.
    ///
    /// # Errors
    /// When a command fails.
    pub fn measure(&self, kernel: &Path, folder: &Path) -> Result<Costs, FirmwareError> {
        let image = folder.join("kernel.img");
        let pack = least(|| self.pack(kernel, folder))?;
        let apply = least(|| {
            if image.exists() {
                fs::remove_file(&image).map_err(failed(&image))?;
            }
            let mut command = Command::new(&self.program);
            command.arg("apply").arg(archive(folder));
            command.arg("-d").arg(&image);
            Ok(command)
        })?;
        Ok(Costs { pack, apply })
    }

    fn pack(&self, kernel: &Path, folder: &Path) -> Result<Command, FirmwareError> {
        let configuration = folder.join("fwup.conf");
        let text = format!(
            "file-resource Image {{ host-path = \"{}\" }}\ntask complete {{ on-resource Image {{ raw_write(0) }} }}\n",
            kernel.display()
        );
        fs::write(&configuration, text).map_err(failed(&configuration))?;
        let mut command = Command::new(&self.program);
        command.arg("pack").arg("-f").arg(&configuration);
        command.arg("-o").arg(archive(folder));
        Ok(command)
    }
}

/// Returns the size of `file` after `gzip -9`, in bytes: a limit for its archive that follows
/// Debian's current kernel.
///
/// # Errors
/// When gzip is missing or fails.
pub fn gzip_size(file: &Path) -> Result<u64, FirmwareError> {
    let mut command = Command::new("gzip");
    command.args(["-9", "--stdout", "--"]).arg(file);
    command.stdout(Stdio::piped());
    let mut child = process::start(&mut command)?;
    let size = match child.stdout.take() {
        Some(mut packed) => io::copy(&mut packed, &mut io::sink()).map_err(failed(file))?,
        None => 0,
    };
    let status = child.wait().map_err(failed(file))?;
    if !status.success() {
        let command = process::shell_line(&command);
        return Err(FirmwareError::Status { command, status });
    }
    Ok(size)
}

fn archive(folder: &Path) -> PathBuf {
    folder.join("kernel.fw")
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> FirmwareError {
    let path = path.to_owned();
    move |source| FirmwareError::Io { path, source }
}

fn least(
    mut command: impl FnMut() -> Result<Command, FirmwareError>,
) -> Result<FwupCost, FirmwareError> {
    let mut least = FwupCost {
        time: Duration::MAX,
        memory_kib: None,
    };
    for _run in 0..RUNS {
        let mut command = command()?;
        command.stdout(Stdio::null());
        let begun = Instant::now();
        least.memory_kib = least.memory_kib.max(peak_memory(&mut command)?);
        least.time = least.time.min(begun.elapsed());
    }
    Ok(least)
}

/// Runs a command and returns the highest peak memory that was read, in KiB; `None` if it ended
/// before that.
pub(super) fn peak_memory(command: &mut Command) -> Result<Option<u64>, FirmwareError> {
    let mut child = process::start(command)?;
    let mut memory_kib = None;
    loop {
        memory_kib = memory_kib.max(peak(child.id()));
        let ended = child.try_wait().map_err(|source| FirmwareError::Io {
            path: command.get_program().into(),
            source,
        })?;
        match ended {
            None => thread::sleep(LOOK),
            Some(status) if status.success() => return Ok(memory_kib),
            Some(status) => {
                let command = process::shell_line(command);
                return Err(FirmwareError::Status { command, status });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_known_only_if_it_was_read() {
        let mut sleep = Command::new("sleep");
        let read = peak_memory(sleep.arg("0.2")).unwrap();
        assert!(!cfg!(target_os = "linux") || read > Some(100), "{read:?}");
        assert_ne!(peak_memory(&mut Command::new("true")).unwrap(), Some(0));
        assert!(peak_memory(&mut Command::new("false")).is_err());
    }

    #[test]
    fn gzip_is_asked() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [7; 100_000]).unwrap();
        let size = gzip_size(file.path()).unwrap();
        assert!((50..1000).contains(&size), "{size}");
        let error = gzip_size(Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("gzip -9"), "{error}");
    }
}
