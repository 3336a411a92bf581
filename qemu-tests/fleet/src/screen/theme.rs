// SPDX-License-Identifier: MIT OR Apache-2.0

//! Colours that can be read on a light and on a dark terminal.
//!
//! All are of the 256-colour palette, whose colours from 16 on no terminal theme changes, and in the
//! middle of the scale of brightness. Each state is also named in words.

use ratatui::style::{Color, Modifier, Style};

use crate::model::State;

const GREEN: Color = Color::Indexed(28);
const AMBER: Color = Color::Indexed(130);
const RED: Color = Color::Indexed(160);
const BLUE: Color = Color::Indexed(27);
const MAGENTA: Color = Color::Indexed(133);
const GREY: Color = Color::Indexed(243);

/// What is fine.
pub(super) const GOOD: Style = Style::new().fg(GREEN);
/// What is under way.
pub(super) const BUSY: Style = Style::new().fg(BLUE);
/// What an update has put on trial.
pub(super) const TRIAL: Style = Style::new().fg(MAGENTA);
/// What went back to what worked before.
pub(super) const WARNING: Style = Style::new().fg(AMBER);
/// What somebody has to look at.
pub(super) const BAD: Style = Style::new().fg(RED).add_modifier(Modifier::BOLD);
/// What matters less.
pub(super) const FAINT: Style = Style::new().fg(GREY);
/// What stands out.
pub(super) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
/// The selected row, and the names of the columns.
pub(super) const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Returns the style of a state.
pub(super) fn state(state: State) -> Style {
    match state {
        State::Waiting | State::Stopped => FAINT,
        State::Starting | State::Loader | State::Kernel => BUSY,
        State::Up => GOOD,
        State::Updating => TRIAL,
        State::Reverted => WARNING,
        State::Fatal | State::Looping | State::Gone => BAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the luminance of a colour of the 6 x 6 x 6 cube or the grey scale, as WCAG 2 defines
    /// it.
    fn luminance(color: Color) -> f64 {
        let Color::Indexed(index) = color else {
            panic!("{color} is a colour that a terminal's theme changes");
        };
        let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
        let [red, green, blue] = match index {
            232.. => [8 + 10 * (index - 232); 3],
            16.. => {
                let cube = index - 16;
                [level(cube / 36), level(cube / 6 % 6), level(cube % 6)]
            }
            _ => panic!("colour {index} is one that a terminal's theme changes"),
        };
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    #[test]
    fn all_colours_contrast_with_white_and_with_black() {
        for color in [GREEN, AMBER, RED, BLUE, MAGENTA, GREY] {
            let luminance = luminance(color);
            let (white, black) = (1.05 / (luminance + 0.05), (luminance + 0.05) / 0.05);
            assert!(
                white > 3.8 && black > 3.8,
                "{color}: {white:.2} and {black:.2}"
            );
        }
    }
}
