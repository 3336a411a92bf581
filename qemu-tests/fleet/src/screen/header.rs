// SPDX-License-Identifier: MIT OR Apache-2.0

//! The lines above the table: the fleet as a whole.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::theme;
use crate::model::{Status, Update};
use crate::totals::{Percentiles, Summary, broken, duration, float, grouped, memory, printable};

/// The most broken guests that are named.
const NAMED: usize = 3;

/// Returns the header of `status` for a screen of `width` characters.
pub(super) fn lines(status: &Status, width: u16) -> Vec<Line<'static>> {
    let summary = Summary::of(status);
    let mut lines = vec![
        title(status),
        states(&summary),
        percentiles(&summary),
        host(status, &summary),
    ];
    if let Some(held) = &status.held {
        lines.push(Line::from(vec![
            Span::styled("starting is held: ", theme::WARNING),
            Span::raw(printable(held)),
        ]));
    }
    if let Some(update) = &status.update {
        lines.extend(self::update(update, width));
    }
    lines.extend(problems(status));
    lines
}

fn title(status: &Status) -> Line<'static> {
    let guests = match status.guests.len() {
        1 => "1 guest".to_owned(),
        count => format!("{} guests", grouped(&count)),
    };
    let mut rest = format!(" of {} MiB", status.memory_mib);
    if !status.accelerator.is_empty() {
        rest += &format!(", {}", printable(&status.accelerator));
    }
    rest += &format!(", for {}", duration(status.elapsed));
    if let Some(name) = status.image.file_name() {
        rest += &format!(", from {}", printable(&name.to_string_lossy()));
    }
    Line::from(vec![Span::styled(guests, theme::STRONG), Span::raw(rest)])
}

fn states(summary: &Summary) -> Line<'static> {
    let mut spans = vec![];
    for (state, count) in summary.present() {
        if !spans.is_empty() {
            spans.push(Span::raw("  "));
        }
        let text = format!("{state} {}", grouped(&count));
        spans.push(Span::styled(text, theme::state(state)));
    }
    Line::from(spans)
}

fn percentiles(summary: &Summary) -> Line<'static> {
    let mut line = vec![Span::styled("p50/p90/p99 ", theme::FAINT)];
    let mut add = |name: &'static str, values: Option<Percentiles>, unit: fn(f64) -> String| {
        line.push(Span::styled(name, theme::FAINT));
        line.push(Span::raw(match values {
            Some(all) => format!(
                "{} / {} / {}  ",
                unit(all.p50),
                unit(all.p90),
                unit(all.p99)
            ),
            None => "not known yet  ".to_owned(),
        }));
    };
    add("boot ", summary.boot_seconds, duration);
    add("PSS ", summary.pss, memory);
    Line::from(line)
}

fn host(status: &Status, summary: &Summary) -> Line<'static> {
    let host = &status.host;
    let fields = [
        ("PSS ", memory(float(summary.pss_total))),
        ("CPU ", format!("{:.2}", summary.cpu)),
        ("load ", format!("{:.1}/{}", host.load, host.cpus)),
        (
            "free ",
            format!(
                "{}/{}",
                memory(float(host.available)),
                memory(float(host.memory))
            ),
        ),
        ("supervisor ", memory(float(status.supervisor_rss))),
    ];
    let mut spans = vec![];
    for (name, value) in fields {
        spans.push(Span::styled(name, theme::FAINT));
        spans.push(Span::raw(format!("{value}  ")));
    }
    Line::from(spans)
}

/// Returns the parts of an update with their names and styles.
fn parts(update: &Update) -> [(&'static str, u32, Style); 7] {
    [
        ("validated", update.validated, theme::GOOD),
        ("trying", update.trying, theme::TRIAL),
        ("writing", update.writing, theme::BUSY),
        ("reverted", update.reverted, theme::WARNING),
        ("failed", update.failed, theme::WARNING),
        ("lost", update.lost, theme::BAD),
        ("pending", update.pending, theme::FAINT),
    ]
}

fn update(update: &Update, width: u16) -> [Line<'static>; 2] {
    let stage = format!("update: {}  ", printable(&update.stage));
    let mut counts = vec![Span::styled(
        format!("{} guests: ", grouped(&update.total)),
        theme::FAINT,
    )];
    for (name, count, style) in parts(update) {
        if count > 0 || matches!(name, "validated" | "trying" | "reverted" | "lost") {
            let style = if count > 0 { style } else { theme::FAINT };
            counts.push(Span::styled(format!("{name} {}  ", grouped(&count)), style));
        }
    }
    let mut bar = vec![Span::styled(stage, theme::STRONG)];
    let used = Line::from(bar.clone()).width();
    let room = usize::from(width).saturating_sub(used).min(100);
    for ((name, _, style), length) in parts(update).into_iter().zip(shares(update, room)) {
        let sign = match name {
            "pending" => "░",
            "writing" | "trying" => "▒",
            _ => "█",
        };
        bar.push(Span::styled(sign.repeat(length), style));
    }
    [Line::from(bar), Line::from(counts)]
}

/// Returns the lengths of the parts of a bar of `room` characters. A part that is not empty has at
/// least one, where they suffice.
fn shares(update: &Update, room: usize) -> [usize; 7] {
    let counts = parts(update).map(|(_, count, _)| count as usize);
    let total: usize = counts.iter().sum();
    if total == 0 {
        return [0; 7];
    }
    let mut lengths = counts.map(|count| match count {
        0 => 0,
        count => (count * room / total).max(1),
    });
    // The longest part takes or gives what rounding left.
    for _ in 0..room.max(7) {
        let sum: usize = lengths.iter().sum();
        let longest = lengths.iter_mut().max();
        match (longest, sum) {
            (Some(longest), sum) if sum < room => *longest += room - sum,
            (Some(longest), sum) if sum > room && *longest > 0 => *longest -= 1,
            _ => break,
        }
    }
    lengths
}

/// Names the guests that somebody has to look at.
fn problems(status: &Status) -> Vec<Line<'static>> {
    let count = broken(status).count();
    let named = broken(status).take(NAMED).map(|guest| {
        let state = format!("{} {}: ", guest.host, guest.state);
        let message = guest.message.as_deref().unwrap_or("no message");
        // The loader begins its line with the state.
        let message = message.strip_prefix("fatal: ").unwrap_or(message);
        Line::from(vec![
            Span::styled(printable(&state), theme::BAD),
            Span::raw(printable(message)),
        ])
    });
    let mut lines: Vec<_> = named.collect();
    if count > NAMED {
        let more = format!("and {} more like these", grouped(&(count - NAMED)));
        lines.push(Line::styled(more, theme::BAD));
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_bar_has_its_length(
            counts in prop::array::uniform7(0..2000u32),
            room in 0..120_usize,
        ) {
            let [validated, trying, writing, reverted, failed, lost, pending] = counts;
            let update = Update {
                validated, trying, writing, reverted, failed, lost, pending,
                ..Update::default()
            };
            let lengths = shares(&update, room);
            let sum: usize = lengths.iter().sum();
            let any = counts.iter().any(|count| *count > 0);
            prop_assert_eq!(sum, if any { room } else { 0 });
            if room >= 7 {
                for (length, count) in lengths.iter().zip(counts) {
                    prop_assert_eq!(*length > 0, count > 0);
                }
            }
        }
    }
}
