// SPDX-License-Identifier: MIT OR Apache-2.0

//! The variables that the loader writes, and what it writes into them.

use crate::slots::slot::Slot;

/// A number from 0 to 9, written as one digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit(u8);

impl Digit {
    /// The digit of a number, `None` from 10 on.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        u8::try_from(number)
            .ok()
            .filter(|number| *number < 10)
            .map(Self)
    }

    fn text(self) -> u8 {
        b'0' + self.0
    }
}

/// A variable that the loader writes. Each has values of one character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `nerves_fw_active`
    Active,
    /// `upgrade_available`
    UpgradeAvailable,
    /// `bootcount`
    Bootcount,
    /// `nerves_fw_validated`
    Validated,
    /// `nerves_fw_booted`
    Booted,
}

impl Known {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Active,
        Self::UpgradeAvailable,
        Self::Bootcount,
        Self::Validated,
        Self::Booted,
    ];

    /// The variable's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "nerves_fw_active",
            Self::UpgradeAvailable => "upgrade_available",
            Self::Bootcount => "bootcount",
            Self::Validated => "nerves_fw_validated",
            Self::Booted => "nerves_fw_booted",
        }
    }

    /// The values that the loader finds and leaves. Only these change in place; where the variable has another value, it
    /// is written behind the last one, where it counts.
    #[must_use]
    pub fn legal_values(self) -> &'static [u8] {
        match self {
            Self::Active => b"ab",
            Self::UpgradeAvailable | Self::Validated | Self::Booted => b"01",
            Self::Bootcount => b"0123456789",
        }
    }
}

/// What to write: the new value of each variable that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes {
    list: [Option<(Known, u8)>; 3],
}

impl Changes {
    /// A trial boot is counted.
    #[must_use]
    pub fn count(count: Digit) -> Self {
        Self {
            list: [Some((Known::Bootcount, count.text())), None, None],
        }
    }

    /// A trial boot of the older form is noted.
    #[must_use]
    pub fn booted() -> Self {
        Self {
            list: [Some((Known::Booted, b'1')), None, None],
        }
    }

    /// Back to `slot`, in the form with a count.
    #[must_use]
    pub fn revert_bootcount(slot: Slot) -> Self {
        Self {
            list: [
                Some((Known::Active, slot.name().as_bytes()[0])),
                Some((Known::UpgradeAvailable, b'0')),
                Some((Known::Bootcount, b'0')),
            ],
        }
    }

    /// Back to `slot`, in the older form.
    #[must_use]
    pub fn revert_validated(slot: Slot) -> Self {
        Self {
            list: [
                Some((Known::Active, slot.name().as_bytes()[0])),
                Some((Known::Validated, b'1')),
                Some((Known::Booted, b'1')),
            ],
        }
    }

    /// The variables with their new values.
    pub fn iter(&self) -> impl Iterator<Item = (Known, u8)> {
        self.list.into_iter().flatten()
    }
}
