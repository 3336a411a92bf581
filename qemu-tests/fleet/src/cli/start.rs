// SPDX-License-Identifier: MIT OR Apache-2.0

//! `start`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use super::images::Images;
use super::progress::{self, Goal};
use super::settings::{self, Options};
use super::supervise;
use crate::control::{Client, Request, Response, StartRequest};
use crate::folder::Folder;
use crate::host;
use crate::screen;

/// Start guests, and supervise them until Ctrl-C, which stops them; with a supervisor that runs
/// already, add guests to its fleet
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// How many guests [default: 1; with --fill: as many as fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// How many are started at once [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    chunk: Option<u32>,
    /// The seconds between two chunks [default: 1; for clones 0]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    delay: Option<f64>,
    /// Start guests until the memory is full, and say how many fitted
    #[arg(long)]
    fill: bool,
    /// The memory that all guests may take [default: what --reserve leaves]
    #[arg(long, value_name = "SIZE", value_parser = settings::mebibytes)]
    limit: Option<u64>,
    /// Leave the supervisor in the background, and return when every guest is up or has failed
    #[arg(long)]
    detach: bool,
    /// The seconds to wait for the guests with --detach or a supervisor that runs already
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    timeout: u64,
    /// Discard what guests have written to their disks, and their consoles' logs
    #[arg(long)]
    fresh: bool,
    /// Print lines instead of the live table, as without a terminal
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    options: Options,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok();
    seconds
        .filter(|seconds: &f64| (0.0..=86_400.0).contains(seconds))
        .ok_or_else(|| "not a number of seconds".to_owned())
}

pub(super) fn main(
    arguments: &Arguments,
    folder: &Folder,
    images: &dyn Images,
) -> Result<ExitCode> {
    let request = arguments.request();
    if folder.is_locked() {
        if arguments.fresh {
            bail!(
                "--fresh cannot discard the disks of guests that run; `stop` ends the supervisor of {} first",
                folder.root().display()
            );
        }
        return arguments.ask(&mut Client::connect(folder)?, request);
    }
    let settings = arguments.options.settings(images)?;
    crate::limits::check(if arguments.fill { 1 } else { request.count })?;
    if arguments.detach {
        supervise::detach(folder, &settings, arguments.fresh, images.words())?;
        return arguments.ask(&mut Client::connect(folder)?, request);
    }
    let supervisor = supervise::supervisor(folder, settings, arguments.fresh, images.words())?;
    let handle = supervisor.handle();
    let (first, last) = handle.start(request)?;
    let goal = Goal { first, last };
    let table = if arguments.plain || !io::stdout().is_terminal() {
        supervisor.spawn(progress::show(handle, goal));
        None
    } else {
        // The supervisor needs this thread: its guests end with it.
        Some(thread::spawn(move || {
            let source = handle.clone();
            let shown = screen::watch(move || Ok(source.status()));
            handle.end();
            shown
        }))
    };
    supervisor.run()?;
    if let Some(Ok(shown)) = table.map(thread::JoinHandle::join) {
        shown?;
    }
    eprintln!("all guests are stopped");
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn request(&self) -> StartRequest {
        let usual = if self.fill { u32::MAX } else { 1 };
        StartRequest {
            count: self.count.unwrap_or(usual),
            chunk: self.chunk.unwrap_or_else(|| host::measure().cpus),
            delay: self
                .delay
                .unwrap_or(if self.options.clones { 0.0 } else { 1.0 }),
            fill: self.fill,
            limit_mib: self.limit,
        }
    }

    /// Asks a supervisor in another process for guests, and waits for them.
    fn ask(&self, client: &mut Client, request: StartRequest) -> Result<ExitCode> {
        let response = client.ask(&Request::Start(request))?;
        let Response::Started { first, last } = response else {
            bail!(
                "the supervisor answered something else: {response:?}; is it of another version?"
            );
        };
        let limit = Duration::from_secs(self.timeout);
        progress::wait(client, Goal { first, last }, limit)
    }
}
