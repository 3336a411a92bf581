// SPDX-License-Identifier: MIT OR Apache-2.0

//! Packages from a Debian archive. All of apt's state is in a temporary folder, so the system's own
//! is not changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;
use thiserror::Error;
use wait_timeout::ChildExt;

use super::sources::Source;
use crate::harness::process::{self, ProcessError};

/// The time limit for downloading the package lists of a few suites.
const UPDATE: Duration = Duration::from_secs(600);
/// The time limit for downloading one package: 100 MB at 50 kB/s.
const DOWNLOAD: Duration = Duration::from_secs(2000);
/// The time limit for a query of the downloaded lists.
const QUERY: Duration = Duration::from_secs(60);

/// The reason that a package could not be downloaded.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// apt or dpkg failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The temporary folder could not be used.
    #[error("cannot use {path}")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// apt succeeded, but left no package file.
    #[error("apt-get download left no file for {0}")]
    NoFile(String),
}

/// An opened archive for the packages of one architecture.
#[derive(Debug)]
pub struct Archive {
    folder: TempDir,
}

impl Archive {
    /// Downloads the package lists of `sources` for Debian's `architecture`; ignores suites that
    /// the archive does not have.
    ///
    /// # Errors
    /// When the temporary folder under `cache` cannot be created, or apt cannot be run or times
    /// out.
    pub fn open(
        cache: &Path,
        sources: &[Source],
        architecture: &str,
    ) -> Result<Self, ArchiveError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| ArchiveError::Folder { path, source }
        };
        fs::create_dir_all(cache).map_err(at(cache))?;
        let folder = tempfile::Builder::new()
            .prefix("apt-")
            .tempdir_in(cache)
            .map_err(at(cache))?;
        let root = folder.path();
        for part in ["state/lists/partial", "cache/archives/partial", "download"] {
            fs::create_dir_all(root.join(part)).map_err(at(&root.join(part)))?;
        }
        let lines: String = sources.iter().map(|source| source.line() + "\n").collect();
        for (name, text) in [
            ("status", ""),
            ("sources.list", &lines),
            ("apt.conf", &configuration(root, architecture)),
        ] {
            fs::write(root.join(name), text).map_err(at(&root.join(name)))?;
        }
        let archive = Self { folder };
        // The exit status only shows that some list is missing; a missing package is reported when
        // it is requested.
        let update = process::capture(archive.apt("apt-get").args(["-q", "update"]), UPDATE);
        if let Err(error @ (ProcessError::Start { .. } | ProcessError::TimedOut { .. })) = update {
            return Err(error.into());
        }
        Ok(archive)
    }

    /// Returns every version of `package` in apt's preferred order: newest first within a suite.
    ///
    /// # Errors
    /// When apt-cache cannot be run.
    pub fn versions(&self, package: &str) -> Result<Vec<String>, ArchiveError> {
        let table = process::capture(self.apt("apt-cache").args(["madison", package]), QUERY)?;
        let version = |line: &str| {
            line.split('|')
                .nth(1)
                .map(|version| version.trim().to_owned())
        };
        Ok(table.lines().filter_map(version).collect())
    }

    /// Returns the names of the packages that this version of `package` depends on.
    ///
    /// # Errors
    /// When apt-cache does not know the package.
    pub fn depends(&self, package: &str, version: &str) -> Result<Vec<String>, ArchiveError> {
        let id = format!("{package}={version}");
        let fields = process::capture(self.apt("apt-cache").args(["show", &id]), QUERY)?;
        let depends = fields
            .lines()
            .find_map(|line| line.strip_prefix("Depends:"))
            .unwrap_or_default();
        Ok(depends
            .split(',')
            .filter_map(|one| one.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }

    /// Downloads packages, of one suite if given, and all of their dependencies, including the C
    /// library; returns the package files. They are deleted with `self`.
    ///
    /// # Errors
    /// When apt cannot download them.
    pub fn download_with_dependencies(
        &self,
        packages: &[&str],
        suite: Option<&str>,
    ) -> Result<Vec<PathBuf>, ArchiveError> {
        let folder = self.folder.path().join("cache/archives");
        // This apt's status file is empty, so apt assumes no dependency to be installed already.
        let mut command = self.apt("apt-get");
        command.args(["-qq", "--yes", "--no-install-recommends", "--download-only"]);
        if let Some(suite) = suite {
            command.args(["--target-release", suite]);
        }
        command.arg("install").args(packages);
        process::capture(&mut command, DOWNLOAD)?;
        let failed = |source| ArchiveError::Folder {
            path: folder.clone(),
            source,
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Downloads a package, which apt checks against the archive's signed lists. The file is
    /// deleted with `self`.
    ///
    /// # Errors
    /// When apt cannot download it.
    pub fn download(&self, package: &str, version: &str) -> Result<PathBuf, ArchiveError> {
        let id = format!("{package}={version}");
        let folder = self.folder.path().join("download");
        let uris = process::capture(
            self.apt("apt-get").args(["download", "--print-uris", &id]),
            QUERY,
        )?;
        // 'http://…/name_version_all.deb' name_version_all.deb 45097356 SHA256:…
        let mut words = uris.split_whitespace().skip(1);
        let name = words
            .next()
            .ok_or_else(|| ArchiveError::NoFile(id.clone()))?;
        let size = words.next().and_then(|size| size.parse().ok()).unwrap_or(0);
        let file = folder.join(name);

        let mut command = self.apt("apt-get");
        command
            .args(["-qq", "download", &id])
            .current_dir(&folder)
            .stdout(Stdio::null());
        let bar = progress(size, package);
        let mut child = process::start(&mut command)?;
        let mut waited = Duration::ZERO;
        let status = loop {
            let step = Duration::from_millis(100);
            let status = child.wait_timeout(step);
            match status.map_err(|source| ProcessError::Start {
                command: process::shell_line(&command),
                source,
            })? {
                Some(status) => break status,
                None if waited > DOWNLOAD => {
                    // An error here means that it has already ended.
                    let _ = child.kill().and_then(|()| child.wait());
                    let (command, stderr) = (process::shell_line(&command), String::new());
                    return Err(ProcessError::TimedOut {
                        command,
                        limit: DOWNLOAD,
                        stderr,
                    }
                    .into());
                }
                None => waited += step,
            }
            bar.set_position(fs::metadata(&file).map_or(0, |file| file.len()));
        };
        bar.finish_and_clear();
        if !status.success() {
            let (command, stderr) = (process::shell_line(&command), String::new());
            return Err(ProcessError::Failed {
                command,
                status,
                stderr,
            }
            .into());
        }
        if file.is_file() {
            Ok(file)
        } else {
            Err(ArchiveError::NoFile(id))
        }
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .arg("--config-file")
            .arg(self.folder.path().join("apt.conf"))
            .env("LC_ALL", "C");
        command
    }
}

/// Returns an apt configuration that keeps the system's (it may set a proxy) except for paths,
/// architecture and hooks. It accepts a mirror with expired lists: apt still checks signatures, and
/// setup needs either an exact version or any of Debian's kernels.
fn configuration(root: &Path, architecture: &str) -> String {
    let root = root.display();
    format!(
        r#"Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "-";
#clear APT::Architectures;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Retries "2";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"#
    )
}

/// Creates a progress bar for a download of `size` bytes; it is only drawn on a terminal.
fn progress(size: u64, what: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("  {msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    let bar = ProgressBar::new(size).with_message(what.to_owned());
    // The template is constant and valid; if not, indicatif's default is used.
    if let Ok(style) = style {
        bar.with_style(style)
    } else {
        bar
    }
}
