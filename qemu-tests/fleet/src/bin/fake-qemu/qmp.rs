// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands of QMP that a fleet uses.

use std::io;

use serde_json::{Value, json};

use crate::boot::Behaviour;
use crate::migration::Run;

/// What a command does to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    Quit,
    Reset,
}

/// The greeting.
pub(crate) const GREETING: &str =
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 0}}, \"capabilities\": []}}\r\n";

/// Answers one command.
pub(crate) fn answer(
    line: &[u8],
    console_is_taken: bool,
    run: &mut Run,
    behaviour: Behaviour,
) -> io::Result<(Value, Effect)> {
    let command: Value = serde_json::from_slice(line).unwrap_or_default();
    let name = command["execute"].as_str().unwrap_or_default();
    let filename = if console_is_taken {
        "unix:console.sock,server=on"
    } else {
        "disconnected:unix:console.sock,server=on"
    };
    if let Some(result) = run.execute(name, &command["arguments"], behaviour)? {
        let answer = match result {
            Ok(value) => json!({ "return": value }),
            Err(text) => json!({"error": {"class": "GenericError", "desc": text}}),
        };
        return Ok((answer, Effect::None));
    }
    let (result, effect) = match name {
        "qmp_capabilities" => (json!({}), Effect::None),
        "quit" => (json!({}), Effect::Quit),
        "system_reset" => (json!({}), Effect::Reset),
        "query-chardev" => (
            json!([{"label": "console", "filename": filename}]),
            Effect::None,
        ),
        _ => {
            let text = format!("The command {name} has not been found");
            let error = json!({"error": {"class": "CommandNotFound", "desc": text}});
            return Ok((error, Effect::None));
        }
    };
    Ok((json!({ "return": result }), effect))
}

/// An event of the machine.
pub(crate) fn event(name: &str, by_guest: bool, reason: &str) -> Value {
    json!({
        "event": name,
        "data": {"guest": by_guest, "reason": reason},
        "timestamp": {"seconds": 0, "microseconds": 0},
    })
}
