// SPDX-License-Identifier: MIT OR Apache-2.0

//! `status`, `report` and `metrics`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::control::Client;
use crate::engines::slurm;
use crate::folder::Folder;
use crate::metrics::{self, MetricsArgs};
use crate::model::Status;
use crate::report::{self, ReportArgs};
use crate::screen::{self, StatusArgs};

/// What can also be said about a fleet of many hosts.
#[derive(Args, Debug)]
pub(super) struct OfJobs<T: Args> {
    #[command(flatten)]
    arguments: T,
    /// Instead of one supervisor's fleet, that of all tasks of a job that `slurm` has written: the
    /// job's folder
    #[arg(long, value_name = "FOLDER")]
    gather: Option<PathBuf>,
}

pub(super) fn main(arguments: &OfJobs<StatusArgs>, folder: &Folder) -> Result<ExitCode> {
    if let Some(job) = &arguments.gather {
        screen::main(&arguments.arguments, || slurm::status(job))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut client = Client::connect(folder)?;
    screen::main(&arguments.arguments, || Ok(client.status()?))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn report(arguments: &OfJobs<ReportArgs>, folder: &Folder) -> Result<ExitCode> {
    let (report, job) = (&arguments.arguments, &arguments.gather);
    match job {
        Some(job) => report::write(report, &slurm::status(job)?, &slurm::events(job)?)?,
        None => report::main(report, &status(folder)?, &folder.history())?,
    }
    println!("{}", report.output.display());
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
