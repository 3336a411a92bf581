// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::io::Read;

use little_loader_core::units::BLOCK_SIZE;

use super::boot_records::BootRecord;
use super::error::{ApplyError, ResourceDataError};
use super::gpt_tables::{GptTables, gpt_tables};
use super::observer::Observer;
use super::requirement;
use super::steps::{Steps, records};
use super::uboot_env::UbootEnv;
use crate::archive::read::Archive;
use crate::archive::resource_of;
use crate::destination::device::Device;
use crate::destination::storage::Storage;
use crate::firmware::action::Action;
use crate::firmware::env_section::EnvSection;
use crate::firmware::model::Firmware;

/// The maximum number of environments cached between two writes of data. Each uses up to 4 MiB, and
/// an archive must not be able to request unlimited memory.
const MOST_ENVIRONMENTS: usize = 4;
/// The number of bytes that `raw_memset` writes at once.
const FILL: u64 = 1 << 20;

/// A task that was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The task's name.
    pub task: String,
    /// The task's parameter for the next boot.
    pub reboot_parameter: Option<String>,
}

/// Applies the first task whose name starts with `prefix` and whose requirements hold. `firmware`
/// is the archive's `meta.conf`, which has already been read.
///
/// # Errors
///
/// When no task applies, or an action fails. After an error only the task's `on-error` actions
/// write to the destination.
pub fn apply<R: Read, S: Storage>(
    archive: &mut Archive<R>,
    firmware: &Firmware,
    prefix: &str,
    device: &mut Device<S>,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyError> {
    let task = requirement::choose(firmware, prefix, device)?
        .ok_or_else(|| ApplyError::NoTask(prefix.to_owned()))?;
    let steps = Steps::parse(task, firmware)?;
    let blocks = device.capacity() / BLOCK_SIZE;
    steps.check(firmware, device, blocks)?;
    let total = steps.units(firmware);
    let mut execution = Execution {
        device,
        observer,
        blocks,
        environments: BTreeMap::new(),
        pending: Vec::new(),
        done: 0,
        total,
        reboot_parameter: None,
    };
    execution.report(0);
    let result = execution.task(&steps, archive, firmware);
    if let Err(error) = result {
        execution.give_up();
        // The first error is the one to report, even if these also fail.
        let _ = execution.actions(&steps.on_error);
        let _ = execution.finish();
        return Err(error);
    }
    Ok(Applied {
        task: task.name.clone(),
        reboot_parameter: execution.reboot_parameter,
    })
}

/// A change that affects booting and is not on the disk yet.
#[derive(Debug, PartialEq, Eq)]
enum Pending<'a> {
    Environment(&'a str),
    Table(Vec<BootRecord>),
    Gpt(Box<GptTables>),
}

/// A task that is being applied.
pub(super) struct Execution<'a, 'd, S> {
    pub(super) device: &'d mut Device<S>,
    observer: &'d mut dyn Observer,
    /// The destination's size before the task, in blocks.
    blocks: u64,
    environments: BTreeMap<&'a str, UbootEnv<'a>>,
    /// In the order of the actions.
    pending: Vec<Pending<'a>>,
    done: u64,
    total: u64,
    reboot_parameter: Option<String>,
}

impl<'a, S: Storage> Execution<'a, '_, S> {
    fn task<R: Read>(
        &mut self,
        steps: &Steps<'a>,
        archive: &mut Archive<R>,
        firmware: &Firmware,
    ) -> Result<(), ApplyError> {
        self.actions(&steps.on_init)?;
        let mut left: Vec<_> = steps.on_resource.iter().collect();
        while !left.is_empty() {
            let Some(header) = archive.next_entry()? else {
                return Err(ResourceDataError::Missing(left[0].0.resource.clone()).into());
            };
            let name = resource_of(&header.name);
            let Some(place) = left
                .iter()
                .position(|(handler, _)| handler.resource == name)
            else {
                continue;
            };
            let (handler, actions) = left.remove(place);
            for action in actions {
                match action {
                    Action::RawWrite { offset } => {
                        self.before_data()?;
                        self.raw_write(archive, firmware, handler, *offset)?;
                    }
                    action => self.action(action)?,
                }
            }
        }
        self.actions(&steps.on_finish)?;
        self.finish()
    }

    fn actions(&mut self, actions: &[Action<'a>]) -> Result<(), ApplyError> {
        actions.iter().try_for_each(|action| self.action(action))
    }

    fn action(&mut self, action: &Action<'a>) -> Result<(), ApplyError> {
        match action {
            // Allowed only in on-resource, and handled there.
            Action::RawWrite { .. } => {}
            Action::RawMemset {
                offset,
                length,
                byte,
            } => {
                self.before_data()?;
                return self.raw_memset(*offset, *length, *byte);
            }
            Action::Trim { offset, length } => {
                self.before_data()?;
                self.device.trim(*offset, *length)?;
            }
            Action::MbrWrite(mbr) => {
                let table = records(mbr, self.blocks)?;
                self.pending.push(Pending::Table(table));
            }
            Action::GptWrite(gpt) => {
                let tables = gpt_tables(gpt, self.blocks);
                self.pending.push(Pending::Gpt(Box::new(tables)));
            }
            Action::ClearEnvironment(section) => self.environment(*section)?.clear(),
            Action::RecoverEnvironment(section) => self.environment(*section)?.recover(),
            Action::SetVariable {
                environment,
                variable,
                value,
            } => self
                .environment(*environment)?
                .set(variable, value.map(str::as_bytes))?,
            Action::Error(message) => return Err(ApplyError::TaskError((*message).to_owned())),
            Action::Info(message) => self.observer.info(message),
            Action::RebootParameter(parameter) => {
                let kept = self.observer.reboot_parameter(parameter);
                kept.map_err(ApplyError::RebootParameter)?;
                self.reboot_parameter = Some((*parameter).to_owned());
            }
        }
        self.report(action.units(0));
        Ok(())
    }

    /// Returns an environment to change. It is written after all changes that are now pending.
    fn environment(&mut self, section: EnvSection<'a>) -> Result<&mut UbootEnv<'a>, ApplyError> {
        let title = section.title;
        if self.environments.len() >= MOST_ENVIRONMENTS && !self.environments.contains_key(title) {
            self.before_data()?;
        }
        let pending = Pending::Environment(title);
        let is_last = self.pending.last() == Some(&pending);
        if !is_last && self.pending.contains(&pending) {
            self.store_pending()?;
        }
        if self.pending.last() != Some(&pending) {
            self.pending.push(pending);
        }
        let environment = match self.environments.remove(title) {
            Some(environment) => environment,
            None => UbootEnv::read(section, self.device)?,
        };
        Ok(self.environments.entry(title).or_insert(environment))
    }

    /// Writes the pending changes and drops the cached environments: the data may overwrite them.
    pub(super) fn before_data(&mut self) -> Result<(), ApplyError> {
        self.store_pending()?;
        self.environments.clear();
        Ok(())
    }

    fn store_pending(&mut self) -> Result<(), ApplyError> {
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Environment(title) => {
                    if let Some(environment) = self.environments.get_mut(title) {
                        environment.store(self.device)?;
                    }
                }
                Pending::Gpt(tables) => tables.store(self.device)?,
                Pending::Table(records) => {
                    for (block, bytes) in records {
                        self.device.write_ordered(block * BLOCK_SIZE, &bytes)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn raw_memset(&mut self, offset: u64, length: u64, byte: u8) -> Result<(), ApplyError> {
        let bytes = vec![byte; FILL.min(length) as usize];
        let mut done = 0;
        while done < length {
            // The first piece ends at a multiple of FILL, so that the others are whole segments.
            let position = offset.saturating_add(done);
            let piece = (FILL - position % FILL).min(length - done);
            self.device.write(position, &bytes[..piece as usize])?;
            done += piece;
            self.report(piece);
        }
        Ok(())
    }

    /// Discards everything that is not on the disk yet.
    fn give_up(&mut self) {
        self.pending.clear();
        self.environments.clear();
        self.device.clear_cache();
    }

    fn finish(&mut self) -> Result<(), ApplyError> {
        self.store_pending()?;
        self.device.finish()?;
        Ok(())
    }

    pub(super) fn report(&mut self, units: u64) {
        // The total does not include on-error.
        self.done = self.done.saturating_add(units).min(self.total);
        self.observer.progress(self.done, self.total);
    }
}
