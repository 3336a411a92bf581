// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use fat_volume::{Session, Timestamp};
use little_loader_core::units::BLOCK_SIZE;

use super::boot_records::BootRecord;
use super::error::{ApplyError, ResourceDataError};
use super::fat_device::FatDevice;
use super::gpt_tables::{GptTables, gpt_tables};
use super::hashing::Hashing;
use super::observer::Observer;
use super::progress::Progress;
use super::resource_copy::{ResourceEntry, checked_resource};
use super::steps::{Steps, records};
use super::uboot_env::UbootEnv;
use super::{fat_actions, outside, requirement};
use crate::archive::read::Archive;
use crate::archive::resource_of;
use crate::destination::aligned::AlignedBytes;
use crate::destination::device::Device;
use crate::destination::storage::Storage;
use crate::destination::view::SharedDevice;
use crate::firmware::action::Action;
use crate::firmware::env_section::EnvSection;
use crate::firmware::model::{Firmware, Value};
use crate::firmware::unsafe_action::UnsafeAction;

/// The maximum size of the environments cached between two writes of data, in bytes; one may always
/// be cached. An archive must not be able to request unlimited memory. Twice as much is used.
const MOST_CACHED: u64 = 8 << 20;
/// The number of bytes that any entry may have which the task does not use. Unpacking takes time
/// that an archive must not be able to request without limit.
const MOST_SKIPPED: u64 = 1 << 20;
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
pub fn apply<R: Read + Send, S: Storage>(
    archive: &mut Archive<R>,
    firmware: &Firmware,
    prefix: &str,
    device: &mut Device<S>,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyError> {
    device.set_cache_size(cache_size(firmware))?;
    let task = requirement::choose(firmware, prefix, device, observer)?
        .ok_or_else(|| ApplyError::NoTask(prefix.to_owned()))?;
    let steps = Steps::parse(task, firmware)?;
    let blocks = device.capacity() / BLOCK_SIZE;
    steps.check(firmware, device, blocks)?;
    let total = steps.units(firmware);
    let mut execution = Execution {
        device,
        progress: Progress::start(observer, total),
        is_unsafe: firmware.is_unsafe,
        fat: Session::new(Timestamp::FWUP),
        blocks,
        environments: BTreeMap::new(),
        pending: Vec::new(),
        reboot_parameter: None,
        hashing: Hashing::default(),
    };
    let result = execution.task(&steps, archive, firmware);
    if let Err(error) = result {
        execution.give_up();
        execution.fat.unmount();
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

/// Returns the size of the write cache in MiB that the archive asks for, 0 for the default.
fn cache_size(firmware: &Firmware) -> u64 {
    match firmware.metadata.get("block-cache-size-mb") {
        Some(Value::Integer(size)) => u64::try_from(*size).unwrap_or(0),
        _ => 0,
    }
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
    pub(super) progress: Progress<'d>,
    pub(super) is_unsafe: bool,
    pub(super) fat: Session,
    /// The destination's size before the task, in blocks.
    blocks: u64,
    environments: BTreeMap<&'a str, UbootEnv<'a>>,
    /// In the order of the actions.
    pending: Vec<Pending<'a>>,
    reboot_parameter: Option<String>,
    pub(super) hashing: Hashing,
}

impl<'a, S: Storage> Execution<'a, '_, S> {
    fn task<R: Read + Send>(
        &mut self,
        steps: &Steps<'a>,
        archive: &mut Archive<R>,
        firmware: &Firmware,
    ) -> Result<(), ApplyError> {
        self.actions(&steps.on_init)?;
        let mut left: Vec<_> = steps.on_resource.iter().collect();
        let mut seen = BTreeSet::new();
        while !left.is_empty() {
            let Some(header) = archive.next_entry()? else {
                return Err(ResourceDataError::Missing(left[0].0.resource.clone()).into());
            };
            let name = resource_of(&header.name);
            let declared = firmware.resource(&name);
            // This set is bounded by the size of meta.conf.
            if declared.is_some_and(|resource| !seen.insert(resource.name.as_str())) {
                return Err(ResourceDataError::Repeated(name).into());
            }
            let Some(place) = left
                .iter()
                .position(|(handler, _)| handler.resource == name)
            else {
                // A delta to another version is rarely longer than the data that it makes.
                let most = declared.map_or(0, |resource| resource.data_length().saturating_mul(2));
                archive.skip(most.max(MOST_SKIPPED))?;
                continue;
            };
            let (handler, actions) = left.remove(place);
            let mut entry = ResourceEntry {
                archive,
                size: header.size,
                handler,
                resource: checked_resource(firmware, handler)?,
            };
            for action in actions {
                match action.reads_resource() {
                    true => self.write_resource(&mut entry, action)?,
                    false => self.action(action)?,
                }
            }
        }
        self.fat.unmount();
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
            Action::Fat(action) => {
                self.before_data()?;
                let device = SharedDevice::new(self.device);
                fat_actions::run(&mut self.fat, &mut FatDevice(&device), action)?;
            }
            Action::Unsafe(UnsafeAction::Execute(command)) => {
                self.before_outside("execute")?;
                outside::execute(command, self.progress.observer.shares_stdout())?;
            }
            Action::Unsafe(_) => {}
            Action::RawMemset {
                offset,
                length,
                byte,
            } => {
                self.before_data()?;
                self.fat.forget(*offset..offset.saturating_add(*length));
                return self.raw_memset(*offset, *length, *byte);
            }
            Action::Trim { offset, length } => {
                self.before_data()?;
                self.fat.forget(*offset..offset.saturating_add(*length));
                self.device.trim(*offset, *length)?;
            }
            Action::MbrWrite(mbr) => {
                let table = records(mbr, self.blocks)?;
                // An environment that shares a block with the table must be read again.
                let is_shared = |section: &EnvSection<'_>| {
                    table.iter().any(|(block, _)| section.contains(*block))
                };
                if self
                    .environments
                    .values()
                    .any(|env| is_shared(&env.section()))
                {
                    self.before_data()?;
                }
                self.pending.push(Pending::Table(table));
            }
            Action::GptWrite(gpt) => {
                // An environment that shares a block with the table must be read again.
                if !self.environments.is_empty() {
                    self.before_data()?;
                }
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
            Action::Info(message) => self.progress.observer.info(message),
            Action::RebootParameter(parameter) => {
                let kept = self.progress.observer.reboot_parameter(parameter);
                kept.map_err(ApplyError::RebootParameter)?;
                self.reboot_parameter = Some((*parameter).to_owned());
            }
        }
        self.progress.report(action.units(0));
        Ok(())
    }

    /// Returns an environment to change. It is written after all changes that are now pending.
    fn environment(&mut self, section: EnvSection<'a>) -> Result<&mut UbootEnv<'a>, ApplyError> {
        let title = section.title;
        if !self.environments.contains_key(title) && self.is_in_the_way(&section) {
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

    /// Whether the pending changes must be on the disk before an environment is read: they are to
    /// some of the same blocks, or need too much memory.
    fn is_in_the_way(&self, section: &EnvSection<'_>) -> bool {
        let cached = self.environments.values().map(UbootEnv::section);
        let size = cached
            .clone()
            .map(|cached| cached.place.total_size().0)
            .sum::<u64>();
        let is_table_there = |pending: &Pending<'_>| match pending {
            Pending::Table(records) => records.iter().any(|(block, _)| section.contains(*block)),
            // At the start and at the end of the disk, where environments may be too.
            Pending::Gpt(_) => true,
            Pending::Environment(_) => false,
        };
        size + section.place.total_size().0 > MOST_CACHED
            || cached.clone().any(|cached| cached.overlaps(section))
            || self.pending.iter().any(is_table_there)
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
        let mut bytes = AlignedBytes::zeroed(FILL.min(length) as usize);
        bytes.fill(byte);
        let mut done = 0;
        while done < length {
            // The first piece ends at a multiple of FILL, so that the others are whole segments.
            let position = offset.saturating_add(done);
            let piece = (FILL - position % FILL).min(length - done);
            self.device.write(position, &bytes[..piece as usize])?;
            done += piece;
            self.progress.report(piece);
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
}
