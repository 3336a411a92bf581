// SPDX-License-Identifier: MIT OR Apache-2.0

//! Shows how guests start, and waits until they have.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::control::Client;
use crate::model::{Guest, State, Status};
use crate::supervisor::Handle;

/// How often the state is looked at.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a line is printed.
const LINE: Duration = Duration::from_secs(2);
/// How many of the guests that failed are listed.
const LISTED: usize = 10;

/// The guests that are waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    /// The first.
    pub(super) first: u32,
    /// The last; with `--fill` there may be fewer in the end.
    pub(super) last: u32,
}

impl Goal {
    fn guests(self, status: &Status) -> impl Iterator<Item = &Guest> {
        let wanted = self.first..=self.last;
        let guests = status.guests.iter();
        guests.filter(move |guest| wanted.contains(&guest.id))
    }

    /// Returns whether every guest is up or has failed.
    fn is_reached(self, status: &Status) -> bool {
        !status.starting && !self.guests(status).any(|guest| guest.state.is_passing())
    }

    fn line(self, status: &Status) -> String {
        let count =
            |is: fn(State) -> bool| self.guests(status).filter(|guest| is(guest.state)).count();
        let waiting = count(|state| state == State::Waiting);
        let mut line = format!("{} up", count(State::is_up));
        for (number, what) in [
            (count(State::is_passing) - waiting, "booting"),
            (waiting, "waiting"),
            (
                count(|state| !state.is_up() && !state.is_passing()),
                "failed",
            ),
        ] {
            if number > 0 {
                line.push_str(&format!(", {number} {what}"));
            }
        }
        if let Some(held) = &status.held {
            line.push_str("; held: ");
            line.push_str(held);
        }
        line
    }

    /// Prints the outcome, and returns whether all guests are up.
    fn report(self, status: &Status) -> bool {
        let (up, others): (Vec<_>, Vec<_>) =
            self.guests(status).partition(|guest| guest.state.is_up());
        println!("{} of {} guests are up", up.len(), up.len() + others.len());
        if let Some(held) = &status.held {
            println!("{held}");
        }
        for guest in others.iter().take(LISTED) {
            let message = guest.message.as_deref().unwrap_or("no message");
            println!("  {} is {}: {message}", guest.host, guest.state);
        }
        if others.len() > LISTED {
            println!("  and {} more; `status` lists them", others.len() - LISTED);
        }
        others.is_empty()
    }
}

/// Prints lines while the guests of the supervisor in this process start.
pub(super) async fn show(handle: Handle, goal: Goal) {
    let mut last = String::new();
    let mut printed = Instant::now();
    loop {
        tokio::time::sleep(PAUSE).await;
        let status = handle.status();
        if goal.is_reached(&status) {
            goal.report(&status);
            println!("Ctrl-C stops the guests");
            return;
        }
        let line = goal.line(&status);
        if printed.elapsed() >= LINE && line != last {
            eprintln!("{:5.1} s: {line}", status.elapsed);
            printed = Instant::now();
            last = line;
        }
    }
}

/// Waits until the guests of another process's supervisor have started, at most for `limit`.
/// Returns success if all are up.
pub(super) fn wait(client: &mut Client, goal: Goal, limit: Duration) -> Result<ExitCode> {
    let begun = Instant::now();
    let mut last = String::new();
    let mut printed = Instant::now();
    loop {
        let status = client.status()?;
        let reached = goal.is_reached(&status);
        if reached || begun.elapsed() >= limit {
            let all = goal.report(&status);
            if !reached {
                println!(
                    "not all guests were up within {} s (--timeout)",
                    limit.as_secs()
                );
            }
            return Ok(if all {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        let line = goal.line(&status);
        if printed.elapsed() >= LINE && line != last {
            eprintln!("{:5.1} s: {line}", status.elapsed);
            printed = Instant::now();
            last = line;
        }
        thread::sleep(PAUSE);
    }
}
