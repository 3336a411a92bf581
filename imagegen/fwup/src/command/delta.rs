// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io::stdout;
use std::path::Path;

use anyhow::{Context, anyhow, bail};

use super::options::Options;
use crate::archive::write::Level;
use crate::create::{DeltaResource, write_delta_archive};
use crate::output::Output;

/// Makes a delta archive, and returns the text to print: a line for each resource. An archive on
/// stdout leaves no place for it.
pub(super) fn create_delta(options: &Options) -> anyhow::Result<String> {
    let [old, new] = options.arguments.as_slice() else {
        bail!("specify two archives, the old and the new one: --create-delta OLD NEW");
    };
    let output = options
        .output
        .as_deref()
        .context("specify the delta archive: -o FILE, or -o - for stdout")?;
    let level = options.level.and_then(Level::new).unwrap_or_default();
    // They are read several times.
    for path in [old, new] {
        if !Path::new(path).is_file() {
            return Err(anyhow!("cannot open '{path}': expected a file"));
        }
    }
    let (old, new) = (|| File::open(old), || File::open(new));
    if output == "-" {
        write_delta_archive(old, new, stdout().lock(), level)?;
        return Ok(String::new());
    }
    let unwritable = || format!("cannot write '{output}'");
    let mut file = Output::create(Path::new(output)).with_context(unwritable)?;
    let resources = write_delta_archive(old, new, &mut file, level)?;
    file.finish().with_context(unwritable)?;
    Ok(resources.iter().map(line).collect())
}

fn line(resource: &DeltaResource) -> String {
    let DeltaResource {
        name,
        length,
        delta,
    } = resource;
    match delta {
        Some(delta) => format!("{name}: a delta of {delta} bytes for {length} bytes\n"),
        None => format!("{name}: kept, {length} bytes\n"),
    }
}
