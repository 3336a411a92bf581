// SPDX-License-Identifier: MIT OR Apache-2.0

//! Carries out a plan: checks each slot, writes its changes, reads it, and goes on to the next slot
//! when a step fails. This order makes a failed update harmless:
//!
//! 1. check the slot: nothing is written for a slot that cannot be booted;
//! 2. write and flush: a trial is counted before it can hang, a revert is recorded before it can be
//!    cut off;
//! 3. read the kernel.

use arrayvec::ArrayVec;

use crate::env::block::Env;
use crate::env::writer::{RecordError, Storage, Writer};
use crate::slots::policy::{Attempt, Plan};
use crate::slots::slot::{Reason, Slot};

/// The operations on slots and on their disk.
pub trait Slots: Storage {
    /// A slot that was checked and can be booted.
    type Checked;
    /// A slot in memory.
    type Loaded;
    /// Why a slot cannot be booted.
    type SlotError;

    /// Checks a slot, whose variables are in `env`, without reading its kernel.
    ///
    /// # Errors
    ///
    /// When it cannot be booted.
    fn check(&mut self, env: &Env<'_>, slot: Slot) -> Result<Self::Checked, Self::SlotError>;

    /// Reads a slot into memory.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn load(&mut self, checked: Self::Checked) -> Result<Self::Loaded, Self::SlotError>;

    /// Reports that changes could not be recorded, and whether the slot is booted all the same.
    fn unrecorded(&mut self, attempt: &Attempt, error: &RecordError<Self::Error>);
}

/// A slot that is ready to be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready<L> {
    /// The slot.
    pub slot: Slot,
    /// Why this slot is booted.
    pub reason: Reason,
    /// The boots of the trial: [`Attempt::bootcount`].
    pub bootcount: u64,
    /// What was loaded.
    pub loaded: L,
}

/// The slots that were passed over and the error of each, in the order in which they were tried.
pub type Failures<E> = ArrayVec<(Slot, E), MAX_FAILURES>;

/// Each slot fails at most once.
const MAX_FAILURES: usize = 2;

/// Tries the slots of a plan until one is loaded; `None` when none can be booted. The slots that
/// were passed over are added to `failures`, which must be empty.
pub fn first_bootable<S: Slots>(
    plan: &Plan,
    writer: &mut Writer<'_>,
    slots: &mut S,
    failures: &mut Failures<S::SlotError>,
) -> Option<Ready<S::Loaded>> {
    for attempt in &plan.attempts {
        if failures.iter().any(|(failed, _)| *failed == attempt.slot) {
            continue;
        }
        let checked = match slots.check(&writer.env(), attempt.slot) {
            Ok(checked) => checked,
            Err(error) => {
                let _ = failures.try_push((attempt.slot, error));
                continue;
            }
        };
        if let Some(changes) = &attempt.changes
            && let Err(error) = writer.record(changes, slots)
        {
            slots.unrecorded(attempt, &error);
            if !attempt.even_unrecorded {
                continue;
            }
        }
        match slots.load(checked) {
            Ok(loaded) => {
                return Some(Ready {
                    slot: attempt.slot,
                    reason: attempt.reason,
                    bootcount: attempt.bootcount,
                    loaded,
                });
            }
            Err(error) => {
                let _ = failures.try_push((attempt.slot, error));
            }
        }
    }
    None
}
