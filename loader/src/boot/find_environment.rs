// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finds the disk with the environment: the first block device, in the order of QEMU's command
//! line, that has a valid one.

use arrayvec::ArrayVec;
use little_loader_core::disk::pci_plan::buses::Buses;
use little_loader_core::env::open::Opened;
use little_loader_core::settings::Settings;
use little_loader_core::tree::machine::Machine;
use little_loader_core::tree::transports::MAX_TRANSPORTS;
use little_loader_core::units::Count;

use crate::boot::environment::{Buffers, Environment, NoEnvironment};
use crate::boot::fatal::Fatal;
use crate::cpu::mmu;
use crate::disk::pci::PciBus;
use crate::disk::{Disk, DiskError, DiskName};
use crate::machine::console::{fatal, say, trace, warning};

/// The maximum number of disks without an environment that are listed, since the list is on the
/// stack. Further ones are only counted.
const MAX_PASSED_OVER: usize = 32;

/// The search for a disk with an environment.
struct Search {
    buffers: Buffers,
    passed_over: ArrayVec<(DiskName, NoEnvironment), MAX_PASSED_OVER>,
    /// The number of disks without an environment beyond those in the list.
    not_listed: usize,
}

/// A disk with an environment.
struct Found {
    name: DiskName,
    disk: Disk,
    opened: Opened,
}

/// Finds the disk and its environment.
///
/// # Errors
///
/// When no block device has a valid environment; the reason for each is printed.
#[inline(never)]
pub(crate) fn find(machine: &Machine, settings: &Settings) -> Result<(Disk, Environment), Fatal> {
    let mut search = Search {
        buffers: Buffers::take(settings.env),
        passed_over: ArrayVec::new(),
        not_listed: 0,
    };
    let Some(Found {
        name,
        mut disk,
        opened,
    }) = search.run(machine)
    else {
        return Err(search.report());
    };
    for (name, reason) in &search.passed_over {
        say!("passed over {name}: {reason}");
    }
    let mut environment = search.buffers.into_environment(name, &opened);
    trace!(
        "trace: environment: {name} block {}, {}",
        environment.lba(),
        environment.place.size
    );
    if opened.is_repaired() {
        environment.write_repaired(&mut disk);
    }
    for (name, value) in environment.writer.env().iter() {
        trace!("trace: {}={}", name.escape_ascii(), value.escape_ascii());
    }
    Ok((disk, environment))
}

impl Search {
    /// Searches the disks on MMIO transports first, then those on PCI.
    fn run(&mut self, machine: &Machine) -> Option<Found> {
        let transports = &machine.transports;
        for registers in transports.as_slice() {
            if let Some(registers) = mmu::map_device(*registers)
                && let Some((name, disk)) = Disk::open(registers)
                && let Some(found) = self.consider(name, disk)
            {
                return Some(found);
            }
        }
        if let Some(host) = &machine.pci {
            if let Some(mut pci) = PciBus::open(host) {
                while let Some(function) = pci.next_disk() {
                    let (name, disk) = Disk::open_pci(&mut pci, function);
                    if let Some(found) = self.consider(name, disk) {
                        return Some(found);
                    }
                }
                warn_of_disks_left_out(&pci.buses);
            } else {
                warning(format_args!(
                    "PCI was not searched: its memory at {} and {} cannot be mapped",
                    host.configuration, host.window
                ));
            }
        }
        if transports.left_out > 0 {
            warning(format_args!(
                "{} virtio transports beyond the first {} were not searched",
                Count::from(transports.left_out),
                Count::from(MAX_TRANSPORTS)
            ));
        }
        None
    }

    /// Looks for an environment on a disk. A disk without one is recorded for the report.
    fn consider(&mut self, name: DiskName, disk: Result<Disk, DiskError>) -> Option<Found> {
        trace!("trace: block device at {name}");
        let opened = disk
            .map_err(NoEnvironment::Disk)
            .and_then(|mut disk| Ok((self.buffers.open(&mut disk)?, disk)));
        match opened {
            Ok((opened, disk)) => Some(Found { name, disk, opened }),
            Err(reason) => {
                if self.passed_over.try_push((name, reason)).is_err() {
                    self.not_listed += 1;
                }
                None
            }
        }
    }

    /// Prints why each disk was passed over, and returns the error that stops the boot.
    fn report(&self) -> Fatal {
        for (name, reason) in &self.passed_over {
            fatal(format_args!("{name}: {reason}"));
        }
        if self.not_listed > 0 {
            fatal(format_args!("and {} more", Count::from(self.not_listed)));
        }
        match self.passed_over.len() + self.not_listed {
            0 => Fatal::NoDisk,
            disks => Fatal::NoEnvironment {
                disks: disks.into(),
            },
        }
    }
}

/// Warns of the disks on PCI that were not searched.
fn warn_of_disks_left_out(buses: &Buses) {
    if buses.bridges_left_out > 0 {
        warning(format_args!(
            "the buses of {} PCI bridges were not searched because no bus numbers are left: attach the disk to the first bus (bus=pcie.0)",
            Count::from(buses.bridges_left_out)
        ));
    }
    if buses.expanders > 0 {
        warning(format_args!(
            "the buses of {} PCI expander bridges (pxb-pcie) were not searched, since Linux finds them only with ACPI: attach the disk to the first bus (bus=pcie.0)",
            Count::from(buses.expanders)
        ));
    }
}
