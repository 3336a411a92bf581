// SPDX-License-Identifier: MIT OR Apache-2.0

//! Dates in archives, which are taken as UTC.
//!
//! Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil` and
//! `civil_from_days` (<https://howardhinnant.github.io/date_algorithms.html>).

/// 1980-01-01 as the date of a FAT directory entry, the earliest there is. Entries without a date
/// have this one.
pub(super) const NO_DATE: u16 = 0x21;

/// The time and date of a FAT directory entry, which has a resolution of two seconds.
pub(super) fn to_dos(seconds: u32) -> (u16, u16) {
    let (year, month, day) = civil(i64::from(seconds) / 86_400);
    if year < 1980 {
        return (0, NO_DATE);
    }
    let in_day = seconds % 86_400;
    let time = (in_day / 3600) << 11 | (in_day / 60 % 60) << 5 | (in_day % 60 / 2);
    // A year of u32 seconds since 1970 is at most 2106, which fits.
    let date = (year - 1980) << 9 | i64::from(month) << 5 | i64::from(day);
    (time as u16, date as u16)
}

/// The seconds since 1970 of the time and date of a FAT directory entry; `None` for [`NO_DATE`].
pub(super) fn from_dos(time: u16, date: u16) -> Option<u32> {
    let bits = |value: u16, shift: u16, count: u16| u32::from(value >> shift & ((1 << count) - 1));
    let day = day(
        1980 + i64::from(date >> 9),
        bits(date, 5, 4),
        bits(date, 0, 5),
    );
    let in_day = bits(time, 11, 5) * 3600 + bits(time, 5, 6) * 60 + bits(time, 0, 5) * 2;
    let seconds = day * 86_400 + i64::from(in_day);
    u32::try_from(seconds).ok().filter(|_| date > NO_DATE)
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil(day: i64) -> (i64, u32, u32) {
    // Years that start in March have their leap day at the end; 400 of them are 146097 days.
    let from_march = day + 719_468;
    let era = from_march.div_euclid(146_097);
    let in_era = from_march.rem_euclid(146_097);
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    // At most 12 and 31.
    (year, month as u32, day as u32)
}

/// The number of days since 1970-01-01. A day past the end of a month runs into the next.
fn day(year: i64, month: u32, day: u32) -> i64 {
    let month = i64::from(month);
    let (year, from_march) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let in_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + in_year - 719_468
}

/// Seconds since 1970 in the form `2023-11-14T22:13:20Z`.
pub(super) fn timestamp(seconds: u32) -> String {
    let (year, month, day) = civil(i64::from(seconds) / 86_400);
    let in_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        in_day / 3600,
        in_day / 60 % 60,
        in_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_one_date_each() {
        for number in (-800_000..800_000).step_by(37).chain(18_000..19_000) {
            let (year, month, date) = civil(number);
            assert_eq!(day(year, month, date), number);
        }
    }

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
        }
    }

    #[test]
    fn dos_times_are_in_utc() {
        // 2023-11-14 22:13:20, as the C program has it in its archives.
        assert_eq!(to_dos(1_700_000_000), (0xb1aa, 0x576e));
        assert_eq!(from_dos(0xb1aa, 0x576e), Some(1_700_000_000));
        assert_eq!(to_dos(0), (0, NO_DATE));
        assert_eq!(to_dos(315_532_800), (0, NO_DATE));
        assert_eq!(from_dos(0, NO_DATE), None);
    }
}
