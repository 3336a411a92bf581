// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line of fwup: `imagegen fwup …`, and all of it when the program is started under the name `fwup`.
//!
//! What it prints is what fwup prints, on the same stream; the exit status is 0 or 1.

use std::fs::File;
use std::io::{Read, stderr, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use imagegen::fwup::archive::write::Level;
use imagegen::fwup::language::{Environment, FWUP_VERSION};
use imagegen::fwup::opened::Opened;
use imagegen::fwup::options::{Command, Options, OptionsError};
use imagegen::fwup::pack::{PackError, pack};
use imagegen::fwup::report::{Framed, Mode, Reporter, handshake};
use imagegen::fwup::resource::has_holes;
use imagegen::fwup::run::Run;
use imagegen::fwup::{describe, meta};

use super::show;

/// Runs it with the arguments behind the program's name.
pub(crate) fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error @ OptionsError::NumericAndQuiet) => return fail(&error.into()),
        Err(error) => {
            eprintln!("fwup: {error}");
            return fail(&anyhow!("unknown or wrong options; -h lists them"));
        }
    };
    let status = match execute(&options) {
        Ok(status) => status,
        // Where an archive goes to stdout, nothing else must.
        Err(error) if options.output.as_deref() == Some("-") => {
            eprintln!("fwup: {error:#}");
            1
        }
        Err(error) if options.is_framed => {
            Reporter::new(stdout().lock(), Mode::Framed, 0, 100).error(&error);
            1
        }
        Err(error) => {
            fail(&error);
            1
        }
    };
    if options.has_exit_handshake && handshake(status, stdout().lock(), stdin().lock()).is_err() {
        return ExitCode::FAILURE;
    }
    ExitCode::from(status)
}

/// Errors go to stdout: scripts that talk to fwup through pipes read them there.
fn fail(error: &anyhow::Error) -> ExitCode {
    // Only the outermost is fwup's; what is behind it goes to stderr.
    for cause in error.chain().skip(1) {
        eprintln!("{cause}");
    }
    match show(format!("fwup: {error}\n")) {
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}

/// Does it; the exit status.
fn execute(options: &Options) -> anyhow::Result<u8> {
    if !options.public_keys.is_empty() || options.private_key.is_some() {
        bail!("a signature (-p, -s) is not supported yet");
    }
    let done = match options.command {
        Some(Command::Create) => create(options),
        Some(Command::List) => {
            let opened = open(options)?;
            let lines: Vec<_> = describe::tasks(&opened)
                .iter()
                .map(|name| format!("{name}\n"))
                .collect();
            Ok(show(lines.concat())?)
        }
        Some(Command::Metadata) => metadata(options),
        Some(Command::Verify) => {
            let mut opened = open(options)?;
            describe::verify(&mut opened)?;
            let kind = match opened.signature {
                Some(_) => "Valid archive with a signature that was not checked\n",
                None => "Valid archive without a signature\n",
            };
            Ok(show(kind)?)
        }
        Some(Command::SparseCheck) => sparse_check(options),
        Some(Command::Version) => Ok(show(format!("{FWUP_VERSION}\n"))?),
        Some(Command::Help) => Ok(show(HELP)?),
        Some(Command::Apply) => return apply(options),
        Some(Command::Sign | Command::GenerateKeys) => {
            bail!("a signature (-S, -g) is not supported yet")
        }
        Some(Command::Detect | Command::ShowDetected) => {
            bail!("looking for memory cards (-D, -z) is not supported yet")
        }
        None => bail!("specify one of -a, -c, -l, -m or -V; -h lists all options"),
    };
    done.map(|()| 0)
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
    if let Err(PackError::Language { error, .. }) = &packed {
        eprintln!("{error}");
    }
    packed.map(drop).map_err(|error| anyhow!("{error}"))
}

/// The archive of `-i`, or the first argument; `-` is stdin.
fn input_path(options: &Options) -> anyhow::Result<&str> {
    options
        .input
        .as_ref()
        .or_else(|| options.arguments.first())
        .map(String::as_str)
        .context("specify the archive: -i FILE, or -i - for stdin")
}

fn open_input(path: &str) -> anyhow::Result<Box<dyn Read>> {
    if path == "-" {
        return Ok(Box::new(stdin()));
    }
    let file = File::open(path).map_err(|error| anyhow!("cannot open '{path}': {error}"))?;
    Ok(Box::new(file))
}

fn open(options: &Options) -> anyhow::Result<Opened<Box<dyn Read>>> {
    let input = open_input(input_path(options)?)?;
    Ok(Opened::read(input, &mut Environment::of_process())?)
}

/// Applies an archive; what fails then was reported on the way.
fn apply(options: &Options) -> anyhow::Result<u8> {
    if options.max_size.is_some() {
        bail!("--max-size is not supported yet");
    }
    if options.verifies_writes == Some(true) {
        bail!("--verify-writes is not supported yet");
    }
    let destination = options
        .destination
        .as_deref()
        .context("specify the disk or the image: -d PATH")?;
    let task = options
        .task
        .as_deref()
        .context("specify the task: -t NAME")?;
    let mode = if options.is_framed {
        Mode::Framed
    } else if options.is_quiet {
        Mode::Quiet
    } else if options.is_numeric {
        Mode::Numeric
    } else {
        Mode::Normal
    };
    let path = input_path(options)?;
    let mut input = open_input(path)?;
    if options.is_framed && path == "-" {
        input = Box::new(Framed::new(input));
    }
    let run = Run {
        destination: Path::new(destination),
        task,
        mode,
        low: options.progress_low,
        high: options.progress_high,
        reboot_parameter: options.reboot_param_path.as_deref().map(Path::new),
    };
    let environment = &mut Environment::of_process();
    Ok(run.apply(input, environment, stdout().lock(), stderr().lock()))
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
    Ok(show(text)?)
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
    Ok(show("Sparse files supported\n")?)
}

const HELP: &str = "\
Usage: fwup [OPTION]...

Commands:
  -a, --apply              Apply an archive to a disk or an image
  -c, --create             Make an archive from a configuration
  -l, --list               List the tasks of an archive
  -m, --metadata           Print the metadata of an archive
  -V, --verify             Check the data of an archive
  --sparse-check PATH      Say whether files there can have holes
  --version                Print the version of fwup that this does what it does
  -h, --help               Print this

Options:
  -f FILE                  The configuration [fwupdate.conf]; - for stdin
  -i FILE                  The archive to read; - for stdin
  -o FILE                  The archive to make; - for stdout
  -1 ... -9                Compress fast ... small [-6]
  -d FILE                  The disk or the image
  -t, --task NAME          The task, or the start of its name
  --metadata-key NAME      Print only this, without quotes
  --sparse-check-size N    How large a hole is tried, in bytes [4096]
  -q, --quiet              No progress
  -n                       Progress as numbers
  -F, --framing            Messages and input in frames
  --exit-handshake         Wait for the other side before the end
  --progress-low N         Where the progress begins, in percent [0]
  --progress-high N        Where the progress ends, in percent [100]
  -v, --verbose            Say more

More is in the manual, under \"Firmware archives\".
";
