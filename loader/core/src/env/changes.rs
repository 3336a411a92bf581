// SPDX-License-Identifier: MIT OR Apache-2.0

//! The variables that the loader writes, and their new values.

/// A number from 0 to 9, written as one digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit(u8);

impl Digit {
    /// Converts a number, `None` above 9.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        u8::try_from(number)
            .ok()
            .filter(|number| *number < 10)
            .map(Self)
    }

    /// Returns the digit as an ASCII character.
    #[must_use]
    pub fn text(self) -> u8 {
        b'0' + self.0
    }
}

/// A variable that the loader writes. All its values are one character long.
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
    /// All variables, in the order of declaration.
    pub const ALL: [Self; 5] = [
        Self::Active,
        Self::UpgradeAvailable,
        Self::Bootcount,
        Self::Validated,
        Self::Booted,
    ];

    /// Returns the variable's name in the environment.
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

    /// Returns the values that can be overwritten in place. If a variable has another value, the
    /// new one is appended as a second entry: the last entry of a name is used.
    #[must_use]
    pub fn legal_values(self) -> &'static [u8] {
        match self {
            Self::Active => b"ab",
            Self::UpgradeAvailable | Self::Validated | Self::Booted => b"01",
            Self::Bootcount => b"0123456789",
        }
    }
}

/// The variables to write, each with its new value. A missing variable that becomes `0` is not
/// added: missing means `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The new values, in the order of [`Known::ALL`].
    values: [Option<u8>; Known::ALL.len()],
}

impl Changes {
    /// Adds a change. `value` must be one of the variable's [`legal_values`](Known::legal_values).
    #[must_use]
    pub fn with(mut self, known: Known, value: u8) -> Self {
        debug_assert!(known.legal_values().contains(&value));
        self.values[known as usize] = Some(value);
        self
    }

    /// Returns the variables with their new values.
    pub fn iter(&self) -> impl Iterator<Item = (Known, u8)> {
        let changes = Known::ALL.into_iter().zip(self.values);
        changes.filter_map(|(known, value)| Some((known, value?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_has_its_own_place() {
        for (index, known) in Known::ALL.into_iter().enumerate() {
            assert_eq!(known as usize, index);
            let value = known.legal_values()[0];
            let changes = Changes::default().with(known, value);
            let mut changes = changes.iter();
            assert_eq!(
                (changes.next(), changes.next()),
                (Some((known, value)), None)
            );
        }
    }
}
