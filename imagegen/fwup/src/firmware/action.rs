// SPDX-License-Identifier: MIT OR Apache-2.0

//! The actions of tasks, with parsed arguments.

use super::call::{Arguments, CallError};
use super::env_section::{EnvSection, is_variable_name};
use super::fat_action::FatAction;
use super::gpt::Gpt;
use super::mbr::Mbr;
use super::model::{Call, Firmware, Stage};
use super::unsafe_action::UnsafeAction;
use crate::disk_cipher::DiskCipher;

/// An action. Offsets and lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    RawWrite {
        offset: u64,
        cipher: Option<DiskCipher>,
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
    GptWrite(Box<Gpt<'a>>),
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
    /// On FAT file systems.
    Fat(FatAction<'a>),
    /// Needs `--unsafe`.
    Unsafe(UnsafeAction<'a>),
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
        if let Some(action) = FatAction::parse(&read, within)? {
            return Ok(action.map(Self::Fat));
        }
        let is_in_resource = within == "on-resource";
        Ok(match (call.name.as_str(), read.all().as_slice()) {
            ("raw_write", _) if !is_in_resource => {
                return Err(read.wrong_section(within));
            }
            ("raw_write", &[offset, ref options @ ..]) => {
                let offset = read.blocks("first", offset)?;
                match (stage, offset) {
                    // The device may know the secret, and a later version more ciphers.
                    (Stage::Create, _) if !options.is_empty() => None,
                    (_, None) => None,
                    (_, Some(offset)) => Some(Self::RawWrite {
                        offset,
                        cipher: DiskCipher::parse(options)?,
                    }),
                }
            }
            ("raw_write", _) => return Err(read.wrong_count("a block")),
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
            ("gpt_write", &[title]) => read.gpt(title)?.map(|gpt| Self::GptWrite(Box::new(gpt))),
            ("gpt_write", _) => return Err(read.wrong_count("a gpt")),
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
            (name, _) if UnsafeAction::NAMES.contains(&name) => {
                Some(Self::Unsafe(UnsafeAction::parse(call, within, &read)?))
            }
            (name, _) => return Err(CallError::Unknown(name.to_owned())),
        })
    }

    /// Returns the action's units of progress: bytes for data, 0 for messages, otherwise 1. `data`
    /// is the length of the resource's data in bytes.
    pub(crate) fn units(&self, data: u64) -> u64 {
        match self {
            Self::RawWrite { .. } => data,
            Self::Fat(FatAction::Write(_)) => data,
            Self::Unsafe(action) if action.reads_resource() => data,
            Self::RawMemset { length, .. } => *length,
            Self::Error(_) | Self::Info(_) => 0,
            _ => 1,
        }
    }

    /// Whether the action uses the data of a resource, which can be read only once.
    pub(crate) fn reads_resource(&self) -> bool {
        match self {
            Self::RawWrite { .. } | Self::Fat(FatAction::Write(_)) => true,
            Self::Unsafe(action) => action.reads_resource(),
            _ => false,
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
                &["8", "x", "y"][..],
                "'fat_write' takes a block and perhaps a path, found 3 arguments",
            ),
            (
                "fat_attrib",
                &["8", "x", "RX"],
                "'fat_attrib' sets the attributes R, H and S, found 'RX'",
            ),
            ("gpt_write", &["x"], "'gpt_write': there is no gpt 'x'"),
            (
                "execute",
                &[],
                "'execute' takes a command, found 0 arguments",
            ),
            (
                "ubi_volume_write",
                &["a", "b"],
                "'ubi_volume_write' takes the path of a UBI volume, such as /dev/ubi0_3, found 2 arguments",
            ),
            (
                "raw_write",
                &["8", "cipher=aes-cbc-plain", "secret=x"],
                "'raw_write': aes-cbc-plain needs a secret of 32 bytes as 64 hexadecimal digits, found 1 characters, or not only digits",
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
        assert_eq!(
            error("pipe_write", &["cat"], "on-finish"),
            "'pipe_write' cannot be used in on-finish"
        );
    }

    #[test]
    fn a_configuration_must_not_count_zero_blocks() {
        for arguments in [&["raw_memset", "1", "0", "255"][..], &["trim", "1", "0x0"]] {
            let call = Call {
                name: arguments[0].to_owned(),
                arguments: arguments[1..]
                    .iter()
                    .map(|text| (*text).to_owned())
                    .collect(),
            };
            let parse =
                |stage| Action::parse(&call, "on-init", &Firmware::default(), stage).map(|_| ());
            let expected = CallError::NoBlocks {
                name: call.name.clone(),
                which: "second",
                found: arguments[2].to_owned(),
            };
            assert_eq!(parse(Stage::Create), Err(expected));
            assert_eq!(parse(Stage::Apply), Ok(()));
        }
    }
}
