// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page of the report.

use std::fmt::Write as _;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::{AXIS, Chart, ChartError, GRID, Ink, SIZE, Series, TEXT};
use super::figures::figures;
use super::history::{Curves, thinned};
use super::tables;
use crate::model::{Event, State, Status};
use crate::totals::{Percentiles, Summary, broken, duration, float, grouped, memory, printable};

const STYLE: &str = include_str!("style.css");

/// Rows of the table beside a chart.
const ROWS: usize = 12;

/// Returns the report as one file that needs no other.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn html(status: &Status, events: &[Event]) -> Result<String, ChartError> {
    let curves = Curves::of(events);
    let figures = figures(&curves);
    let mut drawn = vec![];
    for (number, chart) in figures.iter().enumerate() {
        drawn.push(figure(chart, number)?);
    }
    let summary = Summary::of(status);
    let lost = status.update.as_ref().map_or(0, |update| update.lost);
    let title = format!("A fleet of {}", guests(status.guests.len()));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(chart_style())) }
            }
            body {
                main {
                    h1 { (title) }
                    (origin(status))
                    (cards(status, &summary))
                    h2 { "What happened" }
                    div.figures { @for figure in &drawn { (figure) } }
                    h2 { "Percentiles" }
                    (tables::percentiles(&summary))
                    h2 { "States" }
                    (tables::states(&summary))
                    @if let Some(update) = &status.update {
                        h2 { "Last update" }
                        (tables::update(update))
                    }
                    h2 { "Guests that need attention" }
                    @if lost > 0 {
                        p.bad { (grouped(&lost)) " lost in the last update: neither up nor back" }
                    }
                    (tables::attention(status))
                }
            }
        }
    };
    Ok(page.into_string())
}

fn guests(count: usize) -> String {
    match count {
        1 => "1 guest".to_owned(),
        count => format!("{} guests", grouped(&count)),
    }
}

fn origin(status: &Status) -> Markup {
    let host = &status.host;
    html! {
        p.faint {
            (status.memory_mib) " MiB of RAM each"
            @if !status.accelerator.is_empty() { ", accelerator " (status.accelerator) }
            @if host.cpus > 0 {
                ", on " (host.cpus) " CPUs with " (memory(float(host.memory)))
            }
            @if !status.image.as_os_str().is_empty() {
                ", from " code { (printable(&status.image.to_string_lossy())) }
            }
            ". Figures at " (duration(status.elapsed)) " after the start."
        }
        @if let Some(held) = &status.held {
            p.warning { "Starting is held: " (printable(held)) }
        }
    }
}

fn cards(status: &Status, summary: &Summary) -> Markup {
    let up = summary.count(State::Up) + summary.count(State::Reverted);
    let middle = |values: Option<Percentiles>, unit: fn(f64) -> String| {
        values.map_or_else(|| "–".to_owned(), |values| unit(values.p50))
    };
    let broken = broken(status).count();
    html! {
        dl.cards {
            div { dt { "Up" } dd { (grouped(&up)) small { "of " (grouped(&status.guests.len())) } } }
            div { dt { "Boot" } dd { (middle(summary.boot_seconds, duration)) small { "median" } } }
            div { dt { "PSS per guest" } dd { (middle(summary.pss, memory)) small { "median" } } }
            div {
                dt { "PSS of all" }
                dd { (memory(float(summary.pss_total))) small { "of the guests sampled" } }
            }
            div {
                dt { "CPU of all" }
                dd { (format!("{:.2}", summary.cpu)) small { "cores" } }
            }
            div { dt { "Supervisor" } dd { (memory(float(status.supervisor_rss))) small { "RES" } } }
            div {
                dt { "Need attention" }
                dd class=(if broken > 0 { "bad" } else { "good" }) { (grouped(&broken)) }
            }
        }
    }
}

/// Returns a chart with its key, its description and a table of its figures.
fn figure(chart: &Chart, number: usize) -> Result<Markup, ChartError> {
    if chart.is_empty() {
        return Ok(html! {
            figure { h2 { (chart.title) } p.faint { "Nothing was recorded." } }
        });
    }
    let svg = labelled(&chart.svg()?, chart, number);
    Ok(html! {
        figure {
            h2 { (chart.title) }
            ul.key {
                @for series in &chart.series {
                    li { (swatch(series.ink)) (series.name) }
                }
            }
            (PreEscaped(svg))
            details {
                summary { "Figures" }
                div.scroll { @for series in &chart.series { (table(chart, series)) } }
            }
        }
    })
}

/// Gives a drawing a title and a description, and lets the page choose its size.
fn labelled(svg: &str, chart: &Chart, number: usize) -> String {
    let body = svg.split_once('>').map_or(svg, |(_, body)| body);
    let opening = html! {
        title id=(format!("title{number}")) { (chart.title) }
        desc id=(format!("description{number}")) { (description(chart)) }
    };
    let (width, height) = SIZE;
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-labelledby=\"title{number} description{number}\" \
         xmlns=\"http://www.w3.org/2000/svg\">{}{body}",
        opening.into_string(),
    )
}

/// Says in words how each line begins and ends.
fn description(chart: &Chart) -> String {
    let [x, y] = chart.axes;
    let mut text = format!("{y} over {x}.");
    for Series { name, points, .. } in &chart.series {
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            let [x, y] = chart.units;
            let _ = write!(
                text,
                " {name}: {} at {}, {} at {}.",
                y(first.1),
                x(first.0),
                y(last.1),
                x(last.0)
            );
        }
    }
    text
}

fn swatch(ink: Ink) -> Markup {
    let color = hex(ink.color());
    html! {
        svg viewBox="0 0 44 12" aria-hidden="true" {
            line x1="0" y1="6" x2="44" y2="6" stroke=(color) stroke-width="4" {}
        }
    }
}

fn table(chart: &Chart, series: &Series) -> Markup {
    let [x_unit, y_unit] = chart.units;
    html! {
        @if !series.points.is_empty() {
            table {
                thead { tr { th scope="col" { (chart.axes[0]) } th scope="col" { (series.name) } } }
                tbody {
                    @for (x, y) in thinned(&series.points, ROWS) {
                        tr { td { (x_unit(x)) } td { (y_unit(y)) } }
                    }
                }
            }
        }
    }
}

/// Returns the style rules that replace the colours of the charts.
fn chart_style() -> String {
    let mut rules = String::new();
    let inks = Ink::ALL.map(|ink| match ink {
        Ink::Blue => ("blue", ink.color(), "none"),
        Ink::Green => ("green", ink.color(), "14 5"),
        Ink::Amber => ("amber", ink.color(), "4 4"),
        Ink::Red => ("red", ink.color(), "14 4 3 4"),
    });
    for (name, color, dashes) in inks {
        let color = hex(color);
        let _ = write!(
            rules,
            "svg [stroke=\"{color}\"]{{stroke:var(--{name});stroke-dasharray:{dashes}}}\
             svg [fill=\"{color}\"]{{fill:var(--{name})}}"
        );
    }
    for (name, color) in [("text", TEXT), ("axis", AXIS), ("grid", GRID)] {
        let color = hex(color);
        let _ = write!(
            rules,
            "svg [stroke=\"{color}\"]{{stroke:var(--{name})}}svg [fill=\"{color}\"]{{fill:var(--{name})}}"
        );
    }
    rules
}

/// Returns a colour as plotters writes it.
fn hex(color: plotters::style::RGBColor) -> String {
    let plotters::style::RGBColor(red, green, blue) = color;
    format!("#{red:02X}{green:02X}{blue:02X}")
}
