// SPDX-License-Identifier: MIT OR Apache-2.0

//! `exec`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use tokio::task::JoinSet;

use super::guests::{self, Guests};
use crate::agent::{self, Output};
use crate::control::Client;
use crate::folder::Folder;
use crate::model::Guest;

/// How many guests execute the command at the same time.
const TOGETHER: usize = 64;

/// Execute a command in guests, through their agents
///
/// With one guest, prints its output and ends with its exit status; with several, begins each line
/// with the guest's name, and fails if one of them does.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Numbers, ranges such as 3-9, host names or serial numbers
    #[arg(value_parser = guests::guests, required_unless_present = "all")]
    guests: Vec<Guests>,
    /// Execute it in all guests that are up
    #[arg(long, conflicts_with = "guests")]
    all: bool,
    /// The seconds that it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// The command: a single word is a line for the guest's shell
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(super) fn main(arguments: &Arguments, folder: &Folder) -> Result<ExitCode> {
    let status = Client::connect(folder)?.status()?;
    let ids = guests::numbers(&arguments.guests);
    for id in &ids {
        guests::check(*id, &status)?;
    }
    let is_chosen = |guest: &Guest| {
        if arguments.all {
            guest.state.is_up()
        } else {
            ids.contains(&guest.id)
        }
    };
    let chosen: Vec<Guest> = status.guests.into_iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        bail!("no guest is up; `status` shows what they do");
    }
    let line = match arguments.command.as_slice() {
        [line] => line.clone(),
        words => shell_words::join(words),
    };
    if line.contains('\n') {
        bail!("a command has one line: join the commands with `;`");
    }
    let limit = Duration::from_secs(arguments.timeout);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let results = runtime.block_on(run_in_all(&chosen, &format!("run {line}"), limit));
    if let [(_, result)] = results.as_slice() {
        let output = result.as_ref().map_err(|text| anyhow::anyhow!("{text}"))?;
        print!("{}", output.text);
        return Ok(ExitCode::from(output.status.unwrap_or(1)));
    }
    let mut all_succeeded = true;
    for (host, result) in &results {
        match result {
            Ok(output) => {
                for line in output.text.lines() {
                    println!("{host}: {line}");
                }
                all_succeeded &= output.status == Some(0);
                if let Some(status) = output.status.filter(|status| *status != 0) {
                    eprintln!("{host}: exit status {status}");
                }
            }
            Err(text) => {
                all_succeeded = false;
                eprintln!("{host}: {text}");
            }
        }
    }
    Ok(if all_succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns the host names and the results, in the order of the guests.
async fn run_in_all(
    guests: &[Guest],
    line: &str,
    limit: Duration,
) -> Vec<(String, Result<Output, String>)> {
    let mut running = JoinSet::new();
    let mut results = Vec::new();
    for guest in guests {
        if running.len() >= TOGETHER {
            results.extend(running.join_next().await);
        }
        let (id, host, state) = (guest.id, guest.host.clone(), guest.state);
        let (port, line) = (guest.port, line.to_owned());
        running.spawn(async move {
            let Some(port) = port else {
                let text = format!("guest {id} has no network, or does not run: it is {state}");
                return (id, host, Err(text));
            };
            let answer = agent::ask(port, &line, limit).await;
            let output = answer.map_or_else(
                |error| {
                    Err(format!(
                        "the agent of guest {id}, which is {state}, does not answer: {error}"
                    ))
                },
                |answer| Ok(Output::read(&answer)),
            );
            (id, host, output)
        });
    }
    while let Some(result) = running.join_next().await {
        results.push(result);
    }
    let mut results: Vec<_> = results.into_iter().filter_map(Result::ok).collect();
    results.sort_by_key(|(id, ..)| *id);
    results
        .into_iter()
        .map(|(_, host, result)| (host, result))
        .collect()
}
