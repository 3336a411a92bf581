// SPDX-License-Identifier: MIT OR Apache-2.0

//! A task's actions, looked at before the first of them is done: what cannot work must not stop a task midway.

use super::super::action::{Action, ActionError};
use super::super::device::{Device, Storage};
use super::super::environment;
use super::super::model::{Call, Firmware, Handler, Resource, Task};
use super::super::partitions;
use super::{ApplyError, BLOCK, ResourceError};

/// A task's actions.
pub(super) struct Steps<'a> {
    pub(super) on_init: Vec<Action<'a>>,
    pub(super) on_resource: Vec<(&'a Handler, Vec<Action<'a>>)>,
    pub(super) on_finish: Vec<Action<'a>>,
    pub(super) on_error: Vec<Action<'a>>,
}

impl<'a> Steps<'a> {
    pub(super) fn of(task: &'a Task, firmware: &'a Firmware) -> Result<Self, ActionError> {
        let actions = |calls: &'a [Call], in_resource| {
            calls
                .iter()
                .map(|call| Action::of(call, firmware, in_resource))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            on_init: actions(&task.on_init, false)?,
            on_resource: task
                .on_resource
                .iter()
                .map(|handler| Ok((handler, actions(&handler.actions, true)?)))
                .collect::<Result<_, ActionError>>()?,
            on_finish: actions(&task.on_finish, false)?,
            on_error: actions(&task.on_error, false)?,
        })
    }

    /// Checks what the actions refer to, and that all places are on the destination, which has `blocks` blocks.
    ///
    /// # Errors
    ///
    /// The ones that the actions would have midway.
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
        for (handler, on_resource) in &self.on_resource {
            let length = check_resource(handler, on_resource, firmware)?;
            actions.extend(on_resource.iter().map(|action| (action, length)));
        }
        for (action, length) in actions {
            match action {
                Action::RawWrite { offset } => device.check_end(*offset, length)?,
                Action::RawMemset { offset, length, .. } if *length > 0 => {
                    device.check_end(*offset, *length)?;
                }
                Action::MbrWrite(mbr) => {
                    for (block, bytes) in partitions::blocks(mbr, blocks)? {
                        device.check_end(block * BLOCK, bytes.len() as u64)?;
                    }
                }
                Action::ClearEnvironment(section) | Action::RecoverEnvironment(section) => {
                    environment::check(section, device)?;
                }
                Action::SetVariable(section, variable, value) => {
                    environment::check(section, device)?;
                    environment::check_variable(section, variable, *value)?;
                }
                // Nothing is written, or a trim is of nothing beyond the end.
                Action::RawMemset { .. }
                | Action::Trim { .. }
                | Action::Error(_)
                | Action::Info(_)
                | Action::RebootParameter(_) => {}
            }
        }
        Ok(())
    }

    /// How much all of it is, for the progress.
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

/// Returns how many bytes the resource takes on the destination, holes and the filling of its last block included.
fn check_resource(
    handler: &Handler,
    actions: &[Action<'_>],
    firmware: &Firmware,
) -> Result<u64, ResourceError> {
    let name = || handler.resource.clone();
    let resource = firmware
        .resource(&handler.resource)
        .ok_or_else(|| ResourceError::Undeclared(name()))?;
    let writes = actions
        .iter()
        .filter(|action| matches!(action, Action::RawWrite { .. }))
        .count();
    if writes > 0 && resource.hash.is_none() {
        return Err(ResourceError::NoHash(name()));
    }
    // Nothing can be written as often as one likes.
    if writes > 1 && resource.data_length() > 0 {
        return Err(ResourceError::ReadTwice(name()));
    }
    resource
        .length
        .iter()
        .try_fold(0_u64, |sum, length| sum.checked_add(*length))
        .and_then(|length| length.checked_next_multiple_of(BLOCK))
        .ok_or_else(|| ResourceError::TooLong(name()))
}
