// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands of a guest's agent.

use std::io;
use std::process::Command;

use crate::archive;
use crate::migration::Identity;
use crate::slots::Slots;

/// What a command does to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    Reset,
    PowerOff,
}

/// An answer, the lines that appear on the console, and the effect.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) console: Vec<String>,
    pub(crate) effect: Effect,
}

impl Answer {
    fn text(text: String) -> Self {
        Self {
            text,
            console: Vec::new(),
            effect: Effect::None,
        }
    }
}

/// Answers `line` of a guest that is up, which ends with its line feed.
pub(crate) fn answer(line: &str, identity: &Identity) -> io::Result<Answer> {
    let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
    let mut slots = Slots::read();
    Ok(match command {
        "ping" | "identify" => Answer::text(format!(
            "pong serial={} host={} slot={} reason=active uptime=1.0 version={}\n",
            identity.serial,
            identity.host,
            slots.active,
            slots.version()
        )),
        "run" => {
            let output = Command::new("sh").args(["-c", argument]).output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let status = output.status.code().unwrap_or(255);
            Answer::text(format!("{text}exit {status}\n"))
        }
        "update" => {
            let slot = slots.other();
            let archive = if slots.trial.is_some() {
                Err(io::Error::other("the running slot is still on trial"))
            } else {
                archive::download(argument)
            };
            let (text, told) = match archive {
                Ok(archive) => {
                    slots.update(&archive);
                    slots.write()?;
                    let text = format!("updated slot={slot}");
                    (text.clone(), text)
                }
                Err(error) => (format!("failed {error}"), format!("update failed: {error}")),
            };
            Answer {
                text: format!("{text}\n"),
                console: vec![
                    format!("fleet: updating slot={slot}"),
                    format!("fleet: {told}"),
                ],
                effect: Effect::None,
            }
        }
        "validate" => {
            slots.trial = None;
            slots.write()?;
            Answer::text("ok\n".to_owned())
        }
        "revert" => {
            slots.active = slots.other();
            slots.trial = None;
            slots.is_bad = false;
            slots.write()?;
            Answer::text("ok\n".to_owned())
        }
        "reboot" | "poweroff" => Answer {
            text: "ok\n".to_owned(),
            console: Vec::new(),
            effect: if command == "reboot" {
                Effect::Reset
            } else {
                Effect::PowerOff
            },
        },
        _ => Answer::text(format!("failed unknown command {command}\n")),
    })
}
