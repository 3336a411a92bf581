// SPDX-License-Identifier: MIT OR Apache-2.0

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::apply::ApplyCommand;
use super::cards;
use super::frames::{FrameReader, handshake};
use super::options::{Operation, Options, OptionsError};
use super::report::{ProgressMode, Reporter};
use super::stdout::print;
use crate::archive::firmware_archive::FirmwareArchive;
use crate::archive::identity::Identity;
use crate::archive::write::Level;
use crate::archive::{metadata, verify};
use crate::create::{PackError, has_holes, pack};
use crate::language::{Definitions, FWUP_META_CONF_LIMIT, FWUP_VERSION, quoted};
use anyhow::{Context, anyhow, bail};

const HELP: &str = include_str!("help.txt");

/// Runs fwup with the arguments that follow the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut options = Options::default();
    let mut unreadable = None;
    let words = arguments.into_iter().map_while(|word| {
        let word = word.into_string();
        word.map_err(|word| unreadable = Some(word)).ok()
    });
    let read = options.read(words);
    let result = match (unreadable, read) {
        // A lossy conversion could name another file.
        (Some(word), _) => Err(anyhow!(
            "the argument {word:?} is not UTF-8; rename the file, or use a link to it"
        )),
        (None, Ok(())) => execute(&options),
        (None, Err(error @ OptionsError::NumericAndQuiet)) => Err(error.into()),
        (None, Err(error)) => {
            eprintln!("fwup: {error}");
            Err(anyhow!("unknown or invalid options; -h lists them"))
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
    // If the archive goes to stdout, errors must go to stderr.
    if options.output.as_deref() == Some("-") {
        eprintln!("fwup: {error:#}");
        return;
    }
    // Only applying shows a bar, and it reports its errors itself.
    let mode = match options.mode() {
        ProgressMode::Normal => ProgressMode::Quiet,
        mode => mode,
    };
    Reporter::new(stdout().lock(), mode, 0, 100).error(&format!("{error:#}"));
}

/// Runs the command and returns the exit status.
fn execute(options: &Options) -> anyhow::Result<u8> {
    let done = match options.operation {
        Some(Operation::Version) => Ok(print(format!("{FWUP_VERSION}\n"))?),
        Some(Operation::Help) => Ok(print(HELP)?),
        Some(Operation::Detect) => detect(options),
        Some(Operation::ShowDetected) => show_detected(options),
        _ if !options.public_keys.is_empty() || options.private_key.is_some() => {
            bail!("a signature (-p, -s) is not supported yet")
        }
        Some(Operation::Sign | Operation::GenerateKeys) => {
            bail!("a signature (-S, -g) is not supported yet")
        }
        _ if options.unexpected().is_some() => {
            let unexpected = options.unexpected().unwrap_or_default();
            bail!("unexpected parameter: {unexpected}")
        }
        Some(Operation::Create) => create(options),
        Some(Operation::List) => {
            let archive = open(options)?;
            let lines: Vec<_> = metadata::tasks(&archive)
                .iter()
                .map(|name| format!("{name}\n"))
                .collect();
            print_result(options, &lines.concat())
        }
        Some(Operation::Metadata) => print_metadata(options),
        Some(Operation::Verify) => {
            let mut archive = open(options)?;
            verify::verify(&mut archive)?;
            let kind = match archive.signature {
                Some(_) => "Valid archive with a signature that was not checked\n",
                None => "Valid archive without a signature\n",
            };
            print_result(options, kind)
        }
        Some(Operation::SparseCheck) => sparse_check(options),
        Some(Operation::Apply) => return apply(options),
        None => bail!("specify one of -a, -c, -l, -m or -V; -h lists all options"),
    };
    done.map(|()| 0)
}

/// Prints the result of a command, with framing as one frame.
fn print_result(options: &Options, text: &str) -> anyhow::Result<()> {
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
    let definitions = &mut Definitions::of_process();
    let configuration = Path::new(&options.configuration);
    let packed = pack(
        configuration,
        Path::new(output),
        level,
        definitions,
        |_, _| {},
    );
    match packed {
        Ok(created) => {
            if created.meta_conf > FWUP_META_CONF_LIMIT {
                eprintln!(
                    "fwup: warning: meta.conf has {} bytes; fwup up to 1.16 reads at most {FWUP_META_CONF_LIMIT} and refuses this archive",
                    created.meta_conf
                );
            }
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
            // Scripts search for fwup's exact sentences.
            if error.is_complete() {
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

/// Opens an archive. With framing, stdin is framed too.
fn open_input(options: &Options) -> anyhow::Result<Box<dyn Read>> {
    let path = input_path(options)?;
    if path == "-" {
        return Ok(match options.is_framed {
            true => Box::new(FrameReader::new(stdin())),
            false => Box::new(stdin()),
        });
    }
    let file = File::open(path).map_err(|error| anyhow!("cannot open '{path}': {error}"))?;
    Ok(Box::new(file))
}

fn open(options: &Options) -> anyhow::Result<FirmwareArchive<Box<dyn Read>>> {
    let input = open_input(options)?;
    Ok(FirmwareArchive::read(
        input,
        &mut Definitions::of_process(),
    )?)
}

/// Applies an archive, reports errors of the task, and returns the exit status.
fn apply(options: &Options) -> anyhow::Result<u8> {
    let task = options
        .task
        .as_deref()
        .context("specify the task: -t NAME")?;
    let input = open_input(options)?;
    let destination = destination(options)?;
    let command = ApplyCommand {
        destination: &destination,
        task,
        mode: options.mode(),
        low: options.progress_low,
        high: options.progress_high,
        reboot_parameter: options.reboot_param_path.as_deref().map(Path::new),
        options: options.destination_options(),
        is_verbose: options.is_verbose,
    };
    let definitions = &mut Definitions::of_process();
    Ok(command.run(input, definitions, stdout().lock(), stderr().lock()))
}

/// Returns the destination: that of `-d`, or else the only memory card.
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
    .context("no destination (-d PATH)")?;
    Ok(card.path.clone())
}

/// Prints the memory cards with their sizes in bytes.
fn detect(options: &Options) -> anyhow::Result<()> {
    let lines: Vec<_> = cards::scan()
        .iter()
        .map(|card| format!("{},{}\n", card.path.display(), card.size))
        .collect();
    print_result(options, &lines.concat())
}

/// Prints the card that `-a` would use without `-d`.
fn show_detected(options: &Options) -> anyhow::Result<()> {
    let cards = cards::scan();
    let card = cards::only(&cards)?;
    print_result(options, &format!("{}\n", card.path.display()))
}

fn print_metadata(options: &Options) -> anyhow::Result<()> {
    let archive = open(options)?;
    let mut text = String::new();
    for (name, value) in metadata::metadata(&archive) {
        match &options.metadata_key {
            None => text += &format!("{name}={}\n", quoted(&value)),
            Some(key) if key == name => text += &format!("{value}\n"),
            Some(_) => {}
        }
    }
    print_result(options, &text)
}

/// Checks for sparse files by creating a temporary file in the folder.
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
        .map_err(|error| anyhow!("cannot create a file in '{}': {error}", folder.display()))?;
    if !has_holes {
        bail!("Sparse files not supported");
    }
    print_result(options, "Sparse files supported\n")
}
