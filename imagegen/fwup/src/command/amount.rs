// SPDX-License-Identifier: MIT OR Apache-2.0

/// Formats a number of bytes in decimal units, as fwup prints it.
pub(super) fn amount(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => (1, "bytes"),
        1_000..1_000_000 => (1_000, "KB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{:.2} {name}", bytes as f64 / f64::from(unit))
}
