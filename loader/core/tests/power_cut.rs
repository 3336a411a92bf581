// SPDX-License-Identifier: MIT OR Apache-2.0

//! Power cuts at every point of every write, each followed by boots with further power cuts at
//! every point: the device always boots a slot that can be booted, a trial starts at most as often
//! as its limit allows, and a recorded revert stays.

mod common;

use std::collections::HashSet;

use common::scenarios::{FORMS, SIZES, explore, pairs, trial};
use common::{Disk, Operation};
use little_loader_core::env::block::Format;

#[test]
fn a_single_copy_survives_every_subset_of_every_write() {
    let mut tried = 0;
    for size in SIZES {
        for padding in [0xff, 0x00] {
            for shift in 0..40 {
                for (form, limit) in FORMS {
                    let disk = Disk::single(trial(Format::Single, size, padding, shift, form));
                    tried += explore(&disk, limit).unwrap_or_else(|error| {
                        panic!(
                            "{size} bytes, padding {padding:#x}, shift {shift}, {form:?}: {error}"
                        )
                    });
                }
            }
        }
    }
    println!("{tried} cuts");
    assert!(tried > 10_000);
}

#[test]
fn a_redundant_pair_survives_every_subset_of_every_write() {
    let mut tried = 0;
    for (disk, limit, context) in pairs() {
        tried += explore(&disk, limit).unwrap_or_else(|error| panic!("{context}: {error}"));
    }
    println!("{tried} cuts");
    assert!(tried > 1_000);
}

/// Sector boundaries fall at each byte of the appended variable; the tests above would not notice
/// if they never did.
#[test]
fn an_added_variable_is_cut_at_each_of_its_bytes() {
    let mut splits = HashSet::new();
    for shift in 0..60 {
        let form = FORMS[3].0;
        for size in [1024, 2048] {
            let disk = Disk::single(trial(Format::Single, size, 0xff, shift, form));
            let boot = disk.boot();
            let writes = boot
                .operations
                .iter()
                .filter(|operation| matches!(operation, Operation::Write(..)))
                .count();
            let after = disk.after(&boot.operations);
            let at = after.copies[0]
                .windows(10)
                .rposition(|bytes| bytes == b"bootcount=")
                .unwrap();
            if at / 512 != (at + 12) / 512 {
                assert!(writes >= 2);
                splits.insert(512 - at % 512);
            }
        }
    }
    assert!((1..=12).all(|split| splits.contains(&split)), "{splits:?}");
}
