// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files with results: pictures of the book, and JSON in the target folder.

use anyhow::{Context as _, Result};
use serde::Serialize;

use qemu_tests::bench::page;
use qemu_tests::{output, paths};

/// Writes a picture of the book.
pub(super) fn keep_image(name: &str, picture: &str) -> Result<()> {
    let path = page::image(name);
    output::write_whole(&path, picture.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes `value` as JSON into the target folder and returns the text.
pub(super) fn keep(name: &str, value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string_pretty(value)?;
    let path = paths::target().join(name);
    output::write_whole(&path, json.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(json)
}
