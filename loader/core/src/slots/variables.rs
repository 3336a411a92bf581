// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads the loader's variables from the environment, and from these the kernel, command line and
//! initrd of a slot.

use thiserror::Error;

use crate::disk::extent::Extent;
use crate::display::{Shown, Word, decimal};
use crate::env::block::Env;
use crate::slots::slot::Slot;
use crate::units::{Bytes, Lba};

/// The variables of one slot, as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotVariables<'a> {
    /// `<slot>.kernel_lba`
    pub kernel_lba: Option<&'a [u8]>,
    /// `<slot>.kernel_args`
    pub kernel_args: Option<&'a [u8]>,
    /// `<slot>.initrd_lba`
    pub initrd_lba: Option<&'a [u8]>,
    /// `<slot>.initrd_size`
    pub initrd_size: Option<&'a [u8]>,
    /// `<slot>.nerves_fw_platform`
    pub platform: Option<&'a [u8]>,
}

/// The variables that the loader reads, as text, gathered in one pass over the environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variables<'a> {
    /// `nerves_fw_active`
    pub active: Option<&'a [u8]>,
    /// `upgrade_available`
    pub upgrade_available: Option<&'a [u8]>,
    /// `bootcount`
    pub bootcount: Option<&'a [u8]>,
    /// `bootlimit`
    pub bootlimit: Option<&'a [u8]>,
    /// `nerves_fw_validated`
    pub validated: Option<&'a [u8]>,
    /// `nerves_fw_booted`
    pub booted: Option<&'a [u8]>,
    /// The variables of slot a.
    pub a: SlotVariables<'a>,
    /// The variables of slot b.
    pub b: SlotVariables<'a>,
}

impl<'a> Variables<'a> {
    /// Gathers the variables. If a name occurs more than once, the last entry is used.
    #[must_use]
    pub fn gather(env: &Env<'a>) -> Self {
        let mut all = Self::default();
        for (name, value) in env.iter() {
            let (slot, name) = match name {
                [b'a', b'.', rest @ ..] => (&mut all.a, rest),
                [b'b', b'.', rest @ ..] => (&mut all.b, rest),
                _ => {
                    all.set(name, value);
                    continue;
                }
            };
            set(
                name,
                value,
                [
                    ("kernel_lba", &mut slot.kernel_lba),
                    ("kernel_args", &mut slot.kernel_args),
                    ("initrd_lba", &mut slot.initrd_lba),
                    ("initrd_size", &mut slot.initrd_size),
                    ("nerves_fw_platform", &mut slot.platform),
                ],
            );
        }
        all
    }

    fn set(&mut self, name: &[u8], value: &'a [u8]) {
        set(
            name,
            value,
            [
                ("nerves_fw_active", &mut self.active),
                ("upgrade_available", &mut self.upgrade_available),
                ("bootcount", &mut self.bootcount),
                ("bootlimit", &mut self.bootlimit),
                ("nerves_fw_validated", &mut self.validated),
                ("nerves_fw_booted", &mut self.booted),
            ],
        );
    }

    /// Returns the variables of one slot.
    #[must_use]
    pub fn of(&self, slot: Slot) -> &SlotVariables<'a> {
        match slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }
}

/// Sets the field of a variable. (The compiler would turn a `match` on a name into a comparison for
/// each of its bytes.)
fn set<'a, const N: usize>(
    name: &[u8],
    value: &'a [u8],
    fields: [(&str, &mut Option<&'a [u8]>); N],
) {
    for (known, field) in fields {
        if name == known.as_bytes() {
            *field = Some(value);
        }
    }
}

/// The kernel, command line and initrd of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotContents<'a> {
    /// The first block of the kernel's Image.
    pub kernel_lba: Lba,
    /// The kernel command line, possibly empty.
    pub kernel_args: &'a [u8],
    /// The initrd, if the slot has one.
    pub initrd: Option<Extent>,
}

impl<'a> SlotContents<'a> {
    /// Reads the contents from a slot's variables.
    ///
    /// # Errors
    ///
    /// When a required variable is missing, a value is not a number, or the initrd's size is 0.
    pub fn read(variables: &SlotVariables<'a>) -> Result<Self, SlotError> {
        let kernel_lba = required("kernel_lba", variables.kernel_lba)?;
        let initrd = match (variables.initrd_lba, variables.initrd_size) {
            (None, None) => None,
            (lba, size) => {
                let length = Bytes(required("initrd_size", size)?);
                let lba = Lba(required("initrd_lba", lba)?);
                if length.0 == 0 {
                    return Err(SlotError::EmptyInitrd);
                }
                Some(Extent { lba, length })
            }
        };
        Ok(Self {
            kernel_lba: Lba(kernel_lba),
            kernel_args: variables.kernel_args.unwrap_or_default(),
            initrd,
        })
    }
}

fn required(name: &'static str, value: Option<&[u8]>) -> Result<u64, SlotError> {
    let value = value.ok_or(SlotError::Missing { name })?;
    decimal(value).ok_or(SlotError::NotANumber {
        name,
        value: Shown::new(value),
    })
}

/// Why a slot's variables are invalid. Names are shown without the slot's letter and dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SlotError {
    /// A required variable is not set.
    #[error("{} is not set", Word(name))]
    Missing {
        /// The variable's name without the slot.
        name: &'static str,
    },
    /// A value is not a decimal number.
    #[error("{} is {value}, not a decimal number", Word(name))]
    NotANumber {
        /// The variable's name without the slot.
        name: &'static str,
        /// Its value.
        value: Shown,
    },
    /// The initrd's size is 0.
    #[error("initrd_size is 0; unset initrd_lba and initrd_size to boot without an initrd")]
    EmptyInitrd,
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::env::block::{EnvMut, Format};

    fn env(variables: &[(&str, &str)]) -> Vec<u8> {
        let mut block = vec![0; 1024];
        let mut env = EnvMut::clear(&mut block, Format::Single).unwrap();
        for (name, value) in variables {
            env.set(name, value.as_bytes()).unwrap();
        }
        env.seal();
        block
    }

    fn with<T>(variables: &[(&str, &str)], look: impl FnOnce(Variables<'_>) -> T) -> T {
        let block = env(variables);
        look(Variables::gather(
            &Env::parse(&block, Format::Single).unwrap(),
        ))
    }

    #[test]
    fn a_slot_is_read_with_all_it_has() {
        with(
            &[
                ("b.kernel_lba", "2048"),
                ("b.kernel_args", "console=ttyAMA0 a=b"),
                ("b.initrd_lba", "4096"),
                ("b.initrd_size", "1000"),
            ],
            |variables| {
                let contents = SlotContents::read(variables.of(Slot::B)).unwrap();
                assert_eq!(contents.kernel_lba, Lba(2048));
                assert_eq!(contents.kernel_args, b"console=ttyAMA0 a=b");
                assert_eq!(
                    contents.initrd,
                    Some(Extent {
                        lba: Lba(4096),
                        length: Bytes(1000)
                    })
                );
                assert_eq!(
                    SlotContents::read(variables.of(Slot::A)),
                    Err(SlotError::Missing { name: "kernel_lba" })
                );
            },
        );
    }

    #[test]
    fn what_a_slot_lacks_is_named() {
        let error = |variables: &[(&str, &str)]| {
            with(variables, |variables| {
                SlotContents::read(&variables.a).unwrap_err().to_string()
            })
        };
        assert_eq!(
            error(&[("a.kernel_lba", "0x800")]),
            "kernel_lba is \"0x800\", not a decimal number"
        );
        assert_eq!(
            error(&[("a.kernel_lba", "1"), ("a.initrd_lba", "5")]),
            "initrd_size is not set"
        );
        assert_eq!(
            error(&[("a.kernel_lba", "1"), ("a.initrd_size", "5")]),
            "initrd_lba is not set"
        );
        assert_eq!(
            error(&[
                ("a.kernel_lba", "1"),
                ("a.initrd_size", "0"),
                ("a.initrd_lba", "9")
            ]),
            "initrd_size is 0; unset initrd_lba and initrd_size to boot without an initrd"
        );
    }
}
