// SPDX-License-Identifier: MIT OR Apache-2.0

//! `status`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::control::Client;
use crate::folder::Folder;
use crate::model::{Guest, State, Status};
use crate::summary::Percentiles;

/// Show the guests: their states, slots, boot times and memory
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Print the status in JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: &Arguments, folder: &Folder) -> Result<ExitCode> {
    let status = Client::connect(folder)?.status()?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print!("{}", table(&status));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the table of a fleet.
fn table(status: &Status) -> String {
    let mut text = String::from(
        "guest        state     slot  reason     boots   uptime    boot  PSS MiB  RES MiB   CPU %  message\n",
    );
    for guest in &status.guests {
        text.push_str(row(guest).trim_end());
        text.push('\n');
    }
    text.push('\n');
    let count = |state| {
        status
            .guests
            .iter()
            .filter(|guest| guest.state == state)
            .count()
    };
    let states = State::ALL.map(|state| (count(state), state));
    let states = states.iter().filter(|(count, _)| *count > 0);
    let states: Vec<_> = states
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    text.push_str(&format!(
        "{} guests: {}\n",
        status.guests.len(),
        states.join(", ")
    ));
    let boots = status.guests.iter().filter_map(|guest| guest.boot_seconds);
    if let Some(boot) = Percentiles::of(boots) {
        text.push_str(&format!(
            "time to up: median {:.1} s, 95 % within {:.1} s, the slowest {:.1} s\n",
            boot.median, boot.p95, boot.largest
        ));
    }
    let memory = status.guests.iter().filter_map(|guest| guest.memory);
    let pss = memory.map(|memory| mib(memory.pss));
    if let Some(pss) = Percentiles::of(pss) {
        text.push_str(&format!(
            "PSS: {:.0} MiB of {} guests, median {:.1}, largest {:.1}\n",
            pss.sum, pss.count, pss.median, pss.largest
        ));
    }
    text.push_str(&format!(
        "host: {} CPUs, load {:.1}, {:.0} of {:.0} MiB available; supervisor {:.0} MiB\n",
        status.host.cpus,
        status.host.load,
        mib(status.host.available),
        mib(status.host.memory),
        mib(status.supervisor_rss)
    ));
    if let Some(held) = &status.held {
        text.push_str(&format!("held: {held}\n"));
    }
    text
}

fn row(guest: &Guest) -> String {
    let seconds =
        |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.1}"));
    let memory =
        |value: Option<u64>| value.map_or_else(String::new, |value| format!("{:.1}", mib(value)));
    format!(
        "{:12} {:9} {:5} {:10} {:5} {:>8} {:>7} {:>8} {:>8} {:>7}  {}",
        guest.host,
        guest.state,
        guest.slot.as_deref().unwrap_or_default(),
        guest.reason.as_deref().unwrap_or_default(),
        guest.boots,
        seconds(guest.uptime),
        seconds(guest.boot_seconds),
        memory(guest.memory.map(|memory| memory.pss)),
        memory(guest.memory.map(|memory| memory.rss)),
        seconds(guest.cpu.map(|share| share * 100.0)),
        guest.message.as_deref().unwrap_or_default(),
    )
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
