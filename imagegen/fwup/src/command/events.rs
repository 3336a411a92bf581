// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages as JSON objects for programs (`--json`), one per line. Each has an `event`: `progress`,
//! `info`, `warning`, `error` or `done`.

use serde_json::json;

use crate::apply::Applied;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    /// The task's own message.
    Info,
    /// A message about something unusual.
    Warning,
    /// The reason why the command fails.
    Error,
}

pub(super) fn message(kind: MessageKind, text: &str) -> String {
    let event = match kind {
        MessageKind::Info => "info",
        MessageKind::Warning => "warning",
        MessageKind::Error => "error",
    };
    json!({"event": event, "message": text}).to_string()
}

/// `done` and `total` are in units of progress, most of which are bytes.
pub(super) fn progress(percent: u8, done: u64, total: u64) -> String {
    json!({"event": "progress", "percent": percent, "done": done, "total": total}).to_string()
}

pub(super) fn done(applied: &Applied) -> String {
    json!({
        "event": "done",
        "task": applied.task,
        "reboot_parameter": applied.reboot_parameter,
    })
    .to_string()
}
