// SPDX-License-Identifier: MIT OR Apache-2.0

//! The arguments of actions and requirements.

use little_loader_core::units::BLOCK_SIZE;

use super::env_section::{EnvSection, EnvSectionError};
use super::gpt::{Gpt, GptError};
use super::integer;
use super::mbr::{Mbr, MbrError};
use super::model::{Call, Firmware, Section, Stage};
use crate::disk_cipher::DiskCipherError;

/// The largest block number whose offset in bytes fits in 64 bits.
pub(crate) const MOST_BLOCK: u64 = u64::MAX / BLOCK_SIZE;

/// Why a call is not a valid action or requirement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The call is in the format, but this program does not support it.
    #[error("'{0}' is not supported yet")]
    Unsupported(String),
    /// The call is not in the format.
    #[error("'{0}' is not an action")]
    Unknown(String),
    /// The action needs a resource's data.
    #[error("'{name}' cannot be used in {section}")]
    WrongSection {
        /// The action.
        name: String,
        /// The section that contains it.
        section: String,
    },
    /// Too few or too many arguments.
    #[error("'{name}' takes {expected}, found {found} arguments")]
    Arguments {
        /// The action or requirement.
        name: String,
        /// The expected arguments.
        expected: &'static str,
        /// The number of arguments found.
        found: usize,
    },
    /// An argument is not a number, or it is too large.
    #[error("'{name}' needs a number from 0 to {most} as its {which} argument, found '{found}'")]
    Number {
        /// The action or requirement.
        name: String,
        /// `first`, `second` or `third`.
        which: &'static str,
        /// The largest number.
        most: u64,
        /// The argument.
        found: String,
    },
    /// A count of blocks is zero.
    #[error("'{name}' needs a count of at least 1 block as its {which} argument, found '{found}'")]
    NoBlocks {
        /// The action.
        name: String,
        /// `first`, `second` or `third`.
        which: &'static str,
        /// The argument.
        found: String,
    },
    /// A variable name is invalid.
    #[error(
        "'{name}': '{variable}' is not a variable name: it must not be empty, and must not contain '=' or NUL"
    )]
    VariableName {
        /// The action.
        name: String,
        /// The argument.
        variable: String,
    },
    /// The section that an argument names is not defined.
    #[error("'{name}': there is no {kind} '{title}'")]
    Missing {
        /// The action or requirement.
        name: String,
        /// The kind of the section.
        kind: &'static str,
        /// The title of the section.
        title: String,
    },
    /// The encryption of `raw_write` is invalid.
    #[error("'raw_write': {0}")]
    Cipher(#[from] DiskCipherError),
    /// A `uboot-environment` section is invalid.
    #[error(transparent)]
    EnvSection(#[from] EnvSectionError),
    /// `fat_attrib` knows three attributes.
    #[error("'fat_attrib' sets the attributes R, H and S, found '{0}'")]
    Attributes(String),
    /// An `mbr` section is invalid.
    #[error(transparent)]
    Mbr(#[from] MbrError),
    /// A `gpt` section is invalid.
    #[error(transparent)]
    Gpt(#[from] GptError),
}

/// Reads the arguments of one call. Each method returns `None` for an argument that only the device
/// can resolve.
pub(super) struct Arguments<'a> {
    call: &'a Call,
    firmware: &'a Firmware,
    stage: Stage,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(call: &'a Call, firmware: &'a Firmware, stage: Stage) -> Self {
        Self {
            call,
            firmware,
            stage,
        }
    }

    pub(super) fn name(&self) -> &'a str {
        &self.call.name
    }

    /// Whether the call is in a configuration from which an archive is made.
    pub(super) fn is_for_archive(&self) -> bool {
        self.stage == Stage::Create
    }

    pub(super) fn wrong_section(&self, section: &str) -> CallError {
        CallError::WrongSection {
            name: self.call.name.clone(),
            section: section.to_owned(),
        }
    }

    /// Returns all arguments, for a slice pattern.
    pub(super) fn all(&self) -> Vec<&'a str> {
        self.call.arguments.iter().map(String::as_str).collect()
    }

    pub(super) fn wrong_count(&self, expected: &'static str) -> CallError {
        CallError::Arguments {
            name: self.call.name.clone(),
            expected,
            found: self.call.arguments.len(),
        }
    }

    /// Parses a number from 0 to `most`; `which` names the argument in errors.
    pub(super) fn number(
        &self,
        which: &'static str,
        text: &str,
        most: u64,
    ) -> Result<Option<u64>, CallError> {
        if self.stage.defers(text) {
            return Ok(None);
        }
        integer::unsigned(text)
            .filter(|number| *number <= most)
            .map(Some)
            .ok_or_else(|| CallError::Number {
                name: self.call.name.clone(),
                which,
                most,
                found: text.to_owned(),
            })
    }

    /// Parses a block number or a count of blocks, and returns it in bytes.
    pub(super) fn blocks(&self, which: &'static str, text: &str) -> Result<Option<u64>, CallError> {
        let blocks = self.number(which, text, MOST_BLOCK)?;
        Ok(blocks.map(|blocks| blocks * BLOCK_SIZE))
    }

    /// Like [`Self::blocks`], for a count, which is at least 1 in a configuration. fwup applies an
    /// archive with a count of 0.
    pub(super) fn count(&self, which: &'static str, text: &str) -> Result<Option<u64>, CallError> {
        let bytes = self.blocks(which, text)?;
        if bytes == Some(0) && self.stage == Stage::Create {
            return Err(CallError::NoBlocks {
                name: self.call.name.clone(),
                which,
                found: text.to_owned(),
            });
        }
        Ok(bytes)
    }

    pub(super) fn mbr(&self, title: &str) -> Result<Option<Mbr<'a>>, CallError> {
        let section = self.section("mbr", &self.firmware.mbrs, title)?;
        let mbr = section.map(|section| Mbr::parse(section, self.stage));
        Ok(mbr.transpose()?)
    }

    pub(super) fn gpt(&self, title: &str) -> Result<Option<Gpt<'a>>, CallError> {
        let section = self.section("gpt", &self.firmware.gpts, title)?;
        let gpt = section.map(|section| Gpt::parse(section, self.stage));
        Ok(gpt.transpose()?)
    }

    pub(super) fn environment(&self, title: &str) -> Result<Option<EnvSection<'a>>, CallError> {
        let section = self.section("uboot-environment", &self.firmware.environments, title)?;
        Ok(section.map(EnvSection::parse).transpose()?)
    }

    fn section(
        &self,
        kind: &'static str,
        sections: &'a [Section],
        title: &str,
    ) -> Result<Option<&'a Section>, CallError> {
        if self.stage.defers(title) {
            return Ok(None);
        }
        let mut sections = sections.iter();
        sections
            .find(|section| section.title == title)
            .map(Some)
            .ok_or_else(|| CallError::Missing {
                name: self.call.name.clone(),
                kind,
                title: title.to_owned(),
            })
    }
}
