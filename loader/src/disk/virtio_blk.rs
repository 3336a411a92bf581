// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests to a virtio block device: one at a time, each with a time limit. Rings and transports
//! are the driver crate's, but not the block driver: the crate's own waits forever for a flush, and
//! does not report the device's limits.
//!
//! On entry the transport belongs to a block device. Dropping a device resets it, so that it no
//! longer writes to memory.
//!
//! Source: VIRTIO 1.2, sections 3.1.1 (initialization), 5.2 (block device).

use core::mem::ManuallyDrop;

use little_loader_core::disk::requests::{Limits, LimitsError};
use little_loader_core::disk::time_limit::{self, Seconds};
use little_loader_core::units::{Bytes, Count, Lba};
use thiserror::Error;
use virtio_drivers::PAGE_SIZE;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, SomeTransport, Transport};

use crate::cpu::deadline::Deadline;
use crate::disk::virtio_hal::LoaderHal;
use crate::machine::console::{fatal, warning};
use crate::machine::power;

/// The only queue in use, and its length: a request has at most three descriptors.
const QUEUE: u16 = 0;
const QUEUE_SIZE: usize = 4;

/// Feature bits. SEG_MAX is not needed: a request has one segment of data, which every limit
/// allows.
const SIZE_MAX: u64 = 1 << 1;
const READ_ONLY: u64 = 1 << 5;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const VERSION_1: u64 = 1 << 32;
const KNOWN_FEATURES: u64 = SIZE_MAX | READ_ONLY | BLK_SIZE | FLUSH | VERSION_1;

/// Offsets in the configuration: the two halves of the capacity, then the fields of two features.
const CAPACITY: usize = 0;
const CAPACITY_HIGH: usize = 4;
const SIZE_MAX_FIELD: usize = 8;
const BLK_SIZE_FIELD: usize = 20;
/// The maximum number of attempts to read both halves of the same capacity.
const CAPACITY_READS: u32 = 100;

/// Request types.
const TYPE_READ: u8 = 0;
const TYPE_WRITE: u8 = 1;
const TYPE_FLUSH: u8 = 4;

/// Values of the status byte; `STATUS_NONE` is its value until the device answers.
const STATUS_OK: u8 = 0;
const STATUS_UNSUPPORTED: u8 = 2;
const STATUS_NONE: u8 = 0xff;

/// Why a device cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum SetUpError {
    #[error("cannot be set up: it rejects the driver's features")]
    Features,
    #[error("cannot be set up: its configuration lacks a field")]
    Configuration,
    #[error("cannot be set up: its capacity does not stop changing")]
    ChangingCapacity,
    #[error(
        "cannot be set up: its queue has fewer than {} entries",
        Count::from(QUEUE_SIZE)
    )]
    Queue,
    #[error(transparent)]
    Limits(#[from] LimitsError),
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum RequestError {
    #[error("I/O error")]
    Io,
    #[error("not supported by the device")]
    Unsupported,
    #[error("the device returned a buffer of another request")]
    Confused,
    #[error("no answer for {0}: given up")]
    TimedOut(Seconds),
    #[error("not used after a request without an answer")]
    Gone,
}

/// A request to the device.
pub(super) enum Request<'a> {
    Read(&'a mut [u8]),
    Write(&'a [u8]),
    Flush,
}

impl Request<'_> {
    /// Returns the number of bytes to read or write.
    pub(super) fn length(&self) -> Bytes {
        Bytes(match self {
            Self::Read(bytes) => bytes.len(),
            Self::Write(bytes) => bytes.len(),
            Self::Flush => 0,
        } as u64)
    }

    /// Splits into a request for the first `at` bytes and one for the rest.
    pub(super) fn split(self, at: usize) -> (Self, Self) {
        match self {
            Self::Read(bytes) => {
                let (first, rest) = bytes.split_at_mut(at);
                (Self::Read(first), Self::Read(rest))
            }
            Self::Write(bytes) => {
                let (first, rest) = bytes.split_at(at);
                (Self::Write(first), Self::Write(rest))
            }
            Self::Flush => (Self::Flush, Self::Flush),
        }
    }
}

/// A transport that resets its device when dropped, so that the device cannot write to buffers that
/// are used for something else by then. The driver crate's own reset waits forever.
struct ResetOnDrop(ManuallyDrop<SomeTransport<'static>>);

impl ResetOnDrop {
    /// Resets the device and waits until the reset is complete, after which the device owns no
    /// buffers. If the reset does not complete in time, the boot ends: the device could still write
    /// to memory.
    fn reset(&mut self) {
        self.0.set_status(DeviceStatus::empty());
        let deadline = Deadline::after(time_limit::RESET.0);
        while self.0.get_status() != DeviceStatus::empty() {
            if deadline.has_passed() {
                fatal(format_args!(
                    "the disk does not end its reset within {}, and may still write to memory",
                    time_limit::RESET
                ));
                power::off()
            }
        }
    }
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        match *self.0 {
            // On MMIO the reset is complete with the write, in QEMU and wherever else such
            // transports exist; reading the status back would cost a VM exit.
            SomeTransport::Mmio(_) => self.0.set_status(DeviceStatus::empty()),
            SomeTransport::Pci(_) => self.reset(),
        }
    }
}

/// A block device that is ready for requests. The transport is the first field, so it is dropped
/// first: it resets the device before the memory of the rings is freed.
pub(super) struct VirtioBlk {
    transport: ResetOnDrop,
    queue: VirtQueue<LoaderHal, QUEUE_SIZE>,
    features: u64,
    /// The capacity in blocks of 512 bytes.
    pub(super) capacity: Lba,
    /// The device's limits on requests.
    pub(super) limits: Limits,
    is_gone: bool,
}

impl VirtioBlk {
    /// Initializes the device (VIRTIO 1.2, 3.1.1).
    pub(super) fn new(transport: SomeTransport<'static>) -> Result<Self, SetUpError> {
        let mut guard = ResetOnDrop(ManuallyDrop::new(transport));
        let transport = &mut *guard.0;
        let found = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        transport.set_status(DeviceStatus::empty());
        transport.set_status(found);
        let features = transport.read_device_features() & KNOWN_FEATURES;
        transport.write_driver_features(features);
        // The legacy interface has no FEATURES_OK (VIRTIO 1.2, 3.1.2).
        if !transport.requires_legacy_layout() {
            let agreed = found | DeviceStatus::FEATURES_OK;
            transport.set_status(agreed);
            if !transport.get_status().contains(agreed) {
                return Err(SetUpError::Features);
            }
        }
        transport.set_guest_page_size(PAGE_SIZE as u32);

        let capacity = read_capacity(transport)?;
        let optional = |feature, offset| match features & feature {
            0 => Ok(None),
            _ => read_field(transport, offset).map(Some),
        };
        let limits = Limits::new(
            optional(BLK_SIZE, BLK_SIZE_FIELD)?,
            optional(SIZE_MAX, SIZE_MAX_FIELD)?,
        )?;

        let mut queue =
            VirtQueue::new(transport, QUEUE, false, false).map_err(|_| SetUpError::Queue)?;
        // The driver polls the used ring and needs no interrupts.
        queue.set_dev_notify(false);
        transport.finish_init();
        Ok(Self {
            transport: guard,
            queue,
            features,
            capacity,
            limits,
            is_gone: false,
        })
    }

    /// Whether the device is read-only (VIRTIO_BLK_F_RO).
    pub(super) fn is_read_only(&self) -> bool {
        self.features & READ_ONLY != 0
    }

    /// Whether the device has a write cache that needs a flush (VIRTIO_BLK_F_FLUSH).
    pub(super) fn has_flush(&self) -> bool {
        self.features & FLUSH != 0
    }

    /// Makes a request for the blocks starting at `lba`, 0 for a flush, and waits for the answer.
    pub(super) fn request(&mut self, lba: Lba, request: Request<'_>) -> Result<(), RequestError> {
        let mut header = [0; 16];
        header[0] = match request {
            Request::Read(_) => TYPE_READ,
            Request::Write(_) => TYPE_WRITE,
            Request::Flush => TYPE_FLUSH,
        };
        header[8..].copy_from_slice(&lba.0.to_le_bytes());
        let mut status = [STATUS_NONE];
        let limit = match request {
            Request::Flush => time_limit::flush(self.capacity),
            _ => time_limit::transfer(request.length()),
        };
        match request {
            Request::Read(bytes) => self.ask(&[&header], &mut [bytes, &mut status], limit),
            Request::Write(bytes) => self.ask(&[&header, bytes], &mut [&mut status], limit),
            Request::Flush => self.ask(&[&header], &mut [&mut status], limit),
        }?;
        match status[0] {
            STATUS_OK => Ok(()),
            STATUS_UNSUPPORTED => Err(RequestError::Unsupported),
            _ => Err(RequestError::Io),
        }
    }

    /// Passes buffers to the device and waits until the device returns them. If it does not within
    /// the limit, reclaims them by a reset.
    fn ask<'a>(
        &mut self,
        inputs: &'a [&'a [u8]],
        outputs: &'a mut [&'a mut [u8]],
        limit: Seconds,
    ) -> Result<(), RequestError> {
        if self.is_gone {
            return Err(RequestError::Gone);
        }
        // SAFETY: the buffers are borrowed until this function returns, and it returns only after
        // they have been popped, or after `give_up`: then the device is reset and owns none.
        let token =
            unsafe { self.queue.add(inputs, outputs) }.map_err(|_| RequestError::Confused)?;
        if self.queue.should_notify() {
            self.transport.0.notify(QUEUE);
        }
        let deadline = Deadline::after(limit.0);
        while !self.queue.can_pop() {
            if deadline.has_passed() {
                // QEMU completes a reset only after its own requests to the host, so this may be
                // the last line printed.
                warning(format_args!(
                    "the disk has not answered for {limit} and is reset; if nothing follows, the host's storage hangs"
                ));
                self.give_up();
                return Err(RequestError::TimedOut(limit));
            }
        }
        // SAFETY: the same buffers as above.
        if unsafe { self.queue.pop_used(token, inputs, outputs) }.is_err() {
            self.give_up();
            return Err(RequestError::Confused);
        }
        Ok(())
    }

    /// Resets the device permanently: no request follows.
    fn give_up(&mut self) {
        self.is_gone = true;
        self.transport.reset();
    }
}

/// Reads a field of the configuration.
fn read_field(transport: &SomeTransport<'_>, offset: usize) -> Result<u32, SetUpError> {
    transport
        .read_config_space(offset)
        .map_err(|_| SetUpError::Configuration)
}

/// Reads the capacity. The lower half belongs to the upper one if that is the same before and
/// after: one access less than with the configuration's generation, which the legacy interface
/// lacks.
fn read_capacity(transport: &SomeTransport<'_>) -> Result<Lba, SetUpError> {
    let mut high = read_field(transport, CAPACITY_HIGH)?;
    for _ in 0..CAPACITY_READS {
        let low = read_field(transport, CAPACITY)?;
        let before = high;
        high = read_field(transport, CAPACITY_HIGH)?;
        if high == before {
            return Ok(Lba(u64::from(low) | u64::from(high) << 32));
        }
    }
    Err(SetUpError::ChangingCapacity)
}
