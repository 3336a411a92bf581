// SPDX-License-Identifier: MIT OR Apache-2.0

//! `fwup -a`, and `fwup FILE.fw`, which is the same with the task `complete`.

use std::fs::File;
use std::io::{Read, stderr, stdin, stdout};
use std::path::Path;

use imagegen::fwup::language::Environment;
use imagegen::fwup::options::{Command, Options};
use imagegen::fwup::report::{Framed, Mode, Reporter};
use imagegen::fwup::run::Run;

/// Whether the options mean to apply an archive.
pub(super) fn is_meant(options: &Options) -> bool {
    match options.command {
        Some(command) => command == Command::Apply,
        None => bare(options).is_some(),
    }
}

/// The archive where only that is given.
fn bare(options: &Options) -> Option<&str> {
    options
        .arguments
        .first()
        .map(String::as_str)
        .filter(|argument| options.command.is_none() && argument.ends_with(".fw"))
}

/// Applies; returns the exit status.
pub(super) fn apply(options: &Options) -> u8 {
    let mode = if options.is_framed {
        Mode::Framed
    } else if options.is_quiet {
        Mode::Quiet
    } else if options.is_numeric {
        Mode::Numeric
    } else {
        Mode::Normal
    };
    match prepare(options) {
        Ok((run, input)) => {
            let run = Run { mode, ..run };
            run.apply(input, &mut Environment::of_process(), stdout(), stderr())
        }
        Err(error) => {
            Reporter::new(stdout(), mode, 0, 100).error(&error);
            1
        }
    }
}

/// What is to be done, and the archive.
fn prepare(options: &Options) -> Result<(Run<'_>, Box<dyn Read>), String> {
    let bare = bare(options);
    let input = options
        .input
        .as_deref()
        .or(bare)
        .or_else(|| options.arguments.first().map(String::as_str))
        .ok_or("specify the archive: -i FILE, or -i - for stdin")?;
    let task = match (&options.task, bare) {
        (Some(task), _) => task,
        (None, Some(_)) => "complete",
        (None, None) => return Err("specify a task: -t NAME".to_owned()),
    };
    let destination = options
        .destination
        .as_deref()
        .ok_or("specify the destination: -d FILE; memory cards are not looked for yet")?;
    let run = Run {
        destination: Path::new(destination),
        task,
        mode: Mode::Normal,
        low: options.progress_low,
        high: options.progress_high,
        reboot_parameter: options.reboot_param_path.as_deref().map(Path::new),
    };
    let input: Box<dyn Read> = match input {
        "-" if options.is_framed => Box::new(Framed::new(stdin())),
        "-" => Box::new(stdin()),
        path => {
            Box::new(File::open(path).map_err(|error| format!("cannot open '{path}': {error}"))?)
        }
    };
    Ok((run, input))
}
