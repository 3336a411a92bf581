// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io::stdout;
use std::path::Path;

use anyhow::{Context, anyhow, bail};

use super::options::Options;
use crate::archive::write::Level;
use crate::create::{DeltaArchive, DeltaOutcome, DeltaResource, FullTask, write_delta_archive};
use crate::output::Output;

/// Makes a delta archive, and returns the text to print. If the archive is on stdout, the text is
/// on stderr.
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
        let archive = write_delta_archive(old, new, stdout().lock(), level)?;
        eprint!("{}", report(&archive));
        return Ok(String::new());
    }
    let unwritable = || format!("cannot write '{output}'");
    let mut file = Output::create(Path::new(output)).with_context(unwritable)?;
    let archive = write_delta_archive(old, new, &mut file, level)?;
    file.finish().with_context(unwritable)?;
    Ok(report(&archive))
}

/// Returns a line for each resource that can be a delta, and for each task that needs the full
/// archive.
fn report(archive: &DeltaArchive) -> String {
    let resources = archive.resources.iter().map(line);
    let tasks = archive.full_tasks.iter().map(|task| {
        let FullTask { name, resources } = task;
        let resources = resources.join(", ");
        format!(
            "task {name}: needs the full archive, it has no usable delta source for {resources}\n"
        )
    });
    resources.chain(tasks).collect()
}

fn line(resource: &DeltaResource) -> String {
    let DeltaResource {
        name,
        length,
        outcome,
    } = resource;
    match outcome {
        DeltaOutcome::Delta {
            length: delta,
            packed,
            packed_data,
        } => format!(
            "{name}: a delta of {delta} bytes for {length} bytes, {packed} instead of {packed_data} in the archive\n"
        ),
        DeltaOutcome::NotSmaller {
            packed,
            packed_data,
        } => format!(
            "{name}: kept, {length} bytes: a delta would take {packed} instead of {packed_data} in the archive\n"
        ),
        DeltaOutcome::NotInOld => {
            format!("{name}: kept, {length} bytes: the old archive does not have it\n")
        }
    }
}
