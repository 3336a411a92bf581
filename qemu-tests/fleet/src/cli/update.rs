// SPDX-License-Identifier: MIT OR Apache-2.0

//! `update` and `rollback`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::control::{Client, Request, Response};
use crate::folder::Folder;
use crate::model::Update;
use crate::update::plan::{Plan, Source, Way};

/// How often the progress is asked for.
const PAUSE: Duration = Duration::from_millis(500);

/// Write a new system to the other slot of each guest, reboot it, and wait until it keeps the new
/// slot or goes back
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// A disk image, whose active slot is written while a guest is stopped
    #[arg(long, value_name = "FILE", conflicts_with = "fw", required_unless_present_any = ["fw", "stop"])]
    image: Option<PathBuf>,
    /// A firmware archive, whose task `upgrade` is applied by the guest, to which it is streamed, or
    /// while it is stopped
    #[arg(long, value_name = "FILE")]
    fw: Option<PathBuf>,
    /// Who writes an archive
    #[arg(long, value_enum, default_value_t)]
    by: Way,
    /// Begin with no further guest of the update that is under way
    #[arg(long, conflicts_with_all = ["image", "fw"])]
    stop: bool,
    #[command(flatten)]
    options: Options,
}

/// Have each guest boot its other slot again, as it is
#[derive(Args, Debug)]
pub(super) struct RollbackArguments {
    /// Who switches the slots
    #[arg(long, value_enum, default_value_t)]
    by: Way,
    #[command(flatten)]
    options: Options,
}

#[derive(Args, Debug)]
struct Options {
    /// The slot to end in; guests that run it already are left out [default: each guest's other one]
    #[arg(long, value_parser = ["a", "b"])]
    slot: Option<String>,
    /// The most guests that are written or tried at the same time [default: two for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// The share of guests that go first, such as 5%; the others follow if enough of them keep it
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    canary: f64,
    /// The largest share of finished guests that may not keep it before the update stops
    #[arg(long, value_name = "SHARE", default_value = "50%", value_parser = share)]
    tolerate: f64,
    /// The longest time for one guest's writing, and for its trial
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u32,
    /// Being up in the new slot is enough, for guests that do not say that they have validated it
    #[arg(long)]
    up_is_enough: bool,
    /// Return at once, and leave the rest to `status`
    #[arg(long)]
    no_wait: bool,
}

/// Parses `5%` or `0.05`.
fn share(text: &str) -> Result<f64, String> {
    let parsed = match text.strip_suffix('%') {
        Some(digits) => digits.parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    let share = parsed.ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "not a share such as 5% or 0.05".to_owned())
}

pub(super) fn main(arguments: &Arguments, folder: &Folder) -> Result<ExitCode> {
    let mut client = Client::connect(folder)?;
    if arguments.stop {
        client.ask(&Request::StopUpdate)?;
        println!("the update begins with no further guest");
        return Ok(ExitCode::SUCCESS);
    }
    let source = match (&arguments.image, &arguments.fw) {
        (Some(image), _) => Source::Image(absolute(image)?),
        (None, Some(archive)) => Source::Archive(absolute(archive)?),
        (None, None) => bail!("--image or --fw has to say what to write"),
    };
    if arguments.image.is_some() && arguments.by == Way::Guest {
        bail!("a guest can only write firmware archives: pack the image into one, and give --fw");
    }
    arguments.options.ask(source, arguments.by, &mut client)
}

pub(super) fn rollback(arguments: &RollbackArguments, folder: &Folder) -> Result<ExitCode> {
    let mut client = Client::connect(folder)?;
    arguments
        .options
        .ask(Source::Rollback, arguments.by, &mut client)
}

/// The supervisor has another working directory.
fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))
}

impl Options {
    fn ask(&self, source: Source, way: Way, client: &mut Client) -> Result<ExitCode> {
        let plan = Plan {
            source,
            way,
            slot: self.slot.clone(),
            concurrency: self
                .concurrency
                .unwrap_or_else(|| 2 * crate::host::measure().cpus.max(1)),
            canary: self.canary,
            tolerated: self.tolerate,
            patience: f64::from(self.patience),
            up_is_enough: self.up_is_enough,
        };
        let Response::Done { guests } = client.ask(&Request::Update(plan))? else {
            bail!("the supervisor answered something else; is it of another version?");
        };
        println!("{guests} guests take part");
        if self.no_wait {
            return Ok(ExitCode::SUCCESS);
        }
        let update = wait(client)?;
        println!("{}", sentence(&update));
        Ok(if update.validated == update.total {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Prints the progress when it changes, until the update has ended.
fn wait(client: &mut Client) -> Result<Update> {
    let mut shown = Update::default();
    loop {
        let Some(update) = client.update()? else {
            bail!("the supervisor knows of no update; was it restarted?");
        };
        if update != shown {
            eprintln!("{}", sentence(&update));
            shown = update;
        }
        if !shown.is_running() {
            return Ok(shown);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Returns the progress as a line.
fn sentence(update: &Update) -> String {
    let mut text = format!(
        "{}: {} of {} keep it",
        update.stage, update.validated, update.total
    );
    for (count, what) in [
        (update.pending, "not begun with"),
        (update.writing, "being written"),
        (update.trying, "trying it"),
        (update.reverted, "went back"),
        (update.failed, "not written"),
        (update.lost, "lost"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(share("5%"), Ok(0.05));
        assert_eq!(share("0.25"), Ok(0.25));
        for bad in ["", "%", "101%", "-1%", "2", "nan"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_line_names_what_is_not_zero() {
        let update = Update {
            stage: "done".to_owned(),
            total: 8,
            validated: 6,
            reverted: 2,
            ..Update::default()
        };
        assert_eq!(sentence(&update), "done: 6 of 8 keep it, 2 went back");
    }
}
