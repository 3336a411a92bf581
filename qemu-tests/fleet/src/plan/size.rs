// SPDX-License-Identifier: MIT OR Apache-2.0

//! Amounts of memory and hosts, as they are written on a command line.

use std::fmt;
use std::str::FromStr;

use crate::totals;

/// An amount of memory, at least 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// The largest amount in MiB, 1 EiB: far beyond any host, and exact as a floating-point number.
const LARGEST: u64 = 1 << 40;

impl Size {
    /// Returns `mib` MiB, or `None` outside of what a host can have.
    #[must_use]
    pub fn from_mib(mib: u64) -> Option<Self> {
        (1..=LARGEST).contains(&mib).then_some(Self(mib))
    }

    /// Returns the amount in MiB.
    #[must_use]
    pub fn whole_mib(self) -> u64 {
        self.0
    }

    /// Returns the amount in MiB, for computing.
    #[must_use]
    pub fn mib(self) -> f64 {
        totals::float(self.0)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&totals::memory(self.mib() * 1024.0))
    }
}

/// Why a text is not an amount of memory or a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a number with a unit.
    #[error("{0:?} is not an amount of memory: write a whole number and M, G or T, such as 80M")]
    Size(String),
    /// Below 1 MiB or above 1 EiB.
    #[error("{0:?} is not between 1M and 1048576T")]
    SizeRange(String),
    /// Not `name=value`.
    #[error("{0:?} is not part of a host: write cores=192,mem=1T")]
    Part(String),
    /// The same name twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A name is missing.
    #[error("{0} is missing: write cores=192,mem=1T")]
    Missing(&'static str),
    /// Not a number of cores.
    #[error("{0:?} is not a number of cores from 1 to 65535")]
    Cores(String),
}

impl FromStr for Size {
    type Err = ParseError;

    /// Reads `80M`, `80MiB`, `16G`, `1T`: units of 1,024.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let end = text.find(|letter: char| !letter.is_ascii_digit());
        let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
        let shift = match unit {
            "M" | "MB" | "MiB" => 0,
            "G" | "GB" | "GiB" => 10,
            "T" | "TB" | "TiB" => 20,
            _ => return Err(ParseError::Size(text.to_owned())),
        };
        if digits.is_empty() {
            return Err(ParseError::Size(text.to_owned()));
        }
        let mib = digits.parse::<u64>().ok();
        mib.and_then(|number| number.checked_mul(1 << shift))
            .and_then(Self::from_mib)
            .ok_or_else(|| ParseError::SizeRange(text.to_owned()))
    }
}

/// A server for guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSize {
    /// CPU cores.
    pub cores: u16,
    /// Memory.
    pub memory: Size,
}

impl FromStr for HostSize {
    type Err = ParseError;

    /// Reads `cores=192,mem=1T`, in any order.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (mut cores, mut memory) = (None, None);
        for part in text.split(',') {
            let bad_part = || ParseError::Part(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(bad_part)?;
            match name {
                "cores" => {
                    let bad = || ParseError::Cores(value.to_owned());
                    let number = value.parse::<u16>().ok().filter(|number| *number > 0);
                    if cores.replace(number.ok_or_else(bad)?).is_some() {
                        return Err(ParseError::Twice("cores"));
                    }
                }
                "mem" => {
                    if memory.replace(value.parse()?).is_some() {
                        return Err(ParseError::Twice("mem"));
                    }
                }
                _ => return Err(bad_part()),
            }
        }
        Ok(Self {
            cores: cores.ok_or(ParseError::Missing("cores"))?,
            memory: memory.ok_or(ParseError::Missing("mem"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_and_amounts_are_read() {
        let host: HostSize = "cores=192,mem=1T".parse().unwrap();
        assert_eq!((host.cores, host.memory.mib()), (192, 1_048_576.0));
        assert_eq!("mem=24G,cores=2".parse::<HostSize>().unwrap().cores, 2);
        assert_eq!("80MiB".parse::<Size>().unwrap().mib(), 80.0);
    }

    #[test]
    fn nonsense_is_named() {
        for (text, message) in [
            ("", "\"\" is not part of a host: write cores=192,mem=1T"),
            ("cores=2", "mem is missing: write cores=192,mem=1T"),
            ("mem=1G", "cores is missing: write cores=192,mem=1T"),
            ("cores=2,cores=3,mem=1G", "cores is given twice"),
            (
                "cores=0,mem=1G",
                "\"0\" is not a number of cores from 1 to 65535",
            ),
            (
                "cores=-1,mem=1G",
                "\"-1\" is not a number of cores from 1 to 65535",
            ),
            (
                "disk=3,mem=1G",
                "\"disk=3\" is not part of a host: write cores=192,mem=1T",
            ),
            ("cores=2,mem=0G", "\"0G\" is not between 1M and 1048576T"),
            (
                "cores=2,mem=99999999999999999999T",
                "\"99999999999999999999T\" is not between 1M and 1048576T",
            ),
            (
                "cores=2,mem=1.5G",
                "\"1.5G\" is not an amount of memory: write a whole number and M, G or T, such as 80M",
            ),
        ] {
            let error = text.parse::<HostSize>().unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = text.parse::<HostSize>();
            let _ = text.parse::<Size>();
        }
    }
}
