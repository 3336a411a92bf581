// SPDX-License-Identifier: MIT OR Apache-2.0

//! Helpers for several tests.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the path of a folder or a file of the fixtures.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path)
}

/// Runs a command and returns its exit status, stdout and stderr.
pub(crate) fn outcome(command: &mut Command) -> io::Result<(Option<i32>, String, String)> {
    let output = command.output()?;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ok((
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    ))
}
