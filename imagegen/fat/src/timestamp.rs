// SPDX-License-Identifier: MIT OR Apache-2.0

//! The time that changes are stamped with.

/// A date and time as a directory entry stores them, in steps of two seconds.
///
/// fwup uses [`Timestamp::FWUP`] whatever `SOURCE_DATE_EPOCH` and the clock say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(u32);

impl Timestamp {
    /// 1980-01-01 00:00:00, the earliest there is.
    pub const FWUP: Self = Self(0x0021_0000);

    /// A date (years 1980 to 2107) and time (seconds are rounded down to an even number); `None`
    /// outside of these ranges.
    #[must_use]
    pub fn from_civil(date: (u16, u8, u8), time: (u8, u8, u8)) -> Option<Self> {
        let (year, month, day) = date;
        let (hour, minute, second) = time;
        let is_valid = (1980..=2107).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        let date = u32::from(year.checked_sub(1980)?) << 9 | u32::from(month) << 5 | u32::from(day);
        let time = u32::from(hour) << 11 | u32::from(minute) << 5 | u32::from(second / 2);
        is_valid.then_some(Self(date << 16 | time))
    }

    /// The time in the low half, the date in the high one.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        assert_eq!(
            Timestamp::from_civil((1980, 1, 1), (0, 0, 0)),
            Some(Timestamp::FWUP)
        );
        let end = Timestamp::from_civil((2107, 12, 31), (23, 59, 59)).unwrap();
        assert_eq!(end.bits(), 0xff9f_bf7d);
        assert_eq!(Timestamp::from_civil((1979, 1, 1), (0, 0, 0)), None);
        assert_eq!(Timestamp::from_civil((2020, 13, 1), (0, 0, 0)), None);
    }
}
