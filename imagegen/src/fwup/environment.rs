// SPDX-License-Identifier: MIT OR Apache-2.0

//! The U-Boot environment as tasks change it: each change is one write of the whole environment, of a redundant pair to the
//! copy that does not count. Changes in a row go to the disk together, in an order in which an interruption leaves one of
//! the two copies whole, with the state before or the one after all of them. Where one of them is to clear everything, it
//! may also be the state after all but the last of them: a clear writes both copies.

use std::collections::BTreeMap;

use little_loader::env::{Copy, Env, EnvError, EnvMut, Format, SetError, newer};

use super::device::{Device, DeviceError, Storage};
use super::language::integer::unsigned;
use super::model::Section;

/// The size of a block in bytes.
const BLOCK: u64 = 512;

/// How many changes in a row may go to the disk together: the counters of the copies stay comparable.
const MOST_CHANGES: u8 = 100;

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

/// How many blocks a copy may have: twice what the loader takes, so that an archive cannot ask for any amount of memory.
pub(super) const MOST_BLOCKS: u64 = 2048;
const COUNTS: &str = "a number from 1 to 2048";

/// Where an environment is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    name: String,
    /// In blocks.
    first: u64,
    second: Option<u64>,
    /// In bytes.
    size: usize,
}

impl Place {
    fn of(section: &Section) -> Result<Self, EnvironmentError> {
        let option = |option, expected, most| {
            let text = section.option(option);
            match text.map(unsigned) {
                Some(Some(value)) if value < most => Ok(value),
                _ => Err(EnvironmentError::Option {
                    name: section.title.clone(),
                    option,
                    found: text.map_or_else(|| "not set".to_owned(), |text| format!("\"{text}\"")),
                    expected,
                }),
            }
        };
        let block = |name| option(name, "a block number below 2147483647", 0x7fff_ffff);
        let first = block("block-offset")?;
        let second = match section.option("block-offset-redund") {
            None => None,
            Some(_) => Some(block("block-offset-redund")?),
        };
        let count = option("block-count", COUNTS, MOST_BLOCKS + 1)?;
        if count == 0 {
            return Err(EnvironmentError::Option {
                name: section.title.clone(),
                option: "block-count",
                found: "0".to_owned(),
                expected: COUNTS,
            });
        }
        if second.is_some_and(|second| first.abs_diff(second) < count) {
            return Err(EnvironmentError::Overlap(section.title.clone()));
        }
        Ok(Self {
            name: section.title.clone(),
            first,
            second,
            // At most 1 MiB.
            size: (count * BLOCK) as usize,
        })
    }

    fn format(&self) -> Format {
        match self.second {
            None => Format::Single,
            Some(_) => Format::Redundant,
        }
    }

    fn block(&self, copy: Copy) -> u64 {
        match copy {
            Copy::First => self.first,
            Copy::Second => self.second.unwrap_or(self.first),
        }
    }
}

/// Checks where a section says that the environment is.
///
/// # Errors
///
/// When it says nothing useful, or a place that the destination does not have.
pub(super) fn check<S: Storage>(
    section: &Section,
    device: &Device<S>,
) -> Result<(), EnvironmentError> {
    let place = Place::of(section)?;
    for block in [Some(place.first), place.second].into_iter().flatten() {
        device.check_end(block * BLOCK, place.size as u64)?;
    }
    Ok(())
}

/// Checks what a variable is to be set to. There is no name that cannot be removed.
///
/// # Errors
///
/// When it can be in no environment.
pub(super) fn check_variable(
    section: &Section,
    variable: &str,
    value: Option<&str>,
) -> Result<(), EnvironmentError> {
    let error = match value {
        Some(_) if !is_name(variable.as_bytes()) => SetError::BadName,
        Some(value) if value.contains('\0') => SetError::BadValue,
        _ => return Ok(()),
    };
    Err(EnvironmentError::Set {
        name: section.title.clone(),
        variable: variable.to_owned(),
        error,
    })
}

/// Whether a variable can have this name.
pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|byte| matches!(byte, b'=' | 0))
}

/// Both copies, or the only one.
#[derive(Clone, Debug)]
struct Copies {
    first: Vec<u8>,
    second: Option<Vec<u8>>,
}

impl Copies {
    fn get(&self, copy: Copy) -> &[u8] {
        match (copy, &self.second) {
            (Copy::Second, Some(second)) => second,
            _ => &self.first,
        }
    }

    fn put(&mut self, copy: Copy, block: Vec<u8>) {
        match copy {
            Copy::First => self.first = block,
            Copy::Second => self.second = Some(block),
        }
    }

    /// The copy that counts, and its counter.
    fn counting(&self, format: Format) -> Result<(Copy, u8), (Copy, EnvError)> {
        let flags = |block: &[u8]| Env::parse(block, format).map(|env| env.flags().unwrap_or(0));
        let first = flags(&self.first);
        match (first, self.second.as_deref().map(flags)) {
            (Ok(first), None | Some(Err(_))) => Ok((Copy::First, first)),
            (Err(error), None) => Err((Copy::First, error)),
            (Err(_), Some(Ok(second))) => Ok((Copy::Second, second)),
            (Err(_), Some(Err(error))) => Err((Copy::Second, error)),
            (Ok(first), Some(Ok(second))) => Ok(match newer(first, second) {
                Copy::First => (Copy::First, first),
                Copy::Second => (Copy::Second, second),
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
    /// How many changes there were since the last write, and whether one of them was to clear everything.
    changes: u8,
    is_cleared: bool,
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
            changes: 0,
            is_cleared: false,
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
            Format::Single => Copy::First,
            Format::Redundant => counting.other(),
        };
        let block = self.block(&variables, flags.wrapping_add(1))?;
        self.new.put(target, block);
        self.changes = self.changes.saturating_add(1);
        Ok(())
    }

    /// Removes all variables, from both copies.
    ///
    /// # Errors
    ///
    /// When the environment is too small for anything.
    pub fn clear(&mut self) -> Result<(), EnvironmentError> {
        let block = self.block(&BTreeMap::new(), 1)?;
        if self.place.second.is_some() {
            self.new.put(Copy::Second, block.clone());
        }
        self.new.put(Copy::First, block);
        self.is_cleared = true;
        Ok(())
    }

    /// Clears it when there is no valid environment.
    ///
    /// # Errors
    ///
    /// When the environment is too small for anything.
    pub fn recover(&mut self) -> Result<(), EnvironmentError> {
        match self.counting() {
            Ok(_) => Ok(()),
            Err(_) => self.clear(),
        }
    }

    /// Whether more changes have to wait until these are on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.changes >= MOST_CHANGES
    }

    /// Writes the changes.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn store<S: Storage>(&mut self, device: &mut Device<S>) -> Result<(), EnvironmentError> {
        let format = self.place.format();
        let before = self.on_disk.counting(format);
        let after = self.new.counting(format);
        let mut order = Vec::new();
        match (before, after) {
            _ if format == Format::Single => {
                order.push((Copy::First, self.new.get(Copy::First).to_vec()));
            }
            (Ok((before, flags)), Ok((after, _)))
                if !self.is_cleared
                    && before == after
                    && self.on_disk.get(before.other()) != self.new.get(before.other()) =>
            {
                // The copy that counts is to be written over: the other one takes its place for that long.
                let other = before.other();
                let mut block = self.new.get(after).to_vec();
                if let Ok(mut env) = EnvMut::parse(&mut block, format) {
                    env.set_flags(flags.wrapping_add(1));
                }
                order.push((other, block));
                order.push((before, self.new.get(before).to_vec()));
                order.push((other, self.new.get(other).to_vec()));
            }
            (before, _) => {
                // The copy that does not count goes first.
                let first = before.map_or(Copy::First, |(copy, _)| copy.other());
                order.push((first, self.new.get(first).to_vec()));
                order.push((first.other(), self.new.get(first.other()).to_vec()));
            }
        }
        for (copy, block) in order {
            device.write_ordered(self.place.block(copy) * BLOCK, &block)?;
        }
        self.on_disk = self.new.clone();
        self.changes = 0;
        self.is_cleared = false;
        Ok(())
    }

    fn counting(&self) -> Result<(Copy, u8), EnvironmentError> {
        self.new
            .counting(self.place.format())
            .map_err(|(copy, error)| EnvironmentError::Bad {
                name: self.place.name.clone(),
                block: self.place.block(copy),
                error,
            })
    }

    /// A copy with these variables.
    fn block(
        &self,
        variables: &BTreeMap<Vec<u8>, Vec<u8>>,
        flags: u8,
    ) -> Result<Vec<u8>, EnvironmentError> {
        let mut block = vec![0; self.place.size];
        let mut env = EnvMut::clear(&mut block, self.place.format()).map_err(|error| {
            EnvironmentError::Bad {
                name: self.place.name.clone(),
                block: self.place.first,
                error,
            }
        })?;
        for (variable, value) in variables {
            let variable = String::from_utf8_lossy(variable);
            env.set(&variable, value)
                .map_err(|error| EnvironmentError::Set {
                    name: self.place.name.clone(),
                    variable: variable.into_owned(),
                    error,
                })?;
        }
        env.set_flags(flags);
        env.seal();
        if variables.is_empty() {
            // fwup ends an empty environment with one NUL, U-Boot's tools with two.
            let data = self.place.format().data_offset();
            block[data + 1] = 0xff;
            let crc = crc32fast::hash(&block[data..]);
            block[..4].copy_from_slice(&crc.to_le_bytes());
        }
        Ok(block)
    }
}
