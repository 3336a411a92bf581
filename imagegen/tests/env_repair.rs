// SPDX-License-Identifier: MIT OR Apache-2.0

//! `imagegen env repair`, and the hints that name another size of the environment.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use imagegen::variables::Variables;
use little_loader_core::env::block::{Env, Format, seal};

const SIZE: usize = 128 << 10;
const FIRST: usize = 16 * 512;
const SECOND: usize = 272 * 512;

/// An image file of 1 MiB: environments between other bytes.
struct Image(tempfile::TempDir);

impl Image {
    fn new(blocks: &[(usize, &[u8])]) -> Self {
        let image = Self(tempfile::tempdir().unwrap());
        let mut bytes = vec![0x77; 1 << 20];
        for (at, block) in blocks {
            bytes[*at..*at + block.len()].copy_from_slice(block);
        }
        fs::write(image.path(), bytes).unwrap();
        image
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("disk.img")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// Runs `imagegen COMMAND disk.img OPTIONS` without a terminal. Returns status, stdout, stderr.
    fn run(&self, command: &str, options: &str) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_imagegen"))
            .args(command.split(' '))
            .arg(self.path())
            .args(options.split_whitespace())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Expects a refusal that leaves the image unchanged. Returns stdout and stderr.
    fn refused(&self, options: &str) -> (String, String) {
        let before = self.bytes();
        let (status, out, error) = self.run("env repair", options);
        assert_eq!(status, 1, "{out}{error}");
        assert!(self.bytes() == before, "the image was changed");
        (out, error)
    }

    /// Expects a repair that changes only bytes in `changed`. Returns stdout.
    fn repaired(&self, options: &str, changed: std::ops::Range<usize>) -> String {
        let before = self.bytes();
        let (status, out, error) = self.run("env repair", options);
        assert_eq!((status, &*error), (0, ""), "{out}");
        let after = self.bytes();
        assert!(before[..changed.start] == after[..changed.start]);
        assert!(before[changed.end..] == after[changed.end..]);
        assert!(before != after);
        out
    }
}

fn variables(value: &str) -> Variables {
    let mut variables = Variables::new();
    variables
        .set("nerves_fw_active", "a")
        .set("upgrade_available", "0")
        .set("bootcount", "0")
        .set("a.kernel_lba", value);
    variables
}

fn block(value: &str, size: usize, format: Format, flags: u8) -> Vec<u8> {
    variables(value).to_block(size, format, flags).unwrap()
}

/// Overwrites the last 32 KiB with zeroes, a failure known from the field.
fn with_zeroed_tail(mut block: Vec<u8>) -> Vec<u8> {
    let at = block.len() - (32 << 10);
    block[at..].fill(0);
    block
}

#[test]
fn a_block_with_a_zeroed_tail_is_resealed() {
    let damaged = with_zeroed_tail(block("272", SIZE, Format::Single, 0));
    let image = Image::new(&[(FIRST, &damaged)]);
    let (out, error) = image.refused("");
    assert!(
        error.ends_with(
            "nothing was changed: stdin is not a terminal; --yes repairs without asking\n"
        ),
        "{error}"
    );
    for part in [
        "copy 1 at block 16, 131072 bytes: bad CRC: stored 0x",
        "the CRC fits no other usual size",
        "a.kernel_lba=272",
        "0x00 in bytes 98304 to 131071",
        "with 0xff throughout, the stored CRC fits: only the padding is damaged",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let out = image.repaired("--yes", FIRST..FIRST + 4);
    assert!(
        out.ends_with("repaired: write the computed CRC to copy 1 (1 sectors written)\n"),
        "{out}"
    );
    let after = image.bytes();
    let env = Env::parse(&after[FIRST..FIRST + SIZE], Format::Single).unwrap();
    assert_eq!(Variables::from_env(&env), variables("272"));
    let (status, out, _) = image.run("env repair", "");
    assert_eq!(status, 0);
    assert!(out.ends_with("valid: nothing needs repair\n"), "{out}");
    assert!(image.bytes() == after);
}

#[test]
fn an_interrupted_write_of_the_loader_is_completed() {
    let old = variables("272");
    let mut new = old.clone();
    new.set("bootcount", "1").set("upgrade_available", "1");
    let mut torn = new.to_block(SIZE, Format::Single, 0).unwrap();
    let at = torn
        .windows(11)
        .position(|bytes| bytes == b"bootcount=1")
        .unwrap();
    // The CRC of the new state, and the count of the old one.
    torn[at + 10] = b'0';
    let image = Image::new(&[(FIRST, &torn)]);
    let out = image.repaired("--yes", FIRST..FIRST + 512);
    assert!(out.contains("as the loader does at the next boot"), "{out}");
    let after = image.bytes();
    let env = Env::parse(&after[FIRST..FIRST + SIZE], Format::Single).unwrap();
    assert_eq!(Variables::from_env(&env), new);
}

#[test]
fn blocks_without_readable_variables_are_refused() {
    let with = |data: &[u8], fill: u8| {
        let mut block = vec![fill; SIZE];
        block[..4].fill(0x12);
        block[4..4 + data.len()].copy_from_slice(data);
        Image::new(&[(FIRST, &block)])
    };
    for (data, fill, expected) in [
        (&b"\0\0"[..], 0xff, "there are no variables"),
        (
            b"a=1\0no name\0\0",
            0xff,
            "the entry at offset 8 is not name=value: \"no name\"",
        ),
        (
            b"=1\0\0",
            0xff,
            "the entry at offset 4 is not name=value: \"=1\"",
        ),
        (
            b"a=\x07\0\0",
            0xff,
            "the entry at offset 4 is not text: \"a=\\x07\"",
        ),
        (b"a=\xff\0\0", 0xff, "the entry at offset 4 is not text"),
        (b"a=1\0b=2", b'x', "no end mark: the entry at offset 8"),
    ] {
        let (_, error) = with(data, fill).refused("--yes");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_size_that_fits_is_named_and_never_resealed_over() {
    for (format, flags, options, expected) in [
        (
            Format::Single,
            0,
            "",
            "the CRC fits a size of 64K: --size 64K",
        ),
        (
            Format::Single,
            0,
            "--redundant-lba 1000",
            "the CRC fits a size of 64K as a single copy: --size 64K without --redundant-lba",
        ),
        (
            Format::Redundant,
            3,
            "",
            "as one copy of a redundant pair: --size 64K --redundant-lba BLOCK",
        ),
    ] {
        let image = Image::new(&[(FIRST, &block("272", 64 << 10, format, flags))]);
        let (_, error) = image.refused(&format!("--yes {options}"));
        assert!(error.contains("nothing is damaged at block 16"), "{error}");
        assert!(error.contains(expected), "{error}");
        let (status, _, error) = image.run("env list", options);
        assert!(status == 1 && error.contains(expected), "{error}");
        let (status, out, _) = image.run("inspect", options);
        assert!(status == 1 && out.contains(expected), "{out}");
    }
    // The file ends within the assumed size.
    let image = Image::new(&[(FIRST, &block("272", 64 << 10, Format::Single, 0))]);
    fs::write(image.path(), &image.bytes()[..FIRST + (64 << 10)]).unwrap();
    let (_, _, error) = image.run("env list", "");
    assert!(
        error.contains("is too short for the environment"),
        "{error}"
    );
    assert!(error.contains("--size 64K"), "{error}");
}

#[test]
fn a_damaged_copy_of_a_valid_pair_is_rewritten_from_the_active_one() {
    let good = block("9", SIZE, Format::Redundant, 0);
    let damaged = with_zeroed_tail(block("5", SIZE, Format::Redundant, 255));
    for (blocks, lost, kept) in [
        ([(FIRST, &damaged), (SECOND, &good)], FIRST, SECOND),
        ([(FIRST, &good), (SECOND, &damaged)], SECOND, FIRST),
    ] {
        let image = Image::new(&blocks.map(|(at, block)| (at, &**block)));
        let (out, _) = image.refused("--redundant-lba 272");
        assert!(out.contains("nothing needs repair"), "{out}");
        image.repaired("--redundant-lba 272 --yes", lost..lost + SIZE);
        let bytes = image.bytes();
        let env = |at: usize| Env::parse(&bytes[at..at + SIZE], Format::Redundant).unwrap();
        assert_eq!(Variables::from_env(&env(lost)), variables("9"));
        // The active copy stays active.
        assert_eq!((env(lost).flags(), env(kept).flags()), (Some(255), Some(0)));
    }
}

#[test]
fn of_two_damaged_copies_one_is_resealed_and_never_both() {
    let damaged =
        |value: &str, flags| with_zeroed_tail(block(value, SIZE, Format::Redundant, flags));
    let (old, new) = (damaged("5", 7), damaged("9", 8));
    let image = Image::new(&[(FIRST, &old), (SECOND, &new)]);
    let (out, error) = image.refused("--redundant-lba 272 --yes");
    assert!(error.contains("--copy 1 or --copy 2"), "{error}");
    assert!(
        out.contains("a.kernel_lba=5") && out.contains("a.kernel_lba=9"),
        "{out}"
    );
    image.repaired("--redundant-lba 272 --yes --copy 2", SECOND..SECOND + 4);
    let (_, error) = image.refused("--redundant-lba 272 --yes --copy 2");
    assert!(error.contains("copy 2 is valid"), "{error}");

    // The variables are equal: the newer copy is resealed.
    let image = Image::new(&[(FIRST, &damaged("9", 7)), (SECOND, &new)]);
    image.repaired("--redundant-lba 272 --yes", SECOND..SECOND + 4);

    // Only one copy has readable variables.
    let image = Image::new(&[(FIRST, &old)]);
    image.repaired("--redundant-lba 272 --yes", FIRST..FIRST + 4);
}

#[test]
fn json_has_the_findings_and_the_result() {
    let mut damaged = with_zeroed_tail(block("272", SIZE, Format::Single, 0));
    let image = Image::new(&[(FIRST, &damaged)]);
    let stored = u32::from_le_bytes(damaged[..4].try_into().unwrap());
    seal(&mut damaged, Format::Single);
    let computed = u32::from_le_bytes(damaged[..4].try_into().unwrap());
    let read = |out: &str| serde_json::from_str::<serde_json::Value>(out).unwrap();
    let report = read(&image.refused("--json").0);
    assert_eq!(report["copies"][0]["stored_crc"], stored);
    assert_eq!(report["copies"][0]["computed_crc"], computed);
    assert_eq!(report["copies"][0]["variables"]["a.kernel_lba"], "272");
    assert_eq!(report["sectors_written"], 0);
    assert!(report["not_repaired"].is_string());
    let report = read(&image.repaired("--json --yes", FIRST..FIRST + 4));
    assert_eq!(report["sectors_written"], 1);
    assert!(report["not_repaired"].is_null());
}
