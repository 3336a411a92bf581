// SPDX-License-Identifier: MIT OR Apache-2.0

//! Archives with a delta in place of a resource, as NervesHub makes them. The archives were made
//! from fwup's with `xdelta3 -A -S none -W 16384` and Python's `zipfile`.

use std::fs;

use super::{Workshop, fixture, replay};

/// Where the raw source and the environment are, in bytes.
const SOURCE: usize = 1024 * 512;
const ENVIRONMENT: std::ops::Range<usize> = 16 * 512..32 * 512;

/// The delta is applied from a part of the disk, from an encrypted one, and from a FAT file; one
/// that was cut, one with too large a window and wrong sources change no image.
#[test]
fn deltas() {
    let workshop = replay("11-delta", |_| ());
    let image = fs::read(workshop.path("disk.img")).unwrap();
    let new = fs::read(workshop.path("new.bin")).unwrap();
    assert!(image[1104 * 512..].starts_with(&new));
    let environment = &image[ENVIRONMENT];
    assert!(environment[4..].starts_with(b"nerves_fw_active=b\0"));
}

/// Each window has a checksum of its own. When a later one shows that the source is wrong, earlier
/// ones may have been written; the choice of the system must not change.
#[test]
fn a_delta_with_another_source_does_not_change_the_environment() {
    let workshop = Workshop::new(&fixture("11-delta"));
    workshop.ok("fwup -q -c -f fwup.conf -o out.fw");
    workshop.ok("fwup -q -a -i out.fw -d disk.img -t complete");
    let before = fs::read(workshop.path("disk.img")).unwrap();
    // The first window uses the first byte, the second one the last.
    for (at, window) in [(0, 0), (16383, 1)] {
        let mut image = before.clone();
        image[SOURCE + at] ^= 1;
        fs::write(workshop.path("disk.img"), &image).unwrap();
        let step = workshop.run("fwup -q -a -i delta.archive -d disk.img -t raw.upgrade");
        assert_eq!(step.status, 1);
        let expected = format!("its delta cannot be applied: window {window}, ");
        assert!(step.out.contains(&expected), "{}", step.out);
        assert!(
            step.out.contains("made for another source?"),
            "{}",
            step.out
        );
        let after = fs::read(workshop.path("disk.img")).unwrap();
        assert_eq!(after[ENVIRONMENT], before[ENVIRONMENT]);
        assert_eq!(after[SOURCE..][..16384], image[SOURCE..][..16384]);
    }
}
