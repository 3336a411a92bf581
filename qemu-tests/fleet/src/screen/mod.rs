// SPDX-License-Identifier: MIT OR Apache-2.0

//! The live table of a fleet, and the command `status`.
//!
//! [`render()`] draws a [`Status`]; [`watch`] does so again and again on the terminal and takes keys;
//! [`plain()`] and [`svg`] are for logs and for documentation.

mod column;
mod header;
mod picture;
mod plain;
mod render;
mod theme;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::model::Status;

pub use column::Column;
pub use picture::svg;
pub use plain::plain;
pub use render::render;
pub use view::{Answer, ViewState};

/// How often the live table asks for the newest figures.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows each guest's state.
#[derive(Args, Clone, Debug, Default)]
pub struct StatusArgs {
    /// Show a live table until `q` is pressed
    #[arg(long, conflicts_with_all = ["json", "svg"])]
    pub watch: bool,
    /// Print the status as JSON
    #[arg(long, conflicts_with = "svg")]
    pub json: bool,
    /// Draw the live table into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Characters in a line of the picture
    #[arg(long, value_name = "N", default_value_t = 110, requires = "svg",
          value_parser = clap::value_parser!(u16).range(40..=400))]
    pub columns: u16,
    /// Lines of the picture
    #[arg(long, value_name = "N", default_value_t = 24, requires = "svg",
          value_parser = clap::value_parser!(u16).range(10..=400))]
    pub lines: u16,
}

/// Does what `arguments` ask for with the status that `source` returns.
///
/// # Errors
/// When there is no status, or it cannot be shown.
pub fn main(
    arguments: &StatusArgs,
    mut source: impl FnMut() -> anyhow::Result<Status>,
) -> anyhow::Result<()> {
    if arguments.watch {
        anyhow::ensure!(
            io::stdout().is_terminal(),
            "standard output is not a terminal: leave out --watch to get the table as text"
        );
        return watch(source);
    }
    let status = source()?;
    if let Some(path) = &arguments.svg {
        let picture = svg(
            &status,
            &ViewState::default(),
            arguments.columns,
            arguments.lines,
        );
        return crate::write_whole(path, picture.as_bytes());
    }
    let text = if arguments.json {
        serde_json::to_string_pretty(&status)? + "\n"
    } else {
        plain(&status)
    };
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()) {
        // `head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to standard output"),
    }
}

/// Shows the status that `source` returns, newest figures each second, until the user leaves. The
/// terminal is as before afterwards, after a panic too.
///
/// # Errors
/// When there is no status at the start, or the terminal fails. Later failures of `source` are shown
/// beside the last figures.
pub fn watch(source: impl FnMut() -> anyhow::Result<Status>) -> anyhow::Result<()> {
    let mut source = source;
    let status = source()?;
    let mut terminal = ratatui::try_init().context("preparing the terminal for the table")?;
    let result = run(&mut terminal, status, source, |wait| {
        event::poll(wait)?.then(event::read).transpose()
    });
    ratatui::restore();
    result
}

/// Draws and takes events from `events`, which waits for at most the time that it is given, until an
/// event asks to leave.
fn run<B: Backend>(
    terminal: &mut Terminal<B>,
    mut status: Status,
    mut source: impl FnMut() -> anyhow::Result<Status>,
    mut events: impl FnMut(Duration) -> io::Result<Option<Event>>,
) -> anyhow::Result<()>
where
    B::Error: Send + Sync + 'static,
{
    let mut view = ViewState::default();
    let mut next = Instant::now() + INTERVAL;
    loop {
        let mut rows = 0;
        terminal
            .draw(|frame| rows = render(frame, &status, &view))
            .context("drawing the table")?;
        let wait = next.saturating_duration_since(Instant::now());
        match events(wait).context("reading the keyboard")? {
            Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                if view.handle(key, &status, rows) == Answer::Quit {
                    return Ok(());
                }
            }
            Some(_) => {}
            None => {
                match source() {
                    Ok(newest) => {
                        status = newest;
                        view.stale = None;
                    }
                    Err(error) => view.stale = Some(format!("{error:#}")),
                }
                next = Instant::now() + INTERVAL;
            }
        }
    }
}

#[cfg(test)]
mod tests;
