// SPDX-License-Identifier: MIT OR Apache-2.0

//! Archives made by fwup 1.16.0, applied: the images must be the ones that fwup made of them, byte for byte. The fixtures'
//! `steps.txt` have the commands and what came of them.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use imagegen::fwup::apply::{Applied, ApplyError, Observer, apply};
use imagegen::fwup::device::{Device, DiskFile};
use imagegen::fwup::hex;
use imagegen::fwup::language::Environment;
use imagegen::fwup::opened::Opened;
use sha2::{Digest, Sha256};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/fwup")
        .join(path)
}

/// What a task said, and how far it came.
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

/// Applies a task of a case; what it did or why it failed, and what it said.
fn run(archive: &Path, image: &Path, task: &str) -> (Result<Applied, ApplyError>, Vec<String>) {
    let mut environment = Environment::empty();
    let mut opened = Opened::read(File::open(archive).unwrap(), &mut environment).unwrap();
    let mut device = Device::new(DiskFile::open(image).unwrap());
    let mut heard = Heard::default();
    let result = apply(
        &mut opened.archive,
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

/// The image's size and hash, as steps.txt has them.
#[track_caller]
fn assert_image(image: &Path, size: usize, sha256: &str) {
    let bytes = fs::read(image).unwrap();
    assert_eq!(
        (bytes.len(), hex(&Sha256::digest(&bytes)).as_str()),
        (size, sha256)
    );
}

/// A case with an image of its own.
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

    /// Applies a task that fails and leaves the image as it was.
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
    assert!(taken <= 64 << 10, "{taken} bytes are no holes");
}
