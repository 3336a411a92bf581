// SPDX-License-Identifier: MIT OR Apache-2.0

//! The actions that write a resource: opens the source of its data and the sink of the action, and
//! copies from one to the other.

use std::io::Read;

use fat_volume::Session;
use little_loader_core::units::BLOCK_SIZE;

use super::delta::{DeltaData, OpenSource, source_of};
use super::error::{ApplyError, FatActionError, ResourceDataError};
use super::execution::Execution;
use super::fat_device::{FatDevice, volume_start};
use super::fat_file::FatFile;
use super::outside::{self, OutsideError};
use super::raw_target::RawTarget;
use super::resource_copy::{ResourceCopy, ResourceEntry, ResourceSink};
use crate::destination::storage::Storage;
use crate::destination::view::SharedDevice;
use crate::firmware::action::Action;
use crate::firmware::delta_source::DeltaSource;
use crate::firmware::fat_action::{FatAction, FatPath, is_same_path};
use crate::firmware::model::{Handler, Resource};

/// The number of bytes that a delta may have beyond twice the length of its result. A longer one
/// could only take time.
const MOST_OVERHEAD: u64 = 1 << 20;

/// Returns the source if an entry with so many bytes of data is a delta: it may be one by its
/// length, and the configuration names a source.
fn delta_source<'h>(
    size: Option<u64>,
    resource: &Resource,
    handler: &'h Handler,
) -> Result<Option<DeltaSource<'h>>, ApplyError> {
    let most = resource.data_length().saturating_mul(2);
    let most = most.saturating_add(MOST_OVERHEAD);
    match size {
        Some(size) if size <= most && resource.may_be_delta(size) => source_of(handler),
        _ => Ok(None),
    }
}

impl<'a, S: Storage> Execution<'a, '_, S> {
    /// Runs an action that writes a resource.
    pub(super) fn write_resource<R: Read + Send>(
        &mut self,
        entry: &mut ResourceEntry<'_, R>,
        action: &Action<'a>,
    ) -> Result<(), ApplyError> {
        match action {
            Action::Unsafe(action) => self.before_outside(action.name())?,
            _ => self.before_data()?,
        }
        let (resource, handler) = (entry.resource, entry.handler);
        let length: u64 = resource.length.iter().sum();
        if let Action::RawWrite { offset, .. } = action {
            self.fat.forget(*offset..offset.saturating_add(length));
        }
        let device = SharedDevice::new(self.device);
        let parsed = delta_source(entry.size, resource, handler)?;
        if let Some(source) = &parsed
            && is_overwritten(source, action)
        {
            return Err(ResourceDataError::OverwritesSource(resource.name.clone()).into());
        }
        let source = match &parsed {
            Some(source) => Some(open(source, resource, &device, &mut self.fat)?),
            None => None,
        };
        let (progress, hashing) = (&mut self.progress, &mut self.hashing);
        let may_print = progress.observer.shares_stdout();
        let (archive, mut source) = (&mut *entry.archive, source);
        let mut copy = |sink: &mut dyn ResourceSink| {
            let copy = ResourceCopy {
                progress: &mut *progress,
                hashing: &mut *hashing,
            };
            match source.take() {
                Some(source) => {
                    let mut data = DeltaData::new(&resource.name, &mut *archive, source);
                    copy.run(resource, &mut data, sink)
                }
                None => copy.run_ahead(resource, &mut *archive, sink),
            }
        };
        match action {
            Action::RawWrite { offset, cipher } => {
                copy(&mut RawTarget::new(&device, *offset, cipher.as_ref()))
            }
            Action::Fat(FatAction::Write(FatPath { volume, path })) => {
                let mut disk = FatDevice(&device);
                let writer = volume_start(*volume)
                    .and_then(|start| self.fat.write(&mut disk, start, path))
                    .map_err(|error| FatActionError::new("fat_write", path, error))?;
                copy(&mut FatFile::new(path, writer))
            }
            Action::Unsafe(action) => outside::write(*action, length, may_print, &mut copy),
            _ => Ok(()),
        }
    }

    /// Checks that the user allows an action outside the destination. Programs may read the
    /// destination, so everything is written to it first.
    pub(super) fn before_outside(&mut self, action: &'static str) -> Result<(), ApplyError> {
        if !self.is_unsafe {
            return Err(OutsideError::Refused(action).into());
        }
        self.before_data()?;
        Ok(self.device.finish()?)
    }
}

/// Whether an action writes to the file that is the source of its own delta, which would be lost
/// before all of it has been read. A part of the disk may be updated in place, as in fwup.
fn is_overwritten(source: &DeltaSource<'_>, action: &Action<'_>) -> bool {
    match (source, action) {
        (DeltaSource::File(file), Action::Fat(FatAction::Write(target))) => {
            file.volume == target.volume && is_same_path(file.path, target.path)
        }
        _ => false,
    }
}

/// Opens the source of a delta.
fn open<'s, 'd, S: Storage>(
    source: &'s DeltaSource<'_>,
    resource: &Resource,
    device: &'s SharedDevice<'d, S>,
    session: &mut Session,
) -> Result<OpenSource<'s, 'd, S>, ApplyError> {
    match source {
        DeltaSource::Raw {
            offset,
            length,
            cipher,
        } => {
            let end = match length {
                Some(length) => offset.saturating_add(*length),
                // Whole blocks, which can be decrypted.
                None => (device.capacity() / BLOCK_SIZE * BLOCK_SIZE).max(*offset),
            };
            Ok(OpenSource::Raw {
                view: device.view(*offset..end)?,
                cipher: cipher.as_deref(),
            })
        }
        DeltaSource::File(FatPath { volume, path }) => volume_start(*volume)
            .and_then(|start| session.open(&mut FatDevice(device), start, path))
            .map(|map| OpenSource::File { device, map })
            .map_err(|error| ApplyError::DeltaSource {
                resource: resource.name.clone(),
                error: std::io::Error::other(error),
            }),
    }
}
