// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen info` and `imagegen tasks`

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use fwup::archive::contents::Contents;
use fwup::archive::firmware_archive::FirmwareArchive;
use fwup::archive::metadata;
use fwup::firmware::model::{Call, Task};
use fwup::language::{Definitions, quoted};
use imagegen::size::Size;
use serde_json::{Map, Value, json};

use super::print::{show, show_json};

/// Opens an archive; `-` is stdin.
pub(super) fn open_input(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Box::new(file))
}

/// Reads the start of an archive.
fn open(path: &Path) -> anyhow::Result<FirmwareArchive<Box<dyn Read + Send>>> {
    let input = open_input(path)?;
    FirmwareArchive::read(input, &mut Definitions::of_process())
        .with_context(|| path.display().to_string())
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// The firmware archive; - for stdin
    archive: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let archive = open(&self.archive)?;
        let contents = Contents::of(&archive);
        if self.json {
            show_json(&contents)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut text = String::new();
        for (name, value) in metadata::metadata(&archive) {
            let name = name.strip_prefix("meta-").unwrap_or(name);
            writeln!(text, "{name:<16}{value}")?;
        }
        writeln!(text, "{:<16}{}", "tasks", contents.tasks.join(" "))?;
        for (what, names) in [
            ("uses", contents.features.join(" ")),
            ("needs variables", contents.required_variables.join(" ")),
        ] {
            if !names.is_empty() {
                writeln!(text, "{what:<16}{names}")?;
            }
        }
        writeln!(text, "{:<16}{}", "needs fwup", contents.fwup_version)?;
        for resource in &contents.resources {
            let holes: u64 = resource.length.iter().skip(1).step_by(2).sum();
            let data: u64 = resource.length.iter().step_by(2).sum();
            write!(text, "{:<16}{}: {}", "resource", resource.name, Size(data))?;
            if holes > 0 {
                write!(text, " and {} of holes", Size(holes))?;
            }
            writeln!(text)?;
        }
        show(text)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// The firmware archive; - for stdin
    archive: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Tasks {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let archive = open(&self.archive)?;
        let tasks = &archive.firmware.tasks;
        if self.json {
            let tasks: Vec<_> = tasks.iter().map(to_json).collect();
            show_json(&tasks)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut text = String::new();
        for task in tasks {
            writeln!(text, "{}", task.name)?;
            let mut lines = |what: &str, calls: &[Call]| {
                calls
                    .iter()
                    .try_for_each(|call| writeln!(text, "  {what:<12}{}", to_text(call)))
            };
            lines("requires", &task.requirements)?;
            lines("on-init", &task.on_init)?;
            for handler in &task.on_resource {
                lines(&format!("{} ", handler.resource), &handler.actions)?;
            }
            lines("on-finish", &task.on_finish)?;
            lines("on-error", &task.on_error)?;
        }
        show(text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Formats a call as in a configuration.
fn to_text(call: &Call) -> String {
    let arguments: Vec<_> = call.arguments.iter().map(|text| quoted(text)).collect();
    format!("{}({})", call.name, arguments.join(", "))
}

fn to_json(task: &Task) -> Value {
    let calls = |calls: &[Call]| -> Vec<Value> {
        calls
            .iter()
            .map(|call| json!({"name": call.name, "arguments": call.arguments}))
            .collect()
    };
    let resources: Map<_, _> = task
        .on_resource
        .iter()
        .map(|handler| (handler.resource.clone(), calls(&handler.actions).into()))
        .collect();
    json!({
        "name": task.name,
        "requirements": calls(&task.requirements),
        "on-init": calls(&task.on_init),
        "on-resource": resources,
        "on-finish": calls(&task.on_finish),
        "on-error": calls(&task.on_error),
    })
}
