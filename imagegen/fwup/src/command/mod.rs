// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line of fwup, for the program `fwup` and for `imagegen fwup`.
//!
//! What it prints is what fwup prints, on the same stream; the exit status is 0 or 1. Where fwup leaves out the cause of an
//! error, it follows behind a colon.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::archive::write::Level;
use crate::cards;
use crate::identity::Identity;
use crate::language::{Environment, FWUP_VERSION};
use crate::opened::Opened;
use crate::options::{Command, Options, OptionsError};
use crate::pack::{PackError, pack};
use crate::report::{Framed, Mode, Reporter, handshake};
use crate::resource::has_holes;
use crate::run::Run;
use crate::{describe, meta};
use anyhow::{Context, anyhow, bail};

const HELP: &str = include_str!("help.txt");

/// Runs it with the arguments behind the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut options = Options::default();
    let mut unreadable = None;
    let words = arguments.into_iter().map_while(|word| {
        let word = word.into_string();
        word.map_err(|word| unreadable = Some(word)).ok()
    });
    let read = options.read(words);
    let result = match (unreadable, read) {
        // A text that is only like it would be the name of another file.
        (Some(word), _) => Err(anyhow!(
            "the argument {word:?} is not UTF-8; rename the file, or use a link to it"
        )),
        (None, Ok(())) => execute(&options),
        (None, Err(error @ OptionsError::NumericAndQuiet)) => Err(error.into()),
        (None, Err(error)) => {
            eprintln!("fwup: {error}");
            Err(anyhow!("unknown or wrong options; -h lists them"))
        }
    };
    let status = result.unwrap_or_else(|error| {
        fail(&options, &error);
        1
    });
    if options.has_exit_handshake && handshake(status, stdout().lock(), stdin().lock()).is_err() {
        return ExitCode::FAILURE;
    }
    ExitCode::from(status)
}

/// Errors go to stdout: scripts that talk to fwup through pipes read them there.
fn fail(options: &Options, error: &anyhow::Error) {
    // Where an archive goes to stdout, nothing else must.
    if options.output.as_deref() == Some("-") {
        eprintln!("fwup: {error:#}");
        return;
    }
    // A bar is shown by applying only, which reports its errors itself.
    let mode = match options.mode() {
        Mode::Normal => Mode::Quiet,
        mode => mode,
    };
    Reporter::new(stdout().lock(), mode, 0, 100).error(&format!("{error:#}"));
}

/// Does it; the exit status.
fn execute(options: &Options) -> anyhow::Result<u8> {
    let done = match options.command {
        Some(Command::Version) => Ok(print(format!("{FWUP_VERSION}\n"))?),
        Some(Command::Help) => Ok(print(HELP)?),
        Some(Command::Detect) => detect(options),
        Some(Command::ShowDetected) => show_detected(options),
        _ if !options.public_keys.is_empty() || options.private_key.is_some() => {
            bail!("a signature (-p, -s) is not supported yet")
        }
        Some(Command::Sign | Command::GenerateKeys) => {
            bail!("a signature (-S, -g) is not supported yet")
        }
        _ if options.unexpected().is_some() => {
            let unexpected = options.unexpected().unwrap_or_default();
            bail!("unexpected parameter: {unexpected}")
        }
        Some(Command::Create) => create(options),
        Some(Command::List) => {
            let opened = open(options)?;
            let lines: Vec<_> = describe::tasks(&opened)
                .iter()
                .map(|name| format!("{name}\n"))
                .collect();
            say(options, &lines.concat())
        }
        Some(Command::Metadata) => metadata(options),
        Some(Command::Verify) => {
            let mut opened = open(options)?;
            describe::verify(&mut opened)?;
            let kind = match opened.signature {
                Some(_) => "Valid archive with a signature that was not checked\n",
                None => "Valid archive without a signature\n",
            };
            say(options, kind)
        }
        Some(Command::SparseCheck) => sparse_check(options),
        Some(Command::Apply) => return apply(options),
        None => bail!("specify one of -a, -c, -l, -m or -V; -h lists all options"),
    };
    done.map(|()| 0)
}

/// Prints to stdout. It is not an error when the reader has gone, as in `fwup -m -i FILE | head`.
///
/// # Errors
///
/// Every other error of stdout.
pub fn print(text: impl AsRef<[u8]>) -> io::Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints the result of a command, in one frame where there are frames.
fn say(options: &Options, text: &str) -> anyhow::Result<()> {
    if options.is_framed {
        Reporter::new(stdout().lock(), options.mode(), 0, 100).text(text);
        return Ok(());
    }
    Ok(print(text)?)
}

fn create(options: &Options) -> anyhow::Result<()> {
    let output = options
        .output
        .as_deref()
        .context("specify the archive to make: -o FILE, or -o - for stdout")?;
    let level = options.level.and_then(Level::new).unwrap_or_default();
    let environment = &mut Environment::of_process();
    let configuration = Path::new(&options.configuration);
    let packed = pack(
        configuration,
        Path::new(output),
        level,
        environment,
        |_, _| {},
    );
    match packed {
        Ok(created) => {
            if options.is_verbose {
                let Identity { uuid, nickname } = created.identity;
                eprintln!("fwup: {output}: {nickname} ({uuid})");
            }
            Ok(())
        }
        Err(error) => {
            if let PackError::Language { error, .. } = &error {
                eprintln!("{error}");
            }
            // fwup's sentences, which scripts look for, say as much.
            if error.is_told_in_full() {
                bail!("{error}");
            }
            Err(error.into())
        }
    }
}

fn input_path(options: &Options) -> anyhow::Result<&str> {
    options
        .input_path()
        .context("specify the archive: -i FILE, or -i - for stdin")
}

/// Opens an archive. What comes from stdin is in frames where the output is.
fn open_input(options: &Options) -> anyhow::Result<Box<dyn Read>> {
    let path = input_path(options)?;
    if path == "-" {
        return Ok(match options.is_framed {
            true => Box::new(Framed::new(stdin())),
            false => Box::new(stdin()),
        });
    }
    let file = File::open(path).map_err(|error| anyhow!("cannot open '{path}': {error}"))?;
    Ok(Box::new(file))
}

fn open(options: &Options) -> anyhow::Result<Opened<Box<dyn Read>>> {
    let input = open_input(options)?;
    Ok(Opened::read(input, &mut Environment::of_process())?)
}

/// Applies an archive; what fails then was reported on the way.
fn apply(options: &Options) -> anyhow::Result<u8> {
    let task = options
        .task
        .as_deref()
        .context("specify the task: -t NAME")?;
    let input = open_input(options)?;
    let destination = destination(options)?;
    let run = Run {
        destination: &destination,
        task,
        mode: options.mode(),
        low: options.progress_low,
        high: options.progress_high,
        reboot_parameter: options.reboot_param_path.as_deref().map(Path::new),
        writing: options.writing(),
        is_verbose: options.is_verbose,
    };
    let environment = &mut Environment::of_process();
    Ok(run.apply(input, environment, stdout().lock(), stderr().lock()))
}

/// What is written to: that of `-d`, or the one card that is plugged in.
fn destination(options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(destination) = &options.destination {
        return Ok(destination.into());
    }
    let is_stdin_taken = input_path(options)? == "-";
    let cards = cards::scan();
    let card = cards::confirmed(
        &cards,
        options.accepts_detected,
        is_stdin_taken,
        |question| {
            eprint!("{question}");
            let mut answer = String::new();
            stdin().read_line(&mut answer)?;
            Ok(answer.chars().next().unwrap_or('n'))
        },
    )
    .context("no destination is given (-d PATH)")?;
    Ok(card.path.clone())
}

/// The cards that are plugged in, with their sizes in bytes.
fn detect(options: &Options) -> anyhow::Result<()> {
    let lines: Vec<_> = cards::scan()
        .iter()
        .map(|card| format!("{},{}\n", card.path.display(), card.size))
        .collect();
    say(options, &lines.concat())
}

/// The card that `-a` would take.
fn show_detected(options: &Options) -> anyhow::Result<()> {
    let cards = cards::scan();
    let card = cards::only(&cards)?;
    say(options, &format!("{}\n", card.path.display()))
}

fn metadata(options: &Options) -> anyhow::Result<()> {
    let opened = open(options)?;
    let mut text = String::new();
    for (name, value) in describe::metadata(&opened) {
        match &options.metadata_key {
            None => text += &format!("{name}={}\n", meta::quoted(&value)),
            Some(key) if key == name => text += &format!("{value}\n"),
            Some(_) => {}
        }
    }
    say(options, &text)
}

/// Tries it with a file of its own beside the path, so that nothing there is lost.
fn sparse_check(options: &Options) -> anyhow::Result<()> {
    let path = Path::new(options.sparse_check.as_deref().unwrap_or_default());
    let folder = if path.is_dir() {
        path
    } else {
        path.parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    };
    let has_holes = has_holes(folder, options.sparse_check_size)
        .map_err(|error| anyhow!("cannot make a file in '{}': {error}", folder.display()))?;
    if !has_holes {
        bail!("Sparse files not supported");
    }
    say(options, "Sparse files supported\n")
}
