// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk: a virtio block device on an MMIO transport, legacy or modern, or on PCI.
//!
//! On entry the devices are in QEMU's reset state. Dropping a disk resets it, so that it no longer
//! writes to memory.
//!
//! Source: Virtual I/O Device (VIRTIO) 1.2, sections 4.1 (PCI), 4.2 (MMIO) and 5.2 (block device).

use core::fmt;

use little_loader_core::disk::extent::{Extent, ExtentError};
use little_loader_core::disk::pci_plan::configuration::PciFunction;
use little_loader_core::disk::requests::{LARGEST_BLOCK, Piece};
use little_loader_core::disk::time_limit::Seconds;
use little_loader_core::display::bare_hex;
use little_loader_core::units::{BLOCK_SIZE, Bytes, Count, Lba, Region};
use thiserror::Error;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, SomeTransport};

use crate::cpu::mmu::DeviceMemory;
use crate::disk::pci::{PciBus, PciError};
use crate::disk::virtio_blk::{Request, RequestError, SetUpError, VirtioBlk};

/// The offsets of the device's type and configuration in the window of an MMIO transport, in bytes
/// (VIRTIO 1.2, 4.2.2).
const MMIO_DEVICE_ID: Bytes = Bytes(8);
const MMIO_CONFIGURATION: Bytes = Bytes(0x100);

/// Why a disk cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum DiskError {
    #[error("not a virtio device that can be driven: unsupported version or registers")]
    Transport,
    #[error(transparent)]
    Pci(#[from] PciError),
    #[error(transparent)]
    SetUp(#[from] SetUpError),
    #[error(transparent)]
    Outside(#[from] ExtentError),
    #[error("read error at block {lba} ({blocks} blocks): {error}")]
    Read {
        lba: Lba,
        blocks: Count,
        error: RequestError,
    },
    #[error("write error at block {lba} ({blocks} blocks): {error}")]
    Write {
        lba: Lba,
        blocks: Count,
        error: RequestError,
    },
    /// Completed writes may not be on stable storage.
    #[error("flush error: {0}")]
    Flush(RequestError),
    #[error("the disk is read-only")]
    ReadOnly,
    #[error("no answer for {limit} from block {lba} ({blocks} blocks): given up")]
    TimedOut {
        lba: Lba,
        blocks: Count,
        limit: Seconds,
    },
    /// An earlier request timed out.
    #[error("{}", RequestError::Gone)]
    Gone,
}

/// The attachment of a disk, which is its name in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskName {
    Mmio(Region),
    Pci(PciFunction),
}

impl fmt::Display for DiskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mmio(registers) => {
                f.write_str("mmio@")?;
                bare_hex(f, registers.start().0, 1)
            }
            Self::Pci(function) => write!(f, "pci@{function}"),
        }
    }
}

/// A disk that can be read and written.
pub(crate) struct Disk {
    /// The capacity in blocks of 512 bytes.
    pub(crate) capacity: Lba,
    device: VirtioBlk,
}

impl Disk {
    /// Opens the block device on an MMIO transport; `None` when there is no device or it is not a
    /// block device.
    pub(crate) fn open(registers: DeviceMemory) -> Option<(DiskName, Result<Self, DiskError>)> {
        // The device tree says that this is a transport. Most are empty, and this one read, instead
        // of the driver's two, shows that: under a hypervisor each is an exit.
        if registers.read(MMIO_DEVICE_ID)? != DeviceType::Block as u32 {
            return None;
        }
        let name = DiskName::Mmio(registers.region());
        let (header, configuration) = registers.split_at(MMIO_CONFIGURATION)?;
        let (header, configuration) = (header.registers()?, configuration.slice()?);
        let disk = MmioTransport::new_from_unique(header, configuration)
            .map_err(|_| DiskError::Transport)
            .and_then(|transport| Self::set_up(transport.into()));
        Some((name, disk))
    }

    /// Opens a block device on PCI.
    pub(crate) fn open_pci(
        bus: &mut PciBus,
        function: PciFunction,
    ) -> (DiskName, Result<Self, DiskError>) {
        let disk = bus
            .transport(function)
            .map_err(DiskError::Pci)
            .and_then(|transport| Self::set_up(transport.into()));
        (DiskName::Pci(function), disk)
    }

    fn set_up(transport: SomeTransport<'static>) -> Result<Self, DiskError> {
        let device = VirtioBlk::new(transport)?;
        Ok(Self {
            capacity: device.capacity,
            device,
        })
    }

    /// Reads whole blocks, starting at `lba`, into memory.
    pub(crate) fn read(&mut self, lba: Lba, bytes: &mut [u8]) -> Result<(), DiskError> {
        self.transfer(lba, Request::Read(bytes))
    }

    /// Writes whole blocks, starting at `lba`. If they cover only a part of one of the disk's
    /// blocks, the rest of that block is read first and written back unchanged: a power cut can
    /// tear the disk's block, but the bytes outside the write keep their values.
    pub(crate) fn write(&mut self, lba: Lba, bytes: &[u8]) -> Result<(), DiskError> {
        if self.device.is_read_only() {
            return Err(DiskError::ReadOnly);
        }
        self.transfer(lba, Request::Write(bytes))
    }

    /// Waits until all completed writes are on stable storage.
    pub(crate) fn flush(&mut self) -> Result<(), DiskError> {
        if !self.device.has_flush() {
            return Ok(());
        }
        self.device
            .request(Lba(0), Request::Flush)
            .map_err(DiskError::Flush)
    }

    /// Checks that a transfer is within the disk, and makes its requests.
    #[inline(never)]
    fn transfer(&mut self, mut lba: Lba, mut request: Request<'_>) -> Result<(), DiskError> {
        let is_write = matches!(request, Request::Write(_));
        let length = request.length();
        let what = if is_write { "write" } else { "read" };
        Extent { lba, length }.check(what, self.capacity)?;
        let mut left = length.blocks();
        while left > 0 {
            let piece = self.device.limits.first(lba, left);
            let blocks = piece.blocks();
            let (now, later) = request.split((blocks * BLOCK_SIZE) as usize);
            match piece {
                Piece::Whole { .. } => self.device.request(lba, now),
                Piece::Part { start, skip, .. } => self.part(start, skip, now),
            }
            .map_err(|error| match error {
                RequestError::TimedOut(limit) => DiskError::TimedOut {
                    lba,
                    blocks: Count(blocks),
                    limit,
                },
                RequestError::Gone => DiskError::Gone,
                error if is_write => DiskError::Write {
                    lba,
                    blocks: Count(blocks),
                    error,
                },
                error => DiskError::Read {
                    lba,
                    blocks: Count(blocks),
                    error,
                },
            })?;
            left -= blocks;
            lba = Lba(lba.0 + blocks);
            request = later;
        }
        Ok(())
    }

    /// Reads or writes a part of the disk's block at `start`.
    #[inline(never)]
    fn part(&mut self, start: Lba, skip: u64, request: Request<'_>) -> Result<(), RequestError> {
        let mut whole = [0; LARGEST_BLOCK];
        let whole = &mut whole[..self.device.limits.block_size()];
        self.device.request(start, Request::Read(whole))?;
        let part = &mut whole[(skip * BLOCK_SIZE) as usize..][..request.length().0 as usize];
        match request {
            Request::Read(bytes) => bytes.copy_from_slice(part),
            Request::Write(bytes) => {
                part.copy_from_slice(bytes);
                self.device.request(start, Request::Write(whole))?;
            }
            Request::Flush => {}
        }
        Ok(())
    }
}
