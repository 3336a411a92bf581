// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes the other slot of a stopped guest from the host.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use fwup::apply::Observer;
use fwup::language::Definitions;
use imagegen::apply::apply_to;
use imagegen::env_file::EnvFile;
use imagegen::install::Update;
use imagegen::slots;
use little_loader_core::env::place::EnvPlace;
use little_loader_core::slots::slot::Slot;

use super::plan::Source;

/// Writes `slot` of the disk at `disk` from `source`, and puts it on trial. Variable by variable, so
/// that those that differ from guest to guest stay.
///
/// # Errors
///
/// Why the disk still boots its old slot.
pub(super) fn write(
    source: &Source,
    slot: &str,
    disk: &Path,
    place: EnvPlace,
) -> anyhow::Result<()> {
    let to = Slot::from_value(slot.as_bytes());
    match source {
        Source::Image(new) => {
            let mut new = EnvFile::open(new, place, false)?;
            let mut image = EnvFile::open(disk, place, true)?;
            let update = match to {
                Some(to) => Update::new().slot(to),
                None => Update::new(),
            };
            update.install(&mut new, &mut image)?;
        }
        Source::Archive(archive) => {
            let input = BufReader::new(File::open(archive)?);
            let definitions = &mut Definitions::of_process();
            apply_to(input, disk, "upgrade", definitions, &mut Silent)?;
        }
        Source::Rollback => {
            let mut image = EnvFile::open(disk, place, true)?;
            let mut variables = image.variables();
            slots::revert(&mut variables)?;
            image.store(&variables)?;
        }
    }
    Ok(())
}

/// Nobody watches the progress of a single guest.
struct Silent;

impl Observer for Silent {
    fn progress(&mut self, _: u64, _: u64) {}

    fn info(&mut self, _: &str) {}
}
