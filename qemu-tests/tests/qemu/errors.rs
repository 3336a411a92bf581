// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bad input: the loader says what it found, with the value or offset, and powers off.

use anyhow::{Result, ensure};

use crate::Test;
use crate::context::Context;

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, fn(&Context) -> Result<()>); 1] = [("no_disk", no_disk)];
    tests
        .into_iter()
        .map(|(name, test)| (format!("errors::{name}"), test))
        .collect()
}

fn no_disk(context: &Context) -> Result<()> {
    let lines = context.fatal(context.machine())?;
    ensure!(
        lines.len() == 1 && lines[0].starts_with("no block device behind 32 virtio transports"),
        "{lines:?}"
    );
    Ok(())
}
