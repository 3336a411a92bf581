// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen pack`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use fwup::archive::write::Level;
use fwup::create::{PackError, pack};
use fwup::language::Definitions;
use imagegen::size::Size;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::print::{show, show_json};

#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// The configuration; - for stdin
    #[arg(short = 'f', long, value_name = "FILE", default_value = "fwup.conf")]
    configuration: PathBuf,
    /// The archive to write; - for stdout
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The compression level: 1 is fast, 9 is small
    #[arg(short, long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=9))]
    level: u8,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Pack {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        // The bar is drawn on stderr, and only if that is a terminal.
        let bar = ProgressBar::new(0).with_style(
            ProgressStyle::with_template("{msg} [{bar:40}] {bytes}/{total_bytes}")?
                .progress_chars("=> "),
        );
        bar.set_message("packing");
        let created = pack(
            &self.configuration,
            &self.output,
            Level::new(self.level).unwrap_or_default(),
            &mut Definitions::of_process(),
            |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            },
        );
        bar.finish_and_clear();
        let created = match created {
            // The message already starts with the file and line.
            Err(PackError::Language { error, .. }) => return Err((*error).into()),
            created => created?,
        };
        let identity = &created.identity;
        if self.output.as_os_str() == "-" {
            return Ok(ExitCode::SUCCESS);
        }
        if self.json {
            let report = json!({
                "archive": self.output,
                "uuid": identity.uuid,
                "nickname": identity.nickname,
                "data": created.data,
            });
            show_json(&report)?;
        } else {
            show(format!(
                "{}: {} of data, {} ({})\n",
                self.output.display(),
                Size(created.data),
                identity.nickname,
                identity.uuid
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
