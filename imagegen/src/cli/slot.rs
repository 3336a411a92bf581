// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen slot`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use imagegen::env_file::EnvFile;
use imagegen::install::Update;
use imagegen::slots;
use imagegen::variables::Variables;
use little_loader_core::env::place::EnvPlace;
use little_loader_core::slots::policy::Attempt;
use little_loader_core::slots::slot::Slot;
use serde_json::json;

use super::place::PlaceArguments;
use super::print::{show, show_json};

#[derive(Debug, Args)]
pub(crate) struct SlotCommand {
    /// The image
    image: PathBuf,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(subcommand)]
    action: SlotAction,
}

#[derive(Debug, Subcommand)]
enum SlotAction {
    /// Show the active slot and the slots that the next boot will try
    Status {
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Make a slot active and put it on trial, as an upgrade does at its end
    Activate {
        /// The slot
        slot: Name,
        /// Validate the slot at once, without a trial
        #[arg(long)]
        no_trial: bool,
    },
    /// End the trial of the active slot, which stays active
    Validate,
    /// Make the other slot active, without a trial
    Revert,
    /// Copy a slot of a new image into the inactive slot, and put it on trial; an interruption leaves
    /// the image bootable in its active slot
    Install {
        /// The new image, raw or qcow2, with its environment at the same place
        #[arg(long, value_name = "IMAGE")]
        from: PathBuf,
        /// The slot to write, which must not be the active one; by default the other one
        #[arg(long)]
        slot: Option<Name>,
        /// The slot of the new image to copy; by default its active one
        #[arg(long)]
        from_slot: Option<Name>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    A,
    B,
}

impl Name {
    fn slot(self) -> Slot {
        match self {
            Self::A => Slot::A,
            Self::B => Slot::B,
        }
    }
}

impl SlotCommand {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let context = || format!("{}", self.image.display());
        let writable = !matches!(self.action, SlotAction::Status { .. });
        let mut file =
            EnvFile::open(&self.image, self.place.place(), writable).with_context(context)?;
        let mut variables = file.variables();
        match self.action {
            SlotAction::Status { json } => return status(&variables, json),
            SlotAction::Activate { slot, no_trial } => {
                slots::activate(&mut variables, slot.slot(), !no_trial).with_context(context)?;
            }
            SlotAction::Validate => slots::validate(&mut variables),
            SlotAction::Revert => {
                slots::revert(&mut variables).with_context(context)?;
            }
            SlotAction::Install {
                from,
                slot,
                from_slot,
            } => {
                let mut update = Update::new();
                if let Some(slot) = slot {
                    update = update.slot(slot.slot());
                }
                if let Some(slot) = from_slot {
                    update = update.from_slot(slot.slot());
                }
                return install(&update, &from, &mut file, self.place.place());
            }
        }
        file.store(&variables).with_context(context)?;
        status(&variables, false)
    }
}

/// Installs an update from an image with its environment at the same place.
fn install(
    update: &Update,
    from: &Path,
    image: &mut EnvFile,
    place: EnvPlace,
) -> anyhow::Result<ExitCode> {
    let name = image.image().path().display().to_string();
    let mut new = EnvFile::open(from, place, false).with_context(|| from.display().to_string())?;
    let installed = update
        .install(&mut new, image)
        .with_context(|| format!("installing {} into {name}", from.display()))?;
    show(format!(
        "slot {} of {} is in slot {}: {} of {} bytes written, the others were there\n",
        installed.from,
        from.display(),
        installed.slot,
        installed.written,
        installed.bytes,
    ))?;
    status(&image.variables(), false)
}

fn status(variables: &Variables, as_json: bool) -> anyhow::Result<ExitCode> {
    let plan = slots::plan(variables)?;
    // The plan may try a slot twice, for a disk that cannot be written: only the first is shown.
    let mut attempts: Vec<Attempt> = Vec::new();
    for attempt in plan.attempts {
        if attempts.iter().all(|earlier| earlier.slot != attempt.slot) {
            attempts.push(attempt);
        }
    }
    let oddities: Vec<_> = plan.oddities.iter().map(ToString::to_string).collect();
    let value = |name: &str| {
        variables
            .get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    if as_json {
        let attempts: Vec<_> = attempts
            .iter()
            .map(|attempt| json!({"slot": attempt.slot.name(), "reason": attempt.reason.name()}))
            .collect();
        let report = json!({
            "active": value("nerves_fw_active"),
            "upgrade_available": value("upgrade_available"),
            "bootcount": value("bootcount"),
            "next": attempts,
            "must_not_be_booted": plan.barred.map(Slot::name),
            "warnings": oddities,
        });
        show_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "active: {}\n",
        value("nerves_fw_active").unwrap_or_else(|| "not set".to_owned())
    );
    for (number, attempt) in attempts.iter().enumerate() {
        let when = if number == 0 {
            "next boot"
        } else {
            "if that cannot be booted"
        };
        text += &format!("{when}: slot {} ({})\n", attempt.slot, attempt.reason);
    }
    if let Some(slot) = plan.barred {
        text += &format!("slot {slot} must not be booted: {slot}.nerves_fw_platform is not set\n");
    }
    for oddity in oddities {
        text += &format!("warning: {oddity}\n");
    }
    show(text)?;
    Ok(ExitCode::SUCCESS)
}
