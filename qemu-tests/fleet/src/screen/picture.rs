// SPDX-License-Identifier: MIT OR Apache-2.0

//! A picture of the live table, for documentation.

use std::fmt::Write as _;

use anstyle::RgbColor;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Style};

use super::render::render;
use super::view::ViewState;
use crate::model::Status;

/// The background of the picture; the terminal's colours are readable on it.
const BACKGROUND: anstyle::Color = anstyle::Color::Rgb(RgbColor(0x14, 0x16, 0x1a));
const FOREGROUND: anstyle::Color = anstyle::Color::Rgb(RgbColor(0xdd, 0xdd, 0xdd));

/// Returns the live table of `status` on a screen of `width` by `height` characters, as an SVG.
#[must_use]
pub fn svg(status: &Status, view: &ViewState, width: u16, height: u16) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| {
        render(frame, status, view);
    });
    let picture = anstyle_svg::Term::new()
        .bg_color(BACKGROUND)
        .fg_color(FOREGROUND)
        .min_width_px(0)
        .render_svg(&ansi(terminal.backend().buffer()));
    scalable(&picture)
}

/// Lets a page choose the size of a picture, and gives it a name.
fn scalable(picture: &str) -> String {
    let number = |name: &str| {
        let (_, after) = picture.split_once(&format!("{name}=\""))?;
        after.split_once("px\"").map(|(number, _)| number)
    };
    let (Some(width), Some(height)) = (number("width"), number("height")) else {
        return picture.to_owned();
    };
    let opening = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" ");
    let named = picture.replacen("<svg ", &opening, 1);
    named.replacen('>', ">\n  <title>The live table of a fleet</title>", 1)
}

/// Returns the lines of `buffer` with escape sequences for the styles.
fn ansi(buffer: &Buffer) -> String {
    let mut text = String::new();
    let width = usize::from(buffer.area.width.max(1));
    for line in buffer.content.chunks(width) {
        let mut current = anstyle::Style::new();
        for cell in line {
            let style = visible(cell.style());
            if style != current {
                // Writing to a string cannot fail.
                let _ = write!(text, "{current:#}{style}");
                current = style;
            }
            text.push_str(cell.symbol());
        }
        let _ = writeln!(text, "{current:#}");
    }
    text
}

/// Returns `style` without colours that only say the default, which `anstyle` does not know.
fn visible(style: Style) -> anstyle::Style {
    let named = |color: &Color| *color != Color::Reset;
    let style = Style {
        fg: style.fg.filter(named),
        bg: style.bg.filter(named),
        underline_color: None,
        ..style
    };
    style.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Guest, State};

    #[test]
    fn a_picture_has_the_colours_and_escapes_texts() {
        let status = Status {
            guests: vec![Guest {
                id: 1,
                state: State::Fatal,
                message: Some("fatal: <slot> & kernel".to_owned()),
                ..Guest::default()
            }],
            ..Status::default()
        };
        let svg = svg(&status, &ViewState::default(), 100, 20);
        assert!(svg.starts_with("<svg viewBox=\"0 0 860 398\" role=\"img\" width=\"860px\""));
        assert!(svg.contains("<title>The live table of a fleet</title>"));
        assert!(svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("&lt;slot&gt; &amp; kernel"), "{svg}");
        assert!(!svg.contains('\u{1b}'));
        let mut reader = quick_xml::Reader::from_str(&svg);
        while reader.read_event().unwrap() != quick_xml::events::Event::Eof {}
    }
}
