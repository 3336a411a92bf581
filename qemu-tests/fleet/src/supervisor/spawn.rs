// SPDX-License-Identifier: MIT OR Apache-2.0

//! Starts a QEMU, connects to it, and says how it ended.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::shared::Shared;
use crate::error::FleetError;
use crate::folder;
use crate::launch::Orders;
use crate::machine::{self, Instance};

/// The file in a guest's folder with what its QEMU has written to stderr.
const LOG: &str = "qemu.log";
/// The pause between attempts to connect to a QEMU that starts.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes `folder` ready for a QEMU that runs in it.
pub(super) fn prepare(folder: &Path) -> Result<(), FleetError> {
    fs::create_dir_all(folder).map_err(FleetError::io("create", folder))?;
    for socket in ["qmp.sock", "console.sock"] {
        let path = folder.join(socket);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FleetError::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Starts the QEMU of `instance` in `folder`.
pub(super) fn spawn(
    shared: &Shared,
    folder: &Path,
    instance: &Instance,
    cpus: Vec<u32>,
    input: Stdio,
) -> Result<Child, FleetError> {
    let orders = Orders {
        parent: std::process::id(),
        cpus,
        no_huge_pages: true,
        merges: shared.settings.ksm,
        oom_score: 300,
    };
    let log_path = folder.join(LOG);
    let log = File::create(&log_path).map_err(FleetError::io("write", &log_path))?;
    let program = &shared.launcher[0];
    let failed = |error: io::Error| FleetError::io("start", Path::new(program))(error);
    let words = orders
        .words(&machine::command(&shared.settings, instance))
        .map_err(|error| failed(error.into()))?;
    Command::new(program)
        .args(&shared.launcher[1..])
        .args(words)
        .current_dir(folder)
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}

/// Connects to the QEMU that runs in `folder` as soon as it listens.
pub(super) async fn connect(folder: &Path) -> Option<tokio::net::UnixStream> {
    loop {
        let connected = folder::with_socket(folder, "qmp.sock", |path| UnixStream::connect(path));
        if let Ok(stream) = connected {
            stream.set_nonblocking(true).ok()?;
            return tokio::net::UnixStream::from_std(stream).ok();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Says how the QEMU that ran in `folder` ended, with its last complaint.
pub(super) fn ending(folder: &Path, status: io::Result<ExitStatus>) -> String {
    let ending = match status {
        Ok(status) => describe(status),
        Err(error) => format!("QEMU cannot be waited for: {error}"),
    };
    match last_line(&folder.join(LOG)) {
        Some(line) => format!("{ending}: {line}"),
        None => ending,
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (_, Some(signal)) => format!("QEMU was ended by signal {signal}"),
        (Some(code), _) => format!("QEMU ended with exit status {code}"),
        _ => "QEMU ended".to_owned(),
    }
}

/// Returns the last line of QEMU's complaints.
fn last_line(path: &Path) -> Option<String> {
    const MOST: u64 = 4096;
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST)))
        .ok()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().rev();
    lines
        .find(|line| !line.trim().is_empty())
        .map(|line| line.trim().to_owned())
}
