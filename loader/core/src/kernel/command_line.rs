// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's command line: the slot's arguments, then those of QEMU's command line.

use thiserror::Error;

use crate::units::Count;

/// The maximum length of a command line in bytes, without its NUL: arm64's `COMMAND_LINE_SIZE` of
/// 2048 includes it (Linux, `arch/arm64/include/uapi/asm/setup.h`).
pub const MAX_COMMAND_LINE: usize = 2047;

/// A command line that is too long for Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the command line has {length} bytes; Linux takes at most 2047: shorten kernel_args or -append"
)]
pub struct CommandLineTooLong {
    /// The length in bytes, without the NUL.
    pub length: Count,
}

/// The kernel's command line, NUL-terminated.
#[derive(Debug)]
pub struct CommandLine {
    bytes: [u8; MAX_COMMAND_LINE + 1],
    length: usize,
}

impl CommandLine {
    /// Joins the arguments of the slot, of `-append` and of the `append` override, with one space
    /// between the non-empty ones.
    ///
    /// # Errors
    ///
    /// When the result is longer than [`MAX_COMMAND_LINE`].
    #[inline(never)]
    pub fn join(parts: [&[u8]; 3]) -> Result<Self, CommandLineTooLong> {
        let parts = parts.iter().filter(|part| !part.is_empty());
        let length = parts.clone().map(|part| part.len() + 1).sum::<usize>();
        let length = length.saturating_sub(1);
        if length > MAX_COMMAND_LINE {
            let length = length.into();
            return Err(CommandLineTooLong { length });
        }
        let mut line = Self {
            bytes: [0; MAX_COMMAND_LINE + 1],
            length,
        };
        let mut at = 0;
        for part in parts {
            line.bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
            if at < length {
                line.bytes[at] = b' ';
                at += 1;
            }
        }
        Ok(line)
    }

    /// Returns the text without its NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Returns the text with the NUL that ends a string property.
    pub(crate) fn with_nul(&self) -> &[u8] {
        &self.bytes[..=self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_joined_with_one_space_and_limited() {
        let joined = |parts| CommandLine::join(parts).unwrap().as_bytes().to_vec();
        assert_eq!(joined([b"a", b"b", b"c"]), b"a b c");
        assert_eq!(joined([b"a", b"", b"c"]), b"a c");
        assert_eq!(joined([b"a", b"", b""]), b"a");
        assert_eq!(joined([b"", b"b", b""]), b"b");
        assert_eq!(joined([b"", b"", b""]), b"");
        assert_eq!(joined([&[b'x'; 2047], b"", b""]).len(), 2047);
        let error = CommandLine::join([&[b'x'; 2000], &[b'y'; 40], &[b'z'; 6]]).unwrap_err();
        assert_eq!(
            error,
            CommandLineTooLong {
                length: Count(2048)
            }
        );
    }
}
