// SPDX-License-Identifier: MIT OR Apache-2.0

//! The slot policy: determines from the environment's variables which slots to try, in which order,
//! and the changes to write before each.
//!
//! | state | first | then |
//! | --- | --- | --- |
//! | no trial | the active slot | the other one, nothing written |
//! | trial, count below the limit | the active slot, after the increased count is written | the other one, after the revert is written |
//! | trial, count at the limit | the other slot, after the revert is written | the active one, nothing written |
//! | active slot unknown | a | b, nothing written |
//!
//! A slot is attempted only if its kernel passed the check; changes are written between that check
//! and reading the kernel. So a slot that cannot be booted costs no write, and if neither can, the
//! environment is unchanged.
//!
//! The other slot is skipped if the environment bars it: Nerves unsets its `nerves_fw_platform`
//! while the active slot keeps its own.
//!
//! A trial has two forms. If `upgrade_available` is set, only the form with `bootcount` is used,
//! but the loader keeps the other form consistent with it, for other boot loaders that read it:
//!
//! | form in use, event | changes to its own variables | changes to the other form's variables |
//! | --- | --- | --- |
//! | `bootcount`, a boot counted | `bootcount` | on the last boot, `nerves_fw_booted=0` becomes 1 if `nerves_fw_validated` is 0: this ends the trial in both forms |
//! | `bootcount`, reverted | `upgrade_available=0`, `bootcount=0` | `nerves_fw_validated=0` and `nerves_fw_booted=0` become 1 |
//! | `nerves_fw_validated`, a boot counted | `nerves_fw_booted=1` | none: without `upgrade_available` there is no such trial |
//! | `nerves_fw_validated`, reverted | `nerves_fw_validated=1`, `nerves_fw_booted=1` | a `bootcount` of 1 to 9 becomes 0 |
//!
//! Variables of the other form change only in place: a missing one stays missing, and an invalid
//! value is kept. So they never need room in the block.

use arrayvec::ArrayVec;
use thiserror::Error;

use crate::display::{Shown, Word, decimal};
use crate::env::changes::{Changes, Digit, Known};
use crate::slots::slot::{Reason, Slot};
use crate::slots::variables::Variables;

/// The number of trial boots if `bootlimit` is not set.
const DEFAULT_LIMIT: u64 = 1;

/// The highest effective limit: the count is written in place, as one digit.
const HIGHEST_LIMIT: u64 = 9;

/// The maximum number of attempts of a [`Plan`].
const MAX_ATTEMPTS: usize = 3;

/// An attempt to boot a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The slot.
    pub slot: Slot,
    /// The reason to boot it.
    pub reason: Reason,
    /// The changes to write and flush before its kernel is read.
    pub changes: Option<Changes>,
    /// Whether to boot the slot even if the changes cannot be written. A trial that cannot be
    /// counted might repeat forever, so the other slot is tried first; a revert is carried out even
    /// if it cannot be recorded.
    pub even_unrecorded: bool,
    /// The number of boots of the trial, including this one if it is counted. 0 without a trial.
    pub bootcount: u64,
}

/// The slots to try.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The attempts, in order.
    pub attempts: ArrayVec<Attempt, MAX_ATTEMPTS>,
    /// The slot that must not be booted: the active one has a platform, and this one has none.
    pub barred: Option<Slot>,
    /// The variables that are invalid or missing.
    pub oddities: ArrayVec<Oddity, MAX_ODDITIES>,
}

impl Plan {
    /// Adds an attempt. No plan has more than the capacity.
    fn attempt(&mut self, attempt: Attempt) {
        // `ArrayVec::push` would add the code and texts of a panic to the binary.
        let _ = self.attempts.try_push(attempt);
    }

    /// Adds an oddity. No environment has more than the capacity.
    fn oddity(&mut self, oddity: Oddity) {
        let _ = self.oddities.try_push(oddity);
    }
}

/// The maximum number of oddities of a [`Plan`]: one each for the trial, its limit and its count.
const MAX_ODDITIES: usize = 3;

/// A variable that is invalid or missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Oddity {
    /// `nerves_fw_active` is not set.
    #[error("nerves_fw_active is not set: trying slot a, then b")]
    NoActive,
    /// `nerves_fw_active` is neither a nor b.
    #[error("nerves_fw_active is {0}, neither a nor b: trying slot a, then b")]
    Active(Shown),
    /// A flag is neither 0 nor 1.
    #[error("{} is {value}, neither 0 nor 1: no trial", Word(name))]
    Flag {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: Shown,
    },
    /// `bootcount` is not a number.
    #[error("bootcount is {0}, not a number: the trial counts as failed")]
    Count(Shown),
    /// `bootlimit` is 0 or not a number.
    #[error("bootlimit is {0}, not a number from 1 on: 1 is used")]
    Limit(Shown),
    /// `bootlimit` is above 9.
    #[error("bootlimit is {0}: 9 is used")]
    HighLimit(Shown),
}

/// The state of the active slot's trial.
enum Trial {
    /// There is no trial.
    No,
    /// The slot can be tried after `count` is written.
    Open {
        count: Changes,
        /// The number of boots of the trial, including this one.
        bootcount: u64,
    },
    /// The trial has used up its boots.
    Over {
        /// The number of boots; 0 if unknown.
        bootcount: u64,
    },
}

/// Returns the plan for an override: only the slot that it names, with nothing written.
#[must_use]
pub fn forced(slot: Slot) -> Plan {
    let mut plan = Plan::default();
    plan.attempt(plain(slot, Reason::Override, 0));
    plan
}

/// Decides which slots to try.
#[must_use]
pub fn decide(variables: &Variables<'_>) -> Plan {
    let mut plan = Plan::default();
    let Some(active) = variables.active.and_then(Slot::from_value) else {
        plan.oddity(
            variables
                .active
                .map_or(Oddity::NoActive, |value| Oddity::Active(Shown::new(value))),
        );
        for slot in [Slot::A, Slot::B] {
            plan.attempt(plain(slot, Reason::Fallback, 0));
        }
        return plan;
    };
    let other = active.other();
    let may_boot_other =
        variables.of(active).platform.is_none() || variables.of(other).platform.is_some();
    plan.barred = (!may_boot_other).then_some(other);
    let (trial, revert) = if let Some(value) = variables.upgrade_available {
        (
            by_bootcount(variables, value, &mut plan),
            revert_bootcount(variables, other),
        )
    } else {
        (
            by_validated(variables, &mut plan),
            revert_validated(variables, other),
        )
    };
    let reverted = |bootcount| Attempt {
        slot: other,
        reason: Reason::Reverted,
        changes: Some(revert),
        even_unrecorded: true,
        bootcount,
    };
    match trial {
        Trial::No => {
            plan.attempt(plain(active, Reason::Active, 0));
            if may_boot_other {
                plan.attempt(plain(other, Reason::Fallback, 0));
            }
        }
        Trial::Open { count, bootcount } => {
            plan.attempt(Attempt {
                slot: active,
                reason: Reason::Trial,
                changes: Some(count),
                even_unrecorded: !may_boot_other,
                bootcount,
            });
            if may_boot_other {
                plan.attempt(reverted(bootcount - 1));
                // Reached only if the trial could not be counted and the other slot cannot be
                // booted either.
                plan.attempt(plain(active, Reason::Trial, bootcount));
            }
        }
        Trial::Over { bootcount } if may_boot_other => {
            plan.attempt(reverted(bootcount));
            plan.attempt(plain(active, Reason::Fallback, bootcount));
        }
        // There is no slot to revert to.
        Trial::Over { bootcount } => plan.attempt(plain(active, Reason::Trial, bootcount)),
    }
    plan
}

fn plain(slot: Slot, reason: Reason, bootcount: u64) -> Attempt {
    Attempt {
        slot,
        reason,
        changes: None,
        even_unrecorded: true,
        bootcount,
    }
}

/// Reads the form with `upgrade_available`, `bootcount` and `bootlimit`.
fn by_bootcount(variables: &Variables<'_>, upgrade_available: &[u8], plan: &mut Plan) -> Trial {
    match upgrade_available {
        b"1" => {}
        b"0" => return Trial::No,
        odd => {
            plan.oddity(Oddity::Flag {
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
                plan.oddity(Oddity::Limit(Shown::new(value)));
                DEFAULT_LIMIT
            }
            Some(_) => {
                plan.oddity(Oddity::HighLimit(Shown::new(value)));
                HIGHEST_LIMIT
            }
        },
    };
    let count = match variables.bootcount {
        None => 0,
        Some(value) => match decimal(value) {
            Some(count) => count,
            None => {
                plan.oddity(Oddity::Count(Shown::new(value)));
                return Trial::Over { bootcount: 0 };
            }
        },
    };
    let bootcount = count.saturating_add(1);
    match Digit::new(bootcount) {
        Some(digit) if count < limit => {
            let mut changes = Changes::default().with(Known::Bootcount, digit.text());
            let is_last = bootcount == limit;
            if is_last && variables.validated == Some(b"0") && variables.booted == Some(b"0") {
                changes = changes.with(Known::Booted, b'1');
            }
            Trial::Open {
                count: changes,
                bootcount,
            }
        }
        _ => Trial::Over { bootcount: count },
    }
}

/// Reads the older form with `nerves_fw_validated` and `nerves_fw_booted`.
fn by_validated(variables: &Variables<'_>, plan: &mut Plan) -> Trial {
    match variables.validated {
        Some(b"0") => {}
        None | Some(b"1") => return Trial::No,
        Some(odd) => {
            plan.oddity(Oddity::Flag {
                name: "nerves_fw_validated",
                value: Shown::new(odd),
            });
            return Trial::No;
        }
    }
    if variables.booted == Some(b"1") {
        Trial::Over { bootcount: 1 }
    } else {
        Trial::Open {
            count: Changes::default().with(Known::Booted, b'1'),
            bootcount: 1,
        }
    }
}

/// Returns the changes that revert to a slot in the form with `bootcount`.
fn revert_bootcount(variables: &Variables<'_>, to: Slot) -> Changes {
    let mut changes = active(to)
        .with(Known::UpgradeAvailable, b'0')
        .with(Known::Bootcount, b'0');
    for (known, value) in [
        (Known::Validated, variables.validated),
        (Known::Booted, variables.booted),
    ] {
        if value == Some(b"0") {
            changes = changes.with(known, b'1');
        }
    }
    changes
}

/// Returns the changes that revert to a slot in the older form.
fn revert_validated(variables: &Variables<'_>, to: Slot) -> Changes {
    let changes = active(to)
        .with(Known::Validated, b'1')
        .with(Known::Booted, b'1');
    match variables.bootcount {
        Some([b'1'..=b'9']) => changes.with(Known::Bootcount, b'0'),
        _ => changes,
    }
}

/// Returns the change that makes a slot the active one.
fn active(slot: Slot) -> Changes {
    let value = match slot {
        Slot::A => b'a',
        Slot::B => b'b',
    };
    Changes::default().with(Known::Active, value)
}
