// SPDX-License-Identifier: MIT OR Apache-2.0

use super::{Operation, Options, OptionsError};
use crate::command::ProgressMode;
use crate::destination::{DestinationOptions, Mounts};

fn parse(line: &str) -> Result<Options, OptionsError> {
    let mut options = Options::default();
    options.read(line.split_whitespace().map(str::to_owned))?;
    Ok(options)
}

#[test]
fn options_are_read_in_all_their_forms() {
    let options =
        parse("-qa -iin.fw disk.img --task=upgrade -d dev --progress-l 5 --progress-h 95 -- -x")
            .unwrap();
    assert_eq!(
        options,
        Options {
            operation: Some(Operation::Apply),
            is_quiet: true,
            input: Some("in.fw".into()),
            destination: Some("dev".into()),
            task: Some("upgrade".into()),
            progress_low: 5,
            progress_high: 95,
            arguments: vec!["disk.img".into(), "-x".into()],
            ..Options::default()
        }
    );
}

#[test]
fn a_firmware_file_alone_is_applied() {
    let options = parse("firmware.fw -d disk.img").unwrap();
    assert_eq!(options.operation, Some(Operation::Apply));
    assert_eq!(options.input.as_deref(), Some("firmware.fw"));
    assert_eq!(options.task.as_deref(), Some("complete"));
    // Any name will do, as in fwup, but only one.
    let options = parse("-y firmware.zip").unwrap();
    assert_eq!(options.operation, Some(Operation::Apply));
    for line in ["a.fw b.fw", "-i a.fw b.fw", ""] {
        assert_eq!(parse(line).unwrap().operation, None, "{line}");
    }
    assert_eq!(parse("-l firmware.fw").unwrap().input, None);
}

#[test]
fn errors_have_the_words_of_getopt() {
    for (line, expected) in [
        ("--nonsense", "unrecognized option '--nonsense'"),
        ("-qX", "invalid option -- 'X'"),
        (
            "--met",
            "option '--met' is ambiguous; possibilities: '--metadata' '--metadata-key'",
        ),
        ("-i", "option '-i' requires an argument"),
        ("--task", "option '--task' requires an argument"),
        ("--quiet=1", "option '--quiet' doesn't allow an argument"),
        (
            "--progress-low 101",
            "option '--progress-low' needs a number from 0 to 100, not '101'",
        ),
        ("-n -q", "pick either -n or -q, but not both."),
        (
            "-F --json",
            "pick either --framing or --json, but not both.",
        ),
    ] {
        assert_eq!(parse(line).unwrap_err().to_string(), expected, "{line}");
    }
    assert_eq!(
        parse("--metadata").unwrap().operation,
        Some(Operation::Metadata)
    );
    assert_eq!(parse("-").unwrap().input.as_deref(), Some("-"));
}

#[test]
fn numbers_may_be_hexadecimal_or_octal() {
    let options = parse("--progress-low 0x10 --progress-high 0144 --max-size 0x800").unwrap();
    assert_eq!((options.progress_low, options.progress_high), (16, 100));
    assert_eq!(options.max_size, Some(2048));
}

#[test]
fn the_archive_is_on_stdin_unless_it_is_named() {
    for (line, expected) in [
        ("-a", "-"),
        ("-a -i x", "x"),
        ("-l y", "y"),
        ("-m -i -", "-"),
    ] {
        assert_eq!(parse(line).unwrap().input_path(), expected, "{line}");
    }
}

#[test]
fn options_before_an_error_are_set() {
    let mut options = Options::default();
    let line = "--exit-handshake -F --nonsense -v";
    options
        .read(line.split_whitespace().map(str::to_owned))
        .unwrap_err();
    assert!(options.has_exit_handshake && options.is_framed && !options.is_verbose);
}

#[test]
fn unexpected_arguments_are_found() {
    for (line, expected) in [
        ("a.fw", None),
        ("a.fw -d disk.img b", Some("a.fw")),
        ("-l a.fw", None),
        ("-l -i a.fw b.fw", Some("b.fw")),
        ("-a a.fw -d disk.img b", Some("b")),
        ("-c a", Some("a")),
    ] {
        assert_eq!(parse(line).unwrap().unexpected(), expected, "{line}");
    }
}

#[test]
fn options_choose_the_output_and_the_writing() {
    for (line, expected) in [
        ("-a", ProgressMode::Normal),
        ("-q", ProgressMode::Quiet),
        ("-n", ProgressMode::Numeric),
        ("-F", ProgressMode::Framed),
        ("-F -n", ProgressMode::Framed),
        ("-q -F", ProgressMode::FramedQuiet),
        ("--json", ProgressMode::Json),
        ("--json -q", ProgressMode::JsonQuiet),
        ("--json -n", ProgressMode::Json),
    ] {
        assert_eq!(parse(line).unwrap().mode(), expected, "{line}");
    }
    let plain = DestinationOptions {
        mounts: Mounts::Unmount,
        ..DestinationOptions::default()
    };
    for (line, expected) in [
        ("-u --no-minimize-writes -y -E --eject --no-eject -v", plain),
        (
            "-U --verify-writes --minimize-writes --enable-trim --max-size 8388608 --unsafe",
            DestinationOptions {
                mounts: Mounts::Keep,
                verifies: Some(true),
                minimizes: true,
                trims: true,
                max_size: Some(1 << 32),
                is_unsafe: true,
            },
        ),
        (
            "-U -u --verify-writes --no-verify-writes",
            DestinationOptions {
                verifies: Some(false),
                ..plain
            },
        ),
    ] {
        assert_eq!(
            parse(line).unwrap().destination_options(),
            expected,
            "{line}"
        );
    }
}
