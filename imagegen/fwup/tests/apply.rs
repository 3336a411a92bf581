// SPDX-License-Identifier: MIT OR Apache-2.0

//! Applies archives made by fwup 1.16.0. The images must be identical to those that fwup wrote from
//! these archives. The fixtures' `steps.txt` contain fwup's commands and their results.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fwup::apply::{Applied, ApplyError, Observer, apply};
use fwup::archive::firmware_archive::FirmwareArchive;
use fwup::archive::read::Archive;
use fwup::command::{ApplyCommand, ProgressMode};
use fwup::destination::{DestinationOptions, Device, DiskFile, Storage};
use fwup::firmware::model::{
    Call, Firmware, Handler, Resource, Section, SectionOptions, Task, Value,
};
use fwup::hex;
use fwup::language::Definitions;
use sha2::{Digest, Sha256};

/// Returns the path of a folder or a file of the fixtures.
fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path)
}

/// Collects a task's messages and its progress.
#[derive(Default)]
struct Heard {
    messages: Vec<String>,
    progress: (u64, u64),
}

impl Observer for Heard {
    fn progress(&mut self, done: u64, total: u64) {
        assert!(done >= self.progress.0 && done <= total);
        self.progress = (done, total);
    }

    fn info(&mut self, message: &str) {
        self.messages.push(message.to_owned());
    }
}

/// Applies a task of a case. Returns the result and the task's messages.
fn run(archive: &Path, image: &Path, task: &str) -> (Result<Applied, ApplyError>, Vec<String>) {
    let mut definitions = Definitions::empty();
    let mut opened = FirmwareArchive::read(File::open(archive).unwrap(), &mut definitions).unwrap();
    let mut device = Device::new(DiskFile::open(image).unwrap());
    let mut heard = Heard::default();
    let result = apply(
        &mut opened.entries,
        &opened.firmware,
        task,
        &mut device,
        &mut heard,
    );
    if result.is_ok() {
        assert_eq!(heard.progress.0, heard.progress.1, "{task}");
    }
    (result, heard.messages)
}

/// Compares the image's size and hash with those in steps.txt.
#[track_caller]
fn assert_image(image: &Path, size: usize, sha256: &str) {
    let bytes = fs::read(image).unwrap();
    assert_eq!(
        (bytes.len(), hex::encode(&Sha256::digest(&bytes)).as_str()),
        (size, sha256)
    );
}

/// A case's archive, and an image to write to.
struct Case {
    folder: tempfile::TempDir,
    archive: PathBuf,
}

impl Case {
    fn new(name: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            archive: fixture(name).join("out.fw"),
        }
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("disk.img")
    }

    /// Applies a task and compares the image.
    #[track_caller]
    fn step(&self, task: &str, messages: &[&str], size: usize, sha256: &str) -> Applied {
        let (result, heard) = run(&self.archive, &self.image(), task);
        let applied = result.unwrap();
        assert_eq!(heard, messages);
        assert_image(&self.image(), size, sha256);
        applied
    }

    /// Applies a task that must fail and leave the image unchanged.
    #[track_caller]
    fn fails(&self, task: &str, error: &str) {
        let before = fs::read(self.image()).unwrap();
        let (result, heard) = run(&self.archive, &self.image(), task);
        assert_eq!(result.unwrap_err().to_string(), error);
        assert!(heard.is_empty());
        assert!(fs::read(self.image()).unwrap() == before);
    }
}

#[test]
fn raw_resources() {
    let case = Case::new("01-raw");
    let sha256 = "03f905b7928af6085c8e451ebe9a0bc29b0da408ba2cf63779b14d6a09b7f042";
    case.step("complete", &[], 131_072, sha256);
    case.step("other", &["nothing to do"], 131_072, sha256);
    case.fails(
        "missing",
        "Couldn't find applicable task 'missing'. If task is available, the task's requirements may not be met.",
    );
}

#[test]
fn slots_are_upgraded_in_turn() {
    let case = Case::new("02-ab");
    case.step(
        "complete",
        &[],
        524_288,
        "bfe121c8b87c040510137cef7b07a9809d7511a77b21f2d7b87659bdd3c34344",
    );
    let applied = case.step(
        "upgrade",
        &["Upgrading B"],
        524_288,
        "5c97871865fc36e1176402c8090a29638ec5a9ccd9f3f569e4887520c89c4196",
    );
    assert_eq!(applied.task, "upgrade.b");
    let (result, _) = run(&case.archive, &case.image(), "upgrade");
    assert_eq!(
        result.unwrap_err().to_string(),
        "Please validate the running firmware before upgrading it again."
    );
    case.step(
        "validate",
        &["Validate"],
        524_288,
        "f66bbb7bddbe434a84a07fafebfb2fb3ab43019e8d9bb97565fe737590061eb2",
    );
    let applied = case.step(
        "upgrade",
        &["Upgrading A"],
        524_288,
        "c1762cc11de79862debb53eae2bc8e53eb6f3680796406f183cb23be462cf5c3",
    );
    assert_eq!(applied.task, "upgrade.a");
}

#[test]
fn partition_tables() {
    let case = Case::new("04-mbr");
    let (plain, sized) = (case.image(), case.folder.path().join("sized.img"));
    case.step(
        "complete",
        &[],
        131_072,
        "8aa9250864b4fed4604ad02bca4be1b15160679dfb98dae13a1bbc89b566dc72",
    );
    fs::remove_file(plain).unwrap();
    case.step(
        "logical",
        &[],
        655_360,
        "f7fbc028726a1d710aca968739ca6fd55a3df79aa9f4949ecd24ab49ea238933",
    );
    File::create(&sized).unwrap().set_len(8 << 20).unwrap();
    run(&case.archive, &sized, "complete").0.unwrap();
    assert_image(
        &sized,
        8 << 20,
        "21b53854cb08bd6ca28ea90bbe2504eb384e6537f843c06f3a583f551eeb7930",
    );
}

#[test]
fn environments() {
    let case = Case::new("05-env");
    let step = |task, sha256| case.step(task, &[], 131_072, sha256);
    step(
        "complete",
        "dc1f6004d7877bf2b9884d2361f16bcfe4b6fc0dcb60a1376467522540cdb075",
    );
    step(
        "more",
        "a7e8788c7d76a4ade6eb83f3d2afcd00c38020ff93c58edbfb16dbdf266c763d",
    );
    let last = "a67feb3e6d62813458b862f5545129d9ecdeea8ed85efc8c6b81295ca3dffec0";
    step("again", last);
    case.fails(
        "wants",
        "Couldn't find applicable task 'wants'. If task is available, the task's requirements may not be met.",
    );
    step("recover", last);
}

#[test]
fn sparse_resources_leave_holes() {
    let case = Case::new("06-sparse");
    case.step(
        "complete",
        &[],
        2_228_224,
        "30d88d7c0badbfac60b6f2c4e2c5413262e3f61d63086b0e5476e1400f171d87",
    );
    let taken = fs::metadata(case.image()).unwrap().blocks() * 512;
    assert!(
        taken <= 64 << 10,
        "the holes are not kept: {taken} bytes are allocated"
    );
}

/// Returns the equivalent of `fwup -a -q -d IMAGE -t complete`.
fn quiet(destination: &Path) -> ApplyCommand<'_> {
    ApplyCommand {
        destination,
        task: "complete",
        public_keys: &[],
        mode: ProgressMode::Quiet,
        low: 0,
        high: 100,
        reboot_parameter: None,
        options: DestinationOptions::default(),
        is_verbose: false,
    }
}

/// steps.txt contains the same output and exit statuses.
#[test]
fn the_output_is_that_of_fwup() {
    let case = Case::new("01-raw");
    let run = |task: &str, mode| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let image = case.image();
        let run = ApplyCommand {
            task,
            mode,
            ..quiet(&image)
        };
        let archive = File::open(&case.archive).unwrap();
        let status = run.run(archive, &mut Definitions::empty(), &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status, text(out), text(err))
    };
    let of = |status: u8, out: &str, err: &str| (status, out.to_owned(), err.to_owned());
    assert_eq!(run("complete", ProgressMode::Quiet), of(0, "", ""));
    assert_eq!(
        run("other", ProgressMode::Quiet),
        of(0, "fwup: nothing to do\n", "")
    );
    assert_eq!(
        run("missing", ProgressMode::Normal),
        of(
            1,
            "\r  0% [                                    ]\r\x1b[Kfwup: Couldn't find applicable task 'missing'. If task is available, the task's requirements may not be met.\n",
            "\n"
        )
    );
    let (status, out, _) = run("complete", ProgressMode::Numeric);
    assert_eq!((status, out.as_str()), (0, "0\n99\n100\n"));
}

/// Returns single bytes, like a slow pipe.
struct Trickle<R>(R);

impl<R: Read> Read for Trickle<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = out.len().min(1);
        self.0.read(&mut out[..length])
    }
}

#[test]
fn an_archive_may_come_in_single_bytes_and_is_read_only_as_far_as_needed() {
    let case = Case::new("01-raw");
    let bytes = fs::read(&case.archive).unwrap();
    let directory = bytes
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    let mut opened =
        FirmwareArchive::read(Trickle(&bytes[..directory]), &mut Definitions::empty()).unwrap();
    let mut device = Device::new(DiskFile::open(&case.image()).unwrap());
    let heard = &mut Heard::default();
    apply(
        &mut opened.entries,
        &opened.firmware,
        "complete",
        &mut device,
        heard,
    )
    .unwrap();
    assert_image(
        &case.image(),
        131_072,
        "03f905b7928af6085c8e451ebe9a0bc29b0da408ba2cf63779b14d6a09b7f042",
    );
}

/// Returns firmware with a task that writes one resource of `length` bytes to block 0, and then
/// clears an environment.
fn firmware(hash: [u8; 32], length: u64) -> Firmware {
    let call = |name: &str, arguments: &[&str]| Call {
        name: name.to_owned(),
        arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
    };
    let place = [("block-offset", 20000), ("block-count", 16)];
    Firmware {
        resources: vec![Resource {
            name: "x".to_owned(),
            length: vec![length],
            hash: Some(hash),
            ..Resource::default()
        }],
        environments: vec![Section {
            kind: "uboot-environment".to_owned(),
            title: "env".to_owned(),
            options: SectionOptions(
                place
                    .map(|(name, value)| (name.to_owned(), Value::Integer(value)))
                    .to_vec(),
            ),
            sections: Vec::new(),
        }],
        tasks: vec![Task {
            name: "complete".to_owned(),
            on_resource: vec![Handler {
                resource: "x".to_owned(),
                actions: vec![call("raw_write", &["0"])],
                options: SectionOptions::default(),
            }],
            on_finish: vec![call("uboot_clearenv", &["env"])],
            on_error: vec![
                call("info", &["it failed"]),
                call("raw_memset", &["30000", "1", "0x77"]),
            ],
            ..Task::default()
        }],
        ..Firmware::default()
    }
}

/// Returns an archive with one stored entry.
fn stored(data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    let crc = crc32fast::hash(data).to_le_bytes();
    let mut bytes = b"PK\x03\x04\x14\0\0\0\0\0\0\0\x21\0".to_vec();
    for part in [
        &crc[..],
        &length,
        &length,
        b"\x06\0\0\0data/x",
        data,
        b"PK\x01\x02",
    ] {
        bytes.extend(part);
    }
    bytes
}

#[test]
fn a_wrong_hash_stops_before_the_last_piece_and_the_environment() {
    let data = vec![0x33; (2 << 20) + 100];
    let mut hash: [u8; 32] = blake2::Blake2b256::digest(&data).into();
    let archive = stored(&data);
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, firmware: &Firmware| {
        let image = folder.path().join(name);
        let mut device = Device::new(DiskFile::open(&image).unwrap());
        let mut heard = Heard::default();
        let mut archive = Archive::new(&archive[..]);
        let result = apply(&mut archive, firmware, "complete", &mut device, &mut heard);
        (result, heard.messages, fs::read(image).unwrap())
    };
    let (result, _, image) = run("good", &firmware(hash, data.len() as u64));
    result.unwrap();
    assert!(image.starts_with(&data));
    assert_eq!(image[data.len()..data.len() + 412], [0; 412]);
    assert_ne!(image[20_000 * 512..][..4], [0; 4]);

    hash[0] ^= 1;
    let (result, messages, image) = run("bad", &firmware(hash, data.len() as u64));
    let error = result.unwrap_err().to_string();
    assert!(
        error.starts_with("resource \"x\" is damaged: its BLAKE2b-256 is "),
        "{error}"
    );
    assert_eq!(messages, ["it failed"]);
    assert!(image.starts_with(&data[..2 << 20]));
    assert_eq!(image[2 << 20..][..100], [0; 100]);
    assert_eq!(image[20_000 * 512..][..4], [0; 4]);
    assert_eq!(image[30_000 * 512..][..512], [0x77; 512]);

    for (length, expected) in [
        (
            data.len() as u64 - 1,
            "resource \"x\" has more than 2097251 bytes of data, expected 2097251",
        ),
        (
            data.len() as u64 + 1,
            "resource \"x\" has 2097252 bytes of data, expected 2097253",
        ),
    ] {
        let (result, ..) = run("length", &firmware(hash, length));
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}

/// Applies a task with an archive without resources.
fn run_empty(firmware: &Firmware, image: &Path, task: &str) -> Result<Applied, ApplyError> {
    let mut device = Device::new(DiskFile::open(image).unwrap());
    let mut archive = Archive::new(&b"PK\x01\x02"[..]);
    apply(
        &mut archive,
        firmware,
        task,
        &mut device,
        &mut Heard::default(),
    )
}

#[test]
fn an_invalid_action_fails_before_anything_is_written() {
    let mut firmware = firmware([0; 32], 5);
    firmware.tasks[0].on_finish.push(Call {
        name: "fat_write".to_owned(),
        arguments: Vec::new(),
    });
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let run = |firmware: &Firmware, task: &str| run_empty(firmware, &image, task);
    let error = run(&firmware, "complete").unwrap_err().to_string();
    assert_eq!(error, "'fat_write' cannot be used in on-finish");
    assert_eq!(fs::metadata(&image).unwrap().len(), 0);
    // Other tasks are not affected.
    firmware.tasks.push(Task {
        name: "other".to_owned(),
        ..Task::default()
    });
    assert_eq!(run(&firmware, "other").unwrap().task, "other");
    firmware.tasks[0].on_finish.clear();
    let error = run(&firmware, "complete").unwrap_err().to_string();
    assert_eq!(
        error,
        "the archive has no resource \"x\", which the task needs"
    );
}

/// Runs an independent program that reads the image.
fn judge(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; this test needs it"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn sfdisk_reads_the_logical_partitions() {
    let case = Case::new("04-mbr");
    File::create(case.image())
        .unwrap()
        .set_len(8 << 20)
        .unwrap();
    run(&case.archive, &case.image(), "logical").0.unwrap();
    let image = case.image();
    let table = judge("sfdisk", &["-d", image.to_str().unwrap()]);
    let found: Vec<_> = table
        .lines()
        .filter_map(|line| {
            line.split_once(" : ")
                .map(|(_, partition)| partition.replace(' ', ""))
        })
        .collect();
    assert_eq!(
        found,
        [
            "start=64,size=128,type=83",
            // The extended partition grows to the end of the disk.
            "start=1024,size=15360,type=f",
            "start=1032,size=100,type=83",
            "start=1200,size=100,type=83"
        ],
        "{table}"
    );
}

/// Returns the variables that fw_printenv reads from the environment whose copies start at these
/// blocks.
fn fw_printenv(case: &Case, blocks: &[usize]) -> String {
    let config = case.folder.path().join("fw_env.config");
    let lines: String = blocks
        .iter()
        .map(|block| format!("{} {:#x} 0x2000\n", case.image().display(), block * 512))
        .collect();
    fs::write(&config, lines).unwrap();
    judge("fw_printenv", &["-c", config.to_str().unwrap()])
}

#[test]
fn fw_printenv_reads_both_kinds_of_environments() {
    let case = Case::new("05-env");
    for task in ["complete", "more", "again"] {
        run(&case.archive, &case.image(), task).0.unwrap();
    }
    for (blocks, expected) in [
        (&[16][..], "alpha=\nzeta=last\n"),
        (&[64, 96], "three=3\ntwo=2\n"),
    ] {
        let mut found: Vec<_> = fw_printenv(&case, blocks)
            .lines()
            .map(|line| format!("{line}\n"))
            .collect();
        found.sort();
        assert_eq!(found.concat(), expected);
    }
}

/// Applies a task of a `meta.conf` without resources.
fn run_text(text: &str, image: &Path, task: &str) -> Result<Applied, ApplyError> {
    let definitions = &mut Definitions::empty();
    let firmware = fwup::language::meta_conf(text.as_bytes(), definitions).unwrap();
    run_empty(&firmware, image, task)
}

/// Returns a `meta.conf` with a task `ok` that has the requirements of a reqlist.
fn required(requirements: &str) -> String {
    format!(
        "uboot-environment \"env\" {{\nblock-offset=16\nblock-count=16\n}}\n\
         task \"ok\" {{\nreqlist={{{requirements}}}\non-init {{\nfunlist={{2,reboot_param,\"0 tryboot\"}}\n}}\n}}\n"
    )
}

#[test]
fn requirements_choose_the_task() {
    let case = Case::new("04-mbr");
    run(&case.archive, &case.image(), "complete").0.unwrap();
    let env = Case::new("05-env");
    run(&env.archive, &env.image(), "complete").0.unwrap();
    for (case, requirements, expected) in [
        (&case, "3,\"require-partition-offset\",1,192", true),
        (&case, "3,\"require-partition-offset\",1,0xc0", true),
        (&case, "3,\"require-partition-offset\",1,193", false),
        (&case, "3,\"require-partition-offset\",4,0", false),
        (&env, "3,\"require-partition-offset\",1,0", false),
        (
            &env,
            "4,\"require-uboot-variable\",env,alpha,\"a=b=c\"",
            true,
        ),
        (&env, "4,\"require-uboot-variable\",env,alpha,a", false),
        (&env, "4,\"require-uboot-variable\",env,beta,\"\"", false),
        (&env, "4,\"require-uboot-variable\",other,alpha,a", false),
        // The destination has no environment.
        (&case, "4,\"require-uboot-variable\",env,alpha,a", false),
        (
            &env,
            "3,\"require-path-on-device\",\"/\",\"/dev/null\"",
            false,
        ),
        (&env, "3,\"require-path-at-offset\",\"/missing\",0", false),
        (&env, "3,\"require-fat-file-exists\",16,x", false),
        (&env, "2,\"require-execute\",true", false),
    ] {
        let result = run_text(&required(requirements), &case.image(), "o");
        assert_eq!(result.is_ok(), expected, "{requirements}: {result:?}");
        if let Ok(applied) = result {
            assert_eq!(applied.reboot_parameter.as_deref(), Some("0 tryboot"));
        }
    }
    // The older form is an option of the task.
    for (offset, expected) in [("192", true), ("0xc0", true), ("193", false), ("-1", true)] {
        let text = format!(
            "task \"ok\" {{\nrequire-partition1-offset={offset}\nverify-on-the-fly=true\n}}\n"
        );
        let result = run_text(&text, &case.image(), "o");
        assert_eq!(result.is_ok(), expected, "{offset}: {result:?}");
    }
}

/// Returns an archive that contains only a `meta.conf`.
fn described(meta_conf: &str) -> Vec<u8> {
    let mut archive = stored(meta_conf.as_bytes());
    archive[26] = 9;
    archive.splice(30..36, *b"meta.conf");
    archive
}

#[test]
fn programs_run_only_with_permission() {
    let case = Case::new("01-raw");
    let ran = case.folder.path().join("ran");
    let archive = described(&format!(
        "task \"complete\" {{\nreqlist={{2,\"require-execute\",\"touch {}\"}}\n}}\n\
         task \"complete.other\" {{\non-init {{\nfunlist={{2,info,\"no programs\"}}\n}}\n}}\n",
        ran.display()
    ));
    let image = case.image();
    let run = |is_unsafe| {
        let run = ApplyCommand {
            options: DestinationOptions {
                is_unsafe,
                ..DestinationOptions::default()
            },
            ..quiet(&image)
        };
        let mut out = Vec::new();
        let definitions = &mut Definitions::empty();
        let status = run.run(&archive[..], definitions, &mut out, Vec::new());
        (status, String::from_utf8(out).unwrap())
    };
    // As in fwup, the requirement does not hold unless programs may run.
    assert_eq!(run(false), (0, "fwup: no programs\n".to_owned()));
    assert!(!ran.exists());
    assert_eq!(run(true), (0, String::new()));
    assert!(ran.exists());
}

/// A disk whose reads fail.
struct Unreadable;

impl Storage for Unreadable {
    fn read_at(&mut self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the medium is bad"))
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        panic!("nothing is to be written")
    }

    fn length(&self) -> u64 {
        1 << 20
    }

    fn grows(&self) -> bool {
        false
    }

    fn grow(&mut self, _: u64) -> io::Result<()> {
        panic!("a disk does not grow")
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_cannot_be_read_is_an_error_of_requirements() {
    for (requirement, offset) in [
        ("4,\"require-uboot-variable\",env,alpha,a", 16 * 512),
        ("3,\"require-partition-offset\",1,192", 0),
    ] {
        let text = required(requirement);
        let definitions = &mut Definitions::empty();
        let firmware = fwup::language::meta_conf(text.as_bytes(), definitions).unwrap();
        let result = apply(
            &mut Archive::new(&b"PK\x01\x02"[..]),
            &firmware,
            "ok",
            &mut Device::new(Unreadable),
            &mut Heard::default(),
        );
        assert_eq!(
            result.unwrap_err().to_string(),
            format!("reading byte {offset}: the medium is bad")
        );
    }
}

#[test]
fn the_parameter_for_the_next_boot_is_written_to_its_file() {
    let case = Case::new("01-raw");
    let parameter = case.folder.path().join("parameter");
    let archive =
        described("task \"complete\" {\non-init {\nfunlist={2,reboot_param,\"0 tryboot\"}\n}\n}\n");
    let image = case.image();
    let run = ApplyCommand {
        reboot_parameter: Some(&parameter),
        ..quiet(&image)
    };
    let mut out = Vec::new();
    let status = run.run(
        &archive[..],
        &mut Definitions::empty(),
        &mut out,
        Vec::new(),
    );
    assert_eq!(
        (status, String::from_utf8(out).unwrap()),
        (0, String::new())
    );
    assert_eq!(fs::read_to_string(parameter).unwrap(), "0 tryboot");
}

/// Names and values that are not UTF-8, and an empty name, are unchanged when another variable
/// changes.
#[test]
fn variables_that_are_not_utf_8_are_kept_byte_for_byte() {
    let case = Case::new("05-env");
    run(&case.archive, &case.image(), "complete").0.unwrap();
    let mut image = fs::read(case.image()).unwrap();
    let block = &mut image[16 * 512..][..16 * 512];
    let odd: &[&[u8]] = &[
        b"=empty\0",
        b"alpha=1\0",
        b"na\xefve=\xff\xfe\0",
        b"\xc3(=\x80\0",
    ];
    let data = [&odd.concat()[..], b"zeta=last\0\0"].concat();
    block[4..].fill(0xff);
    block[4..4 + data.len()].copy_from_slice(&data);
    let crc = crc32fast::hash(&block[4..]).to_le_bytes();
    block[..4].copy_from_slice(&crc);
    fs::write(case.image(), image).unwrap();
    run(&case.archive, &case.image(), "more").0.unwrap();
    let image = fs::read(case.image()).unwrap();
    let expected: &[&[u8]] = &[
        b"=empty\0",
        b"alpha=\0",
        b"na\xefve=\xff\xfe\0",
        b"zeta=last\0",
        b"\xc3(=\x80\0\0\xff",
    ];
    let expected = expected.concat();
    assert_eq!(image[16 * 512 + 4..][..expected.len()], expected);
    // The loader's code accepts it.
    let block = &image[16 * 512..][..16 * 512];
    let env = little_loader_core::env::block::Env::parse(
        block,
        little_loader_core::env::block::Format::Single,
    )
    .unwrap();
    assert_eq!(env.iter().count(), 5);
}

#[test]
fn a_damaged_environment_is_recovered_and_nothing_else() {
    let case = Case::new("05-env");
    run(&case.archive, &case.image(), "complete").0.unwrap();
    let flip = |blocks: &[usize]| {
        let mut bytes = fs::read(case.image()).unwrap();
        for block in blocks {
            bytes[block * 512 + 100] ^= 1;
        }
        fs::write(case.image(), bytes).unwrap();
    };
    let print = |blocks: &[usize]| fw_printenv(&case, blocks);
    // One valid copy of the pair is enough.
    flip(&[64]);
    run(&case.archive, &case.image(), "recover").0.unwrap();
    assert_eq!(print(&[64, 96]), "one=1\n");
    // A change is written to the damaged copy.
    run(&case.archive, &case.image(), "more").0.unwrap();
    assert_eq!(print(&[64, 96]), "two=2\n");
    flip(&[16, 64, 96]);
    let (result, _) = run(&case.archive, &case.image(), "again");
    assert!(matches!(result, Err(ApplyError::NoTask(_))));
    run(&case.archive, &case.image(), "recover").0.unwrap();
    assert_eq!(print(&[16]), "");
    assert_eq!(print(&[64, 96]), "");
}
