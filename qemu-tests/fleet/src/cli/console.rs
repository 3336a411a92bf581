// SPDX-License-Identifier: MIT OR Apache-2.0

//! `console`.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::guests;
use crate::control::{Client, Request, Response};
use crate::folder::Folder;

/// The key that detaches: Ctrl-].
const DETACH: u8 = 0x1d;

/// Attach this terminal to a guest's console; Ctrl-] detaches
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The guest's number, host name or serial number
    #[arg(value_parser = guests::guest)]
    guest: u32,
}

pub(super) fn main(arguments: &Arguments, folder: &Folder) -> Result<ExitCode> {
    let id = arguments.guest;
    let mut client = Client::connect(folder)?;
    if is_taken(&mut client, id)? {
        bail!(
            "somebody else is attached to the console of guest {id}; `logs {id} --follow` shows it"
        );
    }
    let console = folder
        .with_guest_socket(id, "console.sock", |path| UnixStream::connect(path))
        .with_context(|| format!("cannot attach to the console of guest {id}"))?;
    eprintln!("attached to guest {id}; Ctrl-] detaches");
    let terminal = RawTerminal::begin()?;
    let ended = attach(&console);
    drop(terminal);
    eprintln!();
    eprintln!("{}", ended?);
    Ok(ExitCode::SUCCESS)
}

/// Returns whether a client is connected to the console. QEMU serves one, and lets others wait.
fn is_taken(client: &mut Client, guest: u32) -> Result<bool> {
    let response = client.ask(&Request::Qmp {
        guest,
        command: "query-chardev".to_owned(),
        arguments: None,
    })?;
    let Response::Value { value } = response else {
        bail!("the supervisor answered something else: {response:?}; is it of another version?");
    };
    let devices = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let console = devices.iter().find(|device| device["label"] == "console");
    let filename = console.and_then(|console| console["filename"].as_str());
    Ok(filename.is_some_and(|name| !name.starts_with("disconnected:")))
}

/// Connects the terminal with the console until one of them ends, and returns which.
fn attach(console: &UnixStream) -> Result<&'static str> {
    let mut output = console.try_clone().context("cannot copy the connection")?;
    let printing = thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let count = output.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            let mut out = io::stdout().lock();
            out.write_all(&buffer[..count])?;
            out.flush()?;
        }
        Ok(())
    });
    let mut input = console.try_clone().context("cannot copy the connection")?;
    let detached = Arc::new(AtomicBool::new(false));
    let detaches = detached.clone();
    // Not joined: it may wait for a key after the guest has ended.
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 1024];
        let copied = loop {
            let count = match io::stdin().lock().read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(count) => count,
                Err(error) => break Err(error),
            };
            let end = buffer[..count].iter().position(|key| *key == DETACH);
            if let Err(error) = input.write_all(&buffer[..end.unwrap_or(count)]) {
                break Err(error);
            }
            if end.is_some() {
                break Ok(());
            }
        };
        detaches.store(true, Ordering::Release);
        // Ends the other thread.
        let _ = input.shutdown(Shutdown::Both);
        copied
    });
    match printing.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error).context("the console's connection broke"),
        Err(_) => bail!("the console's output ended"),
    }
    Ok(if detached.load(Ordering::Acquire) {
        "detached"
    } else {
        "the guest has ended"
    })
}

/// A terminal that passes all keys on, until this is dropped.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn begin() -> Result<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(Self(None));
        }
        let usual = tcgetattr(&stdin).context("cannot read the terminal's settings")?;
        let mut raw = usual.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).context("cannot change the terminal")?;
        Ok(Self(Some(usual)))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(usual) = &self.0 {
            // A terminal that is gone needs no settings.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, usual);
        }
    }
}
