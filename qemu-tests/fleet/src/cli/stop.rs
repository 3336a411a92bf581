// SPDX-License-Identifier: MIT OR Apache-2.0

//! `stop` and `restart`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::guests::{self, Guests};
use crate::control::{Client, Request, Response};
use crate::folder::Folder;

/// Stop guests; without any, or with --all, all of them and their supervisor
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Numbers, ranges such as 3-9, host names or serial numbers
    #[arg(value_parser = guests::guests)]
    guests: Vec<Guests>,
    /// Stop all guests and their supervisor
    #[arg(long, conflicts_with = "guests")]
    all: bool,
}

/// Start guests that have ended, or stop and start those that run; each keeps its disk
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(super) struct RestartArguments {
    /// Numbers, ranges such as 3-9, host names or serial numbers
    #[arg(value_parser = guests::guests)]
    guests: Vec<Guests>,
    /// Restart all guests
    #[arg(long, conflicts_with = "guests")]
    all: bool,
}

pub(super) fn main(arguments: &Arguments, folder: &Folder) -> Result<ExitCode> {
    let guests = guests::numbers(&arguments.guests);
    let everything = guests.is_empty();
    if let Response::Done { guests } = Client::connect(folder)?.ask(&Request::Stop { guests })? {
        println!("{guests} guests stopped");
    }
    // The supervisor removes its socket as its last act.
    while everything && folder.is_locked() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restart(arguments: &RestartArguments, folder: &Folder) -> Result<ExitCode> {
    let guests = guests::numbers(&arguments.guests);
    let response = Client::connect(folder)?.ask(&Request::Restart { guests })?;
    if let Response::Done { guests } = response {
        println!("{guests} guests restarted");
    }
    Ok(ExitCode::SUCCESS)
}
