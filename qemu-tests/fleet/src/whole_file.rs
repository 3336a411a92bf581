// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that appear whole or not at all.

use std::path::Path;

use anyhow::Context as _;
use fwup::output::Output;

/// Writes `contents` to `path` by a temporary file beside it.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn write_whole(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut file = Output::create(path)?;
        file.write_all(contents)?;
        file.finish()
    };
    write().with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}
