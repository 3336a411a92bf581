// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every combination of the variables' presence and values, against a second implementation of the
//! rules, written only from their description.

mod common;

use common::{Boot, Disk, Faults, Operation, block};
use little_loader_core::env::block::Format;
use little_loader_core::slots::slot::{Reason, Slot};

const ACTIVE: [Option<&str>; 5] = [None, Some("a"), Some("b"), Some("c"), Some("")];
const UPGRADE: [Option<&str>; 4] = [None, Some("0"), Some("1"), Some("true")];
const COUNT: [Option<&str>; 8] = [
    Some("18446744073709551615"),
    None,
    Some("0"),
    Some("1"),
    Some("2"),
    Some("12"),
    Some("banana"),
    Some(""),
];
const LIMIT: [Option<&str>; 5] = [None, Some("1"), Some("3"), Some("0"), Some("20")];
const VALIDATED: [Option<&str>; 4] = [None, Some("0"), Some("1"), Some("yes")];
const BOOTED: [Option<&str>; 4] = [None, Some("0"), Some("1"), Some("x")];

/// The variables of one row.
#[derive(Clone, Copy, Debug)]
struct Row {
    active: Option<&'static str>,
    upgrade: Option<&'static str>,
    count: Option<&'static str>,
    limit: Option<&'static str>,
    validated: Option<&'static str>,
    booted: Option<&'static str>,
    /// Whether slots a and b have a platform.
    platform: [bool; 2],
    /// Whether slots a and b cannot be booted.
    bad: [bool; 2],
}

/// The expected result: the slot with its reason, and the variables that change.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    booted: Option<(Slot, Reason)>,
    changed: Changed,
    /// The boot count passed to the kernel.
    bootcount: u64,
}

/// Variables with their new values.
type Changed = Vec<(&'static str, String)>;

/// Applies the rules as a list of questions, not as a plan.
fn expected(row: &Row) -> Outcome {
    let good = |slot: Slot| !row.bad[common::index(slot)];
    let outcome = |slot, reason, changed, bootcount| Outcome {
        booted: Some((slot, reason)),
        changed,
        bootcount,
    };
    let nothing = Outcome {
        booted: None,
        changed: vec![],
        bootcount: 0,
    };
    let Some(active) = row.active.and_then(|value| match value {
        "a" => Some(Slot::A),
        "b" => Some(Slot::B),
        _ => None,
    }) else {
        // No active slot: a, then b, and nothing is written.
        let slot = [Slot::A, Slot::B].into_iter().find(|slot| good(*slot));
        return slot.map_or(nothing, |slot| outcome(slot, Reason::Fallback, vec![], 0));
    };
    let other = active.other();
    let other_may = !row.platform[common::index(active)] || row.platform[common::index(other)];
    let other_ok = other_may && good(other);
    let trial = trial(row, other);
    if !trial.is_on {
        return if good(active) {
            outcome(active, Reason::Active, vec![], 0)
        } else if other_ok {
            outcome(other, Reason::Fallback, vec![], 0)
        } else {
            nothing
        };
    }
    if !trial.is_used_up && good(active) {
        return outcome(active, Reason::Trial, trial.count_up, trial.boots + 1);
    }
    if other_ok {
        return outcome(other, Reason::Reverted, trial.revert, trial.boots);
    }
    if trial.is_used_up && good(active) {
        let reason = if other_may {
            Reason::Fallback
        } else {
            Reason::Trial
        };
        return outcome(active, reason, vec![], trial.boots);
    }
    nothing
}

/// A trial of the active slot.
struct Trial {
    is_on: bool,
    is_used_up: bool,
    /// The number of counted boots.
    boots: u64,
    /// The changes that count one more boot.
    count_up: Changed,
    /// The changes that revert to the other slot.
    revert: Changed,
}

/// Determines the state of the trial.
fn trial(row: &Row, other: Slot) -> Trial {
    let owned = |list: &[(&'static str, &str)]| -> Changed {
        list.iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect()
    };
    let Some(upgrade) = row.upgrade else {
        // The older form.
        let mut revert = owned(&[
            ("nerves_fw_active", other.name()),
            ("nerves_fw_validated", "1"),
            ("nerves_fw_booted", "1"),
        ]);
        if matches!(row.count, Some("1" | "2")) {
            revert.extend(owned(&[("bootcount", "0")]));
        }
        let is_used_up = row.booted == Some("1");
        return Trial {
            is_on: row.validated == Some("0"),
            is_used_up,
            boots: is_used_up.into(),
            count_up: owned(&[("nerves_fw_booted", "1")]),
            revert,
        };
    };
    let limit = match row.limit {
        None | Some("0" | "1") => 1,
        Some("3") => 3,
        _ => 9,
    };
    // A count that is not a number is unknown: the trial is over.
    let count = match row.count {
        None => Some(0),
        Some(text) => text.parse::<u64>().ok(),
    };
    let boots = count.unwrap_or(0);
    let next = boots.saturating_add(1);
    let mut count_up = owned(&[("bootcount", &next.to_string())]);
    let mut revert = owned(&[
        ("nerves_fw_active", other.name()),
        ("upgrade_available", "0"),
        ("bootcount", "0"),
    ]);
    // The older form is kept consistent: its trial ends with the last boot and with the revert.
    if row.validated == Some("0") {
        revert.extend(owned(&[("nerves_fw_validated", "1")]));
    }
    if row.booted == Some("0") {
        revert.extend(owned(&[("nerves_fw_booted", "1")]));
        if row.validated == Some("0") && next == limit {
            count_up.extend(owned(&[("nerves_fw_booted", "1")]));
        }
    }
    Trial {
        is_on: upgrade == "1",
        is_used_up: count.is_none_or(|count| count >= limit),
        boots,
        count_up,
        revert,
    }
}

fn disk(row: &Row) -> Disk {
    let mut variables = Vec::new();
    for (name, value) in [
        ("nerves_fw_active", row.active),
        ("upgrade_available", row.upgrade),
        ("bootcount", row.count),
        ("bootlimit", row.limit),
        ("nerves_fw_validated", row.validated),
        ("nerves_fw_booted", row.booted),
        ("a.nerves_fw_platform", row.platform[0].then_some("qemu")),
        ("b.nerves_fw_platform", row.platform[1].then_some("qemu")),
        ("someone_elses", Some("kept")),
    ] {
        if let Some(value) = value {
            variables.push((name, value));
        }
    }
    let mut disk = Disk::single(block(Format::Single, 1024, 0xff, &variables));
    disk.faults = Faults {
        bad: row.bad,
        ..Faults::default()
    };
    disk
}

const WRITTEN: [&str; 5] = [
    "nerves_fw_active",
    "upgrade_available",
    "bootcount",
    "nerves_fw_validated",
    "nerves_fw_booted",
];

fn rows() -> impl Iterator<Item = Row> {
    let choices = [
        ACTIVE.len(),
        UPGRADE.len(),
        COUNT.len(),
        LIMIT.len(),
        VALIDATED.len(),
        BOOTED.len(),
        4,
        4,
    ];
    let all = choices.iter().product::<usize>();
    (0..all).map(move |mut number| {
        let mut pick = |length: usize| {
            let picked = number % length;
            number /= length;
            picked
        };
        let (active, upgrade, count) = (ACTIVE[pick(5)], UPGRADE[pick(4)], COUNT[pick(8)]);
        let (limit, validated, booted) = (LIMIT[pick(5)], VALIDATED[pick(4)], BOOTED[pick(4)]);
        let (platform, bad) = (pick(4), pick(4));
        Row {
            active,
            upgrade,
            count,
            limit,
            validated,
            booted,
            platform: [platform & 1 == 1, platform & 2 == 2],
            bad: [bad & 1 == 1, bad & 2 == 2],
        }
    })
}

#[test]
fn every_combination_boots_and_writes_what_the_rules_say() {
    let mut number = 0;
    for row in rows() {
        number += 1;
        let disk = disk(&row);
        let Boot {
            result,
            operations,
            bootcount,
            ..
        } = disk.boot();
        let after = disk.after(&operations);
        let changed: Vec<(&str, String)> = WRITTEN
            .into_iter()
            .filter(|name| disk.get(name) != after.get(name))
            .map(|name| (name, after.get(name).unwrap_or_default()))
            .collect();
        let expected = expected(&row);
        // A variable that already has its new value does not change, and a missing one need not be
        // set to 0.
        let mut wanted: Vec<_> = expected
            .changed
            .into_iter()
            .filter(|(name, value)| {
                disk.get(name).as_ref() != Some(value)
                    && !(disk.get(name).is_none() && value == "0")
            })
            .collect();
        wanted.sort_by_key(|(name, _)| WRITTEN.iter().position(|known| known == name));
        assert_eq!(
            (result, &changed, bootcount),
            (expected.booted, &wanted, expected.bootcount),
            "{row:?}"
        );
        // After a revert, neither form says that a trial is on.
        if matches!(result, Some((_, Reason::Reverted))) {
            assert_ne!(
                after.get("upgrade_available").as_deref(),
                Some("1"),
                "{row:?}"
            );
            assert_ne!(
                after.get("nerves_fw_validated").as_deref(),
                Some("0"),
                "{row:?}"
            );
        }
        // Every write is flushed before the kernel starts, and nothing else has changed.
        let writes = operations
            .iter()
            .filter(|operation| matches!(operation, Operation::Write(..)))
            .count();
        assert_eq!(writes > 0, !changed.is_empty(), "{row:?}");
        let last_write = operations
            .iter()
            .rposition(|operation| matches!(operation, Operation::Write(..)));
        let last_flush = operations
            .iter()
            .rposition(|operation| *operation == Operation::Flush);
        assert!(last_write <= last_flush, "{row:?}");
        assert_eq!(
            after.get("someone_elses").as_deref(),
            Some("kept"),
            "{row:?}"
        );
        assert_eq!(
            after.get("bootlimit"),
            row.limit.map(str::to_owned),
            "{row:?}"
        );
    }
    println!("{number} rows");
}

#[test]
fn a_disk_that_cannot_be_written_never_starts_an_uncounted_trial() {
    for row in rows().filter(|row| row.platform == [true, true] && row.bad == [false, false]) {
        for faults in [
            Faults {
                writes_from: Some(0),
                ..Faults::default()
            },
            Faults {
                flushes: true,
                ..Faults::default()
            },
        ] {
            let mut disk = disk(&row);
            let planned = disk.boot().result;
            disk.faults = faults;
            let boot = disk.boot();
            match planned {
                Some((slot, Reason::Trial)) => {
                    assert_eq!(
                        boot.result,
                        Some((slot.other(), Reason::Reverted)),
                        "{row:?} {faults:?}"
                    );
                    assert_eq!(boot.unrecorded, 2);
                }
                Some((_, Reason::Reverted)) => {
                    assert_eq!(
                        (boot.result, boot.unrecorded),
                        (planned, 1),
                        "{row:?} {faults:?}"
                    );
                }
                _ => assert_eq!(
                    (boot.result, boot.unrecorded),
                    (planned, 0),
                    "{row:?} {faults:?}"
                ),
            }
        }
    }
}

#[test]
fn a_kernel_that_cannot_be_read_to_the_end_leads_to_the_other_slot() {
    for row in rows().filter(|row| row.platform == [true, true] && row.bad == [false, false]) {
        let mut disk = disk(&row);
        let Some((slot, reason)) = disk.boot().result else {
            continue;
        };
        disk.faults.unreadable[common::index(slot)] = true;
        let boot = disk.boot();
        let (other, second) = boot
            .result
            .unwrap_or_else(|| panic!("nothing booted: {row:?}"));
        assert_eq!(other, slot.other(), "{row:?}");
        let after = disk.after(&boot.operations);
        match reason {
            // The failed trial is reverted on the disk.
            Reason::Trial => {
                assert_eq!(second, Reason::Reverted, "{row:?}");
                assert_eq!(
                    after.get("nerves_fw_active").as_deref(),
                    Some(other.name()),
                    "{row:?}"
                );
            }
            _ => assert_eq!(second, Reason::Fallback, "{row:?}"),
        }
    }
}
