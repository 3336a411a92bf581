// SPDX-License-Identifier: MIT OR Apache-2.0

//! Draws the live table.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table};

use super::column::Column;
use super::view::ViewState;
use super::{header, theme};
use crate::model::{Guest, Status};
use crate::totals::{grouped, printable};

/// What the help window says.
const HELP: [&str; 11] = [
    "q, Ctrl-C      leave the table; the fleet goes on",
    "Up, Down       select a guest",
    "PageUp, PageDown, Home, End",
    "               go through the guests",
    "Left, Right    sort by another column",
    "r              turn the order round",
    "f              show one state only, the next, all",
    "Esc            show all, select none; then leave",
    "?              this window",
    "",
    "Any key closes this window.",
];

/// The parts of the screen.
struct Areas {
    header: Rect,
    table: Rect,
    detail: Rect,
    footer: Rect,
}

impl Areas {
    fn of(area: Rect, header_lines: usize) -> Self {
        let wanted = u16::try_from(header_lines).unwrap_or(u16::MAX);
        let [header, table, detail, footer] = Layout::vertical([
            Constraint::Length(wanted.min(area.height / 2)),
            Constraint::Fill(1),
            Constraint::Length(1),
            Constraint::Length(1),
        ])
        .areas(area);
        Self {
            header,
            table,
            detail,
            footer,
        }
    }

    /// Returns how many guests are visible at once.
    fn rows(&self) -> usize {
        usize::from(self.table.height.saturating_sub(1))
    }
}

/// Draws `status` as `view` wants it, and returns how many guests are visible at once. Only these
/// become rows, so that the time does not grow with the fleet except for sorting.
pub fn render(frame: &mut Frame<'_>, status: &Status, view: &ViewState) -> usize {
    let area = frame.area();
    let lines = header::lines(status, area.width);
    let areas = Areas::of(area, lines.len());
    frame.render_widget(Text::from(lines), areas.header);

    let order = view.order(status);
    let first = view.first(&order, areas.rows());
    let visible = order.iter().skip(first).take(areas.rows());
    let columns = Column::fitting(areas.table.width, view.sort);
    let rows = visible.map(|guest| row(guest, &columns, view));
    let widths = columns.iter().map(|column| match column {
        Column::Message => Constraint::Fill(1),
        column => Constraint::Length(column.width()),
    });
    let titles = columns.iter().map(|column| title(*column, view));
    let table = Table::new(rows, widths)
        .column_spacing(1)
        .header(Row::new(titles).style(theme::REVERSED));
    frame.render_widget(table, areas.table);

    frame.render_widget(detail(&order, view), areas.detail);
    frame.render_widget(footer(&order, first, areas.rows(), view), areas.footer);
    if view.help {
        help(frame);
    }
    areas.rows()
}

fn row(guest: &Guest, columns: &[Column], view: &ViewState) -> Row<'static> {
    let cells = columns.iter().map(|column| {
        let text = Text::from(column.text(guest));
        let text = match column {
            Column::State => text.style(theme::state(guest.state)),
            column if column.is_number() => text.alignment(Alignment::Right),
            _ => text,
        };
        Cell::from(text)
    });
    let row = Row::new(cells);
    if view.selected == Some(guest.id) {
        row.style(theme::REVERSED)
    } else {
        row
    }
}

fn title(column: Column, view: &ViewState) -> Cell<'static> {
    let sign = match (column == view.sort, view.descending) {
        (false, _) => "",
        (true, false) => "▲",
        (true, true) => "▼",
    };
    let text = Text::from(format!("{}{sign}", column.title()));
    Cell::from(if column.is_number() {
        text.alignment(Alignment::Right)
    } else {
        text
    })
}

/// Returns all that is known about the selected guest in one line.
fn detail(order: &[&Guest], view: &ViewState) -> Line<'static> {
    if let Some(stale) = &view.stale {
        let text = format!("these figures are old: {}", printable(stale));
        return Line::styled(text, theme::BAD);
    }
    let Some(guest) = view.position(order).map(|position| order[position]) else {
        return Line::default();
    };
    let mut words = vec![guest.host.clone(), guest.serial.clone()];
    words.extend(guest.pid.map(|pid| format!("process {pid}")));
    words.extend(guest.port.map(|port| format!("port {port}")));
    words.push(format!("boots {}", guest.boots));
    if guest.cloned {
        words.push("a clone".to_owned());
    }
    words.extend(guest.message.clone());
    Line::from(printable(&words.join("  ")))
}

fn footer(order: &[&Guest], first: usize, rows: usize, view: &ViewState) -> Line<'static> {
    let last = (first + rows).min(order.len());
    let shown = view
        .filter
        .map_or_else(|| "all".to_owned(), |state| state.to_string());
    let position = match order.len() {
        0 => "none".to_owned(),
        count => format!(
            "{} to {} of {}",
            grouped(&(first + 1)),
            grouped(&last),
            grouped(&count)
        ),
    };
    let keys = [
        ("q", " quit  "),
        ("←→", " sort  "),
        ("r", " reverse  "),
        ("f", " filter: "),
    ];
    let mut spans = vec![];
    for (key, meaning) in keys {
        spans.push(Span::styled(key, theme::STRONG));
        spans.push(Span::styled(meaning, theme::FAINT));
    }
    spans.push(Span::raw(format!("{shown}  ")));
    spans.push(Span::styled("?", theme::STRONG));
    spans.push(Span::styled(" help  ", theme::FAINT));
    spans.push(Span::raw(position));
    Line::from(spans)
}

fn help(frame: &mut Frame<'_>) {
    let height = u16::try_from(HELP.len() + 2).unwrap_or(u16::MAX);
    let area = frame
        .area()
        .centered(Constraint::Max(56), Constraint::Max(height));
    frame.render_widget(Clear, area);
    let block = Block::bordered().title("Keys");
    frame.render_widget(Paragraph::new(HELP.join("\n")).block(block), area);
}
