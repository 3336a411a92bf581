// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen inspect`

use std::fmt::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use imagegen::inspect::{Report, inspect};
use imagegen::size::Size;

use super::place::PlaceArguments;
use super::print::{show, show_json};

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The image
    image: PathBuf,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

impl Inspect {
    /// Returns exit status 1 if the report lists problems.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let report = inspect(&self.image, self.place.place())?;
        if self.json {
            show_json(&report)?;
        } else {
            let mut text = String::new();
            write(&report, &mut text)?;
            show(text)?;
        }
        Ok(if report.problems.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "{:>10} {:>10} {:>10}  what", "block", "blocks", "size")?;
    for region in &report.regions {
        let size = Size(region.blocks.saturating_mul(512)).to_string();
        let separator = if region.details.is_empty() { "" } else { ": " };
        writeln!(
            out,
            "{:>10} {:>10} {size:>10}  {}{separator}{}",
            region.start, region.blocks, region.what, region.details
        )?;
    }
    writeln!(out, "\nenvironment")?;
    for (name, value) in &report.variables {
        writeln!(out, "  {name}={value}")?;
    }
    if report.problems.is_empty() {
        writeln!(out, "\nno problems found")?;
    }
    for problem in &report.problems {
        writeln!(out, "\nproblem: {problem}")?;
    }
    Ok(())
}
