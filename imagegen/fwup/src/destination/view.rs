// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cell::RefCell;
use std::ops::Range;

use super::device::Device;
use super::error::DeviceError;
use super::storage::Storage;

/// A device that can be written while [views](DeviceView) read other parts of it, for a delta
/// update: its source is one part of the disk, and its result another. All use the same cache.
pub struct SharedDevice<'d, S> {
    device: RefCell<&'d mut Device<S>>,
}

impl<'d, S: Storage> SharedDevice<'d, S> {
    /// Shares a device.
    pub fn new(device: &'d mut Device<S>) -> Self {
        Self {
            device: RefCell::new(device),
        }
    }

    /// Writes data like [`Device::write`].
    ///
    /// # Errors
    ///
    /// When the destination is too small or cannot be written.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.device.borrow_mut().write(offset, data)
    }

    /// Reads data like [`Device::read`].
    ///
    /// # Errors
    ///
    /// I/O errors of the system.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        self.device.borrow_mut().read(offset, out)
    }

    /// Discards contents like [`Device::trim`].
    ///
    /// # Errors
    ///
    /// [`DeviceError::TooFar`].
    pub fn trim(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.device.borrow_mut().trim(offset, length)
    }

    /// Returns the size in bytes like [`Device::capacity`].
    pub fn capacity(&self) -> u64 {
        self.device.borrow().capacity()
    }

    /// Returns a view of these bytes.
    ///
    /// # Errors
    ///
    /// [`DeviceError::BeyondEnd`] and [`DeviceError::TooFar`].
    pub fn view(&self, bytes: Range<u64>) -> Result<DeviceView<'_, 'd, S>, DeviceError> {
        let length = bytes.end.saturating_sub(bytes.start);
        self.device.borrow().check_end(bytes.start, length)?;
        Ok(DeviceView {
            device: self,
            start: bytes.start,
            length,
        })
    }
}

/// A part of a device that can only be read.
pub struct DeviceView<'s, 'd, S> {
    device: &'s SharedDevice<'d, S>,
    start: u64,
    length: u64,
}

impl<S: Storage> DeviceView<'_, '_, S> {
    /// Returns the length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads the bytes from `offset` in the view until `out` is full: the data that was last
    /// written, flushed or not. Bytes past the end of an image are zero.
    ///
    /// # Errors
    ///
    /// [`DeviceError::BeyondEnd`] past the end of the view, and I/O errors of the system.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(DeviceError::BeyondEnd {
                start: offset,
                end: end.unwrap_or(u64::MAX),
                length: self.length,
            });
        }
        self.device
            .device
            .borrow_mut()
            .read(self.start + offset, out)
    }
}
