// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a task does, with its arguments checked: nothing is written before all of a task's actions were looked at.

use super::language::integer::unsigned;
use super::model::{Call, Firmware, Section};

/// The size of a block in bytes.
const BLOCK: u64 = 512;

/// Actions of the format that are not there yet.
const NOT_YET: [&str; 16] = [
    "fat_attrib",
    "fat_cp",
    "fat_mkdir",
    "fat_mkfs",
    "fat_mv",
    "fat_mv!",
    "fat_rm",
    "fat_rm!",
    "fat_setlabel",
    "fat_touch",
    "fat_write",
    "gpt_write",
    "execute",
    "path_write",
    "pipe_write",
    "ubi_volume_write",
];

/// Why a call is no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The format has it, this program does not.
    #[error("{0} is not supported yet")]
    NotYet(String),
    /// Nobody has it.
    #[error("{0} is no action")]
    Unknown(String),
    /// It needs a resource's data.
    #[error("{0} is only possible in on-resource")]
    NeedsResource(String),
    /// Too few or too many arguments.
    #[error("{name} has {found} arguments, expected {expected}")]
    Arguments {
        /// The action.
        name: String,
        /// How many it has.
        found: usize,
        /// What it takes.
        expected: &'static str,
    },
    /// An argument is no number, or one that is too large.
    #[error("{name}: \"{found}\" is not {expected}")]
    Number {
        /// The action.
        name: String,
        /// The argument.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// There is no such section.
    #[error("{name}: there is no {kind} \"{title}\"")]
    Reference {
        /// The action.
        name: String,
        /// The kind of the section.
        kind: &'static str,
        /// Its title.
        title: String,
    },
}

/// An action. Places and lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action<'a> {
    RawWrite { offset: u64 },
    RawMemset { offset: u64, length: u64, byte: u8 },
    Trim { offset: u64, length: u64 },
    MbrWrite(&'a Section),
    ClearEnvironment(&'a Section),
    SetVariable(&'a Section, &'a str, Option<&'a str>),
    RecoverEnvironment(&'a Section),
    Error(&'a str),
    Info(&'a str),
    RebootParameter(&'a str),
}

impl<'a> Action<'a> {
    pub(super) fn of(
        call: &'a Call,
        firmware: &'a Firmware,
        in_resource: bool,
    ) -> Result<Self, ActionError> {
        let name = || call.name.clone();
        let arguments = &call.arguments;
        let exactly = |count: usize, expected| {
            if arguments.len() == count {
                Ok(())
            } else {
                Err(ActionError::Arguments {
                    name: name(),
                    found: arguments.len(),
                    expected,
                })
            }
        };
        let value = |at: usize, most: u64, expected| {
            arguments
                .get(at)
                .and_then(|text| unsigned(text))
                .filter(|value| *value <= most)
                .ok_or_else(|| ActionError::Number {
                    name: name(),
                    found: arguments.get(at).cloned().unwrap_or_default(),
                    expected,
                })
        };
        let blocks = |at: usize, expected| Ok(value(at, u64::MAX / BLOCK, expected)? * BLOCK);
        let section = |kind, sections: &'a [Section]| {
            sections
                .iter()
                .find(|section| section.title == arguments[0])
                .ok_or_else(|| ActionError::Reference {
                    name: name(),
                    kind,
                    title: arguments[0].clone(),
                })
        };
        let environment = || section("uboot-environment", &firmware.environments);
        match call.name.as_str() {
            "raw_write" if !in_resource => Err(ActionError::NeedsResource(name())),
            "raw_write" => {
                if let Some(option) = arguments.iter().skip(1).find(|text| text.contains('=')) {
                    let option = option.split('=').next().unwrap_or_default();
                    return Err(ActionError::NotYet(format!("raw_write with {option}")));
                }
                exactly(1, "a block number")?;
                Ok(Self::RawWrite {
                    offset: blocks(0, "a block number")?,
                })
            }
            "raw_memset" => {
                exactly(3, "a block number, a count of blocks and a byte")?;
                Ok(Self::RawMemset {
                    offset: blocks(0, "a block number")?,
                    length: blocks(1, "a count of blocks")?,
                    // Checked to be below 256.
                    byte: value(2, 255, "a number from 0 to 255")? as u8,
                })
            }
            "trim" => {
                exactly(2, "a block number and a count of blocks")?;
                Ok(Self::Trim {
                    offset: blocks(0, "a block number")?,
                    length: blocks(1, "a count of blocks")?,
                })
            }
            "mbr_write" => {
                exactly(1, "the title of an mbr")?;
                section("mbr", &firmware.mbrs).map(Self::MbrWrite)
            }
            "uboot_clearenv" => {
                exactly(1, "the title of a uboot-environment")?;
                environment().map(Self::ClearEnvironment)
            }
            "uboot_recover" => {
                exactly(1, "the title of a uboot-environment")?;
                environment().map(Self::RecoverEnvironment)
            }
            "uboot_setenv" => {
                exactly(
                    3,
                    "the title of a uboot-environment, a variable and its value",
                )?;
                Ok(Self::SetVariable(
                    environment()?,
                    &arguments[1],
                    Some(&arguments[2]),
                ))
            }
            "uboot_unsetenv" => {
                exactly(2, "the title of a uboot-environment and a variable")?;
                Ok(Self::SetVariable(environment()?, &arguments[1], None))
            }
            "error" => {
                exactly(1, "a message")?;
                Ok(Self::Error(&arguments[0]))
            }
            "info" => {
                exactly(1, "a message")?;
                Ok(Self::Info(&arguments[0]))
            }
            "reboot_param" => {
                exactly(1, "the parameter")?;
                Ok(Self::RebootParameter(&arguments[0]))
            }
            other if NOT_YET.contains(&other) => Err(ActionError::NotYet(name())),
            _ => Err(ActionError::Unknown(name())),
        }
    }

    /// How much it adds to the progress: bytes, or 1 for what is done at once. `data` is the length of the resource.
    pub(super) fn units(&self, data: u64) -> u64 {
        match self {
            Self::RawWrite { .. } => data,
            Self::RawMemset { length, .. } => *length,
            Self::Error(_) | Self::Info(_) => 0,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, arguments: &[&str], in_resource: bool) -> String {
        let call = Call {
            name: name.to_owned(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        };
        Action::of(&call, &Firmware::default(), in_resource)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_wrong_with_a_call_is_named() {
        for (name, arguments, expected) in [
            (
                "fat_write",
                &["8", "x"][..],
                "fat_write is not supported yet",
            ),
            ("gpt_write", &["x"], "gpt_write is not supported yet"),
            ("execute", &["ls"], "execute is not supported yet"),
            (
                "raw_write",
                &["8", "cipher=aes-cbc-plain", "secret=x"],
                "raw_write with cipher is not supported yet",
            ),
            ("raw_wirte", &["8"], "raw_wirte is no action"),
            (
                "raw_write",
                &[],
                "raw_write has 0 arguments, expected a block number",
            ),
            (
                "raw_write",
                &["8k"],
                "raw_write: \"8k\" is not a block number",
            ),
            (
                "raw_write",
                &["0x80000000000000"],
                "raw_write: \"0x80000000000000\" is not a block number",
            ),
            (
                "raw_memset",
                &["8", "1", "256"],
                "raw_memset: \"256\" is not a number from 0 to 255",
            ),
            ("mbr_write", &["x"], "mbr_write: there is no mbr \"x\""),
            (
                "uboot_clearenv",
                &["x"],
                "uboot_clearenv: there is no uboot-environment \"x\"",
            ),
        ] {
            assert_eq!(error(name, arguments, true), expected);
        }
        assert_eq!(
            error("raw_write", &["8"], false),
            "raw_write is only possible in on-resource"
        );
    }
}
