// SPDX-License-Identifier: MIT OR Apache-2.0

//! The actions that reach outside the destination: they run programs, or write to any file of the
//! system. Only the user can allow them (`--unsafe`).

use super::call::{Arguments, CallError};
use super::model::Call;

/// An action that needs `--unsafe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnsafeAction<'a> {
    /// Writes a resource to a file.
    PathWrite(&'a str),
    /// Writes a resource to the input of a shell command.
    PipeWrite(&'a str),
    /// Replaces the contents of a UBI volume by a resource.
    UbiVolumeWrite(&'a str),
    /// Runs a shell command.
    Execute(&'a str),
}

impl<'a> UnsafeAction<'a> {
    /// The names of these actions.
    pub(crate) const NAMES: [&'static str; 4] =
        ["path_write", "pipe_write", "ubi_volume_write", "execute"];

    /// Reads a call with one of these [`NAMES`](Self::NAMES), in the section `within`.
    pub(super) fn parse(
        call: &'a Call,
        within: &str,
        read: &Arguments<'a>,
    ) -> Result<Self, CallError> {
        let (expected, action): (_, fn(&'a str) -> Self) = match call.name.as_str() {
            "path_write" => ("a path", Self::PathWrite),
            "pipe_write" => ("a command", Self::PipeWrite),
            "ubi_volume_write" => (
                "the path of a UBI volume, such as /dev/ubi0_3",
                Self::UbiVolumeWrite,
            ),
            _ => ("a command", Self::Execute),
        };
        if call.name != "execute" && within != "on-resource" {
            return Err(read.wrong_section(within));
        }
        match read.all().as_slice() {
            &[argument] => Ok(action(argument)),
            _ => Err(read.wrong_count(expected)),
        }
    }

    /// Returns the action's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PathWrite(_) => "path_write",
            Self::PipeWrite(_) => "pipe_write",
            Self::UbiVolumeWrite(_) => "ubi_volume_write",
            Self::Execute(_) => "execute",
        }
    }

    /// Whether the action uses the data of a resource.
    pub(crate) fn reads_resource(self) -> bool {
        !matches!(self, Self::Execute(_))
    }
}
