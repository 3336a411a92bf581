// SPDX-License-Identifier: MIT OR Apache-2.0

//! The actions of tasks, with parsed arguments.

use super::call::{Arguments, CallError};
use super::env_section::{EnvSection, is_variable_name};
use super::mbr::Mbr;
use super::model::{Call, Firmware, Stage};

/// Actions of the format that are not supported yet.
const UNSUPPORTED: [&str; 16] = [
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

/// An action. Offsets and lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    RawWrite {
        offset: u64,
    },
    RawMemset {
        offset: u64,
        length: u64,
        byte: u8,
    },
    Trim {
        offset: u64,
        length: u64,
    },
    MbrWrite(Box<Mbr<'a>>),
    ClearEnvironment(EnvSection<'a>),
    /// Sets a variable, or removes it if `value` is `None`.
    SetVariable {
        environment: EnvSection<'a>,
        variable: &'a str,
        value: Option<&'a str>,
    },
    RecoverEnvironment(EnvSection<'a>),
    Error(&'a str),
    Info(&'a str),
    RebootParameter(&'a str),
}

impl<'a> Action<'a> {
    /// Reads a call in the section `within`; `None` if only the device can resolve an argument.
    pub(crate) fn parse(
        call: &'a Call,
        within: &str,
        firmware: &'a Firmware,
        stage: Stage,
    ) -> Result<Option<Self>, CallError> {
        let read = Arguments::new(call, firmware, stage);
        let is_in_resource = within == "on-resource";
        Ok(match (call.name.as_str(), read.all().as_slice()) {
            ("raw_write", _) if !is_in_resource => {
                return Err(CallError::WrongSection {
                    name: call.name.clone(),
                    section: within.to_owned(),
                });
            }
            ("raw_write", &[offset]) => read
                .blocks("first", offset)?
                .map(|offset| Self::RawWrite { offset }),
            ("raw_write", arguments) => {
                let mut options = arguments.iter().skip(1);
                return Err(match options.find_map(|option| option.split_once('=')) {
                    Some((option, _)) => {
                        CallError::Unsupported(format!("raw_write with {option}="))
                    }
                    None => read.wrong_count("a block"),
                });
            }
            ("raw_memset", &[offset, length, byte]) => {
                let offset = read.blocks("first", offset)?;
                let length = read.count("second", length)?;
                let byte = read.number("third", byte, u64::from(u8::MAX))?;
                let place = offset.zip(length).zip(byte);
                place.map(|((offset, length), byte)| Self::RawMemset {
                    offset,
                    length,
                    // Below 256.
                    byte: byte as u8,
                })
            }
            ("raw_memset", _) => {
                return Err(read.wrong_count("a block, a count of blocks and a byte"));
            }
            ("trim", &[offset, length]) => {
                let offset = read.blocks("first", offset)?;
                let place = offset.zip(read.count("second", length)?);
                place.map(|(offset, length)| Self::Trim { offset, length })
            }
            ("trim", _) => return Err(read.wrong_count("a block and a count of blocks")),
            ("mbr_write", &[title]) => read.mbr(title)?.map(|mbr| Self::MbrWrite(Box::new(mbr))),
            ("mbr_write", _) => return Err(read.wrong_count("an mbr")),
            ("uboot_clearenv", &[title]) => read.environment(title)?.map(Self::ClearEnvironment),
            ("uboot_recover", &[title]) => read.environment(title)?.map(Self::RecoverEnvironment),
            ("uboot_clearenv" | "uboot_recover", _) => {
                return Err(read.wrong_count("a uboot-environment"));
            }
            ("uboot_setenv", &[title, variable, value]) => {
                if !is_variable_name(variable) {
                    return Err(CallError::VariableName {
                        name: call.name.clone(),
                        variable: variable.to_owned(),
                    });
                }
                read.environment(title)?
                    .map(|environment| Self::SetVariable {
                        environment,
                        variable,
                        value: Some(value),
                    })
            }
            ("uboot_setenv", _) => {
                return Err(read.wrong_count("a uboot-environment, a name and a value"));
            }
            ("uboot_unsetenv", &[title, variable]) => {
                read.environment(title)?
                    .map(|environment| Self::SetVariable {
                        environment,
                        variable,
                        value: None,
                    })
            }
            ("uboot_unsetenv", _) => {
                return Err(read.wrong_count("a uboot-environment and a name"));
            }
            ("error", &[message]) => Some(Self::Error(message)),
            ("info", &[message]) => Some(Self::Info(message)),
            ("reboot_param", &[parameter]) => Some(Self::RebootParameter(parameter)),
            ("error" | "info" | "reboot_param", _) => {
                return Err(read.wrong_count("a text"));
            }
            (name, _) if UNSUPPORTED.contains(&name) => {
                return Err(CallError::Unsupported(name.to_owned()));
            }
            (name, _) => return Err(CallError::Unknown(name.to_owned())),
        })
    }

    /// Returns the action's units of progress: bytes for data, 0 for messages, otherwise 1. `data`
    /// is the length of the resource's data in bytes.
    pub(crate) fn units(&self, data: u64) -> u64 {
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

    fn error(name: &str, arguments: &[&str], within: &str) -> String {
        let call = Call {
            name: name.to_owned(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        };
        Action::parse(&call, within, &Firmware::default(), Stage::Apply)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_wrong_with_a_call_is_named() {
        for (name, arguments, expected) in [
            (
                "fat_write",
                &["8", "x"][..],
                "'fat_write' is not supported yet",
            ),
            ("gpt_write", &["x"], "'gpt_write' is not supported yet"),
            ("execute", &["ls"], "'execute' is not supported yet"),
            (
                "raw_write",
                &["8", "cipher=aes-cbc-plain", "secret=x"],
                "'raw_write with cipher=' is not supported yet",
            ),
            ("raw_wirte", &["8"], "'raw_wirte' is not an action"),
            (
                "raw_write",
                &[],
                "'raw_write' takes a block, found 0 arguments",
            ),
            (
                "raw_write",
                &["8k"],
                "'raw_write' needs a number from 0 to 36028797018963967 as its first argument, found '8k'",
            ),
            (
                "raw_write",
                &["0x80000000000000"],
                "'raw_write' needs a number from 0 to 36028797018963967 as its first argument, found '0x80000000000000'",
            ),
            (
                "raw_memset",
                &["8", "1", "256"],
                "'raw_memset' needs a number from 0 to 255 as its third argument, found '256'",
            ),
            ("mbr_write", &["x"], "'mbr_write': there is no mbr 'x'"),
            (
                "uboot_clearenv",
                &["x"],
                "'uboot_clearenv': there is no uboot-environment 'x'",
            ),
        ] {
            assert_eq!(error(name, arguments, "on-resource"), expected);
        }
        assert_eq!(
            error("raw_write", &["8"], "on-init"),
            "'raw_write' cannot be used in on-init"
        );
    }
}
