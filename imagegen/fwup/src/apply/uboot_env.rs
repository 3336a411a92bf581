// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes to a U-Boot environment. As in fwup, each change writes the whole environment, in a
//! redundant pair to the inactive copy; clearing writes both copies.
//!
//! Unlike fwup, this module writes consecutive changes together. If a redundant pair was valid, it
//! is written in an order such that an interruption at any point leaves the state before all
//! changes or the state after all of them. A single copy has no such order: if its changes affect
//! more than one sector, an interruption between the sectors damages it.

use std::collections::BTreeMap;

use little_loader_core::env::block::{Env, EnvError, Format, SetError, seal};
use little_loader_core::env::place::{EnvCopy, active_copy};
use little_loader_core::units::BLOCK_SIZE;

use crate::destination::device::Device;
use crate::destination::error::DeviceError;
use crate::destination::storage::Storage;
use crate::firmware::env_section::{EnvSection, is_variable_name};

/// Why an environment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UbootEnvError {
    /// No copy is valid.
    #[error("uboot-environment \"{title}\" at block {block} of the destination: {error}")]
    Invalid {
        /// The section's title.
        title: String,
        /// The block of the last copy.
        block: u64,
        /// The error of that copy.
        error: EnvError,
    },
    /// A variable cannot be stored.
    #[error("uboot-environment \"{title}\", variable \"{variable}\": {error}")]
    Set {
        /// The section's title.
        title: String,
        /// The variable.
        variable: String,
        /// The error.
        error: SetError,
    },
    /// The destination cannot be read or written.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Both copies, or the only one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Copies {
    first: Vec<u8>,
    second: Option<Vec<u8>>,
}

impl Copies {
    fn get(&self, copy: EnvCopy) -> &[u8] {
        match (copy, &self.second) {
            (EnvCopy::Second, Some(second)) => second,
            _ => &self.first,
        }
    }

    fn put(&mut self, copy: EnvCopy, block: Vec<u8>) {
        match copy {
            EnvCopy::First => self.first = block,
            EnvCopy::Second => self.second = Some(block),
        }
    }

    /// The active copy and its flags byte; or else the last copy and its error.
    fn active(&self, format: Format) -> Result<(EnvCopy, u8), (EnvCopy, EnvError)> {
        let flags = |block: &[u8]| Env::parse(block, format).map(|env| env.flags().unwrap_or(0));
        let first = flags(&self.first);
        let Some(second) = self.second.as_deref().map(flags) else {
            return match first {
                Ok(flags) => Ok((EnvCopy::First, flags)),
                Err(error) => Err((EnvCopy::First, error)),
            };
        };
        match active_copy(first, second) {
            Ok((EnvCopy::First, _)) => Ok((EnvCopy::First, first.unwrap_or(0))),
            Ok((EnvCopy::Second, _)) => Ok((EnvCopy::Second, second.unwrap_or(0))),
            Err((_, error)) => Err((EnvCopy::Second, error)),
        }
    }
}

/// An environment with changes that are not on the disk yet.
#[derive(Debug)]
pub struct UbootEnv<'a> {
    section: EnvSection<'a>,
    on_disk: Copies,
    new: Copies,
}

impl<'a> UbootEnv<'a> {
    /// Reads all copies, whether they are valid or not.
    ///
    /// # Errors
    ///
    /// When the destination cannot be read.
    pub fn read<S: Storage>(
        section: EnvSection<'a>,
        device: &mut Device<S>,
    ) -> Result<Self, UbootEnvError> {
        let place = section.place;
        let mut read = |copy| {
            // At most 32 MiB.
            let mut bytes = vec![0; place.size.0 as usize];
            device
                .read(place.lba_of(copy).0 * BLOCK_SIZE, &mut bytes)
                .map(|()| bytes)
        };
        let first = read(EnvCopy::First)?;
        let second = place.redundant_lba.map(|_| read(EnvCopy::Second));
        let on_disk = Copies {
            first,
            second: second.transpose()?,
        };
        Ok(Self {
            section,
            new: on_disk.clone(),
            on_disk,
        })
    }

    /// Returns the section that describes the environment.
    pub(super) fn section(&self) -> EnvSection<'a> {
        self.section
    }

    /// Returns the value of a variable, including changes that are not on the disk yet.
    ///
    /// # Errors
    ///
    /// When no copy is valid.
    pub fn get(&self, variable: &str) -> Result<Option<Vec<u8>>, UbootEnvError> {
        let (active, _) = self.active()?;
        let env = Env::parse(self.new.get(active), self.format()).ok();
        Ok(env.and_then(|env| env.get(variable).map(<[u8]>::to_vec)))
    }

    /// Sets a variable, or removes it if `value` is `None`.
    ///
    /// # Errors
    ///
    /// When no copy is valid, or the variable does not fit or cannot be stored.
    pub fn set(&mut self, variable: &str, value: Option<&[u8]>) -> Result<(), UbootEnvError> {
        let (active, flags) = self.active()?;
        let format = self.format();
        let mut variables = BTreeMap::new();
        if let Ok(env) = Env::parse(self.new.get(active), format) {
            variables.extend(
                env.iter()
                    .map(|(name, value)| (name.to_vec(), value.to_vec())),
            );
        }
        match value {
            Some(value) => variables.insert(variable.into(), value.to_vec()),
            None => variables.remove(variable.as_bytes()),
        };
        let target = match format {
            Format::Single => EnvCopy::First,
            Format::Redundant => active.other(),
        };
        let block = check_variable(variable, value)
            .and_then(|()| self.block(&variables, flags.wrapping_add(1)))
            .map_err(|error| UbootEnvError::Set {
                title: self.section.title.to_owned(),
                variable: variable.to_owned(),
                error,
            })?;
        self.new.put(target, block);
        Ok(())
    }

    /// Removes all variables, from both copies.
    pub fn clear(&mut self) {
        // fwup ends an empty environment with one NUL, U-Boot's tools with two.
        let block = self.sealed(b"\0", 1);
        if self.new.second.is_some() {
            self.new.put(EnvCopy::Second, block.clone());
        }
        self.new.put(EnvCopy::First, block);
    }

    /// Clears the environment if no copy is valid.
    pub fn recover(&mut self) {
        if self.active().is_err() {
            self.clear();
        }
    }

    /// Writes the changes.
    ///
    /// # Errors
    ///
    /// When the destination cannot be written.
    pub fn store<S: Storage>(&mut self, device: &mut Device<S>) -> Result<(), UbootEnvError> {
        for (copy, block) in self.writes() {
            device.write_ordered(self.section.place.lba_of(copy).0 * BLOCK_SIZE, &block)?;
        }
        self.on_disk = self.new.clone();
        Ok(())
    }

    /// Returns the writes that lead from the old state to the new one, in order.
    fn writes(&self) -> Vec<(EnvCopy, Vec<u8>)> {
        let format = self.format();
        let new = |copy| (copy, self.new.get(copy).to_vec());
        if format == Format::Single {
            return vec![new(EnvCopy::First)];
        }
        let after = self.new.active(format);
        let after = after.map_or(EnvCopy::First, |(copy, _)| copy);
        let before = match self.on_disk.active(format) {
            Ok((before, _)) if self.on_disk != self.new => before,
            // There is nothing to lose. If the active copy is written first, the other one is never
            // used.
            _ => return vec![new(after), new(after.other())],
        };
        // At each point the active copy has the old or the new state: any other state is written
        // only while the other copy is newer.
        let spare = before.other();
        if after == spare {
            return vec![new(spare), new(before)];
        }
        let (_, last) = new(after);
        vec![(spare, last.clone()), (before, last), new(spare)]
    }

    fn format(&self) -> Format {
        self.section.place.format()
    }

    fn active(&self) -> Result<(EnvCopy, u8), UbootEnvError> {
        self.new
            .active(self.format())
            .map_err(|(copy, error)| UbootEnvError::Invalid {
                title: self.section.title.to_owned(),
                block: self.section.place.lba_of(copy).0,
                error,
            })
    }

    /// Returns a copy with these variables, byte for byte, even if they are not UTF-8.
    ///
    /// # Errors
    ///
    /// [`SetError::Full`] if the variables do not fit.
    fn block(
        &self,
        variables: &BTreeMap<Vec<u8>, Vec<u8>>,
        flags: u8,
    ) -> Result<Vec<u8>, SetError> {
        let mut data = Vec::new();
        for (variable, value) in variables {
            data.extend([variable, &b"="[..], value, b"\0"].concat());
        }
        data.push(0);
        let available = self.new.first.len() - self.format().data_offset();
        if data.len() > available {
            return Err(SetError::Full {
                needed: data.len(),
                available,
            });
        }
        Ok(self.sealed(&data, flags))
    }

    /// Returns a copy with this data, which must fit.
    fn sealed(&self, data: &[u8], flags: u8) -> Vec<u8> {
        let format = self.format();
        let start = format.data_offset();
        let mut block = vec![0xff; self.new.first.len()];
        if format == Format::Redundant {
            block[start - 1] = flags;
        }
        block[start..start + data.len()].copy_from_slice(data);
        seal(&mut block, format);
        block
    }
}

fn check_variable(variable: &str, value: Option<&[u8]>) -> Result<(), SetError> {
    match value {
        // Removing a variable with an invalid name is allowed: no such variable exists.
        None => Ok(()),
        Some(_) if !is_variable_name(variable) => Err(SetError::BadName),
        Some(value) if value.contains(&0) => Err(SetError::BadValue),
        Some(_) => Ok(()),
    }
}
