// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measurements compared with their limits and with the C loader.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::svg::{Bar, Panel};

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(untagged)]
pub enum Amount {
    /// A count.
    Count(u64),
    /// The quotient of two values.
    Ratio(f64),
}

impl Amount {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn value(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Ratio(ratio) => ratio,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Count(count) => grouped(*count),
            Self::Ratio(ratio) => format!("{ratio:.3}"),
        };
        formatter.pad(&text)
    }
}

/// Formats `number` with commas between groups of three digits.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The limit of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The highest value within the limit.
    AtMost(Amount),
    /// The lowest value within the limit.
    AtLeast(Amount),
}

/// The C loader's value of a figure: the smallest and the largest seen.
pub type Reference = (Amount, Amount);

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The name of the figure.
    pub what: &'static str,
    /// How it is counted.
    pub how: &'static str,
    /// The unit; empty for plain counts.
    pub unit: &'static str,
    /// The measured value.
    pub value: Amount,
    /// The limit for `value`.
    pub limit: Limit,
    /// The C loader's value, if it has this figure.
    pub c_loader: Option<Reference>,
    /// Whether exceeding the limit fails a check: true for counts that do not depend on the host.
    pub gates: bool,
}

impl Row {
    /// A count that must be at most `limit`.
    #[must_use]
    pub fn at_most(what: &'static str, value: u64, limit: u64) -> Self {
        Self::new(
            what,
            Amount::Count(value),
            Limit::AtMost(Amount::Count(limit)),
        )
    }

    /// A count that must be at least `limit`.
    #[must_use]
    pub fn at_least(what: &'static str, value: u64, limit: u64) -> Self {
        Self::new(
            what,
            Amount::Count(value),
            Limit::AtLeast(Amount::Count(limit)),
        )
    }

    /// A ratio that should be at most `limit`; it is shown, but never fails a check.
    #[must_use]
    pub fn ratio(what: &'static str, value: f64, limit: f64) -> Self {
        let limit = Limit::AtMost(Amount::Ratio(limit));
        Self::new(what, Amount::Ratio(value), limit).shown_only()
    }

    fn new(what: &'static str, value: Amount, limit: Limit) -> Self {
        Self {
            what,
            how: "",
            unit: "",
            value,
            limit,
            c_loader: None,
            gates: true,
        }
    }

    /// Sets the description of how it is counted.
    #[must_use]
    pub fn how(self, how: &'static str) -> Self {
        Self { how, ..self }
    }

    /// Sets the unit.
    #[must_use]
    pub fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// Sets the C loader's value: the smallest and the largest seen.
    #[must_use]
    pub fn c_loader(self, least: Amount, most: Amount) -> Self {
        let c_loader = Some((least, most));
        Self { c_loader, ..self }
    }

    /// Marks a figure that depends on the host, and therefore never fails a check.
    #[must_use]
    pub fn shown_only(self) -> Self {
        Self {
            gates: false,
            ..self
        }
    }

    /// Whether the value is within the limit.
    #[must_use]
    pub fn is_within(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.value <= limit,
            Limit::AtLeast(limit) => self.value >= limit,
        }
    }

    /// Whether a check fails because of this row.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.gates && !self.is_within()
    }

    /// The value as a fraction of the C loader's smallest.
    fn ratio_to_c(&self) -> Option<f64> {
        let (least, _) = self.c_loader?;
        Some(self.value.value() / least.value())
    }

    fn cells(&self) -> [String; 6] {
        let (sign, limit) = match self.limit {
            Limit::AtMost(limit) => ("<=", limit),
            Limit::AtLeast(limit) => (">=", limit),
        };
        let c_loader = self.c_loader.map_or_else(String::new, |(least, most)| {
            if least == most {
                least.to_string()
            } else {
                format!("{least} to {most}")
            }
        });
        let ratio = self
            .ratio_to_c()
            .map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let unit = if self.unit.is_empty() {
            String::new()
        } else {
            format!(" {}", self.unit)
        };
        let verdict = match (self.is_within(), self.gates) {
            (true, _) => "",
            (false, true) => "OVER",
            (false, false) => "over",
        };
        [
            self.what.to_owned(),
            format!("{}{unit}", self.value),
            format!("{sign} {limit}"),
            verdict.to_owned(),
            c_loader,
            ratio,
        ]
    }
}

/// Formats the rows as a table for a terminal.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let head = ["", "this build", "limit", "", "C loader", "ratio"].map(str::to_owned);
    let cells: Vec<_> = std::iter::once(head)
        .chain(rows.iter().map(Row::cells))
        .collect();
    let width = |column: usize| {
        let lengths = cells.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    let mut line = |row: &[String; 6], how: &str| {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for column in 1..row.len() {
            // Writing to a string cannot fail.
            let _ = write!(line, "  {:>1$}", row[column], widths[column]);
        }
        text += format!("{line}  {how}").trim_end();
        text.push('\n');
    };
    for (index, row) in cells.iter().enumerate() {
        let how = index
            .checked_sub(1)
            .map_or("how it is counted", |index| rows[index].how);
        line(row, how);
    }
    text
}

/// Formats the rows as a Markdown table; values beyond their limit are bold.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = "| what | this build | limit | C loader | ratio | how it is counted |\n\
                    | --- | ---: | ---: | ---: | ---: | --- |\n"
        .to_owned();
    for row in rows {
        let [what, value, limit, verdict, c_loader, ratio] = row.cells();
        let limit = limit.replace("<=", "≤").replace(">=", "≥");
        let value = if verdict.is_empty() {
            value
        } else {
            format!("**{value}**")
        };
        let _ = writeln!(
            text,
            "| {what} | {value} | {limit} | {c_loader} | {ratio} | {} |",
            row.how
        );
    }
    text
}

/// Converts the rows to bars: each value as a fraction of its limit.
#[must_use]
pub fn panel(rows: &[Row]) -> Panel {
    let bar = |row: &Row| {
        let [_, value, limit, ..] = row.cells();
        let share = match row.limit {
            Limit::AtMost(limit) => row.value.value() / limit.value(),
            Limit::AtLeast(limit) => limit.value() / row.value.value(),
        };
        Bar {
            label: row.what.to_owned(),
            // 0 of a limit of 0 has no length.
            value: Some(share).filter(|share| share.is_finite()),
            text: format!("{value} ({limit})"),
            ours: row.is_within(),
        }
    };
    Panel {
        title: "Each figure as a share of its limit".to_owned(),
        bars: rows.iter().map(bar).collect(),
        limit: Some(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        vec![
            Row::at_most("instructions", 440_912, 400_000)
                .how("icount")
                .c_loader(Amount::Count(17_900_000), Amount::Count(17_900_000)),
            Row::at_least("MemTotal", 83_552, 83_536).unit("kB"),
            Row::ratio("time", 1.034, 1.03).c_loader(Amount::Ratio(1.0), Amount::Ratio(1.11)),
        ]
    }

    #[test]
    fn limits_hold_from_either_side() {
        let rows = rows();
        let within: Vec<_> = rows.iter().map(Row::is_within).collect();
        assert_eq!(within, [false, true, false]);
        let fails: Vec<_> = rows.iter().map(Row::fails).collect();
        assert_eq!(fails, [true, false, false], "ratios gate nothing");
        assert!(Row::at_most("", 5, 5).is_within() && Row::at_least("", 5, 5).is_within());
        assert!(!Row::at_least("", 4, 5).is_within());
    }

    #[test]
    fn the_table_lines_up() {
        let text = table(&rows());
        assert_eq!(
            text,
            "              this build       limit              C loader  ratio  how it is counted\n\
             instructions     440,912  <= 400,000  OVER      17,900,000   0.02  icount\n\
             MemTotal       83,552 kB   >= 83,536\n\
             time               1.034    <= 1.030  over  1.000 to 1.110   1.03\n"
        );
    }

    #[test]
    fn markdown_marks_what_is_over() {
        let text = markdown(&rows());
        assert!(
            text.contains(
                "| instructions | **440,912** | ≤ 400,000 | 17,900,000 | 0.02 | icount |\n"
            )
        );
        assert!(text.contains("| MemTotal | 83,552 kB | ≥ 83,536 |  |  |  |\n"));
    }

    #[test]
    fn numbers_have_groups() {
        assert_eq!(
            [1, 999, 1000, 1_234_567].map(grouped),
            ["1", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn bars_are_parts_of_limits() {
        let mut rows = rows();
        rows.push(Row::at_most("nothing", 0, 0));
        let panel = panel(&rows);
        let values: Vec<_> = panel.bars.iter().map(|bar| bar.value).collect();
        assert!(values[0] > Some(1.1) && values[1] < Some(1.0));
        assert_eq!(values[3], None);
        assert_eq!(panel.bars[0].text, "440,912 (<= 400,000)");
        assert!(!panel.bars[0].ours && panel.bars[1].ours);
    }

    #[test]
    fn programs_get_numbers() {
        let json = serde_json::to_value(&rows()[0]).unwrap();
        assert_eq!(json["value"], 440_912);
        assert_eq!(json["limit"]["at_most"], 400_000);
        assert_eq!(json["c_loader"][0], 17_900_000);
    }
}
