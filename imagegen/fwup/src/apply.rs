// SPDX-License-Identifier: MIT OR Apache-2.0

//! Applies an archive: chooses a task, and does to the destination what it says, resource by resource as they come. All that
//! can be wrong with a task by itself is found before anything is written.
//!
//! Partition tables and environments are gathered while nothing else is written, and go to the disk before the next data
//! and at the end, each time behind all data that came before them.

mod hashing;
mod resource;
mod steps;

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::action::{Action, ActionError};
use super::archive::read::{Archive, ArchiveError};
use super::archive::resource_of;
use super::device::{Device, DeviceError, Storage};
use super::environment::{Environment, EnvironmentError};
use super::model::{Firmware, Section};
use super::partitions::{self, MbrError};
use super::requirement::{self, RequirementError};

pub use resource::ResourceError;
use steps::Steps;

/// The size of a block in bytes.
const BLOCK: u64 = 512;
/// How many environments are kept while nothing else is written. One takes up to 4 MiB, and an archive must not be able to
/// ask for any amount of memory.
const MOST_ENVIRONMENTS: usize = 4;
/// How much `raw_memset` writes at once, in bytes.
const FILL: u64 = 1 << 20;

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// No task fits.
    #[error(
        "Couldn't find applicable task '{0}'. If task is available, the task's requirements may not be met."
    )]
    NoTask(String),
    /// The task's own `error`.
    #[error("{0}")]
    Said(String),
    /// A requirement.
    #[error(transparent)]
    Requirement(#[from] RequirementError),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The destination.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// An action.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// An environment.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A partition table.
    #[error(transparent)]
    Mbr(#[from] MbrError),
    /// The parameter of the next boot cannot be left for it.
    #[error("cannot leave the parameter of the next boot: {0}")]
    RebootParameter(io::Error),
    /// A resource's data.
    #[error(transparent)]
    Resource(#[from] ResourceError),
}

/// Who is told what happens.
pub trait Observer {
    /// How much is done, of how much.
    fn progress(&mut self, done: u64, total: u64);
    /// A task's own message.
    fn info(&mut self, message: &str);
    /// A parameter for the next boot, to be left for whoever reboots.
    ///
    /// # Errors
    ///
    /// Those of the system; the task ends there.
    fn reboot_parameter(&mut self, _parameter: &str) -> io::Result<()> {
        Ok(())
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The task's name.
    pub task: String,
    /// What the task wants to be passed to the next boot.
    pub reboot_parameter: Option<String>,
}

/// Does what the task with a name of this start says. The archive's `meta.conf` was read, and is `firmware`.
///
/// # Errors
///
/// When no task fits, or something fails on the way; what was not written until then is not written any more, but for
/// what the task's `on-error` does.
pub fn apply<R: Read, S: Storage>(
    archive: &mut Archive<R>,
    firmware: &Firmware,
    prefix: &str,
    device: &mut Device<S>,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyError> {
    let task = requirement::choose(firmware, prefix, device)?
        .ok_or_else(|| ApplyError::NoTask(prefix.to_owned()))?;
    let steps = Steps::of(task, firmware)?;
    let blocks = device.capacity() / BLOCK;
    steps.check(firmware, device, blocks)?;
    let total = steps.units(firmware);
    let mut run = Run {
        device,
        observer,
        blocks,
        environments: BTreeMap::new(),
        waiting: Vec::new(),
        done: 0,
        total,
        reboot_parameter: None,
    };
    run.report(0);
    let result = run.task(&steps, archive, firmware);
    if let Err(error) = result {
        run.give_up();
        // Whatever comes of these, the first error is the one to tell.
        let _ = run.actions(&steps.on_error);
        let _ = run.finish();
        return Err(error);
    }
    Ok(Applied {
        task: task.name.clone(),
        reboot_parameter: run.reboot_parameter,
    })
}

/// What decides about booting, and is not on the disk yet.
#[derive(Debug, PartialEq, Eq)]
enum Waiting<'a> {
    Environment(&'a str),
    Table(Vec<(u64, [u8; BLOCK as usize])>),
}

struct Run<'a, 'd, S> {
    device: &'d mut Device<S>,
    observer: &'d mut dyn Observer,
    /// The destination's size before the task, in blocks.
    blocks: u64,
    environments: BTreeMap<&'a str, Environment>,
    /// In the order in which it was asked for.
    waiting: Vec<Waiting<'a>>,
    done: u64,
    total: u64,
    reboot_parameter: Option<String>,
}

impl<'a, S: Storage> Run<'a, '_, S> {
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
                return Err(ResourceError::Missing(left[0].0.resource.clone()).into());
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
            // Only in on-resource, and done there.
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
                let blocks = partitions::blocks(mbr, self.blocks)?;
                self.waiting.push(Waiting::Table(blocks));
            }
            Action::ClearEnvironment(section) => self.environment(section)?.clear(),
            Action::RecoverEnvironment(section) => self.environment(section)?.recover(),
            Action::SetVariable(section, variable, value) => self
                .environment(section)?
                .set(variable, value.map(str::as_bytes))?,
            Action::Error(message) => return Err(ApplyError::Said((*message).to_owned())),
            Action::Info(message) => self.observer.info(message),
            Action::RebootParameter(parameter) => {
                let left = self.observer.reboot_parameter(parameter);
                left.map_err(ApplyError::RebootParameter)?;
                self.reboot_parameter = Some((*parameter).to_owned());
            }
        }
        self.report(action.units(0));
        Ok(())
    }

    /// An environment to change, which goes to the disk behind all that waits now.
    fn environment(&mut self, section: &'a Section) -> Result<&mut Environment, ApplyError> {
        let title = section.title.as_str();
        if self.environments.len() >= MOST_ENVIRONMENTS && !self.environments.contains_key(title) {
            self.before_data()?;
        }
        let waiting = Waiting::Environment(title);
        let is_last = self.waiting.last() == Some(&waiting);
        if !is_last && self.waiting.contains(&waiting) {
            self.store_waiting()?;
        }
        if self.waiting.last() != Some(&waiting) {
            self.waiting.push(waiting);
        }
        let environment = match self.environments.remove(title) {
            Some(environment) => environment,
            None => Environment::read(section, self.device)?,
        };
        Ok(self.environments.entry(title).or_insert(environment))
    }

    /// What waits goes to the disk, and the environments are looked at anew afterwards: data may be written over them.
    fn before_data(&mut self) -> Result<(), ApplyError> {
        self.store_waiting()?;
        self.environments.clear();
        Ok(())
    }

    fn store_waiting(&mut self) -> Result<(), ApplyError> {
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Environment(title) => {
                    if let Some(environment) = self.environments.get_mut(title) {
                        environment.store(self.device)?;
                    }
                }
                Waiting::Table(blocks) => {
                    for (block, bytes) in blocks {
                        self.device.write_ordered(block * BLOCK, &bytes)?;
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
            // The first piece ends where the following ones are whole segments.
            let position = offset.saturating_add(done);
            let piece = (FILL - position % FILL).min(length - done);
            self.device.write(position, &bytes[..piece as usize])?;
            done += piece;
            self.report(piece);
        }
        Ok(())
    }

    /// Nothing of what is not on the disk goes there any more.
    fn give_up(&mut self) {
        self.waiting.clear();
        self.environments.clear();
        self.device.discard();
    }

    fn finish(&mut self) -> Result<(), ApplyError> {
        self.store_waiting()?;
        self.device.finish()?;
        Ok(())
    }

    fn report(&mut self, units: u64) {
        // What on-error does was not planned for.
        self.done = self.done.saturating_add(units).min(self.total);
        self.observer.progress(self.done, self.total);
    }
}
