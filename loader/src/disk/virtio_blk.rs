// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests to a virtio block device: one at a time, each with a time limit. Rings and transports are the driver crate's; its
//! own block driver has a flush without an end, and does not tell what limits the device sets.
//!
//! On entry the transport belongs to a block device. A device that is dropped is reset, so that it writes nowhere afterwards.
//!
//! Source: VIRTIO 1.2, sections 3.1.1 (initialization), 5.2 (block device).

use little_loader_core::disk::requests::{Limits, LimitsError};
use little_loader_core::display::Decimal;
use little_loader_core::units::{Bytes, Lba};
use thiserror::Error;
use virtio_drivers::PAGE_SIZE;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, SomeTransport, Transport};

use crate::cpu::deadline::Deadline;
use crate::disk::virtio_hal::LoaderHal;
use crate::machine::console::warning;

/// After how many seconds a request is given up.
pub(crate) const TIMEOUT_SECONDS: u64 = 30;

/// The only queue that is used, and its length: a request has at most three descriptors.
const QUEUE: u16 = 0;
const QUEUE_SIZE: usize = 4;

/// Feature bits. SEG_MAX is not among them: a request has one segment of data, which every limit allows.
const SIZE_MAX: u64 = 1 << 1;
const READ_ONLY: u64 = 1 << 5;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const VERSION_1: u64 = 1 << 32;
const KNOWN_FEATURES: u64 = SIZE_MAX | READ_ONLY | BLK_SIZE | FLUSH | VERSION_1;

/// Offsets of the configuration: the capacity's two halves, then what two of the features announce.
const CAPACITY: usize = 0;
const CAPACITY_HIGH: usize = 4;
const SIZE_MAX_FIELD: usize = 8;
const BLK_SIZE_FIELD: usize = 20;

/// Types of requests.
const TYPE_READ: u8 = 0;
const TYPE_WRITE: u8 = 1;
const TYPE_FLUSH: u8 = 4;

/// Answers.
const STATUS_OK: u8 = 0;
const STATUS_UNSUPPORTED: u8 = 2;
const STATUS_NONE: u8 = 0xff;

/// Why a device cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum SetUpError {
    #[error("cannot be set up: it does not take the driver's features")]
    Features,
    #[error("cannot be set up: its configuration lacks a field")]
    Configuration,
    #[error("cannot be set up: it takes no queue of {} requests", Decimal(QUEUE_SIZE as u64))]
    Queue,
    #[error(transparent)]
    Limits(#[from] LimitsError),
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum RequestError {
    /// The device says so.
    #[error("I/O error")]
    Io,
    #[error("not supported by the device")]
    Unsupported,
    /// What came back is no answer to the request.
    #[error("the device answered what was not asked")]
    Confused,
    #[error("no answer for {} s: given up", Decimal(TIMEOUT_SECONDS))]
    TimedOut,
    /// It was given up before.
    #[error("given up before, since it did not answer")]
    Gone,
}

/// What is asked of the device.
pub(crate) enum Request<'a> {
    Read(&'a mut [u8]),
    Write(&'a [u8]),
    Flush,
}

impl Request<'_> {
    /// The bytes that are read or written.
    pub(crate) fn length(&self) -> Bytes {
        Bytes(match self {
            Self::Read(bytes) => bytes.len(),
            Self::Write(bytes) => bytes.len(),
            Self::Flush => 0,
        } as u64)
    }

    /// The same for the first bytes, and for the rest.
    pub(crate) fn split(self, at: usize) -> (Self, Self) {
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

/// A block device that takes requests. The transport comes first: dropped first, it resets the device before the rings'
/// memory is given back.
pub(crate) struct Device {
    transport: SomeTransport<'static>,
    queue: VirtQueue<LoaderHal, QUEUE_SIZE>,
    features: u64,
    /// How many blocks of 512 bytes it has.
    pub(crate) capacity: Lba,
    /// What it asks of requests.
    pub(crate) limits: Limits,
    is_gone: bool,
}

impl Device {
    /// Sets the device up.
    pub(crate) fn new(mut transport: SomeTransport<'static>) -> Result<Self, SetUpError> {
        let found = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        transport.set_status(DeviceStatus::empty());
        transport.set_status(found);
        let features = transport.read_device_features() & KNOWN_FEATURES;
        transport.write_driver_features(features);
        let agreed = found | DeviceStatus::FEATURES_OK;
        transport.set_status(agreed);
        let is_legacy = transport.requires_legacy_layout();
        if !is_legacy && !transport.get_status().contains(agreed) {
            return Err(SetUpError::Features);
        }
        transport.set_guest_page_size(PAGE_SIZE as u32);

        let field = |offset| transport.read_config_space::<u32>(offset);
        let capacity = || Ok(u64::from(field(CAPACITY)?) | u64::from(field(CAPACITY_HIGH)?) << 32);
        // The legacy interface has no generation of the configuration.
        let capacity = if is_legacy {
            capacity()
        } else {
            transport.read_consistent(capacity)
        }
        .map_err(|_| SetUpError::Configuration)?;
        let optional = |feature, offset| match features & feature {
            0 => Ok(None),
            _ => field(offset)
                .map(Some)
                .map_err(|_| SetUpError::Configuration),
        };
        let limits = Limits::new(
            optional(BLK_SIZE, BLK_SIZE_FIELD)?,
            optional(SIZE_MAX, SIZE_MAX_FIELD)?,
        )?;

        let mut queue =
            VirtQueue::new(&mut transport, QUEUE, false, false).map_err(|_| SetUpError::Queue)?;
        // The answer is waited for in memory.
        queue.set_dev_notify(false);
        transport.finish_init();
        Ok(Self {
            transport,
            queue,
            features,
            capacity: Lba(capacity),
            limits,
            is_gone: false,
        })
    }

    /// Whether it takes no writes.
    pub(crate) fn is_read_only(&self) -> bool {
        self.features & READ_ONLY != 0
    }

    /// Whether what was written may still be in a cache until it is flushed.
    pub(crate) fn has_flush(&self) -> bool {
        self.features & FLUSH != 0
    }

    /// Makes a request for the blocks from `lba` on, 0 for a flush, and waits for the answer.
    pub(crate) fn request(&mut self, lba: Lba, request: Request<'_>) -> Result<(), RequestError> {
        let mut header = [0; 16];
        header[0] = match request {
            Request::Read(_) => TYPE_READ,
            Request::Write(_) => TYPE_WRITE,
            Request::Flush => TYPE_FLUSH,
        };
        header[8..].copy_from_slice(&lba.0.to_le_bytes());
        let mut status = [STATUS_NONE];
        match request {
            Request::Read(bytes) => self.ask(&[&header], &mut [bytes, &mut status]),
            Request::Write(bytes) => self.ask(&[&header, bytes], &mut [&mut status]),
            Request::Flush => self.ask(&[&header], &mut [&mut status]),
        }?;
        match status[0] {
            STATUS_OK => Ok(()),
            STATUS_UNSUPPORTED => Err(RequestError::Unsupported),
            _ => Err(RequestError::Io),
        }
    }

    /// Hands buffers to the device and waits until it gives them back, or takes them back by a reset.
    fn ask<'a>(
        &mut self,
        inputs: &'a [&'a [u8]],
        outputs: &'a mut [&'a mut [u8]],
    ) -> Result<(), RequestError> {
        if self.is_gone {
            return Err(RequestError::Gone);
        }
        // SAFETY: the buffers are borrowed until this function returns, and it returns when they have been popped or the
        // device has been reset.
        let token =
            unsafe { self.queue.add(inputs, outputs) }.map_err(|_| RequestError::Confused)?;
        if self.queue.should_notify() {
            self.transport.notify(QUEUE);
        }
        let deadline = Deadline::after(TIMEOUT_SECONDS);
        while !self.queue.can_pop() {
            if deadline.has_passed() {
                // QEMU ends a reset only when its own requests to the host are over, so this may be the last line.
                warning(format_args!(
                    "the disk has not answered for {} s and is reset; if nothing follows, the host's storage hangs",
                    Decimal(TIMEOUT_SECONDS)
                ));
                self.give_up();
                return Err(RequestError::TimedOut);
            }
        }
        // SAFETY: the same buffers as above.
        if unsafe { self.queue.pop_used(token, inputs, outputs) }.is_err() {
            self.give_up();
            return Err(RequestError::Confused);
        }
        Ok(())
    }

    /// Resets the device, so that it no longer owns any buffer.
    fn give_up(&mut self) {
        self.is_gone = true;
        self.transport.set_status(DeviceStatus::empty());
        while self.transport.get_status() != DeviceStatus::empty() {}
    }
}
