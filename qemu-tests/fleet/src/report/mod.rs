// SPDX-License-Identifier: MIT OR Apache-2.0

//! A report about a fleet: one HTML file with charts, and the command `report`.
//!
//! The file needs no other one and no JavaScript, and follows the reader's choice of light or dark.

mod chart;
mod figures;
mod history;
mod page;
mod tables;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::model::{Event, Status};
use crate::plan::Measured;

pub use chart::ChartError;
pub use history::{HistoryError, read};
pub use page::html;

/// Draws what happened in a fleet into one HTML file.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "fleet.html")]
    pub output: PathBuf,
    /// Write the figures of this fleet for `plan --measured`, too
    #[arg(long, value_name = "FILE")]
    pub measured: Option<PathBuf>,
}

/// Writes the report about `status` and the events in the file `history`.
///
/// # Errors
/// When the history cannot be read or the report cannot be written.
pub fn main(arguments: &ReportArgs, status: &Status, history: &Path) -> anyhow::Result<()> {
    let file = File::open(history)
        .with_context(|| format!("opening the history {}", history.display()))?;
    let events =
        read(BufReader::new(file)).with_context(|| format!("reading {}", history.display()))?;
    write(arguments, status, &events)
}

/// Writes the report about `status` and `events`.
///
/// # Errors
/// When the report cannot be written.
pub fn write(arguments: &ReportArgs, status: &Status, events: &[Event]) -> anyhow::Result<()> {
    let page = html(status, events)?;
    crate::write_whole(&arguments.output, page.as_bytes())?;
    if let Some(path) = &arguments.measured {
        let figures = Measured::emulated().with_fleet(status, events).check()?;
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        crate::write_whole(path, text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
