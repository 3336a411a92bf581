// SPDX-License-Identifier: MIT OR Apache-2.0

//! The slot policy: from the environment's variables to the slots to try, in order, and what to write back before each.
//!
//! | state | first | then |
//! | --- | --- | --- |
//! | no trial | the active slot | the other one, nothing written |
//! | trial, count below the limit | the active slot, once the raised count is written | the other one, once the revert is written |
//! | trial, count at the limit | the other slot, once the revert is written | the active one, nothing written |
//! | active slot not known | a | b, nothing written |
//!
//! An attempt is made only with a slot whose kernel was looked at and found good; a write comes between that look and
//! reading the kernel. So a slot that cannot be booted costs no write, and both bad leave the environment untouched.
//!
//! The other slot is left out where the environment says that it must not be booted: Nerves unsets its
//! `nerves_fw_platform` while the active slot keeps its own.

use thiserror::Error;

use crate::display::{Shown, Word, decimal};
use crate::env::changes::{Changes, Digit};
use crate::slots::slot::{Reason, Slot};
use crate::slots::variables::Variables;

/// How many trial boots there are where `bootlimit` is not set.
const DEFAULT_LIMIT: u64 = 1;

/// The highest limit that counts: the count is written in place, as one digit.
const HIGHEST_LIMIT: u64 = 9;

/// The most attempts of a [`Plan`].
pub const MAX_ATTEMPTS: usize = 3;

/// A slot to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The slot.
    pub slot: Slot,
    /// Why it would be booted.
    pub reason: Reason,
    /// What must be written and flushed before its kernel is read.
    pub changes: Option<Changes>,
    /// Whether to boot it although the changes could not be written. A trial that cannot be counted might go on for
    /// ever, so the other slot is tried first; a revert is followed even where it cannot be recorded.
    pub even_unrecorded: bool,
}

/// The slots to try, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    attempts: [Option<Attempt>; MAX_ATTEMPTS],
    /// The slot that must not be booted, because the active one has a platform and it has none.
    pub barred: Option<Slot>,
    /// What is odd about the variables.
    pub oddities: [Option<Oddity>; 3],
    /// The count of trial boots before this one.
    pub bootcount: u64,
}

impl Plan {
    /// The attempts in order.
    pub fn attempts(&self) -> impl Iterator<Item = Attempt> {
        self.attempts.into_iter().flatten()
    }

    fn push(&mut self, attempt: Attempt) {
        if let Some(free) = self.attempts.iter_mut().find(|place| place.is_none()) {
            *free = Some(attempt);
        }
    }
}

/// A variable that has a value nobody writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Oddity {
    /// The active slot is missing.
    #[error("nerves_fw_active is not set: trying slot a, then b")]
    NoActive,
    /// The active slot is no slot.
    #[error("nerves_fw_active is {0}, neither a nor b: trying slot a, then b")]
    Active(Shown),
    /// It is not known whether a trial is on.
    #[error("{} is {value}, neither 0 nor 1: no trial", Word(name))]
    Flag {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: Shown,
    },
    /// A trial's count cannot be read.
    #[error("bootcount is {0}, not a number: the trial counts as failed")]
    Count(Shown),
    /// The limit cannot be read.
    #[error("bootlimit is {0}, not a number from 1 on: 1 counts")]
    Limit(Shown),
    /// The limit is too high.
    #[error("bootlimit is {0}: 9 counts")]
    HighLimit(Shown),
}

/// Whether the active slot is on trial.
enum Trial {
    /// It is not.
    No,
    /// It may be tried once these changes are written.
    Open(Changes),
    /// It has used up its boots.
    Over,
}

/// The plan for a slot that was asked for: that one, and nothing is written.
#[must_use]
pub fn forced(slot: Slot) -> Plan {
    let mut plan = Plan::default();
    plan.push(plain(slot, Reason::Override));
    plan
}

/// Decides which slots to try.
#[must_use]
pub fn decide(variables: &Variables<'_>) -> Plan {
    let mut plan = Plan::default();
    let Some(active) = variables.active.and_then(Slot::from_value) else {
        plan.oddities[0] = Some(
            variables
                .active
                .map_or(Oddity::NoActive, |value| Oddity::Active(Shown::new(value))),
        );
        for slot in [Slot::A, Slot::B] {
            plan.push(plain(slot, Reason::Fallback));
        }
        return plan;
    };
    let other = active.other();
    let may_boot_other =
        variables.of(active).platform.is_none() || variables.of(other).platform.is_some();
    plan.barred = (!may_boot_other).then_some(other);
    let (trial, revert) = if variables.upgrade_available.is_some() {
        (
            by_bootcount(variables, &mut plan),
            Changes::revert_bootcount(other),
        )
    } else {
        (
            by_validated(variables, &mut plan),
            Changes::revert_validated(other),
        )
    };
    let reverted = Attempt {
        slot: other,
        reason: Reason::Reverted,
        changes: Some(revert),
        even_unrecorded: true,
    };
    match trial {
        Trial::No => {
            plan.push(plain(active, Reason::Active));
            if may_boot_other {
                plan.push(plain(other, Reason::Fallback));
            }
        }
        Trial::Open(count) => {
            plan.push(Attempt {
                slot: active,
                reason: Reason::Trial,
                changes: Some(count),
                even_unrecorded: !may_boot_other,
            });
            if may_boot_other {
                plan.push(reverted);
                // Only reached when the trial could not be counted and the other slot cannot be booted either.
                plan.push(plain(active, Reason::Trial));
            }
        }
        Trial::Over if may_boot_other => {
            plan.push(reverted);
            plan.push(plain(active, Reason::Fallback));
        }
        // Nowhere to go back to.
        Trial::Over => plan.push(plain(active, Reason::Trial)),
    }
    plan
}

fn plain(slot: Slot, reason: Reason) -> Attempt {
    Attempt {
        slot,
        reason,
        changes: None,
        even_unrecorded: true,
    }
}

/// The form with `upgrade_available`, `bootcount` and `bootlimit`.
fn by_bootcount(variables: &Variables<'_>, plan: &mut Plan) -> Trial {
    match variables.upgrade_available {
        Some(b"1") => {}
        None | Some(b"0") => return Trial::No,
        Some(odd) => {
            plan.oddities[0] = Some(Oddity::Flag {
                name: "upgrade_available",
                value: Shown::new(odd),
            });
            return Trial::No;
        }
    }
    let limit = match variables.bootlimit {
        None => DEFAULT_LIMIT,
        Some(value) => match decimal(value) {
            Some(limit @ 1..=HIGHEST_LIMIT) => limit,
            Some(0) | None => {
                plan.oddities[1] = Some(Oddity::Limit(Shown::new(value)));
                DEFAULT_LIMIT
            }
            Some(_) => {
                plan.oddities[1] = Some(Oddity::HighLimit(Shown::new(value)));
                HIGHEST_LIMIT
            }
        },
    };
    let count = match variables.bootcount {
        None => 0,
        Some(value) => match decimal(value) {
            Some(count) => count,
            None => {
                plan.oddities[2] = Some(Oddity::Count(Shown::new(value)));
                return Trial::Over;
            }
        },
    };
    plan.bootcount = count;
    match count.checked_add(1).and_then(Digit::new) {
        Some(next) if count < limit => Trial::Open(Changes::count(next)),
        _ => Trial::Over,
    }
}

/// The older form with `nerves_fw_validated` and `nerves_fw_booted`.
fn by_validated(variables: &Variables<'_>, plan: &mut Plan) -> Trial {
    match variables.validated {
        Some(b"0") => {}
        None | Some(b"1") => return Trial::No,
        Some(odd) => {
            plan.oddities[0] = Some(Oddity::Flag {
                name: "nerves_fw_validated",
                value: Shown::new(odd),
            });
            return Trial::No;
        }
    }
    if variables.booted == Some(b"1") {
        plan.bootcount = 1;
        Trial::Over
    } else {
        Trial::Open(Changes::booted())
    }
}
