// SPDX-License-Identifier: MIT OR Apache-2.0

//! The text of a progress bar.

use std::time::Duration;

use super::amount::amount;

/// The width of the bar.
const BAR: usize = 36;
/// No rate is shown before this time: it would not mean anything yet.
const WARM_UP: Duration = Duration::from_secs(1);

/// Returns fwup's bar, which overwrites the line: with the bytes read and written, unless the task
/// writes nothing.
pub(super) fn line(percent: u8, read: u64, written: u64, total: u64) -> String {
    let mut text = bar(percent);
    if total > 0 {
        let (read, written) = (amount(read), amount(written));
        text += &format!(" {read} in / {written} out     \x08\x08\x08\x08\x08");
    }
    text
}

/// Returns a bar for a terminal: with the rate of writing and the time left.
pub(super) fn terminal_line(percent: u8, written: u64, total: u64, elapsed: Duration) -> String {
    let mut text = bar(percent);
    if total > 0 {
        text += &format!(" {} of {}", amount(written), amount(total));
    }
    if elapsed >= WARM_UP && written > 0 {
        let rate = written as f64 / elapsed.as_secs_f64();
        // Whole seconds and bytes are enough to show.
        text += &format!(", {}/s", amount(rate as u64));
        if written < total {
            let left = ((total - written) as f64 / rate).ceil() as u64;
            text += &format!(", {}:{:02} left", left / 60, left % 60);
        }
    }
    // The rest of a longer line is erased.
    text + "\x1b[K"
}

fn bar(percent: u8) -> String {
    let filled = "=".repeat(usize::from(percent) * BAR / 100);
    format!("\r{percent:3}% [{filled:BAR$}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_shows_the_rate_and_the_time_left() {
        let line = |written, milliseconds| {
            let elapsed = Duration::from_millis(milliseconds);
            terminal_line(25, written, 400_000_000, elapsed)
        };
        let bar = "\r 25% [=========                           ]";
        assert_eq!(
            line(100_000_000, 10_000),
            format!("{bar} 100.00 MB of 400.00 MB, 10.00 MB/s, 0:30 left\x1b[K")
        );
        assert_eq!(
            line(1_000_000, 1000),
            format!("{bar} 1.00 MB of 400.00 MB, 1.00 MB/s, 6:39 left\x1b[K")
        );
        assert_eq!(
            line(400_000_000, 1000),
            format!("{bar} 400.00 MB of 400.00 MB, 400.00 MB/s\x1b[K")
        );
        assert_eq!(
            line(100_000_000, 999),
            format!("{bar} 100.00 MB of 400.00 MB\x1b[K")
        );
        assert_eq!(
            terminal_line(25, 0, 0, Duration::from_secs(9)),
            format!("{bar}\x1b[K")
        );
    }
}
