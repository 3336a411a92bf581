// SPDX-License-Identifier: MIT OR Apache-2.0

//! Starts supervisors, in this process or in the background.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::images::Images;
use crate::control::Client;
use crate::error::FleetError;
use crate::folder::Folder;
use crate::settings::Settings;
use crate::supervisor::Supervisor;

/// How long a supervisor in the background may take to listen.
const LISTENS: Duration = Duration::from_secs(30);

/// The hidden subcommand that supervises in the background
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The settings, in JSON
    #[arg(long, value_parser = settings)]
    settings: Settings,
    /// Discard the guests' disks
    #[arg(long)]
    fresh: bool,
}

fn settings(text: &str) -> Result<Settings, serde_json::Error> {
    serde_json::from_str(text)
}

pub(super) fn main(
    arguments: &Arguments,
    folder: &Folder,
    images: &dyn Images,
) -> Result<ExitCode> {
    // A session of its own: the terminal's end is not the fleet's.
    rustix::process::setsid().context("cannot begin a session")?;
    let settings = arguments.settings.clone();
    supervisor(folder, settings, arguments.fresh, images.words())?.run()?;
    Ok(ExitCode::SUCCESS)
}

/// Makes this process the supervisor of `folder`.
pub(super) fn supervisor(
    folder: &Folder,
    settings: Settings,
    fresh: bool,
    words: &[&str],
) -> Result<Supervisor> {
    let program = env::current_exe().context("cannot find this program")?;
    let mut launcher = vec![program.into_os_string()];
    launcher.extend(words.iter().map(OsString::from));
    Ok(Supervisor::new(folder, settings, fresh, launcher)?)
}

/// Starts a supervisor in the background, and returns when it listens.
pub(super) fn detach(
    folder: &Folder,
    settings: &Settings,
    fresh: bool,
    words: &[&str],
) -> Result<()> {
    fs::create_dir_all(folder.root())
        .with_context(|| format!("cannot create {}", folder.root().display()))?;
    let log = folder.log();
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(env::current_exe().context("cannot find this program")?);
    command.args(words).arg("--state").arg(folder.root());
    command.args(["supervise", "--settings", &serde_json::to_string(settings)?]);
    if fresh {
        command.arg("--fresh");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone().context("cannot copy a descriptor")?)
        .stderr(file)
        .spawn()
        .context("cannot start the supervisor")?;
    let begun = Instant::now();
    loop {
        match Client::connect(folder) {
            Ok(_) => return Ok(()),
            Err(FleetError::NoSupervisor { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = child.try_wait().context("cannot wait for the supervisor")? {
            let words = fs::read_to_string(&log).unwrap_or_default();
            let words = words.trim().trim_start_matches("error: ");
            bail!("the supervisor has ended ({status}): {words}");
        }
        if begun.elapsed() > LISTENS {
            bail!(
                "the supervisor does not listen after {} s; its words are in {}",
                LISTENS.as_secs(),
                log.display()
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
}
