// SPDX-License-Identifier: MIT OR Apache-2.0

//! The environment of a disk: reads its copies into the buffer that the linker script reserves,
//! opens them, and writes changes back.

use little_loader_core::disk::extent::Extent;
use little_loader_core::display::Word;
use little_loader_core::env::open::{self, Broken, CopyError, Opened};
use little_loader_core::env::place::{EnvCopy, EnvPlace};
use little_loader_core::env::size_hint::SizeHint;
use little_loader_core::env::writer::{Storage, Writer};
use little_loader_core::units::{Bytes, Lba};
use thiserror::Error;

use crate::boot::build_settings::TRACE;
use crate::disk::{Disk, DiskError, DiskName};
use crate::machine::console::{trace, warning};
use crate::machine::memory;

/// Why a disk has no environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum NoEnvironment {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("environment at block {lba}: {broken}")]
    Bad { lba: Lba, broken: Broken },
    #[error("environment at block {}: {}; copy at block {}: {}", .first.0, .first.1, .second.0, .second.1)]
    BothBad {
        first: (Lba, CopyError<DiskError>),
        second: (Lba, CopyError<DiskError>),
    },
}

/// The memory for the copies of an environment, reused for each disk in turn.
pub(crate) struct Buffers {
    place: EnvPlace,
    first: &'static mut [u8],
    /// Empty for a single copy.
    second: &'static mut [u8],
}

impl Buffers {
    /// Takes the buffer for an environment at this place. The check of the settings ensures that it
    /// is large enough.
    pub(crate) fn take(place: EnvPlace) -> Self {
        let size = place.size.0 as usize;
        let (first, rest) = memory::take_environment_buffer().split_at_mut(size);
        let second = if place.redundant_lba.is_some() {
            size
        } else {
            0
        };
        let (second, _) = rest.split_at_mut(second);
        Self {
            place,
            first,
            second,
        }
    }

    /// Reads the environment of a disk and chooses its active copy, repaired if necessary and
    /// possible.
    ///
    /// # Errors
    ///
    /// When no copy is readable and valid.
    #[inline(never)]
    pub(crate) fn open(&mut self, disk: &mut Disk) -> Result<Opened, NoEnvironment> {
        let lba = self.place.lba;
        let Some(second_lba) = self.place.redundant_lba else {
            read(disk, lba, self.first)?;
            return open::single(self.first).map_err(|broken| {
                hint(lba, self.first);
                NoEnvironment::Bad { lba, broken }
            });
        };
        let results = (
            read(disk, lba, self.first),
            read(disk, second_lba, self.second),
        );
        let (opened, invalid) =
            open::redundant(self.first, self.second, results).map_err(|broken| {
                hint(lba, self.first);
                hint(second_lba, self.second);
                NoEnvironment::BothBad {
                    first: (lba, broken.first),
                    second: (second_lba, broken.second),
                }
            })?;
        if let Some((copy, error)) = invalid {
            let then = match error {
                CopyError::Read(DiskError::Outside(_)) => {
                    "nothing can be recorded: enlarge the disk"
                }
                _ => "the next write repairs it",
            };
            warning(format_args!(
                "environment copy at block {}: {error}; {}",
                self.place.lba_of(copy),
                Word(then)
            ));
        }
        Ok(opened)
    }

    /// Returns the environment that was opened last, on the disk with this name.
    pub(crate) fn into_environment(self, disk: DiskName, opened: &Opened) -> Environment {
        Environment {
            disk,
            writer: opened.writer(self.first, self.second),
            place: self.place,
        }
    }
}

/// Logs, in a build with trace, the usual size for which the checksum of an invalid copy fits, if
/// there is one.
fn hint(lba: Lba, copy: &[u8]) {
    if TRACE && let Some(hint) = SizeHint::find(copy) {
        trace!("trace: environment at block {lba}: {hint}");
    }
}

fn read(disk: &mut Disk, lba: Lba, bytes: &mut [u8]) -> Result<(), DiskError> {
    let length = Bytes(bytes.len() as u64);
    Extent { lba, length }.check("environment", disk.capacity)?;
    disk.read(lba, bytes)
}

/// A valid environment on a disk.
pub(crate) struct Environment {
    /// The disk's name.
    pub(crate) disk: DiskName,
    /// The variables, with changes that are not yet written.
    pub(crate) writer: Writer<'static>,
    /// The location of its copies on the disk.
    pub(crate) place: EnvPlace,
}

impl Environment {
    /// Returns the first block of the active copy.
    pub(crate) fn lba(&self) -> Lba {
        self.place.lba_of(self.writer.current())
    }

    /// Writes a repaired environment before anything else, so that the next reader finds it intact.
    pub(crate) fn write_repaired(&mut self, disk: &mut Disk) {
        let place = self.place;
        match self.writer.write(&mut EnvironmentOnDisk { disk, place }) {
            Ok(()) => warning(format_args!("environment: a torn write was repaired")),
            Err(error) => warning(format_args!(
                "environment: a torn write was repaired in memory, not on the disk: {error}"
            )),
        }
    }
}

/// Writes the copies of an environment to its disk.
pub(crate) struct EnvironmentOnDisk<'a> {
    pub(crate) disk: &'a mut Disk,
    pub(crate) place: EnvPlace,
}

impl Storage for EnvironmentOnDisk<'_> {
    type Error = DiskError;

    fn write(&mut self, copy: EnvCopy, first: usize, bytes: &[u8]) -> Result<(), DiskError> {
        // One copy of a pair may be beyond the end of the disk.
        let (lba, length) = (self.place.lba_of(copy), self.place.size);
        Extent { lba, length }.check("environment", self.disk.capacity)?;
        let lba = Lba(lba.0 + first as u64);
        trace!("trace: writing block {lba}");
        self.disk.write(lba, bytes)
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.disk.flush()
    }
}
