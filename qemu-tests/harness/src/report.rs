// SPDX-License-Identifier: MIT OR Apache-2.0

//! The test payload's report on the state in which it was entered.
//!
//! The payload prints a line `payload: NAME=VALUE ok` or `payload: NAME=VALUE FAIL (what was
//! expected)` for each property that it checks, and `payload: done` at the end.

use std::collections::BTreeMap;
use std::num::ParseIntError;

use thiserror::Error;

/// The last line of a report.
pub const DONE: &str = "payload: done";

/// The reason that a report is rejected.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ReportError {
    /// The report has no last line.
    #[error("the payload's report has no end (\"{DONE}\")")]
    Unfinished,
    /// Checks of the payload failed.
    #[error("the payload found: {}", .0.join("; "))]
    Failed(Vec<String>),
    /// A line contains neither ok nor FAIL.
    #[error("not a line of a report: {0:?}")]
    Malformed(String),
    /// A property is not in the report.
    #[error("the payload's report says nothing about {0}")]
    Absent(String),
    /// A value is not a number.
    #[error("{name} is {value:?}")]
    NotANumber {
        /// The property.
        name: String,
        /// The reported value.
        value: String,
        /// The parse error.
        source: ParseIntError,
    },
}

/// A complete report in which every check succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    values: BTreeMap<String, String>,
}

impl Report {
    /// Reads the last report in a serial log.
    ///
    /// # Errors
    /// When the report is incomplete, or a check in it failed.
    pub fn parse(serial: &str) -> Result<Self, ReportError> {
        let lines: Vec<&str> = serial.lines().map(str::trim_end).collect();
        let end = lines
            .iter()
            .rposition(|line| *line == DONE)
            .ok_or(ReportError::Unfinished)?;
        // After a reset a second report follows the first.
        let begin = lines[..end]
            .iter()
            .rposition(|line| *line == DONE)
            .map_or(0, |before| before + 1);
        let mut report = Self::default();
        let mut failed = Vec::new();
        for line in lines[begin..end]
            .iter()
            .filter_map(|line| line.strip_prefix("payload: "))
        {
            let malformed = || ReportError::Malformed(line.to_owned());
            let (name, rest) = line.split_once('=').ok_or_else(malformed)?;
            if let Some(value) = rest.strip_suffix(" ok") {
                report.values.insert(name.to_owned(), value.to_owned());
            } else if rest.contains(" FAIL ") {
                failed.push(line.to_owned());
            } else {
                return Err(malformed());
            }
        }
        if failed.is_empty() {
            Ok(report)
        } else {
            Err(ReportError::Failed(failed))
        }
    }

    /// Returns the reported value of `name`.
    ///
    /// # Errors
    /// When the report has no such property.
    pub fn get(&self, name: &str) -> Result<&str, ReportError> {
        self.values
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| ReportError::Absent(name.to_owned()))
    }

    /// Returns the reported value of `name` as a number, decimal or with `0x`.
    ///
    /// # Errors
    /// When the report has no such property, or it is not a number.
    pub fn number(&self, name: &str) -> Result<u64, ReportError> {
        let value = self.get(name)?;
        let parsed = match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => value.parse(),
        };
        parsed.map_err(|source| ReportError::NotANumber {
            name: name.to_owned(),
            value: value.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "little-loader 0.1.0\r\npayload: el=1 ok\r\npayload: bootargs=a=b ok ok\r\n\
                       payload: dtb=0x40000000 ok\r\npayload: done\r\n";

    #[test]
    fn values_are_read_out_of_the_last_report() {
        let report = Report::parse(LOG).unwrap();
        assert_eq!(report.number("el"), Ok(1));
        assert_eq!(report.number("dtb"), Ok(0x4000_0000));
        assert_eq!(report.get("bootargs"), Ok("a=b ok"));
        assert_eq!(
            report.get("ram"),
            Err(ReportError::Absent("ram".to_owned()))
        );
        assert!(matches!(
            report.number("bootargs"),
            Err(ReportError::NotANumber { .. })
        ));

        let twice = format!("{LOG}payload: el=2 ok\npayload: done\n");
        let last = Report::parse(&twice).unwrap();
        assert_eq!((last.get("el"), last.get("dtb").is_err()), (Ok("2"), true));
    }

    #[test]
    fn a_failed_point_fails_the_report() {
        let log = LOG.replace("el=1 ok", "el=3 FAIL (1 or 2)");
        let error = Report::parse(&log).unwrap_err();
        assert_eq!(error.to_string(), "the payload found: el=3 FAIL (1 or 2)");
    }

    #[test]
    fn a_report_without_its_end_is_none() {
        assert_eq!(
            Report::parse(&LOG.replace("done", "do")),
            Err(ReportError::Unfinished)
        );
        let cut = LOG.replace("el=1 ok", "el=1");
        assert_eq!(
            Report::parse(&cut),
            Err(ReportError::Malformed("el=1".to_owned()))
        );
    }
}
