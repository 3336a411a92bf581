// SPDX-License-Identifier: MIT OR Apache-2.0

pub(super) use fwup::command::print as show;
use serde::Serialize;

/// Prints a report as indented JSON.
pub(super) fn show_json(report: &impl Serialize) -> anyhow::Result<()> {
    Ok(show(serde_json::to_string_pretty(report)? + "\n")?)
}
