// SPDX-License-Identifier: MIT OR Apache-2.0

//! What imagegen takes to make a firmware archive of a kernel and to apply it: time, and the memory at its peak.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::process::{self, ProcessError};
use crate::toolchain;

/// How often each is done; the least counts.
const RUNS: usize = 5;
/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// How long building imagegen may take.
const BUILD: Duration = Duration::from_secs(600);

/// Why something could not be measured.
#[derive(Debug, Error)]
pub enum FirmwareError {
    /// imagegen could not be built or started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It failed.
    #[error("{command} ended with {status}")]
    Status {
        /// What was run.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// A file could not be used.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What one command took, the least of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// From start to end.
    pub time: Duration,
    /// The memory at its peak in KiB, as far as it was seen; 0 where the system does not tell.
    pub memory_kib: u64,
}

/// Packs `kernel` into an archive in `folder`, and applies that to a new image there, with a release build of imagegen.
///
/// # Errors
/// When a command fails.
pub fn measure(kernel: &Path, folder: &Path) -> Result<(Cost, Cost), FirmwareError> {
    let mut build = toolchain::cargo();
    build.args(["build", "--release", "--locked", "--package", "imagegen"]);
    process::run(&mut build, BUILD)?;
    let imagegen = crate::paths::target().join("release/imagegen");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FirmwareError::Io { path, source }
    };
    let configuration = folder.join("fwup.conf");
    let text = format!(
        "file-resource Image {{ host-path = \"{}\" }}\ntask complete {{ on-resource Image {{ raw_write(0) }} }}\n",
        kernel.display()
    );
    fs::write(&configuration, text).map_err(failed(&configuration))?;
    let (archive, image) = (folder.join("kernel.fw"), folder.join("kernel.img"));
    let pack = least(|| {
        let mut command = Command::new(&imagegen);
        command.arg("pack").arg("-f").arg(&configuration);
        command.arg("-o").arg(&archive);
        Ok(command)
    })?;
    let apply = least(|| {
        if image.exists() {
            fs::remove_file(&image).map_err(failed(&image))?;
        }
        let mut command = Command::new(&imagegen);
        command.arg("apply").arg(&archive).arg("-d").arg(&image);
        Ok(command)
    })?;
    Ok((pack, apply))
}

fn least(
    mut command: impl FnMut() -> Result<Command, FirmwareError>,
) -> Result<Cost, FirmwareError> {
    let mut least = Cost {
        time: Duration::MAX,
        memory_kib: 0,
    };
    for _run in 0..RUNS {
        let mut command = command()?;
        command.stdout(std::process::Stdio::null());
        let begun = Instant::now();
        let mut child = process::start(&mut command)?;
        loop {
            least.memory_kib = least.memory_kib.max(peak(&child));
            let ended = child.try_wait().map_err(|source| FirmwareError::Io {
                path: command.get_program().into(),
                source,
            })?;
            match ended {
                None => thread::sleep(LOOK),
                Some(status) if status.success() => break,
                Some(status) => {
                    let command = process::shell_line(&command);
                    return Err(FirmwareError::Status { command, status });
                }
            }
        }
        least.time = least.time.min(begun.elapsed());
    }
    Ok(least)
}

/// The most memory that a process has had until now, in KiB (proc(5), `/proc/pid/status`, `VmHWM`).
fn peak(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
    status
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().strip_suffix(" kB")?.trim().parse().ok()
        })
        .unwrap_or(0)
}
