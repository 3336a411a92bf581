// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes the slot variables of an image as firmware does: activates a slot after an upgrade,
//! validates it, or reverts to the other. A trial is recorded in both forms, as Nerves does, so
//! that either kind of loader understands it.

use little_loader_core::env::block::{Env, Format};
use little_loader_core::slots::policy::{Attempt, Plan, decide};
use little_loader_core::slots::slot::Slot;
use little_loader_core::slots::variables::{SlotContents, SlotError, Variables as LoaderVariables};

use crate::variables::{Variables, VariablesError};

/// Why a slot cannot be made active.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotsError {
    /// The active slot is not set, or is neither a nor b.
    #[error("nerves_fw_active is {0}: activate a slot first")]
    NoActive(String),
    /// A slot cannot be booted.
    #[error("slot {slot} cannot be booted: {error}")]
    NotBootable {
        /// The slot.
        slot: Slot,
        /// The error in its variables.
        error: SlotError,
    },
    /// The variables say that a slot must not be booted.
    #[error(
        "slot {slot} must not be booted: {slot}.nerves_fw_platform is not set, and the active slot has it"
    )]
    Barred {
        /// The slot.
        slot: Slot,
    },
    /// The variables do not fit into an environment.
    #[error(transparent)]
    Variables(#[from] VariablesError),
}

/// Makes a slot active, on trial or permanently.
///
/// # Errors
///
/// When the slot's variables are missing or invalid. The variables are then unchanged.
pub fn activate(variables: &mut Variables, slot: Slot, on_trial: bool) -> Result<(), SlotsError> {
    with_loader_variables(variables, |all| {
        SlotContents::read(all.of(slot)).map(|_| ())
    })?
    .map_err(|error| SlotsError::NotBootable { slot, error })?;
    let (trial, done) = if on_trial { ("1", "0") } else { ("0", "1") };
    variables
        .set("nerves_fw_active", slot.name())
        .set("upgrade_available", trial)
        .set("bootcount", "0")
        .set("nerves_fw_validated", done)
        .set("nerves_fw_booted", done);
    Ok(())
}

/// Ends the trial of the active slot, which stays active.
pub fn validate(variables: &mut Variables) {
    variables
        .set("upgrade_available", "0")
        .set("bootcount", "0")
        .set("nerves_fw_validated", "1")
        .set("nerves_fw_booted", "1");
}

/// Makes the other slot active, without a trial. Returns that slot.
///
/// # Errors
///
/// When the active slot is not a or b, or the other slot must not or cannot be booted. The
/// variables are then unchanged.
pub fn revert(variables: &mut Variables) -> Result<Slot, SlotsError> {
    let active = variables.get("nerves_fw_active");
    let other = active
        .and_then(Slot::from_value)
        .map(Slot::other)
        .ok_or_else(|| {
            SlotsError::NoActive(active.map_or_else(
                || "not set".to_owned(),
                |value| format!("\"{}\"", value.escape_ascii()),
            ))
        })?;
    if plan(variables)?.barred == Some(other) {
        return Err(SlotsError::Barred { slot: other });
    }
    activate(variables, other, false)?;
    Ok(other)
}

/// Returns the loader's plan for the next boot.
///
/// # Errors
///
/// When the variables do not fit into an environment.
pub fn plan(variables: &Variables) -> Result<Plan, SlotsError> {
    with_loader_variables(variables, |all| decide(&all))
}

/// Returns the slots that the loader will try at the next boot, in order.
///
/// # Errors
///
/// When the variables do not fit into an environment.
pub fn attempts(variables: &Variables) -> Result<Vec<Attempt>, SlotsError> {
    Ok(plan(variables)?.attempts.to_vec())
}

/// Passes the variables to the loader's code.
pub(crate) fn with_loader_variables<T>(
    variables: &Variables,
    look: impl FnOnce(LoaderVariables<'_>) -> T,
) -> Result<T, SlotsError> {
    let size: usize = variables
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2)
        .sum();
    let block = variables.to_block(size + 16, Format::Single, 0)?;
    let env = Env::parse(&block, Format::Single).map_err(VariablesError::Block)?;
    Ok(look(LoaderVariables::gather(&env)))
}

#[cfg(test)]
mod tests {
    use little_loader_core::slots::slot::Reason;

    use super::*;

    fn image() -> Variables {
        let mut variables = Variables::new();
        variables
            .set("nerves_fw_active", "a")
            .set("a.kernel_lba", "272")
            .set("b.kernel_lba", "9000");
        variables
    }

    fn first(variables: &Variables) -> (Slot, Reason) {
        let first = attempts(variables).unwrap()[0];
        (first.slot, first.reason)
    }

    #[test]
    fn an_upgrade_is_tried_and_validated() {
        let mut variables = image();
        activate(&mut variables, Slot::B, true).unwrap();
        assert_eq!(first(&variables), (Slot::B, Reason::Trial));
        validate(&mut variables);
        assert_eq!(first(&variables), (Slot::B, Reason::Active));
    }

    #[test]
    fn the_older_form_agrees() {
        let mut variables = image();
        activate(&mut variables, Slot::B, true).unwrap();
        variables.unset("upgrade_available");
        assert_eq!(first(&variables), (Slot::B, Reason::Trial));
        validate(&mut variables);
        variables.unset("upgrade_available");
        assert_eq!(first(&variables), (Slot::B, Reason::Active));
    }

    /// Returns the first attempt according to one form of a trial: removes the variables of the
    /// other form.
    fn first_without(variables: &Variables, other_form: [&str; 2]) -> (Slot, Reason) {
        let mut variables = variables.clone();
        for name in other_form {
            assert!(variables.unset(name), "{name} is not set");
        }
        first(&variables)
    }

    #[test]
    fn both_forms_of_a_trial_agree_after_every_action() {
        type Change = fn(&mut Variables);
        const COUNT: [&str; 2] = ["upgrade_available", "bootcount"];
        const OLDER: [&str; 2] = ["nerves_fw_validated", "nerves_fw_booted"];
        let actions: [(&str, Change); 5] = [
            ("activate", |all| activate(all, Slot::B, true).unwrap()),
            ("no-trial", |all| activate(all, Slot::B, false).unwrap()),
            ("activate a", |all| activate(all, Slot::A, true).unwrap()),
            ("validate", validate),
            ("revert", |all| assert!(revert(all).is_ok())),
        ];
        // Every initial state of the four variables, including contradictory ones.
        for state in 0..81 {
            let mut before = image();
            for (name, power) in COUNT.iter().chain(&OLDER).zip([1, 3, 9, 27]) {
                match state / power % 3 {
                    0 => before.unset(name),
                    digit => {
                        before.set(*name, (digit - 1).to_string());
                        true
                    }
                };
            }
            for (name, action) in actions {
                let mut after = before.clone();
                action(&mut after);
                assert_eq!(
                    first_without(&after, COUNT),
                    first_without(&after, OLDER),
                    "{name} on {before:?}"
                );
            }
        }
    }

    #[test]
    fn a_revert_goes_to_the_other_slot_for_good() {
        let mut variables = image();
        activate(&mut variables, Slot::B, true).unwrap();
        assert_eq!(revert(&mut variables), Ok(Slot::A));
        assert_eq!(first(&variables), (Slot::A, Reason::Active));
    }

    #[test]
    fn slots_that_cannot_or_must_not_be_booted_are_refused() {
        let mut variables = image();
        variables.unset("b.kernel_lba");
        let before = variables.clone();
        assert_eq!(
            activate(&mut variables, Slot::B, true)
                .unwrap_err()
                .to_string(),
            "slot b cannot be booted: kernel_lba is not set"
        );
        assert!(revert(&mut variables).is_err());
        assert_eq!(variables, before);
        let mut variables = image();
        variables.set("a.nerves_fw_platform", "qemu");
        assert_eq!(
            revert(&mut variables),
            Err(SlotsError::Barred { slot: Slot::B })
        );
        variables.set("nerves_fw_active", "x");
        assert_eq!(
            revert(&mut variables).unwrap_err().to_string(),
            "nerves_fw_active is \"x\": activate a slot first"
        );
    }
}
