// SPDX-License-Identifier: MIT OR Apache-2.0

//! Power cuts at every point of every write, each followed by boots in which the power is cut at every point again: the
//! device always boots a slot that can be booted, a trial starts at most as often as its limit says, and a revert that was
//! recorded stays.

mod common;

use std::collections::HashSet;

use common::{Disk, Operation, block};
use little_loader::env::Format;
use little_loader::slot::{Reason, Slot};

const SIZES: [usize; 3] = [512, 1024, 2048];

/// A trial of slot b in one of the forms, with variables between those that the loader writes, so that they lie in as
/// many sectors as the block has; `shift` bytes move everything, so that a sector's end comes to lie anywhere.
fn trial(format: Format, size: usize, padding: u8, shift: usize, form: &[(&str, &str)]) -> Vec<u8> {
    let sectors = size / 512;
    let filler = if sectors == 1 {
        20
    } else {
        size / (form.len() + 2) - 40
    };
    let fillers: Vec<(String, String)> = (0..=form.len())
        .map(|number| {
            let length = if number == 0 { filler + shift } else { filler };
            (format!("filler{number}"), "x".repeat(length))
        })
        .collect();
    let mut variables: Vec<(&str, &str)> = vec![("nerves_fw_active", "b")];
    for (number, variable) in form.iter().enumerate() {
        variables.push((&fillers[number].0, &fillers[number].1));
        variables.push(*variable);
    }
    if form.len() > 1 {
        let last = &fillers[form.len()];
        variables.push((&last.0, &last.1));
    }
    block(format, size, padding, &variables)
}

/// The forms of a trial, with the number of boots each allows.
const FORMS: [(&[(&str, &str)], usize); 8] = [
    (&[("upgrade_available", "1"), ("bootcount", "0")], 1),
    (&[("upgrade_available", "1")], 1),
    (
        &[
            ("bootcount", "0"),
            ("bootlimit", "3"),
            ("upgrade_available", "1"),
        ],
        3,
    ),
    (&[("bootlimit", "2"), ("upgrade_available", "1")], 2),
    (&[("upgrade_available", "1"), ("bootcount", "banana")], 0),
    (
        &[
            ("upgrade_available", "1"),
            ("bootcount", "12"),
            ("bootlimit", "9"),
        ],
        0,
    ),
    (
        &[("nerves_fw_validated", "0"), ("nerves_fw_booted", "0")],
        1,
    ),
    (&[("nerves_fw_validated", "0")], 1),
];

/// Plays all boots and cuts from a disk on. Returns how many cuts were tried.
fn explore(start: &Disk, limit: usize, context: &str) -> usize {
    let mut seen: HashSet<(Vec<Vec<u8>>, usize)> = HashSet::new();
    let mut open = vec![(start.clone(), 0)];
    let mut tried = 0;
    while let Some((disk, trials)) = open.pop() {
        if !seen.insert((disk.copies.clone(), trials)) {
            continue;
        }
        let boot = disk.boot();
        let (slot, reason) = boot
            .result
            .unwrap_or_else(|| panic!("{context}: nothing booted after {trials} trials"));
        if slot == Slot::A {
            assert!(
                matches!(reason, Reason::Reverted | Reason::Active),
                "{context}: {reason}"
            );
        }
        for (done, cut) in disk.cuts(&boot.operations) {
            tried += 1;
            // The kernel ran only if the cut came after it was read.
            let ran = boot.operations[..done].contains(&Operation::Start(Slot::B, reason));
            let trials = trials + usize::from(ran);
            assert!(
                trials <= limit,
                "{context}: trial number {trials} with a limit of {limit}"
            );
            // Once a revert is on the disk, slot a is active for good.
            let recorded = reason == Reason::Reverted
                && boot.operations[..done].contains(&Operation::Flush)
                && !boot.repaired;
            if recorded {
                assert_eq!(
                    cut.boot().result,
                    Some((Slot::A, Reason::Active)),
                    "{context}"
                );
            }
            open.push((cut, trials));
        }
    }
    tried
}

#[test]
fn a_single_copy_survives_every_subset_of_every_write() {
    let mut tried = 0;
    for size in SIZES {
        for padding in [0xff, 0x00] {
            for shift in 0..40 {
                for (form, limit) in FORMS {
                    let disk = Disk::single(trial(Format::Single, size, padding, shift, form));
                    tried += explore(
                        &disk,
                        limit,
                        &format!("{size} bytes, padding {padding:#x}, shift {shift}, {form:?}"),
                    );
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
    for size in SIZES {
        for shift in [0, 7] {
            for (form, limit) in FORMS {
                let old = block(Format::Redundant, size, 0xff, &[("nerves_fw_active", "a")]);
                for (flags, wraps) in [
                    ((1, 2), false),
                    ((255, 0), true),
                    ((0, 255), true),
                    ((2, 1), false),
                ] {
                    let mut copies = [
                        old.clone(),
                        trial(Format::Redundant, size, 0xff, shift, form),
                    ];
                    let newer_is_second =
                        matches!((flags, wraps), ((1, 2), false) | ((255, 0), true));
                    if !newer_is_second {
                        copies.swap(0, 1);
                    }
                    copies[0][4] = flags.0;
                    copies[1][4] = flags.1;
                    let [first, second] = copies;
                    let disk = Disk::redundant(first, second);
                    tried += explore(
                        &disk,
                        limit,
                        &format!("{size} bytes, flags {flags:?}, {form:?}"),
                    );
                }
            }
        }
    }
    println!("{tried} cuts");
    assert!(tried > 1_000);
}

/// The appended variable comes to lie over a sector's end at each of its bytes; the test above would not notice if it
/// never did.
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
    println!("split at {splits:?}");
}
