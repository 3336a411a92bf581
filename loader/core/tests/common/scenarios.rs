// SPDX-License-Identifier: MIT OR Apache-2.0

//! Trials, and the simulation of their boots: each is cut off at every point, followed by boots
//! that are cut off again.

use std::collections::HashSet;

use little_loader_core::env::block::{Env, Format};
use little_loader_core::slots::slot::{Reason, Slot};

use super::{Disk, Operation, block};

/// The sizes of a copy in bytes: one, two and four sectors.
pub(crate) const SIZES: [usize; 3] = [512, 1024, 2048];

/// Returns a trial of slot b in one of the forms. Fillers between the variables that the loader
/// writes spread them over all sectors of the block. `shift` more bytes move them, so that a
/// sector's end can fall anywhere.
pub(crate) fn trial(
    format: Format,
    size: usize,
    padding: u8,
    shift: usize,
    form: &[(&str, &str)],
) -> Vec<u8> {
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
pub(crate) const FORMS: [(&[(&str, &str)], usize); 11] = [
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
    // Both forms, as imagegen writes them.
    (
        &[
            ("upgrade_available", "1"),
            ("bootcount", "0"),
            ("nerves_fw_validated", "0"),
            ("nerves_fw_booted", "0"),
        ],
        1,
    ),
    // Sorted by name, as fwup writes them.
    (
        &[
            ("bootlimit", "2"),
            ("nerves_fw_booted", "0"),
            ("nerves_fw_validated", "0"),
            ("upgrade_available", "1"),
        ],
        2,
    ),
    // The older form, with a count left by an earlier trial.
    (
        &[
            ("bootcount", "3"),
            ("nerves_fw_validated", "0"),
            ("nerves_fw_booted", "0"),
        ],
        1,
    ),
];

/// Returns redundant pairs in which slot b is on trial, each with the number of boots it allows and
/// a description. Either copy is the newer one, with and without a wrap of the flags byte; the older
/// one is valid or damaged.
pub(crate) fn pairs() -> Vec<(Disk, usize, String)> {
    let mut pairs = Vec::new();
    for size in SIZES {
        for shift in [0, 7] {
            for (form, limit) in FORMS {
                for (newer_is_second, flags, is_old_valid) in [
                    (true, (1, 2), true),
                    (true, (255, 0), true),
                    (false, (0, 255), true),
                    (false, (2, 1), true),
                    (true, (1, 2), false),
                    (false, (2, 1), false),
                ] {
                    let mut old =
                        block(Format::Redundant, size, 0xff, &[("nerves_fw_active", "a")]);
                    if !is_old_valid {
                        // The first byte of the checksum.
                        old[0] ^= 1;
                    }
                    let mut copies = [old, trial(Format::Redundant, size, 0xff, shift, form)];
                    if !newer_is_second {
                        copies.swap(0, 1);
                    }
                    copies[0][4] = flags.0;
                    copies[1][4] = flags.1;
                    let [first, second] = copies;
                    let context = format!(
                        "{size} bytes, flags {flags:?}, older copy valid: {is_old_valid}, {form:?}"
                    );
                    pairs.push((Disk::redundant(first, second), limit, context));
                }
            }
        }
    }
    pairs
}

/// Simulates all boots and power cuts from a disk on. Returns the number of cuts.
///
/// # Errors
///
/// When a boot loads nothing, a trial starts more than `limit` times, a recorded revert is lost, or
/// a boot that was not cut off leaves an environment that is invalid or does not record the boot.
pub(crate) fn explore(start: &Disk, limit: usize) -> Result<usize, String> {
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
            .ok_or_else(|| format!("nothing booted after {trials} trials"))?;
        if slot == Slot::A && !matches!(reason, Reason::Reverted | Reason::Active) {
            return Err(format!("slot a for the reason {reason}"));
        }
        check_left_behind(&disk.after(&boot.operations), reason)?;
        for (done, cut) in disk.cuts(&boot.operations) {
            tried += 1;
            // The kernel ran only if the cut came after it was read.
            let ran = boot.operations[..done].contains(&Operation::Start(Slot::B, reason));
            let trials = trials + usize::from(ran);
            if trials > limit {
                return Err(format!("trial number {trials} with a limit of {limit}"));
            }
            // Once a revert is flushed and the kernel runs, slot a stays active.
            let recorded =
                boot.operations[..done].contains(&Operation::Start(Slot::A, Reason::Reverted));
            if recorded && cut.boot().result != Some((Slot::A, Reason::Active)) {
                return Err("a revert was forgotten".to_owned());
            }
            open.push((cut, trials));
        }
    }
    Ok(tried)
}

/// Checks the environment that userspace finds after a boot.
fn check_left_behind(disk: &Disk, reason: Reason) -> Result<(), String> {
    let valid = |copy: &Vec<u8>| Env::parse(copy, disk.format).is_ok();
    let is_whole = match disk.format {
        Format::Single => disk.copies.iter().all(valid),
        Format::Redundant => disk.copies.iter().any(valid),
    };
    if !is_whole {
        return Err("the environment is not valid after a boot".to_owned());
    }
    let is = |name: &str, value: &str| disk.get(name).as_deref() == Some(value);
    let (by_count, by_validated) = (is("upgrade_available", "1"), is("nerves_fw_validated", "0"));
    let counted = if by_count {
        disk.get("bootcount").is_some_and(|count| count != "0")
    } else {
        by_validated && is("nerves_fw_booted", "1")
    };
    match reason {
        Reason::Trial if !counted => Err("a trial was not counted".to_owned()),
        Reason::Reverted if !is("nerves_fw_active", "a") => {
            Err("a revert was not recorded".to_owned())
        }
        Reason::Reverted if by_count || by_validated => {
            Err("a form still says that the trial is on".to_owned())
        }
        _ => Ok(()),
    }
}
