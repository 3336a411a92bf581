// SPDX-License-Identifier: MIT OR Apache-2.0

//! Executes a plan: checks each slot, writes its changes and reads its kernel, and continues with
//! the next slot if a step fails. This order makes a failed update harmless:
//!
//! 1. check the slot: nothing is written for a slot that cannot be booted;
//! 2. write and flush: a trial is counted before its kernel can hang, and a revert is recorded
//!    before its kernel starts;
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
    /// A slot that was read into memory.
    type Loaded;
    /// Why a slot cannot be booted.
    type SlotError;

    /// Checks a slot, using its variables in `env`, without reading its kernel.
    ///
    /// # Errors
    ///
    /// When the slot cannot be booted.
    fn check(&mut self, env: &Env<'_>, slot: Slot) -> Result<Self::Checked, Self::SlotError>;

    /// Reads a slot into memory.
    ///
    /// # Errors
    ///
    /// When the slot cannot be read.
    fn load(&mut self, checked: Self::Checked) -> Result<Self::Loaded, Self::SlotError>;

    /// Reports that changes could not be recorded, and whether the slot is booted anyway.
    fn unrecorded(&mut self, attempt: &Attempt, error: &RecordError<Self::Error>);
}

/// A slot whose kernel is ready to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready<L> {
    /// The slot.
    pub slot: Slot,
    /// Why this slot is booted.
    pub reason: Reason,
    /// The number of boots of the trial: [`Attempt::bootcount`].
    pub bootcount: u64,
    /// The slot in memory.
    pub loaded: L,
}

/// The slots that failed, each with its error, in the order of the attempts.
pub type Failures<E> = ArrayVec<(Slot, E), MAX_FAILURES>;

/// The maximum number of failures: each slot fails at most once.
const MAX_FAILURES: usize = 2;

/// Tries the slots of a plan until one is loaded. Returns `None` if none can be booted. Adds the
/// slots that failed to `failures`, which must be empty.
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
