// SPDX-License-Identifier: MIT OR Apache-2.0

//! The problems that `inspect` finds in images.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use imagegen::disk::DiskBuilder;
use imagegen::env_file::DEFAULT_PLACE;
use imagegen::inspect::{Report, inspect};
use imagegen::layout::{Layout, Sizes};
use imagegen::size::Size;
use little_loader_core::env::place::EnvPlace;
use little_loader_core::slots::slot::Slot;
use little_loader_core::units::Lba;

/// A raw arm64 Image of 60,000 bytes.
fn kernel() -> Vec<u8> {
    let mut kernel = vec![0x5a; 60_000];
    kernel[..64].fill(0);
    kernel[16..24].copy_from_slice(&60_000_u64.to_le_bytes());
    kernel[24] = 0b1010;
    kernel[56..60].copy_from_slice(b"ARM\x64");
    kernel
}

/// An image with two copies of the environment and slot a active.
struct Image {
    folder: tempfile::TempDir,
    place: EnvPlace,
}

impl Image {
    fn new(change: impl FnOnce(DiskBuilder<'_>) -> DiskBuilder<'_>) -> Self {
        let sizes = Sizes {
            env_redundant_lba: Some(272),
            kernel: Size(1 << 20),
            rootfs: Size(1 << 20),
            data: Size(1 << 20),
            ..Sizes::default()
        };
        let layout = Layout::new(&sizes).expect("a layout");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kernel = kernel();
        change(DiskBuilder::new(layout).kernel(Slot::A, &kernel))
            .write_to(&folder.path().join("disk.img"), |_, _| {})
            .expect("an image");
        Self {
            folder,
            place: EnvPlace {
                redundant_lba: Some(Lba(272)),
                ..DEFAULT_PLACE
            },
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk.img")
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path()).expect("reading the image");
        change(&mut bytes);
        fs::write(self.path(), bytes).expect("writing the image");
    }

    fn report(&self) -> Report {
        inspect(&self.path(), self.place).expect("a readable image")
    }

    /// Returns the only problem of the report.
    fn problem(&self) -> String {
        let mut problems = self.report().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.remove(0)
    }
}

#[test]
fn each_copy_is_shown_and_a_damaged_one_is_a_problem() {
    let image = Image::new(|disk| disk);
    let report = image.report();
    assert_eq!(report.problems, Vec::<String>::new());
    let active = report.active_copy.expect("an active copy");
    let lbas = [16_u64, 272];
    for lba in lbas {
        assert!(
            report
                .regions
                .iter()
                .any(|region| region.start == lba && region.what.starts_with("environment copy")),
            "{report:?}"
        );
    }
    // Damage to the inactive copy is reported, although the image boots and the next write repairs
    // the copy.
    let other = lbas[usize::from(active == 1)];
    image.change(|bytes| bytes[other as usize * 512 + 20] ^= 1);
    let problem = image.problem();
    assert!(
        problem.starts_with(&format!(
            "the copy of the environment at block {other} is damaged, and the other one is active: bad CRC: stored 0x"
        )),
        "{problem}"
    );
    assert_eq!(image.report().active_copy, Some(active));
    assert_eq!(image.report().variables, report.variables);
    // Now both copies are damaged.
    let active_lba = lbas[usize::from(active == 2)];
    image.change(|bytes| bytes[active_lba as usize * 512 + 20] ^= 1);
    let problem = image.problem();
    assert!(
        problem.starts_with("both copies of the environment are invalid: block 16 has a bad CRC"),
        "{problem}"
    );
}

#[test]
fn regions_and_free_blocks_cover_the_image_once() {
    let report = Image::new(|disk| disk.initrd(Slot::A, b"initrd")).report();
    let mut next = 0;
    for region in &report.regions {
        // A file system inside a partition is not a separate region, so no regions overlap.
        assert_eq!(region.start, next, "{region:?}");
        next += region.blocks;
    }
    assert_eq!(next, report.blocks);
}

#[test]
fn invalid_numbers_and_half_an_initrd_are_problems() {
    let problem = Image::new(|disk| disk.variable("a.kernel_lba", "0x10")).report();
    assert!(
        problem
            .problems
            .contains(&"a.kernel_lba is \"0x10\", not a decimal number".to_owned()),
        "{:?}",
        problem.problems
    );
    assert_eq!(
        Image::new(|disk| disk.variable("a.initrd_lba", "5000")).problem(),
        "slot a: initrd_lba and initrd_size must both be set, or neither"
    );
}

#[test]
fn an_image_that_was_cut_short_is_a_problem() {
    let image = Image::new(|disk| disk);
    let whole = image.report().blocks;
    image.change(|bytes| bytes.truncate((whole as usize - 1) * 512));
    let problem = image.problem();
    assert!(
        problem.starts_with("partition 3 at block ")
            && problem.ends_with(&format!(
                "ends beyond the image, which has {} blocks",
                whole - 1
            )),
        "{problem}"
    );
    // So short that the environment is cut off.
    image.change(|bytes| bytes.truncate(100 * 512));
    let problems = image.report().problems;
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("is too short for the environment of 131072 bytes")),
        "{problems:?}"
    );
}

#[test]
fn a_reader_that_stops_early_is_not_an_error() {
    let image = Image::new(|disk| disk.variable("nerves_fw_active", "c"));
    let path = image.path();
    let path = path.to_str().expect("a temporary path in UTF-8");
    for arguments in [
        &["inspect", path, "--redundant-lba", "272"][..],
        &["inspect", path, "--redundant-lba", "272", "--json"],
        &["env", "list", path, "--redundant-lba", "272"],
        &["env", "list", path, "--redundant-lba", "272", "--json"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_imagegen"))
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .expect("running imagegen");
        let errors = String::from_utf8_lossy(&output.stderr);
        // The exit status still reports problems.
        let status = i32::from(arguments[0] == "inspect");
        assert_eq!(
            (&*errors, output.status.code()),
            ("", Some(status)),
            "{arguments:?}"
        );
    }
}
