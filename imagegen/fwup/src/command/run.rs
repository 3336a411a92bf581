// SPDX-License-Identifier: MIT OR Apache-2.0

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Read, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::apply::ApplyCommand;
use super::cards;
use super::delta;
use super::frames::{FrameReader, handshake};
use super::keys::{self, Keys};
use super::options::{Operation, Options, OptionsError, help};
use super::report::{ProgressMode, Reporter};
use super::stdout::print;
use crate::apply::Observer;
use crate::archive::contents::Contents;
use crate::archive::firmware_archive::FirmwareArchive;
use crate::archive::identity::Identity;
use crate::archive::write::Level;
use crate::archive::{metadata, verify};
use crate::create::{PackError, Packing, has_holes, pack};
use crate::language::{Definitions, FWUP_META_CONF_LIMIT, FWUP_VERSION, quoted};
use anyhow::{Context, anyhow, bail};

/// Runs fwup with the arguments that follow the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut options = Options::default();
    let mut unreadable = None;
    let mut count = 0_usize;
    let words = arguments.into_iter().map_while(|word| {
        count += 1;
        let word = word.into_string();
        word.map_err(|word| unreadable = Some(word)).ok()
    });
    let read = options.read(words);
    let result = match (unreadable, read) {
        // A lossy conversion could name another file.
        (Some(word), _) => Err(anyhow!(
            "the argument {word:?} is not UTF-8; rename the file, or use a link to it"
        )),
        // Without arguments fwup shows its help too, but fails.
        (None, Ok(())) if count == 0 => print(help()).map(|()| 1).map_err(Into::into),
        (None, Ok(())) => execute(&options),
        (None, Err(error)) => misused(&options, error),
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

/// Reports an invalid command line like getopt_long: an error on stderr, and the help on stdout
/// unless a program reads that.
fn misused(options: &Options, error: OptionsError) -> anyhow::Result<u8> {
    match error {
        OptionsError::NumericAndQuiet | OptionsError::FramedAndJson => Err(error.into()),
        error => {
            eprintln!("fwup: {error}");
            if options.mode().is_for_programs() {
                bail!("unknown or invalid options; -h lists them");
            }
            print(help())?;
            Ok(1)
        }
    }
}

/// Errors go to stdout: scripts that talk to fwup through pipes read them there.
fn fail(options: &Options, error: &anyhow::Error) {
    // If the archive goes to stdout, errors must go to stderr.
    if options.output.as_deref() == Some("-") {
        eprintln!("fwup: {error:#}");
        return;
    }
    Reporter::new(stdout().lock(), mode_without_bar(options), 0, 100).error(&format!("{error:#}"));
}

/// Reports something that does not prevent the command.
fn warn(options: &Options, warning: &str) {
    if options.output.as_deref() == Some("-") {
        eprintln!("fwup: {warning}");
        return;
    }
    Reporter::new(stdout().lock(), mode_without_bar(options), 0, 100).info(warning);
}

/// Returns the form of messages outside of applying, which shows the only bar and reports its
/// errors itself.
fn mode_without_bar(options: &Options) -> ProgressMode {
    match options.mode() {
        ProgressMode::Normal => ProgressMode::Quiet,
        mode => mode,
    }
}

/// Runs the command and returns the exit status.
fn execute(options: &Options) -> anyhow::Result<u8> {
    let keys = Keys::read(options)?;
    keys.warnings
        .iter()
        .for_each(|warning| warn(options, warning));
    let done = match options.operation {
        Some(Operation::Version) => Ok(print(format!("{FWUP_VERSION}\n"))?),
        Some(Operation::Help) => Ok(print(help())?),
        Some(Operation::Detect) => detect(options),
        Some(Operation::ShowDetected) => show_detected(options),
        Some(
            Operation::Create
            | Operation::CreateDelta
            | Operation::List
            | Operation::Verify
            | Operation::SparseCheck,
        ) if options.is_json => {
            bail!("--json works with -a and -m")
        }
        _ if options.unexpected().is_some() => {
            let unexpected = options.unexpected().unwrap_or_default();
            bail!("unexpected parameter: {unexpected}")
        }
        Some(Operation::Create) => create(options, &keys),
        Some(Operation::CreateDelta) => print_result(options, &delta::create_delta(options)?),
        Some(Operation::GenerateKeys) => print_result(options, &keys::generate_keys(options)?),
        Some(Operation::Sign) => {
            keys::sign_archive(options, open_input(options)?, keys.private.as_ref())
        }
        Some(Operation::List) => {
            let archive = open(options, &keys)?;
            let lines: Vec<_> = metadata::tasks(&archive)
                .iter()
                .map(|name| format!("{name}\n"))
                .collect();
            print_result(options, &lines.concat())
        }
        Some(Operation::Metadata) => print_metadata(options, &keys),
        // Verifying is done on the host, where a missing -i is an oversight, as fwup sees it.
        Some(Operation::Verify) if options.input.is_none() && options.arguments.is_empty() => {
            bail!("Specify an input firmware file")
        }
        Some(Operation::Verify) => {
            let mut archive = open(options, &keys)?;
            let deltas = verify::verify(&mut archive)?;
            let kind = match archive.signature {
                Some(_) if !keys.public.is_empty() => "Valid archive with a good signature\n",
                Some(_) => {
                    "Valid archive with a signature that was not checked; -p FILE checks it\n"
                }
                None => "Valid archive without a signature\n",
            };
            print_result(options, kind)?;
            if !deltas.is_empty() {
                eprintln!("fwup: {}", unchecked(&deltas));
            }
            Ok(())
        }
        Some(Operation::SparseCheck) => sparse_check(options),
        Some(Operation::Apply) => return apply(options, &keys),
        None => bail!("specify one of -a, -c, -g, -l, -m, -S or -V; -h lists all options"),
    };
    done.map(|()| 0)
}

/// Says which resources of a valid archive are deltas.
fn unchecked(deltas: &[String]) -> String {
    let names = deltas.join(", ");
    let (number, is) = match deltas.len() {
        1 => ("1 resource".to_owned(), "is a delta"),
        number => (format!("{number} resources"), "are deltas"),
    };
    format!("{number} {is}, whose result only a device with the old version can check: {names}")
}

/// Prints the result of a command, with framing as one frame.
fn print_result(options: &Options, text: &str) -> anyhow::Result<()> {
    if options.is_framed {
        Reporter::new(stdout().lock(), options.mode(), 0, 100).text(text);
        return Ok(());
    }
    Ok(print(text)?)
}

fn create(options: &Options, keys: &Keys) -> anyhow::Result<()> {
    let output = match options.output.as_deref() {
        Some(output) => output,
        None if stdout().is_terminal() => {
            bail!("specify the archive to make: -o FILE, or -o - for stdout")
        }
        None => "-",
    };
    let packing = Packing {
        level: options.level.and_then(Level::new).unwrap_or_default(),
        key: keys.private.as_ref(),
    };
    let definitions = &mut Definitions::of_process();
    let configuration = Path::new(&options.configuration);
    let packed = pack(
        configuration,
        Path::new(output),
        packing,
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

/// Opens an archive. With framing, stdin is framed too.
fn open_input(options: &Options) -> anyhow::Result<Box<dyn Read + Send>> {
    let path = options.input_path();
    if path == "-" {
        return Ok(match options.is_framed {
            true => Box::new(FrameReader::new(stdin())),
            false => Box::new(stdin()),
        });
    }
    let file = File::open(path).map_err(|error| anyhow!("cannot open '{path}': {error}"))?;
    Ok(Box::new(file))
}

fn open(options: &Options, keys: &Keys) -> anyhow::Result<FirmwareArchive<Box<dyn Read + Send>>> {
    let input = open_input(options)?;
    Ok(FirmwareArchive::authenticated(
        input,
        &keys.public,
        &mut Definitions::of_process(),
    )?)
}

/// Applies an archive, reports errors of the task, and returns the exit status.
fn apply(options: &Options, keys: &Keys) -> anyhow::Result<u8> {
    let task = options
        .task
        .as_deref()
        .context("specify the task: -t NAME")?;
    let input = open_input(options)?;
    let destination = destination(options)?;
    let command = ApplyCommand {
        destination: &destination,
        task,
        public_keys: &keys.public,
        mode: apply_mode(options),
        low: options.progress_low,
        high: options.progress_high,
        reboot_parameter: options.reboot_param_path.as_deref().map(Path::new),
        options: options.destination_options(),
        is_verbose: options.is_verbose,
    };
    let definitions = &mut Definitions::of_process();
    Ok(command.run(input, definitions, stdout().lock(), stderr().lock()))
}

/// A person gets more than a script does.
fn apply_mode(options: &Options) -> ProgressMode {
    match options.mode() {
        ProgressMode::Normal if stdout().is_terminal() => ProgressMode::Terminal,
        mode => mode,
    }
}

/// Returns the destination: that of `-d`, or else the only memory card.
fn destination(options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(destination) = &options.destination {
        return Ok(destination.into());
    }
    let is_stdin_taken = options.input_path() == "-";
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

fn print_metadata(options: &Options, keys: &Keys) -> anyhow::Result<()> {
    let archive = open(options, keys)?;
    if options.is_json {
        let text = serde_json::to_string_pretty(&Contents::of(&archive))? + "\n";
        return print_result(options, &text);
    }
    let metadata = metadata::metadata(&archive);
    let text = match &options.metadata_key {
        None => metadata
            .iter()
            .map(|(name, value)| format!("{name}={}\n", quoted(value)))
            .collect(),
        Some(key) => {
            let found = metadata.iter().find(|(name, _)| name == key);
            // What fwup prints for other keys.
            let value = found.map_or("(null)", |(_, value)| value);
            format!("{value}\n")
        }
    };
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
