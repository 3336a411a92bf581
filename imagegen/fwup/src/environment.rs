// SPDX-License-Identifier: MIT OR Apache-2.0

//! The U-Boot environment as tasks change it: each change is one write of the whole environment, of a redundant pair to the
//! copy that does not count; a clear is one of both copies. What is on the disk in the end is what comes of these writes one
//! after the other, as fwup does them.
//!
//! Changes in a row go to the disk together. Of a redundant pair they go there in an order in which an interruption at any
//! point leaves the state before all of them or the one after all of them, where the pair was valid before. A single copy has
//! no such order: it is damaged by an interruption between its sectors, where changes are in more than one.

mod place;

use std::collections::BTreeMap;

use little_loader_core::env::block::{Env, EnvError, Format, SetError, seal};
use little_loader_core::env::place::{EnvCopy, newer};

use super::device::{Device, DeviceError, Storage};
use super::model::Section;
pub(super) use place::{MOST_BLOCKS, check, check_variable, is_name};
use place::{Place, can_hold};

/// The size of a block in bytes.
const BLOCK: u64 = 512;

/// Why an environment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Its section says nothing useful.
    #[error("uboot-environment \"{name}\": {option} is {found}, expected {expected}")]
    Option {
        /// The section's title.
        name: String,
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The copies are on top of each other.
    #[error("uboot-environment \"{0}\": its two copies overlap")]
    Overlap(String),
    /// What is on the disk is no environment.
    #[error("uboot-environment \"{name}\" at block {block} of the destination: {error}")]
    Bad {
        /// The section's title.
        name: String,
        /// The block of the copy that was looked at last.
        block: u64,
        /// What is wrong.
        error: EnvError,
    },
    /// A variable cannot be stored.
    #[error("uboot-environment \"{name}\", variable \"{variable}\": {error}")]
    Set {
        /// The section's title.
        name: String,
        /// The variable.
        variable: String,
        /// What is wrong.
        error: SetError,
    },
    /// The disk.
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

    /// The copy that counts, and its counter.
    fn counting(&self, format: Format) -> Result<(EnvCopy, u8), (EnvCopy, EnvError)> {
        let flags = |block: &[u8]| Env::parse(block, format).map(|env| env.flags().unwrap_or(0));
        let first = flags(&self.first);
        match (first, self.second.as_deref().map(flags)) {
            (Ok(first), None | Some(Err(_))) => Ok((EnvCopy::First, first)),
            (Err(error), None) => Err((EnvCopy::First, error)),
            (Err(_), Some(Ok(second))) => Ok((EnvCopy::Second, second)),
            (Err(_), Some(Err(error))) => Err((EnvCopy::Second, error)),
            (Ok(first), Some(Ok(second))) => Ok(match newer(first, second) {
                EnvCopy::First => (EnvCopy::First, first),
                EnvCopy::Second => (EnvCopy::Second, second),
            }),
        }
    }
}

/// An environment with changes that are not on the disk yet.
#[derive(Debug)]
pub struct Environment {
    place: Place,
    on_disk: Copies,
    new: Copies,
}

impl Environment {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// When the section is wrong or the disk cannot be read; that there is no environment yet is none.
    pub fn read<S: Storage>(
        section: &Section,
        device: &mut Device<S>,
    ) -> Result<Self, EnvironmentError> {
        let place = Place::of(section)?;
        let mut copy = |block: u64| {
            let mut bytes = vec![0; place.size];
            device.read(block * BLOCK, &mut bytes).map(|()| bytes)
        };
        let on_disk = Copies {
            first: copy(place.first)?,
            second: place.second.map(copy).transpose()?,
        };
        Ok(Self {
            place,
            new: on_disk.clone(),
            on_disk,
        })
    }

    /// The value of a variable, with all changes.
    ///
    /// # Errors
    ///
    /// When there is no valid environment.
    pub fn get(&self, variable: &str) -> Result<Option<Vec<u8>>, EnvironmentError> {
        let (counting, _) = self.counting()?;
        let env = Env::parse(self.new.get(counting), self.place.format());
        Ok(env
            .ok()
            .and_then(|env| env.get(variable).map(<[u8]>::to_vec)))
    }

    /// Sets a variable, or removes it with `None`.
    ///
    /// # Errors
    ///
    /// When there is no valid environment, or the variable does not fit.
    pub fn set(&mut self, variable: &str, value: Option<&[u8]>) -> Result<(), EnvironmentError> {
        let (counting, flags) = self.counting()?;
        let format = self.place.format();
        let mut variables = BTreeMap::new();
        if let Ok(env) = Env::parse(self.new.get(counting), format) {
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
            Format::Redundant => counting.other(),
        };
        let block =
            can_hold(variable, value).and_then(|()| self.block(&variables, flags.wrapping_add(1)));
        let block = block.map_err(|error| EnvironmentError::Set {
            name: self.place.name.clone(),
            variable: variable.to_owned(),
            error,
        })?;
        self.new.put(target, block);
        Ok(())
    }

    /// Removes all variables, from both copies.
    pub fn clear(&mut self) {
        // fwup ends an empty environment with one NUL, U-Boot's tools with two.
        let block = self.seal(b"\0", 1);
        if self.place.second.is_some() {
            self.new.put(EnvCopy::Second, block.clone());
        }
        self.new.put(EnvCopy::First, block);
    }

    /// Clears it when there is no valid environment.
    pub fn recover(&mut self) {
        if self.counting().is_err() {
            self.clear();
        }
    }

    /// Writes the changes.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn store<S: Storage>(&mut self, device: &mut Device<S>) -> Result<(), EnvironmentError> {
        for (copy, block) in self.writes() {
            device.write_ordered(self.place.block(copy) * BLOCK, &block)?;
        }
        self.on_disk = self.new.clone();
        Ok(())
    }

    /// What is written to get from the old state to the new one, in order.
    fn writes(&self) -> Vec<(EnvCopy, Vec<u8>)> {
        let format = self.place.format();
        let new = |copy| (copy, self.new.get(copy).to_vec());
        if format == Format::Single {
            return vec![new(EnvCopy::First)];
        }
        let after = self.new.counting(format);
        let after = after.map_or(EnvCopy::First, |(copy, _)| copy);
        let before = match self.on_disk.counting(format) {
            Ok((before, _)) if self.on_disk != self.new => before,
            // Nothing is lost; the copy that counts goes first, so that the other one is never looked at.
            _ => return vec![new(after), new(after.other())],
        };
        // Whichever copy counts in between is the state before or the one after: a copy with another state is only written
        // beside one that counts more.
        let spare = before.other();
        if after == spare {
            return vec![new(spare), new(before)];
        }
        let (_, last) = new(after);
        vec![(spare, last.clone()), (before, last), new(spare)]
    }

    fn counting(&self) -> Result<(EnvCopy, u8), EnvironmentError> {
        self.new
            .counting(self.place.format())
            .map_err(|(copy, error)| EnvironmentError::Bad {
                name: self.place.name.clone(),
                block: self.place.block(copy),
                error,
            })
    }

    /// A copy with these variables, byte for byte, also of those that are no text.
    ///
    /// # Errors
    ///
    /// [`SetError::Full`]
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
        let available = self.place.size - self.place.format().data_offset();
        if data.len() > available {
            return Err(SetError::Full {
                needed: data.len(),
                available,
            });
        }
        Ok(self.seal(&data, flags))
    }

    /// A copy with this data, which fits.
    fn seal(&self, data: &[u8], flags: u8) -> Vec<u8> {
        let format = self.place.format();
        let start = format.data_offset();
        let mut block = vec![0xff; self.place.size];
        if format == Format::Redundant {
            block[start - 1] = flags;
        }
        block[start..start + data.len()].copy_from_slice(data);
        seal(&mut block, format);
        block
    }
}
