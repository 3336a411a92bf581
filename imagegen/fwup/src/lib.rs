// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware archives: an independent implementation of fwup's format (version 1.16): its configuration language, its
//! archives, and what its tasks do to a disk.
//!
//! The program `fwup` and `imagegen fwup` are thin layers over [`command`].

#![forbid(unsafe_code)]

mod action;
pub mod apply;
pub mod archive;
pub mod cards;
pub mod command;
pub mod create;
pub mod date;
pub mod describe;
pub mod destination;
pub mod device;
pub mod environment;
pub mod identity;
pub mod language;
pub mod meta;
pub mod model;
pub mod mounts;
pub mod opened;
pub mod options;
pub mod output;
pub mod pack;
pub mod partitions;
pub mod report;
pub mod requirement;
pub mod resource;
pub mod run;

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits, two each.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}
