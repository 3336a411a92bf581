// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table as text, for logs and pipes.

use super::column::Column;
use super::header;
use crate::model::Status;

/// Characters in the longest line.
pub(super) const WIDTH: u16 = 120;

/// Returns `status` as lines of at most 120 characters: the fleet as a whole, then each guest.
#[must_use]
pub fn plain(status: &Status) -> String {
    let mut text = String::new();
    for line in header::lines(status, WIDTH) {
        let line: String = line
            .spans
            .iter()
            .map(|span| span.content.as_ref())
            .collect();
        push(&mut text, &line);
    }
    let columns = Column::fitting(WIDTH, Column::Number);
    push(&mut text, "");
    push(
        &mut text,
        &row(&columns, |column| column.title().to_owned()),
    );
    for guest in &status.guests {
        push(&mut text, &row(&columns, |column| column.text(guest)));
    }
    text
}

/// Returns a row with each cell padded to its column's width. A longer one is cut, so that the
/// columns after it stay where they are.
fn row(columns: &[Column], text: impl Fn(Column) -> String) -> String {
    let cells = columns.iter().map(|column| {
        let width = usize::from(column.width());
        let text = text(*column);
        if *column == Column::Message {
            text
        } else if column.is_number() {
            format!("{text:>width$.width$}")
        } else {
            format!("{text:width$.width$}")
        }
    });
    let cells: Vec<_> = cells.collect();
    cells.join(" ")
}

fn push(text: &mut String, line: &str) {
    let width = usize::from(WIDTH);
    let line = line.trim_end();
    if line.chars().count() > width {
        text.extend(line.chars().take(width - 1));
        text.push('…');
    } else {
        text.push_str(line);
    }
    text.push('\n');
}
