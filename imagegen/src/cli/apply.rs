// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen apply`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use fwup::apply::{Observer, UnmetRequirement, explain};
use fwup::language::Definitions;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::firmware::open_input;
use super::print::{show, show_json};

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The firmware archive, as created by fwup; - for stdin
    archive: PathBuf,
    /// The image, raw or qcow2, or block device to write to; a missing image is created
    #[arg(short, long, value_name = "IMAGE")]
    destination: PathBuf,
    /// The task, or a prefix of its name: the first match whose requirements hold is applied
    #[arg(short, long, default_value = "complete")]
    task: String,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Shows a bar on a terminal, and collects the task's messages.
struct Progress {
    bar: ProgressBar,
    messages: Vec<String>,
    unmet: Vec<UnmetRequirement>,
}

impl Observer for Progress {
    fn progress(&mut self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    fn info(&mut self, message: &str) {
        self.messages.push(message.to_owned());
    }

    fn unmet(&mut self, unmet: UnmetRequirement) {
        self.unmet.push(unmet);
    }
}

impl Apply {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let input = open_input(&self.archive)?;
        // The bar is drawn on stderr, and only if that is a terminal.
        let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
            "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        )?);
        let mut progress = Progress {
            bar,
            messages: Vec::new(),
            unmet: Vec::new(),
        };
        let result = imagegen::apply::apply_to(
            input,
            &self.destination,
            &self.task,
            &mut Definitions::of_process(),
            &mut progress,
        );
        progress.bar.finish_and_clear();
        if !self.json {
            for message in &progress.messages {
                show(format!("{message}\n"))?;
            }
        }
        if result.is_err() {
            for reason in explain(&progress.unmet) {
                eprintln!("{reason}");
            }
        }
        let applied = result.with_context(|| {
            format!(
                "applying {} to {}",
                self.archive.display(),
                self.destination.display()
            )
        })?;
        if self.json {
            let report = json!({
                "task": applied.task,
                "messages": progress.messages,
                "reboot_parameter": applied.reboot_parameter,
            });
            show_json(&report)?;
        } else {
            let done = format!(
                "{}: task {} is done\n",
                self.destination.display(),
                applied.task
            );
            show(done)?;
            if let Some(parameter) = applied.reboot_parameter {
                show(format!("parameter for the next boot: {parameter:?}\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
