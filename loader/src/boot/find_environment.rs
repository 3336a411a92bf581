// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finds the disk with the environment: the first block device, in the order of QEMU's command line, that holds a valid
//! one.

use little_loader_core::disk::extent::Extent;
use little_loader_core::disk::pci_plan::buses::{Buses, MAX_DISKS};
use little_loader_core::display::{Decimal, Word};
use little_loader_core::env::open::{self, Broken, CopyError};
use little_loader_core::env::place::EnvCopy;
use little_loader_core::env::writer::{Storage, Writer};
use little_loader_core::settings::Settings;
use little_loader_core::tree::machine::{MAX_TRANSPORTS, Machine};
use little_loader_core::units::{Bytes, Count, Lba};
use thiserror::Error;

use crate::boot::fatal::Fatal;
use crate::cpu::mmu;
use crate::disk::pci::PciBus;
use crate::disk::{Disk, DiskError, DiskName};
use crate::machine::console::{fatal, say, trace, warning};
use crate::machine::memory;

/// Why a disk has no environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum PassedOver {
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

/// An environment that was found.
pub(crate) struct Environment {
    /// Its variables, and what is to be written of them.
    pub(crate) writer: Writer<'static>,
    /// Where it lies.
    pub(crate) places: Places,
    /// Whether a torn write was repaired in memory.
    is_repaired: bool,
}

/// How many disks without an environment are told about; more are counted. They are kept on the stack.
const MAX_PASSED_OVER: usize = 32;

/// The search for a disk with an environment.
struct Search<'a> {
    settings: &'a Settings,
    passed_over: [Option<(DiskName, PassedOver)>; MAX_PASSED_OVER],
    count: usize,
}

/// Finds the disk and its environment: behind the MMIO transports first, then on PCI.
///
/// # Errors
///
/// When no block device has a valid environment; what each of them holds is printed.
#[inline(never)]
pub(crate) fn find(machine: &Machine, settings: &Settings) -> Result<(Disk, Environment), Fatal> {
    let mut search = Search {
        settings,
        passed_over: [None; MAX_PASSED_OVER],
        count: 0,
    };
    let transports = &machine.transports;
    for registers in transports.as_slice() {
        if let Some(registers) = mmu::map_device(*registers)
            && let Some((name, disk)) = Disk::open(registers)
            && let Some(found) = search.consider(name, disk)
        {
            return Ok(found);
        }
    }
    if let Some(host) = &machine.pci {
        if let Some(mut pci) = PciBus::open(host) {
            let disks = pci.buses.disks().len();
            for index in 0..disks {
                let function = pci.buses.disks()[index];
                let (name, disk) = Disk::open_pci(&mut pci, function);
                if let Some(found) = search.consider(name, disk) {
                    return Ok(found);
                }
            }
            warn_of_disks_left_out(&pci.buses);
        } else {
            warning(format_args!(
                "PCI was not looked at: its memory at {} and {} cannot be mapped",
                host.configuration, host.window
            ));
        }
    }
    if transports.left_out > 0 {
        warning(format_args!(
            "{} virtio transports beyond the first {} were not looked at",
            Count::from(transports.left_out),
            Count::from(MAX_TRANSPORTS)
        ));
    }
    search.report()
}

/// Reports which places of disks on PCI were not looked at.
fn warn_of_disks_left_out(buses: &Buses) {
    if buses.bridges_left_out > 0 {
        warning(format_args!(
            "what is behind {} PCI bridges was not looked at, for want of bus numbers: attach the disk to the first bus (bus=pcie.0)",
            Count::from(buses.bridges_left_out)
        ));
    }
    if buses.expanders > 0 {
        warning(format_args!(
            "the buses of {} PCI expander bridges (pxb-pcie) were not looked at, since Linux finds them only with ACPI: attach the disk to the first bus (bus=pcie.0)",
            Count::from(buses.expanders)
        ));
    }
    if buses.disks_left_out > 0 {
        warning(format_args!(
            "{} block devices on PCI beyond the first {} were not looked at",
            Count::from(buses.disks_left_out),
            Count::from(MAX_DISKS)
        ));
    }
}

impl Search<'_> {
    /// Looks for an environment on a disk. One without is kept for the report.
    fn consider(
        &mut self,
        name: DiskName,
        disk: Result<Disk, DiskError>,
    ) -> Option<(Disk, Environment)> {
        trace!("trace: block device at {name}");
        let found = disk.map_err(PassedOver::Disk).and_then(|mut disk| {
            read(&mut disk, self.settings).map(|environment| (disk, environment))
        });
        match found {
            Ok((mut disk, mut environment)) => {
                for (name, reason) in self.passed_over.iter().flatten() {
                    say!("passed over {name}: {reason}");
                }
                say!(
                    "environment: {name} block {}, {}",
                    environment.places.lba(environment.writer.current()),
                    Bytes(self.settings.env_size.into())
                );
                environment.write_repaired(&mut disk);
                for (name, value) in environment.writer.env().iter() {
                    trace!("trace: {}={}", name.escape_ascii(), value.escape_ascii());
                }
                Some((disk, environment))
            }
            Err(reason) => {
                if let Some(place) = self.passed_over.get_mut(self.count) {
                    *place = Some((name, reason));
                }
                self.count += 1;
                None
            }
        }
    }

    /// Nothing was found.
    fn report<T>(&self) -> Result<T, Fatal> {
        if self.count == 0 {
            return Err(Fatal::NoDisk);
        }
        for (name, reason) in self.passed_over.iter().flatten() {
            fatal(format_args!("{name}: {reason}"));
        }
        if self.count > MAX_PASSED_OVER {
            let more = Decimal((self.count - MAX_PASSED_OVER) as u64);
            fatal(format_args!("and {more} more"));
        }
        Err(Fatal::NoEnvironment { disks: self.count })
    }
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
#[inline(never)]
fn read(disk: &mut Disk, settings: &Settings) -> Result<Environment, PassedOver> {
    // SAFETY: the linker script reserves this memory for the environment. What an earlier disk had there was dropped when
    // that disk was passed over.
    let buffer = unsafe { memory::environment_buffer() };
    let (first, rest) = buffer.split_at_mut(settings.env_size as usize);
    let places = Places::of(settings);
    let Some(second_lba) = places.second else {
        load(disk, places.first, first)?;
        let opened = open::single(first).map_err(|broken| PassedOver::Bad {
            lba: places.first,
            broken,
        })?;
        return Ok(Environment {
            writer: opened.writer(first, rest),
            places,
            is_repaired: opened.is_repaired(),
        });
    };
    let (second, _) = rest.split_at_mut(settings.env_size as usize);
    let loaded = (
        load(disk, places.first, first),
        load(disk, second_lba, second),
    );
    let (opened, invalid) =
        open::redundant(first, second, loaded).map_err(|broken| PassedOver::BothBad {
            first: (places.first, broken.first),
            second: (second_lba, broken.second),
        })?;
    if let Some((copy, error)) = invalid {
        let then = match error {
            CopyError::Read(DiskError::Outside(_)) => "nothing can be recorded: enlarge the disk",
            _ => "the next write repairs it",
        };
        warning(format_args!(
            "environment copy at block {}: {error}; {}",
            places.lba(copy),
            Word(then)
        ));
    }
    Ok(Environment {
        writer: opened.writer(first, second),
        places,
        is_repaired: false,
    })
}

fn load(disk: &mut Disk, lba: Lba, bytes: &mut [u8]) -> Result<(), DiskError> {
    let length = Bytes(bytes.len() as u64);
    Extent { lba, length }.check("environment", disk.capacity)?;
    disk.read(lba, bytes)
}

/// Where the copies lie on the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    first: Lba,
    second: Option<Lba>,
    /// The length of each.
    length: Bytes,
}

impl Places {
    fn of(settings: &Settings) -> Self {
        Self {
            first: Lba(settings.env_lba),
            second: settings.env_redundant_lba.map(Lba),
            length: Bytes(settings.env_size.into()),
        }
    }

    fn lba(&self, copy: EnvCopy) -> Lba {
        match copy {
            EnvCopy::First => self.first,
            EnvCopy::Second => self.second.unwrap_or(self.first),
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

    fn write(&mut self, copy: EnvCopy, first: usize, bytes: &[u8]) -> Result<(), DiskError> {
        // Of a pair, one copy may lie on the disk and the other one not.
        let (lba, length) = (self.places.lba(copy), self.places.length);
        Extent { lba, length }.check("environment", self.disk.capacity)?;
        let lba = Lba(lba.0 + first as u64);
        trace!("trace: writing block {lba}");
        self.disk.write(lba, bytes)
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.disk.flush()
    }
}
