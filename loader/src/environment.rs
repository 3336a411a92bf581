// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finds the disk with the environment: the first block device, in the order of QEMU's command line, that holds a valid
//! one.

use little_loader::dtb::{MAX_TRANSPORTS, Transports};
use little_loader::env::Copy;
use little_loader::recover::{self, Broken, CopyError, Recovered};
use little_loader::settings::Settings;
use little_loader::slot::{Extent, ExtentError};
use little_loader::units::{Bytes, Lba};
use little_loader::update::{Storage, Writer};
use thiserror::Error;

use crate::console::{say, trace, warning};
use crate::disk::{Disk, DiskError};
use crate::fatal::Fatal;
use crate::memory;

/// Why a copy of the environment cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    TooSmall(#[from] ExtentError),
}

/// Why a disk has no environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum PassedOver {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("environment at block {lba}: {broken}")]
    Bad { lba: Lba, broken: Broken },
    #[error("environment at block {}: {}; copy at block {}: {}", .first.0, .first.1, .second.0, .second.1)]
    BothBad {
        first: (Lba, CopyError<LoadError>),
        second: (Lba, CopyError<LoadError>),
    },
}

/// An environment that was found.
pub(crate) struct Environment {
    /// Its variables, and what is to be written of them.
    pub(crate) writer: Writer<'static>,
    /// Where it lies.
    pub(crate) places: Places,
    /// Whether a torn write was repaired in memory.
    is_repaired: bool,
}

/// Finds the disk and its environment.
///
/// # Errors
///
/// When no block device has a valid environment; what each of them holds is printed.
pub(crate) fn find(
    transports: &Transports,
    settings: &Settings,
) -> Result<(Disk, Environment), Fatal> {
    let mut passed_over = [None; MAX_TRANSPORTS];
    let mut count = 0;
    for registers in transports.as_slice() {
        let Some((name, disk)) = Disk::open(*registers) else {
            continue;
        };
        trace!("trace: block device at {name}");
        let found = disk
            .map_err(|error| PassedOver::Load(error.into()))
            .and_then(|mut disk| read(&mut disk, settings).map(|environment| (disk, environment)));
        match found {
            Ok((mut disk, mut environment)) => {
                for (name, reason) in passed_over.iter().flatten() {
                    say!("passed over {name}: {reason}");
                }
                say!(
                    "environment: {name} block {}, {}",
                    environment.places.lba(environment.writer.current()),
                    Bytes(settings.env_size.into())
                );
                environment.write_repaired(&mut disk);
                for (name, value) in environment.writer.env().iter() {
                    trace!("trace: {}={}", name.escape_ascii(), value.escape_ascii());
                }
                return Ok((disk, environment));
            }
            Err(reason) => {
                passed_over[count] = Some((name, reason));
                count += 1;
            }
        }
    }
    if transports.left_out > 0 {
        warning(format_args!(
            "{} virtio transports beyond the first {MAX_TRANSPORTS} were not looked at",
            transports.left_out
        ));
    }
    if count == 0 {
        return Err(Fatal::NoDisk {
            transports: transports.as_slice().len(),
        });
    }
    for (name, reason) in passed_over.iter().flatten() {
        crate::console::fatal(format_args!("{name}: {reason}"));
    }
    Err(Fatal::NoEnvironment { disks: count })
}

impl Environment {
    /// Writes a repaired environment before anything else, so that whoever reads it next finds it whole.
    fn write_repaired(&mut self, disk: &mut Disk) {
        if !self.is_repaired {
            return;
        }
        let places = self.places;
        match self.writer.write(&mut OnDisk { disk, places }) {
            Ok(()) => warning(format_args!("environment: a torn write was repaired")),
            Err(error) => warning(format_args!(
                "environment: a torn write was repaired in memory, not on the disk: {error}"
            )),
        }
    }
}

/// Reads the environment of a disk and takes the copy that counts, repaired where that is needed and possible.
fn read(disk: &mut Disk, settings: &Settings) -> Result<Environment, PassedOver> {
    // SAFETY: the linker script reserves this memory for the environment. What an earlier disk had there was dropped when
    // that disk was passed over.
    let buffer = unsafe { memory::bytes(memory::environment()) };
    let (first, rest) = buffer.split_at_mut(settings.env_size as usize);
    let places = Places::of(settings);
    let Some(second_lba) = places.second else {
        load(disk, places.first, first)?;
        let (writer, recovered) =
            recover::single::<DiskError>(first).map_err(|broken| PassedOver::Bad {
                lba: places.first,
                broken,
            })?;
        return Ok(Environment {
            writer,
            places,
            is_repaired: matches!(recovered, Recovered::Repaired),
        });
    };
    let (second, _) = rest.split_at_mut(settings.env_size as usize);
    let loaded = (
        load(disk, places.first, first),
        load(disk, second_lba, second),
    );
    let (writer, recovered) =
        recover::redundant(first, second, loaded).map_err(|broken| PassedOver::BothBad {
            first: (places.first, broken.first),
            second: (second_lba, broken.second),
        })?;
    if let Recovered::OtherCopyBad(copy, error) = recovered {
        warning(format_args!(
            "environment copy at block {}: {error}; the next write repairs it",
            places.lba(copy)
        ));
    }
    Ok(Environment {
        writer,
        places,
        is_repaired: false,
    })
}

fn load(disk: &mut Disk, lba: Lba, bytes: &mut [u8]) -> Result<(), LoadError> {
    let length = Bytes(bytes.len() as u64);
    Extent { lba, length }.check("environment", disk.capacity)?;
    Ok(disk.read(lba, bytes)?)
}

/// Where the copies lie on the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    first: Lba,
    second: Option<Lba>,
}

impl Places {
    fn of(settings: &Settings) -> Self {
        Self {
            first: Lba(settings.env_lba),
            second: settings.env_redundant_lba.map(Lba),
        }
    }

    fn lba(&self, copy: Copy) -> Lba {
        match copy {
            Copy::First => self.first,
            Copy::Second => self.second.unwrap_or(self.first),
        }
    }
}

/// The environment on its disk, to be written.
pub(crate) struct OnDisk<'a> {
    pub(crate) disk: &'a mut Disk,
    pub(crate) places: Places,
}

impl Storage for OnDisk<'_> {
    type Error = DiskError;

    fn write(&mut self, copy: Copy, first: usize, bytes: &[u8]) -> Result<(), DiskError> {
        let lba = Lba(self.places.lba(copy).0 + first as u64);
        trace!("trace: writing block {lba}");
        self.disk.write(lba, bytes)
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.disk.flush()
    }
}
