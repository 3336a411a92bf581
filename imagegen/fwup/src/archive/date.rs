// SPDX-License-Identifier: MIT OR Apache-2.0

//! Dates in archives, which are interpreted as UTC.

use time::{Date, OffsetDateTime};

/// 1980-01-01, the earliest date of a FAT directory entry. It is used for entries without a date.
pub(super) const NO_DATE: u16 = 0x21;

/// Converts seconds since 1970 to the time and date of a FAT directory entry, which has a
/// resolution of two seconds.
pub(super) fn to_dos(seconds: u32) -> (u16, u16) {
    let at = date_time(seconds);
    // The year is at most 2106, which fits.
    let Ok(year) = u16::try_from(at.year() - 1980) else {
        return (0, NO_DATE);
    };
    let time =
        u16::from(at.hour()) << 11 | u16::from(at.minute()) << 5 | u16::from(at.second() / 2);
    let date = year << 9 | u16::from(u8::from(at.month())) << 5 | u16::from(at.day());
    (time, date)
}

/// Converts the time and date of a FAT directory entry to seconds since 1970; `None` for
/// [`NO_DATE`] and for an invalid date or time.
pub(super) fn from_dos(time: u16, date: u16) -> Option<u32> {
    if date == NO_DATE {
        return None;
    }
    // At most 7 bits.
    let bits = |value: u16, shift: u16, count: u16| (value >> shift & ((1 << count) - 1)) as u8;
    let month = bits(date, 5, 4).try_into().ok()?;
    let year = 1980 + i32::from(bits(date, 9, 7));
    let day = Date::from_calendar_date(year, month, bits(date, 0, 5)).ok()?;
    let at = day.with_hms(bits(time, 11, 5), bits(time, 5, 6), bits(time, 0, 5) * 2);
    u32::try_from(at.ok()?.assume_utc().unix_timestamp()).ok()
}

/// Formats seconds since 1970 as `2023-11-14T22:13:20Z`.
pub(super) fn timestamp(seconds: u32) -> String {
    let at = date_time(seconds);
    let (date, (hour, minute, second)) = (at.date(), at.to_hms());
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

/// Parses a date such as `2023-11-14T22:13:20Z`; `None` if it is not one from 1970 to 2106.
pub(crate) fn from_timestamp(text: &str) -> Option<u32> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, separator| {
        let mut parts = text.split(separator).map(|part| {
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse::<u16>().ok()).flatten()
        });
        let found = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(found)
    };
    let ((year, month, day), (hour, minute, second)) = (numbers(date, '-')?, numbers(time, ':')?);
    let byte = |number: u16| u8::try_from(number).ok();
    let month = byte(month)?.try_into().ok()?;
    let at = Date::from_calendar_date(year.into(), month, byte(day)?)
        .ok()?
        .with_hms(byte(hour)?, byte(minute)?, byte(second)?)
        .ok()?;
    u32::try_from(at.assume_utc().unix_timestamp()).ok()
}

fn date_time(seconds: u32) -> OffsetDateTime {
    // All 32-bit values are in range.
    OffsetDateTime::from_unix_timestamp(seconds.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (u32::MAX, "2106-02-07T06:28:15Z"),
        ] {
            assert_eq!(timestamp(seconds), expected);
            assert_eq!(from_timestamp(expected), Some(seconds));
        }
    }

    #[test]
    fn dos_times_are_in_utc() {
        // 2023-11-14 22:13:20, as in fwup's archives.
        assert_eq!(to_dos(1_700_000_000), (0xb1aa, 0x576e));
        assert_eq!(from_dos(0xb1aa, 0x576e), Some(1_700_000_000));
        assert_eq!(to_dos(0), (0, NO_DATE));
        assert_eq!(to_dos(315_532_800), (0, NO_DATE));
        assert_eq!(from_dos(0, NO_DATE), None);
        // 2023-02-30, the month 0, and 62 seconds.
        for (time, date) in [(0, 43 << 9 | 2 << 5 | 30), (0, 43 << 9 | 1), (31, 0x576e)] {
            assert_eq!(from_dos(time, date), None);
        }
    }

    #[test]
    fn dos_times_read_back_from_1980_on() {
        for seconds in (315_619_200..u32::MAX).step_by(1_000_002) {
            let (time, date) = to_dos(seconds);
            assert_eq!(from_dos(time, date), Some(seconds / 2 * 2));
        }
    }
}
