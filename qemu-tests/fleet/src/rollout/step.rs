// SPDX-License-Identifier: MIT OR Apache-2.0

//! The step of one guest in a roll-out.

/// The step of one guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Not begun with.
    Pending,
    /// Its other slot is being written.
    Writing,
    /// It boots the other slot.
    Trying,
    /// It runs the other slot, and has validated it where this is asked for.
    Validated,
    /// It runs its old slot again.
    Reverted,
    /// Its other slot could not be written, for this reason. It runs the old one.
    Failed(String),
    /// It came up in neither slot.
    Lost(String),
}

impl Step {
    /// Returns whether no further step follows.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Pending | Self::Writing | Self::Trying)
    }

    /// Returns whether the guest counts as one of those that are updated at the moment.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Writing | Self::Trying)
    }

    /// Returns what went wrong for a guest whose old slot is `old`, if it did.
    #[must_use]
    pub fn trouble(&self, old: &str) -> Option<String> {
        match self {
            Self::Pending | Self::Writing | Self::Trying | Self::Validated => None,
            Self::Reverted => Some(format!("went back to slot {old}")),
            Self::Failed(reason) => Some(format!("still in slot {old}: {reason}")),
            Self::Lost(reason) => Some(format!("lost: {reason}")),
        }
    }
}
