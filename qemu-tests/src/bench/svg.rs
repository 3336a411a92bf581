// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bar charts as SVG.

use std::fmt::Write as _;

/// The width of the picture in pixels; browsers scale it.
const WIDTH: f64 = 860.0;
/// The x coordinate at which the bars start, to the right of their labels.
const LEFT: f64 = 350.0;
/// The length of the longest bar; its text follows it.
const LONGEST: f64 = 280.0;
/// The distance from bar to bar.
const STEP: f64 = 24.0;
/// The thickness of a bar.
const THICK: f64 = 16.0;
/// The height of a panel's title.
const TITLE: f64 = 34.0;

/// One bar of a [`Panel`].
#[derive(Clone, Debug)]
pub struct Bar {
    /// The label to its left.
    pub label: String,
    /// Its length, in the unit of the panel. `None` if there is no value.
    pub value: Option<f64>,
    /// The text at its end.
    pub text: String,
    /// Whether the bar is highlighted.
    pub ours: bool,
}

/// Bars on one scale.
#[derive(Clone, Debug)]
pub struct Panel {
    /// The quantity that the lengths show.
    pub title: String,
    /// The bars from top to bottom.
    pub bars: Vec<Bar>,
    /// The value at which a vertical line crosses the bars, if any.
    pub limit: Option<f64>,
}

/// Draws the panels below each other. The text's colour follows the browser's light or dark scheme.
#[must_use]
pub fn draw(description: &str, panels: &[Panel]) -> String {
    let bars: usize = panels.iter().map(|panel| panel.bars.len()).sum();
    let height = panels.len() as f64 * (TITLE + 8.0) + bars as f64 * STEP + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<title>{}</title>\n<style>text {{ fill: #222 }} .title {{ font-weight: bold }} .bar {{ fill: #9aa5b1 }} \
         .ours {{ fill: #2b6cb0 }} line {{ stroke: #c53030; stroke-width: 1.5; stroke-dasharray: 4 3 }} \
         @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} }}</style>\n",
        escaped(description)
    );
    let mut y = 0.0;
    for panel in panels {
        y += TITLE;
        text(&mut svg, 8.0, y - 10.0, "start", "title", &panel.title);
        let values = panel.bars.iter().filter_map(|bar| bar.value);
        let longest = values.chain(panel.limit).fold(f64::MIN_POSITIVE, f64::max);
        let scale = LONGEST / longest;
        let top = y;
        for bar in &panel.bars {
            let middle = y + THICK - 4.0;
            text(&mut svg, LEFT - 8.0, middle, "end", "label", &bar.label);
            // A bar above 0 is always visible.
            let value = bar.value.filter(|value| *value > 0.0);
            let length = value.map_or(0.0, |value| (value * scale).max(1.0));
            // The text starts to the right of the line.
            let end = panel
                .limit
                .map_or(length, |limit| length.max(limit * scale));
            let class = if bar.ours { "ours" } else { "bar" };
            // Writing to a string cannot fail.
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{THICK}\"/>"
            );
            text(
                &mut svg,
                LEFT + end + 6.0,
                middle,
                "start",
                "value",
                &bar.text,
            );
            y += STEP;
        }
        if let Some(limit) = panel.limit {
            let x = LEFT + limit * scale;
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                top - 4.0,
                y - STEP + THICK + 4.0
            );
        }
        y += 8.0;
    }
    svg + "</svg>\n"
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: Option<f64>, ours: bool) -> Bar {
        Bar {
            label: label.to_owned(),
            value,
            text: value.map_or("none".to_owned(), |value| value.to_string()),
            ours,
        }
    }

    #[test]
    fn bars_are_as_long_as_their_values() {
        let panel = Panel {
            title: "a < b & c".to_owned(),
            bars: vec![
                bar("half", Some(50.0), true),
                bar("whole", Some(100.0), false),
                bar("least", Some(0.001), false),
                bar("no", None, false),
            ],
            limit: Some(75.0),
        };
        let svg = draw("it", &[panel]);
        let widths: Vec<_> = svg
            .lines()
            .filter_map(|line| line.strip_prefix("<rect ")?.split("width=\"").nth(1))
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(widths, ["140.0", "280.0", "1.0", "0.0"]);
        assert!(
            svg.contains("a &lt; b &amp; c") && svg.contains("x1=\"560.0\""),
            "{svg}"
        );
        assert_eq!(svg.matches("class=\"ours\"").count(), 1);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
