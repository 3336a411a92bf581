// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finds the disk with the environment: the first block device, in the order of QEMU's command line, that holds a valid
//! one.

use little_loader::dtb::{MAX_TRANSPORTS, Transports};
use little_loader::env::{Copy, Env, EnvError, Format, newer_copy};
use little_loader::settings::Settings;
use little_loader::slot::{Extent, ExtentError};
use little_loader::units::{Bytes, Lba};
use thiserror::Error;

use crate::console::{say, trace};
use crate::disk::{Disk, DiskError};
use crate::fatal::Fatal;
use crate::memory;

/// Why a disk has no environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum PassedOver {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    TooSmall(#[from] ExtentError),
    #[error("environment at block {lba}: {error}")]
    Bad { lba: Lba, error: EnvError },
    #[error("environment at block {}: {}; copy at block {}: {}", .first.0, .first.1, .second.0, .second.1)]
    BothBad {
        first: (Lba, EnvError),
        second: (Lba, EnvError),
    },
}

/// Finds the disk and its environment.
///
/// # Errors
///
/// When no block device has a valid environment; what each of them holds is printed.
pub(crate) fn find(
    transports: &Transports,
    settings: &Settings,
) -> Result<(Disk, Env<'static>), Fatal> {
    let mut passed_over = [None; MAX_TRANSPORTS];
    let mut count = 0;
    for registers in transports.as_slice() {
        let Some((name, disk)) = Disk::open(*registers) else {
            continue;
        };
        trace!("trace: block device at {name}");
        let found = disk.map_err(PassedOver::from).and_then(|mut disk| {
            let (env, lba) = read(&mut disk, settings)?;
            Ok((disk, env, lba))
        });
        match found {
            Ok((disk, env, lba)) => {
                for (name, reason) in passed_over.iter().flatten() {
                    say!("passed over {name}: {reason}");
                }
                say!(
                    "environment: {name} block {lba}, {}",
                    Bytes(settings.env_size.into())
                );
                for (name, value) in env.iter() {
                    trace!("trace: {}={}", name.escape_ascii(), value.escape_ascii());
                }
                return Ok((disk, env));
            }
            Err(reason) => {
                passed_over[count] = Some((name, reason));
                count += 1;
            }
        }
    }
    if transports.left_out > 0 {
        crate::console::warning(format_args!(
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

/// Reads and checks the environment of a disk; returns it with the block it starts at.
fn read(disk: &mut Disk, settings: &Settings) -> Result<(Env<'static>, Lba), PassedOver> {
    // SAFETY: the linker script reserves this memory for the environment. An `Env` of an earlier disk was dropped when
    // that disk was passed over.
    let buffer = unsafe { memory::bytes(memory::environment()) };
    let size = settings.env_size as usize;
    let length = Bytes(settings.env_size.into());
    let (first, rest) = buffer.split_at_mut(size);
    let first_lba = Lba(settings.env_lba);
    let Some(second_lba) = settings.env_redundant_lba.map(Lba) else {
        load(disk, first_lba, length, first)?;
        let env = Env::parse(first, Format::Single).map_err(|error| PassedOver::Bad {
            lba: first_lba,
            error,
        })?;
        trace!("trace: environment of {} bytes used, CRC right", env.used());
        return Ok((env, first_lba));
    };
    let (second, _) = rest.split_at_mut(size);
    load(disk, first_lba, length, first)?;
    load(disk, second_lba, length, second)?;
    let parsed = (
        Env::parse(first, Format::Redundant),
        Env::parse(second, Format::Redundant),
    );
    for (lba, copy) in [(first_lba, &parsed.0), (second_lba, &parsed.1)] {
        match copy {
            Ok(env) => trace!("trace: copy at block {lba} valid, flags {:?}", env.flags()),
            Err(error) => trace!("trace: copy at block {lba}: {error}"),
        }
    }
    newer_copy(parsed.0, parsed.1)
        .map(|(env, copy)| match copy {
            Copy::First => (env, first_lba),
            Copy::Second => (env, second_lba),
        })
        .map_err(|(first, second)| PassedOver::BothBad {
            first: (first_lba, first),
            second: (second_lba, second),
        })
}

fn load(disk: &mut Disk, lba: Lba, length: Bytes, bytes: &mut [u8]) -> Result<(), PassedOver> {
    Extent { lba, length }.check("environment", disk.capacity)?;
    Ok(disk.read(lba, bytes)?)
}
