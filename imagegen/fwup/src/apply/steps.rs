// SPDX-License-Identifier: MIT OR Apache-2.0

//! A task's actions, all checked before the first one runs: an error that can be found in advance
//! must not stop a task midway.

use little_loader_core::env::place::EnvCopy;
use little_loader_core::units::BLOCK_SIZE;

use super::boot_records::{BootRecord, boot_records};
use super::delta::source_of;
use super::error::{ApplyError, ResourceDataError};
use super::gpt_tables::gpt_tables;
use super::outside::OutsideError;
use crate::destination::device::Device;
use crate::destination::storage::Storage;
use crate::firmware::action::Action;
use crate::firmware::call::CallError;
use crate::firmware::env_section::EnvSection;
use crate::firmware::fat_action::FatAction;
use crate::firmware::mbr::Mbr;
use crate::firmware::model::{Call, Firmware, Handler, Resource, Stage, Task};

pub(super) struct Steps<'a> {
    pub(super) on_init: Vec<Action<'a>>,
    pub(super) on_resource: Vec<(&'a Handler, Vec<Action<'a>>)>,
    pub(super) on_finish: Vec<Action<'a>>,
    pub(super) on_error: Vec<Action<'a>>,
}

impl<'a> Steps<'a> {
    pub(super) fn parse(task: &'a Task, firmware: &'a Firmware) -> Result<Self, CallError> {
        // At this stage all variables are resolved, so each call is an action.
        let actions = |calls: &'a [Call], within| {
            calls
                .iter()
                .filter_map(|call| Action::parse(call, within, firmware, Stage::Apply).transpose())
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            on_init: actions(&task.on_init, "on-init")?,
            on_resource: task
                .on_resource
                .iter()
                .map(|handler| Ok((handler, actions(&handler.actions, "on-resource")?)))
                .collect::<Result<_, CallError>>()?,
            on_finish: actions(&task.on_finish, "on-finish")?,
            on_error: actions(&task.on_error, "on-error")?,
        })
    }

    /// Checks the resources, and that all writes are within the destination, which has `blocks`
    /// blocks.
    ///
    /// # Errors
    ///
    /// Those that the actions would otherwise return midway.
    pub(super) fn check<S: Storage>(
        &self,
        firmware: &Firmware,
        device: &Device<S>,
        blocks: u64,
    ) -> Result<(), ApplyError> {
        let mut actions: Vec<_> = [&self.on_init, &self.on_finish, &self.on_error]
            .into_iter()
            .flatten()
            .map(|action| (action, 0))
            .collect();
        self.check_unsafe(firmware)?;
        for (handler, on_resource) in &self.on_resource {
            let length = check_resource(handler, on_resource, firmware)?;
            source_of(handler)?;
            actions.extend(on_resource.iter().map(|action| (action, length)));
        }
        for (action, length) in actions {
            match action {
                Action::RawWrite { offset, .. } => device.check_end(*offset, length)?,
                Action::RawMemset { offset, length, .. } if *length > 0 => {
                    device.check_end(*offset, *length)?;
                }
                Action::MbrWrite(mbr) => {
                    for (block, bytes) in records(mbr, blocks)? {
                        device.check_end(block * BLOCK_SIZE, bytes.len() as u64)?;
                    }
                }
                Action::GptWrite(gpt) => {
                    // Places that only the device knows were not checked when the archive was made.
                    gpt.check_overlaps()
                        .map_err(|what| ApplyError::PartitionTable {
                            kind: "gpt",
                            title: gpt.title.to_owned(),
                            what,
                        })?;
                    for (offset, bytes) in gpt_tables(gpt, blocks).parts() {
                        device.check_end(offset, bytes.len() as u64)?;
                    }
                }
                Action::ClearEnvironment(section) | Action::RecoverEnvironment(section) => {
                    check_environment(*section, device)?;
                }
                Action::SetVariable { environment, .. } => {
                    check_environment(*environment, device)?;
                }
                // These write nothing. A trim may extend past the end.
                Action::RawMemset { .. }
                | Action::Trim { .. }
                | Action::Error(_)
                | Action::Info(_)
                | Action::RebootParameter(_)
                | Action::Unsafe(_) => {}
                Action::Fat(action) => check_fat(action, device)?,
            }
        }
        Ok(())
    }

    /// Checks that the user allows the unsafe actions. Those of on-error may never run.
    fn check_unsafe(&self, firmware: &Firmware) -> Result<(), OutsideError> {
        let of_resources = self.on_resource.iter().flat_map(|(_, actions)| actions);
        let mut actions = self
            .on_init
            .iter()
            .chain(of_resources)
            .chain(&self.on_finish);
        let refused = actions.find_map(|action| match action {
            Action::Unsafe(action) => Some(action.name()),
            _ => None,
        });
        match refused {
            Some(name) if !firmware.is_unsafe => Err(OutsideError::Refused(name)),
            _ => Ok(()),
        }
    }

    /// Returns the total number of progress units.
    pub(super) fn units(&self, firmware: &Firmware) -> u64 {
        let sum = |actions: &[Action<'_>], data| {
            actions
                .iter()
                .map(|action| action.units(data))
                .fold(0, u64::saturating_add)
        };
        let resources = self.on_resource.iter().map(|(handler, actions)| {
            let data = firmware
                .resource(&handler.resource)
                .map_or(0, Resource::data_length);
            sum(actions, data)
        });
        resources
            .chain([sum(&self.on_init, 0), sum(&self.on_finish, 0)])
            .fold(0, u64::saturating_add)
    }
}

/// Returns the boot records of a partition table on a destination of `blocks` blocks.
pub(super) fn records(mbr: &Mbr<'_>, blocks: u64) -> Result<Vec<BootRecord>, ApplyError> {
    boot_records(mbr, blocks).map_err(|what| ApplyError::PartitionTable {
        kind: "mbr",
        title: mbr.title.to_owned(),
        what,
    })
}

/// Checks that the file systems start on the destination, and that a new one ends on it.
fn check_fat<S: Storage>(action: &FatAction<'_>, device: &Device<S>) -> Result<(), ApplyError> {
    let (volume, length) = match action {
        FatAction::Format { volume, length } => (*volume, *length),
        FatAction::Copy { from, to } => (from.volume.max(to.volume), BLOCK_SIZE),
        FatAction::Rename { from, .. } => (from.volume, BLOCK_SIZE),
        FatAction::SetAttributes { file, .. }
        | FatAction::Remove { file, .. }
        | FatAction::CreateFolder(file)
        | FatAction::Write(file)
        | FatAction::Touch(file) => (file.volume, BLOCK_SIZE),
        FatAction::SetLabel { volume, .. } => (*volume, BLOCK_SIZE),
    };
    Ok(device.check_end(volume, length)?)
}

/// Checks that all copies are within the destination.
fn check_environment<S: Storage>(
    section: EnvSection<'_>,
    device: &Device<S>,
) -> Result<(), ApplyError> {
    let place = section.place;
    for copy in [EnvCopy::First, EnvCopy::Second] {
        device.check_end(place.lba_of(copy).0 * BLOCK_SIZE, place.size.0)?;
    }
    Ok(())
}

/// Returns the number of bytes that the resource needs on the destination, including its holes and
/// the padding of its last block.
fn check_resource(
    handler: &Handler,
    actions: &[Action<'_>],
    firmware: &Firmware,
) -> Result<u64, ResourceDataError> {
    let name = || handler.resource.clone();
    let resource = firmware
        .resource(&handler.resource)
        .ok_or_else(|| ResourceDataError::Undeclared(name()))?;
    let writes = actions
        .iter()
        .filter(|action| action.reads_resource())
        .count();
    if writes > 0 && resource.hash.is_none() {
        return Err(ResourceDataError::NoHash(name()));
    }
    // An empty resource may be written any number of times.
    if writes > 1 && resource.data_length() > 0 {
        return Err(ResourceDataError::ReadTwice(name()));
    }
    resource
        .length
        .iter()
        .try_fold(0_u64, |sum, length| sum.checked_add(*length))
        .and_then(|length| length.checked_next_multiple_of(BLOCK_SIZE))
        .ok_or_else(|| ResourceDataError::TooLong(name()))
}
