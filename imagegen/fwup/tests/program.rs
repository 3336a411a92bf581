// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program `fwup` over pipes: frames in both directions, the handshake at the end, the streams
//! of its output, and the options of the destination.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::{fixture, outcome};
use little_loader_core::env::block::{Env, Format};

/// Exit status, stdout and stderr.
type Outcome = (Option<i32>, Vec<u8>, String);

/// A temporary folder with a case's archive, `out.fw`.
struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    fn new(case: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = fixture(case).join("out.fw");
        fs::copy(archive, folder.path().join("out.fw")).unwrap();
        symlink(env!("CARGO_BIN_EXE_fwup"), folder.path().join("fwup")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn archive(&self) -> Vec<u8> {
        fs::read(self.path("out.fw")).unwrap()
    }

    /// Packs a configuration into `out.fw`.
    fn pack(&self, configuration: &str) {
        fs::write(self.path("fwup.conf"), configuration).unwrap();
        let (status, out, err) = self.run("-c -f fwup.conf -o out.fw", b"");
        assert_eq!(
            (status, text(&out).as_str(), err.as_str()),
            (Some(0), "", "")
        );
    }

    fn start(&self, line: &str) -> Child {
        Command::new(self.path("fwup"))
            .current_dir(self.folder.path())
            .args(line.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs the program with this input.
    fn run(&self, line: &str, input: &[u8]) -> Outcome {
        let mut child = self.start(line);
        // The program may stop reading before the end.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        (output.status.code(), output.stdout, text(&output.stderr))
    }

    /// Runs the program and returns the frames of its output.
    fn frames(&self, line: &str, input: &[u8]) -> (Option<i32>, Vec<Frame>) {
        let (status, out, _) = self.run(line, input);
        (status, unframed(&out))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A frame's kind, code and text.
type Frame = (String, u16, String);

fn frame(kind: &str, code: u16, text: &str) -> Frame {
    (kind.to_owned(), code, text.to_owned())
}

fn unframed(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at(4);
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let (body, rest) = rest.split_at(length);
        let code = u16::from_be_bytes(body[2..4].try_into().unwrap());
        frames.push((text(&body[..2]), code, text(&body[4..])));
        bytes = rest;
    }
    frames
}

/// Splits bytes into frames of `size` bytes, with a frame of length zero at the end.
fn framed(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    for piece in bytes.chunks(size) {
        framed.extend(u32::try_from(piece.len()).unwrap().to_be_bytes());
        framed.extend(piece);
    }
    framed.extend([0; 4]);
    framed
}

#[test]
fn an_archive_in_frames_is_applied_and_reported_in_frames() {
    let workspace = Workspace::new("01-raw");
    let progress = |percent| frame("PR", percent, "");
    let ok = frame("OK", 0, "");
    for size in [50, 1000, usize::MAX] {
        let input = framed(&workspace.archive(), size);
        let (status, frames) = workspace.frames("-a -F -i - -d framed.img -t complete", &input);
        assert_eq!(status, Some(0));
        assert_eq!(
            frames,
            [progress(0), progress(99), progress(100), ok.clone()]
        );
    }
    workspace.run("-a -q -i out.fw -d plain.img -t complete", b"");
    let image = fs::read(workspace.path("framed.img")).unwrap();
    assert!(!image.is_empty() && image == fs::read(workspace.path("plain.img")).unwrap());

    // Input from a file is not framed. -n has no effect, -q suppresses the progress.
    for flags in ["-F -n", "-n -F --progress-low 0"] {
        let line = format!("-a {flags} -i out.fw -d framed.img -t other");
        assert_eq!(
            workspace.frames(&line, b""),
            (
                Some(0),
                vec![
                    progress(0),
                    frame("WN", 0, "nothing to do"),
                    progress(100),
                    ok.clone()
                ]
            )
        );
    }
    assert_eq!(
        workspace.frames("-a -F -q -i out.fw -d framed.img -t other", b""),
        (Some(0), vec![frame("WN", 0, "nothing to do"), ok])
    );
}

#[test]
fn errors_are_frames() {
    let workspace = Workspace::new("01-raw");
    let missing = "Couldn't find applicable task 'missing'. If task is available, the task's requirements may not be met.";
    assert_eq!(
        workspace.frames("-a -F -i out.fw -d disk.img -t missing", b""),
        (Some(1), vec![frame("PR", 0, ""), frame("ER", 0, missing)])
    );
    let archive = workspace.archive();
    let mut cut = framed(&archive[..300], 100);
    cut.truncate(cut.len() - 4);
    let (status, frames) = workspace.frames("-a -F -i - -d disk.img -t complete", &cut);
    assert_eq!((status, frames.len()), (Some(1), 2), "{frames:?}");
    assert_eq!(frames[1].0, "ER");
    for (line, expected) in [
        (
            "-l -F -i gone.fw",
            "cannot open 'gone.fw': No such file or directory (os error 2)",
        ),
        (
            "-c -F -f gone.conf -o x.fw",
            "Error opening configuration file 'gone.conf'",
        ),
        ("-F -n -q", "pick either -n or -q, but not both."),
        (
            "-F",
            "specify one of -a, -c, -g, -l, -m, -S or -V; -h lists all options",
        ),
        ("-F --nonsense", "unknown or invalid options; -h lists them"),
        ("-F -m -i out.fw more", "unexpected parameter: more"),
    ] {
        assert_eq!(
            workspace.frames(line, b""),
            (Some(1), vec![frame("ER", 0, expected)]),
            "{line}"
        );
    }
}

#[test]
fn commands_answer_in_one_frame() {
    let workspace = Workspace::new("02-ab");
    for line in ["-l", "-m", "-V", "-m --metadata-key meta-uuid"] {
        let (status, plain, _) = workspace.run(&format!("{line} -i out.fw"), b"");
        assert_eq!(status, Some(0));
        let expected = (Some(0), vec![frame("OK", 0, &text(&plain))]);
        assert!(!plain.is_empty());
        assert_eq!(
            workspace.frames(&format!("{line} -F -i out.fw"), b""),
            expected
        );
        // The archive on stdin is framed too.
        let input = framed(&workspace.archive(), 77);
        assert_eq!(
            workspace.frames(&format!("{line} -F -i -"), &input),
            expected
        );
    }
    assert_eq!(
        workspace.frames("--framing --sparse-check .", b""),
        (Some(0), vec![frame("OK", 0, "Sparse files supported\n")])
    );
    let (status, frames) = workspace.frames("-F -D", b"");
    assert_eq!(
        (status, frames.len(), frames[0].0.as_str()),
        (Some(0), 1, "OK")
    );
    // fwup prints nothing after making an archive.
    fs::write(workspace.path("fwup.conf"), "meta-product = \"x\"\n").unwrap();
    let (status, frames) = workspace.frames("-c -F -f fwup.conf -o x.fw", b"");
    assert_eq!((status, frames), (Some(0), Vec::new()));
}

#[test]
fn a_handshake_ends_the_output_and_waits_for_the_end_of_the_input() {
    let workspace = Workspace::new("01-raw");
    for (line, status) in [
        ("-l -i out.fw", 0),
        ("-a -q -i out.fw -d disk.img -t complete", 0),
        ("-a -F -i out.fw -d disk.img -t missing", 1),
        ("-l -i gone.fw", 1),
        ("--nonsense", 1),
    ] {
        let plain = workspace.run(line, b"");
        let mut child = workspace.start(&format!("--exit-handshake {line}"));
        // All output arrives while the input is still open.
        let mut expected = plain.1;
        expected.extend([0x1a, status]);
        let mut out = vec![0; expected.len()];
        child.stdout.as_mut().unwrap().read_exact(&mut out).unwrap();
        assert_eq!(out, expected, "{line}");
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"what is sent now is thrown away").unwrap();
        assert_eq!(child.try_wait().unwrap(), None, "{line}");
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(status)), "{line}");
        assert!(output.stdout.is_empty());
    }
    // An archive from stdin, then the handshake.
    let mut child = workspace.start("--exit-handshake -F -a -i - -d stdin.img -t complete");
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(&framed(&workspace.archive(), 4096))
        .unwrap();
    let mut out = [0; 4 * 8 + 2];
    child.stdout.as_mut().unwrap().read_exact(&mut out).unwrap();
    assert_eq!(out[32..], [0x1a, 0]);
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn progress_has_the_range_that_was_asked_for() {
    let workspace = Workspace::new("01-raw");
    let apply = |flags: &str, task: &str| {
        let line = format!("-a {flags} -i out.fw -d disk.img -t {task}");
        let (status, out, err) = workspace.run(&line, b"");
        (status, text(&out), err)
    };
    let of = |status, out: &str, err: &str| (Some(status), out.to_owned(), err.to_owned());
    assert_eq!(apply("-n", "complete"), of(0, "0\n99\n100\n", ""));
    assert_eq!(
        apply("-n --progress-low 50 --progress-high 60", "complete"),
        of(0, "50\n59\n60\n", "")
    );
    assert_eq!(apply("-q", "complete"), of(0, "", ""));
    let (status, out, err) = apply("", "complete");
    assert_eq!((status, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("\r  0% [ "), "{out:?}");
    assert!(out.contains("\nSuccess!\nElapsed time: "), "{out:?}");
    // A line feed on stderr ends the bar, unless -q is given.
    let missing = "fwup: Couldn't find applicable task 'missing'. If task is available, the task's requirements may not be met.\n";
    assert_eq!(apply("-q", "missing"), of(1, missing, ""));
    assert_eq!(
        apply("-n", "missing"),
        of(1, &format!("0\n{missing}"), "\n")
    );
    // -v prints the task to stderr, so that stdout is unchanged for scripts.
    assert_eq!(
        apply("-q -v", "comp"),
        of(0, "", "fwup: task 'complete' is done\n")
    );
    fs::write(workspace.path("fwup.conf"), "meta-product = \"x\"\n").unwrap();
    let (status, out, err) = workspace.run("-c -v -f fwup.conf -o verbose.fw", b"");
    assert_eq!((status, out), (Some(0), Vec::new()));
    assert!(err.starts_with("fwup: verbose.fw: "), "{err}");
}

#[test]
fn max_size_limits_the_destination() {
    let workspace = Workspace::new("04-mbr");
    let config = "file-resource x { contents = \"12345\" }\n\
        mbr m { partition 0 { block-offset = 100 block-count = 10 type = 0x83 expand = true } }\n\
        task complete { on-init { mbr_write(m) } on-resource x { raw_write(299) } }\n\
        task beyond { on-resource x { raw_write(300) } }\n";
    workspace.pack(config);
    let apply = |task: &str, flags: &str| {
        let line = format!("-a -q -i out.fw -d disk.img -t {task} {flags}");
        let (status, out, _) = workspace.run(&line, b"");
        (status, text(&out))
    };
    assert_eq!(
        apply("beyond", "--max-size 300"),
        (
            Some(1),
            "fwup: bytes 153600 to 154112 are beyond the end of the destination, which has 153600 bytes\n"
                .to_owned()
        )
    );
    assert_eq!(
        apply("complete", "--max-size 300"),
        (Some(0), String::new())
    );
    let image = fs::read(workspace.path("disk.img")).unwrap();
    assert_eq!(image.len(), 300 * 512);
    // The partition's number of blocks.
    assert_eq!(image[458..462], 200_u32.to_le_bytes());
    // fwup allows at most 8,388,607 blocks.
    assert_eq!(
        apply("beyond", "--max-size 8388608"),
        (Some(0), String::new())
    );
}

#[test]
fn writes_are_minimized_and_verified_on_request() {
    let workspace = Workspace::new("02-ab");
    let apply = |image: &str, flags: &str| {
        let line = format!("-a -q -i out.fw -d {image} -t complete {flags}");
        let (status, out, err) = workspace.run(&line, b"");
        assert_eq!(
            (status, text(&out), err),
            (Some(0), String::new(), String::new())
        );
        fs::read(workspace.path(image)).unwrap()
    };
    let plain = apply("plain.img", "");
    assert!(apply("verified.img", "--verify-writes") == plain);
    assert!(apply("minimized.img", "--minimize-writes --verify-writes") == plain);
    // Nothing is written to an image that already has all data, so its holes are kept.
    let taken = |image: &str| fs::metadata(workspace.path(image)).unwrap().blocks();
    let image = fs::File::create(workspace.path("holes.img")).unwrap();
    image.set_len(plain.len() as u64).unwrap();
    assert!(apply("holes.img", "--minimize-writes") == plain);
    assert!(taken("holes.img") <= taken("plain.img"));
    let file = fs::File::open(workspace.path("plain.img")).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    assert!(apply("plain.img", "--minimize-writes") == plain);
    assert_eq!(file.metadata().unwrap().modified().unwrap(), before);
}

#[test]
fn options_without_effect_are_reported() {
    let workspace = Workspace::new("01-raw");
    let apply = |flags: &str| {
        let line = format!("-a -q -i out.fw -d disk.img -t complete {flags}");
        let (status, out, _) = workspace.run(&line, b"");
        (status, text(&out))
    };
    assert_eq!(
        apply("--enable-trim"),
        (
            Some(0),
            "fwup: --enable-trim has no effect: the destination is a regular file\n".to_owned()
        )
    );
    assert_eq!(apply("-E --no-eject -u -U -y"), (Some(0), String::new()));
}

#[test]
fn invalid_destinations_are_refused() {
    let workspace = Workspace::new("01-raw");
    for (destination, expected) in [
        (
            "/dev/little-loader-typo",
            "cannot open /dev/little-loader-typo: it does not exist, and no image is created in /dev; check its name, and whether it is plugged in",
        ),
        (
            "/dev/zero",
            "cannot write to /dev/zero: it is a character device, expected an image file or a block device",
        ),
        (
            ".",
            "cannot write to .: it is a directory, expected an image file or a block device",
        ),
    ] {
        let line = format!("-a -q -i out.fw -t complete -d {destination}");
        let (status, out, _) = workspace.run(&line, b"");
        assert_eq!(
            (status, text(&out)),
            (Some(1), format!("fwup: {expected}\n"))
        );
    }
    assert!(!PathBuf::from("/dev/little-loader-typo").exists());
}

#[test]
fn a_parameter_that_cannot_be_stored_ends_the_task_before_later_actions() {
    let workspace = Workspace::new("01-raw");
    workspace.pack(
        "file-resource x { contents = \"12345\" }\n\
         task complete { on-resource x { raw_write(0) } on-finish { reboot_param(\"0 tryboot\") raw_memset(8, 1, 0xff) } }\n\
         task fails { on-init { reboot_param(\"0 tryboot\") error(\"no\") } }\n",
    );
    let apply = |task: &str, path: &str| {
        let line = format!("-a -q -i out.fw -d disk.img -t {task} --reboot-param-path {path}");
        let (status, out, _) = workspace.run(&line, b"");
        (status, text(&out))
    };
    assert_eq!(
        apply("complete", "gone/parameter"),
        (
            Some(1),
            "fwup: cannot store the parameter for the next boot: gone/parameter: No such file or directory (os error 2)\n"
                .to_owned()
        )
    );
    assert!(!workspace.path("disk.img").exists());
    assert_eq!(apply("complete", "parameter"), (Some(0), String::new()));
    assert_eq!(
        fs::read_to_string(workspace.path("parameter")).unwrap(),
        "0 tryboot"
    );
    // After a failed task the file is removed.
    assert_eq!(apply("fails", "other"), (Some(1), "fwup: no\n".to_owned()));
    assert!(!workspace.path("other").exists());
    // Only a regular file is removed.
    symlink("/dev/null", workspace.path("link")).unwrap();
    assert_eq!(apply("fails", "link"), (Some(1), "fwup: no\n".to_owned()));
    assert!(workspace.path("link").exists());
}

#[test]
fn messages_name_the_cause() {
    let workspace = Workspace::new("01-raw");
    workspace.pack("file-resource x { contents = \"12345\" }\n");
    fs::write(
        workspace.path("folder.conf"),
        "file-resource x { host-path = \".\" }\n",
    )
    .unwrap();
    fs::write(
        workspace.path("socket.conf"),
        "file-resource x { host-path = \"socket\" }\n",
    )
    .unwrap();
    let _socket = UnixListener::bind(workspace.path("socket")).unwrap();
    for (line, expected) in [
        (
            "-c -f fwup.conf -o gone/x.fw",
            "fwup: cannot write 'gone/x.fw': No such file or directory (os error 2)",
        ),
        (
            "-c -f . -o x.fw",
            "fwup: Error opening configuration file '.': is a directory",
        ),
        (
            "-c -f folder.conf -o x.fw",
            "fwup: can't open path '.' in file-resource 'x': not a regular file",
        ),
        (
            "-c -f socket.conf -o x.fw",
            "fwup: can't open path 'socket' in file-resource 'x': not a regular file",
        ),
    ] {
        let (status, out, err) = workspace.run(line, b"");
        assert_eq!((status, err.as_str()), (Some(1), ""), "{line}");
        // The name of the file may follow.
        assert!(text(&out).starts_with(expected), "{line}: {}", text(&out));
    }
    // The archive cannot be written to /dev/full; the error must not go to stdout.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(workspace.path("fwup"));
    command
        .current_dir(workspace.folder.path())
        .args(["-c", "-f", "fwup.conf", "-o", "-"])
        .stdout(full);
    assert_eq!(
        outcome(&mut command).unwrap(),
        (
            Some(1),
            String::new(),
            "fwup: cannot write the archive: No space left on device (os error 28)\n".to_owned()
        )
    );
}

#[test]
fn a_name_that_is_not_utf_8_is_not_taken_for_another_one() {
    let workspace = Workspace::new("01-raw");
    let mut command = Command::new(workspace.path("fwup"));
    command
        .current_dir(workspace.folder.path())
        .args(["-a", "-q", "-i", "out.fw", "-t", "complete", "-d"])
        .arg(OsStr::from_bytes(b"disk\xff.img"));
    assert_eq!(
        outcome(&mut command).unwrap(),
        (
            Some(1),
            "fwup: the argument \"disk\\xFF.img\" is not UTF-8; rename the file, or use a link to it\n"
                .to_owned(),
            String::new()
        )
    );
    assert!(!workspace.path("disk\u{fffd}.img").exists());
}

/// All environments at once would need 240 MiB.
#[test]
fn many_environments_do_not_take_more_memory() {
    const COUNT: usize = 60;
    let workspace = Workspace::new("01-raw");
    let mut configuration = String::new();
    for number in 0..COUNT {
        configuration += &format!(
            "uboot-environment e{number} {{ block-offset = {} block-count = 2048 block-offset-redund = {} }}\n",
            number * 4096,
            number * 4096 + 2048
        );
    }
    configuration += "task complete { on-init {\n";
    for number in 0..COUNT {
        configuration +=
            &format!("uboot_clearenv(e{number}) uboot_setenv(e{number}, number, {number})\n");
    }
    configuration += "} }\n";
    workspace.pack(&configuration);
    // The limit is on address space, in KiB, of which only a part is used.
    let mut limited = Command::new("sh");
    limited.current_dir(workspace.folder.path()).args([
        "-c",
        "ulimit -v 160000 && ./fwup -a -q -i out.fw -d disk.img -t complete",
    ]);
    assert_eq!(
        outcome(&mut limited).unwrap(),
        (Some(0), String::new(), String::new())
    );
    let image = fs::read(workspace.path("disk.img")).unwrap();
    for number in 0..COUNT {
        let (start, size) = (number * 4096 * 512, 2048 * 512);
        let second = &image[start + size..start + 2 * size];
        let env = Env::parse(second, Format::Redundant).unwrap();
        assert_eq!(env.get("number"), Some(number.to_string().as_bytes()));
    }
}
