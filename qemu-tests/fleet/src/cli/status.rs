// SPDX-License-Identifier: MIT OR Apache-2.0

//! `status`, `report` and `metrics`.

use std::process::ExitCode;

use anyhow::Result;

use crate::control::Client;
use crate::folder::Folder;
use crate::metrics::{self, MetricsArgs};
use crate::model::Status;
use crate::report::{self, ReportArgs};
use crate::screen::{self, StatusArgs};

pub(super) fn main(arguments: &StatusArgs, folder: &Folder) -> Result<ExitCode> {
    let mut client = Client::connect(folder)?;
    screen::main(arguments, || Ok(client.status()?))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn report(arguments: &ReportArgs, folder: &Folder) -> Result<ExitCode> {
    report::main(arguments, &status(folder)?, &folder.history())?;
    println!("{}", arguments.output.display());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn metrics(arguments: &MetricsArgs, folder: &Folder) -> Result<ExitCode> {
    let folder = folder.clone();
    metrics::main(arguments, move || status(&folder))?;
    Ok(ExitCode::SUCCESS)
}

fn status(folder: &Folder) -> Result<Status> {
    Ok(Client::connect(folder)?.status()?)
}
