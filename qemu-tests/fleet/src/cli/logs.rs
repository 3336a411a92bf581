// SPDX-License-Identifier: MIT OR Apache-2.0

//! `logs`.

use std::fs::File;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use super::guests;
use crate::console::limit::Kept;
use crate::folder::Folder;

/// Print what a guest has written to its console
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The guest's number, host name or serial number
    #[arg(value_parser = guests::guest)]
    guest: u32,
    /// Go on with what it writes from now on, until Ctrl-C or the fleet's end
    #[arg(long, short)]
    follow: bool,
    /// Print what QEMU has written to stderr instead
    #[arg(long)]
    qemu: bool,
}

pub(super) fn main(arguments: &Arguments, folder: &Folder) -> Result<ExitCode> {
    let path = if arguments.qemu {
        folder.qemu_log(arguments.guest)
    } else {
        folder.console_log(arguments.guest)
    };
    let file = File::open(&path).with_context(|| {
        format!(
            "guest {} has no log: cannot open {}",
            arguments.guest,
            path.display()
        )
    })?;
    let mut log = Kept::new(file);
    let mut buffer = vec![0; 64 << 10];
    loop {
        // Asked for before the end is read, so that nothing written before it is left out.
        let goes_on = arguments.follow && folder.is_locked();
        loop {
            let count = log
                .read(&mut buffer)
                .with_context(|| format!("cannot read {}", path.display()))?;
            if count == 0 {
                break;
            }
            let mut out = io::stdout().lock();
            match out.write_all(&buffer[..count]).and_then(|()| out.flush()) {
                // Whoever reads has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Ok(ExitCode::SUCCESS);
                }
                written => written.context("cannot write the log")?,
            }
        }
        if !goes_on {
            return Ok(ExitCode::SUCCESS);
        }
        thread::sleep(Duration::from_millis(100));
    }
}
