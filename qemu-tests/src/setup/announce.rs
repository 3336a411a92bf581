// SPDX-License-Identifier: MIT OR Apache-2.0

//! Setup's messages.

/// Writes the next step of setup to stderr.
pub(super) fn announce(step: &str) {
    eprintln!("setup: {step}");
}
