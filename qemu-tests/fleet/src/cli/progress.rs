// SPDX-License-Identifier: MIT OR Apache-2.0

//! Shows how guests start, and waits until they have.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::control::Client;
use crate::model::{Guest, Starting, Status};
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

/// Returns how far the guests are, as a line.
fn line(starting: &Starting) -> String {
    let mut line = format!("{} up", starting.up);
    for (number, what) in [
        (starting.booting, "booting"),
        (starting.waiting, "waiting"),
        (starting.failed, "failed"),
    ] {
        if number > 0 {
            line.push_str(&format!(", {number} {what}"));
        }
    }
    if let Some(held) = &starting.held {
        line.push_str("; held: ");
        line.push_str(held);
    }
    line
}

/// Prints lines while the guests of the supervisor in this process start.
pub(super) async fn show(handle: Handle, goal: Goal) {
    let mut last = String::new();
    let mut printed = Instant::now();
    loop {
        tokio::time::sleep(PAUSE).await;
        let starting = handle.starting(goal.first, goal.last);
        if starting.is_over() {
            goal.report(&handle.status());
            println!("Ctrl-C stops the guests");
            return;
        }
        let line = line(&starting);
        if printed.elapsed() >= LINE && line != last {
            eprintln!("{:5.1} s: {line}", starting.elapsed);
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
        let starting = client.starting(goal.first, goal.last)?;
        let reached = starting.is_over();
        if reached || begun.elapsed() >= limit {
            let all = goal.report(&client.status()?);
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
        let line = line(&starting);
        if printed.elapsed() >= LINE && line != last {
            eprintln!("{:5.1} s: {line}", starting.elapsed);
            printed = Instant::now();
            last = line;
        }
        thread::sleep(PAUSE);
    }
}
